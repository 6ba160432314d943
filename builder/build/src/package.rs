//! From a staged destdir to RPMs: a spec, one sealed run of rpmbuild, and reading back what came out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kiln_image::{TreeEntryKind, layer_tree};
use kiln_model::recipe::Scriptlet as When;
use kiln_model::{
    DiffId, Digest, LicenseExpression, Line, ManifestDigest, Mount, MountAccess, PackageName,
    Recipe, SandboxPath, SealedStep, Sha512, SourceDateEpoch, StepEnd,
};
use kiln_rpm::{
    BundledLibrary, ChangelogEntry, DebugInformation, Dependency, FileKind, FileLine, FileMode,
    PackageArchitecture, PackageInput, PackagingStep, Scriptlet, ScriptletTime, SpecInput,
    packaging_step, write_spec,
};
use kiln_store::RecordKind;
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use crate::buildinfo::build_info;
use crate::compile::{Built, StepRecord};
use crate::error::BuildError;
use crate::evidence::Evidence;
use crate::graph::NodeId;
use crate::key::{BuildKey, KeyInputs, KeyKind};
use crate::log::StepLog;
use crate::rootfs::Rootfs;
use crate::script::{BUILD_ROOT, SOURCE_ROOT};
use crate::stage::{Product, Stage, path_taken};
use crate::workshop::{Event, Workshop};

/// The format of the record of finished packages.
const PACKAGED_FORMAT: u32 = 1;

/// Finished packages: what their record in the store says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Packaged {
    format: u32,
    /// The key that they were made for.
    pub key: BuildKey,
    /// The spec file's text.
    pub spec: Digest,
    /// The RPMs, sorted by file name.
    pub rpms: Vec<PackagedRpm>,
    /// How packaging went, for the run record.
    pub step: StepRecord,
}

/// One RPM in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PackagedRpm {
    /// `curl-7.88.1-1.x86_64.rpm`.
    pub file: String,
    /// sha256 of the file.
    pub sha256: Digest,
    /// sha512 of the file.
    pub sha512: Sha512,
    /// Bytes.
    pub size: u64,
}

/// What packaging found out about a product besides its RPMs.
#[derive(Debug)]
pub(crate) struct PackagedProduct {
    pub(crate) packaged: Packaged,
    pub(crate) stage: Stage,
    pub(crate) evidence: Evidence,
    pub(crate) is_cached: bool,
}

/// Packages a finished build, or takes the same packages from the store.
pub(crate) fn package(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    rootfs: &Rootfs,
) -> Result<PackagedProduct, BuildError> {
    let recipe = &shop.project.recipes[&product.node.recipe].recipe;
    let mut stage = Stage::new(shop, product)?;
    let evidence = Evidence::collect(&stage)?;
    evidence.check(recipe)?;
    for package in &recipe.packages {
        let path = format!(
            "/usr/share/kiln/buildinfo/{}-{}.json",
            package.name, shop.architecture
        );
        let text = build_info(shop, product, rootfs, &package.name)?;
        stage
            .add(&package.name, &path, text)
            .map_err(|path| path_taken(recipe, path))?;
    }
    let input = spec_input(shop, product, &stage, &evidence)?;
    let spec = write_spec(&input).map_err(|error| BuildError::Spec {
        recipe: recipe.name.clone(),
        reason: error.to_string(),
    })?;
    let step = packaging_step(&input.name, shop.architecture, recipe.source_date);
    let expected = expected_rpms(shop, &input);
    let call = Call {
        stage: &stage,
        expected,
        spec: &spec,
        step: &step,
    };
    let inputs = key_inputs(shop, product, rootfs, &call);
    let (packaged, is_cached) = match cached(shop, inputs.key())? {
        Some(packaged) => (packaged, true),
        None => {
            let rpms = run(shop, product, rootfs, &call)?;
            (finish(shop, &inputs, &spec, rpms)?, false)
        }
    };
    Ok(PackagedProduct {
        packaged,
        stage,
        evidence,
        is_cached,
    })
}

/// What rpmbuild is called with.
struct Call<'a> {
    stage: &'a Stage,
    expected: Vec<String>,
    spec: &'a str,
    step: &'a PackagingStep,
}

