//! Build information: what a package says of how it was made, enough to make it again (DESIGN 6).
//!
//! Every package carries it as `/usr/share/kiln/buildinfo/<package>-<arch>.json`, canonical JSON
//! (RFC 8785) and a line feed. It holds what decides the bytes and nothing else: no time, no host, no
//! path of a store, and of the base image's lock only the packages, not the day of the index.
//!
//! Recipes and base images are in it as documents: the YAML without comments and layout, which
//! [`Recipe::parse`] and [`BaseImage::parse`] read, since JSON is YAML.
//!
//! [`Recipe::parse`]: crate::Recipe::parse
//! [`BaseImage::parse`]: crate::BaseImage::parse

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::config::Organization;
use crate::digest::{DiffId, Digest, ManifestDigest};
use crate::lockfile::{LockedArchive, LockedPackage, RecipeLock};
use crate::name::{Architecture, BaseName, PackageName, RecipeName};
use crate::path::SandboxPath;

/// The build information format that this kiln writes, and the newest that it reads.
pub const BUILDINFO_FORMAT: u32 = 2;

/// The oldest format that says enough to rebuild from: 1 named base images by digest only.
const OLDEST: u32 = 2;

/// Largest text of build information that is read, in bytes.
pub const MAX_BUILDINFO: u64 = 16 << 20;

/// The folder that packages carry it in.
pub const BUILDINFO_FOLDER: &str = "/usr/share/kiln/buildinfo/";

/// What one package says of how it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BuildInfo {
    /// [`BUILDINFO_FORMAT`].
    pub format: u32,
    /// The package that carries this.
    pub package: PackageName,
    /// The product's recipe; `None` for the package of a base image.
    pub recipe: Option<RecipeName>,
    /// What it was built for.
    pub architecture: Architecture,
    /// The version of the kiln that built it.
    pub kiln: String,
    /// The version of the step runner's contract.
    pub step_runner: u32,
    /// The base image that it was built in.
    pub base: BaseInfo,
    /// Who built it.
    pub organization: Organization,
    /// The product's recipe and those of everything that it bundles.
    pub recipes: BTreeMap<RecipeName, RecipeInfo>,
}

/// What pins a base image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BaseInfo {
    /// Its name.
    pub name: BaseName,
    /// Its manifest.
    pub manifest: ManifestDigest,
    /// Its file, without comments and layout.
    pub document: Value,
    /// Its one layer, where kiln assembled it.
    pub layer: Option<DiffId>,
    /// The packages in it, where kiln assembled it.
    pub packages: Vec<LockedPackage>,
    /// The index that they were chosen from, where its date decides the bytes: in the package of a base
    /// image itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<LockedArchive>,
}

/// What pins a recipe, and what it was built to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct RecipeInfo {
    /// Its file, without comments and layout.
    pub document: Value,
    /// Its lock.
    pub lock: Option<RecipeLock>,
    /// Where its files go.
    pub prefix: SandboxPath,
    /// The key that it was built for.
    pub build_key: Digest,
    /// The canonical tar of what it installed.
    pub destdir: DiffId,
    /// Files of the recipe's folder that packages install, by path in it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub installed: BTreeMap<String, Digest>,
}

/// Says why build information can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildInfoError {
    /// It is not JSON of the expected shape.
    #[error("the build information is damaged: {reason}")]
    Syntax {
        /// What the parser says, with line and column.
        reason: String,
    },
    /// It was written by a newer kiln.
    #[error(
        "the build information has format {actual}, of a newer kiln; this kiln reads up to {expected}"
    )]
    Newer {
        /// The newest format that this kiln reads.
        expected: u32,
        /// The file's format.
        actual: u32,
    },
    /// It was written by a kiln whose build information did not say everything.
    #[error(
        "the build information has format {actual}, which does not hold all that a rebuild needs; \
         packages since format {expected} do"
    )]
    Older {
        /// The oldest format that says enough.
        expected: u32,
        /// The file's format.
        actual: u32,
    },
    /// The product's recipe is not among its recipes.
    #[error("the build information names recipe {recipe} and does not hold it")]
    NoRecipe {
        /// The product's recipe.
        recipe: RecipeName,
    },
}

impl BuildInfo {
    /// Reads the bytes of a package's build information.
    ///
    /// # Errors
    /// `Syntax`, `Newer`, `Older` or `NoRecipe`.
    pub fn parse(bytes: &[u8]) -> Result<Self, BuildInfoError> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let syntax = |error: serde_json::Error| BuildInfoError::Syntax {
            reason: error.to_string(),
        };
        let Format { format } = serde_json::from_slice(bytes).map_err(syntax)?;
        if format > BUILDINFO_FORMAT {
            return Err(BuildInfoError::Newer {
                expected: BUILDINFO_FORMAT,
                actual: format,
            });
        }
        if format < OLDEST {
            return Err(BuildInfoError::Older {
                expected: OLDEST,
                actual: format,
            });
        }
        let info: Self = serde_json::from_slice(bytes).map_err(syntax)?;
        match &info.recipe {
            Some(recipe) if !info.recipes.contains_key(recipe) => Err(BuildInfoError::NoRecipe {
                recipe: recipe.clone(),
            }),
            _ => Ok(info),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_can_not_be_used_are_named() {
        let parse = |text: &str| BuildInfo::parse(text.as_bytes()).unwrap_err();
        assert_eq!(
            parse(r#"{"format": 3, "whatever": true}"#),
            BuildInfoError::Newer {
                expected: 2,
                actual: 3
            }
        );
        assert_eq!(
            parse(r#"{"format": 1, "base": {}}"#),
            BuildInfoError::Older {
                expected: 2,
                actual: 1
            }
        );
        for damaged in ["", "{}", "[]", "{\"format\": 2}", "{\"format\": \"2\"}"] {
            assert!(
                matches!(parse(damaged), BuildInfoError::Syntax { .. }),
                "{damaged}"
            );
        }
    }

    #[test]
    fn the_recipe_of_a_product_is_among_its_recipes() {
        let info = |recipe: serde_json::Value| {
            let digest = "0".repeat(64);
            let text = serde_json::json!({
                "format": BUILDINFO_FORMAT,
                "package": "demo",
                "recipe": recipe,
                "architecture": "x86_64",
                "kiln": "1",
                "step-runner": 1,
                "base": {
                    "name": "debian-12",
                    "manifest": format!("sha256:{digest}"),
                    "document": {},
                    "layer": null,
                    "packages": [],
                },
                "organization": {"name": "a", "email": "a@a.example", "url": "https://a.example"},
                "recipes": {"demo": {
                    "document": {},
                    "lock": null,
                    "prefix": "/usr",
                    "build-key": format!("sha256:{digest}"),
                    "destdir": format!("sha256:{digest}"),
                }},
            });
            BuildInfo::parse(text.to_string().as_bytes())
        };
        assert!(info("demo".into()).is_ok(), "{:?}", info("demo".into()));
        assert!(info(serde_json::Value::Null).is_ok());
        assert_eq!(
            info("elsewhere".into()).unwrap_err().to_string(),
            "the build information names recipe elsewhere and does not hold it"
        );
    }
}
