//! What every row works with: the kiln that is measured, the project, a folder for scratch.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kiln_build::Project;
use kiln_model::{Architecture, BaseLock, Digest, RecipeName};

use crate::command::command;
use crate::error::BenchError;
use crate::figure::{Figure, Goal, Pair};
use crate::seed::Seed;

/// What every row works with.
#[derive(Debug)]
pub struct Setting {
    /// The kiln that is measured.
    pub kiln: PathBuf,
    /// The project whose recipes are built.
    pub project: Project,
    /// The store that `make rpms` filled.
    pub store: PathBuf,
    /// An empty folder on the store's file system.
    pub scratch: PathBuf,
    /// Pairs of quick commands; slow ones are run `slow_runs` times.
    pub runs: usize,
    /// Pairs of commands that take minutes.
    pub slow_runs: usize,
    /// Compilers at a time.
    pub jobs: usize,
    /// The recipe that the row `cold` builds.
    pub cold_recipe: RecipeName,
}

/// The architecture that is measured.
pub const ARCHITECTURE: Architecture = Architecture::X86_64;

impl Setting {
    /// Returns the measured kiln on a project, with a store and an `out/` of its own, offline.
    pub fn kiln(&self, project: &Path, store: &Path, out: &Path) -> Command {
        let mut kiln = command(&self.kiln);
        kiln.arg("--project").arg(project);
        kiln.arg("--store").arg(store).arg("--out").arg(out);
        kiln.args(["--offline", "--quiet", "--jobs"])
            .arg(self.jobs.to_string());
        kiln
    }

    /// Returns the lock of a base image that is assembled from packages.
    ///
    /// # Errors
    /// `Skipped` when there is none.
    pub fn base_lock(&self) -> Result<BaseLock, BenchError> {
        let mut locks = self.project.bases.keys().filter_map(|name| {
            let lock = self.project.base_lock(name, ARCHITECTURE);
            lock.ok().flatten()
        });
        locks.next().ok_or_else(|| {
            BenchError::skipped("the project has no base image assembled from packages")
        })
    }

    /// Returns what building `recipe` needs, with the base image put together already.
    ///
    /// # Errors
    /// A recipe without a lockfile, or a store that lacks the base image.
    pub fn seed(&self, recipes: &[RecipeName]) -> Result<Seed, BenchError> {
        let base = self.base_lock()?;
        let mut seed = Seed {
            blobs: vec![base.manifest.0, base.layer.0],
            trees: vec![base.layer.0],
        };
        seed.blobs.push(self.config_of(&base)?);
        for name in recipes {
            let lock = self.project.recipe_lock(name, ARCHITECTURE);
            let lock = lock.map_err(|error| BenchError::kiln("lockfile")(&error))?;
            let tools = lock.and_then(|lock| lock.tools);
            if let Some(tools) = tools {
                seed.blobs.push(tools.layer.0);
                seed.trees.push(tools.layer.0);
            }
            let recipe = &self.project.recipes[name].recipe;
            seed.blobs
                .extend(recipe.planned().sources.iter().map(|source| source.sha256));
        }
        for list in [&mut seed.blobs, &mut seed.trees] {
            list.sort();
            list.dedup();
        }
        Ok(seed)
    }

    /// Returns the digest of an image's configuration.
    fn config_of(&self, base: &BaseLock) -> Result<Digest, BenchError> {
        let path = self
            .store
            .join("blobs/sha256")
            .join(base.manifest.0.to_hex());
        let text = fs_err::read(&path).map_err(|_| {
            BenchError::skipped(format!(
                "no base image in `{}`; run `make rpms` first",
                self.store.display()
            ))
        })?;
        let manifest: serde_json::Value =
            serde_json::from_slice(&text).map_err(|error| BenchError::kiln("manifest")(&error))?;
        let digest = manifest["config"]["digest"].as_str().unwrap_or_default();
        digest
            .parse()
            .map_err(|error| BenchError::kiln("manifest")(&error))
    }

    /// Makes an empty folder below the scratch folder.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn folder(&self, name: &str) -> Result<PathBuf, BenchError> {
        let folder = self.scratch.join(name);
        crate::seed::remove(&folder)?;
        fs_err::create_dir_all(&folder)?;
        Ok(folder)
    }
}

/// Returns a figure of two times.
#[must_use]
pub fn ratio(row: &str, what: &str, peer: &str, pair: Pair, runs: usize, most: f64) -> Figure {
    Figure {
        row: row.to_owned(),
        what: what.to_owned(),
        ours: pair.ours.as_secs_f64(),
        peer: Some((peer.to_owned(), pair.theirs.as_secs_f64())),
        runs,
        goal: Goal::Ratio(most),
    }
}

/// Returns a figure of one time.
#[must_use]
pub fn seconds(row: &str, what: &str, ours: Duration, runs: usize, goal: Goal) -> Figure {
    Figure {
        row: row.to_owned(),
        what: what.to_owned(),
        ours: ours.as_secs_f64(),
        peer: None,
        runs,
        goal,
    }
}

/// Returns a figure of memory.
#[must_use]
pub fn memory(row: &str, what: &str, bytes: u64, runs: usize, most: f64) -> Figure {
    Figure {
        row: row.to_owned(),
        what: what.to_owned(),
        ours: bytes as f64 / 1024.0 / 1024.0,
        peer: None,
        runs,
        goal: Goal::Mebibytes(most),
    }
}
