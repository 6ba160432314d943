//! What a step must not reach: the network, the host's files, its kernel, its devices.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};

use kiln_model::{Measured, MountAccess, StepUser};
use kiln_sandbox::Engine;

use crate::support::{Place, assert_sealed, engine, mount, output, probe_on_host, run};

/// Turns `name: answer` lines into a map.
fn answers(text: &str) -> BTreeMap<&str, &str> {
    text.lines()
        .filter_map(|line| line.split_once(": "))
        .collect()
}

#[test]
fn probing_needs_no_image_and_measures() {
    assert_sealed(&engine().probe().unwrap());
    assert_eq!(engine().name(), "embedded");
}

#[test]
fn only_the_own_loopback_is_there_and_it_works() {
    let Some(place) = Place::new() else { return };
    let log = output(&place.step("cat /proc/net/dev | tail -n +3 | cut -d: -f1; ifconfig -a"));
    assert!(log.starts_with("    lo\n"), "{log}");
    assert!(log.contains("UP LOOPBACK RUNNING"), "{log}");
    assert!(!log.contains("eth"), "{log}");
    assert_eq!(answers(&output(&place.probe(&["loopback"])))["ipv4"], "ok");
    let routes = output(&place.step("tail -n +2 /proc/net/route | wc -l"));
    assert_eq!(routes.trim(), "0");
}

#[test]
fn ipv6_loopback_works_where_the_host_has_it() {
    let Some(place) = Place::new() else { return };
    if answers(&probe_on_host(&["loopback"])).get("ipv6") != Some(&"ok") {
        println!("SKIPPED: no IPv6 loopback on this host");
        return;
    }
    assert_eq!(answers(&output(&place.probe(&["loopback"])))["ipv6"], "ok");
}

#[test]
fn listeners_of_the_host_are_out_of_reach() {
    let Some(place) = Place::new() else { return };
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("kiln-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let unix = UnixListener::bind_addr(&address).unwrap();
    let port = tcp.local_addr().unwrap().port().to_string();
    let attempt = ["outside", port.as_str(), name.as_str()];

    let control = probe_on_host(&attempt);
    assert_eq!(answers(&control)["host"], "ok");
    assert_eq!(answers(&control)["abstract"], "ok");
    let inside = output(&place.probe(&attempt));
    // ECONNREFUSED, ECONNREFUSED, ENETUNREACH.
    let expected = BTreeMap::from([("host", "111"), ("abstract", "111"), ("world", "101")]);
    assert_eq!(answers(&inside), expected);

    for (witness, accepted) in [
        ("tcp", {
            tcp.set_nonblocking(true).unwrap();
            std::iter::from_fn(|| tcp.accept().ok()).count()
        }),
        ("unix", {
            unix.set_nonblocking(true).unwrap();
            std::iter::from_fn(|| unix.accept().ok()).count()
        }),
    ] {
        assert_eq!(accepted, 1, "{witness}: only the control was heard");
    }
}

#[test]
fn nothing_of_the_host_is_visible() {
    let Some(place) = Place::new() else { return };
    let canary = place.file("canary", "secret");
    // What an image has there is covered as well.
    place.folder("rootfs/sys/kernel");
    place.folder("rootfs/tmp/left-over");
    let canary = canary.to_str().unwrap();
    let script = format!(
        "ls -A /; ls -A /tmp /var/tmp /root /sys; for f in {canary} /proc/1/root{canary} \
         /proc/1/cwd{canary} /proc/self/root{canary}; do cat $f && echo SEEN; done 2>/dev/null; \
         for n in 1 2 3 4 5 6 7; do ls /../../../..{canary}; done 2>/dev/null; echo end"
    );
    let log = output(&place.step(&script));
    let expected = "bin\nbuild\ndev\netc\nproc\nroot\nsys\ntmp\nvar\n\
                    /root:\n\n/sys:\n\n/tmp:\n\n/var/tmp:\nend\n";
    assert_eq!(log, expected);
}

#[test]
fn no_host_path_shows_in_the_mount_table_of_a_step_without_mounts() {
    let Some(place) = Place::new() else { return };
    let log = output(&place.step("cat /proc/self/mountinfo /proc/mounts"));
    assert!(!log.contains(place.path().to_str().unwrap()), "{log}");
    assert!(!log.contains("ext4"), "{log}");
}

/// What a sandbox answers; EPERM 1, ENOSYS 38, EAFNOSUPPORT 97.
const ANSWERS: [(&str, &str); 4] = [
    (
        "1",
        "unshare-nothing unshare-user setns clone-user clone-net chroot mount umount fsopen \
         fsconfig fsmount fspick open-tree move-mount mount-setattr pivot-root name-to-handle \
         open-by-handle bpf perf keyctl add-key request-key userfaultfd fanotify kcmp pidfd-getfd \
         syslog settime tiocsti tiocsti-wide setflags personality-exec seccomp-listener quotactl \
         trace-pid-1",
    ),
    ("38", "clone3 io-uring memfd-secret unknown"),
    (
        "97",
        "socket-17 socket-31 socket-38 socket-40 socket-44 socket-mptcp",
    ),
    (
        "ok",
        "personality-fixed personality-none personality-query socket-1 socket-2 socket-10 \
         socket-16",
    ),
];

/// What a host answers otherwise, whoever asks: it is the filter that refuses these.
const CONTROLS: &str = "unshare-nothing setns clone3 name-to-handle kcmp tiocsti tiocsti-wide \
                        setflags personality-exec seccomp-listener add-key request-key mount-setattr";

#[test]
fn every_mount_is_restricted() {
    let Some(place) = Place::new() else { return };
    let input = place.folder("input");
    let mut step = place.step("cat /proc/self/mountinfo");
    step.mounts = vec![
        mount(&input, "/input", MountAccess::ReadOnly),
        mount(&input, "/output", MountAccess::ReadWrite),
    ];
    let table = output(&step);
    for line in table.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let (point, options) = (fields[4], fields[5]);
        let has = |option: &str| options.split(',').any(|found| found == option);
        assert!(has("nosuid"), "{line}");
        let is_device = point.starts_with("/dev/") && point != "/dev/shm";
        assert!(has("nodev") || is_device, "{line}");
        let is_kernel = point == "/sys" || point == "/dev" || point.starts_with("/proc/");
        assert_eq!(has("ro"), is_kernel || point == "/input", "{line}");
        let is_peer = fields
            .iter()
            .any(|field| field.starts_with("shared:") || field.starts_with("master:"));
        assert!(!is_peer, "{line}");
    }
    assert!(table.lines().count() > 30, "{table}");
}

