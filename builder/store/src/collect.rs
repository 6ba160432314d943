//! Garbage collection: what nobody needs any more goes, and nothing that somebody might be using.
//!
//! 1. One collector at a time (`gc.lock`).
//! 2. **Mark**: what the caller needs, named images, the last few results of each label, and all that
//!    hangs on these.
//! 3. **Remove**, while nobody can take a lease ([`Standstill`]): leases are read first, then the records
//!    that came since the mark. A kiln that ended in between wrote its records before its leases went, so
//!    whatever it made is seen one way or the other. Then everything unmarked that is older than the
//!    grace is moved to the collector's own folder, results before what they name.
//! 4. What was moved is deleted when the others go on. A collector that is killed leaves it to the next
//!    kiln, as any unfinished thing; what hangs on a removed result may then stay until the next collection.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use kiln_model::Digest;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::artifact::ArtifactKind;
use crate::error::StoreError;
use crate::lease::Standstill;
use crate::lock::lock_alone;
use crate::measure::folder_bytes;
use crate::publish::{rename_noreplace, sync_folder};
use crate::reach::{Marked, digests_in, mark};
use crate::record::{FoundRecord, RecordKind, find_records};
use crate::result::split_head;
use crate::store::Store;

/// What a collection keeps.
#[derive(Debug, Clone)]
pub struct Keep {
    /// Blobs, trees and results that are needed, with all that they name.
    pub needed: BTreeSet<Digest>,
    /// Results of each label and kind, those used last first.
    pub results: usize,
    /// Seconds that a thing is left alone after it was made or, if it is a result, used.
    pub grace: i64,
    /// Whether anything is removed.
    pub mode: CollectMode,
}

/// Whether a collection removes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CollectMode {
    /// It does.
    Remove,
    /// It only says what it would remove.
    DryRun,
}

/// What a collection removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// Results.
    pub results: Gone,
    /// Blobs.
    pub blobs: Gone,
    /// Unpacked trees.
    pub trees: Gone,
    /// Things that were unmarked, and stay because a live kiln uses them.
    pub leased: usize,
    /// Things that were unmarked, and stay because they are too young.
    pub young: usize,
}

/// How much of one kind goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gone {
    /// How many.
    pub count: usize,
    /// Bytes on disk.
    pub bytes: u64,
}

impl Gone {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
    }
}

/// Something that might go.
struct Candidate {
    path: PathBuf,
    digest: Digest,
    /// When its inode changed last: seconds since 1970.
    changed: i64,
    /// Of a file.
    bytes: Option<u64>,
}

impl Store {
    /// Removes what nobody needs. `needed_now` is asked once more what is needed, when nobody can take a
    /// lease: what needs something may have come, and gone again, since `keep` was made.
    ///
    /// # Errors
    /// What `needed_now` says, or as the system refuses. What was removed until then stays removed.
    pub fn collect_garbage<E: From<StoreError>>(
        &self,
        keep: &Keep,
        needed_now: impl FnOnce() -> Result<BTreeSet<Digest>, E>,
    ) -> Result<Collected, E> {
        let _alone = lock_alone(&self.root().join("gc.lock"))?;
        let mut collection = Collection {
            store: self,
            keep,
            marked: Marked::default(),
            leased: Marked::default(),
            known: BTreeMap::new(),
            collected: Collected::default(),
        };
        let records = collection.mark_all();
        let stale = collection.stale_results(&records);
        let trash = self.unfinished_folder("garbage-")?;
        let standstill = Standstill::begin(self.root())?;
        collection.mark_new(&standstill, needed_now()?);
        collection.remove_results(&stale, &standstill.leased, trash.path())?;
        let blobs = candidates(&self.root().join("blobs/sha256"), FileType::RegularFile)?;
        collection.remove(blobs, trash.path())?;
        let trees = candidates(&self.root().join("trees"), FileType::Directory)?;
        let trees = collection.remove(trees, trash.path())?;
        drop(standstill);
        let mut collected = collection.collected;
        for tree in trees {
            collected.trees.add(folder_bytes(&tree));
        }
        drop(trash);
        if keep.mode == CollectMode::Remove && collected.results.count > 0 {
            self.rebuild_index()?;
        }
        Ok(collected)
    }
}

struct Collection<'a> {
    store: &'a Store,
    keep: &'a Keep,
    marked: Marked,
    /// What live kilns use.
    leased: Marked,
    /// Records that were looked at, and when they were written.
    known: BTreeMap<PathBuf, i64>,
    collected: Collected,
}

