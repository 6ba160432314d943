//! A small product with everything that packaging has to get right, and a sandbox to package it in.
//!
//! `demo` is a program and a library; `priv` is a library of others that it bundles under a private
//! prefix. Compilation and packaging run in bubblewrap with `/build` bound to a temporary folder,
//! as uid 0 of a one-id user namespace without capabilities: what kiln's own sandbox gives.

#![expect(clippy::unwrap_used, reason = "a fixture that fails is a failed test")]

pub mod keys;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use kiln_model::recipe::{FileMode, PackageArchitecture};
use kiln_model::{Architecture, SourceDateEpoch};
use kiln_rpm::{
    BundledLibrary, ChangelogEntry, DebugFiles, DebugInformation, Dependency, FileKind, FileLine,
    PackageInput, PackagedPath, PrivateFiles, Scriptlet, ScriptletTime, SourcePackage, SpecInput,
    packaging_step, write_spec,
};

/// 2023-02-20, the date of the demo.
pub const SOURCE_DATE: SourceDateEpoch = SourceDateEpoch::from_seconds(1_676_851_200);

/// What this host must offer; a missing program is named and the test skipped.
pub fn missing_program(programs: &[&str]) -> Option<String> {
    programs
        .iter()
        .find(|program| {
            !["/usr/bin", "/bin", "/usr/sbin"]
                .iter()
                .any(|folder| Path::new(folder).join(program).exists())
        })
        .map(|program| (*program).to_owned())
}

const COMPILE: &str = r#"set -e
umask 022
mkdir -p /build/src/demo-1.0/sub /build/src/priv-2.0 /build/destdir
cd /build/src/priv-2.0
echo 'int priv(int x) { return x * 3; }' > priv.c
cc -g -O2 -fPIC -shared -Wl,-soname,libpriv.so.2 -o libpriv.so.2 priv.c
cd ../demo-1.0
echo '#include <stdio.h>
int priv(int); int demo(int x) { puts(x > 0 ? "a" : "b"); return priv(x); }' > sub/demo.c
echo 'int demo(int); int main(void) { return demo(1); }' > main.c
echo '{ global: demo; local: *; };' | sed 's/^/DEMO_1.0 /' > demo.map
P=/usr/lib/demo/lib
cc -g -O2 -fPIC -shared -Wl,-soname,libdemo.so.1 -Wl,--version-script=demo.map -Wl,-rpath,$P \
  -o libdemo.so.1.0 sub/demo.c ../priv-2.0/libpriv.so.2
cc -g -O2 -fPIE -pie -Wl,-z,now -o demo main.c ./libdemo.so.1.0 -Wl,-rpath-link,../priv-2.0
cc -g -O2 -c -o demo.o sub/demo.c
ar crD libdemo.a demo.o
D=/build/destdir
mkdir -p $D/usr/bin $D/usr/lib64/pkgconfig $D/usr/lib64/cmake/Demo $D/usr/include $D$P \
  $D/usr/share/doc/demo $D/usr/share/licenses/demo $D/etc $D/usr/share/demo $D/usr/share/kiln/buildinfo
