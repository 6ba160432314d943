//! Looks, from inside and after everything was done, at what isolation is in effect.
//!
//! What is stated in a run record comes from here, never from what was asked for. A doubt counts as
//! "no", and every "no" in this file stops the run.

use std::collections::BTreeMap;

use kiln_model::Measured;
use rustix::process::{DumpableBehavior, dumpable_behavior};
use rustix::thread::UnshareFlags;

use super::Act;
use crate::protocol::{Evidence, Fault, Handover};

/// Namespaces that must not be the caller's; `pid` of this process is already the new one.
const PROCESS_NAMESPACES: [&str; 4] = ["pid", "ipc", "uts", "cgroup"];

/// Returns the evidence, or the first means of isolation that is missing.
pub(super) fn measure(handover: &Handover, mounted: &[String]) -> Act<Evidence> {
    for (what, problem) in [
        ("network", network(handover)?),
        ("filesystem", filesystem(handover, mounted)?),
        ("processes", namespaces(handover, &PROCESS_NAMESPACES)),
        ("privileges", privileges()?),
        ("user namespace", namespaces(handover, &["user"])),
    ] {
        if let Some(found) = problem {
            return Err(Fault::NotSealed {
                what: what.to_owned(),
                found,
            });
        }
    }
    Ok(Evidence {
        network: Measured::Yes,
        filesystem: Measured::Yes,
        processes: Measured::Yes,
        privileges: Measured::Yes,
        user_namespace: Measured::Yes,
    })
}

/// Returns the namespace links of this process, for comparison by whoever it starts.
pub(crate) fn namespace_links() -> std::io::Result<BTreeMap<String, String>> {
    ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
        .into_iter()
        .map(|name| {
            let link = fs_err::read_link(format!("/proc/self/ns/{name}"))?;
            Ok((name.to_owned(), link.to_string_lossy().into_owned()))
        })
        .collect()
}

/// Every check returns what is wrong, or `None`.
type Problem = Option<String>;

fn namespaces(handover: &Handover, names: &[&str]) -> Problem {
    let ours = match namespace_links() {
        Ok(links) => links,
        Err(error) => return Some(error.to_string()),
    };
    names.iter().find_map(|name| {
        let (inside, outside) = (ours.get(*name), handover.namespaces.get(*name));
        (inside.is_none() || outside.is_none() || inside == outside)
            .then(|| format!("the {name} namespace is {inside:?}, the caller's is {outside:?}"))
    })
}

fn network(handover: &Handover) -> Act<Problem> {
    if let Some(problem) = namespaces(handover, &["net"]) {
        return Ok(Some(problem));
    }
    let interfaces = interfaces(&read("/proc/self/net/dev")?);
    Ok((interfaces != ["lo"]).then(|| format!("the interfaces are {interfaces:?}")))
}

/// Two heading lines, then `name: counters`.
fn interfaces(table: &str) -> Vec<String> {
    table
        .lines()
        .skip(2)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, _)| name.trim().to_owned())
        .collect()
}

fn filesystem(handover: &Handover, mounted: &[String]) -> Act<Problem> {
    if let Some(problem) = namespaces(handover, &["mnt"]) {
        return Ok(Some(problem));
    }
    Ok(unexpected_mount(&read("/proc/self/mountinfo")?, mounted))
}

/// Returns a root that is not an overlay, or a mount that init did not make. Below a declared mount
/// others may lie that belong to its source.
///
/// `id parent major:minor root mount-point options [tag]... - kind source options`
fn unexpected_mount(table: &str, mounted: &[String]) -> Problem {
    let mut roots = 0;
    for line in table.lines() {
        let Some(point) = line.split(' ').nth(4).map(unescape) else {
            return Some(format!("mount table line `{line}`"));
        };
        let kind = line
            .split(" - ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        if point == "/" {
            roots += 1;
            if kind != Some("overlay") {
                return Some(format!("the root is {kind:?}, not an overlay"));
            }
        }
        let is_ours = mounted.iter().any(|ours| {
            point == *ours
                || (ours != "/"
                    && point
                        .strip_prefix(ours)
                        .is_some_and(|rest| rest.starts_with('/')))
        });
        if !is_ours {
            return Some(format!("`{point}` is mounted and was not asked for"));
        }
    }
    (roots != 1).then(|| format!("{roots} mounts on `/`"))
}

/// Undoes the mount table's octal escapes of space, tab, newline and backslash.
fn unescape(point: &str) -> String {
    [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ]
    .iter()
    .fold(point.to_owned(), |text, (escape, plain)| {
        text.replace(escape, plain)
    })
}

fn privileges() -> Act<Problem> {
    let status = read("/proc/self/status")?;
    for (key, wanted) in [
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
    ] {
        let found = status_field(&status, key);
        if found != Some(wanted) {
            return Ok(Some(format!("{key} is {found:?}, not {wanted}")));
        }
    }
    let dumpable = dumpable_behavior().map_err(super::call("prctl(PR_GET_DUMPABLE)"))?;
    if dumpable == DumpableBehavior::Dumpable {
        return Ok(Some("pid 1 can be traced".to_owned()));
    }
    Ok(is_unshare_allowed().then(|| "the system call filter lets `unshare` pass".to_owned()))
}

fn status_field<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| *name == key)
        .map(|(_, value)| value.trim())
}

/// Asks for no new namespace, which only a filter refuses.
#[expect(
    unsafe_code,
    reason = "rustix marks unshare unsafe for shared descriptor tables"
)]
fn is_unshare_allowed() -> bool {
    // SAFETY: without a flag the call changes nothing.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::empty()) }.is_ok()
}

/// Reads one of the kernel's tables. Names of the host's files in it may be any bytes.
fn read(path: &str) -> Act<String> {
    let bytes = fs_err::read(path).map_err(|error| Fault::Call {
        what: format!("reading {path}"),
        errno: error.raw_os_error().unwrap_or(0),
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "30 1 0:40 / / rw,nosuid,nodev - overlay overlay rw\n";

    #[test]
    fn a_mount_that_nobody_asked_for_is_named() {
        let mounted = ["/", "/proc", "/in put"].map(str::to_owned);
        let check = |lines: &str, expected: Option<&str>| {
            assert_eq!(
                unexpected_mount(lines, &mounted).as_deref(),
                expected,
                "{lines}"
            );
        };
        let line = |point: &str| format!("{ROOT}31 30 0:41 / {point} rw - ext4 /dev/sda rw\n");
        check(ROOT, None);
        check(&line("/proc"), None);
        check(&line("/proc/kcore"), None);
        check(&line("/in\\040put"), None);
        check(
            &line("/old"),
            Some("`/old` is mounted and was not asked for"),
        );
        check(
            &line("/process"),
            Some("`/process` is mounted and was not asked for"),
        );
        check(
            &line("/"),
            Some("the root is Some(\"ext4\"), not an overlay"),
        );
        check(&format!("{ROOT}{ROOT}"), Some("2 mounts on `/`"));
        check("", Some("0 mounts on `/`"));
        check("x", Some("mount table line `x`"));
    }

    #[test]
    fn fields_and_interfaces_are_found() {
        assert_eq!(
            status_field("A:\t1\nSeccomp:\t2\nSeccomp_filters:\t4\n", "Seccomp"),
            Some("2")
        );
        assert_eq!(status_field("A:\t1\n", "Seccomp"), None);
        let table = "Inter-| R\n face |bytes\n    lo: 0 0\n  eth0:12 0\n";
        assert_eq!(interfaces(table), ["lo", "eth0"]);
    }
}
