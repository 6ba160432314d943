//! cpio archives, read member by member, in step: RPM payloads and initial ram disks.
//!
//! ```text
//! newc      0  6  "070701", or "070702" with a checksum
//!           6  13 fields of 8 hexadecimal digits: ino mode uid gid nlink mtime size devmajor
//!              devminor rdevmajor rdevminor namesize check
//!           then the name with a NUL, to a multiple of 4; then the content, to a multiple of 4
//! stripped  0  6  "07070X"; 6  8  the file's index in the RPM's header, to a multiple of 4
//!           then the content, as long as the header says, to a multiple of 4
//! the last member is "TRAILER!!!"
//! ```

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::compressed::fill;
use super::member::{MOST_MEMBERS, Member, compare_members};
use super::order_of;
use crate::difference::Change;
use crate::finder::Finder;
use crate::printable::{text_of, time};

const FIELDS: usize = 13;

/// Longest name, as Linux limits paths.
const LONGEST_NAME: usize = 4096;

/// Says why an archive can not be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CpioError {
    /// It is cut off, or its decoder failed.
    #[error("the archive can not be read to its end: {0}")]
    Read(#[from] io::Error),
    /// A member does not begin as members do.
    #[error("the archive is damaged: {0}")]
    Damaged(&'static str),
    /// A member is larger than what is looked into.
    #[error("a member of {size} bytes is larger than the {limit} that are looked into")]
    Large {
        /// What it states.
        size: u64,
        /// What is allowed.
        limit: u64,
    },
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CpioMember {
    /// As it stands there, or in the RPM's header.
    pub(crate) name: Vec<u8>,
    /// What is said of it.
    pub(crate) fields: Vec<(&'static str, String)>,
    /// What is in it.
    pub(crate) content: Vec<u8>,
}

/// What an RPM's header says of a file, for archives that say nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CpioFile {
    /// As a member that says it is named: `./usr/bin/curl`.
    pub(crate) name: Vec<u8>,
    /// Its bytes.
    pub(crate) size: u64,
}

/// Reads members one after another.
pub(crate) struct CpioReader<'a> {
    reader: Box<dyn Read + 'a>,
    /// The RPM's files, for stripped archives.
    files: &'a [CpioFile],
    limit: u64,
    members: usize,
}

impl<'a> CpioReader<'a> {
    pub(crate) fn new(reader: Box<dyn Read + 'a>, files: &'a [CpioFile], limit: u64) -> Self {
        Self {
            reader,
            files,
            limit,
            members: 0,
        }
    }

    /// Reads the next member; `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<CpioMember>, CpioError> {
        self.members += 1;
        if self.members > MOST_MEMBERS {
            return Err(CpioError::Damaged("it has more members than any real one"));
        }
        let mut magic = [0; 6];
        self.exact(&mut magic)?;
        match &magic {
            b"070701" | b"070702" => self.read_member(),
            b"07070X" => self.read_stripped().map(Some),
            _ => Err(CpioError::Damaged("a member does not begin as members do")),
        }
    }

    fn read_member(&mut self) -> Result<Option<CpioMember>, CpioError> {
        let mut header = [0; FIELDS * 8];
        self.exact(&mut header)?;
        let mut numbers = [0_u32; FIELDS];
        for (number, digits) in numbers.iter_mut().zip(header.chunks_exact(8)) {
            *number = hexadecimal(digits)?;
        }
        let [_, mode, uid, gid, links, mtime, size, ..] = numbers;
        let name_size = numbers[11] as usize;
        if name_size == 0 || name_size > LONGEST_NAME {
            return Err(CpioError::Damaged("a name is empty or too long"));
        }
        let mut name = vec![0; name_size];
        self.exact(&mut name)?;
        self.skip((6 + FIELDS * 8 + name_size).next_multiple_of(4) - (6 + FIELDS * 8 + name_size))?;
        name.pop();
        if name == b"TRAILER!!!" {
            return Ok(None);
        }
        let content = self.content(size.into())?;
        let pair = |major: u32, minor: u32| format!("{major}:{minor}");
        let fields = vec![
            ("mode", format!("{mode:06o}")),
            ("uid", uid.to_string()),
            ("gid", gid.to_string()),
            ("links", links.to_string()),
            ("mtime", time(mtime.into())),
            ("inode", numbers[0].to_string()),
            ("device", pair(numbers[7], numbers[8])),
            ("device number", pair(numbers[9], numbers[10])),
        ];
        Ok(Some(CpioMember {
            name,
            fields,
            content,
        }))
    }

    fn read_stripped(&mut self) -> Result<CpioMember, CpioError> {
        let mut digits = [0; 8];
        self.exact(&mut digits)?;
        self.skip(2)?;
        let index = hexadecimal(&digits)? as usize;
        let file = self.files.get(index);
        let file = file.ok_or(CpioError::Damaged(
            "a member is none of the package's files",
        ))?;
        Ok(CpioMember {
            name: file.name.clone(),
            fields: Vec::new(),
            content: self.content(file.size)?,
        })
    }

    fn content(&mut self, size: u64) -> Result<Vec<u8>, CpioError> {
        if size > self.limit {
            let limit = self.limit;
            return Err(CpioError::Large { size, limit });
        }
        // Memory grows with what comes, not with what a header states.
        let mut content = Vec::new();
        let read = (&mut self.reader).take(size).read_to_end(&mut content)?;
        if read as u64 != size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        self.skip(read.next_multiple_of(4) - read)?;
        Ok(content)
    }

    fn exact(&mut self, buffer: &mut [u8]) -> Result<(), CpioError> {
        match fill(&mut *self.reader, buffer)? == buffer.len() {
            true => Ok(()),
            false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        }
    }

    fn skip(&mut self, bytes: usize) -> Result<(), CpioError> {
        let mut padding = [0; 4];
        self.exact(&mut padding[..bytes])
    }
}

