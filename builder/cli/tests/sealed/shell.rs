//! `kiln shell`: where a step failed, before another one, with a command, and on a terminal.

use std::io::{Read as _, Write as _};
use std::process::Stdio;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::bases::Base;
use crate::project::{DEMO, Ended, Project, with_build};
use crate::server::Server;

/// Runs kiln with something to read.
fn with_input(project: &Project<'_>, arguments: &[&str], input: &str) -> Ended {
    let mut command = project.command();
    command.args(arguments).stdin(Stdio::piped());
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Whoever refuses it does not read all of it.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    project.ended(&child.wait_with_output().unwrap())
}

#[test]
fn slow_a_shell_opens_where_a_step_failed_until_it_is_built() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(
        &base,
        &server,
        &with_build(DEMO, "echo half > half\nexit 3"),
    );
    project.done(&["lock"]);
    assert_eq!(project.kiln(&["build"]).code, Some(1));
    let command = "cat half && ls /steps && echo changed > half && test -z \"$CANARY\"";
    let shell = ["shell", "demo", "--", "sh", "-c", command];
    let ended = project.done(&shell);
    assert_eq!(ended.stdout, "half\nbuild.sh\ncheck.sh\ninstall.sh\n");
    let first = "sandbox of demo, where step `build` failed\n";
    assert!(ended.stderr.starts_with(first), "{}", ended.stderr);
    // What was changed there stays there.
    let ended = project.done(&["--quiet", "shell", "demo", "--", "cat", "half"]);
    assert_eq!(
        (ended.stdout.as_str(), ended.stderr.as_str()),
        ("changed\n", "")
    );
    // A recipe that changed since is said to have.
    project.write_demo(&with_build(DEMO, "exit 4"));
    let ended = project.done(&["shell", "demo", "--", "cat", "half"]);
    assert!(
        ended.stderr.contains("the recipe has changed"),
        "{}",
        ended.stderr
    );
    // A script on standard input stops at what fails, and sees neither network nor host.
    let script = "echo one\nls /root /home >/dev/null\ntest ! -e /etc/shadow-of-the-host\n\
                  touch /usr/x\nfalse\necho two\n";
    let ended = with_input(&project, &["shell", "demo"], script);
    assert_eq!((ended.code, ended.stdout.contains("two")), (Some(1), false));
    assert!(!ended.stdout.contains("Read-only"), "{}", ended.stdout);
    // Built, the files go, and the next shell starts before the step.
    project.write_demo(DEMO);
    project.done(&["build"]);
    let kept = project.store().join("kept/demo");
    assert!(kept.symlink_metadata().is_err());
    let ended = project.done(&[
        "shell",
        "demo",
        "--step",
        "check",
        "--",
        "ls",
        "/build/destdir/usr",
    ]);
    assert!(ended.stdout.contains("include"), "{}", ended.stdout);
    assert!(
        ended
            .stderr
            .contains("sandbox of demo, before step `check`\n")
    );
    project.check_no_leftovers();
    project.check_store();
}

#[test]
fn slow_a_shell_that_can_not_be_is_refused() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    let refused = |arguments: &[&str], input: &str, expected: &str| {
        let ended = with_input(&project, arguments, input);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert_eq!(ended.stderr, expected);
    };
    refused(
        &["shell", "dmeo"],
        "",
        "error: no recipe `dmeo`\n\nhint: did you mean `demo`?\n",
    );
    refused(
        &["shell", "demo"],
        &"x".repeat((1 << 20) + 1),
        "error: standard input: expected at most 1048576 bytes of script\n",
    );
    refused(
        &["shell", "demo"],
        "a\0b",
        "error: standard input: a script has no NUL\n",
    );
    let ended = project.kiln(&["-q", "shell", "demo", "--", "no-such-program"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stdout.contains("no-such-program"), "{}", ended.stdout);
}

#[test]
fn slow_a_shell_on_a_terminal_is_one_and_leaves_the_terminal_as_it_was() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near = openpt(flags).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let far = ioctl_tiocgptpeer(&near, flags).unwrap();
    let before = rustix::termios::tcgetattr(&far).unwrap();
    let end = || Stdio::from(far.try_clone().unwrap());
    let mut command = project.command();
    command.env("TERM", "xterm").args(["shell", "demo"]);
    let mut child = command
        .stdin(end())
        .stdout(end())
        .stderr(end())
        .spawn()
        .unwrap();
    drop(command);
    let mut near = std::fs::File::from(near);
    let mut seen = String::new();
    let mut wait_for = |near: &mut std::fs::File, text: &str| {
        let mut piece = [0; 4096];
        while !seen.contains(text) {
            let mut fds = [PollFd::new(&*near, PollFlags::IN)];
            let patience = Timespec {
                tv_sec: 60,
                tv_nsec: 0,
            };
            assert_eq!(
                poll(&mut fds, Some(&patience)),
                Ok(1),
                "no {text} in {seen}"
            );
            let count = near.read(&mut piece).unwrap();
            assert!(count > 0, "{seen}");
            seen.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
    };
    wait_for(&mut near, "$ ");
    near.write_all(b"test -t 0 && echo $((20+3)) $TERM; exit 5\r")
        .unwrap();
    wait_for(&mut near, "23 xterm");
    assert_eq!(
        child.wait().unwrap().code(),
        Some(0),
        "how one leaves is no failure"
    );
    let after = rustix::termios::tcgetattr(&far).unwrap();
    assert_eq!(after.local_modes, before.local_modes);
    assert_eq!(after.input_modes, before.input_modes);
    assert_eq!(after.output_modes, before.output_modes);
}
