//! Errors as people see them: what, where, the line itself, what to do; and the exit code.

use std::fmt::Write as _;
use std::path::Path;

use kiln_build::{BuildError, GraphError, LogEnd, ProjectError, Summary};
use kiln_model::mask_credentials;

use crate::report::EventLine;

/// A run's end that is not success.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    /// One text per thing that is wrong.
    texts: Vec<String>,
    code: u8,
    /// Whether it is about the project's files, not about this host.
    is_finding: bool,
}

/// Found something wrong, or a step failed.
const FINDINGS: u8 = 1;
/// Bad input, host or I/O.
const TROUBLE: u8 = 2;
/// Ctrl-C: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

impl Failure {
    /// A host that can not do what is needed, or an input/output error.
    pub fn host(error: Box<dyn std::error::Error>) -> Self {
        Self {
            texts: vec![chain(&*error)],
            code: TROUBLE,
            is_finding: false,
        }
    }

    /// Everything that is wrong with a project's files.
    pub fn project(errors: &[ProjectError]) -> Self {
        Self {
            texts: errors.iter().map(project_text).collect(),
            code: TROUBLE,
            is_finding: errors.iter().all(is_finding),
        }
    }

    /// What stopped a run.
    pub fn build(error: &BuildError) -> Self {
        let code = match error {
            BuildError::StepFailed { .. }
            | BuildError::PackagingFailed { .. }
            | BuildError::NothingInstalled { .. }
            | BuildError::Unclaimed { .. }
            | BuildError::ClaimedTwice { .. }
            | BuildError::UnmatchedPattern { .. }
            | BuildError::NothingCarried { .. }
            | BuildError::CarryConflict { .. }
            | BuildError::OtherRpms { .. }
            | BuildError::UnmergedFolder { .. }
            | BuildError::PathTaken { .. }
            | BuildError::NoLicenseFile { .. }
            | BuildError::Evidence { .. } => FINDINGS,
            BuildError::Cancelled => INTERRUPTED,
            _ => TROUBLE,
        };
        Self {
            texts: vec![build_text(error)],
            code,
            is_finding: !matches!(error, BuildError::Io(_)),
        }
    }

    /// `kiln check` treats what it finds as findings.
    pub fn into_findings(mut self) -> Self {
        if self.is_finding {
            self.code = FINDINGS;
        }
        self
    }

    /// Joins several failures into one; the first one's code counts.
    pub fn joined(failures: Vec<Self>) -> Option<Self> {
        let code = failures.first()?.code;
        let texts = failures.into_iter().flat_map(|failure| failure.texts);
        Some(Self {
            texts: texts.collect(),
            code,
            is_finding: true,
        })
    }

    /// Returns everything that failed in a build; `None` when nothing did.
    pub fn builds(summary: &Summary) -> Option<Self> {
        let failures: Vec<Self> = summary.failures.iter().map(Self::build).collect();
        let interrupted = summary
            .is_cancelled
            .then(|| Self::build(&BuildError::Cancelled));
        // What could not be answered counts more than what was answered with no.
        let codes = failures.iter().chain(&interrupted).map(Self::exit_code);
        let code = codes.max()?;
        let mut failure = Self::joined(failures.into_iter().chain(interrupted).collect())?;
        failure.code = code;
        Some(failure)
    }

    /// Prints the failure to standard error.
    pub fn print(&self) {
        crate::print::note(self.texts.join("\n").trim_end());
    }

    /// Returns the failure for programs.
    pub fn events(&self) -> Vec<EventLine> {
        let event = |text: &String| {
            let text = text.trim_end();
            let first = text.lines().next().unwrap_or_default();
            EventLine::Error {
                message: first.trim_start_matches("error: ").to_owned(),
                text: text.to_owned(),
            }
        };
        self.texts.iter().map(event).collect()
    }

    /// Returns the process's exit code.
    pub const fn exit_code(&self) -> u8 {
        self.code
    }
}

/// Errors of files that people wrote; anything else is the host's.
fn is_finding(error: &ProjectError) -> bool {
    !matches!(error, ProjectError::Io(_) | ProjectError::NoRecipes { .. })
}

/// Writes an error and its causes, each on its own line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = format!("error: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.contains(&line) {
            let _ = writeln!(text, "  cause     {line}");
        }
        cause = error.source();
    }
    text
}

/// A place in a text file: the line itself is shown below its name.
struct Snippet<'a> {
    file: &'a Path,
    text: &'a str,
    line: u64,
    column: u64,
}

impl Snippet<'_> {
    fn render(&self) -> String {
        let (line, column) = (self.line, self.column);
        let place = format!("  --> {}:{line}:{column}\n", self.file.display());
        let index = usize::try_from(line)
            .unwrap_or(usize::MAX)
            .saturating_sub(1);
        let Some(shown) = self.text.lines().nth(index) else {
            return place;
        };
        let gutter = line.to_string();
        let blank = " ".repeat(gutter.len());
        let before = usize::try_from(column).unwrap_or(1).saturating_sub(1);
        // Control characters in a foreign file must not reach the terminal.
        let is_shown = |c: char| if c.is_control() { ' ' } else { c };
        let mut shown: String = shown.chars().map(is_shown).take(160).collect();
        shown.truncate(shown.trim_end().len());
        let caret = " ".repeat(before.min(160));
        format!("{place}{blank} |\n{gutter} | {shown}\n{blank} | {caret}^\n")
    }
}

