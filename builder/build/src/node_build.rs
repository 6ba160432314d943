//! The build of one node: from the store, or made by whoever has the turn at it.

use std::sync::Arc;

use kiln_model::Digest;
use kiln_store::Turn;

use crate::compile::{BuildInputs, Built, cached, compile};
use crate::error::BuildError;
use crate::graph::NodeId;
use crate::heal::healed;
use crate::plan::Plan;
use crate::turn::{Taken, wait_for_turn};
use crate::work::Outcome;
use crate::workshop::Workshop;

/// Builds one node, unless its key is known by now: a library that was rebuilt to the same bytes
/// leaves its consumers as they are. Waits for another kiln that builds the same.
pub(crate) fn build_one(
    shop: &Workshop<'_>,
    plan: &Plan,
    node: &NodeId,
    bundled: &[(String, Arc<Built>)],
) -> Result<Built, BuildError> {
    let build = NodeBuild {
        plan,
        node,
        bundled,
    };
    let what = node.to_string();
    let wait = |key: &Digest| wait_for_turn(shop, key, &what).map(Some);
    healed(shop, || match build.perform(shop, &wait)? {
        Taken::Done((built, _)) => Ok(built),
        Taken::Elsewhere => unreachable!("the turn was waited for"),
    })
}

/// What one build needs.
pub(crate) struct NodeBuild<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) node: &'a NodeId,
    /// The libraries that it is built with.
    pub(crate) bundled: &'a [(String, Arc<Built>)],
}

impl NodeBuild<'_> {
    /// Takes the build from the store, or takes the turn at it and makes it; `take_turn` says whether it
    /// waits for another kiln that has the turn.
    pub(crate) fn perform(
        &self,
        shop: &Workshop<'_>,
        take_turn: &dyn Fn(&Digest) -> Result<Option<Turn>, BuildError>,
    ) -> Result<Taken<(Built, Outcome)>, BuildError> {
        let inputs = BuildInputs {
            node: self.node,
            loaded: &shop.project.recipes[&self.node.recipe],
            rootfs: &self.plan.rootfs[self.node],
            bundled: self.bundled,
        };
        let key = inputs.key_inputs(shop).key();
        if let Some(hit) = cached(shop, key)? {
            return Ok(Taken::Done((hit, Outcome::Cached)));
        }
        let Some(_turn) = take_turn(&key.0)? else {
            return Ok(Taken::Elsewhere);
        };
        // Who had the turn before may have made it.
        if let Some(hit) = cached(shop, key)? {
            return Ok(Taken::Done((hit, Outcome::Cached)));
        }
        let built = compile(shop, &inputs)?;
        Ok(Taken::Done((built, Outcome::Built)))
    }
}
