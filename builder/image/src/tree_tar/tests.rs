//! Folders that hostile steps filled, and the one tar that they have.

use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};

use super::*;
use crate::tar_header::EntryKind;
use crate::tar_read::TarReader;

const EPOCH: SourceDateEpoch = SourceDateEpoch::from_seconds(1_676_851_200);

fn everything(_: &TreeCandidate<'_>) -> Inclusion {
    Inclusion::Include
}

fn tar_of(
    folder: &Path,
    filter: &dyn Fn(&TreeCandidate<'_>) -> Inclusion,
) -> Result<(Vec<u8>, Vec<TreeEntry>), TreeTarError> {
    let mut bytes = Vec::new();
    let request = TreeTarRequest {
        folder,
        below: "",
        epoch: EPOCH,
        filter,
        limits: UnpackLimits::LAYER,
    };
    let entries = write_tree_tar(&request, &mut bytes)?;
    Ok((bytes, entries))
}

fn refusal(folder: &Path) -> TreeTarError {
    match tar_of(folder, &everything) {
        Err(error) => error,
        Ok((_, entries)) => panic!("expected an error, got {entries:?}"),
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn paths(entries: &[TreeEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.path.as_str()).collect()
}

/// Makes one tree in one of two ways.
fn make(order: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["a", "a/b", "a-b", "closed"] {
        fs_err::create_dir(root.join(name)).unwrap();
    }
    for name in order {
        fs_err::write(root.join(name), name).unwrap();
    }
    fs_err::hard_link(root.join("a/b/z"), root.join("a-b/y")).unwrap();
    fs_err::write(root.join("closed/file"), "x").unwrap();
    symlink("/etc/passwd", root.join("link")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    set_mode(&root.join("a/b/z"), 0o4755);
    set_mode(&root.join("a/b"), 0o755);
    set_mode(&root.join("a/x"), 0o000);
    set_mode(&root.join("closed"), 0o000);
    folder
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let one = make(&["a/x", "a/b/z", "m"]);
    let two = make(&["m", "a/b/z", "a/x"]);
    let (bytes, entries) = tar_of(one.path(), &everything).unwrap();
    assert_eq!(bytes, tar_of(two.path(), &everything).unwrap().0);
    assert_eq!(
        bytes,
        tar_of(one.path(), &everything).unwrap().0,
        "and again"
    );
    assert_eq!(
        paths(&entries),
        [
            "a",
            "a-b",
            "a-b/y",
            "a/b",
            "a/b/z",
            "a/x",
            "closed",
            "closed/file",
            "etc",
            "link",
            "m"
        ]
    );
    let mut reader = TarReader::new(bytes.as_slice(), "tree", UnpackLimits::LAYER);
    let mut kinds = Vec::new();
    while let Some(entry) = reader.next_entry().unwrap() {
        assert_eq!((entry.uid, entry.gid), (0, 0));
        assert_eq!(entry.mtime, i64::from(EPOCH.seconds()));
        kinds.push((
            String::from_utf8(entry.path).unwrap(),
            entry.kind,
            entry.mode,
        ));
    }
    let find = |path: &str| {
        kinds
            .iter()
            .find(|(name, ..)| name == path)
            .unwrap()
            .clone()
    };
    assert_eq!(find("a-b/y"), ("a-b/y".into(), EntryKind::File, 0o4755));
    assert_eq!(
        find("a/b/z"),
        ("a/b/z".into(), EntryKind::HardLink(b"a-b/y".into()), 0o4755)
    );
    assert_eq!(find("closed/"), ("closed/".into(), EntryKind::Directory, 0));
    assert_eq!(
        find("link"),
        (
            "link".into(),
            EntryKind::Symlink(b"/etc/passwd".into()),
            0o777
        )
    );
    for folder in [one, two] {
        let mode = |name: &str| {
            let path = folder.path().join(name);
            fs_err::metadata(path).unwrap().permissions().mode() & 0o7777
        };
        assert_eq!(
            (mode("closed"), mode("a/x")),
            (0, 0),
            "modes are given back"
        );
        set_mode(&folder.path().join("closed"), 0o755);
    }
}

#[test]
fn entries_describe_the_tree() {
    let folder = make(&["a/x", "a/b/z", "m"]);
    let (_, entries) = tar_of(folder.path(), &everything).unwrap();
    let find = |path: &str| entries.iter().find(|e| e.path.as_str() == path).unwrap();
    assert_eq!(
        find("a-b/y").kind,
        TreeEntryKind::File {
            size: 5,
            sha256: Digest::of(b"a/b/z"),
            executable: true
        }
    );
    assert_eq!(
        find("a/b/z").kind,
        TreeEntryKind::HardLink {
            target: "a-b/y".parse().unwrap()
        }
    );
    assert_eq!(
        find("etc").kind,
        TreeEntryKind::Symlink {
            target: "/etc".into()
        }
    );
    let json = serde_json::to_string(&entries).unwrap();
    assert_eq!(
        serde_json::from_str::<Vec<TreeEntry>>(&json).unwrap(),
        entries
    );
    set_mode(&folder.path().join("closed"), 0o755);
}

#[test]
fn the_filter_decides_what_belongs() {
    let folder = make(&["a/x", "a/b/z", "m", "a/keep.c"]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        folder.path().join("a/fifo"),
        FileType::Fifo,
        Mode::RUSR,
        0,
    )
    .unwrap();
    let sources = |candidate: &TreeCandidate<'_>| match candidate.kind {
        CandidateKind::Directory if candidate.path == b"closed" => Inclusion::Exclude,
        CandidateKind::Directory => Inclusion::IfFilled,
        CandidateKind::File if candidate.path.ends_with(b".c") => Inclusion::Include,
        _ => Inclusion::Exclude,
    };
    let (_, entries) = tar_of(folder.path(), &sources).unwrap();
    assert_eq!(paths(&entries), ["a", "a/keep.c"]);
    set_mode(&folder.path().join("closed"), 0o755);
}

#[test]
fn special_files_are_refused_by_name() {
    for (kind, expected) in [
        (FileType::Fifo, SpecialKind::Fifo),
        (FileType::Socket, SpecialKind::Socket),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("odd");
        rustix::fs::mknodat(rustix::fs::CWD, &path, kind, Mode::RUSR, 0).unwrap();
        assert!(
            !fs_err::symlink_metadata(&path)
                .unwrap()
                .file_type()
                .is_file()
        );
        assert!(
            !fs_err::symlink_metadata(&path)
                .unwrap()
                .file_type()
                .is_char_device()
        );
        match refusal(folder.path()) {
            TreeTarError::Special { path, kind } => {
                assert_eq!((path.as_str(), kind), ("odd", expected));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn hostile_names_and_targets_are_refused_escaped() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    for (name, shown) in [
        (b"a\nb".as_slice(), "a\\nb"),
        (b"\x1b[2J", "\\u{1b}[2J"),
        (b"a\xffb", "a\\xffb"),
        (b"del\x7f", "del\\u{7f}"),
        ("c1\u{85}".as_bytes(), "c1\\u{85}"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(OsStr::from_bytes(name)), "").unwrap();
        match refusal(folder.path()) {
            TreeTarError::Name { path, what } => {
                assert_eq!((path.as_str(), what), (shown, "its name"));
            }
            other => panic!("{other:?}"),
        }
        let folder = tempfile::tempdir().unwrap();
        symlink(OsStr::from_bytes(name), folder.path().join("l")).unwrap();
        match refusal(folder.path()) {
            TreeTarError::Name { path, what } => {
                assert_eq!((path.as_str(), what), ("l", "its target"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_root_is_never_reached_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(folder.path().join("real/destdir")).unwrap();
    symlink("real", folder.path().join("link")).unwrap();
    symlink("/etc", folder.path().join("real/evil")).unwrap();
    let mut bytes = Vec::new();
    let mut open = |folder: &Path, below: &str| {
        let request = TreeTarRequest {
            folder,
            below,
            epoch: EPOCH,
            filter: &everything,
            limits: UnpackLimits::LAYER,
        };
        write_tree_tar(&request, &mut bytes).map(|entries| entries.len())
    };
    assert_eq!(open(folder.path(), "real/destdir").unwrap(), 0);
    for (folder, below) in [
        (folder.path().to_owned(), "link/destdir"),
        (folder.path().to_owned(), "real/evil"),
        (folder.path().to_owned(), "../x"),
        (folder.path().join("real/evil"), ""),
        (folder.path().join("missing"), ""),
    ] {
        match open(&folder, below) {
            Err(TreeTarError::Root { path, .. }) => assert_eq!(path, folder.join(below)),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn size_count_and_depth_are_limited() {
    let folder = tempfile::tempdir().unwrap();
    let file = fs_err::File::create(folder.path().join("sparse")).unwrap();
    file.set_len(1 << 40).unwrap();
    let mut request = TreeTarRequest {
        folder: folder.path(),
        below: "",
        epoch: EPOCH,
        filter: &everything,
        limits: UnpackLimits {
            bytes: 1 << 30,
            ..UnpackLimits::LAYER
        },
    };
    assert!(matches!(
        write_tree_tar(&request, &mut Vec::new()),
        Err(TreeTarError::TooLarge {
            limit: 1_073_741_824,
            unit: "bytes",
            ..
        })
    ));
    fs_err::write(folder.path().join("other"), "").unwrap();
    file.set_len(0).unwrap();
    request.limits = UnpackLimits {
        entries: 1,
        ..UnpackLimits::LAYER
    };
    assert!(matches!(
        write_tree_tar(&request, &mut Vec::new()),
        Err(TreeTarError::TooLarge {
            limit: 1,
            unit: "entries",
            ..
        })
    ));
    let folder = tempfile::tempdir().unwrap();
    fs_err::create_dir_all(folder.path().join("d/".repeat(300))).unwrap();
    assert!(matches!(
        refusal(folder.path()),
        TreeTarError::TooDeep { limit: 256, .. }
    ));
    let folder = tempfile::tempdir().unwrap();
    let mut path = folder.path().to_owned();
    let mut below = fs_err::File::open(&path).unwrap().into_parts().0;
    for _ in 0..16 {
        // By handles: the whole path may be longer than the system takes.
        let name = "n".repeat(200);
        rustix::fs::mkdirat(&below, &name, Mode::RWXU).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        below = rustix::fs::openat(&below, &name, flags, Mode::empty())
            .unwrap()
            .into();
        path.push(name);
    }
    match refusal(folder.path()) {
        TreeTarError::TooLong {
            start,
            actual,
            limit,
        } => assert_eq!((start.len(), actual, limit), (80, 3215, 3072)),
        other => panic!("{other:?}"),
    }
}
