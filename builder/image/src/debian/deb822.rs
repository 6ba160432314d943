//! Stanzas of `Field: value` lines (deb822, Debian policy 5.1) as slices of the text they stand in.
//!
//! ```text
//! Package: gcc            <- a field: name, colon, value
//! Depends: cpp,
//!  gcc-12                 <- a line that starts with a blank continues the value
//!                         <- an empty line ends the stanza
//! ```
//!
//! The crate `deb822-fast` is not used: its errors name no line, it takes a field that stands twice,
//! and it collects all 1.2 million lines of an archive's index before the first can be looked at.

/// Says which line is not of a stanza.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StanzaError {
    /// The line is neither `Field: value` nor a continuation.
    #[error("line {line}: expected `Field: value`, got `{text}`")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// Its beginning.
        text: String,
    },
    /// A field stands twice in one stanza.
    #[error("line {line}: the field `{field}` stands twice in one stanza")]
    Twice {
        /// The line of the second one.
        line: usize,
        /// The field's name.
        field: String,
    },
}

/// A field of a stanza.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Field<'a> {
    /// The name as it was written.
    pub name: &'a str,
    /// The value without blanks around it; with line ends and blanks inside if it goes on.
    pub value: &'a str,
    /// The line of its name, counted from 1.
    pub line: usize,
}

/// One stanza.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stanza<'a> {
    /// Its first line, counted from 1.
    pub line: usize,
    /// Its fields in order; no name stands twice.
    pub fields: Vec<Field<'a>>,
}

impl<'a> Stanza<'a> {
    /// Returns the field of that name; names have no case.
    pub fn field(&self, name: &str) -> Option<Field<'a>> {
        self.fields
            .iter()
            .find(|field| field.name.len() == name.len() && field.name.eq_ignore_ascii_case(name))
            .copied()
    }
}

/// Reads the stanzas of a text one by one.
#[derive(Debug)]
pub(super) struct Stanzas<'a> {
    text: &'a str,
    /// Where the next line starts in `text`.
    position: usize,
    /// The next line's number, counted from 1.
    line: usize,
}

/// How much of a line that does not fit is shown, in characters.
const SHOWN: usize = 60;

impl<'a> Stanzas<'a> {
    pub const fn new(text: &'a str) -> Self {
        Self {
            text,
            position: 0,
            line: 1,
        }
    }

    /// Returns the next line without its end, and where it ends, without moving on.
    fn peek(&self) -> Option<(&'a str, usize)> {
        let rest = &self.text[self.position..];
        if rest.is_empty() {
            return None;
        }
        let length = rest.find('\n').unwrap_or(rest.len());
        Some((&rest[..length], self.position + length))
    }

    fn advance(&mut self, end: usize) {
        self.position = (end + 1).min(self.text.len());
        self.line += 1;
    }

    fn read(&mut self) -> Result<Option<Stanza<'a>>, StanzaError> {
        let mut stanza = Stanza {
            line: self.line,
            fields: Vec::with_capacity(24),
        };
        while let Some((line, end)) = self.peek() {
            if line.trim_ascii().is_empty() {
                self.advance(end);
                if stanza.fields.is_empty() {
                    stanza.line = self.line;
                    continue;
                }
                break;
            }
            let field = self.read_field(line, end)?;
            if stanza.field(field.name).is_some() {
                return Err(StanzaError::Twice {
                    line: field.line,
                    field: field.name.to_owned(),
                });
            }
            stanza.fields.push(field);
        }
        Ok((!stanza.fields.is_empty()).then_some(stanza))
    }

    fn read_field(&mut self, first: &'a str, first_end: usize) -> Result<Field<'a>, StanzaError> {
        let is_name = |name: &str| {
            !name.is_empty()
                && !name.starts_with(['#', '-'])
                && name.bytes().all(|byte| byte.is_ascii_graphic())
        };
        let number = self.line;
        let colon = first.find(':').filter(|&colon| is_name(&first[..colon]));
        let Some(colon) = colon else {
            return Err(StanzaError::Line {
                line: number,
                text: first.chars().take(SHOWN).collect(),
            });
        };
        let start = self.position;
        let mut end = first_end;
        self.advance(end);
        while let Some((line, line_end)) = self.peek() {
            if !line.starts_with([' ', '\t']) || line.trim_ascii().is_empty() {
                break;
            }
            end = line_end;
            self.advance(end);
        }
        Ok(Field {
            name: &first[..colon],
            value: self.text[start + colon + 1..end].trim_ascii(),
            line: number,
        })
    }
}

impl<'a> Iterator for Stanzas<'a> {
    type Item = Result<Stanza<'a>, StanzaError>;

    fn next(&mut self) -> Option<Self::Item> {
        let item = self.read().transpose();
        if matches!(item, Some(Err(_))) {
            // What follows a damaged line has no meaning.
            self.position = self.text.len();
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stanzas_are_read_with_their_lines() {
        let text = "\n\nA: 1\nB: x\n y\n\tz\n\n \nC:\n d\n";
        let stanzas: Vec<_> = Stanzas::new(text).map(Result::unwrap).collect();
        assert_eq!(stanzas.len(), 2);
        assert_eq!(stanzas[0].line, 3);
        assert_eq!(stanzas[0].field("b").unwrap().value, "x\n y\n\tz");
        assert_eq!(stanzas[0].field("b").unwrap().line, 4);
        assert_eq!(stanzas[1].line, 9);
        assert_eq!(stanzas[1].field("C").unwrap().value, "d");
        assert_eq!(Stanzas::new("").next(), None);
        assert_eq!(Stanzas::new("\n \n").next(), None);
    }

    #[test]
    fn damaged_lines_are_named() {
        let line = |line, text: &str| StanzaError::Line {
            line,
            text: text.to_owned(),
        };
        let twice = StanzaError::Twice {
            line: 2,
            field: "a".to_owned(),
        };
        for (text, expected) in [
            ("A: 1\nnonsense\n", line(2, "nonsense")),
            (" A: 1\n", line(1, " A: 1")),
            ("A: 1\n\n: x\n", line(3, ": x")),
            ("# note\n", line(1, "# note")),
            ("A B: 1\n", line(1, "A B: 1")),
            ("A: 1\na: 2\n", twice),
        ] {
            let actual = Stanzas::new(text).find_map(Result::err);
            assert_eq!(actual, Some(expected), "{text:?}");
        }
    }
}
