//! Results: what a key led to, as a record in `actions/` and an artifact that names its blobs.
//!
//! ```text
//! {"kind":"destdir","label":"curl","manifest":{…descriptor…}}\n    whose result it is, and its artifact
//! <the value's bytes>                                              what its maker wants to know again
//! ```
//!
//! The record is the truth and is read in one go. The artifact's manifest is for everyone else: garbage
//! collectors, registries, other OCI tools. A record of store format 1 has no first line: its value is
//! all of it, and every digest in that is taken for one of its blobs.

use kiln_model::Digest;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use serde::{Deserialize, Serialize};

use crate::artifact::{ArtifactKind, Descriptor, Part};
use crate::error::StoreError;
use crate::record::RecordKind;
use crate::store::Store;

/// Seconds after which a result that is used is marked as used again.
const REMARK: i64 = 60 * 60;

/// The media type of a result's value, which is the last blob of its artifact.
const VALUE_TYPE: &str = "application/vnd.kiln.result.v1+json";

/// A result to record.
#[derive(Debug, Clone, Copy)]
pub struct NewResult<'a> {
    /// What it is the result of.
    pub key: &'a Digest,
    /// What it is.
    pub kind: ArtifactKind,
    /// Whose it is: `openssl@usr-lib-curl`. A collector keeps the last few of each label and kind.
    pub label: &'a str,
    /// What its maker wants to know again, as JSON.
    pub value: &'a [u8],
    /// Its blobs.
    pub parts: &'a [Part],
}

/// The first line of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    kind: String,
    pub(crate) label: String,
    pub(crate) manifest: Descriptor,
}

impl Head {
    pub(crate) fn kind(&self) -> Option<ArtifactKind> {
        ArtifactKind::ALL
            .into_iter()
            .find(|kind| kind.word() == self.kind)
    }
}

impl Store {
    /// Records a result, durably, over an older one of the same key.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn record_result(&self, result: &NewResult<'_>) -> Result<(), StoreError> {
        self.record_results(std::slice::from_ref(result))
    }

    /// Records several results, durably and in this order, each over an older one of the same key. The
    /// names of all their parts are synced together.
    ///
    /// # Errors
    /// As the system refuses; those before the one that failed may be recorded.
    pub fn record_results(&self, results: &[NewResult<'_>]) -> Result<(), StoreError> {
        let records = results.iter().map(|result| self.write_result(result));
        let records = records.collect::<Result<Vec<_>, _>>()?;
        self.sync_names()?;
        let kind = RecordKind::Action;
        for (result, bytes) in results.iter().zip(&records) {
            self.write_record(kind, &result.key.to_hex(), bytes)?;
        }
        self.note_new_result();
        Ok(())
    }

    /// Writes the artifact of a result and returns its record.
    fn write_result(&self, result: &NewResult<'_>) -> Result<Vec<u8>, StoreError> {
        let mut parts = result.parts.to_vec();
        parts.push(Part {
            digest: self.write_part(result.value)?,
            size: result.value.len() as u64,
            media_type: VALUE_TYPE,
            title: "result.json".to_owned(),
        });
        let artifact = self.write_artifact(result.kind, &parts)?;
        let head = Head {
            kind: result.kind.word().to_owned(),
            label: result.label.to_owned(),
            manifest: Descriptor {
                media_type: artifact.media_type.to_owned(),
                digest: artifact.digest,
                size: artifact.size,
                artifact_type: Some(result.kind.media_type()),
                annotations: std::collections::BTreeMap::new(),
            },
        };
        let mut bytes = serde_json::to_vec(&head).expect("texts and numbers");
        bytes.push(b'\n');
        bytes.extend_from_slice(result.value);
        Ok(bytes)
    }

    /// Returns the value of the result of `key`, and marks the result as used; `None` when there is no
    /// record that can be trusted. Whether its blobs are there is for the caller to ask.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn result(&self, key: &Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let name = key.to_hex();
        let Some((bytes, modified)) = self.read_timed_record(RecordKind::Action, &name)? else {
            return Ok(None);
        };
        if modified.saturating_add(REMARK) < self.began() {
            // A mark that can not be set costs a rebuild after a collection, nothing else.
            let now = Timespec {
                tv_sec: 0,
                tv_nsec: UTIME_NOW,
            };
            let times = Timestamps {
                last_access: Timespec {
                    tv_sec: 0,
                    tv_nsec: UTIME_OMIT,
                },
                last_modification: now,
            };
            let path = self.record_path(RecordKind::Action, &name)?;
            let _ = rustix::fs::utimensat(CWD, &path, &times, AtFlags::SYMLINK_NOFOLLOW);
        }
        Ok(Some(match split_head(&bytes) {
            Some((_, value)) => value.to_vec(),
            None => bytes,
        }))
    }
}

/// Splits a record into its first line and its value; `None` for one of store format 1.
pub(crate) fn split_head(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let head = serde_json::from_slice(&bytes[..end]).ok()?;
    Some((head, &bytes[end + 1..]))
}
