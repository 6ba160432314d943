//! `kiln build`: recipes become RPMs, SBOMs and provenance in `out/`.

use std::io::IsTerminal as _;
use std::time::Instant;

use kiln_build::{Asked, AtRest, OnFailure};
use kiln_store::Store;

use crate::arguments::{Build, Common, Format};
use crate::failure::Failure;
use crate::host;
use crate::interrupt::FirstSignal;
use crate::print;
use crate::report::print_event;
use crate::session::{Session, opened_store, output_folder, root};
use crate::style::{Colours, Line};
use crate::table::{Table, at_rest_lines};

/// Builds and prints the closing table.
pub fn run(common: &Common, build: &Build) -> Result<u8, Failure> {
    let started = Instant::now();
    // Before the project is read: what changes from now on is seen to be newer.
    let store = opened_store(common);
    let is_told_in_short = common.format == Format::Human && !common.verbose;
    if let Some(store) = store.as_ref().filter(|_| is_told_in_short)
        && let Some(rest) = at_rest(common, build, store)
    {
        // Nothing else of this run says that the project still uses the store.
        if let Ok(root) = root(common) {
            let noted = kiln_build::note_project(store, &root);
            noted.map_err(|error| Failure::host(Box::new(error)))?;
        }
        let output = output_folder(common);
        let lines = at_rest_lines(&rest, &output, started.elapsed(), columns());
        print_lines(common, &lines);
        return Ok(0);
    }
    let mut session = Session::open_with(common, FirstSignal::Asks, store)?;
    let on_failure = if build.keep_going {
        OnFailure::KeepGoing
    } else {
        OnFailure::Stop
    };
    let selection = build.names.selection();
    let summary = kiln_build::build_asked(&session.workshop(), selection, on_failure)
        .map_err(|error| Failure::build(&session.project, &error))?;
    session.finish_report();
    let table = Table {
        summary: &summary,
        output: &session.output,
        elapsed: started.elapsed(),
        lists_files: common.verbose,
    };
    match common.format {
        Format::Json => print_event(&table.event()),
        Format::Human => print_lines(common, &table.lines(columns())),
    }
    Failure::builds(&session.project, &summary).map_or(Ok(0), Err)
}

/// Only on a terminal are long names shortened: a file has room.
fn columns() -> Option<usize> {
    let is_terminal = std::io::stdout().is_terminal();
    is_terminal.then(|| print::size().columns)
}

/// Returns what there is, if there is certainly nothing to do.
fn at_rest(common: &Common, build: &Build, store: &Store) -> Option<AtRest> {
    let asked = Asked {
        root: &root(common).ok()?,
        store,
        output: &output_folder(common),
        program: host::program(),
        selection: build.names.selection(),
        base: common.chosen_base(),
    };
    asked.at_rest()
}

fn print_lines(common: &Common, lines: &[Line]) {
    if common.quiet {
        return;
    }
    let is_terminal = std::io::stdout().is_terminal();
    let colours = Colours::choose(common.color, host::colour_wishes(), is_terminal);
    for line in lines {
        print::rendered_line(&line.render(colours));
    }
}
