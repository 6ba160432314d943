//! `bundle`: export and import of a bundle, beside `cp` of the same bytes; and `unpack`: its base image,
//! beside `umoci unpack` of the same image.
//!
//! Ours reads, hashes and writes every byte and waits for the disk, twice for an import's documents. Theirs
//! is `cp` and `sync` of the one file that comes out: no hash, no second look, but the same wait.
//!
//! Unpacking starts with a store that has the layer's blob and no tree, and is what `kiln fetch` does then: the
//! layer's digest is checked, the tree is sealed, and the disk has it. `umoci unpack` writes the same files
//! into a runtime bundle and an mtree manifest of them, and does not wait for the disk.

use std::path::Path;

use kiln_model::RecipeName;
use kiln_store::Store;

use crate::command::{command, need, run, run_watched};
use crate::error::BenchError;
use crate::figure::{Figure, in_turn};
use crate::rows::base::plain_recipe;
use crate::seed::{Seed, set_aside};
use crate::setting::{Setting, memory, ratio};

/// Measures export and import.
pub fn measure(setting: &Setting) -> Result<Vec<Figure>, BenchError> {
    let recipe = plain_recipe(setting, &setting.base_lock()?)?;
    let folder = setting.folder("bundle")?;
    bundle(setting, &recipe, &folder)
}

/// Measures unpacking.
pub fn measure_unpacking(setting: &Setting) -> Result<Vec<Figure>, BenchError> {
    need("umoci", "umoci")?;
    let recipe = plain_recipe(setting, &setting.base_lock()?)?;
    let folder = setting.folder("unpack")?;
    Ok(vec![unpack(setting, &recipe, &folder)?])
}

fn bundle(
    setting: &Setting,
    recipe: &RecipeName,
    folder: &Path,
) -> Result<Vec<Figure>, BenchError> {
    let seed = setting.seed(std::slice::from_ref(recipe))?;
    let (store, out) = (folder.join("store"), folder.join("out"));
    seed.plant(&setting.store, &store)?;
    let (file, copy) = (folder.join("bundle.tar"), folder.join("copy.tar"));
    let root = &setting.project.root;
    let export = || {
        set_aside(&file)?;
        let mut kiln = setting.kiln(root, &store, &out);
        run_watched(
            kiln.args(["bundle", "export"])
                .arg(&file)
                .arg(recipe.as_str()),
        )
    };
    let mut copying = || {
        set_aside(&copy)?;
        let mut cp = command("sh");
        cp.args(["-c", "cp \"$1\" \"$2\" && sync \"$2\"", "sh"]);
        run(cp.arg(&file).arg(&copy)).map(|used| used.elapsed)
    };
    // Everything is in memory from here on, for both.
    export()?;
    let mut memories = [0; 2];
    let runs = setting.slow_runs;
    let exported = in_turn(
        runs,
        || {
            let used = export()?;
            memories[0] = memories[0].max(used.memory);
            Ok(used.elapsed)
        },
        &mut copying,
    )?;
    let target = folder.join("imported");
    let imported = in_turn(
        runs,
        || {
            set_aside(&target)?;
            let mut kiln = setting.kiln(root, &target, &out);
            let used = run_watched(kiln.args(["bundle", "import"]).arg(&file))?;
            memories[1] = memories[1].max(used.memory);
            Ok(used.elapsed)
        },
        &mut copying,
    )?;
    let size = file.metadata()?.len() >> 20;
    let figure = |what: &str, pair| {
        let what = format!("{what} of a bundle of {size} MiB");
        ratio("bundle", &what, "cp and sync of the file", pair, runs, 1.3)
    };
    Ok(vec![
        figure("export", exported),
        figure("import", imported),
        memory(
            "bundle",
            "peak memory of kiln in the export",
            memories[0],
            runs,
            150.0,
        ),
        memory(
            "bundle",
            "peak memory of kiln in the import",
            memories[1],
            runs,
            150.0,
        ),
    ])
}

fn unpack(setting: &Setting, recipe: &RecipeName, folder: &Path) -> Result<Figure, BenchError> {
    let base = setting.base_lock()?;
    let seed = Seed {
        trees: Vec::new(),
        ..setting.seed(std::slice::from_ref(recipe))?
    };
    // umoci writes into the layouts that it reads.
    let layout = folder.join("layout");
    seed.plant(&setting.store, &layout)?;
    let named = Store::open(&layout).and_then(|store| {
        let size = store.blob_size(&base.manifest.0)?;
        store.record_image("base", &base.manifest, size)
    });
    named.map_err(|error| BenchError::kiln("layout")(&error))?;
    let (store, out) = (folder.join("packed"), folder.join("out"));
    let target = folder.join("unpacked");
    let runs = setting.slow_runs;
    let pair = in_turn(
        runs,
        || {
            set_aside(&store)?;
            seed.plant(&setting.store, &store)?;
            let mut kiln = setting.kiln(&setting.project.root, &store, &out);
            run(kiln.arg("fetch").arg(recipe.as_str())).map(|used| used.elapsed)
        },
        || {
            set_aside(&target)?;
            let mut umoci = command("umoci");
            umoci.arg("unpack");
            if !rustix::process::geteuid().is_root() {
                umoci.arg("--rootless");
            }
            umoci
                .arg("--image")
                .arg(format!("{}:base", layout.display()));
            run(umoci.arg(&target)).map(|used| used.elapsed)
        },
    )?;
    let what = "unpacking the base image's layer";
    Ok(ratio("unpack", what, "umoci unpack", pair, runs, 0.5))
}
