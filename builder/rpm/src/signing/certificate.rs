//! Public keys, and whether one of them may sign.
//!
//! | rule | why |
//! |---|---|
//! | version 4; RSA of 2048 bits or more, or Ed25519 in its version 4 form | rpm 4.18 verifies nothing else |
//! | a valid self-signature with a hash of 256 bits or more | SHA-1 and MD5 can be forged |
//! | no revocation, whatever its date and hash | to doubt it would be to trust the key |
//! | not expired, at the time that is asked about | |
//! | the key that signs is marked for signing, or not marked at all | |
//! | a subkey: a binding both ways | or another's key could be claimed |

use std::io::Read as _;

use kiln_model::{Fingerprint, SourceDateEpoch};
use pgp::composed::{ArmorOptions, Deserializable as _, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Packet, PacketParser, Signature, SignatureType};
use pgp::types::{KeyDetails, KeyVersion, PublicParams, Tag, Timestamp};

use super::{GoodSignature, SignatureAlgorithm};

/// Fewest bits of an RSA key.
const MIN_RSA_BITS: usize = 2048;
/// Most bytes of a file of keys: a certificate with many signatures has some 100 KiB.
const MAX_BYTES: usize = 4 << 20;

/// Says why a file of public keys can not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is not OpenPGP, or damaged.
    #[error("it holds no OpenPGP public key: {reason}")]
    NotAKey {
        /// What the reader says.
        reason: String,
    },
    /// It holds a secret key, which must not be handed on.
    #[error("it holds a secret key, not a public one")]
    Secret,
    /// A key must not be used.
    #[error("key {fingerprint}: {fault}")]
    Unusable {
        /// Its fingerprint.
        fingerprint: String,
        /// Why.
        fault: KeyFault,
    },
}

/// Says why a key must not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// rpm 4.18 can not verify what it signs.
    #[error("it is of a kind ({kind}) that rpm 4.18 can not verify")]
    Kind {
        /// Version and algorithm.
        kind: String,
    },
    /// It has too few bits.
    #[error(
        "it is an RSA key of {bits} bits; at least {MIN_RSA_BITS} are required, 3072 or more advised"
    )]
    Short {
        /// Its bits.
        bits: usize,
    },
    /// Its self-signatures use a hash that can be forged.
    #[error("its self-signature uses {hash}; SHA-256 or stronger is required")]
    WeakHash {
        /// The hash.
        hash: String,
    },
    /// It has no valid self-signature at all.
    #[error("it has no valid self-signature")]
    NoSelfSignature,
    /// It was revoked.
    #[error("it was revoked")]
    Revoked,
    /// It was made later.
    #[error("it was made only at {created}")]
    TooYoung {
        /// When it was made.
        created: String,
    },
    /// It has expired.
    #[error("it expired at {expired}")]
    Expired {
        /// When.
        expired: String,
    },
    /// It is for certifying or encrypting only.
    #[error("it is not for signing, and has no subkey that is")]
    Purpose,
}

/// Says why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureFault {
    /// It is not one binary OpenPGP signature.
    #[error("it is not one OpenPGP signature of a file: {reason}")]
    NotASignature {
        /// What is wrong.
        reason: String,
    },
    /// Its hash can be forged.
    #[error("it uses {hash}; SHA-256 or stronger is required")]
    WeakHash {
        /// The hash.
        hash: String,
    },
    /// Another key made it.
    #[error("it was made by another key: {issuer}")]
    Foreign {
        /// Whom it names.
        issuer: String,
    },
    /// It is of other bytes.
    #[error("it does not match the bytes that were to be signed")]
    Bad,
    /// The key must not have made it.
    #[error("its key must not sign: {0}")]
    Key(KeyFault),
}

/// A public key with its self-signatures and subkeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    key: SignedPublicKey,
}

/// A key of a certificate that may sign.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signer<'a> {
    Primary(&'a SignedPublicKey),
    Subkey(&'a SignedPublicKey, &'a SignedPublicSubKey),
}

impl Certificate {
    /// Reads a file of public keys, armoured or binary. They are not judged.
    ///
    /// # Errors
    /// `NotAKey` or `Secret`.
    pub fn parse_all(bytes: &[u8]) -> Result<Vec<Self>, CertificateError> {
        let not_a_key = |reason: String| CertificateError::NotAKey { reason };
        let mut keys = Vec::new();
        for block in blocks(bytes).map_err(not_a_key)? {
            if first_tag(&block) == Some(Tag::SecretKey) {
                return Err(CertificateError::Secret);
            }
            let read = SignedPublicKey::from_bytes_many(block.as_slice());
            for key in read.map_err(|error| not_a_key(error.to_string()))? {
                let key = key.map_err(|error| not_a_key(error.to_string()))?;
                keys.push(Self { key });
            }
        }
        if keys.is_empty() {
            return Err(not_a_key("it is empty".to_owned()));
        }
        Ok(keys)
    }

