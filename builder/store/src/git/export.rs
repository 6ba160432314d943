//! From a commit to its export: one tar with the commit's tree, and those of its submodules.
//!
//! Everything lies in one folder, `NAME-SHORT/`, in the order of the names' bytes. Attributes such as
//! `export-ignore` and filters change nothing. What another system, or git itself, would understand as
//! something else than a file of the tree is refused.

use std::collections::BTreeMap;

use gix_hash::ObjectId;
use gix_object::tree::EntryKind;
use kiln_model::{CommitId, Digest, RepositoryUrl, SubmodulePath};

use crate::blob::{BlobInfo, BlobWriter};
use crate::git::error::{GitContentError, GitProblem};
use crate::git::modules;
use crate::git::objects::Objects;
use crate::git::tar::{END, Kind, MAX_SIZE, header, padding};

/// Longest path, and part of a path, in bytes: what Linux takes, with room for the folder that it is
/// unpacked into.
const MAX_PATH: usize = 3072;
const MAX_PART: usize = 255;

/// Deepest folder.
const MAX_DEPTH: usize = 128;

/// Most entries, submodules included.
const MAX_ENTRIES: u64 = 1_000_000;

/// Largest `.gitmodules`, in bytes.
const MAX_MODULES: usize = 1 << 20;

/// A submodule that has to be had to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gitlink {
    /// Where it lies in its parent.
    pub(super) path: SubmodulePath,
    /// Its address as it stands in `.gitmodules`.
    pub(super) url: String,
    /// Its commit.
    pub(super) commit: CommitId,
}

/// The archive that is being written.
pub(super) struct Archive {
    writer: BlobWriter,
    time: u32,
    /// Bytes that may still be written.
    room: u64,
    limit: u64,
    entries: u64,
}

impl Archive {
    /// Begins with the folder that holds everything.
    pub(super) fn new(
        writer: BlobWriter,
        time: u32,
        limit: u64,
        top: &str,
    ) -> Result<Self, GitProblem> {
        let mut archive = Self {
            writer,
            time,
            room: limit,
            limit,
            entries: 0,
        };
        archive.add(top.as_bytes(), Kind::Folder, &[])?;
        Ok(archive)
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// `Mismatch` when it has not the digest that is expected: then nothing of it is kept.
    pub(super) fn finish(mut self, expected: Option<&Digest>) -> Result<BlobInfo, GitProblem> {
        self.writer.append(&END)?;
        Ok(match expected {
            Some(expected) => self.writer.finish_expecting(expected)?,
            None => self.writer.finish()?,
        })
    }

    fn add(&mut self, path: &[u8], kind: Kind<'_>, content: &[u8]) -> Result<(), GitProblem> {
        let bytes = header(path, kind, self.time);
        let size = content.len() as u64;
        let zeros = padding(size);
        let taken = (bytes.len() + zeros) as u64 + size;
        self.entries += 1;
        self.room = self.room.saturating_sub(taken);
        if self.room == 0 || self.entries > MAX_ENTRIES || size > MAX_SIZE {
            return Err(refused(
                path,
                format!(
                    "the export would have more than {} bytes or {MAX_ENTRIES} entries",
                    self.limit
                ),
            ));
        }
        self.writer.append(&bytes)?;
        self.writer.append(content)?;
        self.writer.append(&[0; 512][..zeros])?;
        Ok(())
    }
}

fn refused(path: &[u8], reason: impl Into<String>) -> GitProblem {
    let shown: String = String::from_utf8_lossy(path).chars().take(200).collect();
    GitProblem::Content(GitContentError {
        path: shown.escape_debug().to_string(),
        reason: reason.into(),
    })
}

/// One repository's tree, on its way into the archive.
pub(super) struct Walk<'a> {
    pub(super) objects: &'a Objects,
    /// Who is asked for submodules; `None` leaves their folders empty.
    pub(super) submodules: Option<&'a mut dyn Follow>,
    /// Addresses by path, from `.gitmodules`.
    modules: BTreeMap<String, Vec<String>>,
}

/// Puts a submodule's tree into the archive.
pub(super) trait Follow {
    /// Does so, below `folder`.
    fn follow(
        &mut self,
        archive: &mut Archive,
        link: Gitlink,
        folder: &[u8],
    ) -> Result<(), GitProblem>;
}

