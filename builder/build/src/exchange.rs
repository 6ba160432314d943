//! Signing with a key that is elsewhere: a request goes there, a response comes back.
//!
//! Both are tar archives, so that plain tar and gpg are enough on the other side:
//!
//! ```text
//! request    request.json            format, fingerprint, and of each thing: name, file, digest, time
//!            to-sign/0001, 0002, …   the bytes that each signature covers
//! response   signatures/0001.sig, …  one detached signature each, binary or armoured
//! ```
//!
//! The same things to sign give the same bytes. A response is foreign: only files with these names are
//! read, and each signature is verified before it is used.

use std::collections::BTreeMap;
use std::io::Read as _;

use kiln_model::{Digest, Fingerprint, SourceDateEpoch};
use kiln_rpm::SigningKey;
use serde::{Deserialize, Serialize};

use crate::sign::{SignError, ToSign};

/// The version of the request.
const REQUEST_FORMAT: u32 = 1;
/// Most bytes of one thing to sign: a header; rpm's own limit is 256 MiB.
const MAX_ITEM: u64 = 256 << 20;
/// Most bytes of one signature.
const MAX_SIGNATURE: u64 = 64 << 10;
/// Most files of an archive.
const MAX_FILES: usize = 100_000;

const REQUEST: &str = "signing request";
const RESPONSE: &str = "signing response";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RequestIndex {
    format: u32,
    fingerprint: Fingerprint,
    items: Vec<RequestItem>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
struct RequestItem {
    /// Its place in `out/`.
    name: String,
    /// Its file in the request.
    file: String,
    sha256: Digest,
    /// What the signature should state: seconds since 1970.
    time: u32,
}

/// What a request asks for.
#[derive(Debug)]
pub struct SigningRequest {
    /// The key that is to sign.
    pub fingerprint: Fingerprint,
    items: Vec<ToSign>,
}

fn wrong(kind: &'static str, reason: impl ToString) -> SignError {
    let reason = reason.to_string();
    SignError::Exchange { kind, reason }
}

/// Writes a request.
#[must_use]
pub fn write_request(fingerprint: &Fingerprint, items: &[ToSign]) -> Vec<u8> {
    let file = |number: usize| format!("to-sign/{:04}", number + 1);
    let described = items.iter().enumerate().map(|(number, item)| RequestItem {
        name: item.name.clone(),
        file: file(number),
        sha256: Digest::of(&item.data),
        time: item.time.seconds(),
    });
    let index = RequestIndex {
        format: REQUEST_FORMAT,
        fingerprint: fingerprint.clone(),
        items: described.collect(),
    };
    let mut text = serde_json::to_vec_pretty(&index).expect("texts and numbers");
    text.push(b'\n');
    let files = items.iter().enumerate();
    let files = files.map(|(number, item)| (file(number), item.data.as_slice()));
    archive(
        [("request.json".to_owned(), text.as_slice())]
            .into_iter()
            .chain(files),
    )
}

fn archive<'a>(files: impl Iterator<Item = (String, &'a [u8])>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        tar.append_data(&mut header, path, bytes)
            .expect("short names and memory");
    }
    tar.into_inner().expect("memory")
}

/// Reads the regular files of an archive by name.
fn files(
    bytes: &[u8],
    kind: &'static str,
    limit: u64,
) -> Result<BTreeMap<String, Vec<u8>>, SignError> {
    let mut files = BTreeMap::new();
    let mut tar = tar::Archive::new(bytes);
    for entry in tar.entries().map_err(|error| wrong(kind, error))? {
        let mut entry = entry.map_err(|error| wrong(kind, error))?;
        if entry.header().entry_type().is_dir() {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let name = name.trim_start_matches("./").to_owned();
        if !entry.header().entry_type().is_file() {
            return Err(wrong(kind, format!("`{}` is no file", name.escape_debug())));
        }
        if entry.size() > limit || files.len() >= MAX_FILES {
            return Err(wrong(
                kind,
                format!("`{}` is too much", name.escape_debug()),
            ));
        }
        let mut content = Vec::new();
        entry
            .read_to_end(&mut content)
            .map_err(|error| wrong(kind, error))?;
        files.insert(name, content);
    }
    Ok(files)
}

impl SigningRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// `Exchange`: it is none, it is of a newer kiln, or its files are not those that it names.
    pub fn parse(bytes: &[u8]) -> Result<Self, SignError> {
        let mut files = files(bytes, REQUEST, MAX_ITEM)?;
        let index = files.remove("request.json");
        let index = index.ok_or_else(|| wrong(REQUEST, "it has no `request.json`"))?;
        let index: RequestIndex =
            serde_json::from_slice(&index).map_err(|error| wrong(REQUEST, error))?;
        if index.format > REQUEST_FORMAT {
            let actual = index.format;
            let reason = format!("it has format {actual}; this kiln reads up to {REQUEST_FORMAT}");
            return Err(wrong(REQUEST, reason));
        }
        let mut items = Vec::new();
        for item in index.items {
            let data = files.remove(&item.file);
            let data = data.ok_or_else(|| wrong(REQUEST, format!("`{}` is missing", item.file)))?;
            let actual = Digest::of(&data);
            if actual != item.sha256 {
                let (file, expected) = (item.file, item.sha256);
                let reason = format!("`{file}` is damaged: expected {expected}, actual {actual}");
                return Err(wrong(REQUEST, reason));
            }
            items.push(ToSign {
                name: item.name,
                data,
                time: SourceDateEpoch::from_seconds(item.time),
            });
        }
        Ok(Self {
            fingerprint: index.fingerprint,
            items,
        })
    }

    /// Returns the names of what is to be signed.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.items.iter().map(|item| item.name.as_str())
    }

    /// Signs everything that is asked for, and writes the response.
    ///
    /// # Errors
    /// `Key`.
    pub fn respond(&self, key: &SigningKey) -> Result<Vec<u8>, SignError> {
        let mut signatures = Vec::new();
        for (number, item) in self.items.iter().enumerate() {
            let signature = key.sign(&item.data, item.time)?;
            let name = format!("signatures/{:04}.sig", number + 1);
            signatures.push((name, signature.packet().to_vec()));
        }
        let files = signatures.iter();
        Ok(archive(
            files.map(|(name, bytes)| (name.clone(), bytes.as_slice())),
        ))
    }
}

