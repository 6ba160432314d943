//! Bundled libraries and search paths: what the ELF files say must be what the recipe says.

use kiln_rpm::RpmFile;

use crate::bases::Base;
use crate::project::{
    BUILD_WITH_SUMS, DEMO, Project, changed, demo_with_sums, outputs, with_build,
};
use crate::server::Server;

#[test]
fn slow_a_bundled_library_that_nothing_needs_is_a_finding() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, &demo_with_sums());
    project.write_sums();
    project.done(&["lock"]);
    project.fails(
        &["build"],
        1,
        "error: demo: the installed files contradict the recipe\n  \
         --> recipes/demo/recipe.yaml:16:3\n   |\n16 |   sums:\n   |   ^\n  \
         finding   `libsums.so.1` is bundled, but no file of the product needs it\n",
    );
    assert_eq!(project.rpm_names(), [""; 0]);
    let recipe = changed(&demo_with_sums(), "  use: make\n", BUILD_WITH_SUMS);
    project.write_demo(&recipe);
    let plan = project.done(&["plan"]).stdout;
    let expected = "cached   sums for /usr/lib/demo\nbuild    demo ";
    assert!(plan.starts_with(expected), "{plan}");
    project.done(&["build"]);
    let out = project.root.join("out");
    let rpm = out.join("rpms/x86_64/libdemo-1.0-1.x86_64.rpm");
    let rpm = RpmFile::parse(&fs_err::read(rpm).unwrap()).unwrap();
    let is_carried = |file: &kiln_rpm::PackagedFile| file.path == "/usr/lib/demo/lib/libsums.so.1";
    assert!(rpm.files().iter().any(is_carried));
    let relations = rpm.relations();
    let texts = |list: &[kiln_rpm::Relation]| list.iter().map(ToString::to_string).collect();
    let provides: Vec<String> = texts(&relations.provides);
    assert!(
        provides.contains(&"bundled(sums) = 2.1".to_owned()),
        "{provides:?}"
    );
    let rpm = out.join("rpms/x86_64/demo-1.0-1.x86_64.rpm");
    let rpm = RpmFile::parse(&fs_err::read(rpm).unwrap()).unwrap();
    let requires: Vec<String> = texts(&rpm.relations().requires);
    for relation in provides.iter().chain(&requires) {
        assert!(!relation.starts_with("libsums"), "private: {relation}");
    }
    for file in ["sbom/demo.cdx.json", "sbom/demo.spdx.json"] {
        let bill = fs_err::read_to_string(out.join(file)).unwrap();
        assert!(bill.contains("pkg:generic/sums@2.1"), "{file}: {bill}");
    }
    assert!(!outputs(&out).is_empty());
}

#[test]
fn slow_a_copy_in_the_source_tree_is_looked_for_and_told() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let with = |libraries: &str| {
        let script = "mkdir hash && echo 'int hash(int x) { return 31 * x; }' > hash/hash.c && \
                      cc $CFLAGS -c hash/hash.c -o hash.o && make DEMO_LIBS=hash.o";
        let recipe = with_build(DEMO, script);
        // In a static library the copy could be, too.
        let archive = "      - /usr/lib64/libdemo.a\n";
        let install =
            "  use: make\n  install: make install && rm \"$DESTDIR/usr/lib64/libdemo.a\"\n";
        let recipe = changed(&changed(&recipe, archive, ""), "  use: make\n", install);
        changed(&recipe, "steps:", &format!("libraries:\n{libraries}steps:"))
    };
    let copy = "  murmurhash3: {choice: vendored, path: hash, license: LicenseRef-public-domain}\n";
    let header = "  answers: {choice: vendored, path: api, license: MIT, version: \"2.0\", link: shared, \
                  carry: [/usr/include/*.h]}\n";
    let project = Project::new(
        &base,
        &server,
        &with(&changed(copy, "path: hash", "path: hush")),
    );
    project.done(&["lock"]);
    project.fails(
        &["build"],
        1,
        "error: demo: the installed files contradict the recipe\n  \
         --> recipes/demo/recipe.yaml:16:3\n   |\n\
         16 |   murmurhash3: {choice: vendored, path: hush, license: LicenseRef-public-domain}\n   |   ^\n  \
         finding   no file holds code of `murmurhash3`, which demo declares `link: static`\n",
    );
    let elsewhere = changed(header, "*.h", "*.hpp");
    project.write_demo(&with(&elsewhere));
    let ended = project.kiln(&["--quiet", "build"]);
    let expected = "error: demo: no package has a file that `carry` of the vendored `answers` matches\n  \
                    --> recipes/demo/recipe.yaml:16:86\n";
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.starts_with(expected), "{}", ended.stderr);
    project.write_demo(&with(&format!("{copy}{header}")));
    project.done(&["build"]);
    let out = project.root.join("out");
    let read = |name: &str| {
        let rpm = out.join(format!("rpms/x86_64/{name}-1.0-1.x86_64.rpm"));
        RpmFile::parse(&fs_err::read(rpm).unwrap()).unwrap()
    };
    let bundled = |name: &str| -> Vec<String> {
        let rpm = read(name);
        let provides = rpm.relations().provides.iter();
        let provides = provides.map(ToString::to_string);
        provides
            .filter(|text| text.starts_with("bundled("))
            .collect()
    };
    assert_eq!(bundled("demo"), ["bundled(murmurhash3)"]);
    let license = read("demo").license().unwrap_or_default().to_owned();
    assert!(license.contains("LicenseRef-public-domain"), "{license}");
    let all = ["demo", "libdemo", "libdemo-devel"].map(bundled).concat();
    assert!(
        all.contains(&"bundled(answers) = 2.0".to_owned()),
        "{all:?}"
    );
    // The library has none of it.
    assert_eq!(bundled("libdemo"), [""; 0]);
    for (file, path) in [
        (
            "sbom/demo.cdx.json",
            "\"name\":\"kiln:path\",\"value\":\"hash\"",
        ),
        ("sbom/demo.spdx.json", "kiln:path=hash\""),
    ] {
        let bill = fs_err::read_to_string(out.join(file)).unwrap();
        let bill: String = bill.split_whitespace().collect();
        for part in ["pkg:generic/murmurhash3\"", "pkg:generic/answers@2.0", path] {
            assert!(bill.contains(part), "{file}: {part}: {bill}");
        }
    }
    let matrix = project.done(&["matrix"]).stdout;
    assert!(
        matrix.contains("murmurhash3\n  vendored, static  demo\n"),
        "{matrix}"
    );
}

#[test]
fn slow_a_search_path_that_leads_elsewhere_is_a_finding() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    let check = |place: &str, finding: &str| {
        let script = format!("make DEMO_LIBS=-Wl,-rpath,{place}");
        project.write_demo(&with_build(DEMO, &script));
        let expected = format!(
            "error: demo: the installed files contradict the recipe\n  finding   {finding}\n"
        );
        project.fails(&["build"], 1, &expected);
        assert_eq!(project.rpm_names(), [""; 0]);
    };
    check(
        "\"$PWD\"",
        "`/usr/bin/demo` searches libraries in `/build/src/demo-1.0`, a folder of the build",
    );
    check(
        "/opt/other/lib",
        "`/usr/bin/demo` searches libraries in `/opt/other/lib`, which is neither below the \
         bundle prefix nor relative to `$ORIGIN`",
    );
}
