//! What a verification came to, for people: a line per recipe, differences below it, what was varied.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kiln_compare::{
    Agreement, Change, Difference, Progress, SubjectReport, Verdict, Verification, telling,
};
use kiln_model::{Effect, RecipeName};

use crate::style::{Line, Style};
use crate::text::count;

/// Columns of the verdict.
const VERDICT: usize = 16;
/// Recipes that are named in one line of progress.
const MOST_NAMED: usize = 4;
/// Differences shown of one file; the report has them all.
const MOST_SHOWN: usize = 4;

/// Returns what is told while it goes on.
pub fn progress_line(progress: &Progress<'_>) -> String {
    match progress {
        Progress::Rebuilding {
            build,
            of,
            variation,
        } => format!("rebuild {build} of {of}: {variation}"),
        Progress::Compared {
            same, differing: 0, ..
        } => format!("           all {same} results are the same"),
        Progress::Compared {
            same, differing, ..
        } => format!("           {same} results are the same, {differing} differ"),
        Progress::Isolating { recipes, variation } => {
            let named = recipes.iter().take(MOST_NAMED).map(RecipeName::as_str);
            let mut names = named.collect::<Vec<_>>().join(", ");
            if let Some(more) = recipes.len().checked_sub(MOST_NAMED + 1) {
                names.push_str(&format!(" and {}", count(more + 1, "other recipe")));
            }
            format!("why does it differ? {names} again: {variation}")
        }
    }
}

/// Returns the closing lines; `report` is the page that was written.
pub fn lines(verification: &Verification, report: &Path) -> Vec<Line> {
    let mut lines = vec![Line::new()];
    for (name, reports) in verification.groups() {
        add_group(&mut lines, name, &reports);
    }
    lines.push(Line::new());
    lines.extend(verification.notes.iter().map(|note| Line::plain(note)));
    lines.extend(not_varied(verification));
    lines.push(totals(verification));
    lines.push(Line::plain(&format!("The report: {}", report.display())));
    lines
}

const fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Reproducible => Style::Good,
        Verdict::Unreproducible | Verdict::FailedToBuild => Style::Bad,
        Verdict::NotTested => Style::Odd,
    }
}

fn add_group(lines: &mut Vec<Line>, name: &str, reports: &[&SubjectReport]) {
    let verdicts = reports.iter().map(|report| report.verdict);
    let Some(worst) = Verdict::worst(verdicts) else {
        return;
    };
    let bad: Vec<&&SubjectReport> = reports
        .iter()
        .filter(|report| report.verdict != Verdict::Reproducible)
        .collect();
    let detail = match worst {
        Verdict::Reproducible => good_detail(reports),
        _ => {
            let causes: BTreeSet<&str> = bad
                .iter()
                .flat_map(|report| report.causes.iter().map(|cause| cause.cause.name()))
                .collect();
            let causes: Vec<&str> = causes.into_iter().collect();
            let of = format!("{} of {} results", bad.len(), reports.len());
            match causes.is_empty() {
                true => of,
                false => format!("{of}: {}", causes.join(", ")),
            }
        }
    };
    lines.push(
        Line::new()
            .with(style(worst), &format!("{:<VERDICT$}", worst.name()))
            .with(Style::Plain, &format!("{name}  "))
            .with(Style::Dim, &detail),
    );
    for report in bad.iter().filter(|report| !report.is_derived) {
        add_bad(lines, report);
    }
    let derived = bad.iter().filter(|report| report.is_derived).count();
    if derived > 0 {
        let text = format!(
            "  and {}, which name these by digest",
            count(derived, "more result")
        );
        lines.push(Line::new().with(Style::Dim, &text));
    }
}

fn good_detail(reports: &[&SubjectReport]) -> String {
    let is_package = |report: &&&SubjectReport| report.subject.kind.is_package();
    let packages: Vec<&&SubjectReport> = reports.iter().filter(is_package).collect();
    let others = reports.len() - packages.len();
    let worst = packages.iter().filter_map(|report| report.agreement).max();
    let mut parts = Vec::new();
    if !packages.is_empty() {
        let agreement = worst.unwrap_or(Agreement::BitIdentical);
        parts.push(format!("{} {agreement}", count(packages.len(), "RPM")));
    }
    if others > 0 {
        parts.push(format!("{} identical", count(others, "other result")));
    }
    parts.join(", ")
}

