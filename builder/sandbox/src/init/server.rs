//! The fork server: forks an init for each sandbox, and reaps it.
//!
//! It ends with the engine, whose end closes the socket, and every init dies with it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::getpeername;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, kill_process, pidfd_open, setsid, waitpid,
};

use super::control::{Control, close_all_but};
use super::seccomp::Filter;
use super::supervisor::{fork, supervise};
use super::{Act, give_up, leave, limits};
use crate::protocol::{FORK, receive_with, send_with};

/// Exit status of a server that no engine talks to.
const NOT_CALLED_BY_AN_ENGINE: i32 = 64;
/// Exit status of a server that was not understood or did not understand.
const LOST: i32 = 70;

/// An init that was forked and has not been waited for.
struct Forked {
    process: Pid,
    pidfd: OwnedFd,
}

/// Serves until the engine closes its socket.
pub(super) fn serve() -> ! {
    let Some(socket) = adopt() else {
        leave(NOT_CALLED_BY_AN_ENGINE)
    };
    // The terminal's signals are kiln's to hear, which ends what it began.
    let _ = setsid();
    // Whoever started kiln may ignore the end of children, which then could not be waited for.
    limits::reset_process(0);
    let filter = Filter::compile();
    let mut forked = Vec::new();
    loop {
        let Ok(has_order) = wait(&socket, &mut forked) else {
            leave(LOST)
        };
        if has_order && let Some(init) = obey(&socket, &filter) {
            forked.push(init);
        }
    }
}

/// Moves the socket away from standard input and puts a pipe at its end there and one that nobody reads
/// at standard output and error; closes every other descriptor that was inherited (a jobserver's, a
/// terminal's). `None` without a socket.
///
/// Not `/dev/null`: nothing of the host's `/dev` is trusted before it was looked at.
fn adopt() -> Option<OwnedFd> {
    let stdin = rustix::stdio::stdin();
    getpeername(stdin).ok()?;
    let socket = fcntl_dupfd_cloexec(stdin, 3).ok()?;
    let (end, _) = pipe_with(PipeFlags::CLOEXEC).ok()?;
    let (_, start) = pipe_with(PipeFlags::CLOEXEC).ok()?;
    rustix::stdio::dup2_stdin(end).ok()?;
    rustix::stdio::dup2_stdout(&start).ok()?;
    rustix::stdio::dup2_stderr(start).ok()?;
    close_all_but(&socket).ok()?;
    Some(socket)
}

/// Waits for an order or the end of an init; reaps those that ended and returns whether there is an
/// order.
fn wait(socket: &OwnedFd, forked: &mut Vec<Forked>) -> rustix::io::Result<bool> {
    let handles = forked.iter().map(|init| &init.pidfd);
    let mut fds: Vec<PollFd<'_>> = std::iter::once(socket)
        .chain(handles)
        .map(|handle| PollFd::new(handle, PollFlags::IN))
        .collect();
    rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
    let mut is_ready = fds.iter().map(|fd| !fd.revents().is_empty());
    let has_order = is_ready.next().unwrap_or(false);
    let has_ended: Vec<bool> = is_ready.collect();
    let mut has_ended = has_ended.into_iter();
    forked.retain(|init| {
        let stays = !has_ended.next().unwrap_or(false);
        if !stays {
            reap(init.process);
        }
        stays
    });
    Ok(has_order)
}

fn reap(process: Pid) {
    let _ = rustix::io::retry_on_intr(|| waitpid(Some(process), WaitOptions::empty()));
}

/// Reads one order and forks; `None` when that was not possible, which the engine was told.
fn obey(socket: &OwnedFd, filter: &Act<Filter>) -> Option<Forked> {
    let mut order = [0; 1];
    let receive = || receive_with(socket.as_fd(), &mut order);
    let received = match rustix::io::retry_on_intr(receive) {
        Ok(received) => received,
        Err(Errno::CONNRESET) => leave(0),
        Err(_) => leave(LOST),
    };
    match received.length {
        // The engine has ended; the kernel ends what was forked.
        0 => leave(0),
        _ if order == [FORK] => {}
        _ => leave(LOST),
    }
    let Ok([control, output]) = <[OwnedFd; 2]>::try_from(received.handles) else {
        refuse(socket, Errno::MFILE);
        return None;
    };
    let process = match fork() {
        Ok(None) => be_init(control, &output, filter),
        Ok(Some(process)) => process,
        Err(errno) => {
            refuse(socket, errno);
            return None;
        }
    };
    let told = pidfd_open(process, PidfdFlags::empty()).and_then(|pidfd| {
        let number = process.as_raw_pid().to_le_bytes();
        let sent = send_with(socket.as_fd(), &number, &[pidfd.as_fd()]);
        let errno = |error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
        sent.map(|()| pidfd).map_err(errno)
    });
    match told {
        Ok(pidfd) => Some(Forked { process, pidfd }),
        Err(errno) => {
            let _ = kill_process(process, Signal::KILL);
            reap(process);
            refuse(socket, errno);
            None
        }
    }
}

fn refuse(socket: &OwnedFd, errno: Errno) {
    let number = -errno.raw_os_error();
    if send_with(socket.as_fd(), &number.to_le_bytes(), &[]).is_err() {
        leave(LOST);
    }
}

/// Is init, in a process of its own.
fn be_init(socket: OwnedFd, output: &OwnedFd, filter: &Act<Filter>) -> ! {
    let Ok(control) = Control::adopt(socket, output) else {
        leave(LOST)
    };
    control.report_panics();
    let Err(fault) = supervise(&control, filter);
    give_up(&control, fault)
}
