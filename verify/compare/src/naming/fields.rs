//! What a place alone says: the field of an archive's member, the tag of a package.

use super::{Candidate, Strength};
use crate::cause::Cause;
use crate::difference::Difference;

/// Tags that hold signatures.
const SIGNATURES: [&str; 7] = [
    "DSAHEADER",
    "RSAHEADER",
    "SIGPGP",
    "SIGGPG",
    "SIGPGP5",
    "OPENPGP",
    "PUBKEYS",
];

/// Returns what the place of a difference speaks for.
pub(super) fn candidates(difference: &Difference) -> Vec<Candidate> {
    let certain =
        |cause, evidence: String| vec![Candidate::new(cause, Strength::Certain, evidence)];
    let Some(last) = difference.place.last() else {
        return Vec::new();
    };
    let parent = difference
        .place
        .len()
        .checked_sub(2)
        .and_then(|at| difference.place.get(at));
    let name = last.name.as_str();
    match last.kind.as_str() {
        "compression" => certain(
            Cause::Compression,
            format!("the same content was compressed by {name} to other bytes"),
        ),
        "signature tag" if SIGNATURES.contains(&name) => {
            certain(Cause::Signature, format!("{name} is a signature"))
        }
        "tag" => tag(name),
        "item" if parent.is_some_and(|parent| parent.name.starts_with("CHANGELOG")) => Vec::new(),
        "field" => {
            let is_in = |kind: &str| parent.is_some_and(|parent| parent.kind == kind);
            let what = parent.map_or_else(String::new, ToString::to_string);
            if is_in("in") {
                stream(name, &what)
            } else if is_in("member") || is_in("field") {
                member(name, &what)
            } else if is_in("file") {
                file(name, &what)
            } else {
                Vec::new()
            }
        }
        _ => Vec::new(),
    }
}

fn tag(name: &str) -> Vec<Candidate> {
    let (cause, strength, evidence) = match name {
        "BUILDTIME" => (
            Cause::Timestamp,
            Strength::Certain,
            "BUILDTIME is when the package was built",
        ),
        "BUILDHOST" => (
            Cause::HostName,
            Strength::Certain,
            "BUILDHOST is where the package was built",
        ),
        "PAYLOADCOMPRESSOR" | "PAYLOADFLAGS" => (
            Cause::Compression,
            Strength::Certain,
            "the payloads were compressed with other settings",
        ),
        "PLATFORM" | "OPTFLAGS" => (
            Cause::Cpu,
            Strength::Possible,
            "the packages were built for other processors",
        ),
        _ => return Vec::new(),
    };
    vec![Candidate::new(cause, strength, evidence)]
}

/// What a compressed stream says of itself.
fn stream(field: &str, what: &str) -> Vec<Candidate> {
    let (cause, evidence) = match field {
        "mtime" => (Cause::Timestamp, format!("the time in the header {what}")),
        "name" | "comment" => (
            Cause::ArchiveMetadata,
            format!("the {field} in the header {what}"),
        ),
        _ => (
            Cause::Compression,
            format!("the {field} in the header {what}"),
        ),
    };
    vec![Candidate::new(cause, Strength::Certain, evidence)]
}

/// What an archive says of its members.
fn member(field: &str, what: &str) -> Vec<Candidate> {
    let second = match field {
        field if field.ends_with("time") => Some(Cause::Timestamp),
        "uid" | "gid" | "user" | "group" | "pax uid" | "pax gid" | "pax user" | "pax group" => {
            Some(Cause::User)
        }
        "mode" | "attributes" => Some(Cause::Environment),
        "inode" | "device" | "links" | "device number" | "format" | "made by" | "extra"
        | "pax other" | "pax comment" => None,
        "method" => {
            return vec![Candidate::new(
                Cause::Compression,
                Strength::Certain,
                format!("how {what} is compressed"),
            )];
        }
        _ => return Vec::new(),
    };
    let evidence = format!("the archive keeps the {field} of {what}");
    let mut found = vec![Candidate::new(
        Cause::ArchiveMetadata,
        Strength::Certain,
        evidence.clone(),
    )];
    found.extend(second.map(|cause| Candidate::new(cause, Strength::Possible, evidence)));
    found
}

/// What a package or a file system says of a file.
fn file(field: &str, what: &str) -> Vec<Candidate> {
    let (cause, strength, evidence) = match field {
        "mtime" => (
            Cause::Timestamp,
            Strength::Certain,
            format!("{what} has the time at which it was made"),
        ),
        "owner" | "group" => (
            Cause::User,
            Strength::Likely,
            format!("{what} belongs to another {field}"),
        ),
        "mode" => (
            Cause::Environment,
            Strength::Possible,
            format!("{what} has another mode, as another umask makes it"),
        ),
        "inode" | "device" => (
            Cause::ArchiveMetadata,
            Strength::Certain,
            format!("the package keeps the {field} of {what}"),
        ),
        _ => return Vec::new(),
    };
    vec![Candidate::new(cause, strength, evidence)]
}
