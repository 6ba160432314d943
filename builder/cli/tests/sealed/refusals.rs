//! Runs that end with 1 or 2: what they say, and that nothing of them stays.

use kiln_model::Digest;

use crate::bases::Base;
use crate::project::{DEMO, Project, changed, files, with_build};
use crate::server::Server;
use crate::upstream;

#[test]
fn slow_a_failed_step_shows_where_to_look_and_leaves_nothing() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(
        &base,
        &server,
        &with_build(DEMO, "seq 30\necho about to fail\nexit 3"),
    );
    project.done(&["lock"]);
    let tail: String = (14..=30).map(|number| format!("  | {number}\n")).collect();
    let expected = format!(
        "error: demo: step `build` failed: exit status 3\n  command   exit 3\n\n\
         last lines of the log:\n{tail}  \
         | + echo about to fail\n  | about to fail\n  | + exit 3\n\n\
         log: PROJECT/out/logs/demo/build.log\n\n\
         hint: `kiln shell demo` opens a shell where the step failed\n"
    );
    project.fails(&["build"], 1, &expected);
    let log = project.root.join("out/logs/demo/build.log");
    let log = fs_err::read_to_string(log).unwrap();
    assert!(log.contains("+ seq 30\n1\n2\n"), "the log is whole: {log}");
    let is_log = |name: &String| name.starts_with("logs/");
    let others: Vec<String> = files(&project.root.join("out")).into_keys().collect();
    assert!(others.iter().all(is_log), "{others:?}");
    project.check_no_leftovers();
    let plan = project.done(&["plan"]).stdout;
    assert!(
        plan.starts_with("build    demo "),
        "it is not cached: {plan}"
    );
    project.write_demo(DEMO);
    project.done(&["build"]);
    assert!(project.rpm_names().len() > 1);
    project.check_store();
    // A later failure takes nothing away either.
    let before = project.rpm_names();
    project.write_demo(&with_build(DEMO, "kill -SEGV $$"));
    let ended = project.kiln(&["--quiet", "build"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    let first = "error: demo: step `build` failed: killed by signal 11 (segmentation fault)\n";
    assert!(ended.stderr.starts_with(first), "{}", ended.stderr);
    assert_eq!(project.rpm_names(), before);
}

/// Returns a recipe's file as the project has it, with the place of a piece of it.
fn shown(project: &Project<'_>, line_of: &str, piece: &str) -> String {
    let path = "recipes/demo/recipe.yaml";
    let text = fs_err::read_to_string(project.root.join(path)).unwrap();
    let mut lines = (1..).zip(text.lines());
    let whole = lines.clone().find(|(_, line)| line.trim() == line_of);
    let (number, line) = whole
        .or_else(|| lines.find(|(_, line)| line.contains(line_of)))
        .unwrap_or_else(|| panic!("{line_of} is not in {text}"));
    let column = line.find(piece).unwrap();
    let blank = " ".repeat(format!("{number}").len());
    format!(
        "  --> {path}:{number}:{}\n{blank} |\n{number} | {line}\n{blank} | {}^\n",
        column + 1,
        " ".repeat(column)
    )
}

#[test]
fn slow_an_install_step_that_installs_nothing_is_a_finding() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let recipe = changed(DEMO, "  use: make\n", "  use: make\n  install: \"true\"\n");
    let project = Project::new(&base, &server, &recipe);
    project.done(&["lock"]);
    let place = shown(&project, "install:", "\"true\"");
    project.fails(
        &["build"],
        1,
        &format!(
            "error: demo: the install step left `/build/destdir` empty\n{place}\n\
             hint: install below \"$DESTDIR\"\n"
        ),
    );
}

