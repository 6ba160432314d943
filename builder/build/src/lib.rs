//! Recipes to RPMs: lock, plan, build, package, publish. One pipeline, one type per station.
//!
//! `pipeline.rs` reads as the table of contents. Nothing here prints, spawns or opens a connection:
//! that is done by the store, the engine and the report that a [`Workshop`] holds.

mod at_rest;
mod attribute;
mod buildinfo;
mod bundle;
mod bundled_code;
mod check;
mod claim;
mod compile;
mod createrepo;
mod documents;
mod draft;
mod ending;
mod error;
mod evidence;
mod exchange;
mod file_clash;
mod finding;
mod flags;
mod folder;
mod forecast;
mod format;
mod garbage;
mod graph;
mod heal;
mod input;
mod inspect;
mod joined;
mod key;
mod kiln_base;
mod latest;
mod link;
mod lint;
mod lock;
mod log;
mod matrix;
mod memory;
mod needs;
mod node_build;
mod outputs;
mod owner;
mod package;
mod packaging;
mod past;
mod pipeline;
mod plan;
mod project;
mod publish;
mod queue;
mod recipe_folders;
mod recorded;
mod release;
mod repo_file;
mod repository;
mod restore;
mod rhel;
mod rootfs;
mod rpmbuild;
mod schedule;
mod script;
mod service;
mod shell;
mod side_by_side;
mod sign;
mod signed;
mod site;
mod source_package;
mod spec;
mod split;
mod stage;
mod times;
mod told;
mod turn;
mod unpinned;
mod varied;
mod vendored;
mod waiting;
mod why;
mod work;
mod workshop;

pub use at_rest::{Asked, AtRest};
pub use bundle::{
    ArchiveError, BUNDLE_FORMAT, BundleDocument, BundleError, DocumentError, Exported,
    ImportBundle, Imported, Needed, Sized, check_import_folder, export_bundle, import_bundle,
};
pub use check::{Checked, check};
pub use claim::Rule;
pub use compile::{Built, StepRecord};
pub use draft::{Draft, DraftError, DraftRequest, draft};
pub use error::BuildError;
pub use exchange::{SigningRequest, read_response, write_request};
pub use file_clash::{FileClash, FileOwner};
pub use finding::PackageFinding;
pub use forecast::{Estimate, Forecast, Foreseen};
pub use format::{Formatted, format_file, formattable, formattable_named};
pub use garbage::{KnownProject, forget_project, known_projects, needed_by, note_project};
pub use graph::{BundledVersion, Edge, Graph, GraphError, NodeId, Prefix};
pub use input::{InputKind, MissingInput};
pub use key::{BuildKey, KeyInputs, KeyKind, canonical_json};
pub use lint::{LostLine, RecipeFinding};
pub use lock::{Kept, LockNote, Renewal, checked_base_lock, checked_lock, lock};
pub use log::LogEnd;
pub use matrix::{LibraryOrigin, LibraryUse, Matrix, RecipeState, SourceState};
pub use needs::Need as ProgramNeed;
pub use outputs::{Selection, Summary};
pub use package::{Packaged, PackagedRpm};
pub use pipeline::{build, build_asked, fetch};
pub use plan::Plan;
pub use project::{LoadedRecipe, Project, ProjectError, Survey};
pub use publish::{Publication, publish};
pub use release::{InputChange, ReleasedOtherwise};
pub use restore::{RestoreError, restore_project};
pub use script::{
    BUILD_ROOT, DESTDIR, SOURCE_ROOT, StepName, environment, fixed_environment, step_script,
};
pub use service::{ServiceFinding, UnitMistake, UnitText, UserClash};
pub use shell::{ShellRequest, ShellRoom, ShellState, open_shell};
pub use sign::{PublicKeys, SignError, SignSummary, SignatureSource, ToSign, sign};
pub use site::{Site, Spot};
pub use split::{DoubleClaim, Proposal};
pub use unpinned::{Unpinned, left_out};
pub use varied::{
    Probed, SealedProbe, base_trees, destdirs, run_probe, seed_inputs, static_programs_of,
};
pub use why::{Awaited, Change, ChangeKind, Comparison, Explanation, Need, why};
pub use work::{OnFailure, Outcome, Row, RpmTotals, Work};
pub use workshop::{Checks, Circumstances, Event, Host, KILN_VERSION, Report, Workshop};
