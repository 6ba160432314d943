//! From pinned bytes to trees of files and back: packages to layers, layers to root file systems,
//! source archives to folders, folders to canonical tars.
//!
//! Everything that comes out is deterministic: sorted, one encoding, no clock. Everything that comes
//! in is foreign: read strictly, within limits, and written through handles only.

mod advance;
mod base;
mod compression;
mod deb;
pub mod debian;
#[cfg(test)]
mod hand_deb;
#[cfg(test)]
mod hand_tar;
mod layer;
mod limits;
mod oci;
mod printable;
mod rooted;
mod rootfs;
mod source;
mod stop;
mod tar_header;
mod tar_read;
mod tar_write;
mod tree;
mod tree_check;
mod tree_tar;
mod unpack;

pub use advance::{PrepareProgress, TreeStage};
pub use base::{
    ASSEMBLER_VERSION, LockBase, LockBaseError, LockTools, PrepareBase, PrepareError, base_request,
    lock_base, lock_tools, package_requests, prepare_base, prepare_tools, tools_request,
};
pub use compression::{Compression, StreamLimit};
pub use deb::DebError;
pub use layer::{
    AssembleError, Claim, LayerKind, LayerRequest, PathProblem, assemble_layer, assemble_tree,
};
pub use limits::UnpackLimits;
pub use oci::{DocumentProblem, ImageError, ImportError, image_layers, import_layout, write_image};
pub use rootfs::{RootfsError, image_tree, layer_tree, layer_tree_told, stored_image_tree};
pub use source::{SourceScan, scan_source, unpack_source};
pub use stop::{Stoppable, Stopped, is_stopped};
pub use tar_header::{HeaderProblem, SpecialKind};
pub use tar_read::TarError;
pub use tree::{TreeEntry, TreeEntryKind, TreePath, TreePathError};
pub use tree_check::{TreeState, check_tree, flattened_tree};
pub use tree_tar::{
    CandidateKind, Inclusion, TreeCandidate, TreeTarError, TreeTarRequest, write_tree_tar,
};
pub use unpack::{EntryProblem, UnpackError, unpack_layer};
