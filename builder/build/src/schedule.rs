//! Does all the work of a plan, several pieces at a time where the graph allows: a product is
//! packaged as soon as everything in it is built, while others still compile.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kiln_model::BaseName;

use crate::compile::{BuildInputs, Built, cached, compile};
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::memory::Memory;
use crate::outputs::{Output, ProductInputs, base_output, product_output};
use crate::plan::{Plan, bundled_builds};
use crate::work::{OnFailure, Outcome, Row, Work, all_work, blocker};
use crate::workshop::{Event, Workshop};

/// Pieces of work done side by side. Compilers share the machine's cores by themselves; more than
/// this only costs memory.
const WORKERS: usize = 2;

/// What came of a schedule.
#[derive(Debug)]
pub(crate) struct Finished {
    /// One row per piece of work, in build order.
    pub(crate) rows: Vec<Row>,
    /// Finished packages.
    pub(crate) outputs: BTreeMap<Work, Output>,
    /// What failed, in the order in which it happened.
    pub(crate) failures: Vec<BuildError>,
    /// Whether the run was interrupted.
    pub(crate) is_cancelled: bool,
}

/// What every worker sees.
struct Schedule<'a> {
    shop: &'a Workshop<'a>,
    plan: &'a Plan,
    /// All work, in an order in which each piece comes after what it needs.
    work: Vec<Work>,
    on_failure: OnFailure,
    started: &'a str,
    memory: &'a Mutex<Memory>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    built: BTreeMap<NodeId, Built>,
    running: BTreeSet<Work>,
    /// Nodes whose steps really ran.
    fresh: Vec<NodeId>,
    outputs: BTreeMap<Work, Output>,
    rows: BTreeMap<Work, Row>,
    failures: Vec<(Work, BuildError)>,
    panic: Option<Box<dyn Any + Send>>,
}

/// Builds every node of the plan that the store does not have, and packages every product.
///
/// What fails is in the result. After a failure what runs is finished and kept; whether something
/// new is started then is what `on_failure` says.
pub(crate) fn run_all(
    shop: &Workshop<'_>,
    plan: &Plan,
    on_failure: OnFailure,
    started: &str,
    memory: &Mutex<Memory>,
) -> Finished {
    let work = all_work(plan);
    shop.report.tell(&Event::Planned { work: &work });
    let schedule = Schedule {
        shop,
        plan,
        work,
        on_failure,
        started,
        memory,
        state: Mutex::new(State {
            built: plan.built.clone(),
            ..State::default()
        }),
        changed: Condvar::new(),
    };
    for (node, built) in &plan.built {
        let done = Done::of_build(built, Outcome::Cached);
        schedule.note(&Work::Build(node.clone()), Ok(done), Duration::ZERO);
    }
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| schedule.serve());
        }
    });
    schedule.finish()
}

/// A piece of work with what it needs.
enum Task {
    Build(NodeId, Vec<(String, Built)>),
    Package {
        node: NodeId,
        built: BTreeMap<NodeId, Built>,
        fresh: Vec<NodeId>,
    },
    BasePackage(BaseName),
}

enum Next {
    Start(Work, Task),
    Wait,
    Stop,
}

/// What a piece of work yields.
struct Done {
    outcome: Outcome,
    /// How long it took when it was made, for what the store had.
    elapsed: Duration,
    built: Option<Built>,
    output: Option<Output>,
}

impl Done {
    fn of_build(built: &Built, outcome: Outcome) -> Self {
        let elapsed = built.steps.iter().map(|step| step.elapsed_ms).sum();
        Self {
            outcome,
            elapsed: Duration::from_millis(elapsed),
            built: Some(built.clone()),
            output: None,
        }
    }

    fn of_output(output: Option<Output>) -> Self {
        let is_cached = output.as_ref().is_none_or(Output::is_cached);
        let elapsed = output.as_ref().map_or(0, Output::elapsed_ms);
        Self {
            outcome: if is_cached {
                Outcome::Cached
            } else {
                Outcome::Built
            },
            elapsed: Duration::from_millis(elapsed),
            built: None,
            output,
        }
    }
}

