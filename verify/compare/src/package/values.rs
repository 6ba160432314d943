//! What a header says: tags by name, relations and scriptlets in words.

use std::collections::BTreeMap;

use kiln_rpm::{PackagedScriptlet, Relation, RpmFile, Section, TagValue};

use super::{Pair, tags};
use crate::content::{compare_texts, order_of};
use crate::difference::Change;
use crate::finder::{Finder, Side};
use crate::printable::{common_prefix, hex, time};
use crate::sequence::{Edit, Relation as Related, relate};

/// Tags that are told in words elsewhere: relations, scriptlets, files.
#[rustfmt::skip]
const ELSEWHERE: [u32; 69] = [
    1023, 1024, 1025, 1026, 1079, 1085, 1086, 1087, 1088, 1091, 1151, 1152, 1153, 1154,
    1047, 1112, 1113, 1049, 1048, 1050, 1054, 1053, 1055, 1090, 1114, 1115,
    5046, 5047, 5048, 5049, 5050, 5051, 5052, 5053, 5054, 5055, 5056, 5057,
    1028, 1030, 1033, 1034, 1035, 1036, 1037, 1039, 1040, 1045, 1095, 1096, 1097, 1116, 1117, 1118,
    1140, 1141, 1142, 1143, 1144, 1145, 5008, 5010, 5090, 1147, 1031, 1032, 1027, 1029, 1177,
];

/// Compares a section's tags.
pub(super) fn compare_tags(finder: &mut Finder, pair: &Pair<'_>, section: Section) {
    let (left, right) = (pair.left.file.tags(section), pair.right.file.tags(section));
    let mut tags: Vec<u32> = left.keys().chain(right.keys()).copied().collect();
    tags.sort_unstable();
    tags.dedup();
    for tag in tags {
        if section == Section::Header && ELSEWHERE.contains(&tag) {
            continue;
        }
        let (one, two) = (left.get(&tag), right.get(&tag));
        if one == two || finder.is_done() {
            continue;
        }
        let kind = match section {
            Section::Header => "tag",
            Section::Signature => "signature tag",
        };
        let name = tags::name(section, tag);
        match (one, two) {
            (Some(one), Some(two)) => {
                finder.within(kind, &name, |finder| compare_values(finder, tag, one, two));
            }
            (Some(one), None) => finder.only(Side::Left, kind, &name, &shown(tag, one)),
            (None, Some(two)) => finder.only(Side::Right, kind, &name, &shown(tag, two)),
            (None, None) => {}
        }
    }
}

fn compare_values(finder: &mut Finder, tag: u32, left: &TagValue, right: &TagValue) {
    match (left, right) {
        (TagValue::Texts(left), TagValue::Texts(right)) => {
            match (left.as_slice(), right.as_slice()) {
                ([left], [right]) if left.contains('\n') || right.contains('\n') => {
                    compare_texts(finder, left.as_bytes(), right.as_bytes());
                }
                ([left], [right]) => tell(finder, left, right),
                (left, right) => compare_lists(finder, left, right),
            }
        }
        (TagValue::Numbers(left), TagValue::Numbers(right))
            if left.len() > 1 || right.len() > 1 =>
        {
            let shown = |numbers: &[u64]| -> Vec<String> {
                numbers
                    .iter()
                    .map(|number| number_text(tag, *number))
                    .collect()
            };
            compare_lists(finder, &shown(left), &shown(right));
        }
        (TagValue::Bytes(left), TagValue::Bytes(right)) => tell_bytes(finder, left, right),
        (left, right) => tell(finder, &shown(tag, left), &shown(tag, right)),
    }
}

/// Tells bytes from where they differ.
fn tell_bytes(finder: &mut Finder, left: &[u8], right: &[u8]) {
    let at = common_prefix(left, right);
    let told = |bytes: &[u8]| {
        let rest = bytes.get(at..).unwrap_or_default();
        let first = hex(&rest[..rest.len().min(24)]);
        match bytes.len() {
            0..=24 => hex(bytes),
            length if at == 0 => format!("{length} bytes: {first}"),
            length => format!("{length} bytes, from {at:#x}: {first}"),
        }
    };
    tell(finder, &told(left), &told(right));
}

fn tell(finder: &mut Finder, left: &str, right: &str) {
    finder.add(Change::Value {
        left: left.to_owned(),
        right: right.to_owned(),
    });
}

