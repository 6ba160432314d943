//! The package reader: bytes of an RPM file to values, digests verified on the way.
//!
//! ```text
//! lead               96 bytes, magic ed ab ee db; nothing in it counts any more
//! signature header   padded to 8 bytes
//! header             what the digest and the signatures cover
//! payload            a compressed cpio archive, up to the end of the file
//! ```
//!
//! Everything is read and checked once, in [`RpmFile::parse`]; what it returns can be asked for
//! anything without failing. Accepted are packages that carry SHA-256 digests of header and payload
//! (rpm 4.14 and newer); older digests prove nothing and are ignored. Signatures are not judged here.

mod header;
mod values;

use std::collections::BTreeMap;
use std::ops::Range;

use kiln_model::{Digest, DigestError};

use crate::nevra::Nevra;
use header::Header;
pub use header::{Section, TagValue};
pub use values::{
    Comparison, PackagedFile, PackagedFileKind, PackagedScriptlet, Relation, Relations,
};

/// Says why a file is not a package, or not one to trust.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RpmError {
    /// The file does not begin like an RPM.
    #[error("this is not an RPM package: it does not begin with the lead's magic bytes")]
    NotRpm,
    /// A section's structure is broken.
    #[error("the package is damaged: {reason} ({})", section.name())]
    Damaged {
        /// Which section.
        section: Section,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A tag is missing or has another shape.
    #[error("the package is damaged: tag {tag} of the {} should hold {expected}", section.name())]
    Tag {
        /// Which section.
        section: Section,
        /// The tag's number, as in rpm's `rpmtag.h`.
        tag: u32,
        /// What was expected.
        expected: &'static str,
    },
    /// A digest that proves something is not there.
    #[error("the package carries no SHA-256 digest of its {part}; packages since rpm 4.14 do")]
    NoDigest {
        /// `header` or `payload`.
        part: &'static str,
    },
    /// A stated digest is none.
    #[error("the package states no proper digest of its {part}: {reason}")]
    Digest {
        /// `header`, `payload` or a file's path.
        part: String,
        /// What is wrong with it.
        reason: DigestError,
    },
    /// The bytes are not those that the digest was made of.
    #[error("the {part} does not match its digest: expected {expected}, actual {actual}")]
    Mismatch {
        /// `header` or `payload`.
        part: &'static str,
        /// The digest stated.
        expected: Digest,
        /// The digest of the bytes.
        actual: Digest,
    },
    /// Name, version, release or architecture hold characters that they can not have.
    #[error("the package's own name is not one: `{text}`")]
    Name {
        /// The parts, joined.
        text: String,
    },
    /// Files are named by another algorithm than SHA-256.
    #[error(
        "the package names its files by digest algorithm {algorithm}; only 8 (SHA-256) is read"
    )]
    FileDigestAlgorithm {
        /// The number of the algorithm, as OpenPGP has it; 1 is MD5.
        algorithm: u32,
    },
}

const LEAD: usize = 96;
const LEAD_MAGIC: [u8; 4] = [0xed, 0xab, 0xee, 0xdb];

/// A package file's content: verified, read, at rest.
#[derive(Debug, Clone)]
pub struct RpmFile {
    signature: Header,
    header: Header,
    nevra: Nevra,
    relations: Relations,
    files: Vec<PackagedFile>,
    scriptlets: Vec<PackagedScriptlet>,
    header_digest: Digest,
    payload_digest: Digest,
    content_digest: Digest,
    header_start: usize,
    payload: Range<usize>,
}

impl RpmFile {
    /// Reads the bytes of a package file.
    ///
    /// # Errors
    /// `NotRpm`, `Damaged` and `Tag` for what is not a whole package; `NoDigest`, `Digest` and
    /// `Mismatch` when header and payload are not proven to be what they were built as; `Name` and
    /// `FileDigestAlgorithm` for what a current rpm would not have written.
    pub fn parse(bytes: &[u8]) -> Result<Self, RpmError> {
        let rest = bytes.get(LEAD..).filter(|_| bytes.starts_with(&LEAD_MAGIC));
        let signature = Header::parse(Section::Signature, rest.ok_or(RpmError::NotRpm)?)?;
        let header_start = LEAD + signature.size().next_multiple_of(8);
        let rest = bytes.get(header_start..).ok_or(RpmError::Damaged {
            section: Section::Header,
            reason: "it is cut off",
        })?;
        let header = Header::parse(Section::Header, rest)?;
        let (header_bytes, payload) = rest.split_at(header.size());
        let header_digest = verify_header(&signature, header_bytes)?;
        let payload_digest = verify_payload(&header, payload)?;
        Ok(Self {
            nevra: read_nevra(&header)?,
            relations: Relations::read(&header)?,
            files: values::read_files(&header)?,
            scriptlets: values::read_scriptlets(&header)?,
            header_digest,
            payload_digest,
            content_digest: Digest::of(rest),
            header_start,
            payload: header_start + header.size()..bytes.len(),
            signature,
            header,
        })
    }

    /// Returns the package's full name.
    #[must_use]
    pub const fn nevra(&self) -> &Nevra {
        &self.nevra
    }

    /// Returns what it provides, requires and so on, in the header's order.
    #[must_use]
    pub const fn relations(&self) -> &Relations {
        &self.relations
    }

    /// Returns its files, in the header's order, which is by path.
    #[must_use]
    pub fn files(&self) -> &[PackagedFile] {
        &self.files
    }

