//! What machine the figures are of.

use std::path::Path;

use serde::Serialize;

use crate::command::{command, first_line};

/// Facts of the machine and the moment, for whoever compares figures later.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Machine {
    /// When the run began, RFC 3339.
    pub date: String,
    /// The processor's name.
    pub processor: String,
    /// How many processors this process may use.
    pub cores: usize,
    /// Memory, in MiB.
    pub memory: u64,
    /// The kernel's release.
    pub kernel: String,
    /// The operating system.
    pub system: String,
    /// The file system of the store: device, type.
    pub file_system: String,
    /// `/proc/loadavg` when the run began: what else was going on.
    pub load: String,
}

impl Machine {
    /// Looks.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "figures have a date")]
    pub fn look(store: &Path) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let kernel = rustix::system::uname();
        let moment = jiff::Timestamp::now();
        let whole = jiff::Timestamp::from_second(moment.as_second()).unwrap_or(moment);
        Self {
            date: whole.to_string(),
            processor: field("/proc/cpuinfo", "model name", ':'),
            cores,
            memory: kibibytes("/proc/meminfo") / 1024,
            kernel: kernel.release().to_string_lossy().into_owned(),
            system: field("/etc/os-release", "PRETTY_NAME", '=').replace('"', ""),
            file_system: file_system(store),
            load: text("/proc/loadavg").trim().to_owned(),
        }
    }
}

fn text(path: &str) -> String {
    fs_err::read_to_string(path).unwrap_or_default()
}

fn field(path: &str, name: &str, separator: char) -> String {
    let text = text(path);
    let mut values = text.lines().filter_map(|line| {
        let (key, value) = line.split_once(separator)?;
        (key.trim() == name).then(|| value.trim().to_owned())
    });
    values.next().unwrap_or_else(|| "unknown".to_owned())
}

fn kibibytes(path: &str) -> u64 {
    let value = field(path, "MemTotal", ':');
    value
        .trim_end_matches(" kB")
        .trim()
        .parse()
        .unwrap_or_default()
}

fn file_system(folder: &Path) -> String {
    let mut df = command("df");
    df.args(["--output=fstype,source"]).arg(folder);
    let output = df.output().map(|output| output.stdout).unwrap_or_default();
    let text = String::from_utf8_lossy(&output).into_owned();
    let line = text.lines().nth(1).unwrap_or("unknown");
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The versions of the tools that figures depend on.
#[must_use]
pub fn versions(kiln: &Path) -> Vec<String> {
    [
        first_line(command(kiln).arg("--version")),
        first_line(command("bwrap").arg("--version")),
        first_line(command("mmdebstrap").arg("--version")),
    ]
    .to_vec()
}
