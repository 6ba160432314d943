//! Which recipe takes which library from where: every choice of a project side by side.
//!
//! A row for each library, a column for each recipe that was asked for. A recipe's libraries are those
//! that it declares and those that come along with what it bundles. Everything is sorted by name, and
//! nothing but the project's files is looked at.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::recipe::{Choice, Decision, Distribution, Link, MissingPin, Origin};
use kiln_model::{
    BaseName, DistributionPackage, LibraryName, PackageName, Recipe, RecipeName, Version,
};

use crate::graph::GraphError;
use crate::project::Project;

/// The choices of some recipes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// The recipes that were asked for, by name.
    pub recipes: Vec<RecipeState>,
    /// The recipes that these bundle, directly or not, by name.
    pub bundled: Vec<RecipeState>,
    /// Each library with those of the recipes that use it, and how.
    pub libraries: BTreeMap<LibraryName, BTreeMap<RecipeName, Vec<LibraryUse>>>,
}

/// What a recipe makes of what, and what keeps it from being built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeState {
    /// Its name.
    pub name: RecipeName,
    /// The version that it builds.
    pub version: Version,
    /// The library that it builds, by its canonical name.
    pub library: LibraryName,
    /// The base image that it is built in.
    pub base: BaseName,
    /// Its RPM packages, in its own order.
    pub packages: Vec<PackageName>,
    /// Where its sources come from.
    pub sources: Vec<SourceState>,
    /// What its own sources lack to be pinned.
    pub missing: Vec<MissingPin>,
    /// The recipes that it bundles, directly or not, and that lack something themselves.
    pub unpinned: Vec<RecipeName>,
}

/// One source of a recipe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceState {
    /// Its address.
    pub address: String,
    /// The tag or commit of a git source.
    pub revision: Option<String>,
}

/// How a recipe uses a library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LibraryUse {
    /// Where it comes from.
    pub origin: LibraryOrigin,
    /// How it ends up in the result.
    pub link: Link,
    /// Why; of the nearest recipe that says so.
    pub decision: Decision,
    /// The bundled recipes that declare it; empty where the recipe itself does.
    pub through: Vec<RecipeName>,
}

/// Where a library comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LibraryOrigin {
    /// A recipe builds it.
    Bundle {
        /// The recipe.
        recipe: RecipeName,
        /// The version that it builds.
        version: Version,
    },
    /// The operating system has it.
    System {
        /// Its development package, by distribution.
        package: BTreeMap<Distribution, DistributionPackage>,
    },
    /// The recipe's source tree has a copy.
    Vendored {
        /// Its folder there.
        path: String,
        /// Its version, where somebody knows it.
        version: Option<Version>,
    },
}

impl RecipeState {
    /// Returns whether everything that it is made of is pinned.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.missing.is_empty() && self.unpinned.is_empty()
    }

    fn new(project: &Project, recipe: &Recipe) -> Self {
        let bundled = reached(project, &recipe.name);
        let lacks = |name: &&RecipeName| project.recipes[*name].recipe.pins().is_err();
        Self {
            name: recipe.name.clone(),
            version: recipe.version.clone(),
            library: recipe.identity.library.clone(),
            base: recipe.base.clone(),
            packages: recipe.packages.iter().map(|p| p.name.clone()).collect(),
            sources: sources(recipe),
            missing: recipe.pins().err().unwrap_or_default().to_vec(),
            unpinned: bundled
                .iter()
                .skip(1)
                .filter(lacks)
                .cloned()
                .collect::<BTreeSet<_>>()
                .into_iter()
                .collect(),
        }
    }
}

fn sources(recipe: &Recipe) -> Vec<SourceState> {
    let state = |origin: &Origin| match origin {
        Origin::File { url, .. } => SourceState {
            address: url.to_string(),
            revision: None,
        },
        Origin::Git(git) => {
            let commit = git.commit.as_ref().map(ToString::to_string);
            SourceState {
                address: git.repository.to_string(),
                revision: git.tag.as_ref().map(ToString::to_string).or(commit),
            }
        }
    };
    recipe
        .declared
        .iter()
        .map(|source| state(&source.origin))
        .collect()
}