    /// Returns its scriptlets, in the order in which they would run.
    #[must_use]
    pub fn scriptlets(&self) -> &[PackagedScriptlet] {
        &self.scriptlets
    }

    /// Returns the digest of the header: what a signature signs.
    #[must_use]
    pub const fn header_digest(&self) -> Digest {
        self.header_digest
    }

    /// Returns the digest of the compressed payload.
    #[must_use]
    pub const fn payload_digest(&self) -> Digest {
        self.payload_digest
    }

    /// Returns the digest of everything but lead and signature header: two packages that agree here
    /// differ at most in who signed them.
    #[must_use]
    pub const fn content_digest(&self) -> Digest {
        self.content_digest
    }

    /// Returns where in the file the header lies: what a signature signs.
    #[must_use]
    pub fn header_range(&self) -> Range<usize> {
        self.header_start..self.payload.start
    }

    /// Returns where in the file the compressed payload lies.
    #[must_use]
    pub fn payload_range(&self) -> Range<usize> {
        self.payload.clone()
    }

    /// Returns the build time, in seconds since 1970.
    #[must_use]
    pub fn build_time(&self) -> Option<u32> {
        self.header.number(values::BUILD_TIME).ok().flatten()
    }

    /// Returns the name of the host that it says it was built on.
    #[must_use]
    pub fn build_host(&self) -> Option<&str> {
        self.text(values::BUILD_HOST)
    }

    /// Returns the payload's compressor and its level: `("zstd", "12")`.
    #[must_use]
    pub fn payload_compressor(&self) -> Option<(&str, &str)> {
        let level = self.text(values::PAYLOAD_FLAGS).unwrap_or_default();
        self.text(values::PAYLOAD_COMPRESSOR)
            .map(|name| (name, level))
    }

    /// Returns the file name of the source package; `None` for a source package itself.
    #[must_use]
    pub fn source_rpm(&self) -> Option<&str> {
        self.text(values::SOURCE_RPM)
    }

    /// Returns the one-line summary.
    #[must_use]
    pub fn summary(&self) -> Option<&str> {
        self.text(values::SUMMARY)
    }

    /// Returns the licence as it is stated.
    #[must_use]
    pub fn license(&self) -> Option<&str> {
        self.text(values::LICENSE)
    }

    /// Returns who distributes it.
    #[must_use]
    pub fn vendor(&self) -> Option<&str> {
        self.text(values::VENDOR)
    }

    /// Returns whether the signature header holds an OpenPGP signature. It is not judged here.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        let tags = self.signature.values();
        values::SIGNATURES.iter().any(|tag| tags.contains_key(tag))
    }

    /// Returns the OpenPGP signature over the header, as version 4 packages carry it. It is not judged
    /// here.
    #[must_use]
    pub fn header_signature(&self) -> Option<&[u8]> {
        let tags = self.signature.values();
        let bytes = |tag: &u32| match tags.get(tag) {
            Some(TagValue::Bytes(bytes)) => Some(bytes.as_slice()),
            _ => None,
        };
        values::HEADER_SIGNATURES.iter().find_map(bytes)
    }

    /// Returns every value of a section by tag number, for comparisons.
    #[must_use]
    pub const fn tags(&self, section: Section) -> &BTreeMap<u32, TagValue> {
        match section {
            Section::Signature => self.signature.values(),
            Section::Header => self.header.values(),
        }
    }

    fn text(&self, tag: u32) -> Option<&str> {
        self.header.text(tag).ok().flatten()
    }
}

fn verify_header(signature: &Header, bytes: &[u8]) -> Result<Digest, RpmError> {
    let stated = signature.text(values::SHA256_HEADER)?;
    verify(
        "header",
        stated.ok_or(RpmError::NoDigest { part: "header" })?,
        bytes,
    )
}

fn verify_payload(header: &Header, bytes: &[u8]) -> Result<Digest, RpmError> {
    const SHA256: u32 = 8;
    let stated = header.text(values::PAYLOAD_DIGEST)?;
    let algorithm = header
        .number(values::PAYLOAD_DIGEST_ALGORITHM)?
        .unwrap_or(SHA256);
    let stated = stated.filter(|_| algorithm == SHA256);
    verify(
        "payload",
        stated.ok_or(RpmError::NoDigest { part: "payload" })?,
        bytes,
    )
}

fn verify(part: &'static str, stated: &str, bytes: &[u8]) -> Result<Digest, RpmError> {
    let expected = Digest::from_hex(stated).map_err(|reason| RpmError::Digest {
        part: part.to_owned(),
        reason,
    })?;
    let actual = Digest::of(bytes);
    if actual == expected {
        Ok(actual)
    } else {
        Err(RpmError::Mismatch {
            part,
            expected,
            actual,
        })
    }
}

fn read_nevra(header: &Header) -> Result<Nevra, RpmError> {
    let name = header.required_text(values::NAME)?;
    let version = header.required_text(values::VERSION)?;
    let release = header.required_text(values::RELEASE)?;
    let epoch = header.number(values::EPOCH)?;
    // A source package names the architecture that it was built on; `src` is what it is.
    let architecture = match header.text(values::SOURCE_RPM)? {
        Some(_) => header.required_text(values::ARCHITECTURE)?,
        None => "src",
    };
    Nevra::new(name, epoch, version, release, architecture).ok_or_else(|| RpmError::Name {
        text: format!("{name}-{version}-{release}.{architecture}"),
    })
}

#[cfg(test)]
mod tests;
