//! `kiln bundle export`: one file with everything. Every member has its place in it from the beginning, so that
//! members are written in any order, and an export that was interrupted is taken up by writing what is missing.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use kiln_model::{Digest, ManifestDigest, RecipeName};
use kiln_store::{Sha256Worker, Store, start_writing};
use rustix::fs::{FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::bundle::BundleError;
use crate::bundle::archive::{self, END, LAYOUT, Member, PIECE, piece_of};
use crate::bundle::carried::{Carried, Content};
use crate::bundle::document::LAYOUT_TEXT;
use crate::compile::fetch_missing;
use crate::error::BuildError;
use crate::pipeline::fetch;
use crate::publish::refused;
use crate::side_by_side::by_turns;
use crate::workshop::Workshop;

/// Bytes of a header, and what members are padded to.
const BLOCK: u64 = archive::BLOCK as u64;

/// Bytes after which the disk is asked to start writing.
const START_AFTER: u64 = 64 << 20;

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// The bundle: the digest to compare on the other side.
    pub bundle: ManifestDigest,
    /// The recipes in it, with all that they are built with.
    pub recipes: Vec<RecipeName>,
    /// Sources, layers and packages of distributions in it.
    pub blobs: usize,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of it that an earlier, interrupted export had written.
    pub resumed: u64,
}

/// Writes everything that `names` need into `file`: fetches what the store lacks, if that is allowed.
///
/// The file appears when it is whole. Until then it is called `<file>.partial`; an export that was
/// interrupted is taken up there. `program` is the kiln that goes along.
///
/// # Errors
/// [`BundleError`].
pub fn export_bundle(
    shop: &Workshop<'_>,
    names: &[RecipeName],
    program: &Path,
    file: &Path,
) -> Result<Exported, BundleError> {
    check_target(file)?;
    fetch(shop, names)?;
    for loaded in names_and_below(shop, names)? {
        fetch_missing(shop, &shop.project.recipes[&loaded].recipe)?;
    }
    let carried = Carried::new(shop, names, program)?;
    let partial = partial_path(file);
    let writer = Writer {
        shop,
        out: &open_partial(&partial)?,
        path: &partial,
        found: 0,
        has_failed: AtomicBool::new(false),
    };
    let (bytes, resumed) = writer.write_all(&carried.members)?;
    fs_err::rename(&partial, file).map_err(refused(file))?;
    sync_folder(file)?;
    Ok(Exported {
        bundle: carried.document.digest(),
        blobs: carried.document.blobs.len(),
        recipes: carried.document.recipes,
        bytes,
        resumed,
    })
}

fn names_and_below(
    shop: &Workshop<'_>,
    names: &[RecipeName],
) -> Result<Vec<RecipeName>, BundleError> {
    let graph = crate::graph::Graph::new(shop.project, names).map_err(BuildError::from)?;
    Ok(graph.order.into_iter().map(|node| node.recipe).collect())
}

/// Refuses to replace what is no bundle: a recipe's name in the place of the file's, for example.
fn check_target(file: &Path) -> Result<(), BundleError> {
    let exists = |reason: &str| BundleError::Target {
        path: file.to_owned(),
        reason: reason.to_owned(),
    };
    match file.symlink_metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(BuildError::from(error).into()),
        Ok(found) if !found.is_file() => Err(exists("it is there and no regular file")),
        Ok(_) => {
            let mut start = Vec::new();
            let opened = fs_err::File::open(file).map_err(BuildError::from)?;
            let read = opened.take(512).read_to_end(&mut start);
            read.map_err(BuildError::from)?;
            if start == layout_header() {
                return Ok(());
            }
            Err(exists("it is there and no bundle, and is not replaced"))
        }
    }
}

fn partial_path(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".partial");
    PathBuf::from(name)
}

/// Opens the unfinished file, alone.
fn open_partial(path: &Path) -> Result<File, BundleError> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = rustix::fs::open(path, flags, Mode::from_raw_mode(0o644));
    let opened = opened.map_err(|error| refused(path)(error.into()))?;
    match rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => check_partial(File::from(opened), path),
        Err(Errno::WOULDBLOCK) => Err(BundleError::Target {
            path: path.to_owned(),
            reason: "another kiln is writing it".to_owned(),
        }),
        Err(error) => Err(refused(path)(error.into()).into()),
    }
}

