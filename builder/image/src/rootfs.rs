//! From layers in the store to root file systems in its `trees/`, each unpacked once.

use std::path::{Path, PathBuf};

use kiln_model::{DiffId, Digest, ManifestDigest};
use kiln_store::{Silent, Store, StoreError, WriteTreeError};

use crate::advance::{Advance, Counted, PrepareProgress, TreeStage};
use crate::limits::UnpackLimits;
use crate::oci::{ImageError, canonical_json, image_layers};
use crate::unpack::{LayerUnpacker, UnpackError};

/// Says why there is no root file system.
#[derive(Debug, thiserror::Error)]
pub enum RootfsError {
    /// A layer can not be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An image's documents can not be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// An image without layers was asked for.
    #[error("an image without layers has no files")]
    NoLayers,
}

/// Returns the root of the tree of one layer, unpacking it if that was not done yet.
///
/// # Errors
/// `Store` when the layer is missing or damaged or the system refuses, `Unpack` when it is no
/// acceptable layer.
pub fn layer_tree(store: &Store, layer: &DiffId) -> Result<PathBuf, RootfsError> {
    layer_tree_told(store, layer, &Silent)
}

/// Does what [`layer_tree`] does, and tells how far it is.
///
/// # Errors
/// As [`layer_tree`].
pub fn layer_tree_told(
    store: &Store,
    layer: &DiffId,
    progress: &dyn PrepareProgress,
) -> Result<PathBuf, RootfsError> {
    write_flattened(store, layer, &[*layer], progress)
}

/// Returns the root of the tree of an image with these layers, lowest first.
///
/// Several layers are applied one over the other into one tree of their own, with whiteouts; its name
/// in the store is a digest over the list.
///
/// # Errors
/// `NoLayers`, or as [`layer_tree`].
pub fn image_tree(
    store: &Store,
    layers: &[DiffId],
    progress: &dyn PrepareProgress,
) -> Result<PathBuf, RootfsError> {
    match layers {
        [] => Err(RootfsError::NoLayers),
        [layer] => layer_tree_told(store, layer, progress),
        layers => write_flattened(store, &flattened_id(layers), layers, progress),
    }
}

/// Returns the name of the tree that several layers make together: no tar has this digest.
pub(crate) fn flattened_id(layers: &[DiffId]) -> DiffId {
    DiffId(Digest::of(&canonical_json(&("kiln-flattened-1", layers))))
}

/// Returns the root of the tree of an image that was taken into the store before: `None` when the store
/// lacks its documents, or one of its layers while the tree is not unpacked.
///
/// # Errors
/// `Image` when its documents are damaged, or as [`layer_tree`].
pub fn stored_image_tree(
    store: &Store,
    manifest: &ManifestDigest,
) -> Result<Option<PathBuf>, RootfsError> {
    if !store.contains(&manifest.0) {
        return Ok(None);
    }
    let layers = match image_layers(store, manifest) {
        Ok(layers) => layers,
        Err(ImageError::Store(StoreError::Missing { .. })) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let id = match layers.as_slice() {
        [] => return Err(RootfsError::NoLayers),
        [layer] => *layer,
        layers => flattened_id(layers),
    };
    if let Some(root) = store.tree(&id)? {
        return Ok(Some(root));
    }
    if layers.iter().all(|layer| store.contains(&layer.0)) {
        return write_flattened(store, &id, &layers, &Silent).map(Some);
    }
    Ok(None)
}

fn write_flattened(
    store: &Store,
    id: &DiffId,
    layers: &[DiffId],
    progress: &dyn PrepareProgress,
) -> Result<PathBuf, RootfsError> {
    if let Some(root) = store.tree(id)? {
        return Ok(root);
    }
    let written = store.write_tree(id, &mut |root| unpack_layers(store, layers, root, progress));
    written.map_err(|error| match error {
        WriteTreeError::Fill(error) => error,
        WriteTreeError::Store(error) => error.into(),
    })
}

/// Unpacks layers, lowest first, into the empty folder `root`.
pub(crate) fn unpack_layers(
    store: &Store,
    layers: &[DiffId],
    root: &Path,
    progress: &dyn PrepareProgress,
) -> Result<(), RootfsError> {
    let mut unpacker = LayerUnpacker::new(root)?;
    let mut blobs = Vec::new();
    let mut total = 0;
    for layer in layers {
        let blob = store.open_blob(&layer.0)?;
        total += blob.metadata().map_or(0, |metadata| metadata.len());
        blobs.push((layer, blob));
    }
    let mut advance = Advance::start(progress, TreeStage::Unpack, total);
    for (layer, blob) in blobs {
        let mut blob = Counted::new(blob, &mut advance);
        unpacker.apply(&mut blob, &layer.0.to_string(), UnpackLimits::LAYER)?;
    }
    unpacker.finish()?;
    Ok(())
}
