//! However a step ends, everything that it started is dead when `run` returns.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use kiln_model::{MountAccess, StepEnd};
use kiln_sandbox::{Cancel, EmbeddedEngine, Engine, InitProgram, SandboxError};

use crate::support::{Place, engine, mount, output, refusal, run, run_on, wait_until};

#[test]
fn statuses_and_signals_are_told() {
    let Some(place) = Place::new() else { return };
    for (script, expected) in [
        ("exit 0", StepEnd::Exited(0)),
        ("exit 7", StepEnd::Exited(7)),
        ("exit 255", StepEnd::Exited(255)),
        ("kill -9 $$", StepEnd::Signaled(9)),
        ("kill -11 $$", StepEnd::Signaled(11)),
        ("kill -40 $$", StepEnd::Signaled(40)),
        // The reaper can not be killed from inside.
        ("kill -9 1; kill -15 1; exit 3", StepEnd::Exited(3)),
        // Nor does killing everything that can be seen reach it.
        ("trap '' TERM; kill -15 -1; exit 4", StepEnd::Exited(4)),
        ("yes | head -n 1 > /dev/null; exit 5", StepEnd::Exited(5)),
    ] {
        assert_eq!(
            run(&place.step(script)).unwrap().0.end,
            expected,
            "{script}"
        );
    }
}

#[test]
fn output_and_errors_are_one_log_in_order() {
    let Some(place) = Place::new() else { return };
    let log = output(&place.step("echo one; echo two >&2; echo three; echo four >&2"));
    assert_eq!(log, "one\ntwo\nthree\nfour\n");
}

