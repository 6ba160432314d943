//! What a product's source package carries: the pinned archives and patches of the product and of
//! everything that it bundles, and what kiln makes itself.

use std::collections::BTreeSet;
use std::path::Path;

use kiln_image::{Inclusion, Stoppable, TreeTarRequest, UnpackLimits, write_tree_tar};
use kiln_model::recipe::Source;
use kiln_model::{Location, Recipe, RecipeName, SourceDateEpoch};
use kiln_rpm::{
    BuildRequirement, PatchFile, RebuildNode, RebuildSteps, SourceFile, SourcePackage, SpecInput,
    UnpackedSource, made_archive,
};

use crate::claim::claim_in;
use crate::compile::fetch_missing;
use crate::error::BuildError;
use crate::folder::{create_folders, set_mode, write_file};
use crate::graph::{NodeId, Prefix};
use crate::rhel::{TOOLCHAIN, system_libraries, tool_name};
use crate::script::{StepName, environment, rebuild_script};
use crate::stage::{Product, Stage, set_time};
use crate::workshop::Workshop;

/// A source package and where its files come from.
#[derive(Debug)]
pub(crate) struct Sources {
    pub(crate) package: SourcePackage,
    /// Recipe and number of each patch in `package`.
    patches: Vec<(RecipeName, usize)>,
}

impl Sources {
    /// Decides what the source package of a product carries. Reads nothing.
    ///
    /// # Errors
    /// `Spec` when something has a name that no spec can carry.
    pub(crate) fn new(
        shop: &Workshop<'_>,
        product: &Product<'_>,
        stage: &Stage,
        input: &SpecInput,
    ) -> Result<Self, BuildError> {
        let recipe = |node: &NodeId| &shop.project.recipes[&node.recipe].recipe;
        let made = made_archive(&input.name, &input.version, &input.release);
        let mut gathered = Gathered {
            names: [made.clone(), format!("{}.spec", input.name)].into(),
            ..Gathered::default()
        };
        let mut nodes = Vec::new();
        for node in product.nodes() {
            nodes.push(gathered.node(recipe(&node), product, &node)?);
        }
        // The product comes first among sources, and last to be built.
        nodes.rotate_left(1);
        let spec_error = |reason: String| BuildError::Spec {
            recipe: product.node.recipe.clone(),
            reason,
        };
        let carried = stage.carried().map(|path| {
            path.parse()
                .map_err(|error: kiln_rpm::SpecTextError| BuildError::PathRefused {
                    recipe: product.node.recipe.clone(),
                    rule: claim_in(recipe(product.node), path),
                    reason: error.to_string(),
                })
        });
        let carried = carried.collect::<Result<_, _>>()?;
        let requirements = requirements(product.nodes().iter().map(recipe)).map_err(spec_error)?;
        Ok(Self {
            package: SourcePackage {
                sources: gathered.sources,
                patches: gathered.patches,
                made: stage.has_made().then_some(made),
                requirements,
                nodes,
                carried,
            },
            patches: gathered.patch_origins,
        })
    }

    /// Writes everything into `folder`, with the one time that packages may show. `scratch` is a
    /// folder for what is written on the way.
    ///
    /// # Errors
    /// When a source can not be had, or is not what was pinned; `Io`; `Cancelled`.
    pub(crate) fn write(
        &self,
        shop: &Workshop<'_>,
        stage: &Stage,
        folder: &Path,
        scratch: &Path,
        epoch: SourceDateEpoch,
    ) -> Result<(), BuildError> {
        create_folders(folder, "")?;
        for node in &self.package.nodes {
            fetch_missing(shop, &shop.project.recipes[&node.recipe].recipe)?;
        }
        let is_stopped = || shop.cancel.is_cancelled();
        for source in &self.package.sources {
            let target = folder.join(&source.file);
            let blob = shop.store.open_blob(&source.sha256)?;
            let mut file = fs_err::File::create(&target)?;
            std::io::copy(&mut Stoppable::new(blob, &is_stopped), &mut file)?;
            set_mode(&target, 0o644)?;
            set_time(&target, epoch)?;
        }
        for (patch, (recipe, number)) in self.package.patches.iter().zip(&self.patches) {
            let loaded = &shop.project.recipes[recipe];
            let bytes = loaded.read_patch(&loaded.recipe.patches[*number])?;
            write_file(folder, &patch.file, &bytes)?;
            set_time(&folder.join(&patch.file), epoch)?;
        }
        if let Some(made) = &self.package.made {
            let files = scratch.join("made");
            stage.write_made(&files)?;
            pack_made(&files, folder, made, epoch)?;
        }
        Ok(())
    }
}

