//! What `kiln lock` finds out of sources: the size of a file, its digest where the recipe has none, the
//! commit behind a tag and the digest of its export.
//!
//! A pin that fits the recipe stays. Of a tag it is asked whether it still leads to the commit that was
//! locked; one that moved is told, and followed only when everything is chosen anew.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use kiln_model::recipe::{DeclaredSource, GitSource, Origin};
use kiln_model::{
    CommitId, Digest, Location, LockedGit, LockedSource, Recipe, RecipeLock, RepositoryUrl, Sha512,
    SubmodulePath, Submodules, TagName,
};
use kiln_store::{Attempt, AttemptError, FetchError, GitRequest, GitWanted};

use super::Renewal;
use crate::error::BuildError;
use crate::plan::source_request;
use crate::told::Told;
use crate::work::OnFailure;
use crate::workshop::{Event, Workshop};

/// Largest file without a digest that is taken, in bytes: it is held in memory.
const MAX_UNKNOWN: u64 = 1 << 30;

/// Something that people should know of what was locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockNote {
    /// A tag leads to another commit than it did, or than the recipe names.
    TagMoved {
        /// The repository.
        repository: RepositoryUrl,
        /// The tag.
        tag: TagName,
        /// The commit that was locked, or stands in the recipe.
        before: CommitId,
        /// The commit that the tag leads to now.
        now: CommitId,
        /// Which of them is locked.
        kept: Kept,
    },
    /// Nobody could say whether a tag moved.
    TagUnknown {
        /// The repository.
        repository: RepositoryUrl,
        /// The tag.
        tag: TagName,
        /// Why.
        reason: String,
    },
    /// A file without a digest in its recipe was locked as it came.
    TakenAsItCame {
        /// Its address.
        url: Location,
        /// Its digest.
        sha256: Digest,
    },
    /// A submodule was asked for at another address than the repository has for it.
    Rewritten {
        /// Where it lies.
        path: SubmodulePath,
        /// Its address there.
        from: String,
        /// The address that was asked.
        to: RepositoryUrl,
    },
    /// The sources can not be reached: the recipe stays unpinned.
    StillUnpinned {
        /// Why.
        reason: String,
    },
}

/// Which of two commits is locked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// The one that was locked before, or stands in the recipe.
    Before,
    /// The one that the tag leads to now.
    Now,
}

impl LockNote {
    /// Returns a word for programs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::TagMoved { .. } => "tag-moved",
            Self::TagUnknown { .. } => "tag-unknown",
            Self::TakenAsItCame { .. } => "taken-as-it-came",
            Self::Rewritten { .. } => "rewritten",
            Self::StillUnpinned { .. } => "still-unpinned",
        }
    }
}

impl fmt::Display for LockNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TagMoved {
                repository,
                tag,
                before,
                now,
                kept,
            } => {
                let what = match kept {
                    Kept::Before => "the first one stays; `kiln lock --update` follows the tag",
                    Kept::Now => "the second one is locked now",
                };
                write!(
                    f,
                    "tag {tag} of {repository} moved from {before} to {now}: {what}"
                )
            }
            Self::TagUnknown {
                repository,
                tag,
                reason,
            } => write!(
                f,
                "whether tag {tag} of {repository} moved is not known: {reason}"
            ),
            Self::TakenAsItCame { url, sha256 } => write!(
                f,
                "{url} is locked as it came; compare with what upstream publishes: {sha256}"
            ),
            Self::Rewritten { path, from, to } => {
                write!(f, "submodule {path}: {from} is asked for as {to}")
            }
            Self::StillUnpinned { reason } => write!(f, "stays unpinned: {reason}"),
        }
    }
}

/// Locks sources, and remembers who does not answer.
pub(super) struct SourceLocker<'a> {
    pub(super) shop: &'a Workshop<'a>,
    pub(super) renewal: Renewal,
    /// Whether a file that nobody serves is locked by its digest alone.
    pub(super) on_failure: OnFailure,
    /// Hosts that were asked in vain: to wait for each of their tags would take long.
    pub(super) silent: RefCell<BTreeSet<String>>,
}

