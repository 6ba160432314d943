//! The fork server: forks an init for each sandbox, and tells the engine when it has ended.
//!
//! It ends with the engine, whose end closes the socket, and every init dies with it.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::getpeername;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, setsid, waitpid};

use super::control::{Control, close_all_but};
use super::seccomp::Filter;
use super::supervisor::{fork, supervise};
use super::{Act, give_up, leave, limits};
use crate::protocol::{FORK, ProgramEnd, Report, receive_with, send_with, write_frame};

/// Exit status of a server that no engine talks to.
const NOT_CALLED_BY_AN_ENGINE: i32 = 64;
/// Exit status of a server that was not understood or did not understand.
const LOST: i32 = 70;

/// An init that was forked and has not been waited for.
struct Forked {
    process: Pid,
    pidfd: OwnedFd,
    /// The server's end of what init tells the engine by.
    control: OwnedFd,
}

/// Serves until the engine closes its socket.
pub(super) fn serve() -> ! {
    let Some(socket) = adopt() else {
        leave(NOT_CALLED_BY_AN_ENGINE)
    };
    // The terminal's signals are kiln's to hear, which ends what it began.
    let _ = setsid();
    let _ = rustix::process::chdir("/");
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

/// Moves the socket away from standard input, leaves pipes without another end there, at standard
/// output and at standard error, and closes every other descriptor that was inherited (a jobserver's,
/// a terminal's); `None` without a socket.
///
/// Not `/dev/null`: nothing of the host's `/dev` is trusted before it was looked at.
fn adopt() -> Option<OwnedFd> {
    let stdin = rustix::stdio::stdin();
    getpeername(stdin).ok()?;
    let socket = fcntl_dupfd_cloexec(stdin, 3).ok()?;
    let (end, start) = pipe_with(PipeFlags::CLOEXEC).ok()?;
    rustix::stdio::dup2_stdin(end).ok()?;
    rustix::stdio::dup2_stdout(&start).ok()?;
    rustix::stdio::dup2_stderr(start).ok()?;
    close_all_but(&socket).ok()?;
    Some(socket)
}

/// Waits for an order or the end of an init; tells of those that ended and returns whether there is
/// an order.
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
            bury(init);
        }
        stays
    });
    Ok(has_order)
}

/// Waits for an init that has ended and tells the engine how.
fn bury(init: &Forked) {
    let ended = rustix::io::retry_on_intr(|| waitpid(Some(init.process), WaitOptions::empty()));
    let Ok(Some((_, status))) = ended else {
        return;
    };
    let exited = status.exit_status().map(ProgramEnd::Exited);
    let signaled = || status.terminating_signal().map(ProgramEnd::Signaled);
    if let Some(end) = exited.or_else(signaled) {
        // An engine that has given up does not listen.
        let _ = write_frame(init.control.as_fd(), &Report::Gone(end));
    }
}

/// Reads one order and forks; `None` when that was not possible, which the engine was told.
fn obey(socket: &OwnedFd, filter: &Act<Filter>) -> Option<Forked> {
    let mut order = [0; 1];
    let receive = || receive_with(socket.as_fd(), &mut order);
    let handles = match rustix::io::retry_on_intr(receive) {
        // The engine has ended; the kernel ends what was forked.
        Ok((0, _)) | Err(Errno::CONNRESET) => leave(0),
        Ok((_, handles)) if order == [FORK] => handles,
        Ok(_) | Err(_) => leave(LOST),
    };
    let Ok([control, output]) = <[OwnedFd; 2]>::try_from(handles) else {
        leave(LOST)
    };
    match fork() {
        Ok(None) => be_init(control, &output, filter),
        Ok(Some(process)) => match pidfd_open(process, PidfdFlags::empty()) {
            Ok(pidfd) => {
                answer(socket, process.as_raw_pid(), Some(&pidfd));
                Some(Forked {
                    process,
                    pidfd,
                    control,
                })
            }
            Err(errno) => {
                let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
                let _ = waitpid(Some(process), WaitOptions::empty());
                answer(socket, -errno.raw_os_error(), None);
                None
            }
        },
        Err(errno) => {
            answer(socket, -errno, None);
            None
        }
    }
}

fn answer(socket: &OwnedFd, number: i32, pidfd: Option<&OwnedFd>) {
    let handles: Vec<_> = pidfd.into_iter().map(AsFd::as_fd).collect();
    if send_with(socket.as_fd(), &number.to_le_bytes(), &handles).is_err() {
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
