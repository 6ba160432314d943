//! The shape of `recipe.yaml`: what the parser accepts before anything is checked for meaning.
//!
//! The committed JSON Schema (`docs/schema/recipe.json`) is generated from these types, so their doc
//! comments are what an editor shows; their order is the one that `kiln fmt` puts keys into. Names, digests, paths and dates are plain texts with a place
//! here; `parse.rs` turns them into values.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::yaml::{At, Number};

/// A kiln recipe: one upstream source, and the RPM packages or the library that it yields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "kiln recipe")]
pub(crate) struct RecipeSchema {
    /// The recipe format: 1.
    pub schema: At<Number>,
    /// The recipe's name, the same as its folder's.
    pub name: At<String>,
    /// Upstream's version, always a quoted string.
    pub version: At<String>,
    /// The RPM release, from 1.
    pub release: At<Number>,
    /// The RPM epoch, where versions once went backwards.
    pub epoch: Option<At<Number>>,
    /// One line on what it is.
    pub summary: At<String>,
    /// A paragraph on what it is; default: the summary.
    pub description: Option<At<String>>,
    /// The licence as an SPDX expression.
    pub license: At<String>,
    /// Licence texts in the source tree, copied into every package.
    #[serde(default)]
    pub license_files: Vec<At<String>>,
    /// Upstream's page.
    pub homepage: At<String>,
    /// What scanners and advisories call it.
    pub identity: IdentitySchema,
    /// The base image that it is built in.
    pub base: At<String>,
    /// Distribution packages that only this recipe needs at build time.
    #[serde(default)]
    pub tools: Vec<At<String>>,
    /// What is built: the first one is unpacked as the source tree, further ones beside it.
    pub sources: At<Vec<SourceSchema>>,
    /// Patches applied after unpacking, in this order, with `patch -p1`.
    #[serde(default)]
    pub patches: Vec<PatchSchema>,
    /// Every library that ends up in, or is linked by, the result.
    #[serde(default)]
    pub libraries: BTreeMap<String, At<LibrarySchema>>,
    /// How it is built.
    pub steps: StepsSchema,
    /// The RPM packages that it yields; none for a library that only others bundle.
    #[serde(default)]
    pub packages: Vec<PackageSchema>,
    /// Where bundled libraries live; default: `/usr/lib/NAME`.
    pub bundle_prefix: Option<At<String>>,
    /// The date that stands in for the clock; default: the later of the first source's `released`
    /// and the newest changelog entry.
    pub source_date: Option<At<String>>,
    /// What changed in the packaging, newest first.
    #[serde(default)]
    pub changelog: Vec<ChangelogSchema>,
}

/// What scanners and advisories call the software.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct IdentitySchema {
    /// Who makes it: the supplier named in SBOMs.
    pub supplier: At<String>,
    /// CPE products without version, the one that NVD uses first: `cpe:2.3:a:VENDOR:PRODUCT`.
    #[serde(default)]
    pub cpe: Vec<At<String>>,
    /// The purl without version; default: `pkg:generic/NAME`.
    pub purl: Option<At<String>>,
    /// The library's canonical name; default: the recipe's name.
    pub library: Option<At<String>>,
    /// The distributions' source package of the same software.
    #[serde(default)]
    pub os_package: BTreeMap<DistributionSchema, At<String>>,
}

/// A family of distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DistributionSchema {
    /// Debian and its derivatives.
    Debian,
    /// Red Hat Enterprise Linux and its derivatives.
    Rhel,
}

/// One pinned file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SourceSchema {
    /// Where upstream publishes exactly these bytes; `debian:SOURCE/FILE` where only Debian does.
    pub url: At<String>,
    /// The sha256 of the bytes: 64 lower-case hexadecimal digits.
    pub sha256: At<String>,
    /// The day upstream released it.
    pub released: At<String>,
    /// Other places with the same bytes, tried first to last before `url`'s host is given up.
    #[serde(default)]
    pub mirrors: Vec<At<String>>,
    /// Who repacked upstream's release into these bytes, and what changed.
    pub repacked: Option<RepackedSchema>,
}

/// What is known of a tarball that is not upstream's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RepackedSchema {
    /// Who made the tarball.
    pub by: At<String>,
    /// The upstream release that it was made from.
    pub upstream: At<String>,
    /// What differs.
    pub note: At<String>,
}

