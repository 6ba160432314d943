//! A server as rude as a test wants, and a fetcher that meets it.

#![allow(dead_code, reason = "each test uses its part")]

use std::io::{BufRead, BufReader, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kiln_model::Digest;
use kiln_store::{
    Attempt, AttemptError, BlobInfo, FetchError, FetchLimits, FetchLocation, FetchOrigin,
    FetchProgress, FetchRequest, FetchSettings, Fetcher, Network, Silent, Store,
};
use tempfile::TempDir;

/// What a server does with one request: it sends the parts, waits where it is told, and closes.
pub enum Part {
    Bytes(Vec<u8>),
    Pause(Duration),
    /// The bytes, over and over, until the client has enough.
    Endless(Vec<u8>),
}

pub type Reply = Vec<Part>;

/// One request.
pub struct Asked {
    pub path: String,
    /// Requests before it.
    pub before: usize,
    pub head: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value)
    }
}

/// An HTTP server on loopback that is as rude as the test wants.
pub struct Server {
    pub base: String,
    /// The head of every request so far.
    pub heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// `reply` gets the path and how many requests came before.
    pub fn start(reply: impl Fn(&str, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::asked_for(move |asked| reply(&asked.path, asked.before))
    }

    pub fn asked_for(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        let reply = Arc::new(reply);
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, reply) = (Arc::clone(&seen), Arc::clone(&reply));
                std::thread::spawn(move || serve(stream.unwrap(), &seen, &*reply));
            }
        });
        Self { base, heads }
    }

    /// Serves the same for every path.
    pub fn always(text: impl Into<Vec<u8>>) -> Self {
        let text = text.into();
        Self::start(move |_, _| vec![Part::Bytes(text.clone())])
    }

    pub fn asked(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    /// Returns one header of every request so far; `-` where it was not sent.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let heads = self.heads.lock().unwrap().clone();
        let asked = heads.into_iter().map(|head| Asked {
            path: String::new(),
            before: 0,
            head,
        });
        asked
            .map(|asked| asked.header(name).unwrap_or("-").to_owned())
            .collect()
    }

    pub fn web(&self, path: &str) -> FetchLocation {
        let text = format!("{}/{path}", self.base);
        FetchLocation::Location(text.parse().unwrap())
    }
}

fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<String>>,
    reply: &(dyn Fn(&Asked) -> Reply + Send + Sync),
) {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let before = {
        let mut seen = seen.lock().unwrap();
        seen.push(head.clone());
        seen.len() - 1
    };
    let asked = Asked { path, before, head };
    // What is not read may reset the connection before the reply is.
    let length = asked
        .header("content-length")
        .and_then(|text| text.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    for part in reply(&asked) {
        match part {
            Part::Bytes(bytes) => {
                if stream.write_all(&bytes).is_err() {
                    return;
                }
            }
            Part::Pause(time) => std::thread::sleep(time),
            Part::Endless(bytes) => while stream.write_all(&bytes).is_ok() {},
        }
    }
}

pub fn ok(body: &[u8]) -> Vec<u8> {
    with_headers("200 OK", &format!("Content-Length: {}", body.len()), body)
}

pub fn status(line: &str) -> Vec<u8> {
    with_headers(line, "Content-Length: 0", b"")
}

pub fn with_headers(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {line}\r\nConnection: close\r\n{headers}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// A port on which nobody listens.
pub fn nobody() -> FetchLocation {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = format!("http://{}/x", listener.local_addr().unwrap());
    FetchLocation::Location(text.parse().unwrap())
}

pub const BODY: &[u8] = b"the bytes of a source tarball";

pub fn request(locations: Vec<FetchLocation>) -> FetchRequest {
    FetchRequest {
        name: "x-1.0.tar.gz".to_owned(),
        locations,
        sha256: Digest::of(BODY),
        size: None,
    }
}

pub fn limits() -> FetchLimits {
    FetchLimits {
        backoff: Duration::from_millis(1),
        ..FetchLimits::standard()
    }
}

pub struct Setup {
    pub _folder: TempDir,
    pub store: Store,
}

impl Setup {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("store")).unwrap();
        Self {
            _folder: folder,
            store,
        }
    }

    pub fn fetcher(&self, archives: &[&Server], limits: FetchLimits) -> Fetcher {
        let archives = archives
            .iter()
            .map(|server| format!("{}/debian/", server.base));
        let mut settings = FetchSettings::new(archives.collect(), Network::Online);
        settings.limits = limits;
        Fetcher::new(self.store.clone(), settings).unwrap()
    }

    pub fn offline(&self) -> Fetcher {
        let archives = vec!["http://user:secret@mirror.example/debian/".to_owned()];
        let settings = FetchSettings::new(archives, Network::Offline);
        Fetcher::new(self.store.clone(), settings).unwrap()
    }

    /// Checks that nothing was published and nothing unfinished remains.
    pub fn check_empty(&self) {
        let below = |name: &str, depth| {
            let folder = walkdir::WalkDir::new(self.store.root().join(name));
            let entries = folder.min_depth(depth).into_iter().flatten();
            entries.map(|entry| entry.into_path()).collect::<Vec<_>>()
        };
        assert_eq!(below("blobs/sha256", 1), Vec::<std::path::PathBuf>::new());
        let mut unfinished = below("tmp", 2);
        unfinished.retain(|path| !path.ends_with("leases"));
        assert_eq!(unfinished, Vec::<std::path::PathBuf>::new());
        assert_eq!(self.partials(), Vec::<Vec<u8>>::new());
    }

    /// Returns the bytes of all partial downloads.
    pub fn partials(&self) -> Vec<Vec<u8>> {
        let folder = walkdir::WalkDir::new(self.store.root().join("tmp"));
        let entries = folder
            .max_depth(1)
            .sort_by_file_name()
            .into_iter()
            .flatten();
        let is_partial = |path: &std::path::PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            name.starts_with("partial-") && !name.ends_with(".json")
        };
        let paths = entries.map(|entry| entry.into_path()).filter(is_partial);
        paths.map(|path| fs_err::read(path).unwrap()).collect()
    }
}

