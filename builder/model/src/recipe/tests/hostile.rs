//! Everything that YAML allows and recipes do not, everything that its readers disagree on, and every
//! value that looks right and is not: the cause, the place, and whether there is a hint.

use super::super::*;
use super::GOOD;
use crate::digest::DigestError;
use crate::name::NameError;
use crate::path::PathError;
use crate::source::LocationError;
use crate::text::TextError;
use crate::time::DateError;

/// Replaces `from` by `to` in the good recipe; expects `line:column` and the cause.
fn row(from: &str, to: &str, place: &str, cause: Cause) {
    assert!(GOOD.contains(from), "{from:?} is not in the good recipe");
    let text = GOOD.replacen(from, to, 1);
    let error = Recipe::parse(text.as_bytes(), "demo").unwrap_err();
    let shown: String = to.chars().take(80).collect();
    assert_eq!(error.cause, cause, "{shown:?}");
    assert_eq!(error.place.to_string(), place, "{shown:?}");
    // Whatever ends the lines, the place is the same.
    let windows = text.replace('\n', "\r\n");
    let again = Recipe::parse(windows.as_bytes(), "demo").unwrap_err();
    assert_eq!(again.place, error.place, "{shown:?} with \\r\\n");
}

/// The same for a change that a recipe survives.
fn good(from: &str, to: &str) -> Recipe {
    assert!(GOOD.contains(from), "{from:?} is not in the good recipe");
    let text = GOOD.replacen(from, to, 1);
    Recipe::parse(text.as_bytes(), "demo").unwrap_or_else(|error| panic!("{to:?}: {error:?}"))
}

const DIGEST: &str = "\"cdb38b72e36bc5d33d5b8810f8018ece1baa29a8f215b4495e495ded82bbf3c7\"";

#[test]
fn numbers_have_one_way_of_writing() {
    for text in [
        "18446744073709551616",
        "4294967296",
        "1e999",
        ".inf",
        ".nan",
        "010",
        "0o10",
        "0x10",
        "0b1",
        "1:30",
        "+1",
        "-1",
        "1_000",
        "1.0",
        "0",
        "yes",
    ] {
        let cause = Cause::Number {
            least: 1,
            text: text.into(),
        };
        row("release: 1", &format!("release: {text}"), "4:10", cause);
    }
    let number = |least, text: &str| Cause::Number {
        least,
        text: text.into(),
    };
    row("release: 1", "release: \"1\"", "4:10", number(1, "1"));
    row(
        "release: 1",
        "release: 1\nepoch: 1.5",
        "5:8",
        number(0, "1.5"),
    );
    row("schema: 1", "schema: 01", "1:9", number(0, "01"));
    assert_eq!(good("release: 1", "release: 1\nepoch: 0").epoch, Some(0));
    assert_eq!(
        good("release: 1", "release: 4294967295").release.as_str(),
        "4294967295"
    );
}

#[test]
fn digests_are_never_taken_for_numbers() {
    let unquoted = |text: &str| Cause::UnquotedDigest { text: text.into() };
    let digits = "1".repeat(64);
    let exponent = format!("12e{}", "3".repeat(61));
    row(DIGEST, &digits, "13:13", unquoted(&digits));
    row(DIGEST, &exponent, "13:13", unquoted(&exponent));
    row(DIGEST, "12345", "13:13", unquoted("12345"));
    for quoted in [format!("\"{digits}\""), format!("'{exponent}'")] {
        let recipe = good(DIGEST, &quoted);
        assert_eq!(
            recipe.pins().unwrap().sources[0].sha256.to_hex(),
            quoted[1..65]
        );
    }
    // Nothing else than text to any reader: quotes are not asked for.
    let recipe = good(DIGEST, &DIGEST.replace('"', ""));
    assert_eq!(
        recipe.pins().unwrap().sources[0].sha256.to_hex(),
        DIGEST[1..65]
    );
    let character = |character| Cause::Digest(DigestError::Character { character });
    row(DIGEST, &DIGEST.to_uppercase(), "13:13", character('C'));
    row(
        DIGEST,
        &format!("\"sha256:{}", &DIGEST[1..]),
        "13:13",
        character('s'),
    );
    row(DIGEST, "0xcdb38b72", "13:13", character('x'));
    row(
        DIGEST,
        "\"\"",
        "13:13",
        Cause::Digest(DigestError::Length {
            expected: 64,
            actual: 0,
        }),
    );
    let long = DIGEST.replace("bbf3", "bbbf3");
    row(
        DIGEST,
        &long,
        "13:13",
        Cause::Digest(DigestError::Length {
            expected: 64,
            actual: 65,
        }),
    );
}

