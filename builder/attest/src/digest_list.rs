//! One digest for several files: that of the list which `sha256sum` or `sha512sum` prints for them
//! (`kiln:hashes-of`).

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_files_have_the_digest_of_their_sorted_list() {
        let (a, b, sha512) = (Digest::of(b"a"), Digest::of(b"b"), Sha512::of(b"b"));
        let file_a = || ListedFile {
            name: "a",
            sha256: &a,
            sha512: None,
        };
        let file_b = || ListedFile {
            name: "b",
            sha256: &b,
            sha512: Some(&sha512),
        };
        let list = format!("{}  a\n{}  b\n", a.to_hex(), b.to_hex());
        assert_eq!(digest_list(&[]), None);
        assert_eq!(digest_list(&[file_b()]), Some((b, Some(sha512))));
        let expected = Some((Digest::of(list.as_bytes()), None));
        assert_eq!(digest_list(&[file_b(), file_a()]), expected);
    }
}