impl<'a> Walk<'a> {
    /// Reads the commit's `.gitmodules`, if it matters.
    pub(super) fn new(
        objects: &'a Objects,
        tree: &ObjectId,
        submodules: Option<&'a mut dyn Follow>,
    ) -> Result<Self, GitProblem> {
        let modules = match submodules {
            Some(_) => read_modules(objects, tree)?,
            None => BTreeMap::new(),
        };
        Ok(Self {
            objects,
            submodules,
            modules,
        })
    }

    /// Adds a tree's entries below `folder`; `inside` is where it lies in its own repository.
    pub(super) fn add_tree(
        &mut self,
        archive: &mut Archive,
        tree: &ObjectId,
        (folder, inside): (&[u8], &[u8]),
        depth: usize,
    ) -> Result<(), GitProblem> {
        if depth > MAX_DEPTH {
            return Err(refused(
                inside,
                format!("it lies deeper than {MAX_DEPTH} folders"),
            ));
        }
        let entries = self.objects.tree(tree)?;
        let mut before: Option<&[u8]> = None;
        for entry in &entries {
            let path = joined(folder, &entry.name);
            let within = joined(inside, &entry.name);
            check_name(&entry.name, &path).map_err(|reason| refused(&within, reason))?;
            if before == Some(entry.name.as_slice()) {
                return Err(refused(&within, "two entries have this name"));
            }
            before = Some(&entry.name);
            match entry.kind {
                EntryKind::Tree => {
                    archive.add(&path, Kind::Folder, &[])?;
                    self.add_tree(archive, &entry.id, (&path, &within), depth + 1)?;
                }
                EntryKind::Blob | EntryKind::BlobExecutable => {
                    let content = self.objects.blob(&entry.id)?;
                    let kind = Kind::File {
                        size: content.len() as u64,
                        is_executable: entry.kind == EntryKind::BlobExecutable,
                    };
                    archive.add(&path, kind, &content)?;
                }
                EntryKind::Link => {
                    let target = self.objects.blob(&entry.id)?;
                    check_target(&target, &path).map_err(|reason| refused(&within, reason))?;
                    archive.add(&path, Kind::Link(&target), &[])?;
                }
                EntryKind::Commit => {
                    archive.add(&path, Kind::Folder, &[])?;
                    self.add_submodule(archive, &entry.id, (&path, &within))?;
                }
            }
        }
        Ok(())
    }

    fn add_submodule(
        &mut self,
        archive: &mut Archive,
        commit: &ObjectId,
        (path, within): (&[u8], &[u8]),
    ) -> Result<(), GitProblem> {
        let Some(follow) = self.submodules.as_deref_mut() else {
            return Ok(());
        };
        let text = std::str::from_utf8(within);
        let text = text.map_err(|_| refused(within, "the path of a submodule is no UTF-8"))?;
        let place: SubmodulePath = text
            .parse()
            .map_err(|error: kiln_model::GitError| refused(within, error.to_string()))?;
        let url = match self.modules.get(text).map(Vec::as_slice) {
            Some([url]) => url.clone(),
            Some([_, _, ..]) => {
                let reason = "`.gitmodules` has several submodules with this path";
                return Err(refused(within, reason));
            }
            _ => {
                let reason = "it is a submodule, and `.gitmodules` has no address for it; \
                              `submodules: false` leaves all of them out";
                return Err(refused(within, reason));
            }
        };
        let link = Gitlink {
            path: place,
            url,
            commit: commit.to_string().parse().expect("an object's name is one"),
        };
        follow.follow(archive, link, path)
    }
}

fn joined(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match folder {
        [] => name.to_vec(),
        folder => [folder, b"/", name].concat(),
    }
}

/// Names that would be something else than a file of this tree, here or for git.
fn check_name(name: &[u8], path: &[u8]) -> Result<(), String> {
    if name.is_empty() || name == b"." || name == b".." {
        return Err("its name is empty, `.` or `..`".to_owned());
    }
    if name.contains(&b'/') || name.contains(&0) {
        return Err("its name holds a slash or NUL".to_owned());
    }
    if name.eq_ignore_ascii_case(b".git") {
        return Err("it has the name of git's own folder".to_owned());
    }
    if name.len() > MAX_PART || path.len() > MAX_PATH {
        return Err(format!(
            "its path is too long: {} bytes, the name {}; at most {MAX_PATH} and {MAX_PART} are taken",
            path.len(),
            name.len()
        ));
    }
    Ok(())
}

