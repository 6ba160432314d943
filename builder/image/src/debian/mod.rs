//! A Debian archive's texts as values: signed release files, package indexes, and what to take from
//! them.
//!
//! The order of use: [`verify_in_release`] says which `Packages` file may be believed,
//! [`PackageIndex::parse`] reads it, [`resolve`] chooses the packages, whose digests go into a
//! lockfile. [`archive_addresses`] says where the host's own apt would look for them. Nothing here
//! reads a file, the network or the clock.

mod cleartext;
mod deb822;
mod index;
mod keyring;
mod relation;
mod release;
mod resolve;
mod sources;
mod universe;
mod version;

pub use cleartext::CleartextError;
pub use deb822::StanzaError;
pub use index::{IndexError, PackageIndex};
pub use keyring::{KeyringError, Unusable};
pub use relation::RelationError;
pub use release::{ReleaseError, ReleaseExpectation, VerifiedRelease, verify_in_release};
pub use resolve::{Essential, ResolveError, ResolveRequest, resolve};
pub use sources::archive_addresses;
pub use version::{DebianVersion, VersionError};

#[cfg(test)]
mod tests;
