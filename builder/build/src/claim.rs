//! By which rule of its recipe a package takes an installed path, and what rpm is told about it.
//!
//! `files`, `config`, `config-replaced` and `docs` claim by pattern, `ghost` by path, and `directories`
//! empty directories; a path that one of them claims needs no other. The last three classes and `ghost`
//! exclude each other.

use std::fmt;

use kiln_model::recipe::{NodePath, Package};
use kiln_model::{PackageName, Recipe, RecipeName};

use crate::site::Site;

/// One rule of a package: the key that it stands under, and its text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// The package.
    pub package: PackageName,
    /// `files`, `config`, `config-replaced`, `docs`, `directories`, `ghost` or `attributes`.
    pub key: &'static str,
    /// The pattern or path, with its `!`.
    pub text: String,
}

impl Rule {
    pub(crate) fn new(package: &PackageName, key: &'static str, text: &str) -> Self {
        Self {
            package: package.clone(),
            key,
            text: text.to_owned(),
        }
    }

    /// Returns where the recipe has it.
    #[must_use]
    pub fn site(&self, recipe: &RecipeName) -> Site {
        let package = NodePath::top()
            .key("packages")
            .with("name", self.package.as_str());
        let list = package.key(self.key);
        let path = match self.key {
            "ghost" => list.with("path", self.text.as_str()),
            "attributes" => list.with("files", self.text.as_str()),
            _ => list.item(self.text.as_str()),
        };
        Site::recipe(recipe, path)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` in `{}` of `{}`", self.text, self.key, self.package)
    }
}

/// What rpm is told about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum FileClass {
    /// Configuration that stays as it was changed.
    Config,
    /// Configuration that is replaced.
    ConfigReplaced,
    /// Documentation.
    Documentation,
    /// Not shipped.
    Ghost,
}

/// A class, the rule that gives it, and a second one where there is a contradiction.
pub(crate) type Classes = Vec<(FileClass, Rule)>;

/// Returns the rule by which `package` takes the file, link or empty directory `path`.
pub(crate) fn claim(package: &Package, path: &str) -> Option<Rule> {
    let lists = package.claims().into_iter();
    let by_pattern = lists.filter_map(|(key, patterns)| {
        let rule = patterns.takes(path)?;
        Some(Rule::new(&package.name, key, rule.as_str()))
    });
    let mut by_directory = package.directories.iter().filter(|p| p.matches(path));
    by_pattern.chain(ghost(package, path)).next().or_else(|| {
        Some(Rule::new(
            &package.name,
            "directories",
            by_directory.next()?.as_str(),
        ))
    })
}

/// Returns the rule by which any package of the recipe takes `path`.
pub(crate) fn claim_in(recipe: &Recipe, path: &str) -> Option<Rule> {
    let mut packages = recipe.packages.iter();
    packages.find_map(|package| claim(package, path))
}

fn ghost(package: &Package, path: &str) -> Option<Rule> {
    let mut paths = package.ghost.iter().map(|ghost| ghost.path.as_str());
    let found = paths.find(|ghost| *ghost == path)?;
    Some(Rule::new(&package.name, "ghost", found))
}

/// Returns every class that `package` gives to `path`: more than one is a contradiction.
pub(crate) fn classes(package: &Package, path: &str) -> Classes {
    let class = |key: &str| match key {
        "config" => Some(FileClass::Config),
        "config-replaced" => Some(FileClass::ConfigReplaced),
        "docs" => Some(FileClass::Documentation),
        _ => None,
    };
    let by_pattern = package.claims().into_iter().filter_map(|(key, patterns)| {
        let class = class(key)?;
        let rule = patterns.takes(path)?;
        Some((class, Rule::new(&package.name, key, rule.as_str())))
    });
    let ghost = ghost(package, path).map(|rule| (FileClass::Ghost, rule));
    by_pattern.chain(ghost).collect()
}
