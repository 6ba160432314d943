//! Several kilns on one store at once: nothing is missing, nobody waits for ever, and nothing is done
//! twice.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use crate::bases::Base;
use crate::project::{DEMO, Project, outputs, with_build};
use crate::scene::{Scene, Told, children};
use crate::server::Server;

/// Kilns at once.
const KILNS: usize = 6;

/// A collection that removes all that it may: nothing is too young, and of each recipe one result stays.
const GC: [&str; 7] = ["--quiet", "store", "gc", "--keep", "1", "--grace", "0"];

/// Runs `kiln store gc` again and again beside something.
fn with_collection<T>(scene: &Scene<'_>, act: impl FnOnce() -> T) -> T {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let ended = scene.project.kiln(&GC);
                assert_eq!(ended.code, Some(0), "{}", ended.stderr);
            }
        });
        let _over = Over(&is_over);
        act()
    })
}

/// Says that it is over, however that came.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs all of them to their end, and returns what each told.
fn run_together(scene: &Scene<'_>) -> Vec<Told> {
    let kilns: Vec<Child> = (0..KILNS)
        .map(|number| {
            let mut command = scene.project.command();
            command.args(["--format=json", "--out", &format!("out-{number}"), "build"]);
            let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
            piped.spawn().unwrap()
        })
        .collect();
    // Each is read by a thread of its own: a full pipe would stop it.
    std::thread::scope(|scope| {
        let readers: Vec<_> = kilns
            .into_iter()
            .map(|child| {
                scope.spawn(|| {
                    let ended = scene.project.ended(&child.wait_with_output().unwrap());
                    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
                    Told::parse(&ended.stdout)
                })
            })
            .collect();
        readers
            .into_iter()
            .map(|reader| reader.join().unwrap())
            .collect()
    })
}

fn build_together(scene: &Scene<'_>) {
    let told = with_collection(scene, || run_together(scene));
    let mut steps: BTreeMap<&str, usize> = BTreeMap::new();
    for step in told.iter().flat_map(|told| &told.steps) {
        *steps.entry(step).or_default() += 1;
    }
    let waits = told.iter().map(|told| told.waited.len()).sum::<usize>();
    eprintln!("{KILNS} kilns, {} steps, {waits} waits", steps.len());
    let again: Vec<_> = steps.iter().filter(|(_, times)| **times != 1).collect();
    assert!(again.is_empty(), "done more than once: {again:?}");
    assert!(steps.len() >= 8, "{steps:?}");
    for number in 0..KILNS {
        let out = scene.project.root.join(format!("out-{number}"));
        assert_eq!(outputs(&out), scene.reference, "out-{number}");
        fs_err::remove_dir_all(out).unwrap();
    }
    scene.check_whole();
    scene.project.check_no_leftovers();
    let locks = children(&scene.project.store().join("locks"));
    assert_eq!(locks.len(), 0, "{locks:?}");
}

fn build_together_often(rounds: usize) {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::demo(&base, &server);
    for round in 0..rounds {
        scene.reset();
        // The base image is unpacked by one of them, too.
        let tree = (round % 2 == 1).then(|| scene.pack_base(&base));
        build_together(&scene);
        drop(tree);
    }
}

#[test]
fn slow_six_kilns_on_one_store_do_nothing_twice() {
    build_together_often(2);
}

#[test]
fn thorough_six_kilns_on_one_store_do_nothing_twice_again_and_again() {
    build_together_often(20);
}

/// Starts a build and returns what it tells.
fn start(project: &Project<'_>, out: &str) -> (Child, impl Iterator<Item = String> + use<>) {
    let mut command = project.command();
    command.args(["--format=json", "--out", out, "build"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout: ChildStdout = child.stdout.take().unwrap();
    let lines = BufReader::new(stdout).lines();
    (child, lines.map_while(Result::ok))
}

fn wait_for(lines: &mut impl Iterator<Item = String>, parts: &[&str]) {
    let is_it = |line: &String| parts.iter().all(|part| line.contains(part));
    assert!(lines.any(|line| is_it(&line)), "never came: {parts:?}");
}

#[test]
fn slow_who_waits_for_another_can_be_stopped_and_takes_over_from_the_dead() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let project = Project::new(&base, &server, &with_build(DEMO, "sleep 86400"));
    project.done(&["lock"]);
    let signal = |child: &mut Child, signal: Signal| {
        kill_process(Pid::from_child(child), signal).unwrap();
        child.wait().unwrap().code()
    };
    let step = ["\"step-started\"", "\"build\"", "\"demo\""];
    let (mut first, mut told) = start(&project, "first");
    wait_for(&mut told, &step);
    let waiting = ["\"waiting\"", "\"demo\""];
    let (mut second, mut told) = start(&project, "second");
    wait_for(&mut told, &waiting);
    assert_eq!(signal(&mut second, Signal::INT), Some(130));
    let (mut third, mut told) = start(&project, "third");
    wait_for(&mut told, &waiting);
    assert_eq!(signal(&mut first, Signal::KILL), None);
    // Now it is its turn.
    wait_for(&mut told, &step);
    assert_eq!(signal(&mut third, Signal::INT), Some(130));
    project.check_store();
    project.done(&["plan"]);
    project.check_no_leftovers();
}
