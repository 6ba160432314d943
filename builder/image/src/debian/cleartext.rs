//! Takes a cleartext-signed message apart (RFC 9580, section 7) without believing it yet.
//!
//! ```text
//! -----BEGIN PGP SIGNED MESSAGE-----     first line of the file
//! Hash: SHA256                           any number of these, nothing else
//!                                        one empty line
//! text; a line that starts with `-` stands as `- -...`
//! -----BEGIN PGP SIGNATURE-----
//! armor
//! -----END PGP SIGNATURE-----            last line of the file
//! ```
//!
//! The pgp crate could read such messages too. This reader is stricter, because what is verified and
//! what is read must be one text: nothing may stand before, after or between, no control character
//! may hide in a line, and only the canonical text (unescaped, without blanks at line ends) is handed
//! on, both to the verification and to the parser.

/// Says why a file is not one cleartext-signed message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CleartextError {
    /// The bytes are not UTF-8.
    #[error("it is not UTF-8 text, from byte {valid_up_to} on")]
    Encoding {
        /// Bytes up to the first wrong one.
        valid_up_to: usize,
    },
    /// A line is not what must stand there.
    #[error("line {line}: expected {expected}, got `{actual}`")]
    Line {
        /// The line, counted from 1.
        line: usize,
        /// What must stand there.
        expected: &'static str,
        /// The line's beginning.
        actual: String,
    },
    /// The text ends too early.
    #[error("it ends where {expected} is expected")]
    End {
        /// What must stand there.
        expected: &'static str,
    },
}

/// A message and its signatures, not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClearSigned<'a> {
    /// The canonical text, lines separated by `\n`, none at the end.
    pub text: String,
    /// The armored signatures with their first and last line.
    pub armor: &'a str,
}

const BEGIN_MESSAGE: &str = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE: &str = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE: &str = "-----END PGP SIGNATURE-----";

/// How much of a line that does not fit is shown, in characters.
const SHOWN: usize = 60;

/// A text's lines, one after the other, with what a message expects of them.
struct Lines<'a> {
    text: &'a str,
    position: usize,
    line: usize,
}

impl<'a> Lines<'a> {
    fn is_at_end(&self) -> bool {
        self.position == self.text.len()
    }

    /// Returns the next line without its end (`\n` or `\r\n`).
    fn next(&mut self, expected: &'static str) -> Result<&'a str, CleartextError> {
        if self.is_at_end() {
            return Err(CleartextError::End { expected });
        }
        let rest = &self.text[self.position..];
        let length = rest.find('\n').unwrap_or(rest.len());
        self.position = (self.position + length + 1).min(self.text.len());
        self.line += 1;
        let line = &rest[..length];
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.chars().any(|c| c.is_control() && c != '\t') {
            return Err(self.wrong("no control character", line));
        }
        Ok(line)
    }

    /// Says that the line just read is not what was expected.
    fn wrong(&self, expected: &'static str, line: &str) -> CleartextError {
        CleartextError::Line {
            line: self.line,
            expected,
            actual: line
                .chars()
                .take(SHOWN)
                .flat_map(char::escape_debug)
                .collect(),
        }
    }
}

/// Takes the message apart.
pub(super) fn split(bytes: &[u8]) -> Result<ClearSigned<'_>, CleartextError> {
    let text = std::str::from_utf8(bytes).map_err(|error| CleartextError::Encoding {
        valid_up_to: error.valid_up_to(),
    })?;
    let mut lines = Lines {
        text,
        position: 0,
        line: 0,
    };
    let first = lines.next(BEGIN_MESSAGE)?;
    if first != BEGIN_MESSAGE {
        return Err(lines.wrong(BEGIN_MESSAGE, first));
    }
    loop {
        const HEADER: &str = "`Hash:` or an empty line";
        let header = lines.next(HEADER)?;
        if header.is_empty() {
            break;
        }
        let names = header
            .strip_prefix("Hash: ")
            .ok_or_else(|| lines.wrong(HEADER, header))?;
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-,".contains(&byte);
        if !names.bytes().all(is_name) {
            return Err(lines.wrong(HEADER, header));
        }
    }
    let (message, armor_start) = take_message(&mut lines)?;
    while lines.next(END_SIGNATURE)? != END_SIGNATURE {}
    let armor = &text[armor_start..lines.position];
    if lines.is_at_end() {
        Ok(ClearSigned {
            text: message,
            armor,
        })
    } else {
        const NOTHING: &str = "nothing after the signature";
        let extra = lines.next(NOTHING)?;
        Err(lines.wrong(NOTHING, extra))
    }
}

