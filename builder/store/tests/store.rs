//! The store on disk: what it keeps, what it refuses, and what happens when several use it.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use kiln_model::{DiffId, Digest, ManifestDigest};
use kiln_store::{RecordKind, Store, StoreError, StoredThing, WriteTreeError};
use tempfile::TempDir;

fn fresh() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

/// Every path below `folder`, relative, sorted.
fn listed(folder: &Path) -> Vec<String> {
    walkdir::WalkDir::new(folder)
        .min_depth(1)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path().strip_prefix(folder).unwrap();
            path.to_string_lossy().into_owned()
        })
        .collect()
}

/// Changes a stored file as a failing disk or a careless person would.
fn tamper(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs_err::read(path).unwrap();
    change(&mut bytes);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn a_new_store_is_an_oci_layout_and_leaves_nothing_in_tmp() {
    let (folder, store) = fresh();
    drop(store);
    let root = folder.path().join("store");
    assert_eq!(
        listed(&root),
        [
            "actions",
            "blobs",
            "blobs/sha256",
            "index.json",
            "index.lock",
            "kiln-store.json",
            "latest",
            "lease.lock",
            "locks",
            "oci-layout",
            "outputs",
            "projects",
            "quarantine",
            "refs",
            "tmp",
            "trees"
        ]
    );
    let text = |name: &str| fs_err::read_to_string(root.join(name)).unwrap();
    assert_eq!(text("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}\n");
    assert_eq!(text("kiln-store.json"), "{\"format\":2}\n");
    assert_eq!(
        text("index.json"),
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\
         \"manifests\":[]}"
    );
}

#[test]
fn a_blob_is_read_as_it_was_written() {
    let (_folder, store) = fresh();
    let digest = store.write_blob(b"clay").unwrap();
    assert_eq!(digest, Digest::of(b"clay"));
    assert!(store.contains(&digest));
    assert_eq!(store.read_blob(&digest).unwrap(), b"clay");
    let mut text = String::new();
    let mut file = store.open_blob(&digest).unwrap();
    std::io::Read::read_to_string(&mut file, &mut text).unwrap();
    assert_eq!(text, "clay");
    let mode = store.blob_path(&digest).metadata().unwrap().permissions();
    assert_eq!(mode.mode() & 0o7777, 0o444);
    let absent = Digest::of(b"absent");
    assert!(!store.contains(&absent));
    for error in [
        store.read_blob(&absent).unwrap_err(),
        store.open_blob(&absent).unwrap_err(),
        store.blob_info(&absent).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::Missing { digest } if digest == absent));
    }
}

#[test]
fn bytes_that_are_not_the_expected_ones_are_not_kept() {
    let (_folder, store) = fresh();
    let mut writer = store.blob_writer().unwrap();
    writer.write_all(b"evil").unwrap();
    let error = writer.finish_expecting(&Digest::of(b"good")).unwrap_err();
    let StoreError::Mismatch { expected, actual } = error else {
        panic!("expected a mismatch, got {error}");
    };
    assert_eq!(
        (expected, actual),
        (Digest::of(b"good"), Digest::of(b"evil"))
    );
    let mut dropped = store.blob_writer().unwrap();
    dropped.write_all(&[0; 1_000_000]).unwrap();
    drop(dropped);
    assert!(listed(&store.root().join("blobs/sha256")).is_empty());
    drop(store.clone());
    let left = listed(&store.root().join("tmp"));
    assert_eq!(
        left.len(),
        3,
        "the session's folder, leases and lock only: {left:?}"
    );
}

