//! Does all the work of a plan, several pieces at a time where the graph allows: a product is
//! packaged as soon as everything in it is built, while others still compile. What the longest way to
//! the end leads through is begun first (`queue`).
//!
//! What is kept of a finished piece is its record, its row and the files that it yields by digest, never
//! logs, lists of files or documents: memory does not grow with what was done.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kiln_model::BaseName;

use crate::compile::{Built, is_there};
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::heal::{MOST_TRIES, may_be_healed, tell_set_aside};
use crate::latest::Last;
use crate::node_build::NodeBuild;
use crate::outputs::{Output, ProductInputs, base_output, product_output};
use crate::past::Past;
use crate::plan::{Bundled, Plan, bundled_builds};
use crate::queue::Queue;
use crate::turn::Taken;
use crate::work::{OnFailure, Outcome, Row, Work, all_work, pieces};
use crate::workshop::{Event, Workshop};

/// Returns how many pieces of work are done side by side where a step may start so many compilers.
///
/// Compilers share the machine's cores by themselves, and more pieces only cost memory; but what configures
/// and tests has one thread, and two of them leave most of a big machine idle.
pub(crate) fn workers(jobs: NonZero<usize>) -> usize {
    (jobs.get() / 4).clamp(2, 6)
}

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
    past: &'a Past,
    state: Mutex<State>,
    changed: Condvar,
}

/// Pieces of work are numbers here: their places in all work.
#[derive(Debug)]
struct State {
    queue: Queue,
    built: BTreeMap<NodeId, Arc<Built>>,
    running: BTreeSet<usize>,
    /// What was told of already, and how often it was tried again after damage in the store.
    begun: BTreeMap<usize, Begun>,
    /// Nodes whose steps really ran.
    fresh: BTreeSet<NodeId>,
    outputs: BTreeMap<Work, Output>,
    rows: Vec<Option<Row>>,
    failures: Vec<BuildError>,
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
    past: &Past,
) -> Finished {
    let work = all_work(plan);
    shop.report.tell(&Event::Planned { work: &work });
    let queue = Queue::new(&pieces(plan, &work, &past.latest()));
    let state = State {
        queue,
        built: plan.built.clone(),
        running: BTreeSet::new(),
        begun: BTreeMap::new(),
        fresh: BTreeSet::new(),
        outputs: BTreeMap::new(),
        rows: vec![None; work.len()],
        failures: Vec::new(),
        panic: None,
    };
    let schedule = Schedule {
        shop,
        plan,
        work,
        on_failure,
        started,
        past,
        state: Mutex::new(state),
        changed: Condvar::new(),
    };
    schedule.skip_what_is_there();
    std::thread::scope(|scope| {
        for _ in 0..workers(shop.jobs) {
            scope.spawn(|| schedule.serve());
        }
    });
    schedule.finish()
}

/// A piece of work with what it needs.
enum Task {
    Build(NodeId, Bundled),
    Package {
        node: NodeId,
        built: BTreeMap<NodeId, Arc<Built>>,
        fresh: Vec<NodeId>,
    },
    BasePackage(BaseName),
}

enum Next {
    Start(usize, Task),
    Wait,
    /// There is only work that other kilns are at.
    Pause,
    Stop,
}

/// What a piece of work yields.
struct Done {
    outcome: Outcome,
    /// Its key, and how long it took when it was made.
    last: Option<Last>,
    built: Option<Arc<Built>>,
    output: Option<Output>,
}

impl Done {
    fn of_build(built: Arc<Built>, outcome: Outcome) -> Self {
        Self {
            outcome,
            last: Some(Last::of_build(&built)),
            built: Some(built),
            output: None,
        }
    }

    fn of_output(output: Option<Output>) -> Self {
        let is_cached = output.as_ref().is_none_or(Output::is_cached);
        Self {
            outcome: if is_cached {
                Outcome::Cached
            } else {
                Outcome::Built
            },
            last: output.as_ref().and_then(Output::last),
            built: None,
            output,
        }
    }
}

