//! Git repositories, commits and tags as values: what a recipe may name, checked before anything is
//! asked for.
//!
//! Nothing of this is ever handed to a `git` command, and it is checked as if it were: a name that could
//! be read as an option, or a path that climbs, is refused where it is read.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod location;
mod submodule;

pub use location::GitLocation;
pub use submodule::{Rewriting, SubmodulePath};

/// Longest address or tag, in bytes.
const MAX_TEXT: usize = 1024;

/// Hexadecimal digits of a commit of a SHA-1 repository, and of a SHA-256 one.
const COMMIT_DIGITS: [usize; 2] = [40, 64];

/// Says why a text does not name a repository, a commit, a tag or a submodule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GitError {
    /// Another protocol than HTTP.
    #[error(
        "expected a repository's address that starts with `https://` or `http://`, got `{text}`"
    )]
    Scheme {
        /// The text as it was given.
        text: String,
        /// The same repository over HTTPS, where that can be told.
        https: Option<String>,
    },
    /// The address carries a user name or password.
    #[error("a repository's address must not carry a user name or password")]
    Credentials,
    /// The address lacks a host or path, has a part that climbs, a query or a fragment, or is too long.
    #[error("expected the address of a repository, got `{text}`: {reason}")]
    Address {
        /// The text as it was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A commit is not written as its whole id.
    #[error("expected a commit's whole id, 40 or 64 lower-case hexadecimal digits, got `{text}`")]
    Commit {
        /// The text as it was given.
        text: String,
    },
    /// A tag's name breaks the rules for names of refs.
    #[error("`{text}` can not be a tag's name: {reason}")]
    Tag {
        /// The text as it was given.
        text: String,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// A submodule lies where none may.
    #[error("`{text}` can not be the path of a submodule: {reason}")]
    SubmodulePath {
        /// The text as it was given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl GitError {
    /// Returns what the writer of the file can do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Scheme {
                https: Some(https), ..
            } => format!("write `{https}`"),
            Self::Scheme { .. } => {
                "kiln fetches repositories by HTTPS only; a site's own server can stand in by `[mirrors]` \
                 in kiln.toml"
                    .to_owned()
            }
            Self::Credentials => "credentials never stand in a recipe; see docs/fetching.md".to_owned(),
            Self::Commit { text } if text.len() >= 40 && *text != text.to_lowercase() => {
                format!("write `{}`", text.to_lowercase())
            }
            Self::Commit { .. } => {
                "`git rev-parse 'TAG^{commit}'` prints it; or leave `commit` out, and let `kiln lock` \
                 resolve `tag`"
                    .to_owned()
            }
            Self::Tag { text, .. } if text.starts_with("refs/tags/") => {
                format!("write `{}`", &text["refs/tags/".len()..])
            }
            Self::Tag { .. } => "write the tag's name as `git tag --list` prints it".to_owned(),
            Self::Address { .. } | Self::SubmodulePath { .. } => return None,
        })
    }
}

/// The address of a repository that kiln fetches from, by HTTP.
///
/// ```
/// use kiln_model::RepositoryUrl;
/// let url: RepositoryUrl = "https://example.org/team/astaire.git".parse().unwrap();
/// assert_eq!(url.name(), "astaire");
/// assert!("git@example.org:team/astaire.git".parse::<RepositoryUrl>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryUrl(String);

impl RepositoryUrl {
    /// Returns the address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the last part of the address without `.git`: what people call the repository.
    #[must_use]
    pub fn name(&self) -> &str {
        let last = self.0.rsplit('/').next().unwrap_or_default();
        last.strip_suffix(".git").unwrap_or(last)
    }
}

impl FromStr for RepositoryUrl {
    type Err = GitError;