fn hexadecimal(digits: &[u8]) -> Result<u32, CpioError> {
    let text = std::str::from_utf8(digits).ok();
    let text = text.filter(|text| text.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let number = text.and_then(|text| u32::from_str_radix(text, 16).ok());
    number.ok_or(CpioError::Damaged("a number is not hexadecimal"))
}

/// What is called with two members of one name, or with one that has no other.
pub(crate) type ComparePair<'a> =
    dyn FnMut(&mut Finder, Option<CpioMember>, Option<CpioMember>) + 'a;

/// Walks two archives in step and calls `compare` with every two members of one name; with one, where
/// there is no other.
pub(crate) fn walk(
    finder: &mut Finder,
    mut left: CpioReader<'_>,
    mut right: CpioReader<'_>,
    compare: &mut ComparePair<'_>,
) {
    let limit = finder.allowance();
    let (mut left_waiting, mut right_waiting) = (Waiting::default(), Waiting::default());
    let (mut left_ended, mut right_ended) = (false, false);
    while !(finder.is_done() || left_ended && right_ended) {
        let left = next(finder, "left", &mut left, &mut left_ended);
        let right = next(finder, "right", &mut right, &mut right_ended);
        let (left, right) = match (left, right) {
            (Some(left), Some(right)) if left.name == right.name => {
                left_waiting.order.push(left.name.clone());
                right_waiting.order.push(right.name.clone());
                if left != right {
                    compare(finder, Some(left), Some(right));
                }
                continue;
            }
            members => members,
        };
        if let Some(member) = left {
            left_waiting.order.push(member.name.clone());
            match right_waiting.take(&member.name) {
                Some(other) if other == member => {}
                Some(other) => compare(finder, Some(member), Some(other)),
                None => left_waiting.put(member),
            }
        }
        if let Some(member) = right {
            right_waiting.order.push(member.name.clone());
            match left_waiting.take(&member.name) {
                Some(other) if other == member => {}
                Some(other) => compare(finder, Some(other), Some(member)),
                None => right_waiting.put(member),
            }
        }
        if left_waiting.bytes + right_waiting.bytes > limit {
            finder.note(
                "the two archives are too large and too different to be compared to their end"
                    .to_owned(),
            );
            break;
        }
    }
    let order = |one: &Waiting, other: &Waiting| -> Vec<Vec<u8>> {
        let both = one
            .order
            .iter()
            .filter(|name| !one.members.contains_key(*name) && !other.members.contains_key(*name));
        both.cloned().collect()
    };
    let (left_order, right_order) = (
        order(&left_waiting, &right_waiting),
        order(&right_waiting, &left_waiting),
    );
    for member in left_waiting.members.into_values().flatten() {
        compare(finder, Some(member), None);
    }
    for member in right_waiting.members.into_values().flatten() {
        compare(finder, None, Some(member));
    }
    tell_member_order(finder, &left_order, &right_order);
}

fn tell_member_order(finder: &mut Finder, left: &[Vec<u8>], right: &[Vec<u8>]) {
    if left == right || left.len() != right.len() {
        return;
    }
    let same = left.iter().zip(right).take_while(|(l, r)| l == r).count();
    let names = |order: &[Vec<u8>]| -> Vec<String> {
        order[same..]
            .iter()
            .take(20)
            .map(|name| text_of(name))
            .collect()
    };
    let (left, right) = order_of(&names(left), &names(right));
    finder.within("order", "members", |finder| {
        finder.add(Change::Order { left, right });
    });
}

fn next(
    finder: &mut Finder,
    side: &str,
    reader: &mut CpioReader<'_>,
    ended: &mut bool,
) -> Option<CpioMember> {
    if *ended {
        return None;
    }
    match reader.next() {
        Ok(Some(member)) => Some(member),
        Ok(None) => {
            *ended = true;
            None
        }
        Err(error) => {
            finder.note(format!("{side}: {error}"));
            *ended = true;
            None
        }
    }
}

/// Members whose counterpart did not come yet.
#[derive(Default)]
struct Waiting {
    members: BTreeMap<Vec<u8>, Vec<CpioMember>>,
    bytes: u64,
    order: Vec<Vec<u8>>,
}

impl Waiting {
    fn put(&mut self, member: CpioMember) {
        self.bytes += member.content.len() as u64 + 256;
        self.members
            .entry(member.name.clone())
            .or_default()
            .push(member);
    }

    fn take(&mut self, name: &[u8]) -> Option<CpioMember> {
        let waiting = self.members.get_mut(name)?;
        let member = waiting.remove(0);
        if waiting.is_empty() {
            self.members.remove(name);
        }
        self.bytes = self.bytes.saturating_sub(member.content.len() as u64 + 256);
        Some(member)
    }
}

/// Tells how two archives that are no payload differ.
pub(super) fn compare(finder: &mut Finder, left: &[u8], right: &[u8]) {
    let read = |finder: &mut Finder, side: &str, bytes: &[u8]| {
        let mut reader = CpioReader::new(Box::new(bytes), &[], bytes.len() as u64);
        let (mut members, mut ended) = (Vec::new(), false);
        while let Some(member) = next(finder, side, &mut reader, &mut ended) {
            members.push(member);
        }
        members
    };
    let (left, right) = (read(finder, "left", left), read(finder, "right", right));
    compare_members(finder, &plain(&left), &plain(&right));
}

fn plain(members: &[CpioMember]) -> Vec<Member<'_>> {
    members
        .iter()
        .map(|member| Member {
            name: member.name.clone(),
            fields: member.fields.clone(),
            content: &member.content,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newc(name: &str, content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len()).unwrap();
        let length = u32::try_from(name.len() + 1).unwrap();
        let mut bytes = b"070701".to_vec();
        for field in [1, 0o100_644, 0, 0, 1, 0, size, 0, 0, 0, 0, length, 0] {
            bytes.extend(format!("{field:08x}").into_bytes());
        }
        bytes.extend(name.as_bytes());
        bytes.push(0);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn stripped(index: u32, content: &[u8]) -> Vec<u8> {
        let mut bytes = format!("07070X{index:08x}\0\0").into_bytes();
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn named_and_nameless_members_are_the_same_files() {
        let files = [("./usr/a", 3), ("./usr/b", 5)].map(|(name, size)| CpioFile {
            name: name.as_bytes().to_vec(),
            size,
        });
        let trailer = newc("TRAILER!!!", b"");
        let named = [
            newc("./usr/a", b"one"),
            newc("./usr/b", b"three"),
            trailer.clone(),
        ]
        .concat();
        let nameless = [stripped(0, b"one"), stripped(1, b"three"), trailer.clone()].concat();
        for archive in [named, nameless] {
            let mut reader = CpioReader::new(Box::new(archive.as_slice()), &files, 100);
            let mut found = Vec::new();
            while let Some(member) = reader.next().unwrap() {
                found.push((text_of(&member.name), text_of(&member.content)));
            }
            let expected = [("./usr/a", "one"), ("./usr/b", "three")];
            assert_eq!(
                found,
                expected.map(|(name, content)| (name.to_owned(), content.to_owned()))
            );
        }
        for (archive, expected) in [
            (
                stripped(2, b"x"),
                "the archive is damaged: a member is none of the package's files",
            ),
            (
                newc("./a", &[0; 101]),
                "a member of 101 bytes is larger than the 100 that are looked into",
            ),
            (
                b"07070".to_vec(),
                "the archive can not be read to its end: unexpected end of file",
            ),
            (
                b"0707013.0".repeat(40),
                "the archive is damaged: a number is not hexadecimal",
            ),
        ] {
            let mut reader = CpioReader::new(Box::new(archive.as_slice()), &files, 100);
            assert_eq!(reader.next().unwrap_err().to_string(), expected);
        }
    }
}
