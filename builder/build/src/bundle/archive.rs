//! The file that a bundle is: a tar of an OCI image layout, in the one form that kiln writes.
//!
//! ```text
//! oci-layout  index.json  kiln  blobs/sha256/<the bundle's manifest>  …<its document>  …others, by name
//! ```
//!
//! Every header is a ustar header of a regular file with mode 0644 (`kiln`: 0755), owner 0 and time 0; the
//! archive ends with two blocks of zeros. What is read must be just that, byte for byte: a header that says
//! anything else, an extension, a link, a name that is none of those, padding that is not zero, or anything
//! after the end is refused. So nothing in a bundle can be read in two ways.

use std::io::{self, Read, Seek as _, SeekFrom};

use fs_err::os::unix::fs::FileExt as _;
use kiln_model::Digest;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 512;

/// Bytes that are read and written at once.
pub(crate) const PIECE: usize = 1 << 20;

/// Returns the bytes to read at once of something with `size` of them.
pub(crate) fn piece_of(size: u64) -> usize {
    usize::try_from(size).unwrap_or(PIECE).clamp(BLOCK, PIECE)
}

/// Where blobs are.
const BLOBS: &str = "blobs/sha256/";

/// The program, which is there once more under its plain name, so that a bare `tar` can take it out.
pub(crate) const PROGRAM: &str = "kiln";
/// The mark of an OCI image layout.
pub(crate) const LAYOUT: &str = "oci-layout";
/// Its index.
pub(crate) const INDEX: &str = "index.json";

/// Says why an archive is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It can not be read.
    #[error("can not be read at byte {offset}")]
    Read {
        /// Bytes before.
        offset: u64,
        /// What the system says.
        source: io::Error,
    },
    /// It ends too early.
    #[error("it ends at byte {offset}, within {within}: it was cut off, or not copied to its end")]
    Truncated {
        /// Its length.
        offset: u64,
        /// What is incomplete.
        within: String,
    },
    /// A header is not as kiln writes it.
    #[error("its header at byte {offset} is not as kiln writes it: {reason}")]
    Header {
        /// Where the header begins.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A member has a name that no bundle has.
    #[error("it holds a file `{name}`, which no bundle has (at byte {offset})")]
    Name {
        /// The name, escaped.
        name: String,
        /// Where its header begins.
        offset: u64,
    },
    /// There is something after a member that should be zeros.
    #[error("there are bytes that should be zero at byte {offset}, after `{after}`")]
    Padding {
        /// Where.
        offset: u64,
        /// The member before.
        after: String,
    },
    /// There is something after the end.
    #[error("it goes on after its end at byte {offset}")]
    Trailing {
        /// Where the end is.
        offset: u64,
    },
}

/// One file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) name: String,
    /// Bytes.
    pub(crate) size: u64,
}

impl Member {
    pub(crate) fn plain(name: &str, size: u64) -> Self {
        Self {
            name: name.to_owned(),
            size,
        }
    }

    pub(crate) fn blob(digest: &Digest, size: u64) -> Self {
        Self {
            name: format!("{BLOBS}{}", digest.to_hex()),
            size,
        }
    }

    /// Returns which blob it is, if it is one.
    pub(crate) fn digest(&self) -> Option<Digest> {
        Digest::from_hex(self.name.strip_prefix(BLOBS)?).ok()
    }

    fn is_known(&self) -> bool {
        [LAYOUT, INDEX, PROGRAM].contains(&self.name.as_str())
            || self
                .digest()
                .is_some_and(|digest| Self::blob(&digest, self.size) == *self)
    }

    /// Returns the one header that the member has.
    pub(crate) fn header(&self) -> [u8; BLOCK] {
        let mut header = tar::Header::new_ustar();
        header.set_path(&self.name).expect("names are short");
        header.set_mode(if self.name == PROGRAM { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(self.size);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        *header.as_bytes()
    }

    /// Returns the bytes that it takes in the archive, header and padding included.
    pub(crate) fn extent(&self) -> u64 {
        BLOCK as u64 + self.size + self.padding()
    }

    /// Returns the zeros after its content.
    pub(crate) fn padding(&self) -> u64 {
        let rest = self.size % BLOCK as u64;
        if rest == 0 { 0 } else { BLOCK as u64 - rest }
    }
}

/// Bytes at the archive's end.
pub(crate) const END: u64 = 2 * BLOCK as u64;

/// Reads an archive from its beginning to its end.
pub(crate) struct ArchiveReader<R> {
    stream: R,
    /// Bytes read.
    offset: u64,
    /// The member that is being read.
    member: Option<Member>,
    /// Bytes of its content that were not read yet.
    left: u64,
}

impl<R: Read> ArchiveReader<R> {
    pub(crate) fn new(stream: R) -> Self {
        Self {
            stream,
            offset: 0,
            member: None,
            left: 0,
        }
    }

    /// Goes to the next member; the content of the one before must be read. `None` at the end.
    pub(crate) fn next_member(&mut self) -> Result<Option<Member>, ArchiveError> {
        self.skip_padding()?;
        let start = self.offset;
        let mut block = [0; BLOCK];
        self.read_exact(&mut block, "a header")?;
        if block == [0; BLOCK] {
            self.read_end(start)?;
            return Ok(None);
        }
        let member = parse(&block, start)?;
        self.left = member.size;
        self.member = Some(member.clone());
        Ok(Some(member))
    }

    /// Reads some of the member's content; 0 at its end.
    pub(crate) fn read_content(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.read_some(&mut buffer[..most])?;
        if count == 0 {
            return Err(self.cut_off());
        }
        self.left -= count as u64;
        Ok(count)
    }

    /// Reads all of a member's content into memory, if it has no more than `limit` bytes.
    pub(crate) fn read_all(&mut self, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if self.left > limit {
            return Err(ArchiveError::Header {
                offset: self.offset,
                reason: format!("`{}` has more than {limit} bytes", self.name()),
            });
        }
        let mut bytes = vec![0; usize::try_from(self.left).unwrap_or(0)];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += self.read_content(&mut bytes[filled..])?;
        }
        Ok(bytes)
    }

    /// Returns the error for a member that ends too early.
    fn cut_off(&self) -> ArchiveError {
        self.truncated(&self.name())
    }

    fn name(&self) -> String {
        let member = self.member.as_ref();
        member.map_or_else(String::new, |member| format!("`{}`", member.name))
    }

    fn skip_padding(&mut self) -> Result<(), ArchiveError> {
        let Some(member) = self.member.take() else {
            return Ok(());
        };
        let mut padding = [0; BLOCK];
        let padding = &mut padding[..usize::try_from(member.padding()).unwrap_or(0)];
        let start = self.offset;
        self.read_exact(padding, &format!("`{}`", member.name))?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(ArchiveError::Padding {
                offset: start,
                after: member.name,
            });
        }
        Ok(())
    }

