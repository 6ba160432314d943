//! `kiln why`: which inputs of a recipe changed since its last result, and what follows from that.

use kiln_build::{Awaited, Change, ChangeKind, Comparison, Explanation, Need, Work, why};
use kiln_model::Digest;
use similar::{ChangeTag, TextDiff};

use crate::arguments::{Common, Format, Why};
use crate::failure::Failure;
use crate::interrupt::FirstSignal;
use crate::print::line;
use crate::report::{AwaitedLine, ChangeLine, EventLine, print_event};
use crate::session::Session;

/// Texts longer than this are not shown beside each other.
const LITERAL: usize = 100;
/// Lines of a script's difference that are shown.
const MOST_LINES: usize = 40;

/// Explains a recipe, everything that it bundles, and its packaging.
pub fn run(common: &Common, asked: &Why) -> Result<u8, Failure> {
    let session = Session::open(common, FirstSignal::Ends)?;
    let explanations = why(&session.workshop(), &asked.recipe)
        .map_err(|error| Failure::build(&session.project, &error))?;
    for (number, explanation) in explanations.iter().enumerate() {
        match common.format {
            Format::Json => print_event(&event(explanation)),
            Format::Human => {
                if number > 0 {
                    line("");
                }
                text(explanation).iter().for_each(|text| line(text));
            }
        }
    }
    Ok(0)
}

/// Returns what people read of one piece of work: what happens, then why.
fn text(explanation: &Explanation) -> Vec<String> {
    let Explanation { work, need, past } = explanation;
    let mut lines = vec![format!("{work}: {}", headline(work, need, past))];
    if let Comparison::Changed { changes } = past {
        lines.extend(changes.iter().flat_map(change_lines));
    }
    if let Need::Waits { awaited } = need {
        let has_own_reason = *past == Comparison::NeverDone
            || *past == Comparison::Forgotten
            || matches!(past, Comparison::Changed { changes } if !changes.is_empty());
        let waits = awaited.iter();
        lines.extend(waits.map(|awaited| awaited_line(work, awaited, has_own_reason)));
    }
    lines
}

fn headline(work: &Work, need: &Need, past: &Comparison) -> String {
    let (done, again) = match work {
        Work::Build(_) => ("built", "is built again"),
        _ => ("packaged", "is packaged again"),
    };
    match (past, need) {
        (Comparison::NeverDone, Need::Nothing) => {
            format!("never {done} here, but the store has the result of these inputs")
        }
        (Comparison::NeverDone, _) => format!("never {done} here"),
        (Comparison::Same { .. }, Need::Nothing) => "nothing changed".to_owned(),
        (Comparison::Same { missing }, _) => format!(
            "nothing changed, but the store lacks {}: it {again}",
            joined(missing)
        ),
        (Comparison::Changed { changes }, Need::Nothing) => format!(
            "{} changed, and the store has the result of these already",
            inputs(changes.len())
        ),
        (Comparison::Changed { changes }, Need::Runs) => {
            format!("{} changed: it {again}", inputs(changes.len()))
        }
        (Comparison::Changed { changes }, Need::Waits { .. }) if changes.is_empty() => {
            "nothing of its own changed".to_owned()
        }
        (Comparison::Changed { changes }, Need::Waits { .. }) => {
            format!("{} changed: it {again}", inputs(changes.len()))
        }
        (Comparison::Forgotten, Need::Nothing) => {
            "other inputs than before; the store has their result already".to_owned()
        }
        (Comparison::Forgotten, _) => format!(
            "other inputs than before: it {again}; which ones can not be said, the store has the old \
             ones no more"
        ),
    }
}

fn inputs(number: usize) -> String {
    match number {
        1 => "one input".to_owned(),
        more => format!("{more} inputs"),
    }
}

