//! `kiln fetch`: brings everything that a build needs into the store.

use crate::arguments::{Common, Format, Names};
use crate::failure::Failure;
use crate::interrupt::FirstSignal;
use crate::print::line;
use crate::session::Session;

/// Fetches and says so.
pub fn run(common: &Common, names: &Names) -> Result<u8, Failure> {
    let mut session = Session::open(common, FirstSignal::Ends)?;
    let wanted = super::wanted(&session.project, names);
    kiln_build::fetch(&session.workshop(), &wanted)
        .map_err(|error| Failure::build(&session.project, &error))?;
    session.finish_report();
    if !common.quiet && common.format == Format::Human {
        line("The store has everything; `kiln build --offline` needs no network.");
    }
    Ok(0)
}
