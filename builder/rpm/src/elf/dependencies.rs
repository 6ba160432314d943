//! What rpm makes of an ELF file: the names that a package provides and requires for it.
//!
//! The rules of rpm's `elfdeps` (4.18), found by comparing with it over every ELF file of a system:
//!
//! * `SONAME()(64bit)` and `SONAME(VERSION)(64bit)`; a 32-bit file has no marker, and then no
//!   parentheses without a version;
//! * provided only by what is loaded as a library: a shared object, not a PIE; without a soname by
//!   its file's name, unless it carries `DT_DEBUG` as programs do;
//! * versions are provided under the name of the base version definition;
//! * only for names that look like a library's: `lib…`, `ld-…`, `ld.…`, `ld64-…`, `ld64.…`, with
//!   `.so` in them and no white space;
//! * `rtld(GNU_HASH)` is required by what has only the GNU hash table;
//! * a program without permission to execute requires nothing.

use std::collections::BTreeSet;

use super::{ElfClass, ElfEvidence, ElfKind};

/// Whether a file may be executed by anybody: rpm asks, before it counts what a program requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// At least one execute bit is set.
    Execute,
    /// None is.
    ReadOnly,
}

fn is_library_name(name: &str) -> bool {
    let has_prefix = ["lib", "ld-", "ld.", "ld64-", "ld64."]
        .iter()
        .any(|prefix| name.starts_with(prefix));
    has_prefix && name.contains(".so") && !name.chars().any(char::is_whitespace)
}

impl ElfEvidence {
    fn dependency(&self, soname: &str, version: &str) -> Option<String> {
        if !is_library_name(soname) {
            return None;
        }
        Some(match (self.class, version) {
            (ElfClass::Elf64, _) => format!("{soname}({version})(64bit)"),
            (ElfClass::Elf32, "") => soname.to_owned(),
            (ElfClass::Elf32, _) => format!("{soname}({version})"),
        })
    }

    /// Returns what a package provides for this file, which is called `file_name`.
    #[must_use]
    pub fn elf_provides(&self, file_name: &str) -> BTreeSet<String> {
        if self.kind != ElfKind::SharedObject {
            return BTreeSet::new();
        }
        let unnamed = (!self.has_debug_tag).then_some(file_name);
        let soname = self.soname.as_deref().or(unnamed);
        let base = self.base_version.as_deref();
        let versions = self
            .defined_versions
            .iter()
            .map(|version| (base, version.as_str()));
        versions
            .chain([(soname, "")])
            .filter_map(|(soname, version)| self.dependency(soname?, version))
            .collect()
    }

    /// Returns what a package requires for this file.
    #[must_use]
    pub fn elf_requires(&self, permission: Permission) -> BTreeSet<String> {
        if self.interpreter.is_some() && permission == Permission::ReadOnly {
            return BTreeSet::new();
        }
        let plain = self.needed.iter().map(|soname| (soname, ""));
        let versioned = self.needed_versions.iter().flat_map(|(soname, versions)| {
            versions
                .iter()
                .map(move |version| (soname, version.as_str()))
        });
        let mut requires: BTreeSet<String> = plain
            .chain(versioned)
            .filter_map(|(soname, version)| self.dependency(soname, version))
            .collect();
        if self.has_gnu_hash && !self.has_sysv_hash {
            requires.insert("rtld(GNU_HASH)".to_owned());
        }
        requires
    }
}
