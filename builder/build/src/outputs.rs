//! The last stations: the packages and documents of one product, and the way of all of them into
//! `out/`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use kiln_model::{BaseName, Digest, RecipeName, ReleasedLock};
use kiln_rpm::RpmFile;

use crate::compile::Built;
use crate::documents::{Facts, documents, read_rpm, read_rpms};
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::heal::tell_set_aside;
use crate::key::BuildKey;
use crate::kiln_base::package_base;
use crate::latest::Last;
use crate::memory::{
    Memory, RememberedFile, RememberedOutput, RememberedRpms, RpmIdentity, base_key, product_key,
};
use crate::package::{Packaged, package};
use crate::plan::Plan;
use crate::project::Project;
use crate::publish::{Publication, claim, publish_unsynced, sync_folders};
use crate::release::{check_released, named_inputs, newer_release};
use crate::repository::{RepositoryInputs, rpm_identity, update_repository};
use crate::schedule::Finished;
use crate::signed::Subject;
use crate::stage::Product;
use crate::turn::Taken;
use crate::unpinned::{Unpinned, is_left_out, left_out};
use crate::waiting::Documents;
use crate::work::{OnFailure, Outcome, Row, RpmTotals, Work};
use crate::workshop::{Event, Workshop};

/// What a run did: the closing table, and what went wrong.
#[derive(Debug, Default)]
pub struct Summary {
    /// Every piece of work, in build order.
    pub rows: Vec<Row>,
    /// Everything that failed, in the order in which it happened.
    pub failures: Vec<BuildError>,
    /// Whether the run was interrupted.
    pub is_cancelled: bool,
    /// RPMs in `out/` by recipe or base image, with their bytes.
    pub rpms: BTreeMap<String, Vec<(PathBuf, u64)>>,
    /// Files in `out/` that were written.
    pub written: usize,
    /// The folders that they are in.
    pub folders: BTreeSet<PathBuf>,
    /// Recipes that were left out because they, or what they bundle, are unpinned.
    pub unpinned: Vec<Unpinned>,
}

impl Summary {
    /// Returns whether the run found everything done already.
    #[must_use]
    pub fn is_nothing_done(&self) -> bool {
        self.count(|outcome| *outcome == Outcome::Cached) == self.rows.len() && self.written == 0
    }

    /// Returns how many pieces of work came to what `is_counted` picks.
    #[must_use]
    pub fn count(&self, is_counted: impl Fn(&Outcome) -> bool) -> usize {
        let rows = self.rows.iter();
        rows.filter(|row| is_counted(&row.outcome)).count()
    }
}

/// Puts what is whole into `out/`: everything, or with [`OnFailure::KeepGoing`] every product that
/// did not fail.
pub(crate) fn publish_products(
    shop: &Workshop<'_>,
    plan: &Plan,
    finished: Finished,
    mut memory: Memory,
    on_failure: OnFailure,
) -> Result<Summary, BuildError> {
    let is_whole = finished.failures.is_empty() && !finished.is_cancelled;
    let has_product = finished
        .outputs
        .keys()
        .any(|work| matches!(work, Work::Package(_)));
    let mut summary = Summary {
        rows: finished.rows,
        failures: finished.failures,
        is_cancelled: finished.is_cancelled,
        ..Summary::default()
    };
    let may_publish = is_whole || (on_failure == OnFailure::KeepGoing && !summary.is_cancelled);
    if may_publish && has_product {
        let _claim = claim(shop.output, shop.cancel)?;
        let mut replaced = Vec::new();
        for output in finished.outputs.into_values() {
            match output.content {
                Content::Unchanged(rpms) => drop(summary.rpms.insert(output.name, rpms.files)),
                Content::Made(made) => {
                    let files = write_output(shop, &output.name, &made, &mut summary)?;
                    let inputs = made.packaged.key.0;
                    let remembered = RememberedOutput::new(output.key, files);
                    let remembered = remembered.of_packages(made.elapsed_ms(), inputs);
                    replaced.extend(memory.remember(&output.name, remembered));
                }
            }
        }
        let found = RepositoryInputs {
            released: &plan.released,
            locks: plan.base_locks(),
        };
        let updated = update_repository(shop, &found, &mut memory, replaced, &mut summary);
        // Before the record that says what is there.
        summary.sync_folders(shop.output)?;
        memory.save()?;
        match updated {
            Err(BuildError::Cancelled) => summary.is_cancelled = true,
            updated => summary.failures.extend(updated.err()),
        }
    }
    tell_set_aside(shop);
    Ok(summary)
}

