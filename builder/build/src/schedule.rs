//! Does all the work of a plan, several pieces at a time where the graph allows: a product is
//! packaged as soon as everything in it is built, while others still compile.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kiln_model::BaseName;

use crate::compile::{Built, is_there};
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::heal::{MOST_TRIES, may_be_healed, tell_set_aside};
use crate::memory::Memory;
use crate::node_build::NodeBuild;
use crate::outputs::{Output, ProductInputs, base_output, product_output};
use crate::plan::{Plan, bundled_builds};
use crate::turn::Taken;
use crate::work::{OnFailure, Outcome, Row, Work, all_work, blocker};
use crate::workshop::{Event, Workshop};

/// Pieces of work done side by side. Compilers share the machine's cores by themselves; more than
/// this only costs memory.
const WORKERS: usize = 2;

/// How long a worker that has nothing else to do leaves work alone that another kiln is at.
const PAUSE: Duration = Duration::from_millis(100);

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
    /// What another kiln is at: put back until there is nothing else to do.
    elsewhere: BTreeSet<Work>,
    /// What was told of already, and how often it was tried again after damage in the store.
    begun: BTreeMap<Work, Begun>,
    /// Nodes whose steps really ran.
    fresh: Vec<NodeId>,
    outputs: BTreeMap<Work, Output>,
    rows: BTreeMap<Work, Row>,
    failures: Vec<(Work, BuildError)>,
    panic: Option<Box<dyn Any + Send>>,
}

/// What is known of work that was taken up before.
#[derive(Debug, Default, Clone, Copy)]
struct Begun {
    is_told_to_wait: bool,
    tries: usize,
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
    /// There is only work that other kilns are at.
    Pause,
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
                Next::Pause => {
                    let waited = self.changed.wait_timeout(guard, PAUSE);
                    guard = waited.unwrap_or_else(PoisonError::into_inner).0;
                    guard.elsewhere.clear();
                }
                Next::Start(work, task) => {
                    guard.running.insert(work.clone());
                    let is_first = !guard.begun.contains_key(&work);
                    let begun = *guard.begun.entry(work.clone()).or_default();
                    drop(guard);
                    if is_first {
                        self.shop.report.tell(&Event::WorkStarted { work: &work });
                    }
                    let taken = catch_unwind(AssertUnwindSafe(|| self.take_up(&work, task, begun)));
                    guard = self.state();
                    if let Err(panic) = taken {
                        guard.panic = Some(panic);
                    }
                    self.changed.notify_all();
                }
            }
        }
    }

    /// Does a piece of work and takes note of how it ended; or puts it back.
    fn take_up(&self, work: &Work, task: Task, mut begun: Begun) {
        let (started, before) = (Instant::now(), self.shop.store.set_aside_count());
        let taken = self.perform(task);
        tell_set_aside(self.shop);
        match taken {
            Ok(Taken::Done(done)) => return self.note(work, Ok(done), started.elapsed()),
            Ok(Taken::Elsewhere) => {
                if !std::mem::replace(&mut begun.is_told_to_wait, true) {
                    let what = &work.to_string();
                    self.shop.report.tell(&Event::Waiting { what });
                }
            }
            Err(error) => {
                begun.tries += 1;
                let is_healed = self.forget_lost(work) > 0;
                let is_healed = is_healed || may_be_healed(self.shop, &error, before);
                if !is_healed || begun.tries > MOST_TRIES {
                    return self.note(work, Err(error), started.elapsed());
                }
            }
        }
        let mut guard = self.state();
        guard.running.remove(work);
        guard.elsewhere.insert(work.clone());
        guard.begun.insert(work.clone(), begun);
    }

    /// Forgets finished builds that `work` needs and that the store has no longer, or not all of: they
    /// proved damaged, and are made anew. Returns how many.
    fn forget_lost(&self, work: &Work) -> usize {
        let Some(node) = work.node() else { return 0 };
        let mut needed = self.plan.graph.closure(node);
        needed.push(node.clone());
        let mut guard = self.state();
        let is_lost = |node: &NodeId, state: &State| {
            let built = state.built.get(node);
            built.is_some_and(|built| !is_there(self.shop, built))
        };
        needed.retain(|node| is_lost(node, &guard));
        for node in &needed {
            guard.built.remove(node);
            guard.rows.remove(&Work::Build(node.clone()));
        }
        needed.len()
    }

    fn next(&self, state: &State) -> Next {
        let is_stopped = self.shop.cancel.is_cancelled() || state.panic.is_some();
        if is_stopped || (!state.failures.is_empty() && self.on_failure == OnFailure::Stop) {
            return Next::Stop;
        }
        let (mut is_done, mut is_elsewhere) = (true, false);
        for work in &self.work {
            if state.rows.contains_key(work) || blocker(self.plan, work, &state.failures).is_some()
            {
                continue;
            }
            is_done = false;
            if state.running.contains(work) {
                continue;
            }
            if state.elsewhere.contains(work) {
                is_elsewhere = true;
                continue;
            }
            if let Some(task) = self.task(work, state) {
                return Next::Start(work.clone(), task);
            }
        }
        match (is_done, is_elsewhere) {
            (true, _) => Next::Stop,
            (false, true) => Next::Pause,
            (false, false) => Next::Wait,
        }
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

    fn perform(&self, task: Task) -> Result<Taken<Done>, BuildError> {
        let taken = match task {
            Task::Build(node, bundled) => {
                let build = NodeBuild {
                    plan: self.plan,
                    node: &node,
                    bundled: &bundled,
                };
                let taken = build.perform(self.shop, &|key| {
                    self.shop.store.try_turn(key).map_err(BuildError::from)
                })?;
                return Ok(match taken {
                    Taken::Done((built, outcome)) => Taken::Done(Done::of_build(&built, outcome)),
                    Taken::Elsewhere => Taken::Elsewhere,
                });
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
                match product_output(self.shop, &inputs)? {
                    Taken::Done(output) => Taken::Done(Some(output)),
                    Taken::Elsewhere => Taken::Elsewhere,
                }
            }
            Task::BasePackage(base) => base_output(self.shop, self.plan, &base, self.memory)?,
        };
        Ok(match taken {
            Taken::Done(output) => Taken::Done(Done::of_output(output)),
            Taken::Elsewhere => Taken::Elsewhere,
        })
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

#[cfg(test)]
mod tests;
