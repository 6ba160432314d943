//! Whose code is in an ELF file, by the folders that its debug information names.
//!
//! A library's sources lie in a folder of their own (`/build/src/NAME-VERSION`), and its headers below
//! the bundle prefix. So code that was linked in statically, or compiled in from headers, shows; and so
//! does a library that is declared linked that way and is nowhere.

use std::collections::BTreeSet;

use kiln_image::TreeEntryKind;
use kiln_model::recipe::Link;
use kiln_model::{LibraryName, Recipe, RecipeName};
use kiln_rpm::Compilation;

use crate::compile::installed;
use crate::error::BuildError;
use crate::script::SOURCE_ROOT;
use crate::stage::Product;
use crate::vendored::vendored;
use crate::workshop::Workshop;

/// A bundled library, and where its code comes from.
#[derive(Debug)]
pub(crate) struct BundledCode {
    /// The recipe that declares it.
    consumer: RecipeName,
    pub(crate) library: LibraryName,
    /// The recipe that builds it, in whose own files its code is no finding; a copy in a source tree has none.
    recipe: Option<RecipeName>,
    link: Link,
    /// The folder of its sources.
    sources: String,
    /// The folders of its installed headers.
    headers: BTreeSet<String>,
}

impl BundledCode {
    /// Returns whether it is a copy in a source tree.
    pub(crate) fn is_copy(&self) -> bool {
        self.recipe.is_none()
    }
}

/// Returns the libraries that a product bundles, itself or by way of another, and the copies in source
/// trees that are compiled in.
pub(crate) fn bundled_code(
    shop: &Workshop<'_>,
    product: &Product<'_>,
) -> Result<Vec<BundledCode>, BuildError> {
    let recipe = |name: &RecipeName| -> &Recipe { &shop.project.recipes[name].recipe };
    let mut code = Vec::new();
    for consumer in product.nodes() {
        for edge in &product.graph.edges[&consumer] {
            let entries = installed(shop, &product.built[&edge.node])?;
            let headers = entries
                .iter()
                .filter(|entry| entry.kind != TreeEntryKind::Directory)
                .filter_map(|entry| {
                    let path = entry.path.to_absolute();
                    let (folder, _) = path.rsplit_once('/')?;
                    folder.contains("/include").then(|| folder.to_owned())
                });
            code.push(BundledCode {
                consumer: consumer.recipe.clone(),
                library: edge.library.clone(),
                recipe: Some(edge.node.recipe.clone()),
                link: recipe(&consumer.recipe).libraries[&edge.library].link,
                sources: format!(
                    "{SOURCE_ROOT}/{}",
                    recipe(&edge.node.recipe).source_folder()
                ),
                headers: headers.collect(),
            });
        }
    }
    // Of a bundled library not all need be in the product.
    let copies = vendored(shop, product).into_iter();
    let copies = copies.filter(|copy| copy.is_own && copy.link != Link::Shared);
    code.extend(copies.map(|copy| BundledCode {
        consumer: copy.consumer.clone(),
        library: copy.library.clone(),
        recipe: None,
        link: copy.link,
        headers: BTreeSet::new(),
        sources: copy.folder,
    }));
    Ok(code)
}

/// An ELF file of a product: where it is, whose it is, and how it was compiled.
#[derive(Debug)]
pub(crate) struct CompiledFile<'a> {
    pub(crate) path: &'a str,
    /// The library that it belongs to; `None` for the product's own.
    pub(crate) library: Option<&'a RecipeName>,
    pub(crate) compilation: &'a Compilation,
}

