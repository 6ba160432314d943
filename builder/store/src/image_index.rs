//! `index.json`: the view of the store that other OCI tools read.
//!
//! The truth is in `refs/`, one record per image, and `actions/`, one per result; the index is written
//! anew from all of them, under a lock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use kiln_model::ManifestDigest;
use serde::Serialize;

use crate::artifact::{Descriptor, MANIFEST_TYPE};
use crate::error::StoreError;
use crate::lock::lock_alone;
use crate::publish::replace_file;
use crate::record::{RecordKind, find_records};
use crate::result::split_head;
use crate::store::Store;

const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const NAME_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// An OCI image index (image-spec "Image Index").
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

impl Store {
    /// Names an image whose manifest, of `size` bytes, is a blob of this store.
    ///
    /// # Errors
    /// `Missing` when the manifest is not there, `RecordKey` when the name can not be one, or as
    /// the system refuses.
    pub fn record_image(
        &self,
        name: &str,
        manifest: &ManifestDigest,
        size: u64,
    ) -> Result<(), StoreError> {
        if !self.contains(&manifest.0) {
            return Err(StoreError::Missing { digest: manifest.0 });
        }
        if self.recorded_image(name)? == Some(*manifest) {
            return Ok(());
        }
        let descriptor = Descriptor {
            media_type: MANIFEST_TYPE.to_owned(),
            digest: manifest.0,
            size,
            artifact_type: None,
            annotations: BTreeMap::new(),
        };
        let text = serde_json::to_vec(&descriptor).expect("a descriptor holds only texts");
        self.write_record(RecordKind::Reference, name, &text)?;
        self.rebuild_index()
    }

    /// Returns the manifest that a name was given to.
    ///
    /// # Errors
    /// `RecordKey`.
    pub fn recorded_image(&self, name: &str) -> Result<Option<ManifestDigest>, StoreError> {
        let record = self.read_record(RecordKind::Reference, name)?;
        Ok(record
            .and_then(|text| parse_image(&text))
            .map(|descriptor| ManifestDigest(descriptor.digest)))
    }

    /// Writes `index.json` anew from `refs/` and `actions/`.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn rebuild_index(&self) -> Result<(), StoreError> {
        rewrite(self.root(), self.session_folder())
    }

    /// Writes `index.json` if it is missing.
    pub(crate) fn complete_index(&self) -> Result<(), StoreError> {
        if self.root().join("index.json").symlink_metadata().is_ok() {
            return Ok(());
        }
        self.rebuild_index()
    }
}

/// Writes `index.json` anew; `temporary` is a folder for unfinished things.
///
/// Images have the names that they were given. Of the results of one kind and label the one used last is
/// called by both, `destdir/curl`; older ones have no name.
pub(crate) fn rewrite(store: &Path, temporary: &Path) -> Result<(), StoreError> {
    let _lock = lock_alone(&store.join("index.lock"))?;
    let mut manifests = named_images(store);
    manifests.extend(result_manifests(store));
    manifests.retain(|descriptor| {
        let blob = store.join("blobs/sha256").join(descriptor.digest.to_hex());
        blob.symlink_metadata().is_ok_and(|found| found.is_file())
    });
    let index = Index {
        schema_version: 2,
        media_type: INDEX_TYPE,
        manifests,
    };
    let text = serde_json::to_vec(&index).expect("an index holds only numbers and texts");
    replace_file(temporary, &store.join("index.json"), &text)
}

fn named_images(store: &Path) -> Vec<Descriptor> {
    let records = find_records(store, RecordKind::Reference).into_iter();
    let mut images: Vec<_> = records
        .filter_map(|record| {
            let (name, mut descriptor) = (record.key?, parse_image(&record.value)?);
            descriptor.annotations = BTreeMap::from([(NAME_ANNOTATION.to_owned(), name.clone())]);
            Some((name, descriptor))
        })
        .collect();
    images.sort_by(|(one, _), (other, _)| one.cmp(other));
    images.into_iter().map(|(_, image)| image).collect()
}

fn result_manifests(store: &Path) -> Vec<Descriptor> {
    let records = find_records(store, RecordKind::Action).into_iter();
    let mut results: Vec<_> = records
        .filter_map(|record| {
            let (head, _) = split_head(&record.value)?;
            let name = format!("{}/{}", head.kind()?.word(), head.label);
            Some((name, std::cmp::Reverse(record.modified), head.manifest))
        })
        .collect();
    results.sort_by(|one, other| {
        (&one.0, one.1, one.2.digest).cmp(&(&other.0, other.1, other.2.digest))
    });
    let (mut names, mut listed) = (BTreeSet::new(), BTreeSet::new());
    let mut manifests = Vec::new();
    for (name, _, mut descriptor) in results {
        // Two keys can lead to the same blobs.
        if !listed.insert(descriptor.digest) {
            continue;
        }
        if names.insert(name.clone()) {
            descriptor
                .annotations
                .insert(NAME_ANNOTATION.to_owned(), name);
        }
        manifests.push(descriptor);
    }
    manifests
}

/// References of other kinds are no images.
fn parse_image(text: &[u8]) -> Option<Descriptor> {
    let descriptor: Descriptor = serde_json::from_slice(text).ok()?;
    (descriptor.media_type == MANIFEST_TYPE).then_some(descriptor)
}
