//! Commits of git repositories: resolved, fetched, and exported as one deterministic tar each.
//!
//! ```text
//! tag --ls-refs--> commit --fetch, depth 1--> pack --indexed--> objects --walk--> tar, a blob of the store
//!                                                                   |
//!                                       submodules by their pins ---+  the same for each, into its folder
//! ```
//!
//! A server that gives no commit by its name is asked for the tag, then for everything that it names. Only
//! objects whose names were computed from their bytes are read. No `git` is run, no configuration or
//! environment of git's is read, nothing is checked out.

mod error;
mod export;
mod modules;
mod objects;
mod packet;
mod server;
mod tar;

use std::path::Path;
use std::sync::Arc;

use gix_hash::ObjectId;
use kiln_model::{
    CommitId, Digest, GitLocation, LockedSubmodule, RepositoryUrl, Rewriting, SourceDateEpoch,
    SubmodulePath, Submodules, TagName,
};
use tokio::runtime::Runtime;

use crate::blob::BlobInfo;
use crate::error::StoreError;
use crate::fetch::{
    Address, Attempt, AttemptError, FetchError, FetchOrigin, FetchProgress, Fetcher, Line, Mirrors,
    Stop, run_apart,
};
use crate::store::Store;

use self::error::GitProblem;
pub use self::error::{GitContentError, SubmoduleError};
use self::export::{Archive, Follow, Gitlink, Walk, top_folder};
use self::objects::Objects;
use self::server::{Depth, Ref, Server};

/// Submodules within submodules, at most.
const MAX_NESTING: usize = 8;

/// Submodules in one export, at most.
const MAX_SUBMODULES: usize = 256;

/// Wants in one request, at most: a server's refs are many, and most lead to the same history.
const MAX_WANTS: usize = 20_000;

/// What of a repository is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GitWanted<'a> {
    /// The commit that a tag leads to now.
    Tag(&'a TagName),
    /// A commit; the tag may help to get it where servers give no commit by its name.
    Commit(&'a CommitId, Option<&'a TagName>),
}

/// A commit that is to be exported into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GitRequest<'a> {
    /// The repository.
    pub repository: &'a RepositoryUrl,
    /// What of it.
    pub wanted: GitWanted<'a>,
    /// Whether with its submodules.
    pub submodules: Submodules,
}

/// A commit that was exported into the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitExport {
    /// The tar.
    pub blob: BlobInfo,
    /// The commit.
    pub commit: CommitId,
    /// When it was made, and the time of everything in the tar.
    pub committed: SourceDateEpoch,
    /// The submodules in it, sorted by path.
    pub submodules: Vec<LockedSubmodule>,
    /// Submodules that were asked for at another address than `.gitmodules` has.
    pub rewritten: Vec<RewrittenSubmodule>,
}

/// A submodule whose address is for SSH, and was asked for by HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RewrittenSubmodule {
    /// Where it lies in the outermost repository.
    pub path: SubmodulePath,
    /// Its address as it stands in `.gitmodules`.
    pub from: String,
    /// The address that was asked.
    pub to: RepositoryUrl,
}

impl Fetcher {
    /// Fetches a commit and its submodules, and writes their export into the store.
    ///
    /// # Errors
    /// `OfflineGit`; `Git` with every place that was tried; `GitContent` when the commit holds what no
    /// export may; `Submodule`; `Netrc`, `Cancelled` or `Store`.
    pub fn export_git(
        &self,
        request: &GitRequest<'_>,
        progress: &dyn FetchProgress,
    ) -> Result<GitExport, FetchError> {
        self.export_expected(request, None, progress)
    }

    /// Exports a commit that was exported before, and compares it with the digest that it had.
    pub(crate) fn export_again(
        &self,
        location: &GitLocation,
        submodules: Submodules,
        expected: &Digest,
        progress: &dyn FetchProgress,
    ) -> Result<BlobInfo, FetchError> {
        let request = GitRequest {
            repository: location.repository(),
            wanted: GitWanted::Commit(location.commit(), None),
            submodules,
        };
        let export = self.export_expected(&request, Some(expected), progress)?;
        Ok(export.blob)
    }

