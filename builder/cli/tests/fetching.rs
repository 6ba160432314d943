//! The command on a bad day: the whole text of standard error for what users meet when something is
//! fetched, and what is left in the store then.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kiln_model::Digest;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const BODY: &[u8] = b"the bytes of a source tarball";

const RECIPE: &str = r#"schema: 1
name: demo
version: "1.0"
release: 1
summary: A demo
license: Zlib
homepage: https://example.org/
identity: {supplier: Demo people}
base: box
sources:
  - url: ADDRESS/demo-1.0.tar.gz
    sha256: "DIGEST"
    released: 2023-02-20
steps: {use: make}
packages:
  - name: demo
    files: [/usr/bin/demo]
"#;

/// Sends its reply to whoever asks, and keeps the connection if it is told to stall.
struct Server {
    base: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(reply: impl Fn(&str) -> (Vec<u8>, bool) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let (seen, reply) = (Arc::clone(&heads), Arc::new(reply));
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, reply) = (Arc::clone(&seen), Arc::clone(&reply));
                std::thread::spawn(move || answer(stream.unwrap(), &seen, &*reply));
            }
        });
        Self { base, heads }
    }

    fn always(reply: Vec<u8>) -> Self {
        Self::start(move |_| (reply.clone(), false))
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    seen: &Mutex<Vec<String>>,
    reply: &(dyn Fn(&str) -> (Vec<u8>, bool) + Send + Sync),
) {
    let mut head = String::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).unwrap_or(0) == 0 {
            return;
        }
    }
    seen.lock().unwrap().push(head.to_lowercase());
    let (bytes, stalls) = reply(&head.to_lowercase());
    let _ = stream.write_all(&bytes);
    if stalls {
        // The client is killed long before.
        std::thread::sleep(Duration::from_secs(600));
    }
}

fn with(line: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {line}\r\nConnection: close\r\n{headers}\r\n\r\n");
    [head.as_bytes(), body].concat()
}

fn ok(body: &[u8]) -> Vec<u8> {
    with("200 OK", &format!("Content-Length: {}", body.len()), body)
}

/// A project whose one source is at `address`.
struct Project {
    folder: TempDir,
}

impl Project {
    fn new(address: &str, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = Self { folder };
        let recipe = RECIPE.replace("ADDRESS", address);
        let recipe = recipe.replace("DIGEST", &Digest::of(BODY).to_hex());
        project.write("recipes/demo/recipe.yaml", &recipe);
        let image = Digest::of(b"an image");
        let base = format!("schema: 1\nname: box\nlayout: box@{image}\n");
        project.write("base-images/box.yaml", &base);
        project.write("kiln.toml", config);
        project
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test is started"
    )]
    fn command(&self, verb: &str, variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command
            .env_clear()
            .env("HOME", self.folder.path())
            .envs(variables.iter().copied())
            .current_dir(self.folder.path())
            .args(["--quiet", verb])
            .stdin(Stdio::null());
        command
    }

    /// Runs `kiln lock`; returns its exit code and standard error.
    fn lock(&self, variables: &[(&str, &str)]) -> (Option<i32>, String) {
        self.run("lock", variables)
    }

    fn run(&self, verb: &str, variables: &[(&str, &str)]) -> (Option<i32>, String) {
        let output = self.command(verb, variables).output().unwrap();
        let real = fs_err::canonicalize(self.folder.path()).unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        let text = text.replace(&*real.to_string_lossy(), "PROJECT");
        let text = text.replace(&*self.folder.path().to_string_lossy(), "PROJECT");
        (output.status.code(), text)
    }

    /// Expects failure with exactly this on standard error, and nothing kept.
    fn fails(&self, variables: &[(&str, &str)], expected: &str) {
        let (code, stderr) = self.lock(variables);
        assert_eq!((code, stderr.as_str()), (Some(2), expected));
        assert_eq!(self.kept("blobs/sha256"), [""; 0]);
        assert_eq!(self.kept("tmp"), [""; 0]);
        assert!(!self.path("lockfiles").exists());
    }

    /// Runs `kiln lock` and expects that it has the source.
    fn gets_it(&self, variables: &[(&str, &str)]) {
        assert_eq!(self.lock(variables), (Some(0), String::new()));
        assert_eq!(fs_err::read(self.blob(&Digest::of(BODY))).unwrap(), BODY);
        assert_eq!(self.kept("tmp"), [""; 0]);
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.path(".kiln/store/blobs/sha256").join(digest.to_hex())
    }

    /// Returns the names in a folder of the store.
    fn kept(&self, folder: &str) -> Vec<String> {
        let walk = walkdir::WalkDir::new(self.path(".kiln/store").join(folder));
        let entries = walk.min_depth(1).max_depth(1).sort_by_file_name();
        // A folder that is not there yet has nothing in it.
        let entries = entries.into_iter().filter_map(Result::ok);
        entries
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }
}

