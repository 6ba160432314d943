//! Epoch, version and release, and which one is newer by rpm's rules.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::name::{Release, Version};

/// Says why a text is not an epoch, version and release.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected [EPOCH:]VERSION-RELEASE, got `{text}`")]
pub struct EvrError {
    /// The text as it was given.
    pub text: String,
}

/// Epoch, version and release: `2.10-3`, `1:2.10-3`.
///
/// The order is rpm's: numbers count as numbers, `~` sorts before the end and `^` after it. No epoch is the
/// same as epoch 0, so texts that differ can be equal in order; [`Evr::is_newer_than`] asks for it.
///
/// ```
/// use kiln_model::Evr;
/// let newer = |a: &str, b: &str| a.parse::<Evr>().unwrap().is_newer_than(&b.parse().unwrap());
/// assert!(newer("1.10-1", "1.9-1"));
/// assert!(newer("1.0-1", "1.0~rc1-1"));
/// assert!(newer("1.0^git1-1", "1.0-1"));
/// assert!(newer("1:1.0-1", "9.0-1"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Evr {
    epoch: Option<u32>,
    version: Version,
    release: Release,
}

impl Evr {
    /// Joins the parts.
    #[must_use]
    pub const fn new(epoch: Option<u32>, version: Version, release: Release) -> Self {
        Self {
            epoch,
            version,
            release,
        }
    }

    /// Returns how rpm orders the two.
    #[must_use]
    pub fn order(&self, other: &Self) -> Ordering {
        let epoch = |evr: &Self| evr.epoch.unwrap_or(0);
        epoch(self)
            .cmp(&epoch(other))
            .then_with(|| compare_rpm_versions(self.version.as_str(), other.version.as_str()))
            .then_with(|| compare_rpm_versions(self.release.as_str(), other.release.as_str()))
    }

    /// Returns whether rpm would upgrade from `other` to this.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.order(other) == Ordering::Greater
    }
}

impl FromStr for Evr {
    type Err = EvrError;

