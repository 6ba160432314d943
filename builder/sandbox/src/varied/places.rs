//! Where a varied process finds its project and store: mounts in a namespace of its own.
//!
//! ```text
//! <stand>              a tmpfs over a folder that nothing here needs (/mnt, /media, …)
//!   exchange/          the folder that caller and process share
//!   files/             another file system, where one is asked for: project/ and store/ in it
//!   <long name>/       project/ and store/, where their place is to be another
//!   face/              the store with directories in another order
//! ```
//! Where the place is to be as the caller's, they are mounted over the caller's own.

use std::ffi::OsStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use kiln_model::{Factor, Level};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountFlags, mount, mount_bind_recursive};

use super::host::open_fuse;
use super::{Applied, Places, ProcessOrder};

/// Folders that may be covered; the first that exists and that nothing needed is below.
const STANDS: &[&str] = &["/mnt", "/media", "/srv", "/opt", "/boot", "/home"];
/// A place of another length than most; letters only, as a build must not care.
const LONG: &str = "verification/of/another/place/that-has-a-much-longer-name-than-any-project-\
                    that-a-person-would-ever-give-a-name-to";
/// Memory that a file system in memory needs to be of use, in bytes.
pub(super) const LEAST_MEMORY: u64 = 4 << 30;
/// Disk that a file system in a file needs to be of use, in bytes.
const LEAST_DISK: u64 = 4 << 30;
/// Largest file system in a file, in bytes; it is sparse.
const MOST_DISK: u64 = 64 << 30;
/// Where programs of the host are looked for.
const PROGRAMS: &[&str] = &["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"];
/// How long disorderfs may take to mount.
const MOUNT_TIME: Duration = Duration::from_secs(5);

/// Why the process can not be placed at all: one sentence.
pub(super) type Refusal = String;

/// The folder that mounts stand in, and what was done so far.
pub(super) struct Stand {
    pub(super) root: PathBuf,
    pub(super) exchange: PathBuf,
}

/// Returns a program of the host.
pub(super) fn program(name: &str) -> Option<PathBuf> {
    let mut places = PROGRAMS.iter().map(|folder| Path::new(folder).join(name));
    places.find(|path| path.is_file())
}

/// Mounts everything; the caller is alone in its mount namespace and has one thread.
pub(super) fn mount_places(
    order: &ProcessOrder,
    owner: Option<u32>,
    applied: &mut Applied,
) -> Result<Stand, Refusal> {
    let open = |path: &Path| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|error| format!("opening `{}`: {error}", path.display()))
    };
    let inputs = open(&order.inputs)?;
    let exchange_source = open(&order.exchange)?;
    let root = stand(order)?;
    new_mount("tmpfs", &root, "size=16m,mode=0755")?;
    let exchange = root.join("exchange");
    bind(&exchange_source, &exchange)?;
    let files = match order.variation.level(Factor::FileSystem) {
        Level::Tmpfs => other_files(applied, || in_memory(&root, &inputs)),
        Level::Loop => other_files(applied, || in_a_file(&root, &inputs, &order.exchange)),
        _ => None,
    };
    let files = match files {
        Some(folder) => open(&folder)?,
        None => inputs,
    };
    let part = |name: &str| open(&magic(&files).join(name));
    let (project, store) = (part("project")?, part("store")?);
    if let Some(owner) = owner {
        for folder in [&project, &store, &exchange_source] {
            give(&magic(folder), owner).map_err(|error| format!("chown: {error}"))?;
        }
    }
    applied.places = put(order, &root, (&project, &store), applied)?;
    Ok(Stand { root, exchange })
}

/// Mounts project and store where they are to be seen.
fn put(
    order: &ProcessOrder,
    root: &Path,
    (project, store): (&OwnedFd, &OwnedFd),
    applied: &mut Applied,
) -> Result<Places, Refusal> {
    let is_other = order.variation.level(Factor::HostPath) == Level::Other;
    let is_reachable = order.variation.level(Factor::User) == Level::AsHost
        || [&order.places.project, &order.places.store].map(|path| is_open(path)) == [true, true];
    let places = if is_other || !is_reachable {
        let below = root.join(if is_other { LONG } else { "p" });
        let places = Places {
            project: below.join("project"),
            store: below.join("store"),
        };
        let done = format!(
            "`{}`, {} bytes",
            places.store.display(),
            places.store.as_os_str().len()
        );
        applied.done.insert(Factor::HostPath, done);
        places
    } else {
        order.places.clone()
    };
    bind(project, &places.project)?;
    bind(store, &places.store)?;
    Ok(places)
}

/// Returns whether anybody may go there: every folder on the way can be passed by all.
fn is_open(path: &Path) -> bool {
    path.ancestors().skip(1).all(|folder| {
        folder
            .metadata()
            .is_ok_and(|found| found.mode() & 0o001 != 0)
    })
}

