//! The payload: unpacked as it is read, member by member, both packages in step.

use kiln_rpm::{PackagedFile, RpmFile};

use super::files::{COUNTED, Told};
use super::{Package, Pair, Payload};
use crate::content::{self, CpioFile, CpioMember, CpioReader, same_stream, unpacked, walk};
use crate::difference::Change;
use crate::finder::{Finder, Side};
use crate::printable::text_of;

/// What the archive repeats of the header.
const REPEATED: [&str; 3] = ["mode", "mtime", "inode"];

/// Compares the members of two payloads.
pub(super) fn compare(finder: &mut Finder, pair: &Pair<'_>, told: &Told) -> Payload {
    let (left_files, right_files) = (listed(pair.left.file), listed(pair.right.file));
    let limit = finder.effort().member_bytes;
    let total = finder.effort().total_bytes;
    let (left, right) = match (
        unpacked(pair.left.payload(), total),
        unpacked(pair.right.payload(), total),
    ) {
        (Ok(left), Ok(right)) => (left, right),
        (left, right) => {
            for (side, error) in [("left", left.err()), ("right", right.err())] {
                if let Some(error) = error {
                    finder.note(format!(
                        "the payload on the {side} can not be unpacked: {error}"
                    ));
                }
            }
            return Payload::Unknown;
        }
    };
    let left = CpioReader::new(left, &left_files, limit);
    let right = CpioReader::new(right, &right_files, limit);
    let mut payload = Payload::Unknown;
    walk(finder, left, right, &mut |finder, left, right| {
        payload = Payload::Differs;
        compare_member(finder, told, (left, right));
    });
    payload
}

fn compare_member(
    finder: &mut Finder,
    told: &Told,
    members: (Option<CpioMember>, Option<CpioMember>),
) {
    let (side, only) = match members {
        (Some(left), Some(right)) => {
            return compare_pair(finder, &path_of(&left.name), told, &left, &right);
        }
        (Some(left), None) => (Side::Left, left),
        (None, Some(right)) => (Side::Right, right),
        (None, None) => return,
    };
    let path = path_of(&only.name);
    if !told.contains(&(path.clone(), "")) {
        let what = format!("{} bytes in the payload", only.content.len());
        finder.only(side, "file", &path, &what);
    }
}

fn compare_pair(
    finder: &mut Finder,
    path: &str,
    told: &Told,
    left: &CpioMember,
    right: &CpioMember,
) {
    let is_told = |field: &'static str| told.contains(&(path.to_owned(), field));
    let is_same_list = !told.iter().any(|(_, field)| field.is_empty());
    finder.within("file", path, |finder| {
        for ((field, one), (_, two)) in left.fields.iter().zip(&right.fields) {
            let is_counted = COUNTED.contains(field) && !is_same_list;
            let is_repeated = REPEATED.contains(field) && is_told(field);
            if one != two && !is_counted && !is_repeated {
                finder.within("field", "in the payload", |finder| {
                    finder.value("field", field, one, two);
                });
            }
        }
        // A link's content is its target, which the header has too.
        if left.content != right.content && !is_told("target") {
            content::compare(finder, &left.content, &right.content);
        }
    });
}

/// Returns the header's files as a payload that names its members names them.
pub(super) fn listed(package: &RpmFile) -> Vec<CpioFile> {
    let listed = |file: &PackagedFile| {
        let dot = if file.path.starts_with('/') { "." } else { "" };
        CpioFile {
            name: format!("{dot}{}", file.path).into_bytes(),
            size: file.size,
        }
    };
    package.files().iter().map(listed).collect()
}

/// Returns where a member is installed.
pub(super) fn path_of(name: &[u8]) -> String {
    let path = name
        .strip_prefix(b".")
        .filter(|path| path.starts_with(b"/"));
    text_of(path.unwrap_or(name))
}

/// Tells that the same content was compressed to other bytes.
pub(super) fn compare_compression(finder: &mut Finder, left: &Package<'_>, right: &Package<'_>) {
    let (one, two) = (left.payload(), right.payload());
    let limit = finder.effort().total_bytes;
    finder.within("part", "payload", |finder| {
        match same_stream(one, two, limit) {
            Ok(true) => finder.within("compression", &compressor(left.file), |finder| {
                let told = |bytes: &[u8]| format!("{} bytes of the same content", bytes.len());
                finder.add(Change::Value {
                    left: told(one),
                    right: told(two),
                });
            }),
            Ok(false) | Err(_) => content::compare_bytes(finder, one, two),
        }
    });
}

fn compressor(package: &RpmFile) -> String {
    package.payload_compressor().map_or_else(
        || "none".to_owned(),
        |(name, level)| format!("{name} {level}").trim_end().to_owned(),
    )
}
