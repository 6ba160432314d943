//! Leases: what a live kiln uses, so that a garbage collector leaves it alone.
//!
//! ```text
//! tmp/kiln-XXXXXX/leases   32 bytes per digest; only that kiln adds to it, and it goes with its folder
//! lease.lock               flocked: shared while digests are added, exclusive while things are removed
//! ```
//!
//! A kiln notes a digest *before* it looks whether the store has it. A collector reads all leases and
//! removes in one exclusive stretch. So either the note came first and the collector sees it, or the
//! removal came first and the kiln finds nothing: never a thing that is found and then removed.
//!
//! What is noted are names of blobs and trees alike. A name that nothing has is noted too: the kiln may
//! be about to write it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use kiln_model::Digest;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};

use crate::error::StoreError;
use crate::lock::{lock_alone, open_lock, wait_for};

/// The name of the file in a session's folder.
const FILE: &str = "leases";
/// Bytes per digest.
const ENTRY: usize = 32;

/// The leases of one live store handle.
#[derive(Debug)]
pub(crate) struct Leases {
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    lock: OwnedFd,
    held: BTreeSet<Digest>,
}

impl Leases {
    /// Starts with none, for the session whose folder this is.
    pub(crate) fn start(session: &Path, store: &Path) -> Result<Self, StoreError> {
        let path = session.join(FILE);
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL;
        let file = rustix::fs::open(&path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o644))
            .map_err(|error| StoreError::from_io("create", &path, error))?;
        let state = Mutex::new(State {
            file: File::from(file),
            lock: open_lock(&lock_path(store))?,
            held: BTreeSet::new(),
        });
        Ok(Self { path, state })
    }

    /// Takes leases on all of `digests`: from now on no collector removes what they name.
    pub(crate) fn take(&self, digests: &[Digest]) -> Result<(), StoreError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<Digest> = digests
            .iter()
            .filter(|digest| !state.held.contains(digest))
            .copied()
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        let failed = |error: std::io::Error| StoreError::from_io("write", &self.path, error);
        let bytes: Vec<u8> = new.iter().flat_map(|digest| *digest.as_bytes()).collect();
        wait_for(&state.lock, FlockOperation::LockShared).map_err(|error| failed(error.into()))?;
        let written = state.file.write_all(&bytes);
        let released = flock(&state.lock, FlockOperation::Unlock);
        written.map_err(failed)?;
        released.map_err(|error| failed(error.into()))?;
        state.held.extend(new);
        Ok(())
    }
}

/// The exclusive stretch in which a collector removes: while it lives nobody takes a lease.
#[derive(Debug)]
pub(crate) struct Standstill {
    _lock: OwnedFd,
    /// Everything that live kilns, and such as died just now, have leases on.
    pub(crate) leased: BTreeSet<Digest>,
}

impl Standstill {
    /// Waits until nobody takes a lease, then reads all that were taken.
    pub(crate) fn begin(store: &Path) -> Result<Self, StoreError> {
        let lock = lock_alone(&lock_path(store))?;
        let tmp = store.join("tmp");
        let mut leased = BTreeSet::new();
        let entries = walkdir::WalkDir::new(&tmp).min_depth(1).max_depth(1);
        for entry in entries.sort_by_file_name() {
            let entry = entry.map_err(|error| StoreError::from_io("read", &tmp, error))?;
            let path = entry.path().join(FILE);
            let bytes = match fs_err::read(&path) {
                Ok(bytes) => bytes,
                // A lock file, or a session that ended just now.
                Err(error) if is_none(&error) => continue,
                Err(error) => return Err(StoreError::from_io("read", &path, error)),
            };
            leased.extend(bytes.chunks_exact(ENTRY).map(|entry| {
                Digest::from_bytes(entry.try_into().expect("chunks of that many bytes"))
            }));
        }
        Ok(Self {
            _lock: lock,
            leased,
        })
    }
}

fn is_none(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

fn lock_path(store: &Path) -> PathBuf {
    store.join("lease.lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_are_seen_by_others_until_their_kiln_is_gone() {
        let store = tempfile::tempdir().unwrap();
        let session = store.path().join("tmp/kiln-a");
        fs_err::create_dir_all(&session).unwrap();
        fs_err::write(store.path().join("tmp/kiln-a.lock"), "").unwrap();
        let leases = Leases::start(&session, store.path()).unwrap();
        let [one, two, three] = ["one", "two", "three"].map(|text| Digest::of(text.as_bytes()));
        leases.take(&[one, two]).unwrap();
        leases.take(&[two, three]).unwrap();
        let seen = Standstill::begin(store.path()).unwrap().leased;
        assert_eq!(seen, [one, two, three].into());
        let size = session.join("leases").metadata().unwrap().len();
        assert_eq!(size, 3 * ENTRY as u64, "each is noted once");
        fs_err::remove_dir_all(&session).unwrap();
        assert!(Standstill::begin(store.path()).unwrap().leased.is_empty());
    }

    #[test]
    fn nobody_takes_a_lease_while_things_are_removed() {
        let store = tempfile::tempdir().unwrap();
        let session = store.path().join("tmp/kiln-a");
        fs_err::create_dir_all(&session).unwrap();
        let leases = Leases::start(&session, store.path()).unwrap();
        let standstill = Standstill::begin(store.path()).unwrap();
        std::thread::scope(|scope| {
            let taking = scope.spawn(|| leases.take(&[Digest::of(b"x")]).unwrap());
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(!taking.is_finished());
            assert_eq!(session.join("leases").metadata().unwrap().len(), 0);
            drop(standstill);
        });
        assert_eq!(session.join("leases").metadata().unwrap().len(), 32);
    }
}
