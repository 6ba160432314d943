//! The example of `recipes/examples/beacon`: fetched from a real git server, built to RPMs, installed by rpm
//! into a copy of the base root file system, and used. Run by `make test-example`.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test that can not go on has failed, and runs what its user would"
)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kiln_model::{BaseLock, Lock as _, RecipeLock};
use kiln_store::Store;

fn root() -> PathBuf {
    fs_err::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

fn store_folder() -> PathBuf {
    std::env::var_os("KILN_STORE").map_or_else(|| root().join(".kiln/store"), PathBuf::from)
}

/// The example's server; it ends with this value.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Makes the sources in `folder` and serves them; returns what `make-sources` says, and the address.
fn serve(folder: &Path) -> (Served, String, String) {
    let example = root().join("recipes/examples/beacon");
    let made = Command::new(example.join("make-sources"))
        .arg(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let mut server = Command::new(example.join("serve"))
        .arg(folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut address = String::new();
    BufReader::new(server.stdout.take().unwrap())
        .read_line(&mut address)
        .unwrap();
    let said = String::from_utf8(made.stdout).unwrap();
    (Served(server), said, address.trim().to_owned())
}

/// Copies what kiln needs of the repository, with a mirror for the example's sources.
fn project(folder: &Path, address: &str) -> PathBuf {
    let project = folder.join("project");
    fs_err::create_dir(&project).unwrap();
    for name in ["recipes", "base-images", "lockfiles"] {
        let copied = Command::new("cp")
            .arg("-a")
            .arg(root().join(name))
            .arg(&project)
            .status();
        assert!(copied.unwrap().success());
    }
    let settings = fs_err::read_to_string(root().join("kiln.toml")).unwrap();
    let mirror = format!(
        "\n[mirrors]\nsources = [{{prefix = \"https://git.kiln.invalid/\", to = [\"{address}\"]}}]\n"
    );
    fs_err::write(project.join("kiln.toml"), settings + &mirror).unwrap();
    project
}

fn kiln(project: &Path, arguments: &[&str]) -> String {
    let done = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(arguments)
        .current_dir(project)
        .env("KILN_STORE", store_folder())
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&done.stdout).into_owned(),
        String::from_utf8_lossy(&done.stderr).into_owned(),
    );
    assert!(done.status.success(), "{arguments:?}: {stdout}{stderr}");
    stdout + &stderr
}

/// An overlay over the root file system that Beacon is built in, and what libmemcached is tested with: the
/// base image, Boost, libevent, Python and a memcached.
const ROOM: &str = r#"
set -eu
ip link set lo up
mount -t tmpfs tmpfs "$ROOM"
mkdir "$ROOM/upper" "$ROOM/work" "$ROOM/root"
mount -t overlay overlay -o "lowerdir=$LOWER,upperdir=$ROOM/upper,workdir=$ROOM/work" "$ROOM/root"
mkdir -p "$ROOM/root/rpms" "$ROOM/root/tmp" "$ROOM/root/dev" "$ROOM/root/proc" "$ROOM/root/etc"
mount -t proc proc "$ROOM/root/proc"
mount --bind "$RPMS" "$ROOM/root/rpms"
mount --bind /dev "$ROOM/root/dev"
printf 'root:x:0:0::/root:/bin/sh\n' >"$ROOM/root/etc/passwd"
printf 'root:x:0:\n' >"$ROOM/root/etc/group"
printf '127.0.0.1 localhost\n' >"$ROOM/root/etc/hosts"
cp "$SCRIPT" "$ROOM/root/tmp/script"
exec chroot "$ROOM/root" /bin/sh -eux /tmp/script
"#;

/// Runs a script as root of the room; returns its output.
fn run(folder: &Path, rpms: &Path, script: &str) -> String {
    let store = Store::open(&store_folder()).unwrap();
    let lockfile = |name: &str| {
        let file = root().join(format!("lockfiles/{name}-x86_64.lock"));
        fs_err::read_to_string(file).unwrap()
    };
    let base = BaseLock::parse(&lockfile("debian-12")).unwrap().layer;
    let tools = ["beacon", "libmemcached"].map(|name| {
        let lock = RecipeLock::parse(&lockfile(name)).unwrap();
        lock.tools.unwrap().layer
    });
    let trees = tools.iter().chain([&base]).map(|layer| {
        let tree = store.tree(layer).unwrap().unwrap();
        tree.display().to_string()
    });
    let lower = trees.collect::<Vec<_>>().join(":");
    let room = folder.join("room");
    fs_err::create_dir(&room).unwrap();
    fs_err::write(folder.join("script"), script).unwrap();
    let done = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "/bin/sh", "-c", ROOM])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8")
        .env("ROOM", &room)
        .env("LOWER", lower)
        .env("RPMS", rpms)
        .env("SCRIPT", folder.join("script"))
        .output()
        .unwrap();
    let log = [done.stdout, done.stderr].concat();
    let log = String::from_utf8_lossy(&log).into_owned();
    assert!(done.status.success(), "{log}");
    log
}

