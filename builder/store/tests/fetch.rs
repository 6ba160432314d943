//! Fetching from servers that refuse, lie, stall and break: what is kept, and what is said.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod support;

use std::time::Duration;

use kiln_model::{Digest, Location, Sha512};
use kiln_store::{
    AttemptError, BlobInfo, BodyKind, FetchError, FetchLocation, FetchRequest, FetchSettings,
    Fetcher, Network, Received, Silent, Store, StoreError,
};

use support::{
    BODY, Heard, Part, Server, Setup, attempts, limits, nobody, ok, reason, request, status,
    with_headers,
};

#[test]
fn a_file_is_fetched_once_and_then_taken_from_the_store() {
    let server = Server::always(ok(BODY));
    let setup = Setup::new();
    let fetcher = setup.fetcher(&[], limits());
    let heard = Heard::default();
    let expected = BlobInfo {
        digest: Digest::of(BODY),
        sha512: Sha512::of(BODY),
        size: 29,
    };
    let mut request = request(vec![server.web("x")]);
    request.size = Some(29);
    let found = fetcher
        .fetch_all(std::slice::from_ref(&request), &heard)
        .unwrap();
    assert_eq!(found, [expected]);
    let lines = heard.lines();
    assert_eq!(lines.first().unwrap(), "started x-1.0.tar.gz Some(29)");
    assert_eq!(lines[lines.len() - 2], "advanced x-1.0.tar.gz 29");
    assert_eq!(lines.last().unwrap(), "finished x-1.0.tar.gz 29 from x");
    assert_eq!(setup.store.read_blob(&expected.digest).unwrap(), BODY);

    let found = fetcher.fetch_all(&[request], &heard).unwrap();
    assert_eq!(found, [expected]);
    assert_eq!(heard.lines(), ["finished x-1.0.tar.gz 29 from the store"]);
    assert_eq!(server.asked(), 1);
    let head = server.heads.lock().unwrap()[0].to_lowercase();
    assert!(
        head.contains(concat!("user-agent: kiln/", env!("CARGO_PKG_VERSION"))),
        "{head}"
    );
    assert!(head.contains("accept-encoding: identity"), "{head}");
    for header in ["cookie", "referer", "authorization", "range"] {
        assert!(!head.contains(header), "{head}");
    }
}

#[test]
fn mirrors_are_tried_in_order_past_any_failure() {
    let missing = Server::always(status("404 Not Found"));
    let lying = Server::always(ok(b"something else"));
    let good = Server::always(ok(BODY));
    let unused = Server::always(ok(BODY));
    let setup = Setup::new();
    let heard = Heard::default();
    let request = request(vec![
        missing.web("missing"),
        nobody(),
        lying.web("lying"),
        good.web("good"),
        unused.web("unused"),
    ]);
    let fetcher = setup.fetcher(&[], limits());
    fetcher.fetch_all(&[request], &heard).unwrap();
    assert_eq!(
        [missing.asked(), lying.asked(), good.asked(), unused.asked()],
        [1, 1, 1, 0]
    );
    let lines = heard.lines();
    let passed: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("passed"))
        .collect();
    assert_eq!(passed.len(), 3);
    assert_eq!(
        passed[0],
        "passed over x-1.0.tar.gz missing: the server answered 404 (Not Found)"
    );
    assert!(passed[1].starts_with("passed over x-1.0.tar.gz x: can not connect: "));
    assert!(passed[2].starts_with("passed over x-1.0.tar.gz lying: the bytes do not match"));
    assert_eq!(lines.last().unwrap(), "finished x-1.0.tar.gz 29 from good");
}

