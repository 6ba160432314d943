//! The folders and files that make a folder a store, and the format that they state.
//!
//! ```text
//! kiln-store.json   {"format":2}: made first; a folder with other things and without it is refused
//! oci-layout        {"imageLayoutVersion":"1.0.0"} (OCI image-spec "Image Layout")
//! index.json        a view of refs/, written under index.lock
//! blobs/sha256/     the truth, one read-only file per digest
//! refs/ actions/    records: one small file per name or build key
//! outputs/          records: what was last seen in a folder of results
//! latest/           records: what was last built for a folder of results, and from what
//! projects/         records: the projects that use the store
//! lease.lock        see `lease`
//! trees/<hex>/      root/ and seal.json: unpacked layers and destdirs
//! locks/            who makes what just now; see `turn`
//! tmp/              what is not finished; see `temporary`
//! quarantine/       damaged blobs and trees, kept as evidence
//! kept/             scratch folders of failed steps; see `kept`
//! ```
//!
//! Format 2 came with leases and artifacts. A store of format 1 is one of format 2 but for that number:
//! its records are read as they are, and kilns that know nothing of leases must refuse it.

use std::io;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::publish::{NameSync, Published, publish, replace_file, sync_folder, sync_parent};

/// Format of the store's folders and records. A newer one is refused.
pub const STORE_FORMAT: u32 = 2;

/// The file that makes a folder a store.
pub const FORMAT_FILE: &str = "kiln-store.json";
/// Names in a new store's root that do not make it somebody else's folder: the start of ours, and
/// what file systems put into their root.
pub(crate) const UNFINISHED: &str = ".kiln-";
const FOLDERS: &[&str] = &[
    "blobs",
    "blobs/sha256",
    "refs",
    "actions",
    "outputs",
    "latest",
    "projects",
    "trees",
    "locks",
    "tmp",
    "quarantine",
];

/// Longest path of a store, in bytes: the system's limit is 4095, and paths in a tree may have 3072.
const LONGEST_ROOT: usize = 900;

/// Refuses a path below which trees would have no room.
fn check_length(root: &Path) -> Result<(), StoreError> {
    /// How much of it is shown, in characters.
    const SHOWN: usize = 80;
    let actual = root.as_os_str().len();
    if actual <= LONGEST_ROOT {
        return Ok(());
    }
    Err(StoreError::PathTooLong {
        start: root.to_string_lossy().chars().take(SHOWN).collect(),
        actual,
        limit: LONGEST_ROOT,
    })
}

/// A folder that is a store.
pub(crate) struct Prepared {
    /// Absolute, without links.
    pub(crate) root: PathBuf,
    /// The older format that it has: [`migrate`] comes next.
    pub(crate) migrated_from: Option<u32>,
}

/// Makes `root` a store, or checks that it is one.
pub(crate) fn prepare(root: &Path) -> Result<Prepared, StoreError> {
    let absolute =
        std::path::absolute(root).map_err(|error| StoreError::from_io("read", root, error))?;
    check_length(&absolute)?;
    match fs_err::metadata(root) {
        Ok(found) if !found.is_dir() => return Err(StoreError::NotAFolder { path: root.into() }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::fs::DirBuilder::new()
                .recursive(true)
                .create(root)
                .map_err(|error| StoreError::from_io("create", root, error))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(StoreError::NotAFolder { path: root.into() });
        }
        Err(error) => return Err(StoreError::from_io("read", root, error)),
    }
    let root = absolute
        .canonicalize()
        .map_err(|error| StoreError::from_io("read", root, error))?;
    check_length(&root)?;
    let mut found = check_format(&root)?;
    if found.is_none() {
        check_unused(&root)?;
        create_file(&root, FORMAT_FILE, &format_text())?;
        // Another kiln may have been quicker, and newer or older.
        found = check_format(&root)?;
    }
    let migrated_from = found.filter(|format| *format < STORE_FORMAT);
    let mut is_new = false;
    for folder in FOLDERS {
        is_new |= create_folder(&root.join(folder))?;
    }
    if is_new {
        for folder in [&root.join("blobs"), &root] {
            sync_folder(folder)?;
        }
        sync_parent(&root)?;
    }
    if root.join("oci-layout").symlink_metadata().is_err() {
        create_file(&root, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}\n")?;
    }
    Ok(Prepared {
        root,
        migrated_from,
    })
}

