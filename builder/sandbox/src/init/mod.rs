//! The hidden init program: one thread that forks; each fork makes the namespaces, builds the root and
//! reaps.
//!
//! Nothing here prints: what goes wrong travels to the engine as a [`Fault`].

mod control;
mod devices;
mod identity;
mod limits;
mod measure;
mod mounts;
mod namespaces;
mod network;
mod privileges;
mod proc;
mod reaper;
mod root;
mod seccomp;
mod server;
mod supervisor;
mod targets;

use std::convert::Infallible;

use rustix::io::Errno;

use crate::protocol::{Fault, Report};
use control::Control;
pub(crate) use measure::namespace_links;

/// Exit status of an init that told the engine why it gave up.
const GAVE_UP: i32 = 70;

/// Acts as the init program of sandboxes: what the hidden subcommand calls, as its first act.
///
/// It expects the engine's socket as its standard input and ends at once when there is none. It
/// must be called before the process has started a thread or opened anything that it wants to keep.
pub fn sandbox_init() -> ! {
    server::serve()
}

/// Tells the engine and ends this process.
fn give_up(control: &Control, fault: Fault) -> ! {
    control.send(&Report::Failed(fault));
    leave(GAVE_UP)
}

/// Ends this process without running exit handlers: they belong to the image that was forked.
#[expect(unsafe_code, reason = "no safe wrapper of _exit")]
pub(crate) fn leave(status: i32) -> ! {
    // SAFETY: `_exit` takes a number and does not return; no memory is involved.
    unsafe { nix::libc::_exit(status) }
}

/// What a part of init yields: it succeeds or says which act failed.
type Act<T> = Result<T, Fault>;

/// The type of a part of init that ends the process when it succeeds.
type Never = Infallible;

/// Names a system call that has no fault of its own.
fn call(what: &str) -> impl FnOnce(Errno) -> Fault + '_ {
    move |errno| Fault::Call {
        what: what.to_owned(),
        errno: errno.raw_os_error(),
    }
}
