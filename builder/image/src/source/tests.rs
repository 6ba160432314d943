//! Source archives: honest, hostile, cut and swollen.

use std::io::Write as _;

use tar::EntryType;

use super::*;
use crate::compression::StreamLimit;
use crate::hand_deb::compress;
use crate::hand_tar::{HandTar, listing};
use crate::rooted::MAX_DEPTH;
use crate::stop::Stoppable;
use crate::tar_header::{HeaderProblem, SpecialKind};

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
fn whoever_asks_to_stop_is_heard_through_every_decoder() {
    let tar = honest().end();
    let archives = COMPRESSORS.iter().map(|with| compress(&tar, *with));
    for archive in archives.chain([tar.clone()]) {
        let mut stops = 0;
        // Stopped at the first question, the second, and so on until it is not asked so often.
        loop {
            let folder = tempfile::tempdir().unwrap();
            let asked = std::cell::Cell::new(0);
            let is_stopped = || {
                asked.set(asked.get() + 1);
                asked.get() > stops
            };
            let mut reader = Stoppable::new(archive.as_slice(), &is_stopped);
            let target = folder.path();
            match unpack_source(&mut reader, "x-1.tar", target, UnpackLimits::SOURCE) {
                Ok(()) => break assert_eq!(listing(target), HONEST),
                Err(error) => assert!(crate::stop::is_stopped(&error), "{stops}: {error:?}"),
            }
            stops += 1;
        }
        assert!(stops > 1);
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
fn nothing_is_written_through_a_link_however_it_is_reached() {
    let new = HandTar::new;
    let rows: [HandTar; 8] = [
        // Links in a row, in a circle, to themselves, and to the folder that they are in.
        new()
            .dir("d")
            .symlink("a", "b")
            .symlink("b", "d")
            .file("a/x", ""),
        new().symlink("a", "b").symlink("b", "a").file("a/x", ""),
        new().symlink("a", "a").file("a/x", ""),
        new().dir("d").symlink("d/l", ".").file("d/l/x", ""),
        new().dir("d").symlink("d/l", "..").file("d/l/d/x", ""),
        // Through a link in the middle, by every kind of entry.
        new().dir("d/e").symlink("l", "d").symlink("l/e/x", "y"),
        new()
            .dir("d/e")
            .file("f", "")
            .symlink("l", "d")
            .hard_link("l/e/x", "f"),
        new()
            .dir("d")
            .file("d/f", "")
            .symlink("l", "d")
            .hard_link("h", "l/f"),
    ];
    for tar in rows {
        let found = problem(tar.clone());
        assert_eq!(found, EntryProblem::ThroughSymlink, "{tar:?}");
    }
    // A link in the place of a folder is another thing, not the way into its target.
    let swapped = new().dir("d").symlink("l", "d").dir("l").file("l/x", "");
    let expected = EntryProblem::Duplicate {
        first: "a symbolic link",
        second: "a folder",
    };
    assert_eq!(problem(swapped), expected);
}

#[test]
fn names_that_look_alike_are_kept_apart_and_exactly() {
    let odd = |bytes: &'static [u8]| {
        HandTar::new()
            .dir("x")
            .patched("x/", EntryType::Regular, 0o644, "", b"1", |header| {
                header.as_old_mut().name[..bytes.len()].copy_from_slice(bytes);
            })
    };
    let names = |tar: HandTar| {
        let folder = tempfile::tempdir().unwrap();
        unpack_source(
            &mut tar.end().as_slice(),
            "x",
            folder.path(),
            UnpackLimits::SOURCE,
        )
        .unwrap();
        let names = walkdir::WalkDir::new(folder.path())
            .min_depth(1)
            .sort_by_file_name();
        let names = names
            .into_iter()
            .map(|entry| entry.unwrap().file_name().to_owned());
        names
            .map(std::os::unix::ffi::OsStringExt::into_vec)
            .collect::<Vec<Vec<u8>>>()
    };
    let alike = HandTar::new()
        .file("x/Readme", "1")
        .file("x/README", "2")
        .file("x/a.", "3")
        .file("x/a", "4")
        .file("x/gr\u{fc}n", "5")
        .file("x/gru\u{308}n", "6")
        .file("x/b\\c", "7")
        .file("x/...", "8")
        .file("x/ ", "9");
    assert_eq!(names(alike).len(), 9);
    assert_eq!(names(odd(b"x/\xff\xfe")), [b"\xff\xfe"]);
    assert_eq!(
        names(odd("x/\u{202e}gpj".as_bytes())),
        ["\u{202e}gpj".as_bytes()]
    );
    for control in [b"x/\x1b[2J".as_slice(), b"x/\r", b"x/\x7f"] {
        assert_eq!(problem(odd(control)), EntryProblem::ControlCharacter);
    }
    let folder_as_file = HandTar::new().dir("x/a").file("x/a/.", "");
    let expected = EntryProblem::Duplicate {
        first: "a folder",
        second: "a file",
    };
    assert_eq!(problem(folder_as_file), expected);
}

fn header_problem(tar: HandTar) -> HeaderProblem {
    match unpack(&tar.end()) {
        Err(UnpackError::Tar(TarError::Header {
            archive, problem, ..
        })) => {
            assert_eq!(archive, "x-1.tar.gz");
            problem
        }
        other => panic!("expected a refused header, got {other:?}"),
    }
}

#[test]
fn headers_that_readers_disagree_on_or_choke_on_are_refused() {
    let new = HandTar::new;
    let pax = |key: &str, value: &str| new().pax(b'x', &[(key, value)]).file("a", "").file("b", "");
    let number = |field: &'static str, text: &str| HeaderProblem::Number {
        field,
        text: text.to_owned(),
    };
    let global = |key: &str| {
        let tar = new().pax(b'g', &[(key, "1")]).file("a", "");
        assert_eq!(
            header_problem(tar),
            HeaderProblem::GlobalKey {
                key: key.to_owned()
            }
        );
    };
    for key in ["path", "linkpath", "size", "uid", "gid", "mtime"] {
        global(key);
    }
    let large = "x".repeat((1 << 20) + 1);
    let rows: [(HandTar, HeaderProblem); 13] = [
        // Two in a row, alike or not.
        (
            new()
                .pax(b'x', &[("path", "a")])
                .pax(b'x', &[("size", "0")])
                .file("a", ""),
            HeaderProblem::ExtensionTwice,
        ),
        (
            new().long(b'K', "a").long(b'K', "b").symlink("l", "c"),
            HeaderProblem::ExtensionTwice,
        ),
        (
            new()
                .pax(b'x', &[("path", "a")])
                .pax(b'g', &[("comment", "x")])
                .file("a", ""),
            HeaderProblem::ExtensionAlone,
        ),
        // Larger than any honest one.
        (
            new().pax(b'x', &[("comment", &large)]).file("a", ""),
            HeaderProblem::ExtensionTooLarge {
                limit: 1 << 20,
                actual: (1 << 20) + 18,
            },
        ),
        (
            new().long(b'L', &large).file("a", ""),
            HeaderProblem::ExtensionTooLarge {
                limit: 1 << 20,
                actual: (1 << 20) + 2,
            },
        ),
        (
            new().long(b'L', &"x".repeat(65_537)).file("a", ""),
            HeaderProblem::NameTooLong {
                limit: 65_536,
                actual: 65_537,
            },
        ),
        (
            new().pax(b'x', &vec![("a", "b"); 4097]).file("a", ""),
            HeaderProblem::TooManyRecords { limit: 4096 },
        ),
        // Numbers that are none, or that no one can be.
        (
            pax("uid", "9223372036854775808"),
            number("uid", "9223372036854775808"),
        ),
        (pax("gid", "2147483648000"), number("gid", "2147483648000")),
        (pax("mtime", "nan"), number("mtime", "nan")),
        (pax("size", "-1"), number("size", "-1")),
        (pax("size", "0x10"), number("size", "0x10")),
        (pax("GNU.sparse.map", "0,1"), HeaderProblem::Sparse),
    ];
    for (tar, expected) in rows {
        assert_eq!(header_problem(tar), expected);
    }
    // What no reader minds stays unminded.
    let unknown = pax("SCHILY.xattr.security.selinux", "a=b\nc=d");
    assert_eq!(unpack(&unknown.end()).unwrap().len(), 2);
    // 2^31 is a user like any other; the archive's users are not kept.
    assert_eq!(unpack(&pax("uid", "2147483648").end()).unwrap().len(), 2);
}

