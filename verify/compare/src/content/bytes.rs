//! Bytes without a format: where they differ, as text where it is text and as hexadecimal otherwise.

use crate::difference::Change;
use crate::finder::Finder;
use crate::printable::{around, common_prefix, common_suffix, hex};

/// Equal bytes between two differing ones that still make them one place.
const GAP: usize = 8;

/// Bytes of a place that are shown as hexadecimal.
const SHOWN: usize = 24;

/// Characters that make a text of what could be chance.
const SHORTEST_TEXT: usize = 4;

/// A stretch of two equally long pieces of content that differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Tells where bytes differ.
pub(crate) fn compare_bytes(finder: &mut Finder, left: &[u8], right: &[u8]) {
    if left.len() == right.len() {
        let (regions, more) = regions(left, right, finder.effort().per_leaf);
        for Region { start, end } in regions {
            let (left, right) = excerpts(left, right, start, end, end);
            finder.value("byte", &format!("{start:#x}"), &left, &right);
        }
        if more > 0 {
            finder.note(format!("{more} more places of these bytes differ"));
        }
        return;
    }
    let sizes = [left, right].map(|bytes| format!("{} bytes", bytes.len()));
    finder.value("field", "size", &sizes[0], &sizes[1]);
    let start = common_prefix(left, right);
    let suffix = common_suffix(left, right, start);
    let (left_end, right_end) = (left.len() - suffix, right.len() - suffix);
    finder.within("byte", &format!("{start:#x}"), |finder| {
        let only = |bytes: &[u8]| {
            let shown = hex(&bytes[..bytes.len().min(SHOWN)]);
            format!("{} bytes: {shown}", bytes.len())
        };
        finder.add(if start == right_end {
            Change::OnlyLeft(only(&left[start..left_end]))
        } else if start == left_end {
            Change::OnlyRight(only(&right[start..right_end]))
        } else {
            let (left, right) = excerpts(left, right, start, left_end, right_end);
            Change::Value { left, right }
        });
    });
}

/// Returns the first places in which equally long pieces differ, and how many more there are.
pub(super) fn regions(left: &[u8], right: &[u8], most: usize) -> (Vec<Region>, usize) {
    const BLOCK: usize = 4096;
    let mut found: Vec<Region> = Vec::new();
    let (mut more, mut last_end) = (0, None::<usize>);
    for (block, (left, right)) in left.chunks(BLOCK).zip(right.chunks(BLOCK)).enumerate() {
        if left == right {
            continue;
        }
        for (at, _) in left
            .iter()
            .zip(right)
            .enumerate()
            .filter(|(_, (l, r))| l != r)
        {
            let at = block * BLOCK + at;
            if last_end.is_some_and(|end| at <= end + GAP) {
                if more == 0
                    && let Some(region) = found.last_mut()
                {
                    region.end = at + 1;
                }
            } else if found.len() < most {
                found.push(Region {
                    start: at,
                    end: at + 1,
                });
            } else {
                more += 1;
            }
            last_end = Some(at + 1);
        }
    }
    (found, more)
}

/// Returns what stands at a place on both sides, as text if it is text on both.
pub(super) fn excerpts(
    left: &[u8],
    right: &[u8],
    start: usize,
    left_end: usize,
    right_end: usize,
) -> (String, String) {
    let texts = (
        text_around(left, start, left_end),
        text_around(right, start, right_end),
    );
    // Where one ends within the place, the texts around it may be the same.
    if let (Some(left), Some(right)) = texts
        && left != right
    {
        return around(left, right);
    }
    // From a multiple of eight, so that an address in it stands whole.
    let first = start & !7;
    let shown = |bytes: &[u8], end: usize| {
        let end = end.next_multiple_of(8).min(first + SHOWN).min(bytes.len());
        hex(&bytes[first.min(end)..end])
    };
    (shown(left, left_end), shown(right, right_end))
}

/// Returns the text that a place lies in, where all of the place is text.
fn text_around(bytes: &[u8], start: usize, end: usize) -> Option<&[u8]> {
    const REACH: usize = 200;
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | 0x80..=0xff);
    let floor = start.saturating_sub(REACH);
    let before = bytes[floor..start]
        .iter()
        .rev()
        .take_while(|byte| is_text(byte));
    let first = start - before.count();
    let ceiling = bytes.len().min(start + 2 * REACH);
    let after = bytes[start..ceiling]
        .iter()
        .take_while(|byte| is_text(byte));
    let last = start + after.count();
    let text = &bytes[first..last];
    // A terminator may be what differs: `abc\0` and `abcd` are one place.
    let ends = last >= end.min(ceiling) || bytes.get(last) == Some(&0);
    let is_readable = text.len() >= SHORTEST_TEXT && std::str::from_utf8(text).is_ok();
    (ends && is_readable).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effort::Effort;

    fn told(left: &[u8], right: &[u8]) -> Vec<String> {
        let mut finder = Finder::new(&Effort::USUAL);
        compare_bytes(&mut finder, left, right);
        let told = finder.finish().differences;
        told.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn bytes_are_told_where_they_differ() {
        let mut long = vec![0_u8; 20_000];
        long[9000] = 7;
        for (left, right, expected) in [
            (
                &b"\x01\x02\x03"[..],
                &b"\x01\xff\x03"[..],
                vec!["byte 0x1: 01 02 03  |...| -> 01 ff 03  |...|"],
            ),
            (
                b"\0built by anna\0\x01",
                b"\0built by otto\0\x01",
                vec!["byte 0xa: built by anna -> built by otto"],
            ),
            (
                b"abc",
                b"abcdef",
                vec![
                    "field size: 3 bytes -> 6 bytes",
                    "byte 0x3: only right: 3 bytes: 64 65 66  |def|",
                ],
            ),
            (
                &long,
                &vec![0; 20_000],
                vec![
                    "byte 0x2328: 07 00 00 00 00 00 00 00  |........| -> 00 00 00 00 00 00 00 00  |........|",
                ],
            ),
        ] {
            assert_eq!(told(left, right), expected);
        }
    }

    #[test]
    fn many_places_are_counted() {
        let left = vec![0; 64 * 100];
        let right: Vec<u8> = (0..6400).map(|at| u8::from(at % 64 == 0)).collect();
        let (found, more) = regions(&left, &right, 10);
        assert_eq!((found.len(), more), (10, 90));
        assert_eq!(found[1], Region { start: 64, end: 65 });
    }
}
