//! Turns: the right to make one thing, which one kiln has at a time.
//!
//! ```text
//! locks/<hex>   flocked by the kiln that makes what has this name; released by the kernel on death
//! ```
//!
//! Who has a turn looks again whether the thing is there by now, makes it if not, and lets go. A turn
//! makes nothing right or wrong: without turns the same work would be done twice, with the same result.
//! So where another user's lock file can not be opened, the turn is given without one.
//!
//! Nothing here waits. A lock file is removed by who holds its lock, before the lock goes; who opened it
//! meanwhile finds that the name leads to another file or none, and opens it anew. What a killed kiln
//! left is removed by the next one that opens the store.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use kiln_model::Digest;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::error::StoreError;
use crate::store::Store;
use crate::temporary::take_lock;

/// The folder of the locks, in the store's root.
const FOLDER: &str = "locks";

/// The right to make one thing. It ends with this value.
#[derive(Debug)]
#[must_use = "the turn ends when it is dropped"]
pub struct Turn {
    /// `None` where the lock is another user's and can not be opened.
    _held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    path: PathBuf,
    _lock: OwnedFd,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Before the lock goes with the handle: nobody else removes a file whose lock is held.
        let _ = rustix::fs::unlink(&self.path);
    }
}

impl Turn {
    /// Returns a turn at something that nobody else makes.
    pub const fn free() -> Self {
        Self { _held: None }
    }
}

impl Store {
    /// Takes the turn at what `name` names, unless another kiln, or another thread of this one, has
    /// it: `None` then. Does not wait.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn try_turn(&self, name: &Digest) -> Result<Option<Turn>, StoreError> {
        let path = self.root().join(FOLDER).join(name.to_hex());
        let flags = OFlags::RDONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        loop {
            let lock = match rustix::fs::open(&path, flags, Mode::from_raw_mode(0o644)) {
                Ok(lock) => lock,
                Err(Errno::ACCESS) if path.symlink_metadata().is_ok() => {
                    return Ok(Some(Turn::free()));
                }
                Err(error) => return Err(StoreError::from_io("create", &path, error)),
            };
            if take_lock(&lock, &path)? {
                let held = Some(Held { path, _lock: lock });
                return Ok(Some(Turn { _held: held }));
            }
            if names_this(&path, &lock) {
                return Ok(None);
            }
            // Its holder removed it between opening and locking: the name is free.
        }
    }
}

/// Returns whether `path` still leads to the file that was opened.
fn names_this(path: &Path, lock: &OwnedFd) -> bool {
    let (Ok(named), Ok(ours)) = (rustix::fs::lstat(path), rustix::fs::fstat(lock)) else {
        return false;
    };
    (named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)
}

/// Removes the lock files that dead kilns left. What can not be removed stays, and harms nobody.
pub(crate) fn remove_dead(root: &Path) {
    let entries = walkdir::WalkDir::new(root.join(FOLDER))
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    for entry in entries.into_iter().flatten() {
        let path = entry.path();
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let Ok(lock) = rustix::fs::open(path, flags, Mode::empty()) else {
            continue;
        };
        if matches!(take_lock(&lock, path), Ok(true)) {
            let _ = rustix::fs::unlink(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn locks(store: &Store) -> usize {
        let folder = walkdir::WalkDir::new(store.root().join(FOLDER)).min_depth(1);
        folder.into_iter().count()
    }

    #[test]
    fn one_has_the_turn_and_nothing_stays_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let other = Store::open(store.root()).unwrap();
        let [a, b] = [b"a", b"b"].map(|name| Digest::of(name));
        let turn = store.try_turn(&a).unwrap().unwrap();
        assert!(other.try_turn(&a).unwrap().is_none());
        assert!(store.try_turn(&a).unwrap().is_none(), "nor another thread");
        let second = other.try_turn(&b).unwrap().unwrap();
        drop(Store::open(store.root()).unwrap());
        assert!(
            other.try_turn(&a).unwrap().is_none(),
            "it is not swept away"
        );
        drop(turn);
        drop(other.try_turn(&a).unwrap().unwrap());
        drop(second);
        assert_eq!(locks(&store), 0);
    }

    #[test]
    fn what_a_dead_kiln_left_is_free_and_goes() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let name = Digest::of(b"left");
        let left = store.root().join(FOLDER).join(name.to_hex());
        fs_err::write(&left, "").unwrap();
        drop(store.try_turn(&name).unwrap().unwrap());
        fs_err::write(&left, "").unwrap();
        drop(Store::open(store.root()).unwrap());
        assert_eq!(locks(&store), 0);
    }

    #[test]
    fn never_do_two_have_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("store");
        drop(Store::open(&root).unwrap());
        let (inside, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let store = Store::open(&root).unwrap();
                    for _ in 0..300 {
                        let Some(_turn) = store.try_turn(&Digest::of(b"it")).unwrap() else {
                            std::thread::yield_now();
                            continue;
                        };
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        taken.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(taken.into_inner() > 0);
    }
}