fn key_inputs(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    rootfs: &Rootfs,
    call: &Call<'_>,
) -> KeyInputs {
    let recipe = &shop.project.recipes[&product.node.recipe].recipe;
    let nodes = product.nodes();
    let bundled = nodes
        .iter()
        .map(|node| (node.to_string(), product.built[node].destdir));
    let sources = nodes
        .iter()
        .map(|node| (format!("sources of {node}"), product.built[node].sources.0));
    let mut extra: BTreeMap<String, Digest> = sources.collect();
    extra.insert("spec".to_owned(), Digest::of(call.spec.as_bytes()));
    extra.insert("stage".to_owned(), call.stage.digest());
    KeyInputs {
        bundled: bundled.collect(),
        recipe: Some(serde_json::to_value(recipe).expect("a recipe is texts and lists")),
        extra,
        ..packaging_inputs(shop, rootfs.manifest, call.step, recipe.source_date)
    }
}

/// Returns the inputs that every packaging has: the base image and the call of rpmbuild.
pub(crate) fn packaging_inputs(
    shop: &Workshop<'_>,
    base: ManifestDigest,
    step: &PackagingStep,
    epoch: SourceDateEpoch,
) -> KeyInputs {
    KeyInputs {
        kind: KeyKind::Package,
        architecture: shop.architecture,
        base,
        tools: None,
        sources: Vec::new(),
        patches: Vec::new(),
        bundled: BTreeMap::new(),
        scripts: [("package".to_owned(), step.command.join("\n"))].into(),
        environment: step.environment.clone(),
        epoch,
        recipe: None,
        extra: BTreeMap::new(),
    }
}

/// Returns the packages recorded for `key` if the store has all of them.
pub(crate) fn cached(shop: &Workshop<'_>, key: BuildKey) -> Result<Option<Packaged>, BuildError> {
    let Some(bytes) = shop
        .store
        .read_record(RecordKind::Action, &key.0.to_hex())?
    else {
        return Ok(None);
    };
    let Ok(packaged) = serde_json::from_slice::<Packaged>(&bytes) else {
        return Ok(None);
    };
    let is_whole = packaged.format == PACKAGED_FORMAT
        && packaged.key == key
        && shop.store.contains(&packaged.spec)
        && packaged
            .rpms
            .iter()
            .all(|rpm| shop.store.contains(&rpm.sha256));
    Ok(is_whole.then_some(packaged))
}

fn run(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    rootfs: &Rootfs,
    call: &Call<'_>,
) -> Result<(Vec<PackagedRpm>, StepRecord), BuildError> {
    let recipe = &shop.project.recipes[&product.node.recipe].recipe;
    let scratch = shop.store.scratch()?;
    let build = scratch.path().join("build");
    call.stage
        .write(&build.join("destdir"), recipe.source_date)?;
    let mut mounts = Vec::new();
    for node in product.nodes() {
        mounts.extend(source_mounts(shop, &product.built[&node].sources, &build)?);
    }
    let run = RpmbuildRun {
        what: recipe.name.as_str(),
        log_folder: Workshop::log_folder(product.node),
        rootfs,
        build: &build,
        step: call.step,
        spec: call.spec,
        expected: call.expected.clone(),
        mounts,
    };
    run_rpmbuild(shop, &run)
}

/// Records finished packages under their key.
pub(crate) fn finish(
    shop: &Workshop<'_>,
    inputs: &KeyInputs,
    spec: &str,
    (rpms, step): (Vec<PackagedRpm>, StepRecord),
) -> Result<Packaged, BuildError> {
    let packaged = Packaged {
        format: PACKAGED_FORMAT,
        key: inputs.key(),
        spec: shop.store.write_blob(spec.as_bytes())?,
        rpms,
        step,
    };
    shop.store.write_blob(&inputs.encode())?;
    let record = serde_json::to_vec(&packaged).expect("a record holds texts and numbers");
    shop.store
        .write_record(RecordKind::Action, &packaged.key.0.to_hex(), &record)?;
    Ok(packaged)
}