/// Refuses what no export left there, and what has another name by now: another kiln was done with it.
fn check_partial(opened: File, path: &Path) -> Result<File, BundleError> {
    use std::os::unix::fs::MetadataExt as _;
    let refused_as = |reason: &str| BundleError::Target {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let found = opened.metadata().map_err(refused(path))?;
    let named = path.symlink_metadata();
    if !named.is_ok_and(|named| (named.dev(), named.ino()) == (found.dev(), found.ino())) {
        return Err(refused_as(
            "another kiln was writing it just now; try again",
        ));
    }
    let mut start = [0; archive::BLOCK];
    let length = usize::try_from(found.len())
        .unwrap_or(start.len())
        .min(start.len());
    let read = opened.read_exact_at(&mut start[..length], 0);
    read.map_err(refused(path))?;
    let is_ours =
        found.is_file() && found.nlink() == 1 && layout_header()[..length] == start[..length];
    if is_ours {
        return Ok(opened);
    }
    Err(refused_as(
        "it is there and no beginning of a bundle, and is not replaced",
    ))
}

/// Returns how every bundle begins.
fn layout_header() -> [u8; 512] {
    Member::plain(LAYOUT, LAYOUT_TEXT.len() as u64).header()
}

fn sync_folder(file: &Path) -> Result<(), BundleError> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let synced = File::options()
        .read(true)
        .open(folder)
        .and_then(|f| f.sync_all());
    Ok(synced.map_err(refused(file))?)
}

/// A member and where in the file its header is.
struct Placed<'a> {
    member: &'a Member,
    content: &'a Content,
    at: u64,
}

impl Placed<'_> {
    fn end(&self) -> u64 {
        self.at + self.member.extent()
    }
}

struct Writer<'a> {
    shop: &'a Workshop<'a>,
    out: &'a File,
    path: &'a Path,
    /// Bytes that were there at first.
    found: u64,
    /// Whether something failed, and the rest need not be written.
    has_failed: AtomicBool,
}

