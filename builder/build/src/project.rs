//! A project on disk: its recipes, base images, lockfiles and settings, read once.

mod error;
mod lockfiles;

pub use error::ProjectError;

pub(crate) use lockfiles::SOURCES_OF;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use kiln_model::recipe::{Cause, Patch, YamlError, places_of};
use kiln_model::{BaseImage, BaseName, BaseOrigin, Config, Digest, Recipe, RecipeName};
use walkdir::WalkDir;

use crate::error::BuildError;
use crate::file_clash::file_clashes;
use crate::graph::{NodeId, Prefix};
use crate::recipe_folders::{RECIPE_FILE, is_recipe_folder, recipe_folders, too_deep};
use crate::service::{read_installed, user_clashes};
use crate::side_by_side::side_by_side;

/// A recipe and the file that it came from.
#[derive(Debug, Clone)]
pub struct LoadedRecipe {
    /// What the file says.
    pub recipe: Recipe,
    /// The folder, with the patches.
    pub folder: PathBuf,
    /// The digest of the file's bytes.
    pub digest: Digest,
    /// The bytes of the files that its packages install from the folder, by path in it.
    pub installed: BTreeMap<String, Vec<u8>>,
}

/// What could be read of a project, and everything that could not.
#[derive(Debug)]
pub struct Survey {
    /// What could be read.
    pub project: Project,
    /// What is wrong with single files, in the order of their names.
    pub errors: Vec<ProjectError>,
    /// Recipes whose file is there but wrong.
    pub broken_recipes: BTreeSet<String>,
    /// Base images whose file is there but wrong.
    pub broken_bases: BTreeSet<String>,
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
    /// The base image that was chosen for all recipes, whatever they name.
    pub chosen_base: Option<BaseName>,
    /// The recipes that are built on another base image than their files name.
    pub moved: BTreeSet<RecipeName>,
    /// The texts of all these files, to show lines of them, by path relative to the root.
    pub texts: BTreeMap<PathBuf, String>,
}

/// Largest patch, in bytes.
const MAX_PATCH: u64 = 64 << 20;

/// Most bytes that are read of a file that people write; their readers refuse far smaller ones.
const MAX_TEXT: u64 = 8 << 20;

impl LoadedRecipe {
    /// Reads one of the recipe's patches and compares it with its pin.
    ///
    /// # Errors
    /// `Patch` when it has other bytes, `PatchFile` when it is missing, no regular file, or too large.
    pub fn read_patch(&self, patch: &Patch) -> Result<Vec<u8>, BuildError> {
        let file = self.folder.join(&patch.file);
        let unusable = |reason: String| BuildError::PatchFile {
            recipe: self.recipe.name.clone(),
            patch: patch.file.clone(),
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
                recipe: self.recipe.name.clone(),
                patch: patch.file.clone(),
                expected: patch.sha256,
                actual,
            });
        }
        Ok(bytes)
    }

    /// Returns the digests of the files that its packages install from the folder, by path in it.
    #[must_use]
    pub fn installed_digests(&self) -> BTreeMap<&str, Digest> {
        self.installed
            .iter()
            .map(|(file, bytes)| (file.as_str(), Digest::of(bytes)))
            .collect()
    }

    /// Compares every patch with its pin.
    ///
    /// # Errors
    /// As [`LoadedRecipe::read_patch`], of the first patch that is wrong.
    pub fn check_patches(&self) -> Result<(), BuildError> {
        self.wrong_patches().next().map_or(Ok(()), Err)
    }

    /// Returns what is wrong with each patch that is not the pinned one.
    pub fn wrong_patches(&self) -> impl Iterator<Item = BuildError> {
        self.recipe
            .patches
            .iter()
            .filter_map(|patch| self.read_patch(patch).err())
    }
}

impl Project {
    /// Reads the project in `root`. Every file that is wrong is reported, not only the first.
    ///
    /// # Errors
    /// All that is wrong, with what could be read.
    pub fn load(root: &Path) -> Result<Self, Box<Survey>> {
        Self::load_on(root, None)
    }

