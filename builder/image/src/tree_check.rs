//! Whether an unpacked tree still is what its layers make: they are unpacked once more, and compared.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use kiln_model::{DiffId, ManifestDigest};
use kiln_store::{Store, observe_file};
use walkdir::WalkDir;

use crate::oci::image_layers;
use crate::printable::printable;
use crate::rootfs::{RootfsError, flattened_id, unpack_layers};

/// What came of looking at a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeState {
    /// It is as its layers make it.
    Whole,
    /// It is not.
    Differs {
        /// The first place that differs, escaped.
        place: String,
        /// How.
        problem: String,
    },
    /// The store lacks a layer that it was made of, so nothing can be said.
    Unknown,
}

/// Returns the name of the tree of an image with several layers; `None` for one with a single layer, and
/// where the store does not have the image's documents.
#[must_use]
pub fn flattened_tree(store: &Store, manifest: &ManifestDigest) -> Option<DiffId> {
    let layers = image_layers(store, manifest).ok()?;
    (layers.len() > 1).then(|| flattened_id(&layers))
}

/// Compares the tree `id` with what `layers` make. What its owner may not read is compared by its looks
/// alone. Needs as much room as the tree takes.
///
/// # Errors
/// `Unpack` when a layer can not be unpacked, `Store` as the system refuses.
pub fn check_tree(store: &Store, id: &DiffId, layers: &[DiffId]) -> Result<TreeState, RootfsError> {
    if layers.is_empty() || layers.iter().any(|layer| !store.contains(&layer.0)) {
        return Ok(TreeState::Unknown);
    }
    let Some(root) = store.tree(id)? else {
        return Ok(TreeState::Differs {
            place: "seal.json".to_owned(),
            problem: "its seal is damaged".to_owned(),
        });
    };
    let scratch = store.scratch()?;
    let fresh = scratch.path().join("root");
    fs_err::create_dir(&fresh).map_err(|error| kiln_store::StoreError::Io {
        act: "create",
        path: fresh.clone(),
        source: error,
    })?;
    unpack_layers(store, layers, &fresh, &kiln_store::Silent)?;
    Ok(compare(&root, &fresh))
}

fn compare(found: &Path, expected: &Path) -> TreeState {
    let (found, expected) = (entries(found), entries(expected));
    for (path, wanted) in &expected {
        let problem = match found.get(path) {
            None => Some("it is missing".to_owned()),
            Some(there) => difference(there, wanted),
        };
        if let Some(problem) = problem {
            let place = printable(path.as_os_str().as_bytes());
            return TreeState::Differs { place, problem };
        }
    }
    match found.keys().find(|path| !expected.contains_key(*path)) {
        None => TreeState::Whole,
        Some(path) => TreeState::Differs {
            place: printable(path.as_os_str().as_bytes()),
            problem: "it was added".to_owned(),
        },
    }
}

/// Returns everything below a folder by path, and where it is.
fn entries(root: &Path) -> BTreeMap<PathBuf, PathBuf> {
    let entries = WalkDir::new(root).into_iter().flatten();
    let by_path = entries.map(|entry| {
        let path = entry.path();
        let below = path.strip_prefix(root).unwrap_or(path).to_owned();
        (below, path.to_owned())
    });
    by_path.collect()
}

fn difference(found: &Path, expected: &Path) -> Option<String> {
    let (Ok(one), Ok(other)) = (found.symlink_metadata(), expected.symlink_metadata()) else {
        return Some("it can not be looked at".to_owned());
    };
    if one.mode() != other.mode() {
        let (one, other) = (one.mode(), other.mode());
        return Some(format!("its type or mode is {one:o}, expected {other:o}"));
    }
    if one.file_type().is_symlink() {
        let targets = [found, expected].map(|path| fs_err::read_link(path).ok());
        return (targets[0] != targets[1]).then(|| "it leads elsewhere".to_owned());
    }
    if !one.is_file() {
        return None;
    }
    if one.len() != other.len() {
        let (one, other) = (one.len(), other.len());
        return Some(format!("it has {one} bytes, expected {other}"));
    }
    let digests = [found, expected].map(|path| observe_file(path).ok().map(|seen| seen.digest));
    (digests[0] != digests[1]).then(|| "it has other bytes".to_owned())
}
