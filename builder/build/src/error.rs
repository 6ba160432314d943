//! Everything that can stop a run, with recipe and step.

use std::path::PathBuf;

use kiln_image::{TreeTarError, is_stopped};
use kiln_model::{DiffId, Digest, LibraryName, RecipeName, StepEnd};

use crate::claim::Rule;
use crate::ending::describe_end;
use crate::finding::PackageFinding;
use crate::graph::{GraphError, NodeId};
use crate::lint::RecipeFinding;
use crate::log::LogEnd;
use crate::needs::Need;
use crate::project::ProjectError;
use crate::release::ReleasedOtherwise;
use crate::script::StepName;
use crate::site::Site;
use crate::split::{DoubleClaim, Proposal};
use crate::unpinned::Unpinned;

/// Says why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The project can not be read.
    #[error(transparent)]
    Project(Box<ProjectError>),
    /// The recipes do not make a graph.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A lockfile is missing.
    #[error("no lockfile `{}`", .file.display())]
    NotLocked {
        /// The file that should be there.
        file: PathBuf,
    },
    /// A lockfile was made for another recipe, base image or request.
    #[error("lockfile `{}` is stale: {reason}", .file.display())]
    StaleLock {
        /// The file.
        file: PathBuf,
        /// What changed since.
        reason: String,
        /// Where the file that it was made for says so.
        site: Option<Box<Site>>,
    },
    /// A recipe that is to be built, or something that it bundles, is unpinned.
    #[error("{0}")]
    Unpinned(Box<Unpinned>),
    /// A patch file is not the pinned one.
    #[error("patch `recipes/{recipe}/{patch}` does not match its pinned digest")]
    Patch {
        /// The recipe.
        recipe: RecipeName,
        /// The file, relative to the recipe's folder.
        patch: String,
        /// The recipe's digest.
        expected: Digest,
        /// The file's digest.
        actual: Digest,
    },
    /// A patch file can not be used.
    #[error("patch `recipes/{recipe}/{patch}` can not be read: {reason}")]
    PatchFile {
        /// The recipe.
        recipe: RecipeName,
        /// The file, relative to the recipe's folder.
        patch: String,
        /// Why.
        reason: String,
    },
    /// A step ended badly.
    #[error("{node}: step `{step}` failed: {}", describe_end(.end, .reached))]
    StepFailed {
        /// Of what.
        node: NodeId,
        /// Which.
        step: StepName,
        /// How.
        end: StepEnd,
        /// The limits that it reached, in words.
        reached: Vec<String>,
        /// Where its log is, and how it ends.
        log: Box<LogEnd>,
    },
    /// Packaging ended badly.
    #[error("{what}: packaging failed: {}", describe_end(.end, .reached))]
    PackagingFailed {
        /// The recipe or base image.
        what: String,
        /// How.
        end: StepEnd,
        /// The limits that it reached, in words.
        reached: Vec<String>,
        /// Where its log is, and how it ends.
        log: Box<LogEnd>,
    },
    /// A product was named for a library that it does not bundle.
    #[error("`{product}` does not bundle `{recipe}`")]
    NotBundled {
        /// The library's recipe.
        recipe: RecipeName,
        /// The product.
        product: RecipeName,
    },
    /// Two shells would change the same files.
    #[error("{node}: another shell is open in what its failed step left")]
    ShellInUse {
        /// Of what.
        node: NodeId,
    },
    /// A look from inside a sandbox did not come to its end.
    #[error("a sandbox could not be looked at from inside ({})\n{said}", describe_end(end, &[]))]
    Probe {
        /// How it ended.
        end: StepEnd,
        /// What it printed until then.
        said: String,
    },
    /// The run was cancelled.
    #[error("interrupted")]
    Cancelled,
    /// A build installed nothing.
    #[error("{node}: the install step left `/build/destdir` empty")]
    NothingInstalled {
        /// What was built.
        node: NodeId,
    },
    /// What was installed can not be packaged.
    #[error("{node}: the install step left what can not be packaged in `/build/destdir`")]
    Uncollectable {
        /// What was built.
        node: NodeId,
        /// The rule that would have claimed it, where its name is known.
        rule: Option<Rule>,
        /// What it is.
        source: Box<TreeTarError>,
    },
    /// A licence file is not in the source tree.
    #[error("{recipe}: no licence file `{file}` in the source tree")]
    NoLicenseFile {
        /// The recipe.
        recipe: RecipeName,
        /// The file.
        file: String,
    },
    /// A library carries another file to a place that is taken.
    #[error("{recipe}: `{library}` installs another file at `{path}` than {}", describe_owner(.earlier.as_ref()))]
    CarryConflict {
        /// The consumer.
        recipe: RecipeName,
        /// The place.
        path: String,
        /// The bundled library.
        library: LibraryName,
        /// The recipe of the library that has the place already; `None` when the consumer itself has.
        earlier: Option<RecipeName>,
    },
    /// Two bundled libraries would hide each other's files while the consumer is built.
    #[error("{recipe}: `{first}` and `{second}` install different files at `{path}`")]
    Overlap {
        /// The consumer.
        recipe: RecipeName,
        /// The place.
        path: String,
        /// One library and where it goes.
        first: String,
        /// The other.
        second: String,
    },
    /// A library is bundled but none of its files are carried.
    #[error("{recipe}: bundles `{library}`, but its carry patterns match no installed file")]
    NothingCarried {
        /// The consumer.
        recipe: RecipeName,
        /// The library.
        library: LibraryName,
    },
    /// A vendored library is said to be files of its own, and none of them is there.
    #[error("{recipe}: no package has a file that `carry` of the vendored `{library}` matches")]
    NothingVendored {
        /// The recipe.
        recipe: RecipeName,
        /// The library.
        library: LibraryName,
    },
    /// Installed files that no package owns.
    #[error("{recipe}: {} to no package", describe_files(.files))]
    Unclaimed {
        /// The recipe.
        recipe: RecipeName,
        /// The files.
        files: Vec<String>,
        /// Patterns that would claim them.
        proposals: Vec<Proposal>,
    },
    /// An installed file that two packages own.
    #[error(transparent)]
    ClaimedTwice(Box<DoubleClaim>),
    /// A pattern that matches nothing.
    #[error("{recipe}: {}", describe_unmatched(.rule))]
    UnmatchedPattern {
        /// The recipe.
        recipe: RecipeName,
        /// The pattern.
        rule: Rule,
    },
    /// What was installed does not fit what the recipe says about its package.
    #[error(transparent)]
    Package(Box<PackageFinding>),
    /// Something that keeps the recipe from being packaged, seen without building it.
    #[error(transparent)]
    Finding(Box<RecipeFinding>),
    /// Several things at once.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Several(Vec<BuildError>),
    /// The installed files contradict the recipe.
    #[error("{recipe}: the installed files contradict the recipe")]
    Evidence {
        /// The recipe.
        recipe: RecipeName,
        /// The bundled libraries that findings are about.
        libraries: Vec<LibraryName>,
        /// One finding per line.
        findings: Vec<String>,
        /// Protections that files lack, one per line.
        weak: Vec<String>,
    },
    /// A recipe's package says something that a spec file can not.
    #[error("{recipe}: {reason}")]
    Spec {
        /// The recipe.
        recipe: RecipeName,
        /// What.
        reason: String,
    },
    /// rpmbuild wrote an RPM that can not be read back.
    #[error("{recipe}: `{file}` is not a readable RPM: {reason}")]
    Rpm {
        /// The recipe or base image.
        recipe: String,
        /// The file.
        file: String,
        /// Why.
        reason: String,
    },
    /// A file was installed under a name that rpm has no way to write down.
    #[error("{recipe}: {reason}")]
    PathRefused {
        /// The recipe.
        recipe: RecipeName,
        /// The rule that claims it.
        rule: Option<Rule>,
        /// Which, and why.
        reason: String,
    },
    /// A document can not be made.
    #[error("{recipe}: {reason}")]
    Document {
        /// The recipe.
        recipe: RecipeName,
        /// Why.
        reason: String,
    },
    /// A recipe needs distribution packages over a base image that has no archive behind it.
    #[error(
        "recipe `{recipe}` needs distribution packages ({packages}), but its base image `{base}` \
         is a finished image, to which kiln can not add any"
    )]
    NoArchive {
        /// The recipe.
        recipe: RecipeName,
        /// The packages.
        packages: String,
        /// The base image.
        base: kiln_model::BaseName,
    },
    /// A registry's image is not in the store.
    #[error(
        "base image `{base}` is not in the store, and this kiln pulls no images from registries\n  \
         image     {image}\n  manifest  {manifest}"
    )]
    NotPulled {
        /// The base image.
        base: kiln_model::BaseName,
        /// Where it would be.
        image: Box<kiln_model::ImageReference>,
        /// The manifest that was looked for.
        manifest: kiln_model::ManifestDigest,
    },
    /// A base image lacks programs that a recipe's steps call.
    #[error("{what}: base image `{base}` lacks programs that it is built with\n  {}", lines_of(.lacking))]
    Lacking {
        /// The recipe, or the package of a base image.
        what: String,
        /// The base image.
        base: kiln_model::BaseName,
        /// Its file, relative to the project's root.
        file: PathBuf,
        /// Whether kiln assembles it from packages, and can add some.
        is_assembled: bool,
        /// The programs, and what calls each.
        lacking: Vec<Need>,
    },
    /// A library is taken from the system, but the recipe does not say which package that is here.
    #[error(
        "recipe `{recipe}` takes `{library}` from the system, but names no `{distribution}` package for it"
    )]
    NoSystemPackage {
        /// The recipe.
        recipe: RecipeName,
        /// The library.
        library: LibraryName,
        /// The key that is missing under `package`.
        distribution: &'static str,
    },
    /// rpmbuild wrote other packages than the recipe declares.
    #[error("{what}: rpmbuild wrote other packages than were declared\n  expected  {}\n  actual    {}", .expected.join(", "), .actual.join(", "))]
    OtherRpms {
        /// The recipe or base image.
        what: String,
        /// File names that should be there.
        expected: Vec<String>,
        /// File names that are there.
        actual: Vec<String>,
    },
    /// A package was released with other content.
    #[error(transparent)]
    Released(Box<ReleasedOtherwise>),
    /// No base image can make the repository's metadata.
    #[error("no base image has `createrepo_c`, which makes the repository's metadata")]
    NoCreaterepo {
        /// The base images that recipes with packages are built on.
        bases: Vec<kiln_model::BaseName>,
    },
    /// createrepo_c wrote something else than a repository's metadata.
    #[error("the repository's metadata is not what createrepo_c should write: {reason}")]
    Repository {
        /// What is wrong.
        reason: String,
    },
    /// Files are installed below a folder that is a link on every system with a merged `/usr`.
    #[error("{recipe}: `{file}` is installed below `{folder}`, which is a link to `/usr{folder}`")]
    UnmergedFolder {
        /// The recipe.
        recipe: RecipeName,
        /// The file.
        file: String,
        /// `/bin`, `/lib`, `/lib64` or `/sbin`.
        folder: &'static str,
    },
    /// Two files of one package would have the same path.
    #[error("{recipe}: kiln puts a file at `{path}`, where another one is installed")]
    PathTaken {
        /// The recipe.
        recipe: RecipeName,
        /// The path.
        path: String,
    },
    /// A file can not be laid out.
    #[error("`{}` can not be laid out: {reason}", .file.display())]
    Layout {
        /// The file.
        file: PathBuf,
        /// Why.
        reason: String,
    },
    /// A name is neither a file's nor a recipe's or base image's.
    #[error("no file, recipe or base image `{name}`")]
    NothingToFormat {
        /// The name asked for.
        name: String,
        /// Recipes and base images that there are.
        known: Vec<String>,
    },
    /// A result or a log can not be written.
    #[error("can not write `{}`", .path.display())]
    Publish {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file or folder can not be read or written; the error names it.
    #[error(transparent)]
    Io(std::io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] kiln_store::StoreError),
    /// A file could not be fetched.
    #[error(transparent)]
    Fetch(kiln_store::FetchError),
    /// A root file system could not be made.
    #[error("{what}: {source}")]
    Image {
        /// The base image, recipe or file.
        what: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The host can not isolate, or the engine failed.
    #[error(transparent)]
    Sandbox(Box<kiln_sandbox::SandboxError>),
    /// The host lacks a best-effort isolation that `kiln.toml` requires.
    #[error("`kiln.toml` requires resource limits, but this host can not enforce them")]
    NoResourceLimits,
    /// A cached result names a blob that is gone.
    #[error("the store has lost `{what}`\n  digest  {digest}")]
    Lost {
        /// What it was.
        what: &'static str,
        /// Its digest.
        digest: DiffId,
    },
}

