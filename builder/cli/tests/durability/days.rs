//! Bad days of a store: each is one clear sentence with what to do, and exit code 2.

use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::bases::Base;
use crate::project::Ended;
use crate::scene::{Scene, Told};
use crate::server::Server;

/// Nobody's.
const OTHER_USER: u32 = 65534;

/// Runs a shell script in a mount namespace in which `kiln` is a command, as root or another user.
#[expect(
    clippy::disallowed_methods,
    reason = "a test mounts with other programs"
)]
fn shell(scene: &Scene<'_>, script: &str) -> Ended {
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c"])
        .arg(format!("kiln() {{ \"$KILN\" --quiet \"$@\"; }}\n{script}"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("KILN", env!("CARGO_BIN_EXE_kiln"))
        .env("HOME", &scene.project.root)
        .current_dir(&scene.project.root)
        .output()
        .unwrap();
    scene.project.ended(&output)
}

/// Runs what must fail; returns whether it failed in exactly these words.
fn check(scene: &Scene<'_>, script: &str, expected: &str) -> bool {
    let ended = shell(scene, script);
    // What the system says may be followed by the path that it was said of.
    let is_expected = ended.code == Some(2) && ended.stderr.starts_with(expected.trim_end());
    if !is_expected {
        let (code, text) = (ended.code, ended.stderr);
        eprintln!("{script}\nexpected {expected}got {code:?}: {text}");
    }
    is_expected
}

#[test]
fn slow_a_store_that_can_not_be_used_is_one_sentence() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::new(&base, &server);
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root mounts and becomes other users");
        return;
    }
    let root = &scene.project.root;
    // Others may pass through to the project.
    let open = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(root.parent().unwrap(), open).unwrap();
    let mut wrong = 0;
    for (script, expected) in [
        (
            "echo > bad; kiln --store bad plan",
            "error: expected a folder at `PROJECT/bad`, found something else; name another store\n",
        ),
        (
            "kiln --store bad/store plan",
            "error: expected a folder at `PROJECT/bad/store`, found something else; name another store\n",
        ),
        (
            "kiln --store recipes plan",
            "error: `PROJECT/recipes` is not a kiln store: it holds `tiny` but no \
             `kiln-store.json`; name an empty or a new folder\n",
        ),
        (
            "mkdir newer; echo '{\"format\":999}' > newer/kiln-store.json; kiln --store newer plan",
            "error: the store `PROJECT/newer` has format 999; this kiln reads up to format 2; use a \
             newer kiln or another store\n",
        ),
        (
            "mkdir garbage; echo '{\"for' > garbage/kiln-store.json; kiln --store garbage plan",
            "error: expected `PROJECT/garbage/kiln-store.json` to state the store's format: control \
             character (\\u0000-\\u001F) found while parsing a string at line 2 column 0; take the file back from a backup, or name another store\n",
        ),
        (
            "mkdir empty; : > empty/kiln-store.json; kiln --store empty plan",
            "error: expected `PROJECT/empty/kiln-store.json` to state the store's format: EOF while \
             parsing a value at line 1 column 0; take the file back from a backup, or name another store\n",
        ),
        (
            "mkdir -p folder/kiln-store.json; kiln --store folder plan",
            "error: expected `PROJECT/folder/kiln-store.json` to state the store's format: it is a folder; take \
             the file back from a backup, or name another store\n",
        ),
        (
            "mkdir full; mount -t tmpfs -o size=4k,nr_inodes=3 none full; kiln --store full plan",
            "error: no space left to write `PROJECT/full/blobs/sha256`; free some space or name a \
             store on another disk\n  cause     No space left on device (os error 28)\n",
        ),
        (
            "mkdir fresh; mount -t tmpfs -o ro none fresh; kiln --store fresh plan",
            "error: `PROJECT/fresh/kiln-store.json` can not be written to; make it writable or name \
             another store\n  cause     Read-only file system (os error 30)\n",
        ),
        (
            "mount --bind .kiln/store .kiln/store; mount -o remount,ro,bind .kiln/store; kiln plan",
            "error: `PROJECT/.kiln/store/tmp` can not be written to; make it writable or name another \
             store\n  cause     Read-only file system (os error 30)\n",
        ),
        (
            "setpriv --reuid 65534 --regid 65534 --clear-groups sh -c '\"$KILN\" --quiet plan'",
            "error: `PROJECT/.kiln/store/tmp` can not be written to; make it writable or name another \
             store\n  cause     Permission denied (os error 13)\n",
        ),
        (
            "mkdir -m 700 shut; echo '{\"format\":1}' > shut/kiln-store.json\n\
             setpriv --reuid 65534 --regid 65534 --clear-groups \
             sh -c '\"$KILN\" --quiet --store shut plan'",
            "error: `PROJECT/shut/kiln-store.json` can not be read by this user; make it readable or \
             name another store\n  cause     failed to open file `PROJECT/shut/kiln-store.json`: Permission \
             denied (os error 13)\n",
        ),
    ] {
        wrong += u32::from(!check(&scene, script, expected));
    }
    assert_eq!(wrong, 0);
}

