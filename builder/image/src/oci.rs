//! OCI image documents: the manifest and configuration that name an image's layers (OCI image-spec
//! 1.1, "Image Manifest" and "Image Configuration").
//!
//! What kiln writes is canonical JSON (RFC 8785) without times, and its layers are uncompressed: the
//! manifest's digest depends on the layers and the architecture, never on a compressor or a clock.

mod layout;

use kiln_model::{Architecture, DiffId, Digest, ManifestDigest};
use kiln_store::{Store, StoreError};
use oci_spec::image::{
    Arch, Descriptor, DescriptorBuilder, ImageConfiguration, ImageConfigurationBuilder,
    ImageManifest, ImageManifestBuilder, MediaType, Os, RootFsBuilder,
};

use crate::printable::printable;

pub use self::layout::{ImportError, import_layout};

/// Greatest size of a manifest or configuration, in bytes: what registries support.
const DOCUMENT_LIMIT: u64 = 4 << 20;

/// Says why an image can not be written to or read from the store.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A manifest or configuration is not what it must be.
    #[error("image `{manifest}`: {problem}")]
    Document {
        /// The image's manifest.
        manifest: ManifestDigest,
        /// What is wrong.
        problem: DocumentProblem,
    },
}

/// Says what is wrong with an image's manifest or configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentProblem {
    /// It is bigger than allowed.
    #[error("the {what} has {actual} bytes, more than {limit}")]
    TooLarge {
        /// `manifest` or `configuration`.
        what: &'static str,
        /// The limit, in bytes.
        limit: u64,
        /// Its size, in bytes.
        actual: u64,
    },
    /// It is not JSON of the right shape.
    #[error("the {what} is damaged: {reason}")]
    Damaged {
        /// `manifest` or `configuration`.
        what: &'static str,
        /// What the parser says.
        reason: String,
    },
    /// It is an image index: several images, one per platform.
    #[error(
        "the digest is that of an image index, not of an image; \
         pin the manifest of one platform instead{}",
        list_platforms(.platforms)
    )]
    Index {
        /// The platforms in it: `linux/amd64` and the digest to pin.
        platforms: Vec<(String, String)>,
    },
    /// It is an index and a manifest at once (CVE-2021-41190).
    #[error("the document has both `manifests` and `{other}`: it can be read as two things")]
    Confusion {
        /// `layers` or `config`.
        other: &'static str,
    },
    /// A media type is another one than expected.
    #[error("the media type of the {what} is `{actual}`, expected {expected}")]
    MediaType {
        /// What it is of: `manifest`, `layer 2`.
        what: String,
        /// What it could have been.
        expected: &'static str,
        /// What it is, escaped.
        actual: String,
    },
    /// A digest is not a lower-case sha256.
    #[error("the digest of the {what} is `{actual}`, expected a sha256")]
    Digest {
        /// What it is of: `configuration`, `layer 2`.
        what: String,
        /// What it is, escaped.
        actual: String,
    },
    /// The image is for another platform.
    #[error("the image is for `{actual}`, expected `{expected}`")]
    Platform {
        /// `linux/amd64`.
        expected: String,
        /// From the configuration, escaped.
        actual: String,
    },
    /// The manifest and the configuration do not have the same number of layers.
    #[error("the manifest has {manifest} layers, the configuration {configuration} diff ids")]
    LayerCount {
        /// Layers in the manifest.
        manifest: usize,
        /// Diff ids in the configuration.
        configuration: usize,
    },
    /// There is no layer.
    #[error("the image has no layers")]
    Empty,
}

fn list_platforms(platforms: &[(String, String)]) -> String {
    platforms
        .iter()
        .map(|(platform, digest)| format!("\n  {platform}  {digest}"))
        .collect()
}

/// One layer as a manifest names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerDescriptor {
    pub media_type: MediaType,
    pub digest: Digest,
    pub size: u64,
}

/// What a manifest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub config: LayerDescriptor,
    pub layers: Vec<LayerDescriptor>,
}

