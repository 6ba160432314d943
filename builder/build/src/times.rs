//! Times of files that steps see through another clock.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Timespec, Timestamps, statat, utimensat};
use walkdir::WalkDir;

use crate::workshop::Workshop;

/// Makes all times in a folder be seen as they are now, whatever clock the next step has. Where the clock
/// is behind, packaging has the host's.
pub(crate) fn shift_all(shop: &Workshop<'_>, folder: &Path) -> std::io::Result<()> {
    match shop.circumstances.clock_offset {
        offset @ 1.. => shift_times(folder, -offset),
        _ => Ok(()),
    }
}

/// Adds seconds to the modification time of everything in a folder, and of the folder.
pub(crate) fn shift_times(folder: &Path, seconds: i64) -> std::io::Result<()> {
    let walk = WalkDir::new(folder)
        .contents_first(true)
        .sort_by_file_name();
    let mut linked = BTreeSet::new();
    for entry in walk {
        let entry = entry.map_err(std::io::Error::from)?;
        let found = statat(CWD, entry.path(), AtFlags::SYMLINK_NOFOLLOW)?;
        // A file with several names moves once.
        if found.st_nlink > 1
            && FileType::from_raw_mode(found.st_mode) != FileType::Directory
            && !linked.insert((found.st_dev, found.st_ino))
        {
            continue;
        }
        let time = Timespec {
            tv_sec: found.st_mtime.saturating_add(seconds),
            tv_nsec: i64::try_from(found.st_mtime_nsec).unwrap_or(0),
        };
        // Both: some file systems in user space set none where one is left out.
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        utimensat(CWD, entry.path(), &times, AtFlags::SYMLINK_NOFOLLOW)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn folders_files_and_links_move_by_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs_err::create_dir(root.join("d")).unwrap();
        fs_err::write(root.join("d/f"), "x").unwrap();
        fs_err::hard_link(root.join("d/f"), root.join("h")).unwrap();
        fs_err::os::unix::fs::symlink("nowhere", root.join("l")).unwrap();
        let times = || {
            let of = |path: &str| root.join(path).symlink_metadata().unwrap();
            ["", "d", "d/f", "l"].map(|path| (of(path).mtime(), of(path).mtime_nsec()))
        };
        let before = times();
        shift_times(root, -86_400).unwrap();
        assert_eq!(times(), before.map(|(time, part)| (time - 86_400, part)));
        shift_times(root, 86_400).unwrap();
        assert_eq!(times(), before);
    }
}
