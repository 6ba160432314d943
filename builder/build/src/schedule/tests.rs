use std::io::Write;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use kiln_model::{
    Architecture, Digest, Isolation, LOCK_FORMAT, Lock as _, LockedSource, ManifestDigest,
    RecipeLock, SealedStep, StepOutcome,
};
use kiln_sandbox::{Cancel, Engine, SandboxError};
use kiln_store::{FetchSettings, Fetcher, Network, Store};

use super::*;
use crate::graph::Graph;
use crate::project::Project;
use crate::workshop::{Host, Report};

/// An engine that nobody should get as far as to use.
struct NoEngine;

impl Engine for NoEngine {
    fn name(&self) -> &'static str {
        "none"
    }

    fn probe(&self) -> Result<Isolation, SandboxError> {
        unreachable!("nothing is probed here")
    }

    fn run(
        &self,
        _: &SealedStep,
        _: &mut dyn Write,
        _: &Cancel,
    ) -> Result<StepOutcome, SandboxError> {
        unreachable!("the root file system can not be had, so no step runs")
    }
}

/// Writes a project with one recipe on a base image whose layout does not exist.
fn write_project(root: &Path, store: &Store) {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    archive
        .append_data(&mut header, "x-1/file", &b"x"[..])
        .unwrap();
    let source = store.write_blob(&archive.into_inner().unwrap()).unwrap();
    let manifest = ManifestDigest(Digest::of(b"no image"));
    let url = "https://example.org/x-1.tar";
    let recipe = format!(
        "schema: 1\nname: x\nversion: \"1\"\nrelease: 1\nsummary: x\nlicense: MIT\nhomepage: \
         https://example.org\nidentity: {{supplier: x}}\nbase: b\nsources:\n  - {{url: \"{url}\", \
         sha256: \"{}\", released: 2020-01-01}}\nsteps: {{use: make}}\n",
        source.to_hex()
    );
    let lock = RecipeLock {
        format: LOCK_FORMAT,
        recipe: "x".parse().unwrap(),
        architecture: Architecture::X86_64,
        base: "b".parse().unwrap(),
        base_manifest: manifest,
        sources: vec![LockedSource {
            url: url.parse().unwrap(),
            sha256: source,
            sha512: kiln_model::Sha512::of(b""),
            size: 1,
        }],
        tools: None,
    };
    let base = format!("schema: 1\nname: b\nlayout: nowhere@{manifest}\n");
    for (path, text) in [
        ("recipes/x/recipe.yaml", recipe),
        ("base-images/b.yaml", base),
        ("lockfiles/x-x86_64.lock", lock.encode()),
    ] {
        crate::publish::publish(&root.join(path), text.as_bytes()).unwrap();
    }
}

/// Builds the project with this report.
fn build_with(report: &dyn Report) -> Result<(), BuildError> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store")).unwrap();
    write_project(folder.path(), &store);
    let project = Project::load(folder.path()).unwrap();
    let settings = FetchSettings::new(Vec::new(), Network::Offline);
    let fetcher = Fetcher::new(store.clone(), settings).unwrap();
    let shop = Workshop {
        project: &project,
        store: &store,
        fetcher: &fetcher,
        engine: &NoEngine,
        report,
        cancel: &Cancel::new(),
        architecture: Architecture::X86_64,
        jobs: NonZeroUsize::MIN,
        output: &folder.path().join("out"),
        program: None,
        host: &|| Host {
            name: String::new(),
            kernel: String::new(),
            kiln_digest: Digest::of(b""),
        },
        clock: &|| "2026-01-01T00:00:00Z".to_owned(),
    };
    let graph = Graph::new(&project, &["x".parse().unwrap()]).unwrap();
    let plan = Plan::new(&shop, graph)?;
    build_all(&shop, &plan).map(drop)
}

struct Silent;

impl Report for Silent {
    fn tell(&self, _: &Event<'_>) {}
}

struct Panicking;

impl Report for Panicking {
    fn tell(&self, event: &Event<'_>) {
        panic!("told {event:?}");
    }
}

#[test]
fn a_failure_ends_the_schedule_with_its_reason() {
    let error = build_with(&Silent).unwrap_err();
    assert!(
        matches!(&error, BuildError::Image { what, .. } if what == "b"),
        "{error:?}"
    );
}

/// A worker that panics once left the other one waiting for ever.
#[test]
fn a_panic_in_a_worker_ends_the_schedule() {
    let panic = catch_unwind(AssertUnwindSafe(|| build_with(&Panicking))).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.starts_with("told Assembling"), "{text}");
}
