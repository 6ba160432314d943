//! The process between the fork server and pid 1: it makes the namespaces, forks pid 1 and waits for it.
//!
//! It dies with the server, which ends with the engine, and pid 1 dies with it, so that `kill -9` of
//! kiln leaves nothing.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getppid, pidfd_open, set_parent_process_death_signal,
    setsid, waitpid,
};

use super::control::Control;
use super::seccomp::Filter;
use super::{Act, Never, call, give_up, leave, namespaces, reaper};
use crate::protocol::{Fault, Handover};

/// Runs the order that arrives over `control`; returns only when no pid 1 could be made.
pub(super) fn supervise(control: &Control, filter: &Act<Filter>) -> Act<Never> {
    die_with_parent()?;
    let handover = control.handover().map_err(|error| Fault::Crash {
        message: format!("the order of the engine is not readable: {error}"),
    })?;
    let parent = getppid().map(|pid| pid.as_raw_pid().unsigned_abs());
    if parent != Some(handover.server) {
        leave(super::GAVE_UP);
    }
    let _ = setsid();
    rustix::process::chdir("/").map_err(call("chdir to /"))?;
    join_cgroups(&handover);
    namespaces::enter_user(handover.step.user)?;
    namespaces::enter_others()?;
    die_with_parent()?;
    let life = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(call("pipe2"))?;
    let (life_end, life_start) = life;
    match fork().map_err(call("fork of pid 1"))? {
        None => {
            drop(life_start);
            born(control, &handover, filter, life_end)
        }
        Some(child) => {
            drop(life_end);
            announce(control, child)?;
            // The byte says that the engine can end pid 1; a closed pipe says that it never will.
            let _ = rustix::io::write(&life_start, b"1");
            release_log();
            wait(child);
            leave(0)
        }
    }
}

/// Waits until the engine can end this process, then becomes the sandbox's pid 1.
fn born(control: &Control, handover: &Handover, filter: &Act<Filter>, life: OwnedFd) -> ! {
    if die_with_parent().is_err() || !is_announced(&life) {
        leave(super::GAVE_UP);
    }
    let Err(fault) = reaper::run(control, handover, filter, life.as_fd());
    give_up(control, fault)
}

/// Asks the kernel to kill this process when the thread that made it ends.
pub(super) fn die_with_parent() -> Act<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(call("prctl(PR_SET_PDEATHSIG)"))
}

/// Reads the one byte that the supervisor writes once the engine holds pid 1's handle.
fn is_announced(life: &OwnedFd) -> bool {
    let mut byte = [0];
    rustix::io::retry_on_intr(|| rustix::io::read(life, &mut byte)) == Ok(1)
}

/// Joins the groups that the engine made. Best effort: the engine looks whether it worked.
fn join_cgroups(handover: &Handover) {
    for file in &handover.cgroups {
        let _ = fs_err::write(file, "0");
    }
}

/// Forks; `None` in the child.
#[expect(unsafe_code, reason = "fork has no safe form")]
pub(super) fn fork() -> rustix::io::Result<Option<Pid>> {
    // SAFETY: init has one thread, so the child may use everything that the parent could.
    let result = unsafe { nix::unistd::fork() };
    match result {
        Ok(nix::unistd::ForkResult::Child) => Ok(None),
        Ok(nix::unistd::ForkResult::Parent { child }) => Ok(Pid::from_raw(child.as_raw())),
        Err(errno) => Err(Errno::from_raw_os_error(errno as i32)),
    }
}

fn announce(control: &Control, child: Pid) -> Act<()> {
    let pidfd = pidfd_open(child, PidfdFlags::empty()).map_err(call("pidfd_open"))?;
    control
        .send_born(pidfd.as_fd())
        .map_err(|error: io::Error| Fault::Call {
            what: "handing pid 1 to the engine".to_owned(),
            errno: error.raw_os_error().unwrap_or(0),
        })
}

/// Lets go of the log, so that its end is the end of pid 1 and what runs below it.
fn release_log() {
    let _ = rustix::stdio::dup2_stdout(rustix::stdio::stdin());
    let _ = rustix::stdio::dup2_stderr(rustix::stdio::stdin());
}

/// Waits for pid 1; the kernel lets it end only after everything else in its namespace has.
fn wait(child: Pid) {
    let _ = rustix::io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()));
}
