//! A signature's place in a package file: the signature header, written anew around it.
//!
//! ```text
//! lead               as it was
//! signature header   62 region, 267 (Ed25519) or 268 (RSA) the signature, then every other tag as it
//!                    was; 1008, rpm's reserved space, gives as many bytes as the signature takes
//! header, payload    as they were, at the same place
//! ```
//!
//! So a file keeps its size, taking the signature out gives the unsigned file again, and another
//! signature in its place is all that differs then. The `rpm` crate (0.30) would leave out two tags of
//! rpmbuild (1004 and 1007) and add one that rpm 4.18 does not know: docs/decisions/0011.

use crate::reader::{RpmError, RpmFile, Section};

use super::{GoodSignature, SignatureAlgorithm};

const LEAD: usize = 96;
const INTRODUCTION: usize = 16;
const ENTRY: usize = 16;
const MAGIC: [u8; 8] = [0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
const REGION: u32 = 62;
const BYTES: u32 = 7;
const RESERVED: u32 = 1008;
/// DSA and RSA over the header, PGP and GPG over header and payload, and OpenPGP of rpm 6.
const SIGNATURES: [u32; 5] = [267, 268, 278, 1002, 1005];

/// One tag, with its data as it stands in the file.
#[derive(Debug, Clone)]
struct Tag {
    tag: u32,
    kind: u32,
    count: u32,
    data: Vec<u8>,
}

/// Returns a package with this signature over its header, in place of any other.
///
/// # Errors
/// As [`RpmFile::parse`].
pub fn signed_package(bytes: &[u8], signature: &GoodSignature) -> Result<Vec<u8>, RpmError> {
    let tag = match signature.algorithm {
        SignatureAlgorithm::EdDsa => 267,
        SignatureAlgorithm::Rsa => 268,
    };
    let data = signature.packet.clone();
    let count = u32::try_from(data.len()).map_err(|_| damaged("a signature is too long"))?;
    let kind = BYTES;
    rewritten(
        bytes,
        Some(Tag {
            tag,
            kind,
            count,
            data,
        }),
    )
}

/// Returns a package without its signature, as rpmbuild wrote it.
///
/// # Errors
/// As [`RpmFile::parse`].
pub fn unsigned_package(bytes: &[u8]) -> Result<Vec<u8>, RpmError> {
    rewritten(bytes, None)
}

const fn damaged(reason: &'static str) -> RpmError {
    let section = Section::Signature;
    RpmError::Damaged { section, reason }
}

fn rewritten(bytes: &[u8], signature: Option<Tag>) -> Result<Vec<u8>, RpmError> {
    // Strictly read first: what follows relies on a sound structure.
    let header = RpmFile::parse(bytes)?.header_range();
    let old = bytes.get(LEAD..header.start).ok_or(RpmError::NotRpm)?;
    let mut tags = read_tags(old).ok_or(damaged("its entries can not be read"))?;
    tags.retain(|tag| !SIGNATURES.contains(&tag.tag));
    tags.extend(signature);
    tags.sort_by_key(|tag| tag.tag);
    let new = fitted(tags, old.len());
    let mut file = Vec::with_capacity(bytes.len());
    file.extend_from_slice(&bytes[..LEAD]);
    file.extend_from_slice(&new);
    file.extend_from_slice(&bytes[header.start..]);
    Ok(file)
}

/// Encodes the tags into `size` bytes if the reserved space allows it; without enough of it, into more.
fn fitted(mut tags: Vec<Tag>, size: usize) -> Vec<u8> {
    if let Some(reserved) = tags.iter_mut().find(|tag| tag.tag == RESERVED) {
        reserved.data.clear();
        reserved.count = 0;
    }
    let least = encode(&tags);
    if let Some(reserved) = tags.iter_mut().find(|tag| tag.tag == RESERVED)
        && let Some(room) = size.checked_sub(least.len())
        && let Ok(count) = u32::try_from(room)
        && room > 0
    {
        reserved.data = vec![0; room];
        reserved.count = count;
        let whole = encode(&tags);
        // Padding to eight bytes may hide some of the room.
        if whole.len() == size {
            return whole;
        }
    }
    tags.retain(|tag| tag.tag != RESERVED || tag.count > 0);
    encode(&tags)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

fn read_tags(section: &[u8]) -> Option<Vec<Tag>> {
    let entries = word(section, 8)? as usize;
    let start = INTRODUCTION + entries.checked_mul(ENTRY)?;
    let data = section.get(start..start.checked_add(word(section, 12)? as usize)?)?;
    let mut tags = Vec::new();
    for entry in section.get(INTRODUCTION..start)?.chunks_exact(ENTRY) {
        let (tag, kind) = (word(entry, 0)?, word(entry, 4)?);
        let (offset, count) = (word(entry, 8)? as usize, word(entry, 12)?);
        if tag == REGION {
            continue;
        }
        let rest = data.get(offset..)?;
        let size = match kind {
            6 | 8 | 9 => {
                let mut ends = rest.iter().enumerate().filter(|(_, byte)| **byte == 0);
                ends.nth((count as usize).checked_sub(1)?)?.0 + 1
            }
            kind => (count as usize).checked_mul(alignment(kind))?,
        };
        let data = rest.get(..size)?.to_vec();
        tags.push(Tag {
            tag,
            kind,
            count,
            data,
        });
    }
    Some(tags)
}

/// Returns the bytes that a value of a type takes, which is also what its place is a multiple of.
const fn alignment(kind: u32) -> usize {
    match kind {
        3 => 2,
        4 => 4,
        5 => 8,
        _ => 1,
    }
}

/// Encodes a whole section, padded to eight bytes.
fn encode(tags: &[Tag]) -> Vec<u8> {
    let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_be_bytes();
    let entries = tags.len() + 1;
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for tag in tags {
        data.resize(data.len().next_multiple_of(alignment(tag.kind)), 0);
        for field in [
            tag.tag.to_be_bytes(),
            tag.kind.to_be_bytes(),
            number(data.len()),
        ] {
            index.extend_from_slice(&field);
        }
        index.extend_from_slice(&tag.count.to_be_bytes());
        data.extend_from_slice(&tag.data);
    }
    let mut section = MAGIC.to_vec();
    section.extend_from_slice(&number(entries));
    section.extend_from_slice(&number(data.len() + ENTRY));
    // The region: it says where its trailer is, and the trailer how long the index is.
    let length = number(ENTRY);
    for field in [
        REGION.to_be_bytes(),
        BYTES.to_be_bytes(),
        number(data.len()),
        length,
    ] {
        section.extend_from_slice(&field);
    }
    section.extend_from_slice(&index);
    section.extend_from_slice(&data);
    let backwards = u32::try_from(entries * ENTRY)
        .unwrap_or(u32::MAX)
        .wrapping_neg();
    for field in [
        REGION.to_be_bytes(),
        BYTES.to_be_bytes(),
        backwards.to_be_bytes(),
        length,
    ] {
        section.extend_from_slice(&field);
    }
    section.resize(section.len().next_multiple_of(8), 0);
    section
}
