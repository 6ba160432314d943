//! Text for people: harmless, of a known width, with sizes and times as they are read.

use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Stands for what must not reach a terminal.
const REPLACEMENT: char = '\u{fffd}';

/// Returns whether a character moves the cursor, changes the terminal's state, or makes text look like
/// other text.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Makes one line of foreign text harmless: control and invisible characters are replaced, tabs become
/// blanks.
pub fn clean(text: &str) -> String {
    let shown = |c: char| match c {
        '\t' => ' ',
        c if is_harmful(c) => REPLACEMENT,
        c => c,
    };
    text.chars().map(shown).collect()
}

/// Makes text of several lines harmless.
pub fn clean_lines(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(clean).collect();
    lines.join("\n")
}

/// Returns the columns that a text takes.
pub fn width(text: &str) -> usize {
    text.width()
}

/// Shortens a text in the middle to so many columns: names differ at both ends.
pub fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else {
        return String::new();
    };
    let end = take(text.chars().rev(), room / 2);
    let mut shown: String = take(text.chars(), room - width(&end));
    shown.push('…');
    shown.extend(end.chars().rev());
    shown
}

/// Shortens a text at its end to so many columns.
pub fn cut(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let Some(room) = columns.checked_sub(1) else {
        return String::new();
    };
    take(text.chars(), room) + "…"
}

fn take(chars: impl Iterator<Item = char>, columns: usize) -> String {
    let mut used = 0;
    chars
        .take_while(|c| {
            used += c.width().unwrap_or(0);
            used <= columns
        })
        .collect()
}

/// Returns a text with blanks up to a width.
pub fn pad(text: &str, columns: usize) -> String {
    let missing = columns.saturating_sub(width(text));
    format!("{text}{}", " ".repeat(missing))
}

/// Returns a duration as people read it: `3.4 s`, `2 min 05 s`.
pub fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(60) {
        return format!("{:.1} s", duration.as_secs_f64().min(59.9));
    }
    whole_seconds(duration)
}

/// Returns a duration without fractions, for a display that counts: `3 s`, `2 min 05 s`, `1 h 02 min`.
pub fn whole_seconds(duration: Duration) -> String {
    match duration.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        seconds => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
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

/// Returns bytes per second as people read it; nothing while there is nothing to divide by.
pub fn rate(bytes: u64, elapsed: Duration) -> Option<String> {
    let milliseconds = elapsed.as_millis();
    if milliseconds < 500 || bytes == 0 {
        return None;
    }
    let rate = u128::from(bytes) * 1000 / milliseconds;
    let rate = u64::try_from(rate).unwrap_or(u64::MAX);
    Some(format!("{}/s", size(rate)))
}

/// Returns a number of things: `1 file`, `2 files`.
pub fn count(number: usize, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_durations_and_rates_read_well() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (15_292_815, "14.5 MiB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
        for (milliseconds, short, whole) in [
            (0, "0.0 s", "0 s"),
            (3400, "3.4 s", "3 s"),
            (59_990, "59.9 s", "59 s"),
            (125_000, "2 min 05 s", "2 min 05 s"),
            (3_725_000, "1 h 02 min", "1 h 02 min"),
        ] {
            let duration = Duration::from_millis(milliseconds);
            assert_eq!(seconds(duration), short);
            assert_eq!(whole_seconds(duration), whole);
        }
        let two_seconds = Duration::from_secs(2);
        assert_eq!(rate(3 << 20, two_seconds).as_deref(), Some("1.5 MiB/s"));
        assert_eq!(rate(0, two_seconds), None);
        assert_eq!(rate(1 << 20, Duration::ZERO), None);
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(0, "RPM"), "0 RPMs");
    }

    #[test]
    fn nothing_harmful_passes() {
        for (text, expected) in [
            ("plain text, ünïcode", "plain text, ünïcode"),
            ("\u{1b}[2Jgone\u{7}", "\u{fffd}[2Jgone\u{fffd}"),
            ("a\tb\rc", "a b\u{fffd}c"),
            ("\u{9b}31m", "\u{fffd}31m"),
            ("evil\u{202e}gpj.exe", "evil\u{fffd}gpj.exe"),
            ("zero\u{200b}width", "zero\u{fffd}width"),
        ] {
            assert_eq!(clean(text), expected);
        }
        assert_eq!(clean_lines("a\n\u{1b}b\n"), "a\n\u{fffd}b\n");
    }

    #[test]
    fn texts_are_shortened_to_the_column() {
        for (text, columns, middle, end) in [
            ("short", 5, "short", "short"),
            ("shorter", 5, "sh…er", "shor…"),
            ("shorter", 1, "…", "…"),
            ("shorter", 0, "", ""),
            ("日本語テキスト", 6, "日…ト", "日本…"),
        ] {
            assert_eq!(fit(text, columns), middle, "{text} {columns}");
            assert_eq!(cut(text, columns), end, "{text} {columns}");
            assert!(width(&fit(text, columns)) <= columns);
            assert!(width(&cut(text, columns)) <= columns);
        }
        assert_eq!(pad("日", 4), "日  ");
    }
}
