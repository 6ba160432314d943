//! Locking and preparing against a signed archive on loopback, honest and tampered.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use kiln_model::SandboxPath;
use kiln_store::{BlobInfo, FetchOrigin, FetchSettings, Network, Silent};

use super::*;
use crate::debian::ReleaseError;

const KEY: &[u8] = include_bytes!("fixtures/archive.gpg");
const RELEASE: &str = "/dists/bookworm/InRelease";
const PACKAGES: &str = "/dists/bookworm/main/binary-amd64/Packages.xz";
const CLAY: &str = "/pool/main/f/clay_1.0-1_amd64.deb";

/// What the archive holds, by path (`fixtures/make.sh` makes it).
fn archive() -> BTreeMap<String, Vec<u8>> {
    let files: [(&str, &[u8]); 5] = [
        (RELEASE, include_bytes!("fixtures/dists/bookworm/InRelease")),
        (
            PACKAGES,
            include_bytes!("fixtures/dists/bookworm/main/binary-amd64/Packages.xz"),
        ),
        (
            "/pool/main/f/bellows_1.0-1_amd64.deb",
            include_bytes!("fixtures/pool/main/f/bellows_1.0-1_amd64.deb"),
        ),
        (
            CLAY,
            include_bytes!("fixtures/pool/main/f/clay_1.0-1_amd64.deb"),
        ),
        (
            "/pool/main/f/fire_1.0-1_amd64.deb",
            include_bytes!("fixtures/pool/main/f/fire_1.0-1_amd64.deb"),
        ),
    ];
    files
        .map(|(path, bytes)| (path.to_owned(), bytes.to_vec()))
        .into()
}

/// Serves `files` on loopback until the test's process ends; returns the base address.
fn serve(files: BTreeMap<String, Vec<u8>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let files = std::sync::Arc::new(files);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let files = std::sync::Arc::clone(&files);
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if reader.read_line(&mut head).unwrap_or(0) == 0 {
                        return;
                    }
                }
                let path = head.split(' ').nth(1).unwrap_or_default();
                let (status, body) = match files.get(path) {
                    Some(body) => ("200 OK", body.as_slice()),
                    None => ("404 Not Found", b"".as_slice()),
                };
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(body));
            });
        }
    });
    address
}

/// A store of its own and a fetcher from an archive.
struct Site {
    _folder: tempfile::TempDir,
    store: Store,
    fetcher: Fetcher,
}

impl Site {
    fn new(files: BTreeMap<String, Vec<u8>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        let mut settings = FetchSettings::new(vec![serve(files)], Network::Online);
        settings.limits.retries = 0;
        Self {
            fetcher: Fetcher::new(store.clone(), settings).unwrap(),
            store,
            _folder: folder,
        }
    }

    fn go_offline(&mut self) {
        let settings = FetchSettings::new(Vec::new(), Network::Offline);
        self.fetcher = Fetcher::new(self.store.clone(), settings).unwrap();
    }

    fn lock(&self, request: &ArchiveBase) -> Result<BaseLock, LockBaseError> {
        lock_base(&LockBase {
            store: &self.store,
            fetcher: &self.fetcher,
            name: &"debian-12".parse().unwrap(),
            archive: request,
            keys: &[KEY.to_vec()],
            architecture: Architecture::X86_64,
            progress: &Silent,
        })
    }

    fn lock_tools(&self, lock: &BaseLock, wanted: &[&str]) -> Option<LockedTools> {
        let wanted: Vec<_> = wanted.iter().map(|name| name.parse().unwrap()).collect();
        lock_tools(&LockTools {
            store: &self.store,
            fetcher: &self.fetcher,
            archive: &request(),
            keys: &[KEY.to_vec()],
            base: lock,
            wanted: &wanted,
            progress: &Silent,
        })
        .unwrap()
    }

    fn prepare(&self, lock: &BaseLock) -> Result<PathBuf, PrepareError> {
        prepare_base(&self.request(&request(), lock))
    }

    fn request<'a>(&'a self, archive: &'a ArchiveBase, lock: &'a BaseLock) -> PrepareBase<'a> {
        PrepareBase {
            store: &self.store,
            fetcher: &self.fetcher,
            archive,
            base: lock,
            progress: &Silent,
        }
    }
}

fn request() -> ArchiveBase {
    let link = |place: &str, target: &str| -> (SandboxPath, String) {
        (place.parse().unwrap(), target.to_owned())
    };
    ArchiveBase {
        suite: "bookworm".to_owned(),
        release: "12".to_owned(),
        packages: vec!["clay".parse().unwrap()],
        links: [
            link("/usr/bin/pot", "clay"),
            link("/usr/bin/blow", "bellows"),
        ]
        .into(),
        exclude: vec!["/usr/share/doc/*/change*".parse().unwrap()],
        keys: vec!["keys/test.gpg".to_owned()],
    }
}

