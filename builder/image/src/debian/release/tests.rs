use super::*;

const ARCHIVE: &[u8] = include_bytes!("fixtures/archive.gpg");
const STRANGER: &[u8] = include_bytes!("fixtures/stranger.gpg");
const WEAK: &[u8] = include_bytes!("fixtures/weak.gpg");
const EXPIRED: &[u8] = include_bytes!("fixtures/expired.gpg");
const REVOKED: &[u8] = include_bytes!("fixtures/revoked.gpg");
const SUBKEY_REVOKED: &[u8] = include_bytes!("fixtures/subkey-revoked.gpg");
/// The fingerprint of the archive's primary key.
const ARCHIVE_KEY: &str = include_str!("fixtures/archive.fingerprint");

const PRIMARY: &str = include_str!("fixtures/primary.asc");
const SUBKEY: &str = include_str!("fixtures/subkey.asc");
const EARLY: &str = include_str!("fixtures/early.asc");
const FOREIGN: &str = include_str!("fixtures/stranger.asc");
const TWO: &str = include_str!("fixtures/two.asc");
const SHA1: &str = include_str!("fixtures/weak.asc");
const BINARY: &str = include_str!("fixtures/binary.asc");
const TEXT: &str = include_str!("fixtures/Release");

fn bookworm() -> ReleaseExpectation {
    ReleaseExpectation {
        suite: "bookworm".to_owned(),
        release: "12".to_owned(),
    }
}

fn verify_with(text: &str, keys: &[&[u8]]) -> Result<VerifiedRelease, ReleaseError> {
    let keys: Vec<Vec<u8>> = keys.iter().map(|key| key.to_vec()).collect();
    verify_in_release(text.as_bytes(), &keys, &bookworm())
}

fn fingerprint(text: &str, keys: &[&[u8]]) -> Result<String, ReleaseError> {
    verify_with(text, keys).map(|release| release.fingerprint)
}

fn unusable(reason: Unusable) -> Result<String, ReleaseError> {
    Err(ReleaseError::UnusableSignature {
        key: ARCHIVE_KEY.to_owned(),
        reason,
    })
}

fn bad() -> Result<String, ReleaseError> {
    Err(ReleaseError::BadSignature {
        key: ARCHIVE_KEY.to_owned(),
    })
}

#[test]
fn a_signed_release_is_read() {
    let release = verify_with(PRIMARY, &[ARCHIVE]).unwrap();
    let files = [
        ("main/binary-amd64/Packages", Digest::of(b""), 0),
        ("main/binary-amd64/Packages.xz", Digest::of(b"0"), 123),
    ];
    let expected = VerifiedRelease {
        suite: "oldstable".to_owned(),
        codename: "bookworm".to_owned(),
        version: "12.15".to_owned(),
        date: "Sat, 11 Jul 2026 10:16:37 UTC".to_owned(),
        moment: SourceDateEpoch::from_seconds(1_783_764_997),
        valid_until: None,
        fingerprint: ARCHIVE_KEY.to_owned(),
        in_release: Digest::of(PRIMARY.as_bytes()),
        files: files
            .map(|(path, digest, size)| (path.to_owned(), (digest, size)))
            .into(),
    };
    assert_eq!(release, expected);
}

#[test]
fn one_good_signature_by_a_pinned_key_is_enough() {
    for (text, keys) in [
        (PRIMARY, &[ARCHIVE][..]),
        (SUBKEY, &[ARCHIVE]),
        (PRIMARY, &[STRANGER, ARCHIVE]),
        (TWO, &[ARCHIVE]),
        (PRIMARY, &[EXPIRED, ARCHIVE]),
        (PRIMARY, &[SUBKEY_REVOKED]),
        // Expiry is judged at the time of the signature.
        (EARLY, &[EXPIRED]),
        // Line ends are not part of what is signed.
        (&PRIMARY.replace('\n', "\r\n"), &[ARCHIVE]),
    ] {
        assert_eq!(
            fingerprint(text, keys),
            Ok(ARCHIVE_KEY.to_owned()),
            "{text}"
        );
    }
    // The same from one file with several keys.
    let together = [STRANGER, ARCHIVE].concat();
    assert_eq!(
        fingerprint(PRIMARY, &[&together]),
        Ok(ARCHIVE_KEY.to_owned())
    );
}

