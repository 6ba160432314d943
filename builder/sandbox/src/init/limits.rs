//! What every process in a sandbox starts with: limits, umask, signals, descriptors.

use nix::libc;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::control::close_range;
use super::{Act, call};

const MIB: u64 = 1 << 20;

/// Soft and hard limit of each resource; `None` is "no limit". A lower hard limit of the host wins:
/// raising one needs a privilege that a sandbox does not have.
const LIMITS: [(Resource, Option<u64>, Option<u64>); 15] = [
    (Resource::As, None, None),
    (Resource::Core, Some(0), Some(0)),
    (Resource::Cpu, None, None),
    (Resource::Data, None, None),
    (Resource::Fsize, None, None),
    (Resource::Locks, None, None),
    (Resource::Memlock, Some(8 * MIB), Some(8 * MIB)),
    (Resource::Msgqueue, Some(819_200), Some(819_200)),
    (Resource::Nice, Some(0), Some(0)),
    (Resource::Nofile, Some(1024), Some(4096)),
    (Resource::Nproc, None, None),
    (Resource::Rss, None, None),
    (Resource::Rtprio, Some(0), Some(0)),
    (Resource::Sigpending, Some(16_384), Some(16_384)),
    (Resource::Stack, Some(8 * MIB), None),
];

/// Sets the resource limits.
pub(super) fn set_resource_limits() -> Act<()> {
    for (resource, soft, hard) in LIMITS {
        let host = getrlimit(resource).maximum;
        let maximum = least(hard, host);
        let wanted = Rlimit {
            current: least(soft, maximum),
            maximum,
        };
        setrlimit(resource, wanted).map_err(call(&format!("setrlimit({resource:?})")))?;
    }
    Ok(())
}

/// Returns the lower of two limits.
fn least(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (limit, None) | (None, limit) => limit,
    }
}

/// Resets what a parent may have left: umask, ignored and blocked signals, personality.
#[expect(
    unsafe_code,
    reason = "signal dispositions and personality have no safe form"
)]
pub(super) fn reset_process(personality: u32) {
    /// Signals of the kernel, 1 to 64, and the size of a set of them.
    const LAST_SIGNAL: libc::c_long = 64;
    const SET_SIZE: usize = 8;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    // The kernel's `struct sigaction` and signal set, all zero: default action, no flags, no mask.
    let zero = [0_u64; 4];
    // SAFETY: the kernel reads at most 32 bytes of `zero` and writes nothing; no handler is
    // installed. libc's own function leaves out two signals that a parent may have ignored; the
    // kernel itself refuses SIGKILL and SIGSTOP, which can not be ignored. `personality` takes a
    // number and applies to later mappings only.
    unsafe {
        for signal in 1..=LAST_SIGNAL {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                zero.as_ptr(),
                std::ptr::null_mut::<u64>(),
                SET_SIZE,
            );
        }
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            zero.as_ptr(),
            std::ptr::null_mut::<u64>(),
            SET_SIZE,
        );
        libc::personality(libc::c_ulong::from(personality));
    }
}

/// Marks everything but standard input, output and error to be closed by `exec`.
pub(super) fn close_on_exec() -> Act<()> {
    close_range(3, i32::MAX, libc::CLOSE_RANGE_CLOEXEC).map_err(call("close_range"))
}
