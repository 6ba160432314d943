//! What a live terminal shows: one line per running piece of work, downloads, root file systems being
//! put together, and a total. Values only: time and width are passed in.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kiln_build::{Event, Outcome, Work};
use kiln_image::TreeStage;

use super::words::{self, WORD};
use crate::screen::Size;
use crate::style::{Line, Style};
use crate::text::{clean, count, fit, pad, rate, seconds, size, whole_seconds, width};

/// Narrower terminals get no bar.
const BAR_FROM: usize = 60;
/// Cells of the bar.
const BAR: usize = 20;
/// Columns that times take: `59 min 59 s`.
const TIME: usize = 11;

/// The state of a run.
#[derive(Debug, Default)]
pub struct Frame {
    /// Pieces of work.
    total: usize,
    /// What is done: work whose result proves damaged later is done a second time.
    done: BTreeSet<Work>,
    failed: usize,
    running: Vec<Running>,
    fetch: Option<Fetch>,
    trees: BTreeMap<String, Tree>,
}

#[derive(Debug)]
struct Running {
    work: Work,
    /// What is being done.
    act: String,
    since: Duration,
}

#[derive(Debug)]
struct Fetch {
    files: usize,
    bytes: Option<u64>,
    since: Duration,
    finished: usize,
    finished_bytes: u64,
    /// Bytes of files that are on their way.
    coming: BTreeMap<String, u64>,
    /// The only file, or the last one asked for.
    name: String,
}

#[derive(Debug)]
struct Tree {
    stage: Option<TreeStage>,
    bytes: u64,
    total: u64,
    since: Duration,
}

impl Frame {
    /// Takes note of an event; returns the line that stays of it.
    pub fn note(&mut self, event: &Event<'_>, now: Duration) -> Option<Line> {
        match event {
            Event::Planned { work } => self.total = work.len(),
            Event::WorkStarted { work } => self.start((*work).clone(), now),
            Event::WorkEnded { row, .. } => {
                self.running.retain(|running| running.work != row.work);
                match &row.outcome {
                    Outcome::Built | Outcome::Cached => {
                        self.done.insert(row.work.clone());
                    }
                    Outcome::Failed => {
                        self.failed += 1;
                        // It may have been what was waited for.
                        self.fetch = None;
                        self.trees.clear();
                    }
                    _ => {}
                }
                return words::line(event);
            }
            Event::Waiting { what } => {
                let mut running = self.running.iter_mut();
                if let Some(running) = running.find(|running| running.work.to_string() == *what) {
                    (running.act, running.since) = ("wait".to_owned(), now);
                }
                return words::line(event);
            }
            Event::StepStarted { work, step } => self.act(work, &step.to_string(), now),
            Event::StepEnded { work, .. } => {
                self.act(work, "collect", now);
                return words::line(event);
            }
            Event::Fetching { .. }
            | Event::FetchStarted { .. }
            | Event::FetchAdvanced { .. }
            | Event::Fetched { .. } => return self.note_fetch(event, now),
            Event::Assembling { what } => drop(self.tree(what, now)),
            Event::AssemblyAdvanced {
                what,
                stage,
                bytes,
                total,
            } => {
                let tree = self.tree(what, now);
                if tree.stage != Some(*stage) {
                    (tree.stage, tree.since) = (Some(*stage), now);
                }
                (tree.bytes, tree.total) = (*bytes, *total);
            }
            Event::Assembled { what, .. } => {
                self.trees.remove(*what);
                return words::line(event);
            }
            event => return words::line(event),
        }
        None
    }

    fn start(&mut self, work: Work, now: Duration) {
        let act = match work {
            Work::Build(_) => "prepare",
            Work::Package(_) | Work::BasePackage(_) => "package",
            Work::Repository => "repodata",
        };
        self.running.push(Running {
            work,
            act: act.to_owned(),
            since: now,
        });
    }

    fn act(&mut self, work: &Work, act: &str, now: Duration) {
        let mut running = self.running.iter_mut();
        if let Some(running) = running.find(|running| running.work == *work) {
            (running.act, running.since) = (act.to_owned(), now);
        }
    }

    fn tree(&mut self, what: &str, now: Duration) -> &mut Tree {
        self.trees.entry(what.to_owned()).or_insert(Tree {
            stage: None,
            bytes: 0,
            total: 0,
            since: now,
        })
    }

    fn note_fetch(&mut self, event: &Event<'_>, now: Duration) -> Option<Line> {
        if let Event::Fetching { files, bytes } = event {
            self.fetch = Some(Fetch {
                files: *files,
                bytes: *bytes,
                since: now,
                finished: 0,
                finished_bytes: 0,
                coming: BTreeMap::new(),
                name: String::new(),
            });
            return None;
        }
        let fetch = self.fetch.as_mut()?;
        match event {
            Event::FetchStarted { name, size } => {
                fetch.name = (*name).to_owned();
                fetch.coming.insert((*name).to_owned(), 0);
                if fetch.files == 1 {
                    fetch.bytes = fetch.bytes.or(*size);
                }
            }
            Event::FetchAdvanced { name, bytes } => {
                fetch.coming.insert((*name).to_owned(), *bytes);
            }
            Event::Fetched { name, bytes } => {
                fetch.coming.remove(*name);
                fetch.finished += 1;
                fetch.finished_bytes += bytes;
            }
            _ => {}
        }
        if fetch.finished < fetch.files {
            return None;
        }
        let line = fetch.closing(now);
        self.fetch = None;
        Some(line)
    }

