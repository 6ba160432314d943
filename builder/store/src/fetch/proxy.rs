//! Proxies: which one a connection goes through, if any. Nothing is read from the environment here.
//!
//! An entry of the list of exceptions is `*`, a host, a domain (`example.org` and `.example.org`
//! both mean the host of that name and all below it), an address, or a network such as
//! `10.0.0.0/8`; with `:PORT` a host or domain is meant at that port only.

use std::fmt;
use std::net::IpAddr;

use reqwest::Url;

use crate::fetch::address::{shown, without_credentials};
use crate::fetch::error::FetchError;
use crate::fetch::settings::{ProxyAddress, ProxySettings};

/// A proxy's address; its credentials are never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proxy(Url);

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(without_credentials(&self.0).as_str().trim_end_matches('/'))
    }
}

impl Proxy {
    fn parse(given: &ProxyAddress) -> Result<Self, FetchError> {
        let refused = |reason: String| FetchError::Proxy {
            address: shown(&given.address),
            origin: given.origin.clone(),
            reason,
        };
        // `proxy.example:3128` is how most people write it, and reads as a scheme.
        let text = match given.address.contains("://") {
            true => given.address.clone(),
            false => format!("http://{}", given.address),
        };
        let url = Url::parse(&text).map_err(|error| refused(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            let reason = "only `http:` and `https:` proxies are known".to_owned();
            return Err(refused(reason));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(refused("it has a path".to_owned()));
        }
        Ok(Self(url))
    }

    pub(crate) const fn url(&self) -> &Url {
        &self.0
    }
}

/// Which proxy is used for what.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    except: Vec<Exception>,
}

impl Proxies {
    pub(crate) fn parse(settings: &ProxySettings) -> Result<Self, FetchError> {
        let parse = |given: &Option<ProxyAddress>| given.as_ref().map(Proxy::parse).transpose();
        let entries = settings.except.iter().flat_map(|text| text.split(','));
        let entries = entries.map(str::trim).filter(|text| !text.is_empty());
        Ok(Self {
            http: parse(&settings.http)?,
            https: parse(&settings.https)?,
            except: entries.map(Exception::parse).collect(),
        })
    }

    /// Returns the proxy that leads to `url`.
    pub(crate) fn lead_to(&self, url: &Url) -> Option<&Proxy> {
        let proxy = match url.scheme() {
            "https" => self.https.as_ref(),
            _ => self.http.as_ref(),
        };
        proxy.filter(|_| !self.except.iter().any(|entry| entry.fits(url)))
    }
}

/// What is reached without a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    Everything,
    Host { name: String, port: Option<u16> },
    Network { address: IpAddr, bits: u8 },
}

impl Exception {
    fn parse(text: &str) -> Self {
        if text == "*" {
            return Self::Everything;
        }
        let bare = |text: &str| text.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        let whole = |address: &IpAddr| if address.is_ipv4() { 32 } else { 128 };
        if let Some(address) = bare(text) {
            let bits = whole(&address);
            return Self::Network { address, bits };
        }
        if let Some((network, length)) = text.split_once('/')
            && let (Some(address), Ok(bits)) = (bare(network), length.parse::<u8>())
            && bits <= whole(&address)
        {
            return Self::Network { address, bits };
        }
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => match port.parse() {
                Ok(port) => (name, Some(port)),
                Err(_) => (text, None),
            },
            None => (text, None),
        };
        let name = name.trim_start_matches("*.").trim_start_matches('.');
        Self::Host {
            name: name.trim_matches(['[', ']']).to_ascii_lowercase(),
            port,
        }
    }

    fn fits(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let host = host.trim_matches(['[', ']']).trim_end_matches('.');
        match self {
            Self::Everything => true,
            Self::Host { name, port } => {
                let is_below = |rest: &str| rest.is_empty() || rest.ends_with('.');
                let is_named = host.strip_suffix(name.as_str()).is_some_and(is_below);
                is_named && port.is_none_or(|port| url.port_or_known_default() == Some(port))
            }
            Self::Network { address, bits } => host
                .parse()
                .is_ok_and(|host| is_within(host, *address, *bits)),
        }
    }
}

fn is_within(host: IpAddr, network: IpAddr, bits: u8) -> bool {
    let cut = |value: u128, width: u32| {
        let dropped = width - u32::from(bits).min(width);
        value.checked_shr(dropped).unwrap_or(0)
    };
    match (host.to_canonical(), network.to_canonical()) {
        (IpAddr::V4(host), IpAddr::V4(network)) => {
            let value = |ip: std::net::Ipv4Addr| cut(u128::from(u32::from(ip)), 32);
            value(host) == value(network)
        }
        (IpAddr::V6(host), IpAddr::V6(network)) => {
            cut(u128::from(host), 128) == cut(u128::from(network), 128)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(address: &str) -> ProxyAddress {
        ProxyAddress {
            address: address.to_owned(),
            origin: "HTTPS_PROXY".to_owned(),
        }
    }

    #[test]
    fn each_scheme_has_its_proxy_and_exceptions_have_none() {
        let proxies = Proxies::parse(&ProxySettings {
            http: Some(given("plain.example:3128")),
            https: Some(given("http://me:s3cret@secure.example:8080")),
            except: vec![
                "localhost, .corp.example,*.lan".to_owned(),
                "10.0.0.0/8,[::1],fd00::/8,git.example:8443,192.168.1.7".to_owned(),
            ],
        })
        .unwrap();
        let check = |address: &str, expected: Option<&str>| {
            let url = Url::parse(address).unwrap();
            let found = proxies.lead_to(&url).map(ToString::to_string);
            assert_eq!(found.as_deref(), expected, "{address}");
        };
        let (plain, secure) = (
            Some("http://plain.example:3128"),
            Some("http://secure.example:8080"),
        );
        check("http://a.example/x", plain);
        check("https://a.example/x", secure);
        for address in [
            "http://localhost:81/",
            "https://CORP.example/",
            "https://a.b.corp.example./",
            "http://nas.lan/",
            "http://10.1.2.3/",
            "http://0xa010203/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[fd12::1]:8/",
            "https://git.example:8443/",
            "http://192.168.1.7/",
        ] {
            check(address, None);
        }
        for address in [
            "https://notcorp.example/",
            "https://lan.example/",
            "https://11.0.0.1/",
            "https://git.example/",
            "https://192.168.1.70/",
            "https://[fe80::1]/",
        ] {
            check(address, secure);
        }
        assert!(!format!("{proxies:?}").contains("s3cret"));
        let all = ProxySettings {
            https: Some(given("secure.example")),
            except: vec!["*".to_owned()],
            ..ProxySettings::default()
        };
        let url = Url::parse("https://a.example/").unwrap();
        assert_eq!(Proxies::parse(&all).unwrap().lead_to(&url), None);
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_its_password() {
        let check = |address: &str, expected: &str| {
            let settings = ProxySettings {
                https: Some(given(address)),
                ..ProxySettings::default()
            };
            let error = Proxies::parse(&settings).unwrap_err().to_string();
            assert_eq!(error, expected, "{address}");
        };
        check(
            "socks5://me:s3cret@host:1080",
            "`socks5://host:1080` (from HTTPS_PROXY) can not be used as a proxy: \
             only `http:` and `https:` proxies are known",
        );
        check(
            "http://me:s3cret@host:99999",
            "`host:99999` (from HTTPS_PROXY) can not be used as a proxy: invalid port number",
        );
        check(
            "http://host/path",
            "`http://host/path` (from HTTPS_PROXY) can not be used as a proxy: it has a path",
        );
    }
}
