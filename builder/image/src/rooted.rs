//! A folder that is filled through handles: no name from an archive is ever looked up outside it.
//!
//! Every lookup goes through openat2(2) relative to the root's handle, so the kernel itself keeps
//! it inside, whatever links the archive has planted. Folders stay writable until [`Rooted::finish`]
//! gives them their modes and times, deepest first; it works without privileges.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;

use crate::unpack::EntryProblem;

/// Deepest nesting that is followed, in components: each level of a walk holds one open handle, and
/// 1024 of them is a common limit.
pub(crate) const MAX_DEPTH: usize = 256;

/// Times that openat2 is asked again when a rename elsewhere made it unsure (EAGAIN).
const LOOKUP_ATTEMPTS: usize = 1000;

/// Mode of folders that no entry describes, and mtime 0.
const IMPLICIT_MODE: u32 = 0o755;

/// Why something could not be put into the folder.
#[derive(Debug)]
pub(crate) enum FillError {
    /// The kernel refused.
    Io {
        act: &'static str,
        source: io::Error,
    },
    /// The entry is not acceptable.
    Problem(EntryProblem),
}

/// Turns a kernel error into one that says what was tried.
pub(crate) fn failed(act: &'static str) -> impl Fn(Errno) -> FillError {
    move |errno| FillError::Io {
        act,
        source: errno.into(),
    }
}

/// Whether symbolic links in the middle of a path are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow {
    /// Inside the root, with `/` and `..` meaning the root at most.
    InRoot,
    /// Not at all: a path through a link is refused.
    Never,
}

/// Opens `path` below `root` without ever leaving it.
pub(crate) fn open_beneath(
    root: BorrowedFd<'_>,
    path: &[u8],
    flags: OFlags,
    follow: Follow,
) -> Result<OwnedFd, Errno> {
    let resolve = match follow {
        Follow::InRoot => ResolveFlags::IN_ROOT,
        Follow::Never => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
    } | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let path = if path.is_empty() { b"." } else { path };
    let mut attempt = 0;
    loop {
        attempt += 1;
        match rustix::fs::openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) if attempt < LOOKUP_ATTEMPTS => {}
            result => return result,
        }
    }
}

/// Lists a folder, sorted by name bytes, without `.` and `..`.
pub(crate) fn list(folder: BorrowedFd<'_>) -> Result<Vec<(CString, FileType)>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            kind => kind,
        };
        names.push((name.to_owned(), kind));
    }
    names.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(names)
}

/// A folder inside the root that something is put into.
#[derive(Debug)]
pub(crate) struct Parent {
    fd: OwnedFd,
    inode: u64,
}

/// What is at a place already.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Existing {
    pub kind: FileType,
    pub inode: u64,
    pub links: u64,
}

#[derive(Debug, Clone, Copy)]
struct DirectoryFinish {
    mode: u32,
    mtime: i64,
}

/// The folder being filled.
#[derive(Debug)]
pub(crate) struct Rooted {
    root: OwnedFd,
    follow: Follow,
    cached: Option<(Vec<u8>, Rc<Parent>)>,
    /// What each folder gets at the end, by inode.
    directories: BTreeMap<u64, DirectoryFinish>,
    /// What the present layer put where (folder's inode, name), kept when it covers a lower one.
    placed: Option<BTreeSet<(u64, Vec<u8>)>>,
}

