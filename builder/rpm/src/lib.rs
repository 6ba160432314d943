//! RPM knowledge: writes spec files, reads and signs packages, tells from ELF files what is really linked.
//!
//! Nothing here spawns, and nothing here reads or writes a file: bytes and values in, text and
//! values out. rpmbuild itself runs in a sealed step that `build` starts from [`PackagingStep`].

mod base_package;
mod elf;
mod evidence;
mod hardening;
mod leak;
mod nevra;
mod reader;
mod signing;
mod spec;

pub use base_package::{
    BaseEvidence, BasePackage, BasePackageError, BasePackageInput, base_package, rpm_evr,
};
pub use elf::{
    Compilation, ElfClass, ElfError, ElfEvidence, ElfKind, Hardening, Permission, Relro,
    StackExecution,
};
pub use evidence::{LinkFinding, ProductElf, check_links};
pub use hardening::{HardeningFinding, check_hardening};
pub use leak::find_build_path;
pub use nevra::{Nevra, NevraError};
pub use reader::{
    Comparison, PackagedFile, PackagedFileKind, PackagedScriptlet, Relation, Relations, RpmError,
    RpmFile, Section, TagValue,
};
pub use signing::{
    Certificate, CertificateError, GoodSignature, KeyFault, Passphrase, SignatureFault, SigningKey,
    SigningKeyError, signed_package, unsigned_package,
};
pub use spec::{
    BuildRequirement, BundledLibrary, ChangelogEntry, DebugFiles, DebugInformation, Dependency,
    FileKind, FileLine, FileOwner, OrderingHint, PACKAGING_DESTDIR, PACKAGING_SOURCES,
    PackageInput, PackagedPath, PackagingStep, PatchFile, PrivateFiles, RebuildNode, RebuildSteps,
    Scriptlet, ScriptletTime, SourceFile, SourcePackage, SpecError, SpecInput, SpecTextError,
    UnpackedSource, made_archive, packaging_step, write_spec,
};
