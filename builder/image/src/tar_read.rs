//! Reads a tar stream entry by entry and refuses whatever two readers could understand differently.
//!
//! The end is checked too: two blocks of zeros must be there, and only zeros may follow, so that a
//! stream cut anywhere is noticed.

use std::io::{self, Read};

use crate::compression::StreamLimit;
use crate::limits::UnpackLimits;
use crate::printable::printable;
use crate::tar_header::{
    BLOCK, Entry, Extension, HeaderProblem, MAX_EXTENSION, RawHeader, check_global_pax,
};

/// Says why a tar archive can not be read.
#[derive(Debug, thiserror::Error)]
pub enum TarError {
    /// Reading or decompressing failed.
    #[error("`{archive}` can not be read or decompressed (at byte {offset} of the tar stream)")]
    Read {
        /// The archive's name.
        archive: String,
        /// Bytes of the tar stream read before it.
        offset: u64,
        /// What the reader or decoder says.
        source: io::Error,
    },
    /// The stream ends too early.
    #[error("`{archive}` is cut off at byte {offset} of the tar stream, {place}")]
    Truncated {
        /// The archive's name.
        archive: String,
        /// Bytes in the tar stream.
        offset: u64,
        /// Where that is: `in the entry x`.
        place: String,
    },
    /// A header is damaged, ambiguous or not supported.
    #[error("`{archive}`, entry `{entry}` (header at byte {offset} of the tar stream): {problem}")]
    Header {
        /// The archive's name.
        archive: String,
        /// The entry's name, escaped; empty while it is not known.
        entry: String,
        /// Offset of the header block.
        offset: u64,
        /// What is wrong.
        problem: HeaderProblem,
    },
    /// Something other than zeros follows the end of the archive.
    #[error("`{archive}` has data after its end, at byte {offset} of the tar stream")]
    DataAfterEnd {
        /// The archive's name.
        archive: String,
        /// Offset of the block in which it was seen.
        offset: u64,
    },
    /// The stream is bigger than allowed.
    #[error("`{archive}` was refused at byte {offset} of the tar stream, {place}: {limit}")]
    Limit {
        /// The archive's name.
        archive: String,
        /// Bytes of the tar stream read before it.
        offset: u64,
        /// Where that is: `in the entry x`.
        place: String,
        /// The limit that was passed.
        limit: StreamLimit,
    },
    /// There are more entries than allowed.
    #[error("`{archive}` has more than {limit} entries (at byte {offset} of the tar stream)")]
    TooManyEntries {
        /// The archive's name.
        archive: String,
        /// Offset after the header block of the first entry too many.
        offset: u64,
        /// The limit.
        limit: u64,
    },
}

/// A tar stream being read.
pub(crate) struct TarReader<R> {
    stream: R,
    archive: String,
    limits: UnpackLimits,
    offset: u64,
    entries: u64,
    /// Bytes of the present entry's content that were not read yet.
    remaining: u64,
    /// Zeros that pad the present entry to a full block.
    padding: u64,
    entry: String,
    /// What content is moved through, kept from entry to entry.
    buffer: Vec<u8>,
}

/// Bytes that are moved at a time.
const CHUNK: usize = 128 << 10;

impl<R: Read> TarReader<R> {
    /// Starts reading `stream`, called `archive` in errors.
    pub fn new(stream: R, archive: &str, limits: UnpackLimits) -> Self {
        Self {
            stream,
            archive: archive.to_owned(),
            limits,
            offset: 0,
            entries: 0,
            remaining: 0,
            padding: 0,
            entry: String::new(),
            buffer: vec![0; CHUNK],
        }
    }

