//! What a build is done with: store, fetcher, engine, and the ways to tell and to stop.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_model::{Architecture, Config, Isolation, Limits, Measured, RecipeName, StepEnd};
use kiln_sandbox::{Cancel, Engine};
use kiln_store::{Fetcher, FileIdentity, Store};

use crate::error::BuildError;
use crate::graph::NodeId;
use crate::project::Project;
use crate::script::StepName;

/// Everything that a build uses besides its inputs. Shared by the threads of one run.
pub struct Workshop<'a> {
    /// The project.
    pub project: &'a Project,
    /// Where results are kept.
    pub store: &'a Store,
    /// What fills the store.
    pub fetcher: &'a Fetcher,
    /// What runs steps.
    pub engine: &'a dyn Engine,
    /// Who is told.
    pub report: &'a dyn Report,
    /// What stops everything.
    pub cancel: &'a Cancel,
    /// What is built for.
    pub architecture: Architecture,
    /// How many compilers one step may start. Must not change any result.
    pub jobs: NonZeroUsize,
    /// Where results are put for people: `out/`.
    pub output: &'a Path,
    /// What the file of the running kiln looks like: another program may derive other documents.
    pub program: Option<FileIdentity>,
    /// Tells what this host and this kiln are, for run records only.
    pub host: &'a (dyn Fn() -> Host + Sync),
    /// Tells the time as RFC 3339, for run records only.
    pub clock: &'a (dyn Fn() -> String + Sync),
}

impl std::fmt::Debug for Workshop<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workshop")
            .field("project", &self.project.root)
            .field("output", &self.output)
            .finish_non_exhaustive()
    }
}

/// What this host and this kiln are. Goes into run records, never into a compared output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// The host's name.
    pub name: String,
    /// The kernel's release.
    pub kernel: String,
    /// The digest of the running kiln.
    pub kiln_digest: kiln_model::Digest,
}

/// The version of this kiln.
pub const KILN_VERSION: &str = env!("CARGO_PKG_VERSION");

impl Workshop<'_> {
    /// Returns what one step may use up.
    #[must_use]
    pub fn limits(&self) -> Limits {
        const MEBIBYTE: u64 = 1024 * 1024;
        let Config { limits, .. } = &self.project.config;
        Limits {
            memory: limits.memory.saturating_mul(MEBIBYTE),
            processes: limits.processes,
            wall_time: Duration::from_secs(limits.time.saturating_mul(60)),
            log: limits.log.saturating_mul(MEBIBYTE),
            scratch: limits.scratch.saturating_mul(MEBIBYTE),
        }
    }

    /// Compares the isolation that a step had with what `kiln.toml` requires.
    ///
    /// # Errors
    /// `NoResourceLimits`.
    pub(crate) fn check_isolation(&self, isolation: &Isolation) -> Result<(), BuildError> {
        let has_limits = isolation.resource_limits == Measured::Yes;
        if self.project.config.require.resource_limits && !has_limits {
            return Err(BuildError::NoResourceLimits);
        }
        Ok(())
    }

    /// Returns the folder of a node's logs, relative to `out/`.
    #[must_use]
    pub fn log_folder(node: &NodeId) -> PathBuf {
        let name = match &node.prefix {
            crate::graph::Prefix::System => node.recipe.to_string(),
            crate::graph::Prefix::Bundle(path) => {
                format!("{}@{}", node.recipe, path.relative().replace('/', "-"))
            }
        };
        Path::new("logs").join(name)
    }
}

/// Who is told what happens. Called from several threads.
pub trait Report: Sync {
    /// Takes note of one event.
    fn tell(&self, event: &Event<'_>);
}

/// Something that happened during a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Files are about to be fetched.
    Fetching {
        /// How many.
        files: usize,
    },
    /// One file was fetched.
    Fetched {
        /// Its name.
        name: &'a str,
        /// Its bytes.
        bytes: u64,
    },
    /// A root file system is being put together.
    Assembling {
        /// Of which base image or recipe.
        what: &'a str,
    },
    /// A lockfile was written.
    Locked {
        /// The file.
        file: &'a Path,
    },
    /// A lockfile already says what is.
    LockUnchanged {
        /// The file.
        file: &'a Path,
    },
    /// A step starts.
    StepStarted {
        /// Of what.
        node: &'a NodeId,
        /// Which.
        step: StepName,
    },
    /// A step ended.
    StepEnded {
        /// Of what.
        node: &'a NodeId,
        /// Which.
        step: StepName,
        /// How.
        end: &'a StepEnd,
        /// How long it took.
        elapsed: Duration,
    },
    /// A recipe has no check step.
    CheckSkipped {
        /// The recipe.
        recipe: &'a RecipeName,
        /// Why.
        reason: &'a str,
    },
    /// Packaging starts.
    Packaging {
        /// The recipe or base image.
        what: &'a str,
    },
    /// A result was taken from the store.
    Cached {
        /// Of what.
        what: &'a str,
    },
}
