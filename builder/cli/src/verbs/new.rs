//! `kiln new`: a first recipe for a tarball, to be filled in by people.

use std::io::Read as _;
use std::path::Path;

use kiln_build::{Draft, DraftRequest, draft};
use kiln_model::{Digest, Location};

use crate::arguments::{Common, New};
use crate::failure::Failure;
use crate::print::{line, note};
use crate::session;

/// Most bytes that are read of a tarball.
const MOST_BYTES: u64 = 512 << 20;

/// Drafts a recipe from a file or an address.
pub fn run(common: &Common, new: &New) -> Result<u8, Failure> {
    let root = session::root(common)?;
    let is_address = ["https://", "http://", "debian:"]
        .iter()
        .any(|scheme| new.tarball.starts_with(scheme));
    let location = if is_address {
        let parsed = new.tarball.parse::<Location>();
        Some(parsed.map_err(|error| Failure::host(error.into()))?)
    } else {
        None
    };
    let file_name = match &location {
        Some(location) => location.file_name().to_owned(),
        None => file_name(&new.tarball),
    };
    let bytes = bytes(common, new, location.as_ref())?;
    let sha256 = Digest::of(&bytes);
    let request = DraftRequest {
        root: &root,
        name: new.name.as_deref(),
        version: new.upstream_version.as_deref(),
        base: common.chosen_base(),
        file_name: &file_name,
        location: location.as_ref(),
        sha256,
    };
    let drafted = draft(&request, &mut bytes.as_slice()).map_err(|error| Failure::draft(&error))?;
    if !common.quiet {
        tell(&drafted, sha256, location.as_ref());
    }
    Ok(0)
}

/// Reads the tarball, whole: its digest is needed before anything of it is written down.
fn bytes(common: &Common, new: &New, location: Option<&Location>) -> Result<Vec<u8>, Failure> {
    if let Some(location) = location {
        if !common.quiet {
            note(&format!("fetching {location}"));
        }
        let fetched = session::fetcher(common)?.fetch_unknown(location, MOST_BYTES);
        return fetched.map_err(|error| Failure::host(error.into()));
    }
    let path = Path::new(&new.tarball);
    let failed = |error: std::io::Error| Failure::host(error.into());
    let refused = |reason: &str| {
        let shown = path.display();
        failed(std::io::Error::other(format!("`{shown}` {reason}")))
    };
    // A FIFO or device could be read for ever.
    if !fs_err::metadata(path).map_err(failed)?.is_file() {
        return Err(refused("is no regular file"));
    }
    let file = fs_err::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(refused(&format!("has more than {MOST_BYTES} bytes")));
    }
    Ok(bytes)
}

fn file_name(path: &str) -> String {
    let name = Path::new(path).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn tell(drafted: &Draft, sha256: Digest, location: Option<&Location>) {
    let (name, file) = (&drafted.name, drafted.file.display());
    line(&format!("drafted {file}"));
    if location.is_some() {
        line(&format!(
            "  {sha256}\n  is what came from there today: compare it with what upstream publishes"
        ));
    }
    if !drafted.open.is_empty() {
        line(&format!("  fill in   {}", drafted.open.join(", ")));
    }
    line(&format!(
        "then: kiln check, kiln lock {name}, kiln build {name}"
    ));
}
