//! A fresh `/proc` of which the step sees its own processes and a short list of facts.
//!
//! The kernel grows new files here, some of them writable by whoever has the host's uid 0 (which a
//! sandbox of root has), so the list says what is shown; everything else is covered by an empty
//! read-only file or folder of our own.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, FileType, Mode, OFlags, openat};

use super::mounts::{Restrictions, copy_tree, new_file_system, restrict};
use super::root::{EMPTY_FILE, EMPTY_FOLDER, NewRoot, mounting};
use super::targets::{PlaceKind, child};
use super::{Act, call};
use crate::protocol::Fault;

/// Entries of `/proc` beside processes that are shown: what libc, language runtimes and test suites
/// read. None of them can be written to, except `sys`, which is made read-only.
const SHOWN: [&str; 12] = [
    "cgroups",
    "cpuinfo",
    "devices",
    "filesystems",
    "loadavg",
    "meminfo",
    "stat",
    "swaps",
    "sys",
    "uptime",
    "version",
    "vmstat",
];

/// Mounts `/proc` of the current pid namespace and masks it.
pub(super) fn mount_proc(root: &mut NewRoot) -> Act<()> {
    // Not read-only as a whole: a process may write to its own files there.
    let mount = new_file_system("proc", &[], Restrictions::DATA).map_err(|errno| Fault::Proc {
        errno: errno.raw_os_error(),
    })?;
    root.attach(&mount, "proc", PlaceKind::Folder)?;
    for (name, kind) in entries(mount.as_fd())? {
        let is_process = name.bytes().all(|byte| byte.is_ascii_digit());
        // `self`, `thread-self`, `net` and `mounts` lead to a process's own files.
        if is_process || kind == FileType::Symlink || SHOWN.contains(&name.as_str()) {
            continue;
        }
        let mask = if kind == FileType::Directory {
            EMPTY_FOLDER
        } else {
            EMPTY_FILE
        };
        let place = child(mount.as_fd(), &name).map_err(call("opening an entry of /proc"))?;
        mask_place(root, mask, &place)?;
    }
    let settings = copy_tree(mount.as_fd(), "sys").map_err(mounting("/proc/sys"))?;
    restrict(settings.as_fd(), Restrictions::FROZEN).map_err(mounting("/proc/sys"))?;
    let place = child(mount.as_fd(), "sys").map_err(call("opening /proc/sys"))?;
    root.attach_at(&settings, &place)
}

/// Covers `/sys` with an empty folder.
pub(super) fn mask_sys(root: &mut NewRoot) -> Act<()> {
    let place = child(root.handle(), "sys").map_err(call("opening /sys"))?;
    mask_place(root, EMPTY_FOLDER, &place)
}

fn mask_place(root: &mut NewRoot, mask: &str, place: &OwnedFd) -> Act<()> {
    let cover = root.scratch_part(mask)?;
    restrict(cover.as_fd(), Restrictions::FROZEN).map_err(mounting("making a mask read-only"))?;
    root.attach_at(&cover, place)
}

fn entries(folder: BorrowedFd<'_>) -> Act<Vec<(String, FileType)>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = openat(folder, ".", flags, Mode::empty()).map_err(call("opening /proc"))?;
    let mut found = Vec::new();
    for entry in Dir::read_from(&folder).map_err(call("reading /proc"))? {
        let entry = entry.map_err(call("reading /proc"))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            found.push((name, entry.file_type()));
        }
    }
    Ok(found)
}