    pub(super) const fn new(key: SignedPublicKey) -> Self {
        Self { key }
    }

    /// Returns the fingerprint of the primary key; `None` for a version that has another form of it.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Fingerprint> {
        self.key.fingerprint().to_string().parse().ok()
    }

    /// Returns the fingerprint for people, whatever its form.
    #[must_use]
    pub fn shown_fingerprint(&self) -> String {
        self.key.fingerprint().to_string().to_uppercase()
    }

    /// Returns the public key armoured, as `rpm --import` takes it.
    #[must_use]
    pub fn armored(&self) -> String {
        let armored = self.key.to_armored_string(ArmorOptions::default());
        armored.expect("a key that was read can be written to memory")
    }

    /// Checks that something in it may sign at that time.
    ///
    /// # Errors
    /// Why nothing may.
    pub fn check(&self, time: SourceDateEpoch) -> Result<(), KeyFault> {
        self.signer(time).map(drop)
    }

    /// Returns the key of it that signs at that time: the newest subkey for signing, or the primary
    /// key, as gpg chooses.
    pub(super) fn signer(&self, time: SourceDateEpoch) -> Result<Signer<'_>, KeyFault> {
        let time = Timestamp::from_secs(time.seconds());
        let own = check_primary(&self.key, time)?;
        let subkeys = self.key.public_subkeys.iter();
        let usable = subkeys.filter(|subkey| check_subkey(&self.key, subkey, time).is_ok());
        if let Some(subkey) = usable.max_by_key(|subkey| subkey.created_at()) {
            return Ok(Signer::Subkey(&self.key, subkey));
        }
        if may_sign(own) {
            return Ok(Signer::Primary(&self.key));
        }
        // A subkey for signing that is expired or revoked says more than that there is none.
        let faults = self.key.public_subkeys.iter();
        let mut faults = faults.filter_map(|subkey| check_subkey(&self.key, subkey, time).err());
        let told = faults.find(|fault| *fault != KeyFault::Purpose);
        Err(told.unwrap_or(KeyFault::Purpose))
    }

    /// Judges a detached signature, binary or armoured, over `data`.
    ///
    /// # Errors
    /// Why it does not count.
    pub fn verify(&self, data: &[u8], signature: &[u8]) -> Result<GoodSignature, SignatureFault> {
        let (packet, signature) = read_signature(signature)?;
        if let Some(hash) = weak_hash(&signature) {
            return Err(SignatureFault::WeakHash { hash });
        }
        let Some(signer) = self.named_by(&signature) else {
            let names = signature.issuer_fingerprint();
            let names = names
                .into_iter()
                .map(|name| name.to_string().to_uppercase());
            let ids = signature.issuer_key_id().into_iter();
            let ids = ids.map(|id| id.to_string().to_uppercase());
            let issuer = names.chain(ids).next();
            let issuer = issuer.unwrap_or_else(|| "it does not say whose".to_owned());
            return Err(SignatureFault::Foreign { issuer });
        };
        let (verified, algorithm) = match signer {
            Signer::Primary(key) => (signature.verify(key, data), algorithm_of(key)),
            Signer::Subkey(_, key) => (signature.verify(key, data), algorithm_of(key)),
        };
        verified.map_err(|_| SignatureFault::Bad)?;
        let Some(time) = signature.created() else {
            let reason = "it does not say when it was made".to_owned();
            return Err(SignatureFault::NotASignature { reason });
        };
        let checked = match signer {
            Signer::Primary(key) => check_primary(key, time).and_then(|own| {
                let is_for_signing = may_sign(own);
                is_for_signing.then_some(()).ok_or(KeyFault::Purpose)
            }),
            Signer::Subkey(key, subkey) => {
                check_primary(key, time).and_then(|_| check_subkey(key, subkey, time))
            }
        };
        checked.map_err(SignatureFault::Key)?;
        let algorithm = algorithm.map_err(SignatureFault::Key)?;
        Ok(GoodSignature { packet, algorithm })
    }

    fn named_by(&self, signature: &Signature) -> Option<Signer<'_>> {
        if names(signature, &self.key) {
            return Some(Signer::Primary(&self.key));
        }
        let mut subkeys = self.key.public_subkeys.iter();
        let subkey = subkeys.find(|subkey| names(signature, *subkey))?;
        Some(Signer::Subkey(&self.key, subkey))
    }
}

