//! `kiln graph`, `kiln completions` and `kiln man` as people use them.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]
#![expect(
    clippy::disallowed_methods,
    reason = "a test starts shells and other readers"
)]

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn recipe(name: &str, more: &str) -> String {
    let digest = "0".repeat(64);
    format!(
        "schema: 1\nname: {name}\nversion: \"1.0\"\nrelease: 1\nsummary: x\nlicense: MIT\n\
         homepage: https://example.org\nidentity: {{supplier: x}}\nbase: box\nsources:\n  \
         - {{url: \"https://127.0.0.1:9/{name}.tar\", sha256: \"{digest}\", released: 2020-01-01}}\n\
         steps: {{use: make}}\n{more}"
    )
}

/// A project without lockfiles: two products, two libraries and one of the system's.
fn project() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let image = format!(
        "schema: 1\nname: box\nlayout: box@sha256:{}\n",
        "0".repeat(64)
    );
    write(folder.path(), "base-images/box.yaml", &image);
    let package = "packages:\n  - {name: NAME, files: [/usr/bin/NAME]}\n";
    let libraries = "libraries:\n  tls: {choice: bundle, link: static}\n  json: {choice: bundle, \
                     link: header-only}\n  zlib: {choice: system, package: {debian: zlib1g-dev}}\n";
    for (name, more) in [
        (
            "server",
            format!("{}{libraries}", package.replace("NAME", "server")),
        ),
        ("alone", package.replace("NAME", "alone")),
        ("tls", String::new()),
        ("json", String::new()),
    ] {
        write(
            folder.path(),
            &format!("recipes/{name}/recipe.yaml"),
            &recipe(name, &more),
        );
    }
    folder
}

