//! An engine whose steps see another clock, another order of directories, another kernel version.
//!
//! It changes what a step is given and nothing else, so whatever is built with it is built as always:
//! every sealed run goes through it, packaging included, and no build key knows of it.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use kiln_model::{Isolation, Mount, MountAccess, SandboxPath, SealedStep, StepOutcome};

use super::clock::ClockFiles;
use crate::cancel::Cancel;
use crate::engine::{EmbeddedEngine, Engine};
use crate::error::SandboxError;

/// Where a step finds the library that changes its clock.
const LIBRARY: &str = "/usr/lib/kiln-clock.so";
const PRELOAD: &str = "/etc/ld.so.preload";

/// A folder and another face of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The folder.
    pub folder: PathBuf,
    /// The same, where directories are listed in another order.
    pub face: PathBuf,
}

/// What every step is given that differs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Disturbance {
    /// Another clock, by the lowest tree of the root file system that its library was made for.
    pub clocks: BTreeMap<PathBuf, ClockFiles>,
    /// Another face of the folder that `/build` lies in.
    pub view: Option<View>,
    /// What the kernel is to do otherwise, as [`personality`](super::personality) has it.
    pub personality: u32,
}

/// An engine that disturbs every step in the same way.
#[derive(Debug, Clone)]
pub struct DisturbedEngine {
    engine: EmbeddedEngine,
    disturbance: Disturbance,
}

impl DisturbedEngine {
    /// Returns an engine that runs steps on `engine`.
    #[must_use]
    pub fn new(engine: EmbeddedEngine, disturbance: Disturbance) -> Self {
        Self {
            engine: engine.with_personality(disturbance.personality),
            disturbance,
        }
    }

    fn disturbed(&self, step: &SealedStep) -> SealedStep {
        let mut step = step.clone();
        if let Some(view) = &self.disturbance.view {
            for mount in &mut step.mounts {
                if let Ok(below) = mount.source.strip_prefix(&view.folder) {
                    mount.source = view.face.join(below);
                }
            }
        }
        let base = step.rootfs.last();
        let clock = base.and_then(|base| self.disturbance.clocks.get(base));
        if let Some(clock) = clock.filter(|clock| clock.reaches(step.user)) {
            let files = [(&clock.library, LIBRARY), (&clock.preload, PRELOAD)];
            step.mounts.extend(files.map(|(source, target)| Mount {
                source: source.clone(),
                target: place(target),
                access: MountAccess::ReadOnly,
            }));
        }
        step
    }
}

fn place(path: &str) -> SandboxPath {
    path.parse().expect("a constant, absolute path")
}

/// What the file that is mounted as `/etc/ld.so.preload` says.
pub(super) fn preload_text() -> String {
    format!("{LIBRARY}\n")
}

impl Engine for DisturbedEngine {
    fn name(&self) -> &'static str {
        self.engine.name()
    }

    fn probe(&self) -> Result<Isolation, SandboxError> {
        self.engine.probe()
    }

    fn run(
        &self,
        step: &SealedStep,
        log: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<StepOutcome, SandboxError> {
        self.engine.run(&self.disturbed(step), log, cancel)
    }

    fn run_on_terminal(
        &self,
        step: &SealedStep,
        person: BorrowedFd<'_>,
        screen: &mut dyn Write,
        cancel: &Cancel,
    ) -> Result<StepOutcome, SandboxError> {
        let step = self.disturbed(step);
        self.engine.run_on_terminal(&step, person, screen, cancel)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kiln_model::{Limits, StepUser};

    use super::*;
    use crate::engine::InitProgram;

    fn step() -> SealedStep {
        let mount = |source: &str, target: &str| Mount {
            source: source.into(),
            target: place(target),
            access: MountAccess::ReadWrite,
        };
        SealedStep {
            label: "x".to_owned(),
            rootfs: vec!["/store/trees/a".into()],
            mounts: vec![
                mount("/store/tmp/a/build", "/build"),
                mount("/elsewhere", "/b"),
            ],
            command: vec!["/bin/true".to_owned()],
            environment: BTreeMap::from([("A".to_owned(), "b".to_owned())]),
            working_directory: place("/build"),
            user: StepUser::Build,
            limits: Limits {
                memory: 1,
                processes: 1,
                wall_time: Duration::from_secs(1),
                log: 1,
                scratch: 1,
                disk: 1,
                reserve: 1,
            },
        }
    }

    fn disturbed(disturbance: Disturbance) -> SealedStep {
        let engine = EmbeddedEngine::new(InitProgram {
            program: "/nonexistent".into(),
            arguments: Vec::new(),
        });
        DisturbedEngine::new(engine, disturbance).disturbed(&step())
    }

    #[test]
    fn only_what_is_disturbed_changes() {
        assert_eq!(disturbed(Disturbance::default()), step());
        let view = disturbed(Disturbance {
            view: Some(View {
                folder: "/store".into(),
                face: "/face".into(),
            }),
            ..Disturbance::default()
        });
        let sources: Vec<_> = view.mounts.iter().map(|mount| &mount.source).collect();
        assert_eq!(
            sources,
            [
                &PathBuf::from("/face/tmp/a/build"),
                &PathBuf::from("/elsewhere")
            ]
        );
        assert_eq!(view.rootfs, step().rootfs);
        let clock = |base: &str, offset: i64| {
            let files = ClockFiles {
                library: "/l".into(),
                preload: "/p".into(),
                offset,
            };
            disturbed(Disturbance {
                clocks: BTreeMap::from([(base.into(), files)]),
                ..Disturbance::default()
            })
        };
        assert_eq!(clock("/store/trees/other", 5), step());
        let clock = clock("/store/trees/a", 5);
        assert_eq!(clock.mounts[..2], step().mounts[..]);
        let targets: Vec<_> = clock.mounts[2..]
            .iter()
            .map(|m| m.target.as_str())
            .collect();
        assert_eq!(targets, [LIBRARY, PRELOAD]);
        assert_eq!(clock.environment, step().environment);
    }
}
