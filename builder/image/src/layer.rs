//! Assembles one deterministic layer from binary packages, without running their scripts.
//!
//! The layer depends on the packages' content, the links and the patterns, never on the order in
//! which packages are given. Entries are sorted by the bytes of their path; owners, modes and times
//! are the packages' own. `/bin`, `/sbin` and `/lib*` are merged into `/usr` as Debian does since 12.
//!
//! What the scripts of a base image's packages would have made is added ([`base_files`]).

mod base_files;
mod handover;
mod merge;
mod spool;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use kiln_model::{DiffId, FilePattern, LockedPackage, SandboxPath};
use kiln_store::{Store, StoreError, WriteTreeError};

use crate::advance::{Advance, PrepareProgress, TreeStage};
use crate::deb::{DebError, read_deb};
use crate::printable::printable;
use crate::stop::{Stoppable, Stopped};
use crate::tar_read::TarError;
use crate::tar_write::{NodeKind, NodeMetadata, TarWriter};
use crate::unpack::UnpackError;

use self::merge::{Layer, LinkOutcome, Node, PackageFiles, Source};
use self::spool::{ContentId, Spool, SpoolError, Spools};

/// Packages read side by side. Each holds a decompressor's window, up to 64 MiB.
const MOST_THREADS: usize = 4;

/// What a layer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LayerKind {
    /// A complete root file system: gets the merged-usr links and what scripts would have made.
    Base,
    /// Packages over a base image.
    Addition,
}

/// What to assemble.
#[derive(Debug, Clone, Copy)]
pub struct LayerRequest<'a> {
    /// The packages; their files are blobs in the store.
    pub packages: &'a [LockedPackage],
    /// Links to add: place -> target as it stands in the link. Each goes into the layer that has its
    /// target; a link whose target no package of this layer has is left to another layer.
    pub links: &'a BTreeMap<SandboxPath, String>,
    /// What is left out.
    pub exclude: &'a [FilePattern],
    /// What the layer is for.
    pub kind: LayerKind,
}

/// Says why a layer was not assembled.
#[derive(Debug, thiserror::Error)]
pub enum AssembleError {
    /// A package can not be read.
    #[error(transparent)]
    Deb(#[from] DebError),
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A package puts a file where no file can be.
    #[error("package `{package}`, `{path}`: {problem}")]
    Path {
        /// The package.
        package: String,
        /// The path, escaped.
        path: String,
        /// What is wrong with it.
        problem: PathProblem,
    },
    /// Two packages want different things at one place.
    #[error("two packages have `{path}`, and not the same: {}, {}", .claims[0], .claims[1])]
    Conflict {
        /// The path, escaped.
        path: String,
        /// What each has there, sorted by package.
        claims: Box<[Claim; 2]>,
    },
    /// A path of one package leads through something that is no folder in another.
    #[error("package `{package}` has `{path}`, but `{parent}` is no folder: {claim}")]
    Below {
        /// The package.
        package: String,
        /// The path, escaped.
        path: String,
        /// The parent that is no folder, escaped.
        parent: String,
        /// What is there instead.
        claim: Box<Claim>,
    },
    /// There is something else where a link should be added.
    #[error("the link `{place}` -> `{target}` can not be added: {claim} there")]
    LinkTaken {
        /// Where the link should be.
        place: String,
        /// Its target.
        target: String,
        /// What is there already.
        claim: Box<Claim>,
    },
    /// Spooled content could not be written or read.
    #[error("can not {act} the scratch file `{path}`")]
    Scratch {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: String,
        /// What the system says.
        source: io::Error,
    },
    /// Somebody asked to stop.
    #[error("the layer is not finished")]
    Stopped(#[from] Stopped),
    /// The layer could not be written.
    #[error("can not write the layer into the store")]
    Write {
        /// What the writer says.
        source: io::Error,
    },
    /// The layer could not be unpacked while it was written.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
}

/// What a package has at some path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The package; `kiln` for what kiln adds itself.
    pub package: String,
    /// What it has there, in words.
    pub what: String,
}

impl std::fmt::Display for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "package `{}` has {}", self.package, self.what)
    }
}

/// Says what is wrong with a path in a package.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// It has a `..` component or is the root.
    #[error("it is not a path below the root")]
    Outside,
    /// It is a hard link to something that is not a file before it in the same package.
    #[error("it is a hard link to `{target}`, which is no file before it in the package")]
    HardLink {
        /// The target, escaped.
        target: String,
    },
}

