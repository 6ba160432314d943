//! The command on a terminal: what it draws, and that nothing of it stays.

use std::io::Read as _;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::bases::Base;
use crate::project::{DEMO, Project, with_build};
use crate::server::Server;

/// Runs kiln on a terminal of so many columns, `act` on it when its step says that it waits, and
/// returns all that was written to the terminal, and the exit code.
fn on_terminal(
    project: &Project<'_>,
    columns: u16,
    arguments: &[&str],
    act: impl FnOnce(Pid),
) -> (String, Option<i32>) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let size = Winsize {
        ws_row: 24,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size).unwrap();
    let slave = fs_err::OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    let end = || Stdio::from(slave.file().try_clone().unwrap());
    let mut command = project.command();
    command.env("TERM", "xterm").args(arguments);
    let mut child = command.stdout(end()).stderr(end()).spawn().unwrap();
    // Otherwise the terminal would stay open.
    drop(command);
    let reader = std::thread::spawn({
        let mut master = std::fs::File::from(master);
        move || {
            let mut written = Vec::new();
            let mut piece = [0; 4096];
            // A terminal that nobody writes to any more ends with an error.
            while let Ok(count @ 1..) = master.read(&mut piece) {
                written.extend_from_slice(&piece[..count]);
            }
            String::from_utf8(written).unwrap()
        }
    });
    let log = project.root.join("out/logs/demo/build.log");
    crate::project::wait_until("the step that waits", || {
        fs_err::read_to_string(&log).is_ok_and(|text| text.contains("\nwaiting\n"))
    });
    act(Pid::from_child(&child));
    let status = child.wait().unwrap();
    drop(slave);
    (reader.join().unwrap(), status.code())
}

/// Returns the terminal commands in a text, without the text; each must be one that kiln uses.
fn commands(text: &str) -> Vec<&str> {
    let parts = text.split('\u{1b}').skip(1);
    parts
        .map(|part| {
            let end = part.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            let command = &part[..=end];
            assert!(
                command.starts_with('[') && !command.contains('?'),
                "{command}"
            );
            assert!(command.ends_with(['A', 'K', 'm']), "{command}");
            command
        })
        .collect()
}

#[test]
fn slow_on_a_terminal_steps_are_drawn_and_only_finished_ones_stay() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    // Long enough to be drawn a few times.
    let script = "echo waiting\nsleep 2\nmake";
    let project = Project::new(&base, &server, &with_build(DEMO, script));
    project.done(&["lock"]);
    let (written, code) = on_terminal(&project, 80, &["build"], |_| {});
    assert_eq!(code, Some(0), "{written}");
    assert!(commands(&written).contains(&"[2A"), "{written:?}");
    for part in [
        "build\u{1b}[0m      demo",
        // The base's package may be finished before anything is drawn.
        " of 3 done",
        "\u{1b}[32mdone\u{1b}[0m       demo: build (",
    ] {
        assert!(written.contains(part), "{part:?} is not in {written:?}");
    }
    // Below the last thing that was drawn stands the table, in lines of at most 80 columns.
    let (_, table) = written.rsplit_once("\u{1b}[K").unwrap();
    assert!(table.contains("3 built\u{1b}[0m; 18 files"), "{table:?}");
    for line in table.lines() {
        let mut line = line.to_owned();
        for command in commands(&line.clone()) {
            line = line.replace(&format!("\u{1b}{command}"), "");
        }
        let is_row = !line.contains("out/rpms");
        assert!(!is_row || line.trim_end().chars().count() <= 80, "{line:?}");
    }
    // Without colours only the commands that draw are left.
    project.write_demo(&with_build(DEMO, &format!("{script}\n: again")));
    fs_err::remove_dir_all(project.root.join("out/logs")).unwrap();
    let (written, code) = on_terminal(&project, 200, &["--color=never", "build"], |_| {});
    assert_eq!(code, Some(0), "{written}");
    let commands = commands(&written);
    assert!(!commands.is_empty() && commands.iter().all(|command| !command.ends_with('m')));
}

#[test]
fn slow_an_interruption_leaves_a_clean_terminal() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let script = "echo waiting\nsleep 86400";
    let project = Project::new(&base, &server, &with_build(DEMO, script));
    project.done(&["lock"]);
    let (written, code) = on_terminal(&project, 40, &["build"], |kiln| {
        std::thread::sleep(std::time::Duration::from_secs(1));
        kill_process(kiln, Signal::INT).unwrap();
    });
    assert_eq!(code, Some(130), "{written}");
    commands(&written);
    let (_, end) = written.rsplit_once("\u{1b}[K").unwrap();
    assert!(
        end.contains("cancelled") && end.ends_with("error: interrupted\r\n"),
        "{end:?}"
    );
    assert!(!end.contains(" done  "), "{end:?}");
}