fn write(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

/// Runs kiln where nothing but the project is known.
fn kiln(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kiln"))
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = kiln(folder, arguments, &[]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_graph_needs_neither_lockfiles_nor_store_and_draws_what_was_asked_for() {
    let project = project();
    let all = done(project.path(), &["graph"]);
    for part in [
        "r_server -> r_tls [style=dashed];",
        "r_server -> r_json [style=dotted];",
        "r_server -> p_box_3azlib1g_2ddev [style=solid, arrowhead=empty];",
        "r_alone [",
    ] {
        assert!(all.contains(part), "{part} is not in {all}");
    }
    let one = done(project.path(), &["graph", "server", "--as", "mermaid"]);
    assert!(
        one.contains("r_server ==> r_tls\n") && !one.contains("r_alone"),
        "{one}"
    );
    let picture = done(project.path(), &["graph", "tls", "--as", "svg"]);
    assert!(
        picture.starts_with("<svg ") && picture.ends_with("</svg>\n"),
        "{picture}"
    );
    assert!(picture.contains(">tls</text>") && !picture.contains(">server</text>"));
    assert!(!project.path().join(".kiln").exists() && !project.path().join("out").exists());
}

#[test]
fn what_is_no_graph_is_said_as_check_says_it() {
    let cycle = recipe("tls", "libraries:\n  json: {choice: bundle}\n");
    let back = recipe("json", "libraries:\n  tls: {choice: bundle}\n");
    let missing = recipe("tls", "libraries:\n  asn1: {choice: bundle}\n");
    for (files, part) in [
        (
            vec![("tls", &cycle), ("json", &back)],
            "recipes bundle each other: json -> tls -> json",
        ),
        (
            vec![("tls", &missing)],
            "recipe `tls` bundles `asn1` from recipe `asn1`, which does not exist",
        ),
    ] {
        let project = project();
        for (name, text) in files {
            write(project.path(), &format!("recipes/{name}/recipe.yaml"), text);
        }
        let check = kiln(project.path(), &["check"], &[]);
        let text = String::from_utf8_lossy(&check.stderr).into_owned();
        assert_eq!(check.status.code(), Some(1), "{text}");
        assert!(text.contains(part), "{text}");
        for format in ["dot", "mermaid", "svg"] {
            let graph = kiln(project.path(), &["graph", "--as", format], &[]);
            assert_eq!(graph.status.code(), Some(2));
            // `kiln check` goes on to what else is wrong.
            let said = String::from_utf8_lossy(&graph.stderr);
            assert!(!said.is_empty() && text.starts_with(&*said), "{said}");
            assert!(graph.stdout.is_empty());
        }
        // What is not in its way is still drawn.
        done(project.path(), &["graph", "alone"]);
    }
    let unknown = kiln(project().path(), &["graph", "srever"], &[]);
    assert_eq!(unknown.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&unknown.stderr),
        "error: no recipe `srever`\n\nhint: did you mean `server`?\n"
    );
}

/// What bash offers for the last of these words.
fn offered(folder: &Path, words: &str) -> Vec<String> {
    let script = format!(
        "source <(kiln completions bash); COMP_WORDS=({words}); \
         COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_TYPE=9; \
         _clap_complete_kiln kiln \"${{COMP_WORDS[COMP_CWORD]}}\" 2>/dev/null; \
         printf '%s\\n' \"${{COMPREPLY[@]}}\""
    );
    let binary = Path::new(env!("CARGO_BIN_EXE_kiln")).parent().unwrap();
    let output = Command::new("bash")
        .args(["--norc", "-c", &script])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", binary.display()))
        .current_dir(folder)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_recipes_and_formats() {
    let (project, elsewhere) = (project(), tempfile::tempdir().unwrap());
    let there = format!("kiln --project {} build s", project.path().display());
    for (folder, words, expected) in [
        (&project, "kiln comp", vec!["completions"]),
        (&project, "kiln build s", vec!["server"]),
        (&project, "kiln graph alone t", vec!["tls"]),
        (&project, "kiln graph --as m", vec!["mermaid"]),
        (&project, "kiln --off", vec!["--offline"]),
        (&elsewhere, there.as_str(), vec!["server"]),
        (&elsewhere, "kiln build s", vec![""]),
    ] {
        assert_eq!(offered(folder.path(), words), expected, "{words}");
    }
}

#[test]
fn every_shell_gets_a_script_that_asks_kiln() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, call) in [
        ("bash", "KILN_COMPLETE=\"bash\""),
        ("zsh", "KILN_COMPLETE=\"zsh\""),
        ("fish", "KILN_COMPLETE=fish"),
    ] {
        let script = done(folder.path(), &["completions", shell]);
        assert!(script.contains(call), "{shell}: {script}");
        let binary = env!("CARGO_BIN_EXE_kiln");
        assert!(
            script.contains(binary),
            "it asks the kiln that was called by path: {script}"
        );
    }
    let output = kiln(folder.path(), &["completions", "tcsh"], &[]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn pages_and_help_are_the_same_everywhere_and_show_no_password() {
    let folder = tempfile::tempdir().unwrap();
    let secrets = [
        ("KILN_DEBIAN_ARCHIVE", "http://me:hunter2@mirror.example/"),
        ("KILN_STORE", "/hunter2/store"),
        ("KILN_OUT", "/hunter2/out"),
        ("COLUMNS", "200"),
        ("LANG", "de_DE.UTF-8"),
    ];
    for (to, variables) in [("here", &[][..]), ("there", &secrets[..])] {
        let output = kiln(folder.path(), &["man", "--to", to], variables);
        assert_eq!(output.status.code(), Some(0));
    }
    let pages = |to: &str| {
        let walk = walkdir::WalkDir::new(folder.path().join(to)).sort_by_file_name();
        let entries = walk.min_depth(1).into_iter().map(Result::unwrap);
        let read = |entry: walkdir::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs_err::read_to_string(entry.path()).unwrap())
        };
        entries.map(read).collect::<Vec<_>>()
    };
    assert_eq!(pages("here"), pages("there"));
    assert!(pages("here").iter().any(|(name, _)| name == "kiln-graph.1"));
    let printed = done(folder.path(), &["man"]);
    assert!(pages("here").contains(&("kiln.1".to_owned(), printed)));
    for (_, text) in pages("there") {
        assert!(!text.contains("hunter2"), "{text}");
    }
    for verb in ["build", "doctor", "graph"] {
        let help = kiln(folder.path(), &[verb, "--help"], &secrets);
        assert!(
            !String::from_utf8_lossy(&help.stdout).contains("hunter2"),
            "{verb}"
        );
    }
}

#[test]
fn manual_pages_are_as_mandoc_wants_them() {
    if Command::new("mandoc").arg("-h").output().is_err() {
        println!("SKIPPED: no mandoc");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    done(folder.path(), &["man", "--to", "pages"]);
    let walk = walkdir::WalkDir::new(folder.path().join("pages")).min_depth(1);
    for entry in walk.sort_by_file_name() {
        let entry = entry.unwrap();
        let output = Command::new("mandoc")
            .args(["-Tlint", "-Wwarning"])
            .arg(entry.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // A date would come from a clock; the line breaks are clap_mangen's.
        let is_expected = |line: &&str| {
            line.contains("missing date") || line.contains("skipping paragraph macro")
        };
        let bad: Vec<&str> = text.lines().filter(|line| !is_expected(line)).collect();
        assert_eq!(bad, [""; 0], "{}", entry.path().display());
    }
}