#[test]
fn slow_a_store_of_another_user_serves_root_and_stays_theirs() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::new(&base, &server);
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root gives files away");
        return;
    }
    let root = &scene.project.root;
    fs_err::create_dir(root.join("theirs")).unwrap();
    let user = Some(OTHER_USER);
    std::os::unix::fs::chown(root.join("theirs"), user, user).unwrap();
    let open = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(root.parent().unwrap(), open).unwrap();
    let as_user = "setpriv --reuid 65534 --regid 65534 --clear-groups sh -c \
                   '\"$KILN\" --quiet --store theirs/store plan'";
    for script in [as_user, "kiln --store theirs/store plan", as_user] {
        let ended = shell(&scene, script);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    }
}

#[test]
fn slow_any_path_will_do_for_a_store() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::new(&base, &server);
    let names: [&[u8]; 4] = [
        b"with space",
        b"two\nlines",
        b"quo'te\"d, $HOME:a",
        b"\xff\xfe",
    ];
    for name in names {
        let path = scene.project.root.join(std::ffi::OsStr::from_bytes(name));
        fs_err::rename(scene.project.store(), &path).unwrap();
        let mut command = scene.project.command();
        command
            .args(["--quiet", "--out", "elsewhere", "build", "--store"])
            .arg(&path);
        let ended = scene.project.ended(&command.output().unwrap());
        assert_eq!(ended.code, Some(0), "{name:?}: {}", ended.stderr);
        let out = scene.project.root.join("elsewhere");
        assert_eq!(crate::project::outputs(&out), scene.reference, "{name:?}");
        fs_err::remove_dir_all(out).unwrap();
        fs_err::rename(&path, scene.project.store()).unwrap();
    }
}

/// File systems lack things: renaming without replacing (NFS, some FUSE), links, unnamed files.
#[test]
fn slow_what_a_file_system_lacks_is_done_otherwise() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::new(&base, &server);
    for injections in [
        &["renameat2:error=EINVAL"][..],
        &["renameat2:error=ENOSYS", "link,linkat:error=EPERM"],
        &[
            "copy_file_range,ioctl:error=EOPNOTSUPP",
            "fallocate:error=EOPNOTSUPP",
        ],
    ] {
        scene.reset();
        let ended = under_strace(&scene, injections);
        assert_eq!(ended.code, Some(0), "{injections:?}: {}", ended.stderr);
        scene.check_whole();
        scene.check_next_run(&Told::parse(&ended.stdout));
    }
}

#[expect(clippy::disallowed_methods, reason = "a test starts strace")]
fn under_strace(scene: &Scene<'_>, injections: &[&str]) -> Ended {
    let kiln = scene.command();
    let mut command = Command::new("strace");
    // What it starts is traced, too: nothing there needs these calls either.
    command.args(["-f", "-qq", "-o", "/dev/null"]);
    for injection in injections {
        command.arg(format!("--inject={injection}"));
    }
    let calls: Vec<&str> = injections
        .iter()
        .filter_map(|one| one.split(':').next())
        .collect();
    command.arg(format!("--trace={}", calls.join(",")));
    command.arg(kiln.get_program()).args(kiln.get_args());
    command.env_clear().env("HOME", &scene.project.root);
    command.current_dir(&scene.project.root);
    scene.project.ended(&command.output().unwrap())
}

/// A real file system in user space that knows nothing but the basics.
#[test]
fn slow_a_store_behind_fuse_gives_the_same_bytes() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::new(&base, &server);
    scene.reset();
    let script = "mkdir fuse && bindfs .kiln/store fuse || exit 99\n\
                  kiln --store fuse build; code=$?\numount -l fuse\nexit $code";
    let ended = shell(&scene, script);
    if ended.code == Some(99) || !Path::new("/dev/fuse").exists() {
        eprintln!("skipped: bindfs can not be used here: {}", ended.stderr);
        return;
    }
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(crate::project::outputs(&scene.out()), scene.reference);
}