fn joined(parts: &[&str]) -> String {
    match parts {
        [] => "its result".to_owned(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// Says what is built first, and what follows if it comes out as it was. Packages also hold the recipes of
/// everything in them, so of packaging nothing can be promised.
fn awaited_line(work: &Work, awaited: &Awaited, has_own_reason: bool) -> String {
    let Awaited { node, destdir } = awaited;
    match (work, destdir, has_own_reason) {
        (_, _, true) => format!("  it comes after {node}"),
        (Work::Build(_), Some(destdir), false) => format!(
            "  {node} is built first; if it installs the same bytes again ({}), {} is not built again",
            short_digest(&destdir.0),
            work.name()
        ),
        (Work::Build(_), None, false) => format!("  {node} is built first"),
        (_, _, false) => {
            format!("  {node} is built first; whether it is packaged again is known then")
        }
    }
}

/// Digests are told in full where they are the news; here they only remind.
fn short_digest(digest: &Digest) -> String {
    let text = digest.to_string();
    format!("{}…", text.get(..19).unwrap_or(&text))
}

/// Returns the lines on one input: its name, then what it was and is.
fn change_lines(change: &Change) -> Vec<String> {
    let mut lines = vec![format!("  {}", input(change))];
    let is_short = |text: &str| text.len() <= LITERAL && !text.contains('\n');
    match (&change.before, &change.now) {
        (Some(before), Some(now)) if is_short(before) && is_short(now) => {
            lines.push(format!("    was  {before}"));
            lines.push(format!("    is   {now}"));
        }
        (Some(before), Some(now)) => lines.extend(difference(before, now)),
        (None, Some(now)) => lines.push(format!("    new  {}", shown(now))),
        (Some(before), None) => lines.push(format!("    was  {}", shown(before))),
        (None, None) => {}
    }
    if change.now.is_none() {
        lines.push("    is gone".to_owned());
    }
    lines
}

fn shown(text: &str) -> String {
    match text.split_once('\n') {
        None => text.to_owned(),
        Some((first, rest)) => format!("{first} … ({} lines)", rest.lines().count() + 1),
    }
}

/// Returns the lines that differ of two longer texts; of lists the items, of one line the words.
fn difference(before: &str, now: &str) -> Vec<String> {
    let has_lines = before.contains('\n') || now.contains('\n');
    let words = |text: &str| match serde_json::from_str::<Vec<String>>(text) {
        Ok(list) => list.join("\n"),
        Err(_) if has_lines => text.to_owned(),
        Err(_) => text.replace(' ', "\n"),
    };
    let (before, now) = (words(before), words(now));
    let diff = TextDiff::from_lines(&before, &now);
    let changed = diff.iter_all_changes().filter_map(|change| {
        let sign = match change.tag() {
            ChangeTag::Equal => return None,
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
        };
        Some(format!(
            "    {sign} {}",
            change.value().trim_end_matches('\n')
        ))
    });
    let mut lines: Vec<String> = changed.collect();
    if lines.len() > MOST_LINES {
        let more = lines.len() - MOST_LINES;
        lines.truncate(MOST_LINES);
        lines.push(format!("    … and {more} lines more"));
    }
    lines
}

/// Returns what an input is called.
fn input(change: &Change) -> String {
    let name = &change.name;
    match change.kind {
        ChangeKind::Recipe => format!("recipe, {name}"),
        ChangeKind::Source => format!("source {name}"),
        ChangeKind::Patch => format!("patch {name}"),
        ChangeKind::Script => format!("script of the step {name}"),
        ChangeKind::Destdir => format!("what {name} installs"),
        ChangeKind::BaseImage => "base image (manifest)".to_owned(),
        ChangeKind::Tools => "packages that the recipe adds to the base image (layer)".to_owned(),
        ChangeKind::Environment => format!("environment variable {name}"),
        ChangeKind::SourceDate => "source date (SOURCE_DATE_EPOCH)".to_owned(),
        ChangeKind::LicenseFiles => "list of licence files".to_owned(),
        ChangeKind::StepRunner => "version of the sandbox's contract (step runner)".to_owned(),
        ChangeKind::Kiln => "version of kiln".to_owned(),
        ChangeKind::Organization => "organisation in kiln.toml".to_owned(),
        ChangeKind::Architecture => "architecture".to_owned(),
        ChangeKind::SourceTree => format!("source files of {name}, for debuggers"),
        ChangeKind::Spec => "spec file that kiln writes".to_owned(),
        ChangeKind::Files => {
            "files that are packaged, such as the recipe's own files, or the recipes and \
                              lockfiles of all that is in it, which packages hold"
                .to_owned()
        }
        ChangeKind::Other => format!("`{name}`"),
    }
}

/// Returns what programs read of one piece of work.
fn event(explanation: &Explanation) -> EventLine {
    let Explanation { work, need, past } = explanation;
    let (need, awaited) = match need {
        Need::Nothing => ("nothing", &[][..]),
        Need::Runs => ("runs", &[][..]),
        Need::Waits { awaited } => ("waits", awaited.as_slice()),
    };
    let none: &[Change] = &[];
    let (past, changes, missing) = match past {
        Comparison::NeverDone => ("never-done", none, Vec::new()),
        Comparison::Same { missing } => ("same", none, missing.clone()),
        Comparison::Changed { changes } => ("changed", changes.as_slice(), Vec::new()),
        Comparison::Forgotten => ("forgotten", none, Vec::new()),
    };
    let changes = changes.iter().map(|change| ChangeLine {
        kind: change.kind.word().to_owned(),
        name: (!change.name.is_empty()).then(|| change.name.clone()),
        before: change.before.clone(),
        now: change.now.clone(),
    });
    let awaited = awaited.iter().map(|awaited| AwaitedLine {
        name: awaited.node.to_string(),
        destdir: awaited.destdir.map(|digest| digest.to_string()),
    });
    EventLine::Why {
        work: work.into(),
        need: need.to_owned(),
        past: past.to_owned(),
        changes: changes.collect(),
        missing: missing.into_iter().map(str::to_owned).collect(),
        awaited: awaited.collect(),
    }
}

#[cfg(test)]
mod tests;
