//! Texts by line, with the column at which a line begins to differ.

use super::bytes::compare_bytes;
use crate::difference::Change;
use crate::finder::{Finder, Side};
use crate::printable::{around, common_prefix, cut, text_of};
use crate::sequence::{Edit, Relation, relate};

/// Bytes at the start of a file that say whether it is text.
const LOOKED_AT: usize = 64 << 10;

/// Most lines of a text that is compared by lines: each takes memory, and a bomb is all lines.
const MOST_LINES: usize = 4_000_000;

/// Items of an order that are shown.
const ORDER_ITEMS: usize = 12;

/// Characters of each.
const ORDER_LENGTH: usize = 60;

/// Whether something is to be read by lines: no NUL, and next to no control characters.
pub(super) fn is_text(bytes: &[u8]) -> bool {
    let first = &bytes[..bytes.len().min(LOOKED_AT)];
    if memchr::memchr(0, first).is_some() {
        return false;
    }
    let is_odd = |byte: &&u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    let odd = first.iter().filter(is_odd).count();
    // Latin-1 texts have bytes that are no UTF-8; data has many.
    let invalid: usize = first.utf8_chunks().map(|chunk| chunk.invalid().len()).sum();
    odd <= 1 + first.len() / 50 && invalid * 10 <= first.len()
}

/// Tells in which lines two texts differ.
pub(crate) fn compare_texts(finder: &mut Finder, left: &[u8], right: &[u8]) {
    let is_long = |text: &[u8]| memchr::memchr_iter(b'\n', text).count() > MOST_LINES;
    if is_long(left) || is_long(right) {
        finder.note(format!("more than {MOST_LINES} lines: compared as bytes"));
        return compare_bytes(finder, left, right);
    }
    let lines = |text: &'_ [u8]| -> Vec<std::ops::Range<usize>> {
        let mut start = 0;
        let mut lines = Vec::new();
        for end in memchr::memchr_iter(b'\n', text) {
            lines.push(start..end);
            start = end + 1;
        }
        // What follows the last line feed; an empty one tells that the text ends with it.
        lines.push(start..text.len());
        lines
    };
    let left_lines: Vec<&[u8]> = lines(left).into_iter().map(|at| &left[at]).collect();
    let right_lines: Vec<&[u8]> = lines(right).into_iter().map(|at| &right[at]).collect();
    compare_items(finder, "line", &left_lines, &right_lines);
}

/// Tells how two sequences of texts differ; `kind` is what one is called.
pub(super) fn compare_items(finder: &mut Finder, kind: &str, left: &[&[u8]], right: &[&[u8]]) {
    let edits = match relate(left, right) {
        Relation::Order { start, end } => {
            let texts = |items: &[&[u8]]| -> Vec<String> {
                let shown = items[start..end].iter().take(ORDER_ITEMS + 1);
                shown
                    .map(|item| text_of(&item[..item.len().min(400)]))
                    .collect()
            };
            let (left, right) = order_of(&texts(left), &texts(right));
            finder.within("order", &format!("{kind}s from {}", start + 1), |finder| {
                finder.add(Change::Order { left, right });
            });
            return;
        }
        Relation::Edits(edits) => edits,
    };
    let most = finder.effort().per_leaf;
    for edit in edits.iter().take(most) {
        tell(finder, kind, *edit, left, right);
    }
    if edits.len() > most {
        finder.note(format!("{} more {kind}s differ", edits.len() - most));
    }
}

fn tell(finder: &mut Finder, kind: &str, edit: Edit, left: &[&[u8]], right: &[&[u8]]) {
    let only = |line: &[u8]| match line {
        b"" => format!("(an empty {kind})"),
        line => text_of(&line[..line.len().min(2000)]),
    };
    match edit {
        Edit::OnlyLeft(at) => {
            finder.only(Side::Left, kind, &(at + 1).to_string(), &only(left[at]));
        }
        Edit::OnlyRight(at) => {
            finder.only(Side::Right, kind, &(at + 1).to_string(), &only(right[at]));
        }
        Edit::Replaced(at, to) => {
            let (left, right) = (left[at], right[to]);
            let same = common_prefix(left, right);
            let before = left[..same].utf8_chunks();
            let column: usize = before
                .map(|chunk| chunk.valid().chars().count() + chunk.invalid().len())
                .sum();
            let (left, right) = around(left, right);
            finder.within(kind, &(at + 1).to_string(), |finder| {
                finder.within("column", &(column + 1).to_string(), |finder| {
                    finder.add(Change::Value { left, right });
                });
            });
        }
    }
}

/// Returns the first items of two orders for people.
pub(crate) fn order_of(left: &[String], right: &[String]) -> (String, String) {
    let shown = |items: &[String]| {
        let first = items.iter().take(ORDER_ITEMS);
        let mut texts: Vec<String> = first.map(|item| cut(item, ORDER_LENGTH)).collect();
        if items.len() > ORDER_ITEMS {
            texts.push("…".to_owned());
        }
        texts.join(" | ")
    };
    (shown(left), shown(right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::effort::Effort;

    fn told(left: &str, right: &str) -> Vec<String> {
        let mut finder = Finder::new(&Effort::USUAL);
        compare_texts(&mut finder, left.as_bytes(), right.as_bytes());
        let told = finder.finish().differences;
        told.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lines_and_columns_are_told() {
        for (left, right, expected) in [
            (
                "a\nbuilt 1\nc\n",
                "a\nbuilt 2\nc\n",
                vec!["line 2, column 7: built 1 -> built 2"],
            ),
            ("a\nb\n", "a\n", vec!["line 2: only left: b"]),
            ("a", "a\n", vec!["line 2: only right: (an empty line)"]),
            (
                "c\na\nb\n",
                "a\nb\nc\n",
                vec!["order lines from 1: c | a | b -> a | b | c"],
            ),
            ("a\r\n", "a\n", vec!["line 1, column 2: a\\r -> a"]),
            (
                "\u{1b}[1mö1",
                "\u{1b}[1mö2",
                vec!["line 1, column 6: \\x1b[1mö1 -> \\x1b[1mö2"],
            ),
        ] {
            assert_eq!(told(left, right), expected, "{left:?} {right:?}");
        }
    }

    #[test]
    fn long_lines_are_cut_around_what_differs() {
        let long = "x".repeat(1_000_000);
        let told = told(&format!("{long}1{long}"), &format!("{long}2{long}"));
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("line 1, column 1000001: …xxx"),
            "{told:?}"
        );
        assert!(told[0].len() < 700);
    }

    #[test]
    fn texts_are_told_from_data() {
        for (bytes, expected) in [
            (&b"plain\n"[..], true),
            ("größe".as_bytes(), true),
            (b"gr\xf6\xdfe and a long latin-1 text", true),
            (b"a\0b", false),
            (&[0x80; 100], false),
        ] {
            assert_eq!(is_text(bytes), expected, "{bytes:?}");
        }
    }
}
