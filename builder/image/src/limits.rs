//! What unpacking foreign bytes may use up.

/// Limits of one unpacking. A stream that passes one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnpackLimits {
    /// Entries in the archive.
    pub entries: u64,
    /// Bytes that come out of the decoder, headers and padding included.
    pub bytes: u64,
    /// Bytes out per byte in, looked at after the first 64 MiB.
    pub ratio: u64,
}

impl UnpackLimits {
    /// For source archives: the largest that people bundle (LLVM, Boost) stay far below it.
    pub const SOURCE: Self = Self {
        entries: 2_000_000,
        bytes: 16 << 30,
        ratio: 1000,
    };
    /// For image layers and the packages that they are made of.
    pub const LAYER: Self = Self {
        entries: 2_000_000,
        bytes: 64 << 30,
        ratio: 1000,
    };
}
