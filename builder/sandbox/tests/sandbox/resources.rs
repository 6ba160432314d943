//! A step that uses up what it was given fails, alone.

use std::io::Write;
use std::time::Duration;

use kiln_model::{Measured, MountAccess, ReachedLimits, SealedStep, StepEnd};
use kiln_sandbox::{Cancel, Engine};

use crate::support::{Place, engine, mount, output, run};

#[test]
fn a_flood_of_output_is_cut_and_counted() {
    /// Counts what arrives and how much of it at once.
    #[derive(Default)]
    struct Meter {
        total: u64,
        largest: usize,
        tail: Vec<u8>,
    }
    impl Write for Meter {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.total += bytes.len() as u64;
            self.largest = self.largest.max(bytes.len());
            self.tail = bytes.to_vec();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let Some(place) = Place::new() else { return };
    let mut step = place.step("dd if=/dev/zero bs=1M count=1024 2>/dev/null");
    step.limits.log = 1 << 20;
    let mut meter = Meter::default();
    let outcome = engine().run(&step, &mut meter, &Cancel::new()).unwrap();
    assert_eq!(outcome.end, StepEnd::Exited(0));
    assert!(meter.total > step.limits.log && meter.total < step.limits.log + 200);
    assert!(meter.largest <= 1 << 16);
    let dropped = (1024 << 20) - step.limits.log;
    let line = format!(
        "kiln: the log limit of 1048576 bytes was reached; {dropped} more bytes were dropped\n"
    );
    assert!(String::from_utf8_lossy(&meter.tail).ends_with(&line));
}

#[test]
fn scratch_is_one_budget_and_its_end_is_no_space() {
    let Some(place) = Place::new() else { return };
    for folder in ["/tmp", "/var/tmp", "/dev/shm", "/build", "/etc"] {
        let script = format!(
            "dd if=/dev/zero of={folder}/f bs=1M count=8 2>/dev/null && echo fits; \
             dd if=/dev/zero of={folder}/f bs=1M count=80 2>&1 | grep -o 'No space left on device'; \
             dd if=/dev/zero of=/tmp/other bs=1M count=1 2>&1 | grep -o 'No space left on device'"
        );
        let log = output(&place.step(&script));
        let full = "No space left on device\n";
        assert_eq!(log, format!("fits\n{full}{full}"), "{folder}");
    }
}

#[test]
fn empty_files_are_counted_too() {
    let Some(place) = Place::new() else { return };
    let script = "mkdir /tmp/d; cd /tmp/d; seq 1 100000 | xargs touch 2>&1 | grep -o 'No space left on device' | head -n 1";
    assert_eq!(output(&place.step(script)), "No space left on device\n");
}

#[test]
fn what_fills_the_disk_is_stopped() {
    let Some(place) = Place::new() else { return };
    let out = place.folder("out");
    let check = |script: &str, (disk, reserve): (u64, u64), expected: StepEnd| {
        let mut step = place.step(script);
        step.mounts = vec![mount(&out, "/build", MountAccess::ReadWrite)];
        (step.limits.disk, step.limits.reserve) = (disk, reserve);
        assert_eq!(run(&step).unwrap().0.end, expected, "{script}");
    };
    let (mib, all) = (1 << 20, 1 << 60);
    let fill = "dd if=/dev/zero of=/build/f bs=1M count=40; sleep 1000";
    check(fill, (20 * mib, 0), StepEnd::OverDisk);
    // It is counted, whoever wrote it and when.
    check("sleep 1000", (20 * mib, 0), StepEnd::OverDisk);
    check("sleep 0.1; exit 3", (all, 0), StepEnd::Exited(3));
    check("sleep 1000", (all, all), StepEnd::DiskShort);
    // What nobody can write to is nobody's excess.
    let mut step = place.step("sleep 0.1");
    step.mounts = vec![mount(&out, "/build", MountAccess::ReadOnly)];
    (step.limits.disk, step.limits.reserve) = (1, all);
    assert_eq!(run(&step).unwrap().0.end, StepEnd::Exited(0));
}

/// Returns whether the host lets us limit, having said so when it does not.
fn is_limited(step: &SealedStep) -> bool {
    let (outcome, _) = run(step).unwrap();
    let is_limited = outcome.isolation.resource_limits == Measured::Yes;
    if !is_limited {
        println!("SKIPPED: this host does not let us make a control group");
    }
    is_limited
}

#[test]
fn a_fork_bomb_meets_its_limit() {
    let Some(place) = Place::new() else { return };
    let script = "i=0; while [ $i -lt 100 ]; do sleep 20 & i=$((i+1)); done 2>&1; echo survived";
    let mut step = place.step(script);
    step.limits.processes = 30;
    if !is_limited(&place.step("true")) {
        return;
    }
    let (outcome, log) = run(&step).unwrap();
    assert!(log.contains("can't fork"), "{log}");
    let processes = ReachedLimits {
        memory: false,
        processes: true,
    };
    assert_eq!(outcome.reached, processes);
}

#[test]
fn memory_is_limited_for_the_step_alone() {
    let Some(place) = Place::new() else { return };
    if !is_limited(&place.step("true")) {
        return;
    }
    let mut step = place.probe(&["hold", "200"]);
    assert_eq!(output(&step), "holds: 200\n");
    step.limits.memory = 64 << 20;
    let (outcome, log) = run(&step).unwrap();
    assert_eq!(outcome.end, StepEnd::Signaled(9), "{log}");
    let memory = ReachedLimits {
        memory: true,
        processes: false,
    };
    assert_eq!(outcome.reached, memory);
}

#[test]
fn memory_and_time_are_told() {
    let Some(place) = Place::new() else { return };
    let mut step = place.probe(&["hold", "100"]);
    step.limits.wall_time = Duration::from_secs(100);
    let (outcome, _) = run(&step).unwrap();
    let peak = outcome.peak_memory.unwrap();
    assert!((100 << 20..300 << 20).contains(&peak), "{peak}");
    assert!(outcome.elapsed > Duration::ZERO);
}

#[test]
fn no_control_group_is_left() {
    let Some(place) = Place::new() else { return };
    output(&place.step("true"));
    let own = format!("kiln-step-{}-", std::process::id());
    // Other tests of this process may be running: wait until theirs are gone too.
    for _ in 0..2000 {
        let left = groups_named(&own);
        if left.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("left: {:?}", groups_named(&own));
}

fn groups_named(prefix: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![std::path::PathBuf::from("/sys/fs/cgroup")];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            if entry.file_name().to_string_lossy().starts_with(prefix) {
                found.push(entry.path().display().to_string());
            }
            folders.push(entry.path());
        }
    }
    found
}
