//! Puts what services need into a product's stage, and into its packages' file lists.

use std::collections::BTreeMap;

use kiln_model::PackageName;
use kiln_model::recipe::{FileMode, Package, SystemUser};
use kiln_rpm::{FileKind, FileLine, FileOwner, SpecTextError};

use super::finding::ServiceFinding;
use super::ready;
use crate::error::BuildError;
use crate::lint::RecipeFinding;
use crate::owner::is_system_directory;
use crate::project::LoadedRecipe;
use crate::stage::{Stage, path_taken};

/// A folder that a package owns for a user.
struct UserFolder<'a> {
    path: &'a kiln_model::SandboxPath,
    mode: u16,
    owner: FileOwner,
}

/// Folders below `/usr` hold what a package ships: whoever may write there could replace it.
fn folders(user: &SystemUser) -> Vec<UserFolder<'_>> {
    let owner = |user: &str, group: &str| FileOwner {
        user: user.to_owned(),
        group: group.to_owned(),
    };
    let own = || owner(user.name.as_str(), user.group.as_str());
    let home = user
        .home
        .iter()
        .filter(|home| !is_system_directory(home.as_str()));
    let home = home.map(|path| {
        if path.as_str().starts_with("/usr/") {
            UserFolder {
                path,
                mode: 0o755,
                owner: owner("root", "root"),
            }
        } else {
            UserFolder {
                path,
                mode: 0o750,
                owner: own(),
            }
        }
    });
    let log = user.log_directory.iter().map(|(path, mode)| UserFolder {
        path,
        mode: mode.bits(),
        owner: own(),
    });
    home.chain(log).collect()
}

/// Adds files of the recipe's folder, files that kiln writes, and folders of users to the stage.
///
/// # Errors
/// `Finding` with the value whose place is taken, `PathTaken` for a file of kiln's own.
pub(crate) fn place_files(loaded: &LoadedRecipe, stage: &mut Stage) -> Result<(), BuildError> {
    let recipe = &loaded.recipe;
    let finding = |finding: ServiceFinding| {
        BuildError::Finding(Box::new(RecipeFinding::Service(Box::new(finding))))
    };
    for package in &recipe.packages {
        let name = &package.name;
        for item in &package.services.install {
            let bytes = loaded.installed.get(&item.file).cloned();
            let bytes = bytes.expect("a recipe is loaded with the files that it installs");
            let mode = u32::from(item.mode.bits());
            stage
                .place(name, item.to.as_str(), bytes, mode)
                .map_err(|_| {
                    finding(ServiceFinding::InstalledTwice {
                        recipe: recipe.name.clone(),
                        package: name.clone(),
                        to: item.to.clone(),
                    })
                })?;
        }
        for (path, text) in written_files(package) {
            stage
                .add(name, &path, text.into_bytes())
                .map_err(|path| path_taken(recipe, path))?;
        }
        for user in &package.services.users {
            for folder in folders(user) {
                stage
                    .place_folder(name, folder.path.as_str(), u32::from(folder.mode))
                    .map_err(|_| {
                        finding(ServiceFinding::NoFolder {
                            recipe: recipe.name.clone(),
                            package: name.clone(),
                            user: user.name.to_string(),
                            path: folder.path.clone(),
                        })
                    })?;
            }
        }
    }
    for package in &recipe.packages {
        for alternative in &package.services.alternatives {
            let (recipe, name) = (recipe.name.clone(), package.name.clone());
            let link = alternative.link.clone();
            if stage.files.contains_key(link.as_str()) {
                return Err(finding(ServiceFinding::AlternativeTaken {
                    recipe,
                    package: name,
                    link,
                }));
            }
            if !stage.owned[&name].files.contains(alternative.path.as_str()) {
                return Err(finding(ServiceFinding::AlternativeNotShipped {
                    recipe,
                    package: name,
                    link,
                    path: alternative.path.clone(),
                }));
            }
        }
    }
    Ok(())
}

/// Returns the files that kiln writes for a package, by path.
fn written_files(package: &Package) -> Vec<(String, String)> {
    let files = [
        (
            ready::sysusers_path(package),
            ready::sysusers(&package.services.users),
        ),
        (ready::tmpfiles_path(package), ready::tmpfiles(package)),
        (ready::preset_path(package), ready::presets(package)),
        (ready::limits_path(package), ready::limits(package)),
    ];
    let is_written = |(_, text): &(String, String)| !text.is_empty();
    files.into_iter().filter(is_written).collect()
}

/// Returns a package's file list with what its services say about files.
///
/// # Errors
/// When a path can not stand in a file list.
pub(crate) fn file_lines(
    package: &Package,
    lines: Vec<FileLine>,
) -> Result<Vec<FileLine>, SpecTextError> {
    let mut lines: BTreeMap<String, FileLine> = lines
        .into_iter()
        .map(|line| (line.path.as_str().to_owned(), line))
        .collect();
    for user in &package.services.users {
        for folder in folders(user) {
            let mut line = FileLine::new(folder.path.into(), FileKind::Directory);
            line.mode = FileMode::new(folder.mode);
            line.owner = Some(folder.owner);
            lines.insert(folder.path.to_string(), line);
        }
    }
    if let Some(line) = lines.get_mut(&ready::limits_path(package)) {
        line.kind = FileKind::Config;
    }
    for alternative in &package.services.alternatives {
        let line = FileLine::new((&alternative.link).into(), FileKind::Ghost);
        lines.insert(alternative.link.to_string(), line);
    }
    let mut lines: Vec<FileLine> = lines.into_values().collect();
    lines.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(lines)
}

/// Returns the package that owns a file.
pub(super) fn owns(stage: &Stage, package: &PackageName, path: &str) -> bool {
    stage
        .owned
        .get(package)
        .is_some_and(|owned| owned.files.contains(path))
}
