//! The spec writer against the real rpmbuild, in a sandbox like kiln's own.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a failed test")]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

mod demo;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use demo::{SOURCE_DATE, Variation, compile, input, missing_program, package};
use kiln_model::{CalendarDate, Digest, ManifestDigest};
use kiln_rpm::{
    BaseEvidence, BasePackageInput, DebugInformation, ElfEvidence, PackagedFileKind, RpmFile,
    base_package,
};

const TOOLS: &[&str] = &[
    "bwrap",
    "rpmbuild",
    "find-debuginfo",
    "eu-strip",
    "cpio",
    "file",
    "pkg-config",
    "cc",
    "strip",
];
const PLAIN: Variation = Variation {
    hostname: "one",
    umask: "022",
    changed: &[],
};

fn is_skipped() -> bool {
    match missing_program(TOOLS) {
        Some(program) => {
            println!("skipped: this host has no {program}");
            true
        }
        None => false,
    }
}

type Packages = BTreeMap<String, (RpmFile, Vec<u8>)>;

fn read(packages: &[PathBuf]) -> Packages {
    let read_one = |path: &PathBuf| {
        let bytes = fs_err::read(path).unwrap();
        let package = RpmFile::parse(&bytes).unwrap();
        (package.nevra().name().to_owned(), (package, bytes))
    };
    packages.iter().map(read_one).collect()
}

fn texts(relations: &[kiln_rpm::Relation]) -> Vec<String> {
    relations
        .iter()
        .filter(|r| !r.is_rpmlib())
        .map(ToString::to_string)
        .collect()
}

#[test]
fn slow_packages_are_whole() {
    if is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path());
    let (log, paths) = package(folder.path(), &input(), &PLAIN);
    for word in [
        "warning",
        "error",
        "not found",
        "No such file",
        "cannot",
        "Bad ",
    ] {
        assert!(!log.contains(word), "{word}: {log}");
    }
    let packages = read(&paths);
    let names: Vec<&str> = packages.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "demo",
            "demo-data",
            "demo-debuginfo",
            "demo-debugsource",
            "demo-script",
            "libdemo",
            "libdemo-devel"
        ]
    );
    check_headers(&packages);
    check_relations(&packages);
    check_interpreters(&packages);
    check_files(&packages);
    check_debug_packages(&packages);
    check_with_rpm(&paths);
}

fn check_headers(packages: &Packages) {
    for (name, (package, _)) in packages {
        assert_eq!(package.build_time(), Some(SOURCE_DATE.seconds()));
        assert_eq!(package.build_host(), Some("kiln"));
        assert_eq!(package.payload_compressor(), Some(("zstd", "12")));
        assert_eq!(package.source_rpm(), Some("demo-1.0-2.src.rpm"));
        assert_eq!(package.vendor(), Some("Kiln tests"));
        let architecture = if name == "demo-data" {
            "noarch"
        } else {
            "x86_64"
        };
        assert_eq!(package.nevra().architecture(), architecture);
        for file in package.files() {
            assert_eq!((file.user.as_str(), file.group.as_str()), ("root", "root"));
            assert_eq!(file.modified, SOURCE_DATE.seconds(), "{}", file.path);
        }
    }
    assert_eq!(packages["demo"].0.summary(), Some("The demo part, 100%"));
    let scriptlets = packages["demo"].0.scriptlets();
    assert_eq!(scriptlets[0].body, "# 100% shell\necho \"%{x}\" >/dev/null");
}

