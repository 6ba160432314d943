//! Kiln is killed before each call that changes something, or the call fails.
//!
//! With `STRIDE`, the thorough tests look at every so manieth call only.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use nix::errno::Errno;

use crate::bases::Base;
use crate::scene::{Scene, children, setting};
use crate::server::Server;
use crate::tracer::{Injection, Traced, trace};

/// Every so manieth call is looked at by the quick tests.
const STRIDE: usize = 83;

/// Returns what the caller of the tests said instead of `usual`.
fn every(usual: usize) -> usize {
    setting("STRIDE").map_or(usual, |stride| usize::try_from(stride).unwrap())
}

fn run(scene: &Scene<'_>, injection: Injection) -> Traced {
    scene.reset();
    trace(&scene.command(), &scene.project.root, injection)
}

/// The order that makes results survive a power cut, which no test can cut: bytes, then names, then the
/// record.
#[test]
fn slow_bytes_and_names_are_synced_before_the_record_that_needs_them() {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::new(&base, &server);
    let traced = run(&scene, Injection::Nothing);
    assert_eq!(traced.code, Some(0), "{}", scene.printed("stderr.txt"));
    let store = scene.project.store();
    let (blobs, records) = (store.join("blobs/sha256"), store.join("actions"));
    let temporary = store.join("tmp");
    // By thread: whether it synced a file since its last rename, and names since it gave one.
    let (mut has_synced, mut owes) = (BTreeSet::new(), BTreeSet::new());
    let (mut named, mut recorded) = (0, 0);
    for call in &traced.calls {
        let folder = call.path.parent().unwrap();
        match call.name {
            "fsync" if call.path.starts_with(&temporary) => drop(has_synced.insert(call.thread)),
            "fsync" if call.path == blobs => drop(owes.remove(&call.thread)),
            "renameat" | "renameat2" if folder == blobs => {
                assert!(has_synced.remove(&call.thread), "{call:?}");
                owes.insert(call.thread);
                named += 1;
            }
            "renameat" | "renameat2" if folder == records => {
                assert!(has_synced.remove(&call.thread), "{call:?}");
                assert!(!owes.contains(&call.thread), "{call:?}");
                recorded += 1;
            }
            _ => {}
        }
    }
    assert!(named > 10 && recorded > 3, "{named} {recorded}");
}

/// What came of a run in which one call was disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    /// There is no such call.
    NoCall,
    /// The run was killed.
    Killed,
    /// It could do without the call.
    Unharmed,
    /// It ended with an error.
    Refused,
}

/// Kills at a call.
fn kill_at(scene: &Scene<'_>, number: usize) -> Came {
    let traced = run(scene, Injection::Kill(number));
    if traced.code == Some(0) {
        return Came::NoCall;
    }
    assert_eq!(traced.code, None, "{}", scene.printed("stderr.txt"));
    let last = traced.calls.last().unwrap();
    eprintln!("{number:5} {} {}", last.name, last.path.display());
    scene.check_whole();
    scene.check_next_run(&scene.told());
    Came::Killed
}

/// Lets a call fail.
fn fail_at(scene: &Scene<'_>, number: usize, error: Errno) -> Came {
    let traced = run(scene, Injection::Fail(number, error));
    let Some(call) = traced.calls.get(number) else {
        return Came::NoCall;
    };
    let (name, path, code) = (call.name, &call.path, traced.code);
    eprintln!("{number:5} {error:?} {name} {} -> {code:?}", path.display());
    scene.check_whole();
    let told = scene.told();
    if code != Some(0) {
        let text = scene.printed("stderr.txt");
        assert_eq!(code, Some(2), "{call:?}: {text}");
        // The store's folder, the results', or the one that has them in it.
        let (store, out) = (scene.project.store(), scene.out());
        let folders = [store.as_path(), out.as_path()];
        let disk = folders.into_iter().find(|folder| path.starts_with(folder));
        let disk = disk.unwrap_or(path);
        let (_, error) = text.split_once("error: ").unwrap_or_default();
        let is_named = error.contains(&*disk.to_string_lossy());
        assert!(is_named, "{call:?}: {text}");
    }
    scene.check_next_run(&told);
    match code {
        Some(0) => Came::Unharmed,
        _ => Came::Refused,
    }
}

