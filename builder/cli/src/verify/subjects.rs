//! What there is to verify of some recipes: which files of `out/` and which destdirs are theirs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use kiln_attest::sbom_formats;
use kiln_build::{NodeId, Plan, Project};
use kiln_compare::{Subject, SubjectKind};
use kiln_model::recipe::PackageArchitecture;
use kiln_model::{Architecture, BaseName, Recipe, RecipeName};
use walkdir::WalkDir;

/// Everything that is to be compared, and what is not.
#[derive(Debug, Default)]
pub struct Listing {
    /// In the order of recipes, and of kinds within one.
    pub subjects: Vec<Subject>,
    /// What is left out, and why.
    pub notes: Vec<String>,
}

/// Lists what `wanted` yields. `out/` is only asked which debug packages, packages of base images and
/// repository files there are; everything else must be there, and is missed if it is not.
pub fn list(
    project: &Project,
    plan: &Plan,
    wanted: &[RecipeName],
    output: &Path,
    architecture: Architecture,
) -> Listing {
    let mut listing = Listing::default();
    for name in wanted {
        let recipe = &project.recipes[name].recipe;
        listing.add_packages(recipe, output, architecture);
        let own = NodeId::alone(recipe);
        let below = plan.graph.closure(&own);
        for node in std::iter::once(&own).chain(below.iter()) {
            listing.add(Some(name), SubjectKind::Destdir, node.to_string());
        }
    }
    // A base image's package is made beside others.
    let bases: BTreeSet<&BaseName> = wanted
        .iter()
        .map(|name| &project.recipes[name].recipe)
        .filter(|recipe| !recipe.packages.is_empty())
        .map(|recipe| &recipe.base)
        .collect();
    for base in bases {
        listing.add_base(base, output);
    }
    listing.add_repository(output);
    listing.subjects.sort();
    listing.subjects.dedup();
    listing
}

impl Listing {
    fn add(&mut self, recipe: Option<&RecipeName>, kind: SubjectKind, name: String) {
        self.subjects.push(Subject {
            recipe: recipe.cloned(),
            kind,
            name,
        });
    }

    fn add_packages(&mut self, recipe: &Recipe, output: &Path, architecture: Architecture) {
        if recipe.packages.is_empty() {
            return;
        }
        let own = Some(&recipe.name);
        let suffix = format!("{}-{}", recipe.version, recipe.release);
        let path = |name: &str, architecture: &str| {
            format!("rpms/{architecture}/{name}-{suffix}.{architecture}.rpm")
        };
        for package in &recipe.packages {
            let of = match package.architecture {
                PackageArchitecture::Native => architecture.rpm(),
                PackageArchitecture::Noarch => "noarch",
            };
            self.add(own, SubjectKind::Package, path(package.name.as_str(), of));
        }
        for kind in ["debuginfo", "debugsource"] {
            let path = path(&format!("{}-{kind}", recipe.name), architecture.rpm());
            if output.join(&path).exists() {
                self.add(own, SubjectKind::Package, path);
            }
        }
        let source = format!("srpms/{}-{suffix}.src.rpm", recipe.name);
        self.add(own, SubjectKind::SourcePackage, source);
        self.add(
            own,
            SubjectKind::Spec,
            format!("specs/{}.spec", recipe.name),
        );
        for format in sbom_formats() {
            let file = format!("sbom/{}{}", recipe.name, format.extension());
            self.add(own, SubjectKind::Sbom, file);
        }
        let provenance = format!("provenance/{}.provenance.json", recipe.name);
        self.add(own, SubjectKind::Provenance, provenance);
    }

    /// The package of a base image is named after the image's manifest: it is looked for.
    fn add_base(&mut self, base: &BaseName, output: &Path) {
        let name = format!("kiln-base-{base}");
        let is_of_base = |path: &Path| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            file.strip_prefix(&format!("{name}-"))
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        for (folder, kind) in [
            ("rpms", SubjectKind::Package),
            ("srpms", SubjectKind::SourcePackage),
        ] {
            for path in files(output, folder).iter().filter(|path| is_of_base(path)) {
                self.add(None, kind, path.to_string_lossy().into_owned());
            }
        }
        let spec = format!("specs/{name}.spec");
        if output.join(&spec).exists() {
            self.add(None, SubjectKind::Spec, spec);
        }
    }

    /// The repository follows from all packages together: it is compared when all of them are built
    /// again, and none is signed.
    fn add_repository(&mut self, output: &Path) {
        let packages = |kind: SubjectKind, folder: &str| {
            let listed: BTreeSet<PathBuf> = self
                .subjects
                .iter()
                .filter(|subject| subject.kind == kind)
                .map(|subject| PathBuf::from(&subject.name))
                .collect();
            let mut there = files(output, folder);
            there.retain(|path| path.extension().is_some_and(|ending| ending == "rpm"));
            there.into_iter().all(|path| listed.contains(&path))
        };
        let is_signed = output.join("rpms/repodata/repomd.xml.asc").exists();
        let reason = if is_signed {
            "it lists signed packages, and a rebuild has no key"
        } else if !packages(SubjectKind::Package, "rpms") {
            "it lists packages that are not verified now"
        } else {
            for path in files(output, "rpms/repodata") {
                let name = path.to_string_lossy().into_owned();
                self.add(None, SubjectKind::Repository, name);
            }
            return;
        };
        self.notes
            .push(format!("rpms/repodata was not compared: {reason}"));
    }
}

/// Lists the regular files below a folder of `out/` by path from there.
fn files(output: &Path, folder: &str) -> Vec<PathBuf> {
    let walk = WalkDir::new(output.join(folder)).sort_by_file_name();
    walk.into_iter()
        .filter_map(Result::ok)
        .filter(|entry| entry.file_type().is_file())
        .filter_map(|entry| entry.path().strip_prefix(output).ok().map(Path::to_owned))
        .collect()
}
