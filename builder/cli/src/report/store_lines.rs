//! What programs are told of the store and of bundles.

use kiln_build::{Exported, Imported};
use kiln_store::{Checked, Collected, Gone, Share, Usage};
use schemars::JsonSchema;
use serde::Serialize;

/// What `kiln store check` found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct StoreCheckedLine {
    /// Blobs that were read.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Records that were read.
    pub records: usize,
    /// Trees that were compared with their layers.
    pub trees: usize,
    /// What was wrong, and what was done about it.
    pub findings: Vec<String>,
}

impl StoreCheckedLine {
    pub fn new(checked: &Checked, trees: usize) -> Self {
        Self {
            blobs: checked.blobs,
            bytes: checked.bytes,
            records: checked.records,
            trees,
            findings: checked.findings.iter().map(ToString::to_string).collect(),
        }
    }
}

/// Things of one kind that are gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct GoneLine {
    /// How many.
    pub count: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl From<Gone> for GoneLine {
    fn from(gone: Gone) -> Self {
        Self {
            count: gone.count,
            bytes: gone.bytes,
        }
    }
}

/// What `kiln store gc` removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct CollectedLine {
    /// Whether nothing was removed, and this is what would be.
    pub is_dry_run: bool,
    /// Results of builds.
    pub results: GoneLine,
    /// Blobs.
    pub blobs: GoneLine,
    /// Unpacked trees.
    pub trees: GoneLine,
    /// What failed steps left, and damaged things.
    pub evidence: GoneLine,
    /// Things that nobody needs but another kiln uses just now.
    pub in_use: usize,
    /// Things that nobody needs and that are too young.
    pub young: usize,
    /// Projects that used the store and are gone.
    pub gone_projects: Vec<String>,
}

impl CollectedLine {
    pub fn new(collected: &Collected, evidence: Gone, gone_projects: Vec<String>) -> Self {
        Self {
            is_dry_run: false,
            results: collected.results.into(),
            blobs: collected.blobs.into(),
            trees: collected.trees.into(),
            evidence: evidence.into(),
            in_use: collected.leased,
            young: collected.young,
            gone_projects,
        }
    }
}

/// What takes up the store's room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct UsageLine {
    /// By recipe and place that it is built for, and by base image.
    pub shares: Vec<ShareLine>,
    /// Bytes of blobs that none of these names: fetched sources and packages, layers of tools.
    pub other_blobs: u64,
    /// Bytes of unpacked trees that none of these names.
    pub other_trees: u64,
    /// Bytes of what is not finished.
    pub unfinished: u64,
    /// Bytes of what failed steps left.
    pub kept: u64,
    /// Bytes of damaged things that were set aside.
    pub quarantine: u64,
    /// Bytes of everything.
    pub total: u64,
}

/// What one recipe or base image takes up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct ShareLine {
    /// `curl`, `openssl@usr-lib-curl`, `debian-12`; empty for results of older kilns.
    pub name: String,
    /// Results of it.
    pub results: usize,
    /// Bytes of all that it names.
    pub named: u64,
    /// Bytes of that which nothing else names.
    pub own: u64,
}

impl From<&Usage> for UsageLine {
    fn from(usage: &Usage) -> Self {
        let line = |(name, share): (&String, &Share)| ShareLine {
            name: name.clone(),
            results: share.results,
            named: share.named,
            own: share.own,
        };
        Self {
            shares: usage.labels.iter().chain(&usage.images).map(line).collect(),
            other_blobs: usage.other_blobs,
            other_trees: usage.other_trees,
            unfinished: usage.unfinished,
            kept: usage.kept,
            quarantine: usage.quarantine,
            total: usage.total,
        }
    }
}

/// What `kiln bundle export` wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct BundleWrittenLine {
    /// The file.
    pub file: String,
    /// The bundle: the digest of its manifest.
    pub bundle: String,
    /// The recipes in it.
    pub recipes: Vec<String>,
    /// Sources, layers and packages in it.
    pub blobs: usize,
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes that an earlier export had written.
    pub resumed_bytes: u64,
}

impl BundleWrittenLine {
    pub fn new(exported: &Exported, file: String) -> Self {
        Self {
            file,
            bundle: exported.bundle.to_string(),
            recipes: exported.recipes.iter().map(ToString::to_string).collect(),
            blobs: exported.blobs,
            bytes: exported.bytes,
            resumed_bytes: exported.resumed,
        }
    }
}

/// What `kiln bundle import` took, or `kiln bundle check` found complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct BundleReadLine {
    /// The bundle: the digest of its manifest.
    pub bundle: String,
    /// The version of the kiln that wrote it.
    pub kiln: String,
    /// The recipes in it.
    pub recipes: Vec<String>,
    /// Sources, layers and packages in it.
    pub blobs: usize,
    /// Those that the store had.
    pub already: usize,
    /// Bytes that the store did not have.
    pub new_bytes: u64,
    /// The folder that the project was put into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

impl From<&Imported> for BundleReadLine {
    fn from(imported: &Imported) -> Self {
        Self {
            bundle: imported.bundle.to_string(),
            kiln: imported.kiln_version.clone(),
            recipes: imported.recipes.iter().map(ToString::to_string).collect(),
            blobs: imported.blobs,
            already: imported.already,
            new_bytes: imported.new_bytes,
            project: imported
                .project
                .as_ref()
                .map(|path| path.display().to_string()),
        }
    }
}
