//! Foreign bytes of every kind: nothing panics, nothing grows without bound, nothing that is told could
//! move a cursor.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::io::{self, Read, Write as _};
use std::sync::LazyLock;

use kiln_compare::{
    Change, Circumstances, Comparison, Effort, Segment, Tree, TreeEntry, TreeKind, agreement,
    compare_contents, compare_packages, compare_trees, name_causes,
};
use proptest::prelude::*;

static PACKAGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let config = rpm::BuildConfig::v4()
        .compression(rpm::CompressionType::Gzip)
        .source_date(1_676_851_200);
    let mut builder = rpm::PackageBuilder::new("demo", "1.0", "MIT", "x86_64", "A demo");
    builder.using_config(config).build_host("kiln");
    builder
        .with_file_contents("hello\n", rpm::FileOptions::new("/usr/share/hello"))
        .unwrap();
    builder.post_install_script("true");
    let mut bytes = Vec::new();
    builder.build().unwrap().write(&mut bytes).unwrap();
    bytes
});

fn is_harmless(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
}

/// Looks at everything that a comparison tells.
fn look(found: &Comparison) {
    let place = |place: &[Segment]| {
        for segment in place {
            assert!(is_harmless(&segment.name), "{segment:?}");
            assert!(segment.name.len() < 1100, "{segment:?}");
        }
    };
    for difference in &found.differences {
        place(&difference.place);
        let texts = match &difference.change {
            Change::OnlyLeft(text) | Change::OnlyRight(text) => vec![text],
            Change::Value { left, right } | Change::Order { left, right } => {
                assert_ne!(left, right, "{difference:?}");
                vec![left, right]
            }
        };
        for text in texts {
            assert!(
                is_harmless(text) && text.chars().count() <= 401,
                "{difference:?}"
            );
        }
    }
    for note in &found.notes {
        place(&note.place);
        assert!(is_harmless(&note.text), "{note:?}");
    }
    let unknown = Circumstances::default();
    for named in name_causes(&found.differences, &unknown, &unknown) {
        assert!(is_harmless(&named.evidence), "{named:?}");
    }
}

/// Compares two that differ: something is told, whatever they are.
fn differ(left: &[u8], right: &[u8]) -> Comparison {
    assert_ne!(left, right);
    let found = compare_contents(left, right, &Effort::USUAL);
    assert!(!found.differences.is_empty(), "nothing is told");
    look(&found);
    found
}

#[test]
fn every_flipped_byte_of_a_package_is_refused_or_found() {
    let bytes = &*PACKAGE;
    let (mut refused, mut found) = (0, 0);
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        match compare_packages(bytes, &flipped, &Effort::USUAL) {
            Err(_) => {
                assert!(agreement(bytes, &flipped).is_err());
                refused += 1;
            }
            Ok((_, comparison)) => {
                assert!(!comparison.differences.is_empty(), "byte {at}");
                look(&comparison);
                found += 1;
            }
        }
        // Among other files it is never refused.
        if at % 7 == 0 {
            differ(bytes, &flipped);
        }
    }
    // Most of it is reserved space in the signature header, which no digest covers.
    assert!(
        refused > 1000 && found > 4000,
        "{refused} refused, {found} found"
    );
}