impl SourceLocker<'_> {
    /// Returns the locked sources of a recipe, in its order.
    pub(super) fn lock(
        &self,
        recipe: &Recipe,
        earlier: Option<&RecipeLock>,
    ) -> Result<Vec<LockedSource>, BuildError> {
        let mut locked = Vec::new();
        for source in &recipe.declared {
            let mut known = earlier.iter().flat_map(|lock| &lock.sources);
            let kept = known.find(|locked| source.difference(locked).is_none());
            let kept = match (&source.origin, kept) {
                (Origin::Git(git), Some(kept)) => self.kept(recipe, git, kept)?,
                // What was locked by its digest alone is asked for again.
                (_, kept) => kept.filter(|locked| locked.size.is_some()).cloned(),
            };
            locked.push(kept);
        }
        self.lock_pinned_files(recipe, &mut locked)?;
        let pairs = recipe.declared.iter().zip(locked);
        pairs
            .map(|(source, kept)| match (kept, &source.origin) {
                (Some(kept), _) => Ok(kept),
                (None, Origin::Git(git)) => self.export(recipe, git),
                (None, Origin::File { url, mirrors, .. }) => self.take(recipe, url, mirrors),
            })
            .collect()
    }

    fn tell(&self, recipe: &Recipe, note: &LockNote) {
        let recipe = &recipe.name;
        self.shop.report.tell(&Event::LockNote { recipe, note });
    }

    /// Fetches, all at once, the files whose digests the recipe has.
    fn lock_pinned_files(
        &self,
        recipe: &Recipe,
        locked: &mut [Option<LockedSource>],
    ) -> Result<(), BuildError> {
        let mut places = Vec::new();
        let mut requests = Vec::new();
        for (place, source) in recipe.declared.iter().enumerate() {
            if let (None, Some(pinned)) = (&locked[place], source.pinned_by_itself()) {
                places.push((place, pinned.url.clone()));
                requests.push(source_request(&pinned));
            }
        }
        if requests.is_empty() {
            return Ok(());
        }
        let told = Told(self.shop.report);
        let unreached = match self.shop.fetcher.fetch_all(&requests, &told) {
            Ok(_) => BTreeSet::new(),
            Err(error) => match (self.on_failure, unreached(&error)) {
                (OnFailure::KeepGoing, Some(digests)) => digests,
                _ => return Err(error.into()),
            },
        };
        for ((place, url), request) in places.into_iter().zip(requests) {
            let sha256 = request.sha256;
            let info = match unreached.contains(&sha256) {
                true => None,
                false => Some(self.shop.store.blob_info(&sha256)?),
            };
            locked[place] = Some(LockedSource {
                url,
                sha256,
                sha512: info.as_ref().map(|info| info.sha512),
                size: info.as_ref().map(|info| info.size),
                git: None,
            });
        }
        Ok(())
    }

    /// Asks whether the tag still leads to what was locked; `None` when it is to be followed.
    fn kept(
        &self,
        recipe: &Recipe,
        git: &GitSource,
        kept: &LockedSource,
    ) -> Result<Option<LockedSource>, BuildError> {
        let before = kept.url.git().map(|location| location.commit().clone());
        let (Some(tag), Some(before)) = (&git.tag, before) else {
            return Ok(Some(kept.clone()));
        };
        let is_followed = self.renewal == Renewal::Everything && git.commit.is_none();
        let Some(now) = self.resolve(recipe, git, tag, is_followed)? else {
            return Ok(Some(kept.clone()));
        };
        if now == before {
            return Ok(Some(kept.clone()));
        }
        let (which, kept) = match is_followed {
            true => (Kept::Now, None),
            false => (Kept::Before, Some(kept.clone())),
        };
        self.tell(
            recipe,
            &LockNote::TagMoved {
                repository: git.repository.clone(),
                tag: tag.clone(),
                before,
                now,
                kept: which,
            },
        );
        Ok(kept)
    }

    /// Returns what a tag leads to now; `None` when nobody says so and that is no reason to stop.
    fn resolve(
        &self,
        recipe: &Recipe,
        git: &GitSource,
        tag: &TagName,
        is_needed: bool,
    ) -> Result<Option<CommitId>, BuildError> {
        let host = git
            .repository
            .as_str()
            .split('/')
            .nth(2)
            .unwrap_or_default();
        if !is_needed && self.silent.borrow().contains(host) {
            return Ok(None);
        }
        match self.shop.fetcher.resolve_tag(&git.repository, tag) {
            Ok(commit) => Ok(Some(commit)),
            Err(error @ FetchError::Cancelled) => Err(error.into()),
            Err(error) if is_needed => Err(error.into()),
            // Nothing is said of what was to be expected.
            Err(FetchError::OfflineGit { .. }) => Ok(None),
            Err(error) => {
                self.silent.borrow_mut().insert(host.to_owned());
                let note = LockNote::TagUnknown {
                    repository: git.repository.clone(),
                    tag: tag.clone(),
                    reason: in_one_line(&error),
                };
                self.tell(recipe, &note);
                Ok(None)
            }
        }
    }

    fn export(&self, recipe: &Recipe, git: &GitSource) -> Result<LockedSource, BuildError> {
        let wanted = match (&git.commit, &git.tag) {
            (Some(commit), tag) => GitWanted::Commit(commit, tag.as_ref()),
            (None, Some(tag)) => GitWanted::Tag(tag),
            (None, None) => unreachable!("the parser asks for a tag or a commit"),
        };
        let request = GitRequest {
            repository: &git.repository,
            wanted,
            submodules: git.submodules,
        };
        let told = Told(self.shop.report);
        let export = self.shop.fetcher.export_git(&request, &told)?;
        for submodule in export.rewritten {
            let note = LockNote::Rewritten {
                path: submodule.path,
                from: submodule.from,
                to: submodule.to,
            };
            self.tell(recipe, &note);
        }
        if let (Some(before), Some(tag)) = (&git.commit, &git.tag)
            && let Some(now) = self.resolve(recipe, git, tag, false)?
            && now != *before
        {
            let note = LockNote::TagMoved {
                repository: git.repository.clone(),
                tag: tag.clone(),
                before: before.clone(),
                now,
                kept: Kept::Before,
            };
            self.tell(recipe, &note);
        }
        Ok(LockedSource {
            url: git.at(export.commit),
            sha256: export.blob.digest,
            sha512: Some(export.blob.sha512),
            size: Some(export.blob.size),
            git: Some(LockedGit {
                tag: git.tag.clone(),
                committed: export.committed,
                submodules: git.submodules == Submodules::Follow,
                pins: export.submodules,
            }),
        })
    }

    /// Takes a file whose digest nobody pinned yet, from the first place that has it.
    fn take(
        &self,
        recipe: &Recipe,
        url: &Location,
        mirrors: &[Location],
    ) -> Result<LockedSource, BuildError> {
        let mut places = std::iter::once(url).chain(mirrors);
        let mut first_error = None;
        let bytes = loop {
            let Some(place) = places.next() else {
                let error = first_error.expect("there is at least one place");
                return Err(BuildError::Fetch(error));
            };
            match self.shop.fetcher.fetch_unknown(place, MAX_UNKNOWN) {
                Ok(bytes) => break bytes,
                Err(error @ FetchError::Cancelled) => return Err(error.into()),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        };
        let sha256 = self.shop.store.write_blob(&bytes)?;
        let note = LockNote::TakenAsItCame {
            url: url.clone(),
            sha256,
        };
        self.tell(recipe, &note);
        Ok(LockedSource {
            url: url.clone(),
            sha256,
            sha512: Some(Sha512::of(&bytes)),
            size: Some(bytes.len() as u64),
            git: None,
        })
    }
}