/// What goes into `out/` for one recipe or base image.
#[derive(Debug)]
pub(crate) struct Output {
    name: String,
    /// Everything that its files follow from.
    key: Digest,
    content: Content,
}

/// Whether there is anything to write.
#[derive(Debug)]
enum Content {
    /// All files are there as they should be.
    Unchanged(RememberedRpms),
    /// Files that may have to be written.
    Made(Box<Made>),
}

/// Packages and documents.
#[derive(Debug)]
struct Made {
    packaged: Packaged,
    is_cached: bool,
    documents: Option<Documents>,
    /// What the packages are, in their order, the source package last.
    identities: Vec<RpmIdentity>,
}

impl Made {
    fn elapsed_ms(&self) -> u64 {
        self.packaged.step.elapsed_ms
    }
}

impl Output {
    /// Returns whether its packages were there before this run.
    pub(crate) fn is_cached(&self) -> bool {
        match &self.content {
            Content::Unchanged(_) => true,
            Content::Made(made) => made.is_cached,
        }
    }

    /// Returns what its packages were made from, and how long packaging took when it was done.
    pub(crate) fn last(&self) -> Option<Last> {
        let (key, elapsed_ms) = match &self.content {
            Content::Unchanged(rpms) => (BuildKey(rpms.inputs?), rpms.elapsed_ms),
            Content::Made(made) => (made.packaged.key, made.elapsed_ms()),
        };
        Some(Last::new(key, elapsed_ms))
    }

    /// Adds up its RPMs.
    pub(crate) fn totals(&self) -> RpmTotals {
        let sizes: Vec<u64> = match &self.content {
            Content::Unchanged(rpms) => rpms.files.iter().map(|(_, bytes)| *bytes).collect(),
            Content::Made(made) => made.packaged.rpms.iter().map(|rpm| rpm.size).collect(),
        };
        RpmTotals {
            files: sizes.len(),
            bytes: sizes.iter().sum(),
        }
    }
}

/// What a product's packages and documents are made from.
pub(crate) struct ProductInputs<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) node: &'a NodeId,
    /// The product's own build and those of everything that it carries.
    pub(crate) built: &'a BTreeMap<NodeId, Arc<Built>>,
    /// The nodes whose steps really ran in this run.
    pub(crate) fresh: &'a [NodeId],
    /// When this run began.
    pub(crate) started: &'a str,
    /// What earlier runs left in `out/`.
    pub(crate) memory: &'a Mutex<Memory>,
}

/// Packages a product and writes its documents.
pub(crate) fn product_output(
    shop: &Workshop<'_>,
    inputs: &ProductInputs<'_>,
) -> Result<Taken<Output>, BuildError> {
    if shop.cancel.is_cancelled() {
        return Err(BuildError::Cancelled);
    }
    let ProductInputs { plan, node, .. } = inputs;
    let product = Product {
        node,
        graph: &plan.graph,
        built: inputs.built,
    };
    let name = node.recipe.to_string();
    let key = product_key(shop, &product, plan)?;
    if let Some(output) = unchanged(inputs.memory, &name, key, &plan.released) {
        return Ok(Taken::Done(output));
    }
    let Some(_turn) = shop.store.try_turn(&key)? else {
        return Ok(Taken::Elsewhere);
    };
    let packaged = package(shop, &product, &plan.rootfs[*node])?;
    let rpms = read_rpms(shop, &name, &packaged.packaged)?;
    let identities = checked_identities(shop, plan, &name, &rpms, &packaged.packaged)?;
    let facts = Facts {
        shop,
        rpms: &rpms,
        product: &product,
        packaged: &packaged,
        rootfs: &plan.rootfs,
        started: inputs.started,
        fresh: inputs.fresh,
    };
    let documents = Documents::put_down(shop, documents(&facts)?)?;
    let made = Made {
        is_cached: packaged.is_cached,
        packaged: packaged.packaged,
        documents: Some(documents),
        identities,
    };
    Ok(Taken::Done(Output {
        name,
        key,
        content: Content::Made(Box::new(made)),
    }))
}

