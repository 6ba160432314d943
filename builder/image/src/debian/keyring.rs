//! Pinned OpenPGP keys, and whether a signature by one of them counts.
//!
//! The pgp crate verifies mathematics and holds no opinion; the opinion is here:
//!
//! | rule | why |
//! |---|---|
//! | the key is in the pinned keyrings | nothing else is trusted, and nothing is fetched |
//! | signature of type "text", hash of 256 bits or more | SHA-1 and MD5 can be forged |
//! | signature has a creation time, in its signed part | everything below is judged at that time |
//! | primary key: a valid self-signature with a strong hash, no revocation, not expired | |
//! | subkey: a valid binding both ways with a strong hash, no revocation, not expired | |
//! | the key that signed is marked for signing, or not marked at all | |
//!
//! Expiry is judged at the signature's own time: there is no clock here, and an index that was signed
//! in time stays what it was.

use std::io::{BufReader, Read};

use pgp::armor::{BlockType, Dearmor};
use pgp::composed::{Deserializable, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};
use pgp::types::{KeyDetails, Tag, Timestamp};

/// Says why pinned keys can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// A keyring is not binary OpenPGP.
    #[error("keyring {number} of the archive's keys is damaged: {reason}")]
    Damaged {
        /// Which keyring, counted from 1.
        number: usize,
        /// What the OpenPGP reader says.
        reason: String,
    },
    /// There is no key at all.
    #[error("there is no key in the archive's keyrings")]
    Empty,
}

/// Says why a signature by a known key does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is made over binary data or something else than text.
    #[error("it is not a signature of a text")]
    Type,
    /// Its hash can be forged.
    #[error("it uses {hash}; kiln accepts SHA-256 and stronger")]
    WeakHash {
        /// The hash algorithm.
        hash: String,
    },
    /// It does not say when it was made.
    #[error("it does not say when it was made")]
    NoTime,
    /// It is older than its key.
    #[error("it says that it is older than its key")]
    BeforeKey,
    /// The key has no self-signature that counts.
    #[error("the key has no valid self-signature")]
    NoSelfSignature,
    /// The key or its primary key was revoked.
    #[error("the key was revoked")]
    Revoked,
    /// The key or its primary key had expired when the signature was made.
    #[error("the key had expired when it signed")]
    Expired,
    /// The key is for something else.
    #[error("the key is not for signing")]
    Purpose,
}

/// What a signature is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It counts.
    Good {
        /// The primary key's fingerprint, upper-case hexadecimal.
        primary: String,
    },
    /// No known key made it.
    Foreign,
    /// A known key made it, but it does not count.
    Unusable {
        /// The primary key's fingerprint, upper-case hexadecimal.
        primary: String,
        /// The rule that it breaks.
        reason: Unusable,
    },
    /// It claims to be of a known key and is not of this text.
    Bad {
        /// The primary key's fingerprint, upper-case hexadecimal.
        primary: String,
    },
}

/// The keys that are trusted.
#[derive(Debug)]
pub(super) struct Keyring {
    certificates: Vec<SignedPublicKey>,
}

/// Longest block of signatures that is read, in bytes; Debian's is 1.5 KiB.
const MAX_SIGNATURES: u64 = 1 << 20;

/// Reads armored signatures; says in words why that fails.
pub(super) fn read_signatures(armor: &str) -> Result<Vec<Signature>, String> {
    let mut dearmor = Dearmor::new(armor.as_bytes());
    dearmor.read_header().map_err(|error| error.to_string())?;
    if dearmor.typ != Some(BlockType::Signature) {
        return Err("the armor is not of signatures".to_owned());
    }
    let mut binary = Vec::new();
    let read = dearmor
        .by_ref()
        .take(MAX_SIGNATURES)
        .read_to_end(&mut binary);
    read.map_err(|error| error.to_string())?;
    let mut signatures = Vec::new();
    for packet in PacketParser::new(binary.as_slice()) {
        match packet.map_err(|error| error.to_string())? {
            Packet::Signature(signature) => signatures.push(signature),
            _ => return Err("there is something else than a signature".to_owned()),
        }
    }
    if signatures.is_empty() {
        return Err("there is no signature".to_owned());
    }
    Ok(signatures)
}

