//! Which subpackage owns which installed file.
//!
//! Every file belongs to exactly one subpackage (`claim`); what a pattern does not claim is an error that
//! lists it. Directories follow (`owner`).

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::recipe::{FilePatterns, Package};
use kiln_model::{PackageName, Recipe, RecipeName};

use crate::claim::{FileClass, Rule, claim, classes};
use crate::error::BuildError;
use crate::finding::PackageFinding;
use crate::owner::{give_directories, is_system_directory};

/// What one subpackage owns, by path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Owned {
    /// Files, symbolic links and empty directories.
    pub(crate) files: BTreeSet<String>,
    /// Directories.
    pub(crate) directories: BTreeSet<String>,
    /// What rpm is told about some of the files.
    pub(crate) classes: BTreeMap<String, FileClass>,
    /// Paths that are owned and were not installed.
    pub(crate) ghosts: BTreeSet<String>,
    /// Directories that a package owns which this one requires.
    pub(crate) left_to_others: BTreeSet<String>,
}

/// An installed file that two packages own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{recipe}: `{file}` belongs to both `{}` and `{}`", .first.package, .second.package)]
pub struct DoubleClaim {
    /// The recipe.
    pub recipe: RecipeName,
    /// The file.
    pub file: String,
    /// The rule of one package.
    pub first: Rule,
    /// That of the other.
    pub second: Rule,
    /// Further files that the two rules both match.
    pub more: usize,
}

/// A pattern that would claim files that no package claims yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The package whose kind of files they are.
    pub package: PackageName,
    /// The pattern.
    pub pattern: String,
}

/// Distributes installed `files` (absolute paths of everything but directories with something in them) and
/// `directories` (all others) over the recipe's packages.
///
/// # Errors
/// `UnmergedFolder`, `ClaimedTwice`, `Unclaimed`, `UnmatchedPattern`, `Package`, or `Several` of them.
pub(crate) fn split(
    recipe: &Recipe,
    files: &BTreeSet<String>,
    directories: &BTreeSet<String>,
) -> Result<BTreeMap<PackageName, Owned>, BuildError> {
    let mut owned: BTreeMap<PackageName, Owned> = recipe
        .packages
        .iter()
        .map(|package| (package.name.clone(), Owned::default()))
        .collect();
    let mut errors: Vec<BuildError> = unmerged_folders(recipe, files);
    let mut unclaimed = Vec::new();
    let mut twice: Vec<(Rule, Rule, Vec<&String>)> = Vec::new();
    for file in files.iter().filter(|file| unmerged(file).is_none()) {
        let mut claims = recipe
            .packages
            .iter()
            .filter_map(|package| claim(package, file));
        let Some(first) = claims.next() else {
            unclaimed.push(file.clone());
            continue;
        };
        if let Some(second) = claims.next() {
            match twice
                .iter_mut()
                .find(|(a, b, _)| (a, b) == (&first, &second))
            {
                Some((_, _, files)) => files.push(file),
                None => twice.push((first.clone(), second, vec![file])),
            }
        }
        let files = &mut owned.entry(first.package).or_default().files;
        files.insert(file.clone());
    }
    errors.extend(
        twice
            .into_iter()
            .map(|claims| claimed_twice(recipe, claims)),
    );
    errors.extend(classify(recipe, &mut owned));
    if !unclaimed.is_empty() {
        errors.push(BuildError::Unclaimed {
            recipe: recipe.name.clone(),
            proposals: proposals(recipe, &owned, files, &unclaimed),
            files: unclaimed,
        });
    }
    errors.extend(unmatched_patterns(recipe, files, directories));
    match errors.len() {
        0 => {}
        1 => return Err(errors.remove(0)),
        _ => return Err(BuildError::Several(errors)),
    }
    let all = files.union(directories).cloned().collect();
    give_directories(recipe, &mut owned, &all);
    Ok(owned)
}

fn claimed_twice(
    recipe: &Recipe,
    (first, second, files): (Rule, Rule, Vec<&String>),
) -> BuildError {
    BuildError::ClaimedTwice(Box::new(DoubleClaim {
        recipe: recipe.name.clone(),
        file: files[0].clone(),
        first,
        second,
        more: files.len() - 1,
    }))
}

