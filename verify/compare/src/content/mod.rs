//! What two pieces of content have in common and what not: their format is told from their first
//! bytes, never from a name, and whatever is in them is looked into.

mod ar;
mod bytes;
mod compressed;
mod cpio;
mod elf;
mod json;
mod member;
mod tar;
mod text;
mod zip;

pub(crate) use bytes::compare_bytes;
use compressed::Codec;
pub(crate) use compressed::{fill, same_stream, unpacked};
pub(crate) use cpio::{CpioFile, CpioMember, CpioReader, walk};
pub(crate) use text::{compare_texts, order_of};

use crate::difference::Change;
use crate::finder::Finder;
use crate::package;

/// What a piece of content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Empty,
    Compressed(Codec),
    Ar,
    Tar,
    Cpio,
    Zip,
    Elf,
    Rpm,
    Json,
    Text,
    Bytes,
}

impl Format {
    fn of(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::Empty;
        }
        if let Some(codec) = Codec::detect(bytes) {
            return Self::Compressed(codec);
        }
        let starts = |magic: &[u8]| bytes.starts_with(magic);
        if starts(b"!<arch>\n") {
            Self::Ar
        } else if bytes.get(257..262) == Some(b"ustar") {
            Self::Tar
        } else if starts(b"070701") || starts(b"070702") {
            Self::Cpio
        } else if starts(b"PK\x03\x04") || starts(b"PK\x05\x06") {
            Self::Zip
        } else if starts(b"\x7fELF") {
            Self::Elf
        } else if starts(&[0xed, 0xab, 0xee, 0xdb]) {
            Self::Rpm
        } else if text::is_text(bytes) {
            let first = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
            match first {
                Some(b'{' | b'[') => Self::Json,
                _ => Self::Text,
            }
        } else {
            Self::Bytes
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Empty => "nothing",
            Self::Compressed(codec) => codec.name(),
            Self::Ar => "an ar archive",
            Self::Tar => "a tar archive",
            Self::Cpio => "a cpio archive",
            Self::Zip => "a zip archive",
            Self::Elf => "an ELF file",
            Self::Rpm => "an RPM package",
            Self::Json => "JSON",
            Self::Text => "text",
            Self::Bytes => "data",
        }
    }

    /// Whether it is compared line by line when the other is too.
    const fn is_text(self) -> bool {
        matches!(self, Self::Json | Self::Text)
    }
}

/// Tells how two pieces of content differ. Equal ones cost one comparison of memory.
pub(crate) fn compare(finder: &mut Finder, left: &[u8], right: &[u8]) {
    if finder.is_done() || left == right {
        return;
    }
    let (left_format, right_format) = (Format::of(left), Format::of(right));
    let before = finder.count();
    if left_format == right_format {
        within_format(finder, left_format, left, right);
    } else if left_format.is_text() && right_format.is_text() {
        compare_texts(finder, left, right);
    } else if left_format == Format::Empty
        || right_format == Format::Empty
        || (left_format != Format::Bytes && right_format != Format::Bytes)
    {
        let named = |format: Format, bytes: &[u8]| match format {
            Format::Empty => "nothing".to_owned(),
            format => format!("{}, {} bytes", format.name(), bytes.len()),
        };
        let (left, right) = (named(left_format, left), named(right_format, right));
        finder.value("content", "kind", &left, &right);
    }
    // Whatever a format's own comparison does not look at, such as padding, is still a difference.
    if finder.count() == before && !finder.is_done() {
        compare_bytes(finder, left, right);
    }
}

fn within_format(finder: &mut Finder, format: Format, left: &[u8], right: &[u8]) {
    match format {
        Format::Compressed(codec) => {
            finder.deeper(|finder| compressed::compare(finder, codec, left, right));
        }
        Format::Ar => {
            finder.deeper(|finder| ar::compare(finder, left, right));
        }
        Format::Tar => {
            finder.deeper(|finder| tar::compare(finder, left, right));
        }
        Format::Cpio => {
            finder.deeper(|finder| cpio::compare(finder, left, right));
        }
        Format::Zip => {
            finder.deeper(|finder| zip::compare(finder, left, right));
        }
        Format::Rpm => {
            finder.deeper(|finder| package::compare_nested(finder, left, right));
        }
        Format::Elf => elf::compare(finder, left, right),
        Format::Json => json::compare(finder, left, right),
        Format::Text => compare_texts(finder, left, right),
        Format::Empty | Format::Bytes => {}
    }
}

/// Tells an order that differs, by the first few names on both sides.
pub(crate) fn tell_order(finder: &mut Finder, what: &str, left: &[String], right: &[String]) {
    if left != right {
        let same = left.iter().zip(right).take_while(|(l, r)| l == r).count();
        let (left, right) = order_of(&left[same..], &right[same..]);
        finder.within("order", what, |finder| {
            finder.add(Change::Order { left, right });
        });
    }
}
