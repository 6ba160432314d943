//! ELF bytes to evidence, by way of `object`, generic over class and byte order.

use std::collections::{BTreeMap, BTreeSet};

use object::elf;
use object::read::elf::{FileHeader, ProgramHeader as _, SectionHeader as _, SectionTable};
use object::{Endianness, StringTable};

use super::{ElfClass, ElfError, ElfEvidence, ElfKind, Hardening, Relro, StackExecution};

/// A bound on work: the tables can name one record over and over. The C library has about 40.
const MAX_VERSIONS: usize = 65_536;

impl From<object::read::Error> for ElfError {
    fn from(error: object::read::Error) -> Self {
        Self::Damaged {
            reason: error.to_string().to_lowercase(),
        }
    }
}

pub(super) fn read(bytes: &[u8]) -> Result<ElfEvidence, ElfError> {
    match bytes.get(4) {
        Some(1) => read_class::<elf::FileHeader32<Endianness>>(bytes, ElfClass::Elf32),
        Some(2) => read_class::<elf::FileHeader64<Endianness>>(bytes, ElfClass::Elf64),
        _ => Err(ElfError::Class),
    }
}

/// What the dynamic section says.
#[derive(Default)]
struct DynamicFacts {
    soname: Option<String>,
    needed: Vec<String>,
    rpath: Vec<String>,
    runpath: Vec<String>,
    flags: u64,
    flags_1: u64,
    has_bind_now: bool,
    has_gnu_hash: bool,
    has_sysv_hash: bool,
    has_debug_tag: bool,
}

/// What the program headers say.
#[derive(Default)]
struct SegmentFacts {
    interpreter: Option<String>,
    has_relro: bool,
    /// Whether there is a stack segment, and whether it is executable.
    stack: Option<bool>,
}

fn read_class<Elf>(bytes: &[u8], class: ElfClass) -> Result<ElfEvidence, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let header = Elf::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let segments = read_segments(header, endian, bytes)?;
    let dynamic = read_dynamic(&sections, endian, bytes)?;
    let (base_version, defined_versions) = read_definitions(&sections, endian, bytes)?;
    let is_pie = dynamic.flags_1 & elf::DF_1_PIE.0 != 0;
    let kind = match header.e_type(endian) {
        elf::ET_EXEC => ElfKind::FixedExecutable,
        elf::ET_DYN if is_pie => ElfKind::PositionIndependentExecutable,
        elf::ET_DYN => ElfKind::SharedObject,
        elf::ET_REL => ElfKind::Relocatable,
        other => ElfKind::Other(other.0),
    };
    let binds_now = dynamic.has_bind_now
        || dynamic.flags & elf::DF_BIND_NOW.0 != 0
        || dynamic.flags_1 & elf::DF_1_NOW.0 != 0;
    let relro = match (segments.has_relro, binds_now) {
        (false, _) => Relro::None,
        (true, false) => Relro::Partial,
        (true, true) => Relro::Full,
    };
    let stack = match segments.stack {
        None => StackExecution::Unmarked,
        Some(true) => StackExecution::Requested,
        Some(false) => StackExecution::Refused,
    };
    Ok(ElfEvidence {
        class,
        machine: header.e_machine(endian).0,
        kind,
        soname: dynamic.soname,
        needed: dynamic.needed,
        rpath: dynamic.rpath,
        runpath: dynamic.runpath,
        interpreter: segments.interpreter,
        build_id: read_build_id(&sections, endian, bytes)?,
        has_debug_information: has_debug_information(&sections, endian, bytes)?,
        defined_versions,
        needed_versions: read_needs(&sections, endian, bytes)?,
        hardening: Hardening {
            relro,
            binds_now,
            stack,
        },
        base_version,
        has_gnu_hash: dynamic.has_gnu_hash,
        has_sysv_hash: dynamic.has_sysv_hash,
        has_debug_tag: dynamic.has_debug_tag,
    })
}

fn text(bytes: &[u8], what: &'static str) -> Result<String, ElfError> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|_| ElfError::Text { what })
}

fn read_segments<Elf>(
    header: &Elf,
    endian: Endianness,
    bytes: &[u8],
) -> Result<SegmentFacts, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let mut facts = SegmentFacts::default();
    for segment in header.program_headers(endian, bytes)? {
        match segment.p_type(endian) {
            elf::PT_INTERP => {
                if let Some(path) = segment.interpreter(endian, bytes)? {
                    facts.interpreter = Some(text(path, "loader's path")?);
                }
            }
            elf::PT_GNU_RELRO => facts.has_relro = true,
            elf::PT_GNU_STACK => {
                facts.stack = Some(segment.p_flags(endian).0 & elf::PF_X.0 != 0);
            }
            _ => {}
        }
    }
    Ok(facts)
}

