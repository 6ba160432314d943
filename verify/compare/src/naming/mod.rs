//! Causes from content: what the differing bytes themselves say about why they differ.
//!
//! A rule speaks only for what it can show: two dates where everything around them is equal, an address
//! of memory, the name of the host that each build ran on. Where content can not tell, as with an order,
//! several candidates are returned, best first, and rebuilds that vary one factor decide ([`decide`]).

mod binary;
mod dates;
mod decide;
mod fields;
mod follow;
mod order;
mod text;
mod words;

use std::collections::BTreeMap;

pub use decide::{decide, decide_with_pairs};

use crate::cause::{Cause, NamedCause};
use crate::difference::{Change, Difference};

/// What is known about one build; everything may be unknown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Circumstances {
    /// The clock that its steps saw.
    pub clock: Option<Clock>,
    /// The host's name.
    pub host_name: Option<String>,
    /// The user's name.
    pub user_name: Option<String>,
    /// The user's number.
    pub uid: Option<u32>,
    /// The folders that it was built in, as steps and as the host saw them.
    pub paths: Vec<String>,
    /// `TZ`: `Asia/Tokyo`.
    pub time_zone: Option<String>,
    /// `LC_ALL`: `de_DE.UTF-8`.
    pub locale: Option<String>,
    /// The kernel's release: `6.1.0-18-amd64`.
    pub kernel: Option<String>,
    /// How many processors could be used.
    pub processors: Option<usize>,
    /// How many compilers could run.
    pub jobs: Option<usize>,
    /// Other variables of the caller.
    pub environment: BTreeMap<String, String>,
}

/// From when to when a build ran, by its own clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// Seconds since 1970 when it began.
    pub start: i64,
    /// Seconds that it took.
    pub span: i64,
}

impl Clock {
    /// Whether a time could have been read from it; `slack` seconds more on both sides.
    const fn has(&self, seconds: i64, slack: i64) -> bool {
        seconds >= self.start - slack && seconds <= self.start + self.span + slack
    }
}

/// How much the content says for a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// It would look like this; other causes look the same.
    Possible,
    /// It looks like this and like little else.
    Likely,
    /// Nothing else is known that looks like this.
    Certain,
}

/// A cause that the content speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub cause: Cause,
    /// How much.
    pub strength: Strength,
    /// What was seen, in one sentence.
    pub evidence: String,
}

impl Candidate {
    fn new(cause: Cause, strength: Strength, evidence: impl Into<String>) -> Self {
        Self {
            cause,
            strength,
            evidence: evidence.into(),
        }
    }
}

/// Both builds.
type Both<'a> = (&'a Circumstances, &'a Circumstances);

/// Returns the causes that one difference's content speaks for, best first; none when it does not tell.
#[must_use]
pub fn candidates(
    difference: &Difference,
    left: &Circumstances,
    right: &Circumstances,
) -> Vec<Candidate> {
    let both = (left, right);
    let mut found = fields::candidates(difference);
    match &difference.change {
        Change::Order { left, right } => found.extend(order::candidates(difference, left, right)),
        Change::Value { left, right } => match (binary::parsed(left), binary::parsed(right)) {
            (Some(left), Some(right)) => found.extend(binary::candidates(&left, &right, both)),
            _ => found.extend(text::candidates(difference, left, right, both)),
        },
        Change::OnlyLeft(text) => found.extend(words::one_sided(text, left, right)),
        Change::OnlyRight(text) => found.extend(words::one_sided(text, right, left)),
    }
    ranked(found)
}

/// Best first; one of each cause.
fn ranked(mut found: Vec<Candidate>) -> Vec<Candidate> {
    // Stable: of equal strength, what was found first stays first.
    found.sort_by_key(|candidate| std::cmp::Reverse(candidate.strength));
    let mut ranked: Vec<Candidate> = Vec::new();
    for candidate in found {
        if !ranked.iter().any(|known| known.cause == candidate.cause) {
            ranked.push(candidate);
        }
    }
    ranked
}

/// Returns the candidates of all differences that do not follow from others, best first.
#[must_use]
pub fn all_candidates(
    differences: &[Difference],
    left: &Circumstances,
    right: &Circumstances,
) -> Vec<Candidate> {
    let found = explained(differences, left, right);
    ranked(
        found
            .into_iter()
            .flat_map(|(_, candidates)| candidates)
            .collect(),
    )
}

