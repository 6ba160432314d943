//! Puts results where people look for them: `out/`.
//!
//! Each file appears whole or not at all: it is written beside its place and renamed. A file that
//! already has the right bytes is left alone, so that nothing to do changes nothing.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use kiln_model::Digest;
use kiln_sandbox::Cancel;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;
use tempfile::NamedTempFile;
use walkdir::WalkDir;

use crate::error::BuildError;

/// Whether a file had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publication {
    /// It was written.
    Written,
    /// It already had these bytes.
    Unchanged,
}

/// Writes `bytes` to `path` atomically, unless it already has them.
///
/// # Errors
/// `Publish`. A half-written file never stays.
pub fn publish(path: &Path, bytes: &[u8]) -> Result<Publication, BuildError> {
    // A folder that is made now has a name in another one.
    let is_new = |folder: &&Path| folder.symlink_metadata().is_err();
    let folders: Vec<&Path> = path.ancestors().skip(1).collect();
    let made = folders.iter().copied().filter(is_new).count();
    let publication = publish_unsynced(path, bytes)?;
    if publication == Publication::Written {
        sync_folders(folders.into_iter().take(made + 1))?;
    }
    Ok(publication)
}

/// Does the same, but the file's name may not survive a power cut before [`sync_folders`] was called:
/// once for many files.
pub(crate) fn publish_unsynced(path: &Path, bytes: &[u8]) -> Result<Publication, BuildError> {
    if has_bytes(path, bytes) {
        return Ok(Publication::Unchanged);
    }
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder).map_err(refused(path))?;
    }
    write(path, bytes, readable())?;
    Ok(Publication::Written)
}

/// Makes the names in these folders survive a power cut.
///
/// # Errors
/// `Publish`, of the folder.
pub(crate) fn sync_folders<'a>(
    folders: impl IntoIterator<Item = &'a Path>,
) -> Result<(), BuildError> {
    for folder in folders {
        let folder = match folder.as_os_str().is_empty() {
            true => Path::new("."),
            false => folder,
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let synced = match rustix::fs::open(folder, flags, Mode::empty()) {
            Ok(handle) => rustix::fs::fsync(handle),
            Err(error) => Err(error),
        };
        match synced {
            // Some file systems have nothing to sync for a folder and say so; and what may be passed
            // through but not read was there before.
            Ok(()) | Err(Errno::INVAL | Errno::NOTSUP | Errno::ACCESS) => {}
            Err(error) => return Err(refused(folder)(error.into())),
        }
    }
    Ok(())
}

/// Writes `bytes` over the file at `path` atomically; it keeps its permissions.
///
/// # Errors
/// `Publish`. A half-written file never stays.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let found = path.metadata().map_err(refused(path))?;
    write(path, bytes, found.permissions())?;
    sync_folders(path.parent())
}

/// Writes a file that must not be there yet, atomically.
///
/// # Errors
/// `Publish`; of kind `AlreadyExists` when something has the name.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let file = temporary(path, bytes, readable()).map_err(refused(path))?;
    file.persist_noclobber(path)
        .map_err(|error| refused(path)(error.error))?;
    sync_folders(path.parent())
}

fn write(path: &Path, bytes: &[u8], permissions: Permissions) -> Result<(), BuildError> {
    let file = temporary(path, bytes, permissions).map_err(refused(path))?;
    file.persist(path)
        .map_err(|error| refused(path)(error.error))?;
    Ok(())
}

/// Names the file, and passes on what the system says without the temporary file that it was about.
pub(crate) fn refused(path: &Path) -> impl Fn(std::io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Publish {
        path: path.clone(),
        source: plain(source),
    }
}

/// Leaves the temporary file's name out: nobody finds it any more.
fn plain(error: std::io::Error) -> std::io::Error {
    let kind = error.kind();
    if error.get_ref().is_some() && kind != std::io::ErrorKind::Other {
        return kind.into();
    }
    error
}

/// Writes a file beside `path`, which is renamed to it when it is whole.
fn temporary(
    path: &Path,
    bytes: &[u8],
    permissions: Permissions,
) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    // Outright, whatever the umask.
    file.as_file().set_permissions(permissions)?;
    file.as_file().sync_all()?;
    Ok(file)
}

/// Between two looks whether another kiln is done with a folder of results.
const PAUSE: Duration = Duration::from_millis(50);

