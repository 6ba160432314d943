//! Builds the root that the step sees and leaves the host's behind.
//!
//! ```text
//! scratch (one tmpfs, limits.scratch bytes)          what the step sees
//!   upper/ work/     overlay over the layers      -> /
//!   tmp/ var-tmp/ shm/ home/                      -> /tmp /var/tmp /dev/shm /root (root steps)
//!   empty/ nothing   read-only masks              -> /sys, parts of /proc
//! ```
//! The tmpfs lives in the sandbox's own mount namespace: nothing is left on the host, and an upper
//! layer on another overlay (a container's root) is never needed. Folders with a fixed meaning are
//! made in `upper` before the overlay is mounted: a folder there wins over whatever else an image
//! has in that place, without a lookup in the image.
//!
//! Known limit: tmpfs has user xattrs from Linux 6.6. Before that, removing a folder of the image
//! and making it again fails with EIO in the step; nothing is wrong silently.

use std::fmt::Write as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use kiln_model::{MountAccess, SealedStep, StepUser};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fchmod, fstat, mkdirat, open, openat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount,
};

use super::mounts::{Restrictions, attach, copy_tree, new_file_system, restrict};
use super::targets::{PlaceKind, kind_name, place};
use super::{Act, call, devices, identity, proc};
use crate::protocol::{Fault, Purpose};

/// Folders of the host that the scratch file system may cover in our own mount namespace while the
/// root is built; the first that exists is taken. `/proc` must stay visible.
const WORKBENCHES: &[&str] = &["/tmp", "/var", "/usr", "/etc"];

/// Folders that are made in the upper layer, parents first.
const FIXED_FOLDERS: &[&str] = &[
    "build", "dev", "etc", "proc", "root", "sys", "tmp", "var", "var/tmp",
];

/// The scratch's empty folder and empty file: what masks are made of.
pub(super) const EMPTY_FOLDER: &str = "empty";
pub(super) const EMPTY_FILE: &str = "nothing";

/// Bytes of scratch per file that may exist in it: bounds the memory of empty files.
const BYTES_PER_FILE: u64 = 2048;
/// Files that even the smallest scratch may hold.
const LEAST_FILES: u64 = 16 * 1024;

/// An input or output of the step, opened before anything is covered.
struct Source {
    tree: OwnedFd,
    kind: PlaceKind,
}

/// The root under construction, and what was mounted in it so far.
pub(super) struct NewRoot {
    handle: OwnedFd,
    scratch: OwnedFd,
    /// Where `handle` is, seen from the host's root.
    prefix: String,
    mounted: Vec<String>,
}

impl NewRoot {
    /// Returns the merged root.
    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// Puts a detached mount over `path` (no leading `/`), which is looked up as the step would.
    pub(super) fn attach(&mut self, mount: &OwnedFd, path: &str, kind: PlaceKind) -> Act<()> {
        let target = place(self.handle(), path, kind)?;
        self.attach_at(mount, &target)
    }

    /// Puts a detached mount over a place that was opened already.
    pub(super) fn attach_at(&mut self, mount: &OwnedFd, target: &OwnedFd) -> Act<()> {
        let link = format!("/proc/self/fd/{}", target.as_raw_fd());
        let link = fs_err::read_link(link).map_err(|error| Fault::Call {
            what: "reading the place of a mount".to_owned(),
            errno: error.raw_os_error().unwrap_or(0),
        })?;
        let point = link.to_string_lossy().into_owned();
        let point = point.strip_prefix(&self.prefix).unwrap_or(&point);
        attach(mount.as_fd(), target.as_fd()).map_err(mounting(&format!("mounting `{point}`")))?;
        self.mounted.push(point.to_owned());
        Ok(())
    }

    /// Returns a detached mount of a folder or file of the scratch file system.
    pub(super) fn scratch_part(&self, name: &str) -> Act<OwnedFd> {
        copy_tree(self.scratch.as_fd(), name).map_err(mounting("copying a scratch folder's mount"))
    }
}

