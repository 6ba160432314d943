//! Which variations few builds try: every level of every factor soon, every pair of levels in the end.
//!
//! A covering array of strength two, made greedily and always the same. The build that is verified is
//! its first row: everything as the host has it. A fault that two factors bring about together, which is
//! what all but a few faults need at most, shows in at least one row.

use std::collections::BTreeSet;

use kiln_model::{Factor, Level, Variation};

/// Two factors with a level each, the lesser factor first.
type Pair = ((Factor, Level), (Factor, Level));

/// Which rebuilds are asked for, and how much of the world they try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VariationPlan {
    /// What each rebuild changes, in order.
    pub builds: Vec<Variation>,
    /// Pairs of levels that stand together in some build, the verified one included.
    pub pairs_covered: usize,
    /// Pairs of levels that there are.
    pub pairs: usize,
}

impl VariationPlan {
    /// Plans `most` rebuilds, or as many as cover every pair when that is fewer.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let all = all_pairs();
        let mut covered: BTreeSet<Pair> = pairs_of(&Variation::default());
        let mut used: BTreeSet<(Factor, Level)> = Factor::ALL
            .iter()
            .map(|factor| (*factor, Level::AsHost))
            .collect();
        let mut builds = Vec::new();
        while builds.len() < most && covered.len() < all.len() {
            let row = next_row(&all, &covered, &used);
            covered.extend(pairs_of(&row));
            used.extend(Factor::ALL.map(|factor| (factor, row.level(factor))));
            builds.push(row);
        }
        Self {
            builds,
            pairs_covered: covered.len(),
            pairs: all.len(),
        }
    }

    /// Plans the fewest rebuilds in which every level of every factor is tried once.
    #[must_use]
    pub fn each_level() -> Self {
        let levels = Factor::ALL.iter().map(|factor| factor.levels().len() - 1);
        Self::new(levels.max().unwrap_or(0))
    }

    /// Plans as many rebuilds as cover every pair of levels.
    #[must_use]
    pub fn every_pair() -> Self {
        Self::new(usize::MAX)
    }
}

/// How many missing pairs a row is begun from, to keep the best.
const SEEDS: usize = 60;

/// Returns the row that adds most to what is covered; levels that were never tried come before all else.
fn next_row(
    all: &BTreeSet<Pair>,
    covered: &BTreeSet<Pair>,
    used: &BTreeSet<(Factor, Level)>,
) -> Variation {
    let is_used = |factor: &Factor| {
        let mut levels = factor.levels().iter();
        levels.all(|level| used.contains(&(*factor, *level)))
    };
    let seeds: Vec<Vec<(Factor, Level)>> = if Factor::ALL.iter().all(is_used) {
        let missing = all.difference(covered).take(SEEDS);
        missing.map(|(one, other)| vec![*one, *other]).collect()
    } else {
        vec![Vec::new()]
    };
    let rows = seeds.into_iter().map(|seed| row_from(seed, covered, used));
    let gain = |row: &Variation| pairs_of(row).difference(covered).count();
    // Of equal ones the first.
    let best = rows.rev().max_by_key(gain);
    best.unwrap_or_default()
}

/// Takes a level for each factor in turn: one that was never tried, or the one that adds most.
fn row_from(
    mut chosen: Vec<(Factor, Level)>,
    covered: &BTreeSet<Pair>,
    used: &BTreeSet<(Factor, Level)>,
) -> Variation {
    let mut factors = Factor::ALL;
    // Where there is least choice in the end, it is made first.
    factors.sort_by_key(|factor| std::cmp::Reverse(factor.levels().len()));
    for factor in factors {
        if chosen.iter().any(|(taken, _)| *taken == factor) {
            continue;
        }
        let is_new = |level: &&Level| !used.contains(&(factor, **level));
        let waits = waits(factor, used);
        let has_new = !waits && factor.levels().iter().any(|level| is_new(&level));
        let gain = |level: Level| {
            let pairs = chosen.iter().map(|other| pair((factor, level), *other));
            pairs.filter(|pair| !covered.contains(pair)).count()
        };
        // Of equal ones the last, which is never what the host has.
        let best = factor
            .levels()
            .iter()
            .filter(|level| !has_new || is_new(level))
            .filter(|level| !waits || **level == Level::AsHost)
            .max_by_key(|level| gain(**level));
        chosen.extend(best.map(|level| (factor, *level)));
    }
    let mut row = Variation::default();
    for (factor, level) in chosen {
        row.set(factor, level);
    }
    row
}

