//! Writing and verifying blobs: bytes are hashed while they pass, and named only afterwards.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::num::NonZero;
use std::path::Path;

use kiln_model::{Digest, Sha512};
use rustix::fs::Mode;
use tempfile::NamedTempFile;

use crate::error::StoreError;
use crate::hash::{Sha256Stream, Sha512Stream};
use crate::hash_thread::{HashThread, Sha256Worker};
use crate::publish::{NameSync, Published};
use crate::store::Store;

/// Bytes after which the disk is asked to start writing: syncing waits for less then.
const START_AFTER: u64 = 16 << 20;

/// Asks the disk to write `bytes` of `file` from `offset` on, and waits for nothing. Only advice:
/// syncing is what makes it last, and tells of errors that happened meanwhile.
pub fn start_writing(file: &File, offset: u64, bytes: u64) {
    let bytes = NonZero::new(bytes);
    let _ = rustix::fs::fadvise(file, offset, bytes, rustix::fs::Advice::DontNeed);
}

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
///
/// [`BlobWriter`] hashes with both algorithms; [`PlainBlobWriter`] leaves sha512 out.
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    file: NamedTempFile,
    buffer: Vec<u8>,
    hashers: Hashers,
    /// Bytes that the disk was asked to start with.
    started: u64,
    /// Bytes in the file.
    written: u64,
}

/// Bytes on their way into the store whose sha512 nobody asks for yet: where sha256 has instructions
/// of its own, sha512 is most of what writing a big blob costs. [`Store::blob_info`] finds it later.
#[derive(Debug)]
pub struct PlainBlobWriter(BlobWriter);

impl PlainBlobWriter {
    pub(crate) fn create(store: Store) -> Result<Self, StoreError> {
        BlobWriter::create_hashing(store, Hashers::new(Wanted::Sha256)).map(Self)
    }

    pub(crate) fn create_big(store: Store) -> Result<Self, StoreError> {
        let mut hashers = Hashers::new(Wanted::Sha256);
        hashers.sha256 = Sha256Worker::Elsewhere(HashThread::start());
        BlobWriter::create_hashing(store, hashers).map(Self)
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    /// As [`BlobWriter::append`].
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.0.append(bytes)
    }

    /// Makes the bytes a blob of the store, durably, and returns its name.
    ///
    /// # Errors
    /// As [`BlobWriter::finish`].
    pub fn finish(self) -> Result<Digest, StoreError> {
        Ok(self.0.finish_checked(None, NameSync::Now)?.digest)
    }

    /// Makes the bytes a blob of the store, which is durable once a result is recorded that it is a
    /// part of: see [`Store::record_results`].
    ///
    /// # Errors
    /// As [`BlobWriter::finish`].
    pub fn finish_part(self) -> Result<Digest, StoreError> {
        Ok(self.0.finish_checked(None, NameSync::Later)?.digest)
    }

    /// Does the same as [`PlainBlobWriter::finish`] if the bytes have the digest `expected`.
    ///
    /// # Errors
    /// As [`BlobWriter::finish_expecting`].
    pub fn finish_expecting(self, expected: &Digest) -> Result<Digest, StoreError> {
        let observed = self.0.finish_checked(Some(*expected), NameSync::Now)?;
        Ok(observed.digest)
    }
}

impl Write for PlainBlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter {
    pub(crate) fn create(store: Store) -> Result<Self, StoreError> {
        Self::create_hashing(store, Hashers::new(Wanted::Both))
    }

