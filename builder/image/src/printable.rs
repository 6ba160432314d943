//! Names from foreign archives and folders, made safe to show: every byte that a terminal, a log or
//! a JSON reader could trip over is escaped.

/// Returns `name` for people: printable characters as they are, everything else (controls, bidi
/// marks, bytes that are not UTF-8) as `\n`, `\u{202e}`, `\xff`.
pub(crate) fn printable(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\'' | '"' => text.push(character),
                _ => text.extend(character.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_could_deceive_is_escaped() {
        for (name, expected) in [
            (b"usr/bin/c++".as_slice(), "usr/bin/c++"),
            ("grün/日本".as_bytes(), "grün/日本"),
            (b"a\nb\x1b[31m", "a\\nb\\u{1b}[31m"),
            ("x\u{202e}gpj".as_bytes(), "x\\u{202e}gpj"),
            (b"a\xff\xfeb", "a\\xff\\xfeb"),
            (b"it's \"x\"", "it's \"x\""),
            (b"a\\b", "a\\\\b"),
        ] {
            assert_eq!(printable(name), expected);
        }
    }
}
