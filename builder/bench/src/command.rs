//! Commands that are measured: how long they take, and how much memory the process itself had.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::BenchError;

/// How often the memory of a running process is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// The same in its first moments: many a command is over soon.
const FIRST_LOOK: Duration = Duration::from_millis(1);
/// How long these last.
const FIRST_MOMENTS: Duration = Duration::from_millis(100);
/// Bytes of a failed command's output that are shown.
const TAIL: u64 = 2000;

/// What one run of a command used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Used {
    /// Wall time.
    pub elapsed: Duration,
    /// Greatest resident memory of the process itself, without its children, in bytes; 0 for one that
    /// ended before it was looked at.
    pub memory: u64,
}

/// Returns a command with a clean environment: only what programs need to be found.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench starts what it measures, and finds programs as a shell does"
)]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C.UTF-8");
    for name in ["PATH", "HOME", "USER", "TMPDIR", "SSL_CERT_FILE"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command
}

/// Returns a command, to which program and arguments are still added, in the tree at `root` with `build`
/// as `/build`: a mount namespace, so that nothing has to be cleaned up, and no other seal.
pub fn chrooted(
    root: &Path,
    build: &Path,
    folder: &str,
    variables: &BTreeMap<String, String>,
) -> Command {
    const ENTER: &str = "mount --bind \"$2\" \"$1/build\" && mount --rbind /proc \"$1/proc\" && \
                         mount --rbind /dev \"$1/dev\" && root=$1 && shift 2 && \
                         exec chroot \"$root\" \"$@\"";
    let mut unshare = command("unshare");
    unshare.arg("--mount");
    if !rustix::process::geteuid().is_root() {
        unshare.arg("--map-root-user");
    }
    unshare.args(["sh", "-c", ENTER, "sh"]).arg(root).arg(build);
    unshare.args(["/usr/bin/env", "--ignore-environment"]);
    unshare.arg(format!("--chdir={folder}"));
    let assign = |(name, value): (&String, &String)| format!("{name}={value}");
    unshare.args(variables.iter().map(assign));
    unshare
}

/// Runs a command to its end.
///
/// # Errors
/// `Command` when it fails.
pub fn run(command: &mut Command) -> Result<Used, BenchError> {
    measure(command, Watching::No)
}

/// Runs a command and watches the memory of its process.
///
/// # Errors
/// `Command` when it fails.
pub fn run_watched(command: &mut Command) -> Result<Used, BenchError> {
    measure(command, Watching::Memory)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Watching {
    No,
    Memory,
}

fn measure(command: &mut Command, watching: Watching) -> Result<Used, BenchError> {
    let mut output = tempfile::tempfile()?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?);
    let line = line(command);
    let began = Instant::now();
    let mut child = command
        .spawn()
        .map_err(|error| std::io::Error::new(error.kind(), format!("{line}: {error}")))?;
    let status = if watching == Watching::Memory {
        let status = format!("/proc/{}/status", child.id());
        let mut memory = 0;
        let ended = loop {
            memory = memory.max(high_water(Path::new(&status)));
            if let Some(ended) = child.try_wait()? {
                break ended;
            }
            let is_first = began.elapsed() < FIRST_MOMENTS;
            std::thread::sleep(if is_first { FIRST_LOOK } else { LOOK });
        };
        (ended, memory)
    } else {
        (child.wait()?, 0)
    };
    let elapsed = began.elapsed();
    let (ended, memory) = status;
    if ended.success() {
        return Ok(Used { elapsed, memory });
    }
    let length = output.seek(SeekFrom::End(0))?;
    output.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    output.read_to_end(&mut tail)?;
    Err(BenchError::Command {
        command: line,
        status: ended.to_string(),
        tail: String::from_utf8_lossy(&tail).into_owned(),
    })
}

/// Returns the command line for people.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    let mut line = words.join(" ");
    if line.chars().count() > 200 {
        line = line.chars().take(200).chain("...".chars()).collect();
    }
    line
}

/// Returns the greatest resident memory of a process so far, in bytes; 0 when it is gone.
fn high_water(status: &Path) -> u64 {
    fs_err::read_to_string(status).map_or(0, |text| high_water_of(&text))
}

/// Reads `VmHWM` of a `/proc/PID/status`.
fn high_water_of(status: &str) -> u64 {
    let field = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = field.and_then(|field| field.trim().strip_suffix(" kB"));
    kibibytes.map_or(0, |number| number.trim().parse().unwrap_or(0) * 1024)
}

/// Returns where a program is that a shell would find.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "programs are found as a shell does"
)]
pub fn find(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Returns where a program is, or says that the row can not be had without it.
///
/// # Errors
/// `Skipped`.
pub fn need(program: &str, package: &str) -> Result<std::path::PathBuf, BenchError> {
    find(program).ok_or_else(|| {
        BenchError::skipped(format!(
            "no `{program}`: scripts/install-bench-peers could not install {package}"
        ))
    })
}

/// Returns the first line that a program prints, for the table of versions.
#[must_use]
pub fn first_line(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines().next().unwrap_or("unknown").trim().to_owned()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_status_of_a_process() {
        let text = "Name:\tkiln\nVmPeak:\t  999 kB\nVmHWM:\t    1024 kB\nVmRSS:\t 3 kB\n";
        assert_eq!(high_water_of(text), 1024 * 1024);
        for without in ["", "VmHWM:\t x kB\n", "VmHWM:\t 12\n"] {
            assert_eq!(high_water_of(without), 0, "{without:?}");
        }
    }

    #[test]
    fn a_failed_command_is_an_error_with_its_last_words() {
        let mut failing = command("sh");
        failing.args(["-c", "echo first; echo last >&2; exit 3"]);
        let error = run(&mut failing).unwrap_err();
        let BenchError::Command { status, tail, .. } = error else {
            panic!("expected a failed command, got {error}");
        };
        assert_eq!(
            (status.as_str(), tail.as_str()),
            ("exit status: 3", "first\nlast\n")
        );
    }

    #[test]
    fn a_watched_process_had_memory() {
        let used = run_watched(command("sleep").arg("0.1")).unwrap();
        assert!(used.memory > 0);
        assert!(used.elapsed >= Duration::from_millis(100));
    }
}
