//! Init's end of the socket to the engine.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::fcntl_dupfd_cloexec;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::protocol::{self, Fault, Handover, Report};

/// The socket, out of the way of the step's three descriptors and closed by `exec`.
pub(super) struct Control {
    socket: OwnedFd,
}

impl Control {
    /// Moves the socket away from standard input, leaves a pipe at its end there and closes every
    /// other descriptor that was inherited (a jobserver's, a terminal's); `None` without a socket.
    ///
    /// Not `/dev/null`: nothing of the host's `/dev` is trusted before it was looked at.
    pub(super) fn adopt() -> Option<Self> {
        let stdin = rustix::stdio::stdin();
        rustix::net::getpeername(stdin).ok()?;
        let socket = fcntl_dupfd_cloexec(stdin, 3).ok()?;
        let (end, _) = pipe_with(PipeFlags::CLOEXEC).ok()?;
        rustix::stdio::dup2_stdin(end).ok()?;
        let kept = socket.as_raw_fd();
        close_range(3, kept - 1, 0).ok()?;
        close_range(kept + 1, RawFd::MAX, 0).ok()?;
        Some(Self { socket })
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
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let handles = [pidfd];
        ancillary.push(SendAncillaryMessage::ScmRights(&handles));
        let part = [io::IoSlice::new(&frame)];
        let sent = sendmsg(&self.socket, &part, &mut ancillary, SendFlags::NOSIGNAL)?;
        if sent == frame.len() {
            Ok(())
        } else {
            Err(io::ErrorKind::WriteZero.into())
        }
    }

    /// Makes a panic in this process a report instead of a message in the step's log.
    pub(super) fn report_panics(&self) {
        let Ok(socket) = self.socket.try_clone() else {
            return;
        };
        std::panic::set_hook(Box::new(move |panic| {
            let message = panic.to_string();
            let report = Report::Failed(Fault::Crash { message });
            let _ = protocol::write_frame(socket.as_fd(), &report);
        }));
    }
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
    // SAFETY: takes three numbers. With no flag it is called once, before init has opened anything
    // in that range; with `CLOSE_RANGE_CLOEXEC` it closes nothing in this process image.
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
