//! Drafts a recipe from a source tarball: what the tarball says, and marks where only people know.
//!
//! Nothing is unpacked. What is a guess says so in a comment; what is not known is a placeholder that
//! `kiln check` refuses until someone has replaced it.

mod license;
mod name;
mod scan;
mod text;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use kiln_image::UnpackError;
use kiln_model::{BaseName, Digest, Location, NameError, RecipeName, Version};

use crate::error::BuildError;
use crate::project::{Project, sorted_entries};
use crate::publish::create;

/// What a draft is made from.
#[derive(Debug, Clone)]
pub struct DraftRequest<'a> {
    /// The project's folder.
    pub root: &'a Path,
    /// The recipe's name, when the file's name says another one or none.
    pub name: Option<&'a str>,
    /// The version, when the file's name says another one or none.
    pub version: Option<&'a str>,
    /// The base image that was chosen.
    pub base: Option<&'a BaseName>,
    /// The tarball's file name.
    pub file_name: &'a str,
    /// Where the tarball came from, when not from a file.
    pub location: Option<&'a Location>,
    /// The tarball's digest.
    pub sha256: Digest,
}

/// A recipe that was drafted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its name.
    pub name: RecipeName,
    /// The file, relative to the project's root.
    pub file: PathBuf,
    /// Keys whose values people have to fill in, in the file's order.
    pub open: Vec<&'static str>,
}

/// Says why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// The file's name is not of the form `NAME-VERSION`.
    #[error("the file name `{file_name}` does not say {what}")]
    NoGuess {
        /// The file's name.
        file_name: String,
        /// What it does not say.
        what: &'static str,
        /// The option that says it instead.
        option: &'static str,
    },
    /// A name or version does not follow its grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is such a recipe already.
    #[error("`{}` is there already", .file.display())]
    Exists {
        /// The file, relative to the project's root.
        file: PathBuf,
    },
    /// The tarball can not be read, or holds what no source archive should.
    #[error(transparent)]
    Archive(#[from] UnpackError),
    /// The draft can not be written.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// Drafts `recipes/NAME/recipe.yaml` in the project; an existing one is never touched.
///
/// # Errors
/// `Exists`, `Archive`, or what the file's name does not say.
pub fn draft(request: &DraftRequest<'_>, archive: &mut dyn Read) -> Result<Draft, DraftError> {
    let address = request.location.map(ToString::to_string);
    let guess = name::guess(request.file_name, address.as_deref());
    let say = |given: Option<&str>, guessed: &str, what, option| match given {
        Some(text) => Ok(text.to_owned()),
        None if guessed.is_empty() => Err(DraftError::NoGuess {
            file_name: request.file_name.to_owned(),
            what,
            option,
        }),
        None => Ok(guessed.to_owned()),
    };
    let name: RecipeName = say(request.name, &guess.name, "a name", "--name")?.parse()?;
    let version: Version =
        say(request.version, &guess.version, "a version", "--version")?.parse()?;
    let file = Path::new("recipes").join(name.as_str()).join("recipe.yaml");
    let path = request.root.join(&file);
    if path.symlink_metadata().is_ok() {
        return Err(DraftError::Exists { file });
    }
    let found = scan::scan(archive, request.file_name)?;
    let text = text::write(&text::Facts {
        name: &name,
        version: &version,
        upstream_version: guess.upstream.filter(|_| request.version.is_none()),
        bases: match request.base {
            Some(base) => vec![base.clone()],
            None => bases(request.root),
        },
        address,
        file_name: request.file_name,
        sha256: request.sha256,
        found: &found,
    });
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder).map_err(BuildError::from)?;
    }
    match create(&path, text.yaml.as_bytes()) {
        // Another kiln was quicker.
        Err(BuildError::Publish { source, .. })
            if source.kind() == std::io::ErrorKind::AlreadyExists =>
        {
            Err(DraftError::Exists { file })
        }
        Err(error) => Err(error.into()),
        Ok(()) => Ok(Draft {
            name,
            file,
            open: text.open,
        }),
    }
}

/// Returns the base image that every other recipe names, else all of the project's by their files' names.
fn bases(root: &Path) -> Vec<BaseName> {
    let recipes = Project::survey(root).project.recipes.into_values();
    let named: BTreeSet<BaseName> = recipes.map(|loaded| loaded.recipe.base).collect();
    if named.len() == 1 {
        return named.into_iter().collect();
    }
    let files = sorted_entries(&root.join("base-images")).into_iter();
    files
        .filter(|file| file.extension().is_some_and(|ending| ending == "yaml"))
        .filter_map(|file| file.file_stem()?.to_str()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests;
