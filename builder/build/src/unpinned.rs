//! The state *unpinned*: a recipe whose sources are not all pinned, or that bundles such a one.
//!
//! Everything but building works on it. What builds by default leaves it out and says so; what names it
//! is refused, with what is missing.

use std::collections::BTreeSet;
use std::fmt;

use kiln_model::RecipeName;
use kiln_model::recipe::MissingPin;

use crate::error::BuildError;
use crate::graph::Graph;
use crate::project::{Project, SOURCES_OF};
use crate::site::Site;

/// Why a recipe can not be built yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unpinned {
    /// From the recipe, by what bundles what, to the one that is unpinned itself; often only one.
    pub path: Vec<RecipeName>,
    /// What that one lacks; at least one thing.
    pub missing: Vec<MissingPin>,
}

impl Unpinned {
    /// Returns the recipe that can not be built.
    #[must_use]
    pub fn recipe(&self) -> &RecipeName {
        self.path.first().expect("a path has a start")
    }

    /// Returns the recipe that is unpinned itself.
    #[must_use]
    pub fn culprit(&self) -> &RecipeName {
        self.path.last().expect("a path has an end")
    }

    /// Returns what is missing, in words: `the commit of tag release-129 in https://…`.
    #[must_use]
    pub fn lacks(&self) -> String {
        let missing: Vec<String> = self.missing.iter().map(ToString::to_string).collect();
        missing.join(", ")
    }

    /// Returns what the recipe bundles on the way to what is unpinned: `bundles b, which bundles c`;
    /// `None` when it is unpinned itself.
    #[must_use]
    pub fn through(&self) -> Option<String> {
        let below = self.path.get(1..)?;
        let names: Vec<&str> = below.iter().map(RecipeName::as_str).collect();
        (!names.is_empty()).then(|| format!("bundles {}", names.join(", which bundles ")))
    }

    /// Returns recipe and reason for a table: `astaire: lacks the commit of tag release-129 in …`.
    #[must_use]
    pub fn in_short(&self) -> String {
        let (recipe, lacks) = (self.recipe(), self.lacks());
        match self.through() {
            None => format!("{recipe}: lacks {lacks}"),
            Some(through) => format!("{recipe}: {through}, which lacks {lacks}"),
        }
    }

    /// Returns the sources that it is about.
    pub(crate) fn sites(&self) -> Vec<Site> {
        let site = |pin: &MissingPin| Site::recipe(self.culprit(), pin.node_path());
        self.missing.iter().map(site).collect()
    }

    /// Returns what to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let name = self.culprit();
        if self.missing.iter().all(|pin| !pin.is_for_lock()) {
            return "add `released` to the source, a `changelog` entry or `source-date`: nothing else may \
                    stand in for the clock"
                .to_owned();
        }
        format!(
            "run `kiln lock {name}` where the source can be reached, and take \
             lockfiles/{name}-{SOURCES_OF}.lock over; everything but building works without"
        )
    }
}

impl fmt::Display for Unpinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (recipe, lacks) = (self.recipe(), self.lacks());
        match self.through() {
            None => write!(f, "recipe `{recipe}` is unpinned: it lacks {lacks}"),
            Some(through) => write!(
                f,
                "recipe `{recipe}` {through}, which is unpinned: it lacks {lacks}"
            ),
        }
    }
}

impl Project {
    /// Returns why a recipe can not be built yet; `None` when everything in it is pinned. What is not in
    /// the project is somebody else's complaint.
    #[must_use]
    pub fn unpinned(&self, name: &RecipeName) -> Option<Unpinned> {
        self.unpinned_below(name, &mut Vec::new(), &mut BTreeSet::new())
    }

    fn unpinned_below<'a>(
        &'a self,
        name: &'a RecipeName,
        path: &mut Vec<&'a RecipeName>,
        seen: &mut BTreeSet<&'a RecipeName>,
    ) -> Option<Unpinned> {
        let recipe = &self.recipes.get(name)?.recipe;
        // By each of many ways it is the same; recipes that bundle each other are refused elsewhere.
        if !seen.insert(name) {
            return None;
        }
        path.push(name);
        let found = match recipe.pins() {
            Err(missing) => Some(Unpinned {
                path: path.iter().copied().cloned().collect(),
                missing: missing.to_vec(),
            }),
            Ok(_) => recipe
                .bundled()
                .find_map(|(_, from, _)| self.unpinned_below(from, path, seen)),
        };
        path.pop();
        found
    }
}

/// Returns whether what builds by default leaves a recipe out. A lockfile that can not be read is no
/// reason: whoever builds is to be told of it.
pub(crate) fn is_left_out(project: &Project, name: &RecipeName) -> bool {
    why_left_out(project, name).is_some()
}

fn why_left_out(project: &Project, name: &RecipeName) -> Option<Unpinned> {
    let unpinned = project.unpinned(name)?;
    let lock = project.recipe_lock(unpinned.culprit(), SOURCES_OF);
    lock.is_ok().then_some(unpinned)
}

/// Returns all recipes that are left out, by name: products, and libraries that are unpinned themselves.
#[must_use]
pub fn left_out(project: &Project) -> Vec<Unpinned> {
    let names = project.recipes.keys();
    names
        .filter_map(|name| why_left_out(project, name))
        .collect()
}

/// Refuses a graph with an unpinned recipe in it, and names the product that needs it.
pub(crate) fn refuse_unpinned(project: &Project, graph: &Graph) -> Result<(), BuildError> {
    let products = graph.order.iter().rev();
    let mut all = products.filter_map(|node| project.unpinned(&node.recipe));
    let Some(unpinned) = all.next() else {
        return Ok(());
    };
    // A lockfile that can not be read says more than what it does not say.
    project.recipe_lock(unpinned.culprit(), SOURCES_OF)?;
    Err(BuildError::Unpinned(Box::new(unpinned)))
}
