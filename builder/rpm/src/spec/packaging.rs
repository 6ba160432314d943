//! How rpmbuild is called: the exact command, environment and places of the packaging step.
//!
//! ```text
//! /build/src/<name>-<version>   source trees, as they were compiled: read; may be read-only mounts
//! /build/src                    itself writable: find-debuginfo leaves its lists there
//! /build/destdir                the destdir: read; may be a read-only mount
//! /build/rpmbuild/SPECS/*.spec  the spec file: read
//! /build/rpmbuild               everything that rpmbuild writes: writable
//! /build/rpmbuild/SOURCES/      what the source package carries: read
//! /build/rpmbuild/RPMS/<arch>/  the packages
//! /build/rpmbuild/SRPMS/        the source package
//! ```
//!
//! The step runs as uid 0 of a user namespace that maps one id, without capabilities: files can be
//! owned by root because nobody else exists.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use kiln_model::{Architecture, PackageName, SandboxPath, SourceDateEpoch, StepUser};

use super::input::SpecInput;

/// Where the packaging step finds the destdir.
pub const PACKAGING_DESTDIR: &str = "/build/destdir";
/// The folder of source trees: what compilers saw, and where find-debuginfo writes its lists.
pub const PACKAGING_SOURCES: &str = "/build/src";
const TOP: &str = "/build/rpmbuild";
const RPMBUILD: &str = "/usr/bin/rpmbuild";

/// Two calls of rpmbuild: what to run and where its results lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackagingStep {
    /// Program and arguments.
    pub command: Vec<String>,
    /// The complete environment.
    pub environment: BTreeMap<String, String>,
    /// Where it starts: `/build`.
    pub working_directory: SandboxPath,
    /// Who runs it: root of its own namespace.
    pub user: StepUser,
    /// Where the spec file must be put before.
    pub spec: SandboxPath,
    /// The folder into which what the source package carries must be put before.
    pub sources: SandboxPath,
    /// Where the packages lie afterwards, as `<arch>/<name>-<version>-<release>.<arch>.rpm`.
    pub packages: SandboxPath,
    /// Where the source package lies afterwards, as `<name>-<version>-<release>.src.rpm`.
    pub source_packages: SandboxPath,
}

fn path(text: &str) -> SandboxPath {
    text.parse().expect("the packaging step's paths are normal")
}

/// Returns the call that packages the spec of source package `name`.
#[must_use]
pub fn packaging_step(
    name: &PackageName,
    architecture: Architecture,
    source_date: SourceDateEpoch,
) -> PackagingStep {
    let spec = path(&format!("{TOP}/SPECS/{name}.spec"));
    // The source package comes second and apart: with `-ba`, packages would hold its digest, and change
    // with every word of the spec.
    let both = format!("\"$@\" -bb {spec} && exec \"$@\" -bs {spec}");
    let mut command = vec![
        "/bin/sh".to_owned(),
        "-c".to_owned(),
        both,
        "sh".to_owned(),
        RPMBUILD.to_owned(),
        // Only what rpm itself ships: no site's and no user's settings.
        "--rcfile=/usr/lib/rpm/rpmrc".to_owned(),
        "--macros=/usr/lib/rpm/macros:/usr/lib/rpm/platform/%{_target}/macros".to_owned(),
        format!("--target={}-linux", architecture.rpm()),
        // No package database is there to look into.
        "--nodeps".to_owned(),
        "--noclean".to_owned(),
    ];
    let mut define = |name: &str, value: &str| {
        command.push("--define".to_owned());
        command.push(format!("{name} {value}"));
    };
    define("kiln_destdir", PACKAGING_DESTDIR);
    for (name, value) in places() {
        define(name, &value);
    }
    PackagingStep {
        command,
        environment: environment(source_date),
        working_directory: path("/build"),
        user: StepUser::Root,
        spec,
        sources: path(&format!("{TOP}/SOURCES")),
        packages: path(&format!("{TOP}/RPMS")),
        source_packages: path(&format!("{TOP}/SRPMS")),
    }
}

fn environment(source_date: SourceDateEpoch) -> BTreeMap<String, String> {
    [
        ("HOME", StepUser::Root.home().to_owned()),
        ("LC_ALL", "C.UTF-8".to_owned()),
        ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
        ("SOURCE_DATE_EPOCH", source_date.seconds().to_string()),
        ("TZ", "UTC".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The folders, given twice: on the command line for what rpmbuild does before it reads the spec,
/// and in the spec for everything after.
fn places() -> [(&'static str, String); 9] {
    [
        ("_topdir", TOP.to_owned()),
        ("_builddir", PACKAGING_SOURCES.to_owned()),
        ("_buildrootdir", format!("{TOP}/BUILDROOT")),
        ("_specdir", format!("{TOP}/SPECS")),
        ("_sourcedir", format!("{TOP}/SOURCES")),
        ("_rpmdir", format!("{TOP}/RPMS")),
        ("_srcrpmdir", format!("{TOP}/SRPMS")),
        ("_tmppath", format!("{TOP}/tmp")),
        ("_dbpath", format!("{TOP}/db")),
    ]
}

/// Writes the folders of the packaging step; another builder's own stay as they are, and it builds in
/// one folder below its own, at the time that packages may show.
pub(super) fn write_places(spec: &mut String, input: &SpecInput) {
    spec.push_str("%bcond_without check\n");
    spec.push_str("%if 0%{?kiln_destdir:1}\n");
    for (name, value) in places() {
        let _ = writeln!(spec, "%define {name} {value}");
    }
    let _ = write!(
        spec,
        "%define _smp_build_ncpus 1\n\
         %define _smp_mflags -j1\n\
         %define kiln_sources {PACKAGING_SOURCES}\n\
         %else\n\
         %define kiln_folder {name}-{version}-kiln\n\
         %define kiln_build %{{_builddir}}/%{{kiln_folder}}\n\
         %define kiln_sources %{{kiln_build}}/src\n\
         %define _fileattrsdir %{{kiln_build}}/fileattrs\n\
         %{{lua:posix.setenv(\"SOURCE_DATE_EPOCH\", \"{seconds}\")}}\n\
         %endif\n",
        name = input.name,
        version = input.version,
        seconds = input.source_date.seconds(),
    );
}