    fn export_expected(
        &self,
        request: &GitRequest<'_>,
        expected: Option<&Digest>,
        progress: &dyn FetchProgress,
    ) -> Result<GitExport, FetchError> {
        let session = self.git_session(request.repository, &request.wanted, progress)?;
        let name = request.repository.name();
        progress.started(name, None);
        let (objects, id) = session.obtain(request.repository, &request.wanted)?;
        let commit = commit_id(&id);
        let content = |reason: String| FetchError::GitContent {
            what: what(request.repository, &GitWanted::Commit(&commit, None)),
            content: GitContentError {
                path: String::new(),
                reason,
            },
        };
        let found = objects.commit(&id);
        let found = found.map_err(|error| content(error.to_string()))?;
        let time = u32::try_from(found.committed);
        let time = time.map_err(|_| content("its date is before 1970 or after 2106".to_owned()))?;
        let mut taken = Taken::default();
        let mut follower = Follower {
            session: &session,
            parent: request.repository,
            place: None,
            depth: 0,
            taken: &mut taken,
        };
        let top = top_folder(request.repository, &commit);
        let limit = session.line.limits.size_limit;
        let mut written = || -> Result<BlobInfo, GitProblem> {
            let writer = session.store.blob_writer()?;
            let mut archive = Archive::new(writer, time, limit, &top)?;
            let follow: Option<&mut dyn Follow> = match request.submodules {
                Submodules::Follow => Some(&mut follower),
                Submodules::LeaveOut => None,
            };
            let mut walk = Walk::new(&objects, &found.tree, follow)?;
            walk.add_tree(&mut archive, &found.tree, (top.as_bytes(), b""), 0)?;
            archive.finish(expected)
        };
        let blob = written().map_err(|problem| match problem {
            GitProblem::Content(content) => FetchError::GitContent {
                what: what(request.repository, &GitWanted::Commit(&commit, None)),
                content,
            },
            GitProblem::Attempt(error) => content(error.to_string()),
            GitProblem::Store(StoreError::Mismatch { expected, actual }) => FetchError::Export {
                what: what(request.repository, &GitWanted::Commit(&commit, None)),
                expected,
                actual,
            },
            GitProblem::Store(error) => error.into(),
            GitProblem::Fetch(error) => error,
        })?;
        let origin = FetchOrigin::Network {
            address: request.repository.to_string(),
        };
        progress.finished(name, &blob, origin);
        taken.submodules.sort();
        Ok(GitExport {
            blob,
            commit,
            committed: SourceDateEpoch::from_seconds(time),
            submodules: taken.submodules,
            rewritten: taken.rewritten,
        })
    }

    /// Asks which commit a tag leads to now.
    ///
    /// # Errors
    /// `OfflineGit`, `Git`, `Netrc` or `Cancelled`.
    pub fn resolve_tag(
        &self,
        repository: &RepositoryUrl,
        tag: &TagName,
    ) -> Result<CommitId, FetchError> {
        let wanted = GitWanted::Tag(tag);
        let silent = crate::fetch::Silent;
        let session = self.git_session(repository, &wanted, &silent)?;
        let line = session.line;
        session.try_all(repository, &wanted, |address| async move {
            let server = Server::ask(line, &address).await?;
            let found = server.tag(tag).await?;
            Ok(commit_id(&found.peeled.unwrap_or(found.id)))
        })
    }

    fn git_session<'a>(
        &'a self,
        repository: &RepositoryUrl,
        wanted: &GitWanted<'_>,
        progress: &'a dyn FetchProgress,
    ) -> Result<Session<'a>, FetchError> {
        let Some((line, mirrors, runtime)) = self.online()? else {
            return Err(FetchError::OfflineGit {
                what: what(repository, wanted),
            });
        };
        Ok(Session {
            line,
            mirrors,
            runtime,
            store: self.store(),
            stop: self.stop(),
            progress,
            name: repository.name().to_owned(),
        })
    }
}

fn commit_id(id: &ObjectId) -> CommitId {
    id.to_string().parse().expect("an object's name is one")
}

/// Returns what is wanted, in words.
fn what(repository: &RepositoryUrl, wanted: &GitWanted<'_>) -> String {
    match wanted {
        GitWanted::Tag(tag) => format!("tag `{tag}` of {repository}"),
        GitWanted::Commit(commit, _) => format!("commit {commit} of {repository}"),
    }
}

/// What fetching from repositories is done with.
struct Session<'a> {
    line: &'a Arc<Line>,
    mirrors: &'a Mirrors,
    runtime: &'a Runtime,
    store: &'a Store,
    stop: &'a Stop,
    progress: &'a dyn FetchProgress,
    /// What progress is told of.
    name: String,
}

