//! A whole kiln process under other circumstances: what `kiln verify` rebuilds in.
//!
//! ```text
//! caller  --order, over stdin-->  stage (new namespaces, mounts, host name)
//!                                   `- pid 1 (busy processes, disorderfs; reaps)
//!                                        `- kiln: another user, umask, processors, personality,
//!                                           environment; then `exec`
//! ```
//!
//! Everything happens in namespaces of the process's own: the machine's clock, host name, mounts and
//! users stay as they are, and nothing is left when pid 1 is dead. It dies with the caller, and the
//! kernel then ends all that runs below it. What this host can not change is not an error: it is
//! written down, with the reason, for the report.

mod clock;
mod engine;
mod host;
mod load;
mod places;
mod process;
mod start;

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_model::{Factor, Variation};
use serde::{Deserialize, Serialize};

pub use clock::{CLOCK_SOURCE, ClockFiles, clock_offset};
pub use engine::{Disturbance, DisturbedEngine, View};
pub use host::{Unvaried, unvaried};
pub use process::{ProcessFacts, personality, process_facts, varied_init};
pub use start::{VariedEnd, VariedError, run_varied};

/// The file of an exchange folder in which the first stage says what it did.
pub const APPLIED: &str = "applied.json";

/// What a varied process is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProcessOrder {
    /// What is to be different. Factors of the sandbox (clock) are not looked at here.
    pub variation: Variation,
    /// Holds `project` and `store`, which the process gets, copied where its file system is another.
    pub inputs: PathBuf,
    /// Shared with the caller; the process sees it at the same place as its last argument.
    pub exchange: PathBuf,
    /// Where the caller has its project and its store.
    pub places: Places,
    /// The whole environment of the process.
    pub environment: BTreeMap<String, String>,
    /// The program's first arguments; the exchange folder's place follows.
    pub arguments: Vec<String>,
}

/// Where a project and its store lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Places {
    /// The project's folder.
    pub project: PathBuf,
    /// The store's folder.
    pub store: PathBuf,
}

/// What the first stage did, for the process itself and for the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// Where the project and the store are seen.
    pub places: Places,
    /// How each factor was changed: `tmpfs of 8192 MiB`.
    pub done: BTreeMap<Factor, String>,
    /// Why a factor could not be changed.
    pub refused: BTreeMap<Factor, String>,
    /// The store's other face, with directories in another order.
    pub view: Option<PathBuf>,
    /// The processes that keep processors busy.
    pub busy: Vec<i32>,
}