/// The start of the names of temporary files.
const TEMPORARY: &str = ".kiln-";

/// A folder of results that no other kiln writes into while this value lives.
#[derive(Debug)]
pub(crate) struct Claim {
    /// `None` where the file system has no locks: then nothing is swept either.
    _lock: Option<OwnedFd>,
}

/// Waits until no other kiln writes into `output`, and removes the temporary files that a killed one left
/// there. What can not be done here is said by the first file that can not be written.
///
/// # Errors
/// `Cancelled`.
pub(crate) fn claim(output: &Path, cancel: &Cancel) -> Result<Claim, BuildError> {
    drop(fs_err::create_dir_all(output));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut lock = rustix::fs::open(output, flags, Mode::empty()).ok();
    while let Some(handle) = &lock {
        match flock(handle, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(Errno::WOULDBLOCK) if cancel.is_cancelled() => return Err(BuildError::Cancelled),
            Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(PAUSE),
            Err(_) => lock = None,
        }
    }
    if lock.is_some() {
        for folder in ["provenance", "rpms", "sbom", "specs", "srpms"] {
            sweep(&output.join(folder));
        }
    }
    Ok(Claim { _lock: lock })
}

fn sweep(folder: &Path) {
    for entry in WalkDir::new(folder)
        .sort_by_file_name()
        .into_iter()
        .flatten()
    {
        let name = entry.file_name().as_encoded_bytes();
        if entry.file_type().is_file() && name.starts_with(TEMPORARY.as_bytes()) {
            drop(fs_err::remove_file(entry.path()));
        }
    }
}

fn readable() -> Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

fn has_bytes(path: &Path, bytes: &[u8]) -> bool {
    let is_same_length = path
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() == bytes.len() as u64);
    is_same_length
        && fs_err::read(path).is_ok_and(|actual| Digest::of(&actual) == Digest::of(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_and_is_left_alone_when_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        assert_eq!(publish(&path, b"one").unwrap(), Publication::Written);
        assert_eq!(publish(&path, b"one").unwrap(), Publication::Unchanged);
        assert_eq!(publish(&path, b"two").unwrap(), Publication::Written);
        assert_eq!(fs_err::read(&path).unwrap(), b"two");
        let names: Vec<_> = walkdir::WalkDir::new(folder.path().join("a"))
            .min_depth(1)
            .into_iter()
            .map(|entry| entry.unwrap().file_name().to_owned())
            .collect();
        assert_eq!(names, ["b.txt"], "nothing half-written stays");
    }

    #[test]
    fn a_place_that_can_not_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        publish(&blocked, b"x").unwrap();
        let below = blocked.join("below");
        let error = publish(&below, b"y").unwrap_err();
        let BuildError::Publish { path, source } = error else {
            panic!("{error:?}")
        };
        assert_eq!(path, below);
        assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_a_killed_kiln_left_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path();
        for path in ["specs/.kiln-a1", "rpms/x86_64/.kiln-b2", "srpms/.kiln-e5"] {
            publish(&out.join(path), b"half").unwrap();
        }
        for path in ["specs/.kilnx", "specs/x.spec", "logs/.kiln-c3", ".kiln-d4"] {
            publish(&out.join(path), b"whole").unwrap();
        }
        let claimed = claim(out, &Cancel::new()).unwrap();
        assert!(!out.join("specs/.kiln-a1").exists());
        assert!(!out.join("rpms/x86_64/.kiln-b2").exists());
        assert!(!out.join("srpms/.kiln-e5").exists());
        for path in ["specs/.kilnx", "specs/x.spec", "logs/.kiln-c3", ".kiln-d4"] {
            assert!(out.join(path).exists(), "{path}");
        }
        // Another kiln would wait.
        let other = rustix::fs::open(out, OFlags::RDONLY, Mode::empty()).unwrap();
        let wait = FlockOperation::NonBlockingLockExclusive;
        assert_eq!(flock(&other, wait), Err(rustix::io::Errno::WOULDBLOCK));
        let cancel = Cancel::new();
        cancel.cancel();
        let waiting = claim(out, &cancel);
        assert!(matches!(waiting, Err(BuildError::Cancelled)), "{waiting:?}");
        drop(claimed);
        assert_eq!(flock(&other, wait), Ok(()));
    }
}
