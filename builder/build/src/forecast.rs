//! What a run would do, why, and how long that would take by what it took before.
//!
//! Nothing runs here, and nothing is fetched. What waits for something that is built first may turn out
//! not to be needed: a library that is built to the same bytes changes nothing for those who bundle it.

use std::time::Duration;

use crate::error::BuildError;
use crate::graph::NodeId;
use crate::latest::Latest;
use crate::memory::{Memory, base_key, product_key};
use crate::plan::Plan;
use crate::queue::span;
use crate::schedule::workers;
use crate::stage::Product;
use crate::why::{Comparison, Judge, Need};
use crate::work::{Work, all_work, pieces_of};
use crate::workshop::Workshop;

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forecast {
    /// Every piece of work, in build order.
    pub pieces: Vec<Foreseen>,
    /// How long it would take.
    pub estimate: Estimate,
}

/// What would become of one piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreseen {
    /// Which.
    pub work: Work,
    /// Why it would be done, in a word or two; `None` for what is there already.
    pub reason: Option<String>,
    /// How long it took the last time.
    pub last: Option<Duration>,
}

/// How long a run would take, by what its pieces took the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// From start to end, of the pieces that were done before; `None` where there is no such piece.
    pub known: Option<Duration>,
    /// Pieces that would be done and never were: nothing is known of them.
    pub unknown: usize,
    /// How many pieces are done side by side.
    pub workers: usize,
}

impl Plan {
    /// Foresees what a run would do with this plan.
    ///
    /// # Errors
    /// A store, a lockfile or an `out/` that can not be read.
    pub fn forecast(&self, shop: &Workshop<'_>) -> Result<Forecast, BuildError> {
        let latest = Latest::load(shop.store, shop.output)?;
        let mut seer = Seer {
            shop,
            judge: Judge {
                shop,
                plan: self,
                latest: &latest,
            },
            memory: Memory::load(shop.store, shop.output, shop.program)?,
        };
        let work = all_work(self);
        let pieces = work.iter().map(|work| seer.foresee(work));
        let pieces = pieces.collect::<Result<Vec<_>, _>>()?;
        let estimate = estimate(self, &work, &pieces, workers(shop.jobs));
        Ok(Forecast { pieces, estimate })
    }
}

/// Adds up times along the graph, as the workers would.
fn estimate(plan: &Plan, work: &[Work], pieces: &[Foreseen], workers: usize) -> Estimate {
    let (mut known, mut unknown) = (0, 0);
    for piece in pieces.iter().filter(|piece| piece.reason.is_some()) {
        match piece.last {
            Some(_) => known += 1,
            None => unknown += 1,
        }
    }
    let lengths = pieces
        .iter()
        .map(|piece| match (&piece.reason, piece.last) {
            (Some(_), Some(last)) => last,
            _ => Duration::ZERO,
        });
    let mut pieces = pieces_of(plan, work, |_| Duration::ZERO);
    for (piece, length) in pieces.iter_mut().zip(lengths) {
        piece.length = length;
    }
    Estimate {
        known: (known > 0).then(|| span(&pieces, workers)),
        unknown,
        workers,
    }
}

struct Seer<'a> {
    shop: &'a Workshop<'a>,
    judge: Judge<'a>,
    memory: Memory,
}

impl Seer<'_> {
    fn foresee(&mut self, work: &Work) -> Result<Foreseen, BuildError> {
        let last = self.judge.latest.of(work).map(|last| last.elapsed());
        let reason = match work {
            Work::Build(node) if self.judge.plan.built.contains_key(node) => None,
            Work::Build(node) => Some(self.judge.build(node)?.short()),
            Work::Package(node) => self.packaging(node)?,
            Work::BasePackage(base) => {
                let plan = self.judge.plan;
                let node = plan.base_packages().get(base).copied();
                node.map_or(Ok(None), |node| self.base_packaging(work, node))?
            }
            Work::Repository => None,
        };
        Ok(Foreseen {
            work: work.clone(),
            reason,
            last,
        })
    }

    /// Returns why a product would be packaged.
    fn packaging(&mut self, node: &NodeId) -> Result<Option<String>, BuildError> {
        let plan = self.judge.plan;
        if plan.built.contains_key(node) {
            let product = Product {
                node,
                graph: &plan.graph,
                built: &plan.built,
            };
            let key = product_key(self.shop, &product, plan)?;
            let name = node.recipe.as_str();
            if self.memory.unchanged(name, key, &plan.released).is_some() {
                return Ok(None);
            }
        }
        // What keeps it from being packaged is said by a build, with all that belongs to it.
        let Ok(explanation) = self.judge.package(node) else {
            return Ok(Some("to be checked".to_owned()));
        };
        Ok((explanation.need != Need::Nothing).then(|| explanation.short()))
    }

    /// Returns why the package of a base image would be made.
    fn base_packaging(&mut self, work: &Work, node: &NodeId) -> Result<Option<String>, BuildError> {
        let plan = self.judge.plan;
        let rootfs = &plan.rootfs[node];
        let Work::BasePackage(base) = work else {
            return Ok(None);
        };
        let key = base_key(self.shop, base, rootfs)?;
        if self
            .memory
            .unchanged(&work.name(), key, &plan.released)
            .is_some()
        {
            return Ok(None);
        }
        Ok(match self.judge.base_package(work, rootfs)? {
            None => None,
            Some(Comparison::NeverDone) => Some("new".to_owned()),
            Some(Comparison::Same { missing }) => {
                (!missing.is_empty()).then(|| "result lost".to_owned())
            }
            Some(_) => Some("inputs changed".to_owned()),
        })
    }
}