#[test]
fn a_damaged_blob_is_set_aside_and_named_by_every_reader() {
    type Reader = fn(&Store, &Digest) -> Option<StoreError>;
    let readers: [Reader; 3] = [
        |store, digest| store.read_blob(digest).err(),
        |store, digest| store.open_blob(digest).err(),
        |store, digest| store.blob_info(digest).err(),
    ];
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes[3] ^= 1,
        |bytes| bytes.truncate(5),
        |bytes| bytes.clear(),
        |bytes| bytes.push(0),
    ];
    for reader in readers {
        for damage in damages {
            let (_folder, writer) = fresh();
            let digest = writer.write_blob(b"precious bytes").unwrap();
            let path = writer.blob_path(&digest);
            tamper(&path, damage);
            let bad = fs_err::read(&path).unwrap();
            let store = Store::open(writer.root()).unwrap();
            let error = reader(&store, &digest).expect("the blob is damaged");
            let StoreError::Damaged {
                expected,
                actual,
                evidence,
            } = error
            else {
                panic!("expected a damaged blob, got {error}");
            };
            assert_eq!((expected, actual), (digest, Digest::of(&bad)));
            assert_eq!(fs_err::read(evidence).unwrap(), bad);
            assert!(!store.contains(&digest));
            // The next one writes it anew.
            assert_eq!(store.write_blob(b"precious bytes").unwrap(), digest);
            assert_eq!(store.read_blob(&digest).unwrap(), b"precious bytes");
        }
    }
}

#[test]
fn bytes_that_are_written_again_replace_damaged_ones() {
    let (_folder, store) = fresh();
    let digest = store.write_blob(b"the same bytes").unwrap();
    tamper(&store.blob_path(&digest), |bytes| bytes[4] ^= 1);
    assert_eq!(store.write_blob(b"the same bytes").unwrap(), digest);
    assert_eq!(store.read_blob(&digest).unwrap(), b"the same bytes");
    let set_aside = store.take_set_aside();
    assert_eq!(store.set_aside_count(), 1);
    assert_eq!(set_aside[0].thing, StoredThing::Blob(digest));
    let evidence = fs_err::read(&set_aside[0].evidence).unwrap();
    assert_ne!(evidence, b"the same bytes");
    assert_eq!(store.take_set_aside(), [], "each is told once");
}

#[test]
fn a_verified_blob_that_is_replaced_later_is_noticed() {
    let (_folder, store) = fresh();
    let digest = store.write_blob(b"first").unwrap();
    store.open_blob(&digest).unwrap();
    let path = store.blob_path(&digest);
    fs_err::remove_file(&path).unwrap();
    fs_err::write(&path, b"other").unwrap();
    let error = store.open_blob(&digest).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { actual, .. } if actual == Digest::of(b"other")));
}

#[test]
fn things_that_are_not_files_are_no_blobs() {
    let (folder, store) = fresh();
    let secret = folder.path().join("secret");
    fs_err::write(&secret, "secret").unwrap();
    let digest = Digest::of(b"secret");
    let path = store.blob_path(&digest);
    let make: [&dyn Fn(); 3] = [
        &|| symlink(&secret, &path).unwrap(),
        &|| fs_err::create_dir_all(path.join("inside")).unwrap(),
        &|| {
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
                .unwrap();
        },
    ];
    for make in make {
        make();
        assert!(!store.contains(&digest));
        let error = store.read_blob(&digest).unwrap_err();
        let StoreError::NotARegularFile {
            digest: named,
            evidence,
        } = error
        else {
            panic!("expected something other than a file, got {error}");
        };
        assert_eq!(named, digest);
        assert!(evidence.symlink_metadata().is_ok());
        assert!(path.symlink_metadata().is_err());
        // Writing the blob displaces such a thing too.
        make();
        store.write_blob(b"secret").unwrap();
        assert_eq!(store.read_blob(&digest).unwrap(), b"secret");
        fs_err::remove_file(&path).unwrap();
    }
}

#[test]
fn sixteen_writers_of_the_same_blobs_agree() {
    let (_folder, store) = fresh();
    let other = Store::open(store.root()).unwrap();
    let bytes = |n: usize| vec![u8::try_from(n).unwrap(); 70_000 + n];
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let store = if thread % 2 == 0 { &store } else { &other };
            scope.spawn(move || {
                for n in 0..10 {
                    let digest = store.write_blob(&bytes(n)).unwrap();
                    assert_eq!(store.read_blob(&digest).unwrap(), bytes(n));
                }
            });
        }
    });
    let expected: BTreeSet<_> = (0..10).map(|n| Digest::of(&bytes(n)).to_hex()).collect();
    let found = listed(&store.root().join("blobs/sha256"));
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
    assert!(listed(&store.root().join("quarantine")).is_empty());
}

