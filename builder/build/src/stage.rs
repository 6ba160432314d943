//! Puts together what a product's packages are made from: its own destdir, the files that it carries
//! of bundled libraries, licence texts and build information.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use kiln_image::{TreeEntry, TreeEntryKind};
use kiln_model::recipe::{Choice, Link};
use kiln_model::{
    Digest, FilePattern, LibraryName, PackageName, Recipe, RecipeName, SourceDateEpoch,
};
use kiln_sandbox::Cancel;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::compile::{Built, installed};
use crate::error::BuildError;
use crate::folder::{create_folders, set_mode};
use crate::graph::{Graph, NodeId};
use crate::key::canonical_json;
use crate::owner::{own_directories, parents};
use crate::rootfs::unpacked;
use crate::split::{Owned, split};
use crate::vendored::vendored;
use crate::workshop::Workshop;

/// A file or symbolic link that goes into a package.
#[derive(Debug, Clone)]
pub(crate) struct Staged {
    pub(crate) kind: TreeEntryKind,
    pub(crate) mode: u32,
    pub(crate) content: Content,
    /// The recipe of the bundled library that it belongs to.
    pub(crate) library: Option<RecipeName>,
}

/// Where a staged file's bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// In an unpacked tree of the store.
    Tree(PathBuf),
    /// Here.
    Bytes(Vec<u8>),
}

/// Everything that goes into a product's packages, by absolute path.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) files: BTreeMap<String, Staged>,
    /// Permissions of folders that an install step made, by absolute path.
    folders: BTreeMap<String, u32>,
    pub(crate) owned: BTreeMap<PackageName, Owned>,
    /// Licence texts, which rpm marks as such.
    pub(crate) licenses: BTreeSet<String>,
}

/// A product with the finished builds of everything in it.
#[derive(Debug)]
pub(crate) struct Product<'a> {
    pub(crate) node: &'a NodeId,
    pub(crate) graph: &'a Graph,
    pub(crate) built: &'a BTreeMap<NodeId, Arc<Built>>,
}

impl Product<'_> {
    /// Returns the product's node and every node that it carries something of, itself first.
    pub(crate) fn nodes(&self) -> Vec<NodeId> {
        let mut nodes = vec![self.node.clone()];
        nodes.extend(self.graph.closure(self.node));
        nodes
    }
}

impl Stage {
    /// Decides what goes where. Reads trees of the store, writes nothing.
    ///
    /// # Errors
    /// When files have no or two owners, libraries contradict each other, or a licence is missing.
    pub(crate) fn new(shop: &Workshop<'_>, product: &Product<'_>) -> Result<Self, BuildError> {
        let recipe = &shop.project.recipes[&product.node.recipe].recipe;
        let mut files = BTreeMap::new();
        let own = &product.built[product.node];
        let folders = folder_modes(shop, own)?;
        for (path, staged) in staged_files(shop, own, None)? {
            files.insert(path, staged);
        }
        for node in product.nodes() {
            carry(shop, product, &node, &mut files)?;
        }
        let paths: BTreeSet<String> = files.keys().cloned().collect();
        let mut directories = parents(paths.iter());
        directories.extend(
            folders
                .keys()
                .filter(|path| !paths.contains(*path))
                .cloned(),
        );
        let owned = split(recipe, &paths, &directories)?;
        let mut stage = Self {
            files,
            folders,
            owned,
            licenses: BTreeSet::new(),
        };
        stage.add_licenses(shop, product)?;
        for copy in vendored(shop, product) {
            let is_looked_for = copy.is_own && copy.link == Link::Shared;
            if is_looked_for
                && !stage
                    .owned
                    .keys()
                    .any(|name| copy.has_files_in(&stage, name))
            {
                return Err(BuildError::NothingVendored {
                    recipe: recipe.name.clone(),
                    library: copy.library.clone(),
                });
            }
        }
        Ok(stage)
    }

    /// Adds one file that kiln makes itself to a package.
    ///
    /// # Errors
    /// The path, when something is installed there.
    pub(crate) fn add(
        &mut self,
        package: &PackageName,
        path: &str,
        bytes: Vec<u8>,
    ) -> Result<(), String> {
        self.place(package, path, bytes, 0o644)
    }

