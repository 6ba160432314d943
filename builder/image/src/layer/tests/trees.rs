//! A tree that is unpacked while its layer is written is the one that the layer gives, or none.

use super::*;
use crate::hand_tar::listing;
use crate::rootfs::layer_tree;
use crate::unpack::EntryProblem;

fn packages() -> Vec<(&'static str, HandTar)> {
    let big = "0123456789abcdef".repeat(90_000);
    let first = HandTar::new()
        .dir("./bin/")
        .file("./bin/sh", "shell")
        .symlink("./lib64/ld.so", "/lib/ld-2.so")
        .node("./usr/bin/su", EntryType::Regular, 0o4755, "", b"root")
        .node("./var/tmp/", EntryType::Directory, 0o1777, "", b"")
        .node("./etc/shut/", EntryType::Directory, 0o500, "", b"")
        .file("./etc/shut/in", "in")
        .of_type("./dev/null", b'3');
    let second = at(HandTar::new(), "./usr/share/big", 0o644, 7, &big)
        .file("./usr/share/empty", "")
        .hard_link("./usr/share/a/hard", "./usr/share/big")
        .file("./usr/share/left-out", "x");
    vec![("first", first), ("second", second)]
}

fn with_packages<T>(
    packages: Vec<(&'static str, HandTar)>,
    run: impl FnOnce(&Store, &LayerRequest<'_>) -> T,
) -> T {
    let (_folder, store) = store();
    let stored: Vec<_> = packages
        .into_iter()
        .map(|(name, data)| stored(&store, name, data))
        .collect();
    let request = LayerRequest {
        packages: &stored,
        links: &links(&[("/usr/bin/pot", "su")]),
        exclude: &patterns(&["/usr/share/left*"]),
        kind: LayerKind::Base,
    };
    run(&store, &request)
}

#[test]
fn it_is_the_tree_that_the_layer_gives() {
    use std::os::unix::fs::MetadataExt as _;
    let given = with_packages(packages(), |store, request| {
        let layer = assemble_layer(store, request, &kiln_store::Silent).unwrap();
        let root = layer_tree(store, &layer).unwrap();
        (layer, store.read_blob(&layer.0).unwrap(), listing(&root))
    });
    let (layer, bytes, files) = &given;
    with_packages(packages(), |store, request| {
        let root = assemble_tree(store, request, layer, &kiln_store::Silent).unwrap();
        assert_eq!(store.tree(layer).unwrap(), Some(root.clone()));
        assert!(store.read_blob(&layer.0).unwrap() == *bytes, "other bytes");
        let big = fs_err::metadata(root.join("usr/share/big")).unwrap();
        assert_eq!((big.nlink(), big.len()), (2, 16 * 90_000));
        assert_eq!(listing(&root), *files);
        // A second time it is taken from the store.
        let again = assemble_tree(store, request, layer, &kiln_store::Silent).unwrap();
        assert_eq!(again, root);
    });
    assert!(
        files.contains(&"usr/bin/pot -> su".to_owned()),
        "{files:#?}"
    );
    assert!(!files.iter().any(|file| file.contains("left-out")));
}

/// Returns the names in a folder of the store.
fn names(store: &Store, folder: &str) -> Vec<String> {
    let entries = fs_err::read_dir(store.root().join(folder)).unwrap();
    let name = |entry: io::Result<fs_err::DirEntry>| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().into_owned()
    };
    entries.map(name).collect()
}

#[test]
fn another_layer_than_the_expected_leaves_nothing() {
    with_packages(packages(), |store, request| {
        let before = names(store, "blobs/sha256").len();
        let wanted = DiffId(kiln_model::Digest::of(b"another layer"));
        match assemble_tree(store, request, &wanted, &kiln_store::Silent) {
            Err(AssembleError::Store(StoreError::Mismatch { expected, actual })) => {
                assert_eq!(expected, wanted.0);
                let layer = assemble_layer(store, request, &kiln_store::Silent).unwrap();
                assert_eq!(actual, layer.0);
                assert_eq!(names(store, "blobs/sha256").len(), before + 1);
            }
            other => panic!("expected a mismatch, got {other:?}"),
        }
        assert_eq!(store.tree(&wanted).unwrap(), None);
        assert_eq!(names(store, "trees"), Vec::<String>::new());
    });
}

#[test]
fn a_layer_that_can_not_be_unpacked_is_no_tree() {
    let deep = || {
        let name = format!("./{}x", "d/".repeat(300));
        vec![("deep", HandTar::new().long(b'L', &name).file("x", "x"))]
    };
    let layer = with_packages(deep(), |store, request| {
        assemble_layer(store, request, &kiln_store::Silent).unwrap()
    });
    with_packages(deep(), |store, request| {
        match assemble_tree(store, request, &layer, &kiln_store::Silent) {
            Err(AssembleError::Unpack(UnpackError::Entry { problem, .. })) => {
                assert!(matches!(problem, EntryProblem::TooDeep { .. }), "{problem}");
            }
            other => panic!("expected a deep path, got {other:?}"),
        }
        assert_eq!(store.tree(&layer).unwrap(), None);
        assert_eq!(names(store, "trees"), Vec::<String>::new());
        // The layer itself is what it should be.
        assert!(store.contains(&layer.0));
    });
}

#[test]
fn a_package_that_can_not_be_read_leaves_nothing() {
    with_packages(packages(), |store, request| {
        let layer = assemble_layer(store, request, &kiln_store::Silent).unwrap();
        let blob = store.blob_path(&request.packages[1].sha256);
        let mut bytes = fs_err::read(&blob).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs_err::remove_file(&blob).unwrap();
        fs_err::write(&blob, bytes).unwrap();
        match assemble_tree(store, request, &layer, &kiln_store::Silent) {
            Err(AssembleError::Store(StoreError::Damaged { expected, .. })) => {
                assert_eq!(expected, request.packages[1].sha256);
            }
            other => panic!("expected a damaged package, got {other:?}"),
        }
        assert_eq!(names(store, "trees"), Vec::<String>::new());
    });
}
