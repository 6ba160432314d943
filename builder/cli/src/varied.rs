//! A rebuild under other circumstances: a child kiln with inputs of its own, and what it saw.
//!
//! ```text
//! <scratch>/inputs/project    the recipes, base images, lockfiles and settings, copied
//!           inputs/store      sources and layers of the caller's store, and nothing that was built
//!           exchange/         order.json -> applied.json, answer.json, out/
//! ```
//! `kiln_sandbox` starts the child; [`child`] is what it does; [`observe`] compares what it saw, from
//! outside and from inside a sandbox, with what a build without any change sees.

pub mod child;
mod clock;
mod environment;
mod facts;
mod observe;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use kiln_build::{BuildError, Checks, Project, Workshop, seed_inputs};
use kiln_model::{BaseName, DiffId, Factor, Level, Observation, RecipeName, Variation};
use kiln_sandbox::{
    APPLIED, Applied, Cancel, InitProgram, Places, ProcessOrder, VariedEnd, VariedError, run_varied,
};
use kiln_store::{ScratchDir, Store, StoreError};
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

pub use facts::{Facts, control_facts};

/// What the first stage of a child is started with.
pub const VARIED_INIT: &str = "varied-init";
/// What the child itself is started with.
pub const VARIED_BUILD: &str = "varied-build";
const ORDER: &str = "order.json";
const ANSWER: &str = "answer.json";
/// What of a project a rebuild needs. What was released is not among it: a difference is to be found,
/// not refused.
const PROJECT_PARTS: &[&str] = &["kiln.toml", "recipes", "base-images", "lockfiles"];
const LEFT_OUT: &str = "lockfiles/released.lock";
/// Largest answer, in bytes.
const ANSWER_LIMIT: u64 = 64 << 20;

/// What is to be rebuilt, and how.
#[derive(Clone, Copy)]
pub struct RebuildOrder<'a> {
    /// The project.
    pub project: &'a Project,
    /// What to rebuild; what it bundles comes along.
    pub recipes: &'a [RecipeName],
    /// What is to be different.
    pub variation: &'a Variation,
    /// Whether tests are run.
    pub checks: Checks,
    /// The caller's store: inputs are taken from it, and the rebuild's folder lies in it.
    pub store: &'a Store,
    /// How many compilers one step may start where that is not varied.
    pub jobs: NonZeroUsize,
    /// What a build without any change sees.
    pub control: &'a Facts,
    /// What stops everything.
    pub cancel: &'a Cancel,
}

/// Why there is no rebuild.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The caller's store lacks inputs.
    #[error("the store lacks inputs:\n  {}", missing.join("\n  "))]
    Missing {
        /// What each is, and its digest.
        missing: Vec<String>,
    },
    /// The inputs can not be told or copied.
    #[error(transparent)]
    Inputs(#[from] BuildError),
    /// The caller's store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the exchange, or of the project's copy.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The child did not start.
    #[error(transparent)]
    Start(#[from] VariedError),
    /// The child ended without an answer.
    #[error("the rebuild ended without an answer ({end})\n  {}", said.join("\n  "))]
    NoAnswer {
        /// How: `status 71`.
        end: String,
        /// The last lines that it wrote.
        said: Vec<String>,
    },
    /// Nothing can be sealed on this host.
    #[error("the rebuild can not be sealed: {reason}")]
    Unsealed {
        /// Why.
        reason: String,
    },
    /// The run was cancelled.
    #[error("interrupted")]
    Cancelled,
}

/// What a rebuild came to. Its files are removed with it.
#[derive(Debug)]
pub struct Rebuilt {
    /// What the child says.
    pub answer: Answer,
    /// Its `out/`.
    pub output: PathBuf,
    /// How each varied factor was found to be.
    pub observations: Vec<Observation>,
    _files: ScratchDir,
}

/// One thing that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RecipeFailure {
    /// The recipe, where it is about one.
    pub recipe: Option<String>,
    /// What people are shown, the end of the log included.
    pub text: String,
}

