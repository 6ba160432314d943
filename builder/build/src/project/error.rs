//! What can be wrong with a project on disk.

use std::path::PathBuf;

use kiln_model::recipe::YamlError;
use kiln_model::{BaseName, ConfigError, LockError, PackageName, RecipeName};

use crate::file_clash::FileClash;
use crate::service::UserClash;

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
    /// A recipe lies in a group within a group.
    #[error("`{}` lies too deep: nothing looks for recipes there", .file.display())]
    TooDeep {
        /// The recipe's file, relative to the project's root.
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
    #[error("{error}")]
    Config {
        /// The file.
        file: PathBuf,
        /// Its text, to show the line.
        text: String,
        /// What is wrong and where.
        error: Box<ConfigError>,
    },
    /// A file with a public key, which a base image names, can not be read.
    #[error("base image `{base}`: `{}` can not be read: {reason}", .file.display())]
    Key {
        /// The base image.
        base: BaseName,
        /// The file, relative to the project's root.
        file: PathBuf,
        /// The file as the base image names it.
        key: String,
        /// Why.
        reason: String,
    },
    /// A file that a package installs from the recipe's folder can not be read.
    #[error("file `{file}` of recipe {recipe} can not be installed: {reason}")]
    InstallFile {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The file, relative to the recipe's folder.
        file: String,
        /// Why.
        reason: String,
    },
    /// Two recipes have one name.
    #[error(
        "recipe {recipe} is there twice: in `{}` and in `{}`", .first.display(), .second.display()
    )]
    SameName {
        /// The name.
        recipe: RecipeName,
        /// The folder of the one that counts, relative to the root.
        first: PathBuf,
        /// The folder of the other one.
        second: PathBuf,
    },
    /// Two declarations of users that no host can satisfy both.
    #[error(transparent)]
    UserClash(Box<UserClash>),
    /// One file of two recipes' packages.
    #[error(transparent)]
    FileClash(Box<FileClash>),
    /// A lockfile is damaged or newer.
    #[error("{error}")]
    Lock {
        /// The file, relative to the project's root.
        file: PathBuf,
        /// What is wrong.
        error: LockError,
    },
    /// A base image was chosen that there is not.
    #[error("no base image `{base}`")]
    UnknownBase {
        /// The name asked for.
        base: BaseName,
        /// Base images that there are.
        known: Vec<BaseName>,
    },
    /// Two things would write the same files.
    #[error("the name `{name}` in recipe `{recipe}` is taken by {by}")]
    NameTaken {
        /// The recipe.
        recipe: RecipeName,
        /// The name: of the recipe itself, or of one of its packages.
        name: String,
        /// What has it already.
        by: String,
    },
}
