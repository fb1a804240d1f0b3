//! The only place where the host reads the wall clock and makes random ids.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;

/// Now, in milliseconds since the Unix epoch.
#[must_use]
pub fn now_ms() -> u64 {
    let elapsed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// Random bytes for an id.
#[must_use]
pub fn random_tail() -> [u8; 10] {
    let mut bytes = [0; 10];
    if getrandom::fill(&mut bytes).is_err() {
        // No supported system fails here, but ids must differ even if one does.
        let address = std::ptr::from_ref(&bytes) as usize;
        let nanos = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_nanos() as u64;
        for (byte, mixed) in bytes.iter_mut().zip((nanos ^ address as u64).to_le_bytes()) {
            *byte = mixed;
        }
    }
    bytes
}

/// Formats milliseconds since the Unix epoch as RFC 3339 in UTC.
#[must_use]
pub fn rfc3339(unix_millis: u64) -> String {
    printed(unix_millis, 3)
}

/// The same to the second.
#[must_use]
pub fn rfc3339_seconds(unix_millis: u64) -> String {
    printed(unix_millis - unix_millis % 1_000, 0)
}

fn printed(unix_millis: u64, digits: u8) -> String {
    let millis = i64::try_from(unix_millis).unwrap_or(i64::MAX);
    let time = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
    let printer = DateTimePrinter::new().precision(Some(digits));
    printer.timestamp_to_string(&time)
}

/// Parses RFC 3339 into milliseconds since the Unix epoch; `None` for other texts, and for times
/// before the epoch.
#[must_use]
pub fn from_rfc3339(text: &str) -> Option<u64> {
    let time: Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond())
        .ok()
        .filter(|_| time >= Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_of_the_calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
            assert_eq!(from_rfc3339(text), Some(millis));
        }
        assert_eq!(rfc3339(u64::MAX), "9999-12-30T22:00:00.999Z");
    }

    #[test]
    fn times_are_utc_to_the_second() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399_999, "2000-02-28T23:59:59Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_800_000, "2000-03-01T00:00:00Z"),
            (1_709_251_199_000, "2024-02-29T23:59:59Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59Z"),
            (1_767_323_045_678, "2026-01-02T03:04:05Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339_seconds(ms), expected);
        }
    }

    #[test]
    fn times_of_others_are_read_in_every_form_that_the_standard_has() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2023-11-14T22:13:20.123Z", Some(1_700_000_000_123)),
            ("2023-11-14T22:13:20.1239Z", Some(1_700_000_000_123)),
            ("2023-11-14t22:13:20.123z", Some(1_700_000_000_123)),
            ("2023-11-14T23:13:20+01:00", Some(1_700_000_000_000)),
            ("1969-12-31T23:59:59Z", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(from_rfc3339(text), expected, "{text}");
        }
    }
}
