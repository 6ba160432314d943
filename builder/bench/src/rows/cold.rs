//! `cold`: curl and the libraries that it carries, sealed, beside the same commands outside.
//!
//! Ours is `kiln build curl` from a store that has the sources and the unpacked base image and nothing
//! else, of a project in which curl's recipe has no `packages`, so that it ends with the last step,
//! tests included. Theirs runs the same scripts with the same environment, the same number of jobs and
//! the same libraries side by side, in a plain copy of the same root file system (`chroot`), so that
//! compiler, shell and make are the same programs; `tar` unpacks the sources. What kiln does more, and
//! what the ratio therefore shows: fresh namespaces and an overlay per step, the log, reading, hashing
//! and storing what was installed and the source tree, and waiting for the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use kiln_build::{Graph, NodeId, Project, StepName, environment, step_script};
use kiln_model::{Recipe, RecipeName};

use crate::command::{chrooted, command, need, run, run_watched};
use crate::error::BenchError;
use crate::figure::{Figure, Goal, Pair, in_turn, processor_time};
use crate::seed::{Seed, copy_files, remove};
use crate::setting::{Setting, memory, ratio, seconds};

/// What it is measured beside.
const PEER: &str = "the same scripts in a chroot";
/// Builds side by side, as in kiln.
const SIDE_BY_SIDE: usize = 2;

/// Measures it.
pub fn measure(setting: &Setting) -> Result<Vec<Figure>, BenchError> {
    need("unshare", "util-linux")?;
    need("tar", "tar")?;
    let recipe = setting.cold_recipe.as_str();
    if !setting.project.recipes.contains_key(&setting.cold_recipe) {
        return Err(BenchError::skipped(format!("no recipe `{recipe}`")));
    }
    let folder = setting.folder("cold")?;
    let project = without_packages(setting, &folder.join("project"))?;
    let graph = Graph::new(&project, std::slice::from_ref(&setting.cold_recipe))
        .map_err(|error| BenchError::kiln("the copied project")(&error))?;
    let names: Vec<RecipeName> = graph.order.iter().map(|n| n.recipe.clone()).collect();
    let seed = setting.seed(&names)?;
    let store = folder.join("store");
    let mut most_memory = 0;
    let (mut ours, mut theirs) = (Duration::MAX, Duration::MAX);
    let pair = in_turn(
        setting.slow_runs,
        || {
            remove(&store)?;
            remove(&folder.join("out"))?;
            seed.plant(&setting.store, &store)?;
            let mut kiln = setting.kiln(&project.root, &store, &folder.join("out"));
            let before = processor_time();
            let used = run_watched(kiln.args(["build", recipe]))?;
            ours = ours.min(processor_time() - before);
            most_memory = most_memory.max(used.memory);
            Ok(used.elapsed)
        },
        || {
            let outside = Outside::prepare(setting, &seed, &project, &folder.join("outside"))?;
            let before = processor_time();
            let elapsed = outside.build_all(&graph)?;
            theirs = theirs.min(processor_time() - before);
            outside.remove()?;
            Ok(elapsed)
        },
    )?;
    // The libraries are there; curl itself is built again for /usr, and packaged.
    let mut kiln = setting.kiln(&setting.project.root, &store, &folder.join("out"));
    let packaged = run_watched(kiln.args(["build", recipe]))?;
    let names: Vec<&str> = names.iter().map(RecipeName::as_str).collect();
    let what = format!("cold build of {}, up to the last step", names.join(", "));
    let runs = setting.slow_runs;
    let whole = format!("then `kiln build {recipe}` itself, with packages, SBOMs and provenance");
    Ok(vec![
        ratio("cold", &what, PEER, pair, runs, 1.03),
        Figure {
            goal: Goal::None,
            ..ratio(
                "cold",
                "processor time of the same",
                PEER,
                Pair { ours, theirs },
                runs,
                0.0,
            )
        },
        memory(
            "cold",
            "peak memory of the kiln process in it",
            most_memory,
            runs,
            150.0,
        ),
        seconds("cold", &whole, packaged.elapsed, 1, Goal::None),
        memory(
            "cold",
            "peak memory of the kiln process in that",
            packaged.memory,
            1,
            150.0,
        ),
    ])
}

/// Copies the project without what makes the recipe a product.
fn without_packages(setting: &Setting, to: &Path) -> Result<Project, BenchError> {
    fs_err::create_dir_all(to)?;
    let root = &setting.project.root;
    for folder in ["recipes", "base-images", "lockfiles"] {
        copy_files(&root.join(folder), &to.join(folder))?;
    }
    let recipe = to
        .join("recipes")
        .join(setting.cold_recipe.as_str())
        .join("recipe.yaml");
    let text = fs_err::read_to_string(&recipe)?;
    fs_err::write(&recipe, without_keys(&text, &["packages", "changelog"]))?;
    let root = fs_err::canonicalize(to)?;
    Project::load(&root).map_err(|errors| {
        let errors: Vec<String> = errors.errors.iter().map(ToString::to_string).collect();
        BenchError::kiln("the copied project")(&errors.join("; "))
    })
}

