//! The RPM packages that a recipe yields, and their changelog.

mod files;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dependency::{Dependency, DependencyKind};
use crate::evr::Evr;
use crate::name::PackageName;
use crate::path::FilePattern;
use crate::text::{Line, Prose};
use crate::time::CalendarDate;

pub use files::{
    Attributes, FileMode, FilePatterns, FileRule, Ghost, GhostKind, ModeError, RuleEffect,
};

/// One RPM package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Package {
    /// Its name.
    pub name: PackageName,
    /// One line on what it holds.
    pub summary: Line,
    /// A paragraph on what it holds.
    pub description: Prose,
    /// Whether it is the same on every machine.
    #[serde(skip_serializing_if = "PackageArchitecture::is_native")]
    pub architecture: PackageArchitecture,
    /// The installed paths that it owns; none of a package that only needs others.
    pub files: FilePatterns,
    /// Configuration that stays as the administrator changed it.
    #[serde(skip_serializing_if = "FilePatterns::is_empty")]
    pub config: FilePatterns,
    /// Configuration that a new version replaces; what was changed is put aside.
    #[serde(skip_serializing_if = "FilePatterns::is_empty")]
    pub config_replaced: FilePatterns,
    /// Documentation.
    #[serde(skip_serializing_if = "FilePatterns::is_empty")]
    pub docs: FilePatterns,
    /// Directories that it owns for itself and for whoever requires it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub directories: Vec<FilePattern>,
    /// What it owns and does not ship.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ghost: Vec<Ghost>,
    /// Permissions, owners and capabilities that are not those of the destdir.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<Attributes>,
    /// What it needs.
    pub requires: Vec<Dependency>,
    /// What else it provides.
    pub provides: Vec<Dependency>,
    /// What it can not be installed beside.
    pub conflicts: Vec<Dependency>,
    /// What it replaces.
    pub obsoletes: Vec<Dependency>,
    /// What is installed along where possible.
    pub recommends: Vec<Dependency>,
    /// What might be of use beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suggests: Vec<Dependency>,
    /// Beside what it is installed where possible.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supplements: Vec<Dependency>,
    /// Beside what it might be of use.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub enhances: Vec<Dependency>,
    /// Shell scripts by when they run.
    pub scripts: BTreeMap<Scriptlet, String>,
}

impl Package {
    /// Returns everything that it says about others, with the key that says it.
    pub fn dependencies(&self) -> impl Iterator<Item = (DependencyKind, &Dependency)> {
        [
            (DependencyKind::Requires, &self.requires),
            (DependencyKind::Provides, &self.provides),
            (DependencyKind::Conflicts, &self.conflicts),
            (DependencyKind::Obsoletes, &self.obsoletes),
            (DependencyKind::Recommends, &self.recommends),
            (DependencyKind::Suggests, &self.suggests),
            (DependencyKind::Supplements, &self.supplements),
            (DependencyKind::Enhances, &self.enhances),
        ]
        .into_iter()
        .flat_map(|(kind, list)| list.iter().map(move |dependency| (kind, dependency)))
    }

    /// Returns the lists of patterns that claim installed files, with their keys.
    #[must_use]
    pub fn claims(&self) -> [(&'static str, &FilePatterns); 4] {
        [
            ("files", &self.files),
            ("config", &self.config),
            ("config-replaced", &self.config_replaced),
            ("docs", &self.docs),
        ]
    }
}

/// Whether a package holds machine code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PackageArchitecture {
    /// Built for one architecture.
    Native,
    /// The same everywhere.
    Noarch,
}

impl PackageArchitecture {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
    fn is_native(&self) -> bool {
        *self == Self::Native
    }
}

/// When a package's script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scriptlet {
    /// Before installation.
    Pre,
    /// After installation.
    Post,
    /// Before removal.
    Preun,
    /// After removal.
    Postun,
}

/// One entry of the packaging's changelog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChangelogEntry {
    /// The day.
    pub date: CalendarDate,
    /// The epoch, version and release that it announces; every later entry has an older one.
    pub version: Evr,
    /// Who, as `Name <address>`.
    pub author: Line,
    /// What changed.
    pub changes: Vec<Line>,
}
