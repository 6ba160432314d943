use super::*;
use crate::digest::DigestError;
use crate::name::NameError;
use crate::text::TextError;

mod arbitrary;
mod hostile;
mod packages;
mod services;
mod sources;

const GOOD: &str = r#"schema: 1
name: demo
version: "1.10"
release: 1
summary: A demo
license: Zlib
homepage: https://example.org
identity: {supplier: Demo people, cpe: ["cpe:2.3:a:demo:demo"]}
base: debian-12
tools: [perl]
sources:
  - url: https://example.org/demo-1.10.tar.gz
    sha256: "cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7"
    released: 2023-02-20
libraries:
  openssl: {choice: bundle, reason: one TLS stack}
  zlib: {choice: system, package: {debian: zlib1g-dev}}
steps: {use: autotools}
packages:
  - name: demo
    files: [/usr/bin/demo]
"#;

#[test]
fn a_good_recipe_has_its_defaults_filled_in() {
    let recipe = Recipe::parse(GOOD.as_bytes(), "demo").unwrap();
    assert_eq!(recipe.version.as_str(), "1.10");
    assert_eq!(recipe.bundle_prefix.as_str(), "/usr/lib/demo");
    assert_eq!(
        recipe.planned().source_date.to_rfc3339(),
        "2023-02-20T00:00:00Z"
    );
    assert_eq!(recipe.identity.purl.as_str(), "pkg:generic/demo");
    assert_eq!(recipe.packages[0].summary.as_str(), "A demo");
    let (library, from, _) = recipe.bundled().next().unwrap();
    assert_eq!((library.as_str(), from.as_str()), ("openssl", "openssl"));
}

#[test]
fn the_newest_changelog_entry_moves_the_source_date() {
    let text = format!(
        "{GOOD}changelog:\n  - {{date: 2024-01-02, author: Me <me@example.org>, changes: [x]}}\n"
    );
    let recipe = Recipe::parse(text.as_bytes(), "demo").unwrap();
    assert_eq!(
        recipe.planned().source_date.to_rfc3339(),
        "2024-01-02T00:00:00Z"
    );
}

#[test]
fn a_hardening_exception_names_protections_and_a_reason() {
    let text = format!(
        "{GOOD}hardening:\n  - {{without: [pie, cet], files: ['/usr/bin/*'], reason: x}}\n  \
         - {{without: [fortify], reason: y}}\n"
    );
    let recipe = Recipe::parse(text.as_bytes(), "demo").unwrap();
    let [some, all] = recipe.hardening.as_slice() else {
        panic!("{:?}", recipe.hardening);
    };
    assert!(some.excuses("/usr/bin/demo", Protection::Cet));
    assert!(!some.excuses("/usr/lib64/libdemo.so", Protection::Cet));
    assert!(!some.excuses("/usr/bin/demo", Protection::Relro));
    assert!(!some.is_global(Protection::Pie));
    assert!(all.is_global(Protection::Fortify) && all.excuses("/any", Protection::Fortify));
    let steps = "steps: {use: autotools}\n";
    let with = |text: &str| format!("{steps}hardening: [{text}]\n");
    for (text, column, cause) in [
        (
            "{without: [], reason: x}",
            23,
            Cause::Empty { what: "without" },
        ),
        (
            "{without: [pie, pie], reason: x}",
            29,
            Cause::Twice {
                what: "protection",
                name: "pie".to_owned(),
            },
        ),
        (
            "{without: [pie]}",
            13,
            Cause::MissingKey {
                key: "reason".to_owned(),
            },
        ),
    ] {
        check(steps, &with(text), 19, column, cause);
    }
    let unknown = check_error(steps, &with("{without: [stack-protecter], reason: x}"));
    assert!(
        matches!(&unknown.cause, Cause::UnknownWord { nearest: Some(word), .. }
            if word == "stack-protector"),
        "{unknown:?}"
    );
}

/// Replaces `from` by `to` in the good recipe and returns what is wrong with it.
fn check_error(from: &str, to: &str) -> YamlError {
    let text = GOOD.replacen(from, to, 1);
    Recipe::parse(text.as_bytes(), "demo").unwrap_err()
}

