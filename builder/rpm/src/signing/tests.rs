//! Keys that gpg made, good and bad, over a package that the `rpm` crate built.

use kiln_model::{Fingerprint, SourceDateEpoch};

use super::*;
use crate::reader::{RpmFile, Section};

/// 2024-03-01, two months after the keys were made.
const BUILT: SourceDateEpoch = SourceDateEpoch::from_seconds(1_709_251_200);
/// 2026-11-27.
const NOW: SourceDateEpoch = SourceDateEpoch::from_seconds(1_795_737_600);

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("fixtures/", $name))
    };
}

macro_rules! fingerprint {
    ($name:literal) => {
        include_str!(concat!("fixtures/", $name, ".fingerprint"))
            .trim()
            .parse::<Fingerprint>()
            .unwrap()
    };
}

macro_rules! open {
    ($name:literal, $passphrase:expr) => {
        SigningKey::open(
            include_bytes!(concat!("fixtures/", $name, ".secret.asc")),
            $passphrase,
            &fingerprint!($name),
            NOW,
        )
    };
}

fn horse() -> Passphrase {
    Passphrase::new(b"correct horse".to_vec())
}

fn package() -> Vec<u8> {
    let config = rpm::BuildConfig::v4()
        .compression(rpm::CompressionType::Zstd)
        .source_date(1_709_251_200);
    let package = rpm::PackageBuilder::new("demo", "1.0", "MIT", "x86_64", "A demo")
        .using_config(config)
        .release("2")
        .build_host("kiln")
        .build()
        .unwrap();
    let mut bytes = Vec::new();
    package.write(&mut bytes).unwrap();
    // The crate's own layout is not rpmbuild's: what kiln writes is compared with what kiln wrote.
    unsigned_package(&bytes).unwrap()
}

fn header(bytes: &[u8]) -> &[u8] {
    &bytes[RpmFile::parse(bytes).unwrap().header_range()]
}

#[test]
fn a_signature_is_all_that_differs_and_can_be_taken_out_again() {
    let unsigned = package();
    let key = open!("ed25519", Some(&horse())).unwrap();
    let rsa = open!("rsa", None).unwrap();
    for (key, tag) in [(&key, 267), (&rsa, 268)] {
        let signature = key.sign(header(&unsigned), BUILT).unwrap();
        let signed = signed_package(&unsigned, &signature).unwrap();
        assert_eq!(signed.len(), unsigned.len(), "the reserved space has room");
        let (before, after) = (
            RpmFile::parse(&unsigned).unwrap(),
            RpmFile::parse(&signed).unwrap(),
        );
        assert!(after.is_signed() && !before.is_signed());
        assert_eq!(signed[..96], unsigned[..96], "the lead");
        let start = after.header_range().start;
        assert_eq!(signed[start..], unsigned[start..], "header and payload");
        assert_eq!(after.content_digest(), before.content_digest());
        let mut tags = after.tags(Section::Signature).clone();
        assert_eq!(
            tags.remove(&tag),
            Some(crate::TagValue::Bytes(signature.packet().to_vec()))
        );
        let mut others = before.tags(Section::Signature).clone();
        assert!(tags.remove(&1008).is_some() && others.remove(&1008).is_some());
        assert_eq!(tags, others, "every other tag is as it was");
        assert_eq!(unsigned_package(&signed).unwrap(), unsigned);

        // Twice gives the same bytes, and so does signing what another key signed.
        let again = key.sign(header(&unsigned), BUILT).unwrap();
        assert_eq!(signed_package(&unsigned, &again).unwrap(), signed);
        let stranger = open!("other", None).unwrap();
        let foreign = stranger.sign(header(&unsigned), BUILT).unwrap();
        let foreign = signed_package(&unsigned, &foreign).unwrap();
        assert_ne!(foreign, signed);
        assert_eq!(signed_package(&foreign, &signature).unwrap(), signed);

        // The rpm crate agrees.
        let armored = key.certificate().armored();
        let verifier = rpm::signature::pgp::Verifier::from_asc(&armored).unwrap();
        let read = rpm::Package::parse(&mut signed.as_slice()).unwrap();
        read.verify_signature(verifier).unwrap();
    }
}

#[test]
fn a_signature_states_the_package_s_time_or_the_key_s() {
    let key = open!("rsa", None).unwrap();
    let early = key.sign(b"x", SourceDateEpoch::from_seconds(5)).unwrap();
    let created = SourceDateEpoch::from_seconds(1_704_067_200);
    assert_eq!(
        key.sign(b"x", created).unwrap(),
        early,
        "2024-01-01, when the key was made"
    );
    assert_ne!(key.sign(b"x", BUILT).unwrap(), early);
}

#[test]
fn damaged_packages_are_refused_before_they_are_signed() {
    let unsigned = package();
    let key = open!("rsa", None).unwrap();
    let signature = key.sign(header(&unsigned), BUILT).unwrap();
    for at in [0, 96, 108, 112, 120, unsigned.len() - 1] {
        let mut damaged = unsigned.clone();
        damaged[at] ^= 0x55;
        assert!(signed_package(&damaged, &signature).is_err(), "byte {at}");
    }
    for length in [0, 95, 96, 200, unsigned.len() - 1] {
        assert!(signed_package(&unsigned[..length], &signature).is_err());
    }
}