impl Matrix {
    /// Looks at `wanted`, and at everything that they bundle.
    ///
    /// # Errors
    /// `UnknownRecipe`, for a name that the project has not.
    pub fn new(project: &Project, wanted: &[RecipeName]) -> Result<Self, GraphError> {
        let wanted: BTreeSet<&RecipeName> = wanted.iter().collect();
        let unknown = |name: &&&RecipeName| !project.recipes.contains_key(**name);
        if let Some(name) = wanted.iter().find(unknown) {
            return Err(GraphError::UnknownRecipe {
                name: (*name).clone(),
                known: project.recipes.keys().cloned().collect(),
            });
        }
        let mut bundled = BTreeSet::new();
        let mut libraries: BTreeMap<LibraryName, BTreeMap<RecipeName, Vec<LibraryUse>>> =
            BTreeMap::new();
        for name in &wanted {
            for holder in reached(project, name) {
                for (library, used) in declared(project, &holder) {
                    let recipes = libraries.entry(library).or_default();
                    let uses = recipes.entry((*name).clone()).or_default();
                    add(uses, used, (holder != **name).then_some(&holder));
                }
                if holder != **name {
                    bundled.insert(holder);
                }
            }
        }
        let state = |name: &RecipeName| RecipeState::new(project, &project.recipes[name].recipe);
        Ok(Self {
            recipes: wanted.into_iter().map(state).collect(),
            bundled: bundled.iter().map(state).collect(),
            libraries,
        })
    }
}

/// Returns a recipe and all that it bundles, nearest first and by name; what is not there is left out.
fn reached(project: &Project, top: &RecipeName) -> Vec<RecipeName> {
    let mut reached = vec![top.clone()];
    let mut next = 0;
    while let Some(name) = reached.get(next) {
        next += 1;
        let loaded = project.recipes[name].recipe.bundled();
        let new: BTreeSet<RecipeName> = loaded
            .map(|(_, from, _)| from)
            .filter(|from| project.recipes.contains_key(*from) && !reached.contains(from))
            .cloned()
            .collect();
        reached.extend(new);
    }
    reached
}

/// Returns the libraries that a recipe declares, as uses of its own.
fn declared(project: &Project, name: &RecipeName) -> Vec<(LibraryName, LibraryUse)> {
    let libraries = project.recipes[name].recipe.libraries.iter();
    let used = libraries.filter_map(|(library, declared)| {
        let origin = match &declared.choice {
            Choice::Bundle { recipe, .. } => LibraryOrigin::Bundle {
                recipe: recipe.clone(),
                version: project.recipes.get(recipe)?.recipe.version.clone(),
            },
            Choice::System { package } => LibraryOrigin::System {
                package: package.clone(),
            },
            Choice::Vendored { path, version, .. } => LibraryOrigin::Vendored {
                path: path.clone(),
                version: version.clone(),
            },
        };
        let used = LibraryUse {
            origin,
            link: declared.link,
            decision: declared.decision.clone(),
            through: Vec::new(),
        };
        Some((library.clone(), used))
    });
    used.collect()
}

