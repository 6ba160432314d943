//! The base image that `make rpms` left in the repository's store, another one, and stores seeded with them.

#![expect(
    clippy::disallowed_methods,
    reason = "the program under test assembles a base image"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use kiln_model::{BaseLock, Digest, Lock as _};
use kiln_store::Store;
use walkdir::WalkDir;

/// The repository's base image: its lock, and where its blobs and its tree are.
pub struct Base {
    pub repository: PathBuf,
    pub lock: BaseLock,
}

impl Base {
    /// Finds the repository's base image, or says visibly that there is none.
    pub fn find() -> Option<Self> {
        let base = Self::locked("debian-12");
        if !base.is_there() {
            eprintln!("skipped: no base image in .kiln/store; run `make rpms` first");
            return None;
        }
        Some(base)
    }

    /// Finds the repository's other base image, which is assembled in its store if the packages can be had;
    /// says visibly if they can not.
    pub fn find_other() -> Option<Self> {
        let base = Self::locked("debian-13");
        if base.is_there() {
            return Some(base);
        }
        // A shell's sandbox needs the root file system, and nothing is built for its first step.
        let arguments = [
            "shell",
            "zlib",
            "--base",
            "debian-13",
            "--step",
            "prep",
            "--",
            "true",
        ];
        let output = Command::new(env!("CARGO_BIN_EXE_kiln"))
            .args(arguments)
            .current_dir(&base.repository)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        if !base.is_there() {
            let said = String::from_utf8_lossy(&output.stderr);
            eprintln!("skipped: debian-13 can not be assembled\n{said}");
            return None;
        }
        Some(base)
    }

    fn locked(name: &str) -> Self {
        let repository =
            fs_err::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap();
        let lock = repository.join(format!("lockfiles/{name}-x86_64.lock"));
        let lock = BaseLock::parse(&fs_err::read_to_string(lock).unwrap()).unwrap();
        Self { repository, lock }
    }

    fn is_there(&self) -> bool {
        let is_file = |digest: &Digest| self.blob(digest).is_file();
        let layers = [self.lock.manifest.0, self.lock.layer.0];
        self.tree().join("seal.json").is_file() && layers.iter().all(is_file)
    }

    /// Returns the repository's store.
    pub fn store(&self) -> PathBuf {
        self.repository.join(".kiln/store")
    }

    /// Returns the base's root file system, which must not be written to.
    pub fn root(&self) -> PathBuf {
        Store::open(&self.store())
            .unwrap()
            .tree(&self.lock.layer)
            .unwrap()
            .unwrap()
    }

    fn tree(&self) -> PathBuf {
        let hex = self.lock.layer.0.to_hex();
        self.store().join("trees").join(hex)
    }

    /// Returns where a blob of the repository's store is.
    pub fn blob(&self, digest: &Digest) -> PathBuf {
        self.store().join("blobs/sha256").join(digest.to_hex())
    }

    /// Returns the image's blobs: manifest, configuration, layer.
    pub fn blobs(&self) -> [Digest; 3] {
        let manifest = fs_err::read(self.blob(&self.lock.manifest.0)).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let config = manifest["config"]["digest"].as_str().unwrap();
        [
            self.lock.manifest.0,
            config.parse().unwrap(),
            self.lock.layer.0,
        ]
    }

    /// Makes a store in `folder` that has the base image, unpacked too, and nothing else.
    pub fn seed(&self, folder: &Path) {
        fs_err::create_dir_all(folder.parent().unwrap()).unwrap();
        drop(Store::open(folder).unwrap());
        self.add_to(folder);
    }

    /// Adds the base image to a store.
    pub fn add_to(&self, folder: &Path) {
        for digest in self.blobs() {
            link(
                &self.blob(&digest),
                &folder.join("blobs/sha256").join(digest.to_hex()),
            );
        }
        let tree = folder.join("trees").join(self.lock.layer.0.to_hex());
        link_tree(&self.tree(), &tree);
    }
}

/// Links a file or symbolic link, or copies it where the file systems differ.
fn link(from: &Path, to: &Path) {
    if fs_err::hard_link(from, to).is_ok() {
        return;
    }
    if from.is_symlink() {
        let target = fs_err::read_link(from).unwrap();
        fs_err::os::unix::fs::symlink(target, to).unwrap();
    } else {
        fs_err::copy(from, to).unwrap();
    }
}

/// Does what `cp -al` does: new folders with the same modes and times, the same files.
fn link_tree(from: &Path, to: &Path) {
    for entry in WalkDir::new(from).sort_by_file_name() {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs_err::create_dir(&target).unwrap();
        } else {
            link(entry.path(), &target);
        }
    }
    let folders = WalkDir::new(from).contents_first(true).sort_by_file_name();
    for entry in folders.into_iter().map(Result::unwrap) {
        if entry.file_type().is_dir() {
            let found = entry.metadata().unwrap();
            let target = to.join(entry.path().strip_prefix(from).unwrap());
            let mode = std::fs::Permissions::from_mode(found.permissions().mode());
            fs_err::set_permissions(&target, mode).unwrap();
            let target = fs_err::File::open(&target).unwrap();
            let modified = found.modified().unwrap();
            target.file().set_modified(modified).unwrap();
        }
    }
}
