//! Time as a value: calendar dates from recipes and the one instant that outputs may show.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Says why a text is not a calendar date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a date as YYYY-MM-DD between 1970-01-01 and 2105-12-31, got `{text}`")]
pub struct DateError {
    /// The text as it was given.
    pub text: String,
}

/// A day of the Gregorian calendar, from 1970-01-01 to 2105-12-31 (rpm holds times in 32 bits).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CalendarDate(jiff::civil::Date);

impl CalendarDate {
    /// Returns midnight UTC of this day.
    #[must_use]
    pub fn midnight_utc(self) -> SourceDateEpoch {
        let days = (self.0 - jiff::civil::date(1970, 1, 1)).get_days();
        SourceDateEpoch(u32::try_from(i64::from(days) * 86_400).expect("the range is checked"))
    }

    /// Returns the day so many days after 1970-01-01; `None` outside the range.
    #[must_use]
    pub fn from_days(days: i32) -> Option<Self> {
        let date = jiff::civil::date(1970, 1, 1)
            .checked_add(jiff::Span::new().try_days(days).ok()?)
            .ok()?;
        (1970..=2105).contains(&date.year()).then_some(Self(date))
    }

    /// Returns the day as an RPM changelog writes it: `Mon Feb 20 2023`.
    #[must_use]
    pub fn to_changelog(self) -> String {
        self.0.strftime("%a %b %d %Y").to_string()
    }
}

impl FromStr for CalendarDate {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        let error = || DateError {
            text: text.to_owned(),
        };
        if text.len() != "1970-01-01".len() {
            return Err(error());
        }
        let date: jiff::civil::Date = text.parse().map_err(|_| error())?;
        if (1970..=2105).contains(&date.year()) {
            Ok(Self(date))
        } else {
            Err(error())
        }
    }
}

impl fmt::Display for CalendarDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for CalendarDate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CalendarDate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The instant that outputs carry in place of the clock: whole seconds since 1970-01-01T00:00:00Z
/// (reproducible-builds.org, `SOURCE_DATE_EPOCH`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SourceDateEpoch(u32);

impl SourceDateEpoch {
    /// Wraps seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn from_seconds(seconds: u32) -> Self {
        Self(seconds)
    }

    /// Returns seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }

    /// Returns the day that the instant is in, in UTC.
    #[must_use]
    pub fn day(self) -> CalendarDate {
        let days = i32::try_from(self.0 / 86_400).expect("32 bits of seconds are few days");
        CalendarDate::from_days(days).unwrap_or(CalendarDate(jiff::civil::date(2105, 12, 31)))
    }

    /// Returns the instant as RFC 3339 in UTC without fraction: `2023-02-20T00:00:00Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_second(i64::from(self.0))
            .expect("32 bits are in range")
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_prints_as_it_reads_and_has_one_midnight() {
        let date: CalendarDate = "2023-02-20".parse().unwrap();
        assert_eq!(date.to_string(), "2023-02-20");
        assert_eq!(date.to_changelog(), "Mon Feb 20 2023");
        assert_eq!(date.midnight_utc().to_rfc3339(), "2023-02-20T00:00:00Z");
        assert_eq!(CalendarDate::from_days(19_408), Some(date));
        for outside in [-1, 49_674, i32::MIN, i32::MAX] {
            assert_eq!(CalendarDate::from_days(outside), None);
        }
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        for text in [
            "",
            "2023-2-20",
            "2023-02-30",
            "1969-12-31",
            "2106-01-01",
            "20230220",
            "2023-02-20T00:00",
        ] {
            assert_eq!(
                text.parse::<CalendarDate>(),
                Err(DateError {
                    text: text.to_owned()
                })
            );
        }
    }
}