/// Brings a store of an older format up to the present one.
pub(crate) fn migrate(root: &Path, temporary: &Path) -> Result<(), StoreError> {
    replace_file(temporary, &root.join(FORMAT_FILE), format_text().as_bytes())
}

fn format_text() -> String {
    format!("{{\"format\":{STORE_FORMAT}}}\n")
}

/// Refuses a folder that neither is a store nor can become one; changes nothing.
pub(crate) fn check(root: &Path) -> Result<(), StoreError> {
    match check_format(root)? {
        Some(_) => Ok(()),
        None => check_unused(root),
    }
}

/// Makes a folder unless it is there; returns whether it was made.
fn create_folder(path: &Path) -> Result<bool, StoreError> {
    match std::fs::DirBuilder::new().create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // A link would lead what is written, and what is removed from `tmp/`, elsewhere.
            match path.symlink_metadata() {
                Ok(found) if found.is_dir() => Ok(false),
                Ok(_) => Err(StoreError::NotAFolder { path: path.into() }),
                Err(error) => Err(StoreError::from_io("read", path, error)),
            }
        }
        Err(error) => Err(StoreError::from_io("create", path, error)),
    }
}

/// Returns the format if one is stated, and refuses one that is newer or unreadable.
fn check_format(root: &Path) -> Result<Option<u32>, StoreError> {
    let path = root.join(FORMAT_FILE);
    let text = match fs_err::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            let reason = "it is a folder".to_owned();
            return Err(StoreError::DamagedFormat { path, reason });
        }
        Err(error) => return Err(StoreError::from_io("read", &path, error)),
    };
    let damaged = |reason: String| StoreError::DamagedFormat {
        path: path.clone(),
        reason,
    };
    let stated: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    let format = stated.get("format").and_then(serde_json::Value::as_u64);
    let Some(format) = format.and_then(|format| u32::try_from(format).ok()) else {
        return Err(damaged(format!(
            "expected a number as `format`, got {stated}"
        )));
    };
    match format {
        0 => Err(damaged("format 0 was never used".to_owned())),
        format if format <= STORE_FORMAT => Ok(Some(format)),
        actual => Err(StoreError::Newer {
            path: root.into(),
            expected: STORE_FORMAT,
            actual,
        }),
    }
}

/// Refuses a folder that holds anything but the beginnings of a store.
fn check_unused(root: &Path) -> Result<(), StoreError> {
    let entries = walkdir::WalkDir::new(root)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    for entry in entries {
        let entry = entry.map_err(|error| StoreError::from_io("read", root, error))?;
        let name = entry.file_name().to_string_lossy();
        if !name.starts_with(UNFINISHED) && name != "lost+found" && name != FORMAT_FILE {
            // Another kiln that is making this store writes its format first.
            if check_format(root)?.is_some() {
                return Ok(());
            }
            return Err(StoreError::NotAStore {
                path: root.into(),
                found: name.into_owned(),
            });
        }
    }
    Ok(())
}

/// Writes a file of the layout unless it is there.
fn create_file(root: &Path, name: &str, text: &str) -> Result<(), StoreError> {
    let failed = |error: io::Error| StoreError::from_io("create", &root.join(name), error);
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(root)
        .map_err(failed)?;
    io::Write::write_all(&mut file, text.as_bytes()).map_err(failed)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode).map_err(failed)?;
    file.as_file().sync_all().map_err(failed)?;
    if publish(file.path(), &root.join(name), NameSync::Now)? == Published::New {
        let _ = file.into_temp_path().keep();
    }
    Ok(())
}