impl Signer<'_> {
    /// Returns when the key was made: no signature of it can be older.
    pub(super) fn created(&self) -> SourceDateEpoch {
        let created = match self {
            Self::Primary(key) => key.created_at(),
            Self::Subkey(_, key) => key.created_at(),
        };
        SourceDateEpoch::from_seconds(created.as_secs())
    }
}

/// Returns the binary content of every armoured block, or the bytes themselves when there is none.
pub(super) fn blocks(bytes: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    const BEGIN: &[u8] = b"-----BEGIN PGP ";
    if bytes.len() > MAX_BYTES {
        return Err(format!("it has more than {MAX_BYTES} bytes"));
    }
    let starts: Vec<usize> = (0..bytes.len())
        .filter(|at| bytes[*at..].starts_with(BEGIN) && (*at == 0 || bytes[*at - 1] == b'\n'))
        .collect();
    if starts.is_empty() {
        return Ok(vec![bytes.to_vec()]);
    }
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let mut blocks = Vec::new();
    for (start, end) in starts.iter().zip(ends) {
        let mut block = Vec::new();
        let mut dearmor = pgp::armor::Dearmor::new(&bytes[*start..end]);
        dearmor.read_header().map_err(|error| error.to_string())?;
        let read = dearmor.read_to_end(&mut block);
        read.map_err(|error| error.to_string())?;
        blocks.push(block);
    }
    Ok(blocks)
}

/// Returns what the first packet of a binary block is.
pub(super) fn first_tag(block: &[u8]) -> Option<Tag> {
    use pgp::packet::PacketTrait as _;
    PacketParser::new(block)
        .next()?
        .ok()
        .map(|packet| packet.tag())
}

fn read_signature(bytes: &[u8]) -> Result<(Vec<u8>, Signature), SignatureFault> {
    let wrong = |reason: String| SignatureFault::NotASignature { reason };
    let blocks = blocks(bytes).map_err(wrong)?;
    let [block] = blocks.as_slice() else {
        return Err(wrong("there are several".to_owned()));
    };
    let mut packets = PacketParser::new(block.as_slice());
    let signature = match packets.next() {
        Some(Ok(Packet::Signature(signature))) => signature,
        Some(Ok(_)) => return Err(wrong("it is something else".to_owned())),
        Some(Err(error)) => return Err(wrong(error.to_string())),
        None => return Err(wrong("it is empty".to_owned())),
    };
    if packets.next().is_some() {
        return Err(wrong("there is more behind it".to_owned()));
    }
    if signature.typ() != Some(SignatureType::Binary) {
        return Err(wrong("it is not one over binary data".to_owned()));
    }
    Ok((block.clone(), signature))
}

/// Tells whether a signature says that this key made it.
fn names(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (fingerprint, id) = (key.fingerprint(), key.legacy_key_id());
    let fingerprints = signature.issuer_fingerprint();
    if !fingerprints.is_empty() {
        return fingerprints.into_iter().any(|named| *named == fingerprint);
    }
    signature
        .issuer_key_id()
        .into_iter()
        .any(|named| *named == id)
}

/// Returns the name of a signature's hash if it can be forged.
fn weak_hash(signature: &Signature) -> Option<String> {
    match signature.hash_alg() {
        Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512) => None,
        Some(hash) => Some(hash.to_string()),
        None => Some("an unknown hash".to_owned()),
    }
}

/// Returns what rpm calls the algorithm of a key, if it can verify it.
pub(super) fn algorithm_of(key: &impl KeyDetails) -> Result<SignatureAlgorithm, KeyFault> {
    use pgp::types::PublicParams as Params;
    let kind = || KeyFault::Kind {
        kind: format!("version {}, {:?}", u8::from(key.version()), key.algorithm()),
    };
    if key.version() != KeyVersion::V4 {
        return Err(kind());
    }
    match key.public_params() {
        Params::RSA(params) => match rsa_bits(params) {
            bits if bits < MIN_RSA_BITS => Err(KeyFault::Short { bits }),
            _ => Ok(SignatureAlgorithm::Rsa),
        },
        PublicParams::EdDSALegacy(_) => Ok(SignatureAlgorithm::EdDsa),
        _ => Err(kind()),
    }
}

