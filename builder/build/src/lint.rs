//! What keeps a recipe from being packaged, as far as its text alone says so: noticed before hours of
//! building, not after.
//!
//! Everything here is certain. What depends on the files that a build installs is left to `split`.

mod description;

pub use description::LostLine;

use description::lost_lines;
use kiln_model::recipe::{
    Check, Choice, FileRule, NodePath, Package, PackageArchitecture, RuleEffect,
};
use kiln_model::{
    Dependency, DependencyKind, DistributionPackage, FilePattern, LibraryName, PackageName, Recipe,
    RecipeName, SandboxPath,
};

use crate::claim::Rule;
use crate::error::BuildError;
use crate::project::LoadedRecipe;
use crate::rhel::{system_libraries, tool_name};
use crate::script::{BUILD_ROOT, StepName};
use crate::service::{ServiceFinding, service_findings};
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
    /// A line of a description that rpm would not show.
    #[error(transparent)]
    LostLine(LostLine),
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
    /// A source package can not ask for a tool.
    #[error("{recipe}: what the RPM family calls the tool `{tool}` is not known")]
    ToolWithoutRhelName {
        /// The recipe.
        recipe: RecipeName,
        /// The tool, by Debian's name.
        tool: DistributionPackage,
    },
    /// A source package can not ask for a library of the system.
    #[error("{recipe}: what the RPM family calls the package of `{library}` is not known")]
    LibraryWithoutRhelName {
        /// The recipe.
        recipe: RecipeName,
        /// The library.
        library: LibraryName,
    },
    /// A step names a folder that only kiln's sandbox has.
    #[error("{recipe}: the step `{step}` names `{BUILD_ROOT}`, which is there in kiln only")]
    PlaceOfKiln {
        /// The recipe.
        recipe: RecipeName,
        /// The step.
        step: StepName,
    },
}

/// Returns what keeps a recipe's source package from being built elsewhere. Kiln builds it all the
/// same.
pub(crate) fn rebuild_findings(recipe: &Recipe) -> Vec<RecipeFinding> {
    let nameless = (recipe.tools.iter()).filter(|tool| tool_name(recipe, tool).is_none());
    let tools = nameless.map(|tool| RecipeFinding::ToolWithoutRhelName {
        recipe: recipe.name.clone(),
        tool: tool.clone(),
    });
    let libraries = system_libraries(recipe).filter(|(_, _, rhel)| rhel.is_none());
    let libraries = libraries.map(|(library, _, _)| RecipeFinding::LibraryWithoutRhelName {
        recipe: recipe.name.clone(),
        library: library.clone(),
    });
    let steps = &recipe.steps;
    let check = match &steps.check {
        Check::Script(script) => Some(script),
        Check::Preset | Check::Skipped(_) => None,
    };
    let scripts = [
        (StepName::Prep, steps.prep.as_ref()),
        (StepName::Build, steps.build.as_ref()),
        (StepName::Install, steps.install.as_ref()),
        (StepName::Check, check),
    ];
    let names_place = |script: &&String| names_build_root(script);
    let places = scripts
        .into_iter()
        .filter(|(_, script)| script.as_ref().is_some_and(names_place))
        .map(|(step, _)| RecipeFinding::PlaceOfKiln {
            recipe: recipe.name.clone(),
            step,
        });
    tools.chain(libraries).chain(places).collect()
}

/// Whether the path of kiln's folder stands in a script. In `tools/build/src` and `$PWD/build/x` it is only
/// the middle of another path.
fn names_build_root(script: &str) -> bool {
    let is_path = |c: char| c.is_alphanumeric() || "/.-_}*?".contains(c);
    let path = format!("{BUILD_ROOT}/");
    let mut found = script.match_indices(&path);
    found.any(|(at, _)| !script[..at].ends_with(is_path))
}

