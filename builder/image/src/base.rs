//! Assembled base images: locked once against a signed archive, then rebuilt from their lock alone.
//!
//! Locking reads the suite's `InRelease` and package index, chooses packages, fetches them, and
//! assembles them, so that the lock can say what comes out. Preparing never looks at an index: it
//! takes the tree from the store or assembles the pinned packages again, and compares.

mod archive;

use std::path::PathBuf;

use kiln_model::{
    Architecture, ArchiveBase, BaseLock, BaseName, DiffId, Digest, DistributionPackage,
    LOCK_FORMAT, LockedPackage, LockedTools, ManifestDigest,
};
use kiln_store::{
    FetchError, FetchLocation, FetchProgress, FetchRequest, Fetcher, Store, StoreError,
};
use serde::Serialize;

use crate::advance::PrepareProgress;
use crate::debian::{Essential, IndexError, ReleaseError, ResolveError, ResolveRequest, resolve};
use crate::layer::{AssembleError, LayerKind, LayerRequest, assemble_layer, assemble_tree};
use crate::oci::{ImageError, canonical_json, image_layers, write_image};
use crate::rootfs::{RootfsError, layer_tree_told};

use self::archive::{Index, fetch_index};

/// The version of the assembler: raised when the same packages would give another layer, so that
/// older locks are seen to be stale instead of failing to match.
pub const ASSEMBLER_VERSION: u32 = 1;

/// Says why a base image or a recipe's tools were not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockBaseError {
    /// Something could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The suite's `InRelease` is not acceptable.
    #[error("the archive's `{path}` is not accepted")]
    Release {
        /// Its path below the archive's root.
        path: String,
        /// Why.
        source: ReleaseError,
    },
    /// The suite has no package index for this architecture.
    #[error("the archive's `{path}` names no `{index}`")]
    NoIndex {
        /// The path of `InRelease` below the archive's root.
        path: String,
        /// The index that was looked for.
        index: String,
    },
    /// The package index can not be decompressed.
    #[error("the archive's `{path}` can not be decompressed")]
    Decompress {
        /// Its path below the archive's root.
        path: String,
        /// What the decoder says.
        source: std::io::Error,
    },
    /// The package index decompresses to other bytes than the signed release names.
    #[error(
        "the archive's `{path}` is not the one that the signed release names\n  expected  {expected}\n  actual    {actual}"
    )]
    IndexDigest {
        /// Its path below the archive's root.
        path: String,
        /// From the release.
        expected: Digest,
        /// Of the decompressed bytes.
        actual: Digest,
    },
    /// The package index is not UTF-8.
    #[error("the archive's `{path}` is not UTF-8 at byte {offset}")]
    IndexText {
        /// Its path below the archive's root.
        path: String,
        /// The first byte that does not fit.
        offset: usize,
    },
    /// The package index can not be read.
    #[error("the archive's `{path}` can not be read")]
    Index {
        /// Its path below the archive's root.
        path: String,
        /// Why.
        source: IndexError,
    },
    /// There is no set of packages that fits the request.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The packages do not make a layer.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The image could not be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What to lock a base image from.
#[derive(Clone, Copy)]
pub struct LockBase<'a> {
    /// Where everything goes.
    pub store: &'a Store,
    /// Fetches from the archive.
    pub fetcher: &'a Fetcher,
    /// The base image's name.
    pub name: &'a BaseName,
    /// What is asked for.
    pub archive: &'a ArchiveBase,
    /// The archive's pinned keys (the content of `archive.keys`): binary OpenPGP keyrings.
    pub keys: &'a [Vec<u8>],
    /// The machine architecture.
    pub architecture: Architecture,
    /// Hears how fetching and assembling go.
    pub progress: &'a dyn PrepareProgress,
}

/// What to lock a recipe's tools from.
#[derive(Clone, Copy)]
pub struct LockTools<'a> {
    /// Where everything goes.
    pub store: &'a Store,
    /// Fetches from the archive.
    pub fetcher: &'a Fetcher,
    /// What the base image was locked from.
    pub archive: &'a ArchiveBase,
    /// The archive's pinned keys: binary OpenPGP keyrings.
    pub keys: &'a [Vec<u8>],
    /// The base image's lock.
    pub base: &'a BaseLock,
    /// What the recipe needs beside the base image.
    pub wanted: &'a [DistributionPackage],
    /// Hears how fetching and assembling go.
    pub progress: &'a dyn PrepareProgress,
}

macro_rules! debug_by_hand {
    ($($name:ident { $($field:ident),* }),*) => {$(
        impl std::fmt::Debug for $name<'_> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), &self.$field))*
                    .finish_non_exhaustive()
            }
        }
    )*};
}

debug_by_hand!(
    LockBase {
        name,
        archive,
        architecture
    },
    LockTools { archive, wanted },
    PrepareBase { archive, base }
);

