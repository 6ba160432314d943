//! The command line. Its help is part of the documentation, so it is written for newcomers.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::ArgValueCandidates;
use kiln_build::{Selection, StepName};
use kiln_compare::{Isolation, VariationPlan};
use kiln_model::RecipeName;

use crate::completion::{base_candidates, recipe_candidates};
use crate::style::When;

mod base;
mod picture;
mod store;

pub use base::ChosenBase;
pub use picture::{Graph, GraphFormat, Matrix, MatrixFormat};
pub use store::{BundleCheck, BundleExport, BundleImport, BundleVerb, Gc, StoreVerb};

/// Builds RPMs from hash-pinned sources, sealed and reproducible.
#[derive(Debug, Parser)]
#[command(
    name = "kiln",
    version,
    max_term_width = 100,
    subcommand_value_name = "VERB",
    subcommand_help_heading = "Verbs",
    after_help = FIRST_STEPS
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Options of every verb.
    #[command(flatten)]
    pub common: Common,
}

const FIRST_STEPS: &str = "\
First steps, in a folder with recipes/ and base-images/:
  kiln doctor        can this host build?
  kiln plan          what would be built?
  kiln build         build everything; the RPMs are in out/rpms/ then
  kiln build curl    build one recipe and what it needs
  kiln build --help  more about a verb

Exit codes: 0 done; 1 a step failed, or a check found something; 2 bad input,
host or I/O; 130 interrupted.";

/// Options of every verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every verb")]
pub struct Common {
    /// The project's folder, with `recipes/` and `base-images/`
    #[arg(long, global = true, value_name = "FOLDER", default_value = ".")]
    pub project: PathBuf,
    /// Where sources, root file systems and results are kept; default: `.kiln/store` in the project
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        env = "KILN_STORE",
        hide_env_values = true
    )]
    pub store: Option<OsString>,
    /// Where results are put; default: `out` in the project
    #[arg(
        long,
        global = true,
        value_name = "FOLDER",
        env = "KILN_OUT",
        hide_env_values = true
    )]
    pub out: Option<OsString>,
    /// Build on this base image, whatever recipes name; results are in a folder of its own in `out`
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        env = "KILN_BASE",
        hide_env_values = true,
        value_parser = base::base_or_none,
        add = ArgValueCandidates::new(base_candidates)
    )]
    pub base: Option<ChosenBase>,
    /// Never open a connection: everything must be in the store
    #[arg(
        long,
        global = true,
        env = "KILN_OFFLINE",
        hide_env_values = true,
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
        hide_env_values = true,
        value_delimiter = ' '
    )]
    pub debian_archive: Vec<String>,
    /// Trust these certificate authorities for https, instead of the host's
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SSL_CERT_FILE",
        hide_env_values = true
    )]
    pub trusted_roots: Option<OsString>,
    /// Say only what went wrong
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show what steps print, as they print it
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// What standard output is for: people, or programs (docs/events.md)
    #[arg(long, global = true, value_name = "FORMAT", default_value = "human")]
    pub format: Format,
    /// Whether to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: When,
}

/// What standard output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people
    Human,
    /// One JSON object a line for programs; text for people goes to standard error
    Json,
}

