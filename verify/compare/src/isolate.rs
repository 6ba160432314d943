//! Which factor makes the difference: single recipes are built again, with one thing varied at a time.
//!
//! What differs with nothing varied is no factor's doing: a race, random numbers, memory. Otherwise
//! the factors that the differences speak for are tried alone, and when none of them is it, the rest by
//! halves.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::{Digest, Factor, Level, Variation};
use serde::{Deserialize, Serialize};

use crate::cause::{Cause, NamedCause};
use crate::naming::{Candidate, decide, decide_with_pairs};
use crate::rebuild::RebuildError;
use crate::subject::Subject;

/// Most factors that are tried alone before the rest is halved.
const MOST_ALONE: usize = 4;

/// One build of one recipe to find out why it differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Trial {
    /// What was varied.
    pub variation: Variation,
    /// What came of it.
    pub outcome: TrialOutcome,
    /// Whether it gave the same bytes as the trial before it, which varied the same.
    pub repeats: bool,
}

/// What came of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrialOutcome {
    /// The original's bytes.
    Same,
    /// Other bytes.
    Differs,
    /// The build failed.
    Failed,
}

impl TrialOutcome {
    /// Returns its name for people: `differs`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::Failed => "failed to build",
        }
    }
}

/// A trial, with everything that differed in it; `None` when the build failed.
#[derive(Debug)]
pub(crate) struct TrialBuild {
    variation: Variation,
    differing: Option<BTreeMap<Subject, Digest>>,
    /// Subjects that are as in the trial before, which varied the same.
    repeated: BTreeSet<Subject>,
}

impl TrialBuild {
    /// Returns what it says of one subject.
    pub(crate) fn of(&self, subject: &Subject) -> Trial {
        let outcome = match &self.differing {
            None => TrialOutcome::Failed,
            Some(differing) if differing.contains_key(subject) => TrialOutcome::Differs,
            Some(_) => TrialOutcome::Same,
        };
        Trial {
            variation: self.variation.clone(),
            outcome,
            repeats: self.repeated.contains(subject),
        }
    }

    fn differs(&self) -> bool {
        self.differing
            .as_ref()
            .is_some_and(|differing| !differing.is_empty())
    }
}

/// Builds a recipe, for the n-th time under this variation, and returns what of it differs, with the
/// digests; `None` when the build failed.
pub(crate) type TryOut<'a> =
    dyn FnMut(&Variation, usize) -> Result<Option<BTreeMap<Subject, Digest>>, RebuildError> + 'a;

/// What has no company to race with.
const SERIAL: [(Factor, Level); 2] = [(Factor::Processors, Level::One), (Factor::Jobs, Level::One)];

/// Tries what could be the cause of a difference that was seen under `variation`.
pub(crate) fn isolate(
    candidates: &[Candidate],
    variation: &Variation,
    try_out: &mut TryOut<'_>,
) -> Result<Vec<TrialBuild>, RebuildError> {
    let mut trials: Vec<TrialBuild> = Vec::new();
    let mut attempt = |changes: &[(Factor, Level)]| -> Result<bool, RebuildError> {
        let variation = of_changes(changes);
        let mut earlier = trials.iter().filter(|trial| trial.variation == variation);
        let (number, before) = (earlier.clone().count(), earlier.next_back());
        let differing = try_out(&variation, number)?;
        let repeated = repeated(before, differing.as_ref());
        let trial = TrialBuild {
            variation,
            differing,
            repeated,
        };
        let differs = trial.differs();
        trials.push(trial);
        Ok(differs)
    };
    if attempt(&[])? {
        // Whatever differs by itself is steady once what makes it differ is taken away.
        for changes in [&[(Factor::Aslr, Level::Off)][..], &SERIAL] {
            attempt(changes)?;
            attempt(changes)?;
        }
        return Ok(trials);
    }
    let (likely, mut rest) = sorted_by_likelihood(candidates, variation);
    let mut is_found = false;
    for change in &likely {
        is_found |= attempt(std::slice::from_ref(change))?;
    }
    if is_found {
        return Ok(trials);
    }
    // What the likely ones did not do, one of the others did, or several together.
    let mut is_tried = false;
    while rest.len() > 1 {
        let half = rest.len() / 2;
        let first = rest[..half].to_vec();
        is_tried = attempt(&first)?;
        rest = match is_tried {
            true => first,
            false => rest[half..].to_vec(),
        };
    }
    if let ([last], false) = (rest.as_slice(), is_tried) {
        attempt(&[*last])?;
    }
    Ok(trials)
}

