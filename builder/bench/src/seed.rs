//! Stores to start from: new ones that have some of another's blobs and trees, by hard links where the
//! file system has them.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use kiln_model::Digest;
use kiln_store::Store;
use walkdir::WalkDir;

use crate::error::BenchError;

/// What a new store has from the beginning.
#[derive(Debug, Default, Clone)]
pub struct Seed {
    /// Blobs.
    pub blobs: Vec<Digest>,
    /// Unpacked trees.
    pub trees: Vec<Digest>,
}

impl Seed {
    /// Makes the store `to` with what `from` has of this.
    ///
    /// # Errors
    /// `Skipped` when `from` lacks something, `Io` or `Kiln` as the system refuses.
    pub fn plant(&self, from: &Path, to: &Path) -> Result<(), BenchError> {
        let store = Store::open(to).map_err(|error| BenchError::kiln("new store")(&error))?;
        drop(store);
        for digest in &self.blobs {
            let below = Path::new("blobs/sha256").join(digest.to_hex());
            if !from.join(&below).is_file() {
                return Err(missing(from, digest));
            }
            link(&from.join(&below), &to.join(&below))?;
        }
        for digest in &self.trees {
            let below = Path::new("trees").join(digest.to_hex());
            if !from.join(&below).join("seal.json").is_file() {
                return Err(missing(from, digest));
            }
            link_tree(&from.join(&below), &to.join(&below))?;
        }
        Ok(())
    }
}

fn missing(store: &Path, digest: &Digest) -> BenchError {
    BenchError::skipped(format!(
        "the store `{}` lacks {digest}; run `make rpms` first",
        store.display()
    ))
}

/// Links a file or symbolic link, or copies it where the file systems differ.
fn link(from: &Path, to: &Path) -> Result<(), BenchError> {
    if fs_err::hard_link(from, to).is_ok() {
        return Ok(());
    }
    if from.is_symlink() {
        fs_err::os::unix::fs::symlink(fs_err::read_link(from)?, to)?;
    } else {
        fs_err::copy(from, to)?;
    }
    Ok(())
}

/// Does what `cp -al` does: new folders with the same modes and times, the same files.
///
/// # Errors
/// As the system refuses.
pub fn link_tree(from: &Path, to: &Path) -> Result<(), BenchError> {
    copy_tree(from, to, &link)
}

/// Does what `cp -a` does with one owner: nothing is shared, so that a build may change it.
///
/// # Errors
/// As the system refuses.
pub fn copy_files(from: &Path, to: &Path) -> Result<(), BenchError> {
    copy_tree(from, to, &|from, to| {
        if from.is_symlink() {
            if to.symlink_metadata().is_err() {
                fs_err::os::unix::fs::symlink(fs_err::read_link(from)?, to)?;
            }
            return Ok(());
        }
        fs_err::copy(from, to)?;
        let times = fs_err::metadata(from)?;
        let file = fs_err::OpenOptions::new().write(true).open(to);
        // A read-only file keeps the time of the copy: nothing that is built depends on it.
        if let Ok(file) = file {
            file.file().set_modified(times.modified()?)?;
        }
        Ok(())
    })
}

type CopyOne<'a> = &'a dyn Fn(&Path, &Path) -> Result<(), BenchError>;

fn copy_tree(from: &Path, to: &Path, one: CopyOne<'_>) -> Result<(), BenchError> {
    let walk = |contents_first| {
        WalkDir::new(from)
            .contents_first(contents_first)
            .sort_by_file_name()
    };
    for entry in walk(false) {
        let entry = entry.map_err(std::io::Error::from)?;
        let target = to.join(below(entry.path(), from));
        if entry.file_type().is_dir() {
            if !target.is_dir() {
                fs_err::create_dir(&target)?;
            }
        } else {
            one(entry.path(), &target)?;
        }
    }
    for entry in walk(true) {
        let entry = entry.map_err(std::io::Error::from)?;
        if entry.file_type().is_dir() {
            let found = fs_err::metadata(entry.path())?;
            let target = to.join(below(entry.path(), from));
            let mode = std::fs::Permissions::from_mode(found.mode() & 0o7777);
            fs_err::set_permissions(&target, mode)?;
            fs_err::File::open(&target)?
                .file()
                .set_modified(found.modified()?)?;
        }
    }
    Ok(())
}

