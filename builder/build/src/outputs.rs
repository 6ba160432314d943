//! The last stations: packages every product, writes its documents, and puts all of it into `out/`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_model::RecipeName;

use crate::compile::is_product;
use crate::documents::{Facts, documents};
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::kiln_base::package_base;
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

/// Packages and publishes every product of the plan.
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
    for node in plan.graph.order.iter().filter(|node| is_product(node)) {
        publish_product(
            shop,
            &Run {
                plan,
                finished,
                started,
            },
            node,
            &mut summary,
        )?;
    }
    for (base, node) in plan.bases(shop) {
        let is_packaging = plan.graph.order.iter().any(is_product);
        let Some((packaged, is_cached)) = is_packaging
            .then(|| package_base(shop, &base, &plan.rootfs[&node]))
            .transpose()?
            .flatten()
        else {
            continue;
        };
        let name = format!("kiln-base-{base}");
        summary.note(!is_cached, format!("{name} (package)"));
        publish_rpms(shop, &name, &packaged, &mut summary)?;
    }
    Ok(summary)
}

struct Run<'a> {
    plan: &'a Plan,
    finished: &'a Finished,
    started: &'a str,
}

fn publish_product(
    shop: &Workshop<'_>,
    run: &Run<'_>,
    node: &NodeId,
    summary: &mut Summary,
) -> Result<(), BuildError> {
    let product = Product {
        node,
        graph: &run.plan.graph,
        built: &run.finished.built,
    };
    let rootfs = &run.plan.rootfs[node];
    let packaged = package(shop, &product, rootfs)?;
    let name = node.recipe.as_str();
    summary.note(!packaged.is_cached, format!("{name} (package)"));
    publish_rpms(shop, name, &packaged.packaged, summary)?;
    let facts = Facts {
        shop,
        product: &product,
        packaged: &packaged,
        rootfs,
        started: run.started,
        fresh: &run.finished.fresh,
    };
    let is_unchanged = packaged.is_cached && !run.finished.fresh.contains(node);
    for (path, bytes) in documents(&facts)? {
        let target = shop.output.join(&path);
        // A run record tells of the run that made the packages; one that made nothing has no say.
        if path.ends_with(".run.json") && is_unchanged && target.is_file() {
            continue;
        }
        summary.write(&target, &bytes)?;
    }
    Ok(())
}

fn publish_rpms(
    shop: &Workshop<'_>,
    name: &str,
    packaged: &Packaged,
    summary: &mut Summary,
) -> Result<(), BuildError> {
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
            .entry(name.to_owned())
            .or_default()
            .push((path, rpm.size));
    }
    Ok(())
}

impl Summary {
    fn note(&mut self, is_built: bool, what: String) {
        if is_built {
            self.built.push(what)
        } else {
            self.cached.push(what)
        }
    }

    fn write(&mut self, path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
        if publish(path, bytes)? == Publication::Written {
            self.written += 1;
        }
        Ok(())
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
