//! What a bill of materials refuses, and that neither order nor hostile text reaches a document.

#![expect(clippy::unwrap_used, reason = "a test that can not go on stops")]

mod fixture;

use std::collections::BTreeMap;

use fixture::{curl, curl_provenance, curl_run, hostile, known, timer, zlib};
use kiln_attest::{
    BillError, BillOfMaterials, BundledLibrary, Contents, DistributionError, DistributionRelease,
    Library, Organization, PartyError, Purl, Software, SoftwareError, sbom_formats,
};
use kiln_model::{
    Architecture, Digest, LOCK_FORMAT, LockedArchive, LockedGit, LockedSource, LockedSubmodule,
    ManifestDigest, Recipe, RecipeLock, Sha512, SourceDateEpoch,
};
use proptest::prelude::*;

fn render(contents: Contents) -> Vec<Vec<u8>> {
    let bill = BillOfMaterials::new(contents).unwrap();
    sbom_formats()
        .iter()
        .map(|format| format.render(&bill))
        .collect()
}

fn bundled(contents: &mut Contents, number: usize) -> &mut BundledLibrary {
    match &mut contents.product.software.libraries[number] {
        Library::Bundled(library) => library,
        library => panic!("{library:?} is not bundled"),
    }
}

#[test]
fn two_copies_of_one_library_in_one_tree_are_refused() {
    let mut contents = timer();
    assert!(BillOfMaterials::new(contents.clone()).is_ok());
    let mut again = contents.product.software.libraries[0].clone();
    contents.product.software.libraries.push(again.clone());
    assert!(BillOfMaterials::new(contents.clone()).is_ok(), "said twice");
    let Library::Vendored(other) = &mut again else {
        panic!("{again:?} is not a copy");
    };
    other.path = "src/elsewhere".to_owned();
    contents.product.software.libraries.push(again);
    let expected = BillError::TwoCopies {
        recipe: known("timer"),
        library: known("murmurhash3"),
    };
    assert_eq!(BillOfMaterials::new(contents), Err(expected));
}

#[test]
fn contents_that_contradict_themselves_are_refused() {
    let check = |change: &dyn Fn(&mut Contents), expected: BillError| {
        let mut contents = curl();
        change(&mut contents);
        assert_eq!(BillOfMaterials::new(contents), Err(expected));
    };
    let product = || known("curl");
    check(
        &|c| c.product.rpms.clear(),
        BillError::NoRpm { product: product() },
    );
    check(
        &|c| c.product.rpms[0].name = known("curl"),
        BillError::DuplicateRpm {
            product: product(),
            package: known("curl"),
        },
    );
    let ghost = |library: &str| BillError::UnknownRpm {
        product: product(),
        library: library.to_owned(),
        package: known("ghost"),
    };
    check(
        &|c| bundled(c, 0).files[0].package = known("ghost"),
        ghost("openssl"),
    );
    check(
        &|c| bundled(c, 1).link.packages = vec![known("ghost")],
        ghost("c-ares"),
    );
    check(
        &|c| match &mut c.product.software.libraries[2] {
            Library::System(library) => library.link.packages = vec![known("ghost")],
            library => panic!("{library:?} is not the system's"),
        },
        ghost("zlib1g-dev"),
    );
    check(
        &|c| {
            let mut other = bundled(c, 1).clone();
            other.software.version = known("1.19.1");
            bundled(c, 0)
                .software
                .libraries
                .push(Library::Bundled(other));
        },
        BillError::Conflict {
            product: product(),
            recipe: known("c-ares"),
        },
    );
    check(
        &|c| match &mut c.product.software.libraries[2] {
            Library::System(library) => library.package.version = "2".to_owned(),
            library => panic!("{library:?} is not the system's"),
        },
        BillError::PackageConflict {
            product: product(),
            package: known("zlib1g-dev"),
        },
    );
    check(
        &|c| bundled(c, 0).software.recipe = known("curl"),
        BillError::Itself { product: product() },
    );
    let bad_purl = "pkg:swift/curl".parse::<Purl>().unwrap_err();
    check(
        &|c| c.product.software.purl = known("pkg:swift/curl"),
        BillError::Purl {
            recipe: product(),
            source: bad_purl,
        },
    );
}

#[test]
fn one_recipe_below_two_consumers_is_one_component() {
    let mut contents = curl();
    let c_ares = Library::Bundled(bundled(&mut contents, 1).clone());
    bundled(&mut contents, 0).software.libraries.push(c_ares);
    let document: serde_json::Value = serde_json::from_slice(&render(contents)[0]).unwrap();
    let count = |reference: &str| {
        let components = document["components"].as_array().unwrap();
        components
            .iter()
            .filter(|c| c["bom-ref"] == reference)
            .count()
    };
    assert_eq!(count("bundled:c-ares"), 1);
    let node = |reference: &str| {
        let nodes = document["dependencies"].as_array().unwrap();
        nodes.iter().find(|node| node["ref"] == reference).unwrap()["dependsOn"].clone()
    };
    assert_eq!(
        node("bundled:openssl"),
        serde_json::json!(["bundled:c-ares", "system:zlib1g-dev"])
    );
    assert_eq!(node("system:zlib1g-dev"), serde_json::json!([]));
}

