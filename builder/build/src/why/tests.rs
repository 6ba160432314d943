use std::path::Path;
use std::time::Duration;

use kiln_store::Store;
use tempfile::TempDir;

use super::*;
use crate::forecast::Forecast;
use crate::outputs::{Selection, Summary};
use crate::pipeline::build_asked;
use crate::schedule::tests::{FINE, Layout, Pretender, SILENT, with_shop, write_project};
use crate::work::{OnFailure, Outcome};

/// A project of libraries, where `b` bundles `a`, built by an engine that runs nothing: each step takes
/// a second, and installs a file with the recipe's name.
pub(crate) struct Scene {
    folder: TempDir,
    pub(crate) store: Store,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        write_project(folder.path(), &store, Layout::InStore);
        Self { folder, store }
    }

    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn with<R>(&self, engine: &Pretender, act: impl FnOnce(&Workshop<'_>) -> R) -> R {
        with_shop(self.root(), &self.store, (&SILENT, engine), act)
    }

    pub(crate) fn build(&self) -> Summary {
        self.with(&FINE, |shop| {
            build_asked(shop, Selection::Default, OnFailure::Stop).unwrap()
        })
    }

    /// Replaces a piece of a recipe.
    pub(crate) fn change(&self, recipe: &str, from: &str, to: &str) {
        let path = self.root().join(format!("recipes/{recipe}/recipe.yaml"));
        let text = fs_err::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs_err::write(path, text.replacen(from, to, 1)).unwrap();
    }

    fn why(&self, recipe: &str) -> Vec<Explanation> {
        self.with(&FINE, |shop| why(shop, &recipe.parse().unwrap()).unwrap())
    }

    /// Returns one line per piece of work: its name, the need and the short reason.
    fn short(&self, recipe: &str) -> Vec<String> {
        let line = |explanation: Explanation| {
            let need = match &explanation.need {
                Need::Nothing => "nothing",
                Need::Runs => "runs",
                Need::Waits { .. } => "waits",
            };
            format!("{}: {need}, {}", explanation.work, explanation.short())
        };
        self.why(recipe).into_iter().map(line).collect()
    }

    fn forecast(&self) -> Forecast {
        self.with(&FINE, |shop| {
            let graph = Graph::new(shop.project, &all_recipes(shop.project)).unwrap();
            let plan = Plan::new(shop, graph).unwrap();
            plan.forecast(shop).unwrap()
        })
    }
}

const USE: &str = "steps: {use: make}";
const OTHER: &str = "steps: {use: make, build: make other}";

#[test]
fn what_was_never_built_is_new_and_then_nothing_changed() {
    let scene = Scene::new();
    assert_eq!(
        scene.short("b"),
        [
            "a for /usr/lib/b: runs, new",
            "b for /usr/lib/b: waits, new"
        ]
    );
    scene.build();
    assert_eq!(
        scene.short("b"),
        [
            "a for /usr/lib/b: nothing, nothing changed",
            "b for /usr/lib/b: nothing, nothing changed"
        ]
    );
    let bundled = scene.short("a");
    assert_eq!(
        bundled,
        ["a for /usr/lib/b: nothing, nothing changed"],
        "a library is explained as it is built for products"
    );
}

#[test]
fn a_changed_script_is_told_and_its_consumer_waits() {
    let scene = Scene::new();
    scene.build();
    scene.change("a", USE, OTHER);
    assert_eq!(
        scene.short("b"),
        [
            "a for /usr/lib/b: runs, scripts changed",
            "b for /usr/lib/b: waits, a is built"
        ]
    );
    let explanations = scene.why("b");
    let Comparison::Changed { changes } = &explanations[0].past else {
        panic!("{explanations:?}");
    };
    assert_eq!(
        (changes[0].kind, changes[0].name.as_str(), changes.len()),
        (ChangeKind::Script, "build", 1)
    );
    assert!(changes[0].now.as_ref().unwrap().contains("make other"));
    let Need::Waits { awaited } = &explanations[1].need else {
        panic!("{explanations:?}");
    };
    assert!(awaited[0].destdir.is_some(), "it can come out as it was");
    // The engine installs the same bytes whatever the script: the wave ends.
    let summary = scene.build();
    let outcomes: Vec<_> = summary.rows.iter().map(|row| row.outcome.clone()).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Built,
            Outcome::Cached,
            Outcome::Cached,
            Outcome::Cached
        ]
    );
    assert_eq!(
        scene.short("b"),
        [
            "a for /usr/lib/b: nothing, nothing changed",
            "b for /usr/lib/b: nothing, nothing changed"
        ]
    );
}

