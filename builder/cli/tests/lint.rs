//! rpmlint reads the packages of `make rpms`, signed with a throwaway key where they are not: no errors, and no warning that neither the committed
//! configuration nor a recipe's `lint-allow` explains. Run by `make test-slow`.

#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use kiln_model::{Recipe, SourceDateEpoch};
use kiln_rpm::{RpmFile, SigningKey, signed_package};

fn root() -> PathBuf {
    fs_err::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")).unwrap()
}

/// The recipes with packages, by the source package's name.
fn recipes() -> BTreeMap<String, Recipe> {
    let mut recipes = BTreeMap::new();
    for entry in fs_err::read_dir(root().join("recipes")).unwrap() {
        let folder = entry.unwrap();
        let name = folder.file_name().into_string().unwrap();
        let Ok(bytes) = fs_err::read(folder.path().join("recipe.yaml")) else {
            continue;
        };
        let recipe = Recipe::parse(&bytes, &name).unwrap();
        recipes.insert(name, recipe);
    }
    recipes
}

/// One thing that rpmlint said: `curl-devel.x86_64: W: no-documentation`.
#[derive(Debug, PartialEq)]
struct Remark<'a> {
    package: &'a str,
    is_error: bool,
    name: &'a str,
    line: &'a str,
}

fn remark(line: &str) -> Option<Remark<'_>> {
    let (place, rest) = line.split_once(": ")?;
    let (kind, rest) = rest.split_once(": ")?;
    if !matches!(kind, "E" | "W") {
        return None;
    }
    let (package, _) = place.split_once(':').unwrap_or((place, ""));
    let package = package.rsplit_once('.').map_or(package, |(name, _)| name);
    Some(Remark {
        package,
        is_error: kind == "E",
        name: rest.split(' ').next()?,
        line,
    })
}

#[test]
fn a_remark_is_read() {
    let line = "libcurl-devel.x86_64: W: no-manual-page-for-binary curl-config";
    assert_eq!(
        remark(line),
        Some(Remark {
            package: "libcurl-devel",
            is_error: false,
            name: "no-manual-page-for-binary",
            line
        })
    );
    assert!(remark("x.x86_64: E: no-signature").unwrap().is_error);
    for other in ["rpmlint: 2.4.0", "", "checks: 26, packages: 5", "x: I: y"] {
        assert_eq!(remark(other), None);
    }
}

#[expect(clippy::disallowed_methods, reason = "the test asks the real rpmlint")]
fn rpmlint(packages: &[PathBuf]) -> String {
    let output = Command::new("/usr/bin/rpmlint")
        .arg("-c")
        .arg(root().join("builder/rpm/judges/rpmlint.toml"))
        .args(packages)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains(" specfiles checked"), "{output:?}");
    text
}

/// The RPMs in `out/`, source RPMs included.
fn packages() -> Vec<PathBuf> {
    let mut packages = Vec::new();
    for folder in ["out/rpms/x86_64", "out/rpms/noarch", "out/srpms"] {
        let Ok(entries) = fs_err::read_dir(root().join(folder)) else {
            continue;
        };
        let paths = entries.map(|entry| entry.unwrap().path());
        packages
            .extend(paths.filter(|path| path.extension().is_some_and(|suffix| suffix == "rpm")));
    }
    packages.sort();
    packages
}

/// Copies the packages, signed.
fn signed(packages: &[PathBuf], to: &Path) -> Vec<PathBuf> {
    let fixtures = root().join("builder/rpm/src/signing/fixtures");
    let read = |name: &str| fs_err::read(fixtures.join(name)).unwrap();
    let fingerprint = String::from_utf8(read("rsa.fingerprint")).unwrap();
    let key = SigningKey::open(
        &read("rsa.secret.asc"),
        None,
        &fingerprint.trim().parse().unwrap(),
        SourceDateEpoch::from_seconds(1_790_000_000),
    )
    .unwrap();
    let sign = |path: &PathBuf| {
        let bytes = fs_err::read(path).unwrap();
        let rpm = RpmFile::parse(&bytes).unwrap();
        let target = to.join(path.file_name().unwrap());
        let time = SourceDateEpoch::from_seconds(rpm.build_time().unwrap());
        let signature = key.sign(&bytes[rpm.header_range()], time).unwrap();
        fs_err::write(&target, signed_package(&bytes, &signature).unwrap()).unwrap();
        target
    };
    packages.iter().map(sign).collect()
}

#[test]
fn slow_rpmlint_finds_nothing_that_is_not_explained() {
    let packages = packages();
    if packages.is_empty() {
        eprintln!("skipped: no RPMs; run `make rpms` first");
        return;
    }
    if !Path::new("/usr/bin/rpmlint").exists() {
        eprintln!("skipped: this host has no rpmlint");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // Of several source packages at a time, rpmlint mixes up the specs.
    let (sources, others): (Vec<PathBuf>, Vec<PathBuf>) = signed(&packages, folder.path())
        .into_iter()
        .partition(|path| path.to_string_lossy().ends_with(".src.rpm"));
    let mut text = rpmlint(&others);
    for source in sources {
        text.push_str(&rpmlint(&[source]));
    }
    let recipes = recipes();
    let mut unused: Vec<(&str, &str)> = Vec::new();
    let mut unexplained: Vec<&str> = Vec::new();
    let remarks: Vec<Remark<'_>> = text.lines().filter_map(remark).collect();
    let exceptions = || recipes.values().flat_map(|recipe| &recipe.lint_allow);
    for remark in &remarks {
        let is_explained = exceptions().any(|item| item.explains(remark.package, remark.name));
        if remark.is_error || !is_explained {
            unexplained.push(remark.line);
        }
    }
    for (name, recipe) in &recipes {
        for item in &recipe.lint_allow {
            let is_used = remarks
                .iter()
                .any(|remark| item.explains(remark.package, remark.name));
            if !is_used {
                unused.push((name, item.warning.as_str()));
            }
        }
    }
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
    assert!(unused.is_empty(), "allowed, but not said: {unused:?}");
}
