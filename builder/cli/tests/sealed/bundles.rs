//! Bundles of a real project: written, taken up, checked, imported, built from, and refused.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use kiln_image::write_image;
use kiln_model::{Architecture, DiffId};
use kiln_store::Store;

use crate::bases::Base;
use crate::project::{
    BUILD_WITH_SUMS, DEMO, Ended, Project, changed, demo_with_sums, files, outputs, wait_until,
};
use crate::server::Server;

/// A project with two recipes, one of them bundled by the other.
fn project<'a>(base: &Base, server: &'a Server) -> Project<'a> {
    let project = Project::new(base, server, DEMO);
    project.write_sums();
    let recipe = changed(&demo_with_sums(), "  use: make\n", BUILD_WITH_SUMS);
    project.write_demo(&recipe);
    project.write("Makefile", b"rpms:\n\t.kiln/kiln build\n");
    project.done(&["lock"]);
    project
}

/// The same on a base image of one small file: enough for everything but building.
pub fn small_project<'a>(base: &Base, server: &'a Server) -> Project<'a> {
    let on_box = |recipe: &str| changed(recipe, "base: debian-12", "base: box");
    let project = Project::new(base, server, &on_box(DEMO));
    let image = Store::open(&project.root.join("box")).unwrap();
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(10);
    let added = layer.append_data(&mut header, "sh", &b"#!/no/sh\n\n"[..]);
    added.unwrap();
    let layer = image.write_blob(&layer.into_inner().unwrap()).unwrap();
    let manifest = write_image(&image, &[DiffId(layer)], Architecture::X86_64).unwrap();
    let text = format!("schema: 1\nname: box\nlayout: box@{manifest}\n");
    project.write("base-images/box.yaml", text.as_bytes());
    project.done(&["lock"]);
    project
}

pub fn export(project: &Project<'_>, name: &str) -> PathBuf {
    project.done(&["bundle", "export", name]);
    project.root.join(name)
}

fn bundle_digest(ended: &Ended) -> String {
    let mut lines = ended.stdout.lines();
    let line = lines.find_map(|line| line.strip_prefix("bundle     "));
    line.unwrap().to_owned()
}

/// Returns how kiln ended in a folder of its own, with nothing else than what it is told.
fn elsewhere(project: &Project<'_>, folder: &Path, arguments: &[&str]) -> Ended {
    let mut command = project.command();
    command.current_dir(folder).args(arguments);
    project.ended(&command.output().unwrap())
}

#[test]
fn slow_a_bundle_is_the_same_whoever_writes_it_and_builds_the_same() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = project(&base, &server);
    let first = project.done(&["bundle", "export", "one.tar"]);
    project.done(&["build"]);
    // Results in the store, another place and another user's habits change nothing.
    let mut command = project.command();
    command.args(["bundle", "export", "two.tar"]);
    let second = project.ended(&command.env("TZ", "Asia/Tokyo").output().unwrap());
    assert_eq!(bundle_digest(&first), bundle_digest(&second));
    let [one, two] =
        ["one.tar", "two.tar"].map(|name| fs_err::read(project.root.join(name)).unwrap());
    assert!(one == two, "the same bytes");
    let checked = project.done(&["bundle", "check", "one.tar"]);
    assert_eq!(bundle_digest(&checked), bundle_digest(&first));

    let other = tempfile::tempdir().unwrap();
    let file = project.root.join("one.tar");
    let file = file.to_str().unwrap();
    let digest = bundle_digest(&first);
    let import = [
        "bundle", "import", file, "--into", "there", "--expect", &digest,
    ];
    let imported = elsewhere(&project, other.path(), &import);
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    let there = other.path().join("there");
    let built = elsewhere(&project, &there, &["--offline", "build"]);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    assert_eq!(
        outputs(&there.join("out")),
        outputs(&project.root.join("out"))
    );
    // The project that came out of it makes the same bundle again.
    let again = elsewhere(
        &project,
        &there,
        &["--offline", "bundle", "export", "again.tar"],
    );
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert!(
        fs_err::read(there.join("again.tar")).unwrap() == one,
        "the same bytes"
    );
    let once_more = elsewhere(&project, other.path(), &import);
    assert_eq!(once_more.code, Some(2));
    assert!(
        once_more.stderr.contains("it is not empty: it holds `"),
        "{}",
        once_more.stderr
    );
}

