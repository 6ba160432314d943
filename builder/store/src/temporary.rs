//! Each process's own folder below `tmp/`, and the removal of those that dead kilns left.
//!
//! ```text
//! tmp/kiln-XXXXXX.lock   flocked for as long as its kiln lives; the kernel releases it on death
//! tmp/kiln-XXXXXX/       everything that this kiln has not published yet
//! tmp/partial-<hex>      a download that the next kiln goes on with; see `partial`
//! ```
//!
//! The lock is made before its folder and removed after it. So a folder without a lock belongs to
//! nobody, and neither does one whose lock can be taken.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::error::StoreError;
use crate::remove::remove_all;

/// How the name of every session's folder starts.
const PREFIX: &str = "kiln-";

/// The folder of one live store handle; removed with the last thing that uses it.
#[derive(Debug)]
pub(crate) struct Session {
    folder: PathBuf,
    lock_path: PathBuf,
    lock: OwnedFd,
}

impl Session {
    /// Makes a fresh folder below `tmp`.
    pub(crate) fn start(tmp: &Path) -> Result<Self, StoreError> {
        loop {
            if let Some(session) = Self::try_start(tmp)? {
                return Ok(session);
            }
        }
    }

    fn try_start(tmp: &Path) -> Result<Option<Self>, StoreError> {
        let failed = |error: io::Error| StoreError::from_io("create", tmp, error);
        let (lock, lock_path) = tempfile::Builder::new()
            .prefix(PREFIX)
            .suffix(".lock")
            .rand_bytes(12)
            .make_in(tmp, |path| {
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?)
            })
            .map_err(failed)?
            .keep()
            .map_err(|error| failed(error.error))?;
        // Between these two lines another kiln may take the lock for a dead one's and remove it.
        if !take_lock(&lock, &lock_path)? {
            return Ok(None);
        }
        let folder = lock_path.with_extension("");
        if let Err(error) = rustix::fs::mkdir(&folder, Mode::RWXU) {
            let _ = rustix::fs::unlink(&lock_path);
            return Err(StoreError::from_io("create", &folder, error));
        }
        Ok(Some(Self {
            folder,
            lock_path,
            lock,
        }))
    }

    /// Returns the folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns when the session began, by its file system's clock: seconds since 1970.
    pub(crate) fn began(&self) -> Result<i64, StoreError> {
        let stat = rustix::fs::fstat(&self.lock);
        stat.map(|stat| stat.st_mtime)
            .map_err(|error| StoreError::from_io("read", &self.lock_path, error))
    }

    /// Makes an empty folder with an unpredictable name in this one.
    pub(crate) fn folder_for(self: &Arc<Self>, prefix: &str) -> Result<ScratchDir, StoreError> {
        let made = tempfile::Builder::new()
            .prefix(prefix)
            .tempdir_in(&self.folder)
            .map_err(|error| StoreError::from_io("create", &self.folder, error))?;
        Ok(ScratchDir {
            path: made.keep(),
            _session: Arc::clone(self),
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Whatever can not be removed now has no lock afterwards: the next kiln tries again.
        let _ = remove_all(&self.folder);
        let _ = rustix::fs::unlink(&self.lock_path);
    }
}

/// Takes the lock; `false` when it is another's or `path` no longer names it.
pub(crate) fn take_lock(lock: &OwnedFd, path: &Path) -> Result<bool, StoreError> {
    match rustix::fs::flock(lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(false),
        Err(error) => return Err(StoreError::from_io("lock", path, error)),
    }
    let ours = rustix::fs::fstat(lock).map_err(|e| StoreError::from_io("lock", path, e))?;
    match rustix::fs::lstat(path) {
        Ok(named) => Ok(named.st_ino == ours.st_ino && named.st_dev == ours.st_dev),
        Err(Errno::NOENT) => Ok(false),
        Err(error) => Err(StoreError::from_io("lock", path, error)),
    }
}

/// Removes what dead kilns left below `tmp`. What can not be removed (another user's) stays.
pub(crate) fn remove_leftovers(tmp: &Path) {
    let entries = walkdir::WalkDir::new(tmp)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    for entry in entries.into_iter().flatten() {
        let path = entry.path();
        // Names that no kiln gave are not kiln's to remove.
        if !entry
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes())
        {
            continue;
        }
        if path
            .extension()
            .is_some_and(|extension| extension == "lock")
        {
            remove_if_dead(path);
        } else if lock_of(path).is_none_or(|lock| lock.symlink_metadata().is_err()) {
            let _ = remove_all(path);
        }
    }
}

fn lock_of(folder: &Path) -> Option<PathBuf> {
    let mut name = folder.file_name()?.to_owned();
    name.push(".lock");
    Some(folder.with_file_name(name))
}

fn remove_if_dead(lock_path: &Path) {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(lock) = rustix::fs::open(lock_path, flags, Mode::empty()) else {
        return;
    };
    if matches!(take_lock(&lock, lock_path), Ok(true))
        && remove_all(&lock_path.with_extension("")).is_ok()
    {
        let _ = rustix::fs::unlink(lock_path);
    }
}

/// A folder of one's own on the store's file system, removed with this value whatever is in it.
#[derive(Debug)]
pub struct ScratchDir {
    path: PathBuf,
    /// Keeps the session, whose end removes everything.
    _session: Arc<Session>,
}

impl ScratchDir {
    /// Returns the folder's absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        // What remains goes with the session's folder.
        let _ = remove_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(tmp: &Path) -> Vec<String> {
        walkdir::WalkDir::new(tmp)
            .min_depth(1)
            .max_depth(1)
            .sort_by_file_name()
            .into_iter()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_live_session_survives_and_the_rest_goes() {
        let tmp = tempfile::tempdir().unwrap();
        let live = Arc::new(Session::start(tmp.path()).unwrap());
        let scratch = live.folder_for("scratch-").unwrap();
        fs_err::write(scratch.path().join("file"), "x").unwrap();
        let dead = |name: &str| tmp.path().join(name);
        fs_err::write(dead("kiln-dead.lock"), "").unwrap();
        fs_err::create_dir_all(dead("kiln-dead/scratch-x/deep")).unwrap();
        fs_err::create_dir_all(dead("kiln-orphan/scratch-x")).unwrap();
        fs_err::write(dead("stray"), "x").unwrap();
        std::os::unix::fs::symlink(scratch.path(), dead("kiln-link.lock")).unwrap();

        remove_leftovers(tmp.path());
        let folder = live.folder().file_name().unwrap().to_string_lossy();
        let mut expected = [
            folder.to_string(),
            format!("{folder}.lock"),
            "kiln-link.lock".to_owned(),
            "stray".to_owned(),
        ];
        expected.sort();
        assert_eq!(listed(tmp.path()), expected);
        assert!(scratch.path().join("file").exists());
        let kept = scratch.path().to_owned();
        drop(live);
        assert!(kept.exists(), "a scratch folder keeps its session alive");
        drop(scratch);
        assert_eq!(listed(tmp.path()), ["kiln-link.lock", "stray"]);
    }

    #[test]
    fn sessions_that_start_while_others_clean_are_not_lost() {
        let tmp = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let session = Arc::new(Session::start(tmp.path()).unwrap());
                        remove_leftovers(tmp.path());
                        let scratch = session.folder_for("scratch-").unwrap();
                        fs_err::write(scratch.path().join("file"), "x").unwrap();
                        remove_leftovers(tmp.path());
                        assert!(scratch.path().join("file").exists());
                    }
                });
            }
        });
        assert!(listed(tmp.path()).is_empty());
    }
}
