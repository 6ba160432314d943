//! Orders: what is sorted, and by which rule; what is a list backwards; what is neither.

use super::{Candidate, Strength};
use crate::cause::Cause;
use crate::difference::Difference;

/// Returns what two orders of the same things speak for. Content alone can not tell a directory's order
/// from that of a race: candidates are ranked by how often they are meant.
pub(super) fn candidates(difference: &Difference, left: &str, right: &str) -> Vec<Candidate> {
    let items = |text: &'_ str| -> Vec<String> {
        let items = text.split(" | ").filter(|item| *item != "…");
        items.map(str::to_owned).collect()
    };
    let (left, right) = (items(left), items(right));
    let mut found = Vec::new();
    let both = (
        is_sorted(&left),
        is_folded(&left),
        is_sorted(&right),
        is_folded(&right),
    );
    if matches!(
        both,
        (true, false, false, true) | (false, true, true, false)
    ) {
        found.push(Candidate::new(
            Cause::Locale,
            Strength::Likely,
            "one side is sorted by bytes, the other without regard to case, as other locales sort",
        ));
    }
    let is_sorted_on_one = is_sorted(&left) != is_sorted(&right);
    let is_backwards = left.iter().eq(right.iter().rev());
    let is_archive = difference
        .place
        .last()
        .is_some_and(|last| last.name == "members");
    if is_backwards && left.len() > 2 {
        let evidence =
            "one side is the other backwards, as a folder is listed on other file systems";
        found.push(Candidate::new(
            Cause::DirectoryOrder,
            Strength::Likely,
            evidence,
        ));
    }
    let what = if is_archive { "members" } else { "things" };
    let evidence = match is_sorted_on_one {
        true => format!("the same {what}, sorted on one side only, as a folder is listed"),
        false => format!("the same {what} in another order, as a folder is listed"),
    };
    found.push(Candidate::new(
        Cause::DirectoryOrder,
        Strength::Possible,
        evidence,
    ));
    let others = [
        (Cause::ParallelRace, "as what runs side by side ends"),
        (Cause::Random, "as a table with random hashes has it"),
        (Cause::Locale, "as another locale sorts"),
        (Cause::Memory, "as addresses in memory order it"),
    ];
    for (cause, how) in others {
        let evidence = format!("the same {what} in another order, {how}");
        found.push(Candidate::new(cause, Strength::Possible, evidence));
    }
    found
}

fn is_sorted(items: &[String]) -> bool {
    items.is_sorted()
}

/// Sorted as locales sort: letters before their case, punctuation ignored.
fn is_folded(items: &[String]) -> bool {
    let folded = |item: &String| -> String {
        let letters = item.chars().filter(|c| c.is_alphanumeric());
        letters.flat_map(char::to_lowercase).collect()
    };
    items.is_sorted_by_key(folded)
}