/// Chooses the folder to cover.
fn stand(order: &ProcessOrder) -> Result<PathBuf, Refusal> {
    let program = fs_err::read_link("/proc/self/exe").unwrap_or_default();
    let needed = [
        &order.inputs,
        &order.exchange,
        &order.places.project,
        &order.places.store,
        &program,
    ];
    let is_free = |path: &&&str| {
        let path = Path::new(**path);
        let is_folder = path.symlink_metadata().is_ok_and(|f| f.is_dir());
        is_folder && !needed.iter().any(|needed| needed.starts_with(path))
    };
    let found = STANDS.iter().find(is_free);
    found.map(PathBuf::from).ok_or_else(|| {
        format!(
            "none of {} is a folder that can be covered",
            STANDS.join(", ")
        )
    })
}

fn new_mount(kind: &str, place: &Path, options: &str) -> Result<(), Refusal> {
    let wrong = |error: String| format!("mounting a {kind} at `{}`: {error}", place.display());
    let options = std::ffi::CString::new(options).map_err(|error| wrong(error.to_string()))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    mount(kind, place, kind, flags, options.as_c_str()).map_err(|error| wrong(error.to_string()))
}

fn magic(handle: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", handle.as_raw_fd()))
}

fn bind(source: &OwnedFd, place: &Path) -> Result<(), Refusal> {
    let wrong = |error: String| format!("mounting `{}`: {error}", place.display());
    fs_err::create_dir_all(place).map_err(|error| wrong(error.to_string()))?;
    mount_bind_recursive(magic(source), place).map_err(|error| wrong(error.to_string()))
}

/// Notes down whether there is another file system, and which.
fn other_files(
    applied: &mut Applied,
    make: impl FnOnce() -> Result<(PathBuf, String), String>,
) -> Option<PathBuf> {
    match make() {
        Ok((folder, what)) => {
            applied.done.insert(Factor::FileSystem, what);
            Some(folder)
        }
        Err(reason) => {
            applied.refused.insert(Factor::FileSystem, reason);
            None
        }
    }
}

fn in_memory(root: &Path, inputs: &OwnedFd) -> Result<(PathBuf, String), String> {
    let free = free_memory().ok_or("/proc/meminfo does not say what is available")?;
    // The rest is for what runs.
    let size = free / 3 * 2;
    if size < LEAST_MEMORY {
        return Err(format!(
            "{} MiB of memory are available, and a file system in memory would need {}",
            free >> 20,
            (LEAST_MEMORY / 2 * 3) >> 20
        ));
    }
    let folder = root.join("files");
    make_folder(&folder)?;
    new_mount("tmpfs", &folder, &format!("size={size},mode=0755"))?;
    copy(&magic(inputs), &folder).map_err(|error| format!("copying the inputs: {error}"))?;
    Ok((folder, format!("tmpfs of {} MiB", size >> 20)))
}

fn in_a_file(root: &Path, inputs: &OwnedFd, exchange: &Path) -> Result<(PathBuf, String), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can mount a file system in a file".to_owned());
    }
    let missing = |name: &str| format!("this host has no `{name}`: install e2fsprogs and mount");
    let make = program("mkfs.ext4").ok_or_else(|| missing("mkfs.ext4"))?;
    let mount = program("mount").ok_or_else(|| missing("mount"))?;
    let space = rustix::fs::statvfs(exchange).map_err(|error| error.to_string())?;
    let size = (space.f_bavail.saturating_mul(space.f_frsize) / 3 * 2).min(MOST_DISK);
    if size < LEAST_DISK {
        return Err(format!("too little disk is free: {} MiB", size >> 20));
    }
    let image = exchange.join("disk.img");
    let file = fs_err::File::create(&image).map_err(|error| error.to_string())?;
    file.set_len(size).map_err(|error| error.to_string())?;
    // Without an index names are listed as they were written, not by a hash.
    let options = ["-q", "-F", "-O", "^dir_index,^has_journal", "-m", "0"];
    call(
        &make,
        &[&options.map(OsStr::new)[..], &[image.as_os_str()]].concat(),
    )?;
    let folder = root.join("files");
    make_folder(&folder)?;
    let options = ["-n", "-t", "ext4", "-o", "loop,nosuid,nodev"];
    let places = [image.as_os_str(), folder.as_os_str()];
    let mounted = call(
        &mount,
        &[&options.map(OsStr::new)[..], &places[..]].concat(),
    );
    // The kernel keeps what is mounted; the name is not needed.
    let _ = fs_err::remove_file(&image);
    mounted?;
    copy(&magic(inputs), &folder).map_err(|error| format!("copying the inputs: {error}"))?;
    Ok((
        folder,
        "ext4 without an index of directories, on a loop device".to_owned(),
    ))
}

