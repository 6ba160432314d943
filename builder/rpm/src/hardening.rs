//! Promised against done: the protections that ELF files really have.
//!
//! What the loader obeys is in the program headers and the dynamic section; what the compiler did is
//! in each unit's producer; whether the C library's checked functions are used is in the imports.

use std::fmt;

use kiln_model::recipe::Protection;

use crate::elf::{Compilation, ElfEvidence, ElfKind, Relro, StackExecution};
use crate::spec::PackagedPath;

/// A file that lacks a protection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct HardeningFinding {
    /// The file.
    pub file: PackagedPath,
    /// What it lacks.
    pub lacks: Protection,
    /// What shows it: `lib/url.c was compiled without -fstack-protector-strong`.
    pub evidence: String,
}

impl fmt::Display for HardeningFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, word, evidence) = (&self.file, self.lacks.word(), &self.evidence);
        write!(f, "`{file}` lacks `{word}`: {evidence}")
    }
}

/// Functions that `_FORTIFY_SOURCE` from 2 on replaces in every call, whatever is known of the
/// arguments.
const ALWAYS_FORTIFIED: &[&str] = &[
    "fprintf",
    "printf",
    "snprintf",
    "sprintf",
    "vfprintf",
    "vprintf",
    "vsnprintf",
    "vsprintf",
];

/// Options that a unit of C or C++ must have been compiled with: the protection, what the option
/// begins with, and the texts that take it away.
const OPTIONS: &[(Protection, &str, &[&str])] = &[
    (
        Protection::StackProtector,
        "-fstack-protector-strong",
        &["-fno-stack-protector"],
    ),
    (
        Protection::StackClash,
        "-fstack-clash-protection",
        &["-fno-stack-clash-protection"],
    ),
    (
        Protection::Cet,
        "-fcf-protection",
        &["-fcf-protection=none", "-fno-cf-protection"],
    ),
];

/// ELF's number for x86-64.
const X86_64: u16 = 62;

/// Returns what one program or shared object lacks, in the order of [`Protection`]; nothing for
/// other files.
#[must_use]
pub fn check_hardening(
    file: &PackagedPath,
    elf: &ElfEvidence,
    compilation: &Compilation,
) -> Vec<HardeningFinding> {
    if !elf.is_executable() && elf.kind != ElfKind::SharedObject {
        return Vec::new();
    }
    let mut findings = linked(elf);
    findings.extend(compiled(elf, compilation));
    findings.sort();
    let finding = |(lacks, evidence)| HardeningFinding {
        file: file.clone(),
        lacks,
        evidence,
    };
    findings.into_iter().map(finding).collect()
}

fn linked(elf: &ElfEvidence) -> Vec<(Protection, String)> {
    let hardening = &elf.hardening;
    let mut findings = Vec::new();
    let mut lacks = |protection, evidence: &str| findings.push((protection, evidence.to_owned()));
    if elf.kind == ElfKind::FixedExecutable {
        lacks(Protection::Pie, "the program is linked for a fixed address");
    }
    if hardening.relro == Relro::None {
        lacks(Protection::Relro, "it has no RELRO segment");
    }
    // A static program binds nothing.
    if !hardening.binds_now && !elf.is_static() {
        lacks(Protection::BindNow, "symbols are bound lazily");
    }
    if elf.build_id.is_none() {
        lacks(Protection::BuildId, "it has no build-id");
    }
    match hardening.stack {
        StackExecution::Refused => {}
        StackExecution::Requested => lacks(
            Protection::NoexecStack,
            "it asks for a stack that code can run on",
        ),
        StackExecution::Unmarked => lacks(
            Protection::NoexecStack,
            "it does not say that its stack needs no code",
        ),
    }
    findings
}

fn compiled(elf: &ElfEvidence, compilation: &Compilation) -> Vec<(Protection, String)> {
    let mut findings = Vec::new();
    for (protection, option, off) in OPTIONS {
        if *protection == Protection::Cet && elf.machine != X86_64 {
            continue;
        }
        let without = compilation
            .producers
            .iter()
            .find(|(producer, _)| is_c(producer) && !has_option(producer, option, off));
        if let Some((_, unit)) = without {
            findings.push((
                *protection,
                format!("`{unit}` was compiled without `{option}`"),
            ));
        }
    }
    let is_checked = |import: &String| import.starts_with("__") && import.ends_with("_chk");
    let plain: Vec<&str> = ALWAYS_FORTIFIED
        .iter()
        .copied()
        .filter(|name| compilation.imports.contains(*name))
        .collect();
    let has_c = compilation.producers.keys().any(|producer| is_c(producer));
    if has_c && !plain.is_empty() && !compilation.imports.iter().any(is_checked) {
        let names = plain.join("`, `");
        findings.push((
            Protection::Fortify,
            format!("it calls `{names}` and none of the C library's checked functions"),
        ));
    }
    findings
}

