//! What a folder's file system offers, asked before anything is stored on it.
//!
//! Trees of a store hold links, names that differ in case only, programs and exact permissions; a
//! file system that changes any of it would change what is built.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, StatVfsMountFlags};

use crate::error::StoreError;
use crate::layout;

/// What is known of a folder, or of the nearest one above it that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FolderFacts {
    /// The folder that was looked at.
    pub folder: PathBuf,
    /// Whether it is the one that was asked for.
    pub exists: bool,
    /// The user id of its owner.
    pub owner: u32,
    /// What kind of file system it is on: `ext4`.
    pub file_system: String,
    /// Bytes that this user may still write.
    pub free_bytes: u64,
    /// Files that may still be made; `None` where the file system has no such limit.
    pub free_files: Option<u64>,
    /// What the file system, or how it is mounted, lacks.
    pub lacks: Vec<Lack>,
}

/// Something that a store needs or uses and a file system does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Lack {
    /// Symbolic links.
    #[error("symbolic links")]
    Symlinks,
    /// Names that differ in case only.
    #[error("names that differ in case only")]
    Case,
    /// Permissions.
    #[error("permissions of files")]
    Modes,
    /// Advisory locks.
    #[error("file locks")]
    Locks,
    /// The right to run programs.
    #[error("the right to run programs (it is mounted with `noexec`)")]
    Programs,
    /// A rename that never replaces; a store then links instead.
    #[error("renaming without replacing")]
    RenameNoReplace,
}

impl Lack {
    /// Returns whether a store can do without.
    #[must_use]
    pub const fn is_bearable(self) -> bool {
        matches!(self, Self::RenameNoReplace)
    }
}

/// Looks at the folder, or at the nearest one above it. A scratch folder is made in it and removed.
///
/// # Errors
/// `NotAFolder`, `NotWritable`, `DiskFull`, or as the system refuses.
pub fn examine_folder(folder: &Path) -> Result<FolderFacts, StoreError> {
    let nearest = nearest_folder(folder)?;
    let failed = |error: io::Error| StoreError::from_io("create", &nearest, error);
    let status = rustix::fs::stat(&nearest).map_err(|errno| failed(errno.into()))?;
    let space = rustix::fs::statvfs(&nearest).map_err(|errno| failed(errno.into()))?;
    let mut lacks = with_scratch(&nearest, missing)?.map_err(failed)?;
    if space.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        lacks.push(Lack::Programs);
    }
    lacks.sort();
    Ok(FolderFacts {
        exists: nearest == folder,
        owner: status.st_uid,
        file_system: file_system(&nearest),
        free_bytes: space.f_bavail.saturating_mul(space.f_frsize),
        free_files: (space.f_files > 0).then_some(space.f_favail),
        lacks,
        folder: nearest,
    })
}

/// Looks at the folder of a store, without making one: a folder that is there must be a store or
/// able to become one.
///
/// # Errors
/// `NotAStore`, `Newer`, `DamagedFormat`, and as [`examine_folder`].
pub fn examine_store(root: &Path) -> Result<FolderFacts, StoreError> {
    let facts = examine_folder(root)?;
    if facts.exists {
        layout::check(&facts.folder)?;
    }
    Ok(facts)
}

/// Makes an empty folder in `folder`, does something with it and removes it.
///
/// # Errors
/// `NotWritable`, `DiskFull`, or as the system refuses.
pub fn with_scratch<T>(folder: &Path, act: impl FnOnce(&Path) -> T) -> Result<T, StoreError> {
    let failed = |error: io::Error| StoreError::from_io("create", folder, error);
    let scratch = tempfile::Builder::new()
        .prefix(layout::UNFINISHED)
        .tempdir_in(folder)
        .map_err(failed)?;
    let outcome = act(scratch.path());
    scratch.close().map_err(failed)?;
    Ok(outcome)
}

