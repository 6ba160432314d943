//! Runs sealed steps: the contract, and the engine that needs no daemon.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kiln_model::{
    Isolation, Limits, Measured, ReachedLimits, SealedStep, StepEnd, StepOutcome, StepUser,
};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::cancel::Cancel;
use crate::cgroup::Cgroup;
use crate::diagnose::{Host, diagnose};
use crate::disk::{DiskWatch, Excess};
use crate::error::SandboxError;
use crate::forks::{ForkServer, Forked, NoInit};
use crate::host::{kernel, setting};
use crate::init::namespace_links;
use crate::log::LimitedLog;
use crate::protocol::{Evidence, Handover, ProgramEnd, Purpose, frame, send_all};
use crate::terminal::{Typist, pseudoterminal};
use crate::watch::{Cut, Seen, Stops, Watch};

/// The most trees that the kernel merges in one overlay.
const MOST_LAYERS: usize = 500;

/// Room for the sandbox's own files; to the kernel, a tmpfs of 0 bytes has no limit at all.
const LEAST_SCRATCH: u64 = 1 << 20;

/// What keeps the contract of DESIGN 5; the same step gives the same bytes on every engine.
pub trait Engine: Send + Sync {
    /// Returns the engine's name, as it is written into run records: `embedded`.
    fn name(&self) -> &'static str;

    /// Makes a sandbox, runs nothing in it and returns the isolation that it had.
    ///
    /// # Errors
    /// The [`SandboxError`] that a step would meet on this host.
    fn probe(&self) -> Result<Isolation, SandboxError>;

    /// Runs a step and returns how it ended, with everything that it started dead.
    ///
    /// Standard output and error of the step go to `log`, in the order in which they were written,
    /// up to the step's limit. The step runs until it ends, its time is up or `cancel` is raised.
    ///
    /// # Errors
    /// A [`SandboxError`] when the step was not run, or its log could not be kept.
    fn run(
        &self,
        step: &SealedStep,
        log: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<StepOutcome, SandboxError>;

    /// Runs a step on a terminal of its own, for a person to work in.
    ///
    /// What is typed into `person`, a terminal in raw mode, reaches the step, and so does the size of
    /// its window; what the step writes goes to `screen`. Everything else is as in [`Engine::run`].
    ///
    /// # Errors
    /// As [`Engine::run`], and when the system has no pseudoterminal.
    fn run_on_terminal(
        &self,
        step: &SealedStep,
        person: BorrowedFd<'_>,
        screen: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<StepOutcome, SandboxError>;
}

/// The program that becomes a sandbox: one that calls [`crate::sandbox_init`] first when it is
/// started with these arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitProgram {
    /// Its place on the host; `/proc/self/exe` is the caller itself.
    pub program: PathBuf,
    /// Its arguments: `["sandbox-init"]`.
    pub arguments: Vec<String>,
}

/// Runs steps in namespaces of its own making: no daemon, no setuid program, the same as root and as
/// anybody else.
///
/// Clones share one fork server, which is started for the first step and ends with the last clone.
#[derive(Debug, Clone)]
pub struct EmbeddedEngine {
    init: InitProgram,
    server: Arc<Mutex<Option<ForkServer>>>,
    /// `personality(2)` of every step; 0 is the usual one.
    personality: u32,
}

impl EmbeddedEngine {
    /// Returns an engine that starts `init` when it is first needed.
    #[must_use]
    pub fn new(init: InitProgram) -> Self {
        Self {
            init,
            server: Arc::default(),
            personality: 0,
        }
    }

    /// Gives every step another `personality(2)`, as verification does.
    pub(crate) fn with_personality(self, personality: u32) -> Self {
        Self {
            personality,
            ..self
        }
    }

    /// Does the same as [`Engine::probe`] with `tree` below the sandbox's root, as a root file
    /// system of the store is: whether this host's overlayfs takes the file system that it is on.
    ///
    /// # Errors
    /// The [`SandboxError`] that a step would meet there.
    pub fn probe_over(&self, tree: &Path) -> Result<Isolation, SandboxError> {
        self.probe_with(vec![tree.to_owned()])
    }

    fn probe_with(&self, rootfs: Vec<PathBuf>) -> Result<Isolation, SandboxError> {
        let step = SealedStep {
            rootfs,
            ..probe_step()
        };
        let mut nothing = io::sink();
        let outcome = self.start(
            &step,
            Purpose::Probe,
            Ends::pipe()?,
            &mut nothing,
            &Cancel::new(),
        )?;
        Ok(outcome.isolation)
    }
}

impl Engine for EmbeddedEngine {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn probe(&self) -> Result<Isolation, SandboxError> {
        self.probe_with(Vec::new())
    }

