//! `out/rpms` as a repository: what dnf makes of it, and that its bytes depend on nothing else.

use std::collections::BTreeMap;
use std::path::Path;

use kiln_model::Digest;

use crate::bases::Base;
use crate::project::{DEMO, Project, changed, files};
use crate::server::Server;
use crate::tools::{Machine, unsigned};

/// Returns the names and digests of the metadata.
fn repodata(project: &Project<'_>) -> BTreeMap<String, Digest> {
    let found = files(&project.root.join("out/rpms/repodata")).into_iter();
    found
        .map(|(name, path)| (name, Digest::of(&fs_err::read(path).unwrap())))
        .collect()
}

/// Asserts that the index names all that is beside it, and nothing else.
fn check_index(project: &Project<'_>) {
    let folder = project.root.join("out/rpms/repodata");
    let index = fs_err::read_to_string(folder.join("repomd.xml")).unwrap();
    let named = index.split("href=\"repodata/").skip(1);
    let mut named: Vec<&str> = named.map(|rest| rest.split('"').next().unwrap()).collect();
    named.sort_unstable();
    let mut there: Vec<String> = files(&folder).into_keys().collect();
    there.retain(|name| !name.starts_with("repomd.xml"));
    assert_eq!(named, there);
}

fn second_release() -> String {
    changed(DEMO, "release: 1\n", "release: 2\n")
}

#[test]
fn slow_the_repository_follows_from_its_packages_alone() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
    check_index(&project);
    let first = repodata(&project);
    assert_eq!(first.len(), 4, "{first:?}");
    let out = project.root.join("out");
    let state = |project: &Project<'_>| {
        let folder = project.root.join("out/rpms/repodata/repomd.xml");
        fs_err::metadata(folder).unwrap().modified().unwrap()
    };
    let before = state(&project);
    let again = project.done(&["build"]);
    assert!(again.stdout.contains("\nNothing to do"), "{}", again.stdout);
    assert_eq!(state(&project), before);
    // Whatever is lost or damaged comes back, from the store, and what is foreign goes.
    let index = out.join("rpms/repodata/repomd.xml");
    let changes: [&dyn Fn(); 3] = [
        &|| fs_err::remove_dir_all(out.join("rpms/repodata")).unwrap(),
        &|| fs_err::write(&index, "<repomd/>").unwrap(),
        &|| {
            let (name, _) = first
                .iter()
                .find(|(name, _)| name.contains("primary"))
                .unwrap();
            fs_err::write(out.join("rpms/repodata").join(name), "x").unwrap();
            fs_err::write(out.join("rpms/repodata/old-primary.xml.gz"), "x").unwrap();
        },
    ];
    for change in changes {
        change();
        let mended = project.done(&["build"]);
        assert!(!mended.stderr.contains("repodata"), "{}", mended.stderr);
        assert_eq!(repodata(&project), first);
    }
    // A second release, after the first one; and in a project that never saw the first.
    project.write_demo(&second_release());
    project.done(&["lock"]);
    project.done(&["build"]);
    check_index(&project);
    assert!(
        project
            .rpm_names()
            .iter()
            .all(|name| !name.contains("-1.0-1.")),
        "they are replaced"
    );
    let fresh = Project::new(&base, &server, &second_release());
    fresh.done(&["lock"]);
    fresh.done(&["build"]);
    assert_eq!(repodata(&fresh), repodata(&project));
    assert_ne!(repodata(&project), first);
    project.check_store();
    project.check_no_leftovers();
}

#[test]
fn slow_dnf_installs_upgrades_and_removes() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
    let machine = Machine::new(&base);
    let repository = unsigned(&project.root.join("out/rpms"));
    let closure = machine.done(&repository, &["repoclosure"]);
    assert!(!closure.contains("unresolved"), "{closure}");
    machine.done(&repository, &["install", "demo"]);
    assert_eq!(machine.query("demo"), "demo-1.0-1.x86_64");
    assert_eq!(machine.query("libdemo"), "libdemo-1.0-1.x86_64");
    assert!(
        machine
            .query("kiln-base-debian-12")
            .starts_with("kiln-base-debian-12-12.")
    );
    let program = machine.root().join("usr/bin/demo");
    assert!(program.is_file());

    project.write_demo(&second_release());
    project.done(&["lock"]);
    project.done(&["build"]);
    machine.done(&repository, &["upgrade"]);
    assert_eq!(machine.query("demo"), "demo-1.0-2.x86_64");
    assert_eq!(machine.query("libdemo"), "libdemo-1.0-2.x86_64");
    machine.done(&repository, &["remove", "demo", "libdemo"]);
    assert_eq!(machine.query("demo"), "package demo is not installed");
    assert!(!program.exists());
    let closure = machine.done(&repository, &["repoclosure"]);
    assert!(!closure.contains("unresolved"), "{closure}");
    // That repoclosure is heard at all: without the base's package nothing provides libc.
    for (name, path) in files(&project.root.join("out/rpms")) {
        if name.contains("kiln-base-") || name.starts_with("repodata/") {
            fs_err::remove_file(path).unwrap();
        }
    }
    let made = crate::tools::run("createrepo_c", &["-q", &rpms(&project)], &[]);
    assert!(made.is_done, "{}", made.text);
    let closure = machine.dnf(&repository, &["repoclosure"]);
    assert!(
        !closure.is_done && closure.text.contains("libc.so.6"),
        "{}",
        closure.text
    );
}

fn rpms(project: &Project<'_>) -> String {
    Path::new(&project.root)
        .join("out/rpms")
        .display()
        .to_string()
}
