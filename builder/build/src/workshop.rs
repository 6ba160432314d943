//! What a build is done with: store, fetcher, engine, and the ways to tell and to stop.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_image::TreeStage;
use kiln_model::{Architecture, Config, Isolation, Limits, Measured, RecipeName, StepEnd};
use kiln_sandbox::{Cancel, Engine};
use kiln_store::{Fetcher, FileIdentity, Store, StoredThing};

use crate::error::BuildError;
use crate::graph::NodeId;
use crate::lock::LockNote;
use crate::log::Listener;
use crate::project::Project;
use crate::script::StepName;
use crate::work::{Row, Work};

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
    /// What is unlike other builds, where something is to be verified.
    pub circumstances: Circumstances,
}

/// What a verification build does otherwise. Must not change any result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// Whether recipes' tests are run.
    pub checks: Checks,
    /// Seconds that steps' clock is ahead of this process's. What the engine does to the clock, it does
    /// to the times of files too; those that are pinned are set so that steps see them as pinned.
    pub clock_offset: i64,
}

impl Circumstances {
    /// Those of every build that is no verification.
    pub const USUAL: Self = Self {
        checks: Checks::Run,
        clock_offset: 0,
    };
}

/// Whether recipes' tests are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Checks {
    /// They are, and a failure fails the build.
    Run,
    /// They are not: under another clock certificates have expired, and tests of time fail rightly.
    Skip,
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
            disk: limits.build.saturating_mul(MEBIBYTE),
            reserve: limits.free.saturating_mul(MEBIBYTE),
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

    /// Returns whether [`Event::Output`] is of interest; steps print a lot.
    fn wants_output(&self) -> bool {
        false
    }
}

/// A step that runs, as reports know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running<'a> {
    pub(crate) work: &'a Work,
    pub(crate) step: StepName,
}

impl<'a> Running<'a> {
    /// Returns who hears what the step prints, if anybody wants to.
    pub(crate) fn listener(self, shop: &'a Workshop<'_>) -> Option<Listener<'a>> {
        let Self { work, step } = self;
        let tell = move |line: &str| shop.report.tell(&Event::Output { work, step, line });
        shop.report
            .wants_output()
            .then(|| Box::new(tell) as Listener<'a>)
    }

    pub(crate) fn tell_start(self, shop: &Workshop<'_>) {
        let Self { work, step } = self;
        shop.report.tell(&Event::StepStarted { work, step });
    }

    pub(crate) fn tell_end(self, shop: &Workshop<'_>, end: &StepEnd, elapsed: Duration) {
        let Self { work, step } = self;
        shop.report.tell(&Event::StepEnded {
            work,
            step,
            end,
            elapsed,
        });
    }
}

/// Something that happened during a run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event<'a> {
    /// It is known what there is to do.
    Planned {
        /// All pieces of work, in build order.
        work: &'a [Work],
    },
    /// Files are about to be fetched.
    Fetching {
        /// How many.
        files: usize,
        /// Their bytes together, if all are known.
        bytes: Option<u64>,
    },
    /// One file is being asked for.
    FetchStarted {
        /// Its name.
        name: &'a str,
        /// Its bytes, if they are known.
        size: Option<u64>,
    },
    /// Some of one file has come.
    FetchAdvanced {
        /// Its name.
        name: &'a str,
        /// Bytes so far; falls to 0 when another place is tried.
        bytes: u64,
    },
    /// One place does not give a file; another may.
    FetchPassedOver {
        /// Its name.
        name: &'a str,
        /// The place, without credentials.
        address: &'a str,
        /// Why.
        reason: &'a str,
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
        /// Of which base image.
        what: &'a str,
    },
    /// Some of a root file system is done.
    AssemblyAdvanced {
        /// Of which base image.
        what: &'a str,
        /// What is being done.
        stage: TreeStage,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A root file system is ready.
    Assembled {
        /// Of which base image.
        what: &'a str,
        /// How long it took, fetching included.
        elapsed: Duration,
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
    /// Something about what a recipe's lockfile now holds, or does not.
    LockNote {
        /// The recipe.
        recipe: &'a RecipeName,
        /// What.
        note: &'a LockNote,
    },
    /// Another kiln makes the same just now: this one waits, and takes what comes of it.
    Waiting {
        /// What.
        what: &'a str,
    },
    /// Something in the store was damaged and was set aside; it is fetched or made again.
    SetAside {
        /// What it was.
        thing: StoredThing,
        /// Where it is now.
        evidence: &'a Path,
    },
    /// A piece of work begins: a worker prepares it, or finds it in the store.
    WorkStarted {
        /// Which.
        work: &'a Work,
    },
    /// A piece of work is over, or will not be begun.
    WorkEnded {
        /// What came of it.
        row: &'a Row,
        /// Why it failed.
        error: Option<&'a BuildError>,
    },
    /// After a failure nothing new is started; what runs is waited for.
    Finishing {
        /// What runs.
        work: &'a [Work],
    },
    /// A step starts.
    StepStarted {
        /// Of what.
        work: &'a Work,
        /// Which.
        step: StepName,
    },
    /// A step printed a line; told only to those who want it.
    Output {
        /// Of what.
        work: &'a Work,
        /// Which.
        step: StepName,
        /// The line, without control characters.
        line: &'a str,
    },
    /// A step ended.
    StepEnded {
        /// Of what.
        work: &'a Work,
        /// Which.
        step: StepName,
        /// How.
        end: &'a StepEnd,
        /// How long it took.
        elapsed: Duration,
    },
    /// A package orders below one that was released: nobody who has that would get this one.
    BelowReleased {
        /// The new package.
        nevra: &'a str,
        /// The newest released one.
        released: &'a str,
    },
    /// A recipe has no check step.
    CheckSkipped {
        /// The recipe.
        recipe: &'a RecipeName,
        /// Why.
        reason: &'a str,
    },
}
