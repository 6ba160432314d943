//! Paths inside a sandbox or an installed system, and patterns over them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Says why a text is not a path or pattern inside a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The path does not start with `/`.
    #[error("expected an absolute path, got `{0}`")]
    NotAbsolute(String),
    /// The path has an empty, `.` or `..` component, or ends in `/`.
    #[error("expected a path without `.`, `..`, empty components or a final `/`, got `{0}`")]
    NotNormal(String),
    /// The path holds a control character or a character that a spec file can not carry.
    #[error("character {character:?} is not allowed in the path `{path}`")]
    Character {
        /// The text as it was given.
        path: String,
        /// The character that does not fit.
        character: char,
    },
    /// The glob does not parse.
    #[error("`{pattern}` is not a file pattern: {reason}")]
    Pattern {
        /// The text as it was given.
        pattern: String,
        /// What the glob parser says.
        reason: String,
    },
}

/// An absolute, normalized UTF-8 path as a process in the sandbox sees it: `/usr/lib64`.
///
/// The root itself is not one: every kiln path has at least one component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct SandboxPath(String);

impl SandboxPath {
    /// Returns the text, with its leading `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path without its leading `/`, to be looked up below a root handle.
    #[must_use]
    pub fn relative(&self) -> &str {
        &self.0[1..]
    }

    /// Returns this path with `component` (one or more components, no leading `/`) below it.
    ///
    /// # Errors
    /// As parsing the joined text.
    pub fn join(&self, component: &str) -> Result<Self, PathError> {
        format!("{}/{component}", self.0).parse()
    }

    /// Returns whether `self` is `directory` or lies below it.
    #[must_use]
    pub fn is_within(&self, directory: &Self) -> bool {
        self.0
            .strip_prefix(&directory.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Characters that would need escaping in a spec file, a shell or an environment value.
const REFUSED: &[char] = &[
    '"', '\'', '\\', '%', '$', '`', '*', '?', '[', ']', '{', '}', ':', ' ',
];

impl FromStr for SandboxPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err(PathError::NotAbsolute(text.to_owned()));
        };
        if let Some(character) = text.chars().find(|c| c.is_control() || REFUSED.contains(c)) {
            return Err(PathError::Character {
                path: text.to_owned(),
                character,
            });
        }
        if rest.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(PathError::NotNormal(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SandboxPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SandboxPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A glob over installed paths: `/usr/lib64/libcurl.so.*`, `/usr/include/**`.
///
/// `*` and `?` stay within one component, `**` crosses them, `[...]` and `{a,b}` are classes and
/// alternatives (globset's grammar with `literal_separator`).
#[derive(Debug, Clone)]
pub struct FilePattern {
    text: String,
    matcher: globset::GlobMatcher,
}

impl FilePattern {
    /// Returns the pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the pattern covers `path`, which is absolute.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        self.matcher.is_match(path)
    }
}

impl FromStr for FilePattern {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        if !text.starts_with('/') {
            return Err(PathError::NotAbsolute(text.to_owned()));
        }
        if let Some(character) = text.chars().find(|c| c.is_control()) {
            return Err(PathError::Character {
                path: text.to_owned(),
                character,
            });
        }
        if text.split('/').any(|part| part == "..") {
            return Err(PathError::NotNormal(text.to_owned()));
        }
        let glob = globset::GlobBuilder::new(text)
            .literal_separator(true)
            .build()
            .map_err(|error| PathError::Pattern {
                pattern: text.to_owned(),
                reason: error.kind().to_string(),
            })?;
        Ok(Self {
            text: text.to_owned(),
            matcher: glob.compile_matcher(),
        })
    }
}

impl PartialEq for FilePattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for FilePattern {}

impl fmt::Display for FilePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for FilePattern {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sandbox_paths_are_absolute_and_normal() {
        assert_eq!(
            "/usr/lib64".parse::<SandboxPath>().unwrap().relative(),
            "usr/lib64"
        );
        let check = |text: &str, expected: PathError| {
            assert_eq!(text.parse::<SandboxPath>(), Err(expected));
        };
        check("usr", PathError::NotAbsolute("usr".into()));
        for text in ["/", "/usr/", "//usr", "/usr/../etc", "/./usr"] {
            check(text, PathError::NotNormal(text.into()));
        }
        check(
            "/a\nb",
            PathError::Character {
                path: "/a\nb".into(),
                character: '\n',
            },
        );
        check(
            "/a:b",
            PathError::Character {
                path: "/a:b".into(),
                character: ':',
            },
        );
    }

    #[test]
    fn containment_is_by_component() {
        let path = |text: &str| text.parse::<SandboxPath>().unwrap();
        assert!(path("/usr/lib").is_within(&path("/usr")));
        assert!(path("/usr").is_within(&path("/usr")));
        assert!(!path("/usrlib").is_within(&path("/usr")));
    }

    #[test]
    fn a_star_stays_within_its_component() {
        let pattern: FilePattern = "/usr/lib64/*.so.*".parse().unwrap();
        assert!(pattern.matches("/usr/lib64/libz.so.1"));
        assert!(!pattern.matches("/usr/lib64/deeper/libz.so.1"));
        let all: FilePattern = "/usr/include/**".parse().unwrap();
        assert!(all.matches("/usr/include/curl/curl.h"));
        assert!("/a[".parse::<FilePattern>().is_err());
    }
}