fn below<'a>(path: &'a Path, root: &Path) -> &'a Path {
    path.strip_prefix(root).unwrap_or(path)
}

/// Removes a folder whatever modes its own folders have; none is none.
///
/// # Errors
/// As the system refuses.
pub fn remove(folder: &Path) -> Result<(), BenchError> {
    if folder.symlink_metadata().is_err() {
        return Ok(());
    }
    let walk = WalkDir::new(folder).sort_by_file_name();
    for entry in walk.into_iter().flatten() {
        if entry.file_type().is_dir() {
            let mode = std::fs::Permissions::from_mode(0o755);
            fs_err::set_permissions(entry.path(), mode)?;
        }
    }
    Ok(fs_err::remove_dir_all(folder)?)
}

/// Moves a folder out of the way, to be removed when all is measured; none is none.
///
/// For minutes after many files were removed, ext4 without a journal looks at each inode that was freed
/// lately before it makes a new file. That time is nobody's who is measured here.
///
/// # Errors
/// As the system refuses.
pub fn set_aside(folder: &Path) -> Result<(), BenchError> {
    if folder.symlink_metadata().is_err() {
        return Ok(());
    }
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let mut places = (0_u64..).map(|number| folder.with_file_name(format!("{name}.old-{number}")));
    let free = places.find(|place| place.symlink_metadata().is_err());
    Ok(fs_err::rename(folder, free.unwrap_or_default())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seeded_store_has_what_it_was_given_and_says_what_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        let store = Store::open(&from).unwrap();
        let blob = store.write_blob(b"blob").unwrap();
        let id = kiln_model::DiffId(Digest::of(b"tree"));
        store
            .write_tree(&id, &mut |root| {
                fs_err::create_dir(root.join("empty"))?;
                fs_err::write(root.join("file"), "x")
            })
            .unwrap();
        let seed = Seed {
            blobs: vec![blob],
            trees: vec![id.0],
        };
        let to = folder.path().join("to");
        seed.plant(&from, &to).unwrap();
        let planted = Store::open(&to).unwrap();
        assert_eq!(planted.read_blob(&blob).unwrap(), b"blob");
        let root = planted.tree(&id).unwrap().unwrap();
        assert_eq!(fs_err::read(root.join("file")).unwrap(), b"x");
        assert!(root.join("empty").is_dir());

        let other = Seed {
            blobs: vec![Digest::of(b"other")],
            trees: Vec::new(),
        };
        let error = other
            .plant(&from, &folder.path().join("second"))
            .unwrap_err();
        assert!(matches!(error, BenchError::Skipped { .. }), "{error}");
    }

    #[test]
    fn copied_files_are_nobody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs_err::create_dir_all(from.join("a/b")).unwrap();
        fs_err::write(from.join("a/b/file"), "x").unwrap();
        fs_err::os::unix::fs::symlink("b/file", from.join("a/link")).unwrap();
        let to = folder.path().join("to");
        copy_files(&from, &to).unwrap();
        fs_err::write(to.join("a/link"), "y").unwrap();
        assert_eq!(fs_err::read(to.join("a/b/file")).unwrap(), b"y");
        assert_eq!(fs_err::read(from.join("a/b/file")).unwrap(), b"x");
        // A second tree goes over the first.
        copy_files(&from, &to).unwrap();
        assert_eq!(fs_err::read(to.join("a/b/file")).unwrap(), b"x");
        remove(&to).unwrap();
        assert!(!to.exists());
    }

    #[test]
    fn what_is_set_aside_is_all_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        set_aside(&store).unwrap();
        for text in ["first", "second"] {
            fs_err::create_dir(&store).unwrap();
            fs_err::write(store.join("file"), text).unwrap();
            set_aside(&store).unwrap();
            assert!(!store.exists());
        }
        for (place, text) in [("store.old-0", "first"), ("store.old-1", "second")] {
            let file = folder.path().join(place).join("file");
            assert_eq!(fs_err::read_to_string(file).unwrap(), text);
        }
    }
}
