//! An HTTP server on 127.0.0.1 that counts who connects: a step that reaches it has escaped.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Serves files by name until the test's process ends.
#[derive(Debug)]
pub struct Server {
    pub port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    connections: Mutex<usize>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared::default());
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                *serving.connections.lock().unwrap() += 1;
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || answer(connection.unwrap(), &serving));
            }
        });
        Self { port, shared }
    }

    /// Returns the address of a file.
    pub fn address(&self, file: &str) -> String {
        format!("http://127.0.0.1:{}/{file}", self.port)
    }

    /// Serves `bytes` as `file` from now on.
    pub fn serve(&self, file: &str, bytes: &[u8]) {
        let mut files = self.shared.files.lock().unwrap();
        files.insert(file.to_owned(), bytes.to_owned());
    }

    /// Returns how many connections were made so far.
    pub fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }
}

/// Answers one request and closes. Who connects and says nothing is left alone.
fn answer(stream: TcpStream, shared: &Shared) {
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let mut lines = BufReader::new(&stream).lines();
    let Some(Ok(request)) = lines.next() else {
        return;
    };
    while let Some(Ok(line)) = lines.next() {
        if line.is_empty() {
            break;
        }
    }
    let file = request.split(' ').nth(1).unwrap_or("/").trim_matches('/');
    let found = shared.files.lock().unwrap().get(file).cloned();
    let (status, body) = match found {
        Some(bytes) => ("200 OK", bytes),
        None => ("404 Not Found", Vec::new()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = &stream;
    // A client that goes away in the middle is its own problem.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(&body));
}
