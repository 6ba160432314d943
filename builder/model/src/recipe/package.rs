//! The RPM packages that a recipe yields, and their changelog.

use std::collections::BTreeMap;

use serde::Serialize;

use super::service::Services;
use crate::name::PackageName;
use crate::path::FilePattern;
use crate::text::{Line, Prose};
use crate::time::CalendarDate;

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
    /// The installed paths that it owns.
    pub files: Vec<FilePattern>,
    /// What it needs.
    pub requires: Vec<Line>,
    /// What else it provides.
    pub provides: Vec<Line>,
    /// What it can not be installed beside.
    pub conflicts: Vec<Line>,
    /// What it replaces.
    pub obsoletes: Vec<Line>,
    /// What is installed along where possible.
    pub recommends: Vec<Line>,
    /// Shell scripts by when they run.
    pub scripts: BTreeMap<Scriptlet, String>,
    /// What makes it a service: units, users, limits, files of the recipe's own.
    #[serde(flatten)]
    pub services: Services,
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
    /// Before anything of the transaction.
    Pretrans,
    /// After everything of the transaction.
    Posttrans,
}

impl Scriptlet {
    /// Returns the key in `scripts`: `postun`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Post => "post",
            Self::Preun => "preun",
            Self::Postun => "postun",
            Self::Pretrans => "pretrans",
            Self::Posttrans => "posttrans",
        }
    }
}

/// One entry of the packaging's changelog.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChangelogEntry {
    /// The day.
    pub date: CalendarDate,
    /// Who, as `Name <address>`.
    pub author: Line,
    /// What changed.
    pub changes: Vec<Line>,
}