/// Fetches from a server with one reply, and expects that it is refused with these words.
fn refused(reply: Vec<u8>, words: &str) {
    let server = Server::always(reply);
    let project = Project::new(&server.base, "");
    let address = format!("{}/demo-1.0.tar.gz", server.base);
    let expected = words
        .replace("ADDRESS", &address)
        .replace("EXPECTED", &Digest::of(BODY).to_string());
    project.fails(
        &[],
        &format!("error: no location gave `demo-1.0.tar.gz`\n  {expected}\n"),
    );
}

const RELEASED_ANEW: &str =
    "\n\nhint: upstream may have re-released the file; inspect it, then pin it anew";

#[test]
fn bytes_that_are_not_the_pinned_ones_are_told_by_digest() {
    let mut flipped = BODY.to_vec();
    flipped[7] ^= 1;
    let page = b"<!DOCTYPE html>\n<title>Sign in to continue</title>";
    for (body, what) in [
        (flipped.as_slice(), ""),
        (&BODY[..20], ""),
        (page, "; it is a page of HTML, not the file"),
    ] {
        let actual = Digest::of(body);
        let words = format!(
            "ADDRESS: the bytes do not match{what}\n    expected  EXPECTED\n    actual    \
             {actual}{RELEASED_ANEW}"
        );
        refused(ok(body), &words);
    }
}

#[test]
fn a_size_that_is_not_the_locked_one_is_told_with_both() {
    let other = Arc::new(Mutex::new(BODY.to_vec()));
    let served = Arc::clone(&other);
    let server = Server::start(move |_| (ok(&served.lock().unwrap()), false));
    let project = Project::new(&server.base, "");
    project.gets_it(&[]);
    fs_err::remove_file(project.blob(&Digest::of(BODY))).unwrap();
    for (body, what) in [
        (b"longer than it was, the whole of it".as_slice(), "got 35"),
        (b"cut", "got 3"),
        (
            b"<html>no such file, sorry</html>",
            "got 32; it is a page of HTML, not the file",
        ),
    ] {
        body.clone_into(&mut other.lock().unwrap());
        let expected = format!(
            "error: no location gave `demo-1.0.tar.gz`\n  {}/demo-1.0.tar.gz: expected 29 bytes, \
             {what}\n  expected  {}{RELEASED_ANEW}\n",
            server.base,
            Digest::of(BODY)
        );
        assert_eq!(project.run("fetch", &[]), (Some(2), expected));
        assert_eq!(
            project
                .kept("blobs/sha256")
                .iter()
                .filter(|name| **name == Digest::of(BODY).to_hex())
                .count(),
            0
        );
        assert_eq!(project.kept("tmp"), [""; 0]);
    }
}

