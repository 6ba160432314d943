//! How foreign text enters a spec file: checked, then with every `%` doubled.
//!
//! rpm expands a line first and looks for sections and conditions in the result. A line of a
//! description that begins with `%%files` therefore *is* a section to rpm 4.18, and one that begins
//! with `#` is dropped. Nothing in the syntax helps, so such lines are refused.

use super::SpecError;

/// Returns whether `character` may not stand in any text: controls, and the bidirectional ones that
/// make a text read as another.
pub(super) fn is_refused(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// Doubles every `%`.
pub(super) fn escape(text: &str) -> String {
    text.replace('%', "%%")
}

/// Checks one line for `field` and escapes it.
pub(super) fn line(field: &str, text: &str) -> Result<String, SpecError> {
    if text.trim().is_empty() {
        return Err(SpecError::Empty {
            field: field.to_owned(),
        });
    }
    match text.chars().find(|c| is_refused(*c)) {
        Some(character) => Err(SpecError::Character {
            field: field.to_owned(),
            character,
        }),
        None => Ok(escape(text.trim())),
    }
}

/// Checks text of several lines for `field` and escapes it. The result ends with a line break.
pub(super) fn block(field: &str, text: &str, comments: Comments) -> Result<String, SpecError> {
    let mut escaped = String::new();
    for line in text.trim_matches('\n').split('\n') {
        if let Some(character) = line.chars().find(|c| is_refused(*c) && *c != '\t') {
            return Err(SpecError::Character {
                field: field.to_owned(),
                character,
            });
        }
        let first = line.trim_start().chars().next();
        let is_lost = match comments {
            Comments::Lost => first == Some('#'),
            Comments::Harmless => false,
        };
        if first == Some('%') || is_lost {
            return Err(SpecError::LineStart {
                field: field.to_owned(),
                line: line.to_owned(),
            });
        }
        escaped.push_str(escape(line).trim_end_matches([' ', '\t']));
        escaped.push('\n');
    }
    if escaped.trim().is_empty() {
        return Err(SpecError::Empty {
            field: field.to_owned(),
        });
    }
    Ok(escaped)
}

/// The widest line of a description, in characters: what `rpm -qi` shows on a terminal of 80 columns.
const WIDEST: usize = 79;

/// Breaks paragraphs that are too wide anew. One with an indented line is a list or an example, and
/// stays.
pub(super) fn wrap(text: &str) -> String {
    let wrap_one = |paragraph: &str| {
        let is_wide = paragraph.lines().any(|line| line.chars().count() > WIDEST);
        let is_plain = !paragraph
            .lines()
            .any(|line| line.starts_with([' ', '\t', '-', '*']));
        if !is_wide || !is_plain {
            return paragraph.to_owned();
        }
        let mut lines: Vec<String> = Vec::new();
        for word in paragraph.split_whitespace() {
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDEST => {
                    line.push(' ');
                    line.push_str(word);
                }
                _ => lines.push(word.to_owned()),
            }
        }
        lines.join("\n")
    };
    let paragraphs: Vec<String> = text.split("\n\n").map(wrap_one).collect();
    paragraphs.join("\n\n")
}

/// What it means that rpm drops lines that begin with `#`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comments {
    /// The reader would miss them: descriptions.
    Lost,
    /// They are comments there as well: shell.
    Harmless,
}

/// Quotes `text` for a POSIX shell inside a spec file.
pub(super) fn shell(text: &str) -> String {
    format!("'{}'", escape(text).replace('\'', "'\\''"))
}

/// Turns literal text into an extended regular expression without backslashes, which macro bodies
/// would eat. `None` when a character has no such spelling.
pub(super) fn regex(text: &str) -> Option<String> {
    let mut expression = String::new();
    for character in text.chars() {
        match character {
            '.' | '+' | '(' | ')' | '|' => {
                expression.push('[');
                expression.push(character);
                expression.push(']');
            }
            '/' | '-' | '_' | '~' | '@' | '=' | ',' => expression.push(character),
            _ if character.is_ascii_alphanumeric() => expression.push(character),
            _ => return None,
        }
    }
    Some(expression)
}
