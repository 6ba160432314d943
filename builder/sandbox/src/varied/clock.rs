//! Another clock for steps: a small library over libc, preloaded by a file.
//!
//! Its source is part of kiln, and it is compiled by the compiler of the root file system that it is
//! used in, so nothing has to be fetched or pinned for it. Debian's libfaketime was tried first: it puts
//! a random name into the environment of every process (`FAKETIME_SHARED`), which a recipe that records
//! its environment would be accused of, and it shifts the monotonic clock unless the environment says
//! otherwise, so that a timed wait lasts for years.

use std::path::{Path, PathBuf};

use kiln_model::{Level, StepUser};

/// The library, in C; `OFFSET` is the seconds that clocks are ahead.
pub const CLOCK_SOURCE: &str = include_str!("clock.c");

/// Seconds of a year of 365.25 days.
const YEAR: i64 = 31_557_600;
const DAY: i64 = 86_400;
/// Seconds since 1970 that an After2038 clock shows at least: 1 February 2041.
const AFTER_2038: i64 = 2_243_203_200;

/// Files on the host from which a step gets another clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClockFiles {
    /// The library.
    pub library: PathBuf,
    /// Names the library: mounted as `/etc/ld.so.preload`.
    pub preload: PathBuf,
    /// Seconds between the host's clock and a step's.
    pub offset: i64,
}

impl ClockFiles {
    /// Returns whether steps of a user get the clock. Packaging never gets one that is behind: rpm only
    /// lowers times to `SOURCE_DATE_EPOCH`, so kiln refuses to package by such a clock.
    #[must_use]
    pub fn reaches(&self, user: StepUser) -> bool {
        self.offset >= 0 || user == StepUser::Build
    }

    /// Writes a library, and the file that leads a step to it, into a folder.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn write(folder: &Path, library: &[u8], offset: i64) -> std::io::Result<Self> {
        fs_err::create_dir_all(folder)?;
        let files = Self {
            library: folder.join("clock.so"),
            preload: folder.join("ld.so.preload"),
            offset,
        };
        fs_err::write(&files.library, library)?;
        fs_err::write(&files.preload, super::engine::preload_text())?;
        // Whatever the umask is: a step is another user.
        for (file, mode) in [(&files.library, 0o755), (&files.preload, 0o644)] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs_err::set_permissions(file, mode)?;
        }
        Ok(files)
    }
}

/// Returns how far a clock is to be from the host's, which shows `now`; 0 for the host's own.
#[must_use]
pub fn clock_offset(level: Level, now: i64) -> i64 {
    match level {
        // 2001 at the time of writing; later hosts get another year before anything was released.
        Level::Past => -25 * YEAR,
        // More than a year, and another month and day.
        Level::Future => 400 * DAY,
        Level::After2038 => (AFTER_2038 - now).max(15 * YEAR),
        _ => 0,
    }
}

/// Most files of a root file system that are looked at.
const MOST_FILES: usize = 1_000_000;

/// Returns the programs below the folders of programs that no library can be preloaded into: ELF
/// executables without an interpreter. Absolute paths inside, sorted, each once.
#[must_use]
pub fn static_programs(trees: &[PathBuf]) -> Vec<String> {
    let mut found = std::collections::BTreeSet::new();
    for tree in trees {
        for folder in ["usr/bin", "usr/sbin", "usr/lib", "usr/libexec", "usr/local"] {
            let files = walk(&tree.join(folder));
            for file in files.into_iter().take(MOST_FILES) {
                if is_static_program(&file)
                    && let Ok(inside) = file.strip_prefix(tree)
                {
                    found.insert(format!("/{}", inside.display()));
                }
            }
        }
    }
    found.into_iter().collect()
}

/// Returns the executable regular files below a folder.
#[expect(
    clippy::disallowed_methods,
    reason = "their order does not matter: the caller sorts"
)]
fn walk(folder: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let mut files = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => open.push(entry.path()),
                Ok(found) if found.is_file() && found.permissions().mode() & 0o111 != 0 => {
                    files.push(entry.path());
                }
                _ => {}
            }
        }
    }
    files
}

