//! Differences that another one brings with it: digests, sizes, build-ids, what libmagic says of a file.
//! They are told, but they explain nothing and need no explanation.

use crate::difference::Difference;

/// Tags that are computed from the rest of the package.
const TAGS: [&str; 17] = [
    "PAYLOADDIGEST",
    "PAYLOADDIGESTALT",
    "PAYLOADSIZE",
    "PAYLOADSIZEALT",
    "SIZE",
    "LONGSIZE",
    "ARCHIVESIZE",
    "SHA1HEADER",
    "SHA256HEADER",
    "SHA3_256HEADER",
    "SIGSIZE",
    "LONGSIGSIZE",
    "SIGMD5",
    "SIGPAYLOADSIZE",
    "LONGARCHIVESIZE",
    "RESERVEDSPACE",
    "SOURCESIGMD5",
];

impl Difference {
    /// Returns whether it comes with any other difference nearby: a digest, a size, a build-id, an index.
    #[must_use]
    pub fn follows(&self) -> bool {
        let last = self.place.last();
        let is_within = |kind: &str, name: &str| {
            self.place
                .iter()
                .any(|segment| segment.kind == kind && segment.name == name)
        };
        if let Some(last) = last {
            let (kind, name) = (last.kind.as_str(), last.name.as_str());
            match kind {
                "tag" | "signature tag" if TAGS.contains(&name) => return true,
                "field" if matches!(name, "class" | "digest" | "size") => return true,
                "note" if name == "build-id" => return true,
                "table" | "symbol table" => return true,
                "file" if name.contains("/.build-id/") || name.contains("/.build-id") => {
                    return true;
                }
                "ELF header" if name == "entry" => return true,
                _ => {}
            }
        }
        is_within("section", ".gnu_debuglink")
            || is_within("section", ".note.gnu.build-id")
            || is_within("member", "(symbol index)")
            || self
                .place
                .iter()
                .any(|segment| segment.kind == "file" && segment.name.contains("/.build-id/"))
    }
}
