//! Which items of two sequences belong together: lines, strings, elements of a JSON array.

use std::collections::BTreeMap;
use std::hash::Hash;

use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Most items on a side that are aligned with care; above, those that are on one side only are told.
const MOST_ALIGNED: usize = 20_000;

/// How two sequences relate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The same items in another order: those from `start` to `end`.
    Order {
        /// Where the orders part.
        start: usize,
        /// Where they meet again.
        end: usize,
    },
    /// The edits that lead from left to right, in order.
    Edits(Vec<Edit>),
}

/// One edit, by index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edit {
    /// Left's item became right's.
    Replaced(usize, usize),
    /// Left's item is gone.
    OnlyLeft(usize),
    /// Right's item is new.
    OnlyRight(usize),
}

/// Relates two sequences that differ.
pub(crate) fn relate<T: Eq + Hash + Ord>(left: &[T], right: &[T]) -> Relation {
    let prefix = left.iter().zip(right).take_while(|(l, r)| l == r).count();
    let (left_rest, right_rest) = (&left[prefix..], &right[prefix..]);
    let reversed = left_rest.iter().rev().zip(right_rest.iter().rev());
    let suffix = reversed.take_while(|(l, r)| l == r).count();
    let left_rest = &left_rest[..left_rest.len() - suffix];
    let right_rest = &right_rest[..right_rest.len() - suffix];
    if left_rest.len() == right_rest.len()
        && left_rest.len() > 1
        && is_permutation(left_rest, right_rest)
    {
        return Relation::Order {
            start: prefix,
            end: prefix + left_rest.len(),
        };
    }
    let edits = if left_rest.len().max(right_rest.len()) > MOST_ALIGNED {
        one_sided(left_rest, right_rest, prefix)
    } else {
        aligned(left_rest, right_rest, prefix)
    };
    Relation::Edits(edits)
}

fn is_permutation<T: Ord>(left: &[T], right: &[T]) -> bool {
    let sorted = |items: &'_ [T]| -> Vec<usize> {
        let mut order: Vec<usize> = (0..items.len()).collect();
        order.sort_by(|a, b| items[*a].cmp(&items[*b]));
        order
    };
    let (left_order, right_order) = (sorted(left), sorted(right));
    let mut pairs = left_order.iter().zip(&right_order);
    pairs.all(|(l, r)| left[*l] == right[*r])
}

fn aligned<T: Eq + Hash + Ord>(left: &[T], right: &[T], start: usize) -> Vec<Edit> {
    let mut edits = Vec::new();
    for operation in capture_diff_slices(Algorithm::Myers, left, right) {
        match operation {
            DiffOp::Equal { .. } => {}
            DiffOp::Delete {
                old_index, old_len, ..
            } => {
                edits.extend((old_index..old_index + old_len).map(|at| Edit::OnlyLeft(start + at)))
            }
            DiffOp::Insert {
                new_index, new_len, ..
            } => {
                edits.extend((new_index..new_index + new_len).map(|at| Edit::OnlyRight(start + at)))
            }
            DiffOp::Replace {
                old_index,
                old_len,
                new_index,
                new_len,
            } => {
                let both = old_len.min(new_len);
                edits.extend(
                    (0..both)
                        .map(|at| Edit::Replaced(start + old_index + at, start + new_index + at)),
                );
                edits.extend((both..old_len).map(|at| Edit::OnlyLeft(start + old_index + at)));
                edits.extend((both..new_len).map(|at| Edit::OnlyRight(start + new_index + at)));
            }
        }
    }
    edits
}

/// Without alignment: what one side has more often than the other. Where all items are the same
/// often, which is an order of a kind that was not seen above, the first items are told.
fn one_sided<T: Ord>(left: &[T], right: &[T], start: usize) -> Vec<Edit> {
    let mut surplus: BTreeMap<&T, i64> = BTreeMap::new();
    left.iter()
        .for_each(|item| *surplus.entry(item).or_default() += 1);
    right
        .iter()
        .for_each(|item| *surplus.entry(item).or_default() -= 1);
    let mut edits = Vec::new();
    let mut missing = surplus.clone();
    for (at, item) in left.iter().enumerate() {
        let count = missing.entry(item).or_default();
        if *count > 0 {
            *count -= 1;
            edits.push(Edit::OnlyLeft(start + at));
        }
    }
    for (at, item) in right.iter().enumerate() {
        let count = surplus.entry(item).or_default();
        if *count < 0 {
            *count += 1;
            edits.push(Edit::OnlyRight(start + at));
        }
    }
    if left.len() == right.len() && edits.len() == 2 * left.len() {
        return (0..left.len())
            .map(|at| Edit::Replaced(start + at, start + at))
            .collect();
    }
    edits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(left: &str, right: &str, expected: &Relation) {
        let left: Vec<&str> = left.split_whitespace().collect();
        let right: Vec<&str> = right.split_whitespace().collect();
        assert_eq!(relate(&left, &right), *expected, "{left:?} {right:?}");
    }

    #[test]
    fn sequences_are_related() {
        check("a b c", "a c b", &Relation::Order { start: 1, end: 3 });
        check(
            "a b c d",
            "a x c d",
            &Relation::Edits(vec![Edit::Replaced(1, 1)]),
        );
        check("a b c", "a c", &Relation::Edits(vec![Edit::OnlyLeft(1)]));
        check("a c", "a b c", &Relation::Edits(vec![Edit::OnlyRight(1)]));
        check("", "a", &Relation::Edits(vec![Edit::OnlyRight(0)]));
        check(
            "a a b",
            "a b b",
            &Relation::Edits(vec![Edit::Replaced(1, 1)]),
        );
    }

    #[test]
    fn long_sequences_are_related_without_care() {
        let left: Vec<usize> = (0..50_000).map(|n| n * 7919 % 50_000).collect();
        let mut right: Vec<usize> = left.iter().rev().copied().collect();
        assert_eq!(
            relate(&left, &right),
            Relation::Order {
                start: 0,
                end: 50_000
            }
        );
        right[17] = 99_999;
        let Relation::Edits(edits) = relate(&left, &right) else {
            panic!("an item differs");
        };
        assert_eq!(edits.len(), 2);
    }
}