    /// Returns what to draw, each line narrower than the terminal, fewer than it has rows.
    pub fn lines(&self, now: Duration, size: Size) -> Vec<Line> {
        let columns = size.columns.saturating_sub(1);
        let mut lines = Vec::new();
        let names: Vec<String> = self.running.iter().map(|r| clean(&r.work.name())).collect();
        let room = columns.saturating_sub(WORD + 2 + TIME);
        let longest = names.iter().map(|name| width(name)).max().unwrap_or(0);
        let column = longest.min(room);
        for (running, name) in self.running.iter().zip(&names) {
            let elapsed = whole_seconds(now.saturating_sub(running.since));
            let name = pad(&fit(name, column), column);
            let line = words::start(Style::Active, &running.act)
                .with(Style::Plain, &name)
                .with(Style::Dim, &format!("  {elapsed:>TIME$}"));
            lines.push(line);
        }
        lines.extend(self.trees.iter().map(|(what, tree)| tree.line(what, now)));
        lines.extend(self.fetch.iter().map(|fetch| fetch.line(now, columns)));
        if self.total > 0 {
            lines.push(self.total_line(now, columns));
        }
        let most = size.rows.saturating_sub(1);
        let hidden = lines.len().saturating_sub(most);
        lines.drain(..hidden);
        lines.into_iter().map(|line| line.cut(columns)).collect()
    }

    fn total_line(&self, now: Duration, columns: usize) -> Line {
        let mut line = Line::new();
        if columns >= BAR_FROM {
            let cells = |number: usize| number * BAR / self.total.max(1);
            let done = self.done.len();
            let (done, failed) = (cells(done), cells(done + self.failed));
            line = line
                .with(Style::Dim, "[")
                .with(Style::Good, &"=".repeat(done))
                .with(Style::Bad, &"!".repeat(failed - done))
                .with(Style::Dim, &" ".repeat(BAR.saturating_sub(failed)))
                .with(Style::Dim, "] ");
        }
        line = line.with(
            Style::Active,
            &format!("{} of {} done", self.done.len(), self.total),
        );
        if self.failed > 0 {
            line = line.with(Style::Bad, &format!(", {} failed", self.failed));
        }
        line.with(Style::Dim, &format!("  {}", whole_seconds(now)))
    }
}

impl Fetch {
    fn bytes_so_far(&self) -> u64 {
        self.finished_bytes + self.coming.values().sum::<u64>()
    }

    fn line(&self, now: Duration, columns: usize) -> Line {
        let bytes = self.bytes_so_far();
        let amount = match self.bytes {
            Some(total) => format!("{} of {}", size(bytes), size(total)),
            None => size(bytes),
        };
        let rate = rate(bytes, now.saturating_sub(self.since));
        let rate = rate.map_or(String::new(), |rate| format!("  {rate}"));
        let what = if self.files == 1 {
            let room = columns.saturating_sub(WORD + 2 + width(&amount) + width(&rate));
            fit(&clean(&self.name), room)
        } else {
            format!("{} of {}", self.finished, count(self.files, "file"))
        };
        words::start(Style::Active, "fetch")
            .with(Style::Plain, &format!("{what}  {amount}"))
            .with(Style::Dim, &rate)
    }

    /// What stays when everything has come.
    fn closing(&self, now: Duration) -> Line {
        let elapsed = now.saturating_sub(self.since);
        let bytes = self.finished_bytes;
        let what = if self.files == 1 {
            self.name.clone()
        } else {
            count(self.files, "file")
        };
        let rate = rate(bytes, elapsed).map_or(String::new(), |rate| format!(", {rate}"));
        let text = format!("{what} ({}, {}{rate})", size(bytes), seconds(elapsed));
        words::start(Style::Good, "fetched").with(Style::Plain, &text)
    }
}

impl Tree {
    fn line(&self, what: &str, now: Duration) -> Line {
        let act = match self.stage {
            None => "",
            Some(TreeStage::Read) => "packages  ",
            Some(TreeStage::Write) => "layer  ",
            Some(TreeStage::Unpack) => "files  ",
        };
        let line =
            words::start(Style::Active, "assemble").with(Style::Plain, &format!("{what}  {act}"));
        if self.total == 0 {
            return line;
        }
        let rate = rate(self.bytes, now.saturating_sub(self.since));
        let rate = rate.map_or(String::new(), |rate| format!("  {rate}"));
        let amount = format!("{} of {}", size(self.bytes), size(self.total));
        line.with(Style::Plain, &amount).with(Style::Dim, &rate)
    }
}

#[cfg(test)]
mod tests;
