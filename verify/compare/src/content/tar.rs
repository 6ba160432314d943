//! tar archives: v7 with `ustar`, pax and GNU extensions, as the `tar` crate reads them.

use super::member::{MOST_MEMBERS, Member, compare_members};
use crate::finder::Finder;
use crate::printable::{text_of, time};

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

/// Reads members until the end, or up to what is damaged.
fn members(bytes: &[u8]) -> (Vec<Member<'_>>, Option<String>) {
    let mut members = Vec::new();
    let mut archive = tar::Archive::new(bytes);
    let entries = match archive.entries() {
        Ok(entries) => entries,
        Err(error) => return (members, Some(error.to_string())),
    };
    for entry in entries.take(MOST_MEMBERS) {
        let mut entry = match entry {
            Ok(entry) => entry,
            Err(error) => return (members, Some(error.to_string())),
        };
        match member(&mut entry, bytes) {
            Ok(member) => members.push(member),
            Err(error) => return (members, Some(error.to_string())),
        }
    }
    (members, None)
}

fn member<'a>(entry: &mut tar::Entry<'_, &[u8]>, bytes: &'a [u8]) -> std::io::Result<Member<'a>> {
    let start = usize::try_from(entry.raw_file_position()).unwrap_or(usize::MAX);
    let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
    let end = start.saturating_add(size).min(bytes.len());
    let mut fields = Vec::new();
    let header = entry.header();
    let number = |number: std::io::Result<u64>| {
        number.map_or_else(|_| "damaged".to_owned(), |number| number.to_string())
    };
    fields.push((
        "mtime",
        header.mtime().map_or_else(|_| "damaged".to_owned(), time),
    ));
    fields.push((
        "mode",
        header
            .mode()
            .map_or_else(|_| "damaged".to_owned(), |mode| format!("{mode:04o}")),
    ));
    fields.push(("uid", number(header.uid())));
    fields.push(("gid", number(header.gid())));
    let name = |name: Option<&[u8]>| name.map_or_else(|| "none".to_owned(), text_of);
    fields.push(("user", name(header.username_bytes())));
    fields.push(("group", name(header.groupname_bytes())));
    fields.push(("type", format!("{:?}", header.entry_type()).to_lowercase()));
    let magic: &[u8] = header.as_bytes().get(257..265).unwrap_or_default();
    fields.push(("format", text_of(magic)));
    if let Some(link) = entry.link_name_bytes() {
        fields.push(("target", text_of(&link)));
    }
    let name = entry.path_bytes().into_owned();
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions.flatten() {
            let known = match extension.key_bytes() {
                b"mtime" => "pax mtime",
                b"atime" => "pax atime",
                b"ctime" => "pax ctime",
                b"uid" => "pax uid",
                b"gid" => "pax gid",
                b"uname" => "pax user",
                b"gname" => "pax group",
                b"comment" => "pax comment",
                b"path" | b"linkpath" | b"size" => continue,
                _ => "pax other",
            };
            let value = text_of(extension.value_bytes());
            let seconds = value
                .split('.')
                .next()
                .and_then(|text| text.parse::<u64>().ok());
            let value = match seconds.filter(|_| known.ends_with("time")) {
                Some(seconds) => format!("{value} {}", time(seconds)),
                None if known == "pax other" => {
                    format!("{}={value}", text_of(extension.key_bytes()))
                }
                None => value,
            };
            fields.push((known, value));
        }
    }
    Ok(Member {
        name,
        fields,
        content: bytes.get(start..end).unwrap_or_default(),
    })
}
