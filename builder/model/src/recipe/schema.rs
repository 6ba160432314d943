//! The shape of `recipe.yaml`: what the parser accepts before anything is checked for meaning.
//!
//! The committed JSON Schema (`docs/schema/recipe.json`) is generated from these types, so their doc
//! comments are what an editor shows; their order is the one that `kiln fmt` puts keys into. Names, digests, paths and dates are plain texts with a place
//! here; `parse.rs` turns them into values.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::yaml::{At, Number};

mod package;
mod service;

pub(crate) use package::{
    AttributesSchema, ChangelogSchema, GhostKindSchema, GhostSchema, PackageSchema, ScriptletSchema,
};
pub(crate) use service::{
    AlternativeSchema, InstallSchema, LimitItemSchema, LimitSchema, PresetChoiceSchema, UnitSchema,
    UpgradeSchema, UserSchema,
};

/// One upstream source, and the RPM packages or the library that it yields.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "kiln recipe")]
pub(crate) struct RecipeSchema {
    /// The recipe format.
    #[schemars(extend("const" = 1))]
    pub schema: At<Number>,
    /// The recipe's name, the same as its folder's: lower-case letters, digits, `-`, `.` and `+`.
    pub name: At<String>,
    /// Upstream's version, always in quotes, without `-`: YAML would read 1.10 as 1.1.
    pub version: At<String>,
    /// The RPM release: raised when the packages change and the version does not.
    #[schemars(range(min = 1))]
    pub release: At<Number>,
    /// The RPM epoch: comes before the version in every comparison, and can never be taken away
    /// again. For when upstream's versions went backwards.
    pub epoch: Option<At<Number>>,
    /// One line on what it is: RPM's `Summary` of every package that has none of its own.
    pub summary: At<String>,
    /// A paragraph or more on what it is; default: the summary.
    pub description: Option<At<String>>,
    /// The licence as an SPDX expression: `MIT OR Apache-2.0`. Where SPDX knows none,
    /// `LicenseRef-NAME`.
    pub license: At<String>,
    /// Licence texts, as paths in the source tree; every package gets a copy in
    /// `/usr/share/licenses`. A file that is not there is an error.
    #[serde(default)]
    pub license_files: Vec<At<String>>,
    /// The address of upstream's page, for packages and SBOMs.
    pub homepage: At<String>,
    /// What scanners and advisories call it.
    pub identity: IdentitySchema,
    /// The base image that it is built in, `base-images/NAME.yaml`; `system` libraries come from
    /// there too.
    pub base: At<String>,
    /// Distribution packages that this recipe needs at build time and the base image lacks:
    /// interpreters, generators. Pinned by `kiln lock`, in a layer of this recipe's own.
    #[serde(default)]
    pub tools: Vec<At<String>>,
    /// What the RPM family calls `tools`, by the name that stands there: source packages ask for
    /// them. Common ones are known to kiln (docs/source-rpms.md).
    #[serde(default)]
    pub tools_rhel: BTreeMap<String, At<String>>,
    /// What it is built from, at least one: the first one is unpacked as the source tree
    /// `/build/src/NAME-VERSION`, further ones beside it in folders named after their files or
    /// repositories. A recipe builds once every source is pinned, by itself or by `kiln lock`.
    pub sources: At<Vec<At<SourceSchema>>>,
    /// Patches that are applied after unpacking, in this order, with `patch -p1`.
    #[serde(default)]
    pub patches: Vec<PatchSchema>,
    /// Every library that ends up in, or is linked by, the result, by its canonical name.
    #[serde(default)]
    pub libraries: BTreeMap<String, At<LibrarySchema>>,
    /// How it is built.
    pub steps: StepsSchema,
    /// Protections that it does without. By default everything is compiled and linked with all of
    /// them, and the ELF files are checked.
    #[serde(default)]
    pub hardening: Vec<At<HardeningSchema>>,
    /// Warnings of rpmlint that are right as they are. They change nothing in the packages.
    #[serde(default)]
    pub lint_allow: Vec<LintSchema>,
    /// The RPM packages that it yields; none for a library that only others bundle. Every installed
    /// file belongs to exactly one.
    #[serde(default)]
    pub packages: Vec<PackageSchema>,
    /// The folder that bundled libraries live in, below `/usr/lib`, `/usr/libexec`, `/usr/share` or
    /// `/opt`; default: `/usr/lib/NAME`.
    pub bundle_prefix: Option<At<String>>,
    /// The date that stands in for the clock, as midnight UTC (`SOURCE_DATE_EPOCH`); default: the
    /// later of the first source's `released` and the newest changelog entry.
    #[schemars(extend("format" = "date"))]
    pub source_date: Option<At<String>>,
    /// What changed in the packaging, newest first.
    #[serde(default)]
    pub changelog: Vec<ChangelogSchema>,
}

