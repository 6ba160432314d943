//! Hostile images and impossible orders: a sandbox is made well or not at all.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use kiln_model::{MountAccess, StepUser};
use kiln_sandbox::SandboxError;

use crate::support::{Place, mount, output, refusal};

fn make_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.unwrap().success());
}

/// Every fixed folder of a sandbox, in the image as something else.
#[test]
fn fixed_folders_are_made_whatever_the_image_has_there() {
    let script = "ls -d /proc/self/status /dev/null /etc/passwd /build /tmp; ls -A /sys | wc -l; \
                  echo x > /tmp/x; echo x > /var/tmp/x; cat /etc/hostname";
    let expected = "/build\n/dev/null\n/etc/passwd\n/proc/self/status\n/tmp\n0\nkiln\n";
    for kind in [
        "to-parent",
        "to-root",
        "to-host",
        "fifo",
        "file",
        "dangling",
    ] {
        let Some(place) = Place::new() else { return };
        let canary = place.folder("canary");
        for name in ["proc", "dev", "etc", "tmp", "build", "sys", "var", "root"] {
            let path = place.rootfs().join(name);
            match kind {
                "to-parent" => symlink("..", &path).unwrap(),
                "to-root" => symlink("/", &path).unwrap(),
                "to-host" => symlink(&canary, &path).unwrap(),
                "fifo" => make_fifo(&path),
                "file" => fs_err::write(&path, "x").unwrap(),
                _ => symlink("/nowhere/at/all", &path).unwrap(),
            }
        }
        for user in [StepUser::Build, StepUser::Root] {
            let mut step = place.step(script);
            step.user = user;
            let out = place.folder("out");
            step.mounts = vec![mount(&out, "/build", MountAccess::ReadWrite)];
            assert_eq!(output(&step), expected, "{kind} {user:?}");
        }
        assert_eq!(fs_err::read_dir(canary).unwrap().count(), 0, "{kind}");
    }
}

#[test]
fn account_files_of_the_wrong_kind_are_replaced() {
    for kind in ["symlink", "fifo", "magic"] {
        let Some(place) = Place::new() else { return };
        place.folder("rootfs/etc");
        let canary = place.file("canary", "root:x:0:0:canary:/:\n");
        for name in ["passwd", "group", "hosts", "hostname", "resolv.conf"] {
            let path = place.rootfs().join("etc").join(name);
            match kind {
                "symlink" => symlink(&canary, &path).unwrap(),
                "magic" => symlink("/proc/self/fd/1", &path).unwrap(),
                _ => make_fifo(&path),
            }
        }
        let log = output(&place.step("cat /etc/passwd /etc/hosts; id -un"));
        assert!(!log.contains("canary"), "{kind}: {log}");
        assert!(
            log.ends_with("::1 localhost kiln\nbuild\n"),
            "{kind}: {log}"
        );
        let kept = fs_err::read_to_string(&canary).unwrap();
        assert_eq!(kept, "root:x:0:0:canary:/:\n");
    }
}

