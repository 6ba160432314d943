//! A place in a text file as people see it: the line itself, and a caret under the character.

use std::path::Path;

use kiln_model::recipe::Place;
use unicode_width::UnicodeWidthChar as _;

/// Characters of a line that are shown.
const SHOWN: usize = 120;

/// Characters that are shown before the caret, of a line that is too long to be shown whole.
const BEFORE: usize = 60;

/// A place in a text file.
pub struct Snippet<'a> {
    pub file: &'a Path,
    pub text: &'a str,
    pub place: Place,
}

impl Snippet<'_> {
    /// Returns the file's name and place, the line and the caret.
    pub fn render(&self) -> String {
        let Place { line, column } = self.place;
        let heading = format!("  --> {}:{line}:{column}\n", self.file.display());
        let Some(shown) = self.text.lines().nth(index(line)) else {
            return heading;
        };
        let characters: Vec<char> = shown.chars().map(harmless).collect();
        let caret = index(column).min(characters.len());
        let start = if caret < SHOWN { 0 } else { caret - BEFORE };
        let end = characters.len().min(start + SHOWN);
        let mut shown = String::from(if start > 0 { "…" } else { "" });
        let mut offset = shown.chars().count();
        offset += width(&characters[start..caret.max(start)]);
        shown.extend(&characters[start..end]);
        if end < characters.len() {
            shown.push('…');
        }
        let shown = shown.trim_end();
        let gutter = line.to_string();
        let blank = " ".repeat(gutter.len());
        let caret = " ".repeat(offset);
        let bar = if shown.is_empty() { "|" } else { "| " };
        format!("{heading}{blank} |\n{gutter} {bar}{shown}\n{blank} | {caret}^\n")
    }
}

fn index(number: u64) -> usize {
    usize::try_from(number)
        .unwrap_or(usize::MAX)
        .saturating_sub(1)
}

fn width(characters: &[char]) -> usize {
    let widths = characters.iter().map(|c| c.width().unwrap_or(0));
    widths.sum()
}

/// What moves a terminal's cursor or turns the direction of text must not reach it from a file.
fn harmless(character: char) -> char {
    match character {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        '\u{200e}'
        | '\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2066}'..='\u{2069}'
        | '\u{feff}' => '\u{fffd}',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Renders a place and expects these lines of the text and the caret.
    fn check(text: &str, line: u64, column: u64, expected: &str) {
        let file = Path::new("r.yaml");
        let place = Place { line, column };
        let shown = Snippet { file, text, place }.render();
        let expected = format!("  --> r.yaml:{line}:{column}\n{expected}");
        assert_eq!(shown, expected, "{text:?}");
    }

    #[test]
    fn the_caret_is_under_the_character() {
        check("a: b\nname: x\n", 2, 7, "  |\n2 | name: x\n  |       ^\n");
        check(
            "name: x\r\na: b\r\n",
            1,
            7,
            "  |\n1 | name: x\n  |       ^\n",
        );
        // Two bytes and one column; three bytes and two columns; none of its own.
        check("nämé: x\n", 1, 7, "  |\n1 | nämé: x\n  |       ^\n");
        check("名前: x\n", 1, 5, "  |\n1 | 名前: x\n  |       ^\n");
        check("e\u{301}e: x\n", 1, 6, "  |\n1 | e\u{301}e: x\n  |     ^\n");
        check("a:\tb\n", 1, 4, "  |\n1 | a: b\n  |    ^\n");
        check("a: b   \n", 1, 9, "  |\n1 | a: b\n  |        ^\n");
        check("a\n\nb\n", 2, 1, "  |\n2 |\n  | ^\n");
        let text = "\n".repeat(99) + "end: x\n";
        check(&text, 100, 6, "    |\n100 | end: x\n    |      ^\n");
    }

    #[test]
    fn what_is_not_there_has_no_line() {
        check("a\n", 7, 1, "");
        check("", 1, 1, "");
        check("a\n", 1, u64::MAX, "  |\n1 | a\n  |  ^\n");
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let text = format!("{}X{}\n", "a".repeat(500), "b".repeat(500));
        let before = "a".repeat(BEFORE);
        let after = "b".repeat(SHOWN - BEFORE - 1);
        let caret = " ".repeat(BEFORE + 1);
        check(
            &text,
            1,
            501,
            &format!("  |\n1 | …{before}X{after}…\n  | {caret}^\n"),
        );
        let start = "a".repeat(SHOWN);
        check(&text, 1, 1, &format!("  |\n1 | {start}…\n  | ^\n"));
    }

    #[test]
    fn nothing_that_moves_the_cursor_is_shown() {
        check(
            "name: \u{1b}[31m\u{202e}x\n",
            1,
            7,
            "  |\n1 | name: \u{fffd}[31m\u{fffd}x\n  |       ^\n",
        );
    }
}
