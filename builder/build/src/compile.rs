//! From sources to a destdir: prep, build, install and check, each in a sealed run of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use kiln_image::{
    CandidateKind, Inclusion, Stoppable, TreeCandidate, TreeEntry, TreeEntryKind, TreeTarError,
    TreeTarRequest, UnpackLimits, unpack_source, write_tree_tar,
};
use kiln_model::recipe::{Check, SourceForm};
use kiln_model::{
    DiffId, Digest, Isolation, Mount, MountAccess, Recipe, SealedStep, SourceDateEpoch, StepEnd,
    StepUser,
};
use kiln_store::StoreError;
use serde::{Deserialize, Serialize};

use crate::claim::{Rule, claim_in};
use crate::ending::reached_limits;
use crate::error::BuildError;
use crate::folder::{create_folders, write_file};
use crate::graph::{NodeId, Prefix};
use crate::key::{BuildKey, KeyInputs, KeyKind};
use crate::log::StepLog;
use crate::needs::check_needs;
use crate::plan::source_request;
use crate::project::LoadedRecipe;
use crate::publish::refused;
use crate::recorded::record_build;
use crate::rootfs::{Rootfs, unpacked};
use crate::script::{BUILD_ROOT, StepName, environment, step_script};
use crate::shell::{forget_failure, keep_failure};
use crate::times::shift_times;
use crate::told::Told;
use crate::work::Work;
use crate::workshop::{Checks, Event, Running, Workshop};

/// The format of the record of a finished build.
pub(crate) const BUILT_FORMAT: u32 = 1;

/// A finished build: what its record in the store says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Built {
    /// The record's format.
    pub(crate) format: u32,
    /// The key that it was built for.
    pub key: BuildKey,
    /// The canonical tar of what was installed.
    pub destdir: DiffId,
    /// The list of its files, as JSON.
    pub files: Digest,
    /// The canonical tar of the source files, for debugsource and licence texts.
    pub sources: DiffId,
    /// How the steps went, for the run record.
    pub steps: Vec<StepRecord>,
}

/// How one step went: run record only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StepRecord {
    /// Recipe and step: `openssl: build`.
    pub label: String,
    /// Milliseconds from start to end.
    pub elapsed_ms: u64,
    /// Greatest resident memory of one process, in bytes.
    pub peak_memory: Option<u64>,
    /// The isolation measured.
    pub isolation: Isolation,
}

/// What one build needs to know.
#[derive(Debug)]
pub(crate) struct BuildInputs<'a> {
    pub(crate) node: &'a NodeId,
    pub(crate) loaded: &'a LoadedRecipe,
    pub(crate) rootfs: &'a Rootfs,
    /// The libraries that it is built with, by library name, with everything that they carry.
    pub(crate) bundled: &'a [(String, Arc<Built>)],
}

impl BuildInputs<'_> {
    fn recipe(&self) -> &Recipe {
        &self.loaded.recipe
    }

    /// Returns every input that can change the result.
    pub(crate) fn key_inputs(&self, shop: &Workshop<'_>) -> KeyInputs {
        let recipe = self.recipe();
        let scripts = StepName::ALL
            .iter()
            .filter_map(|step| step_script(recipe, *step).map(|script| (step.to_string(), script)));
        let source = |source: &kiln_model::recipe::Source| {
            let name = source.url.file_name();
            let name = match source.form {
                SourceForm::Unpacked => name.to_owned(),
                SourceForm::Kept => format!("{name}, not unpacked"),
            };
            (name, source.sha256)
        };
        KeyInputs {
            kind: KeyKind::Build,
            architecture: shop.architecture,
            base: self.rootfs.manifest,
            tools: self.rootfs.tools,
            sources: recipe.planned().sources.iter().map(source).collect(),
            patches: recipe.patches.iter().map(|patch| patch.sha256).collect(),
            bundled: self
                .bundled
                .iter()
                .map(|(name, b)| (name.clone(), b.destdir))
                .collect(),
            scripts: scripts.collect(),
            environment: environment(recipe, self.node),
            epoch: recipe.planned().source_date,
            recipe: None,
            maker: None,
            extra: [(
                "licences".to_owned(),
                Digest::of(recipe.license_files.join("\n").as_bytes()),
            )]
            .into(),
        }
    }
}