/// Returns the digests of what no location served; `None` when anything else went wrong, wrong bytes among
/// it.
fn unreached(error: &FetchError) -> Option<BTreeSet<Digest>> {
    let FetchError::Failed { failures } = error else {
        return None;
    };
    let is_unreached = |attempt: &Attempt| {
        use AttemptError::{
            Address, Answer, Broken, Connect, Idle, NoArchive, NotMirrored, Proxy, Status,
        };
        matches!(
            attempt.reason,
            Address { .. }
                | Answer { .. }
                | Broken { .. }
                | Connect { .. }
                | Idle { .. }
                | NoArchive
                | NotMirrored
                | Proxy { .. }
                | Status { .. }
        )
    };
    let mut attempts = failures.iter().flat_map(|failure| &failure.attempts);
    let all = attempts.all(is_unreached);
    all.then(|| failures.iter().map(|failure| failure.expected).collect())
}

/// Returns what an error says first, without the places that were tried one by one.
pub(super) fn in_one_line(error: &dyn fmt::Display) -> String {
    let text = error.to_string();
    let text = text.split("\n\nhint: ").next().unwrap_or_default();
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines.join("; ")
}

/// Whether a source's own text pins it is the recipe's business; how it is asked for is the plan's.
trait PinnedByItself {
    fn pinned_by_itself(&self) -> Option<kiln_model::recipe::Source>;
}

impl PinnedByItself for DeclaredSource {
    fn pinned_by_itself(&self) -> Option<kiln_model::recipe::Source> {
        let Origin::File {
            url,
            sha256: Some(sha256),
            mirrors,
        } = &self.origin
        else {
            return None;
        };
        Some(kiln_model::recipe::Source {
            url: url.clone(),
            sha256: *sha256,
            released: self.released,
            mirrors: mirrors.clone(),
            repacked: self.repacked.clone(),
            submodules: Submodules::LeaveOut,
            form: self.form,
        })
    }
}