fn names(packages: &[LockedPackage]) -> Vec<&str> {
    packages
        .iter()
        .map(|package| package.name.as_str())
        .collect()
}

#[test]
fn a_base_comes_out_the_same_from_its_lock_alone() {
    let mut first = Site::new(archive());
    let lock = first.lock(&request()).unwrap();
    assert_eq!(names(&lock.packages), ["clay", "fire"]);
    assert_eq!(lock.archive.release, "12.99");
    assert_eq!(lock.archive.date, "Tue, 14 Nov 2023 22:13:20 UTC");
    assert_eq!(lock.archive.in_release, Digest::of(&archive()[RELEASE]));
    assert_eq!(
        lock.request,
        base_request(&request(), &[KEY.to_vec()], Architecture::X86_64)
    );
    first.go_offline();
    let root = first.prepare(&lock).unwrap();
    let content = fs_err::read_to_string(root.join("bin/pot")).unwrap();
    assert_eq!(content, "I am clay\n");
    assert!(!root.join("usr/share/doc/clay/changelog").exists());
    assert!(fs_err::symlink_metadata(root.join("usr/bin/blow")).is_err());
    // Elsewhere, without the index.
    let mut files = archive();
    files.remove(RELEASE);
    files.remove(PACKAGES);
    let second = Site::new(files);
    let root = second.prepare(&lock).unwrap();
    assert!(root.join("usr/bin/fire").exists());
    assert!(second.store.contains(&lock.manifest.0));
    assert_eq!(second.prepare(&lock).unwrap(), root);
}

#[test]
fn tools_are_one_layer_over_the_base() {
    let mut site = Site::new(archive());
    let lock = site.lock(&request()).unwrap();
    assert_eq!(site.lock_tools(&lock, &[]), None);
    assert_eq!(site.lock_tools(&lock, &["fire", "clay"]), None);
    let tools = site.lock_tools(&lock, &["bellows", "fire"]).unwrap();
    assert_eq!(names(&tools.packages), ["bellows"]);
    let wanted = ["fire", "bellows", "fire"].map(|name| name.parse().unwrap());
    assert_eq!(tools.request, tools_request(&request(), &wanted));
    // The index that the base was locked against is still there: no network is needed.
    site.go_offline();
    assert_eq!(site.lock_tools(&lock, &["bellows", "fire"]).unwrap(), tools);
    let archive_base = request();
    let root = prepare_tools(&site.request(&archive_base, &lock), &tools).unwrap();
    assert_eq!(
        fs_err::read_link(root.join("usr/bin/blow"))
            .unwrap()
            .to_str(),
        Some("bellows")
    );
    assert!(!root.join("usr/bin/clay").exists());
    let other = Site::new(archive());
    prepare_tools(&other.request(&archive_base, &lock), &tools).unwrap();
}

#[test]
fn what_is_asked_for_is_in_the_request() {
    let digest = |change: &dyn Fn(&mut ArchiveBase)| {
        let mut request = request();
        change(&mut request);
        base_request(&request, &[KEY.to_vec()], Architecture::X86_64)
    };
    let same = digest(&|_| {});
    assert_eq!(digest(&|_| {}), same);
    assert_ne!(digest(&|request| request.suite = "trixie".to_owned()), same);
    assert_ne!(digest(&|request| request.packages.clear()), same);
    assert_ne!(digest(&|request| request.links.clear()), same);
    assert_ne!(digest(&|request| request.exclude.clear()), same);
    assert_ne!(base_request(&request(), &[], Architecture::X86_64), same);
}

