//! Documents say what is: every verb, option, make target and file that they name exists.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use assert_cmd::Command;

fn root() -> PathBuf {
    fs_err::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// Every document by its path from the root.
fn documents() -> Vec<(PathBuf, String)> {
    let mut files: Vec<PathBuf> = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ]
    .map(PathBuf::from)
    .into();
    let walk = walkdir::WalkDir::new(root().join("docs")).sort_by_file_name();
    let docs = walk.into_iter().map(|entry| entry.unwrap().into_path());
    let docs = docs.filter(|path| path.extension().is_some_and(|ending| ending == "md"));
    files.extend(docs.map(|path| path.strip_prefix(root()).unwrap().to_owned()));
    let read = |file: PathBuf| {
        (
            file.clone(),
            fs_err::read_to_string(root().join(file)).unwrap(),
        )
    };
    files.into_iter().map(read).collect()
}

/// What the command has: the options of each verb, and of what comes below one (`store gc`); those of all
/// verbs are under "".
fn command() -> BTreeMap<String, BTreeSet<String>> {
    let options = |arguments: &[&str]| -> (BTreeSet<String>, String) {
        let output = Command::cargo_bin("kiln")
            .unwrap()
            .args(arguments)
            .output()
            .unwrap();
        let help = String::from_utf8(output.stdout).unwrap();
        let lines = help
            .lines()
            .filter(|line| line.trim_start().starts_with('-'));
        let words = lines.flat_map(|line| line.split([' ', ',']).take(12));
        let words = words.filter(|word| word.starts_with('-') && word.len() > 1);
        (words.map(str::to_owned).collect(), help)
    };
    let names = |help: &str, heading: &str| -> Vec<String> {
        let lines = help.lines().skip_while(|line| *line != heading).skip(1);
        let lines = lines.take_while(|line| !line.is_empty());
        let names = lines.map(|line| line.split_whitespace().next().unwrap().to_owned());
        names.filter(|name| name != "help").collect()
    };
    let (all, help) = options(&["-h"]);
    let verbs = names(&help, "Verbs:");
    assert!(verbs.len() > 8, "{help}");
    let mut found = BTreeMap::new();
    for verb in verbs {
        let (own, help) = options(&[&verb, "-h"]);
        for below in names(&help, "What:") {
            let options = options(&[&verb, &below, "-h"]).0;
            found.insert(format!("{verb} {below}"), options);
        }
        found.insert(verb, own);
    }
    found.insert("help".to_owned(), BTreeSet::new());
    found.insert(String::new(), all);
    found
}

/// Targets of the Makefile that `make help` lists, and those that are declared.
fn targets() -> (BTreeSet<String>, BTreeSet<String>) {
    let text = fs_err::read_to_string(root().join("Makefile")).unwrap();
    let name = |line: &str| line.split(':').next().unwrap().to_owned();
    let shown = text
        .lines()
        .filter(|line| line.contains(":") && line.contains(" ## "))
        .map(name);
    let declared = text.lines().filter_map(|line| line.strip_prefix(".PHONY:"));
    let declared = declared
        .flat_map(str::split_whitespace)
        .filter(|word| !word.starts_with('$'));
    (shown.collect(), declared.map(str::to_owned).collect())
}

/// A piece of code in a document: a span, or a line of a block; and whether it is said to be missing.
struct Code {
    text: String,
    is_not_yet: bool,
}

fn code(document: &str) -> Vec<Code> {
    let (mut found, mut is_block, mut is_not_yet) = (Vec::new(), false, false);
    for line in document.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            let text = line
                .trim_start_matches("$ ")
                .split(" #")
                .next()
                .unwrap()
                .to_owned();
            found.push(Code { text, is_not_yet });
        } else {
            is_not_yet = line == "Not yet:" || (is_not_yet && !line.starts_with("## "));
            let spans = line.split('`').skip(1).step_by(2).map(str::to_owned);
            found.extend(spans.map(|text| Code { text, is_not_yet }));
        }
    }
    found
}

/// Returns whether something comes below a verb.
fn has_below(command: &BTreeMap<String, BTreeSet<String>>, verb: &str) -> bool {
    let start = format!("{verb} ");
    !verb.is_empty() && command.keys().any(|name| name.starts_with(&start))
}