/// Returns a path option as a path; an empty one, as an unset variable often is, is none.
pub fn path(option: Option<&OsString>) -> Option<PathBuf> {
    option.filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Check recipes, base images, settings and lockfiles
    ///
    /// Builds nothing and needs no network. Shows the file, line and column of each mistake, and
    /// what to do; exits with 1 if there is one.
    Check,
    /// Pin distribution packages and sources: write lockfiles
    ///
    /// To be run after changing a recipe's tools, libraries, sources or base image. Needs the
    /// network. Recipes are never changed, and neither are lockfiles that still fit.
    Lock(Lock),
    /// Fetch everything that a build needs into the store
    ///
    /// Afterwards `kiln --offline build` needs no network.
    Fetch(Names),
    /// Show what a build would do, why, and how long it would take
    ///
    /// One line per recipe and place that it is built for, in build order: `build` or `cached`, and
    /// `package` for what would be packaged. Times are those of the last build.
    Plan(Names),
    /// Say which inputs of a recipe changed since its last build
    ///
    /// Names each input with what it was and is: sources, patches, scripts, libraries, base image,
    /// environment, of the recipe, of everything that it bundles, and of its packaging. Builds nothing.
    Why(Why),
    /// Build recipes: RPMs, SBOMs and provenance
    ///
    /// Builds what the store does not have, each step sealed and without network, and puts the
    /// results into `out/`. Logs of all steps are in `out/logs/`.
    Build(Build),
    /// Enter the sandbox of a step, the failed one or any other
    ///
    /// Opens a shell with the step's files and environment, sealed as the step is. Where a build
    /// failed, the files are as the failed step left them. With a command after `--`, or a script on
    /// standard input, runs that instead; exits with 1 if it fails.
    Shell(Shell),
    /// Build again under other circumstances, and compare
    ///
    /// Builds recipes anew, in fresh sandboxes, from nothing but pinned inputs, with another clock, time
    /// zone, locale, umask, user, host name, path, number of processors, order of directories and more, and
    /// compares the results with what is in out/. Where something differs, says where and why. Given an
    /// RPM file, builds it again from what it says of itself. Writes out/verify/index.html and a
    /// statement for each recipe. Exits with 0 if everything is reproducible, 1 if something is not, 2 if
    /// it can not be said.
    Verify(Verify),
    /// Sign the packages in out/ and their repository
    ///
    /// With the key that kiln.toml pins: from a file, or elsewhere, by a request that goes there and
    /// a response that comes back (docs/signing.md). What was signed is written down as released in
    /// lockfiles/released.lock, and no build replaces it by other bytes. The passphrase is read from
    /// --passphrase-file, or from the environment variable KILN_PASSPHRASE.
    Sign(Sign),
    /// Carry everything that recipes need across an air gap, in one file
    #[command(
        subcommand,
        subcommand_value_name = "WHAT",
        subcommand_help_heading = "What"
    )]
    Bundle(BundleVerb),
    /// Check, clean or measure the store
    #[command(
        subcommand,
        subcommand_value_name = "WHAT",
        subcommand_help_heading = "What"
    )]
    Store(StoreVerb),
    /// Show where two packages, folders or files differ, and why
    ///
    /// Looks into RPMs, archives, compressed files, ELF files, JSON and text, down to the tag, the
    /// section, the member, the line. Nothing is ever run. Exits with 0 when the two are identical, with
    /// 1 when they differ, and with 2 when it can not be told.
    Diff(Diff),
    /// Draft a recipe from a source tarball
    ///
    /// Writes `recipes/NAME/recipe.yaml` with what the tarball tells: name, version, digest, licence,
    /// build system. What it can not know stands as FILL-IN, which `kiln check` names.
    New(New),
    /// Lay out recipes and base image files
    ///
    /// One order of keys, one way of indenting; every value and comment stays, or the file is left as
    /// it is.
    Fmt(Fmt),
    /// Say whether this host can build, and what to do if not
    ///
    /// Looks at everything that a build needs: the kernel, namespaces, the store and its disk,
    /// mirrors, certificates, the clock. Builds nothing and changes nothing. Exits with 0 if builds
    /// can run and with 2 if not.
    Doctor,
    /// Draw recipes, their libraries and base images
    ///
    /// Needs neither lockfiles nor network. `kiln graph --as svg > recipes.svg` makes a picture
    /// that stands alone.
    Graph(Graph),
    /// Show which recipe takes which library from where, side by side
    ///
    /// Every library with who bundles it, in which version, and who takes it from the system; and of each
    /// recipe its packages, its sources, and what keeps it from being built. Needs neither lockfiles nor
    /// network.
    Matrix(Matrix),
    /// Print what recipes, base images and settings may say
    ///
    /// As a JSON Schema for editors, or as a page to read: `kiln schema recipe --as markdown`.
    Schema(Schema),
    /// Print a script that completes arguments in a shell
    Completions(Completions),
    /// Print or write manual pages
    ///
    /// Prints kiln's own page; with --to, writes it and one for each verb. `kiln man | man -l -`
    /// shows it.
    Man(Man),
    /// Rebuild once under variation
    #[command(hide = true)]
    Vary(Vary),
}

