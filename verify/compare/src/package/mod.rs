//! Two RPM packages: how far they agree, and where they part: lead, signature header, header tag by tag,
//! files, payload.
//!
//! Both are verified before anything is compared (`kiln_rpm::RpmFile`): what is told of a package is
//! what its digests cover.

mod described;
mod extract;
mod files;
mod payload;
mod tags;
mod values;

pub use described::{DescribedPackage, DescribedPackageError};
pub use extract::PackagedFileError;
use kiln_rpm::{RpmError, RpmFile, Section};

use crate::content::{compare_bytes, same_stream};
use crate::effort::Effort;
use crate::finder::{Comparison, Finder, Side};
use crate::printable::text_of;
use crate::verdict::Agreement;

const LEAD: usize = 96;

/// The lead's magic bytes.
pub(crate) const MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];

/// Says why two packages can not be compared: one of them is none, or is not whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct PackageError {
    /// Which one.
    pub side: Side,
    /// Why.
    #[source]
    pub error: RpmError,
}

/// Returns whether bytes begin as an RPM package does.
#[must_use]
pub fn is_package(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// Returns how far two packages agree. Equal ones are not even parsed.
///
/// # Errors
/// [`PackageError`] when they differ and one of them is no whole package.
pub fn agreement(left: &[u8], right: &[u8]) -> Result<Agreement, PackageError> {
    if left == right {
        return Ok(Agreement::BitIdentical);
    }
    let packages = parse(left, right)?;
    Ok(agree(&Pair::new(&packages, left, right)))
}

/// Compares two packages.
///
/// # Errors
/// [`PackageError`] when they differ and one of them is no whole package.
pub fn compare_packages(
    left: &[u8],
    right: &[u8],
    effort: &Effort,
) -> Result<(Agreement, Comparison), PackageError> {
    if left == right {
        return Ok((Agreement::BitIdentical, Comparison::default()));
    }
    let packages = parse(left, right)?;
    let pair = Pair::new(&packages, left, right);
    let mut finder = Finder::new(effort);
    let agreement = match compare(&mut finder, &pair) {
        // The members were walked to the first that differs: no need to unpack them again.
        Payload::Differs => Agreement::Different,
        Payload::Unknown => agree(&pair),
    };
    Ok((agreement, finder.finish()))
}

/// Compares two packages among other things: one that is damaged is noted and compared as bytes.
pub(crate) fn compare_nested(finder: &mut Finder, left: &[u8], right: &[u8]) {
    match parse(left, right) {
        Ok(packages) => {
            compare(finder, &Pair::new(&packages, left, right));
        }
        Err(PackageError { side, error }) => {
            finder.note(format!(
                "the {} package is compared as bytes: {error}",
                side.name()
            ));
        }
    }
}

/// Two packages, with their bytes.
struct Pair<'a> {
    left: Package<'a>,
    right: Package<'a>,
}

/// One of them.
struct Package<'a> {
    file: &'a RpmFile,
    bytes: &'a [u8],
}

impl<'a> Pair<'a> {
    const fn new(
        (left, right): &'a (RpmFile, RpmFile),
        left_bytes: &'a [u8],
        right_bytes: &'a [u8],
    ) -> Self {
        Self {
            left: Package {
                file: left,
                bytes: left_bytes,
            },
            right: Package {
                file: right,
                bytes: right_bytes,
            },
        }
    }
}

impl<'a> Package<'a> {
    fn part(&self, range: std::ops::Range<usize>) -> &'a [u8] {
        self.bytes.get(range).unwrap_or_default()
    }

    fn payload(&self) -> &'a [u8] {
        self.part(self.file.payload_range())
    }

    /// Everything between lead and header: the signature header and its padding.
    fn signature(&self) -> &'a [u8] {
        self.part(LEAD..self.file.header_range().start)
    }

    fn header(&self) -> &'a [u8] {
        self.part(self.file.header_range())
    }
}

