//! What keeps a recipe from being packaged, as far as its text alone says so: noticed before hours of
//! building, not after.
//!
//! Everything here is certain. What depends on the files that a build installs is left to `split`.

use kiln_model::recipe::{Choice, NodePath, Package};
use kiln_model::{FilePattern, LibraryName, Line, PackageName, Recipe, RecipeName, SandboxPath};
use kiln_rpm::Dependency;

use crate::error::BuildError;
use crate::project::LoadedRecipe;
use crate::service::{ServiceFinding, service_findings};
use crate::site::Site;
use crate::split::unmerged;

/// Something that is certainly wrong with a recipe, though each of its values is right by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeFinding {
    /// One pattern stands in two packages.
    #[error("{recipe}: the pattern `{pattern}` stands in both `{first}` and `{second}`")]
    SamePattern {
        /// The recipe.
        recipe: RecipeName,
        /// The pattern.
        pattern: FilePattern,
        /// One package.
        first: PackageName,
        /// The other.
        second: PackageName,
    },
    /// A pattern can match nothing that could be packaged.
    #[error(
        "{recipe}: the pattern `{pattern}` lies below `{folder}`, which is a link to `/usr{folder}`"
    )]
    Unmerged {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The pattern.
        pattern: FilePattern,
        /// `/bin`, `/lib`, `/lib64` or `/sbin`.
        folder: &'static str,
    },
    /// A pattern ends in `/`, as no file's path does.
    #[error("{recipe}: the pattern `{pattern}` ends in `/`, so it matches no file")]
    FolderPattern {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The pattern.
        pattern: FilePattern,
    },
    /// `=NAME` names no package of the recipe.
    #[error("{recipe}: package `{package}` names `{text}`, but the recipe has no such package")]
    NoSuchPackage {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The key: `requires`.
        key: &'static str,
        /// The text.
        text: Line,
        /// The recipe's packages.
        known: Vec<PackageName>,
    },
    /// A dependency that no spec file can carry.
    #[error("{recipe}: package `{package}`: {reason}")]
    Dependency {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The key: `requires`.
        key: &'static str,
        /// The text.
        text: Line,
        /// What is wrong with it.
        reason: String,
    },
    /// Something about a package's services.
    #[error(transparent)]
    Service(Box<ServiceFinding>),
    /// Files are carried that no package can own.
    #[error(
        "{recipe}: carries files of `{library}` below `{prefix}`, but no package claims anything there"
    )]
    NotClaimed {
        /// The recipe.
        recipe: RecipeName,
        /// The library.
        library: LibraryName,
        /// The bundle prefix.
        prefix: SandboxPath,
    },
}

/// Returns everything that is certainly wrong with a recipe, in the order of its text.
pub(crate) fn findings(recipe: &Recipe) -> Vec<RecipeFinding> {
    let mut found = Vec::new();
    if !recipe.packages.is_empty() {
        found.extend(unclaimed_libraries(recipe));
    }
    let mut seen: Vec<(&FilePattern, &PackageName)> = Vec::new();
    for package in &recipe.packages {
        for pattern in &package.files {
            found.extend(pattern_finding(recipe, package, pattern));
            let is_same = |(earlier, owner): &&(&FilePattern, &PackageName)| {
                *earlier == pattern && **owner != package.name
            };
            match seen.iter().find(is_same) {
                Some((_, first)) => found.push(RecipeFinding::SamePattern {
                    recipe: recipe.name.clone(),
                    pattern: pattern.clone(),
                    first: (*first).clone(),
                    second: package.name.clone(),
                }),
                None => seen.push((pattern, &package.name)),
            }
        }
        found.extend(dependency_findings(recipe, package));
    }
    found
}

/// Returns the same, with what its folder's files say.
pub(crate) fn all_findings(loaded: &LoadedRecipe) -> Vec<RecipeFinding> {
    let mut found = findings(&loaded.recipe);
    let services = service_findings(loaded).into_iter();
    found.extend(services.map(|finding| RecipeFinding::Service(Box::new(finding))));
    found
}

/// Refuses a recipe that is certainly wrong, before anything is built for it.
///
/// # Errors
/// `Finding`, or `Several` of them.
pub(crate) fn check_findings(loaded: &LoadedRecipe) -> Result<(), BuildError> {
    let found = all_findings(loaded).into_iter();
    let mut errors: Vec<BuildError> = found
        .map(|found| BuildError::Finding(Box::new(found)))
        .collect();
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(BuildError::Several(errors)),
    }
}

