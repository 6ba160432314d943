//! One tar header block and the extended headers before it, read strictly.
//!
//! The block (POSIX.1-2017 pax "ustar Interchange Format"; GNU tar "Basic Tar Format"):
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 100 | name |
//! | 100 | 8 | mode |
//! | 108, 116 | 8, 8 | uid, gid |
//! | 124 | 12 | size |
//! | 136 | 12 | mtime |
//! | 148 | 8 | checksum |
//! | 156 | 1 | type flag |
//! | 157 | 100 | link name |
//! | 257 | 8 | magic and version: `ustar\0` `00` or GNU's `ustar  \0` |
//! | 345 | 155 | prefix (POSIX only) |
//!
//! Numbers are octal text or, with the first bit set, base-256. Wherever readers are known to
//! disagree (two sizes, two names, sparse maps, sizes on entries without content) the archive is
//! refused instead of guessed at.

use tar::Header;

use crate::printable::printable;

/// Bytes in a block.
pub(crate) const BLOCK: usize = 512;

/// Greatest size of one extended header, in bytes.
pub(crate) const MAX_EXTENSION: u64 = 1 << 20;

/// Greatest length of a name or link target, in bytes.
const MAX_NAME: usize = 64 << 10;

/// Greatest number of records in one pax header.
const MAX_RECORDS: usize = 4096;

/// Says what is wrong with a header in a tar archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderProblem {
    /// The checksum field does not hold the block's sum.
    #[error("the header's checksum is {expected}, its bytes sum up to {actual}")]
    Checksum {
        /// What the field says.
        expected: u64,
        /// What the bytes give.
        actual: u64,
    },
    /// A numeric field holds something else.
    #[error("the field `{field}` holds no usable number: `{text}`")]
    Number {
        /// The field or pax key.
        field: &'static str,
        /// What it holds, escaped.
        text: String,
    },
    /// An extended header is longer than allowed.
    #[error("an extended header has {actual} bytes, more than {limit}")]
    ExtensionTooLarge {
        /// The limit, in bytes.
        limit: u64,
        /// The header's size, in bytes.
        actual: u64,
    },
    /// A pax header has more records than allowed.
    #[error("a pax header has more than {limit} records")]
    TooManyRecords {
        /// The limit.
        limit: usize,
    },
    /// A pax header is not a list of `LENGTH KEY=VALUE` lines.
    #[error("a pax header is damaged at its byte {offset}")]
    PaxSyntax {
        /// Offset in the header's content.
        offset: usize,
    },
    /// A global pax header sets what only one entry can have.
    #[error("a global pax header sets `{key}`, which readers disagree on")]
    GlobalKey {
        /// The key.
        key: String,
    },
    /// The same thing is said by two extended headers.
    #[error("the entry has more than one extended header for the same thing")]
    ExtensionTwice,
    /// An extended header has no entry after it.
    #[error("an extended header is not followed by an entry")]
    ExtensionAlone,
    /// The entry is stored sparse.
    #[error("the entry is a sparse file, which readers disagree on")]
    Sparse,
    /// The header and its pax record give two sizes.
    #[error("the header gives {header} bytes, its pax record {extended}")]
    SizeDisagrees {
        /// From the header.
        header: u64,
        /// From the pax record.
        extended: u64,
    },
    /// An entry that can have no content has some.
    #[error("an entry of type `{flag}` has {size} bytes of content")]
    UnexpectedContent {
        /// The type flag.
        flag: char,
        /// Bytes of content.
        size: u64,
    },
    /// The type flag is not one that kiln unpacks or skips knowingly.
    #[error("entries of type `{flag}` are not supported")]
    Type {
        /// The type flag, escaped.
        flag: String,
    },
    /// The entry has no name.
    #[error("the entry has no name")]
    NameEmpty,
    /// A name or link target holds a NUL byte.
    #[error("a name holds a NUL byte")]
    NameNul,
    /// A name or link target is longer than allowed.
    #[error("a name has {actual} bytes, more than {limit}")]
    NameTooLong {
        /// The limit, in bytes.
        limit: usize,
        /// Bytes in the name.
        actual: usize,
    },
    /// A file's name ends in `/`.
    #[error("the name of an entry that is no folder ends in `/`")]
    TrailingSlash,
    /// A link has no target.
    #[error("the link has no target")]
    LinkEmpty,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryKind {
    /// A regular file; its content follows.
    File,
    /// A folder.
    Directory,
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// A hard link and the name of the entry that it shares its content with.
    HardLink(Vec<u8>),
    /// A device node or FIFO.
    Special(SpecialKind),
}

/// The kinds of node that kiln never makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpecialKind {
    /// A character device.
    CharacterDevice,
    /// A block device.
    BlockDevice,
    /// A FIFO.
    Fifo,
    /// A socket.
    Socket,
}

