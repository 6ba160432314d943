//! Looks through a source archive without unpacking it: names, times, and a few small texts.
//!
//! It is read to its end, as strictly as for unpacking. Memory stays bounded: names are kept of the
//! upper folders only, and so much of each text and so many texts.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use super::{checked, read_error, strict_components};
use crate::compression::decompress;
use crate::limits::UnpackLimits;
use crate::tar_header::EntryKind;
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
    let mut whole = checked(archive, name)?;
    let (_, stream) = decompress(&mut whole, limits).map_err(|source| read_error(name, source))?;
    let mut reader = TarReader::new(stream, name, limits);
    let mut scan = SourceScan::default();
    let mut tops = BTreeSet::new();
    let mut is_flat = false;
    while let Some(entry) = reader.next_entry()? {
        // Nothing is written.
        let refused = |error: ApplyError| error.at(name, &entry.path, Path::new(""));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hand_tar::HandTar;

    fn scan(tar: HandTar) -> Result<SourceScan, UnpackError> {
        let bytes = tar.end();
        let wants = |name: &str| name == "LICENSE";
        scan_source(&mut bytes.as_slice(), "x.tar", &wants, UnpackLimits::SOURCE)
    }

    fn files(scan: &SourceScan) -> Vec<&str> {
        scan.files.iter().map(String::as_str).collect()
    }

    #[test]
    fn the_single_top_folder_is_left_out() {
        let found = scan(
            HandTar::new()
                .dir("x-1/")
                .file("x-1/LICENSE", "text")
                .file("./x-1/a/b/c", "")
                .file("x-1/a/b/c/too-deep", "")
                .symlink("x-1/link", "LICENSE"),
        )
        .unwrap();
        assert_eq!(files(&found), ["LICENSE", "a/b/c"]);
        assert_eq!(found.texts["LICENSE"], b"text");
        assert_eq!(found.newest, Some(1000));
        let flat = scan(HandTar::new().file("x/LICENSE", "").file("README", "")).unwrap();
        assert_eq!(files(&flat), ["README", "x/LICENSE"]);
        let two = scan(HandTar::new().file("a/x", "").file("b/LICENSE", "")).unwrap();
        assert_eq!(files(&two), ["a/x", "b/LICENSE"]);
        assert_eq!(
            scan(HandTar::new().dir("x/")).unwrap(),
            SourceScan::default()
        );
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = "x".repeat(MOST_BYTES + 1);
        let found = scan(HandTar::new().file("x/LICENSE", &long)).unwrap();
        assert_eq!(found.texts["LICENSE"].len(), MOST_BYTES);
        let mut tar = HandTar::new();
        for number in 0..MOST_TEXTS + 6 {
            tar = tar.file(&format!("x/{number}/LICENSE"), "t");
        }
        let found = scan(tar).unwrap();
        assert_eq!(found.texts.len(), MOST_TEXTS);
        assert_eq!(found.files.len(), MOST_TEXTS + 6);
    }

    #[test]
    fn what_no_source_archive_should_hold_is_refused() {
        let problem = |tar: HandTar| match scan(tar).unwrap_err() {
            UnpackError::Entry { problem, .. } => problem,
            other => panic!("{other}"),
        };
        let up = problem(HandTar::new().file("x/../../evil", ""));
        assert_eq!(up, EntryProblem::DotDot);
        assert_eq!(
            problem(HandTar::new().file("/etc/x", "")),
            EntryProblem::Absolute
        );
        let fifo = problem(HandTar::new().of_type("x/fifo", b'6'));
        assert!(matches!(fifo, EntryProblem::Special(_)), "{fifo}");
        let mut bytes = HandTar::new().file("x/LICENSE", "text").end();
        bytes.truncate(700);
        let error = scan_source(
            &mut bytes.as_slice(),
            "x.tar",
            &|_| true,
            UnpackLimits::SOURCE,
        );
        assert!(
            matches!(error, Err(UnpackError::Tar(TarError::Truncated { .. }))),
            "{error:?}"
        );
    }
}