#[test]
fn stores_that_open_at_once_make_one_layout() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("deep/er/store");
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let store = Store::open(&root).unwrap();
                store.write_blob(b"same").unwrap();
            });
        }
    });
    assert!(listed(&root.join("tmp")).is_empty());
    let stray: Vec<_> = listed(&root)
        .into_iter()
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(stray.is_empty(), "{stray:?}");
}

#[test]
fn folders_that_are_no_stores_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs_err::write(&file, "x").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = Store::open(&path).unwrap_err();
        assert!(matches!(&error, StoreError::NotAFolder { path: named } if *named == path));
    }
    let home = folder.path().join("home");
    fs_err::create_dir_all(home.join("documents")).unwrap();
    let error = Store::open(&home).unwrap_err();
    assert!(
        matches!(&error, StoreError::NotAStore { path, found } if path.ends_with("home") && found == "documents"),
        "{error}"
    );
    assert_eq!(listed(&home), ["documents"]);
}

#[test]
fn a_link_in_place_of_a_folder_is_refused() {
    let (folder, store) = fresh();
    let root = store.root().to_owned();
    drop(store);
    let elsewhere = folder.path().join("elsewhere");
    fs_err::create_dir_all(elsewhere.join("kiln-precious")).unwrap();
    let tmp = root.join("tmp");
    fs_err::remove_dir_all(&tmp).unwrap();
    symlink(&elsewhere, &tmp).unwrap();
    let error = Store::open(&root).unwrap_err();
    assert!(
        matches!(&error, StoreError::NotAFolder { path } if *path == tmp),
        "{error}"
    );
    assert_eq!(listed(&elsewhere), ["kiln-precious"]);
}

#[test]
fn a_newer_or_damaged_format_is_refused_in_words() {
    let (_folder, store) = fresh();
    let root = store.root().to_owned();
    drop(store);
    let format = root.join("kiln-store.json");
    fs_err::write(&format, "{\"format\":3,\"news\":true}").unwrap();
    let error = Store::open(&root).unwrap_err();
    assert!(matches!(&error, StoreError::Newer { expected: 2, actual: 3, path } if *path == root));
    assert_eq!(
        error.to_string(),
        format!(
            "the store `{}` has format 3; this kiln reads up to format 2; \
             use a newer kiln or another store",
            root.display()
        )
    );
    for text in [
        "",
        "{}",
        "[1]",
        "{\"format\":0}",
        "{\"format\":-1}",
        "\0\0\0",
    ] {
        fs_err::write(&format, text).unwrap();
        let error = Store::open(&root).unwrap_err();
        assert!(
            matches!(&error, StoreError::DamagedFormat { path, .. } if *path == format),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_record_that_can_not_be_trusted_is_a_miss() {
    let (_folder, store) = fresh();
    let read = |kind, key: &str| store.read_record(kind, key).unwrap();
    let key = "sha256:ab/c d%";
    assert_eq!(read(RecordKind::Action, key), None);
    store.write_record(RecordKind::Action, key, b"old").unwrap();
    store
        .write_record(RecordKind::Action, key, b"new\n\0")
        .unwrap();
    assert_eq!(read(RecordKind::Action, key).unwrap(), b"new\n\0");
    assert_eq!(read(RecordKind::Reference, key), None);
    let path = store.root().join("actions/sha256:ab%2Fc%20d%25");
    let good = fs_err::read(&path).unwrap();
    for place in 0..good.len() {
        tamper(&path, |bytes| bytes[place] ^= 0x20);
        assert_eq!(read(RecordKind::Action, key), None, "byte {place}");
        tamper(&path, |bytes| bytes[place] ^= 0x20);
    }
    for length in 0..good.len() {
        fs_err::write(&path, &good[..length]).unwrap();
        assert_eq!(read(RecordKind::Action, key), None, "{length} bytes");
    }
    // One of another key or kind in this one's place.
    fs_err::write(store.root().join("actions/other"), &good).unwrap();
    assert_eq!(read(RecordKind::Action, "other"), None);
    fs_err::write(store.root().join("refs/sha256:ab%2Fc%20d%25"), &good).unwrap();
    assert_eq!(read(RecordKind::Reference, key), None);
    fs_err::remove_file(&path).unwrap();
    fs_err::create_dir(&path).unwrap();
    assert_eq!(read(RecordKind::Action, key), None);
    fs_err::remove_dir(&path).unwrap();
    store.write_record(RecordKind::Action, key, b"").unwrap();
    assert_eq!(read(RecordKind::Action, key).unwrap(), b"");
}

#[test]
fn record_keys_stay_in_their_folder() {
    let (_folder, store) = fresh();
    for key in ["../../evil", "..", ".", "/etc/passwd", "-x", "%2F"] {
        store
            .write_record(RecordKind::Reference, key, key.as_bytes())
            .unwrap();
        let found = store.read_record(RecordKind::Reference, key).unwrap();
        assert_eq!(found.unwrap(), key.as_bytes());
    }
    assert_eq!(listed(&store.root().join("refs")).len(), 6);
    for key in ["", "a\nb", "nul\0", &"x".repeat(241)] {
        let error = store
            .write_record(RecordKind::Reference, key, b"")
            .unwrap_err();
        assert!(matches!(&error, StoreError::RecordKey { key: named, limit: 240 } if named == key));
    }
}

#[test]
fn records_are_never_seen_half_written() {
    let (_folder, store) = fresh();
    let value = |n: u8| vec![n; 30_000];
    store
        .write_record(RecordKind::Action, "k", &value(0))
        .unwrap();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for _ in 0..40 {
                    store
                        .write_record(RecordKind::Action, "k", &value(n))
                        .unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..400 {
                let found = store.read_record(RecordKind::Action, "k").unwrap();
                let found = found.expect("there is one at every moment");
                assert_eq!(found, value(found[0]));
            }
        });
    });
}

