//! Runs in which some of the work fails, floods its log, or is interrupted: what is told of it, to
//! people and to programs, and what becomes of the rest.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::bases::Base;
use crate::project::{
    BUILD_WITH_SUMS, DEMO, Project, SUMS, changed, demo_with_sums, outputs, wait_until, with_build,
};
use crate::server::Server;

/// A product like demo, under another name.
fn plain() -> String {
    changed(DEMO, "name: demo\n", "name: plain\n")
        .replace("- name: demo", "- name: plain")
        .replace("- name: libdemo", "- name: libplain")
        .replace("=libdemo", "=libplain")
        // Their packages own the same files.
        .replace("- name: plain\n", "- name: plain\n    conflicts: [demo]\n")
        .replace(
            "- name: libplain\n",
            "- name: libplain\n    conflicts: [libdemo]\n",
        )
        .replace(
            "- name: libplain-devel\n",
            "- name: libplain-devel\n    conflicts: [libdemo-devel]\n",
        )
}

/// A library like sums, under another name, that dies while it is built.
fn minus() -> String {
    let failing = with_build(SUMS, "kill -SEGV $$");
    changed(&failing, "name: sums\n", "name: minus\n")
}

/// Returns the events that a run printed, the first and last ones aside.
fn events(stdout: &str) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    let mut events: Vec<Value> = stdout.lines().map(parse).collect();
    assert_eq!(events.remove(0)["event"], "started");
    assert_eq!(events.last().unwrap()["event"], "finished");
    events
}

/// Returns what came of each piece of work, in the order in which it was told.
fn states(events: &[Value]) -> Vec<String> {
    let ended = events.iter().filter(|event| event["event"] == "work-ended");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut states: Vec<String> = ended
        .map(|event| {
            let work = &event["work"];
            format!(
                "{} {}: {}",
                text(&work["kind"]),
                text(&work["name"]),
                text(&event["state"])
            )
        })
        .collect();
    states.sort();
    states
}

const ALL: &[&str] = &["build", "demo", "minus", "plain"];

fn failing_project<'a>(base: &Base, server: &'a Server) -> Project<'a> {
    let project = Project::new(base, server, &demo_with_sums());
    project.write_like_sums("sums", &with_build(SUMS, "echo no sums\nexit 3"));
    project.write_like_sums("minus", &minus());
    project.write_like_demo("plain", &plain());
    project.done(&["lock"]);
    project
}

#[test]
fn slow_with_keep_going_the_good_branch_is_published_and_every_failure_told() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = failing_project(&base, &server);
    let ended = project.kiln(&[ALL, &["--keep-going"]].concat());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let has = |text: &str, part: &str| assert!(text.contains(part), "{part} is not in {text}");
    for part in [
        "error: sums for /usr/lib/demo: step `build` failed: exit status 3\n  command   exit 3\n",
        "\nlog: PROJECT/out/logs/sums@usr-lib-demo/build.log\n",
        "hint: `kiln shell sums --for demo` opens",
        "error: minus for /usr/lib/minus: step `build` failed: killed by signal 11 \
         (segmentation fault)\n  command   kill -SEGV",
        "\nlog: PROJECT/out/logs/minus@usr-lib-minus/build.log\n",
    ] {
        has(&ended.stderr, part);
    }
    let row = |start: &str, name: &str| {
        let is_row = |line: &&str| line.starts_with(start) && line.ends_with(name);
        let rows = ended.stdout.lines().filter(is_row).count();
        assert_eq!(rows, 1, "{start} … {name}\n{}", ended.stdout);
    };
    row("failed ", "  sums for /usr/lib/demo");
    row("not built ", "  demo: needs sums for /usr/lib/demo");
    row("failed ", "  minus for /usr/lib/minus");
    row("built ", "  plain");
    row("built ", " KiB  plain (package), 5 RPMs");
    has(
        &ended.stdout,
        "\n3 built, 2 failed, 1 not built; 18 files written (",
    );
    assert!(!ended.stderr.contains('\u{1b}') && !ended.stdout.contains('\u{1b}'));
    let names = project.rpm_names();
    assert_eq!(names.len(), 6, "plain's and the base's: {names:?}");
    assert!(names.iter().all(|name| !name.starts_with("demo")));
    project.check_store();
    project.check_no_leftovers();
    // What was good is not built again, and what is mended is all that is.
    project.write_sums();
    project.write_like_sums("minus", &changed(SUMS, "name: sums\n", "name: minus\n"));
    project.write_demo(&changed(
        &demo_with_sums(),
        "  use: make\n",
        BUILD_WITH_SUMS,
    ));
    let ended = project.done(&[ALL, &["--format", "json"]].concat());
    assert_eq!(
        states(&events(&ended.stdout)),
        [
            "base-package kiln-base-debian-12: cached",
            "build demo: built",
            "build minus for /usr/lib/minus: built",
            "build plain: cached",
            "build sums for /usr/lib/demo: built",
            "package demo: built",
            "package plain: cached",
        ]
    );
    assert!(outputs(&project.root.join("out")).contains_key("sbom/demo.cdx.json"));
}