/// Compares lists item by item.
pub(super) fn compare_lists(finder: &mut Finder, left: &[String], right: &[String]) {
    let most = finder.effort().per_leaf;
    match relate(left, right) {
        Related::Order { start, end } => {
            let (left, right) = order_of(&left[start..end], &right[start..end]);
            finder.add(Change::Order { left, right });
        }
        Related::Edits(edits) => {
            for edit in edits.iter().take(most) {
                match *edit {
                    Edit::Replaced(at, to) => {
                        finder.value("item", &(at + 1).to_string(), &left[at], &right[to]);
                    }
                    Edit::OnlyLeft(at) => {
                        finder.only(Side::Left, "item", &(at + 1).to_string(), &left[at]);
                    }
                    Edit::OnlyRight(at) => {
                        finder.only(Side::Right, "item", &(at + 1).to_string(), &right[at]);
                    }
                }
            }
            if edits.len() > most {
                finder.note(format!("{} more items differ", edits.len() - most));
            }
        }
    }
}

fn number_text(tag: u32, number: u64) -> String {
    match tags::is_time(tag) {
        true => time(number),
        false => number.to_string(),
    }
}

fn shown(tag: u32, value: &TagValue) -> String {
    const MOST: usize = 20;
    match value {
        TagValue::Texts(texts) => texts[..texts.len().min(MOST)].join(" | "),
        TagValue::Numbers(numbers) => {
            let texts = numbers
                .iter()
                .take(MOST)
                .map(|number| number_text(tag, *number));
            texts.collect::<Vec<_>>().join(" ")
        }
        TagValue::Bytes(bytes) => {
            let first = hex(&bytes[..bytes.len().min(24)]);
            match bytes.len() {
                0..=24 => first,
                length => format!("{length} bytes: {first}"),
            }
        }
    }
}

/// Compares what the packages say about others.
pub(super) fn compare_relations(finder: &mut Finder, left: &RpmFile, right: &RpmFile) {
    let (left, right) = (left.relations(), right.relations());
    for (kind, left, right) in [
        ("provides", &left.provides, &right.provides),
        ("requires", &left.requires, &right.requires),
        ("conflicts", &left.conflicts, &right.conflicts),
        ("obsoletes", &left.obsoletes, &right.obsoletes),
        ("recommends", &left.recommends, &right.recommends),
        ("suggests", &left.suggests, &right.suggests),
        ("supplements", &left.supplements, &right.supplements),
        ("enhances", &left.enhances, &right.enhances),
    ] {
        if left != right {
            compare_kind(finder, kind, left, right);
        }
    }
}

fn compare_kind(finder: &mut Finder, kind: &str, left: &[Relation], right: &[Relation]) {
    let by_name = |relations: &'_ [Relation]| {
        let mut by_name: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for relation in relations {
            let flags = match relation.flags & !0b1110 {
                0 => String::new(),
                flags => format!(" (flags {flags:#x})"),
            };
            let text = format!("{relation}{flags}");
            by_name.entry(relation.name.clone()).or_default().push(text);
        }
        by_name
    };
    let (left_names, right_names) = (by_name(left), by_name(right));
    let before = finder.count();
    let joined = |texts: Option<&Vec<String>>| texts.map(|texts| texts.join(" | "));
    finder.within("relations", kind, |finder| {
        for (name, texts) in &left_names {
            match (joined(Some(texts)), joined(right_names.get(name))) {
                (Some(left), Some(right)) if left != right => {
                    finder.add(Change::Value { left, right })
                }
                (Some(left), None) => finder.add(Change::OnlyLeft(left)),
                _ => {}
            }
        }
        for (_, texts) in right_names
            .iter()
            .filter(|(name, _)| !left_names.contains_key(*name))
        {
            finder.add(Change::OnlyRight(texts.join(" | ")));
        }
    });
    if finder.count() == before && !finder.is_done() {
        let texts = |relations: &[Relation]| -> Vec<String> {
            relations.iter().map(ToString::to_string).collect()
        };
        finder.within("order", kind, |finder| {
            compare_lists(finder, &texts(left), &texts(right))
        });
    }
}

/// Compares what runs when a package is installed or removed.
pub(super) fn compare_scriptlets(finder: &mut Finder, left: &RpmFile, right: &RpmFile) {
    let (left, right) = (left.scriptlets(), right.scriptlets());
    let find = |scriptlets: &'_ [PackagedScriptlet], section: &str| {
        scriptlets
            .iter()
            .position(|scriptlet| scriptlet.section == section)
    };
    for one in left {
        let Some(two) = find(right, one.section).map(|at| &right[at]) else {
            finder.only(Side::Left, "scriptlet", one.section, &one.body);
            continue;
        };
        if one != two {
            finder.within("scriptlet", one.section, |finder| {
                finder.value(
                    "field",
                    "program",
                    &one.program.join(" "),
                    &two.program.join(" "),
                );
                if one.body != two.body {
                    compare_texts(finder, one.body.as_bytes(), two.body.as_bytes());
                }
            });
        }
    }
    for two in right.iter().filter(|two| find(left, two.section).is_none()) {
        finder.only(Side::Right, "scriptlet", two.section, &two.body);
    }
}
