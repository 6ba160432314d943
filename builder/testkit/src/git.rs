//! Real git for tests: repositories made by the `git` command, and its own smart HTTP server
//! (`git http-backend`) on loopback.
//!
//! The command reads no configuration but its repository's, and its clock stands still, so that the same
//! calls make the same commits. Only tests spawn it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// When the first commit of every repository is made: 2018-05-01T12:00:00Z.
pub const FIRST_COMMIT: u64 = 1_525_176_000;

/// Returns the `git` command with nothing of the host's around it.
#[expect(clippy::disallowed_methods, reason = "tests run the real git")]
fn git_command(home: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("LC_ALL", "C");
    command
}

/// A repository with a working tree, and a bare one beside it that a server can show.
#[derive(Debug)]
pub struct Repository {
    work: PathBuf,
    bare: PathBuf,
    commits: Mutex<u64>,
}

impl Repository {
    /// Makes `NAME.git` in `folder`, which a server serves, and a working tree in a hidden folder there.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        let repository = Self {
            work: folder.join(format!(".work-{name}")),
            bare: folder.join(format!("{name}.git")),
            commits: Mutex::new(0),
        };
        fs_err::create_dir_all(&repository.work).expect("a test's folder is writable");
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        for (key, value) in [
            ("user.name", "A Tester"),
            ("user.email", "test@example.org"),
        ] {
            repository.git(&["config", key, value]);
        }
        repository.bare_git(&["init", "--quiet", "--bare", "--initial-branch=main"]);
        repository.configure("http.receivepack", "false");
        repository
    }

    /// Sets something for the server.
    pub fn configure(&self, key: &str, value: &str) {
        self.bare_git(&["config", key, value]);
    }

    /// Returns the working tree.
    #[must_use]
    pub fn work(&self) -> &Path {
        &self.work
    }

    /// Writes a file of the working tree.
    pub fn write(&self, path: &str, content: &str) {
        let file = self.work.join(path);
        let folder = file.parent().expect("a file lies in a folder");
        fs_err::create_dir_all(folder).expect("a test's folder is writable");
        fs_err::write(file, content).expect("a test's folder is writable");
    }

    /// Adds everything, commits and pushes; returns the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.commit_index(message)
    }

    /// Commits what was added by hand, and pushes.
    pub fn commit_index(&self, message: &str) -> String {
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.push();
        self.git(&["rev-parse", "HEAD"])
    }

    /// Adds a submodule to the index: its entry in `.gitmodules`, and its commit.
    pub fn add_submodule(&self, path: &str, url: &str, commit: &str) {
        let modules = self.work.join(".gitmodules");
        let mut text = fs_err::read_to_string(&modules).unwrap_or_default();
        text.push_str(&format!(
            "[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n"
        ));
        fs_err::write(&modules, text).expect("a test's folder is writable");
        self.git(&["add", ".gitmodules"]);
        self.add_gitlink(path, commit);
    }

    /// Adds only the commit of a submodule.
    pub fn add_gitlink(&self, path: &str, commit: &str) {
        let info = format!("160000,{commit},{path}");
        self.git(&["update-index", "--add", "--cacheinfo", &info]);
    }

    /// Sets a tag, annotated, and pushes it; one that is there is moved.
    pub fn tag(&self, name: &str) {
        self.git(&["tag", "--force", "--annotate", "--message", name, name]);
        self.push();
    }

    /// Sets a plain tag to any object, and pushes it.
    pub fn plain_tag(&self, name: &str, object: &str) {
        self.git(&["tag", "--force", name, object]);
        self.push();
    }

    /// Pushes everything, whatever is there.
    pub fn push(&self) {
        let bare = self.bare.to_string_lossy().into_owned();
        self.git(&[
            "push",
            "--quiet",
            "--force",
            "--prune",
            &bare,
            "refs/*:refs/*",
        ]);
    }

    /// Forgets what no ref leads to.
    pub fn prune(&self) {
        self.bare_git(&["reflog", "expire", "--expire=now", "--all"]);
        self.bare_git(&["gc", "--quiet", "--prune=now"]);
    }

    /// Packs everything anew, or unpacks it into single objects.
    pub fn repack(&self, arguments: &[&str]) {
        self.bare_git(&[&["repack", "--quiet"], arguments].concat());
    }

    /// Writes an object of any kind, not checked, and returns its name.
    pub fn hash_object(&self, kind: &str, content: &[u8]) -> String {
        let arguments = ["hash-object", "-w", "--literally", "-t", kind, "--stdin"];
        self.run(&self.work, &arguments, content)
    }

    /// Runs git in the working tree; each commit is a minute later than the one before.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.run(&self.work, arguments, b"")
    }

    /// Runs git in the repository that is served.
    pub fn bare_git(&self, arguments: &[&str]) -> String {
        fs_err::create_dir_all(&self.bare).expect("a test's folder is writable");
        self.run(&self.bare, arguments, b"")
    }

    /// Returns a pack of a commit and everything below it.
    #[must_use]
    pub fn pack_of(&self, commit: &str) -> Vec<u8> {
        let arguments = ["pack-objects", "--quiet", "--stdout", "--revs"];
        self.output(&self.work, &arguments, format!("{commit}\n").as_bytes())
    }

    fn run(&self, folder: &Path, arguments: &[&str], input: &[u8]) -> String {
        let output = self.output(folder, arguments, input);
        String::from_utf8_lossy(&output).trim().to_owned()
    }

    fn output(&self, folder: &Path, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let time = {
            let mut commits = self.commits.lock().expect("no test panics here");
            *commits += u64::from(arguments.first() == Some(&"commit"));
            format!("{} +0000", FIRST_COMMIT + 60 * commits.saturating_sub(1))
        };
        let mut command = git_command(folder);
        command
            .current_dir(folder)
            .env("GIT_AUTHOR_DATE", &time)
            .env("GIT_COMMITTER_DATE", &time)
            .args([
                "-c",
                "core.protectNTFS=false",
                "-c",
                "core.protectHFS=false",
            ])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("git is installed");
        let mut stdin = child.stdin.take().expect("it is piped");
        stdin.write_all(input).expect("git reads its input");
        drop(stdin);
        let output = child.wait_with_output().expect("git ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {said}");
        output.stdout
    }
}