/// Writes an image of `layers`, which are uncompressed tars in the store, lowest first.
///
/// # Errors
/// `Store` when a layer is missing or damaged, or the system refuses.
pub fn write_image(
    store: &Store,
    layers: &[DiffId],
    architecture: Architecture,
) -> Result<ManifestDigest, ImageError> {
    let rootfs = RootFsBuilder::default()
        .diff_ids(layers.iter().map(DiffId::to_string).collect::<Vec<_>>())
        .build()
        .expect("all fields are set");
    let config = ImageConfigurationBuilder::default()
        .architecture(Arch::from(architecture.oci()))
        .os(Os::Linux)
        .rootfs(rootfs)
        .build()
        .expect("all fields are set");
    let config = canonical_json(&config);
    let config_digest = store.write_blob(&config)?;
    let mut descriptors = Vec::new();
    for layer in layers {
        let size = store.blob_size(&layer.0)?;
        descriptors.push(descriptor(MediaType::ImageLayer, layer.0, size));
    }
    let config_size = config.len() as u64;
    let manifest = ImageManifestBuilder::default()
        .schema_version(2u32)
        .media_type(MediaType::ImageManifest)
        .config(descriptor(
            MediaType::ImageConfig,
            config_digest,
            config_size,
        ))
        .layers(descriptors)
        .build()
        .expect("all fields are set");
    Ok(ManifestDigest(
        store.write_blob(&canonical_json(&manifest))?,
    ))
}

fn descriptor(media_type: MediaType, digest: Digest, size: u64) -> Descriptor {
    let digest: oci_spec::image::Digest = digest
        .to_string()
        .parse()
        .expect("a sha256 digest is an OCI digest");
    DescriptorBuilder::default()
        .media_type(media_type)
        .digest(digest)
        .size(size)
        .build()
        .expect("all fields are set")
}

/// Returns the one encoding of a value (RFC 8785).
pub(crate) fn canonical_json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value).expect("texts, numbers and lists have an encoding")
}

/// Returns the diff ids of an image in the store, lowest first.
///
/// # Errors
/// `Store` when a document is missing or damaged, `Document` when it is no image of one platform.
pub fn image_layers(store: &Store, manifest: &ManifestDigest) -> Result<Vec<DiffId>, ImageError> {
    let document = |problem| ImageError::Document {
        manifest: *manifest,
        problem,
    };
    let bytes = store.read_blob(&manifest.0)?;
    let parsed = parse_manifest(&bytes).map_err(document)?;
    let config = store.read_blob(&parsed.config.digest)?;
    let config = parse_config(&config).map_err(document)?;
    config_layers(&config, &parsed).map_err(document)
}

/// Reads a manifest's text strictly.
pub(crate) fn parse_manifest(bytes: &[u8]) -> Result<Manifest, DocumentProblem> {
    const WHAT: &str = "manifest";
    let damaged = |error: serde_json::Error| DocumentProblem::Damaged {
        what: WHAT,
        reason: error.to_string(),
    };
    check_size(WHAT, bytes.len() as u64)?;
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(damaged)?;
    if let Some(entries) = value.get("manifests") {
        for other in ["layers", "config"] {
            if value.get(other).is_some() {
                return Err(DocumentProblem::Confusion { other });
            }
        }
        return Err(DocumentProblem::Index {
            platforms: platforms(entries),
        });
    }
    // A second time from the bytes: unlike a value, this notices keys that come twice.
    let manifest: ImageManifest = serde_json::from_slice(bytes).map_err(damaged)?;
    if manifest.schema_version() != 2 {
        return Err(DocumentProblem::Damaged {
            what: WHAT,
            reason: format!("schemaVersion is {}, not 2", manifest.schema_version()),
        });
    }
    if let Some(media_type) = manifest.media_type() {
        check_media_type(WHAT, media_type, &[MediaType::ImageManifest])?;
    }
    let config = layer_descriptor("configuration", manifest.config())?;
    check_media_type(
        "configuration",
        &config.media_type,
        &[MediaType::ImageConfig],
    )?;
    let mut layers = Vec::new();
    for (index, layer) in manifest.layers().iter().enumerate() {
        let what = format!("layer {}", index + 1);
        let layer = layer_descriptor(&what, layer)?;
        check_media_type(&what, &layer.media_type, &LAYER_TYPES)?;
        layers.push(layer);
    }
    if layers.is_empty() {
        return Err(DocumentProblem::Empty);
    }
    Ok(Manifest { config, layers })
}

