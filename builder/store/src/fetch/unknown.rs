//! Fetching a file that nobody pinned yet, so that a recipe can be drafted for it.

use kiln_model::Location;

use crate::fetch::error::FetchError;
use crate::fetch::fetcher::Fetcher;
use crate::fetch::request::FetchLocation;

impl Fetcher {
    /// Fetches a file whose digest is not known, whole or not at all, into memory.
    ///
    /// It does not enter the store. What comes is what the place sends today: the caller tells its
    /// digest to people, who compare it with upstream's before anything is built from it.
    ///
    /// # Errors
    /// `OfflineIndex`, or `Index` with every place that was tried.
    pub fn fetch_unknown(&self, location: &Location, limit: u64) -> Result<Vec<u8>, FetchError> {
        let wanted = FetchLocation::Location(location.clone());
        self.fetch_bytes(wanted, &location.to_string(), limit)
    }
}