/// Returns the digest of what a base image's lock was asked for; another one means a stale lock.
#[must_use]
pub fn base_request(archive: &ArchiveBase, keys: &[Vec<u8>], architecture: Architecture) -> Digest {
    #[derive(Serialize)]
    struct Request<'a> {
        assembler: u32,
        architecture: Architecture,
        archive: &'a ArchiveBase,
        keys: Vec<Digest>,
    }
    Digest::of(&canonical_json(&Request {
        assembler: ASSEMBLER_VERSION,
        architecture,
        archive,
        keys: keys.iter().map(|key| Digest::of(key)).collect(),
    }))
}

/// Returns the digest of what a recipe's tools were asked for; another one means a stale lock. The
/// base image they go over is not in it: the recipe's lock names its manifest.
#[must_use]
pub fn tools_request(archive: &ArchiveBase, wanted: &[DistributionPackage]) -> Digest {
    #[derive(Serialize)]
    struct Request<'a> {
        assembler: u32,
        exclude: &'a [kiln_model::FilePattern],
        links: &'a std::collections::BTreeMap<kiln_model::SandboxPath, String>,
        wanted: Vec<&'a DistributionPackage>,
    }
    let mut wanted: Vec<_> = wanted.iter().collect();
    wanted.sort();
    wanted.dedup();
    Digest::of(&canonical_json(&Request {
        assembler: ASSEMBLER_VERSION,
        exclude: &archive.exclude,
        links: &archive.links,
        wanted,
    }))
}

/// Chooses, fetches and assembles a base image's packages and returns what pins them.
///
/// # Errors
/// As [`LockBaseError`] says.
pub fn lock_base(request: &LockBase<'_>) -> Result<BaseLock, LockBaseError> {
    let Index { index, locked } = fetch_index(&archive::IndexRequest {
        store: request.store,
        fetcher: request.fetcher,
        archive: request.archive,
        keys: request.keys,
        architecture: request.architecture,
        known: None,
        progress: request.progress,
    })?;
    let packages = resolve(
        &index,
        &ResolveRequest {
            wanted: &request.archive.packages,
            installed: &[],
            essential: Essential::Include,
        },
    )?;
    drop(index);
    fetch_packages(request.fetcher, &packages, request.progress)?;
    let kind = LayerKind::Base;
    let (archive, progress) = (request.archive, request.progress);
    let layer = assemble(request.store, archive, &packages, kind, progress)?;
    let manifest = write_image(request.store, &[layer], request.architecture)?;
    Ok(BaseLock {
        format: LOCK_FORMAT,
        base: request.name.clone(),
        architecture: request.architecture,
        request: base_request(request.archive, request.keys, request.architecture),
        manifest,
        layer,
        archive: locked,
        packages,
    })
}

/// Chooses, fetches and assembles what a recipe needs over its base image; `None` when the base image
/// has everything.
///
/// The packages are chosen from the index that the base image was locked against if it is still in
/// the store, otherwise from the archive's present one; the base image's packages stay as they are.
///
/// # Errors
/// As [`LockBaseError`] says.
pub fn lock_tools(request: &LockTools<'_>) -> Result<Option<LockedTools>, LockBaseError> {
    let has = |wanted: &DistributionPackage| {
        let mut packages = request.base.packages.iter();
        packages.any(|package| package.name == *wanted)
    };
    if request.wanted.iter().all(has) {
        return Ok(None);
    }
    let Index { index, .. } = fetch_index(&archive::IndexRequest {
        store: request.store,
        fetcher: request.fetcher,
        archive: request.archive,
        keys: request.keys,
        architecture: request.base.architecture,
        known: Some(&request.base.archive),
        progress: request.progress,
    })?;
    let packages = resolve(
        &index,
        &ResolveRequest {
            wanted: request.wanted,
            installed: &request.base.packages,
            essential: Essential::AlreadyThere,
        },
    )?;
    drop(index);
    if packages.is_empty() {
        return Ok(None);
    }
    fetch_packages(request.fetcher, &packages, request.progress)?;
    let kind = LayerKind::Addition;
    let (archive, progress) = (request.archive, request.progress);
    let layer = assemble(request.store, archive, &packages, kind, progress)?;
    Ok(Some(LockedTools {
        request: tools_request(request.archive, request.wanted),
        layer,
        packages,
    }))
}

/// Says why a locked base image or tools layer is not ready for use.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A pinned package could not be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The packages do not make a layer.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The packages make another layer than the lock says.
    #[error(
        "the packages of {what} make another layer than the lock says\n  \
         expected  {expected}\n  actual    {actual}\n\n\
         hint: the links or patterns of the base image changed after it was locked, or another \
         version of kiln locked it; lock again"
    )]
    Layer {
        /// `base image x` or `the tools over base image x`.
        what: String,
        /// From the lock.
        expected: DiffId,
        /// As assembled.
        actual: DiffId,
    },
    /// The layer makes another manifest than the lock says.
    #[error(
        "base image `{base}` has another manifest than the lock says\n  \
         expected  {expected}\n  actual    {actual}\n\n\
         hint: another version of kiln locked it; lock again"
    )]
    Manifest {
        /// The base image.
        base: BaseName,
        /// From the lock.
        expected: ManifestDigest,
        /// As written.
        actual: ManifestDigest,
    },
    /// The image could not be written.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The layer can not be unpacked.
    #[error(transparent)]
    Rootfs(#[from] RootfsError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What to prepare a locked base image, and tools over it, with.
#[derive(Clone, Copy)]
pub struct PrepareBase<'a> {
    /// Where the trees are.
    pub store: &'a Store,
    /// Fetches pinned packages that are missing.
    pub fetcher: &'a Fetcher,
    /// What the base image was locked from: links and patterns.
    pub archive: &'a ArchiveBase,
    /// The base image's lock.
    pub base: &'a BaseLock,
    /// Hears how fetching and assembling go.
    pub progress: &'a dyn PrepareProgress,
}

