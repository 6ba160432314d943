//! Going on where a transfer ended: what is asked, and whether the answer is exactly that.
//!
//! RFC 9110: `Range: bytes=N-` (14.2), `If-Range` (13.1.5), `Content-Range: bytes N-M/T` (14.4).

use reqwest::Response;
use reqwest::header::{CONTENT_RANGE, ETAG, HeaderMap, LAST_MODIFIED};

/// Bytes of the longest validator that is kept.
const LONGEST: usize = 256;

/// What is asked for when a beginning is there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rest {
    /// Bytes that are there.
    pub(crate) offset: u64,
    /// What the server called the file when it sent them; without it, the digest decides at the end.
    pub(crate) validator: Option<String>,
}

/// Returns what the server calls this version of the file: a strong `ETag`, else `Last-Modified`.
pub(crate) fn validator(headers: &HeaderMap) -> Option<String> {
    let text = |name| {
        let value = headers.get(name)?.to_str().ok()?.trim();
        (!value.is_empty() && value.len() <= LONGEST).then(|| value.to_owned())
    };
    let strong =
        text(ETAG).filter(|tag| tag.len() >= 2 && tag.starts_with('"') && tag.ends_with('"'));
    strong.or_else(|| text(LAST_MODIFIED))
}

/// Returns the whole file's size if the answer holds exactly the bytes from `offset` to its end.
pub(crate) fn total_of_rest(response: &Response, offset: u64) -> Option<u64> {
    let mut ranges = response.headers().get_all(CONTENT_RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return None;
    };
    let total = parse_rest(range.to_str().ok()?, offset)?;
    let is_announced = response
        .content_length()
        .is_none_or(|length| length == total - offset);
    is_announced.then_some(total)
}

fn parse_rest(text: &str, offset: u64) -> Option<u64> {
    let (unit, range) = text.trim().split_once(' ')?;
    let (range, total) = range.trim().split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| {
        let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse::<u64>().ok()).flatten()
    };
    let (first, last, total) = (number(first)?, number(last)?, number(total)?);
    let is_rest = unit.eq_ignore_ascii_case("bytes")
        && first == offset
        && first <= last
        && last.checked_add(1) == Some(total);
    is_rest.then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_rest_itself_is_the_rest() {
        for (text, expected) in [
            ("bytes 10-28/29", Some(29)),
            ("Bytes  10-28/29", Some(29)),
            ("bytes 9-28/29", None),
            ("bytes 10-27/29", None),
            ("bytes 10-28/30", None),
            ("bytes 10-9/10", None),
            ("bytes 10-28/*", None),
            ("bytes */29", None),
            ("bytes +10-28/29", None),
            ("items 10-28/29", None),
            ("bytes 10-18446744073709551615/0", None),
            ("bytes 10-28", None),
            ("", None),
        ] {
            assert_eq!(parse_rest(text, 10), expected, "{text}");
        }
    }

    #[test]
    fn only_a_strong_validator_is_kept() {
        let date = "Sat, 01 Jan 2000 00:00:00 GMT";
        let long = format!("\"{}\"", "x".repeat(300));
        for (tag, expected) in [
            (Some("\"abc\""), Some("\"abc\"")),
            (Some("W/\"abc\""), Some(date)),
            (Some("abc"), Some(date)),
            (Some(long.as_str()), Some(date)),
            (Some(""), Some(date)),
            (None, Some(date)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LAST_MODIFIED, date.parse().unwrap());
            if let Some(tag) = tag {
                headers.insert(ETAG, tag.parse().unwrap());
            }
            assert_eq!(validator(&headers).as_deref(), expected, "{tag:?}");
        }
        assert_eq!(validator(&HeaderMap::new()), None);
    }
}
