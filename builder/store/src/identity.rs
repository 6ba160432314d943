//! What a file looks like from outside, and when that is enough to know that its bytes are the same.
//!
//! A file that is written to or replaced gets another change time or inode; no program can set a
//! change time, unlike a modification time. What this does not show is a disk that forgets bits, and
//! a write within the same tick of the file system's clock as the look before it: hence
//! [`FileIdentity::is_settled`].

use std::fs::File;
use std::io;
use std::path::Path;

use kiln_model::Digest;
use rustix::fs::{FileType, Mode, OFlags, Stat};
use serde::{Deserialize, Serialize};

use crate::blob::{Wanted, observe};

/// Seconds that a file must have been left alone: file systems count time in steps of up to two.
const SETTLED: i64 = 2;

/// What changes when a file is replaced or written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    /// Bytes.
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

impl FileIdentity {
    /// Returns the identity of an open file.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn of(file: &File) -> Result<Self, io::Error> {
        Ok(Self::from_stat(&rustix::fs::fstat(file)?))
    }

    /// Returns the identity of the regular file at `path`; `None` when something else is there, or
    /// nothing. The last component is not followed if it is a link.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let stat = rustix::fs::lstat(path).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode).is_file();
        is_file.then(|| Self::from_stat(&stat))
    }

    fn from_stat(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime, nanoseconds(stat.st_mtime_nsec)),
            changed: (stat.st_ctime, nanoseconds(stat.st_ctime_nsec)),
        }
    }

    /// Returns the file's size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns whether the file was left alone for so long before `newer` was made, on the same file
    /// system, that a later write must show.
    #[must_use]
    pub fn is_settled(&self, newer: &Self) -> bool {
        self.changed.0.saturating_add(SETTLED) < newer.changed.0
    }
}

/// The field's type differs between architectures; only equality matters.
fn nanoseconds(field: impl TryInto<i64>) -> i64 {
    field.try_into().unwrap_or(0)
}

/// What reading a file showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObservedFile {
    /// The digest of its bytes.
    pub digest: Digest,
    /// What it looked like, unless it changed while it was read.
    pub identity: Option<FileIdentity>,
}

/// Reads the regular file at `path` to its end, without following a link there.
///
/// # Errors
/// As the system refuses; `InvalidInput` when something else is there.
pub fn observe_file(path: &Path) -> io::Result<ObservedFile> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let stat = rustix::fs::fstat(&file)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        let message = format!("`{}` is no regular file", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    ObservedFile::of(&file, path)
}

impl ObservedFile {
    /// Reads the rest of an open file, called `path` in errors.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn of(file: &File, path: &Path) -> io::Result<Self> {
        let before = FileIdentity::of(file)?;
        let observed = observe(file, path, Wanted::Sha256).map_err(io::Error::other)?;
        let is_same = FileIdentity::of(file)? == before;
        Ok(Self {
            digest: observed.digest,
            identity: is_same.then_some(before),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_write_and_every_replacement_shows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::write(&path, "one").unwrap();
        let first = FileIdentity::at(&path).unwrap();
        assert_eq!(FileIdentity::at(&path), Some(first));
        assert_eq!(
            observe_file(&path).unwrap(),
            ObservedFile {
                digest: Digest::of(b"one"),
                identity: Some(first)
            }
        );

        // The same size, and the modification time set back: the change time tells.
        let modified = fs_err::metadata(&path).unwrap().modified().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs_err::write(&path, "two").unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(modified).unwrap();
        let second = FileIdentity::at(&path).unwrap();
        assert_eq!(second.modified, first.modified);
        assert_ne!(second, first);

        fs_err::write(folder.path().join("other"), "two").unwrap();
        fs_err::rename(folder.path().join("other"), &path).unwrap();
        assert_ne!(FileIdentity::at(&path).unwrap().inode, second.inode);
    }

    #[test]
    fn only_regular_files_have_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs_err::write(&path, "one").unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for other in [&link, &folder.path().join("missing"), folder.path()] {
            assert_eq!(FileIdentity::at(other), None, "{}", other.display());
        }
        let error = observe_file(folder.path()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = observe_file(&link).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::ELOOP));
    }

    #[test]
    fn a_file_settles_with_time() {
        let at = |seconds| FileIdentity {
            device: 1,
            inode: 1,
            size: 1,
            modified: (seconds, 0),
            changed: (seconds, 0),
        };
        for (age, expected) in [(-1, false), (0, false), (2, false), (3, true), (900, true)] {
            assert_eq!(at(100).is_settled(&at(100 + age)), expected, "{age}");
        }
    }
}
