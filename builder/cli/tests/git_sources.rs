//! The command on recipes whose sources are commits of a real git server: unpinned, locked, moved, gone.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::path::PathBuf;
use std::process::{Command, Stdio};

use kiln_model::{Digest, Lock as _, RecipeLock};
use kiln_testkit::git::{GitServer, Repository, Versions};
use tempfile::TempDir;

const RECIPE: &str = r#"schema: 1
name: demo
version: "1.0"
release: 1
summary: A demo
license: Zlib
homepage: https://example.org/
identity: {supplier: Demo people}
base: box
sources:
  - git: ADDRESS
    tag: v1.0
steps: {use: make}
packages:
  - name: demo
    files: [/usr/bin/demo]
"#;

struct Scene {
    folder: TempDir,
    server: GitServer,
    demo: Repository,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let served = folder.path().join("served");
        fs_err::create_dir_all(&served).unwrap();
        let demo = Repository::new(&served, "demo");
        demo.write("Makefile", "all:\n");
        demo.commit("one");
        demo.tag("v1.0");
        let scene = Self {
            server: GitServer::start(&served, Versions::All),
            demo,
            folder,
        };
        let image = Digest::of(b"an image");
        let base = format!("schema: 1\nname: box\nlayout: box@{image}\n");
        scene.write("base-images/box.yaml", &base);
        scene.write_recipe("demo", RECIPE);
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("project").join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }

    fn write_recipe(&self, name: &str, text: &str) {
        let text = text.replace("ADDRESS", &self.server.url("demo"));
        self.write(&format!("recipes/{name}/recipe.yaml"), &text);
    }

    /// Runs kiln; returns its exit code, standard output and standard error.
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test is started"
    )]
    fn kiln(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_kiln"))
            .env_clear()
            .env("HOME", self.folder.path())
            .current_dir(self.path(""))
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.replace(&self.server.base, "SERVER")
        };
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    }

    fn done(&self, arguments: &[&str]) -> (String, String) {
        let (code, stdout, stderr) = self.kiln(arguments);
        assert_eq!(code, Some(0), "{arguments:?}: {stdout}{stderr}");
        (stdout, stderr)
    }

    fn lockfile(&self) -> PathBuf {
        self.path("lockfiles/demo-x86_64.lock")
    }

    fn lock(&self) -> RecipeLock {
        RecipeLock::parse(&fs_err::read_to_string(self.lockfile()).unwrap()).unwrap()
    }
}

/// Returns the one event of a kind.
fn event(stdout: &str, kind: &str) -> serde_json::Value {
    let events = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let mut found = events.filter(|event: &serde_json::Value| event["event"] == kind);
    found.next().unwrap()
}

