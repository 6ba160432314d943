//! The one way from recipes to `out/`: a call per station, a type between two stations.

use kiln_model::RecipeName;

use crate::at_rest;
use crate::error::BuildError;
use crate::graph::Graph;
use crate::heal::{healed, tell_set_aside};
use crate::outputs::{Selection, Summary, publish_products};
use crate::past::Past;
use crate::plan::Plan;
use crate::schedule::run_all;
use crate::work::OnFailure;
use crate::workshop::Workshop;

/// Builds `wanted` and everything below it, and puts the results into `out/`.
///
/// What failed is in the summary, with recipe and step. What was finished is kept in the store.
///
/// # Errors
/// Whatever kept the run from beginning, or its results from being put into `out/`.
pub fn build(
    shop: &Workshop<'_>,
    wanted: &[RecipeName],
    on_failure: OnFailure,
) -> Result<Summary, BuildError> {
    run(shop, wanted, on_failure).map(|(_, summary)| summary)
}

/// Builds what people ask for, and takes note when there was nothing to
/// do: [`crate::Asked::at_rest`] then says so without reading anything.
///
/// # Errors
/// As [`build`].
pub fn build_asked(
    shop: &Workshop<'_>,
    selection: Selection<'_>,
    on_failure: OnFailure,
) -> Result<Summary, BuildError> {
    let wanted = selection.recipes(shop.project);
    let (plan, mut summary) = run(shop, &wanted, on_failure)?;
    summary.unpinned = selection.left_out(shop.project);
    if summary.is_nothing_done() && summary.failures.is_empty() && !summary.is_cancelled {
        let began = shop.store.began();
        at_rest::remember(shop, selection, (&plan, &summary), began)?;
    }
    Ok(summary)
}

fn run(
    shop: &Workshop<'_>,
    wanted: &[RecipeName],
    on_failure: OnFailure,
) -> Result<(Plan, Summary), BuildError> {
    let started = (shop.clock)();
    let graph = Graph::new(shop.project, wanted)?;
    let plan = Plan::new(shop, graph)?;
    if !plan.to_build().is_empty() {
        require_isolation(shop)?;
    }
    match fetch_sources(shop, &plan) {
        // Who needs what could not be had asks once more, and fails alone.
        Err(BuildError::Fetch(_)) if on_failure == OnFailure::KeepGoing => {}
        fetched => fetched?,
    }
    let past = Past::load(shop)?;
    let finished = run_all(shop, &plan, on_failure, &started, &past);
    let (memory, latest) = past.into_parts();
    latest.save()?;
    let summary = publish_products(shop, &plan, finished, memory, on_failure)?;
    Ok((plan, summary))
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
        healed(shop, || rootfs.lower(shop))?;
    }
    Ok(())
}

/// Fails before anything is fetched if nothing could be built with it.
fn require_isolation(shop: &Workshop<'_>) -> Result<(), BuildError> {
    shop.check_isolation(&shop.engine.probe()?)
}

fn fetch_sources(shop: &Workshop<'_>, plan: &Plan) -> Result<(), BuildError> {
    let told = crate::told::Told(shop.report);
    let fetched = shop.fetcher.fetch_all(&plan.source_requests(shop), &told);
    tell_set_aside(shop);
    fetched?;
    Ok(())
}