    /// Adds one file that does not come from a build, with its permissions.
    ///
    /// # Errors
    /// The path, when something is installed there.
    pub(crate) fn place(
        &mut self,
        package: &PackageName,
        path: &str,
        bytes: Vec<u8>,
        mode: u32,
    ) -> Result<(), String> {
        if self.files.contains_key(path) {
            return Err(path.to_owned());
        }
        let kind = TreeEntryKind::File {
            size: bytes.len() as u64,
            sha256: Digest::of(&bytes),
            executable: mode & 0o111 != 0,
        };
        let staged = Staged {
            kind,
            mode,
            content: Content::Bytes(bytes),
            library: None,
        };
        self.files.insert(path.to_owned(), staged);
        let owned = self.owned.entry(package.clone()).or_default();
        owned.files.insert(path.to_owned());
        own_directories(owned);
        Ok(())
    }

    /// Adds a folder to a package, with its permissions; it may be there already.
    ///
    /// # Errors
    /// The path, when a file is installed there.
    pub(crate) fn place_folder(
        &mut self,
        package: &PackageName,
        path: &str,
        mode: u32,
    ) -> Result<(), String> {
        let is_file = |staged: &Staged| staged.kind != TreeEntryKind::Directory;
        if self.files.get(path).is_some_and(is_file) {
            return Err(path.to_owned());
        }
        let staged = Staged {
            kind: TreeEntryKind::Directory,
            mode,
            content: Content::Bytes(Vec::new()),
            library: None,
        };
        self.files.insert(path.to_owned(), staged);
        let owned = self.owned.entry(package.clone()).or_default();
        owned.files.insert(path.to_owned());
        own_directories(owned);
        Ok(())
    }

    /// Every package carries the product's licence texts, and those of the libraries in it.
    fn add_licenses(
        &mut self,
        shop: &Workshop<'_>,
        product: &Product<'_>,
    ) -> Result<(), BuildError> {
        let packages: Vec<PackageName> = self.owned.keys().cloned().collect();
        for node in product.nodes() {
            let library = (node != *product.node).then_some(&node.recipe);
            let recipe = &shop.project.recipes[&node.recipe].recipe;
            let texts = license_texts(shop, recipe, &product.built[&node])?;
            for package in &packages {
                if library.is_some_and(|library| !self.holds(package, library)) {
                    continue;
                }
                let mut folder = format!("/usr/share/licenses/{package}");
                if let Some(library) = library {
                    folder = format!("{folder}/{library}");
                }
                for (name, text) in &texts {
                    let path = format!("{folder}/{name}");
                    self.licenses.insert(path.clone());
                    self.add(package, &path, text.clone())
                        .map_err(|path| path_taken(recipe, path))?;
                }
            }
        }
        Ok(())
    }

    /// Returns a digest over every path, kind, content and permission.
    pub(crate) fn digest(&self) -> Digest {
        let files: Vec<_> = self
            .files
            .iter()
            .map(|(path, staged)| (path, &staged.kind, staged.mode))
            .collect();
        let value = serde_json::json!({ "files": files, "folders": self.folders });
        Digest::of(&canonical_json(&value))
    }

    /// Returns whether `package` carries a file of `library`.
    pub(crate) fn has_files_of(&self, package: &PackageName, library: &RecipeName) -> bool {
        self.owned[package].files.iter().any(|file| {
            self.files
                .get(file)
                .is_some_and(|staged| staged.library.as_ref() == Some(library))
        })
    }

    /// Returns whether `package` holds code of `library`: files of it, or, where it was linked in
    /// statically or compiled in from headers, programs and libraries that it may be in.
    pub(crate) fn holds(&self, package: &PackageName, library: &RecipeName) -> bool {
        let is_carried = self
            .files
            .values()
            .any(|staged| staged.library.as_ref() == Some(library));
        if is_carried {
            return self.has_files_of(package, library);
        }
        self.has_code(package)
    }

    /// Returns whether `package` has an installed file that `is_one` accepts: no folder, and no text that kiln
    /// puts there.
    pub(crate) fn has_installed(
        &self,
        package: &PackageName,
        is_one: impl Fn(&str) -> bool,
    ) -> bool {
        let is_installed = |file: &String| {
            let staged = self.files.get(file);
            staged.is_some_and(|staged| staged.kind != TreeEntryKind::Directory)
                && !self.licenses.contains(file)
        };
        let mut owned = self.owned[package].files.iter();
        owned.any(|file| is_installed(file) && is_one(file))
    }

