//! The shape of a recipe's packages and of their changelog: what each RPM is called, holds and needs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::At;

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
    /// Whether it is the same on every machine: it holds no machine code and nothing in
    /// `/usr/lib64`. The package with the recipe's name can be so only if all are.
    pub noarch: Option<At<bool>>,
    /// What it needs: `NAME`, `NAME OP VERSION`, a path, a rich dependency such as `(A if B)`, or
    /// `=NAME` for this recipe's package NAME in the same epoch, version and release. Shared
    /// libraries are found by rpm.
    #[serde(default)]
    pub requires: Vec<At<String>>,
    /// What else it provides: `NAME` or `NAME = VERSION`.
    #[serde(default)]
    pub provides: Vec<At<String>>,
    /// What it can not be installed beside, in the forms of `requires`.
    #[serde(default)]
    pub conflicts: Vec<At<String>>,
    /// What it replaces: `NAME < VERSION` with the first version that is not replaced.
    #[serde(default)]
    pub obsoletes: Vec<At<String>>,
    /// What is installed along where possible, in the forms of `requires`.
    #[serde(default)]
    pub recommends: Vec<At<String>>,
    /// What might be of use beside it, in the forms of `requires`.
    #[serde(default)]
    pub suggests: Vec<At<String>>,
    /// Beside what it is installed where possible, in the forms of `requires`: the reverse of
    /// `recommends`.
    #[serde(default)]
    pub supplements: Vec<At<String>>,
    /// Beside what it might be of use, in the forms of `requires`: the reverse of `suggests`.
    #[serde(default)]
    pub enhances: Vec<At<String>>,
    /// Patterns of the installed paths that it owns: `*` and `?` stay within a folder, `**` crosses
    /// folders, `[...]` and `{a,b}` are alternatives. With `!` before it, in quotes, a pattern takes
    /// away what those before it match. One that matches nothing, or takes nothing away, is an
    /// error. Not needed in a package that only needs others.
    #[serde(default)]
    pub files: Vec<At<String>>,
    /// Patterns, as in `files` and needed only here, of configuration: a file that was changed on
    /// the installed system stays, and a new version's is put beside it as `.rpmnew`.
    #[serde(default)]
    pub config: Vec<At<String>>,
    /// Patterns, as in `files` and needed only here, of configuration that a new version must
    /// replace: a file that was changed is put aside as `.rpmsave`.
    #[serde(default)]
    pub config_replaced: Vec<At<String>>,
    /// Patterns, as in `files` and needed only here, of documentation, which systems may leave out.
    /// What lies in `/usr/share/doc`, `/usr/share/man` and `/usr/share/info` is so by itself.
    #[serde(default)]
    pub docs: Vec<At<String>>,
    /// Patterns of installed directories that it owns for itself and for whoever requires it: an
    /// empty one, or one that several packages have files in. Directories of its own files follow
    /// by themselves.
    #[serde(default)]
    pub directories: Vec<At<String>>,
    /// What it owns and does not ship, because it is written on the installed system: it goes when
    /// the package is removed.
    #[serde(default)]
    pub ghost: Vec<GhostSchema>,
    /// Permissions, owners and capabilities other than those that the install step gave.
    #[serde(default)]
    pub attributes: Vec<AttributesSchema>,
    /// Shell scripts that run on the user's host when the package is installed (`pre`, `post`) or
    /// removed (`preun`, `postun`).
    #[schemars(extend("propertyNames" = {"enum": ["pre", "post", "preun", "postun"]}))]
    #[serde(default)]
    pub scripts: BTreeMap<ScriptletSchema, At<String>>,
}

/// One path that a package owns and does not ship.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct GhostSchema {
    /// The path on an installed system. Where the install step made something there, it is not
    /// shipped.
    pub path: At<String>,
    /// What it will be; default: `file`.
    pub kind: Option<GhostKindSchema>,
    /// Its permissions, in quotes; default: "0644" of a file and "0755" of a directory.
    #[schemars(regex(pattern = r"^[0-7]{3,4}$"))]
    pub mode: Option<At<String>>,
    /// The user that owns it; default: `root`.
    pub owner: Option<At<String>>,
    /// The group that owns it; default: `root`.
    pub group: Option<At<String>>,
}

/// What a ghost is.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GhostKindSchema {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// What is special about some of a package's files and directories. At least one key stands beside
/// `files`; where two items are about one file, the later one counts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct AttributesSchema {
    /// A pattern of paths that the package owns, directories among them.
    pub files: At<String>,
    /// Permissions, in quotes, set-id and sticky bits included; links have none.
    #[schemars(regex(pattern = r"^[0-7]{3,4}$"))]
    pub mode: Option<At<String>>,
    /// The user that owns them; default: `root`.
    pub owner: Option<At<String>>,
    /// The group that owns them; default: `root`.
    pub group: Option<At<String>>,
    /// Capabilities as `setcap` takes them; only files have any, and only they get any.
    pub capabilities: Option<At<String>>,
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
    /// The day of the change; no entry is newer than the one before it.
    #[schemars(extend("format" = "date"))]
    pub date: At<String>,
    /// The `[EPOCH:]VERSION-RELEASE` that it announces, older by rpm's rules than that of the entry
    /// before it; of the newest entry it is the recipe's, and can be left out.
    pub version: Option<At<String>>,
    /// Who, as `Name <address>`.
    pub author: At<String>,
    /// What changed, one line each.
    pub changes: Vec<At<String>>,
}