#[test]
fn archives_are_asked_for_pool_files_and_paths() {
    let empty = Server::always(status("410 Gone"));
    let full = Server::start(|path, _| {
        vec![Part::Bytes(match path {
            "/debian/pool/main/libe/libevent/libevent_2.1.orig.tar.gz"
            | "/debian/pool/main/z/zlib/zlib1g_1%3a1.2_amd64.deb" => ok(BODY),
            "/debian/dists/bookworm/InRelease" => ok(b"signed"),
            _ => status("404 Not Found"),
        })]
    });
    let pool: Location = "debian:libevent/libevent_2.1.orig.tar.gz".parse().unwrap();
    let path = "pool/main/z/zlib/zlib1g_1%3a1.2_amd64.deb".to_owned();
    for location in [
        FetchLocation::Location(pool),
        FetchLocation::ArchivePath(path),
    ] {
        let setup = Setup::new();
        let fetcher = setup.fetcher(&[&empty, &full], limits());
        fetcher
            .fetch_all(&[request(vec![location.clone()])], &Silent)
            .unwrap();
        assert_eq!(setup.store.read_blob(&Digest::of(BODY)).unwrap(), BODY);

        let setup = Setup::new();
        let attempts = attempts(&setup.fetcher(&[], limits()), request(vec![location]));
        assert_eq!(attempts[0].reason, AttemptError::NoArchive);
    }
    let setup = Setup::new();
    let fetcher = setup.fetcher(&[&empty, &full], limits());
    let index = "dists/bookworm/InRelease";
    assert_eq!(fetcher.fetch_unpinned(index, 6).unwrap(), b"signed");
    let tried = |path: &str, limit| match fetcher.fetch_unpinned(path, limit).unwrap_err() {
        FetchError::Index { attempts, .. } => attempts
            .into_iter()
            .map(|attempt| attempt.reason)
            .collect::<Vec<_>>(),
        other => panic!("expected a failed index, got {other}"),
    };
    let gone = AttemptError::Status { status: 410 };
    let too_long = AttemptError::Limit {
        limit: 5,
        actual: Received::Exactly(6),
        kind: BodyKind::Other,
    };
    assert_eq!(tried(index, 5), [gone.clone(), too_long]);
    assert_eq!(
        tried("dists/x", 6),
        [gone, AttemptError::Status { status: 404 }]
    );
    let reason = "the path has an empty, `.` or `..` part".to_owned();
    assert_eq!(tried("../secret", 6), [AttemptError::Address { reason }]);
    setup.check_empty();
}

#[test]
fn wrong_bytes_everywhere_are_told_for_every_location() {
    let old = Server::always(ok(b"old"));
    let page = Server::always(ok(b"\n<!DOCTYPE html><title>log in</title>"));
    let setup = Setup::new();
    let request = request(vec![old.web("old"), page.web("page")]);
    let error = setup.fetcher(&[], limits()).fetch_all(&[request], &Silent);
    let text = error.unwrap_err().to_string();
    let expected = format!(
        "no location gave `x-1.0.tar.gz`\n  \
         {}/old: the bytes do not match\n    expected  {digest}\n    actual    {}\n  \
         {}/page: the bytes do not match; it is a page of HTML, not the file\n    \
         expected  {digest}\n    actual    {}\n\n\
         hint: upstream may have re-released the file; inspect it, then pin it anew",
        old.base,
        Digest::of(b"old"),
        page.base,
        Digest::of(b"\n<!DOCTYPE html><title>log in</title>"),
        digest = Digest::of(BODY),
    );
    assert_eq!(text, expected);
    setup.check_empty();
    assert_eq!((old.asked(), page.asked()), (1, 1));
}

#[test]
fn a_body_of_another_size_is_refused_with_both_sizes() {
    let chunked = |body: &[u8]| {
        let head = "Transfer-Encoding: chunked";
        let text = format!(
            "{:x}\r\n{}\r\n0\r\n\r\n",
            body.len(),
            str::from_utf8(body).unwrap()
        );
        with_headers("200 OK", head, text.as_bytes())
    };
    let unannounced = with_headers("200 OK", "X-Nothing: 1", BODY);
    let page = ok(b"<html>please accept our cookies</html>");
    let check = |reply: Vec<u8>, size: u64, actual: Received, kind: BodyKind| {
        let found = reason(&Server::always(reply), limits(), Some(size));
        let expected = size;
        assert_eq!(
            found,
            AttemptError::Length {
                expected,
                actual,
                kind
            }
        );
    };
    check(ok(BODY), 30, Received::Exactly(29), BodyKind::Other);
    check(ok(BODY), 28, Received::Exactly(29), BodyKind::Other);
    check(chunked(BODY), 30, Received::Exactly(29), BodyKind::Other);
    check(chunked(BODY), 28, Received::AtLeast(29), BodyKind::Other);
    check(
        unannounced.clone(),
        30,
        Received::Exactly(29),
        BodyKind::Other,
    );
    check(unannounced, 28, Received::AtLeast(29), BodyKind::Other);
    check(page.clone(), 29, Received::Exactly(38), BodyKind::WebPage);
    check(page, 1000, Received::Exactly(38), BodyKind::WebPage);
    check(ok(b""), 29, Received::Exactly(0), BodyKind::Other);
}