#[test]
fn slow_a_bundle_of_one_recipe_builds_that_one_by_default() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = small_project(&base, &server);
    let recipe = project.root.join("recipes/demo/recipe.yaml");
    let recipe = fs_err::read_to_string(recipe).unwrap();
    let other = recipe
        .replace("demo", "other")
        .replace("other-1.0.tar", "demo-1.0.tar");
    project.write("recipes/other/recipe.yaml", other.as_bytes());
    let mut config = fs_err::read_to_string(project.root.join("kiln.toml")).unwrap();
    config.push_str("\n# What is built.\n[build]\ndefault = [\"demo\", \"other\"]\n");
    project.write("kiln.toml", config.as_bytes());
    project.done(&["bundle", "export", "demo.tar", "demo"]);
    let there = tempfile::tempdir().unwrap();
    let file = project.root.join("demo.tar");
    let import = [
        "bundle",
        "import",
        file.to_str().unwrap(),
        "--into",
        "there",
    ];
    let imported = elsewhere(&project, there.path(), &import);
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    let there = there.path().join("there");
    let settings = fs_err::read_to_string(there.join("kiln.toml")).unwrap();
    let expected = "# What is built.\n[build]\ndefault = [\"demo\"]\n";
    assert!(settings.ends_with(expected), "{settings}");
    let planned = elsewhere(&project, &there, &["--offline", "plan"]);
    assert_eq!(planned.code, Some(0), "{}", planned.stderr);
}

#[test]
fn slow_an_export_goes_on_where_it_ended() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = small_project(&base, &server);
    let whole = fs_err::read(export(&project, "whole.tar")).unwrap();
    let partial = project.root.join("again.tar.partial");
    // Cut within the last members, cut at nothing, and damaged in the index.
    let mut damaged = whole.clone();
    damaged[2000] ^= 1;
    let most = whole.len() - 2000;
    // What a kiln that was killed leaves: all of the length, and not all of the content.
    let mut holed = whole.clone();
    holed[9000..1_000_000].fill(0);
    for (start, is_resumed) in [
        (&whole[..most], true),
        (&whole[..100], false),
        (&damaged[..most], true),
        (&holed, true),
    ] {
        fs_err::write(&partial, start).unwrap();
        let ended = project.done(&["bundle", "export", "again.tar"]);
        assert_eq!(
            ended.stdout.contains("went on    after "),
            is_resumed,
            "{}",
            ended.stdout
        );
        assert!(fs_err::read(project.root.join("again.tar")).unwrap() == whole);
        assert!(!partial.exists());
    }
    // A kiln that is killed leaves a beginning, and no file.
    let mut command = project.command();
    let mut child = command
        .args(["--quiet", "bundle", "export", "killed.tar"])
        .spawn()
        .unwrap();
    let partial = project.root.join("killed.tar.partial");
    wait_until("the export writes", || {
        // The room is there at once, the first big member soon.
        let mut some = [0; 4096];
        let file = fs_err::File::open(&partial);
        let read = file.and_then(|file| file.file().read_at(&mut some, 1 << 20));
        read.is_ok_and(|count| some[..count].iter().any(|byte| *byte != 0))
            || child.try_wait().unwrap().is_some()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    project.done(&["bundle", "export", "killed.tar"]);
    assert!(fs_err::read(project.root.join("killed.tar")).unwrap() == whole);
    project.check_store();
}

#[test]
fn slow_what_is_no_whole_bundle_is_refused_and_named() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = small_project(&base, &server);
    let file = export(&project, "bundle.tar");
    let whole = fs_err::read(&file).unwrap();
    let other = tempfile::tempdir().unwrap();
    let refused = |bytes: &[u8], wanted: &str| {
        fs_err::write(other.path().join("bad.tar"), bytes).unwrap();
        for verb in ["import", "check"] {
            let mut arguments = vec!["bundle", verb, "bad.tar"];
            if verb == "import" {
                arguments.extend(["--into", "there"]);
            }
            let ended = elsewhere(&project, other.path(), &arguments);
            let code = if verb == "import" { 2 } else { 1 };
            assert_eq!(ended.code, Some(code), "{verb} {wanted}: {}", ended.stderr);
            assert!(
                ended.stderr.contains(wanted),
                "{verb} {wanted}: {}",
                ended.stderr
            );
            assert!(ended.stderr.contains("hint: "), "{}", ended.stderr);
            assert!(!other.path().join("there/recipes").exists());
        }
    };
    refused(
        &whole[..whole.len() / 2],
        "it was cut off, or not copied to its end",
    );
    let mut changed_source = whole.clone();
    let archive = crate::upstream::demo();
    let place = whole
        .windows(archive.len())
        .position(|part| part == archive)
        .unwrap();
    changed_source[place + 40] ^= 1;
    refused(
        &changed_source,
        "(source demo-1.0.tar.gz of demo) has other bytes than its digest says",
    );
    let mut evil = whole.clone();
    evil[..13].copy_from_slice(b"../../evil\0\0\0");
    refused(&evil, "this is no bundle that `kiln bundle export` wrote: ");
    refused(
        b"PK\x03\x04 something else",
        "this is no bundle that `kiln bundle export` wrote: ",
    );
    // After all that, the right file is taken, by what is there already.
    fs_err::write(other.path().join("good.tar"), &whole).unwrap();
    let import = ["bundle", "import", "good.tar", "--into", "there"];
    let ended = elsewhere(&project, other.path(), &import);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(
        ended.stdout.contains(" of them were there"),
        "{}",
        ended.stdout
    );
}

