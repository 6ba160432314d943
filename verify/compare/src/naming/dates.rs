//! Dates and times in text, in the ways that compilers, tools and locales write them.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

/// A date or time found in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) range: Range<usize>,
    /// Seconds since 1970 as if it were UTC; of a date alone, its start.
    pub(super) seconds: Option<i64>,
    /// Whether the time of day is part of it.
    pub(super) has_time: bool,
    /// How far the zone that it names is from UTC, in seconds.
    pub(super) zone: Option<String>,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

const TIME: &str =
    r"(?P<H>[0-2]?\d):(?P<M>[0-5]\d)(?::(?P<S>[0-6]\d)(?:[.,]\d{1,9})?)?(?: ?[AaPp][Mm])?";
const ZONE: &str = r"(?: ?(?P<z>Z|[A-Z]{2,5}|[+-]\d{2}:?\d{2})\b)?";
const NAME: &str = r"(?P<n>Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)";

/// The ways, most telling first: what one has matched, the next do not look at.
static WAYS: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let ways = [
        // 2026-11-27T10:00:00Z, 2026-11-27 10:00, 2026/11/27
        format!(r"\b(?P<y>[12]\d{{3}})[-/](?P<m>[01]?\d)[-/](?P<d>[0-3]?\d)(?:(?:T| +|_){TIME}{ZONE})?"),
        // Fri Nov 27 10:00:00 UTC 2026, Nov 27 2026, Nov 27, 2026
        format!(r"\b{NAME}\.? +(?P<d>[0-3]?\d),? +(?:{TIME} +(?:(?P<z>[A-Z]{{2,5}}) +)?)?(?P<y>[12]\d{{3}})(?: +(?P<H2>[0-2]?\d):(?P<M2>[0-5]\d)(?::(?P<S2>[0-6]\d))?)?"),
        // Fri, 27 Nov 2026 10:00:00 GMT, 27 November 2026, 27-Nov-2026
        format!(r"\b(?P<d>[0-3]?\d)(?:st|nd|rd|th)?[ -]{NAME}[ ,-] ?(?P<y>[12]\d{{3}})(?:[ ,]+{TIME}{ZONE})?"),
        // 27. November 2026, 27 novembre 2026, Fr 27. Nov 10:00:00 CET 2026: months of other languages
        format!(r"\b(?P<d>[0-3]?\d)\.? \p{{L}}{{3,12}}\.? (?:{TIME} +(?P<z>[A-Z]{{2,5}}) +)?(?P<y>[12]\d{{3}})\b"),
        // November 2026, as manual pages have it
        format!(r"\b{NAME},? +(?P<y>[12]\d{{3}})\b"),
        // 27.11.2026, 11/27/2026, 11/27/26
        format!(r"\b(?P<a>[0-3]?\d)(?:\.(?P<b>[0-3]?\d)\.(?P<y>[12]\d{{3}})|/(?P<b2>[0-3]?\d)/(?P<y2>(?:[12]\d)?\d{{2}}))\b(?: +{TIME}{ZONE})?"),
        // 20261127, 20261127T100000Z, 202611271000
        r"\b(?P<y>(?:19|20)\d{2})(?P<m>0[1-9]|1[0-2])(?P<d>0[1-9]|[12]\d|3[01])(?:T?(?P<H>[01]\d|2[0-3])(?P<M>[0-5]\d)(?P<S>[0-5]\d)?(?P<z>Z)?)?\b".to_owned(),
        // 10:00:00, 10:00 PM
        format!(r"\b{TIME}{ZONE}"),
    ];
    let compiled = ways.iter().map(|way| Regex::new(way));
    compiled
        .map(|way| way.expect("the ways are tested"))
        .collect()
});

/// Returns every date and time in a text, in order.
pub(super) fn find(text: &str) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for way in WAYS.iter() {
        for captures in way.captures_iter(text) {
            let Some(whole) = captures.get(0) else {
                continue;
            };
            let range = whole.range();
            let is_taken = found
                .iter()
                .any(|known| known.range.start < range.end && range.start < known.range.end);
            if !is_taken {
                found.push(read(&captures, range));
            }
        }
    }
    found.sort_by_key(|found| found.range.start);
    found
}

