//! Where in the project's files an error has its cause: found only when the error is shown.

use std::path::PathBuf;

use kiln_model::recipe::{NodePath, Place};
use kiln_model::{BaseName, LibraryName, PackageName, RecipeName};

use crate::claim::Rule;
use crate::error::BuildError;
use crate::graph::GraphError;
use crate::project::{Project, ProjectError};

/// One value of one of the project's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Site {
    file: SiteFile,
    at: At,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Path(NodePath),
    Place(Place),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum SiteFile {
    Recipe(RecipeName),
    Base(BaseName),
    /// A file of a recipe's folder.
    Installed(RecipeName, String),
}

/// A site as it can be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot<'a> {
    /// The file, relative to the project's root.
    pub file: PathBuf,
    /// Its text.
    pub text: &'a str,
    /// Where the value starts.
    pub place: Place,
}

impl Site {
    /// A value of a recipe.
    #[must_use]
    pub fn recipe(name: &RecipeName, path: NodePath) -> Self {
        Self {
            file: SiteFile::Recipe(name.clone()),
            at: At::Path(path),
        }
    }

    /// A value of a base image's file.
    #[must_use]
    pub fn base(name: &BaseName, path: NodePath) -> Self {
        Self {
            file: SiteFile::Base(name.clone()),
            at: At::Path(path),
        }
    }

    /// A place in a file of a recipe's folder that its packages install.
    #[must_use]
    pub fn installed(name: &RecipeName, file: &str, place: Place) -> Self {
        Self {
            file: SiteFile::Installed(name.clone(), file.to_owned()),
            at: At::Place(place),
        }
    }

    /// Finds the value in its file; `None` when there is no such file, or nothing of it in it.
    #[must_use]
    pub fn find<'a>(&self, project: &'a Project) -> Option<Spot<'a>> {
        let file = match &self.file {
            SiteFile::Recipe(name) => project.recipe_file(name),
            SiteFile::Base(name) => project.base_file(name),
            SiteFile::Installed(name, file) => project.recipe_folder(name).join(file),
        };
        let text = project.texts.get(&file)?;
        let place = match &self.at {
            At::Path(path) => path.find(text)?,
            At::Place(place) => *place,
        };
        Some(Spot { file, text, place })
    }
}

fn libraries() -> NodePath {
    NodePath::top().key("libraries")
}

fn packages() -> NodePath {
    NodePath::top().key("packages")
}

/// Of something that was installed: the step that did it, and the rule that claims it.
fn installed(recipe: &RecipeName, rule: Option<&Rule>) -> Vec<Site> {
    let step = NodePath::top().key("steps").key("install");
    let rule = rule.map(|rule| rule.site(recipe));
    std::iter::once(Site::recipe(recipe, step))
        .chain(rule)
        .collect()
}

impl GraphError {
    /// Returns the values that it is about, the first one first.
    #[must_use]
    pub fn sites(&self) -> Vec<Site> {
        let library = |recipe: &RecipeName, name: &str| Site::recipe(recipe, libraries().key(name));
        match self {
            // Asked for on the command line.
            Self::UnknownRecipe { .. } => Vec::new(),
            Self::UnknownBase { recipe, .. } => {
                vec![Site::recipe(recipe, NodePath::top().key("base"))]
            }
            Self::UnknownLibrary {
                recipe,
                library: name,
                ..
            } => {
                let path = libraries().key(name.as_str()).key("recipe");
                vec![Site::recipe(recipe, path)]
            }
            Self::OtherLibrary {
                recipe,
                library: name,
                from,
                ..
            } => {
                let identity = NodePath::top().key("identity").key("library");
                vec![library(recipe, name.as_str()), Site::recipe(from, identity)]
            }
            Self::TwoVersions { first, second, .. } => [first, second]
                .into_iter()
                .map(|version| {
                    let (holder, name) = version.last_step();
                    library(holder, name.as_str())
                })
                .collect(),
            Self::Cycle { path, libraries } => path
                .iter()
                .zip(libraries)
                .map(|(recipe, name)| library(recipe, name.as_str()))
                .collect(),
        }
    }
}

