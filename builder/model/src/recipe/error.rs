//! What can be wrong with a recipe, a base image file or `kiln.toml`, and where.

use std::fmt;

use super::service::ServiceError;
use crate::capability::CapabilityError;
use crate::dependency::DependencyError;
use crate::digest::DigestError;
use crate::evr::{Evr, EvrError};
use crate::git::GitError;
use crate::image_reference::ImageReferenceError;
use crate::name::NameError;
use crate::path::PathError;
use crate::recipe::package::ModeError;
use crate::source::LocationError;
use crate::text::TextError;
use crate::time::{CalendarDate, DateError};

/// Line and column in a file, both counted from 1.
///
/// Lines end with a line feed; columns count characters, whatever their width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: u64,
    /// Column in characters, from 1.
    pub column: u64,
}

impl Place {
    /// Returns the place right after `text`.
    pub(crate) fn after(text: &str) -> Self {
        Self {
            line: text.matches('\n').count() as u64 + 1,
            column: text.chars().rev().take_while(|c| *c != '\n').count() as u64 + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// One thing that is wrong, and where it starts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{cause}")]
pub struct YamlError {
    /// What is wrong.
    pub cause: Cause,
    /// Where.
    pub place: Place,
}

impl YamlError {
    pub(crate) fn at_start(cause: Cause) -> Self {
        Self {
            cause,
            place: Place { line: 1, column: 1 },
        }
    }
}

/// What is wrong with a file that people write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// The text is not YAML of the expected shape.
    #[error("{reason}")]
    Syntax {
        /// What the parser says.
        reason: String,
    },
    /// A value of another shape than the format has there.
    #[error("expected {expected}")]
    Shape {
        /// What the format has there.
        expected: &'static str,
    },
    /// A key that the format does not have.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// The key.
        key: String,
        /// The nearest key that the format has.
        nearest: Option<String>,
        /// All keys possible at this place.
        expected: Vec<String>,
    },
    /// A word that is not one of the choices.
    #[error("unknown value `{word}`, expected one of {}", .expected.join(", "))]
    UnknownWord {
        /// The word.
        word: String,
        /// The nearest of the choices.
        nearest: Option<String>,
        /// All choices.
        expected: Vec<String>,
    },
    /// A key that must be there is not.
    #[error("missing key `{key}`")]
    MissingKey {
        /// The key.
        key: String,
    },
    /// A key stands twice.
    #[error("key `{key}` stands twice")]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it stands first.
        first: Place,
    },
    /// A part of YAML that recipes do not use.
    #[error("{what} is not allowed here")]
    Forbidden {
        /// The construct.
        what: &'static str,
    },
    /// The file is too large.
    #[error("expected at most {limit} bytes, got {actual}")]
    TooLarge {
        /// Most bytes.
        limit: usize,
        /// The file's bytes.
        actual: usize,
    },
    /// The nesting is too deep.
    #[error("expected at most {limit} levels of nesting")]
    TooDeep {
        /// Most levels.
        limit: usize,
    },
    /// The file has too many nodes.
    #[error("expected at most {limit} values")]
    TooMany {
        /// Most nodes.
        limit: usize,
    },
    /// The file is not UTF-8.
    #[error("expected UTF-8 text")]
    Encoding,
    /// A control character, byte order mark or Unicode line separator.
    #[error("character {character:?} is not allowed")]
    Character {
        /// The character.
        character: char,
    },
    /// The schema's number is not one that this kiln reads.
    #[error("expected `schema: {expected}`, got {actual}")]
    Schema {
        /// The schema that this kiln reads.
        expected: u32,
        /// The file's schema.
        actual: u32,
    },
    /// A digest that other YAML readers would take for a number.
    #[error("expected a quoted digest, got {text} without quotes")]
    UnquotedDigest {
        /// The text as it stands.
        text: String,
    },
    /// A number that is too small or large, or not written in plain decimal digits.
    #[error("expected a whole number from {least}, in decimal digits, got `{text}`")]
    Number {
        /// The smallest number that fits.
        least: u32,
        /// The text as it stands.
        text: String,
    },
    /// Text that `kiln new` left for people to replace.
    #[error("`{text}` stands where kiln knew nothing")]
    Placeholder {
        /// The text.
        text: String,
    },
    /// A version that is not a quoted string.
    #[error("expected a quoted version, got {text} without quotes")]
    UnquotedVersion {
        /// The text as it stands.
        text: String,
    },
    /// The name in the file is not the name of its folder or file.
    #[error("expected the name `{expected}` as the path says, got `{actual}`")]
    OtherName {
        /// What the path says.
        expected: String,
        /// What the file says.
        actual: String,
    },
    /// A name does not follow its grammar.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A digest does not.
    #[error(transparent)]
    Digest(#[from] DigestError),
    /// The name of a registry's image does not.
    #[error(transparent)]
    Image(#[from] ImageReferenceError),
    /// A path or pattern does not.
    #[error(transparent)]
    Path(#[from] PathError),
    /// An address does not.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// A repository, commit or tag does not.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A text does not.
    #[error(transparent)]
    Text(#[from] TextError),
    /// A date does not.
    #[error(transparent)]
    Date(#[from] DateError),
    /// A part of a service does not.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// A dependency does not.
    #[error(transparent)]
    Dependency(#[from] DependencyError),
    /// Capabilities do not.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// Permissions do not.
    #[error(transparent)]
    Mode(#[from] ModeError),
    /// An epoch, version and release do not.
    #[error(transparent)]
    Evr(#[from] EvrError),
    /// The newest changelog entry is about another version than the recipe.
    #[error("expected the recipe's own `{expected}` in its newest changelog entry, got `{actual}`")]
    ChangelogNewest {
        /// The recipe's.
        expected: Box<Evr>,
        /// The entry's.
        actual: Box<Evr>,
    },
    /// A changelog entry is about a version that rpm takes for as new as that of the entry before it.
    #[error(
        "`{version}` does not sort below `{before}` of the entry before it: rpm would not upgrade"
    )]
    ChangelogOrder {
        /// What the entry before it announces.
        before: Box<Evr>,
        /// What this one does.
        version: Box<Evr>,
    },
    /// A changelog entry is newer than the one before it.
    #[error("the entry of {date} comes after the one of {before}: newest first")]
    ChangelogDate {
        /// The day of the entry before it.
        before: CalendarDate,
        /// The day of this one.
        date: CalendarDate,
    },
    /// A list begins with what it leaves out.
    #[error("`{pattern}` takes away from the patterns before it, but is the first one")]
    NothingBefore {
        /// The text as it was given.
        pattern: String,
    },
    /// A list that must hold something is empty.
    #[error("expected at least one of `{what}`")]
    Empty {
        /// The list's key.
        what: &'static str,
    },
    /// Something stands twice.
    #[error("{what} `{name}` stands twice")]
    Twice {
        /// What it is.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A key has no meaning beside another one.
    #[error("`{key}` has no meaning with `{beside}`")]
    Meaningless {
        /// The key.
        key: &'static str,
        /// What rules it out.
        beside: &'static str,
    },
    /// A key is needed because of another one.
    #[error("`{key}` is needed with `{beside}`")]
    Needed {
        /// The key.
        key: &'static str,
        /// What needs it.
        beside: &'static str,
    },
    /// The address of a file is one of a git repository.
    #[error("expected the address of a file, got the repository `{text}`")]
    RepositoryAsFile {
        /// The text as it was given.
        text: String,
    },
    /// A git source names nothing in its repository.
    #[error("expected `tag` or `commit` beside `git`")]
    NoCommit,
    /// There would be no source tree.
    #[error("the first source is the source tree, and must be unpacked")]
    FirstSourceKept,
    /// Bundled libraries would land where the system's own files are.
    #[error(
        "expected a folder of its own below /usr/lib, /usr/libexec, /usr/share or /opt, got `{text}`"
    )]
    BundlePrefix {
        /// The text as it was given.
        text: String,
    },
    /// A further source's file name does not make a folder name of its own.
    #[error("the source file name `{name}` makes no folder of its own beside `{main}`")]
    SourceFolder {
        /// The file name.
        name: String,
        /// The first source's folder.
        main: String,
    },
    /// A file reference leaves the recipe's folder.
    #[error("expected a relative path within the recipe's folder, got `{text}`")]
    FileReference {
        /// The text as it was given.
        text: String,
    },
}

/// Returns the choice that `word` was probably meant to be; `None` when none is near.
#[must_use]
pub fn nearest<'a>(word: &str, choices: impl Iterator<Item = &'a str>) -> Option<String> {
    let folded = word.to_lowercase();
    let distance = |choice: &str| strsim::damerau_levenshtein(&folded, &choice.to_lowercase());
    let scored = choices.map(|choice| (distance(choice), choice));
    let (distance, choice) = scored.min_by_key(|(distance, _)| *distance)?;
    (distance <= word.chars().count().div_ceil(3)).then(|| choice.to_owned())
}

impl Cause {
    pub(crate) fn unknown_key<'a>(
        key: &str,
        expected: impl Iterator<Item = &'a str> + Clone,
    ) -> Self {
        Self::UnknownKey {
            key: key.to_owned(),
            nearest: nearest(key, expected.clone()),
            expected: expected.map(str::to_owned).collect(),
        }
    }

    pub(crate) fn unknown_word<'a>(
        word: &str,
        expected: impl Iterator<Item = &'a str> + Clone,
    ) -> Self {
        Self::UnknownWord {
            word: word.to_owned(),
            nearest: nearest(word, expected.clone()),
            expected: expected.map(str::to_owned).collect(),
        }
    }
}
