//! The same recipe on two base images: what is the same, what differs, and that neither is in the other's way.

use std::collections::BTreeMap;
use std::path::Path;

use kiln_rpm::RpmFile;

use crate::bases::Base;
use crate::project::{BUILD_WITH_SUMS, Project, changed, demo_with_sums, files, outputs};
use crate::server::Server;

/// Makes a project whose demo is locked for both base images.
fn project<'a>(server: &'a Server, bases: [&Base; 2]) -> Project<'a> {
    let [own, other] = bases;
    let recipe = changed(&demo_with_sums(), "  use: make\n", BUILD_WITH_SUMS);
    let project = Project::new(own, server, &recipe);
    project.write_sums();
    for file in [
        "base-images/debian-13.yaml",
        "lockfiles/debian-13-x86_64.lock",
    ] {
        project.write(file, &fs_err::read(own.repository.join(file)).unwrap());
    }
    other.add_to(&project.store());
    project.done(&["lock"]);
    project
}

/// Returns what packages say and hold, by name, without what has to differ: the release's dist tag, and
/// build-ids, which are digests of machine code.
fn described(folder: &Path, dist: &str) -> BTreeMap<String, Vec<String>> {
    let rpms = files(folder).into_iter();
    let rpms = rpms.filter(|(name, _)| name.ends_with(".rpm") && !name.starts_with("kiln-base-"));
    let describe = |(name, path): (String, std::path::PathBuf)| {
        let rpm = RpmFile::parse(&fs_err::read(path).unwrap()).unwrap();
        let relations = rpm.relations();
        let file = |file: &kiln_rpm::PackagedFile| {
            format!("{:o} {}:{} {}", file.mode, file.user, file.group, file.path)
        };
        let mut lines: Vec<String> = rpm.files().iter().map(file).collect();
        lines.extend(relations.provides.iter().map(|p| format!("provides {p}")));
        lines.extend(relations.requires.iter().map(|r| format!("requires {r}")));
        lines.retain(|line| !line.contains("build-id"));
        let line = |line: String| line.replace(dist, "");
        (
            name.replace(dist, ""),
            lines.into_iter().map(line).collect(),
        )
    };
    rpms.map(describe).collect()
}

#[test]
fn slow_a_small_recipe_is_built_on_debian_13() {
    let (Some(own), Some(other)) = (Base::find(), Base::find_other()) else {
        return;
    };
    let server = Server::start();
    let project = project(&server, [&own, &other]);
    project.done(&["build", "demo"]);
    let before = outputs(&project.root.join("out"));
    let locks = files(&project.root.join("lockfiles"));

    let lacking = project.kiln(&["build", "demo", "--base", "debian-13"]);
    assert_eq!(lacking.code, Some(2), "{}", lacking.stderr);
    assert!(
        lacking.stderr.contains("kiln lock --base debian-13"),
        "{}",
        lacking.stderr
    );
    project.done(&["lock", "--base", "debian-13"]);
    let mut new = files(&project.root.join("lockfiles"));
    new.retain(|name, _| !locks.contains_key(name));
    let new: Vec<String> = new.into_keys().collect();
    assert_eq!(
        new,
        ["debian-13/demo-x86_64.lock", "debian-13/sums-x86_64.lock"]
    );
    project.done(&["check"]);

    project.done(&["build", "demo", "--base", "debian-13"]);
    let mut after = outputs(&project.root.join("out"));
    after.retain(|name, _| !name.starts_with("debian-13/"));
    assert_eq!(
        after, before,
        "the recipe's own base has its results as they were"
    );
    let out = project.root.join("out/debian-13");
    drop(outputs(&out));
    let rpms = |out: &str, dist: &str| described(&project.root.join(out).join("rpms/x86_64"), dist);
    let (one, two) = (rpms("out", ".none"), rpms("out/debian-13", ".deb13"));
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        two.keys().collect::<Vec<_>>()
    );
    for (name, lines) in &one {
        // A compiler may need other symbols of its C library, and no other difference is expected.
        let shown = |lines: &[String]| -> Vec<String> {
            let is_kept = |line: &&String| !line.starts_with("requires libc.so.6(GLIBC_");
            lines.iter().filter(is_kept).cloned().collect()
        };
        assert_eq!(shown(&two[name]), shown(lines), "{name}");
    }
    let base = files(&out.join("rpms/x86_64")).into_keys();
    let base: Vec<String> = base.filter(|name| name.starts_with("kiln-base-")).collect();
    assert_eq!(base.len(), 1, "{base:?}");
    assert!(base[0].starts_with("kiln-base-debian-13-13."), "{base:?}");

    // Neither makes the other do anything again.
    for arguments in [
        &["build", "demo"][..],
        &["build", "demo", "--base", "debian-13"],
    ] {
        let again = project.done(arguments);
        assert!(
            again.stdout.contains("Nothing to do"),
            "{arguments:?}: {}",
            again.stdout
        );
    }
    let ended = project.done(&["why", "demo", "--base", "debian-13"]);
    assert!(!ended.stdout.contains("base image"), "{}", ended.stdout);

    let verify = ["verify", "--base", "debian-13", "--builds", "1"];
    project.done(&[&verify[..], &["demo"]].concat());
    assert!(out.join("verify/index.html").is_file());
    // A package says by itself what it was built on.
    let rpm = "out/debian-13/rpms/x86_64/demo-1.0-1.deb13.x86_64.rpm";
    project.done(&["verify", "--builds", "1", rpm]);
}

#[test]
fn slow_a_bundle_for_another_base_is_complete() {
    let (Some(own), Some(other)) = (Base::find(), Base::find_other()) else {
        return;
    };
    let server = Server::start();
    let project = project(&server, [&own, &other]);
    project.done(&["lock", "--base", "debian-13"]);
    let exported = project.done(&[
        "bundle",
        "export",
        "demo.tar",
        "demo",
        "--base",
        "debian-13",
    ]);
    assert!(
        exported.stdout.contains("KILN_BASE=debian-13 make rpms"),
        "{}",
        exported.stdout
    );
    // It says by itself for which base it is.
    project.done(&["bundle", "check", "demo.tar"]);
    let imported = project.done(&["bundle", "import", "demo.tar", "--into", "there"]);
    assert!(
        imported.stdout.contains("KILN_BASE=debian-13 make rpms"),
        "{}",
        imported.stdout
    );
    let there = files(&project.root.join("there")).into_keys();
    let there: Vec<String> = there.filter(|name| !name.starts_with(".kiln/")).collect();
    assert_eq!(there, CARRIED);
}

/// The project's files in a bundle: nothing of the base image that the recipe names.
const CARRIED: &[&str] = &[
    "base-images/debian-13.yaml",
    "base-images/keys/debian-archive-bookworm-automatic.gpg",
    "base-images/keys/debian-archive-trixie-automatic.gpg",
    "base-images/keys/debian-archive-trixie-stable.gpg",
    "kiln.toml",
    "lockfiles/debian-13-x86_64.lock",
    "lockfiles/debian-13/demo-x86_64.lock",
    "lockfiles/debian-13/sums-x86_64.lock",
    "recipes/demo/recipe.yaml",
    "recipes/sums/recipe.yaml",
];
