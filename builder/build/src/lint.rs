//! What keeps a recipe from being packaged, as far as its text alone says so: noticed before hours of
//! building, not after.
//!
//! Everything here is certain. What depends on the files that a build installs is left to `split`.

use kiln_model::recipe::{Choice, FileRule, NodePath, Package, PackageArchitecture, RuleEffect};
use kiln_model::{
    Dependency, DependencyKind, FilePattern, LibraryName, PackageName, Recipe, RecipeName,
    SandboxPath,
};

use crate::claim::Rule;
use crate::error::BuildError;
use crate::site::Site;
use crate::split::unmerged;

/// Something that is certainly wrong with a recipe, though each of its values is right by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipeFinding {
    /// One pattern stands in two packages.
    #[error("{recipe}: the pattern `{}` stands in both `{}` and `{}`", .first.text, .first.package, .second.package)]
    SamePattern {
        /// The recipe.
        recipe: RecipeName,
        /// It in one package.
        first: Rule,
        /// It in the other.
        second: Rule,
    },
    /// A pattern can match nothing that could be packaged.
    #[error(
        "{recipe}: the pattern `{pattern}` lies below `{folder}`, which is a link to `/usr{folder}`"
    )]
    Unmerged {
        /// The recipe.
        recipe: RecipeName,
        /// Where it stands.
        rule: Rule,
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
        /// Where it stands.
        rule: Rule,
        /// The pattern.
        pattern: FilePattern,
    },
    /// `=NAME` names no package of the recipe.
    #[error("{recipe}: package `{package}` names `={own}`, but the recipe has no such package")]
    NoSuchPackage {
        /// The recipe.
        recipe: RecipeName,
        /// The package.
        package: PackageName,
        /// The key: `requires`.
        key: &'static str,
        /// The text.
        text: Dependency,
        /// The name in it that no package has.
        own: PackageName,
        /// The recipe's packages.
        known: Vec<PackageName>,
    },
    /// The package of the recipe's name is noarch and another one is not.
    #[error(
        "{recipe}: package `{recipe}` is `noarch`, but `{native}` is not: rpm gives the architecture of the \
         package with the recipe's name to all"
    )]
    MainNoarch {
        /// The recipe.
        recipe: RecipeName,
        /// A package that is not.
        native: PackageName,
    },
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
    found.extend(main_noarch(recipe));
    let mut seen: Vec<(&FileRule, Rule)> = Vec::new();
    for package in &recipe.packages {
        for (key, patterns) in package.claims() {
            for item in patterns.rules() {
                let rule = Rule::new(&package.name, key, item.as_str());
                found.extend(pattern_finding(recipe, &rule, item.pattern()));
                let is_same = |(earlier, owner): &&(&FileRule, Rule)| {
                    *earlier == item && owner.package != package.name
                };
                match seen.iter().find(is_same) {
                    Some((_, first)) if item.effect() == RuleEffect::Take => {
                        found.push(RecipeFinding::SamePattern {
                            recipe: recipe.name.clone(),
                            first: first.clone(),
                            second: rule,
                        });
                    }
                    _ => seen.push((item, rule)),
                }
            }
        }
        let directories = package.directories.iter().map(|p| ("directories", p));
        let attributes = package.attributes.iter().map(|a| ("attributes", &a.files));
        for (key, pattern) in directories.chain(attributes) {
            let rule = Rule::new(&package.name, key, pattern.as_str());
            found.extend(pattern_finding(recipe, &rule, pattern));
        }
        found.extend(dependency_findings(recipe, package));
    }
    found
}

/// rpm has no way to say it.
fn main_noarch(recipe: &Recipe) -> Option<RecipeFinding> {
    let is_noarch = |package: &&Package| package.architecture == PackageArchitecture::Noarch;
    let is_main = |package: &&Package| package.name.as_str() == recipe.name.as_str();
    recipe.packages.iter().filter(is_noarch).find(is_main)?;
    let native = recipe.packages.iter().find(|package| !is_noarch(package))?;
    Some(RecipeFinding::MainNoarch {
        recipe: recipe.name.clone(),
        native: native.name.clone(),
    })
}

/// Refuses a recipe that is certainly wrong, before anything is built for it.
///
/// # Errors
/// `Finding`, or `Several` of them.
pub(crate) fn check_findings(recipe: &Recipe) -> Result<(), BuildError> {
    let found = findings(recipe).into_iter();
    let mut errors: Vec<BuildError> = found
        .map(|found| BuildError::Finding(Box::new(found)))
        .collect();
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(BuildError::Several(errors)),
    }
}

fn pattern_finding(recipe: &Recipe, rule: &Rule, pattern: &FilePattern) -> Option<RecipeFinding> {
    let (recipe, rule) = (recipe.name.clone(), rule.clone());
    let pattern = pattern.clone();
    if let Some(folder) = unmerged(pattern.as_str()) {
        return Some(RecipeFinding::Unmerged {
            recipe,
            rule,
            pattern,
            folder,
        });
    }
    pattern
        .as_str()
        .ends_with('/')
        .then_some(RecipeFinding::FolderPattern {
            recipe,
            rule,
            pattern,
        })
}

fn dependency_findings(recipe: &Recipe, package: &Package) -> Vec<RecipeFinding> {
    let is_known = |own: &PackageName| recipe.packages.iter().any(|p| p.name == *own);
    let finding = |(kind, dependency): (DependencyKind, &Dependency)| {
        let own = dependency.own().into_iter().find(|own| !is_known(own))?;
        Some(RecipeFinding::NoSuchPackage {
            recipe: recipe.name.clone(),
            package: package.name.clone(),
            key: kind.key(),
            text: dependency.clone(),
            own: own.clone(),
            known: recipe.packages.iter().map(|p| p.name.clone()).collect(),
        })
    };
    package.dependencies().filter_map(finding).collect()
}

/// What is carried lies below the bundle prefix: a pattern that can match there shares its beginning.
fn unclaimed_libraries(recipe: &Recipe) -> Vec<RecipeFinding> {
    let prefix = format!("{}/", recipe.bundle_prefix);
    let can_match = |pattern: &FilePattern| {
        let text = pattern.as_str();
        let fixed = &text[..text.find(['*', '?', '[', '{', '\\']).unwrap_or(text.len())];
        fixed.starts_with(&prefix) || prefix.starts_with(fixed)
    };
    let is_claimed = recipe.packages.iter().any(|package| {
        package
            .claims()
            .iter()
            .any(|(_, list)| list.taking().any(can_match))
    });
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
        match self {
            Self::SamePattern {
                recipe,
                first,
                second,
            } => vec![first.site(recipe), second.site(recipe)],
            Self::Unmerged { recipe, rule, .. } | Self::FolderPattern { recipe, rule, .. } => {
                vec![rule.site(recipe)]
            }
            Self::MainNoarch { recipe, .. } => {
                let main = packages().with("name", recipe.as_str());
                vec![Site::recipe(recipe, main.key("noarch"))]
            }
            Self::NoSuchPackage {
                recipe,
                package,
                key,
                text,
                ..
            } => {
                let path = packages().with("name", package.as_str()).key(*key);
                vec![Site::recipe(recipe, path.item(text.as_str()))]
            }
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
