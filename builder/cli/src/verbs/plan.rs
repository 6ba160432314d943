//! `kiln plan`: what a build would do.

use kiln_build::{Graph, Plan};

use crate::arguments::{Common, Names};
use crate::failure::Failure;
use crate::interrupt::FirstSignal;
use crate::print::line;
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
    for node in &plan.graph.order {
        let what = if to_build.contains(node) {
            "build"
        } else {
            "cached"
        };
        line(&format!("{what:<7} {node}"));
    }
    Ok(0)
}
