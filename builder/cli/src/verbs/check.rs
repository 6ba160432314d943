//! `kiln check`: everything that can be said without building.

use kiln_build::Checked;
use kiln_model::Architecture;

use crate::arguments::{Common, Format};
use crate::failure::Failure;
use crate::print::line;
use crate::report::{EventLine, print_event};
use crate::session::root;

/// Checks files, the graph, recipes and lockfiles; what is wrong are findings, all of them are told.
pub fn run(common: &Common) -> Result<u8, Failure> {
    let Checked { project, errors } =
        kiln_build::check(&root(common)?, common.chosen_base(), Architecture::X86_64);
    let failures = errors.iter().map(|error| Failure::build(&project, error));
    if let Some(failure) = Failure::joined(failures.collect()) {
        return Err(failure.into_findings());
    }
    if common.format == Format::Json {
        print_event(&EventLine::Check {
            recipes: project.recipes.len(),
            base_images: project.bases.len(),
        });
    } else if !common.quiet {
        line(&format!(
            "{} recipes and {} base images are fine.",
            project.recipes.len(),
            project.bases.len()
        ));
    }
    Ok(0)
}
