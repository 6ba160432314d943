//! Fetching pinned files into the store, from mirrors in order.
//!
//! A mirror is never trusted: what it sends is hashed while it is written, and only bytes with the
//! expected digest get a name. One that refuses, lies or stalls is passed over for the next, and is
//! named with its reason if none has the bytes. Downloads are not resumed.

mod address;
mod client;
mod error;
mod fetcher;
mod job;
mod request;
mod settings;
mod transfer;
mod unknown;

pub use error::{Attempt, AttemptError, BodyKind, FailedFetch, FetchError, MissingBlob, Received};
pub use fetcher::Fetcher;
pub use request::{FetchLocation, FetchOrigin, FetchProgress, FetchRequest, Silent};
pub use settings::{FetchLimits, FetchSettings, Network, TrustedRoots};