/// Returns what is wrong with a call of kiln; `words` come after its name.
fn wrong(words: &[&str], command: &BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let mut verb = String::new();
    // What follows `--` is another command's.
    for word in words.iter().take_while(|word| **word != "--") {
        let option = word.split('=').next().unwrap_or(word);
        if option.starts_with('-') {
            let is_known = [&*verb, ""].iter().any(|of| command[*of].contains(option));
            if !is_known {
                return Some(format!("`kiln {verb}` has no option `{option}`"));
            }
        } else if verb.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') {
            if !command.contains_key(*word) {
                return Some(format!("kiln has no verb `{word}`"));
            }
            verb = (*word).to_owned();
        } else if has_below(command, &verb) {
            let below = format!("{verb} {word}");
            if !command.contains_key(&below) {
                return Some(format!("`kiln {verb}` has no `{word}`"));
            }
            verb = below;
        } else if word.starts_with(['|', '>', '<', '&', ';', ')']) {
            break;
        }
    }
    None
}

/// Returns the words after a program's name, which may be a path.
fn after<'a>(words: &[&'a str], program: &str) -> Option<Vec<&'a str>> {
    let is_it = |word: &&str| word.rsplit('/').next() == Some(program);
    let at = words.iter().position(is_it)?;
    Some(words[at + 1..].to_vec())
}

#[test]
fn documents_name_verbs_options_and_targets_that_exist() {
    let (command, (targets, _)) = (command(), targets());
    let mut findings = Vec::new();
    let mut calls = 0;
    for (file, text) in documents() {
        for Code { text, is_not_yet } in code(&text) {
            let words: Vec<&str> = text.split_whitespace().collect();
            if let Some(after) = after(&words, "kiln") {
                calls += 1;
                let wrong = wrong(&after, &command);
                match (is_not_yet, wrong) {
                    (false, Some(wrong)) => findings.push(format!("{}: {wrong}", file.display())),
                    (true, None) if !after.is_empty() => {
                        findings.push(format!("{}: not yet, but it is: `{text}`", file.display()));
                    }
                    _ => {}
                }
            } else if is_not_yet && words.len() == 1 && command.contains_key(words[0]) {
                findings.push(format!("{}: not yet, but it is: `{text}`", file.display()));
            }
            // The reference has `make` as recipes call it.
            let is_ours = !file.starts_with("docs/reference") && words.first() == Some(&"make");
            if let Some(target) = words
                .get(1)
                .filter(|word| is_ours && !word.starts_with('-'))
            {
                calls += 1;
                if !targets.contains(*target) {
                    findings.push(format!("{}: no target `make {target}`", file.display()));
                }
            }
        }
    }
    assert!(
        calls > 20,
        "only {calls} calls were found: does the reader still read?"
    );
    assert_eq!(findings, [""; 0]);
}

#[test]
fn a_wrong_call_is_noticed() {
    let command = command();
    for (words, expected) in [
        ("build curl --offline", None),
        ("--offline build -j 2", None),
        ("graph --as svg > x", None),
        ("--version", None),
        ("biuld", Some("kiln has no verb `biuld`")),
        ("build --fast", Some("`kiln build` has no option `--fast`")),
        (
            "build --update",
            Some("`kiln build` has no option `--update`"),
        ),
    ] {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(wrong(&words, &command).as_deref(), expected, "{words:?}");
    }
}

#[test]
fn make_help_lists_every_target() {
    let (shown, declared) = targets();
    assert_eq!(shown, declared);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut findings = Vec::new();
    for (file, text) in documents() {
        let folder = root().join(&file).parent().unwrap().to_owned();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            if path.contains("://") || path.contains(' ') {
                continue;
            }
            let target = if path.is_empty() {
                root().join(&file)
            } else {
                folder.join(path)
            };
            let Ok(text) = fs_err::read_to_string(&target) else {
                findings.push(format!("{}: no file {path}", file.display()));
                continue;
            };
            let headings = text.lines().filter(|line| line.starts_with('#'));
            let is_kept = |c: &char| c.is_alphanumeric() || "-_ ".contains(*c);
            let mut anchors = headings.map(|line| {
                let heading = line.trim_start_matches('#').trim().to_lowercase();
                heading
                    .chars()
                    .filter(is_kept)
                    .collect::<String>()
                    .replace(' ', "-")
            });
            if !anchor.is_empty() && !anchors.any(|known| known == anchor) {
                findings.push(format!("{}: no heading {link}", file.display()));
            }
        }
    }
    assert_eq!(findings, [""; 0]);
}
