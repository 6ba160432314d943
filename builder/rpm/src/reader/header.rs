//! One header section of a package file, every index entry checked before any is used.
//!
//! ```text
//! offset  size     field
//! 0       3        magic 8e ad e8
//! 3       1        version 1
//! 4       4        reserved
//! 8       4        il: index entries, big-endian
//! 12      4        dl: bytes of data
//! 16      16 * il  index: tag, type, offset (from the start of data), count; all big-endian
//! …       dl       data
//!
//! type   1 char, 2 int8, 3 int16, 4 int32, 5 int64, 6 string, 7 binary, 8 string array, 9 i18n
//! ```
//!
//! The first entry is the region: 16 bytes of binary at the end of the data, which repeat the index
//! size as a negative offset. It must span the whole header, so nothing lies outside of what the
//! digest covers. The `rpm` crate trusts offsets (0.30 slices out of range and panics), so it is not
//! what foreign bytes meet first.

use std::collections::BTreeMap;

use super::RpmError;

const MAGIC: [u8; 4] = [0x8e, 0xad, 0xe8, 1];
const INTRODUCTION: usize = 16;
const ENTRY: usize = 16;
/// As rpm itself limits them (`hdrchkTags`): a header with more entries is refused.
const MAX_ENTRIES: usize = 65_535;

/// A value of a header, as its type says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagValue {
    /// Integers of any width.
    Numbers(Vec<u64>),
    /// One text or several; translations count as one each.
    Texts(Vec<String>),
    /// Bytes.
    Bytes(Vec<u8>),
}

/// What a section is, for messages and for its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// Digests and signatures over the header.
    Signature,
    /// Everything about the package.
    Header,
}

impl Section {
    const fn region_tag(self) -> u32 {
        match self {
            Self::Signature => 62,
            Self::Header => 63,
        }
    }

    /// rpm's own limits: 64 MiB and 256 MiB of data.
    const fn max_data(self) -> usize {
        match self {
            Self::Signature => 64 << 20,
            Self::Header => 256 << 20,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Signature => "signature header",
            Self::Header => "header",
        }
    }
}

/// A section's values by tag, and how many bytes it took.
#[derive(Debug, Clone)]
pub(super) struct Header {
    section: Section,
    values: BTreeMap<u32, TagValue>,
    /// Bytes of data that entries cover: more than there are means that they overlap, which would
    /// let a small file ask for much memory.
    used: usize,
    size: usize,
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

impl Header {
    /// Reads the section that `bytes` begin with.
    pub(super) fn parse(section: Section, bytes: &[u8]) -> Result<Self, RpmError> {
        let damaged = |reason: &'static str| RpmError::Damaged { section, reason };
        if bytes.get(..4) != Some(&MAGIC[..]) {
            return Err(damaged("the magic bytes are missing"));
        }
        let entries = word(bytes, 8).ok_or_else(|| damaged("it is cut off"))? as usize;
        let data_size = word(bytes, 12).ok_or_else(|| damaged("it is cut off"))? as usize;
        if entries == 0 || entries > MAX_ENTRIES || data_size > section.max_data() {
            return Err(damaged("it states an impossible size"));
        }
        let data_start = INTRODUCTION + entries * ENTRY;
        let size = data_start + data_size;
        let whole = bytes.get(..size).ok_or_else(|| damaged("it is cut off"))?;
        let (index, data) = whole.split_at(data_start);
        let mut header = Self {
            section,
            values: BTreeMap::new(),
            used: ENTRY,
            size,
        };
        for (position, entry) in index[INTRODUCTION..].chunks_exact(ENTRY).enumerate() {
            header
                .read_entry(position, entry, data, entries)
                .map_err(damaged)?;
        }
        Ok(header)
    }

    fn read_entry(
        &mut self,
        position: usize,
        entry: &[u8],
        data: &[u8],
        entries: usize,
    ) -> Result<(), &'static str> {
        let field = |at: usize| word(entry, at).unwrap_or_default();
        let (tag, kind, offset, count) =
            (field(0), field(4), field(8) as usize, field(12) as usize);
        if position == 0 {
            return check_region(
                self.section,
                &[tag, kind, field(8), field(12)],
                data,
                entries,
            );
        }
        let rest = data
            .get(offset..)
            .ok_or("an entry points behind the data")?;
        let (value, size) = read_value(kind, count, rest, offset)?;
        self.used = self.used.saturating_add(size);
        if self.used > data.len() {
            return Err("its entries overlap");
        }
        match self.values.insert(tag, value) {
            Some(_) => Err("a tag stands there twice"),
            None => Ok(()),
        }
    }

    pub(super) const fn size(&self) -> usize {
        self.size
    }

    pub(super) const fn values(&self) -> &BTreeMap<u32, TagValue> {
        &self.values
    }

    fn wrong(&self, tag: u32, expected: &'static str) -> RpmError {
        RpmError::Tag {
            section: self.section,
            tag,
            expected,
        }
    }

