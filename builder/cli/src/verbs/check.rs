//! `kiln check`: everything that can be said without building.

use kiln_build::{Graph, checked_base_lock, checked_lock};
use kiln_model::Architecture;

use crate::arguments::{Common, Format};
use crate::failure::Failure;
use crate::print::line;
use crate::report::{EventLine, print_event};
use crate::session::load;

/// Checks files, the graph and lockfiles; what is wrong are findings.
pub fn run(common: &Common) -> Result<u8, Failure> {
    let project = load(common).map_err(Failure::into_findings)?;
    let names: Vec<_> = project.recipes.keys().cloned().collect();
    Graph::new(&project, &names).map_err(|error| Failure::build(&error.into()).into_findings())?;
    let architecture = Architecture::X86_64;
    let recipes = project.recipes.values().map(|loaded| {
        let lock = checked_lock(&project, loaded, architecture).map(drop);
        lock.and_then(|()| loaded.check_patches())
    });
    let bases = project
        .bases
        .values()
        .map(|base| checked_base_lock(&project, base, architecture).map(drop));
    let mut failures: Vec<Failure> = Vec::new();
    for error in recipes.chain(bases).filter_map(Result::err) {
        let failure = Failure::build(&error).into_findings();
        if !failures.contains(&failure) {
            failures.push(failure);
        }
    }
    if let Some(failure) = Failure::joined(failures) {
        return Err(failure);
    }
    if common.format == Format::Json {
        print_event(&EventLine::Check {
            recipes: names.len(),
            base_images: project.bases.len(),
        });
    } else if !common.quiet {
        line(&format!(
            "{} recipes and {} base images are fine.",
            names.len(),
            project.bases.len()
        ));
    }
    Ok(0)
}
