//! What a product's spec file is written from: its recipe, its staged files and what they say.

use std::collections::BTreeSet;

use kiln_image::TreeEntryKind;
use kiln_model::{LicenseExpression, Line, PackageName, Recipe};
use kiln_rpm::{
    BundledLibrary, ChangelogEntry, DebugInformation, Dependency, FileKind, FileLine, FileMode,
    PackageArchitecture, PackageInput, SpecInput,
};

use crate::error::BuildError;
use crate::evidence::Evidence;
use crate::graph::NodeId;
use crate::service;
use crate::stage::{Product, Stage};
use crate::workshop::Workshop;

/// Returns the file names of the packages that a spec declares, sorted.
pub(crate) fn expected_rpms(shop: &Workshop<'_>, spec: &SpecInput) -> Vec<String> {
    let (version, release) = (&spec.version, &spec.release);
    let mut names: Vec<String> = spec.packages.iter().map(|p| p.name.to_string()).collect();
    if spec.debug_information == DebugInformation::Split {
        names.extend(["debuginfo", "debugsource"].map(|kind| format!("{}-{kind}", spec.name)));
    }
    let file = |name: String| format!("{name}-{version}-{release}.{}.rpm", shop.architecture.rpm());
    let mut files: Vec<String> = names.into_iter().map(file).collect();
    files.sort();
    files
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

fn package_name(recipe: &Recipe) -> Result<PackageName, BuildError> {
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
    for package in &recipe.packages {
        packages.push(package_input(shop, product, stage, package)?);
    }
    let version_release = format!("{}-{}", recipe.version, recipe.release);
    let changelog = recipe.changelog.iter().map(|entry| ChangelogEntry {
        date: entry.date,
        author: entry.author.to_string(),
        version_release: version_release.clone(),
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
        source_date: recipe.source_date,
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
    };
    Ok(input)
}

fn package_input(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    stage: &Stage,
    package: &kiln_model::recipe::Package,
) -> Result<PackageInput, BuildError> {
    let recipe = &shop.project.recipes[&product.node.recipe].recipe;
    let spec_error = |reason: String| BuildError::Spec {
        recipe: recipe.name.clone(),
        reason,
    };
    let evr = match recipe.epoch {
        Some(epoch) => format!("{epoch}:{}-{}", recipe.version, recipe.release),
        None => format!("{}-{}", recipe.version, recipe.release),
    };
    let dependencies = |lines: &[Line]| {
        let parse = |line: &Line| {
            let text = match line.as_str().strip_prefix('=') {
                Some(own) => format!("{} = {evr}", own.trim()),
                None => line.to_string(),
            };
            text.parse::<Dependency>()
                .map_err(|error| spec_error(format!("package `{}`: {error}", package.name)))
        };
        lines.iter().map(parse).collect::<Result<Vec<_>, _>>()
    };
    let bundled = product.nodes().into_iter().skip(1).filter_map(|node| {
        let library = &shop.project.recipes[&node.recipe].recipe;
        stage
            .holds(&package.name, &node.recipe)
            .then(|| BundledLibrary {
                name: library.identity.library.clone(),
                version: library.version.clone(),
            })
    });
    let mut provides = dependencies(&package.provides)?;
    provides.extend(service::provides(package).map_err(|error| spec_error(error.to_string()))?);
    let refused = |reason: String| BuildError::PathRefused {
        recipe: recipe.name.clone(),
        reason,
    };
    let files = file_lines(stage, &package.name).map_err(refused)?;
    let files = service::file_lines(package, files).map_err(|error| refused(error.to_string()))?;
    Ok(PackageInput {
        name: package.name.clone(),
        summary: package.summary.to_string(),
        description: package.description.to_string(),
        architecture: PackageArchitecture::Native,
        files,
        requires: dependencies(&package.requires)?,
        provides,
        conflicts: dependencies(&package.conflicts)?,
        obsoletes: dependencies(&package.obsoletes)?,
        recommends: dependencies(&package.recommends)?,
        bundled: bundled.collect(),
        scriptlets: service::scriptlets(package),
    })
}

fn file_lines(stage: &Stage, package: &PackageName) -> Result<Vec<FileLine>, String> {
    let owned = &stage.owned[package];
    let directories = owned
        .directories
        .iter()
        .map(|path| (path, FileKind::Directory));
    let files = owned.files.iter().map(|path| {
        let kind = match &stage.files[path].kind {
            TreeEntryKind::Directory => FileKind::Directory,
            _ if stage.licenses.contains(path) => FileKind::License,
            _ => FileKind::File,
        };
        (path, kind)
    });
    let mut lines = Vec::new();
    for (path, kind) in directories.chain(files) {
        let parsed = path
            .parse()
            .map_err(|error: kiln_rpm::SpecTextError| error.to_string())?;
        let mut line = FileLine::new(parsed, kind);
        // A process without capabilities loses set-id bits when it writes a file, and can not pack
        // what its owner may not read: such permissions are stated, not copied.
        let mode = stage.mode(path);
        if mode & 0o6000 != 0
            || mode & 0o400 == 0
            || kind == FileKind::Directory && mode & 0o700 != 0o700
        {
            line.mode = u16::try_from(mode & 0o7777).ok().and_then(FileMode::new);
        }
        lines.push(line);
    }
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(lines)
}
