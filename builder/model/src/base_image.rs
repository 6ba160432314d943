//! Base image files (`base-images/<name>.yaml`): where a rootfs comes from (DESIGN 3).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::ManifestDigest;
use crate::image_reference::ImageReference;
use crate::name::{Architecture, BaseName, DistTag, DistributionPackage};
use crate::path::{FilePattern, SandboxPath};
use crate::recipe::{At, Cause, FormatError, Number, YamlError, document, format, read};
use crate::text::Line;

/// The base image format that this kiln reads.
pub const BASE_IMAGE_SCHEMA: u32 = 1;

/// A base image, always pinned by digest: here for an image that exists, in the lockfile for one
/// that kiln assembles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BaseImage {
    /// Its name, the same as its file's.
    pub name: BaseName,
    /// What the releases of packages that are built on it end with: `.el9`.
    pub dist: Option<DistTag>,
    /// Where it comes from.
    pub origin: BaseOrigin,
}

/// The ways to say where a base image comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BaseOrigin {
    /// An image that a registry has.
    Image {
        /// Which one: its manifest, or an index of the manifests of several architectures.
        reference: ImageReference,
        /// The manifests in that index, as far as they are known.
        manifests: BTreeMap<Architecture, ManifestDigest>,
    },
    /// An OCI image layout on disk.
    Layout {
        /// The folder, relative to the project's root unless absolute.
        path: String,
        /// The image manifest in it.
        digest: ManifestDigest,
    },
    /// Assembled from a distribution's packages, without running their scripts.
    Archive(ArchiveBase),
}

/// What to assemble from a Debian archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ArchiveBase {
    /// The suite: `bookworm`. Only this suite is read, not its updates or security suites.
    pub suite: String,
    /// What `Version:` of the suite's release must start with: `12`.
    pub release: String,
    /// Packages asked for; the solver adds what they depend on and every essential package.
    pub packages: Vec<DistributionPackage>,
    /// Links to add, what maintainer scripts would have made: place -> link target.
    pub links: BTreeMap<SandboxPath, String>,
    /// Paths of packages that are left out (documentation, translations).
    pub exclude: Vec<FilePattern>,
    /// Files with the archive's public keys (binary OpenPGP), relative to `base-images/`.
    pub keys: Vec<String>,
}

/// The root file system that recipes are built in, pinned by digest.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "kiln base image")]
struct BaseImageSchema {
    /// The base image format.
    #[schemars(extend("const" = 1))]
    schema: At<Number>,
    /// The base image's name, the same as its file's: lower-case letters, digits, `-` and `.`.
    name: At<String>,
    /// What the releases of packages that are built on it end with, so that they are told from those
    /// of another base: `.el9`. A dot, then letters, digits and dots.
    dist: Option<At<String>>,
    /// An image of a registry, as `HOST/NAME@sha256:DIGEST`: the digest of its manifest, or of an
    /// index of manifests, one for each architecture.
    image: Option<At<String>>,
    /// The manifests in the index that `image` names, as far as they are known: architecture ->
    /// `sha256:DIGEST`.
    #[serde(default)]
    manifests: Option<At<BTreeMap<String, At<String>>>>,
    /// An OCI image layout on disk, as `PATH@sha256:DIGEST`: the folder, relative to the project
    /// unless absolute, and the digest of the image manifest in it.
    layout: Option<At<String>>,
    /// What to assemble an image from: a distribution's packages.
    archive: Option<At<ArchiveSchema>>,
}

/// What to assemble from a distribution's archive, without running maintainer scripts, root or
/// a registry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ArchiveSchema {
    /// The distribution whose packages they are.
    #[allow(dead_code, reason = "the only choice; its presence is what is checked")]
    distribution: ArchiveDistribution,
    /// The suite, by codename. Only this suite is read, not its updates or security suites.
    suite: At<String>,
    /// The release that the suite must be, in quotes: `12` accepts every point release of 12.
    release: At<String>,
    /// Packages asked for; what they depend on and every essential package come along.
    packages: Vec<At<String>>,
    /// Links to add, which maintainer scripts would have made: place -> link target. A link goes
    /// into the layer that has its target.
    #[serde(default)]
    links: BTreeMap<String, At<String>>,
    /// Patterns of paths of packages that are left out, as in a recipe's `files`.
    #[serde(default)]
    exclude: Vec<At<String>>,
    /// Files with the archive's public keys (binary OpenPGP), at least one, as paths in
    /// `base-images/`: one of them must have signed the archive's index.
    keys: At<Vec<At<String>>>,
}

/// A distribution whose archive kiln can read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum ArchiveDistribution {
    /// Debian.
    Debian,
}