/// A link stays in the tree: it may start with as many `..` as there are folders above it within the
/// export's own, and has none further on.
fn check_target(target: &[u8], path: &[u8]) -> Result<(), String> {
    let shown = || {
        String::from_utf8_lossy(target)
            .chars()
            .take(200)
            .collect::<String>()
    };
    if target.is_empty() || target.contains(&0) || target.len() > MAX_PATH {
        return Err("it is a link to nothing, or too far".to_owned());
    }
    if target.starts_with(b"/") {
        return Err(format!(
            "it is a link to the absolute path `{}`",
            shown().escape_debug()
        ));
    }
    // Its own name, and the top folder.
    let above = path.split(|byte| *byte == b'/').count().saturating_sub(2);
    let climbs = |part: &&[u8]| *part == b"..";
    let parts: Vec<&[u8]> = target.split(|byte| *byte == b'/').collect();
    let leading = parts.iter().take_while(|part| climbs(part)).count();
    let all = parts.iter().filter(|part| climbs(part)).count();
    if leading > above || all > leading {
        return Err(format!(
            "it is a link to `{}`, outside the tree",
            shown().escape_debug()
        ));
    }
    Ok(())
}

fn read_modules(
    objects: &Objects,
    tree: &ObjectId,
) -> Result<BTreeMap<String, Vec<String>>, GitProblem> {
    let name = b".gitmodules";
    let entries = objects.tree(tree)?;
    let Some(entry) = entries.iter().find(|entry| entry.name == name) else {
        return Ok(BTreeMap::new());
    };
    if !matches!(entry.kind, EntryKind::Blob | EntryKind::BlobExecutable) {
        return Err(refused(name, "it is no regular file"));
    }
    let bytes = objects.blob(&entry.id)?;
    if bytes.len() > MAX_MODULES {
        return Err(refused(
            name,
            format!("it has more than {MAX_MODULES} bytes"),
        ));
    }
    let text = String::from_utf8(bytes).map_err(|_| refused(name, "it is no UTF-8"))?;
    let modules = modules::parse(&text).map_err(|line| {
        refused(
            name,
            format!("line {line} is not of git's configuration format"),
        )
    })?;
    let mut addresses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for module in modules {
        if let (Some(path), Some(url)) = (module.path, module.url) {
            addresses.entry(path).or_default().push(url);
        }
    }
    Ok(addresses)
}

/// Returns the name of the folder that holds everything.
pub(super) fn top_folder(repository: &RepositoryUrl, commit: &CommitId) -> String {
    format!("{}-{}", repository.name(), commit.short())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_git_and_of_nothing_are_refused() {
        let check = |name: &str| check_name(name.as_bytes(), format!("x/{name}").as_bytes());
        for name in ["a", ".gitignore", "git", ".git2", "-x", "a b", "ä"] {
            assert_eq!(check(name), Ok(()), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a\0",
            ".git",
            ".GIT",
            ".gIt",
            &"n".repeat(256),
        ] {
            assert!(check(name).is_err(), "{name:?}");
        }
        assert!(check_name(b"a", "d/".repeat(1600).as_bytes()).is_err());
    }

    #[test]
    fn links_stay_in_the_tree() {
        let check = |path: &str, target: &str| check_target(target.as_bytes(), path.as_bytes());
        for (path, target) in [
            ("x-1/a", "b"),
            ("x-1/a", "b/c"),
            ("x-1/d/a", "../b"),
            ("x-1/d/e/a", "../../b"),
            ("x-1/a", "..b"),
        ] {
            assert_eq!(check(path, target), Ok(()), "{path} -> {target}");
        }
        for (path, target) in [
            ("x-1/a", ""),
            ("x-1/a", "/etc/passwd"),
            ("x-1/a", "../b"),
            ("x-1/d/a", "../../b"),
            ("x-1/d/a", "../b/../../c"),
            ("x-1/d/a", "b\0"),
        ] {
            assert!(check(path, target).is_err(), "{path} -> {target}");
        }
    }
}
