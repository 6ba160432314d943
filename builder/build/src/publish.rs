//! Puts results where people look for them: `out/`.
//!
//! Each file appears whole or not at all: it is written beside its place and renamed. A file that
//! already has the right bytes is left alone, so that nothing to do changes nothing.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use kiln_model::Digest;

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
    let folder = path
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_owned);
    fs_err::create_dir_all(&folder)?;
    let named = |error: std::io::Error| {
        BuildError::Io(std::io::Error::new(
            error.kind(),
            format!("{}: {error}", path.display()),
        ))
    };
    let mut file = tempfile::Builder::new()
        .prefix(".kiln-")
        .permissions(readable())
        .tempfile_in(&folder)
        .map_err(named)?;
    file.write_all(bytes).map_err(named)?;
    file.as_file().sync_all().map_err(named)?;
    file.persist(path).map_err(|error| named(error.error))?;
    Ok(Publication::Written)
}

fn readable() -> std::fs::Permissions {
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
