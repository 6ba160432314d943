//! What can be said of a recipe's services without building it: `kiln check`.

use std::collections::{BTreeMap, BTreeSet};

use kiln_model::Recipe;
use kiln_model::recipe::{Package, UNIT_FOLDER, UnitPreset, is_system_account};

use super::finding::{ServiceFinding, UnitText};
use super::unit::{IsEnabled, Surroundings, UnitMistake, mistakes, nearest_program};
use crate::claim::claim;
use crate::project::LoadedRecipe;
use crate::split::unmerged;

/// Folders in which any system may have a program that no recipe ships.
const SYSTEM_PROGRAMS: &[&str] = &[
    "/bin/",
    "/sbin/",
    "/usr/bin/",
    "/usr/lib/systemd/",
    "/usr/libexec/",
    "/usr/sbin/",
];

/// Returns everything that is certainly wrong with the services of a recipe's packages.
pub(crate) fn service_findings(loaded: &LoadedRecipe) -> Vec<ServiceFinding> {
    let recipe = &loaded.recipe;
    let mut found = Vec::new();
    let mut places: BTreeMap<&str, ()> = BTreeMap::new();
    for package in &recipe.packages {
        for item in &package.services.install {
            let (name, to) = (package.name.clone(), item.to.clone());
            if let Some(folder) = unmerged(item.to.as_str()) {
                found.push(ServiceFinding::Unmerged {
                    recipe: recipe.name.clone(),
                    package: name,
                    to,
                    folder,
                });
            } else if places.insert(item.to.as_str(), ()).is_some() {
                found.push(ServiceFinding::InstalledTwice {
                    recipe: recipe.name.clone(),
                    package: name,
                    to,
                });
            }
        }
        found.extend(unit_findings(loaded, package));
        found.extend(account_findings(recipe, package));
        found.extend(script_findings(recipe, package));
    }
    found
}

/// Returns the users and groups that exist as soon as a package is installed: those of the recipe's
/// packages, and those that it requires as `user(NAME)` or `group(NAME)`.
pub(super) fn accounts(recipe: &Recipe, package: &Package) -> BTreeSet<String> {
    let users = recipe.packages.iter().flat_map(|p| &p.services.users);
    let mut accounts = BTreeSet::new();
    for user in users {
        accounts.insert(user.name.to_string());
        accounts.insert(user.group.to_string());
        accounts.extend(user.groups.iter().map(ToString::to_string));
    }
    for line in &package.requires {
        let inner = ["user(", "group("].iter().find_map(|beginning| {
            let rest = line.as_str().strip_prefix(beginning)?;
            rest.split_once(')').map(|(name, _)| name.to_owned())
        });
        accounts.extend(inner);
    }
    accounts
}

/// Returns the names of the unit files that the recipe's packages install.
fn known_units(recipe: &Recipe) -> Vec<String> {
    let installs = recipe.packages.iter().flat_map(|p| &p.services.install);
    let below = installs.filter_map(|item| {
        let name = item.to.as_str().strip_prefix(UNIT_FOLDER)?;
        name.strip_prefix('/').map(str::to_owned)
    });
    below.collect()
}

fn unit_findings(loaded: &LoadedRecipe, package: &Package) -> Vec<ServiceFinding> {
    let recipe = &loaded.recipe;
    let accounts = accounts(recipe, package);
    let mut found = Vec::new();
    for entry in &package.services.systemd {
        let path = format!("{UNIT_FOLDER}/{}", entry.unit.file());
        let mut installs = package.services.install.iter();
        let Some(item) = installs.find(|item| item.to.as_str() == path) else {
            // What the install step leaves is looked at when it is there.
            if claim(package, &path).is_none() {
                found.push(ServiceFinding::UnitNotShipped {
                    recipe: recipe.name.clone(),
                    package: package.name.clone(),
                    unit: entry.unit.clone(),
                    known: known_units(recipe),
                });
            }
            continue;
        };
        let Some(bytes) = loaded.installed.get(&item.file) else {
            continue;
        };
        let surroundings = Surroundings {
            accounts: &accounts,
            program: &|program| missing_program(recipe, package, program),
            is_enabled: is_enabled(entry.preset),
        };
        let finding = |(line, mistake)| ServiceFinding::Unit {
            recipe: recipe.name.clone(),
            package: package.name.clone(),
            unit: entry.unit.clone(),
            text: UnitText::Installed(item.file.clone()),
            line,
            mistake,
        };
        let mistakes = mistakes(&entry.unit, bytes, &surroundings);
        found.extend(mistakes.into_iter().map(finding));
    }
    found
}

pub(super) const fn is_enabled(preset: UnitPreset) -> IsEnabled {
    match preset {
        UnitPreset::Enable => IsEnabled::Yes,
        UnitPreset::Disable => IsEnabled::No,
    }
}

/// A program outside the system's folders is there only if the recipe ships it.
fn missing_program(recipe: &Recipe, package: &Package, program: &str) -> Option<UnitMistake> {
    let is_shipped = recipe.packages.iter().any(|package| {
        let mut installs = package.services.install.iter();
        claim(package, program).is_some() || installs.any(|item| item.to.as_str() == program)
    });
    let is_system = SYSTEM_PROGRAMS
        .iter()
        .any(|folder| program.starts_with(folder));
    if is_shipped || is_system || is_required(package, program) {
        return None;
    }
    let installs = recipe.packages.iter().flat_map(|p| &p.services.install);
    Some(UnitMistake::NoProgram {
        program: program.to_owned(),
        nearest: nearest_program(program, installs.map(|item| item.to.as_str())),
    })
}

/// Returns whether a package requires a program by its path.
pub(super) fn is_required(package: &Package, program: &str) -> bool {
    package
        .requires
        .iter()
        .any(|line| line.as_str().split(' ').next() == Some(program))
}

fn account_findings(recipe: &Recipe, package: &Package) -> Vec<ServiceFinding> {
    let accounts = accounts(recipe, package);
    let is_unknown = |account: &&str| {
        !accounts.contains(*account)
            && !is_system_account(account)
            && !account.contains('%')
            && !account.bytes().all(|b| b.is_ascii_digit())
    };
    let mut found = Vec::new();
    for line in &package.services.tmpfiles {
        let unknown = line.owners().filter(is_unknown);
        found.extend(unknown.map(|account| ServiceFinding::TmpfilesAccount {
            recipe: recipe.name.clone(),
            package: package.name.clone(),
            line: line.clone(),
            account: account.to_owned(),
        }));
    }
    for limit in &package.services.limits {
        if is_unknown(&limit.user.trim_start_matches('@')) {
            found.push(ServiceFinding::LimitAccount {
                recipe: recipe.name.clone(),
                package: package.name.clone(),
                account: limit.user.clone(),
            });
        }
    }
    found
}

/// rpm looks for its sections at the beginnings of lines, and nothing in its syntax helps.
fn script_findings(recipe: &Recipe, package: &Package) -> Vec<ServiceFinding> {
    let mut found = Vec::new();
    for (when, text) in &package.scripts {
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim_start().starts_with('%') {
                found.push(ServiceFinding::ScriptLine {
                    recipe: recipe.name.clone(),
                    package: package.name.clone(),
                    when: *when,
                    line: number,
                });
            }
        }
    }
    found
}
