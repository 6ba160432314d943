//! Realistic pairs for every cause, by way of the engine; and pairs that must not be taken for one.

use kiln_model::{Factor, Level, Variation};

use super::*;
use crate::difference::Segment;
use crate::effort::Effort;

const START: i64 = 1_795_737_600;

/// Two builds of which everything is known and everything differs.
fn known() -> (Circumstances, Circumstances) {
    let one = Circumstances {
        clock: Some(Clock {
            start: START,
            span: 60,
        }),
        host_name: Some("alpha".to_owned()),
        user_name: Some("anna".to_owned()),
        uid: Some(1000),
        paths: vec!["/build/first".to_owned(), "/srv/store-a".to_owned()],
        time_zone: Some("Etc/UTC".to_owned()),
        locale: Some("C.UTF-8".to_owned()),
        kernel: Some("6.1.0-18-amd64".to_owned()),
        processors: Some(2),
        jobs: Some(4),
        environment: [("FLAVOUR".to_owned(), "vanilla".to_owned())].into(),
    };
    let two = Circumstances {
        clock: Some(Clock {
            start: START + 34_387_200,
            span: 60,
        }),
        host_name: Some("omega".to_owned()),
        user_name: Some("otto".to_owned()),
        uid: Some(4711),
        paths: vec![
            "/build/elsewhere/second".to_owned(),
            "/srv/store-b".to_owned(),
        ],
        time_zone: Some("Pacific/Auckland".to_owned()),
        locale: Some("de_DE.UTF-8".to_owned()),
        kernel: Some("5.10.0-28-amd64".to_owned()),
        processors: Some(1),
        jobs: Some(16),
        environment: [("FLAVOUR".to_owned(), "strawberry".to_owned())].into(),
    };
    (one, two)
}

fn named(left: &[u8], right: &[u8], both: Both<'_>) -> Vec<NamedCause> {
    let found = crate::compare_contents(left, right, &Effort::USUAL);
    assert!(!found.differences.is_empty());
    name_causes(&found.differences, both.0, both.1)
}

fn check(left: &[u8], right: &[u8], expected: &[Cause], both: Both<'_>) {
    let causes = named(left, right, both);
    let found: Vec<Cause> = causes.iter().map(|named| named.cause).collect();
    assert_eq!(
        found,
        expected,
        "{} -> {}\n{causes:#?}",
        left[..left.len().min(200)].escape_ascii(),
        right[..right.len().min(200)].escape_ascii()
    );
}

fn check_texts(rows: &[(&str, &str, Cause)], both: Both<'_>) {
    for (left, right, cause) in rows {
        check(left.as_bytes(), right.as_bytes(), &[*cause], both);
    }
}