fn check_relations(packages: &Packages) {
    let provides = |name: &str| texts(&packages[name].0.relations().provides);
    let requires = |name: &str| texts(&packages[name].0.relations().requires);
    assert_eq!(
        provides("libdemo"),
        [
            "bundled(priv) = 2.0",
            "libdemo = 1.0-2",
            "libdemo(x86-64) = 1.0-2",
            "libdemo.so.1()(64bit)",
            "libdemo.so.1(DEMO_1.0)(64bit)",
        ]
    );
    assert_eq!(
        provides("libdemo-devel"),
        [
            "cmake(Demo) = 1.0",
            "cmake(demo) = 1.0",
            "libdemo-devel = 1.0-2",
            "libdemo-devel(x86-64) = 1.0-2",
            "pkgconfig(demo) = 1.0",
        ]
    );
    for dependency in [
        "/bin/sh",
        "libdemo = 1.0-2",
        "libdemo.so.1(DEMO_1.0)(64bit)",
    ] {
        assert!(
            requires("demo").contains(&dependency.to_owned()),
            "{dependency}"
        );
    }
    assert!(requires("libdemo").contains(&"libc.so.6()(64bit)".to_owned()));
    assert_eq!(
        requires("libdemo-devel"),
        ["/usr/bin/pkg-config", "pkgconfig(zlib) >= 1.2"]
    );
    assert_eq!(provides("demo-data"), ["demo-data = 1.0-2"]);
    for name in packages.keys() {
        for dependency in provides(name).iter().chain(&requires(name)) {
            assert!(!dependency.contains("libpriv"), "{name}: {dependency}");
        }
    }
}

/// Perl by rpm's own scripts, Python by kiln's.
fn check_interpreters(packages: &Packages) {
    let relations = packages["demo-script"].0.relations();
    assert_eq!(
        texts(&relations.provides),
        [
            "demo-script = 1.0-2",
            "demo-script(x86-64) = 1.0-2",
            "perl(Demo::Light) = 1.7",
            "python3.11dist(demo-py) = 1.0~rc1",
            "python3dist(demo-py) = 1.0~rc1",
        ]
    );
    assert_eq!(
        texts(&relations.requires),
        [
            "(python3.11dist(compatible) >= 1.4.2 with python3.11dist(compatible) < 1.5~~)",
            "(python3.11dist(other) < 1.5 or python3.11dist(other) > 1.5)",
            "(python3.11dist(range-of) >= 1.2 with python3.11dist(range-of) < 2)",
            "(python3.11dist(star) >= 3 with python3.11dist(star) < 4~~)",
            "/usr/bin/perl",
            "perl(Demo::Light) >= 1.5",
            "perl(File::Spec)",
            "perl(strict)",
            "python(abi) = 3.11",
            "python3.11dist(modern) >= 1",
            "python3.11dist(pinned) = 2.0^post1",
            "python3.11dist(plain)",
        ]
    );
}

fn check_files(packages: &Packages) {
    let file = |package: &str, path: &str| {
        packages[package]
            .0
            .files()
            .iter()
            .find(|file| file.path == path)
            .unwrap()
            .clone()
    };
    assert!(file("demo", "/etc/demo.conf").is_config());
    assert!(file("demo", "/var/lib/demo/state").is_ghost());
    assert!(file("demo", "/usr/share/licenses/demo/COPYING").is_license());
    assert!(file("demo", "/usr/share/doc/demo/README").is_documentation());
    assert_eq!(
        file("demo-data", "/usr/share/demo/a b 100%.txt").mode,
        0o4750
    );
    assert_eq!(file("libdemo", "/usr/lib64/libdemo.so.1.0").mode, 0o755);
    assert_eq!(file("demo", "/usr/bin/demo").mode, 0o4755);
    assert_eq!(
        file("libdemo-devel", "/usr/lib64/libdemo.so").kind,
        PackagedFileKind::Link {
            target: "libdemo.so.1".to_owned()
        }
    );
    let page = file("demo-script", "/usr/share/man/man1/demo.1.gz");
    assert_eq!((page.mode, page.is_documentation()), (0o640, true));
    assert!(file("demo-script", "/usr/share/man/de/man1/demo.1.gz").is_documentation());
    assert_eq!(
        file("demo-script", "/usr/share/man/man1/demo-script.1.gz").kind,
        PackagedFileKind::Link {
            target: "demo.1.gz".to_owned()
        }
    );
    let is_link = |file: &kiln_rpm::PackagedFile| {
        file.path.starts_with("/usr/lib/.build-id/")
            && matches!(file.kind, PackagedFileKind::Link { .. })
    };
    let links = packages["libdemo"]
        .0
        .files()
        .iter()
        .filter(|file| is_link(file))
        .count();
    assert_eq!(links, 2);
}

