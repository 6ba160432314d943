use super::*;

const GCC: &str = "\
Package: gcc
Source: gcc-defaults (1.203)
Version: 4:12.2.0-3
Architecture: amd64
Pre-Depends: dpkg
Depends: cpp (= 4:12.2.0-3), gcc-12 (>= 12.2.0-1~) | tcc
Conflicts: gcc-doc (<< 1:2.95.3)
Breaks: old
Provides: c-compiler, gcc-x86-64-linux-gnu (= 4:12.2.0-3)
Multi-Arch: allowed
Essential: yes
Priority: important
Filename: pool/main/g/gcc-defaults/gcc_12.2.0-3_amd64.deb
Size: 5216
SHA256: 96a2b2d2c0d6b0f9e0c1c1b5a2a6f4c1f5e7b8c9d0a1b2c3d4e5f60718293a4b
Description: GNU C compiler
 This is the GNU C compiler.
";

fn parse(text: &str) -> Result<PackageIndex, IndexError> {
    PackageIndex::parse(text, Architecture::X86_64)
}

/// Returns the stanza with one field's line replaced, or left out if `line` is empty.
fn gcc_with(field: &str, line: &str) -> String {
    let is_field = |text: &str| text.starts_with(&format!("{field}:"));
    let lines = GCC
        .split_inclusive('\n')
        .map(|text| if is_field(text) { line } else { text });
    lines.collect()
}

#[test]
fn a_stanza_becomes_a_package() {
    let index = parse(GCC).unwrap();
    let package = &index.packages()[0];
    assert_eq!(
        package.locked,
        LockedPackage {
            name: "gcc".parse().unwrap(),
            version: "4:12.2.0-3".to_owned(),
            architecture: "amd64".to_owned(),
            source: "gcc-defaults".to_owned(),
            source_version: "1.203".to_owned(),
            path: "pool/main/g/gcc-defaults/gcc_12.2.0-3_amd64.deb".to_owned(),
            size: 5216,
            sha256: "sha256:96a2b2d2c0d6b0f9e0c1c1b5a2a6f4c1f5e7b8c9d0a1b2c3d4e5f60718293a4b"
                .parse()
                .unwrap(),
        }
    );
    let shown = |relations: &[Relation]| relations.iter().map(Relation::to_string).collect();
    let depends: Vec<Vec<String>> = package.depends.iter().map(|clause| shown(clause)).collect();
    let expected: [&[&str]; 3] = [
        &["dpkg"],
        &["cpp (= 4:12.2.0-3)"],
        &["gcc-12 (>= 12.2.0-1~)", "tcc"],
    ];
    assert_eq!(depends, expected);
    let conflicts: Vec<String> = shown(&package.conflicts);
    assert_eq!(conflicts, ["gcc-doc (<< 1:2.95.3)", "old"]);
    assert_eq!(package.presence, Presence::Essential);
    assert_eq!(package.multi_arch, MultiArch::Allowed);
    assert_eq!(package.priority, Priority::Important);
    assert_eq!(index.providers("c-compiler"), [0]);
    let provided = &package.provides[1];
    assert_eq!(
        provided.version.as_ref().map(DebianVersion::as_str),
        Some("4:12.2.0-3")
    );
}

#[test]
fn an_absent_source_is_the_package_itself() {
    for (line, source, version) in [
        ("", "gcc", "4:12.2.0-3"),
        ("Source: defaults\n", "defaults", "4:12.2.0-3"),
        ("Source: defaults (1)\n", "defaults", "1"),
    ] {
        let index = parse(&gcc_with("Source", line)).unwrap();
        let locked = index.versions("gcc").next().unwrap();
        assert_eq!(
            (locked.source.as_str(), locked.source_version.as_str()),
            (source, version)
        );
    }
}

#[test]
fn other_architectures_are_passed_over_and_versions_go_down() {
    let variant = |version: &str, architecture: &str| {
        gcc_with("Version", &format!("Version: {version}\n")).replace(
            "Architecture: amd64",
            &format!("Architecture: {architecture}"),
        )
    };
    let stanzas = [
        variant("1.9", "all"),
        variant("3", "i386"),
        variant("1.10", "amd64"),
        variant("1:0", "all"),
        variant("1.10", "amd64"),
    ];
    let index = parse(&stanzas.join("\n")).unwrap();
    let versions: Vec<_> = index
        .versions("gcc")
        .map(|locked| locked.version.as_str())
        .collect();
    assert_eq!(versions, ["1:0", "1.10", "1.9"]);
    assert_eq!(index.len(), 3);
    assert_eq!(index.versions("c-compiler").count(), 0);
}

fn value(line: usize, field: &'static str, expected: &'static str, actual: &str) -> IndexError {
    IndexError::Value {
        line,
        package: "gcc".to_owned(),
        field,
        expected,
        actual: actual.to_owned(),
    }
}

#[test]
fn a_damaged_field_is_named_with_line_and_package() {
    const PATH: &str = "a plain path below the archive's root";
    const DIGEST: &str = "64 lower-case hexadecimal digits";
    const SOURCE: &str = "`name` or `name (version)`";
    const PROVIDES: &str = "only names and `name (= version)`";
    for (field, line, expected, actual) in [
        ("Version", 3, "a Debian version", "1_2"),
        ("Source", 2, SOURCE, "x (1"),
        ("Source", 2, SOURCE, "../x"),
        ("Provides", 9, PROVIDES, "x (>= 1)"),
        ("Size", 14, "a number of bytes", "-1"),
        ("SHA256", 15, DIGEST, "ABCD"),
        ("Filename", 13, PATH, "/etc/passwd"),
        ("Filename", 13, PATH, "pool/../x"),
        ("Filename", 13, PATH, "a?b"),
        ("Filename", 13, PATH, "pool/a\n b"),
    ] {
        let text = gcc_with(field, &format!("{field}: {actual}\n"));
        let expected = value(line, field, expected, actual);
        assert_eq!(parse(&text).unwrap_err(), expected);
    }
}

#[test]
fn a_damaged_stanza_is_named_with_line_and_package() {
    for field in ["Version", "Architecture", "Filename", "Size", "SHA256"] {
        let expected = IndexError::Missing {
            line: 3,
            package: "gcc".to_owned(),
            field,
        };
        let text = format!("\n\n{}", gcc_with(field, ""));
        assert_eq!(parse(&text).unwrap_err(), expected);
    }
    let expected = IndexError::Missing {
        line: 1,
        package: String::new(),
        field: "Package",
    };
    assert_eq!(parse(&gcc_with("Package", "")).unwrap_err(), expected);
    assert_eq!(
        parse(&gcc_with("Depends", "Depends: cpp (\n")).unwrap_err(),
        IndexError::Relation {
            line: 6,
            package: "gcc".to_owned(),
            field: "Depends",
            source: RelationError::Syntax {
                expected: "`)`",
                text: "cpp (".to_owned()
            },
        }
    );
    assert_eq!(
        parse("Package: gcc\nnonsense\n").unwrap_err(),
        IndexError::Stanza(StanzaError::Line {
            line: 2,
            text: "nonsense".to_owned()
        })
    );
}

#[test]
fn one_package_is_not_two_files() {
    let other = gcc_with("Size", "Size: 1\n");
    assert_eq!(
        parse(&format!("{GCC}\n{other}")).unwrap_err(),
        IndexError::Ambiguous {
            package: "gcc".to_owned(),
            version: "4:12.2.0-3".to_owned()
        }
    );
    assert_eq!(parse(&format!("{GCC}\n{GCC}")).unwrap().len(), 1);
    assert!(parse("").unwrap().is_empty());
}