#[test]
fn a_body_of_unknown_size_is_bounded() {
    let mut limits = limits();
    limits.size_limit = 10_000;
    let announced = Server::always(with_headers(
        "200 OK",
        "Content-Length: 99999999999999",
        b"x",
    ));
    let found = reason(&announced, limits.clone(), None);
    let limit = 10_000;
    let kind = BodyKind::Other;
    let actual = Received::Exactly(99_999_999_999_999);
    assert_eq!(
        found,
        AttemptError::Limit {
            limit,
            actual,
            kind
        }
    );
    let endless = Server::start(|_, _| {
        vec![
            Part::Bytes(with_headers("200 OK", "X-Nothing: 1", b"")),
            Part::Endless(vec![0; 4096]),
        ]
    });
    let found = reason(&endless, limits, None);
    let AttemptError::Limit {
        limit: 10_000,
        actual: Received::AtLeast(bytes),
        kind: BodyKind::Other,
    } = found
    else {
        panic!("expected an exceeded limit, got {found}");
    };
    assert!(bytes > 10_000);
}

#[test]
fn a_body_that_breaks_off_is_asked_for_again_and_is_no_blob() {
    let broken = Server::always(with_headers("200 OK", "Content-Length: 1000", BODY));
    let setup = Setup::new();
    let mut request = request(vec![broken.web("x")]);
    request.sha256 = Digest::of(b"a whole of which this is no beginning");
    let failed = attempts(&setup.fetcher(&[], limits()), request);
    assert!(
        matches!(
            failed[0].reason,
            AttemptError::Broken {
                received: 29,
                announced: Some(1000),
                ..
            }
        ),
        "{}",
        failed[0].reason
    );
    assert_eq!((failed[0].tries, broken.asked()), (3, 3));
    assert_eq!(setup.partials(), [BODY]);
    let blobs = walkdir::WalkDir::new(setup.store.root().join("blobs/sha256")).min_depth(1);
    assert_eq!(blobs.into_iter().count(), 0);
}

#[test]
fn only_what_may_pass_is_asked_for_again() {
    let check = |line: &'static str, tries: usize| {
        let server = Server::start(move |_, before| {
            let patient = "Retry-After: 1000000000\r\nContent-Length: 0";
            let reply = if before == 2 && tries == 3 {
                ok(BODY)
            } else {
                with_headers(line, patient, b"")
            };
            vec![Part::Bytes(reply)]
        });
        if tries == 3 {
            let setup = Setup::new();
            let request = request(vec![server.web("x")]);
            setup
                .fetcher(&[], limits())
                .fetch_all(&[request], &Silent)
                .unwrap();
        } else {
            let status = line[..3].parse().unwrap();
            let found = reason(&server, limits(), None);
            assert_eq!(found, AttemptError::Status { status });
        }
        assert_eq!(server.asked(), tries, "{line}");
    };
    check("503 Service Unavailable", 3);
    check("500 Internal Server Error", 3);
    for line in [
        "404 Not Found",
        "410 Gone",
        "401 Unauthorized",
        "403 Forbidden",
        "429 Too Many Requests",
        "204 No Content",
        "206 Partial Content",
        "304 Not Modified",
    ] {
        check(line, 1);
    }
    let always = Server::always(status("502 Bad Gateway"));
    let found = reason(&always, limits(), None);
    assert_eq!(found, AttemptError::Status { status: 502 });
    assert_eq!(always.asked(), 3);
}