fn nearest_folder(folder: &Path) -> Result<PathBuf, StoreError> {
    let absolute = std::path::absolute(folder);
    let absolute = absolute.map_err(|error| StoreError::from_io("read", folder, error))?;
    for place in absolute.ancestors() {
        match fs_err::metadata(place) {
            Ok(found) if found.is_dir() => return Ok(place.to_owned()),
            Ok(_) => return Err(StoreError::NotAFolder { path: place.into() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) => return Err(StoreError::from_io("read", place, error)),
        }
    }
    Err(StoreError::NotAFolder { path: absolute })
}

/// Tries in an empty folder what cannot be asked.
fn missing(scratch: &Path) -> io::Result<Vec<Lack>> {
    let at = |name: &str| scratch.join(name);
    let mut lacks = Vec::new();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(at("name"), flags, Mode::RUSR | Mode::WUSR)?;
    if rustix::fs::symlink("name", at("link")).is_err() {
        lacks.push(Lack::Symlinks);
    }
    if rustix::fs::lstat(at("NAME")).is_ok() {
        lacks.push(Lack::Case);
    }
    let mode = Mode::from_raw_mode(0o510);
    let keeps_mode = rustix::fs::fchmod(&file, mode).is_ok()
        && rustix::fs::fstat(&file).is_ok_and(|s| Mode::from_raw_mode(s.st_mode) == mode);
    if !keeps_mode {
        lacks.push(Lack::Modes);
    }
    if rustix::fs::flock(file.as_fd(), FlockOperation::NonBlockingLockExclusive).is_err() {
        lacks.push(Lack::Locks);
    }
    let flag = rustix::fs::RenameFlags::NOREPLACE;
    if rustix::fs::renameat_with(CWD, at("name"), CWD, at("other"), flag).is_err() {
        lacks.push(Lack::RenameNoReplace);
    }
    let _ = rustix::fs::unlinkat(CWD, at("link"), AtFlags::empty());
    Ok(lacks)
}

/// Names the kinds of file systems that people keep stores on; `linux/magic.h` has the numbers.
fn file_system(folder: &Path) -> String {
    let Ok(found) = rustix::fs::statfs(folder) else {
        return "unknown".to_owned();
    };
    let name = match found.f_type {
        0xEF53 => "ext4",
        0x9123_683E => "btrfs",
        0x5846_5342 => "xfs",
        0xF2F5_2010 => "f2fs",
        0x2FC1_2FC1 => "zfs",
        0xCA45_1A4E => "bcachefs",
        0x0102_1994 => "tmpfs",
        0x794C_7630 => "overlayfs",
        0x6969 => "nfs",
        0xFF53_4D42 | 0xFE53_4D42 => "smb",
        0x0102_1997 => "9p",
        0x6573_5546 => "fuse",
        0x4D44 => "vfat",
        0x2011_BAB0 => "exfat",
        0x7366_746E => "ntfs3",
        other => return format!("file system {other:#x}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_folder_lacks_nothing_and_keeps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let real = fs_err::canonicalize(folder.path()).unwrap();
        let facts = examine_folder(&real).unwrap();
        assert_eq!((facts.exists, &facts.folder), (true, &real));
        assert_eq!(facts.owner, rustix::process::geteuid().as_raw());
        assert!(facts.free_bytes > 0);
        let unbearable = facts.lacks.iter().filter(|lack| !lack.is_bearable());
        assert_eq!(unbearable.count(), 0, "{facts:?}");
        assert_eq!(
            walkdir::WalkDir::new(&real)
                .min_depth(1)
                .into_iter()
                .count(),
            0
        );
    }

    #[test]
    fn a_store_to_be_is_judged_by_the_folder_it_will_be_in_and_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let real = fs_err::canonicalize(folder.path()).unwrap();
        let root = real.join("a/b/store");
        let facts = examine_store(&root).unwrap();
        assert_eq!((facts.exists, &facts.folder), (false, &real));
        assert!(!real.join("a").exists());
    }

    #[test]
    fn what_can_not_be_a_store_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs_err::write(&file, "").unwrap();
        for place in [file.clone(), file.join("store")] {
            let error = examine_store(&place).unwrap_err();
            assert!(
                matches!(&error, StoreError::NotAFolder { path } if *path == file),
                "{error}"
            );
        }
        let error = examine_store(folder.path()).unwrap_err();
        assert!(
            matches!(&error, StoreError::NotAStore { found, .. } if found == "file"),
            "{error}"
        );
        fs_err::write(folder.path().join("kiln-store.json"), "{\"format\":9}").unwrap();
        let error = examine_store(folder.path()).unwrap_err();
        assert!(
            matches!(error, StoreError::Newer { actual: 9, .. }),
            "{error}"
        );
    }
}
