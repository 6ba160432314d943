//! Partial downloads: who takes them up, what stays and what goes.

use super::*;

const WHOLE: &[u8] = b"the bytes of a source tarball";

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    (folder, store)
}

fn open(store: &Store) -> PartialBlob {
    PartialBlob::open(store, &Digest::of(WHOLE), 1000).unwrap()
}

fn origin() -> Origin {
    Origin::new("http://a/x", Some("\"1\"".to_owned()))
}

/// What lies in `tmp/` besides the sessions of live stores.
fn listed(store: &Store) -> Vec<String> {
    let tmp = walkdir::WalkDir::new(store.root().join("tmp"));
    let entries = tmp.min_depth(1).max_depth(1).sort_by_file_name();
    let names = entries
        .into_iter()
        .map(|entry| entry.unwrap().file_name().to_owned());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| !name.starts_with("kiln-")).collect()
}

#[test]
fn what_is_dropped_is_taken_up_and_finished() {
    let (_folder, store) = store();
    let mut first = open(&store);
    assert_eq!((first.held(), first.origin()), (0, None));
    first.begin(0, origin()).unwrap();
    first.append(&WHOLE[..10]).unwrap();
    drop(first);
    let path = partial_path(&store.root().join("tmp"), &Digest::of(WHOLE));
    assert_eq!(fs_err::read(&path).unwrap(), &WHOLE[..10]);

    let mut second = open(&store);
    assert_eq!((second.held(), second.origin()), (10, Some(&origin())));
    assert_eq!(origin().validator_of("http://a/x"), Some("\"1\""));
    assert_eq!(origin().validator_of("http://b/x"), None);
    assert!(!second.is_whole(&Digest::of(WHOLE)).unwrap());
    second.begin(10, origin()).unwrap();
    second.append(&WHOLE[10..]).unwrap();
    assert!(second.is_whole(&Digest::of(WHOLE)).unwrap());
    let info = second.finish_expecting(&Digest::of(WHOLE)).unwrap();
    assert_eq!((info.size, info.digest), (29, Digest::of(WHOLE)));
    assert_eq!(store.read_blob(&info.digest).unwrap(), WHOLE);
    assert_eq!(store.blob_info(&info.digest).unwrap(), info);
    assert_eq!(listed(&store), [""; 0]);
}

#[test]
fn what_proves_wrong_goes() {
    let (_folder, store) = store();
    let fill = |bytes: &[u8]| {
        let mut partial = open(&store);
        partial.begin(0, origin()).unwrap();
        partial.append(bytes).unwrap();
        partial
    };
    let error = fill(b"others").finish_expecting(&Digest::of(WHOLE));
    assert!(
        matches!(&error, Err(StoreError::Mismatch { actual, .. }) if *actual == Digest::of(b"others")),
        "{error:?}"
    );
    assert_eq!(listed(&store), [""; 0]);
    fill(b"others").discard();
    assert_eq!(listed(&store), [""; 0]);
    drop(fill(b""));
    assert_eq!(listed(&store), [""; 0], "nothing is not worth keeping");
    drop(fill(&[0; 1001]));
    assert_eq!(open(&store).held(), 0, "more than the file may have");
    // Going back to the start forgets what was there, on the disk too.
    let mut again = fill(b"others");
    again.begin(0, origin()).unwrap();
    again.append(WHOLE).unwrap();
    again.finish_expecting(&Digest::of(WHOLE)).unwrap();
    assert_eq!(store.read_blob(&Digest::of(WHOLE)).unwrap(), WHOLE);
}

#[test]
fn bytes_beyond_the_buffer_are_hashed_in_order() {
    let (_folder, store) = store();
    let bytes: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
    let digest = Digest::of(&bytes);
    for cut in [1, 131_071, 131_072, 131_073, 699_999] {
        for part in [&bytes[..cut], &bytes[cut..]] {
            let mut partial = PartialBlob::open(&store, &digest, u64::MAX).unwrap();
            let held = partial.held();
            partial.begin(held, origin()).unwrap();
            partial.append(part).unwrap();
            if partial.is_whole(&digest).unwrap() {
                partial.finish_expecting(&digest).unwrap();
            }
        }
        assert_eq!(store.read_blob(&digest).unwrap(), bytes);
        fs_err::remove_file(store.blob_path(&digest)).unwrap();
    }
}

