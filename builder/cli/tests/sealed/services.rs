//! A demo that is a service, built, judged by systemd's own tools, installed, upgraded and removed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use kiln_rpm::RpmFile;

use crate::bases::Base;
use crate::project::{DEMO, Ended, Project, changed, files};
use crate::server::Server;

/// What makes demo a service in the way of Clearwater's packages: a helper script, a user with home
/// and logs, limits, a timer beside the daemon.
const SERVICE: &str = r#"    files: [/usr/bin/demo]
    scripts:
      post: |
        [ "$1" -gt 0 ] || exit 1
        echo "post $1" >> /var/log/demo/scripts
      preun: |
        [ "$1" -eq 0 ] || exit 0
        echo "preun $1" >> /var/log/demo/scripts
    install:
      - {file: files/demo.service, to: /usr/lib/systemd/system/demo.service}
      - {file: files/demo.sh, to: /usr/lib/systemd/scripts/demo.sh, mode: "0755"}
      - {file: files/demo-trim@.service, to: /usr/lib/systemd/system/demo-trim@.service}
      - {file: files/demo-trim.timer, to: /usr/lib/systemd/system/demo-trim.timer}
    systemd:
      - {unit: demo.service, preset: enable}
      - {unit: demo-trim@.service, on-upgrade: keep}
      - {unit: demo-trim.timer}
    users:
      - name: demo
        comment: Demo's server
        groups: [adm]
        home: /var/lib/demo
        log-directory: /var/log/demo
        log-mode: "0755"
    tmpfiles: [d /var/lib/demo/cache 0700 demo demo -]
    limits:
      - {user: demo, item: nofile, soft: 1000, hard: 100000}
    alternatives:
      - {name: demonstration, link: /usr/bin/demonstration, path: /usr/bin/demo, priority: 10}
"#;

const UNIT: &str = "\
[Unit]
Description=Demo
[Service]
Type=oneshot
ExecStartPre=/usr/lib/systemd/scripts/demo.sh
ExecStart=/usr/bin/demo
User=demo
Group=demo
LimitNOFILE=100000
[Install]
WantedBy=multi-user.target
";

const HELPER: &str = "#!/bin/sh\nset -e\nmkdir -p /var/lib/demo/cache\n";

const TRIM: &str = "[Unit]\nDescription=Trim %i\n[Service]\nType=oneshot\nExecStart=/bin/true\n";

const TIMER: &str = "[Unit]\nDescription=Trim\n[Timer]\nOnCalendar=daily\nUnit=demo-trim@all.service\n\
                     [Install]\nWantedBy=timers.target\n";

fn service() -> String {
    changed(DEMO, "    files: [/usr/bin/demo]\n", SERVICE)
}

fn project<'a>(base: &Base, server: &'a Server, recipe: &str) -> Project<'a> {
    let project = Project::new(base, server, recipe);
    for (name, text) in [
        ("demo.service", UNIT),
        ("demo.sh", HELPER),
        ("demo-trim@.service", TRIM),
        ("demo-trim.timer", TIMER),
    ] {
        project.write(&format!("recipes/demo/files/{name}"), text.as_bytes());
    }
    project.done(&["lock"]);
    project
}

fn rpm(project: &Project<'_>, name: &str) -> RpmFile {
    let path = project.root.join("out/rpms/x86_64").join(name);
    RpmFile::parse(&fs_err::read(path).unwrap()).unwrap()
}

/// What each kind of work came to: `build demo: cached`.
fn states(ended: &Ended) -> Vec<String> {
    let events = ended.stdout.lines().map(|line| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        event
    });
    let ended = events.filter(|event| event["event"] == "work-ended");
    let states = ended.map(|event| {
        let work = &event["work"];
        let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        let (kind, name, state) = (&work["kind"], &work["name"], &event["state"]);
        format!("{} {}: {}", word(kind), word(name), word(state))
    });
    states.filter(|state| state.contains(" demo")).collect()
}