/// What content shows by itself.
const ALONE: &[(&str, &str, Cause)] = &[
    (
        "built Nov 27 2026 10:00:00\n",
        "built Nov 28 2026 11:30:01\n",
        Cause::Timestamp,
    ),
    (
        "# Generated on Fri Nov 27 10:00:00 UTC 2026",
        "# Generated on Sat Jan  1 00:00:03 UTC 2028",
        Cause::Timestamp,
    ),
    (
        "date: 2026-11-27T10:00:00Z",
        "date: 2027-12-30T10:00:00Z",
        Cause::Timestamp,
    ),
    (
        "Last-Modified: Fri, 27 Nov 2026 10:00:00 GMT",
        "Last-Modified: Sat, 28 Nov 2026 10:00:07 GMT",
        Cause::Timestamp,
    ),
    (
        "BUILD_EPOCH=1795737600",
        "BUILD_EPOCH=1830124800",
        Cause::Timestamp,
    ),
    (
        "\"POT-Creation-Date: 2026-11-27 10:00+0000\\n\"",
        "\"POT-Creation-Date: 2027-12-30 10:01+0000\\n\"",
        Cause::Timestamp,
    ),
    (
        ".TH CURL 1 \"27 November 2026\" \"curl\"",
        ".TH CURL 1 \"30 December 2027\" \"curl\"",
        Cause::Timestamp,
    ),
    (
        ".TH DEMO 1 \"November 2026\" \"demo 1.0\"",
        ".TH DEMO 1 \"December 2027\" \"demo 1.0\"",
        Cause::Timestamp,
    ),
    (
        "/tmp/demo.kQ3xY7aB\n",
        "/tmp/demo.Zz81bPq0\n",
        Cause::Random,
    ),
    (
        "uid=1000(build) gid=1000\n",
        "uid=4711(build) gid=1000\n",
        Cause::User,
    ),
    ("#define THREADS 2\n", "#define THREADS 1\n", Cause::Cpu),
    ("built with -j4\n", "built with -j16\n", Cause::Cpu),
    (
        "Thu Jan  1 00:00:00 UTC 1970\n",
        "Thu Jan  1 12:00:00 NZST 1970\n",
        Cause::Locale,
    ),
    ("0x7ffd10a2c8e4\n", "0x7ffe5513f2b4\n", Cause::Memory),
    (
        "{\"build\": \"6a0f3c1e-58f2-4c7b-9a59-0d6a2c1b7e11\"}\n",
        "{\"build\": \"b1d7e2aa-3f0c-4b18-8e37-5c9d1f2a6b43\"}\n",
        Cause::Random,
    ),
    (
        "3ll9QvXn2Yt0bW5sKfR8dPzJ1hGm7cUa4xEoTiLqV6wSyBNrAeDMuFkC+gHpZO/I\n",
        "Jx8Wq2Lr5Tn1vY7sBd0fKc3hMz6pGa9uXeRoVi4tSwQyUlEkZbHjNmCPDgFA+I/O\n",
        Cause::Random,
    ),
    (
        "Copyright 1999-2026 The people",
        "Copyright 1999-2027 The people",
        Cause::Timestamp,
    ),
    (
        "configured in 1.31 s",
        "configured in 2.07 s",
        Cause::Timestamp,
    ),
    (
        "src = /tmp/a/curl-7.88.1/lib/url.c",
        "src = /home/ci/b/curl-7.88.1/lib/url.c",
        Cause::BuildPath,
    ),
    (
        "prefix-map=/build/one/src",
        "prefix-map=/build/two/src",
        Cause::BuildPath,
    ),
    (
        "Build host: builder-17.example.org",
        "Build host: laptop",
        Cause::HostName,
    ),
    ("HOSTNAME=alpha", "HOSTNAME=omega", Cause::HostName),
    ("built by: anna", "built by: otto", Cause::User),
    ("USER=anna", "USER=otto", Cause::User),
    ("LANG=C.UTF-8", "LANG=de_DE.UTF-8", Cause::Locale),
    ("locale: en_US.UTF-8", "locale: et_EE.UTF-8", Cause::Locale),
    ("ratio 0,75", "ratio 0.75", Cause::Locale),
    (
        "time 2026-11-27 10:00:00 UTC",
        "time 2026-11-27 22:00:00 NZDT",
        Cause::Locale,
    ),
    (
        "undefined variable 'x'",
        "undefined variable \u{2018}x\u{2019}",
        Cause::Locale,
    ),
    (
        "apple\nBanana\ncherry\n",
        "Banana\napple\ncherry\n",
        Cause::Locale,
    ),
    (
        "id: 123e4567-e89b-42d3-a456-426614174000",
        "id: 9f8b7c6d-1a2b-4c3d-8e4f-5a6b7c8d9e0f",
        Cause::Random,
    ),
    ("seed = 8842071", "seed = 120034", Cause::Random),
    (
        "key: 9f86d081884c7d659a2feaa0",
        "key: 60303ae22b998861bce3b28f",
        Cause::Random,
    ),
    (
        "cookie qL8zXw1ReBv0TgYhNmKo2A==",
        "cookie 7Fp3sD6uJcHa9ZxQvWiEyg==",
        Cause::Random,
    ),
    ("pid 4711 wrote this", "pid 815 wrote this", Cause::Random),
    (
        "using /tmp/tmp.kQ3xY7aB1c",
        "using /tmp/tmp.Zz81bPq0Lm",
        Cause::Random,
    ),
    (
        "CFLAGS=-O2 -march=haswell",
        "CFLAGS=-O2 -march=znver3",
        Cause::Cpu,
    ),
    (
        "model name: Intel Xeon Gold",
        "model name: AMD EPYC 7763",
        Cause::Cpu,
    ),
    ("number of cpus: 2", "number of cpus: 16", Cause::Cpu),
    ("MAKEFLAGS=-j2", "MAKEFLAGS=-j16", Cause::Cpu),
    (
        "object at 0x7f3c5a2b1010",
        "object at 0x7fd1e0c42010",
        Cause::Memory,
    ),
    (
        "<main.Foo object at 0x55d0c8a4f2a0>",
        "<main.Foo object at 0x5581b32e12a0>",
        Cause::Memory,
    ),
    (
        "built on Linux 6.1.0-18-amd64",
        "built on Linux 5.10.0-28-amd64",
        Cause::KernelVersion,
    ),
    (
        "{\"hostname\":\"alpha\"}",
        "{\"hostname\":\"omega\"}",
        Cause::HostName,
    ),
    (
        "a greeting built Nov 27 2026 on alpha",
        "a greeting built Nov 27 2026 on omega",
        Cause::HostName,
    ),
    (
        "GNU C17 -march=x86-64 -O2",
        "GNU C17 -march=haswell -O2",
        Cause::Cpu,
    ),
    ("HOME=/root", "HOME=/home/otto", Cause::Environment),
    (
        "PATH=/usr/bin:/bin",
        "PATH=/opt/x/bin:/usr/bin:/bin",
        Cause::Environment,
    ),
    (
        "frobnication level: low",
        "frobnication level: high",
        Cause::Unknown,
    ),
];

