//! Damaged things are set aside: kept as evidence in `quarantine/`, out of everybody's way, and
//! remembered, so that whoever works with the store can say so and make or fetch them again.

use std::fmt;
use std::path::{Path, PathBuf};

use kiln_model::{DiffId, Digest};

use crate::error::StoreError;
use crate::publish::{rename_noreplace, sync_parent};
use crate::store::Store;

/// What was damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredThing {
    /// A blob.
    Blob(Digest),
    /// An unpacked tree.
    Tree(DiffId),
}

impl fmt::Display for StoredThing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blob(digest) => write!(f, "blob {digest}"),
            Self::Tree(id) => write!(f, "tree {}", id.0),
        }
    }
}

/// Something damaged that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// What it was.
    pub thing: StoredThing,
    /// Where it is now.
    pub evidence: PathBuf,
}

/// What one handle set aside.
#[derive(Debug, Default)]
pub(crate) struct Noted {
    /// What nobody was told of yet.
    untold: Vec<SetAside>,
    count: usize,
}

impl Store {
    /// Returns how many damaged things this handle met so far: more than before means that what failed
    /// since may succeed now, because they are out of the way.
    #[must_use]
    pub fn set_aside_count(&self) -> usize {
        self.noted().count
    }

    /// Returns what was set aside since this was last asked.
    #[must_use]
    pub fn take_set_aside(&self) -> Vec<SetAside> {
        std::mem::take(&mut self.noted().untold)
    }

    /// Moves what is at `path` to `quarantine/`; returns where it is now.
    pub(crate) fn quarantine(
        &self,
        path: &Path,
        thing: StoredThing,
    ) -> Result<PathBuf, StoreError> {
        let evidence = move_aside(path, &self.root().join("quarantine"))?;
        let mut noted = self.noted();
        noted.count += 1;
        noted.untold.push(SetAside {
            thing,
            evidence: evidence.clone(),
        });
        Ok(evidence)
    }
}

/// Moves something to the folder `quarantine` under a name of its own.
pub(crate) fn move_aside(path: &Path, folder: &Path) -> Result<PathBuf, StoreError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let moved = tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .make_in(folder, |evidence| Ok(rename_noreplace(path, evidence)?));
    match moved {
        Ok(moved) => {
            let failed = |error: tempfile::PathPersistError| error.error;
            let evidence = moved
                .into_temp_path()
                .keep()
                .map_err(|error| StoreError::from_io("write", folder, failed(error)))?;
            // A damaged thing that came back after a power cut would be met again: no harm, but work.
            sync_parent(path)?;
            Ok(evidence)
        }
        // Another reader found the same and was quicker.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(folder.to_owned()),
        Err(error) => Err(StoreError::from_io("write", folder, error)),
    }
}