#[test]
fn a_signature_that_does_not_count_is_refused_with_the_rule() {
    for (text, keys, expected) in [
        (PRIMARY, EXPIRED, unusable(Unusable::Expired)),
        (PRIMARY, REVOKED, unusable(Unusable::Revoked)),
        (EARLY, REVOKED, unusable(Unusable::Revoked)),
        (SUBKEY, REVOKED, unusable(Unusable::Revoked)),
        (SUBKEY, SUBKEY_REVOKED, unusable(Unusable::Revoked)),
        (
            PRIMARY,
            STRANGER,
            Err(ReleaseError::UnknownKey { signatures: 1 }),
        ),
        (
            FOREIGN,
            ARCHIVE,
            Err(ReleaseError::UnknownKey { signatures: 1 }),
        ),
        (TWO, WEAK, Err(ReleaseError::UnknownKey { signatures: 2 })),
    ] {
        assert_eq!(fingerprint(text, &[keys]), expected, "{text}");
    }
    // An older copy of the key does not undo a revocation, nor does the order matter.
    for keys in [[ARCHIVE, REVOKED], [REVOKED, ARCHIVE]] {
        assert_eq!(fingerprint(PRIMARY, &keys), unusable(Unusable::Revoked));
    }
    let weak = fingerprint(SHA1, &[WEAK, ARCHIVE]).unwrap_err();
    let ReleaseError::UnusableSignature { reason, .. } = weak else {
        panic!("{weak:?}");
    };
    assert_eq!(
        reason,
        Unusable::WeakHash {
            hash: "SHA1".to_owned()
        }
    );
    // A signature over binary data, put where one over text belongs.
    let binary = format!(
        "{}{BINARY}",
        PRIMARY.split("-----BEGIN PGP SIGNATURE").next().unwrap()
    );
    assert_eq!(fingerprint(&binary, &[ARCHIVE]), unusable(Unusable::Type));
}

#[test]
fn a_changed_text_is_refused() {
    for (from, to) in [
        ("12.15", "12.16"),
        ("      123 main", "      124 main"),
        ("5feceb66", "5feceb67"),
        ("Suite:", "suite:"),
        ("Origin: Example\n", ""),
        ("Origin: Example\n", "Origin: Example\n\n"),
        ("Origin: Example\n", " Origin: Example\n"),
        ("MD5Sum:\n", "MD5Sum:\n- x\n"),
    ] {
        let changed = PRIMARY.replace(from, to);
        assert_ne!(changed, PRIMARY, "{from:?}");
        assert_eq!(fingerprint(&changed, &[ARCHIVE]), bad(), "{from:?}");
        // A good signature of an unknown key beside it changes nothing, nor one more pinned key.
        assert_eq!(
            fingerprint(&TWO.replace(from, to), &[ARCHIVE]),
            bad(),
            "{from:?}"
        );
    }
}

#[test]
fn a_signature_of_another_text_is_refused() {
    let armor = |text: &str| {
        let start = text.find("-----BEGIN PGP SIGNATURE").unwrap();
        (text[..start].to_owned(), text[start..].to_owned())
    };
    let (changed, _) = armor(&PRIMARY.replace("12.15", "12.16"));
    assert_eq!(
        fingerprint(&format!("{changed}{}", armor(SUBKEY).1), &[ARCHIVE]),
        bad()
    );
    // The signature itself, one base64 digit at a time: never accepted, never a panic.
    let (text, signature) = armor(PRIMARY);
    for (at, byte) in signature
        .bytes()
        .enumerate()
        .skip("-----BEGIN PGP SIGNATURE-----".len())
    {
        let mut damaged = signature.clone().into_bytes();
        damaged[at] = if byte == b'A' { b'B' } else { b'A' };
        let damaged = format!("{text}{}", String::from_utf8(damaged).unwrap());
        if let Ok(actual) = fingerprint(&damaged, &[ARCHIVE]) {
            // What is outside the signed part of the signature, and the armor's own checksum, may
            // change: the mathematics still hold for the same text and key.
            assert_eq!(actual, ARCHIVE_KEY);
        }
    }
}