impl std::fmt::Display for SpecialKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::CharacterDevice => "character device",
            Self::BlockDevice => "block device",
            Self::Fifo => "FIFO",
            Self::Socket => "socket",
        })
    }
}

/// One entry, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The name as it stands in the archive.
    pub path: Vec<u8>,
    pub kind: EntryKind,
    /// Permission bits, 07777.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Whole seconds since 1970; may be negative.
    pub mtime: i64,
    /// Bytes of content; 0 unless a regular file.
    pub size: u64,
}

/// What extended headers say about the entry after them.
#[derive(Debug, Default)]
pub(crate) struct Extension {
    pub path: Option<Vec<u8>>,
    pub link: Option<Vec<u8>>,
    size: Option<u64>,
    mtime: Option<i64>,
    uid: Option<u64>,
    gid: Option<u64>,
    /// Whether a pax header was among them.
    pub pax: bool,
    /// Whether a GNU long name or long link was among them.
    pub gnu: bool,
}

impl Extension {
    /// Returns whether nothing was said.
    pub fn is_empty(&self) -> bool {
        !self.pax && !self.gnu
    }

    /// Takes in the content of a pax header for one entry.
    pub fn add_pax(&mut self, content: &[u8]) -> Result<(), HeaderProblem> {
        if !self.is_empty() {
            return Err(HeaderProblem::ExtensionTwice);
        }
        self.pax = true;
        for_each_record(content, |key, value| self.add_record(key, value))
    }

    fn add_record(&mut self, key: &[u8], value: &[u8]) -> Result<(), HeaderProblem> {
        match key {
            b"path" => set_once(&mut self.path, value.to_vec()),
            b"linkpath" => set_once(&mut self.link, value.to_vec()),
            b"size" => set_once(&mut self.size, parse_decimal("size", value)?),
            b"uid" => set_once(&mut self.uid, parse_decimal("uid", value)?),
            b"gid" => set_once(&mut self.gid, parse_decimal("gid", value)?),
            b"mtime" => set_once(&mut self.mtime, parse_time(value)?),
            _ if key.starts_with(b"GNU.sparse.") => Err(HeaderProblem::Sparse),
            _ => Ok(()),
        }
    }

    /// Takes in a GNU long name (`L`) or long link target (`K`).
    pub fn add_gnu(&mut self, flag: u8, content: &[u8]) -> Result<(), HeaderProblem> {
        if self.pax {
            return Err(HeaderProblem::ExtensionTwice);
        }
        self.gnu = true;
        let name = content.strip_suffix(&[0]).unwrap_or(content).to_vec();
        let place = if flag == b'L' {
            &mut self.path
        } else {
            &mut self.link
        };
        set_once(place, name)
    }
}

fn set_once<T>(place: &mut Option<T>, value: T) -> Result<(), HeaderProblem> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(HeaderProblem::ExtensionTwice),
    }
}

/// Checks that a global pax header says nothing that an entry's meaning depends on.
pub(crate) fn check_global_pax(content: &[u8]) -> Result<(), HeaderProblem> {
    for_each_record(content, |key, _| match key {
        b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime" => {
            Err(HeaderProblem::GlobalKey {
                key: printable(key),
            })
        }
        _ if key.starts_with(b"GNU.sparse.") => Err(HeaderProblem::Sparse),
        _ => Ok(()),
    })
}

/// Splits pax records: `LENGTH KEY=VALUE\n`, where LENGTH counts the whole record.
fn for_each_record(
    content: &[u8],
    mut take: impl FnMut(&[u8], &[u8]) -> Result<(), HeaderProblem>,
) -> Result<(), HeaderProblem> {
    let mut offset = 0;
    let mut records = 0;
    while offset < content.len() {
        records += 1;
        if records > MAX_RECORDS {
            return Err(HeaderProblem::TooManyRecords { limit: MAX_RECORDS });
        }
        let damaged = HeaderProblem::PaxSyntax { offset };
        let Some((key, value, length)) = split_record(&content[offset..]) else {
            return Err(damaged);
        };
        take(key, value)?;
        offset += length;
    }
    Ok(())
}

fn split_record(rest: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let digits = rest.iter().position(|byte| *byte == b' ')?;
    let length = usize::try_from(parse_digits(&rest[..digits], 10)?).ok()?;
    let body = rest.get(digits + 1..length)?.strip_suffix(b"\n")?;
    let equals = body.iter().position(|byte| *byte == b'=')?;
    if equals == 0 {
        return None;
    }
    Some((&body[..equals], &body[equals + 1..], length))
}

