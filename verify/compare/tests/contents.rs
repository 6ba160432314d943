//! Formats, each with one small change: where it is told, and as what.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::io::Write as _;

use kiln_compare::{Effort, compare_contents};

fn told(left: &[u8], right: &[u8]) -> Vec<String> {
    let found = compare_contents(left, right, &Effort::USUAL);
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    let meant = found.explained().filter(|(_, is_explained)| !is_explained);
    meant
        .map(|(difference, _)| difference.to_string())
        .collect()
}

fn numbers() -> Vec<u8> {
    (0..5000)
        .flat_map(|n| format!("{n}\n").into_bytes())
        .collect()
}

fn gzip(content: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn xz(content: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), level);
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn bzip2(content: &[u8], level: u32) -> Vec<u8> {
    let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::new(level));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zstd(content: &[u8], level: u32) -> Vec<u8> {
    zstd::encode_all(content, i32::try_from(level).unwrap()).unwrap()
}

/// Compresses at a level.
type Pack = fn(&[u8], u32) -> Vec<u8>;

#[test]
fn streams_are_unpacked_and_settings_told() {
    let mut changed = numbers();
    let at = changed
        .windows(5)
        .position(|window| window == b"4711\n")
        .unwrap();
    changed[at] = b'5';
    let packers: [(Pack, &str); 4] = [(gzip, "gzip"), (xz, "xz"), (bzip2, "bzip2"), (zstd, "zstd")];
    for (pack, name) in packers {
        let one = pack(&numbers(), 9);
        let expected = format!("in {name}, line 4712, column 1: 4711 -> 5711");
        assert_eq!(told(&one, &pack(&changed, 9)), [expected]);
        let other = told(&one, &pack(&numbers(), 1));
        let is_compression = |line: &String| line.starts_with(&format!("in {name}, "));
        assert!(
            !other.is_empty() && other.iter().all(is_compression),
            "{other:?}"
        );
        assert!(
            other
                .iter()
                .any(|line| line.contains("compression") || line.contains("level")),
            "{other:?}"
        );
    }
}

/// An archive of one stored file.
fn zip(name: &str, content: &[u8], time: u16) -> Vec<u8> {
    let size = u32::try_from(content.len()).unwrap();
    let length = u16::try_from(name.len()).unwrap();
    let common = |bytes: &mut Vec<u8>| {
        bytes.extend([20, 0, 0, 0, 0, 0]);
        bytes.extend(time.to_le_bytes());
        bytes.extend(0x5d7b_u16.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(size.to_le_bytes());
        bytes.extend(size.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend([0; 2]);
    };
    let mut archive = b"PK\x03\x04".to_vec();
    common(&mut archive);
    archive.extend(name.as_bytes());
    archive.extend(content);
    let directory = u32::try_from(archive.len()).unwrap();
    archive.extend(b"PK\x01\x02\x14\x03");
    common(&mut archive);
    archive.extend([0; 14]);
    archive.extend(name.as_bytes());
    let end = u32::try_from(archive.len()).unwrap();
    archive.extend(b"PK\x05\x06\0\0\0\0\x01\0\x01\0");
    archive.extend((end - directory).to_le_bytes());
    archive.extend(directory.to_le_bytes());
    archive.extend([0; 2]);
    archive
}

#[test]
fn members_of_zip_archives_are_told() {
    let one = zip("a.txt", b"one\n", 0x5000);
    assert_eq!(
        told(&one, &zip("a.txt", b"two\n", 0x5000)),
        ["member a.txt, line 1, column 1: one -> two"]
    );
    assert_eq!(
        told(&one, &zip("a.txt", b"one\n", 0x5800)),
        ["member a.txt, field mtime: 2026-11-27 10:00:00 -> 2026-11-27 11:00:00"]
    );
    assert_eq!(
        told(&one, &zip("b.txt", b"one\n", 0x5000)),
        [
            "member a.txt: only left: 4 bytes",
            "member b.txt: only right: 4 bytes"
        ]
    );
}

#[test]
fn members_of_tar_archives_are_told() {
    let tar = |members: &[(&str, &str, u64, &str)]| {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content, mtime, user) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(*mtime);
            header.set_username(user).unwrap();
            header.set_cksum();
            builder
                .append_data(&mut header, name, content.as_bytes())
                .unwrap();
        }
        builder.into_inner().unwrap()
    };
    let long = "deep/".repeat(40) + "file";
    let one = tar(&[("a", "one\n", 1, "anna"), (&long, "long\n", 1, "anna")]);
    for (other, expected) in [
        (
            tar(&[("a", "one\n", 2, "anna"), (&long, "long\n", 1, "anna")]),
            vec![
                "member a, field mtime: 1 (1970-01-01T00:00:01Z) -> 2 (1970-01-01T00:00:02Z)"
                    .to_owned(),
            ],
        ),
        (
            tar(&[("a", "one\n", 1, "otto"), (&long, "long\n", 1, "anna")]),
            vec!["member a, field user: anna -> otto".to_owned()],
        ),
        (
            tar(&[("a", "one\n", 1, "anna"), (&long, "lung\n", 1, "anna")]),
            vec![format!("member {long}, line 1, column 2: long -> lung")],
        ),
        (
            tar(&[(&long, "long\n", 1, "anna"), ("a", "one\n", 1, "anna")]),
            vec![format!(
                "order members: a | {}… -> {}… | a",
                &long[..60],
                &long[..60]
            )],
        ),
    ] {
        assert_eq!(told(&one, &other), expected);
    }
}

#[test]
fn archives_in_archives_tell_the_whole_way() {
    let ar = |content: &[u8]| {
        let mut builder = ar::Builder::new(Vec::new());
        let header = ar::Header::new(b"inner.gz".to_vec(), content.len() as u64);
        builder.append(&header, content).unwrap();
        builder.into_inner().unwrap()
    };
    let json = |version: &str| format!(r#"{{"components":[{{"version":"{version}"}}]}}"#);
    let whole = |version: &str| ar(&gzip(json(version).as_bytes(), 9));
    assert_eq!(
        told(&whole("1.0"), &whole("1.1")),
        ["member inner.gz, in gzip, value /components/0/version: 1.0 -> 1.1"]
    );
}

#[test]
fn contents_of_two_kinds_are_told_as_such() {
    assert_eq!(
        told(b"text\n", &gzip(b"text\n", 9)),
        ["content kind: text, 5 bytes -> gzip, 25 bytes"]
    );
    assert_eq!(
        told(b"", b"text\n"),
        ["content kind: nothing -> text, 5 bytes"]
    );
}
