//! Base images other than a recipe's own, and what they lack. The images are made here, by hand.

use std::path::Path;

use kiln_model::{
    Architecture, Digest, LOCK_FORMAT, Lock as _, LockedSource, ManifestDigest, RecipeLock, Sha512,
};
use kiln_store::Store;
use tempfile::TempDir;

use super::{RECIPE, kiln};

const HINT: &str = "hint: run `kiln lock` on a machine with network, and commit the file\n";

fn write(folder: &Path, path: &str, bytes: &[u8]) {
    let path = folder.join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, bytes).unwrap();
}

/// Returns an uncompressed tar of empty programs, and of links (`a -> b`).
fn programs(entries: &[&str]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(0);
        match entry.split_once(" -> ") {
            None => archive
                .append_data(&mut header, entry, [].as_slice())
                .unwrap(),
            Some((place, target)) => {
                header.set_entry_type(tar::EntryType::Symlink);
                archive.append_link(&mut header, place, target).unwrap();
            }
        }
    }
    archive.into_inner().unwrap()
}

/// Writes an OCI layout of one layer and returns the digest of its manifest.
fn layout(folder: &Path, name: &str, layer: &[u8]) -> Digest {
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        let path = format!("{name}/blobs/sha256/{}", digest.to_hex());
        write(folder, &path, bytes);
        format!(r#""digest":"{digest}","size":{}"#, bytes.len())
    };
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        Digest::of(layer)
    );
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json",{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar",{}}}]}}"#,
        blob(config.as_bytes()),
        blob(layer)
    );
    blob(manifest.as_bytes());
    let version = br#"{"imageLayoutVersion":"1.0.0"}"#;
    write(folder, &format!("{name}/oci-layout"), version);
    Digest::of(manifest.as_bytes())
}

/// The demo recipe, whose source is in the store, and a base image `other` of these programs beside its
/// own.
struct Scene {
    folder: TempDir,
    image: Digest,
}

impl Scene {
    fn new(entries: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let image = layout(root, "images/other", &programs(entries));
        let source = programs(&["demo-1.0/Makefile"]);
        let store = Store::open(&root.join(".kiln/store")).unwrap();
        let digest = store.write_blob(&source).unwrap();
        let pinned = "cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7";
        let recipe = RECIPE
            .replace(pinned, &digest.to_hex())
            .replace("demo-1.0.tar.gz", "demo-1.0.tar");
        write(root, "recipes/demo/recipe.yaml", recipe.as_bytes());
        let scene = Self { folder, image };
        scene.base("box", &format!("layout: box@{}", Digest::of(b"an image")));
        scene.base("other", &format!("dist: .o1\nlayout: images/other@{image}"));
        let lock = RecipeLock {
            format: LOCK_FORMAT,
            recipe: "demo".parse().unwrap(),
            architecture: Architecture::X86_64,
            base: "other".parse().unwrap(),
            base_manifest: ManifestDigest(image),
            sources: vec![LockedSource {
                url: "https://127.0.0.1:9/demo-1.0.tar".parse().unwrap(),
                sha256: digest,
                sha512: Some(Sha512::of(&source)),
                size: Some(source.len() as u64),
                git: None,
            }],
            tools: None,
        };
        let file = "lockfiles/other/demo-x86_64.lock";
        write(scene.root(), file, lock.encode().as_bytes());
        scene
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn base(&self, name: &str, origin: &str) {
        let text = format!("schema: 1\nname: {name}\n{origin}\n");
        let file = format!("base-images/{name}.yaml");
        write(self.root(), &file, text.as_bytes());
    }

    /// Expects an end and what is told on standard error.
    fn ends(&self, arguments: &[&str], code: i32, expected: &str) {
        let (actual, _, stderr) = kiln(self.root(), arguments);
        assert_eq!((actual, stderr.as_str()), (code, expected), "{arguments:?}");
    }

    /// Returns whether nothing was put into `out/`, not even a log.
    fn left_nothing(&self) -> bool {
        let out = self.root().join("out");
        let all = walkdir::WalkDir::new(out).sort_by_file_name();
        all.into_iter()
            .flatten()
            .all(|entry| entry.file_type().is_dir())
    }
}

#[test]
fn a_base_that_is_not_there_is_told_with_what_was_meant() {
    let scene = Scene::new(&[]);
    let expected = "error: no base image `othr`\n\nhint: did you mean `other`?\n";
    for verb in ["build", "plan", "check", "lock", "graph"] {
        scene.ends(&[verb, "--base", "othr"], 2, expected);
    }
    let expected = "error: no base image `fedora`\n\nhint: there are: box, other\n";
    scene.ends(&["build", "--base=fedora"], 2, expected);
}

#[test]
fn each_base_has_lockfiles_of_its_own() {
    let scene = Scene::new(&[]);
    let missing = |file: &str, option: &str| {
        format!(
            "error: no lockfile `PROJECT/lockfiles/{file}`\n\n{}",
            HINT.replace("kiln lock", &format!("kiln lock{option}"))
        )
    };
    let own = missing("demo-x86_64.lock", "");
    scene.ends(&["plan"], 2, &own);
    scene.ends(&["plan", "--base", "box"], 2, &own);
    scene.ends(&["plan", "--base", ""], 2, &own);
    let (code, stdout, stderr) = kiln(scene.root(), &["plan", "--base", "other"]);
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("demo"), "{stdout}");
    fs_err::remove_file(scene.root().join("lockfiles/other/demo-x86_64.lock")).unwrap();
    let other = missing("other/demo-x86_64.lock", " --base other");
    scene.ends(&["plan", "--base", "other"], 2, &other);
    // A recipe that is not built on another base needs no lockfile for it.
    scene.ends(&["check"], 1, &own);
}

