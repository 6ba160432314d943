//! Verification: rebuild under variation, compare, explain, and name the cause.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};

use kiln_model::{Digest, Factor, Level, RecipeName, Variation};

use crate::cause::NamedCause;
use crate::finder::Comparison;
use crate::isolate::{Trial, conclude, isolate};
use crate::naming::{Candidate, Circumstances, all_candidates, name_causes};
use crate::plan::VariationPlan;
use crate::rebuild::{Checks, RebuildError, RebuildOrder, Rebuilder, Rebuilt};
use crate::subject::{Finding, Outputs, Sight, Subject, SubjectKind, sight};
use crate::verdict::{Agreement, Verdict};
use crate::verification::{BuildReport, SubjectReport, Verification};
use crate::{Effort, agreement, compare_contents};

/// What is to be verified, and how thoroughly.
pub struct VerifyOrder<'a> {
    /// The recipes.
    pub recipes: &'a [RecipeName],
    /// What of them is compared, in a fixed order.
    pub subjects: &'a [Subject],
    /// What is not compared, and why: for the report.
    pub notes: &'a [String],
    /// What is there.
    pub original: &'a dyn Outputs,
    /// The rebuilds.
    pub plan: &'a VariationPlan,
    /// Whether single factors are tried where something differs.
    pub isolation: Isolation,
    /// Differences that are kept of each subject.
    pub effort: Effort,
}

impl std::fmt::Debug for VerifyOrder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyOrder")
            .field("recipes", &self.recipes)
            .field("isolation", &self.isolation)
            .finish_non_exhaustive()
    }
}

/// Whether more is built to find out which factor makes the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// One factor is varied at a time, until the cause is sure.
    OneByOne,
    /// Causes are named by what differs alone.
    Off,
}

/// What is told while it goes on.
#[derive(Debug)]
pub enum Progress<'a> {
    /// A rebuild begins.
    Rebuilding {
        /// Its number, from 1.
        build: usize,
        /// How many there are.
        of: usize,
        /// What is varied.
        variation: &'a Variation,
    },
    /// A rebuild was compared.
    Compared {
        /// Its number.
        build: usize,
        /// Subjects that are the same.
        same: usize,
        /// Subjects that are not.
        differing: usize,
    },
    /// Recipes are built again to find out why they differ.
    Isolating {
        /// Which.
        recipes: &'a [RecipeName],
        /// What is varied this time.
        variation: &'a Variation,
    },
}

/// What is gathered of one subject while rebuilds come in.
#[derive(Default)]
struct Gathered {
    digest: Option<Digest>,
    same: usize,
    reason: Option<String>,
    has_failed: bool,
    findings: Vec<Finding>,
    comparison: Comparison,
    candidates: Vec<Candidate>,
    /// The variation of the first rebuild that differs.
    differing: Option<Variation>,
    is_derived: bool,
    causes: Vec<NamedCause>,
    trials: Vec<Trial>,
}

