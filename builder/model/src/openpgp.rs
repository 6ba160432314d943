//! What names an OpenPGP key: its fingerprint.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The fingerprint of an OpenPGP key of version 4, the only one that rpm 4.18 knows.
///
/// ```
/// use kiln_model::Fingerprint;
/// let text = "0123 4567 89ab cdef 0123  4567 89AB CDEF 0123 4567";
/// let fingerprint: Fingerprint = text.parse().unwrap();
/// assert_eq!(fingerprint.as_str(), "0123456789ABCDEF0123456789ABCDEF01234567");
/// assert!("89ABCDEF".parse::<Fingerprint>().is_err());
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(
    description = "The fingerprint of an OpenPGP key: 40 hexadecimal digits, as `gpg --list-keys` shows it.",
    extend("pattern" = "^( *[0-9A-Fa-f]){40} *$")
)]
pub struct Fingerprint(String);

/// Says why a text is not a fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the 40 hexadecimal digits of a key's fingerprint, got `{text}`")]
pub struct FingerprintError {
    /// The text as it was given.
    pub text: String,
}

impl Fingerprint {
    /// Returns the 40 digits, upper case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({})", self.0)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let digits: String = text.chars().filter(|c| *c != ' ').collect();
        let fits = digits.len() == 40 && digits.chars().all(|c| c.is_ascii_hexdigit());
        if fits {
            Ok(Self(digits.to_ascii_uppercase()))
        } else {
            let text = text.to_owned();
            Err(FingerprintError { text })
        }
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;

    fn try_from(text: String) -> Result<Self, FingerprintError> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}
