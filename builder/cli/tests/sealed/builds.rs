//! Builds that succeed: what comes out, that it comes out again to the byte, and from where.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Stdio;

use kiln_model::Digest;
use kiln_rpm::RpmFile;

use crate::bases::Base;
use crate::project::{DEMO, Project, changed, files, outputs, with_build};
use crate::server::Server;

const RPMS: &[&str] = &[
    "demo-1.0-1.x86_64.rpm",
    "demo-debuginfo-1.0-1.x86_64.rpm",
    "demo-debugsource-1.0-1.x86_64.rpm",
    "libdemo-1.0-1.x86_64.rpm",
    "libdemo-devel-1.0-1.x86_64.rpm",
];

fn read(project: &Project<'_>, file: &str) -> RpmFile {
    let path = project.root.join("out/rpms/x86_64").join(file);
    RpmFile::parse(&fs_err::read(path).unwrap()).unwrap()
}

/// Asserts that an RPM has all of `parts`, each of them a file, or a line like `requires: X`.
fn check(rpm: &RpmFile, parts: &[&str]) {
    let relations = rpm.relations();
    let mut lines: Vec<String> = rpm.files().iter().map(|file| file.path.clone()).collect();
    lines.extend(relations.requires.iter().map(|r| format!("requires: {r}")));
    lines.extend(relations.provides.iter().map(|p| format!("provides: {p}")));
    for part in parts {
        let is_there = lines.iter().any(|line| line == part);
        assert!(is_there, "{part} is not in {}: {lines:#?}", rpm.nevra());
    }
}

fn check_rpms(project: &Project<'_>) {
    let names = project.rpm_names();
    let demo: Vec<&String> = names
        .iter()
        .filter(|name| !name.starts_with("kiln-base-"))
        .collect();
    assert_eq!(demo, RPMS);
    assert_eq!(names.len(), RPMS.len() + 1, "and the base's package");
    check(
        &read(project, RPMS[0]),
        &[
            "/usr/bin/demo",
            "/usr/share/licenses/demo/LICENSE",
            "/usr/share/kiln/buildinfo/demo-x86_64.json",
            "requires: libdemo(x86-64) = 1.0-1",
            "requires: libdemo.so.1()(64bit)",
            "provides: demo = 1.0-1",
        ],
    );
    check(
        &read(project, RPMS[1]),
        &[
            "/usr/lib/debug/usr/bin/demo-1.0-1.x86_64.debug",
            "/usr/lib/debug/usr/lib64/libdemo.so.1.0-1.0-1.x86_64.debug",
        ],
    );
    let sources = "/usr/src/debug/demo-1.0-1.x86_64/demo-1.0";
    check(
        &read(project, RPMS[2]),
        &[&format!("{sources}/main.c"), &format!("{sources}/lib.c")],
    );
    check(
        &read(project, RPMS[3]),
        &[
            "/usr/lib64/libdemo.so.1",
            "/usr/lib64/libdemo.so.1.0",
            "/usr/share/licenses/libdemo/LICENSE",
            "provides: libdemo.so.1()(64bit)",
        ],
    );
    check(
        &read(project, RPMS[4]),
        &[
            "/usr/include/demo.h",
            "/usr/lib64/libdemo.so",
            "/usr/lib64/libdemo.a",
            "/usr/lib64/pkgconfig/demo.pc",
            "requires: libdemo(x86-64) = 1.0-1",
            "provides: pkgconfig(demo) = 1.0",
        ],
    );
    for file in RPMS {
        let rpm = read(project, file);
        // 2024-03-01, the newest entry of the changelog.
        assert_eq!(rpm.build_time(), Some(1_709_251_200), "{file}");
        for packaged in rpm.files() {
            let (user, group) = (packaged.user.as_str(), packaged.group.as_str());
            assert_eq!((user, group), ("root", "root"), "{file}: {}", packaged.path);
            assert!(packaged.modified <= 1_709_251_200, "{}", packaged.path);
        }
    }
}

