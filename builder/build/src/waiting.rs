//! Documents that wait on disk until everything is published: memory does not grow with what is done.

use std::collections::BTreeMap;

use kiln_model::Digest;
use kiln_store::{ArtifactKind, NewResult, Part, ScratchDir, media_type};

use crate::documents::Document;
use crate::error::BuildError;
use crate::key::canonical_json;
use crate::workshop::Workshop;

/// The documents of one product.
#[derive(Debug)]
pub(crate) struct Documents {
    /// One file for each, named by its number.
    folder: ScratchDir,
    /// Where they go, relative to `out/`.
    paths: Vec<String>,
}

impl Documents {
    /// Writes them into a folder of this run's own.
    pub(crate) fn put_down(
        shop: &Workshop<'_>,
        documents: Vec<Document>,
    ) -> Result<Self, BuildError> {
        let folder = shop.store.scratch()?;
        let mut paths = Vec::new();
        for (number, (path, bytes)) in documents.into_iter().enumerate() {
            fs_err::write(folder.path().join(number.to_string()), bytes)?;
            paths.push(path);
        }
        Ok(Self { folder, paths })
    }

    /// Reads one after the other.
    pub(crate) fn read(&self) -> impl Iterator<Item = Result<(&str, Vec<u8>), BuildError>> {
        self.paths.iter().enumerate().map(|(number, path)| {
            let bytes = fs_err::read(self.folder.path().join(number.to_string()))?;
            Ok((path.as_str(), bytes))
        })
    }

    /// Keeps the documents of a product in the store, beside its packages: all but run records, which tell of
    /// one run.
    pub(crate) fn record(&self, shop: &Workshop<'_>, name: &str) -> Result<(), BuildError> {
        let mut parts = Vec::new();
        for document in self.read() {
            let (path, bytes) = document?;
            let media_type = match path {
                path if path.ends_with(".run.json") => continue,
                path if path.ends_with(".cdx.json") => media_type::CYCLONEDX,
                path if path.ends_with(".spdx.json") => media_type::SPDX,
                _ => media_type::IN_TOTO,
            };
            let digest = Digest::of(&bytes);
            if !shop.store.contains(&digest) {
                shop.store.write_blob(&bytes)?;
            }
            parts.push(Part {
                digest,
                size: bytes.len() as u64,
                media_type,
                title: path.rsplit('/').next().unwrap_or_default().to_owned(),
            });
        }
        let files: BTreeMap<_, _> = parts
            .iter()
            .map(|part| (&part.title, part.digest))
            .collect();
        let value = canonical_json(&serde_json::json!({"documents": files}));
        let key = Digest::of(&value);
        if parts.is_empty() || shop.store.result(&key)?.is_some() {
            return Ok(());
        }
        Ok(shop.store.record_result(&NewResult {
            key: &key,
            kind: ArtifactKind::Documents,
            label: name,
            value: &value,
            parts: &parts,
        })?)
    }
}
