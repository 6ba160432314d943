//! A terminal for a step that a person works in.
//!
//! The step never holds the person's own terminal, which it could type into or go on reading from. It
//! gets the far end of a pseudoterminal; a thread carries what is typed and the window's size to the near
//! end, and the engine copies what comes back as it copies a log.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{
    InputModes, OptionalActions, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

/// How often the window is asked for its size: changes are seen without a signal handler.
const LOOK_AT_SIZE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 200_000_000,
};

/// What a terminal sends for "nothing more will be typed" (`VEOF`, Ctrl-D).
const END_OF_INPUT: u8 = 4;

/// Makes a pseudoterminal of the size of `person`; returns its near and its far end.
pub(crate) fn pseudoterminal(person: BorrowedFd<'_>) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near = openpt(flags)?;
    grantpt(&near)?;
    unlockpt(&near)?;
    let far = ioctl_tiocgptpeer(&near, flags)?;
    let mut modes = tcgetattr(&far)?;
    modes.input_modes |= InputModes::IUTF8;
    tcsetattr(&far, OptionalActions::Now, &modes)?;
    if let Ok(size) = tcgetwinsize(person) {
        tcsetwinsize(&near, size)?;
    }
    Ok((near, far))
}

/// Carries what a person types to a step, until it is dropped.
#[derive(Debug)]
pub(crate) struct Typist {
    /// The thread ends when the other end of this pipe is closed.
    stop: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Typist {
    /// Starts to read `person`, which the caller has put into raw mode, for the near end of a
    /// pseudoterminal.
    pub(crate) fn start(person: BorrowedFd<'_>, near: BorrowedFd<'_>) -> io::Result<Self> {
        let person = person.try_clone_to_owned()?;
        let near = near.try_clone_to_owned()?;
        let (stopped, stop) = pipe_with(PipeFlags::CLOEXEC)?;
        let thread = std::thread::Builder::new()
            .name("kiln-typist".to_owned())
            .spawn(move || carry(&person, &near, &stopped))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Carries bytes and sizes until told to stop. A step that is gone needs no more of them.
fn carry(person: &OwnedFd, near: &OwnedFd, stopped: &OwnedFd) {
    let mut size = tcgetwinsize(person).ok();
    let mut is_open = true;
    let mut buffer = [0; 4096];
    loop {
        let mut fds = vec![PollFd::new(stopped, PollFlags::IN)];
        if is_open {
            fds.push(PollFd::new(person, PollFlags::IN));
        }
        match poll(&mut fds, Some(&LOOK_AT_SIZE)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        let is_ready = |index: usize| fds.get(index).is_some_and(|fd| !fd.revents().is_empty());
        if is_ready(0) {
            return;
        }
        if is_ready(1) {
            match rustix::io::read(person, &mut buffer) {
                Ok(0) | Err(Errno::IO) => {
                    is_open = false;
                    if !write_all(near, &[END_OF_INPUT], stopped) {
                        return;
                    }
                }
                Ok(count) if !write_all(near, &buffer[..count], stopped) => return,
                Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => return,
            }
        }
        follow_size(person, near, &mut size);
    }
}

fn follow_size(person: &OwnedFd, near: &OwnedFd, known: &mut Option<Winsize>) {
    let now = tcgetwinsize(person).ok();
    let parts = |size: &Winsize| (size.ws_row, size.ws_col);
    if now.as_ref().map(parts) != known.as_ref().map(parts) {
        if let Some(size) = now {
            let _ = tcsetwinsize(near, size);
        }
        *known = now;
    }
}

/// Writes all bytes to an end that does not block; `false` when nobody takes them any more.
fn write_all(near: &OwnedFd, mut rest: &[u8], stopped: &OwnedFd) -> bool {
    while !rest.is_empty() {
        match rustix::io::write(near.as_fd(), rest) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                let mut fds = [
                    PollFd::new(stopped, PollFlags::IN),
                    PollFd::new(near, PollFlags::OUT),
                ];
                if poll(&mut fds, None).is_err() || !fds[0].revents().is_empty() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
    true
}