#[test]
fn nobody_gets_more_than_the_right_to_read_and_run() {
    for mode in [0o4755, 0o2755, 0o1755, 0o7777] {
        let tar = HandTar::new()
            .node("x/a", EntryType::Regular, mode, "", b"")
            .node("x/d", EntryType::Directory, mode, "", b"")
            .end();
        assert_eq!(unpack(&tar).unwrap(), ["a 755 @1000 ", "d/ 755 @1000"]);
    }
}

#[test]
fn depth_and_numbers_of_entries_are_limited() {
    let deep = "d/".repeat(100_000 / 4);
    let tar = HandTar::new().pax(b'x', &[("path", &deep)]).dir("x");
    assert_eq!(problem(tar), EntryProblem::TooDeep { limit: MAX_DEPTH });
    let limits = UnpackLimits {
        entries: 1000,
        ..UnpackLimits::SOURCE
    };
    let mut many = HandTar::new();
    for number in 0..1001 {
        many = many.file(&format!("x/{number}"), "");
    }
    let result = unpack_within(&many.end(), limits);
    assert!(
        matches!(
            &result,
            Err(UnpackError::Tar(TarError::TooManyEntries { archive, limit: 1000, offset: 512_512 }))
                if archive == "x-1.tar.gz"
        ),
        "{result:?}"
    );
    // A file that says it has 8 EiB has not.
    let huge = HandTar::new().patched("x/a", EntryType::Regular, 0o644, "", b"", |header| {
        header.set_size((1 << 63) - 1);
    });
    let result = unpack(&huge.end());
    assert!(
        matches!(
            &result,
            Err(UnpackError::Tar(TarError::Limit { place, offset: 512, .. }))
                if place == "in or after the entry `x/a`"
        ),
        "{result:?}"
    );
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
fn a_dictionary_beyond_the_limit_is_refused() {
    // The stream's and the block's header (xz file format 2.1.1, 3.1): one LZMA2 filter whose
    // dictionary has this size: 40 is 4 GiB - 1, 30 is 128 MiB.
    let stream = |size: u8| {
        let sum = |bytes: &[u8]| {
            let mut sum = flate2::Crc::new();
            sum.update(bytes);
            sum.sum().to_le_bytes()
        };
        let mut bytes = b"\xfd7zXZ\0\0\x04".to_vec();
        bytes.extend(sum(&[0, 4]));
        let block = [2, 0, 0x21, 1, size, 0, 0, 0];
        bytes.extend(block);
        bytes.extend(sum(&block));
        bytes
    };
    let refused = |size| match unpack(&stream(size)) {
        Err(UnpackError::Tar(TarError::Read { source, .. })) => source.to_string(),
        Err(UnpackError::Tar(TarError::Truncated { .. })) => "truncated".to_owned(),
        other => panic!("expected a refused stream, got {other:?}"),
    };
    assert_eq!(refused(30), "truncated");
    assert!(refused(40).contains("memory"), "{}", refused(40));
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
