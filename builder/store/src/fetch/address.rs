//! Addresses that may be fetched, and how messages write them: without credentials.

use std::fmt;
use std::net::IpAddr;

use kiln_model::{AddressPrefix, Location, RepositoryUrl, SourceMirror};
use reqwest::Url;

use crate::fetch::error::{AttemptError, FetchError};
use crate::fetch::request::FetchLocation;
use crate::fetch::settings::Upstream;

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
        let Ok(url) = without_credentials(&self.0).join(target) else {
            return Err(refused(shortened(target), "it is not an address"));
        };
        let shown = shortened(without_credentials(&url).as_str());
        let mut next = Self::from_url(url).map_err(|reason| refused(shown.clone(), reason))?;
        if self.is_encrypted() && !next.is_encrypted() {
            return Err(refused(shown, "it leads from `https:` to `http:`"));
        }
        if next.has_credentials() {
            return Err(refused(shown, "it carries credentials"));
        }
        if next.is_near() && !self.is_near() {
            let reason = "it leads from the network to this machine or its link";
            return Err(refused(shown, reason));
        }
        if next.has_origin_of(self) {
            // Both only refuse addresses that can carry no credentials.
            let _ = next.0.set_username(self.0.username());
            let _ = next.0.set_password(self.0.password());
        }
        Ok(next)
    }

    /// Returns whether it carries a name or a password itself.
    pub(crate) fn has_credentials(&self) -> bool {
        !self.0.username().is_empty() || self.0.password().is_some()
    }

    /// Returns whether scheme, host and port are the same: what was meant for one is not told to
    /// another.
    pub(crate) fn has_origin_of(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }

    /// Returns whether it names this machine, or something on its link such as a cloud's metadata
    /// service: no business of a server elsewhere. Names are not looked up.
    pub(crate) fn is_near(&self) -> bool {
        let host = self.0.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
            Ok(IpAddr::V4(v4)) => v4.is_loopback() || v4.is_link_local() || v4.is_unspecified(),
            Ok(IpAddr::V6(v6)) => {
                v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified()
            }
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        }
    }

    /// Returns whether it names this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        let host = self
            .0
            .host_str()
            .unwrap_or_default()
            .trim_matches(['[', ']']);
        let is_loopback = |address: IpAddr| address.to_canonical().is_loopback();
        host == "localhost" || host.parse().is_ok_and(is_loopback)
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

/// A mirror of all addresses that start alike.
#[derive(Debug, Clone)]
struct Mirror {
    prefix: Address,
    to: Vec<Address>,
}

fn archive(text: &str) -> Result<Archive, FetchError> {
    Archive::parse(text).map_err(|reason| FetchError::Archive {
        address: shown(text),
        reason,
    })
}

fn mirror(given: &SourceMirror) -> Result<Mirror, FetchError> {
    let address = |prefix: &AddressPrefix| {
        Address::parse(prefix.as_str()).map_err(|reason| FetchError::Mirror {
            address: shown(prefix.as_str()),
            reason,
        })
    };
    Ok(Mirror {
        prefix: address(&given.prefix)?,
        to: given.to.iter().map(address).collect::<Result<_, _>>()?,
    })
}

/// Where files are asked for besides, or instead of, the addresses that recipes give.
#[derive(Debug, Clone)]
pub(crate) struct Mirrors {
    archives: Vec<Archive>,
    sources: Vec<Mirror>,
    upstream: Upstream,
}

impl Mirrors {
    /// Reads them; refuses what can not be fetched from.
    pub(crate) fn parse(
        archives: &[String],
        sources: &[SourceMirror],
        upstream: Upstream,
    ) -> Result<Self, FetchError> {
        Ok(Self {
            archives: archives
                .iter()
                .map(|text| archive(text))
                .collect::<Result<_, _>>()?,
            sources: sources.iter().map(mirror).collect::<Result<_, _>>()?,
            upstream,
        })
    }

    /// Reads those that can be fetched from: where nothing is fetched, the others harm nobody.
    pub(crate) fn usable(
        archives: &[String],
        sources: &[SourceMirror],
        upstream: Upstream,
    ) -> Self {
        Self {
            archives: archives.iter().flat_map(|text| archive(text)).collect(),
            sources: sources.iter().flat_map(mirror).collect(),
            upstream,
        }
    }

    /// Returns every address of `locations`, in order, each once.
    pub(crate) fn candidates(&self, locations: &[FetchLocation]) -> Vec<Candidate> {
        let mut found: Vec<Candidate> = Vec::new();
        for location in locations {
            for candidate in self.of_location(location) {
                if !found.iter().any(|known| known.shown == candidate.shown) {
                    found.push(candidate);
                }
            }
        }
        found
    }

    fn of_location(&self, location: &FetchLocation) -> Vec<Candidate> {
        let (path, name) = match location {
            FetchLocation::Location(Location::Web(text)) => return self.of_web(text),
            FetchLocation::Location(Location::Git(location)) | FetchLocation::Git(location, _) => {
                return self.of_repository(location.repository());
            }
            FetchLocation::Location(pool) => {
                (pool.pool_path().unwrap_or_default(), pool.to_string())
            }
            FetchLocation::ArchivePath(path) => (path.clone(), path.clone()),
        };
        if self.archives.is_empty() {
            return vec![Candidate {
                shown: name,
                address: Err(AttemptError::NoArchive),
            }];
        }
        self.archives
            .iter()
            .map(|archive| candidate(archive.join(&path), &name))
            .collect()
    }

