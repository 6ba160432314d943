//! Which image of a registry is meant: `docker.io/library/centos@sha256:…`.
//!
//! Stricter than what container tools take: the host is always named and the digest always there, so
//! that one text never means two images. A tag says nothing beside a digest, and is refused.
//! Grammar of names: OCI distribution-spec 1.1, "Pulling manifests".

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::digest::{Digest, DigestError};

/// Longest name with its host, in bytes: what registries accept.
const MAX_LENGTH: usize = 255;

/// An image of a registry, by digest.
///
/// ```
/// use kiln_model::ImageReference;
/// let text = format!("docker.io/library/centos@sha256:{}", "0".repeat(64));
/// let reference: ImageReference = text.parse().unwrap();
/// assert_eq!((reference.host(), reference.name()), ("docker.io", "library/centos"));
/// assert_eq!(reference.to_string(), text);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageReference {
    host: String,
    name: String,
    digest: Digest,
}

/// Says why a text names no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageReferenceError {
    /// No digest.
    #[error("expected `HOST/NAME@sha256:…`, got `{text}`")]
    NoDigest {
        /// The text as it was given.
        text: String,
    },
    /// The digest is none.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// A tag beside the digest.
    #[error("expected no tag beside the digest, got `:{tag}`")]
    Tag {
        /// The tag.
        tag: String,
    },
    /// The registry is not named.
    #[error("expected a registry's host before the first `/`, got `{text}`")]
    Host {
        /// The name as it was given.
        text: String,
    },
    /// The name does not follow its grammar.
    #[error(
        "expected an image name of lower-case letters and digits, with single `.`, `_`, `-` or `/` \
         between them, got `{text}`"
    )]
    Name {
        /// The name as it was given.
        text: String,
    },
}

impl ImageReference {
    /// Returns the registry's host, with its port if it has one: `docker.io`, `localhost:5000`.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the image's name there: `library/centos`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the digest of a manifest, or of an index of manifests: only its content tells.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

fn is_host(text: &str) -> bool {
    let (name, port) = text.split_once(':').unwrap_or((text, "0"));
    let is_named = name.contains('.') || text.contains(':') || name == "localhost";
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    is_named && name.split('.').all(is_part) && port.parse::<u16>().is_ok()
}

fn is_name(text: &str) -> bool {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_part = |part: &str| {
        // `__` and any number of `-` may separate, too.
        let words = part.replace("__", "_");
        let words: Vec<&str> = words.split(['.', '_', '-']).collect();
        let has_ends = words.first().is_some_and(|word| !word.is_empty())
            && words.last().is_some_and(|word| !word.is_empty());
        has_ends
            && words.iter().all(|word| word.chars().all(is_word))
            && !["..", "._", "_.", "___"]
                .iter()
                .any(|bad| part.contains(bad))
    };
    text.split('/').all(is_part)
}

impl FromStr for ImageReference {
    type Err = ImageReferenceError;

    fn from_str(text: &str) -> Result<Self, ImageReferenceError> {
        let (place, digest) =
            text.split_once('@')
                .ok_or_else(|| ImageReferenceError::NoDigest {
                    text: text.to_owned(),
                })?;
        let digest = digest.parse()?;
        let (host, name) = place
            .split_once('/')
            .filter(|(host, _)| is_host(host))
            .ok_or_else(|| ImageReferenceError::Host {
                text: place.to_owned(),
            })?;
        if let Some((_, tag)) = name.split_once(':') {
            let tag = tag.to_owned();
            return Err(ImageReferenceError::Tag { tag });
        }
        if place.len() > MAX_LENGTH || !is_name(name) {
            return Err(ImageReferenceError::Name {
                text: name.to_owned(),
            });
        }
        Ok(Self {
            host: host.to_owned(),
            name: name.to_owned(),
            digest,
        })
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}@{}", self.host, self.name, self.digest)
    }
}

impl Serialize for ImageReference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(place: &str) -> Result<ImageReference, ImageReferenceError> {
        format!("{place}@{}", Digest::of(b"x")).parse()
    }

    #[test]
    fn names_of_images_are_read() {
        for good in [
            "docker.io/library/centos",
            "localhost:5000/a",
            "localhost/a",
            "registry.example/a/b-c/d__e/f--g/h.i_j",
            "127.0.0.1:80/x",
        ] {
            let reference = parse(good).unwrap();
            assert_eq!(
                reference.to_string(),
                format!("{good}@{}", Digest::of(b"x"))
            );
        }
    }

    #[test]
    fn what_names_no_image_or_two_is_refused() {
        let name = |text: &str| ImageReferenceError::Name { text: text.into() };
        let host = |text: &str| ImageReferenceError::Host { text: text.into() };
        for (place, expected) in [
            ("centos", host("centos")),
            ("library/centos", host("library/centos")),
            ("-x.io/a", host("-x.io/a")),
            ("docker.io:x/a", host("docker.io:x/a")),
            ("docker.io/Centos", name("Centos")),
            ("docker.io/a//b", name("a//b")),
            ("docker.io/../a", name("../a")),
            ("docker.io/a.", name("a.")),
            ("docker.io/a b", name("a b")),
            ("docker.io/", name("")),
            (
                "docker.io/centos:7",
                ImageReferenceError::Tag { tag: "7".into() },
            ),
        ] {
            assert_eq!(parse(place), Err(expected), "{place}");
        }
        let text = "docker.io/library/centos:7";
        let error = text.parse::<ImageReference>().unwrap_err();
        assert_eq!(error, ImageReferenceError::NoDigest { text: text.into() });
        let error = "docker.io/a@sha256:12".parse::<ImageReference>();
        assert!(
            matches!(error, Err(ImageReferenceError::Digest(_))),
            "{error:?}"
        );
    }
}
