//! ELF files section by section: what a table says in words, and for code and data the symbol that the
//! differing bytes belong to.

mod dynamic;
mod symbol;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;

use object::read::elf::{ElfFile, ElfFile32, ElfFile64, FileHeader};
use object::{Endianness, Object as _, ObjectSection as _, SectionFlags};

use self::symbol::Symbols;
use super::bytes::{Region, excerpts, regions};
use super::compressed::unpacked;
use super::tell_order;
use super::text::compare_items;
use crate::difference::Change;
use crate::finder::{Finder, Side};
use crate::printable::{common_prefix, hex, plain_hex, text_of};

/// Sections that hold texts with a NUL behind each.
const STRINGS: [&str; 9] = [
    ".comment",
    ".debug_line_str",
    ".debug_str",
    ".dynstr",
    ".gnu_debuglink",
    ".interp",
    ".shstrtab",
    ".strtab",
    ".stabstr",
];

/// Sections that say where things are: they differ whenever anything else does.
const TABLES: [&str; 14] = [
    ".debug_abbrev",
    ".debug_addr",
    ".debug_aranges",
    ".debug_info",
    ".debug_line",
    ".debug_loclists",
    ".debug_names",
    ".debug_rnglists",
    ".debug_str_offsets",
    ".debug_types",
    ".eh_frame",
    ".eh_frame_hdr",
    ".gdb_index",
    ".gnu.hash",
];

/// A compressed section's flag (gABI `SHF_COMPRESSED`).
const COMPRESSED: u64 = 0x800;

/// Most texts of a section that is compared by texts.
const MOST_TEXTS: usize = 4_000_000;

/// Fewest characters of a text in a section of constants.
const SHORTEST_TEXT: usize = 4;

/// One section.
#[derive(Debug)]
pub(super) struct Section<'a> {
    name: String,
    address: u64,
    align: u64,
    kind: u64,
    flags: u64,
    data: Cow<'a, [u8]>,
}

/// What is compared of a file.
#[derive(Debug)]
struct Parts<'a> {
    header: Vec<(&'static str, String)>,
    sections: Vec<Section<'a>>,
    symbols: Symbols,
    is_64: bool,
    is_little: bool,
}

/// Tells how two files differ.
pub(super) fn compare(finder: &mut Finder, left: &[u8], right: &[u8]) {
    let (left, right) = match (read(left), read(right)) {
        (Ok(left), Ok(right)) => (left, right),
        (left, right) => {
            for (side, result) in [("left", left.err()), ("right", right.err())] {
                if let Some(error) = result {
                    finder.note(format!("{side} is a damaged ELF file: {error}"));
                }
            }
            return;
        }
    };
    for ((field, left), (_, right)) in left.header.iter().zip(&right.header) {
        finder.value("ELF header", field, left, right);
    }
    compare_sections(finder, &left, &right);
    symbol::compare(finder, &left.symbols, &right.symbols);
}

fn read(bytes: &[u8]) -> Result<Parts<'_>, String> {
    let parts = match bytes.get(4) {
        Some(1) => ElfFile32::<Endianness>::parse(bytes).map(|file| parts(&file, false)),
        Some(2) => ElfFile64::<Endianness>::parse(bytes).map(|file| parts(&file, true)),
        _ => return Err("it is neither 32-bit nor 64-bit".to_owned()),
    };
    parts.map_err(|error| error.to_string().to_lowercase())
}