    /// Returns every address of a repository, in order.
    pub(crate) fn of_repository(&self, repository: &RepositoryUrl) -> Vec<Candidate> {
        self.of_web(repository.as_str())
    }

    fn of_web(&self, text: &str) -> Vec<Candidate> {
        let parsed = Address::parse(text);
        let mut found = Vec::new();
        if let Ok(address) = &parsed {
            // Parsing has resolved what `..` there was.
            for mirror in &self.sources {
                let rest = address
                    .url()
                    .as_str()
                    .strip_prefix(mirror.prefix.url().as_str());
                for to in rest.iter().flat_map(|_| &mirror.to) {
                    let joined = format!("{}{}", to.url(), rest.unwrap_or_default());
                    found.push(candidate(Address::parse(&joined), &joined));
                }
            }
        }
        match (self.upstream, found.is_empty(), &parsed) {
            (Upstream::AfterMirrors, ..) | (_, _, Err(_)) => found.push(candidate(parsed, text)),
            (Upstream::Never, true, _) => found.push(Candidate {
                shown: shown(text),
                address: Err(AttemptError::NotMirrored),
            }),
            (Upstream::Never, false, _) => {}
        }
        found
    }
}

/// An address to try, or why a location gives none.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    /// What messages call it.
    pub(crate) shown: String,
    pub(crate) address: Result<Address, AttemptError>,
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
    fn credentials_stay_where_they_belong() {
        let from = Address::parse("http://me:secret@a:81/x").unwrap();
        let follow = |target: &str| from.redirected(target).unwrap();
        for target in ["/y", "http://a:81/y", "//A:81/y"] {
            assert_eq!(follow(target).url().as_str(), "http://me:secret@a:81/y");
        }
        for target in ["http://a/y", "https://a:81/y", "http://b:81/y"] {
            assert!(!follow(target).has_credentials(), "{target}");
        }
    }

    fn mirrors(upstream: Upstream) -> Mirrors {
        let mirror = |prefix: &str, to: &[&str]| SourceMirror {
            prefix: prefix.parse().unwrap(),
            to: to.iter().map(|text| text.parse().unwrap()).collect(),
        };
        let sources = [
            mirror(
                "https://github.com/",
                &["https://me:secret@m.example/github/", "http://n.example/"],
            ),
            mirror("https://github.com/libevent/", &["http://o.example/"]),
        ];
        Mirrors::parse(&[], &sources, upstream).unwrap()
    }

    #[test]
    fn mirrors_come_before_upstream_or_instead() {
        let check = |upstream, text: &str, expected: &[&str]| {
            let location = FetchLocation::Location(Location::Web(text.to_owned()));
            let found = mirrors(upstream).candidates(&[location]);
            let shown: Vec<_> = found.iter().map(|found| found.shown.as_str()).collect();
            assert_eq!(shown, expected, "{text}");
            found
        };
        let (after, never) = (Upstream::AfterMirrors, Upstream::Never);
        let three = [
            "https://m.example/github/libevent/x.tgz?a=b",
            "http://n.example/libevent/x.tgz?a=b",
            "http://o.example/x.tgz?a=b",
        ];
        let text = "https://github.com:443/libevent/x.tgz?a=b";
        let own = "https://github.com/libevent/x.tgz?a=b";
        check(after, text, &[&three[..], &[own]].concat());
        let found = check(never, text, &three);
        let first = found[0].address.as_ref().unwrap();
        assert_eq!(first.url().password(), Some("secret"));
        // What only looks as if it were below the prefix is not mirrored.
        for text in [
            "https://github.com.evil.example/x",
            "http://github.com/x",
            "https://github.com:444/x",
        ] {
            check(after, text, &[text]);
            let found = check(never, text, &[text]);
            assert_eq!(found[0].address, Err(AttemptError::NotMirrored));
        }
        let climbing = "https://github.com/a/%2e%2E/../../x";
        let climbed = ["https://m.example/github/x", "http://n.example/x"];
        check(never, climbing, &climbed);
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
            follow("https://a/x", "https://me:secret@b/"),
            refused("https://b/", "it carries credentials")
        );
        let near = "it leads from the network to this machine or its link";
        for (target, shown) in [
            (
                "http://169.254.169.254/latest",
                "http://169.254.169.254/latest",
            ),
            ("http://2852039166/", "http://169.254.169.254/"),
            ("http://[::ffff:169.254.1.1]/", "http://[::ffff:a9fe:101]/"),
            ("http://[fe80::1]/", "http://[fe80::1]/"),
            ("http://127.1:8080/", "http://127.0.0.1:8080/"),
            ("http://0/", "http://0.0.0.0/"),
            ("http://[::1]/", "http://[::1]/"),
            ("http://LocalHost./", "http://localhost./"),
            ("http://x.localhost/", "http://x.localhost/"),
        ] {
            assert_eq!(follow("http://a/x", target), refused(shown, near));
        }
        assert!(follow("http://localhost/x", "http://127.0.0.1/").is_ok());
        assert!(follow("http://a/x", "http://10.0.0.1/").is_ok());
        assert_eq!(
            follow("http://a/x", "http://["),
            refused("http://[", "it is not an address")
        );
    }
}
