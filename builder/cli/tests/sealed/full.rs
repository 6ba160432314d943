//! Disks that are full or may not be written: one sentence with the path, exit code 2, nothing
//! half-written, and the next run with room goes on.
//!
//! The store is put on a small disk by laying an empty one over it, in a mount namespace of its own.

use std::path::Path;
use std::process::Command;

use crate::bases::Base;
use crate::bundles::{export, small_project};
use crate::project::{DEMO, Ended, Project, changed};
use crate::server::Server;

/// Makes `full/store` a store with the project's content and this much room for more.
const SMALL_STORE: &str = "mkdir -p full/store && mount -t tmpfs -o size=$SIZE none full && \
     mkdir full/store full/upper full/work && mount -t overlay -o \
     lowerdir=.kiln/store,upperdir=full/upper,workdir=full/work,userxattr none full/store";

/// What a store does, and not every overlay can.
const MOVE: &str = "mkdir full/store/tmp/x && mv full/store/tmp/x full/store/trees/x";

/// Makes `full` a small disk.
const SMALL: &str = "mkdir -p full && mount -t tmpfs -o size=$SIZE none full";

/// Runs a script in namespaces of its own, with `kiln` as a command.
#[expect(
    clippy::disallowed_methods,
    reason = "a test fills disks with other programs"
)]
fn run(project: &Project<'_>, size: &str, script: &str) -> Ended {
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c"])
        .arg(format!("kiln() {{ \"$KILN\" \"$@\"; }}\n{script}"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("KILN", env!("CARGO_BIN_EXE_kiln"))
        .env("HOME", &project.root)
        .env("SIZE", size)
        .current_dir(&project.root)
        .output()
        .unwrap();
    project.ended(&output)
}

/// Returns whether disks can be made here, having said so when not.
fn can_mount(project: &Project<'_>) -> bool {
    let ended = run(project, "1m", &format!("{SMALL_STORE} && {MOVE}"));
    if ended.code != Some(0) {
        eprintln!("skipped: no small disk can be made here: {}", ended.stderr);
    }
    ended.code == Some(0)
}

/// What must be so in a small store after a failure: nothing unfinished, and only whole blobs.
const WHOLE: &str = "test -z \"$(ls full/store/tmp)\" && cd full/upper && \
     if test -d blobs/sha256; then cd blobs/sha256 && for blob in *; do test ! -f \"$blob\" || \
     echo \"$blob  $blob\" | sha256sum --check --quiet || exit 1; done; fi";

/// A demo with 6 MiB that do not compress, the same each time.
fn large() -> String {
    let install = "  use: make\n  install: |\n    make install\n    mkdir \"$DESTDIR/usr/share\"\n    \
         perl -e 'srand 1; print pack(\"L\", rand 2**32) for 1 .. 1572864' | cat > \
         \"$DESTDIR/usr/share/large\"\n";
    let recipe = changed(DEMO, "  use: make\n", install);
    let claimed = "files: [/usr/bin/demo, /usr/share/large]";
    changed(&recipe, "files: [/usr/bin/demo]", claimed)
}

#[test]
fn slow_a_disk_that_is_full_at_any_point_leaves_a_whole_store() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, &large());
    project.done(&["lock"]);
    if !can_mount(&project) {
        return;
    }
    let config = fs_err::read_to_string(project.root.join("kiln.toml")).unwrap();
    let without_reserve = format!("{config}[limits]\nfree = 0\n");
    project.write("kiln.toml", without_reserve.as_bytes());
    let script = format!(
        "{SMALL_STORE} || exit 99\n\
         kiln --store full/store --quiet build; code=$?\n\
         ({WHOLE}) || exit 98\n\
         mount -o remount,size=100m full\n\
         kiln --store full/store --quiet build || exit 97\n\
         exit $code"
    );
    for (size, codes, parts) in [
        // Where the step itself is refused.
        (
            "2m",
            &[1][..],
            &[
                "error: demo: step `install` failed: exit status ",
                "No space left on device",
            ][..],
        ),
        // The destdir does not fit twice.
        (
            "10m",
            &[2],
            &[
                "error: demo: destdir: the tar of the collected folder can not be written\n  cause     \
                 no space left to write `PROJECT/full/store/tmp/",
                "free some space or name a store on another disk\n",
            ],
        ),
        // Nor three times: it is unpacked to be packaged.
        (
            "16m",
            &[2],
            &["PROJECT/full/store/t", "No space left on device"],
        ),
        // rpmbuild's own copies; the base image's package is made beside it, and may be refused as well.
        (
            "26m",
            &[1, 2],
            &[
                "error: demo: packaging failed: exit status 1\n",
                "No space left on device",
            ],
        ),
    ] {
        let ended = run(&project, size, &script);
        let is_expected = ended.code.is_some_and(|code| codes.contains(&code));
        assert!(is_expected, "{size}: {:?}: {}", ended.code, ended.stderr);
        for part in parts {
            let stderr = &ended.stderr;
            assert!(stderr.contains(part), "{size}: {part} is not in {stderr}");
        }
        let names = project.rpm_names();
        assert_eq!(names.len(), 6, "the next run, with room: {names:?}");
        fs_err::remove_dir_all(project.root.join("out")).unwrap();
    }
    // With the default reserve, a step is not even begun on such a disk.
    project.write("kiln.toml", config.as_bytes());
    let ended = run(&project, "40m", &script);
    let said = "error: demo: step `build` failed: stopped, because less than 512 MiB are free on \
                the store's disk (`limits.free` in kiln.toml)\n";
    assert_eq!(ended.code, Some(97), "there is as little the second time");
    assert!(ended.stderr.starts_with(said), "{}", ended.stderr);
    let hint = "hint: free some space, or name a store on another disk with --store\n";
    assert!(ended.stderr.contains(hint), "{}", ended.stderr);
}

