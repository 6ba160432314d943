//! Unpacks a layer while it is written: what goes into the blob is handed, piece by piece, to a thread
//! that unpacks it as if it read the blob. What is unpacked so is what the blob would give, and it is
//! no tree of the store before the blob is a blob of the right digest.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use kiln_model::DiffId;
use kiln_store::{PlainBlobWriter, Store};

use super::AssembleError;
use crate::limits::UnpackLimits;
use crate::unpack::unpack_layer;

/// Bytes that are handed over at a time.
const PIECE: usize = 256 << 10;
/// Pieces that may wait: memory does not depend on how slowly files are made.
const WAITING: usize = 16;

/// Writes what `write` says as the blob `layer` and unpacks it into `root` at the same time.
///
/// When both fail, the error of writing counts: what was unpacked ends early then.
pub(super) fn write_and_unpack(
    store: &Store,
    layer: &DiffId,
    root: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), AssembleError>,
) -> Result<(), AssembleError> {
    let (full, to_unpack) = sync_channel(WAITING);
    let (unpacked, empty) = channel();
    let mut pieces = Pieces {
        full: to_unpack,
        empty: unpacked,
        piece: Vec::new(),
        place: 0,
    };
    let blob = store.plain_blob_writer()?;
    std::thread::scope(|scope| {
        let unpacking = scope.spawn(move || {
            let name = layer.0.to_string();
            unpack_layer(&mut pieces, &name, root, UnpackLimits::LAYER)
        });
        let mut giver = Giver {
            blob,
            piece: Vec::with_capacity(PIECE),
            full: Some(full),
            empty,
        };
        let written = write(&mut giver).and_then(|()| {
            giver.hand_over().map_err(super::write_error)?;
            let Giver { blob, full, .. } = giver;
            // The end, for the thread that unpacks: it goes on while this one waits for the disk.
            drop(full);
            Ok(blob.finish_expecting(&layer.0)?)
        });
        let unpacked = match unpacking.join() {
            Ok(unpacked) => unpacked,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        written?;
        Ok(unpacked?)
    })
}

/// Writes into a blob and hands on what it wrote.
struct Giver {
    blob: PlainBlobWriter,
    piece: Vec<u8>,
    /// Gone when the other side gave up: the blob is written all the same.
    full: Option<SyncSender<Vec<u8>>>,
    empty: Receiver<Vec<u8>>,
}

impl Giver {
    fn hand_over(&mut self) -> io::Result<()> {
        self.blob.write_all(&self.piece)?;
        let next = self.empty.try_recv();
        let mut next = next.unwrap_or_else(|_| Vec::with_capacity(PIECE));
        next.clear();
        let piece = std::mem::replace(&mut self.piece, next);
        self.full = self
            .full
            .take()
            .filter(|full| piece.is_empty() || full.send(piece).is_ok());
        Ok(())
    }
}

impl Write for Giver {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = PIECE - self.piece.len();
        let taken = bytes.len().min(room);
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE {
            self.hand_over()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what is handed over.
struct Pieces {
    full: Receiver<Vec<u8>>,
    /// Takes back what was read, to be filled again.
    empty: Sender<Vec<u8>>,
    piece: Vec<u8>,
    place: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.place == self.piece.len() {
            // The other side may be done with filling pieces, or have ended: that is the end.
            let _ = self.empty.send(std::mem::take(&mut self.piece));
            self.place = 0;
            match self.full.recv() {
                Ok(piece) => self.piece = piece,
                Err(_) => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len() - self.place);
        buffer[..count].copy_from_slice(&self.piece[self.place..self.place + count]);
        self.place += count;
        Ok(count)
    }
}