fn of_changes(changes: &[(Factor, Level)]) -> Variation {
    let mut variation = Variation::default();
    for (factor, level) in changes {
        variation.set(*factor, *level);
    }
    variation
}

/// Returns the subjects that differ from the original in both trials, and not from each other.
fn repeated(
    before: Option<&TrialBuild>,
    now: Option<&BTreeMap<Subject, Digest>>,
) -> BTreeSet<Subject> {
    let before = before.and_then(|trial| trial.differing.as_ref());
    let (Some(before), Some(now)) = (before, now) else {
        return BTreeSet::new();
    };
    now.iter()
        .filter(|(subject, digest)| before.get(*subject) == Some(digest))
        .map(|(subject, _)| subject.clone())
        .collect()
}

/// Factors with the levels that they are changed to.
type Changes = Vec<(Factor, Level)>;

/// Returns the changes that candidates speak for, and the others, both in a fixed order.
fn sorted_by_likelihood(candidates: &[Candidate], variation: &Variation) -> (Changes, Changes) {
    let changed: Vec<(Factor, Level)> = variation.changed().collect();
    let mut likely = Vec::new();
    for candidate in candidates {
        for factor in factors_of(candidate.cause) {
            let change = changed.iter().find(|(changed, _)| changed == factor);
            if let Some(change) = change.filter(|change| !likely.contains(*change)) {
                likely.push(*change);
            }
        }
    }
    likely.truncate(MOST_ALONE);
    let rest = changed
        .into_iter()
        .filter(|change| !likely.contains(change))
        .collect();
    (likely, rest)
}

/// Returns the factors that bring a cause about.
const fn factors_of(cause: Cause) -> &'static [Factor] {
    match cause {
        Cause::Timestamp => &[Factor::Clock],
        Cause::BuildPath => &[Factor::HostPath],
        Cause::HostName => &[Factor::HostName],
        Cause::User => &[Factor::User],
        Cause::Locale => &[Factor::Locale, Factor::TimeZone],
        Cause::DirectoryOrder => &[Factor::DirectoryOrder, Factor::FileSystem],
        Cause::ParallelRace => &[Factor::Jobs, Factor::Processors, Factor::Load],
        Cause::Cpu => &[Factor::Processors, Factor::Jobs],
        Cause::Memory => &[Factor::Aslr],
        Cause::ArchiveMetadata => &[
            Factor::Clock,
            Factor::DirectoryOrder,
            Factor::Umask,
            Factor::User,
        ],
        Cause::Compression => &[Factor::Processors, Factor::Jobs, Factor::Clock],
        Cause::KernelVersion => &[Factor::Kernel],
        Cause::Environment => &[Factor::Environment],
        Cause::Random | Cause::Signature | Cause::Unknown => &[],
    }
}