/// Notes what is special about files, and ghosts that were not installed; reports files of two classes.
fn classify(recipe: &Recipe, owned: &mut BTreeMap<PackageName, Owned>) -> Vec<BuildError> {
    let mut errors = Vec::new();
    for package in &recipe.packages {
        let owned = owned.entry(package.name.clone()).or_default();
        let mut reported: BTreeSet<(Rule, Rule)> = BTreeSet::new();
        for file in &owned.files {
            let classes = classes(package, file);
            if let [(_, first), (_, second), ..] = classes.as_slice()
                && reported.insert((first.clone(), second.clone()))
            {
                errors.push(BuildError::Package(Box::new(PackageFinding::Classes {
                    recipe: recipe.name.clone(),
                    file: file.clone(),
                    first: first.clone(),
                    second: second.clone(),
                })));
            }
            if let Some((class, _)) = classes.first() {
                owned.classes.insert(file.clone(), *class);
            }
        }
        let ghosts = package.ghost.iter().map(|ghost| ghost.path.to_string());
        owned.ghosts = ghosts.filter(|path| !owned.files.contains(path)).collect();
    }
    errors
}

/// Links to folders below `/usr`: a package that owned something below them would not install.
const UNMERGED_FOLDERS: &[&str] = &["/bin", "/lib", "/lib64", "/sbin"];

/// Returns the folder that is a link everywhere, if the file lies below one.
pub(crate) fn unmerged(file: &str) -> Option<&'static str> {
    let is_below = |folder: &&str| {
        file.strip_prefix(*folder)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    UNMERGED_FOLDERS.iter().copied().find(is_below)
}

/// Reports the first file below each such folder.
fn unmerged_folders(recipe: &Recipe, files: &BTreeSet<String>) -> Vec<BuildError> {
    let mut first: BTreeMap<&'static str, &String> = BTreeMap::new();
    for file in files {
        if let Some(folder) = unmerged(file) {
            first.entry(folder).or_insert(file);
        }
    }
    let error = |(folder, file): (&'static str, &String)| BuildError::UnmergedFolder {
        recipe: recipe.name.clone(),
        file: file.clone(),
        folder,
    };
    first.into_iter().map(error).collect()
}

fn unmatched_patterns(
    recipe: &Recipe,
    files: &BTreeSet<String>,
    directories: &BTreeSet<String>,
) -> Vec<BuildError> {
    let mut rules: Vec<Rule> = Vec::new();
    for package in &recipe.packages {
        for (key, patterns) in package.claims() {
            rules.extend(idle_rules(package, key, patterns, files));
        }
        let all = || files.iter().chain(directories);
        let is_idle = |pattern: &&kiln_model::FilePattern| !all().any(|path| pattern.matches(path));
        let idle = package.directories.iter().filter(is_idle);
        rules.extend(idle.map(|p| Rule::new(&package.name, "directories", p.as_str())));
    }
    let error = |rule: Rule| BuildError::UnmatchedPattern {
        recipe: recipe.name.clone(),
        rule,
    };
    rules.into_iter().map(error).collect()
}

/// Returns the patterns that match no file, and the exclusions that take nothing away.
fn idle_rules(
    package: &Package,
    key: &'static str,
    patterns: &FilePatterns,
    files: &BTreeSet<String>,
) -> Vec<Rule> {
    let rules = patterns.rules().iter().enumerate();
    let idle = rules.filter(|(index, _)| !files.iter().any(|f| patterns.has_effect(*index, f)));
    idle.map(|(_, rule)| Rule::new(&package.name, key, rule.as_str()))
        .collect()
}

/// Returns patterns that claim exactly the unclaimed files, each for the package that it fits best.
///
/// Files in one folder become one pattern when nothing else is in that folder.
fn proposals(
    recipe: &Recipe,
    owned: &BTreeMap<PackageName, Owned>,
    files: &BTreeSet<String>,
    unclaimed: &[String],
) -> Vec<Proposal> {
    let mut proposals: Vec<Proposal> = Vec::new();
    for file in unclaimed {
        let Some(package) = best_package(recipe, owned, file) else {
            continue;
        };
        let pattern = widest_folder(files, unclaimed, file)
            .map_or_else(|| escape(file), |folder| format!("{}/**", escape(folder)));
        let proposal = Proposal { package, pattern };
        let is_new = |earlier: &Proposal| earlier.pattern != proposal.pattern;
        if proposals.iter().all(is_new) {
            proposals.push(proposal);
        }
    }
    proposals
}

/// Puts characters that mean something in patterns into classes.
fn escape(path: &str) -> String {
    let mut text = String::new();
    for character in path.chars() {
        if "*?[]{}\\".contains(character) {
            text.extend(['[', character, ']']);
        } else {
            text.push(character);
        }
    }
    text
}