#[test]
fn slow_every_file_has_exactly_one_package() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    let check = |from: &str, to: &str, stderr: &dyn Fn() -> String| {
        project.write_demo(&changed(DEMO, from, to));
        project.fails(&["build"], 1, &stderr());
        assert_eq!(project.rpm_names(), [""; 0]);
        project.check_no_leftovers();
    };
    let hint = "hint: add the patterns to these packages, or remove the files in `install`\n";
    let packages = || shown(&project, "packages:", "packages:");
    check(
        "      - /usr/lib64/libdemo.so\n      - /usr/lib64/libdemo.a\n",
        "",
        &|| {
            format!(
                "error: demo: 2 installed files belong to no package\n{}  \
                 file      /usr/lib64/libdemo.a\n  file      /usr/lib64/libdemo.so\n  \
                 pattern   /usr/lib64/libdemo.a for `libdemo-devel`\n  \
                 pattern   /usr/lib64/libdemo.so for `libdemo-devel`\n\n{hint}",
                packages()
            )
        },
    );
    check("/usr/lib64/libdemo.so.*", "/usr/lib64/libdemo.so*", &|| {
        format!(
            "error: demo: `/usr/lib64/libdemo.so` belongs to both `libdemo` and `libdemo-devel`\n\
             {}{}\nhint: make one of the two patterns narrower\n",
            shown(&project, "libdemo.so*", "/usr"),
            shown(&project, "- /usr/lib64/libdemo.so", "/usr"),
        )
    });
    let nothing = "hint: the log of the install step shows what was installed\n";
    check(
        "files: [/usr/bin/demo]",
        "files: [/usr/bin/demo, /usr/share/demo/**]",
        &|| {
            format!(
                "error: demo: pattern `/usr/share/demo/**` of package `demo` matches no installed file\n\
                 {}\n{nothing}",
                shown(&project, "/usr/share/demo", "/usr/share")
            )
        },
    );
    // A typing error is two findings, told at once.
    check(
        "      - /usr/include/demo.h\n",
        "      - /usr/include/dmo.h\n",
        &|| {
            format!(
                "error: demo: 1 installed file belongs to no package\n{}  \
             file      /usr/include/demo.h\n  pattern   /usr/include/demo.h for `libdemo-devel`\n\n{hint}\n\
             error: demo: pattern `/usr/include/dmo.h` of package `libdemo-devel` matches no installed file\n\
             {}\n{nothing}",
                packages(),
                shown(&project, "dmo.h", "/usr")
            )
        },
    );
    check(
        "license-files: [LICENSE]",
        "license-files: [LICENCE]",
        &|| {
            format!(
                "error: demo: no licence file `LICENCE` in the source tree\n{}\n\
             hint: name it relative to the source's top folder; `tar tf` lists what is there\n",
                shown(&project, "license-files:", "LICENCE")
            )
        },
    );
}

#[test]
fn slow_what_is_certainly_wrong_is_said_before_anything_is_built() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let recipe = changed(DEMO, "files: [/usr/bin/demo]", "files: [/bin/demo]");
    let project = Project::new(&base, &server, &recipe);
    project.done(&["lock"]);
    let place = shown(&project, "/bin/demo", "/bin/demo");
    let expected = format!(
        "error: demo: the pattern `/bin/demo` lies below `/bin`, which is a link to `/usr/bin`\n{place}\n\
         hint: write `/usr/bin/demo`, and install there\n"
    );
    project.fails(&["build"], 2, &expected);
    assert!(!project.root.join("out").exists());
}

const PATCH: &str = "--- a/lib.c\n+++ b/lib.c\n@@ -1,3 +1,4 @@\n #include \"demo.h\"\n\
                     +/* patched */\n const char *demo_build(void) { return __DATE__ \" \" __TIME__ \" \" __FILE__; }\n \
                     int demo_answer(void) { return 42; }\n";

fn with_patch(digest: Digest) -> String {
    let patches = format!(
        "patches:\n  - {{file: patches/fix.patch, sha256: \"{}\"}}\nsteps:\n",
        digest.to_hex()
    );
    changed(DEMO, "steps:\n", &patches)
}

#[test]
fn slow_a_patch_is_applied_only_if_it_is_the_pinned_one() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let pinned = Digest::of(PATCH.as_bytes());
    let project = Project::new(&base, &server, &with_patch(pinned));
    let other = PATCH.replace("patched", "tampered");
    project.write("recipes/demo/patches/fix.patch", other.as_bytes());
    project.done(&["lock"]);
    let place = shown(&project, "fix.patch", &format!("\"{}", pinned.to_hex()));
    let expected = format!(
        "error: patch `recipes/demo/patches/fix.patch` does not match its pinned digest\n{place}  \
         expected  {pinned}\n  actual    {}\n\n\
         hint: look at what changed in the patch, then pin it anew\n",
        Digest::of(other.as_bytes())
    );
    project.fails(&["build"], 2, &expected);
    assert_eq!(project.rpm_names(), [""; 0]);
    project.check_no_leftovers();
    project.write("recipes/demo/patches/fix.patch", PATCH.as_bytes());
    project.done(&["build"]);
    let log = fs_err::read_to_string(project.root.join("out/logs/demo/prep.log")).unwrap();
    assert!(log.contains("patching file lib.c"), "{log}");
    project.done(&["build"]);
    // A changed patch is noticed although its pin, and so the build key, is the old one.
    project.write("recipes/demo/patches/fix.patch", other.as_bytes());
    project.fails(&["build"], 2, &expected);
}

