//! Compares a product's units with what is really in its packages and its base image.

use std::path::{Path, PathBuf};

use kiln_model::Recipe;
use kiln_model::recipe::{Package, SystemdUnit, UNIT_FOLDER};

use super::finding::{ServiceFinding, UnitText};
use super::place::owns;
use super::static_check::{accounts, is_enabled, is_required};
use super::unit::{Surroundings, UnitMistake, mistakes, nearest_program};
use crate::error::BuildError;
use crate::lint::RecipeFinding;
use crate::split::unmerged;
use crate::stage::{Content, Stage};

/// Refuses units that are not there, or that systemd could not start. `base` is the tree of the base
/// image, asked for only when there are units.
///
/// # Errors
/// `Finding`, or `Several` of them; what `base` says; `Io` when a unit can not be read.
pub(crate) fn check_units(
    recipe: &Recipe,
    stage: &Stage,
    base: impl FnOnce() -> Result<Vec<PathBuf>, BuildError>,
) -> Result<(), BuildError> {
    let has_units = |package: &&Package| !package.services.systemd.is_empty();
    if !recipe.packages.iter().any(|package| has_units(&package)) {
        return Ok(());
    }
    let base = base()?;
    let mut found = Vec::new();
    for package in recipe.packages.iter().filter(has_units) {
        for entry in &package.services.systemd {
            found.extend(unit_findings(recipe, stage, &base, (package, entry))?);
        }
    }
    let errors = found
        .into_iter()
        .map(|finding| BuildError::Finding(Box::new(RecipeFinding::Service(Box::new(finding)))));
    let mut errors: Vec<BuildError> = errors.collect();
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(BuildError::Several(errors)),
    }
}

fn unit_findings(
    recipe: &Recipe,
    stage: &Stage,
    base: &[PathBuf],
    (package, entry): (&Package, &SystemdUnit),
) -> Result<Vec<ServiceFinding>, BuildError> {
    let path = format!("{UNIT_FOLDER}/{}", entry.unit.file());
    if !owns(stage, &package.name, &path) {
        let folder = format!("{UNIT_FOLDER}/");
        let known = stage.files.keys();
        let known = known.filter_map(|path| path.strip_prefix(&folder).map(str::to_owned));
        return Ok(vec![ServiceFinding::UnitNotShipped {
            recipe: recipe.name.clone(),
            package: package.name.clone(),
            unit: entry.unit.clone(),
            known: known.collect(),
        }]);
    }
    let (bytes, text) = match &stage.files[&path].content {
        Content::Bytes(bytes) => {
            let mut installs = package.services.install.iter();
            let item = installs.find(|item| item.to.as_str() == path);
            let text = item.map_or(UnitText::Built, |item| {
                UnitText::Installed(item.file.clone())
            });
            (bytes.clone(), text)
        }
        // A link to another unit has no text of its own, and may lead anywhere.
        Content::Tree(file) if file.symlink_metadata()?.is_file() => {
            (fs_err::read(file)?, UnitText::Built)
        }
        Content::Tree(_) => return Ok(Vec::new()),
    };
    let accounts = accounts(recipe, package);
    let surroundings = Surroundings {
        accounts: &accounts,
        program: &|program| missing_program(stage, base, package, program),
        is_enabled: is_enabled(entry.preset),
    };
    let finding = |(line, mistake)| ServiceFinding::Unit {
        recipe: recipe.name.clone(),
        package: package.name.clone(),
        unit: entry.unit.clone(),
        text: text.clone(),
        line,
        mistake,
    };
    let mistakes = mistakes(&entry.unit, &bytes, &surroundings);
    Ok(mistakes.into_iter().map(finding).collect())
}

fn missing_program(
    stage: &Stage,
    base: &[PathBuf],
    package: &Package,
    program: &str,
) -> Option<UnitMistake> {
    let merged = match unmerged(program) {
        Some(_) => format!("/usr{program}"),
        None => program.to_owned(),
    };
    let is_in = |tree: &PathBuf| {
        let path = tree.join(Path::new(merged.trim_start_matches('/')));
        path.symlink_metadata().is_ok()
    };
    let is_there = stage.files.contains_key(&merged)
        || is_required(package, program)
        || base.iter().any(is_in);
    (!is_there).then(|| UnitMistake::NoProgram {
        program: program.to_owned(),
        nearest: nearest_program(program, stage.files.keys().map(String::as_str)),
    })
}
