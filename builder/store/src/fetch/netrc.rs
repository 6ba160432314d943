//! Credentials from a netrc file: who one is at which host.
//!
//! | token | then | meaning |
//! |---|---|---|
//! | `machine` | a host | what follows is for this host |
//! | `default` | | what follows is for every other host |
//! | `login`, `password`, `account` | a text | the account is read over |
//! | `macdef` | a name, lines up to an empty one | read over |
//! | `#` at the start of a token | the rest of the line | a comment |
//!
//! Tokens are separated by white space; one in `"` may hold some, with `\"`, `\\`, `\n`, `\r`, `\t`
//! as in curl. Anything else is an error: a password must not be taken for something it is not.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::fetch::error::{AttemptError, FetchError};
use crate::fetch::settings::NetrcFile;

/// Bytes of the largest netrc file that is read.
const LIMIT: u64 = 1024 * 1024;

/// A name and a password; never shown.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) password: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(not shown)")
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// `None` for `default`.
    host: Option<String>,
    login: Login,
}

/// What a netrc file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Netrc {
    path: PathBuf,
    /// The file's permission bits, if others than its owner can read it.
    exposed: Option<u32>,
    entries: Vec<Entry>,
}

impl Netrc {
    /// Reads the file that the settings name.
    pub(crate) fn read(file: &NetrcFile) -> Result<Self, FetchError> {
        let (path, must_be_there) = match file {
            NetrcFile::None => return Ok(Self::default()),
            NetrcFile::IfThere(path) => (path, false),
            NetrcFile::At(path) => (path, true),
        };
        let failed = |reason: String| FetchError::Netrc {
            path: path.clone(),
            line: None,
            reason,
        };
        // A FIFO must not block.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::NOENT) if !must_be_there => return Ok(Self::default()),
            opened => File::from(opened.map_err(|error| failed(error.to_string()))?),
        };
        let found = opened.metadata();
        let found = found.map_err(|error| failed(error.to_string()))?;
        if !found.is_file() {
            return Err(failed("it is no regular file".to_owned()));
        }
        let mut text = String::new();
        let mut limited = opened.take(LIMIT + 1);
        limited
            .read_to_string(&mut text)
            .map_err(|error| failed(error.to_string()))?;
        if text.len() as u64 > LIMIT {
            return Err(failed(format!("it has more than {LIMIT} bytes")));
        }
        let mode = found.permissions().mode() & 0o777;
        Self::parse(path, &text, (mode & 0o077 != 0).then_some(mode))
    }

    fn parse(path: &Path, text: &str, exposed: Option<u32>) -> Result<Self, FetchError> {
        let entries = Parser::new(text).entries();
        let entries = entries.map_err(|(line, reason)| FetchError::Netrc {
            path: path.to_owned(),
            line: Some(line),
            reason: reason.to_owned(),
        })?;
        Ok(Self {
            path: path.to_owned(),
            exposed,
            entries,
        })
    }

    /// Returns who one is at `host`, written in lower case.
    pub(crate) fn login(&self, host: &str) -> Result<Option<&Login>, AttemptError> {
        let named = |entry: &&Entry| {
            let entry_host = entry.host.as_deref();
            entry_host.is_some_and(|name| name.eq_ignore_ascii_case(host))
        };
        let found = self.entries.iter().find(named);
        let found = found.or_else(|| self.entries.iter().find(|entry| entry.host.is_none()));
        match (found, self.exposed) {
            (Some(entry), Some(mode)) if entry.login.password.is_some() => {
                Err(AttemptError::NetrcExposed {
                    path: self.path.clone(),
                    mode,
                })
            }
            (found, _) => {
                let login = found.map(|entry| &entry.login);
                Ok(login.filter(|login| **login != Login::default()))
            }
        }
    }
}

