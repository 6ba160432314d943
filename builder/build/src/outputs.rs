//! The last stations: packages every product, writes its documents, and puts all of it into `out/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_model::{BaseName, RecipeName};

use crate::compile::is_product;
use crate::documents::{Document, Facts, documents, read_rpms};
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::kiln_base::package_base;
use crate::memory::{Memory, RememberedFile, base_key, product_key};
use crate::package::{Packaged, package};
use crate::plan::Plan;
use crate::publish::{Publication, publish};
use crate::schedule::Finished;
use crate::stage::Product;
use crate::workshop::Workshop;

/// What a run did: the closing table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Nodes and packages that were made in this run.
    pub built: Vec<String>,
    /// Nodes and packages that the store had.
    pub cached: Vec<String>,
    /// RPMs in `out/` by recipe or base image, with their bytes.
    pub rpms: BTreeMap<String, Vec<(PathBuf, u64)>>,
    /// Files in `out/` that were written.
    pub written: usize,
}

impl Summary {
    /// Returns whether the run found everything done already.
    #[must_use]
    pub fn is_nothing_done(&self) -> bool {
        self.built.is_empty() && self.written == 0
    }
}

/// Packages every product of the plan and, when all of them are whole, puts everything into `out/`.
pub(crate) fn publish_products(
    shop: &Workshop<'_>,
    plan: &Plan,
    finished: &Finished,
    started: &str,
) -> Result<Summary, BuildError> {
    let mut summary = Summary::default();
    for node in &plan.graph.order {
        summary.note(finished.fresh.contains(node), node.to_string());
    }
    let run = Run {
        plan,
        finished,
        started,
    };
    let mut memory = Memory::load(shop.store, shop.output, shop.program)?;
    let mut outputs = Vec::new();
    let products = plan.graph.order.iter().filter(|node| is_product(node));
    let mut has_products = false;
    for node in products {
        has_products = true;
        let product = run.product(node);
        let key = product_key(shop, &product, plan)?;
        let name = node.recipe.to_string();
        match memory.unchanged(&name, key) {
            Some(rpms) => summary.keep(name, rpms),
            None => outputs.push((key, product_output(shop, &run, &product)?)),
        }
    }
    if has_products {
        for (base, node) in plan.bases(shop) {
            let name = format!("kiln-base-{base}");
            let key = base_key(shop, &base, &plan.rootfs[&node])?;
            match memory.unchanged(&name, key) {
                Some(rpms) => summary.keep(name, rpms),
                None => outputs.extend(base_output(shop, plan, &base, &node)?.map(|o| (key, o))),
            }
        }
    }
    for (key, output) in &outputs {
        let files = write_output(shop, output, &mut summary)?;
        memory.remember(&output.name, *key, files);
    }
    memory.save()?;
    Ok(summary)
}

fn base_output(
    shop: &Workshop<'_>,
    plan: &Plan,
    base: &BaseName,
    node: &NodeId,
) -> Result<Option<Output>, BuildError> {
    let packaged = package_base(shop, base, &plan.rootfs[node])?;
    Ok(packaged.map(|(packaged, is_cached)| Output {
        name: format!("kiln-base-{base}"),
        packaged,
        is_cached,
        documents: Vec::new(),
    }))
}

struct Run<'a> {
    plan: &'a Plan,
    finished: &'a Finished,
    started: &'a str,
}

impl<'a> Run<'a> {
    fn product(&self, node: &'a NodeId) -> Product<'a> {
        Product {
            node,
            graph: &self.plan.graph,
            built: &self.finished.built,
        }
    }
}

/// Everything that goes into `out/` for one recipe or base image.
struct Output {
    name: String,
    packaged: Packaged,
    is_cached: bool,
    documents: Vec<Document>,
}

fn product_output(
    shop: &Workshop<'_>,
    run: &Run<'_>,
    product: &Product<'_>,
) -> Result<Output, BuildError> {
    if shop.cancel.is_cancelled() {
        return Err(BuildError::Cancelled);
    }
    let node = product.node;
    let packaged = package(shop, product, &run.plan.rootfs[node])?;
    let recipe = &shop.project.recipes[&node.recipe].recipe;
    let rpms = read_rpms(shop, recipe, &packaged)?;
    let facts = Facts {
        shop,
        rpms: &rpms,
        product,
        packaged: &packaged,
        rootfs: &run.plan.rootfs,
        started: run.started,
        fresh: &run.finished.fresh,
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

/// Writes what is not there yet, and returns everything that belongs there.
fn write_output(
    shop: &Workshop<'_>,
    output: &Output,
    summary: &mut Summary,
) -> Result<Vec<RememberedFile>, BuildError> {
    let Output {
        name,
        packaged,
        is_cached,
        documents,
    } = output;
    summary.note(!is_cached, format!("{name} (package)"));
    let spec = shop.store.read_blob(&packaged.spec)?;
    let spec_path = PathBuf::from(format!("specs/{name}.spec"));
    summary.write(&shop.output.join(&spec_path), &spec)?;
    let mut files = vec![RememberedFile::with_digest(&spec_path, packaged.spec)];
    for rpm in &packaged.rpms {
        let path = Path::new("rpms")
            .join(shop.architecture.rpm())
            .join(&rpm.file);
        let bytes = shop.store.read_blob(&rpm.sha256)?;
        summary.write(&shop.output.join(&path), &bytes)?;
        files.push(RememberedFile::with_digest(&path, rpm.sha256));
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
        files.push(if is_run_record {
            RememberedFile::of_one_run(Path::new(path))
        } else {
            RememberedFile::new(Path::new(path), bytes)
        });
        if is_run_record && *is_cached && !has_new_provenance && target.is_file() {
            continue;
        }
        let publication = summary.write(&target, bytes)?;
        has_new_provenance |=
            path.ends_with(".provenance.json") && publication == Publication::Written;
    }
    Ok(files)
}

impl Summary {
    fn note(&mut self, is_built: bool, what: String) {
        if is_built {
            self.built.push(what)
        } else {
            self.cached.push(what)
        }
    }

    /// Takes note of a product whose files are all there already.
    fn keep(&mut self, name: String, rpms: Vec<(PathBuf, u64)>) {
        self.note(false, format!("{name} (package)"));
        self.rpms.insert(name, rpms);
    }

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
