//! Limits for memory and processes, where the host lets us make a control group.
//!
//! Best effort by design: an unprivileged user on cgroup v1 has none. A group is made below our own
//! (v1: one per controller; v2: below it, or beside it where the parent delegates both controllers),
//! so that limits on us hold for the step too. Empty groups of a kiln that was killed are removed by
//! the next one.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use kiln_model::{Limits, ReachedLimits};

/// How our groups are called: this, the engine's pid, a number.
const PREFIX: &str = "kiln-step-";
/// Processes in a group that are not the step's: the supervisor and pid 1.
const OWN_PROCESSES: u64 = 2;
/// A group is busy for a moment after its last process was reaped.
const REMOVAL_ATTEMPTS: u32 = 50;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The groups of one run; removed on drop.
#[derive(Debug)]
pub(crate) struct Cgroup {
    groups: Vec<Group>,
}

/// One control group.
#[derive(Debug)]
struct Group {
    folder: PathBuf,
    version: Version,
}

impl Group {
    /// Returns the file that a process of one thread joins the group by: it writes a 0.
    ///
    /// Version 1's `tasks` moves the thread that writes. `cgroup.procs` moves all of a process, for which the
    /// kernel first holds back every fork, exec and exit of the host: 6 to 11 ms.
    fn join(&self) -> PathBuf {
        self.folder.join(match self.version {
            Version::MemoryOne | Version::ProcessesOne => "tasks",
            Version::Two => "cgroup.procs",
        })
    }
}

/// A folder in which a group for `controllers` can be made.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parent {
    folder: PathBuf,
    version: Version,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// v1 hierarchy with the memory controller.
    MemoryOne,
    /// v1 hierarchy with the pids controller.
    ProcessesOne,
    /// v2 hierarchy with both.
    Two,
}

impl Cgroup {
    /// Makes groups with `limits`; `None` where the host does not let us limit both.
    pub(crate) fn create(limits: &Limits) -> Option<Self> {
        // A mount elsewhere on the host may have any bytes in its name.
        let table = fs_err::read("/proc/self/mountinfo").ok()?;
        let table = String::from_utf8_lossy(&table);
        let membership = fs_err::read_to_string("/proc/self/cgroup").ok()?;
        let name = format!(
            "{PREFIX}{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        parents(&table, &membership)
            .into_iter()
            .find_map(|parents| Self::create_in(&parents, &name, limits).ok())
    }

    fn create_in(parents: &[Parent], name: &str, limits: &Limits) -> io::Result<Self> {
        let mut made = Self { groups: Vec::new() };
        for parent in parents {
            check_kind(parent)?;
            remove_leftovers(&parent.folder);
            let folder = parent.folder.join(name);
            fs_err::create_dir(&folder)?;
            let version = parent.version;
            made.groups.push(Group {
                folder: folder.clone(),
                version,
            });
            limit(&folder, version, limits)?;
        }
        Ok(made)
    }

    /// Returns the files that a process of one thread joins the groups by.
    pub(crate) fn joins(&self) -> Vec<PathBuf> {
        self.groups.iter().map(Group::join).collect()
    }

    /// Returns whether the kernel has `process` in every group.
    pub(crate) fn holds(&self, process: u32) -> bool {
        let line = process.to_string();
        self.groups.iter().all(|group| {
            let file = group.folder.join("cgroup.procs");
            fs_err::read_to_string(file).is_ok_and(|text| text.lines().any(|found| found == line))
        })
    }
}

impl Cgroup {
    /// Returns which of its limits were reached, as the kernel counts them; asked before it is dropped.
    pub(crate) fn reached(&self) -> ReachedLimits {
        let counted = |file: &str, name: &str| {
            self.groups.iter().any(|group| {
                // A hierarchy without the controller has no such file.
                let text = fs_err::read_to_string(group.folder.join(file)).unwrap_or_default();
                count(&text, name) > 0
            })
        };
        ReachedLimits {
            // The first is v2's file, the second v1's.
            memory: counted("memory.events", "oom_kill")
                || counted("memory.oom_control", "oom_kill"),
            processes: counted("pids.events", "max"),
        }
    }
}

/// Reads one of the kernel's lists of counters: `oom_kill 3`.
fn count(text: &str, name: &str) -> u64 {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let found = lines.find(|(found, _)| *found == name);
    found.map_or(0, |(_, number)| number.parse().unwrap_or(0))
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for Group { folder, .. } in &self.groups {
            for _ in 0..REMOVAL_ATTEMPTS {
                match fs_err::remove_dir(folder) {
                    Err(error) if error.raw_os_error() == Some(nix::libc::EBUSY) => {
                        thread::sleep(Duration::from_millis(2));
                    }
                    _ => break,
                }
            }
        }
    }
}

/// Refuses a folder that is no control group: the mount table also lists mounts that are covered by
/// another file system.
fn check_kind(parent: &Parent) -> io::Result<()> {
    const CGROUP_ONE: u64 = 0x0027_E0EB;
    const CGROUP_TWO: u64 = 0x6367_7270;
    let wanted = match parent.version {
        Version::MemoryOne | Version::ProcessesOne => CGROUP_ONE,
        Version::Two => CGROUP_TWO,
    };
    let found = rustix::fs::statfs(&parent.folder)?.f_type;
    if u64::try_from(found) == Ok(wanted) {
        Ok(())
    } else {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Removes empty groups whose kiln is gone; one in use can not be removed by the kernel's rule.
fn remove_leftovers(parent: &Path) {
    let Ok(entries) = fs_err::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|rest| rest.split('-').next())
            .and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = fs_err::remove_dir(entry.path());
        }
    }
}

