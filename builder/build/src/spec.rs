//! What a product's spec file is written from: its recipe, its staged files and what they say.

use std::collections::BTreeSet;

use kiln_image::TreeEntryKind;
use kiln_model::recipe::{FileMode, GhostKind, Package, PackageArchitecture};
use kiln_model::{
    AccountName, Dependency as Said, DependencyKind, Evr, LicenseExpression, Line, PackageName,
    Recipe,
};
use kiln_rpm::{
    BundledLibrary, ChangelogEntry, DebugFiles, DebugInformation, Dependency, FileKind, FileLine,
    FileOwner, PackageInput, PackagedPath, SourcePackage, SpecInput,
};

use crate::attribute::Attribution;
use crate::claim::{FileClass, claim_in};
use crate::error::BuildError;
use crate::evidence::Evidence;
use crate::graph::NodeId;
use crate::service;
use crate::split::Owned;
use crate::stage::{Product, Stage};
use crate::vendored::vendored;
use crate::workshop::Workshop;

/// Returns the file names of the packages that a spec declares, sorted.
pub(crate) fn expected_rpms(shop: &Workshop<'_>, spec: &SpecInput) -> Vec<String> {
    let (version, release) = (&spec.version, &spec.release);
    let packages = spec.packages.iter();
    let mut names: Vec<(String, PackageArchitecture)> = packages
        .map(|package| (package.name.to_string(), package.architecture))
        .collect();
    if spec.debug_information == DebugInformation::Split {
        let debug = ["debuginfo", "debugsource"].map(|kind| format!("{}-{kind}", spec.name));
        names.extend(debug.map(|name| (name, PackageArchitecture::Native)));
    }
    let file = |(name, architecture)| {
        let architecture = rpm_architecture(shop, architecture);
        format!("{name}-{version}-{release}.{architecture}.rpm")
    };
    let mut files: Vec<String> = names.into_iter().map(file).collect();
    files.sort();
    files
}

/// Returns what rpm calls a package's architecture: `x86_64`, `noarch`.
pub(crate) fn rpm_architecture(
    shop: &Workshop<'_>,
    architecture: PackageArchitecture,
) -> &'static str {
    match architecture {
        PackageArchitecture::Native => shop.architecture.rpm(),
        PackageArchitecture::Noarch => NOARCH,
    }
}

/// What rpm calls the architecture of packages that are the same everywhere.
pub(crate) const NOARCH: &str = "noarch";

/// Returns the file name of a spec's source package.
pub(crate) fn expected_source_rpm(spec: &SpecInput) -> String {
    format!("{}-{}-{}.src.rpm", spec.name, spec.version, spec.release)
}

/// Returns the licence of a product's packages: its own and those of everything that it bundles. All
/// packages state the same one, since any may hold code of a library that was linked in.
pub(crate) fn license(
    shop: &Workshop<'_>,
    product: &Product<'_>,
) -> Result<LicenseExpression, BuildError> {
    let license = |node: &NodeId| &shop.project.recipes[&node.recipe].recipe.license;
    let own = license(product.node).as_str();
    let others: BTreeSet<&str> = product
        .graph
        .closure(product.node)
        .iter()
        .map(|node| license(node).as_str())
        .collect();
    let copies = vendored(shop, product);
    let copies = copies
        .iter()
        .filter_map(|copy| Some(copy.license?.as_str()));
    let others: BTreeSet<&str> = others.into_iter().chain(copies).collect();
    let others = others.into_iter().filter(|text| *text != own);
    let all: Vec<&str> = std::iter::once(own).chain(others).collect();
    let text = match all.as_slice() {
        [only] => (*only).to_owned(),
        several => several
            .iter()
            .map(|text| in_conjunction(text))
            .collect::<Vec<_>>()
            .join(" AND "),
    };
    text.parse()
        .map_err(|error: kiln_model::TextError| BuildError::Spec {
            recipe: product.node.recipe.clone(),
            reason: error.to_string(),
        })
}

fn in_conjunction(license: &str) -> String {
    if license.contains(" OR ") {
        format!("({license})")
    } else {
        license.to_owned()
    }
}

pub(crate) fn package_name(recipe: &Recipe) -> Result<PackageName, BuildError> {
    recipe
        .name
        .as_str()
        .parse()
        .map_err(|error: kiln_model::NameError| BuildError::Spec {
            recipe: recipe.name.clone(),
            reason: error.to_string(),
        })
}

