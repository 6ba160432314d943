//! What a verification came to, as one HTML page that stands alone, and as JSON.
//!
//! Both follow from the verification alone: no clock, no host. Everything foreign in the page is
//! escaped by the template engine, and the page loads nothing from anywhere.

use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use serde::Serialize;

use crate::rebuild::Checks;
use crate::verdict::{Agreement, Verdict};
use crate::verification::{SubjectReport, Verification};

/// The format of the JSON report.
pub const REPORT_FORMAT: u32 = 1;

const TEMPLATE: &str = include_str!("report/page.html");

/// Writes the JSON report.
#[must_use]
pub fn render_json(verification: &Verification, kiln: &str) -> Vec<u8> {
    #[derive(Serialize)]
    struct Report<'a> {
        format: u32,
        kiln: &'a str,
        verdict: Verdict,
        #[serde(flatten)]
        verification: &'a Verification,
    }
    let report = Report {
        format: REPORT_FORMAT,
        kiln,
        verdict: verification.verdict(),
        verification,
    };
    let mut text = serde_json::to_vec_pretty(&report).expect("a report is texts, numbers and maps");
    text.push(b'\n');
    text
}

/// Writes the page.
///
/// # Panics
/// When kiln's own template is wrong; a test renders everything in it.
#[must_use]
pub fn render_html(verification: &Verification, kiln: &str) -> String {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment
        .add_template("page", TEMPLATE)
        .expect("the template is part of kiln");
    let page = environment.get_template("page").and_then(|template| {
        template.render(minijinja::value::Serde(Page::new(verification, kiln)))
    });
    page.expect("the template uses only what the page has")
}

#[derive(Serialize)]
struct Page<'a> {
    kiln: &'a str,
    verdict: &'static str,
    class: &'static str,
    counts: Vec<Count>,
    pairs: (usize, usize),
    notes: &'a [String],
    builds: Vec<Build>,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct Count {
    number: usize,
    words: &'static str,
    class: &'static str,
}

#[derive(Serialize)]
struct Build {
    number: usize,
    variation: String,
    checks: &'static str,
    observations: Vec<Row>,
    failures: Vec<(String, String)>,
}

#[derive(Serialize)]
struct Row {
    factor: &'static str,
    level: &'static str,
    effect: &'static str,
    outside: String,
    inside: String,
    how: String,
}

#[derive(Serialize)]
struct Group {
    name: String,
    verdict: &'static str,
    class: &'static str,
    subjects: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    kind: &'static str,
    digest: String,
    verdict: &'static str,
    class: &'static str,
    agreement: &'static str,
    reason: String,
    causes: Vec<(&'static str, String)>,
    differences: Vec<Place>,
    is_cut: bool,
    notes: Vec<String>,
    trials: Vec<(String, &'static str)>,
    has_details: bool,
}

#[derive(Serialize)]
struct Place {
    place: String,
    change: &'static str,
    left: String,
    right: String,
}

impl<'a> Page<'a> {
    fn new(verification: &'a Verification, kiln: &'a str) -> Self {
        let verdict = verification.verdict();
        Self {
            kiln,
            verdict: verdict.name(),
            class: class(verdict),
            counts: Verdict::ALL
                .into_iter()
                .map(|verdict| Count {
                    number: verification.count(verdict),
                    words: verdict.name(),
                    class: class(verdict),
                })
                .filter(|count| count.number > 0)
                .collect(),
            pairs: verification.pairs,
            notes: &verification.notes,
            builds: builds(verification),
            groups: groups(verification),
        }
    }
}

/// The name of a verdict's colour.
const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Reproducible => "good",
        Verdict::Unreproducible => "bad",
        Verdict::FailedToBuild => "failed",
        Verdict::NotTested => "unknown",
    }
}

fn builds(verification: &Verification) -> Vec<Build> {
    let builds = verification.builds.iter().zip(1..);
    builds
        .map(|(build, number)| Build {
            number,
            variation: build.variation.to_string(),
            checks: match build.checks {
                Checks::Run => "upstream's tests ran",
                Checks::Skipped => "upstream's tests left out",
            },
            observations: build
                .observations
                .iter()
                .map(|seen| Row {
                    factor: seen.factor.name(),
                    level: seen.level.name(),
                    effect: seen.effect.name(),
                    outside: seen.outside.clone(),
                    inside: seen.inside.clone(),
                    how: seen.how.clone(),
                })
                .collect(),
            failures: build
                .failures
                .iter()
                .map(|(recipe, failure)| (recipe.to_string(), failure.clone()))
                .collect(),
        })
        .collect()
}

fn groups(verification: &Verification) -> Vec<Group> {
    let groups = verification.groups().into_iter();
    groups
        .map(|(name, reports)| {
            let verdicts = reports.iter().map(|report| report.verdict);
            let verdict = Verdict::worst(verdicts).unwrap_or(Verdict::NotTested);
            Group {
                name: name.to_owned(),
                verdict: verdict.name(),
                class: class(verdict),
                subjects: reports.into_iter().map(entry).collect(),
            }
        })
        .collect()
}

fn entry(report: &SubjectReport) -> Entry {
    let comparison = &report.comparison;
    let differences: Vec<Place> = telling(comparison).map(place).collect();
    Entry {
        name: report.subject.name.clone(),
        kind: report.subject.kind.name(),
        digest: report
            .digest
            .map(|digest| digest.to_string())
            .unwrap_or_default(),
        verdict: report.verdict.name(),
        class: class(report.verdict),
        agreement: match (report.agreement, report.subject.kind.is_package()) {
            (None, _) => "",
            (Some(agreement), true) => agreement.name(),
            (Some(Agreement::BitIdentical), false) => "identical",
            (Some(_), false) => "different",
        },
        reason: match report.is_derived {
            true => "; follows from the others".to_owned(),
            false => report.reason.clone().unwrap_or_default(),
        },
        causes: report
            .causes
            .iter()
            .map(|cause| (cause.cause.name(), cause.evidence.clone()))
            .collect(),
        has_details: !differences.is_empty() && !report.is_derived,
        differences,
        is_cut: comparison.is_cut,
        notes: comparison
            .notes
            .iter()
            .map(|note| note.text.clone())
            .collect(),
        trials: report
            .trials
            .iter()
            .map(|trial| {
                let outcome = match trial.repeats {
                    true => "differs, as the time before",
                    false => trial.outcome.name(),
                };
                (trial.variation.to_string(), outcome)
            })
            .collect(),
    }
}

/// Returns the differences that stand for themselves: digests and sizes of what differs say nothing more.
pub fn telling(comparison: &crate::Comparison) -> impl Iterator<Item = &crate::Difference> {
    let explained = comparison.explained();
    explained
        .filter(|(_, is_explained)| !is_explained)
        .map(|(difference, _)| difference)
}

fn place(difference: &crate::Difference) -> Place {
    let segments: Vec<String> = difference.place.iter().map(ToString::to_string).collect();
    let (change, left, right) = match &difference.change {
        crate::Change::OnlyLeft(left) => ("only in the original", left.clone(), String::new()),
        crate::Change::OnlyRight(right) => ("only in the rebuild", String::new(), right.clone()),
        crate::Change::Value { left, right } => ("other value", left.clone(), right.clone()),
        crate::Change::Order { left, right } => ("other order", left.clone(), right.clone()),
    };
    Place {
        place: segments.join(" › "),
        change,
        left,
        right,
    }
}

#[cfg(test)]
mod tests;
