//! Money as whole cents.
//!
//! Owns: parsing a JSON number into cents without a float, and formatting it. A number with a
//! fraction of a cent is an error: it reveals a service that computes in floats
//! (`0.30000000000000004`).
//!
//! Must not know: customers, orders, HTTP.

use std::fmt;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use thiserror::Error;

/// An amount in cents. Only a faulty service answers a negative one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cents(pub i64);

/// The text of a JSON number that has a fraction of a cent or is too large.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0} is not an amount in whole cents")]
pub struct NotCents(String);

impl Cents {
    /// An amount of whole units.
    pub const fn whole(amount: i64) -> Self {
        Self(amount * 100)
    }

    /// Parses a JSON number: `1000`, `10.25`, `10.250`, `1E+3`.
    ///
    /// # Errors
    /// The text is no number, has a fraction of a cent, or does not fit 64 bits.
    pub fn from_json(text: &str) -> Result<Self, NotCents> {
        let amount = Decimal::from_str_exact(text).or_else(|_| Decimal::from_scientific(text));
        amount
            .ok()
            .and_then(|amount| amount.checked_mul(Decimal::ONE_HUNDRED))
            .filter(Decimal::is_integer)
            .and_then(|cents| cents.to_i64())
            .map(Cents)
            .ok_or_else(|| NotCents(text.to_owned()))
    }
}

impl fmt::Display for Cents {
    /// Formats it as people do: `300`, `10.25`, `10.50`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 % 100 {
            0 => write!(f, "{}", self.0 / 100),
            _ => write!(f, "{}", Decimal::new(self.0, 2)),
        }
    }
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