impl Writer<'_> {
    /// Writes what is not there yet, and returns the bytes of the file and those of them that were there.
    fn write_all(mut self, members: &[(Member, Content)]) -> Result<(u64, u64), BundleError> {
        let mut at = 0;
        let mut placed: Vec<Placed<'_>> = Vec::new();
        for (member, content) in members {
            placed.push(Placed {
                member,
                content,
                at,
            });
            at += member.extent();
        }
        let length = at + END;
        self.found = self.out.metadata().map_err(refused(self.path))?.len();
        if self.found > length {
            self.out.set_len(length).map_err(refused(self.path))?;
            self.found = length;
        }
        // The first one is the mark by which what is unfinished is known for a bundle.
        let rest = placed.split_off(1);
        let mut resumed = self.complete_in_order(&placed)?;
        // A file that has its length and not yet its first bytes would be taken for something else.
        self.out.sync_data().map_err(refused(self.path))?;
        resumed += if self.reserve(length)? {
            self.complete_by_turns(rest)?
        } else {
            // Where a file has no holes, what is skipped is filled with zeros first.
            self.complete_in_order(&rest)?
        };
        self.put(at, &[0; END as usize])?;
        self.out.sync_all().map_err(refused(self.path))?;
        Ok((length, resumed))
    }

    /// Asks for room for the whole file, so that one that does not fit fails at once; returns whether the
    /// file system can do that, and with it whether parts may be written in any order.
    fn reserve(&self, length: u64) -> Result<bool, BundleError> {
        let asked = loop {
            self.check_stopped()?;
            match rustix::fs::fallocate(self.out, FallocateFlags::empty(), 0, length) {
                Err(Errno::INTR) => {}
                asked => break asked,
            }
        };
        match asked {
            Ok(()) => Ok(true),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(false),
            Err(error) => {
                // What was taken in vain would be missing elsewhere.
                let _ = self.out.set_len(self.found.max(BLOCK));
                let is_full = matches!(error, Errno::NOSPC | Errno::DQUOT | Errno::FBIG);
                Err(if is_full {
                    BundleError::NoRoom {
                        path: self.path.to_owned(),
                        needed: length,
                    }
                } else {
                    refused(self.path)(error.into()).into()
                })
            }
        }
    }

    fn complete_in_order(&self, placed: &[Placed<'_>]) -> Result<u64, BundleError> {
        placed.iter().map(|placed| self.complete(placed)).sum()
    }

    fn complete_by_turns(&self, mut placed: Vec<Placed<'_>>) -> Result<u64, BundleError> {
        // Whoever takes the largest should not begin it last.
        placed.sort_by_key(|placed| std::cmp::Reverse(placed.member.size));
        let completed = by_turns(&placed, |placed| {
            if self.has_failed.load(Ordering::Relaxed) {
                return Ok(0);
            }
            let completed = self.complete(placed);
            if completed.is_err() {
                self.has_failed.store(true, Ordering::Relaxed);
            }
            completed
        });
        completed.into_iter().sum()
    }

    /// Writes a member unless an earlier export did; returns the bytes that it had written.
    fn complete(&self, placed: &Placed<'_>) -> Result<u64, BundleError> {
        self.check_stopped()?;
        if placed.end() <= self.found && self.has(placed)? {
            return Ok(placed.member.extent());
        }
        self.write(placed)?;
        Ok(0)
    }

    /// Returns whether the member is in its place.
    fn has(&self, placed: &Placed<'_>) -> Result<bool, BundleError> {
        let Placed {
            member, content, ..
        } = placed;
        let read = |piece: &mut [u8], at| {
            let read = self.out.read_exact_at(piece, at);
            read.map_err(refused(self.path))
        };
        let mut header = [0; archive::BLOCK];
        read(&mut header, placed.at)?;
        if header != member.header() {
            return Ok(false);
        }
        let mut at = placed.at + BLOCK;
        let mut hash = Sha256Worker::of(member.size);
        let mut piece = vec![0; piece_of(member.size)];
        let end = at + member.size;
        while at < end {
            self.check_stopped()?;
            let most = usize::try_from(end - at).unwrap_or(PIECE).min(piece.len());
            read(&mut piece[..most], at)?;
            hash.update(&piece[..most]);
            at += most as u64;
        }
        let padding = usize::try_from(member.padding()).unwrap_or(0);
        read(&mut piece[..padding], at)?;
        let expected = match content {
            Content::Bytes(bytes) => Digest::of(bytes),
            Content::Stored(digest) | Content::Program(_, digest) => *digest,
        };
        Ok(hash.finish() == expected && piece[..padding].iter().all(|byte| *byte == 0))
    }

    fn write(&self, placed: &Placed<'_>) -> Result<(), BundleError> {
        let member = placed.member;
        self.put(placed.at, &member.header())?;
        let at = placed.at + BLOCK;
        match placed.content {
            Content::Bytes(bytes) => self.put(at, bytes)?,
            Content::Stored(digest) => {
                let store: &Store = self.shop.store;
                let mut blob = store.open_to_hash(digest).map_err(BuildError::from)?;
                if !self.copy(&mut blob, digest, at, member.size)? {
                    // Says what is wrong with it, and sets it aside.
                    store.open_blob(digest).map_err(BuildError::from)?;
                    return Err(BundleError::Changed { digest: *digest });
                }
            }
            Content::Program(program, digest) => {
                let mut file = fs_err::File::open(program).map_err(BuildError::from)?;
                if !self.copy(&mut file, digest, at, member.size)? {
                    return Err(BundleError::Changed { digest: *digest });
                }
            }
        }
        let padding = usize::try_from(member.padding()).unwrap_or(0);
        self.put(at + member.size, &[0; archive::BLOCK][..padding])
    }

    fn put(&self, at: u64, bytes: &[u8]) -> Result<(), BundleError> {
        let written = self.out.write_all_at(bytes, at);
        Ok(written.map_err(refused(self.path))?)
    }

    /// Copies a blob; returns whether it had the right bytes.
    fn copy(
        &self,
        blob: &mut fs_err::File,
        digest: &Digest,
        start: u64,
        size: u64,
    ) -> Result<bool, BundleError> {
        let mut hash = Sha256Worker::of(size);
        let mut piece = vec![0; piece_of(size)];
        let (mut copied, mut started) = (0, 0);
        loop {
            self.check_stopped()?;
            let count = blob.read(&mut piece).map_err(BuildError::from)?;
            // A blob that grew would run into the next member.
            if count == 0 || copied + count as u64 > size {
                copied += count as u64;
                break;
            }
            hash.update(&piece[..count]);
            self.put(start + copied, &piece[..count])?;
            copied += count as u64;
            if copied - started >= START_AFTER {
                start_writing(self.out, start + started, copied - started);
                started = copied;
            }
        }
        Ok(hash.finish() == *digest && copied == size)
    }

    fn check_stopped(&self) -> Result<(), BundleError> {
        if self.shop.cancel.is_cancelled() {
            return Err(BuildError::Cancelled.into());
        }
        Ok(())
    }
}
