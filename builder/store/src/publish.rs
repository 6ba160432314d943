//! How a finished file or folder gets its final name: never half, never over another's.
//!
//! Order (each step needs the one before it to survive a power cut): the file's bytes are synced,
//! it is renamed without replacing, its folder is synced, and only then is anything written that
//! refers to it.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

use crate::error::StoreError;

/// Says whether a name was free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Published {
    /// The file now has the name.
    New,
    /// Something has the name already; the temporary file is where it was.
    AlreadyThere,
}

/// When the folder of a new name is synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameSync {
    /// At once.
    Now,
    /// By the caller, before it writes what refers to the name: once for several.
    Later,
}

/// Gives the file or folder `from` the name `to` unless something has it.
pub(crate) fn publish(from: &Path, to: &Path, sync: NameSync) -> Result<Published, StoreError> {
    let published = match rename_noreplace(from, to) {
        Ok(()) => Published::New,
        // Whoever gave it may not have synced it yet, and what we write next relies on it.
        Err(Errno::EXIST | Errno::NOTEMPTY) => Published::AlreadyThere,
        Err(error) => return Err(StoreError::from_io("publish", to, error)),
    };
    if sync == NameSync::Now {
        sync_parent(to)?;
    }
    Ok(published)
}

/// Renames without replacing, by the best means that the file system has.
pub(crate) fn rename_noreplace(from: &Path, to: &Path) -> Result<(), Errno> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => rename_without_flag(from, to),
        outcome => outcome,
    }
}

/// Does the same where `RENAME_NOREPLACE` is unknown (NFS, some FUSE and old kernels).
///
/// A file is linked, which never replaces. A folder is renamed: the system refuses to replace a
/// folder that is not empty, and ours never are. A file on a file system without links is renamed
/// after a look: who loses that race replaces a blob by the same bytes.
fn rename_without_flag(from: &Path, to: &Path) -> Result<(), Errno> {
    match rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty()) {
        Ok(()) => rustix::fs::unlink(from),
        Err(Errno::EXIST) => Err(Errno::EXIST),
        Err(Errno::PERM | Errno::NOTSUP | Errno::NOSYS | Errno::INVAL | Errno::MLINK) => {
            let is_folder = from.is_dir();
            if !is_folder && to.symlink_metadata().is_ok() {
                return Err(Errno::EXIST);
            }
            rustix::fs::rename(from, to)
        }
        Err(error) => Err(error),
    }
}

/// Writes `bytes` to a fresh file in `temporary` and moves it to `target`, over what is there.
pub(crate) fn replace_file(
    temporary: &Path,
    target: &Path,
    bytes: &[u8],
) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::from_io("write", target, error);
    let mut file = tempfile::Builder::new()
        .prefix("record-")
        .tempfile_in(temporary)
        .map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    let mode = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(mode).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    file.persist(target).map_err(|error| failed(error.error))?;
    sync_parent(target)
}

/// Makes the names in the folder of `path` survive a power cut.
pub(crate) fn sync_parent(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(path);
    sync_folder(folder)
}

/// Makes the names in `folder` survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(folder, flags, Mode::empty())
        .map_err(|error| StoreError::from_io("open", folder, error))?;
    match rustix::fs::fsync(handle) {
        // Some file systems have nothing to sync for a folder and say so.
        Ok(()) | Err(Errno::INVAL | Errno::NOTSUP) => Ok(()),
        Err(error) => Err(StoreError::from_io("write", folder, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_renaming_replaces_what_is_there() {
        for rename in [rename_noreplace, rename_without_flag] {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            fs_err::write(path("a"), "a").unwrap();
            fs_err::write(path("b"), "b").unwrap();
            assert_eq!(rename(&path("a"), &path("b")), Err(Errno::EXIST));
            assert_eq!(fs_err::read(path("b")).unwrap(), b"b");
            assert_eq!(rename(&path("a"), &path("c")), Ok(()));
            assert!(!path("a").exists());

            fs_err::create_dir_all(path("new/root")).unwrap();
            fs_err::create_dir_all(path("old/root")).unwrap();
            let outcome = rename(&path("new"), &path("old"));
            assert!(matches!(outcome, Err(Errno::EXIST | Errno::NOTEMPTY)));
            assert_eq!(rename(&path("new"), &path("other")), Ok(()));
        }
    }
}
