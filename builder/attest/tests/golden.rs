//! Every document is byte for byte the committed one. `KILN_BLESS=1 cargo test -p kiln-attest
//! --test golden` writes them anew after a change that is meant; the judges then read them.

#![expect(clippy::unwrap_used, reason = "a test that can not go on stops")]

mod fixture;

use std::path::Path;

use fixture::{curl, curl_provenance, curl_run, hostile, timer, zlib};
use kiln_attest::{BillOfMaterials, Contents, sbom_formats};

#[expect(
    clippy::disallowed_methods,
    reason = "a person asks for new goldens through the environment"
)]
fn is_blessing() -> bool {
    std::env::var_os("KILN_BLESS").is_some()
}

fn check(name: &str, actual: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if is_blessing() {
        fs_err::write(&path, actual).unwrap();
    }
    let expected = String::from_utf8(fs_err::read(&path).unwrap()).unwrap();
    let actual = std::str::from_utf8(actual).unwrap();
    for (number, (expected, actual)) in expected.lines().zip(actual.lines()).enumerate() {
        assert_eq!(expected, actual, "{}:{}", path.display(), number + 1);
    }
    assert_eq!(expected, actual, "{}", path.display());
}

fn check_sboms(name: &str, contents: Contents) {
    let bill = BillOfMaterials::new(contents).unwrap();
    for format in sbom_formats() {
        check(
            &format!("{name}{}", format.extension()),
            &format.render(&bill),
        );
    }
}

#[test]
fn sboms_of_a_product_that_bundles() {
    check_sboms("curl", curl());
}

#[test]
fn sboms_of_a_product_without_libraries() {
    check_sboms("zlib", zlib());
}

#[test]
fn sboms_of_a_product_with_copies_in_its_source_tree() {
    check_sboms("timer", timer());
}

#[test]
fn sboms_of_a_product_with_hostile_names() {
    check_sboms("hostile", hostile());
}

#[test]
fn provenance_and_run_record() {
    check("curl.provenance.json", &curl_provenance().render());
    check("curl.run.json", &curl_run().render());
}
