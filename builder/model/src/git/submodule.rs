//! What a `.gitmodules` file says: where a submodule lies, and which repository it is.

use std::fmt;
use std::str::FromStr;

use super::{GitError, RepositoryUrl};

/// Longest path of a submodule, in bytes.
const MAX_PATH: usize = 1024;

/// Says how the address of a submodule came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rewriting {
    /// It stands so in `.gitmodules`.
    None,
    /// It is relative to its parent's address.
    Relative,
    /// It stood there for SSH or git's own protocol, and HTTPS is asked instead.
    Https,
}

impl RepositoryUrl {
    /// Reads the address of a submodule of `self`, as it stands in `.gitmodules`.
    ///
    /// Relative ones (`../common.git`) are taken from the parent's address; ones for SSH
    /// (`git@host:path`, `ssh://`) and `git://` are rewritten to HTTPS.
    ///
    /// ```
    /// use kiln_model::{RepositoryUrl, Rewriting};
    /// let parent: RepositoryUrl = "https://example.org/team/astaire.git".parse().unwrap();
    /// let (url, how) = parent.submodule("git@example.org:team/common.git").unwrap();
    /// assert_eq!((url.as_str(), how), ("https://example.org/team/common.git", Rewriting::Https));
    /// let (url, _) = parent.submodule("../common.git").unwrap();
    /// assert_eq!(url.as_str(), "https://example.org/team/common.git");
    /// ```
    ///
    /// # Errors
    /// As for any repository's address; `Address` when a relative one leaves the host.
    pub fn submodule(&self, text: &str) -> Result<(Self, Rewriting), GitError> {
        if text.starts_with("./") || text.starts_with("../") {
            return Ok((self.join(text)?, Rewriting::Relative));
        }
        match over_https(text) {
            Some(https) => Ok((https.parse()?, Rewriting::Https)),
            None => Ok((text.trim_end_matches('/').parse()?, Rewriting::None)),
        }
    }

    fn join(&self, relative: &str) -> Result<Self, GitError> {
        let address = |reason| GitError::Address {
            text: relative.to_owned(),
            reason,
        };
        let (scheme, rest) = self.as_str().split_once("://").unwrap_or_default();
        let mut parts: Vec<&str> = rest.split('/').collect();
        for part in relative.trim_end_matches('/').split('/') {
            match part {
                "." => {}
                // The host stays.
                ".." if parts.len() > 1 => drop(parts.pop()),
                ".." => return Err(address("it climbs above its parent's host")),
                other => parts.push(other),
            }
        }
        format!("{scheme}://{}", parts.join("/")).parse()
    }
}

/// Returns the HTTPS address of a repository that is named for SSH or git's own protocol; `None` for
/// anything else.
pub(super) fn over_https(text: &str) -> Option<String> {
    let with_scheme = ["ssh://", "git+ssh://", "ssh+git://", "git://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let (host, path) = match with_scheme {
        Some(rest) => {
            let (host, path) = rest.split_once('/')?;
            // A port is one of SSH.
            (host.split_once(':').map_or(host, |(host, _)| host), path)
        }
        None if text.contains("://") => return None,
        // `user@host:path`: the colon comes before the first slash.
        None => {
            let (host, path) = text.split_once(':')?;
            if host.contains('/') || !host.contains('@') {
                return None;
            }
            (host, path.trim_start_matches('/'))
        }
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    let is_host = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    if host.is_empty() || host.starts_with('-') || !host.chars().all(is_host) {
        return None;
    }
    Some(format!("https://{host}/{}", path.trim_end_matches('/')))
}

/// Where a submodule lies in its repository: a relative path that stays in it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubmodulePath(String);

impl SubmodulePath {
    /// Returns the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path of a submodule in this one.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        Self(format!("{}/{}", self.0, below.0))
    }
}

impl FromStr for SubmodulePath {
    type Err = GitError;

    fn from_str(text: &str) -> Result<Self, GitError> {
        let refused = |reason| {
            Err(GitError::SubmodulePath {
                text: text.chars().take(MAX_PATH).collect(),
                reason,
            })
        };
        if text.len() > MAX_PATH {
            return refused("it is too long");
        }
        if text.starts_with('-') {
            return refused("it starts with `-`, like an option");
        }
        if text.contains('\\') || text.chars().any(char::is_control) {
            return refused("it holds a backslash or a control character");
        }
        for part in text.split('/') {
            if matches!(part, "" | "." | "..") {
                return refused("it has an empty, `.` or `..` part");
            }
            if part.eq_ignore_ascii_case(".git") {
                return refused("it leads into a folder of git's own");
            }
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for SubmodulePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
