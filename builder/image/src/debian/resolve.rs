//! Chooses the packages that a request needs, under Debian's rules.
//!
//! What is chosen depends on the index and the request only, never on the order of either: requested
//! packages, essential ones and what is already there come first; then, clause by clause, the first
//! alternative that can be had, the package of that name before its providers, providers by priority
//! and name, the highest version of each. `Recommends` are not followed.

use std::collections::BTreeSet;

use kiln_model::{DistributionPackage, LockedPackage};
use resolvo::{Problem, Solver, UnsolvableOrCancelled};

use super::index::{PackageIndex, Presence};
use super::universe::{Fixed, Universe};
use super::version::VersionError;

/// Says why a request can not be met.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The index has no package of that name.
    #[error("there is no package `{package}` in the index{}", near_names(.near))]
    Unknown {
        /// The name as it was asked for.
        package: DistributionPackage,
        /// Names that look like it, the nearest first.
        near: Vec<String>,
    },
    /// The name is only provided by other packages.
    #[error(
        "`{package}` is a virtual package; ask for one of its providers: `{}`",
        .providers.join("`, `")
    )]
    Virtual {
        /// The name as it was asked for.
        package: DistributionPackage,
        /// The packages that provide it, sorted.
        providers: Vec<String>,
    },
    /// One requested package can not be had, whatever else is asked for.
    #[error("the package `{package}` can not be had:\n{explanation}")]
    Unsatisfiable {
        /// The package.
        package: DistributionPackage,
        /// The solver's reasons, in words, several lines.
        explanation: String,
    },
    /// Requested packages exclude each other. Leaving out any one of them would do.
    #[error("the packages `{}` can not be had together:\n{explanation}", join_names(.packages))]
    Exclusive {
        /// The packages, sorted; at least two.
        packages: Vec<DistributionPackage>,
        /// The solver's reasons, in words, several lines.
        explanation: String,
    },
    /// What is there already, with the essential packages, is at odds with itself.
    #[error("the packages that are already there do not go together:\n{explanation}")]
    Foundation {
        /// The solver's reasons, in words, several lines.
        explanation: String,
    },
    /// A package that is already there has no proper version.
    #[error("the package `{package}` that is already there has no proper version")]
    InstalledVersion {
        /// The package.
        package: DistributionPackage,
        /// What is wrong with the version.
        #[source]
        source: VersionError,
    },
    /// A package is said to be there twice.
    #[error("the package `{package}` is already there twice, as {first} and as {second}")]
    InstalledTwice {
        /// The package.
        package: DistributionPackage,
        /// One version.
        first: String,
        /// The other version.
        second: String,
    },
}

/// What to do about packages that every system has (`Essential: yes`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Essential {
    /// Choose them all: for a base image.
    Include,
    /// Leave them alone: for additions over a base image.
    AlreadyThere,
}

/// What to choose packages for.
#[derive(Debug, Clone, Copy)]
pub struct ResolveRequest<'a> {
    /// Packages asked for by name.
    pub wanted: &'a [DistributionPackage],
    /// Packages that are there already: they stay, at their version, and satisfy others.
    pub installed: &'a [LockedPackage],
    /// What to do about essential packages.
    pub essential: Essential,
}

/// Returns the packages to add to what is there already, sorted by name.
///
/// # Errors
/// `Unknown` or `Virtual` when a wanted name is none of a package, `Unsatisfiable` or `Exclusive` when
/// there is no way to have what is wanted, `Foundation`, `InstalledVersion` or `InstalledTwice` when
/// what is there already can not be built on.
pub fn resolve(
    index: &PackageIndex,
    request: &ResolveRequest<'_>,
) -> Result<Vec<LockedPackage>, ResolveError> {
    let fixed = fix(index, request.installed)?;
    let wanted: BTreeSet<&DistributionPackage> = request.wanted.iter().collect();
    let mut foundation: BTreeSet<&str> = fixed
        .iter()
        .map(|fixed| fixed.locked.name.as_str())
        .collect();
    for &package in &wanted {
        if !foundation.contains(package.as_str()) {
            check_name(index, package)?;
        }
    }
    if request.essential == Essential::Include {
        let essential = index
            .packages()
            .iter()
            .filter(|p| p.presence == Presence::Essential);
        foundation.extend(essential.map(|package| package.name()));
    }
    let task = Task {
        index,
        fixed: &fixed,
        foundation,
    };
    let wanted: Vec<_> = wanted.into_iter().collect();
    task.solve(&wanted)
        .map_err(|explanation| task.explain(&wanted, explanation))
}

/// Looks up the packages that are there already, and sorts them by name.
fn fix<'a>(
    index: &PackageIndex,
    installed: &'a [LockedPackage],
) -> Result<Vec<Fixed<'a>>, ResolveError> {
    let mut fixed = Vec::with_capacity(installed.len());
    for locked in installed {
        let version = locked.version.parse();
        let version = version.map_err(|source| ResolveError::InstalledVersion {
            package: locked.name.clone(),
            source,
        })?;
        let place = index.places(locked.name.as_str()).find(|&place| {
            let known = &index.packages()[place].locked;
            known.version == locked.version && known.architecture == locked.architecture
        });
        fixed.push(Fixed {
            locked,
            version,
            place,
        });
    }
    fixed.sort_by(|left, right| left.locked.name.cmp(&right.locked.name));
    match fixed
        .windows(2)
        .find(|pair| pair[0].locked.name == pair[1].locked.name)
    {
        None => Ok(fixed),
        Some(pair) => Err(ResolveError::InstalledTwice {
            package: pair[0].locked.name.clone(),
            first: pair[0].locked.version.clone(),
            second: pair[1].locked.version.clone(),
        }),
    }
}