install -m 4755 demo $D/usr/bin/demo
printf '#!/bin/sh\nexec demo\n' > $D/usr/bin/demo-script; chmod 0755 $D/usr/bin/demo-script
install -m 0644 libdemo.so.1.0 $D/usr/lib64/libdemo.so.1.0
ln -s libdemo.so.1.0 $D/usr/lib64/libdemo.so.1
ln -s libdemo.so.1 $D/usr/lib64/libdemo.so
install -m 0644 libdemo.a $D/usr/lib64/libdemo.a
install -m 0755 ../priv-2.0/libpriv.so.2 $D$P/libpriv.so.2
echo 'int demo(int);' > $D/usr/include/demo.h
printf 'Name: demo\nDescription: d\nVersion: 1.0\nLibs: -ldemo\nRequires.private: zlib >= 1.2\n' > $D/usr/lib64/pkgconfig/demo.pc
echo '# config' > $D/usr/lib64/cmake/Demo/DemoConfig.cmake
echo 'set(PACKAGE_VERSION "1.0")' > $D/usr/lib64/cmake/Demo/DemoConfigVersion.cmake
echo licence > $D/usr/share/licenses/demo/COPYING
echo readme > $D/usr/share/doc/demo/README
echo 'a=1' > $D/etc/demo.conf
echo odd > "$D/usr/share/demo/a b 100%.txt"
mkdir -m 0555 $D/usr/share/demo/closed
chmod 0755 $D/usr/share/demo/closed; echo x > $D/usr/share/demo/closed/x; chmod 0555 $D/usr/share/demo/closed
for p in demo libdemo libdemo-devel demo-data demo-script; do echo '{}' > $D/usr/share/kiln/buildinfo/$p-x86_64.json; done
mkdir -p $D/usr/share/man/man1 $D/usr/share/man/de/man1
echo '.TH DEMO 1' > $D/usr/share/man/man1/demo.1; chmod 0640 $D/usr/share/man/man1/demo.1
ln -s demo.1 $D/usr/share/man/man1/demo-script.1; echo '.TH DEMO 1 de' > $D/usr/share/man/de/man1/demo.1
S=$D/usr/lib/python3.11/site-packages
mkdir -p $S/demo $S/demo_py-1.0rc1.dist-info $D/usr/share/perl5/Demo
echo 'x = 1' > $S/demo/__init__.py
cat > $S/demo_py-1.0rc1.dist-info/METADATA <<'END'
Metadata-Version: 2.1
Name: Demo_Py
Version: 1.0rc1
Requires-Dist: plain
Requires-Dist: Range.Of[extra] (>=1.2,<2)
Requires-Dist: compatible~=1.4.2
Requires-Dist: star==3.*
Requires-Dist: pinned==2.0.post1
Requires-Dist: other!=1.5
Requires-Dist: tests ; extra == 'test'
Requires-Dist: windows ; sys_platform == "win32"
Requires-Dist: backport ; python_version < "3.8"
Requires-Dist: modern>=1 ; python_version >= '3.8' and sys_platform == 'linux'

Requires-Dist: in-the-text
END
printf '#!/usr/bin/perl\nuse strict;\nuse Demo::Light 1.5;\n' > $D/usr/bin/demo-perl; chmod 0755 $D/usr/bin/demo-perl
printf 'package Demo::Light;\nour $VERSION = "1.7";\nuse File::Spec;\n1;\n' > $D/usr/share/perl5/Demo/Light.pm
find $D -exec touch -h -d @1676851200 {} +
"#;

/// Whether destdir and source trees are mounted read-only over `/build`, as packaging may do.
#[derive(PartialEq)]
pub enum Inputs {
    Writable,
    ReadOnly,
}

/// One run inside bubblewrap.
pub struct Sandboxed<'a> {
    pub build: &'a Path,
    pub inputs: Inputs,
    pub hostname: &'a str,
    pub umask: &'a str,
    pub environment: Vec<(String, String)>,
    pub command: Vec<String>,
}

#[expect(clippy::disallowed_methods, reason = "the test drives the real tools")]
pub fn run(step: &Sandboxed<'_>) -> Output {
    let mut bwrap = Command::new("bwrap");
    bwrap.args([
        "--unshare-all",
        "--uid",
        "0",
        "--gid",
        "0",
        "--cap-drop",
        "ALL",
        "--die-with-parent",
    ]);
    bwrap.args(["--hostname", step.hostname, "--clearenv"]);
    bwrap.args([
        "--tmpfs",
        "/",
        "--ro-bind",
        "/usr",
        "/usr",
        "--ro-bind",
        "/etc",
        "/etc",
    ]);
    for (link, place) in [
        ("usr/bin", "/bin"),
        ("usr/sbin", "/sbin"),
        ("usr/lib", "/lib"),
        ("usr/lib64", "/lib64"),
    ] {
        bwrap.args(["--symlink", link, place]);
    }
    bwrap.args([
        "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/var/tmp",
    ]);
    bwrap.args(["--dir", "/root", "--dir", "/elsewhere", "--bind"]);
    bwrap
        .arg(step.build)
        .arg("/build")
        .args(["--chdir", "/build"]);
    if step.inputs == Inputs::ReadOnly {
        for input in ["destdir", "src/demo-1.0", "src/priv-2.0"] {
            bwrap
                .arg("--ro-bind-try")
                .arg(step.build.join(input))
                .arg(format!("/build/{input}"));
        }
    }
    for (name, value) in &step.environment {
        bwrap.args(["--setenv", name, value]);
    }
    bwrap.args([
        "/bin/sh",
        "-c",
        &format!("umask {}; exec \"$@\"", step.umask),
        "sh",
    ]);
    bwrap.args(&step.command).output().expect("bwrap starts")
}

