//! Differences that another one brings with it: digests, sizes, build-ids, tables of addresses, what
//! libmagic says of a file. They are told, but they explain nothing and need no explanation.

use std::collections::BTreeSet;

use kiln_model::BUILDINFO_FOLDER;

use crate::difference::{Difference, Segment};
use crate::finder::Comparison;

/// Tags that are computed from the rest of the package.
const TAGS: [&str; 22] = [
    "PAYLOADDIGEST",
    "PAYLOADDIGESTALT",
    "PAYLOADSIZE",
    "PAYLOADSIZEALT",
    "PAYLOAD_SHA512",
    "PAYLOAD_SHA512_ALT",
    "PAYLOAD_SHA3_256",
    "PAYLOAD_SHA3_256_ALT",
    "PACKAGEDIGESTS",
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

/// Sections that hold addresses, offsets and names of what is elsewhere in the file.
const SECTIONS: [&str; 31] = [
    ".debug_abbrev",
    ".debug_addr",
    ".debug_aranges",
    ".debug_info",
    ".debug_line",
    ".debug_loc",
    ".debug_loclists",
    ".debug_names",
    ".debug_ranges",
    ".debug_rnglists",
    ".debug_str_offsets",
    ".eh_frame",
    ".eh_frame_hdr",
    ".fini_array",
    ".gdb_index",
    ".gnu.hash",
    ".gnu.version",
    ".gnu_debuglink",
    ".got",
    ".got.plt",
    ".hash",
    ".init_array",
    ".note.gnu.build-id",
    ".note.stapsdt",
    ".plt",
    ".plt.got",
    ".plt.sec",
    ".rela.dyn",
    ".rela.plt",
    ".shstrtab",
    ".strtab",
];

impl Difference {
    /// Returns whether it is of a kind that comes with any other difference in its neighbourhood: a
    /// digest, a size, a build-id, an index.
    #[must_use]
    pub fn follows(&self) -> bool {
        self.neighbourhood().is_some()
    }

    /// Returns the place within which another difference explains this one; `None` for one that stands
    /// for itself.
    fn neighbourhood(&self) -> Option<&[Segment]> {
        let last = self.place.last()?;
        let (kind, name) = (last.kind.as_str(), last.name.as_str());
        let parent = &self.place[..self.place.len() - 1];
        let is_build_id =
            |segment: &Segment| segment.kind == "file" && segment.name.contains("/.build-id");
        // Build information names what the build came to: destdirs by their digests.
        let is_build_information = |segment: &Segment| {
            matches!(segment.kind.as_str(), "file" | "member")
                && segment.name.contains(&BUILDINFO_FOLDER[1..])
        };
        let is_told_elsewhere =
            |segment: &Segment| is_build_id(segment) || is_build_information(segment);
        if self.place.iter().any(is_told_elsewhere) {
            return Some(&[]);
        }
        match kind {
            "tag" | "signature tag" if TAGS.contains(&name) => return Some(&[]),
            // Where a file has another digest, so has the package; what differs in it is told beside it.
            "field" if matches!(name, "class" | "digest" | "size") => return Some(parent),
            "table" => return Some(parent),
            _ => {}
        }
        let is_elf = |segment: &Segment| match segment.kind.as_str() {
            "section" => SECTIONS.contains(&segment.name.as_str()),
            "ELF header" => matches!(
                segment.name.as_str(),
                "entry" | "sections" | "program headers"
            ),
            "order" => segment.name == "symbols",
            "member" => segment.name == "(symbol index)",
            _ => false,
        };
        if let Some(at) = self.place.iter().position(is_elf) {
            return Some(&self.place[..at]);
        }
        let moved = self
            .place
            .iter()
            .position(|segment| segment.kind == "symbol table");
        moved.map(|at| &self.place[..at.saturating_sub(1)])
    }
}

/// Returns for each difference whether another one, that stands for itself, explains it.
pub(crate) fn explained(differences: &[Difference]) -> Vec<bool> {
    let mut places: BTreeSet<&[Segment]> = BTreeSet::new();
    for difference in differences
        .iter()
        .filter(|difference| !difference.follows())
    {
        places.extend((0..=difference.place.len()).map(|length| &difference.place[..length]));
    }
    let is_explained = |difference: &Difference| {
        difference
            .neighbourhood()
            .is_some_and(|place| places.contains(place))
    };
    differences.iter().map(is_explained).collect()
}

impl Comparison {
    /// Returns the differences with whether another one of them explains it: digests beside what they
    /// are digests of.
    pub fn explained(&self) -> impl Iterator<Item = (&Difference, bool)> {
        self.differences.iter().zip(explained(&self.differences))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::difference::Change;

    fn difference(place: &str) -> Difference {
        let segment = |text: &str| {
            let (kind, name) = text.split_once(' ').unwrap();
            Segment {
                kind: kind.to_owned(),
                name: name.to_owned(),
            }
        };
        Difference {
            place: place.split(" > ").map(segment).collect(),
            change: Change::OnlyLeft(String::new()),
        }
    }

    #[test]
    fn what_follows_has_something_to_follow_from() {
        let places = [
            "tag BUILDTIME",
            "tag SIZE",
            "file /a > section .rodata > byte 0x1",
            "file /a > section .debug_info > byte 0x1",
            "file /b > section .debug_info > byte 0x1",
            "file /a > field digest",
            "file /c > field digest",
            "file /usr/lib/.build-id/ab/cd",
        ];
        let differences: Vec<Difference> = places.iter().map(|place| difference(place)).collect();
        let expected = [false, true, false, true, false, true, false, true];
        assert_eq!(explained(&differences), expected);
        // Alone, what follows stands for itself.
        assert_eq!(explained(&differences[1..2]), [false]);
    }
}
