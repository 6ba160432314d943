//! Errors as people see them: what, where, the line itself, what to do; and the exit code.

use std::fmt::Write as _;
use std::path::Path;

use kiln_build::{
    BuildError, BundleError, DraftError, GraphError, LogEnd, Project, ProjectError, SignError,
    Site, Summary, Survey,
};
use kiln_model::{StepEnd, mask_credentials};

use crate::hint;
use crate::report::EventLine;
use crate::snippet::Snippet;

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
pub const TROUBLE: u8 = 2;
/// Ctrl-C: 128 and the signal's number.
const INTERRUPTED: u8 = 130;
/// How many of many things are named.
const LISTED: usize = 20;

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
    pub fn project(survey: &Survey) -> Self {
        let errors = &survey.errors;
        let texts = errors
            .iter()
            .map(|error| project_text(&survey.project, error));
        Self {
            texts: texts.collect(),
            code: TROUBLE,
            is_finding: errors.iter().all(is_finding),
        }
    }

    /// What is wrong with files that `kiln fmt` or `kiln new` looked at, without a project.
    pub fn file(error: &BuildError) -> Self {
        let text = match error {
            BuildError::Project(error) => file_text(error),
            error => {
                let mut text = chain(error);
                add_hint(&mut text, hint::of_build(error));
                text
            }
        };
        Self {
            texts: vec![text],
            code: TROUBLE,
            is_finding: false,
        }
    }

    /// Why there is no draft of a recipe.
    pub fn draft(error: &DraftError) -> Self {
        if let DraftError::Build(error) = error {
            return Self::file(error);
        }
        let mut text = chain(error);
        add_hint(&mut text, hint::of_draft(error));
        Self {
            texts: vec![text],
            code: TROUBLE,
            is_finding: false,
        }
    }

    /// Why nothing was signed.
    pub fn sign(project: &Project, error: &SignError) -> Self {
        match error {
            SignError::Build(error) => Self::build(project, error),
            error => Self::sign_file(error),
        }
    }

    /// The same, without a project.
    pub fn sign_file(error: &SignError) -> Self {
        if let SignError::Build(error) = error {
            return Self::file(error);
        }
        let mut text = chain(error);
        add_hint(&mut text, hint::of_sign(error));
        Self::trouble(text)
    }

    /// Why a file with a key can not be used.
    pub fn key(file: &Path, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = chain(error);
        let _ = writeln!(text, "  --> {}", file.display());
        add_hint(&mut text, hint::of_key(error));
        Self::trouble(text)
    }

    /// Why a file or folder can not be compared.
    pub fn compared(error: &(dyn std::error::Error + 'static), path: &Path) -> Self {
        Self::trouble(format!("{}  --> {}\n", chain(error), path.display()))
    }

    /// Why a bundle was not written, or not taken.
    pub fn bundle(project: Option<&Project>, error: &BundleError, file: &Path) -> Self {
        if let BundleError::Build(error) = error {
            return match project {
                Some(project) => Self::build(project, error),
                None => Self {
                    code: code(error),
                    ..Self::file(error)
                },
            };
        }
        let mut text = chain(error);
        if let BundleError::Missing { missing } = error {
            for input in missing.iter().take(LISTED) {
                let _ = writeln!(text, "  {input}");
            }
        }
        let _ = writeln!(text, "  --> {}", file.display());
        add_hint(&mut text, hint::of_bundle(error));
        Self {
            // What is wrong with the bundle itself is what `kiln bundle check` looks for.
            is_finding: !matches!(
                error,
                BundleError::Target { .. } | BundleError::NoRoom { .. }
            ),
            ..Self::trouble(text)
        }
    }

    /// A command line that lacks something.
    pub fn usage(text: &str, hint: &str) -> Self {
        Self::trouble(format!("error: {text}\n\nhint: {hint}\n"))
    }

    /// Somebody stopped it.
    pub fn interrupted() -> Self {
        Self {
            texts: vec!["interrupted\n".to_owned()],
            code: INTERRUPTED,
            is_finding: false,
        }
    }

    /// Why a file that was named on the command line can not be used.
    pub fn named_file(file: &Path, problem: &str, hint: Option<&str>) -> Self {
        let mut text = format!("error: {problem}\n  --> {}\n", file.display());
        add_hint(&mut text, hint.map(str::to_owned));
        Self::trouble(text)
    }

    fn trouble(text: String) -> Self {
        Self {
            texts: vec![text],
            code: TROUBLE,
            is_finding: false,
        }
    }

    /// Something found, in words of its own.
    pub fn finding(text: String) -> Self {
        Self {
            texts: vec![text],
            code: FINDINGS,
            is_finding: true,
        }
    }

    /// What stopped a run over `project`.
    pub fn build(project: &Project, error: &BuildError) -> Self {
        Self {
            texts: build_texts(project, error),
            code: code(error),
            is_finding: match error {
                BuildError::Io(_) | BuildError::Publish { .. } => false,
                BuildError::Project(error) => is_finding(error),
                _ => true,
            },
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
        let is_finding = failures.iter().all(|failure| failure.is_finding);
        let texts = failures.into_iter().flat_map(|failure| failure.texts);
        Some(Self {
            texts: texts.collect(),
            code,
            is_finding,
        })
    }

    /// Returns everything that failed in a build; `None` when nothing did.
    pub fn builds(project: &Project, summary: &Summary) -> Option<Self> {
        let failures = summary.failures.iter();
        let failures: Vec<Self> = failures.map(|error| Self::build(project, error)).collect();
        let interrupted = summary
            .is_cancelled
            .then(|| Self::build(project, &BuildError::Cancelled));
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

    /// Returns all that is wrong as one text.
    pub fn text(&self) -> String {
        self.texts.join("\n").trim_end().to_owned()
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

/// Returns the exit code: 1 where the recipe's own steps or files are at fault.
fn code(error: &BuildError) -> u8 {
    match error {
        // The host's disk is at fault, not the recipe.
        BuildError::StepFailed { end, .. } | BuildError::PackagingFailed { end, .. }
            if *end == StepEnd::DiskShort =>
        {
            TROUBLE
        }
        BuildError::StepFailed { .. }
        | BuildError::PackagingFailed { .. }
        | BuildError::NothingInstalled { .. }
        | BuildError::Uncollectable { .. }
        | BuildError::PathRefused { .. }
        | BuildError::Unclaimed { .. }
        | BuildError::ClaimedTwice(_)
        | BuildError::UnmatchedPattern { .. }
        | BuildError::Package(_)
        | BuildError::NothingCarried { .. }
        | BuildError::NothingVendored { .. }
        | BuildError::CarryConflict { .. }
        | BuildError::Overlap { .. }
        | BuildError::OtherRpms { .. }
        | BuildError::UnmergedFolder { .. }
        | BuildError::PathTaken { .. }
        | BuildError::NoLicenseFile { .. }
        | BuildError::Released(_)
        | BuildError::Evidence { .. } => FINDINGS,
        BuildError::Several(errors) => errors.iter().map(code).max().unwrap_or(TROUBLE),
        BuildError::Cancelled => INTERRUPTED,
        _ => TROUBLE,
    }
}

/// Errors of files that people wrote; anything else is the host's.
fn is_finding(error: &ProjectError) -> bool {
    !matches!(
        error,
        ProjectError::Io(_) | ProjectError::NoRecipes { .. } | ProjectError::UnknownBase { .. }
    )
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

fn add_hint(text: &mut String, hint: Option<String>) {
    if let Some(hint) = hint {
        let _ = writeln!(text, "\nhint: {hint}");
    }
}

/// Shows the lines that an error is about.
fn add_sites(text: &mut String, project: &Project, sites: &[Site]) {
    for spot in sites.iter().filter_map(|site| site.find(project)) {
        let snippet = Snippet {
            file: &spot.file,
            text: spot.text,
            place: spot.place,
        };
        text.push_str(&snippet.render());
    }
}

fn project_text(project: &Project, error: &ProjectError) -> String {
    let mut text = format!("error: {error}\n");
    add_own_place(&mut text, error);
    add_sites(&mut text, project, &error.sites());
    let hint = match error {
        ProjectError::Lock { file, .. } => hint::of_lock_file(project, file),
        _ => None,
    };
    add_hint(&mut text, hint.or_else(|| hint::of_project(error)));
    text
}

/// The same for a file that was read by itself.
fn file_text(error: &ProjectError) -> String {
    let mut text = format!("error: {error}\n");
    add_own_place(&mut text, error);
    add_hint(&mut text, hint::of_project(error));
    text
}

/// Shows the place of errors that know it by themselves.
fn add_own_place(text: &mut String, error: &ProjectError) {
    let (file, content, place) = match error {
        ProjectError::Yaml { file, text, error } => (file, text, error.place),
        ProjectError::Config { file, text, error } => (file, text, error.place),
        ProjectError::Lock { file, .. } => {
            let _ = writeln!(text, "  --> {}", file.display());
            return;
        }
        _ => return,
    };
    // An address in kiln.toml may hold a password.
    let content = mask_credentials(content);
    let snippet = Snippet {
        file,
        text: &content,
        place,
    };
    text.push_str(&snippet.render());
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

/// The inputs of a package that are not what they were when it was released.
fn changes_text(refusal: &kiln_build::ReleasedOtherwise) -> String {
    if refusal.changes.is_empty() {
        return "  changed   no input that kiln knows of: the build is not reproducible\n"
            .to_owned();
    }
    let shown = |value: &Option<String>| {
        value
            .as_ref()
            .map_or_else(|| "not there".to_owned(), |value| format!("`{value}`"))
    };
    let change = |change: &kiln_build::InputChange| {
        let (released, now) = (shown(&change.released), shown(&change.now));
        format!("{}: was {released}, is {now}", change.input)
    };
    let changes: Vec<String> = refusal.changes.iter().map(change).collect();
    list("changed", &changes)
}

/// One text for each thing that is wrong.
fn build_texts(project: &Project, error: &BuildError) -> Vec<String> {
    match error {
        BuildError::Several(errors) => {
            let texts = errors.iter().flat_map(|error| build_texts(project, error));
            texts.collect()
        }
        error => vec![build_text(project, error)],
    }
}

fn build_text(project: &Project, error: &BuildError) -> String {
    if let BuildError::Project(error) = error {
        return project_text(project, error);
    }
    let mut text = chain(error);
    add_sites(&mut text, project, &error.sites());
    match error {
        BuildError::StepFailed { log, end, .. } if *end == StepEnd::DiskShort => {
            text.push_str(&log_text(log));
        }
        BuildError::StepFailed { log, node, .. } => {
            text.push_str(&log_text(log));
            let product = project.product_of(node);
            let product = product.map_or_else(String::new, |name| format!(" --for {name}"));
            let base = project.chosen_base.as_ref();
            let base = base.map_or_else(String::new, |base| format!(" --base {base}"));
            let _ = writeln!(
                text,
                "\nhint: `kiln shell {}{product}{base}` opens a shell where the step failed",
                node.recipe
            );
        }
        BuildError::PackagingFailed { log, .. } => text.push_str(&log_text(log)),
        BuildError::Patch {
            expected, actual, ..
        } => {
            let _ = writeln!(text, "  expected  {expected}\n  actual    {actual}");
        }
        BuildError::Unclaimed {
            files, proposals, ..
        } => {
            text.push_str(&list("file", files));
            let proposal = |p: &kiln_build::Proposal| format!("{} for `{}`", p.pattern, p.package);
            let proposals: Vec<String> = proposals.iter().map(proposal).collect();
            text.push_str(&list("pattern", &proposals));
        }
        BuildError::ClaimedTwice(claim) if claim.more > 0 => {
            let _ = writeln!(text, "  and {} more files that both match", claim.more);
        }
        BuildError::Evidence { findings, weak, .. } => {
            text.push_str(&list("finding", findings));
            text.push_str(&list("weak", weak));
        }
        BuildError::Released(refusal) => text.push_str(&changes_text(refusal)),
        BuildError::Graph(GraphError::UnknownRecipe { known, .. })
            if hint::of_build(error).is_none() =>
        {
            text.push_str(&list("recipe", known));
        }
        _ => {}
    }
    let hint = hint::of_lock(project, error)
        .or_else(|| hint::of_build(error))
        .or_else(|| hint::of_disk(error, &text));
    add_hint(&mut text, hint);
    text
}