const USE: &str = r#"
export HOME=/root PYTHONDONTWRITEBYTECODE=1
rpm --initdb
rpm -i --justdb --nodeps /rpms/x86_64/kiln-base-debian-12-*.rpm
rpm -i --nodeps /rpms/x86_64/beacon-1*.rpm /rpms/x86_64/beacon-relay-1*.rpm /rpms/x86_64/beacon-plugin-*.rpm \
  /rpms/x86_64/beacon-prebuilt-*.rpm /rpms/noarch/beacon-tools-*.rpm
for package in beacon beacon-relay beacon-plugin-echo beacon-plugin-reverse beacon-prebuilt beacon-tools; do
  rpm -V --nodeps $package
done

# Users, limits, units, settings.
cat /etc/passwd
grep -x 'beacon:[x!*]*:[0-9]*:[0-9]*:Beacon:/usr/share/beacon:/usr/sbin/nologin' /etc/passwd
grep '^beacon-relay:' /etc/passwd
[ "$(stat -c %U /var/log/beacon)" = beacon ]
grep -x 'beacon hard nofile 100000' /etc/security/limits.d/*
test -f /usr/lib/systemd/system/beacon.service
test -f /usr/lib/systemd/system/beacon-relay.service
rpm -q --configfiles beacon | grep -x /etc/beacon/beacon.conf

# What is bundled is told, and is not the operating system's business.
rpm -q --provides beacon
rpm -q --requires beacon
if rpm -q --requires beacon | grep -E 'libcurl|libcares|libevhtp|libmemcached|libhashkit'; then exit 1; fi

# Programs that came as they are, and one under two names.
[ "$(/usr/share/beacon/prebuilt/1.0/beacon-stamp)" = 'beacon-stamp 1.0' ]
build_id() { eu-readelf -n "/usr/share/beacon/bin/$1" | grep 'Build ID'; }
[ "$(build_id beacon)" = "$(build_id beacon-relay)" ]

# The daemons serve, with their own libraries.
/usr/share/beacon/bin/beacon --versions
ldd /usr/share/beacon/bin/beacon | grep 'libcurl.so.4 => /usr/share/beacon/lib/libcurl.so.4 '
memcached -u root -l 127.0.0.1 -p 11211 &
. /etc/beacon/beacon.conf
setpriv --reuid beacon --regid beacon --clear-groups /usr/share/beacon/bin/beacon $BEACON_OPTIONS &
/usr/share/beacon/bin/beacon-relay --listen 127.0.0.1:7071 &
for try in 1 2 3 4 5 6 7 8 9 10; do
  beacon-report && break
  sleep 0.3
done
[ "$(beacon-report)" = 'beacon is well' ]
[ "$(beacon-report http://127.0.0.1:7071)" = 'beacon-relay is well' ]
ask() {
  python3 -c 'import sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:" + sys.argv[1]).read().decode().strip())' "$1"
}
[ "$(ask '7070/plugin?name=reverse&text=nocaeb')" = '{"answer": "beacon"}' ]
[ "$(ask '7070/plugin?name=echo&text=beacon')" = '{"answer": "beacon"}' ]
ask '7070/remember?key=light&value=on'
[ "$(ask '7070/recall?key=light')" = '{"answer": "on"}' ]
[ "$(ask '7070/lookup?name=127.0.0.1')" = '{"answer": "127.0.0.1"}' ]
ask '7070/fetch?url=http://127.0.0.1:7071/health' | grep 'status 200'
if ask 7071/versions; then exit 1; fi
rpm -e beacon-relay beacon-plugin-echo beacon-plugin-reverse beacon
if test -e /usr/share/beacon/lib; then exit 1; fi
"#;

#[test]
fn thorough_the_example_is_built_from_a_git_server_and_installs() {
    let folder = tempfile::tempdir().unwrap();
    let (_served, said, address) = serve(&folder.path().join("served"));
    let recipe =
        fs_err::read_to_string(root().join("recipes/examples/beacon/recipe.yaml")).unwrap();
    for line in said
        .lines()
        .filter(|line| !line.starts_with("beacon-common "))
    {
        let id = line.split(' ').next_back().unwrap();
        assert!(recipe.contains(id), "the recipe pins other sources: {said}");
    }
    let project = project(folder.path(), &address);
    kiln(&project, &["check"]);
    // From the server, not from a store that has it by chance: the commit is exported anew.
    let locked = fs_err::read_to_string(project.join("lockfiles/beacon-x86_64.lock")).unwrap();
    fs_err::remove_file(project.join("lockfiles/beacon-x86_64.lock")).unwrap();
    kiln(&project, &["lock", "beacon"]);
    let again = fs_err::read_to_string(project.join("lockfiles/beacon-x86_64.lock")).unwrap();
    assert_eq!(again, locked);
    kiln(&project, &["build", "beacon"]);
    let log = run(folder.path(), &project.join("out/rpms"), USE);
    for provided in [
        "bundled(c-ares)",
        "bundled(curl)",
        "bundled(libevhtp)",
        "bundled(libmemcached)",
    ] {
        assert!(log.contains(provided), "{provided}: {log}");
    }
    for required in ["libevent", "libboost_program_options"] {
        assert!(log.contains(required), "{required}: {log}");
    }
}
