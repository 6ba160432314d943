//! What people see of a comparison: places as an indented list, what stands there on the left with `-`
//! and on the right with `+`, then how many there are and why.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use kiln_compare::{Agreement, Change, Difference, Segment};

use super::Outcome;
use crate::arguments::Common;
use crate::host;
use crate::print::rendered_line;
use crate::style::{Colours, Line, Style};
use crate::text::count;

/// Columns of a cause's name.
const CAUSE: usize = 30;

pub struct Page {
    lines: Vec<Line>,
    colours: Colours,
}

impl Page {
    pub fn new(common: &Common, sides: &[PathBuf; 2], outcome: &Outcome) -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        Self {
            lines: lines(sides, outcome),
            colours: Colours::choose(common.color, host::colour_wishes(), is_terminal),
        }
    }

    pub fn print(&self) {
        for line in &self.lines {
            rendered_line(&line.render(self.colours));
        }
    }
}

fn lines(sides: &[PathBuf; 2], outcome: &Outcome) -> Vec<Line> {
    let mut lines = Vec::new();
    let found = &outcome.found;
    if found.is_identical() {
        lines.push(Line::new().with(Style::Good, "identical"));
        lines.extend(outcome.remarks.iter().map(|text| note(text)));
        return lines;
    }
    lines.push(
        Line::new()
            .with(Style::Bad, "- ")
            .with(Style::Plain, &sides[0].display().to_string()),
    );
    lines.push(
        Line::new()
            .with(Style::Good, "+ ")
            .with(Style::Plain, &sides[1].display().to_string()),
    );
    lines.push(Line::new());
    let shown = found.explained().filter(|(_, is_explained)| !is_explained);
    let shown: Vec<&Difference> = shown.map(|(difference, _)| difference).collect();
    let follows = found.differences.len() - shown.len();
    tree(&mut lines, &shown);
    lines.push(Line::new());
    lines.extend(outcome.remarks.iter().map(|text| note(text)));
    for told in &found.notes {
        let place: Vec<String> = told.place.iter().map(ToString::to_string).collect();
        let text = match place.is_empty() {
            true => told.text.clone(),
            false => format!("{}: {}", place.join(", "), told.text),
        };
        lines.push(note(&text));
    }
    lines.push(Line::plain(&totals(outcome, shown.len(), follows)));
    lines.extend(
        outcome
            .agreement
            .map(|agreement| Line::plain(in_words(agreement))),
    );
    if !outcome.causes.is_empty() {
        lines.push(Line::new());
        lines.push(Line::plain("Causes, as the content tells:"));
    }
    for named in &outcome.causes {
        let name = format!("  {:<CAUSE$}  ", named.cause.name());
        lines.push(
            Line::new()
                .with(Style::Active, &name)
                .with(Style::Plain, &named.evidence),
        );
    }
    lines
}

fn note(text: &str) -> Line {
    Line::new()
        .with(Style::Odd, "note: ")
        .with(Style::Plain, text)
}

fn totals(outcome: &Outcome, shown: usize, follows: usize) -> String {
    let follows = match follows {
        0 => String::new(),
        follows => format!(", and {follows} that follow from them (digests, sizes, build-ids)"),
    };
    let more = match outcome.found.is_cut {
        true => "; stopped there, --limit tells more",
        false => "",
    };
    format!("{}{follows}{more}.", count(shown, "difference"))
}

/// How far two packages agree.
const fn in_words(agreement: Agreement) -> &'static str {
    match agreement {
        Agreement::BitIdentical => "The packages are bit-identical.",
        Agreement::ButForSignature => {
            "The packages are identical but for the signature: the same package, signed by others or not at all."
        }
        Agreement::PayloadIdentical => {
            "The packages install the same files: their payloads are identical, their headers are not."
        }
        Agreement::Different => "The packages install other files: their payloads differ.",
    }
}

