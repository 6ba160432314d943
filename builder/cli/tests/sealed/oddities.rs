//! Install steps that leave strange things: each is packaged as it is, or refused with its name and the
//! recipe's line.

use kiln_model::Digest;
use kiln_rpm::{PackagedFile, PackagedFileKind, RpmFile};

use crate::bases::Base;
use crate::project::{DEMO, Project, changed};
use crate::server::Server;

/// A demo whose install step goes on with a script in `/usr/share/demo`, and claims what is there.
fn with_install(script: &str) -> String {
    let lines: String = script.lines().map(|line| format!("    {line}\n")).collect();
    let install = format!(
        "  use: make\n  install: |\n    make install\n    mkdir -p \"$DESTDIR/usr/share/demo\"\n    \
         cd \"$DESTDIR/usr/share/demo\"\n{lines}"
    );
    let recipe = changed(DEMO, "  use: make\n", &install);
    let claimed = "files: [/usr/bin/demo, /usr/share/demo/**]";
    changed(&recipe, "files: [/usr/bin/demo]", claimed)
}

#[test]
fn slow_what_no_package_can_hold_is_refused_by_name() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    let deep = "i=0; while [ $i -lt 16 ]; do d=$(printf %0200d $i); mkdir $d; cd -P $d; \
                i=$((i+1)); done; echo x > f";
    let socket =
        "perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => \"s\", Listen => 1) or die'";
    for (script, cause) in [
        (
            "mkfifo pipe",
            "`usr/share/demo/pipe` in the collected folder is a FIFO; only files, folders and links \
             can be collected",
        ),
        (
            socket,
            "`usr/share/demo/s` in the collected folder is a socket; only files, folders and links \
             can be collected",
        ),
        (
            "echo x > \"$(printf 'a\\nb')\"",
            "`usr/share/demo/a\\nb` in the collected folder: its name is not UTF-8 or has control \
             characters",
        ),
        (
            "echo x > \"$(printf 'a\\377b')\"",
            "`usr/share/demo/a\\xffb` in the collected folder: its name is not UTF-8 or has control \
             characters",
        ),
        (
            "ln -s \"$(printf 'a\\tb')\" link",
            "`usr/share/demo/link` in the collected folder: its target is not UTF-8 or has control \
             characters",
        ),
        (
            deep,
            "a path of 3230 bytes in the collected folder is longer than 3072: \
             `usr/share/demo/00000000000000000000000000000000000000000000000000000000000000000…`",
        ),
        (
            "truncate -s 1T sparse",
            "the collected folder holds more than 68719476736 bytes (noticed at \
             `usr/share/demo/sparse`)",
        ),
    ] {
        project.write_demo(&with_install(script));
        let ended = project.kiln(&["--quiet", "build"]);
        assert_eq!(ended.code, Some(1), "{script}: {}", ended.stderr);
        let first = format!(
            "error: demo: the install step left what can not be packaged in `/build/destdir`\n  \
             cause     {cause}\n  --> recipes/demo/recipe.yaml:18:5\n"
        );
        let stderr = &ended.stderr;
        assert!(
            stderr.starts_with(&first),
            "{first}is not how starts {stderr}"
        );
        // The pattern that claims it is shown too, where it has a name by itself.
        let claims = stderr.contains("/usr/share/demo/**]\n");
        let is_named = !cause.contains("longer than") && !cause.contains("holds more than");
        assert_eq!(claims, is_named, "{stderr}");
        assert_eq!(project.rpm_names(), [""; 0]);
        project.check_no_leftovers();
    }
    // A name that only rpm refuses.
    project.write_demo(&with_install("echo x > 'a \"b\"'"));
    let ended = project.kiln(&["--quiet", "build"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let first = "error: demo: rpm can not package the path `/usr/share/demo/a \"b\"`: no spec file \
                 can carry the character '\"'; rename the file or leave it out\n  \
                 --> recipes/demo/recipe.yaml:18:5\n";
    let stderr = &ended.stderr;
    assert!(
        stderr.starts_with(first),
        "{first}is not how starts {stderr}"
    );
    // No privilege, no device.
    project.write_demo(&with_install("mknod null c 1 3"));
    let ended = project.kiln(&["--quiet", "build"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let reason = "mknod: null: Operation not permitted";
    assert!(ended.stderr.contains(reason), "{}", ended.stderr);
}

#[test]
fn slow_what_is_only_unusual_is_packaged_as_it_is() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let script = "\
        ln -s /etc/passwd absolute\n\
        ln -s ../../../../../../etc/shadow climbing\n\
        ln -s /run/nowhere dangling\n\
        echo one > first; ln first second\n\
        echo x > 'with space and $dollar %percent'\n\
        echo x > \"$(printf '%0255d' 0)\"\n\
        mkdir closed; echo x > closed/inside; chmod 000 closed/inside closed\n\
        chmod 6755 ../../bin/demo\n\
        mkdir many; cd many; seq 1 5000 | xargs touch";
    let project = Project::new(&base, &server, &with_install(script));
    project.done(&["lock"]);
    project.done(&["build"]);
    let path = project.root.join("out/rpms/x86_64/demo-1.0-1.x86_64.rpm");
    let rpm = RpmFile::parse(&fs_err::read(path).unwrap()).unwrap();
    let find = |name: &str| {
        let path = format!("/usr/share/demo/{name}");
        let found = rpm.files().iter().find(|file| file.path == path);
        found.unwrap_or_else(|| panic!("no {path} in {}", rpm.nevra()))
    };
    for (name, target) in [
        ("absolute", "/etc/passwd"),
        ("climbing", "../../../../../../etc/shadow"),
        ("dangling", "/run/nowhere"),
    ] {
        let target = target.to_owned();
        assert_eq!(find(name).kind, PackagedFileKind::Link { target });
    }
    let digest = Some(Digest::of(b"one\n"));
    for name in ["first", "second"] {
        assert_eq!(find(name).kind, PackagedFileKind::Regular { digest });
    }
    find("with space and $dollar %percent");
    find(&"0".repeat(255));
    assert_eq!(find("closed").mode & 0o7777, 0);
    assert_eq!(find("closed/inside").mode & 0o7777, 0);
    let demo = rpm.files().iter().find(|file| file.path == "/usr/bin/demo");
    assert_eq!(demo.map(|file| file.mode & 0o7777), Some(0o6755));
    let many = |file: &&PackagedFile| file.path.starts_with("/usr/share/demo/many/");
    assert_eq!(rpm.files().iter().filter(many).count(), 5000);
    project.check_store();
    project.check_no_leftovers();
}
