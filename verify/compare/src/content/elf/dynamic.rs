//! The dynamic section in words: what the loader is told (gABI chapter 5).

use crate::finder::{Finder, Side};
use crate::printable::text_of;

/// Entries of which a real file has a few dozen.
const MOST: usize = 10_000;

/// Tags whose value is the place of a text.
const TEXTS: [u64; 5] = [1, 14, 15, 29, 0x7fff_fffd];

/// One entry in words; those of one name are told apart by their number.
pub(super) type Entry = (String, String);

/// Reads the entries up to the end marker.
pub(super) fn entries(data: &[u8], is_64: bool, is_little: bool, texts: &[u8]) -> Vec<Entry> {
    let width = if is_64 { 8 } else { 4 };
    let number = |bytes: &[u8]| {
        let fold = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        match is_little {
            true => bytes.iter().rev().fold(0, fold),
            false => bytes.iter().fold(0, fold),
        }
    };
    let pairs = data.chunks_exact(2 * width).take(MOST);
    let pairs = pairs.map(|pair| (number(&pair[..width]), number(&pair[width..])));
    let entry = |(tag, value): (u64, u64)| {
        let shown = match TEXTS.contains(&tag) {
            true => text_at(texts, value),
            false => format!("{value:#x}"),
        };
        (name(tag), shown)
    };
    pairs.take_while(|(tag, _)| *tag != 0).map(entry).collect()
}

fn text_at(texts: &[u8], at: u64) -> String {
    let rest = usize::try_from(at).ok().and_then(|at| texts.get(at..));
    rest.map_or_else(
        || format!("{at:#x}"),
        |rest| text_of(rest.split(|byte| *byte == 0).next().unwrap_or_default()),
    )
}

/// Tells which entries differ. Addresses and sizes follow from the rest of the file and are left out
/// where anything else differs.
pub(super) fn compare(finder: &mut Finder, left: &[Entry], right: &[Entry]) {
    let before = finder.count();
    let is_told = |entry: &&Entry| is_meant(&entry.0);
    for entry in left
        .iter()
        .filter(is_told)
        .filter(|entry| !right.contains(entry))
    {
        finder.only(Side::Left, "entry", &entry.0, &entry.1);
    }
    for entry in right
        .iter()
        .filter(is_told)
        .filter(|entry| !left.contains(entry))
    {
        finder.only(Side::Right, "entry", &entry.0, &entry.1);
    }
    let order = |entries: &[Entry]| -> Vec<String> {
        let told = entries.iter().filter(is_told);
        told.map(|(name, value)| format!("{name} {value}"))
            .collect()
    };
    if finder.count() == before {
        super::tell_order(finder, "entries", &order(left), &order(right));
    }
    if finder.count() == before {
        for ((name, value), (_, other)) in left.iter().zip(right) {
            finder.value("entry", name, value, other);
        }
    }
}

fn is_meant(name: &str) -> bool {
    const MEANT: [&str; 12] = [
        "NEEDED",
        "SONAME",
        "RPATH",
        "RUNPATH",
        "FLAGS",
        "FLAGS_1",
        "BIND_NOW",
        "TEXTREL",
        "SYMBOLIC",
        "DEBUG",
        "AUXILIARY",
        "FILTER",
    ];
    MEANT.contains(&name)
}

fn name(tag: u64) -> String {
    let name = match tag {
        1 => "NEEDED",
        2 => "PLTRELSZ",
        3 => "PLTGOT",
        4 => "HASH",
        5 => "STRTAB",
        6 => "SYMTAB",
        7 => "RELA",
        8 => "RELASZ",
        9 => "RELAENT",
        10 => "STRSZ",
        11 => "SYMENT",
        12 => "INIT",
        13 => "FINI",
        14 => "SONAME",
        15 => "RPATH",
        16 => "SYMBOLIC",
        17 => "REL",
        18 => "RELSZ",
        20 => "PLTREL",
        21 => "DEBUG",
        22 => "TEXTREL",
        23 => "JMPREL",
        24 => "BIND_NOW",
        25 => "INIT_ARRAY",
        26 => "FINI_ARRAY",
        27 => "INIT_ARRAYSZ",
        28 => "FINI_ARRAYSZ",
        29 => "RUNPATH",
        30 => "FLAGS",
        0x6fff_fef5 => "GNU_HASH",
        0x6fff_fff0 => "VERSYM",
        0x6fff_fff9 => "RELACOUNT",
        0x6fff_fffb => "FLAGS_1",
        0x6fff_fffc => "VERDEF",
        0x6fff_fffd => "VERDEFNUM",
        0x6fff_fffe => "VERNEED",
        0x6fff_ffff => "VERNEEDNUM",
        0x7fff_fffd => "AUXILIARY",
        0x7fff_ffff => "FILTER",
        other => return format!("{other:#x}"),
    };
    name.to_owned()
}