#[test]
fn a_package_that_is_cut_anywhere_is_refused() {
    let bytes = &*PACKAGE;
    for length in 0..bytes.len() {
        assert!(
            compare_packages(bytes, &bytes[..length], &Effort::USUAL).is_err(),
            "{length} bytes"
        );
        assert!(
            compare_packages(&bytes[..length], bytes, &Effort::USUAL).is_err(),
            "{length} bytes"
        );
    }
    for length in (0..bytes.len()).step_by(37) {
        differ(bytes, &bytes[..length]);
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn xz(content: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 6);
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Compresses.
type Pack = fn(&[u8]) -> Vec<u8>;

#[test]
fn bombs_are_not_unpacked_to_their_end() {
    // Streams that follow each other are one: 160 MiB of nothing, and one byte.
    let bomb = |pack: Pack, last: u8| {
        let mut bomb = pack(&vec![0; 8 << 20]).repeat(20);
        bomb.extend(pack(&[last]));
        bomb
    };
    let packers: [(Pack, &str); 3] = [
        (|content| zstd::encode_all(content, 1).unwrap(), "zstd"),
        (gzip, "gzip"),
        (xz, "xz"),
    ];
    for (pack, name) in packers {
        let found = differ(&bomb(pack, 1), &bomb(pack, 2));
        let note = found
            .notes
            .iter()
            .find(|note| note.text.contains("can not be unpacked"));
        assert!(
            note.unwrap().text.contains("times its size"),
            "{name}: {:?}",
            found.notes
        );
    }
    // What may be unpacked in all is bounded too.
    let effort = Effort {
        member_bytes: 1 << 20,
        ..Effort::USUAL
    };
    let random = |seed: u32| -> Vec<u8> {
        let mut state = seed;
        let mut next = move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..2 << 20).map(|_| next()).collect()
    };
    let found = compare_contents(&gzip(&random(1)), &gzip(&random(2)), &effort);
    assert!(
        found.notes[0].text.contains("more than the 1048576 bytes"),
        "{:?}",
        found.notes
    );
}

#[test]
fn archives_in_archives_are_opened_to_a_depth() {
    let nested = |inner: &[u8]| (0..40).fold(inner.to_vec(), |content, _| gzip(&content));
    let found = differ(&nested(b"left\n"), &nested(b"right\n"));
    assert!(
        found
            .notes
            .iter()
            .any(|note| note.text.contains("16 archives")),
        "{:?}",
        found.notes
    );
    let shallow = |inner: &[u8]| (0..16).fold(inner.to_vec(), |content, _| gzip(&content));
    let found = differ(&shallow(b"left\n"), &shallow(b"right\n"));
    let place = &found.differences[0].place;
    assert_eq!(
        place.iter().filter(|segment| segment.kind == "in").count(),
        16
    );
    assert_eq!(found.differences[0].change.to_string(), "left -> right");
}

const NAMES: [&[u8]; 7] = [
    b"../../etc/passwd",
    b"/absolute",
    b"\x1b[2J\x1b]0;gone\x07",
    b"two\nlines",
    b"\xff\xfe",
    "evil\u{202e}gpj.exe".as_bytes(),
    b"",
];

fn ar(name: &[u8], size: &str, content: &[u8]) -> Vec<u8> {
    let mut name: Vec<u8> = name.iter().take(15).copied().collect();
    name.push(b'/');
    name.resize(16, b' ');
    let mut archive = b"!<arch>\n".to_vec();
    archive.extend(name);
    archive.extend(format!("{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 644).into_bytes());
    archive.extend(content);
    archive
}

fn tar(name: &[u8], size: u64, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    let mut archive = header.as_bytes().to_vec();
    archive.extend(content);
    archive.resize(archive.len().next_multiple_of(512) + 1024, 0);
    archive
}

fn cpio(name: &[u8], size: u32, content: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, size, content) in [(name, size, content), (&b"TRAILER!!!"[..], 0, &b""[..])] {
        let length = name.len() + 1;
        let fields = [
            1,
            0o100_644,
            0,
            0,
            1,
            0,
            size,
            0,
            0,
            0,
            0,
            u32::try_from(length).unwrap(),
            0,
        ];
        archive.extend(b"070701");
        fields
            .iter()
            .for_each(|field| archive.extend(format!("{field:08x}").into_bytes()));
        archive.extend(name);
        archive.push(0);
        archive.resize(archive.len().next_multiple_of(4), 0);
        archive.extend(content);
        archive.resize(archive.len().next_multiple_of(4), 0);
    }
    archive
}

#[test]
fn archives_that_lie_are_told_harmlessly() {
    for name in NAMES {
        differ(&ar(name, "4", b"left"), &ar(name, "4", b"rite"));
        differ(&ar(name, "4", b"left"), &ar(b"other", "4", b"left"));
        differ(&tar(name, 4, b"left"), &tar(name, 4, b"rite"));
        differ(&tar(name, 4, b"left"), &tar(b"other", 4, b"left"));
        differ(&cpio(name, 4, b"left"), &cpio(name, 4, b"rite"));
        differ(&cpio(name, 4, b"left"), &cpio(b"other", 4, b"left"));
    }
    for size in ["9999999999", "-1", "x", "", "18446744", "99999"] {
        differ(&ar(b"name", size, b"left"), &ar(b"name", size, b"rite"));
    }
    for size in [5, 1 << 20, 1 << 32, 1 << 60, u64::MAX >> 1] {
        differ(&tar(b"name", size, b"left"), &tar(b"name", size, b"rite"));
    }
    for size in [5, 1 << 20, u32::MAX] {
        differ(&cpio(b"name", size, b"left"), &cpio(b"name", size, b"rite"));
    }
    for bytes in [
        &b"PK\x03\x04"[..],
        b"PK\x05\x06",
        b"!<arch>\n",
        b"070701",
        b"\x7fELF",
        b"\x1f\x8b\x08",
        b"BZh",
        b"\x28\xb5\x2f\xfd",
        b"\xfd7zXZ\0",
    ] {
        let mut longer = bytes.to_vec();
        longer.extend([0xff; 600]);
        differ(bytes, &longer);
        let mut other = longer.clone();
        other[300] = 0;
        differ(&longer, &other);
    }
}

#[test]
fn deep_long_empty_and_equal_texts_are_fine() {
    let deep = |middle: &str| format!("{}{middle}{}", "[".repeat(10_000), "]".repeat(10_000));
    differ(deep("1").as_bytes(), deep("2").as_bytes());
    let object = |middle: &str| format!("{}1{}", r#"{"a":"#.repeat(10_000), middle);
    differ(object("").as_bytes(), object("}").as_bytes());
    let long = |end: &str| {
        let mut text = String::from("{\"a\":\"");
        text.push_str(&"x".repeat(100 << 20));
        text.push_str(end);
        text.into_bytes()
    };
    differ(&long("1\"}"), &long("2\"}"));
    let line = |end: u8| {
        let mut text = vec![b'x'; 50 << 20];
        text.push(end);
        text
    };
    let found = differ(&line(b'1'), &line(b'2'));
    assert_eq!(found.differences[0].place[0].to_string(), "line 1");
    for bytes in [&b""[..], b"x", &PACKAGE] {
        assert!(compare_contents(bytes, bytes, &Effort::USUAL).is_identical());
        if !bytes.is_empty() {
            differ(b"", bytes);
            differ(bytes, b"");
        }
    }
}

#[test]
fn many_differences_are_cut() {
    let lines = |step: usize| -> Vec<u8> {
        (0..100_000)
            .flat_map(|n| format!("{}\n", n * step).into_bytes())
            .collect()
    };
    let found = differ(&lines(1), &lines(3));
    assert!(found.differences.len() <= 100);
    assert!(!found.notes.is_empty());
    // Lines without end would take more memory than they have bytes.
    let mut empty = vec![b'\n'; 50 << 20];
    let other = empty.clone();
    empty[7] = b'x';
    let found = differ(&empty, &other);
    assert!(
        found.notes[0].text.contains("compared as bytes"),
        "{:?}",
        found.notes
    );
    // As many as are aligned with care, and nothing in common.
    let numbers = |start: usize| -> Vec<u8> {
        (start..start + 19_000)
            .flat_map(|n| format!("{n}\n").into_bytes())
            .collect()
    };
    differ(&numbers(100_000), &numbers(200_000));
    let one = compare_contents(&lines(1), &lines(3), &Effort::stopping_at(1));
    assert_eq!((one.differences.len(), one.is_cut), (1, true));
}

struct Files(Vec<TreeEntry>, Vec<Vec<u8>>);

impl Files {
    fn new(files: &[(&[u8], &[u8])]) -> Self {
        let entry = |(path, content): &(&[u8], &[u8])| TreeEntry {
            path: path.to_vec(),
            kind: TreeKind::File {
                size: content.len() as u64,
            },
            mode: None,
        };
        let contents = files.iter().map(|(_, content)| content.to_vec());
        Self(files.iter().map(entry).collect(), contents.collect())
    }
}

impl Tree for Files {
    fn entries(&self) -> &[TreeEntry] {
        &self.0
    }

    fn open(&self, path: &[u8]) -> io::Result<Box<dyn Read + '_>> {
        let at = self.0.iter().position(|entry| entry.path == path);
        Ok(Box::new(self.1[at.unwrap()].as_slice()))
    }
}

#[test]
fn trees_are_compared_by_path() {
    let left = Files::new(&[(b"a", b"same"), (b"b", b"one\n"), (b"c\x1b", b"x")]);
    let right = Files::new(&[(b"a", b"same"), (b"b", b"two\n"), (b"d", b"x")]);
    let found = compare_trees(&left, &right, &Effort::USUAL).unwrap();
    look(&found);
    let told: Vec<String> = found.differences.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "file b, line 1, column 1: one -> two",
            "file c\\x1b: only left: file of 1 bytes",
            "file d: only right: file of 1 bytes",
        ]
    );
    assert!(
        compare_trees(&left, &left, &Effort::USUAL)
            .unwrap()
            .is_identical()
    );
}

