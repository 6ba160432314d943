//! Events for programs: from what happens to lines of standard output.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kiln_build::{BuildError, Event, LogEnd, Outcome, Row, Work};
use kiln_image::TreeStage;
use kiln_model::StepEnd;

use super::event_line::{EVENT_FORMAT, EventLine, print_event};
use super::event_parts::{End, Stage, UnpinnedRecipe, WorkError, WorkId, WorkKind, WorkState};

/// The least time between two lines on the progress of one thing.
const INTERVAL: Duration = Duration::from_millis(500);

/// Prints an event per line.
#[derive(Debug)]
pub struct Events {
    started: Instant,
    /// When progress of a thing was last told.
    told: Mutex<BTreeMap<String, Duration>>,
}

impl Events {
    /// Prints the first line.
    pub fn start() -> Self {
        print_event(&EventLine::Started {
            format: EVENT_FORMAT,
            kiln: kiln_build::KILN_VERSION.to_owned(),
        });
        Self {
            started: Instant::now(),
            told: Mutex::new(BTreeMap::new()),
        }
    }

    /// Prints an event, if programs are told of it.
    pub fn tell(&self, event: &Event<'_>) {
        let Some(line) = event_line(event) else {
            return;
        };
        if self.is_due(&line, self.started.elapsed()) {
            print_event(&line);
        }
    }

    /// Progress is told now and then, everything else always.
    fn is_due(&self, line: &EventLine, now: Duration) -> bool {
        let thing = match line {
            EventLine::FetchAdvanced { name, .. } => format!("fetch {name}"),
            EventLine::AssemblyAdvanced { name, stage, .. } => format!("{stage:?} {name}"),
            _ => return true,
        };
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = told.get(&thing).is_none_or(|then| now - *then >= INTERVAL);
        if is_due {
            told.insert(thing, now);
        }
        is_due
    }
}

impl From<&Work> for WorkId {
    fn from(work: &Work) -> Self {
        let kind = match work {
            Work::Build(_) => WorkKind::Build,
            Work::Package(_) => WorkKind::Package,
            Work::BasePackage(_) => WorkKind::BasePackage,
            Work::Repository => WorkKind::Repository,
        };
        let name = work.name();
        Self { kind, name }
    }
}

impl From<&Outcome> for WorkState {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Built => Self::Built,
            Outcome::Cached => Self::Cached,
            Outcome::Failed => Self::Failed,
            Outcome::Cancelled => Self::Cancelled,
            Outcome::Blocked { .. } => Self::Blocked,
            Outcome::NotStarted => Self::NotStarted,
        }
    }
}

impl From<&BuildError> for WorkError {
    fn from(error: &BuildError) -> Self {
        let message = error.to_string();
        let (BuildError::StepFailed { log, .. } | BuildError::PackagingFailed { log, .. }) = error
        else {
            return Self {
                message,
                command: None,
                log: None,
                tail: Vec::new(),
            };
        };
        let LogEnd { log, command, tail } = (**log).clone();
        Self {
            message,
            command,
            log: Some(log.display().to_string()),
            tail,
        }
    }
}

/// Returns a duration in whole milliseconds.
/// Tells programs of a recipe that can not be built yet.
pub fn unpinned_recipe(unpinned: &kiln_build::Unpinned) -> UnpinnedRecipe {
    UnpinnedRecipe {
        recipe: unpinned.recipe().to_string(),
        because_of: unpinned.culprit().to_string(),
        missing: unpinned.missing.iter().map(ToString::to_string).collect(),
    }
}

