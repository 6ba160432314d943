//! Doubt: what differs between two packages or trees, why, and what follows for whoever has to trust
//! them.
//!
//! Nothing here builds, spawns, prints or reads a folder: bytes and values in, values out. A rebuild
//! is asked for through a trait that `cli` implements.
//!
//! Whatever is compared is foreign: it is never run, what it unpacks to is bounded ([`Effort`]), and all
//! that is told of it is made printable.

mod cause;
mod content;
mod difference;
mod effort;
mod finder;
mod isolate;
mod naming;
mod package;
mod plan;
mod printable;
mod rebuild;
mod report;
mod sequence;
mod subject;
mod tree;
mod verdict;
mod verification;
mod verify;

pub use cause::{Cause, NamedCause};
pub use difference::{Change, Difference, Segment};
pub use effort::Effort;
pub use finder::{Comparison, Note, Side};
pub use isolate::{Trial, TrialOutcome};
pub use naming::{
    Candidate, Circumstances, Clock, Strength, all_candidates, candidates, decide,
    decide_with_pairs, name_causes,
};
pub use package::{
    DescribedPackage, DescribedPackageError, PackageError, PackagedFileError, agreement,
    compare_packages, is_package,
};
pub use plan::VariationPlan;
pub use rebuild::{Checks, RebuildError, RebuildOrder, Rebuilder, Rebuilt};
pub use report::{REPORT_FORMAT, render_html, render_json, telling};
pub use subject::{Finding, Outputs, Sight, Subject, SubjectKind, sight};
pub use tree::{
    LARGEST_FILE, Tree, TreeEntry, TreeError, TreeKind, compare_trees, first_difference,
};
pub use verdict::{Agreement, Verdict};
pub use verification::{BuildReport, SubjectReport, Verification};
pub use verify::{Isolation, Progress, VerifyOrder, verify};

/// Compares two pieces of content of any kind: what they are is told from their first bytes.
#[must_use]
pub fn compare_contents(left: &[u8], right: &[u8], effort: &Effort) -> Comparison {
    let mut finder = finder::Finder::new(effort);
    content::compare(&mut finder, left, right);
    finder.finish()
}
