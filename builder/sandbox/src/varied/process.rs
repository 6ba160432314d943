//! The stages of a varied process, from new namespaces to `exec`, and what a process is found to be.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use kiln_model::{Factor, Level, Variation};
use nix::libc;
use nix::unistd::{ForkResult, Gid, Uid};
use rustix::fs::Mode;
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Pid, Signal, WaitOptions, set_parent_process_death_signal, waitpid};
use rustix::thread::{CpuSet, UnshareFlags, sched_getaffinity, sched_setaffinity};

use super::places::{self, Stand};
use super::{APPLIED, Applied, ProcessOrder, load};
use crate::init::leave;

/// The other user: nobody's on any distribution.
const OTHER_USER: u32 = 61_234;
/// The other user where the first is the caller already.
const ANOTHER_USER: u32 = 61_235;
const OTHER_HOST: &[u8] = b"another-host.example.net";
/// Not what anybody sets: new files are the owner's alone.
const OTHER_UMASK: u32 = 0o077;
/// Exit status when a stage could not do its work; it has said why.
const FAILED: i32 = 71;
/// Longest order, in bytes.
const ORDER_LIMIT: usize = 16 << 20;
/// Most processes that keep processors busy.
const MOST_BUSY: usize = 64;

/// Acts as the first stage of a varied process: what the hidden subcommand calls, as its first act,
/// before the process has started a thread.
pub fn varied_init() -> ! {
    let status = match stage() {
        Ok(status) => status,
        Err(reason) => {
            complain(&reason);
            FAILED
        }
    };
    leave(status)
}

/// Says to the caller what went wrong.
fn complain(reason: &str) {
    let line = format!("kiln: a varied process could not be made: {reason}\n");
    let _ = rustix::io::write(rustix::stdio::stderr(), line.as_bytes());
}

fn stage() -> Result<i32, String> {
    die_with_parent()?;
    let order = read_order()?;
    let _ = rustix::process::setsid();
    let is_root = rustix::process::geteuid().is_root();
    let mut applied = Applied {
        places: order.places.clone(),
        done: BTreeMap::new(),
        refused: BTreeMap::new(),
        view: None,
        busy: Vec::new(),
    };
    if !is_root {
        enter_user(&order, &mut applied)?;
    }
    unshare(UnshareFlags::NEWNS | UnshareFlags::NEWUTS | UnshareFlags::NEWIPC)?;
    die_with_parent()?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(|error| format!("making mounts private: {error}"))?;
    if order.variation.level(Factor::HostName) == Level::Other {
        let set = rustix::system::sethostname(OTHER_HOST);
        note(&mut applied, Factor::HostName, set, "sethostname");
    }
    let is_other_user = order.variation.level(Factor::User) == Level::Other;
    let owner = (is_root && is_other_user).then_some(OTHER_USER);
    let stand = places::mount_places(&order, owner, &mut applied)?;
    // The next child is pid 1, so none of the host's programs is started between.
    unshare(UnshareFlags::NEWPID)?;
    match fork()? {
        Some(child) => Ok(end_of(child)),
        None => leave(match first_process(&order, applied, &stand, owner) {
            Ok(status) => status,
            Err(reason) => {
                complain(&reason);
                FAILED
            }
        }),
    }
}

/// Is pid 1: starts what runs beside kiln, then kiln, and ends with it; the kernel ends the rest.
fn first_process(
    order: &ProcessOrder,
    mut applied: Applied,
    stand: &Stand,
    owner: Option<u32>,
) -> Result<i32, String> {
    die_with_parent()?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("proc", "/proc", "proc", flags, None)
        .map_err(|error| format!("mounting /proc: {error}"))?;
    if order.variation.level(Factor::Load) == Level::Busy {
        applied.busy = busy_processes()?;
        let done = format!("{} busy processes", applied.busy.len());
        applied.done.insert(Factor::Load, done);
    }
    let level = order.variation.level(Factor::DirectoryOrder);
    if level != Level::AsHost {
        match places::show_disordered(level, stand, &applied.places.store) {
            Ok(face) => {
                let done = format!("disorderfs over the host's side of /build, {level}");
                applied.done.insert(Factor::DirectoryOrder, done);
                applied.view = Some(face);
            }
            Err(reason) => drop(applied.refused.insert(Factor::DirectoryOrder, reason)),
        }
    }
    match fork()? {
        Some(kiln) => Ok(reap_until(kiln)),
        None => {
            let reason = become_kiln(order, applied, stand, owner);
            complain(&reason);
            leave(FAILED)
        }
    }
}

