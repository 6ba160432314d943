//! Whether a varied factor was in effect: what process and step saw, beside what they see without.
//!
//! Nothing is claimed that was not seen: a factor that made no difference anywhere was not varied,
//! whatever was done.

use kiln_model::{Effect, Factor, Level, Observation, Variation};
use kiln_sandbox::Applied;

use super::Answer;
use super::facts::Facts;

/// Seconds that two looks at a clock may lie apart: a build is between them.
const DAY: i64 = 86_400;

/// Returns one observation for each factor that was to be different, in their order.
pub fn observations(
    variation: &Variation,
    control: &Facts,
    answer: &Answer,
    applied: &Applied,
) -> Vec<Observation> {
    let sight = Sight {
        control,
        answer,
        applied,
    };
    let changed = variation.changed();
    changed
        .map(|(factor, level)| sight.observe(factor, level))
        .collect()
}

struct Sight<'a> {
    control: &'a Facts,
    answer: &'a Answer,
    applied: &'a Applied,
}

/// Under which name a factor's facts stand, and what they are found out by.
fn question(factor: Factor) -> (&'static str, &'static str) {
    match factor {
        Factor::Clock => (
            "clock",
            "date +%s; stat of a new file, and of one that was given a time",
        ),
        Factor::TimeZone => ("time-zone", "TZ, date +%z"),
        Factor::Locale => ("locale", "LC_ALL, LANG, the order of sort"),
        Factor::Umask => ("umask", "umask"),
        Factor::User => ("user", "id"),
        Factor::HostName => ("host-name", "uname -n"),
        Factor::Kernel => ("kernel", "uname -r"),
        Factor::HostPath => ("host-path", "the store's folder; /proc/self/mountinfo"),
        Factor::Processors => ("processors", "sched_getaffinity; nproc"),
        Factor::Jobs => ("jobs", "KILN_JOBS"),
        Factor::DirectoryOrder => ("directory-order", "ls -U of 64 new files"),
        Factor::Aslr => (
            "addresses",
            "/proc/self/personality; stacks of two processes",
        ),
        Factor::Environment => ("environment", "the environment's digest; env | cksum"),
        Factor::FileSystem => ("file-system", "statfs of the store and of /build"),
        Factor::Load => (
            "load",
            "processor time of the busy processes; /proc/loadavg",
        ),
    }
}

/// Static programs that are named.
const MOST_PROGRAMS: usize = 12;

/// Says which programs the clock does not reach.
fn not_covered(programs: &[String]) -> String {
    if programs.is_empty() {
        return String::new();
    }
    let named = &programs[..programs.len().min(MOST_PROGRAMS)];
    let more = match programs.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("; not seen by static programs: {}{more}", named.join(", "))
}

/// Writes seconds since 1970 as people read them.
fn moment(seconds: &str) -> String {
    let instant = seconds.parse().ok();
    let instant = instant.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    instant.map_or_else(|| seconds.to_owned(), |instant| instant.to_string())
}

impl Sight<'_> {
    fn observe(&self, factor: Factor, level: Level) -> Observation {
        let (name, how) = question(factor);
        let facts = &self.answer.facts;
        let pick = |facts: &std::collections::BTreeMap<String, String>| {
            facts.get(name).cloned().unwrap_or_default()
        };
        let (mut outside, mut inside) = (pick(&facts.outside), pick(&facts.inside));
        let usual = (pick(&self.control.outside), pick(&self.control.inside));
        let effect = match factor {
            Factor::Clock => {
                let effect = self.clock();
                (outside, inside) = (moment(&outside), moment(&inside));
                effect
            }
            Factor::Load => {
                outside = format!("{} s", self.answer.busy_time / 100);
                match self.answer.busy_time {
                    0 => Effect::NotVaried,
                    _ => Effect::Seen,
                }
            }
            Factor::DirectoryOrder => {
                let again = facts.inside.get("directory-order-again");
                let is_other = !inside.is_empty() && inside != usual.1;
                let is_asked = match level {
                    // Twice the same by chance: once in 64! times.
                    Level::Shuffled => again != Some(&inside),
                    _ => again == Some(&inside),
                };
                inside = shortened(&inside);
                match is_other && (is_asked || self.applied.view.is_none()) {
                    true => Effect::Seen,
                    false => Effect::NotVaried,
                }
            }
            // Where directories are listed in another order, /build is on a file system of its own.
            Factor::FileSystem if outside != usual.0 => Effect::Seen,
            Factor::FileSystem => Effect::NotVaried,
            _ if !inside.is_empty() && !usual.1.is_empty() && inside != usual.1 => Effect::Seen,
            _ if outside != usual.0 => Effect::Neutralised,
            _ => Effect::NotVaried,
        };
        let refused = match factor {
            Factor::Clock => self.answer.no_clock.as_ref(),
            factor => self.applied.refused.get(&factor),
        };
        let how = match (effect, refused) {
            (Effect::NotVaried, Some(reason)) => reason.clone(),
            (Effect::NotVaried, None) => format!("no difference was seen ({how})"),
            (_, Some(reason)) => format!("{how}; not as asked for: {reason}"),
            (Effect::Seen, None) if level == Level::Past => {
                format!("{how}; packaging has the host's clock, as it refuses one that is behind")
            }
            (_, None) => match self.applied.done.get(&factor) {
                Some(done) => format!("{done}; {how}"),
                None => how.to_owned(),
            },
        };
        let not_covered = match (factor, effect) {
            (Factor::Clock, Effect::Seen) => not_covered(&self.answer.not_covered),
            _ => String::new(),
        };
        Observation {
            factor,
            level,
            effect,
            outside,
            inside,
            how: format!("{how}{not_covered}"),
        }
    }

    /// A step's clock is another one when it is more than a day from the child's, a new file's time is by
    /// it, and a file that is given a time has that.
    fn clock(&self) -> Effect {
        let facts = &self.answer.facts;
        let number = |text: Option<&String>| text.and_then(|text| text.parse::<i64>().ok());
        let real = number(facts.outside.get("clock"));
        let seen = number(facts.inside.get("clock"));
        let file = number(facts.inside.get("file-clock"));
        let set = number(facts.inside.get("set-clock"));
        match (real, seen, file) {
            (Some(real), Some(seen), Some(file))
                if (seen - real).abs() > DAY
                    && (file - seen).abs() < DAY
                    && set == Some(super::facts::SET_TIME) =>
            {
                Effect::Seen
            }
            _ => Effect::NotVaried,
        }
    }
}

/// Keeps the first few names of a listing.
fn shortened(listing: &str) -> String {
    let names: Vec<&str> = listing.split(' ').take(8).collect();
    format!("{} …", names.join(" "))
}

#[cfg(test)]
mod tests;
