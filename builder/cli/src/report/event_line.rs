//! What programs are told, as types: one JSON object a line on standard output. docs/events.md
//! describes them, and docs/schema/events.json is made from them.

use schemars::JsonSchema;
use serde::Serialize;

use super::event_parts::{
    AwaitedLine, CauseLine, ChangeLine, DoctorFinding, End, NoteLine, PlaceSegment, PlannedNode,
    PlannedPackage, Stage, UnpinnedRecipe, WorkError, WorkId, WorkState,
};
use super::store_lines::{
    BundleReadLine, BundleWrittenLine, CollectedLine, StoreCheckedLine, UsageLine,
};
use crate::print;
use crate::text::is_harmful;

/// The version of these objects: raised when an existing field changes its meaning or goes away.
pub const EVENT_FORMAT: u32 = 1;

/// One line of `--format json`.
///
/// Fields and kinds of lines may be added; programs ignore what they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(
    tag = "event",
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case"
)]
pub enum EventLine {
    /// The first line of a run that builds, fetches or locks.
    Started {
        /// The version of these objects.
        format: u32,
        /// The version of kiln.
        kiln: String,
    },
    /// It is known what there is to do.
    Planned {
        /// All pieces of work, in build order.
        work: Vec<WorkId>,
    },
    /// Files are about to be fetched.
    Fetching {
        /// How many.
        files: usize,
        /// Their bytes together, if all are known.
        #[serde(skip_serializing_if = "Option::is_none")]
        bytes: Option<u64>,
    },
    /// Some of a file has come; at most twice a second for each file.
    FetchAdvanced {
        /// The file's name.
        name: String,
        /// Bytes so far; falls to 0 when another place is tried.
        bytes: u64,
    },
    /// One place does not give a file; another may.
    FetchPassedOver {
        /// The file's name.
        name: String,
        /// The place, without credentials.
        address: String,
        /// Why.
        reason: String,
    },
    /// A file is in the store.
    Fetched {
        /// Its name.
        name: String,
        /// Its bytes.
        bytes: u64,
    },
    /// A root file system is being put together.
    Assembling {
        /// Of which base image or recipe.
        name: String,
    },
    /// Some of a root file system is done; at most twice a second for each stage.
    AssemblyAdvanced {
        /// Of which base image or recipe.
        name: String,
        /// What is being done.
        stage: Stage,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A root file system is ready.
    Assembled {
        /// Of which base image or recipe.
        name: String,
        /// Milliseconds that it took.
        elapsed_ms: u64,
    },
    /// Another kiln makes the same just now; what comes of it is taken.
    Waiting {
        /// What: a piece of work, a root file system, the repository's metadata.
        name: String,
    },
    /// Something in the store was damaged and was set aside; it is fetched or made again.
    SetAside {
        /// What it was: `blob sha256:…` or `tree sha256:…`.
        name: String,
        /// Where it is now.
        evidence: String,
    },
    /// A lockfile is as it should be.
    Locked {
        /// The file.
        file: String,
        /// Whether it had to be written.
        is_written: bool,
    },
    /// Something about what a recipe's lockfile now holds, or does not.
    LockNote {
        /// The recipe.
        recipe: String,
        /// `tag-moved`, `tag-unknown`, `taken-as-it-came`, `rewritten` or `still-unpinned`.
        kind: String,
        /// What, in words.
        message: String,
    },
    /// `kiln verify` begins to build again.
    Rebuilding {
        /// Number of the rebuild, from 1.
        build: usize,
        /// How many there will be.
        of: usize,
        /// What is varied: `clock past, umask another`.
        varied: String,
    },
    /// A rebuild was compared with what is in `out/`.
    RebuildCompared {
        /// Number of the rebuild, from 1.
        build: usize,
        /// Results that are the same.
        same: usize,
        /// Results that are not.
        differing: usize,
    },
    /// Recipes that differ are built again to find out why.
    Isolating {
        /// Which.
        recipes: Vec<String>,
        /// What is varied.
        varied: String,
    },
    /// What is said of one result.
    Verdict {
        /// Its path below `out/`; for a destdir the recipe and where its files go.
        name: String,
        /// `package`, `source package`, `destdir`, `spec`, `SBOM`, `provenance` or `repository`.
        kind: String,
        /// The recipe that it comes of; none for what comes of all of them.
        #[serde(skip_serializing_if = "Option::is_none")]
        recipe: Option<String>,
        /// `reproducible`, `unreproducible`, `failed-to-build` or `not-tested`.
        verdict: String,
        /// `bit-identical`, `but-for-signature`, `payload-identical` or `different`.
        #[serde(skip_serializing_if = "Option::is_none")]
        agreement: Option<String>,
        /// Why it differs, the surest cause first.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        causes: Vec<String>,
        /// Why there is no other verdict.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// A verification is over.
    Verified {
        /// The worst of all verdicts.
        verdict: String,
        /// How often everything was built again.
        rebuilds: usize,
        /// The page with all details.
        report: String,
    },
    /// A piece of work begins.
    WorkStarted {
        /// Which.
        work: WorkId,
    },
    /// A piece of work is over, or will not be begun.
    WorkEnded {
        /// Which.
        work: WorkId,
        /// What came of it.
        state: WorkState,
        /// What failed, for `blocked`.
        #[serde(skip_serializing_if = "Option::is_none")]
        blocked_by: Option<WorkId>,
        /// Milliseconds that it took: in this run, or for `cached` when it was made.
        elapsed_ms: u64,
        /// Its RPMs.
        #[serde(skip_serializing_if = "Option::is_none")]
        rpms: Option<usize>,
        /// The bytes of its RPMs together.
        #[serde(skip_serializing_if = "Option::is_none")]
        rpm_bytes: Option<u64>,
        /// Why it failed, for `failed`.
        #[serde(skip_serializing_if = "Option::is_none")]
        error: Option<WorkError>,
    },
    /// A step starts.
    StepStarted {
        /// Of what.
        work: WorkId,
        /// `prep`, `build`, `install`, `check` or `package`.
        step: String,
    },
    /// A step printed a line; only with `--verbose`.
    Output {
        /// Of what.
        work: WorkId,
        /// Which.
        step: String,
        /// The line, without control characters, at most 4096 bytes.
        line: String,
    },
    /// A step ended.
    StepEnded {
        /// Of what.
        work: WorkId,
        /// Which.
        step: String,
        /// How.
        end: End,
        /// Its exit status, for `exited`.
        #[serde(skip_serializing_if = "Option::is_none")]
        status: Option<i32>,
        /// The number of the signal, for `signaled`.
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
        /// Milliseconds that it took.
        elapsed_ms: u64,
    },
    /// A recipe has no check step.
    CheckSkipped {
        /// The recipe.
        recipe: String,
        /// Why.
        reason: String,
    },
    /// What a build came to: the closing table is the `work-ended` lines.
    Summary {
        /// Pieces of work that were done.
        built: usize,
        /// Pieces of work that the store had.
        cached: usize,
        /// Pieces of work that failed.
        failed: usize,
        /// Pieces of work that were interrupted, blocked or not started.
        not_built: usize,
        /// RPMs in `out/`.
        rpms: usize,
        /// Their bytes together.
        rpm_bytes: u64,
        /// Recipes that were left out because they, or what they bundle, are unpinned.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        unpinned: Vec<UnpinnedRecipe>,
        /// Files in `out/` that were written.
        files_written: usize,
        /// Milliseconds from start to end.
        elapsed_ms: u64,
    },
    /// A package orders below one that was released.
    BelowReleased {
        /// The new package.
        package: String,
        /// The newest released one.
        released: String,
    },
    /// What `kiln sign` came to.
    Signed {
        /// Packages that have a signature of the pinned key.
        packages: usize,
        /// Whether the repository's index has one.
        is_repository_signed: bool,
        /// Packages that are released now and were not before.
        released: Vec<String>,
        /// What still has no signature, by its place in `out/`.
        missing: Vec<String>,
        /// Files in `out/` that were written.
        files_written: usize,
    },
    /// What `kiln plan` says.
    Plan {
        /// Everything that is needed, in build order.
        nodes: Vec<PlannedNode>,
        /// The packaging of products and base images, in build order.
        packages: Vec<PlannedPackage>,
        /// Milliseconds from start to end, by what it took the last time; without those that are
        /// `never-done`. Not there if nothing is known.
        #[serde(skip_serializing_if = "Option::is_none")]
        estimate_ms: Option<u64>,
        /// Pieces of work that would be done and never were.
        never_done: usize,
        /// Recipes that can not be built because they, or what they bundle, are unpinned.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        unpinned: Vec<UnpinnedRecipe>,
    },
    /// What `kiln why` says of one piece of work.
    Why {
        /// Which.
        work: WorkId,
        /// What a build would do: `nothing`, `runs`, or `waits` for what is built first.
        need: String,
        /// What became of its inputs since its last result: `never-done`, `same`, `changed`, or
        /// `forgotten` where the store has the old ones no more.
        past: String,
        /// Each input that changed, as far as it is known.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        changes: Vec<ChangeLine>,
        /// What the store lacks of the last result, for people.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        missing: Vec<String>,
        /// What is built first, for `waits`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        awaited: Vec<AwaitedLine>,
    },
    /// What `kiln check` says of a project that is fine; what is wrong are `error` lines.
    Check {
        /// Recipes that were looked at.
        recipes: usize,
        /// Base images that were looked at.
        base_images: usize,
    },
    /// What `kiln doctor` found.
    Doctor {
        /// Everything that it looked at.
        findings: Vec<DoctorFinding>,
        /// Whether builds can run.
        is_fit: bool,
    },
    /// One place at which the two that `kiln diff` compares differ.
    Difference {
        /// Where, outermost first.
        place: Vec<PlaceSegment>,
        /// `value`, `order`, `only-left` or `only-right`.
        change: String,
        /// What stands there on the left; not for `only-right`.
        #[serde(skip_serializing_if = "Option::is_none")]
        left: Option<String>,
        /// What stands there on the right; not for `only-left`.
        #[serde(skip_serializing_if = "Option::is_none")]
        right: Option<String>,
        /// Whether it comes with any other difference: a digest, a size, a build-id.
        follows: bool,
    },
    /// What `kiln diff` came to.
    Diff {
        /// The first path.
        left: String,
        /// The second path.
        right: String,
        /// Whether nothing differs.
        is_identical: bool,
        /// How far two packages agree: `bit-identical`, `but-for-signature`, `payload-identical`,
        /// `different`.
        #[serde(skip_serializing_if = "Option::is_none")]
        agreement: Option<String>,
        /// How many `difference` lines there are.
        differences: usize,
        /// Whether it stopped there, so that there may be more.
        is_cut: bool,
        /// Why they differ, as the content tells; what explains most comes first.
        causes: Vec<CauseLine>,
        /// What was not looked into or not told in full.
        notes: Vec<NoteLine>,
    },
    /// `kiln store check` is done.
    StoreChecked(StoreCheckedLine),
    /// `kiln store gc` is done.
    Collected(CollectedLine),
    /// What takes up the store's room.
    StoreUsage(UsageLine),
    /// A bundle was written.
    BundleWritten(BundleWrittenLine),
    /// A bundle was imported, or found complete.
    BundleRead(BundleReadLine),
    /// Why the command did not do what was asked.
    Error {
        /// The first line.
        message: String,
        /// All of it, as standard error has it.
        text: String,
    },
    /// The last line of every run.
    Finished {
        /// The exit code.
        exit: u8,
    },
}

/// Returns the JSON Schema of one line.
pub fn event_schema() -> serde_json::Value {
    schemars::schema_for!(EventLine).to_value()
}

/// Writes one object as one line without anything that a terminal would obey: JSON itself lets some
/// control characters pass.
pub fn encode(event: &EventLine) -> String {
    let text = serde_json::to_string(event).expect("an event is texts and numbers");
    let mut encoded = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                encoded.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            encoded.push(c);
        }
    }
    encoded
}

/// Prints one line.
pub fn print_event(event: &EventLine) {
    print::event(&encode(event));
}