/// Lists programs, one a line.
fn lines_of(needs: &[Need]) -> String {
    let lines: Vec<String> = needs.iter().map(Need::to_string).collect();
    lines.join("\n  ")
}

impl From<kiln_store::FetchError> for BuildError {
    fn from(error: kiln_store::FetchError) -> Self {
        match error {
            kiln_store::FetchError::Cancelled => Self::Cancelled,
            error => Self::Fetch(error),
        }
    }
}

impl From<std::io::Error> for BuildError {
    fn from(error: std::io::Error) -> Self {
        if is_stopped(&error) {
            return Self::Cancelled;
        }
        Self::Io(error)
    }
}

impl From<ProjectError> for BuildError {
    fn from(error: ProjectError) -> Self {
        Self::Project(Box::new(error))
    }
}

impl From<kiln_sandbox::SandboxError> for BuildError {
    fn from(error: kiln_sandbox::SandboxError) -> Self {
        Self::Sandbox(Box::new(error))
    }
}

impl BuildError {
    /// Wraps an error of the image crate with what it is about; one that says that work was stopped is
    /// an interruption.
    pub(crate) fn image(
        what: impl Into<String>,
    ) -> impl FnOnce(Box<dyn std::error::Error + Send + Sync>) -> Self {
        let what = what.into();
        move |source| {
            if is_stopped(&*source) {
                return Self::Cancelled;
            }
            Self::Image { what, source }
        }
    }
}

fn describe_owner(earlier: Option<&RecipeName>) -> String {
    earlier.map_or_else(
        || "the recipe itself".to_owned(),
        |recipe| format!("recipe `{recipe}`"),
    )
}

fn describe_unmatched(rule: &Rule) -> String {
    let Rule { package, key, text } = rule;
    let what = match (*key, text.strip_prefix('!')) {
        (_, Some(_)) => "takes no installed file away from the patterns before it",
        ("directories", _) => "matches no installed directory",
        _ => "matches no installed file",
    };
    format!("pattern `{text}` of package `{package}` {what}")
}

fn describe_files(files: &[String]) -> String {
    match files.len() {
        1 => "1 installed file belongs".to_owned(),
        number => format!("{number} installed files belong"),
    }
}
