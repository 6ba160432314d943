//! Lays out recipes and base image files; a file is written whole or not at all.

use std::path::{Path, PathBuf};

use kiln_model::recipe::FormatError;
use kiln_model::{BaseImage, Recipe};

use crate::error::BuildError;
use crate::project::{ProjectError, read_text_file, relative, sorted_entries};
use crate::publish::replace;
use crate::recipe_folders::{RECIPE_FILE, is_recipe_folder, recipe_folders};

/// A file before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatted {
    /// The file, relative to the project's root where it lies in it.
    pub file: PathBuf,
    /// Its text.
    pub before: String,
    /// Its text in the one layout.
    pub after: String,
    path: PathBuf,
}

impl Formatted {
    /// Returns whether the file is laid out already.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.before == self.after
    }

    /// Writes the file with its new layout; its permissions stay.
    ///
    /// # Errors
    /// `Io`, with the path. A half-written file never stays.
    pub fn write(&self) -> Result<(), BuildError> {
        replace(&self.path, self.after.as_bytes())
    }
}

/// Returns every recipe and base image file of the project in `root`, sorted.
#[must_use]
pub fn formattable(root: &Path) -> Vec<PathBuf> {
    let recipes = recipe_folders(root).into_iter();
    let recipes = recipes
        .filter(|folder| is_recipe_folder(folder))
        .map(|folder| folder.join(RECIPE_FILE));
    let bases = sorted_entries(&root.join("base-images")).into_iter();
    let bases = bases.filter(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    recipes.chain(bases).collect()
}

/// Returns the file that `name` means: a path, or the name of a recipe or base image.
///
/// # Errors
/// `NothingToFormat` with the names that there are.
pub fn formattable_named(root: &Path, name: &str) -> Result<PathBuf, BuildError> {
    let all = formattable(root);
    let named = all.iter().find(|file| short_name(file) == name);
    if let Some(file) = named.filter(|_| !name.contains('/')) {
        return Ok(file.clone());
    }
    let path = PathBuf::from(name);
    if path.symlink_metadata().is_ok() {
        return Ok(path);
    }
    Err(BuildError::NothingToFormat {
        name: name.to_owned(),
        known: all.iter().map(|file| short_name(file)).collect(),
    })
}

/// Returns the name of a recipe or base image by its file.
fn short_name(file: &Path) -> String {
    let name = if is_recipe(file) {
        file.parent().and_then(Path::file_name)
    } else {
        file.file_stem()
    };
    name.unwrap_or_default().to_string_lossy().into_owned()
}

fn is_recipe(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "recipe.yaml")
}

/// Lays out one file; nothing is written yet.
///
/// # Errors
/// `Project` when it is wrong or no regular file, `Layout` when it can not be laid out without a
/// change of what it says.
pub fn format_file(root: &Path, file: &Path) -> Result<Formatted, BuildError> {
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    let folder = fs_err::canonicalize(folder.unwrap_or(Path::new(".")))?;
    let path = folder.join(file.file_name().unwrap_or_default());
    let shown = relative(root, &path);
    let is_base = path
        .parent()
        .is_some_and(|folder| folder.ends_with("base-images"));
    if !is_recipe(&path) && !is_base {
        return Err(BuildError::Layout {
            file: shown,
            reason: "it is neither a recipe.yaml nor in `base-images`".to_owned(),
        });
    }
    let bytes = read_text_file(&path, &shown)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let name = short_name(&path);
    let formatted = if is_recipe(&path) {
        Recipe::format(&bytes, &name)
    } else {
        BaseImage::format(&bytes, &name)
    };
    let after = formatted.map_err(|error| match error {
        FormatError::Yaml(error) => BuildError::from(ProjectError::Yaml {
            file: shown.clone(),
            text: text.clone(),
            error: Box::new(error),
        }),
        FormatError::Changed { reason } => BuildError::Layout {
            file: shown.clone(),
            reason,
        },
    })?;
    Ok(Formatted {
        file: shown,
        before: text,
        after,
        path,
    })
}