/// Changes what is left to change and executes kiln; returns why it could not.
fn become_kiln(
    order: &ProcessOrder,
    mut applied: Applied,
    stand: &Stand,
    owner: Option<u32>,
) -> String {
    let changed = change_process(order, &mut applied);
    let result = changed.and_then(|()| {
        let text = serde_json::to_vec(&applied).map_err(|error| error.to_string())?;
        let file = stand.exchange.join(APPLIED);
        fs_err::write(&file, text).map_err(|error| error.to_string())?;
        if let Some(owner) = owner {
            become_user(owner)?;
        }
        if order.variation.level(Factor::Umask) == Level::Other {
            rustix::process::umask(Mode::from_raw_mode(OTHER_UMASK));
        }
        rustix::process::chdir("/").map_err(|error| format!("chdir to /: {error}"))?;
        // Another user's process has lost it.
        die_with_parent()?;
        execute(order, &stand.exchange)
    });
    result.err().unwrap_or_default()
}

/// What the kernel does otherwise for a process, by bits of `personality` and their names.
const PERSONALITIES: [(Factor, Level, libc::c_int, &str); 2] = [
    (Factor::Kernel, Level::Other, libc::UNAME26, "UNAME26"),
    (
        Factor::Aslr,
        Level::Off,
        libc::ADDR_NO_RANDOMIZE,
        "ADDR_NO_RANDOMIZE",
    ),
];

/// Returns the bits of `personality` that a variation asks for; 0 for none.
#[must_use]
pub fn personality(variation: &Variation) -> u32 {
    let asked = PERSONALITIES.iter();
    let asked = asked.filter(|(factor, level, ..)| variation.level(*factor) == *level);
    asked.fold(0, |bits, (_, _, bit, _)| bits | bit.unsigned_abs())
}

fn change_process(order: &ProcessOrder, applied: &mut Applied) -> Result<(), String> {
    let is = |factor, level| order.variation.level(factor) == level;
    if is(Factor::Processors, Level::One) {
        let mut one = CpuSet::new();
        let allowed = sched_getaffinity(None).map_err(|error| error.to_string())?;
        let first = (0..CpuSet::MAX_CPU).find(|number| allowed.is_set(*number));
        one.set(first.unwrap_or(0));
        let set = sched_setaffinity(None, &one);
        note(applied, Factor::Processors, set, "sched_setaffinity");
    }
    for (factor, level, _, name) in PERSONALITIES {
        if is(factor, level) {
            applied.done.insert(factor, format!("personality({name})"));
        }
    }
    match personality(&order.variation) {
        0 => {}
        bits => set_personality(bits)?,
    }
    if is(Factor::Umask, Level::Other) {
        let done = format!("umask {OTHER_UMASK:04o}");
        applied.done.insert(Factor::Umask, done);
    }
    Ok(())
}

fn note(applied: &mut Applied, factor: Factor, set: rustix::io::Result<()>, how: &str) {
    match set {
        Ok(()) => drop(applied.done.insert(factor, how.to_owned())),
        Err(error) => drop(applied.refused.insert(factor, format!("{how}: {error}"))),
    }
}

/// Reads the order up to the end of its line, and not a byte more: the pipe stays open.
fn read_order() -> Result<ProcessOrder, String> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    let mut input = std::io::stdin().lock();
    // Standard input is buffered by the library; what comes later is only an end.
    while input.read(&mut byte).map_err(|error| error.to_string())? == 1 && byte != [b'\n'] {
        bytes.push(byte[0]);
        if bytes.len() > ORDER_LIMIT {
            return Err("the order is too long".to_owned());
        }
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("the order is not readable: {error}"))
}

