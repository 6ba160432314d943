//! Streamed hashing of what may be big.
//!
//! The compiled routines of AWS-LC, which the TLS client brings along anyway, take AVX2 where a
//! processor has no instructions for sha256: that is half as fast again as portable code. Short texts
//! are hashed by `kiln-model`.

use aws_lc_rs::digest::{Context, SHA256, SHA512};
use kiln_model::{Digest, Sha512};

/// A sha256 (FIPS 180-4) that bytes are added to.
#[derive(Clone)]
pub struct Sha256Stream(Context);

impl Default for Sha256Stream {
    fn default() -> Self {
        Self(Context::new(&SHA256))
    }
}

impl Sha256Stream {
    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of all bytes.
    #[must_use]
    pub fn finish(self) -> Digest {
        let digest = self.0.finish();
        Digest::from_bytes(digest.as_ref().try_into().expect("sha256 has 32 bytes"))
    }
}

impl std::fmt::Debug for Sha256Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sha256Stream").finish_non_exhaustive()
    }
}

/// A sha512 that bytes are added to.
#[derive(Clone)]
pub(crate) struct Sha512Stream(Context);

impl Default for Sha512Stream {
    fn default() -> Self {
        Self(Context::new(&SHA512))
    }
}

impl Sha512Stream {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(self) -> Sha512 {
        let digest = self.0.finish();
        Sha512::from_bytes(digest.as_ref().try_into().expect("sha512 has 64 bytes"))
    }
}

impl std::fmt::Debug for Sha512Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sha512Stream").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_the_digests_that_other_code_finds_for_the_whole() {
        let bytes: Vec<u8> = (0..70_000_u32).map(|n| (n % 249) as u8).collect();
        for piece in [1, 63, 64, 65, 4096, bytes.len()] {
            let (mut short, mut long) = (Sha256Stream::default(), Sha512Stream::default());
            for part in bytes.chunks(piece) {
                short.update(part);
                long.update(part);
            }
            assert_eq!(short.clone().finish(), Digest::of(&bytes));
            assert_eq!(short.finish(), Digest::of(&bytes), "a copy was finished");
            assert_eq!(long.finish(), Sha512::of(&bytes));
        }
        assert_eq!(Sha256Stream::default().finish(), Digest::of(b""));
    }
}