fn check_debug_packages(packages: &Packages) {
    let sizes = |package: &str, suffix: &str| -> BTreeMap<String, u64> {
        let files = packages[package].0.files().iter();
        let regular = files.filter(|file| {
            file.path.ends_with(suffix) && matches!(file.kind, PackagedFileKind::Regular { .. })
        });
        regular.map(|file| (file.path.clone(), file.size)).collect()
    };
    let debug = sizes("demo-debuginfo", ".debug");
    let paths: Vec<&str> = debug.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "/usr/lib/debug/usr/bin/demo-1.0-2.x86_64.debug",
            "/usr/lib/debug/usr/lib/demo/lib/libpriv.so.2-1.0-2.x86_64.debug",
            "/usr/lib/debug/usr/lib64/libdemo.so.1.0-1.0-2.x86_64.debug",
        ]
    );
    assert!(debug.values().all(|size| *size > 1000));
    let sources = sizes("demo-debugsource", ".c");
    let paths: Vec<&str> = sources.keys().map(String::as_str).collect();
    assert_eq!(
        paths,
        [
            "/usr/src/debug/demo-1.0-2.x86_64/demo-1.0/main.c",
            "/usr/src/debug/demo-1.0-2.x86_64/demo-1.0/sub/demo.c",
            "/usr/src/debug/demo-1.0-2.x86_64/priv-2.0/priv.c",
        ]
    );
    let provides = texts(&packages["demo-debuginfo"].0.relations().provides);
    let build_ids = provides
        .iter()
        .filter(|name| name.starts_with("debuginfo(build-id) = "));
    assert_eq!(build_ids.count(), 3);
    assert!(
        !provides.iter().any(|name| name.contains(".debug")),
        "{provides:?}"
    );
}

#[expect(clippy::disallowed_methods, reason = "the test asks the real rpm")]
fn rpm(arguments: &[&str], paths: &[PathBuf]) -> String {
    let output = Command::new("rpm")
        .args(arguments)
        .args(paths)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn check_with_rpm(paths: &[PathBuf]) {
    let checked = rpm(&["-K"], paths);
    assert_eq!(
        checked
            .lines()
            .filter(|line| line.ends_with(": digests OK"))
            .count(),
        paths.len()
    );
    // What our reader says is what rpm says.
    for path in paths {
        let package = RpmFile::parse(&fs_err::read(path).unwrap()).unwrap();
        let one = std::slice::from_ref(path);
        let files: Vec<String> = package
            .files()
            .iter()
            .map(|file| file.path.clone())
            .collect();
        assert_eq!(rpm(&["-qpl"], one).lines().collect::<Vec<_>>(), files);
        let provides: Vec<String> = package
            .relations()
            .provides
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            rpm(&["-qp", "--provides"], one).lines().collect::<Vec<_>>(),
            provides
        );
    }
}

fn package_fresh(variation: &Variation, after_compile: impl FnOnce(&Path)) -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path());
    after_compile(folder.path());
    let (_, paths) = package(folder.path(), &input(), variation);
    paths
        .iter()
        .map(|path| fs_err::read(path).unwrap())
        .collect()
}

#[test]
fn slow_nothing_around_reaches_the_packages() {
    if is_skipped() {
        return;
    }
    let expected = package_fresh(&PLAIN, |_| ());
    assert_eq!(expected.len(), 7);
    let again = package_fresh(&PLAIN, |_| ());
    assert!(again == expected, "twice the same differs");
    let variations = [
        (
            "host",
            Variation {
                hostname: "elsewhere",
                ..PLAIN
            },
        ),
        (
            "umask",
            Variation {
                umask: "077",
                ..PLAIN
            },
        ),
        (
            "zone",
            Variation {
                changed: &[("TZ", "Pacific/Kiritimati")],
                ..PLAIN
            },
        ),
        (
            "locale",
            Variation {
                changed: &[("LC_ALL", "C"), ("LANG", "de_DE.UTF-8")],
                ..PLAIN
            },
        ),
        (
            "home",
            Variation {
                changed: &[("HOME", "/elsewhere")],
                ..PLAIN
            },
        ),
        (
            "user",
            Variation {
                changed: &[("USER", "ada"), ("LOGNAME", "ada")],
                ..PLAIN
            },
        ),
        (
            "processors",
            Variation {
                changed: &[("RPM_BUILD_NCPUS", "7")],
                ..PLAIN
            },
        ),
    ];
    for (what, variation) in variations {
        assert!(
            package_fresh(&variation, |_| ()) == expected,
            "another {what} differs"
        );
    }
    let settings = |build: &Path| {
        fs_err::create_dir_all(build.join("home")).unwrap();
        let macros = "%_binary_payload w1.gzdio\n%vendor Nobody\n%dist .x\n%_build_id_links none\n";
        fs_err::write(build.join("home/.rpmmacros"), macros).unwrap();
    };
    let variation = Variation {
        changed: &[("HOME", "/build/home")],
        ..PLAIN
    };
    assert!(
        package_fresh(&variation, settings) == expected,
        "a user's macros differ"
    );
}

