//! `kiln verify`: recipes and packages built again under other circumstances.

use std::path::Path;

use serde_json::Value;

use crate::bases::Base;
use crate::project::{BUILD_WITH_SUMS, DEMO, Project, changed, demo_with_sums, files, with_build};
use crate::server::Server;

fn report(project: &Project<'_>) -> Value {
    let file = project.root.join("out/verify/verify.json");
    serde_json::from_slice(&fs_err::read(file).unwrap()).unwrap()
}

/// Returns the verdict on a path below `out/`, and the causes.
fn verdict(report: &Value, name: &str) -> (String, Vec<String>) {
    let subjects = report["subjects"].as_array().unwrap();
    let found = subjects
        .iter()
        .find(|subject| subject["subject"]["name"] == name)
        .unwrap_or_else(|| panic!("{name} is not in {report:#}"));
    let causes = found["causes"].as_array().unwrap().iter();
    let causes = causes.map(|cause| cause["cause"].as_str().unwrap().to_owned());
    (
        found["verdict"].as_str().unwrap().to_owned(),
        causes.collect(),
    )
}

const RPM: &str = "rpms/x86_64/demo-1.0-1.x86_64.rpm";

#[test]
fn slow_what_is_built_again_is_the_same_and_stated() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    let early = project.kiln(&["verify"]);
    assert_eq!(early.code, Some(2), "{}", early.stderr);
    assert!(
        early.stderr.contains("`demo` would be built now"),
        "{}",
        early.stderr
    );
    assert!(
        early.stderr.contains("run `kiln build` first"),
        "{}",
        early.stderr
    );

    project.done(&["build"]);
    let before = crate::project::outputs(&project.root.join("out"));
    let ended = project.done(&["verify", "--builds", "1"]);
    assert!(ended.stdout.contains("bit-identical"), "{}", ended.stdout);
    let mut after = crate::project::outputs(&project.root.join("out"));
    after.retain(|name, _| !name.starts_with("verify/"));
    assert_eq!(before, after, "verifying changes nothing");
    project.check_no_leftovers();

    let statement = project.root.join("out/verify/demo.verification.json");
    let statement: Value = serde_json::from_slice(&fs_err::read(statement).unwrap()).unwrap();
    assert_eq!(statement["predicate"]["verdict"], "reproducible");
    let subjects = statement["subject"].as_array().unwrap();
    let rpm = subjects
        .iter()
        .find(|subject| subject["name"] == RPM)
        .unwrap();
    let expected = before.iter().find(|(name, _)| *name == RPM).unwrap().1;
    assert_eq!(rpm["digest"]["sha256"], expected.to_hex());
    // Everything that was varied has an observation, and what could not be varied a reason.
    let report = report(&project);
    let build = &report["builds"][0];
    let varied = build["variation"].as_object().unwrap().len();
    let observed = build["observations"].as_array().unwrap();
    assert_eq!(observed.len(), varied);
    for seen in observed {
        assert_ne!(seen["how"], "", "{seen}");
    }
    let page = fs_err::read_to_string(project.root.join("out/verify/index.html")).unwrap();
    assert!(page.contains("demo-1.0-1.x86_64.rpm"));
}

#[test]
fn slow_copies_of_one_program_and_libraries_alone_are_the_same() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let recipe = changed(&demo_with_sums(), "  use: make\n", BUILD_WITH_SUMS);
    // All have one build-id, by which debug files are named in the order of some list.
    let install = "  install: |\n    make install\n    for n in 1 2 3 4 5 6 7 8; do cp -p \
                   \"$DESTDIR/usr/bin/demo\" \"$DESTDIR/usr/bin/demo$n\"; done\n";
    let recipe = changed(&recipe, "packages:\n", &format!("{install}packages:\n"));
    let recipe = changed(&recipe, "[/usr/bin/demo]", "[/usr/bin/demo*]");
    let project = Project::new(&base, &server, &recipe);
    project.write_sums();
    project.done(&["lock"]);
    project.done(&["build"]);
    let debug = "rpms/x86_64/demo-debuginfo-1.0-1.x86_64.rpm";
    project.done(&["verify", "--builds", "1", "demo"]);
    assert_eq!(verdict(&report(&project), debug).0, "reproducible");
    // A library yields no package, and with it none of the base image.
    project.done(&["build", "sums"]);
    project.done(&["verify", "--builds", "1", "sums"]);
}

