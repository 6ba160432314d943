//! `kiln shell`: a step's sandbox with its files and environment, for a person or a command.
//!
//! A step that fails leaves its `/build` in the store, one folder per node, until the node is built. The
//! shell goes there; without a failure, or for another step than the failed one, everything before the
//! step is done anew in a folder that goes with the shell. Nothing that happens in a shell reaches a
//! build: its files are never collected, and the next build starts from sources.
//!
//! ```text
//! kept/<recipe>[@<prefix>][@@<base>]/failure.json   which step failed, and the build key that it was run for
//!                         /build/         what is mounted at /build; the step could write only here
//! ```

use std::io::Write;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kiln_model::{Mount, MountAccess, RecipeName, SealedStep, StepEnd, StepOutcome};
use kiln_store::{Kept, KeptDir, ScratchDir};
use serde::{Deserialize, Serialize};

use crate::compile::{BuildInputs, lower_trees, prepare, run_steps, sealed_step};
use crate::error::BuildError;
use crate::folder::{set_mode, write_file};
use crate::graph::{Graph, NodeId};
use crate::key::BuildKey;
use crate::node_build::build_one;
use crate::plan::{Bundled, Plan, bundled_builds};
use crate::script::{StepName, step_script};
use crate::workshop::Workshop;

/// Where the steps' scripts lie in a shell.
const STEPS: &str = "/steps";
/// The file beside a kept `/build`.
const NOTE: &str = "failure.json";
/// A person may take their time; there is no end to wait for.
const A_PERSONS_TIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Whose sandbox is wanted.
#[derive(Debug, Clone, Copy)]
pub struct ShellRequest<'a> {
    /// The recipe.
    pub recipe: &'a RecipeName,
    /// The product that it is built for, of a library that several products bundle.
    pub product: Option<&'a RecipeName>,
    /// The step; default: the one that failed last, else build.
    pub step: Option<StepName>,
}

/// What the files in a sandbox are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShellState {
    /// As the failed step left them.
    Failed {
        /// Whether recipe, sources and libraries are what they were then.
        is_current: bool,
    },
    /// As they are before the step.
    Before,
}

/// A step's sandbox, ready to be entered.
#[derive(Debug)]
pub struct ShellRoom {
    /// What it is built from and for.
    pub node: NodeId,
    /// Which step.
    pub step: StepName,
    /// What its files are.
    pub state: ShellState,
    sealed: SealedStep,
    has_bash: bool,
    _files: (Files, ScratchDir),
}

/// Whose the folder is that is mounted at `/build`.
#[derive(Debug)]
enum Files {
    Kept(KeptDir),
    Fresh(ScratchDir),
}

impl Files {
    fn build(&self) -> PathBuf {
        let folder = match self {
            Self::Kept(kept) => kept.path(),
            Self::Fresh(scratch) => scratch.path(),
        };
        folder.join("build")
    }
}

/// What is noted beside the files of a failed step.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct FailureNote {
    step: String,
    key: BuildKey,
}

