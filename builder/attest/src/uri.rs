//! Texts as URI references (RFC 3986): what a URI can not hold is percent-encoded.

/// Characters beside letters and digits that a path holds raw.
const PATH: &str = "-._~/!$&'()*+,;=@:";

/// Encodes a file's relative path or name.
pub(crate) fn encode_path(path: &str) -> String {
    encode(path, PATH)
}

/// Encodes an address that may hold query and fragment; whole escapes in it stay as they are.
pub(crate) fn encode_address(address: &str) -> String {
    let mut encoded = String::new();
    for (number, piece) in address.split('%').enumerate() {
        let is_escape = piece.len() >= 2 && piece.bytes().take(2).all(|b| b.is_ascii_hexdigit());
        match number {
            0 => {}
            _ if is_escape => encoded.push('%'),
            _ => encoded.push_str("%25"),
        }
        encoded.push_str(&encode(piece, &format!("{PATH}?#")));
    }
    encoded
}

fn encode(text: &str, raw: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        let character = char::from(byte);
        if character.is_ascii_alphanumeric() || raw.contains(character) {
            encoded.push(character);
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_uri_can_not_hold_is_encoded() {
        assert_eq!(encode_path("a-1^b~c.rpm"), "a-1%5Eb~c.rpm");
        assert_eq!(
            encode_path("patches/é #1?.patch"),
            "patches/%C3%A9%20%231%3F.patch"
        );
        assert_eq!(
            encode_address("https://x/a%20b?c=[1]#d"),
            "https://x/a%20b?c=%5B1%5D#d"
        );
        assert_eq!(
            encode_address("https://x/100%/%zz%"),
            "https://x/100%25/%25zz%25"
        );
    }
}
