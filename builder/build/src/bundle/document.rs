//! What a bundle says of itself, and the OCI documents that follow from it.

use std::collections::BTreeMap;

use kiln_model::{Architecture, BaseName, Digest, ManifestDigest, RecipeName};
use kiln_store::{ArtifactKind, EMPTY_CONFIG, Part, artifact_manifest, media_type};
use serde::{Deserialize, Serialize};

use crate::key::canonical_json;

/// The format of a bundle. A newer one is refused.
pub const BUNDLE_FORMAT: u32 = 1;

/// The text of `oci-layout` (image-spec, "OCI Layout").
pub(crate) const LAYOUT_TEXT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}\n";

/// A blob by digest and size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sized {
    /// Which.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// A blob that recipes need.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Needed {
    /// Bytes.
    pub size: u64,
    /// What it is: `source zlib-1.3.tar.gz of zlib`.
    pub what: String,
}

/// What a bundle says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct BundleDocument {
    /// [`BUNDLE_FORMAT`].
    pub format: u32,
    /// The version of the kiln in it, which wrote it.
    pub kiln_version: String,
    /// The machine architecture that it builds for.
    pub architecture: Architecture,
    /// The recipes in it.
    pub recipes: Vec<RecipeName>,
    /// The base image that was chosen for all of them; `None` where they are built on their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseName>,
    /// The kiln program.
    pub kiln: Sized,
    /// A tar of recipes, patches, base images, keys, lockfiles and settings, below `project/`.
    pub project: Sized,
    /// A tar of the licence texts that recipes name, below `licenses/<recipe>/`.
    pub licenses: Sized,
    /// Base images by name: their manifests, where these are in the bundle.
    pub images: BTreeMap<String, Sized>,
    /// Everything else: sources, layers, packages of distributions.
    pub blobs: BTreeMap<Digest, Needed>,
}

/// Says why a text is no bundle's document.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// A newer kiln wrote it.
    #[error(
        "the bundle has format {actual}; this kiln reads up to format {BUNDLE_FORMAT}; use the kiln \
         that is in the bundle (`tar -xf FILE kiln`)"
    )]
    Newer {
        /// The bundle's format.
        actual: u64,
    },
    /// It is not what it should be.
    #[error("what the bundle says of itself can not be read: {reason}")]
    Syntax {
        /// What the parser says.
        reason: String,
    },
}

impl BundleDocument {
    /// Reads a document.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        let syntax = |error: serde_json::Error| DocumentError::Syntax {
            reason: error.to_string(),
        };
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(syntax)?;
        let format = value.get("format").and_then(serde_json::Value::as_u64);
        if let Some(actual) = format.filter(|format| *format > u64::from(BUNDLE_FORMAT)) {
            return Err(DocumentError::Newer { actual });
        }
        let document: Self = serde_json::from_slice(bytes).map_err(syntax)?;
        if document.format != BUNDLE_FORMAT || document.encode() != bytes {
            return Err(DocumentError::Syntax {
                reason: "it is not written as kiln writes it".to_owned(),
            });
        }
        Ok(document)
    }

    /// Returns the one encoding.
    pub(crate) fn encode(&self) -> Vec<u8> {
        canonical_json(&serde_json::to_value(self).expect("texts and numbers"))
    }

    /// Returns every blob of the bundle but its own documents, by digest, with its size.
    pub(crate) fn contents(&self) -> BTreeMap<Digest, u64> {
        let own = [self.kiln, self.project, self.licenses];
        let own = own.iter().chain(self.images.values());
        let own = own.map(|sized| (sized.digest, sized.size));
        let empty = (Digest::of(EMPTY_CONFIG), EMPTY_CONFIG.len() as u64);
        let needed = self
            .blobs
            .iter()
            .map(|(digest, needed)| (*digest, needed.size));
        needed.chain(own).chain([empty]).collect()
    }

    /// Returns the bundle's OCI manifest, which names everything in it.
    pub(crate) fn manifest(&self) -> Vec<u8> {
        let document = self.encode();
        let part = |sized: Sized, media_type, title: &str| Part {
            digest: sized.digest,
            size: sized.size,
            media_type,
            title: title.to_owned(),
        };
        let document = Sized {
            digest: Digest::of(&document),
            size: document.len() as u64,
        };
        let mut parts = vec![
            part(document, media_type::BUNDLE, "bundle.json"),
            part(self.project, media_type::LAYER, "project.tar"),
            part(self.licenses, media_type::LAYER, "licenses.tar"),
            part(self.kiln, media_type::BYTES, "kiln"),
        ];
        parts.extend(self.blobs.iter().map(|(digest, needed)| Part {
            digest: *digest,
            size: needed.size,
            media_type: media_type::BYTES,
            title: needed.what.clone(),
        }));
        artifact_manifest(ArtifactKind::Bundle, &parts)
    }

    /// Returns `index.json`: the bundle and the base images by name.
    pub(crate) fn index(&self) -> Vec<u8> {
        const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
        const NAME: &str = "org.opencontainers.image.ref.name";
        let manifest = self.manifest();
        let mut manifests = vec![serde_json::json!({
            "mediaType": MANIFEST,
            "artifactType": ArtifactKind::Bundle.media_type(),
            "digest": Digest::of(&manifest),
            "size": manifest.len(),
            "annotations": {NAME: "bundle"},
        })];
        manifests.extend(self.images.iter().map(|(name, image)| {
            serde_json::json!({
                "mediaType": MANIFEST,
                "digest": image.digest,
                "size": image.size,
                "annotations": {NAME: name},
            })
        }));
        canonical_json(&serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": manifests,
        }))
    }

    /// Returns the digest of the bundle: of its manifest, which names everything in it.
    #[must_use]
    pub fn digest(&self) -> ManifestDigest {
        ManifestDigest(Digest::of(&self.manifest()))
    }
}
