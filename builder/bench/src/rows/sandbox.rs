//! `sandbox`: from the start of a sealed run of `/bin/true` to its end, beside bubblewrap.
//!
//! Both are started by this process and waited for. Kiln's engine starts the measured kiln's own init,
//! as it does for every step, with all that the contract asks for: six namespaces, limits, an overlay
//! root, seccomp, and the measuring of what isolation there is. bubblewrap unshares the same
//! namespaces and binds the same tree; it has no limits, no filter and measures nothing.

use std::path::Path;
use std::time::{Duration, Instant};

use kiln_model::{Limits, Mount, MountAccess, SealedStep, StepEnd, StepUser};
use kiln_sandbox::{Cancel, EmbeddedEngine, Engine as _, InitProgram};

use crate::command::{command, need, run};
use crate::error::BenchError;
use crate::figure::{Figure, in_turn};
use crate::setting::{Setting, ratio};

/// Starts that are measured per pair of the setting: one takes milliseconds.
const STARTS: usize = 20;

/// Measures it.
pub fn measure(setting: &Setting) -> Result<Vec<Figure>, BenchError> {
    let bwrap = need("bwrap", "bubblewrap")?;
    let base = setting.base_lock()?;
    let tree = setting.store.join("trees").join(base.layer.0.to_hex());
    let root = tree.join("root");
    if !root.is_dir() {
        return Err(BenchError::skipped(format!(
            "no base image in `{}`; run `make rpms` first",
            setting.store.display()
        )));
    }
    let engine = EmbeddedEngine::new(InitProgram {
        program: setting.kiln.clone(),
        arguments: vec!["sandbox-init".to_owned()],
    });
    let build = setting.folder("sandbox")?;
    let step = step(&root, &build)?;
    let runs = setting.runs * STARTS;
    let pair = in_turn(
        runs,
        || sealed(&engine, &step),
        || {
            let mut bwrap = command(&bwrap);
            bwrap.args(["--unshare-all", "--die-with-parent", "--ro-bind"]);
            bwrap.arg(&root).arg("/");
            bwrap.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]);
            run(bwrap.arg("/bin/true")).map(|used| used.elapsed)
        },
    )?;
    let what = "sealed run of /bin/true, start to end";
    Ok(vec![ratio("sandbox", what, "bubblewrap", pair, runs, 2.0)])
}

fn sealed(engine: &EmbeddedEngine, step: &SealedStep) -> Result<Duration, BenchError> {
    let began = Instant::now();
    let mut log = Vec::new();
    let outcome = engine
        .run(step, &mut log, &Cancel::new())
        .map_err(|error| BenchError::kiln("sandbox")(&error))?;
    let elapsed = began.elapsed();
    match outcome.end {
        StepEnd::Exited(0) => Ok(elapsed),
        end => Err(BenchError::Command {
            command: "/bin/true in kiln's sandbox".to_owned(),
            status: format!("{end:?}"),
            tail: String::from_utf8_lossy(&log).into_owned(),
        }),
    }
}

fn step(root: &Path, build: &Path) -> Result<SealedStep, BenchError> {
    let path = |text: &str| {
        text.parse()
            .map_err(|error| BenchError::kiln("sandbox")(&error))
    };
    Ok(SealedStep {
        label: "bench".to_owned(),
        rootfs: vec![root.to_owned()],
        mounts: vec![Mount {
            source: build.to_owned(),
            target: path("/build")?,
            access: MountAccess::ReadWrite,
        }],
        command: vec!["/bin/true".to_owned()],
        environment: std::collections::BTreeMap::new(),
        working_directory: path("/build")?,
        user: StepUser::Build,
        limits: Limits {
            memory: 8 << 30,
            processes: 4096,
            wall_time: Duration::from_secs(60),
            log: 1 << 20,
            scratch: 1 << 30,
            disk: 1 << 40,
            reserve: 0,
        },
    })
}
