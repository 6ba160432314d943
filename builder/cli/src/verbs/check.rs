//! `kiln check`: everything that can be said without building.

use kiln_build::{Graph, checked_lock};
use kiln_model::Architecture;

use crate::arguments::Common;
use crate::failure::Failure;
use crate::session::load;

/// Checks files, the graph and lockfiles; what is wrong are findings.
#[expect(clippy::print_stdout, reason = "only cli prints")]
pub fn run(common: &Common) -> Result<u8, Failure> {
    let project = load(common).map_err(Failure::into_findings)?;
    let names: Vec<_> = project.recipes.keys().cloned().collect();
    Graph::new(&project, &names).map_err(|error| Failure::build(&error.into()).into_findings())?;
    let failures = project.recipes.values().filter_map(|loaded| {
        let checked = checked_lock(&project, loaded, Architecture::X86_64);
        checked
            .err()
            .map(|error| Failure::build(&error).into_findings())
    });
    if let Some(failure) = Failure::joined(failures.collect()) {
        return Err(failure);
    }
    if !common.quiet {
        println!(
            "{} recipes and {} base images are fine.",
            names.len(),
            project.bases.len()
        );
    }
    Ok(0)
}