#[test]
fn redirects_are_followed_so_far_and_only_on_the_web() {
    let redirect = |target: &str| {
        let headers = format!("Location: {target}\r\nContent-Length: 0");
        vec![Part::Bytes(with_headers("302 Found", &headers, b""))]
    };
    let chain = Server::start(move |path, _| match path {
        "/x" => redirect("4"),
        "/0" => vec![Part::Bytes(ok(BODY))],
        _ => redirect(&format!("./{}", path[1..].parse::<u32>().unwrap() - 1)),
    });
    let setup = Setup::new();
    let good = request(vec![chain.web("x")]);
    setup
        .fetcher(&[], limits())
        .fetch_all(&[good], &Silent)
        .unwrap();
    assert_eq!(chain.asked(), 6);

    let setup = Setup::new();
    let attempts = attempts(&setup.fetcher(&[], limits()), request(vec![chain.web("6")]));
    assert_eq!(attempts[0].reason, AttemptError::Redirects { limit: 5 });
    assert_eq!(chain.asked(), 12);

    let circle = Server::start(move |_, _| redirect("/x"));
    let setup = Setup::new();
    let failed = self::attempts(
        &setup.fetcher(&[], limits()),
        request(vec![circle.web("x")]),
    );
    assert_eq!(failed[0].reason, AttemptError::Redirects { limit: 5 });
    let scheme = "only `http:` and `https:` are fetched";
    for (target, shown, reason) in [
        ("ftp://127.0.0.1/x", "ftp://127.0.0.1/x", scheme),
        ("file:///etc/passwd", "file:///etc/passwd", scheme),
        ("javascript:alert(1)", "javascript:alert(1)", scheme),
        (
            "http://me:secret@127.0.0.1/x",
            "http://127.0.0.1/x",
            "it carries credentials",
        ),
        ("http://[", "http://[", "it is not an address"),
    ] {
        let server = Server::start(move |_, _| redirect(target));
        let expected = AttemptError::Redirect {
            target: shown.to_owned(),
            reason,
        };
        assert_eq!(self::reason(&server, limits(), None), expected);
    }
    let nowhere = Server::always(status("302 Found"));
    assert_eq!(
        reason(&nowhere, limits(), None),
        AttemptError::Status { status: 302 }
    );
}

#[test]
fn an_encoded_body_is_refused() {
    for (encoding, shown) in [
        ("gzip", "gzip"),
        ("br, gzip", "br, gzip"),
        ("x-gzip", "x-gzip"),
    ] {
        let headers = format!("Content-Encoding: {encoding}\r\nContent-Length: 29");
        let server = Server::always(with_headers("200 OK", &headers, BODY));
        let encoding = shown.to_owned();
        assert_eq!(
            reason(&server, limits(), None),
            AttemptError::Encoding { encoding }
        );
    }
    let headers = "Content-Encoding: identity\r\nContent-Length: 29";
    let server = Server::always(with_headers("200 OK", headers, BODY));
    let setup = Setup::new();
    let request = request(vec![server.web("x")]);
    setup
        .fetcher(&[], limits())
        .fetch_all(&[request], &Silent)
        .unwrap();
}

#[test]
fn a_silent_server_is_given_up() {
    let mut limits = limits();
    limits.connect_timeout = Duration::from_millis(200);
    limits.idle_timeout = Duration::from_millis(200);
    limits.retries = 0;
    let long = || Part::Pause(Duration::from_secs(60));
    let mute = Server::start(move |_, _| vec![long()]);
    let found = reason(&mute, limits.clone(), None);
    let idle = Duration::from_millis(400);
    assert_eq!(found, AttemptError::Idle { idle });
    let half = Server::start(move |_, _| {
        let start = with_headers("200 OK", "Content-Length: 29", &BODY[..9]);
        vec![Part::Bytes(start), long()]
    });
    let found = reason(&half, limits, None);
    let idle = Duration::from_millis(200);
    assert_eq!(found, AttemptError::Idle { idle });
}

