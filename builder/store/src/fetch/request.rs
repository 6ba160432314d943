//! What is asked of the fetcher, and what it tells while it works.

use std::fmt;

use kiln_model::{Digest, GitLocation, Location, Submodules};

use crate::blob::BlobInfo;
use crate::fetch::error::AttemptError;

/// One place where a file may be had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FetchLocation {
    /// A recipe's address. `debian:` ones are tried at every archive.
    Location(Location),
    /// A commit, exported with or without its submodules.
    Git(GitLocation, Submodules),
    /// A path below an archive's root, tried at every archive: `pool/main/z/zlib/zlib1g_….deb`.
    ArchivePath(String),
}

impl fmt::Display for FetchLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Location(location) => location.fmt(f),
            Self::Git(location, _) => location.fmt(f),
            Self::ArchivePath(path) => write!(f, "archive path {path}"),
        }
    }
}

/// One pinned file that is to be in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// What messages call it: `zlib-1.3.1.tar.gz`.
    pub name: String,
    /// Where it may be had, tried in order.
    pub locations: Vec<FetchLocation>,
    /// The digest that its bytes must have.
    pub sha256: Digest,
    /// Its bytes, if they are known.
    pub size: Option<u64>,
}

/// Says where a blob was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchOrigin {
    /// It was in the store, and was verified.
    Store,
    /// It was fetched.
    Network {
        /// From this address, without credentials; where it redirected to is not kept.
        address: String,
    },
}

/// Hears how fetching goes. Calls never come at the same time, and in order for each name.
pub trait FetchProgress: Sync {
    /// So many files are missing and will be asked for; their bytes if all are known.
    fn planned(&self, files: usize, bytes: Option<u64>) {
        let _ = (files, bytes);
    }

    /// A file is being asked for at its first location.
    fn started(&self, name: &str, size: Option<u64>);

    /// `bytes` of the file are there, earlier runs' included; falls to 0 when it starts anew.
    fn advanced(&self, name: &str, bytes: u64);

    /// A location did not give the file; another may. `address` has no credentials.
    fn passed_over(&self, name: &str, address: &str, reason: &AttemptError) {
        let _ = (name, address, reason);
    }

    /// The file is in the store.
    fn finished(&self, name: &str, info: &BlobInfo, origin: FetchOrigin);
}

/// Hears nothing.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl FetchProgress for Silent {
    fn started(&self, _name: &str, _size: Option<u64>) {}
    fn advanced(&self, _name: &str, _bytes: u64) {}
    fn finished(&self, _name: &str, _info: &BlobInfo, _origin: FetchOrigin) {}
}
