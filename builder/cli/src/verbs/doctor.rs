//! `kiln doctor`: everything that a build needs of this host, each with yes, no or a note.
//!
//! Nothing is built, fetched or kept. What is in the way of every build is a `no` and makes the exit
//! code 2; what only some builds or conveniences need is a `note`.

mod places;
mod sealing;
mod surroundings;

use kiln_build::Project;
use kiln_model::Config;

use crate::arguments::{Common, Format};
use crate::failure::Failure;
use crate::print::line;
use crate::report::{DoctorFinding, EventLine, print_event};
use crate::session::load;

/// Whether a build can do with what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Yes,
    /// Good to know; builds can run.
    Note,
    /// No build can run.
    No,
}

impl Verdict {
    const fn word(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Note => "note",
            Self::No => "no",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked at: `kernel`.
    pub topic: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do, where there is something to do and `found` does not say it.
    pub remedy: Option<String>,
}

impl Finding {
    fn new(topic: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            topic,
            verdict,
            found: found.into(),
            remedy: None,
        }
    }

    fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }

    /// An error as a finding: itself and its causes on one line.
    fn of_error(topic: &'static str, verdict: Verdict, error: &dyn std::error::Error) -> Self {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !text.contains(&more) {
                text = format!("{text}: {more}");
            }
            cause = error.source();
        }
        Self::new(topic, verdict, text)
    }
}

/// What the checks are told.
struct Patient<'a> {
    common: &'a Common,
    /// The project, where there is one that can be read.
    project: Option<&'a Project>,
    config: &'a Config,
}

/// Looks at everything, prints it and says whether builds can run.
pub fn run(common: &Common) -> Result<u8, Failure> {
    let project = load(common).ok();
    let defaults = Config::default();
    let config = project
        .as_ref()
        .map_or(&defaults, |project| &project.config);
    let patient = Patient {
        common,
        project: project.as_ref(),
        config,
    };
    let findings = examine(&patient);
    let bad = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::No)
        .count();
    if common.format == Format::Json {
        print_event(&EventLine::Doctor {
            findings: findings.into_iter().map(DoctorFinding::from).collect(),
            is_fit: bad == 0,
        });
    } else {
        print_all(common, &findings, bad);
    }
    Ok(if bad == 0 { 0 } else { 2 })
}

fn print_all(common: &Common, findings: &[Finding], bad: usize) {
    let is_shown = |finding: &&Finding| !common.quiet || finding.verdict == Verdict::No;
    for finding in findings.iter().filter(is_shown) {
        line(&text(finding));
    }
    let closing = match bad {
        0 => "\nBuilds can run on this host.".to_owned(),
        1 => "\nNo build can run on this host: 1 thing is in the way.".to_owned(),
        several => format!("\nNo build can run on this host: {several} things are in the way."),
    };
    if !common.quiet {
        line(&closing);
    }
}

impl From<Finding> for DoctorFinding {
    fn from(finding: Finding) -> Self {
        Self {
            topic: finding.topic,
            verdict: finding.verdict.word(),
            found: finding.found,
            remedy: finding.remedy,
        }
    }
}

fn examine(patient: &Patient<'_>) -> Vec<Finding> {
    let mut findings = sealing::examine(patient);
    findings.extend(places::examine(patient));
    findings.extend(surroundings::examine(patient));
    findings
}

/// Columns before what was found.
const INDENT: usize = 24;
/// Where lines are broken.
const WIDTH: usize = 80;

fn text(finding: &Finding) -> String {
    let head = format!("{:<17} {:<5}", finding.topic, finding.verdict.word());
    let mut text = format!("{head:<INDENT$}");
    fill(&mut text, &finding.found);
    if let Some(remedy) = &finding.remedy {
        text.push_str(&format!("\n{:INDENT$}", ""));
        fill(&mut text, &format!("-> {remedy}"));
    }
    text
}

/// Writes words in lines of [`WIDTH`], each indented; a word that is longer stays whole.
fn fill(text: &mut String, words: &str) {
    let mut column = INDENT;
    for (index, word) in words.split_whitespace().enumerate() {
        let letters = word.chars().count();
        if index > 0 && column + 1 + letters > WIDTH {
            text.push_str(&format!("\n{:INDENT$}", ""));
            column = INDENT;
        } else if index > 0 {
            text.push(' ');
            column += 1;
        }
        // What a file or a server says must not move the cursor.
        text.extend(word.chars().filter(|c| !c.is_control()));
        column += letters;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_a_paragraph_beside_its_topic() {
        let finding = Finding::new(
            "overlay",
            Verdict::No,
            "a sentence that is long enough to be broken into more than\none \u{1b}line of text",
        );
        let finding = finding.with_remedy("do something");
        assert_eq!(
            text(&finding),
            "overlay           no    a sentence that is long enough to be broken into more\n\
             \x20                       than one line of text\n\
             \x20                       -> do something"
        );
    }
}
