//! A project in a temporary folder, the command run on it, and what came out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use kiln_model::Digest;
use tempfile::TempDir;
use walkdir::WalkDir;

use crate::bases::Base;
use crate::server::Server;
use crate::upstream;

/// Patience, not a limit on speed: what has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(180);

pub const DEMO: &str = r#"schema: 1
name: demo
version: "1.0"
release: 1
summary: A program and its library
license: MIT
license-files: [LICENSE]
homepage: https://example.org/
identity: {supplier: Demo people}
base: debian-12
sources:
  - url: ADDRESS
    sha256: "DIGEST"
    released: 2024-02-29
steps:
  use: make
packages:
  - name: demo
    requires: ["=libdemo"]
    files: [/usr/bin/demo]
  - name: libdemo
    summary: The library of a program
    files:
      - /usr/lib64/libdemo.so.*
  - name: libdemo-devel
    summary: Headers of the library of a program
    requires: ["=libdemo"]
    files:
      - /usr/include/demo.h
      - /usr/lib64/libdemo.so
      - /usr/lib64/libdemo.a
      - /usr/lib64/pkgconfig/demo.pc
changelog:
  - date: 2024-03-01
    author: Demo packagers <packagers@example.org>
    changes: [First build]
"#;

pub const SUMS: &str = r#"schema: 1
name: sums
version: "2.1"
release: 1
summary: Adds numbers
license: MIT
homepage: https://example.org/
identity: {supplier: Sums people}
base: debian-12
sources:
  - url: ADDRESS
    sha256: "DIGEST"
    released: 2024-01-01
steps:
  use: make
"#;

/// What makes demo carry `sums`: the library, and a package that claims its files.
pub fn demo_with_sums() -> String {
    let library = "libraries:\n  sums:\n    choice: bundle\n    link: shared\n    \
                   reason: a test\n    decided-by: testers\n    decided-on: 2024-03-01\n    \
                   review-by: 2034-03-01\nsteps:\n";
    changed(DEMO, "steps:\n", library).replace(
        "      - /usr/lib64/libdemo.so.*\n",
        "      - /usr/lib64/libdemo.so.*\n      - /usr/lib/demo/**\n",
    )
}

/// Makes demo's program link `sums`.
pub const BUILD_WITH_SUMS: &str = "  use: make\n  build: make -j\"$KILN_JOBS\" \
                                   DEFINES=-DWITH_SUMS DEMO_LIBS=-lsums\n";

/// Replaces one piece of a text that must be there.
pub fn changed(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in {text}");
    text.replacen(from, to, 1)
}

/// Replaces demo's preset by it and a script of the build step.
pub fn with_build(recipe: &str, script: &str) -> String {
    let lines: String = script.lines().map(|line| format!("    {line}\n")).collect();
    changed(
        recipe,
        "  use: make\n",
        &format!("  use: make\n  build: |\n{lines}"),
    )
}

pub struct Project<'a> {
    pub root: PathBuf,
    pub server: &'a Server,
    _folder: TempDir,
}