/// Writes the canonical tar of what kiln made, `name` in `folder`.
pub(crate) fn pack_made(
    files: &Path,
    folder: &Path,
    name: &str,
    epoch: SourceDateEpoch,
) -> Result<(), BuildError> {
    create_folders(folder, "")?;
    let target = folder.join(name);
    let mut archive = fs_err::File::create(&target)?;
    let request = TreeTarRequest {
        folder: files,
        below: "",
        epoch,
        filter: &|_| Inclusion::Include,
        limits: UnpackLimits::LAYER,
    };
    write_tree_tar(&request, &mut archive)
        .map_err(|error| BuildError::image(name)(error.into()))?;
    set_mode(&target, 0o644)?;
    set_time(&target, epoch)
}

#[derive(Default)]
struct Gathered {
    /// Names of files in the source package.
    names: BTreeSet<String>,
    /// Folders below that of all source trees, and whose they are.
    folders: BTreeSet<String>,
    sources: Vec<SourceFile>,
    patches: Vec<PatchFile>,
    patch_origins: Vec<(RecipeName, usize)>,
}

impl Gathered {
    fn node(
        &mut self,
        recipe: &Recipe,
        product: &Product<'_>,
        node: &NodeId,
    ) -> Result<RebuildNode, BuildError> {
        let own = recipe.source_folder();
        let folders: Vec<String> = (recipe.planned().sources.iter().enumerate())
            .map(|(number, source)| match number {
                0 => own.clone(),
                _ => source.folder().to_owned(),
            })
            .collect();
        // Two recipes may unpack to one folder: the second one gets a folder around its own.
        let is_taken = folders.iter().any(|folder| self.folders.contains(folder));
        let around = match is_taken {
            true => format!("{}.sources/", recipe.name),
            false => String::new(),
        };
        self.folders.extend(folders.iter().cloned());
        let first = self.sources.len();
        for source in &recipe.planned().sources {
            let file = self.unique_name(&recipe.name, source.url.file_name());
            self.sources.push(source_file(file, source));
        }
        let unpacked = folders
            .iter()
            .enumerate()
            .map(|(number, folder)| UnpackedSource {
                source: first + number,
                folder: format!("{around}{folder}"),
            });
        let unpacked = unpacked.collect();
        let mut patches = Vec::new();
        for (number, patch) in recipe.patches.iter().enumerate() {
            let base = patch.file.rsplit('/').next().unwrap_or(&patch.file);
            let mends = patch.resolves.iter().map(ToString::to_string);
            let mends = mends.collect::<Vec<_>>().join(", ");
            patches.push(self.patches.len());
            let file = self.unique_name(&recipe.name, base);
            self.patches.push(PatchFile {
                file,
                notes: match mends.is_empty() {
                    true => vec![format!("For {}", recipe.name)],
                    false => vec![format!("For {}: {mends}", recipe.name)],
                },
                sha256: patch.sha256,
            });
            self.patch_origins.push((recipe.name.clone(), number));
        }
        let script = |step| rebuild_script(recipe, step);
        let closure = product.graph.closure(node).into_iter();
        Ok(RebuildNode {
            recipe: recipe.name.clone(),
            title: match node == product.node {
                true => format!("{} {}", recipe.name, recipe.version),
                false => format!(
                    "{} {} for {}",
                    recipe.name,
                    recipe.version,
                    node.prefix.path()
                ),
            },
            folder: format!("{around}{own}"),
            unpacked,
            patches,
            environment: environment(recipe, node),
            libraries: closure.map(|library| library.recipe).collect(),
            bundle_prefix: match &node.prefix {
                Prefix::System => recipe.bundle_prefix.clone(),
                Prefix::Bundle(prefix) => prefix.clone(),
            },
            steps: RebuildSteps {
                prep: script(StepName::Prep),
                build: script(StepName::Build),
                install: script(StepName::Install),
                check: script(StepName::Check),
            },
        })
    }

    /// Returns a name that nothing else in the source package has: the file's own, or with the
    /// recipe's before it.
    fn unique_name(&mut self, recipe: &RecipeName, file: &str) -> String {
        let is_kept = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
        let plain: String = file
            .chars()
            .map(|c| if is_kept(c) { c } else { '-' })
            .collect();
        let is_bare = plain.starts_with(['.', '-']) || plain.is_empty();
        let mut name = match is_bare {
            true => format!("{recipe}-{plain}"),
            false => plain.clone(),
        };
        let mut number = 1;
        while !self.names.insert(name.clone()) {
            name = match number {
                1 => format!("{recipe}-{plain}"),
                _ => format!("{recipe}-{number}-{plain}"),
            };
            number += 1;
        }
        name
    }
}

