//! Why a step did not run: each cause a caller or a user may treat differently.

use std::io;
use std::path::PathBuf;

use crate::host::is_kernel_new_enough;

/// Says why a step could not be run sealed. A step that ran and failed is not an error.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The order itself can not be carried out.
    #[error("step `{label}` can not be run: {reason}")]
    InvalidStep {
        /// The step's label.
        label: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The init program did not start.
    #[error("can not start the sandbox's init program `{}`", program.display())]
    Start {
        /// The init program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The init program ended without a word.
    #[error(
        "the sandbox's init program `{}` ended ({status}) before the step began; does it call `sandbox_init` first?", program.display()
    )]
    InitEnded {
        /// The init program.
        program: PathBuf,
        /// How it ended.
        status: String,
    },
    /// The init program has a bug.
    #[error("the sandbox's init program failed: {message}")]
    InitCrashed {
        /// Its own words.
        message: String,
    },
    /// The engine itself failed at a call that normally can not fail.
    #[error("can not run a sandbox: {act}")]
    Engine {
        /// What was tried.
        act: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no `/proc` to see namespaces and processes in.
    #[error(
        "/proc is not mounted on this host, without which kiln can not seal a step; mount it with `mount -t proc proc /proc` as root"
    )]
    ProcMissing,
    /// The caller's log does not take more.
    #[error("can not write the step's log")]
    Log {
        /// Why.
        source: io::Error,
    },

    /// The kernel was built without user namespaces.
    #[error(
        "this kernel has no user namespaces (CONFIG_USER_NS), without which kiln can not seal a step"
    )]
    UserNamespacesMissing,
    /// A setting of the host forbids a namespace.
    #[error(
        "`{setting} = {value}` forbids a new {namespace} namespace, without which kiln can not seal a step; allow it with `sysctl -w {setting}={remedy}` as root"
    )]
    ForbiddenBySetting {
        /// The kind of namespace.
        namespace: String,
        /// The name of the setting.
        setting: String,
        /// Its value.
        value: String,
        /// A value that allows it.
        remedy: &'static str,
    },
    /// There may be no more namespaces, here or in something around us.
    #[error(
        "the limit of {namespace} namespaces is reached (`{setting} = {value}` here; a container around it may have less): end something that holds them, or raise the limit"
    )]
    NamespacesExhausted {
        /// The kind of namespace.
        namespace: String,
        /// The name of the setting.
        setting: String,
        /// Its value where kiln runs.
        value: String,
    },
    /// AppArmor takes the privileges of unprivileged user namespaces away.
    #[error(
        "AppArmor takes all rights from user namespaces here (`kernel.apparmor_restrict_unprivileged_userns = 1`; it refused {act}); give kiln an AppArmor profile with `userns,`, or run `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` as root"
    )]
    AppArmor {
        /// What was refused.
        act: String,
    },
    /// Something refuses a namespace without saying what it is.
    #[error(
        "the host refuses a new {namespace} namespace ({reason}); in a container, allow it with `--security-opt seccomp=unconfined --security-opt systempaths=unconfined`; in a chroot, leave it"
    )]
    NamespaceRefused {
        /// The kind of namespace.
        namespace: String,
        /// The kernel's answer.
        reason: io::Error,
    },
    /// The user of the caller can not be mapped.
    #[error("the host refuses the user map of a new namespace (`{file}`): {reason}")]
    UserMapRefused {
        /// The file.
        file: String,
        /// The kernel's answer.
        reason: io::Error,
    },
    /// `/proc` is partly hidden, as in a container, so a new one may not be mounted.
    #[error(
        "the host refuses a new /proc ({reason}), because parts of its own are hidden; in a container, start that with `--security-opt systempaths=unconfined` or mount a second /proc that is whole"
    )]
    ProcRefused {
        /// The kernel's answer.
        reason: io::Error,
    },
    /// The kernel can not mount an overlay in a user namespace.
    #[error(
        "kernel {kernel} can not mount an overlay of {} in a user namespace ({reason}); {}", counted(*.layers), overlay_remedy(.kernel, .reason)
    )]
    OverlayRefused {
        /// The kernel's release.
        kernel: String,
        /// How many trees were to be merged.
        layers: usize,
        /// The kernel's answer.
        reason: io::Error,
    },
    /// A system call is missing.
    #[error("kernel {kernel} lacks what a sandbox needs ({act}); Linux 5.12 or newer is needed")]
    KernelTooOld {
        /// The kernel's release.
        kernel: String,
        /// What was tried.
        act: String,
    },
    /// A device of the host is not usable.
    #[error("the host's `{device}` is not usable: {reason}")]
    Device {
        /// The device.
        device: String,
        /// What was found.
        reason: String,
    },
    /// Something else that a sandbox needs was refused.
    #[error("the host refuses what a sandbox needs: {act}: {reason}")]
    Refused {
        /// What was tried.
        act: String,
        /// The kernel's answer.
        reason: io::Error,
    },
    /// The system call filter could not be loaded.
    #[error("can not load the system call filter: {reason}")]
    Filter {
        /// Why.
        reason: String,
    },
    /// A means of isolation was not found in effect.
    #[error("{isolation} isolation is not in effect, so the step was not run: {found}")]
    NotSealed {
        /// Which.
        isolation: String,
        /// What was found instead.
        found: String,
    },

    /// A tree of the root file system can not be used.
    #[error("root file system tree `{}` can not be used: {reason}", path.display())]
    Rootfs {
        /// The tree.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A mount's source can not be used.
    #[error("mount source `{}` can not be used: {reason}", path.display())]
    Source {
        /// The source, a host path.
        path: PathBuf,
        /// Why.
        reason: io::Error,
    },
    /// A mount's source is reached through a symlink, which an earlier step may have planted.
    #[error("mount source `{}` leads through a symlink; give its real path", path.display())]
    SourceSymlink {
        /// The source, a host path.
        path: PathBuf,
    },
    /// A mount's source is neither a folder nor a regular file.
    #[error("mount source `{}` is {kind}; expected a folder or a regular file", path.display())]
    SourceKind {
        /// The source, a host path.
        path: PathBuf,
        /// What it is.
        kind: String,
    },
    /// The place of a mount can not be opened or made.
    #[error("mount target `{target}` can not be made at `{at}` in the sandbox: {reason}")]
    Target {
        /// The target as it was asked for.
        target: String,
        /// The component that fails.
        at: String,
        /// Why.
        reason: io::Error,
    },
    /// The place of a mount is of the wrong kind in the image.
    #[error("mount target `{target}` can not be used: `{at}` is {kind} in the image")]
    TargetKind {
        /// The target as it was asked for.
        target: String,
        /// The component that does not fit.
        at: String,
        /// What it is.
        kind: String,
    },
    /// The step's folder can not be entered.
    #[error("working directory `{path}` can not be entered in the sandbox: {reason}")]
    WorkingDirectory {
        /// The folder, as seen in the sandbox.
        path: String,
        /// Why.
        reason: io::Error,
    },
    /// The step's program is missing, or the interpreter or loader that it names is.
    #[error(
        "program `{path}` does not exist in the sandbox, or the interpreter that it names does not"
    )]
    ProgramMissing {
        /// The program, as seen in the sandbox.
        path: String,
    },
    /// The step's program can not be executed.
    #[error("program `{path}` can not be executed in the sandbox: {reason}")]
    Program {
        /// The program, as seen in the sandbox.
        path: String,
        /// Why.
        reason: io::Error,
    },
}

impl SandboxError {
    /// Returns whether it is user namespaces that this host does not give.
    #[must_use]
    pub fn is_about_user_namespaces(&self) -> bool {
        match self {
            Self::UserNamespacesMissing | Self::AppArmor { .. } | Self::UserMapRefused { .. } => {
                true
            }
            Self::ForbiddenBySetting { namespace, .. }
            | Self::NamespacesExhausted { namespace, .. }
            | Self::NamespaceRefused { namespace, .. } => namespace == "user",
            _ => false,
        }
    }
}

fn counted(layers: usize) -> String {
    if layers == 1 {
        "1 layer".to_owned()
    } else {
        format!("{layers} layers")
    }
}

/// What to do depends on whether overlayfs is missing, too old or forbidden.
fn overlay_remedy(kernel: &str, reason: &io::Error) -> &'static str {
    let is_missing = reason.raw_os_error() == Some(nix::libc::ENODEV);
    match is_kernel_new_enough(kernel) {
        Some(true) if is_missing => "load it with `modprobe overlay` as root",
        Some(true) => {
            "in a container, allow it with `--security-opt seccomp=unconfined`; otherwise name a \
             store on another file system"
        }
        _ => "Linux 5.12 or newer with overlayfs is needed",
    }
}
