//! Printing that survives a closed pipe: `kiln plan | head -1` is no error.

use std::io::Write as _;

/// Prints a line to standard output. When nobody reads any more, the command ends quietly.
pub fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{text}").and_then(|()| out.flush()).is_err() {
        end();
    }
}

/// Prints a line to standard error; progress that nobody reads is no reason to stop a build.
pub fn note(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{text}").and_then(|()| err.flush());
}

#[expect(clippy::disallowed_methods, reason = "only cli exits")]
fn end() -> ! {
    std::process::exit(0)
}
