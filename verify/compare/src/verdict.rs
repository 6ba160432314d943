//! What follows from comparing a package with its rebuilds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How far two packages agree, from everything down to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// Every byte is the same.
    BitIdentical,
    /// Every byte is the same but for lead and signature header: the same package, signed by others.
    ButForSignature,
    /// The payload, uncompressed, is the same; the header is not.
    PayloadIdentical,
    /// The content differs.
    Different,
}

impl Agreement {
    /// Returns its word in reports and statements: `bit-identical`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::BitIdentical => "bit-identical",
            Self::ButForSignature => "but-for-signature",
            Self::PayloadIdentical => "payload-identical",
            Self::Different => "different",
        }
    }

    /// Returns its name for people: `bit-identical`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BitIdentical => "bit-identical",
            Self::ButForSignature => "identical but for the signature",
            Self::PayloadIdentical => "payload identical",
            Self::Different => "different",
        }
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is said of one package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All rebuilds gave the same package.
    Reproducible,
    /// Some rebuild gave another one.
    Unreproducible,
    /// It could not be built again.
    FailedToBuild,
    /// Nobody tried, or nothing was there to compare with.
    NotTested,
}

impl Verdict {
    /// All of them, in the order in which they are counted.
    pub const ALL: [Self; 4] = [
        Self::Reproducible,
        Self::Unreproducible,
        Self::FailedToBuild,
        Self::NotTested,
    ];

    /// Returns the worst of some verdicts; `None` when there are none.
    #[must_use]
    pub fn worst(verdicts: impl IntoIterator<Item = Self>) -> Option<Self> {
        verdicts
            .into_iter()
            .max_by_key(|verdict| verdict.severity())
    }

    /// Returns its word in reports and statements: `reproducible`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reproducible => "reproducible",
            Self::Unreproducible => "unreproducible",
            Self::FailedToBuild => "failed-to-build",
            Self::NotTested => "not-tested",
        }
    }

    /// Returns its name for people: `failed to build`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reproducible => "reproducible",
            Self::Unreproducible => "unreproducible",
            Self::FailedToBuild => "failed to build",
            Self::NotTested => "not tested",
        }
    }

    /// Returns how bad it is, from 0. Not tested is worse than reproducible, and better than a known
    /// failure.
    const fn severity(self) -> u8 {
        match self {
            Self::Reproducible => 0,
            Self::NotTested => 1,
            Self::FailedToBuild => 2,
            Self::Unreproducible => 3,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
