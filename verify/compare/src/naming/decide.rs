//! Rebuilds that vary one factor decide between what the content leaves open.

use std::collections::BTreeMap;

use kiln_model::{Factor, Level, Variation};

use super::{Candidate, Strength};
use crate::cause::{Cause, NamedCause};

/// What a factor's variation shows, when a package differs with it alone.
const fn shown_by(factor: Factor) -> &'static [Cause] {
    match factor {
        Factor::Clock => &[Cause::Timestamp, Cause::ArchiveMetadata],
        Factor::TimeZone => &[Cause::Locale, Cause::Timestamp],
        Factor::Locale => &[Cause::Locale],
        Factor::Umask => &[Cause::Environment, Cause::ArchiveMetadata],
        Factor::User => &[Cause::User, Cause::ArchiveMetadata],
        Factor::HostName => &[Cause::HostName],
        Factor::Kernel => &[Cause::KernelVersion],
        Factor::HostPath => &[Cause::BuildPath],
        Factor::Processors => &[Cause::Cpu, Cause::ParallelRace],
        Factor::Jobs => &[Cause::ParallelRace, Cause::Cpu],
        Factor::DirectoryOrder | Factor::FileSystem => {
            &[Cause::DirectoryOrder, Cause::ArchiveMetadata]
        }
        Factor::Aslr => &[Cause::Memory],
        Factor::Environment => &[Cause::Environment],
        Factor::Load => &[Cause::ParallelRace],
    }
}

/// Rebuilds, by what each varied, and whether its result differs.
type Rebuilds<'a> = &'a [(Variation, bool)];

/// Decides between candidates by rebuilds: each is what it varied, and whether its result differs from
/// the one that nothing was varied for.
///
/// * It differs with nothing varied: it was time that passed, chance, memory or a race. Equal without
///   address randomisation is memory, equal with one job is a race.
/// * It differs only when one factor is varied: that is the cause.
/// * Nothing that was varied alone makes it differ: the content's best candidate stands.
///
/// What differs by itself differs from the first build under every variation, so that only
/// [`decide_with_pairs`] can tell memory, a race and chance apart by more than the content.
#[must_use]
pub fn decide(candidates: &[Candidate], isolating: &[(Variation, bool)]) -> NamedCause {
    decide_with_pairs(candidates, isolating, &[])
}

/// Decides as [`decide`] does, with pairs of rebuilds besides: each is what both varied in the same way,
/// and whether their results differ **from each other**. Two without address randomisation that are equal
/// show memory, two with one job that are equal show a race, and where both pairs differ, it is chance.
#[must_use]
pub fn decide_with_pairs(
    candidates: &[Candidate],
    isolating: &[(Variation, bool)],
    pairs: &[(Variation, bool)],
) -> NamedCause {
    let is_plain =
        |(variation, differs): &(Variation, bool)| *differs && variation.changed().next().is_none();
    match isolating.iter().chain(pairs).any(is_plain) {
        true => by_itself(candidates, isolating, pairs),
        false => by_factor(candidates, &by_level(isolating)),
    }
}

/// Returns whether results differ by what alone was varied. One processor and one job count as each of
/// them: neither leaves room for a race.
fn by_level(rebuilds: Rebuilds<'_>) -> BTreeMap<(Factor, Level), bool> {
    let mut levels: BTreeMap<(Factor, Level), bool> = BTreeMap::new();
    for (variation, differs) in rebuilds {
        let changed: Vec<(Factor, Level)> = variation.changed().collect();
        let is_alone = changed.len() == 1
            || changed
                .iter()
                .all(|change| matches!(change, (Factor::Jobs | Factor::Processors, Level::One)));
        for change in changed.into_iter().filter(|_| is_alone) {
            *levels.entry(change).or_default() |= *differs;
        }
    }
    levels
}

const NO_RACE: [(Factor, Level); 2] =
    [(Factor::Jobs, Level::One), (Factor::Processors, Level::One)];
const NO_CHANCE: (Factor, Level) = (Factor::Aslr, Level::Off);

