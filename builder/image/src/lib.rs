//! From pinned bytes to trees of files and back: packages to layers, layers to root file systems,
//! source archives to folders, folders to canonical tars.
//!
//! Everything that comes out is deterministic: sorted, one encoding, no clock. Everything that comes
//! in is foreign: read strictly, within limits, and written through handles only.

mod compression;
pub mod debian;
#[cfg(test)]
mod hand_tar;
mod limits;
mod printable;
mod rooted;
mod source;
mod tar_header;
mod tar_read;
mod tar_write;
mod tree_tar;
mod unpack;

pub use compression::{Compression, StreamLimit};
pub use limits::UnpackLimits;
pub use source::unpack_source;
pub use tar_header::{HeaderProblem, SpecialKind};
pub use tar_read::TarError;
pub use tree_tar::{
    CandidateKind, Inclusion, TreeCandidate, TreeEntry, TreeEntryKind, TreePath, TreePathError,
    TreeTarError, TreeTarRequest, write_tree_tar,
};
pub use unpack::{EntryProblem, UnpackError, unpack_layer};