/// One patch in the recipe's folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PatchSchema {
    /// The file, relative to the recipe's folder.
    pub file: At<String>,
    /// Its sha256.
    pub sha256: At<String>,
    /// The vulnerabilities that it mends.
    #[serde(default)]
    pub resolves: Vec<At<String>>,
}

/// One library, and the decision to bundle it or to take the operating system's.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LibrarySchema {
    /// Build and carry our own, or take the operating system's.
    pub choice: ChoiceSchema,
    /// The recipe that builds it; default: the library's name. Only with `choice: bundle`.
    pub recipe: Option<At<String>>,
    /// How the result links it; default: shared.
    pub link: Option<LinkSchema>,
    /// Which of its installed files the product carries, below the bundle prefix; default:
    /// `lib/*.so.*` for `shared`, none otherwise.
    pub carry: Option<Vec<At<String>>>,
    /// The distribution's development package. Only with `choice: system`.
    #[serde(default)]
    pub package: BTreeMap<DistributionSchema, At<String>>,
    /// Why.
    pub reason: Option<At<String>>,
    /// Who decided.
    pub decided_by: Option<At<String>>,
    /// When.
    pub decided_on: Option<At<String>>,
    /// When the decision must be looked at again.
    pub review_by: Option<At<String>>,
}

/// Where a library comes from.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ChoiceSchema {
    /// Build our own and carry it.
    Bundle,
    /// Take the operating system's, at build time and at run time.
    System,
}

/// How a library ends up in the result.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LinkSchema {
    /// As a shared object that is loaded at run time.
    Shared,
    /// Copied into the binaries at link time.
    Static,
    /// Only its headers are compiled in.
    HeaderOnly,
}

/// How the source is built: a preset, and scripts that replace single steps.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct StepsSchema {
    /// The preset that fills in every step that has no script here.
    #[serde(rename = "use")]
    pub preset: PresetSchema,
    /// Arguments for the preset's configure step; environment variables in them are expanded.
    #[serde(default)]
    pub configure: Vec<At<String>>,
    /// Shell script that replaces the preset's prep step (after unpacking and patching).
    pub prep: Option<At<String>>,
    /// Shell script that replaces the preset's build step.
    pub build: Option<At<String>>,
    /// Shell script that replaces the preset's install step.
    pub install: Option<At<String>>,
    /// Shell script that replaces the preset's check step.
    pub check: Option<At<String>>,
    /// Why no check step runs.
    pub skip_check: Option<At<String>>,
}

/// A build system that kiln knows how to drive.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PresetSchema {
    /// `./configure`, `make`, `make install`, `make check`.
    Autotools,
    /// `cmake -S . -B`, `cmake --build`, `cmake --install`, `ctest`.
    Cmake,
    /// `meson setup`, `meson compile`, `meson install`, `meson test`.
    Meson,
    /// `make`, `make install`, `make check`.
    Make,
    /// Nothing: every step is a script.
    None,
}

/// One RPM package.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PackageSchema {
    /// Its name.
    pub name: At<String>,
    /// One line on what it holds; default: the recipe's.
    pub summary: Option<At<String>>,
    /// A paragraph; default: the recipe's.
    pub description: Option<At<String>>,
    /// Packages that it needs; `NAME` alone, or `NAME OP VERSION`. `=NAME` means: this recipe's
    /// package NAME, same version and release.
    #[serde(default)]
    pub requires: Vec<At<String>>,
    /// What else it provides.
    #[serde(default)]
    pub provides: Vec<At<String>>,
    /// What it can not be installed beside.
    #[serde(default)]
    pub conflicts: Vec<At<String>>,
    /// What it replaces.
    #[serde(default)]
    pub obsoletes: Vec<At<String>>,
    /// What is installed along where possible.
    #[serde(default)]
    pub recommends: Vec<At<String>>,
    /// Patterns of the installed paths that it owns.
    pub files: At<Vec<At<String>>>,
    /// Shell scripts run on installation and removal.
    #[serde(default)]
    pub scripts: BTreeMap<ScriptletSchema, At<String>>,
}

/// When a package's script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ScriptletSchema {
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
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ChangelogSchema {
    /// The day.
    pub date: At<String>,
    /// Who, as `Name <address>`.
    pub author: At<String>,
    /// What changed, one line each.
    pub changes: Vec<At<String>>,
}