/// Whether GCC compiled C or C++ there: other compilers do not write their options down.
fn is_c(producer: &str) -> bool {
    producer.starts_with("GNU C")
}

/// Whether the last option of the family, which is the one that counts, switches it on.
fn has_option(producer: &str, option: &str, off: &[&str]) -> bool {
    let last = producer
        .split(' ')
        .rfind(|word| off.contains(word) || word.starts_with(option));
    last.is_some_and(|word| !off.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::Hardening;

    const GOOD: &str = "GNU C17 12.2.0 -mtune=generic -O2 -fstack-protector-strong \
                        -fstack-clash-protection -fcf-protection -fPIC";

    fn check(
        kind: ElfKind,
        hardening: Hardening,
        producers: &[&str],
        imports: &[&str],
    ) -> Vec<(Protection, String)> {
        let mut elf = ElfEvidence::plain(kind);
        elf.hardening = hardening;
        elf.build_id = Some("0123456789abcdef".to_owned());
        elf.needed = vec!["libc.so.6".to_owned()];
        let compilation = Compilation {
            producers: producers
                .iter()
                .map(|producer| ((*producer).to_owned(), "x.c".to_owned()))
                .collect(),
            imports: imports.iter().map(|import| (*import).to_owned()).collect(),
            ..Compilation::default()
        };
        let file = "/usr/bin/x".parse().unwrap();
        let findings = check_hardening(&file, &elf, &compilation);
        findings
            .into_iter()
            .map(|finding| (finding.lacks, finding.evidence))
            .collect()
    }

    const FULL: Hardening = Hardening {
        relro: Relro::Full,
        binds_now: true,
        stack: StackExecution::Refused,
    };

    fn words(findings: &[(Protection, String)]) -> Vec<&'static str> {
        findings.iter().map(|(lacks, _)| lacks.word()).collect()
    }

    #[test]
    fn a_file_with_everything_has_no_findings() {
        for kind in [
            ElfKind::PositionIndependentExecutable,
            ElfKind::SharedObject,
        ] {
            assert_eq!(check(kind, FULL, &[GOOD], &["__printf_chk", "printf"]), []);
        }
        // Nothing is known of assembly, nor of units without options.
        let producers = ["GNU AS 2.40", "clang version 14.0.6"];
        assert_eq!(
            check(ElfKind::SharedObject, FULL, &producers, &["printf"]),
            []
        );
        assert_eq!(
            check(ElfKind::Relocatable, FULL, &["GNU C17"], &["printf"]),
            []
        );
    }

    #[test]
    fn a_program_without_a_build_id_is_found() {
        let mut elf = ElfEvidence::plain(ElfKind::PositionIndependentExecutable);
        elf.hardening = FULL;
        let file = "/usr/bin/x".parse().unwrap();
        let findings = check_hardening(&file, &elf, &Compilation::default());
        let lacks: Vec<_> = findings.iter().map(|finding| finding.lacks).collect();
        assert_eq!(lacks, [Protection::BuildId]);
    }

    #[test]
    fn what_the_loader_would_not_do_is_found() {
        let nothing = Hardening {
            relro: Relro::None,
            binds_now: false,
            stack: StackExecution::Unmarked,
        };
        let findings = check(ElfKind::FixedExecutable, nothing, &[], &[]);
        assert_eq!(
            words(&findings),
            ["pie", "relro", "bind-now", "noexec-stack"]
        );
        let lazy = Hardening {
            relro: Relro::Partial,
            binds_now: false,
            stack: StackExecution::Requested,
        };
        let findings = check(ElfKind::SharedObject, lazy, &[], &[]);
        assert_eq!(words(&findings), ["bind-now", "noexec-stack"]);
    }

    #[test]
    fn one_unit_without_an_option_is_found() {
        let bare = "GNU C17 12.2.0 -mtune=generic -O2";
        let findings = check(ElfKind::SharedObject, FULL, &[GOOD, bare], &[]);
        assert_eq!(words(&findings), ["stack-protector", "stack-clash", "cet"]);
        assert_eq!(
            findings[0].1,
            "`x.c` was compiled without `-fstack-protector-strong`"
        );
        // The last option counts.
        let undone = format!("{GOOD} -fno-stack-protector -fcf-protection=none");
        let findings = check(ElfKind::SharedObject, FULL, &[&undone], &[]);
        assert_eq!(words(&findings), ["stack-protector", "cet"]);
        let redone = format!("GNU C++17 12.2.0 -fcf-protection=none {GOOD}");
        assert_eq!(check(ElfKind::SharedObject, FULL, &[&redone], &[]), []);
    }

    #[test]
    fn unchecked_printing_is_found() {
        let findings = check(ElfKind::SharedObject, FULL, &[GOOD], &["printf", "memcpy"]);
        assert_eq!(words(&findings), ["fortify"]);
        assert!(findings[0].1.contains("`printf`"), "{}", findings[0].1);
        assert_eq!(check(ElfKind::SharedObject, FULL, &[GOOD], &["memcpy"]), []);
    }
}
