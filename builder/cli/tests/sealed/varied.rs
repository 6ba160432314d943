//! Rebuilds under variation: every factor is in effect, seen from inside, and a clean recipe yields the
//! same bytes; one that is not clean is caught; nothing is left behind.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kiln_model::{Digest, Effect, Factor, Level, Observation};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde::Deserialize;

use crate::bases::Base;
use crate::interrupts::{marker, survivors};
use crate::project::{DEMO, Ended, Project, changed, outputs, wait_until, with_build};
use crate::server::Server;
use crate::upstream;

/// What `kiln vary` prints, as far as tests look at it.
#[derive(Debug, Deserialize)]
struct Printed {
    answer: Answer,
    observations: Vec<Observation>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Answer {
    failures: Vec<Failure>,
    not_covered: Vec<String>,
    clock: (i64, i64),
}

#[derive(Debug, Deserialize)]
struct Failure {
    recipe: Option<String>,
    text: String,
}

/// Every way in which something can be unlike the host.
fn all() -> Vec<(Factor, Level)> {
    let levels = |factor: Factor| {
        factor.levels()[1..]
            .iter()
            .map(move |level| (factor, *level))
    };
    Factor::ALL.into_iter().flat_map(levels).collect()
}

/// Demo with one more file in its package: what some commands print.
fn with_note(commands: &str) -> String {
    let recipe = with_build(DEMO, &format!("make\n({commands}) > note"));
    let install = "  install: |\n    make install DESTDIR=\"$DESTDIR\" PREFIX=\"$KILN_PREFIX\"\n    \
                   install -D -m 644 note \"$DESTDIR/usr/share/demo/note\"\npackages:\n";
    let recipe = changed(&recipe, "packages:\n", install);
    let files = "files: [/usr/bin/demo, /usr/share/demo/note]";
    changed(&recipe, "files: [/usr/bin/demo]", files)
}

fn word(value: impl serde::Serialize) -> String {
    let text = serde_json::to_value(value).unwrap();
    text.as_str().unwrap().to_owned()
}

/// The command line of one rebuild, whose results go to `to`.
fn arguments(variation: &[(Factor, Level)], to: &Path) -> Vec<String> {
    let mut arguments = ["--quiet", "vary", "--to"].map(str::to_owned).to_vec();
    arguments.push(to.to_string_lossy().into_owned());
    for (factor, level) in variation {
        arguments.push("--with".to_owned());
        arguments.push(format!("{}={}", word(factor), word(level)));
    }
    arguments
}

/// Rebuilds and returns what was printed and where the results are.
fn vary(project: &Project<'_>, variation: &[(Factor, Level)]) -> (Ended, PathBuf) {
    let names: Vec<String> = variation.iter().map(|(f, l)| word(f) + &word(l)).collect();
    let name = Digest::of(names.join(" ").as_bytes()).to_hex();
    let to = project.root.join("varied").join(name);
    let arguments = arguments(variation, &to);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    (project.kiln(&arguments), to)
}

fn printed(ended: &Ended) -> Printed {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}\n{ended:?}"))
}

/// Whether this host must be able to vary something.
fn is_possible((factor, level): (Factor, Level)) -> bool {
    let is_root = rustix::process::getuid().is_root();
    let has = |program: &str| Path::new(program).exists();
    match (factor, level) {
        (Factor::DirectoryOrder, _) => is_root && has("/usr/bin/disorderfs") && has("/dev/fuse"),
        (_, Level::Loop) => is_root && has("/usr/sbin/mkfs.ext4") && has("/dev/loop-control"),
        // A machine with one processor, or with little memory.
        (Factor::Processors, _) => std::thread::available_parallelism().unwrap().get() > 1,
        (_, Level::Tmpfs) => {
            let info = rustix::system::sysinfo();
            info.totalram * u64::from(info.mem_unit) > 12 << 30
        }
        _ => true,
    }
}