/// Runs a program of the host to its end.
#[expect(clippy::disallowed_methods, reason = "sandbox is the room that spawns")]
fn call(program: &Path, arguments: &[&OsStr]) -> Result<(), String> {
    let name = program.display();
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`{name}` can not be run: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{name}` failed: {}", said.trim().escape_debug()))
}

/// Returns the bytes of memory that programs could still get.
pub(super) fn free_memory() -> Option<u64> {
    let text = fs_err::read_to_string("/proc/meminfo").ok()?;
    available(&text)
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let number: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

fn make_folder(path: &Path) -> Result<(), String> {
    fs_err::create_dir(path).map_err(|error| error.to_string())
}

/// Returns what is in a folder, by name.
#[expect(clippy::disallowed_methods, reason = "sorted at once")]
fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let found: Result<Vec<_>, _> = std::fs::read_dir(folder)?.collect();
    let mut paths: Vec<PathBuf> = found?.iter().map(std::fs::DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}

/// Copies folders, files and links, with their modes.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for source in entries(from)? {
        let target = to.join(source.file_name().unwrap_or_default());
        let found = fs_err::symlink_metadata(&source)?;
        if found.is_dir() {
            fs_err::create_dir(&target)?;
            copy(&source, &target)?;
            fs_err::set_permissions(&target, found.permissions())?;
        } else if found.is_symlink() {
            fs_err::os::unix::fs::symlink(fs_err::read_link(&source)?, &target)?;
        } else if found.is_file() {
            fs_err::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Gives a folder and everything in it to a user; files with other names are not ours alone and stay.
fn give(folder: &Path, owner: u32) -> std::io::Result<()> {
    std::os::unix::fs::chown(folder, Some(owner), Some(owner))?;
    for path in entries(folder)? {
        let found = fs_err::symlink_metadata(&path)?;
        if found.is_dir() {
            give(&path, owner)?;
        } else if found.nlink() == 1 {
            std::os::unix::fs::lchown(&path, Some(owner), Some(owner))?;
        }
    }
    Ok(())
}

/// Shows the store once more, with directories in another order, for as long as this process lives.
#[expect(clippy::disallowed_methods, reason = "sandbox is the room that spawns")]
pub(super) fn show_disordered(
    level: Level,
    stand: &Stand,
    store: &Path,
) -> Result<PathBuf, String> {
    let program = program("disorderfs").ok_or(
        "this host has no `disorderfs`: install the package of that name (Debian, Ubuntu)",
    )?;
    open_fuse()?;
    let face = stand.root.join("face");
    make_folder(&face)?;
    let many = match rustix::process::geteuid().is_root() {
        true => "--multi-user=yes",
        false => "--multi-user=no",
    };
    let order: &[&str] = match level {
        Level::Reversed => &["--sort-dirents=yes", "--reverse-dirents=yes"],
        _ => &["--shuffle-dirents=yes", "--reverse-dirents=no"],
    };
    let log = fs_err::File::create(stand.exchange.join("disorderfs.log"))
        .map_err(|error| error.to_string())?;
    let log = log.into_file();
    let errors = log.try_clone().map_err(|error| error.to_string())?;
    let mut daemon = Command::new(&program)
        .args(["-f", "--quiet", many, "--pad-blocks=0"])
        .args(order)
        .args([store, &face])
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("`{}` can not be run: {error}", program.display()))?;
    let device = |path: &Path| path.symlink_metadata().map(|found| found.dev()).ok();
    let before = device(&stand.root);
    let began = Instant::now();
    loop {
        if device(&face).is_some_and(|found| Some(found) != before) {
            return Ok(face);
        }
        let ended = daemon.try_wait().map_err(|error| error.to_string())?;
        if ended.is_some() || began.elapsed() > MOUNT_TIME {
            let _ = daemon.kill();
            let said = fs_err::read_to_string(stand.exchange.join("disorderfs.log"));
            let said = said.unwrap_or_default();
            return Err(format!(
                "disorderfs does not mount: {}",
                said.trim().escape_debug()
            ));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read() {
        for (text, expected) in [
            ("MemTotal: 9 kB\nMemAvailable:   2048 kB\n", Some(2 << 20)),
            ("MemTotal: 9 kB\n", None),
            ("MemAvailable: many kB\n", None),
            ("MemAvailable: 18446744073709551615 kB\n", None),
        ] {
            assert_eq!(available(text), expected, "{text}");
        }
    }

    #[test]
    fn a_copy_has_the_same_files_modes_and_links() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a"), folder.path().join("b"));
        fs_err::create_dir_all(from.join("d/e")).unwrap();
        fs_err::create_dir(&to).unwrap();
        fs_err::write(from.join("d/f"), "x").unwrap();
        let mode = std::fs::Permissions::from_mode(0o444);
        fs_err::set_permissions(from.join("d/f"), mode).unwrap();
        fs_err::os::unix::fs::symlink("nowhere", from.join("l")).unwrap();
        copy(&from, &to).unwrap();
        assert_eq!(fs_err::read_to_string(to.join("d/f")).unwrap(), "x");
        let mode = to.join("d/f").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o444);
        assert!(to.join("d/e").is_dir());
        assert_eq!(
            fs_err::read_link(to.join("l")).unwrap(),
            Path::new("nowhere")
        );
    }
}