#[test]
fn dangerous_calls_are_refused_with_the_expected_error() {
    let Some(place) = Place::new() else { return };
    let inside = output(&place.probe(&["calls"]));
    let inside = answers(&inside);
    let mut judged = 0;
    for (expected, names) in ANSWERS {
        for name in names.split_whitespace() {
            assert_eq!(inside[name], expected, "{name}");
            judged += 1;
        }
    }
    assert_eq!(inside.len(), judged, "every attempt is judged: {inside:?}");

    let control = probe_on_host(&["control"]);
    let control = answers(&control);
    for name in CONTROLS.split_whitespace() {
        assert_ne!(control[name], inside[name], "positive control of {name}");
    }
}

#[test]
fn other_abis_of_the_kernel_are_closed() {
    let Some(place) = Place::new() else { return };
    let inside = output(&place.probe(&["abi"]));
    assert_eq!(answers(&inside)["x32"], "38");
    assert_eq!(answers(&inside)["i386"], "signal 31", "SIGSYS");
}

#[test]
fn proc_shows_processes_and_a_short_list() {
    let Some(place) = Place::new() else { return };
    let script = "
        for f in kcore kmem keys key-users timer_list sched_debug kallsyms kmsg latency_stats \
            interrupts cmdline config.gz iomem modules slabinfo sysrq-trigger; do
            [ -e /proc/$f ] && [ \"$(head -c 64 /proc/$f 2>&1 | wc -c)\" != 0 ] && echo \"$f readable\"
        done
        for d in acpi scsi bus irq fs driver tty asound dynamic_debug; do
            [ -d /proc/$d ] && [ -n \"$(ls -A /proc/$d)\" ] && echo \"$d readable\"
        done
        for f in sysrq-trigger sys/kernel/core_pattern sys/vm/drop_caches sys/kernel/hostname \
            sys/kernel/modprobe irq/default_smp_affinity kmsg latency_stats; do
            (echo 1 > /proc/$f) 2>/dev/null && echo \"$f writable\"
        done
        for f in cpuinfo meminfo stat uptime version loadavg sys/kernel/ostype self/status; do
            [ \"$(cat /proc/$f | wc -c)\" = 0 ] && echo \"$f empty\"
        done
        umount /proc/kallsyms 2>/dev/null && echo unmasked
        mount -o remount,rw /proc/sys 2>/dev/null && echo remounted
        touch /proc/bus/x 2>/dev/null && echo filled
        for l in exe cwd root fd/0 fd/1 fd/3; do
            readlink /proc/1/$l 2>/dev/null && echo \"$l of pid 1\"
            head -c 1 /proc/1/$l 2>/dev/null && echo \"$l of pid 1 opened\"
        done
        for f in environ maps mem auxv; do
            [ \"$(head -c 1 /proc/1/$f 2>/dev/null | wc -c)\" != 0 ] && echo \"$f of pid 1\"
        done
        readlink /proc/self/exe
        echo end";
    for user in [StepUser::Build, StepUser::Root] {
        let mut step = place.step(script);
        step.user = user;
        // The last but one is the positive control: one's own can be read.
        assert_eq!(output(&step), "/bin/busybox\nend\n", "{user:?}");
    }
}

#[test]
fn devices_are_few_and_can_not_be_replaced() {
    let Some(place) = Place::new() else { return };
    let script = "
        ls /dev | tr '\\n' ' '; echo
        echo x > /dev/null && echo null
        head -c 3 /dev/zero | wc -c
        head -c 3 /dev/random | wc -c
        (echo x > /dev/full) 2>/dev/null || echo full
        rm /dev/null 2>/dev/null && echo REMOVED
        mv /bin/cat /dev/null 2>/dev/null && echo REPLACED
        touch /dev/new 2>/dev/null && echo ADDED
        mknod /tmp/m c 1 1 2>/dev/null && echo MADE
        echo shared > /dev/shm/x && cat /dev/shm/x
        ls /dev/pts
        (true < /dev/tty) 2>/dev/null && echo TTY
        echo end";
    let log = output(&place.step(script));
    let expected = "fd full null ptmx pts random shm stderr stdin stdout urandom zero \n\
                    null\n3\n3\nfull\nshared\nptmx\nend\n";
    assert_eq!(log, expected);
    assert_eq!(output(&place.probe(&["terminal"])), "terminal: ok\n");
}

#[test]
fn a_device_node_in_a_layer_is_inert() {
    let Some(place) = Place::new() else { return };
    let node = place.rootfs().join("device");
    let made = std::process::Command::new("mknod")
        .arg(&node)
        .args(["c", "1", "3"])
        .status();
    if !made.is_ok_and(|status| status.success()) {
        println!("SKIPPED: only root can make a device node");
        return;
    }
    let log = output(&place.step("(cat /device) 2>&1; echo $?"));
    assert_eq!(log, "cat: can't open '/device': Permission denied\n1\n");
}

#[test]
fn a_set_user_id_program_gives_nothing() {
    use std::os::unix::fs::PermissionsExt;
    let Some(place) = Place::new() else { return };
    let program = place.folder("rootfs/set").join("busybox");
    fs_err::copy(place.rootfs().join("bin/busybox"), &program).unwrap();
    fs_err::set_permissions(&program, std::fs::Permissions::from_mode(0o6755)).unwrap();
    let script = "ls -l /set/busybox | cut -c1-10
        cp /bin/busybox /tmp/busybox; chmod 6755 /tmp/busybox
        for p in /set /tmp; do
            $p/busybox sh -c 'id -u; grep -E \"CapEff|NoNewPrivs\" /proc/self/status'
        done";
    let log = output(&place.step(script));
    let one = "1000\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\n";
    assert_eq!(log, format!("-rwsr-sr-x\n{one}{one}"));
}

#[test]
fn resource_limits_are_stated_as_they_are() {
    let Some(place) = Place::new() else { return };
    let (outcome, _) = run(&place.step("true")).unwrap();
    match outcome.isolation.resource_limits {
        Measured::Yes => println!("this host lets us limit memory and processes"),
        Measured::No => println!("this host does not let us limit memory and processes"),
    }
}
