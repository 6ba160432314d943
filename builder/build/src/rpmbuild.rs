//! One sealed run of rpmbuild, and what came out of it.

use std::path::{Path, PathBuf};

use kiln_image::Stoppable;
use kiln_model::{DiffId, Mount, MountAccess, SandboxPath, SealedStep, SourceDateEpoch};
use kiln_rpm::PackagingStep;
use walkdir::WalkDir;

use crate::compile::StepRecord;
use crate::error::BuildError;
use crate::folder::set_mode;
use crate::needs::check_packaging;
use crate::package::PackagedRpm;
use crate::packaging::run_packaging;
use crate::rootfs::{Rootfs, unpacked};
use crate::script::{BUILD_ROOT, SOURCE_ROOT, StepName};
use crate::spec::NOARCH;
use crate::stage::set_time;
use crate::times::shift_all;
use crate::work::Work;
use crate::workshop::{Running, Workshop};

/// Source trees are mounted where the compiler saw them, so that debugedit finds them.
pub(crate) fn source_mounts(
    shop: &Workshop<'_>,
    sources: &DiffId,
    build: &Path,
) -> Result<Vec<Mount>, BuildError> {
    let root = unpacked(shop, "source tree", sources)?;
    let mut mounts = Vec::new();
    for entry in WalkDir::new(&root)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name()
    {
        let entry = entry.map_err(std::io::Error::from)?;
        let name = entry.file_name().to_string_lossy();
        let Ok(target) = format!("{SOURCE_ROOT}/{name}").parse::<SandboxPath>() else {
            continue;
        };
        fs_err::create_dir_all(build.join("src").join(&*name))?;
        mounts.push(Mount {
            source: entry.path().to_owned(),
            target,
            access: MountAccess::ReadOnly,
        });
    }
    Ok(mounts)
}

/// One sealed call of rpmbuild.
pub(crate) struct RpmbuildRun<'a> {
    pub(crate) what: &'a str,
    pub(crate) work: &'a Work,
    pub(crate) log_folder: std::path::PathBuf,
    pub(crate) rootfs: &'a Rootfs,
    /// The host's side of `/build`.
    pub(crate) build: &'a Path,
    pub(crate) step: &'a PackagingStep,
    pub(crate) spec: &'a str,
    /// The file names of the packages that must come out, sorted.
    pub(crate) expected: Vec<String>,
    /// The file name of the source package that must come out.
    pub(crate) expected_source: String,
    /// The time that the spec file gets.
    pub(crate) source_date: SourceDateEpoch,
    /// What is mounted within `/build`.
    pub(crate) mounts: Vec<Mount>,
}

/// What a call of rpmbuild yields.
#[derive(Debug)]
pub(crate) struct RpmbuildPackages {
    /// Sorted by file name.
    pub(crate) rpms: Vec<PackagedRpm>,
    pub(crate) source_rpm: PackagedRpm,
    pub(crate) step: StepRecord,
}

/// Returns the host's side of a place below `/build`.
pub(crate) fn on_host(build: &Path, path: &SandboxPath) -> PathBuf {
    let below = path.as_str().strip_prefix("/build/");
    build.join(below.unwrap_or(path.relative()))
}

/// Runs rpmbuild and moves its packages into the store.
pub(crate) fn run_rpmbuild(
    shop: &Workshop<'_>,
    run: &RpmbuildRun<'_>,
) -> Result<RpmbuildPackages, BuildError> {
    if shop.cancel.is_cancelled() {
        return Err(BuildError::Cancelled);
    }
    check_packaging(shop, run.what, run.rootfs)?;
    let spec = on_host(run.build, &run.step.spec);
    for folder in ["src", "destdir"] {
        fs_err::create_dir_all(run.build.join(folder))?;
    }
    if let Some(folder) = spec.parent() {
        fs_err::create_dir_all(folder)?;
    }
    fs_err::write(&spec, run.spec)?;
    // The source package tells both.
    set_mode(&spec, 0o644)?;
    set_time(&spec, run.source_date)?;
    shift_all(shop, run.build)?;
    let mut mounts = vec![Mount {
        source: run.build.to_owned(),
        target: BUILD_ROOT.parse().expect("a constant path"),
        access: MountAccess::ReadWrite,
    }];
    mounts.extend(run.mounts.iter().cloned());
    let sealed = SealedStep {
        label: format!("{}: package", run.what),
        rootfs: run.rootfs.base_only(shop)?,
        mounts,
        command: run.step.command.clone(),
        environment: run.step.environment.clone(),
        working_directory: run.step.working_directory.clone(),
        user: run.step.user,
        limits: shop.limits(),
    };
    let step = Running {
        work: run.work,
        step: StepName::Package,
    };
    let log = run.log_folder.join("package.log");
    let step = run_packaging(shop, step, &sealed, (run.what, &log))?;
    let folders = [shop.architecture.rpm(), NOARCH];
    let rpms = collect_rpms(shop, run, (&run.step.packages, &folders), &run.expected)?;
    let expected = std::slice::from_ref(&run.expected_source);
    let mut source_rpms = collect_rpms(shop, run, (&run.step.source_packages, &[""]), expected)?;
    Ok(RpmbuildPackages {
        rpms,
        source_rpm: source_rpms.remove(0),
        step,
    })
}

/// Copies what rpmbuild wrote below a folder, in any of some folders there, into the store: exactly the
/// packages that were declared, and the debug packages. Everything in the sandbox is dead; a link on the
/// way is still not followed.
fn collect_rpms(
    shop: &Workshop<'_>,
    run: &RpmbuildRun<'_>,
    (folder, parts): (&SandboxPath, &[&str]),
    expected: &[String],
) -> Result<Vec<PackagedRpm>, BuildError> {
    let other = |actual: Vec<String>| BuildError::OtherRpms {
        what: run.what.to_owned(),
        expected: expected.to_vec(),
        actual,
    };
    let mut path = run.build.to_owned();
    let below = folder
        .as_str()
        .strip_prefix("/build/")
        .unwrap_or(folder.relative());
    for part in below.split('/') {
        path.push(part);
        if !is_folder(&path) {
            return Err(other(Vec::new()));
        }
    }
    let mut rpms = Vec::new();
    for part in parts {
        let folder = path.join(part);
        if is_folder(&folder) {
            rpms.extend(rpms_in(shop, &folder)?);
        }
    }
    rpms.sort_by(|a, b| a.file.cmp(&b.file));
    let actual: Vec<String> = rpms.iter().map(|rpm| rpm.file.clone()).collect();
    if actual == expected {
        return Ok(rpms);
    }
    Err(other(actual))
}

fn is_folder(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.is_dir())
}

/// Copies the files of one folder into the store.
fn rpms_in(shop: &Workshop<'_>, folder: &Path) -> Result<Vec<PackagedRpm>, BuildError> {
    let mut rpms = Vec::new();
    for entry in WalkDir::new(folder)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name()
    {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path_is_symlink() || !entry.file_type().is_file() {
            continue;
        }
        let mut blob = shop.store.blob_writer()?;
        let is_stopped = || shop.cancel.is_cancelled();
        let mut file = Stoppable::new(fs_err::File::open(entry.path())?, &is_stopped);
        std::io::copy(&mut file, &mut blob)?;
        let info = blob.finish()?;
        rpms.push(PackagedRpm {
            file: name,
            sha256: info.digest,
            sha512: info.sha512,
            size: info.size,
        });
    }
    Ok(rpms)
}