    /// Does the same with a base image for all recipes, whatever they name.
    ///
    /// # Errors
    /// As [`Project::load`], and a base image that there is not.
    pub fn load_on(root: &Path, base: Option<&BaseName>) -> Result<Self, Box<Survey>> {
        let survey = Self::survey_on(root, base);
        if survey.errors.is_empty() {
            Ok(survey.project)
        } else {
            Err(Box::new(survey))
        }
    }

    /// Reads what can be read of the project in `root`.
    #[must_use]
    pub fn survey(root: &Path) -> Survey {
        Self::survey_on(root, None)
    }

    /// Does the same with a base image for all recipes, whatever they name.
    #[must_use]
    pub fn survey_on(root: &Path, base: Option<&BaseName>) -> Survey {
        let mut survey = Survey {
            project: Self {
                root: root.to_owned(),
                config: Config::default(),
                recipes: BTreeMap::new(),
                bases: BTreeMap::new(),
                chosen_base: base.cloned(),
                moved: BTreeSet::new(),
                texts: BTreeMap::new(),
            },
            errors: Vec::new(),
            broken_recipes: BTreeSet::new(),
            broken_bases: BTreeSet::new(),
        };
        if root.join("recipes").is_dir() {
            survey.read_config();
            survey.read_recipes();
            survey.read_bases();
            survey.find_defaults();
            let taken = taken_names(&survey.project.recipes, &survey.project.bases);
            survey.errors.extend(taken);
            let recipes = survey.project.recipes.values();
            let clashes = user_clashes(recipes.map(|loaded| &loaded.recipe));
            let clashes = clashes.into_iter().map(Box::new);
            survey.errors.extend(clashes.map(ProjectError::UserClash));
            let recipes = survey.project.recipes.values();
            let clashes = file_clashes(recipes.map(|loaded| &loaded.recipe));
            let clashes = clashes.into_iter().map(Box::new);
            survey.errors.extend(clashes.map(ProjectError::FileClash));
            survey.choose_bases();
        } else {
            survey.errors.push(ProjectError::NoRecipes {
                root: root.to_owned(),
            });
        }
        survey
    }

    /// Returns where a recipe's file lies, relative to the root.
    #[must_use]
    pub fn recipe_file(&self, name: &RecipeName) -> PathBuf {
        self.recipe_folder(name).join(RECIPE_FILE)
    }

    /// Returns the folder of a recipe, relative to the root: of one that is not there, where it would
    /// be looked for first.
    #[must_use]
    pub fn recipe_folder(&self, name: &RecipeName) -> PathBuf {
        let loaded = self.recipes.get(name);
        loaded.map_or_else(
            || Path::new("recipes").join(name.as_str()),
            |loaded| relative(&self.root, &loaded.folder),
        )
    }

    /// Returns where a base image's file lies, relative to the root.
    #[must_use]
    pub fn base_file(&self, name: &BaseName) -> PathBuf {
        Path::new("base-images").join(format!("{name}.yaml"))
    }

    /// Returns the recipes that yield packages, and the libraries that no recipe bundles; unpinned ones are
    /// among them.
    #[must_use]
    pub fn products(&self) -> Vec<RecipeName> {
        let recipes = || self.recipes.values().map(|loaded| &loaded.recipe);
        let bundled: BTreeSet<&RecipeName> = recipes()
            .flat_map(|recipe| recipe.bundled().map(|(_, from, _)| from))
            .collect();
        recipes()
            .filter(|recipe| !recipe.packages.is_empty() || !bundled.contains(&recipe.name))
            .map(|recipe| recipe.name.clone())
            .collect()
    }

