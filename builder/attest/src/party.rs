//! Who stands behind a document or a component: an organisation with an address to reach it at.

use std::fmt;
use std::str::FromStr;

use kiln_model::{Line, TextError};

/// Says why a text is not an e-mail or web address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartyError {
    /// The text is not an e-mail address that SBOM readers accept.
    #[error("expected an e-mail address such as `name@example.org`, got `{0}`")]
    Email(String),
    /// The text is not a web address that SBOM readers accept.
    #[error(
        "expected an address that starts with `https://` or `http://` and has a host, got `{0}`"
    )]
    Web(String),
    /// The name is not one line of text.
    #[error("the organisation's name does not fit: {0}")]
    Name(#[from] TextError),
}

/// An e-mail address: `local@domain`, of the characters that need no quoting (RFC 5322 `dot-atom`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EmailAddress(String);

impl FromStr for EmailAddress {
    type Err = PartyError;

    fn from_str(text: &str) -> Result<Self, PartyError> {
        let is_dotted = |part: &str, more: &str| {
            part.split('.').all(|atom| {
                !atom.is_empty()
                    && atom
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
            })
        };
        match text.split_once('@') {
            Some((local, domain))
                if text.len() <= 254
                    && is_dotted(local, "!#$%&'*+-/=?^_`{|}~")
                    && is_dotted(domain, "-")
                    && domain.contains('.') =>
            {
                Ok(Self(text.to_owned()))
            }
            _ => Err(PartyError::Email(text.to_owned())),
        }
    }
}

impl fmt::Display for EmailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An `https://` or `http://` address of a page, such as `https://curl.se`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WebAddress(String);

impl FromStr for WebAddress {
    type Err = PartyError;

    fn from_str(text: &str) -> Result<Self, PartyError> {
        let error = || PartyError::Web(text.to_owned());
        let rest = text
            .strip_prefix("https://")
            .or_else(|| text.strip_prefix("http://"))
            .ok_or_else(error)?;
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let is_host = host.starts_with(|c: char| c.is_ascii_alphanumeric())
            && host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-:".contains(c));
        let is_plain = text
            .chars()
            .all(|c| c.is_ascii_graphic() && !"\"'<>\\^`{|}[]".contains(c));
        if is_host && is_plain && text.matches('#').count() <= 1 && has_whole_escapes(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(error())
        }
    }
}

fn has_whole_escapes(text: &str) -> bool {
    text.split('%')
        .skip(1)
        .all(|rest| rest.len() >= 2 && rest.bytes().take(2).all(|byte| byte.is_ascii_hexdigit()))
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An organisation: who writes SBOMs, who supplies RPMs, who makes a piece of software.
///
/// SBOM rules want an e-mail or web address for each (BSI TR-03183-2, 5.2.1 and 5.2.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Organization {
    /// Its name: `Example Telecom`, or for upstream software the project's name.
    pub name: Line,
    /// Where to write to.
    pub email: Option<EmailAddress>,
    /// Its page.
    pub url: Option<WebAddress>,
}

impl TryFrom<&kiln_model::Organization> for Organization {
    type Error = PartyError;

    /// Takes over what `kiln.toml` says; an empty address is none.
    fn try_from(settings: &kiln_model::Organization) -> Result<Self, PartyError> {
        let (email, url) = (settings.email.as_str(), settings.url.as_str());
        Ok(Self {
            name: settings.name.parse()?,
            email: (!email.is_empty()).then(|| email.parse()).transpose()?,
            url: (!url.is_empty()).then(|| url.parse()).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_accept_their_grammar_and_nothing_else() {
        for good in ["sbom@example.org", "a.b+c@mail.example.org"] {
            assert_eq!(good.parse::<EmailAddress>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "a",
            "@example.org",
            "a@b",
            "a@@b.c",
            "a b@c.d",
            "a@c.d\n",
            "a@c..d",
        ] {
            assert_eq!(
                bad.parse::<EmailAddress>(),
                Err(PartyError::Email(bad.to_owned()))
            );
        }
        for good in [
            "https://curl.se",
            "http://a.example:80/b?c#d",
            "https://x.org/%7e",
        ] {
            assert_eq!(good.parse::<WebAddress>().unwrap().to_string(), good);
        }
        for bad in [
            "curl.se",
            "ftp://x/y",
            "https://",
            "https:///x",
            "https://me@host/",
            "https://a b/",
            "https://a/\u{202e}",
            "https://a/%zz",
            "https://a/[",
            "javascript:alert(1)",
        ] {
            assert_eq!(
                bad.parse::<WebAddress>(),
                Err(PartyError::Web(bad.to_owned()))
            );
        }
    }
}