/// Disturbs every call in turn, in steps, until there is none; the rest is done even if one goes wrong.
fn disturb_each(stride: usize, what: &str, disturb: impl Fn(&Scene<'_>, usize) -> Came) {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::new(&base, &server);
    let traced = run(&scene, Injection::Nothing);
    assert_eq!(traced.code, Some(0), "{}", scene.printed("stderr.txt"));
    scene.check_next_run(&scene.told());
    let calls = traced.calls.len();
    assert!(calls > 100, "the tracer sees them");
    let (mut came, mut wrong) = (Vec::new(), Vec::new());
    for number in (0..).step_by(stride) {
        match catch_unwind(AssertUnwindSafe(|| disturb(&scene, number))) {
            Ok(Came::NoCall) => break,
            Ok(outcome) => came.push(outcome),
            // What is wrong was printed.
            Err(_) => wrong.push(number),
        }
    }
    let count = |wanted: Came| came.iter().filter(|outcome| **outcome == wanted).count();
    eprintln!(
        "{what}: {calls} calls change the store or the results, {} were disturbed: {} killed, \
         {} refused with an error, {} could be done without, {} went wrong",
        came.len() + wrong.len(),
        count(Came::Killed),
        count(Came::Refused),
        count(Came::Unharmed),
        wrong.len(),
    );
    assert_eq!(wrong, [0; 0]);
    // Threads take turns otherwise each time, and a run may make a few calls more or less.
    assert!(came.len() * stride >= calls - calls / 10);
}

/// Disturbs the making of a store at each of its calls; what was begun becomes a store all the same.
fn disturb_new_store(injection: impl Fn(usize) -> Injection, code: Option<i32>) {
    let Some(base) = Base::find() else { return };
    let server = Server::start();
    let scene = Scene::new(&base, &server);
    let store = scene.project.root.join("fresh/store");
    for number in 0.. {
        let mut command = scene.project.command();
        command.args(["--quiet", "--store", "fresh/store", "plan"]);
        let traced = trace(&command, &scene.project.root, injection(number));
        if traced.calls.len() <= number {
            eprintln!("{number} calls make a store");
            assert!(number > 20, "the tracer sees them");
            break;
        }
        let call = &traced.calls[number];
        let is_expected = traced.code == code || traced.code == Some(0);
        let text = scene.printed("stderr.txt");
        assert!(is_expected, "{call:?}: {:?} {text}", traced.code);
        scene.project.done(&["--store", "fresh/store", "plan"]);
        assert!(store.join("index.json").is_file() && store.join("oci-layout").is_file());
        assert_eq!(children(&store.join("tmp")).len(), 0, "{call:?}");
        fs_err::remove_dir_all(scene.project.root.join("fresh")).unwrap();
    }
}

#[test]
fn slow_killed_while_it_makes_a_store_it_goes_on() {
    disturb_new_store(Injection::Kill, None);
}

#[test]
fn slow_a_store_that_can_not_be_made_is_made_later() {
    for error in [Errno::ENOSPC, Errno::EIO, Errno::EROFS] {
        disturb_new_store(|number| Injection::Fail(number, error), Some(2));
    }
}

#[test]
fn slow_killed_at_some_call_it_loses_nothing() {
    disturb_each(STRIDE, "killed", kill_at);
}

#[test]
fn thorough_killed_at_every_call_it_loses_nothing() {
    disturb_each(every(1), "killed", kill_at);
}

#[test]
fn slow_where_a_call_fails_the_error_says_where() {
    let error = Errno::ENOSPC;
    disturb_each(STRIDE, "disk full", |scene, at| fail_at(scene, at, error));
}

#[test]
fn thorough_wherever_the_disk_is_full_the_error_says_where() {
    let error = Errno::ENOSPC;
    disturb_each(every(1), "disk full", |scene, at| fail_at(scene, at, error));
}

#[test]
fn thorough_wherever_the_disk_fails_the_error_says_where() {
    let error = Errno::EIO;
    disturb_each(every(1), "disk error", |scene, at| {
        fail_at(scene, at, error)
    });
}

#[test]
fn thorough_wherever_a_call_is_refused_otherwise_the_error_says_where() {
    for error in [Errno::EROFS, Errno::EDQUOT, Errno::EMFILE] {
        disturb_each(every(7), &format!("{error:?}"), |scene, at| {
            fail_at(scene, at, error)
        });
    }
}
