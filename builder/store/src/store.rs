//! The store itself: blobs by digest, verified when they are used.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kiln_model::{Digest, Sha512};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::aside::{Noted, StoredThing};
use crate::blob::{BlobInfo, BlobWriter, Observed, PlainBlobWriter, Wanted, observe};
use crate::error::StoreError;
use crate::identity::FileIdentity;
use crate::layout;
use crate::lease::Leases;
use crate::partial::remove_stale;
use crate::publish::{NameSync, Published, publish, sync_folder};
use crate::temporary::{ScratchDir, Session, remove_leftovers};
use crate::turn::remove_dead;

/// A content-addressed store on disk: an OCI image layout that several kilns may share.
///
/// Clones share one handle: its folder for unfinished things, and its memory of which blobs were
/// verified already and have the same inode, size and times since.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    migrated_from: Option<u32>,
    leases: Leases,
    session: Arc<Session>,
    /// When the session began, by its file system's clock: seconds since 1970.
    began: i64,
    /// Whether `index.json` lacks a result of this handle.
    has_new_results: AtomicBool,
    verified: Mutex<BTreeMap<Digest, Verified>>,
    noted: Mutex<Noted>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A view that is behind is brought up to date by the next kiln that has something new.
        if self.has_new_results.load(Ordering::Relaxed) {
            let _ = crate::image_index::rewrite(&self.root, self.session.folder());
        }
    }
}

/// A file that had the right bytes when it looked like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Verified {
    identity: FileIdentity,
    sha512: Option<Sha512>,
}

