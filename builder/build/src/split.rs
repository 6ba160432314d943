//! Which subpackage owns which installed file.
//!
//! Every file belongs to exactly one subpackage; what a pattern does not claim is an error that
//! lists it. A directory belongs to each subpackage that owns something below it, unless every
//! system has it anyway.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::recipe::Package;
use kiln_model::{FilePattern, PackageName, Recipe, RecipeName};

use crate::error::BuildError;

/// Directories that the operating system brings: no package of ours owns them.
const SYSTEM_DIRECTORIES: &[&str] = &[
    "/etc",
    "/etc/ld.so.conf.d",
    "/etc/security",
    "/etc/security/limits.d",
    "/opt",
    "/usr",
    "/usr/bin",
    "/usr/include",
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/systemd",
    "/usr/lib/systemd/system",
    "/usr/lib/systemd/system-preset",
    "/usr/lib/sysusers.d",
    "/usr/lib/tmpfiles.d",
    "/usr/lib64/cmake",
    "/usr/lib64/pkgconfig",
    "/usr/libexec",
    "/usr/sbin",
    "/usr/share",
    "/usr/share/aclocal",
    "/usr/share/doc",
    "/usr/share/info",
    "/usr/share/licenses",
    "/usr/share/locale",
    "/usr/share/man",
    "/usr/share/pkgconfig",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
];

pub(crate) fn is_system_directory(path: &str) -> bool {
    let is_manual_section = |rest: &str| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit();
    SYSTEM_DIRECTORIES.contains(&path)
        || path
            .strip_prefix("/usr/share/man/man")
            .is_some_and(is_manual_section)
}

/// What one subpackage owns, by path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Owned {
    /// Files and symbolic links.
    pub(crate) files: BTreeSet<String>,
    /// Directories.
    pub(crate) directories: BTreeSet<String>,
}

/// An installed file that two packages own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{recipe}: `{file}` belongs to both `{first}` and `{second}`")]
pub struct DoubleClaim {
    /// The recipe.
    pub recipe: RecipeName,
    /// The file.
    pub file: String,
    /// One package.
    pub first: PackageName,
    /// Its pattern.
    pub first_pattern: FilePattern,
    /// The other.
    pub second: PackageName,
    /// Its pattern.
    pub second_pattern: FilePattern,
    /// Further files that the two patterns both match.
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

/// Distributes installed `files` (absolute paths of everything but directories) over the recipe's
/// packages.
///
/// # Errors
/// `UnmergedFolder`, `ClaimedTwice`, `Unclaimed`, `UnmatchedPattern`, or `Several` of them.
pub(crate) fn split(
    recipe: &Recipe,
    files: &BTreeSet<String>,
) -> Result<BTreeMap<PackageName, Owned>, BuildError> {
    let mut owned: BTreeMap<PackageName, Owned> = recipe
        .packages
        .iter()
        .map(|package| (package.name.clone(), Owned::default()))
        .collect();
    let mut errors: Vec<BuildError> = unmerged_folders(recipe, files);
    let mut unclaimed = Vec::new();
    let mut twice: Vec<(Claim<'_>, Claim<'_>, Vec<&String>)> = Vec::new();
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
                .find(|(a, b, _)| (*a, *b) == (first, second))
            {
                Some((_, _, files)) => files.push(file),
                None => twice.push((first, second, vec![file])),
            }
        }
        let files = &mut owned.entry(first.0.clone()).or_default().files;
        files.insert(file.clone());
    }
    errors.extend(twice.iter().map(|claims| claimed_twice(recipe, claims)));
    if !unclaimed.is_empty() {
        errors.push(BuildError::Unclaimed {
            recipe: recipe.name.clone(),
            proposals: proposals(recipe, &owned, files, &unclaimed),
            files: unclaimed,
        });
    }
    errors.extend(unmatched_patterns(recipe, files));
    match errors.len() {
        0 => {}
        1 => return Err(errors.remove(0)),
        _ => return Err(BuildError::Several(errors)),
    }
    for owned in owned.values_mut() {
        own_directories(owned);
    }
    Ok(owned)
}

