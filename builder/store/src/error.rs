//! What can go wrong in the store, with the path and both sides of every mismatch.

use std::io;
use std::path::{Path, PathBuf};

use kiln_model::Digest;

/// Says why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store's path, or one of the folders in it, names something else.
    #[error("expected a folder at `{path}`, found something else; name another store")]
    NotAFolder {
        /// The path that was given.
        path: PathBuf,
    },
    /// The folder holds other things and was never a store.
    #[error(
        "`{path}` is not a kiln store: it holds `{found}` but no `kiln-store.json`; \
         name an empty or a new folder"
    )]
    NotAStore {
        /// The path that was given.
        path: PathBuf,
        /// One name that was found there.
        found: String,
    },
    /// A newer kiln made the store.
    #[error(
        "the store `{path}` has format {actual}; this kiln reads up to format {expected}; \
         use a newer kiln or another store"
    )]
    Newer {
        /// The store's root.
        path: PathBuf,
        /// The newest format that this kiln reads.
        expected: u32,
        /// The store's format.
        actual: u32,
    },
    /// The file that states the store's format does not.
    #[error(
        "expected `{path}` to state the store's format: {reason}; take the file back from a backup, or \
         name another store"
    )]
    DamagedFormat {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        reason: String,
    },
    /// Too little would be left of the system's longest path for what lies in the store.
    #[error(
        "the store's path has {actual} bytes, and {limit} are the most: name a folder nearer to the \
         root (`{start}…`)"
    )]
    PathTooLong {
        /// How the path starts.
        start: String,
        /// Its length.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// The store may not be written to by this user, or its file system is mounted read-only.
    #[error("`{path}` can not be written to; make it writable or name another store")]
    NotWritable {
        /// The path that was to be written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The store, or something in it, may not be read by this user.
    #[error("`{path}` can not be read by this user; make it readable or name another store")]
    NotReadable {
        /// The path that was to be read.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The disk, or this user's share of it, is full.
    #[error("no space left to write `{path}`; free some space or name a store on another disk")]
    DiskFull {
        /// The path that was to be written.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Any other refusal of the system.
    #[error("can not {act} `{path}`")]
    Io {
        /// What was tried.
        act: &'static str,
        /// The path it was tried on.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The store does not hold this blob.
    #[error("the store has no blob {digest}")]
    Missing {
        /// The blob that was asked for.
        digest: Digest,
    },
    /// A stored blob no longer has its bytes; it was set aside.
    #[error(
        "a blob in the store is damaged and was set aside as `{evidence}`\n  \
         expected  {expected}\n  actual    {actual}"
    )]
    Damaged {
        /// The digest that names the blob.
        expected: Digest,
        /// The digest of the bytes that were found.
        actual: Digest,
        /// Where the damaged file is now.
        evidence: PathBuf,
    },
    /// The name of a blob is taken by something that is not a regular file; it was set aside.
    #[error(
        "a blob in the store is not a regular file and was set aside as `{evidence}`: {digest}"
    )]
    NotARegularFile {
        /// The digest that names the blob.
        digest: Digest,
        /// Where the thing is now.
        evidence: PathBuf,
    },
    /// The bytes that were written are not those that were expected; nothing was kept.
    #[error("bytes do not match their digest\n  expected  {expected}\n  actual    {actual}")]
    Mismatch {
        /// The digest that the caller knew.
        expected: Digest,
        /// The digest of the bytes that came.
        actual: Digest,
    },
    /// A record's key is empty, too long or holds a control character.
    #[error("expected a record key of 1 to {limit} bytes without control characters, got {key:?}")]
    RecordKey {
        /// The key that was given.
        key: String,
        /// Bytes that the encoded key may have.
        limit: usize,
    },
}

impl StoreError {
    /// Sorts a system error on `path` into the variants that a user can act on.
    pub(crate) fn from_io(act: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.to_owned(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path, source }
            }
            io::ErrorKind::ReadOnlyFilesystem => Self::NotWritable { path, source },
            io::ErrorKind::PermissionDenied if WRITES.contains(&act) => {
                Self::NotWritable { path, source }
            }
            io::ErrorKind::PermissionDenied if READS.contains(&act) => {
                Self::NotReadable { path, source }
            }
            _ => Self::Io { act, path, source },
        }
    }
}

/// Acts whose refusal means that the store is not writable, rather than that a file is unreadable.
const WRITES: &[&str] = &["create", "write", "publish", "lock"];

/// Acts whose refusal means that the store is another user's, who shares it with nobody.
const READS: &[&str] = &["read", "open"];

/// Says why a tree was not stored.
#[derive(Debug, thiserror::Error)]
pub enum WriteTreeError<E> {
    /// The caller could not fill the tree; nothing of it was kept.
    #[error(transparent)]
    Fill(E),
    /// The store could not take it; nothing of it was kept.
    #[error(transparent)]
    Store(#[from] StoreError),
}