#[test]
fn a_symlink_in_the_image_leads_a_mount_nowhere_but_into_the_image() {
    let Some(place) = Place::new() else { return };
    let input = place.folder("input");
    place.file("input/file", "input\n");
    let outside = place.folder("outside");
    place.folder("rootfs/usr/lib");
    symlink("usr/lib", place.rootfs().join("lib")).unwrap();
    symlink(&outside, place.rootfs().join("escape")).unwrap();
    symlink("../../../../..", place.rootfs().join("up")).unwrap();
    // A merged /usr is followed; `..` above the root stays at the root.
    for (target, seen) in [("/lib/x", "/usr/lib/x/file"), ("/up/y", "/y/file")] {
        let mut step = place.step(&format!("cat {seen}"));
        step.mounts = vec![mount(&input, target, MountAccess::ReadOnly)];
        assert_eq!(output(&step), "input\n", "{target}");
    }
    // The host folder of that name is not the sandbox's, where there is none.
    let mut step = place.step("true");
    step.mounts = vec![mount(&input, "/escape/z", MountAccess::ReadWrite)];
    let error = refusal(&step);
    let SandboxError::Target { target, at, reason } = &error else {
        panic!("{error:?}")
    };
    assert_eq!((target.as_str(), at.as_str()), ("/escape/z", "/escape"));
    assert_eq!(reason.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(fs_err::read_dir(&outside).unwrap().count(), 0);
}

#[test]
fn a_target_of_the_wrong_kind_is_named() {
    let Some(place) = Place::new() else { return };
    let (folder, file) = (place.folder("folder"), place.file("file", ""));
    make_fifo(&place.rootfs().join("fifo"));
    symlink("/", place.rootfs().join("top")).unwrap();
    symlink("/proc/self/fd/3", place.rootfs().join("magic")).unwrap();
    fs_err::write(place.rootfs().join("text"), "").unwrap();
    fs_err::create_dir(place.rootfs().join("dir")).unwrap();
    for (source, target, at, kind) in [
        (&folder, "/fifo", "/fifo", "a FIFO"),
        (&folder, "/fifo/x", "/fifo", "a FIFO"),
        (&folder, "/text", "/text", "a file"),
        (&file, "/dir", "/dir", "a folder"),
        (&folder, "/top", "/top", "a symlink to the root folder"),
    ] {
        let mut step = place.step("true");
        step.mounts = vec![mount(source, target, MountAccess::ReadOnly)];
        let error = refusal(&step);
        assert_eq!(
            error.to_string(),
            format!("mount target `{target}` can not be used: `{at}` is {kind} in the image")
        );
    }
    let mut step = place.step("true");
    step.mounts = vec![mount(&folder, "/magic", MountAccess::ReadOnly)];
    assert!(matches!(refusal(&step), SandboxError::Target { .. }));
}

#[test]
fn sources_that_are_no_files_are_refused() {
    let Some(place) = Place::new() else { return };
    let fifo = place.path().join("fifo");
    make_fifo(&fifo);
    let socket = place.path().join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    for (source, kind) in [
        (fifo.as_path(), "a FIFO"),
        (socket.as_path(), "a socket"),
        (Path::new("/dev/null"), "a character device"),
    ] {
        let mut step = place.step("true");
        step.mounts = vec![mount(source, "/x", MountAccess::ReadOnly)];
        assert_eq!(
            refusal(&step).to_string(),
            format!(
                "mount source `{}` is {kind}; expected a folder or a regular file",
                source.display()
            )
        );
    }
}

#[test]
fn a_path_of_any_bytes_reaches_init_and_comes_back() {
    let Some(place) = Place::new() else { return };
    let mut step = place.step("true");
    let name = PathBuf::from(std::ffi::OsStr::from_bytes(b"/no\xFFtext"));
    step.rootfs.push(name.clone());
    match refusal(&step) {
        SandboxError::Rootfs { path, .. } => assert_eq!(path, name),
        other => panic!("{other:?}"),
    }
}

#[test]
fn orders_that_make_no_sense_are_refused_before_anything_starts() {
    let place = Place::empty();
    let check = |change: &dyn Fn(&mut kiln_model::SealedStep), expected: &str| {
        let mut step = place.step("true");
        change(&mut step);
        assert_eq!(
            refusal(&step).to_string(),
            format!("step `test` can not be run: {expected}")
        );
    };
    check(
        &|step| step.rootfs.clear(),
        "it has no root file system tree",
    );
    check(
        &|step| step.rootfs = vec![step.rootfs[0].clone(); 501],
        "it has 501 root file system trees, and the kernel merges at most 500",
    );
    check(
        &|step| step.rootfs.push(step.rootfs[0].clone()),
        &format!(
            "its root file system tree `{}` is listed twice",
            place.rootfs().display()
        ),
    );
    check(
        &|step| step.limits.scratch = 0,
        "its scratch limit is 0 bytes, and 1048576 are the least",
    );
    check(&|step| step.command.clear(), "it has no command");
    check(
        &|step| step.command[0] = "sh".to_owned(),
        "its program `sh` is not an absolute path",
    );
    check(
        &|step| step.command[2] = "a\0b".to_owned(),
        "its argument \"a\\0b\" holds a NUL",
    );
    check(
        &|step| {
            step.environment.insert("A=B".to_owned(), String::new());
        },
        "its variable \"A=B\" can not be in an environment",
    );
    for target in ["/proc", "/proc/sys", "/dev/shm", "/sys"] {
        let folder = &target[..target[1..].find('/').map_or(target.len(), |at| at + 1)];
        check(
            &|step| step.mounts = vec![mount(place.path(), target, MountAccess::ReadOnly)],
            &format!(
                "its mount target `{target}` lies in `{folder}`, which the sandbox makes itself"
            ),
        );
    }
}

#[test]
fn a_program_that_is_no_init_is_told_from_a_host_that_can_not() {
    use kiln_sandbox::{EmbeddedEngine, Engine, InitProgram};
    let probe = |program: &str, arguments: &[&str]| {
        let init = InitProgram {
            program: program.into(),
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
        };
        EmbeddedEngine::new(init).probe().unwrap_err().to_string()
    };
    for (program, arguments, status) in [
        ("/bin/false", &[][..], "exit status 1"),
        ("/bin/echo", &["Usage: echo [OPTION]..."], "exit status 0"),
        // It takes what it is asked for an answer.
        (
            "/bin/sh",
            &["-c", "echo four more than four >&0"],
            "exit status 0",
        ),
        (
            "/bin/sh",
            &["-c", "printf '\\1\\0\\0\\0' >&0"],
            "exit status 0",
        ),
        ("/bin/sh", &["-c", "exec <&-; sleep 100"], "signal 9"),
    ] {
        assert_eq!(
            probe(program, arguments),
            format!(
                "the sandbox's init program `{program}` ended ({status}) before the step began; \
                 does it call `sandbox_init` first?"
            )
        );
    }
    assert_eq!(
        probe("/no/such/init", &[]),
        "can not start the sandbox's init program `/no/such/init`"
    );
}

#[test]
fn init_without_an_engine_ends_at_once() {
    let status = std::process::Command::new(crate::support::init_program())
        .stdin(std::process::Stdio::null())
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(64));
}

