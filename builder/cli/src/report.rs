//! Progress as plain lines on standard error: what happens, when it happens.

use std::time::Duration;

use kiln_build::{Event, Report};
use kiln_model::StepEnd;

use crate::print::note;

/// Prints one line per event.
#[derive(Debug)]
pub struct Lines {
    is_quiet: bool,
}

impl Lines {
    /// Returns a reporter; a quiet one says nothing.
    pub const fn new(is_quiet: bool) -> Self {
        Self { is_quiet }
    }
}

impl Report for Lines {
    fn tell(&self, event: &Event<'_>) {
        if self.is_quiet {
            return;
        }
        let line = match event {
            Event::Fetching { files: 1 } => "fetch      1 file".to_owned(),
            Event::Fetching { files } => format!("fetch      {files} files"),
            Event::Fetched { name, bytes } => format!("fetched    {name} ({})", size(*bytes)),
            Event::Assembling { what } => format!("assemble   root file system of {what}"),
            Event::Locked { file } => format!("locked     {}", file.display()),
            Event::LockUnchanged { file } => format!("unchanged  {}", file.display()),
            Event::StepStarted { node, step } => format!("{step:<10} {node}"),
            Event::StepEnded {
                node,
                step,
                end,
                elapsed,
            } => {
                let how = match end {
                    StepEnd::Exited(0) => "done",
                    StepEnd::Cancelled => "stopped",
                    _ => "failed",
                };
                format!("{how:<10} {node}: {step} ({})", seconds(*elapsed))
            }
            Event::CheckSkipped { recipe, reason } => {
                format!("no check   {recipe}: {reason}")
            }
            Event::Packaging { what } => format!("package    {what}"),
            Event::Cached { what } => format!("cached     {what}"),
            _ => return,
        };
        note(&line);
    }
}

/// Returns a duration as people read it: `3.4 s`, `2 min 05 s`.
pub fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(60) {
        return format!("{:.1} s", duration.as_secs_f64());
    }
    format!(
        "{} min {:02} s",
        duration.as_secs() / 60,
        duration.as_secs() % 60
    )
}

/// Returns a size as people read it: `4.1 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 3] = ["KiB", "MiB", "GiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes / 1024 * 10 + bytes % 1024 * 10 / 1024;
    let mut unit = 0;
    while value >= 10 * 1024 && unit + 1 < UNITS.len() {
        value /= 1024;
        unit += 1;
    }
    format!("{}.{} {}", value / 10, value % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_read_well() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (15_292_815, "14.5 MiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(seconds(Duration::from_millis(3400)), "3.4 s");
        assert_eq!(seconds(Duration::from_secs(125)), "2 min 05 s");
    }
}