/// Assembles the layer, stores it as an uncompressed tar and returns its digest.
///
/// # Errors
/// `Deb` when a package can not be read or is another than the lock says, `Path`, `Conflict`, `Below`
/// and `LinkTaken` when its content does not fit, `Store`, `Scratch` and `Write` as the system refuses.
pub fn assemble_layer(
    store: &Store,
    request: &LayerRequest<'_>,
    progress: &dyn PrepareProgress,
) -> Result<DiffId, AssembleError> {
    let scratch = store.scratch()?;
    let (layer, mut spool) = gather(store, request, scratch.path(), progress)?;
    let mut blob = store.plain_blob_writer()?;
    write_layer(&layer, &mut spool, &mut blob, progress)?;
    Ok(DiffId(blob.finish()?))
}

/// Assembles the layer `expected`, stores it as an uncompressed tar, and its files as a tree; returns
/// the tree's root. The tree is unpacked while the layer is written. If it is in the store already, it
/// is taken from there.
///
/// # Errors
/// `Store` with `Mismatch` when another layer comes out, and nothing of it is kept; `Unpack` when the
/// layer can not be unpacked; otherwise as [`assemble_layer`].
pub fn assemble_tree(
    store: &Store,
    request: &LayerRequest<'_>,
    expected: &DiffId,
    progress: &dyn PrepareProgress,
) -> Result<PathBuf, AssembleError> {
    let scratch = store.scratch()?;
    let (layer, spool) = gather(store, request, scratch.path(), progress)?;
    let mut contents = Some((spool, scratch));
    let written = store.write_tree(expected, &mut |root| {
        // Gone when this ends: what nobody needs any more must not be waited for.
        let (mut spool, _scratch) = contents.take().expect("a tree is filled once");
        handover::write_and_unpack(store, expected, root, |out| {
            write_layer(&layer, &mut spool, out, progress)
        })
    });
    written.map_err(|error| match error {
        WriteTreeError::Fill(error) => error,
        WriteTreeError::Store(error) => error.into(),
    })
}

/// Reads the packages and puts together what the layer holds; contents lie in `scratch`.
fn gather<'a>(
    store: &Store,
    request: &LayerRequest<'a>,
    scratch: &Path,
    progress: &dyn PrepareProgress,
) -> Result<(Layer<'a>, Spools), AssembleError> {
    let mut packages: Vec<&LockedPackage> = request.packages.iter().collect();
    packages.sort();
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut spool = Spools::create(scratch, threads.min(MOST_THREADS))?;
    let mut layer = Layer::new(request.exclude);
    let total = packages.iter().map(|package| package.size).sum();
    let advance = Mutex::new(Advance::start(progress, TreeStage::Read, total));
    let told = |bytes| {
        let mut advance = advance.lock().unwrap_or_else(PoisonError::into_inner);
        advance.count(bytes)
    };
    let reading = Reading {
        store,
        exclude: request.exclude,
        told: &told,
        is_stopped: &|| progress.is_stopped(),
    };
    for files in read_packages(&reading, &packages, &mut spool)? {
        layer.add_package(files, &mut spool)?;
    }
    layer.add_parents()?;
    base_files::add(&mut layer, &mut spool, &packages, request.kind)?;
    add_links(&mut layer, request.links)?;
    layer.add_parents()?;
    Ok((layer, spool))
}

/// What all threads that read packages share.
struct Reading<'a> {
    store: &'a Store,
    exclude: &'a [FilePattern],
    /// Hears of every package that was read.
    told: &'a (dyn Fn(u64) -> Result<(), Stopped> + Sync),
    is_stopped: &'a (dyn Fn() -> bool + Sync),
}