/// Everything about `out/` that a run that does nothing must leave alone.
fn state(out: &Path) -> BTreeMap<String, (u64, i64, i64, Digest)> {
    let state = |path: &Path| {
        let found = fs_err::metadata(path).unwrap();
        let bytes = Digest::of(&fs_err::read(path).unwrap());
        (found.ino(), found.mtime(), found.mtime_nsec(), bytes)
    };
    files(out)
        .into_iter()
        .map(|(name, path)| (name, state(&path)))
        .collect()
}

#[test]
fn slow_a_build_yields_packages_and_a_second_one_does_nothing() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    let plan = project.done(&["plan"]).stdout;
    assert!(plan.starts_with("build    demo "), "{plan}");
    assert!(
        plan.contains("\npackage  kiln-base-debian-12  new  time unknown\n"),
        "{plan}"
    );
    let first = project.done(&["build"]);
    assert!(!first.stdout.contains("Nothing to do"), "{}", first.stdout);
    check_rpms(&project);
    assert_eq!(
        project.done(&["plan"]).stdout,
        "cached   demo\n\nNothing to build: all 3 results are there already.\n"
    );
    let out = project.root.join("out");
    let before = state(&out);
    let second = project.done(&["build"]);
    assert!(
        second.stdout.contains("\nNothing to do: all "),
        "{}",
        second.stdout
    );
    assert_eq!(second.stderr, "", "nothing is said to be done");
    assert_eq!(state(&out), before);
    // Only what is missing comes back, from the store, without building.
    fs_err::remove_dir_all(out.join("rpms")).unwrap();
    fs_err::write(out.join("sbom/demo.cdx.json"), "{}").unwrap();
    let third = project.done(&["build"]);
    assert!(
        third.stdout.contains("\n3 cached; 11 files written ("),
        "{}",
        third.stdout
    );
    let bytes = |state: BTreeMap<String, (u64, i64, i64, Digest)>| {
        let pairs = state.into_iter().map(|(name, (.., bytes))| (name, bytes));
        pairs.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(bytes(state(&out)), bytes(before));
    // What is remembered of `out/` holds for these inputs only.
    project.write_demo(&changed(DEMO, "A program and its library", "A program"));
    let fourth = project.done(&["build"]);
    assert!(fourth.stdout.contains("\n1 built, "), "{}", fourth.stdout);
    assert_eq!(read(&project, RPMS[0]).summary(), Some("A program"));
    let config = fs_err::read_to_string(project.root.join("kiln.toml")).unwrap();
    let organization = format!("{config}\n[organization]\nname = \"Somebody else\"\n");
    project.write("kiln.toml", organization.as_bytes());
    let fifth = project.done(&["build"]);
    assert!(!fifth.stdout.contains("Nothing to do"), "{}", fifth.stdout);
    let sbom = fs_err::read_to_string(out.join("sbom/demo.spdx.json")).unwrap();
    assert!(sbom.contains("Somebody else"), "{sbom}");
    project.check_store();
    project.check_no_leftovers();
}

#[test]
fn slow_another_folder_store_umask_zone_locale_and_job_count_change_no_byte() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let one = Project::new(&base, &server, DEMO);
    one.done(&["lock"]);
    one.done(&["--jobs", "1", "build"]);
    let other = Project::below(
        &base,
        &server,
        DEMO,
        "a much/deeper 'folder'/somewhere else",
    );
    other.done(&["lock"]);
    let lock = "lockfiles/demo-x86_64.lock";
    assert_eq!(
        fs_err::read(one.root.join(lock)).unwrap(),
        fs_err::read(other.root.join(lock)).unwrap()
    );
    let umask = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let output = other
        .command()
        .env("TZ", "Pacific/Kiritimati")
        .env("LANG", "tr_TR.UTF-8")
        .env("LC_ALL", "tr_TR.UTF-8")
        .env("USER", "somebody")
        .env("SOURCE_DATE_EPOCH", "1")
        .env("CFLAGS", "-O0")
        .args(["--jobs", "5", "--project"])
        .arg(&other.root)
        .current_dir("/")
        .arg("build")
        .output()
        .unwrap();
    rustix::process::umask(umask);
    let ended = other.ended(&output);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        outputs(&other.root.join("out")),
        outputs(&one.root.join("out"))
    );
    check_rpms(&other);
}

