//! Hosts that can not isolate, as users meet them: one sentence, exit code 2, nothing fetched or built.
//!
//! Each host is made by breaking one thing in namespaces of our own, or by a system call filter as
//! containers have one. Where that can not be done, a test says that it was skipped.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that can not go on has failed, and one that is skipped says so"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "a test breaks hosts with other programs"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kiln_model::{
    Architecture, Digest, LOCK_FORMAT, Lock as _, LockedSource, ManifestDigest, RecipeLock, Sha512,
};
use tempfile::TempDir;

const RECIPE: &str = r#"schema: 1
name: demo
version: "1.0"
release: 1
summary: A demo
license: Zlib
homepage: https://example.org/
identity: {supplier: Demo people}
base: box
sources:
  - url: http://127.0.0.1:9/demo-1.0.tar.gz
    sha256: "cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7"
    released: 2023-02-20
steps: {use: make}
packages:
  - name: demo
    files: [/usr/bin/demo]
"#;

/// A project that is locked, so that a build gets as far as asking for a sandbox.
fn project() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    let image = Digest::of(b"an image");
    let base = format!("schema: 1\nname: box\nlayout: box@{image}\n");
    let hex = "cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7";
    let lock = RecipeLock {
        format: LOCK_FORMAT,
        recipe: "demo".parse().unwrap(),
        architecture: Architecture::X86_64,
        base: "box".parse().unwrap(),
        base_manifest: ManifestDigest(image),
        sources: vec![LockedSource {
            url: "http://127.0.0.1:9/demo-1.0.tar.gz".parse().unwrap(),
            sha256: Digest::from_hex(hex).unwrap(),
            sha512: Some(Sha512::of(b"")),
            size: Some(1),
            git: None,
        }],
        tools: None,
    };
    write("recipes/demo/recipe.yaml", RECIPE);
    write("base-images/box.yaml", &base);
    write("lockfiles/demo-x86_64.lock", &lock.encode());
    folder
}

/// How a host is broken.
#[derive(Debug, Clone, Copy)]
enum Breakage {
    /// By a shell script in a user namespace and a mount namespace of its own.
    Script(&'static str),
    /// By a seccomp filter that refuses a system call with EPERM.
    Filter(&'static [Instruction]),
}

/// One instruction of classic BPF: code, jumps if true and if false, operand.
type Instruction = (u16, u8, u8, u32);

const LOAD: u16 = 0x20;
const JUMP_IF_EQUAL: u16 = 0x15;
const RETURN: u16 = 0x06;
const REFUSE: u32 = 0x0005_0001;
const ALLOW: u32 = 0x7fff_0000;
/// Where the fourth argument of a call is in what a filter sees.
const FOURTH_ARGUMENT: u32 = 40;

/// What Docker's own filter does to a container without privileges.
const NO_UNSHARE: &[Instruction] = &[
    (LOAD, 0, 0, 0),
    (JUMP_IF_EQUAL, 0, 1, 272),
    (RETURN, 0, 0, REFUSE),
    (RETURN, 0, 0, ALLOW),
];
/// Refuses `mount` with the flags of an overlay, `MS_NOSUID | MS_NODEV`.
const NO_OVERLAY: &[Instruction] = &[
    (LOAD, 0, 0, 0),
    (JUMP_IF_EQUAL, 0, 3, 165),
    (LOAD, 0, 0, FOURTH_ARGUMENT),
    (JUMP_IF_EQUAL, 0, 1, 6),
    (RETURN, 0, 0, REFUSE),
    (RETURN, 0, 0, ALLOW),
];

/// Returns a command that runs `program` on a broken host.
fn on(breakage: Breakage, scratch: &Path, program: &[&str]) -> Command {
    let mut command;
    match breakage {
        Breakage::Script(script) => {
            command = Command::new("unshare");
            command.args(["--user", "--map-root-user", "--mount", "sh", "-e", "-c"]);
            command.arg(format!("{script}\nexec \"$@\"")).arg("sh");
        }
        Breakage::Filter(instructions) => {
            let bytes = instructions.iter().flat_map(|(code, yes, no, operand)| {
                let [low, high] = code.to_ne_bytes();
                let [a, b, c, d] = operand.to_ne_bytes();
                [low, high, *yes, *no, a, b, c, d]
            });
            let file = scratch.join("filter.bpf");
            fs_err::write(&file, bytes.collect::<Vec<u8>>()).unwrap();
            command = Command::new("sh");
            let script = "exec bwrap --dev-bind / / --seccomp 9 \"$@\" 9<\"$FILTER\"";
            command.args(["-c", script, "sh"]).env("FILTER", file);
        }
    }
    command.args(program);
    command
}

fn kiln() -> String {
    PathBuf::from(env!("CARGO_BIN_EXE_kiln"))
        .to_string_lossy()
        .into_owned()
}

fn run(breakage: Breakage, project: &Path, arguments: &[&str]) -> Output {
    let scratch = tempfile::tempdir().unwrap();
    let kiln = kiln();
    let program = [&[kiln.as_str()], arguments].concat();
    let mut command = on(breakage, scratch.path(), &program);
    command
        .current_dir(project)
        .env_remove("KILN_STORE")
        .env_remove("KILN_OUT")
        .env("KILN_DEBIAN_ARCHIVE", "http://me:secret@127.0.0.1:9/debian")
        .output()
        .unwrap()
}

/// Returns what was printed with all white space as one space.
fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let walk = walkdir::WalkDir::new(folder).sort_by_file_name();
    let entries = walk.into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| !entry.file_type().is_dir());
    files
        .map(|entry| entry.path().strip_prefix(folder).unwrap().to_owned())
        .collect()
}

