//! A suite's package index: fetched, verified from the signature down to the text, parsed.

use std::io::Read;

use kiln_model::{Architecture, ArchiveBase, Digest, LockedArchive};
use kiln_store::{FetchLocation, FetchProgress, FetchRequest, Fetcher, Store};

use super::LockBaseError;
use crate::compression::decompress;
use crate::debian::{PackageIndex, ReleaseExpectation, VerifiedRelease, verify_in_release};
use crate::limits::UnpackLimits;

/// Greatest size of an `InRelease`, in bytes: Debian's have 150 KiB.
const RELEASE_LIMIT: u64 = 16 << 20;

/// Limits of a decompressed package index: Debian's main has 50 MB.
const INDEX_LIMITS: UnpackLimits = UnpackLimits {
    entries: 0,
    bytes: 1 << 30,
    ratio: 1000,
};

/// What to read an index with.
pub(super) struct IndexRequest<'a> {
    pub store: &'a Store,
    pub fetcher: &'a Fetcher,
    pub archive: &'a ArchiveBase,
    pub keys: &'a [Vec<u8>],
    pub architecture: Architecture,
    /// An earlier lock, whose `InRelease` is used if the store still has it.
    pub known: Option<&'a LockedArchive>,
    pub progress: &'a dyn FetchProgress,
}

/// The index and what pins it.
pub(super) struct Index {
    pub index: PackageIndex,
    pub locked: LockedArchive,
}

/// Fetches and verifies the index of a suite.
pub(super) fn fetch_index(request: &IndexRequest<'_>) -> Result<Index, LockBaseError> {
    let suite = &request.archive.suite;
    let release_path = format!("dists/{suite}/InRelease");
    let bytes = release_bytes(request, &release_path)?;
    let expectation = ReleaseExpectation {
        suite: suite.clone(),
        release: request.archive.release.clone(),
    };
    let release = verify_in_release(&bytes, request.keys, &expectation).map_err(|source| {
        LockBaseError::Release {
            path: release_path.clone(),
            source,
        }
    })?;
    // Kept, so that a recipe's tools can be chosen from the same index later.
    request.store.write_blob(&bytes)?;
    let (text, packages_index) = fetch_packages_file(request, &release_path, &release)?;
    let name = index_name(request.architecture);
    let index = PackageIndex::parse(&text, request.architecture).map_err(|source| {
        LockBaseError::Index {
            path: format!("dists/{suite}/{name}"),
            source,
        }
    })?;
    let locked = LockedArchive {
        distribution: "debian".to_owned(),
        suite: suite.clone(),
        release: release.version,
        date: release.date,
        in_release: release.in_release,
        packages_index,
        key: release.fingerprint,
    };
    Ok(Index { index, locked })
}

fn index_name(architecture: Architecture) -> String {
    format!("main/binary-{}/Packages", architecture.debian())
}

fn release_bytes(request: &IndexRequest<'_>, path: &str) -> Result<Vec<u8>, LockBaseError> {
    if let Some(known) = request.known
        && request.store.is_whole(&known.in_release)
    {
        return Ok(request.store.read_blob(&known.in_release)?);
    }
    Ok(request.fetcher.fetch_unpinned(path, RELEASE_LIMIT)?)
}

/// Returns the text of the package index and its digest.
fn fetch_packages_file(
    request: &IndexRequest<'_>,
    release_path: &str,
    release: &VerifiedRelease,
) -> Result<(String, Digest), LockBaseError> {
    let suite = &request.archive.suite;
    let plain = index_name(request.architecture);
    let compressed = format!("{plain}.xz");
    let entry = |name: &str| {
        let entry = release.files.get(name).copied();
        entry.ok_or_else(|| LockBaseError::NoIndex {
            path: release_path.to_owned(),
            index: name.to_owned(),
        })
    };
    let (sha256, size) = entry(&compressed)?;
    let (expected, _) = entry(&plain)?;
    let path = format!("dists/{suite}/{compressed}");
    let folder = plain.strip_suffix("Packages").unwrap_or_default();
    let by_digest = format!("dists/{suite}/{folder}by-hash/SHA256/{}", sha256.to_hex());
    request.fetcher.fetch_all(
        &[FetchRequest {
            name: format!("{suite} Packages.xz"),
            // By digest first: the plain path changes under a running update of the mirror.
            locations: vec![
                FetchLocation::ArchivePath(by_digest),
                FetchLocation::ArchivePath(path.clone()),
            ],
            sha256,
            size: Some(size),
        }],
        request.progress,
    )?;
    let mut file = request.store.open_blob(&sha256)?;
    let mut bytes = Vec::new();
    decompress(&mut file, INDEX_LIMITS)
        .and_then(|(_, mut stream)| stream.read_to_end(&mut bytes))
        .map_err(|source| LockBaseError::Decompress {
            path: path.clone(),
            source,
        })?;
    let actual = Digest::of(&bytes);
    if actual != expected {
        return Err(LockBaseError::IndexDigest {
            path,
            expected,
            actual,
        });
    }
    let text = String::from_utf8(bytes).map_err(|error| LockBaseError::IndexText {
        path,
        offset: error.utf8_error().valid_up_to(),
    })?;
    Ok((text, actual))
}
