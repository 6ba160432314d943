//! Compressed streams: what is in them, and where that is the same, how they were compressed.
//!
//! ```text
//! gzip (RFC 1952)   0 magic 1f 8b, 2 method, 3 flags, 4 mtime (little-endian), 8 extra flags, 9 OS,
//!                   then by flags: extra field, name, comment
//! zstd (RFC 8878)   0 magic 28 b5 2f fd, 4 frame header descriptor, 5 window descriptor
//! xz                0 magic fd 37 7a 58 5a 00, 6 stream flags (check)
//! bzip2             0 magic "BZh", 3 level '1'..'9'
//! ```

use std::io::{self, Read};

use crate::difference::Change;
use crate::effort::{RATIO, RATIO_FREE};
use crate::finder::Finder;
use crate::printable::{text_of, time};

/// Greatest memory that an xz stream may ask for, in bytes (xz -9 needs 65 MiB).
const XZ_MEMORY: u64 = 256 << 20;

/// log2 of the greatest zstd window in bytes: 27 is what `zstd --long` uses without a number.
const ZSTD_WINDOW_LOG: u32 = 27;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Codec {
    pub(crate) fn detect(bytes: &[u8]) -> Option<Self> {
        const MAGIC: [(&[u8], Codec); 4] = [
            (&[0x1f, 0x8b, 8], Codec::Gzip),
            (b"BZh", Codec::Bzip2),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Codec::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Codec::Zstd),
        ];
        let found = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic));
        found.map(|(_, codec)| *codec)
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// Returns a reader of what is in a stream. Streams that follow each other are read as one.
    fn decoder<'a>(self, bytes: &'a [u8]) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(bytes)),
            Self::Xz => {
                let flags = liblzma::stream::CONCATENATED;
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, flags);
                let stream = stream.map_err(io::Error::from)?;
                Box::new(liblzma::bufread::XzDecoder::new_stream(bytes, stream))
            }
            Self::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                Box::new(decoder)
            }
        })
    }
}

/// Stops a stream that gives out more than it may.
struct Bounded<R> {
    inner: R,
    limit: u64,
    produced: u64,
    /// Bytes that went in; all are at hand from the start.
    size: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.produced += read as u64;
        if self.produced > self.limit {
            let limit = self.limit;
            let text = format!("it unpacks to more than the {limit} bytes that are looked into");
            return Err(io::Error::other(text));
        }
        if self.produced > RATIO_FREE && self.produced / RATIO > self.size {
            let text = format!("it unpacks to more than {RATIO} times its size");
            return Err(io::Error::other(text));
        }
        Ok(read)
    }
}

/// Returns a bounded reader of a stream; what is not compressed as it is.
pub(crate) fn unpacked(bytes: &[u8], limit: u64) -> io::Result<Box<dyn Read + '_>> {
    match Codec::detect(bytes) {
        None => Ok(Box::new(bytes)),
        Some(codec) => Ok(Box::new(Bounded {
            inner: codec.decoder(bytes)?,
            limit,
            produced: 0,
            size: bytes.len() as u64,
        })),
    }
}

/// Returns whether two streams are the same once they are unpacked.
pub(crate) fn same_stream(left: &[u8], right: &[u8], limit: u64) -> io::Result<bool> {
    const BLOCK: usize = 256 << 10;
    let (mut left, mut right) = (unpacked(left, limit)?, unpacked(right, limit)?);
    let (mut left_block, mut right_block) = (vec![0; BLOCK], vec![0; BLOCK]);
    loop {
        let read = fill(&mut left, &mut left_block)?;
        let other = fill(&mut right, &mut right_block)?;
        if left_block[..read] != right_block[..other] {
            return Ok(false);
        }
        if read == 0 {
            return Ok(true);
        }
    }
}

/// Reads until the buffer is full or nothing is left.
pub(crate) fn fill(reader: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match reader.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn unpack(bytes: &[u8], limit: u64) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    unpacked(bytes, limit)?.read_to_end(&mut content)?;
    Ok(content)
}