impl Keyring {
    /// Reads binary keyrings.
    pub fn parse(keyrings: &[Vec<u8>]) -> Result<Self, KeyringError> {
        let mut certificates = Vec::new();
        for (at, bytes) in keyrings.iter().enumerate() {
            let damaged = |error: pgp::errors::Error| KeyringError::Damaged {
                number: at + 1,
                reason: error.to_string(),
            };
            let reader = BufReader::new(bytes.as_slice());
            let before = certificates.len();
            for key in SignedPublicKey::from_bytes_many(reader).map_err(damaged)? {
                certificates.push(key.map_err(damaged)?);
            }
            if certificates.len() == before {
                return Err(KeyringError::Damaged {
                    number: at + 1,
                    reason: "it holds no binary public key".to_owned(),
                });
            }
        }
        if certificates.is_empty() {
            return Err(KeyringError::Empty);
        }
        Ok(Self { certificates })
    }

    /// Judges one signature of a text.
    ///
    /// Several certificates may hold the claimed key, as copies of different age do: a revocation in
    /// one of them counts for all, otherwise it is enough that one is in order.
    pub fn judge(&self, signature: &Signature, text: &str) -> Verdict {
        let judged = self.certificates.iter();
        let judged = judged.filter_map(|certificate| judge_by(certificate, signature, text));
        let rank = |verdict: &Verdict| match verdict {
            Verdict::Unusable {
                reason: Unusable::Revoked,
                ..
            } => 0,
            Verdict::Good { .. } => 1,
            Verdict::Unusable { .. } => 2,
            Verdict::Bad { .. } => 3,
            Verdict::Foreign => 4,
        };
        judged.min_by_key(rank).unwrap_or(Verdict::Foreign)
    }
}

/// Judges a signature by the keys of one certificate; `None` if it claims none of them.
fn judge_by(certificate: &SignedPublicKey, signature: &Signature, text: &str) -> Option<Verdict> {
    let primary = certificate.fingerprint().to_string().to_uppercase();
    let signer = Signer::find(certificate, signature)?;
    Some(match check_form(signature) {
        Err(reason) => Verdict::Unusable { primary, reason },
        Ok(_) if !signer.made(signature, text) => Verdict::Bad { primary },
        Ok(time) => match signer.check_key(time) {
            Err(reason) => Verdict::Unusable { primary, reason },
            Ok(()) => Verdict::Good { primary },
        },
    })
}

/// The key of a certificate that a signature names.
enum Signer<'a> {
    Primary(&'a SignedPublicKey),
    Subkey(&'a SignedPublicKey, &'a SignedPublicSubKey),
}

impl<'a> Signer<'a> {
    fn find(certificate: &'a SignedPublicKey, signature: &Signature) -> Option<Self> {
        if names(signature, certificate) {
            return Some(Self::Primary(certificate));
        }
        let subkey = certificate
            .public_subkeys
            .iter()
            .find(|subkey| names(signature, *subkey))?;
        Some(Self::Subkey(certificate, subkey))
    }

    fn made(&self, signature: &Signature, text: &str) -> bool {
        let verified = match self {
            Self::Primary(certificate) => signature.verify(*certificate, text.as_bytes()),
            Self::Subkey(_, subkey) => signature.verify(*subkey, text.as_bytes()),
        };
        verified.is_ok()
    }

    /// Checks that the key could sign at that time.
    fn check_key(&self, time: Timestamp) -> Result<(), Unusable> {
        match self {
            Self::Primary(certificate) => {
                let own = check_certificate(certificate, time)?;
                check_purpose(own)
            }
            Self::Subkey(certificate, subkey) => {
                check_certificate(certificate, time)?;
                check_subkey(certificate, subkey, time)
            }
        }
    }
}

/// Tells whether a signature says that this key made it.
fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (fingerprint, id) = (key.fingerprint(), key.legacy_key_id());
    signature
        .issuer_fingerprint()
        .into_iter()
        .any(|named| *named == fingerprint)
        || signature
            .issuer_key_id()
            .into_iter()
            .any(|named| *named == id)
}

