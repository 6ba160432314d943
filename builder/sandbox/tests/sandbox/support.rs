//! A busybox root, a step builder and an engine for the tests.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kiln_model::{
    Isolation, Limits, Mount, MountAccess, SandboxPath, SealedStep, StepEnd, StepOutcome, StepUser,
};
use kiln_sandbox::{Cancel, EmbeddedEngine, Engine, InitProgram, SandboxError};

/// Where distributions put a static busybox.
const BUSYBOXES: [&str; 4] = [
    "/bin/busybox",
    "/usr/bin/busybox",
    "/sbin/busybox.static",
    "/usr/lib/busybox/busybox-static",
];

/// Commands that the tests use inside.
const APPLETS: &[&str] = &[
    "awk", "cat", "chmod", "chown", "cp", "cut", "date", "dd", "df", "dirname", "dmesg", "echo",
    "env", "false", "find", "grep", "head", "hostname", "id", "ifconfig", "insmod", "kill", "ln",
    "ls", "mkdir", "mknod", "mount", "mv", "nc", "nproc", "nslookup", "ping", "printf", "ps",
    "pwd", "readlink", "rm", "rmdir", "sed", "seq", "setsid", "sh", "sleep", "sort", "stat", "su",
    "sync", "tail", "tee", "test", "touch", "tr", "true", "umount", "uname", "unshare", "wc",
    "wget", "xargs", "yes",
];

/// The engine under test, started through the test's own init program.
pub fn engine() -> EmbeddedEngine {
    EmbeddedEngine::new(InitProgram {
        program: init_program(),
        arguments: Vec::new(),
    })
}

pub fn init_program() -> PathBuf {
    program("kiln-sandbox-init", env!("CARGO_BIN_EXE_kiln-sandbox-init"))
}

pub fn probe_program() -> PathBuf {
    program(
        "kiln-sandbox-probe",
        env!("CARGO_BIN_EXE_kiln-sandbox-probe"),
    )
}

/// Cargo's place for a program, or the one beside the test (a test copied for another user).
fn program(name: &str, built: &str) -> PathBuf {
    let test = PathBuf::from(std::env::args().next().unwrap());
    let beside = test.parent().unwrap().join(name);
    if beside.exists() {
        beside
    } else {
        PathBuf::from(built)
    }
}

/// Runs the probe outside of any sandbox: the positive control.
pub fn probe_on_host(attempt: &[&str]) -> String {
    let output = Command::new(probe_program())
        .args(attempt)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Returns a static busybox, or prints that the test is skipped.
fn busybox() -> Option<PathBuf> {
    let found = BUSYBOXES
        .iter()
        .map(PathBuf::from)
        .find(|path| fs_err::read(path).is_ok_and(|bytes| is_static(&bytes)));
    if found.is_none() {
        println!("SKIPPED: no static busybox at any of {BUSYBOXES:?}");
    }
    found
}

/// Returns whether a 64-bit little-endian ELF file has no PT_INTERP (type 3) program header.
pub fn is_static(elf: &[u8]) -> bool {
    let number = |at: usize, size: usize| -> usize {
        let bytes = elf.get(at..at + size).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    elf.starts_with(b"\x7fELF") && !(0..count).any(|index| number(table + index * size, 4) == 3)
}

/// A temporary folder with a root file system of busybox and room for inputs and outputs.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// Returns `None`, having said so, when the machine has no static busybox.
    pub fn new() -> Option<Self> {
        let place = Self::empty();
        let busybox = busybox()?;
        let bin = place.rootfs().join("bin");
        fs_err::create_dir_all(&bin).unwrap();
        fs_err::copy(busybox, bin.join("busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", bin.join(applet)).unwrap();
        }
        Some(place)
    }

    /// Returns a place whose root has nothing in it.
    pub fn empty() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        fs_err::create_dir(place.rootfs()).unwrap();
        place
    }

    /// Puts the probe program with the libraries of this test program into the root; returns the
    /// start of a command that runs it.
    pub fn add_probe(&self) -> Vec<String> {
        let folder = self.rootfs().join("probe");
        fs_err::create_dir_all(&folder).unwrap();
        fs_err::copy(probe_program(), folder.join("probe")).unwrap();
        let mut command = vec!["/probe/probe".to_owned()];
        let maps = fs_err::read_to_string("/proc/self/maps").unwrap();
        let libraries: BTreeSet<&str> = maps
            .lines()
            .filter_map(|line| line.find('/').map(|start| &line[start..]))
            .filter(|path| path.contains(".so"))
            .collect();
        for library in libraries {
            let name = Path::new(library).file_name().unwrap().to_str().unwrap();
            fs_err::copy(library, folder.join(name)).unwrap();
            if name.starts_with("ld-") {
                let loader = format!("/probe/{name}");
                let mut start = vec![loader, "--library-path".to_owned(), "/probe".to_owned()];
                start.append(&mut command);
                command = start;
            }
        }
        command
    }

    /// Returns a step that runs one of the probe's attempts.
    pub fn probe(&self, attempt: &[&str]) -> SealedStep {
        let mut command = self.add_probe();
        command.extend(attempt.iter().map(|&part| part.to_owned()));
        let mut step = self.step("");
        step.command = command;
        step
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// Makes a host folder and returns its place.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = self.path().join(name);
        fs_err::create_dir_all(&folder).unwrap();
        folder
    }

    /// Makes a host file with a text and returns its place.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path().join(name);
        fs_err::write(&file, text).unwrap();
        file
    }

    /// Returns a step that runs `script` with the sandbox's shell.
    pub fn step(&self, script: &str) -> SealedStep {
        self.command(&["/bin/sh", "-c", script])
    }

    /// Returns a step that runs `command`.
    pub fn command(&self, command: &[&str]) -> SealedStep {
        SealedStep {
            label: "test".to_owned(),
            rootfs: vec![self.rootfs()],
            mounts: Vec::new(),
            command: command.iter().map(|&part| part.to_owned()).collect(),
            environment: BTreeMap::from([("PATH".to_owned(), "/bin".to_owned())]),
            working_directory: path("/build"),
            user: StepUser::Build,
            limits: Limits {
                memory: 1 << 30,
                processes: 1000,
                wall_time: Duration::from_secs(120),
                log: 1 << 20,
                scratch: 64 << 20,
                disk: 1 << 40,
                reserve: 0,
            },
        }
    }
}

