//! Kilns that share a store do not do the same work twice: one makes a thing, the others take it.
//!
//! A turn ([`kiln_store::Turn`]) is a lock of the kernel on the name of what is made. Whoever has it
//! looks in the store again before making anything, so the one that comes second finds what the first
//! one made. If the first one fails or dies, the turn is free and the next one makes it.
//!
//! ```text
//! rank  turn or lock                             held while
//! 1     the key of a build or of packages        its steps run; one per worker     `schedule`
//! 2     `out/`                                   results are published             `publish::claim`
//! 3     the key of a repository's metadata       createrepo_c runs                 `createrepo`
//! 4     the one root file system of a process    trees are put together            `rootfs`
//! 5     a tree                                   it is assembled or unpacked       `rootfs`
//! 6     a file to fetch                          it is fetched                     `kiln_store::Fetcher`
//! ```
//!
//! There is no deadlock by construction: nobody waits for a rank that is not above all that they hold.
//! Of rank 1 nobody waits at all while holding anything: a worker that finds a turn taken puts the work
//! back and takes up other work (`schedule`), or, when `kiln shell` needs a library, holds nothing. So
//! along every chain of waiting kilns the ranks rise, and the last one in it waits for nobody.
//!
//! Waiting is asking again, a few times a second: it ends soon after Ctrl-C, and on every file system
//! that has locks.

use std::time::Duration;

use kiln_model::{DiffId, Digest};
use kiln_store::Turn;

use crate::error::BuildError;
use crate::workshop::{Event, Workshop};

/// The first pause, and the longest: most turns at trees are over at once, those at builds are not.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// What came of taking up work at which another kiln may be.
#[derive(Debug)]
pub(crate) enum Taken<T> {
    /// It is done.
    Done(T),
    /// Another kiln, or another worker of this one, is doing the same.
    Elsewhere,
}

impl<T> Taken<T> {
    /// Makes something else of what was done.
    pub(crate) fn map<U>(self, make: impl FnOnce(T) -> U) -> Taken<U> {
        match self {
            Self::Done(done) => Taken::Done(make(done)),
            Self::Elsewhere => Taken::Elsewhere,
        }
    }
}

/// Waits for the turn at `name`; tells of `what` that it waits, if it does.
///
/// # Errors
/// `Cancelled`, or as the store refuses.
pub(crate) fn wait_for_turn(
    shop: &Workshop<'_>,
    name: &Digest,
    what: &str,
) -> Result<Turn, BuildError> {
    if let Some(turn) = shop.store.try_turn(name)? {
        return Ok(turn);
    }
    let (mut pause, longest) = PAUSES;
    let mut is_told = false;
    loop {
        if shop.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        std::thread::sleep(pause);
        if let Some(turn) = shop.store.try_turn(name)? {
            return Ok(turn);
        }
        // What is over in a moment is not worth a line.
        if pause >= longest && !is_told {
            shop.report.tell(&Event::Waiting { what });
            is_told = true;
        }
        pause = (pause * 2).min(longest);
    }
}

/// Returns the name of the turn at a tree.
pub(crate) fn tree_turn(tree: &DiffId) -> Digest {
    Digest::of(format!("tree {}", tree.0).as_bytes())
}
