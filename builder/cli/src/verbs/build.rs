//! `kiln build`: recipes become RPMs, SBOMs and provenance in `out/`.

use std::time::Instant;

use kiln_build::Summary;

use crate::arguments::{Common, Names};
use crate::failure::Failure;
use crate::interrupt::FirstSignal;
use crate::print::line;
use crate::report::{seconds, size};
use crate::session::Session;

/// Builds and prints the closing table.
pub fn run(common: &Common, names: &Names) -> Result<u8, Failure> {
    let started = Instant::now();
    let session = Session::open(common, FirstSignal::Asks)?;
    let shop = session.workshop();
    let wanted = super::wanted(&session.project, names);
    let summary = kiln_build::build(&shop, &wanted)
        .map_err(|error| Failure::build(&session.project, &error))?;
    if !common.quiet {
        if summary.rpms.is_empty() {
            line("\nNo RPMs: what was asked for yields libraries for others only.");
        } else {
            line(&table(&summary, &session.output.display().to_string()));
        }
        line(&closing_line(&summary, &seconds(started.elapsed())));
    }
    Ok(0)
}

fn table(summary: &Summary, output: &str) -> String {
    let rpms = summary.rpms.values().flatten();
    let rows = rpms.map(|(path, bytes)| format!("\n  {:>10}  {}", size(*bytes), path.display()));
    format!("\nRPMs in {output}:{}", rows.collect::<String>())
}

fn closing_line(summary: &Summary, elapsed: &str) -> String {
    if summary.is_nothing_done() {
        let cached = summary.cached.len();
        return format!("\nNothing to do: all {cached} results are up to date ({elapsed}).");
    }
    format!(
        "\n{} built, {} taken from the store, {} files written ({elapsed}).",
        summary.built.len(),
        summary.cached.len(),
        summary.written
    )
}
