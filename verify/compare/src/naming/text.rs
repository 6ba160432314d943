//! Texts that differ: what stands at the differing places, and in what company.
//!
//! First what is known of the builds is taken out of both texts (host, user, paths), then what can be
//! recognised by itself (UUIDs, dates, addresses, keys), then the words that are left are looked at one
//! by one, with what stands before them.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::binary::{address, is_address};
use super::dates::{self, Found};
use super::words::{self, DIGEST_EVIDENCE};
use super::{Both, Candidate, Strength};
use crate::cause::Cause;
use crate::difference::Difference;

/// Stands for what is explained.
const MASK: char = '\u{1}';

/// Longest text that is looked at: differences hold less.
const LONGEST: usize = 4000;

/// Returns what two texts speak for.
pub(super) fn candidates(
    difference: &Difference,
    left: &str,
    right: &str,
    both: Both<'_>,
) -> Vec<Candidate> {
    if left.len() > LONGEST || right.len() > LONGEST || left == right {
        return Vec::new();
    }
    let place = key(difference);
    if let Some(candidate) = words::quotes(left, right) {
        return vec![candidate];
    }
    let mut texts = (left.to_owned(), right.to_owned());
    let mut found = words::known(&mut texts, both);
    uuids(&mut texts, &mut found);
    times(&mut texts, &mut found, both);
    numbers(&mut texts, &mut found, both);
    blobs(&mut texts, &mut found, &place);
    if !is_same(&texts) {
        for (left, right, before, after) in pairs(&texts.0, &texts.1) {
            found.extend(words::pair(
                &left,
                &right,
                &format!("{place}{before}"),
                &after,
            ));
        }
    }
    found
}

/// Returns what a value is called where the place says it: `hostname: ` of `/build/hostname`.
fn key(difference: &Difference) -> String {
    let named = difference
        .place
        .iter()
        .rev()
        .find(|segment| segment.kind != "item");
    match named {
        Some(segment) if matches!(segment.kind.as_str(), "value" | "tag" | "entry") => {
            format!("{}: ", segment.name.to_lowercase())
        }
        _ => String::new(),
    }
}

/// Whether nothing is left that differs. Cut texts may end at other places.
fn is_same((left, right): &(String, String)) -> bool {
    if left == right {
        return true;
    }
    match (left.strip_suffix('…'), right.strip_suffix('…')) {
        (Some(left), Some(right)) => {
            let common = left
                .chars()
                .zip(right.chars())
                .take_while(|(l, r)| l == r)
                .count();
            common + 40 >= left.chars().count().min(right.chars().count())
        }
        _ => false,
    }
}

fn masked(text: &str, ranges: &[Range<usize>]) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        masked.push_str(&text[at..range.start]);
        masked.push(MASK);
        at = range.end;
    }
    masked.push_str(&text[at..]);
    masked
}

/// Takes what a pattern finds out of both texts, where it finds as much in both; returns what it found.
fn take(texts: &mut (String, String), pattern: &Regex) -> Vec<(String, String)> {
    let ranges = |text: &str| -> Vec<Range<usize>> {
        pattern.find_iter(text).map(|found| found.range()).collect()
    };
    let (left, right) = (ranges(&texts.0), ranges(&texts.1));
    if left.is_empty() || left.len() != right.len() {
        return Vec::new();
    }
    let pairs = left.iter().zip(&right);
    let pairs = pairs.map(|(l, r)| (texts.0[l.clone()].to_owned(), texts.1[r.clone()].to_owned()));
    let pairs: Vec<(String, String)> = pairs.filter(|(left, right)| left != right).collect();
    *texts = (masked(&texts.0, &left), masked(&texts.1, &right));
    pairs
}

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("patterns are tested")
}

static UUID: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-(?:[0-9a-fA-F])[0-9a-fA-F]{3}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b",
    )
});

fn uuids(texts: &mut (String, String), found: &mut Vec<Candidate>) {
    for (left, right) in take(texts, &UUID) {
        let version = left.as_bytes().get(14).copied().unwrap_or_default();
        found.push(match version {
            b'3' | b'5' | b'8' => {
                Candidate::new(Cause::Random, Strength::Possible, DIGEST_EVIDENCE)
            }
            _ => Candidate::new(
                Cause::Random,
                Strength::Certain,
                format!("{left} and {right} are random UUIDs"),
            ),
        });
    }
}

/// Most seconds that a printed time may be off the clock: a file system's granularity.
const SLACK: i64 = 2;

/// Most seconds that a date may be off: it says nothing of the zone.
const DAY_SLACK: i64 = 26 * 3600;

