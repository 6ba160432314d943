//! A product whose source is a commit of a real git server, with a submodule: locked, built to packages that
//! say where they come from, and built again from them.

use std::path::Path;

use kiln_model::{Lock as _, RecipeLock};
use kiln_rpm::RpmFile;
use kiln_testkit::git::{GitServer, Repository, Versions};

use crate::bases::Base;
use crate::project::{DEMO, Project, changed, files, outputs};
use crate::server::Server;
use crate::upstream;

/// Puts the files of an upstream tarball into a repository's working tree, but for `without`.
fn take_over(repository: &Repository, tarball: &[u8], without: &str) {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(tarball));
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().into_owned();
        let below = path.components().skip(1).collect::<std::path::PathBuf>();
        let name = below.to_string_lossy().into_owned();
        if entry.header().entry_type().is_file() && name != without {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
            repository.write(&name, &text);
        }
    }
}

/// Asserts that SBOMs, provenance and the source package say what was built.
fn check_documents(out: &Path, (address, submodule): (&str, &str), commit: &str) {
    for (name, parts) in [
        ("sbom/demo.cdx.json", vec![address, submodule]),
        ("sbom/demo.spdx.json", vec![address, submodule]),
        ("provenance/demo.provenance.json", vec![address]),
    ] {
        let text = fs_err::read_to_string(out.join(name)).unwrap();
        for part in parts {
            assert!(text.contains(part), "{part} is not in {name}: {text}");
        }
    }
    let text = fs_err::read_to_string(out.join("provenance/demo.provenance.json")).unwrap();
    let spaceless: String = text.split_whitespace().collect();
    assert!(
        spaceless.contains(&format!("\"gitCommit\":\"{commit}\"")),
        "{text}"
    );
    let source_rpm = files(&out.join("srpms")).into_values().next().unwrap();
    let source_rpm = RpmFile::parse(&fs_err::read(source_rpm).unwrap()).unwrap();
    let carried = format!("demo-{}.tar", &commit[..12]);
    assert!(
        source_rpm
            .files()
            .iter()
            .any(|file| file.path.ends_with(&carried))
    );
}

#[test]
fn slow_sealed_a_commit_with_a_submodule_becomes_packages() {
    let Some(base) = Base::find() else {
        return;
    };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    let served = project.root.parent().unwrap().join("served");
    fs_err::create_dir_all(&served).unwrap();
    let git = GitServer::start(&served, Versions::All);
    let (demo, parts) = (
        Repository::new(&served, "demo"),
        Repository::new(&served, "parts"),
    );
    // The header comes from a submodule.
    parts.write(
        "demo.h",
        "#pragma once\nconst char *demo_build(void);\nint demo_answer(void);\n",
    );
    let pin = parts.commit("parts");
    take_over(&demo, &upstream::demo(), "demo.h");
    demo.add_submodule("parts", "../parts.git", &pin);
    demo.git(&["add", "Makefile", "LICENSE", "*.c", "*.pc"]);
    let commit = demo.commit_index("one");
    demo.tag("v1.0");
    let from = "  - url: ADDRESS\n    sha256: \"DIGEST\"\n    released: 2024-02-29\n";
    let to = format!("  - git: {}\n    tag: v1.0\n", git.url("demo"));
    let recipe = changed(DEMO, from, &to);
    let recipe = changed(
        &recipe,
        "  use: make\n",
        "  use: make\n  prep: cp parts/demo.h .\n",
    );
    project.write("recipes/demo/recipe.yaml", recipe.as_bytes());
    project.done(&["lock"]);
    let ended = project.done(&["build", "demo"]);
    assert!(ended.stdout.contains("built"), "{}", ended.stdout);
    let lock = fs_err::read_to_string(project.root.join("lockfiles/demo-x86_64.lock")).unwrap();
    let lock = RecipeLock::parse(&lock).unwrap();
    assert_eq!(
        lock.sources[0].git.as_ref().unwrap().pins[0]
            .commit
            .as_str(),
        pin
    );
    let out = project.root.join("out");
    let address = format!("git+{}@{commit}", git.url("demo"));
    let submodule = format!("parts git+{}@{pin}", git.url("parts"));
    check_documents(&out, (&address, &submodule), &commit);
    // In an empty store, the export is made again, and all that follows is the same.
    let first = outputs(&out);
    fs_err::remove_dir_all(project.store()).unwrap();
    fs_err::remove_dir_all(&out).unwrap();
    base.seed(&project.store());
    project.done(&["fetch", "demo"]);
    project.done(&["--offline", "build", "demo"]);
    assert_eq!(outputs(&out), first);
    // What is locked is gone from the server, and from the store.
    fs_err::remove_dir_all(project.store()).unwrap();
    base.seed(&project.store());
    demo.git(&["commit", "--quiet", "--amend", "--message", "other"]);
    demo.tag("v1.0");
    demo.prune();
    let ended = project.kiln(&["fetch", "demo"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains(&format!("no place gave commit {commit}")),
        "{}",
        ended.stderr
    );
}
