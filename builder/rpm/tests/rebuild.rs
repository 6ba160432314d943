//! A source package against the real rpmbuild: made in one place, rebuilt in another by a normal user
//! with no network and no home. `demo` bundles the library `priv`; both have an archive `data.tar`, the
//! product has a patch, and its steps hold what rpm would take for its own syntax.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a failed test")]
#![expect(clippy::print_stdout, reason = "a skipped test says so")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use kiln_model::{Digest, SourceDateEpoch};
use kiln_rpm::{
    BuildRequirement, DebugFiles, DebugInformation, FileKind, FileLine, PackageInput,
    PackagedFileKind, PatchFile, PrivateFiles, RebuildNode, RebuildSteps, RpmFile, SourceFile,
    SourcePackage, SpecInput, UnpackedSource, write_spec,
};

const SOURCE_DATE: SourceDateEpoch = SourceDateEpoch::from_seconds(1_676_851_200);

/// What a step may write, and rpm must not understand.
const ODD: &str = "%files\n# a line that rpm would drop\n%{name} %(id) 100% %% %nil\n%if 1\n\
                   back\\\nslash \\\\ `x` $y \"z\" 'q'\n%endif\n%prep\nKILN\n  tab\tend  \n|bar\n%{unclosed\n";

const SOURCES: &str = r#"
mkdir -p top/SOURCES top/SPECS t/priv/include t/demo t/a t/b
cd t
printf 'int priv(void);\n' > priv/include/priv.h
printf '#include "priv.h"\nint priv(void) { return 3; }\n' > priv/priv.c
printf '#include <priv.h>\n#include <stdio.h>\nint main(void) { printf("BEFORE %%d %%s\\n", priv(), __FILE__); return 0; }\n' > demo/main.c
echo "data of demo" > a/data; echo "data of priv" > b/data
tar -cJf ../top/SOURCES/priv-2.0.tar.xz priv
tar -czf ../top/SOURCES/demo-1.0.tar.gz demo
tar -cf ../top/SOURCES/data.tar -C a data
tar -cf ../top/SOURCES/priv-data.tar -C b data
mkdir -p made/usr/share/licenses/demo; echo licence > made/usr/share/licenses/demo/COPYING
tar -cf ../top/SOURCES/demo-1.0-2-made.tar -C made .
cp demo/main.c demo/main.c.old; sed -i s/BEFORE/AFTER/ demo/main.c
diff -u --label a/main.c --label b/main.c demo/main.c.old demo/main.c > ../top/SOURCES/demo-fix.patch || :
cd ..
"#;

/// Runs a script in a folder of its own, `/work`.
#[expect(clippy::disallowed_methods, reason = "the test drives the real tools")]
fn run(folder: &Path, script: &str) -> (bool, String) {
    let mut bwrap = Command::new("bwrap");
    bwrap.args([
        "--unshare-all",
        "--uid",
        "1234",
        "--gid",
        "1234",
        "--die-with-parent",
    ]);
    bwrap.args(["--ro-bind", "/usr", "/usr", "--ro-bind", "/etc", "/etc"]);
    for folder in ["bin", "sbin", "lib", "lib64"] {
        bwrap.args(["--symlink", &format!("usr/{folder}"), &format!("/{folder}")]);
    }
    bwrap.args([
        "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp",
    ]);
    bwrap
        .arg("--bind")
        .arg(folder)
        .args(["/work", "--chdir", "/work"]);
    bwrap.args(["--clearenv", "--setenv", "PATH", "/usr/sbin:/usr/bin"]);
    bwrap.args(["--setenv", "HOME", "/nowhere"]);
    let output = bwrap
        .args(["/bin/sh", "-ec", script])
        .output()
        .expect("bwrap starts");
    let mut log = String::from_utf8_lossy(&output.stdout).into_owned();
    log.push_str(&String::from_utf8_lossy(&output.stderr));
    (output.status.success(), log)
}