/// Returns whether a factor stays as the host has it for now: what makes a rebuild slow comes last, for
/// whoever asks for few. One processor doubles its time, and so does a file system that shuffles.
fn waits(factor: Factor, used: &BTreeSet<(Factor, Level)>) -> bool {
    match factor {
        Factor::Processors => !used.contains(&(Factor::Jobs, Level::One)),
        // Until a first rebuild had another file system, whose order of directories is another one too.
        Factor::DirectoryOrder => !used.contains(&(Factor::FileSystem, Level::Loop)),
        _ => false,
    }
}

fn pair(one: (Factor, Level), other: (Factor, Level)) -> Pair {
    if one.0 < other.0 {
        (one, other)
    } else {
        (other, one)
    }
}

fn pairs_of(row: &Variation) -> BTreeSet<Pair> {
    let chosen = Factor::ALL.map(|factor| (factor, row.level(factor)));
    let mut pairs = BTreeSet::new();
    for (index, one) in chosen.iter().enumerate() {
        pairs.extend(chosen[index + 1..].iter().map(|other| (*one, *other)));
    }
    pairs
}

fn all_pairs() -> BTreeSet<Pair> {
    let mut pairs = BTreeSet::new();
    for (index, one) in Factor::ALL.iter().enumerate() {
        for other in &Factor::ALL[index + 1..] {
            for level in one.levels() {
                let others = other.levels().iter();
                pairs.extend(others.map(|second| ((*one, *level), (*other, *second))));
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_builds_try_every_level_and_few_more_every_pair() {
        let few = VariationPlan::each_level();
        assert_eq!(few.builds.len(), 3);
        for factor in Factor::ALL {
            let tried: BTreeSet<Level> = few.builds.iter().map(|row| row.level(factor)).collect();
            let missing: Vec<&Level> = factor
                .levels()
                .iter()
                .filter(|level| **level != Level::AsHost && !tried.contains(level))
                .collect();
            assert!(missing.is_empty(), "{factor} is never {missing:?}");
        }
        let processors = few.builds.iter().map(|row| row.level(Factor::Processors));
        let one = processors.filter(|level| *level == Level::One);
        assert_eq!(
            one.count(),
            1,
            "the costly level is tried once, in the last one"
        );
        assert_eq!(few.builds[2].level(Factor::Processors), Level::One);
        let first = &few.builds[0];
        assert_eq!(first.level(Factor::DirectoryOrder), Level::AsHost);
        assert_eq!(first.level(Factor::FileSystem), Level::Loop);
        let all = VariationPlan::every_pair();
        assert_eq!(all.pairs_covered, all.pairs);
        // 4 levels by 3 levels need 12 rows, of which the verified build is one.
        assert!(
            (11..=16).contains(&all.builds.len()),
            "{}",
            all.builds.len()
        );
        assert_eq!(all.builds[..3], few.builds[..]);
    }

    #[test]
    fn a_plan_is_always_the_same_and_says_what_it_covers() {
        assert_eq!(VariationPlan::new(5), VariationPlan::new(5));
        let none = VariationPlan::new(0);
        assert_eq!(none.builds, []);
        assert_eq!(
            none.pairs_covered,
            Factor::ALL.len() * (Factor::ALL.len() - 1) / 2
        );
        for (fewer, more) in (0..10).map(|n| (VariationPlan::new(n), VariationPlan::new(n + 1))) {
            assert!(fewer.pairs_covered < more.pairs_covered);
        }
    }
}
