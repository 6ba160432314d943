//! Writes the canonical tar of a folder that a hostile step filled: a destdir, a source tree.
//!
//! The folder is read through handles that never follow a link. What comes out depends on names,
//! kinds, contents, modes (all twelve bits, as the step left them) and which names share a file;
//! never on times, owners, inode numbers, directory order, holes or extended attributes. Entries are
//! sorted by the bytes of their path; of names that share a file, the first is the file.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use kiln_model::{Digest, SourceDateEpoch};
use kiln_store::Sha256Stream;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::limits::UnpackLimits;
use crate::printable::printable;
use crate::rooted::{Follow, MAX_DEPTH, list, open_beneath};
use crate::tar_header::SpecialKind;
use crate::tar_write::{NodeKind, NodeMetadata, TarWriter};
use crate::tree::{TreeEntry, TreeEntryKind, TreePath};

/// Longest path, in bytes: 4095 is the system's limit, and a quarter of it is for where the store is.
const LONGEST_PATH: usize = 3072;

/// How much of a path that is too long is shown, in bytes.
const SHOWN_PATH: usize = 80;

/// What stands before the filter of [`TreeTarRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeCandidate<'a> {
    /// Relative path; possibly not UTF-8.
    pub path: &'a [u8],
    /// What it is.
    pub kind: CandidateKind,
    /// Permission bits, 07777.
    pub mode: u32,
    /// Bytes, for a file.
    pub size: u64,
}

/// What a candidate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CandidateKind {
    /// A folder.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link.
    Symlink,
    /// A node that can not be put into a tar: an error if it is included.
    Special(SpecialKind),
}

/// A filter's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inclusion {
    /// It belongs to the tree.
    Include,
    /// A folder that belongs to the tree only if something below it does. For others: `Include`.
    IfFilled,
    /// It does not belong to the tree, and neither does anything below it.
    Exclude,
}

/// What to write.
#[derive(Clone, Copy)]
pub struct TreeTarRequest<'a> {
    /// A folder that no step could replace.
    pub folder: &'a Path,
    /// Path below it of the tree's root, looked up without following links; empty for itself.
    pub below: &'a str,
    /// The mtime of every entry.
    pub epoch: SourceDateEpoch,
    /// Decides what belongs to the tree. Called once per path, folders before what is in them.
    pub filter: &'a dyn Fn(&TreeCandidate<'_>) -> Inclusion,
    /// Most entries and bytes of content; the ratio is not used.
    pub limits: UnpackLimits,
}

impl fmt::Debug for TreeTarRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeTarRequest")
            .field("folder", &self.folder)
            .field("below", &self.below)
            .field("epoch", &self.epoch)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Says why a folder has no canonical tar.
