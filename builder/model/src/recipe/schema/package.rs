//! The shape of a recipe's packages and of their changelog: what each RPM is called, holds and needs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::At;
use super::service::{AlternativeSchema, InstallSchema, LimitSchema, UnitSchema, UserSchema};

/// One RPM package.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PackageSchema {
    /// The package's name: letters, digits, `-`, `.`, `+` and `_`.
    pub name: At<String>,
    /// One line on what it holds; default: the recipe's.
    pub summary: Option<At<String>>,
    /// A paragraph or more on what it holds; default: the package's summary, else the recipe's
    /// description.
    pub description: Option<At<String>>,
    /// Packages that it needs: `NAME`, `NAME OP VERSION`, or `=NAME` for this recipe's package NAME
    /// in the same version and release. Shared libraries are found by rpm.
    #[serde(default)]
    pub requires: Vec<At<String>>,
    /// What else it provides: `NAME` or `NAME = VERSION`.
    #[serde(default)]
    pub provides: Vec<At<String>>,
    /// What it can not be installed beside: `NAME` or `NAME OP VERSION`.
    #[serde(default)]
    pub conflicts: Vec<At<String>>,
    /// What it replaces: `NAME` or `NAME OP VERSION`.
    #[serde(default)]
    pub obsoletes: Vec<At<String>>,
    /// What is installed along where possible: `NAME` or `NAME OP VERSION`.
    #[serde(default)]
    pub recommends: Vec<At<String>>,
    /// Patterns of the installed paths that it owns, at least one: `*` and `?` stay within a
    /// folder, `**` crosses folders, `[...]` and `{a,b}` are alternatives. One that matches nothing
    /// is an error.
    pub files: At<Vec<At<String>>>,
    /// Shell scripts that run on the user's host when the package is installed (`pre`, `post`) or
    /// removed (`preun`, `postun`), or around the whole transaction (`pretrans`, `posttrans`).
    #[schemars(extend("propertyNames" = {
        "enum": ["pre", "post", "preun", "postun", "pretrans", "posttrans"]
    }))]
    #[serde(default)]
    pub scripts: BTreeMap<ScriptletSchema, At<String>>,
    /// Files of the recipe's own folder that go straight into the package: units, configuration,
    /// helper scripts. Changing one compiles nothing.
    #[serde(default)]
    pub install: Vec<InstallSchema>,
    /// The package's systemd units: presets, and what installing, upgrading and removing does.
    #[serde(default)]
    pub systemd: Vec<UnitSchema>,
    /// System users that exist as soon as the package is installed. They stay when it is removed.
    #[serde(default)]
    pub users: Vec<UserSchema>,
    /// Lines of a tmpfiles.d file: what is made at boot, and when the package is installed.
    #[serde(default)]
    pub tmpfiles: Vec<At<String>>,
    /// Resource limits of users: a file in `/etc/security/limits.d`.
    #[serde(default)]
    pub limits: Vec<LimitSchema>,
    /// Links that `update-alternatives` keeps.
    #[serde(default)]
    pub alternatives: Vec<AlternativeSchema>,
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
    /// Before anything of the transaction.
    Pretrans,
    /// After everything of the transaction.
    Posttrans,
}

/// One entry of the packaging's changelog.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ChangelogSchema {
    /// The day of the change.
    #[schemars(extend("format" = "date"))]
    pub date: At<String>,
    /// Who, as `Name <address>`.
    pub author: At<String>,
    /// What changed, one line each.
    pub changes: Vec<At<String>>,
}
