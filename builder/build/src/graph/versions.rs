//! One product, one version of each library: two would lie in one folder and be loaded into one process.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::{LibraryName, RecipeName, Version};

use super::GraphError;
use crate::project::Project;

/// One of the recipes of one library that a recipe bundles, and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundledVersion {
    /// The recipe that builds it.
    pub recipe: RecipeName,
    /// The version that it builds.
    pub version: Version,
    /// The recipes from the one that bundles both down to `recipe`, both among them.
    pub path: Vec<RecipeName>,
    /// The library by which each recipe of the path bundles the next.
    pub libraries: Vec<LibraryName>,
}

impl BundledVersion {
    /// Returns the recipe that bundles this one, and as what.
    pub(crate) fn last_step(&self) -> (&RecipeName, &LibraryName) {
        let holder = self.path.len() - 2;
        (&self.path[holder], &self.libraries[holder])
    }
}

impl std::fmt::Display for BundledVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path: Vec<&str> = self.path.iter().map(RecipeName::as_str).collect();
        write!(
            f,
            "{} of recipe `{}` ({})",
            self.version,
            self.recipe,
            path.join(" -> ")
        )
    }
}

/// Everything that a recipe bundles: the shortest way to each recipe, by library.
type Bundled = BTreeMap<LibraryName, BTreeMap<RecipeName, BundledVersion>>;

/// Returns each library of which a recipe is the first to bundle two: what brings both along by itself is
/// reported for itself.
pub(super) fn two_versions(project: &Project, name: &RecipeName) -> Vec<GraphError> {
    let below = project.recipes.get(name).into_iter();
    let below = below.flat_map(|loaded| loaded.recipe.bundled());
    let below: Vec<Bundled> = below.map(|(_, from, _)| bundled(project, from)).collect();
    let is_new = |first: &RecipeName, second: &RecipeName, library: &LibraryName| {
        !below.iter().any(|part| {
            let recipes = part.get(library);
            recipes.is_some_and(|r| r.contains_key(first) && r.contains_key(second))
        })
    };
    let mut found = Vec::new();
    for (library, recipes) in bundled(project, name) {
        let mut recipes = recipes.into_values();
        let Some(first) = recipes.next() else {
            continue;
        };
        let seconds = recipes.filter(|second| is_new(&first.recipe, &second.recipe, &library));
        found.extend(seconds.map(|second| GraphError::TwoVersions {
            recipe: name.clone(),
            library: library.clone(),
            first: Box::new(first.clone()),
            second: Box::new(second),
        }));
    }
    found
}

/// Goes through what `top` bundles, nearest first; recipes that are not there are reported elsewhere.
fn bundled(project: &Project, top: &RecipeName) -> Bundled {
    let mut all = Bundled::new();
    let mut seen = BTreeSet::from([top.clone()]);
    let mut ways = vec![(vec![top.clone()], Vec::<LibraryName>::new())];
    while !ways.is_empty() {
        let mut further = Vec::new();
        for (path, libraries) in ways {
            let Some(loaded) = path.last().and_then(|name| project.recipes.get(name)) else {
                continue;
            };
            for (library, from, _) in loaded.recipe.bundled() {
                if !seen.insert(from.clone()) {
                    continue;
                }
                let (mut path, mut libraries) = (path.clone(), libraries.clone());
                path.push(from.clone());
                libraries.push(library.clone());
                if let Some(loaded) = project.recipes.get(from) {
                    let version = BundledVersion {
                        recipe: from.clone(),
                        version: loaded.recipe.version.clone(),
                        path: path.clone(),
                        libraries: libraries.clone(),
                    };
                    let recipes = all.entry(loaded.recipe.identity.library.clone());
                    recipes.or_default().insert(from.clone(), version);
                }
                further.push((path, libraries));
            }
        }
        ways = further;
    }
    all
}