/// Returns the highest folder of the package's own that holds this file and only unclaimed ones.
fn widest_folder<'a>(
    files: &BTreeSet<String>,
    unclaimed: &[String],
    file: &'a str,
) -> Option<&'a str> {
    let mut widest = None;
    let mut path = file;
    while let Some((parent, _)) = path.rsplit_once('/') {
        if parent.is_empty() || is_system_directory(parent) {
            break;
        }
        let is_below = |file: &String| {
            file.strip_prefix(parent)
                .is_some_and(|rest| rest.starts_with('/'))
        };
        let is_unclaimed = |file: &String| unclaimed.binary_search(file).is_ok();
        if !files.iter().filter(|file| is_below(file)).all(is_unclaimed) {
            break;
        }
        widest = Some(parent);
        path = parent;
    }
    widest
}

/// Returns the package that owns files beside this one; failing that, the development package for
/// what only compilers and linkers read, and the first one for the rest.
fn best_package(
    recipe: &Recipe,
    owned: &BTreeMap<PackageName, Owned>,
    file: &str,
) -> Option<PackageName> {
    let development = || {
        let mut names = recipe.packages.iter().map(|package| &package.name);
        names.find(|name| name.as_str().ends_with("-devel"))
    };
    let is_development = file.starts_with("/usr/include/")
        || file.ends_with(".so")
        || file.ends_with(".a")
        || file.ends_with(".pc")
        || file.ends_with(".m4")
        || file.contains("/cmake/")
        || file.starts_with("/usr/share/man/man3/");
    if let (true, Some(name)) = (is_development, development()) {
        return Some(name.clone());
    }
    let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let is_beside = |other: &String| {
        other
            .rsplit_once('/')
            .is_some_and(|(parent, _)| parent == folder)
    };
    let beside = recipe.packages.iter().find(|package| {
        let is_fitting = is_development == package.name.as_str().ends_with("-devel");
        is_fitting && owned[&package.name].files.iter().any(is_beside)
    });
    let chosen = beside.or_else(|| recipe.packages.first())?;
    Some(chosen.name.clone())
}

#[cfg(test)]
mod tests {
    use kiln_model::FilePattern;

    use super::*;

    fn recipe(packages: &str) -> Recipe {
        let text = format!(
            "schema: 1\nname: x\nversion: \"1\"\nrelease: 1\nsummary: x\nlicense: MIT\n\
             homepage: https://example.org\nidentity: {{supplier: x}}\nbase: b\nsources:\n  \
             - {{url: \"https://example.org/x.tar\", sha256: \"{}\", released: 2020-01-01}}\n\
             steps: {{use: make}}\npackages:\n{packages}",
            "0".repeat(64)
        );
        Recipe::parse(text.as_bytes(), "x").unwrap()
    }

    fn files(paths: &[&str]) -> BTreeSet<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn each_file_and_its_own_directories_find_a_package() {
        let recipe = recipe(
            "  - {name: x, files: [/usr/bin/*, /usr/lib/x/**]}\n  - {name: x-devel, files: [/usr/include/**]}\n",
        );
        let paths = [
            "/usr/bin/x",
            "/usr/include/x/deep/x.h",
            "/usr/lib/x/lib/libssl.so.3",
        ];
        let owned = split(&recipe, &files(&paths), &BTreeSet::new()).unwrap();
        let main = &owned[&"x".parse::<PackageName>().unwrap()];
        assert_eq!(main.files, files(&[paths[0], paths[2]]));
        assert_eq!(main.directories, files(&["/usr/lib/x", "/usr/lib/x/lib"]));
        let devel = &owned[&"x-devel".parse::<PackageName>().unwrap()];
        assert_eq!(
            devel.directories,
            files(&["/usr/include/x", "/usr/include/x/deep"])
        );
    }

    fn package(name: &str) -> PackageName {
        name.parse().unwrap()
    }

    #[test]
    fn an_exclusion_leaves_files_to_others() {
        let recipe = recipe(
            "  - {name: x, files: [/usr/share/x/**, \"!/usr/share/x/*.h\"]}\n  - {name: y, files: [/usr/share/x/*.h]}\n",
        );
        let paths = files(&["/usr/share/x/a", "/usr/share/x/b.h", "/usr/share/x/d/c.h"]);
        let owned = split(&recipe, &paths, &BTreeSet::new()).unwrap();
        let expected = files(&["/usr/share/x/a", "/usr/share/x/d/c.h"]);
        assert_eq!(owned[&package("x")].files, expected);
        assert_eq!(owned[&package("y")].files, files(&["/usr/share/x/b.h"]));
        // One that takes nothing away is an error.
        let paths = files(&["/usr/share/x/a", "/usr/share/x/d/c.h"]);
        let error = split(&recipe, &paths, &BTreeSet::new()).unwrap_err();
        let text = error.to_string();
        assert_eq!(
            text,
            "x: pattern `!/usr/share/x/*.h` of package `x` takes no installed file away from the patterns \
             before it; x: pattern `/usr/share/x/*.h` of package `y` matches no installed file"
        );
    }

