//! Where a project's lockfiles are, and what is in them.
//!
//! ```text
//! lockfiles/<base>-<arch>.lock            a base image's
//! lockfiles/<recipe>-<arch>.lock          a recipe's, for the base image that it names
//! lockfiles/<base>/<recipe>-<arch>.lock   a recipe's, for another one
//! ```

use std::path::{Path, PathBuf};

use kiln_model::{
    Architecture, BaseLock, BaseName, Lock, LockError, Recipe, RecipeLock, RecipeName,
};

use super::{LoadedRecipe, Project, ProjectError, read_bounded, relative, sorted_entries};

/// The architecture whose lockfiles pin sources: these are the same for all.
pub(crate) const SOURCES_OF: Architecture = Architecture::X86_64;

/// Most bytes that are read of a lockfile.
const MAX_LOCK: u64 = 64 << 20;

/// Where lockfiles are, relative to the root.
const LOCKFILES: &str = "lockfiles";

fn lock_name(name: &str, architecture: Architecture) -> String {
    format!("{name}-{architecture}.lock")
}

impl Project {
    /// Returns where the lockfile of a base image lies.
    #[must_use]
    pub fn base_lock_path(&self, name: &BaseName, architecture: Architecture) -> PathBuf {
        let folder = self.root.join(LOCKFILES);
        folder.join(lock_name(name.as_str(), architecture))
    }

    /// Returns where the lockfile of a recipe lies: for another base image than its file names, in a
    /// folder of that one.
    #[must_use]
    pub fn recipe_lock_path(&self, name: &RecipeName, architecture: Architecture) -> PathBuf {
        let moved = self.recipes.get(name).filter(|_| self.moved.contains(name));
        self.lock_path_on(moved.map(|loaded| &loaded.recipe.base), name, architecture)
    }

    /// Returns where the lockfile of a recipe lies: for a base image that its file does not name, in a folder.
    fn lock_path_on(
        &self,
        other: Option<&BaseName>,
        name: &RecipeName,
        architecture: Architecture,
    ) -> PathBuf {
        let mut folder = self.root.join(LOCKFILES);
        folder.extend(other.map(BaseName::as_str));
        folder.join(lock_name(name.as_str(), architecture))
    }

    /// Returns the base image that has to be chosen so that `kiln lock` writes a lockfile: that of a
    /// recipe for another base image than its own, or of a base image that no recipe names.
    #[must_use]
    pub fn base_to_choose(&self, lock: &Path) -> Option<&BaseName> {
        let lock = lock.strip_prefix(self.root.join(LOCKFILES)).ok()?;
        let (first, rest) = (lock.iter().next()?, lock.iter().nth(1));
        if rest.is_some() {
            return self.bases.keys().find(|base| first == base.as_str());
        }
        let stem = first.to_str()?;
        let is_lock = |base: &&BaseName| {
            let rest = stem.strip_prefix(base.as_str());
            rest.is_some_and(|rest| {
                let rest = rest.strip_prefix('-').and_then(|r| r.strip_suffix(".lock"));
                rest.is_some_and(|architecture| architecture.parse::<Architecture>().is_ok())
            })
        };
        let base = self.bases.keys().find(is_lock)?;
        let is_named = |loaded: &LoadedRecipe| {
            loaded.recipe.base == *base && !self.moved.contains(&loaded.recipe.name)
        };
        (!self.recipes.values().any(is_named)).then_some(base)
    }

    /// Returns the base images for which there are lockfiles of recipes that name another one.
    #[must_use]
    pub fn bases_with_locks(&self) -> Vec<BaseName> {
        let folders = sorted_entries(&self.root.join(LOCKFILES)).into_iter();
        let names = folders
            .filter(|entry| entry.is_dir())
            .filter_map(|entry| entry.file_name()?.to_str()?.parse().ok());
        names.filter(|name| self.bases.contains_key(name)).collect()
    }

    /// Reads the lockfile of an assembled base image; `None` when there is none.
    ///
    /// # Errors
    /// `Io` or `Lock`.
    pub fn base_lock(
        &self,
        name: &BaseName,
        architecture: Architecture,
    ) -> Result<Option<BaseLock>, ProjectError> {
        self.read_lock(&self.base_lock_path(name, architecture))
    }

    /// Reads the lockfile of a recipe; `None` when there is none.
    ///
    /// # Errors
    /// `Io` or `Lock`.
    pub fn recipe_lock(
        &self,
        name: &RecipeName,
        architecture: Architecture,
    ) -> Result<Option<RecipeLock>, ProjectError> {
        self.read_lock(&self.recipe_lock_path(name, architecture))
    }

    /// Joins a recipe with what its lockfile has of its sources: that for the chosen base image, or else that
    /// for its own, since sources are the same on all. One that can not be read pins nothing; whoever builds
    /// or checks is told why.
    pub(super) fn pinned(&self, recipe: Recipe) -> Recipe {
        if !recipe.needs_lock_for_sources() {
            return recipe;
        }
        let path = |other: Option<&BaseName>| self.lock_path_on(other, &recipe.name, SOURCES_OF);
        let chosen = self.chosen_base.as_ref();
        let chosen = chosen.filter(|base| **base != recipe.base);
        let chosen = chosen.map(|base| path(Some(base)));
        let lock = chosen.filter(|path| path.exists());
        let lock = self.read_lock(&lock.unwrap_or_else(|| path(None)));
        recipe.pinned_by(lock.ok().flatten().as_ref())
    }

    fn read_lock<L: Lock>(&self, path: &Path) -> Result<Option<L>, ProjectError> {
        if !path.exists() {
            return Ok(None);
        }
        let text = String::from_utf8(read_bounded(path, MAX_LOCK)?);
        let text = text.map_err(|error| LockError::Syntax {
            reason: error.to_string(),
        });
        text.and_then(|text| L::parse(&text))
            .map(Some)
            .map_err(|error| ProjectError::Lock {
                file: relative(&self.root, path),
                error,
            })
    }
}