/// Source trees are mounted where the compiler saw them, so that debugedit finds them.
fn source_mounts(
    shop: &Workshop<'_>,
    sources: &DiffId,
    build: &Path,
) -> Result<Vec<Mount>, BuildError> {
    let root = layer_tree(shop.store, sources)
        .map_err(|error| BuildError::image("source tree")(error.into()))?;
    let mut mounts = Vec::new();
    for entry in WalkDir::new(&root)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name()
    {
        let entry = entry.map_err(std::io::Error::from)?;
        let name = entry.file_name().to_string_lossy();
        let Ok(target) = format!("{SOURCE_ROOT}/{name}").parse::<SandboxPath>() else {
            continue;
        };
        fs_err::create_dir_all(build.join("src").join(&*name))?;
        mounts.push(Mount {
            source: entry.path().to_owned(),
            target,
            access: MountAccess::ReadOnly,
        });
    }
    Ok(mounts)
}

/// One sealed call of rpmbuild.
pub(crate) struct RpmbuildRun<'a> {
    pub(crate) what: &'a str,
    pub(crate) log_folder: std::path::PathBuf,
    pub(crate) rootfs: &'a Rootfs,
    /// The host's side of `/build`.
    pub(crate) build: &'a Path,
    pub(crate) step: &'a PackagingStep,
    pub(crate) spec: &'a str,
    /// The file names of the packages that must come out, sorted.
    pub(crate) expected: Vec<String>,
    /// What is mounted within `/build`.
    pub(crate) mounts: Vec<Mount>,
}

/// Runs rpmbuild and moves its packages into the store.
pub(crate) fn run_rpmbuild(
    shop: &Workshop<'_>,
    run: &RpmbuildRun<'_>,
) -> Result<(Vec<PackagedRpm>, StepRecord), BuildError> {
    if shop.cancel.is_cancelled() {
        return Err(BuildError::Cancelled);
    }
    shop.report.tell(&Event::Packaging { what: run.what });
    let on_host = |path: &SandboxPath| {
        let below = path
            .as_str()
            .strip_prefix("/build/")
            .unwrap_or(path.relative());
        run.build.join(below)
    };
    let spec = on_host(&run.step.spec);
    for folder in ["src", "destdir"] {
        fs_err::create_dir_all(run.build.join(folder))?;
    }
    if let Some(folder) = spec.parent() {
        fs_err::create_dir_all(folder)?;
    }
    fs_err::write(&spec, run.spec)?;
    let mut mounts = vec![Mount {
        source: run.build.to_owned(),
        target: BUILD_ROOT.parse().expect("a constant path"),
        access: MountAccess::ReadWrite,
    }];
    mounts.extend(run.mounts.iter().cloned());
    let label = format!("{}: package", run.what);
    let sealed = SealedStep {
        label: label.clone(),
        rootfs: run.rootfs.base_only(shop)?,
        mounts,
        command: run.step.command.clone(),
        environment: run.step.environment.clone(),
        working_directory: run.step.working_directory.clone(),
        user: run.step.user,
        limits: shop.limits(),
    };
    let mut log = StepLog::create(&shop.output.join(&run.log_folder).join("package.log"))?;
    let outcome = shop.engine.run(&sealed, &mut log, shop.cancel)?;
    if outcome.end != StepEnd::Cancelled {
        shop.check_isolation(&outcome.isolation)?;
    }
    match outcome.end {
        StepEnd::Exited(0) => {}
        StepEnd::Cancelled => return Err(BuildError::Cancelled),
        end => {
            let (log, tail) = log.into_tail();
            return Err(BuildError::PackagingFailed {
                what: run.what.to_owned(),
                end,
                log,
                tail,
            });
        }
    }
    let rpms = collect_rpms(shop, run, &run.step.packages)?;
    let record = StepRecord {
        label,
        elapsed_ms: u64::try_from(outcome.elapsed.as_millis()).unwrap_or(u64::MAX),
        peak_memory: outcome.peak_memory,
        isolation: outcome.isolation,
    };
    Ok((rpms, record))
}