/// How to rebuild once.
#[derive(Debug, Args)]
pub struct Vary {
    /// Which recipes.
    #[command(flatten)]
    pub names: Names,
    /// What is to be different: `clock=past`
    #[arg(long, value_name = "FACTOR=LEVEL")]
    pub with: Vec<String>,
    /// Run tests
    #[arg(long)]
    pub checks: bool,
    /// Where the rebuild's `out/` is copied to
    #[arg(long, value_name = "FOLDER")]
    pub to: Option<PathBuf>,
}

/// Which recipes.
#[derive(Debug, Args)]
pub struct Names {
    /// Recipes; default: those of `[build] default` in kiln.toml, else all
    #[arg(value_name = "RECIPE", add = ArgValueCandidates::new(recipe_candidates))]
    pub names: Vec<RecipeName>,
    /// All recipes that yield packages, and all libraries that no recipe bundles
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
}

impl Names {
    /// Returns what was chosen.
    pub fn selection(&self) -> Selection<'_> {
        match (self.all, self.names.as_slice()) {
            (true, _) => Selection::All,
            (false, []) => Selection::Default,
            (false, names) => Selection::Named(names),
        }
    }
}

/// What to explain.
#[derive(Debug, Args)]
pub struct Why {
    /// The recipe
    #[arg(value_name = "RECIPE", add = ArgValueCandidates::new(recipe_candidates))]
    pub recipe: RecipeName,
}

/// What to build.
#[derive(Debug, Args)]
pub struct Build {
    /// Which recipes.
    #[command(flatten)]
    pub names: Names,
    /// After a failure go on with everything that does not need what failed
    #[arg(long, short)]
    pub keep_going: bool,
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
    /// Lock sources that can not be reached by the recipe's digest alone; their size and sha512 stay
    /// unknown until a later run reaches them
    #[arg(long, short)]
    pub keep_going: bool,
}

/// Whose sandbox to enter.
#[derive(Debug, Args)]
pub struct Shell {
    /// The recipe
    #[arg(value_name = "RECIPE", add = ArgValueCandidates::new(recipe_candidates))]
    pub recipe: RecipeName,
    /// The step; everything before it is done first. Default: the one that failed last, else build
    #[arg(long, value_name = "STEP")]
    pub step: Option<ShellStep>,
    /// The product that bundles it, where several do; default: the recipe as it is built alone
    #[arg(long = "for", value_name = "PRODUCT", add = ArgValueCandidates::new(recipe_candidates))]
    pub product: Option<RecipeName>,
    /// Run this instead of a shell
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// A step of a build.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ShellStep {
    /// Patches and what the recipe adds to the sources
    Prep,
    /// Configures and compiles
    Build,
    /// Installs into the destdir
    Install,
    /// Runs upstream's tests
    Check,
}

impl From<ShellStep> for StepName {
    fn from(step: ShellStep) -> Self {
        match step {
            ShellStep::Prep => Self::Prep,
            ShellStep::Build => Self::Build,
            ShellStep::Install => Self::Install,
            ShellStep::Check => Self::Check,
        }
    }
}

/// What to verify.
#[derive(Debug, Args)]
pub struct Verify {
    /// Recipes, or RPM files to build again from what they say of themselves; default: all recipes that
    /// `kiln build` builds
    #[arg(value_name = "RECIPE|FILE.rpm", add = ArgValueCandidates::new(recipe_candidates))]
    pub what: Vec<OsString>,
    /// All recipes that yield packages, and all libraries that no recipe bundles
    #[arg(long, conflicts_with = "what")]
    pub all: bool,
    /// How often to build again: a number, `levels` (3: every level of every factor once) or `pairs`
    /// (15: every pair of levels together)
    #[arg(long, value_name = "N", default_value = "levels")]
    pub builds: Builds,
    /// Do not build again what differs to find out which single factor does it
    #[arg(long)]
    pub no_isolation: bool,
}