impl BaseImage {
    /// Reads a base image file's bytes; `stem` is its file name without `.yaml`.
    ///
    /// # Errors
    /// The first thing that is wrong, with its line and column.
    pub fn parse(bytes: &[u8], stem: &str) -> Result<Self, YamlError> {
        let shape: BaseImageSchema = read(bytes)?;
        let text = &String::from_utf8_lossy(bytes);
        shape.schema.check_schema(text, BASE_IMAGE_SCHEMA)?;
        if shape.name.value != stem {
            let cause = Cause::OtherName {
                expected: stem.to_owned(),
                actual: shape.name.value.clone(),
            };
            return Err(shape.name.error(cause));
        }
        Ok(Self {
            name: shape.name.parse()?,
            dist: shape.dist.as_ref().map(At::parse).transpose()?,
            origin: parse_origin(&shape)?,
        })
    }

    /// Returns the manifest that the file pins; `None` for an image that kiln assembles, which its
    /// lockfile pins.
    ///
    /// A registry's image may be pinned by an index alone. Then this is the index: no image has its
    /// digest, and whoever looks into it says which manifests it has.
    #[must_use]
    pub fn pinned_manifest(&self, architecture: Architecture) -> Option<ManifestDigest> {
        match &self.origin {
            BaseOrigin::Image {
                reference,
                manifests,
            } => {
                let manifest = manifests.get(&architecture).copied();
                Some(manifest.unwrap_or(ManifestDigest(reference.digest())))
            }
            BaseOrigin::Layout { digest, .. } => Some(*digest),
            BaseOrigin::Archive(_) => None,
        }
    }

    /// Returns a base image file's content without comments and layout. Written as JSON it is such a
    /// file again, with the same meaning.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn document(bytes: &[u8], stem: &str) -> Result<serde_json::Value, YamlError> {
        Self::parse(bytes, stem)?;
        Ok(document(&String::from_utf8_lossy(bytes)).unwrap_or_default())
    }

    /// Returns a base image file's text in the one layout, with every value and every comment.
    ///
    /// # Errors
    /// What is wrong with the file, or that it could not be laid out without a change of meaning.
    pub fn format(bytes: &[u8], stem: &str) -> Result<String, FormatError> {
        format(bytes, &Self::json_schema(), |bytes| {
            Self::parse(bytes, stem)
        })
    }

    /// Returns the JSON Schema (2020-12) of a base image file.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schemars::schema_for!(BaseImageSchema).to_value()
    }
}

/// Reads the one key that says where the image comes from.
fn parse_origin(shape: &BaseImageSchema) -> Result<BaseOrigin, YamlError> {
    if let (Some(manifests), None) = (&shape.manifests, &shape.image) {
        return Err(manifests.error(Cause::Needed {
            key: "image",
            beside: "manifests",
        }));
    }
    let beside =
        |text: &At<String>, key, beside| Err(text.error(Cause::Meaningless { key, beside }));
    match (&shape.image, &shape.layout, &shape.archive) {
        (Some(image), None, None) => parse_image(image, shape.manifests.as_ref()),
        (None, Some(layout), None) => parse_layout(layout),
        (None, None, Some(archive)) => Ok(BaseOrigin::Archive(parse_archive(&archive.value)?)),
        (Some(image), Some(_), _) => beside(image, "image", "layout"),
        (Some(image), None, Some(_)) => beside(image, "image", "archive"),
        (None, Some(layout), Some(_)) => beside(layout, "layout", "archive"),
        (None, None, None) => {
            let cause = Cause::MissingKey {
                key: "archive".to_owned(),
            };
            Err(shape.name.error(cause))
        }
    }
}

fn parse_image(
    image: &At<String>,
    manifests: Option<&At<BTreeMap<String, At<String>>>>,
) -> Result<BaseOrigin, YamlError> {
    let reference = image.parse()?;
    let entries = manifests.iter().flat_map(|manifests| &manifests.value);
    let manifest = |(architecture, digest): (&String, &At<String>)| {
        let name = At {
            value: architecture.clone(),
            place: digest.place,
        };
        Ok((name.parse()?, ManifestDigest(digest.parse()?)))
    };
    Ok(BaseOrigin::Image {
        reference,
        manifests: entries.map(manifest).collect::<Result<_, YamlError>>()?,
    })
}

fn parse_layout(text: &At<String>) -> Result<BaseOrigin, YamlError> {
    let (path, digest) = text.value.rsplit_once('@').ok_or_else(|| {
        text.error(Cause::Needed {
            key: "@sha256:…",
            beside: "layout",
        })
    })?;
    let digest = digest
        .parse()
        .map_err(|error: crate::DigestError| text.error(error))?;
    Ok(BaseOrigin::Layout {
        path: path.to_owned(),
        digest: ManifestDigest(digest),
    })
}

