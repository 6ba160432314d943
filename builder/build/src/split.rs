//! Which subpackage owns which installed file.
//!
//! Every file belongs to exactly one subpackage; what a pattern does not claim is an error that
//! lists it. A directory belongs to each subpackage that owns something below it, unless every
//! system has it anyway.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::{PackageName, Recipe};

use crate::error::BuildError;

/// Directories that the operating system brings: no package of ours owns them.
const SYSTEM_DIRECTORIES: &[&str] = &[
    "/etc",
    "/etc/ld.so.conf.d",
    "/opt",
    "/usr",
    "/usr/bin",
    "/usr/include",
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/systemd",
    "/usr/lib/systemd/system",
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

fn is_system_directory(path: &str) -> bool {
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

/// Distributes installed `files` (absolute paths of everything but directories) over the recipe's
/// packages.
///
/// # Errors
/// `ClaimedTwice`, `Unclaimed` or `UnmatchedPattern`.
pub(crate) fn split(
    recipe: &Recipe,
    files: &BTreeSet<String>,
) -> Result<BTreeMap<PackageName, Owned>, BuildError> {
    let mut owned: BTreeMap<PackageName, Owned> = recipe
        .packages
        .iter()
        .map(|package| (package.name.clone(), Owned::default()))
        .collect();
    let mut unclaimed = Vec::new();
    for file in files {
        check_folder(recipe, file)?;
        let mut claims = recipe
            .packages
            .iter()
            .filter(|package| package.files.iter().any(|pattern| pattern.matches(file)));
        let Some(first) = claims.next() else {
            unclaimed.push(file.clone());
            continue;
        };
        if let Some(second) = claims.next() {
            return Err(BuildError::ClaimedTwice {
                recipe: recipe.name.clone(),
                file: file.clone(),
                first: first.name.clone(),
                second: second.name.clone(),
            });
        }
        owned
            .entry(first.name.clone())
            .or_default()
            .files
            .insert(file.clone());
    }
    if !unclaimed.is_empty() {
        return Err(BuildError::Unclaimed {
            recipe: recipe.name.clone(),
            files: unclaimed,
        });
    }
    check_patterns(recipe, files)?;
    for owned in owned.values_mut() {
        own_directories(owned);
    }
    Ok(owned)
}

/// `/bin`, `/lib`, `/lib64` and `/sbin` are links: a package that owned them would not install.
fn check_folder(recipe: &Recipe, file: &str) -> Result<(), BuildError> {
    let is_below = |folder: &&'static str| {
        file.strip_prefix(*folder)
            .is_some_and(|rest| rest.starts_with('/'))
    };
    match ["/bin", "/lib", "/lib64", "/sbin"]
        .into_iter()
        .find(is_below)
    {
        None => Ok(()),
        Some(folder) => Err(BuildError::UnmergedFolder {
            recipe: recipe.name.clone(),
            file: file.to_owned(),
            folder,
        }),
    }
}

fn check_patterns(recipe: &Recipe, files: &BTreeSet<String>) -> Result<(), BuildError> {
    for package in &recipe.packages {
        for pattern in &package.files {
            if !files.iter().any(|file| pattern.matches(file)) {
                return Err(BuildError::UnmatchedPattern {
                    recipe: recipe.name.clone(),
                    package: package.name.clone(),
                    pattern: pattern.as_str().to_owned(),
                });
            }
        }
    }
    Ok(())
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
    fn a_file_without_or_with_two_owners_is_named() {
        let one = recipe("  - {name: x, files: [/usr/bin/x]}\n");
        let error = split(&one, &files(&["/usr/bin/x", "/usr/bin/y"])).unwrap_err();
        assert!(
            matches!(&error, BuildError::Unclaimed { files, .. } if files == &["/usr/bin/y"]),
            "{error:?}"
        );
        let two =
            recipe("  - {name: x, files: [/usr/bin/*]}\n  - {name: y, files: [/usr/bin/x]}\n");
        let error = split(&two, &files(&["/usr/bin/x"])).unwrap_err();
        assert!(
            matches!(&error, BuildError::ClaimedTwice { file, first, second, .. }
                if file == "/usr/bin/x" && first.as_str() == "x" && second.as_str() == "y"),
            "{error:?}"
        );
    }

    #[test]
    fn a_pattern_that_matches_nothing_is_named() {
        let recipe = recipe("  - {name: x, files: [/usr/bin/x, /usr/lib64/*.so]}\n");
        let error = split(&recipe, &files(&["/usr/bin/x"])).unwrap_err();
        assert!(
            matches!(&error, BuildError::UnmatchedPattern { pattern, .. } if pattern == "/usr/lib64/*.so"),
            "{error:?}"
        );
    }
}