impl Schedule<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does one piece of work after another until nothing more can be done.
    fn serve(&self) {
        let mut guard = self.state();
        loop {
            match self.next(&guard) {
                Next::Stop => break,
                Next::Wait => {
                    guard = self
                        .changed
                        .wait(guard)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Next::Start(work, task) => {
                    guard.running.insert(work.clone());
                    drop(guard);
                    let started = Instant::now();
                    let done = catch_unwind(AssertUnwindSafe(|| {
                        self.shop.report.tell(&Event::WorkStarted { work: &work });
                        self.perform(task)
                    }));
                    let noted = done.and_then(|done| {
                        catch_unwind(AssertUnwindSafe(|| {
                            self.note(&work, done, started.elapsed());
                        }))
                    });
                    guard = self.state();
                    if let Err(panic) = noted {
                        guard.panic = Some(panic);
                    }
                    self.changed.notify_all();
                }
            }
        }
    }

    fn next(&self, state: &State) -> Next {
        let is_stopped = self.shop.cancel.is_cancelled() || state.panic.is_some();
        if is_stopped || (!state.failures.is_empty() && self.on_failure == OnFailure::Stop) {
            return Next::Stop;
        }
        let mut is_done = true;
        for work in &self.work {
            if state.rows.contains_key(work) || blocker(self.plan, work, &state.failures).is_some()
            {
                continue;
            }
            is_done = false;
            if state.running.contains(work) {
                continue;
            }
            if let Some(task) = self.task(work, state) {
                return Next::Start(work.clone(), task);
            }
        }
        if is_done { Next::Stop } else { Next::Wait }
    }

    /// Returns what a piece of work is done with, or `None` while something is missing.
    fn task(&self, work: &Work, state: &State) -> Option<Task> {
        let graph = &self.plan.graph;
        match work {
            Work::Build(node) => {
                let bundled = bundled_builds(graph, node, &state.built)?;
                Some(Task::Build(node.clone(), bundled))
            }
            Work::Package(node) => {
                let mut nodes = graph.closure(node);
                nodes.push(node.clone());
                let found = nodes
                    .iter()
                    .map(|node| Some((node.clone(), state.built.get(node)?.clone())));
                let built = found.collect::<Option<_>>()?;
                let is_needed = |fresh: &&NodeId| nodes.contains(fresh);
                Some(Task::Package {
                    node: node.clone(),
                    built,
                    fresh: state.fresh.iter().filter(is_needed).cloned().collect(),
                })
            }
            Work::BasePackage(base) => Some(Task::BasePackage(base.clone())),
            // Not planned: it is made when everything is published.
            Work::Repository => None,
        }
    }

    fn perform(&self, task: Task) -> Result<Done, BuildError> {
        match task {
            Task::Build(node, bundled) => {
                let (built, outcome) = build_one(self.shop, self.plan, &node, &bundled)?;
                Ok(Done::of_build(&built, outcome))
            }
            Task::Package { node, built, fresh } => {
                let inputs = ProductInputs {
                    plan: self.plan,
                    node: &node,
                    built: &built,
                    fresh: &fresh,
                    started: self.started,
                    memory: self.memory,
                };
                let output = product_output(self.shop, &inputs)?;
                Ok(Done::of_output(Some(output)))
            }
            Task::BasePackage(base) => {
                base_output(self.shop, self.plan, &base, self.memory).map(Done::of_output)
            }
        }
    }

    /// Takes note of how a piece of work ended, and tells.
    fn note(&self, work: &Work, done: Result<Done, BuildError>, elapsed: Duration) {
        let mut row = Row {
            work: work.clone(),
            outcome: Outcome::Failed,
            elapsed,
            rpms: None,
        };
        let mut guard = self.state();
        guard.running.remove(work);
        let error = match done {
            Ok(done) => {
                row.rpms = done.output.as_ref().map(Output::totals);
                if done.outcome == Outcome::Cached {
                    row.elapsed = done.elapsed;
                }
                row.outcome = done.outcome;
                if let (Some(built), Work::Build(node)) = (done.built, work) {
                    if row.outcome == Outcome::Built {
                        guard.fresh.push(node.clone());
                    }
                    guard.built.insert(node.clone(), built);
                }
                if let Some(output) = done.output {
                    guard.outputs.insert(work.clone(), output);
                }
                None
            }
            Err(BuildError::Cancelled) => {
                row.outcome = Outcome::Cancelled;
                None
            }
            Err(error) => Some(error),
        };
        guard.rows.insert(work.clone(), row.clone());
        // Told before the others may go on, so that what needs this comes later in every report.
        let event = Event::WorkEnded {
            row: &row,
            error: error.as_ref(),
        };
        self.shop.report.tell(&event);
        let Some(error) = error else { return };
        guard.failures.push((work.clone(), error));
        if self.on_failure == OnFailure::Stop && !guard.running.is_empty() {
            let running: Vec<Work> = guard.running.iter().cloned().collect();
            self.shop.report.tell(&Event::Finishing { work: &running });
        }
    }

    /// Accounts for what was not begun, and puts everything in order.
    fn finish(self) -> Finished {
        let state = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(panic) = state.panic {
            resume_unwind(panic);
        }
        let mut rows = state.rows;
        let row = |work: &Work| {
            rows.remove(work).unwrap_or_else(|| {
                let outcome = match blocker(self.plan, work, &state.failures) {
                    Some(by) => Outcome::Blocked { by },
                    None => Outcome::NotStarted,
                };
                let row = Row {
                    work: work.clone(),
                    outcome,
                    elapsed: Duration::ZERO,
                    rpms: None,
                };
                let event = Event::WorkEnded {
                    row: &row,
                    error: None,
                };
                self.shop.report.tell(&event);
                row
            })
        };
        Finished {
            rows: self.work.iter().map(row).collect(),
            outputs: state.outputs,
            failures: state.failures.into_iter().map(|(_, error)| error).collect(),
            is_cancelled: self.shop.cancel.is_cancelled(),
        }
    }
}

/// Builds one node, unless its key is known by now: a library that was rebuilt to the same bytes
/// leaves its consumers as they are.
pub(crate) fn build_one(
    shop: &Workshop<'_>,
    plan: &Plan,
    node: &NodeId,
    bundled: &[(String, Built)],
) -> Result<(Built, Outcome), BuildError> {
    let inputs = BuildInputs {
        node,
        loaded: &shop.project.recipes[&node.recipe],
        rootfs: &plan.rootfs[node],
        bundled,
    };
    match cached(shop, inputs.key_inputs(shop).key())? {
        Some(hit) => Ok((hit, Outcome::Cached)),
        None => compile(shop, &inputs).map(|built| (built, Outcome::Built)),
    }
}

#[cfg(test)]
mod tests;
