//! Recipes that are unreproducible on purpose (`verify/corpus`): each is either made reproducible by the
//! sandbox, or found out and its cause named. `make test-verify` runs it after `make rpms`, whose
//! store has the base image.
//!
//! The second line of each recipe says what is expected: `neutralised`, or causes, any of which is
//! right.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use kiln_model::Digest;
use kiln_store::Store;
use serde_json::Value;
use walkdir::WalkDir;

use crate::bases::Base;
use crate::tools::copy;

/// The least share of causes that must be named rightly, in percent.
const GOAL: usize = 90;

#[expect(
    clippy::disallowed_methods,
    reason = "the program under test is started"
)]
fn kiln(project: &Path, store: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kiln"))
        .args(["--offline", "--project"])
        .arg(project)
        .arg("--store")
        .arg(store)
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// Returns what each recipe says is to be expected.
fn expectations(recipes: &Path) -> BTreeMap<String, Vec<String>> {
    let mut expected = BTreeMap::new();
    for entry in WalkDir::new(recipes)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name()
    {
        let entry = entry.unwrap();
        let text = fs_err::read_to_string(entry.path().join("recipe.yaml")).unwrap();
        let line = text.lines().nth(1).unwrap();
        let causes = line.strip_prefix("# expected: ").unwrap().split(" | ");
        let name = entry.file_name().to_string_lossy().into_owned();
        expected.insert(name, causes.map(str::to_owned).collect());
    }
    expected
}

/// What the verification says of a recipe: its verdict, and the words of its causes.
fn found(report: &Value, recipe: &str) -> (String, Vec<String>) {
    let subjects = report["subjects"].as_array().unwrap();
    let own = subjects
        .iter()
        .filter(|subject| subject["subject"]["recipe"] == recipe);
    let mut verdict = "reproducible".to_owned();
    let mut causes = Vec::new();
    for subject in own {
        let own = subject["verdict"].as_str().unwrap();
        if own != "reproducible" {
            own.clone_into(&mut verdict);
        }
        let named = subject["causes"].as_array().unwrap().iter();
        causes.extend(named.map(|cause| cause["cause"].as_str().unwrap().to_owned()));
    }
    causes.sort();
    causes.dedup();
    (verdict, causes)
}

/// The words of reports for the names that recipes state.
fn word(name: &str) -> &str {
    match name {
        "timestamps" => "timestamp",
        "archive metadata" => "archive-metadata",
        "directory order" => "directory-order",
        "parallel race" => "parallel-race",
        "random or uuid" => "random",
        "ASLR or uninitialised memory" => "memory",
        "CPU detection" => "cpu",
        "kernel version" => "kernel-version",
        other => other,
    }
}

#[test]
fn thorough_causes_of_the_corpus_are_named_and_the_clean_accused_of_nothing() {
    let Some(base) = Base::find() else { return };
    let (root, store_folder) = (&base.repository, base.store());
    let folder = tempfile::tempdir().unwrap();
    let project = fs_err::canonicalize(folder.path()).unwrap();
    let corpus = root.join("verify/corpus");
    copy(&corpus.join("recipes"), &project.join("recipes"));
    copy(&root.join("base-images"), &project.join("base-images"));
    fs_err::create_dir(project.join("lockfiles")).unwrap();
    let lock = "lockfiles/debian-12-x86_64.lock";
    fs_err::copy(root.join(lock), project.join(lock)).unwrap();
    let source = fs_err::read(corpus.join("seed-1.0.tar.gz")).unwrap();
    let store = Store::open(&store_folder).unwrap();
    assert_eq!(store.write_blob(&source).unwrap(), Digest::of(&source));
    drop(store);

    let (code, text) = kiln(&project, &store_folder, &["--quiet", "lock"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = kiln(&project, &store_folder, &["--quiet", "build"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = kiln(&project, &store_folder, &["verify"]);
    eprintln!("{text}");
    assert_eq!(code, Some(1), "something differs, and everything was built");

    let report = fs_err::read(project.join("out/verify/verify.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    let expected = expectations(&project.join("recipes"));
    assert!(expected.len() >= 20, "{} recipes", expected.len());
    let (mut guilty, mut right, mut wrong) = (0, 0, Vec::new());
    for (recipe, causes) in &expected {
        let (verdict, named) = found(&report, recipe);
        if causes == &["neutralised"] {
            // A false alarm is worse than a wrong name: none is forgiven.
            assert_eq!(verdict, "reproducible", "{recipe}: {named:?}");
            continue;
        }
        guilty += 1;
        let is_right = verdict == "reproducible"
            || named
                .first()
                .is_some_and(|first| causes.iter().any(|cause| word(cause) == first));
        if is_right {
            right += 1;
        } else {
            wrong.push(format!(
                "{recipe}: expected {causes:?}, named {named:?}, {verdict}"
            ));
        }
    }
    eprintln!("{right} of {guilty} causes are right; wrong: {wrong:#?}");
    assert!(right * 100 >= guilty * GOAL, "{wrong:#?}");
}