/// The line and what is wrong in it; never a token, which may be a password.
type Refusal = (usize, &'static str);

struct Parser<'a> {
    rest: std::str::Chars<'a>,
    line: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            rest: text.chars(),
            line: 1,
        }
    }

    fn entries(mut self) -> Result<Vec<Entry>, Refusal> {
        let mut entries: Vec<Entry> = Vec::new();
        while let Some(token) = self.token()? {
            let mut start = |host| {
                entries.push(Entry {
                    host,
                    login: Login::default(),
                });
            };
            match token.as_str() {
                "machine" => start(Some(self.value("expected a host after `machine`")?)),
                "default" => start(None),
                "macdef" => {
                    self.value("expected a name after `macdef`")?;
                    self.skip_macro();
                }
                "login" | "password" | "account" => {
                    let line = self.line;
                    let value =
                        self.value("expected a text after `login`, `password`, `account`")?;
                    let entry = entries.last_mut();
                    let entry = entry.ok_or((line, "it stands before any `machine`"))?;
                    match token.as_str() {
                        "login" => entry.login.name = value,
                        "password" => entry.login.password = Some(value),
                        _ => {}
                    }
                }
                _ => {
                    return Err((
                        self.line,
                        "expected `machine`, `default`, `login`, `password`, `account` or `macdef`",
                    ));
                }
            }
        }
        Ok(entries)
    }

    fn value(&mut self, missing: &'static str) -> Result<String, Refusal> {
        let line = self.line;
        self.token()?.ok_or((line, missing))
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn token(&mut self) -> Result<Option<String>, Refusal> {
        loop {
            match self.rest.clone().next() {
                None => return Ok(None),
                Some('#') => while !matches!(self.next(), None | Some('\n')) {},
                Some('"') => return self.quoted().map(Some),
                Some(c) if c.is_whitespace() => drop(self.next()),
                Some(_) => return Ok(Some(self.plain())),
            }
        }
    }

    fn plain(&mut self) -> String {
        let rest = self.rest.as_str();
        let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
        self.rest = rest[end..].chars();
        rest[..end].to_owned()
    }

    fn quoted(&mut self) -> Result<String, Refusal> {
        let start = (self.line, "a `\"` has no end on its line");
        self.next();
        let mut token = String::new();
        loop {
            match self.next() {
                None | Some('\n') => return Err(start),
                Some('"') => return Ok(token),
                Some('\\') => match self.next() {
                    Some('n') => token.push('\n'),
                    Some('r') => token.push('\r'),
                    Some('t') => token.push('\t'),
                    Some(c) if c != '\n' => token.push(c),
                    _ => return Err(start),
                },
                Some(c) => token.push(c),
            }
        }
    }

    /// A macro ends with an empty line.
    fn skip_macro(&mut self) {
        let mut before = None;
        while let Some(c) = self.next() {
            if c == '\n' && before == Some('\n') {
                return;
            }
            before = Some(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Netrc, (Option<usize>, String)> {
        Netrc::parse(Path::new("netrc"), text, None).map_err(|error| match error {
            FetchError::Netrc { line, reason, .. } => (line, reason),
            other => panic!("expected a refused netrc, got {other}"),
        })
    }

    #[test]
    fn hosts_have_the_login_that_is_theirs() {
        let text = "# a comment with machine x\n\
            machine a.example login me password s3cret#1\n\
            macdef init\nmachine evil.example\nlogin no\n\n\
            machine B.example\n\tlogin \"with space\"\n\tpassword \"q\\\"\\\\\\t\"\n\taccount x\n\
            machine a.example login second password one\n\
            machine only.example login nameless\n\
            machine nobody.example\n\
            default login anonymous password guest\n";
        let netrc = parse(text).unwrap();
        let check = |host: &str, name: &str, password: Option<&str>| {
            let expected = Login {
                name: name.to_owned(),
                password: password.map(str::to_owned),
            };
            assert_eq!(netrc.login(host), Ok(Some(&expected)), "{host}");
        };
        check("a.example", "me", Some("s3cret#1"));
        check("b.example", "with space", Some("q\"\\\t"));
        check("only.example", "nameless", None);
        for host in ["evil.example", "x.a.example", "example"] {
            check(host, "anonymous", Some("guest"));
        }
        assert_eq!(netrc.login("nobody.example"), Ok(None));
        assert_eq!(parse("").unwrap().login("a.example"), Ok(None));
        assert!(!format!("{netrc:?}").contains("s3cret"));
    }

    #[test]
    fn what_is_no_netrc_is_refused_without_being_repeated() {
        let check = |text: &str, line: usize, part: &str| {
            let (found, reason) = parse(text).unwrap_err();
            assert_eq!(found, Some(line), "{text}: {reason}");
            assert!(reason.contains(part), "{text}: {reason}");
            assert!(!reason.contains("s3cret"), "{reason}");
        };
        check("machine", 1, "expected a host");
        check("\nlogin me", 2, "before any `machine`");
        check("machine a\nlogin", 2, "expected a text");
        check("machine a\n login me s3cret\n", 2, "expected `machine`");
        check("machine a password \"s3cret\nlogin b", 1, "no end");
        check("machine a password \"s3cret\\\n\"", 1, "no end");
        check("[s3cret]", 1, "expected `machine`");
    }

    #[test]
    fn a_file_is_read_where_it_must_or_may_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("netrc");
        let refused = |file: NetrcFile| match Netrc::read(&file).unwrap_err() {
            FetchError::Netrc { reason, .. } => reason,
            other => panic!("expected a refused netrc, got {other}"),
        };
        assert_eq!(Netrc::read(&NetrcFile::None).unwrap(), Netrc::default());
        let missing = Netrc::read(&NetrcFile::IfThere(path.clone())).unwrap();
        assert_eq!(missing, Netrc::default());
        assert!(refused(NetrcFile::At(path.clone())).contains("No such file"));
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        for other in [folder.path(), &fifo] {
            let reason = refused(NetrcFile::IfThere(other.to_owned()));
            assert_eq!(reason, "it is no regular file");
        }
        let mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Netrc::read(&NetrcFile::At(path.clone())).unwrap()
        };
        fs_err::write(&path, "machine a password s3cret machine b login me").unwrap();
        assert!(mode(0o600).login("a").unwrap().is_some());
        let exposed = mode(0o640);
        let expected = AttemptError::NetrcExposed {
            path: path.clone(),
            mode: 0o640,
        };
        assert_eq!(exposed.login("a"), Err(expected));
        assert!(exposed.login("b").unwrap().is_some(), "a name is no secret");
        assert_eq!(exposed.login("c"), Ok(None));
        fs_err::write(&path, "#".repeat(1024 * 1024 + 1)).unwrap();
        let reason = refused(NetrcFile::At(path));
        assert_eq!(reason, "it has more than 1048576 bytes");
    }
}
