//! Unpacks layer tars into a folder as OCI image-spec "Image Layer Filesystem Changeset" says.
//!
//! Regular files, folders, symbolic and hard links are made; device nodes and FIFOs are skipped, for
//! a sandbox brings its own `/dev`. Nothing is given to another user, extended attributes are
//! dropped, and so are setuid and setgid: the tree lies in a folder of the host. Names are resolved
//! as in a chroot, by the kernel; `..` at the root stays there, as in containerd and Docker.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use crate::limits::UnpackLimits;
use crate::printable::printable;
use crate::rooted::{FillError, Follow, MAX_DEPTH, Rooted};
use crate::tar_header::{Entry, EntryKind, SpecialKind};
use crate::tar_read::{TarError, TarReader};

/// Says why an archive was not unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive is damaged, ambiguous or too big.
    #[error(transparent)]
    Tar(#[from] TarError),
    /// The archive's compression is not one that is known.
    #[error(
        "`{archive}` is no tar archive, nor one compressed with gzip, bzip2, xz or zstd (it starts with `{start}`)"
    )]
    Format {
        /// The archive's name.
        archive: String,
        /// Its first bytes, escaped.
        start: String,
    },
    /// The folder to unpack into can not be used.
    #[error("can not {act}: `{}`", path.display())]
    Target {
        /// The folder.
        path: PathBuf,
        /// What was tried.
        act: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// The kernel refused something.
    #[error("`{archive}`, entry `{entry}`: can not {act} below `{}`", target.display())]
    Write {
        /// The archive's name.
        archive: String,
        /// The entry's name, escaped.
        entry: String,
        /// The folder that is unpacked into.
        target: PathBuf,
        /// What was tried.
        act: &'static str,
        /// What the kernel says.
        source: io::Error,
    },
    /// An entry is not acceptable.
    #[error("`{archive}`, entry `{entry}`: {problem}")]
    Entry {
        /// The archive's name.
        archive: String,
        /// The entry's name, escaped.
        entry: String,
        /// What is wrong with it.
        problem: EntryProblem,
    },
}

/// Says what is wrong with an entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryProblem {
    /// The name starts with `/`.
    #[error("its name is absolute")]
    Absolute,
    /// The name has a `..` component.
    #[error("its name has a `..` component")]
    DotDot,
    /// The name has a control character.
    #[error("its name has a control character")]
    ControlCharacter,
    /// The name has too many components, or a tree was built that nests too deep.
    #[error("it nests deeper than {limit} folders")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// The entry is a device, FIFO or socket.
    #[error("it is a {0}, which a source archive must not hold")]
    Special(SpecialKind),
    /// A component of the path is no folder.
    #[error("a parent of it is not a folder")]
    ParentNotDirectory,
    /// A component of the path is a symbolic link where none is followed, or links form a loop.
    #[error("its path leads through a symbolic link that is not followed")]
    ThroughSymlink,
    /// A symbolic link's target is absolute.
    #[error("it links to the absolute path `{target}`")]
    AbsoluteTarget {
        /// The target, escaped.
        target: String,
    },
    /// A link's target lies outside the archive's tree.
    #[error("it links to `{target}`, outside the archive's tree")]
    OutsideTarget {
        /// The target, escaped.
        target: String,
    },
    /// A hard link's target is not there (yet).
    #[error("it is a hard link to `{target}`, which does not come before it")]
    MissingTarget {
        /// The target, escaped.
        target: String,
    },
    /// A hard link's target is of a kind that can not be shared.
    #[error("it is a hard link to `{target}`, which is no regular file")]
    TargetKind {
        /// The target, escaped.
        target: String,
    },
    /// A hard link names itself.
    #[error("it is a hard link to itself")]
    SelfLink,
    /// The same name comes twice, in a way that unpackers disagree on.
    #[error("its name came before as {first}, now it is {second}")]
    Duplicate {
        /// What came first.
        first: &'static str,
        /// What comes now.
        second: &'static str,
    },
    /// A whiteout's name is one that can not be applied.
    #[error("it is no usable whiteout")]
    Whiteout,
}

/// Bytes of a file that the disk is asked to write at once; asking for small ones costs more.
const BIG_FILE: u64 = 1 << 20;

/// Bits of a mode that a tree on the host may have.
const KEPT_MODE: u32 = 0o777;

/// The same for folders: `/tmp` stays sticky.
const KEPT_FOLDER_MODE: u32 = 0o1777;

