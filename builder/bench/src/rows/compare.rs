//! `compare`: two folders with the same files, compared; beside `sha256sum` over both.
//!
//! Files are those of the base image's packages in the store: many small ones and some large. Both sides
//! read every byte of both folders from memory, where the copies have just been written. `sha256sum` is
//! what people compare sets by; kiln compares memory and hashes nothing.

use std::path::Path;

use crate::command::{command, run};
use crate::error::BenchError;
use crate::figure::{Figure, in_turn};
use crate::setting::{Setting, ratio};

/// Bytes of each set. Some seconds of hashing, and both sets stay in memory.
const BYTES: u64 = 1 << 30;

/// Files that are copied at most: the time to open files is measured too.
const FILES: usize = 20_000;

/// Measures it.
pub fn measure(setting: &Setting) -> Result<Vec<Figure>, BenchError> {
    let folder = setting.folder("compare")?;
    let (left, right) = (folder.join("left"), folder.join("right"));
    let bytes = copy_blobs(&setting.store.join("blobs/sha256"), &left, &right)?;
    let pair = in_turn(
        setting.runs,
        || {
            let mut kiln = command(&setting.kiln);
            Ok(run(kiln.arg("diff").arg(&left).arg(&right))?.elapsed)
        },
        || {
            let mut hash = command("sh");
            hash.args([
                "-c",
                "find \"$1\" \"$2\" -type f -print0 | xargs -0 sha256sum",
                "sh",
            ]);
            Ok(run(hash.arg(&left).arg(&right))?.elapsed)
        },
    )?;
    crate::seed::remove(&folder)?;
    let what = format!("two identical folders of {} MiB", bytes >> 20);
    let peer = "`sha256sum` over both";
    Ok(vec![ratio("compare", &what, peer, pair, setting.runs, 1.2)])
}

/// Copies blobs of the store twice; links would be read once.
fn copy_blobs(blobs: &Path, left: &Path, right: &Path) -> Result<u64, BenchError> {
    fs_err::create_dir_all(left)?;
    fs_err::create_dir_all(right)?;
    let mut bytes = 0;
    let walk = walkdir::WalkDir::new(blobs)
        .min_depth(1)
        .sort_by_file_name();
    for entry in walk.into_iter().flatten().take(FILES) {
        let size = entry.metadata().map_or(0, |metadata| metadata.len());
        if !entry.file_type().is_file() || bytes + size > BYTES {
            continue;
        }
        for side in [left, right] {
            fs_err::copy(entry.path(), side.join(entry.file_name()))?;
        }
        bytes += size;
    }
    match bytes {
        0 => Err(BenchError::skipped(
            "the store has no blobs yet; run `make rpms` first",
        )),
        bytes => Ok(bytes),
    }
}
