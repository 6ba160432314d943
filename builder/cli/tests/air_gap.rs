//! The way across an air gap, walked with a real recipe: a fresh unprivileged user in a network namespace
//! without even loopback, with a wrong clock, has one file. Run by `make test-slow`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can not go on has failed"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kiln_model::Digest;
use tempfile::TempDir;
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

/// A folder with a bundle, and another one for a user who has nothing.
struct Gap {
    folder: TempDir,
    digest: String,
}

impl Gap {
    /// Builds zlib as everyone does, and exports it.
    fn new(repository: &Path) -> Self {
        let folder = TempDir::with_prefix_in("kiln-air-gap-", "/var/tmp").unwrap();
        let project = ["--project", repository.to_str().unwrap()];
        let kiln = |arguments: &[&str]| {
            let all = [&project[..], arguments].concat();
            let ended = run(env!("CARGO_BIN_EXE_kiln"), folder.path(), &all).unwrap();
            assert!(ended.status.success(), "{}", text(&ended));
            text(&ended)
        };
        let out = folder.path().join("out");
        kiln(&["--quiet", "--out", out.to_str().unwrap(), "build", "zlib"]);
        let shown = kiln(&["bundle", "export", "zlib.tar", "zlib"]);
        let mut lines = shown.lines();
        let digest = lines.find_map(|line| line.strip_prefix("bundle     "));
        let digest = digest.unwrap().to_owned();
        let gap = Self { folder, digest };
        fs_err::create_dir(gap.home()).unwrap();
        std::os::unix::fs::chown(gap.home(), Some(USER), Some(USER)).unwrap();
        for (path, mode) in [(gap.path().to_owned(), 0o755), (gap.bundle(), 0o644)] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
            fs_err::set_permissions(path, mode).unwrap();
        }
        gap
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn home(&self) -> PathBuf {
        self.path().join("home")
    }

    fn bundle(&self) -> PathBuf {
        self.path().join("zlib.tar")
    }

    fn trace(&self) -> PathBuf {
        self.path().join("trace")
    }

    /// Runs a script as the user, without network, twenty years ahead, and notes where it turns to.
    fn traced(&self, script: &str, arguments: &[&str]) -> Option<Output> {
        let (trace, user) = (self.trace(), USER.to_string());
        let mut all = vec!["-f", "-q", "-e", "trace=connect,sendto,sendmsg,sendmmsg"];
        all.extend(["-o", trace.to_str().unwrap(), "unshare", "--net", "--"]);
        all.extend(["setpriv", "--reuid", &user, "--regid", &user]);
        all.extend(["--clear-groups", "--", "faketime", "-f", "+20y"]);
        all.extend(["bash", "-c", script, "bash"]);
        all.extend(arguments);
        run("strace", &self.home(), &all)
    }
}

#[test]
fn privileged_one_file_is_enough_behind_an_air_gap() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let repository = fs_err::canonicalize(repository).unwrap();
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: needs root, to make a network namespace for another user");
        return;
    }
    if !repository.join(".kiln/store/trees").is_dir() {
        eprintln!("skipped: nothing in .kiln/store; run `make rpms` first");
        return;
    }
    let gap = Gap::new(&repository);
    // The trace sees what goes out, and there is nothing that it could reach.
    let Some(control) = gap.traced("exec 3<>/dev/tcp/127.0.0.1/9", &[]) else {
        return;
    };
    assert!(!control.status.success());
    assert_eq!(outward(&gap.trace()).len(), 1, "{}", text(&control));

    let bundle = gap.bundle();
    let ended = gap.traced(OTHER_SIDE, &[bundle.to_str().unwrap(), &gap.digest]);
    let ended = ended.unwrap();
    assert!(ended.status.success(), "{}", text(&ended));
    let shown = text(&ended);
    let is_done = shown.contains("zlib.cdx.json") && shown.contains(" reproducible; 1 rebuild");
    assert!(is_done, "{shown}");
    assert_eq!(outward(&gap.trace()), [""; 0]);
    let seen = fs_err::metadata(gap.trace()).unwrap().len();
    assert!(seen > 1000, "the trace saw local sockets");
    let there = gap.home().join("project/out");
    assert_eq!(
        rpms(&there),
        rpms(&gap.path().join("out")),
        "the same packages"
    );
}
