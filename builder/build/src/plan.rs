//! What a run has to do: which nodes the store already has, and which files are missing for the rest.
//!
//! A node's key needs the destdirs of its libraries, so it is known only when they are. What can not
//! be known yet is planned as to be built; a library that is rebuilt to the same bytes still ends the
//! wave when its consumers' keys are looked up again during the run.

use std::collections::BTreeMap;
use std::sync::Arc;

use kiln_model::{BaseImage, BaseLock, BaseName, DiffId, Digest, Location, Recipe, ReleasedLock};
use kiln_store::{FetchLocation, FetchRequest};

use crate::compile::{BuildInputs, Built, cached};
use crate::error::BuildError;
use crate::graph::{Graph, NodeId};
use crate::lint::check_findings;
use crate::lock::{checked, checked_base_lock};
use crate::memory::base_lock_digest;
use crate::rootfs::Rootfs;
use crate::side_by_side::side_by_side;
use crate::unpinned::refuse_unpinned;
use crate::workshop::Workshop;

/// The libraries that a node is built with, and all that these were built with, by name.
pub(crate) type Bundled = Vec<(String, Arc<Built>)>;

/// A base image and its lockfile: many recipes share one, and both are long.
#[derive(Debug, Clone)]
pub(crate) struct SharedBase {
    pub(crate) image: Arc<BaseImage>,
    /// `None` for one from a layout.
    pub(crate) lock: Option<Arc<BaseLock>>,
}

/// The base images in use, each read once.
#[derive(Debug, Default)]
struct SharedBases(BTreeMap<BaseName, SharedBase>);

impl SharedBases {
    fn of(&mut self, shop: &Workshop<'_>, recipe: &Recipe) -> Result<SharedBase, BuildError> {
        if let Some(base) = self.0.get(&recipe.base) {
            return Ok(base.clone());
        }
        let image = &shop.project.bases[&recipe.base];
        let lock = checked_base_lock(shop.project, image, shop.architecture)?;
        let base = SharedBase {
            image: Arc::new(image.clone()),
            lock: lock.map(Arc::new),
        };
        self.0.insert(recipe.base.clone(), base.clone());
        Ok(base)
    }
}

/// Everything that is known before anything runs.
#[derive(Debug)]
pub struct Plan {
    /// What is needed, in build order.
    pub graph: Graph,
    /// The root file system of each node's recipe.
    pub(crate) rootfs: BTreeMap<NodeId, Rootfs>,
    /// Finished builds that the store has.
    pub(crate) built: BTreeMap<NodeId, Arc<Built>>,
    /// The digest of each base image's lockfile, if it has one.
    pub(crate) base_digests: BTreeMap<BaseName, Option<Digest>>,
    /// What was released, and must stay as it is.
    pub(crate) released: ReleasedLock,
    /// The locked size of each source: no server can send more of it, or less.
    sizes: BTreeMap<Digest, u64>,
}