/// The smallest file with sections, a symbol and texts that the reader accepts.
fn elf() -> Vec<u8> {
    let names = b"\0.text\0.rodata\0.symtab\0.strtab\0.shstrtab\0.dynamic\0";
    let text = [0x90_u8; 32];
    let rodata = b"built today\0more\0";
    let strtab = b"\0main\0";
    let mut symtab = vec![0_u8; 24];
    symtab.extend(1_u32.to_le_bytes());
    symtab.extend([0x12, 0]);
    symtab.extend(1_u16.to_le_bytes());
    symtab.extend(0_u64.to_le_bytes());
    symtab.extend(32_u64.to_le_bytes());
    let dynamic: Vec<u8> = [1_u64, 1, 0, 0]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect();
    let contents: [(u32, u32, u32, &[u8], u64); 6] = [
        (1, 1, 0, &text, 0),
        (7, 1, 0, rodata, 0),
        (15, 2, 4, &symtab, 24),
        (23, 3, 0, strtab, 0),
        (31, 3, 0, names, 0),
        (41, 6, 4, &dynamic, 16),
    ];
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.resize(64, 0);
    let mut headers = vec![0_u8; 64];
    for (name, kind, link, content, size) in contents {
        let offset = file.len() as u64;
        headers.extend(name.to_le_bytes());
        headers.extend(kind.to_le_bytes());
        headers.extend([0; 16]);
        headers.extend(offset.to_le_bytes());
        headers.extend((content.len() as u64).to_le_bytes());
        headers.extend(link.to_le_bytes());
        headers.extend([0; 4]);
        headers.extend(1_u64.to_le_bytes());
        headers.extend(size.to_le_bytes());
        file.extend(content);
        file.resize(file.len().next_multiple_of(8), 0);
    }
    let offset = file.len() as u64;
    file.extend(headers);
    file[16..18].copy_from_slice(&3_u16.to_le_bytes());
    file[18..20].copy_from_slice(&62_u16.to_le_bytes());
    file[40..48].copy_from_slice(&offset.to_le_bytes());
    for (at, value) in [(52, 64_u16), (58, 64), (60, 7), (62, 5)] {
        file[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    file
}

#[test]
fn elf_files_are_told_by_section_and_symbol() {
    let left = elf();
    let mut code = left.clone();
    code[64 + 5] = 0xcc;
    let found = differ(&left, &code);
    assert!(
        found.differences[0]
            .to_string()
            .starts_with("section .text, symbol main+0x5, byte 0x5: 90 90"),
        "{found:#?}"
    );
    let mut text = left.clone();
    text[96 + 6..96 + 11].copy_from_slice(b"never");
    let found = differ(&left, &text);
    assert_eq!(
        found.differences[0].to_string(),
        "section .rodata, byte 0x6: built today -> built never"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn wild_elf_files_never_panic(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
    ) {
        let left = elf();
        let mut right = left.clone();
        for (index, byte) in flips {
            let at = index.index(right.len());
            right[at] = byte;
        }
        if left != right {
            differ(&left, &right);
            differ(&right, &left);
        }
    }

    #[test]
    fn wild_archives_never_panic(
        kind in 0..3_usize,
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let left = match kind {
            0 => ar(b"name", "4", b"left"),
            1 => tar(b"name", 4, b"left"),
            _ => cpio(b"name", 4, b"left"),
        };
        let mut right = left.clone();
        for (index, byte) in flips {
            let at = index.index(right.len());
            right[at] = byte;
        }
        if left != right {
            differ(&left, &right);
        }
    }

    #[test]
    fn any_two_contents_can_be_compared(left: Vec<u8>, right: Vec<u8>) {
        let found = compare_contents(&left, &right, &Effort::USUAL);
        prop_assert_eq!(found.is_identical(), left == right);
        look(&found);
    }
}