proptest! {
    // Found counterexamples are printed; a file of them would be written into the repository.
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_order_of_lists_never_reaches_a_document(
        rpms in Just(curl().product.rpms).prop_shuffle(),
        libraries in Just(curl().product.software.libraries).prop_shuffle(),
        files in Just(bundled(&mut curl(), 0).files.clone()).prop_shuffle(),
        packages in Just(bundled(&mut curl(), 0).link.packages.clone()).prop_shuffle(),
        resolves in Just(curl().product.software.patches[0].resolves.clone()).prop_shuffle(),
        subjects in Just(curl_provenance().subjects).prop_shuffle(),
        inputs in Just(curl_provenance().inputs).prop_shuffle(),
    ) {
        let mut shuffled = curl();
        bundled(&mut shuffled, 0).files = files;
        bundled(&mut shuffled, 0).link.packages = packages;
        let openssl = shuffled.product.software.libraries[0].clone();
        let is_openssl = |library: &Library| {
            matches!(library, Library::Bundled(bundled) if bundled.software.recipe == known("openssl"))
        };
        shuffled.product.software.libraries = libraries;
        let at = shuffled.product.software.libraries.iter().position(is_openssl).unwrap();
        shuffled.product.software.libraries[at] = openssl;
        shuffled.product.rpms = rpms;
        shuffled.product.software.patches[0].resolves = resolves;
        prop_assert_eq!(render(shuffled), render(curl()));

        let mut provenance = curl_provenance();
        provenance.subjects = subjects;
        provenance.inputs = inputs;
        prop_assert_eq!(provenance.render(), curl_provenance().render());
    }

    #[test]
    fn no_text_breaks_out_of_a_document(text in any::<String>()) {
        let name = format!("{text}\u{0}\u{1b}]0;x\u{7}\"\\\u{202e}\u{2028}");
        let mut contents = hostile();
        bundled(&mut contents, 0).files[0].path = format!("/{name}");
        contents.product.software.patches[0].file.clone_from(&name);
        let mut provenance = curl_provenance();
        provenance.subjects[0].name.clone_from(&name);
        let mut run = curl_run();
        run.host.name.clone_from(&name);
        let mut documents = render(contents);
        documents.extend([provenance.render(), run.render()]);
        for document in documents {
            let text = String::from_utf8(document).unwrap();
            prop_assert!(text.ends_with("}\n"), "a document ends in one newline");
            let seen = text.trim_end_matches('\n').chars().find(|c| c.is_control() && *c != '\n');
            prop_assert_eq!(seen, None);
            prop_assert!(!text.contains(['\u{202e}', '\u{2028}']), "unseen characters are escaped");
            let value: serde_json::Value = serde_json::from_str(&text).unwrap();
            prop_assert!(holds(&value, &name));
        }
    }
}

/// Returns whether some text in `value` holds `wanted`.
fn holds(value: &serde_json::Value, wanted: &str) -> bool {
    match value {
        serde_json::Value::String(text) => text.contains(wanted),
        serde_json::Value::Array(items) => items.iter().any(|item| holds(item, wanted)),
        serde_json::Value::Object(members) => members.values().any(|item| holds(item, wanted)),
        _ => false,
    }
}

#[test]
fn another_content_has_another_identity() {
    let identity = |contents| {
        let document: serde_json::Value = serde_json::from_slice(&render(contents)[0]).unwrap();
        document["serialNumber"].as_str().unwrap().to_owned()
    };
    let mut other = zlib();
    other.product.rpms[0].size += 1;
    assert_eq!(identity(zlib()), identity(zlib()));
    assert_ne!(identity(zlib()), identity(other));
}

#[test]
fn purls_are_spelt_in_one_way() {
    let bill = BillOfMaterials::new(zlib()).unwrap();
    let document = String::from_utf8(sbom_formats()[0].render(&bill)).unwrap();
    assert!(document.contains("\"pkg:rpm/kiln/zlib@1.2.13-1?arch=noarch&epoch=1\""));
    let text = "pkg:deb/debian/g%2B%2B@4:12.2.0-3?arch=amd64&distro=debian-12";
    assert_eq!(text.parse::<Purl>().unwrap().to_string(), text);
    let refused = "curl@7.88.1".parse::<Purl>().unwrap_err();
    assert_eq!(refused.text, "curl@7.88.1");
}

const RECIPE: &str = r#"schema: 1
name: demo
version: "1.10"
release: 1
summary: A demo
license: Zlib
homepage: https://example.org
identity: {supplier: Demo people, cpe: ["cpe:2.3:a:demo:demo"]}
base: debian-12
sources:
  - url: https://example.org/demo-1.10.tar.gz
    sha256: "cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7"
    released: 2023-02-20
patches:
  - file: patches/x.patch
    sha256: "cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7"
steps: {use: autotools}
packages:
  - name: demo
    files: [/usr/bin/demo]