pub(crate) fn spec_input(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    stage: &Stage,
    evidence: &Evidence,
) -> Result<SpecInput, BuildError> {
    let recipe = &shop.project.recipes[&product.node.recipe].recipe;
    let organization = &shop.project.config.organization;
    let mut packages = Vec::new();
    let copies: Vec<(BundledLibrary, Vec<PackageName>)> = vendored(shop, product)
        .into_iter()
        .map(|copy| {
            let library = BundledLibrary {
                name: copy.library.clone(),
                version: copy.version.cloned(),
            };
            (library, copy.packages(stage, evidence))
        })
        .collect();
    for package in &recipe.packages {
        let mut input = package_input(shop, product, stage, package)?;
        for (library, holders) in &copies {
            if holders.contains(&package.name) && !input.bundled.contains(library) {
                input.bundled.push(library.clone());
            }
        }
        packages.push(input);
    }
    let changelog = recipe.changelog.iter().map(|entry| ChangelogEntry {
        date: entry.date,
        author: entry.author.to_string(),
        version_release: entry.version.to_string(),
        lines: entry.changes.iter().map(Line::to_string).collect(),
    });
    let input = SpecInput {
        name: package_name(recipe)?,
        epoch: recipe.epoch,
        version: recipe.version.clone(),
        release: recipe.release.clone(),
        summary: recipe.summary.to_string(),
        description: recipe.description.to_string(),
        license: license(shop, product)?.to_string(),
        url: Some(recipe.homepage.to_string()),
        vendor: organization.name.clone(),
        packager: Some(format!("{} <{}>", organization.name, organization.email)),
        source_date: recipe.planned().source_date,
        changelog: changelog.collect(),
        packages,
        private: evidence.private_files(recipe),
        debug_information: if evidence.has_debug_information() {
            DebugInformation::Split
        } else {
            DebugInformation::Off {
                reason: "no ELF file with debug information".to_owned(),
            }
        },
        debug_files: DebugFiles::default(),
        without_build_id: evidence.without_build_id(),
        source: SourcePackage::empty(),
    };
    Ok(input)
}

fn package_input(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    stage: &Stage,
    package: &Package,
) -> Result<PackageInput, BuildError> {
    let recipe = &shop.project.recipes[&product.node.recipe].recipe;
    let dependencies = |kind: DependencyKind| {
        let said = package.dependencies().filter(|(found, _)| *found == kind);
        let resolved = said.map(|(kind, said)| resolve(shop, recipe, package, (kind, said)));
        resolved.collect::<Result<Vec<_>, _>>()
    };
    let bundled = product.nodes().into_iter().skip(1).filter_map(|node| {
        let library = &shop.project.recipes[&node.recipe].recipe;
        stage
            .holds(&package.name, &node.recipe)
            .then(|| BundledLibrary {
                name: library.identity.library.clone(),
                version: Some(library.version.clone()),
            })
    });
    let spec_error = |reason: String| BuildError::Spec {
        recipe: recipe.name.clone(),
        reason,
    };
    let mut provides = dependencies(DependencyKind::Provides)?;
    provides.extend(service::provides(package).map_err(|error| spec_error(error.to_string()))?);
    let files = file_lines(recipe, stage, package)?;
    let files =
        service::file_lines(package, files).map_err(|error| spec_error(error.to_string()))?;
    Ok(PackageInput {
        name: package.name.clone(),
        summary: package.summary.to_string(),
        description: package.description.to_string(),
        architecture: package.architecture,
        files,
        requires: dependencies(DependencyKind::Requires)?,
        provides,
        conflicts: dependencies(DependencyKind::Conflicts)?,
        obsoletes: dependencies(DependencyKind::Obsoletes)?,
        recommends: dependencies(DependencyKind::Recommends)?,
        suggests: dependencies(DependencyKind::Suggests)?,
        supplements: dependencies(DependencyKind::Supplements)?,
        enhances: dependencies(DependencyKind::Enhances)?,
        bundled: bundled.collect(),
        scriptlets: service::scriptlets(package),
        ordering: service::ordering(package),
    })
}

/// Writes a dependency for rpm. `=NAME` becomes NAME in exactly this epoch, version and release; between two
/// packages for one architecture also of the same one: `NAME(x86-64) = 1.0-1`, which another architecture's
/// package of that name does not satisfy.
fn resolve(
    shop: &Workshop<'_>,
    recipe: &Recipe,
    package: &Package,
    (kind, said): (DependencyKind, &Said),
) -> Result<Dependency, BuildError> {
    let evr = Evr::new(recipe.epoch, recipe.version.clone(), recipe.release.clone());
    let is_native = |name: &PackageName| {
        let mut found = recipe
            .packages
            .iter()
            .filter(|package| package.name == *name);
        found.any(|package| package.architecture == PackageArchitecture::Native)
    };
    let has_isa = kind != DependencyKind::Conflicts && is_native(&package.name);
    let text = said.resolve(|own| {
        if has_isa && is_native(own) {
            format!("{own}({}) = {evr}", shop.architecture.isa())
        } else {
            format!("{own} = {evr}")
        }
    });
    text.parse()
        .map_err(|error: kiln_rpm::SpecTextError| BuildError::Spec {
            recipe: recipe.name.clone(),
            reason: format!("package `{}`: {error}", package.name),
        })
}