/// Enters a user namespace, in which everybody may have other namespaces and one other id.
fn enter_user(order: &ProcessOrder, applied: &mut Applied) -> Result<(), String> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    unshare(UnshareFlags::NEWUSER)?;
    let inside = match order.variation.level(Factor::User) {
        Level::Other if uid.as_raw() == OTHER_USER => ANOTHER_USER,
        Level::Other => OTHER_USER,
        _ => uid.as_raw(),
    };
    let inside_group = if inside == uid.as_raw() {
        gid.as_raw()
    } else {
        inside
    };
    for (file, line) in [
        ("setgroups", "deny".to_owned()),
        ("uid_map", format!("{inside} {} 1", uid.as_raw())),
        ("gid_map", format!("{inside_group} {} 1", gid.as_raw())),
    ] {
        let path = Path::new("/proc/self").join(file);
        fs_err::write(path, line).map_err(|error| error.to_string())?;
    }
    if inside != uid.as_raw() {
        let done = format!("uid and gid {inside} of a user namespace; the host's user is the same");
        applied.done.insert(Factor::User, done);
    }
    Ok(())
}

/// Becomes another user for good.
fn become_user(user: u32) -> Result<(), String> {
    let failed = |error: nix::errno::Errno| format!("becoming user {user}: {error}");
    nix::unistd::setgroups(&[]).map_err(failed)?;
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    nix::unistd::setresgid(gid, gid, gid).map_err(failed)?;
    nix::unistd::setresuid(uid, uid, uid).map_err(failed)
}

#[expect(
    unsafe_code,
    reason = "rustix marks unshare unsafe for shared descriptor tables"
)]
fn unshare(flags: UnshareFlags) -> Result<(), String> {
    // SAFETY: `FILES` is never among the flags, and this process has one thread.
    unsafe { rustix::thread::unshare_unsafe(flags) }
        .map_err(|error| format!("new namespaces ({flags:?}): {error}"))
}

#[expect(unsafe_code, reason = "no safe wrapper of personality")]
fn set_personality(bits: u32) -> Result<(), String> {
    // SAFETY: takes a number; what it changes holds for later calls of `exec` and `uname`.
    match unsafe { libc::personality(libc::c_ulong::from(bits)) } {
        -1 => Err(format!("personality: {}", std::io::Error::last_os_error())),
        _ => Ok(()),
    }
}

fn die_with_parent() -> Result<(), String> {
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(|error| format!("prctl: {error}"))
}

/// Forks; `None` in the child.
#[expect(unsafe_code, reason = "fork has no safe form")]
fn fork() -> Result<Option<Pid>, String> {
    // SAFETY: this process has one thread, so the child may use everything that the parent could.
    match unsafe { nix::unistd::fork() } {
        Ok(ForkResult::Child) => Ok(None),
        Ok(ForkResult::Parent { child }) => Ok(Pid::from_raw(child.as_raw())),
        Err(error) => Err(format!("fork: {error}")),
    }
}

fn busy_processes() -> Result<Vec<i32>, String> {
    let allowed = sched_getaffinity(None).map_err(|error| error.to_string())?;
    let count = usize::try_from(allowed.count())
        .unwrap_or(1)
        .clamp(1, MOST_BUSY);
    let mut busy = Vec::new();
    for _ in 0..count {
        match fork()? {
            Some(child) => busy.push(child.as_raw_pid()),
            None => {
                let _ = die_with_parent();
                load::spin()
            }
        }
    }
    Ok(busy)
}

/// Waits for a child and returns its status as a shell does.
fn end_of(child: Pid) -> i32 {
    let waited = rustix::io::retry_on_intr(|| waitpid(Some(child), WaitOptions::empty()));
    waited
        .ok()
        .flatten()
        .map_or(FAILED, |(_, status)| status_of(status))
}

fn status_of(status: rustix::process::WaitStatus) -> i32 {
    let signal = status.terminating_signal();
    status
        .exit_status()
        .or(signal.map(|signal| 128 + signal))
        .unwrap_or(FAILED)
}

/// Waits for everything that has no other parent, until `kiln` has ended.
fn reap_until(kiln: Pid) -> i32 {
    loop {
        match rustix::io::retry_on_intr(|| waitpid(None, WaitOptions::empty())) {
            Ok(Some((child, status))) if child == kiln => return status_of(status),
            Ok(_) => {}
            Err(_) => return FAILED,
        }
    }
}

