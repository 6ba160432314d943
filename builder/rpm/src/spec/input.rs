//! What a spec file is written from: plain values, chosen by `build`, checked where a type can.

use std::fmt;
use std::str::FromStr;

use kiln_model::recipe::{FileMode, PackageArchitecture};
use kiln_model::{
    CalendarDate, DependencyKind, LibraryName, PackageName, Release, SandboxPath, SourceDateEpoch,
    Version,
};

use super::source_package::SourcePackage;
use super::text;

/// Everything that a spec file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecInput {
    /// The source package's name: the recipe's. A package of the same name is the main package.
    pub name: PackageName,
    /// Epoch of every package; `None` writes no tag, which compares like 0.
    pub epoch: Option<u32>,
    /// Version of every package.
    pub version: Version,
    /// Release of every package, complete: no `%{?dist}` is added.
    pub release: Release,
    /// One line about the source.
    pub summary: String,
    /// Text about the source.
    pub description: String,
    /// SPDX licence expression.
    pub license: String,
    /// Upstream's page.
    pub url: Option<String>,
    /// Who distributes the packages.
    pub vendor: String,
    /// Whom to write to about them.
    pub packager: Option<String>,
    /// The one instant that the packages may show.
    pub source_date: SourceDateEpoch,
    /// Changelog, newest entry first.
    pub changelog: Vec<ChangelogEntry>,
    /// The packages, in the order in which the spec lists them; at least one.
    pub packages: Vec<PackageInput>,
    /// Bundled libraries' own files, where there are any.
    pub private: Option<PrivateFiles>,
    /// Whether debuginfo and debugsource packages are made.
    pub debug_information: DebugInformation,
    /// What kiln itself adds to the debug packages, where they are made.
    pub debug_files: DebugFiles,
    /// Programs without a build-id: they are carried as they are.
    pub without_build_id: Vec<PackagedPath>,
    /// What the source package carries.
    pub source: SourcePackage,
}

/// Files of the debug packages besides those that find-debuginfo lists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DebugFiles {
    /// Of `NAME-debuginfo`.
    pub debuginfo: Vec<FileLine>,
    /// Of `NAME-debugsource`.
    pub debugsource: Vec<FileLine>,
}

/// One changelog entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangelogEntry {
    /// The day.
    pub date: CalendarDate,
    /// Name and address: `Ada Example <ada@example.org>`.
    pub author: String,
    /// The version and release that the entry announces: `7.88.1-2`.
    pub version_release: String,
    /// What changed, one item per line, without leading `- `.
    pub lines: Vec<String>,
}

/// One binary package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageInput {
    /// Its name.
    pub name: PackageName,
    /// One line about it.
    pub summary: String,
    /// Text about it.
    pub description: String,
    /// Whether it is the same on every machine.
    pub architecture: PackageArchitecture,
    /// Its files: every one, by its own path; directories it owns included.
    pub files: Vec<FileLine>,
    /// Requirements beyond the generated ones.
    pub requires: Vec<Dependency>,
    /// Provides beyond the generated ones.
    pub provides: Vec<Dependency>,
    /// Conflicts.
    pub conflicts: Vec<Dependency>,
    /// What it replaces.
    pub obsoletes: Vec<Dependency>,
    /// Weak requirements.
    pub recommends: Vec<Dependency>,
    /// Weaker ones: hints.
    pub suggests: Vec<Dependency>,
    /// Reverse weak requirements.
    pub supplements: Vec<Dependency>,
    /// Reverse hints.
    pub enhances: Vec<Dependency>,
    /// Libraries of others that it carries: `Provides: bundled(openssl) = 3.0.20`.
    pub bundled: Vec<BundledLibrary>,
    /// What runs when it is installed or removed.
    pub scriptlets: Vec<Scriptlet>,
    /// What a scriptlet runs after, where both are installed or removed together.
    pub ordering: Vec<OrderingHint>,
}

