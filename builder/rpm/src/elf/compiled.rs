//! How a file's parts were compiled: what its debug information says (DWARF 5, clause 3.1.1) and
//! which functions it asks the C library for.
//!
//! GCC writes the options that change code into `DW_AT_producer`, so that one unit of many that was
//! compiled without a protection shows, a static library's included. Assembly has no such options.
//! (Fedora's annobin notes tell the same; Debian's compiler has no annobin.)

use std::collections::{BTreeMap, BTreeSet};

use gimli::{EndianSlice, RunTimeEndian, SectionId};
use object::read::elf::{ElfFile, ElfFile32, ElfFile64, FileHeader};
use object::{Endianness, Object as _, ObjectSection as _, ObjectSymbol as _};

use super::ElfError;

/// A bound on work. The largest C++ programs have some ten thousand units.
const MAX_UNITS: usize = 1_000_000;

impl From<gimli::Error> for ElfError {
    fn from(error: gimli::Error) -> Self {
        Self::Damaged {
            reason: format!("debug information: {}", error.to_string().to_lowercase()),
        }
    }
}

/// What is known about how a linked file came to be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compilation {
    /// Each compiler with its options, and the first unit that it made:
    /// `GNU C17 12.2.0 -O2 -fstack-protector-strong` -> `lib/url.c`.
    pub producers: BTreeMap<String, String>,
    /// Folders that sources and headers were found in, absolute where the debug information says so.
    pub folders: BTreeSet<String>,
    /// Symbols that other files must define.
    pub imports: BTreeSet<String>,
}

impl Compilation {
    /// Reads what a file says; nothing where it is no ELF file or has no debug information.
    ///
    /// # Errors
    /// `Class` and `Damaged`; `CompressedDebug` where the debug information can not be read.
    pub fn read(bytes: &[u8]) -> Result<Self, ElfError> {
        if !bytes.starts_with(b"\x7fELF") {
            return Ok(Self::default());
        }
        match bytes.get(4) {
            Some(1) => read_file(&ElfFile32::<Endianness>::parse(bytes)?),
            Some(2) => read_file(&ElfFile64::<Endianness>::parse(bytes)?),
            _ => Err(ElfError::Class),
        }
    }
}

type Dwarf<'data> = gimli::Dwarf<EndianSlice<'data, RunTimeEndian>>;

fn read_file<Elf>(file: &ElfFile<'_, Elf>) -> Result<Compilation, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let mut compilation = Compilation {
        imports: imports(file),
        ..Compilation::default()
    };
    let endian = match file.endianness() {
        Endianness::Little => RunTimeEndian::Little,
        Endianness::Big => RunTimeEndian::Big,
    };
    let section = |id: SectionId| -> Result<EndianSlice<'_, RunTimeEndian>, ElfError> {
        let Some(section) = file.section_by_name(id.name()) else {
            return Ok(EndianSlice::new(&[], endian));
        };
        let range = section.compressed_file_range()?;
        if range.format != object::CompressionFormat::None {
            return Err(ElfError::CompressedDebug);
        }
        Ok(EndianSlice::new(section.data()?, endian))
    };
    let dwarf: Dwarf<'_> = gimli::Dwarf::load(section)?;
    let mut units = dwarf.units();
    let mut budget = MAX_UNITS;
    while let Some(header) = units.next()? {
        budget = budget
            .checked_sub(1)
            .ok_or(ElfError::TooManyUnits { limit: MAX_UNITS })?;
        read_unit(&dwarf, header, &mut compilation)?;
    }
    Ok(compilation)
}

fn imports<Elf>(file: &ElfFile<'_, Elf>) -> BTreeSet<String>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let undefined = file
        .dynamic_symbols()
        .filter(|symbol| symbol.is_undefined());
    undefined
        .filter_map(|symbol| symbol.name().ok().map(str::to_owned))
        .collect()
}

fn read_unit<'data>(
    dwarf: &Dwarf<'data>,
    header: gimli::UnitHeader<EndianSlice<'data, RunTimeEndian>>,
    compilation: &mut Compilation,
) -> Result<(), ElfError> {
    let unit = dwarf.unit(header)?;
    let text = |slice: EndianSlice<'data, RunTimeEndian>| slice.to_string_lossy().into_owned();
    let name = unit.name.map(text).unwrap_or_default();
    let folder = unit.comp_dir.map(text).unwrap_or_default();
    let mut entries = unit.entries();
    if let Some(entry) = entries.next_dfs()?
        && let Some(value) = entry.attr_value(gimli::DW_AT_producer)
    {
        let producer = text(dwarf.attr_string(&unit, value)?);
        compilation.producers.entry(producer).or_insert(name);
    }
    if let Some(program) = &unit.line_program {
        for directory in program.header().include_directories() {
            let directory = text(dwarf.attr_string(&unit, *directory)?);
            compilation.folders.insert(absolute(&folder, &directory));
        }
    }
    compilation.folders.insert(folder);
    Ok(())
}

/// Resolves `..` and `.` in a folder that may be relative to the compile folder.
fn absolute(base: &str, folder: &str) -> String {
    let whole = if folder.starts_with('/') {
        folder.to_owned()
    } else {
        format!("{base}/{folder}")
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
