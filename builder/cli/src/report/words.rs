//! Events as lines for people: a word of what happens, then to what.

use kiln_build::{BuildError, Event, Outcome, Row, StepName, Work};
use kiln_model::StepEnd;

use crate::style::{Line, Style};
use crate::text::{count, seconds, size};

/// Columns of the first word.
pub const WORD: usize = 11;

/// Returns a line that starts with a word in its own column.
pub fn start(style: Style, word: &str) -> Line {
    let blanks = WORD.saturating_sub(word.len());
    Line::new()
        .with(style, word)
        .with(Style::Plain, &" ".repeat(blanks))
}

/// Returns what people are told of an event, if anything.
pub fn line(event: &Event<'_>) -> Option<Line> {
    let (style, word, text) = match event {
        Event::Fetching { files, bytes } => {
            let bytes = bytes.map_or(String::new(), |bytes| format!(" ({})", size(bytes)));
            (
                Style::Plain,
                "fetch",
                format!("{}{bytes}", count(*files, "file")),
            )
        }
        Event::FetchPassedOver {
            address, reason, ..
        } => (Style::Odd, "not from", format!("{address}: {reason}")),
        Event::Fetched { name, bytes } => {
            (Style::Good, "fetched", format!("{name} ({})", size(*bytes)))
        }
        Event::Assembling { what } => (
            Style::Plain,
            "assemble",
            format!("root file system of {what}"),
        ),
        Event::Assembled { what, elapsed } => {
            let elapsed = seconds(*elapsed);
            let text = format!("root file system of {what} ({elapsed})");
            (Style::Good, "assembled", text)
        }
        Event::Locked { file } => (Style::Good, "locked", file.display().to_string()),
        Event::LockNote { recipe, note } => (Style::Odd, "note", format!("{recipe}: {note}")),
        Event::LockUnchanged { file } => (Style::Dim, "unchanged", file.display().to_string()),
        Event::StepStarted { work, step } => {
            return Some(start(Style::Plain, &step.to_string()).with(Style::Plain, &work.name()));
        }
        Event::Output { work, step, line } => return Some(output(work, *step, line)),
        Event::StepEnded {
            work,
            step,
            end,
            elapsed,
        } => {
            let (style, word) = match end {
                StepEnd::Exited(0) => (Style::Good, "done"),
                StepEnd::Cancelled => (Style::Odd, "stopped"),
                _ => (Style::Bad, "failed"),
            };
            let text = format!("{}: {step} ({})", work.name(), seconds(*elapsed));
            (style, word, text)
        }
        Event::Finishing { work } => {
            let running: Vec<String> = work.iter().map(Work::to_string).collect();
            let text = format!("{} before the end; Ctrl-C stops it", running.join(", "));
            (Style::Odd, "finish", text)
        }
        Event::BelowReleased { nevra, released } => {
            let text = format!("{nevra} orders below {released}, which was released");
            (Style::Odd, "too old", text)
        }
        Event::CheckSkipped { recipe, reason } => {
            (Style::Dim, "no check", format!("{recipe}: {reason}"))
        }
        Event::WorkEnded {
            row:
                Row {
                    work,
                    outcome: Outcome::Failed,
                    ..
                },
            error: Some(error),
        } if !is_of_step(error) => {
            let error = error.to_string();
            let reason = error.lines().next().unwrap_or_default();
            (Style::Bad, "failed", format!("{work}: {reason}"))
        }
        event => return shared_store_line(event),
    };
    Some(start(style, word).with(Style::Plain, &text))
}

/// Returns what people are told of other kilns and of damage.
fn shared_store_line(event: &Event<'_>) -> Option<Line> {
    let (style, word, text) = match event {
        Event::Waiting { what } => {
            let text = format!("{what}: another kiln makes it");
            (Style::Odd, "wait", text)
        }
        Event::SetAside { thing, evidence } => {
            let text = format!(
                "{thing} was damaged: it is made or fetched again, and kept as {}",
                evidence.display()
            );
            (Style::Odd, "set aside", text)
        }
        _ => return None,
    };
    Some(start(style, word).with(Style::Plain, &text))
}