fn check_observation(observation: &Observation) {
    let Observation {
        factor,
        level,
        effect,
        ..
    } = observation;
    let expected = match factor {
        Factor::Clock
        | Factor::Kernel
        | Factor::Processors
        | Factor::Jobs
        | Factor::DirectoryOrder
        | Factor::Aslr
        | Factor::FileSystem
        | Factor::HostPath
        | Factor::Load => Effect::Seen,
        _ => Effect::Neutralised,
    };
    if is_possible((*factor, *level)) {
        assert_eq!(*effect, expected, "{observation:?}");
    } else {
        eprintln!("not required of this host: {factor} {level}: {observation:?}");
    }
    assert!(!observation.how.is_empty());
}

fn check_same(project: &Project<'_>, variation: &[(Factor, Level)]) -> Printed {
    let (ended, to) = vary(project, variation);
    assert_eq!(ended.code, Some(0), "{variation:?}\n{ended:?}");
    let printed = printed(&ended);
    assert_eq!(printed.observations.len(), variation.len());
    printed.observations.iter().for_each(check_observation);
    let expected = outputs(&project.root.join("out"));
    assert_eq!(outputs(&to), expected, "{variation:?}");
    project.check_no_leftovers();
    printed
}

#[test]
fn thorough_each_factor_is_in_effect_and_changes_nothing() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
    let requests = server.connections();
    for variation in all() {
        check_same(&project, &[variation]);
    }
    assert_eq!(server.connections(), requests, "a rebuild is offline");
    project.check_store();
}

#[test]
fn slow_all_factors_at_once_change_nothing() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    // What is in the environment is in the package: a clean recipe all the same.
    let recipe = with_note("env -u KILN_JOBS | LC_ALL=C sort | cksum");
    let project = Project::new(&base, &server, &recipe);
    project.done(&["lock"]);
    project.done(&["build"]);
    for last in [true, false] {
        let pick = |factor: Factor| {
            let levels = factor.levels();
            (
                factor,
                if last {
                    levels[levels.len() - 1]
                } else {
                    levels[1]
                },
            )
        };
        let variation: Vec<_> = Factor::ALL.into_iter().map(pick).collect();
        let printed = check_same(&project, &variation);
        let year = 31_557_600;
        let (started, ended) = printed.answer.clock;
        assert!(started <= ended && ended - started < year, "{printed:?}");
        let not_covered = &printed.answer.not_covered;
        assert!(not_covered.iter().all(|path| path.starts_with('/')));
        // Debian's is linked statically, and may be loaded anywhere.
        assert!(
            not_covered.contains(&"/usr/sbin/ldconfig".to_owned()),
            "{not_covered:?}"
        );
    }
}

#[test]
fn slow_a_recipe_that_lets_the_world_in_is_caught() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let commands = "date +%Y; touch stamp; stat -c %y stamp | cut -c 1-4; uname -r; nproc; \
                    mkdir many; for i in $(seq 64); do : > many/$i; done; ls -U many";
    let project = Project::new(&base, &server, &with_note(commands));
    project.done(&["lock"]);
    project.done(&["build"]);
    let expected = outputs(&project.root.join("out"));
    let mut names = expected.keys();
    let name = names
        .find(|name| name.contains("/demo-1.0-1.x86_64"))
        .unwrap();
    for variation in [
        (Factor::Clock, Level::Future),
        (Factor::Clock, Level::Past),
        (Factor::Kernel, Level::Other),
        (Factor::Processors, Level::One),
        (Factor::DirectoryOrder, Level::Reversed),
    ] {
        if !is_possible(variation) {
            eprintln!("not possible on this host: {variation:?}");
            continue;
        }
        let (ended, to) = vary(&project, &[variation]);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let found = outputs(&to);
        assert_ne!(found.get(name), expected.get(name), "{variation:?}");
    }
    let (_, to) = vary(&project, &[]);
    assert_eq!(
        outputs(&to),
        expected,
        "without a variation nothing changes"
    );
}

