//! The fork server's client: init is started once for an engine, and forked for each sandbox.
//!
//! Starting a program of kiln's size takes longer than all that init does. The server has one thread
//! and does nothing but fork, so that each init begins as the server was: freshly executed, without
//! anything of the steps before it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Signal, pidfd_send_signal};

use crate::engine::InitProgram;
use crate::protocol::{FORK, ProgramEnd, receive_with, send_with};

/// A running fork server. It ends, and every init of it, when its socket is closed: with this value,
/// or with this process whatever that dies of.
#[derive(Debug)]
pub(crate) struct ForkServer {
    child: Child,
    /// `None` once it is to end.
    socket: Option<OwnedFd>,
}

/// A forked init: the process that makes the namespaces.
#[derive(Debug)]
pub(crate) struct Forked {
    /// Its pid.
    pub process: u32,
    /// Its parent: the server's.
    pub server: u32,
    pidfd: OwnedFd,
}

/// Why there is no init.
#[derive(Debug)]
pub(crate) enum NoInit {
    /// The server could not fork.
    Refused(io::Error),
    /// The server has ended.
    Ended,
}

impl ForkServer {
    /// Starts `init`, with nothing of this process but its limits.
    #[expect(clippy::disallowed_methods, reason = "sandbox is the room that spawns")]
    pub(crate) fn start(init: &InitProgram) -> io::Result<Self> {
        let (socket, theirs) = pair()?;
        let child = Command::new(&init.program)
            .args(&init.arguments)
            .env_clear()
            .stdout(Stdio::from(theirs.try_clone()?))
            .stderr(Stdio::from(theirs.try_clone()?))
            .stdin(Stdio::from(theirs))
            .spawn()?;
        Ok(Self {
            child,
            socket: Some(socket),
        })
    }

    /// Asks for an init whose standard output and error are `output`; returns it with the socket
    /// that it listens to.
    pub(crate) fn fork(&self, output: &OwnedFd) -> Result<(Forked, OwnedFd), NoInit> {
        let socket = self.socket.as_ref().ok_or(NoInit::Ended)?;
        let (control, theirs) = pair().map_err(NoInit::Refused)?;
        send_with(socket.as_fd(), &[FORK], &[theirs.as_fd(), output.as_fd()])
            .map_err(|_| NoInit::Ended)?;
        let mut answer = [0; 4];
        let receive = || receive_with(socket.as_fd(), &mut answer);
        let (length, handles) = rustix::io::retry_on_intr(receive).map_err(|_| NoInit::Ended)?;
        if length != answer.len() {
            return Err(NoInit::Ended);
        }
        let answer = i32::from_le_bytes(answer);
        match (u32::try_from(answer), handles.into_iter().next()) {
            (Ok(process), Some(pidfd)) => Ok((
                Forked {
                    process,
                    server: self.child.id(),
                    pidfd,
                },
                control,
            )),
            _ => Err(NoInit::Refused(
                Errno::from_raw_os_error(answer.saturating_neg()).into(),
            )),
        }
    }

    /// Ends the server and returns how it ended.
    pub(crate) fn end(mut self) -> io::Result<ExitStatus> {
        self.socket = None;
        self.child.wait()
    }
}

impl Drop for ForkServer {
    fn drop(&mut self) {
        self.socket = None;
        let _ = self.child.wait();
    }
}

impl Forked {
    /// Ends it, and with it all that it began.
    pub(crate) fn kill(&self) {
        // It fails only when there is nothing left to kill.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Waits until it has ended.
    pub(crate) fn wait(&self) -> io::Result<()> {
        wait_for(&self.pidfd)
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until the process has ended.
pub(crate) fn wait_for(pidfd: &OwnedFd) -> io::Result<()> {
    let mut fds = [PollFd::new(pidfd, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut fds, None))?;
    Ok(())
}

/// Returns how a program ended: `exit status 1`.
pub(crate) fn end_text(end: Option<ProgramEnd>) -> String {
    match end {
        Some(ProgramEnd::Exited(code)) => format!("exit status {code}"),
        Some(ProgramEnd::Signaled(signal)) => format!("signal {signal}"),
        None => "nobody saw how".to_owned(),
    }
}

/// Returns how a child of ours ended.
pub(crate) fn end_of(status: ExitStatus) -> Option<ProgramEnd> {
    let exited = status.code().map(ProgramEnd::Exited);
    exited.or(status.signal().map(ProgramEnd::Signaled))
}

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    );
    Ok(pair?)
}
