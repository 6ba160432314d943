//! The keys of packages and of the changelog: what they mean, and each mistake with its place.

use super::*;
use crate::capability::CapabilityError;
use crate::dependency::{DependencyError, DependencyKind};
use crate::evr::{Evr, EvrError};
use crate::recipe::package::{GhostKind, ModeError, PackageArchitecture};

/// Parses the good recipe with these lines after its package's name.
fn with(lines: &str) -> Result<Recipe, YamlError> {
    let text = GOOD.replacen("    files: [/usr/bin/demo]\n", lines, 1);
    assert!(text.contains(lines));
    Recipe::parse(text.as_bytes(), "demo")
}

/// Expects this cause for the lines after the package's name, the first of which is line 21.
fn check(lines: &str, line: u64, column: u64, cause: impl Into<Cause>) {
    let expected = YamlError {
        cause: cause.into(),
        place: Place { line, column },
    };
    assert_eq!(with(lines), Err(expected), "{lines}");
}

#[test]
fn a_package_is_what_its_keys_say() {
    let recipe = with(
        "    noarch: true\n    requires: [\"=demo\", (a if b)]\n    suggests: [c]\n    supplements: [d]\n    \
         enhances: [e]\n    files: [/usr/share/demo/**, \"!/usr/share/demo/x\"]\n    \
         config: [/etc/demo.conf]\n    config-replaced: [/etc/demo.d/*]\n    docs: [/usr/share/demo/README]\n    \
         directories: [/var/lib/demo]\n    ghost:\n      - {path: /var/lib/demo/state}\n      \
         - {path: /run/demo, kind: directory, mode: \"0700\", owner: demo, group: daemon}\n    \
         attributes:\n      - {files: /usr/share/demo/run, mode: \"4755\", owner: demo, \
         capabilities: cap_net_raw=ep}\n",
    )
    .unwrap();
    let package = &recipe.packages[0];
    assert_eq!(package.architecture, PackageArchitecture::Noarch);
    let said: Vec<String> = package
        .dependencies()
        .map(|(kind, text)| format!("{} {text}", kind.key()))
        .collect();
    assert_eq!(
        said,
        [
            "requires =demo",
            "requires (a if b)",
            "suggests c",
            "supplements d",
            "enhances e"
        ]
    );
    assert!(package.files.takes("/usr/share/demo/y").is_some());
    assert!(package.files.takes("/usr/share/demo/x").is_none());
    assert!(package.config.takes("/etc/demo.conf").is_some());
    assert!(package.config_replaced.takes("/etc/demo.d/a").is_some());
    assert!(package.docs.takes("/usr/share/demo/README").is_some());
    assert_eq!(package.directories[0].as_str(), "/var/lib/demo");
    let [state, run] = package.ghost.as_slice() else {
        panic!("{:?}", package.ghost)
    };
    assert_eq!((state.kind, state.mode.bits()), (GhostKind::File, 0o644));
    assert_eq!((run.kind, run.mode.bits()), (GhostKind::Directory, 0o700));
    assert_eq!(run.owner.as_ref().unwrap().as_str(), "demo");
    let attributes = &package.attributes[0];
    assert_eq!(attributes.mode.unwrap().bits(), 0o4755);
    assert_eq!(
        attributes.capabilities.as_ref().unwrap().as_str(),
        "cap_net_raw=ep"
    );
}

#[test]
fn a_package_without_files_needs_others() {
    let recipe = with("    requires: [a]\n").unwrap();
    assert!(recipe.packages[0].files.is_empty());
    assert!(with("    files: []\n    recommends: [a]\n").is_ok());
    assert!(with("    ghost: [{path: /run/demo.pid}]\n").is_ok());
    let nothing = Cause::Empty {
        what: "files or requires",
    };
    check("    provides: [a]\n", 20, 11, nothing.clone());
    check("    files: []\n", 20, 11, nothing);
}

#[test]
fn mistakes_in_dependencies_are_named_with_their_place() {
    let unclosed = DependencyError::Unclosed;
    check("    requires: [a, (b or c]\n", 21, 19, unclosed.clone());
    for kind in [
        "conflicts",
        "recommends",
        "suggests",
        "supplements",
        "enhances",
    ] {
        let column = 8 + kind.len() as u64;
        check(
            &format!("    files: [/a]\n    {kind}: [(b]\n"),
            22,
            column,
            unclosed.clone(),
        );
    }
    check(
        "    files: [/a]\n    provides:\n      - a > 1\n",
        23,
        9,
        DependencyError::ProvidesRange { sign: ">" },
    );
    check(
        "    files: [/a]\n    obsoletes: [a]\n",
        22,
        17,
        DependencyError::ObsoletesRange { name: "a".into() },
    );
    assert_eq!(DependencyKind::Requires.key(), "requires");
}