#[test]
fn slow_mistakes_around_bundles_are_told() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = small_project(&base, &server);
    let told = |arguments: &[&str], code: i32, wanted: &str| {
        let ended = project.kiln(arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {}", ended.stderr);
        assert!(
            ended.stderr.contains(wanted),
            "{arguments:?}: {}",
            ended.stderr
        );
    };
    told(
        &["bundle", "export", "demo"],
        2,
        "`demo` is a recipe, and the file to write comes first",
    );
    told(&["bundle", "export", "x.tar", "demmo"], 2, "demmo");
    project.write("notes.txt", b"precious");
    told(
        &["bundle", "export", "notes.txt"],
        2,
        "it is there and no bundle, and is not replaced",
    );
    assert_eq!(
        fs_err::read(project.root.join("notes.txt")).unwrap(),
        b"precious"
    );
    told(
        &["bundle", "export", "recipes"],
        2,
        "it is there and no regular file",
    );
    project.write("w.tar.partial", b"precious, too");
    let wanted = "it is there and no beginning of a bundle, and is not replaced";
    told(&["bundle", "export", "w.tar"], 2, wanted);
    let kept = fs_err::read(project.root.join("w.tar.partial")).unwrap();
    assert_eq!(kept, b"precious, too");
    told(
        &["bundle", "export", "no/such/folder.tar"],
        2,
        "no/such/folder.tar.partial",
    );
    told(&["bundle", "import", "absent.tar"], 2, "absent.tar");
    told(
        &["bundle", "import", "/dev/zero"],
        2,
        "it is no regular file",
    );
    told(
        &["bundle", "import", "notes.txt", "--expect", "sha256:12"],
        2,
        "--expect",
    );
    fs_err::os::unix::fs::symlink("/etc/passwd", project.root.join("recipes/demo/link")).unwrap();
    told(&["bundle", "export", "y.tar"], 2, "recipes/demo/link");
    fs_err::remove_file(project.root.join("recipes/demo/link")).unwrap();
    // What can not be had is named, and no file appears.
    let blobs = files(&project.store().join("blobs/sha256"));
    let source = kiln_model::Digest::of(&crate::upstream::demo()).to_hex();
    fs_err::remove_file(&blobs[&source]).unwrap();
    told(
        &["--offline", "bundle", "export", "z.tar"],
        2,
        "demo-1.0.tar.gz",
    );
    assert!(!project.root.join("z.tar").exists());
}
