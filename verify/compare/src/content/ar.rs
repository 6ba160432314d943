//! `ar` archives: static libraries and Debian packages.
//!
//! ```text
//! "!<arch>\n", then members, each at an even offset:
//! 0   16  name; GNU: "name/", "/123" into the member "//", "/" and "/SYM64/" the symbol index;
//!         BSD: "#1/7", the name is the first 7 bytes of the content
//! 16  12  mtime    28  6  uid    34  6  gid    40  8  mode (octal)    48  10  size    58  2  "`\n"
//! ```

use super::member::{MOST_MEMBERS, Member, compare_members};
use crate::finder::Finder;
use crate::printable::{text_of, time};

const HEADER: usize = 60;

/// Tells how two archives differ.
pub(super) fn compare(finder: &mut Finder, left: &[u8], right: &[u8]) {
    let (left, left_fault) = members(left);
    let (right, right_fault) = members(right);
    for (side, fault) in [("left", left_fault), ("right", right_fault)] {
        if let Some(fault) = fault {
            finder.note(format!("{side} is damaged from here on: {fault}"));
        }
    }
    compare_members(finder, &left, &right);
}

fn members(bytes: &[u8]) -> (Vec<Member<'_>>, Option<String>) {
    let mut members = Vec::new();
    let mut names: &[u8] = &[];
    let mut at = 8;
    while at < bytes.len() {
        let damaged = |what: &str| Some(format!("{what} at byte {at:#x}"));
        let Some(header) = bytes.get(at..at + HEADER) else {
            return (members, damaged("a header is cut off"));
        };
        if &header[58..] != b"`\n" || members.len() >= MOST_MEMBERS {
            return (members, damaged("a header does not end as headers do"));
        }
        let Some(size) = number(&header[48..58]) else {
            return (members, damaged("a size is no number"));
        };
        let start = at + HEADER;
        let Some(content) = start
            .checked_add(size)
            .and_then(|end| bytes.get(start..end))
        else {
            return (members, damaged("a member is cut off"));
        };
        let stated = header[..16].trim_ascii_end();
        if stated == b"//" {
            names = content;
        }
        members.push(member(header, stated, content, names));
        at = start + size + size % 2;
    }
    (members, None)
}

fn member<'a>(header: &[u8], stated: &[u8], content: &'a [u8], names: &[u8]) -> Member<'a> {
    let mut content = content;
    let name = match stated {
        b"/" | b"/SYM64/" => b"(symbol index)".to_vec(),
        b"//" => b"(long names)".to_vec(),
        stated => match long_name(stated, &mut content, names) {
            Some(name) => name,
            None => stated.strip_suffix(b"/").unwrap_or(stated).to_vec(),
        },
    };
    let text = |range: std::ops::Range<usize>| text_of(header[range].trim_ascii());
    let mtime = text(16..28);
    let mtime = mtime.parse().map_or(mtime, time);
    let fields = vec![
        ("mtime", mtime),
        ("uid", text(28..34)),
        ("gid", text(34..40)),
        ("mode", text(40..48)),
    ];
    Member {
        name,
        fields,
        content,
    }
}

fn long_name(stated: &[u8], content: &mut &[u8], names: &[u8]) -> Option<Vec<u8>> {
    if let Some(length) = stated.strip_prefix(b"#1/") {
        let (name, rest) = content.split_at_checked(number(length)?)?;
        *content = rest;
        let end = memchr::memchr(0, name).unwrap_or(name.len());
        return Some(name[..end].to_vec());
    }
    let rest = names.get(number(stated.strip_prefix(b"/")?)?..)?;
    let end = memchr::memchr(b'\n', rest)?;
    let name = &rest[..end];
    Some(name.strip_suffix(b"/").unwrap_or(name).to_vec())
}

fn number(text: &[u8]) -> Option<usize> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}
