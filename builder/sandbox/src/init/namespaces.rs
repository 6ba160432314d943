//! Enters new namespaces, one by one so that a refusal names its own.

use rustix::process::{getegid, geteuid};
use rustix::thread::UnshareFlags;

use super::Act;
use crate::protocol::Fault;
use kiln_model::StepUser;

/// Enters a user namespace in which the caller is `user` and nobody else exists.
///
/// The map has a single id, which needs no privilege, no `newuidmap` and no `/etc/subuid`, and
/// which is the same whoever runs kiln.
pub(super) fn enter_user(user: StepUser) -> Act<()> {
    let (uid, gid) = (geteuid(), getegid());
    if uid.is_root() {
        // Only root can; others keep their groups, which the map shows as the overflow group.
        let _ = nix::unistd::setgroups(&[]);
    }
    unshare("user", UnshareFlags::NEWUSER)?;
    write_map("/proc/self/setgroups", "deny")?;
    let inside = user.id();
    write_map("/proc/self/uid_map", &format!("{inside} {uid} 1"))?;
    write_map("/proc/self/gid_map", &format!("{inside} {gid} 1"))
}

/// Enters every other namespace; the pid namespace begins with the next child.
pub(super) fn enter_others() -> Act<()> {
    unshare("mount", UnshareFlags::NEWNS)?;
    unshare("pid", UnshareFlags::NEWPID)?;
    unshare("ipc", UnshareFlags::NEWIPC)?;
    unshare("uts", UnshareFlags::NEWUTS)?;
    unshare("cgroup", UnshareFlags::NEWCGROUP)?;
    unshare("net", UnshareFlags::NEWNET)
}

#[expect(
    unsafe_code,
    reason = "rustix marks unshare unsafe for shared descriptor tables"
)]
fn unshare(namespace: &str, flags: UnshareFlags) -> Act<()> {
    // SAFETY: `FILES` is never among the flags, and init has one thread.
    let result = unsafe { rustix::thread::unshare_unsafe(flags) };
    result.map_err(|errno| Fault::Namespace {
        namespace: namespace.to_owned(),
        errno: errno.raw_os_error(),
    })
}

fn write_map(file: &str, line: &str) -> Act<()> {
    fs_err::write(file, line).map_err(|error| Fault::IdMap {
        file: file.to_owned(),
        errno: error.raw_os_error().unwrap_or(0),
    })
}
