//! Keeps a step from filling the host's disk through its writable mounts.
//!
//! Those are plain folders of the host: without root and without quotas the kernel bounds nothing
//! there. So a thread looks while the step runs. What is free on the file system costs one system call
//! and is looked at all the time; how much the step itself took costs a walk over its folders, which is
//! done only when the file system has grown by so much that the step may be over its limit. A step
//! that writes faster than it is looked at is stopped a little later, which is what the reserve is for.
//!
//! The walk is done through handles that follow no link, beside a step that may change what it sees:
//! it can be misled about the step's own share, never about what is free.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use kiln_model::{Limits, MountAccess, SealedStep};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat, statvfs};

/// Folders deeper than this are not counted: each level holds a descriptor.
const DEEPEST: usize = 256;
/// Files that stay free as well: a disk without room for names is full too.
const LEAST_FILES: u64 = 4096;
/// Longest and shortest time between two looks.
const LOOKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_millis(20));
/// Bytes per second that no disk is filled faster with.
const FASTEST: u64 = 4 << 30;
/// A walk is done again after this time, or this many times its own, if nothing calls for it earlier:
/// somebody else may have freed what the step took.
const REPEAT: (Duration, u32) = (Duration::from_secs(30), 100);

/// Why a step is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Its writable mounts hold more than they may.
    Over,
    /// Too little is left where it writes.
    Short,
}

/// Watches until it is dropped; readable as soon as there is an excess.
#[derive(Debug)]
pub(crate) struct DiskWatch {
    shared: Arc<Shared>,
    /// Dropped to wake the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    waker: OwnedFd,
    excess: Mutex<Option<Excess>>,
    is_over: AtomicBool,
}

impl DiskWatch {
    /// Starts to watch the writable mounts of a step; a step that has none costs nothing.
    pub(crate) fn start(step: &SealedStep) -> io::Result<Self> {
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let shared = Arc::new(Shared {
            waker,
            excess: Mutex::new(None),
            is_over: AtomicBool::new(false),
        });
        let writable = step
            .mounts
            .iter()
            .filter(|mount| mount.access == MountAccess::ReadWrite);
        let folders: Vec<Folder> = writable
            .map(|mount| Folder::new(mount.source.clone()))
            .collect();
        let mut watch = Self {
            shared,
            end: None,
            thread: None,
        };
        if !folders.is_empty() {
            let (end, ended) = mpsc::channel();
            let shared = Arc::clone(&watch.shared);
            let mut looker = Looker {
                folders,
                limits: step.limits,
            };
            let look = move || {
                let mut pause = Duration::ZERO;
                while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                    match looker.look(&shared.is_over) {
                        Ok(next) => pause = next,
                        Err(excess) => return shared.tell(excess),
                    }
                }
            };
            let builder = std::thread::Builder::new().name("disk watch".to_owned());
            watch.thread = Some(builder.spawn(look)?);
            watch.end = Some(end);
        }
        Ok(watch)
    }

    /// Returns what was found, if anything was.
    pub(crate) fn excess(&self) -> Option<Excess> {
        let excess = self.shared.excess.lock();
        *excess.unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsFd for DiskWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.shared.waker.as_fd()
    }
}

impl Drop for DiskWatch {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, the step is over all the same.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn tell(&self, excess: Excess) {
        *self.excess.lock().unwrap_or_else(PoisonError::into_inner) = Some(excess);
        // The only failure is a counter near 2^64, which is readable already.
        let _ = rustix::io::write(&self.waker, &1_u64.to_ne_bytes());
    }
}

/// A writable mount, and what the last walk over it found.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// `None` before the first walk.
    walked: Option<Walked>,
}

#[derive(Debug, Clone, Copy)]
struct Walked {
    /// What the folder took then.
    bytes: u64,
    /// What was used of the whole file system then.
    used: u64,
    at: Instant,
    took: Duration,
}

impl Folder {
    const fn new(path: PathBuf) -> Self {
        Self { path, walked: None }
    }