    /// Returns whether `package` has programs or libraries.
    pub(crate) fn has_code(&self, package: &PackageName) -> bool {
        let is_code = |file: &String| {
            let is_executable = matches!(
                self.files.get(file).map(|staged| &staged.kind),
                Some(TreeEntryKind::File {
                    executable: true,
                    ..
                })
            );
            is_executable || file.contains(".so") || file.ends_with(".a")
        };
        self.owned[package].files.iter().any(is_code)
    }

    /// Returns the folders that the install step made.
    pub(crate) fn folders(&self) -> impl Iterator<Item = &str> {
        self.folders.keys().map(String::as_str)
    }

    /// Returns whether anything is installed below a folder.
    pub(crate) fn has_below(&self, folder: &str) -> bool {
        let below = format!("{folder}/");
        let first = self.files.range(below.clone()..).next();
        first.is_some_and(|(path, _)| path.starts_with(&below))
    }

    /// Returns the permission bits that a file or folder is to be installed with.
    pub(crate) fn mode(&self, path: &str) -> u32 {
        let file = self.files.get(path).map(|staged| match staged.kind {
            TreeEntryKind::Symlink { .. } => 0o777,
            _ => staged.mode,
        });
        file.or_else(|| self.folders.get(path).copied())
            .unwrap_or(0o755)
    }

    /// Writes everything below `destdir` with the one time that packages may show.
    ///
    /// # Errors
    /// `Io`, with the path; `Cancelled` when `cancel` is raised before the end.
    pub(crate) fn write(
        &self,
        destdir: &Path,
        epoch: SourceDateEpoch,
        cancel: &Cancel,
    ) -> Result<(), BuildError> {
        for (path, staged) in &self.files {
            if cancel.is_cancelled() {
                return Err(BuildError::Cancelled);
            }
            set_time(&write_below(destdir, path, staged)?, epoch)?;
        }
        for (path, mode) in &self.folders {
            let target = destdir.join(&path[1..]);
            if target.is_dir() {
                // rpmbuild runs without capabilities: it must be able to read what it packs.
                set_mode(&target, mode & 0o777 | 0o700)?;
            }
        }
        Ok(())
    }
}

impl Stage {
    /// Returns whether kiln makes any file itself.
    pub(crate) fn has_made(&self) -> bool {
        self.made().next().is_some()
    }

    /// Writes the files that kiln makes itself below `folder`.
    ///
    /// # Errors
    /// `Io`, with the path.
    pub(crate) fn write_made(&self, folder: &Path) -> Result<(), BuildError> {
        for (path, staged) in self.made() {
            write_below(folder, path, staged)?;
        }
        Ok(())
    }

    fn made(&self) -> impl Iterator<Item = (&String, &Staged)> {
        let is_made = |staged: &Staged| matches!(staged.content, Content::Bytes(_));
        self.files.iter().filter(move |(_, staged)| is_made(staged))
    }

    /// Returns the paths of what is carried of bundled libraries.
    pub(crate) fn carried(&self) -> impl Iterator<Item = &String> {
        let is_carried = |staged: &Staged| staged.library.is_some();
        let carried = self
            .files
            .iter()
            .filter(move |(_, staged)| is_carried(staged));
        carried.map(|(path, _)| path)
    }
}

/// Writes a file and the folders above it, and returns where it is.
fn write_below(root: &Path, path: &str, staged: &Staged) -> Result<PathBuf, BuildError> {
    let below = &path[1..];
    let folder = below.rsplit_once('/').map_or("", |(folder, _)| folder);
    create_folders(root, folder)?;
    let target = root.join(below);
    write_one(&target, staged)?;
    Ok(target)
}

/// Says that a file of kiln's own has no place.
pub(crate) fn path_taken(recipe: &Recipe, path: String) -> BuildError {
    BuildError::PathTaken {
        recipe: recipe.name.clone(),
        path,
    }
}

fn write_one(target: &Path, staged: &Staged) -> Result<(), BuildError> {
    match (&staged.kind, &staged.content) {
        (TreeEntryKind::Symlink { target: link }, _) => {
            return Ok(fs_err::os::unix::fs::symlink(link, target)?);
        }
        (TreeEntryKind::Directory, _) => fs_err::create_dir_all(target)?,
        (_, Content::Tree(source)) => drop(fs_err::copy(source, target)?),
        (_, Content::Bytes(bytes)) => fs_err::write(target, bytes)?,
    }
    Ok(set_mode(target, staged.mode & 0o777 | 0o400)?)
}