    fn from_str(text: &str) -> Result<Self, EvrError> {
        let parse = || {
            let (epoch, rest) = match text.split_once(':') {
                Some((epoch, rest)) if epoch.bytes().all(|b| b.is_ascii_digit()) => {
                    (Some(epoch.parse().ok()?), rest)
                }
                Some(_) => return None,
                None => (None, text),
            };
            let (version, release) = rest.split_once('-')?;
            Some(Self::new(
                epoch,
                version.parse().ok()?,
                release.parse().ok()?,
            ))
        };
        parse().ok_or_else(|| EvrError {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for Evr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(epoch) = self.epoch {
            write!(f, "{epoch}:")?;
        }
        write!(f, "{}-{}", self.version, self.release)
    }
}

impl Serialize for Evr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Orders two versions or releases as rpm does.
///
/// Both are read as runs of digits and runs of letters; everything else only divides. A run of digits is
/// newer than a run of letters, and what goes on is newer than what ends. `~` is older than the end of the
/// text, `^` newer than it, but older than any run.
#[must_use]
pub fn compare_rpm_versions(first: &str, second: &str) -> Ordering {
    let (mut first, mut second) = (first.as_bytes(), second.as_bytes());
    loop {
        (first, second) = (skip_dividers(first), skip_dividers(second));
        match (first.first(), second.first()) {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => {
                (first, second) = (&first[1..], &second[1..]);
                continue;
            }
            (Some(b'~'), _) => return Ordering::Less,
            (_, Some(b'~')) => return Ordering::Greater,
            (None, None) => return Ordering::Equal,
            (Some(b'^'), None) => return Ordering::Greater,
            (None, Some(b'^')) => return Ordering::Less,
            (Some(b'^'), Some(_)) | (None, Some(_)) => return Ordering::Less,
            (Some(_), Some(b'^')) | (Some(_), None) => return Ordering::Greater,
            (Some(a), Some(b)) if a.is_ascii_digit() != b.is_ascii_digit() => {
                return a.is_ascii_digit().cmp(&b.is_ascii_digit());
            }
            (Some(_), Some(_)) => {}
        }
        let (run, rest) = split_run(first);
        let (other_run, other_rest) = split_run(second);
        let order = compare_runs(run, other_run);
        if order != Ordering::Equal {
            return order;
        }
        (first, second) = (rest, other_rest);
    }
}

fn skip_dividers(text: &[u8]) -> &[u8] {
    let is_kept = |byte: &u8| byte.is_ascii_alphanumeric() || b"~^".contains(byte);
    &text[text.iter().position(is_kept).unwrap_or(text.len())..]
}

/// Takes the run of digits, or of letters, that the text begins with.
fn split_run(text: &[u8]) -> (&[u8], &[u8]) {
    let is_number = text.first().is_some_and(u8::is_ascii_digit);
    let goes_on = |byte: &u8| {
        if is_number {
            byte.is_ascii_digit()
        } else {
            byte.is_ascii_alphabetic()
        }
    };
    let end = text.iter().position(|byte| !goes_on(byte));
    text.split_at(end.unwrap_or(text.len()))
}

/// Compares two runs of one kind; numbers of any length.
fn compare_runs(first: &[u8], second: &[u8]) -> Ordering {
    if !first.first().is_some_and(u8::is_ascii_digit) {
        return first.cmp(second);
    }
    let significant = |run: &[u8]| {
        let zeros = run.iter().take_while(|digit| **digit == b'0').count();
        run[zeros..].to_vec()
    };
    let (first, second) = (significant(first), significant(second));
    first
        .len()
        .cmp(&second.len())
        .then_with(|| first.cmp(&second))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_ordered_as_rpm_orders_them() {
        use Ordering::{Equal, Greater, Less};
        for (first, order, second) in [
            ("1.0", Equal, "1.0"),
            ("1.0", Less, "2.0"),
            ("2.0.1", Equal, "2.0.1"),
            ("2.0", Less, "2.0.1"),
            ("2.0.1a", Greater, "2.0.1"),
            ("5.5p1", Less, "5.5p2"),
            ("5.5p1", Less, "5.5p10"),
            ("10xyz", Less, "10.1xyz"),
            ("xyz10", Less, "xyz10.1"),
            ("xyz.4", Less, "8"),
            ("xyz.4", Less, "2"),
            ("5.5p2", Less, "5.6p1"),
            ("5.6p1", Less, "6.5p1"),
            ("6.0.rc1", Greater, "6.0"),
            ("10b2", Greater, "10a1"),
            ("1.0aa", Greater, "1.0a"),
            ("10.0001", Equal, "10.1"),
            ("10.0001", Less, "10.0039"),
            ("4.999.9", Less, "5.0"),
            ("20101121", Less, "20101122"),
            ("2_0", Equal, "2.0"),
            ("2..0", Equal, "2.0"),
            ("2.0.", Equal, "2.0"),
            ("a+", Equal, "a_"),
            ("+", Equal, "_"),
            ("1.0Z", Less, "1.0a"),
            ("1.0~rc1", Less, "1.0"),
            ("1.0~rc1", Less, "1.0~rc2"),
            ("1.0~rc1~git123", Less, "1.0~rc1"),
            ("1.0~", Less, "1.0"),
            ("1.0~~", Less, "1.0~"),
            ("1.0^", Greater, "1.0"),
            ("1.0^git1", Greater, "1.0"),
            ("1.0^git1", Less, "1.0^git2"),
            ("1.0^git1", Less, "1.01"),
            ("1.0^20160101", Less, "1.0.1"),
            ("1.0^20160102", Greater, "1.0^20160101^git1"),
            ("1.0~rc1^git1", Greater, "1.0~rc1"),
            ("1.0^git1~pre", Less, "1.0^git1"),
            ("1.0^git1", Greater, "1.0~rc1"),
            (
                "99999999999999999999999",
                Greater,
                "99999999999999999999998",
            ),
            ("1.05", Equal, "1.5"),
            ("1.0.0", Greater, "1.0"),
            ("", Less, "1"),
        ] {
            assert_eq!(
                compare_rpm_versions(first, second),
                order,
                "{first} {order:?} {second}"
            );
            let reverse = order.reverse();
            assert_eq!(
                compare_rpm_versions(second, first),
                reverse,
                "{second} {first}"
            );
        }
    }

    #[test]
    fn an_evr_is_read_whole_or_refused() {
        for text in ["1.6.18-1", "0:1-1", "1:2.10~rc1-3.el9", "4294967295:1-1"] {
            assert_eq!(text.parse::<Evr>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "1",
            "1-",
            "-1",
            "1-1-1",
            "x:1-1",
            ":1-1",
            "1:1",
            "4294967296:1-1",
            "1 -1",
            "+1:1-1",
        ] {
            let text = text.to_owned();
            assert_eq!(text.parse::<Evr>(), Err(EvrError { text }));
        }
        let evr = |text: &str| text.parse::<Evr>().unwrap();
        assert!(evr("1-2").is_newer_than(&evr("1-1")));
        assert!(!evr("0:1-1").is_newer_than(&evr("1-1")));
        assert_eq!(evr("0:1-1").order(&evr("1-1")), Ordering::Equal);
    }

    proptest! {
        #[test]
        fn the_order_is_total(
            a in "[0-2a-b.~^]{0,6}", b in "[0-2a-b.~^]{0,6}", c in "[0-2a-b.~^]{0,6}",
        ) {
            prop_assert_eq!(compare_rpm_versions(&a, &b), compare_rpm_versions(&b, &a).reverse());
            if compare_rpm_versions(&a, &b) != Ordering::Greater && compare_rpm_versions(&b, &c) != Ordering::Greater {
                prop_assert_ne!(compare_rpm_versions(&a, &c), Ordering::Greater);
            }
        }
    }
}
