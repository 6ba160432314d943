//! Lockfiles: what `kiln lock` pins and every other verb reads.
//!
//! `lockfiles/<base>-<arch>.lock` pins an assembled base image package by package, and its manifest.
//! `lockfiles/<recipe>-<arch>.lock` pins what belongs to one recipe: the packages that it adds over
//! its base, and the sizes and sha512 of its sources. Both are TOML, sorted, one encoding, with
//! `@generated` on the first line and the format's version first. A newer format is refused.

use serde::{Deserialize, Serialize};

use crate::digest::{DiffId, Digest, ManifestDigest, Sha512};
use crate::git::{CommitId, RepositoryUrl, SubmodulePath, TagName};
use crate::name::{Architecture, BaseName, DistributionPackage, RecipeName};
use crate::source::Location;
use crate::time::SourceDateEpoch;

/// The lockfile format that this kiln writes, and the newest that it reads.
pub const LOCK_FORMAT: u32 = 1;

/// Says why a lockfile can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// The text is not TOML of the expected shape.
    #[error("the lockfile is damaged: {reason}")]
    Syntax {
        /// What the parser says, with line and column.
        reason: String,
    },
    /// The file was written by a newer kiln.
    #[error("the lockfile has format {actual}; this kiln reads up to {expected}")]
    Newer {
        /// The newest format that this kiln reads.
        expected: u32,
        /// The file's format.
        actual: u32,
    },
}

/// One distribution package, pinned.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedPackage {
    /// Binary package name: `gcc-12`.
    pub name: DistributionPackage,
    /// The distribution's own version: `1:12.2.0-14`.
    pub version: String,
    /// The distribution's architecture of the package: `amd64` or `all`.
    pub architecture: String,
    /// Source package: `gcc-12`.
    pub source: String,
    /// Version of the source package.
    pub source_version: String,
    /// Path below the archive's root: `pool/main/g/gcc-12/gcc-12_12.2.0-14_amd64.deb`.
    pub path: String,
    /// Bytes of the .deb.
    pub size: u64,
    /// sha256 of the .deb.
    pub sha256: Digest,
}

/// The signed index that the packages were chosen from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedArchive {
    /// `debian`.
    pub distribution: String,
    /// `bookworm`.
    pub suite: String,
    /// The release's version: `12.15`.
    pub release: String,
    /// The index's `Date:`, as it stands there.
    pub date: String,
    /// sha256 of the signed `InRelease`.
    pub in_release: Digest,
    /// sha256 of the decompressed `Packages` index that it names.
    pub packages_index: Digest,
    /// Fingerprint of the key whose signature was accepted, upper-case hexadecimal.
    pub key: String,
}

impl LockedArchive {
    /// Returns the index's `Date:` as an instant; `None` when it is no date of the form that Debian
    /// writes (`Sat, 11 Jul 2026 10:16:37 UTC`).
    #[must_use]
    pub fn moment(&self) -> Option<SourceDateEpoch> {
        let text = self.date.strip_suffix(" UTC")?;
        let civil = jiff::civil::DateTime::strptime("%a, %d %b %Y %H:%M:%S", text).ok()?;
        let instant = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp();
        u32::try_from(instant.as_second())
            .ok()
            .map(SourceDateEpoch::from_seconds)
    }
}

/// Everything that pins an assembled base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BaseLock {
    /// [`LOCK_FORMAT`].
    pub format: u32,
    /// The base image's name.
    pub base: BaseName,
    /// The machine architecture.
    pub architecture: Architecture,
    /// sha256 of the canonical JSON of what was asked for: another request makes the lock stale.
    pub request: Digest,
    /// The image's manifest.
    pub manifest: ManifestDigest,
    /// Its one layer.
    pub layer: DiffId,
    /// The index behind it.
    pub archive: LockedArchive,
    /// Every package in it, sorted by name.
    #[serde(default, rename = "package")]
    pub packages: Vec<LockedPackage>,
}

/// The packages that one recipe needs over its base: one layer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedTools {
    /// sha256 of the canonical JSON of what was asked for.
    pub request: Digest,
    /// The layer that the packages make.
    pub layer: DiffId,
    /// Every package in it, sorted by name.
    #[serde(default, rename = "package")]
    pub packages: Vec<LockedPackage>,
}

/// What was learnt of one source when it was fetched for the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSource {
    /// The recipe's address of it; of a git source the commit: `git+https://…@<commit>`.
    pub url: Location,
    /// sha256, the same as the recipe's where that has one; of a git source that of its export.
    pub sha256: Digest,
    /// sha512, for SBOM readers; none while nobody could reach the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha512: Option<Sha512>,
    /// Bytes; none while nobody could reach the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// What was learnt of a git source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<LockedGit>,
}

/// What was learnt of a git source when its commit was exported for the lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedGit {
    /// The tag that led to the commit, where the recipe names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<TagName>,
    /// When the commit was made, by its committer's clock; the time of every file in the export.
    pub committed: SourceDateEpoch,
    /// Whether submodules are in the export.
    pub submodules: bool,
    /// Every submodule in it, sorted by path.
    #[serde(default, rename = "submodule", skip_serializing_if = "Vec::is_empty")]
    pub pins: Vec<LockedSubmodule>,
}

