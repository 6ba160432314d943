//! A project on disk: its recipes, base images, lockfiles and settings, read once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_model::recipe::{Patch, YamlError};
use kiln_model::{
    Architecture, BaseImage, BaseLock, BaseName, BaseOrigin, Config, Digest, Lock, LockError,
    Recipe, RecipeLock, RecipeName,
};
use walkdir::WalkDir;

use crate::error::BuildError;

/// A recipe and the file that it came from.
#[derive(Debug, Clone)]
pub struct LoadedRecipe {
    /// What the file says.
    pub recipe: Recipe,
    /// The folder, with the patches.
    pub folder: PathBuf,
    /// The digest of the file's bytes.
    pub digest: Digest,
}

/// Everything that a project's folder says.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project's folder.
    pub root: PathBuf,
    /// `kiln.toml`, or its defaults.
    pub config: Config,
    /// Recipes by name.
    pub recipes: BTreeMap<RecipeName, LoadedRecipe>,
    /// Base images by name.
    pub bases: BTreeMap<BaseName, BaseImage>,
}

/// Says why a project, or one file of it, can not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The folder holds no recipes at all.
    #[error("no `recipes` folder in `{}`", .root.display())]
    NoRecipes {
        /// The folder that was looked at.
        root: PathBuf,
    },
    /// A file or folder can not be read; the error names it.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A recipe is a link, a FIFO or a device: reading it could lead anywhere, or never end.
    #[error("`{}` is no regular file", .file.display())]
    NotAFile {
        /// The file, relative to the project's root.
        file: PathBuf,
    },
    /// A recipe or base image file is wrong.
    #[error("{error}")]
    Yaml {
        /// The file, relative to the project's root.
        file: PathBuf,
        /// Its text, to show the line.
        text: String,
        /// What is wrong and where.
        error: Box<YamlError>,
    },
    /// `kiln.toml` is wrong.
    #[error("{reason}")]
    Config {
        /// The file.
        file: PathBuf,
        /// Its text, to show the line.
        text: String,
        /// What the parser says.
        reason: String,
        /// Where it starts, in bytes.
        offset: usize,
    },
    /// A lockfile is damaged or newer.
    #[error("{error}")]
    Lock {
        /// The file, relative to the project's root.
        file: PathBuf,
        /// What is wrong.
        error: LockError,
    },
    /// Two things would write the same files.
    #[error("the name `{name}` in recipe `{recipe}` is taken by {by}")]
    NameTaken {
        /// The recipe.
        recipe: RecipeName,
        /// The name.
        name: String,
        /// What has it already.
        by: String,
    },
}

/// Largest patch, in bytes.
const MAX_PATCH: u64 = 64 << 20;

impl LoadedRecipe {
    /// Reads one of the recipe's patches and compares it with its pin.
    ///
    /// # Errors
    /// `Patch` when it has other bytes, `PatchFile` when it is missing, no regular file, or too large.
    pub fn read_patch(&self, patch: &Patch) -> Result<Vec<u8>, BuildError> {
        let file = self.folder.join(&patch.file);
        let unusable = |reason: String| BuildError::PatchFile {
            recipe: self.recipe.name.clone(),
            file: file.clone(),
            reason,
        };
        let metadata = file
            .symlink_metadata()
            .map_err(|error| unusable(error.to_string()))?;
        if !metadata.is_file() {
            return Err(unusable("it is no regular file".to_owned()));
        }
        if metadata.len() > MAX_PATCH {
            return Err(unusable(format!("it has more than {MAX_PATCH} bytes")));
        }
        let bytes = fs_err::read(&file)?;
        let actual = Digest::of(&bytes);
        if actual != patch.sha256 {
            return Err(BuildError::Patch {
                file,
                expected: patch.sha256,
                actual,
            });
        }
        Ok(bytes)
    }

    /// Compares every patch with its pin.
    ///
    /// # Errors
    /// As [`LoadedRecipe::read_patch`].
    pub fn check_patches(&self) -> Result<(), BuildError> {
        self.recipe
            .patches
            .iter()
            .try_for_each(|patch| self.read_patch(patch).map(drop))
    }
}

impl Project {
    /// Reads the project in `root`. Every file that is wrong is reported, not only the first.
    ///
    /// # Errors
    /// All that is wrong, in the order of the files' names.
    pub fn load(root: &Path) -> Result<Self, Vec<ProjectError>> {
        let recipes_folder = root.join("recipes");
        if !recipes_folder.is_dir() {
            return Err(vec![ProjectError::NoRecipes {
                root: root.to_owned(),
            }]);
        }
        let mut errors = Vec::new();
        let mut keep = |error: ProjectError| errors.push(error);
        let config = load_config(root).map_err(&mut keep).unwrap_or_default();
        let mut recipes = BTreeMap::new();
        for folder in sorted_entries(&recipes_folder) {
            let file = folder.join("recipe.yaml");
            let Ok(metadata) = file.symlink_metadata() else {
                continue;
            };
            if !metadata.is_file() {
                keep(ProjectError::NotAFile {
                    file: relative(root, &file),
                });
                continue;
            }
            match load_recipe(root, &folder) {
                Ok(loaded) => {
                    recipes.insert(loaded.recipe.name.clone(), loaded);
                }
                Err(error) => keep(error),
            }
        }
        let mut bases = BTreeMap::new();
        for file in sorted_entries(&root.join("base-images")) {
            if file.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            match load_base(root, &file) {
                Ok(base) => {
                    bases.insert(base.name.clone(), base);
                }
                Err(error) => keep(error),
            }
        }
        errors.extend(taken_names(&recipes, &bases));
        if errors.is_empty() {
            Ok(Self {
                root: root.to_owned(),
                config,
                recipes,
                bases,
            })
        } else {
            Err(errors)
        }
    }

