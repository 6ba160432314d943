//! `kiln sign`: every package in `out/` and the repository's index get a signature, and what was signed
//! is written down as released.
//!
//! Order, so that whoever stops it in the middle loses nothing: all signatures are made and kept in the
//! store; what is released is written down; signed packages take the place of unsigned ones; the
//! metadata is made over them; its index is signed; the index comes last.
//!
//! Keys never come near a sandbox: this is the only code that is handed one, and it passes it on to
//! nothing but the OpenPGP library. A signature states the package's own time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kiln_model::{Digest, Fingerprint, ReleasedLock, SourceDateEpoch};
use kiln_rpm::{
    Certificate, GoodSignature, SignatureFault, SigningKey, SigningKeyError, signed_package,
};

use crate::createrepo::{BaseLocks, Metadata, RepositoryCall, metadata};
use crate::error::BuildError;
use crate::memory::{Memory, RepositoryRpm};
use crate::outputs::Summary;
use crate::project::Project;
use crate::publish::{claim, publish};
use crate::release::{Inputs, check_released, named_inputs};
use crate::repo_file::repo_file;
use crate::repository::{
    INDEX, RepositoryInputs, SIGNATURE, read_package, repository_packages, update_repository,
};
use crate::signed::Subject;
use crate::workshop::Workshop;

/// Says why nothing can be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// `kiln.toml` pins no key.
    #[error("`kiln.toml` pins no key to sign with")]
    NoFingerprint,
    /// There are no packages.
    #[error("there is nothing to sign: no package in `{}` is known", .output.display())]
    Nothing {
        /// `out/`.
        output: PathBuf,
    },
    /// Packages in `out/` have other bytes than kiln put there.
    #[error("`{}` is not what kiln put there", .file.display())]
    Changed {
        /// The first of them, relative to `out/`.
        file: PathBuf,
    },
    /// The inputs of a package are not in the store: it was built elsewhere, or the store was cleaned.
    #[error(
        "the store does not have the inputs of `{nevra}`, which are written down with a release"
    )]
    NoInputs {
        /// The package.
        nevra: String,
    },
    /// The pinned key is in none of the files with public keys.
    #[error("none of the files in `public-keys` has the pinned key {fingerprint}")]
    NoCertificate {
        /// The pinned fingerprint.
        fingerprint: Fingerprint,
    },
    /// The key can not sign.
    #[error(transparent)]
    Key(#[from] SigningKeyError),
    /// A signature that came back does not count.
    #[error("the signature of `{name}` does not count: {fault}")]
    Signature {
        /// What it should sign.
        name: String,
        /// Why.
        fault: SignatureFault,
    },
    /// A request or response can not be read.
    #[error("this is no {kind}: {reason}")]
    Exchange {
        /// `signing request` or `signing response`.
        kind: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Anything that a build may fail with as well.
    #[error(transparent)]
    Build(Box<BuildError>),
}

impl<E: Into<BuildError>> From<E> for SignError {
    fn from(error: E) -> Self {
        Self::Build(Box::new(error.into()))
    }
}

/// The keys of a run: the pinned one, which signs, and all that are exported.
#[derive(Debug, Clone)]
pub struct PublicKeys {
    signer: Certificate,
    fingerprint: Fingerprint,
    exported: Vec<Certificate>,
}

impl PublicKeys {
    /// Chooses the pinned key from a secret key's public half and files with public keys.
    ///
    /// # Errors
    /// `NoCertificate`.
    pub fn new(
        fingerprint: &Fingerprint,
        own: Option<&Certificate>,
        others: Vec<Certificate>,
    ) -> Result<Self, SignError> {
        let mut exported: Vec<Certificate> = own.into_iter().cloned().collect();
        for other in others {
            let is_known =
                |known: &Certificate| known.shown_fingerprint() == other.shown_fingerprint();
            if !exported.iter().any(is_known) {
                exported.push(other);
            }
        }
        let is_pinned = |found: &&Certificate| found.fingerprint().as_ref() == Some(fingerprint);
        let signer = exported.iter().find(is_pinned).cloned();
        let signer = signer.ok_or_else(|| SignError::NoCertificate {
            fingerprint: fingerprint.clone(),
        })?;
        Ok(Self {
            signer,
            fingerprint: fingerprint.clone(),
            exported,
        })
    }
}

/// One thing that is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToSign {
    /// Its place in `out/`.
    pub name: String,
    /// What the signature covers: a package's header, or the whole index.
    pub data: Vec<u8>,
    /// What the signature states as its time, unless the key is younger.
    pub time: SourceDateEpoch,
}

