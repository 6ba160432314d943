//! Files that two recipes' packages both own, as far as the recipes alone say so: both could not be
//! installed on one host.
//!
//! Certain are paths without wildcards, ghosts, and files of a recipe's own. Directories may have many
//! owners: those of `directories`, those that a longer path of any package passes through. Packages that
//! exclude each other may share what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use kiln_model::recipe::{GhostKind, NodePath, Package};
use kiln_model::{Dependency, PackageName, Recipe, RecipeName};

use crate::claim::Rule;
use crate::site::Site;

/// One file of two recipes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{path}` belongs to two products: to {first}, and to {second}")]
pub struct FileClash {
    /// The file.
    pub path: String,
    /// One owner.
    pub first: FileOwner,
    /// The other.
    pub second: FileOwner,
}

/// A package, and what of it claims a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOwner {
    /// The recipe.
    pub recipe: RecipeName,
    /// The package.
    pub package: PackageName,
    claimed: Claimed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Claimed {
    By(Rule),
    /// A file of the recipe's own, by where it is installed.
    Install(String),
}

impl fmt::Display for FileOwner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "package `{}` of recipe `{}`", self.package, self.recipe)
    }
}

impl FileClash {
    /// Returns the two claims.
    #[must_use]
    pub fn sites(&self) -> Vec<Site> {
        let site = |owner: &FileOwner| match &owner.claimed {
            Claimed::By(rule) => rule.site(&owner.recipe),
            Claimed::Install(to) => {
                let package = NodePath::top().key("packages");
                let package = package.with("name", owner.package.as_str());
                Site::recipe(
                    &owner.recipe,
                    package.key("install").with("to", to.as_str()),
                )
            }
        };
        vec![site(&self.first), site(&self.second)]
    }
}

/// Returns every file that packages of two recipes own.
pub(crate) fn file_clashes<'a>(recipes: impl Iterator<Item = &'a Recipe>) -> Vec<FileClash> {
    let mut owners: BTreeMap<String, Vec<(FileOwner, &Package)>> = BTreeMap::new();
    for recipe in recipes {
        for package in &recipe.packages {
            for (path, claimed) in claims(package) {
                let owner = FileOwner {
                    recipe: recipe.name.clone(),
                    package: package.name.clone(),
                    claimed,
                };
                owners.entry(path).or_default().push((owner, package));
            }
        }
    }
    let folders = folders(owners.keys());
    let files = owners
        .iter()
        .filter(|(path, _)| !folders.contains(path.as_str()));
    files
        .filter_map(|(path, owners)| clash(path, owners))
        .collect()
}

/// Returns the first two owners that can not both be right.
fn clash(path: &str, owners: &[(FileOwner, &Package)]) -> Option<FileClash> {
    let (first, package) = owners.first()?;
    let is_other = |(owner, other): &&(FileOwner, &Package)| {
        owner.recipe != first.recipe && !excludes(package, other) && !excludes(other, package)
    };
    let (second, _) = owners.iter().find(is_other)?;
    Some(FileClash {
        path: path.to_owned(),
        first: first.clone(),
        second: second.clone(),
    })
}

/// Returns whether `package` can not be installed beside `other`, or takes its place.
fn excludes(package: &Package, other: &Package) -> bool {
    let name = |dependency: &Dependency| dependency.as_str().split(' ').next().map(str::to_owned);
    let mut others: BTreeSet<String> = other.provides.iter().filter_map(name).collect();
    others.insert(other.name.to_string());
    let mut all = package.conflicts.iter().chain(&package.obsoletes);
    all.any(|dependency| name(dependency).is_some_and(|name| others.contains(&name)))
}

/// Returns the paths that are certainly the package's.
fn claims(package: &Package) -> Vec<(String, Claimed)> {
    let by = |key, text: &str| {
        let rule = Rule::new(&package.name, key, text);
        (text.to_owned(), Claimed::By(rule))
    };
    let mut claims = Vec::new();
    for (key, patterns) in package.claims() {
        let plain = patterns.taking().map(|pattern| pattern.as_str());
        let plain = plain.filter(|text| is_plain(text) && patterns.takes(text).is_some());
        claims.extend(plain.map(|text| by(key, text)));
    }
    let is_file = |kind: GhostKind| matches!(kind, GhostKind::File);
    let ghosts = package.ghost.iter().filter(|ghost| is_file(ghost.kind));
    claims.extend(ghosts.map(|ghost| by("ghost", ghost.path.as_str())));
    let installed = package.services.install.iter().map(|item| item.to.as_str());
    claims.extend(installed.map(|to| (to.to_owned(), Claimed::Install(to.to_owned()))));
    claims
}

