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

/// Decides between candidates by rebuilds: each is what it varied, and whether its result differs from
/// the one that nothing was varied for.
///
/// * It differs with nothing varied: it was time that passed, chance, memory or a race. Equal without
///   address randomisation is memory, equal with one job is a race.
/// * It differs only when one factor is varied: that is the cause.
/// * Nothing that was varied alone makes it differ: the content's best candidate stands.
#[must_use]
pub fn decide(candidates: &[Candidate], isolating: &[(Variation, bool)]) -> NamedCause {
    let differs_by_itself = isolating
        .iter()
        .any(|(variation, differs)| *differs && variation.changed().next().is_none());
    let alone = |variation: &Variation| {
        let mut changed = variation.changed();
        match (changed.next(), changed.next()) {
            (Some(one), None) => Some(one),
            _ => None,
        }
    };
    let mut single: BTreeMap<(Factor, Level), bool> = BTreeMap::new();
    for (variation, differs) in isolating {
        if let Some(key) = alone(variation) {
            *single.entry(key).or_default() |= *differs;
        }
    }
    match differs_by_itself {
        true => by_itself(candidates, &single),
        false => by_factor(candidates, &single),
    }
}

fn by_itself(candidates: &[Candidate], single: &BTreeMap<(Factor, Level), bool>) -> NamedCause {
    let is_equal = |factor, level| single.get(&(factor, level)) == Some(&false);
    let is_tested = |factor, level| single.contains_key(&(factor, level));
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
    if is_equal(Factor::Aslr, Level::Off) {
        return named(
            Cause::Memory,
            ", and is the same when addresses are not chosen at random",
        );
    }
    if is_equal(Factor::Jobs, Level::One) || is_equal(Factor::Processors, Level::One) {
        return named(
            Cause::ParallelRace,
            ", and is the same when one thing is done at a time",
        );
    }
    let is_possible = |cause: Cause| match cause {
        Cause::Memory => !is_tested(Factor::Aslr, Level::Off),
        // What a step starts by itself, with `&` or `make -j8`, races on one processor too.
        Cause::ParallelRace => true,
        Cause::Timestamp | Cause::Random | Cause::ArchiveMetadata => true,
        _ => false,
    };
    let best = candidates
        .iter()
        .find(|candidate| is_possible(candidate.cause));
    match best {
        Some(best) => named(best.cause, &format!("; {}", best.evidence)),
        // With one job and without random addresses it still differs: only chance is left.
        None if is_tested(Factor::Aslr, Level::Off) && is_tested(Factor::Jobs, Level::One) => {
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