/// Rebuilds, compares and explains.
///
/// # Errors
/// `Interrupted`, or `Impossible` when a rebuild could not be begun or outputs not be read.
pub fn verify(
    order: &VerifyOrder<'_>,
    rebuilder: &mut dyn Rebuilder,
    tell: &mut dyn FnMut(&Progress<'_>),
) -> Result<Verification, RebuildError> {
    let mut gathered: Vec<Gathered> = Vec::new();
    for subject in order.subjects {
        gathered.push(begin(order, subject)?);
    }
    let mut builds = Vec::new();
    for (index, variation) in order.plan.builds.iter().enumerate() {
        let build = index + 1;
        tell(&Progress::Rebuilding {
            build,
            of: order.plan.builds.len(),
            variation,
        });
        let rebuilt = rebuilder.rebuild(&RebuildOrder {
            recipes: order.recipes,
            variation,
            checks: checks(variation),
        })?;
        let original = rebuilder.original_circumstances();
        let (mut same, mut differing) = (0, 0);
        for (subject, gathered) in order.subjects.iter().zip(&mut gathered) {
            let pair = Pair {
                order,
                rebuilt: &rebuilt,
                circumstances: &original,
                build,
                variation,
            };
            match pair.compare(subject, gathered)? {
                Some(true) => same += 1,
                Some(false) => differing += 1,
                None => {}
            }
        }
        tell(&Progress::Compared {
            build,
            same,
            differing,
        });
        builds.push(BuildReport {
            variation: variation.clone(),
            observations: rebuilt.observations,
            checks: rebuilt.checks,
            failures: rebuilt.failures,
        });
    }
    mark_derived(order.subjects, &mut gathered);
    name_all_causes(order, rebuilder, &mut gathered, tell)?;
    let subjects = order.subjects.iter().zip(gathered);
    Ok(Verification {
        recipes: order.recipes.to_vec(),
        builds,
        pairs: (order.plan.pairs_covered, order.plan.pairs),
        notes: order.notes.to_vec(),
        subjects: subjects
            .map(|(subject, gathered)| report(subject, gathered))
            .collect(),
    })
}

/// Under another clock many tests fail rightly: certificates expire, timeouts are over.
fn checks(variation: &Variation) -> Checks {
    match variation.level(Factor::Clock) {
        Level::AsHost => Checks::Run,
        _ => Checks::Skipped,
    }
}

fn begin(order: &VerifyOrder<'_>, subject: &Subject) -> Result<Gathered, RebuildError> {
    let mut gathered = Gathered::default();
    match order.original.open(subject).map_err(impossible)? {
        Some(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(impossible)?;
            let known = order.original.digest(subject);
            gathered.digest = Some(known.unwrap_or_else(|| Digest::of(&bytes)));
        }
        None => gathered.reason = Some("it is not there; `kiln build` puts it there".to_owned()),
    }
    Ok(gathered)
}

/// One rebuild beside the original.
struct Pair<'a> {
    order: &'a VerifyOrder<'a>,
    rebuilt: &'a Rebuilt,
    circumstances: &'a Circumstances,
    build: usize,
    variation: &'a Variation,
}

impl Pair<'_> {
    /// Returns whether a subject is the same; `None` when it can not be said.
    fn compare(
        &self,
        subject: &Subject,
        gathered: &mut Gathered,
    ) -> Result<Option<bool>, RebuildError> {
        if gathered.digest.is_none() {
            return Ok(None);
        }
        let failures = &self.rebuilt.failures;
        let own = subject
            .recipe
            .as_ref()
            .and_then(|recipe| failures.get(recipe));
        let of_all = failures
            .values()
            .next()
            .filter(|_| subject.recipe.is_none());
        if let Some(failure) = own.or(of_all) {
            gathered.has_failed = true;
            gathered
                .reason
                .get_or_insert_with(|| format!("rebuild {} failed: {failure}", self.build));
            return Ok(None);
        }
        let original = self.order.original;
        let rebuilt = &*self.rebuilt.outputs;
        match sight(original, rebuilt, subject).map_err(impossible)? {
            Sight::Same => {
                gathered.same += 1;
                Ok(Some(true))
            }
            Sight::NoOriginal => Ok(None),
            // Files of the repository are named by their digests.
            Sight::NoRebuilt if subject.kind == SubjectKind::Repository => {
                let variation = self.variation.clone();
                gathered.differing.get_or_insert(variation);
                Ok(Some(false))
            }
            Sight::NoRebuilt => {
                gathered.has_failed = true;
                gathered
                    .reason
                    .get_or_insert_with(|| format!("rebuild {} did not yield it", self.build));
                Ok(None)
            }
            Sight::Other => self.explain(subject, gathered).map(Some),
        }
    }

    /// Says how far two that differ agree, and of the first such pair where they do not.
    fn explain(&self, subject: &Subject, gathered: &mut Gathered) -> Result<bool, RebuildError> {
        let left = whole(self.order.original, subject)?;
        let right = whole(&*self.rebuilt.outputs, subject)?;
        let agreement = agreed(subject.kind, &left, &right);
        gathered.findings.push(Finding {
            build: self.build,
            agreement,
            rebuilt: self
                .rebuilt
                .outputs
                .digest(subject)
                .unwrap_or_else(|| Digest::of(&right)),
        });
        if agreement <= Agreement::ButForSignature {
            return Ok(true);
        }
        if gathered.differing.is_none() {
            gathered.differing = Some(self.variation.clone());
            let comparison = compare_contents(&left, &right, &self.order.effort);
            let differences = &comparison.differences;
            let (left, right) = (self.circumstances, &self.rebuilt.circumstances);
            gathered.candidates = all_candidates(differences, left, right);
            gathered.causes = name_causes(differences, left, right);
            gathered.comparison = comparison;
        }
        Ok(false)
    }
}

