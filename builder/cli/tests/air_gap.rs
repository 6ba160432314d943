//! The way across an air gap, walked with a real recipe: a fresh unprivileged user in a network namespace
//! without even loopback, with a wrong clock, has one file. Run by `make test-slow`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not go on has failed"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use kiln_model::Digest;
use walkdir::WalkDir;

/// A user that nobody is.
const USER: u32 = 54_321;

/// What is done on the other side. `$1` is the bundle, `$2` its digest.
const OTHER_SIDE: &str = r#"set -eu
tar -xf "$1" kiln
./kiln bundle import "$1" --into project --expect "$2"
cd project
make rpms
make sbom
make rpms | grep -q "Nothing to do"
make verify VERIFY_ARGS="--builds 1 zlib"
"#;

#[expect(
    clippy::disallowed_methods,
    reason = "kiln and its surroundings are started"
)]
fn run(program: &str, folder: &Path, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", folder)
        .current_dir(folder)
        .stdin(Stdio::null())
        .args(arguments);
    match command.output() {
        Ok(output) => Some(output),
        Err(_) => {
            eprintln!("skipped: there is no {program}");
            None
        }
    }
}

fn text(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// Returns the calls in a trace that go to another address family than local sockets.
fn outward(trace: &Path) -> Vec<String> {
    let text = String::from_utf8_lossy(&fs_err::read(trace).unwrap()).into_owned();
    let is_outward = |line: &&str| {
        let families = line.split("sa_family=").skip(1);
        let mut families = families.filter_map(|rest| rest.split([',', '}']).next());
        // Netlink is how a sandbox brings up its own loopback.
        families.any(|family| !["AF_UNIX", "AF_NETLINK", "AF_UNSPEC"].contains(&family))
    };
    text.lines().filter(is_outward).map(str::to_owned).collect()
}

fn rpms(out: &Path) -> BTreeMap<String, Digest> {
    let entries = WalkDir::new(out.join("rpms")).sort_by_file_name();
    let files = entries.into_iter().map(Result::unwrap).filter(|entry| {
        let is_rpm = entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "rpm");
        entry.file_type().is_file() && is_rpm
    });
    let digests = files.map(|entry| {
        let digest = Digest::of(&fs_err::read(entry.path()).unwrap());
        (entry.file_name().to_string_lossy().into_owned(), digest)
    });
    digests.collect()
}

#[test]
fn privileged_one_file_is_enough_behind_an_air_gap() {
    let repository =
        fs_err::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root, to make a network namespace for another user");
        return;
    }
    if !repository.join(".kiln/store/trees").is_dir() {
        eprintln!("skipped: nothing in .kiln/store; run `make rpms` first");
        return;
    }
    let folder = tempfile::Builder::new()
        .prefix("kiln-air-gap-")
        .tempdir_in("/var/tmp")
        .unwrap();
    let folder = folder.path();
    let kiln = env!("CARGO_BIN_EXE_kiln");
    let at = ["--project", repository.to_str().unwrap()];
    let out = folder.join("out");
    let build = [
        &at[..],
        &["--quiet", "--out", out.to_str().unwrap(), "build", "zlib"],
    ]
    .concat();
    let built = run(kiln, folder, &build).unwrap();
    assert!(built.status.success(), "{}", text(&built));
    let exported = run(
        kiln,
        folder,
        &[&at[..], &["bundle", "export", "zlib.tar", "zlib"]].concat(),
    );
    let exported = exported.unwrap();
    assert!(exported.status.success(), "{}", text(&exported));
    let shown = text(&exported);
    let mut lines = shown.lines();
    let digest = lines
        .find_map(|line| line.strip_prefix("bundle     "))
        .unwrap();

    let home = folder.join("home");
    fs_err::create_dir(&home).unwrap();
    std::os::unix::fs::chown(&home, Some(USER), Some(USER)).unwrap();
    for (path, mode) in [(folder, 0o755), (&folder.join("zlib.tar"), 0o644)] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs_err::set_permissions(path, mode).unwrap();
    }
    let trace = folder.join("trace");
    let user = USER.to_string();
    let traced = |script: &str, arguments: &[&str]| {
        let around = [
            "-f",
            "-q",
            "-e",
            "trace=connect,sendto,sendmsg,sendmmsg",
            "-o",
            trace.to_str().unwrap(),
            "unshare",
            "--net",
            "--",
            "setpriv",
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
            "--",
            "faketime",
            "-f",
            "+20y",
            "bash",
            "-c",
            script,
            "bash",
        ];
        run("strace", &home, &[&around[..], arguments].concat())
    };
    // The trace sees what goes out, and there is nothing that it could reach.
    let Some(control) = traced("exec 3<>/dev/tcp/127.0.0.1/9", &[]) else {
        return;
    };
    assert!(!control.status.success());
    assert_eq!(outward(&trace).len(), 1, "{}", text(&control));

    let bundle = folder.join("zlib.tar");
    let ended = traced(OTHER_SIDE, &[bundle.to_str().unwrap(), digest]).unwrap();
    assert!(ended.status.success(), "{}", text(&ended));
    let shown = text(&ended);
    assert!(
        shown.contains("zlib.cdx.json") && shown.contains(" reproducible; 1 rebuild"),
        "{shown}"
    );
    assert_eq!(outward(&trace), [""; 0]);
    assert!(
        fs_err::metadata(&trace).unwrap().len() > 1000,
        "the trace saw local sockets"
    );
    assert_eq!(
        rpms(&home.join("project/out")),
        rpms(&out),
        "the same packages"
    );
}