#[test]
fn anything_around_the_message_is_refused() {
    for text in [
        format!("Suite: bookworm\n{PRIMARY}"),
        format!("{PRIMARY}Suite: bookworm\n"),
        format!("{PRIMARY}{PRIMARY}"),
        format!("{PRIMARY}\n"),
        PRIMARY.replace("Hash: ", "Comment: "),
        TEXT.to_owned(),
        BINARY.to_owned(),
        String::new(),
    ] {
        let refused = fingerprint(&text, &[ARCHIVE]);
        assert!(
            matches!(refused, Err(ReleaseError::Cleartext(_))),
            "{refused:?}"
        );
    }
}

#[test]
fn what_is_no_signature_is_refused() {
    let start = PRIMARY.find("-----BEGIN PGP SIGNATURE").unwrap();
    let with = |armor: &str| {
        let armor =
            format!("-----BEGIN PGP SIGNATURE-----\n{armor}\n-----END PGP SIGNATURE-----\n");
        fingerprint(&format!("{}{armor}", &PRIMARY[..start]), &[ARCHIVE])
    };
    // Nothing, no base64, a packet cut off, a user id packet (tag 13), bytes that start no packet.
    for armor in [
        "",
        "\n",
        "\n????",
        "\niHUE",
        "\nzQFh",
        "\nAAAA",
        "\n=AAAA",
        "\n=AAAAAAAA",
    ] {
        let refused = with(armor);
        assert!(
            matches!(refused, Err(ReleaseError::Signatures { .. })),
            "{armor:?} {refused:?}"
        );
    }
}

#[test]
fn keys_that_are_none_are_refused() {
    assert_eq!(
        fingerprint(PRIMARY, &[]),
        Err(ReleaseError::Keyring(KeyringError::Empty))
    );
    for damaged in [
        &b""[..],
        b"-----BEGIN PGP PUBLIC KEY BLOCK-----",
        &ARCHIVE[..100],
        &[0xff; 40],
    ] {
        let refused = fingerprint(PRIMARY, &[ARCHIVE, damaged]);
        assert!(
            matches!(
                refused,
                Err(ReleaseError::Keyring(KeyringError::Damaged {
                    number: 2,
                    ..
                }))
            ),
            "{refused:?}"
        );
    }
}

fn read(text: &str, expected: &ReleaseExpectation) -> Result<VerifiedRelease, ReleaseError> {
    read_release(text, ARCHIVE_KEY.to_owned(), Digest::of(b""), expected)
}

#[test]
fn another_suite_or_release_is_refused() {
    let expect = |suite: &str, release: &str| ReleaseExpectation {
        suite: suite.to_owned(),
        release: release.to_owned(),
    };
    for (suite, release) in [
        ("bookworm", "12"),
        ("bookworm", "12.15"),
        ("oldstable", "12"),
    ] {
        assert!(read(TEXT, &expect(suite, release)).is_ok());
    }
    for suite in ["trixie", "", "Bookworm", "bookworm-security"] {
        let expected = ReleaseError::Suite {
            expected: suite.to_owned(),
            suite: "oldstable".to_owned(),
            codename: "bookworm".to_owned(),
        };
        assert_eq!(read(TEXT, &expect(suite, "12")), Err(expected));
    }
    for release in ["13", "1", "12.1", "12.15.1", "", "12."] {
        let expected = ReleaseError::Version {
            suite: "bookworm".to_owned(),
            expected: release.to_owned(),
            actual: "12.15".to_owned(),
        };
        assert_eq!(read(TEXT, &expect("bookworm", release)), Err(expected));
    }
}

/// Says that a field of `TEXT` with `from` replaced by `to` is damaged.
fn refuses(from: &str, to: &str, field: &'static str, expected: &'static str, actual: &str) {
    let text = TEXT.replace(from, to);
    assert_ne!(text, TEXT, "{from:?}");
    let expected = ReleaseError::Value {
        field,
        expected,
        actual: actual.to_owned(),
    };
    assert_eq!(read(&text, &bookworm()), Err(expected), "{to:?}");
}

