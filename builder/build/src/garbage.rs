//! What projects need of a store: so that a garbage collection in one does not harm the others.
//!
//! Each project that uses a store is noted there by its path. What it needs is everything in its recipes,
//! base images and lockfiles that looks like a digest: read as text, so that a file of a newer kiln, or one
//! that is wrong just now, keeps its things too.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use kiln_image::flattened_tree;
use kiln_model::{Architecture, Digest};
use kiln_store::{RecordKind, Store, digests_in};
use walkdir::WalkDir;

use crate::error::BuildError;
use crate::project::Project;

/// Most bytes that are read of one file.
const MOST: u64 = 64 << 20;

/// A project that uses a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownProject {
    /// Its folder.
    pub root: PathBuf,
    /// Whether there still is one.
    pub is_there: bool,
}

/// Notes that the project in `root` uses the store.
///
/// # Errors
/// As the system refuses.
pub fn note_project(store: &Store, root: &Path) -> Result<(), BuildError> {
    let (key, path) = (key(root), root.as_os_str().as_bytes());
    if store.read_record(RecordKind::Project, &key)?.as_deref() == Some(path) {
        return Ok(());
    }
    Ok(store.write_record(RecordKind::Project, &key, path)?)
}

fn key(root: &Path) -> String {
    Digest::of(root.as_os_str().as_bytes()).to_hex()
}

/// Returns the projects that use the store, by path.
#[must_use]
pub fn known_projects(store: &Store) -> Vec<KnownProject> {
    let records = store.records(RecordKind::Project).into_iter();
    let mut projects: Vec<_> = records
        .map(|(_, path)| {
            let root = PathBuf::from(OsString::from_vec(path));
            let recipes = root.join("recipes").symlink_metadata();
            // What can not be looked at may be there.
            let is_there = recipes.map_or_else(
                |error| error.kind() != std::io::ErrorKind::NotFound,
                |found| found.is_dir(),
            );
            KnownProject { root, is_there }
        })
        .collect();
    projects.sort_by(|one, other| one.root.cmp(&other.root));
    projects
}

/// Returns everything that the files of the project in `root` name.
///
/// # Errors
/// As the system refuses: then nothing can be said, and nothing may be removed.
pub fn needed_by(store: &Store, root: &Path) -> Result<BTreeSet<Digest>, BuildError> {
    let mut needed = BTreeSet::new();
    for folder in ["recipes", "base-images", "lockfiles"] {
        let folder = root.join(folder);
        if folder
            .symlink_metadata()
            .is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
        {
            continue;
        }
        for entry in WalkDir::new(&folder).follow_links(true).sort_by_file_name() {
            let entry = match entry {
                Ok(entry) => entry,
                // An editor's lock is a link that leads nowhere; one that leads in circles names nothing.
                Err(error) if is_dangling(&error) => continue,
                Err(error) => return Err(std::io::Error::from(error).into()),
            };
            let is_text = entry
                .path()
                .extension()
                .is_some_and(|e| e == "yaml" || e == "lock");
            let is_file = entry.file_type().is_file();
            if is_text && is_file && entry.metadata().is_ok_and(|found| found.len() <= MOST) {
                needed.extend(digests_in(&fs_err::read(entry.path())?));
            }
        }
    }
    // The tree of an image with several layers is called otherwise than any of these.
    for base in Project::survey(root).project.bases.values() {
        if let Some(manifest) = base.pinned_manifest(Architecture::X86_64) {
            needed.extend(flattened_tree(store, &manifest).map(|id| id.0));
        }
    }
    Ok(needed)
}

fn is_dangling(error: &walkdir::Error) -> bool {
    let kind = error.io_error().map(std::io::Error::kind);
    error.loop_ancestor().is_some() || kind == Some(std::io::ErrorKind::NotFound)
}

/// Forgets a project that is gone.
///
/// # Errors
/// As the system refuses.
pub fn forget_project(store: &Store, root: &Path) -> Result<(), BuildError> {
    Ok(store.remove_record(RecordKind::Project, &key(root))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_keep_what_their_files_name() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let root = folder.path().join("project\n1");
        let write = |file: &str, text: String| {
            let path = root.join(file);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        let [source, layer, other] = ["source", "layer", "other"].map(|t| Digest::of(t.as_bytes()));
        write(
            "recipes/a/recipe.yaml",
            format!("wrong: [\nsha256: {}", source.to_hex()),
        );
        write("recipes/a/README", format!("{other}"));
        write(
            "lockfiles/a-x86_64.lock",
            format!("format = 99\nlayer = \"{layer}\""),
        );
        note_project(&store, &root).unwrap();
        note_project(&store, &root).unwrap();
        let known = |is_there| {
            vec![KnownProject {
                root: root.clone(),
                is_there,
            }]
        };
        assert_eq!(known_projects(&store), known(true));
        assert_eq!(needed_by(&store, &root).unwrap(), [source, layer].into());
        fs_err::remove_dir_all(&root).unwrap();
        assert_eq!(known_projects(&store), known(false));
        assert_eq!(needed_by(&store, &root).unwrap(), BTreeSet::new());
        forget_project(&store, &root).unwrap();
        assert_eq!(known_projects(&store), []);
    }
}