#[test]
fn texts_are_texts_whatever_other_readers_make_of_them() {
    for word in ["no", "yes", "on", "12", "1e3", "1.5"] {
        let recipe = good("base: debian-12", &format!("base: {word}"));
        assert_eq!(recipe.base.as_str(), word);
    }
    let nothing = || Cause::Shape {
        expected: "a text here, got nothing",
    };
    row("base: debian-12", "base: ~", "9:7", nothing());
    row("base: debian-12", "base: null", "9:7", nothing());
    row("base: debian-12", "base:", "9:5", nothing());
    row("tools: [perl]", "tools: [perl, ~]", "10:15", nothing());
    row("tools: [perl]", "~: x", "10:1", nothing());
    let version = |text: &str| Cause::UnquotedVersion { text: text.into() };
    for text in ["1.10", "7.88.1", "1e3", "2", "no"] {
        row("\"1.10\"", text, "3:10", version(text));
    }
    row("\"1.10\"", ">-\n  1.10", "4:3", version("1.10"));
    assert_eq!(good("\"1.10\"", "'1.10'").version.as_str(), "1.10");
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    let shape = |expected| Cause::Shape { expected };
    let (value, list) = ("one value here, not a list or keys", "a list here");
    row("base: debian-12", "base: [x]", "9:7", shape(value));
    row("base: debian-12", "base: {x: y}", "9:7", shape(value));
    row("release: 1", "release: [1]", "4:10", shape(value));
    row("tools: [perl]", "tools: [[perl]]", "10:9", shape(value));
    row("tools: [perl]", "tools: perl", "10:8", shape(list));
    row("tools: [perl]", "tools:", "10:6", shape(list));
    row(
        "steps: {use: autotools}",
        "steps: make",
        "18:8",
        shape("keys with values here"),
    );
    row(
        "schema: 1\n",
        "- schema: 1\n",
        "1:1",
        shape("keys with values here"),
    );
}

#[test]
fn parts_of_yaml_that_recipes_do_not_use_are_named() {
    let forbidden = |what| Cause::Forbidden { what };
    let key = || forbidden("a list or map as a key");
    for (to, place, cause) in [
        (
            "summary: !!python/object:os.system x",
            "5:10",
            forbidden("a tag"),
        ),
        ("summary: !!binary aGVsbG8=", "5:10", forbidden("a tag")),
        ("summary: !!str x", "5:10", forbidden("a tag")),
        ("summary: !include /etc/passwd", "5:10", forbidden("a tag")),
        ("summary: !x y", "5:10", forbidden("a tag")),
        ("summary: ! y", "5:10", forbidden("a tag")),
        ("summary: &a A demo", "5:10", forbidden("an anchor")),
        ("&a summary: A demo", "5:1", forbidden("an anchor")),
        ("? [summary]\n: x", "5:3", key()),
        ("? {summary: x}\n: x", "5:3", key()),
        ("{summary: x}: x", "5:1", key()),
        ("<<: {summary: x}", "5:1", forbidden("a merge key")),
        ("<<: [{summary: x}]", "5:1", forbidden("a merge key")),
    ] {
        row("summary: A demo", to, place, cause);
    }
    row(
        "tools: [perl]",
        "tools: &a [*a]",
        "10:8",
        forbidden("an anchor"),
    );
    row(
        "tools: [perl]",
        "tools: &a [perl]\nlicense-files: *a",
        "10:8",
        forbidden("an anchor"),
    );
    for directive in [
        "%YAML 1.1",
        "%YAML 1.2",
        "%TAG ! tag:x,2000:",
        "%FOO bar",
        "# x\n\n%FOO",
    ] {
        let to = format!("{directive}\n---\nschema: 1\n");
        let place = if directive.starts_with('%') {
            "1:1"
        } else {
            "3:1"
        };
        row("schema: 1\n", &to, place, forbidden("a directive"));
    }
    let last = "    files: [/usr/bin/demo]\n";
    row(
        last,
        &format!("{last}...\njunk"),
        "23:1",
        forbidden("a second document"),
    );
    row(
        last,
        &format!("{last}---\n"),
        "22:1",
        forbidden("a second document"),
    );
    row(
        last,
        &format!("{last}... junk\n"),
        "22:5",
        Cause::Syntax {
            reason: "invalid content after document end marker".into(),
        },
    );
    good(last, &format!("{last}...\n# the end\n"));
    good("schema: 1\n", "---\nschema: 1\n");
    good("tools: [perl]", "? tools\n: [perl]");
    // Quoted, they are but text.
    assert_eq!(
        good("A demo", "\"*a !b &c <<\"").summary.as_str(),
        "*a !b &c <<"
    );
}

