//! A length of time on the command line: `90s`, `30m`, `12h`, `7d`.

/// The units, in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
];

/// A length of time in milliseconds.
///
/// # Errors
/// It is not a number with a unit, or too long.
pub(super) fn milliseconds(text: &str) -> Result<u64, String> {
    let split = text.find(|c: char| !c.is_ascii_digit());
    let (number, unit) = text.split_at(split.unwrap_or(text.len()));
    let unit = UNITS.into_iter().find(|(name, _)| *name == unit);
    let length = number.parse::<u64>().ok().zip(unit);
    length
        .and_then(|(number, (_, unit))| number.checked_mul(unit))
        .ok_or_else(|| "is not a number with a unit: 250ms, 90s, 30m, 12h, 7d".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_with_a_unit() {
        for (text, length) in [
            ("0s", 0),
            ("250ms", 250),
            ("90s", 90_000),
            ("5m", 300_000),
            ("12h", 43_200_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(milliseconds(text), Ok(length), "{text}");
        }
        for text in [
            "",
            "5",
            "m",
            "1w",
            "1.5h",
            "-1s",
            "5 m",
            "99999999999999999999d",
            "18446744073709551615d",
        ] {
            assert!(milliseconds(text).is_err(), "{text}");
        }
    }
}