/// The rebuild as the child tells it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Answer {
    /// What failed; empty when everything was built.
    pub failures: Vec<RecipeFailure>,
    /// Whether it was interrupted.
    pub is_cancelled: bool,
    /// What each node installs, by the node's name: `openssl for /usr/lib/curl`.
    pub destdirs: BTreeMap<String, DiffId>,
    /// What the child saw.
    pub facts: Facts,
    /// Seconds since 1970 that steps saw at the beginning and at the end.
    pub clock: (i64, i64),
    /// Why nothing could be sealed as the child's user; then nothing else was done.
    pub unsealed: Option<String>,
    /// Why the clock could not be varied.
    pub no_clock: Option<String>,
    /// Programs of the root file system that the clock does not reach.
    pub not_covered: Vec<String>,
    /// What the variation set in the child's environment: other values may be secrets.
    pub environment: BTreeMap<String, String>,
    /// Processor time of the busy processes, in hundredths of a second.
    pub busy_time: u64,
    /// How many compilers a step could start.
    pub jobs: usize,
    /// Whether tests were run.
    pub checks: Option<Checks>,
}

/// What the child is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ChildOrder {
    recipes: Vec<RecipeName>,
    variation: Variation,
    checks: Checks,
    jobs: NonZeroUsize,
    /// The base image that was chosen for all recipes.
    base: Option<BaseName>,
}

/// Rebuilds under variation; `hear` gets each line that the child writes for people.
///
/// # Errors
/// As [`RebuildError`] says. A build that fails is none: it is in the answer.
pub fn rebuild_varied(
    order: &RebuildOrder<'_>,
    hear: &mut dyn FnMut(&str),
) -> Result<Rebuilt, RebuildError> {
    let files = order.store.scratch()?;
    let (inputs, exchange) = (files.path().join("inputs"), files.path().join("exchange"));
    fs_err::create_dir_all(inputs.join("store"))?;
    fs_err::create_dir_all(exchange.join("out"))?;
    copy_project(order.project, &inputs.join("project"))?;
    let architecture = kiln_model::Architecture::X86_64;
    let stores = (order.store, &*inputs.join("store"));
    let missing = seed_inputs(order.project, order.recipes, architecture, stores)?;
    if !missing.is_empty() {
        let missing = missing.iter().map(ToString::to_string).collect();
        return Err(RebuildError::Missing { missing });
    }
    let child = ChildOrder {
        recipes: order.recipes.to_vec(),
        variation: order.variation.clone(),
        checks: order.checks,
        jobs: jobs(order.variation.level(Factor::Jobs), order.jobs),
        base: order.project.chosen_base.clone(),
    };
    write_json(&exchange.join(ORDER), &child)?;
    let mut process = ProcessOrder {
        variation: order.variation.clone(),
        inputs,
        exchange: exchange.clone(),
        places: Places {
            project: order.project.root.clone(),
            store: order.store.root().to_owned(),
        },
        environment: environment::varied(order.variation, &environment::own()),
        arguments: vec![VARIED_BUILD.to_owned()],
    };
    let (mut answer, mut applied) = attempt(&process, hear, order.cancel)?;
    let is_other_user = order.variation.level(Factor::User) != Level::AsHost;
    if let (true, Some(reason)) = (is_other_user, answer.unsealed.take()) {
        // Some hosts have namespaces for root and for nobody else.
        process.variation.set(Factor::User, Level::AsHost);
        (answer, applied) = attempt(&process, hear, order.cancel)?;
        applied.refused.insert(Factor::User, reason);
    }
    if let Some(reason) = answer.unsealed {
        return Err(RebuildError::Unsealed { reason });
    }
    answer.environment = environment::changed(order.variation, &environment::own());
    let observations = observe::observations(order.variation, order.control, &answer, &applied);
    Ok(Rebuilt {
        answer,
        output: exchange.join("out"),
        observations,
        _files: files,
    })
}

