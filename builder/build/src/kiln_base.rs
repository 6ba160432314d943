//! Packages what a Debian base image offers, so that rpm can install our packages on that Debian:
//! `kiln-base-<name>` (DESIGN 6; docs/decisions/0004).

use std::collections::BTreeMap;
use std::path::Path;

use kiln_model::{BaseLock, BaseName, BuildInfo, Digest, NameError, SourceDateEpoch};
use kiln_rpm::{
    BaseEvidence, BasePackage, BasePackageInput, ElfEvidence, FileKind, FileLine, SpecTextError,
    base_package, packaging_step, write_spec,
};
use walkdir::WalkDir;

use crate::buildinfo::info_text;
use crate::buildinfo::{base_package_info, build_info_path};
use crate::error::BuildError;
use crate::folder::write_file;
use crate::key::{KeyInputs, canonical_json};
use crate::package::{Packaged, cached, finish, packaging_inputs};
use crate::rootfs::Rootfs;
use crate::rpmbuild::{RpmbuildRun, on_host, run_rpmbuild};
use crate::source_package::pack_made;
use crate::spec::{expected_rpms, expected_source_rpm};
use crate::work::Work;
use crate::workshop::Workshop;

/// Folders in which the loader of a Debian system looks by itself.
const LIBRARY_FOLDERS: [&str; 2] = ["usr/lib/x86_64-linux-gnu", "usr/lib"];
/// Folders in which people and scripts find programs.
const PROGRAM_FOLDERS: [&str; 2] = ["usr/bin", "usr/sbin"];
/// Folders in which pkg-config looks by itself, in its order.
const PKGCONFIG_FOLDERS: [&str; 3] = [
    "usr/lib/x86_64-linux-gnu/pkgconfig",
    "usr/lib/pkgconfig",
    "usr/share/pkgconfig",
];
/// Folders in which Debian's Perl looks by itself, in its order, with `VERSION` and `SERIES` for
/// `5.36.0` and `5.36`.
const PERL_FOLDERS: [&str; 6] = [
    "usr/lib/x86_64-linux-gnu/perl5/SERIES",
    "usr/share/perl5",
    "usr/lib/x86_64-linux-gnu/perl-base",
    "usr/lib/x86_64-linux-gnu/perl/VERSION",
    "usr/share/perl/VERSION",
    "usr/share/perl/SERIES",
];

/// Packages a base image, or takes the package from the store; says which. `None` for a base image
/// that is not assembled from a distribution's packages: it brings its own package database.
pub(crate) fn package_base(
    shop: &Workshop<'_>,
    base: &BaseName,
    rootfs: &Rootfs,
) -> Result<Option<(Packaged, bool)>, BuildError> {
    let Some(lock) = rootfs.base_lock() else {
        return Ok(None);
    };
    let what = format!("kiln-base-{base}");
    let unusable = |reason: String| BuildError::Rpm {
        recipe: what.clone(),
        file: format!("{what}.spec"),
        reason,
    };
    let source_date = lock.archive.moment().ok_or_else(|| {
        unusable(format!(
            "the lock's date `{}` is no date",
            lock.archive.date
        ))
    })?;
    let root = rootfs.base_only(shop)?;
    let root = root
        .last()
        .map_or_else(|| Path::new("/nonexistent"), |root| root.as_path());
    let input = BasePackageInput {
        base: base.clone(),
        release: lock.archive.release.clone(),
        manifest: lock.manifest,
        source_date,
        vendor: shop.project.config.organization.name.clone(),
        packages: versions(lock),
        evidence: gather(root, lock)?,
    };
    let mut package = base_package(&input).map_err(|error| unusable(error.to_string()))?;
    let info = base_package_info(shop, base, rootfs, package.spec.name.clone())?;
    add_info(shop, &mut package, &info).map_err(|error| unusable(error.to_string()))?;
    let spec = write_spec(&package.spec).map_err(|error| unusable(error.to_string()))?;
    let files = serde_json::json!(
        package
            .files
            .iter()
            .map(|(path, text)| (path.as_str(), text))
            .collect::<Vec<_>>()
    );
    let digests = [
        ("spec", spec.as_bytes()),
        ("files", &canonical_json(&files)),
    ];
    let inputs = KeyInputs {
        extra: digests
            .map(|(name, bytes)| (name.to_owned(), Digest::of(bytes)))
            .into(),
        ..base_package_inputs(shop, lock, source_date)?
    };
    let step = packaging_step(&package.spec.name, shop.architecture, source_date);
    if let Some(packaged) = cached(shop, inputs.key())? {
        return Ok(Some((packaged, true)));
    }
    let scratch = shop.store.scratch()?;
    let build = scratch.path().join("build");
    write_files(&build.join("destdir"), &package)?;
    if let Some(name) = &package.spec.source.made {
        let made = scratch.path().join("made");
        write_files(&made, &package)?;
        let folder = on_host(&build, &step.sources);
        pack_made(&made, &folder, name, source_date)?;
    }
    let run = RpmbuildRun {
        what: &what,
        work: &Work::BasePackage(base.clone()),
        log_folder: Path::new("logs").join(&what),
        rootfs,
        build: &build,
        step: &step,
        spec: &spec,
        expected: expected_rpms(shop, &package.spec),
        expected_source: expected_source_rpm(&package.spec),
        source_date,
        mounts: Vec::new(),
    };
    let rpms = run_rpmbuild(shop, &run)?;
    finish(shop, &what, (&inputs, &spec), rpms).map(|packaged| Some((packaged, false)))
}

