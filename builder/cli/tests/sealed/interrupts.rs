//! Runs that are stopped in the middle of a step: nothing survives, nothing is lost, the next run
//! goes on.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use walkdir::WalkDir;

use crate::bases::Base;
use crate::project::{
    BUILD_WITH_SUMS, DEMO, Project, changed, demo_with_sums, outputs, wait_until, with_build,
};
use crate::server::Server;

/// A day and a fraction that no other process on this machine sleeps for.
pub fn marker(number: u32) -> String {
    format!("86400.{}00{number}", std::process::id())
}

/// Returns the ids of all processes that have the marker among their arguments.
pub fn survivors(marker: &str) -> Vec<String> {
    let processes = WalkDir::new("/proc").max_depth(1).sort_by_file_name();
    let ids = processes
        .into_iter()
        .filter_map(Result::ok)
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    ids.filter(|id| {
        // A process may end while it is looked at.
        fs_err::read(format!("/proc/{id}/cmdline"))
            .is_ok_and(|line| String::from_utf8_lossy(&line).contains(marker))
    })
    .collect()
}

/// Starts a build in a process group of its own and waits until its step sleeps.
fn start(project: &Project<'_>, marker: &str) -> Child {
    let script = format!(
        "setsid sleep {marker} >/dev/null 2>&1 &\n\
         (trap '' HUP INT TERM; nohup sleep {marker} >/dev/null 2>&1 &)\n\
         echo asleep\n\
         sleep {marker}"
    );
    project.write_demo(&with_build(&demo_with_sums(), &script));
    let mut command = project.command();
    command.process_group(0).args(["--quiet", "build"]);
    let child = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    let log = project.root.join("out/logs/demo/build.log");
    wait_until("the step that sleeps", || {
        let text = fs_err::read_to_string(&log).unwrap_or_default();
        // The shell with the script, and its three children.
        text.contains("\nasleep\n") && survivors(marker).len() >= 4
    });
    child
}

/// Asserts that the store is whole and that the next run makes use of it.
fn check_next_run(project: &Project<'_>) {
    project.check_store();
    assert_eq!(project.rpm_names(), [""; 0]);
    let recipe = changed(&demo_with_sums(), "  use: make\n", BUILD_WITH_SUMS);
    project.write_demo(&recipe);
    let plan = project.done(&["plan"]).stdout;
    assert!(
        plan.starts_with("cached   sums for /usr/lib/demo\nbuild    demo "),
        "what was finished is kept, what was not is not: {plan}"
    );
    project.done(&["build"]);
    assert!(!outputs(&project.root.join("out")).is_empty());
    project.check_store();
    project.check_no_leftovers();
}

fn id(child: &Child) -> Pid {
    Pid::from_child(child)
}

#[test]
fn slow_sigkill_in_the_middle_of_a_step_leaves_no_process_and_a_whole_store() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, &demo_with_sums());
    project.write_sums();
    project.done(&["lock"]);
    let marker = marker(1);
    let mut child = start(&project, &marker);
    kill_process(id(&child), Signal::KILL).unwrap();
    child.wait().unwrap();
    wait_until("the end of all that the step started", || {
        survivors(&marker).is_empty()
    });
    check_next_run(&project);
}

#[test]
fn slow_ctrl_c_in_the_middle_of_a_step_ends_with_130() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, &demo_with_sums());
    project.write_sums();
    project.done(&["lock"]);
    let marker = marker(2);
    let child = start(&project, &marker);
    // As a terminal does: to everything in the foreground.
    kill_process_group(id(&child), Signal::INT).unwrap();
    let ended = project.ended(&child.wait_with_output().unwrap());
    assert_eq!(
        survivors(&marker),
        [""; 0],
        "all is dead before kiln itself ends"
    );
    assert_eq!(
        (ended.code, ended.stderr.as_str()),
        (Some(130), "error: interrupted\n")
    );
    project.check_no_leftovers();
    // And as `kill` does: to kiln alone.
    let child = start(&project, &marker);
    kill_process(id(&child), Signal::INT).unwrap();
    let ended = project.ended(&child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert_eq!(survivors(&marker), [""; 0]);
    check_next_run(&project);
}

#[test]
fn slow_killed_again_and_again_at_any_point_it_still_gets_there() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let recipe = changed(&demo_with_sums(), "  use: make\n", BUILD_WITH_SUMS);
    let [calm, killed] = [(); 2].map(|()| {
        let project = Project::new(&base, &server, &recipe);
        project.write_sums();
        project.done(&["lock"]);
        project
    });
    calm.done(&["build"]);
    // Each run lives a little longer than the one before; where it is cut is up to the machine.
    let mut kills = 0;
    for life in (0..).map(|number| Duration::from_millis(60 * number)) {
        let mut command = killed.command();
        let quiet = command.args(["--quiet", "build"]).stdout(Stdio::null());
        let mut child = quiet.stderr(Stdio::inherit()).spawn().unwrap();
        std::thread::sleep(life);
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "after {kills} kills: {status}");
            break;
        }
        kill_process(id(&child), Signal::KILL).unwrap();
        child.wait().unwrap();
        kills += 1;
        killed.check_store();
    }
    assert!(kills > 0, "it was killed at least once");
    assert_eq!(
        outputs(&killed.root.join("out")),
        outputs(&calm.root.join("out"))
    );
    let log = killed.done(&["build"]);
    assert!(
        log.stdout.contains("\nNothing to do: all "),
        "{}",
        log.stdout
    );
    killed.check_store();
    killed.check_no_leftovers();
}

