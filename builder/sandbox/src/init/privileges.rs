//! Gives up every privilege, for pid 1 and all that it will start.
//!
//! No step keeps a capability, root's neither: with a single-id map `chown` to oneself needs none,
//! every file that the step can see is its own or is not writable by design, and neither rpmbuild nor
//! tar needs more.

use nix::libc;
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::{Act, call};

/// Empties all five capability sets and makes sure that no `exec` fills one.
pub(super) fn give_up() -> Act<()> {
    leave_keyring();
    clear_ambient_capability_set().map_err(call("prctl(PR_CAP_AMBIENT_CLEAR_ALL)"))?;
    for number in 0..64 {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // The first number that this kernel does not know.
            Err(Errno::INVAL) => break,
            Err(errno) => return Err(call("prctl(PR_CAPBSET_DROP)")(errno)),
        }
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(call("capset"))?;
    set_no_new_privs(true).map_err(call("prctl(PR_SET_NO_NEW_PRIVS)"))?;
    // The step runs as the same user: without this it could trace pid 1 or open its executable.
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(call("prctl(PR_SET_DUMPABLE)"))
}

/// Puts an empty session keyring in the place of the caller's. Best effort: a kernel without
/// keyrings has none to leave, and the filter refuses every call that could read one.
#[expect(unsafe_code, reason = "no safe wrapper of keyctl")]
fn leave_keyring() {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    // SAFETY: a null name asks for an anonymous keyring; no memory is read or written.
    unsafe {
        libc::syscall(
            libc::SYS_keyctl,
            KEYCTL_JOIN_SESSION_KEYRING,
            std::ptr::null::<libc::c_char>(),
        );
    }
}
