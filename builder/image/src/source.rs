//! Unpacks source archives: foreign bytes, pinned by digest but never trusted further.
//!
//! Stricter than any tar: only regular files, folders and links; no absolute names, no `..`, nothing
//! through a symbolic link, no link that leaves the tree. By induction no symbolic link in the tree
//! leads outside it: a target may start with as many `..` as there are real folders above the link,
//! and have none further on.
//!
//! Modes keep the owner's and everyone's read and execute bits, as unpacking with umask 022 would;
//! times are kept as whole seconds. Permissions, owners and attributes beyond that are dropped.

mod scan;

use std::io::{Chain, Cursor, Read};
use std::path::Path;

use rustix::fs::FileType;

use crate::compression::{Compression, decompress};
use crate::limits::UnpackLimits;
use crate::printable::printable;
use crate::rooted::{Existing, Follow, Parent, Rooted};
use crate::tar_header::{BLOCK, Entry, EntryKind, RawHeader};
use crate::tar_read::{TarError, TarReader};
use crate::unpack::{
    ApplyError, EntryProblem, UnpackError, check_components, copy_content, target_error,
};

pub use scan::{SourceScan, scan_source};

/// Bits that an unpacked file or folder may have.
const KEPT_MODE: u32 = 0o755;

/// Bits that it always has, so that a build can change it.
const OWNER_FILE: u32 = 0o600;

/// The same for folders.
const OWNER_FOLDER: u32 = 0o700;

/// Unpacks the source archive `name` into the empty folder `target`.
///
/// The compression is told by the first bytes. When everything lies below one top folder, that folder
/// is left out; otherwise the archive is unpacked as it is.
///
/// # Errors
/// `Format` when it is no tar archive of a known compression, `Tar` when it is damaged, cut off,
/// ambiguous or passes `limits`, `Entry` when an entry is refused, `Write` and `Target` when the
/// kernel refuses. What was unpacked so far stays.
pub fn unpack_source(
    archive: &mut dyn Read,
    name: &str,
    target: &Path,
    limits: UnpackLimits,
) -> Result<(), UnpackError> {
    let mut whole = checked(archive, name)?;
    let (_, stream) = decompress(&mut whole, limits).map_err(|source| read_error(name, source))?;
    let mut unpacker = SourceUnpacker {
        rooted: Rooted::open(target, Follow::Never).map_err(|e| target_error(target, e))?,
        leaves_top: None,
    };
    let mut reader = TarReader::new(stream, name, limits);
    while let Some(entry) = reader.next_entry()? {
        unpacker
            .apply(&mut reader, &entry)
            .map_err(|error| error.at(name, &entry.path, target))?;
    }
    unpacker.finish(name, target)
}

fn read_error(name: &str, source: std::io::Error) -> UnpackError {
    UnpackError::Tar(TarError::Read {
        archive: name.to_owned(),
        offset: 0,
        source,
    })
}

/// Looks at the first block, and returns the archive with it.
fn checked<'a>(
    archive: &'a mut dyn Read,
    name: &str,
) -> Result<Chain<Cursor<Vec<u8>>, &'a mut dyn Read>, UnpackError> {
    let mut first = Vec::new();
    archive
        .take(BLOCK as u64)
        .read_to_end(&mut first)
        .map_err(|source| read_error(name, source))?;
    check_format(name, &first)?;
    Ok(Cursor::new(first).chain(archive))
}

/// Refuses what is neither compressed in a known way nor starts like a tar archive.
fn check_format(name: &str, first: &[u8]) -> Result<(), UnpackError> {
    let is_tar = <&[u8; BLOCK]>::try_from(first)
        .is_ok_and(|block| block[257..].starts_with(b"ustar") || RawHeader::parse(block).is_ok());
    if Compression::detect(first) != Compression::None || is_tar {
        return Ok(());
    }
    Err(UnpackError::Format {
        archive: name.to_owned(),
        start: printable(&first[..first.len().min(16)]),
    })
}

struct SourceUnpacker {
    rooted: Rooted,
    /// The first symbolic link whose target leaves the top folder it is in, and the target.
    leaves_top: Option<(Vec<u8>, Vec<u8>)>,
}

impl SourceUnpacker {
    fn apply<R: Read>(
        &mut self,
        reader: &mut TarReader<R>,
        entry: &Entry,
    ) -> Result<(), ApplyError> {
        let components = strict_components(&entry.path)?;
        if let EntryKind::Special(kind) = entry.kind {
            return Err(EntryProblem::Special(kind).into());
        }
        let Some((name, parents)) = components.split_last() else {
            if entry.kind == EntryKind::Directory {
                let mode = entry.mode & KEPT_MODE | OWNER_FOLDER;
                return Ok(self.rooted.set_root(mode, entry.mtime)?);
            }
            return Err(EntryProblem::ParentNotDirectory.into());
        };
        let parent = self.rooted.parent(parents)?;
        let existing = Rooted::existing(&parent, name)?;
        match &entry.kind {
            EntryKind::Directory => {
                check_duplicate(existing, &entry.kind)?;
                let mode = entry.mode & KEPT_MODE | OWNER_FOLDER;
                self.rooted
                    .put_directory(&parent, name, mode, entry.mtime)?;
            }
            EntryKind::Symlink(target) => {
                self.check_link_target(&components, target, &entry.path)?;
                return self.put_symlink((&parent, name), existing, target, entry.mtime);
            }
            EntryKind::HardLink(target) => {
                check_duplicate(existing, &entry.kind)?;
                self.put_hard_link(&parent, &components, target)?;
            }
            _ => {
                check_duplicate(existing, &entry.kind)?;
                if existing.is_some() {
                    self.rooted.remove(&parent, name)?;
                }
                let mut file = self.rooted.create_file(&parent, name)?;
                copy_content(reader, &mut file)?;
                Rooted::finish_file(&file, entry.mode & KEPT_MODE | OWNER_FILE, entry.mtime)?;
            }
        }
        Ok(())
    }