/// Reads a response to the things that were to be signed; returns the signatures by their names.
///
/// # Errors
/// `Exchange`.
pub fn read_response(
    bytes: &[u8],
    items: &[ToSign],
) -> Result<BTreeMap<String, Vec<u8>>, SignError> {
    let mut files = files(bytes, RESPONSE, MAX_SIGNATURE)?;
    let mut signatures = BTreeMap::new();
    for (number, item) in items.iter().enumerate() {
        let number = number + 1;
        let names = ["sig", "asc"].map(|end| format!("signatures/{number:04}.{end}"));
        if let Some(found) = names.iter().find_map(|name| files.remove(name)) {
            signatures.insert(item.name.clone(), found);
        }
    }
    if let Some(name) = files.keys().next() {
        let name = name.escape_debug();
        return Err(wrong(
            RESPONSE,
            format!("nothing was asked for that `{name}` would be"),
        ));
    }
    if signatures.is_empty() {
        return Err(wrong(RESPONSE, "it has no signatures"));
    }
    Ok(signatures)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items() -> Vec<ToSign> {
        [
            ("rpms/x86_64/a.rpm", "header"),
            ("rpms/repodata/repomd.xml", "index"),
        ]
        .map(|(name, data)| ToSign {
            name: name.to_owned(),
            data: data.as_bytes().to_vec(),
            time: SourceDateEpoch::from_seconds(5),
        })
        .into()
    }

    fn pinned() -> Fingerprint {
        "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap()
    }

    fn reason<T: std::fmt::Debug>(result: Result<T, SignError>) -> String {
        match result.unwrap_err() {
            SignError::Exchange { kind, reason } => format!("{kind}: {reason}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_reads_as_it_was_written() {
        let request = write_request(&pinned(), &items());
        assert_eq!(request, write_request(&pinned(), &items()));
        let read = SigningRequest::parse(&request).unwrap();
        assert_eq!((read.fingerprint, read.items), (pinned(), items()));
    }

    #[test]
    fn damaged_and_foreign_archives_are_refused() {
        let request = write_request(&pinned(), &items());
        let at = request
            .windows(6)
            .rposition(|bytes| bytes == b"header")
            .unwrap();
        let mut damaged = request.clone();
        damaged[at] = b'H';
        assert!(reason(SigningRequest::parse(&damaged)).contains("`to-sign/0001` is damaged"));
        assert!(reason(SigningRequest::parse(b"")).contains("no `request.json`"));
        assert!(reason(SigningRequest::parse(&[7; 2000])).starts_with("signing request: "));
        assert!(reason(SigningRequest::parse(&request[..700])).starts_with("signing request: "));
        let check = |files: &[(&str, &[u8])], expected: &str| {
            let files = files
                .iter()
                .map(|(name, bytes)| ((*name).to_owned(), *bytes));
            let found = reason(read_response(&archive(files), &items()));
            assert_eq!(found, format!("signing response: {expected}"));
        };
        check(&[], "it has no signatures");
        let sig = ("signatures/0001.sig", &b"s"[..]);
        let other = "nothing was asked for that `signatures/0003.sig` would be";
        check(&[sig, ("signatures/0003.sig", b"s")], other);
        let large = vec![0; 70_000];
        check(
            &[("signatures/0001.sig", &large)],
            "`signatures/0001.sig` is too much",
        );
        let mut link = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        link.append_link(&mut header, "signatures/0001.sig", "/etc/passwd")
            .unwrap();
        let found = reason(read_response(&link.into_inner().unwrap(), &items()));
        assert_eq!(found, "signing response: `signatures/0001.sig` is no file");
    }

    #[test]
    fn a_response_may_have_some_signatures_only() {
        let files = [("signatures/0002.asc".to_owned(), &b"s"[..])];
        let found = read_response(&archive(files.into_iter()), &items()).unwrap();
        assert_eq!(
            found,
            [("rpms/repodata/repomd.xml".to_owned(), b"s".to_vec())].into()
        );
    }
}