fn parse_digits(text: &[u8], radix: u32) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, byte| {
        let digit = char::from(*byte).to_digit(radix)?;
        value
            .checked_mul(u64::from(radix))?
            .checked_add(u64::from(digit))
    })
}

fn bad_number(field: &'static str, text: &[u8]) -> HeaderProblem {
    HeaderProblem::Number {
        field,
        text: printable(text),
    }
}

fn parse_decimal(field: &'static str, value: &[u8]) -> Result<u64, HeaderProblem> {
    parse_digits(value, 10).ok_or_else(|| bad_number(field, value))
}

/// Reads a pax time, rounding down to whole seconds: `1700000000.5`, `-1`.
fn parse_time(value: &[u8]) -> Result<i64, HeaderProblem> {
    let error = || bad_number("mtime", value);
    let (negative, digits) = match value.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, value),
    };
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let whole = parse_digits(parts.next().unwrap_or_default(), 10).ok_or_else(error)?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(error());
    }
    let whole = i64::try_from(whole).map_err(|_| error())?;
    let rounds_down = negative && fraction.iter().any(|byte| *byte != b'0');
    Ok(if negative {
        -whole - i64::from(rounds_down)
    } else {
        whole
    })
}

/// Reads a numeric field: octal text, or base-256 when the first bit is set.
fn parse_number(field: &'static str, bytes: &[u8]) -> Result<i64, HeaderProblem> {
    let error = || bad_number(field, bytes);
    if bytes[0] & 0x80 != 0 {
        let start = if bytes[0] & 0x40 != 0 { -1i64 } else { 0 };
        let first = i64::from(bytes[0] & 0x3f) | (start << 6);
        return bytes[1..].iter().try_fold(first, |value, byte| {
            value
                .checked_mul(256)
                .map(|shifted| shifted | i64::from(*byte))
                .ok_or_else(error)
        });
    }
    let is_padding = |byte: &&u8| matches!(**byte, 0 | b' ');
    let start = bytes.iter().take_while(|byte| **byte == b' ').count();
    let end = bytes.len() - bytes.iter().rev().take_while(is_padding).count();
    if start >= end {
        return Ok(0);
    }
    // Some writers leave garbage after the first terminator; the number ends there.
    let text = &bytes[start..end];
    let text = text
        .split(|byte| matches!(byte, 0 | b' '))
        .next()
        .unwrap_or_default();
    let value = parse_digits(text, 8).ok_or_else(error)?;
    i64::try_from(value).map_err(|_| error())
}

fn parse_unsigned(field: &'static str, bytes: &[u8]) -> Result<u64, HeaderProblem> {
    u64::try_from(parse_number(field, bytes)?).map_err(|_| bad_number(field, bytes))
}

/// A checked header block: enough to know what to do with the bytes after it.
pub(crate) struct RawHeader {
    header: Header,
    /// The type flag.
    pub flag: u8,
    /// Bytes of content after the block.
    pub size: u64,
}

impl RawHeader {
    /// Checks the sum of `block` and reads its type and size.
    pub fn parse(block: &[u8; BLOCK]) -> Result<Self, HeaderProblem> {
        let mut header = Header::new_old();
        *header.as_mut_bytes() = *block;
        let old = header.as_old();
        let expected = parse_unsigned("checksum", &old.cksum)?;
        let unsigned: u64 = block[..148]
            .iter()
            .chain(&block[156..])
            .map(|b| u64::from(*b))
            .sum();
        let actual = unsigned + 8 * u64::from(b' ');
        if expected != actual {
            return Err(HeaderProblem::Checksum { expected, actual });
        }
        let flag = old.linkflag[0];
        let size = parse_unsigned("size", &old.size)?;
        Ok(Self { header, flag, size })
    }

    /// Returns the name in the block, for messages and for entries without an extended one.
    pub fn path(&self) -> Vec<u8> {
        self.header.path_bytes().into_owned()
    }

    /// Joins the block with what extended headers said before it.
    pub fn into_entry(self, extension: Extension) -> Result<Entry, HeaderProblem> {
        if let Some(extended) = extension.size
            && extended != self.size
        {
            return Err(HeaderProblem::SizeDisagrees {
                header: self.size,
                extended,
            });
        }
        let old = self.header.as_old();
        let id = |field, bytes: &[u8], extended: Option<u64>| {
            let value = match extended {
                Some(value) => value,
                None => parse_unsigned(field, bytes)?,
            };
            u32::try_from(value).map_err(|_| HeaderProblem::Number {
                field,
                text: value.to_string(),
            })
        };
        let uid = id("uid", &old.uid, extension.uid)?;
        let gid = id("gid", &old.gid, extension.gid)?;
        let mode =
            u32::try_from(parse_unsigned("mode", &old.mode)? & 0o7777).expect("twelve bits fit");
        let mtime = match extension.mtime {
            Some(mtime) => mtime,
            None => parse_number("mtime", &old.mtime)?,
        };
        let path = checked_name(extension.path.unwrap_or_else(|| self.path()))?;
        if path.is_empty() {
            return Err(HeaderProblem::NameEmpty);
        }
        let link = match extension.link {
            Some(link) => link,
            None => self
                .header
                .link_name_bytes()
                .unwrap_or_default()
                .into_owned(),
        };
        let kind = entry_kind(self.flag, self.size, &path, checked_name(link)?)?;
        Ok(Entry {
            path,
            kind,
            mode,
            uid,
            gid,
            mtime,
            size: self.size,
        })
    }
}

