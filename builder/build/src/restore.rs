//! From a package's build information back to a project: a folder with just what that package was
//! built from, for a rebuild with no recipe directory at hand.
//!
//! Build information is foreign text. Recipes and base images in it go through the same readers as
//! files, no name in it leads out of the folder, and what a package only names by digest is taken from
//! the store by that digest, or missing.

use std::path::Path;

use kiln_image::base_request;
use kiln_model::{
    BaseImage, BaseLock, BaseOrigin, BuildInfo, Digest, LOCK_FORMAT, Lock, LockedArchive, Recipe,
};
use kiln_store::Store;

use crate::error::BuildError;
use crate::folder::{create_folders, write_file};

/// How the name of a package of a root file system begins.
const DEBIAN_PACKAGE: &str = "Debian package";

/// Something that a rebuild needs and the store does not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MissingInput {
    /// What it is: `source zlib-1.2.13.tar.gz of recipe zlib`.
    pub what: String,
    /// Its digest.
    pub digest: Digest,
}

impl MissingInput {
    /// Returns whether it is one of the many packages of a root file system.
    #[must_use]
    pub fn is_of_base(&self) -> bool {
        self.what.starts_with(DEBIAN_PACKAGE)
    }
}

impl std::fmt::Display for MissingInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}  {}", self.what, self.digest)
    }
}

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

/// Writes a project into the empty folder `folder` that builds the package again.
///
/// # Errors
/// [`RestoreError`]; `Missing` names everything that is not there, not only the first.
pub fn restore_project(info: &BuildInfo, store: &Store, folder: &Path) -> Result<(), RestoreError> {
    let base = restore_base(info, folder)?;
    let mut missing = Vec::new();
    let packages = info.base.packages.iter();
    let mut needed: Vec<MissingInput> = packages
        .map(|package| MissingInput {
            what: format!("{DEBIAN_PACKAGE} {} {}", package.name, package.version),
            digest: package.sha256,
        })
        .collect();
    if let BaseOrigin::Layout { digest, .. } = &base.origin {
        needed.push(MissingInput {
            what: format!("manifest of base image {}", base.name),
            digest: digest.0,
        });
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
            let tools = lock.tools.iter().flat_map(|tools| &tools.packages);
            needed.extend(tools.map(|package| MissingInput {
                what: format!("{DEBIAN_PACKAGE} {} {}", package.name, package.version),
                digest: package.sha256,
            }));
        }
        needed.extend(recipe.sources.iter().map(|source| MissingInput {
            what: format!("source {} of recipe {name}", source.url.file_name()),
            digest: source.sha256,
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
                missing.push(MissingInput {
                    what: format!("file {file} of recipe {name}"),
                    digest,
                });
            }
        }
    }
    missing.extend(
        needed
            .into_iter()
            .filter(|input| !store.contains(&input.digest)),
    );
    if missing.is_empty() {
        return Ok(());
    }
    missing.sort();
    missing.dedup();
    Err(RestoreError::Missing { missing })
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