fn add_bad(lines: &mut Vec<Line>, report: &SubjectReport) {
    let what = report
        .agreement
        .filter(|_| report.subject.kind.is_package())
        .map_or(String::new(), |agreement| format!("  {agreement}"));
    lines.push(
        Line::plain(&format!(
            "  {} {}",
            report.subject.kind, report.subject.name
        ))
        .with(Style::Dim, &what),
    );
    if let Some(reason) = &report.reason {
        lines.extend(
            reason
                .lines()
                .map(|line| Line::plain(&format!("    {line}"))),
        );
    }
    let differences: Vec<&Difference> = telling(&report.comparison).collect();
    for difference in differences.iter().take(MOST_SHOWN) {
        add_difference(lines, difference);
    }
    let hidden = differences.len().saturating_sub(MOST_SHOWN);
    if hidden > 0 || report.comparison.is_cut {
        let more = match report.comparison.is_cut {
            true => format!("    and more than {hidden} others"),
            false => format!("    and {}", count(hidden, "more difference")),
        };
        lines.push(Line::new().with(Style::Dim, &more));
    }
    for cause in &report.causes {
        lines.push(
            Line::new()
                .with(Style::Odd, &format!("    {}", cause.cause))
                .with(Style::Plain, &format!(": {}", cause.evidence)),
        );
    }
}

fn add_difference(lines: &mut Vec<Line>, difference: &Difference) {
    let place: Vec<String> = difference.place.iter().map(ToString::to_string).collect();
    lines.push(Line::plain(&format!("    {}", place.join(" > "))));
    let mut side = |name: &str, value: &str| {
        lines.push(
            Line::new()
                .with(Style::Dim, &format!("      {name:<9} "))
                .with(Style::Plain, value),
        );
    };
    match &difference.change {
        Change::OnlyLeft(value) => side("original", value),
        Change::OnlyRight(value) => side("rebuilt", value),
        Change::Value { left, right } => {
            side("original", left);
            side("rebuilt", right);
        }
        Change::Order { left, right } => {
            side("original", &format!("in the order {left}"));
            side("rebuilt", &format!("in the order {right}"));
        }
    }
}

/// What was asked for and could not be varied in any rebuild, with one reason.
fn not_varied(verification: &Verification) -> Vec<Line> {
    let mut refused = BTreeMap::new();
    let seen: BTreeSet<_> = verification
        .builds
        .iter()
        .flat_map(|build| &build.observations)
        .filter(|seen| seen.effect != Effect::NotVaried)
        .map(|seen| (seen.factor, seen.level))
        .collect();
    for build in &verification.builds {
        for observation in &build.observations {
            let key = (observation.factor, observation.level);
            if observation.effect == Effect::NotVaried && !seen.contains(&key) {
                refused.entry(key).or_insert(&observation.how);
            }
        }
    }
    refused
        .into_iter()
        .map(|((factor, level), reason)| {
            Line::new()
                .with(Style::Odd, "not varied")
                .with(Style::Plain, &format!(": {factor} {level}: {reason}"))
        })
        .collect()
}

fn totals(verification: &Verification) -> Line {
    let mut line = Line::new();
    let counts = Verdict::ALL.map(|verdict| (verification.count(verdict), verdict));
    let told = counts.into_iter().filter(|(number, _)| *number > 0);
    for (index, (number, verdict)) in told.enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        line = line
            .with(Style::Plain, comma)
            .with(style(verdict), &format!("{number} {verdict}"));
    }
    let (covered, all) = verification.pairs;
    let rebuilds = count(verification.builds.len(), "rebuild");
    line.with(
        Style::Plain,
        &format!("; {rebuilds}, {covered} of {all} pairs of circumstances."),
    )
}