/// Returns everything that is certainly wrong with a recipe, in the order of its text.
pub(crate) fn findings(recipe: &Recipe) -> Vec<RecipeFinding> {
    let mut found = Vec::new();
    found.extend(lost_lines(recipe).into_iter().map(RecipeFinding::LostLine));
    if !recipe.packages.is_empty() {
        found.extend(unclaimed_libraries(recipe));
    }
    found.extend(main_noarch(recipe));
    let mut seen: Vec<Rule> = Vec::new();
    for package in &recipe.packages {
        for (rule, pattern) in patterns(package) {
            found.extend(pattern_finding(recipe, &rule, &pattern));
        }
        for rule in whole_claims(package) {
            let is_same = |first: &&Rule| first.text == rule.text && first.package != rule.package;
            match seen.iter().find(is_same) {
                Some(first) => found.push(RecipeFinding::SamePattern {
                    recipe: recipe.name.clone(),
                    first: first.clone(),
                    second: rule,
                }),
                None => seen.push(rule),
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

/// Returns every pattern and path of a package.
fn patterns(package: &Package) -> Vec<(Rule, FilePattern)> {
    let mut all = Vec::new();
    for (key, patterns) in package.claims() {
        let rules = patterns.rules().iter();
        all.extend(rules.map(|item| (key, item.as_str(), item.pattern().clone())));
    }
    let directories = package.directories.iter();
    all.extend(directories.map(|pattern| ("directories", pattern.as_str(), pattern.clone())));
    // A path that a recipe can have has no character that means something in a pattern.
    let ghosts = package.ghost.iter().map(|ghost| ghost.path.as_str());
    all.extend(ghosts.filter_map(|path| Some(("ghost", path, path.parse().ok()?))));
    let attributes = package.attributes.iter().map(|item| &item.files);
    all.extend(attributes.map(|pattern| ("attributes", pattern.as_str(), pattern.clone())));
    let rule = |(key, text, pattern)| (Rule::new(&package.name, key, text), pattern);
    all.into_iter().map(rule).collect()
}

/// Returns the rules that claim all that they match: those of lists that leave nothing out, and ghosts.
fn whole_claims(package: &Package) -> Vec<Rule> {
    let mut claims = Vec::new();
    for (key, patterns) in package.claims() {
        let is_whole = |item: &FileRule| item.effect() == RuleEffect::Take;
        if patterns.rules().iter().all(is_whole) {
            let rules = patterns.rules().iter().map(FileRule::as_str);
            claims.extend(rules.map(|text| Rule::new(&package.name, key, text)));
        }
    }
    let ghosts = package.ghost.iter().map(|ghost| ghost.path.as_str());
    claims.extend(ghosts.map(|path| Rule::new(&package.name, "ghost", path)));
    claims
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
            Self::LostLine(line) => vec![line.site()],
            Self::Service(finding) => finding.sites(),
            Self::ToolWithoutRhelName { recipe, tool } => {
                let path = NodePath::top().key("tools").item(tool.as_str());
                vec![Site::recipe(recipe, path)]
            }
            Self::LibraryWithoutRhelName { recipe, library } => {
                let library = NodePath::top().key("libraries").key(library.as_str());
                vec![Site::recipe(recipe, library.key("package"))]
            }
            Self::PlaceOfKiln { recipe, step } => {
                let path = NodePath::top().key("steps").key(step.to_string());
                vec![Site::recipe(recipe, path)]
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_kiln_can_build_is_noticed() {
        let text = format!(
            "schema: 1\nname: x\nversion: \"1\"\nrelease: 1\nsummary: x\nlicense: MIT\n\
             homepage: https://example.org\nidentity: {{supplier: x}}\nbase: b\n\
             tools: [cmake, odd, strange]\ntools-rhel: {{strange: strange-tools}}\nsources:\n  \
             - {{url: \"https://example.org/x.tar\", sha256: \"{}\", released: 2020-01-01}}\n\
             libraries:\n  zlib: {{choice: system, package: {{debian: zlib1g-dev, rhel: zlib-devel}}}}\n  \
             foo: {{choice: system, package: {{debian: libfoo-dev}}}}\n\
             steps: {{use: make, install: cp x /build/destdir/x, check: \"true\"}}\n",
            "0".repeat(64)
        );
        let recipe = Recipe::parse(text.as_bytes(), "x").unwrap();
        let name = || recipe.name.clone();
        let expected = [
            RecipeFinding::ToolWithoutRhelName {
                recipe: name(),
                tool: "odd".parse().unwrap(),
            },
            RecipeFinding::LibraryWithoutRhelName {
                recipe: name(),
                library: "foo".parse().unwrap(),
            },
            RecipeFinding::PlaceOfKiln {
                recipe: name(),
                step: StepName::Install,
            },
        ];
        assert_eq!(rebuild_findings(&recipe), expected);
        assert_eq!(findings(&recipe), [], "none of it keeps kiln from building");
    }
    #[test]
    fn a_folder_of_the_same_name_in_another_path_is_not_that_of_kiln() {
        for script in [
            "cp x /build/destdir/x",
            "cp x \"/build/destdir\"",
            "--prefix=/build/destdir",
        ] {
            assert!(names_build_root(script), "{script}");
        }
        for script in [
            "cd tools/build/src",
            "cp $PWD/build/x ${HOME}/build/x */build/x ../build/x build/x",
            "cp x /builder/x",
        ] {
            assert!(!names_build_root(script), "{script}");
        }
    }
}
