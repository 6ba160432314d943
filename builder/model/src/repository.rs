//! What a repository of packages says of itself: its short name, and where it is served.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The short name of a repository: a section of a `.repo` file, and part of a file's name.
///
/// ```
/// use kiln_model::RepositoryId;
/// assert_eq!("clearwater-10".parse::<RepositoryId>().unwrap().as_str(), "clearwater-10");
/// assert!("../x".parse::<RepositoryId>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(
    description = "The short name of a repository.",
    extend("pattern" = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
)]
pub struct RepositoryId(String);

/// Says why a text is not the short name of a repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a word of letters, digits, `.`, `_` and `-` that starts with a letter or digit, got `{text}`"
)]
pub struct RepositoryIdError {
    /// The text as it was given.
    pub text: String,
}

impl RepositoryId {
    /// Returns the name that a repository has when nobody gave it one.
    pub(crate) fn default_id() -> Self {
        Self("kiln".to_owned())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for RepositoryId {
    type Err = RepositoryIdError;

    fn from_str(text: &str) -> Result<Self, RepositoryIdError> {
        let fits = text.len() <= 64
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            let text = text.to_owned();
            Err(RepositoryIdError { text })
        }
    }
}

impl TryFrom<String> for RepositoryId {
    type Error = RepositoryIdError;

    fn try_from(text: String) -> Result<Self, RepositoryIdError> {
        text.parse()
    }
}

impl From<RepositoryId> for String {
    fn from(id: RepositoryId) -> Self {
        id.0
    }
}

/// Where a repository is served: an address that ends in `/`, without credentials.
///
/// ```
/// use kiln_model::RepositoryAddress;
/// let address: RepositoryAddress = "file:///srv/rpms/".parse().unwrap();
/// assert_eq!(address.as_str(), "file:///srv/rpms/");
/// assert!("https://me:secret@packages.example/".parse::<RepositoryAddress>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(
    description = "Where a repository is served: an address that ends in `/`.",
    extend("pattern" = "^(https?://[^/@]+|file://)/([^?#]*/)?$")
)]
pub struct RepositoryAddress(String);

/// Says why a text is not the address of a repository. It never repeats the text, which may hold a
/// password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an address that starts with `https://`, `http://` or `file:///`, ends in `/`, and has \
     no credentials, blanks or quotes"
)]
pub struct RepositoryAddressError;

impl RepositoryAddress {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RepositoryAddress {
    type Err = RepositoryAddressError;

    fn from_str(text: &str) -> Result<Self, RepositoryAddressError> {
        let is_harmless = |c: char| c.is_ascii_graphic() && !"\"'<>\\^`{|}?#@".contains(c);
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .or_else(|| {
                text.strip_prefix("file://")
                    .filter(|rest| rest.starts_with('/'))
            });
        let is_file = text.starts_with("file:");
        let has_host = rest.is_some_and(|rest| is_file || !rest.starts_with('/'));
        if has_host && text.ends_with('/') && text.chars().all(is_harmless) {
            Ok(Self(text.to_owned()))
        } else {
            Err(RepositoryAddressError)
        }
    }
}

impl TryFrom<String> for RepositoryAddress {
    type Error = RepositoryAddressError;

    fn try_from(text: String) -> Result<Self, RepositoryAddressError> {
        text.parse()
    }
}

impl From<RepositoryAddress> for String {
    fn from(address: RepositoryAddress) -> Self {
        address.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_whole_and_harmless() {
        for text in [
            "",
            "packages.example/",
            "https://packages.example",
            "https:///rpms/",
            "file://rpms/",
            "ftp://packages.example/",
            "https://a b/",
            "https://a/\n[evil]/",
            "https://me:secret@a/",
            "https://a/?x=/",
        ] {
            assert_eq!(
                text.parse::<RepositoryAddress>(),
                Err(RepositoryAddressError),
                "{text}"
            );
        }
        for text in [
            "http://a/",
            "https://a:8443/x/y/",
            "file:///",
            "file:///srv/rpms/",
        ] {
            assert_eq!(text.parse::<RepositoryAddress>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn short_names_are_words() {
        for text in ["", ".x", "-x", "a/b", "a b", "a\nb", "a]", &"a".repeat(65)] {
            let expected = RepositoryIdError {
                text: text.to_owned(),
            };
            assert_eq!(text.parse::<RepositoryId>(), Err(expected));
        }
        assert!("Clearwater_10.2-rpms".parse::<RepositoryId>().is_ok());
    }
}
