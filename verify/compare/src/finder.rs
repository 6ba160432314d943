//! Collects differences while two things are walked in step: where the walk is, what was found, and
//! what may still be spent.

use serde::{Deserialize, Serialize};

use crate::difference::{Change, Difference, Segment};
use crate::effort::Effort;
use crate::printable::{NAME_LENGTH, VALUE_LENGTH, around, clean, cut};

/// What a comparison found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Comparison {
    /// The differences, in the order in which the two were walked.
    pub differences: Vec<Difference>,
    /// Whether the walk stopped before its end, so that there may be more.
    pub is_cut: bool,
    /// What was not looked into or not told in full, and why.
    pub notes: Vec<Note>,
}

impl Comparison {
    /// Returns whether nothing differs.
    #[must_use]
    pub const fn is_identical(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Something about one place that is no difference: an archive too deep, a file that is damaged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Note {
    /// Where.
    pub place: Vec<Segment>,
    /// What.
    pub text: String,
}

/// Most notes that are kept: hostile archives could ask for millions.
const MOST_NOTES: usize = 100;

/// The walk.
#[derive(Debug)]
pub(crate) struct Finder {
    effort: Effort,
    place: Vec<Segment>,
    /// Archives and streams that are open now.
    depth: usize,
    found: Comparison,
    /// How many were told, those that only wait included.
    told: usize,
    /// Where one is enough: the first that follows from others, should no other be found.
    waiting: Option<Difference>,
    /// Bytes that may still be unpacked.
    budget: u64,
}

impl Finder {
    pub(crate) fn new(effort: &Effort) -> Self {
        Self {
            effort: *effort,
            place: Vec::new(),
            depth: 0,
            found: Comparison::default(),
            told: 0,
            waiting: None,
            budget: effort.total_bytes,
        }
    }

    pub(crate) fn finish(mut self) -> Comparison {
        if let (true, Some(waiting)) = (self.found.differences.is_empty(), self.waiting) {
            self.found.differences.push(waiting);
        }
        self.found
    }

    pub(crate) const fn effort(&self) -> &Effort {
        &self.effort
    }

    /// Whether enough was found.
    pub(crate) const fn is_done(&self) -> bool {
        self.found.is_cut
    }

    /// How many were found so far.
    pub(crate) const fn count(&self) -> usize {
        self.told
    }

    /// Walks into something that has a name.
    pub(crate) fn within(&mut self, kind: &str, name: &str, walk: impl FnOnce(&mut Self)) {
        self.place.push(segment(kind, name));
        walk(self);
        self.place.pop();
    }

    /// Opens an archive or a stream, unless that would be too deep.
    pub(crate) fn deeper(&mut self, walk: impl FnOnce(&mut Self)) -> bool {
        if self.depth >= self.effort.depth {
            let depth = self.effort.depth;
            self.note(format!(
                "not opened: it lies in {depth} archives already; compared as bytes"
            ));
            return false;
        }
        self.depth += 1;
        walk(self);
        self.depth -= 1;
        true
    }

    /// Tells a difference in what the walk is in.
    pub(crate) fn add(&mut self, change: Change) {
        if self.found.is_cut {
            return;
        }
        if self.found.differences.len() >= self.effort.differences {
            self.found.is_cut = true;
            return;
        }
        self.told += 1;
        let difference = Difference {
            place: self.place.clone(),
            change: printable(change),
        };
        let is_one_enough = self.effort.differences == 1;
        if is_one_enough && difference.follows() {
            self.waiting.get_or_insert(difference);
            return;
        }
        self.found.differences.push(difference);
        // Whether there are more was not asked.
        self.found.is_cut = is_one_enough;
    }

    /// Tells two values of something named within what the walk is in, if they differ.
    pub(crate) fn value(&mut self, kind: &str, name: &str, left: &str, right: &str) {
        if left != right {
            self.within(kind, name, |finder| {
                finder.add(Change::Value {
                    left: left.to_owned(),
                    right: right.to_owned(),
                });
            });
        }
    }

    /// Tells that something named is on one side only.
    pub(crate) fn only(&mut self, side: Side, kind: &str, name: &str, what: &str) {
        self.within(kind, name, |finder| {
            finder.add(match side {
                Side::Left => Change::OnlyLeft(what.to_owned()),
                Side::Right => Change::OnlyRight(what.to_owned()),
            });
        });
    }

    /// Tells something about what the walk is in.
    pub(crate) fn note(&mut self, text: String) {
        if self.found.notes.len() < MOST_NOTES && !self.found.is_cut {
            self.found.notes.push(Note {
                place: self.place.clone(),
                text: shown(text),
            });
        }
    }

    /// Returns how many bytes the next stream may unpack to.
    pub(crate) fn allowance(&self) -> u64 {
        self.budget.min(self.effort.member_bytes)
    }

    /// Takes what was unpacked off what may be.
    pub(crate) const fn spend(&mut self, bytes: u64) {
        self.budget = self.budget.saturating_sub(bytes);
    }
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The first.
    Left,
    /// The second.
    Right,
}

impl Side {
    /// Returns its name for people: `left`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

fn segment(kind: &str, name: &str) -> Segment {
    Segment {
        kind: kind.to_owned(),
        name: cut(&clean(name), NAME_LENGTH),
    }
}

/// Makes texts of a change fit for a report: where they would be cut before they differ, they are told
/// around what differs.
fn printable(change: Change) -> Change {
    if let Change::Value { left, right } = &change
        && left.len().max(right.len()) > VALUE_LENGTH
    {
        let (left, right) = around(left.as_bytes(), right.as_bytes());
        return Change::Value { left, right }.map(shown);
    }
    change.map(shown)
}

/// The one way of a text into a report.
fn shown(text: String) -> String {
    cut(&clean(&text), VALUE_LENGTH)
}
