//! Several kilns as several processes: killed in the middle, in a strange environment, on a disk
//! that is full or read-only.
//!
//! Each test that needs another process starts this very program again with one test's name; that
//! test does nothing unless it was started so.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kiln_model::{DiffId, Digest};
use kiln_store::{
    FetchLocation, FetchRequest, FetchSettings, Fetcher, Network, RecordKind, Silent, Store,
    StoreError, WriteTreeError,
};

/// Names the store to the other process.
const STORE: &str = "KILN_STORE_TEST_ROOT";
/// Names the server to the other process.
const SERVER: &str = "KILN_STORE_TEST_SERVER";

#[expect(clippy::disallowed_methods, reason = "a test's own other process")]
fn other_process(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command
}

#[expect(
    clippy::disallowed_methods,
    reason = "how the other process is told its part"
)]
fn told(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from)
}

/// The `n`th value of a series that looks random, the same every time.
fn scattered(n: u64) -> u64 {
    n.wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
        >> 33
}

fn bytes(n: u64) -> Vec<u8> {
    let length = usize::try_from(scattered(n) % 300_000).unwrap();
    n.to_le_bytes().into_iter().cycle().take(length).collect()
}

/// One of everything that a store keeps; the record comes last and vouches for the rest.
fn write_all(store: &Store, n: u64) -> Result<(), StoreError> {
    let digest = store.write_blob(&bytes(n))?;
    let id = DiffId(digest);
    let filled = store.write_tree(&id, &mut |root| {
        let _unfinished = store.scratch()?;
        std::fs::DirBuilder::new()
            .create(root.join("folder"))
            .and_then(|()| std::fs::File::create_new(root.join("folder/file")))
            .and_then(|mut file| file.write_all(&bytes(n)))
            .map_err(|source| StoreError::Io {
                act: "fill",
                path: root.into(),
                source,
            })
    });
    match filled {
        Ok(_) => {}
        Err(WriteTreeError::Fill(error) | WriteTreeError::Store(error)) => return Err(error),
    }
    store.write_record(
        RecordKind::Action,
        &n.to_string(),
        digest.to_string().as_bytes(),
    )
}

/// Checks that everything with a name is whole, and that what a record vouches for is there.
fn check_whole(root: &Path) -> u64 {
    let store = Store::open(root).unwrap();
    let children = |name: &str| {
        let folder = walkdir::WalkDir::new(root.join(name))
            .min_depth(1)
            .max_depth(1);
        folder.sort_by_file_name().into_iter().map(Result::unwrap)
    };
    for entry in children("blobs/sha256") {
        let digest = Digest::from_hex(entry.file_name().to_str().unwrap()).unwrap();
        store.open_blob(&digest).unwrap();
    }
    for entry in children("trees") {
        let id = DiffId(Digest::from_hex(entry.file_name().to_str().unwrap()).unwrap());
        let tree = store.tree(&id).unwrap().expect("a named tree is sealed");
        let content = fs_err::read(tree.join("folder/file")).unwrap();
        assert_eq!(Digest::of(&content), id.0);
    }
    let mut records = 0;
    for entry in children("actions") {
        let key = entry.file_name().to_str().unwrap();
        let value = store.read_record(RecordKind::Action, key).unwrap();
        let value = String::from_utf8(value.expect("a named record is whole")).unwrap();
        let digest = value.parse().unwrap();
        assert!(store.contains(&digest) && store.tree(&DiffId(digest)).unwrap().is_some());
        records += 1;
    }
    assert_eq!(children("quarantine").count(), 0);
    records
}

/// The other process of the tests below: writes until it is killed.
#[test]
fn as_another_process_write_for_ever() {
    let Some(root) = told(STORE) else { return };
    let store = Store::open(&root).unwrap();
    for n in 0.. {
        write_all(&store, n).unwrap();
        println!("\nwrote {n}");
    }
}

fn writer(root: &Path) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut child = other_process("as_another_process_write_for_ever")
        .env(STORE, root)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let wrote = lines
        .map_while(Result::ok)
        .filter(|line| line.starts_with("wrote "));
    (child, wrote)
}

#[test]
fn slow_a_kiln_that_is_killed_leaves_only_whole_things() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    // A kiln that lives on while the others die and are cleaned up after.
    let live = Store::open(&root).unwrap();
    let scratch = live.scratch().unwrap();
    fs_err::write(scratch.path().join("file"), "x").unwrap();
    for round in 0..24 {
        let (mut child, mut wrote) = writer(&root);
        for _ in 0..=round % 4 {
            wrote.next().unwrap();
        }
        // Anywhere within the next write.
        std::thread::sleep(std::time::Duration::from_micros(scattered(round) % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(check_whole(&root) > round % 4);
        fs_err::remove_dir_all(root.join("trees")).unwrap();
        fs_err::remove_dir_all(root.join("actions")).unwrap();
        drop(Store::open(&root).unwrap());
        let tmp = walkdir::WalkDir::new(root.join("tmp"))
            .min_depth(1)
            .max_depth(1);
        assert_eq!(
            tmp.into_iter().count(),
            2,
            "only the live kiln's folder and lock"
        );
    }
    assert_eq!(fs_err::read(scratch.path().join("file")).unwrap(), b"x");
}

#[test]
fn slow_processes_that_write_the_same_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let mut children: Vec<_> = (0..4).map(|_| writer(&root)).collect();
    for (_, wrote) in &mut children {
        assert_eq!(wrote.by_ref().take(20).count(), 20, "a writer failed");
    }
    for (mut child, _) in children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    assert!(check_whole(&root) >= 20);
}

