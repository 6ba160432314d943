//! Downloads that break off: they go on where they ended, and only with what is exactly the rest.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use kiln_model::Digest;
use kiln_store::{
    AttemptError, BodyKind, FetchError, FetchLimits, FetchProgress, FetchRequest, Silent, Store,
};

use support::{
    Asked, BODY, Heard, Part, Server, Setup, attempts, limits, ok, request, status, with_headers,
};

/// The first bytes of the body, and then the connection ends.
fn broken(body: &[u8], headers: &str, bytes: usize) -> Vec<u8> {
    let headers = format!("{headers}\r\nContent-Length: {}", body.len());
    with_headers("200 OK", &headers, &body[..bytes])
}

fn rest(body: &[u8], offset: usize) -> Vec<u8> {
    let (last, total) = (body.len() - 1, body.len());
    partial(
        &format!("Content-Range: bytes {offset}-{last}/{total}"),
        &body[offset..],
    )
}

fn partial(headers: &str, body: &[u8]) -> Vec<u8> {
    let headers = format!("{headers}\r\nContent-Length: {}", body.len());
    with_headers("206 Partial Content", &headers, body)
}

/// Breaks off after ten bytes, and then replies as told.
fn breaks_then(
    headers: &'static str,
    then: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static,
) -> Server {
    Server::asked_for(move |asked| {
        vec![Part::Bytes(match asked.before {
            0 => broken(BODY, headers, 10),
            _ => then(asked),
        })]
    })
}

fn fetch(setup: &Setup, request: FetchRequest) {
    setup
        .fetcher(&[], limits())
        .fetch_all(&[request], &Silent)
        .unwrap();
    assert_eq!(setup.store.read_blob(&Digest::of(BODY)).unwrap(), BODY);
    assert_eq!(setup.partials(), Vec::<Vec<u8>>::new());
}

const DATE: &str = "Sat, 01 Jan 2000 00:00:00 GMT";

#[test]
fn a_broken_body_goes_on_where_it_ended() {
    for (headers, condition) in [
        ("ETag: \"1\"", "\"1\""),
        (
            "ETag: W/\"1\"\r\nLast-Modified: Sat, 01 Jan 2000 00:00:00 GMT",
            DATE,
        ),
        ("X-Nothing: 1", "-"),
    ] {
        for size in [None, Some(29)] {
            let server = breaks_then(headers, |_| rest(BODY, 10));
            let setup = Setup::new();
            let mut request = request(vec![server.web("x")]);
            request.size = size;
            let heard = Heard::default();
            let fetcher = setup.fetcher(&[], limits());
            fetcher.fetch_all(&[request], &heard).unwrap();
            assert_eq!(setup.store.read_blob(&Digest::of(BODY)).unwrap(), BODY);
            assert_eq!(server.headers("range"), ["-", "bytes=10-"]);
            assert_eq!(server.headers("if-range"), ["-", condition]);
            let lines = heard.lines();
            let advanced = lines
                .iter()
                .filter_map(|line| line.strip_prefix("advanced x-1.0.tar.gz "));
            assert_eq!(advanced.collect::<Vec<_>>(), ["0", "10", "10", "29"]);
            assert_eq!(setup.partials(), Vec::<Vec<u8>>::new());
        }
    }
}

#[test]
fn a_whole_body_in_place_of_the_rest_starts_anew() {
    let server = breaks_then("ETag: \"1\"", |_| ok(BODY));
    fetch(&Setup::new(), request(vec![server.web("x")]));
    assert_eq!(server.headers("range"), ["-", "bytes=10-"]);
}

#[test]
fn what_is_not_exactly_the_rest_starts_anew() {
    let replies: Vec<Vec<u8>> = vec![
        status("416 Range Not Satisfiable"),
        partial("X-Nothing: 1", &BODY[10..]),
        partial("Content-Range: bytes 9-28/29", &BODY[9..]),
        partial("Content-Range: bytes 11-28/29", &BODY[11..]),
        partial("Content-Range: bytes 10-20/29", &BODY[10..21]),
        partial("Content-Range: bytes 10-28/30", &BODY[10..]),
        partial("Content-Range: bytes 10-28/*", &BODY[10..]),
        partial("Content-Range: bytes 10-28/29", BODY),
        partial(
            "Content-Range: bytes 10-28/29\r\nContent-Range: bytes 0-28/29",
            &BODY[10..],
        ),
        partial("Content-Type: multipart/byteranges; boundary=x", b"--x--"),
        // It says that it is the rest, but it is another file's.
        rest(b"the right length, but other!!", 10),
        rest(b"another file that is longer than this", 10),
    ];
    for reply in replies {
        let shown = String::from_utf8_lossy(&reply).into_owned();
        for size in [None, Some(29)] {
            let reply = reply.clone();
            let server = breaks_then("ETag: \"1\"", move |asked| match asked.header("range") {
                Some(_) => reply.clone(),
                None => ok(BODY),
            });
            let mut request = request(vec![server.web("x")]);
            request.size = size;
            fetch(&Setup::new(), request);
            assert_eq!(server.headers("range"), ["-", "bytes=10-", "-"], "{shown}");
        }
    }
}

