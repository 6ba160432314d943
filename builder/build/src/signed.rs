//! What was signed, and what came of it: so that a build puts the signed form where the unsigned one
//! would go, and a repository that is made again has its signature again.
//!
//! One record per subject: the content of a package (header and payload), or a `repomd.xml`. The last
//! signature counts.

use std::path::PathBuf;

use kiln_model::{Digest, Fingerprint};
use kiln_store::{ArtifactKind, NewResult, Part, Store, media_type};
use serde::{Deserialize, Serialize};

use crate::error::BuildError;

/// The format of the record.
const SIGNED_FORMAT: u32 = 1;

/// What was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The header and payload of a package.
    Package(Digest),
    /// The bytes of a `repomd.xml`.
    Repository(Digest),
}

/// What came of signing one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Signed {
    format: u32,
    /// The primary key.
    pub(crate) fingerprint: Fingerprint,
    /// The files that go into `out/`: the signed package, or the signature and its `.repo` file and key.
    pub(crate) files: Vec<SignedFile>,
}

/// One file in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct SignedFile {
    /// Relative to `out/`.
    pub(crate) path: PathBuf,
    pub(crate) sha256: Digest,
    /// Bytes.
    pub(crate) size: u64,
}

impl Subject {
    fn key(self) -> Digest {
        let text = match self {
            Self::Package(content) => format!("signed package {content}"),
            Self::Repository(repomd) => format!("signed repository {repomd}"),
        };
        Digest::of(text.as_bytes())
    }

    /// Returns whose signature it is, in a list of results.
    fn label(self) -> String {
        match self {
            Self::Package(content) => format!("package-{}", content.to_hex()),
            Self::Repository(repomd) => format!("repository-{}", repomd.to_hex()),
        }
    }

    /// Returns what came of signing it, if the store has all of that.
    pub(crate) fn signed(self, store: &Store) -> Result<Option<Signed>, BuildError> {
        let bytes = store.result(&self.key())?;
        let signed = bytes.and_then(|bytes| serde_json::from_slice::<Signed>(&bytes).ok());
        let is_whole = |signed: &Signed| {
            let mut files = signed.files.iter();
            signed.format == SIGNED_FORMAT && files.all(|file| store.is_whole(&file.sha256))
        };
        Ok(signed.filter(is_whole))
    }

    /// Keeps what came of signing it.
    pub(crate) fn record(
        self,
        store: &Store,
        fingerprint: &Fingerprint,
        files: Vec<(PathBuf, Vec<u8>)>,
    ) -> Result<Signed, BuildError> {
        let mut signed = Signed {
            format: SIGNED_FORMAT,
            fingerprint: fingerprint.clone(),
            files: Vec::new(),
        };
        for (path, bytes) in files {
            signed.files.push(SignedFile {
                path,
                sha256: store.write_part(&bytes)?,
                size: bytes.len() as u64,
            });
        }
        let parts = signed.files.iter().map(|file| Part {
            digest: file.sha256,
            size: file.size,
            media_type: media_type::BYTES,
            title: file.path.to_string_lossy().into_owned(),
        });
        let value = serde_json::to_vec(&signed).expect("texts and numbers");
        store.record_result(&NewResult {
            key: &self.key(),
            kind: ArtifactKind::Signature,
            label: &self.label(),
            value: &value,
            parts: &parts.collect::<Vec<_>>(),
        })?;
        Ok(signed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_is_found_as_long_as_all_of_it_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let content = Digest::of(b"content");
        let subject = Subject::Package(content);
        assert_eq!(subject.signed(&store).unwrap(), None);
        let fingerprint: Fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
        let files = vec![(PathBuf::from("rpms/x86_64/x.rpm"), b"signed".to_vec())];
        let signed = subject.record(&store, &fingerprint, files).unwrap();
        assert_eq!(subject.signed(&store).unwrap(), Some(signed.clone()));
        assert_eq!(Subject::Repository(content).signed(&store).unwrap(), None);
        // Another key's signature takes its place.
        let other: Fingerprint = "FF23456789ABCDEF0123456789ABCDEF01234567".parse().unwrap();
        subject.record(&store, &other, Vec::new()).unwrap();
        assert_eq!(subject.signed(&store).unwrap().unwrap().fingerprint, other);
        let files = vec![(PathBuf::from("rpms/x86_64/x.rpm"), b"signed".to_vec())];
        assert_eq!(subject.record(&store, &fingerprint, files).unwrap(), signed);
        fs_err::remove_file(store.blob_path(&signed.files[0].sha256)).unwrap();
        assert_eq!(subject.signed(&store).unwrap(), None, "its bytes are gone");
    }
}
