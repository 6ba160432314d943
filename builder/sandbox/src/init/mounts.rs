//! The new mount API, by handle: no path is looked up twice between a check and its use.

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::libc;
use rustix::fs::AtFlags;
use rustix::io::Result;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use super::control::last_errno;

/// `AT_RECURSIVE`.
const RECURSIVE: AtFlags = AtFlags::from_bits_retain(0x8000);

/// What may not happen below a mount. The kernel's `MOUNT_ATTR_*` bits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Restrictions(u64);

impl Restrictions {
    const READ_ONLY: u64 = 0x1;
    const NO_SETUID: u64 = 0x2;
    const NO_DEVICES: u64 = 0x4;
    const NO_EXECUTION: u64 = 0x8;

    /// A declared output.
    pub(super) const WRITABLE: Self = Self(Self::NO_SETUID | Self::NO_DEVICES);
    /// A declared input.
    pub(super) const READABLE: Self = Self(Self::WRITABLE.0 | Self::READ_ONLY);
    /// Data that is written but never a program.
    pub(super) const DATA: Self = Self(Self::WRITABLE.0 | Self::NO_EXECUTION);
    /// A mask, or a view of the kernel.
    pub(super) const FROZEN: Self = Self(Self::READABLE.0 | Self::NO_EXECUTION);
    /// One device node, which must work.
    pub(super) const DEVICE: Self = Self(Self::NO_SETUID | Self::NO_EXECUTION);
}

/// Returns a new, detached file system of `kind`.
pub(super) fn new_file_system(
    kind: &str,
    options: &[(&str, &str)],
    restrictions: Restrictions,
) -> Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in options {
        fsconfig_set_string(context.as_fd(), *key, *value)?;
    }
    fsconfig_create(context.as_fd())?;
    // The first four attributes have the same bits here and in `mount_setattr`.
    let attributes = MountAttrFlags::from_bits_retain(
        u32::try_from(restrictions.0).expect("restrictions fit in four bits"),
    );
    fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Returns a detached copy of the mount tree at `path` below `folder`; a final symlink is not
/// followed. An empty path means `folder` itself.
pub(super) fn copy_tree(folder: BorrowedFd<'_>, path: &str) -> Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(folder, path, flags)
}

/// Restricts a mount and all mounts below it.
pub(super) fn restrict(mount: BorrowedFd<'_>, restrictions: Restrictions) -> Result<()> {
    set_attributes(mount, restrictions.0, RECURSIVE)
}

/// Makes one mount read-only, not the mounts below it.
pub(super) fn freeze(mount: BorrowedFd<'_>) -> Result<()> {
    set_attributes(mount, Restrictions::READ_ONLY, AtFlags::empty())
}

/// Puts a detached mount over `place`.
pub(super) fn attach(mount: BorrowedFd<'_>, place: BorrowedFd<'_>) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, "", place, "", flags)
}

/// Mirrors `struct mount_attr`.
#[repr(C)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

#[expect(unsafe_code, reason = "rustix has no mount_setattr")]
fn set_attributes(mount: BorrowedFd<'_>, set: u64, flags: AtFlags) -> Result<()> {
    let attributes = MountAttributes {
        set,
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: the path is a NUL-terminated constant, and the kernel reads exactly `size` bytes of a
    // struct that lives until the call returns.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            (AtFlags::EMPTY_PATH | flags).bits(),
            &raw const attributes,
            size_of::<MountAttributes>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}
