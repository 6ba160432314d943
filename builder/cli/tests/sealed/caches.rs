//! Whatever of a build the store has already, the bytes that come out are the same; and `kiln why` and
//! `kiln plan` say what it has.

use std::path::Path;

use crate::bases::Base;
use crate::project::{BUILD_WITH_SUMS, DEMO, Project, changed, demo_with_sums, files, outputs};
use crate::server::Server;

/// A product with a library in it.
fn recipe() -> String {
    changed(&demo_with_sums(), "  use: make\n", BUILD_WITH_SUMS)
}

/// Copies files of one store into another, as somebody who got them from elsewhere does.
fn import(from: &Path, to: &Path) {
    for folder in ["blobs/sha256", "actions"] {
        for (name, path) in files(&from.join(folder)) {
            let target = to.join(folder).join(name);
            if !target.exists() {
                fs_err::copy(path, target).unwrap();
            }
        }
    }
}

#[test]
fn slow_a_cold_warm_partial_and_imported_cache_give_the_same_bytes() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, &recipe());
    project.write_sums();
    project.done(&["lock"]);
    project.done(&["build"]);
    let cold = outputs(&project.root.join("out"));
    let built_into = |out: &str, store: &str| {
        let ended = project.done(&["--store", store, "--out", out, "build"]);
        assert_eq!(
            outputs(&project.root.join(out)),
            cold,
            "{out}\n{}",
            ended.stdout
        );
        ended
    };
    let own = ".kiln/store";
    let warm = built_into("warm", own);
    assert!(warm.stdout.contains("cached"), "{}", warm.stdout);
    assert!(!warm.stdout.contains("\nbuilt "), "{}", warm.stdout);

    base.seed(&project.root.join("imported"));
    import(&project.store(), &project.root.join("imported"));
    let imported = built_into("from-import", "imported");
    assert!(!imported.stdout.contains("\nbuilt "), "{}", imported.stdout);

    // One record after the other is lost: what it was the result of is made again.
    let actions: Vec<String> = files(&project.store().join("actions"))
        .into_keys()
        .collect();
    assert!(
        actions.len() > 3,
        "library, product, packages, metadata: {actions:?}"
    );
    for (number, lost) in actions.iter().enumerate() {
        let store = format!("partial-{number}");
        base.seed(&project.root.join(&store));
        import(&project.store(), &project.root.join(&store));
        fs_err::remove_file(project.root.join(&store).join("actions").join(lost)).unwrap();
        built_into(&format!("from-{store}"), &store);
    }

    // Nothing but sources and the base image, by another number of jobs.
    base.seed(&project.root.join("cold"));
    let at = ["--store", "cold", "--out", "again", "--jobs", "3", "build"];
    project.done(&at);
    assert_eq!(outputs(&project.root.join("again")), cold);
}

#[test]
fn slow_why_and_plan_follow_a_product_from_its_first_build_to_its_next() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, &recipe());
    project.write_sums();
    project.done(&["lock"]);
    let why = || project.done(&["why", "demo"]).stdout;
    assert_eq!(
        why(),
        "sums for /usr/lib/demo: never built here\n\n\
         demo: never built here\n  it comes after sums for /usr/lib/demo\n\n\
         demo (package): never packaged here\n  it comes after demo\n"
    );
    project.done(&["build"]);
    let nothing = "sums for /usr/lib/demo: nothing changed\n\ndemo: nothing changed\n\n\
                   demo (package): nothing changed\n";
    assert_eq!(why(), nothing);

    // Another summary is packaged again, and nothing else.
    let text = fs_err::read_to_string(project.root.join("recipes/demo/recipe.yaml")).unwrap();
    let other = changed(&text, "A program and its library", "A program");
    project.write("recipes/demo/recipe.yaml", other.as_bytes());
    assert_eq!(
        why(),
        "sums for /usr/lib/demo: nothing changed\n\ndemo: nothing changed\n\n\
         demo (package): one input changed: it is packaged again\n  recipe, summary\n    \
         was  A program and its library\n    is   A program\n"
    );
    let plan = project.done(&["plan"]).stdout;
    let lines: Vec<&str> = plan.lines().collect();
    assert_eq!(
        lines[..2],
        ["cached   sums for /usr/lib/demo", "cached   demo"]
    );
    assert!(
        lines[2].starts_with("package  demo  summary changed  about "),
        "{plan}"
    );
    assert!(
        lines[4].starts_with("1 to package, 3 cached; about "),
        "{plan}"
    );
    let built = project.done(&["build"]);
    assert!(
        built.stdout.contains("\n1 built, 3 cached; "),
        "{}",
        built.stdout
    );
    assert_eq!(why(), nothing);

    // A script of the library that installs the same bytes: the wave ends at the product.
    let sums = fs_err::read_to_string(project.root.join("recipes/sums/recipe.yaml")).unwrap();
    let script = "  use: make\n  build: make -j\"$KILN_JOBS\" PREFIX=\"$KILN_PREFIX\" && true\n";
    let sums = changed(&sums, "  use: make\n", script);
    project.write("recipes/sums/recipe.yaml", sums.as_bytes());
    let told = why();
    for part in [
        "sums for /usr/lib/demo: one input changed: it is built again\n  script of the step build\n",
        "demo: nothing of its own changed\n  sums for /usr/lib/demo is built first; if it installs the \
         same bytes again (sha256:",
        "), demo is not built again\n",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    let built = project.done(&["build"]);
    assert!(
        built.stdout.contains("\ncached "),
        "the product: {}",
        built.stdout
    );
    assert_eq!(why(), nothing);

    // What a program reads.
    let json = project.done(&["--format", "json", "why", "demo"]).stdout;
    let events: Vec<serde_json::Value> = json
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let names = events.iter().map(|event| event["event"].as_str().unwrap());
    assert_eq!(
        names.collect::<Vec<_>>(),
        ["started", "why", "why", "why", "finished"]
    );
    assert_eq!(events[3]["past"], "same", "{json}");
    assert_eq!(events[3]["need"], "nothing", "{json}");
}

#[test]
fn slow_a_run_with_nothing_to_do_reads_no_recipe_until_one_is_touched() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
    // What was just written is not trusted by its looks.
    std::thread::sleep(std::time::Duration::from_secs(4));
    for _ in 0..2 {
        project.done(&["build"]);
    }
    // A recipe that can not be read: who does not look at it does not notice.
    let path = project.root.join("recipes/demo/recipe.yaml");
    let nothing = project.done(&["build"]);
    assert!(
        nothing.stdout.contains("\nNothing to do: all 3 results "),
        "{}",
        nothing.stdout
    );
    assert!(nothing.stdout.contains("\n6 RPMs, "), "{}", nothing.stdout);
    fs_err::write(&path, "broken").unwrap();
    assert_eq!(project.kiln(&["build"]).code, Some(2));
}
