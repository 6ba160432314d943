//! `kiln vary`, which no help shows: one rebuild under variation, for tests and for looking closely.

use kiln_build::{BuildError, Checks};
use kiln_model::{Factor, Level, Observation, Variation};
use serde::Serialize;

use crate::arguments::{Common, Vary};
use crate::failure::Failure;
use crate::interrupt::FirstSignal;
use crate::print::{line, note};
use crate::session::Session;
use crate::varied::{Answer, RebuildError, RebuildOrder, control_facts, rebuild_varied};

/// What is printed, as JSON.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Printed<'a> {
    answer: &'a Answer,
    observations: &'a [Observation],
}

/// Rebuilds once; prints the answer and what was observed, and moves the results to a folder.
pub fn run(common: &Common, vary: &Vary) -> Result<u8, Failure> {
    let mut variation = Variation::default();
    for pair in &vary.with {
        let (factor, level) = factor(pair)?;
        variation.set(factor, level);
    }
    let mut session = Session::open(common, FirstSignal::Asks)?;
    let recipes = super::wanted(&session.project, &vary.names);
    let shop = session.workshop();
    let control =
        control_facts(&shop, &recipes).map_err(|error| Failure::build(&session.project, &error))?;
    let order = RebuildOrder {
        project: &session.project,
        recipes: &recipes,
        variation: &variation,
        checks: if vary.checks {
            Checks::Run
        } else {
            Checks::Skip
        },
        store: shop.store,
        jobs: shop.jobs,
        control: &control,
        cancel: session.cancel(),
    };
    let mut hear = |text: &str| {
        if !common.quiet {
            note(&format!("{variation}: {text}"));
        }
    };
    let rebuilt = rebuild_varied(&order, &mut hear).map_err(|error| match error {
        RebuildError::Cancelled => Failure::build(&session.project, &BuildError::Cancelled),
        error => Failure::host(error.into()),
    })?;
    let printed = Printed {
        answer: &rebuilt.answer,
        observations: &rebuilt.observations,
    };
    let is_whole = rebuilt.answer.failures.is_empty() && !rebuilt.answer.is_cancelled;
    let text = serde_json::to_string(&printed).map_err(|error| Failure::host(error.into()))?;
    if let Some(to) = &vary.to {
        copy(&rebuilt.output, to).map_err(|error| Failure::host(error.into()))?;
    }
    drop(rebuilt);
    session.finish_report();
    line(&text);
    Ok(u8::from(!is_whole))
}

/// Reads `clock=past`.
fn factor(text: &str) -> Result<(Factor, Level), Failure> {
    let read = || {
        let (factor, level) = text.split_once('=')?;
        let value = |text: &str| serde_json::Value::String(text.to_owned());
        let factor: Factor = serde_json::from_value(value(factor)).ok()?;
        let level: Level = serde_json::from_value(value(level)).ok()?;
        factor.levels().contains(&level).then_some((factor, level))
    };
    read().ok_or_else(|| Failure::usage(&format!("no variation `{text}`"), "clock=past"))
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> std::io::Result<()> {
    for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
        let entry = entry.map_err(std::io::Error::from)?;
        let target = to.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        if entry.file_type().is_dir() {
            fs_err::create_dir_all(&target)?;
        } else {
            fs_err::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}
