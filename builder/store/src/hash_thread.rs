//! Hashing beside reading and writing: a thread of its own for one big thing.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use kiln_model::Digest;

use crate::hash::Sha256Stream;

/// Pieces on their way at once; with pieces of 1 MiB that is what one thing costs in memory.
const PIECES: usize = 4;

/// Computes the sha256 of what it is given, on a thread of its own.
#[derive(Debug)]
pub struct HashThread {
    /// `None` once it is finished.
    sender: Option<SyncSender<Vec<u8>>>,
    /// Pieces that were hashed, to be filled again.
    spare: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<Digest>>,
    digest: Option<Digest>,
}

impl HashThread {
    /// Starts with no bytes.
    #[must_use]
    pub fn start() -> Self {
        let (sender, pieces) = sync_channel::<Vec<u8>>(PIECES);
        let (back, spare) = sync_channel(PIECES + 1);
        let thread = std::thread::spawn(move || {
            let mut hasher = Sha256Stream::default();
            for piece in pieces {
                hasher.update(&piece);
                // Nobody may want it any more.
                let _ = back.try_send(piece);
            }
            hasher.finish()
        });
        Self {
            sender: Some(sender),
            spare,
            thread: Some(thread),
            digest: None,
        }
    }

    /// Adds bytes; waits while too many are on their way.
    pub fn update(&mut self, bytes: &[u8]) {
        let mut piece = self.spare.try_recv().unwrap_or_default();
        piece.clear();
        piece.extend_from_slice(bytes);
        if let Some(sender) = &self.sender {
            let _ = sender.send(piece);
        }
    }

    /// Returns the digest of all bytes; none can be added afterwards.
    pub fn finish(&mut self) -> Digest {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            match thread.join() {
                Ok(digest) => self.digest = Some(digest),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        self.digest.expect("the thread was joined, now or before")
    }
}

/// Computes a sha256: where that is worth it, on a thread of its own.
#[derive(Debug)]
pub enum Sha256Worker {
    /// On the caller's thread.
    Here(Sha256Stream),
    /// On another one.
    Elsewhere(HashThread),
}

impl Sha256Worker {
    /// Bytes from which on a thread is worth it.
    pub const BIG: u64 = 4 << 20;

    /// Starts with no bytes, for `size` of them.
    #[must_use]
    pub fn of(size: u64) -> Self {
        if size < Self::BIG {
            Self::Here(Sha256Stream::default())
        } else {
            Self::Elsewhere(HashThread::start())
        }
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Here(hash) => hash.update(bytes),
            Self::Elsewhere(hash) => hash.update(bytes),
        }
    }

    /// Returns the digest of all bytes so far; on a thread of its own, none can be added afterwards.
    pub fn finish(&mut self) -> Digest {
        match self {
            Self::Here(hash) => hash.clone().finish(),
            Self::Elsewhere(hash) => hash.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_have_the_digest_of_the_whole() {
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 253) as u8).collect();
        for piece in [1000, 65_536, bytes.len()] {
            let mut thread = HashThread::start();
            bytes.chunks(piece).for_each(|piece| thread.update(piece));
            assert_eq!(thread.finish(), Digest::of(&bytes));
            assert_eq!(thread.finish(), Digest::of(&bytes), "asked twice");
        }
        assert_eq!(HashThread::start().finish(), Digest::of(b""));
        for size in [0, Sha256Worker::BIG - 1, Sha256Worker::BIG] {
            let mut hash = Sha256Worker::of(size);
            bytes.chunks(4096).for_each(|piece| hash.update(piece));
            assert_eq!(hash.finish(), Digest::of(&bytes));
        }
    }
}