impl Session<'_> {
    /// Gets the objects of what is wanted from the first place that has it.
    fn obtain(
        &self,
        repository: &RepositoryUrl,
        wanted: &GitWanted<'_>,
    ) -> Result<(Objects, ObjectId), FetchError> {
        self.try_all(repository, wanted, |address| async move {
            let scratch = self.store.scratch()?;
            let server = Server::ask(self.line, &address).await?;
            let (pack, id) = match wanted {
                GitWanted::Tag(tag) => {
                    let found = server.tag(tag).await?;
                    let wants = [found.id];
                    let pack = self.fetch(&server, &wants, Depth::Shallow, scratch.path());
                    (pack.await?, found.id)
                }
                GitWanted::Commit(commit, tag) => {
                    let id = server::id(commit.as_str(), server.hash())?;
                    (
                        self.fetch_commit(&server, id, *tag, scratch.path()).await?,
                        id,
                    )
                }
            };
            let commit = pack.peel(&id)?;
            let commit = commit.ok_or_else(|| AttemptError::Pack {
                reason: format!("object {id} leads to no commit"),
            })?;
            // Its files are mapped, and may go.
            drop(scratch);
            Ok((pack, commit))
        })
    }

    /// Gets a commit by its name, else by that of the tag, else with everything that the server names.
    async fn fetch_commit(
        &self,
        server: &Server<'_>,
        id: ObjectId,
        tag: Option<&TagName>,
        folder: &Path,
    ) -> Result<Objects, GitProblem> {
        match self.fetch(server, &[id], Depth::Shallow, folder).await {
            Err(GitProblem::Attempt(AttemptError::GitRefused { .. })) => {}
            fetched => return fetched,
        }
        let named = ["refs/heads/".to_owned(), "refs/tags/".to_owned()];
        let refs = server.refs(&named).await?;
        let name = tag.map(TagName::as_ref_name);
        let is_it = |found: &&Ref| found.peeled.unwrap_or(found.id) == id;
        let mut at_it: Vec<&Ref> = refs.iter().filter(is_it).collect();
        at_it.sort_by_key(|found| Some(&found.name) != name.as_ref());
        let missing = || {
            GitProblem::Attempt(AttemptError::NoCommit {
                commit: commit_id(&id),
                refs: refs.len(),
            })
        };
        let objects = match at_it.first() {
            Some(found) => {
                self.fetch(server, &[found.id], Depth::Shallow, folder)
                    .await?
            }
            None => {
                let mut wants: Vec<ObjectId> = refs.iter().map(|found| found.id).collect();
                wants.sort();
                wants.dedup();
                if wants.is_empty() || wants.len() > MAX_WANTS {
                    return Err(missing());
                }
                self.fetch(server, &wants, Depth::Whole, folder).await?
            }
        };
        match objects.has(&id) {
            true => Ok(objects),
            false => Err(missing()),
        }
    }

    /// Fetches and indexes a pack.
    async fn fetch(
        &self,
        server: &Server<'_>,
        wants: &[ObjectId],
        depth: Depth,
        folder: &Path,
    ) -> Result<Objects, GitProblem> {
        let pack = folder.join("fetched");
        let _ = fs_err::remove_file(&pack);
        let limit = self.line.limits.size_limit;
        let advanced = |bytes: u64| self.progress.advanced(&self.name, bytes);
        server
            .fetch(wants, depth, (&pack, limit), &advanced)
            .await?;
        Ok(Objects::index(&pack, folder, server.hash(), self.stop)?)
    }

    /// Tries every place that stands for a repository, each several times where that may help.
    fn try_all<T: Send, F>(
        &self,
        repository: &RepositoryUrl,
        wanted: &GitWanted<'_>,
        ask: impl Fn(Address) -> F,
    ) -> Result<T, FetchError>
    where
        F: Future<Output = Result<T, GitProblem>> + Send,
    {
        let mut attempts = Vec::new();
        for candidate in self.mirrors.of_repository(repository) {
            let mut tries = 0;
            let mut wait = self.line.limits.backoff;
            let reason = loop {
                tries += 1;
                let address = match &candidate.address {
                    Ok(address) => address.clone(),
                    Err(reason) => break reason.clone(),
                };
                match self.block(ask(address)) {
                    Ok(found) => return Ok(found),
                    Err(GitProblem::Attempt(reason)) => {
                        if self.stop.is_raised() {
                            return Err(FetchError::Cancelled);
                        }
                        if !reason.is_passing() || tries > self.line.limits.retries {
                            break reason;
                        }
                        let slept = self.block(async {
                            tokio::time::sleep(wait).await;
                            Ok(())
                        });
                        if let Err(GitProblem::Fetch(error)) = slept {
                            return Err(error);
                        }
                        wait *= 2;
                    }
                    Err(GitProblem::Store(error)) => return Err(error.into()),
                    Err(GitProblem::Fetch(error)) => return Err(error),
                    Err(GitProblem::Content(content)) => {
                        let what = what(repository, wanted);
                        return Err(FetchError::GitContent { what, content });
                    }
                }
            };
            self.progress
                .passed_over(&self.name, &candidate.shown, &reason);
            attempts.push(Attempt {
                address: candidate.shown,
                tries,
                reason,
            });
        }
        Err(FetchError::Git {
            what: what(repository, wanted),
            attempts,
        })
    }

    /// Waits for an answer, or until somebody wants it to stop.
    fn block<T: Send>(
        &self,
        future: impl Future<Output = Result<T, GitProblem>> + Send,
    ) -> Result<T, GitProblem> {
        let stoppable = async {
            tokio::select! {
                biased;
                () = self.stop.raised() => Err(GitProblem::Fetch(FetchError::Cancelled)),
                outcome = future => outcome,
            }
        };
        run_apart(|| self.runtime.block_on(stoppable))
    }
}

