//! Lockfiles: written by `kiln lock`, checked by everything else.
//!
//! Locking never edits a recipe, and rewrites a lockfile only when its bytes differ. What a lockfile
//! was made for stands in it as digests, so that a changed recipe, request or base is noticed.

mod sources;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kiln_image::{
    LockBase, LockBaseError, LockTools, base_request, lock_base, lock_tools, tools_request,
};
use kiln_model::recipe::{Choice, Distribution, NodePath};
use kiln_model::{
    Architecture, ArchiveBase, BaseImage, BaseLock, BaseName, BaseOrigin, DistributionPackage,
    LOCK_FORMAT, Lock, LockError, LockedTools, Recipe, RecipeLock, RecipeName,
};
use kiln_store::FetchError;

use crate::error::BuildError;
use crate::graph::Graph;
use crate::project::{LoadedRecipe, Project, ProjectError};
use crate::publish::{Publication, publish};
use crate::rootfs::pulled_image;
use crate::site::Site;
use crate::told::TreeTold;
use crate::work::OnFailure;
use crate::workshop::{Event, Workshop};

pub use self::sources::{Kept, LockNote};
use self::sources::{SourceLocker, in_one_line};

/// What `kiln lock` chooses anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// Only what a recipe or base image changed since.
    WhatChanged,
    /// Base images too, from what the archive has today.
    Everything,
}

/// Locks `names`, or all recipes, and everything that they bundle, with their base images.
///
/// Where all recipes are locked, one that stays unpinned because its sources can not be reached is told
/// and keeps nobody else from being locked. With [`OnFailure::KeepGoing`], a source whose digest is known
/// and that can not be reached is locked by its digest alone.
///
/// # Errors
/// Whatever can not be fetched, verified, resolved or written.
pub fn lock(
    shop: &Workshop<'_>,
    names: &[RecipeName],
    renewal: Renewal,
    on_failure: OnFailure,
) -> Result<(), BuildError> {
    let wanted: Vec<RecipeName> = match names {
        [] => shop.project.recipes.keys().cloned().collect(),
        names => names.to_vec(),
    };
    let graph = Graph::new(shop.project, &wanted)?;
    let mut recipes: Vec<&RecipeName> = graph.order.iter().map(|node| &node.recipe).collect();
    recipes.sort();
    recipes.dedup();
    let mut bench = Bench {
        shop,
        sources: SourceLocker {
            shop,
            renewal,
            on_failure,
            silent: RefCell::default(),
        },
        bases: BTreeMap::new(),
    };
    for name in &recipes {
        bench.lock_base_of(&shop.project.recipes[*name], renewal)?;
    }
    for name in recipes {
        let loaded = &shop.project.recipes[name];
        match bench.lock_recipe(loaded) {
            Err(BuildError::Fetch(error))
                if names.is_empty()
                    && loaded.recipe.pins().is_err()
                    && !matches!(error, FetchError::Cancelled | FetchError::Store(_)) =>
            {
                let reason = in_one_line(&error);
                let note = &LockNote::StillUnpinned { reason };
                shop.report.tell(&Event::LockNote { recipe: name, note });
            }
            locked => locked?,
        }
    }
    Ok(())
}

struct Bench<'a> {
    shop: &'a Workshop<'a>,
    sources: SourceLocker<'a>,
    bases: BTreeMap<BaseName, BaseLock>,
}