fn log_of(output: &Output) -> String {
    let mut log = String::from_utf8_lossy(&output.stdout).into_owned();
    log.push_str(&String::from_utf8_lossy(&output.stderr));
    log
}

pub fn assert_success(output: &Output) -> String {
    let log = log_of(output);
    assert!(output.status.success(), "{log}");
    log
}

/// Compiles the demo into `build/destdir`, sources left in `build/src`.
pub fn compile(build: &Path) {
    let environment = [("PATH", "/usr/bin:/bin"), ("LC_ALL", "C.UTF-8")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_success(&run(&Sandboxed {
        build,
        inputs: Inputs::Writable,
        hostname: "compile",
        umask: "022",
        environment: environment.into(),
        command: ["sh", "-c", COMPILE].map(str::to_owned).into(),
    }));
}

/// What may differ between two runs of the packaging step.
pub struct Variation {
    pub hostname: &'static str,
    pub umask: &'static str,
    pub changed: &'static [(&'static str, &'static str)],
}

fn run_rpmbuild(build: &Path, input: &SpecInput, variation: &Variation) -> Output {
    let step = packaging_step(&input.name, Architecture::X86_64, input.source_date);
    let spec = inside(build, step.spec.as_str());
    fs_err::create_dir_all(spec.parent().unwrap()).unwrap();
    fs_err::write(&spec, write_spec(input).unwrap()).unwrap();
    let mut environment = step.environment;
    for (name, value) in variation.changed {
        environment.insert((*name).to_owned(), (*value).to_owned());
    }
    run(&Sandboxed {
        build,
        inputs: Inputs::ReadOnly,
        hostname: variation.hostname,
        umask: variation.umask,
        environment: environment.into_iter().collect(),
        command: step.command,
    })
}

fn inside(build: &Path, path: &str) -> PathBuf {
    build.join(path.strip_prefix("/build/").unwrap())
}

/// Writes the spec, runs rpmbuild; returns its log and the packages, sorted by name.
pub fn package(build: &Path, input: &SpecInput, variation: &Variation) -> (String, Vec<PathBuf>) {
    let log = assert_success(&run_rpmbuild(build, input, variation));
    let step = packaging_step(&input.name, Architecture::X86_64, input.source_date);
    let mut packages = Vec::new();
    for folder in ["noarch", "x86_64"] {
        let folder = inside(build, step.packages.as_str()).join(folder);
        let Ok(entries) = fs_err::read_dir(folder) else {
            continue;
        };
        packages.extend(entries.map(|entry| entry.unwrap().path()));
    }
    packages.sort();
    (log, packages)
}

/// Runs rpmbuild, which must fail; returns its log.
pub fn package_fails(build: &Path, input: &SpecInput) -> String {
    let plain = Variation {
        hostname: "one",
        umask: "022",
        changed: &[],
    };
    let output = run_rpmbuild(build, input, &plain);
    assert!(!output.status.success());
    log_of(&output)
}

fn file(path: &str, kind: FileKind) -> FileLine {
    FileLine::new(path.parse::<PackagedPath>().unwrap(), kind)
}

fn dependency(text: &str) -> Dependency {
    text.parse().unwrap()
}

fn empty(name: &str, architecture: PackageArchitecture) -> PackageInput {
    PackageInput {
        name: name.parse().unwrap(),
        summary: format!("The {name} part, 100%"),
        description: format!("All of {name}.\n\nEven 50 %{{parts}} and `$(quotes)`."),
        architecture,
        files: vec![file(
            &format!("/usr/share/kiln/buildinfo/{name}-x86_64.json"),
            FileKind::File,
        )],
        requires: vec![],
        provides: vec![],
        conflicts: vec![],
        obsoletes: vec![],
        recommends: vec![],
        suggests: vec![],
        supplements: vec![],
        enhances: vec![],
        bundled: vec![],
        scriptlets: vec![],
        ordering: vec![],
    }
}

fn program() -> PackageInput {
    let mut package = empty("demo", PackageArchitecture::Native);
    package.files.extend([
        file("/usr/bin/demo", FileKind::File),
        file("/usr/bin/demo-script", FileKind::File),
        file("/etc/demo.conf", FileKind::Config),
        file("/usr/share/licenses/demo", FileKind::Directory),
        file("/usr/share/licenses/demo/COPYING", FileKind::License),
        file("/usr/share/doc/demo", FileKind::Directory),
        file("/usr/share/doc/demo/README", FileKind::Documentation),
        file("/var/lib/demo/state", FileKind::Ghost),
    ]);
    package.requires.push(dependency("libdemo = 1.0-2"));
    package.scriptlets.push(Scriptlet {
        when: ScriptletTime::AfterInstall,
        body: "# 100% shell\necho \"%{x}\" >/dev/null\n".to_owned(),
    });
    package
}

fn library() -> PackageInput {
    let mut package = empty("libdemo", PackageArchitecture::Native);
    package.files.extend([
        file("/usr/lib64/libdemo.so.1", FileKind::File),
        file("/usr/lib64/libdemo.so.1.0", FileKind::File),
        file("/usr/lib/demo", FileKind::Directory),
        file("/usr/lib/demo/lib", FileKind::Directory),
        file("/usr/lib/demo/lib/libpriv.so.2", FileKind::File),
    ]);
    package.bundled.push(BundledLibrary {
        name: "priv".parse().unwrap(),
        version: Some("2.0".parse().unwrap()),
    });
    package
}

fn development() -> PackageInput {
    let mut package = empty("libdemo-devel", PackageArchitecture::Native);
    package.files.extend([
        file("/usr/include/demo.h", FileKind::File),
        file("/usr/lib64/libdemo.so", FileKind::File),
        file("/usr/lib64/libdemo.a", FileKind::File),
        file("/usr/lib64/pkgconfig/demo.pc", FileKind::File),
        file("/usr/lib64/cmake/Demo", FileKind::Directory),
        file("/usr/lib64/cmake/Demo/DemoConfig.cmake", FileKind::File),
        file(
            "/usr/lib64/cmake/Demo/DemoConfigVersion.cmake",
            FileKind::File,
        ),
    ]);
    package
}

fn data() -> PackageInput {
    let mut package = empty("demo-data", PackageArchitecture::Noarch);
    let mut odd = file("/usr/share/demo/a b 100%.txt", FileKind::File);
    odd.mode = FileMode::new(0o4750);
    package.files.extend([
        file("/usr/share/demo", FileKind::Directory),
        file("/usr/share/demo/closed", FileKind::Directory),
        file("/usr/share/demo/closed/x", FileKind::File),
        odd,
    ]);
    package
}

/// What interpreters read: generators look at it.
fn scripts() -> PackageInput {
    let mut package = empty("demo-script", PackageArchitecture::Native);
    let python = "/usr/lib/python3.11/site-packages";
    for path in ["demo", "demo_py-1.0rc1.dist-info"] {
        package
            .files
            .push(file(&format!("{python}/{path}"), FileKind::Directory));
    }
    package.files.extend([
        file(&format!("{python}/demo/__init__.py"), FileKind::File),
        file(
            &format!("{python}/demo_py-1.0rc1.dist-info/METADATA"),
            FileKind::File,
        ),
        file("/usr/bin/demo-perl", FileKind::File),
        file("/usr/share/man/man1/demo.1", FileKind::File),
        file("/usr/share/man/man1/demo-script.1", FileKind::File),
        file("/usr/share/man/de/man1/demo.1", FileKind::File),
        file("/usr/share/perl5/Demo/Light.pm", FileKind::File),
    ]);
    package
}

/// The demo's spec: five packages, one of them noarch, a private library, debug packages.
pub fn input() -> SpecInput {
    SpecInput {
        name: "demo".parse().unwrap(),
        epoch: None,
        version: "1.0".parse().unwrap(),
        release: "2".parse().unwrap(),
        summary: "Demo".to_owned(),
        description: "Demo.".to_owned(),
        license: "MIT".to_owned(),
        url: Some("https://example.org/a%20b".to_owned()),
        vendor: "Kiln tests".to_owned(),
        packager: Some("Ada Example <ada@example.org>".to_owned()),
        source_date: SOURCE_DATE,
        changelog: vec![ChangelogEntry {
            date: "2023-02-20".parse().unwrap(),
            author: "Ada Example <ada@example.org>".to_owned(),
            version_release: "1.0-2".to_owned(),
            lines: vec!["Raise the share to 100%".to_owned()],
        }],
        packages: vec![program(), library(), development(), data(), scripts()],
        private: Some(PrivateFiles {
            prefix: "/usr/lib/demo".parse().unwrap(),
            sonames: vec!["libpriv.so.2".to_owned()],
        }),
        debug_information: DebugInformation::Split,
        debug_files: DebugFiles::default(),
        without_build_id: Vec::new(),
        source: SourcePackage::empty(),
    }
}
