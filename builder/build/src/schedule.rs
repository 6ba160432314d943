//! Builds what a plan says, several nodes at a time where the graph allows.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::compile::{BuildInputs, Built, cached, compile};
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::plan::{Plan, bundled_builds};
use crate::workshop::{Event, Workshop};

/// Nodes built side by side. Compilers share the machine's cores by themselves; more than this only
/// costs memory.
const WORKERS: usize = 2;

/// What came of a schedule.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) built: BTreeMap<NodeId, Built>,
    /// Nodes whose steps really ran.
    pub(crate) fresh: Vec<NodeId>,
}

#[derive(Debug, Default)]
struct State {
    built: BTreeMap<NodeId, Built>,
    running: BTreeSet<NodeId>,
    fresh: Vec<NodeId>,
    error: Option<BuildError>,
    panic: Option<Box<dyn Any + Send>>,
}

/// Builds every node of the plan that the store does not have.
///
/// # Errors
/// The first failure. What was running then is finished and kept; nothing new is started.
pub(crate) fn build_all(shop: &Workshop<'_>, plan: &Plan) -> Result<Finished, BuildError> {
    let state = Mutex::new(State {
        built: plan.built.clone(),
        ..State::default()
    });
    let changed = Condvar::new();
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| work(shop, plan, &state, &changed));
        }
    });
    let state = state.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(panic) = state.panic {
        resume_unwind(panic);
    }
    match state.error {
        Some(error) => Err(error),
        None => Ok(Finished {
            built: state.built,
            fresh: state.fresh,
        }),
    }
}

enum Next {
    Build(NodeId, Vec<(String, Built)>),
    Wait,
    Stop,
}

fn work(shop: &Workshop<'_>, plan: &Plan, state: &Mutex<State>, changed: &Condvar) {
    let mut guard = locked(state);
    loop {
        match next(plan, &guard) {
            Next::Stop => break,
            Next::Wait => guard = changed.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Next::Build(node, bundled) => {
                guard.running.insert(node.clone());
                drop(guard);
                let build = || build_one(shop, plan, &node, &bundled);
                let result = catch_unwind(AssertUnwindSafe(build));
                guard = locked(state);
                guard.running.remove(&node);
                match result {
                    Err(panic) => guard.panic = Some(panic),
                    Ok(Ok((built, is_fresh))) => {
                        if is_fresh {
                            guard.fresh.push(node.clone());
                        }
                        guard.built.insert(node, built);
                    }
                    Ok(Err(error)) => drop(guard.error.get_or_insert(error)),
                }
                changed.notify_all();
            }
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn next(plan: &Plan, state: &State) -> Next {
    if state.error.is_some() || state.panic.is_some() {
        return Next::Stop;
    }
    let mut is_done = true;
    for node in &plan.graph.order {
        if state.built.contains_key(node) {
            continue;
        }
        is_done = false;
        if state.running.contains(node) {
            continue;
        }
        if let Some(bundled) = bundled_builds(&plan.graph, node, &state.built) {
            return Next::Build(node.clone(), bundled);
        }
    }
    if is_done { Next::Stop } else { Next::Wait }
}

/// Builds one node, unless its key is known by now: a library that was rebuilt to the same bytes
/// leaves its consumers as they are.
fn build_one(
    shop: &Workshop<'_>,
    plan: &Plan,
    node: &NodeId,
    bundled: &[(String, Built)],
) -> Result<(Built, bool), BuildError> {
    let loaded = &shop.project.recipes[&node.recipe];
    let inputs = BuildInputs {
        node,
        loaded,
        rootfs: &plan.rootfs[node],
        bundled,
    };
    if let Some(hit) = cached(shop, inputs.key_inputs(shop).key())? {
        shop.report.tell(&Event::Cached {
            what: &node.to_string(),
        });
        return Ok((hit, false));
    }
    compile(shop, &inputs).map(|built| (built, true))
}

#[cfg(test)]
mod tests;
