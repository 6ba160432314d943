//! Why something was not fetched: every location that was tried, with its own reason.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use kiln_model::{CommitId, Digest, TagName};

use crate::error::StoreError;
use crate::git::{GitContentError, SubmoduleError};

/// Says why not everything that was asked for is in the store.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// An archive's base address can not be used.
    #[error("`{address}` can not be the address of an archive: {reason}")]
    Archive {
        /// The address that was given, without credentials.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A mirror's address, or the one that it stands for, can not be used.
    #[error("`{address}` can not be used as a mirror's address: {reason}")]
    Mirror {
        /// The address that was given, without credentials.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A proxy's address can not be used.
    #[error("`{address}` (from {origin}) can not be used as a proxy: {reason}")]
    Proxy {
        /// The address that was given, without credentials.
        address: String,
        /// Where it was given.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of credentials can not be used.
    #[error("can not read credentials from `{}`{}: {reason}", .path.display(), line_text(*.line))]
    Netrc {
        /// The file.
        path: PathBuf,
        /// The line, if it was read so far.
        line: Option<usize>,
        /// What is wrong with it; holds nothing of the file.
        reason: String,
    },
    /// Someone asked to stop.
    #[error("interrupted")]
    Cancelled,
    /// The file of trusted roots can not be read.
    #[error("can not read the trusted roots `{path}`")]
    Roots {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The HTTP client can not be made: most often a trusted root does not parse.
    #[error("can not prepare fetching: {reason}")]
    Client {
        /// What the HTTP library says.
        reason: String,
    },
    /// Files are missing from the store and the network may not be used.
    #[error("{}", describe_missing(.missing))]
    Offline {
        /// All of them.
        missing: Vec<MissingBlob>,
    },
    /// An archive's index is wanted and the network may not be used.
    #[error("`{path}` has to be fetched from an archive, but the network is switched off")]
    OfflineIndex {
        /// The path below the archive's root.
        path: String,
    },
    /// No location gave the right bytes.
    #[error("{}", describe_failures(.failures))]
    Failed {
        /// Every file that is missing for it.
        failures: Vec<FailedFetch>,
    },
    /// No archive gave an index.
    #[error("no archive gave `{path}`{}", describe_attempts(.attempts))]
    Index {
        /// The path below the archive's root.
        path: String,
        /// What was tried.
        attempts: Vec<Attempt>,
    },
    /// A commit or tag is wanted, and the network may not be used.
    #[error("{what} has to be fetched, but the network is switched off")]
    OfflineGit {
        /// What, and of which repository.
        what: String,
    },
    /// No place gave a commit or tag.
    #[error("no place gave {what}{}{}", describe_attempts(.attempts), hint_on(.attempts))]
    Git {
        /// What, and of which repository.
        what: String,
        /// Every place that was tried.
        attempts: Vec<Attempt>,
    },
    /// A commit holds what no export may.
    #[error("{what} can not be exported: {content}")]
    GitContent {
        /// Which, and of which repository.
        what: String,
        /// Where in it, and what is wrong.
        content: GitContentError,
    },
    /// A submodule can not be had.
    #[error(transparent)]
    Submodule(Box<SubmoduleError>),
    /// The export of a commit has not the bytes that it had when it was locked.
    #[error(
        "the export of {what} is not the one that was locked\n  expected  {expected}\n  actual    \
         {actual}\n\nhint: the commit is the same; if a newer kiln exports otherwise, lock again"
    )]
    Export {
        /// Which, and of which repository.
        what: String,
        /// The digest of the one that was locked.
        expected: Digest,
        /// The digest of this one.
        actual: Digest,
    },
    /// The bytes of a pinned digest have another size than was stated with it.
    #[error(
        "the pinned size of `{name}` is wrong: expected {expected} bytes, \
         the file with this digest has {actual}\n  digest    {digest}\n\n\
         hint: lock again"
    )]
    Size {
        /// What messages call the file.
        name: String,
        /// The file's digest.
        digest: Digest,
        /// The size that was stated.
        expected: u64,
        /// The size it has.
        actual: u64,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A file that is not in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingBlob {
    /// What messages call it.
    pub name: String,
    /// Its digest.
    pub sha256: Digest,
    /// Where it could be had.
    pub locations: Vec<String>,
    /// Where a damaged copy was set aside, if there was one.
    pub damaged: Option<PathBuf>,
}

/// A file that no location gave.
#[derive(Debug)]
pub struct FailedFetch {
    /// What messages call it.
    pub name: String,
    /// The digest that its bytes must have.
    pub expected: Digest,
    /// What was tried, in order.
    pub attempts: Vec<Attempt>,
}

/// One location that was tried, and why it did not serve.
#[derive(Debug)]
pub struct Attempt {
    /// The address, without credentials.
    pub address: String,
    /// Times that it was asked.
    pub tries: u32,
    /// Why the last time failed.
    pub reason: AttemptError,
}

/// Bytes that came, as far as they were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// All that the location has.
    Exactly(u64),
    /// What came, or was announced, before it was given up.
    AtLeast(u64),
}

