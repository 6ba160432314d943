//! What is compared: files and folders, looked at before they are opened, so that nothing is ever read
//! from a FIFO or a device.

use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use fs_err::os::unix::fs::OpenOptionsExt as _;
use kiln_compare::{LARGEST_FILE, Side, Tree, TreeEntry, TreeKind, first_difference};
use walkdir::WalkDir;

use crate::failure::Failure;

/// One of the two.
pub enum Input {
    File(WholeFile),
    Folder(Folder),
}

/// A regular file.
pub struct WholeFile {
    path: PathBuf,
    size: u64,
}

/// A folder and everything in it.
pub struct Folder {
    root: PathBuf,
    entries: Vec<TreeEntry>,
}

/// Most paths of a folder. The largest source trees have some hundred thousand.
const MOST_PATHS: usize = 4_000_000;

impl Input {
    /// Looks at a path that a person named. A symbolic link is what it points to.
    pub fn look(path: &Path) -> Result<Self, Failure> {
        let metadata = fs_err::metadata(path).map_err(|error| Failure::host(error.into()))?;
        let kind = metadata.file_type();
        if kind.is_dir() {
            return Folder::walk(path).map(Self::Folder);
        }
        if kind.is_file() {
            return Ok(Self::File(WholeFile {
                path: path.to_owned(),
                size: metadata.len(),
            }));
        }
        let text = format!(
            "`{}` is {}, which is never opened",
            path.display(),
            special(kind)
        );
        Err(Failure::usage(&text, "compare two files, or two folders"))
    }

    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "a file",
            Self::Folder(_) => "a folder",
        }
    }
}

fn special(kind: std::fs::FileType) -> &'static str {
    if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

/// Opens a regular file, and nothing that took its place: a FIFO does not block, a device is not read.
fn open(path: &Path, follow: Follow) -> io::Result<fs_err::File> {
    use rustix::fs::OFlags;
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    if follow == Follow::No {
        flags |= OFlags::NOFOLLOW;
    }
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let file = fs_err::OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other(format!(
            "{}: no regular file any more",
            path.display()
        ))),
    }
}

/// Whether the last part of a path may be a symbolic link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Follow {
    Yes,
    No,
}

impl WholeFile {
    /// Compares byte by byte, as `cmp` does.
    pub fn is_same_as(&self, other: &Self) -> Result<bool, Failure> {
        if self.size != other.size {
            return Ok(false);
        }
        let opened = |file: &Self| {
            open(&file.path, Follow::Yes).map_err(|error| Failure::host(error.into()))
        };
        let (mut one, mut two) = (opened(self)?, opened(other)?);
        let differing = first_difference(&mut one, &mut two);
        let differing = differing.map_err(|(side, error)| {
            let file = if side == Side::Left { self } else { other };
            Failure::compared(&error, &file.path)
        })?;
        Ok(differing.is_none())
    }

    /// Reads all of it.
    pub fn read(&self) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let file = open(&self.path, Follow::Yes).map_err(|error| Failure::host(error.into()))?;
        let read = file.take(LARGEST_FILE + 1).read_to_end(&mut bytes);
        let read = read.map_err(|error| Failure::host(error.into()))?;
        if read as u64 > LARGEST_FILE {
            let text = format!(
                "`{}` is larger than the {LARGEST_FILE} bytes that are looked into",
                self.path.display()
            );
            return Err(Failure::usage(
                &text,
                "`cmp` says where such files differ first",
            ));
        }
        Ok(bytes)
    }
}

impl Folder {
    fn walk(root: &Path) -> Result<Self, Failure> {
        let mut entries = Vec::new();
        let walk = WalkDir::new(root).min_depth(1).sort_by_file_name();
        for entry in walk {
            let entry = entry.map_err(|error| Failure::host(error.into()))?;
            let inner = entry.path().strip_prefix(root).unwrap_or(entry.path());
            let metadata = entry
                .metadata()
                .map_err(|error| Failure::host(error.into()))?;
            let kind = metadata.file_type();
            let kind = if kind.is_dir() {
                TreeKind::Folder
            } else if kind.is_file() {
                TreeKind::File {
                    size: metadata.len(),
                }
            } else if kind.is_symlink() {
                let target =
                    fs_err::read_link(entry.path()).map_err(|error| Failure::host(error.into()))?;
                TreeKind::Link {
                    target: target.into_os_string().into_vec(),
                }
            } else {
                TreeKind::Special {
                    kind: special(kind),
                }
            };
            let is_link = matches!(kind, TreeKind::Link { .. });
            entries.push(TreeEntry {
                path: inner.as_os_str().as_bytes().to_vec(),
                kind,
                mode: (!is_link).then(|| metadata.permissions().mode() & 0o7777),
            });
            if entries.len() > MOST_PATHS {
                let text = format!("`{}` has more than {MOST_PATHS} files", root.display());
                return Err(Failure::usage(&text, "compare folders in it"));
            }
        }
        Ok(Self {
            root: root.to_owned(),
            entries,
        })
    }

    fn has(&self, path: &str) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.path == path.as_bytes() && entry.kind == TreeKind::Folder)
    }

    fn retain_results(&mut self) -> usize {
        let before = self.entries.len();
        self.entries.retain(|entry| {
            let is_log = entry.path == b"logs" || entry.path.starts_with(b"logs/");
            !is_log && !entry.path.ends_with(b".run.json")
        });
        before - self.entries.len()
    }
}

/// Leaves out what tells of one run in two `out/` folders: logs and run records, which say when and
/// where something was built and always differ.
pub fn without_runs(mut left: Folder, mut right: Folder) -> (Folder, Folder, Option<String>) {
    let is_out = |folder: &Folder| folder.has("rpms") && folder.has("provenance");
    if !is_out(&left) || !is_out(&right) {
        return (left, right, None);
    }
    let dropped = left.retain_results() + right.retain_results();
    let remark = (dropped > 0).then(|| {
        "logs/ and *.run.json tell of one run, not of its results, and were left out".to_owned()
    });
    (left, right, remark)
}

impl Tree for Folder {
    fn entries(&self) -> &[TreeEntry] {
        &self.entries
    }

    fn open(&self, path: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        let path = self.root.join(std::ffi::OsStr::from_bytes(path));
        Ok(Box::new(open(&path, Follow::No)?))
    }
}
