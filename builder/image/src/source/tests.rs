//! Source archives: honest, hostile, cut and swollen.

use std::io::Write as _;

use tar::EntryType;

use super::*;
use crate::compression::StreamLimit;
use crate::hand_deb::compress;
use crate::hand_tar::{HandTar, listing};
use crate::tar_header::SpecialKind;

fn unpack(archive: &[u8]) -> Result<Vec<String>, UnpackError> {
    unpack_within(archive, UnpackLimits::SOURCE)
}

fn unpack_within(archive: &[u8], limits: UnpackLimits) -> Result<Vec<String>, UnpackError> {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs_err::create_dir(&root).unwrap();
    let mut archive = archive;
    let result = unpack_source(&mut archive, "x-1.tar.gz", &root, limits);
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 1);
    result.map(|()| listing(&root))
}

fn problem(tar: HandTar) -> EntryProblem {
    match unpack(&tar.end()) {
        Err(UnpackError::Entry { problem, .. }) => problem,
        other => panic!("expected a refused entry, got {other:?}"),
    }
}

const COMPRESSORS: [Compression; 4] = [
    Compression::Gzip,
    Compression::Bzip2,
    Compression::Xz,
    Compression::Zstd,
];

fn honest() -> HandTar {
    HandTar::new()
        .dir("x-1/")
        .node("x-1/configure", EntryType::Regular, 0o777, "", b"#!/bin/sh")
        .file("x-1/x-1/x-1", "nested")
        .symlink("x-1/link", "x-1/x-1")
        .hard_link("x-1/hard", "x-1/configure")
        .node("x-1/closed", EntryType::Regular, 0o000, "", b"")
}

const HONEST: [&str; 6] = [
    "closed 600 @1000 ",
    "configure 755 @1000 #!/bin/sh",
    "hard 755 @1000 #!/bin/sh",
    "link -> x-1/x-1",
    "x-1/ 755 @0",
    "x-1/x-1 644 @1000 nested",
];

#[test]
fn one_top_folder_is_stripped_whatever_the_compression() {
    assert_eq!(unpack(&honest().end()).unwrap(), HONEST);
    for compression in COMPRESSORS {
        let name = compression.name();
        let compress = |bytes: &[u8]| compress(bytes, compression);
        assert_eq!(
            unpack(&compress(&honest().end())).unwrap(),
            HONEST,
            "{name}"
        );
        // Several members are one stream.
        let tar = honest().end();
        let mut members = compress(&tar[..700]);
        members.extend(compress(&tar[700..]));
        assert_eq!(unpack(&members).unwrap(), HONEST, "{name}, two members");
    }
}

#[test]
fn several_top_names_stay() {
    let tar = HandTar::new()
        .dir("./")
        .file("./a/x", "1")
        .file("./b", "2")
        .end();
    assert_eq!(
        unpack(&tar).unwrap(),
        ["a/ 755 @0", "a/x 644 @1000 1", "b 644 @1000 2"]
    );
    let single_file = HandTar::new().file("only", "1").end();
    assert_eq!(unpack(&single_file).unwrap(), ["only 644 @1000 1"]);
    let empty = unpack(&HandTar::new().end());
    assert!(
        matches!(empty, Err(UnpackError::Format { .. })),
        "{empty:?}"
    );
}

#[test]
fn what_a_source_archive_must_not_hold_is_refused() {
    let top = || HandTar::new().dir("x-1");
    let file = |path: &str| top().file(path, "");
    assert_eq!(problem(file("../x")), EntryProblem::DotDot);
    assert_eq!(problem(file("x-1/../../x")), EntryProblem::DotDot);
    assert_eq!(problem(file("x-1/a/..")), EntryProblem::DotDot);
    assert_eq!(problem(file("/etc/passwd")), EntryProblem::Absolute);
    assert_eq!(problem(file("x-1/a\nb")), EntryProblem::ControlCharacter);
    assert_eq!(problem(file(".")), EntryProblem::ParentNotDirectory);
    for (flag, kind) in [
        (b'3', SpecialKind::CharacterDevice),
        (b'4', SpecialKind::BlockDevice),
        (b'6', SpecialKind::Fifo),
    ] {
        assert_eq!(
            problem(top().of_type("x-1/d", flag)),
            EntryProblem::Special(kind)
        );
    }
}

