//! The command line. Its help is part of the documentation, so it is written for newcomers.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use kiln_model::RecipeName;

/// Builds RPMs from hash-pinned sources, sealed and reproducible.
#[derive(Debug, Parser)]
#[command(name = "kiln", version, max_term_width = 100)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Options of every verb.
    #[command(flatten)]
    pub common: Common,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The project's folder, with `recipes/` and `base-images/`
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".")]
    pub project: PathBuf,
    /// Where sources, root file systems and results are kept; default: `.kiln/store` in the project
    #[arg(long, global = true, value_name = "FOLDER", env = "KILN_STORE")]
    pub store: Option<OsString>,
    /// Where results are put; default: `out` in the project
    #[arg(long, global = true, value_name = "FOLDER", env = "KILN_OUT")]
    pub out: Option<OsString>,
    /// Never open a connection: everything must be in the store
    #[arg(
        long,
        global = true,
        env = "KILN_OFFLINE",
        value_parser = clap::builder::FalseyValueParser::new()
    )]
    pub offline: bool,
    /// Compilers that one step may start; default: one per core
    #[arg(long, short, global = true, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Base address of a Debian archive; given several times, tried in order; default: `kiln.toml`,
    /// then the host's apt configuration
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        env = "KILN_DEBIAN_ARCHIVE",
        value_delimiter = ' '
    )]
    pub debian_archive: Vec<String>,
    /// Trust these certificate authorities for https, instead of the host's
    #[arg(long, global = true, value_name = "FILE", env = "SSL_CERT_FILE")]
    pub trusted_roots: Option<OsString>,
    /// Say only what went wrong
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

/// Returns a path option as a path; an empty one, as an unset variable often is, is none.
pub fn path(option: Option<&OsString>) -> Option<PathBuf> {
    option.filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check recipes, base images, kiln.toml and lockfiles; exit 1 if something is wrong
    Check,
    /// Resolve distribution packages and write lockfiles; needs the network
    Lock(Lock),
    /// Fetch everything that a build needs, so that it can be done with --offline
    Fetch(Names),
    /// Show what a build would do
    Plan(Names),
    /// Build recipes: RPMs, SBOMs and provenance appear in `out/`
    Build(Names),
    /// Draft recipes/NAME/recipe.yaml from a source tarball
    New(New),
    /// Lay out recipes and base image files; every value and comment stays
    Fmt(Fmt),
    /// Say whether this host can isolate builds
    Doctor,
    /// Print a JSON Schema, for editors
    Schema(Schema),
}

/// Which recipes.
#[derive(Debug, Args)]
pub struct Names {
    /// Recipes; default: all that yield packages
    #[arg(value_name = "RECIPE")]
    pub names: Vec<RecipeName>,
}

/// What to lock.
#[derive(Debug, Args)]
pub struct Lock {
    /// Recipes; default: all
    #[arg(value_name = "RECIPE")]
    pub names: Vec<RecipeName>,
    /// Choose base images' packages anew, although their lockfiles fit
    #[arg(long)]
    pub update: bool,
}

/// What to draft.
#[derive(Debug, Args)]
pub struct New {
    /// The tarball: a file, or an https:// or debian: address, from which it is fetched
    #[arg(value_name = "TARBALL")]
    pub tarball: String,
    /// The recipe's name; default: what the file's name says
    #[arg(long)]
    pub name: Option<String>,
    /// Upstream's version; default: what the file's name says
    // Not `version`: that is clap's own flag.
    #[arg(long = "version", value_name = "VERSION")]
    pub upstream_version: Option<String>,
}

/// What to lay out.
#[derive(Debug, Args)]
pub struct Fmt {
    /// Recipes, base images or files; default: all recipes and base images
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Write nothing: exit 1 and show the difference where a file is not laid out
    #[arg(long)]
    pub check: bool,
}

/// Which schema.
#[derive(Debug, Args)]
pub struct Schema {
    /// Of which file
    pub file: SchemaFile,
}

/// A file that people write.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SchemaFile {
    /// recipes/NAME/recipe.yaml
    Recipe,
    /// base-images/NAME.yaml
    BaseImage,
    /// kiln.toml
    Config,
}
