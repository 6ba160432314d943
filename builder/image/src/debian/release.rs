//! A suite's signed `InRelease`: verified, then read.
//!
//! | field | use |
//! |---|---|
//! | `Suite`, `Codename` | one of them is the suite that was asked for |
//! | `Version` | is the release that was asked for, or a point release of it |
//! | `Date`, `Valid-Until` | recorded; whether they are recent is for someone with a clock to say |
//! | `SHA256` | digests and sizes of the suite's indexes; `MD5Sum` is never read |

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use kiln_model::{Digest, SourceDateEpoch};

use super::cleartext::{self, CleartextError};
use super::deb822::{Field, Stanza, StanzaError, Stanzas};
use super::index::is_archive_path;
use super::keyring::{self, Keyring, KeyringError, Unusable, Verdict};

/// Says why a release file is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// It is not one cleartext-signed message.
    #[error("the release file is not one signed message")]
    Cleartext(#[from] CleartextError),
    /// Its signatures can not be read.
    #[error("the signatures of the release file can not be read: {reason}")]
    Signatures {
        /// What the OpenPGP reader says.
        reason: String,
    },
    /// The pinned keys can not be used.
    #[error("the archive's keys can not be used")]
    Keyring(#[from] KeyringError),
    /// A signature claims to be of a pinned key, and the text is not what that key signed.
    #[error(
        "the release file was changed after it was signed: \
         the signature by the archive's key does not fit\n  key  {key}"
    )]
    BadSignature {
        /// The primary key's fingerprint.
        key: String,
    },
    /// A signature by a pinned key breaks a rule, and no other one counts.
    #[error("the release file's signature by the archive's key does not count\n  key  {key}")]
    UnusableSignature {
        /// The primary key's fingerprint.
        key: String,
        /// The rule.
        #[source]
        reason: Unusable,
    },
    /// No signature is of a pinned key.
    #[error(
        "the release file is signed by none of the archive's keys; \
         it has {signatures} signatures of keys that are not pinned"
    )]
    UnknownKey {
        /// Number of signatures.
        signatures: usize,
    },
    /// The signed text is not a stanza.
    #[error("the release file is damaged")]
    Stanza(#[from] StanzaError),
    /// The signed text is not exactly one stanza.
    #[error("the release file is damaged: expected one stanza, got {actual}")]
    Stanzas {
        /// How many there are.
        actual: usize,
    },
    /// A field is missing.
    #[error("the release file has no `{field}`")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A field's value is not what it must be.
    #[error("the release file is damaged: `{field}`: expected {expected}, got `{actual}`")]
    Value {
        /// The field's name.
        field: &'static str,
        /// What the value must be.
        expected: &'static str,
        /// What it is.
        actual: String,
    },
    /// It is of another suite.
    #[error(
        "expected the release file of suite `{expected}`, got that of `{suite}` (`{codename}`)"
    )]
    Suite {
        /// The suite that was asked for.
        expected: String,
        /// Its `Suite`.
        suite: String,
        /// Its `Codename`.
        codename: String,
    },
    /// It is of another release of the suite.
    #[error("expected release `{expected}` of suite `{suite}`, got `{actual}`")]
    Version {
        /// The suite that was asked for.
        suite: String,
        /// The release that was asked for.
        expected: String,
        /// Its `Version`.
        actual: String,
    },
}

/// What a release file must be of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseExpectation {
    /// The suite, by its codename or its suite name: `bookworm`.
    pub suite: String,
    /// What its version is, or starts with before a dot: `12` lets `12.15` in, not `120`.
    pub release: String,
}

/// A release file that a pinned key has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedRelease {
    /// `Suite`: `oldstable`.
    pub suite: String,
    /// `Codename`: `bookworm`.
    pub codename: String,
    /// `Version`: `12.15`.
    pub version: String,
    /// `Date`, as it stands there: `Sat, 11 Jul 2026 10:16:37 UTC`.
    pub date: String,
    /// The same moment.
    pub moment: SourceDateEpoch,
    /// `Valid-Until`, as it stands there, if it does.
    pub valid_until: Option<String>,
    /// Fingerprint of the primary key whose signature, or whose subkey's, was accepted: upper-case
    /// hexadecimal. Of several accepted signatures, the first one's.
    pub fingerprint: String,
    /// sha256 of the whole file.
    pub in_release: Digest,
    /// Digest and size of every index, by its path below the suite's folder:
    /// `main/binary-amd64/Packages.xz`.
    pub files: BTreeMap<String, (Digest, u64)>,
}

/// Verifies a release file against pinned binary keyrings, and reads it.
///
/// One valid signature by a pinned key is enough. Signatures by other keys are ignored; one that claims
/// a pinned key and does not fit the text makes the file unbelievable, whatever else signs it.
///
/// # Errors
/// `Cleartext`, `Signatures` and `Keyring` when there is nothing to verify, `BadSignature`,
/// `UnusableSignature` and `UnknownKey` when it is not to be believed, `Stanza`, `Stanzas`, `Missing`
/// and `Value` when the signed text is damaged, `Suite` and `Version` when it is of something else.
pub fn verify_in_release(
    bytes: &[u8],
    keys: &[Vec<u8>],
    expected: &ReleaseExpectation,
) -> Result<VerifiedRelease, ReleaseError> {
    let message = cleartext::split(bytes)?;
    let fingerprint = verify(&message, &Keyring::parse(keys)?)?;
    read_release(&message.text, fingerprint, Digest::of(bytes), expected)
}