/// The other process of the test below: fetches once.
#[test]
fn as_another_process_fetch() {
    let (Some(root), Some(address)) = (told(STORE), told(SERVER)) else {
        return;
    };
    let store = Store::open(&root).unwrap();
    let settings = FetchSettings::new(vec![], Network::Online);
    let location = address.to_str().unwrap().parse().unwrap();
    let request = FetchRequest {
        name: "x".to_owned(),
        locations: vec![FetchLocation::Location(location)],
        sha256: Digest::of(b"body"),
        size: Some(4),
    };
    let fetcher = Fetcher::new(store, settings).unwrap();
    fetcher.fetch_all(&[request], &Silent).unwrap();
}

#[test]
fn the_environment_does_not_reach_the_fetcher() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).unwrap();
            let reply = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody";
            stream.write_all(reply).unwrap();
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("store");
    let keys = folder.path().join("keys");
    let mut command = other_process("as_another_process_fetch");
    command
        .env(STORE, &root)
        .env(SERVER, format!("http://{address}/x"));
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ] {
        command.env(name, "http://127.0.0.1:1/");
    }
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "TMPDIR", "HOME"] {
        command.env(name, "/nonexistent");
    }
    command.env("SSLKEYLOGFILE", &keys);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        Store::open(&root)
            .unwrap()
            .read_blob(&Digest::of(b"body"))
            .unwrap(),
        b"body"
    );
    assert!(!keys.exists());
}

/// Runs `test` on a tmpfs of `size` bytes that only this thread sees.
fn on_small_disk(size: u64, test: impl FnOnce(&Path) + Send) {
    use nix::mount::{MsFlags, mount, umount2};
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path();
    let none = None::<&str>;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
            let options = format!("size={size}");
            mount(
                Some("tmpfs"),
                disk,
                Some("tmpfs"),
                MsFlags::empty(),
                Some(&*options),
            )
            .unwrap();
            test(disk);
            umount2(disk, nix::mount::MntFlags::MNT_DETACH).unwrap();
        });
    });
}

fn remount(disk: &Path, options: &str, flags: nix::mount::MsFlags) {
    let flags = flags | nix::mount::MsFlags::MS_REMOUNT;
    nix::mount::mount(None::<&str>, disk, None::<&str>, flags, Some(options)).unwrap();
}

/// Root in a container may lack the right to mount; the tests that need it say that they did not
/// run.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn may_mount() -> bool {
    let allowed =
        std::thread::spawn(|| nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).is_ok());
    let allowed = allowed.join().unwrap();
    if !allowed {
        println!("skipped: this user may not mount");
    }
    allowed
}

#[test]
fn privileged_a_full_disk_is_named_and_leaves_nothing_broken() {
    if !may_mount() {
        return;
    }
    // From too small for the layout to big enough for a good part of what is written.
    for pages in (1..400).step_by(7) {
        on_small_disk(pages * 4096, |disk| {
            let root = disk.join("store");
            let check = |error: &StoreError| {
                let StoreError::DiskFull { path, .. } = error else {
                    panic!("{pages} pages: expected a full disk, got {error:?}");
                };
                assert!(path.starts_with(disk), "{}", path.display());
            };
            match Store::open(&root) {
                Err(error) => check(&error),
                Ok(store) => {
                    let failed = (0..).find_map(|n| write_all(&store, n).err()).unwrap();
                    // What `fill` could not write is its own error.
                    if !matches!(failed, StoreError::Io { act: "fill", .. }) {
                        check(&failed);
                    }
                    let folder = store.blob_path(&Digest::of(b""));
                    let blobs = walkdir::WalkDir::new(folder.parent().unwrap()).min_depth(1);
                    for entry in blobs.into_iter().map(Result::unwrap) {
                        let name = entry.file_name().to_str().unwrap();
                        assert_eq!(
                            Digest::of(&fs_err::read(entry.path()).unwrap()).to_hex(),
                            name
                        );
                    }
                }
            }
            remount(disk, "size=100m", nix::mount::MsFlags::empty());
            let store = Store::open(&root).unwrap();
            for n in 0..3 {
                write_all(&store, n).unwrap();
            }
            drop(store);
            check_whole(&root);
        });
    }
}

#[test]
fn privileged_a_read_only_disk_is_named() {
    if !may_mount() {
        return;
    }
    on_small_disk(10_000_000, |disk| {
        let root = disk.join("store");
        let store = Store::open(&root).unwrap();
        let digest = store.write_blob(b"there").unwrap();
        // While a file is open for writing, as a live kiln's lock is, the system refuses.
        drop(store);
        remount(disk, "size=10m", nix::mount::MsFlags::MS_RDONLY);
        for path in [&root, &disk.join("new")] {
            let error = Store::open(path).unwrap_err();
            assert!(
                matches!(&error, StoreError::NotWritable { path: named, .. } if named.starts_with(path)),
                "{error:?}"
            );
        }
        remount(disk, "size=10m", nix::mount::MsFlags::empty());
        let store = Store::open(&root).unwrap();
        assert_eq!(store.read_blob(&digest).unwrap(), b"there");
    });
}

#[test]
fn a_store_of_another_user_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        println!("skipped: root may write anywhere");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let chmod = |mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(folder.path(), mode).unwrap();
    };
    chmod(0o555);
    for path in [folder.path().to_owned(), folder.path().join("new")] {
        let error = Store::open(&path).unwrap_err();
        assert!(
            matches!(&error, StoreError::NotWritable { path, .. } if path.starts_with(folder.path())),
            "{error:?}"
        );
    }
    chmod(0o755);
}
