//! A `/dev` with five devices, its own terminals and shared memory, and nothing to add to it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, major, minor, mkdirat, openat, symlinkat};

use super::mounts::{Restrictions, copy_tree, freeze, new_file_system, restrict};
use super::root::{NewRoot, mounting};
use super::targets::{PlaceKind, child};
use super::{Act, call};
use crate::protocol::Fault;

/// A character device of the host: name, major and minor number.
const DEVICES: [(&str, u32, u32); 5] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
];

const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// Copies the host's device mounts. Each is checked on the handle that is used later, so that a
/// symlink or file put in its place is never shown as a device.
pub(super) fn open_nodes() -> Act<Vec<OwnedFd>> {
    DEVICES
        .iter()
        .map(|&(name, wanted_major, wanted_minor)| {
            let refused = |reason: String| Fault::Device {
                name: format!("/dev/{name}"),
                reason,
            };
            let node = copy_tree(CWD, &format!("/dev/{name}"))
                .map_err(|errno| refused(errno.to_string()))?;
            let found = fstat(&node).map_err(|errno| refused(errno.to_string()))?;
            let number = (major(found.st_rdev), minor(found.st_rdev));
            let is_device = FileType::from_raw_mode(found.st_mode) == FileType::CharacterDevice;
            if !is_device || number != (wanted_major, wanted_minor) {
                return Err(refused(format!(
                    "expected the character device {wanted_major}:{wanted_minor}, found {} {}:{}",
                    super::targets::kind_name(&found),
                    number.0,
                    number.1
                )));
            }
            restrict(node.as_fd(), Restrictions::DEVICE)
                .map_err(mounting("restricting a device (mount_setattr)"))?;
            Ok(node)
        })
        .collect()
}

/// Mounts `/dev` with the devices that [`open_nodes`] returned.
pub(super) fn mount_devices(root: &mut NewRoot, nodes: Vec<OwnedFd>) -> Act<()> {
    let folder = new_file_system(
        "tmpfs",
        &[("size", "65536"), ("nr_inodes", "64"), ("mode", "0755")],
        Restrictions::DATA,
    )
    .map_err(mounting("mounting a tmpfs for /dev"))?;
    root.attach(&folder, "dev", PlaceKind::Folder)?;
    for ((name, ..), node) in DEVICES.iter().zip(nodes) {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        openat(&folder, *name, flags, Mode::from_raw_mode(0o666))
            .map_err(call("making a device's place"))?;
        let place = child(folder.as_fd(), name).map_err(call("opening a device's place"))?;
        root.attach_at(&node, &place)?;
    }
    for (name, target) in LINKS {
        symlinkat(target, &folder, name).map_err(call("making a link in /dev"))?;
    }
    let terminals = new_file_system(
        "devpts",
        &[("mode", "0620"), ("ptmxmode", "0666")],
        Restrictions::DEVICE,
    )
    .map_err(mounting("mounting /dev/pts"))?;
    for (name, mount) in [("pts", terminals), ("shm", root.scratch_part("shm")?)] {
        mkdirat(&folder, name, Mode::from_raw_mode(0o755)).map_err(call("mkdirat in /dev"))?;
        let place = child(folder.as_fd(), name).map_err(call("openat in /dev"))?;
        root.attach_at(&mount, &place)?;
    }
    freeze(folder.as_fd()).map_err(mounting("making /dev read-only"))
}
