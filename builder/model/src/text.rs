//! Texts that people write for people or for other tools: one line, prose, licences, CPE, purl, CVE.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

/// Says why a text is not of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// The text is empty or only white space.
    #[error("expected {expected}, got nothing")]
    Empty {
        /// What was asked for.
        expected: &'static str,
    },
    /// The text holds a control character, or a line break where one line was asked for.
    #[error("expected {expected}, got character {character:?}")]
    Character {
        /// What was asked for.
        expected: &'static str,
        /// The first character that does not fit.
        character: char,
    },
    /// The text does not follow the grammar.
    #[error("expected {expected}, got `{text}`")]
    Grammar {
        /// The grammar in words.
        expected: &'static str,
        /// The text as it was given.
        text: String,
    },
    /// The licence expression does not parse (SPDX specification, annex D).
    #[error("`{text}` is not an SPDX licence expression: {reason}")]
    License {
        /// The text as it was given.
        text: String,
        /// What the parser says.
        reason: String,
        /// What was probably meant by the term that it stumbled over.
        nearest: Option<String>,
    },
}

/// Bidirectional controls can make a text read as another one; no recipe needs them.
fn is_refused(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = TextError;

            fn from_str(text: &str) -> Result<Self, TextError> {
                let check: fn(&str) -> Result<String, TextError> = $check;
                check(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn check_line(text: &str) -> Result<String, TextError> {
    const EXPECTED: &str = "one line of text";
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(TextError::Empty { expected: EXPECTED });
    }
    match trimmed.chars().find(|c| is_refused(*c)) {
        Some(character) => Err(TextError::Character {
            expected: EXPECTED,
            character,
        }),
        None => Ok(trimmed.to_owned()),
    }
}

fn check_prose(text: &str) -> Result<String, TextError> {
    const EXPECTED: &str = "text without control characters";
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(TextError::Empty { expected: EXPECTED });
    }
    match trimmed
        .chars()
        .find(|c| is_refused(*c) && *c != '\n' && *c != '\t')
    {
        Some(character) => Err(TextError::Character {
            expected: EXPECTED,
            character,
        }),
        None => Ok(trimmed.to_owned()),
    }
}

fn check_license(text: &str) -> Result<String, TextError> {
    check_line(text)?;
    spdx::Expression::parse(text).map_err(|error| TextError::License {
        text: text.to_owned(),
        reason: error.reason.to_string(),
        nearest: text.get(error.span).and_then(nearest_license),
    })?;
    Ok(text.to_owned())
}

/// Returns the SPDX identifier that a term was probably meant to be.
fn nearest_license(term: &str) -> Option<String> {
    let is_accepted = |name: &&str| spdx::Expression::parse(name).is_ok();
    let licenses = spdx::identifiers::LICENSES.iter().map(|l| l.name);
    let is_same = |name: &&str| term.eq_ignore_ascii_case(name);
    if let Some(known) = licenses.clone().filter(is_same).find(is_accepted) {
        return Some(known.to_owned());
    }
    match spdx::imprecise_license_id(term) {
        // `apache 2`, `bsd-3`, `gplv2`: the whole term, not only how it begins.
        Some((license, length)) if length == term.len() => Some(license.name.to_owned()),
        _ => {
            let accepted = licenses.filter(is_accepted);
            let exceptions = spdx::identifiers::EXCEPTIONS.iter().map(|e| e.name);
            crate::recipe::nearest(term, accepted.chain(exceptions))
        }
    }
}

fn check_grammar(
    text: &str,
    expected: &'static str,
    is_accepted: bool,
) -> Result<String, TextError> {
    if is_accepted {
        Ok(text.to_owned())
    } else {
        Err(TextError::Grammar {
            expected,
            text: text.to_owned(),
        })
    }
}

fn check_cpe(text: &str) -> Result<String, TextError> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_component = |part: &&str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-._\\+".contains(c))
    };
    let fits = matches!(parts.as_slice(), ["cpe", "2.3", "a" | "o" | "h", vendor, product]
        if is_component(vendor) && is_component(product));
    check_grammar(
        text,
        "a CPE without version: `cpe:2.3:a:VENDOR:PRODUCT`",
        fits,
    )
}

fn check_purl(text: &str) -> Result<String, TextError> {
    let fits = text
        .strip_prefix("pkg:")
        .and_then(|rest| rest.split_once('/'))
        .is_some_and(|(kind, name)| {
            kind.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
                && !kind.is_empty()
                && !name.is_empty()
                && name
                    .chars()
                    .all(|c| c.is_ascii_graphic() && !"?#@".contains(c))
        });
    check_grammar(
        text,
        "a purl without version or qualifiers: `pkg:TYPE/NAME`",
        fits,
    )
}

fn check_cve(text: &str) -> Result<String, TextError> {
    let fits = text
        .strip_prefix("CVE-")
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(year, number)| {
            let is_digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
            year.len() == 4 && is_digits(year) && number.len() >= 4 && is_digits(number)
        });
    check_grammar(text, "a CVE identifier: `CVE-YYYY-NNNN`", fits)
}

text!(
    /// One non-empty line without control characters, trimmed.
    Line,
    check_line
);
text!(
    /// Non-empty text of one or more lines without other control characters, trimmed.
    Prose,
    check_prose
);
text!(
    /// An SPDX licence expression (SPDX specification, annex D), as it was written.
    LicenseExpression,
    check_license
);
text!(
    /// The first five parts of a CPE 2.3 name (NISTIR 7695): what advisories call a product.
    CpeProduct,
    check_cpe
);
text!(
    /// A package URL without version and qualifiers: `pkg:generic/curl`.
    PurlName,
    check_purl
);
text!(
    /// A CVE identifier.
    CveId,
    check_cve
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_text_refuses_what_it_is_not() {
        assert_eq!(" a b ".parse::<Line>().unwrap().as_str(), "a b");
        let character = |expected, character| TextError::Character {
            expected,
            character,
        };
        assert_eq!(
            "a\nb".parse::<Line>(),
            Err(character("one line of text", '\n'))
        );
        assert_eq!(
            "a\u{202e}b".parse::<Line>(),
            Err(character("one line of text", '\u{202e}'))
        );
        assert_eq!(
            "a\u{1b}[31m".parse::<Prose>(),
            Err(character("text without control characters", '\u{1b}'))
        );
        assert!("Apache-2.0 OR MIT".parse::<LicenseExpression>().is_ok());
        assert!(matches!(
            "Apache-2".parse::<LicenseExpression>(),
            Err(TextError::License { .. })
        ));
        assert!("cpe:2.3:a:haxx:curl".parse::<CpeProduct>().is_ok());
        assert!(matches!(
            "cpe:/a:haxx:curl".parse::<CpeProduct>(),
            Err(TextError::Grammar { .. })
        ));
        assert!("pkg:generic/curl".parse::<PurlName>().is_ok());
        assert!("pkg:generic/curl@1".parse::<PurlName>().is_err());
        assert!("CVE-2023-27533".parse::<CveId>().is_ok());
        assert!("CVE-23-1".parse::<CveId>().is_err());
    }
}
