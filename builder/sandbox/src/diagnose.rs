//! Turns what init reports into the sentence that helps: which setting of which host is in the way.

use std::io;

use nix::libc;

use crate::error::SandboxError;
use crate::protocol::Fault;

/// What the diagnosis may ask the host.
pub(crate) struct Host<'a> {
    /// Returns a setting's value by its name, `kernel.unprivileged_userns_clone`.
    pub setting: &'a dyn Fn(&str) -> Option<String>,
    /// The kernel's release.
    pub kernel: String,
    /// Whether the caller is not root, whom some rules do not touch.
    pub is_unprivileged: bool,
}

const CLONE_SETTING: &str = "kernel.unprivileged_userns_clone";
const APPARMOR_SETTING: &str = "kernel.apparmor_restrict_unprivileged_userns";

/// Returns the error that `fault` means on `host`.
pub(crate) fn diagnose(fault: Fault, host: &Host<'_>) -> SandboxError {
    match fault {
        Fault::Namespace { namespace, errno } => diagnose_namespace(namespace, errno, host),
        Fault::IdMap { file, errno } => {
            refused_by_apparmor(&file, errno, host).unwrap_or_else(|| {
                SandboxError::UserMapRefused {
                    file,
                    reason: reason(errno),
                }
            })
        }
        Fault::Overlay { layers, errno } => SandboxError::OverlayRefused {
            kernel: host.kernel.clone(),
            layers,
            reason: reason(errno),
        },
        Fault::Proc { errno } => SandboxError::ProcRefused {
            reason: reason(errno),
        },
        Fault::Mount { what, errno } | Fault::Call { what, errno } => {
            diagnose_call(what, errno, host)
        }
        Fault::Device { name, reason } => SandboxError::Device {
            device: name,
            reason,
        },
        Fault::Filter { reason } => SandboxError::Filter { reason },
        Fault::NotSealed { what, found } => SandboxError::NotSealed {
            isolation: what,
            found,
        },
        Fault::Crash { message } => SandboxError::InitCrashed { message },
        of_step => diagnose_step(of_step),
    }
}

/// Faults that are the step's or its image's, not the host's.
fn diagnose_step(fault: Fault) -> SandboxError {
    match fault {
        Fault::Layer { path, errno } => SandboxError::Rootfs {
            path,
            reason: reason(errno),
        },
        Fault::Source { path, errno } if errno == libc::ELOOP => {
            SandboxError::SourceSymlink { path }
        }
        Fault::Source { path, errno } => SandboxError::Source {
            path,
            reason: reason(errno),
        },
        Fault::SourceKind { path, kind } => SandboxError::SourceKind { path, kind },
        Fault::Target { path, at, errno } => SandboxError::Target {
            target: path,
            at,
            reason: reason(errno),
        },
        Fault::TargetKind { path, at, kind } => SandboxError::TargetKind {
            target: path,
            at,
            kind,
        },
        Fault::WorkingDirectory { path, errno } => SandboxError::WorkingDirectory {
            path,
            reason: reason(errno),
        },
        Fault::Program { path, errno } if errno == libc::ENOENT => {
            SandboxError::ProgramMissing { path }
        }
        Fault::Program { path, errno } => SandboxError::Program {
            path,
            reason: reason(errno),
        },
        other => SandboxError::InitCrashed {
            message: format!("{other:?}"),
        },
    }
}

fn diagnose_namespace(namespace: String, errno: i32, host: &Host<'_>) -> SandboxError {
    let is_user = namespace == "user";
    if is_user && let Some(value) = (host.setting)(CLONE_SETTING).filter(|value| value == "0") {
        return SandboxError::ForbiddenBySetting {
            namespace,
            setting: CLONE_SETTING.to_owned(),
            value,
            remedy: "1",
        };
    }
    let maximum = format!("user.max_{}_namespaces", setting_word(&namespace));
    let value = (host.setting)(&maximum);
    // EUSERS is what kernels before 4.9 and nested limits say.
    let is_exhausted = matches!(errno, libc::ENOSPC | libc::EUSERS);
    match value {
        Some(value) if value == "0" => {
            return SandboxError::ForbiddenBySetting {
                namespace,
                setting: maximum,
                value,
                remedy: "10000",
            };
        }
        value if is_exhausted => {
            return SandboxError::NamespacesExhausted {
                namespace,
                setting: maximum,
                value: value.unwrap_or_else(|| "unknown".to_owned()),
            };
        }
        _ => {}
    }
    if is_user && matches!(errno, libc::EINVAL | libc::ENOSYS) {
        return SandboxError::UserNamespacesMissing;
    }
    if matches!(errno, libc::EINVAL | libc::ENOSYS) {
        return SandboxError::KernelTooOld {
            kernel: host.kernel.clone(),
            act: format!("a new {namespace} namespace"),
        };
    }
    let act = format!("a new {namespace} namespace");
    refused_by_apparmor(&act, errno, host).unwrap_or_else(|| SandboxError::NamespaceRefused {
        namespace,
        reason: reason(errno),
    })
}

/// The kernel counts mount namespaces under `mnt`.
fn setting_word(namespace: &str) -> &str {
    if namespace == "mount" {
        "mnt"
    } else {
        namespace
    }
}

fn diagnose_call(act: String, errno: i32, host: &Host<'_>) -> SandboxError {
    if errno == libc::ENOSYS {
        return SandboxError::KernelTooOld {
            kernel: host.kernel.clone(),
            act,
        };
    }
    refused_by_apparmor(&act, errno, host).unwrap_or_else(|| SandboxError::Refused {
        act,
        reason: reason(errno),
    })
}

