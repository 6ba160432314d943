//! Contents of files on their way from packages into a layer: in one scratch file, so that memory
//! holds names and numbers only.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// Bytes that are moved at a time.
const CHUNK: usize = 256 << 10;

/// The content of one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContentId {
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

/// The scratch file.
#[derive(Debug)]
pub(super) struct Spool {
    file: BufWriter<File>,
    path: PathBuf,
    number: u64,
    /// Where the present content starts.
    start: u64,
    end: u64,
    buffer: Vec<u8>,
}

impl Spool {
    /// Creates the scratch file in `folder`.
    pub fn create(folder: &Path) -> Result<Self, SpoolError> {
        let path = folder.join("contents");
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
            number: self.number,
            offset: self.start,
            size: self.end - self.start,
        }
    }

    /// Hands out a content piece by piece.
    pub fn read<E: From<SpoolError>>(
        &mut self,
        content: ContentId,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.file
            .flush()
            .map_err(|source| self.error("write", source))?;
        let mut offset = content.offset;
        let end = content.offset + content.size;
        while offset < end {
            let length = usize::try_from(end - offset).map_or(CHUNK, |left| left.min(CHUNK));
            let piece = &mut self.buffer[..length];
            if let Err(source) = self.file.get_ref().read_exact_at(piece, offset) {
                return Err(self.error("read", source).into());
            }
            take(piece)?;
            offset += length as u64;
        }
        Ok(())
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
        self.file
            .flush()
            .map_err(|source| self.error("write", source))?;
        let mut buffers = [vec![0; CHUNK], vec![0; CHUNK]];
        let mut done = 0;
        while done < one.size {
            let length = usize::try_from(one.size - done).map_or(CHUNK, |left| left.min(CHUNK));
            for (buffer, content) in buffers.iter_mut().zip([one, other]) {
                self.file
                    .get_ref()
                    .read_exact_at(&mut buffer[..length], content.offset + done)
                    .map_err(|source| self.error("read", source))?;
            }
            if buffers[0][..length] != buffers[1][..length] {
                return Ok(false);
            }
            done += length as u64;
        }
        Ok(true)
    }

    fn error(&self, act: &'static str, source: io::Error) -> SpoolError {
        SpoolError {
            act,
            path: self.path.clone(),
            source,
        }
    }
}