fn checked_name(name: Vec<u8>) -> Result<Vec<u8>, HeaderProblem> {
    if name.contains(&0) {
        return Err(HeaderProblem::NameNul);
    }
    if name.len() > MAX_NAME {
        return Err(HeaderProblem::NameTooLong {
            limit: MAX_NAME,
            actual: name.len(),
        });
    }
    Ok(name)
}

fn entry_kind(flag: u8, size: u64, path: &[u8], link: Vec<u8>) -> Result<EntryKind, HeaderProblem> {
    let ends_in_slash = path.ends_with(b"/");
    let kind = match flag {
        // Before POSIX, a folder was a file whose name ends in `/`.
        0 if ends_in_slash => EntryKind::Directory,
        0 | b'0' => EntryKind::File,
        b'1' if link.is_empty() => return Err(HeaderProblem::LinkEmpty),
        b'1' => EntryKind::HardLink(link),
        b'2' if link.is_empty() => return Err(HeaderProblem::LinkEmpty),
        b'2' => EntryKind::Symlink(link),
        b'3' => EntryKind::Special(SpecialKind::CharacterDevice),
        b'4' => EntryKind::Special(SpecialKind::BlockDevice),
        b'5' => EntryKind::Directory,
        b'6' => EntryKind::Special(SpecialKind::Fifo),
        b'S' => return Err(HeaderProblem::Sparse),
        _ => {
            return Err(HeaderProblem::Type {
                flag: printable(&[flag]),
            });
        }
    };
    if kind != EntryKind::File && size != 0 {
        return Err(HeaderProblem::UnexpectedContent {
            flag: char::from(flag),
            size,
        });
    }
    if ends_in_slash && kind != EntryKind::Directory {
        return Err(HeaderProblem::TrailingSlash);
    }
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256() {
        for (bytes, expected) in [
            (b"0000644\0".as_slice(), Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"00000000010", Some(8)),
            (b"\x80\0\0\0\0\0\0\x05", Some(5)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
            (b"\x80\x80\0\0\0\0\0\0\0\0\0\0", None),
            (b"0000689\0", None),
            (b"-000001\0", None),
        ] {
            assert_eq!(parse_number("size", bytes).ok(), expected, "{bytes:?}");
        }
        assert_eq!(
            parse_unsigned("size", b"\xff\xff\xff\xff\xff\xff\xff\xff"),
            Err(HeaderProblem::Number {
                field: "size",
                text: "\\xff".repeat(8)
            })
        );
    }

    #[test]
    fn times_round_down() {
        for (text, expected) in [
            ("1700000000", Some(1_700_000_000)),
            ("1700000000.999", Some(1_700_000_000)),
            ("-1.5", Some(-2)),
            ("-1.0", Some(-1)),
            ("nan", None),
            ("", None),
            ("1e9", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_time(text.as_bytes()).ok(), expected, "{text}");
        }
    }

    #[test]
    fn pax_records_must_add_up() {
        let check = |content: &[u8], expected: Result<(), HeaderProblem>| {
            assert_eq!(Extension::default().add_pax(content), expected);
        };
        check(b"9 path=a\n", Ok(()));
        check(b"11 other=a\n", Ok(()));
        check(
            b"11 path=a\n\n\n",
            Err(HeaderProblem::PaxSyntax { offset: 11 }),
        );
        check(b"8 path=a\n", Err(HeaderProblem::PaxSyntax { offset: 0 }));
        check(b"99 path=a\n", Err(HeaderProblem::PaxSyntax { offset: 0 }));
        check(b"5 =a\n", Err(HeaderProblem::PaxSyntax { offset: 0 }));
        check(b"9 path=a\n9 path=b\n", Err(HeaderProblem::ExtensionTwice));
        check(b"22 GNU.sparse.major=1\n", Err(HeaderProblem::Sparse));
        check(
            &b"6 a=b\n".repeat(4097),
            Err(HeaderProblem::TooManyRecords { limit: 4096 }),
        );
    }
}