/// Reads packages side by side, each thread into a scratch file of its own, and returns them in their
/// order: what comes out does not depend on the threads. Of several errors, the first package's counts:
/// packages are begun in order, and what was begun is read to its end.
fn read_packages<'a>(
    reading: &Reading<'a>,
    packages: &[&'a LockedPackage],
    spools: &mut Spools,
) -> Result<Vec<PackageFiles<'a>>, AssembleError> {
    let next = AtomicUsize::new(0);
    let is_failed = AtomicBool::new(false);
    let read: Mutex<Vec<(usize, Result<PackageFiles<'a>, AssembleError>)>> = Mutex::default();
    std::thread::scope(|scope| {
        for spool in spools.each() {
            scope.spawn(|| {
                while !is_failed.load(Ordering::Relaxed) {
                    let place = next.fetch_add(1, Ordering::Relaxed);
                    let Some(package) = packages.get(place) else {
                        break;
                    };
                    let files = read_package(reading, package, spool).and_then(|files| {
                        (reading.told)(package.size)?;
                        Ok(files)
                    });
                    is_failed.fetch_or(files.is_err(), Ordering::Relaxed);
                    let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
                    read.push((place, files));
                }
            });
        }
    });
    let mut read = read.into_inner().unwrap_or_else(PoisonError::into_inner);
    read.sort_by_key(|(place, _)| *place);
    read.into_iter().map(|(_, files)| files).collect()
}

fn read_package<'a>(
    reading: &Reading<'a>,
    package: &'a LockedPackage,
    spool: &mut Spool,
) -> Result<PackageFiles<'a>, AssembleError> {
    let deb = reading.store.open_blob(&package.sha256)?;
    let deb = Stoppable::new(deb, reading.is_stopped);
    let mut files = PackageFiles::new(package.name.as_str(), reading.exclude);
    let read = read_deb(deb, package, &mut |entry, reader| {
        files.add(entry, reader, spool)
    });
    match read {
        Ok(()) => Ok(files),
        // The `ar` crate keeps only the words of a reader's error.
        Err(_) if (reading.is_stopped)() => Err(Stopped.into()),
        Err(error) => Err(error),
    }
}

fn add_links(
    layer: &mut Layer<'_>,
    links: &BTreeMap<SandboxPath, String>,
) -> Result<(), AssembleError> {
    for (place, target) in links {
        match layer.add_link(place.relative().as_bytes(), target.as_bytes()) {
            LinkOutcome::Added | LinkOutcome::Present | LinkOutcome::Elsewhere => {}
            LinkOutcome::Taken(claim) => {
                return Err(AssembleError::LinkTaken {
                    place: place.to_string(),
                    target: printable(target.as_bytes()),
                    claim: Box::new(claim),
                });
            }
        }
    }
    Ok(())
}

fn write_layer(
    layer: &Layer<'_>,
    spool: &mut Spools,
    out: &mut dyn Write,
    progress: &dyn PrepareProgress,
) -> Result<(), AssembleError> {
    let total = layer.nodes().map(|(_, node)| node.source.size()).sum();
    let mut advance = Advance::start(progress, TreeStage::Write, total);
    let mut writer = TarWriter::new(out);
    let mut written: BTreeMap<ContentId, &[u8]> = BTreeMap::new();
    for (path, node) in layer.nodes() {
        write_node(&mut writer, path, node, &mut written, spool)?;
        advance.count(node.source.size())?;
    }
    writer.finish().map_err(write_error)
}

fn write_node<'a>(
    writer: &mut TarWriter<'_>,
    path: &'a [u8],
    node: &'a Node,
    written: &mut BTreeMap<ContentId, &'a [u8]>,
    spool: &mut Spools,
) -> Result<(), AssembleError> {
    let metadata: NodeMetadata = node.metadata;
    let mut start = |kind| writer.start(path, kind, metadata).map_err(write_error);
    match &node.source {
        Source::Directory => start(NodeKind::Directory),
        Source::Symlink(target) => start(NodeKind::Symlink(target)),
        Source::File(content) => {
            // Names that share a file: the first in order is the file.
            if let Some(first) = written.get(content) {
                return start(NodeKind::HardLink(first));
            }
            written.insert(*content, path);
            start(NodeKind::File(content.size()))?;
            spool.read(*content, &mut |bytes| {
                writer.write_content(bytes).map_err(write_error)
            })
        }
    }
}

fn write_error(source: io::Error) -> AssembleError {
    AssembleError::Write { source }
}

impl From<TarError> for AssembleError {
    fn from(error: TarError) -> Self {
        Self::Deb(error.into())
    }
}

impl From<SpoolError> for AssembleError {
    fn from(error: SpoolError) -> Self {
        Self::Scratch {
            act: error.act,
            path: error.path.display().to_string(),
            source: error.source,
        }
    }
}

#[cfg(test)]
mod tests;