#[derive(Debug, thiserror::Error)]
pub enum TreeTarError {
    /// The tree's root is not a folder that can be opened without following a link.
    #[error("`{}` can not be opened as a folder, without following links", path.display())]
    Root {
        /// The root.
        path: PathBuf,
        /// What the kernel says.
        source: io::Error,
    },
    /// Reading the folder failed.
    #[error("`{path}` in the collected folder: can not {act}")]
    Read {
        /// The path, escaped.
        path: String,
        /// What was tried.
        act: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// A name or link target can not be written down safely.
    #[error("`{path}` in the collected folder: {what} is not UTF-8 or has control characters")]
    Name {
        /// The path, escaped.
        path: String,
        /// `its name` or `its target`.
        what: &'static str,
    },
    /// A FIFO, socket or device is in the folder.
    #[error(
        "`{path}` in the collected folder is a {kind}; only files, folders and links can be collected"
    )]
    Special {
        /// The path, escaped.
        path: String,
        /// What it is.
        kind: SpecialKind,
    },
    /// The folder nests too deep.
    #[error("`{path}` in the collected folder nests deeper than {limit} folders")]
    TooDeep {
        /// The path, escaped.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// A path is longer than what is read back from a tree in the store.
    #[error("a path of {actual} bytes in the collected folder is longer than {limit}: `{start}…`")]
    TooLong {
        /// How the path starts, escaped.
        start: String,
        /// Its length.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// There is more in the folder than allowed.
    #[error("the collected folder holds more than {limit} {unit} (noticed at `{path}`)")]
    TooLarge {
        /// The path, escaped.
        path: String,
        /// The limit.
        limit: u64,
        /// `entries` or `bytes`.
        unit: &'static str,
    },
    /// Something changed while it was read: a process is still alive.
    #[error("`{path}` in the collected folder changed while it was read")]
    Changed {
        /// The path, escaped.
        path: String,
    },
    /// The tar could not be written.
    #[error("the tar of the collected folder can not be written")]
    Write {
        /// What the writer says.
        source: io::Error,
    },
}

impl TreeTarError {
    /// Returns whether it is what lies in the folder that has no tar, whoever's host it is on.
    #[must_use]
    pub const fn is_about_content(&self) -> bool {
        match self {
            Self::Name { .. }
            | Self::Special { .. }
            | Self::TooDeep { .. }
            | Self::TooLong { .. }
            | Self::TooLarge { .. } => true,
            Self::Root { .. } | Self::Read { .. } | Self::Changed { .. } | Self::Write { .. } => {
                false
            }
        }
    }
}

/// Writes the canonical tar of a folder into `out` and returns its entries, sorted by path.
///
/// # Errors
/// As [`TreeTarError`] says; what was written by then is useless.
pub fn write_tree_tar(
    request: &TreeTarRequest<'_>,
    out: &mut dyn Write,
) -> Result<Vec<TreeEntry>, TreeTarError> {
    let (root, changed) = open_root(request)?;
    let mut walk = Walk {
        request,
        root: root.as_fd(),
        found: Vec::new(),
        opened: changed.map(|mode| (Vec::new(), mode)).into_iter().collect(),
        bytes: 0,
    };
    let result = walk
        .folder(root.as_fd(), b"", 0)
        .and_then(|()| walk.write(out));
    let closed = walk.close_again();
    let entries = result?;
    closed?;
    Ok(entries)
}

fn open_root(request: &TreeTarRequest<'_>) -> Result<(OwnedFd, Option<u32>), TreeTarError> {
    let error = |errno: Errno| TreeTarError::Root {
        path: request.folder.join(request.below),
        source: errno.into(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::open(request.folder, flags, Mode::empty()).map_err(error)?;
    let below = request.below.as_bytes();
    let handle = open_beneath(
        folder.as_fd(),
        below,
        OFlags::PATH | OFlags::DIRECTORY,
        Follow::Never,
    )
    .map_err(error)?;
    open_folder(&handle).map_err(error)
}

/// Opens a folder for reading through a handle to it; if its owner may not read and search it,
/// changes that, and returns the mode that it had.
fn open_folder(handle: &OwnedFd) -> Result<(OwnedFd, Option<u32>), Errno> {
    let mode = rustix::fs::fstat(handle)?.st_mode & 0o7777;
    let needed = 0o500;
    let changed = (mode & needed != needed).then_some(mode);
    if changed.is_some() {
        change_mode(handle.as_fd(), mode | needed)?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(handle, c".", flags, Mode::empty())?;
    Ok((fd, changed))
}

/// Changes the mode of what an O_PATH handle stands for (fchmod(2) does not take such a handle).
fn change_mode(handle: BorrowedFd<'_>, mode: u32) -> Result<(), Errno> {
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    rustix::fs::chmod(path, Mode::from_raw_mode(mode))
}

#[derive(Debug)]
struct Found {
    path: Vec<u8>,
    kind: CandidateKind,
    stat: Stat,
}

struct Walk<'a> {
    request: &'a TreeTarRequest<'a>,
    root: BorrowedFd<'a>,
    found: Vec<Found>,
    /// Folders whose mode was changed to read them, and the mode that they get back.
    opened: Vec<(Vec<u8>, u32)>,
    bytes: u64,
}

impl Walk<'_> {
    fn folder(
        &mut self,
        folder: BorrowedFd<'_>,
        path: &[u8],
        depth: usize,
    ) -> Result<(), TreeTarError> {
        if depth > MAX_DEPTH {
            return Err(TreeTarError::TooDeep {
                path: printable(path),
                limit: MAX_DEPTH,
            });
        }
        for (name, _) in list(folder).map_err(read_error(path, "list the folder"))? {
            let mut child = path.to_vec();
            if !child.is_empty() {
                child.push(b'/');
            }
            child.extend_from_slice(name.to_bytes());
            let stat = rustix::fs::statat(folder, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(read_error(&child, "look at it"))?;
            self.visit(folder, &child, name.to_bytes(), stat, depth)?;
        }
        Ok(())
    }

    fn visit(
        &mut self,
        folder: BorrowedFd<'_>,
        path: &[u8],
        name: &[u8],
        stat: Stat,
        depth: usize,
    ) -> Result<(), TreeTarError> {
        let kind = candidate_kind(stat.st_mode);
        let size = u64::try_from(stat.st_size).unwrap_or_default();
        let inclusion = (self.request.filter)(&TreeCandidate {
            path,
            kind,
            mode: stat.st_mode & 0o7777,
            size,
        });
        if inclusion == Inclusion::Exclude {
            return Ok(());
        }
        if path.len() > LONGEST_PATH {
            return Err(TreeTarError::TooLong {
                start: printable(&path[..SHOWN_PATH]),
                actual: path.len(),
                limit: LONGEST_PATH,
            });
        }
        let position = self.found.len();
        self.found.push(Found {
            path: path.to_vec(),
            kind,
            stat,
        });
        match kind {
            CandidateKind::Directory => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let handle = rustix::fs::openat(folder, name, flags, Mode::empty())
                    .map_err(read_error(path, "open the folder"))?;
                let (child, changed) =
                    open_folder(&handle).map_err(read_error(path, "make the folder readable"))?;
                if let Some(mode) = changed {
                    self.opened.push((path.to_vec(), mode));
                }
                self.folder(child.as_fd(), path, depth + 1)?;
                if inclusion == Inclusion::IfFilled && self.found.len() == position + 1 {
                    self.found.pop();
                }
            }
            CandidateKind::File => self.count_bytes(path, size)?,
            CandidateKind::Symlink => {}
            CandidateKind::Special(kind) => {
                return Err(TreeTarError::Special {
                    path: printable(path),
                    kind,
                });
            }
        }
        self.check_count(path)
    }

    fn check_count(&self, path: &[u8]) -> Result<(), TreeTarError> {
        let limit = self.request.limits.entries;
        if self.found.len() as u64 > limit {
            return Err(TreeTarError::TooLarge {
                path: printable(path),
                limit,
                unit: "entries",
            });
        }
        Ok(())
    }

    fn count_bytes(&mut self, path: &[u8], size: u64) -> Result<(), TreeTarError> {
        let limit = self.request.limits.bytes;
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > limit {
            return Err(TreeTarError::TooLarge {
                path: printable(path),
                limit,
                unit: "bytes",
            });
        }
        Ok(())
    }

    fn write(&mut self, out: &mut dyn Write) -> Result<Vec<TreeEntry>, TreeTarError> {
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        let mut writer = TarWriter::new(out);
        let mut entries = Vec::with_capacity(self.found.len());
        let mut files: BTreeMap<(u64, u64), TreePath> = BTreeMap::new();
        for found in &self.found {
            let path = tree_path(&found.path)?;
            let inode = (found.stat.st_dev, found.stat.st_ino);
            let first = files.get(&inode);
            let kind = self.write_entry(&mut writer, found, first)?;
            if matches!(kind, TreeEntryKind::File { .. }) && found.stat.st_nlink > 1 {
                files.insert(inode, path.clone());
            }
            entries.push(TreeEntry {
                path,
                kind,
                mode: entry_mode(found),
            });
        }
        writer.finish().map_err(write_error)?;
        Ok(entries)
    }

    fn write_entry(
        &self,
        writer: &mut TarWriter<'_>,
        found: &Found,
        first: Option<&TreePath>,
    ) -> Result<TreeEntryKind, TreeTarError> {
        let metadata = NodeMetadata {
            mode: entry_mode(found),
            uid: 0,
            gid: 0,
            mtime: self.request.epoch.seconds(),
        };
        let mut start = |kind: NodeKind<'_>| {
            writer
                .start(&found.path, kind, metadata)
                .map_err(write_error)
        };
        match found.kind {
            CandidateKind::Directory => {
                start(NodeKind::Directory)?;
                Ok(TreeEntryKind::Directory)
            }
            CandidateKind::Symlink => {
                let target = self.link_target(&found.path)?;
                start(NodeKind::Symlink(target.as_bytes()))?;
                Ok(TreeEntryKind::Symlink { target })
            }
            CandidateKind::File => {
                if let Some(first) = first {
                    start(NodeKind::HardLink(first.as_str().as_bytes()))?;
                    let target = first.clone();
                    return Ok(TreeEntryKind::HardLink { target });
                }
                let size = u64::try_from(found.stat.st_size).unwrap_or_default();
                start(NodeKind::File(size))?;
                let sha256 = self.write_content(writer, found, size)?;
                Ok(TreeEntryKind::File {
                    size,
                    sha256,
                    executable: found.stat.st_mode & 0o111 != 0,
                })
            }
            CandidateKind::Special(kind) => Err(TreeTarError::Special {
                path: printable(&found.path),
                kind,
            }),
        }
    }

    fn link_target(&self, path: &[u8]) -> Result<String, TreeTarError> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW;
        let link =
            open_beneath_link(self.root, path, flags).map_err(read_error(path, "open the link"))?;
        let target = rustix::fs::readlinkat(&link, c"", Vec::new())
            .map_err(read_error(path, "read the link"))?;
        match String::from_utf8(target.into_bytes()) {
            Ok(text) if !text.contains(char::is_control) => Ok(text),
            _ => Err(TreeTarError::Name {
                path: printable(path),
                what: "its target",
            }),
        }
    }

    fn write_content(
        &self,
        writer: &mut TarWriter<'_>,
        found: &Found,
        size: u64,
    ) -> Result<Digest, TreeTarError> {
        let mut file = self.open_file(found)?;
        let mut hasher = Sha256Stream::default();
        let mut left = size;
        let mut buffer = vec![0; 128 << 10];
        loop {
            let read = file
                .read(&mut buffer)
                .map_err(|source| TreeTarError::Read {
                    path: printable(&found.path),
                    act: "read the file",
                    source,
                })?;
            if read as u64 > left || read == 0 && left > 0 {
                return Err(changed(&found.path));
            }
            if read == 0 {
                return Ok(hasher.finish());
            }
            left -= read as u64;
            hasher.update(&buffer[..read]);
            writer.write_content(&buffer[..read]).map_err(write_error)?;
        }
    }

    fn open_file(&self, found: &Found) -> Result<File, TreeTarError> {
        let path = &found.path;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let open = || open_beneath(self.root, path, flags, Follow::Never);
        let mode = found.stat.st_mode & 0o7777;
        let fd = if mode & 0o400 == 0 {
            let handle = open_beneath(self.root, path, OFlags::PATH, Follow::Never)
                .map_err(read_error(path, "open the file"))?;
            let readable = change_mode(handle.as_fd(), mode | 0o400).and_then(|()| open());
            change_mode(handle.as_fd(), mode).map_err(read_error(path, "restore its mode"))?;
            readable
        } else {
            open()
        }
        .map_err(read_error(path, "open the file"))?;
        let stat = rustix::fs::fstat(&fd).map_err(read_error(path, "look at the file"))?;
        let identity = |stat: &Stat| (stat.st_dev, stat.st_ino, stat.st_size);
        if identity(&stat) != identity(&found.stat) {
            return Err(changed(path));
        }
        Ok(File::from(fd))
    }

    /// Gives folders back the modes that they had, deepest first.
    fn close_again(&self) -> Result<(), TreeTarError> {
        for (path, mode) in self.opened.iter().rev() {
            open_beneath(self.root, path, OFlags::PATH, Follow::Never)
                .and_then(|handle| change_mode(handle.as_fd(), *mode))
                .map_err(read_error(path, "restore its mode"))?;
        }
        Ok(())
    }
}

