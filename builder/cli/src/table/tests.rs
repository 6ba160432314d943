use std::path::PathBuf;

use kiln_build::{BuildError, RpmTotals};

use super::*;
use crate::report::words::tests::{build, library};
use crate::style::Colours;

fn row(work: Work, outcome: Outcome, seconds: u64) -> Row {
    let is_package = matches!(work, Work::Package(_) | Work::BasePackage(_));
    let is_done = matches!(outcome, Outcome::Built | Outcome::Cached);
    Row {
        work,
        outcome,
        elapsed: Duration::from_secs(seconds),
        rpms: (is_package && is_done).then_some(RpmTotals {
            files: 3,
            bytes: 2 << 20,
        }),
    }
}

fn package(recipe: &str) -> Work {
    Work::Package(build(recipe).node().unwrap().clone())
}

#[track_caller]
fn check(summary: &Summary, columns: Option<usize>, expected: &[&str]) {
    let table = Table {
        summary,
        output: Path::new("/p/out"),
        elapsed: Duration::from_secs(125),
        lists_files: false,
    };
    let lines = table.lines(columns);
    let shown: Vec<String> = lines.iter().map(|line| line.render(Colours::Off)).collect();
    assert_eq!(shown, expected);
    if let Some(columns) = columns {
        // Sentences may be broken by the terminal; rows may not.
        let rows = &lines[..lines.len() - 2];
        assert!(rows.iter().all(|line| line.width() <= columns));
    }
}

fn rpms(summary: &mut Summary, name: &str) {
    let file = (PathBuf::from("rpms/x86_64/x.rpm"), 2 << 20);
    summary.rpms.insert(name.to_owned(), vec![file]);
}

#[test]
fn unpinned_recipes_have_a_row_that_says_what_they_lack() {
    let name = |text: &str| text.parse().unwrap();
    let missing = kiln_model::recipe::MissingPin::Commit {
        repository: "https://example.org/astaire.git".parse().unwrap(),
        tag: "release-129".parse().unwrap(),
    };
    let mut summary = Summary {
        rows: vec![row(build("zlib"), Outcome::Built, 9)],
        unpinned: vec![
            kiln_build::Unpinned {
                path: vec![name("astaire")],
                missing: vec![missing.clone()],
            },
            kiln_build::Unpinned {
                path: vec![name("outer"), name("astaire")],
                missing: vec![missing],
            },
        ],
        written: 1,
        ..Summary::default()
    };
    let lacks = "the commit of tag release-129 in https://example.org/astaire.git";
    let rows = [
        format!("unpinned   astaire: lacks {lacks}"),
        format!("unpinned   outer: bundles astaire, which lacks {lacks}"),
    ];
    check(
        &summary,
        None,
        &[
            "",
            "built             9.0 s             zlib",
            &rows[0],
            &rows[1],
            "",
            "1 built, 2 unpinned; 1 file written (2 min 05 s).",
            "No RPMs: what was asked for yields libraries for others only.",
        ],
    );
    // They are told when there is nothing to do, too.
    summary.rows[0].outcome = Outcome::Cached;
    summary.written = 0;
    check(
        &summary,
        Some(40),
        &[
            "",
            &format!("{}…", &rows[0][..38]),
            &format!("{}…", &rows[1][..38]),
            "",
            "Nothing to do: all 1 results are up to date (2 min 05 s).",
            "No RPMs: what was asked for yields libraries for others only.",
        ],
    );
}

#[test]
fn every_state_has_its_row_and_all_are_counted() {
    let openssl = library("openssl", "/usr/lib/curl");
    let by = openssl.clone();
    let mut summary = Summary {
        rows: vec![
            row(library("c-ares", "/usr/lib/curl"), Outcome::Built, 64),
            row(openssl, Outcome::Failed, 482),
            row(build("curl"), Outcome::Blocked { by: by.clone() }, 0),
            row(package("curl"), Outcome::Blocked { by }, 0),
            row(build("zlib"), Outcome::Cached, 9),
            row(package("zlib"), Outcome::Cached, 1),
            row(build("nginx"), Outcome::Cancelled, 30),
            row(build("pcre2"), Outcome::NotStarted, 0),
            row(package("pcre2"), Outcome::NotStarted, 0),
        ],
        failures: vec![BuildError::NoResourceLimits],
        written: 1,
        ..Summary::default()
    };
    rpms(&mut summary, "zlib");
    check(
        &summary,
        Some(80),
        &[
            "",
            "built        1 min 04 s             c-ares for /usr/lib/curl",
            "failed       8 min 02 s             openssl for /usr/lib/curl",
            "not built                           curl: needs openssl for /usr/lib/curl",
            "cached          (9.0 s)             zlib",
            "cached          (1.0 s)    2.0 MiB  zlib (package), 3 RPMs",
            "cancelled        30.0 s             nginx",
            "not built                           pcre2",
            "",
            "1 built, 2 cached, 1 failed, 3 not built; 1 file written (2 min 05 s).",
            "1 RPM, 2.0 MiB, in /p/out/rpms",
        ],
    );
}

#[test]
fn long_names_are_shortened_on_a_terminal_only() {
    let long = "a-library-with-a-name-that-nobody-would-want-to-type";
    let summary = Summary {
        rows: vec![row(library(long, "/usr/lib/x"), Outcome::Built, 1)],
        written: 1,
        ..Summary::default()
    };
    let totals = [
        "",
        "1 built; 1 file written (2 min 05 s).",
        "No RPMs: what was asked for yields libraries for others only.",
    ];
    let whole = format!("built             1.0 s             {long} for /usr/lib/x");
    let short = "built             1.0 s             a-library-with-a-name…-type for /usr/lib/x";
    let narrow = "built      a-library-with…or /usr/lib/x";
    for (columns, line) in [(None, &*whole), (Some(80), short), (Some(40), narrow)] {
        check(
            &summary,
            columns,
            &["", line, totals[0], totals[1], totals[2]],
        );
    }
}

#[test]
fn a_run_with_nothing_to_do_says_so_in_one_line() {
    let mut summary = Summary {
        rows: vec![
            row(build("zlib"), Outcome::Cached, 9),
            row(package("zlib"), Outcome::Cached, 1),
        ],
        ..Summary::default()
    };
    rpms(&mut summary, "zlib");
    check(
        &summary,
        Some(80),
        &[
            "",
            "Nothing to do: all 2 results are up to date (2 min 05 s).",
            "1 RPM, 2.0 MiB, in /p/out/rpms",
        ],
    );
}

#[test]
fn files_are_listed_when_wanted() {
    let mut summary = Summary {
        rows: vec![row(package("zlib"), Outcome::Cached, 1)],
        ..Summary::default()
    };
    rpms(&mut summary, "zlib");
    let table = Table {
        summary: &summary,
        output: Path::new("out"),
        elapsed: Duration::ZERO,
        lists_files: true,
    };
    let lines = table.lines(None);
    assert_eq!(
        lines[1].render(Colours::Off),
        "    2.0 MiB  rpms/x86_64/x.rpm"
    );
    let event = serde_json::to_value(table.event()).unwrap();
    let expected = serde_json::json!({
        "event": "summary", "built": 0, "cached": 1, "failed": 0, "not-built": 0, "rpms": 1,
        "rpm-bytes": 2 << 20, "files-written": 0, "elapsed-ms": 0
    });
    assert_eq!(event, expected);
}