fn is_plain(pattern: &str) -> bool {
    !pattern.contains(['*', '?', '[', ']', '{', '}', '\\'])
}

/// Returns every path that another one lies below.
fn folders<'a>(paths: impl Iterator<Item = &'a String>) -> BTreeSet<&'a str> {
    let mut folders = BTreeSet::new();
    for path in paths {
        let mut rest = path.as_str();
        while let Some((folder, _)) = rest.rsplit_once('/') {
            folders.insert(folder);
            rest = folder;
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Makes a recipe with one package of its name, from the lines of that.
    fn recipe(name: &str, package: &str) -> Recipe {
        let text = format!(
            "schema: 1\nname: {name}\nversion: \"1\"\nrelease: 1\nsummary: x\nlicense: MIT\n\
             homepage: https://example.org\nidentity: {{supplier: x}}\nbase: b\nsources:\n  \
             - {{url: \"https://example.org/{name}.tar\", sha256: \"{}\", released: 2020-01-01}}\n\
             steps: {{use: make}}\npackages:\n  - {{name: {name}, {package}}}\n",
            "0".repeat(64)
        );
        Recipe::parse(text.as_bytes(), name).unwrap()
    }

    /// Compares what clashes between packages `a` and `b`.
    #[track_caller]
    fn check(a: &str, b: &str, expected: &[&str]) {
        let recipes = [recipe("a", a), recipe("b", b)];
        let clashes = file_clashes(recipes.iter());
        let paths: Vec<&str> = clashes.iter().map(|clash| clash.path.as_str()).collect();
        assert_eq!(paths, expected, "{a} beside {b}");
        assert!(clashes.iter().all(|clash| clash.sites().len() == 2));
    }

    #[test]
    fn a_file_has_one_product() {
        check(
            "files: [/usr/bin/x]",
            "files: [/usr/bin/x, /usr/bin/y]",
            &["/usr/bin/x"],
        );
        check(
            "config: [/etc/x.conf]",
            "ghost: [{path: /etc/x.conf}], requires: [x]",
            &["/etc/x.conf"],
        );
        let install = "install: [{file: f, to: /usr/lib/x}], requires: [x]";
        check(install, "docs: [/usr/lib/x]", &["/usr/lib/x"]);
        check("files: [/usr/bin/x]", "files: [/usr/bin/y]", &[]);
    }

    #[test]
    fn a_directory_may_have_many() {
        let files = "files: [/usr/share/x/a], directories: [/usr/share/x]";
        check(
            files,
            "files: [/usr/share/x/b], directories: [/usr/share/x]",
            &[],
        );
        check(
            "files: [/usr/share/x]",
            "files: [/usr/share/x, /usr/share/x/y]",
            &[],
        );
        let ghost = "ghost: [{path: /run/x, kind: directory}], requires: [x]";
        check(ghost, ghost, &[]);
    }

    #[test]
    fn what_depends_on_a_build_is_left_to_it() {
        check(
            "files: [\"/usr/share/x/**\"]",
            "files: [\"/usr/share/x/**\"]",
            &[],
        );
        check("files: [/usr/bin/x]", "files: [\"/usr/bin/*\"]", &[]);
        let taken_back = "files: [/usr/bin/x, /usr/bin/y, \"!/usr/bin/x\"]";
        check("files: [/usr/bin/x]", taken_back, &[]);
    }

    #[test]
    fn packages_that_exclude_each_other_may_share() {
        check(
            "files: [/usr/bin/x], conflicts: [b]",
            "files: [/usr/bin/x]",
            &[],
        );
        check(
            "files: [/usr/bin/x]",
            "files: [/usr/bin/x], obsoletes: [a < 2]",
            &[],
        );
        let kind = "files: [/usr/bin/x], provides: [kind], conflicts: [kind]";
        check(kind, kind, &[]);
        check(
            "files: [/usr/bin/x], conflicts: [c]",
            "files: [/usr/bin/x]",
            &["/usr/bin/x"],
        );
    }

    #[test]
    fn both_owners_are_named() {
        let recipes = [
            recipe("a", "files: [/usr/bin/x]"),
            recipe("b", "files: [/usr/bin/x]"),
        ];
        let clashes = file_clashes(recipes.iter());
        assert_eq!(
            clashes[0].to_string(),
            "`/usr/bin/x` belongs to two products: to package `a` of recipe `a`, and to package `b` of recipe `b`"
        );
    }
}
