//! What is counted, and when a look finds an excess.

use super::*;

/// Writes a file with that many bytes that are really there.
fn fill(path: &Path, bytes: usize) {
    fs_err::write(path, vec![1; bytes]).unwrap();
    // Blocks are told only of what was given a place.
    fs_err::File::open(path).unwrap().sync_all().unwrap();
}

fn limits(disk: u64, reserve: u64) -> Limits {
    Limits {
        memory: 1,
        processes: 1,
        wall_time: Duration::ZERO,
        log: 1,
        scratch: 1,
        disk,
        reserve,
    }
}

fn look(folder: &Path, limits: Limits) -> Result<Duration, Excess> {
    let folders = vec![Folder::new(folder.to_owned())];
    Looker { folders, limits }.look(&AtomicBool::new(false))
}

#[test]
fn blocks_are_counted_once_without_holes_and_without_following_links() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fill(&elsewhere.path().join("large"), 8 << 20);
    let root = folder.path();
    fs_err::create_dir(root.join("deep")).unwrap();
    fill(&root.join("deep/one"), 1 << 20);
    fs_err::hard_link(root.join("deep/one"), root.join("same")).unwrap();
    fs_err::os::unix::fs::symlink(elsewhere.path(), root.join("link")).unwrap();
    let sparse = fs_err::File::create(root.join("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    let counted = bytes_below(root, &AtomicBool::new(false));
    assert!((1 << 20..2 << 20).contains(&counted), "{counted}");
    assert_eq!(bytes_below(root, &AtomicBool::new(true)), 0, "it was over");
    assert_eq!(bytes_below(&root.join("link"), &AtomicBool::new(false)), 0);
}

#[test]
fn an_excess_is_the_folders_own_or_the_file_systems() {
    let folder = tempfile::tempdir().unwrap();
    fill(&folder.path().join("file"), 4 << 20);
    let fits = look(folder.path(), limits(1 << 50, 0)).unwrap();
    assert_eq!(fits, LOOKS.0);
    let nearly = look(folder.path(), limits(5 << 20, 0)).unwrap();
    assert_eq!(nearly, LOOKS.1, "what is nearly full is looked at often");
    let over = look(folder.path(), limits(3 << 20, 0));
    assert_eq!(over, Err(Excess::Over));
    let short = look(folder.path(), limits(1 << 50, 1 << 60));
    assert_eq!(short, Err(Excess::Short));
}

#[test]
fn a_walk_is_done_only_when_the_disk_grew_enough() {
    let mut folder = Folder::new(PathBuf::from("/nowhere"));
    assert_eq!(folder.most(700), 700, "all of the disk may be its own");
    folder.walked = Some(Walked {
        bytes: 10,
        used: 700,
        at: Instant::now(),
        took: Duration::ZERO,
    });
    for (used, expected) in [(700, 10), (720, 30), (600, 10)] {
        assert_eq!(folder.most(used), expected, "{used}");
    }
}
