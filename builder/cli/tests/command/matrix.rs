//! `kiln matrix`: the same tables in three forms, of what is pinned and of what is not; and the choices
//! that no table can show, because no host could have both.

use tempfile::TempDir;

use super::{RECIPE, kiln, project};

/// A recipe of the demo's form without packages, with `more` at its end.
fn library(name: &str, more: &str) -> String {
    let text = RECIPE.replace("demo", name);
    let (text, _) = text.split_once("packages:").unwrap();
    format!("{text}{more}")
}

fn write(folder: &TempDir, name: &str, text: &str) {
    let path = folder.path().join(format!("recipes/{name}/recipe.yaml"));
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

/// A product that bundles TLS by itself and HTTP, which has a library of the system's.
fn shop() -> TempDir {
    let libraries = "libraries:\n  \
        http: {choice: bundle, link: shared, reason: ours is patched}\n  \
        tls: {choice: bundle, recipe: tls-3, link: static}\n";
    let recipe = RECIPE.replace("[/usr/bin/demo]", "[/usr/bin/demo, /usr/lib/demo/**]");
    let folder = project(&format!("{recipe}{libraries}"));
    let zlib = "libraries:\n  zlib: {choice: system, package: {debian: zlib1g-dev, rhel: zlib-devel}}\n  \
        tls: {choice: bundle, recipe: tls-3}\n";
    write(&folder, "http", &library("http", zlib));
    let tls = library("tls-3", "").replace("people}", "people, library: tls}");
    let (before, _) = tls.split_once("sources:").unwrap();
    let tagged =
        "sources:\n  - {git: \"https://example.org/tls.git\", tag: v3}\nsteps: {use: make}\n";
    write(&folder, "tls-3", &format!("{before}{tagged}"));
    folder
}

fn check(folder: &TempDir, arguments: &[&str], expected: &str) {
    let (code, stdout, stderr) = kiln(folder.path(), arguments);
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(stdout, expected, "{arguments:?}");
    let again = kiln(folder.path(), arguments).1;
    assert_eq!(stdout, again);
}

#[test]
fn people_read_lists() {
    let expected = "\
demo 1.0, in box
  packages  demo
  source    https://127.0.0.1:9/demo-1.0.tar.gz
  state     unpinned: bundles the unpinned tls-3

http
  bundle 1.0  demo

tls
  bundle 1.0 of tls-3          demo (through http)
  bundle 1.0 of tls-3, static  demo

zlib
  system zlib1g-dev / zlib-devel  demo (through http)
";
    check(&shop(), &["matrix"], expected);
}

#[test]
fn pages_have_tables() {
    let expected = "\
## Recipes

| recipe | version | base | packages | sources | state |
|---|---|---|---|---|---|
| demo | 1.0 | box | demo | https://127.0.0.1:9/demo-1.0.tar.gz | unpinned: bundles the unpinned tls-3 |
| tls-3 | 1.0 | box |  | https://example.org/tls.git at v3 | unpinned: lacks the commit of tag v3 in https://example.org/tls.git |

## What they bundle

| recipe | library | version | sources | state |
|---|---|---|---|---|
| http | http | 1.0 | https://127.0.0.1:9/http-1.0.tar.gz | unpinned: bundles the unpinned tls-3 |
| tls-3 | tls | 1.0 | https://example.org/tls.git at v3 | unpinned: lacks the commit of tag v3 in https://example.org/tls.git |

## Libraries

| library | demo | tls-3 |
|---|---|---|
| http | bundle 1.0 | - |
| tls | bundle 1.0 of tls-3, static; bundle 1.0 of tls-3 (through http) | - |
| zlib | system zlib1g-dev / zlib-devel (through http) | - |
";
    check(
        &shop(),
        &["matrix", "--as", "markdown", "tls-3", "demo"],
        expected,
    );
}

#[test]
fn programs_read_one_document() {
    let (code, stdout, _) = kiln(shop().path(), &["matrix", "--as", "json"]);
    assert_eq!(code, 0);
    let document: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let expected = serde_json::json!({
        "choice": "bundle",
        "recipe": "http",
        "version": "1.0",
        "link": "shared",
        "through": [],
        "reason": "ours is patched",
        "decided-by": null,
        "decided-on": null,
        "review-by": null,
    });
    assert_eq!(document["libraries"]["http"]["demo"][0], expected);
    let zlib = &document["libraries"]["zlib"]["demo"][0];
    assert_eq!(zlib["package"]["rhel"], "zlib-devel");
    assert_eq!(zlib["through"][0], "http");
    assert_eq!(document["recipes"][0]["pinned"], false);
    assert_eq!(
        document["bundled"][1]["missing"][0],
        "the commit of tag v3 in https://example.org/tls.git"
    );
}

#[test]
fn a_recipe_that_is_not_there_is_named() {
    let (code, _, stderr) = kiln(shop().path(), &["matrix", "htpt"]);
    assert_eq!(
        (code, stderr.as_str()),
        (2, "error: no recipe `htpt`\n\nhint: did you mean `http`?\n")
    );
}

#[test]
fn one_product_has_one_version_of_a_library() {
    let folder = shop();
    let old = library("tls-1", "")
        .replace("people}", "people, library: tls}")
        .replacen("\"1.0\"", "\"0.9\"", 1);
    write(&folder, "tls-1", &old);
    let zlib = "libraries:\n  tls: {choice: bundle, recipe: tls-1}\n";
    write(&folder, "http", &library("http", zlib));
    let expected = "\
error: recipe `demo` bundles `tls` twice: 0.9 of recipe `tls-1` (demo -> http -> tls-1), and 1.0 of recipe `tls-3` \
(demo -> tls-3)
  --> recipes/http/recipe.yaml:16:3
   |
16 |   tls: {choice: bundle, recipe: tls-1}
   |   ^
  --> recipes/demo/recipe.yaml:20:3
   |
20 |   tls: {choice: bundle, recipe: tls-3, link: static}
   |   ^

hint: both would lie below one prefix and be loaded into one process: let one recipe build `tls` for all of them, as \
`recipe` says, or take it from the system in one place
";
    for (arguments, status) in [(["check"], 1), (["graph"], 2)] {
        let (code, _, stderr) = kiln(folder.path(), &arguments);
        let found = stderr.split("\n\nerror: no lockfile").next().unwrap();
        assert_eq!((code, found.trim_end()), (status, expected.trim_end()));
    }
}

#[test]
fn one_file_has_one_product() {
    let folder = project(RECIPE);
    let other = RECIPE
        .replace("demo", "other")
        .replace("/usr/bin/other", "/usr/bin/demo");
    write(&folder, "other", &other);
    let expected = "\
error: `/usr/bin/demo` belongs to two products: to package `demo` of recipe `demo`, and to package `other` of recipe \
`other`
  --> recipes/demo/recipe.yaml:17:13
   |
17 |     files: [/usr/bin/demo]
   |             ^
  --> recipes/other/recipe.yaml:17:13
   |
17 |     files: [/usr/bin/demo]
   |             ^

hint: let one package own it and the other require that package; where only one of the two may be installed, let them \
conflict; an empty folder stands under `directories`
";
    let (code, _, stderr) = kiln(folder.path(), &["check"]);
    let found = stderr.split("\n\nerror: no lockfile").next().unwrap();
    assert_eq!((code, found.trim_end()), (1, expected.trim_end()));
    let conflicting = other.replace("files:", "conflicts: [demo]\n    files:");
    write(&folder, "other", &conflicting);
    let (_, _, stderr) = kiln(folder.path(), &["check"]);
    assert!(!stderr.contains("two products"), "{stderr}");
}
