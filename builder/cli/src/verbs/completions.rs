//! `kiln completions`: what a shell reads to complete kiln's arguments.

use crate::arguments::Completions;
use crate::completion::registration;
use crate::failure::Failure;
use crate::print::line;

/// Prints the script of one shell.
pub fn run(completions: &Completions) -> Result<u8, Failure> {
    let script = registration(completions.shell).map_err(|error| Failure::host(error.into()))?;
    line(script.trim_end());
    Ok(0)
}
