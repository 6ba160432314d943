//! Opens compressed streams by what their first bytes say, never by a file's name, and keeps bombs
//! within limits.
//!
//! Concatenated members are read to the end, as every reference reader does; anything else after a
//! member is an error of the decoder. A zstd window may be 128 MiB and an xz dictionary 256 MiB at
//! most, so that memory stays bounded whatever the stream claims.

use std::cell::Cell;
use std::io::{self, BufReader, Cursor, Read};
use std::rc::Rc;

use crate::limits::UnpackLimits;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all, as far as the first bytes tell.
    None,
    /// gzip (RFC 1952).
    Gzip,
    /// bzip2.
    Bzip2,
    /// xz.
    Xz,
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compression {
    /// Returns the name that people know: `gzip`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "no compression",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }

    /// Returns what the first bytes of a stream say.
    #[must_use]
    pub fn detect(first: &[u8]) -> Self {
        const MAGIC: [(&[u8], Compression); 4] = [
            (&[0x1f, 0x8b], Compression::Gzip),
            (b"BZh", Compression::Bzip2),
            (&[0xfd, b'7', b'z', b'X', b'Z', 0], Compression::Xz),
            (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
        ];
        MAGIC
            .iter()
            .find(|(magic, _)| first.starts_with(magic))
            .map_or(Self::None, |(_, compression)| *compression)
    }
}

/// Greatest memory that an xz stream may ask for, in bytes (xz -9 needs 65 MiB).
const XZ_MEMORY: u64 = 256 << 20;

/// log2 of the greatest zstd window in bytes: 27 is what `zstd --long` uses without a number.
const ZSTD_WINDOW_LOG: u32 = 27;

/// Bytes that may come out of a stream before the ratio is looked at.
const RATIO_FREE: u64 = 64 << 20;

/// Says which limit a stream passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamLimit {
    /// More bytes came out than allowed in all.
    #[error("more than {limit} bytes come out of the stream")]
    Total {
        /// The limit, in bytes.
        limit: u64,
    },
    /// The stream grows by more than any honest one.
    #[error("the stream unpacks to more than {limit} times its size ({produced} bytes so far)")]
    Ratio {
        /// Bytes out per byte in.
        limit: u64,
        /// Bytes that came out when it was noticed.
        produced: u64,
    },
}

/// Counts what a decoder takes in.
struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.set(self.count.get() + read as u64);
        Ok(read)
    }
}

/// Stops a decoder that gives out more than the limits allow.
struct Bounded<R> {
    inner: R,
    consumed: Rc<Cell<u64>>,
    produced: u64,
    limits: UnpackLimits,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.produced += read as u64;
        if self.produced > self.limits.bytes {
            let limit = self.limits.bytes;
            return Err(io::Error::other(StreamLimit::Total { limit }));
        }
        let ratio = self.limits.ratio;
        if self.produced > RATIO_FREE && self.produced / ratio > self.consumed.get() {
            return Err(io::Error::other(StreamLimit::Ratio {
                limit: ratio,
                produced: self.produced,
            }));
        }
        Ok(read)
    }
}

/// Returns how `stream` is compressed and a reader of what is in it, kept within `limits`.
///
/// # Errors
/// What reading the first bytes or starting the decoder fails with.
pub(crate) fn decompress<'a>(
    stream: &'a mut dyn Read,
    limits: UnpackLimits,
) -> io::Result<(Compression, Box<dyn Read + 'a>)> {
    let consumed = Rc::new(Cell::new(0));
    let mut counted = Counted {
        inner: stream,
        count: Rc::clone(&consumed),
    };
    let mut first = Vec::new();
    (&mut counted).take(6).read_to_end(&mut first)?;
    let compression = Compression::detect(&first);
    let input = BufReader::with_capacity(64 << 10, Cursor::new(first).chain(counted));
    let decoder: Box<dyn Read + 'a> = match compression {
        Compression::None => Box::new(input),
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(input)),
        Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(input)),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                XZ_MEMORY,
                liblzma::stream::CONCATENATED,
            )
            .map_err(io::Error::from)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(input, stream))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(input)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    };
    let bounded = Bounded {
        inner: decoder,
        consumed,
        produced: 0,
        limits,
    };
    Ok((compression, Box::new(bounded)))
}