fn forbidden(setting: &str, namespace: &str) -> String {
    format!(
        "`user.max_{setting}_namespaces = 0` forbids a new {namespace} namespace, without which \
         kiln can not seal a step; allow it with `sysctl -w user.max_{setting}_namespaces=10000` \
         as root"
    )
}

/// Every broken host with the one sentence about it.
fn hosts() -> Vec<(Breakage, String)> {
    let kernel = kiln_sandbox::kernel();
    vec![
        (
            Breakage::Script("echo 0 > /proc/sys/user/max_user_namespaces"),
            forbidden("user", "user"),
        ),
        (
            Breakage::Script("echo 0 > /proc/sys/user/max_net_namespaces"),
            forbidden("net", "net"),
        ),
        (
            Breakage::Script("mount -t tmpfs none /proc"),
            "/proc is not mounted on this host, without which kiln can not seal a step; mount it \
             with `mount -t proc proc /proc` as root"
                .to_owned(),
        ),
        (
            Breakage::Script("mount -t tmpfs none /proc/bus"),
            "the host refuses a new /proc (Operation not permitted (os error 1)), because parts of \
             its own are hidden; in a container, start that with `--security-opt \
             systempaths=unconfined` or mount a second /proc that is whole"
                .to_owned(),
        ),
        (
            Breakage::Filter(NO_UNSHARE),
            "the host refuses a new user namespace (Operation not permitted (os error 1)); in a \
             container, allow it with `--security-opt seccomp=unconfined --security-opt \
             systempaths=unconfined`; in a chroot, leave it"
                .to_owned(),
        ),
        (
            Breakage::Filter(NO_OVERLAY),
            format!(
                "kernel {kernel} can not mount an overlay of 1 layer in a user namespace (Operation \
                 not permitted (os error 1)); in a container, allow it with `--security-opt \
                 seccomp=unconfined`; otherwise name a store on another file system"
            ),
        ),
    ]
}

/// Whether hosts can be broken in this way here: an unbroken one must pass.
fn can_break(breakage: Breakage) -> bool {
    let whole = match breakage {
        Breakage::Script(_) => Breakage::Script("true"),
        Breakage::Filter(_) => Breakage::Filter(&[(RETURN, 0, 0, ALLOW)]),
    };
    let project = project();
    let output = run(whole, project.path(), &["doctor"]);
    if output.status.code() != Some(0) {
        println!("SKIPPED: {breakage:?}: {}", words(&output.stderr));
    }
    output.status.code() == Some(0)
}

#[test]
fn a_host_that_can_not_isolate_gets_one_sentence_and_nothing_is_fetched_or_built() {
    for (breakage, sentence) in hosts() {
        if !can_break(breakage) {
            continue;
        }
        let project = project();
        let before = files(project.path());
        let doctor = run(breakage, project.path(), &["doctor"]);
        let said = words(&doctor.stdout);
        assert_eq!(doctor.status.code(), Some(2), "{breakage:?}: {said}");
        assert_eq!(said.matches(&sentence).count(), 1, "{breakage:?}: {said}");
        assert!(
            said.ends_with("1 thing is in the way."),
            "{breakage:?}: {said}"
        );
        assert!(!said.contains("secret"), "{said}");
        assert_eq!(
            files(project.path()),
            before,
            "the doctor leaves nothing behind"
        );

        let quiet = run(breakage, project.path(), &["--quiet", "doctor"]);
        let said = words(&quiet.stdout);
        assert!(said.ends_with(&sentence), "{breakage:?}: {said}");

        let build = run(breakage, project.path(), &["build"]);
        let said = String::from_utf8_lossy(&build.stderr).into_owned();
        assert_eq!(build.status.code(), Some(2), "{breakage:?}: {said}");
        assert_eq!(said, format!("error: {sentence}\n"), "{breakage:?}");
        assert!(build.stdout.is_empty(), "{breakage:?}");
        assert!(!project.path().join("out").exists(), "{breakage:?}");
        let store = project.path().join(".kiln/store");
        for folder in ["blobs", "actions", "refs", "trees", "tmp", "quarantine"] {
            assert_eq!(
                files(&store.join(folder)),
                [""; 0].map(PathBuf::from),
                "{folder}"
            );
        }
    }
}