/// Names the causes of a comparison's differences: the best of each, and [`Cause::Unknown`] for those
/// that nothing is known of.
#[must_use]
pub fn name_causes(
    differences: &[Difference],
    left: &Circumstances,
    right: &Circumstances,
) -> Vec<NamedCause> {
    let mut found = explained(differences, left, right);
    drop_digests(&mut found);
    let mut by_cause: BTreeMap<Cause, (Strength, String, usize)> = BTreeMap::new();
    let mut unknown: Vec<&Difference> = Vec::new();
    for (difference, candidates) in &found {
        let Some(best) = candidates.first() else {
            unknown.push(difference);
            continue;
        };
        let entry = by_cause.entry(best.cause);
        let known = entry.or_insert((best.strength, best.evidence.clone(), 0));
        known.2 += 1;
        if best.strength > known.0 {
            known.0 = best.strength;
            known.1.clone_from(&best.evidence);
        }
    }
    let mut causes: Vec<(usize, NamedCause)> = by_cause
        .into_iter()
        .map(|(cause, (strength, evidence, count))| {
            let doubt = match strength {
                Strength::Certain | Strength::Likely => "",
                Strength::Possible => " (a guess: other causes look the same)",
            };
            let more = match count {
                1 => String::new(),
                count => format!(" and {} more", count - 1),
            };
            (
                count,
                NamedCause {
                    cause,
                    evidence: format!("{evidence}{more}{doubt}"),
                },
            )
        })
        .collect();
    // What explains most comes first.
    causes.sort_by_key(|(count, named)| (std::cmp::Reverse(*count), named.cause));
    let mut causes: Vec<NamedCause> = causes.into_iter().map(|(_, named)| named).collect();
    if let Some(first) = unknown.first() {
        let place: Vec<String> = first.place.iter().map(ToString::to_string).collect();
        let (more, verb) = match unknown.len() {
            1 => (String::new(), "differs"),
            count => (format!(" and {} more", count - 1), "differ"),
        };
        causes.push(NamedCause {
            cause: Cause::Unknown,
            evidence: format!(
                "the content does not tell why `{}`{more} {verb}",
                place.join(", ")
            ),
        });
    }
    causes
}

/// Every difference that does not follow from another, with its candidates. What is on the left only
/// and what is on the right only, at one place, are two values of one thing.
fn explained<'a>(
    differences: &'a [Difference],
    left: &Circumstances,
    right: &Circumstances,
) -> Vec<(&'a Difference, Vec<Candidate>)> {
    let known = differences.iter().zip(follow::explained(differences));
    let meant = known.filter(|(_, is_explained)| !is_explained);
    let meant: Vec<&Difference> = meant.map(|(difference, _)| difference).collect();
    let mut found = Vec::new();
    let mut taken = vec![false; meant.len()];
    for (at, difference) in meant.iter().enumerate() {
        if taken[at] {
            continue;
        }
        if let Change::OnlyLeft(_) = difference.change
            && let Some((other, candidates)) = partner(&meant, &taken, at, (left, right))
        {
            taken[other] = true;
            found.push((*difference, candidates));
            continue;
        }
        found.push((*difference, candidates(difference, left, right)));
    }
    found
}

/// Most differences behind one that are looked at for its other half.
const REACH: usize = 200;

fn partner(
    meant: &[&Difference],
    taken: &[bool],
    at: usize,
    both: Both<'_>,
) -> Option<(usize, Vec<Candidate>)> {
    let one = meant[at];
    let (name, parent) = one.place.split_last()?;
    let Change::OnlyLeft(left) = &one.change else {
        return None;
    };
    for (other, two) in meant.iter().enumerate().take(at + REACH).skip(at + 1) {
        let Change::OnlyRight(right) = &two.change else {
            continue;
        };
        let is_sibling = two
            .place
            .split_last()
            .is_some_and(|(other_name, other_parent)| {
                other_parent == parent && other_name.kind == name.kind
            });
        if taken[other] || !is_sibling {
            continue;
        }
        // Named things by their names, numbered ones by what they are.
        let other_name = &two.place.last()?.name;
        let is_numbered = name.name.bytes().all(|byte| byte.is_ascii_digit());
        let candidates = match is_numbered {
            true => text::candidates(one, left, right, both),
            false => text::candidates(one, &name.name, other_name, both),
        };
        let candidates = ranked(candidates);
        if candidates
            .first()
            .is_some_and(|best| best.strength >= Strength::Likely)
        {
            return Some((other, candidates));
        }
    }
    None
}

/// A text that looks like a digest differs whenever what it is the digest of does: it explains nothing.
/// Next to another difference that is explained it needs no explanation either.
fn drop_digests(found: &mut Vec<(&Difference, Vec<Candidate>)>) {
    let is_digest = |candidates: &Vec<Candidate>| {
        candidates
            .first()
            .is_some_and(|best| best.evidence == words::DIGEST_EVIDENCE)
    };
    let is_explained =
        |candidates: &Vec<Candidate>| !candidates.is_empty() && !is_digest(candidates);
    if found.iter().any(|(_, candidates)| is_explained(candidates)) {
        found.retain(|(_, candidates)| !is_digest(candidates));
    }
    for (_, candidates) in found
        .iter_mut()
        .filter(|(_, candidates)| is_digest(candidates))
    {
        candidates.clear();
    }
}

#[cfg(test)]
mod tests;
