//! What the lines for programs are made of: pieces of work, ends of steps, places, findings.

use schemars::JsonSchema;
use serde::Serialize;

/// A piece of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct WorkId {
    /// What is done.
    pub kind: WorkKind,
    /// To what: `curl`, `openssl for /usr/lib/curl`, `kiln-base-debian-12`.
    pub name: String,
}

/// What is done in a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorkKind {
    /// The steps of a recipe.
    Build,
    /// Packaging a product.
    Package,
    /// Packaging what a base image offers.
    BasePackage,
    /// Making the metadata of the repository in `out/rpms`; it has steps, but no `work-started`.
    Repository,
}

/// What came of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorkState {
    /// It was done in this run.
    Built,
    /// The store had it.
    Cached,
    /// It failed.
    Failed,
    /// It was running when the run was interrupted.
    Cancelled,
    /// Something that it needs failed.
    Blocked,
    /// The run ended before.
    NotStarted,
}

/// Why a piece of work failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct WorkError {
    /// What went wrong, in one or a few lines.
    pub message: String,
    /// The command that failed, for a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// Where the step's log is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The log's last lines.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
}

/// What is being done to a root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Packages are read.
    Packages,
    /// The layer is written.
    Layer,
    /// Files are unpacked.
    Files,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// By itself, with a status.
    Exited,
    /// By a signal.
    Signaled,
    /// By the time limit.
    TimedOut,
    /// By the limit of what `/build` may take.
    OverDisk,
    /// For lack of free space on the host's disk.
    DiskShort,
    /// By an interruption.
    Cancelled,
}

/// A node of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedNode {
    /// The node: `curl`, `openssl for /usr/lib/curl`.
    pub name: String,
    /// Its recipe.
    pub recipe: String,
    /// Where its files go.
    pub prefix: String,
    /// Whether the store has it.
    pub is_cached: bool,
    /// The digest of what it installs, if the store has it: the diff id of its destdir.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destdir: Option<String>,
    /// Why it would be built, in a word or two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Milliseconds that it took the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<u64>,
}

/// A recipe that can not be built yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct UnpinnedRecipe {
    /// The recipe.
    pub recipe: String,
    /// The recipe that is unpinned itself: the same, or one that it bundles.
    pub because_of: String,
    /// What that one lacks, in words.
    pub missing: Vec<String>,
}

/// The packaging of a product or of a base image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PlannedPackage {
    /// The product or base image: `curl`, `kiln-base-debian-12`.
    pub name: String,
    /// Whether its packages are there already.
    pub is_cached: bool,
    /// Why it would be packaged, in a word or two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Milliseconds that it took the last time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_ms: Option<u64>,
}

/// An input that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ChangeLine {
    /// `recipe`, `source`, `patch`, `script`, `destdir`, `base-image`, `tools`, `environment`,
    /// `source-date`, `license-files`, `step-runner`, `kiln`, `organization`, `architecture`,
    /// `source-tree`, `spec`, `files` or `other`.
    pub kind: String,
    /// Which one, where there can be several: a file, a step, a variable, a node, a field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it was; not there for what is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it is; not there for what is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<String>,
}

/// Something that is built first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct AwaitedLine {
    /// The node: `openssl for /usr/lib/curl`.
    pub name: String,
    /// The digest of what it installed for the last result. If that comes out again, nothing follows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destdir: Option<String>,
}

/// One step on the way to a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PlaceSegment {
    /// What kind of thing it is: `tag`, `file`, `section`, `member`, `line`.
    pub kind: String,
    /// Which one.
    pub name: String,
}

/// A cause of differences.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CauseLine {
    /// Which: `timestamp`, `build-path`, `host-name`, `user`, `locale`, `directory-order`,
    /// `parallel-race`, `random`, `cpu`, `memory`, `archive-metadata`, `compression`, `kernel-version`,
    /// `environment`, `signature` or `unknown`.
    pub cause: String,
    /// What speaks for it.
    pub evidence: String,
}

/// Something about a place that is no difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct NoteLine {
    /// Where; empty for all of it.
    pub place: Vec<PlaceSegment>,
    /// What.
    pub text: String,
}

/// One thing that `kiln doctor` looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct DoctorFinding {
    /// What was looked at: `kernel`.
    pub topic: &'static str,
    /// `yes`: as it should be; `note`: good to know; `no`: no build can run.
    pub verdict: &'static str,
    /// What was found.
    pub found: String,
    /// What to do, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}