fn pattern_finding(
    recipe: &Recipe,
    package: &Package,
    pattern: &FilePattern,
) -> Option<RecipeFinding> {
    let (recipe, package) = (recipe.name.clone(), package.name.clone());
    if let Some(folder) = unmerged(pattern.as_str()) {
        let pattern = pattern.clone();
        return Some(RecipeFinding::Unmerged {
            recipe,
            package,
            pattern,
            folder,
        });
    }
    pattern
        .as_str()
        .ends_with('/')
        .then(|| RecipeFinding::FolderPattern {
            recipe,
            package,
            pattern: pattern.clone(),
        })
}

fn dependency_findings(recipe: &Recipe, package: &Package) -> Vec<RecipeFinding> {
    let lists: [(&'static str, &[Line]); 5] = [
        ("requires", &package.requires),
        ("provides", &package.provides),
        ("conflicts", &package.conflicts),
        ("obsoletes", &package.obsoletes),
        ("recommends", &package.recommends),
    ];
    let lines = lists
        .into_iter()
        .flat_map(|(key, lines)| lines.iter().map(move |line| (key, line)));
    let finding = |(key, text): (&'static str, &Line)| {
        let (name, package) = (recipe.name.clone(), package.name.clone());
        let own = text.as_str().strip_prefix('=').map(str::trim);
        if let Some(own) = own {
            let is_known = recipe.packages.iter().any(|p| p.name.as_str() == own);
            return (!is_known).then(|| RecipeFinding::NoSuchPackage {
                recipe: name,
                package,
                key,
                text: text.clone(),
                known: recipe.packages.iter().map(|p| p.name.clone()).collect(),
            });
        }
        let error = text.as_str().parse::<Dependency>().err()?;
        Some(RecipeFinding::Dependency {
            recipe: name,
            package,
            key,
            text: text.clone(),
            reason: error.to_string(),
        })
    };
    lines.filter_map(finding).collect()
}

/// What is carried lies below the bundle prefix: a pattern that can match there shares its beginning.
fn unclaimed_libraries(recipe: &Recipe) -> Vec<RecipeFinding> {
    let prefix = format!("{}/", recipe.bundle_prefix);
    let can_match = |pattern: &FilePattern| {
        let text = pattern.as_str();
        let fixed = &text[..text.find(['*', '?', '[', '{', '\\']).unwrap_or(text.len())];
        fixed.starts_with(&prefix) || prefix.starts_with(fixed)
    };
    let is_claimed = recipe
        .packages
        .iter()
        .any(|package| package.files.iter().any(can_match));
    if is_claimed {
        return Vec::new();
    }
    let carried = recipe.libraries.iter().filter(
        |(_, library)| matches!(&library.choice, Choice::Bundle { carry, .. } if !carry.is_empty()),
    );
    carried
        .map(|(name, _)| RecipeFinding::NotClaimed {
            recipe: recipe.name.clone(),
            library: name.clone(),
            prefix: recipe.bundle_prefix.clone(),
        })
        .collect()
}

impl RecipeFinding {
    /// Returns the values that it is about, the first one first.
    #[must_use]
    pub fn sites(&self) -> Vec<Site> {
        let packages = || NodePath::top().key("packages");
        let files = |package: &PackageName| packages().with("name", package.as_str()).key("files");
        match self {
            Self::SamePattern {
                recipe,
                pattern,
                first,
                second,
            } => {
                let site = |package| Site::recipe(recipe, files(package).item(pattern.as_str()));
                vec![site(first), site(second)]
            }
            Self::Unmerged {
                recipe,
                package,
                pattern,
                ..
            }
            | Self::FolderPattern {
                recipe,
                package,
                pattern,
            } => vec![Site::recipe(recipe, files(package).item(pattern.as_str()))],
            Self::NoSuchPackage {
                recipe,
                package,
                key,
                text,
                ..
            }
            | Self::Dependency {
                recipe,
                package,
                key,
                text,
                ..
            } => {
                let path = packages().with("name", package.as_str()).key(*key);
                vec![Site::recipe(recipe, path.item(text.as_str()))]
            }
            Self::Service(finding) => finding.sites(),
            Self::NotClaimed {
                recipe, library, ..
            } => {
                let library = NodePath::top().key("libraries").key(library.as_str());
                vec![
                    Site::recipe(recipe, library),
                    Site::recipe(recipe, packages()),
                ]
            }
        }
    }
}
