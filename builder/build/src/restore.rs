//! From a package's build information back to a project: a folder with just what that package was
//! built from, for a rebuild with no recipe directory at hand.
//!
//! Build information is foreign text. Recipes and base images in it go through the same readers as
//! files, no name in it leads out of the folder, and what a package only names by digest is taken from
//! the store by that digest, or missing.

use std::path::Path;

use kiln_image::base_request;
use kiln_model::{
    BaseImage, BaseLock, BaseOrigin, BuildInfo, Digest, LOCK_FORMAT, Lock, LockedArchive,
    LockedSource, Recipe, RecipeLock, RecipeName, Sha512,
};
use kiln_store::Store;

use crate::error::BuildError;
use crate::folder::{create_folders, write_file};
use crate::input::{MissingInput, layer_inputs, own_input};

/// Says why a package can not be built again from what it says of itself.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// A recipe or base image in it is not one.
    #[error("its build information holds {what}, which this kiln can not read: {reason}")]
    Document {
        /// `recipe zlib`.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file name in it would lead elsewhere.
    #[error("its build information names a file `{file}`, which is no path in a recipe's folder")]
    FileName {
        /// The name.
        file: String,
    },
    /// Inputs are not in the store.
    #[error("the store lacks {} of the things that it was built from", missing.len())]
    Missing {
        /// All of them, sorted.
        missing: Vec<MissingInput>,
    },
    /// The folder can not be written, or the store not be read.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Writes a project into the empty folder `folder` that builds the package again, and returns the recipe
/// that does so.
///
/// # Errors
/// [`RestoreError`]; `Missing` names everything that is not there, not only the first.
pub fn restore_project(
    info: &BuildInfo,
    store: &Store,
    folder: &Path,
) -> Result<RecipeName, RestoreError> {
    let base = restore_base(info, folder)?;
    let recipe = match &info.recipe {
        Some(recipe) => recipe.clone(),
        None => write_companion(info, store, folder)?,
    };
    let mut missing = Vec::new();
    let mut needed = Vec::new();
    if let Some(layer) = info.base.layer {
        needed.extend(layer_inputs(store, layer, &info.base.packages));
    }
    if let Some(manifest) = base.pinned_manifest(info.architecture) {
        needed.push(own_input(
            format!("manifest of base image {}", base.name),
            manifest.0,
        ));
    }
    for (name, recipe_info) in &info.recipes {
        let text = recipe_info.document.to_string();
        let recipe = Recipe::parse(text.as_bytes(), name.as_str());
        let recipe = recipe.map_err(|error| RestoreError::Document {
            what: format!("recipe {name}"),
            reason: error.to_string(),
        })?;
        let below = format!("recipes/{name}");
        write(folder, &format!("{below}/recipe.yaml"), text.as_bytes())?;
        if let Some(lock) = &recipe_info.lock {
            let file = format!("lockfiles/{name}-{}.lock", info.architecture);
            write(folder, &file, lock.encode().as_bytes())?;
            if let Some(tools) = &lock.tools {
                needed.extend(layer_inputs(store, tools.layer, &tools.packages));
            }
        }
        let recipe = recipe.pinned_by(recipe_info.lock.as_ref());
        let pins = recipe.pins().map_err(|missing| RestoreError::Document {
            what: format!("recipe {name}"),
            reason: format!("it is unpinned: it lacks {}", missing[0]),
        })?;
        needed.extend(pins.sources.iter().map(|source| {
            own_input(
                format!("source {} of recipe {name}", source.url.file_name()),
                source.sha256,
            )
        }));
        let patches = recipe
            .patches
            .iter()
            .map(|patch| (&patch.file, patch.sha256));
        let installed = recipe_info
            .installed
            .iter()
            .map(|(file, digest)| (file, *digest));
        for (file, digest) in patches.chain(installed) {
            check_file_name(file)?;
            if store.contains(&digest) {
                let bytes = store.read_blob(&digest).map_err(BuildError::from)?;
                write(folder, &format!("{below}/{file}"), &bytes)?;
            } else {
                missing.push(own_input(format!("file {file} of recipe {name}"), digest));
            }
        }
    }
    missing.extend(
        needed
            .into_iter()
            .filter(|input| !store.contains(&input.digest)),
    );
    if missing.is_empty() {
        return Ok(recipe);
    }
    missing.sort();
    missing.dedup();
    Err(RestoreError::Missing { missing })
}

/// The package of a base image is made beside products that are built in it: writes the least recipe that
/// is one, and puts its source into the store.
fn write_companion(
    info: &BuildInfo,
    store: &Store,
    folder: &Path,
) -> Result<RecipeName, RestoreError> {
    const FILE: &str = "companion-1.tar";
    let url = format!("https://localhost.invalid/{FILE}");
    let source = companion_source();
    let digest = store.write_blob(&source).map_err(BuildError::from)?;
    let document = serde_json::json!({
        "schema": 1,
        "name": COMPANION,
        "version": "1",
        "release": 1,
        "summary": "Stands beside the package of a base image",
        "license": "Apache-2.0",
        "homepage": "https://localhost.invalid/",
        "identity": {"supplier": "kiln"},
        "base": info.base.name,
        "sources": [{"url": url, "sha256": digest.to_hex(), "released": "2000-01-01"}],
        "steps": {
            "use": "none",
            "build": "true",
            "install": format!("install -D -m 644 README \"$DESTDIR/usr/share/{COMPANION}/README\""),
        },
        "packages": [{"name": COMPANION, "files": [format!("/usr/share/{COMPANION}/README")]}],
    });
    let recipe: RecipeName = COMPANION.parse().expect("a constant name");
    let lock = RecipeLock {
        format: LOCK_FORMAT,
        recipe: recipe.clone(),
        architecture: info.architecture,
        base: info.base.name.clone(),
        base_manifest: info.base.manifest,
        sources: vec![LockedSource {
            url: url.parse().expect("a constant address"),
            sha256: digest,
            sha512: Some(Sha512::of(&source)),
            size: Some(source.len() as u64),
            git: None,
        }],
        tools: None,
    };
    let file = format!("recipes/{COMPANION}/recipe.yaml");
    write(folder, &file, document.to_string().as_bytes())?;
    let file = format!("lockfiles/{COMPANION}-{}.lock", info.architecture);
    write(folder, &file, lock.encode().as_bytes())?;
    Ok(recipe)
}

/// The name of the recipe beside a base image's package.
const COMPANION: &str = "companion";

fn companion_source() -> Vec<u8> {
    let text = b"Stands beside the package of a base image.\n";
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    let mut archive = tar::Builder::new(Vec::new());
    let added = archive.append_data(&mut header, "companion-1/README", text.as_slice());
    added.expect("a short name and a short text, in memory");
    archive.into_inner().expect("memory takes two blocks more")
}

/// Writes the base image's file, its lock and `kiln.toml`.
fn restore_base(info: &BuildInfo, folder: &Path) -> Result<BaseImage, RestoreError> {
    let name = &info.base.name;
    let text = info.base.document.to_string();
    let base = BaseImage::parse(text.as_bytes(), name.as_str());
    let base = base.map_err(|error| RestoreError::Document {
        what: format!("base image {name}"),
        reason: error.to_string(),
    })?;
    write(folder, &format!("base-images/{name}.yaml"), text.as_bytes())?;
    if let (BaseOrigin::Archive(archive), Some(layer)) = (&base.origin, info.base.layer) {
        // Packages do not carry the archive's keys: what these signed is pinned by digest already.
        for key in &archive.keys {
            check_file_name(key)?;
            write(folder, &format!("base-images/{key}"), PLACEHOLDER_KEY)?;
        }
        let keys: Vec<Vec<u8>> = archive
            .keys
            .iter()
            .map(|_| PLACEHOLDER_KEY.to_vec())
            .collect();
        let unknown = || LockedArchive {
            distribution: "debian".to_owned(),
            suite: archive.suite.clone(),
            release: archive.release.clone(),
            date: "Thu, 01 Jan 1970 00:00:00 UTC".to_owned(),
            in_release: Digest::of(b""),
            packages_index: Digest::of(b""),
            key: String::new(),
        };
        let lock = BaseLock {
            format: LOCK_FORMAT,
            base: name.clone(),
            architecture: info.architecture,
            request: base_request(archive, &keys, info.architecture),
            manifest: info.base.manifest,
            layer,
            archive: info.base.archive.clone().unwrap_or_else(unknown),
            packages: info.base.packages.clone(),
        };
        let file = format!("lockfiles/{name}-{}.lock", info.architecture);
        write(folder, &file, lock.encode().as_bytes())?;
    }
    let organization = toml::to_string(&Organized {
        organization: &info.organization,
    });
    let organization = organization.expect("an organisation is three texts");
    write(folder, "kiln.toml", organization.as_bytes())?;
    create_folders(folder, "recipes").map_err(BuildError::from)?;
    Ok(base)
}

/// What stands where a project has its archive's public keys.
const PLACEHOLDER_KEY: &[u8] = b"not carried by packages\n";

#[derive(serde::Serialize)]
struct Organized<'a> {
    organization: &'a kiln_model::Organization,
}

fn write(folder: &Path, file: &str, bytes: &[u8]) -> Result<(), BuildError> {
    Ok(write_file(folder, file, bytes)?)
}

fn check_file_name(file: &str) -> Result<(), RestoreError> {
    let is_inside = file != "recipe.yaml"
        && !file.chars().any(char::is_control)
        && file.split('/').all(|part| !matches!(part, "" | "." | ".."));
    if is_inside {
        return Ok(());
    }
    Err(RestoreError::FileName {
        file: file.escape_debug().collect(),
    })
}