impl Plan {
    /// Checks lockfiles and looks up what the store has. Runs nothing, fetches nothing.
    ///
    /// # Errors
    /// An unpinned recipe, a missing or stale lockfile, or a store that can not be read.
    pub fn new(shop: &Workshop<'_>, graph: Graph) -> Result<Self, BuildError> {
        refuse_unpinned(shop.project, &graph)?;
        let mut rootfs = BTreeMap::new();
        let mut built: BTreeMap<NodeId, Arc<Built>> = BTreeMap::new();
        let mut sizes = BTreeMap::new();
        let mut bases = SharedBases::default();
        let locks = side_by_side(&graph.order, |node| {
            shop.project.recipe_lock(&node.recipe, shop.architecture)
        });
        for (node, lock) in graph.order.iter().zip(locks) {
            let loaded = &shop.project.recipes[&node.recipe];
            check_findings(loaded)?;
            loaded.check_patches()?;
            let (project, architecture) = (shop.project, shop.architecture);
            let base_lock = || Ok(bases.of(shop, &loaded.recipe)?.lock);
            let lock = checked(project, loaded, architecture, lock?, base_lock)?;
            sizes.extend(
                lock.sources
                    .iter()
                    .filter_map(|source| Some((source.sha256, source.size?))),
            );
            let own = Rootfs::new(shop, &lock, bases.of(shop, &loaded.recipe)?)?;
            rootfs.insert(node.clone(), own);
            let Some(bundled) = bundled_builds(&graph, node, &built) else {
                continue;
            };
            let inputs = BuildInputs {
                node,
                loaded,
                rootfs: &rootfs[node],
                bundled: &bundled,
            };
            if let Some(hit) = cached(shop, inputs.key_inputs(shop).key())? {
                built.insert(node.clone(), Arc::new(hit));
            }
        }
        let base_digests = bases.0.into_keys().map(|base| {
            let digest = base_lock_digest(shop, &base)?;
            Ok((base, digest))
        });
        Ok(Self {
            base_digests: base_digests.collect::<Result<_, BuildError>>()?,
            graph,
            rootfs,
            built,
            released: shop.project.released()?,
            sizes,
        })
    }

    /// Returns the digest of what a node installs, if the store has it.
    #[must_use]
    pub fn destdir(&self, node: &NodeId) -> Option<DiffId> {
        self.built.get(node).map(|built| built.destdir)
    }

    /// Returns the nodes that have to be built, in build order.
    #[must_use]
    pub fn to_build(&self) -> Vec<&NodeId> {
        self.graph
            .order
            .iter()
            .filter(|node| !self.built.contains_key(node))
            .collect()
    }

    /// Returns the sources of the nodes that have to be built.
    pub(crate) fn source_requests(&self, shop: &Workshop<'_>) -> Vec<FetchRequest> {
        let recipes = self
            .to_build()
            .into_iter()
            .map(|node| &shop.project.recipes[&node.recipe]);
        let mut requests: Vec<FetchRequest> = recipes
            .flat_map(|loaded| &loaded.recipe.planned().sources)
            .map(|source| FetchRequest {
                size: self.sizes.get(&source.sha256).copied(),
                ..source_request(source)
            })
            .collect();
        requests.sort_by_key(|request| request.sha256);
        requests.dedup_by_key(|request| request.sha256);
        requests
    }

    /// Returns the lockfiles of the base images in use.
    pub(crate) fn base_locks(&self) -> BTreeMap<BaseName, Arc<BaseLock>> {
        let locks = self.rootfs.values().filter_map(Rootfs::shared_base_lock);
        locks.map(|lock| (lock.base.clone(), lock)).collect()
    }

    /// Returns the base images in use of which a package can be made, with one node of each.
    pub(crate) fn base_packages(&self) -> BTreeMap<BaseName, &NodeId> {
        let of_archive = self.rootfs.iter().filter_map(|(node, rootfs)| {
            let lock = rootfs.base_lock()?;
            Some((lock.base.clone(), node))
        });
        of_archive.collect()
    }
}

/// Asks for one source, of whatever size: upstream's address first, then its mirrors.
pub(crate) fn source_request(source: &kiln_model::recipe::Source) -> FetchRequest {
    let locations = std::iter::once(&source.url).chain(&source.mirrors);
    let locations = locations.map(|location| match location {
        Location::Git(location) => FetchLocation::Git(location.clone(), source.submodules),
        location => FetchLocation::Location(location.clone()),
    });
    FetchRequest {
        name: source.url.file_name().to_owned(),
        locations: locations.collect(),
        sha256: source.sha256,
        size: None,
    }
}

/// Returns the libraries that a node is built with and everything that these were built with, or
/// `None` while one is not built.
pub(crate) fn bundled_builds(
    graph: &Graph,
    node: &NodeId,
    built: &BTreeMap<NodeId, Arc<Built>>,
) -> Option<Bundled> {
    let closure = graph.closure(node);
    closure
        .iter()
        .map(|node| Some((node.to_string(), Arc::clone(built.get(node)?))))
        .collect()
}
