//! Recipes as values: what DESIGN 2 says, checked once, impossible to hold wrong.
//!
//! [`Recipe::parse`] is the only way to get one. A `Recipe` is valid by itself; whether the recipes
//! and bases that it names exist is a question to the project, asked by `build`.

mod comments;
mod error;
mod find;
mod format;
mod hardening;
mod hint;
mod lint;
mod node;
mod order;
mod package;
mod parse;
mod schema;
mod service;
mod source;
mod walk;
mod yaml;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::digest::Digest;
use crate::lockfile::RecipeLock;
use crate::name::{
    BaseName, DistributionPackage, LibraryName, PackageName, RecipeName, Release, Version,
};
use crate::path::{FilePattern, SandboxPath};
use crate::source::Location;
use crate::text::{CpeProduct, CveId, LicenseExpression, Line, Prose, PurlName};
use crate::time::CalendarDate;

pub use error::{Cause, Place, YamlError, nearest};
pub use find::NodePath;
pub use format::FormatError;
pub(crate) use format::format;
pub use hardening::{HardeningException, Protection};
pub use lint::LintException;
pub(crate) use node::document;
pub use node::places_of;
pub use package::{
    Attributes, ChangelogEntry, FileMode, FilePatterns, FileRule, Ghost, GhostKind, ModeError,
    Package, PackageArchitecture, RuleEffect, Scriptlet,
};
pub use parse::PLACEHOLDER;
pub use service::{
    AccountName, Alternative, InstalledFile, Limit, LimitItem, LimitValue, OnUpgrade, Permissions,
    ServiceError, Services, SystemUser, SystemdUnit, TmpfilesLine, UNIT_FOLDER, UnitKind, UnitName,
    UnitPreset, is_system_account,
};
pub use source::{DeclaredSource, GitSource, MissingPin, Origin, Pins, Source, SourceForm};
pub(crate) use yaml::{At, Number, read};

/// The recipe format that this kiln reads.
pub const RECIPE_SCHEMA: u32 = 1;

/// One recipe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Recipe {
    /// Its name, and its folder's.
    pub name: RecipeName,
    /// Upstream's version.
    pub version: Version,
    /// The RPM release.
    pub release: Release,
    /// The RPM epoch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// One line on what it is.
    pub summary: Line,
    /// A paragraph on what it is.
    pub description: Prose,
    /// The declared licence.
    pub license: LicenseExpression,
    /// Licence texts, relative to the source tree.
    pub license_files: Vec<String>,
    /// Upstream's page.
    pub homepage: Line,
    /// What scanners and advisories call it.
    pub identity: Identity,
    /// The base image that it is built in.
    pub base: BaseName,
    /// Distribution packages that only this recipe needs at build time.
    pub tools: Vec<DistributionPackage>,
    /// What the RPM family calls tools that kiln has no name for, or another one.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tools_rhel: BTreeMap<DistributionPackage, PackageName>,
    /// What it is built from, as it stands in the file; at least one.
    #[serde(skip)]
    pub declared: Vec<DeclaredSource>,
    /// What that is pinned to, if all of it is.
    #[serde(flatten)]
    pins: Option<Pins>,
    /// What is not pinned; empty when there are pins.
    #[serde(skip)]
    missing: Vec<MissingPin>,
    #[serde(skip)]
    dates: source::Dates,
    /// Patches in the order in which they are applied.
    pub patches: Vec<Patch>,
    /// Libraries by canonical name.
    pub libraries: BTreeMap<LibraryName, Library>,
    /// How it is built.
    pub steps: Steps,
    /// Protections that it does without.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hardening: Vec<HardeningException>,
    /// Warnings of rpmlint that are explained. No input of any output.
    #[serde(skip)]
    pub lint_allow: Vec<LintException>,
    /// The RPM packages; none for a library that only others bundle.
    pub packages: Vec<Package>,
    /// Where the libraries that it bundles live.
    pub bundle_prefix: SandboxPath,
    /// What changed in the packaging, newest first.
    pub changelog: Vec<ChangelogEntry>,
}

/// What scanners and advisories call a recipe's software.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Identity {
    /// CPE products, the one that NVD uses first.
    pub cpe: Vec<CpeProduct>,
    /// The purl without version.
    pub purl: PurlName,
    /// The canonical name of the library.
    pub library: LibraryName,
    /// Who makes it.
    pub supplier: Line,
    /// The distributions' source package of the same software.
    pub os_package: BTreeMap<Distribution, DistributionPackage>,
}

/// A family of distributions, by the key that recipes use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Distribution {
    /// Debian and its derivatives.
    Debian,
    /// Red Hat Enterprise Linux and its derivatives.
    Rhel,
}

/// What is known of a tarball that is not upstream's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Repacked {
    /// Who made the tarball.
    pub by: Line,
    /// The upstream release that it was made from.
    pub upstream: Location,
    /// What differs.
    pub note: Line,
}

/// One patch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Patch {
    /// The file, relative to the recipe's folder, without `..`.
    pub file: String,
    /// Its digest.
    pub sha256: Digest,
    /// The vulnerabilities that it mends.
    pub resolves: Vec<CveId>,
}

/// One library and the decision about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Library {
    /// Where it comes from.
    pub choice: Choice,
    /// How the result links it.
    pub link: Link,
    /// Who decided what, when and why.
    pub decision: Decision,
}

