//! The root file system of one recipe: its base image, and the layer that it adds.
//!
//! What it is follows from lockfiles alone; the trees are put together only when a step needs them.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use kiln_image::{
    PrepareBase, PrepareError, image_tree, import_layout, prepare_base, prepare_tools,
    stored_image_tree,
};
use kiln_model::{
    BaseImage, BaseLock, BaseOrigin, DiffId, DistributionPackage, LockedPackage, LockedTools,
    ManifestDigest, Recipe, RecipeLock,
};
use kiln_store::{BlobInfo, FetchOrigin, FetchProgress};

use crate::error::BuildError;
use crate::workshop::{Event, Report, Workshop};

/// A recipe's root file system.
#[derive(Debug)]
pub(crate) struct Rootfs {
    /// The base image.
    pub(crate) manifest: ManifestDigest,
    /// What the recipe adds.
    pub(crate) tools: Option<DiffId>,
    base: BaseImage,
    base_lock: Option<Arc<BaseLock>>,
    locked_tools: Option<LockedTools>,
    /// Tools over base, once they are unpacked.
    trees: Mutex<Option<Vec<PathBuf>>>,
}

/// Only one root file system is put together at a time: two recipes often want the same one.
static ASSEMBLY: Mutex<()> = Mutex::new(());

impl Rootfs {
    /// Reads what the lockfiles say. Fetches and unpacks nothing.
    pub(crate) fn new(
        shop: &Workshop<'_>,
        recipe: &Recipe,
        lock: &RecipeLock,
        base_lock: Option<Arc<BaseLock>>,
    ) -> Result<Self, BuildError> {
        let base = shop.project.bases[&recipe.base].clone();
        let manifest = match (&base.origin, &base_lock) {
            (BaseOrigin::Layout { digest, .. }, _) => *digest,
            (BaseOrigin::Archive(_), Some(lock)) => lock.manifest,
            (BaseOrigin::Archive(_), None) => {
                let file = shop
                    .project
                    .lock_path(base.name.as_str(), shop.architecture);
                return Err(BuildError::NotLocked { file });
            }
        };
        Ok(Self {
            manifest,
            tools: lock.tools.as_ref().map(|tools| tools.layer),
            base,
            base_lock,
            locked_tools: lock.tools.clone(),
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
        Ok(trees.insert(prepared).clone())
    }

    /// Returns the base's tree alone: packaging never sees what a recipe added.
    pub(crate) fn base_only(&self, shop: &Workshop<'_>) -> Result<Vec<PathBuf>, BuildError> {
        Ok(self.lower(shop)?.into_iter().last().into_iter().collect())
    }

    /// Returns a distribution package of this root file system, as locked.
    pub(crate) fn package(&self, name: &DistributionPackage) -> Option<&LockedPackage> {
        let tools = self.locked_tools.iter().flat_map(|tools| &tools.packages);
        let base = self.base_lock.iter().flat_map(|lock| &lock.packages);
        tools.chain(base).find(|package| package.name == *name)
    }

    /// Returns the lock of an assembled base image, `None` for one from a layout.
    pub(crate) fn base_lock(&self) -> Option<&BaseLock> {
        self.base_lock.as_deref()
    }

    fn prepare(&self, shop: &Workshop<'_>) -> Result<Vec<PathBuf>, BuildError> {
        let told = Told(shop.report);
        let name = self.base.name.to_string();
        if let BaseOrigin::Layout { digest, .. } = &self.base.origin {
            let stored = stored_image_tree(shop.store, digest)
                .map_err(|error| BuildError::image(&name)(error.into()))?;
            if let Some(tree) = stored {
                return Ok(vec![tree]);
            }
        }
        let layers = self
            .base_lock
            .iter()
            .map(|lock| &lock.layer)
            .chain(&self.tools);
        if layers.clone().count() == 0 || !layers.map(|l| l.0).all(|l| shop.store.contains(&l)) {
            shop.report.tell(&Event::Assembling { what: &name });
        }
        match (&self.base.origin, &self.base_lock) {
            (BaseOrigin::Archive(archive), Some(lock)) => {
                let wrap = |error: PrepareError| match error {
                    PrepareError::Fetch(error) => BuildError::Fetch(error),
                    other => BuildError::image(&name)(other.into()),
                };
                let request = PrepareBase {
                    store: shop.store,
                    fetcher: shop.fetcher,
                    archive,
                    base: lock,
                    progress: &told,
                };
                let mut trees = Vec::new();
                if let Some(tools) = &self.locked_tools {
                    trees.push(prepare_tools(&request, tools).map_err(wrap)?);
                }
                trees.push(prepare_base(&request).map_err(wrap)?);
                Ok(trees)
            }
            (BaseOrigin::Layout { path, digest }, _) => {
                let layout = shop.project.root.join(path);
                let layers = import_layout(shop.store, &layout, digest, shop.architecture)
                    .map_err(|error| BuildError::image(&name)(error.into()))?;
                let tree = image_tree(shop.store, &layers)
                    .map_err(|error| BuildError::image(&name)(error.into()))?;
                Ok(vec![tree])
            }
            (BaseOrigin::Archive(_), None) => {
                let file = shop.project.lock_path(&name, shop.architecture);
                Err(BuildError::NotLocked { file })
            }
        }
    }
}

/// Passes on what is fetched.
pub(crate) struct Told<'a>(pub(crate) &'a dyn Report);

impl FetchProgress for Told<'_> {
    fn started(&self, _name: &str, _size: Option<u64>) {}

    fn advanced(&self, _name: &str, _bytes: u64) {}

    fn finished(&self, name: &str, info: &BlobInfo, origin: FetchOrigin) {
        if matches!(origin, FetchOrigin::Network { .. }) {
            self.0.tell(&Event::Fetched {
                name,
                bytes: info.size,
            });
        }
    }
}
