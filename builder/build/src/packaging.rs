//! One sealed run that packages something, with its log and its reports: rpmbuild, createrepo_c.

use std::path::Path;
use std::time::Instant;

use kiln_model::{SealedStep, StepEnd};

use crate::compile::StepRecord;
use crate::ending::reached_limits;
use crate::error::BuildError;
use crate::log::StepLog;
use crate::publish::refused;
use crate::workshop::{Running, Workshop};

/// Runs it to its end; `what` is packaged, and `log` is relative to `out/`.
///
/// # Errors
/// `PackagingFailed` with the end of the log, `Cancelled`, or whatever kept it from running.
pub(crate) fn run_packaging(
    shop: &Workshop<'_>,
    step: Running<'_>,
    sealed: &SealedStep,
    (what, log): (&str, &Path),
) -> Result<StepRecord, BuildError> {
    let log = shop.output.join(log);
    let mut log = StepLog::create(&log, step.listener(shop)).map_err(refused(&log))?;
    step.tell_start(shop);
    let started = Instant::now();
    let outcome = shop.engine.run(sealed, &mut log, shop.cancel)?;
    step.tell_end(shop, &outcome.end, started.elapsed());
    let reached = reached_limits(&outcome, &sealed.limits);
    if outcome.end != StepEnd::Cancelled {
        shop.check_isolation(&outcome.isolation)?;
    }
    match outcome.end {
        StepEnd::Exited(0) => Ok(StepRecord {
            label: sealed.label.clone(),
            elapsed_ms: u64::try_from(outcome.elapsed.as_millis()).unwrap_or(u64::MAX),
            peak_memory: outcome.peak_memory,
            isolation: outcome.isolation,
        }),
        StepEnd::Cancelled => Err(BuildError::Cancelled),
        end => Err(BuildError::PackagingFailed {
            what: what.to_owned(),
            end,
            reached,
            log: log.into_end(),
        }),
    }
}