#[test]
fn images_are_listed_in_the_index_by_name() {
    let (_folder, store) = fresh();
    let first = ManifestDigest(store.write_blob(b"{}").unwrap());
    let second = ManifestDigest(store.write_blob(b"{ }").unwrap());
    store.record_image("debian-12", &second, 3).unwrap();
    store.record_image("alpine", &second, 3).unwrap();
    store.record_image("debian-12", &first, 2).unwrap();
    store
        .write_record(RecordKind::Reference, "note", b"no image")
        .unwrap();
    assert_eq!(store.recorded_image("debian-12").unwrap(), Some(first));
    assert_eq!(store.recorded_image("note").unwrap(), None);
    let index = store.root().join("index.json");
    let expected = format!(
        "{{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.index.v1+json\",\
         \"manifests\":[\
         {{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"{second}\",\
         \"size\":3,\"annotations\":{{\"org.opencontainers.image.ref.name\":\"alpine\"}}}},\
         {{\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"{first}\",\
         \"size\":2,\"annotations\":{{\"org.opencontainers.image.ref.name\":\"debian-12\"}}}}]}}"
    );
    assert_eq!(fs_err::read_to_string(&index).unwrap(), expected);
    fs_err::remove_file(&index).unwrap();
    Store::open(store.root()).unwrap();
    assert_eq!(fs_err::read_to_string(&index).unwrap(), expected);
    let absent = ManifestDigest(Digest::of(b"absent"));
    let error = store.record_image("absent", &absent, 6).unwrap_err();
    assert!(matches!(error, StoreError::Missing { digest } if digest == absent.0));
}

#[test]
fn images_recorded_at_once_are_all_in_the_index() {
    let (_folder, store) = fresh();
    let manifest = ManifestDigest(store.write_blob(b"{}").unwrap());
    std::thread::scope(|scope| {
        for n in 0..16 {
            let root = store.root();
            scope.spawn(move || {
                let store = Store::open(root).unwrap();
                store
                    .record_image(&format!("image-{n}"), &manifest, 2)
                    .unwrap();
            });
        }
    });
    let text = fs_err::read_to_string(store.root().join("index.json")).unwrap();
    assert_eq!(text.matches("image-").count(), 16);
}

fn fill(root: &Path) -> Result<(), Infallible> {
    fs_err::create_dir_all(root.join("usr/bin")).unwrap();
    fs_err::write(root.join("usr/bin/true"), "true").unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    let mode = std::fs::Permissions::from_mode(0o1777);
    std::fs::set_permissions(root, mode).unwrap();
    Ok(())
}

