//! Figures: what was measured, beside what, and whether it is what we want.

use std::time::Duration;

use serde::Serialize;

use crate::error::BenchError;

/// What a figure should at most be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Ours divided by the peer's.
    Ratio(f64),
    /// Seconds.
    Seconds(f64),
    /// Mebibytes.
    Mebibytes(f64),
    /// Only told.
    None,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Figure {
    /// The row that it belongs to.
    pub row: String,
    /// What was measured.
    pub what: String,
    /// Our smallest value: seconds, or mebibytes.
    pub ours: f64,
    /// The peer and its smallest value in seconds.
    pub peer: Option<(String, f64)>,
    /// How often each was run.
    pub runs: usize,
    /// What it should be.
    pub goal: Goal,
}

impl Figure {
    /// Returns ours divided by the peer's.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        self.peer.as_ref().map(|(_, theirs)| self.ours / theirs)
    }

    /// Returns whether the goal is met; `None` without a goal.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        match self.goal {
            Goal::Ratio(most) => Some(self.ratio()? <= most),
            Goal::Seconds(most) | Goal::Mebibytes(most) => Some(self.ours <= most),
            Goal::None => None,
        }
    }
}

/// The smallest times of two commands that were run in turn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Ours.
    pub ours: Duration,
    /// The peer's.
    pub theirs: Duration,
}

/// Returns the processor time of all commands that were waited for so far, with everything that they
/// started: less disturbed by other load than the wall is.
#[must_use]
pub fn processor_time() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    let Ok(usage) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Duration::ZERO;
    };
    let part = |time: nix::sys::time::TimeVal| {
        let whole = u64::try_from(time.tv_sec()).unwrap_or(0);
        let rest = u64::try_from(time.tv_usec()).unwrap_or(0);
        Duration::from_secs(whole) + Duration::from_micros(rest)
    };
    part(usage.user_time()) + part(usage.system_time())
}

/// Runs ours and theirs in turn, so that both meet the same load, and keeps the smallest of each.
///
/// # Errors
/// The first failure of either.
pub fn in_turn(
    times: usize,
    mut ours: impl FnMut() -> Result<Duration, BenchError>,
    mut theirs: impl FnMut() -> Result<Duration, BenchError>,
) -> Result<Pair, BenchError> {
    let mut least = Pair {
        ours: Duration::MAX,
        theirs: Duration::MAX,
    };
    for _ in 0..times {
        least.ours = least.ours.min(ours()?);
        least.theirs = least.theirs.min(theirs()?);
    }
    Ok(least)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(ours: f64, theirs: Option<f64>, goal: Goal) -> Figure {
        Figure {
            row: "row".to_owned(),
            what: "what".to_owned(),
            ours,
            peer: theirs.map(|theirs| ("peer".to_owned(), theirs)),
            runs: 3,
            goal,
        }
    }

    #[test]
    fn goals_are_compared_with_what_they_are_about() {
        let cases = [
            (
                figure(1.0, Some(2.0), Goal::Ratio(0.5)),
                Some(0.5),
                Some(true),
            ),
            (
                figure(1.1, Some(2.0), Goal::Ratio(0.5)),
                Some(0.55),
                Some(false),
            ),
            (figure(1.0, None, Goal::Ratio(0.5)), None, None),
            (figure(0.1, None, Goal::Seconds(0.1)), None, Some(true)),
            (
                figure(0.2, Some(9.0), Goal::Seconds(0.1)),
                Some(0.2 / 9.0),
                Some(false),
            ),
            (
                figure(151.0, None, Goal::Mebibytes(150.0)),
                None,
                Some(false),
            ),
            (figure(1.0, None, Goal::None), None, None),
        ];
        for (figure, ratio, is_met) in cases {
            let near = match (figure.ratio(), ratio) {
                (Some(one), Some(other)) => (one - other).abs() < 1e-9,
                (one, other) => one == other,
            };
            assert!(near, "{figure:?}");
            assert_eq!(figure.is_met(), is_met, "{figure:?}");
        }
    }

    #[test]
    fn each_is_run_in_turn_and_the_least_counts() {
        let order = std::cell::RefCell::new(String::new());
        let mut ours = [3, 1, 2].map(Duration::from_secs).into_iter();
        let mut theirs = [5, 6, 4].map(Duration::from_secs).into_iter();
        let pair = in_turn(
            3,
            || {
                order.borrow_mut().push('a');
                Ok(ours.next().unwrap())
            },
            || {
                order.borrow_mut().push('b');
                Ok(theirs.next().unwrap())
            },
        )
        .unwrap();
        assert_eq!(*order.borrow(), "ababab");
        assert_eq!((pair.ours.as_secs(), pair.theirs.as_secs()), (1, 4));
    }

    #[test]
    fn a_failure_is_no_figure() {
        let error = in_turn(
            3,
            || Ok(Duration::ZERO),
            || Err(BenchError::skipped("not there")),
        )
        .unwrap_err();
        assert!(matches!(error, BenchError::Skipped { reason } if reason == "not there"));
    }
}
