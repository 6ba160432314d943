//! Packages that the `rpm` crate built, whole and damaged.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;

static BUILT: LazyLock<Vec<u8>> = LazyLock::new(build);

fn built() -> Vec<u8> {
    BUILT.clone()
}

fn build() -> Vec<u8> {
    let config = rpm::BuildConfig::v4()
        .compression(rpm::CompressionType::Zstd)
        .source_date(1_676_851_200);
    let package = rpm::PackageBuilder::new("demo", "1.0", "MIT", "x86_64", "A demo")
        .using_config(config)
        .release("2")
        .epoch(3)
        .build_host("kiln")
        .vendor("Kiln tests")
        .with_file_contents(
            "hello\n",
            rpm::FileOptions::new("/usr/share/demo/hello")
                .permissions(0o640)
                .user("demo"),
        )
        .unwrap()
        .with_file_contents(
            "a=1\n",
            rpm::FileOptions::new("/etc/demo.conf").config().noreplace(),
        )
        .unwrap()
        .with_symlink(rpm::FileOptions::symlink("/usr/share/demo/link", "hello"))
        .unwrap()
        .provides(rpm::Dependency::eq("bundled(priv)", "2.0"))
        .requires(rpm::Dependency::greater_eq("zlib", "1.2"))
        .conflicts(rpm::Dependency::any("other"))
        .obsoletes(rpm::Dependency::less("demo-old", "1.0"))
        .recommends(rpm::Dependency::any("extra"))
        .post_install_script("echo installed")
        .build()
        .unwrap();
    let mut bytes = Vec::new();
    package.write(&mut bytes).unwrap();
    bytes
}

#[test]
fn a_package_says_what_was_built_into_it() {
    let bytes = built();
    let package = RpmFile::parse(&bytes).unwrap();
    assert_eq!(package.nevra().to_string(), "demo-3:1.0-2.x86_64");
    assert_eq!(package.build_time(), Some(1_676_851_200));
    assert_eq!(package.build_host(), Some("kiln"));
    assert_eq!(
        package.payload_compressor().map(|(name, _)| name),
        Some("zstd")
    );
    assert_eq!(package.vendor(), Some("Kiln tests"));
    assert_eq!(package.license(), Some("MIT"));
    assert!(!package.is_signed());
    let texts = |relations: &[Relation]| {
        relations
            .iter()
            .filter(|r| !r.is_rpmlib())
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    let relations = package.relations();
    assert!(texts(&relations.provides).contains(&"bundled(priv) = 2.0".to_owned()));
    assert!(texts(&relations.requires).contains(&"zlib >= 1.2".to_owned()));
    assert_eq!(texts(&relations.conflicts), ["other"]);
    assert_eq!(texts(&relations.obsoletes), ["demo-old < 1.0"]);
    assert_eq!(texts(&relations.recommends), ["extra", "user(demo)"]);
    let file = |path: &str| {
        package
            .files()
            .iter()
            .find(|file| file.path == path)
            .unwrap()
    };
    let hello = file("/usr/share/demo/hello");
    assert_eq!(
        hello.kind,
        PackagedFileKind::Regular {
            digest: Some(Digest::of(b"hello\n"))
        }
    );
    assert_eq!(
        (hello.mode, hello.size, hello.user.as_str()),
        (0o640, 6, "demo")
    );
    assert!(file("/etc/demo.conf").is_config());
    let target = "hello".to_owned();
    assert_eq!(
        file("/usr/share/demo/link").kind,
        PackagedFileKind::Link { target }
    );
    assert_eq!(package.scriptlets().len(), 1);
    assert_eq!(package.scriptlets()[0].section, "%post");
    assert_eq!(package.scriptlets()[0].body, "echo installed");
    assert_eq!(
        Digest::of(&bytes[package.payload_range()]),
        package.payload_digest()
    );
}

#[test]
fn a_changed_byte_is_named_by_the_part_that_it_is_in() {
    let bytes = built();
    let package = RpmFile::parse(&bytes).unwrap();
    let mut payload = bytes.clone();
    *payload.last_mut().unwrap() ^= 1;
    assert!(matches!(
        RpmFile::parse(&payload),
        Err(RpmError::Mismatch { part: "payload", expected, .. })
            if expected == package.payload_digest()
    ));
    let summary = bytes
        .windows(6)
        .position(|window| window == b"A demo")
        .unwrap();
    let mut header = bytes.clone();
    header[summary] = b'B';
    assert!(matches!(
        RpmFile::parse(&header),
        Err(RpmError::Mismatch { part: "header", expected, .. })
            if expected == package.header_digest()
    ));
    assert_eq!(RpmFile::parse(b"!<arch>\n").unwrap_err(), RpmError::NotRpm);
}

#[test]
fn a_package_that_is_cut_anywhere_is_refused() {
    let bytes = built();
    for length in 0..bytes.len() {
        assert!(RpmFile::parse(&bytes[..length]).is_err(), "{length} bytes");
    }
}

/// Puts the right digest of the changed header back: what an attacker without a key can do.
fn forge(bytes: &mut [u8], package: &RpmFile) {
    let payload = package.payload_range();
    let header = payload.start - package.header.size()..payload.start;
    let old = package.header_digest().to_hex();
    let new = Digest::of(&bytes[header]).to_hex();
    let place = bytes
        .windows(64)
        .position(|window| window == old.as_bytes())
        .unwrap();
    bytes[place..place + 64].copy_from_slice(new.as_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn random_damage_never_panics(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = built();
        for (index, byte) in flips {
            let place = index.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = RpmFile::parse(&bytes);
    }

    #[test]
    fn a_forged_header_never_panics(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = built();
        let package = RpmFile::parse(&bytes).unwrap();
        let end = package.payload_range().start;
        let start = end - package.header.size();
        for (index, byte) in flips {
            let place = start + index.index(end - start);
            bytes[place] = byte;
        }
        forge(&mut bytes, &package);
        if let Ok(package) = RpmFile::parse(&bytes) {
            let _ = (package.build_time(), package.payload_compressor(), package.source_rpm());
        }
    }
}
