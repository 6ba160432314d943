//! Watches one running sandbox: copies its log, hears its reports, ends it when it must end.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

use crate::error::SandboxError;
use crate::forks::{Forked, wait_for};
use crate::log::LimitedLog;
use crate::protocol::{Evidence, Fault, ProgramEnd, Report, receive_with, take_frame};

/// How much of the log is copied at once.
const PIECE: usize = 64 * 1024;

/// Why the engine ended a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    TimedOut,
    Cancelled,
    Disk,
}

/// What ends a step before its own end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stops<'a> {
    pub deadline: Option<Instant>,
    /// Readable when the caller cancels.
    pub cancelled: BorrowedFd<'a>,
    /// Readable when the step takes too much disk.
    pub disk: BorrowedFd<'a>,
}

impl Stops<'_> {
    /// Returns the time that is left.
    pub(crate) fn timeout(&self) -> Option<Timespec> {
        let left = self.deadline?.saturating_duration_since(Instant::now());
        Timespec::try_from(left).ok()
    }
}

/// What was heard of a sandbox when it is over.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub evidence: Option<Evidence>,
    pub fault: Option<Fault>,
    pub end: Option<(ProgramEnd, u64)>,
    pub cut: Option<Cut>,
    pub is_limited: bool,
}

/// The host's ends of a running sandbox.
pub(crate) struct Watch<'a> {
    control: OwnedFd,
    output: OwnedFd,
    log: LimitedLog<'a>,
    /// Bytes of a report that has not wholly arrived.
    pending: Vec<u8>,
    /// Handle of pid 1: what to kill, and what to wait for.
    pidfd: Option<OwnedFd>,
    is_output_open: bool,
    seen: Seen,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(control: OwnedFd, output: OwnedFd, log: LimitedLog<'a>) -> Self {
        Self {
            control,
            output,
            log,
            pending: Vec::new(),
            pidfd: None,
            is_output_open: true,
            seen: Seen::default(),
        }
    }

    /// Serves the sandbox until everybody has closed init's socket, which is the end of init.
    pub(crate) fn run(
        &mut self,
        init: &Forked,
        stops: Stops<'_>,
        is_limited: &dyn Fn() -> bool,
    ) -> Result<(), SandboxError> {
        let flags = fcntl_getfl(&self.output).map_err(polling)?;
        fcntl_setfl(&self.output, flags | OFlags::NONBLOCK).map_err(polling)?;
        let mut buffer = vec![0; PIECE];
        loop {
            let ready = self.wait(stops)?;
            if ready.is_over_time && self.seen.cut.is_none() {
                self.cut(init, Cut::TimedOut);
            }
            if ready.is_cancelled && self.seen.cut.is_none() {
                self.cut(init, Cut::Cancelled);
            }
            if ready.is_over_disk && self.seen.cut.is_none() {
                self.cut(init, Cut::Disk);
            }
            if ready.has_output {
                self.copy_output(&mut buffer)?;
            }
            if ready.has_report && !self.hear(is_limited)? {
                return Ok(());
            }
        }
    }

    /// Ends the sandbox now: pid 1 when it is known, else the process that would make it.
    pub(crate) fn kill(&self, init: &Forked) {
        match &self.pidfd {
            Some(pidfd) => {
                // It fails only when there is nothing left to kill.
                let _ = pidfd_send_signal(pidfd, Signal::KILL);
            }
            None => init.kill(),
        }
    }

    /// Ends the sandbox and hears it out, without copying more of its log.
    pub(crate) fn give_up(&mut self, init: &Forked) {
        self.kill(init);
        // A report may still bring the handle of pid 1, which is to be waited for.
        while matches!(self.hear(&|| false), Ok(true)) {
            self.kill(init);
        }
    }

    /// Waits until pid 1 is gone, before which the kernel has ended everything else in its
    /// namespace. It matters when the process that waits for it was killed itself.
    pub(crate) fn wait_for_everything(&self) -> io::Result<()> {
        self.pidfd.as_ref().map_or(Ok(()), wait_for)
    }

    /// Copies what is left of the log and returns all that was heard.
    pub(crate) fn finish(mut self) -> Result<Seen, SandboxError> {
        let mut buffer = vec![0; PIECE];
        while self.is_output_open && self.copy_output(&mut buffer)? {}
        let log = |source| SandboxError::Log { source };
        self.log.finish().map_err(log)?;
        Ok(self.seen)
    }

    fn cut(&mut self, init: &Forked, cut: Cut) {
        self.seen.cut = Some(cut);
        self.kill(init);
    }

    fn wait(&self, stops: Stops<'_>) -> Result<Ready, SandboxError> {
        let is_cut = self.seen.cut.is_some();
        let mut fds = vec![PollFd::new(&self.control, PollFlags::IN)];
        let output = self.is_output_open.then(|| {
            fds.push(PollFd::new(&self.output, PollFlags::IN));
            fds.len() - 1
        });
        let mut unless_cut = |handle| {
            (!is_cut).then(|| {
                fds.push(PollFd::from_borrowed_fd(handle, PollFlags::IN));
                fds.len() - 1
            })
        };
        let cancel = unless_cut(stops.cancelled);
        let disk = unless_cut(stops.disk);
        let deadline = stops.deadline;
        let timeout = stops.timeout().filter(|_| !is_cut);
        rustix::io::retry_on_intr(|| poll(&mut fds, timeout.as_ref())).map_err(polling)?;
        let is_ready = |index: usize| !fds[index].revents().is_empty();
        Ok(Ready {
            has_report: is_ready(0),
            has_output: output.is_some_and(is_ready),
            is_cancelled: cancel.is_some_and(is_ready),
            is_over_disk: disk.is_some_and(is_ready),
            is_over_time: !is_cut && deadline.is_some_and(|deadline| Instant::now() >= deadline),
        })
    }

    /// Copies one piece; returns whether there may be more at once.
    fn copy_output(&mut self, buffer: &mut [u8]) -> Result<bool, SandboxError> {
        match rustix::io::read(&self.output, &mut *buffer) {
            // A pseudoterminal that nobody holds any more answers with an error instead.
            Ok(0) | Err(Errno::IO) => self.is_output_open = false,
            Ok(count) => {
                let kept = self.log.append(&buffer[..count]);
                kept.map_err(|source| SandboxError::Log { source })?;
                return Ok(true);
            }
            Err(Errno::INTR) => return Ok(true),
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(polling(errno)),
        }
        Ok(false)
    }

    /// Takes what init says; returns whether it may say more.
    fn hear(&mut self, is_limited: &dyn Fn() -> bool) -> Result<bool, SandboxError> {
        let mut bytes = [0; 4096];
        let (received, handles) = match receive_with(self.control.as_fd(), &mut bytes) {
            Ok(received) => (received.length, received.handles),
            Err(Errno::INTR) => return Ok(true),
            Err(Errno::CONNRESET) => (0, Vec::new()),
            Err(errno) => return Err(polling(errno)),
        };
        self.pidfd = handles.into_iter().last().or(self.pidfd.take());
        self.pending.extend_from_slice(&bytes[..received]);
        let unreadable = |source| SandboxError::Engine {
            act: "reading what init reports",
            source,
        };
        while let Some(report) = take_frame(&mut self.pending).map_err(unreadable)? {
            match report {
                Report::Born => {}
                Report::Sealed(evidence) => {
                    self.seen.evidence = Some(evidence);
                    self.seen.is_limited = is_limited();
                }
                Report::Failed(fault) => self.seen.fault = Some(fault),
                Report::Ended { end, peak_memory } => self.seen.end = Some((end, peak_memory)),
            }
        }
        Ok(received > 0)
    }
}

/// What happened while waiting.
struct Ready {
    has_report: bool,
    has_output: bool,
    is_cancelled: bool,
    is_over_disk: bool,
    is_over_time: bool,
}

fn polling(errno: Errno) -> SandboxError {
    SandboxError::Engine {
        act: "waiting for a sandbox",
        source: errno.into(),
    }
}