#[test]
fn detached_signatures_are_judged() {
    let key = open!("ed25519", Some(&horse())).unwrap();
    let certificate = key.certificate();
    let good = key.sign(b"data", BUILT).unwrap();
    assert_eq!(certificate.verify(b"data", good.packet()), Ok(good.clone()));
    assert_eq!(
        certificate.verify(b"data", good.armored().as_bytes()),
        Ok(good.clone())
    );
    assert!(
        good.armored()
            .starts_with("-----BEGIN PGP SIGNATURE-----\n")
    );
    assert_eq!(
        certificate.verify(b"datA", good.packet()),
        Err(SignatureFault::Bad)
    );
    let stranger = open!("other", None).unwrap();
    let foreign = stranger.sign(b"data", BUILT).unwrap();
    let issuer = fingerprint!("other").to_string();
    assert_eq!(
        certificate.verify(b"data", foreign.packet()),
        Err(SignatureFault::Foreign { issuer })
    );
    let check = |bytes: &[u8], expected: &str| {
        let fault = certificate.verify(b"data", bytes).unwrap_err();
        let SignatureFault::NotASignature { reason } = &fault else {
            panic!("{fault:?}")
        };
        assert!(reason.contains(expected), "{reason}");
    };
    check(b"", "empty");
    check(fixture!("other.public.asc"), "something else");
    check(&[good.packet(), good.packet()].concat(), "more behind it");
    let two = format!("{0}{0}", good.armored());
    check(two.as_bytes(), "several");
    for cut in 1..good.packet().len() {
        assert!(certificate.verify(b"data", &good.packet()[..cut]).is_err());
    }
}

#[test]
fn a_subkey_signs_for_its_primary_key() {
    let key = open!("subkey", None).unwrap();
    let signature = key.sign(b"data", BUILT).unwrap();
    let public = Certificate::parse_all(fixture!("subkey.public.asc")).unwrap();
    assert_eq!(
        public[0].verify(b"data", signature.packet()),
        Ok(signature.clone())
    );
    // The primary key's secret half may be elsewhere.
    let bytes = fixture!("subkey-only.secret.asc");
    let only = SigningKey::open(bytes, None, &fingerprint!("subkey"), NOW).unwrap();
    assert_eq!(only.sign(b"data", BUILT), Ok(signature));
}

#[test]
fn keys_that_must_not_sign_are_refused() {
    let check = |opened: Result<SigningKey, SigningKeyError>, expected: KeyFault| {
        let Err(SigningKeyError::Unusable { fault, .. }) = opened else {
            panic!("{opened:?}")
        };
        assert_eq!(fault, expected);
    };
    check(open!("short", None), KeyFault::Short { bits: 1024 });
    check(open!("revoked", None), KeyFault::Revoked);
    check(open!("certify", None), KeyFault::Purpose);
    let hash = "SHA1".to_owned();
    check(open!("sha1", None), KeyFault::WeakHash { hash });
    let kind = "version 4, ECDSA".to_owned();
    check(open!("nist", None), KeyFault::Kind { kind });
    let expired = "2024-06-01T12:00:00Z".to_owned();
    check(open!("expired", None), KeyFault::Expired { expired });
    let early = SourceDateEpoch::from_seconds(1);
    let bytes = fixture!("rsa.secret.asc");
    let created = "2024-01-01T00:00:00Z".to_owned();
    check(
        SigningKey::open(bytes, None, &fingerprint!("rsa"), early),
        KeyFault::TooYoung { created },
    );
}

#[test]
fn wrong_files_and_passphrases_are_told_apart() {
    let fingerprint = fingerprint!("ed25519");
    let locked = SigningKeyError::Locked {
        fingerprint: fingerprint.clone(),
    };
    assert_eq!(open!("ed25519", None).unwrap_err(), locked);
    let wrong = Passphrase::new(b"incorrect horse".to_vec());
    assert_eq!(
        open!("ed25519", Some(&wrong)).unwrap_err(),
        SigningKeyError::WrongPassphrase { fingerprint }
    );
    assert_eq!(format!("{wrong:?}"), "Passphrase(…)");
    let pinned = fingerprint!("rsa");
    let open = |bytes: &[u8]| SigningKey::open(bytes, None, &pinned, NOW).unwrap_err();
    assert_eq!(open(fixture!("rsa.public.asc")), SigningKeyError::Public);
    assert_eq!(
        open(fixture!("other.secret.asc")),
        SigningKeyError::OtherKey {
            expected: pinned.clone(),
            actual: fingerprint!("other").to_string(),
        }
    );
    for bytes in [
        &b""[..],
        b"hello\n",
        b"-----BEGIN PGP PRIVATE KEY BLOCK-----\n\nxx\n",
    ] {
        let error = open(bytes);
        assert!(
            matches!(error, SigningKeyError::NotAKey { .. }),
            "{error:?}"
        );
    }
    let whole = fixture!("rsa.secret.asc");
    for cut in (1..whole.len()).step_by(97) {
        let error = open(&whole[..cut]);
        assert!(
            matches!(error, SigningKeyError::NotAKey { .. }),
            "{cut}: {error:?}"
        );
    }
    let secret = Certificate::parse_all(whole);
    assert_eq!(secret, Err(CertificateError::Secret));
}

#[test]
fn several_public_keys_are_read_from_one_file() {
    let both = [
        &fixture!("rsa.public.asc")[..],
        fixture!("other.public.asc"),
    ]
    .concat();
    let keys = Certificate::parse_all(&both).unwrap();
    let found: Vec<_> = keys.iter().filter_map(Certificate::fingerprint).collect();
    assert_eq!(found, [fingerprint!("rsa"), fingerprint!("other")]);
    let written: String = keys.iter().map(Certificate::armored).collect();
    assert_eq!(Certificate::parse_all(written.as_bytes()), Ok(keys));
}
