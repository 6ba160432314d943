//! OpenPGP signatures over packages and repository metadata: keys, their judgement, and the place of a
//! signature in a package file.
//!
//! The pgp crate does the mathematics and holds no opinion; [`Certificate`] and [`SigningKey`] hold it.
//! Everything is values: files, passphrases and the time of day come from the caller, and no signature
//! ever states the time of day.

mod certificate;
mod key;
mod package;

pub use certificate::{Certificate, CertificateError, KeyFault, SignatureFault};
pub use key::{Passphrase, SigningKey, SigningKeyError};
pub use package::{signed_package, unsigned_package};

/// An OpenPGP signature over some bytes that was found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoodSignature {
    /// The signature packet, binary.
    packet: Vec<u8>,
    /// Which of rpm's tags it belongs to.
    algorithm: SignatureAlgorithm,
}

/// What rpm 4.18 can verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureAlgorithm {
    /// RSA, PKCS #1 version 1.5.
    Rsa,
    /// Ed25519 as version 4 keys have it (algorithm 22).
    EdDsa,
}

impl GoodSignature {
    /// Returns the binary packet.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        &self.packet
    }

    /// Returns it armoured, as a detached signature beside a file.
    #[must_use]
    pub fn armored(&self) -> String {
        let mut text = Vec::new();
        let kind = pgp::armor::BlockType::Signature;
        pgp::armor::write(&Raw(&self.packet), kind, &mut text, None, true)
            .expect("bytes can be written to memory");
        String::from_utf8(text).expect("armour is ASCII")
    }
}

/// Bytes that are already encoded.
struct Raw<'a>(&'a [u8]);

impl pgp::ser::Serialize for Raw<'_> {
    fn to_writer<W: std::io::Write>(&self, writer: &mut W) -> pgp::errors::Result<()> {
        Ok(writer.write_all(self.0)?)
    }

    fn write_len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests;