#[test]
fn causes_are_named_from_content_alone() {
    let nothing = Circumstances::default();
    check_texts(ALONE, (&nothing, &nothing));
}

#[test]
fn what_is_known_of_the_builds_names_causes_for_certain() {
    let (one, two) = known();
    check_texts(
        &[
            ("stamp 1795737601\n", "stamp 1830124830\n", Cause::Timestamp),
            ("on 2026-11-27\n", "on 2027-12-30\n", Cause::Timestamp),
            (
                "dir /build/first/src/x.c",
                "dir /build/elsewhere/second/src/x.c",
                Cause::BuildPath,
            ),
            ("made at alpha!", "made at omega!", Cause::HostName),
            ("thanks to anna", "thanks to otto", Cause::User),
            ("id 1000", "id 4711", Cause::User),
            ("zone Etc/UTC", "zone Pacific/Auckland", Cause::Locale),
            ("words C.UTF-8", "words de_DE.UTF-8", Cause::Locale),
            (
                "on 6.1.0-18-amd64",
                "on 5.10.0-28-amd64",
                Cause::KernelVersion,
            ),
            ("N 2", "N 1", Cause::Cpu),
            ("-j4", "-j16", Cause::Cpu),
            ("icing vanilla", "icing strawberry", Cause::Environment),
        ],
        (&one, &two),
    );
    // Seconds since 1970 in bytes: only the clocks make a time of four bytes.
    let binary = |seconds: i64| {
        let mut bytes = vec![0, 1, 2, 3];
        bytes.extend(u32::try_from(seconds).unwrap().to_le_bytes());
        bytes.extend([0; 8]);
        bytes
    };
    let (left, right) = (binary(START + 3), binary(START + 34_387_210));
    check(&left, &right, &[Cause::Timestamp], (&one, &two));
    let nothing = Circumstances::default();
    check(&left, &right, &[Cause::Unknown], (&nothing, &nothing));
    // As 64 bits it is one by itself: what is random fills all of them.
    let (left, right) = (
        (START + 3).to_le_bytes(),
        (START + 34_387_210).to_le_bytes(),
    );
    check(&left, &right, &[Cause::Timestamp], (&nothing, &nothing));
    let (left, right) = (
        5_000_000_000_u64.to_le_bytes(),
        6_000_000_000_u64.to_le_bytes(),
    );
    check(&left, &right, &[Cause::Unknown], (&nothing, &nothing));
}

#[test]
fn addresses_and_random_bytes_are_told_apart() {
    let nothing = Circumstances::default();
    let pointer = |address: u64| {
        let mut bytes = b"\0\0\0\0\x01\x02\x03\x04".to_vec();
        bytes.extend(address.to_le_bytes());
        bytes.extend([0; 8]);
        bytes
    };
    check(
        &pointer(0x7f3c_5a2b_1010),
        &pointer(0x7fd1_e0c4_2010),
        &[Cause::Memory],
        (&nothing, &nothing),
    );
    let key = |start: u8| {
        let mut bytes = vec![0; 16];
        let scrambled = (0..16_u8).map(|at| (at.wrapping_mul(73) ^ start).wrapping_mul(151) | 0x80);
        bytes.extend(scrambled);
        bytes[16] = 0;
        bytes[18] = 1;
        bytes.extend([0; 16]);
        bytes
    };
    check(
        &key(0x5a),
        &key(0x33),
        &[Cause::Random],
        (&nothing, &nothing),
    );
}