/// Where signatures come from.
#[derive(Debug)]
pub enum SignatureSource<'a> {
    /// A key that is here.
    Key(&'a SigningKey),
    /// Signatures that came back, by name.
    Response(&'a BTreeMap<String, Vec<u8>>),
    /// Nowhere yet: what is to be signed is listed.
    Request,
}

/// What signing came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SignSummary {
    /// Packages that have a signature of the pinned key now.
    pub signed: usize,
    /// Whether the repository's index has one too.
    pub is_index_signed: bool,
    /// Files in `out/` that were written.
    pub written: usize,
    /// NEVRAs that are released now and were not before.
    pub released: Vec<String>,
    /// What still has to be signed.
    pub missing: Vec<ToSign>,
}

/// A package, the bytes that it has now, and the signature that it is to have.
struct Signing {
    package: RepositoryRpm,
    bytes: Vec<u8>,
    signature: Option<GoodSignature>,
}

/// Signs what is in `out/`, as far as signatures are to be had.
///
/// # Errors
/// Every [`SignError`] but those of exchanges. Nothing in `out/` is changed by a run that fails before
/// all signatures are there.
pub fn sign(
    shop: &Workshop<'_>,
    keys: &PublicKeys,
    source: &SignatureSource<'_>,
) -> Result<SignSummary, SignError> {
    let _claim = claim(shop.output, shop.cancel)?;
    let mut memory = Memory::load(shop.store, shop.output, shop.program)?;
    let mut released = shop.project.released()?;
    let mut done = SignSummary::default();
    let (packages, changed) = memory.packages_or_changed();
    if let Some(file) = changed.into_iter().next() {
        return Err(SignError::Changed { file });
    }
    if packages.is_empty() {
        let output = shop.output.to_owned();
        return Err(SignError::Nothing { output });
    }
    let mut signings = Vec::new();
    for package in packages {
        signings.push(sign_one(shop, keys, source, &released, package, &mut done)?);
    }
    if matches!(source, SignatureSource::Request) && !done.missing.is_empty() {
        return Ok(done);
    }
    release(shop, &signings, &mut released, &mut done)?;
    publish_signed(shop, keys, &mut memory, signings, &mut done)?;
    let updated = index(shop, keys, source, &released, &mut memory, &mut done);
    memory.save()?;
    updated?;
    Ok(done)
}

fn sign_one(
    shop: &Workshop<'_>,
    keys: &PublicKeys,
    source: &SignatureSource<'_>,
    released: &ReleasedLock,
    package: RepositoryRpm,
    done: &mut SignSummary,
) -> Result<Signing, SignError> {
    let (bytes, rpm) = read_package(shop, &package)?;
    let inputs = || Ok(named(shop, &package).unwrap_or_default());
    let identity = std::slice::from_ref(&package.identity);
    check_released(released, &package.owner, identity, inputs)?;
    let header = &bytes[rpm.header_range()];
    let present = rpm
        .header_signature()
        .map(|found| keys.signer.verify(header, found));
    let item = || ToSign {
        name: package.path.display().to_string(),
        data: header.to_vec(),
        time: SourceDateEpoch::from_seconds(rpm.build_time().unwrap_or(0)),
    };
    let signature = match present {
        Some(Ok(found)) => Some(found),
        _ => obtain(keys, source, item())?,
    };
    if signature.is_none() {
        done.missing.push(item());
    }
    Ok(Signing {
        package,
        bytes,
        signature,
    })
}

/// Returns the signature of one thing, if it is to be had.
fn obtain(
    keys: &PublicKeys,
    source: &SignatureSource<'_>,
    item: ToSign,
) -> Result<Option<GoodSignature>, SignError> {
    match source {
        SignatureSource::Key(key) => Ok(Some(key.sign(&item.data, item.time)?)),
        SignatureSource::Request => Ok(None),
        SignatureSource::Response(signatures) => {
            let Some(found) = signatures.get(&item.name) else {
                return Ok(None);
            };
            let verified = keys.signer.verify(&item.data, found);
            let name = item.name;
            verified
                .map(Some)
                .map_err(|fault| SignError::Signature { name, fault })
        }
    }
}

/// Returns the inputs of a package by name.
fn named(shop: &Workshop<'_>, package: &RepositoryRpm) -> Result<Inputs, SignError> {
    let missing = || SignError::NoInputs {
        nevra: package.identity.nevra.clone(),
    };
    let blob = package.inputs.ok_or_else(missing)?;
    let bytes = shop.store.read_blob(&blob).map_err(|_| missing())?;
    Ok(named_inputs(&bytes))
}