/// Copies what rpmbuild wrote into the store: exactly the packages that were declared, and the debug
/// packages. Everything in the sandbox is dead; a link on the way is still not followed.
fn collect_rpms(
    shop: &Workshop<'_>,
    run: &RpmbuildRun<'_>,
    folder: &SandboxPath,
) -> Result<Vec<PackagedRpm>, BuildError> {
    let mut path = run.build.to_owned();
    let below = folder
        .as_str()
        .strip_prefix("/build/")
        .unwrap_or(folder.relative());
    for part in below.split('/').chain([shop.architecture.rpm()]) {
        path.push(part);
        if !path
            .symlink_metadata()
            .is_ok_and(|metadata| metadata.is_dir())
        {
            break;
        }
    }
    let mut rpms = Vec::new();
    for entry in WalkDir::new(&path)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name()
    {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path_is_symlink() || !entry.file_type().is_file() {
            continue;
        }
        let mut blob = shop.store.blob_writer()?;
        let mut file = fs_err::File::open(entry.path())?;
        std::io::copy(&mut file, &mut blob)?;
        let info = blob.finish()?;
        rpms.push(PackagedRpm {
            file: name,
            sha256: info.digest,
            sha512: info.sha512,
            size: info.size,
        });
    }
    rpms.sort_by(|a, b| a.file.cmp(&b.file));
    let actual: Vec<String> = rpms.iter().map(|rpm| rpm.file.clone()).collect();
    if actual == run.expected {
        return Ok(rpms);
    }
    let what = run.what.to_owned();
    Err(BuildError::OtherRpms {
        what,
        expected: run.expected.clone(),
        actual,
    })
}

/// Returns the file names of the packages that a spec declares, sorted.
pub(crate) fn expected_rpms(shop: &Workshop<'_>, spec: &SpecInput) -> Vec<String> {
    let (version, release) = (&spec.version, &spec.release);
    let mut names: Vec<String> = spec.packages.iter().map(|p| p.name.to_string()).collect();
    if spec.debug_information == DebugInformation::Split {
        names.extend(["debuginfo", "debugsource"].map(|kind| format!("{}-{kind}", spec.name)));
    }
    let file = |name: String| format!("{name}-{version}-{release}.{}.rpm", shop.architecture.rpm());
    let mut files: Vec<String> = names.into_iter().map(file).collect();
    files.sort();
    files
}

/// Returns the licence of a product's packages: its own and those of everything that it bundles. All
/// packages state the same one, since any may hold code of a library that was linked in.
pub(crate) fn license(
    shop: &Workshop<'_>,
    product: &Product<'_>,
) -> Result<LicenseExpression, BuildError> {
    let license = |node: &NodeId| &shop.project.recipes[&node.recipe].recipe.license;
    let own = license(product.node).as_str();
    let others: BTreeSet<&str> = product
        .graph
        .closure(product.node)
        .iter()
        .map(|node| license(node).as_str())
        .collect();
    let others = others.into_iter().filter(|text| *text != own);
    let all: Vec<&str> = std::iter::once(own).chain(others).collect();
    let text = match all.as_slice() {
        [only] => (*only).to_owned(),
        several => several
            .iter()
            .map(|text| in_conjunction(text))
            .collect::<Vec<_>>()
            .join(" AND "),
    };
    text.parse()
        .map_err(|error: kiln_model::TextError| BuildError::Spec {
            recipe: product.node.recipe.clone(),
            reason: error.to_string(),
        })
}

fn in_conjunction(license: &str) -> String {
    if license.contains(" OR ") {
        format!("({license})")
    } else {
        license.to_owned()
    }
}

fn package_name(recipe: &Recipe) -> Result<PackageName, BuildError> {
    recipe
        .name
        .as_str()
        .parse()
        .map_err(|error: kiln_model::NameError| BuildError::Spec {
            recipe: recipe.name.clone(),
            reason: error.to_string(),
        })
}

fn spec_input(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    stage: &Stage,
    evidence: &Evidence,
) -> Result<SpecInput, BuildError> {
    let recipe = &shop.project.recipes[&product.node.recipe].recipe;
    let organization = &shop.project.config.organization;
    let mut packages = Vec::new();
    for package in &recipe.packages {
        packages.push(package_input(shop, product, stage, package)?);
    }
    let version_release = format!("{}-{}", recipe.version, recipe.release);
    let changelog = recipe.changelog.iter().map(|entry| ChangelogEntry {
        date: entry.date,
        author: entry.author.to_string(),
        version_release: version_release.clone(),
        lines: entry.changes.iter().map(Line::to_string).collect(),
    });
    let input = SpecInput {
        name: package_name(recipe)?,
        epoch: recipe.epoch,
        version: recipe.version.clone(),
        release: recipe.release.clone(),
        summary: recipe.summary.to_string(),
        description: recipe.description.to_string(),
        license: license(shop, product)?.to_string(),
        url: Some(recipe.homepage.to_string()),
        vendor: organization.name.clone(),
        packager: Some(format!("{} <{}>", organization.name, organization.email)),
        source_date: recipe.source_date,
        changelog: changelog.collect(),
        packages,
        private: evidence.private_files(recipe),
        debug_information: if evidence.has_debug_information() {
            DebugInformation::Split
        } else {
            DebugInformation::Off {
                reason: "no ELF file with debug information".to_owned(),
            }
        },
    };
    Ok(input)
}