#[test]
fn a_trickle_is_given_up() {
    let mut limits = limits();
    limits.rate_window = Duration::from_millis(250);
    limits.minimum_rate = 4000;
    let trickle = Server::start(move |_, _| {
        let mut parts = vec![Part::Bytes(with_headers("200 OK", "X-Nothing: 1", b""))];
        for _ in 0..1000 {
            parts.push(Part::Bytes(vec![b'x']));
            parts.push(Part::Pause(Duration::from_millis(20)));
        }
        parts
    });
    let found = reason(&trickle, limits, None);
    let AttemptError::Slow {
        window,
        expected: 1000,
        actual,
    } = found
    else {
        panic!("expected a slow body, got {found}");
    };
    assert_eq!(window, Duration::from_millis(250));
    assert!(actual < 100, "{actual}");
}

#[test]
fn a_length_that_lies_ends_where_it_says() {
    // More bytes than announced are not read; they are another file then.
    for (length, taken) in [(10, &BODY[..10]), (0, &BODY[..0])] {
        let headers = format!("Content-Length: {length}");
        let server = Server::always(with_headers("200 OK", &headers, BODY));
        let expected = AttemptError::Mismatch {
            expected: Digest::of(BODY),
            actual: Digest::of(taken),
            kind: BodyKind::Other,
        };
        assert_eq!(reason(&server, limits(), None), expected);
    }
    for headers in [
        "Content-Length: 29\r\nContent-Length: 10",
        "Content-Length: -1",
        "Content-Length: 99999999999999999999999999",
    ] {
        let server = Server::always(with_headers("200 OK", headers, BODY));
        let found = reason(&server, limits(), None);
        assert!(
            matches!(found, AttemptError::Answer { .. }),
            "{headers}: {found}"
        );
    }
}

#[test]
fn a_head_without_end_is_given_up() {
    for line in ["X-Header: value\r\n", "x"] {
        let server = Server::start(move |_, _| {
            vec![
                Part::Bytes(b"HTTP/1.1 200 OK\r\n".to_vec()),
                Part::Endless(line.repeat(1000).into_bytes()),
            ]
        });
        let found = reason(&server, limits(), None);
        assert!(
            matches!(found, AttemptError::Answer { .. }),
            "{line}: {found}"
        );
    }
}

#[test]
fn an_encoded_bomb_is_not_even_read() {
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    for _ in 0..64 {
        std::io::Write::write_all(&mut bomb, &[0; 1024 * 1024]).unwrap();
    }
    let headers = "Content-Encoding: gzip\r\nContent-Type: application/x-tar";
    let server = Server::always(with_headers("200 OK", headers, &bomb.finish().unwrap()));
    let encoding = "gzip".to_owned();
    assert_eq!(
        reason(&server, limits(), None),
        AttemptError::Encoding { encoding }
    );
}

#[test]
fn garbage_is_no_answer() {
    for text in [
        "",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "\0\0\0\0",
    ] {
        let found = reason(&Server::always(text), limits(), None);
        assert!(
            matches!(found, AttemptError::Answer { .. }),
            "{text}: {found}"
        );
    }
}

#[test]
fn one_digest_is_fetched_once_and_all_requests_are_answered_in_order() {
    let server = Server::start(|path, _| vec![Part::Bytes(ok(path.as_bytes()))]);
    let setup = Setup::new();
    let named = |n: usize| FetchRequest {
        name: format!("file-{n}"),
        locations: vec![server.web(&format!("{}", n % 20))],
        sha256: Digest::of(format!("/{}", n % 20).as_bytes()),
        size: None,
    };
    let requests: Vec<_> = (0..40).map(named).collect();
    let heard = Heard::default();
    let found = setup
        .fetcher(&[], limits())
        .fetch_all(&requests, &heard)
        .unwrap();
    let digests: Vec<_> = found.iter().map(|info| info.digest).collect();
    let expected: Vec<_> = requests.iter().map(|request| request.sha256).collect();
    assert_eq!(digests, expected);
    assert_eq!(server.asked(), 20);
    let lines = heard.lines();
    let count = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!((count("started "), count("finished ")), (20, 20));
    let none: [FetchRequest; 0] = [];
    assert_eq!(setup.offline().fetch_all(&none, &Silent).unwrap(), []);
}