#[test]
fn servers_that_do_not_have_it_are_told_by_what_they_say() {
    let status = |line: &str, words: &str| {
        let words = format!("ADDRESS: the server answered {words}");
        refused(
            with(line, "Retry-After: 1000000000\r\nContent-Length: 0", b""),
            &words,
        );
    };
    status("404 Not Found", "404 (Not Found)\n  expected  EXPECTED");
    status(
        "429 Too Many Requests",
        "429 (Too Many Requests)\n  expected  EXPECTED",
    );
    let who = "\n  expected  EXPECTED\n\nhint: if the server wants to know who asks, put a name and \
               a password into ~/.netrc (docs/fetching.md)";
    status("401 Unauthorized", &format!("401 (Unauthorized){who}"));
    status("403 Forbidden", &format!("403 (Forbidden){who}"));
    refused(
        with(
            "503 Service Unavailable",
            "Retry-After: 1000000000\r\nContent-Length: 0",
            b"",
        ),
        "ADDRESS (asked 3 times): the server answered 503 (Service Unavailable)\n  \
         expected  EXPECTED",
    );
    refused(
        with(
            "200 OK",
            "Content-Encoding: gzip\r\nContent-Length: 29",
            BODY,
        ),
        "ADDRESS: the server encoded the body as `gzip` without being asked\n  expected  EXPECTED",
    );
    refused(
        with("200 OK", "Content-Length: 99999999999999", BODY),
        "ADDRESS: expected at most 2147483648 bytes, got 99999999999999\n  expected  EXPECTED",
    );
}

#[test]
fn what_nobody_serves_is_locked_by_its_digest_when_asked_to_go_on() {
    let server = Server::always(with("404 Not Found", "Content-Length: 0", b""));
    let project = Project::new(&server.base, "");
    let on = |verb: &str, more: &[&str]| {
        let output = project.command(verb, &[]).args(more).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), text)
    };
    let (code, stderr) = on("lock", &[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("404 (Not Found)"), "{stderr}");
    assert_eq!(on("lock", &["--keep-going"]), (Some(0), String::new()));
    let file = project.path("lockfiles/demo-x86_64.lock");
    let lock = fs_err::read_to_string(&file).unwrap();
    assert!(lock.contains(&Digest::of(BODY).to_string()), "{lock}");
    assert!(!lock.contains("sha512") && !lock.contains("size"), "{lock}");
    assert_eq!(on("check", &[]), (Some(0), String::new()));
    let (code, stderr) = on("fetch", &[]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(
        stderr.contains("no location gave `demo-1.0.tar.gz`"),
        "{stderr}"
    );

    // Once it is there, the lockfile is completed.
    let served = Server::always(ok(BODY));
    let config = format!(
        "[mirrors]\nsources = [{{prefix = \"{}/\", to = [\"{}/\"]}}]\n",
        server.base, served.base
    );
    project.write("kiln.toml", &config);
    assert_eq!(on("lock", &["--keep-going"]), (Some(0), String::new()));
    let lock = fs_err::read_to_string(&file).unwrap();
    assert!(
        lock.contains("sha512:") && lock.contains("size = "),
        "{lock}"
    );
}

#[test]
fn going_on_does_not_lock_what_has_other_bytes() {
    let server = Server::always(ok(b"something else"));
    let project = Project::new(&server.base, "");
    let output = project.command("lock", &[]).arg("--keep-going").output();
    let output = output.unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("do not match"), "{stderr}");
    assert!(!project.path("lockfiles").exists());
}

#[test]
fn redirects_that_lead_nowhere_are_told() {
    let redirect = |target: &str, words: &str| {
        let headers = format!("Location: {target}\r\nContent-Length: 0");
        refused(
            with("302 Found", &headers, b""),
            &format!("ADDRESS: {words}\n  expected  EXPECTED"),
        );
    };
    redirect("/demo-1.0.tar.gz", "it redirects more than 5 times");
    let scheme = "which is not fetched: only `http:` and `https:` are fetched";
    redirect(
        "file:///etc/passwd",
        &format!("it redirects to `file:///etc/passwd`, {scheme}"),
    );
    redirect(
        "http://me:s3cret@127.0.0.1/",
        "it redirects to `http://127.0.0.1/`, which is not fetched: it carries credentials",
    );
}

