//! The way to a mirror: proxies, mirrors of addresses, and who we are at which host.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod support;
mod tls;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use kiln_model::{Digest, SourceMirror};
use kiln_store::{
    AttemptError, FetchError, FetchSettings, Fetcher, NetrcFile, Network, ProxyAddress,
    ProxySettings, Silent, TrustedRoots, Upstream,
};

use support::{BODY, Part, Server, Setup, limits, nobody, ok, request, status, with_headers};

/// A proxy on loopback that lets through whoever says `me` and `s3cret`, if it wants to know.
struct ProxyServer {
    address: String,
    /// The first line of every request, and its credentials.
    seen: Arc<Mutex<Vec<(String, bool)>>>,
}

const CREDENTIALS: &str = "Basic bWU6czNjcmV0";

impl ProxyServer {
    /// Answers CONNECT with `refusal` instead if there is one.
    fn start(wants_credentials: bool, refusal: Option<&'static str>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let seen = Arc::clone(&shared);
                std::thread::spawn(move || {
                    pass_on(stream.unwrap(), &seen, wants_credentials, refusal);
                });
            }
        });
        Self { address, seen }
    }

    fn seen(&self) -> Vec<(String, bool)> {
        self.seen.lock().unwrap().clone()
    }
}

fn pass_on(
    mut client: TcpStream,
    seen: &Mutex<Vec<(String, bool)>>,
    wants_credentials: bool,
    refusal: Option<&str>,
) {
    let mut head = String::new();
    let mut reader = BufReader::new(client.try_clone().unwrap());
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let first = head.lines().next().unwrap().to_owned();
    let is_known = head.contains(CREDENTIALS);
    seen.lock().unwrap().push((first.clone(), is_known));
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    if wants_credentials && !is_known {
        let refusal = with_headers(
            "407 Proxy Authentication Required",
            "Content-Length: 0",
            b"",
        );
        let _ = client.write_all(&refusal);
        return;
    }
    if let Some(refusal) = refusal {
        let _ = client.write_all(refusal.as_bytes());
        return;
    }
    if method == "CONNECT" {
        let server = TcpStream::connect(target).unwrap();
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
        let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        let _ = std::io::copy(&mut &server, &mut client);
        return;
    }
    assert!(target.starts_with("http://"), "{first}");
    let place = target
        .trim_start_matches("http://")
        .split('/')
        .next()
        .unwrap();
    let mut server = TcpStream::connect(place).unwrap();
    server.write_all(head.as_bytes()).unwrap();
    let mut reply = Vec::new();
    server.read_to_end(&mut reply).unwrap();
    let _ = client.write_all(&reply);
}

fn settings() -> FetchSettings {
    let mut settings = FetchSettings::new(vec![], Network::Online);
    settings.limits = limits();
    settings
}

fn proxy(address: &str) -> Option<ProxyAddress> {
    Some(ProxyAddress {
        address: address.to_owned(),
        origin: "HTTPS_PROXY".to_owned(),
    })
}

/// Fetches from `server`; returns why that failed.
fn fetch(settings: FetchSettings, location: kiln_store::FetchLocation) -> Result<(), AttemptError> {
    let setup = Setup::new();
    let shown = format!("{settings:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    let fetcher = Fetcher::new(setup.store.clone(), settings).unwrap();
    assert!(!format!("{fetcher:?}").contains("s3cret"));
    match fetcher.fetch_all(&[request(vec![location])], &Silent) {
        Ok(_) => {
            assert_eq!(setup.store.read_blob(&Digest::of(BODY)).unwrap(), BODY);
            Ok(())
        }
        Err(error) => {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("s3cret"), "{text}");
            setup.check_empty();
            let FetchError::Failed { mut failures } = error else {
                panic!("expected a failed fetch, got {error}");
            };
            Err(failures.remove(0).attempts.remove(0).reason)
        }
    }
}