impl Rooted {
    /// Opens `target`, an existing folder.
    pub fn open(target: &Path, follow: Follow) -> Result<Self, FillError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = rustix::fs::open(target, flags, Mode::empty())
            .map_err(failed("open the folder to unpack into"))?;
        open_beneath(root.as_fd(), b".", OFlags::PATH, follow).map_err(failed(
            "look up names safely (openat2 needs Linux 5.6 and a seccomp profile that allows it)",
        ))?;
        Ok(Self {
            root,
            follow,
            cached: None,
            directories: BTreeMap::new(),
            placed: None,
        })
    }

    /// Starts remembering what is put where: from now on, a layer covers what is there.
    pub fn start_covering(&mut self) {
        self.placed = Some(BTreeSet::new());
    }

    /// Returns whether something of a lower layer can be there.
    pub fn is_covering(&self) -> bool {
        self.placed.is_some()
    }

    /// Sets what the root itself gets at the end.
    pub fn set_root(&mut self, mode: u32, mtime: i64) -> Result<(), FillError> {
        let stat = rustix::fs::fstat(&self.root).map_err(failed("look at the root"))?;
        self.directories
            .insert(stat.st_ino, DirectoryFinish { mode, mtime });
        Ok(())
    }

    /// Opens the folder `components`, making what is missing.
    pub fn parent(&mut self, components: &[&[u8]]) -> Result<Rc<Parent>, FillError> {
        let path = components.join(&b'/');
        if let Some((cached, parent)) = &self.cached
            && *cached == path
        {
            return Ok(Rc::clone(parent));
        }
        let fd = match self.open_folder(&path) {
            Err(Errno::NOENT) => self.make_folders(components)?,
            result => result.map_err(parent_error)?,
        };
        let stat = rustix::fs::fstat(&fd).map_err(failed("look at the parent folder"))?;
        let parent = Rc::new(Parent {
            fd,
            inode: stat.st_ino,
        });
        self.cached = Some((path, Rc::clone(&parent)));
        Ok(parent)
    }

    fn open_folder(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        open_beneath(self.root.as_fd(), path, flags, self.follow)
    }

    fn make_folders(&mut self, components: &[&[u8]]) -> Result<OwnedFd, FillError> {
        let mut folder = self.open_folder(b".").map_err(parent_error)?;
        for end in 1..=components.len() {
            let path = components[..end].join(&b'/');
            folder = match self.open_folder(&path) {
                Err(Errno::NOENT) => {
                    match rustix::fs::mkdirat(&folder, components[end - 1], Mode::RWXU) {
                        // A link to nowhere: there is a name, but no folder behind it.
                        Err(Errno::EXIST) => {
                            return Err(FillError::Problem(EntryProblem::ParentNotDirectory));
                        }
                        result => result.map_err(failed("make the parent folder"))?,
                    }
                    self.open_folder(&path).map_err(parent_error)?
                }
                result => result.map_err(parent_error)?,
            };
        }
        Ok(folder)
    }

    /// Returns what is at `name`, not following a link there.
    pub fn existing(parent: &Parent, name: &[u8]) -> Result<Option<Existing>, FillError> {
        match rustix::fs::statat(&parent.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(Existing {
                kind: FileType::from_raw_mode(stat.st_mode),
                inode: stat.st_ino,
                links: stat.st_nlink,
            })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed("look at what is there")(errno)),
        }
    }

    /// Returns the target of the link at `name`.
    pub fn link_target(parent: &Parent, name: &[u8]) -> Result<Vec<u8>, FillError> {
        rustix::fs::readlinkat(&parent.fd, name, Vec::new())
            .map(CString::into_bytes)
            .map_err(failed("read the link that is there"))
    }

    fn note(&mut self, parent: &Parent, name: &[u8]) {
        if let Some(placed) = &mut self.placed {
            placed.insert((parent.inode, name.to_vec()));
        }
    }

    /// Makes a folder, or takes over the one that is there.
    pub fn put_directory(
        &mut self,
        parent: &Parent,
        name: &[u8],
        mode: u32,
        mtime: i64,
    ) -> Result<(), FillError> {
        match rustix::fs::mkdirat(&parent.fd, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("make the folder")(errno)),
        }
        let inode = match Self::existing(parent, name)? {
            Some(existing) if existing.kind == FileType::Directory => existing.inode,
            _ => return Err(FillError::Problem(EntryProblem::ParentNotDirectory)),
        };
        self.directories
            .insert(inode, DirectoryFinish { mode, mtime });
        self.note(parent, name);
        Ok(())
    }

    /// Makes a new empty file. Nothing may be there.
    pub fn create_file(&mut self, parent: &Parent, name: &[u8]) -> Result<File, FillError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&parent.fd, name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(failed("create the file"))?;
        self.note(parent, name);
        Ok(File::from(fd))
    }

    /// Gives a written file its mode and time.
    pub fn finish_file(file: &File, mode: u32, mtime: i64) -> Result<(), FillError> {
        rustix::fs::fchmod(file, Mode::from_raw_mode(mode)).map_err(failed("set the mode"))?;
        rustix::fs::futimens(file, &timestamps(mtime)).map_err(failed("set the time"))
    }

    /// Makes a symbolic link. Nothing may be there.
    pub fn put_symlink(
        &mut self,
        parent: &Parent,
        name: &[u8],
        target: &[u8],
        mtime: i64,
    ) -> Result<(), FillError> {
        rustix::fs::symlinkat(target, &parent.fd, name).map_err(failed("make the link"))?;
        let times = timestamps(mtime);
        rustix::fs::utimensat(&parent.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(failed("set the link's time"))?;
        self.note(parent, name);
        Ok(())
    }

    /// Makes a hard link to `name` in `target`. Nothing may be there.
    pub fn put_hard_link(
        &mut self,
        target: (&Parent, &[u8]),
        parent: &Parent,
        name: &[u8],
    ) -> Result<(), FillError> {
        let (target_parent, target_name) = target;
        rustix::fs::linkat(
            &target_parent.fd,
            target_name,
            &parent.fd,
            name,
            AtFlags::empty(),
        )
        .map_err(failed("make the hard link"))?;
        self.note(parent, name);
        Ok(())
    }

    /// Opens the folder `components` without making anything; `None` when it is not there.
    pub fn find(&self, components: &[&[u8]]) -> Result<Option<Parent>, FillError> {
        let fd = match self.open_folder(&components.join(&b'/')) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            result => result.map_err(parent_error)?,
        };
        let stat = rustix::fs::fstat(&fd).map_err(failed("look at the folder"))?;
        let inode = stat.st_ino;
        Ok(Some(Parent { fd, inode }))
    }

    /// Removes whatever is at `name`.
    pub fn remove(&mut self, parent: &Parent, name: &[u8]) -> Result<(), FillError> {
        self.cached = None;
        self.remove_below(parent, name, Keep::Nothing, 0)?;
        Ok(())
    }

    /// Removes what lower layers have at `name`.
    pub fn remove_covered(&mut self, parent: &Parent, name: &[u8]) -> Result<(), FillError> {
        self.cached = None;
        self.remove_below(parent, name, Keep::Placed, 0)?;
        Ok(())
    }

    /// Removes what lower layers have in the folder `components`.
    pub fn remove_covered_children(&mut self, folder: &Parent) -> Result<(), FillError> {
        self.cached = None;
        let readable = reopen(&folder.fd).map_err(failed("open the folder"))?;
        for (name, _) in list(readable.as_fd()).map_err(failed("list the folder"))? {
            self.remove_below(folder, name.to_bytes(), Keep::Placed, 0)?;
        }
        Ok(())
    }

    /// Returns whether `name` is gone.
    fn remove_below(
        &mut self,
        parent: &Parent,
        name: &[u8],
        keep: Keep,
        depth: usize,
    ) -> Result<bool, FillError> {
        let Some(existing) = Self::existing(parent, name)? else {
            return Ok(true);
        };
        check_depth(depth)?;
        let key = (parent.inode, name.to_vec());
        let is_placed = self
            .placed
            .as_ref()
            .is_some_and(|placed| placed.contains(&key));
        let kept = keep == Keep::Placed && is_placed;
        if existing.kind != FileType::Directory {
            if kept {
                return Ok(false);
            }
            rustix::fs::unlinkat(&parent.fd, name, AtFlags::empty())
                .map_err(failed("remove what is there"))?;
            return Ok(true);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&parent.fd, name, flags, Mode::empty())
            .map_err(failed("open the folder that is there"))?;
        let folder = Parent {
            fd,
            inode: existing.inode,
        };
        let mut is_empty = true;
        for (child, _) in list(folder.fd.as_fd()).map_err(failed("list the folder"))? {
            is_empty &= self.remove_below(&folder, child.to_bytes(), keep, depth + 1)?;
        }
        if kept || !is_empty {
            return Ok(false);
        }
        self.directories.remove(&existing.inode);
        rustix::fs::unlinkat(&parent.fd, name, AtFlags::REMOVEDIR)
            .map_err(failed("remove the folder that is there"))?;
        Ok(true)
    }

    /// Returns the only entry of the root if it has exactly one and that is a folder.
    pub fn single_folder(&self) -> Result<Option<CString>, FillError> {
        let mut names = list(self.root.as_fd()).map_err(failed("list the root"))?;
        match (names.pop(), names.is_empty()) {
            (Some((name, FileType::Directory)), true) => Ok(Some(name)),
            _ => Ok(None),
        }
    }

    /// Moves everything in the top folder `top` up into the root, which takes over its mode and time.
    pub fn strip(&mut self, top: &CStr) -> Result<(), FillError> {
        self.cached = None;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(&self.root, top, flags, Mode::empty())
            .map_err(failed("open the top folder"))?;
        let children = list(folder.as_fd()).map_err(failed("list the top folder"))?;
        // A child may have the name of the top folder: that gets out of the way first.
        let mut aside = b".kiln-top".to_vec();
        while children.iter().any(|(name, _)| name.to_bytes() == aside) {
            aside.push(b'-');
        }
        rustix::fs::renameat(&self.root, top, &self.root, &aside)
            .map_err(failed("move the top folder aside"))?;
        for (name, _) in &children {
            rustix::fs::renameat(&folder, name, &self.root, name)
                .map_err(failed("move out of the top folder"))?;
        }
        // Before it goes: not every file system answers for what has no name any more.
        let inode = rustix::fs::fstat(&folder)
            .map_err(failed("look at the top folder"))?
            .st_ino;
        rustix::fs::unlinkat(&self.root, &aside, AtFlags::REMOVEDIR)
            .map_err(failed("remove the top folder"))?;
        if let Some(DirectoryFinish { mode, mtime }) = self.directories.remove(&inode) {
            self.set_root(mode, mtime)?;
        }
        Ok(())
    }

    /// Gives every folder its mode and time, deepest first.
    pub fn finish(&self) -> Result<(), FillError> {
        self.finish_folder(self.root.as_fd(), 0)
    }

    fn finish_folder(&self, folder: BorrowedFd<'_>, depth: usize) -> Result<(), FillError> {
        check_depth(depth)?;
        for (name, kind) in list(folder).map_err(failed("list a folder"))? {
            if kind == FileType::Directory {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let child = rustix::fs::openat(folder, name, flags, Mode::empty())
                    .map_err(failed("open a folder to set its mode"))?;
                self.finish_folder(child.as_fd(), depth + 1)?;
            }
        }
        let stat = rustix::fs::fstat(folder).map_err(failed("look at a folder"))?;
        let finish = self
            .directories
            .get(&stat.st_ino)
            .copied()
            .unwrap_or(DirectoryFinish {
                mode: IMPLICIT_MODE,
                mtime: 0,
            });
        rustix::fs::fchmod(folder, Mode::from_raw_mode(finish.mode))
            .map_err(failed("set a folder's mode"))?;
        rustix::fs::futimens(folder, &timestamps(finish.mtime))
            .map_err(failed("set a folder's time"))
    }
}

/// What a removal spares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keep {
    Nothing,
    /// What the present layer has put there.
    Placed,
}

fn check_depth(depth: usize) -> Result<(), FillError> {
    if depth > MAX_DEPTH {
        return Err(FillError::Problem(EntryProblem::TooDeep {
            limit: MAX_DEPTH,
        }));
    }
    Ok(())
}

fn reopen(folder: &OwnedFd) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(folder, c".", flags, Mode::empty())
}

fn parent_error(errno: Errno) -> FillError {
    match errno {
        Errno::NOTDIR => FillError::Problem(EntryProblem::ParentNotDirectory),
        Errno::LOOP => FillError::Problem(EntryProblem::ThroughSymlink),
        errno => failed("open the parent folder")(errno),
    }
}

/// Times as whole seconds, moved into the range that every file system and rpm can hold.
fn timestamps(mtime: i64) -> Timestamps {
    let time = Timespec {
        tv_sec: mtime.clamp(0, i64::from(u32::MAX)),
        tv_nsec: 0,
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}