fn by_itself(candidates: &[Candidate], isolating: Rebuilds<'_>, pairs: Rebuilds<'_>) -> NamedCause {
    let named = |cause, how: &str| NamedCause {
        cause,
        evidence: format!("it differs with nothing varied{how}"),
    };
    // Equal once may be luck; two dates are not.
    let is_shown = |candidate: &&Candidate| {
        candidate.strength >= Strength::Likely
            && matches!(
                candidate.cause,
                Cause::Timestamp | Cause::Random | Cause::Memory
            )
    };
    if let Some(best) = candidates.first().filter(is_shown) {
        return named(best.cause, &format!("; {}", best.evidence));
    }
    let (single, pairs) = (by_level(isolating), by_level(pairs));
    let is_equal = |level| single.get(level) == Some(&false) || pairs.get(level) == Some(&false);
    if is_equal(&NO_CHANCE) {
        return named(
            Cause::Memory,
            ", and is the same when addresses are not chosen at random",
        );
    }
    if NO_RACE.iter().any(is_equal) {
        return named(
            Cause::ParallelRace,
            ", and is the same when one thing is done at a time",
        );
    }
    // Two that were built in the same way and differ all the same.
    let is_no_memory = pairs.get(&NO_CHANCE) == Some(&true);
    let is_no_race = NO_RACE.iter().any(|level| pairs.get(level) == Some(&true));
    let is_possible = |candidate: &&Candidate| match candidate.cause {
        Cause::Memory => !is_no_memory,
        Cause::ParallelRace => !is_no_race,
        Cause::Timestamp | Cause::Random | Cause::ArchiveMetadata => true,
        _ => false,
    };
    match candidates.iter().find(is_possible) {
        Some(best) => named(best.cause, &format!("; {}", best.evidence)),
        None if is_no_memory && is_no_race => {
            named(Cause::Random, ", neither for addresses nor for a race")
        }
        None => named(Cause::Unknown, "; its content does not tell why"),
    }
}

fn by_factor(candidates: &[Candidate], single: &BTreeMap<(Factor, Level), bool>) -> NamedCause {
    let differing: Vec<(Factor, Level)> = single
        .iter()
        .filter(|(_, differs)| **differs)
        .map(|(key, _)| *key)
        .collect();
    let mut factors: Vec<Factor> = differing.iter().map(|(factor, _)| *factor).collect();
    factors.dedup();
    let Some(first) = factors.first() else {
        return undecided(candidates, single.is_empty());
    };
    let shown: Vec<Cause> = factors
        .iter()
        .flat_map(|factor| shown_by(*factor))
        .copied()
        .collect();
    // What an archive keeps and how something is compressed is what it is, whatever brought it about.
    // Otherwise the content chooses among what the factors can show; it is asked for a strong word where the
    // factor's usual cause is another.
    let usual = shown_by(*first).first().copied().unwrap_or(Cause::Unknown);
    let agreed = candidates
        .iter()
        .find(|candidate| shown.contains(&candidate.cause));
    let is_settled = |candidate: &&Candidate| {
        candidate.strength == Strength::Certain
            && matches!(
                candidate.cause,
                Cause::ArchiveMetadata | Cause::Compression | Cause::Signature
            )
    };
    let settled = candidates.first().filter(is_settled);
    let cause = match settled.or(agreed) {
        Some(candidate) if settled.is_some() => candidate.cause,
        Some(candidate) if candidate.cause == usual || candidate.strength >= Strength::Likely => {
            candidate.cause
        }
        Some(_) | None => usual,
    };
    let names: Vec<String> = factors.iter().map(ToString::to_string).collect();
    let content = candidates.iter().find(|candidate| candidate.cause == cause);
    let content = content.map_or_else(String::new, |candidate| format!("; {}", candidate.evidence));
    NamedCause {
        cause,
        evidence: format!(
            "it differs when only this is varied: {}{content}",
            names.join(", or ")
        ),
    }
}

fn undecided(candidates: &[Candidate], is_untested: bool) -> NamedCause {
    let how = match is_untested {
        true => "",
        false => "; no single factor makes it differ",
    };
    match candidates.first() {
        Some(best) => NamedCause {
            cause: best.cause,
            evidence: format!("{}{how}", best.evidence),
        },
        None => NamedCause {
            cause: Cause::Unknown,
            evidence: format!("its content does not tell why{how}"),
        },
    }
}