fn is_skipped() -> bool {
    let programs = [
        "bwrap",
        "rpmbuild",
        "find-debuginfo",
        "eu-strip",
        "cpio",
        "cc",
        "patch",
        "xz",
    ];
    let missing = programs
        .iter()
        .find(|name| !Path::new("/usr/bin").join(name).exists());
    if let Some(program) = missing {
        println!("skipped: this host has no {program}");
    }
    missing.is_some()
}

fn node(name: &str, folder: &str, sources: [(usize, &str); 2]) -> RebuildNode {
    let environment = [
        ("CFLAGS", "-O2 -g -fmacro-prefix-map=/build/src/x=."),
        ("CPPFLAGS", "-I/usr/lib/demo/include"),
        (
            "LDFLAGS",
            "-L/usr/lib/demo/lib -Wl,-rpath,/usr/lib/demo/lib",
        ),
        ("PATH", "/usr/bin:/bin"),
        ("PKG_CONFIG_PATH", "/usr/lib64/pkgconfig"),
        ("ODD", "100% %{name} '$ORIGIN'"),
    ];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let unpacked = sources.map(|(source, folder)| UnpackedSource {
        source,
        folder: folder.to_owned(),
        form: kiln_model::recipe::SourceForm::Unpacked,
    });
    RebuildNode {
        recipe: name.parse().unwrap(),
        title: format!("{name}, 100%"),
        folder: folder.to_owned(),
        unpacked: unpacked.into(),
        patches: Vec::new(),
        environment: environment.into(),
        libraries: Vec::new(),
        bundle_prefix: "/usr/lib/demo".parse().unwrap(),
        steps: RebuildSteps {
            prep: None,
            build: None,
            install: None,
            check: None,
        },
    }
}

fn library() -> RebuildNode {
    let mut library = node(
        "priv",
        "priv-2.0",
        [(2, "priv-2.0"), (3, "priv.sources/data")],
    );
    library.steps.build = Some(
        "set -eux\ngrep -q 'of priv' ../priv.sources/data/data\n\
         gcc $CFLAGS -Iinclude -fPIC -shared -Wl,-soname,libpriv.so.2 -o libpriv.so.2 priv.c"
            .to_owned(),
    );
    library.steps.install = Some(
        "set -eux\nD=$DESTDIR/usr/lib/demo\nmkdir -p \"$D/lib\" \"$D/include\"\n\
         install libpriv.so.2 \"$D/lib\"\nln -s libpriv.so.2 \"$D/lib/libpriv.so\"\n\
         install -m 644 include/priv.h \"$D/include\"\n"
            .to_owned(),
    );
    library
}

fn product() -> RebuildNode {
    let mut product = node("demo", "demo-1.0", [(0, "demo-1.0"), (1, "data")]);
    product.patches = vec![0];
    product.libraries = vec!["priv".parse().unwrap()];
    product.steps.build = Some(format!(
        "set -eux\ngrep -q 'of demo' ../data/data\n\
         test \"$ODD\" = '100% %{{name}} '\\''$ORIGIN'\\'\n\
         cat > odd.txt <<'END'\n{ODD}END\n\
         very_long='{}'\ntest ${{#very_long}} = 200000\n\
         gcc $CFLAGS \\\n  $CPPFLAGS -o demo \"$PWD/main.c\" \\\n  $LDFLAGS -lpriv\n",
        "a%{b".repeat(50_000)
    ));
    product.steps.install = Some(
        "install -D -m 4755 demo \"$DESTDIR/usr/bin/demo\"\n\
         install -D -m 640 odd.txt \"$DESTDIR/usr/share/demo/odd.txt\"\n"
            .to_owned(),
    );
    product.steps.check = Some("test \"$(./demo)\" = 'AFTER 3 ./main.c'\n".to_owned());
    product
}

fn source(file: &str, url: Option<&str>) -> SourceFile {
    SourceFile {
        file: file.to_owned(),
        url: url.map(str::to_owned),
        notes: vec!["100% pinned".to_owned()],
        sha256: Digest::of(file.as_bytes()),
    }
}

