//! Recipes to RPMs: lock, plan, build, package, publish. One pipeline, one type per station.
//!
//! `pipeline.rs` reads as the table of contents. Nothing here prints, spawns or opens a connection:
//! that is done by the store, the engine and the report that a [`Workshop`] holds.

mod buildinfo;
mod compile;
mod documents;
mod error;
mod evidence;
mod folder;
mod graph;
mod key;
mod kiln_base;
mod lock;
mod log;
mod memory;
mod outputs;
mod package;
mod pipeline;
mod plan;
mod project;
mod publish;
mod rootfs;
mod rpmbuild;
mod schedule;
mod script;
mod spec;
mod split;
mod stage;
mod workshop;

pub use buildinfo::BUILDINFO_FORMAT;
pub use compile::{Built, StepRecord};
pub use error::BuildError;
pub use graph::{Edge, Graph, GraphError, NodeId, Prefix};
pub use key::{BuildKey, KeyInputs, KeyKind, canonical_json};
pub use lock::{Renewal, checked_base_lock, checked_lock, lock};
pub use outputs::{Summary, products};
pub use package::{Packaged, PackagedRpm};
pub use pipeline::{build, fetch};
pub use plan::Plan;
pub use project::{LoadedRecipe, Project, ProjectError};
pub use publish::{Publication, publish};
pub use script::{
    BUILD_ROOT, DESTDIR, SOURCE_ROOT, StepName, environment, fixed_environment, step_script,
};
pub use workshop::{Event, Host, KILN_VERSION, Report, Workshop};