#[test]
fn slow_a_source_that_can_not_be_had_fails_only_who_needs_it() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.write_sums();
    project.done(&["lock"]);
    let digest = kiln_model::Digest::of(&crate::upstream::sums()).to_hex();
    fs_err::remove_file(project.store().join("blobs/sha256").join(digest)).unwrap();
    let all = ["--offline", "build", "sums", "demo"];
    let missing = "error: 1 file is missing from the store";
    let ended = project.kiln(&all);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains(missing), "{}", ended.stderr);
    assert!(!ended.stderr.contains("demo: build"), "nothing is begun");
    let ended = project.kiln(&[&all[..], &["--keep-going"]].concat());
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains(missing), "{}", ended.stderr);
    let totals = "\n3 built, 1 failed; ";
    assert!(ended.stdout.contains(totals), "{}", ended.stdout);
    assert_eq!(project.rpm_names().len(), 6);
    project.check_no_leftovers();
}

#[test]
fn slow_without_it_nothing_is_published_and_the_rest_says_so() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = failing_project(&base, &server);
    let ended = project.kiln(&["build", "demo"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("error: ").count(), 1);
    let totals = "failed, 1 not built; out/ is as it was (";
    assert!(ended.stdout.contains(totals), "{}", ended.stdout);
    assert_eq!(project.rpm_names(), [""; 0]);
    project.check_no_leftovers();
}

#[test]
fn slow_programs_are_told_of_a_failure_step_by_step() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let script = "printf 'a\\033[1mb\\n'\nexit 3";
    let project = Project::new(&base, &server, &with_build(DEMO, script));
    project.done(&["lock"]);
    let arguments = ["--format", "json", "--verbose", "--quiet", "build"];
    assert_eq!(project.kiln(&arguments).code, Some(2), "they contradict");
    let ended = project.kiln(&["--format", "json", "--verbose", "build"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("demo build | a[1mb\n"),
        "{}",
        ended.stderr
    );
    let mut told = events(&ended.stdout);
    assert_eq!(
        told.pop().unwrap(),
        serde_json::json!({"event": "finished", "exit": 1})
    );
    let of = |kind: &str| told.iter().find(|event| event["event"] == kind).unwrap();
    let demo = serde_json::json!({"kind": "build", "name": "demo"});
    assert_eq!(of("planned")["work"][0], demo);
    assert_eq!(of("step-started")["step"], "build");
    assert!(told.contains(&serde_json::json!({
        "event": "output", "work": demo, "step": "build", "line": "a[1mb"
    })));
    let end = of("step-ended");
    assert_eq!((&end["end"], &end["status"]), (&"exited".into(), &3.into()));
    let failed = told
        .iter()
        .find(|event| event["state"] == "failed")
        .unwrap();
    assert_eq!(failed["error"]["command"], "exit 3");
    assert_eq!(
        failed["error"]["tail"].as_array().unwrap().last().unwrap(),
        "+ exit 3"
    );
    assert_eq!(of("summary")["failed"], 1);
    assert_eq!(
        of("error")["message"],
        "demo: step `build` failed: exit status 3"
    );
}

#[test]
fn slow_an_interrupted_run_says_what_was_cancelled() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(
        &base,
        &server,
        &with_build(DEMO, "echo asleep\nsleep 86400"),
    );
    project.done(&["lock"]);
    let mut command = project.command();
    command.args(["--format=json", "build", "--keep-going"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = child.spawn().unwrap();
    let log = project.root.join("out/logs/demo/build.log");
    wait_until("the step that sleeps", || {
        fs_err::read_to_string(&log).is_ok_and(|text| text.contains("\nasleep\n"))
    });
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let ended = project.ended(&child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(
        ended.stderr.ends_with("error: interrupted\n"),
        "{}",
        ended.stderr
    );
    let told = events(&ended.stdout);
    let states = states(&told);
    assert!(
        states.contains(&"build demo: cancelled".to_owned()),
        "{states:?}"
    );
    assert!(
        states.contains(&"package demo: not-started".to_owned()),
        "{states:?}"
    );
    assert_eq!(told.last().unwrap()["exit"], 130);
    assert_eq!(project.rpm_names(), [""; 0]);
    project.check_no_leftovers();
}

#[test]
fn slow_of_a_step_that_floods_its_log_the_reason_is_still_shown() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let flood = "yes 'all work and no play' | head -c 1000000000\necho this is why\nexit 3";
    let project = Project::new(&base, &server, &with_build(DEMO, flood));
    let config = fs_err::read_to_string(project.root.join("kiln.toml")).unwrap();
    project.write(
        "kiln.toml",
        format!("{config}[limits]\nlog = 1\n").as_bytes(),
    );
    project.done(&["lock"]);
    let ended = project.kiln(&["--quiet", "build"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    for part in ["  command   exit 3\n", "  | this is why\n  | + exit 3\n"] {
        assert!(
            ended.stderr.contains(part),
            "{part} is not in {}",
            ended.stderr
        );
    }
    let log = fs_err::read_to_string(project.root.join("out/logs/demo/build.log")).unwrap();
    assert!(log.len() < (1 << 20) + 16 * 1024, "{} bytes", log.len());
    let cut = "kiln: the log limit of 1048576 bytes was reached; ";
    assert!(log.contains(cut) && log.ends_with("this is why\n+ exit 3\n"));
}
