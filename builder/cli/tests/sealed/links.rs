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