fn parse(left: &[u8], right: &[u8]) -> Result<(RpmFile, RpmFile), PackageError> {
    let parsed = |side, bytes| RpmFile::parse(bytes).map_err(|error| PackageError { side, error });
    Ok((parsed(Side::Left, left)?, parsed(Side::Right, right)?))
}

fn agree(pair: &Pair<'_>) -> Agreement {
    let (left, right) = (pair.left.file, pair.right.file);
    if pair.left.bytes == pair.right.bytes {
        Agreement::BitIdentical
    } else if left.content_digest() == right.content_digest() {
        Agreement::ButForSignature
    } else if left.payload_digest() == right.payload_digest()
        || same_stream(
            pair.left.payload(),
            pair.right.payload(),
            Effort::USUAL.total_bytes,
        )
        .unwrap_or(false)
    {
        Agreement::PayloadIdentical
    } else {
        Agreement::Different
    }
}

/// What a walk says of the payload.
enum Payload {
    /// Some member differs.
    Differs,
    /// It was not looked at, or what differs is around its members.
    Unknown,
}

fn compare(finder: &mut Finder, pair: &Pair<'_>) -> Payload {
    let (left, right) = (&pair.left, &pair.right);
    section(
        finder,
        "lead",
        (left.part(0..LEAD), right.part(0..LEAD)),
        |finder| {
            compare_lead(finder, left.part(0..LEAD), right.part(0..LEAD));
        },
    );
    section(
        finder,
        "signature header",
        (left.signature(), right.signature()),
        |finder| {
            values::compare_tags(finder, pair, Section::Signature);
        },
    );
    let header = finder.count();
    section(
        finder,
        "header",
        (left.header(), right.header()),
        |finder| {
            values::compare_tags(finder, pair, Section::Header);
            values::compare_relations(finder, left.file, right.file);
            values::compare_scriptlets(finder, left.file, right.file);
        },
    );
    let told = files::compare(finder, left.file, right.file);
    // The order of entries, a number's width, what only counts: nothing that has a name.
    if left.header() != right.header() && finder.count() == header && !finder.is_done() {
        finder.within("part", "header", |finder| {
            compare_bytes(finder, left.header(), right.header());
        });
    }
    let before = finder.count();
    if left.payload() == right.payload() {
        return Payload::Unknown;
    }
    let payload = payload::compare(finder, pair, &told);
    // Equal content, compressed to other bytes; or bytes behind the archive.
    if finder.count() == before && told.is_empty() && !finder.is_done() {
        payload::compare_compression(finder, left, right);
    }
    payload
}

/// Compares a part whose own comparison may not look at every byte.
fn section(
    finder: &mut Finder,
    name: &str,
    (left, right): (&[u8], &[u8]),
    compare: impl FnOnce(&mut Finder),
) {
    if left == right || finder.is_done() {
        return;
    }
    let before = finder.count();
    compare(finder);
    let is_told_later = name == "header";
    if finder.count() == before && !finder.is_done() && !is_told_later {
        finder.within("part", name, |finder| compare_bytes(finder, left, right));
    }
}

/// ```text
/// 0 magic (4), 4 version (2), 6 type (2), 8 architecture (2), 10 name (66), 76 system (2),
/// 78 signature type (2), 80 reserved (16)
/// ```
fn compare_lead(finder: &mut Finder, left: &[u8], right: &[u8]) {
    const NUMBERS: [(&str, usize); 5] = [
        ("version", 4),
        ("type", 6),
        ("architecture", 8),
        ("system", 76),
        ("signature type", 78),
    ];
    finder.within("part", "lead", |finder| {
        for (name, at) in NUMBERS {
            let number = |lead: &[u8]| match lead.get(at..at + 2) {
                Some(&[high, low]) => u16::from_be_bytes([high, low]).to_string(),
                _ => "none".to_owned(),
            };
            finder.value("field", name, &number(left), &number(right));
        }
        let name = |lead: &[u8]| {
            let name = lead.get(10..76).unwrap_or_default();
            let end = memchr::memchr(0, name).unwrap_or(name.len());
            text_of(&name[..end])
        };
        finder.value("field", "name", &name(left), &name(right));
    });
}