impl Bench<'_> {
    fn lock_base_of(&mut self, loaded: &LoadedRecipe, renewal: Renewal) -> Result<(), BuildError> {
        let name = &loaded.recipe.base;
        let base = &self.shop.project.bases[name];
        let BaseOrigin::Archive(archive) = &base.origin else {
            return Ok(());
        };
        if self.bases.contains_key(name) {
            return Ok(());
        }
        let path = self
            .shop
            .project
            .base_lock_path(name, self.shop.architecture);
        let checked = checked_base_lock(self.shop.project, base, self.shop.architecture);
        let kept = match renewable(checked)? {
            Some(lock) if renewal == Renewal::WhatChanged => lock,
            _ => None,
        };
        let lock = match kept {
            Some(lock) => {
                self.shop.report.tell(&Event::LockUnchanged { file: &path });
                lock
            }
            None => {
                let shop = self.shop;
                let told = TreeTold::new(shop, name.as_str());
                told.start();
                let keys = shop.project.base_keys(base)?;
                let lock = lock_base(&LockBase {
                    store: shop.store,
                    fetcher: shop.fetcher,
                    name,
                    archive,
                    keys: &keys,
                    architecture: shop.architecture,
                    progress: &told,
                })
                .map_err(|error| locking(name.as_str(), error))?;
                told.finish();
                write(shop, &path, &lock)?;
                lock
            }
        };
        self.bases.insert(name.clone(), lock);
        Ok(())
    }

    fn lock_recipe(&self, loaded: &LoadedRecipe) -> Result<(), BuildError> {
        let shop = self.shop;
        let recipe = &loaded.recipe;
        let path = shop
            .project
            .recipe_lock_path(&recipe.name, shop.architecture);
        let earlier = shop.project.recipe_lock(&recipe.name, shop.architecture);
        let earlier = renewable(earlier.map_err(BuildError::from))?.flatten();
        let base = &shop.project.bases[&recipe.base];
        let (base_manifest, tools) = match &base.origin {
            BaseOrigin::Layout { digest, .. } => {
                refuse_packages(shop.project, loaded, base)?;
                (*digest, None)
            }
            BaseOrigin::Image { .. } => {
                refuse_packages(shop.project, loaded, base)?;
                (pulled_image(shop, base)?, None)
            }
            BaseOrigin::Archive(archive) => {
                let manifest = self.bases[&recipe.base].manifest;
                (manifest, self.tools(loaded, archive, earlier.as_ref())?)
            }
        };
        let lock = RecipeLock {
            format: LOCK_FORMAT,
            recipe: recipe.name.clone(),
            architecture: shop.architecture,
            base: recipe.base.clone(),
            base_manifest,
            sources: self.sources.lock(recipe, earlier.as_ref())?,
            tools,
        };
        write(shop, &path, &lock)
    }

    /// Keeps earlier pins while they were made for the same request.
    fn tools(
        &self,
        loaded: &LoadedRecipe,
        archive: &ArchiveBase,
        earlier: Option<&RecipeLock>,
    ) -> Result<Option<LockedTools>, BuildError> {
        let shop = self.shop;
        let wanted = wanted(shop.project, &loaded.recipe)?;
        let base_lock = &self.bases[&loaded.recipe.base];
        if wanted.iter().all(|name| has_package(base_lock, name)) {
            return Ok(None);
        }
        let is_kept = |lock: &&RecipeLock| lock.base_manifest == base_lock.manifest;
        let kept = earlier.filter(is_kept).and_then(|lock| lock.tools.as_ref());
        let request = tools_request(archive, &wanted);
        if let Some(tools) = kept.filter(|tools| tools.request == request) {
            return Ok(Some(tools.clone()));
        }
        let name = loaded.recipe.name.as_str();
        let told = TreeTold::new(shop, name);
        let keys = shop
            .project
            .base_keys(&shop.project.bases[&loaded.recipe.base])?;
        let tools = lock_tools(&LockTools {
            store: shop.store,
            fetcher: shop.fetcher,
            archive,
            keys: &keys,
            base: base_lock,
            wanted: &wanted,
            progress: &told,
        })
        .map_err(|error| locking(name, error))?;
        told.finish();
        Ok(tools)
    }
}

/// Passes on what can be locked anew: a lock that is missing, stale or damaged. One of a newer kiln
/// is never rewritten, and one that can not be read stays.
fn renewable<T>(lock: Result<T, BuildError>) -> Result<Option<T>, BuildError> {
    match lock {
        Ok(lock) => Ok(Some(lock)),
        Err(BuildError::NotLocked { .. } | BuildError::StaleLock { .. }) => Ok(None),
        Err(BuildError::Project(error)) => match *error {
            ProjectError::Lock {
                error: LockError::Syntax { .. },
                ..
            } => Ok(None),
            other => Err(other.into()),
        },
        Err(other) => Err(other),
    }
}