/// Starts a build that tells programs what happens, waits for an event that has all of `parts`, sends
/// a signal and returns how it ended.
fn stop_at(project: &Project<'_>, parts: &[&str], signal: Signal) -> crate::project::Ended {
    use std::io::BufRead as _;
    let mut command = project.command();
    command.args(["--format=json", "build"]);
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let mut events = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    loop {
        let Some(Ok(event)) = events.next() else {
            panic!("never came: {parts:?} in {told:#?}");
        };
        let is_it = parts.iter().all(|part| event.contains(part));
        told.push(event);
        if is_it {
            break;
        }
    }
    kill_process(id(&child), signal).unwrap();
    told.extend(events.map_while(Result::ok));
    let mut ended = project.ended(&child.wait_with_output().unwrap());
    ended.stdout = told.join("\n");
    ended
}

#[test]
fn slow_whatever_it_is_doing_a_signal_ends_it_with_130() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    // So much that none of it ends by itself while the test waits.
    let install = "  use: make\n  install: |\n    make install\n    \
                   truncate -s 60G \"$DESTDIR/usr/large\"\n";
    let project = Project::new(&base, &server, &changed(DEMO, "  use: make\n", install));
    project.done(&["lock"]);
    let tree = project
        .store()
        .join("trees")
        .join(base.lock.layer.0.to_hex());
    let check = |parts: &[&str], signal: Signal| {
        let ended = stop_at(&project, parts, signal);
        let said = "error: interrupted\n";
        assert_eq!(ended.code, Some(130), "{parts:?}: {}", ended.stderr);
        assert!(ended.stderr.ends_with(said), "{parts:?}: {}", ended.stderr);
        let last = "{\"event\":\"finished\",\"exit\":130}";
        assert!(ended.stdout.ends_with(last), "{}", ended.stdout);
        assert_eq!(project.rpm_names(), [""; 0]);
        project.check_no_leftovers();
        project.check_store();
    };
    // Reading back what the install step left.
    check(&["step-ended", "\"install\""], Signal::INT);
    check(&["step-ended", "\"install\""], Signal::TERM);
    // Unpacking the root file system.
    fs_err::rename(&tree, project.root.join("tree")).unwrap();
    check(&["assembly-advanced", "\"files\""], Signal::INT);
    assert!(!tree.exists(), "half a tree is none");
    fs_err::rename(project.root.join("tree"), &tree).unwrap();
    // Packaging is a step like others.
    project.write_demo(DEMO);
    check(&["step-started", "\"package\"", "\"demo\""], Signal::TERM);
    project.done(&["build"]);
    assert!(project.rpm_names().len() > 1);
    project.check_store();
    project.check_no_leftovers();
}

#[test]
fn slow_of_two_kilns_on_one_store_the_death_of_one_is_nothing_to_the_other() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, &demo_with_sums());
    project.write_sums();
    project.done(&["lock"]);
    let marker = marker(4);
    let mut dying = start(&project, &marker);
    let left = WalkDir::new(project.store().join("tmp")).max_depth(1);
    assert_eq!(left.into_iter().count(), 3, "a folder and its lock");
    // It builds another recipe with the same library, and finishes while the first one sleeps.
    let other = changed(&demo_with_sums(), "name: demo\n", "name: other\n");
    let other = changed(&other, "- name: demo\n", "- name: other\n");
    let other = other.replace("libdemo-devel", "libother-devel");
    let other = other.replace("name: libdemo\n", "name: libother\n");
    let other = other.replace("=libdemo", "=libother");
    // Their packages own the same files.
    let other = other
        .replace("- name: other\n", "- name: other\n    conflicts: [demo]\n")
        .replace(
            "- name: libother\n",
            "- name: libother\n    conflicts: [libdemo]\n",
        )
        .replace(
            "- name: libother-devel\n",
            "- name: libother-devel\n    conflicts: [libdemo-devel]\n",
        );
    let other = other.replace("/usr/lib/demo/", "/usr/lib/other/");
    let other = changed(&other, "  use: make\n", BUILD_WITH_SUMS);
    project.write_like_demo("other", &other);
    project.done(&["lock", "other"]);
    let mut command = project.command();
    command.args(["--quiet", "--out", "other", "build", "other"]);
    let piped = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let living = piped.spawn().unwrap();
    kill_process(id(&dying), Signal::KILL).unwrap();
    dying.wait().unwrap();
    let ended = project.ended(&living.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    wait_until("the end of all that the step started", || {
        survivors(&marker).is_empty()
    });
    project.check_store();
    // Whatever the dead one left is gone with the next one that opens the store.
    project.done(&["plan"]);
    project.check_no_leftovers();
}
