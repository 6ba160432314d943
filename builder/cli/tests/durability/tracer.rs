//! Runs kiln and looks at each of its system calls that changes the store or the results, to stop it
//! there or to let the call fail.
//!
//! strace can do that too, but counts for each thread by itself: the hundredth call of a program with
//! several threads can not be named there. Here all threads of kiln are counted together, and the
//! programs that it starts (the sandbox, compilers, rpmbuild) are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// A call that changes something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub name: &'static str,
    /// What it is about; of two names the new one.
    pub path: PathBuf,
    /// The thread that makes it.
    pub thread: i32,
}

/// What is done to the call of this number, from 0.
#[derive(Debug, Clone, Copy)]
pub enum Injection {
    Nothing,
    /// SIGKILL, before the call is made.
    Kill(usize),
    /// The call is not made and fails.
    Fail(usize, Errno),
}

/// How a traced run went.
#[derive(Debug)]
pub struct Traced {
    /// All calls, in order; up to the kill, if there was one.
    pub calls: Vec<Call>,
    /// `None` if it was killed.
    pub code: Option<i32>,
}

/// What system calls are about: which argument says it.
#[derive(Clone, Copy)]
enum Subject {
    /// A path, relative to the folder of the handle in the argument before it.
    At(usize),
    /// A path.
    Path(usize),
    /// A handle.
    Handle(usize),
}

/// The calls that change files, with how the changed one is found.
const CALLS: &[(libc::c_long, &str, Subject)] = &[
    (libc::SYS_open, "open", Subject::Path(0)),
    (libc::SYS_openat, "openat", Subject::At(1)),
    (libc::SYS_openat2, "openat2", Subject::At(1)),
    (libc::SYS_creat, "creat", Subject::Path(0)),
    (libc::SYS_write, "write", Subject::Handle(0)),
    (libc::SYS_pwrite64, "pwrite64", Subject::Handle(0)),
    (libc::SYS_writev, "writev", Subject::Handle(0)),
    (libc::SYS_pwritev, "pwritev", Subject::Handle(0)),
    (
        libc::SYS_copy_file_range,
        "copy_file_range",
        Subject::Handle(2),
    ),
    (libc::SYS_sendfile, "sendfile", Subject::Handle(0)),
    (libc::SYS_fsync, "fsync", Subject::Handle(0)),
    (libc::SYS_fdatasync, "fdatasync", Subject::Handle(0)),
    (libc::SYS_syncfs, "syncfs", Subject::Handle(0)),
    (libc::SYS_ftruncate, "ftruncate", Subject::Handle(0)),
    (libc::SYS_fallocate, "fallocate", Subject::Handle(0)),
    (libc::SYS_fchmod, "fchmod", Subject::Handle(0)),
    (libc::SYS_chmod, "chmod", Subject::Path(0)),
    (libc::SYS_fchmodat, "fchmodat", Subject::At(1)),
    (libc::SYS_fchownat, "fchownat", Subject::At(1)),
    (libc::SYS_utimensat, "utimensat", Subject::At(1)),
    (libc::SYS_mkdir, "mkdir", Subject::Path(0)),
    (libc::SYS_mkdirat, "mkdirat", Subject::At(1)),
    (libc::SYS_mknodat, "mknodat", Subject::At(1)),
    (libc::SYS_rmdir, "rmdir", Subject::Path(0)),
    (libc::SYS_unlink, "unlink", Subject::Path(0)),
    (libc::SYS_unlinkat, "unlinkat", Subject::At(1)),
    (libc::SYS_link, "link", Subject::Path(1)),
    (libc::SYS_linkat, "linkat", Subject::At(3)),
    (libc::SYS_symlink, "symlink", Subject::Path(1)),
    (libc::SYS_symlinkat, "symlinkat", Subject::At(2)),
    (libc::SYS_rename, "rename", Subject::Path(1)),
    (libc::SYS_renameat, "renameat", Subject::At(3)),
    (libc::SYS_renameat2, "renameat2", Subject::At(3)),
];

/// Bytes of the longest path that is read.
const LONGEST_PATH: usize = 4096;