/// What scanners and advisories call the software.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct IdentitySchema {
    /// Who makes the software: the supplier in SBOMs.
    pub supplier: At<String>,
    /// CPE products without version, `cpe:2.3:a:VENDOR:PRODUCT`, the one that NVD uses first:
    /// advisories are found by them.
    #[serde(default)]
    pub cpe: Vec<At<String>>,
    /// The package URL without version; default: `pkg:generic/NAME`.
    pub purl: Option<At<String>>,
    /// The canonical name of the library that it builds, which consumers use as the key in
    /// `libraries`: `openssl` for recipe `openssl-1.1`; default: the recipe's name.
    pub library: Option<At<String>>,
    /// The distributions' source package of the same software, to compare versions and fixes with.
    #[schemars(extend("propertyNames" = {"enum": ["debian", "rhel"]}))]
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

/// One source: a file (`url`), an archive that is unpacked, or a commit of a git repository (`git`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(extend("oneOf" = [
    {"required": ["url"], "not": {"anyOf": [
        {"required": ["tag"]}, {"required": ["commit"]}, {"required": ["submodules"]}]}},
    {"required": ["git"], "anyOf": [{"required": ["tag"]}, {"required": ["commit"]}], "not": {"anyOf": [
        {"required": ["sha256"]}, {"required": ["mirrors"]}, {"required": ["repacked"]}]}},
]))]
pub(crate) struct SourceSchema {
    /// Where upstream publishes exactly these bytes: an `https://` or `http://` address without
    /// user name or password, or `debian:SOURCE/FILE` for a file of a Debian source package in
    /// whichever archive is used.
    pub url: Option<At<String>>,
    /// Instead of `url`: the `https://` address of a git repository (docs/git-sources.md).
    pub git: Option<At<String>>,
    /// The tag to build, only with `git`: for people, and for `kiln lock` to resolve where there is
    /// no `commit`.
    pub tag: Option<At<String>>,
    /// The commit to build, only with `git`: its whole id. Without it, the recipe is unpinned until
    /// `kiln lock` has resolved the tag.
    #[schemars(regex(pattern = r"^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub commit: Option<At<String>>,
    /// Whether the repository's submodules are part of it, each at the commit that is pinned there;
    /// only with `git`; default: `true`.
    pub submodules: Option<At<bool>>,
    /// The sha256 of the bytes, in lower case. Nothing else enters a build. Without it, the recipe is
    /// unpinned until `kiln lock` has recorded what the address sends. Not with `git`.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<At<String>>,
    /// The day upstream released it; needed with `sha256`. Default with `git`: the day of the commit.
    #[schemars(extend("format" = "date"))]
    pub released: Option<At<String>>,
    /// Other addresses of the same bytes, in the same forms as `url`, tried in order when `url`
    /// does not have them. Not with `git`.
    #[serde(default)]
    pub mirrors: Vec<At<String>>,
    /// Set when the bytes are not upstream's own release: who repacked them, and what changed.
    /// SBOMs repeat it. Not with `git`.
    pub repacked: Option<At<RepackedSchema>>,
    /// Whether it is an archive to unpack; `false` leaves the file as it is, beside the source tree,
    /// for steps that know what to do with it: wheels, programs, certificates. Not with `git`, nor for
    /// the first source; default: `true`.
    pub unpack: Option<At<bool>>,
}

/// What is known of a tarball that is not upstream's own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RepackedSchema {
    /// Who made the tarball.
    pub by: At<String>,
    /// The address of the upstream release that it was made from.
    pub upstream: At<String>,
    /// What differs, in one line.
    pub note: At<String>,
}

/// One patch in the recipe's folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PatchSchema {
    /// The file, as a path in the recipe's folder, without `..`.
    pub file: At<String>,
    /// The sha256 of the file.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: At<String>,
    /// The vulnerabilities that it mends, as `CVE-YYYY-NNNN`: SBOMs say that they are resolved.
    #[serde(default)]
    pub resolves: Vec<At<String>>,
}

/// One library by its canonical name, and where its code comes from: one that we bundle, the operating
/// system's, or a copy in the source tree. Who decided, when and why is recorded in SBOMs.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LibrarySchema {
    /// Build and carry our own, take the operating system's, or say that the source tree has a copy.
    pub choice: ChoiceSchema,
    /// The recipe that builds it, only with `choice: bundle`; default: the library's name.
    pub recipe: Option<At<String>>,
    /// How the library ends up in the result; default: `static` with `choice: vendored`, `shared` otherwise.
    pub link: Option<LinkSchema>,
    /// Patterns of the library's files that this recipe's packages carry. With `choice: bundle` below the
    /// bundle prefix; default: `[lib/*.so.*]` for `link: shared`, nothing otherwise. With `choice: vendored`
    /// installed paths, needed for `link: shared` and only there.
    pub carry: Option<Vec<At<String>>>,
    /// The folder of the library in the source tree, needed with `choice: vendored` and only there.
    pub path: Option<At<String>>,
    /// The licence of the copy as an SPDX expression, only with `choice: vendored`; leave it out where nobody
    /// knows it.
    pub license: Option<At<String>>,
    /// The version of the copy, only with `choice: vendored`; leave it out where nobody knows it.
    pub version: Option<At<String>>,
    /// The distribution's development package, needed with `choice: system` and only there.
    #[schemars(extend("propertyNames" = {"enum": ["debian", "rhel"]}))]
    #[serde(default)]
    pub package: BTreeMap<DistributionSchema, At<String>>,
    /// Why this choice was made, in one line.
    pub reason: Option<At<String>>,
    /// Who made it: a person or a team.
    pub decided_by: Option<At<String>>,
    /// The day it was made.
    #[schemars(extend("format" = "date"))]
    pub decided_on: Option<At<String>>,
    /// The day by which it must be looked at again.
    #[schemars(extend("format" = "date"))]
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
    /// The source tree has a copy, which is compiled in or installed along with the rest.
    Vendored,
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