#[test]
fn mistakes_in_files_are_named_with_their_place() {
    check(
        "    files: [\"!/usr/bin/demo\"]\n",
        21,
        13,
        Cause::NothingBefore {
            pattern: "!/usr/bin/demo".into(),
        },
    );
    check(
        "    files: [/a, \"!b\"]\n",
        21,
        17,
        crate::path::PathError::NotAbsolute("b".into()),
    );
    check(
        "    config: [etc/demo.conf]\n",
        21,
        14,
        crate::path::PathError::NotAbsolute("etc/demo.conf".into()),
    );
    let mode = |text: &str| ModeError { text: text.into() };
    let attributes =
        |rest: &str| format!("    files: [/a]\n    attributes: [{{files: /a, {rest}}}]\n");
    check(&attributes("mode: 0750"), 22, 36, mode("0750"));
    check(&attributes("mode: \"0855\""), 22, 36, mode("0855"));
    check(&attributes("mode: \"u+x\""), 22, 36, mode("u+x"));
    check(
        &attributes("capabilities: cap_net_rw=ep"),
        22,
        44,
        CapabilityError::Unknown {
            name: "cap_net_rw".into(),
            nearest: Some("cap_net_raw".into()),
        },
    );
    check(
        &attributes("owner: Demo"),
        22,
        37,
        NameError {
            expected: "a user or group name of at most 31 lower-case letters, digits, `-`, `_`",
            text: "Demo".into(),
        },
    );
    check(
        "    files: [/a]\n    attributes: [{files: /a}]\n",
        22,
        26,
        Cause::Empty {
            what: "mode, owner, group or capabilities",
        },
    );
    check(
        "    ghost: [{path: /run/a}, {path: /run/a, kind: directory}]\n",
        21,
        36,
        Cause::Twice {
            what: "ghost",
            name: "/run/a".into(),
        },
    );
    for word in ["yes", "\"true\"", "1", "True"] {
        let lines = format!("    noarch: {word}\n    files: [/a]\n");
        let error = with(&lines).unwrap_err();
        assert_eq!(error.place.to_string(), "21:13", "{word}: {error}");
        let is_shape = matches!(&error.cause, Cause::Shape { .. });
        assert!(is_shape, "{word}: {error:?}");
    }
}

/// Parses the good recipe with this changelog.
fn changelog(entries: &[(&str, Option<&str>)]) -> Result<Recipe, YamlError> {
    let mut text = format!("{GOOD}changelog:\n");
    for (date, version) in entries {
        let version = version.map_or_else(String::new, |version| format!("version: {version}, "));
        text.push_str(&format!(
            "  - {{date: {date}, {version}author: Me <me@example.org>, changes: [x]}}\n"
        ));
    }
    Recipe::parse(text.as_bytes(), "demo")
}

#[test]
fn a_changelog_goes_back_in_versions_and_days() {
    let evr = |text: &str| Box::new(text.parse::<Evr>().unwrap());
    let recipe = changelog(&[
        ("2024-01-03", None),
        ("2024-01-03", Some("1.9-2")),
        ("2024-01-02", Some("1.9-1")),
        ("2024-01-01", Some("1.9~rc1-7")),
    ])
    .unwrap();
    let versions: Vec<String> = recipe
        .changelog
        .iter()
        .map(|e| e.version.to_string())
        .collect();
    assert_eq!(versions, ["1.10-1", "1.9-2", "1.9-1", "1.9~rc1-7"]);
    assert!(changelog(&[("2024-01-03", Some("1.10-1"))]).is_ok());

    let check = |entries: &[(&str, Option<&str>)], line, column, cause: Cause| {
        let place = Place { line, column };
        assert_eq!(
            changelog(entries),
            Err(YamlError { cause, place }),
            "{entries:?}"
        );
    };
    check(
        &[("2024-01-03", Some("1.11-1"))],
        23,
        33,
        Cause::ChangelogNewest {
            expected: evr("1.10-1"),
            actual: evr("1.11-1"),
        },
    );
    // By text 1.9 comes after 1.10; and `^` after a release, `~` before it.
    for later in ["1.10-1", "1.10.1-1", "1.10^git1-1", "1:1.0-1", "0:1.10-1"] {
        check(
            &[("2024-01-03", None), ("2024-01-02", Some(later))],
            24,
            33,
            Cause::ChangelogOrder {
                before: evr("1.10-1"),
                version: evr(later),
            },
        );
    }
    check(
        &[("2024-01-03", None), ("2024-01-04", Some("1.9-1"))],
        24,
        12,
        Cause::ChangelogDate {
            before: "2024-01-03".parse().unwrap(),
            date: "2024-01-04".parse().unwrap(),
        },
    );
    check(
        &[("2024-01-03", None), ("2024-01-02", None)],
        24,
        12,
        Cause::Needed {
            key: "version",
            beside: "a newer entry",
        },
    );
    check(
        &[("2024-01-03", Some("1.10"))],
        23,
        33,
        Cause::Evr(EvrError {
            text: "1.10".into(),
        }),
    );
}

#[test]
fn an_epoch_counts_before_the_version() {
    let text = GOOD.replacen("release: 1\n", "release: 1\nepoch: 1\n", 1);
    let text = format!(
        "{text}changelog:\n  - {{date: 2024-01-03, author: Me, changes: [x]}}\n  \
         - {{date: 2024-01-02, version: 2.0-1, author: Me, changes: [x]}}\n"
    );
    let recipe = Recipe::parse(text.as_bytes(), "demo").unwrap();
    assert_eq!(recipe.changelog[0].version.to_string(), "1:1.10-1");
}
