use std::collections::BTreeMap;

use kiln_model::{Digest, Effect, Factor, Level, Observation, Variation};

use super::*;
use crate::isolate::{Trial, TrialOutcome};
use crate::subject::{Finding, Subject, SubjectKind};
use crate::verification::BuildReport;
use crate::{Agreement, Cause, Change, Comparison, Difference, NamedCause, Note, Segment};

const HOSTILE: &str = "<script>alert(1)</script> & \"quotes\"";

fn comparison() -> Comparison {
    let segment = Segment {
        kind: "file".into(),
        name: "/usr/share/<b>demo</b>".into(),
    };
    let difference = |change| Difference {
        place: vec![segment.clone()],
        change,
    };
    Comparison {
        differences: vec![
            difference(Change::OnlyLeft(HOSTILE.to_owned())),
            difference(Change::OnlyRight("right only".into())),
            difference(Change::Value {
                left: "one".into(),
                right: "two".into(),
            }),
            difference(Change::Order {
                left: "a, b".into(),
                right: "b, a".into(),
            }),
        ],
        is_cut: true,
        notes: vec![Note {
            place: Vec::new(),
            text: "an archive lies too deep".into(),
        }],
    }
}

/// What is said of something that was rebuilt once, to other bytes.
fn report(kind: SubjectKind, name: &str, verdict: Verdict, recipe: Option<&str>) -> SubjectReport {
    SubjectReport {
        subject: Subject {
            recipe: recipe.map(|recipe| recipe.parse().unwrap()),
            kind,
            name: name.into(),
        },
        digest: Some(Digest::of(name.as_bytes())),
        verdict,
        agreement: Some(Agreement::Different),
        reason: None,
        is_derived: false,
        findings: vec![Finding {
            build: 1,
            agreement: Agreement::Different,
            rebuilt: Digest::of(b"other"),
        }],
        comparison: Comparison::default(),
        causes: Vec::new(),
        trials: Vec::new(),
    }
}

fn everything() -> Verification {
    let mut variation = Variation::default();
    variation.set(Factor::Clock, Level::Past);
    let mut bad = report(
        SubjectKind::Package,
        "rpms/x86_64/demo.rpm",
        Verdict::Unreproducible,
        Some("demo"),
    );
    bad.comparison = comparison();
    bad.causes = vec![NamedCause {
        cause: Cause::Timestamp,
        evidence: "two dates".into(),
    }];
    bad.trials = vec![Trial {
        variation: variation.clone(),
        outcome: TrialOutcome::Differs,
        repeats: true,
    }];
    let mut failed = report(
        SubjectKind::Spec,
        "specs/demo.spec",
        Verdict::FailedToBuild,
        Some("demo"),
    );
    failed.reason = Some("rebuild 1 failed".into());
    Verification {
        recipes: vec!["demo".parse().unwrap()],
        builds: vec![BuildReport {
            variation,
            observations: vec![Observation {
                factor: Factor::Clock,
                level: Level::Past,
                effect: Effect::Seen,
                outside: "2026".into(),
                inside: "2001".into(),
                how: "date +%s".into(),
            }],
            checks: Checks::Skipped,
            failures: BTreeMap::from([("demo".parse().unwrap(), HOSTILE.to_owned())]),
        }],
        pairs: (100, 200),
        notes: vec!["rpms/repodata was not compared".into()],
        subjects: vec![
            bad,
            failed,
            report(
                SubjectKind::Repository,
                "rpms/repodata/repomd.xml",
                Verdict::NotTested,
                None,
            ),
        ],
    }
}

#[test]
fn the_page_shows_everything_and_runs_nothing() {
    let page = render_html(&everything(), "1.2.3");
    for shown in [
        "unreproducible",
        "failed to build",
        "not tested",
        "base image and repository",
        "timestamps</strong>: two dates",
        "only in the original",
        "right only",
        "other order",
        "an archive lies too deep",
        "clock past",
        "upstream&#x27;s tests left out",
        "seen by steps",
        "100 of 200",
        "repodata was not compared",
        "rebuild 1 failed",
        "built again to be sure, 1 times",
        "1.2.3",
    ] {
        assert!(page.contains(shown), "{shown} is not in the page:\n{page}");
    }
    assert!(!page.contains("<script"), "{page}");
    assert!(!page.contains("<b>demo"), "{page}");
    for outside in ["src=", "href=", "url(", "@import"] {
        assert!(!page.contains(outside), "the page loads {outside}");
    }
}

#[test]
fn reports_are_always_the_same_and_json_reads_back() {
    let verification = everything();
    assert_eq!(
        render_html(&verification, "1"),
        render_html(&verification, "1")
    );
    let json = render_json(&verification, "1");
    let value: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(value["format"], REPORT_FORMAT);
    assert_eq!(value["verdict"], "unreproducible");
    let again: Verification = serde_json::from_value(serde_json::json!({
        "recipes": value["recipes"],
        "builds": value["builds"],
        "pairs": value["pairs"],
        "notes": value["notes"],
        "subjects": value["subjects"],
    }))
    .unwrap();
    assert_eq!(again, verification);
}