#[test]
fn without_a_network_a_cold_store_says_what_it_lacks() {
    let config = "[mirrors]\n\
                  sources = [{prefix = \"https://up.example/\", to = [\"http://m.example/up/\"]}]\n";
    let project = Project::new("https://up.example", config);
    let expected = format!(
        "error: 1 file is missing from the store and the network is switched off\n  \
         `demo-1.0.tar.gz`\n    from      http://m.example/up/demo-1.0.tar.gz\n    \
         from      https://up.example/demo-1.0.tar.gz\n    digest    {}\n\n\
         hint: run `kiln fetch` where there is a network, or import a bundle\n",
        Digest::of(BODY)
    );
    project.fails(&[("KILN_OFFLINE", "1")], &expected);
}

#[test]
fn only_mirrors_are_asked_where_only_they_may_be() {
    let mirror = Server::start(|head| {
        let there = head.starts_with("get /up/demo-1.0.tar.gz ");
        let missing = with("404 Not Found", "Content-Length: 0", b"");
        (if there { ok(BODY) } else { missing }, false)
    });
    let upstream = Server::always(ok(BODY));
    let config = |to: &str| {
        format!(
            "[mirrors]\nonly = true\nsources = [{{prefix = \"{}/\", to = [\"{}/{to}/\"]}}]\n",
            upstream.base, mirror.base
        )
    };
    Project::new(&upstream.base, &config("up")).gets_it(&[]);
    let expected = format!(
        "error: no location gave `demo-1.0.tar.gz`\n  {}/no/demo-1.0.tar.gz: the server answered \
         404 (Not Found)\n  expected  {}\n",
        mirror.base,
        Digest::of(BODY)
    );
    Project::new(&upstream.base, &config("no")).fails(&[], &expected);
    let expected = format!(
        "error: no location gave `demo-1.0.tar.gz`\n  {}/demo-1.0.tar.gz: no mirror stands for it, \
         and `kiln.toml` allows only mirrors (`[mirrors]`)\n  expected  {}\n",
        upstream.base,
        Digest::of(BODY)
    );
    Project::new(&upstream.base, "[mirrors]\nonly = true\n").fails(&[], &expected);
    assert_eq!(upstream.heads(), [""; 0]);
}

#[test]
fn the_proxy_is_the_environments_and_its_password_nobodys() {
    // A proxy is asked with the whole address.
    let proxy = Server::always(ok(BODY));
    let address = proxy.base.replace("http://", "http://me:s3cret@");
    let project = || Project::new("http://up.example", "");
    project().gets_it(&[("http_proxy", address.as_str())]);
    let heads = proxy.heads();
    assert!(
        heads[0].starts_with("get http://up.example/demo-1.0.tar.gz "),
        "{heads:?}"
    );
    assert!(
        heads[0].contains("proxy-authorization: basic bwu6cznjcmv0"),
        "{heads:?}"
    );
    let config = format!("[network]\nproxy = \"{}\"\n", proxy.base);
    Project::new("http://up.example", &config).gets_it(&[]);

    let check = |value: &str, expected: &str| {
        let (code, stderr) = project().lock(&[("ALL_PROXY", value)]);
        assert_eq!((code, stderr.as_str()), (Some(2), expected));
    };
    check(
        "socks5h://me:s3cret@127.0.0.1:1080",
        "error: `socks5h://127.0.0.1:1080` (from ALL_PROXY) can not be used as a proxy: only \
         `http:` and `https:` proxies are known\n",
    );
    let (code, stderr) = project().lock(&[("ALL_PROXY", "http://me:s3cret@127.0.0.1:9")]);
    assert_eq!(code, Some(2));
    let reason = "http://up.example/demo-1.0.tar.gz (asked 3 times): can not go through the proxy \
                  `http://127.0.0.1:9`: tcp connect error: Connection refused";
    assert!(
        stderr.contains(reason) && !stderr.contains("s3cret"),
        "{stderr}"
    );
}

