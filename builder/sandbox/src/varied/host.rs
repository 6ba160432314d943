//! What this host can not vary, told before anybody asks it to.

use kiln_model::{Factor, Level};
use rustix::fs::{Mode, OFlags};
use rustix::process::geteuid;

use super::places::{LEAST_MEMORY, free_memory, program};

/// Something that this host can not vary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unvaried {
    /// Which.
    pub factor: Factor,
    /// One of its levels, or `None` for all.
    pub level: Option<Level>,
    /// Why, in a few words.
    pub reason: String,
    /// The package that would change it.
    pub package: Option<&'static str>,
}

/// Looks at what varying needs beyond what every build needs.
#[must_use]
pub fn unvaried() -> Vec<Unvaried> {
    let mut found = Vec::new();
    let mut add = |factor, level, reason: String, package| {
        found.push(Unvaried {
            factor,
            level,
            reason,
            package,
        });
    };
    if program("disorderfs").is_none() {
        let reason = "there is no `disorderfs`".to_owned();
        add(Factor::DirectoryOrder, None, reason, Some("disorderfs"));
    } else if let Err(reason) = open_fuse() {
        add(Factor::DirectoryOrder, None, reason, None);
    }
    let loops = Some(Level::Loop);
    if !geteuid().is_root() {
        let reason = "only root can mount a file".to_owned();
        add(Factor::FileSystem, loops, reason, None);
    } else if program("mkfs.ext4").is_none() {
        let reason = "there is no `mkfs.ext4`".to_owned();
        add(Factor::FileSystem, loops, reason, Some("e2fsprogs"));
    }
    let memory = free_memory().unwrap_or(0);
    if memory / 3 * 2 < LEAST_MEMORY {
        let reason = format!("only {} MiB of memory are available", memory >> 20);
        add(Factor::FileSystem, Some(Level::Tmpfs), reason, None);
    }
    if std::thread::available_parallelism().is_ok_and(|processors| processors.get() == 1) {
        let reason = "there is one processor".to_owned();
        add(Factor::Processors, None, reason, None);
    }
    found
}

/// Opens what file systems of user programs are made with.
pub(super) fn open_fuse() -> Result<(), String> {
    rustix::fs::open("/dev/fuse", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map(drop)
        .map_err(|error| format!("`/dev/fuse` can not be opened: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_varied_has_a_reason() {
        for found in unvaried() {
            assert!(!found.reason.is_empty(), "{found:?}");
            let levels = found.factor.levels();
            assert!(
                found.level.is_none_or(|level| levels.contains(&level)),
                "{found:?}"
            );
        }
    }
}
