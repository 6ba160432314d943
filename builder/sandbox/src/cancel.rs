//! A flag that any thread may raise to end the runs that look at it.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{EventfdFlags, eventfd};

/// Ends every run that was started with it or with a clone of it; can not be taken back.
///
/// It takes a lock, so call [`Cancel::cancel`] from a thread, not from a signal handler.
#[derive(Debug, Clone, Default)]
pub struct Cancel {
    shared: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    cancelled: bool,
    next: u64,
    wakers: BTreeMap<u64, Arc<OwnedFd>>,
}

impl Cancel {
    /// Returns a flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Raises the flag and wakes every run that watches it.
    pub fn cancel(&self) {
        let mut state = lock(&self.shared);
        state.cancelled = true;
        for waker in state.wakers.values() {
            wake(waker.as_fd());
        }
    }

    /// Returns whether the flag is raised.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        lock(&self.shared).cancelled
    }

    /// Returns a handle that becomes readable when the flag is raised, for `poll`.
    pub(crate) fn watch(&self) -> io::Result<CancelWatch> {
        let waker = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let mut state = lock(&self.shared);
        if state.cancelled {
            wake(waker.as_fd());
        }
        let number = state.next;
        state.next += 1;
        state.wakers.insert(number, Arc::clone(&waker));
        Ok(CancelWatch {
            shared: Arc::clone(&self.shared),
            number,
            waker,
        })
    }
}

/// One run's view of a [`Cancel`]; forgotten by it on drop.
#[derive(Debug)]
pub(crate) struct CancelWatch {
    shared: Arc<Mutex<State>>,
    number: u64,
    waker: Arc<OwnedFd>,
}

impl AsFd for CancelWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.waker.as_fd()
    }
}

impl Drop for CancelWatch {
    fn drop(&mut self) {
        lock(&self.shared).wakers.remove(&self.number);
    }
}

/// A panic elsewhere can not leave the state half changed, so poison means nothing here.
fn lock(shared: &Mutex<State>) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Adds one to the counter. The only failure is a counter near 2^64, which is readable already.
fn wake(waker: BorrowedFd<'_>) {
    let _ = rustix::io::write(waker, &1_u64.to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    fn is_readable(watch: &CancelWatch) -> bool {
        let mut fds = [PollFd::new(watch, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut fds, Some(&now)).unwrap() == 1
    }

    #[test]
    fn every_watch_sees_it_whenever_it_began() {
        let cancel = Cancel::new();
        let early = cancel.clone().watch().unwrap();
        assert!(!is_readable(&early));
        assert!(!cancel.is_cancelled());
        cancel.cancel();
        let late = cancel.watch().unwrap();
        assert!(cancel.is_cancelled());
        assert!(is_readable(&early) && is_readable(&late));
        drop((early, late));
        assert!(lock(&cancel.shared).wakers.is_empty());
    }
}
