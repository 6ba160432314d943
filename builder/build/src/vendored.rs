//! Copies of libraries in source trees: nothing builds them for themselves, but what is in the packages is
//! theirs, too.

use kiln_model::recipe::{Choice, Decision, Link};
use kiln_model::{FilePattern, LibraryName, LicenseExpression, PackageName, RecipeName, Version};

use crate::evidence::Evidence;
use crate::graph::{NodeId, Prefix};
use crate::script::SOURCE_ROOT;
use crate::stage::{Product, Stage};
use crate::workshop::Workshop;

/// A copy of a library in the source tree of a recipe that is in a product.
#[derive(Debug, Clone)]
pub(crate) struct Vendored<'a> {
    /// What is built of the tree.
    node: NodeId,
    /// The recipe with the tree.
    pub(crate) consumer: &'a RecipeName,
    /// Whether that is the product's own, not that of a library that it bundles.
    pub(crate) is_own: bool,
    pub(crate) library: &'a LibraryName,
    /// Its folder in the tree.
    pub(crate) path: &'a str,
    /// The same as compilers see it.
    pub(crate) folder: String,
    pub(crate) license: Option<&'a LicenseExpression>,
    pub(crate) version: Option<&'a Version>,
    pub(crate) link: Link,
    pub(crate) decision: &'a Decision,
    /// Installed files that are it, where it is not linked into others.
    files: &'a [FilePattern],
}

impl Vendored<'_> {
    /// Returns the packages that it is in: with its files, with code of it as debug information tells, or,
    /// where there is no debug information, with programs and libraries that it may be in.
    pub(crate) fn packages(&self, stage: &Stage, evidence: &Evidence) -> Vec<PackageName> {
        let holders = evidence.holders(&self.folder);
        let is_in = |package: &&PackageName| match (self.link, &holders) {
            (Link::Shared, _) => self.has_files_in(stage, package),
            (_, Some(files)) => {
                let mut owned = stage.owned[*package].files.iter();
                owned.any(|file| files.contains(file.as_str()))
            }
            (_, None) if self.is_own => stage.has_code(package),
            (_, None) => stage.holds(package, self.consumer),
        };
        stage.owned.keys().filter(is_in).cloned().collect()
    }

    /// Returns whether a package has one of the files that are it.
    pub(crate) fn has_files_in(&self, stage: &Stage, package: &PackageName) -> bool {
        stage.has_installed(package, |file| self.is_one(file))
    }

    /// A library's files lie below its product's prefix; patterns are said for `/usr`, as it is alone.
    fn is_one(&self, file: &str) -> bool {
        let matches = |file: &str| self.files.iter().any(|pattern| pattern.matches(file));
        match &self.node.prefix {
            Prefix::System => matches(file),
            Prefix::Bundle(prefix) => file
                .strip_prefix(prefix.as_str())
                .is_some_and(|below| matches(&format!("/usr{below}"))),
        }
    }
}

/// Returns the copies in everything that a product is made of.
pub(crate) fn vendored<'a>(shop: &'a Workshop<'_>, product: &Product<'_>) -> Vec<Vendored<'a>> {
    let mut found = Vec::new();
    for node in product.nodes() {
        let recipe = &shop.project.recipes[&node.recipe].recipe;
        for (library, declared) in &recipe.libraries {
            if let Choice::Vendored {
                path,
                license,
                version,
                carry,
            } = &declared.choice
            {
                found.push(Vendored {
                    consumer: &recipe.name,
                    is_own: node == *product.node,
                    library,
                    path,
                    folder: format!("{SOURCE_ROOT}/{}/{path}", recipe.source_folder()),
                    license: license.as_ref(),
                    version: version.as_ref(),
                    link: declared.link,
                    decision: &declared.decision,
                    files: carry,
                    node: node.clone(),
                });
            }
        }
    }
    found
}