    fn put_symlink(
        &mut self,
        place: (&Parent, &[u8]),
        existing: Option<Existing>,
        target: &[u8],
        mtime: i64,
    ) -> Result<(), ApplyError> {
        let (parent, name) = place;
        if let Some(existing) = existing {
            let is_same =
                existing.kind == FileType::Symlink && Rooted::link_target(parent, name)? == target;
            if is_same {
                return Ok(());
            }
            return Err(EntryProblem::Duplicate {
                first: describe(existing.kind),
                second: "another symbolic link",
            }
            .into());
        }
        Ok(self.rooted.put_symlink(parent, name, target, mtime)?)
    }

    fn put_hard_link(
        &mut self,
        parent: &Parent,
        components: &[&[u8]],
        target: &[u8],
    ) -> Result<(), ApplyError> {
        let target_components =
            strict_components(target).map_err(|_| EntryProblem::OutsideTarget {
                target: printable(target),
            })?;
        if target_components == components {
            return Err(EntryProblem::SelfLink.into());
        }
        let missing = || EntryProblem::MissingTarget {
            target: printable(target),
        };
        let (target_name, target_parents) = target_components.split_last().ok_or_else(missing)?;
        let target_parent = self.rooted.find(target_parents)?.ok_or_else(missing)?;
        let found = Rooted::existing(&target_parent, target_name)?.ok_or_else(missing)?;
        if found.kind != FileType::RegularFile {
            return Err(EntryProblem::TargetKind {
                target: printable(target),
            }
            .into());
        }
        let name = components.last().copied().unwrap_or_default();
        self.rooted
            .put_hard_link((&target_parent, target_name), parent, name)?;
        Ok(())
    }

    /// Refuses a target outside the tree, and remembers one outside its top folder.
    fn check_link_target(
        &mut self,
        components: &[&[u8]],
        target: &[u8],
        path: &[u8],
    ) -> Result<(), ApplyError> {
        let shown = || printable(target);
        if target.starts_with(b"/") {
            return Err(EntryProblem::AbsoluteTarget { target: shown() }.into());
        }
        if has_control(target) {
            return Err(EntryProblem::ControlCharacter.into());
        }
        let outside = || EntryProblem::OutsideTarget { target: shown() };
        let mut depth = components.len() - 1;
        let mut names = 0;
        for component in target.split(|byte| *byte == b'/') {
            match component {
                b"" | b"." => {}
                b".." if names > 0 || depth == 0 => return Err(outside().into()),
                b".." => depth -= 1,
                _ => names += 1,
            }
        }
        // `top/x -> ../top/y` stays within the top folder only while that keeps its name.
        if depth == 0 && components.len() > 1 && self.leaves_top.is_none() {
            self.leaves_top = Some((path.to_vec(), target.to_vec()));
        }
        Ok(())
    }

    fn finish(mut self, name: &str, target: &Path) -> Result<(), UnpackError> {
        let top = self
            .rooted
            .single_folder()
            .map_err(|error| target_error(target, error))?;
        if let Some(top) = top {
            if let Some((path, link_target)) = self.leaves_top.take() {
                let problem = EntryProblem::OutsideTarget {
                    target: printable(&link_target),
                };
                return Err(ApplyError::from(problem).at(name, &path, target));
            }
            self.rooted
                .strip(&top)
                .map_err(|error| target_error(target, error))?;
        }
        self.rooted
            .finish()
            .map_err(|error| target_error(target, error))
    }
}

fn has_control(name: &[u8]) -> bool {
    name.iter().any(u8::is_ascii_control)
}

/// Returns the components of a name that may stand in a source archive.
fn strict_components(path: &[u8]) -> Result<Vec<&[u8]>, ApplyError> {
    if path.starts_with(b"/") {
        return Err(EntryProblem::Absolute.into());
    }
    if has_control(path) {
        return Err(EntryProblem::ControlCharacter.into());
    }
    let mut components = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return Err(EntryProblem::DotDot.into()),
            name => components.push(name),
        }
    }
    check_components(&components)?;
    Ok(components)
}

const fn describe(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a folder",
        FileType::Symlink => "a symbolic link",
        _ => "a file",
    }
}

/// Refuses a name that came before, unless every unpacker does the same with it: a folder again, or
/// a file again that shares its content with no other name.
fn check_duplicate(existing: Option<Existing>, kind: &EntryKind) -> Result<(), ApplyError> {
    let Some(existing) = existing else {
        return Ok(());
    };
    let second = match kind {
        EntryKind::Directory if existing.kind == FileType::Directory => return Ok(()),
        EntryKind::File if existing.kind == FileType::RegularFile && existing.links == 1 => {
            return Ok(());
        }
        EntryKind::File if existing.links > 1 && existing.kind == FileType::RegularFile => {
            return Err(EntryProblem::Duplicate {
                first: "a file with hard links",
                second: "a file",
            }
            .into());
        }
        EntryKind::Directory => "a folder",
        EntryKind::HardLink(_) => "a hard link",
        EntryKind::Symlink(_) => "a symbolic link",
        EntryKind::File | EntryKind::Special(_) => "a file",
    };
    Err(EntryProblem::Duplicate {
        first: describe(existing.kind),
        second,
    }
    .into())
}

#[cfg(test)]
mod tests;