#[test]
fn slow_results_that_can_not_be_put_out_are_named_and_come_later() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
    if !can_mount(&project) {
        return;
    }
    let reference = crate::project::outputs(&project.root.join("out"));
    let check = |disk: &str, size: &str, parts: &[&str]| {
        let script = format!(
            "{disk} || exit 99\n\
             kiln --out full --quiet build; code=$?\n\
             test -z \"$(find full -name '.kiln-*')\" || exit 98\n\
             mount -o remount,rw,size=100m full\n\
             kiln --out full --quiet build || exit 97\n\
             cp -r full copy\nexit $code"
        );
        let ended = run(&project, size, &script);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        for part in parts {
            let stderr = &ended.stderr;
            assert!(stderr.contains(part), "{part} is not in {stderr}");
        }
        let copy = project.root.join("copy");
        assert_eq!(crate::project::outputs(&copy), reference);
        fs_err::remove_dir_all(copy).unwrap();
    };
    check(
        SMALL,
        "60k",
        &[
            "error: can not write `full/rpms/x86_64/",
            "`\n  cause     no storage space\n",
            "\nhint: free some space there; results and logs go where --out says\n",
        ],
    );
    check(
        &SMALL.replace("size=", "ro,size="),
        "1m",
        &[
            "error: can not write `full/specs/demo.spec`\n  cause     read-only filesystem or storage medium\n",
            "\nhint: make it writable for this user; results and logs go where --out says\n",
        ],
    );
    // A folder in the way of a file.
    fs_err::create_dir_all(project.root.join("odd/specs/demo.spec")).unwrap();
    let ended = project.kiln(&["--out", "odd", "--quiet", "build"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let said = "error: can not write `odd/specs/demo.spec`\n";
    assert!(ended.stderr.starts_with(said), "{}", ended.stderr);
    assert!(Path::new(&project.root.join("odd/specs/demo.spec")).is_dir());
}

#[test]
fn slow_a_bundle_that_does_not_fit_is_told_at_once_and_written_where_room_can_not_be_reserved() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = small_project(&base, &server);
    if !can_mount(&project) {
        return;
    }
    let whole = fs_err::read(export(&project, "whole.tar")).unwrap();
    // Less than kiln itself has.
    let script = format!(
        "{SMALL} || exit 99\n\
         kiln --quiet bundle export full/x.tar; code=$?\n\
         test ! -e full/x.tar && test $(stat -c %s full/x.tar.partial) -lt 4096 || exit 98\n\
         mount -o remount,size=2g full\n\
         kiln --quiet bundle export full/x.tar && cmp full/x.tar whole.tar || exit 97\n\
         exit $code"
    );
    let ended = run(&project, "1m", &script);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let expected = format!(
        "error: `full/x.tar.partial` has {} bytes, and there is no room for them\n  --> full/x.tar\n\n\
         hint: free some space there, or name a file on another disk\n",
        whole.len()
    );
    assert_eq!(ended.stderr, expected);
    // A ramfs has no fallocate.
    let script = "mkdir -p plain && mount -t ramfs none plain || exit 99\n\
         kiln --quiet bundle export plain/x.tar && cmp plain/x.tar whole.tar || exit 98\n\
         head -c 30000000 whole.tar > plain/y.tar.partial\n\
         kiln --quiet bundle export plain/y.tar && cmp plain/y.tar whole.tar";
    let ended = run(&project, "1m", script);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}
