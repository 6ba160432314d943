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
}