#[test]
fn slow_debug_packages_without_content_are_an_error() {
    if is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path());
    for path in [
        "usr/bin/demo",
        "usr/lib64/libdemo.so.1.0",
        "usr/lib/demo/lib/libpriv.so.2",
    ] {
        fs_err::write(
            folder.path().join("destdir").join(path),
            "not an ELF file\n",
        )
        .unwrap();
    }
    let log = demo::package_fails(folder.path(), &input());
    assert!(
        log.contains("kiln: no ELF file carries debug information"),
        "{log}"
    );
    let mut off = input();
    off.debug_information = DebugInformation::Off {
        reason: "nothing compiled".to_owned(),
    };
    let (_, paths) = package(folder.path(), &off, &PLAIN);
    assert_eq!(paths.len(), 5);
}

#[test]
fn slow_noarch_alone_and_packages_of_other_names_work() {
    if is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path());
    let destdir = folder.path().join("destdir");
    // Only what `demo-data` lists stays.
    for path in [
        "usr/lib/python3.11",
        "usr/share/man",
        "usr/share/perl5",
        "usr/bin",
        "usr/lib",
        "usr/lib64",
        "usr/include",
        "etc",
        "usr/share/doc",
    ] {
        fs_err::remove_dir_all(destdir.join(path)).unwrap();
    }
    fs_err::remove_dir_all(destdir.join("usr/share/licenses")).unwrap();
    for name in ["demo", "demo-script", "libdemo", "libdemo-devel"] {
        let file = destdir.join(format!("usr/share/kiln/buildinfo/{name}-x86_64.json"));
        fs_err::remove_file(file).unwrap();
    }
    let mut alone = input();
    alone
        .packages
        .retain(|package| package.name.as_str() == "demo-data");
    alone.private = None;
    alone.debug_information = DebugInformation::Off {
        reason: "nothing compiled".to_owned(),
    };
    let (_, paths) = package(folder.path(), &alone, &PLAIN);
    let other_name = read(&paths);
    assert_eq!(
        other_name["demo-data"].0.nevra().to_string(),
        "demo-data-1.0-2.noarch"
    );
    assert_eq!(other_name.len(), 1);

    fs_err::remove_dir_all(folder.path().join("rpmbuild")).unwrap();
    alone.name = "demo-data".parse().unwrap();
    alone.epoch = Some(1);
    let (log, paths) = package(folder.path(), &alone, &PLAIN);
    assert!(!log.contains("warning"), "{log}");
    let main = read(&paths);
    assert_eq!(
        main["demo-data"].0.nevra().to_string(),
        "demo-data-1:1.0-2.noarch"
    );
    assert_eq!(
        main["demo-data"].0.source_rpm(),
        Some("demo-data-1.0-2.src.rpm")
    );
}

/// What our reader and rpm say about one file, in one form.
fn file_text(file: &kiln_rpm::PackagedFile) -> String {
    format!(
        "{} {:o} {}:{} {} {}",
        file.path,
        file.mode,
        file.user,
        file.group,
        file.flags,
        file.capabilities.as_deref().unwrap_or("-")
    )
}