#[test]
fn an_unpinned_recipe_is_checked_planned_and_left_out() {
    let scene = Scene::new();
    scene.done(&["check"]);
    let lacks = "demo: lacks the commit of tag v1.0 in SERVER/demo.git";
    let (stdout, _) = scene.done(&["plan"]);
    assert!(
        stdout.starts_with(&format!("unpinned {lacks}\n")),
        "{stdout}"
    );
    let (stdout, _) = scene.done(&["plan", "demo"]);
    assert!(stdout.contains(lacks), "{stdout}");
    let (stdout, _) = scene.done(&["plan", "--format", "json"]);
    let plan = event(&stdout, "plan");
    assert_eq!(plan["unpinned"][0]["recipe"], "demo");
    assert_eq!(
        plan["unpinned"][0]["missing"][0],
        "the commit of tag v1.0 in SERVER/demo.git"
    );
    scene.done(&["graph"]);
    let (stdout, _) = scene.done(&["build"]);
    assert!(
        stdout.contains(&format!("unpinned   {lacks}\n")),
        "{stdout}"
    );
    // What is named can not be left out, and neither can what bundles it.
    let (code, _, stderr) = scene.kiln(&["--quiet", "build", "demo"]);
    assert_eq!(code, Some(2));
    let expected = "error: recipe `demo` is unpinned: it lacks the commit of tag v1.0 in \
                    SERVER/demo.git\n  --> recipes/demo/recipe.yaml:11:10\n";
    assert!(stderr.starts_with(expected), "{stderr}");
    assert!(stderr.contains("hint: run `kiln lock demo`"), "{stderr}");
    let consumer = RECIPE
        .replace("name: demo", "name: outer")
        .replace("bin/demo", "bin/outer")
        .replace(
            "steps:",
            "libraries:\n  demo: {choice: bundle, link: static}\nsteps:",
        );
    let consumer = consumer.replace(
        "  - git: ADDRESS\n    tag: v1.0\n",
        &format!(
            "  - url: https://example.org/x.tar\n    sha256: \"{}\"\n    released: 2020-01-01\n",
            Digest::of(b"x").to_hex()
        ),
    );
    scene.write_recipe("outer", &consumer);
    let (code, _, stderr) = scene.kiln(&["--quiet", "build", "outer"]);
    assert_eq!(code, Some(2));
    let expected =
        "error: recipe `outer` bundles demo, which is unpinned: it lacks the commit of tag v1.0";
    assert!(stderr.starts_with(expected), "{stderr}");
    let (stdout, _) = scene.done(&["build", "--format", "json"]);
    let summary = event(&stdout, "summary");
    let names: Vec<&str> = summary["unpinned"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["recipe"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["demo", "outer"]);
    assert_eq!(summary["unpinned"][1]["because-of"], "demo");
}

#[test]
fn a_lock_for_another_base_image_pins_the_commit_there() {
    let scene = Scene::new();
    let image = Digest::of(b"another image");
    let other = format!("schema: 1\nname: other\nlayout: other@{image}\n");
    scene.write("base-images/other.yaml", &other);
    scene.done(&["lock", "--base", "other"]);
    let there = scene.path("lockfiles/other/demo-x86_64.lock");
    assert!(there.exists() && !scene.lockfile().exists());
    let unpinned = |arguments: &[&str]| scene.done(arguments).0.contains("unpinned demo");
    assert!(unpinned(&["plan"]));
    assert!(!unpinned(&["plan", "--base", "other"]));
    // Sources are the same on all: what one lockfile pins, another one's kiln takes.
    scene.done(&["lock"]);
    let first = scene.lock().sources;
    fs_err::remove_file(&there).unwrap();
    scene.demo.write("Makefile", "all: # news\n");
    scene.demo.commit("two");
    scene.demo.git(&["tag", "--force", "v1.0"]);
    scene.done(&["lock", "--base", "other"]);
    let again = RecipeLock::parse(&fs_err::read_to_string(there).unwrap()).unwrap();
    assert_eq!(again.sources, first);
}

#[test]
fn a_lock_pins_the_commit_and_stays_when_the_tag_moves() {
    let scene = Scene::new();
    scene.done(&["lock"]);
    let first = scene.demo.git(&["rev-parse", "HEAD"]);
    let lock = scene.lock();
    let [source] = lock.sources.as_slice() else {
        panic!("{lock:?}")
    };
    assert_eq!(source.url.git().unwrap().commit().as_str(), first);
    assert_eq!(source.url.file_name(), format!("demo-{}.tar", &first[..12]));
    let text = fs_err::read_to_string(scene.path("recipes/demo/recipe.yaml")).unwrap();
    assert!(!text.contains(&first), "recipes are never edited");
    let locked = fs_err::read(scene.lockfile()).unwrap();
    let (_, stderr) = scene.done(&["lock"]);
    assert!(
        stderr.contains("unchanged") && !stderr.contains("moved"),
        "{stderr}"
    );
    // The export is a source like any other.
    let blob = scene
        .path(".kiln/store/blobs/sha256")
        .join(source.sha256.to_hex());
    assert_eq!(Digest::of(&fs_err::read(blob).unwrap()), source.sha256);
    scene.demo.write("Makefile", "all: other\n");
    let second = scene.demo.commit("two");
    scene.demo.tag("v1.0");
    let (_, stderr) = scene.done(&["lock"]);
    let note = format!("tag v1.0 of SERVER/demo.git moved from {first} to {second}");
    assert!(stderr.contains(&note), "{stderr}");
    assert_eq!(fs_err::read(scene.lockfile()).unwrap(), locked);
    let (stdout, _) = scene.done(&["--format", "json", "lock"]);
    assert!(stdout.contains("\"kind\":\"tag-moved\""), "{stdout}");
    let (_, stderr) = scene.done(&["lock", "--update"]);
    assert!(stderr.contains(&note), "{stderr}");
    let commit = |lock: &RecipeLock| lock.sources[0].url.git().unwrap().commit().to_string();
    assert_eq!(commit(&scene.lock()), second);
    // A recipe that asks for something else has a stale lock, with its place.
    let recipe = RECIPE.replace("v1.0\n", "v1.0\n    submodules: false\n");
    scene.write_recipe("demo", &recipe);
    let (code, _, stderr) = scene.kiln(&["check"]);
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("stale") && stderr.contains("recipe.yaml:13:17"),
        "{stderr}"
    );
    let recipe = RECIPE.replace("v1.0\n", &format!("v1.0\n    commit: {first}\n"));
    scene.write_recipe("demo", &recipe);
    let (_, stderr) = scene.done(&["lock", "demo"]);
    assert!(stderr.contains("the first one stays"), "{stderr}");
    assert_eq!(commit(&scene.lock()), first);
}