/// A package and the pattern by which it claims a file.
type Claim<'a> = (&'a PackageName, &'a FilePattern);

fn claim<'a>(package: &'a Package, file: &str) -> Option<Claim<'a>> {
    let pattern = package.files.iter().find(|pattern| pattern.matches(file))?;
    Some((&package.name, pattern))
}

fn claimed_twice(
    recipe: &Recipe,
    (first, second, files): &(Claim<'_>, Claim<'_>, Vec<&String>),
) -> BuildError {
    BuildError::ClaimedTwice(Box::new(DoubleClaim {
        recipe: recipe.name.clone(),
        file: files[0].clone(),
        first: first.0.clone(),
        first_pattern: first.1.clone(),
        second: second.0.clone(),
        second_pattern: second.1.clone(),
        more: files.len() - 1,
    }))
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

fn unmatched_patterns(recipe: &Recipe, files: &BTreeSet<String>) -> Vec<BuildError> {
    let mut errors = Vec::new();
    for package in &recipe.packages {
        for pattern in &package.files {
            if !files.iter().any(|file| pattern.matches(file)) {
                errors.push(BuildError::UnmatchedPattern {
                    recipe: recipe.name.clone(),
                    package: package.name.clone(),
                    pattern: pattern.as_str().to_owned(),
                });
            }
        }
    }
    errors
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

/// Adds the parents of all files, but for those that every system has.
pub(crate) fn own_directories(owned: &mut Owned) {
    for file in &owned.files {
        let mut path = file.as_str();
        while let Some((parent, _)) = path.rsplit_once('/') {
            if parent.is_empty() || is_system_directory(parent) {
                break;
            }
            owned.directories.insert(parent.to_owned());
            path = parent;
        }
    }
}

#[cfg(test)]
mod tests {
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
        let owned = split(&recipe, &files(&paths)).unwrap();
        let main = &owned[&"x".parse::<PackageName>().unwrap()];
        assert_eq!(main.files, files(&[paths[0], paths[2]]));
        assert_eq!(main.directories, files(&["/usr/lib/x", "/usr/lib/x/lib"]));
        let devel = &owned[&"x-devel".parse::<PackageName>().unwrap()];
        assert_eq!(
            devel.directories,
            files(&["/usr/include/x", "/usr/include/x/deep"])
        );
    }

    #[test]
    fn a_file_with_two_owners_is_named_with_both_patterns() {
        let recipe =
            recipe("  - {name: x, files: [/usr/bin/*]}\n  - {name: y, files: [/usr/bin/x*]}\n");
        let error = split(&recipe, &files(&["/usr/bin/x", "/usr/bin/xx"])).unwrap_err();
        let BuildError::ClaimedTwice(claim) = error else {
            panic!("{error:?}");
        };
        let (first, second) = (claim.first_pattern.as_str(), claim.second_pattern.as_str());
        assert_eq!((claim.file.as_str(), claim.more), ("/usr/bin/x", 1));
        assert_eq!((claim.first.as_str(), first), ("x", "/usr/bin/*"));
        assert_eq!((claim.second.as_str(), second), ("y", "/usr/bin/x*"));
    }

    /// Splits files of which some are not claimed; expects `package pattern` lines.
    fn check_proposals(packages: &str, paths: &[&str], expected: &[&str]) {
        let recipe = recipe(packages);
        let all = files(paths);
        let error = split(&recipe, &all).unwrap_err();
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
        let error = split(&recipe, &files(&paths)).unwrap_err();
        let BuildError::Several(errors) = error else {
            panic!("{error:?}")
        };
        assert!(
            matches!(errors.as_slice(), [
                BuildError::UnmergedFolder { file, folder: "/lib", .. },
                BuildError::Unclaimed { files, .. },
                BuildError::UnmatchedPattern { pattern, .. },
            ] if file == "/lib/x" && files == &["/usr/bin/y"] && pattern == "/usr/lib64/*.so"),
            "{errors:?}"
        );
    }
}
