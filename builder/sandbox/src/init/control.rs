//! Init's end of the socket to the engine.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::{GAVE_UP, leave};
use crate::protocol::{self, Fault, Handover, Report};

/// The socket, out of the way of the step's three descriptors and closed by `exec`.
pub(super) struct Control {
    socket: OwnedFd,
}

impl Control {
    /// Takes the socket and the log that the engine sent, and closes every other descriptor that
    /// this process has of the server's (other sockets among them).
    pub(super) fn adopt(socket: OwnedFd, output: &OwnedFd) -> rustix::io::Result<Self> {
        rustix::stdio::dup2_stdout(output)?;
        rustix::stdio::dup2_stderr(output)?;
        close_all_but(&socket)?;
        Ok(Self { socket })
    }

    /// Waits for the engine's order.
    pub(super) fn handover(&self) -> io::Result<Handover> {
        protocol::read_frame(self.socket.as_fd())
    }

    /// Tells the engine. When the engine is gone there is nobody left to tell, and the death
    /// signal is on its way.
    pub(super) fn send(&self, report: &Report) {
        let _ = protocol::write_frame(self.socket.as_fd(), report);
    }

    /// Tells the engine that pid 1 exists and hands over `pidfd`, so that the engine can end it
    /// and wait for its end whatever happens to the process in between.
    pub(super) fn send_born(&self, pidfd: BorrowedFd<'_>) -> io::Result<()> {
        let frame = protocol::frame(&Report::Born)?;
        protocol::send_with(self.socket.as_fd(), &frame, &[pidfd])
    }

    /// Makes a panic in this process a report instead of a message in the step's log, and its end:
    /// what would be unwound is the server's.
    pub(super) fn report_panics(&self) {
        let Ok(socket) = self.socket.try_clone() else {
            return;
        };
        std::panic::set_hook(Box::new(move |panic| {
            let message = panic.to_string();
            let report = Report::Failed(Fault::Crash { message });
            let _ = protocol::write_frame(socket.as_fd(), &report);
            leave(GAVE_UP);
        }));
    }
}

/// Closes every descriptor but the three of each process and `kept`.
pub(super) fn close_all_but(kept: &OwnedFd) -> rustix::io::Result<()> {
    let kept = kept.as_raw_fd();
    close_range(3, kept - 1, 0)?;
    close_range(kept + 1, RawFd::MAX, 0)
}

/// Closes descriptors `first..=last`, or marks them close-on-exec when `flags` says so.
#[expect(
    unsafe_code,
    reason = "closes descriptors that no Rust value owns, by number"
)]
pub(super) fn close_range(first: RawFd, last: RawFd, flags: u32) -> rustix::io::Result<()> {
    if first > last {
        return Ok(());
    }
    // SAFETY: takes three numbers. With no flag it is called where nothing that a Rust value owns
    // is used again: at the server's start, and in a new fork of it, which never returns to the
    // owners. With `CLOSE_RANGE_CLOEXEC` it closes nothing in this process image.
    let result = unsafe {
        nix::libc::syscall(
            nix::libc::SYS_close_range,
            nix::libc::c_long::from(first),
            nix::libc::c_long::from(last),
            nix::libc::c_long::from(flags),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}

/// Returns the error of the system call that has just failed.
pub(super) fn last_errno() -> rustix::io::Errno {
    let error = io::Error::last_os_error();
    rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO)
}