    fn from_str(text: &str) -> Result<Self, GitError> {
        let address = |reason| {
            Err(GitError::Address {
                text: text.chars().take(MAX_TEXT).collect(),
                reason,
            })
        };
        if text.len() > MAX_TEXT {
            return address("it is too long");
        }
        let Some(rest) = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
        else {
            return Err(GitError::Scheme {
                text: text.to_owned(),
                https: submodule::over_https(text),
            });
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        if host.contains('@') {
            return Err(GitError::Credentials);
        }
        if host.is_empty() || path.is_empty() {
            return address("it needs a host and a path");
        }
        if host.starts_with('-') {
            return address("its host starts with `-`");
        }
        let is_allowed = |c: char| c.is_ascii_graphic() && !"\"'<>\\^`{|}".contains(c);
        if !text.chars().all(is_allowed) {
            return address("it holds a character that addresses do not have");
        }
        if text.contains(['?', '#']) {
            return address("it has a query or a fragment");
        }
        // `%2e%2e` is `..` for a server, `%2f` a `/`.
        let lower = path.to_ascii_lowercase();
        if ["%2e", "%2f", "%5c", "%00", "%0a"]
            .iter()
            .any(|code| lower.contains(code))
        {
            return address("it holds an encoded dot, slash or control character");
        }
        if path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return address("its path has an empty, `.` or `..` part");
        }
        let url = Self(text.to_owned());
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "._+~-".contains(c);
        let name = url.name();
        if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.chars().all(is_plain) {
            return address(
                "its last part is no plain name of letters, digits, `.`, `_`, `+`, `~` and `-`",
            );
        }
        Ok(url)
    }
}

impl fmt::Display for RepositoryUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The whole id of a commit: its digest by SHA-1, or by SHA-256 in a repository that is made so.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitId(String);

impl CommitId {
    /// Returns the id, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first twelve digits, for names that people read.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl FromStr for CommitId {
    type Err = GitError;

    fn from_str(text: &str) -> Result<Self, GitError> {
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if COMMIT_DIGITS.contains(&text.len()) && text.bytes().all(is_hex) {
            return Ok(Self(text.to_owned()));
        }
        Err(GitError::Commit {
            text: text.chars().take(80).collect(),
        })
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a tag, without `refs/tags/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TagName(String);

impl TagName {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name of the ref: `refs/tags/release-129`.
    #[must_use]
    pub fn as_ref_name(&self) -> String {
        format!("refs/tags/{}", self.0)
    }
}

impl FromStr for TagName {
    type Err = GitError;

    fn from_str(text: &str) -> Result<Self, GitError> {
        match broken_rule(text) {
            None => Ok(Self(text.to_owned())),
            Some(reason) => Err(GitError::Tag {
                text: text.chars().take(MAX_TEXT).collect(),
                reason,
            }),
        }
    }
}

/// The rules of git-check-ref-format(1), and that it is a tag's short name.
fn broken_rule(text: &str) -> Option<&'static str> {
    let is_forbidden = |c: char| c.is_control() || c == ' ' || "~^:?*[\\".contains(c);
    let bad_part = |part: &str| part.is_empty() || part.starts_with('.') || part.ends_with(".lock");
    Some(match text {
        "" => "it is empty",
        "@" => "`@` stands for something else",
        _ if text.len() > MAX_TEXT => "it is too long",
        _ if text.starts_with('-') => "it starts with `-`, like an option",
        _ if text.starts_with("refs/") => "it is a whole ref, not a tag's name",
        _ if text.contains(is_forbidden) => {
            "it holds a space, a control character or one of `~ ^ : ? * [ \\`"
        }
        _ if text.contains("..") => "it holds `..`",
        _ if text.contains("@{") => "it holds `@{`",
        _ if text.ends_with('.') => "it ends in `.`",
        _ if text.split('/').any(bad_part) => {
            "a part of it is empty, starts with `.` or ends in `.lock`"
        }
        _ => return None,
    })
}

impl fmt::Display for TagName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says whether the submodules of a repository are part of what is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Submodules {
    /// Each at the commit that the repository pins, and theirs in turn.
    Follow,
    /// Their folders stay empty.
    LeaveOut,
}

macro_rules! as_text {
    ($($name:ty),*) => { $(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )* };
}

as_text!(RepositoryUrl, CommitId, TagName, SubmodulePath);

#[cfg(test)]
mod tests;
