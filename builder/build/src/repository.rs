//! `out/rpms` as a repository that dnf can use: `repodata/` over every package that kiln remembers
//! there, whichever run put it there.
//!
//! createrepo_c runs sealed, in a base image, over copies whose times are the packages' own; its
//! revision is the newest of them. So the bytes follow from the packages and the base image alone. The
//! result is a record in the store under a key over these, and a run with nothing to do asks for neither.
//!
//! A reader never sees a `repomd.xml` that names what is not there: new packages and new metadata come
//! first, `repomd.xml` last, and what nothing names any more goes after that.

use std::collections::BTreeSet;
use std::fs::FileTimes;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use kiln_model::{Digest, ReleasedLock};
use kiln_rpm::{Nevra, RpmFile};
use walkdir::WalkDir;

use crate::createrepo::{BaseLocks, Metadata, RepositoryCall, metadata};
use crate::error::BuildError;
use crate::memory::{
    Memory, REPODATA, RememberedFile, RememberedOutput, RepositoryRpm, RpmIdentity,
};
use crate::outputs::Summary;
use crate::publish::refused;
use crate::signed::Subject;
use crate::workshop::Workshop;

/// Where it is, relative to `out/`.
const FOLDER: &str = "rpms/repodata";
pub(crate) const INDEX: &str = "repomd.xml";
pub(crate) const SIGNATURE: &str = "rpms/repodata/repomd.xml.asc";

/// What a repository follows from besides its packages.
pub(crate) struct RepositoryInputs<'a> {
    pub(crate) released: &'a ReleasedLock,
    /// Lockfiles of base images that were read already.
    pub(crate) locks: BaseLocks,
}

/// Brings `repodata` up to date with what is in `out/rpms`, and takes away what was replaced.
pub(crate) fn update_repository(
    shop: &Workshop<'_>,
    found: &RepositoryInputs<'_>,
    memory: &mut Memory,
    replaced: Vec<RememberedFile>,
    summary: &mut Summary,
) -> Result<(), BuildError> {
    let RepositoryInputs { released, locks } = found;
    let gone = keep_released(memory, released, replaced);
    adopt_released(shop, memory, released)?;
    memory.drop_stale_earlier();
    let packages = repository_packages(memory);
    let call = RepositoryCall::new(shop, locks, packages)?;
    let key = call.key();
    if memory.unchanged(REPODATA, key, released).is_none() {
        let metadata = metadata(shop, &call)?;
        publish_metadata(shop, memory, key, &metadata, summary)?;
    }
    let known = memory.paths();
    for file in gone {
        let path = shop.output.join(file.path());
        // Only what kiln itself put there.
        if memory.is_as_it_was(&file) && !known.contains(file.path()) {
            drop(fs_err::remove_file(path));
        }
    }
    Ok(())
}

/// Returns the packages that the repository offers; source packages lie elsewhere.
pub(crate) fn repository_packages(memory: &mut Memory) -> Vec<RepositoryRpm> {
    let packages = memory.packages().into_iter();
    packages
        .filter(|package| package.path.starts_with("rpms"))
        .collect()
}

/// Keeps released packages for those who have not upgraded; returns the rest of what was replaced.
fn keep_released(
    memory: &mut Memory,
    released: &ReleasedLock,
    replaced: Vec<RememberedFile>,
) -> Vec<RememberedFile> {
    let is_released = |file: &RememberedFile| {
        let rpm = file.rpm();
        rpm.is_some_and(|rpm| released.package(&rpm.nevra).is_some())
    };
    let (kept, gone) = replaced.into_iter().partition(is_released);
    memory.keep(kept);
    gone
}

/// Takes released packages that lie in `out/rpms` into the repository, although this memory knows nothing
/// of them: a new store, or packages that people put back.
fn adopt_released(
    shop: &Workshop<'_>,
    memory: &mut Memory,
    released: &ReleasedLock,
) -> Result<(), BuildError> {
    let mut unknown = Vec::new();
    let known = memory.paths();
    let walk = WalkDir::new(shop.output.join("rpms"))
        .min_depth(2)
        .max_depth(2);
    for entry in walk.sort_by_file_name().into_iter().flatten() {
        let Ok(path) = entry.path().strip_prefix(shop.output) else {
            continue;
        };
        let is_rpm = path.extension().is_some_and(|extension| extension == "rpm");
        if entry.file_type().is_file() && is_rpm && !known.contains(path) {
            unknown.push(path.to_owned());
        }
    }
    if unknown.is_empty() {
        return Ok(());
    }
    let names: BTreeSet<String> = released
        .packages()
        .filter_map(|(nevra, _)| Some(nevra.parse::<Nevra>().ok()?.file_name()))
        .collect();
    let mut adopted = Vec::new();
    for path in unknown {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !names.contains(&name) {
            continue;
        }
        let bytes = fs_err::read(shop.output.join(&path))?;
        let Ok(rpm) = RpmFile::parse(&bytes) else {
            continue;
        };
        let identity = rpm_identity(&rpm);
        let found = released.package(&identity.nevra);
        if found.is_some_and(|found| found.content == identity.content)
            && rpm.nevra().file_name() == name
        {
            adopted.push(RememberedFile::of_package(
                &path,
                Digest::of(&bytes),
                identity,
            ));
        }
    }
    memory.keep(adopted);
    Ok(())
}