#[test]
fn slow_what_fails_and_what_is_missing_is_named() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let script = "make\ncase $(uname -r) in 2.6.*) echo too old; exit 7;; esac";
    let project = Project::new(&base, &server, &with_build(DEMO, script));
    project.done(&["lock"]);
    project.done(&["build"]);
    let (ended, _) = vary(&project, &[(Factor::Kernel, Level::Other)]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let failures = printed(&ended).answer.failures;
    assert_eq!(failures.len(), 1, "{failures:?}");
    assert_eq!(failures[0].recipe.as_deref(), Some("demo"));
    assert!(failures[0].text.contains("too old"), "{failures:?}");
    assert!(failures[0].text.contains("exit status 7"), "{failures:?}");
    project.check_no_leftovers();

    let digest = Digest::of(&upstream::demo());
    fs_err::remove_file(project.store().join("blobs/sha256").join(digest.to_hex())).unwrap();
    let expected =
        format!("error: the store lacks inputs:\n  source demo-1.0.tar.gz of demo  {digest}\n");
    project.fails(&["vary"], 2, &expected);
    project.check_no_leftovers();
}

#[test]
fn slow_a_stopped_rebuild_leaves_no_process_and_no_file() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    for (number, signal) in [(71, Signal::INT), (72, Signal::TERM), (73, Signal::KILL)] {
        let marker = marker(number);
        let script = format!(
            "make\ncase $(uname -r) in 2.6.*) setsid sleep {marker} & sleep {marker};; esac"
        );
        let project = Project::new(&base, &server, &with_build(DEMO, &script));
        project.done(&["lock"]);
        project.done(&["build"]);
        let everything = [
            (Factor::Kernel, Level::Other),
            (Factor::DirectoryOrder, Level::Shuffled),
            (Factor::Load, Level::Busy),
            (Factor::User, Level::Other),
        ];
        let to = project.root.join("varied");
        let mut command = project.command();
        command.process_group(0).args(arguments(&everything, &to));
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the step that sleeps", || survivors(&marker).len() >= 2);
        match signal {
            // As a terminal does; the others go to one process.
            Signal::INT => kill_process_group(Pid::from_child(&child), signal).unwrap(),
            _ => kill_process(Pid::from_child(&child), signal).unwrap(),
        }
        let status = child.wait().unwrap();
        let code = (signal != Signal::KILL).then_some(130);
        assert_eq!(status.code(), code, "{signal:?}");
        let folder = project.root.to_string_lossy().into_owned();
        wait_until("the end of all that was started", || {
            survivors(&marker).is_empty() && survivors(&folder).is_empty()
        });
        // What a killed kiln left is removed by the next one.
        project.done(&["build"]);
        project.check_no_leftovers();
        project.check_store();
    }
}

/// Runs a rebuild as somebody who is not root, in a project of theirs.
#[test]
fn privileged_slow_somebody_who_is_not_root_can_vary_as_well() {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: only root can become somebody else");
        return;
    }
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, DEMO);
    project.done(&["lock"]);
    project.done(&["build"]);
    let expected = outputs(&project.root.join("out"));
    fs_err::remove_dir_all(project.root.join("out")).unwrap();
    const SOMEBODY: u32 = 47_011;
    // The temporary folder itself is root's alone.
    let folder = project.root.parent().unwrap();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.unwrap();
        let is_shared =
            entry.path().starts_with(project.store().join("blobs")) && entry.file_type().is_file();
        if !is_shared {
            std::os::unix::fs::lchown(entry.path(), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
        }
    }
    let is_theirs =
        |factor: Factor, level: Level| factor != Factor::DirectoryOrder && level != Level::Loop;
    let variation: Vec<(Factor, Level)> = Factor::ALL
        .into_iter()
        .map(|factor| (factor, factor.levels()[1]))
        .filter(|(factor, level)| is_theirs(*factor, *level))
        .collect();
    let to = project.root.join("varied");
    let mut command = project.command();
    command
        .uid(SOMEBODY)
        .gid(SOMEBODY)
        .args(arguments(&variation, &to));
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => {
            eprintln!("skipped: kiln can not be run by others here: {error}");
            return;
        }
    };
    let ended = project.ended(&output);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let printed = printed(&ended);
    assert_eq!(printed.observations.len(), variation.len());
    printed.observations.iter().for_each(check_observation);
    assert_eq!(outputs(&to), expected);
    project.check_no_leftovers();
}
