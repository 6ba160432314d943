//! `kiln graph`: recipes and their libraries as a picture.

use kiln_build::Graph;
use kiln_model::RecipeName;

use crate::arguments::{Common, Graph as Wanted, GraphFormat};
use crate::diagram::{Diagram, dot, mermaid, svg};
use crate::failure::Failure;
use crate::print::line;
use crate::session::load;

/// Draws; needs neither lockfiles, nor a store, nor a network.
pub fn run(common: &Common, wanted: &Wanted) -> Result<u8, Failure> {
    let project = load(common)?;
    let all = || project.recipes.keys().cloned().collect::<Vec<RecipeName>>();
    let names = if wanted.names.is_empty() {
        all()
    } else {
        wanted.names.clone()
    };
    let graph =
        Graph::new(&project, &names).map_err(|error| Failure::build(&project, &error.into()))?;
    let diagram = Diagram::new(&project, &graph);
    let text = match wanted.drawn_as {
        GraphFormat::Dot => dot(&diagram),
        GraphFormat::Mermaid => mermaid(&diagram),
        GraphFormat::Svg => svg(&diagram),
    };
    line(text.trim_end());
    Ok(0)
}
