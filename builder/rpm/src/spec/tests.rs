//! What the spec writer refuses, and what it writes.

use kiln_model::recipe::FileMode;
use kiln_model::{Architecture, SourceDateEpoch};

use super::*;

fn package(name: &str, architecture: PackageArchitecture) -> PackageInput {
    PackageInput {
        name: name.parse().unwrap(),
        summary: format!("Part {name}"),
        description: format!("All of {name}."),
        architecture,
        files: vec![FileLine::new(
            format!("/usr/share/{name}").parse().unwrap(),
            FileKind::File,
        )],
        requires: vec![],
        provides: vec![],
        conflicts: vec![],
        obsoletes: vec![],
        recommends: vec![],
        suggests: vec![],
        supplements: vec![],
        enhances: vec![],
        bundled: vec![],
        scriptlets: vec![],
        ordering: vec![],
    }
}

fn input() -> SpecInput {
    SpecInput {
        name: "demo".parse().unwrap(),
        epoch: Some(1),
        version: "1.0".parse().unwrap(),
        release: "2".parse().unwrap(),
        summary: "Demo".to_owned(),
        description: "Demo.".to_owned(),
        license: "MIT".to_owned(),
        url: None,
        vendor: "Kiln tests".to_owned(),
        packager: None,
        source_date: SourceDateEpoch::from_seconds(86_400),
        changelog: vec![],
        packages: vec![
            package("demo", PackageArchitecture::Native),
            package("demo-data", PackageArchitecture::Noarch),
        ],
        private: None,
        debug_information: DebugInformation::Split,
        debug_files: DebugFiles::default(),
        without_build_id: Vec::new(),
        source: SourcePackage::empty(),
    }
}

fn check(change: impl FnOnce(&mut SpecInput), expected: SpecError) {
    let mut input = input();
    change(&mut input);
    assert_eq!(write_spec(&input), Err(expected));
}

fn scriptlet(body: &str) -> Scriptlet {
    Scriptlet {
        when: ScriptletTime::AfterInstall,
        body: body.to_owned(),
    }
}

fn changelog(date: &str) -> ChangelogEntry {
    ChangelogEntry {
        date: date.parse().unwrap(),
        author: "Ada".to_owned(),
        version_release: "1.0-1".to_owned(),
        lines: vec!["%files".to_owned()],
    }
}

#[test]
fn text_that_rpm_would_misread_is_refused() {
    let character = |field: &str, character| SpecError::Character {
        field: field.to_owned(),
        character,
    };
    check(
        |input| input.packages[0].summary = "a\nRequires: b".to_owned(),
        character("summary of demo", '\n'),
    );
    check(
        |input| input.vendor = "a\u{202e}b".to_owned(),
        character("vendor", '\u{202e}'),
    );
    check(
        |input| input.license = " ".to_owned(),
        SpecError::Empty {
            field: "license".to_owned(),
        },
    );
    for line in ["%files", "  %if 1", "%%install", "# note"] {
        check(
            |input| input.packages[1].description = format!("text\n{line}\n"),
            SpecError::LineStart {
                field: "description of demo-data".to_owned(),
                line: line.to_owned(),
            },
        );
    }
    check(
        |input| {
            input.packages[0]
                .scriptlets
                .push(scriptlet("# fine\n%preun\n"))
        },
        SpecError::LineStart {
            field: "%post scriptlet of demo".to_owned(),
            line: "%preun".to_owned(),
        },
    );
    check(
        |input| input.packages[0].scriptlets.push(scriptlet("a\0b")),
        character("%post scriptlet of demo", '\0'),
    );
}

#[test]
fn packages_that_rpm_would_mix_up_are_refused() {
    check(|input| input.packages.clear(), SpecError::NoPackages);
    for name in ["demo-data", "demo-debuginfo", "demo-debugsource"] {
        check(
            |input| {
                input
                    .packages
                    .push(package(name, PackageArchitecture::Native))
            },
            SpecError::DuplicatePackage {
                package: name.parse().unwrap(),
            },
        );
    }
    check(
        |input| {
            let file = input.packages[0].files[0].clone();
            input.packages[0].files.push(file);
        },
        SpecError::DuplicateFile {
            package: "demo".parse().unwrap(),
            path: "/usr/share/demo".parse().unwrap(),
        },
    );
    check(
        |input| {
            input.packages[0].architecture = PackageArchitecture::Noarch;
            input.packages[1].architecture = PackageArchitecture::Native;
        },
        SpecError::MainNoarch {
            main: "demo".parse().unwrap(),
            native: "demo-data".parse().unwrap(),
        },
    );
    check(
        |input| input.packages[0].architecture = PackageArchitecture::Noarch,
        SpecError::DebugNoarch,
    );
}

