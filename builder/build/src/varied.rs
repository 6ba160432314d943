//! What a rebuild elsewhere needs: the inputs of some recipes in a store of their own, a look from
//! inside a sandbox, and what came out.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use kiln_image::image_layers;
use kiln_model::{Architecture, DiffId, Digest, Mount, MountAccess, RecipeName, StepEnd, StepUser};
use kiln_rpm::ElfEvidence;
use kiln_store::Store;
use walkdir::WalkDir;

use crate::error::BuildError;
use crate::folder::{create_folders, write_file};
use crate::graph::{Graph, NodeId};
use crate::input::{MissingInput, layer_inputs, own_input};
use crate::lock::{checked_base_lock, checked_lock};
use crate::plan::Plan;
use crate::project::Project;
use crate::script::{BUILD_ROOT, fixed_environment};
use crate::unpinned::refuse_unpinned;
use crate::workshop::Workshop;

/// Gives the store in the folder `to` every input of `names`: sources, and the layers of root file
/// systems or the packages that they are made of. What was built is not among them. Returns what the
/// other store lacks, by digest.
///
/// A blob that can have another name gets one; otherwise it is copied. It is verified when it is used,
/// as every blob is.
///
/// # Errors
/// Missing or stale lockfiles, or as the system refuses. A missing blob is none.
pub fn seed_inputs(
    project: &Project,
    names: &[RecipeName],
    architecture: Architecture,
    (from, to): (&Store, &Path),
) -> Result<Vec<MissingInput>, BuildError> {
    let target = Store::open(to)?;
    let mut missing = Vec::new();
    for input in inputs(project, names, architecture, from)?.into_values() {
        if !from.contains(&input.digest) {
            missing.push(input);
            continue;
        }
        let (source, place) = (
            from.blob_path(&input.digest),
            target.blob_path(&input.digest),
        );
        if !target.contains(&input.digest) && fs_err::hard_link(&source, &place).is_err() {
            fs_err::copy(&source, &place)?;
        }
    }
    Ok(missing)
}

/// Returns every input, with what it is.
pub(crate) fn inputs(
    project: &Project,
    names: &[RecipeName],
    architecture: Architecture,
    from: &Store,
) -> Result<BTreeMap<Digest, MissingInput>, BuildError> {
    let graph = Graph::new(project, names)?;
    refuse_unpinned(project, &graph)?;
    let recipes: BTreeSet<&RecipeName> = graph.order.iter().map(|node| &node.recipe).collect();
    let mut inputs = Vec::new();
    for name in recipes {
        let loaded = &project.recipes[name];
        let lock = checked_lock(project, loaded, architecture)?;
        inputs.extend(loaded.recipe.planned().sources.iter().map(|source| {
            let what = format!("source {} of {name}", source.url.file_name());
            own_input(what, source.sha256)
        }));
        if let Some(tools) = &lock.tools {
            inputs.extend(layer_inputs(from, tools.layer, &tools.packages));
        }
        let base = &project.bases[&loaded.recipe.base];
        if let Some(lock) = checked_base_lock(project, base, architecture)? {
            inputs.extend(layer_inputs(from, lock.layer, &lock.packages));
        }
        if let Some(manifest) = base.pinned_manifest(architecture) {
            let what = format!("manifest of base image {}", base.name);
            inputs.push(own_input(what, manifest.0));
            inputs.extend(image_blobs(from, &manifest, base.name.as_str())?);
        }
    }
    let by_digest = inputs.into_iter().map(|input| (input.digest, input));
    Ok(by_digest.collect())
}

/// Returns the blobs of an image whose manifest is in the store.
fn image_blobs(
    from: &Store,
    manifest: &kiln_model::ManifestDigest,
    base: &str,
) -> Result<Vec<MissingInput>, BuildError> {
    if !from.contains(&manifest.0) {
        return Ok(Vec::new());
    }
    let config = image_config(from, manifest, &format!("base image {base}"))?;
    let layers = image_layers(from, manifest).map_err(|e| BuildError::image(base)(e.into()))?;
    let layers = layers.into_iter();
    let layers = layers.map(|layer| own_input(format!("layer of base image {base}"), layer.0));
    Ok(layers.chain(config).collect())
}