/// Reads the signed text.
fn read_release(
    text: &str,
    fingerprint: String,
    in_release: Digest,
    expected: &ReleaseExpectation,
) -> Result<VerifiedRelease, ReleaseError> {
    let mut stanzas = Stanzas::new(text).collect::<Result<Vec<_>, _>>()?;
    let fields = match (stanzas.pop(), stanzas.len()) {
        (Some(stanza), 0) => ReleaseFields(stanza),
        (last, others) => {
            let actual = others + usize::from(last.is_some());
            return Err(ReleaseError::Stanzas { actual });
        }
    };
    let (suite, codename) = (fields.text("Suite")?, fields.text("Codename")?);
    if suite != expected.suite && codename != expected.suite {
        return Err(ReleaseError::Suite {
            expected: expected.suite.clone(),
            suite: suite.to_owned(),
            codename: codename.to_owned(),
        });
    }
    let version = fields.text("Version")?;
    let rest = version.strip_prefix(expected.release.as_str());
    if expected.release.is_empty()
        || !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    {
        return Err(ReleaseError::Version {
            suite: expected.suite.clone(),
            expected: expected.release.clone(),
            actual: version.to_owned(),
        });
    }
    let date = fields.text("Date")?;
    Ok(VerifiedRelease {
        suite: suite.to_owned(),
        codename: codename.to_owned(),
        version: version.to_owned(),
        date: date.to_owned(),
        moment: fields.moment("Date", date)?,
        valid_until: fields.valid_until()?,
        fingerprint,
        in_release,
        files: fields.files()?,
    })
}

/// Returns the fingerprint of the primary key behind the first signature that counts.
fn verify(message: &cleartext::ClearSigned<'_>, keyring: &Keyring) -> Result<String, ReleaseError> {
    let signatures = keyring::read_signatures(message.armor)
        .map_err(|reason| ReleaseError::Signatures { reason })?;
    let mut good = None;
    let mut unusable = None;
    for signature in &signatures {
        match keyring.judge(signature, &message.text) {
            Verdict::Good { primary } => good = good.or(Some(primary)),
            Verdict::Foreign => {}
            Verdict::Unusable { primary, reason } => {
                unusable = unusable.or(Some((primary, reason)))
            }
            Verdict::Bad { primary } => return Err(ReleaseError::BadSignature { key: primary }),
        }
    }
    match (good, unusable) {
        (Some(primary), _) => Ok(primary),
        (None, Some((key, reason))) => Err(ReleaseError::UnusableSignature { key, reason }),
        (None, None) => Err(ReleaseError::UnknownKey {
            signatures: signatures.len(),
        }),
    }
}

/// The one stanza of a release file.
struct ReleaseFields<'a>(Stanza<'a>);

impl<'a> ReleaseFields<'a> {
    fn field(&self, field: &'static str) -> Result<Field<'a>, ReleaseError> {
        self.0.field(field).ok_or(ReleaseError::Missing { field })
    }

    /// Returns a field of one line that is not empty.
    fn text(&self, field: &'static str) -> Result<&'a str, ReleaseError> {
        let value = self.field(field)?.value;
        if value.is_empty() || value.contains('\n') {
            return Err(ReleaseError::Value {
                field,
                expected: "one line",
                actual: value.to_owned(),
            });
        }
        Ok(value)
    }

    fn moment(&self, field: &'static str, text: &str) -> Result<SourceDateEpoch, ReleaseError> {
        let zone = ["UTC", "GMT", "+0000"];
        let local = zone
            .iter()
            .find_map(|zone| text.strip_suffix(zone))
            .map(str::trim_ascii);
        let time = local.and_then(|local| DateTime::strptime("%a, %d %b %Y %H:%M:%S", local).ok());
        let time = time.and_then(|time| time.to_zoned(jiff::tz::TimeZone::UTC).ok());
        let seconds = time.and_then(|time| u32::try_from(time.timestamp().as_second()).ok());
        seconds
            .map(SourceDateEpoch::from_seconds)
            .ok_or_else(|| ReleaseError::Value {
                field,
                expected: "a date like `Sat, 11 Jul 2026 10:16:37 UTC`",
                actual: text.to_owned(),
            })
    }

    fn valid_until(&self) -> Result<Option<String>, ReleaseError> {
        const FIELD: &str = "Valid-Until";
        if self.0.field(FIELD).is_none() {
            return Ok(None);
        }
        let text = self.text(FIELD)?;
        self.moment(FIELD, text)?;
        Ok(Some(text.to_owned()))
    }

    /// Reads the lines `digest size path` of `SHA256`.
    fn files(&self) -> Result<BTreeMap<String, (Digest, u64)>, ReleaseError> {
        let mut files = BTreeMap::new();
        for line in self.field("SHA256")?.value.lines() {
            let wrong = |expected| ReleaseError::Value {
                field: "SHA256",
                expected,
                actual: line.trim_ascii().to_owned(),
            };
            let mut words = line.split_ascii_whitespace();
            let (Some(digest), Some(size), Some(path), None) =
                (words.next(), words.next(), words.next(), words.next())
            else {
                return Err(wrong("digest, size and path"));
            };
            let digest = Digest::from_hex(digest)
                .map_err(|_| wrong("64 lower-case hexadecimal digits first"))?;
            let size = size
                .parse()
                .map_err(|_| wrong("a number of bytes second"))?;
            if !is_archive_path(path) {
                return Err(wrong("a plain path below the suite's folder third"));
            }
            if files.insert(path.to_owned(), (digest, size)).is_some() {
                return Err(wrong("each path once"));
            }
        }
        Ok(files)
    }
}

#[cfg(test)]
mod tests;