#[test]
fn what_was_taken_back_is_compared_with_what_was_used_last() {
    let scene = Scene::new();
    scene.build();
    scene.change("c", USE, OTHER);
    scene.build();
    scene.change("c", OTHER, USE);
    assert_eq!(
        scene.short("c"),
        ["c for /usr/lib/c: nothing, scripts changed"],
        "the store has the first result, but the second one was used last"
    );
    scene.build();
    assert_eq!(
        scene.short("c"),
        ["c for /usr/lib/c: nothing, nothing changed"]
    );
}

#[test]
fn a_result_that_was_lost_is_named() {
    let scene = Scene::new();
    scene.build();
    let [explanation] = &scene.why("c")[..] else {
        panic!("one node")
    };
    assert_eq!(explanation.need, Need::Nothing);
    let actions = scene.store.root().join("actions");
    let latest = scene.with(&FINE, |shop| Latest::load(shop.store, shop.output).unwrap());
    let key = latest.of(&explanation.work).unwrap().key.0;
    let record = fs_err::read(actions.join(key.to_hex())).unwrap();
    fs_err::remove_file(actions.join(key.to_hex())).unwrap();
    let lost = |missing: &[&'static str]| {
        let explanation = &scene.why("c")[0];
        let expected = Comparison::Same {
            missing: missing.to_vec(),
        };
        assert_eq!(
            (&explanation.need, &explanation.past),
            (&Need::Runs, &expected)
        );
    };
    lost(&["the record of what came of it"]);
    fs_err::write(actions.join(key.to_hex()), record).unwrap();
    let destdir = scene.with(&FINE, |shop| {
        let graph = Graph::new(shop.project, &["c".parse().unwrap()]).unwrap();
        let plan = Plan::new(shop, graph).unwrap();
        plan.destdir(explanation.work.node().unwrap()).unwrap()
    });
    fs_err::remove_file(scene.store.blob_path(&destdir.0)).unwrap();
    lost(&["what it installed"]);
    // Without the old inputs there is nothing to compare with.
    scene.change("c", USE, OTHER);
    fs_err::remove_file(scene.store.blob_path(&key)).unwrap();
    assert_eq!(scene.why("c")[0].past, Comparison::Forgotten);
}

#[test]
fn a_plan_adds_up_past_times_and_says_what_it_does_not_know() {
    let scene = Scene::new();
    let forecast = scene.forecast();
    assert_eq!(forecast.estimate.known, None);
    assert_eq!(forecast.estimate.unknown, 4);
    scene.build();
    let forecast = scene.forecast();
    assert_eq!(
        (forecast.estimate.known, forecast.estimate.unknown),
        (None, 0)
    );
    assert!(forecast.pieces.iter().all(|piece| piece.reason.is_none()));
    // Of each, build, install and check took a second: a then b is longer than c beside them.
    for recipe in ["a", "b", "c"] {
        scene.change(recipe, USE, OTHER);
    }
    let forecast = scene.forecast();
    let known = Duration::from_secs(6);
    assert_eq!(
        (forecast.estimate.known, forecast.estimate.unknown),
        (Some(known), 0)
    );
    let reasons = forecast.pieces.iter().map(|piece| piece.reason.as_deref());
    let changed = Some("scripts changed");
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [changed, changed, changed, None]
    );
}

#[test]
fn a_failed_run_leaves_what_it_finished_to_compare_with() {
    let scene = Scene::new();
    let engine = Pretender {
        failing: vec!["d"],
        ..FINE
    };
    let keep_going = OnFailure::KeepGoing;
    scene.with(&engine, |shop| {
        build_asked(shop, Selection::Default, keep_going).unwrap()
    });
    assert_eq!(
        scene.short("c"),
        ["c for /usr/lib/c: nothing, nothing changed"]
    );
    assert_eq!(scene.short("d"), ["d for /usr/lib/d: runs, new"]);
}
