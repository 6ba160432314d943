//! Why a commit was not exported.

use kiln_model::{CommitId, RepositoryUrl, SubmodulePath};

use crate::error::StoreError;
use crate::fetch::{AttemptError, FetchError, TransferError};

/// Something in a commit that no export may hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", place(.path))]
pub struct GitContentError {
    /// Where, in its repository; empty when it is about the commit itself.
    pub path: String,
    /// What is wrong.
    pub reason: String,
}

fn place(path: &str) -> String {
    match path {
        "" => String::new(),
        path => format!("`{path}`: "),
    }
}

/// A submodule that can not be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "submodule `{path}` of {parent} is pinned to a commit that can not be had\n  commit    {commit}\n  \
     from      {url}\n{reason}"
)]
pub struct SubmoduleError {
    /// The repository that pins it.
    pub parent: RepositoryUrl,
    /// Where it lies in that one.
    pub path: SubmodulePath,
    /// The commit that is pinned.
    pub commit: CommitId,
    /// The repository that should have it.
    pub url: RepositoryUrl,
    /// Why it can not be had.
    pub reason: Box<FetchError>,
}

/// Why one place did not serve, or no place can.
#[derive(Debug)]
pub(super) enum GitProblem {
    /// Another place may.
    Attempt(AttemptError),
    /// The commit itself is the trouble.
    Content(GitContentError),
    /// The store is.
    Store(StoreError),
    /// A submodule is, or somebody wants it to stop.
    Fetch(FetchError),
}

impl From<AttemptError> for GitProblem {
    fn from(error: AttemptError) -> Self {
        Self::Attempt(error)
    }
}

impl From<StoreError> for GitProblem {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<TransferError> for GitProblem {
    fn from(error: TransferError) -> Self {
        match error {
            TransferError::Attempt(error) | TransferError::NotTheRest(error) => {
                Self::Attempt(error)
            }
            TransferError::Store(error) => Self::Store(error),
        }
    }
}