/// A library of somebody else's that a package carries.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct BundledLibrary {
    /// Its canonical name.
    pub name: LibraryName,
    /// The version carried, where somebody knows it.
    pub version: Option<Version>,
}

/// Files that belong to one product alone: what its bundled libraries installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrivateFiles {
    /// Nothing below this folder is provided to other packages.
    pub prefix: SandboxPath,
    /// Sonames that are found there and so are not required from other packages: `libssl.so.3`.
    pub sonames: Vec<String>,
}

/// Whether debug information is split off into packages of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DebugInformation {
    /// `NAME-debuginfo` and `NAME-debugsource` are made; no content for them is an error.
    Split,
    /// No such packages; ELF files are only stripped.
    Off {
        /// Why, for the spec's readers: `no ELF file in any package`.
        reason: String,
    },
}

/// One entry of a package's file list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLine {
    /// Where it is installed.
    pub path: PackagedPath,
    /// What it is to rpm.
    pub kind: FileKind,
    /// Permissions, where the destdir's are not to be taken.
    pub mode: Option<FileMode>,
    /// Owner, where it is not root.
    pub owner: Option<FileOwner>,
    /// File capabilities as `%caps` takes them: `cap_net_bind_service=ep`.
    pub capabilities: Option<String>,
}

impl FileLine {
    /// Returns a line without attributes: the destdir's permissions, owned by root.
    #[must_use]
    pub const fn new(path: PackagedPath, kind: FileKind) -> Self {
        Self {
            path,
            kind,
            mode: None,
            owner: None,
            capabilities: None,
        }
    }
}

/// What a file is to rpm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file or a symbolic link.
    File,
    /// A directory that the package owns, without what is in it.
    Directory,
    /// Configuration; a changed file stays, the new one is put beside it as `.rpmnew`.
    Config,
    /// Configuration; a changed file is put aside as `.rpmsave`.
    ConfigReplaced,
    /// Documentation: left out where the system installs none.
    Documentation,
    /// A licence's text.
    License,
    /// Owned, not shipped: a file that is written at run time.
    Ghost,
    /// Owned, not shipped: a directory that is made at run time.
    GhostDirectory,
}

/// Who owns a file. The names must exist where the package is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOwner {
    /// User name.
    pub user: String,
    /// Group name.
    pub group: String,
}

/// A piece of shell that rpm runs around installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scriptlet {
    /// When it runs.
    pub when: ScriptletTime,
    /// Complete shell text, nothing in it is expanded. Must succeed: rpm reports a failure.
    pub body: String,
}

/// A wish about the order of a transaction; it requires nothing to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderingHint {
    /// The scriptlet that has the wish.
    pub when: ScriptletTime,
    /// What should be there when it runs.
    pub after: Dependency,
}

/// When a scriptlet runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ScriptletTime {
    /// Before anything of the transaction.
    BeforeTransaction,
    /// Before the package's files are installed.
    BeforeInstall,
    /// After the package's files are installed.
    AfterInstall,
    /// Before the package's files are removed.
    BeforeRemove,
    /// After the package's files are removed.
    AfterRemove,
    /// After everything of the transaction.
    AfterTransaction,
}

impl ScriptletTime {
    pub(super) const fn section(self) -> &'static str {
        match self {
            Self::BeforeTransaction => "%pretrans",
            Self::BeforeInstall => "%pre",
            Self::AfterInstall => "%post",
            Self::BeforeRemove => "%preun",
            Self::AfterRemove => "%postun",
            Self::AfterTransaction => "%posttrans",
        }
    }
}

/// Says why a path can not stand in a file list, or a text is not a dependency.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecTextError {
    /// The path does not start with `/`, or has an empty, `.` or `..` component.
    #[error("expected an absolute path without `.`, `..` and empty components, got `{0}`")]
    NotNormal(String),
    /// rpm would read the character as a pattern, a quote or an escape, and has no way around that.
    #[error(
        "rpm can not package the path `{path}`: no spec file can carry the character {character:?}; \
         rename the file or leave it out"
    )]
    Character {
        /// The path.
        path: String,
        /// The first character that does not fit.
        character: char,
    },
    /// The text is not a dependency.
    #[error(
        "expected a dependency like `NAME`, `NAME >= 1.0` or a rich one in parentheses, got `{0}`"
    )]
    Dependency(String),
}

