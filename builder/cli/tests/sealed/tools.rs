//! Other people's tools, run on what kiln made: dnf and rpm, each with a configuration of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use walkdir::WalkDir;

use crate::bases::Base;

/// How a tool ended, and everything that it said.
#[derive(Debug)]
pub struct Said {
    pub is_done: bool,
    pub text: String,
}

/// Runs a program; only `PATH` is taken over.
#[expect(
    clippy::disallowed_methods,
    reason = "the tools that kiln is compared with are started"
)]
pub fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C.UTF-8");
    command.env(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    command.envs(environment.iter().copied()).args(arguments);
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = [stdout, stderr].concat();
    Said {
        is_done: status.success(),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}

/// Debian's rpm has its database in the home folder, here that of the machine's root.
const HOME: (&str, &str) = ("HOME", "/root");

/// A copy of the base root file system that dnf installs into.
pub struct Machine {
    folder: tempfile::TempDir,
}

impl Machine {
    /// Copies the base's tree.
    pub fn new(base: &Base) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        let tree = base.root();
        let copied = run(
            "cp",
            &["-a", &tree.to_string_lossy(), &root.to_string_lossy()],
            &[],
        );
        assert!(copied.is_done, "{}", copied.text);
        Self { folder }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// Runs dnf with this text as the only repository.
    pub fn dnf(&self, repository: &str, arguments: &[&str]) -> Said {
        let place = |name: &str| self.folder.path().join(name).display().to_string();
        let config = place("dnf.conf");
        let main = format!(
            "[main]\ncachedir={}\npersistdir={}\nlogdir={}\nreposdir=/nonexistent\n\
             install_weak_deps=0\nmetadata_expire=0\n{repository}",
            place("cache"),
            place("persist"),
            place("log"),
        );
        fs_err::write(&config, main).unwrap();
        let root = self.root().display().to_string();
        let fixed = [
            "-y",
            "-c",
            &config,
            "--installroot",
            &root,
            "--releasever",
            "12",
        ];
        // Within one second dnf takes old metadata for new. The plugin would keep packages on the host,
        // and offer them to the next machine.
        let fixed = [&fixed[..], &["--refresh", "--disableplugin=local"]].concat();
        run("dnf", &[&fixed[..], arguments].concat(), &[HOME])
    }

    /// Runs dnf and expects success.
    pub fn done(&self, repository: &str, arguments: &[&str]) -> String {
        let said = self.dnf(repository, arguments);
        assert!(said.is_done, "dnf {arguments:?}\n{}", said.text);
        said.text
    }

    /// Asks the machine's own rpm database.
    pub fn query(&self, package: &str) -> String {
        let root = self.root().display().to_string();
        run("rpm", &["--root", &root, "-q", package], &[HOME])
            .text
            .trim()
            .to_owned()
    }
}

/// Returns the section of a repository whose signatures nobody asks for.
pub fn unsigned(rpms: &Path) -> String {
    format!(
        "[kiln]\nname=kiln\nbaseurl=file://{}\ngpgcheck=0\nrepo_gpgcheck=0\n",
        rpms.display()
    )
}

/// Copies a folder.
pub fn copy(from: &Path, to: &Path) {
    for entry in WalkDir::new(from).sort_by_file_name() {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        if entry.file_type().is_dir() {
            fs_err::create_dir_all(&target).unwrap();
        } else {
            fs_err::copy(entry.path(), &target).unwrap();
        }
    }
}
