//! What hangs on what: from a digest that is needed to everything that it names.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use kiln_model::Digest;
use rustix::fs::{Mode, OFlags};

use crate::artifact::MANIFEST_LIMIT;

/// Hexadecimal digits of a sha256.
const DIGITS: usize = 64;

/// Adds to `marked` the digests `from` and all that documents among them name, and so on.
///
/// A document is a blob of JSON that OCI knows: a manifest, an index or an image's configuration. Every
/// digest in one counts, whatever it is said to be: rather a blob too many is kept than one too few.
pub(crate) fn mark(store: &Path, from: impl IntoIterator<Item = Digest>, marked: &mut Marked) {
    let mut open: Vec<Digest> = from.into_iter().collect();
    while let Some(digest) = open.pop() {
        if !marked.0.insert(digest) {
            continue;
        }
        let path = store.join("blobs/sha256").join(digest.to_hex());
        if let Some(text) = read_document(&path) {
            open.extend(digests_in(&text));
        }
    }
}

/// Everything that is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marked(BTreeSet<Digest>);

impl Marked {
    pub(crate) fn contains(&self, digest: &Digest) -> bool {
        self.0.contains(digest)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Digest> {
        self.0.iter()
    }
}

/// Returns the text of a document that names other blobs.
fn read_document(path: &Path) -> Option<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    let found = file.metadata().ok()?;
    if !found.is_file() || found.len() > MANIFEST_LIMIT {
        return None;
    }
    let mut first = [0];
    if file.read(&mut first).ok()? == 0 || first[0] != b'{' {
        return None;
    }
    let mut text = first.to_vec();
    file.read_to_end(&mut text).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let is_document = ["schemaVersion", "rootfs"]
        .iter()
        .any(|key| value.get(key).is_some());
    is_document.then_some(text)
}

/// Returns everything in a text that looks like a sha256: 64 lower-case hexadecimal digits, with none
/// before and after them.
#[must_use]
pub fn digests_in(text: &[u8]) -> BTreeSet<Digest> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.split(|byte| !is_digit(byte))
        .filter(|run| run.len() == DIGITS)
        .filter_map(|run| Digest::from_hex(str::from_utf8(run).ok()?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Store;

    #[test]
    fn digests_are_found_wherever_they_stand() {
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        let text = format!(
            "a \"{one}\": {},\nsha512:{two}{}",
            two.to_hex(),
            two.to_hex()
        );
        assert_eq!(digests_in(text.as_bytes()), [one, two].into());
        assert_eq!(digests_in(&one.to_hex().as_bytes()[1..]), BTreeSet::new());
    }

    #[test]
    fn documents_lead_on_and_other_blobs_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let write = |text: String| store.write_blob(text.as_bytes()).unwrap();
        let leaf = write("leaf".to_owned());
        let beyond = write(format!("{{\"names\":\"{leaf}\"}}"));
        let config = write(format!("{{\"rootfs\":{{\"diff_ids\":[\"{leaf}\"]}}}}"));
        let manifest = write(format!(
            "{{\"schemaVersion\":2,\"config\":\"{config}\",\"layers\":[\"{beyond}\"]}}"
        ));
        let index = write(format!(
            "{{\"schemaVersion\":2,\"manifests\":[\"{manifest}\"]}}"
        ));
        let reached = |from: Digest| {
            let mut marked = Marked::default();
            mark(store.root(), [from], &mut marked);
            marked.iter().copied().collect::<BTreeSet<_>>()
        };
        assert_eq!(
            reached(index),
            [index, manifest, config, beyond, leaf].into()
        );
        assert_eq!(reached(beyond), [beyond].into());
        let absent = Digest::of(b"absent");
        assert_eq!(reached(absent), [absent].into());
    }
}
