//! Mistakes in recipes, base images and kiln.toml, as `kiln check` shows them: the exact text, with the
//! place, the line, and what to do.

use std::path::Path;

use tempfile::TempDir;

use super::{RECIPE, kiln, project};

/// The demo recipe as another one: `changes` are pairs of pieces and what replaces them.
fn recipe(name: &str, changes: &[(&str, &str)]) -> String {
    let mut text = RECIPE.replace("demo", name);
    for (from, to) in changes {
        assert!(text.contains(from), "{from:?}");
        text = text.replacen(from, to, 1);
    }
    text
}

fn write(folder: &TempDir, path: &str, text: &str) {
    let path = folder.path().join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

/// Checks the project; expects findings, of which each begins a paragraph of its own.
fn check(folder: &Path, expected: &[&str]) {
    let (code, _, stderr) = kiln(folder, &["check"]);
    // No project here has lockfiles: that is said last, and is not what these tests are about.
    let found = stderr.split("error: no lockfile").next().unwrap();
    assert_eq!(
        (code, found.trim_end()),
        (1, expected.join("\n\n").as_str())
    );
}

/// Changes the demo recipe and expects one finding.
fn one(from: &str, to: &str, expected: &str) {
    let folder = project(&recipe("demo", &[(from, to)]));
    check(folder.path(), &[expected]);
}

#[test]
fn mistakes_of_form_are_shown_where_they_are() {
    one(
        "release: 1",
        "release: 1\nname: demo",
        "error: key `name` stands twice\n  --> recipes/demo/recipe.yaml:5:1\n  |\n5 | name: demo\n  \
         | ^\n\nhint: the first one is at 2:1; keep one of the two",
    );
    one(
        "A demo",
        "&a A demo",
        "error: an anchor is not allowed here\n  --> recipes/demo/recipe.yaml:5:10\n  |\n\
         5 | summary: &a A demo\n  |          ^\n\n\
         hint: write the value out; a text that starts with `*` or `&` needs quotes",
    );
    one(
        "A demo",
        "!!binary aGVsbG8=",
        "error: a tag is not allowed here\n  --> recipes/demo/recipe.yaml:5:10\n  |\n\
         5 | summary: !!binary aGVsbG8=\n  |          ^\n\n\
         hint: a text that starts with `!` needs quotes",
    );
    one(
        "A demo",
        &"[".repeat(1000),
        "error: expected at most 32 levels of nesting\n  --> recipes/demo/recipe.yaml:5:43\n  |\n\
         5 | summary: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[…\n  \
         |                                           ^\n\nhint: is this the right file?",
    );
    one(
        "A demo\nlicense",
        &format!("{}\nlicense", "a".repeat(2 << 20)),
        "error: expected at most 1048576 bytes, got 2097527\n  --> recipes/demo/recipe.yaml:1:1\n  |\n\
         1 | schema: 1\n  | ^\n\nhint: is this the right file?",
    );
    one(
        "A demo",
        "A\u{202e}demo\u{7}",
        "error: character '\\u{7}' is not allowed\n  --> recipes/demo/recipe.yaml:5:16\n  |\n\
         5 | summary: A\u{fffd}demo\u{fffd}\n  |                ^\n\nhint: remove the character",
    );
}

#[test]
fn mistakes_in_values_are_shown_where_they_are() {
    let sha256 = "\"cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7\"";
    let digest = |text: &str, error: &str, hint: &str| {
        let expected = format!(
            "error: {error}\n  --> recipes/demo/recipe.yaml:12:13\n   |\n\
             12 |     sha256: {text}\n   |             ^\n\nhint: {hint}"
        );
        one(sha256, text, &expected);
    };
    let prints = "`sha256sum FILE` prints the 64 digits";
    digest("cdb38b72", "expected 64 hexadecimal digits, got 8", prints);
    digest(
        &sha256.to_uppercase(),
        "expected lower-case hexadecimal digits, got `C`",
        "write the digits in lower case, as `sha256sum FILE` prints them",
    );
    for number in ["1".repeat(64), format!("12e34{}", "5".repeat(59))] {
        digest(
            &number,
            &format!("expected a quoted digest, got {number} without quotes"),
            "put it in quotes: YAML reads digits, and digits around one `e`, as a number",
        );
    }
    one(
        "license: Zlib",
        "license: MIT AND Zlibb",
        "error: `MIT AND Zlibb` is not an SPDX licence expression: unknown term\n  \
         --> recipes/demo/recipe.yaml:6:10\n  |\n6 | license: MIT AND Zlibb\n  |          ^\n\n\
         hint: did you mean `Zlib`?",
    );
    one(
        "{supplier: Demo people}",
        "{supplier: \"人々と\tJürgen\", cpe: [x]}",
        "error: expected a CPE without version: `cpe:2.3:a:VENDOR:PRODUCT`, got `x`\n  \
         --> recipes/demo/recipe.yaml:8:42\n  |\n\
         8 | identity: {supplier: \"人々と Jürgen\", cpe: [x]}\n  \
         |                                             ^",
    );
}

#[test]
fn files_in_other_encodings_are_refused() {
    let folder = project(RECIPE);
    let path = folder.path().join("recipes/demo/recipe.yaml");
    let utf16: Vec<u8> = RECIPE.encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs_err::write(&path, [&b"\xff\xfe"[..], &utf16].concat()).unwrap();
    let (code, _, stderr) = kiln(folder.path(), &["check"]);
    assert_eq!(code, 1);
    assert!(
        stderr.starts_with("error: expected UTF-8 text\n  --> recipes/demo/recipe.yaml:1:1\n"),
        "{stderr}"
    );
    let hint = "hint: save the file as UTF-8 without a byte order mark\n";
    assert!(stderr.contains(hint), "{stderr}");
    assert!(!stderr.contains('\0'));
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let bundles = |library: &str| {
        format!("libraries:\n  {library}: {{choice: bundle, link: static}}\nsteps:")
    };
    let folder = project(&recipe("demo", &[("steps:", &bundles("two"))]));
    let add = |name: &str, changes: &[(&str, &str)]| {
        write(
            &folder,
            &format!("recipes/{name}/recipe.yaml"),
            &recipe(name, changes),
        );
    };
    add("two", &[("steps:", &bundles("three"))]);
    add("three", &[("steps:", &bundles("demo"))]);
    add(
        "four",
        &[("base: box", "base: bix"), ("steps:", &bundles("tow"))],
    );
    add("five", &[("license: Zlib", "license: zlib2")]);
    add("six", &[("steps:", &bundles("five"))]);
    add(
        "seven",
        &[(
            "steps:",
            "libraries:\n  one: {choice: bundle, link: static, recipe: two}\n  nothing-near:\n    choice: bundle\n    link: static\nsteps:",
        )],
    );
    write(&folder, "kiln.toml", "[limits]\nmemory = \"much\"\n");
    check(
        folder.path(),
        &[
            "error: invalid type: string \"much\", expected u64\n  --> kiln.toml:2:10\n  |\n\
             2 | memory = \"much\"\n  |          ^",
            "error: `zlib2` is not an SPDX licence expression: unknown term\n  \
             --> recipes/five/recipe.yaml:6:10\n  |\n6 | license: zlib2\n  |          ^\n\n\
             hint: did you mean `Zlib`?",
            "error: recipe `four` is built in base image `bix`, which does not exist\n  \
             --> recipes/four/recipe.yaml:9:7\n  |\n9 | base: bix\n  |       ^\n\nhint: did you mean `box`?",
            "error: recipe `four` bundles `tow` from recipe `tow`, which does not exist\n  \
             --> recipes/four/recipe.yaml:15:3\n   |\n15 |   tow: {choice: bundle, link: static}\n   |   ^\n\n\
             hint: did you mean `two`?",
            "error: recipe `seven` bundles `nothing-near` from recipe `nothing-near`, which does not exist\n  \
             --> recipes/seven/recipe.yaml:16:3\n   |\n16 |   nothing-near:\n   |   ^\n\n\
             hint: write recipes/nothing-near/recipe.yaml, name another one with `recipe`, or take the \
             library from the system (`choice: system`)",
            "error: recipe `seven` bundles `one` from recipe `two`, which builds `two`\n  \
             --> recipes/seven/recipe.yaml:15:3\n   |\n15 |   one: {choice: bundle, link: static, recipe: two}\n   |   ^\n  \
             --> recipes/two/recipe.yaml:8:1\n  |\n8 | identity: {supplier: Demo people}\n  | ^\n\n\
             hint: call it `two` here, or name another recipe than `two` with `recipe`; what a recipe \
             builds is its `identity: {library: …}`, by default its name",
            "error: recipes bundle each other: demo -> two -> three -> demo\n  \
             --> recipes/demo/recipe.yaml:15:3\n   |\n15 |   two: {choice: bundle, link: static}\n   |   ^\n  \
             --> recipes/two/recipe.yaml:15:3\n   |\n15 |   three: {choice: bundle, link: static}\n   |   ^\n  \
             --> recipes/three/recipe.yaml:15:3\n   |\n15 |   demo: {choice: bundle, link: static}\n   |   ^\n\n\
             hint: one of them must do without the next one, or take it from the system",
        ],
    );
}

#[test]
fn what_can_be_known_without_building_is_said() {
    let packages = "packages:\n  - name: demo\n    files: [/usr/bin/demo]\n";
    one(
        packages,
        "packages:\n  - name: demo\n    files: [/usr/bin/*]\n  - name: more\n    files:\n      - /usr/bin/*\n",
        "error: demo: the pattern `/usr/bin/*` stands in both `demo` and `more`\n  \
         --> recipes/demo/recipe.yaml:17:13\n   |\n17 |     files: [/usr/bin/*]\n   |             ^\n  \
         --> recipes/demo/recipe.yaml:20:9\n   |\n20 |       - /usr/bin/*\n   |         ^\n\n\
         hint: keep it in one of the two",
    );
    one(
        "[/usr/bin/demo]",
        "[/usr/bin/demo, /sbin/demo]",
        "error: demo: the pattern `/sbin/demo` lies below `/sbin`, which is a link to `/usr/sbin`\n  \
         --> recipes/demo/recipe.yaml:17:28\n   |\n17 |     files: [/usr/bin/demo, /sbin/demo]\n   \
         |                            ^\n\nhint: write `/usr/sbin/demo`, and install there",
    );
    one(
        "[/usr/bin/demo]",
        "[/usr/include/]",
        "error: demo: the pattern `/usr/include/` ends in `/`, so it matches no file\n  \
         --> recipes/demo/recipe.yaml:17:13\n   |\n17 |     files: [/usr/include/]\n   |             ^\n\n\
         hint: write `/usr/include/**` for everything below it",
    );
    one(
        "    files:",
        "    requires: [(=dmo or x)]\n    files:",
        "error: demo: package `demo` names `=dmo`, but the recipe has no such package\n  \
         --> recipes/demo/recipe.yaml:17:16\n   |\n17 |     requires: [(=dmo or x)]\n   \
         |                ^\n\nhint: did you mean `=demo`?",
    );
    one(
        packages,
        "packages:\n  - name: demo\n    ghost: [{path: /run/demo}]\n  - {name: more, files: [/run/demo]}\n",
        "error: demo: the pattern `/run/demo` stands in both `demo` and `more`\n  \
         --> recipes/demo/recipe.yaml:17:20\n   |\n17 |     ghost: [{path: /run/demo}]\n   \
         |                    ^\n  \
         --> recipes/demo/recipe.yaml:18:26\n   |\n18 |   - {name: more, files: [/run/demo]}\n   \
         |                          ^\n\n\
         hint: keep it in one of the two",
    );
    one(
        packages,
        "packages:\n  - name: demo\n    ghost: [{path: /lib/demo}]\n",
        "error: demo: the pattern `/lib/demo` lies below `/lib`, which is a link to `/usr/lib`\n  \
         --> recipes/demo/recipe.yaml:17:20\n   |\n17 |     ghost: [{path: /lib/demo}]\n   \
         |                    ^\n\n\
         hint: write `/usr/lib/demo`, and install there",
    );
    one(
        packages,
        "packages:\n  - name: demo\n    noarch: true\n    files: [/usr/share/x]\n  - {name: more, files: [/y]}\n",
        "error: demo: package `demo` is `noarch`, but `more` is not: rpm gives the architecture of the \
         package with the recipe's name to all\n  \
         --> recipes/demo/recipe.yaml:17:13\n   |\n17 |     noarch: true\n   |             ^\n\n\
         hint: give the noarch package another name than the recipe's, or the recipe another name",
    );
    let folder = project(&recipe(
        "demo",
        &[("steps:", "libraries:\n  two: {choice: bundle}\nsteps:")],
    ));
    write(&folder, "recipes/two/recipe.yaml", &recipe("two", &[]));
    check(
        folder.path(),
        &[
            "error: demo: carries files of `two` below `/usr/lib/demo`, but no package claims anything there\n  \
             --> recipes/demo/recipe.yaml:15:3\n   |\n15 |   two: {choice: bundle}\n   |   ^\n  \
             --> recipes/demo/recipe.yaml:17:1\n   |\n17 | packages:\n   | ^\n\n\
             hint: add the pattern `/usr/lib/demo/**` to the package that is to carry them",
        ],
    );
}

#[test]
fn what_a_package_says_is_checked_at_its_line() {
    let check = |line: &str, column: usize, error: &str, hint: &str| {
        one(
            "    files:",
            &format!("    {line}\n    files:"),
            &format!(
                "error: {error}\n  --> recipes/demo/recipe.yaml:17:{column}\n   |\n17 |     {line}\n   \
                 | {}^\n\nhint: {hint}",
                " ".repeat(column - 1)
            ),
        );
    };
    check(
        "requires: [x >< 1]",
        16,
        "expected one of < <= = >= > between name and version, got `><`",
        "write NAME, or NAME, one of < <= = >= >, and a version",
    );
    check(
        "recommends: [a, (b or c]",
        21,
        "a `(` of the rich dependency is never closed",
        "add `)`; each operand with an operator of its own has its own pair",
    );
    check(
        "supplements: [(a whit b)]",
        19,
        "expected one of and, or, if, unless, else, with, without in the rich dependency, got `whit`",
        "did you mean `with`?",
    );
    check(
        "attributes: [{files: /usr/bin/demo, capabilities: cap_net_bind_servce=ep}]",
        55,
        "unknown capability `cap_net_bind_servce`",
        "did you mean `cap_net_bind_service`?",
    );
    check(
        "attributes: [{files: /usr/bin/demo, mode: 0750}]",
        47,
        "expected permissions of three or four octal digits in quotes, got `0750`",
        "for example \"0750\"",
    );
    check(
        "config: [\"!/etc/demo\"]",
        14,
        "`!/etc/demo` takes away from the patterns before it, but is the first one",
        "put it below the pattern that matches too much",
    );
}

#[test]
fn a_version_that_goes_backwards_is_shown_in_the_changelog() {
    one(
        "    files: [/usr/bin/demo]\n",
        "    files: [/usr/bin/demo]\nchangelog:\n  - {date: 2026-01-02, author: A, changes: [x]}\n  \
         - {date: 2026-01-01, author: A, version: 1.0^git1-1, changes: [x]}\n",
        "error: `1.0^git1-1` does not sort below `1.0-1` of the entry before it: rpm would not upgrade\n  \
         --> recipes/demo/recipe.yaml:20:44\n   |\n20 |   - {date: 2026-01-01, author: A, version: \
         1.0^git1-1, changes: [x]}\n   |                                            ^\n\n\
         hint: raise `release`; where upstream's versions went backwards, set `epoch`; a pre-release is \
         written 1.0~rc1",
    );
}

#[test]
fn patches_are_compared_and_all_of_them_named() {
    let zeros = "0".repeat(64);
    let patches = format!(
        "patches:\n  - {{file: patches/a.patch, sha256: \"{zeros}\"}}\n  \
         - file: patches/b.patch\n    sha256: \"{zeros}\"\nsteps:"
    );
    let folder = project(&recipe("demo", &[("steps:", &patches)]));
    write(&folder, "recipes/demo/patches/b.patch", "x");
    let actual = kiln_model::Digest::of(b"x");
    check(
        folder.path(),
        &[
            "error: patch `recipes/demo/patches/a.patch` can not be read: No such file or \
             directory (os error 2)\n  --> recipes/demo/recipe.yaml:15:12\n   |\n",
        ]
        .map(|start| {
            format!(
                "{start}15 |   - {{file: patches/a.patch, sha256: \"{zeros}\"}}\n   |            ^\n\n\
                 hint: put the patch there; `file` is relative to the recipe's folder"
            )
        })
        .iter()
        .chain(&[format!(
            "error: patch `recipes/demo/patches/b.patch` does not match its pinned digest\n  \
             --> recipes/demo/recipe.yaml:17:13\n   |\n17 |     sha256: \"{zeros}\"\n   |             ^\n  \
             expected  sha256:{zeros}\n  actual    {actual}\n\n\
             hint: look at what changed in the patch, then pin it anew"
        )])
        .map(String::as_str)
        .collect::<Vec<_>>(),
    );
}

#[test]
fn mistakes_in_base_images_are_shown_too() {
    let folder = project(RECIPE);
    write(
        &folder,
        "base-images/box.yaml",
        "schema: 1\nname: box\nlayot: x\n",
    );
    check(
        folder.path(),
        &[
            "error: unknown key `layot`\n  --> base-images/box.yaml:3:1\n  |\n3 | layot: x\n  | ^\n\n\
           hint: did you mean `layout`?",
        ],
    );
    write(
        &folder,
        "base-images/box.yaml",
        "schema: 1\nname: box\narchive:\n  distribution: debian\n  suite: bookworm\n  release: \"12\"\n  \
         packages: [gcc]\n  keys: [keys/a.gpg]\n",
    );
    write(&folder, "lockfiles/box-x86_64.lock", "format = 1\n");
    let (code, _, stderr) = kiln(folder.path(), &["check"]);
    assert_eq!(code, 1, "{stderr}");
    write(&folder, "lockfiles/box-x86_64.lock", "format = 9\n");
    let (code, _, stderr) = kiln(folder.path(), &["check"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("--> lockfiles/box-x86_64.lock"), "{stderr}");
}

#[test]
fn the_same_is_said_before_a_build() {
    let folder = project(&recipe("demo", &[("base: box", "base: bix")]));
    let (code, _, stderr) = kiln(folder.path(), &["plan"]);
    assert_eq!(code, 2);
    assert!(
        stderr.contains("  --> recipes/demo/recipe.yaml:9:7\n"),
        "{stderr}"
    );
}

#[test]
fn a_damaged_list_of_releases_is_noticed_without_building() {
    let folder = project(&recipe("demo", &[]));
    write(&folder, "lockfiles/released.lock", "version = \n");
    let (code, _, stderr) = kiln(folder.path(), &["check"]);
    assert_eq!(code, 1, "{stderr}");
    for part in [
        "--> lockfiles/released.lock",
        "hint: take it back from version control",
    ] {
        assert!(stderr.contains(part), "{part} is not in {stderr}");
    }
}

#[test]
fn a_signing_request_without_end_is_refused() {
    let folder = project(&recipe("demo", &[]));
    let arguments = ["sign", "--respond", "/dev/zero", "--key", "k", "-o", "r"];
    let (code, _, stderr) = kiln(folder.path(), &arguments);
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("/dev/zero: expected at most "), "{stderr}");
    assert!(!folder.path().join("r").exists());
}

#[test]
fn a_recipe_in_a_group_within_a_group_is_not_passed_over() {
    let folder = project(RECIPE);
    write(&folder, "recipes/group/deeper/other/recipe.yaml", RECIPE);
    let expected = "error: `recipes/group/deeper/other/recipe.yaml` lies too deep: nothing looks for recipes \
                    there\n\nhint: move its folder to `recipes/NAME` or `recipes/GROUP/NAME`";
    check(folder.path(), &[expected]);
}

#[test]
fn a_name_is_taken_once_in_all_groups() {
    let folder = project(RECIPE);
    write(&folder, "recipes/group/demo/recipe.yaml", RECIPE);
    let (code, stdout, stderr) = kiln(folder.path(), &["check"]);
    let all = stdout + &stderr;
    assert_eq!(code, 1, "{all}");
    let expected = "error: recipe demo is there twice: in `recipes/demo` and in `recipes/group/demo`\n\n\
                    hint: rename one of the two";
    assert!(all.contains(expected), "{all}");
}
