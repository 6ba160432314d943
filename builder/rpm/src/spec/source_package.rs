//! What a source package carries, and what it says about building without kiln: plain values, chosen
//! by `build`.

use std::collections::BTreeMap;

use kiln_model::recipe::SourceForm;
use kiln_model::{Digest, PackageName, RecipeName, Release, SandboxPath, Version};

use super::input::{Dependency, PackagedPath};

/// The content of a source package beside its spec.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePackage {
    /// Pinned archives; `Source0` is the first one.
    pub sources: Vec<SourceFile>,
    /// Pinned patches; `Patch0` is the first one.
    pub patches: Vec<PatchFile>,
    /// The archive of the files that kiln makes itself, where there are any: the last source.
    pub made: Option<String>,
    /// What a builder needs, by the RPM family's names.
    pub requirements: Vec<BuildRequirement>,
    /// What is built, in this order: bundled libraries, and the product last. None for a package of
    /// made files alone.
    pub nodes: Vec<RebuildNode>,
    /// Files of bundled libraries that the product's packages carry.
    pub carried: Vec<PackagedPath>,
}

impl SourcePackage {
    /// A source package of nothing but its spec.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            sources: Vec::new(),
            patches: Vec::new(),
            made: None,
            requirements: Vec::new(),
            nodes: Vec::new(),
            carried: Vec::new(),
        }
    }
}

/// A pinned archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// Its name within the source package: no other source or patch has it.
    pub file: String,
    /// Where upstream publishes it; `None` for what only a distribution's archive has.
    pub url: Option<String>,
    /// What else is to be said about it, one line each.
    pub notes: Vec<String>,
    /// Its digest.
    pub sha256: Digest,
}

/// A pinned patch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatchFile {
    /// Its name within the source package.
    pub file: String,
    /// What it mends, one line each.
    pub notes: Vec<String>,
    /// Its digest.
    pub sha256: Digest,
}

/// Something that a builder needs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum BuildRequirement {
    /// A package or capability of the RPM family.
    Known(Dependency),
    /// A package of which only another distribution's name is known: a comment says so.
    Unknown {
        /// What is needed: `Debian's googletest, a tool of rapidjson`.
        what: String,
    },
}

/// One recipe that is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildNode {
    /// The recipe: also the name of its folders.
    pub recipe: RecipeName,
    /// One line that says what it is: `openssl 3.0.20 for /usr/lib/curl`.
    pub title: String,
    /// Folder of its source tree, below the folder of all source trees.
    pub folder: String,
    /// What is unpacked, and into which folder below that of all source trees.
    pub unpacked: Vec<UnpackedSource>,
    /// Numbers of the patches that are applied to the source tree, in order.
    pub patches: Vec<usize>,
    /// The steps' environment in kiln. What names places is replaced.
    pub environment: BTreeMap<String, String>,
    /// The bundled libraries that its steps see, in build order.
    pub libraries: Vec<RecipeName>,
    /// Where bundled libraries are installed.
    pub bundle_prefix: SandboxPath,
    /// Its steps.
    pub steps: RebuildSteps,
}

/// One source and where it is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnpackedSource {
    /// The source's number.
    pub source: usize,
    /// The folder below that of all source trees, or the file there as which it is kept.
    pub folder: String,
    /// Whether it is unpacked.
    pub form: SourceForm,
}

/// Shell scripts; a step without one does nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RebuildSteps {
    /// Runs after patches are applied.
    pub prep: Option<String>,
    /// Configures and compiles.
    pub build: Option<String>,
    /// Installs into `$DESTDIR`.
    pub install: Option<String>,
    /// Runs upstream's tests.
    pub check: Option<String>,
}

/// Returns the name of the archive of what kiln makes itself: `curl-7.88.1-1-made.tar`.
#[must_use]
pub fn made_archive(name: &PackageName, version: &Version, release: &Release) -> String {
    format!("{name}-{version}-{release}-made.tar")
}
