//! The table for people, and the same as JSON.

use serde_json::{Value, json};

use crate::figure::{Figure, Goal};
use crate::machine::Machine;

/// What became of the rows.
#[derive(Debug, Default)]
pub struct Results {
    /// Figures in the order in which they were measured.
    pub figures: Vec<Figure>,
    /// Rows without a figure: name and reason.
    pub skipped: Vec<(String, String)>,
    /// Rows that failed: name and reason.
    pub failed: Vec<(String, String)>,
}

/// Returns one line of the table, as Markdown.
#[must_use]
pub fn line(figure: &Figure) -> String {
    let ours = match figure.goal {
        Goal::Mebibytes(_) => format!("{:.0} MiB", figure.ours),
        _ => seconds(figure.ours),
    };
    let peer = figure.peer.as_ref().map_or_else(
        || "".to_owned(),
        |(name, theirs)| format!("{} ({name})", seconds(*theirs)),
    );
    let ratio = figure
        .ratio()
        .map_or_else(String::new, |ratio| format!("{ratio:.3}"));
    let goal = match figure.goal {
        Goal::Ratio(most) => format!("<= {most}"),
        Goal::Seconds(most) => format!("<= {most} s"),
        Goal::Mebibytes(most) => format!("<= {most} MiB"),
        Goal::None => String::new(),
    };
    let verdict = match figure.is_met() {
        Some(true) => "met",
        Some(false) => "**missed**",
        None => "",
    };
    format!(
        "| {} | {} | {ours} | {peer} | {ratio} | {goal} | {verdict} | {} |",
        figure.row, figure.what, figure.runs
    )
}

/// The table's head.
pub const HEAD: &str =
    "| row | what | kiln | peer | ratio | goal | | runs |\n|---|---|---|---|---|---|---|---|";

/// Writes a time with as many digits as mean something.
fn seconds(value: f64) -> String {
    if value < 0.1 {
        format!("{:.1} ms", value * 1000.0)
    } else if value < 10.0 {
        format!("{value:.2} s")
    } else {
        format!("{value:.1} s")
    }
}

/// Returns everything as JSON.
#[must_use]
pub fn json(machine: &Machine, versions: &[String], results: &Results) -> Value {
    let pairs = |list: &[(String, String)]| -> Value {
        let entries = list
            .iter()
            .map(|(row, reason)| json!({"row": row, "reason": reason}));
        entries.collect()
    };
    let figures = results.figures.iter().map(|figure| {
        json!({
            "row": figure.row,
            "what": figure.what,
            "kiln": figure.ours,
            "unit": if matches!(figure.goal, Goal::Mebibytes(_)) { "MiB" } else { "s" },
            "peer": figure.peer.as_ref().map(|(name, _)| name),
            "peer-seconds": figure.peer.as_ref().map(|(_, theirs)| theirs),
            "ratio": figure.ratio(),
            "goal": figure.goal,
            "met": figure.is_met(),
            "runs": figure.runs,
        })
    });
    json!({
        "format": 1,
        "machine": machine,
        "versions": versions,
        "figures": figures.collect::<Value>(),
        "skipped": pairs(&results.skipped),
        "failed": pairs(&results.failed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_was_measured_and_whether_it_is_enough() {
        let figure = |ours, theirs: Option<f64>, goal| Figure {
            row: "row".to_owned(),
            what: "what".to_owned(),
            ours,
            peer: theirs.map(|theirs| ("peer".to_owned(), theirs)),
            runs: 3,
            goal,
        };
        let cases = [
            (
                figure(0.02, Some(0.01), Goal::Ratio(2.0)),
                "| row | what | 20.0 ms | 10.0 ms (peer) | 2.000 | <= 2 | met | 3 |",
            ),
            (
                figure(0.25, None, Goal::Seconds(0.1)),
                "| row | what | 0.25 s |  |  | <= 0.1 s | **missed** | 3 |",
            ),
            (
                figure(150.4, None, Goal::Mebibytes(150.0)),
                "| row | what | 150 MiB |  |  | <= 150 MiB | **missed** | 3 |",
            ),
            (
                figure(312.04, None, Goal::None),
                "| row | what | 312.0 s |  |  |  |  | 3 |",
            ),
        ];
        for (figure, expected) in cases {
            assert_eq!(line(&figure), expected);
        }
    }
}