/// Tells how two streams of one kind differ.
pub(super) fn compare(finder: &mut Finder, codec: Codec, left: &[u8], right: &[u8]) {
    let limit = finder.allowance();
    let (left_content, right_content) = std::thread::scope(|scope| {
        let other = scope.spawn(|| unpack(right, limit));
        let left = unpack(left, limit);
        let right = other.join();
        (
            left,
            right.unwrap_or_else(|_| Err(io::Error::other("its decoder failed"))),
        )
    });
    let (left_content, right_content) = match (left_content, right_content) {
        (Ok(left), Ok(right)) => (left, right),
        (left, right) => {
            for (side, result) in [("left", left), ("right", right)] {
                if let Err(error) = result {
                    let name = codec.name();
                    finder.note(format!("{side} can not be unpacked ({name}): {error}"));
                }
            }
            return;
        }
    };
    finder.spend(left_content.len() as u64 + right_content.len() as u64);
    finder.within("in", codec.name(), |finder| {
        for ((name, left), (_, right)) in settings(codec, left).iter().zip(&settings(codec, right))
        {
            finder.value("field", name, left, right);
        }
        if left_content != right_content {
            super::compare(finder, &left_content, &right_content);
        } else if behind_header(codec, left) != behind_header(codec, right) {
            finder.within("compression", codec.name(), |finder| {
                let told = |bytes: &[u8]| format!("{} bytes of the same content", bytes.len());
                finder.add(Change::Value {
                    left: told(left),
                    right: told(right),
                });
            });
        }
    });
}

/// Returns what follows a stream's header, where the header is told by itself.
fn behind_header(codec: Codec, bytes: &[u8]) -> &[u8] {
    match codec {
        Codec::Gzip => Gzip::read(bytes).rest,
        _ => bytes,
    }
}

/// Returns what a stream's header says of how it was made; as many entries for each stream.
fn settings(codec: Codec, bytes: &[u8]) -> Vec<(&'static str, String)> {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    match codec {
        Codec::Gzip => gzip_settings(bytes),
        Codec::Bzip2 => vec![("level", char::from(byte(3)).to_string())],
        Codec::Xz => vec![("check", format!("{}", byte(7)))],
        Codec::Zstd => {
            let descriptor = byte(4);
            let is_single = descriptor & 0b10_0000 != 0;
            let window = byte(5);
            let window = match is_single {
                true => "the content's size".to_owned(),
                false => {
                    let base = 1_u64 << (10 + u32::from(window >> 3));
                    format!("{} bytes", base + base / 8 * u64::from(window & 7))
                }
            };
            let checksum = if descriptor & 0b100 != 0 { "yes" } else { "no" };
            vec![("window", window), ("checksum", checksum.to_owned())]
        }
    }
}

/// A gzip stream's header.
struct Gzip<'a> {
    mtime: u32,
    effort: u8,
    system: u8,
    name: Option<&'a [u8]>,
    comment: Option<&'a [u8]>,
    rest: &'a [u8],
}

impl<'a> Gzip<'a> {
    /// Reads what is there; a stream that is cut off was refused by its decoder.
    fn read(bytes: &'a [u8]) -> Self {
        let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
        let flags = byte(3);
        let mut rest = bytes.get(10..).unwrap_or_default();
        if flags & 4 != 0 {
            let length = u16::from_le_bytes([byte(10), byte(11)]);
            rest = rest.get(2 + usize::from(length)..).unwrap_or_default();
        }
        let mut text = |is_there: bool| {
            let end = memchr::memchr(0, rest).filter(|_| is_there)?;
            let (text, behind) = rest.split_at(end);
            rest = behind.get(1..).unwrap_or_default();
            Some(text)
        };
        let (name, comment) = (text(flags & 8 != 0), text(flags & 16 != 0));
        Self {
            mtime: u32::from_le_bytes([byte(4), byte(5), byte(6), byte(7)]),
            effort: byte(8),
            system: byte(9),
            name,
            comment,
            rest,
        }
    }
}

fn gzip_settings(bytes: &[u8]) -> Vec<(&'static str, String)> {
    let header = Gzip::read(bytes);
    let mtime = match header.mtime {
        0 => "none".to_owned(),
        mtime => time(mtime.into()),
    };
    let effort = match header.effort {
        2 => "best".to_owned(),
        4 => "fastest".to_owned(),
        0 => "usual".to_owned(),
        other => other.to_string(),
    };
    let system = match header.system {
        3 => "Unix".to_owned(),
        255 => "unknown".to_owned(),
        0 => "FAT".to_owned(),
        other => other.to_string(),
    };
    let text = |text: Option<&[u8]>| {
        text.map_or_else(
            || "none".to_owned(),
            |text| text_of(&text[..text.len().min(1000)]),
        )
    };
    vec![
        ("mtime", mtime),
        ("effort", effort),
        ("system", system),
        ("name", text(header.name)),
        ("comment", text(header.comment)),
    ]
}
