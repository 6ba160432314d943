//! The recipes as a picture: what is drawn, before anybody decides how.
//!
//! A node is a recipe or a distribution package, in the frame of the base image that it is built in or
//! comes with. A recipe stands once, although a build makes a library once per product that carries it.
//! Everything is sorted by name, so the same recipes give the same picture.

mod dot;
mod layout;
mod mermaid;
mod svg;

use std::collections::{BTreeMap, BTreeSet};

use kiln_build::{Graph, Project};
use kiln_model::recipe::{Choice, Distribution, Link};
use kiln_model::{BaseImage, BaseName, BaseOrigin, LibraryName, RecipeName};

pub use dot::dot;
pub use mermaid::mermaid;
pub use svg::svg;

/// What a picture shows.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Diagram {
    /// Base images by name, with what is built in them.
    pub frames: BTreeMap<BaseName, Frame>,
    /// Who uses what, sorted.
    pub uses: BTreeSet<Use>,
}

/// A base image.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// What it is made of, in a few words: `Debian bookworm`.
    pub origin: String,
    /// What is drawn in it.
    pub nodes: BTreeMap<NodeKey, Node>,
}

/// What a node is known by. Recipes come before distribution packages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeKey {
    /// A recipe.
    Recipe(RecipeName),
    /// A copy of a library in a recipe's source tree.
    Copy(RecipeName, LibraryName),
    /// A distribution package of a base image.
    Package(BaseName, String),
}

/// A recipe or a distribution package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// Its name.
    pub name: String,
    /// A recipe's version; `vendored` for a copy; the libraries that a distribution package is used as.
    pub detail: String,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A recipe that yields packages.
    Product,
    /// A recipe that only others bundle, or a copy of a library in a source tree.
    Library,
    /// A package of the base image's distribution.
    Package,
}

/// A recipe uses a library.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// The recipe.
    pub by: NodeKey,
    /// What it uses.
    pub of: NodeKey,
    /// How the library ends up in the result.
    pub link: LinkStyle,
}

/// [`Link`] with an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LinkStyle {
    /// Loaded at run time.
    Shared,
    /// Copied in at link time.
    Static,
    /// Compiled in.
    HeaderOnly,
}

impl LinkStyle {
    /// All of them, for legends.
    pub const ALL: [Self; 3] = [Self::Shared, Self::Static, Self::HeaderOnly];

    /// Returns the word that recipes use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Static => "static",
            Self::HeaderOnly => "header-only",
        }
    }
}

impl From<Link> for LinkStyle {
    fn from(link: Link) -> Self {
        match link {
            Link::Shared => Self::Shared,
            Link::Static => Self::Static,
            Link::HeaderOnly => Self::HeaderOnly,
        }
    }
}

impl Diagram {
    /// Draws up what a graph's recipes are, use, and are built in. Needs no lockfile.
    pub fn new(project: &Project, graph: &Graph) -> Self {
        let mut diagram = Self::default();
        let names: BTreeSet<&RecipeName> = graph.order.iter().map(|node| &node.recipe).collect();
        for name in names {
            diagram.add_recipe(project, name);
        }
        diagram
    }

    fn add_recipe(&mut self, project: &Project, name: &RecipeName) {
        let recipe = &project.recipes[name].recipe;
        let base = &project.bases[&recipe.base];
        let key = NodeKey::Recipe(name.clone());
        let kind = if recipe.packages.is_empty() {
            NodeKind::Library
        } else {
            NodeKind::Product
        };
        let node = Node {
            kind,
            name: name.to_string(),
            detail: recipe.version.to_string(),
        };
        self.frame(base).nodes.insert(key.clone(), node);
        for (library, entry) in &recipe.libraries {
            let of = match &entry.choice {
                Choice::Bundle { recipe, .. } => NodeKey::Recipe(recipe.clone()),
                Choice::System { package } => {
                    let packages = package.iter().map(|(of, name)| (*of, name.as_str()));
                    self.add_package(base, library, &packages.collect())
                }
                Choice::Vendored { .. } => {
                    let copy = NodeKey::Copy(name.clone(), library.clone());
                    let node = Node {
                        kind: NodeKind::Library,
                        name: library.to_string(),
                        detail: "vendored".to_owned(),
                    };
                    self.frame(base).nodes.insert(copy.clone(), node);
                    copy
                }
            };
            self.uses.insert(Use {
                by: key.clone(),
                of,
                link: entry.link.into(),
            });
        }
    }

    fn frame(&mut self, base: &BaseImage) -> &mut Frame {
        let frame = self.frames.entry(base.name.clone()).or_default();
        frame.origin = match &base.origin {
            BaseOrigin::Archive(archive) => format!("Debian {}", archive.suite),
            BaseOrigin::Layout { .. } => "OCI layout".to_owned(),
            BaseOrigin::Image { reference, .. } => {
                format!("{}/{}", reference.host(), reference.name())
            }
        };
        frame
    }

    /// An assembled base is Debian's; of an image on disk it is not known whose packages it has.
    fn add_package(
        &mut self,
        base: &BaseImage,
        library: &LibraryName,
        packages: &BTreeMap<Distribution, &str>,
    ) -> NodeKey {
        let all: BTreeSet<&str> = packages.values().copied().collect();
        let all = all.into_iter().collect::<Vec<_>>().join(" or ");
        let name = match &base.origin {
            BaseOrigin::Archive(_) => packages.get(&Distribution::Debian).copied(),
            BaseOrigin::Layout { .. } | BaseOrigin::Image { .. } => None,
        };
        let name = name.unwrap_or(&all).to_owned();
        let key = NodeKey::Package(base.name.clone(), name.clone());
        let nodes = &mut self.frame(base).nodes;
        let node = nodes.entry(key.clone()).or_insert_with(|| Node {
            kind: NodeKind::Package,
            name,
            detail: String::new(),
        });
        let is_known = node
            .detail
            .split(", ")
            .any(|known| known == library.as_str());
        if !is_known {
            let separator = if node.detail.is_empty() { "" } else { ", " };
            node.detail = format!("{}{separator}{library}", node.detail);
        }
        key
    }
}

/// Returns text with everything but letters and digits written as `_` and its code, so that two
/// texts never become one: `c-ares` is `c_2dares`.
fn identifier(prefix: char, text: &str) -> String {
    let mut name = String::from(prefix);
    name.push('_');
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("_{byte:02x}"));
        }
    }
    name
}

impl NodeKey {
    /// Returns a name that every format takes as it is.
    pub fn identifier(&self) -> String {
        match self {
            Self::Recipe(name) => identifier('r', name.as_str()),
            Self::Copy(recipe, library) => identifier('c', &format!("{recipe}:{library}")),
            Self::Package(base, name) => identifier('p', &format!("{base}:{name}")),
        }
    }
}

#[cfg(test)]
mod tests;