    /// Returns the texts of `tag`, none when it is absent.
    pub(super) fn texts(&self, tag: u32) -> Result<&[String], RpmError> {
        match self.values.get(&tag) {
            None => Ok(&[]),
            Some(TagValue::Texts(texts)) => Ok(texts),
            Some(_) => Err(self.wrong(tag, "text")),
        }
    }

    /// Returns the one text of `tag`: for translated ones, the first.
    pub(super) fn text(&self, tag: u32) -> Result<Option<&str>, RpmError> {
        Ok(self.texts(tag)?.first().map(String::as_str))
    }

    pub(super) fn required_text(&self, tag: u32) -> Result<&str, RpmError> {
        self.text(tag)?
            .ok_or_else(|| self.wrong(tag, "a text, not nothing"))
    }

    /// Returns the numbers of `tag`, none when it is absent.
    pub(super) fn numbers(&self, tag: u32) -> Result<&[u64], RpmError> {
        match self.values.get(&tag) {
            None => Ok(&[]),
            Some(TagValue::Numbers(numbers)) => Ok(numbers),
            Some(_) => Err(self.wrong(tag, "numbers")),
        }
    }

    pub(super) fn number(&self, tag: u32) -> Result<Option<u32>, RpmError> {
        match self.numbers(tag)?.first() {
            None => Ok(None),
            Some(number) => u32::try_from(*number)
                .map(Some)
                .map_err(|_| self.wrong(tag, "a 32-bit number")),
        }
    }

    /// Returns as many texts as there are `count`, or the error that says so.
    pub(super) fn texts_of(&self, tag: u32, count: usize) -> Result<&[String], RpmError> {
        let texts = self.texts(tag)?;
        if texts.len() == count {
            Ok(texts)
        } else {
            Err(self.wrong(tag, "one text for each item"))
        }
    }

    /// Returns as many 32-bit numbers as there are `count`, or the error that says so.
    pub(super) fn numbers_of(&self, tag: u32, count: usize) -> Result<Vec<u32>, RpmError> {
        let numbers = self.numbers(tag)?;
        let narrow: Option<Vec<u32>> = numbers
            .iter()
            .map(|number| u32::try_from(*number).ok())
            .collect();
        narrow
            .filter(|numbers| numbers.len() == count)
            .ok_or_else(|| self.wrong(tag, "one number for each item"))
    }
}

/// The region entry and its trailer must both say: the whole header, and nothing else.
fn check_region(
    section: Section,
    [tag, kind, offset, count]: &[u32; 4],
    data: &[u8],
    entries: usize,
) -> Result<(), &'static str> {
    let error = "its first entry is not a region over all of it";
    let start = data.len().checked_sub(ENTRY).ok_or(error)?;
    let fits = *tag == section.region_tag()
        && *kind == 7
        && *count as usize == ENTRY
        && *offset as usize == start;
    let trailer: Option<Vec<u32>> = (0..4).map(|field| word(data, start + field * 4)).collect();
    let negative = u32::try_from(entries * ENTRY)
        .map_err(|_| error)?
        .wrapping_neg();
    if fits && trailer.as_deref() == Some(&[*tag, 7, negative, 16]) {
        Ok(())
    } else {
        Err(error)
    }
}

fn read_value(
    kind: u32,
    count: usize,
    data: &[u8],
    offset: usize,
) -> Result<(TagValue, usize), &'static str> {
    let width = match kind {
        1 | 2 => 1,
        3 => 2,
        4 => 4,
        5 => 8,
        6 if count != 1 => return Err("a single text is counted as several"),
        6 | 8 | 9 => return read_texts(count, data),
        7 => {
            let bytes = data
                .get(..count)
                .ok_or("an entry reaches behind the data")?;
            return Ok((TagValue::Bytes(bytes.to_vec()), count));
        }
        _ => return Err("an entry has an unknown type"),
    };
    if !offset.is_multiple_of(width) {
        return Err("a number is not aligned");
    }
    let size = count
        .checked_mul(width)
        .ok_or("an entry reaches behind the data")?;
    let bytes = data.get(..size).ok_or("an entry reaches behind the data")?;
    let number = |chunk: &[u8]| {
        chunk
            .iter()
            .fold(0u64, |number, byte| number << 8 | u64::from(*byte))
    };
    Ok((
        TagValue::Numbers(bytes.chunks_exact(width).map(number).collect()),
        size,
    ))
}

fn read_texts(count: usize, data: &[u8]) -> Result<(TagValue, usize), &'static str> {
    // Every text takes at least its terminator: a count beyond the data never gets memory.
    if count > data.len() {
        return Err("an entry reaches behind the data");
    }
    let mut texts = Vec::with_capacity(count);
    let mut rest = data;
    for _ in 0..count {
        let end = rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or("a text has no end")?;
        let text = std::str::from_utf8(&rest[..end]).map_err(|_| "a text is not UTF-8")?;
        texts.push(text.to_owned());
        rest = &rest[end + 1..];
    }
    Ok((TagValue::Texts(texts), data.len() - rest.len()))
}
