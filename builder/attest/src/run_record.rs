//! The run record, `NAME.run.json`: what is true of one run only and compared with nothing.
//!
//! When and where it ran, what isolation each step really had, how long it took. It names the
//! provenance that it belongs to by digest, so that the two halves can be joined and only one signed
//! for reproducibility.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use kiln_model::{Digest, Isolation, Line, RecipeName};
use serde::Serialize;

use crate::json;

/// The run record format that this kiln writes.
pub const RUN_RECORD_FORMAT: u32 = 1;

/// Says why a text is not the time of a run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a time in UTC as `YYYY-MM-DDTHH:MM:SSZ`, got `{text}`")]
pub struct RunTimeError {
    /// The text as it was given.
    pub text: String,
}

/// An instant of a run, as the caller read it from a clock: RFC 3339 in UTC.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct RunTime(String);

impl FromStr for RunTime {
    type Err = RunTimeError;

    fn from_str(text: &str) -> Result<Self, RunTimeError> {
        match text.parse::<jiff::Timestamp>() {
            Ok(time) if text.ends_with('Z') && time.to_string() == text => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(RunTimeError {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for RunTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The machine of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its kernel's release: `6.1.0-18-amd64`.
    pub kernel: String,
    /// sha256 of the kiln binary that ran.
    pub kiln: Digest,
}

/// Whether a step was run or its result taken from the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepOrigin {
    /// It ran.
    Built,
    /// An earlier run had the same build key.
    Cached,
}

/// One step of a run, in the order in which they ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// The recipe whose step it is.
    pub recipe: RecipeName,
    /// The step: `prep`, `build`, `install`, `check`, `package`.
    pub step: Line,
    /// Whether it ran.
    pub origin: StepOrigin,
    /// What isolation it had; `None` when it did not run.
    pub isolation: Option<Isolation>,
    /// How long it took; `None` when it did not run.
    pub elapsed: Option<Duration>,
    /// Greatest resident memory of one process, in bytes, where the kernel told.
    pub peak_memory: Option<u64>,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunRecord {
    /// The recipe that was asked for.
    pub recipe: RecipeName,
    /// Version of kiln.
    pub kiln_version: Line,
    /// sha256 of the provenance file that this run wrote.
    pub provenance: Digest,
    /// When it started.
    pub started: RunTime,
    /// When it ended.
    pub finished: RunTime,
    /// The engine and the isolation that it measured before the first step.
    pub isolation: Isolation,
    /// Where it ran.
    pub host: Host,
    /// Its steps.
    pub steps: Vec<StepRecord>,
}

impl RunRecord {
    /// Writes the run record as JSON.
    #[must_use]
    pub fn render(&self) -> Vec<u8> {
        json::encode(&Document {
            run_record: RUN_RECORD_FORMAT,
            recipe: &self.recipe,
            kiln_version: &self.kiln_version,
            provenance: &self.provenance,
            started: &self.started,
            finished: &self.finished,
            isolation: &self.isolation,
            host: &self.host,
            steps: self.steps.iter().map(step).collect(),
        })
    }
}

fn step(record: &StepRecord) -> Step<'_> {
    Step {
        recipe: &record.recipe,
        step: &record.step,
        origin: record.origin,
        isolation: record.isolation.as_ref(),
        elapsed_milliseconds: record.elapsed.map(|elapsed| elapsed.as_millis()),
        peak_memory_bytes: record.peak_memory,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a> {
    run_record: u32,
    recipe: &'a RecipeName,
    kiln_version: &'a Line,
    provenance: &'a Digest,
    started: &'a RunTime,
    finished: &'a RunTime,
    isolation: &'a Isolation,
    host: &'a Host,
    steps: Vec<Step<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Step<'a> {
    recipe: &'a RecipeName,
    step: &'a Line,
    origin: StepOrigin,
    #[serde(skip_serializing_if = "Option::is_none")]
    isolation: Option<&'a Isolation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    elapsed_milliseconds: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_memory_bytes: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_time_is_utc_and_has_one_spelling() {
        for good in ["2026-11-22T21:00:00Z", "2026-11-22T21:00:00.5Z"] {
            assert_eq!(good.parse::<RunTime>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "now",
            "2026-11-22",
            "2026-11-22T21:00:00+00:00",
            "2026-11-22t21:00:00z",
        ] {
            assert_eq!(
                bad.parse::<RunTime>(),
                Err(RunTimeError {
                    text: bad.to_owned()
                })
            );
        }
    }
}