/// A path that a file list can carry: absolute, normal, and without the characters that rpm's
/// parser takes for itself. (rpm 4.18 expands patterns even between quotes and knows no escape
/// there: `"/a*b"` takes every file that fits; `"/a\*b"` none.)
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackagedPath(String);

const PATH_REFUSED: &[char] = &['"', '\\', '*', '?', '[', ']', '{', '}'];

impl PackagedPath {
    /// Returns the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PackagedPath {
    type Err = SpecTextError;

    fn from_str(path: &str) -> Result<Self, SpecTextError> {
        let is_normal = path.strip_prefix('/').is_some_and(|rest| {
            !rest
                .split('/')
                .any(|component| matches!(component, "" | "." | ".."))
        });
        if !is_normal {
            return Err(SpecTextError::NotNormal(path.to_owned()));
        }
        match path
            .chars()
            .find(|c| text::is_refused(*c) || PATH_REFUSED.contains(c))
        {
            Some(character) => Err(SpecTextError::Character {
                path: path.to_owned(),
                character,
            }),
            None => Ok(Self(path.to_owned())),
        }
    }
}

impl From<&SandboxPath> for PackagedPath {
    fn from(path: &SandboxPath) -> Self {
        Self(path.as_str().to_owned())
    }
}

impl fmt::Display for PackagedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One dependency as rpm writes it: `zlib`, `pkgconfig(zlib) >= 1.2`, `(a if b)`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Dependency(String);

impl Dependency {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Dependency {
    type Err = SpecTextError;

    fn from_str(text: &str) -> Result<Self, SpecTextError> {
        // Each operator is possible under one of the two.
        let parsed = [DependencyKind::Requires, DependencyKind::Supplements]
            .map(|kind| kiln_model::Dependency::parse(text, kind).ok());
        let is_whole = |d: &kiln_model::Dependency| d.own().is_empty() && text.trim() == text;
        match parsed.into_iter().flatten().find(is_whole) {
            Some(dependency) => Ok(Self(dependency.resolve(ToString::to_string))),
            None => Err(SpecTextError::Dependency(text.to_owned())),
        }
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_rpm_would_misread_is_refused() {
        for good in [
            "/usr/bin/x",
            "/a b",
            "/a%b",
            "/a'b",
            "/a$b",
            "/é",
            "/~x",
            "/a#b",
        ] {
            assert_eq!(good.parse::<PackagedPath>().unwrap().as_str(), good);
        }
        for (path, character) in [
            ("/a\nb", '\n'),
            ("/a*b", '*'),
            ("/a\"b", '"'),
            ("/a\\b", '\\'),
            ("/bin/[", '['),
        ] {
            assert_eq!(
                path.parse::<PackagedPath>(),
                Err(SpecTextError::Character {
                    path: path.into(),
                    character
                })
            );
        }
        for path in ["", "/", "a", "/a/../b", "/a//b", "/a/"] {
            assert_eq!(
                path.parse::<PackagedPath>(),
                Err(SpecTextError::NotNormal(path.into()))
            );
        }
    }

    #[test]
    fn a_dependency_has_a_name_and_perhaps_a_version() {
        for good in [
            "zlib",
            "/bin/sh",
            "pkgconfig(zlib) >= 1.2",
            "a = 1:2-3",
            "(a if b)",
            "libz.so.1()(64bit)",
        ] {
            assert_eq!(good.parse::<Dependency>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "a b",
            "a >= ",
            "a == 1",
            "a\n",
            "a, b",
            "%{x}",
            "(a",
            "a >= 1\nb",
        ] {
            assert_eq!(
                bad.parse::<Dependency>(),
                Err(SpecTextError::Dependency(bad.into()))
            );
        }
    }
}
