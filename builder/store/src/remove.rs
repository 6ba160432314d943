//! Removal of folders that hostile or broken programs filled.
//!
//! Works by handles, never by path: a symlink is removed, never followed; a mount point is left
//! alone; folders of any mode (`000`) and any depth go, with a fixed number of open handles.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Folders nest this deep before the rest is moved up: bounds the open handles and the stack.
const DEPTH: usize = 64;

/// Removes whatever `path` names, with all that is below it. What is gone already is no error.
pub(crate) fn remove_all(path: &Path) -> Result<(), Errno> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL);
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let parent = match rustix::fs::openat(CWD, parent, flags, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        outcome => outcome?,
    };
    let name =
        CString::new(std::os::unix::ffi::OsStrExt::as_bytes(name)).map_err(|_| Errno::INVAL)?;
    if !remove_non_folder(parent.as_fd(), &name)? {
        return Ok(());
    }
    let folder = open_folder(parent.as_fd(), &name)?;
    let mut emptying = Emptying {
        top: folder.as_fd(),
        moved_up: 0,
        failed: None,
    };
    // What lies too deep is moved to the top of this folder, so it is emptied until it stays empty.
    loop {
        emptying.empty(folder.as_fd(), DEPTH);
        if let Some(error) = emptying.failed {
            return Err(error);
        }
        match rustix::fs::unlinkat(&parent, &name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
}

/// One pass over a folder: goes on after a refusal, so that as little as possible remains.
struct Emptying<'a> {
    /// Where folders go that lie too deep.
    top: BorrowedFd<'a>,
    /// Folders moved to `top` so far: the next one's name.
    moved_up: u64,
    /// The first refusal.
    failed: Option<Errno>,
}

impl Emptying<'_> {
    /// Removes everything in `folder`; what lies deeper than `depth` is renamed into `top`.
    fn empty(&mut self, folder: BorrowedFd<'_>, depth: usize) {
        match names(folder) {
            Ok(names) => {
                for name in names {
                    if let Err(error) = self.remove(folder, &name, depth) {
                        self.failed.get_or_insert(error);
                    }
                }
            }
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
    }

    fn remove(&mut self, folder: BorrowedFd<'_>, name: &CStr, depth: usize) -> Result<(), Errno> {
        if !remove_non_folder(folder, name)? {
            return Ok(());
        }
        let child = match open_folder(folder, name) {
            Err(Errno::NOENT) => return Ok(()),
            outcome => outcome?,
        };
        if depth == 0 {
            return self.move_up(folder, name);
        }
        self.empty(child.as_fd(), depth - 1);
        match rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn move_up(&mut self, folder: BorrowedFd<'_>, name: &CStr) -> Result<(), Errno> {
        loop {
            self.moved_up += 1;
            let new_name = format!(".kiln-remove-{}", self.moved_up);
            match rustix::fs::renameat(folder, name, self.top, new_name) {
                // A hostile program may have taken the name.
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                outcome => return outcome,
            }
        }
    }
}

/// Removes `name` unless it is a folder; returns whether it is one.
fn remove_non_folder(parent: BorrowedFd<'_>, name: &CStr) -> Result<bool, Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(false),
        Err(Errno::ISDIR | Errno::PERM) => {
            let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
            if rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir() {
                Ok(true)
            } else {
                Err(Errno::PERM)
            }
        }
        Err(error) => Err(error),
    }
}

/// Opens the folder `name`, makes it readable and writable first, refuses links and mount points.
fn open_folder(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    let handle = match rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve) {
        // Older kernels, and seccomp filters of older container engines.
        Err(Errno::NOSYS | Errno::PERM) => rustix::fs::openat(parent, name, flags, Mode::empty())?,
        outcome => outcome?,
    };
    // A handle opened with O_PATH can not be chmodded itself, but its magic link can, and that
    // names exactly this folder, whatever has happened to the path since.
    let link = format!("/proc/self/fd/{}", handle.as_raw_fd());
    // A refusal shows below, when the folder is read.
    let _ = rustix::fs::chmodat(CWD, &*link, Mode::RWXU, AtFlags::empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(&handle, c".", flags, Mode::empty())
}

fn names(folder: BorrowedFd<'_>) -> Result<Vec<CString>, Errno> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn unreadable_folders_go_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let outside = folder.path().join("outside");
        fs_err::create_dir(&outside).unwrap();
        fs_err::write(outside.join("precious"), "x").unwrap();
        let mode = outside.metadata().unwrap().permissions().mode();
        let victim = folder.path().join("victim");
        fs_err::create_dir_all(victim.join("a/b/c")).unwrap();
        fs_err::write(victim.join("a/b/c/file"), "x").unwrap();
        symlink(&outside, victim.join("a/link")).unwrap();
        symlink("/nonexistent", victim.join("dangling")).unwrap();
        for (path, mode) in [("a/b/c", 0), ("a/b", 0o500), ("a", 0), ("", 0o555)] {
            chmod(&victim.join(path), mode);
        }
        remove_all(&victim).unwrap();
        assert!(victim.symlink_metadata().is_err());
        assert_eq!(fs_err::read(outside.join("precious")).unwrap(), b"x");
        assert_eq!(outside.metadata().unwrap().permissions().mode(), mode);
    }

    #[test]
    fn a_link_a_file_and_nothing_are_removed_as_such() {
        let folder = tempfile::tempdir().unwrap();
        let kept = folder.path().join("kept");
        fs_err::create_dir(&kept).unwrap();
        let link = folder.path().join("link");
        symlink(&kept, &link).unwrap();
        remove_all(&link).unwrap();
        assert!(kept.is_dir());
        assert!(link.symlink_metadata().is_err());
        remove_all(&folder.path().join("nothing")).unwrap();
        remove_all(&folder.path().join("no/parent")).unwrap();
    }

    #[test]
    fn any_depth_goes() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs_err::create_dir(&victim).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut handle = rustix::fs::open(&victim, flags, Mode::empty()).unwrap();
        // Deeper than PATH_MAX lets any path reach, and than there are handles.
        for _ in 0..1500 {
            rustix::fs::mkdirat(&handle, c"deeper", Mode::RWXU).unwrap();
            handle = rustix::fs::openat(&handle, c"deeper", flags, Mode::empty()).unwrap();
        }
        remove_all(&victim).unwrap();
        assert!(victim.symlink_metadata().is_err());
    }
}
