//! What every package says of how it was made: [`BuildInfo`], and what a rebuild from it will look for
//! in the store.

use std::collections::BTreeMap;

use kiln_model::recipe::YamlError;
use kiln_model::{
    BUILDINFO_FOLDER, BUILDINFO_FORMAT, BaseImage, BaseInfo, BaseName, BuildInfo, PackageName,
    Recipe, RecipeInfo, STEP_RUNNER_VERSION,
};

use crate::error::BuildError;
use crate::graph::NodeId;
use crate::key::canonical_json;
use crate::rootfs::Rootfs;
use crate::stage::Product;
use crate::workshop::{KILN_VERSION, Workshop};

/// Returns where a package carries its build information; `architecture` is what rpm calls its own.
pub(crate) fn build_info_path(package: &str, architecture: &str) -> String {
    format!("{BUILDINFO_FOLDER}{package}-{architecture}.json")
}

/// Returns the build information of one of a product's packages; [`info_text`] writes it for the others.
///
/// What recipes take from their folders is put into the store: packages name it by digest.
pub(crate) fn product_info(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    rootfs: &Rootfs,
    package: PackageName,
) -> Result<BuildInfo, BuildError> {
    let mut recipes = BTreeMap::new();
    for node in &product.nodes() {
        recipes.insert(node.recipe.clone(), recipe_info(shop, product, node)?);
    }
    let base = &shop.project.recipes[&product.node.recipe].recipe.base;
    Ok(BuildInfo {
        recipe: Some(product.node.recipe.clone()),
        recipes,
        ..base_info(shop, base, rootfs, package)?
    })
}

/// Returns the build information of the package of a base image.
pub(crate) fn base_package_info(
    shop: &Workshop<'_>,
    base: &BaseName,
    rootfs: &Rootfs,
    package: PackageName,
) -> Result<BuildInfo, BuildError> {
    let mut info = base_info(shop, base, rootfs, package)?;
    info.base.archive = rootfs.base_lock().map(|lock| lock.archive.clone());
    Ok(info)
}

/// Writes build information for the package `name`, which is built with the one that it is of.
pub(crate) fn info_text(info: &BuildInfo, name: PackageName) -> Vec<u8> {
    let info = BuildInfo {
        package: name,
        ..info.clone()
    };
    let info = serde_json::to_value(info).expect("build information is texts, numbers and maps");
    let mut text = canonical_json(&info);
    text.push(b'\n');
    text
}

fn base_info(
    shop: &Workshop<'_>,
    base: &BaseName,
    rootfs: &Rootfs,
    package: PackageName,
) -> Result<BuildInfo, BuildError> {
    let text = shop.project.texts.get(&shop.project.base_file(base));
    let document = BaseImage::document(text.map_or(&[], String::as_bytes), base.as_str());
    let lock = rootfs.base_lock();
    Ok(BuildInfo {
        format: BUILDINFO_FORMAT,
        package,
        recipe: None,
        architecture: shop.architecture,
        kiln: KILN_VERSION.to_owned(),
        step_runner: STEP_RUNNER_VERSION,
        base: BaseInfo {
            name: base.clone(),
            manifest: rootfs.manifest,
            document: document.map_err(|error| unreadable(base.as_str(), &error))?,
            layer: lock.map(|lock| lock.layer),
            packages: lock.map(|lock| lock.packages.clone()).unwrap_or_default(),
            archive: None,
        },
        organization: shop.project.config.organization.clone(),
        recipes: BTreeMap::new(),
    })
}

/// Returns everything that pins one recipe, and what it was built to.
fn recipe_info(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    node: &NodeId,
) -> Result<RecipeInfo, BuildError> {
    let loaded = &shop.project.recipes[&node.recipe];
    let text = shop
        .project
        .texts
        .get(&shop.project.recipe_file(&node.recipe));
    let text = text.map_or(&[][..], String::as_bytes);
    let mut document = Recipe::document(text, node.recipe.as_str())
        .map_err(|error| unreadable(node.recipe.as_str(), &error))?;
    // What it was built on, not what its file names: so its packages say how to build them again.
    document["base"] = loaded.recipe.base.as_str().into();
    for patch in &loaded.recipe.patches {
        if !shop.store.contains(&patch.sha256) {
            shop.store.write_blob(&loaded.read_patch(patch)?)?;
        }
    }
    let mut installed = BTreeMap::new();
    for (file, digest) in loaded.installed_digests() {
        if !shop.store.contains(&digest) {
            shop.store.write_blob(&loaded.installed[file])?;
        }
        installed.insert(file.to_owned(), digest);
    }
    let built = &product.built[node];
    Ok(RecipeInfo {
        document,
        lock: shop.project.recipe_lock(&node.recipe, shop.architecture)?,
        prefix: node
            .prefix
            .path()
            .parse()
            .expect("prefixes are normal paths"),
        build_key: built.key.0,
        destdir: built.destdir,
        installed,
    })
}

/// A file that the project was read from can not be read again: it never happens.
fn unreadable(what: &str, error: &YamlError) -> BuildError {
    BuildError::Rpm {
        recipe: what.to_owned(),
        file: "its build information".to_owned(),
        reason: error.to_string(),
    }
}