const LAYER_TYPES: [MediaType; 3] = [
    MediaType::ImageLayer,
    MediaType::ImageLayerGzip,
    MediaType::ImageLayerZstd,
];

fn check_size(what: &'static str, actual: u64) -> Result<(), DocumentProblem> {
    if actual > DOCUMENT_LIMIT {
        return Err(DocumentProblem::TooLarge {
            what,
            limit: DOCUMENT_LIMIT,
            actual,
        });
    }
    Ok(())
}

fn check_media_type(
    what: &str,
    actual: &MediaType,
    allowed: &[MediaType],
) -> Result<(), DocumentProblem> {
    if allowed.contains(actual) {
        return Ok(());
    }
    Err(DocumentProblem::MediaType {
        what: what.to_owned(),
        expected: match allowed {
            [MediaType::ImageManifest] => "an OCI image manifest",
            [MediaType::ImageConfig] => "an OCI image configuration",
            _ => "an OCI layer: tar, tar+gzip or tar+zstd",
        },
        actual: printable(actual.to_string().as_bytes()),
    })
}

fn layer_descriptor(
    what: &str,
    descriptor: &Descriptor,
) -> Result<LayerDescriptor, DocumentProblem> {
    let digest = descriptor.digest().to_string();
    Ok(LayerDescriptor {
        media_type: descriptor.media_type().clone(),
        digest: digest.parse().map_err(|_| DocumentProblem::Digest {
            what: what.to_owned(),
            actual: printable(digest.as_bytes()),
        })?,
        size: descriptor.size(),
    })
}

/// Returns the platforms of an index, for the hint: whatever can be read.
fn platforms(entries: &serde_json::Value) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value, key: &str| {
        let text = value.get(key).and_then(serde_json::Value::as_str);
        printable(text.unwrap_or("?").as_bytes())
    };
    let entries = entries.as_array().map(Vec::as_slice).unwrap_or_default();
    entries
        .iter()
        .take(32)
        .map(|entry| {
            let platform = entry.get("platform").cloned().unwrap_or_default();
            let name = format!(
                "{}/{}",
                text(&platform, "os"),
                text(&platform, "architecture")
            );
            (name, text(entry, "digest"))
        })
        .collect()
}

/// Reads a configuration's text.
pub(crate) fn parse_config(bytes: &[u8]) -> Result<ImageConfiguration, DocumentProblem> {
    const WHAT: &str = "configuration";
    check_size(WHAT, bytes.len() as u64)?;
    let config: ImageConfiguration =
        serde_json::from_slice(bytes).map_err(|error| DocumentProblem::Damaged {
            what: WHAT,
            reason: error.to_string(),
        })?;
    if config.rootfs().typ() != "layers" {
        return Err(DocumentProblem::Damaged {
            what: WHAT,
            reason: format!(
                "rootfs.type is `{}`, not `layers`",
                printable(config.rootfs().typ().as_bytes())
            ),
        });
    }
    Ok(config)
}

/// Checks that the image is for the platform.
pub(crate) fn check_platform(
    config: &ImageConfiguration,
    architecture: Architecture,
) -> Result<(), DocumentProblem> {
    let actual = format!("{}/{}", config.os(), config.architecture());
    let expected = format!("linux/{}", architecture.oci());
    if actual == expected {
        return Ok(());
    }
    Err(DocumentProblem::Platform {
        expected,
        actual: printable(actual.as_bytes()),
    })
}

/// Returns the diff ids, one per layer of the manifest.
pub(crate) fn config_layers(
    config: &ImageConfiguration,
    manifest: &Manifest,
) -> Result<Vec<DiffId>, DocumentProblem> {
    let diff_ids = config.rootfs().diff_ids();
    if diff_ids.len() != manifest.layers.len() {
        return Err(DocumentProblem::LayerCount {
            manifest: manifest.layers.len(),
            configuration: diff_ids.len(),
        });
    }
    diff_ids
        .iter()
        .enumerate()
        .map(|(index, text)| {
            text.parse()
                .map(DiffId)
                .map_err(|_| DocumentProblem::Digest {
                    what: format!("diff id {}", index + 1),
                    actual: printable(text.as_bytes()),
                })
        })
        .collect()
}

#[cfg(test)]
mod tests;