#[test]
fn a_tree_is_filled_once_and_sealed() {
    let (_folder, store) = fresh();
    let id = DiffId(Digest::of(b"layer"));
    assert_eq!(store.tree(&id).unwrap(), None);
    let mut times = 0;
    for _ in 0..2 {
        let root = store
            .write_tree(&id, &mut |root| {
                times += 1;
                fill(root)
            })
            .unwrap();
        assert_eq!(listed(&root), ["bin", "usr", "usr/bin", "usr/bin/true"]);
        assert_eq!(
            root.metadata().unwrap().permissions().mode() & 0o7777,
            0o1777
        );
        assert_eq!(store.tree(&id).unwrap(), Some(root));
    }
    assert_eq!(times, 1);
    let seal = store
        .root()
        .join("trees")
        .join(id.0.to_hex())
        .join("seal.json");
    assert_eq!(
        fs_err::read_to_string(seal).unwrap(),
        format!("{{\"format\":1,\"diff-id\":\"{id}\",\"entries\":4}}")
    );
}

#[test]
fn a_tree_that_could_not_be_filled_leaves_nothing() {
    let (_folder, store) = fresh();
    let id = DiffId(Digest::of(b"layer"));
    let before = listed(store.root());
    let error = store
        .write_tree(&id, &mut |root| {
            fill(root).unwrap();
            Err(std::io::Error::other("the layer is damaged"))
        })
        .unwrap_err();
    assert!(matches!(&error, WriteTreeError::Fill(_)));
    assert_eq!(error.to_string(), "the layer is damaged");
    assert_eq!(listed(store.root()), before);
}

#[test]
fn a_tree_with_a_wrong_seal_is_set_aside_and_made_anew() {
    let id = DiffId(Digest::of(b"layer"));
    let other = DiffId(Digest::of(b"other"));
    for text in [
        String::new(),
        "{}".to_owned(),
        format!("{{\"format\":1,\"diff-id\":\"{other}\",\"entries\":4}}"),
        format!("{{\"format\":2,\"diff-id\":\"{id}\",\"entries\":4}}"),
    ] {
        let (_folder, store) = fresh();
        let root = store.write_tree(&id, &mut fill).unwrap();
        fs_err::write(root.with_file_name("seal.json"), &text).unwrap();
        assert_eq!(store.tree(&id).unwrap(), None, "{text}");
        store.write_tree(&id, &mut fill).unwrap();
        assert_eq!(store.tree(&id).unwrap(), Some(root));
        let quarantine = listed(&store.root().join("quarantine"));
        assert!(quarantine.iter().any(|path| path.ends_with("seal.json")));
    }
}

#[test]
fn kilns_that_make_the_same_tree_at_once_use_one() {
    let (_folder, store) = fresh();
    let id = DiffId(Digest::of(b"layer"));
    let roots: BTreeSet<PathBuf> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let store = Store::open(store.root()).unwrap();
                    store.write_tree(&id, &mut fill).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(roots.len(), 1);
    assert!(listed(&store.root().join("quarantine")).is_empty());
    assert_eq!(listed(&store.root().join("trees")).len(), 7);
}

#[test]
fn a_scratch_folder_goes_whatever_is_in_it_unless_kept() {
    let (_folder, store) = fresh();
    let scratch = store.scratch().unwrap();
    let path = scratch.path().to_owned();
    assert!(path.starts_with(store.root().join("tmp")));
    fs_err::create_dir_all(path.join("a/b")).unwrap();
    fs_err::write(path.join("a/b/c"), "x").unwrap();
    for folder in ["a/b", "a", ""] {
        std::fs::set_permissions(path.join(folder), std::fs::Permissions::from_mode(0o000))
            .unwrap();
    }
    drop(scratch);
    assert!(path.symlink_metadata().is_err());

    let scratch = store.scratch().unwrap();
    fs_err::write(scratch.path().join("file"), "x").unwrap();
    std::fs::set_permissions(scratch.path(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let root = store.root().to_owned();
    assert!(scratch.keep_as(&store, "demo").unwrap());
    drop(store);
    Store::open(&root).unwrap();
    let kept = root.join("kept/demo/file");
    assert_eq!(fs_err::read(kept).unwrap(), b"x");
}
