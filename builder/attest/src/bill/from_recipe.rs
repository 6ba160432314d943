//! Contents from what `model` already holds: recipes, lockfiles, `kiln.toml`.

use std::collections::BTreeMap;

use kiln_model::{
    Digest, LicenseExpression, Line, LockedArchive, LockedSource, NameError, Recipe, RecipeName,
    Sha512, TextError, recipe,
};

use super::contents::{DistributionRelease, Licensing, Patch, Software, Source};
use crate::party::Organization;

/// Says why a recipe and its lockfile do not make a piece of software.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SoftwareError {
    /// The lockfile does not hold a source of the recipe.
    #[error("source `{file}` of `{recipe}` is not in its lockfile: {sha256}")]
    NotLocked {
        /// The recipe.
        recipe: RecipeName,
        /// The source's file name.
        file: String,
        /// The source's digest.
        sha256: Digest,
    },
    /// No sha512 was given for a patch.
    #[error("no sha512 was taken of `{file}` of `{recipe}`")]
    Patch {
        /// The recipe.
        recipe: RecipeName,
        /// The patch.
        file: String,
    },
}

impl Software {
    /// Takes over what a recipe, its lockfile and the bytes of its patches say. `libraries` and `installed`
    /// are empty and the concluded licence is the declared one: all are the caller's to fill in.
    ///
    /// # Errors
    /// When a source is not locked, or nothing but its digest is known, or a patch has no sha512.
    pub fn from_recipe(
        recipe: &Recipe,
        locked: &[LockedSource],
        patches: &BTreeMap<String, Sha512>,
    ) -> Result<Self, SoftwareError> {
        let homepage = recipe.homepage.as_str().parse().ok();
        let sources = recipe
            .planned()
            .sources
            .iter()
            .map(|source| join_source(recipe, source, locked));
        let patches = recipe
            .patches
            .iter()
            .map(|patch| join_patch(recipe, patch, patches));
        Ok(Self {
            recipe: recipe.name.clone(),
            library: recipe.identity.library.clone(),
            version: recipe.version.clone(),
            release: recipe.release.clone(),
            summary: recipe.summary.clone(),
            purl: recipe.identity.purl.clone(),
            cpes: recipe.identity.cpe.clone(),
            licensing: Licensing::of(&recipe.license),
            producer: Organization {
                name: recipe.identity.supplier.clone(),
                email: None,
                url: homepage.clone(),
            },
            homepage,
            copyright: None,
            sources: sources.collect::<Result<_, _>>()?,
            patches: patches.collect::<Result<_, _>>()?,
            installed: BTreeMap::new(),
            libraries: Vec::new(),
        })
    }
}

fn join_source(
    recipe: &Recipe,
    source: &recipe::Source,
    locked: &[LockedSource],
) -> Result<Source, SoftwareError> {
    let is_it = |pin: &&LockedSource| pin.sha256 == source.sha256 && pin.url == source.url;
    let pin = locked.iter().find(is_it);
    let known = pin.and_then(|pin| Some((pin, pin.sha512?, pin.size?)));
    let (pin, sha512, size) = known.ok_or_else(|| SoftwareError::NotLocked {
        recipe: recipe.name.clone(),
        file: source.url.file_name().to_owned(),
        sha256: source.sha256,
    })?;
    Ok(Source {
        url: source.url.clone(),
        mirrors: source.mirrors.clone(),
        sha256: source.sha256,
        sha512,
        size,
        released: source.released,
        repacked: source.repacked.clone(),
        git: pin.git.clone(),
    })
}

fn join_patch(
    recipe: &Recipe,
    patch: &recipe::Patch,
    digests: &BTreeMap<String, Sha512>,
) -> Result<Patch, SoftwareError> {
    let sha512 = digests
        .get(&patch.file)
        .ok_or_else(|| SoftwareError::Patch {
            recipe: recipe.name.clone(),
            file: patch.file.clone(),
        })?;
    Ok(Patch {
        file: patch.file.clone(),
        sha256: patch.sha256,
        sha512: *sha512,
        resolves: patch.resolves.clone(),
    })
}

impl Licensing {
    /// Takes a declared licence as the concluded one too: nobody has looked deeper.
    #[must_use]
    pub fn of(declared: &LicenseExpression) -> Self {
        Self {
            declared: declared.clone(),
            concluded: declared.clone(),
        }
    }
}

/// Says why an archive's names do not make a distribution's release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DistributionError {
    /// The distribution's id or release is not one that a purl can carry.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The vendor's name is not one line of text.
    #[error(transparent)]
    Vendor(#[from] TextError),
}

impl DistributionRelease {
    /// Takes over what a base image's lockfile says of the archive: `debian` `12.15` becomes
    /// `debian-12` of `Debian`. Purls name the major release: that is what advisories are kept for.
    ///
    /// # Errors
    /// When the lockfile's texts are no names.
    pub fn from_archive(archive: &LockedArchive) -> Result<Self, DistributionError> {
        let major = archive.release.split('.').next().unwrap_or_default();
        let mut vendor = archive.distribution.clone();
        if let Some(first) = vendor.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Ok(Self {
            id: archive.distribution.parse()?,
            release: major.parse()?,
            vendor: vendor.parse::<Line>()?,
        })
    }
}