fn limit(folder: &Path, version: Version, limits: &Limits) -> io::Result<()> {
    let memory = limits.memory.to_string();
    let processes = limits.processes.saturating_add(OWN_PROCESSES).to_string();
    // Never creating: a missing file means a missing controller.
    let write = |file: &str, value: &str| -> io::Result<()> {
        let mut options = fs_err::OpenOptions::new();
        let mut file = options.write(true).open(folder.join(file))?;
        file.write_all(value.as_bytes())
    };
    match version {
        Version::MemoryOne => {
            write("memory.limit_in_bytes", &memory)?;
            // Absent where the kernel does not count swap.
            let _ = write("memory.memsw.limit_in_bytes", &memory);
            Ok(())
        }
        Version::ProcessesOne => write("pids.max", &processes),
        Version::Two => {
            write("memory.max", &memory)?;
            let _ = write("memory.swap.max", "0");
            write("pids.max", &processes)
        }
    }
}

/// Returns, best first, the sets of folders that together could limit memory and processes.
fn parents(mount_table: &str, membership: &str) -> Vec<Vec<Parent>> {
    let own = |controller: Option<&str>| {
        let mount = mounts(mount_table).find(|mount| match controller {
            None => mount.kind == "cgroup2",
            Some(name) => mount.kind == "cgroup" && mount.options.split(',').any(|o| o == name),
        })?;
        let group = membership_path(membership, controller)?;
        // A mount may show only a part of the hierarchy: the path is then relative to that part.
        let below = if mount.root == "/" {
            group
        } else {
            group.strip_prefix(mount.root)?
        };
        Some(PathBuf::from(mount.point).join(below.trim_start_matches('/')))
    };
    let mut found = Vec::new();
    if let (Some(memory), Some(processes)) = (own(Some("memory")), own(Some("pids"))) {
        found.push(vec![
            Parent {
                folder: memory,
                version: Version::MemoryOne,
            },
            Parent {
                folder: processes,
                version: Version::ProcessesOne,
            },
        ]);
    }
    if let Some(folder) = own(None) {
        let beside = folder.parent().map(Path::to_owned);
        for folder in [Some(folder), beside].into_iter().flatten() {
            found.push(vec![Parent {
                folder,
                version: Version::Two,
            }]);
        }
    }
    found
}

struct MountLine<'a> {
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

/// `id parent major:minor root point options [tag]... - kind source options`
fn mounts(table: &str) -> impl Iterator<Item = MountLine<'_>> {
    table.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let mut right = right.split(' ');
        Some(MountLine {
            root: left.next()?,
            point: left.next()?,
            kind: right.next()?,
            options: right.nth(1)?,
        })
    })
}

/// `number:controllers:path`; the line of v2 is `0::path`.
fn membership_path<'a>(membership: &'a str, controller: Option<&str>) -> Option<&'a str> {
    membership.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = match controller {
            None => number == "0" && controllers.is_empty(),
            Some(name) => controllers.split(',').any(|found| found == name),
        };
        is_it.then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(table: &str, membership: &str, expected: &[&[(&str, Version)]]) {
        let expected: Vec<Vec<Parent>> = expected
            .iter()
            .map(|set| {
                let parent = |(folder, version): &(&str, Version)| Parent {
                    folder: PathBuf::from(folder),
                    version: *version,
                };
                set.iter().map(parent).collect()
            })
            .collect();
        assert_eq!(parents(table, membership), expected, "{membership}");
    }

    #[test]
    fn counters_are_read() {
        for (text, expected) in [
            ("low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\n", 2),
            ("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n", 1),
            ("oom_kill_disable 1\n", 0),
            ("oom_kill -\n", 0),
            ("", 0),
        ] {
            assert_eq!(count(text, "oom_kill"), expected, "{text:?}");
        }
    }

    #[test]
    fn our_own_group_is_found_on_every_layout() {
        let hybrid = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      39 31 0:36 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        check(
            hybrid,
            "8:pids:/\n4:memory:/a/b\n0::/\n",
            &[
                &[
                    ("/sys/fs/cgroup/memory/a/b", Version::MemoryOne),
                    ("/sys/fs/cgroup/pids/", Version::ProcessesOne),
                ],
                &[("/sys/fs/cgroup/unified/", Version::Two)],
                &[("/sys/fs/cgroup", Version::Two)],
            ],
        );
        let unified = "30 20 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        check(
            unified,
            "0::/user.slice/a.scope\n",
            &[
                &[("/sys/fs/cgroup/user.slice/a.scope", Version::Two)],
                &[("/sys/fs/cgroup/user.slice", Version::Two)],
            ],
        );
        let part = "30 20 0:26 /docker/1 /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        check(
            part,
            "0::/docker/1/x\n",
            &[
                &[("/sys/fs/cgroup/x", Version::Two)],
                &[("/sys/fs/cgroup", Version::Two)],
            ],
        );
        check(part, "0::/elsewhere\n", &[]);
        check("", "0::/\n", &[]);
        check(hybrid, "", &[]);
    }
}
