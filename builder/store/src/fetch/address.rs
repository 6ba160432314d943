//! Addresses that may be fetched, and how messages write them: without credentials.

use std::fmt;

use kiln_model::Location;
use reqwest::Url;

use crate::fetch::error::AttemptError;
use crate::fetch::request::FetchLocation;

/// An `http:` or `https:` address.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address(Url);

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Address {
    /// Reads an address; the reason for a refusal is for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url = Url::parse(text).map_err(|error| error.to_string())?;
        Self::from_url(url).map_err(str::to_owned)
    }

    fn from_url(url: Url) -> Result<Self, &'static str> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err("only `http:` and `https:` are fetched");
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err("it names no host");
        }
        Ok(Self(url))
    }

    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Returns where a redirect from here leads, if it may be followed.
    pub(crate) fn redirected(&self, target: &str) -> Result<Self, AttemptError> {
        let refused = |target: String, reason| AttemptError::Redirect { target, reason };
        let Ok(url) = self.0.join(target) else {
            return Err(refused(shortened(target), "it is not an address"));
        };
        let shown = shortened(without_credentials(&url).as_str());
        let next = Self::from_url(url).map_err(|reason| refused(shown.clone(), reason))?;
        if self.is_encrypted() && !next.is_encrypted() {
            return Err(refused(shown, "it leads from `https:` to `http:`"));
        }
        Ok(next)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        without_credentials(&self.0).fmt(f)
    }
}

/// Returns a copy to show.
pub(crate) fn without_credentials(url: &Url) -> Url {
    let mut shown = url.clone();
    // Both only refuse addresses that can carry no credentials.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown
}

/// Returns a text that may be no address without what may be its credentials, to show it.
pub(crate) fn shown(text: &str) -> String {
    match Url::parse(text) {
        Ok(url) if !url.cannot_be_a_base() => without_credentials(&url).to_string(),
        _ => text.rsplit('@').next().unwrap_or_default().to_owned(),
    }
}

/// A server says where it redirects to: at most this much of it is repeated.
fn shortened(text: &str) -> String {
    let clean = text.chars().filter(|c| !c.is_control());
    clean.take(200).collect()
}

/// The base address of a distribution archive.
#[derive(Clone)]
pub(crate) struct Archive(String);

impl fmt::Debug for Archive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.0))
    }
}

impl Archive {
    /// Reads an archive's base address; the reason for a refusal is for people.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let address = Address::parse(text)?;
        if address.url().query().is_some() || address.url().fragment().is_some() {
            return Err("it has a query or a fragment".to_owned());
        }
        Ok(Self(
            address.url().as_str().trim_end_matches('/').to_owned(),
        ))
    }

    /// Returns the address of a path below the archive's root.
    pub(crate) fn join(&self, path: &str) -> Result<Address, String> {
        let is_plain = |part: &str| !matches!(part, "" | "." | "..");
        let is_allowed = |c: char| c.is_ascii_graphic() && !"?#\\\"<>`{}|^".contains(c);
        if !path.split('/').all(is_plain) {
            return Err("the path has an empty, `.` or `..` part".to_owned());
        }
        if let Some(character) = path.chars().find(|c| !is_allowed(*c)) {
            return Err(format!("the path holds {character:?}"));
        }
        // `%2e%2e` is `..` for a server and for the parser of addresses.
        if path.to_ascii_lowercase().contains("%2e") {
            return Err("the path holds an encoded dot".to_owned());
        }
        Address::parse(&format!("{}/{path}", self.0))
    }
}

/// An address to try, or why a location gives none.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// What messages call it.
    pub(crate) shown: String,
    pub(crate) address: Result<Address, AttemptError>,
}

/// Returns every address of `locations`, in order, each once.
pub(crate) fn candidates(locations: &[FetchLocation], archives: &[Archive]) -> Vec<Candidate> {
    let mut found: Vec<Candidate> = Vec::new();
    for location in locations {
        for candidate in of_location(location, archives) {
            if !found.iter().any(|known| known.shown == candidate.shown) {
                found.push(candidate);
            }
        }
    }
    found
}

fn of_location(location: &FetchLocation, archives: &[Archive]) -> Vec<Candidate> {
    let (path, name) = match location {
        FetchLocation::Location(Location::Web(text)) => {
            return vec![candidate(Address::parse(text), text)];
        }
        FetchLocation::Location(pool) => (pool.pool_path().unwrap_or_default(), pool.to_string()),
        FetchLocation::ArchivePath(path) => (path.clone(), path.clone()),
    };
    if archives.is_empty() {
        return vec![Candidate {
            shown: name,
            address: Err(AttemptError::NoArchive),
        }];
    }
    archives
        .iter()
        .map(|archive| candidate(archive.join(&path), &name))
        .collect()
}

fn candidate(parsed: Result<Address, String>, text: &str) -> Candidate {
    match parsed {
        Ok(address) => Candidate {
            shown: address.to_string(),
            address: Ok(address),
        },
        Err(reason) => Candidate {
            shown: shown(text),
            address: Err(AttemptError::Address { reason }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_the_archive() {
        let archive = Archive::parse("http://user:secret@host:81/debian//").unwrap();
        let check = |path: &str, expected: Result<&str, &str>| {
            let found = archive.join(path).map(|address| address.to_string());
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(found, expected, "{path}");
        };
        check(
            "pool/main/g/g++/g++-12_1%3a12~rc1+b1_amd64.deb",
            Ok("http://host:81/debian/pool/main/g/g++/g++-12_1%3a12~rc1+b1_amd64.deb"),
        );
        for path in ["", "/x", "a//b", "a/", "../x", "a/../../x", "a/./b"] {
            check(path, Err("the path has an empty, `.` or `..` part"));
        }
        check("a?b", Err("the path holds '?'"));
        check("a b", Err("the path holds ' '"));
        check("%2E%2e/x", Err("the path holds an encoded dot"));
    }

    #[test]
    fn archives_are_web_addresses() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Archive::parse(text).unwrap_err(), expected, "{text}");
        };
        check(
            "file:///srv/debian",
            "only `http:` and `https:` are fetched",
        );
        check("debian", "relative URL without a base");
        check("http://host/debian?x=1", "it has a query or a fragment");
    }

    #[test]
    fn redirects_do_not_leave_the_web_or_encryption() {
        let follow = |from: &str, target: &str| {
            let from = Address::parse(from).unwrap();
            from.redirected(target).map(|address| address.to_string())
        };
        let refused = |target: &str, reason: &'static str| {
            let target = target.to_owned();
            Err(AttemptError::Redirect { target, reason })
        };
        assert_eq!(follow("http://a/x/y", "../z"), Ok("http://a/z".to_owned()));
        assert_eq!(follow("http://a/x", "//b/z"), Ok("http://b/z".to_owned()));
        assert_eq!(
            follow("http://a/x", "https://b/"),
            Ok("https://b/".to_owned())
        );
        let downgrade = "it leads from `https:` to `http:`";
        assert_eq!(
            follow("https://a/x", "http://a/x"),
            refused("http://a/x", downgrade)
        );
        let scheme = "only `http:` and `https:` are fetched";
        for target in [
            "ftp://a/x",
            "file:///etc/passwd",
            "gopher://a/",
            "data:text/plain,x",
        ] {
            assert_eq!(follow("http://a/x", target), refused(target, scheme));
        }
        assert_eq!(
            follow("https://a/x", "http://me:secret@b/"),
            refused("http://b/", downgrade)
        );
        assert_eq!(
            follow("http://a/x", "http://["),
            refused("http://[", "it is not an address")
        );
    }
}