    /// Returns the most that the folder can hold when this much of its file system is used, unless
    /// somebody else freed something.
    fn most(&self, used: u64) -> u64 {
        match &self.walked {
            None => used,
            Some(walked) => {
                let is_old = walked.at.elapsed() >= REPEAT.0.max(walked.took * REPEAT.1);
                if is_old {
                    used
                } else {
                    walked.bytes + used.saturating_sub(walked.used)
                }
            }
        }
    }

    fn walk(&mut self, used: u64, is_over: &AtomicBool) {
        let at = Instant::now();
        let bytes = bytes_below(&self.path, is_over);
        self.walked = Some(Walked {
            bytes,
            used,
            at,
            took: at.elapsed(),
        });
    }
}

struct Looker {
    folders: Vec<Folder>,
    limits: Limits,
}

impl Looker {
    /// Looks once; returns when to look again.
    fn look(&mut self, is_over: &AtomicBool) -> Result<Duration, Excess> {
        let mut room = u64::MAX;
        let mut used = Vec::new();
        for folder in &self.folders {
            let Ok(found) = statvfs(&folder.path) else {
                used.push(0);
                continue;
            };
            // File systems without a size say 0 blocks, those without inodes 0 files.
            if found.f_blocks > 0 && self.limits.reserve > 0 {
                let free = found.f_bavail.saturating_mul(found.f_frsize);
                let has_files = found.f_files == 0 || found.f_favail >= LEAST_FILES;
                if free < self.limits.reserve || !has_files {
                    return Err(Excess::Short);
                }
                room = room.min(free - self.limits.reserve);
            }
            let taken = found.f_blocks.saturating_sub(found.f_bfree);
            used.push(taken.saturating_mul(found.f_frsize));
        }
        let total = |most: &mut dyn FnMut(usize) -> u64| (0..used.len()).map(most).sum::<u64>();
        let most = total(&mut |index| self.folders[index].most(used[index]));
        if most > self.limits.disk {
            for (folder, used) in self.folders.iter_mut().zip(&used) {
                folder.walk(*used, is_over);
            }
            let walked = self.folders.iter().filter_map(|folder| folder.walked);
            let bytes: u64 = walked.map(|walked| walked.bytes).sum();
            if bytes > self.limits.disk {
                return Err(Excess::Over);
            }
            room = room.min(self.limits.disk - bytes);
        } else {
            room = room.min(self.limits.disk - most);
        }
        let until_full = Duration::from_millis(room / (FASTEST / 1000));
        Ok(until_full.clamp(LOOKS.1, LOOKS.0))
    }
}

/// Adds up the disk blocks of everything below a folder, holes not counted, until `is_over`.
fn bytes_below(folder: &Path, is_over: &AtomicBool) -> u64 {
    /// What a block of `st_blocks` is, whatever the file system's own are.
    const BLOCK: u64 = 512;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(root) = openat(CWD, folder, flags, Mode::empty()) else {
        return 0;
    };
    let Ok(device) = rustix::fs::fstat(&root).map(|found| found.st_dev) else {
        return 0;
    };
    let mut open: Vec<Dir> = Dir::new(root).into_iter().collect();
    let mut bytes = 0_u64;
    loop {
        let depth = open.len();
        let Some(dir) = open.last_mut() else { break };
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        // What vanishes or can not be read meanwhile is passed over.
        let Some(Ok(entry)) = dir.read() else {
            open.pop();
            continue;
        };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Ok(handle) = dir.fd() else { continue };
        let Ok(found) = statat(handle, name, AtFlags::SYMLINK_NOFOLLOW) else {
            continue;
        };
        // Names that share a file share its blocks.
        let blocks = u64::try_from(found.st_blocks).unwrap_or(0);
        let is_folder = FileType::from_raw_mode(found.st_mode) == FileType::Directory;
        let links = if is_folder { 1 } else { found.st_nlink.max(1) };
        bytes = bytes.saturating_add(blocks.saturating_mul(BLOCK) / links);
        if is_folder && found.st_dev == device && depth < DEEPEST {
            let below = openat(handle, name, flags, Mode::empty());
            open.extend(below.and_then(Dir::new));
        }
    }
    bytes
}

#[cfg(test)]
mod tests;