/// Returns the finished build of `key` if the store has all of it.
pub(crate) fn cached(shop: &Workshop<'_>, key: BuildKey) -> Result<Option<Built>, BuildError> {
    let Some(bytes) = shop.store.result(&key.0)? else {
        return Ok(None);
    };
    let Ok(built) = serde_json::from_slice::<Built>(&bytes) else {
        return Ok(None);
    };
    let is_whole = built.format == BUILT_FORMAT && built.key == key && is_there(shop, &built);
    Ok(is_whole.then_some(built))
}

/// Returns whether the store has all of a finished build; its bytes are looked at when they are used.
pub(crate) fn is_there(shop: &Workshop<'_>, built: &Built) -> bool {
    [built.key.0, built.destdir.0, built.files, built.sources.0]
        .iter()
        .all(|digest| shop.store.contains(digest))
}

/// Builds one node in fresh sandboxes and records the result. What a failed step left is kept, for
/// `kiln shell`.
pub(crate) fn compile(shop: &Workshop<'_>, inputs: &BuildInputs<'_>) -> Result<Built, BuildError> {
    let scratch = shop.store.scratch()?;
    let compiled = compile_in(shop, inputs, scratch.path());
    match &compiled {
        Ok(_) => forget_failure(shop, inputs.node),
        Err(BuildError::StepFailed { step, .. }) => keep_failure(shop, inputs, scratch, *step),
        Err(_) => {}
    }
    compiled
}

fn compile_in(
    shop: &Workshop<'_>,
    inputs: &BuildInputs<'_>,
    scratch: &Path,
) -> Result<Built, BuildError> {
    let key_inputs = inputs.key_inputs(shop);
    check_overlap(shop, inputs)?;
    prepare(shop, inputs, &scratch.join("build"))?;
    let lower = lower_trees(shop, inputs)?;
    check_needs(shop, inputs, &lower)?;
    let first = [StepName::Prep, StepName::Build, StepName::Install];
    let mut steps = run_steps(shop, inputs, &first, &lower, scratch)?;
    // What tests write is not installed.
    let (destdir, entries) = collect_destdir(shop, inputs, scratch)?;
    if shop.circumstances.checks == Checks::Run {
        let check = [StepName::Check];
        steps.extend(run_steps(shop, inputs, &check, &lower, scratch)?);
    }
    let sources = collect_sources(shop, inputs, scratch)?;
    let files = serde_json::to_vec(&entries).expect("entries are texts and numbers");
    let built = Built {
        format: BUILT_FORMAT,
        key: key_inputs.key(),
        destdir,
        files: shop.store.write_part(&files)?,
        sources,
        steps,
    };
    record_build(
        shop.store,
        inputs.loaded,
        (inputs.node, &built),
        &key_inputs,
    )?;
    Ok(built)
}

/// Runs steps one after another in the `/build` of `scratch`; one without a script is skipped.
pub(crate) fn run_steps(
    shop: &Workshop<'_>,
    inputs: &BuildInputs<'_>,
    steps: &[StepName],
    lower: &[PathBuf],
    scratch: &Path,
) -> Result<Vec<StepRecord>, BuildError> {
    let build = scratch.join("build");
    let mut records = Vec::new();
    for step in steps.iter().copied() {
        let Some(script) = step_script(inputs.recipe(), step) else {
            tell_skipped(shop, inputs.recipe(), step);
            continue;
        };
        let run = StepRun {
            step,
            script,
            lower,
            build: &build,
        };
        records.push(run_step(shop, inputs, &run)?);
    }
    Ok(records)
}

fn tell_skipped(shop: &Workshop<'_>, recipe: &Recipe, step: StepName) {
    if let (StepName::Check, Check::Skipped(reason)) = (step, &recipe.steps.check) {
        let event = Event::CheckSkipped {
            recipe: &recipe.name,
            reason: reason.as_str(),
        };
        shop.report.tell(&event);
    }
}