#[test]
fn a_probe_over_a_tree_needs_the_tree() {
    use kiln_sandbox::Engine as _;
    let place = Place::empty();
    let missing = place.path().join("missing");
    match crate::support::engine().probe_over(&missing) {
        Err(SandboxError::Rootfs { path, reason }) => {
            assert_eq!(path, missing);
            assert_eq!(reason.kind(), std::io::ErrorKind::NotFound);
        }
        Err(error) if error.is_about_user_namespaces() => println!("SKIPPED: {error}"),
        other => panic!("{other:?}"),
    }
    if crate::support::engine().probe().is_ok() {
        let isolation = crate::support::engine().probe_over(place.path()).unwrap();
        assert_eq!(isolation.filesystem, kiln_model::Measured::Yes);
    }
}

/// The other half of the next test: it runs where something is broken.
#[test]
fn broken_host_child() {
    use kiln_sandbox::Engine;
    if std::env::var_os("KILN_TEST_BROKEN").is_none() {
        return;
    }
    match crate::support::engine().probe() {
        Ok(isolation) => println!("PROBED {isolation:?}"),
        Err(error) => println!("PROBED {error}"),
    }
}

/// Breaks one thing in namespaces of our own and asks the engine there.
fn probe_on(breakage: &str) -> Option<String> {
    let script = format!("{breakage}\nexec \"$@\"");
    let child = std::process::Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-e",
            "-c",
            &script,
            "sh",
        ])
        .args(crate::support::this_test_program(
            "setup::broken_host_child",
        ))
        .env("KILN_TEST_BROKEN", "1")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("PROBED "));
    line.map(str::to_owned)
}

#[test]
fn a_host_that_can_not_isolate_is_told_why() {
    match probe_on("true") {
        Some(line) if line.starts_with("Isolation") => {}
        other => {
            println!("SKIPPED: no namespaces to break things in: {other:?}");
            return;
        }
    }
    let limited = |kind: &str, name: &str| {
        format!(
            "`user.max_{name}_namespaces = 0` forbids a new {kind} namespace, without which kiln can \
             not seal a step; allow it with `sysctl -w user.max_{name}_namespaces=10000` as root"
        )
    };
    let device = |found: &str| {
        format!(
            "the host's `/dev/null` is not usable: expected the character device 1:3, found {found} 0:0"
        )
    };
    for (breakage, expected) in [
        (
            "echo 0 > /proc/sys/user/max_user_namespaces",
            limited("user", "user"),
        ),
        (
            "echo 0 > /proc/sys/user/max_mnt_namespaces",
            limited("mount", "mnt"),
        ),
        (
            "echo 0 > /proc/sys/user/max_net_namespaces",
            limited("net", "net"),
        ),
        (
            "mount -t tmpfs none /proc/bus",
            "the host refuses a new /proc (Operation not permitted (os error 1)), because parts of \
             its own are hidden; in a container, start that with `--security-opt \
             systempaths=unconfined` or mount a second /proc that is whole"
                .to_owned(),
        ),
        (
            "mount -t tmpfs none /dev; ln -s /etc/hostname /dev/null",
            device("a symlink"),
        ),
        (
            "mount -t tmpfs none /dev; echo > /dev/null",
            device("a file"),
        ),
        (
            "mount -t tmpfs none /proc",
            "/proc is not mounted on this host, without which kiln can not seal a step; mount it \
             with `mount -t proc proc /proc` as root"
                .to_owned(),
        ),
    ] {
        assert_eq!(probe_on(breakage), Some(expected), "{breakage}");
    }
}