/// Replaces `from` by `to` in the good recipe and expects this cause at this place.
fn check(from: &str, to: &str, line: u64, column: u64, cause: Cause) {
    assert!(GOOD.contains(from), "{from:?} is not in the good recipe");
    let text = GOOD.replacen(from, to, 1);
    let expected = YamlError {
        cause,
        place: Place { line, column },
    };
    assert_eq!(
        Recipe::parse(text.as_bytes(), "demo"),
        Err(expected),
        "{from:?} -> {to:?}"
    );
}

#[test]
fn each_mistake_is_named_with_its_place() {
    check(
        "\"1.10\"",
        "1.10",
        3,
        10,
        Cause::UnquotedVersion {
            text: "1.10".into(),
        },
    );
    check(
        "schema: 1",
        "schema: 2",
        1,
        9,
        Cause::Schema {
            expected: 1,
            actual: 2,
        },
    );
    check(
        "name: demo",
        "name: other",
        2,
        7,
        Cause::OtherName {
            expected: "demo".into(),
            actual: "other".into(),
        },
    );
    check(
        "license: Zlib",
        "license: Zlibb",
        6,
        10,
        Cause::Text(TextError::License {
            text: "Zlibb".into(),
            reason: "unknown term".into(),
            nearest: Some("Zlib".into()),
        }),
    );
    check(
        "cdb38b",
        "CDB38B",
        13,
        13,
        Cause::Digest(DigestError::Character { character: 'C' }),
    );
    check(
        "bbf3c7",
        "bbf3",
        13,
        13,
        Cause::Digest(DigestError::Length {
            expected: 64,
            actual: 62,
        }),
    );
}

#[test]
fn more_mistakes_are_named_with_their_place() {
    check(
        "tools: [perl]",
        "tools: [perl]\nname: demo",
        11,
        1,
        Cause::DuplicateKey {
            key: "name".into(),
            first: Place { line: 2, column: 1 },
        },
    );
    check(
        "{choice: system, package: {debian: zlib1g-dev}}",
        "{choice: system}",
        17,
        9,
        Cause::Needed {
            key: "package",
            beside: "choice: system",
        },
    );
    check(
        "base: debian-12",
        "base: ../etc",
        9,
        7,
        Cause::Name(NameError {
            expected: "a base image name of lower-case letters, digits, `-`, `.`",
            text: "../etc".into(),
        }),
    );
    check(
        "A demo",
        "A\u{7}demo",
        5,
        11,
        Cause::Character { character: '\u{7}' },
    );
}

#[test]
fn a_copy_in_the_source_tree_says_where_it_is() {
    let system = "{choice: system, package: {debian: zlib1g-dev}}";
    let refused = |library: &str, column: u64, cause: Cause| {
        check(system, library, 17, column, cause);
    };
    let meaningless = |key, beside| Cause::Meaningless { key, beside };
    refused(
        "{choice: vendored}",
        9,
        Cause::Needed {
            key: "path",
            beside: "choice: vendored",
        },
    );
    refused(
        "{choice: vendored, path: a, license: MIT, recipe: a}",
        59,
        meaningless("recipe", "choice: vendored"),
    );
    refused(
        "{choice: vendored, path: a, license: MIT, package: {debian: a}}",
        69,
        meaningless("package", "choice: vendored"),
    );
    refused(
        "{choice: vendored, path: a, license: MIT, carry: [/a]}",
        9,
        meaningless("carry", "link: static"),
    );
    refused(
        "{choice: vendored, path: a, link: shared, carry: []}",
        9,
        Cause::Needed {
            key: "carry",
            beside: "link: shared",
        },
    );
    refused(
        "{choice: vendored, path: a, license: MIT, link: shared}",
        9,
        Cause::Needed {
            key: "carry",
            beside: "link: shared",
        },
    );
    refused(
        "{choice: system, package: {debian: a}, license: MIT}",
        57,
        meaningless("license", "choice: system"),
    );
    refused(
        "{choice: bundle, version: 1}",
        35,
        meaningless("version", "choice: bundle"),
    );
}

