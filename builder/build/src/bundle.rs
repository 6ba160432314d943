//! Bundles: one file that holds everything that some recipes need where there is no network.
//!
//! `carried` takes stock, `export` writes and `import` reads; `archive` is the file's form, `document` what
//! it says of itself. A bundle is an OCI archive (a tar of an image layout), so other tools read it too;
//! kiln itself takes nothing for a bundle that is not, byte for byte, what it would write.

mod archive;
mod carried;
mod document;
mod export;
mod import;

use std::path::PathBuf;

use kiln_model::Digest;

use crate::error::BuildError;
use crate::input::MissingInput;

pub use archive::ArchiveError;
pub use document::{BUNDLE_FORMAT, BundleDocument, DocumentError, Needed, Sized};
pub use export::{Exported, export_bundle};
pub use import::{ImportBundle, Imported, check_import_folder, import_bundle};

/// Says why a bundle was not written, or not taken.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// What it would be made of, or what it would go into.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The store lacks some of what should go into it.
    #[error("the store lacks {} of the things that belong into the bundle", missing.len())]
    Missing {
        /// All of them, sorted.
        missing: Vec<MissingInput>,
    },
    /// A file of the project can not be carried.
    #[error("`{file}` can not go into the bundle: {reason}")]
    ProjectFile {
        /// Relative to the project's root.
        file: String,
        /// Why.
        reason: String,
    },
    /// A file or folder that would be written is something else already.
    #[error("`{}` can not be written: {reason}", .path.display())]
    Target {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The disk has too little room for it.
    #[error("`{}` has {needed} bytes, and there is no room for them", .path.display())]
    NoRoom {
        /// The file.
        path: PathBuf,
        /// Its bytes.
        needed: u64,
    },
    /// A blob changed while it was copied.
    #[error("a blob changed while it was copied: {digest}")]
    Changed {
        /// Its name.
        digest: Digest,
    },
    /// It is no bundle.
    #[error("this is no bundle that `kiln bundle export` wrote: {0}")]
    Archive(#[from] ArchiveError),
    /// Its document can not be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// It can not be taken.
    #[error("this is no bundle that `kiln bundle export` wrote: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// Something in it has other bytes than its name says.
    #[error(
        "the bundle is damaged: `{member}` ({what}) has other bytes than its digest says\n  \
             expected  {expected}\n  actual    {actual}"
    )]
    Damaged {
        /// The file in the archive.
        member: String,
        /// What it is.
        what: String,
        /// Its name.
        expected: Digest,
        /// Of its bytes.
        actual: Digest,
    },
    /// Something that it should hold is not in it.
    #[error("the bundle is incomplete: {what} is not in it\n  expected  {digest}")]
    Absent {
        /// What it is.
        what: String,
        /// Its digest.
        digest: Digest,
    },
    /// It holds something that it does not say.
    #[error("the bundle holds `{member}`, which is not among the things that it says it holds")]
    Unexpected {
        /// The file in the archive.
        member: String,
    },
    /// It is another bundle than was asked for.
    #[error("this is another bundle\n  expected  {expected}\n  actual    {actual}")]
    OtherBundle {
        /// From the command line.
        expected: Digest,
        /// The bundle's.
        actual: Digest,
    },
}

#[cfg(test)]
mod tests;
