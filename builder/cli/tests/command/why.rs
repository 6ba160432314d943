//! `kiln why` and `kiln plan` before anything was built, and what they say of bad input.

use kiln_store::Store;

use super::{RECIPE, kiln, project};

/// A project whose lockfile is written, from a source that the store has.
fn locked() -> tempfile::TempDir {
    let digest = kiln_model::Digest::of(b"a source");
    let recipe = RECIPE.replace(
        "cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7",
        &digest.to_hex(),
    );
    let folder = project(&recipe);
    fs_err::create_dir(folder.path().join(".kiln")).unwrap();
    let store = Store::open(&folder.path().join(".kiln/store")).unwrap();
    store.write_blob(b"a source").unwrap();
    let (code, _, stderr) = kiln(folder.path(), &["--offline", "lock"]);
    assert_eq!(code, 0, "{stderr}");
    folder
}

#[test]
fn what_was_never_built_is_said_to_be_new_with_an_unknown_time() {
    let folder = locked();
    let plan = "build    demo  new  time unknown\npackage  demo  new  time unknown\n\n\
                1 to build, 1 to package; how long it takes is not known, nothing of it was done here \
                before.\n";
    let why =
        "demo: never built here\n\ndemo (package): never packaged here\n  it comes after demo\n";
    for (arguments, expected) in [(&["plan"][..], plan), (&["why", "demo"], why)] {
        let (code, stdout, stderr) = kiln(folder.path(), arguments);
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, expected, ""));
    }
}

#[test]
fn programs_get_the_same_as_objects() {
    let folder = locked();
    let events = |arguments: &[&str]| -> Vec<serde_json::Value> {
        let (code, stdout, _) = kiln(folder.path(), &[&["--format", "json"], arguments].concat());
        assert_eq!(code, 0);
        let lines = stdout.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let plan = events(&["plan"]);
    assert_eq!(
        plan[1],
        serde_json::json!({
            "event": "plan",
            "nodes": [{"name": "demo", "recipe": "demo", "prefix": "/usr", "is-cached": false, "reason": "new"}],
            "packages": [{"name": "demo", "is-cached": false, "reason": "new"}],
            "never-done": 2,
        })
    );
    let why = events(&["why", "demo"]);
    let expected = [
        serde_json::json!({
            "event": "why",
            "work": {"kind": "build", "name": "demo"},
            "need": "runs",
            "past": "never-done",
        }),
        serde_json::json!({
            "event": "why",
            "work": {"kind": "package", "name": "demo"},
            "need": "waits",
            "past": "never-done",
            "awaited": [{"name": "demo"}],
        }),
    ];
    assert_eq!(why[1..3], expected);
}

#[test]
fn an_unknown_recipe_and_a_missing_name_are_bad_input() {
    let folder = locked();
    let (code, stdout, stderr) = kiln(folder.path(), &["why", "demi"]);
    let expected = "error: no recipe `demi`\n\nhint: did you mean `demo`?\n";
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (2, "", expected));
    let (code, _, stderr) = kiln(folder.path(), &["why"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("<RECIPE>"), "{stderr}");
}