/// Returns the configuration of an image called `what`, if its manifest is in the store.
pub(crate) fn image_config(
    from: &Store,
    manifest: &kiln_model::ManifestDigest,
    what: &str,
) -> Result<Option<MissingInput>, BuildError> {
    if !from.contains(&manifest.0) {
        return Ok(None);
    }
    let bytes = from.read_blob(&manifest.0)?;
    let text: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let named = text["config"]["digest"].as_str();
    let digest = named.and_then(|text| text.parse().ok());
    Ok(digest.map(|digest: Digest| own_input(format!("configuration of {what}"), digest)))
}

/// A script in a sandbox, as the steps of a recipe are sealed.
#[derive(Debug, Clone, Copy)]
pub struct SealedProbe<'a> {
    /// On whose root file system.
    pub recipe: &'a RecipeName,
    /// A script of `/bin/sh`; it starts in `/build`.
    pub script: &'a str,
    /// A file that it finds in `/build`: name and content.
    pub given: Option<(&'a str, &'a str)>,
    /// The file that it leaves in `/build`.
    pub wanted: Option<&'a str>,
}

/// What a script in a sandbox came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probed {
    /// What it printed.
    pub said: String,
    /// The wanted file, if it is there and no larger than a few MiB.
    pub file: Option<Vec<u8>>,
}

/// Largest file that a probe may leave, in bytes.
const LARGEST_FILE: u64 = 4 << 20;

/// Runs a script as the steps of a recipe are run.
///
/// # Errors
/// As building fails; `Cancelled`.
pub fn run_probe(shop: &Workshop<'_>, probe: SealedProbe<'_>) -> Result<Probed, BuildError> {
    let recipe = &shop.project.recipes[probe.recipe].recipe;
    let lower = lower_of(shop, probe.recipe)?;
    let scratch = shop.store.scratch()?;
    let build = scratch.path().join("build");
    create_folders(&build, "home")?;
    if let Some((name, content)) = probe.given {
        write_file(&build, name, content.as_bytes())?;
    }
    let mut environment = fixed_environment(recipe.planned().source_date, StepUser::Build.home());
    environment.insert("KILN_JOBS".to_owned(), shop.jobs.to_string());
    let root = || BUILD_ROOT.parse().expect("a constant path");
    let step = kiln_model::SealedStep {
        label: format!("{}: probe", probe.recipe),
        rootfs: lower,
        mounts: vec![Mount {
            source: build.clone(),
            target: root(),
            access: MountAccess::ReadWrite,
        }],
        command: ["/bin/sh", "-c", probe.script].map(str::to_owned).to_vec(),
        environment,
        working_directory: root(),
        user: StepUser::Build,
        limits: shop.limits(),
    };
    let mut said = Vec::new();
    let outcome = shop.engine.run(&step, &mut said, shop.cancel)?;
    let said = String::from_utf8_lossy(&said).into_owned();
    match outcome.end {
        StepEnd::Exited(_) => Ok(Probed {
            said,
            file: probe.wanted.and_then(|name| small_file(&build.join(name))),
        }),
        StepEnd::Cancelled => Err(BuildError::Cancelled),
        end => Err(BuildError::Probe { end, said }),
    }
}

/// Reads what a step left, if it is a plain file of bearable size.
fn small_file(path: &Path) -> Option<Vec<u8>> {
    let found = path.symlink_metadata().ok()?;
    let is_fit = found.is_file() && found.len() <= LARGEST_FILE;
    is_fit.then(|| fs_err::read(path).ok()).flatten()
}

/// Returns the trees of a recipe's root file system, the base image's last.
fn lower_of(shop: &Workshop<'_>, recipe: &RecipeName) -> Result<Vec<PathBuf>, BuildError> {
    let plan = Plan::new(
        shop,
        Graph::new(shop.project, std::slice::from_ref(recipe))?,
    )?;
    let mut rootfs = plan.rootfs.iter();
    let own = rootfs.find(|(node, _)| node.recipe == *recipe);
    Ok(own
        .map(|(_, rootfs)| rootfs.lower(shop))
        .transpose()?
        .unwrap_or_default())
}