/// Runs `command` to its end. Only calls on what is below `root` count.
pub fn trace(command: &Command, root: &Path, injection: Injection) -> Traced {
    let kiln = start_stopped(command);
    ptrace::seize(
        kiln,
        Options::PTRACE_O_TRACESYSGOOD
            | Options::PTRACE_O_TRACECLONE
            | Options::PTRACE_O_TRACEEXEC
            | Options::PTRACE_O_EXITKILL,
    )
    .unwrap();
    ptrace::interrupt(kiln).unwrap();
    kill(kiln, Signal::SIGCONT).unwrap();
    let mut tracer = Tracer {
        kiln,
        root: root.to_owned(),
        injection,
        is_kiln: false,
        inside: BTreeMap::new(),
        strangers: BTreeSet::new(),
        calls: Vec::new(),
    };
    let code = tracer.run();
    Traced {
        calls: tracer.calls,
        code,
    }
}

/// Starts a shell that stops itself and then becomes the command. What it prints goes into files beside
/// the project.
#[expect(
    clippy::disallowed_methods,
    reason = "the program under test is started, and killed"
)]
#[expect(clippy::zombie_processes, reason = "the tracer waits for it")]
fn start_stopped(command: &Command) -> Pid {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "kill -STOP $$; exec \"$@\"", "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    shell.env_clear();
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell.stdin(std::process::Stdio::null());
    // To files: nobody reads while the tracer waits.
    let output = |name: &str| fs_err::File::create(name).unwrap().into_parts().0;
    let folder = command.get_current_dir().unwrap().parent().unwrap();
    let folder = folder.to_string_lossy();
    shell.stdout(output(&format!("{folder}/stdout.txt")));
    shell.stderr(output(&format!("{folder}/stderr.txt")));
    let child = shell.process_group(0).spawn().unwrap();
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
    let stopped = waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
    assert!(matches!(stopped, WaitStatus::Stopped(_, Signal::SIGSTOP)));
    pid
}

struct Tracer {
    kiln: Pid,
    root: PathBuf,
    injection: Injection,
    /// Whether the shell became kiln by now.
    is_kiln: bool,
    /// Threads that are inside a call, with the error that it is to return.
    inside: BTreeMap<i32, Option<Errno>>,
    /// Processes that were let go of.
    strangers: BTreeSet<i32>,
    calls: Vec<Call>,
}

impl Tracer {
    fn run(&mut self) -> Option<i32> {
        loop {
            // This thread's own children only: tests run side by side in one process.
            let flags = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
            match waitpid(None, Some(flags)) {
                Ok(WaitStatus::Exited(pid, code)) if pid == self.kiln => return Some(code),
                Ok(WaitStatus::Signaled(pid, ..)) if pid == self.kiln => return None,
                Ok(WaitStatus::PtraceSyscall(pid)) => self.on_call(pid),
                Ok(WaitStatus::PtraceEvent(pid, signal, event)) => {
                    self.on_event(pid, signal, event);
                }
                Ok(WaitStatus::Stopped(pid, signal)) => go_on(pid, Some(signal)),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => panic!("waiting for kiln: {error}"),
            }
        }
    }

    fn on_event(&mut self, pid: Pid, signal: Signal, event: libc::c_int) {
        if event == libc::PTRACE_EVENT_EXEC {
            self.is_kiln = true;
            self.inside.insert(pid.as_raw(), None);
        }
        if event == libc::PTRACE_EVENT_STOP && !self.is_thread(pid) {
            self.strangers.insert(pid.as_raw());
            let _ = ptrace::detach(pid, None);
            return;
        }
        // A stop of the whole group: the tests send none but the first.
        let _ = signal;
        go_on(pid, None);
    }

    /// Returns whether it is one of kiln's own threads.
    fn is_thread(&self, pid: Pid) -> bool {
        let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
        group.is_some_and(|group| group.trim() == self.kiln.to_string())
    }

