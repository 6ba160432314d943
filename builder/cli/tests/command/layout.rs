//! `kiln fmt`: what it writes, what it leaves alone, and what it says.

use std::os::unix::fs::PermissionsExt as _;

use super::{RECIPE, kiln, project};

/// The demo recipe in another layout, with a comment that must stay.
fn odd() -> String {
    RECIPE
        .replace("release: 1", "release:   1   # from one")
        .replace("{supplier: Demo people}", "{ supplier: Demo people }")
}

fn laid_out() -> String {
    RECIPE.replace("release: 1", "release: 1 # from one")
}

#[test]
fn a_file_is_laid_out_once_and_then_left_alone() {
    let folder = project(&odd());
    let path = folder.path().join("recipes/demo/recipe.yaml");
    fs_err::set_permissions(&path, std::fs::Permissions::from_mode(0o664)).unwrap();
    let (code, stdout, stderr) = kiln(folder.path(), &["fmt", "--check"]);
    assert_eq!((code, stdout.as_str()), (1, ""));
    assert_eq!(
        stderr,
        "error: `recipes/demo/recipe.yaml` is not laid out\n  @@ -3,3 +3,3 @@\n   version: \"1.0\"\n  \
         -release:   1   # from one\n  +release: 1 # from one\n   summary: A demo\n  @@ -7,3 +7,3 @@\n   \
         homepage: https://example.org/\n  -identity: { supplier: Demo people }\n  \
         +identity: {supplier: Demo people}\n   base: box\n\nhint: `kiln fmt` does it\n"
    );
    assert_eq!(
        fs_err::read_to_string(&path).unwrap(),
        odd(),
        "--check writes nothing"
    );
    let (code, stdout, stderr) = kiln(folder.path(), &["fmt"]);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(stdout, "formatted recipes/demo/recipe.yaml\n");
    assert_eq!(fs_err::read_to_string(&path).unwrap(), laid_out());
    let metadata = fs_err::metadata(&path).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o664);
    for arguments in [&["fmt"][..], &["fmt", "--check"], &["fmt", "demo", "box"]] {
        let (code, stdout, _) = kiln(folder.path(), arguments);
        assert_eq!((code, stdout.as_str()), (0, "All 2 files are laid out.\n"));
    }
    let modified = fs_err::metadata(&path).unwrap().modified().unwrap();
    assert_eq!(
        modified,
        metadata.modified().unwrap(),
        "it was not written again"
    );
    let folder_path = path.parent().unwrap();
    assert_eq!(
        walkdir::WalkDir::new(folder_path).into_iter().count(),
        2,
        "nothing else is there"
    );
}

#[test]
fn files_and_names_are_taken() {
    let folder = project(&odd());
    let path = "recipes/demo/recipe.yaml";
    let (code, stdout, _) = kiln(folder.path(), &["fmt", path]);
    assert_eq!(
        (code, stdout.as_str()),
        (0, "formatted recipes/demo/recipe.yaml\n")
    );
    let (code, _, stderr) = kiln(folder.path(), &["fmt", "dmo"]);
    assert_eq!(code, 2);
    assert_eq!(
        stderr,
        "error: no file, recipe or base image `dmo`\n\nhint: did you mean `demo`?\n"
    );
    fs_err::write(folder.path().join("notes.txt"), "x").unwrap();
    let (code, _, stderr) = kiln(folder.path(), &["fmt", "notes.txt"]);
    assert_eq!(code, 2);
    assert_eq!(
        stderr,
        "error: `notes.txt` can not be laid out: it is neither a recipe.yaml nor in `base-images`\n"
    );
}

#[test]
fn what_is_wrong_is_told_and_left_alone_and_the_rest_is_done() {
    let folder = project(&odd().replace("license: Zlib", "license: Zlibb"));
    let recipe = folder.path().join("recipes/demo/recipe.yaml");
    let base = folder.path().join("base-images/box.yaml");
    let text = fs_err::read_to_string(&base).unwrap();
    fs_err::write(&base, text.replace("name: box", "name:   box")).unwrap();
    let before = fs_err::read_to_string(&recipe).unwrap();
    let (code, stdout, stderr) = kiln(folder.path(), &["fmt"]);
    assert_eq!(
        (code, stdout.as_str()),
        (2, "formatted base-images/box.yaml\n")
    );
    assert!(
        stderr.contains("  --> recipes/demo/recipe.yaml:6:10\n"),
        "{stderr}"
    );
    assert_eq!(fs_err::read_to_string(&recipe).unwrap(), before);
    assert_eq!(fs_err::read_to_string(&base).unwrap(), text);
    // A link is no file of ours to write to.
    let elsewhere = folder.path().join("elsewhere");
    fs_err::rename(&recipe, &elsewhere).unwrap();
    fs_err::os::unix::fs::symlink(&elsewhere, &recipe).unwrap();
    let (code, _, stderr) = kiln(folder.path(), &["fmt", "demo"]);
    assert_eq!(code, 2);
    assert!(
        stderr.starts_with("error: `recipes/demo/recipe.yaml` is no regular file\n"),
        "{stderr}"
    );
    assert_eq!(fs_err::read_to_string(&elsewhere).unwrap(), before);
}

#[test]
fn the_repositorys_own_files_are_laid_out() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let root = root.to_string_lossy();
    let folder = tempfile::tempdir().unwrap();
    let (code, _, stderr) = kiln(folder.path(), &["--project", &root, "fmt", "--check"]);
    assert_eq!((code, stderr.as_str()), (0, ""), "run `kiln fmt`");
}