/// Each kind of relation, as rpm prints it and as we read it.
fn check_every_relation(path: &PathBuf, package_file: &RpmFile) {
    let relations = package_file.relations();
    for (query, ours, expected) in [
        (
            "--conflicts",
            &relations.conflicts,
            vec!["(b unless c)", "torch > 3"],
        ),
        ("--obsoletes", &relations.obsoletes, vec!["candle < 2"]),
        (
            "--recommends",
            &relations.recommends,
            vec!["(d if e else f)", "matches"],
        ),
        ("--suggests", &relations.suggests, vec!["oil"]),
        (
            "--supplements",
            &relations.supplements,
            vec!["(night and house)"],
        ),
        ("--enhances", &relations.enhances, vec!["house >= 2:1-1"]),
    ] {
        assert_eq!(texts(ours), expected);
        let theirs = rpm(&["-qp", query], std::slice::from_ref(path));
        assert_eq!(theirs.lines().collect::<Vec<_>>(), expected, "{query}");
    }
    let requires = rpm(&["-qp", "--requires"], std::slice::from_ref(path));
    for expected in [
        "libdemo(x86-64) = 1:1.0-2",
        "(one if two)",
        "(a >= 1 with a < 2)",
    ] {
        assert!(requires.lines().any(|line| line == expected), "{requires}");
        assert!(texts(&relations.requires).contains(&expected.to_owned()));
    }
    let provides = texts(&relations.provides);
    for expected in ["server = 1.0", "demo = 1:1.0-2", "demo(x86-64) = 1:1.0-2"] {
        assert!(provides.contains(&expected.to_owned()), "{provides:?}");
    }
}

/// Each kind of line of a file list.
fn check_every_line(path: &PathBuf, package_file: &RpmFile) {
    let format = "[%{FILENAMES} %{FILEMODES:octal} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS} %{FILECAPS}\n]";
    let theirs = rpm(
        &["-qp", "--queryformat", format],
        std::slice::from_ref(path),
    );
    // A ghost is 64, configuration 1, what stays as it was changed 16, documentation 2, a licence 128.
    for (place, expected) in [
        ("/etc/demo.conf", "640 demo:daemon 1 -"),
        ("/run/demo.pid", "644 root:root 64 -"),
        ("/usr/bin/demo", "4755 root:root 0 -"),
        (
            "/usr/bin/demo-script",
            "755 root:root 0 cap_net_bind_service=ep",
        ),
        ("/usr/share/doc/demo/README", "644 root:root 2 -"),
        ("/usr/share/licenses/demo/COPYING", "644 root:root 128 -"),
        ("/var/lib/demo", "2770 root:root 64 -"),
        ("/var/lib/demo/state", "600 demo:demo 64 -"),
    ] {
        let file = package_file.files().iter().find(|file| file.path == place);
        let file = file.unwrap_or_else(|| panic!("{place}"));
        assert_eq!(file_text(file), format!("{place} {expected}"));
        let theirs = theirs
            .lines()
            .find(|line| line.starts_with(&format!("{place} ")))
            .unwrap();
        let mode_and_rest = theirs.split_once(' ').unwrap().1;
        let mode = expected.split(' ').next().unwrap();
        assert!(
            mode_and_rest.split(' ').next().unwrap().ends_with(mode),
            "{theirs}"
        );
        let rest = expected.split_once(' ').unwrap().1.trim_end_matches(" -");
        assert!(theirs.contains(rest), "{theirs}");
    }
}