fn archive(mtime: u64, uid: u32, order: &[&str]) -> Vec<u8> {
    let mut builder = ar::Builder::new(Vec::new());
    for name in order {
        let content = format!("content of {name}");
        let mut header = ar::Header::new(name.as_bytes().to_vec(), content.len() as u64);
        header.set_mtime(mtime);
        header.set_uid(uid);
        header.set_mode(0o644);
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(content: &[u8], mtime: u32, level: u32) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::GzBuilder::new()
        .mtime(mtime)
        .write(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn padding_that_nobody_wrote_is_memory() {
    // struct { char kind; long value; } from a stack that held addresses.
    let records = |address: u64| -> Vec<u8> {
        let record = |n: u64| {
            let mut word = (address + n * 8).to_le_bytes();
            word[0] = b'k';
            [word, n.to_le_bytes()].concat()
        };
        (0..8).flat_map(record).collect()
    };
    let nothing = Circumstances::default();
    let (left, right) = (records(0x7ffd_10a2_c8e0), records(0x7ffe_5513_f2b0));
    check(&left, &right, &[Cause::Memory], (&nothing, &nothing));
}

#[test]
fn archives_and_streams_name_their_causes() {
    let nothing = Circumstances::default();
    let both = (&nothing, &nothing);
    let plain = archive(0, 0, &["a.o", "b.o", "c.o"]);
    check(
        &plain,
        &archive(START.unsigned_abs(), 0, &["a.o", "b.o", "c.o"]),
        &[Cause::ArchiveMetadata],
        both,
    );
    check(
        &plain,
        &archive(0, 1000, &["a.o", "b.o", "c.o"]),
        &[Cause::ArchiveMetadata],
        both,
    );
    check(
        &plain,
        &archive(0, 0, &["b.o", "c.o", "a.o"]),
        &[Cause::DirectoryOrder],
        both,
    );
    let text: Vec<u8> = (0..20_000_u32)
        .flat_map(|n| n.to_string().into_bytes())
        .collect();
    check(
        &gzip(&text, 0, 9),
        &gzip(&text, 0, 1),
        &[Cause::Compression],
        both,
    );
    check(
        &gzip(&text, 1, 9),
        &gzip(&text, 1_795_737_600, 9),
        &[Cause::Timestamp],
        both,
    );
}

fn place(place: &[(&str, &str)], change: Change) -> Difference {
    let segment = |(kind, name): &(&str, &str)| Segment {
        kind: (*kind).to_owned(),
        name: (*name).to_owned(),
    };
    Difference {
        place: place.iter().map(segment).collect(),
        change,
    }
}

fn value(left: &str, right: &str) -> Change {
    Change::Value {
        left: left.to_owned(),
        right: right.to_owned(),
    }
}

#[test]
fn places_name_causes_and_consequences_name_none() {
    let nothing = Circumstances::default();
    let causes = |differences: &[Difference]| -> Vec<Cause> {
        let named = name_causes(differences, &nothing, &nothing);
        named.into_iter().map(|named| named.cause).collect()
    };
    let time = place(
        &[("tag", "BUILDTIME")],
        value("1 (1970-01-01T00:00:01Z)", "2 (1970-01-01T00:00:02Z)"),
    );
    let digest = place(&[("signature tag", "SHA256HEADER")], value("aa", "bb"));
    let signature = place(
        &[("signature tag", "RSAHEADER")],
        Change::OnlyLeft("512 bytes".to_owned()),
    );
    let build_id = place(
        &[("file", "/usr/lib/.build-id/ab/cdef")],
        Change::OnlyLeft("link".to_owned()),
    );
    for (differences, expected) in [
        (
            vec![time.clone(), digest.clone(), build_id.clone()],
            vec![Cause::Timestamp],
        ),
        (vec![signature, digest.clone()], vec![Cause::Signature]),
        (vec![digest], vec![Cause::Unknown]),
        (
            vec![place(&[("tag", "BUILDHOST")], value("a", "b"))],
            vec![Cause::HostName],
        ),
        (
            vec![place(&[("tag", "PAYLOADFLAGS")], value("19", "12"))],
            vec![Cause::Compression],
        ),
        (
            vec![place(
                &[("file", "/x"), ("field", "mode")],
                value("0644", "0664"),
            )],
            vec![Cause::Environment],
        ),
        (
            vec![place(
                &[("file", "/x"), ("field", "owner")],
                value("root", "anna"),
            )],
            vec![Cause::User],
        ),
        (
            vec![
                place(
                    &[("file", "/usr/share/x-20261127")],
                    Change::OnlyLeft("file".to_owned()),
                ),
                place(
                    &[("file", "/usr/share/x-20271230")],
                    Change::OnlyRight("file".to_owned()),
                ),
            ],
            vec![Cause::Timestamp],
        ),
    ] {
        assert_eq!(causes(&differences), expected, "{differences:?}");
    }
}

#[test]
fn what_is_no_cause_is_not_taken_for_one() {
    let (one, two) = known();
    let nothing = Circumstances::default();
    for (left, right) in [
        ("version 1.2.3", "version 1.2.4"),
        ("libfoo.so.1", "libfoo.so.2"),
        ("#define LEVEL 2", "#define LEVEL 3"),
        ("if (x > 10)", "if (x > 11)"),
        ("return alphabet;", "return omegas;"),
        ("size 512", "size 640"),
        ("offset 0x1234", "offset 0x1238"),
        ("Hello, world", "Hello, there"),
        ("enable-foo", "disable-foo"),
        ("12:34", "12:34 and more"),
        ("depends on foo", "depends on bar"),
        ("divided by two", "divided by four"),
        ("the user guide", "the user manual"),
        ("timeout 30 s", "timeout 60 s"),
        ("key: left", "key: right"),
        ("port 8080", "port 8443"),
        ("mask 0x0123456789abcdef", "mask 0x0123456789abcdee"),
        ("language C", "language D"),
        (
            "see https://kiln.invalid/x",
            "see https://localhost.invalid/x",
        ),
        (
            "mail kiln@localhost.invalid",
            "mail maintainers@kiln.invalid",
        ),
        ("time zone data", "time zone names"),
        ("host names are", "host addresses are"),
        (
            "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "sha256 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752",
        ),
    ] {
        for both in [(&nothing, &nothing), (&one, &two)] {
            check(left.as_bytes(), right.as_bytes(), &[Cause::Unknown], both);
        }
    }
    // A digest beside what it is the digest of is no key.
    let left = "built 2026-11-27\nsha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n";
    let right = "built 2027-12-30\nsha256 60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752\n";
    check(
        left.as_bytes(),
        right.as_bytes(),
        &[Cause::Timestamp],
        (&nothing, &nothing),
    );
}

fn variation(factors: &[(Factor, Level)]) -> Variation {
    let mut variation = Variation::default();
    for (factor, level) in factors {
        variation.set(*factor, *level);
    }
    variation
}

/// What the content of a difference says.
#[derive(Debug, Clone, Copy)]
enum Content {
    Order,
    Dates,
    Archive,
    Random,
    Compression,
    Nothing,
}

impl Content {
    fn candidates(self) -> Vec<Candidate> {
        let candidate = |cause, strength| Candidate::new(cause, strength, "it looks like that");
        match self {
            Self::Order => order::candidates(
                &place(&[("order", "lines from 1")], value("", "")),
                "b | a | c",
                "c | b | a",
            ),
            Self::Dates => vec![candidate(Cause::Timestamp, Strength::Likely)],
            Self::Archive => vec![
                candidate(Cause::ArchiveMetadata, Strength::Certain),
                candidate(Cause::Timestamp, Strength::Possible),
            ],
            Self::Random => vec![candidate(Cause::Random, Strength::Likely)],
            Self::Compression => vec![candidate(Cause::Compression, Strength::Certain)],
            Self::Nothing => Vec::new(),
        }
    }
}

use Factor::{
    Aslr, Clock as Time, DirectoryOrder, HostPath, Jobs, Locale, Processors, TimeZone, User,
};

/// What the content says, what rebuilds varied and whether they differed, and what follows.
type Row = (
    Content,
    &'static [(&'static [(Factor, Level)], bool)],
    Cause,
);

const DECIDED: [Row; 19] = [
    (
        Content::Compression,
        &[(&[], false), (&[(Processors, Level::One)], true)],
        Cause::Compression,
    ),
    (
        Content::Dates,
        &[(&[], true), (&[(Aslr, Level::Off)], false)],
        Cause::Timestamp,
    ),
    (
        Content::Order,
        &[(&[], false), (&[(DirectoryOrder, Level::Reversed)], true)],
        Cause::DirectoryOrder,
    ),
    (
        Content::Order,
        &[(&[], true), (&[(Jobs, Level::One)], false)],
        Cause::ParallelRace,
    ),
    (
        Content::Order,
        &[(&[], true), (&[(Aslr, Level::Off)], false)],
        Cause::Memory,
    ),
    (
        Content::Order,
        &[(&[], false), (&[(Locale, Level::Other)], true)],
        Cause::Locale,
    ),
    (
        Content::Order,
        &[
            (&[], true),
            (&[(Aslr, Level::Off)], true),
            (&[(Jobs, Level::One)], true),
        ],
        Cause::ParallelRace,
    ),
    (Content::Order, &[], Cause::DirectoryOrder),
    (
        Content::Dates,
        &[(&[], false), (&[(Time, Level::Past)], true)],
        Cause::Timestamp,
    ),
    (Content::Dates, &[(&[], true)], Cause::Timestamp),
    (
        Content::Dates,
        &[(&[], false), (&[(TimeZone, Level::Other)], true)],
        Cause::Timestamp,
    ),
    (
        Content::Archive,
        &[(&[], false), (&[(Time, Level::Past)], true)],
        Cause::ArchiveMetadata,
    ),
    (
        Content::Archive,
        &[(&[], false), (&[(User, Level::Other)], true)],
        Cause::ArchiveMetadata,
    ),
    (
        Content::Random,
        &[(&[], true), (&[(Aslr, Level::Off)], true)],
        Cause::Random,
    ),
    (
        Content::Nothing,
        &[(&[], false), (&[(HostPath, Level::Other)], true)],
        Cause::BuildPath,
    ),
    (
        Content::Nothing,
        &[(&[], false), (&[(Processors, Level::One)], true)],
        Cause::Cpu,
    ),
    (
        Content::Nothing,
        &[(&[], true), (&[(Processors, Level::One)], false)],
        Cause::ParallelRace,
    ),
    (
        Content::Nothing,
        &[(&[], false), (&[(Time, Level::Past)], false)],
        Cause::Unknown,
    ),
    (Content::Nothing, &[(&[], true)], Cause::Unknown),
];

#[test]
fn isolating_rebuilds_decide() {
    for (content, rebuilds, expected) in DECIDED {
        let rebuild =
            |(factors, differs): &(&[(Factor, Level)], bool)| (variation(factors), *differs);
        let isolating: Vec<(Variation, bool)> = rebuilds.iter().map(rebuild).collect();
        let named = decide(&content.candidates(), &isolating);
        assert_eq!(
            named.cause, expected,
            "{content:?} {isolating:?}: {named:?}"
        );
    }
}

/// What the content says, what pairs of rebuilds varied alike and whether they differed from each other.
const DECIDED_BY_PAIRS: [Row; 6] = [
    (
        Content::Order,
        &[(&[(Aslr, Level::Off)], false)],
        Cause::Memory,
    ),
    (
        Content::Order,
        &[(&[(Processors, Level::One), (Jobs, Level::One)], false)],
        Cause::ParallelRace,
    ),
    (
        Content::Order,
        &[
            (&[(Aslr, Level::Off)], true),
            (&[(Processors, Level::One), (Jobs, Level::One)], true),
        ],
        Cause::Random,
    ),
    (
        Content::Order,
        &[(&[(Jobs, Level::One)], true)],
        Cause::Random,
    ),
    (
        Content::Nothing,
        &[(&[(Aslr, Level::Off)], true), (&[(Jobs, Level::One)], true)],
        Cause::Random,
    ),
    (
        Content::Dates,
        &[(&[(Aslr, Level::Off)], false)],
        Cause::Timestamp,
    ),
];

#[test]
fn pairs_of_rebuilds_tell_memory_races_and_chance_apart() {
    for (content, rebuilds, expected) in DECIDED_BY_PAIRS {
        let pairs: Vec<(Variation, bool)> = rebuilds
            .iter()
            .map(|(factors, differs)| (variation(factors), *differs))
            .collect();
        // From the first build all of them differ.
        let mut isolating: Vec<(Variation, bool)> = pairs
            .iter()
            .map(|(variation, _)| (variation.clone(), true))
            .collect();
        isolating.push((Variation::default(), true));
        let named = decide_with_pairs(&content.candidates(), &isolating, &pairs);
        assert_eq!(named.cause, expected, "{content:?} {pairs:?}: {named:?}");
    }
}
