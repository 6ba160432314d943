//! Who is told what happens: people, as plain lines or on a live terminal, and programs, as JSON.

mod event_line;
mod event_parts;
mod frame;
mod json;
mod lines;
mod live;
mod store_lines;
pub mod words;

use std::io::IsTerminal as _;

use kiln_build::{Event, Report};

pub use event_line::{EventLine, event_schema, print_event};
pub use event_parts::{
    AwaitedLine, CauseLine, ChangeLine, DoctorFinding, NoteLine, PlaceSegment, PlannedNode,
    PlannedPackage,
};
pub use json::{milliseconds, unpinned_recipe};
pub use store_lines::{
    BundleReadLine, BundleWrittenLine, CollectedLine, StoreCheckedLine, UsageLine,
};

use crate::arguments::{Common, Format};
use crate::host;
use crate::style::Colours;

use self::json::Events;
use self::lines::Lines;
use self::live::Live;

/// Tells people and programs.
pub struct Reporter {
    people: Option<Box<dyn People>>,
    events: Option<Events>,
    wants_output: bool,
}

/// Tells people.
trait People: Sync + Send {
    fn tell(&self, event: &Event<'_>);
}

/// How a run tells what happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Silent,
    Lines,
    Live,
}

/// Where the two streams lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Streams {
    is_error_terminal: bool,
    is_output_terminal: bool,
    /// `TERM` is `dumb`.
    is_dumb: bool,
}

impl Manner {
    fn choose(common: &Common, streams: Streams) -> Self {
        // Events and a picture that is drawn over would mix on one terminal.
        let is_shared = common.format == Format::Json && streams.is_output_terminal;
        if common.quiet {
            Self::Silent
        } else if streams.is_error_terminal && !streams.is_dumb && !is_shared {
            Self::Live
        } else {
            Self::Lines
        }
    }
}

impl Reporter {
    /// Returns what the command line asks for. Nothing is drawn before something is told.
    pub fn new(common: &Common) -> Self {
        let wishes = host::colour_wishes();
        let streams = Streams {
            is_error_terminal: std::io::stderr().is_terminal(),
            is_output_terminal: std::io::stdout().is_terminal(),
            is_dumb: wishes.is_dumb,
        };
        let colours = Colours::choose(common.color, wishes, streams.is_error_terminal);
        let people: Option<Box<dyn People>> = match Manner::choose(common, streams) {
            Manner::Silent => None,
            Manner::Lines => Some(Box::new(Lines::new(colours))),
            Manner::Live => Some(Box::new(Live::start(colours))),
        };
        let events = (common.format == Format::Json).then(Events::start);
        Self {
            people,
            events,
            wants_output: common.verbose,
        }
    }

    /// Takes away what is drawn; nothing is told any more.
    pub fn finish(&mut self) {
        self.people = None;
    }
}

impl Report for Reporter {
    fn tell(&self, event: &Event<'_>) {
        if let Some(people) = &self.people {
            people.tell(event);
        }
        if let Some(events) = &self.events {
            events.tell(event);
        }
    }

    fn wants_output(&self) -> bool {
        self.wants_output
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::arguments::Arguments;

    #[test]
    fn only_a_terminal_of_its_own_is_drawn_on() {
        let terminal = Streams {
            is_error_terminal: true,
            is_output_terminal: true,
            is_dumb: false,
        };
        let piped = Streams {
            is_error_terminal: false,
            ..terminal
        };
        let output_piped = Streams {
            is_output_terminal: false,
            ..terminal
        };
        let dumb = Streams {
            is_dumb: true,
            ..terminal
        };
        for (arguments, streams, expected) in [
            (&["kiln", "build"][..], terminal, Manner::Live),
            (&["kiln", "build"], piped, Manner::Lines),
            (&["kiln", "build"], dumb, Manner::Lines),
            (&["kiln", "build", "--quiet"], terminal, Manner::Silent),
            (&["kiln", "build", "--verbose"], terminal, Manner::Live),
            (
                &["kiln", "build", "--format", "json"],
                terminal,
                Manner::Lines,
            ),
            (
                &["kiln", "--format=json", "build"],
                output_piped,
                Manner::Live,
            ),
        ] {
            let common = Arguments::parse_from(arguments).common;
            let chosen = Manner::choose(&common, streams);
            assert_eq!(chosen, expected, "{arguments:?} {streams:?}");
        }
    }
}