fn read(captures: &regex::Captures<'_>, range: Range<usize>) -> Found {
    let number = |name: &str| {
        captures
            .name(name)
            .and_then(|text| text.as_str().parse::<i64>().ok())
    };
    let year = number("y")
        .or_else(|| number("y2"))
        .map(|year| if year < 100 { 2000 + year } else { year });
    let month = number("m").or_else(|| {
        let name = captures.name("n")?.as_str().to_lowercase();
        let at = MONTHS.iter().position(|month| name.starts_with(month))?;
        i64::try_from(at + 1).ok()
    });
    let (month, day) = match (number("a"), number("b").or_else(|| number("b2"))) {
        // Day first but where the second can be no month.
        (Some(a), Some(b)) if b <= 12 => (Some(b), Some(a)),
        (Some(a), Some(b)) => (Some(a), Some(b)),
        _ => (month, number("d")),
    };
    let hour = number("H").or_else(|| number("H2"));
    let minute = number("M").or_else(|| number("M2"));
    let second = number("S").or_else(|| number("S2")).unwrap_or(0);
    let day_start = match (year, month, day) {
        (Some(year), Some(month), Some(day)) => date(year, month, day),
        _ => None,
    };
    let time = hour
        .zip(minute)
        .map(|(hour, minute)| hour * 3600 + minute * 60 + second);
    Found {
        range,
        seconds: day_start.map(|start| start + time.unwrap_or(0)),
        has_time: time.is_some(),
        zone: captures.name("z").map(|zone| zone.as_str().to_owned()),
    }
}

fn date(year: i64, month: i64, day: i64) -> Option<i64> {
    let (year, month, day) = (
        i16::try_from(year).ok()?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    );
    let date = jiff::civil::Date::new(year, month, day).ok()?;
    let zoned = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(zoned.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_found_however_they_are_written() {
        const DAY: i64 = 1_795_737_600;
        const TEN: i64 = DAY + 36_000;
        for (text, seconds, has_time) in [
            ("built 2026-11-27", Some(DAY), false),
            ("built 2026-11-27T10:00:00Z.", Some(TEN), true),
            ("2026-11-27 10:00:00 +0100", Some(TEN), true),
            ("2026/11/27 10:00", Some(TEN), true),
            ("Nov 27 2026", Some(DAY), false),
            ("Nov 27 2026 10:00:00", Some(TEN), true),
            ("November 27, 2026", Some(DAY), false),
            ("Fri Nov 27 10:00:00 UTC 2026", Some(TEN), true),
            ("Fri Nov 27 10:00:00 2026", Some(TEN), true),
            ("Fri, 27 Nov 2026 10:00:00 GMT", Some(TEN), true),
            ("27 November 2026", Some(DAY), false),
            ("27-Nov-2026", Some(DAY), false),
            ("Fr 27. Nov 10:00:00 CET 2026", Some(TEN), true),
            ("27.11.2026", Some(DAY), false),
            ("11/27/2026 10:00", Some(TEN), true),
            ("November 2026", None, false),
            ("v20261127", None, false),
            ("20261127T100000Z", Some(TEN), true),
            ("at 10:00:00", None, true),
        ] {
            let found = find(text);
            if text.starts_with('v') {
                assert!(found.is_empty(), "{text}: {found:?}");
                continue;
            }
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            let is_local = text.contains("27. Nov");
            let expected = if is_local { None } else { seconds };
            assert_eq!(
                (found[0].seconds, found[0].has_time),
                (expected, has_time),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_date_is_not_taken_for_one() {
        for text in [
            "1.2.3",
            "libfoo.so.1.2.11",
            "192.168.1.1",
            "0x20261127ab",
            "a 12345678 b",
            "2026",
        ] {
            assert!(find(text).is_empty(), "{text}: {:?}", find(text));
        }
    }
}
