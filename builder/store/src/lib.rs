//! A content-addressed store on disk, and the fetcher that fills it.
//!
//! The store is an OCI image layout that several kilns share at once: whatever is in it is whole,
//! and is verified again when it is used. The fetcher is the only code that reaches mirrors; bytes
//! without a digest never enter the store.

mod artifact;
mod aside;
mod blob;
mod check;
mod collect;
mod error;
mod examine;
mod fetch;
mod git;
mod hash;
mod hash_thread;
mod identity;
mod image_index;
mod kept;
mod layout;
mod lease;
mod lock;
mod measure;
mod partial;
mod publish;
mod reach;
mod record;
mod remove;
mod result;
mod store;
mod temporary;
mod tree;
mod turn;

pub use artifact::{ArtifactKind, EMPTY_CONFIG, Part, artifact_manifest, media_type};
pub use aside::{SetAside, StoredThing};
pub use blob::{BlobInfo, BlobWriter, PlainBlobWriter, start_writing};
pub use check::{Checked, StoreFinding};
pub use collect::{CollectMode, Collected, Gone, Keep};
pub use error::{StoreError, WriteTreeError};
pub use examine::{FolderFacts, Lack, examine_folder, examine_store, with_scratch};
pub use fetch::{
    Attempt, AttemptError, BodyKind, FailedFetch, FetchError, FetchLimits, FetchLocation,
    FetchOrigin, FetchProgress, FetchRequest, FetchSettings, Fetcher, MissingBlob, NetrcFile,
    Network, ProxyAddress, ProxySettings, Received, Silent, TrustedRoots, Upstream, shown_address,
    trusted_bundle,
};
pub use git::{
    GitContentError, GitExport, GitRequest, GitWanted, RewrittenSubmodule, SubmoduleError,
};
pub use hash::Sha256Stream;
pub use hash_thread::{HashThread, Sha256Worker};
pub use identity::{FileIdentity, ObservedFile, observe_file};
pub use kept::{Kept, KeptDir};
pub use layout::{FORMAT_FILE, STORE_FORMAT};
pub use measure::{Share, Usage};
pub use reach::digests_in;
pub use record::RecordKind;
pub use result::NewResult;
pub use store::Store;
pub use temporary::ScratchDir;
pub use turn::Turn;
