//! Contents of files on their way from packages into a layer: in scratch files, one per thread that
//! reads packages, so that memory holds names and numbers only.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes that are moved at a time.
const CHUNK: usize = 256 << 10;

/// The content of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContentId {
    /// Which scratch file.
    spool: usize,
    /// Counts contents: empty files that are no hard links of each other differ here.
    number: u64,
    offset: u64,
    size: u64,
}

impl ContentId {
    /// Returns the content's bytes.
    pub fn size(self) -> u64 {
        self.size
    }
}

/// Says why the scratch file can not be used.
#[derive(Debug)]
pub(super) struct SpoolError {
    pub act: &'static str,
    pub path: PathBuf,
    pub source: io::Error,
}

/// All scratch files.
#[derive(Debug)]
pub(super) struct Spools(Vec<Spool>);

/// One scratch file.
#[derive(Debug)]
pub(super) struct Spool {
    place: usize,
    file: BufWriter<File>,
    path: PathBuf,
    number: u64,
    /// Where the present content starts.
    start: u64,
    end: u64,
    buffer: Vec<u8>,
}

impl Spools {
    /// Creates `count` scratch files in `folder`; at least one.
    pub fn create(folder: &Path, count: usize) -> Result<Self, SpoolError> {
        let spools = (0..count.max(1)).map(|place| Spool::create(folder, place));
        spools.collect::<Result<Vec<_>, _>>().map(Self)
    }

    /// Returns each, for a thread of its own.
    pub fn each(&mut self) -> impl Iterator<Item = &mut Spool> {
        self.0.iter_mut()
    }

    /// Adds a whole content.
    pub fn add(&mut self, bytes: &[u8]) -> Result<ContentId, SpoolError> {
        let spool = &mut self.0[0];
        spool.start();
        spool.append(bytes)?;
        Ok(spool.finish())
    }

    /// Hands out a content piece by piece.
    pub fn read<E: From<SpoolError>>(
        &mut self,
        content: ContentId,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.0[content.spool].read(content, take)
    }

    /// Returns a small content whole.
    pub fn read_whole(&mut self, content: ContentId) -> Result<Vec<u8>, SpoolError> {
        let mut bytes = Vec::new();
        self.read(content, &mut |piece| {
            bytes.extend_from_slice(piece);
            Ok::<_, SpoolError>(())
        })?;
        Ok(bytes)
    }

    /// Returns whether two contents have the same bytes.
    pub fn is_same(&mut self, one: ContentId, other: ContentId) -> Result<bool, SpoolError> {
        if one.size != other.size {
            return Ok(false);
        }
        let mut buffers = [vec![0; CHUNK], vec![0; CHUNK]];
        let mut done = 0;
        while done < one.size {
            let length = usize::try_from(one.size - done).map_or(CHUNK, |left| left.min(CHUNK));
            for (buffer, content) in buffers.iter_mut().zip([one, other]) {
                let offset = content.offset + done;
                self.0[content.spool].read_at(&mut buffer[..length], offset)?;
            }
            if buffers[0][..length] != buffers[1][..length] {
                return Ok(false);
            }
            done += length as u64;
        }
        Ok(true)
    }
}

impl Spool {
    fn create(folder: &Path, place: usize) -> Result<Self, SpoolError> {
        let path = folder.join(format!("contents-{place}"));
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|source| SpoolError {
                act: "create",
                path: path.clone(),
                source,
            })?;
        Ok(Self {
            place,
            file: BufWriter::with_capacity(CHUNK, file),
            path,
            number: 0,
            start: 0,
            end: 0,
            buffer: vec![0; CHUNK],
        })
    }

    /// Starts a new content.
    pub fn start(&mut self) {
        self.start = self.end;
    }

    /// Adds to the present content.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        self.file
            .write_all(bytes)
            .map_err(|source| self.error("write", source))?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Returns the present content, complete.
    pub fn finish(&mut self) -> ContentId {
        self.number += 1;
        ContentId {
            spool: self.place,
            number: self.number,
            offset: self.start,
            size: self.end - self.start,
        }
    }

    fn read<E: From<SpoolError>>(
        &mut self,
        content: ContentId,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut offset = content.offset;
        let end = content.offset + content.size;
        let mut outcome = Ok(());
        while offset < end && outcome.is_ok() {
            let length = usize::try_from(end - offset).map_or(CHUNK, |left| left.min(CHUNK));
            let piece = &mut buffer[..length];
            outcome = self.read_at(piece, offset).map_err(E::from);
            outcome = outcome.and_then(|()| take(piece));
            offset += length as u64;
        }
        self.buffer = buffer;
        outcome
    }

    fn read_at(&mut self, piece: &mut [u8], offset: u64) -> Result<(), SpoolError> {
        self.file
            .flush()
            .map_err(|source| self.error("write", source))?;
        let read = self.file.get_ref().read_exact_at(piece, offset);
        read.map_err(|source| self.error("read", source))
    }

    fn error(&self, act: &'static str, source: io::Error) -> SpoolError {
        SpoolError {
            act,
            path: self.path.clone(),
            source,
        }
    }
}
