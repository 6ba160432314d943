//! The source RPMs of `make rpms`, rebuilt by plain rpmbuild in the userland of the base image: no
//! kiln, no network, a normal user, another folder. What comes out is compared with kiln's packages.
//!
//! memcached's takes about a minute and is part of `make test-slow`. curl's builds OpenSSL, which
//! takes minutes: `make test-srpm` names it in `KILN_SOURCE_RPMS`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not go on has failed"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use kiln_model::{
    BaseLock, Limits, Lock as _, Mount, MountAccess, RecipeLock, SealedStep, StepEnd, StepUser,
};
use kiln_rpm::RpmFile;
use kiln_sandbox::{Cancel, EmbeddedEngine, Engine as _, InitProgram};
use kiln_store::Store;

fn root() -> PathBuf {
    fs_err::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// A userland: trees of the base image and of a recipe's tools, and the folder of source RPMs.
struct Userland {
    trees: Vec<PathBuf>,
    source_rpms: PathBuf,
}

/// Finds what `make rpms` left, or says that there is nothing.
fn userland(recipe: &str) -> Option<Userland> {
    let root = root();
    let source_rpms = root.join("out/srpms");
    if !source_rpms.is_dir() || !root.join(".kiln/store").is_dir() {
        eprintln!("skipped: no source RPMs; run `make rpms` first");
        return None;
    }
    let store = Store::open(&root.join(".kiln/store")).unwrap();
    let lock = |name: &str| {
        let path = root.join(format!("lockfiles/{name}-x86_64.lock"));
        fs_err::read_to_string(path).unwrap()
    };
    let base = BaseLock::parse(&lock("debian-12")).unwrap();
    let tools = RecipeLock::parse(&lock(recipe)).unwrap().tools;
    let layers = tools.iter().map(|tools| &tools.layer).chain([&base.layer]);
    let tree = |layer| store.tree(layer).unwrap().expect("a tree in the store");
    Some(Userland {
        trees: layers.map(tree).collect(),
        source_rpms,
    })
}

/// Runs a script as a normal user in a userland. `/work` is `folder`, the only writable place beside
/// `/tmp`; source RPMs are in `/srpms`.
fn run(userland: &Userland, folder: &Path, script: &str) -> (StepEnd, String) {
    let engine = EmbeddedEngine::new(InitProgram {
        program: PathBuf::from(env!("CARGO_BIN_EXE_kiln")),
        arguments: vec!["sandbox-init".to_owned()],
    });
    let mount = |source: &Path, target: &str, access| Mount {
        source: source.to_owned(),
        target: target.parse().unwrap(),
        access,
    };
    // A home that can not be written to, and settings that nobody needs for a rebuild.
    let environment: BTreeMap<String, String> = [
        ("PATH", "/usr/sbin:/usr/bin"),
        ("HOME", "/srpms"),
        ("LC_ALL", "C"),
        ("TZ", "Pacific/Kiritimati"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let step = SealedStep {
        label: "rebuild".to_owned(),
        rootfs: userland.trees.clone(),
        mounts: vec![
            mount(&userland.source_rpms, "/srpms", MountAccess::ReadOnly),
            mount(folder, "/work", MountAccess::ReadWrite),
        ],
        command: ["/bin/sh", "-exc", script].map(str::to_owned).to_vec(),
        environment,
        working_directory: "/work".parse().unwrap(),
        user: StepUser::Build,
        limits: Limits {
            memory: 4 << 30,
            processes: 2000,
            wall_time: Duration::from_secs(3600),
            log: 64 << 20,
            scratch: 1 << 30,
            disk: 1 << 40,
            reserve: 0,
        },
    };
    let mut log = Vec::new();
    let outcome = engine.run(&step, &mut log, &Cancel::new()).unwrap();
    (outcome.end, String::from_utf8_lossy(&log).into_owned())
}

/// Reads the packages of a folder, by name.
fn packages(
    folder: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> BTreeMap<String, (RpmFile, Vec<u8>)> {
    let mut packages = BTreeMap::new();
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = fs_err::read(&path).unwrap();
        let package = RpmFile::parse(&bytes).unwrap();
        if package.source_rpm().is_some_and(&is_wanted) {
            packages.insert(package.nevra().name().to_owned(), (package, bytes));
        }
    }
    packages
}

/// A build id is a digest over a file's content, debug information included. That names the folder of
/// the build, so it is another one: what the links lead to is compared, not what they are called.
fn without_build_id(path: &str) -> String {
    match path.strip_prefix("/usr/lib/.build-id/") {
        Some(_) => "/usr/lib/.build-id/…".to_owned(),
        None => path.to_owned(),
    }
}

/// Everything about the files of a package but their content, one line each.
fn file_lines(package: &RpmFile) -> Vec<String> {
    let kind = |file: &kiln_rpm::PackagedFile| match &file.kind {
        kiln_rpm::PackagedFileKind::Regular { .. } => "file".to_owned(),
        other => format!("{other:?}"),
    };
    let mut lines: Vec<String> = package
        .files()
        .iter()
        .map(|file| {
            format!(
                "{} {:04o} {}:{} flags {} {} {:?} of {}",
                without_build_id(&file.path),
                file.mode,
                file.user,
                file.group,
                file.flags,
                kind(file),
                file.capabilities,
                file.modified,
            )
        })
        .collect();
    lines.sort();
    lines
}

fn relation_lines(relations: &[kiln_rpm::Relation]) -> BTreeSet<String> {
    relations.iter().map(ToString::to_string).collect()
}

/// Whether a rebuild runs the tests of the recipe and its libraries, which may take minutes.
#[derive(Clone, Copy)]
enum Tests {
    Run,
    Skip,
}

/// Rebuilds a source RPM and compares.
fn check_rebuild(recipe: &str, tests: Tests) {
    let Some(userland) = userland(recipe) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let without = match tests {
        Tests::Run => "",
        Tests::Skip => "--without check ",
    };
    let script = format!(
        "rpmbuild --rebuild --nodeps {without}--define '_topdir /work/top' \
         /srpms/{recipe}-[0-9]*.src.rpm"
    );
    let (end, log) = run(&userland, folder.path(), &script);
    assert_eq!(end, StepEnd::Exited(0), "{log}");
    let source = userland.source_rpms.join("..");
    let is_own = |name: &str| name.starts_with(&format!("{recipe}-"));
    let all = |rpms: &Path| {
        let folders = ["x86_64", "noarch"].map(|architecture| rpms.join(architecture));
        let found = folders.iter().filter(|folder| folder.is_dir());
        let packages = found.map(|folder| packages(folder, is_own));
        packages.flatten().collect::<BTreeMap<_, _>>()
    };
    let ours = all(&source.join("rpms"));
    let theirs = all(&folder.path().join("top/RPMS"));
    let names = |packages: &BTreeMap<String, _>| packages.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&theirs), names(&ours));
    assert!(ours.len() > 2, "{:?}", names(&ours));
    let (mut same, mut bytes) = (Vec::new(), 0);
    for (name, (our, our_bytes)) in &ours {
        let (their, their_bytes) = &theirs[name];
        if our_bytes == their_bytes {
            same.push(name);
        }
        bytes += our_bytes.len();
        // What debuggers are given is named after build ids.
        if !name.ends_with("-debuginfo") && !name.ends_with("-debugsource") {
            assert_eq!(file_lines(their), file_lines(our), "{name}");
            for (what, of) in [
                (
                    "provides",
                    (|p: &RpmFile| relation_lines(&p.relations().provides)) as fn(&RpmFile) -> _,
                ),
                ("requires", |p| relation_lines(&p.relations().requires)),
                ("conflicts", |p| relation_lines(&p.relations().conflicts)),
                ("obsoletes", |p| relation_lines(&p.relations().obsoletes)),
                ("recommends", |p| relation_lines(&p.relations().recommends)),
            ] {
                assert_eq!(of(their), of(our), "{name} {what}");
            }
            let scriptlets = |p: &RpmFile| format!("{:?}", p.scriptlets());
            assert_eq!(scriptlets(their), scriptlets(our), "{name}");
        }
    }
    eprintln!(
        "{recipe}: {} of {} packages ({bytes} bytes) are the same bytes: {same:?}",
        same.len(),
        ours.len()
    );
}

#[test]
fn slow_plain_rpmbuild_makes_memcached_from_its_source_rpm() {
    check_rebuild("memcached", Tests::Skip);
}

#[test]
fn slow_plain_rpmbuild_makes_the_base_package_from_its_source_rpm() {
    let Some(userland) = userland("memcached") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let script =
        "rpmbuild --rebuild --nodeps --define '_topdir /work/top' /srpms/kiln-base-*.src.rpm";
    let (end, log) = run(&userland, folder.path(), script);
    assert_eq!(end, StepEnd::Exited(0), "{log}");
    let is_own = |name: &str| name.starts_with("kiln-base-");
    let ours = packages(&userland.source_rpms.join("../rpms/x86_64"), is_own);
    let theirs = packages(&folder.path().join("top/RPMS/x86_64"), is_own);
    assert_eq!(ours.len(), 1);
    for (name, (our, _)) in &ours {
        let their = &theirs[name].0;
        assert_eq!(file_lines(their), file_lines(our));
        let provides = |p: &RpmFile| relation_lines(&p.relations().provides);
        assert_eq!(provides(their), provides(our));
    }
}

/// Those that take many minutes: `KILN_SOURCE_RPMS="curl nginx"` is set by `make test-srpm`.
#[test]
fn slow_plain_rpmbuild_makes_the_packages_that_were_named() {
    #[expect(
        clippy::disallowed_methods,
        reason = "a target of the Makefile names them"
    )]
    let named = std::env::var("KILN_SOURCE_RPMS").unwrap_or_default();
    if named.is_empty() {
        eprintln!("skipped: no recipe is named in KILN_SOURCE_RPMS; `make test-srpm` does");
    }
    for recipe in named.split_whitespace() {
        check_rebuild(recipe, Tests::Run);
    }
}

#[test]
fn slow_rpmbuild_itself_says_what_a_rebuild_lacks() {
    let Some(userland) = userland("memcached") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let script = "rpmbuild --rebuild --define '_topdir /work/top' --define '_dbpath /work/db' \
                  /srpms/memcached-[0-9]*.src.rpm";
    let (end, log) = run(&userland, folder.path(), script);
    assert_eq!(end, StepEnd::Exited(11), "{log}");
    for part in [
        "error: Failed build dependencies:",
        "gcc-c++ is needed by memcached-1.6.18-1.x86_64",
        "perl is needed by memcached-1.6.18-1.x86_64",
    ] {
        assert!(log.contains(part), "{part} is not in {log}");
    }
    assert!(!folder.path().join("top/RPMS").join("x86_64").exists());
}
