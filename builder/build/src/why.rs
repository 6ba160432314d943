//! Why something would be built: each piece of work with its inputs, beside those of its last result.
//!
//! The last result is the one that was last used for this `out/` folder ([`crate::latest`]); its inputs are
//! a blob of the store, named by its key. Nothing runs here, and nothing is fetched.

mod change;

use std::collections::BTreeSet;

use kiln_model::{DiffId, RecipeName};
use serde_json::Value;

pub use change::{Change, ChangeKind};

use crate::compile::{BUILT_FORMAT, BuildInputs, Built, is_product};
use crate::error::BuildError;
use crate::graph::{Graph, NodeId};
use crate::key::{BuildKey, KeyInputs};
use crate::kiln_base::base_package_inputs;
use crate::latest::{Last, Latest};
use crate::outputs::all_recipes;
use crate::package::{self, CERTAIN, certain_inputs, planned_inputs};
use crate::plan::Plan;
use crate::rootfs::Rootfs;
use crate::stage::Product;
use crate::work::Work;
use crate::workshop::Workshop;
use change::{Circumstance, changes};

/// What would happen to a piece of work, and how its inputs differ from those of its last result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Which.
    pub work: Work,
    /// What a build would do.
    pub need: Need,
    /// What became of its inputs.
    pub past: Comparison,
}

/// What a build would do with a piece of work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// Nothing: the store has the result of these inputs.
    Nothing,
    /// Its steps run.
    Runs,
    /// It is known when these are built: what they install is an input.
    Waits {
        /// What comes before it.
        awaited: Vec<Awaited>,
    },
}

/// Something whose result is an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Awaited {
    /// What is built first.
    pub node: NodeId,
    /// What the last result was made with. If it is the same again, nothing follows from the build.
    pub destdir: Option<DiffId>,
}

/// What became of the inputs of a piece of work since its last result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// There is no last result.
    NeverDone,
    /// They are what they were.
    Same {
        /// What the store lacks of the result; empty if it has all of it.
        missing: Vec<&'static str>,
    },
    /// They differ; of what waits for others, as far as one can say.
    Changed {
        /// What people wrote before what follows from it.
        changes: Vec<Change>,
    },
    /// They differ, but the store does not have the old ones any more.
    Forgotten,
}

impl Explanation {
    /// Returns why it would be done, in a word or two: `new`, `sources changed`, `openssl is built`.
    #[must_use]
    pub fn short(&self) -> String {
        match (&self.past, &self.need) {
            (Comparison::NeverDone, _) => "new".to_owned(),
            (Comparison::Changed { changes }, need) => match (changes.split_first(), need) {
                (Some((first, others)), _) => short_changes(first, others),
                (None, Need::Waits { awaited }) => match awaited.as_slice() {
                    [] => "what it needs is built".to_owned(),
                    [only] => format!("{} is built", only.node.recipe),
                    [first, others @ ..] => {
                        format!("{} and {} more are built", first.node.recipe, others.len())
                    }
                },
                (None, _) => "inputs changed".to_owned(),
            },
            (Comparison::Same { .. }, Need::Nothing) => "nothing changed".to_owned(),
            (Comparison::Same { .. }, _) => "result lost".to_owned(),
            (Comparison::Forgotten, _) => "inputs changed".to_owned(),
        }
    }
}

fn short_changes(first: &Change, others: &[Change]) -> String {
    let word = |change: &Change| change.kind.short(&change.name);
    let first = word(first);
    let others: BTreeSet<String> = others
        .iter()
        .map(word)
        .filter(|word| *word != first)
        .collect();
    match others.len() {
        0 => format!("{first} changed"),
        more => format!("{first} and {more} more changed"),
    }
}

/// Explains a recipe: everything that it is built of, then itself, then its packaging. A library that
/// only products bundle is explained as it is built for each of them.
///
/// # Errors
/// An unknown recipe, a lockfile that is missing or stale, or a store that can not be read.
pub fn why(shop: &Workshop<'_>, recipe: &RecipeName) -> Result<Vec<Explanation>, BuildError> {
    let graph = Graph::new(shop.project, &asked(shop, recipe)?)?;
    let nodes = nodes_of(&graph, recipe);
    let plan = Plan::new(shop, graph)?;
    let latest = Latest::load(shop.store, shop.output)?;
    let judge = Judge {
        shop,
        plan: &plan,
        latest: &latest,
    };
    let mut explanations = Vec::new();
    for node in &nodes {
        explanations.push(judge.build(node)?);
        if is_product(node) && node.recipe == *recipe {
            explanations.push(judge.package(node)?);
        }
    }
    Ok(explanations)
}