fn package() -> PackageInput {
    let mut files: Vec<FileLine> = [
        ("/usr/bin/demo", FileKind::File),
        ("/usr/lib/demo", FileKind::Directory),
        ("/usr/lib/demo/lib", FileKind::Directory),
        ("/usr/lib/demo/lib/libpriv.so.2", FileKind::File),
        ("/usr/share/demo", FileKind::Directory),
        ("/usr/share/demo/odd.txt", FileKind::File),
        ("/usr/share/licenses/demo", FileKind::Directory),
        ("/usr/share/licenses/demo/COPYING", FileKind::License),
    ]
    .map(|(path, kind)| FileLine::new(path.parse().unwrap(), kind))
    .into();
    files[0].mode = kiln_model::recipe::FileMode::new(0o4755);
    PackageInput {
        name: "demo".parse().unwrap(),
        summary: "Demo".to_owned(),
        description: "Demo.".to_owned(),
        architecture: kiln_model::recipe::PackageArchitecture::Native,
        files,
        requires: vec![],
        provides: vec![],
        conflicts: vec![],
        obsoletes: vec![],
        recommends: vec![],
        suggests: vec![],
        supplements: vec![],
        enhances: vec![],
        ordering: vec![],
        bundled: vec![],
        scriptlets: vec![],
    }
}

fn input(product: RebuildNode) -> SpecInput {
    SpecInput {
        name: "demo".parse().unwrap(),
        epoch: None,
        version: "1.0".parse().unwrap(),
        release: "2".parse().unwrap(),
        summary: "Demo".to_owned(),
        description: "Demo.".to_owned(),
        license: "MIT".to_owned(),
        url: None,
        vendor: "Kiln tests".to_owned(),
        packager: None,
        source_date: SOURCE_DATE,
        changelog: vec![],
        packages: vec![package()],
        private: Some(PrivateFiles {
            prefix: "/usr/lib/demo".parse().unwrap(),
            sonames: vec!["libpriv.so.2".to_owned()],
        }),
        debug_information: DebugInformation::Split,
        debug_files: DebugFiles::default(),
        without_build_id: Vec::new(),
        source: SourcePackage {
            sources: vec![
                source(
                    "demo-1.0.tar.gz",
                    Some("https://example.org/%7Ea/demo-1.0.tar.gz"),
                ),
                source(
                    "data.tar",
                    Some("https://example.org/fetch?of=data.tar&x=%20"),
                ),
                source("priv-2.0.tar.xz", None),
                source("priv-data.tar", Some("https://example.org/priv/data.tar")),
            ],
            patches: vec![PatchFile {
                file: "demo-fix.patch".to_owned(),
                notes: vec!["For demo: CVE-2020-1".to_owned()],
                sha256: Digest::of(b"patch"),
            }],
            made: Some("demo-1.0-2-made.tar".to_owned()),
            requirements: vec![
                BuildRequirement::Known("gcc".parse().unwrap()),
                BuildRequirement::Unknown {
                    what: "Debian's odd-tool".to_owned(),
                },
            ],
            nodes: vec![library(), product],
            carried: vec!["/usr/lib/demo/lib/libpriv.so.2".parse().unwrap()],
        },
    }
}

/// Makes the source package and rebuilds it elsewhere; returns whether that worked, and the log.
fn rebuild(folder: &Path, product: RebuildNode, options: &str) -> (bool, String) {
    let (done, log) = run(folder, SOURCES);
    assert!(done, "{log}");
    let spec = write_spec(&input(product)).unwrap();
    fs_err::write(folder.join("top/SPECS/demo.spec"), spec).unwrap();
    let (done, log) = run(
        folder,
        "rpmbuild -bs --nodeps --define '_topdir /work/top' top/SPECS/demo.spec\n\
         mv top/SRPMS/demo-1.0-2.src.rpm .\nrm -rf top t",
    );
    assert!(done, "{log}");
    let script = format!(
        "rpmbuild --rebuild --nodeps --define '_topdir /work/other+top' {options} demo-1.0-2.src.rpm"
    );
    run(folder, &script)
}