impl Verify {
    /// Returns whether single factors are tried where something differs.
    pub const fn isolation(&self) -> Isolation {
        match self.no_isolation {
            true => Isolation::Off,
            false => Isolation::OneByOne,
        }
    }
}

/// How often to build again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builds {
    /// So often.
    Number(usize),
    /// As often as every level of every factor needs.
    Levels,
    /// As often as every pair of levels needs.
    Pairs,
}

impl Builds {
    /// Returns which variations are tried.
    pub fn plan(self) -> VariationPlan {
        match self {
            Self::Number(most) => VariationPlan::new(most),
            Self::Levels => VariationPlan::each_level(),
            Self::Pairs => VariationPlan::every_pair(),
        }
    }
}

impl std::str::FromStr for Builds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.parse()) {
            ("levels", _) => Ok(Self::Levels),
            ("pairs", _) => Ok(Self::Pairs),
            (_, Ok(number)) if number > 0 => Ok(Self::Number(number)),
            _ => Err("expected a number from 1 on, `levels` or `pairs`".to_owned()),
        }
    }
}

/// Who signs.
#[derive(Debug, Args)]
pub struct Sign {
    /// File with the OpenPGP secret key; default: `key` in kiln.toml
    #[arg(
        long,
        value_name = "FILE",
        env = "KILN_SIGNING_KEY",
        hide_env_values = true
    )]
    pub key: Option<OsString>,
    /// File with the key's passphrase
    #[arg(
        long,
        value_name = "FILE",
        env = "KILN_PASSPHRASE_FILE",
        hide_env_values = true
    )]
    pub passphrase_file: Option<OsString>,
    /// Write what has to be signed into this file, for a key that is elsewhere
    #[arg(long, value_name = "FILE", conflicts_with_all = ["response", "respond"])]
    pub request: Option<OsString>,
    /// Answer such a request: needs --key and --to, and no project
    #[arg(long, value_name = "REQUEST", conflicts_with = "response")]
    pub respond: Option<OsString>,
    /// Where the response goes
    #[arg(long, short = 'o', value_name = "FILE", requires = "respond")]
    pub to: Option<OsString>,
    /// Take the signatures that came back
    #[arg(long, value_name = "FILE")]
    pub response: Option<OsString>,
    /// Do nothing where kiln.toml names no key
    #[arg(long)]
    pub if_configured: bool,
}

/// What to compare.
#[derive(Debug, Args)]
pub struct Diff {
    /// A file or folder
    #[arg(value_name = "A", value_hint = ValueHint::AnyPath)]
    pub left: OsString,
    /// What it is compared with
    #[arg(value_name = "B", value_hint = ValueHint::AnyPath)]
    pub right: OsString,
    /// Stop at the first difference
    #[arg(long, conflicts_with = "limit")]
    pub first: bool,
    /// Stop after so many differences; default: 100, and 10 within one file, section or list
    #[arg(long, value_name = "N")]
    pub limit: Option<NonZeroUsize>,
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
    #[arg(value_name = "FILE")]
    pub file: SchemaFile,
    /// How it is written
    #[arg(long = "as", value_name = "FORMAT", value_enum, default_value_t = SchemaFormat::Json)]
    pub written_as: SchemaFormat,
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
#[command(after_help = COMPLETIONS_HELP)]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: CompletionShell,
}

const COMPLETIONS_HELP: &str = "\
To have completions in every new shell (zsh: after compinit):
  bash  echo 'source <(kiln completions bash)' >> ~/.bashrc
  zsh   echo 'source <(kiln completions zsh)' >> ~/.zshrc
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

/// What there is a schema of.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum SchemaFile {
    /// recipes/NAME/recipe.yaml
    Recipe,
    /// base-images/NAME.yaml
    BaseImage,
    /// kiln.toml
    Config,
    /// One line of --format json
    Events,
}
