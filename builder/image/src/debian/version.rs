//! Debian versions and their order (Debian policy 5.6.12).
//!
//! ```text
//! [epoch:]upstream[-revision]      1:12.2.0-14   2.36-9+deb12u13   1.0~rc1
//! ```
//!
//! The parts are compared in turn. In a part, runs of non-digits and runs of digits are compared in
//! turn: `~` sorts before the end, the end before letters, letters before everything else; digits
//! as numbers, an absent number being zero. The crate `debversion` is not used for this: it orders
//! `1.0~rc` before `1.0~rc0`, which dpkg holds for equal, and brings a clock and a regex engine.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Says why a text is not a Debian version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a Debian version `[epoch:]upstream[-revision]`, got `{text}`")]
pub struct VersionError {
    /// The text as it was given.
    pub text: String,
}

/// A version of a Debian package.
///
/// Equality is that of the order: `1.0` and `1.0-0` are equal although their texts differ.
///
/// ```
/// use kiln_image::debian::DebianVersion;
/// let release: DebianVersion = "1.0".parse()?;
/// assert!("1.0~rc1".parse::<DebianVersion>()? < release);
/// assert!("1:0.1".parse::<DebianVersion>()? > release);
/// # Ok::<(), kiln_image::debian::VersionError>(())
/// ```
#[derive(Debug, Clone)]
pub struct DebianVersion {
    text: Box<str>,
    epoch: u32,
    /// Where the upstream part starts in `text`.
    upstream: u32,
    /// Where the upstream part ends in `text`; the revision, if any, starts one byte later.
    upstream_end: u32,
}

impl DebianVersion {
    /// Returns the version as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn upstream(&self) -> &[u8] {
        &self.text.as_bytes()[self.upstream as usize..self.upstream_end as usize]
    }

    fn revision(&self) -> &[u8] {
        self.text
            .as_bytes()
            .get(self.upstream_end as usize + 1..)
            .unwrap_or_default()
    }
}

impl FromStr for DebianVersion {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        let error = || VersionError {
            text: text.to_owned(),
        };
        let (epoch, upstream) = match text.find(':') {
            None => (0, 0),
            Some(colon) if text[..colon].bytes().all(|byte| byte.is_ascii_digit()) => {
                (text[..colon].parse().map_err(|_| error())?, colon + 1)
            }
            Some(_) => return Err(error()),
        };
        let upstream_end = text[upstream..]
            .rfind('-')
            .map_or(text.len(), |at| at + upstream);
        let allowed = |byte: u8, more: &[u8]| byte.is_ascii_alphanumeric() || more.contains(&byte);
        let upstream_part = &text.as_bytes()[upstream..upstream_end];
        let revision = text.as_bytes().get(upstream_end + 1..);
        let is_version = upstream_part.first().is_some_and(u8::is_ascii_alphanumeric)
            && upstream_part.iter().all(|&byte| allowed(byte, b".+-~:"))
            && revision.is_none_or(|part| part.iter().all(|&byte| allowed(byte, b".+~")))
            && (upstream_end == text.len() || revision.is_some_and(|part| !part.is_empty()));
        let offset = |at: usize| u32::try_from(at).map_err(|_| error());
        if is_version {
            Ok(Self {
                text: text.into(),
                epoch,
                upstream: offset(upstream)?,
                upstream_end: offset(upstream_end)?,
            })
        } else {
            Err(error())
        }
    }
}

impl fmt::Display for DebianVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ord for DebianVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.epoch
            .cmp(&other.epoch)
            .then_with(|| compare_part(self.upstream(), other.upstream()))
            .then_with(|| compare_part(self.revision(), other.revision()))
    }
}

impl PartialOrd for DebianVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for DebianVersion {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for DebianVersion {}

/// Compares an upstream part or a revision.
fn compare_part(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let texts = compare_text(take_run(&mut left, false), take_run(&mut right, false));
        let order = texts
            .then_with(|| compare_number(take_run(&mut left, true), take_run(&mut right, true)));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the leading run of digits, or of everything else, off `part`.
fn take_run<'a>(part: &mut &'a [u8], digits: bool) -> &'a [u8] {
    let end = part
        .iter()
        .position(|byte| byte.is_ascii_digit() != digits)
        .unwrap_or(part.len());
    let (run, rest) = part.split_at(end);
    *part = rest;
    run
}

fn compare_text(left: &[u8], right: &[u8]) -> Ordering {
    (0..left.len().max(right.len()))
        .map(|at| weight(left.get(at)).cmp(&weight(right.get(at))))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Returns the place of a non-digit in the order: `~`, then the end, then letters, then the rest.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(&byte) if byte.is_ascii_alphabetic() => i32::from(byte),
        Some(&byte) => i32::from(byte) + 256,
    }
}

/// Compares runs of digits of any length as numbers.
fn compare_number(left: &[u8], right: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| digits.iter().skip_while(|&&d| d == b'0').count();
    let (left_count, right_count) = (significant(left), significant(right));
    left_count
        .cmp(&right_count)
        .then_with(|| left[left.len() - left_count..].cmp(&right[right.len() - right_count..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> DebianVersion {
        text.parse().unwrap()
    }

    #[test]
    fn the_order_is_that_of_the_policy() {
        // The policy's own example, then each rule alone.
        let ascending = ["~~", "~~a", "~", "", "a"];
        for pair in ascending.windows(2) {
            let with = |tail: &str| version(&format!("1{tail}"));
            assert!(with(pair[0]) < with(pair[1]), "{pair:?}");
        }
        for (less, more) in [
            ("1.0~beta1~svn1245", "1.0~beta1"),
            ("1.0~beta1", "1.0"),
            ("1.0", "1.0-1"),
            ("1.0-1", "1.0-1.1"),
            ("1.2", "1.10"),
            ("1.0a", "1.0+"),
            ("1.0-1", "1.0.1"),
            ("2.36-9+deb12u9", "2.36-9+deb12u13"),
            ("9999", "1:0"),
            ("1:2", "2:1"),
            ("1.18446744073709551616", "1.18446744073709551617"),
            ("1.99", "1.18446744073709551616"),
            ("1.0-1-1", "1.0-1-2"),
        ] {
            assert_eq!(
                version(less).cmp(&version(more)),
                Ordering::Less,
                "{less} {more}"
            );
            assert_eq!(
                version(more).cmp(&version(less)),
                Ordering::Greater,
                "{more} {less}"
            );
        }
    }

    #[test]
    fn zeros_and_absent_parts_do_not_count() {
        for (left, right) in [
            ("1.0", "0:1.0"),
            ("1.0", "1.0-0"),
            ("1.02", "1.2"),
            ("1.0~rc", "1.0~rc0"),
            ("1.", "1.0"),
        ] {
            assert_eq!(version(left), version(right), "{left} {right}");
        }
    }

    #[test]
    fn what_is_not_a_version_is_refused() {
        for text in [
            "",
            ":1",
            "a:1",
            "-1:1",
            "1-",
            "1:",
            "1 2",
            "1_2",
            "é",
            "1\n",
            "~1",
            "1-2_3",
            "4294967296:1",
        ] {
            let expected = VersionError {
                text: text.to_owned(),
            };
            assert_eq!(text.parse::<DebianVersion>().unwrap_err(), expected);
        }
    }
}
