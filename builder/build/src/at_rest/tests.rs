use super::*;
use crate::graph::Graph;
use crate::outputs::{Selection, all_recipes};
use crate::schedule::tests::FINE;
use crate::why::tests::Scene;

/// Takes note that all is at rest, as a run does that began long after everything was written.
fn remember_at(scene: &Scene, began: i64) {
    let summary = scene.build();
    scene.with(&FINE, |shop| {
        let graph = Graph::new(shop.project, &all_recipes(shop.project)).unwrap();
        let plan = Plan::new(shop, graph).unwrap();
        remember(shop, Selection::Default, (&plan, &summary), began).unwrap();
    });
}

fn results(scene: &Scene) -> Option<usize> {
    let asked = Asked {
        root: scene.root(),
        store: &scene.store,
        output: &scene.root().join("out"),
        program: FileIdentity::at(&scene.root().join("program")),
        selection: Selection::Default,
        base: None,
    };
    asked.at_rest().map(|rest| rest.results)
}

const LATER: i64 = i64::MAX;

fn scene() -> Scene {
    let scene = Scene::new();
    fs_err::write(scene.root().join("program"), "kiln").unwrap();
    scene.build();
    scene
}

type Change = fn(&Path);

/// Returns the record of a finished build, and what it says.
fn a_build(root: &Path) -> (PathBuf, serde_json::Value) {
    let read = |path: PathBuf| {
        let record = fs_err::read_to_string(&path).unwrap();
        let value = serde_json::from_str(record.lines().last().unwrap()).unwrap();
        (path, value)
    };
    let mut records = sorted_entries(&root.join("store/actions"))
        .into_iter()
        .map(read);
    let is_build = |(_, value): &(PathBuf, serde_json::Value)| value.get("destdir").is_some();
    records.find(is_build).unwrap()
}

#[test]
fn everything_that_looks_otherwise_is_noticed() {
    let scene = scene();
    let changes: [(&str, Change); 10] = [
        ("a recipe", |root| {
            let recipe = root.join("recipes/c/recipe.yaml");
            let text = fs_err::read(&recipe).unwrap();
            fs_err::write(&recipe, text).unwrap();
        }),
        ("a new folder for a recipe", |root| {
            fs_err::create_dir(root.join("recipes/e")).unwrap();
        }),
        ("the first file in such a folder", |root| {
            fs_err::write(root.join("recipes/e/notes"), "x").unwrap();
        }),
        ("settings", |root| {
            fs_err::write(root.join("kiln.toml"), "").unwrap()
        }),
        ("a lockfile", |root| {
            let lock = root.join("lockfiles/d-x86_64.lock");
            let text = fs_err::read(&lock).unwrap();
            fs_err::remove_file(&lock).unwrap();
            fs_err::write(&lock, text).unwrap();
        }),
        ("what was released", |root| {
            fs_err::write(root.join("lockfiles/released.lock"), "").unwrap();
        }),
        ("a base image", |root| {
            let path = root.join("base-images/base.yaml");
            let text = fs_err::read(&path).unwrap();
            fs_err::write(&path, text).unwrap();
        }),
        ("another kiln", |root| {
            fs_err::write(root.join("program"), "2").unwrap()
        }),
        ("a record that was lost", |root| {
            fs_err::remove_file(a_build(root).0).unwrap();
        }),
        ("a blob that was lost", |root| {
            let digest = a_build(root).1["destdir"]
                .as_str()
                .unwrap()
                .replace("sha256:", "");
            fs_err::remove_file(root.join("store/blobs/sha256").join(digest)).unwrap();
        }),
    ];
    for (what, change) in changes {
        remember_at(&scene, LATER);
        assert_eq!(results(&scene), Some(4), "before: {what}");
        change(scene.root());
        assert_eq!(results(&scene), None, "{what}");
        // An empty file is no lock of what was released.
        drop(fs_err::remove_file(
            scene.root().join("lockfiles/released.lock"),
        ));
    }
}

#[test]
fn what_was_just_written_or_is_a_link_is_not_trusted() {
    let scene = scene();
    remember_at(&scene, scene.store.began());
    assert_eq!(results(&scene), None, "it was written after the run began");
    let lock = scene.root().join("lockfiles/d-x86_64.lock");
    fs_err::rename(&lock, scene.root().join("elsewhere")).unwrap();
    fs_err::os::unix::fs::symlink("../elsewhere", &lock).unwrap();
    remember_at(&scene, LATER);
    assert_eq!(results(&scene), None, "what a link leads to may change");
}

#[test]
fn other_questions_have_other_answers() {
    let scene = scene();
    remember_at(&scene, LATER);
    let names = ["c".parse().unwrap()];
    let out = scene.root().join("out");
    let asked = Asked {
        root: scene.root(),
        store: &scene.store,
        output: &out,
        program: FileIdentity::at(&scene.root().join("program")),
        selection: Selection::Named(&names),
        base: None,
    };
    assert_eq!(asked.at_rest(), None);
    let asked = Asked {
        selection: Selection::Default,
        base: None,
        ..asked
    };
    assert!(asked.at_rest().is_some());
    let asked = Asked {
        program: None,
        ..asked
    };
    assert_eq!(asked.at_rest(), None, "an unknown program");
    let output = scene.root().join("other");
    let program = FileIdentity::at(&scene.root().join("program"));
    let asked = Asked {
        output: &output,
        program,
        ..asked
    };
    assert_eq!(asked.at_rest(), None);
}

#[test]
fn what_is_asked_for_by_default_follows_the_settings() {
    let scene = scene();
    let names =
        |selection: Selection<'_>| scene.with(&FINE, |shop| selection.recipes(shop.project));
    let all = names(Selection::All);
    assert!(all.len() > 1, "{all:?}");
    assert_eq!(names(Selection::Default), all);
    let settings = "[build]\ndefault = [\"c\"]\n";
    fs_err::write(scene.root().join("kiln.toml"), settings).unwrap();
    let c = ["c".parse().unwrap()];
    assert_eq!(names(Selection::Default), c);
    assert_eq!(names(Selection::Named(&all)), all);
    assert_eq!(names(Selection::All), all);
}
