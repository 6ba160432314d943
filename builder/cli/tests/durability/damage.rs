//! Things in the store are damaged: whoever meets one says so, sets it aside, and fetches or makes it
//! again in the same run.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use kiln_model::Digest;

use crate::bases::Base;
use crate::project::outputs;
use crate::scene::{Scene, Told, children};
use crate::server::Server;

/// Changes a file in place, as a disk that forgets does.
fn damage(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs_err::read(path).unwrap();
    change(&mut bytes);
    let mode = fs_err::metadata(path).unwrap().permissions();
    fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    fs_err::write(path, bytes).unwrap();
    fs_err::set_permissions(path, mode).unwrap();
}

#[expect(clippy::ptr_arg, reason = "it is one of several changes")]
fn flip(bytes: &mut Vec<u8>) {
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
}

/// Builds into a fresh folder, so that everything is needed again; returns what was told, and what
/// people read.
fn build_again(scene: &Scene<'_>) -> (Told, String) {
    fs_err::remove_dir_all(scene.out()).unwrap();
    for record in scene.made("outputs") {
        fs_err::remove_file(record).unwrap();
    }
    let ended = scene.project.ended(&scene.command().output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(outputs(&scene.out()), scene.reference, "the same bytes");
    (Told::parse(&ended.stdout), ended.stderr)
}

/// Takes away what was set aside, having looked that it is kept.
fn clear_quarantine(scene: &Scene<'_>) -> usize {
    let kept = children(&scene.project.store().join("quarantine"));
    for path in &kept {
        if path.is_dir() {
            fs_err::remove_dir_all(path).unwrap();
        } else {
            fs_err::remove_file(path).unwrap();
        }
    }
    kept.len()
}

#[test]
fn slow_a_damaged_blob_is_named_and_replaced_in_the_same_run() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::new(&base, &server);
    let (mut used, mut unused) = (0, 0);
    for blob in scene.made("blobs/sha256") {
        // Unpacked copies would be taken instead.
        for tree in scene.made("trees") {
            fs_err::remove_dir_all(tree).unwrap();
        }
        damage(&blob, flip);
        let name = blob.file_name().unwrap().to_string_lossy().into_owned();
        let (told, text) = build_again(&scene);
        if told.set_aside.is_empty() {
            unused += 1;
            damage(&blob, flip);
        } else {
            used += 1;
            assert_eq!(told.set_aside, [format!("blob sha256:{name}")]);
            let line = format!("set aside  blob sha256:{name} was damaged");
            assert!(text.contains(&line), "{text}");
            let kept = clear_quarantine(&scene);
            assert_eq!(kept, 1, "it is kept as evidence");
        }
        scene.check_whole();
    }
    eprintln!("{used} damaged blobs were replaced, {unused} were not needed");
    assert!(
        used >= 6,
        "spec, packages, destdir, list of files, source tree, inputs"
    );
}

#[test]
fn slow_a_damaged_source_is_fetched_again() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::new(&base, &server);
    for record in scene.made("actions") {
        fs_err::remove_file(record).unwrap();
    }
    damage(&scene.blob(&scene.sources[0]), flip);
    let (told, text) = build_again(&scene);
    assert_eq!(told.fetched.len(), 1, "{text}");
    assert!(text.contains("set aside  blob sha256:"), "{text}");
    assert_eq!(clear_quarantine(&scene), 1);
    scene.check_whole();
}

#[test]
fn slow_a_damaged_seal_or_record_is_a_miss() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::new(&base, &server);
    type Change = fn(&mut Vec<u8>);
    let changes: [Change; 4] = [
        flip,
        Vec::clear,
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.fill(b'{'),
    ];
    for change in changes {
        for record in scene.made("actions") {
            damage(&record, change);
        }
        let seals = scene.made("trees");
        assert!(!seals.is_empty());
        for tree in &seals {
            damage(&tree.join("seal.json"), change);
        }
        let (told, text) = build_again(&scene);
        assert!(told.steps.len() >= 3, "all is done again: {:?}", told.steps);
        let trees = told
            .set_aside
            .iter()
            .filter(|name| name.starts_with("tree sha256:"));
        assert!(trees.count() > 0, "{text}");
        assert!(clear_quarantine(&scene) > 0);
        scene.check_whole();
    }
}

#[test]
fn slow_a_library_that_proves_damaged_late_is_built_again_for_who_needs_it() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::demo(&base, &server);
    // The biggest blobs are tars of what was installed and of sources.
    let before = scene.made("blobs/sha256");
    let is_tar = |path: &&std::path::PathBuf| {
        let bytes = fs_err::read(path).unwrap();
        bytes.get(257..262) == Some(b"ustar")
    };
    for tree in scene.made("trees") {
        fs_err::remove_dir_all(tree).unwrap();
    }
    let tars: Vec<_> = before.iter().filter(is_tar).collect();
    assert!(tars.len() >= 4, "two of each recipe");
    for tar in &tars {
        damage(tar, flip);
    }
    let (told, text) = build_again(&scene);
    assert!(!told.set_aside.is_empty(), "{text}");
    clear_quarantine(&scene);
    for tar in tars {
        let actual = Digest::of(&fs_err::read(tar).unwrap()).to_hex();
        assert_eq!(actual, tar.file_name().unwrap().to_string_lossy());
    }
}
