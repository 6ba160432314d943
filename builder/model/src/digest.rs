//! Digests: what every byte that enters or leaves a build is named by.
//!
//! One algorithm names content (`sha256`, as OCI image-spec "Digests" writes it: `sha256:` and 64
//! lower-case hexadecimal digits). `sha512` is only ever recorded beside it, for SBOM readers that
//! ask for it. A digest of a compressed layer and one of its uncompressed tar never mix: they are
//! different types.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest as _;

/// Says why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The prefix names no algorithm or another one.
    #[error("expected a digest that starts with `{expected}:`, got `{actual}`")]
    Algorithm {
        /// The algorithm that this type holds.
        expected: &'static str,
        /// The text as it was given.
        actual: String,
    },
    /// The hexadecimal part has another length.
    #[error("expected {expected} hexadecimal digits, got {actual}")]
    Length {
        /// Digits that the algorithm has.
        expected: usize,
        /// Digits in the text.
        actual: usize,
    },
    /// A character is not a lower-case hexadecimal digit.
    #[error("expected lower-case hexadecimal digits, got `{character}`")]
    Character {
        /// The first character that does not fit.
        character: char,
    },
}

fn decode_hex<const N: usize>(hex_digits: &str) -> Result<[u8; N], DigestError> {
    if let Some(character) = hex_digits
        .chars()
        .find(|c| !matches!(c, '0'..='9' | 'a'..='f'))
    {
        return Err(DigestError::Character { character });
    }
    let mut bytes = [0; N];
    hex::decode_to_slice(hex_digits, &mut bytes).map_err(|_| DigestError::Length {
        expected: N * 2,
        actual: hex_digits.len(),
    })?;
    Ok(bytes)
}

/// The sha256 of some bytes.
///
/// ```
/// use kiln_model::Digest;
/// let digest = Digest::of(b"");
/// assert_eq!(
///     digest.to_string(),
///     "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
/// );
/// assert_eq!(digest.to_string().parse(), Ok(digest));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Computes the digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Wraps the 32 bytes that a hasher produced.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 lower-case hexadecimal digits without prefix, as recipes write them.
    ///
    /// # Errors
    /// `Length` or `Character`.
    pub fn from_hex(hex_digits: &str) -> Result<Self, DigestError> {
        decode_hex(hex_digits).map(Self)
    }

    /// Returns the 64 hexadecimal digits without prefix: the name of the blob's file.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Returns the 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text.strip_prefix("sha256:") {
            Some(hex_digits) => Self::from_hex(hex_digits),
            None => Err(DigestError::Algorithm {
                expected: "sha256",
                actual: text.to_owned(),
            }),
        }
    }
}

/// The sha512 of some bytes: recorded for SBOM readers, never used as a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha512([u8; 64]);

impl Sha512 {
    /// Computes the sha512 of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha512::digest(bytes).into())
    }

    /// Wraps the 64 bytes that a hasher produced.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// Returns the 128 hexadecimal digits without prefix.
    #[must_use]
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Display for Sha512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha512:{}", self.to_hex())
    }
}

impl fmt::Debug for Sha512 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha512 {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text.strip_prefix("sha512:") {
            Some(hex_digits) => decode_hex(hex_digits).map(Self),
            None => Err(DigestError::Algorithm {
                expected: "sha512",
                actual: text.to_owned(),
            }),
        }
    }
}

macro_rules! serialize_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(
                deserializer: D,
            ) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serialize_as_text!(Digest, Sha512);

macro_rules! digest_role {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

digest_role!(
    /// The digest of an **uncompressed** layer tar (OCI image-spec "Layer DiffID"): the identity of
    /// a tree of files, since compressed bytes change with the compressor.
    DiffId
);
digest_role!(
    /// The digest of a layer's bytes as they are stored, compressed or not.
    LayerDigest
);
digest_role!(
    /// The digest of an OCI image manifest: the identity of a base image.
    ManifestDigest
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_that_is_not_one_is_refused_with_the_reason() {
        let hex_digits = Digest::of(b"x").to_hex();
        let check = |text: &str, expected: DigestError| {
            assert_eq!(text.parse::<Digest>(), Err(expected));
        };
        check(
            &hex_digits,
            DigestError::Algorithm {
                expected: "sha256",
                actual: hex_digits.clone(),
            },
        );
        check(
            "sha256:ab",
            DigestError::Length {
                expected: 64,
                actual: 2,
            },
        );
        check(
            &format!("sha256:{}", hex_digits.to_uppercase()),
            DigestError::Character { character: 'D' },
        );
        check(
            "sha256:../../etc/passwd",
            DigestError::Character { character: '.' },
        );
    }

    #[test]
    fn sha512_reads_what_it_prints() {
        let digest = Sha512::of(b"kiln");
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }
}