fn parts<'a, Elf>(file: &ElfFile<'a, Elf>, is_64: bool) -> Parts<'a>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let (header, endian) = (file.elf_header(), file.endian());
    let sections = file.sections().map(|section| {
        let (kind, flags) = match section.flags() {
            SectionFlags::Elf {
                sh_type, sh_flags, ..
            } => (u64::from(sh_type.0), sh_flags.0),
            _ => (0, 0),
        };
        Section {
            name: text_of(section.name_bytes().unwrap_or(b"(no name)")),
            address: section.address(),
            align: section.align(),
            kind,
            flags,
            // A section that lies outside of the file has nothing that could be compared.
            data: Cow::Borrowed(section.data().unwrap_or_default()),
        }
    });
    Parts {
        header: vec![
            ("type", header.e_type(endian).0.to_string()),
            ("machine", header.e_machine(endian).0.to_string()),
            ("flags", format!("{:#x}", header.e_flags(endian).0)),
            ("ABI", header.e_ident().os_abi.0.to_string()),
            ("entry", format!("{:#x}", file.entry())),
            ("program headers", header.e_phnum(endian).to_string()),
            ("sections", header.e_shnum(endian).to_string()),
        ],
        sections: sections.collect(),
        symbols: Symbols::read(file),
        is_64,
        is_little: file.is_little_endian(),
    }
}

fn compare_sections(finder: &mut Finder, left: &Parts<'_>, right: &Parts<'_>) {
    let named = |parts: &'_ Parts<'_>| -> BTreeMap<(String, usize), usize> {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut named = BTreeMap::new();
        for (at, section) in parts.sections.iter().enumerate() {
            let count = seen.entry(&section.name).or_default();
            named.insert((section.name.clone(), *count), at);
            *count += 1;
        }
        named
    };
    let (left_names, right_names) = (named(left), named(right));
    let mut pairs: Vec<(usize, usize)> = Vec::new();
    for (key, at) in &left_names {
        match right_names.get(key) {
            Some(other) => pairs.push((*at, *other)),
            None => {
                let size = left.sections[*at].data.len();
                finder.only(Side::Left, "section", &key.0, &format!("{size} bytes"));
            }
        }
    }
    for (key, at) in right_names
        .iter()
        .filter(|(key, _)| !left_names.contains_key(*key))
    {
        let size = right.sections[*at].data.len();
        finder.only(Side::Right, "section", &key.0, &format!("{size} bytes"));
    }
    // What was written by people and compilers first, what follows from it last.
    pairs.sort_by_key(|(at, _)| (TABLES.contains(&left.sections[*at].name.as_str()), *at));
    for (at, other) in pairs {
        if finder.is_done() {
            return;
        }
        let (one, two) = (&left.sections[at], &right.sections[other]);
        finder.within("section", &one.name, |finder| {
            compare_section(finder, (left, one), (right, two));
        });
    }
    let order = |parts: &Parts<'_>, names: &BTreeMap<(String, usize), usize>| -> Vec<String> {
        let sections = parts.sections.iter().map(|section| section.name.clone());
        sections
            .filter(|name| names.contains_key(&(name.clone(), 0)))
            .collect()
    };
    tell_order(
        finder,
        "sections",
        &order(left, &right_names),
        &order(right, &left_names),
    );
}

type Within<'a> = (&'a Parts<'a>, &'a Section<'a>);

fn compare_section(finder: &mut Finder, left: Within<'_>, right: Within<'_>) {
    let ((left_parts, one), (right_parts, two)) = (left, right);
    finder.value(
        "field",
        "type",
        &one.kind.to_string(),
        &two.kind.to_string(),
    );
    finder.value(
        "field",
        "flags",
        &format!("{:#x}", one.flags),
        &format!("{:#x}", two.flags),
    );
    finder.value(
        "field",
        "alignment",
        &one.align.to_string(),
        &two.align.to_string(),
    );
    if one.data == two.data {
        return;
    }
    let before = finder.count();
    if let (Some(left), Some(right)) = (expanded(finder, left), expanded(finder, right)) {
        return compare_expanded(finder, (left_parts, &left), (right_parts, &right));
    }
    match one.name.as_str() {
        ".note.gnu.build-id" => {
            let (left, right) = (build_id(&one.data), build_id(&two.data));
            finder.value("note", "build-id", &left, &right);
        }
        ".dynamic" => {
            let texts = |parts: &'_ Parts<'_>| {
                let found = parts
                    .sections
                    .iter()
                    .find(|section| section.name == ".dynstr");
                found
                    .map(|section| section.data.to_vec())
                    .unwrap_or_default()
            };
            let entries = |parts: &Parts<'_>, section: &Section<'_>| {
                dynamic::entries(&section.data, parts.is_64, parts.is_little, &texts(parts))
            };
            dynamic::compare(
                finder,
                &entries(left_parts, one),
                &entries(right_parts, two),
            );
        }
        // Symbols are told by their names, below.
        ".symtab" | ".dynsym" => return,
        // The names of symbols are told with them; what else is in the table is told as texts.
        name if STRINGS.contains(&name) && !has_many_texts(&one.data, &two.data) => {
            compare_strings(finder, &one.data, &two.data)
        }
        name if TABLES.contains(&name) => tell_table(finder, &one.data, &two.data),
        // The symbols of what was stripped, as another ELF file in xz.
        ".gnu_debugdata" => super::compare(finder, &one.data, &two.data),
        _ => {}
    }
    if finder.count() == before && !finder.is_done() {
        compare_data(finder, left, right);
    }
}

