//! Everything about a product's packages that only the installed files show, said at once.

use kiln_model::Recipe;
use kiln_model::recipe::{GhostKind, Package, PackageArchitecture};

use crate::attribute::{contradictions, idle};
use crate::claim::{Rule, claim};
use crate::error::BuildError;
use crate::evidence::Evidence;
use crate::finding::PackageFinding;
use crate::joined::joined_twice;
use crate::link::dangling;
use crate::owner::is_system_directory;
use crate::stage::Stage;

/// Looks at every package.
///
/// # Errors
/// `Package`, or `Several` of them; or a file can not be read.
pub(crate) fn inspect(
    recipe: &Recipe,
    stage: &Stage,
    evidence: &Evidence,
) -> Result<(), BuildError> {
    let mut found = Vec::new();
    for package in &recipe.packages {
        found.extend(ghosts(recipe, package, stage));
        found.extend(system_directories(recipe, package, stage));
        found.extend(noarch(recipe, package, stage, evidence));
        found.extend(idle(recipe, package, stage, &stage.owned[&package.name]));
        found.extend(dangling(recipe, package, stage));
        found.extend(joined_twice(recipe, package, stage)?);
    }
    found.extend(contradictions(recipe, stage));
    let error = |finding| BuildError::Package(Box::new(finding));
    let mut errors: Vec<BuildError> = found.into_iter().map(error).collect();
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(BuildError::Several(errors)),
    }
}

fn ghosts(recipe: &Recipe, package: &Package, stage: &Stage) -> Vec<PackageFinding> {
    use kiln_image::TreeEntryKind::Directory;
    let mut found = Vec::new();
    for ghost in &package.ghost {
        let path = ghost.path.as_str();
        let actual = match (ghost.kind, stage.files.get(path).map(|staged| &staged.kind)) {
            (_, None) if stage.has_below(path) => "a directory with something in it",
            (GhostKind::File, Some(Directory)) => "a directory",
            (GhostKind::Directory, Some(kind)) if *kind != Directory => "no directory",
            _ => continue,
        };
        found.push(PackageFinding::Ghost {
            recipe: recipe.name.clone(),
            rule: Rule::new(&package.name, "ghost", path),
            actual,
        });
    }
    found
}

/// Reports patterns of `directories` that match nothing but what every system has.
fn system_directories(recipe: &Recipe, package: &Package, stage: &Stage) -> Vec<PackageFinding> {
    let owned = &stage.owned[&package.name];
    let mut found = Vec::new();
    for pattern in &package.directories {
        let mut own = owned.files.iter().chain(&owned.directories);
        if own.any(|path| pattern.matches(path)) {
            continue;
        }
        let mut all = stage.folders().filter(|path| is_system_directory(path));
        if let Some(directory) = all.find(|path| pattern.matches(path)) {
            found.push(PackageFinding::SystemDirectory {
                recipe: recipe.name.clone(),
                rule: Rule::new(&package.name, "directories", pattern.as_str()),
                directory: directory.to_owned(),
            });
        }
    }
    found
}

/// Reports the first file of a package that is not the same on every machine.
fn noarch(
    recipe: &Recipe,
    package: &Package,
    stage: &Stage,
    evidence: &Evidence,
) -> Option<PackageFinding> {
    if package.architecture != PackageArchitecture::Noarch {
        return None;
    }
    let files = &stage.owned[&package.name].files;
    let code = files.iter().find(|file| evidence.is_machine_code(file));
    let placed = || files.iter().find(|file| file.starts_with("/usr/lib64/"));
    let (file, reason) = match code {
        Some(file) => (file, "holds machine code"),
        None => (placed()?, "is in /usr/lib64"),
    };
    Some(PackageFinding::Noarch {
        recipe: recipe.name.clone(),
        package: package.name.clone(),
        file: file.clone(),
        reason,
        rule: claim(package, file),
    })
}
