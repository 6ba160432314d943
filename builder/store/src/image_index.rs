//! Named images, and `index.json`: the view of them that other OCI tools read.
//!
//! The truth is one record per image in `refs/`; the index is written anew from all of them, under
//! a lock, whenever one changes.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use kiln_model::{Digest, ManifestDigest};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::publish::replace_file;
use crate::record::RecordKind;
use crate::store::Store;

const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const NAME_ANNOTATION: &str = "org.opencontainers.image.ref.name";

/// An OCI descriptor (image-spec "Content Descriptors") of an image manifest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Descriptor {
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

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
        let descriptor = Descriptor {
            media_type: MANIFEST_TYPE.to_owned(),
            digest: manifest.0,
            size,
            annotations: BTreeMap::new(),
        };
        let text = serde_json::to_vec(&descriptor).expect("a descriptor holds only texts");
        let _lock = self.lock_index()?;
        self.write_record(RecordKind::Reference, name, &text)?;
        self.write_index()
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

    /// Writes `index.json` anew from `refs/`.
    ///
    /// # Errors
    /// As the system refuses.
    pub fn rebuild_index(&self) -> Result<(), StoreError> {
        let _lock = self.lock_index()?;
        self.write_index()
    }

    /// Writes `index.json` if it is missing.
    pub(crate) fn complete_index(&self) -> Result<(), StoreError> {
        if self.root().join("index.json").symlink_metadata().is_ok() {
            return Ok(());
        }
        self.rebuild_index()
    }

    /// Needs the lock.
    fn write_index(&self) -> Result<(), StoreError> {
        let manifests = self
            .records(RecordKind::Reference)
            .into_iter()
            .filter_map(|(name, text)| {
                let mut descriptor = parse_image(&text)?;
                descriptor.annotations = BTreeMap::from([(NAME_ANNOTATION.to_owned(), name)]);
                self.contains(&descriptor.digest).then_some(descriptor)
            })
            .collect();
        let index = Index {
            schema_version: 2,
            media_type: INDEX_TYPE,
            manifests,
        };
        let text = serde_json::to_vec(&index).expect("an index holds only numbers and texts");
        let path = self.root().join("index.json");
        replace_file(self.session_folder(), &path, &text)
    }

    /// Waits for the lock; it is released with the returned handle.
    fn lock_index(&self) -> Result<OwnedFd, StoreError> {
        let path = self.root().join("index.lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let failed = |error: Errno| StoreError::from_io("lock", &path, error);
        let lock = rustix::fs::open(&path, flags, Mode::from_raw_mode(0o644)).map_err(failed)?;
        loop {
            match rustix::fs::flock(&lock, FlockOperation::LockExclusive) {
                Err(Errno::INTR) => {}
                outcome => return outcome.map(|()| lock).map_err(failed),
            }
        }
    }
}

/// References of other kinds are no images.
fn parse_image(text: &[u8]) -> Option<Descriptor> {
    let descriptor: Descriptor = serde_json::from_slice(text).ok()?;
    (descriptor.media_type == MANIFEST_TYPE).then_some(descriptor)
}