/// The demo's packages with every kind of line and relation: what rpm reads back, and so do we.
#[test]
fn slow_every_key_is_read_back_by_rpm_and_by_us() {
    if is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path());
    let input = demo::keys::every_key();
    let (log, paths) = package(folder.path(), &input, &PLAIN);
    assert!(!log.contains("warning"), "{log}");
    let find = |paths: &[PathBuf], name: &str| {
        let is_named = |path: &&PathBuf| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with(name)
        };
        paths.iter().find(is_named).unwrap().clone()
    };
    let path = find(&paths, "demo-1.0-2.x86_64");
    let package_file = RpmFile::parse(&fs_err::read(&path).unwrap()).unwrap();
    assert_eq!(package_file.nevra().to_string(), "demo-1:1.0-2.x86_64");
    check_every_relation(&path, &package_file);
    check_every_line(&path, &package_file);
    let changelog = "[%{CHANGELOGTIME:day} %{CHANGELOGNAME} %{CHANGELOGTEXT}\n]";
    assert_eq!(
        rpm(
            &["-qp", "--queryformat", changelog],
            std::slice::from_ref(&path)
        ),
        "Mon Feb 20 2023 Ada Example <ada@example.org> - 1:1.0-2 - Say 1:1.0-2\n\
         Sun Feb 19 2023 Ada Example <ada@example.org> - 1:1.0~rc1-1 - Say 1:1.0~rc1-1\n"
    );
    let meta = find(&paths, "demo-all");
    let meta_file = RpmFile::parse(&fs_err::read(&meta).unwrap()).unwrap();
    assert_eq!(meta_file.nevra().to_string(), "demo-all-1:1.0-2.noarch");
    assert_eq!(meta_file.files(), []);
    assert_eq!(texts(&meta_file.relations().requires), ["demo = 1:1.0-2"]);

    let first: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| fs_err::read(path).unwrap())
        .collect();
    let again = tempfile::tempdir().unwrap();
    compile(again.path());
    let elsewhere = Variation {
        hostname: "elsewhere",
        umask: "077",
        ..PLAIN
    };
    let (_, paths) = package(again.path(), &input, &elsewhere);
    let second: Vec<Vec<u8>> = paths
        .iter()
        .map(|path| fs_err::read(path).unwrap())
        .collect();
    assert!(first == second, "twice the same differs");
}

/// Asks rpm whether it takes a dependency under a tag.
#[expect(clippy::disallowed_methods, reason = "the test asks the real rpm")]
fn rpm_takes(folder: &Path, tag: &str, text: &str) -> bool {
    let spec = folder.join("x.spec");
    let lines = format!(
        "Name: x\nVersion: 1\nRelease: 1\nSummary: x\nLicense: x\n{tag}: {text}\n%description\nx\n"
    );
    fs_err::write(&spec, lines).unwrap();
    let output = Command::new("rpmspec")
        .arg("--parse")
        .arg(&spec)
        .output()
        .unwrap();
    output.status.success()
}

/// What kiln takes, rpm takes; and of rich dependencies, what rpm does not, kiln does not.
#[test]
fn slow_rpm_and_kiln_agree_on_dependencies() {
    if is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let atoms = [
        "a",
        "b >= 1",
        "(c if d)",
        "(c unless d)",
        "(c and d)",
        "(c or d)",
        "(c with d)",
    ];
    let operators = [
        "and", "or", "if", "unless", "with", "without", "else", "xor",
    ];
    let mut texts: Vec<String> = Vec::new();
    for first in atoms {
        for operator in operators {
            texts.extend(atoms.map(|second| format!("({first} {operator} {second})")));
        }
        texts.push(format!("(a if b else {first})"));
        texts.push(format!("(a or b or {first})"));
        texts.push(format!("(a if b if {first})"));
        texts.push(format!("({first}"));
        texts.push(format!("({first})"));
    }
    let mut taken = 0;
    for text in &texts {
        for (kind, tag) in [
            (kiln_model::DependencyKind::Requires, "Requires"),
            (kiln_model::DependencyKind::Supplements, "Supplements"),
        ] {
            let ours = kiln_model::Dependency::parse(text, kind).is_ok();
            // rpm takes `(a else b)`, which says nothing.
            let expected = rpm_takes(folder.path(), tag, text) && !is_lone_else(text);
            assert_eq!(ours, expected, "{tag}: {text}");
            taken += usize::from(ours);
        }
    }
    assert!(taken > 100, "{taken}");
}

fn is_lone_else(text: &str) -> bool {
    text.contains(" else ") && !text.starts_with("(a if b else")
}

#[test]
fn slow_an_unlisted_file_is_an_error() {
    if is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    compile(folder.path());
    fs_err::write(folder.path().join("destdir/usr/share/demo/extra"), "").unwrap();
    let log = demo::package_fails(folder.path(), &input());
    assert!(log.contains("/usr/share/demo/extra"), "{log}");
}