/// Builds the root and moves into it; afterwards nothing of the host is reachable by path. Returns
/// every place inside at which something was mounted.
pub(super) fn enter(step: &SealedStep, purpose: Purpose) -> Act<Vec<String>> {
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .map_err(mounting("making mounts private"))?;
    let layers = open_layers(step)?;
    let sources = open_sources(step)?;
    let nodes = devices::open_nodes()?;
    let mut root = mount_overlay(mount_scratch(step.limits.scratch)?, layers, purpose)?;
    identity::write_accounts(root.handle())?;
    let mut fresh = vec![("tmp", "tmp"), ("var-tmp", "var/tmp")];
    if step.user == StepUser::Root {
        fresh.push(("home", "root"));
    }
    for (part, path) in fresh {
        let part = root.scratch_part(part)?;
        root.attach(&part, path, PlaceKind::Folder)?;
    }
    for (mount, source) in step.mounts.iter().zip(sources) {
        root.attach(&source.tree, mount.target.relative(), source.kind)?;
    }
    // The caller's /build has it already; a step without /build gets it in the upper layer, and a
    // read-only /build stays as it is.
    let _ = place(root.handle(), &step.user.home()[1..], PlaceKind::Folder);
    devices::mount_devices(&mut root, nodes)?;
    proc::mount_proc(&mut root)?;
    proc::mask_sys(&mut root)?;
    switch(root.handle())?;
    Ok(root.mounted)
}

/// Returns a fault for a mount that has none of its own.
pub(super) fn mounting(what: &str) -> impl FnOnce(Errno) -> Fault + '_ {
    move |errno| Fault::Mount {
        what: what.to_owned(),
        errno: errno.raw_os_error(),
    }
}

fn open_layers(step: &SealedStep) -> Act<Vec<OwnedFd>> {
    step.rootfs
        .iter()
        .map(|path| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            open(path, flags, Mode::empty()).map_err(|errno| Fault::Layer {
                path: path.clone(),
                errno: errno.raw_os_error(),
            })
        })
        .collect()
}

/// Opens what the step is given. A source may have been written by an earlier step, so no symlink
/// in it is followed: one planted there would show the host's files.
fn open_sources(step: &SealedStep) -> Act<Vec<Source>> {
    step.mounts
        .iter()
        .map(|mount| {
            let refused = |errno: Errno| Fault::Source {
                path: mount.source.clone(),
                errno: errno.raw_os_error(),
            };
            let handle = rustix::fs::openat2(
                CWD,
                &mount.source,
                OFlags::PATH | OFlags::CLOEXEC,
                Mode::empty(),
                ResolveFlags::NO_SYMLINKS,
            )
            .map_err(refused)?;
            let status = fstat(&handle).map_err(refused)?;
            let kind = match FileType::from_raw_mode(status.st_mode) {
                FileType::Directory => PlaceKind::Folder,
                FileType::RegularFile => PlaceKind::File,
                _ => {
                    return Err(Fault::SourceKind {
                        path: mount.source.clone(),
                        kind: kind_name(&status).to_owned(),
                    });
                }
            };
            let tree = copy_tree(handle.as_fd(), "").map_err(refused)?;
            let restrictions = match mount.access {
                MountAccess::ReadOnly => Restrictions::READABLE,
                MountAccess::ReadWrite => Restrictions::WRITABLE,
            };
            restrict(tree.as_fd(), restrictions)
                .map_err(mounting("restricting a mount (mount_setattr)"))?;
            Ok(Source { tree, kind })
        })
        .collect()
}

