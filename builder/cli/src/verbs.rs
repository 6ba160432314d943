//! One module per verb of the command.

pub mod build;
pub mod bundle;
pub mod check;
pub mod completions;
pub mod diff;
pub mod doctor;
pub mod fetch;
pub mod fmt;
pub mod graph;
pub mod lock;
pub mod man;
pub mod matrix;
pub mod new;
pub mod plan;
pub mod schema;
pub mod shell;
pub mod sign;
pub mod store;
pub mod vary;
pub mod verify;
pub mod verify_file;
pub mod why;

use kiln_build::Project;
use kiln_model::RecipeName;

use crate::arguments::Names;

/// Returns the recipes that were asked for.
fn wanted(project: &Project, names: &Names) -> Vec<RecipeName> {
    names.selection().recipes(project)
}
