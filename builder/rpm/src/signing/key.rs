//! The secret key that signs: read once, unlocked, judged, and kept in memory only.

use std::fmt;

use kiln_model::{Fingerprint, SourceDateEpoch};
use pgp::composed::{Deserializable as _, SignedSecretKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{PacketTrait as _, SignatureConfig, SignatureType, Subpacket, SubpacketData};
use pgp::types::{KeyDetails as _, Password, Tag, Timestamp};

use super::certificate::{Certificate, KeyFault, Signer, algorithm_of, blocks, first_tag};
use super::{GoodSignature, SignatureFault};

/// Says why a secret key can not sign.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningKeyError {
    /// It is not OpenPGP, or damaged.
    #[error("it holds no OpenPGP secret key: {reason}")]
    NotAKey {
        /// What the reader says.
        reason: String,
    },
    /// It holds a public key.
    #[error("it holds a public key, not a secret one")]
    Public,
    /// The pinned key is not in it.
    #[error("it holds key {actual}, not the pinned one")]
    OtherKey {
        /// The pinned key.
        expected: Fingerprint,
        /// What is in it.
        actual: String,
    },
    /// The key must not sign.
    #[error("key {fingerprint}: {fault}")]
    Unusable {
        /// Its fingerprint.
        fingerprint: Fingerprint,
        /// Why.
        fault: KeyFault,
    },
    /// The secret half of the key that signs is not in the file.
    #[error("key {fingerprint}: the secret half of the key that signs is not in it")]
    NoSecret {
        /// The fingerprint of the primary key.
        fingerprint: Fingerprint,
    },
    /// It is locked, and no passphrase was given.
    #[error("key {fingerprint} is locked with a passphrase, and none was given")]
    Locked {
        /// Its fingerprint.
        fingerprint: Fingerprint,
    },
    /// The passphrase is another one.
    #[error("key {fingerprint}: the passphrase does not open it")]
    WrongPassphrase {
        /// Its fingerprint.
        fingerprint: Fingerprint,
    },
    /// What it signed does not verify: a damaged key.
    #[error("key {fingerprint}: what it signs does not verify: {fault}")]
    Broken {
        /// Its fingerprint.
        fingerprint: Fingerprint,
        /// Why.
        fault: SignatureFault,
    },
}

/// What opens a secret key. Never shown.
#[derive(Clone)]
pub struct Passphrase(Vec<u8>);

impl Passphrase {
    /// Takes the bytes as they are.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(…)")
    }
}

/// An unlocked key that may sign.
pub struct SigningKey {
    secret: SignedSecretKey,
    /// Place of the subkey that signs; `None` for the primary key.
    subkey: Option<usize>,
    created: SourceDateEpoch,
    certificate: Certificate,
    fingerprint: Fingerprint,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.fingerprint)
    }
}

impl SigningKey {
    /// Reads the secret key with the pinned fingerprint, armoured or binary, and unlocks it.
    ///
    /// `now` is the time of day, by which it must not have expired; it reaches no signature.
    ///
    /// # Errors
    /// Every variant of [`SigningKeyError`] but `Broken`.
    pub fn open(
        bytes: &[u8],
        passphrase: Option<&Passphrase>,
        pinned: &Fingerprint,
        now: SourceDateEpoch,
    ) -> Result<Self, SigningKeyError> {
        let mut secret = find(bytes, pinned)?;
        let certificate = Certificate::new(secret.to_public_key());
        let fingerprint = pinned.clone();
        let unusable = |fault| SigningKeyError::Unusable {
            fingerprint: pinned.clone(),
            fault,
        };
        let signer = certificate.signer(now).map_err(unusable)?;
        let created = signer.created();
        let subkey = match signer {
            Signer::Primary(_) => None,
            Signer::Subkey(_, public) => {
                let mut subkeys = secret.secret_subkeys.iter();
                let wanted = public.key.fingerprint();
                let at = subkeys.position(|subkey| subkey.key.fingerprint() == wanted);
                Some(at.ok_or_else(|| SigningKeyError::NoSecret {
                    fingerprint: pinned.clone(),
                })?)
            }
        };
        unlock(&mut secret, subkey, passphrase, pinned)?;
        Ok(Self {
            secret,
            subkey,
            created,
            certificate,
            fingerprint,
        })
    }

