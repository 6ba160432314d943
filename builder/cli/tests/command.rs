//! The command as people meet it: exit codes and the exact text of errors, in a cleared environment.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

#[path = "command/drafts.rs"]
mod drafts;
#[path = "command/layout.rs"]
mod layout;
#[path = "command/mistakes.rs"]
mod mistakes;
#[path = "command/services.rs"]
mod services;
#[path = "command/why.rs"]
mod why;

use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

const RECIPE: &str = r#"schema: 1
name: demo
version: "1.0"
release: 1
summary: A demo
license: Zlib
homepage: https://example.org/
identity: {supplier: Demo people}
base: box
sources:
  - url: https://127.0.0.1:9/demo-1.0.tar.gz
    sha256: "cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7"
    released: 2023-02-20
steps: {use: make}
packages:
  - name: demo
    files: [/usr/bin/demo]
"#;

/// A project with one recipe and one base image that is an OCI layout.
fn project(recipe: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    };
    write("recipes/demo/recipe.yaml", recipe);
    let digest = kiln_model::Digest::of(b"an image");
    write(
        "base-images/box.yaml",
        &format!("schema: 1\nname: box\nlayout: box@{digest}\n"),
    );
    folder
}

fn kiln(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("kiln").unwrap();
    let output = command
        .env_clear()
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| {
        let real = fs_err::canonicalize(folder).unwrap();
        String::from_utf8_lossy(bytes).replace(&*real.to_string_lossy(), "PROJECT")
    };
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Runs kiln on the demo recipe with one replacement; expects an exit code and standard error.
fn check(change: (&str, &str), arguments: &[&str], code: i32, stderr: &str) {
    assert!(RECIPE.contains(change.0));
    let folder = project(&RECIPE.replacen(change.0, change.1, 1));
    let (actual, _, text) = kiln(folder.path(), arguments);
    assert_eq!(
        (actual, text.as_str()),
        (code, stderr),
        "{change:?} {arguments:?}"
    );
    assert!(
        !folder.path().join("out").exists(),
        "a failed run leaves nothing in out/"
    );
}

const NOTHING: (&str, &str) = ("demo", "demo");

#[test]
fn a_mistake_in_a_recipe_is_shown_where_it_is() {
    check(
        ("homepage:", "hompage:"),
        &["check"],
        1,
        "error: unknown key `hompage`\n  --> recipes/demo/recipe.yaml:7:1\n  |\n\
         7 | hompage: https://example.org/\n  | ^\n\nhint: did you mean `homepage`?\n",
    );
    check(
        ("\"1.0\"", "1.10"),
        &["build"],
        2,
        "error: expected a quoted version, got 1.10 without quotes\n  \
         --> recipes/demo/recipe.yaml:3:10\n  |\n3 | version: 1.10\n  |          ^\n\n\
         hint: write \"1.10\": YAML reads an unquoted 1.10 as the number 1.1\n",
    );
    check(
        ("base: box", "base: bix"),
        &["check"],
        1,
        "error: recipe `demo` is built in base image `bix`, which does not exist\n  \
         --> recipes/demo/recipe.yaml:9:7\n  |\n9 | base: bix\n  |       ^\n\n\
         hint: did you mean `box`?\n",
    );
}

#[test]
fn a_build_without_lock_recipe_or_project_says_what_to_do() {
    check(
        NOTHING,
        &["build"],
        2,
        "error: no lockfile `PROJECT/lockfiles/demo-x86_64.lock`\n\n\
         hint: run `kiln lock` on a machine with network, and commit the file\n",
    );
    check(
        NOTHING,
        &["build", "demi"],
        2,
        "error: no recipe `demi`\n\nhint: did you mean `demo`?\n",
    );
    let empty = tempfile::tempdir().unwrap();
    let (code, _, stderr) = kiln(empty.path(), &["build"]);
    assert_eq!(code, 2);
    assert_eq!(
        stderr,
        "error: no `recipes` folder in `PROJECT`\n\n\
         hint: run kiln in a project's folder, or name it with --project\n"
    );
}

#[test]
fn locking_offline_names_what_is_missing_and_where_it_could_be_had() {
    let folder = project(RECIPE);
    let (code, _, stderr) = kiln(folder.path(), &["--offline", "lock"]);
    assert_eq!(code, 2);
    for part in [
        "demo-1.0.tar.gz",
        "sha256:cdb38b72",
        "https://127.0.0.1:9/demo-1.0.tar.gz",
    ] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
    assert!(!folder.path().join("lockfiles").exists());
}

#[test]
fn a_source_that_nobody_serves_is_named_with_every_place_tried() {
    let folder = project(RECIPE);
    let (code, _, stderr) = kiln(folder.path(), &["lock"]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("https://127.0.0.1:9/demo-1.0.tar.gz"),
        "{stderr}"
    );
    assert!(!folder.path().join("lockfiles").exists());
}

#[test]
fn a_store_that_can_not_be_used_is_named() {
    let folder = project(RECIPE);
    let place = folder.path().join("file");
    fs_err::write(&place, "").unwrap();
    let (code, _, stderr) = kiln(folder.path(), &["--store", "file", "build"]);
    assert_eq!(code, 2);
    assert!(
        stderr.starts_with("error: ") && stderr.contains("file"),
        "{stderr}"
    );
}

#[test]
fn a_store_too_far_from_the_root_is_refused_in_words() {
    let folder = project(RECIPE);
    for length in [1000, 5000] {
        let long = format!("/{}", "x/".repeat(length / 2));
        let (code, _, stderr) = kiln(folder.path(), &["--store", &long, "build"]);
        assert_eq!(code, 2);
        let expected = format!(
            "error: the store's path has {} bytes, and 900 are the most: name a folder nearer to \
             the root (`{}…`)\n",
            long.len(),
            &long[..80]
        );
        assert_eq!(stderr, expected);
    }
}

/// Runs kiln with its standard output on a device that is always full.
fn on_full_device(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kiln"))
        .env_clear()
        .env("HOME", folder)
        .current_dir(folder)
        .args(arguments)
        .stdout(fs_err::File::create("/dev/full").unwrap().into_parts().0)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    (output.status.code(), stderr)
}

#[test]
fn results_that_standard_output_does_not_take_are_no_success() {
    let folder = project(RECIPE);
    let said = "error: can not write to standard output: No space left on device (os error 28)\n";
    for arguments in [
        &["graph"][..],
        &["--format=json", "graph"],
        &["completions", "bash"],
        &["doctor"],
        &["man"],
    ] {
        let (code, stderr) = on_full_device(folder.path(), arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.ends_with(said), "{arguments:?}: {stderr}");
    }
    let (code, stderr) = on_full_device(folder.path(), &["--format=json", "plan"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.ends_with(said), "after the error itself: {stderr}");
}

#[test]
fn a_recipe_that_is_no_regular_file_is_named_not_skipped() {
    let folder = project(RECIPE);
    let recipe = folder.path().join("recipes/demo/recipe.yaml");
    fs_err::remove_file(&recipe).unwrap();
    fs_err::os::unix::fs::symlink("/dev/zero", &recipe).unwrap();
    let (code, _, stderr) = kiln(folder.path(), &["check"]);
    assert_eq!(code, 1);
    assert_eq!(
        stderr,
        "error: `recipes/demo/recipe.yaml` is no regular file\n\nhint: put the file itself there\n"
    );
}

#[test]
fn programs_are_told_what_is_wrong_and_people_on_the_other_stream() {
    let folder = project(RECIPE);
    let text = "no lockfile `PROJECT/lockfiles/demo-x86_64.lock`";
    let hint = "hint: run `kiln lock` on a machine with network, and commit the file";
    let error = format!(
        "{{\"event\":\"error\",\"message\":\"{text}\",\"text\":\"error: {text}\\n\\n{hint}\"}}\n"
    );
    let started = format!(
        "{{\"event\":\"started\",\"format\":1,\"kiln\":\"{}\"}}\n",
        env!("CARGO_PKG_VERSION")
    );
    for (verb, start, exit) in [
        ("check", "", 1),
        ("build", &*started, 2),
        ("plan", &started, 2),
    ] {
        let (code, stdout, stderr) = kiln(folder.path(), &["--format", "json", verb]);
        let finished = format!("{{\"event\":\"finished\",\"exit\":{exit}}}\n");
        assert_eq!(code, exit);
        assert_eq!(stdout, format!("{start}{error}{finished}"));
        assert_eq!(stderr, format!("error: {text}\n\n{hint}\n"));
    }
}

#[test]
fn foreign_text_reaches_no_terminal_as_it_is() {
    let folder = project(RECIPE);
    let (code, _, stderr) = kiln(
        folder.path(),
        &["--project", "no\u{1b}[2J\u{202e}where", "plan"],
    );
    assert_eq!(code, 2);
    assert!(stderr.contains("no\u{fffd}[2J\u{fffd}where"), "{stderr:?}");
    assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
}

#[test]
fn default_recipes_that_are_not_there_are_shown_in_their_line() {
    let folder = project(RECIPE);
    let config = "[build]\ndefault = [\"demo\", \"demi\"]\n";
    fs_err::write(folder.path().join("kiln.toml"), config).unwrap();
    let (code, _, stderr) = kiln(folder.path(), &["plan"]);
    assert_eq!(code, 2);
    let expected = "error: there is no recipe `demi`\n  --> kiln.toml:2:20\n  |\n\
         2 | default = [\"demo\", \"demi\"]\n  |                    ^\n\n\
         hint: did you mean `demo`?\n";
    assert_eq!(stderr, expected);
    let (code, _, stderr) = kiln(folder.path(), &["plan", "--all", "demo"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("cannot be used with"), "{stderr}");
}

#[test]
fn quiet_and_verbose_exclude_each_other() {
    let folder = project(RECIPE);
    let (code, _, stderr) = kiln(folder.path(), &["--quiet", "--verbose", "check"]);
    assert_eq!(code, 2);
    assert!(stderr.contains("cannot be used with"), "{stderr}");
}

#[test]
fn help_names_every_verb() {
    let folder = tempfile::tempdir().unwrap();
    let (code, stdout, _) = kiln(folder.path(), &["--help"]);
    assert_eq!(code, 0);
    for verb in [
        "check",
        "lock",
        "fetch",
        "plan",
        "why",
        "build",
        "shell",
        "new",
        "fmt",
        "doctor",
        "graph",
        "schema",
        "completions",
        "man",
    ] {
        assert!(
            stdout.contains(&format!("  {verb} ")),
            "{verb} is not in {stdout}"
        );
    }
}

#[test]
fn committed_schemas_and_pages_are_those_of_the_types() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = tempfile::tempdir().unwrap();
    for file in ["recipe", "base-image", "config"] {
        for (format, place) in [
            ("json", format!("docs/schema/{file}.json")),
            ("markdown", format!("docs/reference/{file}.md")),
        ] {
            let arguments = ["schema", file, "--as", format];
            let (code, stdout, _) = kiln(folder.path(), &arguments);
            assert_eq!(code, 0);
            let committed = fs_err::read_to_string(root.join(&place)).unwrap();
            assert_eq!(stdout, committed, "{place} is stale: make schema");
        }
    }
}
