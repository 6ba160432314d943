//! Unfinished downloads that outlive their kiln, so that the next one goes on where it ended.
//!
//! ```text
//! tmp/partial-<hex>        the bytes so far of the blob with this digest; flocked by who writes it
//! tmp/partial-<hex>.json   {"from":"sha256:…","validator":"…"}: whose bytes they are
//! ```
//!
//! Nothing reads them but a download of the same digest, which hashes them again before it adds to
//! them: no digest vouches for a beginning. They go when the blob is there, when the whole proves
//! wrong, and when nobody took them up for two weeks.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use kiln_model::Digest;
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::blob::{BlobInfo, BlobWriter};
use crate::error::StoreError;
use crate::store::Store;
use crate::temporary::take_lock;

/// How the names start.
const PREFIX: &str = "partial-";

/// Seconds after which a download that nobody goes on with is removed: two weeks.
const STALE: i64 = 14 * 24 * 60 * 60;

/// Bytes of the largest note about an origin that is read.
const NOTE_LIMIT: u64 = 4096;

/// Whose bytes a partial download holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Origin {
    /// The digest of the address: an address may hold what is nobody else's business.
    from: Digest,
    /// A strong `ETag` or a `Last-Modified`, as it came.
    validator: Option<String>,
}

impl Origin {
    pub(crate) fn new(address: &str, validator: Option<String>) -> Self {
        Self {
            from: Digest::of(address.as_bytes()),
            validator,
        }
    }

    /// Returns what `address` called the bytes, if they are its own.
    pub(crate) fn validator_of(&self, address: &str) -> Option<&str> {
        let is_same = self.from == Digest::of(address.as_bytes());
        self.validator.as_deref().filter(|_| is_same)
    }
}

/// A download on its way into the store. Dropped unfinished, it stays for the next kiln.
#[derive(Debug)]
pub(crate) struct PartialBlob {
    /// `None` only once it is finished or discarded.
    writer: Option<BlobWriter>,
    origin: Option<Origin>,
    /// Where the origin is noted; `None` if another kiln has the name, or nobody may write there:
    /// then the bytes are ours alone and go with us.
    note: Option<PathBuf>,
}

impl PartialBlob {
    /// Takes up what is there of the blob `digest`, at most `most` bytes of it, or starts it.
    pub(crate) fn open(store: &Store, digest: &Digest, most: u64) -> Result<Self, StoreError> {
        let path = partial_path(&store.root().join("tmp"), digest);
        let Some(lock) = open_locked(&path, OFlags::CREATE)? else {
            return Ok(Self {
                writer: Some(store.blob_writer()?),
                origin: None,
                note: None,
            });
        };
        let note = note_path(&path);
        let mut writer = BlobWriter::take_up(store.clone(), File::from(lock), &path)?;
        if writer.size() > most {
            writer.restart()?;
        }
        writer.keep_unfinished(true);
        let origin = (writer.size() > 0).then(|| read_note(&note)).flatten();
        Ok(Self {
            writer: Some(writer),
            origin,
            note: Some(note),
        })
    }

    /// Returns the bytes that are there.
    pub(crate) fn held(&self) -> u64 {
        self.writer.as_ref().map_or(0, BlobWriter::size)
    }

    /// Returns whose bytes they are, as far as that is known.
    pub(crate) const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// Makes ready for bytes that start at `offset`: 0, or what is held.
    pub(crate) fn begin(&mut self, offset: u64, origin: Origin) -> Result<(), StoreError> {
        if offset == 0 && self.held() > 0 {
            self.writer().restart()?;
        }
        if let Some(note) = self
            .note
            .as_ref()
            .filter(|_| self.origin.as_ref() != Some(&origin))
        {
            write_note(note, &origin);
        }
        self.origin = Some(origin);
        Ok(())
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.writer().append(bytes)
    }

