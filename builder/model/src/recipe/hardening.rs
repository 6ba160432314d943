//! Means against exploitation that kiln compiles and links with, and a recipe's exceptions.

use serde::Serialize;

use super::schema::{HardeningSchema, ProtectionSchema};
use super::yaml::At;
use super::{Cause, YamlError};
use crate::path::FilePattern;
use crate::text::Line;

/// One means against exploitation, by the word that recipes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protection {
    /// Programs can be loaded anywhere (PIE).
    Pie,
    /// The loader's tables are read-only once a program runs (RELRO).
    Relro,
    /// Every symbol is bound at start (`-z now`).
    BindNow,
    /// No stack that code can run on.
    NoexecStack,
    /// Functions check that their frame was not overrun (`-fstack-protector-strong`).
    StackProtector,
    /// Large frames touch every page (`-fstack-clash-protection`).
    StackClash,
    /// The C library's checked functions (`_FORTIFY_SOURCE`), and the C++ library's assertions.
    Fortify,
    /// Indirect jumps land on marked places only, returns where the call came from (x86 CET).
    Cet,
    /// Format strings that come from elsewhere are errors (`-Werror=format-security`).
    FormatSecurity,
    /// What ties a program to its debug information (`--build-id`). A file without it is carried as it
    /// is: nothing is split off or stripped.
    BuildId,
}

impl Protection {
    /// Every protection, in the order of [`Protection`].
    pub const ALL: [Self; 10] = [
        Self::Pie,
        Self::Relro,
        Self::BindNow,
        Self::NoexecStack,
        Self::StackProtector,
        Self::StackClash,
        Self::Fortify,
        Self::Cet,
        Self::FormatSecurity,
        Self::BuildId,
    ];

    /// Returns the word that recipes use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pie => "pie",
            Self::Relro => "relro",
            Self::BindNow => "bind-now",
            Self::NoexecStack => "noexec-stack",
            Self::StackProtector => "stack-protector",
            Self::StackClash => "stack-clash",
            Self::Fortify => "fortify",
            Self::Cet => "cet",
            Self::FormatSecurity => "format-security",
            Self::BuildId => "build-id",
        }
    }
}

impl From<ProtectionSchema> for Protection {
    fn from(shape: ProtectionSchema) -> Self {
        match shape {
            ProtectionSchema::Pie => Self::Pie,
            ProtectionSchema::Relro => Self::Relro,
            ProtectionSchema::BindNow => Self::BindNow,
            ProtectionSchema::NoexecStack => Self::NoexecStack,
            ProtectionSchema::StackProtector => Self::StackProtector,
            ProtectionSchema::StackClash => Self::StackClash,
            ProtectionSchema::Fortify => Self::Fortify,
            ProtectionSchema::Cet => Self::Cet,
            ProtectionSchema::FormatSecurity => Self::FormatSecurity,
            ProtectionSchema::BuildId => Self::BuildId,
        }
    }
}

/// Protections that a recipe does without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct HardeningException {
    /// Which.
    pub without: Vec<Protection>,
    /// The installed files that lack them; empty: everything, and the flags are left out.
    pub files: Vec<FilePattern>,
    /// Why.
    pub reason: Line,
}

impl HardeningException {
    /// Returns whether the recipe is compiled without `protection` as a whole.
    #[must_use]
    pub fn is_global(&self, protection: Protection) -> bool {
        self.files.is_empty() && self.without.contains(&protection)
    }

    /// Returns whether the installed file at `path` may lack `protection`.
    #[must_use]
    pub fn excuses(&self, path: &str, protection: Protection) -> bool {
        self.without.contains(&protection)
            && (self.files.is_empty() || self.files.iter().any(|pattern| pattern.matches(path)))
    }
}

pub(super) fn exceptions(
    shape: &[At<HardeningSchema>],
) -> Result<Vec<HardeningException>, YamlError> {
    let exception = |item: &At<HardeningSchema>| {
        let HardeningSchema {
            without,
            files,
            reason,
        } = &item.value;
        if without.value.is_empty() {
            return Err(without.error(Cause::Empty { what: "without" }));
        }
        let mut protections: Vec<Protection> = Vec::new();
        for word in &without.value {
            let protection = Protection::from(word.value);
            if protections.contains(&protection) {
                return Err(word.error(Cause::Twice {
                    what: "protection",
                    name: protection.word().to_owned(),
                }));
            }
            protections.push(protection);
        }
        let files = files.iter().map(At::parse);
        Ok(HardeningException {
            without: protections,
            files: files.collect::<Result<_, _>>()?,
            reason: reason.parse()?,
        })
    };
    shape.iter().map(exception).collect()
}