fn times(texts: &mut (String, String), found: &mut Vec<Candidate>, both: Both<'_>) {
    let (left, right) = (dates::find(&texts.0), dates::find(&texts.1));
    if left.is_empty() || left.len() != right.len() {
        return;
    }
    for (one, two) in left.iter().zip(&right) {
        let words = (&texts.0[one.range.clone()], &texts.1[two.range.clone()]);
        if words.0 != words.1 {
            found.push(time(words, one, two, both));
        }
    }
    let ranges = |found: &[Found]| {
        found
            .iter()
            .map(|found| found.range.clone())
            .collect::<Vec<_>>()
    };
    *texts = (
        masked(&texts.0, &ranges(&left)),
        masked(&texts.1, &ranges(&right)),
    );
}

fn time((left, right): (&str, &str), one: &Found, two: &Found, both: Both<'_>) -> Candidate {
    const QUARTER: i64 = 900;
    let (Some(first), Some(second)) = (one.seconds, two.seconds) else {
        let evidence = format!("`{left}` and `{right}` are times of day or dates");
        return Candidate::new(Cause::Timestamp, Strength::Likely, evidence);
    };
    let clocks = both.0.clock.zip(both.1.clock);
    let apart = (first - second).abs();
    // The same moment by the clocks of two zones.
    let is_zone_like = one.has_time && two.has_time && apart % QUARTER == 0 && apart <= DAY_SLACK;
    let are_zones_known = both.0.time_zone.is_some() && both.0.time_zone != both.1.time_zone;
    let is_same_clock = clocks.is_none_or(|(one, two)| (one.start - two.start).abs() < QUARTER);
    if is_zone_like
        && is_same_clock
        && (are_zones_known || (one.zone != two.zone && one.zone.is_some()))
    {
        let evidence = format!("`{left}` and `{right}` are one moment in two time zones");
        return Candidate::new(Cause::Locale, Strength::Certain, evidence);
    }
    let slack = if one.has_time && one.zone.is_some() {
        SLACK
    } else {
        DAY_SLACK
    };
    if let Some((one, two)) = clocks
        && one.has(first, slack)
        && two.has(second, slack)
    {
        let days = apart / 86_400;
        let evidence = format!(
            "`{left}` and `{right}` are the times of the two builds, {days} days apart as their clocks were"
        );
        return Candidate::new(Cause::Timestamp, Strength::Certain, evidence);
    }
    let evidence = format!("`{left}` and `{right}` are dates, and what is around them is the same");
    Candidate::new(Cause::Timestamp, Strength::Likely, evidence)
}

static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b(?:0x)?0{0,4}(?:7[ef]|5[56])[0-9a-f]{10}\b"));
static EPOCH: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b[1-4]\d{9}(?:\d{3}|\d{6}|\d{9})?(?:\.\d{1,9})?\b"));

/// Addresses of memory, and times as numbers.
fn numbers(texts: &mut (String, String), found: &mut Vec<Candidate>, (one, two): Both<'_>) {
    for (left, right) in take(texts, &ADDRESS) {
        let number = |text: &str| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok();
        if let (Some(left), Some(right)) = (number(&left), number(&right))
            && is_address(left)
            && is_address(right)
        {
            found.push(address(left, right));
        }
    }
    for (left, right) in take(texts, &EPOCH) {
        let seconds = |text: &str| text.get(..10).and_then(|text| text.parse::<i64>().ok());
        let (Some(first), Some(second)) = (seconds(&left), seconds(&right)) else {
            continue;
        };
        let fits = one
            .clock
            .zip(two.clock)
            .map(|(one, two)| one.has(first, SLACK) && two.has(second, SLACK));
        let evidence = format!("{left} and {right} are seconds since 1970");
        found.push(match fits {
            Some(true) => Candidate::new(
                Cause::Timestamp,
                Strength::Certain,
                format!("{evidence}, within the two builds"),
            ),
            Some(false) => Candidate::new(
                Cause::Random,
                Strength::Possible,
                format!("{left} and {right} are numbers without a pattern"),
            ),
            None => Candidate::new(Cause::Timestamp, Strength::Likely, evidence),
        });
    }
}

static HEX: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?:0x)?[0-9a-f]{16,}|(?:0x)?[0-9A-F]{16,}"));
static BASE64: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z0-9+/_-]{22,}={0,2}"));

/// Lengths of digests in hexadecimal: MD5, SHA-1, SHA-2.
const DIGESTS: [usize; 6] = [32, 40, 56, 64, 96, 128];