fn check_name(index: &PackageIndex, package: &DistributionPackage) -> Result<(), ResolveError> {
    if !index.places(package.as_str()).is_empty() {
        return Ok(());
    }
    let providers = index.providers(package.as_str()).iter();
    let providers: BTreeSet<&str> = providers
        .map(|&place| index.packages()[place].name())
        .collect();
    if providers.is_empty() {
        Err(ResolveError::Unknown {
            near: nearest(package.as_str(), index.names()),
            package: package.clone(),
        })
    } else {
        Err(ResolveError::Virtual {
            package: package.clone(),
            providers: providers.into_iter().map(str::to_owned).collect(),
        })
    }
}

/// One request, ready to be solved with all or some of its wanted packages.
struct Task<'a> {
    index: &'a PackageIndex,
    fixed: &'a [Fixed<'a>],
    /// What is there already, and the essential packages if they are to be included.
    foundation: BTreeSet<&'a str>,
}

impl Task<'_> {
    /// Returns the additions, or the solver's explanation why there are none.
    fn solve(&self, wanted: &[&DistributionPackage]) -> Result<Vec<LockedPackage>, String> {
        let universe = Universe::new(self.index, self.fixed);
        let wanted = wanted.iter().map(|package| package.as_str());
        let wanted = wanted.filter(|name| !self.foundation.contains(name));
        let names = self.foundation.iter().copied().chain(wanted);
        let requirements = names.map(|name| universe.require(name)).collect();
        let mut solver = Solver::new(universe);
        match solver.solve(Problem::new().requirements(requirements)) {
            Ok(chosen) => Ok(additions(solver.provider(), &chosen)),
            Err(UnsolvableOrCancelled::Unsolvable(conflict)) => {
                let text = conflict.display_user_friendly(&solver).to_string();
                Err(text.trim_end().to_owned())
            }
            Err(UnsolvableOrCancelled::Cancelled(_)) => {
                unreachable!("the universe never asks the solver to stop")
            }
        }
    }

    /// Finds the fewest wanted packages that can not be had, and why.
    fn explain(&self, wanted: &[&DistributionPackage], explanation: String) -> ResolveError {
        if let Err(explanation) = self.solve(&[]) {
            return ResolveError::Foundation { explanation };
        }
        for &package in wanted {
            if let Err(explanation) = self.solve(&[package]) {
                return ResolveError::Unsatisfiable {
                    package: package.clone(),
                    explanation,
                };
            }
        }
        let mut culprits = wanted.to_vec();
        let mut reason = explanation;
        for &package in wanted {
            let without: Vec<_> = culprits.iter().copied().filter(|&p| p != package).collect();
            if let Err(explanation) = self.solve(&without) {
                culprits = without;
                reason = explanation;
            }
        }
        ResolveError::Exclusive {
            packages: culprits.into_iter().cloned().collect(),
            explanation: reason,
        }
    }
}

/// Returns the chosen packages that are not there already, sorted by name.
fn additions(universe: &Universe<'_>, chosen: &[resolvo::SolvableId]) -> Vec<LockedPackage> {
    let added = chosen
        .iter()
        .filter(|candidate| !universe.is_fixed(candidate.into_raw()));
    let packages = added.filter_map(|&candidate| universe.package(candidate));
    let mut packages: Vec<LockedPackage> = packages.map(|package| package.locked.clone()).collect();
    packages.sort_unstable();
    packages
}

/// How many names an error suggests.
const SUGGESTIONS: usize = 3;

/// Returns the names that are most like `wanted`, the nearest first, equally near ones sorted.
fn nearest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    // Beyond a third of the name, a suggestion is a guess.
    let limit = (wanted.len() / 3).max(1);
    let mut near: Vec<(usize, &str)> = names
        .filter(|name| name.len().abs_diff(wanted.len()) <= limit)
        .map(|name| (distance(wanted.as_bytes(), name.as_bytes()), name))
        .filter(|&(distance, _)| distance <= limit)
        .collect();
    near.sort_unstable();
    near.into_iter()
        .take(SUGGESTIONS)
        .map(|(_, name)| name.to_owned())
        .collect()
}

/// Counts the bytes to insert, remove or replace to make one name of the other (Levenshtein).
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (at, left_byte) in left.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, right_byte) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(left_byte != right_byte);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[right.len()]
}

fn near_names(near: &[String]) -> String {
    if near.is_empty() {
        String::new()
    } else {
        format!("; near it are `{}`", near.join("`, `"))
    }
}

fn join_names(packages: &[DistributionPackage]) -> String {
    let names: Vec<_> = packages.iter().map(DistributionPackage::as_str).collect();
    names.join("`, `")
}

#[cfg(test)]
mod tests;