#[test]
fn plain_addresses_go_through_the_plain_proxy() {
    let server = Server::always(ok(BODY));
    let relay = ProxyServer::start(true, None);
    let through = |address: String, except: &str| {
        let mut settings = settings();
        settings.proxies = ProxySettings {
            http: proxy(&address),
            https: proxy("http://127.0.0.1:1"),
            except: vec![except.to_owned()],
        };
        fetch(settings, server.web("x"))
    };
    let with = format!("http://me:s3cret@{}", relay.address);
    assert_eq!(through(with.clone(), "other.example"), Ok(()));
    let line = format!("GET {}/x HTTP/1.1", server.base);
    assert_eq!(relay.seen(), [(line.clone(), true)]);
    assert_eq!(server.headers("authorization"), ["-"]);

    // Without a name the proxy refuses, and the hint says what it wants.
    let refused = through(relay.address.clone(), "");
    assert_eq!(refused, Err(AttemptError::Status { status: 407 }));
    assert_eq!(relay.seen().last(), Some(&(line, false)));
    assert_eq!(through(with, "10.0.0.0/8, 127.0.0.0/8"), Ok(()));
    assert_eq!((relay.seen().len(), server.asked()), (2, 2));

    let gone = nobody().to_string();
    let gone = gone.trim_end_matches("/x");
    let refused = through(gone.replace("http://", "http://me:s3cret@"), "");
    assert!(
        matches!(&refused, Err(AttemptError::Proxy { proxy, reason })
            if proxy == gone && reason.contains("Connection refused")),
        "{refused:?}"
    );
}

#[test]
fn encrypted_addresses_go_through_a_tunnel() {
    let (authority, other) = (tls::authority("ours"), tls::authority("other"));
    let base = tls::serve(&authority, tls::loopback(), &ok(BODY));
    let setup = Setup::new();
    let bundle = |name: &str, text: &str| -> PathBuf {
        let path = setup.store.root().parent().unwrap().join(name);
        fs_err::write(&path, text).unwrap();
        path
    };
    let (ours, others) = (
        bundle("ours.pem", &authority.pem()),
        bundle("other.pem", &other.pem()),
    );
    let location = || {
        let text = format!("{base}/x");
        kiln_store::FetchLocation::Location(text.parse().unwrap())
    };
    let through = |address: &str, roots: &PathBuf, more: Option<&PathBuf>| {
        let mut settings = settings();
        settings.roots = TrustedRoots::Bundle(roots.clone());
        settings.more_roots = more.cloned();
        settings.proxies.https = proxy(address);
        fetch(settings, location())
    };
    let relay = ProxyServer::start(true, None);
    let with = format!("http://me:s3cret@{}", relay.address);
    assert_eq!(through(&with, &ours, None), Ok(()));
    let line = format!("CONNECT {} HTTP/1.1", base.trim_start_matches("https://"));
    assert_eq!(relay.seen(), [(line, true)]);
    assert_eq!(
        through(&with, &others, Some(&ours)),
        Ok(()),
        "a site's own authority"
    );

    // The proxy is not whom the certificate is asked of, and does not get to choose.
    let refused = through(&with, &others, None);
    assert!(
        matches!(&refused, Err(AttemptError::Connect { reason }) if reason.contains("UnknownIssuer")),
        "{refused:?}"
    );
    let refused = |address: &str, expected: &str| {
        let outcome = through(address, &ours, None);
        let shown = address.replace("me:s3cret@", "");
        assert!(
            matches!(&outcome, Err(AttemptError::Proxy { proxy, reason })
                if *proxy == shown && reason.contains(expected)),
            "{outcome:?}"
        );
    };
    let anonymous = format!("http://{}", relay.address);
    refused(&anonymous, "proxy authorization required");
    let check = |reply: &'static str, expected: &str| {
        let relay = ProxyServer::start(false, Some(reply));
        refused(&format!("http://me:s3cret@{}", relay.address), expected);
    };
    check("HTTP/1.1 403 Forbidden\r\n\r\n", "unsuccessful");
    check(
        "HTTP/1.1 302 Found\r\nLocation: http://a/\r\n\r\n",
        "unsuccessful",
    );
    check("garbage\r\n\r\n", "unsuccessful");
    check("", "unexpected end of file");
}

#[test]
fn mirrors_are_asked_first_or_alone() {
    let upstream = Server::always(ok(BODY));
    let mirror = Server::start(|path, _| {
        vec![Part::Bytes(match path {
            "/gh/x" => ok(BODY),
            _ => status("404 Not Found"),
        })]
    });
    let with = |to: &str, policy| {
        let mut settings = settings();
        settings.upstream = policy;
        settings.mirrors = vec![SourceMirror {
            prefix: format!("{}/", upstream.base).parse().unwrap(),
            to: vec![format!("{}/{to}", mirror.base).parse().unwrap()],
        }];
        fetch(settings, upstream.web("x"))
    };
    assert_eq!(with("gh/", Upstream::AfterMirrors), Ok(()));
    assert_eq!((mirror.asked(), upstream.asked()), (1, 0));
    assert_eq!(with("empty/", Upstream::AfterMirrors), Ok(()));
    assert_eq!((mirror.asked(), upstream.asked()), (2, 1));
    let missing = Err(AttemptError::Status { status: 404 });
    assert_eq!(with("empty/", Upstream::Never), missing);
    assert_eq!((mirror.asked(), upstream.asked()), (3, 1));
    let mut alone = settings();
    alone.upstream = Upstream::Never;
    assert_eq!(
        fetch(alone, upstream.web("x")),
        Err(AttemptError::NotMirrored)
    );
    assert_eq!(upstream.asked(), 1);
}