/// Mounts the step's own tmpfs and lays out its folders.
fn mount_scratch(bytes: u64) -> Act<OwnedFd> {
    let files = (bytes / BYTES_PER_FILE).max(LEAST_FILES);
    let scratch = new_file_system(
        "tmpfs",
        &[
            ("size", &bytes.to_string()),
            ("nr_inodes", &files.to_string()),
            ("mode", "0755"),
        ],
        Restrictions::WRITABLE,
    )
    .map_err(mounting("mounting the scratch tmpfs"))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let workbench = WORKBENCHES
        .iter()
        .find_map(|path| open(*path, flags, Mode::empty()).ok())
        .ok_or_else(|| mounting("finding one of /tmp, /var, /usr, /etc")(Errno::NOENT))?;
    attach(scratch.as_fd(), workbench.as_fd()).map_err(mounting("attaching the scratch tmpfs"))?;
    for (name, mode) in [
        ("upper", 0o755),
        ("work", 0o755),
        ("root", 0o755),
        ("bottom", 0o755),
        ("home", 0o755),
        ("tmp", 0o1777),
        ("var-tmp", 0o1777),
        ("shm", 0o1777),
        (EMPTY_FOLDER, 0o555),
    ] {
        make_folder(scratch.as_fd(), name, mode)?;
    }
    for name in FIXED_FOLDERS {
        make_folder(scratch.as_fd(), &format!("upper/{name}"), 0o755)?;
    }
    openat(
        &scratch,
        EMPTY_FILE,
        OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o444),
    )
    .map_err(call("making the empty mask file"))?;
    identity::write_fixed_files(scratch.as_fd())?;
    Ok(scratch)
}

/// Makes a folder with exactly `mode`, whatever the umask is.
fn make_folder(parent: BorrowedFd<'_>, path: &str, mode: u32) -> Act<()> {
    mkdirat(parent, path, Mode::RWXU).map_err(call("mkdirat in the scratch tmpfs"))?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder =
        openat(parent, path, flags, Mode::empty()).map_err(call("openat in the scratch tmpfs"))?;
    fchmod(folder, Mode::from_raw_mode(mode)).map_err(call("fchmod in the scratch tmpfs"))
}

/// Mounts the layers with the scratch's `upper` over them and returns the merged root.
///
/// The options name the layers by descriptor number, relative to `/proc/self/fd`: 500 layers (the
/// kernel's limit) fit the one page that options may have, whatever their paths are, and no host
/// path shows in the step's `/proc/mounts`.
fn mount_overlay(scratch: OwnedFd, mut layers: Vec<OwnedFd>, purpose: Purpose) -> Act<NewRoot> {
    let folder = |name: &str| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&scratch, name, flags, Mode::empty()).map_err(call("openat in the scratch tmpfs"))
    };
    if purpose == Purpose::Probe {
        layers.push(folder("bottom")?);
    }
    let (upper, work, root) = (folder("upper")?, folder("work")?, folder("root")?);
    let mut options = String::from("lowerdir=");
    for (index, layer) in layers.iter().enumerate() {
        let separator = if index == 0 { "" } else { ":" };
        let _ = write!(options, "{separator}{}", layer.as_raw_fd());
    }
    let _ = write!(
        options,
        ",upperdir={},workdir={},userxattr",
        upper.as_raw_fd(),
        work.as_raw_fd()
    );
    let options = std::ffi::CString::new(options).map_err(|_| Fault::Crash {
        message: "overlay options hold a NUL".to_owned(),
    })?;
    rustix::process::chdir("/proc/self/fd").map_err(call("chdir to /proc/self/fd"))?;
    mount(
        "overlay",
        root.as_raw_fd().to_string(),
        "overlay",
        MountFlags::NOSUID | MountFlags::NODEV,
        options.as_c_str(),
    )
    .map_err(|errno| Fault::Overlay {
        layers: layers.len(),
        errno: errno.raw_os_error(),
    })?;
    let handle = folder("root")?;
    let prefix =
        fs_err::read_link(handle.as_raw_fd().to_string()).map_err(|error| Fault::Call {
            what: "reading the place of the new root".to_owned(),
            errno: error.raw_os_error().unwrap_or(0),
        })?;
    Ok(NewRoot {
        handle,
        scratch,
        prefix: prefix.to_string_lossy().into_owned(),
        mounted: vec!["/".to_owned()],
    })
}

/// Makes `root` the root, detaches the old one and stands in the new one.
fn switch(root: BorrowedFd<'_>) -> Act<()> {
    rustix::process::fchdir(root).map_err(call("fchdir to the new root"))?;
    rustix::process::pivot_root(".", ".").map_err(mounting("pivot_root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(mounting("detaching the old root"))?;
    rustix::process::chdir("/").map_err(call("chdir to the new root"))
}
