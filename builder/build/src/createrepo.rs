//! One sealed call of createrepo_c, and what came out of it.
//!
//! What stands in the key of the result: the base image, the command, and of each package its place,
//! digest and size. The revision is not in it: it follows from the packages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use kiln_model::{
    BaseLock, BaseName, BaseOrigin, Digest, Mount, MountAccess, STEP_RUNNER_VERSION, SealedStep,
    StepUser,
};
use kiln_store::{ArtifactKind, NewResult, media_type};
use serde::{Deserialize, Serialize};
use walkdir::WalkDir;

use crate::error::BuildError;
use crate::key::canonical_json;
use crate::lock::checked_base_lock;
use crate::memory::RepositoryRpm;
use crate::packaging::run_packaging;
use crate::recorded::part;
use crate::repository::{INDEX, lay_out, location};
use crate::rootfs::Rootfs;
use crate::script::{BUILD_ROOT, StepName};
use crate::times::shift_all;
use crate::turn::wait_for_turn;
use crate::work::Work;
use crate::workshop::{Running, Workshop};

/// The format of the record of finished metadata.
const METADATA_FORMAT: u32 = 1;
const PROGRAM: &str = "/usr/bin/createrepo_c";
/// Debian's package that has it.
const PACKAGE: &str = "createrepo-c";
/// Every option that has a default which a release of createrepo_c could change.
const OPTIONS: &str = "--quiet --no-database --checksum sha256 --general-compress-type gz \
                       --unique-md-filenames --workers 1 --set-timestamp-to-revision";

/// Lockfiles of base images, each read once.
pub(crate) type BaseLocks = BTreeMap<BaseName, Arc<BaseLock>>;

/// What createrepo_c is called with.
pub(crate) struct RepositoryCall {
    packages: Vec<RepositoryRpm>,
    rootfs: Rootfs,
}

/// Finished metadata: what its record in the store says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Metadata {
    format: u32,
    key: Digest,
    /// By file name; `repomd.xml` among them.
    pub(crate) files: BTreeMap<String, Digest>,
    /// `repomd.xml`.
    pub(crate) index: Digest,
    /// What stands in for the clock: seconds since 1970.
    pub(crate) revision: u32,
}

impl RepositoryCall {
    /// Chooses the base image: the first one by name, of those that recipes with packages are built on,
    /// that has createrepo_c; images of registries, which may be there or not, come last. What was built
    /// before does not count. `locks` are base images' lockfiles
    /// that were read already.
    pub(crate) fn new(
        shop: &Workshop<'_>,
        locks: &BaseLocks,
        packages: Vec<RepositoryRpm>,
    ) -> Result<Self, BuildError> {
        let recipes = shop.project.recipes.values().map(|loaded| &loaded.recipe);
        let products = recipes.filter(|recipe| !recipe.packages.is_empty());
        let bases: BTreeSet<&BaseName> = products.map(|recipe| &recipe.base).collect();
        let known = bases
            .iter()
            .filter_map(|name| shop.project.bases.get(*name));
        let mut known: Vec<_> = known.collect();
        known.sort_by_key(|base| matches!(base.origin, BaseOrigin::Image { .. }));
        for base in known {
            let name = &base.name;
            let lock = match locks.get(name) {
                Some(lock) => Some(Arc::clone(lock)),
                None => match checked_base_lock(shop.project, base, shop.architecture) {
                    Ok(lock) => lock.map(Arc::new),
                    // A base that nothing was built on yet.
                    Err(BuildError::NotLocked { .. }) => continue,
                    Err(error) => return Err(error),
                },
            };
            let rootfs = match Rootfs::of_base(shop, base, lock) {
                // Nothing can have been built on it.
                Err(BuildError::NotPulled { .. }) => continue,
                rootfs => rootfs?,
            };
            if has_program(shop, &rootfs)? {
                return Ok(Self { packages, rootfs });
            }
        }
        let bases = bases.into_iter().cloned().collect();
        Err(BuildError::NoCreaterepo { bases })
    }

    /// Returns the key of the result.
    pub(crate) fn key(&self) -> Digest {
        let packages = self.packages.iter().map(|package| {
            let place = location(package).display().to_string();
            serde_json::json!([place, package.sha256, package.size.to_string()])
        });
        Digest::of(&canonical_json(&serde_json::json!({
            "kind": "repodata",
            "format": METADATA_FORMAT,
            "step-runner": STEP_RUNNER_VERSION,
            "base": self.rootfs.manifest,
            "command": [PROGRAM, OPTIONS],
            "packages": packages.collect::<Vec<_>>(),
        })))
    }
}

fn has_program(shop: &Workshop<'_>, rootfs: &Rootfs) -> Result<bool, BuildError> {
    if let Some(lock) = rootfs.base_lock() {
        return Ok(lock
            .packages
            .iter()
            .any(|package| package.name.as_str() == PACKAGE));
    }
    let trees = rootfs.base_only(shop)?;
    Ok(trees
        .iter()
        .any(|tree| tree.join(&PROGRAM[1..]).symlink_metadata().is_ok()))
}