/// Returns a command line that runs one test of this program, alone and loudly.
pub fn this_test_program(test: &str) -> [String; 4] {
    let program = std::env::args().next().unwrap();
    let program = fs_err::canonicalize(program).unwrap();
    [
        program.to_str().unwrap().to_owned(),
        "--exact".to_owned(),
        test.to_owned(),
        "--nocapture".to_owned(),
    ]
}

/// Waits until something holds; a step that was not run must not hang its test.
#[track_caller]
pub fn wait_until(holds: &dyn Fn() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(30), "it never held");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn path(text: &str) -> SandboxPath {
    text.parse().unwrap()
}

pub fn mount(source: &Path, target: &str, access: MountAccess) -> Mount {
    Mount {
        source: source.to_owned(),
        target: path(target),
        access,
    }
}

/// Runs a step and returns how it ended with its log.
pub fn run(step: &SealedStep) -> Result<(StepOutcome, String), SandboxError> {
    run_on(&engine(), step)
}

/// Runs a step on an engine that has run others.
pub fn run_on(
    engine: &EmbeddedEngine,
    step: &SealedStep,
) -> Result<(StepOutcome, String), SandboxError> {
    let mut log = Vec::new();
    let outcome = engine.run(step, &mut log, &Cancel::new())?;
    Ok((outcome, String::from_utf8_lossy(&log).into_owned()))
}

/// Runs a step that must succeed and returns its log.
#[track_caller]
pub fn output(step: &SealedStep) -> String {
    let (outcome, log) = match run(step) {
        Ok(ran) => ran,
        Err(error) => panic!("the step did not run: {error}\n{error:?}"),
    };
    assert_eq!(outcome.end, StepEnd::Exited(0), "log:\n{log}");
    assert_sealed(&outcome.isolation);
    log
}

/// Runs a step that must not be run and returns why.
#[track_caller]
pub fn refusal(step: &SealedStep) -> SandboxError {
    match run(step) {
        Ok((outcome, log)) => panic!("the step ran: {outcome:?}\n{log}"),
        Err(error) => error,
    }
}

#[track_caller]
pub fn assert_sealed(isolation: &Isolation) {
    use kiln_model::Measured::Yes;
    let all = [
        isolation.network,
        isolation.filesystem,
        isolation.processes,
        isolation.privileges,
        isolation.user_namespace,
    ];
    assert_eq!(all, [Yes; 5]);
    assert_eq!(isolation.engine, "embedded");
}