/// Returns the inputs of the package that are known without looking into the base image.
pub(crate) fn base_package_inputs(
    shop: &Workshop<'_>,
    lock: &BaseLock,
    source_date: SourceDateEpoch,
) -> Result<KeyInputs, BuildError> {
    let what = format!("kiln-base-{}", lock.base);
    let name = what.parse().map_err(|error: NameError| BuildError::Rpm {
        recipe: what.clone(),
        file: format!("{what}.spec"),
        reason: error.to_string(),
    })?;
    let step = packaging_step(&name, shop.architecture, source_date);
    Ok(packaging_inputs(shop, lock.manifest, &step, source_date))
}

/// Adds build information to the package, with the folders that it is in.
fn add_info(
    shop: &Workshop<'_>,
    package: &mut BasePackage,
    info: &BuildInfo,
) -> Result<(), SpecTextError> {
    let name = package.spec.name.clone();
    let path = build_info_path(name.as_str(), shop.architecture.rpm());
    let text = String::from_utf8_lossy(&info_text(info, name)).into_owned();
    for files in package
        .spec
        .packages
        .iter_mut()
        .map(|package| &mut package.files)
    {
        for folder in ["/usr/share/kiln", "/usr/share/kiln/buildinfo"] {
            files.push(FileLine::new(folder.parse()?, FileKind::Directory));
        }
        files.push(FileLine::new(path.parse()?, FileKind::File));
    }
    package.files.insert(path.parse()?, text);
    Ok(())
}

fn versions(lock: &BaseLock) -> BTreeMap<kiln_model::DistributionPackage, String> {
    lock.packages
        .iter()
        .map(|package| (package.name.clone(), package.version.clone()))
        .collect()
}

fn write_files(destdir: &Path, package: &BasePackage) -> Result<(), BuildError> {
    for (path, text) in &package.files {
        write_file(destdir, &path.as_str()[1..], text.as_bytes())?;
    }
    Ok(())
}

/// Looks at the tree of a base image. The tree is the store's own and was verified.
fn gather(root: &Path, lock: &BaseLock) -> Result<BaseEvidence, BuildError> {
    let mut evidence = BaseEvidence::new();
    for folder in LIBRARY_FOLDERS {
        for (name, path) in files(root, folder)? {
            if !name.contains(".so") {
                continue;
            }
            let bytes = fs_err::read(&path)?;
            if let Ok(Some(elf)) = ElfEvidence::read(&bytes) {
                evidence.add_library(&name, &elf);
            }
        }
    }
    for folder in PROGRAM_FOLDERS {
        for entry in WalkDir::new(root.join(folder))
            .max_depth(1)
            .min_depth(1)
            .sort_by_file_name()
        {
            let entry = entry.map_err(std::io::Error::from)?;
            if !entry.file_type().is_dir() {
                let name = entry.file_name().to_string_lossy();
                evidence.add_executable(&format!("/{folder}/{name}"));
            }
        }
    }
    for folder in PKGCONFIG_FOLDERS {
        for (name, path) in files(root, folder)? {
            evidence.add_pkgconfig(&name, &fs_err::read_to_string(&path)?);
        }
    }
    gather_perl(root, lock, &mut evidence)?;
    Ok(evidence)
}

/// Adds Perl's modules, where the base has Perl.
fn gather_perl(
    root: &Path,
    lock: &BaseLock,
    evidence: &mut BaseEvidence,
) -> Result<(), BuildError> {
    let mut packages = lock.packages.iter();
    let Some(perl) = packages.find(|package| package.name.as_str() == "perl-base") else {
        return Ok(());
    };
    let Some(version) = perl.version.split('-').next() else {
        return Ok(());
    };
    let series = version
        .rsplit_once('.')
        .map_or(version, |(series, _)| series);
    evidence.set_perl(version);
    for folder in PERL_FOLDERS {
        let folder = root.join(folder.replace("VERSION", version).replace("SERIES", series));
        if !folder.is_dir() {
            continue;
        }
        for entry in WalkDir::new(&folder).sort_by_file_name() {
            let entry = entry.map_err(std::io::Error::from)?;
            let below = entry.path().strip_prefix(&folder).unwrap_or(entry.path());
            let path = below.to_string_lossy();
            if entry.file_type().is_file() && path.ends_with(".pm") {
                let text = fs_err::read(entry.path())?;
                evidence.add_perl_module(&path, &String::from_utf8_lossy(&text));
            }
        }
    }
    Ok(())
}

/// Lists the regular files of one folder by name; none when it is missing. Links are left out: what
/// they lead to is looked at under its own name.
fn files(root: &Path, folder: &str) -> Result<Vec<(String, std::path::PathBuf)>, BuildError> {
    let folder = root.join(folder);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in WalkDir::new(folder)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name()
    {
        let entry = entry.map_err(std::io::Error::from)?;
        if entry.file_type().is_file() {
            let name = entry.file_name().to_string_lossy().into_owned();
            files.push((name, entry.into_path()));
        }
    }
    Ok(files)
}
