//! The one door to builds: whoever can build implements [`Rebuilder`], and nothing here knows how.

use std::collections::BTreeMap;

use kiln_model::{Observation, RecipeName, Variation};
use serde::{Deserialize, Serialize};

use crate::naming::Circumstances;
use crate::subject::Outputs;

/// Whether a rebuild runs upstream's tests. Under another clock many fail rightly: certificates expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checks {
    /// They run, as in every build.
    Run,
    /// They are left out.
    Skipped,
}

/// A rebuild that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildOrder<'a> {
    /// What is built.
    pub recipes: &'a [RecipeName],
    /// What is varied.
    pub variation: &'a Variation,
    /// Whether upstream's tests are run.
    pub checks: Checks,
}

/// A rebuild that was done, with its outputs for as long as it is held.
pub struct Rebuilt {
    /// What it put out.
    pub outputs: Box<dyn Outputs>,
    /// Recipes that failed, and how.
    pub failures: BTreeMap<RecipeName, String>,
    /// Whether tests ran.
    pub checks: Checks,
    /// What was seen of each varied factor.
    pub observations: Vec<Observation>,
    /// What may have got into outputs.
    pub circumstances: Circumstances,
}

impl std::fmt::Debug for Rebuilt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rebuilt")
            .field("failures", &self.failures)
            .field("checks", &self.checks)
            .finish_non_exhaustive()
    }
}

/// Says why there was no rebuild at all.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// Somebody stopped it.
    #[error("interrupted")]
    Interrupted,
    /// It could not be begun or finished; failed recipes are no such error.
    #[error("{0}")]
    Impossible(Box<dyn std::error::Error + Send + Sync>),
}

/// Builds again.
pub trait Rebuilder {
    /// Builds from nothing but pinned inputs, in fresh sandboxes, with the variation in effect.
    ///
    /// # Errors
    /// [`RebuildError`].
    fn rebuild(&mut self, order: &RebuildOrder<'_>) -> Result<Rebuilt, RebuildError>;

    /// Returns what is known of the build that is verified.
    fn original_circumstances(&self) -> Circumstances;
}
