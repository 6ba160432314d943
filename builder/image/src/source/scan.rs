//! Looks through a source archive without unpacking it: names, times, and a few small texts.
//!
//! It is read to its end, as strictly as for unpacking. Memory stays bounded: names are kept of the
//! upper folders only, and so much of each text and so many texts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use super::{check_format, read_error, strict_components};
use crate::compression::decompress;
use crate::limits::UnpackLimits;
use crate::tar_header::{BLOCK, EntryKind};
use crate::tar_read::{TarError, TarReader};
use crate::unpack::{ApplyError, EntryProblem, UnpackError};

/// Folders above a name that is kept: the archive's top folder and two more.
const MOST_PARENTS: usize = 3;

/// Names that are kept.
const MOST_NAMES: usize = 20_000;

/// Texts that are kept.
const MOST_TEXTS: usize = 64;

/// Bytes that are kept of one text.
const MOST_BYTES: usize = 256 << 10;

/// What a source archive holds, by paths below its single top folder if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceScan {
    /// Files in the upper folders.
    pub files: BTreeSet<String>,
    /// The beginnings of the files that were asked for.
    pub texts: BTreeMap<String, Vec<u8>>,
    /// The newest time of a file, in seconds since 1970-01-01T00:00:00Z.
    pub newest: Option<i64>,
}

/// Reads the source archive `name` to its end; keeps the beginnings of files whose last component
/// `wants` accepts.
///
/// # Errors
/// As [`unpack_source`](super::unpack_source), but for what only shows when links are followed.
pub fn scan_source(
    archive: &mut dyn Read,
    name: &str,
    wants: &dyn Fn(&str) -> bool,
    limits: UnpackLimits,
) -> Result<SourceScan, UnpackError> {
    let mut first = Vec::new();
    archive
        .take(BLOCK as u64)
        .read_to_end(&mut first)
        .map_err(|source| read_error(name, source))?;
    check_format(name, &first)?;
    let mut whole = first.as_slice().chain(archive);
    let (_, stream) = decompress(&mut whole, limits).map_err(|source| read_error(name, source))?;
    let mut reader = TarReader::new(stream, name, limits);
    let mut scan = SourceScan::default();
    let mut tops = BTreeSet::new();
    let mut is_flat = false;
    while let Some(entry) = reader.next_entry()? {
        let refused = |error: ApplyError| error.at(name, &entry.path);
        let components = strict_components(&entry.path).map_err(refused)?;
        if let EntryKind::Special(kind) = entry.kind {
            return Err(refused(EntryProblem::Special(kind).into()));
        }
        if let Some(top) = components.first()
            && tops.len() < 2
        {
            tops.insert(top.to_vec());
        }
        let is_directory = matches!(entry.kind, EntryKind::Directory);
        is_flat |= components.len() == 1 && !is_directory;
        if !matches!(entry.kind, EntryKind::File) {
            continue;
        }
        scan.newest = scan.newest.max(Some(entry.mtime));
        let path = std::str::from_utf8(&entry.path).ok();
        let (Some(_), true) = (path, components.len() <= MOST_PARENTS + 1) else {
            continue;
        };
        let parts: Vec<_> = components
            .iter()
            .map(|part| String::from_utf8_lossy(part))
            .collect();
        let path = parts.join("/");
        let last = parts.last().map_or("", |part| &**part);
        if wants(last) && scan.texts.len() < MOST_TEXTS {
            let mut text = Vec::new();
            reader.for_each_chunk::<TarError>(&mut |chunk| {
                let room = MOST_BYTES.saturating_sub(text.len());
                text.extend_from_slice(&chunk[..chunk.len().min(room)]);
                Ok(())
            })?;
            scan.texts.insert(path.clone(), text);
        }
        if scan.files.len() < MOST_NAMES {
            scan.files.insert(path);
        }
    }
    if tops.len() == 1 && !is_flat {
        scan.strip_top();
    }
    Ok(scan)
}

impl SourceScan {
    /// Leaves out the single top folder, as unpacking does.
    fn strip_top(&mut self) {
        let strip = |path: String| {
            path.split_once('/')
                .map_or(path.clone(), |(_, rest)| rest.to_owned())
        };
        self.files = std::mem::take(&mut self.files)
            .into_iter()
            .map(strip)
            .collect();
        self.texts = std::mem::take(&mut self.texts)
            .into_iter()
            .map(|(path, text)| (strip(path), text))
            .collect();
    }
}
