//! [`TimeSpan`]: a length of time as operators write it.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units, the longest first, with their milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Most digits: with them no unit overflows.
const DIGITS: usize = 9;

/// A length of time for the settings of rules, written `500ms`, `30s`, `5m`, `2h` or `7d`.
///
/// ```
/// use saga_sdk::TimeSpan;
///
/// let timeout: TimeSpan = "90s".parse()?;
/// assert_eq!(timeout, TimeSpan::from_millis(90_000));
/// assert_eq!(timeout.to_string(), "90s");
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan {
    millis: u64,
}

impl TimeSpan {
    /// This many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self { millis }
    }

    /// This many seconds.
    #[must_use]
    pub const fn from_secs(seconds: u32) -> Self {
        Self {
            millis: seconds as u64 * 1_000,
        }
    }

    /// In milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.millis
    }
}

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit = UNITS.iter().find(|(name, _)| *name == unit);
        let number = number.parse::<u64>().ok().filter(|_| digits <= DIGITS);
        match (number, unit) {
            (Some(number), Some((_, unit))) => Ok(Self::from_millis(number.saturating_mul(*unit))),
            _ => Err(format!(
                "{text:?} is no time span: write it like 500ms, 30s, 5m, 2h or 7d"
            )),
        }
    }
}

impl fmt::Display for TimeSpan {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `90s` stays as it is: it is no whole number of minutes.
        let fits = |(_, unit): &&(&str, u64)| self.millis.is_multiple_of(*unit);
        let (name, unit) = UNITS.iter().find(fits).unwrap_or(&("ms", 1));
        match self.millis {
            0 => out.write_str("0s"),
            millis => write!(out, "{}{name}", millis / unit),
        }
    }
}

impl Serialize for TimeSpan {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TimeSpan {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for TimeSpan {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TimeSpan".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a length of time",
            "type": "string",
            "pattern": "^[0-9]{1,9}(ms|s|m|h|d)$",
            "examples": ["30s", "5m"],
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn a_time_span_is_written_in_its_longest_whole_unit() {
        for (text, millis, normal) in [
            ("500ms", 500, "500ms"),
            ("30s", 30_000, "30s"),
            ("60s", 60_000, "1m"),
            ("120m", 7_200_000, "2h"),
            ("7d", 604_800_000, "7d"),
            ("0h", 0, "0s"),
            ("999999999d", 86_399_999_913_600_000, "999999999d"),
        ] {
            let span: TimeSpan = text.parse().unwrap();
            assert_eq!(span.as_millis(), millis, "{text}");
            assert_eq!(span.to_string(), normal, "{text}");
            let again: TimeSpan =
                serde_json::from_str(&serde_json::to_string(&span).unwrap()).unwrap();
            assert_eq!(again, span);
        }
        assert_eq!(TimeSpan::from_secs(60), TimeSpan::from_millis(60_000));
    }

    #[test]
    fn a_number_without_a_unit_is_no_time_span() {
        for text in ["", "30", "s", "-1s", "1.5h", "1 s", "1w", "9999999999s"] {
            assert!(text.parse::<TimeSpan>().is_err(), "{text}");
        }
    }
}