/// Returns the canonical text and where the line after it starts.
fn take_message(lines: &mut Lines<'_>) -> Result<(String, usize), CleartextError> {
    let mut message = String::with_capacity(lines.text.len());
    let mut is_first = true;
    loop {
        let start = lines.position;
        let line = lines.next(BEGIN_SIGNATURE)?;
        if line == BEGIN_SIGNATURE {
            return Ok((message, start));
        }
        let unescaped = match line.strip_prefix("- ") {
            Some(unescaped) => unescaped,
            None if line.starts_with('-') => {
                return Err(lines.wrong("`- ` before a line that starts with `-`", line));
            }
            None => line,
        };
        if !is_first {
            message.push('\n');
        }
        is_first = false;
        message.push_str(unescaped.trim_end_matches([' ', '\t']));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARMOR: &str = "-----BEGIN PGP SIGNATURE-----\n\nabcd\n-----END PGP SIGNATURE-----\n";

    fn message(body: &str) -> String {
        format!("-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n{body}\n{ARMOR}")
    }

    #[test]
    fn the_text_is_canonical() {
        for (body, text) in [
            ("A: 1", "A: 1"),
            ("A: 1 \t\n B", "A: 1\n B"),
            ("A: 1\r\nB: 2\r", "A: 1\nB: 2"),
            (
                "- - x\n- -----BEGIN PGP SIGNATURE-----",
                "- x\n-----BEGIN PGP SIGNATURE-----",
            ),
            ("A\n", "A\n"),
            ("", ""),
        ] {
            let message = message(body);
            let parts = split(message.as_bytes()).unwrap();
            assert_eq!(parts.text, text, "{body:?}");
            assert_eq!(parts.armor, ARMOR);
        }
    }

    #[test]
    fn anything_but_one_message_is_refused() {
        const ESCAPE: &str = "`- ` before a line that starts with `-`";
        const AFTER: &str = "nothing after the signature";
        const CONTROL: &str = "no control character";
        const HEADER: &str = "`Hash:` or an empty line";
        let good = message("A: 1");
        let line = |line, expected, actual: &str| CleartextError::Line {
            line,
            expected,
            actual: actual.to_owned(),
        };
        for (text, expected) in [
            (format!("x\n{good}"), line(1, BEGIN_MESSAGE, "x")),
            (format!("\n{good}"), line(1, BEGIN_MESSAGE, "")),
            (format!("{good}x\n"), line(9, AFTER, "x")),
            (format!("{good}\n"), line(9, AFTER, "")),
            (format!("{good}{good}"), line(9, AFTER, BEGIN_MESSAGE)),
            (message(&good), line(4, ESCAPE, BEGIN_MESSAGE)),
            (message("-x"), line(4, ESCAPE, "-x")),
            (message("A: 1\rB: 2"), line(4, CONTROL, "A: 1\\rB: 2")),
            (message("A: 1\u{b}"), line(4, CONTROL, "A: 1\\u{b}")),
            (message("A: 1\0"), line(4, CONTROL, "A: 1\\0")),
            (
                good.replace("Hash: SHA256", "Comment: x"),
                line(2, HEADER, "Comment: x"),
            ),
            (
                good.replace("Hash: SHA256", "Hash: x y"),
                line(2, HEADER, "Hash: x y"),
            ),
            (
                good.replace("Hash: SHA256\n\n", "Hash: SHA256\n \n"),
                line(3, HEADER, " "),
            ),
            (
                String::new(),
                CleartextError::End {
                    expected: BEGIN_MESSAGE,
                },
            ),
            (
                good.replace("-----END", "-----BND"),
                CleartextError::End {
                    expected: END_SIGNATURE,
                },
            ),
            (
                good.replace("-----BEGIN PGP SIGNATURE-----\n", ""),
                line(7, ESCAPE, END_SIGNATURE),
            ),
        ] {
            assert_eq!(split(text.as_bytes()), Err(expected), "{text:?}");
        }
        assert_eq!(
            split(b"ab\xff"),
            Err(CleartextError::Encoding { valid_up_to: 2 })
        );
    }
}