/// Packages what a base image offers; `None` for one that brings its own package database.
pub(crate) fn base_output(
    shop: &Workshop<'_>,
    plan: &Plan,
    base: &BaseName,
    memory: &Mutex<Memory>,
) -> Result<Taken<Option<Output>>, BuildError> {
    let Some(node) = plan.base_packages().get(base).copied() else {
        return Ok(Taken::Done(None));
    };
    let rootfs = &plan.rootfs[node];
    let name = format!("kiln-base-{base}");
    let key = base_key(shop, base, rootfs)?;
    if let Some(output) = unchanged(memory, &name, key, &plan.released) {
        return Ok(Taken::Done(Some(output)));
    }
    let Some(_turn) = shop.store.try_turn(&key)? else {
        return Ok(Taken::Elsewhere);
    };
    let Some((packaged, is_cached)) = package_base(shop, base, rootfs)? else {
        return Ok(Taken::Done(None));
    };
    let rpms = read_rpms(shop, &name, &packaged)?;
    let identities = checked_identities(shop, plan, &name, &rpms, &packaged)?;
    let made = Made {
        packaged,
        is_cached,
        documents: None,
        identities,
    };
    Ok(Taken::Done(Some(Output {
        name,
        key,
        content: Content::Made(Box::new(made)),
    })))
}

/// Returns what the packages are, the source package last, none of which was released with other
/// content.
fn checked_identities(
    shop: &Workshop<'_>,
    plan: &Plan,
    what: &str,
    rpms: &[RpmFile],
    packaged: &Packaged,
) -> Result<Vec<RpmIdentity>, BuildError> {
    let mut identities: Vec<RpmIdentity> = rpms.iter().map(rpm_identity).collect();
    identities.push(rpm_identity(&read_rpm(shop, what, &packaged.source_rpm)?));
    let inputs = || Ok(named_inputs(&shop.store.read_blob(&packaged.key.0)?));
    check_released(&plan.released, what, &identities, inputs)?;
    for rpm in rpms {
        if let Some(newest) = newer_release(&plan.released, rpm.nevra()) {
            shop.report.tell(&Event::BelowReleased {
                nevra: &rpm.nevra().to_string(),
                released: &newest.to_string(),
            });
        }
    }
    Ok(identities)
}

fn unchanged(
    memory: &Mutex<Memory>,
    name: &str,
    key: Digest,
    released: &ReleasedLock,
) -> Option<Output> {
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    memory.unchanged(name, key, released).map(|rpms| Output {
        name: name.to_owned(),
        key,
        content: Content::Unchanged(rpms),
    })
}