    /// Returns the product that a node is built for, unless that is the node's own recipe.
    #[must_use]
    pub fn product_of(&self, node: &NodeId) -> Option<&RecipeName> {
        let Prefix::Bundle(prefix) = &node.prefix else {
            return None;
        };
        let mut recipes = self.recipes.iter();
        let (name, _) = recipes.find(|(_, loaded)| loaded.recipe.bundle_prefix == *prefix)?;
        (*name != node.recipe).then_some(name)
    }

    /// Reads the public keys that a base image names.
    ///
    /// # Errors
    /// `Key`, with the file's name.
    pub fn base_keys(&self, base: &BaseImage) -> Result<Vec<Vec<u8>>, ProjectError> {
        let BaseOrigin::Archive(archive) = &base.origin else {
            return Ok(Vec::new());
        };
        let read = |key: &String| {
            let file = Path::new("base-images").join(key);
            read_bounded(&self.root.join(&file), MAX_TEXT).map_err(|error| ProjectError::Key {
                base: base.name.clone(),
                file,
                key: key.clone(),
                reason: error.to_string(),
            })
        };
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

pub(crate) fn relative(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}

/// Lists a folder's entries by name; none when it is missing.
pub(crate) fn sorted_entries(folder: &Path) -> Vec<PathBuf> {
    let walk = WalkDir::new(folder)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    walk.into_iter()
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path)
        .collect()
}

/// Reads at most `limit` bytes and one more, so that a reader notices that there are too many.
fn read_bounded(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let file = fs_err::File::open(path)?;
    // Room for all of it at once: a bounded reader knows no size and begins with tiny reads.
    let size = file.metadata().map_or(0, |found| found.len()).min(limit);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    file.take(limit + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads a file that people write, called `shown` in errors.
///
/// # Errors
/// `NotAFile` or `Io`.
pub(crate) fn read_text_file(path: &Path, shown: &Path) -> Result<Vec<u8>, ProjectError> {
    if !path.symlink_metadata()?.is_file() {
        let file = shown.to_owned();
        return Err(ProjectError::NotAFile { file });
    }
    Ok(read_bounded(path, MAX_TEXT)?)
}

impl Survey {
    /// Reads one file that people write; `None` when it can not be read, which is kept as an error.
    fn read(&mut self, file: &Path) -> Option<Vec<u8>> {
        let bytes = read_text_file(&self.project.root.join(file), file);
        self.take(file, bytes)
    }

    /// Keeps the text of a file that was read, or the error.
    fn take(&mut self, file: &Path, bytes: Result<Vec<u8>, ProjectError>) -> Option<Vec<u8>> {
        match bytes {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.project.texts.insert(file.to_owned(), text);
                Some(bytes)
            }
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    fn yaml(&mut self, file: &Path, error: YamlError) {
        let text = &self.project.texts[file];
        let places = match &error.cause {
            // A draft has several of them: all are told.
            Cause::Placeholder { text: placeholder } => places_of(placeholder, text),
            _ => vec![error.place],
        };
        self.errors
            .extend(places.into_iter().map(|place| ProjectError::Yaml {
                file: file.to_owned(),
                text: text.clone(),
                error: Box::new(YamlError {
                    place,
                    cause: error.cause.clone(),
                }),
            }));
    }

    fn read_config(&mut self) {
        let file = Path::new("kiln.toml");
        if self.project.root.join(file).symlink_metadata().is_err() {
            return;
        }
        let Some(bytes) = self.read(file) else {
            return;
        };
        match Config::parse(&bytes) {
            Ok(config) => self.project.config = config,
            Err(error) => self.errors.push(ProjectError::Config {
                file: file.to_owned(),
                text: self.project.texts[file].clone(),
                error: Box::new(error),
            }),
        }
    }

    /// Looks for the recipes that `kiln.toml` names; those whose file is wrong are told of already.
    fn find_defaults(&mut self) {
        let file = Path::new("kiln.toml");
        let Some(text) = self.project.texts.get(file) else {
            return;
        };
        let recipes = self.project.recipes.keys().map(RecipeName::as_str);
        let broken = self.broken_recipes.iter().map(String::as_str);
        let known: Vec<&str> = recipes.chain(broken).collect();
        let unknown = self.project.config.unknown_defaults(text, &known);
        let errors = unknown.into_iter().map(|error| ProjectError::Config {
            file: file.to_owned(),
            text: text.clone(),
            error: Box::new(error),
        });
        self.errors.extend(errors);
    }

    fn read_recipes(&mut self) {
        let root = self.project.root.clone();
        let folders = recipe_folders(&root).into_iter();
        let (folders, others): (Vec<_>, Vec<_>) =
            folders.partition(|folder| is_recipe_folder(folder));
        let deep = too_deep(&root, &others).into_iter();
        let deep = deep.map(|file| relative(&root, &file));
        self.errors
            .extend(deep.map(|file| ProjectError::TooDeep { file }));
        let read = side_by_side(&folders, |folder| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let file = relative(&root, folder).join(RECIPE_FILE);
            let bytes = read_text_file(&root.join(&file), &file);
            let parsed = bytes.as_ref().ok().map(|bytes| {
                let recipe = Recipe::parse(bytes, &name)?;
                Ok((self.project.pinned(recipe), Digest::of(bytes)))
            });
            (name.into_owned(), file, bytes, parsed)
        });
        for (folder, (name, file, bytes, parsed)) in folders.into_iter().zip(read) {
            self.take(&file, bytes);
            match parsed {
                Some(Ok((recipe, digest))) => {
                    let name = recipe.name.clone();
                    if let Some(first) = self.project.recipes.get(&name) {
                        self.errors.push(ProjectError::SameName {
                            recipe: name,
                            first: relative(&root, &first.folder),
                            second: relative(&root, &folder),
                        });
                        continue;
                    }
                    let read = read_installed(&folder, &recipe);
                    self.errors.extend(read.errors);
                    for (file, bytes) in &read.files {
                        let text = String::from_utf8_lossy(bytes).into_owned();
                        let texts = &mut self.project.texts;
                        texts.insert(relative(&root, &folder).join(file), text);
                    }
                    let loaded = LoadedRecipe {
                        recipe,
                        folder,
                        digest,
                        installed: read.files,
                    };
                    self.project.recipes.insert(name, loaded);
                    continue;
                }
                Some(Err(error)) => self.yaml(&file, error),
                None => {}
            }
            self.broken_recipes.insert(name);
        }
    }

    /// Puts recipes onto the base image that was chosen for all of them, and gives each recipe's release
    /// the dist tag of its base image.
    fn choose_bases(&mut self) {
        let project = &mut self.project;
        if let Some(base) = &project.chosen_base
            && !project.bases.contains_key(base)
        {
            if !self.broken_bases.contains(base.as_str()) {
                self.errors.push(ProjectError::UnknownBase {
                    base: base.clone(),
                    known: project.bases.keys().cloned().collect(),
                });
            }
            return;
        }
        for (name, loaded) in &mut project.recipes {
            let recipe = &mut loaded.recipe;
            if let Some(base) = &project.chosen_base
                && recipe.base != *base
            {
                recipe.base = base.clone();
                project.moved.insert(name.clone());
            }
            let base = project.bases.get(&recipe.base);
            if let Some(dist) = base.and_then(|base| base.dist.as_ref()) {
                recipe.release = recipe.release.with_dist(dist);
            }
        }
    }

    fn read_bases(&mut self) {
        for path in sorted_entries(&self.project.root.join("base-images")) {
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let file = relative(&self.project.root, &path);
            match self
                .read(&file)
                .map(|bytes| BaseImage::parse(&bytes, &stem))
            {
                Some(Ok(base)) => {
                    self.project.bases.insert(base.name.clone(), base);
                    continue;
                }
                Some(Err(error)) => self.yaml(&file, error),
                None => {}
            }
            self.broken_bases.insert(stem.into_owned());
        }
    }
}