/// Leaves out top-level keys of a YAML text, with everything below them.
fn without_keys(text: &str, keys: &[&str]) -> String {
    let mut is_left_out = false;
    let mut kept = String::new();
    for line in text.lines() {
        let is_top = line.starts_with(|c: char| c.is_ascii_alphabetic());
        if is_top {
            let key = line.split(':').next().unwrap_or_default();
            is_left_out = keys.contains(&key);
        }
        if !is_left_out {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

/// The same builds without kiln.
struct Outside<'a> {
    setting: &'a Setting,
    project: &'a Project,
    folder: PathBuf,
    /// A plain copy of the root file system.
    root: PathBuf,
}

impl<'a> Outside<'a> {
    fn prepare(
        setting: &'a Setting,
        seed: &Seed,
        project: &'a Project,
        folder: &Path,
    ) -> Result<Self, BenchError> {
        remove(folder)?;
        let root = folder.join("root");
        fs_err::create_dir_all(&root)?;
        let base = setting.base_lock()?.layer.0;
        // The base first: a recipe's tools go over it.
        let tools = seed.trees.iter().filter(|tree| **tree != base);
        for tree in std::iter::once(&base).chain(tools) {
            let from = setting.store.join("trees").join(tree.to_hex());
            copy_files(&from.join("root"), &root)?;
        }
        for mount in ["build", "proc", "dev", "tmp"] {
            fs_err::create_dir_all(root.join(mount))?;
        }
        Ok(Self {
            setting,
            project,
            folder: folder.to_owned(),
            root,
        })
    }

    fn remove(&self) -> Result<(), BenchError> {
        remove(&self.folder)
    }

    /// Builds every node, side by side what does not need each other.
    fn build_all(&self, graph: &Graph) -> Result<Duration, BenchError> {
        let began = Instant::now();
        let mut waiting: Vec<&NodeId> = graph.order.iter().collect();
        let mut done: Vec<&NodeId> = Vec::new();
        while !waiting.is_empty() {
            let is_ready = |node: &&&NodeId| {
                let mut needs = graph.edges[**node].iter().map(|edge| &edge.node);
                needs.all(|needed| done.contains(&needed))
            };
            let now: Vec<&NodeId> = waiting
                .iter()
                .filter(is_ready)
                .take(SIDE_BY_SIDE)
                .copied()
                .collect();
            std::thread::scope(|scope| {
                let threads: Vec<_> = now
                    .iter()
                    .map(|node| scope.spawn(|| self.build(node)))
                    .collect();
                threads.into_iter().try_for_each(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
            })?;
            for node in now {
                copy_files(&self.node_folder(node).join("destdir"), &self.root)?;
                waiting.retain(|other| *other != node);
                done.push(node);
            }
        }
        Ok(began.elapsed())
    }

    fn node_folder(&self, node: &NodeId) -> PathBuf {
        self.folder.join("build").join(node.recipe.as_str())
    }

    /// Builds one node in a folder of its own, which is `/build` for its commands.
    fn build(&self, node: &NodeId) -> Result<(), BenchError> {
        let loaded = &self.project.recipes[&node.recipe];
        let recipe = &loaded.recipe;
        let folder = self.node_folder(node);
        for below in ["destdir", "home", "patches"] {
            fs_err::create_dir_all(folder.join(below))?;
        }
        self.unpack(recipe, &folder)?;
        for (number, patch) in recipe.patches.iter().enumerate() {
            let bytes = fs_err::read(loaded.folder.join(&patch.file))?;
            fs_err::write(folder.join(format!("patches/{number}.patch")), bytes)?;
        }
        let mut variables = environment(recipe, node);
        variables.insert("KILN_JOBS".to_owned(), self.setting.jobs.to_string());
        for step in StepName::ALL {
            if let Some(script) = step_script(recipe, step) {
                run(&mut self.step(recipe, &folder, &variables, &script))?;
            }
        }
        Ok(())
    }

    fn unpack(&self, recipe: &Recipe, folder: &Path) -> Result<(), BenchError> {
        for (number, source) in recipe.planned().sources.iter().enumerate() {
            let below = if number == 0 {
                recipe.source_folder()
            } else {
                source.folder().to_owned()
            };
            let target = folder.join("src").join(below);
            fs_err::create_dir_all(&target)?;
            let archive = self.setting.store.join("blobs/sha256");
            let mut tar = command("tar");
            tar.arg("--extract").arg("--strip-components=1");
            tar.arg("--file").arg(archive.join(source.sha256.to_hex()));
            run(tar.arg("--directory").arg(target))?;
        }
        Ok(())
    }

    /// Returns the command of one step.
    fn step(
        &self,
        recipe: &Recipe,
        folder: &Path,
        variables: &BTreeMap<String, String>,
        script: &str,
    ) -> Command {
        let source = format!("/build/src/{}", recipe.source_folder());
        let mut step = chrooted(&self.root, folder, &source, variables);
        step.args(["/bin/sh", "-c", script]);
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_left_out_with_what_is_below_them() {
        let text = "schema: 1\npackages:\n  - name: x\n    files:\n      - /usr/**\nsteps:\n  use: \
                    make\nchangelog:\n  - date: 2024-01-01\n";
        assert_eq!(
            without_keys(text, &["packages", "changelog"]),
            "schema: 1\nsteps:\n  use: make\n"
        );
    }
}
