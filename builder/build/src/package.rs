//! From a staged destdir to RPMs: a spec, one sealed run of rpmbuild, and reading back what came out.

use std::collections::BTreeMap;

use kiln_model::{Digest, ManifestDigest, PackageName, Recipe, Sha512, SourceDateEpoch};
use kiln_rpm::{DebugFiles, PackagingStep, SpecInput, packaging_step, write_spec};
use kiln_store::{ArtifactKind, NewResult, Part, media_type};
use serde::{Deserialize, Serialize};

use crate::buildinfo::{build_info_path, info_text, product_info};
use crate::compile::StepRecord;
use crate::error::BuildError;
use crate::evidence::Evidence;
use crate::inspect::inspect;
use crate::key::{BuildKey, KeyInputs, KeyKind};
use crate::recorded::part;
use crate::rootfs::Rootfs;
use crate::rpmbuild::{RpmbuildPackages, RpmbuildRun, on_host, run_rpmbuild, source_mounts};
use crate::service::{check_syntax, check_units, place_files};
use crate::source_package::Sources;
use crate::spec::{
    added_lines, expected_rpms, expected_source_rpm, package_name, rpm_architecture, spec_input,
};
use crate::stage::{Product, Stage, path_taken};
use crate::work::Work;
use crate::workshop::{KILN_VERSION, Workshop};

/// The format of the record of finished packages.
const PACKAGED_FORMAT: u32 = 2;

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
    /// The source package.
    pub source_rpm: PackagedRpm,
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

impl PackagedRpm {
    /// Returns the architecture that its name says, which is the folder that it goes into: `noarch`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        let stem = self.file.strip_suffix(".rpm").unwrap_or(&self.file);
        stem.rsplit_once('.')
            .map_or("", |(_, architecture)| architecture)
    }
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
    let prepared = Prepared::new(shop, product, rootfs)?;
    let inputs = prepared.key_inputs(shop, product, rootfs);
    let (packaged, is_cached) = match cached(shop, inputs.key())? {
        Some(packaged) => (packaged, true),
        None => {
            let rpms = run(shop, product, rootfs, &prepared)?;
            let label = product.node.recipe.as_str();
            let packaged = finish(shop, label, (&inputs, &prepared.spec), rpms)?;
            (packaged, false)
        }
    };
    Ok(PackagedProduct {
        packaged,
        stage: prepared.stage,
        evidence: prepared.evidence,
        is_cached,
    })
}

/// Returns every input of packaging a finished build, without packaging it.
pub(crate) fn planned_inputs(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    rootfs: &Rootfs,
) -> Result<KeyInputs, BuildError> {
    let prepared = Prepared::new(shop, product, rootfs)?;
    Ok(prepared.key_inputs(shop, product, rootfs))
}

/// The fields of [`certain_inputs`] that say something.
pub(crate) const CERTAIN: &[&str] = &[
    "architecture",
    "base",
    "environment",
    "epoch",
    "maker",
    "recipe",
    "scripts",
    "step-runner",
];

/// Returns the inputs of packaging that are known before anything is built: those that are `CERTAIN`.
pub(crate) fn certain_inputs(
    shop: &Workshop<'_>,
    recipe: &Recipe,
    rootfs: &Rootfs,
) -> Result<KeyInputs, BuildError> {
    let step = packaging_step(
        &package_name(recipe)?,
        shop.architecture,
        recipe.planned().source_date,
    );
    Ok(KeyInputs {
        recipe: Some(serde_json::to_value(recipe).expect("a recipe is texts and lists")),
        ..packaging_inputs(shop, rootfs.manifest, &step, recipe.planned().source_date)
    })
}

/// Everything that is decided before rpmbuild runs: it only reads.
struct Prepared {
    stage: Stage,
    evidence: Evidence,
    sources: Sources,
    expected: Vec<String>,
    expected_source: String,
    spec: String,
    step: PackagingStep,
}