/// Returns the distribution packages that a recipe is built with beyond its base: its tools, and the
/// system libraries of its own and of everything that it bundles, since these are linked too.
///
/// # Errors
/// `NoSystemPackage` when a library is taken from the system but has no package in it.
fn wanted(project: &Project, recipe: &Recipe) -> Result<Vec<DistributionPackage>, BuildError> {
    let mut wanted: BTreeSet<DistributionPackage> = recipe.tools.iter().cloned().collect();
    let mut seen = BTreeSet::new();
    let mut open = vec![recipe];
    while let Some(recipe) = open.pop() {
        if !seen.insert(&recipe.name) {
            continue;
        }
        for (library, choice) in &recipe.libraries {
            match &choice.choice {
                Choice::System { package } => {
                    let package = package.get(&Distribution::Debian);
                    wanted.insert(
                        package
                            .cloned()
                            .ok_or_else(|| BuildError::NoSystemPackage {
                                recipe: recipe.name.clone(),
                                library: library.clone(),
                                distribution: "debian",
                            })?,
                    );
                }
                Choice::Vendored { .. } => {}
                Choice::Bundle { recipe: from, .. } => {
                    open.extend(project.recipes.get(from).map(|loaded| &loaded.recipe));
                }
            }
        }
    }
    Ok(wanted.into_iter().collect())
}

fn refuse_packages(
    project: &Project,
    loaded: &LoadedRecipe,
    base: &BaseImage,
) -> Result<(), BuildError> {
    let packages = wanted(project, &loaded.recipe)?;
    if packages.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = packages.iter().map(DistributionPackage::as_str).collect();
    Err(BuildError::NoArchive {
        recipe: loaded.recipe.name.clone(),
        packages: names.join(", "),
        base: base.name.clone(),
    })
}

fn locking(what: &str, error: LockBaseError) -> BuildError {
    match error {
        LockBaseError::Fetch(error) => BuildError::Fetch(error),
        other => BuildError::image(what)(other.into()),
    }
}

fn write<L: Lock>(shop: &Workshop<'_>, path: &std::path::Path, lock: &L) -> Result<(), BuildError> {
    let event = match publish(path, lock.encode().as_bytes())? {
        Publication::Written => Event::Locked { file: path },
        Publication::Unchanged => Event::LockUnchanged { file: path },
    };
    shop.report.tell(&event);
    Ok(())
}

/// Returns the lock of an assembled base image after comparing it with the base image's file; `None`
/// for a base image that needs none.
///
/// # Errors
/// `NotLocked` or `StaleLock`.
pub fn checked_base_lock(
    project: &Project,
    base: &BaseImage,
    architecture: Architecture,
) -> Result<Option<BaseLock>, BuildError> {
    let BaseOrigin::Archive(archive) = &base.origin else {
        return Ok(None);
    };
    let file = project.base_lock_path(&base.name, architecture);
    let Some(lock) = project.base_lock(&base.name, architecture)? else {
        return Err(BuildError::NotLocked { file });
    };
    if lock.base != base.name || lock.architecture != architecture {
        let reason = format!(
            "it is the lock of `{}` for {}",
            lock.base, lock.architecture
        );
        let site = None;
        return Err(BuildError::StaleLock { file, reason, site });
    }
    let keys = project.base_keys(base)?;
    if lock.request != base_request(archive, &keys, architecture) {
        let reason = format!("base image `{}` asks for something else now", base.name);
        let site = Some(Box::new(Site::base(
            &base.name,
            NodePath::top().key("archive"),
        )));
        return Err(BuildError::StaleLock { file, reason, site });
    }
    Ok(Some(lock))
}