/// Documents and source packages name packages and destdirs by digest: where something of a recipe
/// differs by itself, these follow, and only the former needs a cause.
fn mark_derived(subjects: &[Subject], gathered: &mut [Gathered]) {
    let is_root = |subject: &Subject, gathered: &Gathered| {
        let names_others = matches!(
            subject.kind,
            SubjectKind::Sbom
                | SubjectKind::Provenance
                | SubjectKind::Destdir
                | SubjectKind::Repository
        );
        let differences = &gathered.comparison.differences;
        !names_others && differences.iter().any(|difference| !difference.follows())
    };
    let pairs = subjects.iter().zip(gathered.iter());
    let rooted: BTreeSet<Option<RecipeName>> = pairs
        .filter(|(subject, gathered)| is_root(subject, gathered))
        .map(|(subject, _)| subject.recipe.clone())
        .collect();
    let has_roots = !rooted.is_empty();
    for (subject, gathered) in subjects.iter().zip(gathered) {
        let is_alone = match subject.kind {
            SubjectKind::Repository => !has_roots,
            _ => !rooted.contains(&subject.recipe) || is_root(subject, gathered),
        };
        gathered.is_derived = gathered.differing.is_some() && !is_alone;
        if gathered.is_derived {
            gathered.candidates.clear();
            gathered.causes.clear();
        }
    }
}

/// What one trial gave for all recipes that differ: they are tried together, since most are tried alike.
struct Tried {
    differing: BTreeMap<Subject, Digest>,
    failed: BTreeSet<RecipeName>,
}

/// Trials of recipes that differ, each variation built once.
struct Trials<'a, 'b> {
    order: &'a VerifyOrder<'a>,
    rebuilder: &'a mut dyn Rebuilder,
    tell: &'a mut dyn FnMut(&Progress<'_>),
    /// The recipes that differ.
    recipes: Vec<RecipeName>,
    /// What of them differs.
    subjects: Vec<&'b Subject>,
    /// By variation, and how often it was built before.
    tried: BTreeMap<(Variation, usize), Tried>,
}

impl Trials<'_, '_> {
    /// Returns what of a recipe differs under a variation, with the digests; `None` when its build
    /// failed.
    fn of(
        &mut self,
        recipe: &RecipeName,
        variation: &Variation,
        number: usize,
    ) -> Result<Option<BTreeMap<Subject, Digest>>, RebuildError> {
        let key = (variation.clone(), number);
        if !self.tried.contains_key(&key) {
            let tried = self.build(variation)?;
            self.tried.insert(key.clone(), tried);
        }
        let tried = &self.tried[&key];
        if tried.failed.contains(recipe) {
            return Ok(None);
        }
        let differing = tried.differing.iter();
        let of_recipe = differing.filter(|(subject, _)| subject.recipe.as_ref() == Some(recipe));
        let of_recipe = of_recipe.map(|(subject, digest)| (subject.clone(), *digest));
        Ok(Some(of_recipe.collect()))
    }

    fn build(&mut self, variation: &Variation) -> Result<Tried, RebuildError> {
        (self.tell)(&Progress::Isolating {
            recipes: &self.recipes,
            variation,
        });
        let rebuilt = self.rebuilder.rebuild(&RebuildOrder {
            recipes: &self.recipes,
            variation,
            checks: Checks::Skipped,
        })?;
        let mut differing = BTreeMap::new();
        for subject in &self.subjects {
            if is_other(self.order.original, &*rebuilt.outputs, subject)? {
                let digest = Digest::of(&whole(&*rebuilt.outputs, subject)?);
                differing.insert((*subject).clone(), digest);
            }
        }
        Ok(Tried {
            differing,
            failed: rebuilt.failures.into_keys().collect(),
        })
    }
}