#[test]
fn slow_a_service_is_in_its_package_and_its_files_compile_nothing() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = project(&base, &server, &service());
    project.done(&["build", "demo"]);
    let demo = rpm(&project, "demo-1.0-1.x86_64.rpm");
    let row = |path: &str| {
        let file = demo.files().iter().find(|file| file.path == path);
        let file = file.unwrap_or_else(|| panic!("{path} is not in the package"));
        format!(
            "{:o} {}:{} {:x}",
            file.mode & 0o7777,
            file.user,
            file.group,
            file.flags
        )
    };
    for (path, expected) in [
        ("/etc/security/limits.d/demo.conf", "644 root:root 11"),
        ("/usr/bin/demonstration", "644 root:root 40"),
        ("/usr/lib/systemd/scripts", "755 root:root 0"),
        ("/usr/lib/systemd/scripts/demo.sh", "755 root:root 0"),
        ("/usr/lib/systemd/system/demo.service", "644 root:root 0"),
        (
            "/usr/lib/systemd/system-preset/80-demo.preset",
            "644 root:root 0",
        ),
        ("/usr/lib/sysusers.d/demo.conf", "644 root:root 0"),
        ("/usr/lib/tmpfiles.d/demo.conf", "644 root:root 0"),
        ("/var/lib/demo", "750 demo:demo 0"),
        ("/var/log/demo", "755 demo:demo 0"),
    ] {
        assert_eq!(row(path), expected, "{path}");
    }
    let provides: Vec<&str> = demo
        .relations()
        .provides
        .iter()
        .map(|relation| relation.name.as_str())
        .collect();
    for name in ["user(demo)", "group(demo)", "groupmember(demo/adm)"] {
        assert!(provides.contains(&name), "{name} is not in {provides:?}");
    }
    let sections: Vec<&str> = demo.scriptlets().iter().map(|s| s.section).collect();
    assert_eq!(sections, ["%pre", "%post", "%preun", "%postun"]);
    let unit = kiln_model::Digest::of(UNIT.as_bytes()).to_hex();
    for file in [
        "out/sbom/demo.cdx.json",
        "out/sbom/demo.spdx.json",
        "out/provenance/demo.provenance.json",
    ] {
        let text = fs_err::read_to_string(project.root.join(file)).unwrap();
        assert!(text.contains(&unit), "the unit's digest is not in {file}");
    }
    // Another unit is another package of the same build.
    let other = changed(UNIT, "Description=Demo", "Description=Other");
    project.write("recipes/demo/files/demo.service", other.as_bytes());
    let ended = project.done(&["build", "demo", "--format", "json"]);
    assert_eq!(
        states(&ended),
        ["build demo: cached", "package demo: built"]
    );
}

#[test]
fn slow_what_a_base_image_alone_can_say_stops_packaging_at_its_line() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let broken = changed(
        &service(),
        "        [ \"$1\" -gt 0 ] || exit 1\n",
        "        if [ \"$1\" -gt 0 ]; then\n          echo\n        fo\n",
    );
    let project = project(&base, &server, &broken);
    let ended = project.kiln(&["--quiet", "build", "demo"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    let recipe = fs_err::read_to_string(project.root.join("recipes/demo/recipe.yaml")).unwrap();
    // The shell notices the missing `fi` at the end of the text.
    let line = recipe
        .lines()
        .position(|line| line.contains("post $1"))
        .unwrap()
        + 1;
    for part in [
        "the `post` script of package `demo` is no shell script".to_owned(),
        format!("--> recipes/demo/recipe.yaml:{line}:9\n"),
        "hint: scripts are read by the base image's `/bin/sh`".to_owned(),
    ] {
        assert!(
            ended.stderr.contains(&part),
            "{part} is not in {}",
            ended.stderr
        );
    }
    assert!(
        project
            .rpm_names()
            .iter()
            .all(|name| !name.starts_with("demo"))
    );
    // A program that is nowhere: the recipe's text could not tell.
    project.write_demo(&service());
    let other = changed(
        UNIT,
        "ExecStart=/usr/bin/demo\n",
        "ExecStart=/usr/bin/demon\n",
    );
    project.write("recipes/demo/files/demo.service", other.as_bytes());
    let ended = project.kiln(&["--quiet", "build", "demo"]);
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    for part in [
        "no package of this recipe ships `/usr/bin/demon`, and the system does not either",
        "--> recipes/demo/files/demo.service:6:1",
        "hint: did you mean `/usr/bin/demo`?",
    ] {
        assert!(
            ended.stderr.contains(part),
            "{part} is not in {}",
            ended.stderr
        );
    }
}

/// Runs a command to its end.
#[expect(
    clippy::disallowed_methods,
    reason = "systemd's and rpm's own tools are the judges"
)]
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/root")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .args(arguments);
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("skipped: no {program}; scripts/install-test-tools installs it");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

