//! Sources: what a recipe says of them, and what they are pinned to.
//!
//! A recipe may leave out what `kiln lock` can find out: the digest of a file, the commit that a tag
//! stands for. Until the lockfile has it, the recipe is *unpinned*: it can be looked at, and not built.

use std::fmt;

use serde::Serialize;

use crate::digest::Digest;
use crate::git::{CommitId, GitLocation, RepositoryUrl, Submodules, TagName};
use crate::lockfile::{LockedSource, RecipeLock};
use crate::recipe::{NodePath, Repacked};
use crate::source::Location;
use crate::time::{CalendarDate, SourceDateEpoch};

/// One source as the recipe has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredSource {
    /// Where it comes from.
    pub origin: Origin,
    /// The day upstream released it, where the recipe says so.
    pub released: Option<CalendarDate>,
    /// Set when the bytes are not upstream's own release.
    pub repacked: Option<Repacked>,
}

/// Where a source comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file that somebody publishes.
    File {
        /// Where exactly these bytes are published.
        url: Location,
        /// Their digest, where the recipe says so.
        sha256: Option<Digest>,
        /// Other places with the same bytes.
        mirrors: Vec<Location>,
    },
    /// A commit of a git repository, exported as a tar.
    Git(GitSource),
}

/// A commit of a git repository. It has a tag or a commit, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSource {
    /// The repository.
    pub repository: RepositoryUrl,
    /// The tag: for people, and for `kiln lock` to resolve where there is no commit.
    pub tag: Option<TagName>,
    /// The commit, where the recipe says so.
    pub commit: Option<CommitId>,
    /// Whether its submodules are part of it.
    pub submodules: Submodules,
}

/// One source, pinned by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Source {
    /// Where exactly these bytes are published; of a git source, the commit that they are made of.
    pub url: Location,
    /// Their digest.
    pub sha256: Digest,
    /// The day upstream released them: what the recipe says, else the day of a git source's commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub released: Option<CalendarDate>,
    /// Other places with the same bytes.
    pub mirrors: Vec<Location>,
    /// Set when the bytes are not upstream's own release.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repacked: Option<Repacked>,
    /// Whether the submodules of a git source are in its export. The digest says so, too.
    #[serde(skip)]
    pub submodules: Submodules,
}

/// What all sources of a recipe are pinned to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pins {
    /// The sources; at least one, no two with the same file name.
    pub sources: Vec<Source>,
    /// The instant that stands in for the clock.
    pub source_date: SourceDateEpoch,
}

/// Something that only `kiln lock`, or a person, can find out.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum MissingPin {
    /// The digest of a file.
    Digest {
        /// Its address.
        url: Location,
    },
    /// The commit that a tag stands for.
    Commit {
        /// The repository.
        repository: RepositoryUrl,
        /// The tag.
        tag: TagName,
    },
    /// The digest of a commit's export.
    Export {
        /// The repository.
        repository: RepositoryUrl,
        /// The commit.
        commit: CommitId,
    },
    /// A day to take for the clock. `kiln lock` can not know it.
    Released {
        /// The address of the first source.
        url: Location,
    },
}

impl MissingPin {
    /// Returns what the recipe calls the source, to find its line.
    #[must_use]
    pub fn node_path(&self) -> NodePath {
        let sources = NodePath::top().key("sources");
        match self {
            Self::Digest { url } | Self::Released { url } => sources.with("url", url.to_string()),
            Self::Commit { repository, .. } | Self::Export { repository, .. } => {
                sources.with("git", repository.to_string())
            }
        }
    }

    /// Returns whether `kiln lock` finds it out by asking where the source comes from.
    #[must_use]
    pub fn is_for_lock(&self) -> bool {
        !matches!(self, Self::Released { .. })
    }
}

impl fmt::Display for MissingPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest { url } => write!(f, "the digest of {url}"),
            Self::Commit { repository, tag } => {
                write!(f, "the commit of tag {tag} in {repository}")
            }
            Self::Export { repository, commit } => {
                write!(f, "the digest of commit {} of {repository}", commit.short())
            }
            Self::Released { url } => write!(f, "the day on which {url} was released"),
        }
    }
}

impl Source {
    /// Returns the folder, beside the first source's, that a further source is unpacked into: its
    /// file name without what names the archive's format, or its repository's name.
    #[must_use]
    pub fn folder(&self) -> &str {
        match &self.url {
            Location::Git(location) => location.repository().name(),
            url => folder_of_file(url.file_name()),
        }
    }
}

fn folder_of_file(name: &str) -> &str {
    let stem = name.split_once(".tar").map_or(name, |(stem, _)| stem);
    stem.strip_suffix(".tgz").unwrap_or(stem)
}