pub(crate) fn is_within(folder: &str, root: &str) -> bool {
    folder
        .strip_prefix(root)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns what contradicts the declared ways of linking, with the library that it is about.
pub(crate) fn check_bundled_code(
    code: &[BundledCode],
    files: &[CompiledFile<'_>],
) -> Vec<(LibraryName, String)> {
    let mut findings = Vec::new();
    for library in code {
        let BundledCode {
            library: name,
            consumer,
            recipe,
            ..
        } = library;
        let is_own = |file: &CompiledFile<'_>| recipe.is_some() && file.library == recipe.as_ref();
        let others = || files.iter().filter(|file| !is_own(file));
        let has_sources = |file: &&CompiledFile<'_>| {
            let folders = &file.compilation.folders;
            folders
                .iter()
                .any(|folder| is_within(folder, &library.sources))
        };
        let has_headers = |file: &&CompiledFile<'_>| {
            let folders = &file.compilation.folders;
            !folders.is_disjoint(&library.headers) || (recipe.is_none() && has_sources(file))
        };
        let is_known = others().any(|file| !file.compilation.folders.is_empty());
        let finding = match library.link {
            Link::Shared => others().find(has_sources).map(|file| {
                format!(
                    "`{}` holds code of `{name}`, which {consumer} declares `link: shared`: it was \
                     linked in statically",
                    file.path
                )
            }),
            Link::Static if is_known && !others().any(|file| has_sources(&file)) => Some(format!(
                "no file holds code of `{name}`, which {consumer} declares `link: static`"
            )),
            Link::HeaderOnly if is_known && !others().any(|file| has_headers(&file)) => {
                Some(format!(
                    "no file was compiled with headers of `{name}`, which {consumer} declares \
                     `link: header-only`"
                ))
            }
            Link::Static | Link::HeaderOnly => None,
        };
        findings.extend(finding.map(|finding| (name.clone(), finding)));
    }
    findings.sort();
    findings.dedup();
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(link: Link, owner: Option<&str>, folders: &[&str], expected: &[&str]) {
        let code = BundledCode {
            consumer: "shop".parse().unwrap(),
            library: "lamp".parse().unwrap(),
            recipe: Some("lamp-2".parse().unwrap()),
            link,
            sources: "/build/src/lamp-2-1.0".to_owned(),
            headers: ["/usr/lib/shop/include/lamp".to_owned()].into(),
        };
        check_code(code, owner, folders, expected);
    }

    fn check_code(code: BundledCode, owner: Option<&str>, folders: &[&str], expected: &[&str]) {
        let owner: Option<RecipeName> = owner.map(|name| name.parse().unwrap());
        let compilation = Compilation {
            folders: folders.iter().map(|folder| (*folder).to_owned()).collect(),
            ..Compilation::default()
        };
        let files = [CompiledFile {
            path: "/usr/bin/shop",
            library: owner.as_ref(),
            compilation: &compilation,
        }];
        let findings = check_bundled_code(&[code], &files);
        let texts: Vec<&str> = findings.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, expected);
    }

    #[test]
    fn code_is_where_the_recipe_says() {
        let own = "/build/src/shop-1";
        let lamp = "/build/src/lamp-2-1.0/src";
        let header = "/usr/lib/shop/include/lamp";
        check(Link::Shared, None, &[own, header], &[]);
        check(Link::Shared, Some("lamp-2"), &[lamp], &[]);
        check(
            Link::Shared,
            None,
            &[own, lamp],
            &[
                "`/usr/bin/shop` holds code of `lamp`, which shop declares `link: shared`: it was \
               linked in statically",
            ],
        );
        check(Link::Static, None, &[own, lamp], &[]);
        let nowhere = "no file holds code of `lamp`, which shop declares `link: static`";
        check(
            Link::Static,
            None,
            &[own, "/build/src/lamp-2-1.01"],
            &[nowhere],
        );
        check(Link::HeaderOnly, None, &[own, header], &[]);
        check(
            Link::HeaderOnly,
            None,
            &[own, lamp],
            &[
                "no file was compiled with headers of `lamp`, which shop declares \
               `link: header-only`",
            ],
        );
    }

    #[test]
    fn a_copy_is_looked_for_in_its_folder_and_in_every_file() {
        let check = |link: Link, folder: &str, expected: &[&str]| {
            let code = BundledCode {
                consumer: "shop".parse().unwrap(),
                library: "lamp".parse().unwrap(),
                recipe: None,
                link,
                sources: "/build/src/shop-1/src/lamp".to_owned(),
                headers: BTreeSet::new(),
            };
            check_code(code, None, &["/build/src/shop-1", folder], expected);
        };
        let inside = "/build/src/shop-1/src/lamp/core";
        let nowhere = "no file holds code of `lamp`, which shop declares `link: static`";
        check(Link::Static, inside, &[]);
        check(Link::HeaderOnly, inside, &[]);
        check(Link::Static, "/build/src/shop-1/src", &[nowhere]);
    }

    #[test]
    fn without_debug_information_nothing_is_said() {
        check(Link::Static, None, &[], &[]);
        check(Link::HeaderOnly, None, &[], &[]);
    }
}
