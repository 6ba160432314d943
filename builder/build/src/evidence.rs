//! What the ELF files of a product say, against what its recipe says (DESIGN 7, "Evidence").
//!
//! A private library that would be resolved from the operating system, a run path that leads
//! elsewhere, a leaked build path, a bundled library that nothing needs: each fails the build.

use std::collections::{BTreeMap, BTreeSet};

use kiln_image::TreeEntryKind;
use kiln_model::{LibraryName, PackageName, Recipe, RecipeName};
use kiln_rpm::{
    ElfEvidence, LinkFinding, PackagedPath, PrivateFiles, ProductElf, SpecTextError, check_links,
};

use crate::claim::claim_in;
use crate::error::BuildError;
use crate::stage::{Content, Stage};

/// The ELF files of a product's packages, by installed path.
#[derive(Debug)]
pub(crate) struct Evidence {
    files: BTreeMap<String, ElfEvidence>,
    /// The bundled library that each soname belongs to.
    private: BTreeMap<String, RecipeName>,
    /// Static libraries.
    archives: BTreeSet<String>,
    /// Files that begin as ELF files do and do not go on so, each as a finding.
    damaged: Vec<String>,
}

impl Evidence {
    /// Reads every ELF file of the stage.
    pub(crate) fn collect(stage: &Stage) -> Result<Self, BuildError> {
        let mut files = BTreeMap::new();
        let mut private = BTreeMap::new();
        let mut damaged = Vec::new();
        let mut archives = BTreeSet::new();
        for (path, staged) in &stage.files {
            let (TreeEntryKind::File { .. }, Content::Tree(source)) =
                (&staged.kind, &staged.content)
            else {
                continue;
            };
            let bytes = fs_err::read(source)?;
            let elf = match ElfEvidence::read(&bytes) {
                Ok(Some(elf)) => elf,
                Ok(None) if bytes.starts_with(b"!<arch>\n") => {
                    archives.insert(path.clone());
                    continue;
                }
                Ok(None) => continue,
                Err(error) => {
                    damaged.push(format!("`{path}` is a damaged ELF file: {error}"));
                    continue;
                }
            };
            if let (Some(library), Some(soname)) = (&staged.library, &elf.soname) {
                private.insert(soname.clone(), library.clone());
            }
            files.insert(path.clone(), elf);
        }
        Ok(Self {
            files,
            private,
            archives,
            damaged,
        })
    }

    /// Returns whether debug information can be split off.
    pub(crate) fn has_debug_information(&self) -> bool {
        self.files.values().any(|elf| elf.has_debug_information)
    }

    /// Returns whether a file is for one architecture: a program, a library, an object.
    pub(crate) fn is_machine_code(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.archives.contains(path)
    }

    /// Returns the packages with a file that needs a library of `recipe`.
    pub(crate) fn packages_linking(&self, stage: &Stage, recipe: &RecipeName) -> Vec<PackageName> {
        let needs = |path: &String| {
            self.files.get(path).is_some_and(|elf| {
                elf.needed
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

    /// Compares the files with the recipe.
    ///
    /// # Errors
    /// `Evidence` with everything that contradicts it.
    pub(crate) fn check(&self, recipe: &Recipe) -> Result<(), BuildError> {
        let private = self.private_files(recipe);
        let mut paths = Vec::new();
        for (text, elf) in &self.files {
            let path: PackagedPath =
                text.parse()
                    .map_err(|error: SpecTextError| BuildError::PathRefused {
                        recipe: recipe.name.clone(),
                        rule: claim_in(recipe, text),
                        reason: error.to_string(),
                    })?;
            paths.push((path, elf));
        }
        let files: Vec<ProductElf<'_>> = paths
            .iter()
            .map(|(path, elf)| ProductElf { path, elf })
            .collect();
        let links = check_links(&files, private.as_ref());
        let mut findings = self.damaged.clone();
        findings.extend(links.iter().map(LinkFinding::to_string));
        if findings.is_empty() {
            return Ok(());
        }
        Err(BuildError::Evidence {
            recipe: recipe.name.clone(),
            libraries: self.libraries_in(recipe, &links),
            findings,
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