fn parse_archive(shape: &ArchiveSchema) -> Result<ArchiveBase, YamlError> {
    if shape.keys.value.is_empty() {
        return Err(shape.keys.error(Cause::Empty { what: "keys" }));
    }
    let link = |(place, target): (&String, &At<String>)| {
        let place = At {
            value: place.clone(),
            place: target.place,
        }
        .parse()?;
        Ok((place, target.parse::<Line>()?.to_string()))
    };
    Ok(ArchiveBase {
        suite: shape.suite.parse::<BaseName>()?.to_string(),
        release: shape.release.parse::<Line>()?.to_string(),
        packages: shape
            .packages
            .iter()
            .map(At::parse)
            .collect::<Result<_, _>>()?,
        links: shape
            .links
            .iter()
            .map(link)
            .collect::<Result<_, YamlError>>()?,
        exclude: shape
            .exclude
            .iter()
            .map(At::parse)
            .collect::<Result<_, _>>()?,
        keys: shape
            .keys
            .value
            .iter()
            .map(At::file_reference)
            .collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "schema: 1\nname: debian-12\narchive:\n  distribution: debian\n  suite: bookworm\n  \
                        release: \"12\"\n  packages: [gcc]\n  links: {/usr/bin/cc: gcc}\n  keys: [keys/a.gpg]\n";

    #[test]
    fn both_kinds_of_base_are_read() {
        let base = BaseImage::parse(GOOD.as_bytes(), "debian-12").unwrap();
        let BaseOrigin::Archive(archive) = base.origin else {
            panic!("not an archive")
        };
        assert_eq!(archive.links.values().collect::<Vec<_>>(), ["gcc"]);
        let digest = ManifestDigest(crate::Digest::of(b"x"));
        let text = format!("schema: 1\nname: x\nlayout: images/x@{digest}\n");
        let base = BaseImage::parse(text.as_bytes(), "x").unwrap();
        assert_eq!(
            base.origin,
            BaseOrigin::Layout {
                path: "images/x".into(),
                digest
            }
        );
    }

    #[test]
    fn an_image_of_a_registry_is_read() {
        let digest = crate::Digest::of(b"index");
        let manifest = crate::Digest::of(b"manifest");
        let text = format!(
            "schema: 1\nname: rocky-9\ndist: .el9\nimage: docker.io/library/rockylinux@{digest}\n\
             manifests: {{x86_64: \"{manifest}\"}}\n"
        );
        let base = BaseImage::parse(text.as_bytes(), "rocky-9").unwrap();
        assert_eq!(base.dist.unwrap().as_str(), ".el9");
        let reference = format!("docker.io/library/rockylinux@{digest}");
        assert_eq!(
            base.origin,
            BaseOrigin::Image {
                reference: reference.parse().unwrap(),
                manifests: [(Architecture::X86_64, ManifestDigest(manifest))].into(),
            }
        );
        let cause = |text: &str| {
            let parsed = BaseImage::parse(text.as_bytes(), "rocky-9");
            parsed.unwrap_err().cause
        };
        assert_eq!(
            cause(&text.replace("x86_64", "sparc")),
            Cause::Name("sparc".parse::<Architecture>().unwrap_err())
        );
        assert_eq!(
            cause(&text.replace(".el9", "el9")),
            Cause::Name("el9".parse::<DistTag>().unwrap_err())
        );
        assert_eq!(
            cause(&text.replace("image:", "layout:")),
            Cause::Needed {
                key: "image",
                beside: "manifests"
            }
        );
        assert_eq!(
            cause(&format!("{text}layout: x@{digest}\n")),
            Cause::Meaningless {
                key: "image",
                beside: "layout"
            }
        );
    }

    #[test]
    fn mistakes_are_named() {
        let cause = |text: &str| {
            BaseImage::parse(text.as_bytes(), "debian-12")
                .unwrap_err()
                .cause
        };
        assert_eq!(
            cause("schema: 1\nname: debian-12\n"),
            Cause::MissingKey {
                key: "archive".into()
            }
        );
        assert_eq!(
            cause("schema: 1\nname: debian-12\nlayout: images/x\n"),
            Cause::Needed {
                key: "@sha256:…",
                beside: "layout"
            }
        );
        assert_eq!(
            cause(&GOOD.replace("[keys/a.gpg]", "[]")),
            Cause::Empty { what: "keys" }
        );
        assert_eq!(
            cause(&GOOD.replace("keys/a.gpg", "../a.gpg")),
            Cause::FileReference {
                text: "../a.gpg".into()
            }
        );
    }
}