impl Schedule<'_> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of every build that the store had before this run.
    fn skip_what_is_there(&self) {
        for (number, work) in self.work.iter().enumerate() {
            if let Work::Build(node) = work
                && let Some(built) = self.plan.built.get(node)
            {
                let done = Done::of_build(Arc::clone(built), Outcome::Cached);
                self.state().queue.skip(number);
                self.note(number, Ok(done), Duration::ZERO);
            }
        }
    }

    /// Does one piece of work after another until nothing more can be done.
    fn serve(&self) {
        let mut guard = self.state();
        loop {
            match self.next(&mut guard) {
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
                    guard.queue.bring_back();
                }
                Next::Start(number, task) => {
                    guard.running.insert(number);
                    let is_first = !guard.begun.contains_key(&number);
                    let begun = *guard.begun.entry(number).or_default();
                    drop(guard);
                    let taken = catch_unwind(AssertUnwindSafe(|| {
                        if is_first {
                            let work = &self.work[number];
                            self.shop.report.tell(&Event::WorkStarted { work });
                        }
                        self.take_up(number, task, begun);
                    }));
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
    fn take_up(&self, number: usize, task: Task, mut begun: Begun) {
        let (started, before) = (Instant::now(), self.shop.store.set_aside_count());
        let taken = self.perform(task);
        tell_set_aside(self.shop);
        match taken {
            Ok(Taken::Done(done)) => return self.note(number, Ok(done), started.elapsed()),
            Ok(Taken::Elsewhere) => {
                if !std::mem::replace(&mut begun.is_told_to_wait, true) {
                    let what = &self.work[number].to_string();
                    self.shop.report.tell(&Event::Waiting { what });
                }
            }
            Err(error) => {
                begun.tries += 1;
                let is_healed = self.forget_lost(number) > 0;
                let is_healed = is_healed || may_be_healed(self.shop, &error, before);
                if !is_healed || begun.tries > MOST_TRIES {
                    return self.note(number, Err(error), started.elapsed());
                }
            }
        }
        let mut guard = self.state();
        guard.running.remove(&number);
        guard.queue.put_back(number);
        guard.begun.insert(number, begun);
    }

    /// Forgets finished builds that a piece of work needs and that the store has no longer, or not all
    /// of: they proved damaged, and are made anew. Returns how many.
    fn forget_lost(&self, number: usize) -> usize {
        let Some(node) = self.work[number].node() else {
            return 0;
        };
        let mut needed = self.plan.graph.closure(node);
        needed.push(node.clone());
        let mut guard = self.state();
        needed.retain(|node| {
            let built = guard.built.get(node);
            built.is_some_and(|built| !is_there(self.shop, built))
        });
        // Those that come last first: what they need is there as long as it was not forgotten too.
        for node in needed.iter().rev() {
            guard.built.remove(node);
            let build = Work::Build(node.clone());
            if let Some(number) = self.work.iter().position(|work| *work == build) {
                guard.rows[number] = None;
                guard.queue.reopen(number);
            }
        }
        needed.len()
    }

    fn next(&self, state: &mut State) -> Next {
        let is_stopped = self.shop.cancel.is_cancelled() || state.panic.is_some();
        if is_stopped || (!state.failures.is_empty() && self.on_failure == OnFailure::Stop) {
            return Next::Stop;
        }
        match state.queue.take() {
            Some(number) => Next::Start(number, self.task(number, state)),
            None if state.queue.is_empty() => Next::Stop,
            None if state.queue.has_put_back() => Next::Pause,
            None => Next::Wait,
        }
    }

    /// Returns what a piece of work is done with. Everything that it needs is built.
    fn task(&self, number: usize, state: &State) -> Task {
        const READY: &str = "the queue gives what waits for nothing";
        let graph = &self.plan.graph;
        match &self.work[number] {
            Work::Build(node) => {
                let bundled = bundled_builds(graph, node, &state.built);
                Task::Build(node.clone(), bundled.expect(READY))
            }
            Work::Package(node) => {
                let mut nodes = graph.closure(node);
                nodes.push(node.clone());
                let is_fresh = |node: &&NodeId| state.fresh.contains(node);
                let fresh = nodes.iter().filter(is_fresh).cloned().collect();
                let found = nodes.into_iter().map(|node| {
                    let built = Arc::clone(state.built.get(&node).expect(READY));
                    (node, built)
                });
                Task::Package {
                    node: node.clone(),
                    built: found.collect(),
                    fresh,
                }
            }
            Work::BasePackage(base) => Task::BasePackage(base.clone()),
            Work::Repository => unreachable!("it is made when everything is published"),
        }
    }

    fn perform(&self, task: Task) -> Result<Taken<Done>, BuildError> {
        let memory = &self.past.memory;
        Ok(match task {
            Task::Build(node, bundled) => {
                let build = NodeBuild {
                    plan: self.plan,
                    node: &node,
                    bundled: &bundled,
                };
                let taken = build.perform(self.shop, &|key| {
                    self.shop.store.try_turn(key).map_err(BuildError::from)
                })?;
                taken.map(|(built, outcome)| Done::of_build(Arc::new(built), outcome))
            }
            Task::Package { node, built, fresh } => {
                let inputs = ProductInputs {
                    plan: self.plan,
                    node: &node,
                    built: &built,
                    fresh: &fresh,
                    started: self.started,
                    memory,
                };
                product_output(self.shop, &inputs)?.map(|output| Done::of_output(Some(output)))
            }
            Task::BasePackage(base) => {
                base_output(self.shop, self.plan, &base, memory)?.map(Done::of_output)
            }
        })
    }

    /// Takes note of how a piece of work ended, and tells.
    fn note(&self, number: usize, done: Result<Done, BuildError>, elapsed: Duration) {
        let work = &self.work[number];
        let mut row = Row {
            work: work.clone(),
            outcome: Outcome::Failed,
            elapsed,
            rpms: None,
        };
        let mut guard = self.state();
        guard.running.remove(&number);
        let error = match done {
            Ok(done) => {
                self.keep(number, done, &mut row, &mut guard);
                None
            }
            Err(BuildError::Cancelled) => {
                row.outcome = Outcome::Cancelled;
                None
            }
            Err(error) => {
                guard.queue.fail(number);
                Some(error)
            }
        };
        // Told before the others may go on, so that what needs this comes later in every report.
        let event = Event::WorkEnded {
            row: &row,
            error: error.as_ref(),
        };
        self.shop.report.tell(&event);
        guard.rows[number] = Some(row);
        let Some(error) = error else { return };
        guard.failures.push(error);
        if self.on_failure == OnFailure::Stop && !guard.running.is_empty() {
            let running = guard
                .running
                .iter()
                .map(|number| self.work[*number].clone());
            let running: Vec<Work> = running.collect();
            self.shop.report.tell(&Event::Finishing { work: &running });
        }
    }

    /// Keeps what a piece of work yielded, for the row, for those who wait for it and for later runs.
    fn keep(&self, number: usize, done: Done, row: &mut Row, state: &mut State) {
        let work = &self.work[number];
        row.rpms = done.output.as_ref().map(Output::totals);
        if done.outcome == Outcome::Cached {
            row.elapsed = done.last.map_or(Duration::ZERO, |last| last.elapsed());
        }
        row.outcome = done.outcome;
        if let Some(last) = done.last {
            self.past.latest().note(work, last);
        }
        if let (Some(built), Work::Build(node)) = (done.built, work) {
            if row.outcome == Outcome::Built {
                state.fresh.insert(node.clone());
            }
            state.built.insert(node.clone(), built);
        }
        if let Some(output) = done.output {
            state.outputs.insert(work.clone(), output);
        }
        state.queue.end(number);
    }

    /// Accounts for what was not begun, and puts everything in order.
    fn finish(self) -> Finished {
        let state = self.state.into_inner();
        let state = state.unwrap_or_else(PoisonError::into_inner);
        if let Some(panic) = state.panic {
            resume_unwind(panic);
        }
        let not_begun = |(number, work): (usize, &Work)| {
            let outcome = match state.queue.blocked_by(number) {
                Some(by) => Outcome::Blocked {
                    by: self.work[by].clone(),
                },
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
        };
        let numbered = self.work.iter().enumerate().zip(state.rows);
        let rows = numbered.map(|(work, row)| row.unwrap_or_else(|| not_begun(work)));
        Finished {
            rows: rows.collect(),
            outputs: state.outputs,
            failures: state.failures,
            is_cancelled: self.shop.cancel.is_cancelled(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
