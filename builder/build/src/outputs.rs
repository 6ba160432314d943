//! The last stations: the packages and documents of one product, and the way of all of them into
//! `out/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_model::{BaseName, RecipeName};

use crate::compile::Built;
use crate::documents::{Document, Facts, documents, read_rpms};
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::kiln_base::package_base;
use crate::package::{Packaged, package};
use crate::plan::Plan;
use crate::publish::{Publication, publish};
use crate::schedule::Finished;
use crate::stage::Product;
use crate::work::{OnFailure, Outcome, Row, RpmTotals, Work};
use crate::workshop::Workshop;

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
    finished: Finished,
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
        for output in finished.outputs.values() {
            write_output(shop, output, &mut summary)?;
        }
    }
    Ok(summary)
}

/// Everything that goes into `out/` for one recipe or base image.
#[derive(Debug)]
pub(crate) struct Output {
    name: String,
    packaged: Packaged,
    pub(crate) is_cached: bool,
    documents: Vec<Document>,
}

impl Output {
    /// Returns how long packaging took, now or when it was done.
    pub(crate) fn elapsed_ms(&self) -> u64 {
        self.packaged.step.elapsed_ms
    }

    /// Adds up its RPMs.
    pub(crate) fn totals(&self) -> RpmTotals {
        let rpms = &self.packaged.rpms;
        RpmTotals {
            files: rpms.len(),
            bytes: rpms.iter().map(|rpm| rpm.size).sum(),
        }
    }
}

/// What a product's packages and documents are made from.
pub(crate) struct ProductInputs<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) node: &'a NodeId,
    /// The product's own build and those of everything that it carries.
    pub(crate) built: &'a BTreeMap<NodeId, Built>,
    /// The nodes whose steps really ran in this run.
    pub(crate) fresh: &'a [NodeId],
    /// When this run began.
    pub(crate) started: &'a str,
}

/// Packages a product and writes its documents.
pub(crate) fn product_output(
    shop: &Workshop<'_>,
    inputs: &ProductInputs<'_>,
) -> Result<Output, BuildError> {
    if shop.cancel.is_cancelled() {
        return Err(BuildError::Cancelled);
    }
    let ProductInputs { plan, node, .. } = inputs;
    let product = Product {
        node,
        graph: &plan.graph,
        built: inputs.built,
    };
    let packaged = package(shop, &product, &plan.rootfs[*node])?;
    let recipe = &shop.project.recipes[&node.recipe].recipe;
    let rpms = read_rpms(shop, recipe, &packaged)?;
    let facts = Facts {
        shop,
        rpms: &rpms,
        product: &product,
        packaged: &packaged,
        rootfs: &plan.rootfs,
        started: inputs.started,
        fresh: inputs.fresh,
    };
    let documents = documents(&facts)?;
    let is_cached = packaged.is_cached;
    Ok(Output {
        name: node.recipe.to_string(),
        packaged: packaged.packaged,
        is_cached,
        documents,
    })
}

/// Packages what a base image offers; `None` for one that brings its own package database.
pub(crate) fn base_output(
    shop: &Workshop<'_>,
    plan: &Plan,
    base: &BaseName,
) -> Result<Option<Output>, BuildError> {
    let Some(node) = plan.base_packages().get(base).copied() else {
        return Ok(None);
    };
    let packaged = package_base(shop, base, &plan.rootfs[node])?;
    Ok(packaged.map(|(packaged, is_cached)| Output {
        name: format!("kiln-base-{base}"),
        packaged,
        is_cached,
        documents: Vec::new(),
    }))
}

fn write_output(
    shop: &Workshop<'_>,
    output: &Output,
    summary: &mut Summary,
) -> Result<(), BuildError> {
    let Output {
        name,
        packaged,
        is_cached,
        documents,
    } = output;
    let spec = shop.store.read_blob(&packaged.spec)?;
    summary.write(&shop.output.join(format!("specs/{name}.spec")), &spec)?;
    for rpm in &packaged.rpms {
        let path = Path::new("rpms")
            .join(shop.architecture.rpm())
            .join(&rpm.file);
        let bytes = shop.store.read_blob(&rpm.sha256)?;
        summary.write(&shop.output.join(&path), &bytes)?;
        summary
            .rpms
            .entry(name.clone())
            .or_default()
            .push((path, rpm.size));
    }
    let mut has_new_provenance = false;
    for (path, bytes) in documents {
        let target = shop.output.join(path);
        // A run record tells of the run that made the packages; one that changed nothing keeps it.
        let is_run_record = path.ends_with(".run.json");
        if is_run_record && *is_cached && !has_new_provenance && target.is_file() {
            continue;
        }
        let publication = summary.write(&target, bytes)?;
        has_new_provenance |=
            path.ends_with(".provenance.json") && publication == Publication::Written;
    }
    Ok(())
}

impl Summary {
    fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<Publication, BuildError> {
        let publication = publish(path, bytes)?;
        if publication == Publication::Written {
            self.written += 1;
        }
        Ok(publication)
    }
}

/// Returns the recipes that yield packages.
#[must_use]
pub fn products(project: &crate::project::Project) -> Vec<RecipeName> {
    let has_packages = |loaded: &&crate::project::LoadedRecipe| !loaded.recipe.packages.is_empty();
    project
        .recipes
        .values()
        .filter(has_packages)
        .map(|l| l.recipe.name.clone())
        .collect()
}
