//! What is around a build: mirrors, certificates, the network switch, the clock, umask, memory.

use kiln_build::Project;
use kiln_sandbox::Unvaried;
use kiln_store::{TrustedRoots, shown_address, trusted_bundle};
use rustix::fs::Mode;

use super::{Finding, Patient, Verdict};
use crate::host;
use crate::network::{archives, trusted_roots};
use crate::text::size;

/// Less memory than this is worth a note: compilers of C++ need it.
const GOOD_MEMORY: u64 = 2 << 30;

/// Looks around.
pub(super) fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = vec![network(patient.common.offline)];
    findings.push(mirrors(patient));
    findings.push(certificates(&trusted_roots(patient.common)));
    findings.extend(
        patient
            .project
            .map(|project| clock(project, host::seconds())),
    );
    findings.push(umask(current_umask()));
    let limit = patient.config.limits.memory.saturating_mul(1 << 20);
    findings.push(machine(host::memory(), cores(), limit));
    findings.push(verification(&kiln_sandbox::unvaried()));
    if patient.project.is_none() {
        let found = "none here that can be read: checks of recipes and kiln.toml are left out";
        let finding = Finding::new("project", Verdict::Note, found);
        findings.push(finding.with_remedy("`kiln check` says what is wrong with it"));
    }
    findings
}

/// What a rebuild under variation can not vary here.
fn verification(unvaried: &[Unvaried]) -> Finding {
    const TOPIC: &str = "verification";
    if unvaried.is_empty() {
        return Finding::new(TOPIC, Verdict::Yes, "everything can be varied");
    }
    let one = |found: &Unvaried| {
        let level = found
            .level
            .map(|level| format!(" ({level})"))
            .unwrap_or_default();
        format!("{}{level}: {}", found.factor, found.reason)
    };
    let all: Vec<String> = unvaried.iter().map(one).collect();
    let found = format!("can not vary {}", all.join("; "));
    let finding = Finding::new(TOPIC, Verdict::Note, found);
    let packages: Vec<&str> = unvaried.iter().filter_map(|found| found.package).collect();
    match packages.is_empty() {
        true => finding,
        false => finding.with_remedy(format!("install {}", packages.join(", "))),
    }
}

fn network(is_offline: bool) -> Finding {
    if is_offline {
        let found = "switched off by --offline or KILN_OFFLINE: everything must be in the store";
        return Finding::new("network", Verdict::Note, found);
    }
    Finding::new(
        "network",
        Verdict::Yes,
        "may be used for fetching, never by a step",
    )
}

fn mirrors(patient: &Patient<'_>) -> Finding {
    const TOPIC: &str = "Debian archive";
    let (source, archives) = archives(patient.common, patient.project);
    let shown: Result<Vec<String>, String> = archives.iter().map(|a| shown_address(a)).collect();
    match shown {
        Err(reason) => Finding::new(TOPIC, Verdict::No, format!("{reason} (from {source})")),
        Ok(shown) if shown.is_empty() => {
            let found = "no address known: nothing that is not in the store can be had from one";
            Finding::new(TOPIC, Verdict::Note, found)
                .with_remedy("set `debian` in `[mirrors]` of kiln.toml, or KILN_DEBIAN_ARCHIVE")
        }
        Ok(shown) => {
            let found = format!("{} (from {source})", shown.join(", "));
            Finding::new(TOPIC, Verdict::Yes, found)
        }
    }
}

fn certificates(roots: &TrustedRoots) -> Finding {
    const TOPIC: &str = "certificates";
    match trusted_bundle(roots) {
        Ok(Some((path, count))) => {
            let found = format!("{count} trusted authorities in {}", path.display());
            Finding::new(TOPIC, Verdict::Yes, found)
        }
        Ok(None) => {
            let found = "no bundle of trusted authorities found: nothing can be fetched by https";
            Finding::new(TOPIC, Verdict::Note, found)
                .with_remedy("install ca-certificates, or name a bundle with --trusted-roots")
        }
        Err(error) => Finding::of_error(TOPIC, Verdict::No, &error),
    }
}

/// Packages carry their recipe's source date; rpmbuild refuses one that is in the future.
fn clock(project: &Project, now: i64) -> Finding {
    let recipes = project.recipes.values().map(|loaded| &loaded.recipe);
    let dated = recipes.filter_map(|recipe| Some((recipe.pins().ok()?.source_date, recipe)));
    let newest = dated.max_by_key(|(source_date, _)| *source_date);
    match newest {
        Some((source_date, recipe)) if now < i64::from(source_date.seconds()) => {
            let date = source_date.to_rfc3339();
            let found = format!(
                "it is before {date}, the source date of recipe `{}`: packaging would fail",
                recipe.name
            );
            Finding::new("clock", Verdict::No, found).with_remedy("set the clock")
        }
        _ => Finding::new("clock", Verdict::Yes, "not before any recipe's source date"),
    }
}

fn umask(mask: u32) -> Finding {
    let found = format!("{mask:04o}");
    if mask & 0o700 == 0 {
        return Finding::new("umask", Verdict::Yes, found);
    }
    let found = format!("{found} keeps kiln from its own files");
    Finding::new("umask", Verdict::No, found).with_remedy("run `umask 022` first")
}

/// A mask can only be read by setting one; no other thread makes files here.
fn current_umask() -> u32 {
    let mask = rustix::process::umask(Mode::RWXG | Mode::RWXO);
    rustix::process::umask(mask);
    mask.as_raw_mode()
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn machine(memory: u64, cores: usize, limit: u64) -> Finding {
    let unit = if cores == 1 { "core" } else { "cores" };
    let found = format!(
        "{} of memory, {cores} {unit}; one step may take {}",
        size(memory),
        size(limit)
    );
    if memory < GOOD_MEMORY {
        return Finding::new("machine", Verdict::Note, found)
            .with_remedy("compile less at once with --jobs 1");
    }
    Finding::new("machine", Verdict::Yes, found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_umask_that_takes_from_its_owner_is_in_the_way() {
        for (mask, verdict) in [
            (0o022, Verdict::Yes),
            (0o077, Verdict::Yes),
            (0o177, Verdict::No),
            (0o777, Verdict::No),
        ] {
            assert_eq!(umask(mask).verdict, verdict, "{mask:o}");
        }
        let before = current_umask();
        assert_eq!(current_umask(), before, "reading it leaves it as it is");
    }

    #[test]
    fn certificates_that_are_none_are_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        fs_err::write(&file, "no certificate\n").unwrap();
        let finding = certificates(&TrustedRoots::Bundle(file));
        assert_eq!(finding.verdict, Verdict::No);
        assert!(
            finding.found.contains("holds no PEM certificate"),
            "{finding:?}"
        );
    }

    #[test]
    fn little_memory_and_a_switched_off_network_are_noted() {
        assert_eq!(machine(GOOD_MEMORY, 2, 1 << 33).verdict, Verdict::Yes);
        let small = machine(GOOD_MEMORY - 1, 1, 1 << 33);
        assert_eq!(small.verdict, Verdict::Note);
        assert_eq!(
            small.found,
            "1.9 GiB of memory, 1 core; one step may take 8.0 GiB"
        );
        assert_eq!(network(true).verdict, Verdict::Note);
        assert_eq!(network(false).verdict, Verdict::Yes);
    }
}