#[test]
fn aliases_are_refused_without_an_anchor_too() {
    row(
        "tools: [perl]",
        "tools: [*a]",
        "10:9",
        Cause::Forbidden { what: "an alias" },
    );
    row(
        "summary: A demo",
        "summary: *a",
        "5:10",
        Cause::Forbidden { what: "an alias" },
    );
    let bomb = "schema: 1\na: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\n";
    let error = Recipe::parse(bomb.as_bytes(), "demo").unwrap_err();
    assert_eq!(error.cause, Cause::Forbidden { what: "an anchor" });
    assert_eq!(error.place.to_string(), "2:4");
}

#[test]
fn damaged_text_is_named_in_the_parsers_words() {
    let syntax = |reason: &str| Cause::Syntax {
        reason: reason.into(),
    };
    for (to, place, reason) in [
        (
            "tools:\n\t- perl",
            "11:2",
            "tabs disallowed within this context (block indentation)",
        ),
        (
            "tools:\n  - a\n - b",
            "12:2",
            "while parsing a block mapping, did not find expected key",
        ),
        ("tools: [perl", "11:8", "illegal placement of ':' indicator"),
        (
            "tools: \"\\ud800\"",
            "10:8",
            "while parsing a quoted scalar, found high surrogate without following low surrogate",
        ),
        (
            "tools: |9\n  a",
            "11:3",
            "wrongly indented line in block scalar",
        ),
    ] {
        row("tools: [perl]", to, place, syntax(reason));
        assert!(syntax(reason).hint().is_some() || reason.contains("surrogate"));
    }
    row(
        "A demo",
        "|\n  a\n b",
        "7:2",
        syntax("while parsing a block mapping, did not find expected key"),
    );
}

#[test]
fn keys_are_known_and_stand_once() {
    let twice = |key: &str, line, column| Cause::DuplicateKey {
        key: key.into(),
        first: Place { line, column },
    };
    row(
        "tools: [perl]",
        "summary: x",
        "10:1",
        twice("summary", 5, 1),
    );
    row(
        "tools: [perl]",
        "\"summary\": x",
        "10:1",
        twice("summary", 5, 1),
    );
    row(
        "Demo people",
        "Demo people, supplier: b",
        "8:35",
        twice("supplier", 8, 12),
    );
    row("  zlib:", "  openssl:", "17:3", twice("openssl", 16, 3));
    row(
        "debian: zlib1g-dev",
        "debian: a, debian: b",
        "17:47",
        twice("debian", 17, 36),
    );
    let missing = |key: &str| Cause::MissingKey { key: key.into() };
    row(
        "homepage: https://example.org\n",
        "",
        "1:1",
        missing("homepage"),
    );
    row("supplier: Demo people, ", "", "8:11", missing("supplier"));
    row(
        "    released: 2023-02-20\n",
        "",
        "12:5",
        missing("released"),
    );
    row("{use: autotools}", "{}", "18:8", missing("use"));
    row("name: demo\n    files", "files", "20:5", missing("name"));
    let error = Recipe::parse(GOOD.replace("files:", "file:").as_bytes(), "demo").unwrap_err();
    assert_eq!(error.place.to_string(), "21:5");
    assert_eq!(error.cause.hint().as_deref(), Some("did you mean `files`?"));
}

