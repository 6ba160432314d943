//! `kiln bundle export`: one file with everything, written in one go, or taken up where it ended.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use kiln_model::{Digest, ManifestDigest, RecipeName};
use kiln_store::{HashThread, Store, start_writing};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::bundle::BundleError;
use crate::bundle::archive::{END, LAYOUT, Member, write_zeros};
use crate::bundle::carried::{Carried, Content};
use crate::bundle::document::LAYOUT_TEXT;
use crate::compile::fetch_missing;
use crate::error::BuildError;
use crate::pipeline::fetch;
use crate::publish::refused;
use crate::workshop::Workshop;

/// Bytes that are read and written at once.
const PIECE: usize = 1 << 20;

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
    let mut out = open_partial(&partial)?;
    let mut writer = Writer {
        shop,
        out: &mut out,
        path: &partial,
        at: 0,
        started: 0,
    };
    let kept = writer.find_end(&carried.members)?;
    let resumed = writer.at;
    for (member, content) in &carried.members[kept..] {
        writer.write(member, content)?;
    }
    let bytes = writer.finish()?;
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
    let mut start = [0; 512];
    let length = usize::try_from(found.len())
        .unwrap_or(start.len())
        .min(start.len());
    std::os::unix::fs::FileExt::read_exact_at(&opened, &mut start[..length], 0)
        .map_err(refused(path))?;
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

struct Writer<'a> {
    shop: &'a Workshop<'a>,
    out: &'a mut File,
    path: &'a Path,
    /// Bytes that are right.
    at: u64,
    /// Bytes that the disk was asked to start with.
    started: u64,
}

impl Writer<'_> {
    /// Verifies what an earlier export wrote, cuts off what is incomplete or other, and returns how many
    /// members are there.
    fn find_end(&mut self, members: &[(Member, Content)]) -> Result<usize, BundleError> {
        let size = self.out.metadata().map_err(refused(self.path))?.len();
        let mut kept = 0;
        for (member, content) in members {
            if size < self.at + member.extent() || !self.has(member, content)? {
                break;
            }
            self.at += member.extent();
            kept += 1;
        }
        self.out.set_len(self.at).map_err(refused(self.path))?;
        let moved = self.out.seek(SeekFrom::Start(self.at));
        moved.map_err(refused(self.path))?;
        Ok(kept)
    }

    /// Returns whether the member is at the current place.
    fn has(&mut self, member: &Member, content: &Content) -> Result<bool, BundleError> {
        self.check_stopped()?;
        let failed = refused(self.path);
        let mut header = [0; 512];
        self.out.seek(SeekFrom::Start(self.at)).map_err(&failed)?;
        self.out.read_exact(&mut header).map_err(&failed)?;
        if header != member.header() {
            return Ok(false);
        }
        let mut hash = HashThread::start();
        let mut piece = vec![0; PIECE];
        let mut left = member.size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            self.out.read_exact(&mut piece[..most]).map_err(&failed)?;
            hash.update(&piece[..most]);
            left -= most as u64;
        }
        let padding = usize::try_from(member.padding()).unwrap_or(0);
        self.out
            .read_exact(&mut piece[..padding])
            .map_err(&failed)?;
        let expected = match content {
            Content::Bytes(bytes) => Digest::of(bytes),
            Content::Stored(digest) => *digest,
        };
        Ok(hash.finish() == expected && piece[..padding].iter().all(|byte| *byte == 0))
    }

    fn write(&mut self, member: &Member, content: &Content) -> Result<(), BundleError> {
        self.put(&member.header())?;
        match content {
            Content::Bytes(bytes) => self.put(bytes)?,
            Content::Stored(digest) => self.copy(digest, member.size)?,
        }
        let written = write_zeros(self.out, member.padding());
        written.map_err(refused(self.path))?;
        self.at += member.padding();
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        self.out.write_all(bytes).map_err(refused(self.path))?;
        self.at += bytes.len() as u64;
        if self.at - self.started >= START_AFTER {
            start_writing(self.out, self.started);
            self.started = self.at;
        }
        Ok(())
    }

    /// Copies a blob, verifying it on the way.
    fn copy(&mut self, digest: &Digest, size: u64) -> Result<(), BundleError> {
        let store: &Store = self.shop.store;
        let mut blob = store.open_to_hash(digest).map_err(BuildError::from)?;
        let mut hash = HashThread::start();
        let mut piece = vec![0; PIECE];
        let mut copied = 0;
        loop {
            self.check_stopped()?;
            let count = blob.read(&mut piece).map_err(BuildError::from)?;
            copied += count as u64;
            if count == 0 || copied > size {
                break;
            }
            hash.update(&piece[..count]);
            self.put(&piece[..count])?;
        }
        if hash.finish() == *digest && copied == size {
            return Ok(());
        }
        // Says what is wrong with it, and sets it aside.
        store.open_blob(digest).map_err(BuildError::from)?;
        Err(BundleError::Changed { digest: *digest })
    }

    fn finish(mut self) -> Result<u64, BundleError> {
        write_zeros(self.out, END).map_err(refused(self.path))?;
        self.at += END;
        self.out.sync_all().map_err(refused(self.path))?;
        Ok(self.at)
    }

    fn check_stopped(&self) -> Result<(), BundleError> {
        if self.shop.cancel.is_cancelled() {
            return Err(BuildError::Cancelled.into());
        }
        Ok(())
    }
}