/// Asks once more for sources that could not be had before: with [`OnFailure::KeepGoing`] that did
/// not end the run, and whoever needs them fails alone.
///
/// [`OnFailure::KeepGoing`]: crate::work::OnFailure::KeepGoing
pub(crate) fn fetch_missing(shop: &Workshop<'_>, recipe: &Recipe) -> Result<(), BuildError> {
    let requests = recipe.planned().sources.iter().map(source_request);
    let missing = requests.filter(|request| !shop.store.contains(&request.sha256));
    let missing: Vec<_> = missing.collect();
    if !missing.is_empty() {
        shop.fetcher.fetch_all(&missing, &Told(shop.report))?;
    }
    Ok(())
}

/// Lays out `/build`: unpacked sources, patches, an empty destdir and home.
pub(crate) fn prepare(
    shop: &Workshop<'_>,
    inputs: &BuildInputs<'_>,
    build: &Path,
) -> Result<(), BuildError> {
    let recipe = inputs.recipe();
    fetch_missing(shop, recipe)?;
    for folder in ["src", "destdir", "home", "patches"] {
        create_folders(build, folder)?;
    }
    for (number, source) in recipe.planned().sources.iter().enumerate() {
        let name = source.url.file_name();
        let folder = if number == 0 {
            recipe.source_folder()
        } else {
            source.folder().to_owned()
        };
        let target = build.join("src").join(&folder);
        if source.form == SourceForm::Kept {
            keep_source(shop, &source.sha256, &target, recipe.planned().source_date)?;
            continue;
        }
        create_folders(&build.join("src"), &folder)?;
        let is_stopped = || shop.cancel.is_cancelled();
        let mut archive = Stoppable::new(shop.store.open_blob(&source.sha256)?, &is_stopped);
        unpack_source(&mut archive, name, &target, UnpackLimits::SOURCE)
            .map_err(|error| BuildError::image(name)(error.into()))?;
    }
    for (number, patch) in recipe.patches.iter().enumerate() {
        let bytes = inputs.loaded.read_patch(patch)?;
        write_file(build, &format!("patches/{number}.patch"), &bytes)?;
    }
    // Behind the clock there are no times to be seen as pinned: they would lie in the future.
    if shop.circumstances.clock_offset > 0 {
        shift_times(&build.join("src"), -shop.circumstances.clock_offset)?;
    }
    Ok(())
}

/// Puts a source beside the source tree as it is, with a time that is no clock's.
fn keep_source(
    shop: &Workshop<'_>,
    digest: &Digest,
    target: &Path,
    time: SourceDateEpoch,
) -> Result<(), BuildError> {
    let mut blob = shop.store.open_blob(digest)?;
    let mut file = fs_err::File::create_new(target)?;
    std::io::copy(&mut blob, &mut file)?;
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(time.seconds().into());
    Ok(file.file().set_modified(time)?)
}

/// Libraries that install different files at one place would hide each other.
fn check_overlap(shop: &Workshop<'_>, inputs: &BuildInputs<'_>) -> Result<(), BuildError> {
    let mut seen: BTreeMap<String, (TreeEntryKind, &String)> = BTreeMap::new();
    for (name, built) in inputs.bundled {
        for entry in installed(shop, built)? {
            let path = entry.path.to_absolute();
            match seen.get(&path) {
                Some((kind, first)) if *kind != entry.kind => {
                    return Err(BuildError::Overlap {
                        recipe: inputs.recipe().name.clone(),
                        path,
                        first: (*first).clone(),
                        second: name.clone(),
                    });
                }
                _ => drop(seen.insert(path, (entry.kind, name))),
            }
        }
    }
    Ok(())
}

/// Returns the read-only trees of the root file system: libraries over tools over the base.
pub(crate) fn lower_trees(
    shop: &Workshop<'_>,
    inputs: &BuildInputs<'_>,
) -> Result<Vec<PathBuf>, BuildError> {
    let tree = |(name, built): &(String, Arc<Built>)| unpacked(shop, name, &built.destdir);
    let mut lower = inputs
        .bundled
        .iter()
        .map(tree)
        .collect::<Result<Vec<_>, _>>()?;
    lower.extend(inputs.rootfs.lower(shop)?);
    Ok(lower)
}

