//! Dependencies that are good, and every way in which one is not. `kiln-rpm` asks rpm about the same tables.

use proptest::prelude::*;

use super::DependencyKind::{
    Conflicts, Enhances, Obsoletes, Provides, Recommends, Requires, Suggests, Supplements,
};
use super::*;

fn check_good(kind: DependencyKind, texts: &[&str]) {
    for text in texts {
        let parsed = Dependency::parse(text, kind).unwrap_or_else(|error| {
            panic!("{}: {text}: {error}", kind.key());
        });
        assert_eq!(parsed.as_str(), *text);
        assert_eq!(parsed.resolve(ToString::to_string), *text);
    }
}

fn check_bad(kind: DependencyKind, text: &str, expected: DependencyError) {
    assert_eq!(Dependency::parse(text, kind), Err(expected), "{text}");
}

#[test]
fn what_rpm_takes_is_taken() {
    check_good(
        Requires,
        &[
            "zlib",
            "/bin/sh",
            "/usr/bin/[",
            "pkgconfig(zlib) >= 1.2",
            "a = 1:2-3",
            "a < 1.0~rc1^git2",
            "libz.so.1(ZLIB_1.2.9)(64bit)",
            "perl(A::B)",
        ],
    );
    check_good(
        Requires,
        &[
            "(a if b)",
            "(a if b else c)",
            "(a or b or c)",
            "(a and b and c)",
            "(a >= 1 with a < 2)",
            "(a without b)",
            "((a if b) and c)",
            "(a if (b or c))",
            "(a if (b unless c))",
            "(a or (b unless c))",
            "((a or b) with (c or d))",
            "(libz.so.1()(64bit) or zlib >= 1.2)",
            "(a)",
        ],
    );
    for kind in [Recommends, Suggests] {
        check_good(kind, &["a", "(a if b)"]);
    }
    for kind in [Conflicts, Supplements, Enhances] {
        check_good(kind, &["a > 1", "(a unless b)", "((a if b) and c)"]);
    }
    check_good(Provides, &["a", "a = 1.0", "/usr/bin/a", "bundled(a) = 1"]);
    check_good(Obsoletes, &["a < 2", "a <= 1:2-3", "a = 1"]);
}

#[test]
fn own_packages_are_resolved_wherever_they_stand() {
    let evr = |own: &PackageName| format!("{own} = 1.0-2");
    for (text, own, expected) in [
        ("=a", vec!["a"], "a = 1.0-2"),
        ("= a", vec!["a"], "a = 1.0-2"),
        ("(=a if b)", vec!["a"], "(a = 1.0-2 if b)"),
        (
            "((=a and b >= 1) or =c)",
            vec!["a", "c"],
            "((a = 1.0-2 and b >= 1) or c = 1.0-2)",
        ),
    ] {
        let parsed = Dependency::parse(text, Requires).unwrap();
        let found: Vec<&str> = parsed.own().into_iter().map(PackageName::as_str).collect();
        assert_eq!(found, own);
        assert_eq!(parsed.resolve(evr), expected);
        assert_eq!(parsed.own_alone().is_some(), text.starts_with('='));
        assert_eq!(serde_json::to_value(&parsed).unwrap(), text);
    }
}

#[test]
fn plain_dependencies_that_nobody_means_are_refused() {
    use DependencyError as E;
    let text = |text: &str| text.to_owned();
    let character = |name: &str, character| E::NameCharacter {
        name: name.to_owned(),
        character,
    };
    for (input, expected) in [
        ("", E::Empty),
        ("-a", E::NameStart { text: text("-a") }),
        ("a>=1", character("a>=1", '>')),
        ("a,b", character("a,b", ',')),
        (
            "%{name}",
            E::NameStart {
                text: text("%{name}"),
            },
        ),
        ("a%{?_isa}", character("a%{?_isa}", '%')),
        ("é", E::NameStart { text: text("é") }),
        ("a b", E::More { rest: text("b") }),
        ("a = 1 b", E::More { rest: text("b") }),
        ("a(b", E::Unclosed),
        ("a)", E::More { rest: text(")") }),
        ("a == 1", E::Sign { text: text("==") }),
        ("a => 1", E::Sign { text: text("=>") }),
        ("a =1", E::Sign { text: text("=1") }),
        (
            "a >=",
            E::NoVersion {
                name: text("a"),
                sign: ">=",
            },
        ),
        (
            "a = 1-2-3",
            E::Version {
                version: text("1-2-3"),
            },
        ),
        (
            "a = x:1",
            E::Version {
                version: text("x:1"),
            },
        ),
        (
            "/bin/sh = 1",
            E::VersionedPath {
                path: text("/bin/sh"),
            },
        ),
        ("=", E::OwnName { text: text("") }),
        ("=a b", E::OwnName { text: text("a b") }),
    ] {
        check_bad(Requires, input, expected);
    }
}

