//! Finds the place of a mount inside the new root, and makes it when it is missing.
//!
//! The image is not trusted: a component may be a symlink to `/`, to `..` or to `/proc/self/fd/3`, a
//! FIFO, a file. Symlinks are followed as the step would follow them, inside the new root and never
//! through a magic link; everything else that is no folder is an error that names it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, mkdirat, openat, openat2, statx,
};
use rustix::io::{Errno, Result};

use super::Act;
use crate::protocol::Fault;

/// How often a lookup is repeated that raced with a rename elsewhere.
const ATTEMPTS: usize = 64;

/// What a mount covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlaceKind {
    Folder,
    File,
}

/// Opens `path` (no leading `/`) as the step would see it, without access to its content.
pub(super) fn look_up(root: BorrowedFd<'_>, path: &str) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut last = Errno::AGAIN;
    for _ in 0..ATTEMPTS {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            Err(Errno::AGAIN) => last = Errno::AGAIN,
            other => return other,
        }
    }
    Err(last)
}

/// Opens one component below `folder` without following a symlink.
pub(super) fn child(folder: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder, name, flags, Mode::empty())
}

/// Returns a handle of the place that `path` names below `root`, making what is missing.
pub(super) fn place(root: BorrowedFd<'_>, path: &str, kind: PlaceKind) -> Act<OwnedFd> {
    let components: Vec<&str> = path.split('/').collect();
    let mut parent: Option<OwnedFd> = None;
    for index in 0..components.len() {
        let at = components[..=index].join("/");
        let is_last = index + 1 == components.len();
        let wanted = if is_last { kind } else { PlaceKind::Folder };
        let fail = |errno: Errno| Fault::Target {
            path: format!("/{path}"),
            at: format!("/{at}"),
            errno: errno.raw_os_error(),
        };
        let found = match look_up(root, &at) {
            Err(Errno::NOENT) => {
                let folder = parent.as_ref().map_or(root, AsFd::as_fd);
                create(folder, components[index], wanted).map_err(fail)?;
                child(folder, components[index]).map_err(fail)?
            }
            other => other.map_err(fail)?,
        };
        check_kind(&found, wanted, path, &at)?;
        parent = Some(found);
    }
    let place = parent.ok_or_else(|| Fault::Crash {
        message: "a mount has an empty target".to_owned(),
    })?;
    if is_same(root, place.as_fd()).map_err(super::call("statx of a mount's target"))? {
        return Err(Fault::TargetKind {
            path: format!("/{path}"),
            at: format!("/{path}"),
            kind: "a symlink to the root folder".to_owned(),
        });
    }
    Ok(place)
}

/// Makes an empty folder or file; fails on a dangling symlink, which is there but leads nowhere.
fn create(folder: BorrowedFd<'_>, name: &str, kind: PlaceKind) -> Result<()> {
    match kind {
        PlaceKind::Folder => mkdirat(folder, name, Mode::from_raw_mode(0o755)),
        PlaceKind::File => {
            let flags =
                OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            openat(folder, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    }
}

fn check_kind(found: &OwnedFd, wanted: PlaceKind, path: &str, at: &str) -> Act<()> {
    let status = fstat(found).map_err(super::call("fstat of a mount's target"))?;
    let kind = FileType::from_raw_mode(status.st_mode);
    let fits = match wanted {
        PlaceKind::Folder => kind == FileType::Directory,
        PlaceKind::File => kind == FileType::RegularFile,
    };
    if fits {
        return Ok(());
    }
    Err(Fault::TargetKind {
        path: format!("/{path}"),
        at: format!("/{at}"),
        kind: kind_name(&status).to_owned(),
    })
}

/// Names a file type with its article.
pub(super) fn kind_name(status: &Stat) -> &'static str {
    match FileType::from_raw_mode(status.st_mode) {
        FileType::RegularFile => "a file",
        FileType::Directory => "a folder",
        FileType::Symlink => "a symlink",
        FileType::Fifo => "a FIFO",
        FileType::Socket => "a socket",
        FileType::CharacterDevice => "a character device",
        FileType::BlockDevice => "a block device",
        FileType::Unknown => "a file of unknown type",
    }
}

/// Returns whether two handles are the same file on the same mount.
fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Result<bool> {
    let identity = |handle: BorrowedFd<'_>| {
        let mask = rustix::fs::StatxFlags::INO | rustix::fs::StatxFlags::MNT_ID;
        statx(handle, "", AtFlags::EMPTY_PATH, mask).map(|found| {
            (
                found.stx_dev_major,
                found.stx_dev_minor,
                found.stx_ino,
                found.stx_mnt_id,
            )
        })
    };
    Ok(identity(one)? == identity(other)?)
}
