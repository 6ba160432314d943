//! Locks of the whole store: a file in its root, flocked for as long as the returned handle lives, and
//! released by the kernel whatever a kiln dies of.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::Errno;

use crate::error::StoreError;

/// Opens the file of a lock, and makes it if there is none.
pub(crate) fn open_lock(path: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::from_raw_mode(0o644))
        .map_err(|error| StoreError::from_io("lock", path, error))
}

/// Waits for a lock that was opened.
pub(crate) fn wait_for(lock: &OwnedFd, how: FlockOperation) -> Result<(), Errno> {
    loop {
        match flock(lock, how) {
            Err(Errno::INTR) => {}
            outcome => return outcome,
        }
    }
}

/// Opens a lock and waits until nobody else has it.
pub(crate) fn lock_alone(path: &Path) -> Result<OwnedFd, StoreError> {
    let lock = open_lock(path)?;
    wait_for(&lock, FlockOperation::LockExclusive)
        .map_err(|error| StoreError::from_io("lock", path, error))?;
    Ok(lock)
}