impl Server<'_> {
    /// Finds a tag.
    async fn tag(&self, tag: &TagName) -> Result<Ref, AttemptError> {
        let name = tag.as_ref_name();
        let refs = self.refs(std::slice::from_ref(&name)).await?;
        let found = refs.into_iter().find(|found| found.name == name);
        found.ok_or_else(|| AttemptError::NoTag { tag: tag.clone() })
    }
}

/// What was taken of submodules.
#[derive(Default)]
struct Taken {
    submodules: Vec<LockedSubmodule>,
    rewritten: Vec<RewrittenSubmodule>,
}

/// Follows the submodules of one repository.
struct Follower<'a, 'b> {
    session: &'a Session<'b>,
    parent: &'a RepositoryUrl,
    /// Where the parent lies in the outermost repository, unless it is that one.
    place: Option<SubmodulePath>,
    depth: usize,
    taken: &'a mut Taken,
}

impl Follow for Follower<'_, '_> {
    fn follow(
        &mut self,
        archive: &mut Archive,
        link: Gitlink,
        folder: &[u8],
    ) -> Result<(), GitProblem> {
        let refused = |reason: String| {
            GitProblem::Content(GitContentError {
                path: link.path.to_string(),
                reason,
            })
        };
        if self.depth >= MAX_NESTING || self.taken.submodules.len() >= MAX_SUBMODULES {
            return Err(refused(format!(
                "more than {MAX_SUBMODULES} submodules, or {MAX_NESTING} within each other, are not followed"
            )));
        }
        let (url, how) = self.parent.submodule(&link.url).map_err(|error| {
            refused(format!(
                "its address in `.gitmodules` can not be used: {error}"
            ))
        })?;
        let place = match &self.place {
            Some(place) => place.join(&link.path),
            None => link.path.clone(),
        };
        if how == Rewriting::Https {
            self.taken.rewritten.push(RewrittenSubmodule {
                path: place.clone(),
                from: link.url.clone(),
                to: url.clone(),
            });
        }
        let wanted = GitWanted::Commit(&link.commit, None);
        let failed = |error: FetchError| match error {
            FetchError::Cancelled | FetchError::Store(_) => GitProblem::Fetch(error),
            error => GitProblem::Fetch(FetchError::Submodule(Box::new(SubmoduleError {
                parent: self.parent.clone(),
                path: link.path.clone(),
                commit: link.commit.clone(),
                url: url.clone(),
                reason: Box::new(error),
            }))),
        };
        let (objects, id) = self.session.obtain(&url, &wanted).map_err(failed)?;
        self.taken.submodules.push(LockedSubmodule {
            path: place.clone(),
            url: url.clone(),
            commit: link.commit.clone(),
        });
        let tree = objects.commit(&id)?.tree;
        let mut follower = Follower {
            session: self.session,
            parent: &url,
            place: Some(place),
            depth: self.depth + 1,
            taken: &mut *self.taken,
        };
        let within = |problem: GitProblem| match problem {
            GitProblem::Content(error) => GitProblem::Content(GitContentError {
                path: format!("{}/{}", link.path, error.path),
                reason: error.reason,
            }),
            other => other,
        };
        let mut walk = Walk::new(&objects, &tree, Some(&mut follower)).map_err(within)?;
        walk.add_tree(archive, &tree, (folder, b""), 0)
            .map_err(within)
    }
}
