//! A small project whose builds are broken in every way, and the judgement of what is left: nothing
//! corrupt, nothing lost that was told to be done, and a next run that needs no help and gives the same
//! bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use kiln_model::Digest;
use kiln_store::digests_in;
use serde_json::Value;
use walkdir::WalkDir;

use crate::bases::Base;
use crate::project::{BUILD_WITH_SUMS, Project, changed, demo_with_sums, files, outputs};
use crate::server::Server;
use crate::upstream::{self, tarball};

/// What nothing smaller would go all the ways of: a source is fetched, steps run, a package, a source
/// package, documents and a repository are made and published.
const TINY: &str = r#"schema: 1
name: tiny
version: "1.0"
release: 1
summary: One file
license: MIT
license-files: [LICENSE]
homepage: https://example.org/
identity: {supplier: Tiny people}
base: debian-12
sources:
  - url: ADDRESS
    sha256: "DIGEST"
    released: 2024-02-29
steps:
  use: none
  install: mkdir -p "$DESTDIR/usr/share/tiny" && cp text "$DESTDIR/usr/share/tiny/text"
  skip-check: there is nothing to check
packages:
  - name: tiny
    files: [/usr/share/tiny/text]
changelog:
  - date: 2024-03-01
    author: Tiny packagers <packagers@example.org>
    changes: [First build]
"#;

/// Folders of the store whose content a scene takes away again.
const FOLDERS: [&str; 10] = [
    "actions",
    "blobs/sha256",
    "kept",
    "locks",
    "outputs",
    "quarantine",
    "refs",
    "tmp",
    "trees",
    "blobs",
];

/// Folders of the store with records.
const RECORDS: [&str; 3] = ["actions", "refs", "outputs"];

pub struct Scene<'a> {
    pub project: Project<'a>,
    /// What the store has before each run: the base image, unpacked and packaged.
    seed: BTreeSet<PathBuf>,
    /// The records among it, which runs may write anew.
    seed_records: BTreeMap<PathBuf, Vec<u8>>,
    /// The sources' digests.
    pub sources: Vec<Digest>,
    /// What comes out when nobody disturbs.
    pub reference: BTreeMap<String, Digest>,
}

/// The lines that a run told programs.
#[derive(Debug, Default)]
pub struct Told {
    /// Work that was reported as built, or as cached.
    pub done: BTreeSet<String>,
    /// Work whose steps ran, once for each step.
    pub steps: Vec<String>,
    /// Files that were reported as fetched.
    pub fetched: BTreeSet<String>,
    /// What was set aside.
    pub set_aside: Vec<String>,
    /// What was waited for.
    pub waited: Vec<String>,
    pub exit: Option<u64>,
}

impl Told {
    /// Reads what a run told; a killed one's last line may be cut.
    pub fn parse(text: &str) -> Self {
        let mut told = Self::default();
        for line in text.lines() {
            let Ok(event) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            let work = || {
                let work = &event["work"];
                format!("{} {}", work["kind"], work["name"]).replace('"', "")
            };
            let name = || event["name"].as_str().unwrap_or_default().to_owned();
            match event["event"].as_str().unwrap_or_default() {
                "work-ended" if event["state"] == "built" || event["state"] == "cached" => {
                    told.done.insert(work());
                }
                "step-started" => {
                    let step = event["step"].as_str().unwrap_or_default();
                    told.steps.push(format!("{}: {step}", work()));
                }
                "fetched" => drop(told.fetched.insert(name())),
                "set-aside" => told.set_aside.push(name()),
                "waiting" => told.waited.push(name()),
                "finished" => told.exit = event["exit"].as_u64(),
                _ => {}
            }
        }
        told
    }

    /// Asserts that nothing is done again that `earlier` told to be done.
    fn check_nothing_lost(&self, earlier: &Self) {
        for step in &self.steps {
            let (work, _) = step.split_once(':').unwrap();
            assert!(!earlier.done.contains(work), "{step} was done already");
        }
        let again: Vec<_> = self.fetched.intersection(&earlier.fetched).collect();
        assert!(again.is_empty(), "fetched a second time: {again:?}");
    }
}

