//! One sealed run of rpmbuild, and what came out of it.

use std::path::Path;
use std::time::Instant;

use kiln_image::Stoppable;
use kiln_model::{DiffId, Mount, MountAccess, SandboxPath, SealedStep, StepEnd};
use kiln_rpm::PackagingStep;
use walkdir::WalkDir;

use crate::compile::StepRecord;
use crate::error::{BuildError, reached_limits};
use crate::log::StepLog;
use crate::package::PackagedRpm;
use crate::publish::refused;
use crate::rootfs::{Rootfs, unpacked};
use crate::script::{BUILD_ROOT, SOURCE_ROOT, StepName};
use crate::spec::NOARCH;
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
    /// What is mounted within `/build`.
    pub(crate) mounts: Vec<Mount>,
}

/// Runs rpmbuild and moves its packages into the store.
pub(crate) fn run_rpmbuild(
    shop: &Workshop<'_>,
    run: &RpmbuildRun<'_>,
) -> Result<(Vec<PackagedRpm>, StepRecord), BuildError> {
    if shop.cancel.is_cancelled() {
        return Err(BuildError::Cancelled);
    }
    let on_host = |path: &SandboxPath| {
        let below = path
            .as_str()
            .strip_prefix("/build/")
            .unwrap_or(path.relative());
        run.build.join(below)
    };
    let spec = on_host(&run.step.spec);
    for folder in ["src", "destdir"] {
        fs_err::create_dir_all(run.build.join(folder))?;
    }
    if let Some(folder) = spec.parent() {
        fs_err::create_dir_all(folder)?;
    }
    fs_err::write(&spec, run.spec)?;
    let mut mounts = vec![Mount {
        source: run.build.to_owned(),
        target: BUILD_ROOT.parse().expect("a constant path"),
        access: MountAccess::ReadWrite,
    }];
    mounts.extend(run.mounts.iter().cloned());
    let label = format!("{}: package", run.what);
    let sealed = SealedStep {
        label: label.clone(),
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
    let log = shop.output.join(&run.log_folder).join("package.log");
    let mut log = StepLog::create(&log, step.listener(shop)).map_err(refused(&log))?;
    step.tell_start(shop);
    let started = Instant::now();
    let outcome = shop.engine.run(&sealed, &mut log, shop.cancel)?;
    step.tell_end(shop, &outcome.end, started.elapsed());
    let reached = reached_limits(&outcome, &sealed.limits);
    if outcome.end != StepEnd::Cancelled {
        shop.check_isolation(&outcome.isolation)?;
    }
    match outcome.end {
        StepEnd::Exited(0) => {}
        StepEnd::Cancelled => return Err(BuildError::Cancelled),
        end => {
            return Err(BuildError::PackagingFailed {
                what: run.what.to_owned(),
                end,
                reached,
                log: log.into_end(),
            });
        }
    }
    let rpms = collect_rpms(shop, run, &run.step.packages)?;
    let record = StepRecord {
        label,
        elapsed_ms: u64::try_from(outcome.elapsed.as_millis()).unwrap_or(u64::MAX),
        peak_memory: outcome.peak_memory,
        isolation: outcome.isolation,
    };
    Ok((rpms, record))
}

/// Copies what rpmbuild wrote into the store: exactly the packages that were declared, and the debug
/// packages. Everything in the sandbox is dead; a link on the way is still not followed.
fn collect_rpms(
    shop: &Workshop<'_>,
    run: &RpmbuildRun<'_>,
    folder: &SandboxPath,
) -> Result<Vec<PackagedRpm>, BuildError> {
    let other = |actual: Vec<String>| BuildError::OtherRpms {
        what: run.what.to_owned(),
        expected: run.expected.clone(),
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
    for architecture in [shop.architecture.rpm(), NOARCH] {
        let folder = path.join(architecture);
        if is_folder(&folder) {
            rpms.extend(rpms_in(shop, &folder)?);
        }
    }
    rpms.sort_by(|a, b| a.file.cmp(&b.file));
    let actual: Vec<String> = rpms.iter().map(|rpm| rpm.file.clone()).collect();
    if actual == run.expected {
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