#[test]
fn damaged_fields_are_named() {
    const DATE: &str = "a date like `Sat, 11 Jul 2026 10:16:37 UTC`";
    refuses("oldstable", "", "Suite", "one line", "");
    refuses("12.15", "12.15\n x", "Version", "one line", "12.15\n x");
    refuses("Date:", "Valid-Until: x\nDate:", "Valid-Until", DATE, "x");
    for date in [
        "Sat, 11 Jul 2026 10:16:37 CET",
        "Sat, 11 Jul 2026 10:16:37",
        "Sun, 11 Jul 2026 10:16:37 UTC",
        "Fri, 11 Jul 1969 10:16:37 UTC",
        "Sat, 31 Feb 2026 10:16:37 UTC",
        "2026-07-11",
    ] {
        refuses("Sat, 11 Jul 2026 10:16:37 UTC", date, "Date", DATE, date);
    }
    let line = TEXT.lines().last().unwrap().trim();
    for (from, to, expected) in [
        (" 123 ", " -1 ", "a number of bytes second"),
        (
            "5feceb66",
            "XXXXXXXX",
            "64 lower-case hexadecimal digits first",
        ),
        (
            "main/binary-amd64/Packages.xz",
            "../x",
            "a plain path below the suite's folder third",
        ),
        ("Packages.xz", "Packages", "each path once"),
        (" 123 ", " ", "digest, size and path"),
    ] {
        refuses(from, to, "SHA256", expected, &line.replace(from, to));
    }
}

#[test]
fn missing_fields_and_stanzas_are_named() {
    for (from, to, field) in [
        ("Suite: oldstable\n", "", "Suite"),
        ("Codename: bookworm\n", "", "Codename"),
        ("Version: 12.15\n", "", "Version"),
        ("SHA256:", "SHA512:", "SHA256"),
    ] {
        let text = TEXT.replace(from, to);
        assert_eq!(
            read(&text, &bookworm()),
            Err(ReleaseError::Missing { field })
        );
    }
    for (text, actual) in [("", 0), (&TEXT.replace("SHA256:\n", "\nSHA256:\n"), 2)] {
        assert_eq!(
            read(text, &bookworm()),
            Err(ReleaseError::Stanzas { actual })
        );
    }
    let until = TEXT.replace("Date:", "Valid-Until: Sat, 18 Jul 2026 10:16:37 UTC\nDate:");
    let release = read(&until, &bookworm()).unwrap();
    let expected = Some("Sat, 18 Jul 2026 10:16:37 UTC");
    assert_eq!(release.valid_until.as_deref(), expected);
}

/// Compares with what apt fetched on this host and gpgv would accept, when there is something.
#[test]
fn the_pinned_keys_sign_the_hosts_own_release_file() {
    let lists = walkdir::WalkDir::new("/var/lib/apt/lists")
        .max_depth(1)
        .sort_by_file_name();
    let found = lists.into_iter().filter_map(Result::ok).find(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .ends_with("_debian_dists_bookworm_InRelease")
    });
    let Some(found) = found else {
        println!("skipped: apt has no release file of bookworm on this host");
        return;
    };
    let keys = concat!(env!("CARGO_MANIFEST_DIR"), "/../../base-images/keys");
    let bytes = fs_err::read(found.path()).unwrap();
    for (name, key) in [
        (
            "bookworm-automatic",
            "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8",
        ),
        (
            "bookworm-stable",
            "4D64FEC119C2029067D6E791F8D2585B8783D481",
        ),
    ] {
        let keyring = fs_err::read(format!("{keys}/debian-archive-{name}.gpg")).unwrap();
        let release = verify_in_release(&bytes, &[keyring], &bookworm()).unwrap();
        assert_eq!(release.fingerprint, key);
        assert_eq!(release.codename, "bookworm");
        assert!(release.files.contains_key("main/binary-amd64/Packages.xz"));
    }
    let stranger = verify_in_release(&bytes, &[STRANGER.to_vec()], &bookworm());
    assert!(
        matches!(stranger, Err(ReleaseError::UnknownKey { .. })),
        "{stranger:?}"
    );
}
