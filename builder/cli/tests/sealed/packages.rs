//! A recipe that uses every key of packages: what comes out, read by us and by rpm, twice the same; and
//! what is wrong with packages only once files are installed.

use std::process::Command;

use kiln_rpm::{PackagedFile, PackagedFileKind, RpmFile};

use crate::bases::Base;
use crate::project::{DEMO, Project, changed, outputs};
use crate::server::Server;

const INSTALL: &str = r#"  use: make
  install: |
    make install
    cd "$DESTDIR"
    mkdir -p etc/demo usr/share/demo/themes usr/share/doc/demo var/lib/demo usr/share/man/man1
    echo a=1 > etc/demo/demo.conf
    echo b=1 > etc/demo/rules.conf
    echo text > etc/demo/README
    echo theme > usr/share/demo/themes/dark
    echo theme > usr/share/demo/themes/light
    ln -s dark usr/share/demo/themes/default
    ln -s /etc/demo usr/share/demo/settings
    echo read > usr/share/doc/demo/NEWS
    echo .TH > usr/share/man/man1/demo.1
    printf '#!/bin/sh\nexec demo\n' > usr/bin/demo-admin
    chmod 755 usr/bin/demo-admin
    echo old > var/lib/demo.db
"#;

const PACKAGES: &str = r#"packages:
  - name: demo
    requires: ["=libdemo", "(=demo-themes or themes)", (light if dark)]
    provides: [lamp = 1.0]
    conflicts: [torch]
    obsoletes: ["candle < 2"]
    recommends: ["=demo-themes"]
    suggests: [oil]
    supplements: [(night and house)]
    enhances: [house]
    files: [/usr/bin/*, "!/usr/bin/demo-admin", /usr/share/man/**, /usr/share/doc/**]
    config: [/etc/demo/**, "!/etc/demo/rules.conf", "!/etc/demo/README"]
    config-replaced: [/etc/demo/rules.conf]
    docs: [/etc/demo/README]
    directories: [/var/lib/demo]
    ghost:
      - {path: /var/lib/demo.db, mode: "0600", owner: demo, group: demo}
      - {path: /run/demo, kind: directory, mode: "0750", owner: demo}
    attributes:
      - {files: /etc/demo/**, mode: "0640", group: demo}
      - {files: /etc/demo, mode: "0750", group: demo}
      - {files: /usr/bin/demo, capabilities: cap_net_bind_service=ep}
      - {files: /var/lib/demo, owner: demo, group: demo}
  - name: demo-admin
    requires: ["=demo"]
    files: [/usr/bin/demo-admin]
    attributes: [{files: /usr/bin/demo-admin, mode: "4750"}]
  - name: demo-themes
    noarch: true
    requires: ["=demo"]
    files: [/usr/share/demo/**]
  - name: demo-all
    noarch: true
    requires: ["=demo", "=demo-themes", "=libdemo-devel"]
  - name: libdemo
    files: [/usr/lib64/libdemo.so.*]
  - name: libdemo-devel
    requires: ["=libdemo"]
    files: [/usr/include/demo.h, /usr/lib64/libdemo.so, /usr/lib64/libdemo.a, /usr/lib64/pkgconfig/demo.pc]
changelog:
  - date: 2024-03-01
    author: Demo packagers <packagers@example.org>
    changes: [Second build]
  - date: 2024-02-29
    version: 1.0~rc1-4
    author: Demo packagers <packagers@example.org>
    changes: [First build]
"#;

fn recipe() -> String {
    let text = changed(DEMO, "  use: make\n", INSTALL);
    let start = text.find("packages:\n").unwrap();
    let text = format!("{}{PACKAGES}", &text[..start]);
    changed(&text, "release: 1\n", "release: 1\nepoch: 2\n")
}

fn read(project: &Project<'_>, file: &str) -> RpmFile {
    let path = project.root.join("out/rpms").join(file);
    RpmFile::parse(&fs_err::read(path).unwrap()).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the test asks the real rpm")]
fn rpm(project: &Project<'_>, file: &str, arguments: &[&str]) -> Vec<String> {
    let path = project.root.join("out/rpms").join(file);
    let mut command = Command::new("rpm");
    let output = command
        .arg("-qp")
        .args(arguments)
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn texts(relations: &[kiln_rpm::Relation]) -> Vec<String> {
    relations.iter().map(ToString::to_string).collect()
}

const MAIN: &str = "x86_64/demo-1.0-1.x86_64.rpm";

#[test]
fn slow_every_key_of_a_package_reaches_the_rpms() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, &recipe());
    project.done(&["lock"]);
    project.done(&["build"]);
    let names = project.rpm_names();
    for name in [
        "noarch/demo-all-1.0-1.noarch.rpm",
        "noarch/demo-themes-1.0-1.noarch.rpm",
    ] {
        assert!(names.contains(&name.to_owned()), "{names:?}");
    }
    check_relations(&project);
    check_files(&project);
    check_other_packages(&project);
    let changelog = "[%{CHANGELOGTIME:day} %{CHANGELOGNAME} %{CHANGELOGTEXT}\n]";
    assert_eq!(
        rpm(&project, MAIN, &["--queryformat", changelog]),
        [
            "Fri Mar 01 2024 Demo packagers <packagers@example.org> - 2:1.0-1 - Second build",
            "Thu Feb 29 2024 Demo packagers <packagers@example.org> - 1.0~rc1-4 - First build",
        ]
    );
    let provenance = project.root.join("out/provenance/demo.provenance.json");
    let provenance = fs_err::read_to_string(provenance).unwrap();
    assert!(provenance.contains("demo-all-1.0-1.noarch.rpm"));
    let again = Project::below(&base, &server, &recipe(), "elsewhere/deeper");
    again.done(&["lock"]);
    again.done(&["build"]);
    let first = outputs(&project.root.join("out"));
    assert_eq!(outputs(&again.root.join("out")), first);
    let cached = project.done(&["build"]);
    assert!(!cached.stderr.contains("error"), "{}", cached.stderr);
    assert_eq!(outputs(&project.root.join("out")), first);
}

fn check_relations(project: &Project<'_>) {
    let main = read(project, MAIN);
    assert_eq!(main.nevra().to_string(), "demo-2:1.0-1.x86_64");
    let relations = main.relations();
    for (query, ours, expected) in [
        ("--conflicts", &relations.conflicts, "torch"),
        ("--obsoletes", &relations.obsoletes, "candle < 2"),
        (
            "--recommends",
            &relations.recommends,
            "demo-themes = 2:1.0-1",
        ),
        ("--suggests", &relations.suggests, "oil"),
        ("--supplements", &relations.supplements, "(night and house)"),
        ("--enhances", &relations.enhances, "house"),
    ] {
        assert_eq!(texts(ours), [expected], "{query}");
        assert_eq!(rpm(project, MAIN, &[query]), [expected]);
    }
    let requires = rpm(project, MAIN, &["--requires"]);
    for expected in [
        "libdemo(x86-64) = 2:1.0-1",
        "(demo-themes = 2:1.0-1 or themes)",
        "(light if dark)",
    ] {
        assert!(requires.contains(&expected.to_owned()), "{requires:?}");
        assert!(texts(&relations.requires).contains(&expected.to_owned()));
    }
    let provides = texts(&relations.provides);
    assert!(provides.contains(&"lamp = 1.0".to_owned()), "{provides:?}");
    let themes = read(project, "noarch/demo-themes-1.0-1.noarch.rpm");
    let requires = texts(&themes.relations().requires);
    assert!(
        requires.contains(&"demo = 2:1.0-1".to_owned()),
        "{requires:?}"
    );
}

/// What a file is, in one line; rpm's flags: 1 configuration, 16 that stays, 2 documentation, 64 ghost.
fn described(file: &PackagedFile) -> String {
    let capabilities = file.capabilities.as_deref().unwrap_or("");
    let kind = match file.kind {
        PackagedFileKind::Directory => "d",
        PackagedFileKind::Link { .. } => "l",
        _ => "f",
    };
    let (mode, user, group, flags) = (file.mode, &file.user, &file.group, file.flags);
    format!(
        "{} {kind} {mode:04o} {user}:{group} {flags} {capabilities}",
        file.path
    )
}

fn check_files(project: &Project<'_>) {
    let main = read(project, MAIN);
    let is_shown = |file: &&PackagedFile| {
        !file.path.contains("/.build-id") && !file.path.starts_with("/usr/share/licenses")
    };
    let files: Vec<String> = main
        .files()
        .iter()
        .filter(is_shown)
        .map(described)
        .collect();
    assert_eq!(
        files,
        [
            "/etc/demo d 0750 root:demo 0 ",
            "/etc/demo/README f 0640 root:demo 2 ",
            "/etc/demo/demo.conf f 0640 root:demo 17 ",
            "/etc/demo/rules.conf f 0640 root:demo 1 ",
            "/run/demo d 0750 demo:root 64 ",
            "/usr/bin/demo f 0755 root:root 0 cap_net_bind_service=ep",
            "/usr/share/doc/demo d 0755 root:root 0 ",
            "/usr/share/doc/demo/NEWS f 0644 root:root 2 ",
            "/usr/share/kiln d 0755 root:root 0 ",
            "/usr/share/kiln/buildinfo d 0755 root:root 0 ",
            "/usr/share/kiln/buildinfo/demo-x86_64.json f 0644 root:root 0 ",
            "/usr/share/man/man1/demo.1.gz f 0644 root:root 2 ",
            "/var/lib/demo d 0755 demo:demo 0 ",
            "/var/lib/demo.db f 0600 demo:demo 64 ",
        ]
    );
    let format = "[%{FILENAMES} %{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS} %{FILECAPS}\n]";
    let theirs = rpm(project, MAIN, &["--queryformat", format]);
    for expected in [
        "/etc/demo drwxr-x--- root:demo 0 ",
        "/etc/demo/demo.conf -rw-r----- root:demo 17 ",
        "/run/demo drwxr-x--- demo:root 64 ",
        "/usr/bin/demo -rwxr-xr-x root:root 0 cap_net_bind_service=ep",
        "/var/lib/demo.db -rw------- demo:demo 64 ",
    ] {
        let found = theirs
            .iter()
            .any(|line| line.trim_end() == expected.trim_end());
        assert!(found, "{expected}: {theirs:#?}");
    }
}

fn check_other_packages(project: &Project<'_>) {
    let admin = read(project, "x86_64/demo-admin-1.0-1.x86_64.rpm");
    let found = admin.files().iter().map(described);
    let expected = "/usr/bin/demo-admin f 4750 root:root 0 ";
    assert!(found.into_iter().any(|file| file == expected));
    let themes = read(project, "noarch/demo-themes-1.0-1.noarch.rpm");
    let target = |path: &str| {
        let file = themes
            .files()
            .iter()
            .find(|file| file.path == path)
            .unwrap();
        let PackagedFileKind::Link { target } = &file.kind else {
            panic!("{file:?}")
        };
        target.clone()
    };
    assert_eq!(target("/usr/share/demo/themes/default"), "dark");
    assert_eq!(target("/usr/share/demo/settings"), "/etc/demo");
    // A package that only requires others has its build information and licence, and nothing else.
    let all = read(project, "noarch/demo-all-1.0-1.noarch.rpm");
    let paths: Vec<&str> = all.files().iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/usr/share/kiln",
            "/usr/share/kiln/buildinfo",
            "/usr/share/kiln/buildinfo/demo-all-noarch.json",
            "/usr/share/licenses/demo-all",
            "/usr/share/licenses/demo-all/LICENSE",
        ]
    );
}

/// What is changed in the recipe into what; the first line of the error; and what its caret stands under.
type Misfit = (&'static str, &'static str, &'static str, &'static str);

const MISFITS: &[Misfit] = &[
    (
        "files: [/usr/bin/demo-admin]",
        "noarch: true\n    files: [/usr/bin/demo-admin, /usr/bin/demo]",
        "demo: `/usr/bin/demo` belongs to both `demo` and `demo-admin`",
        "/usr/bin/*",
    ),
    (
        "    files: [/usr/lib64/libdemo.so.*]",
        "    noarch: true\n    files: [/usr/lib64/libdemo.so.*]",
        "demo: `/usr/lib64/libdemo.so.1.0` holds machine code, but its package `libdemo` is `noarch`",
        "true\n",
    ),
    (
        "capabilities: cap_net_bind_service=ep}\n",
        "capabilities: cap_net_bind_service=ep}\n      - {files: /usr/bin/dmo, mode: \"0755\"}\n",
        "demo: the attributes for `/usr/bin/dmo` match nothing that `demo` owns",
        "/usr/bin/dmo",
    ),
    (
        "directories: [/var/lib/demo]",
        "directories: [/var/lib/demo, /usr/bin]",
        "demo: package `demo` names the directory `/usr/bin`, which every system has",
        "/usr/bin]",
    ),
    (
        "directories: [/var/lib/demo]",
        "directories: [/var/lib/demo, /var/lib/dmo]",
        "demo: pattern `/var/lib/dmo` of package `demo` matches no installed directory",
        "/var/lib/dmo]",
    ),
    (
        "{path: /run/demo, kind: directory,",
        "{path: /usr/share/demo, kind: directory,",
        "demo: the ghost `/usr/share/demo` of `demo` is a directory with something in it in what was installed",
        "/usr/share/demo, kind",
    ),
    (
        "ln -s dark usr",
        "ln -s drak usr",
        "demo: the link `/usr/share/demo/themes/default` leads to `/usr/share/demo/themes/drak`, which no \
             package here has",
        "/usr/share/demo/**",
    ),
    (
        "ln -s dark usr",
        "ln -s \"$PWD/usr/share/demo/themes/dark\" usr",
        "demo: the link `/usr/share/demo/themes/default` leads to \
             `/build/destdir/usr/share/demo/themes/dark`, a folder of the build",
        "/usr/share/demo/**",
    ),
    (
        "  - name: libdemo-devel\n    requires: [\"=libdemo\"]\n",
        "  - name: libdemo-devel\n",
        "demo: the link `/usr/lib64/libdemo.so` of `libdemo-devel` leads to `/usr/lib64/libdemo.so.1` of \
             `libdemo`, which `libdemo-devel` does not require",
        "/usr/lib64/libdemo.so, /usr",
    ),
    (
        "    requires: [\"=demo\"]\n    files: [/usr/bin/demo-admin]\n    attributes: [{",
        "    files: [/usr/bin/demo-admin]\n    ghost: [{path: /etc/demo/admin}]\n    attributes: [{",
        "demo: `/etc/demo` is 0750 root:demo in `demo` and 0755 root:root in `demo-admin`",
        "/etc/demo, mode",
    ),
    (
        "    chmod 755 usr/bin/demo-admin\n",
        "    chmod 755 usr/bin/demo-admin\n    echo 'libdir=${prefix}//usr/lib64' > usr/lib64/pkgconfig/demo.pc\n",
        "demo: line 1 of `/usr/lib64/pkgconfig/demo.pc` has the prefix twice: `libdir=${prefix}//usr/lib64`",
        "/usr/lib64/pkgconfig/demo.pc",
    ),
];

#[test]
fn slow_what_does_not_fit_a_package_is_shown_at_its_line() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, &recipe());
    project.done(&["lock"]);
    for misfit in MISFITS {
        check_misfit(&project, misfit);
    }
}

fn check_misfit(project: &Project<'_>, (from, to, error, site): &Misfit) {
    project.write_demo(&changed(&recipe(), from, to));
    let ended = project.kiln(&["--quiet", "build"]);
    assert_eq!(ended.code, Some(1), "{error}: {}", ended.stderr);
    let first = format!("error: {error}\n  --> recipes/demo/recipe.yaml:");
    let stderr = &ended.stderr;
    assert!(
        stderr.starts_with(&first),
        "{first} is not how starts {stderr}"
    );
    // The caret stands under the value.
    let path = project.root.join("recipes/demo/recipe.yaml");
    let text = fs_err::read_to_string(path).unwrap();
    let place: Vec<usize> = stderr[first.len()..]
        .lines()
        .next()
        .unwrap()
        .split(':')
        .map(|number| number.parse().unwrap())
        .collect();
    let start: usize = text
        .lines()
        .take(place[0] - 1)
        .map(|line| line.len() + 1)
        .sum();
    let shown = &text[start + place[1] - 1..];
    assert!(shown.starts_with(site), "{site} is not where {stderr}");
    assert_eq!(project.rpm_names(), [""; 0]);
    project.check_no_leftovers();
}