impl Prepared {
    fn new(
        shop: &Workshop<'_>,
        product: &Product<'_>,
        rootfs: &Rootfs,
    ) -> Result<Self, BuildError> {
        let loaded = &shop.project.recipes[&product.node.recipe];
        let recipe = &loaded.recipe;
        let mut stage = Stage::new(shop, product)?;
        place_files(loaded, &mut stage)?;
        let evidence = Evidence::collect(&stage)?;
        evidence.check(shop, product)?;
        inspect(recipe, &stage, &evidence)?;
        let mut input = spec_input_with_info(shop, product, rootfs, (&mut stage, &evidence))?;
        let sources = Sources::new(shop, product, &stage, &input)?;
        input.source = sources.package.clone();
        let spec = write_spec(&input).map_err(|error| BuildError::Spec {
            recipe: recipe.name.clone(),
            reason: error.to_string(),
        })?;
        Ok(Self {
            stage,
            evidence,
            sources,
            expected: expected_rpms(shop, &input),
            expected_source: expected_source_rpm(&input),
            spec,
            step: packaging_step(&input.name, shop.architecture, recipe.planned().source_date),
        })
    }
}

/// Adds build information to every package, the debug packages included, and describes them all.
fn spec_input_with_info(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    rootfs: &Rootfs,
    (stage, evidence): (&mut Stage, &Evidence),
) -> Result<SpecInput, BuildError> {
    let recipe = &shop.project.recipes[&product.node.recipe].recipe;
    let declared = recipe.packages.iter();
    let mut packages: Vec<(PackageName, &str)> = declared
        .map(|package| {
            let architecture = rpm_architecture(shop, package.architecture);
            (package.name.clone(), architecture)
        })
        .collect();
    let debug = debug_packages(recipe)?;
    if evidence.has_debug_information() {
        let native = shop.architecture.rpm();
        packages.extend(debug.iter().map(|name| (name.clone(), native)));
    }
    let Some((first, _)) = packages.first() else {
        return spec_input(shop, product, stage, evidence);
    };
    let info = product_info(shop, product, rootfs, first.clone())?;
    for (name, architecture) in packages {
        let path = build_info_path(name.as_str(), architecture);
        let text = info_text(&info, name.clone());
        stage
            .add(&name, &path, text)
            .map_err(|path| path_taken(recipe, path))?;
    }
    let mut input = spec_input(shop, product, stage, evidence)?;
    let [debuginfo, debugsource] = &debug;
    input.debug_files = DebugFiles {
        debuginfo: added_lines(recipe, stage, debuginfo)?,
        debugsource: added_lines(recipe, stage, debugsource)?,
    };
    Ok(input)
}

/// Returns the names of a product's debug packages.
fn debug_packages(recipe: &Recipe) -> Result<[PackageName; 2], BuildError> {
    let name = |kind: &str| {
        let name = format!("{}-{kind}", recipe.name).parse();
        name.map_err(|error: kiln_model::NameError| BuildError::Spec {
            recipe: recipe.name.clone(),
            reason: error.to_string(),
        })
    };
    Ok([name("debuginfo")?, name("debugsource")?])
}

impl Prepared {
    fn key_inputs(&self, shop: &Workshop<'_>, product: &Product<'_>, rootfs: &Rootfs) -> KeyInputs {
        let recipe = &shop.project.recipes[&product.node.recipe].recipe;
        let nodes = product.nodes();
        let bundled = nodes
            .iter()
            .map(|node| (node.to_string(), product.built[node].destdir));
        let sources = nodes
            .iter()
            .map(|node| (format!("sources of {node}"), product.built[node].sources.0));
        let mut extra: BTreeMap<String, Digest> = sources.collect();
        extra.insert("spec".to_owned(), Digest::of(self.spec.as_bytes()));
        extra.insert("stage".to_owned(), self.stage.digest());
        let carried = &self.sources.package;
        let archives = carried.sources.iter();
        KeyInputs {
            sources: archives
                .map(|source| (source.file.clone(), source.sha256))
                .collect(),
            patches: carried.patches.iter().map(|patch| patch.sha256).collect(),
            bundled: bundled.collect(),
            recipe: Some(serde_json::to_value(recipe).expect("a recipe is texts and lists")),
            extra,
            ..packaging_inputs(
                shop,
                rootfs.manifest,
                &self.step,
                recipe.planned().source_date,
            )
        }
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
        maker: Some(serde_json::json!({
            "kiln": KILN_VERSION,
            "organization": shop.project.config.organization,
        })),
        extra: BTreeMap::new(),
    }
}