fn source_file(file: String, source: &Source) -> SourceFile {
    let mut notes = Vec::new();
    let url = match &source.url {
        Location::Web(address) => Some(address.clone()),
        pool @ Location::DebianPool { .. } => {
            notes.extend(
                pool.pool_path()
                    .map(|path| format!("In Debian's archive: {path}")),
            );
            None
        }
        Location::Git(location) => {
            notes.push(format!(
                "Commit {} of {}",
                location.commit(),
                location.repository()
            ));
            None
        }
    };
    if let Some(repacked) = &source.repacked {
        notes.push(format!(
            "Repacked by {} from {}: {}",
            repacked.by, repacked.upstream, repacked.note
        ));
    }
    SourceFile {
        file,
        url,
        notes,
        sha256: source.sha256,
    }
}

/// Returns what building `recipes` takes, by the RPM family's names.
fn requirements<'a>(
    recipes: impl Iterator<Item = &'a Recipe>,
) -> Result<Vec<BuildRequirement>, String> {
    let mut names: BTreeSet<&str> = TOOLCHAIN.iter().copied().collect();
    let mut unknown = BTreeSet::new();
    for recipe in recipes {
        for tool in &recipe.tools {
            match tool_name(recipe, tool) {
                Some(name) => drop(names.insert(name)),
                None => drop(unknown.insert(format!("Debian's {tool}, a tool of {}", recipe.name))),
            }
        }
        for (library, debian, rhel) in system_libraries(recipe) {
            let debian = debian.map_or_else(String::new, |name| format!(", Debian's {name}"));
            match rhel {
                Some(name) => drop(names.insert(name)),
                None => drop(unknown.insert(format!("{library}{debian}"))),
            }
        }
    }
    let mut all = Vec::new();
    for name in names {
        let dependency = name
            .parse()
            .map_err(|error: kiln_rpm::SpecTextError| error.to_string())?;
        all.push(BuildRequirement::Known(dependency));
    }
    all.extend(
        unknown
            .into_iter()
            .map(|what| BuildRequirement::Unknown { what }),
    );
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_get_a_recipe_before_them() {
        let mut gathered = Gathered::default();
        gathered.names.insert("curl.spec".to_owned());
        let mut name =
            |recipe: &str, file: &str| gathered.unique_name(&recipe.parse().unwrap(), file);
        for (recipe, file, expected) in [
            ("curl", "1.0.tar.gz", "1.0.tar.gz"),
            ("openssl", "1.0.tar.gz", "openssl-1.0.tar.gz"),
            ("openssl", "1.0.tar.gz", "openssl-2-1.0.tar.gz"),
            ("zlib", "curl.spec", "zlib-curl.spec"),
            ("zlib", "get?file=a&b=%20", "get-file-a-b--20"),
            ("zlib", ".tar", "zlib-.tar"),
            ("zlib", "", "zlib-"),
        ] {
            assert_eq!(name(recipe, file), expected);
        }
    }

    fn recipe(name: &str, more: &str) -> Recipe {
        let text = format!(
            "schema: 1\nname: {name}\nversion: \"1\"\nrelease: 1\nsummary: x\nlicense: MIT\n\
             homepage: https://example.org\nidentity: {{supplier: x}}\nbase: b\nsources:\n  \
             - {{url: \"https://example.org/x.tar\", sha256: \"{}\", released: 2020-01-01}}\n\
             steps: {{use: make}}\n{more}",
            "0".repeat(64)
        );
        Recipe::parse(text.as_bytes(), name).unwrap()
    }

    #[test]
    fn requirements_have_the_names_of_the_rpm_family_or_none() {
        let first = recipe(
            "a",
            "tools: [ninja-build, odd, strange]\ntools-rhel: {strange: strange-tools}\n",
        );
        let second = recipe(
            "b",
            "libraries:\n  zlib: {choice: system, package: {debian: zlib1g-dev, rhel: zlib-devel}}\n  \
             odd: {choice: system, package: {debian: libodd-dev}}\n",
        );
        let all = requirements([&first, &second].into_iter()).unwrap();
        let known = |name: &str| all.contains(&BuildRequirement::Known(name.parse().unwrap()));
        for name in ["gcc", "ninja-build", "strange-tools", "zlib-devel"] {
            assert!(known(name), "{name}");
        }
        assert!(!known("odd") && !known("libodd-dev") && !known("zlib1g-dev"));
        let unknown: Vec<&str> = all
            .iter()
            .filter_map(|requirement| match requirement {
                BuildRequirement::Unknown { what } => Some(what.as_str()),
                BuildRequirement::Known(_) => None,
            })
            .collect();
        assert_eq!(
            unknown,
            ["Debian's odd, a tool of a", "odd, Debian's libodd-dev"]
        );
    }
}
