//! CPE 2.3 names as advisories write them: the 13-part formatted string of NISTIR 7695, section 6.2.
//!
//! ```text
//! cpe:2.3:a:haxx:curl:7.88.1:*:*:*:*:*:*:*
//!         |  |    |    |     update, edition, language, sw_edition, target_sw, target_hw, other
//!         |  |    |    version
//!         |  |    product
//!         |  vendor
//!         part: a(pplication), o(perating system), h(ardware)
//! ```

use std::fmt;
use std::str::FromStr;

use kiln_model::{CpeProduct, Version};

/// Parts of a formatted string, the two of the prefix `cpe:2.3` included.
const PARTS: usize = 13;

/// Says why a text is not a CPE 2.3 formatted string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpeError {
    /// The text does not start with `cpe:2.3:`.
    #[error("expected a CPE name that starts with `cpe:2.3:`, got `{0}`")]
    Prefix(String),
    /// The text has another number of parts.
    #[error("expected {expected} parts separated by `:`, got {actual} in `{text}`")]
    Parts {
        /// The parts that a name has.
        expected: usize,
        /// The parts of the text.
        actual: usize,
        /// The text as it was given.
        text: String,
    },
    /// One part does not follow the grammar.
    #[error("`{part}` can not be part {number} of the CPE name `{text}`")]
    Part {
        /// The part.
        part: String,
        /// Its number, counted from 1 as the standard does.
        number: usize,
        /// The text as it was given.
        text: String,
    },
}

/// A complete CPE 2.3 name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cpe(String);

impl Cpe {
    /// Binds a product's name to one version of it.
    ///
    /// A pre-release that rpm writes as `1.0~rc1` becomes version `1.0`, update `rc1`, as the CPE
    /// dictionary has it. Values are lower-case: they compare without case.
    ///
    /// ```
    /// use kiln_attest::Cpe;
    /// let cpe = Cpe::new(&"cpe:2.3:a:haxx:curl".parse()?, &"7.88.1".parse()?);
    /// assert_eq!(cpe.to_string(), "cpe:2.3:a:haxx:curl:7.88.1:*:*:*:*:*:*:*");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn new(product: &CpeProduct, version: &Version) -> Self {
        let mut parts: Vec<String> = product.as_str().split(':').map(bind_quoted).collect();
        let (version, update) = match version.as_str().split_once('~') {
            Some((version, update)) if !version.is_empty() && !update.is_empty() => {
                (version, bind(update))
            }
            _ => (version.as_str(), "*".to_owned()),
        };
        parts.push(bind(version));
        parts.push(update);
        parts.resize(PARTS, "*".to_owned());
        Self(parts.join(":"))
    }
}

/// Quotes what a formatted string may not hold raw: everything but letters, digits, `.`, `-`, `_`.
fn bind(value: &str) -> String {
    let mut bound = String::new();
    for character in value.to_ascii_lowercase().chars() {
        if !character.is_ascii_alphanumeric() && !".-_".contains(character) {
            bound.push('\\');
        }
        bound.push(character);
    }
    bound
}

/// As [`bind`], for a text in which some characters may be quoted already.
fn bind_quoted(value: &str) -> String {
    let mut plain = String::new();
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(characters.next().unwrap_or('\\')),
            other => plain.push(other),
        }
    }
    bind(&plain)
}

impl FromStr for Cpe {
    type Err = CpeError;

    fn from_str(text: &str) -> Result<Self, CpeError> {
        let parts = split(text);
        if parts.len() < 2 || parts[..2] != ["cpe", "2.3"] {
            return Err(CpeError::Prefix(text.to_owned()));
        }
        if parts.len() != PARTS {
            let (expected, actual) = (PARTS, parts.len());
            return Err(CpeError::Parts {
                expected,
                actual,
                text: text.to_owned(),
            });
        }
        let is_part = |(number, part): &(usize, &str)| match number {
            0 | 1 => true,
            2 => matches!(*part, "a" | "o" | "h" | "*" | "-"),
            _ => is_value(part),
        };
        match parts
            .iter()
            .copied()
            .enumerate()
            .find(|numbered| !is_part(numbered))
        {
            None => Ok(Self(text.to_owned())),
            Some((number, part)) => Err(CpeError::Part {
                part: part.to_owned(),
                number: number + 1,
                text: text.to_owned(),
            }),
        }
    }
}