/// Writes a recipe like [`TINY`] of another name, and serves its source.
fn write_tiny(project: &Project<'_>, called: &str) -> Digest {
    let source = tarball(&[
        (&format!("{called}-1.0/LICENSE"), "Do as you like.\n"),
        (&format!("{called}-1.0/text"), "All there is.\n"),
    ]);
    let recipe = TINY.replace("tiny", called);
    project.write_recipe(called, &recipe, &format!("{called}-1.0.tar.gz"), &source);
    Digest::of(&source)
}

impl<'a> Scene<'a> {
    /// Makes a project with one recipe that puts one file into a package.
    pub fn new(base: &Base, server: &'a Server) -> Self {
        let project = Project::new(base, server, TINY);
        fs_err::remove_dir_all(project.root.join("recipes/demo")).unwrap();
        let source = write_tiny(&project, "tiny");
        Self::with(project, &[source])
    }

    /// Makes a project with a program, its library, and a library that it bundles.
    pub fn demo(base: &Base, server: &'a Server) -> Self {
        let recipe = changed(&demo_with_sums(), "  use: make\n", BUILD_WITH_SUMS);
        let project = Project::new(base, server, &recipe);
        project.write_sums();
        Self::with(
            project,
            &[upstream::demo(), upstream::sums()].map(|bytes| Digest::of(&bytes)),
        )
    }

    /// Makes a store that has the base image, unpacked and packaged, and builds once undisturbed.
    fn with(project: Project<'a>, sources: &[Digest]) -> Self {
        // Another package first: what is packaged of the base image is not of interest.
        write_tiny(&project, "other");
        project.done(&["lock"]);
        project.done(&["--out", "other", "build", "other"]);
        for name in ["recipes/other", "other"] {
            fs_err::remove_dir_all(project.root.join(name)).unwrap();
        }
        fs_err::remove_file(project.root.join("lockfiles/other-x86_64.lock")).unwrap();
        let mut scene = Self {
            project,
            seed: BTreeSet::new(),
            seed_records: BTreeMap::new(),
            sources: sources.to_vec(),
            reference: BTreeMap::new(),
        };
        // The sources come anew each time.
        for source in sources {
            fs_err::remove_file(scene.blob(source)).unwrap();
        }
        scene.seed = scene.listing();
        let records = scene.seed.iter().filter(|path| {
            let folder = path.parent().unwrap();
            RECORDS.iter().any(|record| folder.ends_with(record))
        });
        let read = |path: &PathBuf| (path.clone(), fs_err::read(path).unwrap());
        scene.seed_records = records.map(read).collect();
        scene.project.done(&["build"]);
        scene.reference = outputs(&scene.out());
        scene
    }

    pub fn out(&self) -> PathBuf {
        self.project.root.join("out")
    }

    pub fn blob(&self, digest: &Digest) -> PathBuf {
        let blobs = self.project.store().join("blobs/sha256");
        blobs.join(digest.to_hex())
    }

    /// Returns what runs made in a folder of the store.
    pub fn made(&self, folder: &str) -> Vec<PathBuf> {
        let found = children(&self.project.store().join(folder));
        found
            .into_iter()
            .filter(|path| !self.seed.contains(path))
            .collect()
    }

    fn listing(&self) -> BTreeSet<PathBuf> {
        let folders = FOLDERS.map(|folder| self.project.store().join(folder));
        let folders = folders.iter().filter(|folder| folder.is_dir());
        folders.flat_map(|folder| children(folder)).collect()
    }

    /// Returns kiln, about to build and to tell programs.
    pub fn command(&self) -> Command {
        let mut command = self.project.command();
        command.args(["--format=json", "build"]);
        command
    }

    /// Returns what a traced run told programs.
    pub fn told(&self) -> Told {
        Told::parse(&self.printed("stdout.txt"))
    }

    /// Returns what a traced run printed for people, or for programs.
    pub fn printed(&self, name: &str) -> String {
        let path = self.project.root.parent().unwrap().join(name);
        fs_err::read_to_string(path).unwrap_or_default()
    }

    /// Takes away what runs made.
    pub fn reset(&self) {
        for path in self.listing().difference(&self.seed) {
            if path.is_dir() {
                fs_err::remove_dir_all(path).unwrap();
            } else {
                fs_err::remove_file(path).unwrap();
            }
        }
        for (path, bytes) in &self.seed_records {
            if fs_err::read(path).ok().as_ref() != Some(bytes) {
                fs_err::write(path, bytes).unwrap();
            }
        }
        if self.out().exists() {
            fs_err::remove_dir_all(self.out()).unwrap();
        }
    }