/// A netrc file with the given mode.
fn netrc(folder: &Setup, text: &str, mode: u32) -> NetrcFile {
    let path = folder.store.root().parent().unwrap().join("netrc");
    fs_err::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    NetrcFile::At(path)
}

const OURS: &str = "machine 127.0.0.1 login me password s3cret";

#[test]
fn credentials_go_to_their_host_and_stay_there() {
    let folder = Setup::new();
    let target = Server::always(ok(BODY));
    let elsewhere = format!("{}/y", target.base);
    let server = Server::start(move |path, _| {
        let target = match path {
            "/stays" => "/x",
            "/leaves" => elsewhere.as_str(),
            _ => return vec![Part::Bytes(ok(BODY))],
        };
        let headers = format!("Location: {target}\r\nContent-Length: 0");
        vec![Part::Bytes(with_headers("302 Found", &headers, b""))]
    });
    let with = |text: &str, path: &str| {
        let mut settings = settings();
        settings.netrc = netrc(&folder, text, 0o600);
        fetch(settings, server.web(path))
    };
    assert_eq!(with(OURS, "x"), Ok(()));
    assert_eq!(with(OURS, "stays"), Ok(()));
    assert_eq!(server.headers("authorization"), [CREDENTIALS; 3]);
    // Another port is another server.
    assert_eq!(with(OURS, "leaves"), Ok(()));
    assert_eq!(target.headers("authorization"), ["-"]);
    assert_eq!(
        with("machine 127.0.0.2 login me password s3cret", "x"),
        Ok(())
    );
    assert_eq!(server.headers("authorization").last().unwrap(), "-");
    assert_eq!(with("default login me password s3cret", "x"), Ok(()));
    assert_eq!(server.headers("authorization").last().unwrap(), CREDENTIALS);
}

#[test]
fn a_password_is_not_sent_in_the_clear_through_a_network() {
    let folder = Setup::new();
    let relay = ProxyServer::start(
        false,
        Some("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    );
    let mut settings = settings();
    settings.netrc = netrc(
        &folder,
        "machine mirror.example login me password s3cret",
        0o600,
    );
    settings.proxies.http = proxy(&relay.address);
    let location = kiln_store::FetchLocation::Location("http://mirror.example/x".parse().unwrap());
    assert_eq!(
        fetch(settings, location),
        Err(AttemptError::Status { status: 404 })
    );
    let line = "GET http://mirror.example/x HTTP/1.1".to_owned();
    assert_eq!(relay.seen(), [(line, false)]);
}

#[test]
fn a_netrc_that_others_read_fails_only_where_it_is_needed() {
    let folder = Setup::new();
    let server = Server::always(ok(BODY));
    let with = |text: &str, mode| {
        let mut settings = settings();
        settings.netrc = netrc(&folder, text, mode);
        fetch(settings, server.web("x"))
    };
    let NetrcFile::At(path) = netrc(&folder, "", 0o600) else {
        unreachable!("it was just made");
    };
    let mode = 0o644;
    assert_eq!(
        with(OURS, mode),
        Err(AttemptError::NetrcExposed {
            path: path.clone(),
            mode
        })
    );
    assert_eq!(server.asked(), 0);
    assert_eq!(
        with("machine elsewhere login me password s3cret", mode),
        Ok(())
    );

    let mut settings = settings();
    settings.netrc = netrc(&folder, "machine a\nlogin me s3cret", 0o600);
    let fetcher = Fetcher::new(folder.store.clone(), settings).unwrap();
    let none: [kiln_store::FetchRequest; 0] = [];
    fetcher.fetch_all(&none, &Silent).unwrap();
    let error = fetcher
        .fetch_all(&[request(vec![server.web("x")])], &Silent)
        .unwrap_err();
    let expected = format!(
        "can not read credentials from `{}`, line 2: expected `machine`, `default`, `login`, \
         `password`, `account` or `macdef`",
        path.display()
    );
    assert_eq!(error.to_string(), expected);
}