/// Returns a recipe's lock after comparing it with the recipe and its base image.
///
/// # Errors
/// `NotLocked` or `StaleLock`, which says what changed.
pub fn checked_lock(
    project: &Project,
    loaded: &LoadedRecipe,
    architecture: Architecture,
) -> Result<RecipeLock, BuildError> {
    let base = &project.bases[&loaded.recipe.base];
    let base_lock = || Ok(checked_base_lock(project, base, architecture)?.map(Arc::new));
    checked_lock_over(project, loaded, architecture, base_lock)
}

/// Does the same with the compared lock of its base image from elsewhere.
pub(crate) fn checked_lock_over(
    project: &Project,
    loaded: &LoadedRecipe,
    architecture: Architecture,
    base_lock: impl FnOnce() -> Result<Option<Arc<BaseLock>>, BuildError>,
) -> Result<RecipeLock, BuildError> {
    let lock = project.recipe_lock(&loaded.recipe.name, architecture)?;
    checked(project, loaded, architecture, lock, base_lock)
}

/// Does the same with a lockfile that was read before.
pub(crate) fn checked(
    project: &Project,
    loaded: &LoadedRecipe,
    architecture: Architecture,
    lock: Option<RecipeLock>,
    base_lock: impl FnOnce() -> Result<Option<Arc<BaseLock>>, BuildError>,
) -> Result<RecipeLock, BuildError> {
    let recipe = &loaded.recipe;
    let file = project.recipe_lock_path(&recipe.name, architecture);
    let Some(lock) = lock else {
        return Err(BuildError::NotLocked { file });
    };
    let stale = |reason: String, path: Option<NodePath>| BuildError::StaleLock {
        file: file.clone(),
        reason,
        site: path.map(|path| Box::new(Site::recipe(&recipe.name, path))),
    };
    let base = &project.bases[&recipe.base];
    let base_lock = base_lock()?;
    let locked = base_lock.as_ref().map(|lock| lock.manifest);
    let Some(manifest) = base.pinned_manifest(architecture).or(locked) else {
        return Err(BuildError::NotLocked { file });
    };
    if lock.recipe != recipe.name || lock.architecture != architecture {
        let (of, architecture) = (&lock.recipe, lock.architecture);
        return Err(stale(
            format!("it is the lock of `{of}` for {architecture}"),
            None,
        ));
    }
    let top = NodePath::top;
    if lock.base != recipe.base || lock.base_manifest != manifest {
        let reason = format!(
            "it was made for another base image\n  expected  {manifest}\n  actual    {}",
            lock.base_manifest
        );
        // What was chosen on the command line stands in no file.
        let is_moved = project.moved.contains(&recipe.name);
        return Err(stale(reason, (!is_moved).then(|| top().key("base"))));
    }
    if let Some(path) = changed_source(recipe, &lock) {
        return Err(stale(
            "the recipe has other sources now".to_owned(),
            Some(path),
        ));
    }
    let wanted = wanted(project, recipe)?;
    let is_fresh = match (&lock.tools, &base.origin) {
        (Some(tools), BaseOrigin::Archive(archive)) => {
            tools.request == tools_request(archive, &wanted)
        }
        (Some(_), BaseOrigin::Layout { .. } | BaseOrigin::Image { .. }) => false,
        (None, _) => wanted.iter().all(|name| {
            base_lock
                .as_ref()
                .is_some_and(|lock| has_package(lock, name))
        }),
    };
    if !is_fresh {
        return Err(stale(
            "the recipe needs other distribution packages now".to_owned(),
            Some(top().key("tools")),
        ));
    }
    Ok(lock)
}

/// Returns the way to the first source that is not as it was locked.
fn changed_source(recipe: &Recipe, lock: &RecipeLock) -> Option<NodePath> {
    for (index, source) in recipe.declared.iter().enumerate() {
        let difference = match lock.sources.get(index) {
            Some(locked) => source.difference(locked),
            None => Some(source.node_path()),
        };
        if difference.is_some() {
            return difference;
        }
    }
    let sources = NodePath::top().key("sources");
    (recipe.declared.len() < lock.sources.len()).then_some(sources)
}

fn has_package(lock: &BaseLock, name: &DistributionPackage) -> bool {
    lock.packages.iter().any(|package| package.name == *name)
}