/// Writes down what is released now: before anybody can have it.
fn release(
    shop: &Workshop<'_>,
    signings: &[Signing],
    released: &mut ReleasedLock,
    done: &mut SignSummary,
) -> Result<(), SignError> {
    for Signing {
        package, signature, ..
    } in signings
    {
        let nevra = &package.identity.nevra;
        if signature.is_none() || released.package(nevra).is_some() {
            continue;
        }
        let inputs = named(shop, package)?;
        let version = ["recipe version", "recipe release"].map(|name| inputs.get(name));
        let name = match version {
            [Some(version), Some(release)] => format!("{}-{version}-{release}", package.owner),
            _ => package.owner.clone(),
        };
        released.record(nevra, package.identity.content, &name, &inputs);
        done.released.push(nevra.clone());
    }
    if !done.released.is_empty() {
        let path = shop.project.root.join(Project::released_path());
        publish(&path, released.encode().as_bytes())?;
    }
    Ok(())
}

fn publish_signed(
    shop: &Workshop<'_>,
    keys: &PublicKeys,
    memory: &mut Memory,
    signings: Vec<Signing>,
    done: &mut SignSummary,
) -> Result<(), SignError> {
    let mut summary = Summary::default();
    for Signing {
        package,
        bytes,
        signature,
    } in signings
    {
        let Some(signature) = signature else {
            continue;
        };
        let signed = signed_package(&bytes, &signature).map_err(|error| BuildError::Rpm {
            recipe: package.owner.clone(),
            file: package.path.display().to_string(),
            reason: error.to_string(),
        })?;
        let subject = Subject::Package(package.identity.content);
        let files = vec![(package.path.clone(), signed.clone())];
        subject.record(shop.store, &keys.fingerprint, files)?;
        summary.write(&shop.output.join(&package.path), &signed)?;
        let sha256 = Digest::of(&signed);
        if sha256 != package.sha256 {
            memory.replace(&package, sha256);
        }
        done.signed += 1;
    }
    summary.sync_folders(shop.output)?;
    done.written += summary.written;
    Ok(())
}

/// Makes the metadata anew, signs its index when every package is signed, and publishes both.
fn index(
    shop: &Workshop<'_>,
    keys: &PublicKeys,
    source: &SignatureSource<'_>,
    released: &ReleasedLock,
    memory: &mut Memory,
    done: &mut SignSummary,
) -> Result<(), SignError> {
    if done.missing.is_empty() {
        let packages = repository_packages(memory);
        let call = RepositoryCall::new(shop, &BaseLocks::new(), packages)?;
        let made = metadata(shop, &call)?;
        done.is_index_signed = sign_index(shop, keys, source, &made, done)?;
        if matches!(source, SignatureSource::Request) && !done.is_index_signed {
            return Ok(());
        }
        // The same packages, but perhaps another signature over their index.
        memory.forget_metadata();
    }
    let found = RepositoryInputs {
        released,
        locks: BaseLocks::new(),
    };
    let mut summary = Summary::default();
    update_repository(shop, &found, memory, Vec::new(), &mut summary)?;
    summary.sync_folders(shop.output)?;
    done.written += summary.written;
    Ok(())
}

fn sign_index(
    shop: &Workshop<'_>,
    keys: &PublicKeys,
    source: &SignatureSource<'_>,
    made: &Metadata,
    done: &mut SignSummary,
) -> Result<bool, SignError> {
    let data = shop.store.read_blob(&made.index)?;
    let item = || ToSign {
        name: format!("rpms/repodata/{INDEX}"),
        data: data.clone(),
        time: SourceDateEpoch::from_seconds(made.revision),
    };
    let present = fs_err::read(shop.output.join(SIGNATURE)).ok();
    let present = present.and_then(|found| keys.signer.verify(&data, &found).ok());
    let signature = match present {
        Some(found) => Some(found),
        None => obtain(keys, source, item())?,
    };
    let Some(signature) = signature else {
        done.missing.push(item());
        return Ok(false);
    };
    let config = &shop.project.config;
    let key_name = format!("RPM-GPG-KEY-{}", config.repository.id);
    let exported: String = keys.exported.iter().map(Certificate::armored).collect();
    let below = |name: &str| Path::new("rpms").join(name);
    let files = vec![
        (PathBuf::from(SIGNATURE), signature.armored().into_bytes()),
        (below(&key_name), exported.into_bytes()),
        (
            below(&format!("{}.repo", config.repository.id)),
            repo_file(config, &key_name).into_bytes(),
        ),
    ];
    Subject::Repository(made.index).record(shop.store, &keys.fingerprint, files)?;
    Ok(true)
}