#[test]
fn links_must_stay_in_the_tree() {
    let link = |target: &str| problem(HandTar::new().dir("x-1").symlink("x-1/d/l", target));
    let outside = |target: &str| EntryProblem::OutsideTarget {
        target: target.into(),
    };
    assert_eq!(
        link("/etc"),
        EntryProblem::AbsoluteTarget {
            target: "/etc".into()
        }
    );
    for target in [
        "../../..",
        "../../../x",
        "a/../..",
        "../d/../x",
        "../../x-2",
        "../../x-1",
    ] {
        assert_eq!(link(target), outside(target));
    }
    for target in ["..", "../d", "../../x-1/d", "a/b", ".", "../x/y"] {
        let stays = !target.starts_with("../..");
        let result = unpack(&HandTar::new().dir("x-1").symlink("x-1/d/l", target).end());
        assert_eq!(result.is_ok(), stays, "{target}: {result:?}");
    }
    // Without a top folder to strip, the whole archive is the tree.
    let wide = HandTar::new().symlink("a/l", "../b").file("b", "").end();
    assert_eq!(
        unpack(&wide).unwrap(),
        ["a/ 755 @0", "a/l -> ../b", "b 644 @1000 "]
    );
    assert_eq!(
        problem(HandTar::new().symlink("l", "d").file("l/x", "")),
        EntryProblem::ThroughSymlink
    );
    assert_eq!(
        problem(HandTar::new().dir("d").symlink("l", "d").file("l/x", "")),
        EntryProblem::ThroughSymlink
    );
    assert_eq!(
        problem(HandTar::new().dir("d").symlink("l", "d").dir("l/x")),
        EntryProblem::ThroughSymlink
    );
    let hard = |target: &str| {
        problem(
            HandTar::new()
                .file("a", "")
                .symlink("s", "a")
                .dir("d")
                .hard_link("h", target),
        )
    };
    assert_eq!(hard("../a"), outside("../a"));
    assert_eq!(hard("/a"), outside("/a"));
    assert_eq!(hard("h"), EntryProblem::SelfLink);
    assert_eq!(
        hard("later"),
        EntryProblem::MissingTarget {
            target: "later".into()
        }
    );
    assert_eq!(hard("s"), EntryProblem::TargetKind { target: "s".into() });
    assert_eq!(hard("d"), EntryProblem::TargetKind { target: "d".into() });
}

#[test]
fn a_name_comes_twice_only_where_every_unpacker_agrees() {
    let twice = HandTar::new()
        .dir("x")
        .dir("x")
        .file("x/a", "1")
        .file("x/a", "22")
        .end();
    assert_eq!(unpack(&twice).unwrap(), ["a 644 @1000 22"]);
    let same_link = HandTar::new().symlink("x/a", "b").symlink("x/a", "b").end();
    assert_eq!(unpack(&same_link).unwrap(), ["a -> b"]);
    let check = |tar: HandTar, first, second| {
        assert_eq!(problem(tar), EntryProblem::Duplicate { first, second });
    };
    let new = HandTar::new;
    check(new().dir("a").file("a", ""), "a folder", "a file");
    check(new().file("a", "").dir("a"), "a file", "a folder");
    check(
        new().symlink("a", "b").dir("a"),
        "a symbolic link",
        "a folder",
    );
    check(
        new().symlink("a", "b").file("a", ""),
        "a symbolic link",
        "a file",
    );
    check(
        new().symlink("a", "b").symlink("a", "c"),
        "a symbolic link",
        "another symbolic link",
    );
    check(
        new().file("b", "").symlink("a", "c").hard_link("a", "b"),
        "a symbolic link",
        "a hard link",
    );
    check(
        new().file("a", "1").hard_link("b", "a").file("a", "2"),
        "a file with hard links",
        "a file",
    );
}

