//! Tries what a build should not be able to do and says what the kernel answered; for tests.
//!
//! One line per attempt, `name: ok` or `name: ` and an error number. It runs inside a sandbox and,
//! as a positive control, outside: there it tries only what has no effect.

#![expect(
    unsafe_code,
    clippy::print_stdout,
    reason = "a test program that makes raw system calls and prints their results"
)]

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixStream};

use nix::libc;

type Number = libc::c_long;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("calls") => calls(&Place::Inside),
        Some("control") => calls(&Place::Anywhere),
        Some("abi") => foreign_abi(),
        Some("loopback") => loopback(),
        Some("outside") => outside(&arguments[1], &arguments[2]),
        Some("terminal") => report("terminal", terminal()),
        Some("hold") => hold(&arguments[1]),
        _ => println!("unknown attempt"),
    }
}

fn report<T>(name: &str, result: io::Result<T>) {
    match result {
        Ok(_) => println!("{name}: ok"),
        Err(error) => match error.raw_os_error() {
            Some(number) => println!("{name}: {number}"),
            None => println!("{name}: {error}"),
        },
    }
}

/// Makes a system call with up to five numbers or pointers.
fn call(number: Number, arguments: [Number; 5]) -> io::Result<Number> {
    let [a, b, c, d, e] = arguments;
    // SAFETY: every call below passes null, a number, or a pointer to something that outlives it,
    // and none hands memory to the kernel for longer.
    let result = unsafe { libc::syscall(number, a, b, c, d, e) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// One system call that is tried. Every argument is invalid or without effect, so that nothing
/// happens even where the call is allowed; what the kernel says then is not what the filter says.
struct Attempt {
    name: &'static str,
    number: Number,
    arguments: [Number; 5],
    place: Place,
}

#[derive(PartialEq, Eq)]
enum Place {
    /// Tried outside too.
    Anywhere,
    /// Tried only in a sandbox.
    Inside,
}

const fn anywhere(name: &'static str, number: Number, arguments: [Number; 5]) -> Attempt {
    Attempt {
        name,
        number,
        arguments,
        place: Place::Anywhere,
    }
}

const fn inside(name: &'static str, number: Number, arguments: [Number; 5]) -> Attempt {
    Attempt {
        name,
        number,
        arguments,
        place: Place::Inside,
    }
}

/// No file, and no descriptor.
const NONE: Number = -1;
/// Flags that no call knows.
const BAD: Number = -1;
/// Invalid as a pointer, harmless as a number.
const NULL: Number = 0;

const ATTEMPTS: [Attempt; 43] = [
    anywhere("unshare-nothing", libc::SYS_unshare, [0; 5]),
    inside("unshare-user", libc::SYS_unshare, [0x1000_0000, 0, 0, 0, 0]),
    anywhere("setns", libc::SYS_setns, [NONE, 0, 0, 0, 0]),
    inside("clone-user", libc::SYS_clone, [0x1000_0011, 0, 0, 0, 0]),
    inside("clone-net", libc::SYS_clone, [0x4000_0011, 0, 0, 0, 0]),
    anywhere("clone3", libc::SYS_clone3, [0; 5]),
    anywhere("chroot", libc::SYS_chroot, [NULL, 0, 0, 0, 0]),
    anywhere("mount", libc::SYS_mount, [NULL; 5]),
    anywhere("umount", libc::SYS_umount2, [NULL, BAD, 0, 0, 0]),
    anywhere("fsopen", libc::SYS_fsopen, [NULL, BAD, 0, 0, 0]),
    anywhere("fsconfig", libc::SYS_fsconfig, [NONE, 0, 0, 0, 0]),
    anywhere("fsmount", libc::SYS_fsmount, [NONE, BAD, 0, 0, 0]),
    anywhere("fspick", libc::SYS_fspick, [NONE, NULL, BAD, 0, 0]),
    anywhere("open-tree", libc::SYS_open_tree, [NONE, NULL, BAD, 0, 0]),
    anywhere(
        "move-mount",
        libc::SYS_move_mount,
        [NONE, NULL, NONE, NULL, BAD],
    ),
    anywhere(
        "mount-setattr",
        libc::SYS_mount_setattr,
        [NONE, NULL, BAD, NULL, 0],
    ),
    anywhere("pivot-root", libc::SYS_pivot_root, [NULL; 5]),
    anywhere(
        "name-to-handle",
        libc::SYS_name_to_handle_at,
        [NONE, NULL, NULL, NULL, BAD],
    ),
    anywhere(
        "open-by-handle",
        libc::SYS_open_by_handle_at,
        [NONE, NULL, 0, 0, 0],
    ),
    anywhere("bpf", libc::SYS_bpf, [BAD, NULL, 0, 0, 0]),
    anywhere("perf", libc::SYS_perf_event_open, [NULL, 0, NONE, NONE, 0]),
    inside("keyctl", libc::SYS_keyctl, [0, -3, 0, 0, 0]),
    anywhere("add-key", libc::SYS_add_key, [NULL; 5]),
    anywhere("request-key", libc::SYS_request_key, [NULL; 5]),
    anywhere("io-uring", libc::SYS_io_uring_setup, [NULL; 5]),
    anywhere("userfaultfd", libc::SYS_userfaultfd, [BAD, 0, 0, 0, 0]),
    anywhere("fanotify", libc::SYS_fanotify_init, [BAD, 0, 0, 0, 0]),
    anywhere("memfd-secret", libc::SYS_memfd_secret, [BAD, 0, 0, 0, 0]),
    anywhere("kcmp", libc::SYS_kcmp, [NONE, NONE, 0, 1, 2]),
    anywhere("pidfd-getfd", libc::SYS_pidfd_getfd, [NONE, 0, BAD, 0, 0]),
    inside("syslog", libc::SYS_syslog, [2, NULL, 0, 0, 0]),
    anywhere("settime", libc::SYS_clock_settime, [NONE, NULL, 0, 0, 0]),
    anywhere("tiocsti", libc::SYS_ioctl, [NONE, 0x5412, NULL, 0, 0]),
    // The kernel looks at the lower half of a request only, and so must the filter.
    anywhere(
        "tiocsti-wide",
        libc::SYS_ioctl,
        [NONE, 0x1_0000_5412, NULL, 0, 0],
    ),
    anywhere("setflags", libc::SYS_ioctl, [NONE, 0x4008_6602, NULL, 0, 0]),
    anywhere(
        "personality-exec",
        libc::SYS_personality,
        [0x040_0000, 0, 0, 0, 0],
    ),
    anywhere(
        "personality-fixed",
        libc::SYS_personality,
        [0x004_0000, 0, 0, 0, 0],
    ),
    anywhere("personality-none", libc::SYS_personality, [0, 0, 0, 0, 0]),
    anywhere(
        "personality-query",
        libc::SYS_personality,
        [0xFFFF_FFFF, 0, 0, 0, 0],
    ),
    anywhere("seccomp-listener", libc::SYS_seccomp, [1, 8, NULL, 0, 0]),
    anywhere("quotactl", libc::SYS_quotactl, [BAD, NULL, BAD, NULL, 0]),
    inside("trace-pid-1", libc::SYS_ptrace, [PTRACE_SEIZE, 1, 0, 0, 0]),
    anywhere("unknown", 5000, [0; 5]),
];

const PTRACE_SEIZE: Number = 0x4206;

fn calls(place: &Place) {
    for attempt in ATTEMPTS {
        if *place == Place::Inside || attempt.place == Place::Anywhere {
            report(attempt.name, call(attempt.number, attempt.arguments));
        }
    }
    for family in [1, 2, 10, 16, 17, 31, 38, 40, 44] {
        let arguments = [family, Number::from(libc::SOCK_DGRAM), 0, 0, 0];
        report(
            &format!("socket-{family}"),
            call(libc::SYS_socket, arguments),
        );
    }
    let multipath = [2, Number::from(libc::SOCK_STREAM), 262, 0, 0];
    report("socket-mptcp", call(libc::SYS_socket, multipath));
}

/// Calls `getpid` by the numbers of other ABIs, each in a process of its own.
#[cfg(target_arch = "x86_64")]
fn foreign_abi() {
    report("x32", call(0x4000_0000 + libc::SYS_getpid, [0; 5]));
    // SAFETY: this program has one thread; the child makes one system call of the 32-bit ABI, which
    // takes no argument, and ends.
    let ended = unsafe {
        let child = libc::fork();
        if child == 0 {
            std::arch::asm!("int 0x80", inout("eax") 20 => _, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
            libc::_exit(0);
        }
        let mut status = 0;
        libc::waitpid(child, &raw mut status, 0);
        status
    };
    println!("i386: signal {}", libc::WTERMSIG(ended));
}

/// Has nothing to try on other architectures.
#[cfg(not(target_arch = "x86_64"))]
fn foreign_abi() {
    println!("x32: 38");
    println!("i386: signal 31");
}

fn loopback() {
    for (name, address) in [
        ("ipv4", SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        ("ipv6", SocketAddr::from((Ipv6Addr::LOCALHOST, 0))),
    ] {
        report(name, talk_to_ourselves(address));
    }
}

fn talk_to_ourselves(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.write_all(b"x")?;
    far.read_exact(&mut [0])
}

/// Tries to reach a listener of the host by its port, another by its abstract name, and the world.
fn outside(port: &str, name: &str) {
    let port = port.parse().unwrap_or(0);
    report("host", TcpStream::connect((Ipv4Addr::LOCALHOST, port)));
    let address = UnixAddress::from_abstract_name(name);
    report(
        "abstract",
        address.and_then(|it| UnixStream::connect_addr(&it)),
    );
    let world =
        UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|it| it.connect("192.0.2.1:53"));
    report("world", world);
}

fn terminal() -> io::Result<()> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;
    let open = |path: &str| {
        let mut options = std::fs::OpenOptions::new();
        // A terminal that becomes ours would hang up on us when it is closed.
        let flags = libc::O_NOCTTY;
        options
            .read(true)
            .write(true)
            .custom_flags(flags)
            .open(path)
    };
    let leader = open("/dev/ptmx")?;
    let (mut unlocked, mut number): (libc::c_int, libc::c_int) = (0, 0);
    // SAFETY: both requests read or write one int, which outlives the call.
    let failed = unsafe {
        libc::ioctl(leader.as_raw_fd(), libc::TIOCSPTLCK, &raw mut unlocked) != 0
            || libc::ioctl(leader.as_raw_fd(), libc::TIOCGPTN, &raw mut number) != 0
    };
    if failed {
        return Err(io::Error::last_os_error());
    }
    open(&format!("/dev/pts/{number}")).map(drop)
}

/// Holds a number of mebibytes in memory.
fn hold(mebibytes: &str) {
    let count: usize = mebibytes.parse().unwrap_or(0);
    let mut memory = vec![0_u8; count << 20];
    for page in memory.chunks_mut(4096) {
        page[0] = 1;
    }
    println!("holds: {}", std::hint::black_box(&memory).len() >> 20);
}
