//! Stores of every format that ever was: they stay here for good, and are read, or brought up, by every kiln.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::path::Path;

use kiln_model::Digest;
use kiln_store::{CollectMode, Keep, RecordKind, STORE_FORMAT, Store, StoreError};
use tempfile::TempDir;

/// Returns a copy of a fixture, which must not be written to.
fn copy(format: u32) -> TempDir {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/formats/store-{format}"));
    let folder = tempfile::tempdir().unwrap();
    for entry in walkdir::WalkDir::new(&from).sort_by_file_name() {
        let entry = entry.unwrap();
        let target = folder
            .path()
            .join(entry.path().strip_prefix(&from).unwrap());
        if entry.file_type().is_dir() {
            fs_err::create_dir_all(target).unwrap();
        } else {
            fs_err::copy(entry.path(), target).unwrap();
        }
    }
    folder
}

#[test]
fn stores_of_every_format_are_read() {
    for format in 1..=STORE_FORMAT {
        let folder = copy(format);
        let store = Store::open(folder.path()).unwrap();
        let migrated = (format < STORE_FORMAT).then_some(format);
        assert_eq!(store.migrated_from(), migrated, "{format}");
        let key = Digest::of(b"{\"kind\":\"build\"}");
        let destdir = Digest::of(b"a destdir\n");
        let value = String::from_utf8(store.result(&key).unwrap().unwrap()).unwrap();
        let expected = format!("{{\"format\":1,\"key\":\"{key}\",\"destdir\":\"{destdir}\"}}");
        assert_eq!(value, expected, "{format}");
        assert_eq!(store.read_blob(&destdir).unwrap(), b"a destdir\n");
        assert!(store.recorded_image("debian-12").unwrap().is_some());
        let checked = store.check(&|| false).unwrap();
        assert_eq!(checked.findings, [], "{format}");
        let keep = Keep {
            needed: std::collections::BTreeSet::new(),
            results: 1,
            grace: -1000,
            mode: CollectMode::Remove,
        };
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        let nothing_more = || Ok::<_, StoreError>(std::collections::BTreeSet::new());
        let collected = store.collect_garbage(&keep, nothing_more).unwrap();
        assert_eq!(collected.blobs.count, 0, "{format}: everything is named");
        assert_eq!(store.records(RecordKind::Action).len(), 1);
    }
}
