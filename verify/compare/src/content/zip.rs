//! zip archives by their central directory: jars, wheels.
//!
//! ```text
//! end of central directory   "PK\5\6", 10 entries (2), 12 size (4), 16 offset (4)
//! central entry              "PK\1\2", 4 made by (2), 8 flags (2), 10 method (2), 12 time (2), 14 date (2),
//!                            20 packed (4), 24 size (4), 28 name (2), 30 extra (2), 32 comment (2),
//!                            38 attributes (4), 42 offset (4), 46 name, extra, comment
//! local header               "PK\3\4", 26 name (2), 28 extra (2), 30 name, extra, then the content
//! ```

use std::io::Read as _;

use super::member::{Member, compare_members};
use crate::finder::Finder;
use crate::printable::plain_hex;

/// Bytes at the end in which the end of the directory lies: its comment has 64 KiB at most.
const TAIL: usize = 22 + 65_535;

struct Entry {
    name: Vec<u8>,
    fields: Vec<(&'static str, String)>,
    content: Vec<u8>,
}

/// Tells how two archives differ.
pub(super) fn compare(finder: &mut Finder, left: &[u8], right: &[u8]) {
    let left = entries(finder, "left", left);
    let right = entries(finder, "right", right);
    compare_members(finder, &members(&left), &members(&right));
}

fn members(entries: &[Entry]) -> Vec<Member<'_>> {
    entries
        .iter()
        .map(|entry| Member {
            name: entry.name.clone(),
            fields: entry.fields.clone(),
            content: &entry.content,
        })
        .collect()
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes(bytes.try_into().ok()?)))
}

fn word(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}

fn entries(finder: &mut Finder, side: &str, bytes: &[u8]) -> Vec<Entry> {
    let mut entries = Vec::new();
    let tail = bytes.len().saturating_sub(TAIL);
    let end = memchr::memmem::rfind(&bytes[tail..], b"PK\x05\x06").map(|at| tail + at);
    let Some((count, mut at)) =
        end.and_then(|end| Some((half(bytes, end + 10)?, word(bytes, end + 16)?)))
    else {
        finder.note(format!("{side} is damaged: it has no directory"));
        return entries;
    };
    for _ in 0..count {
        match entry(finder, bytes, at) {
            Some((entry, next)) => {
                entries.push(entry);
                at = next;
            }
            None => {
                finder.note(format!("{side} is damaged: its directory is cut off"));
                break;
            }
        }
    }
    entries
}

fn entry(finder: &mut Finder, bytes: &[u8], at: usize) -> Option<(Entry, usize)> {
    if bytes.get(at..at.checked_add(4)?)? != b"PK\x01\x02" {
        return None;
    }
    let (name, extra, comment) = (
        half(bytes, at + 28)?,
        half(bytes, at + 30)?,
        half(bytes, at + 32)?,
    );
    let next = at + 46 + name + extra + comment;
    let name_bytes = bytes.get(at + 46..at + 46 + name)?;
    let extra_bytes = bytes.get(at + 46 + name..at + 46 + name + extra)?;
    let method = half(bytes, at + 10)?;
    let (packed, local) = (word(bytes, at + 20)?, word(bytes, at + 42)?);
    let start = local
        .checked_add(30)?
        .checked_add(half(bytes, local.checked_add(26)?)?)?
        .checked_add(half(bytes, local.checked_add(28)?)?)?;
    let raw = bytes.get(start..start.checked_add(packed)?)?;
    let fields = vec![
        (
            "mtime",
            dos_time(half(bytes, at + 14)?, half(bytes, at + 12)?),
        ),
        ("method", method.to_string()),
        ("attributes", format!("{:#010x}", word(bytes, at + 38)?)),
        ("made by", format!("{:#06x}", half(bytes, at + 4)?)),
        ("extra", plain_hex(&extra_bytes[..extra.min(64)])),
    ];
    let content = match method {
        8 => inflated(finder, raw),
        _ => raw.to_vec(),
    };
    let name = name_bytes.to_vec();
    Some((
        Entry {
            name,
            fields,
            content,
        },
        next,
    ))
}

/// What can not be unpacked is compared as it is.
fn inflated(finder: &mut Finder, raw: &[u8]) -> Vec<u8> {
    let limit = finder.allowance();
    let mut content = Vec::new();
    let mut decoder = flate2::read::DeflateDecoder::new(raw).take(limit);
    let outcome = decoder.read_to_end(&mut content);
    finder.spend(content.len() as u64);
    match outcome {
        Ok(read) if (read as u64) < limit => content,
        Ok(_) => {
            finder.note(format!(
                "a member unpacks to more than the {limit} bytes that are looked into"
            ));
            raw.to_vec()
        }
        Err(_) => raw.to_vec(),
    }
}

/// A time as FAT has it: local, to two seconds, from 1980 on.
fn dos_time(date: usize, time: usize) -> String {
    let (year, month, day) = (1980 + (date >> 9), date >> 5 & 15, date & 31);
    let (hour, minute, second) = (time >> 11, time >> 5 & 63, (time & 31) * 2);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}
