//! Progress as plain lines on standard error: what happens, when it happens.

use kiln_build::Event;

use super::{People, words};
use crate::print::rendered_note;
use crate::style::Colours;

/// Prints one line per event.
#[derive(Debug)]
pub struct Lines {
    colours: Colours,
}

impl Lines {
    /// Returns a reporter.
    pub const fn new(colours: Colours) -> Self {
        Self { colours }
    }
}

impl People for Lines {
    fn tell(&self, event: &Event<'_>) {
        if let Some(line) = words::line(event) {
            rendered_note(&line.render(self.colours));
        }
    }
}
