//! `kiln bundle import`: every byte is verified before anything is made of it.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use kiln_image::{UnpackLimits, unpack_source};
use kiln_model::{BaseName, Digest, ManifestDigest, RecipeName};
use kiln_store::{Sha256Worker, Store};

use crate::bundle::BundleError;
use crate::bundle::archive::{ArchiveReader, INDEX, LAYOUT, Member, PROGRAM, Section, piece_of};
use crate::bundle::document::{BundleDocument, LAYOUT_TEXT};
use crate::error::BuildError;
use crate::folder::{create_folders, set_mode};
use crate::side_by_side::by_turns;

/// Bytes of the largest document of a bundle: each names thousands of blobs at most.
const MOST_DOCUMENT: u64 = 16 << 20;

/// Where, within a project, what is kiln's own is.
const OWN: &str = ".kiln";

/// What was imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// The bundle: the digest that its export told.
    pub bundle: ManifestDigest,
    /// The version of the kiln that wrote it.
    pub kiln_version: String,
    /// The recipes in it.
    pub recipes: Vec<RecipeName>,
    /// The base image that was chosen for all of them.
    pub base: Option<BaseName>,
    /// Sources, layers and packages of distributions in it.
    pub blobs: usize,
    /// Those of them that the store had.
    pub already: usize,
    /// Bytes that the store did not have.
    pub new_bytes: u64,
    /// The folder that the project was put into.
    pub project: Option<PathBuf>,
}

/// What to import, and whereto.
pub struct ImportBundle<'a> {
    /// The bundle.
    pub file: &'a Path,
    /// What its blobs go into.
    pub store: &'a Store,
    /// A new or empty folder that the project in it is put into; may hold the store in `.kiln/`.
    pub into: Option<&'a Path>,
    /// The bundle that it must be.
    pub expected: Option<Digest>,
    /// Whether to stop.
    pub is_stopped: &'a (dyn Fn() -> bool + Sync),
}

impl std::fmt::Debug for ImportBundle<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportBundle")
            .field("file", &self.file)
            .field("into", &self.into)
            .finish_non_exhaustive()
    }
}

/// Verifies a bundle and puts what is in it into the store, and the project where it is wanted.
///
/// Blobs are kept as they are verified, so that an import that is interrupted or meets a damaged place goes
/// on from there; names of images and the project come only when the whole bundle proved right.
///
/// # Errors
/// [`BundleError`].
pub fn import_bundle(request: &ImportBundle<'_>) -> Result<Imported, BundleError> {
    let file = fs_err::File::open(request.file).map_err(BuildError::from)?;
    let kind = file.metadata().map_err(BuildError::from)?.file_type();
    if !kind.is_file() {
        return Err(BundleError::Refused {
            reason: "it is no regular file".to_owned(),
        });
    }
    let mut import = Import {
        archive: ArchiveReader::new(file),
    };
    let head = import.read_head(request)?;
    let document = &head.document;
    if let Some(expected) = request.expected.filter(|e| *e != head.bundle.0) {
        let actual = head.bundle.0;
        return Err(BundleError::OtherBundle { expected, actual });
    }
    if let Some(into) = request.into {
        check_import_folder(into, Some(head.bundle))?;
    }
    let mut imported = Imported {
        bundle: head.bundle,
        kiln_version: document.kiln_version.clone(),
        recipes: document.recipes.clone(),
        base: document.base.clone(),
        blobs: document.blobs.len(),
        already: 0,
        new_bytes: 0,
        project: None,
    };
    let mut parts = import.find_parts(document)?;
    // Whoever takes the largest should not begin it last.
    parts.sort_by_key(|part| std::cmp::Reverse(part.member.size));
    let file = import.archive.file();
    let has_failed = AtomicBool::new(false);
    let taken = by_turns(&parts, |part| {
        if has_failed.load(Ordering::Relaxed) {
            return Ok(Taken::NotBegun);
        }
        let taken = take(request, part, &mut part.section(file));
        // What is wrong with one blob says nothing of the others; a disk that is full does.
        if matches!(&taken, Err(error) if !is_about_one(error)) {
            has_failed.store(true, Ordering::Relaxed);
        }
        taken
    });
    for (part, taken) in parts.iter().zip(taken) {
        match taken? {
            Taken::NotBegun => {}
            Taken::Already => imported.already += usize::from(part.is_needed),
            Taken::New => imported.new_bytes += part.member.size,
        }
    }
    // What was there already may be another kiln's of a moment ago.
    request.store.sync_names().map_err(BuildError::from)?;
    for (name, image) in &document.images {
        let manifest = ManifestDigest(image.digest);
        let named = request.store.record_image(name, &manifest, image.size);
        named.map_err(BuildError::from)?;
    }
    if let Some(into) = request.into {
        place_project(request.store, document, into)?;
        imported.project = Some(into.to_owned());
    }
    Ok(imported)
}