impl Store {
    /// Opens the store at `root`, makes it if the folder is missing or empty, and removes what
    /// dead kilns left unfinished.
    ///
    /// # Errors
    /// `NotAFolder`, `NotAStore`, `Newer`, `DamagedFormat`, `NotWritable`, or as the system
    /// refuses.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let layout::Prepared {
            root,
            migrated_from,
        } = layout::prepare(root)?;
        let tmp = root.join("tmp");
        let session = Arc::new(Session::start(&tmp)?);
        let leases = Leases::start(session.folder(), &root)?;
        if migrated_from.is_some() {
            layout::migrate(&root, session.folder())?;
        }
        remove_leftovers(&tmp);
        remove_dead(&root);
        let began = session.began()?;
        remove_stale(&tmp, &root.join("blobs/sha256"), began);
        let store = Self {
            inner: Arc::new(Inner {
                root,
                migrated_from,
                leases,
                session,
                began,
                has_new_results: AtomicBool::new(false),
                verified: Mutex::default(),
                noted: Mutex::default(),
            }),
        };
        store.complete_index()?;
        Ok(store)
    }

    /// Returns the store's root, absolute and without symlinks.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.inner.root
    }

    /// Returns the format that the store had when this handle opened it, if that was an older one: it
    /// has the present one since then, and older kilns refuse it.
    #[must_use]
    pub fn migrated_from(&self) -> Option<u32> {
        self.inner.migrated_from
    }

    /// Takes leases on all of `digests`: no garbage collector removes what they name, be it there or yet
    /// to come, as long as this handle lives. Looking at something by any other function does the same.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn lease(&self, digests: &[Digest]) -> Result<(), StoreError> {
        self.inner.leases.take(digests)
    }

    /// Returns when this handle was opened, by the clock of the store's file system: seconds since 1970.
    #[must_use]
    pub fn began(&self) -> i64 {
        self.inner.began
    }

    /// Takes note that the index lacks something.
    pub(crate) fn note_new_result(&self) {
        self.inner.has_new_results.store(true, Ordering::Relaxed);
    }

    /// Returns whether a blob of this name is there and no collector removes it while this handle lives;
    /// its bytes are not looked at.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        // What can not be leased (the disk is full) is as good as gone.
        self.lease(&[*digest]).is_ok() && self.has_blob(digest)
    }

    /// Returns whether a blob of this name is there now.
    pub(crate) fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest)
            .symlink_metadata()
            .is_ok_and(|found| found.is_file())
    }

    /// Returns where the blob is, or would be: `blobs/sha256/<hex>` below the root.
    #[must_use]
    pub fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.inner.root.join("blobs/sha256").join(digest.to_hex())
    }

    /// Stores `bytes`, durably.
    ///
    /// # Errors
    /// As the system refuses; nothing is kept then.
    pub fn write_blob(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let mut writer = self.plain_blob_writer()?;
        writer.append(bytes)?;
        writer.finish()
    }

    /// Stores `bytes`, which are durable once a result is recorded that they are a part of: see
    /// [`Store::record_results`].
    ///
    /// # Errors
    /// As the system refuses; nothing is kept then.
    pub fn write_part(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let mut writer = self.plain_blob_writer()?;
        writer.append(bytes)?;
        writer.finish_part()
    }

    /// Makes the names of all blobs survive a power cut: those that another kiln has just given, too.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn sync_names(&self) -> Result<(), StoreError> {
        sync_folder(&self.inner.root.join("blobs/sha256"))
    }

    /// Starts a blob whose bytes come in pieces.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn blob_writer(&self) -> Result<BlobWriter, StoreError> {
        BlobWriter::create(self.clone())
    }

    /// Does the same for a blob whose sha512 is not asked for now.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn plain_blob_writer(&self) -> Result<PlainBlobWriter, StoreError> {
        PlainBlobWriter::create(self.clone())
    }

    /// Reads a whole blob into memory; its digest is that of the returned bytes.
    ///
    /// # Errors
    /// `Missing`; `Damaged` or `NotARegularFile`, and what was there is set aside; or as the
    /// system refuses.
    pub fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let (mut file, path) = self.open_unverified(digest)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)
            .map_err(|error| StoreError::from_io("read", &path, error))?;
        let actual = Digest::of(&bytes);
        if actual != *digest {
            return Err(self.set_aside(digest, actual, &file)?);
        }
        Ok(bytes)
    }

    /// Opens a blob whose bytes were all verified, at its beginning.
    ///
    /// # Errors
    /// `Missing`; `Damaged` or `NotARegularFile`, and what was there is set aside; or as the
    /// system refuses.
    pub fn open_blob(&self, digest: &Digest) -> Result<fs_err::File, StoreError> {
        let (mut file, path) = self.open_unverified(digest)?;
        self.verify(digest, &file, &path, Wanted::Sha256)?;
        file.rewind()
            .map_err(|error| StoreError::from_io("read", &path, error))?;
        Ok(fs_err::File::from_parts(file, path))
    }

    /// Opens a blob whose bytes the caller hashes while it reads them, at its beginning. If they prove
    /// wrong, [`Store::open_blob`] says so and sets the blob aside.
    ///
    /// # Errors
    /// `Missing`, `NotARegularFile`, or as the system refuses.
    pub fn open_to_hash(&self, digest: &Digest) -> Result<fs_err::File, StoreError> {
        let (file, path) = self.open_unverified(digest)?;
        Ok(fs_err::File::from_parts(file, path))
    }

    /// Verifies a blob and returns its size and sha512.
    ///
    /// # Errors
    /// As [`Store::open_blob`].
    pub fn blob_info(&self, digest: &Digest) -> Result<BlobInfo, StoreError> {
        let (file, path) = self.open_unverified(digest)?;
        let (sha512, size) = self.verify(digest, &file, &path, Wanted::Both)?;
        Ok(BlobInfo {
            digest: *digest,
            sha512: sha512.expect("both algorithms were asked for"),
            size,
        })
    }

    /// Verifies a blob and returns its size: without the sha512, which takes longer.
    ///
    /// # Errors
    /// As [`Store::open_blob`].
    pub fn blob_size(&self, digest: &Digest) -> Result<u64, StoreError> {
        let (file, path) = self.open_unverified(digest)?;
        let (_, size) = self.verify(digest, &file, &path, Wanted::Sha256)?;
        Ok(size)
    }

    /// Starts a big blob: its bytes are hashed on another thread while more of them come.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn big_blob_writer(&self) -> Result<PlainBlobWriter, StoreError> {
        PlainBlobWriter::create_big(self.clone())
    }

    /// Returns whether the blob is there and has its bytes; one that does not is set aside.
    #[must_use]
    pub fn is_whole(&self, digest: &Digest) -> bool {
        self.blob_size(digest).is_ok()
    }

    /// Makes an empty folder of one's own on the store's file system.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn scratch(&self) -> Result<ScratchDir, StoreError> {
        self.inner.session.folder_for("scratch-")
    }

    /// Returns this handle's folder for unfinished things.
    pub(crate) fn session_folder(&self) -> &Path {
        self.inner.session.folder()
    }

    /// Makes an empty folder that is removed with the returned value.
    pub(crate) fn unfinished_folder(&self, prefix: &str) -> Result<ScratchDir, StoreError> {
        self.inner.session.folder_for(prefix)
    }

    /// Gives a finished and synced temporary file its name.
    pub(crate) fn publish_blob(
        &self,
        temporary: &Path,
        info: &Observed,
        sync: NameSync,
    ) -> Result<Published, StoreError> {
        let target = self.blob_path(&info.digest);
        self.lease(&[info.digest])?;
        loop {
            if publish(temporary, &target, sync)? == Published::New {
                self.remember(info);
                return Ok(Published::New);
            }
            let found = match target.symlink_metadata() {
                Ok(found) => found,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(StoreError::from_io("read", &target, error)),
            };
            if !found.is_file() || found.len() != info.size {
                self.quarantine(&target, StoredThing::Blob(info.digest))?;
                continue;
            }
            // What is there counts as written now: then its bytes must be right, too.
            match self.blob_size(&info.digest) {
                Ok(_) => return Ok(Published::AlreadyThere),
                Err(
                    StoreError::Missing { .. }
                    | StoreError::Damaged { .. }
                    | StoreError::NotARegularFile { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn open_unverified(&self, digest: &Digest) -> Result<(File, PathBuf), StoreError> {
        self.lease(&[*digest])?;
        let path = self.blob_path(digest);
        // A FIFO must not block, and a symlink must not lead elsewhere.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match rustix::fs::open(&path, flags, Mode::empty()) {
            Ok(handle) => File::from(handle),
            Err(Errno::NOENT) => return Err(StoreError::Missing { digest: *digest }),
            Err(Errno::LOOP | Errno::NXIO) => return Err(self.set_aside_other(digest, &path)?),
            Err(error) => return Err(StoreError::from_io("open", &path, error)),
        };
        let stat =
            rustix::fs::fstat(&file).map_err(|error| StoreError::from_io("read", &path, error))?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(self.set_aside_other(digest, &path)?);
        }
        Ok((file, path))
    }

    fn verify(
        &self,
        digest: &Digest,
        file: &File,
        path: &Path,
        wanted: Wanted,
    ) -> Result<(Option<Sha512>, u64), StoreError> {
        let failed = |error: std::io::Error| StoreError::from_io("read", path, error);
        let identity = FileIdentity::of(file).map_err(failed)?;
        let known = self.verified().get(digest).copied();
        if let Some(known) = known
            && known.identity == identity
            && (wanted == Wanted::Sha256 || known.sha512.is_some())
        {
            return Ok((known.sha512, identity.size()));
        }
        let Observed {
            digest: actual,
            sha512,
            size,
        } = observe(file, path, wanted)?;
        if actual != *digest {
            return Err(self.set_aside(digest, actual, file)?);
        }
        // Only what did not change meanwhile is remembered.
        if FileIdentity::of(file).map_err(failed)? == identity {
            self.verified()
                .insert(*digest, Verified { identity, sha512 });
        }
        Ok((sha512, size))
    }

    /// Verifies a blob, whatever is remembered of it, and returns its size.
    pub(crate) fn verify_bytes(&self, digest: &Digest) -> Result<u64, StoreError> {
        let (file, path) = self.open_unverified(digest)?;
        let observed = observe(&file, &path, Wanted::Sha256)?;
        if observed.digest == *digest {
            return Ok(observed.size);
        }
        Err(self.set_aside(digest, observed.digest, &file)?)
    }

    /// Moves the damaged blob that `file` was opened from aside, unless it was replaced since.
    fn set_aside(
        &self,
        digest: &Digest,
        actual: Digest,
        file: &File,
    ) -> Result<StoreError, StoreError> {
        let path = self.blob_path(digest);
        self.verified().remove(digest);
        let failed = |error: Errno| StoreError::from_io("read", &path, error);
        let opened = rustix::fs::fstat(file).map_err(failed)?;
        let is_same = rustix::fs::lstat(&path)
            .is_ok_and(|named| (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino));
        let evidence = if is_same {
            self.quarantine(&path, StoredThing::Blob(*digest))?
        } else {
            self.inner.root.join("quarantine")
        };
        Ok(StoreError::Damaged {
            expected: *digest,
            actual,
            evidence,
        })
    }

    fn set_aside_other(&self, digest: &Digest, path: &Path) -> Result<StoreError, StoreError> {
        Ok(StoreError::NotARegularFile {
            digest: *digest,
            evidence: self.quarantine(path, StoredThing::Blob(*digest))?,
        })
    }

    /// Remembers a blob that was hashed while it was written.
    fn remember(&self, info: &Observed) {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::open(self.blob_path(&info.digest), flags, Mode::empty());
        // Not remembering costs a second look, nothing else.
        if let Ok(handle) = opened
            && let Ok(identity) = FileIdentity::of(&File::from(handle))
        {
            let sha512 = info.sha512;
            self.verified()
                .insert(info.digest, Verified { identity, sha512 });
        }
    }

    pub(crate) fn noted(&self) -> MutexGuard<'_, Noted> {
        // A list is whole even if a thread died while it held the lock.
        let noted = self.inner.noted.lock();
        noted.unwrap_or_else(PoisonError::into_inner)
    }

    fn verified(&self) -> MutexGuard<'_, BTreeMap<Digest, Verified>> {
        // A map of copies is whole even if a thread died while it held the lock.
        let verified = self.inner.verified.lock();
        verified.unwrap_or_else(PoisonError::into_inner)
    }
}