    fn create_hashing(store: Store, hashers: Hashers) -> Result<Self, StoreError> {
        let folder = store.session_folder();
        let file = tempfile::Builder::new()
            .prefix("blob-")
            .tempfile_in(folder)
            .map_err(|error| StoreError::from_io("create", folder, error))?;
        Ok(Self {
            store,
            file,
            buffer: Vec::with_capacity(BUFFER),
            hashers,
            started: 0,
            written: 0,
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
            hashers: Hashers::new(Wanted::Both),
            started: 0,
            written: 0,
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
        self.hashers = Hashers::new(Wanted::Both);
        (self.started, self.written) = (0, 0);
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
        self.finish_checked(None, NameSync::Now)
            .map(Observed::into_info)
    }

    /// Does the same if the bytes have the digest `expected`.
    ///
    /// # Errors
    /// `Mismatch` when they have another one, or as the system refuses; nothing is kept then.
    pub fn finish_expecting(self, expected: &Digest) -> Result<BlobInfo, StoreError> {
        self.finish_checked(Some(*expected), NameSync::Now)
            .map(Observed::into_info)
    }

    fn finish_checked(
        mut self,
        expected: Option<Digest>,
        sync: NameSync,
    ) -> Result<Observed, StoreError> {
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
        if self.store.publish_blob(path, &info, sync)? == Published::New {
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
        outcome.map_err(|error| StoreError::from_io("write", self.file.path(), error))?;
        self.written += bytes.len() as u64;
        if self.written - self.started >= START_AFTER {
            start_writing(
                self.file.as_file(),
                self.started,
                self.written - self.started,
            );
            self.started = self.written;
        }
        Ok(())
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

/// The algorithms that are wanted and the size, fed together.
#[derive(Debug)]
struct Hashers {
    sha256: Sha256Worker,
    sha512: Option<Sha512Stream>,
    size: u64,
}

impl Hashers {
    fn new(wanted: Wanted) -> Self {
        Self {
            sha256: Sha256Worker::Here(Sha256Stream::default()),
            sha512: (wanted == Wanted::Both).then(Sha512Stream::default),
            size: 0,
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.sha256.update(bytes);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(bytes);
        }
        self.size += bytes.len() as u64;
    }

    fn finish(&mut self) -> Observed {
        let sha512 = self.sha512.clone();
        Observed {
            digest: self.sha256.finish(),
            sha512: sha512.map(Sha512Stream::finish),
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

/// What reading or writing a file to its end showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    pub(crate) digest: Digest,
    pub(crate) sha512: Option<Sha512>,
    pub(crate) size: u64,
}

impl Observed {
    fn into_info(self) -> BlobInfo {
        BlobInfo {
            digest: self.digest,
            sha512: self.sha512.expect("both algorithms were asked for"),
            size: self.size,
        }
    }
}

/// Hashes the rest of `file`.
pub(crate) fn observe(
    mut file: &File,
    path: &Path,
    wanted: Wanted,
) -> Result<Observed, StoreError> {
    let mut hashers = Hashers::new(wanted);
    let mut buffer = vec![0; BUFFER];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return Ok(hashers.finish()),
            Ok(count) => hashers.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(StoreError::from_io("read", path, error)),
        }
    }
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
        assert_eq!(left.into_iter().count(), 1, "the leases");
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
            let mut plain = store.plain_blob_writer().unwrap();
            for part in bytes.chunks(piece) {
                plain.write_all(part).unwrap();
            }
            assert_eq!(plain.finish().unwrap(), expected.digest);
            assert_eq!(store.blob_info(&expected.digest).unwrap(), expected);
        }
        assert_eq!(store.read_blob(&Digest::of(&bytes)).unwrap(), bytes);
    }

    #[test]
    fn a_blob_without_sha512_gets_one_when_it_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let bytes = b"nobody asked for the longer digest yet";
        let mut plain = store.plain_blob_writer().unwrap();
        plain.append(bytes).unwrap();
        let wrong = Digest::of(b"something else");
        let error = plain.finish_expecting(&wrong).unwrap_err();
        let StoreError::Mismatch { expected, actual } = error else {
            panic!("expected a mismatch, got {error}");
        };
        assert_eq!((expected, actual), (wrong, Digest::of(bytes)));
        assert!(!store.contains(&Digest::of(bytes)), "nothing is kept");
        let digest = store.write_blob(bytes).unwrap();
        let info = store.blob_info(&digest).unwrap();
        assert_eq!(info.sha512, Sha512::of(bytes));
    }
}