/// Tells how sections differ that were compressed in the files.
fn compare_expanded(finder: &mut Finder, left: Within<'_>, right: Within<'_>) {
    if left.1.data == right.1.data {
        finder.within("compression", "the compiler", |finder| {
            let told =
                |section: &Section<'_>| format!("{} bytes when unpacked", section.data.len());
            finder.add(Change::Value {
                left: format!("first, {}", told(left.1)),
                right: format!("second, {}", told(right.1)),
            });
        });
    } else {
        compare_section(finder, left, right);
    }
}

/// Returns a section as it is when it is unpacked; `None` for one that is not compressed.
///
/// ```text
/// 64-bit  0 kind (4): 1 zlib, 2 zstd; 8 size (8), 16 alignment (8), 24 content
/// 32-bit  0 kind (4), 4 size (4), 8 alignment (4), 12 content
/// ```
fn expanded<'a>(finder: &mut Finder, (parts, section): Within<'a>) -> Option<Section<'a>> {
    if section.flags & COMPRESSED == 0 {
        return None;
    }
    let header = if parts.is_64 { 24 } else { 12 };
    let (kind, content) = (section.data.get(..4)?, section.data.get(header..)?);
    let kind: [u8; 4] = kind.try_into().ok()?;
    let kind = if parts.is_little {
        u32::from_le_bytes(kind)
    } else {
        u32::from_be_bytes(kind)
    };
    let limit = finder.allowance();
    let mut data = Vec::new();
    let unpacked = match kind {
        1 => flate2::read::ZlibDecoder::new(content)
            .take(limit)
            .read_to_end(&mut data),
        2 => unpacked(content, limit).and_then(|mut stream| stream.read_to_end(&mut data)),
        _ => return None,
    };
    finder.spend(data.len() as u64);
    if unpacked.is_err() || data.len() as u64 >= limit {
        finder.note("a compressed section can not be unpacked".to_owned());
        return None;
    }
    Some(Section {
        name: section.name.clone(),
        flags: section.flags & !COMPRESSED,
        data: Cow::Owned(data),
        ..*section
    })
}

fn build_id(data: &[u8]) -> String {
    plain_hex(data.get(16..).unwrap_or(data))
}

/// Tells that a table of places differs, and where it begins to.
fn tell_table(finder: &mut Finder, left: &[u8], right: &[u8]) {
    let at = common_prefix(left, right);
    let told = |bytes: &[u8]| format!("{} bytes, the same up to {at:#x}", bytes.len());
    let (left_told, right_told) = (told(left), told(right));
    if left_told == right_told {
        let (found, more) = regions(left, right, finder.effort().per_leaf);
        let places = found.len() + more;
        let (left, right) = excerpts(left, right, at, at + 8, at + 8);
        finder.within("byte", &format!("{at:#x}"), |finder| {
            finder.add(Change::Value { left, right });
            if places > 1 {
                finder.note(format!("{} more places of this table differ", places - 1));
            }
        });
    } else {
        finder.value("table", "places", &left_told, &right_told);
    }
}

fn has_many_texts(left: &[u8], right: &[u8]) -> bool {
    let texts = |data: &[u8]| memchr::memchr_iter(0, data).count();
    texts(left).max(texts(right)) > MOST_TEXTS
}