/// Where a library comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// We build our own and carry it.
    Bundle {
        /// The recipe that builds it.
        recipe: RecipeName,
        /// Installed files that the product carries, as patterns below the bundle prefix:
        /// `/lib/*.so.*`.
        carry: Vec<FilePattern>,
    },
    /// We take the operating system's.
    System {
        /// Its development package, by distribution.
        package: BTreeMap<Distribution, DistributionPackage>,
    },
    /// The recipe's own source tree has a copy.
    Vendored {
        /// Its folder in the source tree, without `..`.
        path: String,
        /// Its licence, where somebody knows it.
        license: Option<LicenseExpression>,
        /// Its version, where somebody knows it.
        version: Option<Version>,
        /// Installed files that are it, for `link: shared`: `/usr/share/portal/jquery.js`.
        carry: Vec<FilePattern>,
    },
}

/// How a library ends up in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// As a shared object that is loaded at run time.
    Shared,
    /// Copied into the binaries at link time.
    Static,
    /// Only its headers are compiled in.
    HeaderOnly,
}

/// The record of a decision; what is not known is `None`, never invented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Decision {
    /// Why.
    pub reason: Option<Line>,
    /// Who.
    pub decided_by: Option<Line>,
    /// When.
    pub decided_on: Option<CalendarDate>,
    /// When to look at it again.
    pub review_by: Option<CalendarDate>,
}

/// How a recipe is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Steps {
    /// Fills in every step without a script.
    pub preset: Preset,
    /// Arguments for the preset's configure step.
    pub configure: Vec<Line>,
    /// Replaces the preset's prep step.
    pub prep: Option<String>,
    /// Replaces the preset's build step.
    pub build: Option<String>,
    /// Replaces the preset's install step.
    pub install: Option<String>,
    /// What checks the result.
    pub check: Check,
}

/// What the check step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The preset's own.
    Preset,
    /// A script.
    Script(String),
    /// None, and why.
    Skipped(Line),
}

/// A build system that kiln knows how to drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// `./configure` and `make`.
    Autotools,
    /// CMake.
    Cmake,
    /// Meson.
    Meson,
    /// A plain Makefile.
    Make,
    /// Scripts only.
    None,
}

impl Recipe {
    /// Reads a recipe file's bytes; `folder` is the name of the folder that it lies in.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and column.
    pub fn parse(bytes: &[u8], folder: &str) -> Result<Self, YamlError> {
        parse::recipe(bytes, folder)
    }

    /// Joins what the recipe says of its sources with what a lockfile has of them. What was locked for
    /// another source than the recipe has now pins nothing.
    #[must_use]
    pub fn pinned_by(mut self, lock: Option<&RecipeLock>) -> Self {
        (self.pins, self.missing) = match source::pin(&self.declared, self.dates, lock) {
            Ok(pins) => (Some(pins), Vec::new()),
            Err(missing) => (None, missing),
        };
        self
    }

    /// Returns what its sources are pinned to.
    ///
    /// # Errors
    /// Everything that is missing: then the recipe is unpinned.
    pub fn pins(&self) -> Result<&Pins, &[MissingPin]> {
        self.pins.as_ref().ok_or(&self.missing)
    }

    /// Returns the pins of a recipe that is being built.
    ///
    /// # Panics
    /// When it is unpinned. What is built comes out of a plan, and no plan holds an unpinned recipe.
    #[must_use]
    pub fn planned(&self) -> &Pins {
        self.pins
            .as_ref()
            .expect("a plan holds pinned recipes only")
    }

    /// Returns whether the recipe's own text does not say everything of its sources.
    #[must_use]
    pub fn needs_lock_for_sources(&self) -> bool {
        source::pin(&self.declared, self.dates, None).is_err()
    }

    /// Returns a recipe file's content without comments and layout. Written as JSON it is a recipe
    /// file again, with the same meaning.
    ///
    /// # Errors
    /// What is wrong with the recipe.
    pub fn document(bytes: &[u8], folder: &str) -> Result<serde_json::Value, YamlError> {
        Self::parse(bytes, folder)?;
        Ok(document(&String::from_utf8_lossy(bytes)).unwrap_or_default())
    }

    /// Returns a recipe file's text in the one layout, with every value and every comment.
    ///
    /// # Errors
    /// What is wrong with the recipe, or that it could not be laid out without a change of meaning.
    pub fn format(bytes: &[u8], folder: &str) -> Result<String, FormatError> {
        format(bytes, &Self::json_schema(), |bytes| {
            Self::parse(bytes, folder)
        })
    }

    /// Returns the JSON Schema (2020-12) of `recipe.yaml`.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(schema::RecipeSchema).to_value()
    }

    /// Returns the libraries that this recipe bundles, by canonical name, with their recipes.
    pub fn bundled(&self) -> impl Iterator<Item = (&LibraryName, &RecipeName, &Library)> {
        self.libraries
            .iter()
            .filter_map(|(name, library)| match &library.choice {
                Choice::Bundle { recipe, .. } => Some((name, recipe, library)),
                Choice::System { .. } | Choice::Vendored { .. } => None,
            })
    }

    /// Returns the folder of the source tree in the sandbox: `NAME-VERSION`.
    #[must_use]
    pub fn source_folder(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

#[cfg(test)]
mod tests;
