//! What a caller tells of a product: plain values. Lists come in any order, save the two whose order
//! is itself a fact: patches as they are applied, CPE names with NVD's first.

use std::collections::BTreeMap;
use std::fmt;

use kiln_model::recipe::{self, Repacked};
use kiln_model::{
    Architecture, CalendarDate, CpeProduct, CveId, Digest, LibraryName, LicenseExpression, Line,
    Location, LockedGit, LockedPackage, PackageName, Prose, PurlName, RecipeName, Release, Sha512,
    SourceDateEpoch, Version,
};

use crate::party::{Organization, WebAddress};

/// All that one SBOM is made from: one product, which is one recipe and the RPMs that it yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// Who answers for the document: the organisation from `kiln.toml`, never a tool.
    pub author: Organization,
    /// Version of kiln.
    pub kiln_version: Line,
    /// What the document gives as its time.
    pub timestamp: SourceDateEpoch,
    /// What the document is about.
    pub product: Product,
    /// Whether the lists below the product are all there is.
    pub completeness: Completeness,
}

/// How much of a product's composition is known to whoever fills in [`Contents`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completeness {
    /// Every library that the product carries or links is listed, as ELF evidence confirmed.
    Complete,
    /// Some are known to be missing.
    Incomplete,
    /// Nobody has checked.
    Unknown,
}

/// The recipe that is packaged, and what came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// The recipe's own software.
    pub software: Software,
    /// Who builds and supplies the RPMs.
    pub supplier: Organization,
    /// The same as one word, for the RPMs' purls: `clearwater`.
    pub rpm_vendor: PackageName,
    /// The RPMs, at least one.
    pub rpms: Vec<OutputRpm>,
}

/// A piece of upstream software as its recipe pins it: the product's own, or a bundled library's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Software {
    /// The recipe that builds it. Within one product each recipe is built once.
    pub recipe: RecipeName,
    /// What the library is called whichever recipe builds it (`identity.library`).
    pub library: LibraryName,
    /// Its version.
    pub version: Version,
    /// The recipe's release.
    pub release: Release,
    /// One line about it.
    pub summary: Line,
    /// Its purl without version: `pkg:generic/curl`.
    pub purl: PurlName,
    /// What advisories call it, the name that NVD uses first.
    pub cpes: Vec<CpeProduct>,
    /// Its licences.
    pub licensing: Licensing,
    /// Its page.
    pub homepage: Option<WebAddress>,
    /// Who makes it: where a recipe names nobody, the project by its own name and homepage.
    pub producer: Organization,
    /// Its copyright notice, where somebody has collected it.
    pub copyright: Option<Prose>,
    /// The archives that it is built from.
    pub sources: Vec<Source>,
    /// What is changed in them before the build, in the order in which it is applied.
    pub patches: Vec<Patch>,
    /// sha256 of files that its packages install from the recipe's folder, by path in it.
    pub installed: BTreeMap<String, Digest>,
    /// The libraries that it carries or links.
    pub libraries: Vec<Library>,
}

/// What a component may be used under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Licensing {
    /// What its authors declare (BSI: original licence).
    pub declared: LicenseExpression,
    /// What its supplier found to apply (BSI: distribution licence); the same unless it was looked
    /// into.
    pub concluded: LicenseExpression,
}

/// One source archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where upstream offers it.
    pub url: Location,
    /// Other places with the same bytes.
    pub mirrors: Vec<Location>,
    /// sha256 of its bytes.
    pub sha256: Digest,
    /// sha512 of its bytes.
    pub sha512: Sha512,
    /// Its bytes.
    pub size: u64,
    /// When upstream released it, where that is known.
    pub released: Option<CalendarDate>,
    /// Set when the bytes are not upstream's own release.
    pub repacked: Option<Repacked>,
    /// Of a git source: the tag, the time and the submodules of the commit that `url` names.
    pub git: Option<LockedGit>,
}

impl Source {
    /// Returns the file's name, the last part of its address.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.url.file_name()
    }
}

/// One patch from the recipe's folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Patch {
    /// Its path below the recipe's folder: `patches/cve-2023-27533.patch`.
    pub file: String,
    /// sha256 of its bytes.
    pub sha256: Digest,
    /// sha512 of its bytes.
    pub sha512: Sha512,
    /// The CVEs that it resolves. A patch that resolves one counts as a backport.
    pub resolves: Vec<CveId>,
}

/// A library that a piece of software uses, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Library {
    /// Built from a recipe and carried along (`choice: bundle`).
    Bundled(BundledLibrary),
    /// Taken from the operating system (`choice: system`).
    System(SystemLibrary),
    /// A copy in the consumer's own source tree (`choice: vendored`).
    Vendored(VendoredLibrary),
}

/// A copy of a library in the source tree of what uses it: no archive, no package and no CPE of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VendoredLibrary {
    /// What the library is called whoever builds it.
    pub library: LibraryName,
    /// The version of the copy, where somebody knows it.
    pub version: Option<Version>,
    /// Its licence, where somebody knows it.
    pub license: Option<LicenseExpression>,
    /// Its folder in the source tree.
    pub path: String,
    /// How its consumer uses it, and the RPMs that it is in.
    pub link: Link,
    /// Why, as its consumer's recipe says.
    pub decision: Decision,
}

/// A library that is built from a recipe and carried in the product's RPMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundledLibrary {
    /// What it is. The same recipe below another consumer must be told with the same facts.
    pub software: Software,
    /// How its consumer uses it.
    pub link: Link,
    /// Why, as its consumer's recipe says.
    pub decision: Decision,
    /// The files of it that are in the RPMs; none for a static or header-only library.
    pub files: Vec<PrivateFile>,
}

