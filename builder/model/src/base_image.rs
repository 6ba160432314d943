//! Base image files (`base-images/<name>.yaml`) as values: where a rootfs comes from.

use std::collections::BTreeMap;

use crate::digest::ManifestDigest;
use crate::name::{BaseName, DistributionPackage};
use crate::path::{FilePattern, SandboxPath};

/// A base image, always pinned by digest: here for an image that exists, in the lockfile for one
/// that kiln assembles (DESIGN 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseImage {
    /// Its name, the same as its file's.
    pub name: BaseName,
    /// Where it comes from.
    pub origin: BaseOrigin,
}

/// The ways to say where a base image comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BaseOrigin {
    /// An OCI image layout on disk.
    Layout {
        /// The folder, relative to the project's root unless absolute.
        path: String,
        /// The image manifest in it.
        digest: ManifestDigest,
    },
    /// Assembled from a distribution's packages, without running their scripts.
    Archive(ArchiveBase),
}

/// What to assemble from a Debian archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveBase {
    /// The suite: `bookworm`. Only this suite is read, not its updates or security suites.
    pub suite: String,
    /// What `Version:` of the suite's release must start with: `12`.
    pub release: String,
    /// Packages asked for; the solver adds what they depend on and every essential package.
    pub packages: Vec<DistributionPackage>,
    /// Links to add, what maintainer scripts would have made: place -> link target.
    pub links: BTreeMap<SandboxPath, String>,
    /// Paths of packages that are left out (documentation, translations).
    pub exclude: Vec<FilePattern>,
    /// Files with the archive's public keys (binary OpenPGP), relative to `base-images/`.
    pub keys: Vec<String>,
}