    /// Returns where the lockfile of `name`, a recipe or base image, lies.
    #[must_use]
    pub fn lock_path(&self, name: &str, architecture: Architecture) -> PathBuf {
        self.root
            .join("lockfiles")
            .join(format!("{name}-{architecture}.lock"))
    }

    /// Reads the lockfile of an assembled base image; `None` when there is none.
    ///
    /// # Errors
    /// `Io` or `Lock`.
    pub fn base_lock(
        &self,
        name: &BaseName,
        architecture: Architecture,
    ) -> Result<Option<BaseLock>, ProjectError> {
        self.read_lock(name.as_str(), architecture)
    }

    /// Reads the lockfile of a recipe; `None` when there is none.
    ///
    /// # Errors
    /// `Io` or `Lock`.
    pub fn recipe_lock(
        &self,
        name: &RecipeName,
        architecture: Architecture,
    ) -> Result<Option<RecipeLock>, ProjectError> {
        self.read_lock(name.as_str(), architecture)
    }

    fn read_lock<L: Lock>(
        &self,
        name: &str,
        architecture: Architecture,
    ) -> Result<Option<L>, ProjectError> {
        let path = self.lock_path(name, architecture);
        if !path.exists() {
            return Ok(None);
        }
        let text = fs_err::read_to_string(&path)?;
        L::parse(&text)
            .map(Some)
            .map_err(|error| ProjectError::Lock {
                file: relative(&self.root, &path),
                error,
            })
    }

    /// Reads the public keys that a base image names.
    ///
    /// # Errors
    /// `Io`, with the file's name.
    pub fn base_keys(&self, base: &BaseImage) -> Result<Vec<Vec<u8>>, ProjectError> {
        let BaseOrigin::Archive(archive) = &base.origin else {
            return Ok(Vec::new());
        };
        let folder = self.root.join("base-images");
        let read = |file: &String| Ok(fs_err::read(folder.join(file))?);
        archive.keys.iter().map(read).collect()
    }
}

/// Lockfiles, specs, logs and RPMs are named after recipes, base images and packages.
fn taken_names(
    recipes: &BTreeMap<RecipeName, LoadedRecipe>,
    bases: &BTreeMap<BaseName, BaseImage>,
) -> Vec<ProjectError> {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    let mut errors = Vec::new();
    for loaded in recipes.values() {
        let recipe = &loaded.recipe;
        let mut take = |name: String, is_free: bool, by: &str| {
            let earlier = taken.insert(name.clone(), format!("recipe `{}`", recipe.name));
            if let (false, _) | (_, Some(_)) = (is_free, &earlier) {
                let by = earlier.unwrap_or_else(|| by.to_owned());
                errors.push(ProjectError::NameTaken {
                    recipe: recipe.name.clone(),
                    name,
                    by,
                });
            }
        };
        let name = recipe.name.as_str();
        let is_base = bases.keys().any(|base| base.as_str() == name);
        let is_kiln = |name: &str| name.starts_with("kiln-base-");
        take(
            format!("recipe {name}"),
            !is_base && !is_kiln(name),
            "a base image",
        );
        if recipe.packages.is_empty() {
            continue;
        }
        let debug = ["debuginfo", "debugsource"].map(|kind| format!("{name}-{kind}"));
        let packages = recipe
            .packages
            .iter()
            .map(|package| package.name.to_string());
        for package in packages.chain(debug) {
            let is_free = !is_kiln(&package);
            take(
                package,
                is_free,
                "the package that kiln makes of a base image",
            );
        }
    }
    errors
}

fn relative(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}

/// Lists a folder's entries by name; none when it is missing.
fn sorted_entries(folder: &Path) -> Vec<PathBuf> {
    let walk = WalkDir::new(folder)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    walk.into_iter()
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path)
        .collect()
}

fn load_config(root: &Path) -> Result<Config, ProjectError> {
    let path = root.join("kiln.toml");
    if !path.exists() {
        return Ok(Config::default());
    }
    let text = fs_err::read_to_string(&path)?;
    Config::parse(&text).map_err(|error| ProjectError::Config {
        file: relative(root, &path),
        text,
        reason: error.reason,
        offset: error.offset,
    })
}

fn load_recipe(root: &Path, folder: &Path) -> Result<LoadedRecipe, ProjectError> {
    let path = folder.join("recipe.yaml");
    let bytes = fs_err::read(&path)?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let recipe = Recipe::parse(&bytes, &name).map_err(|error| ProjectError::Yaml {
        file: relative(root, &path),
        text: String::from_utf8_lossy(&bytes).into_owned(),
        error: Box::new(error),
    })?;
    Ok(LoadedRecipe {
        recipe,
        folder: folder.to_owned(),
        digest: Digest::of(&bytes),
    })
}

fn load_base(root: &Path, path: &Path) -> Result<BaseImage, ProjectError> {
    let bytes = fs_err::read(path)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    BaseImage::parse(&bytes, &stem).map_err(|error| ProjectError::Yaml {
        file: relative(root, path),
        text: String::from_utf8_lossy(&bytes).into_owned(),
        error: Box::new(error),
    })
}