fn compare_strings(finder: &mut Finder, left: &[u8], right: &[u8]) {
    let split = |data: &'_ [u8]| -> Vec<std::ops::Range<usize>> {
        let mut start = 0;
        let mut texts = Vec::new();
        for end in memchr::memchr_iter(0, data) {
            if end > start {
                texts.push(start..end);
            }
            start = end + 1;
        }
        if start < data.len() {
            texts.push(start..data.len());
        }
        texts
    };
    let left: Vec<&[u8]> = split(left).into_iter().map(|at| &left[at]).collect();
    let right: Vec<&[u8]> = split(right).into_iter().map(|at| &right[at]).collect();
    if left != right {
        compare_items(finder, "string", &left, &right);
    }
}

/// Code, constants, data.
fn compare_data(
    finder: &mut Finder,
    (left_parts, one): Within<'_>,
    (right_parts, two): Within<'_>,
) {
    let (left, right) = (&*one.data, &*two.data);
    if left.len() == right.len() {
        let (found, more) = regions(left, right, finder.effort().per_leaf);
        for region in found {
            tell_region(finder, left_parts, one, two, region);
        }
        if more > 0 {
            finder.note(format!("{more} more places of this section differ"));
        }
        return;
    }
    let before = finder.count();
    let (left_texts, right_texts) = (readable(left), readable(right));
    if left_texts != right_texts {
        compare_items(finder, "string", &left_texts, &right_texts);
    }
    if finder.count() > before {
        return;
    }
    let sizes = [left, right].map(|data| format!("{} bytes", data.len()));
    finder.value("field", "size", &sizes[0], &sizes[1]);
    let at = common_prefix(left, right);
    if at == left.len() || at == right.len() {
        let (side, more) = match at == left.len() {
            true => (Side::Right, &right[at..]),
            false => (Side::Left, &left[at..]),
        };
        let shown = hex(&more[..more.len().min(24)]);
        let what = format!("{} bytes: {shown}", more.len());
        finder.only(side, "byte", &format!("{at:#x}"), &what);
        return;
    }
    let of = |parts: &Parts<'_>, section: &Section<'_>| {
        let symbol = parts
            .symbols
            .covering(section.address.wrapping_add(at as u64), &section.name);
        symbol.unwrap_or_else(|| format!("offset {at:#x}"))
    };
    let (left_end, right_end) = ((at + 8).min(left.len()), (at + 8).min(right.len()));
    let name = of(left_parts, one);
    let other = of(right_parts, two);
    let (left, right) = excerpts(left, right, at, left_end, right_end);
    let told = |name: &str, bytes: &str| {
        if name == other {
            bytes.to_owned()
        } else {
            format!("{name}: {bytes}")
        }
    };
    let (left, right) = (
        told(&name, &left),
        if name == other {
            right
        } else {
            format!("{other}: {right}")
        },
    );
    finder.within("symbol", &name, |finder| {
        finder.add(Change::Value { left, right });
    });
}

fn tell_region(
    finder: &mut Finder,
    parts: &Parts<'_>,
    one: &Section<'_>,
    two: &Section<'_>,
    at: Region,
) {
    let symbol = parts
        .symbols
        .covering(one.address.wrapping_add(at.start as u64), &one.name);
    let (left, right) = excerpts(&one.data, &two.data, at.start, at.end, at.end);
    let change = Change::Value { left, right };
    let offset = format!("{:#x}", at.start);
    match symbol {
        Some(symbol) => finder.within("symbol", &symbol, |finder| {
            finder.within("byte", &offset, |finder| finder.add(change));
        }),
        None => finder.within("byte", &offset, |finder| finder.add(change)),
    }
}

/// Returns the texts in a section that holds other things too.
fn readable(data: &[u8]) -> Vec<&[u8]> {
    let is_text = |text: &&[u8]| {
        text.len() >= SHORTEST_TEXT
            && text
                .iter()
                .all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n'))
    };
    data.split(|byte| *byte == 0)
        .filter(is_text)
        .take(MOST_TEXTS)
        .collect()
}