impl DeclaredSource {
    /// Returns the folder, beside the first source's, that a further source is unpacked into.
    #[must_use]
    pub fn folder(&self) -> &str {
        match &self.origin {
            Origin::File { url, .. } => folder_of_file(url.file_name()),
            Origin::Git(git) => git.repository.name(),
        }
    }

    /// Returns what the recipe calls it, to find its line.
    #[must_use]
    pub fn node_path(&self) -> NodePath {
        let sources = NodePath::top().key("sources");
        match &self.origin {
            Origin::File { url, .. } => sources.with("url", url.to_string()),
            Origin::Git(git) => sources.with("git", git.repository.to_string()),
        }
    }

    /// Returns the place below [`DeclaredSource::node_path`] of what a locked source has otherwise;
    /// `None` when it was locked for this one.
    #[must_use]
    pub fn difference(&self, locked: &LockedSource) -> Option<NodePath> {
        let here = || self.node_path();
        match (&self.origin, &locked.url, &locked.git) {
            (Origin::File { url, sha256, .. }, ..) => {
                if locked.url != *url || locked.git.is_some() {
                    return Some(here());
                }
                let is_other = sha256.is_some_and(|sha256| sha256 != locked.sha256);
                is_other.then(|| here().key("sha256"))
            }
            (Origin::Git(git), Location::Git(location), Some(learnt)) => {
                if *location.repository() != git.repository {
                    return Some(here());
                }
                let key = match &git.commit {
                    Some(commit) if commit != location.commit() => "commit",
                    None if git.tag != learnt.tag => "tag",
                    _ if learnt.submodules != (git.submodules == Submodules::Follow) => {
                        "submodules"
                    }
                    _ => return None,
                };
                Some(here().key(key))
            }
            (Origin::Git(_), ..) => Some(here()),
        }
    }

    fn pin(&self, lock: Option<&RecipeLock>) -> Result<Source, MissingPin> {
        let locked = lock.and_then(|lock| {
            let mut sources = lock.sources.iter();
            sources.find(|locked| self.difference(locked).is_none())
        });
        let (url, sha256, mirrors, submodules) = match (&self.origin, locked) {
            (
                Origin::File {
                    url,
                    sha256,
                    mirrors,
                },
                locked,
            ) => {
                let sha256 = sha256.or(locked.map(|locked| locked.sha256));
                let missing = || MissingPin::Digest { url: url.clone() };
                let sha256 = sha256.ok_or_else(missing)?;
                (url.clone(), sha256, mirrors.clone(), Submodules::LeaveOut)
            }
            (Origin::Git(git), Some(locked)) => (
                locked.url.clone(),
                locked.sha256,
                Vec::new(),
                git.submodules,
            ),
            (Origin::Git(git), None) => return Err(git.missing()),
        };
        let committed = locked.and_then(|locked| locked.git.as_ref());
        Ok(Source {
            url,
            sha256,
            released: self.released.or(committed.map(|git| git.committed.day())),
            mirrors,
            repacked: self.repacked.clone(),
            submodules,
        })
    }
}

impl GitSource {
    fn missing(&self) -> MissingPin {
        let repository = self.repository.clone();
        match (&self.commit, &self.tag) {
            (Some(commit), _) => MissingPin::Export {
                repository,
                commit: commit.clone(),
            },
            (None, Some(tag)) => MissingPin::Commit {
                repository,
                tag: tag.clone(),
            },
            (None, None) => unreachable!("the parser asks for a tag or a commit"),
        }
    }

    /// Returns the address of one commit of it.
    #[must_use]
    pub fn at(&self, commit: CommitId) -> Location {
        Location::Git(GitLocation::new(self.repository.clone(), commit))
    }
}

/// What stands in for the clock besides the first source's own date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dates {
    /// What the recipe says outright.
    pub explicit: Option<CalendarDate>,
    /// The newest changelog entry's.
    pub newest_change: Option<CalendarDate>,
}

/// Joins what a recipe says with what its lockfile has.
///
/// # Errors
/// Everything that is missing.
pub(super) fn pin(
    declared: &[DeclaredSource],
    dates: Dates,
    lock: Option<&RecipeLock>,
) -> Result<Pins, Vec<MissingPin>> {
    let mut sources = Vec::new();
    let mut missing = Vec::new();
    for source in declared {
        match source.pin(lock) {
            Ok(source) => sources.push(source),
            Err(pin) => missing.push(pin),
        }
    }
    if !missing.is_empty() {
        return Err(missing);
    }
    let first = sources.first().expect("a recipe has at least one source");
    let date = dates.explicit.or(first.released.max(dates.newest_change));
    match date {
        Some(date) => Ok(Pins {
            source_date: date.midnight_utc(),
            sources,
        }),
        None => Err(vec![MissingPin::Released {
            url: first.url.clone(),
        }]),
    }
}
