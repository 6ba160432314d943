//! What the fetcher is told by its caller: it reads neither environment nor configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::fetch::address::shown;

/// Says whether the network may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// Mirrors may be asked.
    Online,
    /// Nothing that could open a socket is made.
    Offline,
}

/// Which authorities may vouch for an `https:` mirror.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrustedRoots {
    /// Those of the host, from the first bundle found where distributions keep it.
    System,
    /// Those in this PEM file, and no others.
    Bundle(PathBuf),
}

/// How patient the fetcher is, and how much it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchLimits {
    /// Time that a connection may take to stand.
    pub connect_timeout: Duration,
    /// Time that may pass without a byte.
    pub idle_timeout: Duration,
    /// Time over which `minimum_rate` is measured.
    pub rate_window: Duration,
    /// Bytes per second, on average over each window, below which a mirror is given up.
    pub minimum_rate: u64,
    /// Further tries at one address after a lost connection, a time-out or a server's error.
    pub retries: u32,
    /// Wait before the first further try; it doubles with each. A server's own wish is ignored.
    pub backoff: Duration,
    /// Redirects that are followed from one address.
    pub redirects: u32,
    /// Files that are fetched at once.
    pub parallel: usize,
    /// Bytes that a file of unknown size may have.
    pub size_limit: u64,
}

impl FetchLimits {
    /// Returns the limits that fit the public internet.
    #[must_use]
    pub const fn standard() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(60),
            rate_window: Duration::from_secs(60),
            minimum_rate: 1024,
            retries: 2,
            backoff: Duration::from_millis(500),
            redirects: 5,
            parallel: 8,
            size_limit: 2 * 1024 * 1024 * 1024,
        }
    }
}

/// Everything that a fetcher is told.
#[derive(Clone, PartialEq, Eq)]
pub struct FetchSettings {
    /// Base addresses of distribution archives, in the order in which they are asked. They may carry
    /// credentials, which are never shown.
    pub archives: Vec<String>,
    /// Whether the network may be used.
    pub network: Network,
    /// Whom to trust behind `https:`.
    pub roots: TrustedRoots,
    /// How patient to be.
    pub limits: FetchLimits,
}

impl fmt::Debug for FetchSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let archives: Vec<_> = self.archives.iter().map(|text| shown(text)).collect();
        f.debug_struct("FetchSettings")
            .field("archives", &archives)
            .field("network", &self.network)
            .field("roots", &self.roots)
            .field("limits", &self.limits)
            .finish()
    }
}

impl FetchSettings {
    /// Returns settings with the host's trusted roots and the standard limits.
    #[must_use]
    pub const fn new(archives: Vec<String>, network: Network) -> Self {
        Self {
            archives,
            network,
            roots: TrustedRoots::System,
            limits: FetchLimits::standard(),
        }
    }
}
