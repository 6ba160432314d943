use std::path::{Path, PathBuf};

use kiln_build::{RpmTotals, StepName};
use serde_json::Value;

use super::*;
use crate::report::event_line::{encode, event_schema};
use crate::report::words::tests::{build, library};

fn told(event: &Event<'_>) -> String {
    encode(&event_line(event).unwrap())
}

#[test]
fn each_event_is_one_object() {
    let zlib = build("zlib");
    let openssl = library("openssl", "/usr/lib/curl");
    let step = StepName::Check;
    let elapsed = Duration::from_millis(1500);
    let ended = |end| {
        let work = &zlib;
        told(&Event::StepEnded {
            work,
            step,
            end,
            elapsed,
        })
    };
    for (actual, expected) in [
        (
            told(&Event::Planned {
                work: &[openssl.clone(), zlib.clone()],
            }),
            r#"{"event":"planned","work":[{"kind":"build","name":"openssl for /usr/lib/curl"},{"kind":"build","name":"zlib"}]}"#,
        ),
        (
            told(&Event::Fetching {
                files: 2,
                bytes: None,
            }),
            r#"{"event":"fetching","files":2}"#,
        ),
        (
            told(&Event::Fetched {
                name: "a\u{1b}[1m\u{9b}",
                bytes: 7,
            }),
            r#"{"event":"fetched","name":"a\u001b[1m\u009b","bytes":7}"#,
        ),
        (
            told(&Event::AssemblyAdvanced {
                what: "debian-12",
                stage: TreeStage::Read,
                bytes: 1,
                total: 2,
            }),
            r#"{"event":"assembly-advanced","name":"debian-12","stage":"packages","bytes":1,"total":2}"#,
        ),
        (
            told(&Event::LockUnchanged {
                file: Path::new("a.lock"),
            }),
            r#"{"event":"locked","file":"a.lock","is-written":false}"#,
        ),
        (
            ended(&StepEnd::Exited(2)),
            r#"{"event":"step-ended","work":{"kind":"build","name":"zlib"},"step":"check","end":"exited","status":2,"elapsed-ms":1500}"#,
        ),
        (
            ended(&StepEnd::Signaled(9)),
            r#"{"event":"step-ended","work":{"kind":"build","name":"zlib"},"step":"check","end":"signaled","signal":9,"elapsed-ms":1500}"#,
        ),
    ] {
        assert_eq!(actual, expected);
    }
}

#[test]
fn work_that_ended_says_how() {
    let zlib = build("zlib");
    let row = |outcome, rpms| Row {
        work: zlib.clone(),
        outcome,
        elapsed: Duration::from_secs(1),
        rpms,
    };
    let check = |row: Row, error: Option<&BuildError>, expected: Value| {
        let line = told(&Event::WorkEnded { row: &row, error });
        let mut actual: Value = serde_json::from_str(&line).unwrap();
        let fields = actual.as_object_mut().unwrap();
        assert_eq!(fields.remove("event"), Some("work-ended".into()));
        assert_eq!(fields.remove("elapsed-ms"), Some(1000.into()));
        let name = serde_json::json!({"kind": "build", "name": "zlib"});
        assert_eq!(fields.remove("work"), Some(name));
        assert_eq!(actual, expected);
    };
    let rpms = Some(RpmTotals { files: 4, bytes: 9 });
    check(
        row(Outcome::Built, rpms),
        None,
        serde_json::json!({"state": "built", "rpms": 4, "rpm-bytes": 9}),
    );
    let by = library("openssl", "/usr/lib/curl");
    check(
        row(Outcome::Blocked { by }, None),
        None,
        serde_json::json!({
            "state": "blocked",
            "blocked-by": {"kind": "build", "name": "openssl for /usr/lib/curl"},
        }),
    );
    let error = BuildError::StepFailed {
        node: zlib.node().unwrap().clone(),
        step: StepName::Build,
        end: StepEnd::Exited(2),
        reached: Vec::new(),
        log: Box::new(LogEnd {
            log: PathBuf::from("out/logs/zlib/build.log"),
            command: Some("make -j2".to_owned()),
            tail: vec!["no rule".to_owned()],
        }),
    };
    check(
        row(Outcome::Failed, None),
        Some(&error),
        serde_json::json!({"state": "failed", "error": {
            "message": "zlib: step `build` failed: exit status 2",
            "command": "make -j2",
            "log": "out/logs/zlib/build.log",
            "tail": ["no rule"],
        }}),
    );
}

#[test]
fn progress_is_told_now_and_then() {
    let events = Events {
        started: Instant::now(),
        told: Mutex::default(),
    };
    let advanced = |name: &str| EventLine::FetchAdvanced {
        name: name.to_owned(),
        bytes: 1,
    };
    let at = Duration::from_millis;
    for (name, now, expected) in [
        ("a", 0, true),
        ("a", 499, false),
        ("b", 499, true),
        ("a", 500, true),
        ("a", 501, false),
    ] {
        let is_due = events.is_due(&advanced(name), at(now));
        assert_eq!(is_due, expected, "{name} at {now}");
    }
    assert!(events.is_due(&EventLine::Finished { exit: 0 }, at(501)));
    assert!(events.is_due(&EventLine::Finished { exit: 0 }, at(501)));
}

/// Returns the kinds of lines that the schema knows.
fn kinds() -> Vec<String> {
    let schema = event_schema();
    let variants = schema["oneOf"].as_array().unwrap();
    let kind = |variant: &Value| {
        variant["properties"]["event"]["const"]
            .as_str()
            .map(str::to_owned)
    };
    variants
        .iter()
        .map(|variant| kind(variant).unwrap())
        .collect()
}

#[test]
fn every_kind_of_line_is_documented() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md");
    let page = fs_err::read_to_string(page).unwrap();
    let documented: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(documented, kinds(), "the table follows the types");
}