impl ProjectError {
    /// Returns the values that it is about, where it does not show them by itself.
    #[must_use]
    pub fn sites(&self) -> Vec<Site> {
        match self {
            Self::NameTaken { recipe, name, .. } => {
                let path = match name.strip_prefix("recipe ") {
                    Some(_) => NodePath::top().key("name"),
                    None => packages().with("name", name.as_str()),
                };
                vec![Site::recipe(recipe, path)]
            }
            Self::InstallFile {
                recipe,
                package,
                file,
                ..
            } => {
                let package = packages().with("name", package.as_str());
                let path = package.key("install").with("file", file.as_str());
                vec![Site::recipe(recipe, path)]
            }
            Self::UserClash(clash) => {
                let site = |recipe: &RecipeName, package: &PackageName, user: &str| {
                    let package = packages().with("name", package.as_str());
                    Site::recipe(recipe, package.key("users").with("name", user))
                };
                let (recipe, package, user) = &clash.other;
                vec![
                    site(&clash.recipe, &clash.package, &clash.user),
                    site(recipe, package, user),
                ]
            }
            Self::FileClash(clash) => clash.sites(),
            Self::Key { base, key, .. } => {
                let path = NodePath::top()
                    .key("archive")
                    .key("keys")
                    .item(key.as_str());
                vec![Site::base(base, path)]
            }
            _ => Vec::new(),
        }
    }
}

impl BuildError {
    /// Returns the values of recipes and base images that it is about, the first one first.
    #[must_use]
    pub fn sites(&self) -> Vec<Site> {
        let top = NodePath::top;
        let (recipe, path) = match self {
            Self::Project(error) => return error.sites(),
            Self::Graph(error) => return error.sites(),
            Self::Finding(finding) => return finding.sites(),
            // The package of a base image has no recipe.
            Self::Released(refusal) => {
                let recipe = refusal.what.parse::<RecipeName>().ok();
                let site = |recipe| Site::recipe(&recipe, top().key("release"));
                return recipe.map(site).into_iter().collect();
            }
            Self::StaleLock { site, .. } => {
                return site.iter().map(|site| (**site).clone()).collect();
            }
            Self::Unpinned(unpinned) => return unpinned.sites(),
            Self::Evidence {
                recipe,
                libraries: named,
                ..
            } => {
                let site =
                    |name: &LibraryName| Site::recipe(recipe, libraries().key(name.as_str()));
                return named.iter().map(site).collect();
            }
            Self::ClaimedTwice(claim) => {
                return vec![
                    claim.first.site(&claim.recipe),
                    claim.second.site(&claim.recipe),
                ];
            }
            Self::Package(finding) => return finding.sites(),
            Self::Patch { recipe, patch, .. } => {
                let path = top().key("patches").with("file", patch.as_str());
                (recipe, path.key("sha256"))
            }
            Self::PatchFile { recipe, patch, .. } => {
                (recipe, top().key("patches").with("file", patch.as_str()))
            }
            Self::NothingInstalled { node } => (&node.recipe, top().key("steps").key("install")),
            Self::Uncollectable { node, rule, .. } => {
                return installed(&node.recipe, rule.as_ref());
            }
            Self::PathRefused { recipe, rule, .. } => return installed(recipe, rule.as_ref()),
            Self::NoLicenseFile { recipe, file } => {
                (recipe, top().key("license-files").item(file.as_str()))
            }
            Self::CarryConflict {
                recipe, library, ..
            }
            | Self::NothingCarried { recipe, library }
            | Self::NothingVendored { recipe, library } => {
                (recipe, libraries().key(library.as_str()).key("carry"))
            }
            Self::Unclaimed { recipe, .. } => (recipe, packages()),
            Self::UnmatchedPattern { recipe, rule } => return vec![rule.site(recipe)],
            Self::NoArchive { recipe, .. } => (recipe, top().key("base")),
            Self::NoSystemPackage {
                recipe, library, ..
            } => (recipe, libraries().key(library.as_str()).key("package")),
            Self::UnmergedFolder { recipe, .. } => (recipe, top().key("steps").key("install")),
            Self::Overlap { recipe, .. } => (recipe, libraries()),
            _ => return Vec::new(),
        };
        vec![Site::recipe(recipe, path)]
    }
}
