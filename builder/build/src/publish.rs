//! Puts results where people look for them: `out/`.
//!
//! Each file appears whole or not at all: it is written beside its place and renamed. A file that
//! already has the right bytes is left alone, so that nothing to do changes nothing.

use std::fs::Permissions;
use std::io::Write as _;
use std::path::Path;

use kiln_model::Digest;
use tempfile::NamedTempFile;

use crate::error::BuildError;

/// Whether a file had to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Publication {
    /// It was written.
    Written,
    /// It already had these bytes.
    Unchanged,
}

/// Writes `bytes` to `path` atomically, unless it already has them.
///
/// # Errors
/// `Io`, with the path. A half-written file never stays.
pub fn publish(path: &Path, bytes: &[u8]) -> Result<Publication, BuildError> {
    if has_bytes(path, bytes) {
        return Ok(Publication::Unchanged);
    }
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    write(path, bytes, readable())?;
    Ok(Publication::Written)
}

/// Writes `bytes` over the file at `path` atomically; it keeps its permissions.
///
/// # Errors
/// `Io`, with the path. A half-written file never stays.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    write(path, bytes, fs_err::metadata(path)?.permissions())
}

/// Writes a file that must not be there yet, atomically.
///
/// # Errors
/// `Io`, with the path; of kind `AlreadyExists` when something has the name.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    let named = |error: std::io::Error| BuildError::Io(with_path(path, &error));
    let file = temporary(path, bytes, readable()).map_err(named)?;
    file.persist_noclobber(path)
        .map_err(|error| named(error.error))?;
    Ok(())
}

fn write(path: &Path, bytes: &[u8], permissions: Permissions) -> Result<(), BuildError> {
    let named = |error: std::io::Error| BuildError::Io(with_path(path, &error));
    let file = temporary(path, bytes, permissions).map_err(named)?;
    file.persist(path).map_err(|error| named(error.error))?;
    Ok(())
}

fn with_path(path: &Path, error: &std::io::Error) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// Writes a file beside `path`, which is renamed to it when it is whole.
fn temporary(
    path: &Path,
    bytes: &[u8],
    permissions: Permissions,
) -> std::io::Result<NamedTempFile> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".kiln-")
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    // Outright, whatever the umask.
    file.as_file().set_permissions(permissions)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn readable() -> Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

fn has_bytes(path: &Path, bytes: &[u8]) -> bool {
    let is_same_length = path
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.len() == bytes.len() as u64);
    is_same_length
        && fs_err::read(path).is_ok_and(|actual| Digest::of(&actual) == Digest::of(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_and_is_left_alone_when_right() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        assert_eq!(publish(&path, b"one").unwrap(), Publication::Written);
        assert_eq!(publish(&path, b"one").unwrap(), Publication::Unchanged);
        assert_eq!(publish(&path, b"two").unwrap(), Publication::Written);
        assert_eq!(fs_err::read(&path).unwrap(), b"two");
        let names: Vec<_> = walkdir::WalkDir::new(folder.path().join("a"))
            .min_depth(1)
            .into_iter()
            .map(|entry| entry.unwrap().file_name().to_owned())
            .collect();
        assert_eq!(names, ["b.txt"], "nothing half-written stays");
    }

    #[test]
    fn a_place_that_can_not_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        publish(&blocked, b"x").unwrap();
        let error = publish(&blocked.join("below"), b"y").unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
    }
}
