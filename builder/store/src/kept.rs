//! Scratch folders that a failed step left, kept by name for whoever wants to look around in them.
//!
//! ```text
//! kept/<name>/       the folder; a later failure of the same name replaces it
//! kept/<name>.lock   flocked by whoever replaces it, removes it or works in it
//! ```
//!
//! A lock file stays once it is there: removing it would let two hold "the" lock.

use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use crate::collect::{CollectMode, Gone};
use crate::error::StoreError;
use crate::measure::folder_bytes;
use crate::publish::{rename_noreplace, sync_parent};
use crate::remove::remove_all;
use crate::store::Store;
use crate::temporary::{ScratchDir, take_lock};

/// What is kept under a name.
#[derive(Debug)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// Something, and another process works in it.
    InUse,
    /// Something, and nobody else works in it while this value lives.
    Free(KeptDir),
}

/// A kept folder that is ours for as long as this value lives. It stays afterwards.
#[derive(Debug)]
pub struct KeptDir {
    path: PathBuf,
    _lock: OwnedFd,
}

impl KeptDir {
    /// Returns the folder's absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl ScratchDir {
    /// Keeps the folder as `name`, in place of an earlier one: a file name that does not start with
    /// `.`. Returns whether it did: not while another process works in the earlier one.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn keep_as(self, store: &Store, name: &str) -> Result<bool, StoreError> {
        let place = store.kept_folder(name);
        let Some(_lock) = lock(&place)? else {
            return Ok(false);
        };
        remove_all(&place).map_err(|error| StoreError::from_io("remove", &place, error))?;
        // Moving a folder rewrites its `..`, which its own mode may forbid.
        let path = self.path();
        let mode = path.metadata().map(|found| found.permissions().mode());
        let mode = mode.map_err(|error| StoreError::from_io("read", path, error))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode | 0o700))
            .map_err(|error| StoreError::from_io("write", path, error))?;
        rename_noreplace(path, &place)
            .map_err(|error| StoreError::from_io("create", &place, error))?;
        sync_parent(&place)?;
        Ok(true)
    }
}

impl Store {
    /// Returns what is kept as `name`.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn kept(&self, name: &str) -> Result<Kept, StoreError> {
        let path = self.kept_folder(name);
        if path.symlink_metadata().is_err() {
            return Ok(Kept::Nothing);
        }
        Ok(match lock(&path)? {
            None => Kept::InUse,
            Some(_) if !path.is_dir() => Kept::Nothing,
            Some(lock) => Kept::Free(KeptDir { path, _lock: lock }),
        })
    }

    /// Removes what is kept as `name`, unless another process works in it.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn forget_kept(&self, name: &str) -> Result<(), StoreError> {
        match self.kept(name)? {
            Kept::Free(kept) => remove_all(kept.path())
                .map_err(|error| StoreError::from_io("remove", kept.path(), error)),
            Kept::Nothing | Kept::InUse => Ok(()),
        }
    }

    /// Removes what failed steps left, but for what somebody works in, and damaged things that were set
    /// aside; or says what that would be.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn remove_evidence(&self, mode: CollectMode) -> Result<Gone, StoreError> {
        let mut gone = Gone::default();
        let entries = |folder: &str| {
            let entries = walkdir::WalkDir::new(self.root().join(folder));
            let entries = entries.min_depth(1).max_depth(1).sort_by_file_name();
            entries
                .into_iter()
                .flatten()
                .map(walkdir::DirEntry::into_path)
        };
        let mut remove = |path: &Path| {
            gone.add(folder_bytes(path));
            match mode {
                CollectMode::DryRun => Ok(()),
                CollectMode::Remove => {
                    remove_all(path).map_err(|error| StoreError::from_io("remove", path, error))
                }
            }
        };
        for path in entries("kept").filter(|path| path.is_dir()) {
            if let Some(_lock) = lock(&path)? {
                remove(&path)?;
            }
        }
        for path in entries("quarantine") {
            remove(&path)?;
        }
        Ok(gone)
    }

    fn kept_folder(&self, name: &str) -> PathBuf {
        self.root().join("kept").join(name)
    }
}

/// Takes the lock of a kept folder; `None` while another has it.
fn lock(place: &Path) -> Result<Option<OwnedFd>, StoreError> {
    let mut path = place.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)
            .map_err(|error| StoreError::from_io("create", folder, error))?;
    }
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let lock = rustix::fs::open(&path, flags, Mode::RUSR | Mode::WUSR)
        .map_err(|error| StoreError::from_io("lock", &path, error))?;
    Ok(take_lock(&lock, &path)?.then_some(lock))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scratch(store: &Store, text: &str) -> ScratchDir {
        let scratch = store.scratch().unwrap();
        fs_err::create_dir(scratch.path().join("build")).unwrap();
        fs_err::write(scratch.path().join("build/file"), text).unwrap();
        scratch
    }

    #[test]
    fn the_last_failure_is_kept_and_nobody_loses_what_they_work_in() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let read = |kept: &Kept| match kept {
            Kept::Free(kept) => fs_err::read_to_string(kept.path().join("build/file")).unwrap(),
            other => format!("{other:?}"),
        };
        assert_eq!(read(&store.kept("a@usr-lib-b").unwrap()), "Nothing");
        assert!(
            scratch(&store, "one")
                .keep_as(&store, "a@usr-lib-b")
                .unwrap()
        );
        assert!(
            scratch(&store, "two")
                .keep_as(&store, "a@usr-lib-b")
                .unwrap()
        );
        let held = store.kept("a@usr-lib-b").unwrap();
        assert_eq!(read(&held), "two");
        assert_eq!(read(&store.kept("a@usr-lib-b").unwrap()), "InUse");
        assert!(
            !scratch(&store, "three")
                .keep_as(&store, "a@usr-lib-b")
                .unwrap()
        );
        store.forget_kept("a@usr-lib-b").unwrap();
        assert_eq!(read(&held), "two");
        drop(held);
        store.forget_kept("a@usr-lib-b").unwrap();
        assert_eq!(read(&store.kept("a@usr-lib-b").unwrap()), "Nothing");
    }

    #[test]
    fn a_folder_that_its_mode_protects_is_kept_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        for _ in 0..2 {
            let scratch = scratch(&store, "x");
            let none = std::fs::Permissions::from_mode(0o000);
            std::fs::set_permissions(scratch.path().join("build"), none.clone()).unwrap();
            std::fs::set_permissions(scratch.path(), none).unwrap();
            assert!(scratch.keep_as(&store, "a").unwrap());
        }
        store.forget_kept("a").unwrap();
        assert!(matches!(store.kept("a").unwrap(), Kept::Nothing));
    }
}