/// Returns the bits of the modulus, from its encoding: two bytes that count them, then the number.
fn rsa_bits(params: &pgp::types::RsaPublicParams) -> usize {
    let mut bytes = Vec::new();
    let written = pgp::ser::Serialize::to_writer(params, &mut bytes);
    match (written, bytes.get(..2)) {
        (Ok(()), Some(&[high, low])) => usize::from(u16::from_be_bytes([high, low])),
        _ => 0,
    }
}

/// Checks a primary key at that time; returns its newest self-signature.
fn check_primary(certificate: &SignedPublicKey, time: Timestamp) -> Result<&Signature, KeyFault> {
    let (key, details) = (&certificate.primary_key, &certificate.details);
    algorithm_of(key)?;
    let mut revocations = details.revocation_signatures.iter();
    if revocations.any(|revocation| revocation.verify_key(key).is_ok()) {
        return Err(KeyFault::Revoked);
    }
    let direct = details.direct_signatures.iter();
    let direct = direct.filter(|own| own.verify_key(key).is_ok());
    let users = details.users.iter().flat_map(|user| {
        let certifies = |own: &&Signature| {
            own.typ() != Some(SignatureType::CertRevocation)
                && own.verify_certification(key, Tag::UserId, &user.id).is_ok()
        };
        user.signatures.iter().filter(certifies)
    });
    let valid: Vec<&Signature> = direct.chain(users).collect();
    newest_strong(&valid).and_then(|own| {
        check_age(key.created_at(), own, time)?;
        Ok(own)
    })
}

fn newest_strong<'a>(valid: &[&'a Signature]) -> Result<&'a Signature, KeyFault> {
    let strong = valid.iter().filter(|own| weak_hash(own).is_none());
    if let Some(own) = strong.max_by_key(|own| own.created()) {
        return Ok(own);
    }
    let weak = valid.iter().find_map(|own| weak_hash(own));
    Err(
        weak.map_or(KeyFault::NoSelfSignature, |hash| KeyFault::WeakHash {
            hash,
        }),
    )
}

fn check_subkey(
    certificate: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    time: Timestamp,
) -> Result<(), KeyFault> {
    let primary = &certificate.primary_key;
    let of_type = |wanted: SignatureType| {
        let signatures = subkey.signatures.iter();
        signatures.filter(move |signature| signature.typ() == Some(wanted))
    };
    let binds = |signature: &&Signature| {
        let bound = signature.verify_subkey_binding(primary, &subkey.key);
        bound.is_ok()
    };
    let bindings: Vec<&Signature> = of_type(SignatureType::SubkeyBinding)
        .filter(binds)
        .collect();
    // Of a subkey for something else nothing more is asked.
    let newest = bindings.iter().max_by_key(|binding| binding.created());
    if newest.is_none_or(|binding| !binding.key_flags().sign()) {
        return Err(KeyFault::Purpose);
    }
    algorithm_of(&subkey.key)?;
    if of_type(SignatureType::SubkeyRevocation).any(|revocation| binds(&revocation)) {
        return Err(KeyFault::Revoked);
    }
    let newest = newest_strong(&bindings)?;
    check_age(subkey.created_at(), newest, time)?;
    let back = newest
        .embedded_signature()
        .ok_or(KeyFault::NoSelfSignature)?;
    if let Some(hash) = weak_hash(back) {
        return Err(KeyFault::WeakHash { hash });
    }
    let agrees = back.verify_primary_key_binding(&subkey.key, primary);
    agrees.map_err(|_| KeyFault::NoSelfSignature)
}

/// Checks that the key was there, and not expired, at that time.
fn check_age(created: Timestamp, own: &Signature, time: Timestamp) -> Result<(), KeyFault> {
    let shown = |seconds: u32| SourceDateEpoch::from_seconds(seconds).to_rfc3339();
    let created = created.as_secs();
    if time.as_secs() < created {
        let created = shown(created);
        return Err(KeyFault::TooYoung { created });
    }
    let lifetime = own.key_expiration_time();
    let lifetime = lifetime.map_or(0, pgp::types::Duration::as_secs);
    let end = created.saturating_add(lifetime);
    if lifetime != 0 && time.as_secs() >= end {
        let expired = shown(end);
        return Err(KeyFault::Expired { expired });
    }
    Ok(())
}

/// Tells whether a self-signature marks its key for signing, or does not say what it is for.
fn may_sign(own: &Signature) -> bool {
    let flags = own.key_flags();
    flags.sign() || flags == pgp::packet::KeyFlags::default()
}