#[test]
fn slow_kilns_at_once_on_one_store_agree() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    // Each of them has to fetch the source as well.
    let digest = Digest::of(&crate::upstream::demo()).to_hex();
    fs_err::remove_file(project.store().join("blobs/sha256").join(digest)).unwrap();
    let start = |out: &str| {
        let mut command = project.command();
        command.args(["--jobs", "1", "--out", out, "build"]);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        piped.spawn().unwrap()
    };
    let all = ["out", "other", "other"].map(|out| (out, start(out)));
    for (out, child) in all {
        let ended = project.ended(&child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(0), "{out}\n{}", ended.stderr);
    }
    assert_eq!(
        outputs(&project.root.join("out")),
        outputs(&project.root.join("other"))
    );
    check_rpms(&project);
    project.check_store();
    project.check_no_leftovers();
}

#[test]
fn slow_what_was_fetched_builds_offline() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    // Somebody else's checkout: the lockfile is there, the source is not.
    let store = project.root.join("new/store");
    base.seed(&store);
    let at = |arguments: &[&str]| project.kiln(&[&["--store", "new/store"], arguments].concat());
    let before = server.connections();
    let missing = at(&["--offline", "--quiet", "build"]);
    assert_eq!(missing.code, Some(2), "{}", missing.stderr);
    let digest = Digest::of(&crate::upstream::demo());
    for part in [
        "1 file is missing from the store",
        "`demo-1.0.tar.gz`",
        &server.address("demo-1.0.tar.gz"),
        &digest.to_string(),
        "kiln fetch",
    ] {
        assert!(
            missing.stderr.contains(part),
            "{part} is not in {}",
            missing.stderr
        );
    }
    assert_eq!(server.connections(), before, "offline means no connection");
    let fetched = at(&["fetch"]);
    assert_eq!(fetched.code, Some(0), "{}", fetched.stderr);
    let after = server.connections();
    assert_eq!(
        after,
        before + 1,
        "the source, and nothing else, is asked for"
    );
    let built = at(&["--offline", "build"]);
    assert_eq!(built.code, Some(0), "{}", built.stderr);
    assert_eq!(server.connections(), after);
    check_rpms(&project);
}

/// A base image that is taken from a layout.
fn layout(path: &str, digest: &str) -> Vec<u8> {
    format!("schema: 1\nname: box\nlayout: \"{path}@{digest}\"\n").into_bytes()
}

#[test]
fn slow_an_oci_layout_is_a_base_image_too() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let demo = changed(DEMO, "base: debian-12", "base: box");
    let project = Project::new(&base, &server, &demo);
    // A store that never saw the image: everything comes from the layout.
    fs_err::remove_dir_all(project.store()).unwrap();
    fs_err::remove_file(project.root.join("base-images/debian-12.yaml")).unwrap();
    fs_err::remove_dir_all(project.root.join("lockfiles")).unwrap();
    let place = base.store().to_string_lossy().into_owned();
    let manifest = base.lock.manifest.to_string();
    project.write("base-images/box.yaml", &layout(&place, &manifest));
    project.done(&["lock"]);
    project.done(&["check"]);
    project.done(&["build"]);
    assert_eq!(project.rpm_names(), RPMS);
    check(
        &read(&project, RPMS[0]),
        &["/usr/bin/demo", "requires: libdemo.so.1()(64bit)"],
    );
    let first = outputs(&project.root.join("out"));
    let second = project.done(&["build"]);
    assert!(second.stdout.contains("\nNothing to do: all "));
    assert_eq!(outputs(&project.root.join("out")), first);
    project.check_no_leftovers();
}

