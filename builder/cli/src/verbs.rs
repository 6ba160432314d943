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

use kiln_build::{Project, default_recipes};
use kiln_model::RecipeName;

use crate::arguments::Names;

/// Returns the recipes that were asked for; all but those that only others need when none was.
fn wanted(project: &Project, names: &Names) -> Vec<RecipeName> {
    if names.names.is_empty() {
        default_recipes(project)
    } else {
        names.names.clone()
    }
}
