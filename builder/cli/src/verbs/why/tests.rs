use kiln_build::{NodeId, Prefix};
use kiln_model::DiffId;

use super::*;

fn node(name: &str, prefix: &str) -> NodeId {
    NodeId {
        recipe: name.parse().unwrap(),
        prefix: match prefix {
            "" => Prefix::System,
            path => Prefix::Bundle(path.parse().unwrap()),
        },
    }
}

fn change(kind: ChangeKind, name: &str, before: Option<&str>, now: Option<&str>) -> Change {
    Change {
        kind,
        name: name.to_owned(),
        before: before.map(str::to_owned),
        now: now.map(str::to_owned),
    }
}

fn check(work: Work, need: Need, past: Comparison, expected: &str) {
    let explanation = Explanation { work, need, past };
    assert_eq!(text(&explanation).join("\n"), expected);
}

fn curl() -> Work {
    Work::Build(node("curl", ""))
}

#[test]
fn what_did_not_change_is_said_in_a_line() {
    let same = || Comparison::Same {
        missing: Vec::new(),
    };
    check(curl(), Need::Nothing, same(), "curl: nothing changed");
    check(
        curl(),
        Need::Runs,
        Comparison::Same {
            missing: vec!["what it installed", "the source files"],
        },
        "curl: nothing changed, but the store lacks what it installed and the source files: it is \
         built again",
    );
    check(
        curl(),
        Need::Runs,
        Comparison::NeverDone,
        "curl: never built here",
    );
    check(
        curl(),
        Need::Nothing,
        Comparison::NeverDone,
        "curl: never built here, but the store has the result of these inputs",
    );
    check(
        Work::Package(node("curl", "")),
        Need::Runs,
        Comparison::Forgotten,
        "curl (package): other inputs than before: it is packaged again; which ones can not be said, \
         the store has the old ones no more",
    );
}

#[test]
fn each_changed_input_is_named_with_what_it_was_and_is() {
    let changes = vec![
        change(
            ChangeKind::Recipe,
            "summary",
            Some("A tool"),
            Some("A better tool"),
        ),
        change(
            ChangeKind::Source,
            "curl-8.tar.gz",
            Some("curl-7.tar.gz sha256:7"),
            Some("sha256:8"),
        ),
        change(ChangeKind::Patch, "patches/a.patch", None, Some("sha256:a")),
        change(
            ChangeKind::Script,
            "build",
            Some("./configure\nmake\nmake docs"),
            Some("./configure\nmake -k\nmake docs"),
        ),
        change(ChangeKind::Environment, "OLD", Some("1"), None),
        change(
            ChangeKind::Environment,
            "CFLAGS",
            Some(&format!("-O2 {} -g", "-f".repeat(60))),
            Some(&format!("-O3 {} -g", "-f".repeat(60))),
        ),
        change(
            ChangeKind::SourceDate,
            "",
            Some("2024-01-01T00:00:00Z"),
            Some("2024-01-02T00:00:00Z"),
        ),
    ];
    check(
        curl(),
        Need::Runs,
        Comparison::Changed { changes },
        "curl: 7 inputs changed: it is built again\n  \
         recipe, summary\n    was  A tool\n    is   A better tool\n  \
         source curl-8.tar.gz\n    was  curl-7.tar.gz sha256:7\n    is   sha256:8\n  \
         patch patches/a.patch\n    new  sha256:a\n  \
         script of the step build\n    - make\n    + make -k\n  \
         environment variable OLD\n    was  1\n    is gone\n  \
         environment variable CFLAGS\n    - -O2\n    + -O3\n  \
         source date (SOURCE_DATE_EPOCH)\n    was  2024-01-01T00:00:00Z\n    is   2024-01-02T00:00:00Z",
    );
}

#[test]
fn a_library_that_is_built_first_may_leave_its_consumer_alone() {
    let awaited = |destdir| Need::Waits {
        awaited: vec![Awaited {
            node: node("openssl", "/usr/lib/curl"),
            destdir,
        }],
    };
    let unchanged = || Comparison::Changed {
        changes: Vec::new(),
    };
    let digest = DiffId(Digest::of(b""));
    check(
        curl(),
        awaited(Some(digest)),
        unchanged(),
        "curl: nothing of its own changed\n  openssl for /usr/lib/curl is built first; if it installs the \
         same bytes again (sha256:e3b0c44298fc…), curl is not built again",
    );
    check(
        curl(),
        awaited(None),
        Comparison::NeverDone,
        "curl: never built here\n  it comes after openssl for /usr/lib/curl",
    );
    check(
        Work::Package(node("curl", "")),
        Need::Waits {
            awaited: vec![Awaited {
                node: node("curl", ""),
                destdir: Some(digest),
            }],
        },
        unchanged(),
        "curl (package): nothing of its own changed\n  curl is built first; whether it is packaged again is \
         known then",
    );
}

#[test]
fn lists_are_compared_item_by_item() {
    let list = |last: &str| {
        format!(
            "[\"/usr/bin/a long name\",\"{}\",\"{last}\"]",
            "x".repeat(90)
        )
    };
    assert_eq!(
        difference(&list("/b"), &list("/c")),
        ["    - /b", "    + /c"]
    );
}

#[test]
fn a_long_difference_is_cut_and_says_so() {
    let lines = |word: &str| -> String { (0..100).map(|n| format!("{word} {n}\n")).collect() };
    let shown = difference(&lines("old"), &lines("new"));
    assert_eq!(shown.len(), MOST_LINES + 1);
    assert_eq!(shown[MOST_LINES], "    … and 160 lines more");
}

#[test]
fn programs_get_the_same_as_words_and_values() {
    let explanation = Explanation {
        work: curl(),
        need: Need::Runs,
        past: Comparison::Changed {
            changes: vec![change(ChangeKind::Tools, "", None, Some("sha256:t"))],
        },
    };
    assert_eq!(
        serde_json::to_value(event(&explanation)).unwrap(),
        serde_json::json!({
            "event": "why",
            "work": {"kind": "build", "name": "curl"},
            "need": "runs",
            "past": "changed",
            "changes": [{"kind": "tools", "now": "sha256:t"}],
        })
    );
}
