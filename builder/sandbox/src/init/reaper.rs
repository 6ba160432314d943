//! Pid 1 of a sandbox: seals it, starts the step, and kills and reaps everything when it ends.

use std::ffi::CString;
use std::os::fd::BorrowedFd;

use kiln_model::SealedStep;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::Signal;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, wait};

use super::control::Control;
use super::seccomp::Filter;
use super::{Act, Never, call, identity, leave, limits, measure, network, privileges};
use super::{give_up, root, supervisor};
use crate::protocol::{Fault, Handover, ProgramEnd, Purpose, Report};

/// Seals this process, runs the step and ends; returns only when the step could not be started.
pub(super) fn run(
    control: &Control,
    handover: &Handover,
    filter: &Act<Filter>,
    life: BorrowedFd<'_>,
) -> Act<Never> {
    // `end_everything` kills all that this process can see: never outside a pid namespace.
    if !rustix::process::getpid().is_init() {
        return Err(Fault::NotSealed {
            what: "processes".to_owned(),
            found: "the reaper is not pid 1".to_owned(),
        });
    }
    let mounted = seal(handover, filter)?;
    supervisor::die_with_parent()?;
    if is_orphan(life) {
        leave(super::GAVE_UP);
    }
    control.send(&Report::Sealed(measure::measure(handover, &mounted)?));
    if handover.purpose == Purpose::Probe {
        leave(0);
    }
    let child = start(control, handover)?;
    let end = wait_for(child)?;
    let report = Report::Ended {
        end,
        peak_memory: end_everything(),
    };
    control.send(&report);
    leave(0)
}

/// Closes the sandbox around this process; returns the places of all mounts.
fn seal(handover: &Handover, filter: &Act<Filter>) -> Act<Vec<String>> {
    limits::reset_process(handover.personality);
    let mounted = root::enter(&handover.step, handover.purpose)?;
    network::bring_loopback_up()?;
    rustix::system::sethostname(identity::HOST_NAME.as_bytes()).map_err(call("sethostname"))?;
    rustix::system::setdomainname(identity::DOMAIN_NAME.as_bytes())
        .map_err(call("setdomainname"))?;
    limits::set_resource_limits()?;
    privileges::give_up()?;
    filter.as_ref().map_err(Clone::clone)?.load()?;
    Ok(mounted)
}

/// Returns whether the supervisor ended before the death signal was asked for again.
fn is_orphan(life: BorrowedFd<'_>) -> bool {
    let mut pipe = [PollFd::new(&life, PollFlags::empty())];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut pipe, Some(&now)).is_ok_and(|count| count > 0)
}

/// Forks and executes the step's program.
fn start(control: &Control, handover: &Handover) -> Act<Pid> {
    if let Some(child) = supervisor::fork().map_err(call("fork of the step"))? {
        return Ok(child);
    }
    let Err(fault) = become_step(&handover.step, handover.purpose);
    give_up(control, fault)
}

fn become_step(step: &SealedStep, purpose: Purpose) -> Act<Never> {
    rustix::process::setsid().map_err(call("setsid"))?;
    if purpose == Purpose::Terminal {
        let terminal = rustix::stdio::stdout();
        rustix::process::ioctl_tiocsctty(terminal).map_err(call("taking the terminal"))?;
        rustix::stdio::dup2_stdin(terminal).map_err(call("dup2"))?;
    } else {
        let null = open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
            .map_err(call("opening /dev/null"))?;
        rustix::stdio::dup2_stdin(null).map_err(call("dup2"))?;
    }
    let folder = step.working_directory.as_str();
    rustix::process::chdir(folder).map_err(|errno| Fault::WorkingDirectory {
        path: folder.to_owned(),
        errno: errno.raw_os_error(),
    })?;
    let program = step.command.first().cloned().unwrap_or_default();
    let arguments = step.command.iter().map(|argument| text(argument));
    let arguments = arguments.collect::<Act<Vec<_>>>()?;
    let environment = step.environment.iter();
    let environment = environment
        .map(|(name, value)| text(&format!("{name}={value}")))
        .collect::<Act<Vec<_>>>()?;
    let path = text(&program)?;
    limits::close_on_exec()?;
    let Err(errno) = nix::unistd::execve(&path, &arguments, &environment);
    Err(Fault::Program {
        path: program,
        errno: errno as i32,
    })
}

/// The engine has refused NUL bytes already.
fn text(value: &str) -> Act<CString> {
    CString::new(value).map_err(|_| Fault::Crash {
        message: format!("`{value}` holds a NUL"),
    })
}

/// Reaps whatever ends until the step's own process does.
fn wait_for(child: Pid) -> Act<ProgramEnd> {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child => {
                if let Some(code) = status.exit_status() {
                    return Ok(ProgramEnd::Exited(code));
                }
                if let Some(signal) = status.terminating_signal() {
                    return Ok(ProgramEnd::Signaled(signal));
                }
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(call("waiting for the step")(errno)),
        }
    }
}

/// Kills and reaps every other process of the sandbox; returns the greatest resident size of one
/// process, in bytes.
fn end_everything() -> u64 {
    loop {
        // Nothing left to kill is what we want.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(-1), Signal::SIGKILL);
        if wait(WaitOptions::empty()).is_err_and(|errno| errno == Errno::CHILD) {
            break;
        }
    }
    let kibibytes = getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| usage.max_rss());
    u64::try_from(kibibytes).unwrap_or(0) * 1024
}
