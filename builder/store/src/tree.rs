//! Trees: unpacked layers and destdirs, each sealed once and never written to again.
//!
//! ```text
//! trees/<hex of the diff id>/root/       the files, with the modes that they are to have
//! trees/<hex of the diff id>/seal.json   {"format":1,"diff-id":"sha256:…","entries":N}
//! ```
//!
//! The seal is written when everything below `root` has reached the disk, and the folder gets its
//! name after that: a tree is there whole or not at all. On use only the seal is checked; whether
//! every file still is as it was is asked by `kiln store check`.

use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use kiln_model::DiffId;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::aside::StoredThing;
use crate::error::{StoreError, WriteTreeError};
use crate::publish::{NameSync, Published, publish, replace_file};
use crate::store::Store;

const SEAL_FORMAT: u32 = 1;
/// Bytes that a seal may have; one has about 120.
const SEAL_LIMIT: u64 = 4096;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Seal {
    format: u32,
    diff_id: DiffId,
    /// Files, folders, links below `root`; a folder that its own owner may not read counts as one.
    entries: u64,
}

impl Store {
    /// Returns the root of a tree if it is there and its seal is right.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn tree(&self, id: &DiffId) -> Result<Option<PathBuf>, StoreError> {
        self.lease(&[id.0])?;
        let folder = self.tree_folder(id);
        let root = folder.join("root");
        let is_sealed = read_seal(&folder.join("seal.json"))
            .is_some_and(|seal| seal.format == SEAL_FORMAT && seal.diff_id == *id);
        let is_folder = root.symlink_metadata().is_ok_and(|found| found.is_dir());
        Ok((is_sealed && is_folder).then_some(root))
    }

    /// Stores the tree that `fill` makes in the empty folder it is given, unless it is there.
    ///
    /// If another kiln stores the same tree first, its tree is used. A tree with a damaged seal is
    /// set aside and replaced.
    ///
    /// # Errors
    /// `Fill` with what `fill` said, `Store` as the system refuses; nothing is kept then.
    pub fn write_tree<E>(
        &self,
        id: &DiffId,
        fill: &mut dyn FnMut(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, WriteTreeError<E>> {
        if let Some(root) = self.tree(id)? {
            return Ok(root);
        }
        let unfinished = self.unfinished_folder("tree-")?;
        let root = unfinished.path().join("root");
        create_root(&root)?;
        set_mode(unfinished.path())?;
        let disk = open_folder(unfinished.path())?;
        fill(&root).map_err(WriteTreeError::Fill)?;
        let entries = count_entries(&root);
        sync_file_system(&disk, &root)?;
        let seal = Seal {
            format: SEAL_FORMAT,
            diff_id: *id,
            entries,
        };
        let text = serde_json::to_vec(&seal).expect("a seal holds only numbers and texts");
        replace_file(
            self.session_folder(),
            &unfinished.path().join("seal.json"),
            &text,
        )?;
        let target = self.tree_folder(id);
        loop {
            if publish(unfinished.path(), &target, NameSync::Now)? == Published::New {
                return Ok(target.join("root"));
            }
            if let Some(root) = self.tree(id)? {
                return Ok(root);
            }
            self.quarantine(&target, StoredThing::Tree(*id))?;
        }
    }

    fn tree_folder(&self, id: &DiffId) -> PathBuf {
        self.root().join("trees").join(id.0.to_hex())
    }
}

fn create_root(root: &Path) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::from_io("create", root, error);
    std::fs::DirBuilder::new().create(root).map_err(failed)?;
    // Not as the umask says: the root's mode is part of the tree.
    set_mode(root)
}

fn set_mode(folder: &Path) -> Result<(), StoreError> {
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
        .map_err(|error| StoreError::from_io("write", folder, error))
}

fn count_entries(root: &Path) -> u64 {
    let entries = walkdir::WalkDir::new(root).min_depth(1).into_iter();
    entries.flatten().fold(0, |count, _| count + 1)
}

fn open_folder(folder: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(folder, flags, Mode::empty())
        .map_err(|error| StoreError::from_io("open", folder, error))
}

/// Waits until everything on the file system of `disk` has reached the disk: one wait instead of one
/// per file. The handle is older than what is waited for, so that it hears of every failure since.
fn sync_file_system(disk: &OwnedFd, root: &Path) -> Result<(), StoreError> {
    rustix::fs::syncfs(disk).map_err(|error| StoreError::from_io("write", root, error))
}

fn read_seal(path: &Path) -> Option<Seal> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let mut text = Vec::new();
    file.take(SEAL_LIMIT).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