    fn on_call(&mut self, pid: Pid) {
        let Ok(mut registers) = ptrace::getregs(pid) else {
            return;
        };
        if let Some(error) = self.inside.remove(&pid.as_raw()) {
            if let Some(error) = error {
                registers.rax = i64::from(-(error as i32)).cast_unsigned();
                let _ = ptrace::setregs(pid, registers);
            }
            return go_on(pid, None);
        }
        let mut error = None;
        if self.is_kiln
            && let Some(call) = self.change(pid, &registers)
        {
            let number = self.calls.len();
            self.calls.push(call);
            match self.injection {
                Injection::Kill(at) if at == number => {
                    // The call itself is not made, whatever the kernel does first.
                    registers.orig_rax = u64::MAX;
                    let _ = ptrace::setregs(pid, registers);
                    let _ = kill(self.kiln, Signal::SIGKILL);
                    return;
                }
                Injection::Fail(at, errno) if at == number => {
                    registers.orig_rax = u64::MAX;
                    let _ = ptrace::setregs(pid, registers);
                    error = Some(errno);
                }
                _ => {}
            }
        }
        self.inside.insert(pid.as_raw(), error);
        go_on(pid, None);
    }

    /// Returns the call if it changes something below the root.
    fn change(&self, pid: Pid, registers: &libc::user_regs_struct) -> Option<Call> {
        let r = registers;
        let arguments = [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9];
        let number = libc::c_long::try_from(r.orig_rax).ok()?;
        let (_, name, subject) = *CALLS.iter().find(|(found, ..)| *found == number)?;
        let flags = match number {
            libc::SYS_open => Some(arguments[1]),
            libc::SYS_openat => Some(arguments[2]),
            libc::SYS_openat2 => read_memory(pid, arguments[2], 8)
                .and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?))),
            _ => None,
        };
        let makes = (libc::O_CREAT | libc::O_TRUNC).cast_unsigned();
        // O_TMPFILE has the bit of a folder too, so its own is asked for.
        let makes = u64::from(makes) | (0o20_000_000);
        if flags.is_some_and(|flags| flags & makes == 0) {
            return None;
        }
        let path = match subject {
            Subject::Handle(place) => handle(pid, arguments[place])?,
            Subject::Path(place) => self.below(pid, None, &read_path(pid, arguments[place])?)?,
            Subject::At(place) => {
                let folder = Some(arguments[place - 1]);
                self.below(pid, folder, &read_path(pid, arguments[place])?)?
            }
        };
        path.starts_with(&self.root).then_some(Call {
            name,
            path,
            thread: pid.as_raw(),
        })
    }

    fn below(&self, pid: Pid, folder: Option<u64>, path: &Path) -> Option<PathBuf> {
        if path.is_absolute() {
            // What a handle was made to name: chmod of a folder that is held.
            let of_handle = path.strip_prefix("/proc/self/fd").ok();
            return match of_handle {
                Some(number) => handle(pid, number.to_str()?.parse().ok()?),
                None => Some(path.to_owned()),
            };
        }
        let here = i64::from(libc::AT_FDCWD) as u32;
        let folder = match folder {
            Some(folder) if folder as u32 != here => handle(pid, folder)?,
            _ => fs_err::read_link(format!("/proc/{}/cwd", self.kiln)).ok()?,
        };
        Some(folder.join(path))
    }
}

fn go_on(pid: Pid, signal: Option<Signal>) {
    // It may have died meanwhile.
    let _ = ptrace::syscall(pid, signal);
}

fn handle(pid: Pid, number: u64) -> Option<PathBuf> {
    fs_err::read_link(format!("/proc/{pid}/fd/{}", number as u32)).ok()
}

fn read_memory(pid: Pid, address: u64, most: usize) -> Option<Vec<u8>> {
    let mut memory = fs_err::File::open(format!("/proc/{pid}/mem")).ok()?;
    memory.seek(SeekFrom::Start(address)).ok()?;
    let mut bytes = Vec::new();
    // It may end before.
    let _ = memory.take(most as u64).read_to_end(&mut bytes);
    Some(bytes)
}

fn read_path(pid: Pid, address: u64) -> Option<PathBuf> {
    let bytes = read_memory(pid, address, LONGEST_PATH)?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some(PathBuf::from(
        String::from_utf8_lossy(&bytes[..end]).as_ref(),
    ))
}