#[test]
fn licences_that_are_none_name_the_nearest() {
    let license = |text: &str, reason: &str, nearest: Option<&str>| {
        let cause = Cause::Text(TextError::License {
            text: text.into(),
            reason: reason.into(),
            nearest: nearest.map(str::to_owned),
        });
        let hint = cause.hint().unwrap();
        match nearest {
            Some(name) => {
                assert_eq!(hint, format!("did you mean `{name}`?"));
                name.parse::<LicenseExpression>().unwrap();
            }
            None => assert!(hint.contains("LicenseRef-"), "{hint}"),
        }
        row("license: Zlib", &format!("license: {text}"), "6:10", cause);
    };
    let unknown = "unknown term";
    let deprecated = "a deprecated license identifier was used";
    license("Zlibb", unknown, Some("Zlib"));
    license("apache-2.0", unknown, Some("Apache-2.0"));
    license("apache 2", unknown, Some("Apache-2.0"));
    license("GPLv2", unknown, Some("GPL-2.0-only"));
    license("GPL-2.0", deprecated, Some("GPL-2.0-only"));
    license("BSD", unknown, Some("BSD-2-Clause"));
    license("MIT AND Zlibb", unknown, Some("Zlib"));
    license("Proprietary", unknown, None);
    license("(MIT", "unclosed parens", None);
    license("MIT AND", "expected one of `<license>`, `(` here", None);
    good("license: Zlib", "license: LicenseRef-own");
    good("license: Zlib", "license: (MIT OR Apache-2.0) AND curl");
}

#[test]
fn values_that_do_not_fit_are_named() {
    let name = |expected, text: &str| {
        Cause::Name(NameError {
            expected,
            text: text.into(),
        })
    };
    let library = "a library name of lower-case letters, digits, `-`, `.`, `+`";
    row("  zlib:", "  Zlib:", "17:3", name(library, "Zlib"));
    let version = "a version of letters, digits, `.`, `+`, `~`, `^`, `_`, without `-`";
    row(
        "\"1.10\"",
        "\"1.10-rc1\"",
        "3:10",
        name(version, "1.10-rc1"),
    );
    row(
        "2023-02-20",
        "2023-02-30",
        "14:15",
        Cause::Date(DateError {
            text: "2023-02-30".into(),
        }),
    );
    let scheme = LocationError::Scheme("ftp://example.org/x".into());
    let url = "https://example.org/demo-1.10.tar.gz";
    row(url, "ftp://example.org/x", "12:10", Cause::Location(scheme));
    let credentials = Cause::Location(LocationError::Credentials);
    row(url, "https://me:secret@example.org/x", "12:10", credentials);
    let absolute = Cause::Path(PathError::NotAbsolute("usr/bin/demo".into()));
    row("[/usr/bin/demo]", "[usr/bin/demo]", "21:13", absolute);
    let bracket = Cause::Path(PathError::Pattern {
        pattern: "/usr/[".into(),
        reason: "unclosed character class; missing ']'".into(),
    });
    row("[/usr/bin/demo]", "[\"/usr/[\"]", "21:13", bracket);
    row(
        "A demo",
        "\"a\\x07b\"",
        "5:10",
        Cause::Text(TextError::Character {
            expected: "one line of text",
            character: '\u{7}',
        }),
    );
    row(
        "A demo",
        "FILL-IN",
        "5:10",
        Cause::Placeholder {
            text: "FILL-IN".into(),
        },
    );
    row(
        "choice: system",
        "choice: sytem",
        "17:18",
        Cause::UnknownWord {
            word: "sytem".into(),
            nearest: Some("system".into()),
            expected: vec!["bundle".into(), "system".into(), "vendored".into()],
        },
    );
    // Columns count characters, not bytes, and tabs as one.
    row(
        "{supplier: Demo people, cpe: [\"cpe:2.3:a:demo:demo\"]}",
        "{supplier: \"Dämo 人\",\tcpe: [cpe:2]}",
        "8:38",
        Cause::Text(TextError::Grammar {
            expected: "a CPE without version: `cpe:2.3:a:VENDOR:PRODUCT`",
            text: "cpe:2".into(),
        }),
    );
}

