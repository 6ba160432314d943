//! Tars made by hand for tests: honest ones through the `tar` crate's headers, hostile ones by
//! patching their bytes.

use tar::{EntryType, Header};

use crate::tar_header::BLOCK;

/// A tar being made; every entry has uid and gid 0 and mtime 1000.
#[derive(Debug, Clone, Default)]
pub(crate) struct HandTar {
    bytes: Vec<u8>,
}

impl HandTar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn dir(self, path: &str) -> Self {
        self.node(path, EntryType::Directory, 0o755, "", b"")
    }

    pub fn file(self, path: &str, content: &str) -> Self {
        self.node(path, EntryType::Regular, 0o644, "", content.as_bytes())
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.node(path, EntryType::Symlink, 0o777, target, b"")
    }

    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.node(path, EntryType::Link, 0o644, target, b"")
    }

    pub fn of_type(self, path: &str, flag: u8) -> Self {
        self.node(path, EntryType::new(flag), 0o644, "", b"")
    }

    pub fn node(self, path: &str, kind: EntryType, mode: u32, link: &str, content: &[u8]) -> Self {
        self.patched(path, kind, mode, link, content, |_| {})
    }

    /// Adds an entry whose header is changed before its checksum is set.
    pub fn patched(
        mut self,
        path: &str,
        kind: EntryType,
        mode: u32,
        link: &str,
        content: &[u8],
        patch: impl FnOnce(&mut Header),
    ) -> Self {
        let mut header = Header::new_gnu();
        let old = header.as_old_mut();
        old.name[..path.len()].copy_from_slice(path.as_bytes());
        old.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1000);
        header.set_size(content.len() as u64);
        patch(&mut header);
        header.set_cksum();
        self.bytes.extend_from_slice(header.as_bytes());
        self.content(content)
    }

    fn content(mut self, content: &[u8]) -> Self {
        self.bytes.extend_from_slice(content);
        let full = self.bytes.len().next_multiple_of(BLOCK);
        self.bytes.resize(full, 0);
        self
    }

    /// Adds a pax header with these records.
    pub fn pax(self, flag: u8, records: &[(&str, &str)]) -> Self {
        let mut content = String::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest..).find(|n| *n == rest + n.to_string().len()).unwrap();
            content.push_str(&format!("{length} {key}={value}\n"));
        }
        self.node("pax", EntryType::new(flag), 0o644, "", content.as_bytes())
    }

    /// Adds a GNU long name or link.
    pub fn long(self, flag: u8, name: &str) -> Self {
        let content = format!("{name}\0");
        self.node(
            "././@LongLink",
            EntryType::new(flag),
            0o644,
            "",
            content.as_bytes(),
        )
    }

    /// Returns the tar with its end.
    pub fn end(self) -> Vec<u8> {
        let mut bytes = self.bytes;
        bytes.extend_from_slice(&[0; 2 * BLOCK]);
        bytes
    }

    /// Returns the tar without its end.
    pub fn cut(self) -> Vec<u8> {
        self.bytes
    }
}

/// Returns every path below `root` with what it is: `d 755 path`, `f 644 path content`, `l path target`.
pub(crate) fn listing(root: &std::path::Path) -> Vec<String> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let mut lines = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs_err::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let mode = metadata.permissions().mode() & 0o7777;
            let mtime = metadata.mtime();
            lines.push(if metadata.is_symlink() {
                format!("{name} -> {}", fs_err::read_link(&path).unwrap().display())
            } else if metadata.is_dir() {
                // Whoever is not root could not look into a closed one.
                let open = std::fs::Permissions::from_mode(mode | 0o700);
                fs_err::set_permissions(&path, open).unwrap();
                folders.push(path.clone());
                format!("{name}/ {mode:o} @{mtime}")
            } else {
                let content = fs_err::read(&path).unwrap();
                let content = String::from_utf8_lossy(&content);
                format!("{name} {mode:o} @{mtime} {content}")
            });
        }
    }
    lines.sort();
    lines
}
