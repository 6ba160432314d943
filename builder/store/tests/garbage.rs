//! Garbage collection, results and artifacts: what stays, what goes, and what others see of it.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::path::Path;

use kiln_model::{DiffId, Digest};
use kiln_store::{
    ArtifactKind, CollectMode, Collected, Keep, NewResult, Part, RecordKind, Store, StoreError,
};
use tempfile::TempDir;

fn fresh() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

fn part(store: &Store, text: &str) -> Part {
    Part {
        digest: store.write_blob(text.as_bytes()).unwrap(),
        size: text.len() as u64,
        media_type: "text/plain",
        title: text.to_owned(),
    }
}

/// Records a result with one part; returns its key and the part's digest.
fn result(store: &Store, kind: ArtifactKind, label: &str, text: &str) -> (Digest, Digest) {
    let key = Digest::of(format!("key of {kind:?} {label} {text}").as_bytes());
    let part = part(store, text);
    let value = format!("{{\"text\":\"{text}\"}}");
    store
        .record_result(&NewResult {
            key: &key,
            kind,
            label,
            value: value.as_bytes(),
            parts: std::slice::from_ref(&part),
        })
        .unwrap();
    (key, part.digest)
}

/// Sets the time at which a result was used last, in seconds before now.
fn age(store: &Store, key: &Digest, seconds: u64) {
    let path = store.root().join("actions").join(key.to_hex());
    let file = fs_err::File::options().write(true).open(&path).unwrap();
    let time = file.metadata().unwrap().modified().unwrap();
    let past = time - std::time::Duration::from_secs(seconds);
    file.into_parts().0.set_modified(past).unwrap();
}

fn keep(needed: &[Digest], results: usize) -> Keep {
    Keep {
        needed: needed.iter().copied().collect(),
        results,
        // Nothing is too young.
        grace: -1000,
        mode: CollectMode::Remove,
    }
}

fn collect(root: &Path, keep: &Keep) -> Collected {
    let store = Store::open(root).unwrap();
    let collected = store.collect_garbage(keep, || Ok::<_, StoreError>(BTreeSet::new()));
    collected.unwrap()
}

fn names(root: &Path, folder: &str) -> BTreeSet<String> {
    let entries = walkdir::WalkDir::new(root.join(folder))
        .min_depth(1)
        .max_depth(1);
    let names = entries
        .into_iter()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.collect()
}

#[test]
fn a_result_is_an_artifact_that_other_tools_see() {
    let (_folder, store) = fresh();
    let root = store.root().to_owned();
    let (key, part) = result(&store, ArtifactKind::Destdir, "openssl@usr-lib-curl", "one");
    assert_eq!(store.result(&key).unwrap().unwrap(), b"{\"text\":\"one\"}");
    assert_eq!(store.result(&Digest::of(b"other")).unwrap(), None);
    drop(store);
    let read = |path: &Path| -> serde_json::Value {
        serde_json::from_slice(&fs_err::read(path).unwrap()).unwrap()
    };
    let index = read(&root.join("index.json"));
    let descriptor = &index["manifests"][0];
    let name = &descriptor["annotations"]["org.opencontainers.image.ref.name"];
    assert_eq!(name, "destdir/openssl@usr-lib-curl");
    assert_eq!(
        descriptor["artifactType"],
        "application/vnd.kiln.destdir.v1"
    );
    let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
    let manifest = read(&root.join("blobs/sha256").join(digest.to_hex()));
    let expected = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": "application/vnd.kiln.destdir.v1",
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
            "size": 2,
        },
        "layers": [{
            "mediaType": "text/plain",
            "digest": part.to_string(),
            "size": 3,
            "annotations": {"org.opencontainers.image.title": "one"},
        }, {
            "mediaType": "application/vnd.kiln.result.v1+json",
            "digest": Digest::of(b"{\"text\":\"one\"}").to_string(),
            "size": 14,
            "annotations": {"org.opencontainers.image.title": "result.json"},
        }],
    });
    assert_eq!(manifest, expected);
}

#[test]
fn the_last_results_stay_and_others_go_with_what_only_they_name() {
    let (_folder, store) = fresh();
    let root = store.root().to_owned();
    let texts = ["a", "b", "c"];
    let made = texts.map(|text| result(&store, ArtifactKind::Destdir, "zlib", text));
    let (other, shared) = result(&store, ArtifactKind::Packages, "zlib", "b");
    let (signed, _) = result(&store, ArtifactKind::Signature, "x.rpm", "signed");
    for (number, key) in [made[0].0, made[1].0, made[2].0, other, signed]
        .iter()
        .enumerate()
    {
        age(&store, key, 10_000 - number as u64);
    }
    let source = part(&store, "source").digest;
    let garbage = part(&store, "garbage").digest;
    drop(store);

    let mut wanted = keep(&[source], 1);
    wanted.mode = CollectMode::DryRun;
    let before = (names(&root, "actions"), names(&root, "blobs/sha256"));
    let told = collect(&root, &wanted);
    assert_eq!(
        (names(&root, "actions"), names(&root, "blobs/sha256")),
        before
    );
    wanted.mode = CollectMode::Remove;
    let collected = collect(&root, &wanted);
    assert_eq!(collected, told, "a dry run tells what happens");
    assert_eq!(collected.results.count, 2);
    // Of "a" its part, value and manifest, of "b" the manifest (packages have the rest), and garbage.
    assert_eq!(collected.blobs.count, 3 + 1 + 1);
    let actions: BTreeSet<_> = [made[2].0, other, signed]
        .iter()
        .map(Digest::to_hex)
        .collect();
    assert_eq!(names(&root, "actions"), actions);
    let store = Store::open(&root).unwrap();
    for kept in [made[2].1, shared, source] {
        store.read_blob(&kept).unwrap();
    }
    for gone in [made[0].1, garbage] {
        assert!(!store.contains(&gone));
    }
    assert!(names(&root, "quarantine").is_empty());
    let index = fs_err::read_to_string(root.join("index.json")).unwrap();
    assert_eq!(index.matches("application/vnd.kiln.").count(), 3);
    drop(store);
    assert_eq!(
        collect(&root, &wanted),
        Collected::default(),
        "once is enough"
    );
    assert!(names(&root, "tmp").is_empty());
}