#[test]
fn a_beginning_that_proves_wrong_is_not_kept() {
    // Wrong from the start, and wrong anew.
    let server = Server::asked_for(|asked| {
        let wrong = b"not the bytes that were asked";
        vec![Part::Bytes(match (asked.before, asked.header("range")) {
            (0, _) => broken(wrong, "X-Nothing: 1", 10),
            (_, Some(_)) => rest(wrong, 10),
            (_, None) => ok(wrong),
        })]
    });
    let setup = Setup::new();
    let failed = attempts(
        &setup.fetcher(&[], limits()),
        request(vec![server.web("x")]),
    );
    let expected = AttemptError::Mismatch {
        expected: Digest::of(BODY),
        actual: Digest::of(b"not the bytes that were asked"),
        kind: BodyKind::Other,
    };
    assert_eq!(failed[0].reason, expected);
    assert_eq!(server.headers("range"), ["-", "bytes=10-", "-"]);
    setup.check_empty();
}

#[test]
fn the_next_run_goes_on_and_so_does_the_next_mirror() {
    let setup = Setup::new();
    let first = Server::always(broken(BODY, "ETag: \"1\"", 10));
    let mut patient = limits();
    patient.retries = 0;
    let failed = attempts(
        &setup.fetcher(&[], patient.clone()),
        request(vec![first.web("x")]),
    );
    assert!(matches!(
        failed[0].reason,
        AttemptError::Broken { received: 10, .. }
    ));
    assert_eq!(setup.partials(), [&BODY[..10]]);

    // Another kiln, and a mirror that has nothing: what is there stays.
    let root = setup.store.root().to_owned();
    let next = Setup {
        store: Store::open(&root).unwrap(),
        ..setup
    };
    let missing = Server::always(status("404 Not Found"));
    attempts(
        &next.fetcher(&[], limits()),
        request(vec![missing.web("x")]),
    );
    assert_eq!(missing.headers("range"), ["bytes=10-"]);
    assert_eq!(
        missing.headers("if-range"),
        ["-"],
        "what another server says is no business of this one"
    );
    assert_eq!(next.partials(), [&BODY[..10]]);

    // The first again, which breaks again, and then a mirror through a redirect.
    let again = Server::asked_for(|asked| {
        let headers = "Content-Range: bytes 10-28/29\r\nContent-Length: 19";
        vec![Part::Bytes(match asked.before {
            0 => with_headers("206 Partial Content", headers, &BODY[10..15]),
            _ => status("404 Not Found"),
        })]
    });
    let good = Server::asked_for(|asked| {
        vec![Part::Bytes(
            match (asked.path.as_str(), asked.header("range")) {
                ("/x", _) => with_headers("302 Found", "Location: /y\r\nContent-Length: 0", b""),
                (_, Some("bytes=15-")) => rest(BODY, 15),
                _ => status("400 Bad Request"),
            },
        )]
    });
    fetch(&next, request(vec![again.web("x"), good.web("x")]));
    assert_eq!(again.headers("range"), ["bytes=10-", "bytes=15-"]);
    assert_eq!(good.headers("range"), ["bytes=15-"; 2]);
}

#[test]
fn what_is_whole_already_needs_no_server() {
    let setup = Setup::new();
    let path = setup
        .store
        .root()
        .join(format!("tmp/partial-{}", Digest::of(BODY).to_hex()));
    fs_err::write(&path, BODY).unwrap();
    let server = Server::always(status("404 Not Found"));
    fetch(&setup, request(vec![server.web("x")]));
    assert_eq!(server.asked(), 0);
    // More than the file has is no beginning of it.
    let setup = Setup::new();
    let path = setup
        .store
        .root()
        .join(format!("tmp/partial-{}", Digest::of(BODY).to_hex()));
    fs_err::write(&path, [BODY, b"more"].concat()).unwrap();
    let server = Server::always(ok(BODY));
    let mut request = request(vec![server.web("x")]);
    request.size = Some(29);
    fetch(&setup, request);
    assert_eq!(server.headers("range"), ["-"]);
}