#[test]
fn two_writers_never_share_one() {
    let (_folder, store) = store();
    let other = Store::open(store.root()).unwrap();
    let mut first = open(&store);
    first.begin(0, origin()).unwrap();
    first.append(&WHOLE[..10]).unwrap();
    let mut second = open(&other);
    assert_eq!(second.held(), 0);
    second.begin(0, origin()).unwrap();
    second.append(b"others").unwrap();
    drop(second);
    first.append(&WHOLE[10..]).unwrap();
    first.finish_expecting(&Digest::of(WHOLE)).unwrap();
    assert_eq!(store.read_blob(&Digest::of(WHOLE)).unwrap(), WHOLE);
    assert_eq!(listed(&store), [""; 0]);
}

#[test]
fn what_is_no_partial_download_is_left_alone() {
    use std::os::unix::fs::symlink;
    let (folder, store) = store();
    let path = partial_path(&store.root().join("tmp"), &Digest::of(WHOLE));
    let precious = folder.path().join("precious");
    fs_err::write(&precious, "precious").unwrap();
    let try_it = |what: &str| {
        let mut partial = open(&store);
        assert_eq!(partial.held(), 0, "{what}");
        partial.begin(0, origin()).unwrap();
        partial.append(WHOLE).unwrap();
        partial.finish_expecting(&Digest::of(WHOLE)).unwrap();
        assert_eq!(store.read_blob(&Digest::of(WHOLE)).unwrap(), WHOLE);
        assert_eq!(fs_err::read(&precious).unwrap(), b"precious", "{what}");
        fs_err::remove_file(store.blob_path(&Digest::of(WHOLE))).unwrap();
    };
    symlink(&precious, &path).unwrap();
    try_it("a link");
    fs_err::remove_file(&path).unwrap();
    fs_err::hard_link(&precious, &path).unwrap();
    try_it("a second name");
    fs_err::remove_file(&path).unwrap();
    fs_err::create_dir(&path).unwrap();
    try_it("a folder");
    fs_err::remove_dir(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    try_it("a FIFO");
    fs_err::remove_file(&path).unwrap();
    // A note that is none, or leads elsewhere, is not read and not written through.
    let note = note_path(&path);
    for text in ["", "{}", "{\"from\":1}", &"x".repeat(10_000)] {
        fs_err::write(&path, &WHOLE[..3]).unwrap();
        fs_err::write(&note, text).unwrap();
        let partial = open(&store);
        assert_eq!((partial.held(), partial.origin()), (3, None));
        partial.discard();
    }
    symlink(&precious, &note).unwrap();
    try_it("a note that is a link");
}

#[test]
fn only_what_nobody_wants_is_removed_at_the_start() {
    let (_folder, store) = store();
    let tmp = store.root().join("tmp");
    let write = |bytes: &[u8], age: i64| {
        let path = partial_path(&tmp, &Digest::of(bytes));
        fs_err::write(&path, "beginning").unwrap();
        fs_err::write(note_path(&path), "{}").unwrap();
        let now = rustix::fs::stat(&path).unwrap().st_mtime;
        let time = rustix::fs::Timespec {
            tv_sec: now - age,
            tv_nsec: 0,
        };
        let times = rustix::fs::Timestamps {
            last_access: time,
            last_modification: time,
        };
        let flags = rustix::fs::AtFlags::empty();
        rustix::fs::utimensat(rustix::fs::CWD, &path, &times, flags).unwrap();
        path.file_name().unwrap().to_string_lossy().into_owned()
    };
    let day = 24 * 60 * 60;
    let fresh = write(b"fresh", 13 * day);
    write(b"old", 15 * day);
    write(b"there", 0);
    store.write_blob(b"there").unwrap();
    let used = open(&store);
    let live = listed(&store)
        .into_iter()
        .find(|name| name.contains(&Digest::of(WHOLE).to_hex()));
    fs_err::write(tmp.join("partial-orphan.json"), "{}").unwrap();
    Store::open(store.root()).unwrap();
    let mut expected = vec![fresh.clone(), format!("{fresh}.json"), live.unwrap()];
    expected.sort();
    assert_eq!(listed(&store), expected);
    drop(used);
}