#[test]
fn what_is_wrong_with_the_way_to_the_network_is_shown() {
    let check = |config: &str, expected: &str| {
        let (code, stderr) = Project::new("http://up.example", config).lock(&[]);
        assert_eq!((code, stderr.as_str()), (Some(2), expected));
    };
    check(
        "[network]\nca = \"site.pem\"\n",
        "error: can not read the trusted roots `PROJECT/site.pem`\n  cause     failed to open file \
         `PROJECT/site.pem`: No such file or directory (os error 2)\n",
    );
    check(
        "[network]\nproxy = \"http://me:s3cret@proxy/path\"\n",
        "error: `http://proxy/path` (from kiln.toml) can not be used as a proxy: it has a path\n",
    );
    check(
        "[mirrors]\nsources = [{prefix = \"https://github.com\", to = []}]\n",
        "error: expected an address that ends in `/`\n  --> kiln.toml:2:22\n  |\n\
         2 | sources = [{prefix = \"https://github.com\", to = []}]\n  |                      ^\n",
    );
}

#[test]
fn a_password_in_kiln_toml_is_not_shown_with_its_line() {
    let config = "[mirrors]\ndebian = \"http://me:s3cret@mirror.example/\"\n";
    let (code, stderr) = Project::new("http://up.example", config).lock(&[]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("\"http://*********@mirror.example/\""),
        "{stderr}"
    );
    assert!(!stderr.contains("s3cret"), "{stderr}");
}

#[test]
fn credentials_come_from_netrc_unless_others_read_it() {
    let server = Server::start(|head| {
        let is_known = head.contains("authorization: basic bwu6cznjcmv0");
        let refusal = with("401 Unauthorized", "Content-Length: 0", b"");
        (if is_known { ok(BODY) } else { refusal }, false)
    });
    let project = || {
        let project = Project::new(&server.base, "");
        project.write(".netrc", "machine 127.0.0.1 login me password s3cret\n");
        project
    };
    let mode = |project: &Project, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(project.path(".netrc"), permissions).unwrap();
    };
    let private = project();
    mode(&private, 0o600);
    private.gets_it(&[]);
    let exposed = project();
    mode(&exposed, 0o644);
    let expected = format!(
        "error: no location gave `demo-1.0.tar.gz`\n  {}/demo-1.0.tar.gz: `PROJECT/.netrc` has a \
         password for this host, but others can read it (mode 644); run `chmod 600` on it\n  \
         expected  {}\n",
        server.base,
        Digest::of(BODY)
    );
    exposed.fails(&[], &expected);
    project().fails(
        &[("NETRC", "/nonexistent/netrc")],
        "error: can not read credentials from `/nonexistent/netrc`: No such \
         file or directory (os error 2)\n",
    );
}

/// Waits with patience until something is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never came: {what}");
}

/// A body longer than what a writer keeps in memory, and a server that stops in its middle once.
fn stalling() -> (Vec<u8>, Server) {
    let body: Vec<u8> = (0..1_000_000_u32).map(|n| (n % 251) as u8).collect();
    let sent = body.clone();
    let server = Server::start(move |head| {
        let range = head
            .lines()
            .find_map(|line| line.strip_prefix("range: bytes="));
        let Some(from) = range else {
            let headers = format!("ETag: \"1\"\r\nContent-Length: {}", sent.len());
            return (with("200 OK", &headers, &sent[..600_000]), true);
        };
        let from: usize = from.trim_end_matches('-').parse().unwrap();
        let (last, total) = (sent.len() - 1, sent.len());
        let headers = format!(
            "Content-Range: bytes {from}-{last}/{total}\r\nContent-Length: {}",
            total - from
        );
        (with("206 Partial Content", &headers, &sent[from..]), false)
    });
    (body, server)
}

