//! Writing and verifying blobs: bytes are hashed while they pass, and named only afterwards.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use kiln_model::{Digest, Sha512};
use rustix::fs::Mode;
use sha2::Digest as _;
use tempfile::NamedTempFile;

use crate::error::StoreError;
use crate::publish::Published;
use crate::store::Store;

/// What is known of a blob once all its bytes were seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobInfo {
    /// sha256: the blob's name.
    pub digest: Digest,
    /// sha512, for SBOM readers.
    pub sha512: Sha512,
    /// Bytes.
    pub size: u64,
}

/// Bytes that are collected before they are hashed and written: spares system calls for callers
/// that write in small pieces, as tar does.
const BUFFER: usize = 128 * 1024;

/// Bytes on their way into the store; dropped unfinished, nothing of them remains.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    file: NamedTempFile,
    buffer: Vec<u8>,
    hashers: Hashers,
}

impl BlobWriter {
    pub(crate) fn create(store: Store) -> Result<Self, StoreError> {
        let folder = store.session_folder();
        let file = tempfile::Builder::new()
            .prefix("blob-")
            .tempfile_in(folder)
            .map_err(|error| StoreError::from_io("create", folder, error))?;
        Ok(Self {
            store,
            file,
            buffer: Vec::with_capacity(BUFFER),
            hashers: Hashers::default(),
        })
    }

