use std::io::Write;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Barrier;

use kiln_model::{
    Architecture, Digest, Isolation, LOCK_FORMAT, Lock as _, LockedSource, ManifestDigest,
    Measured, ReachedLimits, RecipeLock, RecipeName, SealedStep, StepEnd, StepOutcome,
};
use kiln_sandbox::{Cancel, Engine, SandboxError};
use kiln_store::{FetchSettings, Fetcher, Network, Store};

use super::*;
use crate::graph::Graph;
use crate::outputs::{Summary, publish_products};
use crate::project::Project;
use crate::workshop::{Host, Report};

/// An engine that runs nothing: a step fails if its recipe is among `failing`.
pub(crate) struct Pretender {
    pub(crate) failing: Vec<&'static str>,
    /// The step in whose midst the run is interrupted.
    pub(crate) interrupted: Option<&'static str>,
    /// Where failing steps wait for each other, so that they run side by side.
    pub(crate) meeting: Option<Barrier>,
}

const ISOLATION: Measured = Measured::Yes;

fn isolation() -> Isolation {
    Isolation {
        engine: "pretender".to_owned(),
        network: ISOLATION,
        filesystem: ISOLATION,
        processes: ISOLATION,
        privileges: ISOLATION,
        user_namespace: ISOLATION,
        resource_limits: ISOLATION,
    }
}

