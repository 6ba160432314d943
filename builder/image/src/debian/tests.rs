//! Every reader of foreign text: whatever it is given, it answers.

use kiln_model::Architecture;
use proptest::prelude::*;

use super::*;

/// Pieces that make up what the readers know, so that chance gets past their first line.
fn pieces() -> impl Strategy<Value = String> {
    let known = [
        "Package: a\n",
        "Version: 1\n",
        "Architecture: all\n",
        "Filename: x/y\n",
        "Size: 1\n",
        "SHA256: ",
        "Depends: ",
        "Provides: ",
        "Source: ",
        "\n",
        " ",
        "\t",
        "\r",
        "\0",
        "-",
        "- ",
        "a",
        "B",
        "é",
        "\u{b}",
        "0",
        "9999999999999999999999",
        ":",
        ",",
        "|",
        "(",
        ")",
        "[",
        "]",
        "<",
        ">",
        "=",
        "!",
        "~",
        "+",
        ".",
        "/",
        "#",
        "deb ",
        "http://x/debian",
        "Types: deb\n",
        "URIs: ",
        "Suites: bookworm\n",
        "Components: main\n",
        "Hash: SHA256\n",
        "-----BEGIN PGP SIGNED MESSAGE-----\n",
        "-----BEGIN PGP SIGNATURE-----\n",
        "-----END PGP SIGNATURE-----\n",
        "iQIzBAEBCgAdFiEE\n",
        "=abcd\n",
    ];
    let piece = prop_oneof![
        8 => prop::sample::select(known.to_vec()).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn readers_survive_anything(text in pieces(), keys in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = PackageIndex::parse(&text, Architecture::X86_64);
        let _ = archive_addresses(&[("a.list", &text), ("a.sources", &text)], "bookworm");
        let archive = include_bytes!("release/fixtures/archive.gpg").to_vec();
        let expected = ReleaseExpectation { suite: "bookworm".to_owned(), release: "12".to_owned() };
        let signed = format!(
            "-----BEGIN PGP SIGNED MESSAGE-----\n\n-----BEGIN PGP SIGNATURE-----\n{text}\
             \n-----END PGP SIGNATURE-----\n"
        );
        for text in [&text, &signed] {
            let believed = verify_in_release(text.as_bytes(), std::slice::from_ref(&archive), &expected);
            prop_assert!(believed.is_err());
        }
        let _ = verify_in_release(signed.as_bytes(), &[keys], &expected);
    }

    #[test]
    fn the_order_of_versions_is_total(texts in prop::collection::vec("[0-2a~+.:-]{1,6}", 3)) {
        let versions: Vec<DebianVersion> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        let [a, b, c] = versions.as_slice() else { return Ok(()) };
        prop_assert_eq!(a.cmp(b), b.cmp(a).reverse());
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
        prop_assert_eq!(a.to_string().parse::<DebianVersion>(), Ok(a.clone()));
    }
}
