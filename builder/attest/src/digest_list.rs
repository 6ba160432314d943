//! One digest for several files: that of the list which `sha256sum` or `sha512sum` prints for them.

use kiln_model::{Digest, Sha512};

/// A file, as far as its digests matter.
pub(crate) struct ListedFile<'a> {
    pub(crate) name: &'a str,
    pub(crate) sha256: &'a Digest,
    pub(crate) sha512: Option<&'a Sha512>,
}

/// The digests of a set of files: of the file itself if it is one, else of the list of them, one
/// line `HEX  NAME` each, in the order of the names' bytes (`LC_ALL=C sha256sum * | sha256sum`).
pub(crate) fn digest_list(files: &[ListedFile<'_>]) -> Option<(Digest, Option<Sha512>)> {
    match files {
        [] => None,
        [one] => Some((*one.sha256, one.sha512.copied())),
        several => {
            let mut sorted: Vec<&ListedFile<'_>> = several.iter().collect();
            sorted.sort_by_key(|file| file.name);
            let list = |lines: Vec<String>| lines.concat().into_bytes();
            let line = |digits: String, name: &str| format!("{digits}  {name}\n");
            let sha256 = sorted
                .iter()
                .map(|file| line(file.sha256.to_hex(), file.name))
                .collect();
            let sha512: Option<Vec<String>> = sorted
                .iter()
                .map(|file| file.sha512.map(|sha512| line(sha512.to_hex(), file.name)))
                .collect();
            Some((
                Digest::of(&list(sha256)),
                sha512.map(|lines| Sha512::of(&list(lines))),
            ))
        }
    }
}
