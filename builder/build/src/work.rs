//! The pieces of work of a run, and what came of each: the rows of the closing table.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use kiln_model::BaseName;

use crate::compile::is_product;
use crate::graph::NodeId;
use crate::latest::Latest;
use crate::plan::Plan;
use crate::queue::Piece;

/// One piece of work: what is started, ends and can fail by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Runs the steps of a node.
    Build(NodeId),
    /// Packages a product and writes its documents.
    Package(NodeId),
    /// Packages what a base image offers.
    BasePackage(BaseName),
    /// Makes the metadata of the repository, after everything else.
    Repository,
}

impl Work {
    /// Returns what it is about, without what is done: `curl`, `kiln-base-debian-12`.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Build(node) | Self::Package(node) => node.to_string(),
            Self::BasePackage(base) => format!("kiln-base-{base}"),
            Self::Repository => "repository".to_owned(),
        }
    }

    /// Returns the node, if it is about one.
    #[must_use]
    pub const fn node(&self) -> Option<&NodeId> {
        match self {
            Self::Build(node) | Self::Package(node) => Some(node),
            Self::BasePackage(_) | Self::Repository => None,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        match self {
            Self::Build(_) | Self::Repository => f.pad(&name),
            Self::Package(_) | Self::BasePackage(_) => f.pad(&format!("{name} (package)")),
        }
    }
}

/// What came of a piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was done in this run.
    Built,
    /// The store had it.
    Cached,
    /// It failed; the error is among the run's failures.
    Failed,
    /// It was running when the run was interrupted.
    Cancelled,
    /// Something that it needs failed.
    Blocked {
        /// What failed.
        by: Work,
    },
    /// It was not started: the run ended before, after a failure or an interruption.
    NotStarted,
}

/// One row of the closing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The piece of work.
    pub work: Work,
    /// What came of it.
    pub outcome: Outcome,
    /// How long it took: in this run, or for [`Outcome::Cached`] when it was made.
    pub elapsed: Duration,
    /// Its RPMs and their bytes together; `None` for what yields none.
    pub rpms: Option<RpmTotals>,
}

/// RPMs of one piece of work, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RpmTotals {
    /// How many.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// What happens after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// What runs is finished and kept in the store, nothing new is started, nothing is published:
    /// what `make` and `ninja` do.
    Stop,
    /// Everything that does not need what failed is still built, packaged and published: what
    /// `make --keep-going` does.
    KeepGoing,
}

/// Returns all work of a plan, in an order in which each comes after what it needs.
pub(crate) fn all_work(plan: &Plan) -> Vec<Work> {
    let mut all = Vec::new();
    for node in &plan.graph.order {
        all.push(Work::Build(node.clone()));
        if is_product(node) {
            all.push(Work::Package(node.clone()));
        }
    }
    // Packages for rpm's database are of use only beside products.
    if all.iter().any(|work| matches!(work, Work::Package(_))) {
        let bases = plan.base_packages().into_keys();
        all.extend(bases.map(Work::BasePackage));
    }
    all
}

/// How long a piece of work is taken to last that was never done here. Only the order of work follows
/// from it: a build is then begun before what is known to be quick.
const UNKNOWN_BUILD: Duration = Duration::from_secs(60);
/// The same of packaging.
const UNKNOWN_PACKAGE: Duration = Duration::from_secs(5);

/// Returns what each piece of work needs and how long it took last time.
pub(crate) fn pieces(plan: &Plan, work: &[Work], latest: &Latest) -> Vec<Piece> {
    let length = |work: &Work| {
        let unknown = match work {
            Work::Build(_) => UNKNOWN_BUILD,
            _ => UNKNOWN_PACKAGE,
        };
        latest.of(work).map_or(unknown, |last| last.elapsed())
    };
    pieces_of(plan, work, length)
}

/// Does the same with times from elsewhere.
pub(crate) fn pieces_of(
    plan: &Plan,
    work: &[Work],
    length: impl Fn(&Work) -> Duration,
) -> Vec<Piece> {
    let builds: BTreeMap<&NodeId, usize> = work
        .iter()
        .enumerate()
        .filter_map(|(number, work)| match work {
            Work::Build(node) => Some((node, number)),
            _ => None,
        })
        .collect();
    // Everything below, not only what comes just before: a library that proves damaged is waited for by
    // all that carry it, whatever of what lies between is there.
    let closure = |node: &NodeId| -> Vec<usize> {
        let below = plan.graph.closure(node);
        below.iter().map(|node| builds[node]).collect()
    };
    let needs = |work: &Work| match work {
        Work::Build(node) => closure(node),
        Work::Package(node) => {
            let mut needs = closure(node);
            needs.push(builds[node]);
            needs
        }
        Work::BasePackage(_) | Work::Repository => Vec::new(),
    };
    work.iter()
        .map(|work| Piece {
            name: work.to_string(),
            needs: needs(work),
            length: length(work),
        })
        .collect()
}
