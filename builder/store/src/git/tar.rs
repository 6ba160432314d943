//! The tar that a commit is exported as: one encoding for one content.
//!
//! ustar headers; a name or link that does not fit into them stands in a pax header of one or two records
//! before them. Owner 0:0 without names, modes 0644, 0755 and 0777 for links, one time for all, two blocks
//! of zeros at the end, no padding to a record.
//!
//! | bytes | field |
//! |---|---|
//! | 0..100 | name |
//! | 100..108, 108..116, 116..124 | mode, owner, group: 7 octal digits, NUL |
//! | 124..136, 136..148 | size, time: 11 octal digits, NUL |
//! | 148..156 | sum of the header's bytes: 6 octal digits, NUL, space |
//! | 156, 157..257 | kind, link |
//! | 257..265 | `ustar`, NUL, `00` |
//! | 345..500 | what stands before the name and a `/` |

/// Bytes of a block.
const BLOCK: usize = 512;

/// Longest name in a header, and what may stand before it.
const NAME: usize = 100;
const PREFIX: usize = 155;

/// Largest size that a header holds: 11 octal digits.
pub(super) const MAX_SIZE: u64 = 0o777_7777_7777;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// A folder.
    Folder,
    /// A file of so many bytes.
    File { size: u64, is_executable: bool },
    /// A symbolic link.
    Link(&'a [u8]),
}

/// Returns what stands before an entry's content.
pub(super) fn header(path: &[u8], kind: Kind<'_>, time: u32) -> Vec<u8> {
    let mut name = path.to_vec();
    if kind == Kind::Folder {
        name.push(b'/');
    }
    let link = match kind {
        Kind::Link(target) => target,
        _ => b"",
    };
    let mut records = Vec::new();
    let split = split(&name);
    if split.is_none() {
        record(&mut records, "path", &name);
    }
    if link.len() > NAME {
        record(&mut records, "linkpath", link);
    }
    let mut bytes = Vec::new();
    if !records.is_empty() {
        let size = records.len() as u64;
        bytes.extend(block(&Block {
            name: b"pax",
            prefix: b"",
            mode: 0o644,
            size,
            time,
            kind: b'x',
            link: b"",
        }));
        bytes.extend_from_slice(&records);
        bytes.resize(bytes.len() + padding(size), 0);
    }
    let (prefix, name) = split.unwrap_or((b"", &name[..NAME.min(name.len())]));
    let (mode, size, kind) = match kind {
        Kind::Folder => (0o755, 0, b'5'),
        Kind::File {
            size,
            is_executable,
        } => (if is_executable { 0o755 } else { 0o644 }, size, b'0'),
        Kind::Link(_) => (0o777, 0, b'2'),
    };
    bytes.extend(block(&Block {
        name,
        prefix,
        mode,
        size,
        time,
        kind,
        link: &link[..NAME.min(link.len())],
    }));
    bytes
}

/// Returns the zeros that follow a content of `size` bytes.
pub(super) fn padding(size: u64) -> usize {
    let over = usize::try_from(size % BLOCK as u64).expect("less than a block");
    (BLOCK - over) % BLOCK
}

/// What ends the archive.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

struct Block<'a> {
    name: &'a [u8],
    prefix: &'a [u8],
    mode: u32,
    size: u64,
    time: u32,
    kind: u8,
    link: &'a [u8],
}

fn block(block: &Block<'_>) -> [u8; BLOCK] {
    let mut bytes = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| bytes[at..at + text.len()].copy_from_slice(text);
    put(0, block.name);
    put(100, format!("{:07o}\0", block.mode).as_bytes());
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", block.size).as_bytes());
    put(136, format!("{:011o}\0", block.time).as_bytes());
    put(148, b"        ");
    put(156, &[block.kind]);
    put(157, block.link);
    put(257, b"ustar\x0000");
    put(345, block.prefix);
    let sum: u32 = bytes.iter().map(|byte| u32::from(*byte)).sum();
    bytes[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    bytes
}

/// Parts a name as a header holds it; `None` when none of its slashes is at the right place.
fn split(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if name.len() <= NAME {
        return Some((b"", name));
    }
    // The slash at a folder's end belongs to its name.
    let slashes = name[..name.len() - 1].iter().enumerate();
    let mut slashes = slashes.filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
    let fits = |at: &usize| *at <= PREFIX && name.len() - at - 1 <= NAME && *at > 0;
    let at = slashes.find(fits)?;
    Some((&name[..at], &name[at + 1..]))
}

/// Appends a pax record: its own length in digits, a space, `KEY=VALUE`, a line feed.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + " =\n".len();
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

    #[test]
    fn a_short_name_takes_one_block() {
        let kind = Kind::File {
            size: 5,
            is_executable: true,
        };
        let bytes = header(b"x/run", kind, 1_525_176_000);
        assert_eq!(bytes.len(), BLOCK);
        assert_eq!(&bytes[..6], b"x/run\0");
        assert_eq!(&bytes[100..108], b"0000755\0");
        assert_eq!(&bytes[124..136], b"00000000005\0");
        assert_eq!(&bytes[136..148], b"13272053300\0");
        assert_eq!(&bytes[156..158], b"0\0");
        assert_eq!(padding(5), 507);
        assert_eq!((padding(0), padding(512), padding(513)), (0, 0, 511));
    }

    #[test]
    fn long_names_are_parted_or_stand_in_a_record() {
        let folder = "d".repeat(60);
        let parted = format!("{folder}/{}", "f".repeat(90));
        let bytes = header(parted.as_bytes(), Kind::Link(b"t"), 0);
        assert_eq!(bytes.len(), BLOCK);
        assert_eq!(&bytes[345..405], folder.as_bytes());
        let whole = "n".repeat(200);
        let bytes = header(whole.as_bytes(), Kind::Link("t".repeat(120).as_bytes()), 0);
        assert_eq!(bytes.len(), 3 * BLOCK);
        assert_eq!(bytes[156], b'x');
        let records = String::from_utf8_lossy(&bytes[BLOCK..2 * BLOCK]).into_owned();
        let expected = format!("210 path={whole}\n134 linkpath={}\n", "t".repeat(120));
        assert!(records.starts_with(&expected), "{records}");
    }

    #[test]
    fn a_record_counts_its_own_digits() {
        for length in 0..1100 {
            let mut records = Vec::new();
            record(&mut records, "path", &vec![b'x'; length]);
            let text = String::from_utf8(records).unwrap();
            let (digits, _) = text.split_once(' ').unwrap();
            assert_eq!(digits.parse::<usize>().unwrap(), text.len());
        }
    }
}