/// Executes this program once more, with the process's own environment.
fn execute(order: &ProcessOrder, exchange: &Path) -> Result<(), String> {
    let text = |bytes: &[u8]| CString::new(bytes).map_err(|error| error.to_string());
    let mut arguments = vec![text(b"kiln")?];
    for argument in &order.arguments {
        arguments.push(text(argument.as_bytes())?);
    }
    arguments.push(text(exchange.as_os_str().as_bytes())?);
    let mut environment = Vec::new();
    for (name, value) in &order.environment {
        environment.push(text(format!("{name}={value}").as_bytes())?);
    }
    match nix::unistd::execve(c"/proc/self/exe", &arguments, &environment) {
        Ok(never) => match never {},
        Err(error) => Err(format!("executing kiln again: {error}")),
    }
}

/// What a process is and where it runs, as it can see itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProcessFacts {
    /// By name, as in the observations: `host-name`.
    pub facts: BTreeMap<String, String>,
    /// Hundredths of a second that the given processes ran.
    pub busy_time: u64,
}

/// Looks at this process, at the file system of `store` and at what `busy` processes did so far.
#[must_use]
pub fn process_facts(store: &Path, busy: &[i32]) -> ProcessFacts {
    let names = rustix::system::uname();
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let line = |name: &str| {
        let found = status.lines().find_map(|line| line.strip_prefix(name));
        found.unwrap_or_default().trim().to_owned()
    };
    let personality = fs_err::read_to_string("/proc/self/personality").unwrap_or_default();
    let processors = sched_getaffinity(None).map_or(0, |set| set.count());
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    let facts = [
        ("host-name", names.nodename().to_string_lossy().into_owned()),
        ("kernel", names.release().to_string_lossy().into_owned()),
        ("umask", line("Umask:")),
        ("user", format!("{}:{}", uid.as_raw(), gid.as_raw())),
        ("processors", processors.to_string()),
        ("addresses", addresses(&personality).to_owned()),
        ("file-system", file_system(store)),
        ("host-path", store.display().to_string()),
    ];
    ProcessFacts {
        facts: facts.map(|(name, value)| (name.to_owned(), value)).into(),
        busy_time: load::processor_time(busy),
    }
}

/// Says what a personality, in hexadecimal, means for addresses.
fn addresses(personality: &str) -> &'static str {
    let bits = u32::from_str_radix(personality.trim(), 16);
    match bits {
        Ok(bits) if bits & libc::ADDR_NO_RANDOMIZE.unsigned_abs() != 0 => "fixed",
        Ok(_) => "random",
        Err(_) => "unknown",
    }
}

/// Names the file system that a folder is on, by its magic number, and its device.
fn file_system(folder: &Path) -> String {
    let Ok(found) = rustix::fs::statfs(folder) else {
        return "unknown".to_owned();
    };
    let known = match found.f_type {
        0xEF53 => "ext4",
        0x0102_1994 => "tmpfs",
        0x5846_5342 => "xfs",
        0x9123_683E => "btrfs",
        0x794C_7630 => "overlay",
        0x6573_5546 => "fuse",
        0x2FC1_2FC1 => "zfs",
        0x6969 => "nfs",
        _ => "",
    };
    let kind = match known {
        "" => format!("{:x}", found.f_type),
        known => known.to_owned(),
    };
    let device = rustix::fs::stat(folder).map_or(0, |found| found.st_dev);
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    format!("{kind} on {major}:{minor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personalities_are_read() {
        for (text, expected) in [
            ("00040000\n", "fixed"),
            ("00060000", "fixed"),
            ("00020000", "random"),
            ("00000000", "random"),
            ("", "unknown"),
        ] {
            assert_eq!(addresses(text), expected, "{text}");
        }
    }

    #[test]
    fn this_process_can_be_described() {
        let found = process_facts(Path::new("/proc"), &[]);
        let expected = format!("{:04o}", 0o22);
        assert_eq!(found.facts["umask"].len(), expected.len());
        assert_ne!(found.facts["processors"], "0");
        assert_eq!(found.busy_time, 0);
        let own = std::process::id().cast_signed();
        assert!(process_facts(Path::new("/"), &[own, -1]).busy_time < 60_000);
    }
}