/// Opens the link at `path` itself: its folder without following links, then the last name.
fn open_beneath_link(root: BorrowedFd<'_>, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let split = path.iter().rposition(|byte| *byte == b'/');
    let (parent, name) = match split {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"".as_slice(), path),
    };
    let folder = open_beneath(
        root,
        parent,
        OFlags::PATH | OFlags::DIRECTORY,
        Follow::Never,
    )?;
    rustix::fs::openat(&folder, name, flags | OFlags::CLOEXEC, Mode::empty())
}

fn tree_path(path: &[u8]) -> Result<TreePath, TreeTarError> {
    std::str::from_utf8(path)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| TreeTarError::Name {
            path: printable(path),
            what: "its name",
        })
}

/// Returns the mode that an entry has; a link's depends on nothing.
fn entry_mode(found: &Found) -> u32 {
    match found.kind {
        CandidateKind::Symlink => 0o777,
        _ => found.stat.st_mode & 0o7777,
    }
}

fn candidate_kind(mode: u32) -> CandidateKind {
    match FileType::from_raw_mode(mode) {
        FileType::Directory => CandidateKind::Directory,
        FileType::RegularFile => CandidateKind::File,
        FileType::Symlink => CandidateKind::Symlink,
        FileType::CharacterDevice => CandidateKind::Special(SpecialKind::CharacterDevice),
        FileType::BlockDevice => CandidateKind::Special(SpecialKind::BlockDevice),
        FileType::Fifo => CandidateKind::Special(SpecialKind::Fifo),
        FileType::Socket | FileType::Unknown => CandidateKind::Special(SpecialKind::Socket),
    }
}

fn read_error(path: &[u8], act: &'static str) -> impl FnOnce(Errno) -> TreeTarError {
    move |errno| TreeTarError::Read {
        path: printable(path),
        act,
        source: errno.into(),
    }
}

fn write_error(source: io::Error) -> TreeTarError {
    TreeTarError::Write { source }
}

fn changed(path: &[u8]) -> TreeTarError {
    TreeTarError::Changed {
        path: printable(path),
    }
}

#[cfg(test)]
mod tests;
