//! What the ELF files of a product say, against what its recipe says (DESIGN 7, "Evidence").
//!
//! A private library that would be resolved from the operating system, a run path that leads
//! elsewhere, a leaked build path, a bundled library that nothing needs, code of one that is not
//! linked as declared, a missing protection: each fails the build.

use std::collections::{BTreeMap, BTreeSet};

use kiln_image::TreeEntryKind;
use kiln_model::{LibraryName, PackageName, Recipe, RecipeName};
use kiln_rpm::{
    Compilation, ElfEvidence, ElfKind, LinkFinding, PackagedPath, PrivateFiles, ProductElf,
    SpecTextError, check_hardening, check_links, find_build_path,
};

use crate::bundled_code::{CompiledFile, bundled_code, check_bundled_code, is_within};
use crate::claim::claim_in;
use crate::error::BuildError;
use crate::stage::{Content, Product, Stage};
use crate::workshop::Workshop;

/// The ELF files of a product's packages, by installed path.
#[derive(Debug)]
pub(crate) struct Evidence {
    files: BTreeMap<String, ElfFile>,
    /// The bundled library that each soname belongs to.
    private: BTreeMap<String, RecipeName>,
    /// Static libraries.
    archives: BTreeSet<String>,
    /// Files that can not be what they seem, or name folders of the build, each as a finding.
    damaged: Vec<String>,
}

/// What one ELF file says.
#[derive(Debug)]
struct ElfFile {
    elf: ElfEvidence,
    compilation: Compilation,
    /// The recipe of the bundled library that it belongs to.
    library: Option<RecipeName>,
}

impl Evidence {
    /// Reads every file of the stage.
    pub(crate) fn collect(stage: &Stage) -> Result<Self, BuildError> {
        let mut evidence = Self {
            files: BTreeMap::new(),
            private: BTreeMap::new(),
            archives: BTreeSet::new(),
            damaged: Vec::new(),
        };
        for (path, staged) in &stage.files {
            // Where links lead is looked at by `inspect`.
            let (TreeEntryKind::File { .. }, Content::Tree(source)) =
                (&staged.kind, &staged.content)
            else {
                continue;
            };
            let bytes = fs_err::read(source)?;
            evidence.add(path, &bytes, staged.library.as_ref());
            evidence.look_for_build_paths(path, &bytes);
        }
        Ok(evidence)
    }

    fn look_for_build_paths(&mut self, path: &str, bytes: &[u8]) {
        // A search path is a finding of its own.
        let is_search_path = |text: &String| {
            self.files.get(path).is_some_and(|file| {
                let elf = &file.elf;
                elf.rpath.contains(text) || elf.runpath.contains(text)
            })
        };
        if let Some(text) = find_build_path(bytes).filter(|text| !is_search_path(text)) {
            self.damaged
                .push(format!("`{path}` names a folder of the build: `{text}`"));
        }
    }

    fn add(&mut self, path: &str, bytes: &[u8], library: Option<&RecipeName>) {
        let read = ElfEvidence::read(bytes).and_then(|elf| {
            let Some(elf) = elf else { return Ok(None) };
            Ok(Some((elf, Compilation::read(bytes)?)))
        });
        let (elf, compilation) = match read {
            Ok(Some(read)) => read,
            Ok(None) => {
                if bytes.starts_with(b"!<arch>\n") {
                    self.archives.insert(path.to_owned());
                }
                return;
            }
            Err(error) => {
                self.damaged
                    .push(format!("`{path}` can not be examined: {error}"));
                return;
            }
        };
        if let (Some(library), Some(soname)) = (library, &elf.soname) {
            self.private.insert(soname.clone(), library.clone());
        }
        let file = ElfFile {
            elf,
            compilation,
            library: library.cloned(),
        };
        self.files.insert(path.to_owned(), file);
    }

    /// Returns whether debug information can be split off.
    pub(crate) fn has_debug_information(&self) -> bool {
        self.files
            .values()
            .any(|file| file.elf.has_debug_information)
    }

    /// Returns the programs and shared objects without a build-id, which a recipe must have excused.
    pub(crate) fn without_build_id(&self) -> Vec<PackagedPath> {
        let carried = self.files.iter().filter(|(_, file)| {
            let elf = &file.elf;
            elf.build_id.is_none() && (elf.is_executable() || elf.kind == ElfKind::SharedObject)
        });
        carried.filter_map(|(path, _)| path.parse().ok()).collect()
    }

    /// Returns whether a file is for one architecture: a program, a library, an object.
    pub(crate) fn is_machine_code(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.archives.contains(path)
    }

    /// Returns the packages with a file that needs a library of `recipe`.
    pub(crate) fn packages_linking(&self, stage: &Stage, recipe: &RecipeName) -> Vec<PackageName> {
        let needs = |path: &String| {
            self.files.get(path).is_some_and(|file| {
                file.elf
                    .needed
                    .iter()
                    .any(|soname| self.private.get(soname) == Some(recipe))
            })
        };
        let owned = stage
            .owned
            .iter()
            .filter(|(_, owned)| owned.files.iter().any(needs));
        owned.map(|(package, _)| package.clone()).collect()
    }

