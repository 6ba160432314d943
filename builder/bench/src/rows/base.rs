//! `base`: the base image from packages that are there already, beside mmdebstrap.
//!
//! Ours starts with a store that has every pinned `.deb` and nothing of the image, and ends with the
//! image: it checks each package's digest, writes the layer as one sorted tar, hashes that, unpacks it
//! and waits for the disk. Theirs is `mmdebstrap --variant=extract` of
//! the same packages from a local archive (`copy:`) of the same files: apt reads its index, copies the
//! packages into its cache, and they are unpacked into a folder. It neither leaves documentation out, as ours does, which would
//! cost it a filter, nor writes an archive, nor waits for the disk.

use std::path::Path;

use kiln_model::{BaseLock, RecipeName};

use crate::command::{command, need, run, run_watched};
use crate::error::BenchError;
use crate::figure::{Figure, in_turn};
use crate::seed::{Seed, set_aside};
use crate::setting::{ARCHITECTURE, Setting, memory, ratio};

/// Measures it.
pub fn measure(setting: &Setting) -> Result<Vec<Figure>, BenchError> {
    need("mmdebstrap", "mmdebstrap")?;
    need("dpkg-scanpackages", "dpkg-dev")?;
    let lock = setting.base_lock()?;
    let recipe = plain_recipe(setting, &lock)?;
    let folder = setting.folder("base")?;
    let archive = folder.join("archive");
    let names = local_archive(setting, &lock, &archive)?;
    let mut seed = Seed {
        blobs: lock.packages.iter().map(|package| package.sha256).collect(),
        trees: Vec::new(),
    };
    let sources = &setting.project.recipes[&recipe].recipe.planned().sources;
    seed.blobs
        .extend(sources.iter().map(|source| source.sha256));
    let mut most_memory = 0;
    let runs = setting.slow_runs;
    let pair = in_turn(
        runs,
        || {
            let store = folder.join("store");
            set_aside(&store)?;
            seed.plant(&setting.store, &store)?;
            let root = &setting.project.root;
            let mut kiln = setting.kiln(root, &store, &folder.join("out"));
            let used = run_watched(kiln.arg("fetch").arg(recipe.as_str()))?;
            most_memory = most_memory.max(used.memory);
            Ok(used.elapsed)
        },
        || {
            let target = folder.join("root");
            set_aside(&target)?;
            let mut mmdebstrap = command("mmdebstrap");
            mmdebstrap.args(["--quiet", "--variant=extract"]);
            mmdebstrap.args(["--aptopt=Acquire::Languages \"none\""]);
            mmdebstrap.arg(format!("--include={names}"));
            mmdebstrap.arg(&lock.archive.suite).arg(&target);
            mmdebstrap.arg(format!("deb [trusted=yes] copy://{} ./", archive.display()));
            run(&mut mmdebstrap).map(|used| used.elapsed)
        },
    )?;
    let what = format!("base image of {} fetched packages", lock.packages.len());
    let peer = "mmdebstrap --variant=extract";
    Ok(vec![
        ratio("base", &what, peer, pair, runs, 0.5),
        memory(
            "base",
            "peak memory of the kiln process in it",
            most_memory,
            runs,
            150.0,
        ),
    ])
}

/// Returns a recipe that adds nothing to the base image.
pub(crate) fn plain_recipe(setting: &Setting, lock: &BaseLock) -> Result<RecipeName, BenchError> {
    let mut names = setting.project.recipes.keys().filter(|name| {
        let recipe_lock = setting.project.recipe_lock(name, ARCHITECTURE);
        let recipe = &setting.project.recipes[*name].recipe;
        let is_plain = recipe_lock.is_ok_and(|lock| lock.is_some_and(|lock| lock.tools.is_none()));
        is_plain && recipe.base == lock.base && recipe.bundled().next().is_none()
    });
    names
        .next()
        .cloned()
        .ok_or_else(|| BenchError::skipped("every recipe adds packages to the base image"))
}

/// Makes an archive of the packages that apt can read, and returns their names, as mmdebstrap takes
/// them.
fn local_archive(setting: &Setting, lock: &BaseLock, folder: &Path) -> Result<String, BenchError> {
    fs_err::create_dir_all(folder)?;
    for package in &lock.packages {
        let blob = setting.store.join("blobs/sha256");
        let blob = blob.join(package.sha256.to_hex());
        let file = package.path.rsplit('/').next().unwrap_or_default();
        if !blob.is_file() {
            return Err(BenchError::skipped(format!(
                "the store lacks `{file}`; run `make rpms` first"
            )));
        }
        if fs_err::hard_link(&blob, folder.join(file)).is_err() {
            fs_err::copy(&blob, folder.join(file))?;
        }
    }
    let index = "cd \"$1\" && dpkg-scanpackages --multiversion . > Packages";
    run(command("sh").args(["-c", index, "sh"]).arg(folder))?;
    let names: Vec<String> = lock.packages.iter().map(|p| p.name.to_string()).collect();
    Ok(names.join(","))
}
