//! How much a comparison may cost: differences, depth, bytes unpacked.

/// Bounds on one comparison. What lies behind a bound is told as a [`crate::Note`], never passed over in
/// silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Differences that are told before the comparison stops; 1 answers only whether there is one, and
    /// where: that of a digest or a size only if there is no other.
    pub differences: usize,
    /// Places told within one leaf: one text, one section, one table.
    pub per_leaf: usize,
    /// Archives in archives that are opened.
    pub depth: usize,
    /// Bytes that one compressed stream or archive member may unpack to.
    pub member_bytes: u64,
    /// Bytes that all of them may unpack to together.
    pub total_bytes: u64,
}

/// Bytes out per byte in that no honest stream reaches, once [`RATIO_FREE`] bytes came out.
pub(crate) const RATIO: u64 = 1000;

/// Bytes that may come out of a stream before its ratio is looked at.
pub(crate) const RATIO_FREE: u64 = 64 << 20;

impl Effort {
    /// What people look at: 100 differences, 16 archives deep, 1 GiB of each stream, 8 GiB in all.
    pub const USUAL: Self = Self {
        differences: 100,
        per_leaf: 10,
        depth: 16,
        member_bytes: 1 << 30,
        total_bytes: 8 << 30,
    };

    /// As usual, but for the number of differences that are told.
    #[must_use]
    pub const fn stopping_at(differences: usize) -> Self {
        Self {
            differences,
            ..Self::USUAL
        }
    }
}