    /// Goes on with the bytes in `file`, which has the name `path`: all of them are hashed again.
    pub(crate) fn take_up(store: Store, file: File, path: &Path) -> Result<Self, StoreError> {
        let path = tempfile::TempPath::try_from_path(path)
            .map_err(|error| StoreError::from_io("open", path, error))?;
        let mut writer = Self {
            store,
            file: NamedTempFile::from_parts(file, path),
            buffer: Vec::with_capacity(BUFFER),
            hashers: Hashers::default(),
        };
        let mut piece = vec![0; BUFFER];
        loop {
            match writer.file.as_file_mut().read(&mut piece) {
                Ok(0) => return Ok(writer),
                Ok(count) => writer.hashers.update(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(StoreError::from_io("read", writer.file.path(), error)),
            }
        }
    }

    /// Says whether the file stays when the writer is dropped unfinished.
    pub(crate) fn keep_unfinished(&mut self, keep: bool) {
        self.file.disable_cleanup(keep);
    }

    /// Returns the bytes so far.
    pub(crate) const fn size(&self) -> u64 {
        self.hashers.size + self.buffer.len() as u64
    }

    /// Returns the digest of the bytes so far.
    pub(crate) fn digest_so_far(&mut self) -> Result<Digest, StoreError> {
        self.flush_buffer()?;
        Ok(self.hashers.finish().digest)
    }

    /// Forgets all bytes.
    pub(crate) fn restart(&mut self) -> Result<(), StoreError> {
        self.buffer.clear();
        self.hashers = Hashers::default();
        let file = self.file.as_file_mut();
        let outcome = file.set_len(0).and_then(|()| file.rewind());
        outcome.map_err(|error| StoreError::from_io("write", self.file.path(), error))
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// `DiskFull`, `NotWritable` or `Io`; the writer is of no use afterwards.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        if self.buffer.len() + bytes.len() > BUFFER {
            self.flush_buffer()?;
        }
        if bytes.len() >= BUFFER {
            self.hashers.update(bytes);
            return self.write_file(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Makes the bytes a blob of the store, durably.
    ///
    /// # Errors
    /// As the system refuses; nothing is kept then.
    pub fn finish(self) -> Result<BlobInfo, StoreError> {
        self.finish_checked(None)
    }

    /// Does the same if the bytes have the digest `expected`.
    ///
    /// # Errors
    /// `Mismatch` when they have another one, or as the system refuses; nothing is kept then.
    pub fn finish_expecting(self, expected: &Digest) -> Result<BlobInfo, StoreError> {
        self.finish_checked(Some(*expected))
    }

    fn finish_checked(mut self, expected: Option<Digest>) -> Result<BlobInfo, StoreError> {
        self.flush_buffer()?;
        let info = self.hashers.finish();
        if let Some(expected) = expected.filter(|expected| *expected != info.digest) {
            return Err(StoreError::Mismatch {
                expected,
                actual: info.digest,
            });
        }
        let path = self.file.path();
        rustix::fs::fchmod(self.file.as_file(), Mode::from_raw_mode(0o444))
            .map_err(|error| StoreError::from_io("write", path, error))?;
        // After a failed sync the file is lost: it is never synced a second time (the kernel
        // forgets what it could not write).
        rustix::fs::fsync(self.file.as_file())
            .map_err(|error| StoreError::from_io("write", path, error))?;
        if self.store.publish_blob(path, &info)? == Published::New {
            // The name is no longer ours to remove.
            let _ = self.file.into_temp_path().keep();
        }
        Ok(info)
    }

    pub(crate) fn flush_buffer(&mut self) -> Result<(), StoreError> {
        let buffer = std::mem::take(&mut self.buffer);
        self.hashers.update(&buffer);
        self.write_file(&buffer)?;
        self.buffer = buffer;
        self.buffer.clear();
        Ok(())
    }

    fn write_file(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let outcome = self.file.as_file_mut().write_all(bytes);
        outcome.map_err(|error| StoreError::from_io("write", self.file.path(), error))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.append(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(error) => {
                let kind = match &error {
                    StoreError::DiskFull { source, .. }
                    | StoreError::NotWritable { source, .. }
                    | StoreError::Io { source, .. } => source.kind(),
                    _ => io::ErrorKind::Other,
                };
                Err(io::Error::new(kind, error))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both algorithms and the size, fed together.
#[derive(Debug, Clone, Default)]
struct Hashers {
    sha256: sha2::Sha256,
    sha512: sha2::Sha512,
    size: u64,
}

impl Hashers {
    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        self.sha512.update(bytes);
        self.size += bytes.len() as u64;
    }

    fn finish(&self) -> BlobInfo {
        BlobInfo {
            digest: Digest::from_bytes(self.sha256.clone().finalize().into()),
            sha512: Sha512::from_bytes(self.sha512.clone().finalize().into()),
            size: self.size,
        }
    }
}

/// Says what a reader of a stored blob needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Only whether the bytes are right: sha512 is slow where sha256 has instructions of its own.
    Sha256,
    /// sha512 too.
    Both,
}

/// What reading a file to its end showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    pub(crate) digest: Digest,
    pub(crate) sha512: Option<Sha512>,
    pub(crate) size: u64,
}

/// Hashes the rest of `file`.
pub(crate) fn observe(
    mut file: &File,
    path: &Path,
    wanted: Wanted,
) -> Result<Observed, StoreError> {
    let mut sha256 = sha2::Sha256::new();
    let mut sha512 = sha2::Sha512::new();
    let mut size = 0;
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(StoreError::from_io("read", path, error)),
        };
        sha256.update(&buffer[..count]);
        if wanted == Wanted::Both {
            sha512.update(&buffer[..count]);
        }
        size += count as u64;
    }
    Ok(Observed {
        digest: Digest::from_bytes(sha256.finalize().into()),
        sha512: (wanted == Wanted::Both).then(|| Sha512::from_bytes(sha512.finalize().into())),
        size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_and_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut writer = store.blob_writer().unwrap();
        // Every write to this device fails as a full disk does.
        *writer.file.as_file_mut() = File::options().write(true).open("/dev/full").unwrap();
        writer.append(b"few bytes fit the buffer").unwrap();
        let error = writer.finish().unwrap_err();
        let StoreError::DiskFull { path, source } = error else {
            panic!("expected a full disk, got {error}");
        };
        assert!(path.starts_with(store.session_folder()));
        assert_eq!(source.kind(), io::ErrorKind::StorageFull);

        let mut writer = store.blob_writer().unwrap();
        *writer.file.as_file_mut() = File::options().write(true).open("/dev/full").unwrap();
        let error = writer.write_all(&vec![7; 3 * BUFFER]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert!(error.to_string().starts_with("no space left to write `"));
        drop(writer);
        let blobs = walkdir::WalkDir::new(folder.path().join("blobs"));
        assert!(
            blobs
                .into_iter()
                .all(|entry| entry.unwrap().file_type().is_dir())
        );
        let left = walkdir::WalkDir::new(store.session_folder()).min_depth(1);
        assert_eq!(left.into_iter().count(), 0);
    }

    #[test]
    fn pieces_of_any_size_make_the_same_blob() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let bytes: Vec<u8> = (0..400_000_u32).map(|n| (n % 251) as u8).collect();
        for piece in [1, 512, BUFFER - 1, BUFFER, BUFFER + 1, bytes.len()] {
            let mut writer = store.blob_writer().unwrap();
            for part in bytes.chunks(piece) {
                writer.write_all(part).unwrap();
            }
            let expected = BlobInfo {
                digest: Digest::of(&bytes),
                sha512: Sha512::of(&bytes),
                size: bytes.len() as u64,
            };
            assert_eq!(writer.finish().unwrap(), expected);
        }
        assert_eq!(store.read_blob(&Digest::of(&bytes)).unwrap(), bytes);
    }
}