struct StepRun<'a> {
    step: StepName,
    script: String,
    lower: &'a [PathBuf],
    build: &'a Path,
}

/// Describes the sandbox of a node's steps, without a command.
pub(crate) fn sealed_step(
    shop: &Workshop<'_>,
    inputs: &BuildInputs<'_>,
    lower: &[PathBuf],
    build: &Path,
    label: String,
) -> Result<SealedStep, BuildError> {
    let recipe = inputs.recipe();
    let source = format!("{BUILD_ROOT}/src/{}", recipe.source_folder());
    let mut environment = environment(recipe, inputs.node);
    environment.insert("KILN_JOBS".to_owned(), shop.jobs.to_string());
    Ok(SealedStep {
        label,
        rootfs: lower.to_vec(),
        mounts: vec![Mount {
            source: build.to_owned(),
            target: BUILD_ROOT.parse().expect("a constant path"),
            access: MountAccess::ReadWrite,
        }],
        command: Vec::new(),
        environment,
        working_directory: source.parse().map_err(|error: kiln_model::PathError| {
            BuildError::Spec {
                recipe: recipe.name.clone(),
                reason: error.to_string(),
            }
        })?,
        user: StepUser::Build,
        limits: shop.limits(),
    })
}

fn run_step(
    shop: &Workshop<'_>,
    inputs: &BuildInputs<'_>,
    run: &StepRun<'_>,
) -> Result<StepRecord, BuildError> {
    if shop.cancel.is_cancelled() {
        return Err(BuildError::Cancelled);
    }
    let node = inputs.node;
    let label = format!("{node}: {}", run.step);
    let mut sealed = sealed_step(shop, inputs, run.lower, run.build, label.clone())?;
    sealed.command = ["/bin/sh", "-c", &run.script].map(str::to_owned).to_vec();
    let log = shop
        .output
        .join(Workshop::log_folder(node))
        .join(format!("{}.log", run.step));
    let step = Running {
        work: &Work::Build(node.clone()),
        step: run.step,
    };
    let mut log = StepLog::create(&log, step.listener(shop)).map_err(refused(&log))?;
    step.tell_start(shop);
    let started = Instant::now();
    let outcome = shop.engine.run(&sealed, &mut log, shop.cancel)?;
    if outcome.end != StepEnd::Cancelled {
        shop.check_isolation(&outcome.isolation)?;
    }
    step.tell_end(shop, &outcome.end, started.elapsed());
    let reached = reached_limits(&outcome, &sealed.limits);
    match outcome.end {
        StepEnd::Exited(0) => Ok(StepRecord {
            label,
            elapsed_ms: u64::try_from(outcome.elapsed.as_millis()).unwrap_or(u64::MAX),
            peak_memory: outcome.peak_memory,
            isolation: outcome.isolation,
        }),
        StepEnd::Cancelled => Err(BuildError::Cancelled),
        end => Err(BuildError::StepFailed {
            node: node.clone(),
            step: run.step,
            end,
            reached,
            log: log.into_end(),
        }),
    }
}

/// Why a folder is not in the store.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error(transparent)]
    Tree(#[from] TreeTarError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CollectError {
    /// Says which folder it was.
    fn about(self, what: String) -> BuildError {
        match self {
            Self::Tree(error) => BuildError::image(what)(error.into()),
            Self::Store(error) => error.into(),
        }
    }
}

/// Writes a folder below the step's scratch folder as a canonical tar blob, a part of the build's result.
fn collect(
    shop: &Workshop<'_>,
    request: &TreeTarRequest<'_>,
) -> Result<(DiffId, Vec<TreeEntry>), CollectError> {
    let is_stopped = || shop.cancel.is_cancelled();
    let mut blob = Stoppable::new(shop.store.plain_blob_writer()?, &is_stopped);
    let entries = write_tree_tar(request, &mut blob)?;
    Ok((DiffId(blob.into_inner().finish_part()?), entries))
}