/// Returns the causes that are left after the trials, the surest first.
pub(crate) fn conclude(candidates: &[Candidate], trials: &[Trial]) -> Vec<NamedCause> {
    let built = trials
        .iter()
        .filter(|trial| trial.outcome != TrialOutcome::Failed);
    let outcomes: Vec<(Variation, bool)> = built
        .clone()
        .map(|trial| {
            (
                trial.variation.clone(),
                trial.outcome == TrialOutcome::Differs,
            )
        })
        .collect();
    // The second of two that varied the same tells whether they differ from each other.
    let mut pairs = Vec::new();
    let mut seen = BTreeSet::new();
    for trial in built {
        if !seen.insert(&trial.variation) {
            pairs.push((trial.variation.clone(), !trial.repeats));
        }
    }
    let alone = |variation: &Variation| variation.changed().count() == 1;
    let guilty: Vec<&(Variation, bool)> = outcomes
        .iter()
        .filter(|(variation, differs)| *differs && alone(variation))
        .collect();
    let is_steady = outcomes
        .iter()
        .any(|(variation, differs)| variation.changed().next().is_none() && !differs);
    if !is_steady || guilty.len() < 2 {
        return vec![decide_with_pairs(candidates, &outcomes, &pairs)];
    }
    let mut causes = Vec::new();
    for one in guilty {
        let control = (Variation::default(), false);
        let cause = decide(candidates, &[control, one.clone()]);
        if !causes
            .iter()
            .any(|known: &NamedCause| known.cause == cause.cause)
        {
            causes.push(cause);
        }
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::naming::Strength;
    use crate::subject::SubjectKind;

    fn subject() -> Subject {
        Subject {
            recipe: Some("demo".parse().unwrap()),
            kind: SubjectKind::Package,
            name: "demo.rpm".into(),
        }
    }

    fn everything_varied() -> Variation {
        let mut variation = Variation::default();
        for factor in Factor::ALL {
            variation.set(factor, factor.levels()[1]);
        }
        variation
    }

    /// Returns the trials of a recipe that differs exactly when `is_guilty` says so.
    fn trials(cause: Cause, is_guilty: impl Fn(&Variation) -> bool) -> Vec<Trial> {
        let candidates = [Candidate {
            cause,
            strength: Strength::Likely,
            evidence: String::new(),
        }];
        let mut build = 0;
        let mut try_out = |variation: &Variation, _: usize| {
            build += 1;
            let guilty = is_guilty(variation);
            let digest = guilty.then(|| Digest::of(format!("{build}").as_bytes()));
            let differing = digest.map(|digest| (subject(), digest));
            Ok(Some(differing.into_iter().collect()))
        };
        let found = isolate(&candidates, &everything_varied(), &mut try_out).unwrap();
        found.iter().map(|trial| trial.of(&subject())).collect()
    }

    #[test]
    fn every_single_factor_is_found_whatever_is_suspected() {
        for factor in Factor::ALL {
            for suspected in [Cause::Timestamp, Cause::DirectoryOrder, Cause::Unknown] {
                let found = trials(suspected, |v| v.level(factor) != Level::AsHost);
                let guilty: Vec<Factor> = found
                    .iter()
                    .filter(|trial| trial.outcome == TrialOutcome::Differs)
                    .filter(|trial| trial.variation.changed().count() == 1)
                    .flat_map(|trial| trial.variation.changed().map(|(factor, _)| factor))
                    .collect();
                assert_eq!(guilty, [factor], "suspected: {suspected}");
                assert!(found.len() <= 8, "{factor}: {} builds", found.len());
            }
        }
    }

    /// Returns the cause of a recipe whose result each time is what `build` makes of the variation and
    /// the number of the build, and is never the original's.
    fn cause_of(suspected: Cause, build: impl Fn(&Variation, usize) -> String) -> Cause {
        let candidates = [Candidate {
            cause: suspected,
            strength: Strength::Possible,
            evidence: String::new(),
        }];
        let mut count = 0;
        let mut try_out = |variation: &Variation, _: usize| {
            count += 1;
            let digest = Digest::of(build(variation, count).as_bytes());
            Ok(Some(BTreeMap::from([(subject(), digest)])))
        };
        let found = isolate(&candidates, &everything_varied(), &mut try_out).unwrap();
        assert_eq!(found.len(), 5);
        let found: Vec<Trial> = found.iter().map(|trial| trial.of(&subject())).collect();
        conclude(&candidates, &found)[0].cause
    }

    #[test]
    fn what_differs_by_itself_is_tried_twice_without_chance_and_without_company() {
        let each_time = |_: &Variation, count: usize| count.to_string();
        assert_eq!(cause_of(Cause::Locale, each_time), Cause::Random);
        assert_eq!(cause_of(Cause::Timestamp, each_time), Cause::Timestamp);
        let address = |variation: &Variation, count: usize| match variation.level(Factor::Aslr) {
            Level::Off => "always".to_owned(),
            _ => count.to_string(),
        };
        assert_eq!(cause_of(Cause::ParallelRace, address), Cause::Memory);
        let race = |variation: &Variation, count: usize| match variation.level(Factor::Jobs) {
            Level::One => "always".to_owned(),
            _ => count.to_string(),
        };
        assert_eq!(cause_of(Cause::Random, race), Cause::ParallelRace);
    }
}