    /// Returns whether all bytes of `digest` are there already.
    pub(crate) fn is_whole(&mut self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.held() > 0 && self.writer().digest_so_far()? == *digest)
    }

    /// Makes the bytes a blob if they have the digest; nothing of them stays if not.
    pub(crate) fn finish_expecting(mut self, digest: &Digest) -> Result<BlobInfo, StoreError> {
        let mut writer = self.writer.take().expect("only the end takes it");
        writer.keep_unfinished(false);
        let outcome = writer.finish_expecting(digest);
        self.remove_note();
        outcome
    }

    /// Forgets the bytes: they, or the disk, proved wrong.
    pub(crate) fn discard(mut self) {
        if let Some(mut writer) = self.writer.take() {
            writer.keep_unfinished(false);
        }
        self.remove_note();
    }

    fn writer(&mut self) -> &mut BlobWriter {
        self.writer.as_mut().expect("only the end takes it")
    }

    fn remove_note(&self) {
        if let Some(note) = &self.note {
            let _ = rustix::fs::unlink(note);
        }
    }
}

impl Drop for PartialBlob {
    fn drop(&mut self) {
        let Some(mut writer) = self.writer.take() else {
            return;
        };
        // What does not reach the disk is asked for again.
        let is_there = writer.flush_buffer().is_ok() && writer.size() > 0;
        if self.note.is_some() && !is_there {
            writer.keep_unfinished(false);
            self.remove_note();
        }
    }
}

/// Removes partial downloads below `tmp` whose blob is there, or that nobody took up for long;
/// `now` is in seconds since 1970.
pub(crate) fn remove_stale(tmp: &Path, blobs: &Path, now: i64) {
    let entries = walkdir::WalkDir::new(tmp)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    for entry in entries.into_iter().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(hex) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if let Some(hex) = hex.strip_suffix(".json") {
            if tmp
                .join(format!("{PREFIX}{hex}"))
                .symlink_metadata()
                .is_err()
            {
                let _ = rustix::fs::unlink(entry.path());
            }
            continue;
        }
        let Ok(Some(lock)) = open_locked(entry.path(), OFlags::empty()) else {
            continue;
        };
        let is_old = rustix::fs::fstat(&lock).is_ok_and(|stat| stat.st_mtime < now - STALE);
        if is_old || blobs.join(hex).symlink_metadata().is_ok() {
            let _ = rustix::fs::unlink(entry.path());
            let _ = rustix::fs::unlink(note_path(entry.path()));
        }
    }
}

fn partial_path(tmp: &Path, digest: &Digest) -> PathBuf {
    tmp.join(format!("{PREFIX}{}", digest.to_hex()))
}

fn note_path(partial: &Path) -> PathBuf {
    partial.with_extension("json")
}

/// Opens a partial download and takes its lock; `None` if it is not to be had.
fn open_locked(path: &Path, create: OFlags) -> Result<Option<OwnedFd>, StoreError> {
    // A FIFO must not block, and a symlink must not lead elsewhere.
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | create;
    let handle = match rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR) {
        Ok(handle) => handle,
        // Another user's, or nothing that kiln made.
        Err(Errno::ACCESS | Errno::PERM | Errno::LOOP | Errno::NXIO | Errno::ISDIR) => {
            return Ok(None);
        }
        Err(error) => return Err(StoreError::from_io("open", path, error)),
    };
    let stat = rustix::fs::fstat(&handle).map_err(|e| StoreError::from_io("open", path, e))?;
    // A second name could lead to a blob.
    let is_ours = FileType::from_raw_mode(stat.st_mode).is_file() && stat.st_nlink == 1;
    Ok((is_ours && take_lock(&handle, path)?).then_some(handle))
}

/// A note that can not be read only costs the server's word that its file is still the same.
fn read_note(path: &Path) -> Option<Origin> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let handle = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let mut text = Vec::new();
    let mut file = File::from(handle).take(NOTE_LIMIT);
    file.read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

fn write_note(path: &Path, origin: &Origin) {
    let _ = rustix::fs::unlink(path);
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    if let Ok(handle) = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)
        && let Ok(text) = serde_json::to_vec(origin)
    {
        let _ = File::from(handle).write_all(&text);
    }
}

#[cfg(test)]
mod tests;