#[test]
fn files_that_are_no_text_are_refused_where_they_stop_to_be() {
    let check = |bytes: &[u8], place: &str, cause: Cause| {
        let error = Recipe::parse(bytes, "demo").unwrap_err();
        assert_eq!(
            (error.place.to_string().as_str(), error.cause),
            (place, cause)
        );
    };
    let utf16: Vec<u8> = "schema: 1"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    check(&utf16, "1:2", Cause::Character { character: '\0' });
    check(&[&b"\xff\xfe"[..], &utf16].concat(), "1:1", Cause::Encoding);
    let utf32: Vec<u8> = "s"
        .chars()
        .flat_map(|c| u32::from(c).to_be_bytes())
        .collect();
    check(&utf32, "1:1", Cause::Character { character: '\0' });
    check(
        "# ä\nname: "
            .as_bytes()
            .iter()
            .chain(b"\xed\xa0\x80")
            .copied()
            .collect::<Vec<_>>()
            .as_slice(),
        "2:7",
        Cause::Encoding,
    );
    check(
        "ää\u{85}b: c".as_bytes(),
        "1:3",
        Cause::Character {
            character: '\u{85}',
        },
    );
    check(
        "a: \u{2028}".as_bytes(),
        "1:4",
        Cause::Character {
            character: '\u{2028}',
        },
    );
    check(
        "a: \u{2029}".as_bytes(),
        "1:4",
        Cause::Character {
            character: '\u{2029}',
        },
    );
    check(b"a: b\rc: d", "1:5", Cause::Character { character: '\r' });
    check(
        b"a: b\r\nc: \x1b[31m",
        "2:4",
        Cause::Character {
            character: '\u{1b}',
        },
    );
    let empty = || Cause::Shape {
        expected: "keys with values, got an empty file",
    };
    check(b"", "1:1", empty());
    check(b"# only a comment\n", "2:1", empty());
    check(b"...\n", "2:1", empty());
    for text in [&b"~"[..], b"[]", b"text"] {
        check(
            text,
            "1:1",
            Cause::Shape {
                expected: "keys with values here",
            },
        );
    }
}

#[test]
fn bombs_are_refused_where_they_pass_the_limit() {
    let check = |text: String, place: &str, cause: Cause| {
        let error = Recipe::parse(text.as_bytes(), "demo").unwrap_err();
        assert_eq!(
            (error.place.to_string().as_str(), error.cause),
            (place, cause)
        );
    };
    let deep = || Cause::TooDeep { limit: 32 };
    check(format!("a: {}", "[".repeat(100_000)), "1:37", deep());
    check(format!("a: {}", "{a: ".repeat(100_000)), "1:128", deep());
    check("- ".repeat(100_000), "1:65", deep());
    let nested: String = (0..100).map(|depth| " ".repeat(depth) + "a:\n").collect();
    check(nested, "33:33", deep());
    check(
        format!("a: [{}]", "a,".repeat(200_000)),
        "1:199999",
        Cause::TooMany { limit: 100_000 },
    );
    let keys: String = (0..150_000).map(|n| format!("{n}:\n")).collect();
    let error = Recipe::parse(&keys.as_bytes()[..1024 * 1024], "demo").unwrap_err();
    assert_eq!(error.cause, Cause::TooMany { limit: 100_000 });
    let large = format!("summary: {}", "a".repeat(100 << 20));
    check(
        large,
        "1:1",
        Cause::TooLarge {
            limit: 1 << 20,
            actual: 9 + (100 << 20),
        },
    );
}
