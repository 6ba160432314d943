//! One commit of one repository, as an address: `git+https://example.org/x.git@<commit>`.

use std::fmt;

use super::{CommitId, GitError, RepositoryUrl};

/// One commit of one repository.
///
/// Written `git+ADDRESS@COMMIT`, as SPDX writes download locations and SLSA writes materials.
///
/// ```
/// use kiln_model::Location;
/// let text = "git+https://example.org/x.git@0123456789012345678901234567890123456789";
/// let location: Location = text.parse().unwrap();
/// assert_eq!(location.file_name(), "x-012345678901.tar");
/// assert_eq!(location.to_string(), text);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitLocation {
    repository: RepositoryUrl,
    commit: CommitId,
    file_name: String,
}

impl GitLocation {
    /// Names a commit of a repository.
    #[must_use]
    pub fn new(repository: RepositoryUrl, commit: CommitId) -> Self {
        let file_name = format!("{}-{}.tar", repository.name(), commit.short());
        Self {
            repository,
            commit,
            file_name,
        }
    }

    /// Returns the repository.
    #[must_use]
    pub fn repository(&self) -> &RepositoryUrl {
        &self.repository
    }

    /// Returns the commit.
    #[must_use]
    pub fn commit(&self) -> &CommitId {
        &self.commit
    }

    /// Returns the name of the commit's export: `astaire-0123456789ab.tar`.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Reads what follows `git+`.
    pub(crate) fn parse(rest: &str) -> Result<Self, GitError> {
        let Some((repository, commit)) = rest.rsplit_once('@') else {
            return Err(GitError::Commit {
                text: String::new(),
            });
        };
        Ok(Self::new(repository.parse()?, commit.parse()?))
    }
}

impl fmt::Display for GitLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "git+{}@{}", self.repository, self.commit)
    }
}