/// Keys, seeds, digests: long texts without a pattern.
fn blobs(texts: &mut (String, String), found: &mut Vec<Candidate>, place: &str) {
    for (left, right) in take(texts, &HEX) {
        let is_meant_random = words::speaks_of_random(place) || words::speaks_of_random(&texts.0);
        if !has_nothing_in_common(&left, &right) {
            continue;
        }
        let is_digest =
            DIGESTS.contains(&left.len()) && left.len() == right.len() && !is_meant_random;
        found.push(match is_digest {
            true => Candidate::new(Cause::Random, Strength::Possible, DIGEST_EVIDENCE),
            false => Candidate::new(
                Cause::Random,
                Strength::Likely,
                format!(
                    "{} and {} have nothing in common",
                    short(&left),
                    short(&right)
                ),
            ),
        });
    }
    let before = texts.clone();
    let pairs = take(texts, &BASE64);
    let is_mixed = |text: &String| {
        let has =
            |kind: fn(&u8) -> bool| text.as_bytes().iter().filter(|byte| kind(byte)).count() >= 2;
        has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit)
    };
    let is_random = |(left, right): &(String, String)| {
        is_mixed(left)
            && is_mixed(right)
            && left.len().abs_diff(right.len()) <= 4
            && has_nothing_in_common(left, right)
    };
    if pairs.is_empty() || !pairs.iter().all(is_random) {
        *texts = before;
        return;
    }
    for (left, right) in pairs {
        let evidence = format!(
            "{} and {} have nothing in common",
            short(&left),
            short(&right)
        );
        found.push(Candidate::new(Cause::Random, Strength::Likely, evidence));
    }
}

/// Of random texts, a sixteenth or less is the same by chance.
fn has_nothing_in_common(left: &str, right: &str) -> bool {
    let same = left
        .bytes()
        .zip(right.bytes())
        .filter(|(l, r)| l == r)
        .count();
    same * 4 < left.len()
}

fn short(text: &str) -> String {
    crate::printable::cut(text, 24)
}

/// Returns the words that differ, with what stands before and behind each on the left, in lower case.
fn pairs(left: &str, right: &str) -> Vec<(String, String, String, String)> {
    let is_break = |c: char| c.is_whitespace() || "\"'`=,;:()<>[]{}|".contains(c);
    let words = |text: &'_ str| -> Vec<Range<usize>> {
        let mut words = Vec::new();
        let mut start = 0;
        for (at, c) in text.char_indices().filter(|(_, c)| is_break(*c)) {
            if at > start {
                words.push(start..at);
            }
            start = at + c.len_utf8();
        }
        if start < text.len() {
            words.push(start..text.len());
        }
        words
    };
    let (left_words, right_words) = (words(left), words(right));
    let around = |range: &Range<usize>| {
        let before: String = left[..range.start].chars().rev().take(48).collect();
        let before: String = before.chars().rev().collect();
        let after: String = left[range.end..].chars().take(12).collect();
        (before.to_lowercase(), after.to_lowercase())
    };
    if left_words.len() == right_words.len() {
        let pairs = left_words.iter().zip(&right_words);
        let pairs = pairs.filter(|(l, r)| left[(*l).clone()] != right[(*r).clone()]);
        let pair = |(l, r): (&Range<usize>, &Range<usize>)| {
            let (before, after) = around(l);
            (
                left[l.clone()].to_owned(),
                right[r.clone()].to_owned(),
                before,
                after,
            )
        };
        return pairs.take(20).map(pair).collect();
    }
    // Not the same number of words: all that differs is one.
    let same_start = left_words
        .iter()
        .zip(&right_words)
        .take_while(|(l, r)| left[(*l).clone()] == right[(*r).clone()])
        .count();
    let (left_rest, right_rest) = (&left_words[same_start..], &right_words[same_start..]);
    let same_end = left_rest
        .iter()
        .rev()
        .zip(right_rest.iter().rev())
        .take_while(|(l, r)| left[(*l).clone()] == right[(*r).clone()])
        .count();
    // What only one side has stands between two words of the other.
    let whole = |text: &str, rest: &[Range<usize>]| {
        let differing = &rest[..rest.len() - same_end];
        let place = rest.first().map_or(text.len(), |word| word.start);
        match (differing.first(), differing.last()) {
            (Some(first), Some(last)) => first.start..last.end,
            _ => place..place,
        }
    };
    let (l, r) = (whole(left, left_rest), whole(right, right_rest));
    let (before, after) = around(&l);
    vec![(left[l].to_owned(), right[r].to_owned(), before, after)]
}
