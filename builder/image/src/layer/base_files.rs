//! What the scripts of Debian's base packages make at installation and a build can not do without.
//!
//! | what | who makes it elsewhere |
//! |---|---|
//! | `/bin`, `/sbin`, `/lib*` -> `usr/...` | usrmerge, debootstrap |
//! | `/etc/passwd`, `/etc/group` | base-passwd, from its master files; plus `build` (uid 1000) |
//! | `/etc/nsswitch.conf` | libc-bin, from its template |
//! | `/etc/hosts` with `localhost` | the installer |
//! | `/dev`, `/proc`, `/sys`, `/run`, `/tmp`, `/root`, `/build`, `/var/tmp` | base-files, the sandbox |
//! | `/var/lib/kiln/packages` | kiln: what is inside, one `name=version` per line |

use kiln_model::LockedPackage;

use super::merge::{Layer, MERGED, Source};
use super::spool::Spools;
use super::{AssembleError, LayerKind};

/// Merged folders that every system has; the others only if a package has files there.
const ALWAYS_MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Empty folders and their modes.
const FOLDERS: [(&str, u32); 9] = [
    ("build", 0o755),
    ("dev", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("var/lib/kiln", 0o755),
    ("var/tmp", 0o1777),
];

const HOSTS: &[u8] = b"127.0.0.1\tlocalhost\n::1\tlocalhost\n";

/// Files made from another: place, template, line that is added.
const FROM_TEMPLATE: [(&str, &str, &[u8]); 3] = [
    (
        "etc/passwd",
        "usr/share/base-passwd/passwd.master",
        b"build:x:1000:1000:build:/build/home:/bin/sh\n",
    ),
    (
        "etc/group",
        "usr/share/base-passwd/group.master",
        b"build:x:1000:\n",
    ),
    ("etc/nsswitch.conf", "usr/share/libc-bin/nsswitch.conf", b""),
];

/// Adds what a layer of this kind needs beside its packages' files.
pub(super) fn add(
    layer: &mut Layer<'_>,
    spool: &mut Spools,
    packages: &[&LockedPackage],
    kind: LayerKind,
) -> Result<(), AssembleError> {
    let list: String = packages
        .iter()
        .map(|package| format!("{}={}\n", package.name, package.version))
        .collect();
    let list_path = match kind {
        LayerKind::Base => "var/lib/kiln/packages",
        // Beside the base's list, not over it.
        LayerKind::Addition => "var/lib/kiln/packages-added",
    };
    add_file(layer, spool, list_path, list.as_bytes())?;
    if kind == LayerKind::Addition {
        return Ok(());
    }
    for top in MERGED {
        let place = format!("usr/{top}");
        if ALWAYS_MERGED.contains(&top) {
            layer.add_own(&place, Source::Directory, 0o755);
        }
        if layer.node(place.as_bytes()).is_some() {
            layer.add_own(top, Source::Symlink(place.into_bytes()), 0o777);
        }
    }
    for (folder, mode) in FOLDERS {
        layer.add_own(folder, Source::Directory, mode);
    }
    add_file(layer, spool, "etc/hosts", HOSTS)?;
    for (place, template, line) in FROM_TEMPLATE {
        let content = match layer.node(template.as_bytes()).map(|node| &node.source) {
            Some(Source::File(content)) => *content,
            _ => continue,
        };
        let mut bytes = spool.read_whole(content)?;
        bytes.extend_from_slice(line);
        add_file(layer, spool, place, &bytes)?;
    }
    Ok(())
}

fn add_file(
    layer: &mut Layer<'_>,
    spool: &mut Spools,
    path: &str,
    bytes: &[u8],
) -> Result<(), AssembleError> {
    let content = spool.add(bytes)?;
    layer.add_own(path, Source::File(content), 0o644);
    Ok(())
}
