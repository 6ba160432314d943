//! Two folders: which files both have, and what is in those that differ. What a folder is, whoever
//! asks says through [`Tree`]: nothing here reads one.

use std::collections::BTreeMap;
use std::io::{self, Read};

use crate::content;
use crate::difference::Change;
use crate::effort::Effort;
use crate::finder::{Comparison, Finder, Side};
use crate::printable::text_of;

/// What a path of a tree is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum TreeKind {
    /// A regular file.
    File {
        /// Its bytes.
        size: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link.
    Link {
        /// Where it points.
        target: Vec<u8>,
    },
    /// Something that is never opened: a FIFO, a socket, a device.
    Special {
        /// What it is: `FIFO`.
        kind: &'static str,
    },
}

/// One path of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// From the tree's root, without a leading slash.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: TreeKind,
    /// Permission bits, where they count.
    pub mode: Option<u32>,
}

/// A folder, as whoever reads it has it.
pub trait Tree {
    /// Returns everything in it, sorted by path; folders too.
    fn entries(&self) -> &[TreeEntry];

    /// Opens a regular file.
    ///
    /// # Errors
    /// What opening it fails with.
    fn open(&self, path: &[u8]) -> io::Result<Box<dyn Read + '_>>;
}

/// Says which file of a tree could not be read.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct TreeError {
    /// In which tree.
    pub side: Side,
    /// Which file.
    pub path: Vec<u8>,
    /// Why.
    pub error: io::Error,
}

/// Largest file that is held in memory to find where it differs.
pub const LARGEST_FILE: u64 = 2 << 30;

/// Compares two trees.
///
/// # Errors
/// [`TreeError`] for a file that can not be read: whether it differs is not known then.
pub fn compare_trees(
    left: &dyn Tree,
    right: &dyn Tree,
    effort: &Effort,
) -> Result<Comparison, TreeError> {
    let mut finder = Finder::new(effort);
    let by_path = |tree: &'_ dyn Tree| -> BTreeMap<Vec<u8>, TreeEntry> {
        let entries = tree.entries().iter();
        entries
            .map(|entry| (entry.path.clone(), entry.clone()))
            .collect()
    };
    let (left_entries, right_entries) = (by_path(left), by_path(right));
    let mut paths: Vec<&Vec<u8>> = left_entries.keys().chain(right_entries.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let mut missing: Option<(Side, &[u8])> = None;
    for path in paths {
        if finder.is_done() {
            break;
        }
        let pair = (left_entries.get(path), right_entries.get(path));
        let (side, only) = match pair {
            (Some(one), Some(two)) => {
                compare_entries(&mut finder, (left, one), (right, two))?;
                continue;
            }
            (Some(one), None) => (Side::Left, one),
            (None, Some(two)) => (Side::Right, two),
            (None, None) => continue,
        };
        // A folder that is on one side only is told once, not file by file.
        let is_inside = missing.is_some_and(|(known, folder)| {
            known == side
                && path
                    .strip_prefix(folder)
                    .is_some_and(|rest| rest.starts_with(b"/"))
        });
        if !is_inside {
            finder.only(side, "file", &text_of(path), &summary(only));
            if only.kind == TreeKind::Folder {
                missing = Some((side, path));
            }
        }
    }
    Ok(finder.finish())
}

fn summary(entry: &TreeEntry) -> String {
    match &entry.kind {
        TreeKind::File { size } => format!("file of {size} bytes"),
        TreeKind::Folder => "folder".to_owned(),
        TreeKind::Link { target } => format!("link to {}", text_of(target)),
        TreeKind::Special { kind } => (*kind).to_owned(),
    }
}

type Within<'a> = (&'a dyn Tree, &'a TreeEntry);

fn compare_entries(
    finder: &mut Finder,
    left: Within<'_>,
    right: Within<'_>,
) -> Result<(), TreeError> {
    let ((_, one), (_, two)) = (left, right);
    let mut outcome = Ok(());
    finder.within("file", &text_of(&one.path), |finder| {
        if let (Some(one), Some(two)) = (one.mode, two.mode) {
            finder.value(
                "field",
                "mode",
                &format!("{one:04o}"),
                &format!("{two:04o}"),
            );
        }
        match (&one.kind, &two.kind) {
            (TreeKind::File { .. }, TreeKind::File { .. }) => {
                outcome = compare_files(finder, left, right);
            }
            (TreeKind::Link { target }, TreeKind::Link { target: other }) => {
                finder.value("field", "target", &text_of(target), &text_of(other));
            }
            (one_kind, two_kind) if one_kind != two_kind => {
                finder.value("field", "type", &summary(one), &summary(two));
            }
            _ => {}
        }
    });
    outcome
}

fn open<'a>(side: Side, (tree, entry): Within<'a>) -> Result<Box<dyn Read + 'a>, TreeError> {
    let opened = tree.open(&entry.path);
    opened.map_err(|error| TreeError {
        side,
        path: entry.path.clone(),
        error,
    })
}

/// Reads two files in step, as `cmp` does; only where they differ is anything kept or parsed.
fn compare_files(
    finder: &mut Finder,
    left: Within<'_>,
    right: Within<'_>,
) -> Result<(), TreeError> {
    let size = |(_, entry): Within<'_>| match entry.kind {
        TreeKind::File { size } => size,
        _ => 0,
    };
    let path = left.1.path.clone();
    let named = |(side, error)| TreeError {
        side,
        path: path.clone(),
        error,
    };
    let is_large = size(left).max(size(right)) > LARGEST_FILE;
    if size(left) == size(right) || is_large {
        let (mut one, mut two) = (open(Side::Left, left)?, open(Side::Right, right)?);
        let Some(at) = first_difference(&mut one, &mut two).map_err(named)? else {
            return Ok(());
        };
        if is_large {
            finder.note(format!("larger than {LARGEST_FILE} bytes: not looked into"));
            let told = |side| format!("{} bytes", size(side));
            finder.within("byte", &format!("{at:#x}"), |finder| {
                finder.add(Change::Value {
                    left: format!("differs, {}", told(left)),
                    right: format!("differs, {}", told(right)),
                });
            });
            return Ok(());
        }
    }
    let whole = |side, within: Within<'_>| {
        let mut bytes = Vec::new();
        let mut reader = open(side, within)?.take(LARGEST_FILE);
        reader
            .read_to_end(&mut bytes)
            .map_err(|error| named((side, error)))?;
        Ok(bytes)
    };
    let (left, right) = (whole(Side::Left, left)?, whole(Side::Right, right)?);
    content::compare(finder, &left, &right);
    Ok(())
}

const BLOCK: usize = 256 << 10;

/// Returns where two streams differ first; `None` when they are the same. Costs what `cmp` costs:
/// nothing is parsed and nothing kept.
///
/// # Errors
/// What reading one of them fails with, and which.
pub fn first_difference(
    left: &mut dyn Read,
    right: &mut dyn Read,
) -> Result<Option<u64>, (Side, io::Error)> {
    let (mut one, mut two) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut at = 0_u64;
    loop {
        let read = content::fill(left, &mut one).map_err(|error| (Side::Left, error))?;
        let other = content::fill(right, &mut two).map_err(|error| (Side::Right, error))?;
        if one[..read] != two[..other] {
            let same = crate::printable::common_prefix(&one[..read], &two[..other]);
            return Ok(Some(at + same as u64));
        }
        if read == 0 {
            return Ok(None);
        }
        at += read as u64;
    }
}