#[test]
fn what_a_live_kiln_uses_stays() {
    let (_folder, store) = fresh();
    let root = store.root().to_owned();
    let found = part(&store, "found").digest;
    let (key, made) = result(&store, ArtifactKind::Destdir, "zlib", "made");
    age(&store, &key, 10_000);
    let tree = DiffId(Digest::of(b"layer"));
    let mut fill = |_: &Path| Ok::<_, Infallible>(());
    store.write_tree(&tree, &mut fill).unwrap();
    drop(store);

    let user = Store::open(&root).unwrap();
    assert!(user.contains(&found));
    assert!(user.tree(&tree).unwrap().is_some());
    user.read_blob(&made).unwrap();
    let collected = collect(&root, &keep(&[], 0));
    assert_eq!(
        collected.leased, 7,
        "a result, its manifest, configuration and two parts, a blob and a tree: {collected:?}"
    );
    assert_eq!(collected.results.count, 0);
    user.read_blob(&found).unwrap();
    drop(user);
    let collected = collect(&root, &keep(&[], 0));
    let counts = (
        collected.results.count,
        collected.blobs.count,
        collected.trees.count,
    );
    assert_eq!(counts, (1, 5, 1));
    assert!(names(&root, "blobs/sha256").is_empty());
    assert!(names(&root, "trees").is_empty());
}

#[test]
fn young_things_and_results_of_the_old_format_stay() {
    let (_folder, store) = fresh();
    let root = store.root().to_owned();
    let named = part(&store, "named").digest;
    let unnamed = part(&store, "unnamed").digest;
    let old = format!("{{\"format\":1,\"destdir\":\"{named}\"}}");
    let key = Digest::of(b"key");
    store
        .write_record(RecordKind::Action, &key.to_hex(), old.as_bytes())
        .unwrap();
    assert_eq!(store.result(&key).unwrap().unwrap(), old.as_bytes());
    drop(store);
    let young = Keep {
        grace: 1000,
        ..keep(&[], 0)
    };
    let collected = collect(&root, &young);
    assert_eq!((collected.young, collected.blobs.count), (1, 0));
    assert_eq!(collect(&root, &keep(&[], 0)).blobs.count, 1);
    let store = Store::open(&root).unwrap();
    assert!(store.contains(&named) && !store.contains(&unnamed));
}

#[test]
fn a_store_of_format_1_becomes_one_of_format_2() {
    let (_folder, store) = fresh();
    let root = store.root().to_owned();
    drop(store);
    let format = root.join("kiln-store.json");
    fs_err::write(&format, "{\"format\":1}\n").unwrap();
    fs_err::remove_dir(root.join("projects")).unwrap();
    fs_err::remove_file(root.join("lease.lock")).unwrap();
    assert_eq!(Store::open(&root).unwrap().migrated_from(), Some(1));
    assert_eq!(fs_err::read_to_string(&format).unwrap(), "{\"format\":2}\n");
    assert_eq!(Store::open(&root).unwrap().migrated_from(), None);
}

#[test]
fn what_is_needed_since_a_moment_ago_stays() {
    let (_folder, store) = fresh();
    let root = store.root().to_owned();
    let blob = part(&store, "found again").digest;
    drop(store);
    let store = Store::open(&root).unwrap();
    let needed_now = || Ok::<_, StoreError>(BTreeSet::from([blob]));
    let collected = store.collect_garbage(&keep(&[], 0), needed_now).unwrap();
    assert_eq!(collected.blobs.count, 0);
    assert!(store.contains(&blob));
}

#[test]
fn collectors_and_kilns_at_once_lose_nothing() {
    let (_folder, store) = fresh();
    let root = store.root().to_owned();
    drop(store);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let kilns: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    for round in 0..60 {
                        // Each kiln makes the same few things anew, from whatever others left.
                        let store = Store::open(&root).unwrap();
                        let label = format!("label-{}", round % 3);
                        let text = format!("text {}", round % 5);
                        let (key, part) = result(&store, ArtifactKind::Destdir, &label, &text);
                        assert_eq!(store.read_blob(&part).unwrap(), text.as_bytes());
                        assert!(store.result(&key).unwrap().is_some());
                        let tree = DiffId(Digest::of(text.as_bytes()));
                        let fill = &mut |root: &Path| fs_err::write(root.join("file"), &text);
                        let found = store.write_tree(&tree, fill).unwrap();
                        assert_eq!(fs_err::read_to_string(found.join("file")).unwrap(), text);
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                collect(&root, &keep(&[], 0));
            }
        });
        for kiln in kilns {
            kiln.join().unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(names(&root, "quarantine").is_empty());
    // Whatever a record names is there.
    let store = Store::open(&root).unwrap();
    for (_, record) in store.records(RecordKind::Action) {
        for digest in kiln_store::digests_in(&record) {
            assert!(store.contains(&digest), "{digest} is gone");
        }
    }
}