#[test]
fn names_of_the_rpm_family_are_those_of_tools() {
    let text = GOOD.replacen(
        "tools: [perl]",
        "tools: [perl]\ntools-rhel: {perl: perl-core}",
        1,
    );
    let recipe = Recipe::parse(text.as_bytes(), "demo").unwrap();
    let names: Vec<(&str, &str)> = recipe
        .tools_rhel
        .iter()
        .map(|(tool, name)| (tool.as_str(), name.as_str()))
        .collect();
    assert_eq!(names, [("perl", "perl-core")]);
    check(
        "tools: [perl]",
        "tools: [perl]\ntools-rhel: {perI: perl}",
        11,
        20,
        Cause::UnknownKey {
            key: "perI".into(),
            nearest: Some("perl".into()),
            expected: vec!["perl".into()],
        },
    );
    check(
        "tools: [perl]",
        "tools: [perl]\ntools-rhel: {perl: \"perl >= 5\"}",
        11,
        20,
        Cause::Name(NameError {
            expected: "an RPM package name of letters, digits, `-`, `.`, `+`, `_`",
            text: "perl >= 5".into(),
        }),
    );
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let text = GOOD.replacen("homepage:", "hompage:", 1);
    let error = Recipe::parse(text.as_bytes(), "demo").unwrap_err();
    assert_eq!(error.place, Place { line: 7, column: 1 });
    assert!(
        matches!(&error.cause, Cause::UnknownKey { key, nearest: Some(nearest), .. }
        if key == "hompage" && nearest == "homepage")
    );
    assert_eq!(
        error.cause.hint().as_deref(),
        Some("did you mean `homepage`?")
    );
}

#[test]
fn a_missing_key_is_named() {
    let text = GOOD.replacen("homepage: https://example.org\n", "", 1);
    let error = Recipe::parse(text.as_bytes(), "demo").unwrap_err();
    assert_eq!(
        error.cause,
        Cause::MissingKey {
            key: "homepage".into()
        }
    );
}

#[test]
fn an_unknown_word_names_the_nearest() {
    let text = GOOD.replacen("use: autotools", "use: autotool", 1);
    let error = Recipe::parse(text.as_bytes(), "demo").unwrap_err();
    assert!(
        matches!(&error.cause, Cause::UnknownWord { nearest: Some(nearest), .. }
        if nearest == "autotools"),
        "{error:?}"
    );
}

#[test]
fn yaml_that_recipes_do_not_use_is_refused() {
    let forbidden = |from: &str, to: &str, what: &'static str| {
        let text = GOOD.replacen(from, to, 1);
        let error = Recipe::parse(text.as_bytes(), "demo").unwrap_err();
        assert_eq!(error.cause, Cause::Forbidden { what }, "{to:?}");
    };
    forbidden("summary: A demo", "summary: &a A demo", "an anchor");
    forbidden("summary: A demo", "summary: *a", "an alias");
    forbidden("summary: A demo", "summary: !!binary aGVsbG8=", "a tag");
    forbidden("base:", "<<: {base: x}\nbase:", "a merge key");
    let second = format!("{GOOD}---\n{GOOD}");
    let error = Recipe::parse(second.as_bytes(), "demo").unwrap_err();
    assert_eq!(
        error.cause,
        Cause::Forbidden {
            what: "a second document"
        }
    );
}

#[test]
fn bombs_and_wrong_encodings_are_refused() {
    let cause = |bytes: &[u8]| Recipe::parse(bytes, "demo").unwrap_err().cause;
    let deep = format!("tools: {}", "[".repeat(1000));
    assert_eq!(cause(deep.as_bytes()), Cause::TooDeep { limit: 32 });
    let many = format!("schema: 1\ntools: [{}]", "a, ".repeat(200_000));
    assert_eq!(cause(many.as_bytes()), Cause::TooMany { limit: 100_000 });
    let large = vec![b' '; 2 * 1024 * 1024];
    assert_eq!(
        cause(&large),
        Cause::TooLarge {
            limit: 1024 * 1024,
            actual: 2 * 1024 * 1024
        }
    );
    assert_eq!(cause(b"schema: 1\nname: \xff"), Cause::Encoding);
    assert_eq!(
        cause(b"\xef\xbb\xbfschema: 1"),
        Cause::Character {
            character: '\u{feff}'
        }
    );
    assert_eq!(cause(b"schema: 1\0"), Cause::Character { character: '\0' });
}