#[test]
fn a_changelog_is_ordered_and_a_filter_spelled() {
    check(
        |input| input.changelog = vec![changelog("2023-01-01"), changelog("2023-01-02")],
        SpecError::ChangelogOrder {
            older: "2023-01-01".to_owned(),
            newer: "2023-01-02".to_owned(),
        },
    );
    check(
        |input| {
            input.private = Some(PrivateFiles {
                prefix: "/usr/lib/demo".parse().unwrap(),
                sonames: vec!["lib$x.so".to_owned()],
            });
        },
        SpecError::Filter {
            field: "soname",
            text: "lib$x.so".to_owned(),
        },
    );
}

#[test]
fn every_percent_sign_of_a_text_is_doubled() {
    let mut input = input();
    input.url = Some("https://example.org/%20".to_owned());
    input.changelog = vec![changelog("2023-01-01")];
    input.packages[0].summary = "100% %{name} %(id)".to_owned();
    input.packages[0].description = "a %{name}".to_owned();
    input.packages[0].scriptlets.push(scriptlet("echo %{name}"));
    input.packages[0].files = vec![FileLine::new(
        "/a %{b}'c".replace(['{', '}'], "").parse().unwrap(),
        FileKind::Ghost,
    )];
    let spec = write_spec(&input).unwrap();
    for line in [
        "URL: https://example.org/%%20",
        "Summary: 100%% %%{name} %%(id)",
        "a %%{name}",
        "echo %%{name}",
        "- %%files",
        "%ghost \"/a %%b'c\"",
    ] {
        assert!(spec.lines().any(|actual| actual == line), "{line}");
    }
    assert!(spec.contains(r#"test -e "%{buildroot}"'/a %%b'\''c'"#));
}

#[test]
fn attributes_and_filters_are_written_in_full() {
    let mut input = input();
    let file = &mut input.packages[0].files[0];
    file.kind = FileKind::Config;
    file.mode = FileMode::new(0o640);
    file.owner = Some(FileOwner {
        user: "demo".to_owned(),
        group: "daemon".to_owned(),
    });
    file.capabilities = Some("cap_net_bind_service=ep".to_owned());
    input.private = Some(PrivateFiles {
        prefix: "/usr/lib/demo-1.0".parse().unwrap(),
        sonames: vec!["libstdc++.so.6".to_owned(), "liba.so.1".to_owned()],
    });
    let spec = write_spec(&input).unwrap();
    for line in [
        "%caps(cap_net_bind_service=ep) %attr(0640,demo,daemon) %config(noreplace) \"/usr/share/demo\"",
        "%define __provides_exclude_from ^/usr/lib/demo-1[.]0/",
        "%define __requires_exclude ^(liba[.]so[.]1|libstdc[+][+][.]so[.]6)([(].*)?$",
    ] {
        assert!(spec.lines().any(|actual| actual == line), "{line}");
    }
}

#[test]
fn an_ordering_hint_names_its_scriptlet() {
    let mut input = input();
    input.packages[1].ordering = vec![OrderingHint {
        when: ScriptletTime::AfterInstall,
        after: "systemd".parse().unwrap(),
    }];
    let spec = write_spec(&input).unwrap();
    let (_, package) = spec.split_once("%package -n demo-data\n").unwrap();
    let (tags, _) = package.split_once("%description").unwrap();
    assert!(
        tags.contains("\nOrderWithRequires(post): systemd\n"),
        "{tags}"
    );
}

#[test]
fn one_input_has_one_text_and_one_call() {
    let input = input();
    assert_eq!(write_spec(&input), write_spec(&input));
    let step = packaging_step(&input.name, Architecture::X86_64, input.source_date);
    assert_eq!(step.environment["SOURCE_DATE_EPOCH"], "86400");
    assert_eq!(step.spec.as_str(), "/build/rpmbuild/SPECS/demo.spec");
    assert_eq!(
        step.command[2],
        "\"$@\" -bb /build/rpmbuild/SPECS/demo.spec && exec \"$@\" -bs /build/rpmbuild/SPECS/demo.spec"
    );
    assert!(
        step.command
            .contains(&"kiln_destdir /build/destdir".to_owned())
    );
}

#[test]
fn a_wide_paragraph_is_broken_anew_and_a_list_is_not() {
    let wide = "word ".repeat(20);
    let list = format!("- {wide}");
    let wrapped = text::wrap(&format!("short\nlines\n\n{wide}\n\n{list}"));
    let paragraphs: Vec<&str> = wrapped.split("\n\n").collect();
    assert_eq!(paragraphs[0], "short\nlines");
    assert!(paragraphs[1].lines().all(|line| line.chars().count() <= 79));
    assert_eq!(paragraphs[1].split_whitespace().count(), 20);
    assert_eq!(paragraphs[2], list);
    // No line begins with what rpm would take for its own.
    let signs = format!("{} %signs #here {}", "w".repeat(75), "w".repeat(10));
    assert!(text::wrap(&signs).lines().all(|line| line.starts_with('w')));
    // A long word stays whole, in characters, not bytes.
    let long = "é".repeat(90);
    assert_eq!(text::wrap(&long), long);
}

#[test]
fn a_scriptlet_of_one_program_needs_no_shell() {
    let mut input = input();
    input.packages[0]
        .scriptlets
        .push(scriptlet("/sbin/ldconfig\n"));
    let mut shell = scriptlet("/sbin/ldconfig -X");
    shell.when = ScriptletTime::AfterRemove;
    input.packages[0].scriptlets.push(shell);
    let spec = write_spec(&input).unwrap();
    assert!(spec.contains("\n%post -p /sbin/ldconfig\n\n"), "{spec}");
    assert!(spec.contains("\n%postun\n/sbin/ldconfig -X\n\n"), "{spec}");
}

#[test]
fn scripts_reach_a_rebuild_as_they_are() {
    let step = |script: &str| {
        let mut input = input();
        input.source.nodes.push(RebuildNode {
            recipe: "demo".parse().unwrap(),
            title: "demo 1.0".to_owned(),
            folder: "demo-1.0".to_owned(),
            unpacked: vec![],
            patches: vec![],
            environment: [("CFLAGS".to_owned(), "-O2 '%'".to_owned())].into(),
            libraries: vec!["priv".parse().unwrap()],
            bundle_prefix: "/usr/lib/demo".parse().unwrap(),
            steps: RebuildSteps {
                prep: None,
                build: Some(script.to_owned()),
                install: None,
                check: None,
            },
        });
        write_spec(&input)
    };
    let spec = step("%files\n#x\n\n%{y} \\\n\tKILN\n").unwrap();
    assert!(
        spec.contains("<<'KILN'\n|%%files\n|#x\n|\n|%%{y} \\\n|\tKILN\nKILN\n"),
        "{spec}"
    );
    for line in [
        r"|export CFLAGS='-O2 '\''%%'\'''",
        r#"|export LIBRARY_PATH="%{kiln_build}/bundle/demo/usr/lib/demo/lib""#,
        r#"|export KILN_BUNDLE_ROOT="%{kiln_build}/bundle/demo""#,
        r#"|cd "%{kiln_sources}/demo-1.0""#,
    ] {
        assert!(spec.lines().any(|actual| actual == line), "{line}");
    }
    assert!(!spec.contains("%check"), "there are no tests");
    assert_eq!(
        step("a\u{1b}b"),
        Err(SpecError::Character {
            field: "build step of demo".to_owned(),
            character: '\u{1b}',
        })
    );
}

#[test]
fn a_source_shows_where_it_comes_from() {
    let mut input = input();
    let source = |file: &str, url: Option<&str>| SourceFile {
        file: file.to_owned(),
        url: url.map(str::to_owned),
        notes: vec!["50% off".to_owned()],
        sha256: kiln_model::Digest::of(b"x"),
    };
    input.source.sources = vec![
        source("a.tar", Some("https://example.org/%7E/a.tar")),
        source("b.tar", Some("https://example.org/get?b")),
        source("c.tar", None),
    ];
    input.source.made = Some("made.tar".to_owned());
    input.source.requirements = vec![
        BuildRequirement::Known("gcc-c++".parse().unwrap()),
        BuildRequirement::Unknown {
            what: "Debian's odd".to_owned(),
        },
    ];
    let spec = write_spec(&input).unwrap();
    for line in [
        "# 50%% off",
        "Source0: https://example.org/%%7E/a.tar",
        "Source1: https://example.org/get?b#/b.tar",
        "Source2: c.tar",
        "Source3: made.tar",
        "BuildRequires: gcc-c++",
        "# Also needed, under a name that the recipe does not say: Debian's odd",
    ] {
        assert!(spec.lines().any(|actual| actual == line), "{line}");
    }
    input.source.sources[0].notes = vec!["a\nRequires: b".to_owned()];
    assert_eq!(
        write_spec(&input),
        Err(SpecError::Character {
            field: "source `a.tar`".to_owned(),
            character: '\n',
        })
    );
}