#[test]
fn cut_or_extended_streams_are_errors() {
    let mut tar = honest().end();
    tar.extend_from_slice(&[0; 4096]);
    for compression in COMPRESSORS {
        let name = compression.name();
        let compress = |bytes: &[u8]| compress(bytes, compression);
        let whole = compress(&tar);
        for length in 0..whole.len() {
            let result = unpack(&whole[..length]);
            assert!(
                matches!(
                    result,
                    Err(
                        UnpackError::Tar(TarError::Truncated { .. } | TarError::Read { .. })
                            | UnpackError::Format { .. }
                    )
                ),
                "{name} cut at {length} of {}: {result:?}",
                whole.len()
            );
        }
        for garbage in [b"garbage".as_slice(), &[0; 7], b"\x1f\x8b\x08"] {
            let mut longer = whole.clone();
            longer.extend_from_slice(garbage);
            let result = unpack(&longer);
            assert!(
                matches!(
                    result,
                    Err(UnpackError::Tar(
                        TarError::Truncated { .. } | TarError::Read { .. }
                    ))
                ),
                "{name} followed by {garbage:?}: {result:?}"
            );
        }
    }
}

#[test]
fn a_changed_byte_is_noticed_where_the_format_has_a_checksum() {
    for compression in COMPRESSORS {
        let name = compression.name();
        let compress = |bytes: &[u8]| compress(bytes, compression);
        let whole = compress(&honest().end());
        let middle = whole.len() / 2;
        let mut damaged = whole.clone();
        damaged[middle] ^= 0x10;
        assert!(unpack(&damaged).is_err(), "{name}");
    }
}

#[test]
fn what_is_no_tar_is_said_to_be_none() {
    for bytes in [
        b"<html>not found</html>".as_slice(),
        b"",
        b"PK\x03\x04",
        &[b'a'; 600],
    ] {
        match unpack(bytes) {
            Err(UnpackError::Format { archive, .. }) => assert_eq!(archive, "x-1.tar.gz"),
            other => panic!("{bytes:?}: {other:?}"),
        }
    }
    // A compressed stream in a compressed stream is not looked into.
    assert!(matches!(
        unpack(&compress(
            &compress(&honest().end(), Compression::Gzip),
            Compression::Gzip
        )),
        Err(UnpackError::Tar(
            TarError::Truncated { .. } | TarError::Header { .. }
        ))
    ));
}

#[test]
fn bombs_are_stopped() {
    let limits = UnpackLimits {
        bytes: 1 << 20,
        ..UnpackLimits::SOURCE
    };
    let zeros = "\0".repeat(3 << 20);
    let tar = HandTar::new()
        .file("x/zeros", &zeros[..500_000])
        .file("x/more", &zeros[..900_000]);
    for compression in COMPRESSORS {
        let name = compression.name();
        let compress = |bytes: &[u8]| compress(bytes, compression);
        let result = unpack_within(&compress(&tar.clone().end()), limits);
        assert!(
            matches!(
                result,
                Err(UnpackError::Tar(TarError::Limit {
                    limit: StreamLimit::Total { limit: 1_048_576 },
                    ..
                }))
            ),
            "{name}: {result:?}"
        );
    }
    // More than 64 MiB, and more than the ratio allows.
    let limits = UnpackLimits {
        ratio: 100,
        ..UnpackLimits::SOURCE
    };
    let block = compress(&vec![0; 100 << 20], Compression::Zstd);
    let mut bomb = compress(&HandTar::new().file("x", "").cut(), Compression::Zstd);
    bomb.extend_from_slice(&block);
    let result = unpack_within(&bomb, limits);
    assert!(
        matches!(
            result,
            Err(UnpackError::Tar(TarError::Limit {
                limit: StreamLimit::Ratio { limit: 100, .. },
                ..
            }))
        ),
        "{result:?}"
    );
}

#[test]
fn a_window_beyond_the_limit_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(&honest().end()).unwrap();
    let result = unpack(&encoder.finish().unwrap());
    assert!(
        matches!(result, Err(UnpackError::Tar(TarError::Read { .. }))),
        "{result:?}"
    );
}