/// Unpacks an RPM into a folder.
fn unpack(rpm: &Path, folder: &Path) {
    let script = "cd \"$2\" && rpm2cpio \"$1\" | cpio -idm --quiet --no-absolute-filenames";
    let arguments = [
        "-c",
        script,
        "sh",
        &rpm.to_string_lossy(),
        &folder.to_string_lossy(),
    ];
    let output = run("/bin/sh", &arguments).unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn slow_systemd_accepts_the_files_of_a_service() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = project(&base, &server, &service());
    project.done(&["build", "demo"]);
    let root = tempfile::tempdir().unwrap();
    let rpms = project.root.join("out/rpms/x86_64");
    unpack(&rpms.join("demo-1.0-1.x86_64.rpm"), root.path());
    let below = format!("--root={}", root.path().display());
    // The host's shell and accounts stand in for those of an installed system.
    fs_err::create_dir_all(root.path().join("etc")).unwrap();
    fs_err::write(root.path().join("etc/passwd"), "root:x:0:0::/:/bin/sh\n").unwrap();
    fs_err::write(root.path().join("etc/group"), "root:x:0:\nadm:x:4:\n").unwrap();
    let Some(output) = run("systemd-sysusers", &[&below, "demo.conf"]) else {
        return;
    };
    assert!(output.status.success(), "{}", text(&output));
    let passwd = fs_err::read_to_string(root.path().join("etc/passwd")).unwrap();
    let demo = passwd
        .lines()
        .find(|line| line.starts_with("demo:"))
        .unwrap();
    assert!(
        demo.ends_with(":Demo's server:/var/lib/demo:/usr/sbin/nologin"),
        "{demo}"
    );
    let group = fs_err::read_to_string(root.path().join("etc/group")).unwrap();
    assert!(group.contains("adm:x:4:demo\n"), "{group}");
    if rustix::process::geteuid().is_root() {
        let output = run("systemd-tmpfiles", &[&below, "--create", "demo.conf"]).unwrap();
        assert!(output.status.success(), "{}", text(&output));
        assert!(root.path().join("var/lib/demo/cache").is_dir());
    }
    let output = run(
        "systemctl",
        &[&below, "preset", "demo.service", "demo-trim.timer"],
    )
    .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    let wants = root.path().join("etc/systemd/system");
    let links: Vec<String> = files(&wants).into_keys().collect();
    assert_eq!(links, ["multi-user.target.wants/demo.service"]);
    let units = ["demo.service", "demo-trim@all.service", "demo-trim.timer"];
    for target in [
        "basic.target",
        "shutdown.target",
        "sysinit.target",
        "timers.target",
    ] {
        let path = root.path().join("usr/lib/systemd/system").join(target);
        fs_err::write(path, "[Unit]\nDescription=x\n").unwrap();
    }
    for program in ["usr/bin/true", "bin/true"] {
        let path = root.path().join(program);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::copy("/bin/true", path).unwrap();
    }
    let arguments = [&["verify", "--man=no", &below][..], &units].concat();
    let output = run("systemd-analyze", &arguments).unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(text(&output), "", "systemd has nothing to say");
}

/// Everything happens on an overlay over this system: its rpm, its accounts, its systemd.
const ROOM: &str = r#"
set -eu
mount -t tmpfs tmpfs "$ROOM"
mkdir "$ROOM/upper" "$ROOM/work" "$ROOM/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$ROOM/upper,workdir=$ROOM/work" "$ROOM/root"
mount -t proc proc "$ROOM/root/proc"
mkdir -p "$ROOM/root/rpms" "$ROOM/root/run" "$ROOM/root/tmp" "$ROOM/root/dev"
mount -t tmpfs tmpfs "$ROOM/root/tmp"
mount --bind "$RPMS" "$ROOM/root/rpms"
mount --bind /dev "$ROOM/root/dev"
cp "$SCRIPT" "$ROOM/root/tmp/script"
exec chroot "$ROOM/root" /bin/sh -eux /tmp/script
"#;

const LIFE: &str = r#"
export HOME=/tmp/home
mkdir -p /tmp/home
rpm --initdb
rm -rf /run/systemd/system
rpm -i --nodeps /rpms/1/kiln-base-debian-12-*.rpm || rpm -i --justdb --nodeps /rpms/1/kiln-base-debian-12-*.rpm
if [ "$TOOL" = useradd ]; then rm -f /usr/bin/systemd-sysusers /bin/systemd-sysusers; fi
rpm -i /rpms/1/libdemo-1.0-1.x86_64.rpm /rpms/1/demo-1.0-1.x86_64.rpm

ldconfig

# The user, its folders, its limits.
getent passwd demo | grep -x "demo:x:[0-9]*:[0-9]*:Demo's server:/var/lib/demo:/usr/sbin/nologin"
[ "$(id -nG demo)" = 'demo adm' ]
[ "$(stat -c '%U:%G %a' /var/lib/demo)" = 'demo:demo 750' ]
[ "$(stat -c '%U:%G %a' /var/log/demo)" = 'demo:demo 755' ]
[ "$(cat /etc/security/limits.d/demo.conf)" = "$(printf 'demo soft nofile 1000\ndemo hard nofile 100000')" ]
if command -v systemd-tmpfiles; then [ "$(stat -c '%U %a' /var/lib/demo/cache)" = 'demo 700' ]; fi
[ "$(readlink -f /usr/bin/demonstration)" = /usr/bin/demo ]
demonstration | grep -x 'the answer is 42'
[ "$(cat /var/log/demo/scripts)" = 'post 1' ]
rpm -V demo libdemo
if command -v systemctl; then
  [ "$(systemctl is-enabled demo.service)" = enabled ]
  [ "$(systemctl is-enabled demo-trim.timer)" = disabled ]
