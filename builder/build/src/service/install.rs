//! Reads the files of a recipe's folder that its packages install, with the recipe.
//!
//! No link is followed, wherever in the path it stands: what is packaged lies in the recipe's folder.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

use kiln_model::Recipe;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use crate::project::ProjectError;

/// Largest file that a recipe installs, in bytes: what is larger belongs into a source.
const MAX_INSTALLED: u64 = 4 << 20;

/// What could be read of a recipe's files, and what could not.
#[derive(Debug, Default)]
pub(crate) struct Installed {
    /// Bytes by the path in the recipe's folder.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// One error for each file that can not be used.
    pub(crate) errors: Vec<ProjectError>,
}

/// Reads every file that the packages of `recipe` install.
pub(crate) fn read_installed(folder: &Path, recipe: &Recipe) -> Installed {
    let mut installed = Installed::default();
    for package in &recipe.packages {
        for item in &package.services.install {
            if installed.files.contains_key(&item.file) {
                continue;
            }
            match read(folder, &item.file) {
                Ok(bytes) => drop(installed.files.insert(item.file.clone(), bytes)),
                Err(reason) => installed.errors.push(ProjectError::InstallFile {
                    recipe: recipe.name.clone(),
                    package: package.name.clone(),
                    file: item.file.clone(),
                    reason,
                }),
            }
        }
    }
    installed
}

fn read(folder: &Path, file: &str) -> Result<Vec<u8>, String> {
    let handle = open(folder, file)?;
    let file = std::fs::File::from(handle);
    let metadata = file.metadata().map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let mut bytes = Vec::new();
    file.take(MAX_INSTALLED + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_INSTALLED {
        return Err(format!("it has more than {MAX_INSTALLED} bytes"));
    }
    Ok(bytes)
}

/// Opens a file component by component, through handles.
fn open(folder: &Path, file: &str) -> Result<OwnedFd, String> {
    // A FIFO would keep a reader waiting without `NONBLOCK`.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let refused = |error: Errno| match error {
        Errno::LOOP | Errno::NOTDIR => {
            "it is a symbolic link, or lies behind one or in no folder".to_owned()
        }
        error => std::io::Error::from(error).to_string(),
    };
    let top = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
    let mut handle = openat(CWD, folder, top, Mode::empty()).map_err(refused)?;
    let mut parts = file.split('/').peekable();
    while let Some(part) = parts.next() {
        let is_folder = parts.peek().is_some();
        let directory = if is_folder {
            OFlags::DIRECTORY
        } else {
            OFlags::empty()
        };
        handle = openat(&handle, part, flags | directory, Mode::empty()).map_err(refused)?;
    }
    Ok(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_below_the_folder_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs_err::create_dir(path("files")).unwrap();
        fs_err::write(path("files/a.service"), "[Unit]\n").unwrap();
        fs_err::os::unix::fs::symlink("a.service", path("files/link")).unwrap();
        fs_err::os::unix::fs::symlink("files", path("other")).unwrap();
        fs_err::write(path("large"), vec![0; 4 << 20]).unwrap();
        fs_err::write(path("larger"), vec![0; (4 << 20) + 1]).unwrap();
        rustix::fs::mkfifoat(CWD, path("fifo"), Mode::from_raw_mode(0o600)).unwrap();
        assert_eq!(read(folder.path(), "files/a.service").unwrap(), b"[Unit]\n");
        assert_eq!(read(folder.path(), "large").unwrap().len(), 4 << 20);
        for (file, reason) in [
            ("absent", "No such file or directory (os error 2)"),
            ("files/absent/x", "No such file or directory (os error 2)"),
            ("files", "it is no regular file"),
            ("fifo", "it is no regular file"),
            ("larger", "it has more than 4194304 bytes"),
            (
                "files/link",
                "it is a symbolic link, or lies behind one or in no folder",
            ),
            (
                "other/a.service",
                "it is a symbolic link, or lies behind one or in no folder",
            ),
            (
                "large/x",
                "it is a symbolic link, or lies behind one or in no folder",
            ),
        ] {
            assert_eq!(read(folder.path(), file), Err(reason.to_owned()), "{file}");
        }
    }
}
