//! The root file system of one recipe: its base image, and the layer that it adds.
//!
//! What it is follows from lockfiles alone; the trees are put together only when a step needs them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use kiln_image::{
    PrepareBase, PrepareError, image_tree, import_layout, layer_tree_told, prepare_base,
    prepare_tools, stored_image_tree,
};
use kiln_model::{
    BaseImage, BaseLock, BaseName, BaseOrigin, DiffId, DistributionPackage, LockedPackage,
    LockedTools, ManifestDigest, RecipeLock,
};

use crate::error::BuildError;
use crate::plan::SharedBase;
use crate::told::{OnlyStops, TreeTold};
use crate::turn::{tree_turn, wait_for_turn};
use crate::workshop::Workshop;

/// A recipe's root file system.
#[derive(Debug)]
pub(crate) struct Rootfs {
    /// The base image.
    pub(crate) manifest: ManifestDigest,
    /// What the recipe adds.
    pub(crate) tools: Option<DiffId>,
    base: Arc<BaseImage>,
    base_lock: Option<Arc<BaseLock>>,
    locked_tools: Option<LockedTools>,
    /// Tools over base, once they are unpacked.
    trees: Mutex<Option<Vec<PathBuf>>>,
}

/// Returns the root of the tree of a finished destdir or source tree, unpacked by now.
pub(crate) fn unpacked(
    shop: &Workshop<'_>,
    what: &str,
    layer: &DiffId,
) -> Result<PathBuf, BuildError> {
    if let Some(root) = shop.store.tree(layer)? {
        return Ok(root);
    }
    let _turn = wait_for_turn(shop, &tree_turn(layer), what)?;
    layer_tree_told(shop.store, layer, &OnlyStops(shop.cancel))
        .map_err(|error| BuildError::image(what)(error.into()))
}

/// Only one root file system is put together at a time: two recipes often want the same one.
static ASSEMBLY: Mutex<()> = Mutex::new(());

fn base_manifest(
    shop: &Workshop<'_>,
    base: &BaseImage,
    lock: Option<&BaseLock>,
) -> Result<ManifestDigest, BuildError> {
    let locked = lock.map(|lock| lock.manifest);
    let manifest = base.pinned_manifest(shop.architecture).or(locked);
    manifest.ok_or_else(|| not_locked(shop, base))
}

fn not_locked(shop: &Workshop<'_>, base: &BaseImage) -> BuildError {
    let file = shop.project.base_lock_path(&base.name, shop.architecture);
    BuildError::NotLocked { file }
}

/// Returns the manifest of a registry's image that the store has.
///
/// # Errors
/// `NotPulled`: kiln reads no registries, so it has to come there in another way.
pub(crate) fn pulled_image(
    shop: &Workshop<'_>,
    base: &BaseImage,
) -> Result<ManifestDigest, BuildError> {
    let manifest = base_manifest(shop, base, None)?;
    match stored_image(shop, base, &manifest)? {
        Some(_) => Ok(manifest),
        None => Err(not_pulled(base, manifest)),
    }
}

fn not_pulled(base: &BaseImage, manifest: ManifestDigest) -> BuildError {
    let BaseOrigin::Image { reference, .. } = &base.origin else {
        unreachable!("only a registry's image is pulled");
    };
    BuildError::NotPulled {
        base: base.name.clone(),
        image: Box::new(reference.clone()),
        manifest,
    }
}

/// Returns the tree of an image that was taken into the store before.
fn stored_image(
    shop: &Workshop<'_>,
    base: &BaseImage,
    manifest: &ManifestDigest,
) -> Result<Option<PathBuf>, BuildError> {
    stored_image_tree(shop.store, manifest)
        .map_err(|error| BuildError::image(base.name.as_str())(error.into()))
}

