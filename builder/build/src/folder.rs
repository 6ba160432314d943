//! Folders and files whose permissions reach an output: given outright, whatever the umask is.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Creates `below` and every missing folder on the way from `root`, each with mode 0755.
pub(crate) fn create_folders(root: &Path, below: &str) -> io::Result<()> {
    let mut path = root.to_owned();
    if !path.is_dir() {
        fs_err::create_dir_all(&path)?;
        set_mode(&path, 0o755)?;
    }
    for part in below.split('/').filter(|part| !part.is_empty()) {
        path.push(part);
        if !path.is_dir() {
            fs_err::create_dir(&path)?;
            set_mode(&path, 0o755)?;
        }
    }
    Ok(())
}

/// Sets permission bits.
pub(crate) fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode))
}

/// Writes a file with mode 0644 below folders with mode 0755. `path` is relative to `root`.
pub(crate) fn write_file(root: &Path, path: &str, bytes: &[u8]) -> io::Result<()> {
    if let Some((folder, _)) = path.rsplit_once('/') {
        create_folders(root, folder)?;
    }
    let target = root.join(path);
    fs_err::write(&target, bytes)?;
    set_mode(&target, 0o644)
}
