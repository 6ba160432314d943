//! What the fetcher is told by its caller: it reads neither environment nor configuration.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use kiln_model::SourceMirror;

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

/// A proxy as it was given, and where: its text may hold credentials, which are never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ProxyAddress {
    /// `http://proxy.example:3128`; without a scheme, `http:` is meant.
    pub address: String,
    /// What messages call the place that it was given in: `HTTPS_PROXY`.
    pub origin: String,
}

impl fmt::Debug for ProxyAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (from {})", shown(&self.address), self.origin)
    }
}

/// Which proxies are gone through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProxySettings {
    /// The way to `http:` addresses.
    pub http: Option<ProxyAddress>,
    /// The way to `https:` addresses, by CONNECT.
    pub https: Option<ProxyAddress>,
    /// Hosts, domains, addresses and networks that are reached without; entries may be lists with
    /// commas, and `*` is everything.
    pub except: Vec<String>,
}

/// Where credentials for hosts are read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NetrcFile {
    /// Nowhere.
    #[default]
    None,
    /// From this file if there is one.
    IfThere(PathBuf),
    /// From this file, which must be there.
    At(PathBuf),
}

/// Says whether only mirrors may be asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Upstream {
    /// After all its mirrors, an address is asked itself.
    #[default]
    AfterMirrors,
    /// An address without a mirror can not be had.
    Never,
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
    /// Further tries at one address after a lost connection, a time-out or a server's error; one that
    /// brought a mebibyte or more is not counted.
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
    /// Mirrors of web addresses, by the start of the address.
    pub mirrors: Vec<SourceMirror>,
    /// Whether web addresses are asked themselves.
    pub upstream: Upstream,
    /// Whether the network may be used.
    pub network: Network,
    /// Proxies on the way.
    pub proxies: ProxySettings,
    /// Who we are at which host.
    pub netrc: NetrcFile,
    /// Whom to trust behind `https:`.
    pub roots: TrustedRoots,
    /// Trusted besides `roots`: a PEM file of a site's own authorities.
    pub more_roots: Option<PathBuf>,
    /// How patient to be.
    pub limits: FetchLimits,
}

impl fmt::Debug for FetchSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let archives: Vec<_> = self.archives.iter().map(|text| shown(text)).collect();
        f.debug_struct("FetchSettings")
            .field("archives", &archives)
            .field("mirrors", &self.mirrors)
            .field("upstream", &self.upstream)
            .field("network", &self.network)
            .field("proxies", &self.proxies)
            .field("netrc", &self.netrc)
            .field("roots", &self.roots)
            .field("more_roots", &self.more_roots)
            .field("limits", &self.limits)
            .finish()
    }
}

impl FetchSettings {
    /// Returns settings with the host's trusted roots and the standard limits; without mirrors,
    /// proxies and credentials.
    #[must_use]
    pub fn new(archives: Vec<String>, network: Network) -> Self {
        Self {
            archives,
            mirrors: Vec::new(),
            upstream: Upstream::AfterMirrors,
            network,
            proxies: ProxySettings::default(),
            netrc: NetrcFile::None,
            roots: TrustedRoots::System,
            more_roots: None,
            limits: FetchLimits::standard(),
        }
    }
}
