//! Steps that try to get out: to the network, to other files, past their own end.

use std::path::Path;

use walkdir::WalkDir;

use crate::bases::Base;
use crate::interrupts::{marker, survivors};
use crate::project::{DEMO, Project, changed, demo_with_sums, files, outputs, with_build};
use crate::server::Server;

#[test]
fn slow_a_step_that_needs_the_network_fails_with_the_command_and_reaches_nobody() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    let before = server.connections();
    let loopback = format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{}'", server.port);
    for (script, command, reason) in [
        (
            loopback.as_str(),
            format!("bash -c exec 3<>/dev/tcp/127.0.0.1/{}", server.port),
            "Connection refused",
        ),
        (
            "bash -c 'exec 3<>/dev/tcp/1.1.1.1/443'",
            "bash -c exec 3<>/dev/tcp/1.1.1.1/443".to_owned(),
            "Network is unreachable",
        ),
        (
            "getent hosts kiln.example.org",
            "getent hosts kiln.example.org".to_owned(),
            "+ getent hosts kiln.example.org",
        ),
    ] {
        project.write_demo(&with_build(DEMO, script));
        let ended = project.kiln(&["--quiet", "build"]);
        assert_eq!(ended.code, Some(1), "{script}: {}", ended.stderr);
        for part in [
            "error: demo: step `build` failed: exit status ",
            &format!("\n  command   {command}\n"),
            reason,
            "\nlog: PROJECT/out/logs/demo/build.log\n",
        ] {
            let stderr = &ended.stderr;
            assert!(stderr.contains(part), "{part} is not in {stderr}");
        }
    }
    assert_eq!(server.connections(), before, "nobody came through");
    project.check_no_leftovers();
}

/// Everything below a folder with what writing to it would change.
fn state(folder: &Path) -> Vec<(String, u64, Option<std::time::SystemTime>)> {
    let walk = WalkDir::new(folder).sort_by_file_name();
    let entries = walk.into_iter().map(Result::unwrap);
    let look = |entry: walkdir::DirEntry| {
        let found = entry.metadata().unwrap();
        let path = entry.path().to_string_lossy().into_owned();
        (path, found.len(), found.modified().ok())
    };
    entries.map(look).collect()
}

#[test]
fn slow_what_a_step_writes_outside_its_folder_is_refused_or_thrown_away() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, &demo_with_sums());
    project.write_sums();
    project.done(&["lock"]);
    // Unpacks what demo is built with.
    project.write_demo(&with_build(&demo_with_sums(), "exit 3"));
    assert_eq!(project.kiln(&["--quiet", "build"]).code, Some(1));
    let trees = project.store().join("trees");
    let before = state(&trees);
    let name = format!("kiln-was-here-{}", std::process::id());
    let script = format!(
        "for folder in /usr/include /etc /tmp /var/tmp /dev/shm / /usr/lib/demo /proc/sys/kernel /dev; do\n\
         \x20 echo x > \"$folder/{name}\" || echo \"refused $folder\"\n\
         done\n\
         echo x >> /etc/passwd || echo refused passwd\n\
         echo 1 > /proc/sys/vm/drop_caches || echo refused sysctl\n\
         chmod 777 /usr/lib/demo/lib64/* || echo refused chmod\n\
         rm -rf /usr/bin/make /usr/lib/demo || echo refused removal\n\
         ls / > /build/destdir/nothing\n\
         exit 3"
    );
    project.write_demo(&with_build(&demo_with_sums(), &script));
    assert_eq!(project.kiln(&["--quiet", "build"]).code, Some(1));
    let log = fs_err::read_to_string(project.root.join("out/logs/demo/build.log")).unwrap();
    for refused in ["/proc/sys/kernel", "/dev", "sysctl"] {
        let line = format!("\nrefused {refused}\n");
        assert!(log.contains(&line), "{line} is not in {log}");
    }
    assert!(log.ends_with("+ exit 3\n"), "it came to its end: {log}");
    assert_eq!(state(&trees), before, "no input was changed");
    for folder in ["/usr/include", "/etc", "/tmp", "/var/tmp", "/dev/shm", "/"] {
        let path = Path::new(folder).join(&name);
        assert!(!path.exists(), "{} is on the host", path.display());
    }
    // The next build has all of it, in the same sandbox or another.
    let script = format!(
        "for folder in /usr/include /etc /tmp /var/tmp /dev/shm / /usr/lib/demo; do\n\
         \x20 test ! -e \"$folder/{name}\"\n\
         done\n\
         test -x /usr/bin/make -a ! -e /build/destdir/nothing\n\
         make DEFINES=-DWITH_SUMS DEMO_LIBS=-lsums"
    );
    project.write_demo(&with_build(&demo_with_sums(), &script));
    project.done(&["build"]);
    assert!(!outputs(&project.root.join("out")).is_empty());
    project.check_no_leftovers();
}

#[test]
fn slow_a_daemon_that_goes_on_writing_is_dead_before_anything_is_collected() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let marker = marker(3);
    // It leaves its parent and its session, ignores what asks politely, and never stops writing.
    let install = format!(
        "  use: make\n  install: |\n    \
           make install\n    \
           mkdir \"$DESTDIR/usr/share\"\n    \
           cat > /build/home/daemon <<'END'\n    \
           trap '' HUP INT QUIT TERM\n    \
           sleep {marker} &\n    \
           while true; do echo tick >> /build/destdir/usr/share/ticks; done\n    \
           END\n    \
           (setsid sh /build/home/daemon > /dev/null 2>&1 &)\n    \
           until test -s /build/destdir/usr/share/ticks; do true; done\n"
    );
    let recipe = changed(DEMO, "  use: make\n", &install);
    let claimed = "files: [/usr/bin/demo, /usr/share/ticks]";
    let recipe = changed(&recipe, "files: [/usr/bin/demo]", claimed);
    let project = Project::new(&base, &server, &recipe);
    project.done(&["lock"]);
    for _ in 0..2 {
        // A file that grew while it was read would be an error.
        project.done(&["build"]);
        assert_eq!(survivors(&marker), [""; 0]);
        fs_err::remove_dir_all(project.store().join("actions")).unwrap();
        fs_err::create_dir(project.store().join("actions")).unwrap();
    }
    assert!(files(&project.root.join("out/rpms")).len() > 1);
    project.check_store();
    project.check_no_leftovers();
}
