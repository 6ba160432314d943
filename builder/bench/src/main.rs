//! `kiln-bench`: measures kiln beside its peers and prints a table. Started by `make bench`.
//!
//! Each figure is a ratio of two commands that are run in turn in one run, so that both meet the same
//! machine and the same load; the smallest time of each counts. docs/benchmarks.md says what is
//! compared and why that is fair, and holds figures.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command of its own, which prints its table"
)]

mod command;
mod error;
mod figure;
mod machine;
mod report;
mod rows;
mod seed;
mod setting;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use kiln_build::Project;
use kiln_model::RecipeName;

use crate::error::BenchError;
use crate::machine::Machine;
use crate::report::{HEAD, Results, json, line};
use crate::rows::{Row, chosen};
use crate::setting::Setting;

/// Measures kiln beside its peers.
#[derive(Debug, Parser)]
#[command(name = "kiln-bench")]
struct Arguments {
    /// Rows: sandbox, null, compare, diff, trivial, scale, base, package, cold; default: all
    rows: Vec<String>,
    /// The kiln that is measured
    #[arg(long, default_value = "target/release/kiln")]
    kiln: PathBuf,
    /// The project whose recipes are built
    #[arg(long, default_value = ".")]
    project: PathBuf,
    /// The store that `make rpms` filled; default: `.kiln/store` in the project
    #[arg(long)]
    store: Option<PathBuf>,
    /// Writes figures, machine and versions as JSON too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Pairs of quick commands
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Pairs of commands that take minutes
    #[arg(long, default_value_t = 3)]
    slow_runs: usize,
    /// Compilers at a time, on both sides
    #[arg(long, short, default_value_t = 2)]
    jobs: usize,
    /// The recipe that the row `cold` builds; figures are of curl
    #[arg(long, value_name = "RECIPE", default_value = "curl")]
    cold_recipe: RecipeName,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(results) if results.failed.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Results, BenchError> {
    let rows = chosen(&arguments.rows)?;
    let kiln = fs_err::canonicalize(&arguments.kiln).map_err(|_| BenchError::NoKiln {
        path: arguments.kiln.clone(),
    })?;
    let root = fs_err::canonicalize(&arguments.project)?;
    let project = Project::load(&root).map_err(|errors| {
        let errors: Vec<String> = errors.errors.iter().map(ToString::to_string).collect();
        BenchError::kiln("project")(&errors.join("; "))
    })?;
    let store = match &arguments.store {
        Some(store) => store.clone(),
        None => root.join(".kiln/store"),
    };
    let store = fs_err::canonicalize(store)
        .map_err(|_| BenchError::skipped("no store yet; run `make rpms` first"))?;
    // Beside the store: hard links and renames need one file system.
    let scratch = tempfile::Builder::new()
        .prefix("bench-")
        .tempdir_in(store.parent().unwrap_or(&root))?;
    let setting = Setting {
        kiln,
        project,
        store,
        scratch: scratch.path().to_owned(),
        runs: arguments.runs.max(1),
        slow_runs: arguments.slow_runs.max(1),
        jobs: arguments.jobs.max(1),
        cold_recipe: arguments.cold_recipe.clone(),
    };
    let machine = Machine::look(&setting.store);
    let versions = machine::versions(&setting.kiln);
    println!("{}", serde_json::json!(machine));
    println!("{}\n\n{HEAD}", versions.join(", "));
    let mut results = Results::default();
    for row in rows {
        take(&setting, row, &mut results);
    }
    // Trees have folders that their owner may not write.
    seed::remove(scratch.path())?;
    if let Some(file) = &arguments.json {
        let value = json(&machine, &versions, &results);
        fs_err::write(file, format!("{value:#}\n"))?;
    }
    Ok(results)
}

/// Measures one row and prints what came of it at once: later ones take minutes.
fn take(setting: &Setting, row: Row, results: &mut Results) {
    let name = row.name.to_owned();
    match (row.measure)(setting) {
        Ok(figures) => {
            for figure in figures {
                println!("{}", line(&figure));
                results.figures.push(figure);
            }
        }
        Err(BenchError::Skipped { reason }) => {
            println!("| {name} | skipped: {reason} | | | | | | |");
            results.skipped.push((name, reason));
        }
        Err(error) => {
            eprintln!("error: row `{name}`: {error}");
            results.failed.push((name, error.to_string()));
        }
    }
}