/// One submodule, at the commit that its parent pins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct LockedSubmodule {
    /// Where it lies in the outermost repository.
    pub path: SubmodulePath,
    /// The repository that it was fetched from: relative addresses and ones for SSH as they were used.
    pub url: RepositoryUrl,
    /// Its commit.
    pub commit: CommitId,
}

/// Everything that pins one recipe beyond its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecipeLock {
    /// [`LOCK_FORMAT`].
    pub format: u32,
    /// The recipe's name.
    pub recipe: RecipeName,
    /// The machine architecture.
    pub architecture: Architecture,
    /// The base image that the tools were resolved over.
    pub base: BaseName,
    /// The base image's manifest at that time: another base makes the lock stale.
    pub base_manifest: ManifestDigest,
    /// Its sources, in the recipe's order.
    #[serde(default, rename = "source")]
    pub sources: Vec<LockedSource>,
    /// What it adds over the base; `None` when it needs nothing more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tools: Option<LockedTools>,
}

/// A lockfile's content, of either kind.
pub trait Lock: Serialize + for<'de> Deserialize<'de> {
    /// Writes the one encoding of this lock.
    fn encode(&self) -> String {
        let body = toml::to_string(self).expect("a lock holds only tables, arrays and texts");
        format!("# @generated by `kiln lock`; do not edit.\n{body}")
    }

    /// Reads a lockfile's text.
    ///
    /// # Errors
    /// `Syntax` when it is damaged, `Newer` when a newer kiln wrote it.
    fn parse(text: &str) -> Result<Self, LockError> {
        parse_toml(text)
    }
}

/// Reads a file that begins with the version of its format.
pub(crate) fn parse_toml<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, LockError> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let syntax = |error: toml::de::Error| LockError::Syntax {
        reason: error.to_string(),
    };
    let Format { format } = toml::from_str(text).map_err(syntax)?;
    if format > LOCK_FORMAT {
        return Err(LockError::Newer {
            expected: LOCK_FORMAT,
            actual: format,
        });
    }
    toml::from_str(text).map_err(syntax)
}

impl Lock for BaseLock {}
impl Lock for RecipeLock {}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock() -> RecipeLock {
        RecipeLock {
            format: LOCK_FORMAT,
            recipe: "zlib".parse().unwrap(),
            architecture: Architecture::X86_64,
            base: "debian-12".parse().unwrap(),
            base_manifest: ManifestDigest(Digest::of(b"manifest")),
            sources: vec![LockedSource {
                url: "debian:zlib/zlib_1.2.13.dfsg.orig.tar.bz2".parse().unwrap(),
                sha256: Digest::of(b"x"),
                sha512: Some(Sha512::of(b"x")),
                size: Some(1),
                git: None,
            }],
            tools: None,
        }
    }

    #[test]
    fn what_was_learnt_of_a_repository_is_read_as_it_was_written() {
        let commit = "0123456789".repeat(4);
        let mut lock = lock();
        lock.sources[0].url = format!("git+https://example.org/x.git@{commit}")
            .parse()
            .unwrap();
        lock.sources[0].git = Some(LockedGit {
            tag: Some("v1".parse().unwrap()),
            committed: SourceDateEpoch::from_seconds(1_525_176_000),
            submodules: true,
            pins: vec![LockedSubmodule {
                path: "modules/common".parse().unwrap(),
                url: "https://example.org/common.git".parse().unwrap(),
                commit: commit.parse().unwrap(),
            }],
        });
        let text = lock.encode();
        assert_eq!(RecipeLock::parse(&text), Ok(lock), "{text}");
        let climbing = text.replace("modules/common", "../common");
        assert!(matches!(
            RecipeLock::parse(&climbing),
            Err(LockError::Syntax { .. })
        ));
    }

    #[test]
    fn a_lock_reads_what_it_wrote() {
        let text = lock().encode();
        assert!(text.starts_with("# @generated"));
        assert_eq!(RecipeLock::parse(&text), Ok(lock()));
    }

    #[test]
    fn the_date_of_an_archive_is_an_instant() {
        let archive = |date: &str| LockedArchive {
            distribution: "debian".into(),
            suite: "bookworm".into(),
            release: "12.15".into(),
            date: date.into(),
            in_release: Digest::of(b""),
            packages_index: Digest::of(b""),
            key: "AB".into(),
        };
        let moment = archive("Sat, 11 Jul 2026 10:16:37 UTC").moment().unwrap();
        assert_eq!(moment.to_rfc3339(), "2026-07-11T10:16:37Z");
        assert_eq!(archive("yesterday").moment(), None);
    }

    #[test]
    fn a_newer_or_damaged_lock_is_refused() {
        let newer = lock().encode().replace("format = 1", "format = 2");
        assert_eq!(
            RecipeLock::parse(&newer),
            Err(LockError::Newer {
                expected: 1,
                actual: 2
            })
        );
        let damaged = lock().encode().replace("sha256:", "sha256;");
        assert!(matches!(
            RecipeLock::parse(&damaged),
            Err(LockError::Syntax { .. })
        ));
    }
}
