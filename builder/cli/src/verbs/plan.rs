//! `kiln plan`: what a build would do.

use kiln_build::{Graph, NodeId, Plan};

use crate::arguments::{Common, Format, Names};
use crate::failure::Failure;
use crate::interrupt::FirstSignal;
use crate::print::line;
use crate::report::{EventLine, PlannedNode, print_event};
use crate::session::Session;

/// Prints one line per node, in build order.
pub fn run(common: &Common, names: &Names) -> Result<u8, Failure> {
    let session = Session::open(common, FirstSignal::Ends)?;
    let shop = session.workshop();
    let wanted = super::wanted(&session.project, names);
    let graph = Graph::new(&session.project, &wanted)
        .map_err(|error| Failure::build(&session.project, &error.into()))?;
    let plan = Plan::new(&shop, graph).map_err(|error| Failure::build(&session.project, &error))?;
    let to_build: Vec<_> = plan.to_build().into_iter().cloned().collect();
    let is_cached = |node: &NodeId| !to_build.contains(node);
    if common.format == Format::Json {
        let planned = |node: &NodeId| PlannedNode {
            name: node.to_string(),
            recipe: node.recipe.to_string(),
            prefix: node.prefix.path().to_owned(),
            is_cached: is_cached(node),
            destdir: plan.destdir(node).map(|digest| digest.to_string()),
        };
        let nodes = plan.graph.order.iter().map(planned).collect();
        print_event(&EventLine::Plan { nodes });
        return Ok(0);
    }
    for node in &plan.graph.order {
        let what = if is_cached(node) { "cached" } else { "build" };
        line(&format!("{what:<7} {node}"));
    }
    Ok(0)
}