#[test]
fn rich_dependencies_that_are_none_are_refused() {
    use DependencyError as E;
    use RichOperator::{And, If, Or, Without};
    let operator = |word: &str, nearest: Option<&str>| E::Operator {
        word: word.to_owned(),
        nearest: nearest.map(str::to_owned),
    };
    for (input, expected) in [
        ("()", E::EmptyRich),
        ("(a", E::Unclosed),
        ("((a or b)", E::Unclosed),
        (
            "(a or b))",
            E::More {
                rest: ")".to_owned(),
            },
        ),
        (
            "(a or b) c",
            E::More {
                rest: "c".to_owned(),
            },
        ),
        ("(a b)", operator("b", None)),
        ("(a IF b)", operator("IF", Some("if"))),
        ("(a whit b)", operator("whit", Some("with"))),
        ("(a or)", E::NoOperand { operator: Or }),
        (
            "(a or b and c)",
            E::Mixed {
                first: Or,
                second: And,
            },
        ),
        ("(a if b if c)", E::Repeated { operator: If }),
        ("(a without b without c)", E::Repeated { operator: Without }),
        ("(a else b)", E::LoneElse),
        (
            "(a or -b)",
            E::NameStart {
                text: "-b".to_owned(),
            },
        ),
    ] {
        check_bad(Requires, input, expected);
    }
}

#[test]
fn rich_dependencies_that_mean_something_else_are_refused() {
    use DependencyError as E;
    use RichOperator::{And, If, Or, Unless};
    for (input, expected) in [
        (
            "(c or (a if b))",
            E::Context {
                operator: If,
                instead: And,
            },
        ),
        (
            "(a unless b)",
            E::Context {
                operator: Unless,
                instead: Or,
            },
        ),
        (
            "(a if b else (c unless d))",
            E::Context {
                operator: Unless,
                instead: Or,
            },
        ),
        (
            "(a if (b or (c if d)))",
            E::Context {
                operator: If,
                instead: And,
            },
        ),
        ("((a and b) with c)", E::NotOnePackage { operator: And }),
        (
            "(a with (b or (c and d)))",
            E::NotOnePackage { operator: And },
        ),
    ] {
        check_bad(Requires, input, expected);
    }
    check_bad(
        Supplements,
        "(a if b)",
        E::Context {
            operator: If,
            instead: And,
        },
    );
    let deep = format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000));
    check_bad(Requires, &deep, E::TooDeep { limit: 16 });
}

#[test]
fn each_key_has_its_own_rules() {
    use DependencyError as E;
    let name = || "a".to_owned();
    for (kind, text, expected) in [
        (Provides, "(a or b)", E::RichNotHere { key: "provides" }),
        (Obsoletes, "(a or b)", E::RichNotHere { key: "obsoletes" }),
        (Provides, "=a", E::OwnNotHere { key: "provides" }),
        (Obsoletes, "=a", E::OwnNotHere { key: "obsoletes" }),
        (Provides, "a >= 1", E::ProvidesRange { sign: ">=" }),
        (Obsoletes, "a", E::ObsoletesRange { name: name() }),
        (Obsoletes, "a >= 1", E::ObsoletesRange { name: name() }),
        (
            Obsoletes,
            "/bin/a",
            E::ObsoletesName {
                name: "/bin/a".to_owned(),
            },
        ),
    ] {
        check_bad(kind, text, expected);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "[ab()=<> 1.,-]{0,24}|[\\PC]{0,24}|(\\(| |a|if|or|else|\\)){0,16}") {
        for kind in [Requires, Provides, Obsoletes, Supplements] {
            if let Ok(parsed) = Dependency::parse(&text, kind) {
                // What it prints is the same dependency.
                let printed = parsed.resolve(|own| format!("{own} = 1"));
                let again = Dependency::parse(&printed, kind).unwrap();
                prop_assert_eq!(again.resolve(ToString::to_string), printed);
            }
        }
    }
}
