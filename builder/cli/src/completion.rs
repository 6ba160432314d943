//! Completion of arguments: the shell asks kiln itself, so recipes complete like verbs do.
//!
//! The script that `kiln completions` prints calls kiln with [`VARIABLE`] set and the words typed so
//! far. What is offered needs no store and no network.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::env::{Bash, EnvCompleter, Fish, Zsh};
use clap_complete::{CompleteEnv, CompletionCandidate};
use kiln_model::{BaseName, RecipeName};

use crate::arguments::{Arguments, CompletionShell};

/// The variable by which a shell asks; its value is the shell's name.
const VARIABLE: &str = "KILN_COMPLETE";

/// Answers a shell and ends, if one asks.
pub fn answer_shell() {
    CompleteEnv::with_factory(Arguments::command)
        .var(VARIABLE)
        .complete();
}

/// Returns the script that makes a shell ask.
pub fn registration(shell: CompletionShell) -> io::Result<String> {
    let shell: &dyn EnvCompleter = match shell {
        CompletionShell::Bash => &Bash,
        CompletionShell::Zsh => &Zsh,
        CompletionShell::Fish => &Fish,
    };
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, "kiln", "kiln", &this_program(), &mut script)?;
    String::from_utf8(script).map_err(io::Error::other)
}

/// Returns what the script calls: kiln itself where it was found by path, else whatever is in `PATH`.
fn this_program() -> String {
    let named = std::env::args_os().next().unwrap_or_default();
    let is_path = Path::new(&named).components().count() > 1;
    let place = std::env::current_exe().ok().filter(|_| is_path);
    let place = place.and_then(|place| place.into_os_string().into_string().ok());
    place.unwrap_or_else(|| "kiln".to_owned())
}

/// Returns the recipes of the project that the words typed so far mean.
pub fn recipe_candidates() -> Vec<CompletionCandidate> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let recipes = project(&words).join("recipes");
    let folders = walkdir::WalkDir::new(recipes)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    folders
        .into_iter()
        .filter_map(Result::ok)
        .filter(|folder| folder.path().join("recipe.yaml").is_file())
        .filter_map(|folder| folder.file_name().to_str()?.parse::<RecipeName>().ok())
        .map(|name| CompletionCandidate::new(name.as_str()))
        .collect()
}

/// Returns the base images of the same project.
pub fn base_candidates() -> Vec<CompletionCandidate> {
    let words: Vec<OsString> = std::env::args_os().collect();
    let files = walkdir::WalkDir::new(project(&words).join("base-images"))
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    files
        .into_iter()
        .filter_map(Result::ok)
        .filter_map(|file| {
            let name = file.file_name().to_str()?.strip_suffix(".yaml")?;
            name.parse::<BaseName>().ok()
        })
        .map(|name| CompletionCandidate::new(name.as_str()))
        .collect()
}

/// Finds `--project FOLDER` or `--project=FOLDER` among the words.
fn project(words: &[OsString]) -> PathBuf {
    let separate = words
        .iter()
        .position(|word| word == "--project")
        .and_then(|at| words.get(at + 1));
    let joined = words
        .iter()
        .find_map(|word| word.to_str()?.strip_prefix("--project="));
    match (separate, joined) {
        (Some(folder), _) => folder.into(),
        (None, Some(folder)) => folder.into(),
        (None, None) => ".".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_the_one_of_the_command_line() {
        for (words, expected) in [
            (vec!["kiln", "build"], "."),
            (vec!["kiln", "--project", "/a", "build"], "/a"),
            (vec!["kiln", "build", "--project=/b"], "/b"),
            (vec!["kiln", "build", "--project"], "."),
        ] {
            let typed: Vec<OsString> = words.iter().map(OsString::from).collect();
            assert_eq!(project(&typed), PathBuf::from(expected), "{words:?}");
        }
    }
}
