//! What two packages say of their files: which there are, and for those that both have, mode, owner,
//! time and so on. What is in them is the payload's.

use std::collections::{BTreeMap, BTreeSet};

use kiln_rpm::{PackagedFile, PackagedFileKind, RpmFile, Section, TagValue};

use crate::content::order_of;
use crate::difference::Change;
use crate::finder::{Finder, Side};
use crate::printable::time;

/// Paths and fields that were told, so that the payload does not tell them again. A path without a
/// field is on one side only.
pub(super) type Told = BTreeSet<(String, &'static str)>;

/// Arrays of the header about which `PackagedFile` says nothing: one element for each file.
const MORE: [(u32, &str); 7] = [
    (1033, "device number"),
    (1045, "verify flags"),
    (1095, "device"),
    (1096, "inode"),
    (1097, "language"),
    (1140, "colour"),
    (5090, "signature"),
];

const CLASSES: u32 = 1141;
const CLASS_NAMES: u32 = 1142;

/// Numbers that rpmbuild counts up: a file more shifts those of all that follow.
pub(super) const COUNTED: [&str; 2] = ["device", "inode"];

/// Compares the lists of files.
pub(super) fn compare(finder: &mut Finder, left: &RpmFile, right: &RpmFile) -> Told {
    let mut told = Told::new();
    let by_path = |package: &'_ RpmFile| -> BTreeMap<String, usize> {
        let paths = package.files().iter().enumerate();
        paths.map(|(at, file)| (file.path.clone(), at)).collect()
    };
    let (left_paths, right_paths) = (by_path(left), by_path(right));
    let is_same_list = left_paths.keys().eq(right_paths.keys());
    for (path, at) in &left_paths {
        if finder.is_done() {
            return told;
        }
        let one = &left.files()[*at];
        let Some(other) = right_paths.get(path) else {
            finder.only(Side::Left, "file", path, &summary(one));
            told.insert((path.clone(), ""));
            continue;
        };
        let fields = (fields(left, *at), fields(right, *other));
        for ((field, value), (_, other)) in fields.0.iter().zip(&fields.1) {
            if value != other && (is_same_list || !COUNTED.contains(field)) {
                finder.within("file", path, |finder| {
                    finder.value("field", field, value, other);
                });
                told.insert((path.clone(), field));
            }
        }
    }
    for (path, at) in right_paths
        .iter()
        .filter(|(path, _)| !left_paths.contains_key(*path))
    {
        finder.only(Side::Right, "file", path, &summary(&right.files()[*at]));
        told.insert((path.clone(), ""));
    }
    compare_order(finder, left, right, (&left_paths, &right_paths));
    told
}

fn compare_order(
    finder: &mut Finder,
    left: &RpmFile,
    right: &RpmFile,
    (left_paths, right_paths): (&BTreeMap<String, usize>, &BTreeMap<String, usize>),
) {
    let common = |package: &RpmFile, others: &BTreeMap<String, usize>| -> Vec<String> {
        let paths = package.files().iter().map(|file| file.path.clone());
        paths.filter(|path| others.contains_key(path)).collect()
    };
    let (left, right) = (common(left, right_paths), common(right, left_paths));
    if left != right {
        let same = left.iter().zip(&right).take_while(|(l, r)| l == r).count();
        let (left, right) = order_of(&left[same..], &right[same..]);
        finder.within("order", "files", |finder| {
            finder.add(Change::Order { left, right });
        });
    }
}

fn summary(file: &PackagedFile) -> String {
    let mode = file.mode;
    match &file.kind {
        PackagedFileKind::Regular { .. } => format!("file of {} bytes, mode {mode:04o}", file.size),
        PackagedFileKind::Directory => format!("folder, mode {mode:04o}"),
        PackagedFileKind::Link { target } => format!("link to {target}"),
        PackagedFileKind::Special => format!("device, mode {mode:04o}"),
    }
}

/// Returns everything that is said of one file; the same fields for every file.
fn fields(package: &RpmFile, at: usize) -> Vec<(&'static str, String)> {
    let file = &package.files()[at];
    let (kind, target) = match &file.kind {
        PackagedFileKind::Regular { .. } => ("file", "none"),
        PackagedFileKind::Directory => ("folder", "none"),
        PackagedFileKind::Link { target } => ("link", target.as_str()),
        PackagedFileKind::Special => ("device", "none"),
    };
    let digest = match &file.kind {
        PackagedFileKind::Regular {
            digest: Some(digest),
        } => digest.to_string(),
        _ => "none".to_owned(),
    };
    let mut fields = vec![
        ("type", kind.to_owned()),
        ("target", target.to_owned()),
        ("mode", format!("{:04o}", file.mode)),
        ("owner", file.user.clone()),
        ("group", file.group.clone()),
        ("mtime", time(file.modified.into())),
        ("size", format!("{} bytes", file.size)),
        ("digest", digest),
        ("flags", flags(file.flags)),
        (
            "capabilities",
            file.capabilities
                .clone()
                .unwrap_or_else(|| "none".to_owned()),
        ),
        ("class", class(package, at)),
    ];
    let tags = package.tags(Section::Header);
    for (tag, name) in MORE {
        let value = match tags.get(&tag) {
            Some(TagValue::Numbers(numbers)) => numbers.get(at).map(u64::to_string),
            Some(TagValue::Texts(texts)) => texts.get(at).cloned(),
            _ => None,
        };
        fields.push((name, value.unwrap_or_else(|| "none".to_owned())));
    }
    fields
}

/// What libmagic says of a file.
fn class(package: &RpmFile, at: usize) -> String {
    let tags = package.tags(Section::Header);
    let (Some(TagValue::Numbers(classes)), Some(TagValue::Texts(names))) =
        (tags.get(&CLASSES), tags.get(&CLASS_NAMES))
    else {
        return "none".to_owned();
    };
    let name = classes
        .get(at)
        .and_then(|class| names.get(usize::try_from(*class).ok()?));
    name.cloned().unwrap_or_default()
}

/// rpm's flags (`rpmfileAttrs`) by name.
fn flags(flags: u32) -> String {
    const NAMES: [(u32, &str); 10] = [
        (1, "config"),
        (2, "doc"),
        (8, "missingok"),
        (16, "noreplace"),
        (32, "specfile"),
        (64, "ghost"),
        (128, "license"),
        (256, "readme"),
        (4096, "artifact"),
        (8192, "artifact2"),
    ];
    let mut names: Vec<String> = Vec::new();
    let mut rest = flags;
    for (flag, name) in NAMES {
        if flags & flag != 0 {
            names.push(name.to_owned());
            rest &= !flag;
        }
    }
    if rest != 0 {
        names.push(format!("{rest:#x}"));
    }
    match names.is_empty() {
        true => "none".to_owned(),
        false => names.join(" "),
    }
}
