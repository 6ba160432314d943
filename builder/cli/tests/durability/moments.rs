//! Kiln is killed at random moments of a build that compiles, alone or with all that it started.
//!
//! `KILLS` says how often, `SEED` which moments.

use std::hash::{BuildHasher as _, RandomState};
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::bases::Base;
use crate::scene::{Scene, Told, setting};
use crate::server::Server;

/// One run in so many finds the base image packed: then it is unpacked, too.
const UNPACKING: u64 = 10;

/// Numbers that look random, the same for the same seed: Steele and others, splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A moment within what a run takes.
    fn moment(&mut self, whole: Duration) -> Duration {
        let share = u32::try_from(self.next() % 10_000).unwrap();
        whole * share / 10_000
    }
}

fn kill_often(kills: u64) {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::demo(&base, &server);
    let seed = setting("SEED").unwrap_or_else(|| RandomState::new().hash_one(kills));
    eprintln!("SEED={seed}");
    let mut random = Random(seed);
    scene.reset();
    let began = Instant::now();
    scene.check_next_run(&Told::default());
    let whole = began.elapsed();
    let mut finished = 0;
    for number in 1..=kills {
        scene.reset();
        let is_packed = number.is_multiple_of(UNPACKING);
        let tree = is_packed.then(|| scene.pack_base(&base));
        // Unpacking takes as long as several builds.
        let life = random.moment(if is_packed { whole * 3 } else { whole });
        let told = run_for(&scene, life, random.next().is_multiple_of(2));
        finished += u64::from(told.exit == Some(0));
        scene.check_whole();
        scene.check_next_run(&told);
        drop(tree);
        eprintln!(
            "{number:5} after {life:?}: {} works told done",
            told.done.len()
        );
    }
    eprintln!("{kills} kills at random moments, {finished} came too late; 0 corrupt, 0 lost");
}

/// Runs kiln for some time; returns what it told until it was killed.
fn run_for(scene: &Scene<'_>, life: Duration, is_group: bool) -> Told {
    let mut command = scene.command();
    let stdout = scene.project.root.parent().unwrap().join("stdout.txt");
    let file = fs_err::File::create(&stdout).unwrap().into_parts().0;
    let quiet = command.process_group(0).stdout(file).stderr(Stdio::null());
    let mut child = quiet.spawn().unwrap();
    std::thread::sleep(life);
    let pid = Pid::from_child(&child);
    // It may be over.
    let _ = match is_group {
        true => kill_process_group(pid, Signal::KILL),
        false => kill_process(pid, Signal::KILL),
    };
    child.wait().unwrap();
    scene.told()
}

#[test]
fn slow_killed_at_some_moment_it_loses_nothing() {
    kill_often(6);
}

#[test]
fn thorough_killed_at_many_moments_it_loses_nothing() {
    kill_often(setting("KILLS").unwrap_or(300));
}