#[test]
fn a_tampered_archive_is_refused() {
    let lock_with = |path: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut files = archive();
        change(files.get_mut(path).unwrap());
        Site::new(files).lock(&request()).unwrap_err()
    };
    let flip = |bytes: &mut Vec<u8>| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    let newer = |bytes: &mut Vec<u8>| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text.replace("12.99", "12.98").into_bytes();
    };
    match lock_with(RELEASE, &newer) {
        LockBaseError::Release { path, source } => {
            assert_eq!(path, "dists/bookworm/InRelease");
            assert!(
                matches!(source, ReleaseError::BadSignature { .. }),
                "{source:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    for path in [PACKAGES, CLAY] {
        let error = lock_with(path, &flip);
        assert!(
            matches!(error, LockBaseError::Fetch(FetchError::Failed { .. })),
            "{error:?}"
        );
    }
    let mut trixie = request();
    trixie.release = "13".to_owned();
    assert!(matches!(
        Site::new(archive()).lock(&trixie).unwrap_err(),
        LockBaseError::Release {
            source: ReleaseError::Version { .. },
            ..
        }
    ));
}

#[test]
fn what_does_not_match_the_lock_is_refused() {
    let site = Site::new(archive());
    let lock = site.lock(&request()).unwrap();
    let wrong = Digest::of(b"another");
    let mut changed = lock.clone();
    changed.layer = DiffId(wrong);
    match site.prepare(&changed) {
        Err(PrepareError::Layer {
            what,
            expected,
            actual,
        }) => {
            assert_eq!(what, "base image `debian-12`");
            assert_eq!((expected, actual), (DiffId(wrong), lock.layer));
        }
        other => panic!("{other:?}"),
    }
    let mut changed = lock.clone();
    changed.manifest = ManifestDigest(wrong);
    match site.prepare(&changed) {
        Err(PrepareError::Manifest {
            base,
            expected,
            actual,
        }) => {
            assert_eq!(base.as_str(), "debian-12");
            assert_eq!((expected, actual), (ManifestDigest(wrong), lock.manifest));
        }
        other => panic!("{other:?}"),
    }
    // Other links make another layer, on a machine that has none yet.
    let fresh = Site::new(archive());
    let mut other_links = request();
    other_links.links.clear();
    assert!(matches!(
        prepare_base(&fresh.request(&other_links, &lock)),
        Err(PrepareError::Layer { .. })
    ));
}

/// Says yes when it was asked often enough.
struct Patience(std::sync::atomic::AtomicI64);

impl FetchProgress for Patience {
    fn started(&self, _: &str, _: Option<u64>) {}
    fn advanced(&self, _: &str, _: u64) {}
    fn finished(&self, _: &str, _: &BlobInfo, _: FetchOrigin) {}
}

impl PrepareProgress for Patience {
    fn is_stopped(&self) -> bool {
        self.0.fetch_sub(1, std::sync::atomic::Ordering::SeqCst) <= 0
    }
}

#[test]
fn preparing_can_be_stopped_at_any_point_and_goes_on_later() {
    let site = Site::new(archive());
    let lock = site.lock(&request()).unwrap();
    let wanted = request();
    let fresh = Site::new(archive());
    let mut stops = 0;
    let root = loop {
        let patience = Patience(stops.into());
        let prepare = PrepareBase {
            progress: &patience,
            ..fresh.request(&wanted, &lock)
        };
        match prepare_base(&prepare) {
            Ok(root) => break root,
            Err(error) => assert!(crate::stop::is_stopped(&error), "{stops}: {error:?}"),
        }
        assert_eq!(fresh.store.tree(&lock.layer).unwrap(), None);
        stops += 1;
    };
    assert!(stops > 3, "{stops}");
    assert!(root.join("usr").is_dir());
}

#[test]
fn what_the_store_lost_of_a_base_is_made_again() {
    let site = Site::new(archive());
    let lock = site.lock(&request()).unwrap();
    let root = site.prepare(&lock).unwrap();
    let sealed = root.with_file_name("seal.json");
    for lost in [
        vec![lock.layer.0, lock.manifest.0],
        vec![lock.manifest.0],
        vec![lock.layer.0],
    ] {
        for digest in &lost {
            fs_err::remove_file(site.store.blob_path(digest)).unwrap();
        }
        assert_eq!(site.prepare(&lock).unwrap(), root);
        assert!(site.store.contains(&lock.manifest.0), "lost {lost:?}");
    }
    // A tree without its seal is no tree: it is set aside and made anew from the layer, or with it.
    for is_layer_lost in [false, true] {
        fs_err::remove_file(&sealed).unwrap();
        if is_layer_lost {
            fs_err::remove_file(site.store.blob_path(&lock.layer.0)).unwrap();
        }
        assert_eq!(site.store.tree(&lock.layer).unwrap(), None);
        assert_eq!(site.prepare(&lock).unwrap(), root);
        assert!(sealed.is_file() && site.store.contains(&lock.layer.0));
        assert_eq!(
            fs_err::read_to_string(root.join("bin/pot")).unwrap(),
            "I am clay\n"
        );
    }
    // A damaged layer is set aside by who meets it: then it is lost, and made again.
    fs_err::remove_file(&sealed).unwrap();
    let layer = site.store.blob_path(&lock.layer.0);
    fs_err::remove_file(&layer).unwrap();
    fs_err::write(&layer, "no layer").unwrap();
    let error = site.prepare(&lock).unwrap_err();
    let PrepareError::Rootfs(RootfsError::Store(StoreError::Damaged { expected, .. })) = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(*expected, lock.layer.0);
    assert_eq!(site.prepare(&lock).unwrap(), root);
    assert_eq!(site.store.set_aside_count(), 4, "three trees and a layer");
    assert_eq!(site.store.take_set_aside().len(), 4);
}
