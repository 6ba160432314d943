//! Where bytes come from: upstream addresses and the archive's pool.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::git::{GitError, GitLocation};

/// Says why a text is not an address that kiln fetches from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// The scheme is neither `https:`, `http:` nor `debian:`.
    #[error("expected an address that starts with `https://`, `http://` or `debian:`, got `{0}`")]
    Scheme(String),
    /// The address carries a user name or password.
    #[error("an address must not carry a user name or password")]
    Credentials,
    /// The address has no host or no path.
    #[error("expected a host and a path in `{0}`")]
    Incomplete(String),
    /// A character is not allowed in an address.
    #[error("character {character:?} is not allowed in the address `{text}`")]
    Character {
        /// The text as it was given.
        text: String,
        /// The character that does not fit.
        character: char,
    },
    /// A `debian:` address is not `debian:SOURCE/FILE`.
    #[error("expected `debian:SOURCE/FILE`, got `{0}`")]
    Pool(String),
    /// A `git+` address does not name one commit of a repository.
    #[error(transparent)]
    Git(#[from] GitError),
}

/// An address from which a pinned file can be fetched. Its digest, not its address, is its identity.
///
/// ```
/// use kiln_model::Location;
/// let mirror: Location = "debian:libevent/libevent_2.1.12-stable.orig.tar.gz".parse().unwrap();
/// assert_eq!(
///     mirror.pool_path().as_deref(),
///     Some("pool/main/libe/libevent/libevent_2.1.12-stable.orig.tar.gz")
/// );
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Location {
    /// A complete `https://` or `http://` address.
    Web(String),
    /// A file of a Debian source package, in the pool of whichever archive the host uses.
    DebianPool {
        /// The source package: `curl`.
        source: String,
        /// The file: `curl_7.88.1.orig.tar.gz`.
        file: String,
    },
    /// A commit of a git repository: not a file that lies somewhere, but one that kiln makes of it.
    Git(GitLocation),
}

impl Location {
    /// Returns the path below the archive's root for a `debian:` address, `None` for a web address.
    #[must_use]
    pub fn pool_path(&self) -> Option<String> {
        let Self::DebianPool { source, file } = self else {
            return None;
        };
        let letters = if source.starts_with("lib") && source.len() > 3 {
            4
        } else {
            1
        };
        Some(format!("pool/main/{}/{source}/{file}", &source[..letters]))
    }

    /// Returns the last component: the file's name.
    #[must_use]
    pub fn file_name(&self) -> &str {
        match self {
            Self::Web(address) => address.rsplit('/').next().unwrap_or_default(),
            Self::DebianPool { file, .. } => file,
            Self::Git(location) => location.file_name(),
        }
    }

    /// Returns the commit that this is, if it is one.
    #[must_use]
    pub fn git(&self) -> Option<&GitLocation> {
        match self {
            Self::Git(location) => Some(location),
            Self::Web(_) | Self::DebianPool { .. } => None,
        }
    }
}

impl FromStr for Location {
    type Err = LocationError;

    fn from_str(text: &str) -> Result<Self, LocationError> {
        if let Some(character) = text
            .chars()
            .find(|c| !c.is_ascii_graphic() || "\"'<>\\^`{|}".contains(*c))
        {
            return Err(LocationError::Character {
                text: text.to_owned(),
                character,
            });
        }
        if let Some(rest) = text.strip_prefix("debian:") {
            return parse_pool(rest).ok_or_else(|| LocationError::Pool(text.to_owned()));
        }
        if let Some(rest) = text.strip_prefix("git+") {
            return Ok(Self::Git(GitLocation::parse(rest)?));
        }
        let Some(rest) = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
        else {
            return Err(LocationError::Scheme(text.to_owned()));
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            return Err(LocationError::Credentials);
        }
        if host.is_empty() || path.is_empty() || path.ends_with('/') {
            return Err(LocationError::Incomplete(text.to_owned()));
        }
        Ok(Self::Web(text.to_owned()))
    }
}

fn parse_pool(rest: &str) -> Option<Location> {
    let (source, file) = rest.split_once('/')?;
    let is_name = |text: &str, more: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    (is_name(source, "+-.") && is_name(file, "+-._~%")).then(|| Location::DebianPool {
        source: source.to_owned(),
        file: file.to_owned(),
    })
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Web(address) => f.write_str(address),
            Self::DebianPool { source, file } => write!(f, "debian:{source}/{file}"),
            Self::Git(location) => location.fmt(f),
        }
    }
}

impl Serialize for Location {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Location {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_kiln_does_not_fetch_from_are_refused() {
        let check = |text: &str, expected: LocationError| {
            assert_eq!(text.parse::<Location>(), Err(expected));
        };
        check("ftp://x/y", LocationError::Scheme("ftp://x/y".into()));
        check(
            "file:///etc/passwd",
            LocationError::Scheme("file:///etc/passwd".into()),
        );
        check("https://me:secret@host/x", LocationError::Credentials);
        check(
            "https://host",
            LocationError::Incomplete("https://host".into()),
        );
        check("debian:curl", LocationError::Pool("debian:curl".into()));
        check("debian:../x", LocationError::Pool("debian:../x".into()));
        check(
            "https://host/a b",
            LocationError::Character {
                text: "https://host/a b".into(),
                character: ' ',
            },
        );
    }
}