/// How a run of kiln ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl<'a> Project<'a> {
    /// Makes a project with the recipe `demo` and a store that has the base image.
    pub fn new(base: &Base, server: &'a Server, demo: &str) -> Self {
        Self::below(base, server, demo, "project")
    }

    /// Makes it below a temporary folder of its own.
    pub fn below(base: &Base, server: &'a Server, demo: &str, below: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(folder.path()).unwrap().join(below);
        let project = Self {
            root,
            server,
            _folder: folder,
        };
        let images = base.repository.join("base-images");
        for entry in WalkDir::new(&images).sort_by_file_name() {
            let entry = entry.unwrap();
            // Others would have to be locked, too.
            let is_other = entry.path().extension().is_some_and(|e| e == "yaml")
                && entry.file_name() != "debian-12.yaml";
            if entry.file_type().is_file() && !is_other {
                let path = entry.path().strip_prefix(&base.repository).unwrap();
                project.write(
                    &path.to_string_lossy(),
                    &fs_err::read(entry.path()).unwrap(),
                );
            }
        }
        let lock = "lockfiles/debian-12-x86_64.lock";
        project.write(lock, &fs_err::read(base.repository.join(lock)).unwrap());
        // Whoever asks an archive for anything is seen as well.
        let config = format!("[mirrors]\ndebian = [\"{}\"]\n", server.address("debian"));
        project.write("kiln.toml", config.as_bytes());
        project.write_demo(demo);
        base.seed(&project.store());
        project
    }

    pub fn store(&self) -> PathBuf {
        self.root.join(".kiln/store")
    }

    pub fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.root.join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, bytes).unwrap();
    }

    /// Writes the recipe `demo` and serves its source.
    pub fn write_demo(&self, recipe: &str) {
        self.write_recipe("demo", recipe, "demo-1.0.tar.gz", &upstream::demo());
    }

    /// Writes the recipe `sums` and serves its source.
    pub fn write_sums(&self) {
        self.write_recipe("sums", SUMS, "sums-2.1.tar.gz", &upstream::sums());
    }

    /// Writes a recipe of any name with the source of `sums`.
    pub fn write_like_sums(&self, name: &str, recipe: &str) {
        self.write_recipe(name, recipe, "sums-2.1.tar.gz", &upstream::sums());
    }

    /// Writes a recipe of any name with the source of `demo`.
    pub fn write_like_demo(&self, name: &str, recipe: &str) {
        self.write_recipe(name, recipe, "demo-1.0.tar.gz", &upstream::demo());
    }

    /// Writes a recipe of any name with any source, and serves it.
    pub fn write_recipe(&self, name: &str, recipe: &str, file: &str, source: &[u8]) {
        self.server.serve(file, source);
        let text = changed(recipe, "ADDRESS", &self.server.address(file));
        let text = changed(&text, "DIGEST", &Digest::of(source).to_hex());
        self.write(&format!("recipes/{name}/recipe.yaml"), text.as_bytes());
    }

    /// Returns kiln, ready to be given arguments, in a cleared environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test is started, and killed"
    )]
    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command
            .env_clear()
            .env("HOME", &self.root)
            .env("TMPDIR", self.root.parent().unwrap())
            .current_dir(&self.root)
            .stdin(Stdio::null());
        command
    }

    pub fn kiln(&self, arguments: &[&str]) -> Ended {
        self.ended(&self.command().args(arguments).output().unwrap())
    }

    /// Returns how a run ended, with the project's folder as `PROJECT`.
    pub fn ended(&self, output: &Output) -> Ended {
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes).replace(&*self.root.to_string_lossy(), "PROJECT")
        };
        Ended {
            code: output.status.code(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }

    /// Runs kiln and expects success.
    pub fn done(&self, arguments: &[&str]) -> Ended {
        let ended = self.kiln(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}\n{}", ended.stderr);
        ended
    }

    /// Runs kiln without progress and expects an exit code and exactly this on standard error.
    pub fn fails(&self, arguments: &[&str], code: i32, stderr: &str) {
        let ended = self.kiln(&[&["--quiet"], arguments].concat());
        assert_eq!(
            (ended.code, ended.stderr.as_str()),
            (Some(code), stderr),
            "{arguments:?}"
        );
    }

    /// Returns the names of the RPMs in `out/`.
    pub fn rpm_names(&self) -> Vec<String> {
        let folder = self.root.join("out/rpms");
        let files = files(&folder).into_keys();
        let rpms = files.filter(|name| name.ends_with(".rpm"));
        rpms.map(|name| name.replace("x86_64/", "")).collect()
    }

    /// Asserts that every blob has the bytes that it is named by and that nothing was set aside.
    /// Blobs that are linked to the repository's store are the base image.
    pub fn check_store(&self) {
        use std::os::unix::fs::MetadataExt as _;
        let blobs = self.store().join("blobs/sha256");
        for (name, path) in files(&blobs) {
            if fs_err::metadata(&path).unwrap().nlink() == 1 {
                let actual = Digest::of(&fs_err::read(&path).unwrap()).to_hex();
                assert_eq!(actual, name, "a blob has the bytes that it is named by");
            }
        }
        assert_eq!(
            entries(&self.store().join("quarantine")),
            0,
            "nothing was damaged"
        );
    }

    /// Asserts that no run left anything unfinished behind.
    pub fn check_no_leftovers(&self) {
        let tmp = self.store().join("tmp");
        let found: Vec<PathBuf> = WalkDir::new(&tmp)
            .min_depth(1)
            .sort_by_file_name()
            .into_iter()
            .map(|entry| entry.unwrap().into_path())
            .collect();
        assert_eq!(found, Vec::<PathBuf>::new(), "nothing unfinished stays");
    }
}

fn entries(folder: &Path) -> usize {
    WalkDir::new(folder).min_depth(1).into_iter().count()
}

/// Returns the files below a folder by relative path; none when it is missing.
pub fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let walk = WalkDir::new(folder).sort_by_file_name();
    let found = walk.into_iter().filter_map(Result::ok);
    found
        .filter(|entry| !entry.file_type().is_dir())
        .map(|entry| {
            let name = entry.path().strip_prefix(folder).unwrap();
            (name.to_string_lossy().into_owned(), entry.path().to_owned())
        })
        .collect()
}

/// Returns the digest of everything in an `out/` that must not depend on the run.
pub fn outputs(out: &Path) -> BTreeMap<String, Digest> {
    let is_compared = |name: &String| !name.starts_with("logs/") && !name.ends_with(".run.json");
    let found = files(out).into_iter().filter(|(name, _)| is_compared(name));
    let found: BTreeMap<String, Digest> = found
        .map(|(name, path)| (name, Digest::of(&fs_err::read(path).unwrap())))
        .collect();
    for kind in ["rpms/", "srpms/", "specs/", "sbom/", "provenance/"] {
        assert!(
            found.keys().any(|name| name.starts_with(kind)),
            "{kind} is in {}",
            out.display()
        );
    }
    found
}

/// Waits with patience until something is so.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "never came: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