#[test]
fn slow_a_layout_that_has_not_the_pinned_image_is_refused() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let demo = changed(DEMO, "base: debian-12", "base: box");
    let project = Project::new(&base, &server, &demo);
    fs_err::remove_dir_all(project.store()).unwrap();
    let refused = |path: &str, digest: &str, parts: &[&str]| {
        project.write("base-images/box.yaml", &layout(path, digest));
        project.done(&["lock"]);
        let ended = project.kiln(&["--quiet", "build"]);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.starts_with("error: box: "), "{}", ended.stderr);
        for part in parts {
            assert!(
                ended.stderr.contains(part),
                "{part} is not in {}",
                ended.stderr
            );
        }
        assert_eq!(project.rpm_names(), [""; 0]);
    };
    let place = base.store().to_string_lossy().into_owned();
    let nowhere = Digest::of(b"no image has this digest");
    let blob = base.blob(&nowhere).to_string_lossy().into_owned();
    refused(&place, &nowhere.to_string(), &[&blob]);
    // A layout in the project whose manifest was changed after it was pinned.
    let [manifest, ..] = base.blobs();
    let mut bytes = fs_err::read(base.blob(&manifest)).unwrap();
    bytes.push(b'\n');
    project.write("image/oci-layout", b"{\"imageLayoutVersion\":\"1.0.0\"}");
    let hex = manifest.to_hex();
    project.write(&format!("image/blobs/sha256/{hex}"), &bytes);
    let (expected, actual) = (manifest.to_string(), Digest::of(&bytes).to_string());
    refused(
        "image",
        &expected,
        &[
            &format!("  expected  {expected}\n"),
            &format!("  actual    {actual}\n"),
        ],
    );
    refused("nothing", &expected, &["nothing"]);
    project.check_store();
    // A layout has no packages to add.
    let demo = changed(&demo, "base: box\n", "base: box\ntools: [perl]\n");
    project.write_demo(&demo);
    project.fails(
        &["lock"],
        2,
        "error: recipe `demo` needs distribution packages (perl), but its base image `box` is a finished image, to which kiln can not add any\n  \
         --> recipes/demo/recipe.yaml:10:7\n   |\n10 | base: box\n   |       ^\n\n\
         hint: use a base image that is assembled from an `archive`, or do without them\n",
    );
}

#[test]
fn slow_a_step_sees_neither_network_nor_host() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    let script = format!(
        "test \"$(tail -n +3 /proc/net/dev | grep -vc '^ *lo:')\" = 0\n\
         if bash -c 'exec 3<>/dev/tcp/127.0.0.1/{}'; then echo escaped; exit 1; fi\n\
         if bash -c 'exec 3<>/dev/tcp/1.1.1.1/53'; then echo escaped; exit 1; fi\n\
         if test -e '{}'; then echo the project is in sight; exit 1; fi\n\
         if touch /usr/share/touched; then echo touched; fi\n\
         env | sort\n\
         make",
        server.port,
        project.root.display()
    );
    project.write_demo(&with_build(DEMO, &script));
    project.done(&["lock"]);
    project.done(&["fetch"]);
    let before = server.connections();
    let mut command = project.command();
    command.env("A_SECRET", "of the host").arg("build");
    let ended = project.ended(&command.output().unwrap());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(server.connections(), before, "the step reached the host");
    let log = fs_err::read_to_string(project.root.join("out/logs/demo/build.log")).unwrap();
    assert!(log.contains("/dev/tcp/127.0.0.1/"), "it was tried: {log}");
    assert!(
        log.contains("\nTZ=UTC\n") && !log.contains("A_SECRET"),
        "{log}"
    );
    let trees = files(&project.store().join("trees")).into_keys();
    let touched: Vec<String> = trees.filter(|name| name.ends_with("/touched")).collect();
    assert_eq!(touched, [""; 0], "the base image is as it was");
    drop(std::net::TcpStream::connect(("127.0.0.1", server.port)).unwrap());
    crate::project::wait_until("the server sees who does connect", || {
        server.connections() == before + 1
    });
}

#[test]
fn slow_files_that_their_owner_may_not_read_are_packaged_with_their_permissions() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let install = "  use: make\n  install: |\n    make install\n    \
                   chmod 4111 \"$DESTDIR/usr/bin/demo\"\n    \
                   chmod 600 \"$DESTDIR/usr/include/demo.h\"\n";
    let project = Project::new(&base, &server, &changed(DEMO, "  use: make\n", install));
    project.done(&["lock"]);
    project.done(&["build"]);
    let mode = |file: &str, path: &str| {
        let rpm = read(&project, file);
        let found = rpm.files().iter().find(|packaged| packaged.path == path);
        found.map(|packaged| packaged.mode & 0o7777)
    };
    assert_eq!(mode(RPMS[0], "/usr/bin/demo"), Some(0o4111));
    assert_eq!(mode(RPMS[4], "/usr/include/demo.h"), Some(0o600));
}