impl fmt::Display for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(bytes) => write!(f, "{bytes}"),
            Self::AtLeast(bytes) => write!(f, "{bytes} or more"),
        }
    }
}

/// What the bytes look like that came instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyKind {
    /// Nothing that is recognized.
    Other,
    /// An HTML page: a login, an error or a "your download starts soon".
    WebPage,
}

impl fmt::Display for BodyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other => Ok(()),
            Self::WebPage => f.write_str("; it is a page of HTML, not the file"),
        }
    }
}

/// Says why one location did not give the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// No archive's address is known.
    #[error("no archive is configured; set one in `kiln.toml` (`[mirrors]`)")]
    NoArchive,
    /// The address can not be used.
    #[error("not an address that can be fetched: {reason}")]
    Address {
        /// What is wrong with it.
        reason: String,
    },
    /// Only mirrors may be asked, and none stands for this address.
    #[error("no mirror stands for it, and `kiln.toml` allows only mirrors (`[mirrors]`)")]
    NotMirrored,
    /// The file that has credentials for this host can be read by others.
    #[error(
        "`{}` has a password for this host, but others can read it (mode {mode:03o}); \
         run `chmod 600` on it", .path.display()
    )]
    NetrcExposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The way through a proxy did not stand.
    #[error("can not go through the proxy `{proxy}`: {reason}")]
    Proxy {
        /// The proxy, without credentials.
        proxy: String,
        /// What the HTTP library says.
        reason: String,
    },
    /// `https:` needs trusted roots, and the host has none where they are looked for.
    #[error("no trusted roots were found on this host; name a PEM bundle")]
    NoRoots,
    /// No connection stood.
    #[error("can not connect: {reason}")]
    Connect {
        /// What the HTTP library says.
        reason: String,
    },
    /// A connection stood, but no HTTP answer came over it.
    #[error("no HTTP answer came: {reason}")]
    Answer {
        /// What the HTTP library says.
        reason: String,
    },
    /// Nothing came for too long.
    #[error("nothing came for {} s", .idle.as_secs_f64())]
    Idle {
        /// The time that was waited.
        idle: Duration,
    },
    /// Bytes came too slowly.
    #[error("only {actual} bytes came in {} s, expected {expected}", .window.as_secs_f64())]
    Slow {
        /// The time over which was measured.
        window: Duration,
        /// Bytes that should have come.
        expected: u64,
        /// Bytes that came.
        actual: u64,
    },
    /// The server answered with another status than 200.
    #[error("the server answered {status}{}", reason_phrase(*.status))]
    Status {
        /// The status.
        status: u16,
    },
    /// A redirect leads to something that is not fetched.
    #[error("it redirects to `{target}`, which is not fetched: {reason}")]
    Redirect {
        /// Where to, without credentials.
        target: String,
        /// Why it is not followed.
        reason: &'static str,
    },
    /// Too many redirects.
    #[error("it redirects more than {limit} times")]
    Redirects {
        /// Redirects that are followed.
        limit: u32,
    },
    /// The body is encoded: its bytes are not the file's.
    #[error("the server encoded the body as `{encoding}` without being asked")]
    Encoding {
        /// The value of `Content-Encoding`.
        encoding: String,
    },
    /// The connection broke within the body.
    #[error("the connection broke after {received} bytes{}: {reason}", announced_text(*.announced))]
    Broken {
        /// Bytes that came.
        received: u64,
        /// Bytes that the server announced.
        announced: Option<u64>,
        /// What the HTTP library says.
        reason: String,
    },
    /// The file has another size than was pinned.
    #[error("expected {expected} bytes, got {actual}{kind}")]
    Length {
        /// The pinned size.
        expected: u64,
        /// What came.
        actual: Received,
        /// What the bytes look like.
        kind: BodyKind,
    },
    /// The file has more bytes than are taken.
    #[error("expected at most {limit} bytes, got {actual}{kind}")]
    Limit {
        /// Bytes that are taken.
        limit: u64,
        /// What came.
        actual: Received,
        /// What the bytes look like.
        kind: BodyKind,
    },
    /// What answers is no git server.
    #[error("no git server answers there, or one that knows only the old \"dumb\" protocol")]
    NotGit,
    /// The answer is not one that git's protocol has.
    #[error("the git server's answer can not be read: {reason}")]
    GitProtocol {
        /// What is wrong with it.
        reason: String,
    },
    /// The server gives an error for an answer.
    #[error("the git server refuses: {message}")]
    GitRefused {
        /// What it says.
        message: String,
    },
    /// The repository has no such tag.
    #[error("it has no tag `{tag}`")]
    NoTag {
        /// The tag.
        tag: TagName,
    },
    /// The repository does not have a commit, or none of its branches and tags leads to it.
    #[error(
        "it does not give commit {commit}, nor does one of its {refs} branches and tags lead to it"
    )]
    NoCommit {
        /// The commit.
        commit: CommitId,
        /// Branches and tags that it has.
        refs: usize,
    },
    /// The objects that came are not what was asked for.
    #[error("the objects that came can not be used: {reason}")]
    Pack {
        /// What is wrong with them.
        reason: String,
    },
    /// The bytes are not the pinned ones.
    #[error("the bytes do not match{kind}\n    expected  {expected}\n    actual    {actual}")]
    Mismatch {
        /// The pinned digest.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
        /// What the bytes look like.
        kind: BodyKind,
    },
}