#[test]
fn kilns_that_share_a_store_fetch_a_file_once() {
    let server = Server::start(|_, _| {
        let text = ok(BODY);
        let (start, rest) = text.split_at(text.len() - 5);
        vec![
            Part::Bytes(start.to_vec()),
            Part::Pause(Duration::from_millis(300)),
            Part::Bytes(rest.to_vec()),
        ]
    });
    let setup = Setup::new();
    let request = request(vec![server.web("x")]);
    let lines = std::thread::scope(|scope| {
        let kilns = [(); 4].map(|()| {
            scope.spawn(|| {
                let store = Store::open(setup.store.root()).unwrap();
                let settings = FetchSettings::new(Vec::new(), Network::Online);
                let heard = Heard::default();
                let fetcher = Fetcher::new(store, settings).unwrap();
                let found = fetcher.fetch_all(std::slice::from_ref(&request), &heard);
                assert_eq!(found.unwrap()[0].digest, Digest::of(BODY));
                heard.lines().pop().unwrap()
            })
        });
        kilns.map(|kiln| kiln.join().unwrap())
    });
    assert_eq!(server.asked(), 1);
    let count = |origin: &str| lines.iter().filter(|line| line.ends_with(origin)).count();
    assert_eq!((count("from x"), count("from the store")), (1, 3));
}

#[test]
fn what_fails_does_not_stop_the_rest_and_is_all_told() {
    let server = Server::start(|path, _| {
        vec![Part::Bytes(match path {
            "/good" => ok(BODY),
            _ => status("404 Not Found"),
        })]
    });
    let setup = Setup::new();
    let absent = |name: &str| FetchRequest {
        name: name.to_owned(),
        locations: vec![server.web(name)],
        sha256: Digest::of(name.as_bytes()),
        size: None,
    };
    let mut nowhere = absent("nowhere");
    nowhere.locations.clear();
    let requests = [
        absent("b"),
        request(vec![server.web("good")]),
        absent("a"),
        nowhere,
    ];
    let error = setup
        .fetcher(&[], limits())
        .fetch_all(&requests, &Silent)
        .unwrap_err();
    let expected = format!(
        "no location gave `b`\n  {base}/b: the server answered 404 (Not Found)\n  expected  {}\n\
         no location gave `a`\n  {base}/a: the server answered 404 (Not Found)\n  expected  {}\n\
         no location gave `nowhere`\n  no location is known\n  expected  {}",
        Digest::of(b"b"),
        Digest::of(b"a"),
        Digest::of(b"nowhere"),
        base = server.base,
    );
    assert_eq!(error.to_string(), expected);
    assert!(setup.store.contains(&Digest::of(BODY)));
}

#[test]
fn a_size_that_contradicts_its_digest_is_named() {
    let setup = Setup::new();
    setup.store.write_blob(BODY).unwrap();
    let mut request = request(vec![]);
    request.size = Some(7);
    let error = setup.offline().fetch_all(&[request], &Silent).unwrap_err();
    assert!(
        matches!(&error, FetchError::Size { expected: 7, actual: 29, name, .. } if name == "x-1.0.tar.gz"),
        "{error}"
    );
}

#[test]
fn a_damaged_blob_is_fetched_anew() {
    let server = Server::always(ok(BODY));
    let setup = Setup::new();
    let path = setup.store.blob_path(&Digest::of(BODY));
    let request = request(vec![server.web("x")]);
    fs_err::write(&path, "damaged").unwrap();
    let error = setup
        .offline()
        .fetch_all(std::slice::from_ref(&request), &Silent);
    let Err(FetchError::Offline { missing }) = error else {
        panic!("expected a missing blob");
    };
    let evidence = missing[0].damaged.clone().unwrap();
    assert_eq!(fs_err::read(evidence).unwrap(), b"damaged");

    fs_err::write(&path, "damaged").unwrap();
    setup
        .fetcher(&[], limits())
        .fetch_all(&[request], &Silent)
        .unwrap();
    assert_eq!(setup.store.read_blob(&Digest::of(BODY)).unwrap(), BODY);
}