    fn run(
        &self,
        step: &SealedStep,
        log: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<StepOutcome, SandboxError> {
        check(step)?;
        self.start(step, Purpose::Run, Ends::pipe()?, log, cancel)
    }

    fn run_on_terminal(
        &self,
        step: &SealedStep,
        person: BorrowedFd<'_>,
        screen: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<StepOutcome, SandboxError> {
        check(step)?;
        let ends = Ends::pseudoterminal(person)?;
        let _typist =
            Typist::start(person, ends.ours.as_fd()).map_err(failed("starting to read input"))?;
        self.start(step, Purpose::Terminal, ends, screen, cancel)
    }
}

/// Both ends of what carries a step's output to the engine.
struct Ends {
    ours: OwnedFd,
    theirs: OwnedFd,
}

impl Ends {
    fn pipe() -> Result<Self, SandboxError> {
        let (ours, theirs) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|errno| failed("making a pipe")(errno.into()))?;
        Ok(Self { ours, theirs })
    }

    fn pseudoterminal(person: BorrowedFd<'_>) -> Result<Self, SandboxError> {
        let (ours, theirs) = pseudoterminal(person).map_err(failed("making a pseudoterminal"))?;
        Ok(Self { ours, theirs })
    }
}

impl EmbeddedEngine {
    fn start(
        &self,
        step: &SealedStep,
        purpose: Purpose,
        ends: Ends,
        log: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<StepOutcome, SandboxError> {
        let began = Instant::now();
        let cancelled = cancel
            .watch()
            .map_err(failed("making an event descriptor"))?;
        let namespaces = namespace_links().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SandboxError::ProcMissing,
            _ => failed("reading /proc/self/ns")(error),
        })?;
        let cgroup = Cgroup::create(&step.limits);
        let Ends {
            ours: output,
            theirs,
        } = ends;
        let disk = DiskWatch::start(step).map_err(failed("starting to watch the disk"))?;
        let stops = Stops {
            deadline: began.checked_add(step.limits.wall_time),
            cancelled: cancelled.as_fd(),
            disk: disk.as_fd(),
        };
        let (init, control) = match self.fork(&theirs, stops)? {
            Ok(forked) => forked,
            Err(end) => return Ok(self.never_begun(end, began)),
        };
        drop(theirs);
        let handover = Handover {
            server: init.server,
            namespaces,
            cgroups: cgroup.as_ref().map(Cgroup::joins).unwrap_or_default(),
            step: step.clone(),
            personality: self.personality,
            purpose,
        };
        let order = frame(&handover).map_err(|error| SandboxError::InvalidStep {
            label: step.label.clone(),
            reason: format!("it can not be handed over: {error}"),
        })?;
        // An init that is gone already has said why.
        let _ = send_all(control.as_fd(), &order);
        let mut watch = Watch::new(control, output, LimitedLog::new(log, step.limits.log));
        let is_limited = || {
            cgroup
                .as_ref()
                .is_some_and(|group| group.holds(init.process))
        };
        let watched = watch.run(&init, stops, &is_limited);
        if watched.is_err() {
            watch.give_up(&init);
        }
        init.wait().map_err(failed("waiting for init"))?;
        watch
            .wait_for_everything()
            .map_err(failed("waiting for pid 1"))?;
        watched?;
        let seen = watch.finish()?;
        if let Some(fault) = seen.fault {
            return Err(diagnose(fault, &this_host()));
        }
        let Some(end) = step_end(&seen, &disk, purpose) else {
            return Err(self.ended_silently("killed, most likely"));
        };
        Ok(StepOutcome {
            end,
            isolation: self.isolation(seen.evidence, seen.is_limited),
            reached: cgroup.as_ref().map(Cgroup::reached).unwrap_or_default(),
            elapsed: began.elapsed(),
            peak_memory: seen.end.map(|(_, peak)| peak),
        })
    }

    /// Returns an init of its own for one step, and the socket that it listens to; or how the step
    /// ended before there was one.
    fn fork(
        &self,
        output: &OwnedFd,
        stops: Stops<'_>,
    ) -> Result<Result<(Forked, OwnedFd), StepEnd>, SandboxError> {
        let no_start = |source| SandboxError::Start {
            program: self.init.program.clone(),
            source,
        };
        let mut place = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = place.is_none();
        let server = match place.take() {
            Some(server) => server,
            None => ForkServer::start(&self.init, output).map_err(no_start)?,
        };
        match server.fork(output, stops) {
            Ok(forked) => {
                *place = Some(server);
                Ok(Ok(forked))
            }
            Err(NoInit::Refused(source)) => {
                *place = Some(server);
                Err(no_start(source))
            }
            Err(NoInit::Over(end)) => Ok(Err(end)),
            Err(NoInit::Ended) if is_new => {
                let status = server.end().map_err(failed("waiting for init"))?;
                Err(self.ended_silently(&end_text(status)))
            }
            // It was killed since, for want of memory most likely: another takes its place.
            Err(NoInit::Ended) => {
                drop((server, place));
                self.fork(output, stops)
            }
        }
    }

    /// Returns the outcome of a step that was ended before there was a sandbox.
    fn never_begun(&self, end: StepEnd, began: Instant) -> StepOutcome {
        StepOutcome {
            end,
            isolation: self.isolation(None, false),
            reached: ReachedLimits::default(),
            elapsed: began.elapsed(),
            peak_memory: None,
        }
    }

