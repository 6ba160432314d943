//! Which package owns which directory.
//!
//! Every directory on the way to a packaged path is owned: by the system, by each package that has
//! something below it, or, where a package names it in `directories`, by that one for all packages that
//! require it. So none is left behind, and none is missing, whatever is installed or removed.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::{PackageName, Recipe};

use crate::split::Owned;

/// Directories that the operating system brings: no package of ours owns them.
const SYSTEM_DIRECTORIES: &[&str] = &[
    "/etc",
    "/etc/ld.so.conf.d",
    "/etc/profile.d",
    "/etc/sysconfig",
    "/opt",
    "/run",
    "/run/lock",
    "/srv",
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
    "/usr/share/bash-completion",
    "/usr/share/bash-completion/completions",
    "/usr/share/doc",
    "/usr/share/info",
    "/usr/share/licenses",
    "/usr/share/locale",
    "/usr/share/man",
    "/usr/share/pkgconfig",
    "/usr/src",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/spool",
    "/var/tmp",
];

pub(crate) fn is_system_directory(path: &str) -> bool {
    let is_manual_section = |rest: &str| rest.len() == 1 && rest.as_bytes()[0].is_ascii_digit();
    SYSTEM_DIRECTORIES.contains(&path)
        || path
            .strip_prefix("/usr/share/man/man")
            .is_some_and(is_manual_section)
}

/// Returns the packages of the recipe that are there whenever `package` is: by `=NAME` in `requires`.
pub(crate) fn required<'a>(
    recipe: &'a Recipe,
    package: &'a PackageName,
) -> BTreeSet<&'a PackageName> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![package];
    while let Some(name) = waiting.pop() {
        let Some(package) = recipe.packages.iter().find(|p| p.name == *name) else {
            continue;
        };
        let own = package.requires.iter().filter_map(|d| d.own_alone());
        waiting.extend(own.filter(|name| found.insert(*name)));
    }
    found.remove(package);
    found
}

/// Returns every directory that lies on the way to one of `paths`, but for those that every system has.
pub(crate) fn parents<'a>(paths: impl Iterator<Item = &'a String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for path in paths {
        let mut path = path.as_str();
        while let Some((parent, _)) = path.rsplit_once('/') {
            if parent.is_empty() || is_system_directory(parent) {
                break;
            }
            found.insert(parent.to_owned());
            path = parent;
        }
    }
    found
}

/// Gives each package the directories that it names, and takes them from the packages that require it.
pub(crate) fn give_directories(
    recipe: &Recipe,
    owned: &mut BTreeMap<PackageName, Owned>,
    directories: &BTreeSet<String>,
) {
    let mut named: BTreeMap<&PackageName, BTreeSet<String>> = BTreeMap::new();
    for package in &recipe.packages {
        let is_named = |path: &&String| package.directories.iter().any(|p| p.matches(path));
        let found = directories.iter().filter(|path| !is_system_directory(path));
        named.insert(&package.name, found.filter(is_named).cloned().collect());
    }
    for package in &recipe.packages {
        let Some(owned) = owned.get_mut(&package.name) else {
            continue;
        };
        let own = &named[&package.name];
        let required = required(recipe, &package.name);
        let others = required.iter().flat_map(|name| &named[name]);
        owned.left_to_others = others
            .filter(|path| !own.contains(*path))
            .cloned()
            .collect();
        let is_file = |path: &&String| owned.files.contains(*path);
        let added: Vec<String> = own.iter().filter(|path| !is_file(path)).cloned().collect();
        owned.directories.extend(added);
        own_directories(owned);
    }
}

/// Adds the parents of all that the package has, but for those that every system, or a package that it
/// requires, has.
pub(crate) fn own_directories(owned: &mut Owned) {
    let paths = owned
        .files
        .iter()
        .chain(&owned.ghosts)
        .chain(&owned.directories);
    let parents = parents(paths);
    let is_left = |path: &String| {
        owned.left_to_others.contains(path)
            || owned.files.contains(path)
            || owned.ghosts.contains(path)
    };
    let own: Vec<String> = parents.into_iter().filter(|path| !is_left(path)).collect();
    owned.directories.extend(own);
}
