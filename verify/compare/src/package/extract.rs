//! One file out of a package, without unpacking the others to disk.

use std::io::{Cursor, Read};

use kiln_rpm::RpmFile;

use super::payload::{listed, path_of};
use crate::content::{CpioReader, unpacked};
use crate::effort::Effort;

/// Says why a file could not be taken out of a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackagedFileError {
    /// The payload can not be unpacked.
    #[error("the payload can not be unpacked: {reason}")]
    Payload {
        /// Why.
        reason: String,
    },
    /// The file is larger than it may be.
    #[error("`{path}` has {size} bytes, and at most {limit} are read")]
    Large {
        /// The file.
        path: String,
        /// Its bytes.
        size: u64,
        /// The most.
        limit: u64,
    },
    /// The payload has other bytes than the header says.
    #[error("`{path}` in the payload is not the file that the header lists")]
    Mismatch {
        /// The file.
        path: String,
    },
}

/// Returns the first file below `folder`, which ends in `/`: of a source package, the first one in the
/// archive of what kiln made itself. `None` when there is none.
///
/// # Errors
/// [`PackagedFileError`].
pub(super) fn packaged_file(
    package: &RpmFile,
    bytes: &[u8],
    folder: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, PackagedFileError> {
    let is_source = package.source_rpm().is_none();
    let is_wanted = |path: &str| match is_source {
        true => path.ends_with(".tar"),
        false => path.starts_with(folder),
    };
    let payload = bytes.get(package.payload_range()).unwrap_or_default();
    let damaged = |reason: String| PackagedFileError::Payload { reason };
    let files = listed(package);
    let stream = unpacked(payload, Effort::USUAL.total_bytes);
    let stream = stream.map_err(|error| damaged(error.to_string()))?;
    let mut reader = CpioReader::new(stream, &files, Effort::USUAL.member_bytes);
    while let Some(member) = reader.next().map_err(|error| damaged(error.to_string()))? {
        let path = path_of(&member.name);
        let path = path.as_str();
        if !is_wanted(path) || member.content.is_empty() {
            continue;
        }
        check(package, path, &member.content)?;
        if !is_source {
            return within(path, member.content, limit).map(Some);
        }
        if let Some(found) = in_archive(member.content, folder, limit)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The header's digest covers the payload's, and so the files; the list of files is compared all the same.
fn check(package: &RpmFile, path: &str, content: &[u8]) -> Result<(), PackagedFileError> {
    let listed = package
        .files()
        .iter()
        .find(|file| file.path.trim_start_matches('/') == path.trim_start_matches('/'));
    let is_listed = listed.is_some_and(|file| file.size == content.len() as u64);
    if is_listed {
        return Ok(());
    }
    Err(PackagedFileError::Mismatch {
        path: path.escape_debug().collect(),
    })
}

fn within(path: &str, content: Vec<u8>, limit: u64) -> Result<Vec<u8>, PackagedFileError> {
    let size = content.len() as u64;
    if size <= limit {
        return Ok(content);
    }
    Err(PackagedFileError::Large {
        path: path.escape_debug().collect(),
        size,
        limit,
    })
}

/// Other archives of a source package are upstream's, and have no such folder.
fn in_archive(
    archive: Vec<u8>,
    folder: &str,
    limit: u64,
) -> Result<Option<Vec<u8>>, PackagedFileError> {
    let mut archive = tar::Archive::new(Cursor::new(archive));
    let Ok(entries) = archive.entries() else {
        return Ok(None);
    };
    for entry in entries {
        let Ok(mut entry) = entry else {
            return Ok(None);
        };
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = format!("/{}", path.trim_start_matches("./").trim_start_matches('/'));
        if !path.starts_with(folder) || !entry.header().entry_type().is_file() {
            continue;
        }
        if entry.size() > limit {
            return Err(PackagedFileError::Large {
                path: path.escape_debug().collect(),
                size: entry.size(),
                limit,
            });
        }
        let mut content = Vec::new();
        return match entry.read_to_end(&mut content) {
            Ok(_) => Ok(Some(content)),
            Err(_) => Ok(None),
        };
    }
    Ok(None)
}