impl Engine for Pretender {
    fn name(&self) -> &'static str {
        "pretender"
    }

    fn probe(&self) -> Result<Isolation, SandboxError> {
        Ok(isolation())
    }

    fn run_on_terminal(
        &self,
        step: &SealedStep,
        _person: BorrowedFd<'_>,
        screen: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<StepOutcome, SandboxError> {
        self.run(step, screen, cancel)
    }

    fn run(
        &self,
        step: &SealedStep,
        log: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<StepOutcome, SandboxError> {
        let recipe = step.label.split([' ', ':']).next().unwrap();
        writeln!(log, "+ make {recipe}").unwrap();
        let mut end = StepEnd::Exited(0);
        if self.failing.contains(&recipe) {
            end = StepEnd::Exited(2);
            if let Some(meeting) = &self.meeting {
                meeting.wait();
            }
        }
        if self.interrupted == Some(&step.label) {
            cancel.cancel();
            end = StepEnd::Cancelled;
        }
        if step.label.ends_with("install") {
            let destdir = step.mounts[0].source.join("destdir");
            crate::publish::publish(&destdir.join("usr/lib/x"), recipe.as_bytes()).unwrap();
        }
        Ok(StepOutcome {
            end,
            reached: ReachedLimits::default(),
            isolation: isolation(),
            elapsed: Duration::from_secs(1),
            peak_memory: None,
        })
    }
}

/// Returns a tar archive with some files, all of which could be programs.
fn archive(names: &[&str]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for name in names {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o755);
        archive.append_data(&mut header, name, &b"x"[..]).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Where the base image is.
#[derive(Clone, Copy)]
pub(crate) enum Layout {
    InStore,
    Nowhere,
}

/// Writes a project of libraries: `b` bundles `a`; `c` and `d` stand alone.
pub(crate) fn write_project(root: &Path, store: &Store, layout: Layout) {
    let archive_bytes = archive(&["x-1/file"]);
    let source = store.write_blob(&archive_bytes).unwrap();
    let url = "https://example.org/x-1.tar";
    let (place, manifest) = match layout {
        Layout::Nowhere => ("nowhere", ManifestDigest(Digest::of(b"no image"))),
        Layout::InStore => {
            let layer = store
                .write_blob(&archive(&["usr/bin/sh", "usr/bin/make"]))
                .unwrap();
            let layers = [kiln_model::DiffId(layer)];
            let image = kiln_image::write_image(store, &layers, Architecture::X86_64);
            ("store", image.unwrap())
        }
    };
    let base = format!("schema: 1\nname: base\nlayout: {place}@{manifest}\n");
    let mut files = vec![("base-images/base.yaml".to_owned(), base)];
    for name in ["a", "b", "c", "d"] {
        let libraries = match name {
            "b" => {
                "libraries:\n  a: {choice: bundle, link: shared, reason: a test, decided-by: \
                 testers, decided-on: 2024-03-01, review-by: 2034-03-01}\n"
            }
            _ => "",
        };
        let recipe = format!(
            "schema: 1\nname: {name}\nversion: \"1\"\nrelease: 1\nsummary: x\nlicense: MIT\n\
             homepage: https://example.org\nidentity: {{supplier: x}}\nbase: base\nsources:\n  - \
             {{url: \"{url}\", sha256: \"{}\", released: 2020-01-01}}\nsteps: {{use: make}}\n{libraries}",
            source.to_hex()
        );
        let lock = RecipeLock {
            format: LOCK_FORMAT,
            recipe: name.parse().unwrap(),
            architecture: Architecture::X86_64,
            base: "base".parse().unwrap(),
            base_manifest: manifest,
            sources: vec![LockedSource {
                url: url.parse().unwrap(),
                sha256: source,
                sha512: Some(kiln_model::Sha512::of(b"")),
                size: Some(archive_bytes.len() as u64),
                git: None,
            }],
            tools: None,
        };
        files.push((format!("recipes/{name}/recipe.yaml"), recipe));
        files.push((format!("lockfiles/{name}-x86_64.lock"), lock.encode()));
    }
    for (path, text) in files {
        crate::publish::publish(&root.join(path), text.as_bytes()).unwrap();
    }
}

/// Calls `act` with what builds the project at `root`, loaded anew.
pub(crate) fn with_shop<R>(
    root: &Path,
    store: &Store,
    (report, engine): (&dyn Report, &Pretender),
    act: impl FnOnce(&Workshop<'_>) -> R,
) -> R {
    let project = Project::load(root).unwrap();
    let settings = FetchSettings::new(Vec::new(), Network::Offline);
    let fetcher = Fetcher::new(store.clone(), settings).unwrap();
    let shop = Workshop {
        project: &project,
        store,
        fetcher: &fetcher,
        engine,
        report,
        cancel: &Cancel::new(),
        architecture: Architecture::X86_64,
        jobs: NonZeroUsize::MIN,
        output: &root.join("out"),
        program: kiln_store::FileIdentity::at(&root.join("program")),
        host: &|| Host {
            name: String::new(),
            kernel: String::new(),
            kiln_digest: Digest::of(b""),
        },
        clock: &|| "2026-01-01T00:00:00Z".to_owned(),
        circumstances: crate::workshop::Circumstances::USUAL,
    };
    act(&shop)
}

/// Builds recipes of the project with this report and engine.
fn build_with(
    report: &dyn Report,
    engine: &Pretender,
    layout: Layout,
    wanted: &[&str],
    on_failure: OnFailure,
) -> Summary {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    write_project(folder.path(), &store, layout);
    let wanted: Vec<RecipeName> = wanted.iter().map(|name| name.parse().unwrap()).collect();
    with_shop(folder.path(), &store, (report, engine), |shop| {
        let graph = Graph::new(shop.project, &wanted).unwrap();
        let plan = Plan::new(shop, graph).unwrap();
        let past = Past::load(shop).unwrap();
        let finished = run_all(shop, &plan, on_failure, "2026-01-01T00:00:00Z", &past);
        let (memory, latest) = past.into_parts();
        latest.save().unwrap();
        publish_products(shop, &plan, finished, memory, on_failure).unwrap()
    })
}

pub(crate) const FINE: Pretender = Pretender {
    failing: Vec::new(),
    interrupted: None,
    meeting: None,
};

/// Hears nothing, and panics at one kind of event if told to.
pub(crate) struct Listener {
    panics: bool,
}

impl Report for Listener {
    fn tell(&self, event: &Event<'_>) {
        if self.panics && matches!(event, Event::Assembling { .. }) {
            panic!("told {event:?}");
        }
    }
}

pub(crate) const SILENT: Listener = Listener { panics: false };

/// Returns one line per row of the closing table.
fn rows(summary: &Summary) -> Vec<String> {
    let row = |row: &Row| {
        let outcome = match &row.outcome {
            Outcome::Blocked { by } => format!("blocked by {by}"),
            outcome => format!("{outcome:?}").to_lowercase(),
        };
        format!("{}: {outcome}", row.work)
    };
    summary.rows.iter().map(row).collect()
}

#[test]
fn a_failure_ends_the_schedule_with_its_reason() {
    let stop = OnFailure::Stop;
    let summary = build_with(&SILENT, &FINE, Layout::Nowhere, &["c"], stop);
    assert_eq!(rows(&summary), ["c for /usr/lib/c: failed"]);
    assert!(
        matches!(&summary.failures[..], [BuildError::Image { what, .. }] if what == "base"),
        "{:?}",
        summary.failures
    );
}

/// A worker that panics once left the other one waiting for ever.
#[test]
fn a_panic_in_a_worker_ends_the_schedule() {
    let report = Listener { panics: true };
    let stop = OnFailure::Stop;
    let run = || build_with(&report, &FINE, Layout::Nowhere, &["c"], stop);
    let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.starts_with("told Assembling"), "{text}");
}

#[test]
fn everything_is_built_after_what_it_needs() {
    let stop = OnFailure::Stop;
    let summary = build_with(&SILENT, &FINE, Layout::InStore, &["b", "c"], stop);
    assert_eq!(
        rows(&summary),
        [
            "a for /usr/lib/b: built",
            "b for /usr/lib/b: built",
            "c for /usr/lib/c: built",
        ]
    );
    assert!(summary.failures.is_empty());
    assert!(!summary.is_nothing_done());
}

#[test]
fn with_keep_going_only_what_needs_the_failed_is_left_out() {
    let engine = Pretender {
        failing: vec!["a", "d"],
        ..FINE
    };
    let wanted = ["b", "c", "d"];
    let keep_going = OnFailure::KeepGoing;
    let summary = build_with(&SILENT, &engine, Layout::InStore, &wanted, keep_going);
    assert_eq!(
        rows(&summary),
        [
            "a for /usr/lib/b: failed",
            "b for /usr/lib/b: blocked by a for /usr/lib/b",
            "c for /usr/lib/c: built",
            "d for /usr/lib/d: failed",
        ]
    );
    let mut failed: Vec<_> = summary
        .failures
        .iter()
        .map(|error| match error {
            BuildError::StepFailed { node, end, log, .. } => {
                (node.recipe.to_string(), end.clone(), log.command.clone())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    failed.sort_by(|a, b| a.0.cmp(&b.0));
    let expected = ["a", "d"].map(|name| {
        let command = Some(format!("make {name}"));
        (name.to_owned(), StepEnd::Exited(2), command)
    });
    assert_eq!(failed, expected);
}

#[test]
fn without_it_nothing_new_is_started() {
    let engine = Pretender {
        failing: vec!["a", "c"],
        meeting: Some(Barrier::new(2)),
        ..FINE
    };
    let wanted = ["c", "b", "d"];
    let stop = OnFailure::Stop;
    let summary = build_with(&SILENT, &engine, Layout::InStore, &wanted, stop);
    assert_eq!(
        rows(&summary),
        [
            "c for /usr/lib/c: failed",
            "a for /usr/lib/b: failed",
            "b for /usr/lib/b: blocked by a for /usr/lib/b",
            "d for /usr/lib/d: notstarted",
        ]
    );
}

#[test]
fn an_interruption_is_no_failure() {
    let engine = Pretender {
        interrupted: Some("a for /usr/lib/b: install"),
        ..FINE
    };
    let keep_going = OnFailure::KeepGoing;
    let summary = build_with(&SILENT, &engine, Layout::InStore, &["b"], keep_going);
    assert_eq!(
        rows(&summary),
        [
            "a for /usr/lib/b: cancelled",
            "b for /usr/lib/b: notstarted"
        ]
    );
    assert!(summary.is_cancelled && summary.failures.is_empty());
}

#[test]
fn bigger_machines_do_more_pieces_side_by_side() {
    let counted = [1, 2, 8, 11, 12, 16, 64].map(|jobs| workers(NonZero::new(jobs).unwrap()));
    assert_eq!(counted, [2, 2, 2, 2, 3, 4, 6]);
}