    #[test]
    fn classes_claim_by_themselves_and_exclude_each_other() {
        let recipe = recipe(
            "  - name: x\n    files: [/usr/bin/x]\n    config: [/etc/x/**, \"!/etc/x/r\"]\n    \
             config-replaced: [/etc/x/r]\n    docs: [/usr/lib/x/README]\n    \
             ghost: [{path: /etc/x.db}, {path: /usr/lib/x/cache}]\n",
        );
        let paths = [
            "/usr/bin/x",
            "/etc/x/a",
            "/etc/x/r",
            "/usr/lib/x/README",
            "/usr/lib/x/cache",
        ];
        let owned = split(&recipe, &files(&paths), &BTreeSet::new()).unwrap();
        let owned = &owned[&package("x")];
        assert_eq!(owned.files, files(&paths));
        assert_eq!(
            owned.ghosts,
            files(&["/etc/x.db"]),
            "the other one was installed"
        );
        let class = |path: &str| owned.classes.get(path).copied();
        assert_eq!(class("/usr/bin/x"), None);
        assert_eq!(class("/etc/x/a"), Some(FileClass::Config));
        assert_eq!(class("/etc/x/r"), Some(FileClass::ConfigReplaced));
        assert_eq!(class("/usr/lib/x/README"), Some(FileClass::Documentation));
        assert_eq!(class("/usr/lib/x/cache"), Some(FileClass::Ghost));
    }

    #[test]
    fn a_file_of_two_classes_is_named_with_both_rules() {
        let recipe =
            recipe("  - {name: x, config: [/etc/x/*], docs: [/etc/x/README, /etc/x/a*]}\n");
        let paths = files(&["/etc/x/README", "/etc/x/a1", "/etc/x/a2", "/etc/x/b"]);
        let error = split(&recipe, &paths, &BTreeSet::new()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "x: `/etc/x/README` is claimed as two things: by `/etc/x/*` in `config` of `x`, and by \
             `/etc/x/README` in `docs` of `x`; x: `/etc/x/a1` is claimed as two things: by `/etc/x/*` in \
             `config` of `x`, and by `/etc/x/a*` in `docs` of `x`"
        );
    }

