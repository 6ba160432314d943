//! One difference: where, down to the smallest thing that has a name, and what stands there on both
//! sides.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One step on the way to a difference, outermost first: a file, the archive in it, a member of that,
/// a section, a line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Segment {
    /// What kind of thing it is: `tag`, `file`, `section`, `symbol`, `member`, `line`, `byte`.
    pub kind: String,
    /// Which one: `BUILDTIME`, `/usr/bin/curl`, `.rodata`, `main`, `42`.
    pub name: String,
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// What differs at one place. Texts are cut to what a report can show and hold no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Change {
    /// It is on the left only.
    OnlyLeft(String),
    /// It is on the right only.
    OnlyRight(String),
    /// Both have it, with other values.
    Value {
        /// On the left.
        left: String,
        /// On the right.
        right: String,
    },
    /// Both have the same things in another order.
    Order {
        /// The first few on the left.
        left: String,
        /// The first few on the right.
        right: String,
    },
}

impl Change {
    /// Changes its texts.
    pub(crate) fn map(self, change: impl Fn(String) -> String) -> Self {
        match self {
            Self::OnlyLeft(text) => Self::OnlyLeft(change(text)),
            Self::OnlyRight(text) => Self::OnlyRight(change(text)),
            Self::Value { left, right } => Self::Value {
                left: change(left),
                right: change(right),
            },
            Self::Order { left, right } => Self::Order {
                left: change(left),
                right: change(right),
            },
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OnlyLeft(text) => write!(f, "only left: {text}"),
            Self::OnlyRight(text) => write!(f, "only right: {text}"),
            Self::Value { left, right } | Self::Order { left, right } => {
                write!(f, "{left} -> {right}")
            }
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Difference {
    /// Where.
    pub place: Vec<Segment>,
    /// What.
    pub change: Change,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place: Vec<String> = self.place.iter().map(ToString::to_string).collect();
        write!(f, "{}: {}", place.join(", "), self.change)
    }
}
