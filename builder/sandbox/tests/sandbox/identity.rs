//! What a process starts with is the same for everybody: user, names, environment, limits.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use kiln_model::StepUser;

use crate::support::{Place, output, path, this_test_program};

#[test]
fn there_is_one_user_with_a_name() {
    let Some(place) = Place::new() else { return };
    let script = "id -u; id -g; id -un; cat /proc/self/uid_map /proc/self/setgroups | tr -s ' ' | cut -d' ' -f2,4; echo ~";
    let mut step = place.step(script);
    step.environment
        .insert("HOME".to_owned(), "/build/home".to_owned());
    assert_eq!(
        output(&step),
        "1000\n1000\nbuild\n1000 1\ndeny\n/build/home\n"
    );
    step.user = StepUser::Root;
    step.environment
        .insert("HOME".to_owned(), "/root".to_owned());
    assert_eq!(output(&step), "0\n0\nroot\n0 1\ndeny\n/root\n");
    let write = "touch $HOME/file /tmp/file /var/tmp/file /file /etc/file && ls -A $HOME; chown 0:0 /file && echo owned";
    step.command[2] = write.to_owned();
    assert_eq!(output(&step), "file\nowned\n");
}

#[test]
fn nothing_but_the_stated_environment_is_there() {
    let Some(place) = Place::new() else { return };
    let mut step = place.command(&["/bin/cat", "/proc/self/environ"]);
    assert_eq!(output(&step), "PATH=/bin\0");
    step.environment = BTreeMap::from([
        ("Z".to_owned(), "last".to_owned()),
        ("A".to_owned(), "with spaces = and\nnewline".to_owned()),
        ("EMPTY".to_owned(), String::new()),
    ]);
    let expected = "A=with spaces = and\nnewline\0EMPTY=\0Z=last\0";
    assert_eq!(output(&step), expected);
    step.environment.clear();
    assert_eq!(output(&step), "");
}

#[test]
fn names_and_accounts_are_fixed() {
    let Some(place) = Place::new() else { return };
    let script = "hostname; uname -n; cat /proc/sys/kernel/domainname /etc/hostname /etc/hosts /etc/resolv.conf /etc/passwd /etc/group";
    let expected = "kiln\nkiln\n(none)\nkiln\n127.0.0.1 localhost kiln\n::1 localhost kiln\n\
        root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n\
        build:x:1000:1000:build:/build/home:/bin/sh\n\
        root:x:0:\nnogroup:x:65534:\nbuild:x:1000:\n";
    assert_eq!(output(&place.step(script)), expected);
}

#[test]
fn accounts_of_the_image_are_kept() {
    let Some(place) = Place::new() else { return };
    place.folder("rootfs/etc");
    place.file(
        "rootfs/etc/passwd",
        "root:x:0:0:me:/root:/bin/bash\ngames:x:5:60::/:\nme:x:1000:1000::/home/me:/bin/sh\n",
    );
    place.file("rootfs/etc/hostname", "from-image\n");
    place.file("rootfs/etc/other", "kept\n");
    let log = output(&place.step("cat /etc/passwd /etc/hostname /etc/other; id -un"));
    let expected = "root:x:0:0:me:/root:/bin/bash\ngames:x:5:60::/:\n\
        nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n\
        build:x:1000:1000:build:/build/home:/bin/sh\nkiln\nkept\nbuild\n";
    assert_eq!(log, expected);
    let image = fs_err::read_to_string(place.rootfs().join("etc/hostname")).unwrap();
    assert_eq!(image, "from-image\n");
}

#[test]
fn a_process_starts_from_a_clean_slate() {
    let Some(place) = Place::new() else { return };
    let script = "umask; pwd; ulimit -c; ulimit -s; ulimit -n; ls /proc/self/fd; readlink /proc/self/fd/0; \
        grep -E '^(Cap|NoNewPrivs|Seccomp:|Sig(Blk|Ign|Cgt)|ShdPnd|Umask)' /proc/self/status; cat /proc/self/cgroup | cut -d: -f3 | sort -u; \
        cut -d' ' -f5,6,7 /proc/$$/stat; cat /proc/self/personality 2>/dev/null || true";
    let mut step = place.command(&["/bin/sh", "-c", script]);
    step.working_directory = path("/tmp");
    let log = output(&step);
    let limit = nix_limit();
    // fd 3 is `ls` reading the folder; process group and session are the step's own, no terminal.
    let expected = format!(
        "0022\n/tmp\n0\n8192\n{limit}\n0\n1\n2\n3\n/dev/null\nUmask:\t0022\nShdPnd:\t0000000000000000\n\
         SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nSigCgt:\t0000000000000000\n\
         CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n\
         CapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n/\n2 2 0\n"
    );
    let without_personality: String = log
        .lines()
        .filter(|line| *line != "00000000")
        .flat_map(|line| [line, "\n"])
        .collect();
    assert_eq!(without_personality, expected);
}

/// The soft limit of open files: 1024, or the host's hard limit where that is lower.
fn nix_limit() -> u64 {
    let limits = fs_err::read_to_string("/proc/self/limits").unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let hard: u64 = line.split_whitespace().nth(4).unwrap().parse().unwrap();
    hard.min(1024)
}

#[test]
fn two_runs_print_the_same() {
    let Some(place) = Place::new() else { return };
    let script = "id; env; hostname; find / -xdev | sort; find /dev | sort; ls -d /proc/[a-z]*; \
        cat /etc/*; ps; ls -l /proc/self/ns | wc -l";
    let first = output(&place.step(script));
    assert_eq!(first, output(&place.step(script)));
}

/// What a step sees of the state that processes hand down.
const INHERITED: &str = "umask; id -G; grep -E '^(Sig(Blk|Ign)|Groups)' /proc/self/status
    cat /proc/self/personality 2>/dev/null; ls /proc/self/fd; cat /proc/self/environ; ulimit -c
    pwd; touch file; ls -l file | cut -c1-10";

/// The other half of the next test: an engine whose parent left it a strange state.
#[test]
fn strange_parent_child() {
    if std::env::var_os("KILN_TEST_STRANGE").is_none() {
        return;
    }
    let Some(place) = Place::new() else { return };
    println!(
        "INHERITED {}",
        output(&place.step(INHERITED)).escape_debug()
    );
}

#[test]
fn nothing_of_the_caller_s_state_is_inherited() {
    let Some(place) = Place::new() else { return };
    let expected = output(&place.step(INHERITED));
    let is_root = fs_err::metadata("/proc/self").unwrap().uid() == 0;
    // Only root may choose its groups, and only root can leave them.
    let groups = if is_root {
        "setpriv --groups 4,24,27"
    } else {
        "env"
    };
    let script = format!(
        "umask 077; ulimit -c unlimited; exec 7</etc/passwd 8<. 9>&1
         KILN_TEST_STRANGE=1 exec {groups} env --block-signal=USR1 --ignore-signal=USR2 \
         --ignore-signal=PIPE setarch -R \"$@\""
    );
    let child = std::process::Command::new("sh")
        .args(["-c", &script, "sh"])
        .args(this_test_program("identity::strange_parent_child"))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    let Some(line) = text
        .lines()
        .find_map(|line| line.strip_prefix("INHERITED "))
    else {
        println!("SKIPPED: this machine lacks setpriv, setarch or a new env\n{child:?}");
        return;
    };
    assert_eq!(line, expected.escape_debug().to_string());
}