fn project_text(error: &ProjectError) -> String {
    let mut text = format!("error: {error}\n");
    match error {
        ProjectError::Yaml {
            file,
            text: content,
            error,
        } => {
            let (line, column) = (error.place.line, error.place.column);
            text.push_str(
                &Snippet {
                    file,
                    text: content,
                    line,
                    column,
                }
                .render(),
            );
            if let Some(hint) = error.cause.hint() {
                let _ = writeln!(text, "\nhint: {hint}");
            }
        }
        ProjectError::Config {
            file,
            text: content,
            offset,
            ..
        } => {
            let before = content.get(..*offset).unwrap_or_default();
            let line = before.matches('\n').count() as u64 + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() as u64 + 1;
            text.push_str(
                &Snippet {
                    file,
                    // An address in it may hold a password.
                    text: &mask_credentials(content),
                    line,
                    column,
                }
                .render(),
            );
        }
        ProjectError::Lock { file, .. } => {
            let _ = writeln!(text, "  --> {}", file.display());
            text.push_str("\nhint: `kiln lock` writes it anew\n");
        }
        ProjectError::NoRecipes { .. } => {
            text.push_str("\nhint: run kiln in a project's folder, or name it with --project\n");
        }
        ProjectError::NameTaken { .. } => text.push_str("\nhint: rename one of the two\n"),
        ProjectError::NotAFile { .. } => text.push_str("\nhint: put the recipe itself there\n"),
        ProjectError::Io(_) => {}
    }
    text
}

fn list<T: std::fmt::Display>(what: &str, items: &[T]) -> String {
    const MOST: usize = 20;
    let mut text = String::new();
    for item in items.iter().take(MOST) {
        let _ = writeln!(text, "  {what:<9} {item}");
    }
    if items.len() > MOST {
        let _ = writeln!(text, "  and {} more", items.len() - MOST);
    }
    text
}

/// The command that failed, the end of the log, and where all of it is.
fn log_text(end: &LogEnd) -> String {
    let mut text = String::new();
    if let Some(command) = &end.command {
        let _ = writeln!(text, "  command   {command}");
    }
    text.push_str("\nlast lines of the log:\n");
    for line in &end.tail {
        let _ = writeln!(text, "  | {line}");
    }
    let _ = writeln!(text, "\nlog: {}", end.log.display());
    text
}

fn build_text(error: &BuildError) -> String {
    if let BuildError::Project(error) = error {
        return project_text(error);
    }
    let mut text = chain(error);
    match error {
        BuildError::StepFailed { log, node, .. } => {
            text.push_str(&log_text(log));
            let _ = writeln!(
                text,
                "\nhint: `kiln shell {}` opens a shell where the step failed",
                node.recipe
            );
        }
        BuildError::PackagingFailed { log, .. } => text.push_str(&log_text(log)),
        BuildError::NotLocked { .. } | BuildError::StaleLock { .. } => {
            text.push_str(
                "\nhint: run `kiln lock` on a machine with network, and commit the file\n",
            );
        }
        BuildError::Patch {
            expected, actual, ..
        } => {
            let _ = writeln!(text, "  expected  {expected}\n  actual    {actual}");
            text.push_str("\nhint: look at what changed in the patch, then pin it anew\n");
        }
        BuildError::Unclaimed { files, .. } => {
            text.push_str(&list("file", files));
            text.push_str("\nhint: add a pattern to a package, or remove the file in `install`\n");
        }
        BuildError::ClaimedTwice { .. } => {
            text.push_str("\nhint: make one of the two patterns narrower\n");
        }
        BuildError::UnmatchedPattern { .. } => {
            text.push_str("\nhint: the log of the install step shows what was installed\n");
        }
        BuildError::Evidence { findings, .. } => text.push_str(&list("finding", findings)),
        BuildError::Graph(GraphError::UnknownRecipe { name, known }) => {
            let distance = |known: &kiln_model::RecipeName| {
                strsim::damerau_levenshtein(known.as_str(), name.as_str())
            };
            let nearest = known.iter().min_by_key(|known| distance(known));
            let near = nearest.filter(|known| distance(known) <= name.as_str().len().div_ceil(3));
            match near {
                Some(nearest) => {
                    let _ = writeln!(text, "\nhint: did you mean `{nearest}`?");
                }
                None => text.push_str(&list("recipe", known)),
            }
        }
        BuildError::NothingInstalled { .. } => {
            text.push_str("\nhint: install below \"$DESTDIR\"\n");
        }
        _ => {}
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snippet_shows_the_line_and_nothing_that_moves_the_cursor() {
        let file = Path::new("recipes/x/recipe.yaml");
        let text = "schema: 1\nname: \u{1b}[31mx\n";
        let shown = Snippet {
            file,
            text,
            line: 2,
            column: 7,
        }
        .render();
        assert_eq!(
            shown,
            "  --> recipes/x/recipe.yaml:2:7\n  |\n2 | name:  [31mx\n  |       ^\n"
        );
    }
}