impl Collection<'_> {
    /// Marks everything that is needed, and returns the results' records.
    fn mark_all(&mut self) -> Vec<FoundRecord> {
        let root = self.store.root();
        mark(root, self.keep.needed.iter().copied(), &mut self.marked);
        for record in find_records(root, RecordKind::Reference) {
            mark(root, digests_in(&record.value), &mut self.marked);
            self.known.insert(record.path, record.modified);
        }
        let records = find_records(root, RecordKind::Action);
        let kept = kept_results(&records, self.keep, self.store.began());
        for (record, is_kept) in records.iter().zip(kept) {
            if is_kept {
                mark(root, digests_in(&record.value), &mut self.marked);
            }
            self.known.insert(record.path.clone(), record.modified);
        }
        records
    }

    fn stale_results<'r>(&self, records: &'r [FoundRecord]) -> Vec<&'r FoundRecord> {
        let kept = kept_results(records, self.keep, self.store.began());
        let records = records.iter().zip(kept);
        records
            .filter(|(_, is_kept)| !is_kept)
            .map(|(record, _)| record)
            .collect()
    }

    /// Marks what came since everything was marked: leases, then records and what else is needed.
    fn mark_new(&mut self, standstill: &Standstill, needed: BTreeSet<Digest>) {
        let root = self.store.root();
        mark(root, needed, &mut self.marked);
        mark(root, standstill.leased.iter().copied(), &mut self.leased);
        for kind in [RecordKind::Reference, RecordKind::Action] {
            for record in find_records(root, kind) {
                if self.known.get(&record.path) != Some(&record.modified) {
                    mark(root, digests_in(&record.value), &mut self.marked);
                    self.known.insert(record.path, record.modified);
                }
            }
        }
    }

    fn remove_results(
        &mut self,
        stale: &[&FoundRecord],
        leased: &BTreeSet<Digest>,
        trash: &Path,
    ) -> Result<(), StoreError> {
        for record in stale {
            // One that was used or written anew meanwhile stays.
            if self.known.get(&record.path) != Some(&record.modified) {
                continue;
            }
            let mut named = Marked::default();
            mark(self.store.root(), digests_in(&record.value), &mut named);
            if named.iter().any(|digest| leased.contains(digest)) {
                self.collected.leased += 1;
                mark(self.store.root(), named.iter().copied(), &mut self.leased);
                continue;
            }
            self.collected.results.add(record.value.len() as u64);
            self.discard(&record.path, "result", trash)?;
        }
        if stale.is_empty() || self.keep.mode == CollectMode::DryRun {
            return Ok(());
        }
        // Results are gone for good before anything that they name.
        sync_folder(&self.store.root().join("actions"))
    }

    /// Removes what nobody needs, and returns where the folders among it are now.
    fn remove(
        &mut self,
        candidates: Vec<Candidate>,
        trash: &Path,
    ) -> Result<Vec<PathBuf>, StoreError> {
        let oldest = self.store.began().saturating_sub(self.keep.grace);
        let mut folders = Vec::new();
        for candidate in candidates {
            if self.marked.contains(&candidate.digest) {
                continue;
            }
            if self.leased.contains(&candidate.digest) {
                self.collected.leased += 1;
            } else if candidate.changed > oldest {
                self.collected.young += 1;
            } else if let Some(bytes) = candidate.bytes {
                self.collected.blobs.add(bytes);
                self.discard(&candidate.path, "blob", trash)?;
            } else {
                folders.push(self.discard(&candidate.path, "tree", trash)?);
            }
        }
        Ok(folders)
    }

    /// Moves a thing to the folder that goes when the collection is over; returns where it is.
    fn discard(&self, path: &Path, prefix: &str, trash: &Path) -> Result<PathBuf, StoreError> {
        if self.keep.mode == CollectMode::DryRun {
            return Ok(path.to_owned());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let place = trash.join(format!("{prefix}-{name}"));
        match rename_noreplace(path, &place) {
            Ok(()) | Err(Errno::NOENT) => Ok(place),
            Err(error) => Err(StoreError::from_io("remove", path, error)),
        }
    }
}

/// Says of each result whether it is kept: it is needed, among the last of its label and kind, young, a
/// signature (nobody can make it again), or of store format 1 and not used since: its label is unknown.
fn kept_results(records: &[FoundRecord], keep: &Keep, now: i64) -> Vec<bool> {
    let oldest = now.saturating_sub(keep.grace);
    let mut kept = vec![false; records.len()];
    let mut by_label: BTreeMap<(Option<ArtifactKind>, String), Vec<usize>> = BTreeMap::new();
    for (place, record) in records.iter().enumerate() {
        let Some(key) = &record.key else {
            // It can not be read, now or ever: `kiln store check` sets it aside if it is damaged.
            kept[place] = true;
            continue;
        };
        let is_needed = Digest::from_hex(key).is_ok_and(|key| keep.needed.contains(&key));
        match split_head(&record.value) {
            None => kept[place] = true,
            Some((head, _)) => {
                let kind = head.kind();
                kept[place] = is_needed
                    || record.modified > oldest
                    || matches!(kind, None | Some(ArtifactKind::Signature));
                by_label.entry((kind, head.label)).or_default().push(place);
            }
        }
    }
    for mut places in by_label.into_values() {
        places.sort_by_key(|place| (std::cmp::Reverse(records[*place].modified), *place));
        for place in places.into_iter().take(keep.results) {
            kept[place] = true;
        }
    }
    kept
}

/// Returns everything of one type in a folder whose name is a digest.
fn candidates(folder: &Path, wanted: FileType) -> Result<Vec<Candidate>, StoreError> {
    let mut found = Vec::new();
    let entries = walkdir::WalkDir::new(folder).min_depth(1).max_depth(1);
    for entry in entries.sort_by_file_name() {
        let entry = entry.map_err(|error| StoreError::from_io("read", folder, error))?;
        let Some(digest) = entry
            .file_name()
            .to_str()
            .and_then(|n| Digest::from_hex(n).ok())
        else {
            continue;
        };
        let stat = match rustix::fs::lstat(entry.path()) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(StoreError::from_io("read", entry.path(), error)),
        };
        if FileType::from_raw_mode(stat.st_mode) != wanted {
            continue;
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        found.push(Candidate {
            path: entry.into_path(),
            digest,
            changed: stat.st_ctime,
            bytes: (wanted == FileType::RegularFile).then_some(size),
        });
    }
    Ok(found)
}
