//! The fork server's client: init is started once for an engine, and forked for each sandbox.
//!
//! Starting a program of kiln's size takes longer than all that init does. The server has one thread
//! and does nothing but fork, so that each init begins as the server was: freshly executed, without
//! a descriptor or the state of another.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use kiln_model::StepEnd;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType, shutdown, socketpair};
use rustix::process::{Signal, pidfd_send_signal};

use crate::engine::InitProgram;
use crate::protocol::{FORK, receive_with, send_with};
use crate::watch::Stops;

/// The lowest answer that is one: the kernel's last error number, negative.
const FIRST_ANSWER: i32 = -4095;
/// How often it is looked whether a program that is no server has ended, before it is killed.
const LOOKS: u32 = 100;
/// The time between looks.
const LOOK: Duration = Duration::from_millis(10);

/// A running fork server. It ends, and every init of it, when its socket is closed: with this value,
/// or with this process whatever that dies of.
#[derive(Debug)]
pub(crate) struct ForkServer {
    child: Child,
    socket: OwnedFd,
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
    /// It could not be forked; the server goes on.
    Refused(io::Error),
    /// The server has ended, or is none.
    Ended,
    /// The step was to end, in this way, before the server answered.
    Over(StepEnd),
}

impl ForkServer {
    /// Starts `init` with an empty environment. What it says until it serves goes to `output`.
    #[expect(clippy::disallowed_methods, reason = "sandbox is the room that spawns")]
    pub(crate) fn start(init: &InitProgram, output: &OwnedFd) -> io::Result<Self> {
        let (socket, theirs) = pair()?;
        let child = Command::new(&init.program)
            .args(&init.arguments)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::from(output.try_clone()?))
            .stderr(Stdio::from(output.try_clone()?))
            .spawn()?;
        Ok(Self { child, socket })
    }

    /// Asks for an init whose standard output and error are `output`; returns it with the socket
    /// that it listens to.
    pub(crate) fn fork(
        &self,
        output: &OwnedFd,
        stops: Stops<'_>,
    ) -> Result<(Forked, OwnedFd), NoInit> {
        let socket = &self.socket;
        let (control, theirs) = pair().map_err(NoInit::Refused)?;
        let sent = send_with(socket.as_fd(), &[FORK], &[theirs.as_fd(), output.as_fd()]);
        drop(theirs);
        match sent {
            Ok(()) => {}
            Err(error) if is_gone(&error) => return Err(NoInit::Ended),
            Err(error) => return Err(NoInit::Refused(error)),
        }
        wait_for_answer(socket, stops)?;
        let mut answer = [0; 4];
        let receive = || receive_with(socket.as_fd(), &mut answer);
        let received = rustix::io::retry_on_intr(receive).map_err(|_| NoInit::Ended)?;
        if received.length != answer.len() {
            return Err(NoInit::Ended);
        }
        let number = i32::from_le_bytes(answer);
        match (number, received.handles.into_iter().next()) {
            (1.., Some(pidfd)) => Ok((
                Forked {
                    process: number.unsigned_abs(),
                    server: self.child.id(),
                    pidfd,
                },
                control,
            )),
            (1.., None) if received.has_lost_handles => Err(refused(Errno::MFILE.raw_os_error())),
            (FIRST_ANSWER..=-1, None) => Err(refused(-number)),
            // It is no server that says this.
            _ => Err(NoInit::Ended),
        }
    }

    /// Ends the server and returns how it ended.
    pub(crate) fn end(mut self) -> io::Result<ExitStatus> {
        // It fails when nobody is at the other end any more.
        let _ = shutdown(&self.socket, Shutdown::Both);
        // A program that is no server may not look at its standard input.
        for _ in 0..LOOKS {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(LOOK);
        }
        self.child.kill()?;
        self.child.wait()
    }
}

/// Waits until the server says something, or the step is to end before it began.
fn wait_for_answer(socket: &OwnedFd, stops: Stops<'_>) -> Result<(), NoInit> {
    let mut fds = [
        PollFd::new(socket, PollFlags::IN),
        PollFd::from_borrowed_fd(stops.cancelled, PollFlags::IN),
    ];
    rustix::io::retry_on_intr(|| poll(&mut fds, stops.timeout().as_ref()))
        .map_err(|errno| refused(errno.raw_os_error()))?;
    let [has_answer, is_cancelled] = fds.map(|fd| !fd.revents().is_empty());
    match (has_answer, is_cancelled) {
        (true, _) => Ok(()),
        (false, true) => Err(NoInit::Over(StepEnd::Cancelled)),
        (false, false) => Err(NoInit::Over(StepEnd::TimedOut)),
    }
}

fn refused(errno: i32) -> NoInit {
    NoInit::Refused(io::Error::from_raw_os_error(errno))
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}

impl Drop for ForkServer {
    fn drop(&mut self) {
        // No step of it runs any more, or it does not answer; one that is stopped would not end by itself.
        let _ = self.child.kill();
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

fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let pair = socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    );
    Ok(pair?)
}