/// Names the cause of every subject that differs, building recipes again where that is wanted.
fn name_all_causes(
    order: &VerifyOrder<'_>,
    rebuilder: &mut dyn Rebuilder,
    gathered: &mut [Gathered],
    tell: &mut dyn FnMut(&Progress<'_>),
) -> Result<(), RebuildError> {
    let mut differing: BTreeMap<RecipeName, Vec<(&Subject, &mut Gathered)>> = BTreeMap::new();
    for (subject, gathered) in order.subjects.iter().zip(gathered) {
        if gathered.differing.is_none() {
            continue;
        }
        if let Some(recipe) = &subject.recipe {
            let of_recipe = differing.entry(recipe.clone()).or_default();
            of_recipe.push((subject, gathered));
        }
    }
    if order.isolation == Isolation::Off {
        return Ok(());
    }
    let all = differing.values().flatten();
    let mut trials = Trials {
        order,
        rebuilder,
        tell,
        recipes: differing.keys().cloned().collect(),
        subjects: all.map(|(subject, _)| *subject).collect(),
        tried: BTreeMap::new(),
    };
    for (recipe, of_recipe) in &mut differing {
        let candidates = of_recipe
            .iter()
            .flat_map(|(_, gathered)| &gathered.candidates);
        let candidates: Vec<Candidate> = candidates.cloned().collect();
        let Some(variation) = of_recipe[0].1.differing.clone() else {
            continue;
        };
        let mut try_out =
            |variation: &Variation, number: usize| trials.of(recipe, variation, number);
        let builds = isolate(&candidates, &variation, &mut try_out)?;
        for (subject, gathered) in of_recipe {
            if !gathered.is_derived {
                gathered.trials = builds.iter().map(|build| build.of(subject)).collect();
                gathered.causes = conclude(&gathered.candidates, &gathered.trials);
            }
        }
    }
    Ok(())
}

/// Returns how far two outputs agree that are not the same; what is no package agrees in nothing.
fn agreed(kind: SubjectKind, left: &[u8], right: &[u8]) -> Agreement {
    match kind.is_package() {
        true => agreement(left, right).unwrap_or(Agreement::Different),
        false => Agreement::Different,
    }
}

/// Returns whether two outputs differ in more than who signed them.
fn is_other(
    original: &dyn Outputs,
    rebuilt: &dyn Outputs,
    subject: &Subject,
) -> Result<bool, RebuildError> {
    if sight(original, rebuilt, subject).map_err(impossible)? != Sight::Other {
        return Ok(false);
    }
    if !subject.kind.is_package() {
        return Ok(true);
    }
    let (left, right) = (whole(original, subject)?, whole(rebuilt, subject)?);
    Ok(agreed(subject.kind, &left, &right) > Agreement::ButForSignature)
}

fn report(subject: &Subject, gathered: Gathered) -> SubjectReport {
    let verdict = match &gathered {
        Gathered {
            differing: Some(_), ..
        } => Verdict::Unreproducible,
        Gathered {
            has_failed: true, ..
        } => Verdict::FailedToBuild,
        Gathered { same, findings, .. } if *same + findings.len() > 0 => Verdict::Reproducible,
        _ => Verdict::NotTested,
    };
    let worst = gathered
        .findings
        .iter()
        .map(|finding| finding.agreement)
        .max();
    let agreement = match verdict {
        Verdict::Reproducible => worst.or(Some(Agreement::BitIdentical)),
        Verdict::Unreproducible => worst,
        Verdict::FailedToBuild | Verdict::NotTested => None,
    };
    SubjectReport {
        subject: subject.clone(),
        digest: gathered.digest,
        verdict,
        agreement,
        reason: gathered.reason.filter(|_| agreement.is_none()),
        is_derived: gathered.is_derived,
        findings: gathered.findings,
        comparison: gathered.comparison,
        causes: gathered.causes,
        trials: gathered.trials,
    }
}

fn whole(outputs: &dyn Outputs, subject: &Subject) -> Result<Vec<u8>, RebuildError> {
    let mut bytes = Vec::new();
    if let Some(mut file) = outputs.open(subject).map_err(impossible)? {
        file.read_to_end(&mut bytes).map_err(impossible)?;
    }
    Ok(bytes)
}

fn impossible(error: io::Error) -> RebuildError {
    RebuildError::Impossible(Box::new(error))
}

#[cfg(test)]
mod tests;
