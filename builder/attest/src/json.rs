//! The one JSON encoding of every document here: keys in declaration order, two spaces, one final
//! newline, and no character that a terminal or a reader could be fooled with.

use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};

/// Encodes a document.
pub(crate) fn encode<T: Serialize>(document: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    let formatter = SafeFormatter(PrettyFormatter::new());
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    document
        .serialize(&mut serializer)
        .expect("documents are structs with text keys, written to memory");
    bytes.push(b'\n');
    bytes
}

/// Pretty printing that also escapes what JSON would let through raw but people can not see:
/// DEL, C1 controls, bidirectional and zero-width characters, separators, tags.
struct SafeFormatter(PrettyFormatter<'static>);

fn is_unseen(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

impl Formatter for SafeFormatter {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut plain_from = 0;
        for (at, character) in fragment.char_indices().filter(|(_, c)| is_unseen(*c)) {
            writer.write_all(&fragment.as_bytes()[plain_from..at])?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain_from = at + character.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain_from..])
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn what_nobody_can_see_is_escaped_and_reads_back() {
        let check = |text: &str, expected: &str| {
            let bytes = encode(&text);
            assert_eq!(
                String::from_utf8(bytes.clone()).unwrap(),
                format!("{expected}\n")
            );
            assert_eq!(serde_json::from_slice::<String>(&bytes).unwrap(), text);
        };
        check("curl é 水", "\"curl é 水\"");
        check("a\"b\\c\nd", r#""a\"b\\c\nd""#);
        check("\u{0}\u{1b}[31m", r#""\u0000\u001b[31m""#);
        check("\u{7f}\u{9b}", r#""\u007f\u009b""#);
        check("a\u{202e}b\u{2066}\u{feff}", r#""a\u202eb\u2066\ufeff""#);
        check("x\u{e0041}y", r#""x\udb40\udc41y""#);
    }
}