/// Returns the trees of the base images of some recipes and of what they bundle, each with a recipe
/// that is built on it.
///
/// # Errors
/// As the root file systems can not be had.
pub fn base_trees(
    shop: &Workshop<'_>,
    names: &[RecipeName],
) -> Result<BTreeMap<PathBuf, RecipeName>, BuildError> {
    let plan = Plan::new(shop, Graph::new(shop.project, names)?)?;
    let mut trees = BTreeMap::new();
    let mut bases = BTreeSet::new();
    for node in &plan.graph.order {
        if bases.insert(&shop.project.recipes[&node.recipe].recipe.base)
            && let Some(tree) = plan.rootfs[node].lower(shop)?.pop()
        {
            trees.insert(tree, node.recipe.clone());
        }
    }
    Ok(trees)
}

/// Returns the programs of some recipes' root file systems that nothing can be preloaded into.
///
/// # Errors
/// As the root file systems can not be had.
pub fn static_programs_of(
    shop: &Workshop<'_>,
    names: &[RecipeName],
) -> Result<Vec<String>, BuildError> {
    let plan = Plan::new(shop, Graph::new(shop.project, names)?)?;
    let mut trees = BTreeSet::new();
    for rootfs in plan.rootfs.values() {
        trees.extend(rootfs.lower(shop)?);
    }
    let mut programs = BTreeSet::new();
    for tree in &trees {
        programs.extend(static_programs(tree)?);
    }
    Ok(programs.into_iter().collect())
}

/// Folders of a root file system in which programs are.
const PROGRAM_FOLDERS: [&str; 5] = ["usr/bin", "usr/sbin", "usr/lib", "usr/libexec", "usr/local"];

/// Returns the programs of a tree without a dynamic linker, by their absolute paths inside.
fn static_programs(tree: &Path) -> Result<Vec<String>, BuildError> {
    let folders = PROGRAM_FOLDERS.map(|folder| tree.join(folder));
    let mut programs = Vec::new();
    for folder in folders.iter().filter(|folder| folder.is_dir()) {
        for entry in WalkDir::new(folder).sort_by_file_name() {
            let entry = entry.map_err(std::io::Error::from)?;
            let metadata = entry.metadata().map_err(std::io::Error::from)?;
            let is_program = metadata.is_file() && metadata.mode() & 0o111 != 0;
            if is_program && is_static_program(&fs_err::read(entry.path())?) {
                let inside = entry.path().strip_prefix(tree).unwrap_or(entry.path());
                programs.push(format!("/{}", inside.display()));
            }
        }
    }
    Ok(programs)
}

/// What is no ELF file, or none that can be read, is no program that a clock could miss.
fn is_static_program(bytes: &[u8]) -> bool {
    let elf = ElfEvidence::read(bytes).ok().flatten();
    elf.is_some_and(|elf| elf.is_executable() && elf.is_static())
}

/// Returns what each node of `names` installs, as far as the store has it.
///
/// # Errors
/// Missing or stale lockfiles, or a store that can not be read.
pub fn destdirs(
    shop: &Workshop<'_>,
    names: &[RecipeName],
) -> Result<BTreeMap<NodeId, DiffId>, BuildError> {
    let plan = Plan::new(shop, Graph::new(shop.project, names)?)?;
    let found = plan.graph.order.iter();
    let found = found.filter_map(|node| Some((node.clone(), plan.destdir(node)?)));
    Ok(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elf(kind: u16, headers: &[u32]) -> Vec<u8> {
        let mut file = vec![0; 64];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        (file[18], file[20], file[52]) = (62, 1, 64);
        file[16..18].copy_from_slice(&kind.to_le_bytes());
        file[32] = 64;
        file[54] = 56;
        file[56] = u8::try_from(headers.len()).unwrap();
        for header in headers {
            let mut bytes = vec![0; 56];
            bytes[..4].copy_from_slice(&header.to_le_bytes());
            file.extend(bytes);
        }
        file
    }

    #[test]
    fn programs_without_an_interpreter_are_static() {
        for (file, expected) in [
            (elf(2, &[1, 1]), true),
            (elf(2, &[6, 3, 1]), false),
            (elf(3, &[6, 3, 1, 2]), false),
            (elf(3, &[1, 2]), false),
            (elf(1, &[]), false),
            (elf(2, &[1, 1])[..100].to_vec(), false),
            (b"#!/bin/sh\n".to_vec(), false),
            (Vec::new(), false),
        ] {
            assert_eq!(is_static_program(&file), expected, "{file:?}");
        }
    }
}