/// Returns the root of the base image's tree: from the store, or assembled from its pinned packages.
///
/// # Errors
/// `Layer` and `Manifest` when something else comes out than the lock says, the others as their
/// stations fail.
pub fn prepare_base(request: &PrepareBase<'_>) -> Result<PathBuf, PrepareError> {
    let lock = request.base;
    if let Some(root) = request.store.tree(&lock.layer)?
        && request.store.contains(&lock.manifest.0)
        && image_layers(request.store, &lock.manifest)? == [lock.layer]
    {
        return Ok(root);
    }
    let root = prepare(
        request,
        &Wanted {
            what: format!("base image `{}`", lock.base),
            layer: &lock.layer,
            packages: &lock.packages,
            kind: LayerKind::Base,
        },
    )?;
    let actual = write_image(request.store, &[lock.layer], lock.architecture)?;
    if actual != lock.manifest {
        return Err(PrepareError::Manifest {
            base: lock.base.clone(),
            expected: lock.manifest,
            actual,
        });
    }
    Ok(root)
}

/// Returns the root of the tree of a recipe's tools, which goes over the base image's.
///
/// # Errors
/// `Layer` when something else comes out than the lock says, the others as their stations fail.
pub fn prepare_tools(
    request: &PrepareBase<'_>,
    tools: &LockedTools,
) -> Result<PathBuf, PrepareError> {
    if let Some(root) = request.store.tree(&tools.layer)? {
        return Ok(root);
    }
    prepare(
        request,
        &Wanted {
            what: format!("the tools over base image `{}`", request.base.base),
            layer: &tools.layer,
            packages: &tools.packages,
            kind: LayerKind::Addition,
        },
    )
}

struct Wanted<'a> {
    what: String,
    layer: &'a DiffId,
    packages: &'a [LockedPackage],
    kind: LayerKind,
}

/// Sees to it that a layer's blob and tree are in the store; returns the tree's root.
fn prepare(request: &PrepareBase<'_>, wanted: &Wanted<'_>) -> Result<PathBuf, PrepareError> {
    let (store, progress) = (request.store, request.progress);
    if store.contains(&wanted.layer.0) {
        return Ok(layer_tree_told(store, wanted.layer, progress)?);
    }
    fetch_packages(request.fetcher, wanted.packages, progress)?;
    let other = |actual| PrepareError::Layer {
        what: wanted.what.clone(),
        expected: *wanted.layer,
        actual,
    };
    if let Some(root) = store.tree(wanted.layer)? {
        // Only the blob is missing.
        let kind = wanted.kind;
        let actual = assemble(store, request.archive, wanted.packages, kind, progress)?;
        return if actual == *wanted.layer {
            Ok(root)
        } else {
            Err(other(actual))
        };
    }
    let layer = layer_request(request.archive, wanted.packages, wanted.kind);
    assemble_tree(store, &layer, wanted.layer, progress).map_err(|error| match error {
        AssembleError::Store(StoreError::Mismatch { actual, .. }) => other(DiffId(actual)),
        error => error.into(),
    })
}

fn fetch_packages(
    fetcher: &Fetcher,
    packages: &[LockedPackage],
    progress: &dyn FetchProgress,
) -> Result<(), FetchError> {
    fetcher.fetch_all(&package_requests(packages), progress)?;
    Ok(())
}

/// Returns what to fetch for locked packages, in their order.
#[must_use]
pub fn package_requests(packages: &[LockedPackage]) -> Vec<FetchRequest> {
    packages
        .iter()
        .map(|package| FetchRequest {
            name: package
                .path
                .rsplit('/')
                .next()
                .unwrap_or_default()
                .to_owned(),
            locations: vec![FetchLocation::ArchivePath(package.path.clone())],
            sha256: package.sha256,
            size: Some(package.size),
        })
        .collect()
}

fn assemble(
    store: &Store,
    archive: &ArchiveBase,
    packages: &[LockedPackage],
    kind: LayerKind,
    progress: &dyn PrepareProgress,
) -> Result<DiffId, AssembleError> {
    let request = layer_request(archive, packages, kind);
    assemble_layer(store, &request, progress)
}

fn layer_request<'a>(
    archive: &'a ArchiveBase,
    packages: &'a [LockedPackage],
    kind: LayerKind,
) -> LayerRequest<'a> {
    LayerRequest {
        packages,
        links: &archive.links,
        exclude: &archive.exclude,
        kind,
    }
}

#[cfg(test)]
mod tests;
