//! The one way from recipes to `out/`: a call per station, a type between two stations.

use kiln_model::RecipeName;

use crate::error::BuildError;
use crate::graph::Graph;
use crate::outputs::{Summary, publish_products};
use crate::plan::Plan;
use crate::schedule::build_all;
use crate::workshop::{Event, Workshop};

/// Builds `wanted` and everything below it, and puts the results into `out/`.
///
/// # Errors
/// Whatever stopped the run, with recipe and step. What was finished by then is kept in the store.
pub fn build(shop: &Workshop<'_>, wanted: &[RecipeName]) -> Result<Summary, BuildError> {
    let started = (shop.clock)();
    let graph = Graph::new(shop.project, wanted)?;
    let plan = Plan::new(shop, graph)?;
    if !plan.to_build().is_empty() {
        require_isolation(shop)?;
    }
    fetch_sources(shop, &plan)?;
    let finished = build_all(shop, &plan)?;
    publish_products(shop, &plan, &finished, &started)
}

/// Fetches what `wanted` needs, and puts the root file systems together, without building.
///
/// # Errors
/// A missing or stale lockfile, or a file that can not be had.
pub fn fetch(shop: &Workshop<'_>, wanted: &[RecipeName]) -> Result<(), BuildError> {
    let graph = Graph::new(shop.project, wanted)?;
    let plan = Plan::new(shop, graph)?;
    fetch_sources(shop, &plan)?;
    for rootfs in plan.rootfs.values() {
        rootfs.lower(shop)?;
    }
    Ok(())
}

/// Fails before anything is fetched if nothing could be built with it.
fn require_isolation(shop: &Workshop<'_>) -> Result<(), BuildError> {
    shop.check_isolation(&shop.engine.probe()?)
}

fn fetch_sources(shop: &Workshop<'_>, plan: &Plan) -> Result<(), BuildError> {
    let requests = plan.source_requests(shop);
    if requests
        .iter()
        .any(|request| !shop.store.contains(&request.sha256))
    {
        shop.report.tell(&Event::Fetching {
            files: requests.len(),
        });
    }
    shop.fetcher
        .fetch_all(&requests, &crate::rootfs::Told(shop.report))?;
    Ok(())
}