/// Starts a download that stalls, and waits until much of it is on the disk.
fn start(project: &Project, verb: &str) -> Child {
    let mut command = project.command(verb, &[]);
    let child = command.stderr(Stdio::piped()).spawn().unwrap();
    wait_until("half of the download", || {
        let names = project.kept("tmp");
        let is_partial = |name: &&String| name.starts_with("partial-") && !name.contains('.');
        names.iter().find(is_partial).is_some_and(|name| {
            let path = project.path(".kiln/store/tmp").join(name);
            fs_err::metadata(path).is_ok_and(|found| found.len() > 400_000)
        })
    });
    child
}

/// A project whose source is what the server stalls with.
fn stalling_project() -> (Project, Digest, Server) {
    let (body, server) = stalling();
    let project = Project::new(&server.base, "");
    let recipe = project.path("recipes/demo/recipe.yaml");
    let digest = Digest::of(&body);
    let text = fs_err::read_to_string(&recipe).unwrap();
    let text = text.replace(&Digest::of(BODY).to_hex(), &digest.to_hex());
    fs_err::write(recipe, text).unwrap();
    (project, digest, server)
}

fn interrupted(signal: Signal, stderr: &str) {
    let (project, digest, server) = stalling_project();
    let child = start(&project, "lock");
    kill_process(Pid::from_child(&child), signal).unwrap();
    let output = child.wait_with_output().unwrap();
    let code = (signal != Signal::KILL).then_some(130);
    assert_eq!(output.status.code(), code);
    assert_eq!(String::from_utf8_lossy(&output.stderr), stderr);
    goes_on(&project, &digest, &server);
}

/// Expects that the next run asks for what is missing, and for nothing else.
fn goes_on(project: &Project, digest: &Digest, server: &Server) {
    assert_eq!(
        project
            .kept("blobs/sha256")
            .iter()
            .filter(|name| **name == digest.to_hex())
            .count(),
        0
    );
    let before = server.heads().len();
    // What fails afterwards is the base image, which is not there.
    let verb = if project.path("lockfiles").exists() {
        "fetch"
    } else {
        "lock"
    };
    project.run(verb, &[]);
    let heads = server.heads();
    assert_eq!(heads.len(), before + 1);
    let head = heads.last().unwrap();
    assert!(
        head.contains("range: bytes=") && head.contains("if-range: \"1\""),
        "{head}"
    );
    let blob = fs_err::read(project.blob(digest)).unwrap();
    assert_eq!(Digest::of(&blob), *digest);
    assert_eq!(project.kept("tmp"), [""; 0]);
}

#[test]
fn a_download_that_was_killed_goes_on_in_the_next_run() {
    interrupted(Signal::KILL, "");
}

#[test]
fn a_download_ends_at_the_first_signal_and_goes_on_in_the_next_run() {
    interrupted(Signal::INT, "interrupted\n");
    interrupted(Signal::TERM, "interrupted\n");
}

/// Needs a host that can isolate builds: a build asks for that before it fetches.
#[test]
fn slow_the_first_signal_ends_the_downloads_of_a_build() {
    for signal in [Signal::INT, Signal::TERM] {
        let (project, digest, server) = stalling_project();
        let mut first = start(&project, "lock");
        first.kill().unwrap();
        first.wait().unwrap();
        assert_eq!(project.lock(&[]), (Some(0), String::new()));
        fs_err::remove_file(project.blob(&digest)).unwrap();
        let child = start(&project, "build");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        assert_eq!(
            String::from_utf8_lossy(&output.stderr),
            "error: interrupted\n"
        );
        goes_on(&project, &digest, &server);
    }
}