/// Returns a duration as programs read it.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn event_line(event: &Event<'_>) -> Option<EventLine> {
    Some(match event {
        Event::Planned { work } => EventLine::Planned {
            work: work.iter().map(WorkId::from).collect(),
        },
        Event::LockNote { recipe, note } => EventLine::LockNote {
            recipe: recipe.to_string(),
            kind: note.kind().to_owned(),
            message: note.to_string(),
        },
        Event::Locked { file } | Event::LockUnchanged { file } => EventLine::Locked {
            file: file.display().to_string(),
            is_written: matches!(event, Event::Locked { .. }),
        },
        Event::Waiting { what } => EventLine::Waiting {
            name: (*what).to_owned(),
        },
        Event::SetAside { thing, evidence } => EventLine::SetAside {
            name: thing.to_string(),
            evidence: evidence.display().to_string(),
        },
        Event::WorkStarted { work } => EventLine::WorkStarted {
            work: (*work).into(),
        },
        Event::WorkEnded { row, error } => work_ended(row, *error),
        Event::StepStarted { work, step } => EventLine::StepStarted {
            work: (*work).into(),
            step: step.to_string(),
        },
        Event::Output { work, step, line } => EventLine::Output {
            work: (*work).into(),
            step: step.to_string(),
            line: (*line).to_owned(),
        },
        Event::StepEnded {
            work,
            step,
            end,
            elapsed,
        } => {
            let (end, status, signal) = match end {
                StepEnd::Exited(status) => (End::Exited, Some(*status), None),
                StepEnd::Signaled(signal) => (End::Signaled, None, Some(*signal)),
                StepEnd::TimedOut => (End::TimedOut, None, None),
                StepEnd::OverDisk => (End::OverDisk, None, None),
                StepEnd::DiskShort => (End::DiskShort, None, None),
                StepEnd::Cancelled => (End::Cancelled, None, None),
            };
            EventLine::StepEnded {
                work: (*work).into(),
                step: step.to_string(),
                end,
                status,
                signal,
                elapsed_ms: milliseconds(*elapsed),
            }
        }
        Event::BelowReleased { nevra, released } => EventLine::BelowReleased {
            package: (*nevra).to_owned(),
            released: (*released).to_owned(),
        },
        Event::CheckSkipped { recipe, reason } => EventLine::CheckSkipped {
            recipe: recipe.to_string(),
            reason: (*reason).to_owned(),
        },
        event => return input_line(event),
    })
}

/// Lines on what builds need: files and root file systems.
fn input_line(event: &Event<'_>) -> Option<EventLine> {
    let owned = |text: &str| text.to_owned();
    Some(match event {
        Event::Fetching { files, bytes } => EventLine::Fetching {
            files: *files,
            bytes: *bytes,
        },
        Event::FetchAdvanced { name, bytes } => EventLine::FetchAdvanced {
            name: owned(name),
            bytes: *bytes,
        },
        Event::FetchPassedOver {
            name,
            address,
            reason,
        } => EventLine::FetchPassedOver {
            name: owned(name),
            address: owned(address),
            reason: owned(reason),
        },
        Event::Fetched { name, bytes } => EventLine::Fetched {
            name: owned(name),
            bytes: *bytes,
        },
        Event::Assembling { what } => EventLine::Assembling { name: owned(what) },
        Event::AssemblyAdvanced {
            what,
            stage,
            bytes,
            total,
        } => EventLine::AssemblyAdvanced {
            name: owned(what),
            stage: match stage {
                TreeStage::Read => Stage::Packages,
                TreeStage::Write => Stage::Layer,
                TreeStage::Unpack => Stage::Files,
            },
            bytes: *bytes,
            total: *total,
        },
        Event::Assembled { what, elapsed } => EventLine::Assembled {
            name: owned(what),
            elapsed_ms: milliseconds(*elapsed),
        },
        _ => return None,
    })
}

fn work_ended(row: &Row, error: Option<&BuildError>) -> EventLine {
    EventLine::WorkEnded {
        work: (&row.work).into(),
        state: (&row.outcome).into(),
        blocked_by: match &row.outcome {
            Outcome::Blocked { by } => Some(by.into()),
            _ => None,
        },
        elapsed_ms: milliseconds(row.elapsed),
        rpms: row.rpms.map(|rpms| rpms.files),
        rpm_bytes: row.rpms.map(|rpms| rpms.bytes),
        error: error.map(WorkError::from),
    }
}

#[cfg(test)]
mod tests;
