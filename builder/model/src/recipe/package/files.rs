//! Which installed files a package takes, and what is special about some of them.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::capability::FileCapabilities;
use crate::name::AccountName;
use crate::path::{FilePattern, PathError, SandboxPath};

/// What a rule does with the files that its pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RuleEffect {
    /// The list takes them.
    Take,
    /// The list does not take them, whatever earlier rules say.
    LeaveOut,
}

/// One item of a list of patterns: `/usr/bin/*`, or `!/usr/bin/x` for what it leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRule {
    text: String,
    pattern: FilePattern,
    effect: RuleEffect,
}

impl FileRule {
    /// Returns the item as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns the pattern, without `!`.
    #[must_use]
    pub const fn pattern(&self) -> &FilePattern {
        &self.pattern
    }

    /// Returns what it does.
    #[must_use]
    pub const fn effect(&self) -> RuleEffect {
        self.effect
    }
}

impl FromStr for FileRule {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let (pattern, effect) = match text.strip_prefix('!') {
            Some(pattern) => (pattern, RuleEffect::LeaveOut),
            None => (text, RuleEffect::Take),
        };
        Ok(Self {
            text: text.to_owned(),
            pattern: pattern.parse()?,
            effect,
        })
    }
}

impl Serialize for FileRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Patterns that are looked at in order, the last one that matches a file deciding.
///
/// ```
/// use kiln_model::recipe::FilePatterns;
/// let rules = ["/etc/lantern/**", "!/etc/lantern/*.sample"].map(|rule| rule.parse().unwrap());
/// let patterns = FilePatterns::new(rules.into());
/// assert!(patterns.takes("/etc/lantern/lantern.conf").is_some());
/// assert!(patterns.takes("/etc/lantern/lantern.conf.sample").is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct FilePatterns(Vec<FileRule>);

impl FilePatterns {
    /// Wraps rules.
    #[must_use]
    pub const fn new(rules: Vec<FileRule>) -> Self {
        Self(rules)
    }

    /// Returns whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the rules in their order.
    #[must_use]
    pub fn rules(&self) -> &[FileRule] {
        &self.0
    }

    /// Returns the rule by which `path`, which is absolute, is taken.
    #[must_use]
    pub fn takes(&self, path: &str) -> Option<&FileRule> {
        taken(&self.0, path)
    }

    /// Returns whether the rule at `index` has an effect on `path`: takes it, or leaves out what the rules
    /// before it take.
    #[must_use]
    pub fn has_effect(&self, index: usize, path: &str) -> bool {
        let Some(rule) = self.0.get(index) else {
            return false;
        };
        let is_effective = match rule.effect {
            RuleEffect::Take => true,
            RuleEffect::LeaveOut => taken(&self.0[..index], path).is_some(),
        };
        is_effective && rule.pattern.matches(path)
    }

    /// Returns the patterns that take files.
    pub fn taking(&self) -> impl Iterator<Item = &FilePattern> {
        let taking = |rule: &&FileRule| rule.effect == RuleEffect::Take;
        self.0.iter().filter(taking).map(|rule| &rule.pattern)
    }
}

fn taken<'a>(rules: &'a [FileRule], path: &str) -> Option<&'a FileRule> {
    let last = rules.iter().rev().find(|rule| rule.pattern.matches(path))?;
    (last.effect == RuleEffect::Take).then_some(last)
}

/// Says why a text is not permissions.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected permissions of three or four octal digits in quotes, got `{text}`")]
pub struct ModeError {
    /// The text as it was given.
    pub text: String,
}

/// Permission bits, set-id and sticky included: at most `0o7777`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileMode(u16);

impl FileMode {
    /// Wraps permission bits; `None` when other bits are set.
    #[must_use]
    pub const fn new(bits: u16) -> Option<Self> {
        if bits <= 0o7777 {
            Some(Self(bits))
        } else {
            None
        }
    }

    /// Returns the bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        self.0
    }
}

impl FromStr for FileMode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        let is_octal = matches!(text.len(), 3 | 4) && text.bytes().all(|b| b.is_ascii_digit());
        let bits = u16::from_str_radix(text, 8).ok().filter(|_| is_octal);
        bits.and_then(Self::new).ok_or_else(|| ModeError {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a ghost is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum GhostKind {
    /// A file.
    File,
    /// A directory.
    Directory,
}

/// A path that a package owns and does not ship: something writes it on the installed system.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ghost {
    /// Where it will be.
    pub path: SandboxPath,
    /// What it will be.
    pub kind: GhostKind,
    /// Its permissions.
    pub mode: FileMode,
    /// Its owner; `None` is root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountName>,
    /// Its group; `None` is root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<AccountName>,
}

/// What is special about the installed files and directories of a package that a pattern matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attributes {
    /// Which.
    pub files: FilePattern,
    /// Permissions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// The owner.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<AccountName>,
    /// The group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<AccountName>,
    /// Capabilities; only files have any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<FileCapabilities>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_that_matches_decides() {
        let rules = ["/a/**", "!/a/b/**", "/a/b/c", "!/a/b/d"];
        let patterns = FilePatterns::new(rules.map(|rule| rule.parse().unwrap()).into());
        let takes = |path: &str| patterns.takes(path).map(FileRule::as_str);
        assert_eq!(takes("/a/x"), Some("/a/**"));
        assert_eq!(takes("/a/b/x"), None);
        assert_eq!(takes("/a/b/c"), Some("/a/b/c"));
        assert_eq!(takes("/b"), None);
        assert!(patterns.has_effect(1, "/a/b/x"));
        assert!(!patterns.has_effect(1, "/b/x"));
        assert!(!patterns.has_effect(3, "/a/b/d"), "already left out");
        let taking: Vec<&str> = patterns.taking().map(FilePattern::as_str).collect();
        assert_eq!(taking, ["/a/**", "/a/b/c"]);
    }

    #[test]
    fn permissions_are_octal_digits() {
        for (text, bits) in [
            ("0750", 0o750),
            ("644", 0o644),
            ("4755", 0o4755),
            ("0000", 0),
        ] {
            assert_eq!(text.parse::<FileMode>().unwrap().bits(), bits);
        }
        for text in [
            "", "75", "0o750", "07500", "0789", "+750", "rwx", " 750", "-750",
        ] {
            let text = text.to_owned();
            assert_eq!(text.parse::<FileMode>(), Err(ModeError { text }));
        }
        assert_eq!(FileMode::new(0o10000), None);
    }
}
