//! The store lies on a disk that is too small, by more or by less: a clear error, nothing half-written,
//! and the next run, with room, goes on.
//!
//! A small disk is a file system of its own under an overlay over the store: what is new goes there.

use std::process::Command;

use crate::bases::Base;
use crate::project::{Ended, outputs};
use crate::scene::Scene;
use crate::server::Server;

/// The kinds of disks, as a shell makes, enlarges and removes them.
struct Disk {
    name: &'static str,
    make: &'static str,
    grow: &'static str,
    remove: &'static str,
    /// Sizes in KiB: from one on which nothing fits to one on which everything does.
    from: usize,
    to: usize,
}

const MEMORY: Disk = Disk {
    name: "tmpfs",
    make: "mount -t tmpfs -o size=${SIZE}k none disk",
    grow: "mount -o remount,size=200m disk",
    remove: "true",
    from: 8,
    to: 488,
};

/// Real blocks, and a file system that takes its time to write them. Something else fills it, and goes.
const LOOP: Disk = Disk {
    name: "ext4",
    make: "truncate -s 100M disk.img && mkfs.ext4 -q -F -m 0 disk.img && mount -o loop disk.img disk && \
           room=$(df --output=avail -k disk | tail -n 1) && \
           fallocate -l $((room - SIZE))k disk/ballast",
    grow: "rm disk/ballast",
    remove: "umount -l store disk; rm -f disk.img",
    from: 16,
    to: 1016,
};

/// Puts the store on the disk, builds, looks whether what has a name is whole, makes room, builds again.
const SCRIPT: &str = r#"
mkdir -p disk store && eval "$MAKE" || exit 99
trap 'eval "$REMOVE"' EXIT
mkdir disk/upper disk/work && mount -t overlay -o \
    lowerdir=.kiln/store,upperdir=disk/upper,workdir=disk/work,$EXTRA none store || exit 99
"$KILN" --store store --quiet build; code=$?
test -z "$(ls store/tmp)" || { echo "left: $(ls store/tmp)"; exit 98; }
test -z "$(ls store/locks)$(ls store/quarantine)" || { echo "locks, or damage"; exit 98; }
if test -d disk/upper/blobs/sha256; then
    for blob in disk/upper/blobs/sha256/*; do
        test ! -f "$blob" || echo "${blob##*/}  $blob" | sha256sum --check --quiet || exit 98
    done
fi
eval "$GROW" >&2 || exit 99
"$KILN" --store store --quiet build || exit 97
exit $code
"#;

#[expect(
    clippy::disallowed_methods,
    reason = "a test fills disks with other programs"
)]
fn run(scene: &Scene<'_>, disk: &Disk, kibibytes: usize) -> Ended {
    let is_root = rustix::process::geteuid().is_root();
    let namespaces: &[&str] = match is_root {
        true => &["--mount"],
        false => &["--user", "--map-root-user", "--mount"],
    };
    let output = Command::new("unshare")
        .args(namespaces)
        .args(["sh", "-c", SCRIPT])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("KILN", env!("CARGO_BIN_EXE_kiln"))
        .env("HOME", &scene.project.root)
        .env("SIZE", kibibytes.to_string())
        .env("MAKE", disk.make)
        .env("GROW", disk.grow)
        .env("REMOVE", disk.remove)
        .env(
            "EXTRA",
            if is_root {
                "redirect_dir=on"
            } else {
                "userxattr"
            },
        )
        .current_dir(&scene.project.root)
        .output()
        .unwrap();
    scene.project.ended(&output)
}

/// Builds on a disk of this size, then with room; returns the first build's exit code.
fn build_on(scene: &Scene<'_>, disk: &Disk, kibibytes: usize) -> Option<i32> {
    scene.reset();
    let ended = run(scene, disk, kibibytes);
    let (name, code, text) = (disk.name, ended.code, &ended.stderr);
    let first = text.lines().next().unwrap_or_default();
    eprintln!("{name} of {kibibytes} KiB: {code:?} {first}");
    match code {
        Some(0) => {}
        // 1 where a step, or rpmbuild, was what met the full disk; rpmbuild does not always say so.
        Some(1) => assert!(
            text.contains("No space left on device") || text.contains("packaging failed"),
            "{text}"
        ),
        Some(2) => {
            let is_named = text.contains("PROJECT/store/");
            assert!(text.starts_with("error: ") && is_named, "{text}");
            let is_said = ["no space left", "No space left", "no storage space"];
            assert!(is_said.iter().any(|words| text.contains(words)), "{text}");
            assert!(text.contains("free some space"), "{text}");
        }
        _ => panic!("{code:?}: {}\n{text}", ended.stdout),
    }
    assert_eq!(outputs(&scene.out()), scene.reference, "with room");
    code
}

fn build_on_each(disk: &Disk, sizes: usize) {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::new(&base, &server);
    let config = fs_err::read_to_string(scene.project.root.join("kiln.toml")).unwrap();
    let without_reserve = format!("{config}[limits]\nfree = 0\n");
    scene.project.write("kiln.toml", without_reserve.as_bytes());
    scene.reset();
    if run(&scene, disk, 20_000).code == Some(99) {
        eprintln!("skipped: no {} can be made here", disk.name);
        return;
    }
    let step = (disk.to - disk.from) / sizes;
    let codes = (0..=sizes).map(|number| build_on(&scene, disk, disk.from + number * step));
    let codes: Vec<_> = codes.collect();
    let full = codes.iter().filter(|code| **code != Some(0)).count();
    eprintln!(
        "{}: {} sizes, {full} too small, nothing corrupt",
        disk.name,
        codes.len()
    );
    assert!(full > 0);
    assert_eq!(codes.last(), Some(&Some(0)), "the last one has room");
}

#[test]
fn slow_a_disk_that_is_too_small_leaves_nothing_half_written() {
    build_on_each(&MEMORY, 6);
}

#[test]
fn thorough_a_disk_too_small_by_any_amount_leaves_nothing_half_written() {
    build_on_each(&MEMORY, 120);
}

#[test]
fn thorough_a_loop_device_too_small_by_any_amount_leaves_nothing_half_written() {
    build_on_each(&LOOP, 50);
}
