//! A tree of files as a list: what a destdir or source tree holds, path by path.

use std::fmt;
use std::str::FromStr;

use kiln_model::Digest;
use serde::{Deserialize, Serialize};

use crate::printable::printable;

/// A path in a tree of files: relative, without `.`, `..` or empty components, UTF-8 without control
/// characters. It may hold spaces and whatever else file names hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TreePath(String);

impl TreePath {
    /// Returns the relative path: `usr/lib/libz.so`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path as installed: `/usr/lib/libz.so`.
    #[must_use]
    pub fn to_absolute(&self) -> String {
        format!("/{}", self.0)
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Says why a text is not a path in a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a relative path without `.`, `..`, empty components or control characters, got `{text}`"
)]
pub struct TreePathError {
    /// The text, escaped.
    pub text: String,
}

impl FromStr for TreePath {
    type Err = TreePathError;

    fn from_str(text: &str) -> Result<Self, TreePathError> {
        let is_normal = text.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if is_normal && !text.contains(char::is_control) {
            return Ok(Self(text.to_owned()));
        }
        Err(TreePathError {
            text: printable(text.as_bytes()),
        })
    }
}

impl<'de> Deserialize<'de> for TreePath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// One entry of a tree of files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TreeEntry {
    /// Where it is.
    pub path: TreePath,
    /// What it is.
    pub kind: TreeEntryKind,
    /// Permission bits, 07777. A link's are 0777.
    pub mode: u32,
}

/// What an entry of a tree is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub enum TreeEntryKind {
    /// A folder.
    Directory,
    /// A regular file.
    File {
        /// Bytes.
        size: u64,
        /// sha256 of its content.
        sha256: Digest,
        /// Whether any execute bit is set.
        executable: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Its target, as it stands in the link.
        target: String,
    },
    /// Another name of a file that comes earlier in the list.
    HardLink {
        /// The file.
        target: TreePath,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tree_paths_are_relative_and_normal() {
        for good in ["a", "usr/share/man/man3/Foo::Bar 3.gz", "a%b", "ünïcode"] {
            assert_eq!(good.parse::<TreePath>().unwrap().as_str(), good);
        }
        for bad in ["", "/a", "a/", "a//b", "./a", "a/../b", "a\tb"] {
            let text = printable(bad.as_bytes());
            assert_eq!(bad.parse::<TreePath>(), Err(TreePathError { text }));
        }
    }
}
