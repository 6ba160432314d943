//! `kiln build`: recipes become RPMs, SBOMs and provenance in `out/`.

use std::io::IsTerminal as _;
use std::time::Instant;

use kiln_build::OnFailure;

use crate::arguments::{Build, Common, Format};
use crate::failure::Failure;
use crate::host;
use crate::interrupt::FirstSignal;
use crate::print;
use crate::report::print_event;
use crate::session::Session;
use crate::style::Colours;
use crate::table::Table;

/// Builds and prints the closing table.
pub fn run(common: &Common, build: &Build) -> Result<u8, Failure> {
    let started = Instant::now();
    let mut session = Session::open(common, FirstSignal::Asks)?;
    let wanted = super::wanted(&session.project, &build.names);
    let on_failure = if build.keep_going {
        OnFailure::KeepGoing
    } else {
        OnFailure::Stop
    };
    let summary = kiln_build::build(&session.workshop(), &wanted, on_failure)
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
        Format::Human if common.quiet => {}
        Format::Human => {
            let is_terminal = std::io::stdout().is_terminal();
            let colours = Colours::choose(common.color, host::colour_wishes(), is_terminal);
            // Only on a terminal are long names shortened: a file has room.
            let columns = is_terminal.then(|| print::size().columns);
            for line in table.lines(columns) {
                print::rendered_line(&line.render(colours));
            }
        }
    }
    Failure::builds(&session.project, &summary).map_or(Ok(0), Err)
}
