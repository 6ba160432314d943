//! A pack that was fetched: verified object by object, then read.
//!
//! Indexing computes the name of every object from its bytes, so that what is found under a name has it;
//! SHA-1 is computed with detection of collisions.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use gix_hash::{Kind, ObjectId};
use gix_object::tree::EntryKind;
use gix_object::{CommitRef, Kind as ObjectKind, TagRef, TreeRef};
use gix_pack::bundle::write::Options;
use gix_utils::progress::Discard;

use crate::fetch::{AttemptError, Stop};

/// Largest object that is taken, in bytes: it is held in memory.
const MAX_OBJECT: usize = 1 << 30;

/// Tags that lead to tags, at most: git writes one.
const MAX_PEEL: usize = 8;

/// The objects of one pack.
pub(super) struct Objects {
    bundle: gix_pack::Bundle,
    hash: Kind,
}

/// A commit, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Commit {
    pub(super) tree: ObjectId,
    /// Seconds since 1970, by the committer's clock.
    pub(super) committed: i64,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreeEntry {
    pub(super) name: Vec<u8>,
    pub(super) kind: EntryKind,
    pub(super) id: ObjectId,
}

impl Objects {
    /// Indexes the file `pack` in `folder`.
    pub(super) fn index(
        pack: &Path,
        folder: &Path,
        hash: Kind,
        stop: &Stop,
    ) -> Result<Self, AttemptError> {
        let file = fs_err::File::open(pack).map_err(|error| damaged(&error))?;
        let mut reader = std::io::BufReader::new(Stoppable { file, stop });
        let options = Options {
            thread_limit: Some(1),
            alloc_limit_bytes: Some(MAX_OBJECT),
            ..Options::default()
        };
        let written = gix_pack::Bundle::write_to_directory(
            &mut reader,
            Some(folder),
            &mut Discard,
            &AtomicBool::new(false),
            None::<gix_object::find::Never>,
            hash,
            options,
        );
        let written = written.map_err(|error| damaged(&error))?;
        let bundle = match written.to_bundle() {
            Some(bundle) => bundle.map_err(|error| damaged(&error))?,
            None => return Err(damaged(&"it is empty")),
        };
        let pack = bundle.pack.with_alloc_limit_bytes(Some(MAX_OBJECT));
        let bundle = gix_pack::Bundle { pack, ..bundle };
        Ok(Self { bundle, hash })
    }

    /// Returns whether an object is there.
    pub(super) fn has(&self, id: &ObjectId) -> bool {
        self.bundle.index.lookup(id).is_some()
    }

    /// Returns an object's kind, and its bytes in `bytes`.
    fn find(&self, id: &ObjectId, bytes: &mut Vec<u8>) -> Result<ObjectKind, AttemptError> {
        let mut inflate = gix_zlib::Inflate::default();
        let found = self
            .bundle
            .find(id, bytes, &mut inflate, &mut gix_pack::cache::Never)
            .map_err(|error| damaged(&error))?;
        let (kind, length) = match found {
            Some((data, _)) => (data.kind, data.data.len()),
            None => return Err(damaged(&format!("object {id} is not in it"))),
        };
        bytes.truncate(length);
        Ok(kind)
    }

    fn expect(&self, id: &ObjectId, kind: ObjectKind) -> Result<Vec<u8>, AttemptError> {
        let mut bytes = Vec::new();
        let found = self.find(id, &mut bytes)?;
        if found == kind {
            return Ok(bytes);
        }
        Err(damaged(&format!("object {id} is a {found}, not a {kind}")))
    }

    /// Returns the commit that a commit or tag leads to; `None` when it leads to something else.
    pub(super) fn peel(&self, id: &ObjectId) -> Result<Option<ObjectId>, AttemptError> {
        let mut id = *id;
        for _ in 0..MAX_PEEL {
            let mut bytes = Vec::new();
            match self.find(&id, &mut bytes)? {
                ObjectKind::Commit => return Ok(Some(id)),
                ObjectKind::Tag => {
                    let tag = TagRef::from_bytes(&bytes, self.hash);
                    id = tag.map_err(|error| damaged(&error))?.target();
                }
                ObjectKind::Tree | ObjectKind::Blob => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Reads a commit.
    pub(super) fn commit(&self, id: &ObjectId) -> Result<Commit, AttemptError> {
        let bytes = self.expect(id, ObjectKind::Commit)?;
        let commit = CommitRef::from_bytes(&bytes, self.hash).map_err(|error| damaged(&error))?;
        let committer = commit.committer().map_err(|error| damaged(&error))?;
        let time = committer.time().map_err(|error| damaged(&error))?;
        Ok(Commit {
            tree: commit.tree(),
            committed: time.seconds,
        })
    }

    /// Reads a tree: its entries, sorted by name.
    pub(super) fn tree(&self, id: &ObjectId) -> Result<Vec<TreeEntry>, AttemptError> {
        let bytes = self.expect(id, ObjectKind::Tree)?;
        let tree = TreeRef::from_bytes(&bytes, self.hash).map_err(|error| damaged(&error))?;
        let entries = tree.entries.iter().map(|entry| TreeEntry {
            name: entry.filename.to_vec(),
            kind: entry.mode.kind(),
            id: entry.oid.to_owned(),
        });
        let mut entries: Vec<TreeEntry> = entries.collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    /// Reads a file.
    pub(super) fn blob(&self, id: &ObjectId) -> Result<Vec<u8>, AttemptError> {
        self.expect(id, ObjectKind::Blob)
    }
}

fn damaged(reason: &dyn std::fmt::Display) -> AttemptError {
    let text = reason.to_string();
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    AttemptError::Pack {
        reason: clean.take(300).collect(),
    }
}

/// Reads until somebody wants it to stop.
struct Stoppable<'a> {
    file: fs_err::File,
    stop: &'a Stop,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.is_raised() {
            return Err(std::io::Error::other("interrupted"));
        }
        self.file.read(buffer)
    }
}