/// Adds a use to those of a recipe. What it says itself is not said again by what it bundles.
fn add(uses: &mut Vec<LibraryUse>, used: LibraryUse, holder: Option<&RecipeName>) {
    let is_same = |known: &&mut LibraryUse| known.origin == used.origin && known.link == used.link;
    let same = uses.iter_mut().find(is_same);
    match (same, holder) {
        (Some(known), Some(holder)) => {
            if !known.through.is_empty() {
                known.through.push(holder.clone());
                known.through.sort();
            }
        }
        (_, holder) => uses.push(LibraryUse {
            through: holder.cloned().into_iter().collect(),
            ..used
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A project in a folder, with what each recipe says beyond the usual.
    fn project(recipes: &[(&str, &str)]) -> (tempfile::TempDir, Project) {
        let folder = tempfile::tempdir().unwrap();
        let digest = "0".repeat(64);
        for (name, more) in recipes {
            let text = format!(
                "schema: 1\nname: {name}\nversion: \"1.0\"\nrelease: 1\nsummary: x\nlicense: MIT\n\
                 homepage: https://example.org\nidentity: {{supplier: x}}\nbase: b\nsteps: {{use: make}}\n\
                 changelog: [{{date: 2026-01-01, author: X <x@example.org>, changes: [x]}}]\n{more}"
            );
            let path = folder.path().join(format!("recipes/{name}"));
            fs_err::create_dir_all(&path).unwrap();
            fs_err::write(path.join("recipe.yaml"), text.replace("DIGEST", &digest)).unwrap();
        }
        let image = format!("schema: 1\nname: b\nlayout: x@sha256:{digest}\n");
        fs_err::create_dir_all(folder.path().join("base-images")).unwrap();
        fs_err::write(folder.path().join("base-images/b.yaml"), image).unwrap();
        let project = Project::load(folder.path()).unwrap();
        (folder, project)
    }

    const PINNED: &str = "sources: [{url: \"https://example.org/x.tar\", sha256: \"DIGEST\", released: 2020-01-01}]\n";
    const TAGGED: &str = "sources: [{git: \"https://example.org/x.git\", tag: v1}]\n";

    fn names(text: &[&str]) -> Vec<RecipeName> {
        text.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn shop() -> (tempfile::TempDir, Project) {
        project(&[
            (
                "shop",
                &format!(
                    "{TAGGED}libraries:\n  http: {{choice: bundle}}\n  zlib: {{choice: system, package: {{debian: zlib1g-dev}}}}\n"
                ),
            ),
            (
                "stall",
                &format!(
                    "{PINNED}libraries:\n  tls: {{choice: bundle, link: static, reason: small}}\n"
                ),
            ),
            (
                "http",
                &format!(
                    "{PINNED}libraries:\n  tls: {{choice: bundle}}\n  zlib: {{choice: system, package: {{debian: zlib1g-dev}}}}\n  idn: {{choice: system, package: {{debian: libidn-dev}}}}\n"
                ),
            ),
            ("tls", TAGGED),
        ])
    }

    #[test]
    fn what_is_bundled_brings_its_libraries_along() {
        let (_folder, project) = shop();
        let matrix = Matrix::new(&project, &names(&["stall", "shop"])).unwrap();
        let of = |library: &str, recipe: &str| {
            let recipes = &matrix.libraries[&library.parse::<LibraryName>().unwrap()];
            recipes.get(&recipe.parse::<RecipeName>().unwrap()).cloned()
        };
        let tls = of("tls", "shop").unwrap();
        assert_eq!(tls.len(), 1);
        assert_eq!(tls[0].through, names(&["http"]));
        let zlib = of("zlib", "shop").unwrap();
        assert_eq!(
            (zlib.len(), zlib[0].through.len()),
            (1, 0),
            "said by the recipe itself"
        );
        let tls = of("tls", "stall").unwrap();
        assert_eq!((tls[0].link, tls[0].through.len()), (Link::Static, 0));
        assert_eq!(tls[0].decision.reason.as_ref().unwrap().as_str(), "small");
        assert_eq!(of("idn", "stall"), None);
        let recipes: Vec<&str> = matrix.recipes.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(recipes, ["shop", "stall"]);
        let bundled: Vec<&str> = matrix.bundled.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(bundled, ["http", "tls"]);
    }

    #[test]
    fn what_is_missing_is_told_of_the_recipe_and_of_what_it_bundles() {
        let (_folder, project) = shop();
        let matrix = Matrix::new(&project, &names(&["shop", "stall", "http"])).unwrap();
        let [http, shop, stall] = &matrix.recipes[..] else {
            panic!("three were asked for");
        };
        assert_eq!((shop.missing.len(), &shop.unpinned), (1, &names(&["tls"])));
        assert_eq!(shop.sources[0].revision.as_deref(), Some("v1"));
        assert_eq!(
            (stall.missing.len(), &stall.unpinned),
            (0, &names(&["tls"]))
        );
        assert!(!http.is_pinned());
    }

    #[test]
    fn a_name_that_is_not_there_is_an_error() {
        let (_folder, project) = shop();
        let error = Matrix::new(&project, &names(&["shop", "ship"])).unwrap_err();
        assert!(matches!(error, GraphError::UnknownRecipe { name, .. } if name.as_str() == "ship"));
    }
}
