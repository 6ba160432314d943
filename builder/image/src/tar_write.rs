//! Writes the one tar that a list of entries has: ustar headers, pax records only for names that do
//! not fit, no user names, no padding beyond the two zero blocks at the end.

use std::io::{self, Write};

use tar::{EntryType, Header};

use crate::tar_header::BLOCK;

/// Longest name and link target in a header, in bytes.
const NAME_FIELD: usize = 100;

/// Longest prefix of a name in a header, in bytes.
const PREFIX_FIELD: usize = 155;

/// What an entry is, for writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NodeKind<'a> {
    /// A regular file with this many bytes, which the caller writes next.
    File(u64),
    Directory,
    Symlink(&'a [u8]),
    HardLink(&'a [u8]),
}

/// The numbers of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NodeMetadata {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since 1970.
    pub mtime: u32,
}

/// A tar being written.
pub(crate) struct TarWriter<'a> {
    out: &'a mut dyn Write,
    /// Bytes of the present file's content that are still to come.
    remaining: u64,
    padding: usize,
}

impl<'a> TarWriter<'a> {
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out,
            remaining: 0,
            padding: 0,
        }
    }

    /// Writes an entry's header; `path` has no leading or final `/`.
    pub fn start(
        &mut self,
        path: &[u8],
        kind: NodeKind<'_>,
        metadata: NodeMetadata,
    ) -> io::Result<()> {
        debug_assert_eq!(self.remaining, 0, "the last file is complete");
        let mut name = path.to_vec();
        if kind == NodeKind::Directory {
            name.push(b'/');
        }
        let (entry_type, link, size) = match kind {
            NodeKind::File(size) => (EntryType::Regular, b"".as_slice(), size),
            NodeKind::Directory => (EntryType::Directory, b"".as_slice(), 0),
            NodeKind::Symlink(target) => (EntryType::Symlink, target, 0),
            NodeKind::HardLink(target) => (EntryType::Link, target, 0),
        };
        let mut header = Header::new_ustar();
        let mut records = Vec::new();
        if !set_name(&mut header, &name) {
            push_record(&mut records, "path", &name);
            copy_field(&mut header.as_old_mut().name, &name);
        }
        if link.len() > NAME_FIELD {
            push_record(&mut records, "linkpath", link);
        }
        copy_field(&mut header.as_old_mut().linkname, link);
        self.write_pax(&records)?;
        header.set_entry_type(entry_type);
        header.set_mode(metadata.mode);
        header.set_uid(metadata.uid.into());
        header.set_gid(metadata.gid.into());
        header.set_mtime(metadata.mtime.into());
        header.set_size(size);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.remaining = size;
        self.padding = padding_after(size);
        self.pad_when_complete()
    }

    /// Writes more of the present file's content.
    pub fn write_content(&mut self, content: &[u8]) -> io::Result<()> {
        if content.is_empty() {
            return Ok(());
        }
        self.remaining = self
            .remaining
            .checked_sub(content.len() as u64)
            .ok_or_else(|| io::Error::other("a file grew while it was written to a tar"))?;
        self.out.write_all(content)?;
        self.pad_when_complete()
    }

    /// Writes the end of the archive.
    pub fn finish(self) -> io::Result<()> {
        debug_assert_eq!(self.remaining, 0, "the last file is complete");
        self.out.write_all(&[0; 2 * BLOCK])
    }

    fn pad_when_complete(&mut self) -> io::Result<()> {
        if self.remaining == 0 && self.padding > 0 {
            self.out.write_all(&[0; BLOCK][..self.padding])?;
            self.padding = 0;
        }
        Ok(())
    }

    fn write_pax(&mut self, records: &[u8]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let mut header = Header::new_ustar();
        copy_field(&mut header.as_old_mut().name, b"././@PaxHeader");
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(records)?;
        let padding = padding_after(records.len() as u64);
        self.out.write_all(&[0; BLOCK][..padding])
    }
}

fn padding_after(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).expect("below one block");
    (BLOCK - over) % BLOCK
}

fn copy_field(field: &mut [u8], value: &[u8]) {
    let length = value.len().min(field.len());
    field[..length].copy_from_slice(&value[..length]);
}

/// Puts a name into the header's name and prefix; returns whether it fits.
fn set_name(header: &mut Header, name: &[u8]) -> bool {
    let Some(ustar) = header.as_ustar_mut() else {
        return false;
    };
    if name.len() <= NAME_FIELD {
        copy_field(&mut ustar.name, name);
        return true;
    }
    // The name splits at a `/` that is in neither part; the last part must not be empty.
    let first = name.len() - NAME_FIELD - 1;
    let last = PREFIX_FIELD.min(name.len() - 2);
    let Some(split) = (first.max(1)..=last).find(|at| name[*at] == b'/') else {
        return false;
    };
    copy_field(&mut ustar.prefix, &name[..split]);
    copy_field(&mut ustar.name, &name[split + 1..]);
    true
}

/// Appends `LENGTH KEY=VALUE\n`, where LENGTH counts itself.
fn push_record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::UnpackLimits;
    use crate::tar_header::EntryKind;
    use crate::tar_read::TarReader;

    const METADATA: NodeMetadata = NodeMetadata {
        mode: 0o644,
        uid: 0,
        gid: 42,
        mtime: u32::MAX,
    };

    #[test]
    fn names_of_every_length_read_back() {
        for length in (1..310).chain([4095]) {
            let mut path = "directory/".repeat(length / 10).into_bytes();
            path.resize(length, b'x');
            path[length - 1] = b'x';
            let mut bytes = Vec::new();
            let mut writer = TarWriter::new(&mut bytes);
            writer.start(&path, NodeKind::File(3), METADATA).unwrap();
            writer.write_content(b"abc").unwrap();
            writer
                .start(b"z", NodeKind::Symlink(&path), METADATA)
                .unwrap();
            writer.finish().unwrap();
            let mut reader = TarReader::new(bytes.as_slice(), "test", UnpackLimits::LAYER);
            let file = reader.next_entry().unwrap().unwrap();
            assert_eq!((&file.path, file.size, file.gid), (&path, 3, 42));
            assert_eq!(file.mtime, i64::from(u32::MAX));
            let link = reader.next_entry().unwrap().unwrap();
            assert_eq!(link.kind, EntryKind::Symlink(path));
            assert_eq!(reader.next_entry().unwrap(), None);
        }
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for length in 0..2000 {
            let mut records = Vec::new();
            push_record(&mut records, "path", &vec![b'x'; length]);
            let text = String::from_utf8(records).unwrap();
            let (count, _) = text.split_once(' ').unwrap();
            assert_eq!(count.parse::<usize>().unwrap(), text.len());
        }
    }
}