/// Checks a signature of a text by itself; returns when it was made.
fn check_form(signature: &Signature) -> Result<Timestamp, Unusable> {
    if signature.typ() != Some(SignatureType::Text) {
        return Err(Unusable::Type);
    }
    check_hash(signature)?;
    signature.created().ok_or(Unusable::NoTime)
}

fn check_hash(signature: &Signature) -> Result<(), Unusable> {
    match signature.hash_alg() {
        Some(
            HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512,
        ) => Ok(()),
        Some(hash) => Err(Unusable::WeakHash {
            hash: hash.to_string(),
        }),
        None => Err(Unusable::WeakHash {
            hash: "an unknown hash".to_owned(),
        }),
    }
}

/// Checks a certificate's primary key at that time; returns its newest self-signature.
fn check_certificate(
    certificate: &SignedPublicKey,
    time: Timestamp,
) -> Result<&Signature, Unusable> {
    let (key, details) = (&certificate.primary_key, &certificate.details);
    // A revocation counts whatever its hash and date are: to doubt it would be to trust the key.
    if details
        .revocation_signatures
        .iter()
        .any(|revocation| revocation.verify_key(key).is_ok())
    {
        return Err(Unusable::Revoked);
    }
    let direct = details
        .direct_signatures
        .iter()
        .filter(|own| check_hash(own).is_ok() && own.verify_key(key).is_ok());
    let users = details.users.iter().flat_map(|user| {
        let certifies = |own: &&Signature| {
            own.typ() != Some(SignatureType::CertRevocation)
                && check_hash(own).is_ok()
                && own.verify_certification(key, Tag::UserId, &user.id).is_ok()
        };
        user.signatures.iter().filter(certifies)
    });
    let newest = direct.chain(users).max_by_key(|own| own.created());
    let newest = newest.ok_or(Unusable::NoSelfSignature)?;
    check_age(key.created_at(), newest, time)?;
    Ok(newest)
}

fn check_subkey(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    time: Timestamp,
) -> Result<(), Unusable> {
    let primary = &certificate.primary_key;
    let of_type = |wanted: SignatureType| {
        let signatures = subkey.signatures.iter();
        signatures.filter(move |signature| signature.typ() == Some(wanted))
    };
    let binds = |signature: &Signature| {
        signature
            .verify_subkey_binding(primary, &subkey.key)
            .is_ok()
    };
    if of_type(SignatureType::SubkeyRevocation).any(binds) {
        return Err(Unusable::Revoked);
    }
    let newest = of_type(SignatureType::SubkeyBinding)
        .filter(|binding| check_hash(binding).is_ok() && binds(binding))
        .max_by_key(|binding| binding.created());
    let newest = newest.ok_or(Unusable::NoSelfSignature)?;
    check_age(subkey.created_at(), newest, time)?;
    // The subkey must have agreed, or another's signing key could be claimed as one's own.
    let back = newest.embedded_signature().ok_or(Unusable::Purpose)?;
    check_hash(back)?;
    if back
        .verify_primary_key_binding(&subkey.key, primary)
        .is_err()
    {
        return Err(Unusable::NoSelfSignature);
    }
    check_purpose(newest)
}

/// Checks that the key was there, and not expired, when it signed.
fn check_age(created: Timestamp, own: &Signature, time: Timestamp) -> Result<(), Unusable> {
    if time < created {
        return Err(Unusable::BeforeKey);
    }
    let lifetime = own
        .key_expiration_time()
        .map_or(0, pgp::types::Duration::as_secs);
    let age = time.as_secs() - created.as_secs();
    if lifetime != 0 && age >= lifetime {
        return Err(Unusable::Expired);
    }
    Ok(())
}

/// Checks that a self-signature marks its key for signing, or does not say what it is for.
fn check_purpose(own: &Signature) -> Result<(), Unusable> {
    let flags = own.key_flags();
    let says_nothing = flags == pgp::packet::KeyFlags::default();
    if flags.sign() || says_nothing {
        Ok(())
    } else {
        Err(Unusable::Purpose)
    }
}