fi
id=$(id -u demo)

# Upgraded where systemd runs: restarted if it runs, never disabled.
mkdir -p /run/systemd/system
rm -f /usr/bin/systemctl
printf '#!/bin/sh\necho "$*" >> /tmp/systemctl\n' > /usr/bin/systemctl
chmod 755 /usr/bin/systemctl
echo '# mine' >> /etc/security/limits.d/demo.conf
: > /tmp/systemctl
rpm -U /rpms/2/libdemo-1.0-2.x86_64.rpm /rpms/2/demo-1.0-2.x86_64.rpm
cat /tmp/systemctl
[ "$(cat /tmp/systemctl)" = "$(printf 'daemon-reload\ndaemon-reload\ntry-restart demo.service demo-trim.timer')" ]
grep -x '# mine' /etc/security/limits.d/demo.conf
[ "$(readlink -f /usr/bin/demonstration)" = /usr/bin/demo ]
[ "$(id -u demo)" = "$id" ]

# Removed: stopped, disabled, forgotten; the user stays.
: > /tmp/systemctl
rpm -e demo
cat /tmp/systemctl
[ "$(cat /tmp/systemctl)" = "$(printf -- '--no-reload disable demo.service\n--no-reload disable demo-trim@.service\n--no-reload disable demo-trim.timer\nstop demo.service demo-trim@*.service demo-trim.timer\ndaemon-reload')" ]
for gone in /usr/bin/demonstration /usr/lib/systemd/scripts/demo.sh /usr/lib/systemd/system/demo.service /usr/lib/sysusers.d/demo.conf; do
  ! test -e "$gone"
  ! test -L "$gone"
done
! update-alternatives --query demonstration
[ "$(tail -n 1 /var/log/demo/scripts)" = 'preun 0' ]
[ "$(id -u demo)" = "$id" ]

# Installed again: a user who is there is left as it is.
rpm -i /rpms/2/demo-1.0-2.x86_64.rpm
[ "$(id -u demo)" = "$id" ]
rpm -e demo

# A host that can not create users says so, and gets no package.
sed -i '/^demo:/d' /etc/passwd
rm -f /usr/bin/systemd-sysusers /usr/sbin/useradd
if rpm -i /rpms/2/demo-1.0-2.x86_64.rpm 2> /tmp/refused; then exit 1; fi
grep 'The user demo could not be created: neither systemd-sysusers nor useradd works here.' /tmp/refused
! rpm -q demo
echo 'all of its life'
"#;

/// Lives the demo's life on this system, which creates users with `tool`.
fn live(rpms: &Path, tool: &str) {
    let folder = tempfile::tempdir().unwrap();
    let room = folder.path().join("room");
    fs_err::create_dir(&room).unwrap();
    let path = |name: &str, content: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs_err::write(&path, content).unwrap();
        path
    };
    let script = path("script", &format!("TOOL={tool}\n{LIFE}"));
    let setup = path(
        "setup",
        &format!(
            "ROOM='{}'\nRPMS='{}'\nSCRIPT='{}'\n{ROOM}",
            room.display(),
            rpms.display(),
            script.display()
        ),
    );
    let arguments = [
        "--mount",
        "--pid",
        "--fork",
        "--kill-child",
        "/bin/sh",
        &setup.to_string_lossy(),
    ];
    let output = run("unshare", &arguments).unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{tool}: {said}");
    assert!(said.ends_with("all of its life\n"), "{tool}: {said}");
}

#[test]
fn privileged_slow_a_service_lives_on_this_system() {
    let Some(base) = Base::find() else { return };
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root may mount an overlay over this system");
        return;
    }
    for tool in ["rpm", "useradd", "update-alternatives", "unshare"] {
        if run(tool, &["--help"]).is_none() {
            return;
        }
    }
    let server = Server::start();
    let project = project(&base, &server, &service());
    let rpms = tempfile::tempdir().unwrap();
    for release in ["1", "2"] {
        project.write_demo(&changed(
            &service(),
            "release: 1\n",
            &format!("release: {release}\n"),
        ));
        project.done(&["build", "demo"]);
        let folder = rpms.path().join(release);
        fs_err::create_dir(&folder).unwrap();
        for (name, path) in files(&project.root.join("out/rpms/x86_64")) {
            fs_err::copy(path, folder.join(name)).unwrap();
        }
    }
    for tool in ["useradd", "sysusers"] {
        live(rpms.path(), tool);
    }
}
