//! A content-addressed store on disk, and the fetcher that fills it.
//!
//! The store is an OCI image layout that several kilns share at once: whatever is in it is whole,
//! and is verified again when it is used. The fetcher is the only code that reaches mirrors; bytes
//! without a digest never enter the store.

mod aside;
mod blob;
mod error;
mod examine;
mod fetch;
mod identity;
mod image_index;
mod kept;
mod layout;
mod partial;
mod publish;
mod record;
mod remove;
mod store;
mod temporary;
mod tree;
mod turn;

pub use aside::{SetAside, StoredThing};
pub use blob::{BlobInfo, BlobWriter, PlainBlobWriter, start_writing};
pub use error::{StoreError, WriteTreeError};
pub use examine::{FolderFacts, Lack, examine_folder, examine_store, with_scratch};
pub use fetch::{
    Attempt, AttemptError, BodyKind, FailedFetch, FetchError, FetchLimits, FetchLocation,
    FetchOrigin, FetchProgress, FetchRequest, FetchSettings, Fetcher, MissingBlob, NetrcFile,
    Network, ProxyAddress, ProxySettings, Received, Silent, TrustedRoots, Upstream, shown_address,
    trusted_bundle,
};
pub use identity::{FileIdentity, ObservedFile, observe_file};
pub use kept::{Kept, KeptDir};
pub use layout::STORE_FORMAT;
pub use record::RecordKind;
pub use store::Store;
pub use temporary::ScratchDir;
pub use turn::Turn;