/// Writes places as a tree: what two in a row have in common stands there once.
fn tree(lines: &mut Vec<Line>, differences: &[&Difference]) {
    let mut open: Vec<String> = Vec::new();
    for difference in differences {
        let steps = steps(&difference.place);
        let common = open
            .iter()
            .zip(&steps)
            .take_while(|(one, two)| one == two)
            .count();
        for (depth, step) in steps.iter().enumerate().skip(common) {
            lines.push(Line::new().with(Style::Active, &format!("{}{step}", "  ".repeat(depth))));
        }
        let indent = "  ".repeat(steps.len());
        let side = |style, sign: &str, text: &str| {
            let text = if text.is_empty() { "(empty)" } else { text };
            Line::new()
                .with(Style::Plain, &indent)
                .with(style, sign)
                .with(Style::Plain, text)
        };
        match &difference.change {
            Change::OnlyLeft(left) => lines.push(side(Style::Bad, "- ", left)),
            Change::OnlyRight(right) => lines.push(side(Style::Good, "+ ", right)),
            Change::Value { left, right } | Change::Order { left, right } => {
                lines.push(side(Style::Bad, "- ", left));
                lines.push(side(Style::Good, "+ ", right));
            }
        }
        open = steps;
    }
}

/// A place's steps in words; small ones that belong together are one: `line 3, column 7`.
fn steps(place: &[Segment]) -> Vec<String> {
    let mut steps: Vec<String> = Vec::new();
    let mut last = "";
    for segment in place {
        let text = words(segment);
        let is_joined = matches!(
            (last, segment.kind.as_str()),
            ("line" | "string", "column")
                | ("symbol", "byte" | "symbol table")
                | ("field", "field")
        );
        match steps.last_mut().filter(|_| is_joined) {
            Some(step) => *step = format!("{step}, {text}"),
            None => steps.push(text),
        }
        last = segment.kind.as_str();
    }
    steps
}

fn words(segment: &Segment) -> String {
    let name = &segment.name;
    match segment.kind.as_str() {
        "order" => format!("the order of {name}"),
        "in" => format!("inside, unpacked from {name}"),
        "compression" => format!("compression by {name}"),
        "field" | "part" | "relations" | "table" | "entry" | "note" => name.clone(),
        "signature tag" => format!("signature header, tag {name}"),
        kind => format!("{kind} {name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(place: &[(&str, &str)], change: Change) -> Difference {
        let segment = |(kind, name): &(&str, &str)| Segment {
            kind: (*kind).to_owned(),
            name: (*name).to_owned(),
        };
        Difference {
            place: place.iter().map(segment).collect(),
            change,
        }
    }

    #[test]
    fn what_places_share_stands_there_once() {
        let value = |left: &str, right: &str| Change::Value {
            left: left.to_owned(),
            right: right.to_owned(),
        };
        let file = ("file", "/a");
        let differences = [
            difference(
                &[("relations", "requires")],
                Change::OnlyLeft("x".to_owned()),
            ),
            difference(
                &[("relations", "requires")],
                Change::OnlyRight("y".to_owned()),
            ),
            difference(&[file, ("line", "2"), ("column", "7")], value("b", "")),
            difference(&[file, ("order", "members")], value("c | d", "d | c")),
            difference(
                &[("file", "/b"), ("symbol", "main"), ("byte", "0x1")],
                value("1", "2"),
            ),
        ];
        let differences: Vec<&Difference> = differences.iter().collect();
        let mut lines = Vec::new();
        tree(&mut lines, &differences);
        let lines: Vec<String> = lines.iter().map(|line| line.render(Colours::Off)).collect();
        let expected = [
            "requires",
            "  - x",
            "  + y",
            "file /a",
            "  line 2, column 7",
            "    - b",
            "    + (empty)",
            "  the order of members",
            "    - c | d",
            "    + d | c",
            "file /b",
            "  symbol main, byte 0x1",
            "    - 1",
            "    + 2",
        ];
        assert_eq!(lines, expected);
    }
}