/// A large body, and a server that sends so many bytes of it at a time.
fn in_pieces(piece: usize, heeds_ranges: bool) -> (Vec<u8>, Server) {
    let body: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sent = body.clone();
    let server = Server::asked_for(move |asked| {
        let from = asked.header("range").filter(|_| heeds_ranges);
        let from = from.map_or(0, |range| {
            range
                .trim_start_matches("bytes=")
                .trim_end_matches('-')
                .parse()
                .unwrap()
        });
        let end = sent.len().min(from + piece);
        let (last, total, length) = (sent.len() - 1, sent.len(), sent.len() - from);
        let (line, headers) = match from {
            0 => ("200 OK", format!("Content-Length: {total}")),
            _ => (
                "206 Partial Content",
                format!("Content-Length: {length}\r\nContent-Range: bytes {from}-{last}/{total}"),
            ),
        };
        vec![Part::Bytes(with_headers(line, &headers, &sent[from..end]))]
    });
    (body, server)
}

#[test]
fn a_line_that_breaks_again_and_again_is_borne_while_it_brings_much() {
    let try_it = |piece, heeds_ranges| {
        let (body, server) = in_pieces(piece, heeds_ranges);
        let setup = Setup::new();
        let mut request = request(vec![server.web("x")]);
        request.sha256 = Digest::of(&body);
        let outcome = setup.fetcher(&[], limits()).fetch_all(&[request], &Silent);
        (outcome, server.asked())
    };
    let (outcome, asked) = try_it(1_100_000, true);
    assert_eq!((outcome.unwrap()[0].size, asked), (5_000_000, 5));
    let broken = |outcome: Result<_, FetchError>| match outcome {
        Err(FetchError::Failed { mut failures }) => {
            match failures.remove(0).attempts.remove(0).reason {
                AttemptError::Broken { received, .. } => received,
                other => panic!("expected a broken body, got {other}"),
            }
        }
        other => panic!("expected a failed fetch, got {other:?}"),
    };
    let (outcome, asked) = try_it(1000, true);
    assert_eq!(
        (broken(outcome), asked),
        (3000, 3),
        "little at a time is given up"
    );
    let (outcome, asked) = try_it(1_100_000, false);
    assert_eq!(
        (broken(outcome), asked),
        (1_100_000, 3),
        "the same again is no progress"
    );
}

/// Raises a flag when the first bytes have come.
struct StopAtBytes(Arc<AtomicBool>);

impl FetchProgress for StopAtBytes {
    fn started(&self, _name: &str, _size: Option<u64>) {}
    fn advanced(&self, _name: &str, bytes: u64) {
        if bytes > 0 {
            self.0.store(true, Ordering::SeqCst);
        }
    }
    fn finished(
        &self,
        _name: &str,
        _info: &kiln_store::BlobInfo,
        _origin: kiln_store::FetchOrigin,
    ) {
    }
}

#[test]
fn an_endless_body_stops_when_asked() {
    let endless = Server::asked_for(|_| {
        vec![
            Part::Bytes(with_headers("200 OK", "X-Nothing: 1", b"")),
            Part::Endless(vec![0; 65_536]),
        ]
    });
    let setup = Setup::new();
    let flag = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&flag);
    let without_end = FetchLimits {
        size_limit: u64::MAX,
        ..limits()
    };
    let fetcher = setup
        .fetcher(&[], without_end)
        .stop_when(move || asked.load(Ordering::SeqCst));
    let error = fetcher.fetch_all(&[request(vec![endless.web("x")])], &StopAtBytes(flag));
    assert!(matches!(error, Err(FetchError::Cancelled)), "{error:?}");
}

#[test]
fn who_is_asked_to_stop_stops_and_keeps_the_beginning() {
    let stalls = Server::asked_for(|_| {
        vec![
            Part::Bytes(broken(BODY, "ETag: \"1\"", 10)),
            Part::Pause(Duration::from_secs(600)),
        ]
    });
    let setup = Setup::new();
    let flag = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&flag);
    let fetcher = setup
        .fetcher(
            &[],
            FetchLimits {
                idle_timeout: Duration::from_secs(600),
                ..limits()
            },
        )
        .stop_when(move || asked.load(Ordering::SeqCst));
    let request = request(vec![stalls.web("x")]);
    let error = fetcher
        .fetch_all(std::slice::from_ref(&request), &StopAtBytes(flag))
        .unwrap_err();
    assert!(matches!(error, FetchError::Cancelled), "{error}");
    assert_eq!(setup.partials(), [&BODY[..10]]);
    // Who was asked before does not even begin.
    let error = fetcher
        .fetch_all(std::slice::from_ref(&request), &Silent)
        .unwrap_err();
    assert!(matches!(error, FetchError::Cancelled), "{error}");
    let error = setup
        .fetcher(&[&stalls], limits())
        .stop_when(|| true)
        .fetch_unpinned("x", 1);
    assert!(matches!(error, Err(FetchError::Cancelled)), "{error:?}");
    let good = Server::always(rest(BODY, 10));
    fetch(
        &setup,
        FetchRequest {
            locations: vec![good.web("x")],
            ..request
        },
    );
}