impl Rootfs {
    /// Reads what the lockfiles say. Fetches and unpacks nothing.
    pub(crate) fn new(
        shop: &Workshop<'_>,
        lock: &RecipeLock,
        base: SharedBase,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            manifest: base_manifest(shop, &base.image, base.lock.as_deref())?,
            tools: lock.tools.as_ref().map(|tools| tools.layer),
            base: base.image,
            base_lock: base.lock,
            locked_tools: lock.tools.clone(),
            trees: Mutex::new(None),
        })
    }

    /// Takes a base image by itself.
    pub(crate) fn of_base(
        shop: &Workshop<'_>,
        base: &BaseImage,
        base_lock: Option<Arc<BaseLock>>,
    ) -> Result<Self, BuildError> {
        Ok(Self {
            manifest: base_manifest(shop, base, base_lock.as_deref())?,
            tools: None,
            base: Arc::new(base.clone()),
            base_lock,
            locked_tools: None,
            trees: Mutex::new(None),
        })
    }

    /// Returns the unpacked trees, topmost first: what the recipe adds, then the base.
    pub(crate) fn lower(&self, shop: &Workshop<'_>) -> Result<Vec<PathBuf>, BuildError> {
        let mut trees = self.trees.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(trees) = &*trees {
            return Ok(trees.clone());
        }
        let _one_at_a_time = ASSEMBLY.lock().unwrap_or_else(PoisonError::into_inner);
        let prepared = self.prepare(shop)?;
        self.name_image(shop)?;
        Ok(trees.insert(prepared).clone())
    }

    /// Names the base image in the store, for other tools; the size of a manifest that is not there is
    /// nobody's.
    fn name_image(&self, shop: &Workshop<'_>) -> Result<(), BuildError> {
        if shop.store.contains(&self.manifest.0) {
            let size = shop.store.blob_size(&self.manifest.0)?;
            shop.store
                .record_image(self.base.name.as_str(), &self.manifest, size)?;
        }
        Ok(())
    }

    /// Returns the base's tree alone: packaging never sees what a recipe added.
    pub(crate) fn base_only(&self, shop: &Workshop<'_>) -> Result<Vec<PathBuf>, BuildError> {
        Ok(self.lower(shop)?.into_iter().last().into_iter().collect())
    }

    /// Returns the base image's name.
    pub(crate) fn base_name(&self) -> &BaseName {
        &self.base.name
    }

    /// Returns whether the base image is assembled from a distribution's packages.
    pub(crate) fn is_assembled(&self) -> bool {
        matches!(self.base.origin, BaseOrigin::Archive(_))
    }

    /// Returns a distribution package of this root file system, as locked.
    pub(crate) fn package(&self, name: &DistributionPackage) -> Option<&LockedPackage> {
        let tools = self.locked_tools.iter().flat_map(|tools| &tools.packages);
        let base = self.base_lock.iter().flat_map(|lock| &lock.packages);
        tools.chain(base).find(|package| package.name == *name)
    }

    /// Returns the same, to be shared.
    pub(crate) fn shared_base_lock(&self) -> Option<Arc<BaseLock>> {
        self.base_lock.clone()
    }

    /// Returns the lock of an assembled base image, `None` for one from a layout.
    pub(crate) fn base_lock(&self) -> Option<&BaseLock> {
        self.base_lock.as_deref()
    }

    fn prepare(&self, shop: &Workshop<'_>) -> Result<Vec<PathBuf>, BuildError> {
        let name = self.base.name.to_string();
        if !matches!(self.base.origin, BaseOrigin::Archive(_))
            && let Some(tree) = stored_image(shop, &self.base, &self.manifest)?
        {
            return Ok(vec![tree]);
        }
        let told = TreeTold::new(shop, &name);
        let trees = self.trees_from(shop, &told)?;
        told.finish();
        Ok(trees)
    }

    fn trees_from(
        &self,
        shop: &Workshop<'_>,
        told: &TreeTold<'_>,
    ) -> Result<Vec<PathBuf>, BuildError> {
        let name = told.what;
        match (&self.base.origin, &self.base_lock) {
            (BaseOrigin::Archive(archive), Some(lock)) => {
                let wrap = |error: PrepareError| match error {
                    PrepareError::Fetch(error) => error.into(),
                    other => BuildError::image(name)(other.into()),
                };
                let request = PrepareBase {
                    store: shop.store,
                    fetcher: shop.fetcher,
                    archive,
                    base: lock,
                    progress: told,
                };
                let mut trees = Vec::new();
                if let Some(tools) = &self.locked_tools {
                    let what = format!("the tools over {name}");
                    let _turn = wait_for_turn(shop, &tree_turn(&tools.layer), &what)?;
                    trees.push(prepare_tools(&request, tools).map_err(wrap)?);
                }
                let what = format!("the root file system of {name}");
                let _turn = wait_for_turn(shop, &tree_turn(&lock.layer), &what)?;
                trees.push(prepare_base(&request).map_err(wrap)?);
                Ok(trees)
            }
            (BaseOrigin::Layout { path, digest }, _) => {
                let what = format!("the root file system of {name}");
                let _turn = wait_for_turn(shop, &digest.0, &what)?;
                told.start();
                let layout = shop.project.root.join(path);
                let layers = import_layout(shop.store, &layout, digest, shop.architecture)
                    .map_err(|error| BuildError::image(name)(error.into()))?;
                let tree = image_tree(shop.store, &layers, told)
                    .map_err(|error| BuildError::image(name)(error.into()))?;
                Ok(vec![tree])
            }
            (BaseOrigin::Image { .. }, _) => Err(not_pulled(&self.base, self.manifest)),
            (BaseOrigin::Archive(_), None) => Err(not_locked(shop, &self.base)),
        }
    }
}
