//! One module per verb of the command.

pub mod build;
pub mod check;
pub mod completions;
pub mod doctor;
pub mod fetch;
pub mod fmt;
pub mod graph;
pub mod lock;
pub mod man;
pub mod new;
pub mod plan;
pub mod schema;
pub mod shell;

use kiln_build::{Project, products};
use kiln_model::RecipeName;

use crate::arguments::Names;

/// Returns the recipes that were asked for; all that yield packages when none was.
fn wanted(project: &Project, names: &Names) -> Vec<RecipeName> {
    if names.names.is_empty() {
        products(project)
    } else {
        names.names.clone()
    }
}
