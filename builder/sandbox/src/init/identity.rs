//! The files in `/etc` that say who and where the step is: the same in every sandbox.
//!
//! `hostname`, `hosts` and `resolv.conf` are ours whatever the image has. Of `passwd` and `group`
//! the image's lines are kept, so that packages that look for `bin` or `mail` find them, except
//! those that claim the name or the id of `build`; `root` and `nobody` are added when missing.

use std::io::{Read, Write};
use std::os::fd::BorrowedFd;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, openat, openat2, statat, unlinkat,
};
use rustix::io::Errno;

use super::{Act, call};
use crate::protocol::Fault;

/// The host name inside every sandbox.
pub(super) const HOST_NAME: &str = "kiln";
/// The kernel's name for "no domain".
pub(super) const DOMAIN_NAME: &str = "(none)";

const HOSTS: &str = "127.0.0.1 localhost kiln\n::1 localhost kiln\n";
/// Read of an image's account file: more is no account file.
const ACCOUNTS_LIMIT: u64 = 1 << 20;

/// One line that must be in an account file.
struct Account {
    name: &'static str,
    id: &'static str,
    line: &'static str,
}

const USERS: [Account; 3] = [
    account("root", "0", "root:x:0:0:root:/root:/bin/sh"),
    account(
        "build",
        "1000",
        "build:x:1000:1000:build:/build/home:/bin/sh",
    ),
    account(
        "nobody",
        "65534",
        "nobody:x:65534:65534:nobody:/nonexistent:/bin/false",
    ),
];
const GROUPS: [Account; 3] = [
    account("root", "0", "root:x:0:"),
    account("build", "1000", "build:x:1000:"),
    account("nogroup", "65534", "nogroup:x:65534:"),
];

const fn account(name: &'static str, id: &'static str, line: &'static str) -> Account {
    Account { name, id, line }
}

/// Writes the files that do not depend on the image, before the overlay is mounted.
pub(super) fn write_fixed_files(scratch: BorrowedFd<'_>) -> Act<()> {
    create(scratch, "upper/etc/hostname", &format!("{HOST_NAME}\n"))?;
    create(scratch, "upper/etc/hosts", HOSTS)?;
    create(scratch, "upper/etc/resolv.conf", "")
}

/// Writes the account files into the merged root.
pub(super) fn write_accounts(root: BorrowedFd<'_>) -> Act<()> {
    for (path, accounts) in [("etc/passwd", &USERS), ("etc/group", &GROUPS)] {
        let image = read_image_file(root, path)?;
        match unlinkat(root, path, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(call(&format!("replacing /{path}"))(errno)),
        }
        create(root, path, &merge(&image, accounts))?;
    }
    Ok(())
}

/// Returns a regular file's text; anything else there counts as empty.
fn read_image_file(root: BorrowedFd<'_>, path: &str) -> Act<String> {
    let is_file = statat(root, path, AtFlags::SYMLINK_NOFOLLOW)
        .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile);
    if !is_file {
        return Ok(String::new());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    let Ok(file) = openat2(root, path, flags, Mode::empty(), resolve) else {
        return Ok(String::new());
    };
    let mut bytes = Vec::new();
    std::fs::File::from(file)
        .take(ACCOUNTS_LIMIT)
        .read_to_end(&mut bytes)
        .map_err(|error| Fault::Call {
            what: format!("reading the image's /{path}"),
            errno: error.raw_os_error().unwrap_or(0),
        })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn create(folder: BorrowedFd<'_>, path: &str, text: &str) -> Act<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let what = format!("writing /{path}");
    let file = openat(folder, path, flags, Mode::from_raw_mode(0o644)).map_err(call(&what))?;
    std::fs::File::from(file)
        .write_all(text.as_bytes())
        .map_err(|error| Fault::Call {
            what,
            errno: error.raw_os_error().unwrap_or(0),
        })
}

/// Returns the image's lines with ours made sure of.
fn merge(image: &str, accounts: &[Account; 3]) -> String {
    let [root, build, nobody] = accounts;
    let field = |line: &str, index: usize| line.split(':').nth(index).map(str::to_owned);
    let claims = |line: &str, account: &Account| {
        field(line, 0).as_deref() == Some(account.name)
            || field(line, 2).as_deref() == Some(account.id)
    };
    let mut lines: Vec<&str> = image
        .lines()
        .filter(|line| !line.is_empty() && !claims(line, build))
        .collect();
    if !lines.iter().any(|line| claims(line, root)) {
        lines.insert(0, root.line);
    }
    if !lines.iter().any(|line| claims(line, nobody)) {
        lines.push(nobody.line);
    }
    lines.push(build.line);
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_of_the_image_are_kept_but_build_is_ours() {
        let ours = "build:x:1000:1000:build:/build/home:/bin/sh\n";
        let nobody = "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
        let cases = [
            ("", format!("root:x:0:0:root:/root:/bin/sh\n{nobody}{ours}")),
            (
                "root:x:0:0:me:/root:/bin/bash\nmail:x:8:8::/:\n",
                format!("root:x:0:0:me:/root:/bin/bash\nmail:x:8:8::/:\n{nobody}{ours}"),
            ),
            (
                "root:x:0:0:me:/:\nubuntu:x:1000:1000::/home/ubuntu:/bin/sh\n\nbuild:x:7:7::/:\nno:x:65534:1::/:",
                format!("root:x:0:0:me:/:\nno:x:65534:1::/:\n{ours}"),
            ),
        ];
        for (image, expected) in cases {
            assert_eq!(merge(image, &USERS), expected, "{image}");
        }
        assert_eq!(
            merge("bin:x:2:\n", &GROUPS),
            "root:x:0:\nbin:x:2:\nnogroup:x:65534:\nbuild:x:1000:\n"
        );
    }
}
