//! Fetching pinned files into the store, from mirrors in order.
//!
//! A mirror is never trusted: what it sends is hashed while it is written, and only bytes with the
//! expected digest get a name. One that refuses, lies or stalls is passed over for the next, and is
//! named with its reason if none has the bytes. A download that breaks off goes on where it ended, at
//! the same mirror or another, in this run or the next; the digest of the whole decides.

mod address;
mod client;
mod error;
mod fetcher;
mod job;
mod netrc;
mod proxy;
mod range;
mod request;
mod settings;
mod stop;
mod transfer;
mod unknown;

pub(crate) use address::{Address, Mirrors};
pub use client::trusted_bundle;
pub use error::{Attempt, AttemptError, BodyKind, FailedFetch, FetchError, MissingBlob, Received};
pub use fetcher::Fetcher;
pub(crate) use fetcher::run_apart;
pub use request::{FetchLocation, FetchOrigin, FetchProgress, FetchRequest, Silent};
pub use settings::{
    FetchLimits, FetchSettings, NetrcFile, Network, ProxyAddress, ProxySettings, TrustedRoots,
    Upstream,
};

pub(crate) use stop::Stop;
pub(crate) use transfer::{Body, Line, Question, TransferError};

/// Returns an address as it may be shown: without user name and password.
///
/// # Errors
/// Why nothing can be fetched from it.
pub fn shown_address(text: &str) -> Result<String, String> {
    let shown = address::shown(text);
    match address::Address::parse(text) {
        Ok(_) => Ok(shown),
        Err(reason) => Err(format!("`{shown}` is no address to fetch from: {reason}")),
    }
}
