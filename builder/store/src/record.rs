//! Records: small named values beside the blobs, each with its own digest.
//!
//! ```text
//! kiln-record 1 sha256:<hex>\n    over all that follows
//! <kind> <key>\n                  a record that was copied to another name is not that name's
//! <the value's bytes>
//! ```
//!
//! A record that is missing, damaged, of another format or unreadable is a miss: never an error,
//! never a hit.

use std::io::Read;
use std::path::{Path, PathBuf};

use kiln_model::Digest;
use rustix::fs::{Mode, OFlags};

use crate::error::StoreError;
use crate::publish::replace_file;
use crate::store::Store;

const RECORD_FORMAT: u32 = 1;
/// Bytes that a record may have; more is not one of ours.
const SIZE_LIMIT: u64 = 64 * 1024 * 1024;
/// Bytes of a record's file name: file systems allow 255.
const NAME_LIMIT: usize = 240;

/// Says which folder of records is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKind {
    /// What a build key led to: `actions/`; see [`Store::record_result`].
    Action,
    /// What a name stands for: `refs/`.
    Reference,
    /// What was last seen in a folder of results: `outputs/`.
    Output,
    /// What was last built for a folder of results, and from what: `latest/`.
    Latest,
    /// Who uses the store: `projects/`.
    Project,
}

impl RecordKind {
    const fn folder(self) -> &'static str {
        match self {
            Self::Action => "actions",
            Self::Reference => "refs",
            Self::Output => "outputs",
            Self::Latest => "latest",
            Self::Project => "projects",
        }
    }
}

/// Something in a folder of records.
#[derive(Debug)]
pub(crate) struct FoundRecord {
    pub(crate) path: PathBuf,
    /// `None` when it is damaged, misplaced or none of kiln's.
    pub(crate) key: Option<String>,
    pub(crate) value: Vec<u8>,
    /// When it was written or marked as used: seconds since 1970.
    pub(crate) modified: i64,
}

impl Store {
    /// Writes a record, atomically, over an older one of the same key.
    ///
    /// # Errors
    /// `RecordKey`, or as the system refuses; the older one is whole then.
    pub fn write_record(
        &self,
        kind: RecordKind,
        key: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let path = self.record_path(kind, key)?;
        replace_file(self.session_folder(), &path, &encode(kind, key, bytes))
    }

    /// Reads a record; `None` when there is none that can be trusted.
    ///
    /// # Errors
    /// `RecordKey`.
    pub fn read_record(&self, kind: RecordKind, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let record = self.read_timed_record(kind, key)?;
        Ok(record.map(|(value, _)| value))
    }

    /// Does the same, and says when the record was written or marked as used: seconds since 1970.
    pub(crate) fn read_timed_record(
        &self,
        kind: RecordKind,
        key: &str,
    ) -> Result<Option<(Vec<u8>, i64)>, StoreError> {
        let path = self.record_path(kind, key)?;
        Ok(read_bounded(&path).and_then(|(text, modified)| {
            let (found_key, value) = decode(kind, &text)?;
            (found_key == key).then(|| (value.to_vec(), modified))
        }))
    }

    /// Returns every readable record of a kind, by key.
    pub fn records(&self, kind: RecordKind) -> Vec<(String, Vec<u8>)> {
        let found = find_records(self.root(), kind).into_iter();
        let mut records: Vec<_> = found
            .filter_map(|found| Some((found.key?, found.value)))
            .collect();
        records.sort();
        records
    }

    /// Removes a record; one that is gone is no error.
    ///
    /// # Errors
    /// `RecordKey`, or as the system refuses.
    pub fn remove_record(&self, kind: RecordKind, key: &str) -> Result<(), StoreError> {
        let path = self.record_path(kind, key)?;
        match rustix::fs::unlink(&path) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(StoreError::from_io("remove", &path, error)),
        }
    }

    pub(crate) fn record_path(&self, kind: RecordKind, key: &str) -> Result<PathBuf, StoreError> {
        let Some(name) = file_name(key) else {
            return Err(StoreError::RecordKey {
                key: key.to_owned(),
                limit: NAME_LIMIT,
            });
        };
        Ok(self.root().join(kind.folder()).join(name))
    }
}

/// Returns everything in the folder of a kind, sorted by path: what is no record has no key.
pub(crate) fn find_records(store: &Path, kind: RecordKind) -> Vec<FoundRecord> {
    let entries = walkdir::WalkDir::new(store.join(kind.folder()))
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    let found = entries.into_iter().flatten().map(|entry| {
        let read = read_bounded(entry.path());
        let modified = read.as_ref().map_or(0, |(_, modified)| *modified);
        let decoded = read.and_then(|(text, _)| {
            let (key, value) = decode(kind, &text)?;
            let is_in_place = file_name(key).as_deref() == entry.file_name().to_str();
            is_in_place.then(|| (key.to_owned(), value.to_vec()))
        });
        let (key, value) = decoded.map_or((None, Vec::new()), |(key, v)| (Some(key), v));
        FoundRecord {
            path: entry.into_path(),
            key,
            value,
            modified,
        }
    });
    found.collect()
}

/// Returns the file name for a key: letters, digits and some signs as they are, the rest as `%XX`.
fn file_name(key: &str) -> Option<String> {
    if key.is_empty() || key.chars().any(char::is_control) {
        return None;
    }
    let mut name = String::new();
    for (place, byte) in key.bytes().enumerate() {
        match byte {
            b'.' if place == 0 => name.push_str("%2E"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'_' | b'+' | b'@' | b':' | b'-' => {
                name.push(char::from(byte));
            }
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    (name.len() <= NAME_LIMIT).then_some(name)
}

fn encode(kind: RecordKind, key: &str, bytes: &[u8]) -> Vec<u8> {
    let mut body = format!("{} {key}\n", kind.folder()).into_bytes();
    body.extend_from_slice(bytes);
    let mut text = format!("kiln-record {RECORD_FORMAT} {}\n", Digest::of(&body)).into_bytes();
    text.append(&mut body);
    text
}

fn decode(kind: RecordKind, text: &[u8]) -> Option<(&str, &[u8])> {
    let (head, body) = split_line(text)?;
    let stated = head.strip_prefix(&format!("kiln-record {RECORD_FORMAT} "))?;
    if stated.parse() != Ok(Digest::of(body)) {
        return None;
    }
    let (name, value) = split_line(body)?;
    let key = name.strip_prefix(kind.folder())?.strip_prefix(' ')?;
    Some((key, value))
}

fn split_line(text: &[u8]) -> Option<(&str, &[u8])> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    Some((str::from_utf8(&text[..end]).ok()?, &text[end + 1..]))
}

/// Returns a file's bytes, and when it was written: seconds since 1970.
fn read_bounded(path: &Path) -> Option<(Vec<u8>, i64)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = std::fs::File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let found = file.metadata().ok()?;
    if !found.is_file() {
        return None;
    }
    // Room for all of it at once: a bounded reader knows no size and begins with tiny reads.
    let size = usize::try_from(found.len().min(SIZE_LIMIT)).ok()?;
    let mut bytes = Vec::with_capacity(size + 1);
    let count = file.take(SIZE_LIMIT + 1).read_to_end(&mut bytes).ok()?;
    let modified = std::os::unix::fs::MetadataExt::mtime(&found);
    (count as u64 <= SIZE_LIMIT).then_some((bytes, modified))
}