/// Which versions of its protocol a server lets clients ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// What it is asked for.
    All,
    /// Version 0 only, as servers before 2018.
    Old,
}

/// `git http-backend` on loopback. Ends with the test's process.
#[derive(Debug)]
pub struct GitServer {
    /// `http://127.0.0.1:PORT`.
    pub base: String,
    /// First line of every request.
    seen: Arc<Mutex<Vec<String>>>,
}

impl GitServer {
    /// Serves all repositories in `folder`.
    #[must_use]
    pub fn start(folder: &Path, versions: Versions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("it listens");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (folder, requests) = (folder.to_owned(), Arc::clone(&seen));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (folder, requests) = (folder.clone(), Arc::clone(&requests));
                std::thread::spawn(move || serve(stream, &folder, versions, &requests));
            }
        });
        Self {
            base: format!("http://{address}"),
            seen,
        }
    }

    /// Returns the address of a repository.
    #[must_use]
    pub fn url(&self, name: &str) -> String {
        format!("{}/{name}.git", self.base)
    }

    /// Returns the first line of every request so far, and forgets them.
    #[must_use]
    pub fn take_seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().expect("no thread panics with it"))
    }
}

/// One request by CGI (RFC 3875).
fn serve(
    mut stream: TcpStream,
    folder: &Path,
    versions: Versions,
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut first = String::new();
    reader.read_line(&mut first).ok()?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut words = first.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    seen.lock().ok()?.push(format!("{method} {target}"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let length = header("content-length").parse().unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let mut command = git_command(folder);
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", folder)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", length.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if versions == Versions::All {
        command.env("GIT_PROTOCOL", header("git-protocol"));
    }
    let mut child = command.spawn().ok()?;
    let mut input = child.stdin.take()?;
    let writer = std::thread::spawn(move || input.write_all(&body));
    let output = child.wait_with_output().ok()?;
    let _ = writer.join();
    let output = output.stdout;
    let end = output.windows(4).position(|found| found == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: "));
    let status = status.unwrap_or("200 OK");
    let others = head.lines().filter(|line| !line.starts_with("Status: "));
    let others: String = others.map(|line| format!("{line}\r\n")).collect();
    let body = &output[end + 4..];
    let head = format!(
        "HTTP/1.1 {status}\r\n{others}Content-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()
}
