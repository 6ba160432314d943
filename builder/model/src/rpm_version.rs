//! How rpm orders versions: segment by segment, numbers before letters, `~` before everything, `^` after
//! nothing and before everything else.

use std::cmp::Ordering;

/// Compares two versions or two releases as rpm does (`rpmvercmp`).
///
/// ```
/// use std::cmp::Ordering;
/// use kiln_model::compare_rpm_versions;
/// assert_eq!(compare_rpm_versions("1.10", "1.9"), Ordering::Greater);
/// assert_eq!(compare_rpm_versions("1.0~rc1", "1.0"), Ordering::Less);
/// assert_eq!(compare_rpm_versions("1.0^git1", "1.0.1"), Ordering::Less);
/// ```
#[must_use]
pub fn compare_rpm_versions(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left, right);
    loop {
        let is_separator = |c: char| !c.is_ascii_alphanumeric() && c != '~' && c != '^';
        left = left.trim_start_matches(is_separator);
        right = right.trim_start_matches(is_separator);
        match (left.strip_prefix('~'), right.strip_prefix('~')) {
            (Some(after_left), Some(after_right)) => {
                (left, right) = (after_left, after_right);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (left.strip_prefix('^'), right.strip_prefix('^')) {
            (Some(after_left), Some(after_right)) => {
                (left, right) = (after_left, after_right);
                continue;
            }
            (Some(_), None) if right.is_empty() => return Ordering::Greater,
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) if left.is_empty() => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        if left.is_empty() || right.is_empty() {
            // Whoever has something left is newer.
            return left.len().min(1).cmp(&right.len().min(1));
        }
        let is_number = left.starts_with(|c: char| c.is_ascii_digit());
        let (own, after_left) = segment(left, is_number.into());
        let (other, after_right) = segment(right, is_number.into());
        let order = match (is_number, other.is_empty()) {
            // Numbers are newer than letters.
            (true, true) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (true, false) => {
                let (own, other) = (own.trim_start_matches('0'), other.trim_start_matches('0'));
                own.len().cmp(&other.len()).then_with(|| own.cmp(other))
            }
            (false, false) => own.cmp(other),
        };
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (after_left, after_right);
    }
}

/// What a segment is made of.
#[derive(Clone, Copy)]
enum Kind {
    Digits,
    Letters,
}

impl From<bool> for Kind {
    fn from(is_number: bool) -> Self {
        if is_number {
            Self::Digits
        } else {
            Self::Letters
        }
    }
}

/// Divides a text after its first digits or letters.
fn segment(text: &str, kind: Kind) -> (&str, &str) {
    let belongs = |c: char| match kind {
        Kind::Digits => c.is_ascii_digit(),
        Kind::Letters => c.is_ascii_alphabetic(),
    };
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_order_as_in_rpm() {
        for (left, right, expected) in [
            ("1.0", "1.0", Ordering::Equal),
            ("1.0", "2.0", Ordering::Less),
            ("2.0.1", "2.0.1", Ordering::Equal),
            ("2.0.1a", "2.0.1", Ordering::Greater),
            ("5.5p10", "5.5p1", Ordering::Greater),
            ("10xyz", "10.1xyz", Ordering::Less),
            ("xyz10", "xyz10.1", Ordering::Less),
            ("xyz.4", "8", Ordering::Less),
            ("5.5p2", "5.6p1", Ordering::Less),
            ("6.0.rc1", "6.0", Ordering::Greater),
            ("10b2", "10a1", Ordering::Greater),
            ("1.0010", "1.9", Ordering::Greater),
            ("1.05", "1.5", Ordering::Equal),
            ("2_0", "2.0", Ordering::Equal),
            ("1.0~rc1", "1.0", Ordering::Less),
            ("1.0~rc1~git123", "1.0~rc1", Ordering::Less),
            ("1.0^", "1.0", Ordering::Greater),
            ("1.0^git1", "1.0^git2", Ordering::Less),
            ("1.0^git1", "1.01", Ordering::Less),
            ("1.0^20160101", "1.0.1", Ordering::Less),
            ("1.0~rc1^git1", "1.0~rc1", Ordering::Greater),
            ("1.0^git1~pre", "1.0^git1", Ordering::Less),
            ("", "1", Ordering::Less),
            ("99999999999999999999999", "1", Ordering::Greater),
        ] {
            assert_eq!(
                compare_rpm_versions(left, right),
                expected,
                "{left} {right}"
            );
            assert_eq!(
                compare_rpm_versions(right, left),
                expected.reverse(),
                "{right} {left}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_order_is_total(versions in proptest::collection::vec("[0-9a-c.~^_]{0,6}", 3)) {
            let [a, b, c] = [&versions[0], &versions[1], &versions[2]];
            prop_assert_eq!(compare_rpm_versions(a, b), compare_rpm_versions(b, a).reverse());
            if compare_rpm_versions(a, b) != Ordering::Greater
                && compare_rpm_versions(b, c) != Ordering::Greater
            {
                prop_assert_ne!(compare_rpm_versions(a, c), Ordering::Greater);
            }
        }
    }
}
