//! What a verification came to: values, for reports and statements.

use std::collections::BTreeMap;

use kiln_model::{Digest, Observation, RecipeName, Variation};
use serde::{Deserialize, Serialize};

use crate::cause::NamedCause;
use crate::finder::Comparison;
use crate::isolate::Trial;
use crate::rebuild::Checks;
use crate::subject::{Finding, Subject};
use crate::verdict::{Agreement, Verdict};

/// One rebuild, as the report shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BuildReport {
    /// What was varied.
    pub variation: Variation,
    /// What was seen of it.
    pub observations: Vec<Observation>,
    /// Whether upstream's tests ran.
    pub checks: Checks,
    /// Recipes that failed, and how.
    pub failures: BTreeMap<RecipeName, String>,
}

/// What is said of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct SubjectReport {
    /// Which.
    pub subject: Subject,
    /// The digest of what was verified; `None` when it was not there.
    pub digest: Option<Digest>,
    /// The verdict.
    pub verdict: Verdict,
    /// The least agreement of all rebuilds.
    pub agreement: Option<Agreement>,
    /// Why it was not tested or not built.
    pub reason: Option<String>,
    /// Whether it differs only because something else of the recipe does, which it names by digest.
    pub is_derived: bool,
    /// What each rebuild gave that is not the same.
    pub findings: Vec<Finding>,
    /// Where the first rebuild that differs does so.
    pub comparison: Comparison,
    /// Why.
    pub causes: Vec<NamedCause>,
    /// What was built besides, to be sure of the cause.
    pub trials: Vec<Trial>,
}

/// What a verification came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Verification {
    /// The recipes.
    pub recipes: Vec<RecipeName>,
    /// The rebuilds.
    pub builds: Vec<BuildReport>,
    /// Pairs of levels that stood together in some build, of how many there are.
    pub pairs: (usize, usize),
    /// What was not compared, and why.
    pub notes: Vec<String>,
    /// Everything that was verified.
    pub subjects: Vec<SubjectReport>,
}

impl Verification {
    /// Returns how many subjects have a verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        let subjects = self.subjects.iter();
        subjects
            .filter(|subject| subject.verdict == verdict)
            .count()
    }

    /// Returns what comes of a recipe alone.
    pub fn of_recipe(&self, recipe: &RecipeName) -> impl Iterator<Item = &SubjectReport> {
        let is_own = move |report: &&SubjectReport| report.subject.recipe.as_ref() == Some(recipe);
        self.subjects.iter().filter(is_own)
    }

    /// Returns everything by where it comes from: each recipe, then what all of them share. None is empty.
    #[must_use]
    pub fn groups(&self) -> Vec<(&str, Vec<&SubjectReport>)> {
        let own = self.recipes.iter();
        let own = own.map(|recipe| (recipe.as_str(), self.of_recipe(recipe).collect()));
        let shared = self.subjects.iter();
        let shared = shared.filter(|report| report.subject.recipe.is_none());
        let shared = ("base image and repository", shared.collect());
        own.chain([shared])
            .filter(|(_, reports): &(&str, Vec<&SubjectReport>)| !reports.is_empty())
            .collect()
    }

    /// Returns the verdict on a recipe: the worst of its subjects'.
    #[must_use]
    pub fn recipe_verdict(&self, recipe: &RecipeName) -> Verdict {
        let verdicts = self.of_recipe(recipe).map(|report| report.verdict);
        Verdict::worst(verdicts).unwrap_or(Verdict::NotTested)
    }

    /// Returns this one and another, of other packages, as one. Rebuilds are numbered through.
    #[must_use]
    pub fn joined(mut self, mut other: Self) -> Self {
        let builds = self.builds.len();
        for finding in other
            .subjects
            .iter_mut()
            .flat_map(|report| &mut report.findings)
        {
            finding.build += builds;
        }
        self.recipes.extend(other.recipes);
        self.recipes.sort();
        self.recipes.dedup();
        self.builds.extend(other.builds);
        self.notes.extend(other.notes);
        self.subjects.extend(other.subjects);
        self
    }

    /// Returns the verdict on everything: the worst.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        let verdicts = self.subjects.iter().map(|report| report.verdict);
        Verdict::worst(verdicts).unwrap_or(Verdict::NotTested)
    }
}