/// Names a node in the store.
pub(crate) fn node_label(node: &NodeId) -> String {
    let folder = Workshop::log_folder(node);
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Names the kept folder of a node: on another base image than its own, one of its own.
fn kept_name(shop: &Workshop<'_>, node: &NodeId) -> String {
    let label = node_label(node);
    match shop.project.moved.contains(&node.recipe) {
        true => format!(
            "{label}@@{}",
            shop.project.recipes[&node.recipe].recipe.base
        ),
        false => label,
    }
}

/// Keeps what a failed step left. That this can not be done is no reason to hide the failure.
pub(crate) fn keep_failure(
    shop: &Workshop<'_>,
    inputs: &BuildInputs<'_>,
    scratch: ScratchDir,
    step: StepName,
) {
    let note = FailureNote {
        step: step.to_string(),
        key: inputs.key_inputs(shop).key(),
    };
    let text = serde_json::to_vec(&note).expect("texts");
    if write_file(scratch.path(), NOTE, &text).is_ok() {
        drop(scratch.keep_as(shop.store, &kept_name(shop, inputs.node)));
    }
}

/// Removes what an earlier failure of a node left, now that it is built.
pub(crate) fn forget_failure(shop: &Workshop<'_>, node: &NodeId) {
    drop(shop.store.forget_kept(&kept_name(shop, node)));
}

/// Builds what the wanted step needs, and lays its files out.
///
/// # Errors
/// Whatever keeps a build from coming as far; `ShellInUse` when another shell is open there.
pub fn open_shell(
    shop: &Workshop<'_>,
    request: &ShellRequest<'_>,
) -> Result<ShellRoom, BuildError> {
    let top = request.product.unwrap_or(request.recipe);
    let graph = Graph::new(shop.project, std::slice::from_ref(top))?;
    let node = find_node(&graph, request, top)?;
    let plan = Plan::new(shop, graph)?;
    shop.check_isolation(&shop.engine.probe()?)?;
    let bundled = build_libraries(shop, &plan, &node)?;
    let inputs = BuildInputs {
        node: &node,
        loaded: &shop.project.recipes[&node.recipe],
        rootfs: &plan.rootfs[&node],
        bundled: &bundled,
    };
    let lower = lower_trees(shop, &inputs)?;
    let failure = failure(shop, &inputs, request.step)?;
    let (files, step, state) = match failure {
        Some(found) => found,
        None => {
            let step = request.step.unwrap_or(StepName::Build);
            let files = Files::Fresh(files_before(shop, &inputs, step, &lower)?);
            (files, step, ShellState::Before)
        }
    };
    let has_bash = lower.iter().any(|tree| is_there(tree, "usr/bin/bash"));
    let label = format!("{node}: shell");
    let mut sealed = sealed_step(shop, &inputs, &lower, &files.build(), label)?;
    let scripts = scripts(shop, &inputs)?;
    sealed.mounts.push(Mount {
        source: scripts.path().to_owned(),
        target: STEPS.parse().expect("a constant path"),
        access: MountAccess::ReadOnly,
    });
    sealed.limits.log = u64::MAX;
    Ok(ShellRoom {
        step,
        state,
        sealed,
        has_bash,
        _files: (files, scripts),
        node,
    })
}

impl ShellRoom {
    /// Opens an interactive shell on `person`, a terminal in raw mode; `terminal` is its kind (`TERM`).
    ///
    /// # Errors
    /// `Sandbox`, when the sandbox could not be made.
    pub fn interact(
        mut self,
        shop: &Workshop<'_>,
        person: BorrowedFd<'_>,
        terminal: &str,
        screen: &mut dyn Write,
    ) -> Result<StepEnd, BuildError> {
        let shell: &[&str] = if self.has_bash {
            &["/bin/bash", "--norc", "--noprofile", "-i"]
        } else {
            &["/bin/sh", "-i"]
        };
        self.sealed.command = shell.iter().map(|word| (*word).to_owned()).collect();
        let prompt = format!("[{} {}] ", self.node.recipe, self.step);
        let prompt = if self.has_bash {
            format!("{prompt}\\w\\$ ")
        } else {
            format!("{prompt}$ ")
        };
        self.sealed.environment.insert("PS1".to_owned(), prompt);
        self.sealed
            .environment
            .insert("TERM".to_owned(), terminal.to_owned());
        self.sealed.limits.wall_time = A_PERSONS_TIME;
        let engine = shop.engine;
        ended(engine.run_on_terminal(&self.sealed, person, screen, shop.cancel)?)
    }

    /// Runs a command with nothing to read.
    ///
    /// # Errors
    /// `Sandbox`, when the sandbox could not be made.
    pub fn run(
        mut self,
        shop: &Workshop<'_>,
        command: Vec<String>,
        output: &mut dyn Write,
    ) -> Result<StepEnd, BuildError> {
        self.sealed.command = command;
        ended(shop.engine.run(&self.sealed, output, shop.cancel)?)
    }
}

fn ended(outcome: StepOutcome) -> Result<StepEnd, BuildError> {
    match outcome.end {
        StepEnd::Cancelled => Err(BuildError::Cancelled),
        end => Ok(end),
    }
}

fn is_there(tree: &Path, path: &str) -> bool {
    tree.join(path).symlink_metadata().is_ok()
}

/// Finds the one node that is meant.
fn find_node(
    graph: &Graph,
    request: &ShellRequest<'_>,
    top: &RecipeName,
) -> Result<NodeId, BuildError> {
    let mut nodes = graph
        .order
        .iter()
        .filter(|node| node.recipe == *request.recipe);
    nodes
        .next_back()
        .cloned()
        .ok_or_else(|| BuildError::NotBundled {
            recipe: request.recipe.clone(),
            product: top.clone(),
        })
}

/// Builds, or takes from the store, everything that a node is built with.
fn build_libraries(shop: &Workshop<'_>, plan: &Plan, node: &NodeId) -> Result<Bundled, BuildError> {
    let mut built = plan.built.clone();
    for library in plan.graph.closure(node) {
        let bundled = bundled_builds(&plan.graph, &library, &built)
            .expect("the order has everything before what needs it");
        let done = build_one(shop, plan, &library, &bundled)?;
        built.insert(library, Arc::new(done));
    }
    Ok(bundled_builds(&plan.graph, node, &built).expect("everything was built"))
}

type Found = (Files, StepName, ShellState);

/// Returns the files of the last failure, if it is of the step that is asked for.
fn failure(
    shop: &Workshop<'_>,
    inputs: &BuildInputs<'_>,
    wanted: Option<StepName>,
) -> Result<Option<Found>, BuildError> {
    let kept = match shop.store.kept(&kept_name(shop, inputs.node))? {
        Kept::Nothing => return Ok(None),
        Kept::Free(kept) => kept,
        Kept::InUse => {
            let node = inputs.node.clone();
            return Err(BuildError::ShellInUse { node });
        }
    };
    let note = fs_err::read(kept.path().join(NOTE)).ok();
    let Some(note) = note.and_then(|text| serde_json::from_slice::<FailureNote>(&text).ok()) else {
        return Ok(None);
    };
    let failed = StepName::ALL
        .into_iter()
        .find(|step| step.to_string() == note.step);
    let Some(step) = failed.filter(|step| wanted.is_none_or(|wanted| wanted == *step)) else {
        return Ok(None);
    };
    let is_current = note.key == inputs.key_inputs(shop).key();
    let state = ShellState::Failed { is_current };
    Ok(Some((Files::Kept(kept), step, state)))
}

/// Lays out `/build` and runs every step before `step`.
fn files_before(
    shop: &Workshop<'_>,
    inputs: &BuildInputs<'_>,
    step: StepName,
    lower: &[PathBuf],
) -> Result<ScratchDir, BuildError> {
    let scratch = shop.store.scratch()?;
    prepare(shop, inputs, &scratch.path().join("build"))?;
    let before = StepName::ALL.into_iter().filter(|other| *other < step);
    let before: Vec<StepName> = before.collect();
    let run = run_steps(shop, inputs, &before, lower, scratch.path());
    match run {
        Ok(_) => Ok(scratch),
        Err(error) => {
            if let BuildError::StepFailed { step, .. } = &error {
                keep_failure(shop, inputs, scratch, *step);
            }
            Err(error)
        }
    }
}

/// Writes the steps' scripts, to be run again or read.
fn scripts(shop: &Workshop<'_>, inputs: &BuildInputs<'_>) -> Result<ScratchDir, BuildError> {
    let scratch = shop.store.scratch()?;
    set_mode(scratch.path(), 0o755)?;
    for step in StepName::ALL {
        if let Some(script) = step_script(&inputs.loaded.recipe, step) {
            let name = format!("{step}.sh");
            let text = format!("#!/bin/sh\n{script}");
            write_file(scratch.path(), &name, text.as_bytes())?;
            set_mode(&scratch.path().join(name), 0o755)?;
        }
    }
    Ok(scratch)
}
