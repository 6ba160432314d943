//! The file that every package carries so that it can be rebuilt from itself (DESIGN 6):
//! `/usr/share/kiln/buildinfo/<package>-<arch>.json`, canonical JSON (RFC 8785).
//!
//! It holds what decides the bytes and nothing else: no time, no host, no path of a store.

use kiln_model::{PackageName, STEP_RUNNER_VERSION};
use serde_json::{Value, json};

use crate::error::BuildError;
use crate::graph::NodeId;
use crate::key::canonical_json;
use crate::rootfs::Rootfs;
use crate::stage::Product;
use crate::workshop::{KILN_VERSION, Workshop};

/// The build information format that this kiln writes.
pub const BUILDINFO_FORMAT: u32 = 1;

/// Returns the build information of one package.
pub(crate) fn build_info(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    rootfs: &Rootfs,
    package: &PackageName,
) -> Result<Vec<u8>, BuildError> {
    let nodes = product.nodes();
    let mut recipes = serde_json::Map::new();
    for node in &nodes {
        recipes.insert(node.recipe.to_string(), recipe_info(shop, product, node)?);
    }
    let info = json!({
        "format": BUILDINFO_FORMAT,
        "package": package,
        "recipe": product.node.recipe,
        "architecture": shop.architecture,
        "kiln": KILN_VERSION,
        "step-runner": STEP_RUNNER_VERSION,
        "base": {
            "name": shop.project.recipes[&product.node.recipe].recipe.base,
            "manifest": rootfs.manifest,
        },
        "organization": shop.project.config.organization,
        "recipes": recipes,
    });
    let mut text = canonical_json(&info);
    text.push(b'\n');
    Ok(text)
}

/// Returns everything that pins one recipe, and what it was built to.
fn recipe_info(
    shop: &Workshop<'_>,
    product: &Product<'_>,
    node: &NodeId,
) -> Result<Value, BuildError> {
    let loaded = &shop.project.recipes[&node.recipe];
    let lock = shop.project.recipe_lock(&node.recipe, shop.architecture)?;
    let built = &product.built[node];
    let mut info = json!({
        "recipe": loaded.recipe,
        "lock": lock,
        "prefix": node.prefix.path(),
        "build-key": built.key,
        "destdir": built.destdir,
    });
    let installed = loaded.installed_digests();
    if !installed.is_empty() {
        info["installed"] = json!(installed);
    }
    Ok(info)
}