#[test]
fn check_looks_at_the_lockfiles_of_every_base() {
    let scene = Scene::new(&[]);
    let image = Digest::of(b"another image");
    scene.base("other", &format!("layout: images/other@{image}"));
    let stale = format!(
        "error: lockfile `PROJECT/lockfiles/other/demo-x86_64.lock` is stale: it was made for another base \
         image\n  expected  {image}\n  actual    {}\n\n{}",
        scene.image,
        HINT.replace("kiln lock", "kiln lock --base other")
    );
    scene.ends(&["check", "--base", "other"], 1, &stale);
    let (code, _, stderr) = kiln(scene.root(), &["check"]);
    assert_eq!(code, 1);
    assert!(stderr.contains(&stale), "{stderr}");
}

/// Returns whether the host can not isolate, which is said before anything else; then says so.
fn is_skipped(scene: &Scene) -> bool {
    let (code, stdout, _) = kiln(scene.root(), &["doctor"]);
    if code != 0 {
        eprintln!("skipped: this host can not isolate\n{stdout}");
    }
    code != 0
}

#[test]
fn what_a_base_lacks_is_told_before_the_first_step() {
    let lacking = |entries: &[&str], lines: &str, rhel: &str, debian: &str| {
        let scene = Scene::new(entries);
        if is_skipped(&scene) {
            return;
        }
        let (code, _, stderr) = kiln(scene.root(), &["--quiet", "build", "--base", "other"]);
        let expected = format!(
            "error: demo: base image `other` lacks programs that it is built with\n{lines}\n\
             hint: nothing is added to a finished image: make one that has them (dnf or yum install {rhel}; \
             apt-get install {debian}) and name it in base-images/other.yaml\n"
        );
        assert_eq!(
            (code, stderr.as_str()),
            (2, expected.as_str()),
            "{entries:?}"
        );
        assert!(scene.left_nothing());
    };
    lacking(
        &["usr/bin/sh", "usr/bin/make", "usr/bin/find"],
        "  `rpmbuild` (packaging)\n",
        "rpm-build",
        "rpm",
    );
    lacking(
        &[
            "bin -> usr/bin",
            "usr/bin/bash",
            "usr/bin/sh -> bash",
            "usr/bin/rpmbuild",
            "usr/bin/make -> gone",
        ],
        "  `make` (the steps of make)\n  `find` (packaging)\n",
        "make findutils",
        "make findutils",
    );
    lacking(
        &["usr/share/empty"],
        "  `sh` (every step)\n  `make` (the steps of make)\n  `rpmbuild` (packaging)\n  `find` (packaging)\n",
        "bash make rpm-build findutils",
        "dash make rpm findutils",
    );
}

#[test]
fn a_registrys_image_is_built_on_when_the_store_has_it() {
    let scene = Scene::new(&["usr/bin/sh", "usr/bin/find"]);
    if is_skipped(&scene) {
        return;
    }
    let lacks = "error: demo: base image `other` lacks programs that it is built with\n";
    let build = || kiln(scene.root(), &["--quiet", "build", "--base", "other"]);
    // Takes the image into the store.
    let (_, _, stderr) = build();
    assert!(stderr.starts_with(lacks), "{stderr}");
    let image = format!("registry.example/other@{}", scene.image);
    scene.base("other", &format!("image: {image}"));
    let (_, _, stderr) = build();
    assert!(stderr.starts_with(lacks), "{stderr}");
    scene.ends(&["check", "--base", "other"], 0, "");
    // By an index and the manifest in it.
    let index = format!("registry.example/other@{}", Digest::of(b"an index"));
    let origin = format!("image: {index}\nmanifests: {{x86_64: \"{}\"}}", scene.image);
    scene.base("other", &origin);
    let (_, _, stderr) = build();
    assert!(stderr.starts_with(lacks), "{stderr}");
    // Another one is not there, and no connection is tried.
    scene.base("other", &format!("image: {index}"));
    let expected = format!(
        "error: base image `other` is not in the store, and this kiln pulls no images from registries\n  \
         image     {index}\n  manifest  {}\n\n\
         hint: where there is a network: `skopeo copy docker://{index} oci:images/other`; then say \
         `layout: images/other@sha256:…` instead of `image` in base-images/other.yaml, with the digest that \
         images/other/index.json names\n",
        Digest::of(b"an index")
    );
    scene.ends(&["lock", "--base", "other"], 2, &expected);
    assert!(scene.left_nothing());
}