struct Head {
    bundle: ManifestDigest,
    document: BundleDocument,
}

struct Import {
    archive: ArchiveReader<fs_err::File>,
}

impl Import {
    /// Reads everything up to the document, and sees that each follows from that.
    fn read_head(&mut self, request: &ImportBundle<'_>) -> Result<Head, BundleError> {
        let layout = self.read_member(LAYOUT)?;
        let index = self.read_member(INDEX)?;
        let program = self.expect(PROGRAM)?;
        let mut section = Section {
            start: self.archive.skip_content()?,
            file: self.archive.file(),
            member: &program,
            read: 0,
        };
        let program_digest = hash(request, &mut section)?;
        let manifest = self.read_blob()?;
        let text = self.read_blob()?;
        let document = BundleDocument::parse(&text)?;
        let is_right = layout == LAYOUT_TEXT
            && index == document.index()
            && manifest == document.manifest()
            && text == document.encode();
        if !is_right {
            return Err(BundleError::Refused {
                reason: "its index or manifest names other things than it says it holds".to_owned(),
            });
        }
        if (program_digest, program.size) != (document.kiln.digest, document.kiln.size) {
            return Err(BundleError::Damaged {
                member: PROGRAM.to_owned(),
                what: "the kiln program".to_owned(),
                expected: document.kiln.digest,
                actual: program_digest,
            });
        }
        Ok(Head {
            bundle: document.digest(),
            document,
        })
    }

    /// Finds all blobs, which must be just those that the document names, in their order.
    fn find_parts(&mut self, document: &BundleDocument) -> Result<Vec<Part>, BundleError> {
        let mut parts = Vec::new();
        for (digest, size) in document.contents() {
            let needed = document.blobs.get(&digest);
            let what = needed.map_or("a part of the bundle", |needed| &needed.what);
            let absent = || BundleError::Absent {
                what: what.to_owned(),
                digest,
            };
            let member = self.archive.next_member()?.ok_or_else(absent)?;
            if member != Member::blob(&digest, size) {
                // In order of their names: what comes later is not here.
                let is_later = member.digest().is_some_and(|found| found > digest);
                return Err(if is_later {
                    absent()
                } else {
                    BundleError::Unexpected {
                        member: member.name,
                    }
                });
            }
            let start = self.archive.skip_content()?;
            parts.push(Part {
                member,
                digest,
                what: what.to_owned(),
                is_needed: needed.is_some(),
                start,
            });
        }
        match self.archive.next_member()? {
            None => Ok(parts),
            Some(member) => Err(BundleError::Unexpected {
                member: member.name,
            }),
        }
    }

    fn expect(&mut self, name: &str) -> Result<Member, BundleError> {
        let found = self.archive.next_member()?;
        match found {
            Some(member) if member.name == name => Ok(member),
            Some(member) => Err(BundleError::Unexpected {
                member: member.name,
            }),
            None => Err(BundleError::Refused {
                reason: format!("it holds no `{name}`"),
            }),
        }
    }

    fn read_member(&mut self, name: &str) -> Result<Vec<u8>, BundleError> {
        self.expect(name)?;
        Ok(self.archive.read_all(MOST_DOCUMENT)?)
    }

