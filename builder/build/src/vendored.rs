//! Copies of libraries in source trees: nothing builds them for themselves, but what is in the packages is
//! theirs, too.

use kiln_model::recipe::{Choice, Decision, Link};
use kiln_model::{FilePattern, LibraryName, LicenseExpression, PackageName, RecipeName, Version};

use crate::stage::{Product, Stage};
use crate::workshop::Workshop;

/// A copy of a library in the source tree of a recipe that is in a product.
#[derive(Debug, Clone)]
pub(crate) struct Vendored<'a> {
    /// The recipe with the tree.
    pub(crate) consumer: &'a RecipeName,
    /// Whether that is a library that the product bundles.
    is_bundled: bool,
    pub(crate) library: &'a LibraryName,
    /// Its folder in the tree.
    pub(crate) path: &'a str,
    pub(crate) license: Option<&'a LicenseExpression>,
    pub(crate) version: Option<&'a Version>,
    pub(crate) link: Link,
    pub(crate) decision: &'a Decision,
    /// Installed files that are it, where it is not linked into others.
    pub(crate) files: &'a [FilePattern],
}

impl Vendored<'_> {
    /// Returns whether a package holds code of it.
    pub(crate) fn is_in(&self, stage: &Stage, package: &PackageName) -> bool {
        if self.link == Link::Shared {
            return stage.has_matching(package, self.files);
        }
        if self.is_bundled {
            return stage.holds(package, self.consumer);
        }
        stage.has_code(package)
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
                    is_bundled: node != *product.node,
                    library,
                    path,
                    license: license.as_ref(),
                    version: version.as_ref(),
                    link: declared.link,
                    decision: &declared.decision,
                    files: carry,
                });
            }
        }
    }
    found
}