/// Returns the metadata of a repository: the store's, or freshly made.
pub(crate) fn metadata(shop: &Workshop<'_>, call: &RepositoryCall) -> Result<Metadata, BuildError> {
    let key = call.key();
    if let Some(found) = cached(shop, key)? {
        return Ok(found);
    }
    let _turn = wait_for_turn(shop, &key, "the repository's metadata")?;
    if let Some(found) = cached(shop, key)? {
        return Ok(found);
    }
    let scratch = shop.store.scratch()?;
    let build = scratch.path().join("build");
    let revision = lay_out(shop, &call.packages, &build.join("rpms"))?;
    run(shop, call, &build, revision)?;
    let (files, index) = collect(shop, &build.join("repository/repodata"))?;
    let made = Metadata {
        format: METADATA_FORMAT,
        key,
        files,
        index,
        revision,
    };
    let mut parts = Vec::new();
    for (name, digest) in &made.files {
        parts.push(part(shop.store, *digest, media_type::BYTES, name)?);
    }
    let value = serde_json::to_vec(&made).expect("texts and numbers");
    shop.store.record_result(&NewResult {
        key: &key,
        kind: ArtifactKind::Repository,
        label: "repository",
        value: &value,
        parts: &parts,
    })?;
    Ok(made)
}

/// Returns the metadata recorded for `key` if the store has all of it.
fn cached(shop: &Workshop<'_>, key: Digest) -> Result<Option<Metadata>, BuildError> {
    let record = shop.store.result(&key)?;
    let found = record.and_then(|bytes| serde_json::from_slice::<Metadata>(&bytes).ok());
    let is_whole = |found: &Metadata| {
        let mut digests = found.files.values();
        found.format == METADATA_FORMAT
            && found.key == key
            && digests.all(|digest| shop.store.is_whole(digest))
    };
    Ok(found.filter(is_whole))
}

fn run(
    shop: &Workshop<'_>,
    call: &RepositoryCall,
    build: &Path,
    revision: u32,
) -> Result<(), BuildError> {
    for folder in ["rpms", "repository"] {
        fs_err::create_dir_all(build.join(folder))?;
    }
    shift_all(shop, build)?;
    let mut command = vec![PROGRAM.to_owned()];
    command.extend(OPTIONS.split_whitespace().map(str::to_owned));
    command.extend(["--revision".to_owned(), revision.to_string()]);
    let folders = ["--outputdir", "/build/repository", "/build/rpms"];
    command.extend(folders.map(str::to_owned));
    let environment = [
        ("HOME", StepUser::Root.home().to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("SOURCE_DATE_EPOCH", revision.to_string()),
        ("TZ", "UTC".to_owned()),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value));
    let root = || BUILD_ROOT.parse().expect("a constant path");
    let sealed = SealedStep {
        label: "repository: repodata".to_owned(),
        rootfs: call.rootfs.base_only(shop)?,
        mounts: vec![Mount {
            source: build.to_owned(),
            target: root(),
            access: MountAccess::ReadWrite,
        }],
        command,
        environment: environment.into(),
        working_directory: root(),
        user: StepUser::Root,
        limits: shop.limits(),
    };
    let work = Work::Repository;
    let step = Running {
        work: &work,
        step: StepName::Repodata,
    };
    let log = Path::new("logs/repository/repodata.log");
    run_packaging(shop, step, &sealed, ("repository", log)).map(drop)
}

/// Copies the metadata into the store: regular files, each of them named by the index. Everything in the
/// sandbox is dead.
fn collect(
    shop: &Workshop<'_>,
    folder: &Path,
) -> Result<(BTreeMap<String, Digest>, Digest), BuildError> {
    let wrong = |reason: String| BuildError::Repository { reason };
    if !folder.symlink_metadata().is_ok_and(|found| found.is_dir()) {
        return Err(wrong("there is no folder `repodata`".to_owned()));
    }
    let mut contents = BTreeMap::new();
    for entry in WalkDir::new(folder).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(std::io::Error::from)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_word = name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if !entry.file_type().is_file() || !is_word {
            return Err(wrong(format!("`{}` is no plain file", name.escape_debug())));
        }
        contents.insert(name, fs_err::read(entry.path())?);
    }
    let index = contents.get(INDEX).cloned();
    let index = index.ok_or_else(|| wrong(format!("there is no `{INDEX}`")))?;
    let text = String::from_utf8_lossy(&index);
    let mut files = BTreeMap::new();
    for (name, bytes) in &contents {
        if name != INDEX && !text.contains(&format!("\"repodata/{name}\"")) {
            return Err(wrong(format!("`{INDEX}` does not name `{name}`")));
        }
        files.insert(name.clone(), shop.store.write_part(bytes)?);
    }
    for named in text.split("href=\"repodata/").skip(1) {
        let name = named.split('"').next().unwrap_or_default();
        if !contents.contains_key(name) {
            return Err(wrong(format!(
                "`{INDEX}` names `{name}`, which is not there"
            )));
        }
    }
    let index = files[INDEX];
    Ok((files, index))
}