    #[test]
    fn a_named_directory_is_owned_for_those_who_require_it() {
        let recipe = recipe(
            "  - {name: x, requires: [\"=y\"], files: [/usr/share/x/a]}\n  \
             - {name: y, requires: [\"=z\"], files: [/usr/share/x/b]}\n  \
             - {name: z, directories: [/usr/share/x, /var/lib/x]}\n  \
             - {name: alone, files: [/usr/share/x/c/d]}\n",
        );
        let paths = files(&[
            "/usr/share/x/a",
            "/usr/share/x/b",
            "/usr/share/x/c/d",
            "/var/lib/x",
        ]);
        let directories = files(&["/usr/share", "/usr/share/x", "/usr/share/x/c", "/var/lib"]);
        let owned = split(&recipe, &paths, &directories).unwrap();
        let directories = |name: &str| owned[&package(name)].directories.clone();
        assert_eq!(directories("x"), files(&[]));
        assert_eq!(directories("y"), files(&[]));
        assert_eq!(directories("z"), files(&["/usr/share/x"]));
        assert_eq!(
            owned[&package("z")].files,
            files(&["/var/lib/x"]),
            "an empty one"
        );
        assert_eq!(
            directories("alone"),
            files(&["/usr/share/x", "/usr/share/x/c"])
        );
        // Without such a directory.
        let paths = files(&["/usr/share/x/a", "/usr/share/x/b", "/usr/share/x/c/d"]);
        let error = split(&recipe, &paths, &BTreeSet::new()).unwrap_err();
        let expected = "x: pattern `/usr/share/x` of package `z` matches no installed directory; x: pattern \
                        `/var/lib/x` of package `z` matches no installed directory";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_package_without_files_owns_nothing() {
        let recipe =
            recipe("  - {name: x, files: [/usr/bin/x]}\n  - {name: all, requires: [\"=x\"]}\n");
        let owned = split(&recipe, &files(&["/usr/bin/x"]), &BTreeSet::new()).unwrap();
        assert_eq!(owned[&package("all")], Owned::default());
    }

    #[test]
    fn a_file_with_two_owners_is_named_with_both_patterns() {
        let recipe =
            recipe("  - {name: x, files: [/usr/bin/*]}\n  - {name: y, files: [/usr/bin/x*]}\n");
        let error = split(
            &recipe,
            &files(&["/usr/bin/x", "/usr/bin/xx"]),
            &BTreeSet::new(),
        )
        .unwrap_err();
        let BuildError::ClaimedTwice(claim) = error else {
            panic!("{error:?}");
        };
        assert_eq!((claim.file.as_str(), claim.more), ("/usr/bin/x", 1));
        let rule = |rule: &Rule| rule.to_string();
        assert_eq!(rule(&claim.first), "`/usr/bin/*` in `files` of `x`");
        assert_eq!(rule(&claim.second), "`/usr/bin/x*` in `files` of `y`");
    }

    /// Splits files of which some are not claimed; expects `package pattern` lines.
    fn check_proposals(packages: &str, paths: &[&str], expected: &[&str]) {
        let recipe = recipe(packages);
        let all = files(paths);
        let error = split(&recipe, &all, &BTreeSet::new()).unwrap_err();
        let BuildError::Unclaimed {
            files, proposals, ..
        } = error
        else {
            panic!("{error:?}");
        };
        let shown = proposals
            .iter()
            .map(|p| format!("{} {}", p.package, p.pattern));
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        // They are true: together they claim exactly what was not claimed.
        let claims = |file: &str| {
            let pattern = |p: &Proposal| p.pattern.parse::<FilePattern>().unwrap();
            proposals
                .iter()
                .filter(|p| pattern(p).matches(file))
                .count()
        };
        for file in &all {
            assert_eq!(claims(file), usize::from(files.contains(file)), "{file}");
        }
    }

    #[test]
    fn unclaimed_files_are_listed_with_patterns_that_claim_them() {
        let packages = "  - {name: x, files: [/usr/bin/x, /usr/lib64/*.so.*]}\n  \
                        - {name: x-devel, files: [/usr/include/x.h]}\n";
        let claimed = ["/usr/bin/x", "/usr/include/x.h", "/usr/lib64/libx.so.1"];
        let check = |paths: &[&str], expected: &[&str]| {
            check_proposals(packages, &[&claimed[..], paths].concat(), expected);
        };
        check(&["/usr/bin/y"], &["x /usr/bin/y"]);
        check(&["/usr/bin/["], &["x /usr/bin/[[]"]);
        check(
            &[
                "/usr/lib64/libx.so",
                "/usr/lib64/libx.a",
                "/usr/lib64/pkgconfig/x.pc",
            ],
            &[
                "x-devel /usr/lib64/libx.a",
                "x-devel /usr/lib64/libx.so",
                "x-devel /usr/lib64/pkgconfig/x.pc",
            ],
        );
        check(
            &[
                "/usr/include/deep/a/1.h",
                "/usr/include/deep/b/2.h",
                "/usr/include/y.h",
            ],
            &["x-devel /usr/include/deep/**", "x-devel /usr/include/y.h"],
        );
        check(
            &[
                "/usr/share/x/a",
                "/usr/share/x/b/c",
                "/usr/share/man/man1/x.1",
            ],
            &["x /usr/share/man/man1/x.1", "x /usr/share/x/**"],
        );
        check_proposals(
            "  - {name: x, files: [/usr/share/x/a]}\n",
            &["/usr/share/x/a", "/usr/share/x/b", "/usr/share/x/c/d"],
            &["x /usr/share/x/b", "x /usr/share/x/c/**"],
        );
    }

    #[test]
    fn everything_is_said_at_once() {
        let recipe = recipe("  - {name: x, files: [/usr/bin/x, /usr/lib64/*.so]}\n");
        let paths = ["/lib/x", "/lib/y", "/usr/bin/x", "/usr/bin/y"];
        let error = split(&recipe, &files(&paths), &BTreeSet::new()).unwrap_err();
        let BuildError::Several(errors) = error else {
            panic!("{error:?}")
        };
        assert!(
            matches!(errors.as_slice(), [
                BuildError::UnmergedFolder { file, folder: "/lib", .. },
                BuildError::Unclaimed { files, .. },
                BuildError::UnmatchedPattern { rule, .. },
            ] if file == "/lib/x" && files == &["/usr/bin/y"] && rule.text == "/usr/lib64/*.so"),
            "{errors:?}"
        );
    }
}
