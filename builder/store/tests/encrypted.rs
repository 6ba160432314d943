//! `https:` mirrors: whom the fetcher trusts, and whom not.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod tls;

use std::path::PathBuf;
use std::time::Duration;

use kiln_model::Digest;
use kiln_store::{
    AttemptError, FetchError, FetchLocation, FetchRequest, FetchSettings, Fetcher, Network, Silent,
    Store, TrustedRoots,
};
use rcgen::CertificateParams;
use tempfile::TempDir;

use tls::{authority, loopback, serve};

fn ok() -> Vec<u8> {
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody".to_vec()
}

struct Setup {
    folder: TempDir,
    store: Store,
}

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    fn bundle(&self, text: &str) -> TrustedRoots {
        let path = self.folder.path().join("roots.pem");
        fs_err::write(&path, text).unwrap();
        TrustedRoots::Bundle(path)
    }

    fn fetcher(&self, roots: TrustedRoots) -> Result<Fetcher, FetchError> {
        let mut settings = FetchSettings::new(vec![], Network::Online);
        settings.limits.backoff = Duration::from_millis(1);
        settings.roots = roots;
        Fetcher::new(self.store.clone(), settings)
    }

    fn fetch(&self, roots: TrustedRoots, base: &str) -> Result<(), AttemptError> {
        let location = format!("{base}/x").parse().unwrap();
        let request = FetchRequest {
            name: "x".to_owned(),
            locations: vec![FetchLocation::Location(location)],
            sha256: Digest::of(b"body"),
            size: None,
        };
        match self.fetcher(roots).unwrap().fetch_all(&[request], &Silent) {
            Ok(_) => {
                assert_eq!(self.store.read_blob(&Digest::of(b"body")).unwrap(), b"body");
                Ok(())
            }
            Err(FetchError::Failed { mut failures }) => {
                assert!(!self.store.contains(&Digest::of(b"body")));
                Err(failures.remove(0).attempts.remove(0).reason)
            }
            Err(other) => panic!("expected a failed fetch, got {other}"),
        }
    }
}

#[test]
fn only_the_named_roots_are_trusted() {
    let (ours, other) = (authority("ours"), authority("other"));
    let base = serve(&ours, loopback(), &ok());
    let setup = Setup::new();
    let refused = |roots| {
        let reason = setup.fetch(roots, &base).unwrap_err();
        match reason {
            AttemptError::Connect { reason } => reason,
            // On a host without any roots.
            AttemptError::NoRoots => "UnknownIssuer".to_owned(),
            other => panic!("expected a refused connection, got {other}"),
        }
    };
    for roots in [setup.bundle(&other.pem()), TrustedRoots::System] {
        let reason = refused(roots);
        assert!(reason.contains("UnknownIssuer"), "{reason}");
    }
    let both = format!("# two\n{}{}", other.pem(), ours.pem());
    assert_eq!(setup.fetch(setup.bundle(&both), &base), Ok(()));
}

#[test]
fn certificates_of_another_host_or_time_are_refused() {
    let ours = authority("ours");
    let check = |params: CertificateParams, expected: &str| {
        let setup = Setup::new();
        let base = serve(&ours, params, &ok());
        let reason = setup.fetch(setup.bundle(&ours.pem()), &base).unwrap_err();
        assert!(
            matches!(&reason, AttemptError::Connect { reason } if reason.contains(expected)),
            "{reason}"
        );
    };
    let other = CertificateParams::new(vec!["mirror.example".to_owned()]).unwrap();
    check(other, "not valid for name");
    let mut expired = loopback();
    expired.not_after = rcgen::date_time_ymd(2001, 1, 1);
    expired.not_before = rcgen::date_time_ymd(2000, 1, 1);
    check(expired, "expired");
}

#[test]
fn a_redirect_out_of_encryption_is_refused() {
    let ours = authority("ours");
    let target = "http://127.0.0.1:1/x";
    let reply = format!("HTTP/1.1 302 Found\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n");
    let base = serve(&ours, loopback(), reply.as_bytes());
    let setup = Setup::new();
    let expected = AttemptError::Redirect {
        target: target.to_owned(),
        reason: "it leads from `https:` to `http:`",
    };
    assert_eq!(setup.fetch(setup.bundle(&ours.pem()), &base), Err(expected));
}

#[test]
fn roots_that_are_none_are_named() {
    let setup = Setup::new();
    let check = |roots: TrustedRoots, expected: &str| {
        let TrustedRoots::Bundle(path) = roots.clone() else {
            unreachable!("only bundles are tried");
        };
        let error = setup.fetcher(roots).unwrap_err();
        let FetchError::Roots {
            path: named,
            source,
        } = error
        else {
            panic!("expected refused roots, got {error}");
        };
        assert_eq!(named, path);
        assert!(source.to_string().contains(expected), "{source}");
    };
    check(
        setup.bundle("no certificate"),
        "it holds no PEM certificate",
    );
    check(
        setup.bundle("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n"),
        "invalid certificate encoding",
    );
    check(
        TrustedRoots::Bundle(PathBuf::from("/nonexistent/roots.pem")),
        "No such file",
    );
}
