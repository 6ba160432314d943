//! What a package does as a service: the files that kiln writes for it, its scriptlets, and whether
//! what its recipe says about units, users and programs holds.
//!
//! ```text
//! install       recipe's folder ----------------------> the package, as it is
//! users         /usr/lib/sysusers.d/PACKAGE.conf        %pre creates them
//! tmpfiles      /usr/lib/tmpfiles.d/PACKAGE.conf        %post applies it
//! systemd       /usr/lib/systemd/system-preset/80-...   %post, %preun, %postun
//! limits        /etc/security/limits.d/PACKAGE.conf     %config(noreplace)
//! alternatives  LINK as %ghost                          %post, %postun
//! ```
//!
//! Everything here follows from the recipe and from bytes that were read with it.

mod accounts;
mod finding;
mod install;
mod place;
mod ready;
mod scriptlets;
mod static_check;
mod syntax;
mod unit;
mod units;

#[cfg(test)]
mod tests;

pub use accounts::UserClash;
pub(crate) use accounts::user_clashes;
pub use finding::{ServiceFinding, UnitText};
pub(crate) use install::read_installed;
pub(crate) use place::{file_lines, place_files};
pub(crate) use scriptlets::{ordering, provides, scriptlets};
pub(crate) use static_check::service_findings;
pub(crate) use syntax::check_syntax;
pub use unit::UnitMistake;
pub(crate) use units::check_units;
