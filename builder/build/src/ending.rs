//! How a step ended, in words.

use kiln_model::{Limits, StepEnd, StepOutcome};

/// Says how a step ended. What reached a limit need not have ended for it: a compiler without memory is
/// killed, and `make` says so with a status of its own.
pub(crate) fn describe_end(end: &StepEnd, reached: &[String]) -> String {
    let reached_some = reached.join(" and ");
    match end {
        StepEnd::DiskShort => format!("stopped, because {reached_some}"),
        StepEnd::TimedOut | StepEnd::OverDisk => {
            format!("stopped, because it reached {reached_some}")
        }
        StepEnd::Signaled(9) if !reached.is_empty() => {
            format!("killed after it reached {reached_some}")
        }
        end if reached.is_empty() => describe_plain_end(end),
        StepEnd::Exited(137) => {
            format!("exit status 137 (a command was killed), after it reached {reached_some}")
        }
        end => format!(
            "{}, after it reached {reached_some}",
            describe_plain_end(end)
        ),
    }
}

/// Says in words which limits a step reached, and where they are set.
pub(crate) fn reached_limits(outcome: &StepOutcome, limits: &Limits) -> Vec<String> {
    const MEBIBYTE: u64 = 1 << 20;
    let limit = |what: &str, value: String, key: &str| {
        format!("the {what} limit of {value} (`limits.{key}` in kiln.toml)")
    };
    let mebibytes = |bytes: u64| format!("{} MiB", bytes / MEBIBYTE);
    let mut reached = Vec::new();
    match outcome.end {
        StepEnd::TimedOut => {
            let minutes = format!("{} min", limits.wall_time.as_secs() / 60);
            reached.push(limit("time", minutes, "time"));
        }
        StepEnd::OverDisk => {
            let what = "limit of what /build may take on disk";
            let size = mebibytes(limits.disk);
            reached.push(format!("the {what}, {size} (`limits.build` in kiln.toml)"));
        }
        StepEnd::DiskShort => reached.push(format!(
            "less than {} are free on the store's disk (`limits.free` in kiln.toml)",
            mebibytes(limits.reserve)
        )),
        _ => {}
    }
    if outcome.reached.memory {
        reached.push(limit("memory", mebibytes(limits.memory), "memory"));
    }
    if outcome.reached.processes {
        let number = format!("{} processes", limits.processes);
        reached.push(limit("process", number, "processes"));
    }
    reached
}

fn describe_plain_end(end: &StepEnd) -> String {
    match end {
        StepEnd::Exited(status) => match describe_status(*status) {
            Some(meaning) => format!("exit status {status} ({meaning})"),
            None => format!("exit status {status}"),
        },
        StepEnd::Signaled(9) => "killed (signal 9; perhaps out of memory)".to_owned(),
        StepEnd::Signaled(signal) => match describe_signal(*signal) {
            Some(name) => format!("killed by signal {signal} ({name})"),
            None => format!("killed by signal {signal}"),
        },
        StepEnd::TimedOut => "time limit reached".to_owned(),
        StepEnd::OverDisk => "disk limit reached".to_owned(),
        StepEnd::DiskShort => "disk nearly full".to_owned(),
        StepEnd::Cancelled => "interrupted".to_owned(),
    }
}

/// Says what a shell means by an exit status; others are the program's own.
fn describe_status(status: i32) -> Option<String> {
    match status {
        126 => Some("a command can not be executed".to_owned()),
        127 => Some("a command was not found".to_owned()),
        137 => Some("a command was killed, perhaps for lack of memory".to_owned()),
        129..=159 => {
            describe_signal(status - 128).map(|name| format!("a command was killed: {name}"))
        }
        _ => None,
    }
}

/// Names the signals that end programs by themselves.
const fn describe_signal(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "hangup",
        2 => "interrupt",
        3 => "quit",
        4 => "illegal instruction",
        5 => "trap",
        6 => "abort",
        7 => "bus error",
        8 => "arithmetic error",
        9 => "kill",
        11 => "segmentation fault",
        13 => "broken pipe",
        14 => "alarm",
        15 => "termination",
        24 => "processor time limit",
        25 => "file size limit",
        31 => "bad system call",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kiln_model::ReachedLimits;

    use super::*;

    #[test]
    fn ends_are_told_in_words() {
        for (end, expected) in [
            (StepEnd::Exited(2), "exit status 2"),
            (
                StepEnd::Exited(127),
                "exit status 127 (a command was not found)",
            ),
            (
                StepEnd::Exited(139),
                "exit status 139 (a command was killed: segmentation fault)",
            ),
            (StepEnd::Exited(150), "exit status 150"),
            (StepEnd::Exited(-1), "exit status -1"),
            (
                StepEnd::Signaled(11),
                "killed by signal 11 (segmentation fault)",
            ),
            (StepEnd::Signaled(40), "killed by signal 40"),
        ] {
            assert_eq!(describe_end(&end, &[]), expected);
        }
    }

    #[test]
    fn limits_are_told_with_their_keys() {
        let limits = Limits {
            memory: 64 << 20,
            processes: 30,
            wall_time: Duration::from_secs(120),
            log: 1,
            scratch: 1,
            disk: 5 << 30,
            reserve: 512 << 20,
        };
        let check = |end: StepEnd, memory: bool, processes: bool, expected: &str| {
            let outcome = StepOutcome {
                end,
                isolation: isolation(),
                reached: ReachedLimits { memory, processes },
                elapsed: Duration::ZERO,
                peak_memory: None,
            };
            let reached = reached_limits(&outcome, &limits);
            assert_eq!(describe_end(&outcome.end, &reached), expected);
        };
        let memory = "the memory limit of 64 MiB (`limits.memory` in kiln.toml)";
        let processes = "the process limit of 30 processes (`limits.processes` in kiln.toml)";
        check(StepEnd::Exited(2), false, false, "exit status 2");
        check(
            StepEnd::Exited(2),
            true,
            true,
            &format!("exit status 2, after it reached {memory} and {processes}"),
        );
        check(
            StepEnd::Signaled(9),
            true,
            false,
            &format!("killed after it reached {memory}"),
        );
        check(
            StepEnd::Signaled(9),
            false,
            false,
            "killed (signal 9; perhaps out of memory)",
        );
        for (end, expected) in [
            (
                StepEnd::TimedOut,
                "it reached the time limit of 2 min (`limits.time` in kiln.toml)",
            ),
            (
                StepEnd::OverDisk,
                "it reached the limit of what /build may take on disk, 5120 MiB (`limits.build` in kiln.toml)",
            ),
            (
                StepEnd::DiskShort,
                "less than 512 MiB are free on the store's disk (`limits.free` in kiln.toml)",
            ),
        ] {
            let expected = format!("stopped, because {expected}");
            check(end, false, false, &expected);
        }
    }

    fn isolation() -> kiln_model::Isolation {
        let no = kiln_model::Measured::No;
        kiln_model::Isolation {
            engine: "none".to_owned(),
            network: no,
            filesystem: no,
            processes: no,
            privileges: no,
            user_namespace: no,
            resource_limits: no,
        }
    }
}