#[test]
fn slow_a_source_package_builds_elsewhere_what_it_says() {
    if is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (done, log) = rebuild(folder.path(), product(), "");
    assert!(done, "{log}");
    let read = |path: &Path| RpmFile::parse(&fs_err::read(path).unwrap()).unwrap();
    let rpms = folder.path().join("other+top/RPMS/x86_64");
    let demo = read(&rpms.join("demo-1.0-2.x86_64.rpm"));
    let modes: BTreeMap<&str, u16> = demo
        .files()
        .iter()
        .filter(|file| !file.path.starts_with("/usr/lib/.build-id"))
        .map(|file| (file.path.as_str(), file.mode))
        .collect();
    let expected = [
        ("/usr/bin/demo", 0o4755),
        ("/usr/lib/demo", 0o755),
        ("/usr/lib/demo/lib", 0o755),
        ("/usr/lib/demo/lib/libpriv.so.2", 0o755),
        ("/usr/share/demo", 0o755),
        ("/usr/share/demo/odd.txt", 0o640),
        ("/usr/share/licenses/demo", 0o755),
        ("/usr/share/licenses/demo/COPYING", 0o644),
    ];
    assert_eq!(modes, expected.into());
    let odd = demo
        .files()
        .iter()
        .find(|file| file.path.ends_with("odd.txt"));
    let digest = Some(Digest::of(ODD.as_bytes()));
    assert_eq!(odd.unwrap().kind, PackagedFileKind::Regular { digest });
    assert_eq!(demo.build_time(), Some(SOURCE_DATE.seconds()));
    assert!(
        demo.files()
            .iter()
            .all(|file| file.modified == SOURCE_DATE.seconds())
    );
    let sources = read(&rpms.join("demo-debugsource-1.0-2.x86_64.rpm"));
    for path in ["demo-1.0/main.c", "priv-2.0/priv.c"] {
        let path = format!("/usr/src/debug/demo-1.0-2.x86_64/{path}");
        assert!(
            sources.files().iter().any(|file| file.path == path),
            "{path}"
        );
    }
    let source = read(&folder.path().join("demo-1.0-2.src.rpm"));
    let carried: Vec<&str> = source
        .files()
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(
        carried,
        [
            "data.tar",
            "demo-1.0-2-made.tar",
            "demo-1.0.tar.gz",
            "demo-fix.patch",
            "demo.spec",
            "priv-2.0.tar.xz",
            "priv-data.tar",
        ]
    );
    let requires = source.relations().requires.iter().map(ToString::to_string);
    assert!(requires.into_iter().any(|name| name == "gcc"));
    // Nothing is left behind in the builder's folders.
    assert_eq!(
        fs_err::read_dir(folder.path().join("other+top/BUILD"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn slow_a_rebuild_stops_at_a_failed_test_and_without_check_does_not() {
    if is_skipped() {
        return;
    }
    let failing = || {
        let mut failing = product();
        failing.steps.check = Some("set -eux\nfalse\n".to_owned());
        failing
    };
    let folder = tempfile::tempdir().unwrap();
    let (done, log) = rebuild(folder.path(), failing(), "");
    assert!(!done && log.contains("(%check)"), "{log}");
    let folder = tempfile::tempdir().unwrap();
    let (done, log) = rebuild(folder.path(), failing(), "--without check");
    assert!(done, "{log}");
}

#[test]
fn slow_a_rebuilt_file_that_names_the_build_is_an_error() {
    if is_skipped() {
        return;
    }
    let mut leaking = product();
    leaking.steps.install = leaking.steps.install.map(|script| {
        format!("{script}echo \"built in $PWD\" >> \"$DESTDIR/usr/share/demo/odd.txt\"\n")
    });
    let folder = tempfile::tempdir().unwrap();
    let (done, log) = rebuild(folder.path(), leaking, "");
    assert!(!done, "{log}");
    assert!(
        log.contains("kiln: these files name folders below /work/other+top/BUILD/demo-1.0-kiln"),
        "{log}"
    );
    assert!(log.contains("/usr/share/demo/odd.txt\n"), "{log}");
}

#[test]
fn slow_a_missing_carried_file_stops_a_rebuild() {
    if is_skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut product = product();
    product.libraries.clear();
    let (done, log) = rebuild(folder.path(), product, "");
    assert!(!done && log.contains("priv.h: No such file"), "{log}");
}
