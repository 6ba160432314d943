//! Everything that can be said about a project without building it, not only the first thing.

use std::collections::BTreeSet;
use std::path::Path;

use kiln_model::{Architecture, BaseName, RecipeName};

use crate::error::BuildError;
use crate::graph::{Graph, GraphError};
use crate::lint::{all_findings, rebuild_findings};
use crate::lock::{checked_base_lock, checked_lock};
use crate::project::{LoadedRecipe, Project, Survey};

/// A project and all that is wrong with it.
#[derive(Debug)]
pub struct Checked {
    /// What could be read.
    pub project: Project,
    /// What is wrong, files first, then how they fit together, then lockfiles.
    pub errors: Vec<BuildError>,
}

/// Checks the project in `root`: files, graph, recipes and lockfiles; with a base image for all recipes,
/// theirs for that one, otherwise those for other base images, too, as far as there are any.
#[must_use]
pub fn check(root: &Path, base: Option<&BaseName>, architecture: Architecture) -> Checked {
    let survey = Project::survey_on(root, base);
    let problems: Vec<GraphError> = Graph::problems(&survey.project)
        .into_iter()
        .filter(|problem| !is_consequence(problem, &survey))
        .collect();
    let Survey {
        project, errors, ..
    } = survey;
    let mut all: Vec<BuildError> = errors.into_iter().map(BuildError::from).collect();
    all.extend(problems.into_iter().map(BuildError::from));
    let mut locks = Vec::new();
    // Without the base image that was chosen there is nothing that a lockfile could fit.
    let is_chosen = base.is_none_or(|base| project.bases.contains_key(base));
    for loaded in project.recipes.values() {
        let found = all_findings(loaded).into_iter();
        let found = found.chain(rebuild_findings(&loaded.recipe));
        all.extend(found.map(|f| BuildError::Finding(Box::new(f))));
        all.extend(loaded.wrong_patches());
        if is_chosen
            && project.bases.contains_key(&loaded.recipe.base)
            && all_bundled_are_there(&project, &loaded.recipe.name)
        {
            let checked = checked_lock(&project, loaded, architecture).err();
            locks.extend(checked.filter(|error| !is_for_want_of_pins(&project, loaded, error)));
        }
    }
    for base in project.bases.values() {
        locks.extend(checked_base_lock(&project, base, architecture).err());
    }
    if base.is_none() {
        for base in project.bases_with_locks() {
            locks.extend(other_locks(&project, &base, architecture));
        }
    }
    locks.extend(project.released().err().map(BuildError::from));
    all.extend(locks);
    Checked {
        errors: without_repetition(all),
        project,
    }
}

/// What is not pinned yet has no lockfile to be there or fresh; its lockfile may only be unreadable.
fn is_for_want_of_pins(project: &Project, loaded: &LoadedRecipe, error: &BuildError) -> bool {
    matches!(error, BuildError::NotLocked { .. }) && project.unpinned(&loaded.recipe.name).is_some()
}

/// Returns what is wrong with the lockfiles that recipes have for another base image than their own. A
/// recipe without one is not built there, which is nothing wrong.
fn other_locks(project: &Project, base: &BaseName, architecture: Architecture) -> Vec<BuildError> {
    let there = Project::survey_on(&project.root, Some(base)).project;
    let moved = there.recipes.values().filter(|loaded| {
        let name = &loaded.recipe.name;
        there.moved.contains(name)
            && there.recipe_lock_path(name, architecture).exists()
            && all_bundled_are_there(&there, name)
    });
    let errors = moved.filter_map(|loaded| checked_lock(&there, loaded, architecture).err());
    errors.collect()
}

/// A recipe or base image that is there but wrong is reported as that, not as missing too.
fn is_consequence(problem: &GraphError, survey: &Survey) -> bool {
    match problem {
        GraphError::UnknownLibrary { missing, .. } => {
            survey.broken_recipes.contains(missing.as_str())
        }
        GraphError::UnknownBase { base, .. } => survey.broken_bases.contains(base.as_str()),
        _ => false,
    }
}

/// What a recipe was locked for includes what it bundles: with a part missing it can not be told.
fn all_bundled_are_there(project: &Project, name: &RecipeName) -> bool {
    let mut seen = vec![name];
    let mut next = 0;
    while let Some(name) = seen.get(next) {
        let Some(loaded) = project.recipes.get(*name) else {
            return false;
        };
        for (_, from, _) in loaded.recipe.bundled() {
            if !seen.contains(&from) {
                seen.push(from);
            }
        }
        next += 1;
    }
    true
}

/// The lockfile of a base image is asked for by each of its recipes.
fn without_repetition(errors: Vec<BuildError>) -> Vec<BuildError> {
    let mut seen = BTreeSet::new();
    let is_new = |error: &BuildError| seen.insert(format!("{error:?}"));
    errors.into_iter().filter(is_new).collect()
}
