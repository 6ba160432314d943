//! Artifacts: blobs that belong together, named by an OCI manifest of a type of kiln's own.
//!
//! They follow "Guidelines for Artifact Usage" of the OCI image specification 1.1: `artifactType` says
//! what the manifest is, the configuration is the empty descriptor, and each blob is a layer with its
//! own media type and a title. So `oras`, `skopeo` and registries carry whatever kiln made, and what a
//! manifest names is what a garbage collector keeps with it.

use std::collections::BTreeMap;

use kiln_model::Digest;
use serde::{Deserialize, Serialize};

use crate::error::StoreError;
use crate::store::Store;

/// The media type of every manifest.
pub(crate) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// The empty configuration of artifacts (image-spec, "Guidance for an Empty Descriptor").
pub const EMPTY_CONFIG: &[u8] = b"{}";
const TITLE: &str = "org.opencontainers.image.title";

/// Bytes of the largest manifest: what registries must take (distribution-spec, "Pushing Manifests").
pub(crate) const MANIFEST_LIMIT: u64 = 4 << 20;

/// What an artifact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ArtifactKind {
    /// The sources and patches of a recipe.
    Sources,
    /// What a recipe installs, with the list of its files and its source tree.
    Destdir,
    /// The RPMs of a product, their source package and spec.
    Packages,
    /// SBOMs and provenance of a product.
    Documents,
    /// The metadata of a repository.
    Repository,
    /// What came of signing something.
    Signature,
    /// Everything that an air-gapped site needs.
    Bundle,
}

impl ArtifactKind {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Sources,
        Self::Destdir,
        Self::Packages,
        Self::Documents,
        Self::Repository,
        Self::Signature,
        Self::Bundle,
    ];

    /// Returns the word for it: `destdir`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Sources => "sources",
            Self::Destdir => "destdir",
            Self::Packages => "packages",
            Self::Documents => "documents",
            Self::Repository => "repository",
            Self::Signature => "signature",
            Self::Bundle => "bundle",
        }
    }

    /// Returns the `artifactType` of its manifests: `application/vnd.kiln.destdir.v1`.
    #[must_use]
    pub fn media_type(self) -> String {
        format!("application/vnd.kiln.{}.v1", self.word())
    }
}

/// One blob of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// `application/x-rpm`.
    pub media_type: &'static str,
    /// Its file name, or what it is: `curl-7.88.1-1.x86_64.rpm`.
    pub title: String,
}

/// The media types of what kiln makes, where there is no registered one.
pub mod media_type {
    /// An uncompressed layer (image-spec, "Media Types").
    pub const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
    /// The list of a destdir's files.
    pub const FILES: &str = "application/vnd.kiln.files.v1+json";
    /// A source tree after its build, as a canonical tar.
    pub const SOURCE_TREE: &str = "application/vnd.kiln.source-tree.v1.tar";
    /// The inputs behind a build key.
    pub const INPUTS: &str = "application/vnd.kiln.inputs.v1+json";
    /// A source archive or patch, as upstream has it.
    /// Whatever has no type of its own: archives and patches as upstream has them, files of a repository.
    pub const BYTES: &str = "application/octet-stream";
    /// An RPM, binary or source.
    pub const RPM: &str = "application/x-rpm";
    /// A spec file.
    pub const SPEC: &str = "text/x-rpm-spec";
    /// What a bundle says of itself.
    pub const BUNDLE: &str = "application/vnd.kiln.bundle.document.v1+json";
    /// A CycloneDX document.
    pub const CYCLONEDX: &str = "application/vnd.cyclonedx+json";
    /// An SPDX document.
    pub const SPDX: &str = "application/spdx+json";
    /// An in-toto statement.
    pub const IN_TOTO: &str = "application/vnd.in-toto+json";
}

/// An OCI descriptor (image-spec, "Content Descriptors").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) artifact_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    artifact_type: String,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// Returns the manifest of an artifact: its bytes follow from its parts alone.
#[must_use]
pub fn artifact_manifest(kind: ArtifactKind, parts: &[Part]) -> Vec<u8> {
    let descriptor = |part: &Part| Descriptor {
        media_type: part.media_type.to_owned(),
        digest: part.digest,
        size: part.size,
        artifact_type: None,
        annotations: [(TITLE.to_owned(), part.title.clone())].into(),
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST_TYPE,
        artifact_type: kind.media_type(),
        config: Descriptor {
            media_type: EMPTY_TYPE.to_owned(),
            digest: Digest::of(EMPTY_CONFIG),
            size: EMPTY_CONFIG.len() as u64,
            artifact_type: None,
            annotations: BTreeMap::new(),
        },
        layers: parts.iter().map(descriptor).collect(),
    };
    serde_json::to_vec(&manifest).expect("texts and numbers")
}

impl Store {
    /// Writes the manifest of an artifact whose parts are in the store; its name is not synced.
    pub(crate) fn write_artifact(
        &self,
        kind: ArtifactKind,
        parts: &[Part],
    ) -> Result<Part, StoreError> {
        if !self.contains(&Digest::of(EMPTY_CONFIG)) {
            self.write_part(EMPTY_CONFIG)?;
        }
        let bytes = artifact_manifest(kind, parts);
        Ok(Part {
            digest: self.write_part(&bytes)?,
            size: bytes.len() as u64,
            media_type: MANIFEST_TYPE,
            title: kind.word().to_owned(),
        })
    }
}
