//! Steps that use up what they were given: each is stopped or fails alone, and the error says which
//! limit it was and where it is set.

use crate::bases::Base;
use crate::project::{DEMO, Project, with_build};
use crate::server::Server;

/// Writes `[limits]` into the project's settings and builds a demo with this script.
fn build(project: &Project<'_>, limits: &str, script: &str) -> crate::project::Ended {
    let config = fs_err::read_to_string(project.root.join("kiln.toml")).unwrap();
    let config = config.split("[limits]").next().unwrap();
    project.write(
        "kiln.toml",
        format!("{config}[limits]\n{limits}\n").as_bytes(),
    );
    project.write_demo(&with_build(DEMO, script));
    project.kiln(&["--quiet", "build"])
}

/// Builds what must fail; returns whether it failed in exactly these words.
fn check(project: &Project<'_>, limits: &str, script: &str, (code, first): (i32, &str)) -> bool {
    let ended = build(project, limits, script);
    assert_eq!(project.rpm_names(), [""; 0], "{script}");
    project.check_no_leftovers();
    let expected = format!("error: demo: step `build` failed: {first}\n");
    (ended.code, ended.stderr.starts_with(&expected)) == (Some(code), true) || {
        eprintln!("expected {expected}got {:?}: {}", ended.code, ended.stderr);
        false
    }
}

#[test]
fn slow_what_a_step_uses_up_is_bounded_and_named() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    let is_said = |limits: &str, script: &str, expected: (i32, &str)| {
        assert!(check(&project, limits, script, expected), "{script}");
    };
    // A file with holes takes nothing; a full one does, also when only its blocks are counted.
    is_said(
        "build = 100",
        "truncate -s 1T /build/home/sparse\nsleep 0.2\nexit 5",
        (1, "exit status 5"),
    );
    is_said(
        "build = 100",
        "dd if=/dev/zero of=/build/home/f bs=1M count=20000\nsleep 1000",
        (
            1,
            "stopped, because it reached the limit of what /build may take on disk, 100 MiB \
             (`limits.build` in kiln.toml)",
        ),
    );
    is_said(
        "free = 1000000000",
        "sleep 1000",
        (
            2,
            "stopped, because less than 1000000000 MiB are free on the store's disk \
             (`limits.free` in kiln.toml)",
        ),
    );
    is_said(
        "scratch = 10",
        "dd if=/dev/zero of=/tmp/f bs=1M count=80",
        (1, "exit status 1"),
    );
    let log = fs_err::read_to_string(project.root.join("out/logs/demo/build.log")).unwrap();
    assert!(log.contains("No space left on device"), "{log}");
    // A minute is the least that can be set; 0 minutes are over at once.
    is_said(
        "time = 0",
        "sleep 1000",
        (
            1,
            "stopped, because it reached the time limit of 0 min (`limits.time` in kiln.toml)",
        ),
    );
    let doctor = project.kiln(&["doctor"]);
    if !has_resource_limits(&doctor.stdout) {
        eprintln!("skipped in part: no limits of memory and processes here");
        return;
    }
    let memory = "memory = 200";
    let eat = "perl -e '$x = q(a) x (900 * 1024 * 1024); print length($x)'";
    let limit = "the memory limit of 200 MiB (`limits.memory` in kiln.toml)";
    is_said(
        memory,
        eat,
        (
            1,
            &format!("exit status 137 (a command was killed), after it reached {limit}"),
        ),
    );
    is_said(
        memory,
        &format!("sh -c \"{}; exit 3\"", eat.replace('$', "\\$")),
        (1, &format!("exit status 3, after it reached {limit}")),
    );
    let ended = build(&project, "processes = 40", FORKS);
    let bomb = ended.stderr;
    assert_eq!(ended.code, Some(1), "{bomb}");
    let limit =
        "after it reached the process limit of 40 processes (`limits.processes` in kiln.toml)";
    assert!(bomb.contains(limit), "{bomb}");
}

/// More processes than one step may have, none of which ends by itself.
const FORKS: &str = "i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; sleep 1000";

fn has_resource_limits(doctor: &str) -> bool {
    let line = doctor.lines().find(|line| line.contains("resource limits"));
    line.is_some_and(|line| line.contains("yes"))
}