/// Writes what is not there yet, and returns everything that belongs there.
fn write_output(
    shop: &Workshop<'_>,
    name: &str,
    made: &Made,
    summary: &mut Summary,
) -> Result<Vec<RememberedFile>, BuildError> {
    let Made {
        packaged,
        is_cached,
        documents,
        identities,
    } = made;
    let check = || match shop.cancel.is_cancelled() {
        true => Err(BuildError::Cancelled),
        false => Ok(()),
    };
    let spec = shop.store.read_blob(&packaged.spec)?;
    let spec_path = PathBuf::from(format!("specs/{name}.spec"));
    summary.write(&shop.output.join(&spec_path), &spec)?;
    let mut files = vec![RememberedFile::with_digest(&spec_path, packaged.spec)];
    let binary = packaged.rpms.iter().map(|rpm| {
        let path = Path::new("rpms").join(rpm.architecture());
        (path, rpm)
    });
    let source = (PathBuf::from("srpms"), &packaged.source_rpm);
    let all = binary.chain(std::iter::once(source));
    for ((folder, rpm), identity) in all.zip(identities) {
        check()?;
        let path = folder.join(&rpm.file);
        let signed = Subject::Package(identity.content).signed(shop.store)?;
        let signed = signed.and_then(|signed| signed.files.into_iter().next());
        let sha256 = signed.map_or(rpm.sha256, |signed| signed.sha256);
        let bytes = shop.store.read_blob(&sha256)?;
        summary.write(&shop.output.join(&path), &bytes)?;
        files.push(RememberedFile::of_package(&path, sha256, identity.clone()));
        if folder.starts_with("rpms") {
            let rpms = summary.rpms.entry(name.to_owned()).or_default();
            rpms.push((path, rpm.size));
        }
    }
    if let Some(documents) = documents {
        documents.record(shop, name)?;
    }
    let mut has_new_provenance = false;
    for document in documents.iter().flat_map(Documents::read) {
        check()?;
        let (path, bytes) = document?;
        let target = shop.output.join(path);
        // A run record tells of the run that made the packages; one that changed nothing keeps it.
        let is_run_record = path.ends_with(".run.json");
        files.push(if is_run_record {
            RememberedFile::of_one_run(Path::new(path))
        } else {
            RememberedFile::new(Path::new(path), &bytes)
        });
        if is_run_record && *is_cached && !has_new_provenance && target.is_file() {
            continue;
        }
        let publication = summary.write(&target, &bytes)?;
        has_new_provenance |=
            path.ends_with(".provenance.json") && publication == Publication::Written;
    }
    Ok(files)
}

impl Summary {
    /// Makes the names of what was written below `output` survive a power cut, and its own.
    pub(crate) fn sync_folders(&self, output: &Path) -> Result<(), BuildError> {
        let below = |folder: &'_ PathBuf| {
            let ancestors = folder.ancestors().map(Path::to_owned);
            let below = ancestors.take_while(|folder| folder.starts_with(output));
            below.collect::<Vec<_>>()
        };
        let mut folders: BTreeSet<PathBuf> = self.folders.iter().flat_map(below).collect();
        if !folders.is_empty() {
            folders.extend(output.parent().map(Path::to_owned));
        }
        sync_folders(folders.iter().map(PathBuf::as_path))
    }

    pub(crate) fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<Publication, BuildError> {
        let publication = publish_unsynced(path, bytes)?;
        if publication == Publication::Written {
            self.written += 1;
            self.folders.extend(path.parent().map(Path::to_owned));
        }
        Ok(publication)
    }
}

/// Which recipes a run is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection<'a> {
    /// None was named: those of `[build] default` in `kiln.toml`, or all.
    Default,
    /// All that yield packages, and the libraries that no recipe bundles.
    All,
    /// These.
    Named(&'a [RecipeName]),
}

impl Selection<'_> {
    /// Returns their names; unpinned ones only where they were named.
    #[must_use]
    pub fn recipes(self, project: &Project) -> Vec<RecipeName> {
        let chosen = &project.config.build.default;
        match self {
            Self::Named(names) => names.to_vec(),
            Self::Default if !chosen.is_empty() => {
                let mut names = chosen.clone();
                names.retain(|name| !is_left_out(project, name));
                names
            }
            Self::Default | Self::All => all_recipes(project),
        }
    }

    /// Returns what is told of as left out because it is unpinned: everything, unless recipes were named.
    pub(crate) fn left_out(self, project: &Project) -> Vec<Unpinned> {
        match self {
            Self::Named(_) => Vec::new(),
            Self::Default | Self::All => left_out(project),
        }
    }
}

/// Returns the recipes that yield packages, and the libraries that no recipe bundles, without unpinned
/// ones.
pub(crate) fn all_recipes(project: &Project) -> Vec<RecipeName> {
    let mut names = project.products();
    names.retain(|name| !is_left_out(project, name));
    names
}
