//! SBOM and provenance documents: pure functions from values to the one encoding of a document.
//!
//! * [`BillOfMaterials`] is everything that an SBOM states; [`sbom_formats`] lists the formats that
//!   it can be rendered in.
//! * [`Provenance`] is the reproducible half of how the RPMs came to be (in-toto Statement v1, SLSA
//!   provenance v1), [`RunRecord`] the half that differs from run to run.
//! * [`VerificationStatement`] says what came of building them again.
//!
//! Every document is UTF-8 JSON with a fixed key order, sorted arrays, two spaces of indentation and
//! one final newline. Nothing here reads a clock, a random source, a file or the environment, and the
//! order in which a caller lists things never reaches a document. A document holds no vulnerability
//! data: that is the audit's, and BSI TR-03183-2 forbids it here.

mod bill;
mod cpe;
mod cyclonedx;
mod digest_list;
mod facts;
mod json;
mod license;
mod party;
mod provenance;
mod purl;
mod run_record;
mod sbom;
mod spdx;
mod uri;
mod verification;

pub use self::spdx::Spdx23;
pub use bill::{
    BillError, BillOfMaterials, BundledLibrary, Completeness, Contents, Decision,
    DistributionError, DistributionRelease, Library, Licensing, Link, Linkage, OutputRpm, Patch,
    PrivateFile, Product, RpmArchitecture, Software, SoftwareError, Source, SystemLibrary,
    VendoredLibrary,
};
pub use cpe::{Cpe, CpeError};
pub use cyclonedx::CycloneDx16;
pub use party::{EmailAddress, Organization, PartyError, WebAddress};
pub use provenance::{
    BUILD_TYPE, BuilderId, BuilderIdError, Byproduct, Input, Provenance, Subject,
};
pub use purl::{Purl, PurlError, RpmIdentity};
pub use run_record::{
    Host, RUN_RECORD_FORMAT, RunRecord, RunTime, RunTimeError, StepOrigin, StepRecord,
};
pub use sbom::{SbomFormat, sbom_formats};
pub use verification::{VERIFICATION_TYPE, VerificationBuild, VerificationStatement, VerifiedFile};