    /// Returns its public half.
    #[must_use]
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// Signs `data` as of `time`, or of the key's own beginning if that is later: the same bytes, time
    /// and key give the same signature.
    ///
    /// # Errors
    /// `Broken`, or `Unusable` when the key had expired at that time.
    pub fn sign(
        &self,
        data: &[u8],
        time: SourceDateEpoch,
    ) -> Result<GoodSignature, SigningKeyError> {
        let time = time.seconds().max(self.created.seconds());
        let packet = self.packet(data, Timestamp::from_secs(time));
        let packet = packet.map_err(|error| SigningKeyError::Broken {
            fingerprint: self.fingerprint.clone(),
            fault: SignatureFault::NotASignature {
                reason: error.to_string(),
            },
        })?;
        // What is handed out verifies, by the same rules by which others' signatures are judged.
        let verified = self.certificate.verify(data, &packet);
        verified.map_err(|fault| match fault {
            SignatureFault::Key(fault) => SigningKeyError::Unusable {
                fingerprint: self.fingerprint.clone(),
                fault,
            },
            fault => SigningKeyError::Broken {
                fingerprint: self.fingerprint.clone(),
                fault,
            },
        })
    }

    fn packet(&self, data: &[u8], time: Timestamp) -> pgp::errors::Result<Vec<u8>> {
        let unlocked = Password::empty();
        let signature = match self
            .subkey
            .and_then(|at| self.secret.secret_subkeys.get(at))
        {
            Some(subkey) => config(&subkey.key, time)?.sign(&subkey.key, &unlocked, data)?,
            None => {
                let key = &self.secret.primary_key;
                config(key, time)?.sign(key, &unlocked, data)?
            }
        };
        let mut packet = Vec::new();
        signature.to_writer_with_header(&mut packet)?;
        Ok(packet)
    }
}

/// States the time and the key, and nothing else.
fn config(
    key: &impl pgp::types::KeyDetails,
    time: Timestamp,
) -> pgp::errors::Result<SignatureConfig> {
    let (kind, hash) = (SignatureType::Binary, HashAlgorithm::Sha256);
    let mut config = SignatureConfig::v4(kind, key.algorithm(), hash);
    config.hashed_subpackets = vec![
        Subpacket::regular(SubpacketData::SignatureCreationTime(time))?,
        Subpacket::regular(SubpacketData::IssuerFingerprint(key.fingerprint()))?,
    ];
    config.unhashed_subpackets = vec![Subpacket::regular(SubpacketData::IssuerKeyId(
        key.legacy_key_id(),
    ))?];
    Ok(config)
}

fn find(bytes: &[u8], pinned: &Fingerprint) -> Result<SignedSecretKey, SigningKeyError> {
    let not_a_key = |reason: String| SigningKeyError::NotAKey { reason };
    let mut others = Vec::new();
    for block in blocks(bytes).map_err(not_a_key)? {
        if first_tag(&block) == Some(Tag::PublicKey) {
            return Err(SigningKeyError::Public);
        }
        let read = SignedSecretKey::from_bytes_many(block.as_slice());
        for key in read.map_err(|error| not_a_key(error.to_string()))? {
            let key = key.map_err(|error| not_a_key(error.to_string()))?;
            let fingerprint = key.fingerprint().to_string().to_uppercase();
            if fingerprint == pinned.as_str() {
                return Ok(key);
            }
            others.push((fingerprint, key));
        }
    }
    let Some((actual, key)) = others.into_iter().next() else {
        return Err(not_a_key("it is empty".to_owned()));
    };
    // A key that could never sign is told as such even if it is not the pinned one.
    if let (Err(fault), Ok(fingerprint)) = (algorithm_of(&key.primary_key), actual.parse()) {
        return Err(SigningKeyError::Unusable { fingerprint, fault });
    }
    Err(SigningKeyError::OtherKey {
        expected: pinned.clone(),
        actual,
    })
}

/// Takes the lock off the key that signs, once: each use of a locked key takes a tenth of a second.
fn unlock(
    secret: &mut SignedSecretKey,
    subkey: Option<usize>,
    passphrase: Option<&Passphrase>,
    pinned: &Fingerprint,
) -> Result<(), SigningKeyError> {
    let fingerprint = pinned.clone();
    let params = match subkey.and_then(|at| secret.secret_subkeys.get(at)) {
        Some(subkey) => subkey.key.secret_params(),
        None => secret.primary_key.secret_params(),
    };
    if !params.is_encrypted() {
        return Ok(());
    }
    let is_elsewhere = match params {
        pgp::types::SecretParams::Encrypted(locked) => matches!(
            locked.string_to_key_params(),
            pgp::types::S2kParams::Cfb {
                s2k: pgp::types::StringToKey::Private { .. },
                ..
            }
        ),
        pgp::types::SecretParams::Plain(_) => false,
    };
    if is_elsewhere {
        return Err(SigningKeyError::NoSecret { fingerprint });
    }
    let Some(Passphrase(passphrase)) = passphrase else {
        return Err(SigningKeyError::Locked { fingerprint });
    };
    let password = Password::from(passphrase.as_slice());
    let unlocked = match subkey.and_then(|at| secret.secret_subkeys.get_mut(at)) {
        Some(subkey) => subkey.key.remove_password(&password),
        None => secret.primary_key.remove_password(&password),
    };
    unlocked.map_err(|_| SigningKeyError::WrongPassphrase { fingerprint })
}
