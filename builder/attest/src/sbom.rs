//! The formats that a bill of materials can be rendered in: one small trait, one table.

use crate::bill::BillOfMaterials;
use crate::cyclonedx::CycloneDx16;
use crate::spdx::Spdx23;

/// An SBOM format.
pub trait SbomFormat: Sync {
    /// Name and version: `CycloneDX 1.6`.
    fn name(&self) -> &'static str;

    /// What the file's name ends in: `.cdx.json`.
    fn extension(&self) -> &'static str;

    /// Writes the one encoding of `bill` in this format.
    fn render(&self, bill: &BillOfMaterials) -> Vec<u8>;
}

/// Returns every format, in the order in which they are written.
#[must_use]
pub fn sbom_formats() -> [&'static dyn SbomFormat; 2] {
    [&CycloneDx16, &Spdx23]
}
