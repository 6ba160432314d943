//! Keeps the house in order: file headers, sizes, arrows between crates, one clippy.toml, locks.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kiln_model::Recipe;
use walkdir::WalkDir;

/// Longest file, in lines without tests.
const LONGEST_FILE: usize = 600;

/// Who may use whom: STYLE.md section 1, and `testkit` in tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("kiln-model", &[]),
    ("kiln-store", &["kiln-model"]),
    ("kiln-image", &["kiln-model", "kiln-store"]),
    ("kiln-sandbox", &["kiln-model"]),
    ("kiln-rpm", &["kiln-model"]),
    ("kiln-attest", &["kiln-model"]),
    (
        "kiln-build",
        &[
            "kiln-attest",
            "kiln-image",
            "kiln-model",
            "kiln-rpm",
            "kiln-sandbox",
            "kiln-store",
        ],
    ),
    (
        "kiln-cli",
        &[
            "kiln-attest",
            "kiln-build",
            "kiln-compare",
            "kiln-image",
            "kiln-model",
            "kiln-rpm",
            "kiln-sandbox",
            "kiln-store",
        ],
    ),
    ("kiln-compare", &["kiln-attest", "kiln-model", "kiln-rpm"]),
    ("kiln-testkit", &["kiln-model"]),
    (
        "kiln-bench",
        &[
            "kiln-build",
            "kiln-compare",
            "kiln-model",
            "kiln-rpm",
            "kiln-sandbox",
            "kiln-store",
        ],
    ),
];

fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    fs_err::canonicalize(root).unwrap()
}

/// Files below the workspace's own folders, sorted, with their path from the root.
fn files(ending: &str) -> Vec<(String, String)> {
    let root = root();
    let mut found = Vec::new();
    for folder in ["builder", "recipes", "base-images", "verify"] {
        for entry in WalkDir::new(root.join(folder))
            .sort_by_file_name()
            .into_iter()
            .flatten()
        {
            let path = entry.path();
            if entry.file_type().is_file() && path.to_string_lossy().ends_with(ending) {
                let name = path
                    .strip_prefix(&root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.push((name, fs_err::read_to_string(path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "no {ending} files: is the root right?");
    found
}

/// Lines before inline tests.
fn lines_without_tests(text: &str) -> usize {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .count()
}

#[test]
fn every_file_says_what_it_is_for() {
    let is_headless =
        |(name, text): &&(String, String)| !text.starts_with("//! ") && !name.ends_with("tests.rs");
    let headless: Vec<_> = files(".rs")
        .iter()
        .filter(is_headless)
        .map(|f| f.0.clone())
        .collect();
    assert!(
        headless.is_empty(),
        "files without a `//!` header: {headless:#?}"
    );
}

#[test]
fn no_file_is_too_long() {
    let is_long = |(name, text): &&(String, String)| {
        !name.contains("tests") && lines_without_tests(text) > LONGEST_FILE
    };
    let long: Vec<_> = files(".rs")
        .iter()
        .filter(is_long)
        .map(|f| f.0.clone())
        .collect();
    assert!(
        long.is_empty(),
        "files over {LONGEST_FILE} lines: {long:#?}"
    );
}

#[test]
fn arrows_between_crates_are_the_drawn_ones() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ARROWS
        .iter()
        .map(|(name, uses)| (*name, uses.iter().copied().collect()))
        .collect();
    for (file, text) in files("Cargo.toml") {
        let manifest: toml::Table = text.parse().unwrap();
        let name = manifest["package"]["name"].as_str().unwrap().to_owned();
        let allowed = allowed
            .get(name.as_str())
            .unwrap_or_else(|| panic!("{file}: `{name}` has no place in the drawing"));
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
        for used in dependencies.into_iter().flat_map(|table| table.keys()) {
            if used.starts_with("kiln-") {
                assert!(
                    allowed.contains(used.as_str()),
                    "{file}: a new arrow {used} -> {name}"
                );
            }
        }
    }
}

#[test]
fn there_is_one_clippy_configuration() {
    let is_configuration = |path: &PathBuf| path.ends_with("clippy.toml");
    let walk = WalkDir::new(root().join("builder"))
        .sort_by_file_name()
        .into_iter()
        .flatten();
    let extra: Vec<_> = walk
        .map(walkdir::DirEntry::into_path)
        .filter(is_configuration)
        .collect();
    assert!(
        extra.is_empty(),
        "a clippy.toml in a crate replaces the root's: {extra:?}"
    );
    assert!(root().join("clippy.toml").is_file());
}

#[test]
fn every_recipe_and_assembled_base_is_locked() {
    let lockfiles = root().join("lockfiles");
    let own = files("recipe.yaml").into_iter();
    for (file, recipe) in own.filter(|(file, _)| file.starts_with("recipes/")) {
        let name = file.rsplit('/').nth(1).unwrap();
        let lock = lockfiles.join(format!("{name}-x86_64.lock"));
        let recipe = Recipe::parse(recipe.as_bytes(), name);
        // What is unpinned has no lock until its sources can be reached.
        if recipe.is_ok_and(|recipe| recipe.needs_lock_for_sources()) && !lock.exists() {
            continue;
        }
        let text = fs_err::read_to_string(&lock).unwrap();
        assert!(text.starts_with("# @generated"), "{}", lock.display());
    }
}

#[test]
fn shell_stays_short() {
    const LONGEST_SCRIPT: usize = 50;
    for entry in WalkDir::new(root().join("scripts"))
        .sort_by_file_name()
        .into_iter()
        .flatten()
    {
        if entry.file_type().is_file() {
            let text = fs_err::read_to_string(entry.path()).unwrap();
            let lines = text.lines().count();
            assert!(
                lines <= LONGEST_SCRIPT,
                "{}: {lines} lines",
                entry.path().display()
            );
        }
    }
}