"#;

#[test]
fn a_git_source_is_named_by_its_commit() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let address = "https://example.org/team/demo.git";
    let from = RECIPE.find("  - url:").unwrap()..RECIPE.find("patches:").unwrap();
    let mut text = RECIPE.to_owned();
    text.replace_range(from, &format!("  - git: {address}\n    tag: v1.10\n"));
    let location = format!("git+{address}@{commit}");
    let locked = LockedSource {
        url: known(&location),
        sha256: Digest::of(b"export"),
        sha512: Some(Sha512::of(b"export")),
        size: Some(6),
        git: Some(LockedGit {
            tag: Some(known("v1.10")),
            committed: SourceDateEpoch::from_seconds(1_525_176_000),
            submodules: true,
            pins: vec![LockedSubmodule {
                path: known("modules/common"),
                url: known("https://example.org/team/common.git"),
                commit: known(commit),
            }],
        }),
    };
    let lock = RecipeLock {
        format: LOCK_FORMAT,
        recipe: known("demo"),
        architecture: Architecture::X86_64,
        base: known("debian-12"),
        base_manifest: ManifestDigest(Digest::of(b"manifest")),
        sources: vec![locked],
        tools: None,
    };
    let recipe = Recipe::parse(text.as_bytes(), "demo").unwrap();
    let recipe = recipe.pinned_by(Some(&lock));
    let patches = BTreeMap::from([("patches/x.patch".to_owned(), Sha512::of(b"x"))]);
    let software = Software::from_recipe(&recipe, &lock.sources, &patches).unwrap();
    let source = &software.sources[0];
    assert_eq!(source.file_name(), "demo-0123456789ab.tar");
    let purl = Purl::upstream(&software.purl, &software.version, Some(source)).unwrap();
    let purl = purl.to_string();
    assert!(
        purl.contains("vcs_url=git") && !purl.contains("checksum"),
        "{purl}"
    );
    let mut contents = zlib();
    contents.product.software = software;
    for document in render(contents) {
        let document = String::from_utf8(document).unwrap();
        for part in [
            location.as_str(),
            &format!("modules/common git+https://example.org/team/common.git@{commit}"),
            "2018-05-01T12:00:00Z",
        ] {
            assert!(document.contains(part), "{part}: {document}");
        }
    }
}

#[test]
fn a_recipe_and_its_lock_make_a_piece_of_software() {
    let recipe = Recipe::parse(RECIPE.as_bytes(), "demo").unwrap();
    let locked = [LockedSource {
        url: recipe.planned().sources[0].url.clone(),
        sha256: recipe.planned().sources[0].sha256,
        sha512: Some(Sha512::of(b"demo")),
        size: Some(4),
        git: None,
    }];
    let patches = BTreeMap::from([("patches/x.patch".to_owned(), Sha512::of(b"x"))]);
    let software = Software::from_recipe(&recipe, &locked, &patches).unwrap();
    assert_eq!(software.sources[0].sha512, Sha512::of(b"demo"));
    assert_eq!(software.patches[0].sha512, Sha512::of(b"x"));
    assert_eq!(software.producer.name.as_str(), "Demo people");
    assert_eq!(
        Software::from_recipe(&recipe, &[], &patches),
        Err(SoftwareError::NotLocked {
            recipe: known("demo"),
            file: "demo-1.10.tar.gz".to_owned(),
            sha256: recipe.planned().sources[0].sha256,
        })
    );
    assert_eq!(
        Software::from_recipe(&recipe, &locked, &BTreeMap::new()),
        Err(SoftwareError::Patch {
            recipe: known("demo"),
            file: "patches/x.patch".to_owned()
        })
    );
}

#[test]
fn settings_and_archives_become_parties() {
    let ours = Organization::try_from(&kiln_model::Organization::default()).unwrap();
    assert_eq!(ours.email.unwrap().to_string(), "kiln@localhost.invalid");
    let mut settings = kiln_model::Organization {
        email: String::new(),
        ..Default::default()
    };
    assert_eq!(Organization::try_from(&settings).unwrap().email, None);
    settings.url = "example.org".to_owned();
    assert_eq!(
        Organization::try_from(&settings),
        Err(PartyError::Web("example.org".to_owned()))
    );
    let mut archive = LockedArchive {
        distribution: "debian".to_owned(),
        suite: "bookworm".to_owned(),
        release: "12.15".to_owned(),
        date: "Sat, 07 Nov 2026 10:00:00 UTC".to_owned(),
        in_release: Digest::of(b"r"),
        packages_index: Digest::of(b"p"),
        key: "00".to_owned(),
    };
    let release = DistributionRelease::from_archive(&archive).unwrap();
    assert_eq!(
        (release.id.as_str(), release.release.as_str()),
        ("debian", "12")
    );
    assert_eq!(release.vendor.as_str(), "Debian");
    archive.distribution = "é".to_owned();
    assert!(matches!(
        DistributionRelease::from_archive(&archive),
        Err(DistributionError::Name(error)) if error.text == "é"
    ));
}