    /// Skips what is left of the present entry and returns the next, or `None` at a proper end.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        self.skip_rest()?;
        let mut extension = Extension::default();
        loop {
            let start = self.offset;
            let Some(block) = self.read_header_block()? else {
                if !extension.is_empty() {
                    return Err(self.header_error(start, HeaderProblem::ExtensionAlone));
                }
                return Ok(None);
            };
            self.count_entry()?;
            self.entry.clear();
            let header =
                RawHeader::parse(&block).map_err(|problem| self.header_error(start, problem))?;
            self.entry = printable(&header.path());
            match header.flag {
                b'x' | b'g' | b'L' | b'K' => {
                    let content = self.read_extension(start, header.size)?;
                    let added = match header.flag {
                        b'x' => extension.add_pax(&content),
                        b'g' if extension.is_empty() => check_global_pax(&content),
                        b'g' => Err(HeaderProblem::ExtensionAlone),
                        flag => extension.add_gnu(flag, &content),
                    };
                    added.map_err(|problem| self.header_error(start, problem))?;
                }
                _ => return self.finish_header(start, header, extension).map(Some),
            }
        }
    }

    fn finish_header(
        &mut self,
        start: u64,
        header: RawHeader,
        extension: Extension,
    ) -> Result<Entry, TarError> {
        if let Some(path) = &extension.path {
            self.entry = printable(path);
        }
        let entry = header
            .into_entry(extension)
            .map_err(|problem| self.header_error(start, problem))?;
        if entry.size > self.limits.bytes {
            let limit = self.limits.bytes;
            return Err(self.limit_error(StreamLimit::Total { limit }));
        }
        self.remaining = entry.size;
        self.padding = padding_after(entry.size);
        Ok(entry)
    }

    /// Reads more of the present entry's content; 0 at its end.
    pub fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        if self.remaining == 0 || buffer.is_empty() {
            return Ok(0);
        }
        let wanted = usize::try_from(self.remaining).map_or(buffer.len(), |n| n.min(buffer.len()));
        let read = self.read_some(&mut buffer[..wanted])?;
        if read == 0 {
            return Err(self.truncated());
        }
        self.remaining -= read as u64;
        Ok(read)
    }

    /// Hands out what is left of the present entry's content, piece by piece.
    pub fn for_each_chunk<E: From<TarError>>(
        &mut self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = loop {
            match self.read_content(&mut buffer) {
                Ok(0) => break Ok(()),
                Ok(read) => {
                    if let Err(error) = take(&buffer[..read]) {
                        break Err(error);
                    }
                }
                Err(error) => break Err(error.into()),
            }
        };
        self.buffer = buffer;
        result
    }

    fn skip_rest(&mut self) -> Result<(), TarError> {
        self.for_each_chunk(&mut |_| Ok::<_, TarError>(()))?;
        let mut padding = [0; BLOCK];
        let length = usize::try_from(self.padding).expect("padding is below one block");
        self.padding = 0;
        if self.read_full(&mut padding[..length])? < length {
            return Err(self.truncated());
        }
        Ok(())
    }

    fn read_extension(&mut self, start: u64, size: u64) -> Result<Vec<u8>, TarError> {
        if size > MAX_EXTENSION {
            return Err(self.header_error(
                start,
                HeaderProblem::ExtensionTooLarge {
                    limit: MAX_EXTENSION,
                    actual: size,
                },
            ));
        }
        self.remaining = size;
        self.padding = padding_after(size);
        let mut content = vec![0; usize::try_from(size).expect("at most 1 MiB")];
        let mut filled = 0;
        while filled < content.len() {
            filled += self.read_content(&mut content[filled..])?;
        }
        self.skip_rest()?;
        Ok(content)
    }

    /// Reads one block; `None` when it starts the end of the archive.
    fn read_header_block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        if self.read_full(&mut block)? < BLOCK {
            return Err(self.truncated());
        }
        if block.iter().any(|byte| *byte != 0) {
            return Ok(Some(block));
        }
        self.entry.clear();
        let mut zeros = BLOCK as u64;
        let mut buffer = [0; 32 << 10];
        loop {
            let start = self.offset;
            let read = self.read_full(&mut buffer)?;
            if read == 0 {
                break;
            }
            if buffer[..read].iter().any(|byte| *byte != 0) {
                return Err(TarError::DataAfterEnd {
                    archive: self.archive.clone(),
                    offset: start,
                });
            }
            zeros += read as u64;
        }
        if zeros < 2 * BLOCK as u64 {
            return Err(self.truncated());
        }
        Ok(None)
    }

    fn count_entry(&mut self) -> Result<(), TarError> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(TarError::TooManyEntries {
                archive: self.archive.clone(),
                offset: self.offset,
                limit: self.limits.entries,
            });
        }
        Ok(())
    }

    fn read_full(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_some(&mut buffer[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        loop {
            match self.stream.read(buffer) {
                Ok(read) => {
                    self.offset += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.read_error(error)),
            }
        }
    }

    fn read_error(&self, error: io::Error) -> TarError {
        match error.downcast::<StreamLimit>() {
            Ok(limit) => self.limit_error(limit),
            Err(source) if source.kind() == io::ErrorKind::UnexpectedEof => self.truncated(),
            Err(source) => TarError::Read {
                archive: self.archive.clone(),
                offset: self.offset,
                source,
            },
        }
    }

    fn limit_error(&self, limit: StreamLimit) -> TarError {
        TarError::Limit {
            archive: self.archive.clone(),
            offset: self.offset,
            place: self.place(),
            limit,
        }
    }

    fn truncated(&self) -> TarError {
        TarError::Truncated {
            archive: self.archive.clone(),
            offset: self.offset,
            place: self.place(),
        }
    }

    fn place(&self) -> String {
        if self.entry.is_empty() {
            "before the two zero blocks that end an archive".to_owned()
        } else {
            format!("in or after the entry `{}`", self.entry)
        }
    }

    fn header_error(&self, offset: u64, problem: HeaderProblem) -> TarError {
        TarError::Header {
            archive: self.archive.clone(),
            entry: self.entry.clone(),
            offset,
            problem,
        }
    }
}

fn padding_after(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}