/// Returns the permissions of every folder of a finished build.
fn folder_modes(shop: &Workshop<'_>, built: &Built) -> Result<BTreeMap<String, u32>, BuildError> {
    let entries = installed(shop, built)?;
    let folders = entries
        .iter()
        .filter(|entry| entry.kind == TreeEntryKind::Directory);
    Ok(folders
        .map(|entry| (entry.path.to_absolute(), entry.mode))
        .collect())
}

pub(crate) fn set_time(path: &Path, epoch: SourceDateEpoch) -> Result<(), BuildError> {
    let time = Timespec {
        tv_sec: i64::from(epoch.seconds()),
        tv_nsec: 0,
    };
    // Both: some file systems in user space set none where one is left out.
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| {
        let error = std::io::Error::from(error);
        BuildError::Io(std::io::Error::new(
            error.kind(),
            format!("{}: {error}", path.display()),
        ))
    })
}

/// Returns the files, links and empty folders of a finished build.
fn staged_files(
    shop: &Workshop<'_>,
    built: &Built,
    library: Option<&RecipeName>,
) -> Result<Vec<(String, Staged)>, BuildError> {
    let entries = installed(shop, built)?;
    let root = unpacked(shop, "destdir", &built.destdir)?;
    let parents: BTreeSet<&str> = entries
        .iter()
        .filter_map(|entry| {
            entry
                .path
                .as_str()
                .rsplit_once('/')
                .map(|(parent, _)| parent)
        })
        .collect();
    let is_staged = |entry: &&TreeEntry| {
        entry.kind != TreeEntryKind::Directory || !parents.contains(entry.path.as_str())
    };
    let stage = |entry: &TreeEntry| {
        let staged = Staged {
            kind: entry.kind.clone(),
            mode: entry.mode,
            content: Content::Tree(root.join(entry.path.as_str())),
            library: library.cloned(),
        };
        (entry.path.to_absolute(), staged)
    };
    Ok(entries.iter().filter(is_staged).map(stage).collect())
}

/// Adds what `consumer` carries of the libraries that it bundles.
fn carry(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    consumer: &NodeId,
    files: &mut BTreeMap<String, Staged>,
) -> Result<(), BuildError> {
    let recipe = &shop.project.recipes[&consumer.recipe].recipe;
    for edge in &product.graph.edges[consumer] {
        let patterns = carry_patterns(recipe, &edge.library);
        if patterns.is_empty() {
            continue;
        }
        let prefix = edge.node.prefix.path();
        let built = &product.built[&edge.node];
        let mut is_found = false;
        for (path, staged) in staged_files(shop, built, Some(&edge.node.recipe))? {
            let below = path.strip_prefix(prefix);
            if !below.is_some_and(|below| patterns.iter().any(|pattern| pattern.matches(below))) {
                continue;
            }
            is_found = true;
            let earlier = files.insert(path.clone(), staged.clone());
            if let Some(earlier) = earlier.filter(|earlier| earlier.kind != staged.kind) {
                return Err(BuildError::CarryConflict {
                    recipe: recipe.name.clone(),
                    path,
                    library: edge.library.clone(),
                    earlier: earlier.library,
                });
            }
        }
        if !is_found {
            return Err(BuildError::NothingCarried {
                recipe: recipe.name.clone(),
                library: edge.library.clone(),
            });
        }
    }
    Ok(())
}

fn carry_patterns<'a>(recipe: &'a Recipe, library: &LibraryName) -> &'a [FilePattern] {
    match &recipe.libraries[library].choice {
        Choice::Bundle { carry, .. } => carry,
        Choice::System { .. } | Choice::Vendored { .. } => &[],
    }
}

/// Returns the licence texts of a recipe by file name.
fn license_texts(
    shop: &Workshop<'_>,
    recipe: &Recipe,
    built: &Built,
) -> Result<Vec<(String, Vec<u8>)>, BuildError> {
    let root = unpacked(shop, "source tree", &built.sources)?;
    let read = |file: &String| {
        let name = file.replace('/', "-");
        let text = fs_err::read(root.join(recipe.source_folder()).join(file))?;
        Ok((name, text))
    };
    recipe.license_files.iter().map(read).collect()
}