fn read_dynamic<'data, Elf>(
    sections: &SectionTable<'data, Elf>,
    endian: Endianness,
    bytes: &'data [u8],
) -> Result<DynamicFacts, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let mut facts = DynamicFacts::default();
    let is_separate_debug_file = sections.iter().any(|section| {
        section.sh_type(endian) == elf::SHT_NOBITS
            && is_named(sections, endian, section, b".dynamic")
    });
    if is_separate_debug_file {
        return Ok(facts);
    }
    let table = sections.dynamic_table(endian, bytes)?;
    for entry in &table {
        let string = |what| text(table.string(entry)?, what);
        let path = |what| -> Result<Vec<String>, ElfError> {
            Ok(string(what)?.split(':').map(str::to_owned).collect())
        };
        match entry.tag {
            elf::DT_SONAME => facts.soname = Some(string("soname")?),
            elf::DT_NEEDED => facts.needed.push(string("needed soname")?),
            elf::DT_RPATH => facts.rpath = path("search path")?,
            elf::DT_RUNPATH => facts.runpath = path("search path")?,
            elf::DT_FLAGS => facts.flags = entry.val,
            elf::DT_FLAGS_1 => facts.flags_1 = entry.val,
            elf::DT_BIND_NOW => facts.has_bind_now = true,
            elf::DT_GNU_HASH => facts.has_gnu_hash = true,
            elf::DT_HASH => facts.has_sysv_hash = true,
            elf::DT_DEBUG => facts.has_debug_tag = true,
            _ => {}
        }
    }
    Ok(facts)
}

fn is_named<Elf>(
    sections: &SectionTable<'_, Elf>,
    endian: Endianness,
    section: &Elf::SectionHeader,
    name: &[u8],
) -> bool
where
    Elf: FileHeader<Endian = Endianness>,
{
    sections.section_name(endian, section) == Ok(name)
}

fn has_debug_information<'data, Elf>(
    sections: &SectionTable<'data, Elf>,
    endian: Endianness,
    bytes: &'data [u8],
) -> Result<bool, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
{
    for section in sections.iter() {
        let is_debug = is_named(sections, endian, section, b".debug_info")
            || is_named(sections, endian, section, b".zdebug_info");
        if is_debug && !section.data(endian, bytes)?.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_build_id<'data, Elf>(
    sections: &SectionTable<'data, Elf>,
    endian: Endianness,
    bytes: &'data [u8],
) -> Result<Option<String>, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
{
    use std::fmt::Write as _;
    for section in sections.iter() {
        let Some(mut notes) = section.notes(endian, bytes)? else {
            continue;
        };
        while let Some(note) = notes.next()? {
            if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
                let mut hexadecimal = String::with_capacity(note.desc().len() * 2);
                for byte in note.desc() {
                    let _ = write!(hexadecimal, "{byte:02x}");
                }
                return Ok(Some(hexadecimal));
            }
        }
    }
    Ok(None)
}

/// Counts records, and stops a file that repeats them without end.
struct Budget(usize);

impl Budget {
    fn spend(&mut self) -> Result<(), ElfError> {
        self.0 = self.0.checked_sub(1).ok_or(ElfError::TooManyVersions {
            limit: MAX_VERSIONS,
        })?;
        Ok(())
    }
}

type Definitions = (Option<String>, BTreeSet<String>);

fn read_definitions<'data, Elf>(
    sections: &SectionTable<'data, Elf>,
    endian: Endianness,
    bytes: &'data [u8],
) -> Result<Definitions, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let (mut base, mut names) = (None, BTreeSet::new());
    let Some((mut definitions, link)) = sections.gnu_verdef(endian, bytes)? else {
        return Ok((base, names));
    };
    let strings: StringTable<'data> = sections.strings(endian, bytes, link)?;
    let mut budget = Budget(MAX_VERSIONS);
    while let Some((definition, mut names_of)) = definitions.next()? {
        budget.spend()?;
        // The first name is the definition's own; the others are what it inherits from.
        let Some(first) = names_of.next()? else {
            continue;
        };
        let name = text(first.name(endian, strings)?, "symbol version")?;
        if definition.vd_flags.get(endian).0 & elf::VER_FLG_BASE.0 == 0 {
            names.insert(name);
        } else {
            base = Some(name);
        }
    }
    Ok((base, names))
}

fn read_needs<'data, Elf>(
    sections: &SectionTable<'data, Elf>,
    endian: Endianness,
    bytes: &'data [u8],
) -> Result<BTreeMap<String, BTreeSet<String>>, ElfError>
where
    Elf: FileHeader<Endian = Endianness>,
{
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let Some((mut files, link)) = sections.gnu_verneed(endian, bytes)? else {
        return Ok(needs);
    };
    let strings: StringTable<'data> = sections.strings(endian, bytes, link)?;
    let mut budget = Budget(MAX_VERSIONS);
    while let Some((file, mut versions)) = files.next()? {
        budget.spend()?;
        let soname = text(file.file(endian, strings)?, "needed soname")?;
        let names = needs.entry(soname).or_default();
        while let Some(version) = versions.next()? {
            budget.spend()?;
            names.insert(text(version.name(endian, strings)?, "symbol version")?);
        }
    }
    Ok(needs)
}
