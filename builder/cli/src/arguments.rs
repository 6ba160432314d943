//! The command line. Its help is part of the documentation, so it is written for newcomers.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::ArgValueCandidates;
use kiln_model::RecipeName;

use crate::completion::recipe_candidates;

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
    /// Say whether this host can isolate builds
    Doctor,
    /// Draw recipes, the libraries that they use and their base images
    Graph(Graph),
    /// Print what a file that people write may say: a JSON Schema for editors, or a page to read
    Schema(Schema),
    /// Print a script that completes kiln's arguments in a shell
    Completions(Completions),
    /// Print kiln's manual page, or write those of all verbs
    Man(Man),
}

/// Which recipes.
#[derive(Debug, Args)]
pub struct Names {
    /// Recipes; default: all that yield packages
    #[arg(value_name = "RECIPE", add = ArgValueCandidates::new(recipe_candidates))]
    pub names: Vec<RecipeName>,
}

/// What to lock.
#[derive(Debug, Args)]
pub struct Lock {
    /// Recipes; default: all
    #[arg(value_name = "RECIPE", add = ArgValueCandidates::new(recipe_candidates))]
    pub names: Vec<RecipeName>,
    /// Choose base images' packages anew, although their lockfiles fit
    #[arg(long)]
    pub update: bool,
}

/// What to draw, and how.
#[derive(Debug, Args)]
pub struct Graph {
    /// Recipes, drawn with everything that they bundle; default: all
    #[arg(value_name = "RECIPE", add = ArgValueCandidates::new(recipe_candidates))]
    pub names: Vec<RecipeName>,
    /// How the picture is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = GraphFormat::Dot)]
    pub format: GraphFormat,
}

/// A format of pictures.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum GraphFormat {
    /// For Graphviz: `kiln graph | dot -Tpdf > recipes.pdf`
    Dot,
    /// For Markdown pages on code hosts
    Mermaid,
    /// A picture, for browsers
    Svg,
}

/// Which schema.
#[derive(Debug, Args)]
pub struct Schema {
    /// Of which file
    #[arg(value_name = "FILE")]
    pub file: SchemaFile,
    /// How it is written
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = SchemaFormat::Json)]
    pub format: SchemaFormat,
}

/// A format of schemas.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SchemaFormat {
    /// JSON Schema, for editors and other programs
    Json,
    /// Tables of all keys, for people
    Markdown,
}

/// For which shell.
#[derive(Debug, Args)]
#[command(after_long_help = COMPLETIONS_HELP)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: CompletionShell,
}

const COMPLETIONS_HELP: &str = "\
To have completions in every new shell:
  bash  echo 'source <(kiln completions bash)' >> ~/.bashrc
  zsh   echo 'source <(kiln completions zsh)' >> ~/.zshrc   (after compinit)
  fish  kiln completions fish > ~/.config/fish/completions/kiln.fish";

/// A shell that completions are made for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum CompletionShell {
    /// Bash 4 or newer
    Bash,
    /// Zsh
    Zsh,
    /// Fish
    Fish,
}

/// Where manual pages go.
#[derive(Debug, Args)]
pub struct Man {
    /// Write one page for kiln and one for each verb into this folder
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub to: Option<PathBuf>,
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
