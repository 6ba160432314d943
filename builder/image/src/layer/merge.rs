//! The files of several packages as one tree, and the rules for what they share.
//!
//! Folders may be shared when mode and owner agree; files and links when they are the same. Of shared
//! entries the newest time counts, so that the order of packages does not.

use std::collections::BTreeMap;

use kiln_model::FilePattern;

use super::spool::{ContentId, Spool, Spools};
use super::{AssembleError, Claim, PathProblem};
use crate::deb::DataReader;
use crate::printable::printable;
use crate::tar_header::{Entry, EntryKind};
use crate::tar_write::NodeMetadata;

/// Top folders that are links into `/usr` since Debian 12 (usrmerge).
pub(super) const MERGED: [&str; 6] = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"];

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Directory,
    File(ContentId),
    Symlink(Vec<u8>),
}

impl Source {
    /// Returns the bytes of its content.
    pub(super) fn size(&self) -> u64 {
        match self {
            Self::File(content) => content.size(),
            Self::Directory | Self::Symlink(_) => 0,
        }
    }
}

/// One entry of the layer.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub source: Source,
    pub metadata: NodeMetadata,
    /// The package it came from; of several, the first.
    pub package: String,
}

impl Node {
    fn claim(&self) -> Claim {
        let NodeMetadata { mode, uid, gid, .. } = self.metadata;
        let what = match &self.source {
            Source::Directory => format!("a folder (mode {mode:o}, owner {uid}:{gid})"),
            Source::File(content) => {
                let size = content.size();
                format!("a file of {size} bytes (mode {mode:o}, owner {uid}:{gid})")
            }
            Source::Symlink(target) => format!("a link to `{}`", printable(target)),
        };
        Claim {
            package: self.package.clone(),
            what,
        }
    }
}

/// What became of a link that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LinkOutcome {
    Added,
    /// The same link is there already.
    Present,
    /// No package of this layer has its target.
    Elsewhere,
    Taken(Claim),
}

/// The tree.
#[derive(Debug)]
pub(super) struct Layer<'a> {
    exclude: &'a [FilePattern],
    nodes: BTreeMap<Vec<u8>, Node>,
    /// Folders that a pattern excludes: they come back if something below them stays.
    excluded: BTreeMap<Vec<u8>, Node>,
    /// The newest time of all entries: what kiln adds has it.
    newest: u32,
}

impl<'a> Layer<'a> {
    pub fn new(exclude: &'a [FilePattern]) -> Self {
        Self {
            exclude,
            nodes: BTreeMap::new(),
            excluded: BTreeMap::new(),
            newest: 0,
        }
    }

    /// Adds the files of one package.
    pub fn add_package(
        &mut self,
        files: PackageFiles<'_>,
        spools: &mut Spools,
    ) -> Result<(), AssembleError> {
        files
            .entries
            .into_iter()
            .try_for_each(|(path, node)| self.insert(path, node, spools))
    }

    /// Returns the entries, sorted by path.
    pub fn nodes(&self) -> impl Iterator<Item = (&[u8], &Node)> {
        self.nodes
            .iter()
            .map(|(path, node)| (path.as_slice(), node))
    }

    /// Returns what is at a path.
    pub fn node(&self, path: &[u8]) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// Puts something at a path where nothing is yet; keeps what is there.
    pub fn add_own(&mut self, path: &str, source: Source, mode: u32) {
        let metadata = NodeMetadata {
            mode,
            uid: 0,
            gid: 0,
            mtime: self.newest,
        };
        self.nodes
            .entry(path.as_bytes().to_vec())
            .or_insert_with(|| Node {
                source,
                metadata,
                package: KILN.to_owned(),
            });
    }

    /// Adds a link if its target is in the layer and nothing else is at its place.
    pub fn add_link(&mut self, place: &[u8], target: &[u8]) -> LinkOutcome {
        let place = merge_usr(place);
        if let Some(node) = self.nodes.get(&place) {
            if node.source == Source::Symlink(target.to_vec()) {
                return LinkOutcome::Present;
            }
            return LinkOutcome::Taken(node.claim());
        }
        if !self.nodes.contains_key(&resolve(&place, target)) {
            return LinkOutcome::Elsewhere;
        }
        let metadata = NodeMetadata {
            mode: 0o777,
            uid: 0,
            gid: 0,
            mtime: self.newest,
        };
        let node = Node {
            source: Source::Symlink(target.to_vec()),
            metadata,
            package: KILN.to_owned(),
        };
        self.nodes.insert(place, node);
        LinkOutcome::Added
    }

    /// Adds the folders above every entry that no package has, and checks that all are folders.
    pub fn add_parents(&mut self) -> Result<(), AssembleError> {
        let paths: Vec<Vec<u8>> = self.nodes.keys().cloned().collect();
        for path in paths {
            let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            for (end, _) in slashes {
                self.add_parent(&path, &path[..end])?;
            }
        }
        Ok(())
    }

    fn add_parent(&mut self, path: &[u8], parent: &[u8]) -> Result<(), AssembleError> {
        match self.nodes.get(parent) {
            Some(node) if node.source == Source::Directory => Ok(()),
            Some(node) => Err(AssembleError::Below {
                package: self.nodes[path].package.clone(),
                path: printable(path),
                parent: printable(parent),
                claim: Box::new(node.claim()),
            }),
            None => {
                let node = self.excluded.remove(parent).unwrap_or_else(|| Node {
                    source: Source::Directory,
                    metadata: NodeMetadata {
                        mode: 0o755,
                        uid: 0,
                        gid: 0,
                        mtime: self.newest,
                    },
                    package: self.nodes[path].package.clone(),
                });
                self.nodes.insert(parent.to_vec(), node);
                Ok(())
            }
        }
    }