/// Returns the rule that would have claimed what can not be collected, where its name is known.
fn claim_of(recipe: &Recipe, error: &TreeTarError) -> Option<Rule> {
    match error {
        TreeTarError::Name { path, .. } | TreeTarError::Special { path, .. } => {
            claim_in(recipe, &format!("/{path}"))
        }
        _ => None,
    }
}

fn collect_destdir(
    shop: &Workshop<'_>,
    inputs: &BuildInputs<'_>,
    scratch: &Path,
) -> Result<(DiffId, Vec<TreeEntry>), BuildError> {
    let request = TreeTarRequest {
        folder: scratch,
        below: "build/destdir",
        epoch: inputs.recipe().planned().source_date,
        filter: &|_| Inclusion::Include,
        limits: UnpackLimits::LAYER,
    };
    let collected = collect(shop, &request).map_err(|error| match error {
        CollectError::Tree(error) if error.is_about_content() => BuildError::Uncollectable {
            node: inputs.node.clone(),
            rule: claim_of(inputs.recipe(), &error),
            source: Box::new(error),
        },
        error => error.about(format!("{}: destdir", inputs.node)),
    });
    let (destdir, entries) = collected?;
    if entries
        .iter()
        .all(|entry| entry.kind == TreeEntryKind::Directory)
    {
        return Err(BuildError::NothingInstalled {
            node: inputs.node.clone(),
        });
    }
    Ok((destdir, entries))
}

/// Endings of files that debuggers show.
const SOURCE_ENDINGS: &[&str] = &[
    ".c", ".cc", ".cpp", ".cxx", ".c++", ".h", ".hh", ".hpp", ".hxx", ".inc", ".inl", ".ipp", ".s",
    ".S", ".asm", ".def", ".y", ".l",
];

/// Keeps what debugsource packages and licence lists need of the source tree, after the build, so
/// that generated sources are there too.
fn collect_sources(
    shop: &Workshop<'_>,
    inputs: &BuildInputs<'_>,
    scratch: &Path,
) -> Result<DiffId, BuildError> {
    let recipe = inputs.recipe();
    let folder = recipe.source_folder();
    let licenses: Vec<String> = recipe
        .license_files
        .iter()
        .map(|file| format!("{folder}/{file}"))
        .collect();
    let filter = |candidate: &TreeCandidate<'_>| {
        let Ok(path) = std::str::from_utf8(candidate.path) else {
            return Inclusion::Exclude;
        };
        match candidate.kind {
            CandidateKind::Directory => Inclusion::IfFilled,
            CandidateKind::File
                if licenses.iter().any(|license| license == path)
                    || SOURCE_ENDINGS.iter().any(|ending| path.ends_with(ending)) =>
            {
                Inclusion::Include
            }
            _ => Inclusion::Exclude,
        }
    };
    let request = TreeTarRequest {
        folder: scratch,
        below: "build/src",
        epoch: recipe.planned().source_date,
        filter: &filter,
        limits: UnpackLimits::LAYER,
    };
    let what = format!("{}: source tree", inputs.node);
    let collected = collect(shop, &request);
    let (sources, entries) = collected.map_err(|error| error.about(what))?;
    let missing = licenses.iter().find(|license| {
        !entries
            .iter()
            .any(|entry| entry.path.as_str() == license.as_str())
    });
    match missing {
        Some(file) => Err(BuildError::NoLicenseFile {
            recipe: recipe.name.clone(),
            file: file.trim_start_matches(&format!("{folder}/")).to_owned(),
        }),
        None => Ok(sources),
    }
}

/// Returns the list of installed files of a finished build.
pub(crate) fn installed(shop: &Workshop<'_>, built: &Built) -> Result<Vec<TreeEntry>, BuildError> {
    let bytes = shop.store.read_blob(&built.files)?;
    serde_json::from_slice(&bytes).map_err(|_| BuildError::Lost {
        what: "list of installed files",
        digest: DiffId(built.files),
    })
}

/// Returns whether a node is built for itself, not for a product that carries it.
pub(crate) fn is_product(node: &NodeId) -> bool {
    node.prefix == Prefix::System
}