/// Returns the recipes whose graph has the nodes of `recipe`.
fn asked(shop: &Workshop<'_>, recipe: &RecipeName) -> Result<Vec<RecipeName>, BuildError> {
    let own = vec![recipe.clone()];
    Graph::new(shop.project, &own)?;
    let all = all_recipes(shop.project);
    Ok(if all.contains(recipe) { own } else { all })
}

/// Returns the nodes of a recipe and all that they are built of, in build order.
fn nodes_of(graph: &Graph, recipe: &RecipeName) -> Vec<NodeId> {
    let own = graph.order.iter().filter(|node| node.recipe == *recipe);
    let mut wanted: BTreeSet<NodeId> = BTreeSet::new();
    for node in own {
        wanted.extend(graph.closure(node));
        wanted.insert(node.clone());
    }
    let order = graph.order.iter();
    order
        .filter(|node| wanted.contains(node))
        .cloned()
        .collect()
}

/// Compares the pieces of work of a plan with their last results.
pub(crate) struct Judge<'a> {
    pub(crate) shop: &'a Workshop<'a>,
    pub(crate) plan: &'a Plan,
    pub(crate) latest: &'a Latest,
}

impl Judge<'_> {
    /// Explains the steps of a node.
    pub(crate) fn build(&self, node: &NodeId) -> Result<Explanation, BuildError> {
        let Self { shop, plan, latest } = self;
        let work = Work::Build(node.clone());
        let last = latest.of(&work);
        let (known, unknown): (Vec<NodeId>, Vec<NodeId>) = plan
            .graph
            .closure(node)
            .into_iter()
            .partition(|library| plan.built.contains_key(library));
        let known = known.into_iter().map(|library| {
            let built = plan.built[&library].clone();
            (library.to_string(), built)
        });
        let loaded = &shop.project.recipes[&node.recipe];
        let bundled: Vec<_> = known.collect();
        let inputs = BuildInputs {
            node,
            loaded,
            rootfs: &plan.rootfs[node],
            bundled: &bundled,
        };
        let inputs = inputs.key_inputs(shop);
        let circumstance = Circumstance {
            patches: patch_files(&loaded.recipe),
            unknown: unknown.iter().map(NodeId::to_string).collect(),
            known: None,
        };
        if unknown.is_empty() {
            let need = match plan.built.contains_key(node) {
                true => Need::Nothing,
                false => Need::Runs,
            };
            let past = self.compare(last, &inputs, &circumstance, || {
                missing_parts(shop, inputs.key())
            })?;
            return Ok(Explanation { work, need, past });
        }
        let before = last.and_then(|last| self.inputs_of(last));
        let libraries = plan.graph.edges[node].iter().map(|edge| &edge.node);
        let awaited = libraries.filter(|library| unknown.contains(library));
        let awaited = awaited.map(|library| Awaited {
            node: library.clone(),
            destdir: before.as_ref().and_then(|inputs| destdir(inputs, library)),
        });
        Ok(Explanation {
            need: Need::Waits {
                awaited: awaited.collect(),
            },
            past: waiting(last, before.as_ref(), &inputs, &circumstance),
            work,
        })
    }

    /// Explains the packaging of a product.
    pub(crate) fn package(&self, node: &NodeId) -> Result<Explanation, BuildError> {
        let Self { shop, plan, latest } = self;
        let work = Work::Package(node.clone());
        let last = latest.of(&work);
        let recipe = &shop.project.recipes[&node.recipe].recipe;
        let rootfs = &plan.rootfs[node];
        if !plan.built.contains_key(node) {
            let inputs = certain_inputs(shop, recipe, rootfs)?;
            let circumstance = Circumstance {
                known: Some(CERTAIN),
                ..Circumstance::default()
            };
            let before = last.and_then(|last| self.inputs_of(last));
            let awaited = Awaited {
                node: node.clone(),
                destdir: before.as_ref().and_then(|inputs| destdir(inputs, node)),
            };
            return Ok(Explanation {
                need: Need::Waits {
                    awaited: vec![awaited],
                },
                past: waiting(last, before.as_ref(), &inputs, &circumstance),
                work,
            });
        }
        let product = Product {
            node,
            graph: &plan.graph,
            built: &plan.built,
        };
        let inputs = planned_inputs(shop, &product, rootfs)?;
        let circumstance = Circumstance {
            patches: patch_files(recipe),
            ..Circumstance::default()
        };
        let need = match package::cached(shop, inputs.key())? {
            Some(_) => Need::Nothing,
            None => Need::Runs,
        };
        let missing = || match need {
            Need::Nothing => Ok(Vec::new()),
            _ => Ok(vec!["packages"]),
        };
        let past = self.compare(last, &inputs, &circumstance, missing)?;
        Ok(Explanation { work, need, past })
    }

    /// Compares what is known, without looking into it, of the package that a base image has beside
    /// products. `None` for a base image that has none.
    pub(crate) fn base_package(
        &self,
        work: &Work,
        rootfs: &Rootfs,
    ) -> Result<Option<Comparison>, BuildError> {
        let shop = self.shop;
        let lock = rootfs.base_lock();
        let Some((lock, date)) = lock.and_then(|lock| Some((lock, lock.archive.moment()?))) else {
            return Ok(None);
        };
        let Some(last) = self.latest.of(work) else {
            return Ok(Some(Comparison::NeverDone));
        };
        let Some(before) = self.inputs_of(last) else {
            return Ok(Some(Comparison::Forgotten));
        };
        let inputs = base_package_inputs(shop, lock, date)?;
        let circumstance = Circumstance {
            known: Some(CERTAIN),
            ..Circumstance::default()
        };
        let changes = changes(&before, &as_value(&inputs), &circumstance);
        if !changes.is_empty() {
            return Ok(Some(Comparison::Changed { changes }));
        }
        let missing = match package::cached(shop, last.key)? {
            Some(_) => Vec::new(),
            None => vec!["packages"],
        };
        Ok(Some(Comparison::Same { missing }))
    }

    /// Compares inputs that are all known with those of the last result.
    fn compare(
        &self,
        last: Option<Last>,
        inputs: &KeyInputs,
        circumstance: &Circumstance,
        missing: impl FnOnce() -> Result<Vec<&'static str>, BuildError>,
    ) -> Result<Comparison, BuildError> {
        let Some(last) = last else {
            return Ok(Comparison::NeverDone);
        };
        if last.key == inputs.key() {
            return Ok(Comparison::Same {
                missing: missing()?,
            });
        }
        let Some(before) = self.inputs_of(last) else {
            return Ok(Comparison::Forgotten);
        };
        Ok(Comparison::Changed {
            changes: changes(&before, &as_value(inputs), circumstance),
        })
    }

    /// Returns the inputs of a result; `None` when the store does not have them, or other bytes.
    fn inputs_of(&self, last: Last) -> Option<Value> {
        let bytes = self.shop.store.read_blob(&last.key.0).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// Compares what is known of inputs that are not all known.
fn waiting(
    last: Option<Last>,
    before: Option<&Value>,
    inputs: &KeyInputs,
    circumstance: &Circumstance,
) -> Comparison {
    match (last, before) {
        (None, _) => Comparison::NeverDone,
        (Some(_), None) => Comparison::Forgotten,
        (Some(_), Some(before)) => Comparison::Changed {
            changes: changes(before, &as_value(inputs), circumstance),
        },
    }
}

fn as_value(inputs: &KeyInputs) -> Value {
    serde_json::from_slice(&inputs.encode()).expect("it was encoded just now")
}

fn destdir(inputs: &Value, node: &NodeId) -> Option<DiffId> {
    let digest = inputs.get("bundled")?.get(node.to_string())?.as_str()?;
    digest.parse().ok().map(DiffId)
}

fn patch_files(recipe: &kiln_model::Recipe) -> Vec<String> {
    let patches = recipe.patches.iter();
    patches.map(|patch| patch.file.to_string()).collect()
}

/// Returns what the store lacks of the result of `key`: for people.
fn missing_parts(shop: &Workshop<'_>, key: BuildKey) -> Result<Vec<&'static str>, BuildError> {
    let bytes = shop.store.result(&key.0)?;
    let built = bytes.and_then(|bytes| serde_json::from_slice::<Built>(&bytes).ok());
    let Some(built) = built.filter(|built| built.format == BUILT_FORMAT && built.key == key) else {
        return Ok(vec!["the record of what came of it"]);
    };
    let parts = [
        ("what it installed", built.destdir.0),
        ("the list of installed files", built.files),
        ("the source files", built.sources.0),
    ];
    let missing = parts.iter().filter(|(_, blob)| !shop.store.contains(blob));
    Ok(missing.map(|(part, _)| *part).collect())
}

#[cfg(test)]
pub(crate) mod tests;