fn is_static_program(file: &Path) -> bool {
    use std::io::Read as _;
    let mut head = Vec::new();
    let Ok(file) = fs_err::File::open(file) else {
        return false;
    };
    file.take(4096).read_to_end(&mut head).is_ok() && is_static_elf(&head)
}

/// Returns whether a file that begins with `head` is an ELF program (`ET_EXEC`, `ET_DYN` with an entry
/// point and no `PT_DYNAMIC`) without `PT_INTERP`. 64-bit, little-endian: what kiln builds for.
///
/// | offset | field |
/// |---|---|
/// | 0 | magic, class 2, data 1 |
/// | 16 | type |
/// | 32 | offset of program headers |
/// | 54, 56 | size and number of program headers |
fn is_static_elf(head: &[u8]) -> bool {
    const INTERPRETER: u32 = 3;
    const DYNAMIC: u32 = 2;
    let number = |offset: usize, width: usize| -> Option<u64> {
        let bytes = head.get(offset..offset.checked_add(width)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        )
    };
    if head.get(..6) != Some(b"\x7fELF\x02\x01") {
        return false;
    }
    let (Some(kind), Some(start), Some(size), Some(count)) =
        (number(16, 2), number(32, 8), number(54, 2), number(56, 2))
    else {
        return false;
    };
    let mut kinds = Vec::new();
    for index in 0..count {
        let offset = size
            .checked_mul(index)
            .and_then(|below| start.checked_add(below));
        let Some(found) = offset
            .and_then(|offset| usize::try_from(offset).ok())
            .and_then(|offset| number(offset, 4))
        else {
            return false;
        };
        kinds.push(found);
    }
    let has = |kind: u32| kinds.contains(&u64::from(kind));
    // A static program that may lie anywhere has a dynamic section, as a library has; it is told
    // from one by nothing that is cheap to read, and Debian has none.
    kind == 2 && !has(INTERPRETER) || kind == 3 && !has(INTERPRETER) && !has(DYNAMIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_are_where_their_levels_say() {
        let now = 1_795_000_000; // November 2026
        for (level, least, most) in [
            (Level::AsHost, now, now),
            (Level::Past, 978_307_200, 1_041_379_200), // 2001, 2002
            (Level::Future, now + 398 * DAY, now + 420 * DAY),
            (Level::After2038, AFTER_2038, AFTER_2038 + YEAR),
        ] {
            let shown = now + clock_offset(level, now);
            assert!((least..=most).contains(&shown), "{level}: {shown}");
        }
        // A host whose clock is after 2038 already.
        assert!(AFTER_2038 + clock_offset(Level::After2038, AFTER_2038) > AFTER_2038);
    }

    #[test]
    fn packaging_is_never_behind() {
        for (offset, user, expected) in [
            (-5, StepUser::Build, true),
            (-5, StepUser::Root, false),
            (5, StepUser::Build, true),
            (5, StepUser::Root, true),
        ] {
            let files = ClockFiles {
                library: PathBuf::new(),
                preload: PathBuf::new(),
                offset,
            };
            assert_eq!(files.reaches(user), expected, "{offset} {user:?}");
        }
    }

    fn elf(kind: u16, headers: &[u32]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[16..18].copy_from_slice(&kind.to_le_bytes());
        file[32] = 64;
        file[54] = 56;
        file[56] = u8::try_from(headers.len()).unwrap();
        for header in headers {
            let mut bytes = vec![0; 56];
            bytes[..4].copy_from_slice(&header.to_le_bytes());
            file.extend(bytes);
        }
        file
    }

    #[test]
    fn programs_without_an_interpreter_are_static() {
        for (file, expected) in [
            (elf(2, &[1, 1]), true),
            (elf(2, &[6, 3, 1]), false),
            (elf(3, &[6, 3, 1, 2]), false),
            (elf(3, &[1, 2]), false),
            (elf(1, &[]), false),
            (elf(2, &[1, 1])[..100].to_vec(), false),
            (b"#!/bin/sh\n".to_vec(), false),
            (Vec::new(), false),
        ] {
            assert_eq!(is_static_elf(&file), expected, "{file:?}");
        }
    }
}
