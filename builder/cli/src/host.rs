//! What this host is and how it is set up: the one place that reads its environment.

use std::path::Path;
use std::sync::OnceLock;

use kiln_build::Host;
use kiln_image::debian::archive_addresses;
use kiln_model::Digest;
use kiln_store::{FileIdentity, ObservedFile};

use crate::style::Wishes;

/// Returns the host's facts for run records.
pub fn facts() -> Host {
    let names = rustix::system::uname();
    Host {
        name: names.nodename().to_string_lossy().into_owned(),
        kernel: names.release().to_string_lossy().into_owned(),
        kiln_digest: program_digest(),
    }
}

/// What reads an environment variable: unset, empty and unreadable are the same.
pub type Variable<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Reads a variable of the environment.
#[expect(clippy::disallowed_methods, reason = "only cli reads the environment")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The running program's file, even where its path has another one by now.
const PROGRAM: &str = "/proc/self/exe";

/// Returns the digest of the running program, which is read once: it has tens of megabytes.
fn program_digest() -> Digest {
    static DIGEST: OnceLock<Digest> = OnceLock::new();
    *DIGEST.get_or_init(|| {
        let observed = fs_err::File::open(PROGRAM)
            .and_then(|file| ObservedFile::of(file.file(), Path::new(PROGRAM)));
        observed.map_or_else(|_| Digest::of(b""), |observed| observed.digest)
    })
}

/// Returns what the file of the running program looks like.
pub fn program() -> Option<FileIdentity> {
    let file = fs_err::File::open(PROGRAM).ok()?;
    FileIdentity::of(file.file()).ok()
}

/// Returns the time as RFC 3339 in whole seconds.
#[expect(
    clippy::disallowed_methods,
    reason = "the one clock, for run records only"
)]
pub fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second())
        .unwrap_or(now)
        .to_string()
}

/// Returns the time in seconds since 1970, to tell whether the clock is behind recipes or a key's end.
#[expect(
    clippy::disallowed_methods,
    reason = "for `kiln doctor` and the expiry of keys; it reaches no output"
)]
pub fn seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// Returns the host's memory in bytes.
pub fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

/// Returns the Debian archives that the host's apt uses for `suite`, best first.
pub fn apt_archives(suite: &str) -> Vec<String> {
    let mut files = Vec::new();
    let main = Path::new("/etc/apt/sources.list");
    let folder = walkdir::WalkDir::new("/etc/apt/sources.list.d").sort_by_file_name();
    let parts = folder
        .into_iter()
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path);
    for path in std::iter::once(main.to_owned()).chain(parts) {
        if let (true, Ok(text)) = (path.is_file(), fs_err::read_to_string(&path)) {
            files.push((path.to_string_lossy().into_owned(), text));
        }
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    archive_addresses(&files, suite)
}

/// Returns the passphrase of a signing key, if the environment has one.
#[expect(
    clippy::disallowed_methods,
    reason = "cli reads the environment, and nothing of this reaches an output"
)]
pub fn passphrase() -> Option<Vec<u8>> {
    let value = std::env::var_os("KILN_PASSPHRASE");
    value
        .filter(|value| !value.is_empty())
        .map(std::os::unix::ffi::OsStringExt::into_vec)
}

/// Returns what the environment says of colours.
#[expect(
    clippy::disallowed_methods,
    reason = "cli reads the environment, and nothing of this reaches an output"
)]
pub fn colour_wishes() -> Wishes {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is = |name, expected: &str| std::env::var_os(name).is_some_and(|value| value == expected);
    Wishes {
        no_color: is_set("NO_COLOR"),
        is_forced: is_set("CLICOLOR_FORCE") && !is("CLICOLOR_FORCE", "0"),
        is_declined: is("CLICOLOR", "0"),
        is_dumb: is("TERM", "dumb"),
    }
}
