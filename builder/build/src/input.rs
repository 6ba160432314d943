//! Inputs of rebuilds by name and digest: what people are told of one that a store lacks.

use std::fmt;

use kiln_model::{DiffId, Digest, LockedPackage};
use kiln_store::Store;

/// Whose input something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InputKind {
    /// A recipe's: a source, a patch.
    Own,
    /// One of the many of a root file system.
    RootFileSystem,
}

/// Something that a rebuild needs, where a store does not have it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingInput {
    /// Whose.
    pub kind: InputKind,
    /// What it is: `source zlib-1.2.13.tar.gz of recipe zlib`.
    pub what: String,
    /// Its digest.
    pub digest: Digest,
}

impl fmt::Display for MissingInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.what, self.digest)
    }
}

/// Names an input of a recipe, or of a base image that is one thing.
pub(crate) const fn own_input(what: String, digest: Digest) -> MissingInput {
    MissingInput {
        kind: InputKind::Own,
        what,
        digest,
    }
}

/// Returns what a layer is made of: itself where the store has it, else the packages that it is
/// assembled of.
pub(crate) fn layer_inputs(
    store: &Store,
    layer: DiffId,
    packages: &[LockedPackage],
) -> Vec<MissingInput> {
    let input = |what: String, digest: Digest| MissingInput {
        kind: InputKind::RootFileSystem,
        what,
        digest,
    };
    if store.contains(&layer.0) {
        return vec![input("layer of a root file system".to_owned(), layer.0)];
    }
    let package = |package: &LockedPackage| {
        let what = format!("Debian package {} {}", package.name, package.version);
        input(what, package.sha256)
    };
    packages.iter().map(package).collect()
}