/// Recognizes Ubuntu's restriction: the namespace is made, but whatever it is used for is refused.
fn refused_by_apparmor(act: &str, errno: i32, host: &Host<'_>) -> Option<SandboxError> {
    let is_refusal = matches!(errno, libc::EPERM | libc::EACCES);
    let is_restricted = (host.setting)(APPARMOR_SETTING).is_some_and(|value| value == "1");
    (is_refusal && is_restricted && host.is_unprivileged).then(|| SandboxError::AppArmor {
        act: act.to_owned(),
    })
}

fn reason(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: &[(&str, &str)], fault: Fault, expected: &str) {
        let setting = |name: &str| {
            let found = settings.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        let host = Host {
            setting: &setting,
            kernel: "5.4.0".to_owned(),
            is_unprivileged: true,
        };
        assert_eq!(diagnose(fault, &host).to_string(), expected);
    }

    fn namespace(name: &str, errno: i32) -> Fault {
        Fault::Namespace {
            namespace: name.to_owned(),
            errno,
        }
    }

    #[test]
    fn a_refused_namespace_names_its_setting() {
        check(
            &[(CLONE_SETTING, "0")],
            namespace("user", libc::EPERM),
            "`kernel.unprivileged_userns_clone = 0` forbids a new user namespace, without which kiln can not seal a step; allow it with `sysctl -w kernel.unprivileged_userns_clone=1` as root",
        );
        check(
            &[("user.max_user_namespaces", "0")],
            namespace("user", libc::ENOSPC),
            "`user.max_user_namespaces = 0` forbids a new user namespace, without which kiln can not seal a step; allow it with `sysctl -w user.max_user_namespaces=10000` as root",
        );
        check(
            &[("user.max_mnt_namespaces", "3")],
            namespace("mount", libc::ENOSPC),
            "the limit of mount namespaces is reached (`user.max_mnt_namespaces = 3` here; a container around it may have less): end something that holds them, or raise the limit",
        );
        check(
            &[],
            namespace("user", libc::EINVAL),
            "this kernel has no user namespaces (CONFIG_USER_NS), without which kiln can not seal a step",
        );
        check(
            &[],
            namespace("user", libc::EPERM),
            "the host refuses a new user namespace (Operation not permitted (os error 1)); in a container, allow it with `--security-opt seccomp=unconfined --security-opt systempaths=unconfined`; in a chroot, leave it",
        );
    }

    #[test]
    fn apparmor_is_recognized_by_what_it_refuses() {
        let settings = [(APPARMOR_SETTING, "1")];
        let expected = |act: &str| {
            format!(
                "AppArmor takes all rights from user namespaces here (`kernel.apparmor_restrict_unprivileged_userns = 1`; it refused {act}); give kiln an AppArmor profile with `userns,`, or run `sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` as root"
            )
        };
        let map = Fault::IdMap {
            file: "/proc/self/uid_map".to_owned(),
            errno: libc::EPERM,
        };
        check(&settings, map, &expected("/proc/self/uid_map"));
        let mount = Fault::Mount {
            what: "making mounts private".to_owned(),
            errno: libc::EACCES,
        };
        check(&settings, mount, &expected("making mounts private"));
        check(
            &settings,
            namespace("net", libc::EPERM),
            &expected("a new net namespace"),
        );
    }

    #[test]
    fn a_refused_overlay_says_whether_it_is_missing_old_or_forbidden() {
        let overlay = |kernel: &str, layers, errno| {
            let host = Host {
                setting: &|_| None,
                kernel: kernel.to_owned(),
                is_unprivileged: true,
            };
            diagnose(Fault::Overlay { layers, errno }, &host).to_string()
        };
        for (kernel, errno, layers, remedy) in [
            (
                "5.10.0",
                libc::EPERM,
                "2 layers",
                "Linux 5.12 or newer with overlayfs is needed",
            ),
            (
                "6.1.0",
                libc::ENODEV,
                "1 layer",
                "load it with `modprobe overlay` as root",
            ),
            (
                "6.1.0",
                libc::EPERM,
                "1 layer",
                "in a container, allow it with `--security-opt seccomp=unconfined`; otherwise \
                 name a store on another file system",
            ),
        ] {
            let count = layers[..1].parse().unwrap();
            let reason = std::io::Error::from_raw_os_error(errno);
            let expected = format!(
                "kernel {kernel} can not mount an overlay of {layers} in a user namespace \
                 ({reason}); {remedy}"
            );
            assert_eq!(overlay(kernel, count, errno), expected);
        }
    }

    #[test]
    fn other_hosts_are_told_what_is_missing() {
        check(
            &[],
            Fault::Proc { errno: libc::EPERM },
            "the host refuses a new /proc (Operation not permitted (os error 1)), because parts of its own are hidden; in a container, start that with `--security-opt systempaths=unconfined` or mount a second /proc that is whole",
        );
        check(
            &[],
            Fault::Overlay {
                layers: 2,
                errno: libc::EPERM,
            },
            "kernel 5.4.0 can not mount an overlay of 2 layers in a user namespace (Operation not permitted (os error 1)); Linux 5.12 or newer with overlayfs is needed",
        );
        check(
            &[],
            Fault::Mount {
                what: "restricting a mount (mount_setattr)".to_owned(),
                errno: libc::ENOSYS,
            },
            "kernel 5.4.0 lacks what a sandbox needs (restricting a mount (mount_setattr)); Linux 5.12 or newer is needed",
        );
    }
}
