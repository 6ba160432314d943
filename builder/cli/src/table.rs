//! The closing table of a build: what came of each piece of work, with time and size, and totals.

use std::path::Path;
use std::time::Duration;

use kiln_build::{AtRest, Outcome, Row, RpmTotals, Summary, Work};

use crate::report::{EventLine, milliseconds, unpinned_recipe};
use crate::style::{Line, Style};
use crate::text::{count, cut, fit, seconds, size};

/// Columns of the state, the time and the size.
const STATE: usize = 11;
const TIME: usize = 12;
const SIZE: usize = 11;
/// The least columns that a name needs beside figures.
const SHORTEST_NAME: usize = 24;

/// What a build came to.
#[derive(Debug)]
pub struct Table<'a> {
    pub summary: &'a Summary,
    /// `out/`.
    pub output: &'a Path,
    pub elapsed: Duration,
    /// Whether each RPM gets a line.
    pub lists_files: bool,
}

impl Table<'_> {
    /// Returns the table and its totals; names are shortened to fit into `columns`, if it has any.
    pub fn lines(&self, columns: Option<usize>) -> Vec<Line> {
        let mut lines = vec![Line::new()];
        if !self.summary.is_nothing_done() {
            let rows = self.summary.rows.iter().filter(|row| is_shown(row));
            lines.extend(rows.map(|row| row_line(row, columns)));
        }
        let unpinned = &self.summary.unpinned;
        lines.extend(
            unpinned
                .iter()
                .map(|one| unpinned_line(&one.in_short(), columns)),
        );
        if !self.summary.is_nothing_done() || !unpinned.is_empty() {
            lines.push(Line::new());
        }
        if self.lists_files {
            for (path, bytes) in self.summary.rpms.values().flatten() {
                let text = format!("{:>SIZE$}  {}", size(*bytes), path.display());
                lines.push(Line::plain(&text));
            }
            lines.push(Line::new());
        }
        lines.extend(self.totals());
        lines
    }

    fn totals(&self) -> Vec<Line> {
        let Totals { rpms, bytes } = self.rpms();
        let elapsed = seconds(self.elapsed);
        let count_of = |state: Counted| self.count(state);
        let mut lines = Vec::new();
        if self.summary.is_nothing_done() {
            lines.push(nothing_to_do(count_of(Counted::Cached), self.elapsed));
        } else {
            let mut line = Line::new();
            let all = [
                (Counted::Built, "built", Style::Good),
                (Counted::Cached, "cached", Style::Plain),
                (Counted::Failed, "failed", Style::Bad),
                (Counted::NotBuilt, "not built", Style::Odd),
            ];
            let all = all.map(|(state, word, style)| (count_of(state), word, style));
            let told = all.iter().filter(|(number, ..)| *number > 0);
            for (index, (number, word, style)) in told.enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                line = line
                    .with(Style::Plain, comma)
                    .with(*style, &format!("{number} {word}"));
            }
            let unpinned = self.summary.unpinned.len();
            if unpinned > 0 {
                line = line.with(Style::Odd, &format!(", {unpinned} unpinned"));
            }
            let written = match self.summary.written {
                0 => "out/ is as it was".to_owned(),
                files => format!("{} written", count(files, "file")),
            };
            lines.push(line.with(Style::Plain, &format!("; {written} ({elapsed}).")));
        }
        if rpms > 0 || self.count(Counted::Failed) + self.count(Counted::NotBuilt) == 0 {
            lines.push(rpms_line(Totals { rpms, bytes }, self.output));
        }
        lines
    }

    /// Returns the totals for programs.
    pub fn event(&self) -> EventLine {
        let Totals { rpms, bytes } = self.rpms();
        EventLine::Summary {
            built: self.count(Counted::Built),
            cached: self.count(Counted::Cached),
            failed: self.count(Counted::Failed),
            not_built: self
                .summary
                .count(|outcome| Counted::of(outcome) == Counted::NotBuilt),
            rpms,
            rpm_bytes: bytes,
            unpinned: self.summary.unpinned.iter().map(unpinned_recipe).collect(),
            files_written: self.summary.written,
            elapsed_ms: milliseconds(self.elapsed),
        }
    }

    /// Counts rows that are shown.
    fn count(&self, counted: Counted) -> usize {
        let rows = self.summary.rows.iter().filter(|row| is_shown(row));
        rows.filter(|row| Counted::of(&row.outcome) == counted)
            .count()
    }

    fn rpms(&self) -> Totals {
        let rpms = self.summary.rpms.values().flatten();
        Totals {
            rpms: rpms.clone().count(),
            bytes: rpms.map(|(_, bytes)| bytes).sum(),
        }
    }
}