    /// Reads a document that is a blob, whatever its name is.
    fn read_blob(&mut self) -> Result<Vec<u8>, BundleError> {
        let member = self.archive.next_member()?;
        let Some((member, digest)) = member.and_then(|m| Some((m.clone(), m.digest()?))) else {
            return Err(BundleError::Refused {
                reason: "it does not say what is in it".to_owned(),
            });
        };
        let bytes = self.archive.read_all(MOST_DOCUMENT)?;
        let what = "what the bundle says of itself".to_owned();
        check(&member, what, digest, Digest::of(&bytes))?;
        Ok(bytes)
    }
}

/// A blob of the bundle.
struct Part {
    member: Member,
    digest: Digest,
    /// In words.
    what: String,
    /// Whether it is something that the recipes need, not a part of the bundle itself.
    is_needed: bool,
    /// Where in the file it begins.
    start: u64,
}

impl Part {
    fn section<'a>(&'a self, file: &'a fs_err::File) -> Section<'a> {
        Section {
            file,
            member: &self.member,
            start: self.start,
            read: 0,
        }
    }

    fn check(&self, actual: Digest) -> Result<(), BundleError> {
        check(&self.member, self.what.clone(), self.digest, actual)
    }
}

/// What became of a blob.
enum Taken {
    /// The store had it.
    Already,
    /// It is in the store now.
    New,
    /// Nothing: another one failed.
    NotBegun,
}

/// Returns whether an error is about one blob alone.
fn is_about_one(error: &BundleError) -> bool {
    matches!(
        error,
        BundleError::Damaged { .. } | BundleError::Refused { .. }
    )
}

/// Gives all of a section to `work`, piece by piece.
fn pass(
    request: &ImportBundle<'_>,
    section: &mut Section<'_>,
    mut work: impl FnMut(&[u8]) -> Result<(), BundleError>,
) -> Result<(), BundleError> {
    let mut piece = vec![0; piece_of(section.member.size)];
    loop {
        if (request.is_stopped)() {
            return Err(BuildError::Cancelled.into());
        }
        match section.read(&mut piece)? {
            0 => return Ok(()),
            count => work(&piece[..count])?,
        }
    }
}

/// Returns the digest of all of a section.
fn hash(request: &ImportBundle<'_>, section: &mut Section<'_>) -> Result<Digest, BundleError> {
    let mut hash = Sha256Worker::of(section.member.size);
    pass(request, section, |bytes| {
        hash.update(bytes);
        Ok(())
    })?;
    Ok(hash.finish())
}

/// Verifies a blob and puts it into the store, if it is not there.
fn take(
    request: &ImportBundle<'_>,
    part: &Part,
    section: &mut Section<'_>,
) -> Result<Taken, BundleError> {
    let store = request.store;
    if store.contains(&part.digest) {
        part.check(hash(request, section)?)?;
        // What the store has may be damaged, unlike this.
        if store.blob_size(&part.digest).is_ok() {
            return Ok(Taken::Already);
        }
        return Err(BundleError::Refused {
            reason: format!(
                "the store's own copy of {} was damaged and set aside; import again",
                part.what
            ),
        });
    }
    let writer = if part.member.size >= Sha256Worker::BIG {
        store.big_blob_writer()
    } else {
        store.plain_blob_writer()
    };
    let mut writer = writer.map_err(BuildError::from)?;
    pass(request, section, |bytes| {
        Ok(writer.append(bytes).map_err(BuildError::from)?)
    })?;
    match writer.finish_expecting(&part.digest) {
        Ok(_) => Ok(Taken::New),
        Err(kiln_store::StoreError::Mismatch { actual, .. }) => {
            part.check(actual)?;
            Ok(Taken::New)
        }
        Err(error) => Err(BuildError::from(error).into()),
    }
}

fn check(
    member: &Member,
    what: String,
    expected: Digest,
    actual: Digest,
) -> Result<(), BundleError> {
    if expected == actual {
        return Ok(());
    }
    Err(BundleError::Damaged {
        member: member.name.clone(),
        what,
        expected,
        actual,
    })
}