impl AttemptError {
    /// Returns whether the same address may well serve a moment later.
    pub(crate) const fn is_passing(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Proxy { .. }
            | Self::Answer { .. }
            | Self::Idle { .. }
            | Self::Broken { .. } => true,
            Self::Status { status } => *status >= 500,
            _ => false,
        }
    }
}

impl AttemptError {
    /// Returns whether the bytes themselves are refused, so that a beginning of them is worth nothing.
    pub(crate) const fn is_about_bytes(&self) -> bool {
        matches!(
            self,
            Self::Length { .. } | Self::Limit { .. } | Self::Mismatch { .. }
        )
    }

    /// Returns what a user may do about it, where that is not in the message.
    const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Mismatch { .. } | Self::Length { .. } => {
                Some("upstream may have re-released the file; inspect it, then pin it anew")
            }
            Self::Status { status: 401 | 403 } => Some(
                "if the server wants to know who asks, put a name and a password into ~/.netrc \
                 (docs/fetching.md)",
            ),
            Self::Status { status: 407 } => Some(
                "the proxy wants to know who asks: HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT \
                 (docs/fetching.md)",
            ),
            Self::NoCommit { .. } => Some(
                "somebody may have rewritten its history (a forced push): ask upstream where the commit \
                 went, or choose another one",
            ),
            Self::NoTag { .. } => {
                Some("`git ls-remote --tags ADDRESS` shows the tags that there are")
            }
            Self::NotGit => Some("open the address in a browser: is it a repository's?"),
            _ => None,
        }
    }
}

fn line_text(line: Option<usize>) -> String {
    line.map_or_else(String::new, |line| format!(", line {line}"))
}

fn announced_text(announced: Option<u64>) -> String {
    announced.map_or_else(String::new, |bytes| format!(" of {bytes}"))
}

fn reason_phrase(status: u16) -> String {
    reqwest::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .map_or_else(String::new, |phrase| format!(" ({phrase})"))
}

fn describe_missing(missing: &[MissingBlob]) -> String {
    let files = match missing {
        [_] => "1 file is".to_owned(),
        _ => format!("{} files are", missing.len()),
    };
    let mut text = format!("{files} missing from the store and the network is switched off");
    for blob in missing {
        text.push_str(&format!("\n  `{}`", blob.name));
        if let Some(evidence) = &blob.damaged {
            text.push_str(&format!(
                "\n    damaged   set aside as `{}`",
                evidence.display()
            ));
        }
        for location in &blob.locations {
            text.push_str(&format!("\n    from      {location}"));
        }
        text.push_str(&format!("\n    digest    {}", blob.sha256));
    }
    text.push_str("\n\nhint: run `kiln fetch` where there is a network, or import a bundle");
    text
}

fn describe_failures(failures: &[FailedFetch]) -> String {
    let mut texts = Vec::new();
    for failed in failures {
        let mut text = format!("no location gave `{}`", failed.name);
        text.push_str(&describe_attempts(&failed.attempts));
        if !failed
            .attempts
            .iter()
            .all(|attempt| matches!(attempt.reason, AttemptError::Mismatch { .. }))
            || failed.attempts.is_empty()
        {
            text.push_str(&format!("\n  expected  {}", failed.expected));
        }
        let hints = failed.attempts.iter();
        if let Some(hint) = hints.filter_map(|attempt| attempt.reason.hint()).next() {
            text.push_str(&format!("\n\nhint: {hint}"));
        }
        texts.push(text);
    }
    texts.join("\n")
}

fn hint_on(attempts: &[Attempt]) -> String {
    let mut hints = attempts.iter().filter_map(|attempt| attempt.reason.hint());
    hints
        .next()
        .map_or_else(String::new, |hint| format!("\n\nhint: {hint}"))
}

fn describe_attempts(attempts: &[Attempt]) -> String {
    let mut text = String::new();
    if attempts.is_empty() {
        text.push_str("\n  no location is known");
    }
    for attempt in attempts {
        text.push_str(&format!("\n  {}", attempt.address));
        if attempt.tries > 1 {
            text.push_str(&format!(" (asked {} times)", attempt.tries));
        }
        text.push_str(&format!(": {}", attempt.reason));
    }
    text
}