/// What this host's own folders offer, as a base's would.
fn host_evidence() -> BaseEvidence {
    let mut evidence = BaseEvidence::new();
    for entry in fs_err::read_dir("/usr/lib/x86_64-linux-gnu").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_file() && name.contains(".so") {
            let bytes = fs_err::read(&path).unwrap();
            if let Some(elf) = ElfEvidence::read(&bytes).unwrap() {
                evidence.add_library(&name, &elf);
            }
        }
    }
    for folder in ["/usr/bin", "/usr/sbin"] {
        for entry in fs_err::read_dir(folder).unwrap() {
            evidence.add_executable(entry.unwrap().path().to_str().unwrap());
        }
    }
    evidence.add_pkgconfig("zlib.pc", "Version: 1.2.13\n");
    evidence
}

fn package_base(folder: &Path, evidence: BaseEvidence) -> PathBuf {
    let date: CalendarDate = "2023-02-20".parse().unwrap();
    let base = base_package(&BasePackageInput {
        base: "debian-12".parse().unwrap(),
        release: "12.15".to_owned(),
        manifest: ManifestDigest(Digest::of(b"x")),
        source_date: date.midnight_utc(),
        vendor: "Kiln tests".to_owned(),
        packages: [
            ("g++".parse().unwrap(), "4:12.2.0-3".to_owned()),
            (
                "libstdc++6".parse().unwrap(),
                "12.2.0-14+deb12u1".to_owned(),
            ),
        ]
        .into(),
        evidence,
    })
    .unwrap();
    for (path, text) in &base.files {
        let file = folder.join("destdir").join(&path.as_str()[1..]);
        fs_err::create_dir_all(file.parent().unwrap()).unwrap();
        fs_err::write(file, text).unwrap();
    }
    fs_err::create_dir_all(folder.join("src")).unwrap();
    // What the source package carries is looked at elsewhere; it only has to be there.
    let sources = folder.join("rpmbuild/SOURCES");
    fs_err::create_dir_all(&sources).unwrap();
    fs_err::write(sources.join(base.spec.source.made.as_ref().unwrap()), "").unwrap();
    let (_, mut paths) = package(folder, &base.spec, &PLAIN);
    assert_eq!(paths.len(), 1);
    paths.remove(0)
}

#[test]
fn slow_a_base_is_packaged_and_satisfies_what_packages_require() {
    if is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut evidence = host_evidence();
    evidence.add_executable("/usr/bin/[");
    evidence.add_executable("/usr/bin/x86_64-linux-gnu-g++-12");
    let base = package_base(folder.path(), evidence);
    let package_file = RpmFile::parse(&fs_err::read(&base).unwrap()).unwrap();
    let provides = texts(&package_file.relations().provides);
    for name in [
        "/bin/[",
        "/bin/sh",
        "g++ = 4:12.2.0-3",
        "libc.so.6(GLIBC_2.34)(64bit)",
        "libstdc++6 = 12.2.0-14+deb12u1",
        "pkgconfig(zlib) = 1.2.13",
        "rtld(GNU_HASH)",
    ] {
        assert!(provides.contains(&name.to_owned()), "{name}");
    }
    assert_eq!(package_file.files()[0].path, "/etc/ld.so.conf.d/kiln.conf");
    assert_eq!(package_file.scriptlets().len(), 2);
    check_with_rpm(std::slice::from_ref(&base));

    let product = tempfile::tempdir().unwrap();
    compile(product.path());
    let (_, mut paths) = package(product.path(), &input(), &PLAIN);
    let refused = install_test(&paths);
    assert!(
        refused.contains("libc.so.6()(64bit) is needed by"),
        "{refused}"
    );
    paths.push(base);
    // No host that this runs on has the demo's Python distributions.
    paths.retain(|path| !path.to_string_lossy().contains("demo-script"));
    assert_eq!(install_test(&paths), "");
}

/// Lets rpm solve the installation of `paths` on an empty system; returns its complaints.
#[expect(clippy::disallowed_methods, reason = "the test asks the real rpm")]
fn install_test(paths: &[PathBuf]) -> String {
    let database = tempfile::tempdir().unwrap();
    let output = Command::new("rpm")
        .args(["-i", "--test", "--nosignature", "--dbpath"])
        .arg(database.path())
        .args(paths)
        .output()
        .unwrap();
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        output.status.success(),
        !log.contains("is needed by"),
        "{log}"
    );
    // Debian's rpm advises against itself first.
    log.lines()
        .filter(|line| !line.starts_with("rpm: "))
        .collect()
}