/// Returns the lines of a run that found nothing to do without reading anything.
///
/// Recipes that are unpinned are told as the long way tells them.
pub fn at_rest_lines(
    rest: &AtRest,
    output: &Path,
    elapsed: Duration,
    columns: Option<usize>,
) -> Vec<Line> {
    let RpmTotals { files, bytes } = rest.rpms();
    let totals = Totals { rpms: files, bytes };
    let mut lines = vec![Line::new()];
    if !rest.unpinned.is_empty() {
        let unpinned = rest.unpinned.iter();
        lines.extend(unpinned.map(|text| unpinned_line(text, columns)));
        lines.push(Line::new());
    }
    lines.push(nothing_to_do(rest.results, elapsed));
    lines.push(rpms_line(totals, output));
    lines
}

fn nothing_to_do(results: usize, elapsed: Duration) -> Line {
    let elapsed = seconds(elapsed);
    let text = match results {
        0 => format!("Nothing to do: nothing of it can be built yet ({elapsed})."),
        _ => format!("Nothing to do: all {results} results are up to date ({elapsed})."),
    };
    Line::plain(&text)
}

fn rpms_line(totals: Totals, output: &Path) -> Line {
    let Totals { rpms, bytes } = totals;
    if rpms == 0 {
        return Line::plain("No RPMs: what was asked for yields libraries for others only.");
    }
    let place = output.join("rpms");
    let what = count(rpms, "RPM");
    Line::plain(&format!("{what}, {}, in {}", size(bytes), place.display()))
}

struct Totals {
    rpms: usize,
    bytes: u64,
}

/// States as the totals tell them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Counted {
    Built,
    Cached,
    Failed,
    NotBuilt,
}

impl Counted {
    const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Built => Self::Built,
            Outcome::Cached => Self::Cached,
            Outcome::Failed => Self::Failed,
            Outcome::Cancelled | Outcome::Blocked { .. } | Outcome::NotStarted => Self::NotBuilt,
        }
    }
}

/// Packages that were not begun add nothing to what the rows of builds say.
fn is_shown(row: &Row) -> bool {
    let is_package = !matches!(row.work, Work::Build(_));
    !(is_package && matches!(row.outcome, Outcome::Blocked { .. } | Outcome::NotStarted))
}

fn row_line(row: &Row, columns: Option<usize>) -> Line {
    let (style, word, reason) = match &row.outcome {
        Outcome::Built => (Style::Good, "built", String::new()),
        Outcome::Cached => (Style::Dim, "cached", String::new()),
        Outcome::Failed => (Style::Bad, "failed", String::new()),
        Outcome::Cancelled => (Style::Odd, "cancelled", String::new()),
        Outcome::Blocked { by } => (Style::Odd, "not built", format!(": needs {}", by.name())),
        Outcome::NotStarted => (Style::Odd, "not built", String::new()),
    };
    let time = match &row.outcome {
        Outcome::Built | Outcome::Failed | Outcome::Cancelled => seconds(row.elapsed),
        // When it was made.
        Outcome::Cached => format!("({})", seconds(row.elapsed)),
        Outcome::Blocked { .. } | Outcome::NotStarted => String::new(),
    };
    let bytes = row.rpms.map_or(String::new(), |rpms| size(rpms.bytes));
    let files = row.rpms.map_or(String::new(), |rpms| {
        format!(", {}", count(rpms.files, "RPM"))
    });
    let name = format!("{}{files}{reason}", row.work);
    let line = Line::new().with(style, &format!("{word:<STATE$}"));
    let before = STATE + TIME + SIZE + 4;
    let Some(columns) = columns else {
        return line
            .with(Style::Dim, &format!("{time:>TIME$}{bytes:>SIZE$}"))
            .with(Style::Plain, &format!("  {name}"));
    };
    // A name says more than figures where there is room for one of them only.
    let (figures, room) = match columns.checked_sub(before) {
        Some(room) if room >= SHORTEST_NAME => (format!("{time:>TIME$}{bytes:>SIZE$}  "), room),
        _ => (String::new(), columns.saturating_sub(STATE + 1)),
    };
    // Of a reason the start says most; of a name both ends do.
    let name = if reason.is_empty() {
        fit(&name, room)
    } else {
        cut(&name, room)
    };
    line.with(Style::Dim, &figures).with(Style::Plain, &name)
}

/// A recipe that was left out, and why. It has no figures: its columns are the reason's.
fn unpinned_line(text: &str, columns: Option<usize>) -> Line {
    let text = match columns {
        Some(columns) => cut(text, columns.saturating_sub(STATE + 1)),
        None => text.to_owned(),
    };
    Line::new()
        .with(Style::Odd, &format!("{:<STATE$}", "unpinned"))
        .with(Style::Plain, &text)
}

#[cfg(test)]
mod tests;