fn package_input(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    stage: &Stage,
    package: &kiln_model::recipe::Package,
) -> Result<PackageInput, BuildError> {
    let recipe = &shop.project.recipes[&product.node.recipe].recipe;
    let spec_error = |reason: String| BuildError::Spec {
        recipe: recipe.name.clone(),
        reason,
    };
    let evr = match recipe.epoch {
        Some(epoch) => format!("{epoch}:{}-{}", recipe.version, recipe.release),
        None => format!("{}-{}", recipe.version, recipe.release),
    };
    let dependencies = |lines: &[Line]| {
        let parse = |line: &Line| {
            let text = match line.as_str().strip_prefix('=') {
                Some(own) => format!("{} = {evr}", own.trim()),
                None => line.to_string(),
            };
            text.parse::<Dependency>()
                .map_err(|error| spec_error(format!("package `{}`: {error}", package.name)))
        };
        lines.iter().map(parse).collect::<Result<Vec<_>, _>>()
    };
    let bundled = product.nodes().into_iter().skip(1).filter_map(|node| {
        let library = &shop.project.recipes[&node.recipe].recipe;
        stage
            .holds(&package.name, &node.recipe)
            .then(|| BundledLibrary {
                name: library.identity.library.clone(),
                version: library.version.clone(),
            })
    });
    let scriptlets = package.scripts.iter().map(|(when, body)| Scriptlet {
        when: match when {
            When::Pre => ScriptletTime::BeforeInstall,
            When::Post => ScriptletTime::AfterInstall,
            When::Preun => ScriptletTime::BeforeRemove,
            When::Postun => ScriptletTime::AfterRemove,
        },
        body: body.clone(),
    });
    Ok(PackageInput {
        name: package.name.clone(),
        summary: package.summary.to_string(),
        description: package.description.to_string(),
        architecture: PackageArchitecture::Native,
        files: file_lines(stage, &package.name).map_err(spec_error)?,
        requires: dependencies(&package.requires)?,
        provides: dependencies(&package.provides)?,
        conflicts: dependencies(&package.conflicts)?,
        obsoletes: dependencies(&package.obsoletes)?,
        recommends: dependencies(&package.recommends)?,
        bundled: bundled.collect(),
        scriptlets: scriptlets.collect(),
    })
}

fn file_lines(stage: &Stage, package: &PackageName) -> Result<Vec<FileLine>, String> {
    let owned = &stage.owned[package];
    let directories = owned
        .directories
        .iter()
        .map(|path| (path, FileKind::Directory));
    let files = owned.files.iter().map(|path| {
        let kind = match &stage.files[path].kind {
            TreeEntryKind::Directory => FileKind::Directory,
            _ if stage.licenses.contains(path) => FileKind::License,
            _ => FileKind::File,
        };
        (path, kind)
    });
    let mut lines = Vec::new();
    for (path, kind) in directories.chain(files) {
        let parsed = path
            .parse()
            .map_err(|error: kiln_rpm::SpecTextError| error.to_string())?;
        let mut line = FileLine::new(parsed, kind);
        // A process without capabilities loses set-id bits when it writes a file, and can not pack
        // what its owner may not read: such permissions are stated, not copied.
        let mode = stage.mode(path);
        if mode & 0o6000 != 0
            || mode & 0o400 == 0
            || kind == FileKind::Directory && mode & 0o700 != 0o700
        {
            line.mode = u16::try_from(mode & 0o7777).ok().and_then(FileMode::new);
        }
        lines.push(line);
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(lines)
}

impl Built {
    /// Returns the records of this build's steps.
    pub(crate) fn records(&self) -> &[StepRecord] {
        &self.steps
    }
}
