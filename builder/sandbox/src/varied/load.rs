//! Processes that do nothing but keep processors busy, and how much of them they had.

use std::path::Path;

/// How far a busy process steps back: it has about a quarter of a processor that others want, too. A
/// half would double the time of a rebuild and show no more.
const NICENESS: i32 = 5;

/// Counts in a circle until the caller, and so its pid namespace, is dead.
pub(super) fn spin() -> ! {
    // Without it the load is only greater.
    let _ = rustix::process::nice(NICENESS);
    let mut number = 0_u64;
    loop {
        number = std::hint::black_box(
            number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        );
    }
}

/// Returns the processor time that processes had, in hundredths of a second.
pub(super) fn processor_time(processes: &[i32]) -> u64 {
    let of = |pid: &i32| {
        let text = fs_err::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
        text.ok().and_then(|text| user_time(&text)).unwrap_or(0)
    };
    processes.iter().map(of).sum()
}

/// Returns the 14th field of `/proc/PID/stat`; the second may hold anything, in brackets.
fn user_time(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(11)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_found_behind_any_name() {
        for (stat, expected) in [
            ("7 (kiln) R 1 7 7 0 -1 4194304 0 0 0 0 250 3 0 0", Some(250)),
            ("7 (a) b) (c)) R 1 7 7 0 -1 4194304 0 0 0 0 9 3", Some(9)),
            ("7 (kiln) R 1", None),
            ("", None),
        ] {
            assert_eq!(user_time(stat), expected, "{stat}");
        }
    }
}