/// Runs the child once.
fn attempt(
    process: &ProcessOrder,
    hear: &mut dyn FnMut(&str),
    cancel: &Cancel,
) -> Result<(Answer, Applied), RebuildError> {
    let init = InitProgram {
        program: PathBuf::from("/proc/self/exe"),
        arguments: vec![VARIED_INIT.to_owned()],
    };
    for file in [ANSWER, APPLIED] {
        // An earlier attempt's.
        let _ = fs_err::remove_file(process.exchange.join(file));
    }
    let mut said = Vec::new();
    let mut heard = |line: &str| {
        if said.len() == KEPT_LINES {
            said.remove(0);
        }
        said.push(line.to_owned());
        hear(line);
    };
    let end = match run_varied(&init, process, &mut heard, cancel)? {
        VariedEnd::Cancelled => return Err(RebuildError::Cancelled),
        VariedEnd::Exited(0) => "without a word".to_owned(),
        VariedEnd::Exited(status) => format!("status {status}"),
        VariedEnd::Signaled(signal) => format!("signal {signal}"),
    };
    let answer = read_json(&process.exchange.join(ANSWER));
    let applied = read_json(&process.exchange.join(APPLIED));
    match (answer, applied) {
        (Some(answer), Some(applied)) => Ok((answer, applied)),
        _ => Err(RebuildError::NoAnswer { end, said }),
    }
}

/// Lines of a child that are kept for the case that it ends without an answer.
const KEPT_LINES: usize = 20;

/// Returns how many compilers a step may start.
fn jobs(level: Level, usual: NonZeroUsize) -> NonZeroUsize {
    match level {
        Level::One => NonZeroUsize::MIN,
        // More than there are processors, and no divisor of most numbers.
        Level::Many => usual
            .saturating_mul(NonZeroUsize::MIN.saturating_add(1))
            .saturating_add(3),
        _ => usual,
    }
}

/// Copies what a rebuild needs of a project, with modes of its own: the caller's umask is no input.
fn copy_project(project: &Project, to: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let from = project.root.as_path();
    fs_err::create_dir_all(to)?;
    let authorities = project.config.network.ca.as_deref();
    let authorities = authorities.filter(|file| Path::new(file).is_relative());
    for part in PROJECT_PARTS.iter().copied().chain(authorities) {
        let walk = WalkDir::new(from.join(part))
            .follow_links(true)
            .sort_by_file_name();
        for entry in walk.into_iter().filter_map(Result::ok) {
            let below = entry.path().strip_prefix(from).unwrap_or(entry.path());
            let target = to.join(below);
            if below == Path::new(LEFT_OUT) {
                continue;
            }
            let mode = if entry.file_type().is_dir() {
                fs_err::create_dir_all(&target)?;
                0o755
            } else if entry.file_type().is_file() {
                if let Some(folder) = target.parent() {
                    fs_err::create_dir_all(folder)?;
                }
                fs_err::copy(entry.path(), &target)?;
                0o644
            } else {
                continue;
            };
            fs_err::set_permissions(&target, std::fs::Permissions::from_mode(mode))?;
        }
    }
    // Where the caller's store is: another may be mounted there.
    fs_err::create_dir_all(to.join(".kiln/store"))
}

fn write_json(path: &Path, value: &impl Serialize) -> std::io::Result<()> {
    let text = serde_json::to_vec(value)?;
    fs_err::write(path, text)
}

/// Reads what a child wrote; `None` when it is not there or not readable.
fn read_json<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    use std::io::Read as _;
    let file = fs_err::File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(ANSWER_LIMIT).read_to_end(&mut bytes).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Returns the recipes' names of a workshop that a probe may run on: the first one that can be built is as
/// good as any.
fn any_recipe<'a>(shop: &'a Workshop<'_>, recipes: &'a [RecipeName]) -> Option<&'a RecipeName> {
    recipes.first().or_else(|| {
        let mut all = shop.project.recipes.keys();
        all.find(|name| shop.project.unpinned(name).is_none())
    })
}