#[test]
fn offline_says_what_is_missing_and_opens_no_socket() {
    let server = Server::always(ok(BODY));
    let setup = Setup::new();
    setup.store.write_blob(b"here").unwrap();
    let mut here = request(vec![]);
    here.sha256 = Digest::of(b"here");
    let pool: Location = "debian:curl/curl_7.88.1.orig.tar.gz".parse().unwrap();
    let away = request(vec![server.web("x"), FetchLocation::Location(pool)]);
    let fetcher = setup.offline();
    let heard = Heard::default();
    let error = fetcher
        .fetch_all(&[away, here.clone()], &heard)
        .unwrap_err();
    let expected = format!(
        "1 file is missing from the store and the network is switched off\n  \
         `x-1.0.tar.gz`\n    \
         from      {}/x\n    \
         from      http://mirror.example/debian/pool/main/c/curl/curl_7.88.1.orig.tar.gz\n    \
         digest    {}\n\n\
         hint: run `kiln fetch` where there is a network, or import a bundle",
        server.base,
        Digest::of(BODY)
    );
    assert_eq!(error.to_string(), expected);
    assert_eq!(fetcher.fetch_all(&[here], &heard).unwrap().len(), 1);
    let error = fetcher
        .fetch_unpinned("dists/bookworm/InRelease", 1)
        .unwrap_err();
    assert!(
        matches!(&error, FetchError::OfflineIndex { path } if path == "dists/bookworm/InRelease")
    );
    assert_eq!(server.asked(), 0);
    assert!(!format!("{fetcher:?}").contains("secret"));
}

#[test]
fn credentials_of_an_archive_are_used_but_never_shown() {
    let server = Server::always(status("404 Not Found"));
    let setup = Setup::new();
    let base = server.base.replace("http://", "http://user:secret@");
    let settings = FetchSettings::new(vec![base], Network::Online);
    assert!(!format!("{settings:?}").contains("secret"));
    let fetcher = Fetcher::new(setup.store.clone(), settings).unwrap();
    let location = FetchLocation::ArchivePath("pool/x".to_owned());
    let error = fetcher
        .fetch_all(&[request(vec![location])], &Silent)
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("/pool/x: the server answered 404"),
        "{error}"
    );
    assert!(!format!("{error} {error:?} {fetcher:?}").contains("secret"));
    let head = server.heads.lock().unwrap()[0].to_lowercase();
    assert!(head.contains("authorization: basic "), "{head}");
}

#[test]
fn an_archive_that_is_no_web_address_is_refused() {
    let setup = Setup::new();
    for (text, shown) in [
        ("file:///srv/debian", "file:///srv/debian"),
        ("ftp://me:secret@host/debian", "ftp://host/debian"),
        ("debian", "debian"),
        ("me:secret@debian", "debian"),
    ] {
        let settings = FetchSettings::new(vec![text.to_owned()], Network::Online);
        let error = Fetcher::new(setup.store.clone(), settings).unwrap_err();
        assert!(
            matches!(&error, FetchError::Archive { address, .. } if address == shown),
            "{text}: {error}"
        );
    }
}

#[test]
fn a_store_that_fails_stops_the_fetch() {
    let server = Server::always(ok(BODY));
    let setup = Setup::new();
    let fetcher = setup.fetcher(&[], limits());
    // Nothing can be written where no folder is.
    fs_err::remove_dir_all(setup.store.root().join("tmp")).unwrap();
    let request = request(vec![server.web("x")]);
    let error = fetcher.fetch_all(&[request], &Silent).unwrap_err();
    assert!(
        matches!(&error, FetchError::Store(StoreError::Io { path, .. }) if path.starts_with(setup.store.root())),
        "{error}"
    );
}

#[tokio::test]
async fn fetching_works_within_another_runtime() {
    let server = Server::always(ok(BODY));
    let setup = Setup::new();
    let fetcher = setup.fetcher(&[], limits());
    let request = request(vec![server.web("x")]);
    fetcher.fetch_all(&[request], &Silent).unwrap();
    drop(fetcher);
}
