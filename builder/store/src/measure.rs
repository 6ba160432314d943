//! What takes up the store's room, and for whom.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use kiln_model::Digest;

use crate::reach::{Marked, digests_in, mark};
use crate::record::{RecordKind, find_records};
use crate::result::split_head;
use crate::store::Store;

/// What takes up the store's room. Bytes are those of files, not of disk blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// By label of results: what it names, and what no other label names.
    pub labels: BTreeMap<String, Share>,
    /// By name of an image: its manifest, configuration, layers and their trees.
    pub images: BTreeMap<String, Share>,
    /// Blobs that no result and no image names: sources that were fetched, packages of distributions,
    /// layers of tools, garbage.
    pub other_blobs: u64,
    /// Unpacked trees that no result and no image names.
    pub other_trees: u64,
    /// Unfinished downloads, and what live kilns work on.
    pub unfinished: u64,
    /// What failed steps left.
    pub kept: u64,
    /// Damaged things that were set aside.
    pub quarantine: u64,
    /// Everything in the store.
    pub total: u64,
}

/// What one label or image takes up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Share {
    /// Bytes of all that it names: blobs, and trees unpacked from them.
    pub named: u64,
    /// Bytes of those that nothing else names: what would be won without it.
    pub own: u64,
    /// Results.
    pub results: usize,
}

impl Store {
    /// Measures everything.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let root = self.root();
        let blobs = sizes(&root.join("blobs/sha256"), |path| {
            path.symlink_metadata().map_or(0, |found| found.len())
        });
        let trees = sizes(&root.join("trees"), folder_bytes);
        let owners = owners(root);
        let mut users: BTreeMap<Digest, usize> = BTreeMap::new();
        for owner in owners.values() {
            for digest in owner.marked.iter() {
                *users.entry(*digest).or_default() += 1;
            }
        }
        let size = |digest: &Digest| {
            blobs.get(digest).copied().unwrap_or(0) + trees.get(digest).copied().unwrap_or(0)
        };
        let mut usage = Usage::default();
        for (name, owner) in &owners {
            let mut share = Share {
                results: owner.results,
                ..Share::default()
            };
            for digest in owner.marked.iter() {
                share.named += size(digest);
                if users[digest] == 1 {
                    share.own += size(digest);
                }
            }
            match name {
                Owner::Label(label) => drop(usage.labels.insert(label.clone(), share)),
                Owner::Image(image) => drop(usage.images.insert(image.clone(), share)),
                Owner::Unlabelled => drop(usage.labels.insert(String::new(), share)),
            }
        }
        let unnamed = |found: &BTreeMap<Digest, u64>| {
            let unnamed = found
                .iter()
                .filter(|(digest, _)| !users.contains_key(digest));
            unnamed.map(|(_, bytes)| bytes).sum()
        };
        usage.other_blobs = unnamed(&blobs);
        usage.other_trees = unnamed(&trees);
        usage.unfinished = folder_bytes(&root.join("tmp"));
        usage.kept = folder_bytes(&root.join("kept"));
        usage.quarantine = folder_bytes(&root.join("quarantine"));
        usage.total = folder_bytes(root);
        usage
    }
}

/// Who names something.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Image(String),
    Label(String),
    /// Results of store format 1.
    Unlabelled,
}

#[derive(Debug, Default)]
struct Owned {
    marked: Marked,
    results: usize,
}

fn owners(root: &Path) -> BTreeMap<Owner, Owned> {
    let mut owners: BTreeMap<Owner, Owned> = BTreeMap::new();
    for record in find_records(root, RecordKind::Reference) {
        if let Some(name) = record.key {
            let owned = owners.entry(Owner::Image(name)).or_default();
            mark(root, digests_in(&record.value), &mut owned.marked);
        }
    }
    for record in find_records(root, RecordKind::Action) {
        if record.key.is_none() {
            continue;
        }
        let owner = split_head(&record.value)
            .map_or(Owner::Unlabelled, |(head, _)| Owner::Label(head.label));
        let owned = owners.entry(owner).or_default();
        owned.results += 1;
        mark(root, digests_in(&record.value), &mut owned.marked);
    }
    owners
}

/// Measures everything in a folder whose name is a digest.
fn sizes(folder: &Path, measure: impl Fn(&Path) -> u64) -> BTreeMap<Digest, u64> {
    let entries = walkdir::WalkDir::new(folder).min_depth(1).max_depth(1);
    let entries = entries.sort_by_file_name().into_iter().flatten();
    let measured = entries.filter_map(|entry| {
        let digest = Digest::from_hex(entry.file_name().to_str()?).ok()?;
        Some((digest, measure(entry.path())))
    });
    measured.collect()
}

/// Returns the bytes of all files below a folder; one with several names counts once.
pub(crate) fn folder_bytes(folder: &Path) -> u64 {
    let mut seen = BTreeSet::new();
    let entries = walkdir::WalkDir::new(folder).into_iter().flatten();
    let sizes = entries.filter_map(|entry| {
        let found = entry.metadata().ok()?;
        let is_first = found.nlink() == 1 || seen.insert((found.dev(), found.ino()));
        (found.is_file() && is_first).then_some(found.len())
    });
    sizes.sum()
}