/// A daemon that left its session, ignores every polite signal and goes on writing.
const DAEMON: &str = "
    (trap '' TERM HUP INT QUIT; setsid sh -c 'trap \"\" TERM HUP INT QUIT
        while true; do echo tick >> /build/ticks; done' &) &
    while [ ! -s /build/ticks ]; do true; done";

/// Returns whether the file grows while we look.
fn is_growing(file: &Path) -> bool {
    let size = || fs_err::metadata(file).unwrap().len();
    let before = size();
    std::thread::sleep(Duration::from_millis(50));
    size() != before
}

#[test]
fn a_daemon_does_not_outlive_its_step() {
    let Some(place) = Place::new() else { return };
    let out = place.folder("out");
    for (end, expected) in [
        ("exit 0", StepEnd::Exited(0)),
        ("kill -9 $$", StepEnd::Signaled(9)),
    ] {
        let mut step = place.step(&format!("{DAEMON}; {end}"));
        step.mounts = vec![mount(&out, "/build", MountAccess::ReadWrite)];
        let (outcome, _) = run(&step).unwrap();
        assert_eq!(outcome.end, expected);
        assert!(!is_growing(&out.join("ticks")));
        fs_err::remove_file(out.join("ticks")).unwrap();
    }
}

#[test]
fn time_runs_out_for_a_daemon_too() {
    let Some(place) = Place::new() else { return };
    let out = place.folder("out");
    let mut step = place.step(&format!(
        "{DAEMON}; trap '' TERM; while true; do sleep 1; done"
    ));
    step.mounts = vec![mount(&out, "/build", MountAccess::ReadWrite)];
    step.limits.wall_time = Duration::from_secs(1);
    let began = Instant::now();
    let (outcome, _) = run(&step).unwrap();
    assert_eq!(outcome.end, StepEnd::TimedOut);
    assert!(outcome.elapsed >= step.limits.wall_time);
    assert!(began.elapsed() < Duration::from_secs(60));
    assert!(!is_growing(&out.join("ticks")));
}

#[test]
fn a_stopped_process_is_ended_when_its_time_is_up() {
    let Some(place) = Place::new() else { return };
    let mut step = place.step("kill -STOP $$");
    step.limits.wall_time = Duration::from_millis(300);
    assert_eq!(run(&step).unwrap().0.end, StepEnd::TimedOut);
}

#[test]
fn cancelling_from_another_thread_ends_every_run_that_watches() {
    let Some(place) = Place::new() else { return };
    let cancel = Cancel::new();
    let outs = [place.folder("one"), place.folder("two")];
    std::thread::scope(|scope| {
        let runs: Vec<_> = outs
            .iter()
            .map(|out| {
                let mut step = place.step("echo > /build/started; sleep 100");
                step.mounts = vec![mount(out, "/build", MountAccess::ReadWrite)];
                let cancel = cancel.clone();
                scope.spawn(move || engine().run(&step, &mut std::io::sink(), &cancel))
            })
            .collect();
        wait_until(&|| outs.iter().all(|out| out.join("started").exists()));
        cancel.cancel();
        for run in runs {
            assert_eq!(run.join().unwrap().unwrap().end, StepEnd::Cancelled);
        }
    });
    // Raised before the start, it is as good.
    let late = engine().run(&place.step("sleep 100"), &mut std::io::sink(), &cancel);
    assert_eq!(late.unwrap().end, StepEnd::Cancelled);
}

/// Returns the pids of processes whose command line holds `mark`.
fn processes_with(mark: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir("/proc").unwrap().flatten() {
        let line = fs_err::read(entry.path().join("cmdline")).unwrap_or_default();
        if String::from_utf8_lossy(&line).contains(mark) {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    found
}

#[test]
fn nothing_is_left_in_the_process_table() {
    let Some(place) = Place::new() else { return };
    let mark = format!("kiln-mark-{}", std::process::id());
    let script = format!("(setsid sh -c 'sleep 1000; : {mark}' &); exit 0");
    output(&place.step(&script));
    assert_eq!(processes_with(&mark), Vec::<String>::new());
}

/// The child of the next test: a kiln that starts a step and waits.
#[test]
fn killed_engine_child() {
    let Ok(out) = std::env::var("KILN_TEST_ENGINE_OUT") else {
        return;
    };
    let Some(place) = Place::new() else { return };
    let mut step = place.step(&format!("{DAEMON}; sleep 1000"));
    step.mounts = vec![mount(Path::new(&out), "/build", MountAccess::ReadWrite)];
    let _ = run(&step);
}

#[test]
fn a_killed_engine_takes_the_sandbox_with_it() {
    let Some(place) = Place::new() else { return };
    let out = place.folder("out");
    let mut engine = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "endings::killed_engine_child"])
        .env("KILN_TEST_ENGINE_OUT", &out)
        .env("TMPDIR", place.folder("tmp"))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let ticks = out.join("ticks");
    while !ticks.exists() {
        assert!(
            engine.try_wait().unwrap().is_none(),
            "the engine ended early"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(is_growing(&ticks), "the positive control");
    engine.kill().unwrap();
    engine.wait().unwrap();
    wait_until(&|| !is_growing(&ticks));
}

#[test]
fn whichever_process_above_a_step_is_killed_nothing_is_left_and_the_next_step_runs() {
    let Some(place) = Place::new() else { return };
    let engine = engine();
    for (killed, name) in ["the fork server", "the supervisor"]
        .into_iter()
        .enumerate()
    {
        let out = place.folder(&format!("out-{killed}"));
        let mut step = place.step(&format!("{DAEMON}; sleep 1000"));
        step.mounts = vec![mount(&out, "/build", MountAccess::ReadWrite)];
        let ticks = out.join("ticks");
        std::thread::scope(|scope| {
            let running = scope.spawn(|| run_on(&engine, &step));
            wait_until(&|| ticks.exists());
            let process = ancestors_below_us(&ticks)[killed].parse().unwrap();
            let process = nix::unistd::Pid::from_raw(process);
            nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
            let (outcome, _) = running.join().unwrap().unwrap();
            assert_eq!(outcome.end, StepEnd::Signaled(9), "{name}");
        });
        assert!(!is_growing(&ticks), "{name}");
        let (outcome, log) = run_on(&engine, &place.step("echo next")).unwrap();
        assert_eq!(
            (outcome.end, log.as_str()),
            (StepEnd::Exited(0), "next\n"),
            "{name}"
        );
    }
}

#[test]
fn a_step_that_ends_waits_for_no_other_of_the_same_engine() {
    let Some(place) = Place::new() else { return };
    let engine = engine();
    let out = place.folder("out");
    let step = |name: &str| {
        let script =
            format!("touch /build/{name}; while [ ! -e /build/end-{name} ]; do sleep 0.01; done");
        let mut step = place.step(&script);
        step.mounts = vec![mount(&out, "/build", MountAccess::ReadWrite)];
        step
    };
    let (first, second) = (step("first"), step("second"));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| run_on(&engine, &first));
        wait_until(&|| out.join("first").exists());
        let second = scope.spawn(|| run_on(&engine, &second));
        wait_until(&|| out.join("second").exists());
        let [server, supervisor, ..] = &ancestors_below_us(&out.join("second"))[..] else {
            panic!("there is no supervisor");
        };
        let (theirs, its) = (handles(server), handles(supervisor));
        assert!(!theirs.is_empty() && !its.is_empty());
        assert!(theirs.is_disjoint(&its), "{theirs:?} {its:?}");
        fs_err::write(out.join("end-first"), "").unwrap();
        assert_eq!(first.join().unwrap().unwrap().0.end, StepEnd::Exited(0));
        assert!(!second.is_finished());
        fs_err::write(out.join("end-second"), "").unwrap();
        assert_eq!(second.join().unwrap().unwrap().0.end, StepEnd::Exited(0));
    });
}

#[test]
fn a_server_that_does_not_answer_keeps_nobody_waiting() {
    let Some(place) = Place::new() else { return };
    let silent = EmbeddedEngine::new(InitProgram {
        program: "/bin/sleep".into(),
        arguments: vec!["1000".to_owned()],
    });
    let mut step = place.step("true");
    step.limits.wall_time = Duration::from_millis(50);
    assert_eq!(run_on(&silent, &step).unwrap().0.end, StepEnd::TimedOut);

    step.limits.wall_time = Duration::from_secs(1000);
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| silent.run(&step, &mut Vec::new(), &cancel));
        std::thread::sleep(Duration::from_millis(50));
        cancel.cancel();
        assert_eq!(running.join().unwrap().unwrap().end, StepEnd::Cancelled);
    });
}

