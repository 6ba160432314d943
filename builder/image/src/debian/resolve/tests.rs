use kiln_model::Architecture;

use super::*;

mod exhaustive;

/// Writes an index: each package is `name version` and lines of fields, separated by `;`.
pub(super) fn index(packages: &[&str]) -> PackageIndex {
    let mut text = String::new();
    for package in packages {
        let mut parts = package.split(';').map(str::trim_ascii);
        let (name, version) = parts.next().unwrap().split_once(' ').unwrap();
        text.push_str(&format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\n\
             Filename: pool/{name}.deb\nSize: 1\nSHA256: {}\n",
            "0".repeat(64)
        ));
        for field in parts {
            text.push_str(field);
            text.push('\n');
        }
        text.push('\n');
    }
    PackageIndex::parse(&text, Architecture::X86_64).unwrap()
}

fn names(texts: &[&str]) -> Vec<DistributionPackage> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Returns what is added for `wanted`, as `name version`, over packages given the same way.
pub(super) fn solve(
    index: &PackageIndex,
    wanted: &[&str],
    installed: &[&str],
    essential: Essential,
) -> Result<Vec<String>, ResolveError> {
    let locked = |text: &&str| {
        let (name, version) = text.split_once(' ').unwrap();
        LockedPackage {
            name: name.parse().unwrap(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            source: name.to_owned(),
            source_version: version.to_owned(),
            path: format!("pool/{name}.deb"),
            size: 1,
            sha256: kiln_model::Digest::of(b""),
        }
    };
    let request = ResolveRequest {
        wanted: &names(wanted),
        installed: &installed.iter().map(locked).collect::<Vec<_>>(),
        essential,
    };
    let added = resolve(index, &request)?;
    Ok(added
        .iter()
        .map(|package| format!("{} {}", package.name, package.version))
        .collect())
}

fn check(packages: &[&str], wanted: &[&str], expected: &[&str]) {
    let actual = solve(&index(packages), wanted, &[], Essential::AlreadyThere);
    assert_eq!(
        actual.as_deref(),
        Ok(&expected.map_to_strings()[..]),
        "{packages:?}"
    );
    let backwards: Vec<_> = packages.iter().rev().copied().collect();
    let again = solve(&index(&backwards), wanted, &[], Essential::AlreadyThere);
    assert_eq!(again, actual, "the order of the index has no say");
}

trait MapToStrings {
    fn map_to_strings(&self) -> Vec<String>;
}

impl MapToStrings for &[&str] {
    fn map_to_strings(&self) -> Vec<String> {
        self.iter().map(|&text| text.to_owned()).collect()
    }
}

#[test]
fn dependencies_come_along_and_recommendations_do_not() {
    let packages = [
        "a 1; Depends: b (>= 1), c; Pre-Depends: d; Recommends: e; Suggests: f",
        "b 2",
        "c 1; Depends: a",
        "d 1",
        "e 1",
        "f 1",
    ];
    check(&packages, &["a"], &["a 1", "b 2", "c 1", "d 1"]);
    check(
        &packages,
        &["a", "a", "e"],
        &["a 1", "b 2", "c 1", "d 1", "e 1"],
    );
    check(&packages, &[], &[]);
}

#[test]
fn the_first_alternative_that_can_be_had_is_taken() {
    check(
        &["a 1; Depends: b | c", "b 1", "c 1"],
        &["a"],
        &["a 1", "b 1"],
    );
    check(&["a 1; Depends: b | c", "c 1"], &["a"], &["a 1", "c 1"]);
    check(
        &["a 1; Depends: b (>= 2) | c", "b 1", "c 1"],
        &["a"],
        &["a 1", "c 1"],
    );
    check(
        &["a 1; Depends: b | c", "b 1; Depends: x", "c 1"],
        &["a"],
        &["a 1", "c 1"],
    );
    check(
        &["a 1; Depends: b | c", "b 1", "c 1"],
        &["a", "c"],
        &["a 1", "c 1"],
    );
    check(
        &["a 1; Depends: b:i386 | c", "b 1", "c 1"],
        &["a"],
        &["a 1", "c 1"],
    );
}

#[test]
fn the_highest_version_that_fits_is_taken() {
    let two = ["a 1; Depends: b", "b 1.9", "b 1.10"];
    check(&two, &["a"], &["a 1", "b 1.10"]);
    check(
        &["a 1; Depends: b (<< 1.10)", "b 1.9", "b 1.10"],
        &["a"],
        &["a 1", "b 1.9"],
    );
    let blocked = ["a 1; Depends: b, c", "b 1", "b 2; Conflicts: c", "c 1"];
    check(&blocked, &["a"], &["a 1", "b 1", "c 1"]);
}

#[test]
fn providers_follow_the_real_package_then_priority_then_name() {
    let virtual_only = [
        "a 1; Depends: awk",
        "gawk 1; Provides: awk; Priority: optional",
        "mawk 1; Provides: awk; Priority: required",
        "busybox 1; Provides: awk; Priority: optional",
    ];
    check(&virtual_only, &["a"], &["a 1", "mawk 1"]);
    check(&virtual_only, &["a", "gawk"], &["a 1", "gawk 1"]);
    let equal = ["a 1; Depends: x", "z 1; Provides: x", "y 1; Provides: x"];
    check(&equal, &["a"], &["a 1", "y 1"]);
    let real = [
        "a 1; Depends: x",
        "b 1; Provides: x; Priority: required",
        "x 1",
    ];
    check(&real, &["a"], &["a 1", "x 1"]);
    let own = ["a 1; Depends: x; Provides: x", "b 1; Provides: x"];
    check(&own, &["a"], &["a 1"]);
}

#[test]
fn only_a_versioned_provision_meets_a_versioned_demand() {
    let packages = [
        "a 1; Depends: x (>= 2)",
        "b 9; Provides: x",
        "c 9; Provides: x (= 1)",
        "d 1; Provides: x (= 2)",
    ];
    check(&packages, &["a"], &["a 1", "d 1"]);
}

#[test]
fn any_asks_for_packages_that_allow_it() {
    let packages = ["a 1; Depends: p:any", "p 1; Multi-Arch: allowed"];
    check(&packages, &["a"], &["a 1", "p 1"]);
    let provided = [
        "a 1; Depends: x:any",
        "p 1; Provides: x",
        "q 1; Provides: x; Multi-Arch: allowed",
    ];
    check(&provided, &["a"], &["a 1", "q 1"]);
}

#[test]
fn conflicts_and_breaks_turn_the_choice() {
    let packages = ["a 1; Depends: b | c, d", "b 1; Conflicts: d", "c 1", "d 1"];
    check(&packages, &["a"], &["a 1", "c 1", "d 1"]);
    let breaks = ["a 1; Depends: b | c; Breaks: b (<< 2)", "b 1", "c 1"];
    check(&breaks, &["a"], &["a 1", "c 1"]);
    // The idiom of mail servers: a package that excludes all others of its kind, not itself.
    let agents = ["exim 1; Provides: mta; Conflicts: mta", "a 1; Depends: mta"];
    check(&agents, &["a"], &["a 1", "exim 1"]);
}

#[test]
fn essential_packages_come_when_asked_for() {
    let index = index(&[
        "a 1",
        "e 1; Essential: yes; Depends: f",
        "f 1",
        "g 1; Essential: no",
    ]);
    for (essential, expected) in [
        (Essential::Include, &["a 1", "e 1", "f 1"][..]),
        (Essential::AlreadyThere, &["a 1"][..]),
    ] {
        let actual = solve(&index, &["a"], &[], essential);
        assert_eq!(actual, Ok(expected.map_to_strings()));
    }
}

#[test]
fn what_is_there_stays_and_satisfies() {
    let packages = [
        "a 1; Depends: x, lib (>= 1), gone",
        "lib 2",
        "lib 1",
        "p 1; Provides: x; Depends: never",
        "q 1; Provides: x; Priority: required",
    ];
    for (installed, expected) in [
        // An older version that the index still has, and a provider.
        (&["lib 1", "p 1", "gone 7"][..], Ok(&["a 1"][..])),
        // A version that the index has no more counts by its name and version alone.
        (&["lib 1.5", "p 1", "gone 7"], Ok(&["a 1"])),
        (&["lib 1.5", "gone 7"], Ok(&["a 1", "q 1"])),
        (
            &["lib 0.5", "p 1", "gone 7"],
            Err("lib (>= 1) [already there: 0.5]"),
        ),
        (&["lib 1", "p 1"], Err("gone [not in the index]")),
        (
            &["lib 1", "p 2", "q 2", "gone 1"],
            Err("x [only provided by p, q]"),
        ),
    ] {
        let actual = solve(
            &index(&packages),
            &["a"],
            installed,
            Essential::AlreadyThere,
        );
        match (actual, expected) {
            (Ok(actual), Ok(expected)) => assert_eq!(actual, expected.map_to_strings()),
            (
                Err(ResolveError::Unsatisfiable {
                    package,
                    explanation,
                }),
                Err(part),
            ) => {
                assert_eq!(package.as_str(), "a");
                assert!(explanation.contains(part), "{explanation}");
            }
            (actual, expected) => panic!("{installed:?}: {actual:?}, expected {expected:?}"),
        }
    }
}

#[test]
fn what_is_there_excludes() {
    let packages = [
        "a 1; Depends: b | c",
        "b 1; Conflicts: old",
        "c 1",
        "new 1; Breaks: c",
    ];
    let index = index(&packages);
    let added = solve(&index, &["a"], &["old 1"], Essential::AlreadyThere);
    assert_eq!(added, Ok((&["a 1", "c 1"][..]).map_to_strings()));
    let added = solve(&index, &["a"], &["new 1"], Essential::AlreadyThere);
    assert_eq!(added, Ok((&["a 1", "b 1"][..]).map_to_strings()));
    let refused = solve(&index, &["a"], &["new 1", "old 1"], Essential::AlreadyThere);
    let Err(ResolveError::Unsatisfiable {
        package,
        explanation,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(package.as_str(), "a");
    assert!(explanation.contains("`new` excludes `c`"), "{explanation}");
    // Asking again for what is there adds nothing, even if the index has a higher version.
    let added = solve(
        &index,
        &["new", "a"],
        &["new 0", "a 0"],
        Essential::AlreadyThere,
    );
    assert_eq!(added, Ok(Vec::new()));
}

#[test]
fn unknown_and_virtual_names_are_refused_with_a_hint() {
    let index = index(&[
        "libssl-dev 1; Provides: ssl-dev",
        "libssl3 1",
        "gcc 1",
        "gcc-12 1",
    ]);
    let refuse =
        |name: &str| solve(&index, &["gcc", name], &[], Essential::AlreadyThere).unwrap_err();
    let unknown = |package: &str, near: &[&str]| ResolveError::Unknown {
        package: package.parse().unwrap(),
        near: near.map_to_strings(),
    };
    assert_eq!(refuse("libsl-dev"), unknown("libsl-dev", &["libssl-dev"]));
    assert_eq!(refuse("gccc"), unknown("gccc", &["gcc"]));
    assert_eq!(refuse("zzzzzz"), unknown("zzzzzz", &[]));
    assert_eq!(
        refuse("gccc").to_string(),
        "there is no package `gccc` in the index; near it are `gcc`"
    );
    let expected = ResolveError::Virtual {
        package: "ssl-dev".parse().unwrap(),
        providers: vec!["libssl-dev".to_owned()],
    };
    assert_eq!(refuse("ssl-dev"), expected);
}

#[test]
fn packages_that_exclude_each_other_are_named() {
    let packages = [
        "exim 1; Provides: mta; Conflicts: mta",
        "postfix 1; Provides: mta; Conflicts: mta",
        "gcc 1",
    ];
    let wanted = ["gcc", "postfix", "exim"];
    let refused = solve(&index(&packages), &wanted, &[], Essential::AlreadyThere).unwrap_err();
    let ResolveError::Exclusive {
        packages,
        explanation,
    } = &refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(*packages, names(&["exim", "postfix"]));
    assert!(explanation.contains("excludes `mta`"), "{explanation}");
    let message = refused.to_string();
    assert!(message.starts_with("the packages `exim`, `postfix` can not be had together:\n"));
}

#[test]
fn a_package_that_can_not_be_had_is_named_with_the_reason() {
    let packages = ["a 1; Depends: b", "b 1; Depends: c (>= 3)", "c 2", "d 1"];
    let refused = solve(&index(&packages), &["d", "a"], &[], Essential::AlreadyThere);
    let Err(ResolveError::Unsatisfiable {
        package,
        explanation,
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(package.as_str(), "a");
    assert!(
        explanation.contains("c (>= 3) [in the index: 2]"),
        "{explanation}"
    );
}

#[test]
fn a_broken_foundation_is_told_apart() {
    let packages = ["a 1", "e 1; Essential: yes; Depends: x"];
    let refused = solve(&index(&packages), &["a"], &[], Essential::Include);
    assert!(
        matches!(&refused, Err(ResolveError::Foundation { explanation })
            if explanation.contains("x [not in the index]")),
        "{refused:?}"
    );
    let index = index(&["a 1"]);
    assert_eq!(
        solve(&index, &["a"], &["b 1", "b 2"], Essential::AlreadyThere),
        Err(ResolveError::InstalledTwice {
            package: "b".parse().unwrap(),
            first: "1".to_owned(),
            second: "2".to_owned(),
        })
    );
    assert_eq!(
        solve(&index, &["a"], &["b _"], Essential::AlreadyThere),
        Err(ResolveError::InstalledVersion {
            package: "b".parse().unwrap(),
            source: VersionError {
                text: "_".to_owned()
            },
        })
    );
}

#[test]
fn distances_are_counted() {
    for (left, right, expected) in [("", "", 0), ("", "ab", 2), ("kitten", "sitting", 3)] {
        assert_eq!(distance(left.as_bytes(), right.as_bytes()), expected);
    }
}