/// The end of the step has told of these already.
const fn is_of_step(error: &BuildError) -> bool {
    matches!(
        error,
        BuildError::StepFailed { .. } | BuildError::PackagingFailed { .. }
    )
}

/// A line that a step printed, with whose it is.
fn output(work: &Work, step: StepName, line: &str) -> Line {
    Line::new()
        .with(Style::Dim, &format!("{} {step} | ", work.name()))
        .with(Style::Plain, line)
}

#[cfg(test)]
pub mod tests {
    use std::time::Duration;

    use kiln_build::{NodeId, Prefix};

    use super::*;
    use crate::style::Colours;

    /// A piece of work on a product.
    pub fn build(recipe: &str) -> Work {
        Work::Build(NodeId {
            recipe: recipe.parse().unwrap(),
            prefix: Prefix::System,
        })
    }

    /// A piece of work on a library.
    pub fn library(recipe: &str, prefix: &str) -> Work {
        Work::Build(NodeId {
            recipe: recipe.parse().unwrap(),
            prefix: Prefix::Bundle(prefix.parse().unwrap()),
        })
    }

    #[test]
    fn each_event_is_one_line() {
        let work = build("zlib");
        let step = StepName::Build;
        let elapsed = Duration::from_millis(3400);
        let ended = |end| {
            let work = &work;
            let event = Event::StepEnded {
                work,
                step,
                end,
                elapsed,
            };
            line(&event).unwrap().render(Colours::Off)
        };
        assert_eq!(ended(&StepEnd::Exited(0)), "done       zlib: build (3.4 s)");
        assert_eq!(ended(&StepEnd::Exited(2)), "failed     zlib: build (3.4 s)");
        assert_eq!(ended(&StepEnd::TimedOut), "failed     zlib: build (3.4 s)");
        assert_eq!(ended(&StepEnd::Cancelled), "stopped    zlib: build (3.4 s)");
        let check = |event: Event<'_>, expected: &str| {
            let shown = line(&event).map(|line| line.render(Colours::Off));
            assert_eq!(shown.unwrap_or_default(), expected);
        };
        check(Event::StepStarted { work: &work, step }, "build      zlib");
        check(
            Event::Output {
                work: &work,
                step,
                line: "gcc \u{1b}[1m",
            },
            "zlib build | gcc \u{fffd}[1m",
        );
        check(
            Event::Fetching {
                files: 1,
                bytes: None,
            },
            "fetch      1 file",
        );
        check(
            Event::Fetching {
                files: 2,
                bytes: Some(4096),
            },
            "fetch      2 files (4.0 KiB)",
        );
        check(
            Event::Fetched {
                name: "a\nb",
                bytes: 10,
            },
            "fetched    a\u{fffd}b (10 B)",
        );
        check(
            Event::FetchPassedOver {
                name: "x",
                address: "https://a.example/x",
                reason: "status 404",
            },
            "not from   https://a.example/x: status 404",
        );
        let row = Row {
            work: work.clone(),
            outcome: Outcome::Failed,
            elapsed,
            rpms: None,
        };
        check(
            Event::WorkEnded {
                row: &row,
                error: Some(&BuildError::NoResourceLimits),
            },
            "failed     zlib: `kiln.toml` requires resource limits, but this host can not enforce them",
        );
        let running = [library("openssl", "/usr/lib/curl")];
        check(
            Event::Finishing { work: &running },
            "finish     openssl for /usr/lib/curl before the end; Ctrl-C stops it",
        );
        check(Event::WorkStarted { work: &work }, "");
    }

    #[test]
    fn other_kilns_and_damage_are_told() {
        let shown = |event: Event<'_>| line(&event).unwrap().render(Colours::Off);
        assert_eq!(
            shown(Event::Waiting {
                what: "zlib (package)"
            }),
            "wait       zlib (package): another kiln makes it"
        );
        let digest = kiln_model::Digest::of(b"");
        let event = Event::SetAside {
            thing: kiln_store::StoredThing::Blob(digest),
            evidence: std::path::Path::new("quarantine/x"),
        };
        assert_eq!(
            shown(event),
            format!(
                "set aside  blob {digest} was damaged: it is made or fetched again, and kept as \
                 quarantine/x"
            )
        );
    }
}
