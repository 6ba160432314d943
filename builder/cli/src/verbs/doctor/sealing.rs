//! Whether steps can be sealed: the kernel, namespaces, what a sandbox measures of itself.

use std::path::{Path, PathBuf};

use kiln_model::{Isolation, Measured};
use kiln_sandbox::{
    EmbeddedEngine, Engine as _, InitProgram, OLDEST_KERNEL, SandboxError, is_kernel_new_enough,
    kernel, namespace_settings,
};
use kiln_store::with_scratch;

use super::{Finding, Patient, Verdict, places};
use crate::SANDBOX_INIT;

/// Makes an empty sandbox, and one over the store's file system.
pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let engine = EmbeddedEngine::new(InitProgram {
        program: PathBuf::from("/proc/self/exe"),
        arguments: vec![SANDBOX_INIT.to_owned()],
    });
    let mut findings = vec![kernel_finding(&kernel())];
    match engine.probe() {
        Ok(isolation) => {
            findings.push(namespaces());
            findings.push(sealed(&isolation));
            let is_limited = isolation.resource_limits == Measured::Yes;
            findings.push(limits(is_limited, patient.config.require.resource_limits));
            if let Some(folder) = places::store_file_system(patient.common) {
                let probed = with_scratch(&folder, |tree| engine.probe_over(tree));
                findings.extend(probed.ok().map(|probed| overlay(&folder, probed)));
            }
        }
        Err(error) => {
            let topic = if error.is_about_user_namespaces() {
                "user namespaces"
            } else {
                "isolation"
            };
            findings.push(Finding::of_error(topic, Verdict::No, &error));
        }
    }
    findings
}

fn kernel_finding(release: &str) -> Finding {
    let (major, minor) = OLDEST_KERNEL;
    let needed = format!("Linux {release}; {major}.{minor} or newer is needed");
    match is_kernel_new_enough(release) {
        Some(true) => Finding::new("kernel", Verdict::Yes, format!("Linux {release}")),
        Some(false) => Finding::new("kernel", Verdict::No, needed),
        None => Finding::new("kernel", Verdict::Note, needed),
    }
}

fn namespaces() -> Finding {
    let settings = namespace_settings().into_iter();
    let settings: Vec<String> = settings
        .map(|(name, value)| format!("{name} = {value}"))
        .collect();
    let found = if settings.is_empty() {
        "no setting limits them".to_owned()
    } else {
        settings.join(", ")
    };
    Finding::new("user namespaces", Verdict::Yes, found)
}

/// A probe fails unless all four of these are in effect.
fn sealed(isolation: &Isolation) -> Finding {
    let namespace = if isolation.user_namespace == Measured::Yes {
        ", in a user namespace of its own"
    } else {
        ""
    };
    let found = format!(
        "the {} engine seals network, files, processes and privileges{namespace}",
        isolation.engine
    );
    Finding::new("isolation", Verdict::Yes, found)
}

fn limits(is_limited: bool, is_required: bool) -> Finding {
    const TOPIC: &str = "resource limits";
    if is_limited {
        return Finding::new(
            TOPIC,
            Verdict::Yes,
            "control groups limit memory and processes",
        );
    }
    let (verdict, found) = if is_required {
        (
            Verdict::No,
            "no control group can be made, and kiln.toml requires resource-limits",
        )
    } else {
        (
            Verdict::Note,
            "no control group can be made: memory and processes of steps are not limited",
        )
    };
    Finding::new(TOPIC, verdict, found).with_remedy(
        "start kiln with `systemd-run --user --scope -p Delegate=yes`, or as root; in a container, \
         make /sys/fs/cgroup writable",
    )
}

fn overlay(folder: &Path, probed: Result<Isolation, SandboxError>) -> Finding {
    let place = folder.display();
    match probed {
        Ok(_) => Finding::new("overlayfs", Verdict::Yes, format!("takes trees in {place}")),
        Err(error) => Finding::of_error("overlayfs", Verdict::No, &error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_kernel_is_in_the_way_and_an_odd_one_may_be() {
        for (release, verdict) in [
            ("6.1.0-18-amd64", Verdict::Yes),
            ("5.10.0-28-amd64", Verdict::No),
            ("mine", Verdict::Note),
        ] {
            assert_eq!(kernel_finding(release).verdict, verdict, "{release}");
        }
    }

    #[test]
    fn missing_limits_are_in_the_way_only_where_they_are_required() {
        for (is_limited, is_required, verdict) in [
            (true, true, Verdict::Yes),
            (false, false, Verdict::Note),
            (false, true, Verdict::No),
        ] {
            let finding = limits(is_limited, is_required);
            assert_eq!(finding.verdict, verdict);
            assert_eq!(finding.remedy.is_some(), !is_limited);
        }
    }
}