fn file_lines(
    recipe: &Recipe,
    stage: &Stage,
    package: &Package,
) -> Result<Vec<FileLine>, BuildError> {
    let owned = &stage.owned[&package.name];
    let attribution = Attribution::new(package, stage, owned);
    let directories = owned.directories.iter();
    let directories = directories.map(|path| (path, FileKind::Directory));
    let files = owned
        .files
        .iter()
        .map(|path| (path, file_kind(stage, owned, path)));
    let mut lines = Vec::new();
    for (path, kind) in directories.chain(files) {
        let mut line = FileLine::new(packaged_path(recipe, path)?, kind);
        let given = attribution.of(stage, path);
        line.mode = given.mode.or_else(|| stated_mode(stage, path, kind));
        line.owner = owner(given.owner, given.group);
        line.capabilities = given.capabilities.map(ToString::to_string);
        lines.push(line);
    }
    for ghost in &package.ghost {
        let path = packaged_path(recipe, ghost.path.as_str())?;
        lines.retain(|line| line.path != path);
        let kind = match ghost.kind {
            GhostKind::File => FileKind::Ghost,
            GhostKind::Directory => FileKind::GhostDirectory,
        };
        let mut line = FileLine::new(path, kind);
        line.mode = Some(ghost.mode);
        line.owner = owner(ghost.owner.as_ref(), ghost.group.as_ref());
        lines.push(line);
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(lines)
}

/// Returns the lines of files that kiln alone adds to a package that no recipe declares.
pub(crate) fn added_lines(
    recipe: &Recipe,
    stage: &Stage,
    package: &PackageName,
) -> Result<Vec<FileLine>, BuildError> {
    let Some(owned) = stage.owned.get(package) else {
        return Ok(Vec::new());
    };
    let directories = owned.directories.iter();
    let directories = directories.map(|path| (path, FileKind::Directory));
    let files = owned.files.iter().map(|path| (path, FileKind::File));
    directories
        .chain(files)
        .map(|(path, kind)| Ok(FileLine::new(packaged_path(recipe, path)?, kind)))
        .collect()
}

fn packaged_path(recipe: &Recipe, path: &str) -> Result<PackagedPath, BuildError> {
    path.parse()
        .map_err(|error: kiln_rpm::SpecTextError| BuildError::PathRefused {
            recipe: recipe.name.clone(),
            rule: claim_in(recipe, path),
            reason: error.to_string(),
        })
}

fn file_kind(stage: &Stage, owned: &Owned, path: &String) -> FileKind {
    match (&stage.files[path].kind, owned.classes.get(path)) {
        (TreeEntryKind::Directory, _) => FileKind::Directory,
        (_, Some(FileClass::Config)) => FileKind::Config,
        (_, Some(FileClass::ConfigReplaced)) => FileKind::ConfigReplaced,
        (_, Some(FileClass::Documentation)) => FileKind::Documentation,
        (_, Some(FileClass::Ghost)) => FileKind::Ghost,
        _ if stage.licenses.contains(path) => FileKind::License,
        _ => FileKind::File,
    }
}

/// Returns the permissions that must be stated because they can not be copied: a process without
/// capabilities loses set-id bits when it writes a file, can not pack what its owner may not read, and a
/// folder with nothing in it is made by `%install`.
fn stated_mode(stage: &Stage, path: &str, kind: FileKind) -> Option<FileMode> {
    let mode = stage.mode(path);
    let is_directory = kind == FileKind::Directory;
    let is_stated = mode & 0o6000 != 0
        || mode & 0o400 == 0
        || is_directory
            && (mode & 0o700 != 0o700 || !stage.files.contains_key(path) && !stage.has_below(path));
    let mode = u16::try_from(mode & 0o7777).ok().filter(|_| is_stated);
    mode.and_then(FileMode::new)
}

fn owner(user: Option<&AccountName>, group: Option<&AccountName>) -> Option<FileOwner> {
    let name = |name: Option<&AccountName>| name.map_or("root", AccountName::as_str).to_owned();
    (user.is_some() || group.is_some()).then(|| FileOwner {
        user: name(user),
        group: name(group),
    })
}
