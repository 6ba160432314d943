//! Where symbolic links lead: to something that is there whenever they are, and never into the build.
//!
//! A target counts as there when this package or one that it requires has it, when every system has it, when
//! the package requires it by its path, or when only a running system can have it (`/etc`, `/run`, …).

use kiln_image::TreeEntryKind;
use kiln_model::recipe::Package;
use kiln_model::{PackageName, Recipe};

use crate::claim::claim;
use crate::finding::PackageFinding;
use crate::owner::{is_system_directory, required};
use crate::split::{Owned, unmerged};
use crate::stage::Stage;

/// Places whose contents come from administrators and running programs.
const LIVE: &[&str] = &["/dev", "/etc", "/proc", "/run", "/sys", "/tmp", "/var"];

/// The folder that builds happen in.
const BUILD: &str = "/build";

/// Links that are followed before they count as a circle.
const MOST_LINKS: usize = 40;

/// Reports the links of a package that lead nowhere, into the build, or to what need not be there.
pub(crate) fn dangling(recipe: &Recipe, package: &Package, stage: &Stage) -> Vec<PackageFinding> {
    let mut found = Vec::new();
    for link in &stage.owned[&package.name].files {
        let Some(TreeEntryKind::Symlink { target }) = stage.files.get(link).map(|s| &s.kind) else {
            continue;
        };
        let rule = claim(package, link);
        let (name, link) = (recipe.name.clone(), link.clone());
        let target = target.clone();
        if is_below(&target, BUILD) {
            found.push(PackageFinding::BuildLink {
                recipe: name,
                link,
                target,
                rule,
            });
            continue;
        }
        let target = resolve(stage, &link, &target);
        if is_system(&target)
            || package
                .requires
                .iter()
                .any(|d| d.path() == Some(target.as_str()))
        {
            continue;
        }
        let required = required(recipe, &package.name);
        let is_there = |owner: &&PackageName| **owner == package.name || required.contains(*owner);
        let owners: Vec<&PackageName> = owners(stage, &target).collect();
        if owners.iter().any(is_there) {
            continue;
        }
        match owners.first().map(|owner| (*owner).clone()) {
            Some(owner) => found.push(PackageFinding::UnrequiredLink {
                recipe: name,
                package: package.name.clone(),
                link,
                target,
                owner,
                rule,
            }),
            None if is_live(&target) => {}
            None => found.push(PackageFinding::DanglingLink {
                recipe: name,
                link,
                target,
                rule,
            }),
        }
    }
    found
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn is_live(path: &str) -> bool {
    LIVE.iter().any(|folder| is_below(path, folder))
}

fn is_system(path: &str) -> bool {
    path == "/" || is_system_directory(path)
}

/// Returns the packages that own a path, or something below it.
fn owners<'a>(stage: &'a Stage, path: &'a str) -> impl Iterator<Item = &'a PackageName> {
    let owns = move |owned: &Owned| {
        owned.files.contains(path)
            || owned.ghosts.contains(path)
            || owned.directories.contains(path)
    };
    let owners = stage.owned.iter().filter(move |(_, owned)| owns(owned));
    owners.map(|(name, _)| name)
}

/// Follows a link's target through the installed links to an absolute path, as a running system would.
fn resolve(stage: &Stage, link: &str, target: &str) -> String {
    let folder = link.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut waiting: Vec<String> = components(target);
    let mut path = if target.starts_with('/') {
        String::new()
    } else {
        folder.to_owned()
    };
    let mut followed = 0;
    while let Some(component) = waiting.pop() {
        if component == ".." {
            path.truncate(path.rfind('/').unwrap_or(0));
            continue;
        }
        path = format!("{path}/{component}");
        if unmerged(&format!("{path}/")).is_some() {
            path = format!("/usr{path}");
        }
        let staged = stage.files.get(&path).map(|staged| &staged.kind);
        // The link at the end is a target by itself.
        if let (Some(TreeEntryKind::Symlink { target }), false) = (staged, waiting.is_empty()) {
            followed += 1;
            if followed > MOST_LINKS {
                break;
            }
            path.truncate(if target.starts_with('/') {
                0
            } else {
                path.rfind('/').unwrap_or(0)
            });
            waiting.extend(components(target));
        }
    }
    if path.is_empty() {
        "/".to_owned()
    } else {
        path
    }
}

/// Returns the parts of a path that lead somewhere, the last one first.
fn components(path: &str) -> Vec<String> {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.rev().map(str::to_owned).collect()
}