#[test]
fn slow_check_looks_at_patches() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let pinned = Digest::of(PATCH.as_bytes());
    let project = Project::new(&base, &server, &with_patch(pinned));
    project.write("recipes/demo/patches/fix.patch", PATCH.as_bytes());
    project.done(&["lock"]);
    project.done(&["check"]);
    project.write("recipes/demo/patches/fix.patch", b"something else\n");
    let ended = project.kiln(&["check"]);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains(&format!("  expected  {pinned}\n")),
        "{}",
        ended.stderr
    );
}

#[test]
fn slow_a_source_with_other_bytes_never_enters_the_store() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    let locks = || {
        let files = files(&project.root.join("lockfiles")).into_iter();
        files
            .map(|(name, path)| (name, fs_err::read(path).unwrap()))
            .collect::<Vec<_>>()
    };
    let before = locks();
    fs_err::remove_dir_all(project.store()).unwrap();
    base.seed(&project.store());
    let good = upstream::demo();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    let (expected, actual) = (Digest::of(&good), Digest::of(&bad));
    server.serve("demo-1.0.tar.gz", &bad);
    let check = |verb: &str| {
        let ended = project.kiln(&["--quiet", verb]);
        assert_eq!(ended.code, Some(2), "{verb}\n{}", ended.stderr);
        for part in [
            "`demo-1.0.tar.gz`",
            &server.address("demo-1.0.tar.gz"),
            &format!("expected  {expected}\n"),
            &format!("actual    {actual}\n"),
        ] {
            assert!(
                ended.stderr.contains(part),
                "{part} is not in {}",
                ended.stderr
            );
        }
        let blobs = project.store().join("blobs/sha256");
        for digest in [expected, actual] {
            assert!(!blobs.join(digest.to_hex()).exists(), "{verb}: {digest}");
        }
        assert!(!project.root.join("out").exists());
        project.check_store();
        project.check_no_leftovers();
    };
    check("build");
    check("fetch");
    assert_eq!(locks(), before, "no lockfile was touched");
    fs_err::remove_file(project.root.join("lockfiles/demo-x86_64.lock")).unwrap();
    check("lock");
    let names: Vec<String> = locks().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["debian-12-x86_64.lock"], "nothing was locked");
    // A truncated file is no better.
    server.serve("demo-1.0.tar.gz", &good[..good.len() / 2]);
    assert_eq!(project.kiln(&["lock"]).code, Some(2));
    server.serve("demo-1.0.tar.gz", &good);
    project.done(&["lock"]);
    assert_eq!(locks(), before, "the same lock comes out again");
}

#[test]
fn slow_check_notices_stale_lockfiles() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    let hint = "\nhint: run `kiln lock` on a machine with network, and commit the file\n";
    project.fails(
        &["check"],
        1,
        &format!("error: no lockfile `PROJECT/lockfiles/demo-x86_64.lock`\n{hint}"),
    );
    project.done(&["lock"]);
    let ended = project.done(&["check"]);
    assert!(ended.stdout.ends_with(" are fine.\n"), "{}", ended.stdout);
    let stale = |from: &str, to: &str, reason: &str, (line, piece): (&str, &str)| {
        let path = project.root.join("recipes/demo/recipe.yaml");
        let text = fs_err::read_to_string(&path).unwrap();
        fs_err::write(&path, changed(&text, from, to)).unwrap();
        let place = shown(&project, line, piece);
        let expected = format!(
            "error: lockfile `PROJECT/lockfiles/demo-x86_64.lock` is stale: {reason}\n{place}{hint}"
        );
        project.fails(&["check"], 1, &expected);
        project.fails(&["build"], 2, &expected);
        assert!(!project.root.join("out").exists());
        fs_err::write(&path, text).unwrap();
    };
    let digest = Digest::of(&upstream::demo()).to_hex();
    let other = Digest::of(b"another release").to_hex();
    let sources = "the recipe has other sources now";
    stale(&digest, &other, sources, ("sha256:", "\""));
    stale(
        "/demo-1.0.tar.gz",
        "/elsewhere/demo-1.0.tar.gz",
        sources,
        ("url:", "http"),
    );
    stale(
        "base: debian-12\n",
        "base: debian-12\ntools: [bison]\n",
        "the recipe needs other distribution packages now",
        ("tools:", "tools:"),
    );
    project.done(&["check"]);
}