/// Unpacks one uncompressed layer tar, called `name` in errors, into the empty folder `target`.
///
/// # Errors
/// `Tar` when the stream is damaged or passes `limits`, `Entry` when an entry can not be applied,
/// `Write` and `Target` when the kernel refuses. What was unpacked so far stays.
pub fn unpack_layer(
    layer: &mut dyn Read,
    name: &str,
    target: &Path,
    limits: UnpackLimits,
) -> Result<(), UnpackError> {
    let mut unpacker = LayerUnpacker::new(target)?;
    unpacker.apply(layer, name, limits)?;
    unpacker.finish()
}

/// Applies layers one over the other in a folder, lowest first.
#[derive(Debug)]
pub(crate) struct LayerUnpacker {
    rooted: Rooted,
    target: PathBuf,
    is_first: bool,
}

impl LayerUnpacker {
    /// Starts with the empty folder `target`.
    pub fn new(target: &Path) -> Result<Self, UnpackError> {
        Ok(Self {
            rooted: Rooted::open(target, Follow::InRoot).map_err(|e| target_error(target, e))?,
            target: target.to_owned(),
            is_first: true,
        })
    }

    /// Applies one uncompressed layer.
    pub fn apply(
        &mut self,
        layer: &mut dyn Read,
        name: &str,
        limits: UnpackLimits,
    ) -> Result<(), UnpackError> {
        if !self.is_first {
            self.rooted.start_covering();
        }
        self.is_first = false;
        let mut reader = TarReader::new(layer, name, limits);
        while let Some(entry) = reader.next_entry()? {
            self.apply_entry(&mut reader, &entry)
                .map_err(|error| error.at(name, &entry.path, &self.target))?;
        }
        Ok(())
    }

    /// Sets the modes and times of folders.
    pub fn finish(self) -> Result<(), UnpackError> {
        self.rooted
            .finish()
            .map_err(|error| target_error(&self.target, error))
    }

    fn apply_entry<R: Read>(
        &mut self,
        reader: &mut TarReader<R>,
        entry: &Entry,
    ) -> Result<(), ApplyError> {
        let components = scoped_components(&entry.path);
        check_components(&components)?;
        let Some((name, parents)) = components.split_last() else {
            if entry.kind == EntryKind::Directory {
                self.rooted
                    .set_root(entry.mode & KEPT_FOLDER_MODE, entry.mtime)?;
                return Ok(());
            }
            return Err(EntryProblem::DotDot.into());
        };
        if parents.iter().any(|parent| parent.starts_with(WHITEOUT)) {
            return Err(EntryProblem::Whiteout.into());
        }
        if let Some(covered) = name.strip_prefix(WHITEOUT) {
            return self.apply_whiteout(parents, covered);
        }
        self.apply_node(reader, entry, parents, name)
    }

    fn apply_node<R: Read>(
        &mut self,
        reader: &mut TarReader<R>,
        entry: &Entry,
        parents: &[&[u8]],
        name: &[u8],
    ) -> Result<(), ApplyError> {
        if let EntryKind::Special(_) = entry.kind {
            return Ok(());
        }
        let mut parent = self.rooted.parent(parents)?;
        let existing = Rooted::existing(&parent, name)?;
        if entry.kind == EntryKind::Directory {
            if existing.is_some_and(|existing| existing.kind != FileType::Directory) {
                self.rooted.remove(&parent, name)?;
                parent = self.rooted.parent(parents)?;
            }
            let mode = entry.mode & KEPT_FOLDER_MODE;
            return Ok(self
                .rooted
                .put_directory(&parent, name, mode, entry.mtime)?);
        }
        // A hard link's target is looked up before anything is removed: it may be the same name.
        if let EntryKind::HardLink(target) = &entry.kind {
            return self.apply_hard_link(target, parents, name);
        }
        if existing.is_some() {
            self.rooted.remove(&parent, name)?;
            parent = self.rooted.parent(parents)?;
        }
        match &entry.kind {
            EntryKind::Symlink(target) => {
                self.rooted
                    .put_symlink(&parent, name, target, entry.mtime)?;
            }
            _ => {
                let mut file = self.rooted.create_file(&parent, name)?;
                copy_content(reader, &mut file)?;
                if entry.size >= BIG_FILE {
                    // A tree is synced before it is sealed: the disk need not be idle until then.
                    kiln_store::start_writing(&file, 0, entry.size);
                }
                Rooted::finish_file(&file, entry.mode & KEPT_MODE, entry.mtime)?;
            }
        }
        Ok(())
    }

