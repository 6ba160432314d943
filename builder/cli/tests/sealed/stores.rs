//! `kiln store` on the store of a project: damage is found, named and mended; only what nobody needs goes.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::bases::Base;
use crate::project::{DEMO, Project, changed, files, outputs};
use crate::server::Server;

fn damage(path: &Path) {
    let mut bytes = fs_err::read(path).unwrap();
    let place = bytes.len() / 2;
    bytes[place] ^= 1;
    fs_err::remove_file(path).unwrap();
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn slow_damage_anywhere_is_found_once_and_mended_by_the_next_build() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
    let expected = outputs(&project.root.join("out"));
    // The base image's blobs and trees are linked to the repository's: those must not be harmed.
    let base_blobs = base.blobs().map(|digest| digest.to_hex());
    let blobs = files(&project.store().join("blobs/sha256"));
    let own: Vec<_> = blobs
        .iter()
        .filter(|(name, _)| !base_blobs.contains(name))
        .collect();
    assert!(own.len() > 10);
    for (_, path) in &own {
        damage(path);
    }
    let actions = files(&project.store().join("actions"));
    let (_, record) = actions.iter().next().unwrap();
    damage(record);
    let trees = project.store().join("trees");
    let layer = base.lock.layer.0.to_hex();
    let tree = walkdir::WalkDir::new(&trees)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    let mut tree = tree.into_iter().map(|entry| entry.unwrap().into_path());
    let tree = tree.find(|path| !path.ends_with(&layer));
    let told = project.kiln(&["store", "check"]);
    assert_eq!(told.code, Some(1), "{}", told.stderr);
    let found = |what: &str| {
        told.stdout
            .lines()
            .filter(|line| line.contains(what))
            .count()
    };
    assert_eq!(
        found("damaged    blob sha256:"),
        own.len(),
        "{}",
        told.stdout
    );
    assert_eq!(found("damaged    record `"), 1, "{}", told.stdout);
    assert!(
        found("was forgotten: it is built again") > 0,
        "{}",
        told.stdout
    );
    let again = project.done(&["store", "check"]);
    assert!(
        again.stdout.ends_with("Everything is as it should be.\n"),
        "{}",
        again.stdout
    );
    fs_err::remove_dir_all(project.root.join("out")).unwrap();
    project.done(&["build"]);
    assert_eq!(outputs(&project.root.join("out")), expected);
    if let Some(tree) = tree {
        // A tree that somebody wrote into: nobody may, but root can.
        let file = files(&tree.join("root"))
            .into_values()
            .find(|path| path.is_file());
        let file = file.unwrap();
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        damage(&file);
        let told = project.kiln(&["store", "check"]);
        assert_eq!(told.code, Some(1), "{}", told.stdout);
        assert!(
            told.stdout.contains("is not as it was unpacked (`"),
            "{}",
            told.stdout
        );
    }
    project.done(&["store", "gc", "--evidence", "--grace", "0"]);
    project.check_store();
    project.check_no_leftovers();
}

#[test]
fn slow_a_collection_leaves_what_recipes_and_the_last_results_need() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    for number in 1..=4 {
        let recipe = changed(
            DEMO,
            "use: make\n",
            &format!("use: make\n  build: make CC='gcc -DN={number}'\n"),
        );
        project.write_demo(&recipe);
        project.done(&["build"]);
    }
    let expected = outputs(&project.root.join("out"));
    let count = |folder: &str| files(&project.store().join(folder)).len();
    let before = (count("actions"), count("blobs/sha256"));
    let dry = project.done(&["store", "gc", "--dry-run", "--keep", "1", "--grace", "0"]);
    assert_eq!((count("actions"), count("blobs/sha256")), before);
    assert!(dry.stdout.contains("would go   "), "{}", dry.stdout);
    let young = project.done(&["store", "gc", "--keep", "1"]);
    assert!(
        young
            .stdout
            .contains("removed    0 results (0 B), 0 blobs (0 B), 0 trees (0 B)"),
        "{}",
        young.stdout
    );
    // What the clock of the file system counts in seconds must have passed.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let removed = project.done(&["store", "gc", "--keep", "1", "--grace", "0"]);
    assert!(
        removed.stdout.starts_with("removed    "),
        "{}",
        removed.stdout
    );
    assert!(
        count("actions") < before.0 && count("blobs/sha256") < before.1,
        "{}",
        removed.stdout
    );
    let nothing = project.done(&["build"]);
    assert!(
        nothing.stdout.contains("Nothing to do"),
        "{}",
        nothing.stdout
    );
    fs_err::remove_dir_all(project.root.join("out")).unwrap();
    let again = project.done(&["--offline", "build"]);
    assert!(
        !again.stderr.contains("build      demo"),
        "the last result is there: {}",
        again.stderr
    );
    assert_eq!(outputs(&project.root.join("out")), expected);
    let usage = project.done(&["store", "du"]);
    for row in ["demo", "debian-12", "everything"] {
        assert!(
            usage.stdout.lines().any(|line| line.starts_with(row)),
            "{}",
            usage.stdout
        );
    }
    project.check_store();
    project.check_no_leftovers();
    // A project that is gone needs nothing any more.
    let elsewhere = project.root.join("elsewhere");
    fs_err::create_dir(&elsewhere).unwrap();
    fs_err::rename(project.root.join("recipes"), elsewhere.join("recipes")).unwrap();
    let ended = project.done(&["store", "gc", "--keep", "0", "--grace", "0"]);
    assert!(
        ended
            .stdout
            .contains("forgotten  project PROJECT, which is gone"),
        "{}",
        ended.stdout
    );
}
