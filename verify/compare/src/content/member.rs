//! Members of archives, whatever kind of archive: which are there, what is said of them, what is in
//! them, and in which order they stand.

use std::collections::BTreeMap;

use super::tell_order;
use crate::finder::{Finder, Side};
use crate::printable::text_of;

/// Most members that an archive may have. Debian's largest source archives have some hundred thousand.
pub(super) const MOST_MEMBERS: usize = 500_000;

/// One member.
#[derive(Debug, Clone)]
pub(super) struct Member<'a> {
    /// As it stands in the archive.
    pub(super) name: Vec<u8>,
    /// What is said of it: `mtime`, `mode`; those that both have are compared.
    pub(super) fields: Vec<(&'static str, String)>,
    /// What is in it.
    pub(super) content: &'a [u8],
}

/// A name and which of those that share it.
type Key<'a> = (&'a [u8], usize);

fn keyed<'a>(members: &'a [Member<'_>]) -> Vec<Key<'a>> {
    let mut seen: BTreeMap<&[u8], usize> = BTreeMap::new();
    let key = |member: &'a Member<'_>| {
        let count = seen.entry(&member.name).or_default();
        *count += 1;
        (member.name.as_slice(), *count - 1)
    };
    members.iter().map(key).collect()
}

fn name((name, nth): Key<'_>) -> String {
    match nth {
        0 => text_of(name),
        nth => format!("{} (no. {})", text_of(name), nth + 1),
    }
}

/// Tells how the members of two archives differ.
pub(super) fn compare_members(finder: &mut Finder, left: &[Member<'_>], right: &[Member<'_>]) {
    let (left_keys, right_keys) = (keyed(left), keyed(right));
    let left_places: BTreeMap<Key<'_>, usize> = keys_of(&left_keys);
    let right_places: BTreeMap<Key<'_>, usize> = keys_of(&right_keys);
    for (key, member) in left_keys.iter().zip(left) {
        if finder.is_done() {
            return;
        }
        let Some(other) = right_places.get(key).and_then(|at| right.get(*at)) else {
            finder.only(Side::Left, "member", &name(*key), &summary(member));
            continue;
        };
        if member.content == other.content && member.fields == other.fields {
            continue;
        }
        finder.within("member", &name(*key), |finder| {
            compare_fields(finder, &member.fields, &other.fields);
            super::compare(finder, member.content, other.content);
        });
    }
    for (key, member) in right_keys.iter().zip(right) {
        if !left_places.contains_key(key) {
            finder.only(Side::Right, "member", &name(*key), &summary(member));
        }
    }
    let common = |keys: &[Key<'_>], others: &BTreeMap<Key<'_>, usize>| -> Vec<String> {
        let both = keys.iter().filter(|key| others.contains_key(*key));
        both.map(|key| name(*key)).collect()
    };
    let (left, right) = (
        common(&left_keys, &right_places),
        common(&right_keys, &left_places),
    );
    tell_order(finder, "members", &left, &right);
}

fn keys_of<'a>(keys: &[Key<'a>]) -> BTreeMap<Key<'a>, usize> {
    keys.iter()
        .enumerate()
        .map(|(at, key)| (*key, at))
        .collect()
}

/// Tells which of the fields that both have differ.
pub(super) fn compare_fields(
    finder: &mut Finder,
    left: &[(&'static str, String)],
    right: &[(&'static str, String)],
) {
    for (field, value) in left {
        let other = right.iter().find(|(name, _)| name == field);
        let other = other.map_or("none", |(_, value)| value);
        finder.value("field", field, value, other);
    }
    for (field, value) in right {
        if !left.iter().any(|(name, _)| name == field) {
            finder.value("field", field, "none", value);
        }
    }
}

fn summary(member: &Member<'_>) -> String {
    format!("{} bytes", member.content.len())
}