#[test]
fn make_rpms_says_the_same_sentence_last() {
    let (breakage, sentence) = hosts().remove(0);
    let has_make = Command::new("make").arg("--version").output().is_ok();
    if !has_make || !can_break(breakage) {
        println!("SKIPPED: no make, or no namespaces to break things in");
        return;
    }
    let (project, scratch) = (project(), tempfile::tempdir().unwrap());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (root, kiln) = (
        root.to_string_lossy().into_owned(),
        format!("KILN={}", kiln()),
    );
    let arguments = format!("KILN_ARGS=--project {}", project.path().display());
    let make = ["make", "-C", &root, "rpms", &kiln, &arguments];
    let mut command = on(breakage, scratch.path(), &make);
    // Below a `make test`, make would say which make it is.
    for variable in ["MAKELEVEL", "MAKEFLAGS", "MFLAGS"] {
        command.env_remove(variable);
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.starts_with(&format!("error: {sentence}\nmake: *** ")),
        "{said}"
    );
    assert!(!project.path().join("out").exists());
}

#[test]
fn the_doctor_finds_what_else_is_in_the_way() {
    let whole = Breakage::Script("true");
    if !can_break(whole) {
        return;
    }
    let check = |change: &dyn Fn(&Path), arguments: &[&str], expected: &str| {
        let project = project();
        change(project.path());
        let before = files(project.path());
        let output = run(
            whole,
            project.path(),
            &[&["--quiet"], arguments, &["doctor"]].concat(),
        );
        let root = fs_err::canonicalize(project.path()).unwrap();
        let said = words(&output.stdout).replace(&*root.to_string_lossy(), "PROJECT");
        assert_eq!((output.status.code(), said.as_str()), (Some(2), expected));
        assert_eq!(files(project.path()), before);
    };
    let later = |root: &Path| {
        let text = RECIPE.replace("steps:", "source-date: 2105-12-31\nsteps:");
        fs_err::write(root.join("recipes/demo/recipe.yaml"), text).unwrap();
    };
    check(
        &later,
        &[],
        "clock no it is before 2105-12-31T00:00:00Z, the source date of recipe `demo`: packaging \
         would fail -> set the clock",
    );
    let foreign = |root: &Path| {
        fs_err::create_dir_all(root.join("place")).unwrap();
        fs_err::write(root.join("place/letter"), "").unwrap();
    };
    check(
        &foreign,
        &["--store", "place"],
        "store no `PROJECT/place` is not a kiln store: it holds `letter` but no `kiln-store.json`; \
         name an empty or a new folder",
    );
    check(
        &|_| (),
        &["--out", "recipes/demo/recipe.yaml/out"],
        "results no expected a folder at `PROJECT/recipes/demo/recipe.yaml`, found something else \
         -> name another folder with --store or --out",
    );
    check(
        &|_| (),
        &["--debian-archive", "ftp://me:secret@mirror.example/debian"],
        "Debian archive no `ftp://mirror.example/debian` is no address to fetch from: only `http:` \
         and `https:` are fetched (from --debian-archive or KILN_DEBIAN_ARCHIVE)",
    );
}

#[test]
fn the_doctor_tells_a_bad_disk_from_a_good_one() {
    for (script, expected) in [
        (
            "mkdir -p disk; mount -t tmpfs -o noexec none disk",
            "file system no tmpfs lacks the right to run programs (it is mounted with `noexec`) \
             -> name a store on another file system with --store",
        ),
        (
            "mkdir -p disk; mount -t tmpfs -o ro none disk",
            "store no `PROJECT/disk` can not be written to; make it writable or name another store",
        ),
        (
            "mkdir -p disk; mount -t tmpfs -o size=100m none disk",
            "store's disk no 100.0 MiB free -> free some, or name a folder on another disk with \
             --store and --out",
        ),
    ] {
        let breakage = Breakage::Script(script);
        if !can_break(breakage) {
            continue;
        }
        let project = project();
        let root = fs_err::canonicalize(project.path()).unwrap();
        let output = run(
            breakage,
            project.path(),
            &["--quiet", "--store", "disk", "doctor"],
        );
        let said = words(&output.stdout).replace(&*root.to_string_lossy(), "PROJECT");
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(2), expected),
            "{script}"
        );
    }
}

#[test]
fn the_doctor_notes_what_only_some_builds_need() {
    let whole = Breakage::Script("true");
    if !can_break(whole) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = run(whole, folder.path(), &["--offline", "doctor"]);
    let said = words(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "network note switched off by --offline or KILN_OFFLINE",
        "project note none here that can be read",
        "store yes will be made in ",
        "http://127.0.0.1:9/debian (from --debian-archive or KILN_DEBIAN_ARCHIVE)",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    assert!(said.ends_with("Builds can run on this host."), "{said}");
}