#[test]
fn steps_of_clones_of_one_engine_have_one_server_that_ends_with_the_last() {
    let Some(place) = Place::new() else { return };
    let engine = engine();
    let out = place.folder("out");
    let servers: Vec<String> = [&engine, &engine.clone()]
        .into_iter()
        .enumerate()
        .map(|(number, clone)| {
            let out = out.join(number.to_string());
            fs_err::create_dir(&out).unwrap();
            let mut step =
                place.step("touch /build/begun; while [ ! -e /build/end ]; do sleep 0.01; done");
            step.mounts = vec![mount(&out, "/build", MountAccess::ReadWrite)];
            std::thread::scope(|scope| {
                let running = scope.spawn(|| run_on(clone, &step));
                wait_until(&|| out.join("begun").exists());
                let server = ancestors_below_us(&out.join("begun"))[0].clone();
                fs_err::write(out.join("end"), "").unwrap();
                running.join().unwrap().unwrap();
                server
            })
        })
        .collect();
    assert_eq!(servers[0], servers[1]);
    let place = PathBuf::from("/proc").join(&servers[0]);
    assert!(place.exists());
    drop(engine);
    assert!(!place.exists());
}

/// Returns the processes between this one and the sandbox that has `file`'s folder as its `/build`,
/// from the top.
fn ancestors_below_us(file: &Path) -> Vec<String> {
    let folder = file.parent().unwrap().to_str().unwrap();
    let us = std::process::id().to_string();
    for entry in fs_err::read_dir("/proc").unwrap().flatten() {
        let table = fs_err::read_to_string(entry.path().join("mountinfo")).unwrap_or_default();
        // The mount table has the place within the source's file system, which may be mounted by part.
        let is_inside = table.lines().any(|line| {
            let mut fields = line.split(' ').skip(3);
            let (root, point) = (fields.next().unwrap(), fields.next().unwrap());
            point == "/build" && (folder.ends_with(root) || root.ends_with(folder))
        });
        if !is_inside {
            continue;
        }
        let first = entry.file_name().to_string_lossy().into_owned();
        let chain = std::iter::successors(Some(first), |process| Some(parent_of(process)));
        let mut chain: Vec<String> = chain.take_while(|process| *process != us).collect();
        chain.reverse();
        return chain;
    }
    panic!("no process has {folder} mounted");
}

/// Returns what the handles of a process are of, but for its standard input, output and error.
fn handles(process: &str) -> BTreeSet<PathBuf> {
    let folder = fs_err::read_dir(format!("/proc/{process}/fd")).unwrap();
    let paths = folder.map(|entry| entry.unwrap().path());
    let other =
        paths.filter(|path| !path.ends_with("0") && !path.ends_with("1") && !path.ends_with("2"));
    other.map(|path| fs_err::read_link(path).unwrap()).collect()
}

fn parent_of(process: &str) -> String {
    let status = fs_err::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:\t"));
    line.unwrap().to_owned()
}

#[test]
fn a_log_that_fails_ends_the_step() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let Some(place) = Place::new() else { return };
    let error = engine()
        .run(&place.step("yes"), &mut Full, &Cancel::new())
        .unwrap_err();
    let SandboxError::Log { source } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn what_the_image_lacks_is_named() {
    let Some(place) = Place::new() else { return };
    let missing = place.command(&["/no/such/program"]);
    assert_eq!(
        refusal(&missing).to_string(),
        "program `/no/such/program` does not exist in the sandbox, or the interpreter that it names does not"
    );
    place.file("rootfs/text", "no program\n");
    assert_eq!(
        refusal(&place.command(&["/text"])).to_string(),
        "program `/text` can not be executed in the sandbox: Permission denied (os error 13)"
    );
    let mut nowhere = place.step("true");
    nowhere.working_directory = crate::support::path("/no/such/folder");
    assert_eq!(
        refusal(&nowhere).to_string(),
        "working directory `/no/such/folder` can not be entered in the sandbox: No such file or directory (os error 2)"
    );
    let mut layer = place.step("true");
    layer.rootfs.push(place.path().join("absent"));
    let absent = place.path().join("absent");
    assert_eq!(
        refusal(&layer).to_string(),
        format!(
            "root file system tree `{}` can not be used: No such file or directory (os error 2)",
            absent.display()
        )
    );
    let mut source = place.step("true");
    source.mounts = vec![mount(&absent, "/x", MountAccess::ReadOnly)];
    assert_eq!(
        refusal(&source).to_string(),
        format!(
            "mount source `{}` can not be used: No such file or directory (os error 2)",
            absent.display()
        )
    );
}