/// Fetches one file and returns why each location failed.
pub fn attempts(fetcher: &Fetcher, request: FetchRequest) -> Vec<Attempt> {
    match fetcher.fetch_all(&[request], &Silent).unwrap_err() {
        FetchError::Failed { mut failures } => {
            assert_eq!(failures.len(), 1);
            let failed = failures.remove(0);
            assert_eq!(failed.name, "x-1.0.tar.gz");
            failed.attempts
        }
        other => panic!("expected a failed fetch, got {other}"),
    }
}

/// Fetches from one server, which fails; checks that nothing is kept, but for the beginning of a
/// body that broke off.
pub fn reason(server: &Server, limits: FetchLimits, size: Option<u64>) -> AttemptError {
    let setup = Setup::new();
    let mut request = request(vec![server.web("x")]);
    request.size = size;
    let mut attempts = attempts(&setup.fetcher(&[], limits), request);
    let may_go_on = |attempt: &Attempt| {
        use AttemptError::{Broken, Idle, Slow};
        matches!(attempt.reason, Broken { .. } | Idle { .. } | Slow { .. })
    };
    if !attempts.iter().any(may_go_on) {
        setup.check_empty();
    }
    assert_eq!(attempts.len(), 1);
    let attempt = attempts.remove(0);
    assert_eq!(attempt.address, format!("{}/x", server.base));
    assert_eq!(attempt.tries as usize, server.asked());
    attempt.reason
}

/// Writes down what it hears.
#[derive(Default)]
pub struct Heard(Mutex<Vec<String>>);

impl Heard {
    pub fn lines(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub fn note(&self, line: String) {
        self.0.lock().unwrap().push(line);
    }
}

impl FetchProgress for Heard {
    fn started(&self, name: &str, size: Option<u64>) {
        self.note(format!("started {name} {size:?}"));
    }

    fn advanced(&self, name: &str, bytes: u64) {
        self.note(format!("advanced {name} {bytes}"));
    }

    fn passed_over(&self, name: &str, address: &str, reason: &AttemptError) {
        let path = address.rsplit('/').next().unwrap();
        self.note(format!("passed over {name} {path}: {reason}"));
    }

    fn finished(&self, name: &str, info: &BlobInfo, origin: FetchOrigin) {
        let origin = match origin {
            FetchOrigin::Store => "the store".to_owned(),
            FetchOrigin::Network { address } => address.rsplit('/').next().unwrap().to_owned(),
        };
        self.note(format!("finished {name} {} from {origin}", info.size));
    }
}
