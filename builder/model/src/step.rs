//! What a sandbox is asked to run and what it answers: values, the same for every engine.
//!
//! The contract that an engine keeps is DESIGN 5. Host paths appear here only as places that `build`
//! took from the store; nothing in an output depends on them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::path::SandboxPath;

/// The version of the step runner's contract (fixed paths, users, environment, limits' meaning).
/// It is part of every build key: raise it when a step could see a difference.
pub const STEP_RUNNER_VERSION: u32 = 1;

/// Who runs a step. Inside the sandbox there is exactly one user; outside it is whoever runs kiln.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepUser {
    /// uid and gid 1000, called `build`: prep, build, install, check.
    Build,
    /// uid and gid 0: packaging, which owns files as root. No capability in the host's namespaces.
    Root,
}

impl StepUser {
    /// Returns the uid and gid inside the sandbox.
    #[must_use]
    pub const fn id(self) -> u32 {
        match self {
            Self::Build => 1000,
            Self::Root => 0,
        }
    }

    /// Returns `HOME` inside the sandbox, an empty writable folder: `/build/home` or `/root`.
    #[must_use]
    pub const fn home(self) -> &'static str {
        match self {
            Self::Build => "/build/home",
            Self::Root => "/root",
        }
    }
}

/// Whether a step may change what is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountAccess {
    /// An input: writes fail.
    ReadOnly,
    /// The step's own scratch folder: kept after the step, for the next one or for collection.
    ReadWrite,
}

/// A host folder or regular file that a step sees at a fixed place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Place on the host.
    #[serde(with = "crate::host_path")]
    pub source: PathBuf,
    /// Place in the sandbox; missing parents are created in the step's own upper layer.
    pub target: SandboxPath,
    /// Whether the step may write.
    pub access: MountAccess,
}

/// What a step may use up. A step that passes a limit fails, alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Resident memory of all processes together, in bytes. Best effort: needs a cgroup.
    pub memory: u64,
    /// Processes and threads at one time. Best effort: needs a cgroup.
    pub processes: u64,
    /// Time from start to end.
    pub wall_time: Duration,
    /// Bytes of log kept; what comes after is counted and dropped, with a line that says so.
    pub log: u64,
    /// Bytes in the upper layer (`/tmp` and everything outside the mounts).
    pub scratch: u64,
    /// Bytes of disk that all writable mounts may take together. Watched, not enforced: a fast step is
    /// stopped a little later.
    pub disk: u64,
    /// Bytes that stay free on the file systems of the writable mounts, whoever fills them. Watched.
    pub reserve: u64,
}

/// One sealed run: everything that a process in it can see or use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedStep {
    /// Short name for logs and errors: `curl: build`.
    pub label: String,
    /// Read-only trees that make up the root file system, topmost first; at least one. A writable
    /// upper layer lies over them and is thrown away after the step.
    #[serde(with = "crate::host_path::list")]
    pub rootfs: Vec<PathBuf>,
    /// What else is visible. Order matters: a later mount may lie inside an earlier one.
    pub mounts: Vec<Mount>,
    /// Program and arguments; the program is an absolute path inside the sandbox.
    pub command: Vec<String>,
    /// The complete environment: nothing is added to it and nothing inherited.
    pub environment: BTreeMap<String, String>,
    /// Where the program starts.
    pub working_directory: SandboxPath,
    /// Who runs it.
    pub user: StepUser,
    /// What it may use up.
    pub limits: Limits,
}

/// How a sealed step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepEnd {
    /// The program exited by itself with this status; 0 is success.
    Exited(i32),
    /// A signal ended the program (`SIGKILL` = 9 may be the memory limit).
    Signaled(i32),
    /// The wall-time limit ended it.
    TimedOut,
    /// It was ended because its writable mounts took more than [`Limits::disk`].
    OverDisk,
    /// It was ended because less than [`Limits::reserve`] was free where it writes.
    DiskShort,
    /// The caller cancelled it.
    Cancelled,
}

/// Whether one means of isolation was found in effect, measured from inside or by the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measured {
    /// Seen in effect.
    Yes,
    /// Seen not to be in effect (allowed only for the best-effort ones).
    No,
}

/// The isolation that a step really had: what the run record states (DESIGN 5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Isolation {
    /// The engine's name: `embedded`.
    pub engine: String,
    /// Own network namespace in which only `lo` exists.
    pub network: Measured,
    /// Own mount namespace, root switched, old root gone.
    pub filesystem: Measured,
    /// Own pid, ipc, uts and cgroup namespaces.
    pub processes: Measured,
    /// No new privileges, bounding set empty or reduced, seccomp filter loaded.
    pub privileges: Measured,
    /// Own user namespace.
    pub user_namespace: Measured,
    /// cgroup limits for memory and processes.
    pub resource_limits: Measured,
}

/// Limits of a control group that a step ran into; a step may go on after that, and even succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReachedLimits {
    /// The kernel ended a process because there was no more memory for the step.
    pub memory: bool,
    /// The kernel refused the step another process or thread.
    pub processes: bool,
}

/// What a finished step tells, however it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepOutcome {
    /// How it ended.
    pub end: StepEnd,
    /// What isolation it had.
    pub isolation: Isolation,
    /// What the kernel refused it, or ended a process of it for.
    pub reached: ReachedLimits,
    /// Time from start to end. Goes into the run record only.
    pub elapsed: Duration,
    /// Greatest resident memory of one process, in bytes, where the kernel tells. Run record only.
    pub peak_memory: Option<u64>,
}
