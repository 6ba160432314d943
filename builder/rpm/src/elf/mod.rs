//! ELF evidence: what a file is, what it needs, what it offers, how it is hardened.
//!
//! This is what the loader will do, not what a build system meant: it is read from the bytes (ELF
//! gABI chapters 4 and 5, the GNU extensions for symbol versions and build-ids).

mod compiled;
mod dependencies;
mod read;

use std::collections::{BTreeMap, BTreeSet};

pub use compiled::Compilation;
pub use dependencies::Permission;

/// Says why a file that begins like an ELF file can not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// Class or byte order are none that exist.
    #[error("the file begins like an ELF file, but is neither 32-bit nor 64-bit")]
    Class,
    /// A table points outside of the file or is cut off.
    #[error("the ELF file is damaged: {reason}")]
    Damaged {
        /// What the parser says.
        reason: String,
    },
    /// A name in it is not UTF-8.
    #[error("the ELF file is damaged: a {what} is not UTF-8")]
    Text {
        /// Which name.
        what: &'static str,
    },
    /// Its debug information is compressed (`-gz`).
    #[error(
        "the debug information is compressed, so that nothing can be said of its compilation; \
         compile without `-gz`"
    )]
    CompressedDebug,
    /// It has more compilation units than any real file has.
    #[error("the ELF file has more than {limit} compilation units")]
    TooManyUnits {
        /// The limit.
        limit: usize,
    },
    /// It states more symbol versions than any real file has.
    #[error("the ELF file states more than {limit} symbol versions")]
    TooManyVersions {
        /// The limit.
        limit: usize,
    },
}

/// Whether a file has 32-bit or 64-bit addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ElfClass {
    /// 32-bit.
    Elf32,
    /// 64-bit.
    Elf64,
}

/// What an ELF file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ElfKind {
    /// A program at a fixed address.
    FixedExecutable,
    /// A program that can be loaded anywhere (PIE).
    PositionIndependentExecutable,
    /// A shared library or a plug-in.
    SharedObject,
    /// A compiler's output, to be linked: `.o`, kernel modules.
    Relocatable,
    /// A core dump or something that an extension defines.
    Other(u16),
}

/// How much of a file's tables is read-only once it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relro {
    /// Nothing.
    None,
    /// All but what is bound lazily.
    Partial,
    /// All.
    Full,
}

/// Whether a file asks for a stack that code can run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StackExecution {
    /// It asks for one without.
    Refused,
    /// It asks for one with.
    Requested,
    /// It does not say, which on x86-64 makes the stack executable.
    Unmarked,
}

/// Means against exploitation, as far as they show in the file's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hardening {
    /// Read-only tables.
    pub relro: Relro,
    /// Whether every symbol is bound at start.
    pub binds_now: bool,
    /// The stack.
    pub stack: StackExecution,
}

/// Everything that kiln reads from one ELF file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElfEvidence {
    /// 32-bit or 64-bit.
    pub class: ElfClass,
    /// The machine's number (gABI `e_machine`; x86-64 is 62).
    pub machine: u16,
    /// What it is for.
    pub kind: ElfKind,
    /// The name under which others ask for it.
    pub soname: Option<String>,
    /// Sonames that it asks for, in its order.
    pub needed: Vec<String>,
    /// Old-style search path, one entry each.
    pub rpath: Vec<String>,
    /// Search path, one entry each.
    pub runpath: Vec<String>,
    /// The loader that it asks for.
    pub interpreter: Option<String>,
    /// Build-id, hexadecimal.
    pub build_id: Option<String>,
    /// Whether it carries DWARF (`.debug_info` with content).
    pub has_debug_information: bool,
    /// Symbol versions that it defines, without the base version.
    pub defined_versions: BTreeSet<String>,
    /// Symbol versions that it asks for, by soname.
    pub needed_versions: BTreeMap<String, BTreeSet<String>>,
    /// Hardening.
    pub hardening: Hardening,
    /// The name that its version definitions belong to; usually the soname.
    base_version: Option<String>,
    has_gnu_hash: bool,
    has_sysv_hash: bool,
    has_debug_tag: bool,
}

impl ElfEvidence {
    /// Reads a file's bytes; `None` when they are not an ELF file.
    ///
    /// # Errors
    /// Every variant of [`ElfError`], for a file that begins like one and is none.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, ElfError> {
        if bytes.starts_with(b"\x7fELF") {
            read::read(bytes).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Returns whether it is a program, at a fixed address or not.
    #[must_use]
    pub const fn is_executable(&self) -> bool {
        matches!(
            self.kind,
            ElfKind::FixedExecutable | ElfKind::PositionIndependentExecutable
        )
    }

    /// Returns whether it lacks symbols for the loader: a static program or an object file.
    #[must_use]
    pub const fn is_static(&self) -> bool {
        self.needed.is_empty() && self.interpreter.is_none()
    }
}

#[cfg(test)]
impl ElfEvidence {
    /// A file of which nothing is known, for tests of what is made of evidence.
    pub(crate) fn plain(kind: ElfKind) -> Self {
        Self {
            class: ElfClass::Elf64,
            machine: 62,
            kind,
            soname: None,
            needed: Vec::new(),
            rpath: Vec::new(),
            runpath: Vec::new(),
            interpreter: None,
            build_id: None,
            has_debug_information: false,
            defined_versions: BTreeSet::new(),
            needed_versions: BTreeMap::new(),
            hardening: Hardening {
                relro: Relro::None,
                binds_now: false,
                stack: StackExecution::Refused,
            },
            base_version: None,
            has_gnu_hash: false,
            has_sysv_hash: false,
            has_debug_tag: false,
        }
    }
}

#[cfg(test)]
mod tests;
