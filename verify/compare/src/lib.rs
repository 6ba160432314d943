//! Doubt: what differs between two packages or trees, why, and what follows for whoever has to trust
//! them.
//!
//! Nothing here builds, spawns, prints or reads a folder: bytes and values in, values out. A rebuild
//! is asked for through a trait that `cli` implements.

mod cause;
mod difference;
mod plan;
mod verdict;

pub use cause::{Cause, NamedCause};
pub use difference::{Change, Difference, Segment};
pub use plan::VariationPlan;
pub use verdict::{Agreement, Verdict};
