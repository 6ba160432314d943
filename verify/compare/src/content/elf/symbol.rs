//! Symbols: which one covers a place, and which are on one side only.

use std::collections::BTreeMap;

use object::read::elf::{ElfFile, FileHeader};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use super::super::tell_order;
use crate::difference::Change;
use crate::finder::{Finder, Side};
use crate::printable::text_of;

/// Most symbols that are read; the largest programs have some hundred thousand.
const MOST: usize = 1_000_000;

/// One symbol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Symbol {
    name: String,
    address: u64,
    size: u64,
    section: String,
}

/// The symbols of a file.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// As they stand in the tables.
    all: Vec<Symbol>,
    /// Those that cover something, by section and address.
    by_place: BTreeMap<(String, u64), usize>,
}

impl Symbols {
    pub(super) fn read<Elf>(file: &ElfFile<'_, Elf>) -> Self
    where
        Elf: FileHeader<Endian = Endianness>,
    {
        let sections: BTreeMap<usize, String> = file
            .sections()
            .map(|section| {
                (
                    section.index().0,
                    text_of(section.name_bytes().unwrap_or_default()),
                )
            })
            .collect();
        let mut symbols = Self::default();
        let table = file.symbols().chain(file.dynamic_symbols()).take(MOST);
        for symbol in table.filter(|symbol| symbol.kind() != SymbolKind::Section) {
            let section = symbol
                .section_index()
                .and_then(|index| sections.get(&index.0));
            symbols.all.push(Symbol {
                name: text_of(symbol.name_bytes().unwrap_or_default()),
                address: symbol.address(),
                size: symbol.size(),
                section: section.cloned().unwrap_or_default(),
            });
        }
        for (at, symbol) in symbols.all.iter().enumerate() {
            if symbol.size > 0 && !symbol.section.is_empty() {
                let place = (symbol.section.clone(), symbol.address);
                symbols.by_place.entry(place).or_insert(at);
            }
        }
        symbols
    }

    /// Returns the symbol that an address of a section belongs to, and how far into it: `main+0x12`.
    pub(super) fn covering(&self, address: u64, section: &str) -> Option<String> {
        let until = ..=(section.to_owned(), address);
        let (_, at) = self.by_place.range(until).next_back()?;
        let symbol = &self.all[*at];
        let offset = address.checked_sub(symbol.address)?;
        if symbol.section != section || offset >= symbol.size {
            return None;
        }
        Some(match offset {
            0 => symbol.name.clone(),
            offset => format!("{}+{offset:#x}", symbol.name),
        })
    }
}

/// Tells which symbols are on one side only, or stand in another order.
pub(super) fn compare(finder: &mut Finder, left: &Symbols, right: &Symbols) {
    if left.all == right.all {
        return;
    }
    let counted = |symbols: &'_ Symbols| {
        let mut counts: BTreeMap<(String, String), i64> = BTreeMap::new();
        for symbol in &symbols.all {
            *counts
                .entry((symbol.name.clone(), symbol.section.clone()))
                .or_default() += 1;
        }
        counts
    };
    let (left_counts, right_counts) = (counted(left), counted(right));
    let most = finder.effort().per_leaf;
    let mut told = 0;
    for (one, other, side) in [
        (&left_counts, &right_counts, Side::Left),
        (&right_counts, &left_counts, Side::Right),
    ] {
        let extra = one
            .iter()
            .filter(|(key, count)| other.get(*key).copied().unwrap_or(0) < **count);
        for ((name, section), _) in extra {
            told += 1;
            if told <= most {
                let what = match section.as_str() {
                    "" => "not defined here".to_owned(),
                    section => format!("in {section}"),
                };
                finder.only(side, "symbol", name, &what);
            }
        }
    }
    if told > most {
        finder.note(format!("{} more symbols are on one side only", told - most));
    }
    if told > 0 {
        return;
    }
    let names = |symbols: &Symbols| -> Vec<String> {
        symbols
            .all
            .iter()
            .map(|symbol| symbol.name.clone())
            .collect()
    };
    let before = finder.count();
    tell_order(finder, "symbols", &names(left), &names(right));
    if finder.count() == before {
        tell_moved(finder, left, right);
    }
}

/// The same symbols in the same order, at other addresses or of other sizes.
fn tell_moved(finder: &mut Finder, left: &Symbols, right: &Symbols) {
    let mut moved = left.all.iter().zip(&right.all).filter(|(l, r)| l != r);
    let Some((one, two)) = moved.next() else {
        return;
    };
    let more = moved.count();
    let told = |symbol: &Symbol| format!("at {:#x}, {} bytes", symbol.address, symbol.size);
    finder.within("symbol", &one.name, |finder| {
        finder.within("symbol table", "place", |finder| {
            finder.add(Change::Value {
                left: told(one),
                right: told(two),
            });
        });
        if more > 0 {
            finder.note(format!("{more} more symbols lie elsewhere"));
        }
    });
}