/// Returns the packages recorded for `key` if the store has all of them.
pub(crate) fn cached(shop: &Workshop<'_>, key: BuildKey) -> Result<Option<Packaged>, BuildError> {
    let Some(bytes) = shop.store.result(&key.0)? else {
        return Ok(None);
    };
    let Ok(packaged) = serde_json::from_slice::<Packaged>(&bytes) else {
        return Ok(None);
    };
    let is_whole = packaged.format == PACKAGED_FORMAT
        && packaged.key == key
        && shop.store.is_whole(&key.0)
        && shop.store.is_whole(&packaged.spec)
        && packaged
            .rpms
            .iter()
            .chain([&packaged.source_rpm])
            .all(|rpm| shop.store.is_whole(&rpm.sha256));
    Ok(is_whole.then_some(packaged))
}

fn run(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    rootfs: &Rootfs,
    call: &Prepared,
) -> Result<RpmbuildPackages, BuildError> {
    let recipe = &shop.project.recipes[&product.node.recipe].recipe;
    check_units(recipe, &call.stage, || rootfs.base_only(shop))?;
    check_syntax(shop, recipe, rootfs)?;
    let scratch = shop.store.scratch()?;
    let build = scratch.path().join("build");
    call.stage.write(
        &build.join("destdir"),
        recipe.planned().source_date,
        shop.cancel,
    )?;
    let folder = on_host(&build, &call.step.sources);
    call.sources.write(
        shop,
        &call.stage,
        &folder,
        scratch.path(),
        recipe.planned().source_date,
    )?;
    let mut mounts = Vec::new();
    for node in product.nodes() {
        mounts.extend(source_mounts(shop, &product.built[&node].sources, &build)?);
    }
    let run = RpmbuildRun {
        what: recipe.name.as_str(),
        work: &Work::Package(product.node.clone()),
        log_folder: Workshop::log_folder(product.node),
        rootfs,
        build: &build,
        step: &call.step,
        spec: &call.spec,
        expected: call.expected.clone(),
        expected_source: call.expected_source.clone(),
        source_date: recipe.planned().source_date,
        mounts,
    };
    run_rpmbuild(shop, &run)
}

/// Records the finished packages of the product or base image `label` under their key.
pub(crate) fn finish(
    shop: &Workshop<'_>,
    label: &str,
    (inputs, spec): (&KeyInputs, &str),
    packages: RpmbuildPackages,
) -> Result<Packaged, BuildError> {
    let packaged = Packaged {
        format: PACKAGED_FORMAT,
        key: inputs.key(),
        spec: shop.store.write_part(spec.as_bytes())?,
        rpms: packages.rpms,
        source_rpm: packages.source_rpm,
        step: packages.step,
    };
    shop.store.write_part(&inputs.encode())?;
    let mut parts = vec![
        part(
            shop.store,
            packaged.key.0,
            media_type::INPUTS,
            "inputs.json",
        )?,
        part(
            shop.store,
            packaged.spec,
            media_type::SPEC,
            &format!("{label}.spec"),
        )?,
    ];
    let rpms = packaged.rpms.iter().chain([&packaged.source_rpm]);
    parts.extend(rpms.map(|rpm| Part {
        digest: rpm.sha256,
        size: rpm.size,
        media_type: media_type::RPM,
        title: rpm.file.clone(),
    }));
    let value = serde_json::to_vec(&packaged).expect("a record holds texts and numbers");
    shop.store.record_result(&NewResult {
        key: &packaged.key.0,
        kind: ArtifactKind::Packages,
        label,
        value: &value,
        parts: &parts,
    })?;
    Ok(packaged)
}
