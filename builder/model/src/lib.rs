//! Values that every other room speaks in: digests, names, paths, recipes, lockfiles, plans, steps.
//!
//! Nothing here reads a file, the clock or the environment. Parsing happens at the edge, once, into
//! types that can not be wrong; what holds such a value never checks it again.

mod base_image;
mod buildinfo;
mod capability;
mod config;
mod dependency;
mod digest;
mod evr;
mod git;
pub mod host_path;
mod image_reference;
mod lockfile;
mod name;
mod openpgp;
mod path;
pub mod recipe;
mod released;
mod repository;
mod source;
mod step;
mod text;
mod time;
mod variation;

pub use base_image::{ArchiveBase, BASE_IMAGE_SCHEMA, BaseImage, BaseOrigin};
pub use buildinfo::{
    BUILDINFO_FOLDER, BUILDINFO_FORMAT, BaseInfo, BuildInfo, BuildInfoError, MAX_BUILDINFO,
    RecipeInfo,
};
pub use capability::{CapabilityError, FileCapabilities};
pub use config::{
    AddressPrefix, AddressPrefixError, Config, ConfigBuild, ConfigError, ConfigLimits,
    ConfigNetwork, Mirrors, Organization, Repository, Require, Signing, SourceMirror,
    mask_credentials,
};
pub use dependency::{Dependency, DependencyError, DependencyKind, RichOperator};
pub use digest::{DiffId, Digest, DigestError, LayerDigest, ManifestDigest, Sha512};
pub use evr::{Evr, EvrError, compare_rpm_versions};
pub use git::{
    CommitId, GitError, GitLocation, RepositoryUrl, Rewriting, SubmodulePath, Submodules, TagName,
};
pub use image_reference::{ImageReference, ImageReferenceError};
pub use lockfile::{
    BaseLock, LOCK_FORMAT, Lock, LockError, LockedArchive, LockedGit, LockedPackage, LockedSource,
    LockedSubmodule, LockedTools, RecipeLock,
};
pub use name::{
    AccountName, Architecture, BaseName, DistTag, DistributionPackage, LibraryName, NameError,
    PackageName, RecipeName, Release, Version,
};
pub use openpgp::{Fingerprint, FingerprintError};
pub use path::{FilePattern, PathError, SandboxPath};
pub use recipe::Recipe;
pub use released::{ReleasedLock, ReleasedPackage};
pub use repository::{RepositoryAddress, RepositoryAddressError, RepositoryId, RepositoryIdError};
pub use source::{Location, LocationError};
pub use step::{
    Isolation, Limits, Measured, Mount, MountAccess, ReachedLimits, STEP_RUNNER_VERSION,
    SealedStep, StepEnd, StepOutcome, StepUser,
};
pub use text::{CpeProduct, CveId, LicenseExpression, Line, Prose, PurlName, TextError};
pub use time::{CalendarDate, DateError, SourceDateEpoch};
pub use variation::{Effect, Factor, Level, Observation, Variation};