/// How the source is built: a preset, and scripts that replace single steps. Scripts run with
/// `/bin/sh -eux` in the source tree, sealed and without a network.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct StepsSchema {
    /// The preset that fills in every step that has no script here.
    #[serde(rename = "use")]
    pub preset: PresetSchema,
    /// Arguments for the preset's configure step, one each; variables such as `$KILN_BUNDLE_PREFIX`
    /// are expanded. Not with `use: none` or a `build` script.
    #[serde(default)]
    pub configure: Vec<At<String>>,
    /// Shell script that runs after unpacking and patching, before `build`. Presets have nothing
    /// here.
    pub prep: Option<At<String>>,
    /// Shell script that replaces the preset's configuring and compiling.
    pub build: Option<At<String>>,
    /// Shell script that replaces the preset's install step. Installs below `$DESTDIR`.
    pub install: Option<At<String>>,
    /// Shell script that replaces the preset's tests. It runs without a network, and what it writes
    /// is not packaged.
    pub check: Option<At<String>>,
    /// Why no tests run, in one line; not beside `check`. Without it, and without a script, the
    /// preset's tests run.
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

/// Protections that the recipe, or some of its files, do without, and why.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct HardeningSchema {
    /// The protections, at least one.
    pub without: At<Vec<At<ProtectionSchema>>>,
    /// Patterns of the installed files that may lack them; default: all files, and the flags that
    /// bring the protections about are left out.
    #[serde(default)]
    pub files: Vec<At<String>>,
    /// Why, in one line.
    pub reason: At<String>,
}

/// A warning of rpmlint, and why it may stand.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct LintSchema {
    /// rpmlint's name of it: `no-documentation`.
    pub warning: At<String>,
    /// The packages that it is about; default: all of the recipe's, debug packages included.
    #[serde(default)]
    pub packages: Vec<At<String>>,
    /// Why, in one line.
    pub reason: At<String>,
}

/// One means against exploitation.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ProtectionSchema {
    /// Programs can be loaded anywhere.
    Pie,
    /// The loader's tables are read-only once a program runs: `-Wl,-z,relro`.
    Relro,
    /// Every symbol is bound at start: `-Wl,-z,now`.
    BindNow,
    /// No stack that code can run on.
    NoexecStack,
    /// Functions check their frame before they return: `-fstack-protector-strong`.
    StackProtector,
    /// Large frames touch every page: `-fstack-clash-protection`.
    StackClash,
    /// Checked functions of the C library, assertions of the C++ library: `-D_FORTIFY_SOURCE=3`,
    /// `-D_GLIBCXX_ASSERTIONS`.
    Fortify,
    /// Indirect jumps and returns only go where they may: `-fcf-protection`, on x86.
    Cet,
    /// Format strings that come from elsewhere are errors: `-Werror=format-security`.
    FormatSecurity,
    /// A build-id, which ties a program to its debug information: `--build-id`. A file that has none
    /// (a program that upstream ships as it is) is packaged as it is, and is not stripped.
    BuildId,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// The words of an enumeration, as its own schema has them.
    fn words<T: JsonSchema>() -> Vec<Value> {
        let schema = schemars::schema_for!(T).to_value();
        let choices = schema["oneOf"].as_array().unwrap().iter();
        choices.map(|choice| choice["const"].clone()).collect()
    }

    #[test]
    fn maps_name_the_keys_that_the_parser_takes() {
        let schema = schemars::schema_for!(RecipeSchema).to_value();
        for (object, key, expected) in [
            (
                "IdentitySchema",
                "os-package",
                words::<DistributionSchema>(),
            ),
            ("LibrarySchema", "package", words::<DistributionSchema>()),
            ("PackageSchema", "scripts", words::<ScriptletSchema>()),
        ] {
            let names = &schema["$defs"][object]["properties"][key]["propertyNames"];
            assert_eq!(*names, json!({ "enum": expected }), "{object}.{key}");
        }
    }
}