/// The file that says which bundle a folder is being made of, while it is.
fn marker(into: &Path) -> PathBuf {
    into.join(OWN).join("importing")
}

/// Refuses a folder with things in it that no import of the same bundle left; of any bundle, where none is
/// given.
///
/// # Errors
/// `Target`, or as the system refuses.
pub fn check_import_folder(into: &Path, bundle: Option<ManifestDigest>) -> Result<(), BundleError> {
    let refused = |reason: String| BundleError::Target {
        path: into.to_owned(),
        reason,
    };
    let own = into.join(OWN).symlink_metadata();
    if own.is_ok_and(|found| !found.is_dir()) {
        return Err(refused(format!("its `{OWN}` is no folder")));
    }
    if let Ok(text) = fs_err::read_to_string(marker(into)) {
        let is_same = bundle.is_none_or(|bundle| text == bundle.to_string());
        if is_same {
            return Ok(());
        }
        return Err(refused(format!(
            "an import of another bundle ended in it: {text}"
        )));
    }
    let entries = walkdir::WalkDir::new(into).min_depth(1).max_depth(1);
    for entry in entries.sort_by_file_name() {
        match entry {
            Ok(entry) if entry.file_name() == OWN => {}
            Ok(entry) => {
                let name = entry.file_name().to_string_lossy();
                return Err(refused(format!("it is not empty: it holds `{name}`")));
            }
            Err(error) if error.io_error().is_some_and(is_none) => {}
            Err(error) => return Err(BuildError::from(std::io::Error::from(error)).into()),
        }
    }
    Ok(())
}

fn is_none(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
}

/// Puts the project and the program into the folder. An import that ends in between is done again.
fn place_project(store: &Store, document: &BundleDocument, into: &Path) -> Result<(), BundleError> {
    create_folders(into, OWN).map_err(BuildError::from)?;
    let digest = document.digest().to_string();
    crate::publish::publish(&marker(into), digest.as_bytes())?;
    let mut archive = store
        .open_blob(&document.project.digest)
        .map_err(BuildError::from)?;
    let scratch = tempfile::tempdir_in(into.join(OWN)).map_err(BuildError::from)?;
    let unpacked = scratch.path();
    unpack_source(&mut archive, "project.tar", unpacked, UnpackLimits::SOURCE)
        .map_err(|error| BuildError::image("project.tar")(error.into()))?;
    let entries = walkdir::WalkDir::new(unpacked).min_depth(1).max_depth(1);
    let entries = entries.sort_by_file_name().into_iter();
    let entries = entries.collect::<Result<Vec<_>, _>>();
    let entries = entries.map_err(|error| BuildError::from(std::io::Error::from(error)))?;
    if entries.iter().any(|entry| entry.file_name() == OWN) {
        let reason = format!("its project has a `{OWN}` of its own");
        return Err(BundleError::Refused { reason });
    }
    for entry in entries {
        let target = into.join(entry.file_name());
        remove(&target)?;
        fs_err::rename(entry.path(), &target).map_err(BuildError::from)?;
    }
    let program = store
        .read_blob(&document.kiln.digest)
        .map_err(BuildError::from)?;
    let place = into.join(OWN).join(PROGRAM);
    crate::publish::publish(&place, &program)?;
    set_mode(&place, 0o755).map_err(BuildError::from)?;
    // Everything reaches the disk before the folder is said to be whole.
    let folder = fs_err::File::open(into).map_err(BuildError::from)?;
    rustix::fs::syncfs(folder.file())
        .map_err(|error| BuildError::from(std::io::Error::from(error)))?;
    remove(&marker(into))
}

fn remove(path: &Path) -> Result<(), BundleError> {
    let removed = match path.symlink_metadata() {
        Err(error) if is_none(&error) => Ok(()),
        Err(error) => Err(error),
        Ok(found) if found.is_dir() => fs_err::remove_dir_all(path),
        Ok(_) => fs_err::remove_file(path),
    };
    Ok(removed.map_err(BuildError::from)?)
}
