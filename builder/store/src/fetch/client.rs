//! The HTTP client: no proxy but those that it is told of, no cookies, no decoding, no redirects of
//! its own, and no look at the environment.
//!
//! reqwest's own way to trusted roots (`rustls-platform-verifier`) reads `SSL_CERT_FILE`; so the
//! roots are read here and given to it as the only ones. The one TLS provider in the tree is
//! aws-lc-rs, which reqwest installs for its own clients.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::Certificate;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue};

use crate::fetch::error::FetchError;
use crate::fetch::proxy::Proxies;
use crate::fetch::settings::{FetchSettings, TrustedRoots};

/// Where distributions keep the bundle of trusted roots: Debian, Red Hat, SUSE, Alpine.
const BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Says whether `https:` can work at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Roots {
    Known,
    NotFound,
}

/// Makes the client.
pub(crate) fn build(
    settings: &FetchSettings,
    proxies: &Arc<Proxies>,
) -> Result<(reqwest::Client, Roots), FetchError> {
    let found_at = bundle(&settings.roots);
    let mut roots = found_at.map_or_else(|| Ok(Vec::new()), read_bundle)?;
    if let Some(path) = &settings.more_roots {
        roots.extend(read_bundle(path)?);
    }
    let found = if roots.is_empty() {
        Roots::NotFound
    } else {
        Roots::Known
    };
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let lead = Arc::clone(proxies);
    let proxy =
        reqwest::Proxy::custom(move |url| lead.lead_to(url).map(|proxy| proxy.url().clone()));
    let client = reqwest::Client::builder()
        // Without this the environment is read.
        .no_proxy()
        .proxy(proxy)
        .tls_certs_only(roots)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .default_headers(headers)
        .user_agent(concat!("kiln/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.limits.connect_timeout)
        .build()
        .map_err(|error| {
            let from = found_at.map_or_else(String::new, |path| {
                format!(" (with the trusted roots in `{}`)", path.display())
            });
            FetchError::Client {
                reason: format!("{}{from}", chain(&error)),
            }
        })?;
    Ok((client, found))
}

fn bundle(roots: &TrustedRoots) -> Option<&Path> {
    match roots {
        TrustedRoots::Bundle(path) => Some(path),
        TrustedRoots::System => BUNDLES.iter().map(Path::new).find(|path| path.is_file()),
    }
}

/// Returns the file with the certificates that are trusted, and how many it has; `None` where the
/// host has no such file, and nothing can be fetched by `https:`.
///
/// # Errors
/// `Roots`, when the file can not be read or holds no certificate.
pub fn trusted_bundle(roots: &TrustedRoots) -> Result<Option<(PathBuf, usize)>, FetchError> {
    let Some(path) = bundle(roots) else {
        return Ok(None);
    };
    Ok(Some((path.to_owned(), read_bundle(path)?.len())))
}

fn read_bundle(path: &Path) -> Result<Vec<Certificate>, FetchError> {
    let pem = fs_err::read(path).map_err(|source| FetchError::Roots {
        path: path.to_owned(),
        source,
    })?;
    let refused = |reason: String| FetchError::Roots {
        path: path.to_owned(),
        source: std::io::Error::other(reason),
    };
    let roots = Certificate::from_pem_bundle(&pem).map_err(|error| refused(chain(&error)))?;
    if roots.is_empty() {
        return Err(refused("it holds no PEM certificate".to_owned()));
    }
    Ok(roots)
}

/// Returns what an error and its causes say, without repetition and without the client's own
/// layers, which say nothing to a user.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        next = error.source();
        let more = error.to_string();
        let is_layer = more == "error sending request" || more.starts_with("client error (");
        if (is_layer && next.is_some()) || text.contains(&more) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&more);
    }
    text
}