/// A library that the operating system brings, at build time and at run time.
///
/// It has no CPE: distributions fix flaws without a new version, so that a match by upstream version
/// would mislead. Its purl names the distribution, whose own feeds know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemLibrary {
    /// What the library is called whoever builds it.
    pub library: LibraryName,
    /// The package that the build linked against, as locked.
    pub package: LockedPackage,
    /// sha512 of the package's file, which the lockfile does not hold: BSI TR-03183-2 wants it.
    pub sha512: Option<Sha512>,
    /// Whose package that is.
    pub distribution: DistributionRelease,
    /// Its licence, where it is known.
    pub license: Option<LicenseExpression>,
    /// How its consumer uses it.
    pub link: Link,
    /// Why, as its consumer's recipe says.
    pub decision: Decision,
}

/// A distribution that packages come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DistributionRelease {
    /// Its id as in `os-release` and in purls: `debian`.
    pub id: PackageName,
    /// Its major release: `12`.
    pub release: Version,
    /// Who makes it: `Debian`.
    pub vendor: Line,
}

/// How a consumer uses a library.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The way it is linked.
    pub linkage: Linkage,
    /// The RPMs of the product whose files link it, as ELF evidence tells. Empty when nobody has
    /// looked, or when the consumer is itself a bundled library: then only the consumer is named.
    pub packages: Vec<PackageName>,
}

impl Link {
    /// A link of which no evidence by RPM is known.
    #[must_use]
    pub const fn of(linkage: Linkage) -> Self {
        Self {
            linkage,
            packages: Vec::new(),
        }
    }
}

/// The ways to link a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Linkage {
    /// As a shared object.
    Shared,
    /// Copied into the consumer's files.
    Static,
    /// Compiled into the consumer from headers.
    HeaderOnly,
}

impl Linkage {
    /// Returns the word that recipes use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Static => "static",
            Self::HeaderOnly => "header-only",
        }
    }
}

impl From<recipe::Link> for Linkage {
    fn from(link: recipe::Link) -> Self {
        match link {
            recipe::Link::Shared => Self::Shared,
            recipe::Link::Static => Self::Static,
            recipe::Link::HeaderOnly => Self::HeaderOnly,
        }
    }
}

/// Who decided to bundle a library or to take the operating system's, and until when.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decision {
    /// Why.
    pub reason: Option<Line>,
    /// Who.
    pub decided_by: Option<Line>,
    /// When.
    pub decided_on: Option<CalendarDate>,
    /// When it must be looked at again.
    pub review_by: Option<CalendarDate>,
}

impl Decision {
    /// Nothing was written down.
    pub const UNRECORDED: Self = Self {
        reason: None,
        decided_by: None,
        decided_on: None,
        review_by: None,
    };
}

impl From<&recipe::Decision> for Decision {
    fn from(decision: &recipe::Decision) -> Self {
        Self {
            reason: decision.reason.clone(),
            decided_by: decision.decided_by.clone(),
            decided_on: decision.decided_on,
            review_by: decision.review_by,
        }
    }
}

/// A file of a bundled library in an RPM.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrivateFile {
    /// Its installed path: `/usr/lib/curl/libssl.so.3`. Any text: an RPM may hold any name.
    pub path: String,
    /// The RPM that carries it.
    pub package: PackageName,
    /// sha256 of its bytes.
    pub sha256: Digest,
    /// sha512 of its bytes, where it was taken.
    pub sha512: Option<Sha512>,
}

/// The architecture of an RPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RpmArchitecture {
    /// For one kind of machine.
    Machine(Architecture),
    /// For every machine.
    NoArch,
}

impl fmt::Display for RpmArchitecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine(architecture) => architecture.fmt(f),
            Self::NoArch => f.write_str("noarch"),
        }
    }
}

/// An RPM that the build has made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputRpm {
    /// Its name.
    pub name: PackageName,
    /// Its epoch, when it has one.
    pub epoch: Option<u32>,
    /// Its version.
    pub version: Version,
    /// Its release.
    pub release: Release,
    /// Its architecture.
    pub architecture: RpmArchitecture,
    /// One line about it.
    pub summary: Line,
    /// Its licence: that of everything in it.
    pub license: LicenseExpression,
    /// sha256 of the file.
    pub sha256: Digest,
    /// sha512 of the file.
    pub sha512: Sha512,
    /// Its bytes.
    pub size: u64,
    /// `SHA256HEADER`: signing changes the file's digest but not this one.
    pub header_digest: Option<Digest>,
    /// `PAYLOADDIGEST`: the digest of the compressed payload.
    pub payload_digest: Option<Digest>,
}

impl OutputRpm {
    /// Returns version and release as rpm joins them: `7.88.1-1`.
    #[must_use]
    pub fn version_release(&self) -> String {
        format!("{}-{}", self.version, self.release)
    }

    /// Returns epoch, version and release: `1:7.88.1-1`, or without epoch `7.88.1-1`.
    #[must_use]
    pub fn evr(&self) -> String {
        match self.epoch {
            Some(epoch) => format!("{epoch}:{}", self.version_release()),
            None => self.version_release(),
        }
    }

    /// Returns the file's name: `curl-7.88.1-1.x86_64.rpm`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!(
            "{}-{}.{}.rpm",
            self.name,
            self.version_release(),
            self.architecture
        )
    }
}