#[test]
fn a_source_that_can_not_be_reached_keeps_nobody_else_from_being_locked() {
    let scene = Scene::new();
    let missing = RECIPE
        .replace("name: demo", "name: absent")
        .replace("demo.git", "absent.git")
        .replace("bin/demo", "bin/absent")
        .replace("ADDRESS", &scene.server.url("absent"));
    scene.write_recipe("absent", &missing);
    let (_, stderr) = scene.done(&["lock"]);
    let note = "absent: stays unpinned: no place gave tag `v1.0` of SERVER/absent.git; \
                SERVER/absent.git: the server answered 404 (Not Found)";
    assert!(stderr.contains(note), "{stderr}");
    assert!(scene.lockfile().exists());
    // Who is named has to be locked.
    let (code, _, stderr) = scene.kiln(&["--quiet", "lock", "absent"]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.starts_with("error: no place gave tag `v1.0`"),
        "{stderr}"
    );
    let (_, stderr) = scene.done(&["--offline", "lock"]);
    assert!(stderr.contains("the network is switched off"), "{stderr}");
    // A lockfile that nobody can read is told, and is no reason to leave anything out.
    fs_err::write(scene.lockfile(), "format = 99\n").unwrap();
    let (code, _, stderr) = scene.kiln(&["--quiet", "build"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("has format 99"), "{stderr}");
}

#[test]
fn a_file_without_a_digest_is_locked_as_it_comes() {
    let scene = Scene::new();
    // A file that a git server sends as well.
    let url = format!("{}/demo.git/HEAD", scene.server.base);
    let recipe = RECIPE.replace(
        "  - git: ADDRESS\n    tag: v1.0\n",
        &format!("  - url: {url}\n    released: 2020-01-01\n"),
    );
    scene.write_recipe("demo", &recipe);
    let (stdout, _) = scene.done(&["plan"]);
    assert!(
        stdout.contains("lacks the digest of SERVER/demo.git/HEAD"),
        "{stdout}"
    );
    let digest = Digest::of(b"ref: refs/heads/main\n");
    let (_, stderr) = scene.done(&["lock"]);
    assert!(stderr.contains(&digest.to_string()), "{stderr}");
    assert_eq!(scene.lock().sources[0].sha256, digest);
    let (stdout, _) = scene.done(&["check"]);
    assert!(!stdout.contains("unpinned"), "{stdout}");
}