/// Returns what a package is, whoever signed it.
pub(crate) fn rpm_identity(rpm: &RpmFile) -> RpmIdentity {
    RpmIdentity {
        nevra: rpm.nevra().to_string(),
        content: rpm.content_digest(),
    }
}

/// Writes the metadata and its signature, if there is one; takes away what nothing names any more.
fn publish_metadata(
    shop: &Workshop<'_>,
    memory: &mut Memory,
    key: Digest,
    metadata: &Metadata,
    summary: &mut Summary,
) -> Result<(), BuildError> {
    let mut files = Vec::new();
    let mut write = |path: &Path, sha256: &Digest| {
        let bytes = shop.store.read_blob(sha256)?;
        files.push(RememberedFile::with_digest(path, *sha256));
        summary.write(&shop.output.join(path), &bytes)
    };
    for (name, sha256) in metadata.files.iter().filter(|(name, _)| *name != INDEX) {
        write(&Path::new(FOLDER).join(name), sha256)?;
    }
    let signed = Subject::Repository(metadata.index).signed(shop.store)?;
    let signature = shop.output.join(SIGNATURE);
    if signed.is_none() && signature.symlink_metadata().is_ok() {
        // It is of another index: readers who ask for one must not take the new one for signed.
        fs_err::remove_file(&signature).map_err(refused(&signature))?;
    }
    write(&Path::new(FOLDER).join(INDEX), &metadata.index)?;
    for file in signed.iter().flat_map(|signed| &signed.files) {
        write(&file.path, &file.sha256)?;
    }
    remove_others(shop, &files);
    memory.remember(REPODATA, RememberedOutput::new(key, files));
    Ok(())
}

/// Removes what an earlier index named. The folder is kiln's own.
fn remove_others(shop: &Workshop<'_>, files: &[RememberedFile]) {
    let walk = WalkDir::new(shop.output.join(FOLDER))
        .min_depth(1)
        .max_depth(1);
    for entry in walk.sort_by_file_name().into_iter().flatten() {
        let is_current = files
            .iter()
            .any(|file| shop.output.join(file.path()) == entry.path());
        if !entry.file_type().is_dir() && !is_current {
            drop(fs_err::remove_file(entry.path()));
        }
    }
}

/// Copies the packages to where createrepo_c reads them, each with the time that it was built at; returns
/// the newest of these times.
pub(crate) fn lay_out(
    shop: &Workshop<'_>,
    packages: &[RepositoryRpm],
    folder: &Path,
) -> Result<u32, BuildError> {
    let mut newest = 0;
    for package in packages {
        if shop.cancel.is_cancelled() {
            return Err(BuildError::Cancelled);
        }
        let (bytes, rpm) = read_package(shop, package)?;
        let target = folder.join(location(package));
        if let Some(parent) = target.parent() {
            fs_err::create_dir_all(parent)?;
        }
        fs_err::write(&target, bytes)?;
        let built = rpm.build_time().unwrap_or(0);
        let file = fs_err::OpenOptions::new().write(true).open(&target)?;
        let time = UNIX_EPOCH + Duration::from_secs(u64::from(built));
        // Both: some file systems in user space set none where one is left out.
        let times = FileTimes::new().set_accessed(time).set_modified(time);
        file.file().set_times(times)?;
        newest = newest.max(built);
    }
    Ok(newest)
}

/// Returns where a package is in the repository.
pub(crate) fn location(package: &RepositoryRpm) -> PathBuf {
    let below = package.path.strip_prefix("rpms");
    below.unwrap_or(&package.path).to_owned()
}

/// Reads a package of `out/`, which must have the bytes that are remembered.
pub(crate) fn read_package(
    shop: &Workshop<'_>,
    package: &RepositoryRpm,
) -> Result<(Vec<u8>, RpmFile), BuildError> {
    let bytes = fs_err::read(shop.output.join(&package.path))?;
    let unreadable = |reason: String| BuildError::Rpm {
        recipe: package.owner.clone(),
        file: package.path.display().to_string(),
        reason,
    };
    let actual = Digest::of(&bytes);
    if actual != package.sha256 {
        let expected = package.sha256;
        return Err(unreadable(format!(
            "it changed meanwhile: expected {expected}, actual {actual}"
        )));
    }
    let rpm = RpmFile::parse(&bytes).map_err(|error| unreadable(error.to_string()))?;
    Ok((bytes, rpm))
}