    /// Returns the files with code from a folder of sources; `None` where no file tells what it was made from.
    pub(crate) fn holders(&self, folder: &str) -> Option<BTreeSet<&str>> {
        let is_known = |file: &ElfFile| !file.compilation.folders.is_empty();
        if !self.files.values().any(is_known) {
            return None;
        }
        let holds = |file: &ElfFile| {
            let mut folders = file.compilation.folders.iter();
            folders.any(|found| is_within(found, folder))
        };
        let files = self.files.iter().filter(|(_, file)| holds(file));
        Some(files.map(|(path, _)| path.as_str()).collect())
    }

    /// Compares the files with the recipe.
    ///
    /// # Errors
    /// `Evidence` with everything that contradicts it.
    pub(crate) fn check(
        &self,
        shop: &Workshop<'_>,
        product: &Product<'_>,
    ) -> Result<(), BuildError> {
        let recipe = &shop.project.recipes[&product.node.recipe].recipe;
        let private = self.private_files(recipe);
        let mut paths: Vec<(PackagedPath, &ElfFile)> = Vec::new();
        for (text, file) in &self.files {
            let path = text
                .parse()
                .map_err(|error: SpecTextError| BuildError::PathRefused {
                    recipe: recipe.name.clone(),
                    rule: claim_in(recipe, text),
                    reason: error.to_string(),
                })?;
            paths.push((path, file));
        }
        let files = paths.iter().map(|(path, file)| ProductElf {
            path,
            elf: &file.elf,
        });
        let links = check_links(&files.collect::<Vec<_>>(), private.as_ref());
        let compiled = self.files.iter().map(|(path, file)| CompiledFile {
            path,
            library: file.library.as_ref(),
            compilation: &file.compilation,
        });
        let mut code = bundled_code(shop, product)?;
        // What was archived is not looked into: a copy may be there.
        code.retain(|library| self.archives.is_empty() || !library.is_copy());
        let code = check_bundled_code(&code, &compiled.collect::<Vec<_>>());
        let mut libraries = self.libraries_in(recipe, &links);
        let mut findings = self.damaged.clone();
        findings.extend(links.iter().map(LinkFinding::to_string));
        for (library, finding) in code {
            findings.push(finding);
            libraries.extend(recipe.libraries.contains_key(&library).then_some(library));
        }
        let weak = unprotected(shop, recipe, &paths);
        if findings.is_empty() && weak.is_empty() {
            return Ok(());
        }
        libraries.sort();
        libraries.dedup();
        Err(BuildError::Evidence {
            recipe: recipe.name.clone(),
            libraries,
            findings,
            weak,
        })
    }

    /// Returns the libraries that the recipe bundles and that findings are about.
    fn libraries_in(&self, recipe: &Recipe, findings: &BTreeSet<LinkFinding>) -> Vec<LibraryName> {
        let about = |finding: &LinkFinding| match finding {
            LinkFinding::BundledFromSystem { soname, .. }
            | LinkFinding::BundledNotSearched { soname, .. }
            | LinkFinding::BundledOutsidePrefix { soname, .. }
            | LinkFinding::UndeclaredBundle { soname, .. }
            | LinkFinding::UnusedBundle { soname } => self.private.get(soname),
            LinkFinding::ForeignSearchPath { .. } | LinkFinding::BuildPath { .. } => None,
        };
        let recipes: BTreeSet<&RecipeName> = findings.iter().filter_map(about).collect();
        recipe
            .bundled()
            .filter(|(_, from, _)| recipes.contains(from))
            .map(|(library, _, _)| library.clone())
            .collect()
    }

    /// Returns what the product carries for itself alone, if anything.
    pub(crate) fn private_files(&self, recipe: &Recipe) -> Option<PrivateFiles> {
        (!self.private.is_empty()).then(|| PrivateFiles {
            prefix: recipe.bundle_prefix.clone(),
            sonames: self.private.keys().cloned().collect(),
        })
    }
}

/// Returns what the files lack, except for what their recipes do without.
fn unprotected(
    shop: &Workshop<'_>,
    product: &Recipe,
    files: &[(PackagedPath, &ElfFile)],
) -> Vec<String> {
    let mut weak = Vec::new();
    for (path, file) in files {
        let recipe = match &file.library {
            Some(library) => &shop.project.recipes[library].recipe,
            None => product,
        };
        for finding in check_hardening(path, &file.elf, &file.compilation) {
            let mut exceptions = recipe.hardening.iter();
            if !exceptions.any(|exception| exception.excuses(path.as_str(), finding.lacks)) {
                weak.push(finding.to_string());
            }
        }
    }
    weak
}
