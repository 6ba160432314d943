//! Foreign bytes as text that can be shown: no control characters, none that hide or reorder others,
//! none too long.

use std::fmt::Write as _;

/// Most characters of a value in a report.
pub(crate) const VALUE_LENGTH: usize = 400;

/// Most characters of a name in a place.
pub(crate) const NAME_LENGTH: usize = 250;

/// Characters before a difference that a cut text keeps.
const BEFORE: usize = 80;

/// Characters after a difference that a cut text keeps.
const AFTER: usize = 160;

/// Whether a character moves the cursor, is invisible, or makes text look like other text.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Writes what must not be shown as an escape: `\n`, `\x1b`, `\u{202e}`.
pub(crate) fn clean(text: &str) -> String {
    if !text.chars().any(is_harmful) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            '\r' => shown.push_str("\\r"),
            '\0' => shown.push_str("\\0"),
            c if c.is_ascii_control() => {
                let _ = write!(shown, "\\x{:02x}", c as u32);
            }
            c if is_harmful(c) => {
                let _ = write!(shown, "\\u{{{:x}}}", c as u32);
            }
            c => shown.push(c),
        }
    }
    shown
}

/// Writes bytes as text; those that are no UTF-8 as escapes.
pub(crate) fn text_of(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        shown.push_str(&clean(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(shown, "\\x{byte:02x}");
        }
    }
    shown
}

/// Shortens a text at its end.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    match text.char_indices().nth(characters) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Returns two long texts as far as they lie around their first difference; the cut is at the same
/// place of both.
pub(crate) fn around(left: &[u8], right: &[u8]) -> (String, String) {
    let same = common_prefix(left, right);
    let mut start = same.saturating_sub(BEFORE);
    if same <= BEFORE + 40 {
        start = 0;
    }
    while start > 0 && start < left.len() && is_continuation(left[start]) {
        start -= 1;
    }
    let excerpt = |bytes: &[u8]| {
        let mut end = bytes.len().min(same + AFTER);
        while end < bytes.len() && is_continuation(bytes[end]) {
            end += 1;
        }
        let before = if start > 0 { "…" } else { "" };
        let after = if end < bytes.len() { "…" } else { "" };
        let middle = bytes.get(start..end).unwrap_or_default();
        cut(&format!("{before}{}{after}", text_of(middle)), VALUE_LENGTH)
    };
    (excerpt(left), excerpt(right))
}

const fn is_continuation(byte: u8) -> bool {
    byte & 0b1100_0000 == 0b1000_0000
}

/// Returns how many bytes both begin with.
pub(crate) fn common_prefix(left: &[u8], right: &[u8]) -> usize {
    const BLOCK: usize = 4096;
    let most = left.len().min(right.len());
    let mut at = 0;
    // Whole blocks are compared by memcmp; the block that differs, byte by byte.
    while at + BLOCK <= most && left[at..at + BLOCK] == right[at..at + BLOCK] {
        at += BLOCK;
    }
    let rest = left[at..most].iter().zip(&right[at..most]);
    at + rest.take_while(|(left, right)| left == right).count()
}

/// Returns how many bytes both end with, of those behind `prefix`.
pub(crate) fn common_suffix(left: &[u8], right: &[u8], prefix: usize) -> usize {
    const BLOCK: usize = 4096;
    let (left, right) = (&left[prefix..], &right[prefix..]);
    let most = left.len().min(right.len());
    let mut at = 0;
    while at + BLOCK <= most
        && left[left.len() - at - BLOCK..left.len() - at]
            == right[right.len() - at - BLOCK..right.len() - at]
    {
        at += BLOCK;
    }
    let rest = left[..left.len() - at].iter().rev();
    let rest = rest.zip(right[..right.len() - at].iter().rev());
    at + rest
        .take(most - at)
        .take_while(|(left, right)| left == right)
        .count()
}

/// Returns seconds since 1970 as a number and as people read it.
pub(crate) fn time(seconds: u64) -> String {
    let known = i64::try_from(seconds).ok();
    let stamp = known.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    stamp.map_or_else(
        || seconds.to_string(),
        |stamp| format!("{seconds} ({stamp})"),
    )
}

/// Returns bytes as hexadecimal, in groups that the eye can follow, and as text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len() * 4 + 4);
    for byte in bytes {
        let _ = write!(shown, "{byte:02x} ");
    }
    shown.push_str(" |");
    shown.extend(bytes.iter().map(|byte| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '.',
    }));
    shown.push('|');
    shown
}

/// Returns bytes as hexadecimal without anything between.
pub(crate) fn plain_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