/// Splits at every `:` that no backslash quotes.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut from, mut is_quoted) = (0, false);
    for (at, character) in text.char_indices() {
        match character {
            _ if is_quoted => is_quoted = false,
            '\\' => is_quoted = true,
            ':' => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// Returns whether `part` is `*` (any), `-` (none) or a value: wildcards only at its ends.
fn is_value(part: &str) -> bool {
    if matches!(part, "*" | "-") {
        return true;
    }
    let inner = part.trim_start_matches('?');
    let inner = if inner.len() == part.len() {
        inner.strip_prefix('*').unwrap_or(inner)
    } else {
        inner
    };
    let mut characters = inner.chars().peekable();
    let mut length = 0;
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(quoted) if quoted.is_ascii_punctuation() => {}
                _ => return false,
            },
            '*' if length > 0 => return characters.peek().is_none(),
            '?' if length > 0 => return characters.all(|c| c == '?'),
            c if c.is_ascii_alphanumeric() || ".-_".contains(c) => {}
            _ => return false,
        }
        length += 1;
    }
    length > 0
}

impl fmt::Display for Cpe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_name_is_quoted_and_reads_back() {
        let check = |product: &str, version: &str, expected: &str| {
            let cpe = Cpe::new(&product.parse().unwrap(), &version.parse().unwrap());
            assert_eq!(cpe.to_string(), expected);
            assert_eq!(expected.parse(), Ok(cpe));
        };
        check(
            "cpe:2.3:a:haxx:curl",
            "7.88.1",
            "cpe:2.3:a:haxx:curl:7.88.1:*:*:*:*:*:*:*",
        );
        check(
            "cpe:2.3:a:openssl:openssl",
            "1.1.1W",
            "cpe:2.3:a:openssl:openssl:1.1.1w:*:*:*:*:*:*:*",
        );
        check(
            "cpe:2.3:a:x:y",
            "1.0~rc1",
            "cpe:2.3:a:x:y:1.0:rc1:*:*:*:*:*:*",
        );
        check(
            "cpe:2.3:a:x:y",
            "1.0^git+2",
            r"cpe:2.3:a:x:y:1.0\^git\+2:*:*:*:*:*:*:*",
        );
        check(
            r"cpe:2.3:a:gnu:libstdc\+\+",
            "12",
            r"cpe:2.3:a:gnu:libstdc\+\+:12:*:*:*:*:*:*:*",
        );
        check(
            "cpe:2.3:a:gnu:libstdc++",
            "12",
            r"cpe:2.3:a:gnu:libstdc\+\+:12:*:*:*:*:*:*:*",
        );
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_reason() {
        let check = |text: &str, expected: CpeError| assert_eq!(text.parse::<Cpe>(), Err(expected));
        check(
            "cpe:/a:haxx:curl:7",
            CpeError::Prefix("cpe:/a:haxx:curl:7".into()),
        );
        let short = "cpe:2.3:a:haxx:curl:7.88.1";
        check(
            short,
            CpeError::Parts {
                expected: 13,
                actual: 6,
                text: short.into(),
            },
        );
        for (number, part) in [
            (3, "x"),
            (4, "a b"),
            (4, ""),
            (5, "a*b"),
            (5, r"a\b"),
            (6, "7+1"),
        ] {
            let mut parts = [
                "cpe", "2.3", "a", "v", "p", "1", "*", "*", "*", "*", "*", "*", "*",
            ];
            parts[number - 1] = part;
            let text = parts.join(":");
            check(
                &text,
                CpeError::Part {
                    part: part.into(),
                    number,
                    text: text.clone(),
                },
            );
        }
        assert!(
            r"cpe:2.3:a:*:p\:q:1.*:-:??a?:*:*:*:*:*"
                .parse::<Cpe>()
                .is_ok()
        );
    }
}
