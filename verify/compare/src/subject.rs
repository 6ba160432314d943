//! What is verified: the files of `out/` that must be the same for everybody, and the trees that steps
//! installed.

use std::fmt;
use std::io::{self, Read};

use kiln_model::{Digest, RecipeName};
use serde::{Deserialize, Serialize};

use crate::verdict::Agreement;

/// What kind of output something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SubjectKind {
    /// An RPM.
    Package,
    /// A source RPM.
    SourcePackage,
    /// What a recipe's install step installed, as a canonical tar.
    Destdir,
    /// A spec file.
    Spec,
    /// An SBOM.
    Sbom,
    /// The compared half of the provenance.
    Provenance,
    /// A file of the repository's metadata.
    Repository,
}

impl SubjectKind {
    /// Returns whether it is an RPM, source or binary.
    #[must_use]
    pub const fn is_package(self) -> bool {
        matches!(self, Self::Package | Self::SourcePackage)
    }

    /// Returns its name for people: `source package`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Package => "package",
            Self::SourcePackage => "source package",
            Self::Destdir => "destdir",
            Self::Spec => "spec",
            Self::Sbom => "SBOM",
            Self::Provenance => "provenance",
            Self::Repository => "repository",
        }
    }
}

impl fmt::Display for SubjectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One thing that is verified.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Subject {
    /// The recipe that it comes of; `None` for what comes of all of them.
    pub recipe: Option<RecipeName>,
    /// What it is.
    pub kind: SubjectKind,
    /// Path below `out/`, or for a destdir the recipe and where its files go.
    pub name: String,
}

/// The outputs of one build, found by subject.
pub trait Outputs {
    /// Opens one; `None` when it is not there.
    ///
    /// # Errors
    /// As the system refuses.
    fn open(&self, subject: &Subject) -> io::Result<Option<Box<dyn Read + '_>>>;

    /// Returns the digest of one, where it is known without reading.
    fn digest(&self, _subject: &Subject) -> Option<Digest> {
        None
    }
}

/// How two builds' outputs of one subject compare at first sight.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sight {
    /// Every byte is the same.
    Same,
    /// They are not the same.
    Other,
    /// The first build has none.
    NoOriginal,
    /// The second has none.
    NoRebuilt,
}

/// Bytes that are read and compared at once.
const CHUNK: usize = 1 << 17;

/// Compares one subject's bytes, up to the first that differs.
///
/// # Errors
/// As the system refuses.
pub fn sight(
    original: &dyn Outputs,
    rebuilt: &dyn Outputs,
    subject: &Subject,
) -> io::Result<Sight> {
    let Some(mut left) = original.open(subject)? else {
        return Ok(Sight::NoOriginal);
    };
    let Some(mut right) = rebuilt.open(subject)? else {
        return Ok(Sight::NoRebuilt);
    };
    let (mut one, mut other) = (vec![0; CHUNK], vec![0; CHUNK]);
    loop {
        let count = fill(&mut *left, &mut one)?;
        if count != fill(&mut *right, &mut other)? || one[..count] != other[..count] {
            return Ok(Sight::Other);
        }
        if count == 0 {
            return Ok(Sight::Same);
        }
    }
}

/// Reads until the buffer is full or there is no more.
fn fill(from: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What was found of one subject in one rebuild.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Finding {
    /// Number of the rebuild, from 1.
    pub build: usize,
    /// How far it agrees.
    pub agreement: Agreement,
    /// The digest of what the rebuild gave.
    pub rebuilt: Digest,
}