    /// Asserts that whatever has a name is whole.
    pub fn check_whole(&self) {
        let store = self.project.store();
        for path in children(&store.join("blobs/sha256")) {
            if !self.seed.contains(&path) {
                let actual = Digest::of(&fs_err::read(&path).unwrap());
                assert_eq!(actual.to_hex(), name(&path), "a blob has its bytes");
            }
        }
        for folder in RECORDS {
            for path in children(&store.join(folder)) {
                self.check_record(&path);
            }
        }
        for path in children(&store.join("trees")) {
            if !self.seed.contains(&path) {
                check_tree(&path);
            }
        }
        assert_eq!(children(&store.join("quarantine")), [] as [PathBuf; 0]);
        for (name, path) in files(&self.out()) {
            if let Some(expected) = self.reference.get(&name) {
                let actual = Digest::of(&fs_err::read(path).unwrap());
                assert_eq!(actual, *expected, "{name} has its bytes");
            }
        }
    }

    /// A record is whole, and everything that it names is there.
    fn check_record(&self, path: &Path) {
        let bytes = fs_err::read(path).unwrap();
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        let (head, body) = (&bytes[..end], &bytes[end + 1..]);
        let stated = std::str::from_utf8(head).unwrap().rsplit(' ').next();
        assert_eq!(stated, Some(Digest::of(body).to_string().as_str()));
        if !path.parent().unwrap().ends_with("actions") {
            return;
        }
        // Its artifact's manifest, and everything that its value names but the key itself.
        let key = path.file_name().unwrap().to_string_lossy();
        for digest in digests_in(body) {
            if digest.to_hex() == key {
                continue;
            }
            let is_there = self.blob(&digest).is_file();
            assert!(is_there, "{digest} of {}", path.display());
        }
    }

    /// Asserts that a plain run now works, does nothing again that `earlier` told to be done, and gives
    /// the same bytes; takes everything away afterwards.
    pub fn check_next_run(&self, earlier: &Told) {
        let output = self.command().output().unwrap();
        let ended = self.project.ended(&output);
        assert_eq!(ended.code, Some(0), "the next run: {}", ended.stderr);
        let told = Told::parse(&ended.stdout);
        told.check_nothing_lost(earlier);
        assert_eq!(told.set_aside, [""; 0]);
        assert_eq!(outputs(&self.out()), self.reference, "the same bytes");
        self.check_whole();
        self.project.check_no_leftovers();
        assert_eq!(
            children(&self.project.store().join("locks")),
            [] as [PathBuf; 0]
        );
        let left: Vec<String> = files(&self.out()).into_keys().collect();
        let left = left.iter().filter(|name| name.contains(".kiln-"));
        assert_eq!(left.count(), 0, "nothing unfinished in out/");
    }
}

/// Returns a number that the caller of the tests gave.
#[expect(
    clippy::disallowed_methods,
    reason = "how `make test-durability` says how often"
)]
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// What is in a folder, sorted; nothing where it is missing.
pub fn children(folder: &Path) -> Vec<PathBuf> {
    let walk = WalkDir::new(folder).min_depth(1).max_depth(1);
    let found = walk.sort_by_file_name().into_iter();
    found.flatten().map(walkdir::DirEntry::into_path).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// A tree with a name is sealed, and has as many entries as its seal says.
fn check_tree(path: &Path) {
    let seal: Value =
        serde_json::from_slice(&fs_err::read(path.join("seal.json")).unwrap()).unwrap();
    assert_eq!(seal["diff-id"], format!("sha256:{}", name(path)));
    let entries = WalkDir::new(path.join("root")).min_depth(1);
    assert_eq!(seal["entries"], entries.into_iter().count());
}

/// The base image's tree, out of the way until this is dropped.
pub struct Packed {
    moved: PathBuf,
}

impl Drop for Packed {
    fn drop(&mut self) {
        // It was unpacked anew meanwhile.
        drop(fs_err::remove_dir_all(&self.moved));
    }
}

impl Scene<'_> {
    /// Takes the base image's tree away: the next run unpacks it from its layer.
    pub fn pack_base(&self, base: &Base) -> Packed {
        let tree = self.project.store().join("trees");
        let moved = self.project.root.join("moved");
        fs_err::rename(tree.join(base.lock.layer.0.to_hex()), &moved).unwrap();
        Packed { moved }
    }
}