    fn isolation(&self, evidence: Option<Evidence>, is_limited: bool) -> Isolation {
        let no = Evidence {
            network: Measured::No,
            filesystem: Measured::No,
            processes: Measured::No,
            privileges: Measured::No,
            user_namespace: Measured::No,
        };
        // A step that was ended before it was sealed never ran.
        let seen = evidence.unwrap_or(no);
        Isolation {
            engine: self.name().to_owned(),
            network: seen.network,
            filesystem: seen.filesystem,
            processes: seen.processes,
            privileges: seen.privileges,
            user_namespace: seen.user_namespace,
            resource_limits: if is_limited {
                Measured::Yes
            } else {
                Measured::No
            },
        }
    }

    fn ended_silently(&self, status: &str) -> SandboxError {
        SandboxError::InitEnded {
            program: self.init.program.clone(),
            status: status.to_owned(),
        }
    }
}

/// Returns how a program ended: `exit status 1`.
fn end_text(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

/// Returns how a step ended, or `None` when it was never begun and nobody asked for that.
fn step_end(seen: &Seen, disk: &DiskWatch, purpose: Purpose) -> Option<StepEnd> {
    Some(match (seen.end, seen.cut) {
        (Some((ProgramEnd::Exited(status), _)), _) => StepEnd::Exited(status),
        (Some((ProgramEnd::Signaled(signal), _)), _) => StepEnd::Signaled(signal),
        (None, Some(Cut::TimedOut)) => StepEnd::TimedOut,
        (None, Some(Cut::Cancelled)) => StepEnd::Cancelled,
        (None, Some(Cut::Disk)) => match disk.excess() {
            Some(Excess::Over) => StepEnd::OverDisk,
            Some(Excess::Short) | None => StepEnd::DiskShort,
        },
        (None, None) if seen.evidence.is_some() && purpose == Purpose::Probe => StepEnd::Exited(0),
        // The kernel ended pid 1 itself: out of memory.
        (None, None) if seen.evidence.is_some() => StepEnd::Signaled(nix::libc::SIGKILL),
        (None, None) => return None,
    })
}

/// Refuses what the kernel or init would refuse less clearly.
fn check(step: &SealedStep) -> Result<(), SandboxError> {
    let invalid = |reason: String| {
        Err(SandboxError::InvalidStep {
            label: step.label.clone(),
            reason,
        })
    };
    if step.rootfs.is_empty() {
        return invalid("it has no root file system tree".to_owned());
    }
    if step.rootfs.len() > MOST_LAYERS {
        return invalid(format!(
            "it has {} root file system trees, and the kernel merges at most {MOST_LAYERS}",
            step.rootfs.len()
        ));
    }
    let mut trees: Vec<&PathBuf> = step.rootfs.iter().collect();
    trees.sort();
    if let Some(pair) = trees.windows(2).find(|pair| pair[0] == pair[1]) {
        return invalid(format!(
            "its root file system tree `{}` is listed twice",
            pair[0].display()
        ));
    }
    if step.limits.scratch < LEAST_SCRATCH {
        return invalid(format!(
            "its scratch limit is {} bytes, and {LEAST_SCRATCH} are the least",
            step.limits.scratch
        ));
    }
    match step.command.first() {
        None => return invalid("it has no command".to_owned()),
        Some(program) if !program.starts_with('/') => {
            return invalid(format!("its program `{program}` is not an absolute path"));
        }
        Some(_) => {}
    }
    if let Some(argument) = step.command.iter().find(|argument| argument.contains('\0')) {
        return invalid(format!("its argument {argument:?} holds a NUL"));
    }
    for (name, value) in &step.environment {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return invalid(format!(
                "its variable {name:?} can not be in an environment"
            ));
        }
    }
    for mount in &step.mounts {
        let reserved = ["/proc", "/sys", "/dev"].into_iter().find(|folder| {
            let target = mount.target.as_str();
            target == *folder || target.starts_with(&format!("{folder}/"))
        });
        if let Some(folder) = reserved {
            return invalid(format!(
                "its mount target `{}` lies in `{folder}`, which the sandbox makes itself",
                mount.target
            ));
        }
    }
    Ok(())
}

fn failed(act: &'static str) -> impl FnOnce(io::Error) -> SandboxError {
    move |source| SandboxError::Engine { act, source }
}

/// A step whose root is an empty folder and whose command is never reached.
fn probe_step() -> SealedStep {
    SealedStep {
        label: "probe".to_owned(),
        rootfs: Vec::new(),
        mounts: Vec::new(),
        command: Vec::new(),
        environment: BTreeMap::new(),
        working_directory: "/build".parse().expect("an absolute, normal path"),
        user: StepUser::Build,
        limits: Limits {
            memory: 1 << 30,
            processes: 64,
            wall_time: Duration::from_secs(30),
            log: 1 << 16,
            scratch: 1 << 24,
            disk: 1 << 40,
            reserve: 0,
        },
    }
}

fn this_host() -> Host<'static> {
    Host {
        setting: &setting,
        kernel: kernel(),
        is_unprivileged: !rustix::process::geteuid().is_root(),
    }
}