    fn apply_hard_link(
        &mut self,
        target: &[u8],
        parents: &[&[u8]],
        name: &[u8],
    ) -> Result<(), ApplyError> {
        let components = scoped_components(target);
        check_components(&components)?;
        let missing = || EntryProblem::MissingTarget {
            target: printable(target),
        };
        let (target_name, target_parents) = components.split_last().ok_or_else(missing)?;
        let target_parent = self.rooted.find(target_parents)?.ok_or_else(missing)?;
        let source = Rooted::existing(&target_parent, target_name)?.ok_or_else(missing)?;
        if source.kind == FileType::Directory {
            return Err(EntryProblem::TargetKind {
                target: printable(target),
            }
            .into());
        }
        let parent = self.rooted.parent(parents)?;
        if let Some(existing) = Rooted::existing(&parent, name)? {
            if existing.inode == source.inode {
                if existing.links == 1 {
                    return Err(EntryProblem::SelfLink.into());
                }
                return Ok(());
            }
            self.rooted.remove(&parent, name)?;
        }
        let parent = self.rooted.parent(parents)?;
        self.rooted
            .put_hard_link((&target_parent, target_name), &parent, name)?;
        Ok(())
    }

    fn apply_whiteout(&mut self, parents: &[&[u8]], covered: &[u8]) -> Result<(), ApplyError> {
        let is_opaque = covered == OPAQUE;
        if !is_opaque && (matches!(covered, b"" | b"." | b"..") || covered.starts_with(WHITEOUT)) {
            return Err(EntryProblem::Whiteout.into());
        }
        if !self.rooted.is_covering() {
            return Ok(());
        }
        let Some(parent) = self.rooted.find(parents)? else {
            return Ok(());
        };
        if is_opaque {
            self.rooted.remove_covered_children(&parent)?;
        } else {
            self.rooted.remove_covered(&parent, covered)?;
        }
        Ok(())
    }
}

/// Prefix of a whiteout's name; the rest is what it hides.
const WHITEOUT: &[u8] = b".wh.";

/// What follows the prefix when a whole folder's lower content is hidden.
const OPAQUE: &[u8] = b".wh..opq";

/// Returns the components of `path` with `.` and `..` resolved, never above the root.
fn scoped_components(path: &[u8]) -> Vec<&[u8]> {
    let mut components = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop();
            }
            name => components.push(name),
        }
    }
    components
}

/// Refuses names that nest too deep.
pub(crate) fn check_components(components: &[&[u8]]) -> Result<(), ApplyError> {
    if components.len() > MAX_DEPTH {
        return Err(EntryProblem::TooDeep { limit: MAX_DEPTH }.into());
    }
    Ok(())
}

/// Moves the present entry's content into `file`.
pub(crate) fn copy_content<R: Read>(
    reader: &mut TarReader<R>,
    file: &mut dyn Write,
) -> Result<(), ApplyError> {
    reader.for_each_chunk(&mut |chunk| {
        file.write_all(chunk).map_err(|source| {
            ApplyError::Fill(FillError::Io {
                act: "write the file",
                source,
            })
        })
    })
}

/// An error of one entry that does not know yet which entry.
#[derive(Debug)]
pub(crate) enum ApplyError {
    Tar(TarError),
    Fill(FillError),
}

impl From<TarError> for ApplyError {
    fn from(error: TarError) -> Self {
        Self::Tar(error)
    }
}

impl From<FillError> for ApplyError {
    fn from(error: FillError) -> Self {
        Self::Fill(error)
    }
}

impl From<EntryProblem> for ApplyError {
    fn from(problem: EntryProblem) -> Self {
        Self::Fill(FillError::Problem(problem))
    }
}

impl ApplyError {
    /// Names the entry, and the folder that it goes into.
    pub fn at(self, archive: &str, path: &[u8], target: &Path) -> UnpackError {
        let (archive, entry) = (archive.to_owned(), printable(path));
        match self {
            Self::Tar(error) => UnpackError::Tar(error),
            Self::Fill(FillError::Problem(problem)) => UnpackError::Entry {
                archive,
                entry,
                problem,
            },
            Self::Fill(FillError::Io { act, source }) => UnpackError::Write {
                archive,
                entry,
                target: target.to_owned(),
                act,
                source,
            },
        }
    }
}

/// Names the folder that is unpacked into.
pub(crate) fn target_error(target: &Path, error: FillError) -> UnpackError {
    let path = target.to_owned();
    match error {
        FillError::Io { act, source } => UnpackError::Target { path, act, source },
        FillError::Problem(problem) => UnpackError::Entry {
            archive: path.display().to_string(),
            entry: String::new(),
            problem,
        },
    }
}

#[cfg(test)]
mod tests;