    /// Reads what must come after the first block of zeros: another one, and nothing.
    fn read_end(&mut self, start: u64) -> Result<(), ArchiveError> {
        let mut block = [0; BLOCK];
        self.read_exact(&mut block, "its end")?;
        let end = self.offset;
        if block != [0; BLOCK] || self.read_some(&mut [0])? > 0 {
            return Err(ArchiveError::Trailing {
                offset: if block == [0; BLOCK] { end } else { start },
            });
        }
        Ok(())
    }

    fn read_exact(&mut self, buffer: &mut [u8], within: &str) -> Result<(), ArchiveError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_some(&mut buffer[filled..])? {
                0 => return Err(self.truncated(within)),
                count => filled += count,
            }
        }
        Ok(())
    }

    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        loop {
            match self.stream.read(buffer) {
                Ok(count) => {
                    self.offset += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(ArchiveError::Read {
                        offset: self.offset,
                        source,
                    });
                }
            }
        }
    }

    fn truncated(&self, within: &str) -> ArchiveError {
        ArchiveError::Truncated {
            offset: self.offset,
            within: within.to_owned(),
        }
    }
}

impl ArchiveReader<fs_err::File> {
    /// Passes over the member's content, and returns where in the file it begins. All of it must be there.
    pub(crate) fn skip_content(&mut self) -> Result<u64, ArchiveError> {
        let start = self.offset;
        let read_error = |source| ArchiveError::Read {
            offset: start,
            source,
        };
        let length = self.stream.metadata().map_err(read_error)?.len();
        let end = start.saturating_add(self.left);
        if length < end {
            self.offset = length;
            return Err(self.cut_off());
        }
        self.stream.seek(SeekFrom::Start(end)).map_err(read_error)?;
        (self.offset, self.left) = (end, 0);
        Ok(start)
    }

    /// Returns the file, for sections of it.
    pub(crate) fn file(&self) -> &fs_err::File {
        &self.stream
    }
}

/// A member's content in an archive that others read at the same time.
pub(crate) struct Section<'a> {
    pub(crate) file: &'a fs_err::File,
    pub(crate) member: &'a Member,
    /// Where the content begins.
    pub(crate) start: u64,
    /// Bytes of it that were read.
    pub(crate) read: u64,
}

impl Section<'_> {
    /// Reads some of the content; 0 at its end.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ArchiveError> {
        let left = self.member.size - self.read;
        let most = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let offset = self.start + self.read;
        loop {
            match self.file.read_at(&mut buffer[..most], offset) {
                // It was there when its header was read.
                Ok(0) if most > 0 => {
                    return Err(ArchiveError::Truncated {
                        offset,
                        within: format!("`{}`", self.member.name),
                    });
                }
                Ok(count) => {
                    self.read += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ArchiveError::Read { offset, source }),
            }
        }
    }
}

/// Reads a header, which must be the one that the member has.
fn parse(block: &[u8; BLOCK], offset: u64) -> Result<Member, ArchiveError> {
    let refused = |reason: String| ArchiveError::Header { offset, reason };
    let header = tar::Header::from_byte_slice(block);
    // The library's own words would show foreign bytes.
    let size = header.entry_size();
    let size = size.map_err(|_| refused("its size is no number".to_owned()))?;
    let name = header.path_bytes();
    let Ok(name) = std::str::from_utf8(&name) else {
        return Err(refused("its name is not UTF-8".to_owned()));
    };
    let member = Member::plain(name, size);
    if !member.is_known() {
        return Err(ArchiveError::Name {
            name: name.escape_debug().collect(),
            offset,
        });
    }
    let expected = member.header();
    let differs = expected
        .iter()
        .zip(block)
        .position(|(one, other)| one != other);
    match differs {
        None => Ok(member),
        Some(place) => Err(refused(format!(
            "byte {place} of the header of `{name}` is {:#04x}, expected {:#04x}",
            block[place], expected[place]
        ))),
    }
}
