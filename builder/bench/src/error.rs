//! What can stop a measurement. One row that fails does not stop the others.

use std::path::PathBuf;

/// Says why a row has no figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// Something that the row needs is not there: the row is skipped, and says so.
    #[error("{reason}")]
    Skipped {
        /// What is missing, and how to have it.
        reason: String,
    },
    /// A command that is measured failed: its time would mean nothing.
    #[error("`{command}` failed ({status})\n{tail}")]
    Command {
        /// The command line.
        command: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote.
        tail: String,
    },
    /// A file or folder can not be used; the error names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The project, store or sandbox refused.
    #[error("{what}: {reason}")]
    Kiln {
        /// What was tried.
        what: String,
        /// What kiln's own code says.
        reason: String,
    },
    /// There is no row of this name.
    #[error("no row `{name}`; there are {}", known.join(", "))]
    UnknownRow {
        /// As given.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The program that is to be measured is not there.
    #[error("no program `{}`; run `make bench`, which builds it", path.display())]
    NoKiln {
        /// Where it was looked for.
        path: PathBuf,
    },
}

impl BenchError {
    /// Says what kiln's own code refused.
    pub fn kiln(what: &str) -> impl Fn(&dyn std::fmt::Display) -> Self + '_ {
        move |reason| Self::Kiln {
            what: what.to_owned(),
            reason: reason.to_string(),
        }
    }

    /// Makes a row skipped.
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self::Skipped {
            reason: reason.into(),
        }
    }
}
