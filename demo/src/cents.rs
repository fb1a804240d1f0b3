//! Money as whole cents.
//!
//! Owns: reading a JSON number into cents without a float on the way, and writing it back. A number
//! that is no whole count of cents is an error, because that is how a service that computes in
//! floats gives itself away (`0.30000000000000004`).
//!
//! Must not know: customers, orders, HTTP.

use std::fmt;

use thiserror::Error;

/// An amount in cents. Negative only in what a faulty service answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Cents(pub(crate) i64);

/// The text of a JSON number that is no whole number of cents, or too large to count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0} is not an amount in whole cents")]
pub(crate) struct NotCents(String);

/// Digits beyond which a number is certainly no amount; keeps the arithmetic inside `i128`.
const DIGITS_MAX: usize = 30;

impl Cents {
    /// An amount without cents.
    pub(crate) const fn whole(amount: i64) -> Self {
        Self(amount * 100)
    }

    /// Reads a JSON number: `1000`, `10.25`, `10.250`, `1E+3`.
    ///
    /// # Errors
    /// The text is no number, has a fraction of a cent, or does not fit 64 bits.
    pub(crate) fn from_json(text: &str) -> Result<Self, NotCents> {
        parse(text).ok_or_else(|| NotCents(text.to_owned()))
    }
}

impl fmt::Display for Cents {
    /// Writes what a person would: `300`, `10.25`, `10.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let cents = self.0.unsigned_abs();
        match cents % 100 {
            0 => write!(f, "{sign}{}", cents / 100),
            rest => write!(f, "{sign}{}.{rest:02}", cents / 100),
        }
    }
}

fn parse(text: &str) -> Option<Cents> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() || whole.len() + fraction.len() > DIGITS_MAX {
        return None;
    }
    let mut digits: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        digits = digits * 10 + i128::from(byte - b'0');
    }
    let shift = exponent
        .checked_add(2)?
        .checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let power = 10_i128.checked_pow(shift.unsigned_abs());
    let cents = if shift >= 0 {
        digits.checked_mul(power?)?
    } else {
        let power = power?;
        if digits % power != 0 {
            return None;
        }
        digits / power
    };
    i64::try_from(if negative { -cents } else { cents })
        .ok()
        .map(Cents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_way_to_write_whole_cents() {
        for (text, cents) in [
            ("0", 0),
            ("1000", 100_000),
            ("10.25", 1_025),
            ("10.250", 1_025),
            ("0.1", 10),
            ("-3.07", -307),
            ("1E+3", 100_000),
            ("125e-2", 125),
        ] {
            assert_eq!(Cents::from_json(text), Ok(Cents(cents)), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_whole_cent() {
        for text in [
            "0.30000000000000004",
            "0.001",
            "",
            "-",
            ".5",
            "abc",
            "\"10\"",
            "1e40",
            "100000000000000000000000000000",
            "1e2147483647",
        ] {
            assert!(Cents::from_json(text).is_err(), "{text}");
        }
    }

    #[test]
    fn writes_without_needless_digits() {
        for (cents, text) in [
            (30_000, "300"),
            (1_025, "10.25"),
            (1_050, "10.50"),
            (7, "0.07"),
            (-307, "-3.07"),
        ] {
            assert_eq!(Cents(cents).to_string(), text);
        }
    }
}