    fn insert(
        &mut self,
        path: Vec<u8>,
        node: Node,
        spools: &mut Spools,
    ) -> Result<(), AssembleError> {
        self.newest = self.newest.max(node.metadata.mtime);
        let places = if node.source == Source::Directory && is_excluded(self.exclude, &path) {
            &mut self.excluded
        } else {
            &mut self.nodes
        };
        let Some(present) = places.get_mut(&path) else {
            places.insert(path, node);
            return Ok(());
        };
        let owned = |node: &Node| {
            let NodeMetadata { mode, uid, gid, .. } = node.metadata;
            (mode, uid, gid)
        };
        let is_same = owned(present) == owned(&node)
            && match (&present.source, &node.source) {
                (Source::File(one), Source::File(other)) => spools.is_same(*one, *other)?,
                (one, other) => one == other,
            };
        if !is_same {
            return Err(AssembleError::Conflict {
                path: printable(&path),
                claims: Box::new([present.claim(), node.claim()]),
            });
        }
        present.metadata.mtime = present.metadata.mtime.max(node.metadata.mtime);
        Ok(())
    }
}

/// Whose the entries are that kiln adds itself.
const KILN: &str = "kiln";

fn is_excluded(exclude: &[FilePattern], path: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(path) else {
        return false;
    };
    let absolute = format!("/{text}");
    exclude.iter().any(|pattern| pattern.matches(&absolute))
}

/// The files of one package, before they meet those of others: packages are read by several threads.
#[derive(Debug)]
pub(super) struct PackageFiles<'a> {
    exclude: &'a [FilePattern],
    name: &'a str,
    /// In the order of the package's archive.
    entries: Vec<(Vec<u8>, Node)>,
    /// Its regular files, for its hard links.
    files: BTreeMap<Vec<u8>, (ContentId, NodeMetadata)>,
}

impl<'a> PackageFiles<'a> {
    /// Starts with none.
    pub fn new(name: &'a str, exclude: &'a [FilePattern]) -> Self {
        Self {
            exclude,
            name,
            entries: Vec::new(),
            files: BTreeMap::new(),
        }
    }

    /// Adds one entry of the package's data archive.
    pub fn add(
        &mut self,
        entry: &Entry,
        reader: &mut DataReader<'_>,
        spool: &mut Spool,
    ) -> Result<(), AssembleError> {
        let Some(path) = normal_path(&entry.path) else {
            return Err(self.error(&entry.path, PathProblem::Outside));
        };
        if path.is_empty() || is_merging_link(entry) {
            return Ok(());
        }
        let mut metadata = NodeMetadata {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: u32::try_from(entry.mtime.max(0)).unwrap_or(u32::MAX),
        };
        let is_excluded = is_excluded(self.exclude, &path);
        let source = match &entry.kind {
            EntryKind::Directory => Source::Directory,
            EntryKind::Special(_) => return Ok(()),
            _ if is_excluded => return Ok(()),
            EntryKind::Symlink(target) => {
                metadata.mode = 0o777;
                Source::Symlink(target.clone())
            }
            EntryKind::HardLink(target) => {
                let file = normal_path(target).and_then(|target| self.files.get(&target));
                let Some((content, shared)) = file else {
                    let target = printable(target);
                    return Err(self.error(&entry.path, PathProblem::HardLink { target }));
                };
                metadata = *shared;
                Source::File(*content)
            }
            EntryKind::File => {
                spool.start();
                reader.for_each_chunk(&mut |chunk| {
                    spool.append(chunk).map_err(AssembleError::from)
                })?;
                Source::File(spool.finish())
            }
        };
        if let Source::File(content) = source {
            self.files.insert(path.clone(), (content, metadata));
        }
        let node = Node {
            source,
            metadata,
            package: self.name.to_owned(),
        };
        self.entries.push((path, node));
        Ok(())
    }

    fn error(&self, path: &[u8], problem: PathProblem) -> AssembleError {
        AssembleError::Path {
            package: self.name.to_owned(),
            path: printable(path),
            problem,
        }
    }
}

/// Returns the path without leading `./` and final `/`, merged into `/usr`; `None` if it has `..`.
fn normal_path(path: &[u8]) -> Option<Vec<u8>> {
    let mut components = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => return None,
            name => components.push(name),
        }
    }
    Some(merge_usr(&components.join(&b'/')))
}

/// Whether an entry is one of the links that merge a top folder into `/usr`: packages bring them since
/// Debian 13, and before that a script made them. Every base has them anyway.
fn is_merging_link(entry: &Entry) -> bool {
    let EntryKind::Symlink(target) = &entry.kind else {
        return false;
    };
    let path = entry.path.strip_prefix(b"./").unwrap_or(&entry.path);
    let is_merged = MERGED.iter().any(|top| top.as_bytes() == path);
    let target = target.strip_prefix(b"/").unwrap_or(target);
    is_merged && target.strip_prefix(b"usr/") == Some(path)
}

/// Puts what lies in one of the merged folders, or is one, into `/usr`.
fn merge_usr(path: &[u8]) -> Vec<u8> {
    let top = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    if MERGED.iter().any(|merged| merged.as_bytes() == top) {
        return [b"usr/", path].concat();
    }
    path.to_vec()
}

/// Returns the place that a link at `place` leads to, as far as names tell.
fn resolve(place: &[u8], target: &[u8]) -> Vec<u8> {
    let mut components: Vec<&[u8]> = Vec::new();
    if !target.starts_with(b"/") {
        components.extend(place.split(|byte| *byte == b'/'));
        components.pop();
    }
    for component in target.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop();
            }
            name => components.push(name),
        }
    }
    merge_usr(&components.join(&b'/'))
}