#[test]
fn slow_what_differs_is_shown_and_its_cause_named() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let script = "make PREFIX=/usr\ndate > built.txt";
    let recipe = with_build(DEMO, script);
    let recipe = changed(
        &recipe,
        "  - name: libdemo-devel\n",
        "  - name: demo-stamp\n    summary: When it was built\n    files: [/usr/share/demo/stamp]\n  \
         - name: libdemo-devel\n",
    );
    let recipe = changed(
        &recipe,
        "packages:\n",
        "  install: |\n    make PREFIX=/usr LIBDIR=/usr/lib64 DESTDIR=\"$DESTDIR\" install\n    \
         install -D -m 644 built.txt \"$DESTDIR/usr/share/demo/stamp\"\npackages:\n",
    );
    let project = Project::new(&base, &server, &recipe);
    project.done(&["lock"]);
    project.done(&["build"]);
    let ended = project.kiln(&["verify", "--builds", "1"]);
    assert_eq!(ended.code, Some(1), "{}\n{}", ended.stdout, ended.stderr);
    let report = report(&project);
    let stamp = "rpms/x86_64/demo-stamp-1.0-1.x86_64.rpm";
    let (of_stamp, causes) = verdict(&report, stamp);
    assert_eq!(
        (of_stamp.as_str(), causes[0].as_str()),
        ("unreproducible", "timestamp")
    );
    assert!(
        ended.stdout.contains("/usr/share/demo/stamp > line 1"),
        "{}",
        ended.stdout
    );
    let json = project.kiln(&[
        "--format",
        "json",
        "verify",
        "--builds",
        "1",
        "--no-isolation",
    ]);
    assert_eq!(json.code, Some(1));
    let events = json
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<Value> = events.collect();
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    for kind in [
        "rebuilding",
        "rebuild-compared",
        "verdict",
        "verified",
        "finished",
    ] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
}

#[test]
fn slow_outputs_that_were_changed_or_lost_are_noticed() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
    let rpm = project.root.join("out").join(RPM);
    let whole = fs_err::read(&rpm).unwrap();
    let mut flipped = whole.clone();
    let last = flipped.len() - 1;
    flipped[last] ^= 1;
    fs_err::write(&rpm, &flipped).unwrap();
    fs_err::remove_file(project.root.join("out/specs/demo.spec")).unwrap();
    let ended = project.kiln(&["verify", "--builds", "1", "--no-isolation"]);
    assert_eq!(ended.code, Some(1), "{}\n{}", ended.stdout, ended.stderr);
    let report = report(&project);
    assert_eq!(verdict(&report, RPM).0, "unreproducible");
    assert_eq!(verdict(&report, "specs/demo.spec").0, "not-tested");
    assert_eq!(
        verdict(&report, "rpms/x86_64/libdemo-1.0-1.x86_64.rpm").0,
        "reproducible"
    );
    fs_err::write(&rpm, &whole).unwrap();
    let ended = project.kiln(&["verify", "--builds", "1", "--no-isolation"]);
    assert_eq!(ended.code, Some(2), "a lost file: it can not be said");
}

#[test]
fn slow_packages_are_built_again_from_what_they_say() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
    let alone = tempfile::tempdir().unwrap();
    let out = project.root.join("out");
    let mut names = Vec::new();
    for folder in ["rpms", "srpms"] {
        for (name, path) in files(&out.join(folder)) {
            let file = Path::new(&name).file_name().unwrap();
            let name = file.to_string_lossy().into_owned();
            if name.ends_with(".rpm") && !name.starts_with("kiln-base") {
                fs_err::copy(&path, alone.path().join(file)).unwrap();
                names.push(name);
            }
        }
    }
    assert!(names.len() >= 6, "{names:?}");
    let store = project.store();
    let verify = |store: &Path, files: &[&str]| {
        let output = project
            .command()
            .current_dir(alone.path())
            .arg("--store")
            .arg(store)
            .args(["verify", "--builds", "1"])
            .args(files)
            .output()
            .unwrap();
        project.ended(&output)
    };
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    let ended = verify(&store, &all);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    assert!(
        ended
            .stdout
            .contains(&format!("{} RPMs bit-identical", all.len()))
    );
    assert!(
        alone
            .path()
            .join("out/verify/demo.verification.json")
            .is_file()
    );

    // A store without the inputs: each is named with its digest.
    let empty = tempfile::tempdir().unwrap();
    let ended = verify(&empty.path().join("store"), &["demo-1.0-1.x86_64.rpm"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended
            .stderr
            .contains("source demo-1.0.tar.gz of recipe demo  sha256:")
    );
    assert!(ended.stderr.contains("Debian package base-files"));
    assert!(
        ended.stderr.contains("more Debian packages"),
        "{}",
        ended.stderr
    );

    // The package of a base image, which no recipe makes.
    let mut base_packages = files(&out.join("rpms")).into_iter();
    let (_, base_package) = base_packages
        .find(|(name, _)| name.contains("kiln-base"))
        .unwrap();
    let ended = verify(&store, &[&*base_package.to_string_lossy()]);
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("1 RPM bit-identical"),
        "{}",
        ended.stdout
    );
}

#[test]
fn slow_what_is_no_whole_package_of_ours_is_refused() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
    let alone = tempfile::tempdir().unwrap();
    let rpm = project.root.join("out").join(RPM);
    let bytes = fs_err::read(rpm).unwrap();
    fs_err::write(alone.path().join("cut.rpm"), &bytes[..bytes.len() / 2]).unwrap();
    fs_err::write(alone.path().join("text.rpm"), "no package").unwrap();
    for (file, problem) in [
        ("cut.rpm", "the payload does not match its digest"),
        ("text.rpm", "this is not an RPM package"),
        ("missing.rpm", "No such file"),
        ("./", "no regular file"),
    ] {
        let mut command = project.command();
        let command = command.current_dir(alone.path());
        let output = command
            .arg("--store")
            .arg(project.store())
            .args(["verify", file])
            .output();
        let ended = project.ended(&output.unwrap());
        assert_eq!(ended.code, Some(2), "{file}: {}", ended.stderr);
        assert!(ended.stderr.contains(problem), "{file}: {}", ended.stderr);
    }
}
