//! `kiln store check`: every byte of every blob and record, and whether results have all their parts.

use std::path::PathBuf;

use kiln_model::{DiffId, Digest};

use crate::aside::{StoredThing, move_aside};
use crate::error::StoreError;
use crate::reach::digests_in;
use crate::record::{RecordKind, find_records};
use crate::result::split_head;
use crate::store::Store;

/// Something that was wrong. Each was dealt with: what it says was set aside or removed is no longer
/// found, and is fetched or built again when it is needed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum StoreFinding {
    /// A blob has other bytes; it was set aside.
    #[error("blob {digest} is damaged, and was set aside as `{}`", .evidence.display())]
    Blob {
        /// Its name.
        digest: Digest,
        /// Where it is now.
        evidence: PathBuf,
    },
    /// A record can not be read; it was set aside.
    #[error("record `{}` is damaged, and was set aside as `{}`", .path.display(), .evidence.display())]
    Record {
        /// Where it was.
        path: PathBuf,
        /// Where it is now.
        evidence: PathBuf,
    },
    /// A result lacks something; its record was removed.
    #[error("the result of `{label}` lacks blob {missing}, and was forgotten: it is built again")]
    Incomplete {
        /// Whose.
        label: String,
        /// One blob that it lacks.
        missing: Digest,
    },
    /// A tree is not as it was unpacked; it was set aside.
    #[error("tree {id} is not as it was unpacked (`{place}`: {problem}), and was set aside as `{}`", .evidence.display())]
    Tree {
        /// Its name.
        id: DiffId,
        /// What differs in it.
        place: String,
        /// How.
        problem: String,
        /// Where it is now.
        evidence: PathBuf,
    },
    /// There is something that kiln did not put there; it was left alone.
    #[error("`{}` is nothing that kiln made", .path.display())]
    Stranger {
        /// Where.
        path: PathBuf,
    },
}

/// What was looked at, and what was wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checked {
    /// Blobs.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Records.
    pub records: usize,
    /// What was wrong, in the order of places.
    pub findings: Vec<StoreFinding>,
}

impl Store {
    /// Verifies every blob and record, and sets aside what is damaged; trees are not looked at.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn check(&self, is_stopped: &dyn Fn() -> bool) -> Result<Checked, StoreError> {
        let mut checked = Checked::default();
        self.check_blobs(is_stopped, &mut checked)?;
        let kinds = [
            RecordKind::Reference,
            RecordKind::Action,
            RecordKind::Output,
            RecordKind::Latest,
            RecordKind::Project,
        ];
        for kind in kinds {
            for record in find_records(self.root(), kind) {
                checked.records += 1;
                if record.key.is_none() {
                    let evidence = move_aside(&record.path, &self.root().join("quarantine"))?;
                    let path = record.path;
                    checked
                        .findings
                        .push(StoreFinding::Record { path, evidence });
                }
            }
        }
        self.check_results(&mut checked)?;
        self.rebuild_index()?;
        Ok(checked)
    }

    fn check_blobs(
        &self,
        is_stopped: &dyn Fn() -> bool,
        checked: &mut Checked,
    ) -> Result<(), StoreError> {
        let folder = self.root().join("blobs/sha256");
        let entries = walkdir::WalkDir::new(&folder).min_depth(1).max_depth(1);
        for entry in entries.sort_by_file_name() {
            if is_stopped() {
                return Ok(());
            }
            let entry = entry.map_err(|error| StoreError::from_io("read", &folder, error))?;
            let name = entry.file_name().to_str();
            let Some(digest) = name.and_then(|name| Digest::from_hex(name).ok()) else {
                let path = entry.into_path();
                checked.findings.push(StoreFinding::Stranger { path });
                continue;
            };
            checked.blobs += 1;
            match self.verify_bytes(&digest) {
                Ok(size) => checked.bytes += size,
                Err(
                    StoreError::Damaged { evidence, .. }
                    | StoreError::NotARegularFile { evidence, .. },
                ) => checked
                    .findings
                    .push(StoreFinding::Blob { digest, evidence }),
                // Somebody removed it just now.
                Err(StoreError::Missing { .. }) => checked.blobs -= 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Forgets results that lack a blob.
    fn check_results(&self, checked: &mut Checked) -> Result<(), StoreError> {
        for record in find_records(self.root(), RecordKind::Action) {
            let Some(key) = record.key else { continue };
            let label = split_head(&record.value).map_or(String::new(), |(head, _)| head.label);
            // A key is no blob of its own result unless its inputs were kept, which they are.
            let named = digests_in(&record.value).into_iter();
            let mut missing = named.filter(|digest| !self.has_blob(digest));
            let own = Digest::from_hex(&key).ok();
            if let Some(missing) = missing.find(|digest| Some(*digest) != own) {
                self.remove_record(RecordKind::Action, &key)?;
                let finding = StoreFinding::Incomplete { label, missing };
                checked.findings.push(finding);
            }
        }
        Ok(())
    }

    /// Returns the names of all trees.
    #[must_use]
    pub fn tree_ids(&self) -> Vec<DiffId> {
        let entries = walkdir::WalkDir::new(self.root().join("trees"))
            .min_depth(1)
            .max_depth(1)
            .sort_by_file_name();
        let names = entries.into_iter().flatten().filter_map(|entry| {
            let name = entry.file_name().to_str()?;
            Digest::from_hex(name).ok().map(DiffId)
        });
        names.collect()
    }

    /// Moves a tree aside; returns where it is now.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn set_tree_aside(&self, id: &DiffId) -> Result<PathBuf, StoreError> {
        let path = self.root().join("trees").join(id.0.to_hex());
        self.quarantine(&path, StoredThing::Tree(*id))
    }
}
