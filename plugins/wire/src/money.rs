//! [`Amount`], a number as someone wrote it, and [`Money`], what the rules reckon with.
//!
//! An amount arrives from clients and peers and may be anything that JSON calls a number: `300`,
//! `300.00`, `3e2`, thirty digits. It goes through unread and unrounded. Money is what such a number
//! becomes once it is known to be legal: not negative, whole cents, at most [`Money::MAX`]. Inside
//! it is a whole number of cents in 64 bits, so nothing is ever rounded; sums and differences are
//! checked, so none can overflow; a float appears nowhere.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Number;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

const CENTS: i64 = 100;
const DECIMALS: i64 = 2;

/// A JSON number with the digits it was written with, legal or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(inline)]
pub struct Amount(Number);

impl Amount {
    /// The amount as money.
    ///
    /// # Errors
    /// Where it is negative, finer than a cent or beyond [`Money::MAX`].
    pub fn money(&self) -> Result<Money, MoneyError> {
        self.0.as_str().parse()
    }
}

impl From<Money> for Amount {
    fn from(money: Money) -> Self {
        Self(money.number())
    }
}

/// A sum of money: whole cents from 0 to [`Money::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Money {
    cents: i64,
}

impl Money {
    /// Nothing.
    pub const ZERO: Self = Self { cents: 0 };

    /// The largest sum: 90,000,000,000,000,000 (9·10¹⁶), whose cents fit into 64 bits.
    pub const MAX: Self = Self {
        cents: 90_000_000_000_000_000 * CENTS,
    };

    /// This many units, and no cents.
    pub const fn whole(units: u32) -> Self {
        Self {
            cents: units as i64 * CENTS,
        }
    }

    /// The amount minus `other`; none if there is not enough.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        (other <= self).then(|| Self {
            cents: self.cents - other.cents,
        })
    }

    /// Both together; none beyond [`Money::MAX`].
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let cents = self.cents.checked_add(other.cents)?;
        (cents <= Self::MAX.cents).then_some(Self { cents })
    }

    /// In its shortest form: `1000`, `10.5`, `10.25`.
    fn number(self) -> Number {
        if self.cents % CENTS == 0 {
            return Number::from(self.cents / CENTS);
        }
        // Always a JSON number; the fallback is never taken.
        self.to_string()
            .parse()
            .unwrap_or_else(|_| Number::from(self.cents / CENTS))
    }
}

/// Why a number is no [`Money`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// It is below zero.
    #[error("the amount is negative: send zero or more")]
    Negative,
    /// It has a fraction of a cent.
    #[error("the amount is finer than a cent: send at most two decimals")]
    TooFine,
    /// It is beyond [`Money::MAX`].
    #[error("the amount is too large: send at most 90000000000000000")]
    TooLarge,
    /// It is no number.
    #[error("the amount is no number: write it like 10.25")]
    NotANumber,
}

impl FromStr for Money {
    type Err = MoneyError;

    /// Reads a JSON number, exactly: `300`, `300.00` and `3e2` are the same money.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(MoneyError::NotANumber);
        }
        let significant = digits.trim_end_matches('0');
        let dropped = digits.len() - significant.len();
        let significant = significant.trim_start_matches('0');
        if significant.is_empty() {
            return Ok(Self::ZERO);
        }
        if negative {
            return Err(MoneyError::Negative);
        }
        // The value in cents is `significant` with `shift` zeros behind it.
        let shift = exponent_of(exponent)?
            .saturating_add(DECIMALS)
            .saturating_sub(length(fraction))
            .saturating_add(i64::try_from(dropped).unwrap_or(i64::MAX));
        if shift < 0 {
            // Beyond the bound *and* finer than a cent: the bound is the plainer complaint.
            let whole_digits = length(significant).saturating_add(shift);
            return Err(if whole_digits > length(&Self::MAX.cents.to_string()) {
                MoneyError::TooLarge
            } else {
                MoneyError::TooFine
            });
        }
        let scale = u32::try_from(shift)
            .ok()
            .and_then(|shift| 10_i64.checked_pow(shift));
        let cents = significant.parse::<i64>().ok().zip(scale);
        let cents = cents.and_then(|(digits, scale)| digits.checked_mul(scale));
        match cents.map(|cents| Self { cents }) {
            Some(money) if money <= Self::MAX => Ok(money),
            _ => Err(MoneyError::TooLarge),
        }
    }
}

/// The exponent, held to a range in which adding to it can't overflow.
fn exponent_of(text: &str) -> Result<i64, MoneyError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(MoneyError::NotANumber);
    }
    let size = digits.parse().unwrap_or(i64::MAX);
    Ok(if negative { -size } else { size })
}

fn length(digits: &str) -> i64 {
    i64::try_from(digits.len()).unwrap_or(i64::MAX)
}

impl fmt::Display for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, cents) = (self.cents / CENTS, self.cents % CENTS);
        match (cents, cents % 10) {
            (0, _) => write!(out, "{whole}"),
            (_, 0) => write!(out, "{whole}.{}", cents / 10),
            _ => write!(out, "{whole}.{cents:02}"),
        }
    }
}

impl Serialize for Money {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.cents % CENTS == 0 {
            return serializer.serialize_i64(self.cents / CENTS);
        }
        self.number().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Number::deserialize(deserializer)?;
        number.as_str().parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Money {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Money".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "number", "minimum": 0, "maximum": 90_000_000_000_000_000_i64 })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn read(text: &str) -> Result<Money, MoneyError> {
        serde_json::from_str::<Amount>(text).unwrap().money()
    }

    #[test]
    fn money_is_read_exactly_and_written_in_its_shortest_form() {
        for (written, normal) in [
            ("0", "0"),
            ("-0", "0"),
            ("0.000", "0"),
            ("0e999999999999999999999", "0"),
            ("300", "300"),
            ("300.0", "300"),
            ("300.00", "300"),
            ("300.0000000000000000000000000000000000000", "300"),
            ("3e2", "300"),
            ("3E+2", "300"),
            ("30000e-2", "300"),
            ("0.3e3", "300"),
            ("10.25", "10.25"),
            ("1025e-2", "10.25"),
            ("10.5", "10.5"),
            ("10.50", "10.5"),
            ("10.05", "10.05"),
            ("0.01", "0.01"),
            ("999999999999.99", "999999999999.99"),
            ("1e12", "1000000000000"),
            ("1000000000000.01", "1000000000000.01"),
            ("9e16", "90000000000000000"),
            ("89999999999999999.99", "89999999999999999.99"),
        ] {
            let money = read(written).unwrap();
            assert_eq!(serde_json::to_string(&money).unwrap(), normal, "{written}");
            assert_eq!(serde_json::to_string(&Amount::from(money)).unwrap(), normal);
            assert_eq!(serde_json::from_str::<Money>(normal).unwrap(), money);
        }
    }

    #[test]
    fn what_is_no_money_says_why() {
        for (written, error) in [
            ("-1", MoneyError::Negative),
            ("-0.001", MoneyError::Negative),
            ("0.001", MoneyError::TooFine),
            ("10.255", MoneyError::TooFine),
            ("1e-3", MoneyError::TooFine),
            ("1e-99999999999999999999", MoneyError::TooFine),
            ("90000000000000000.01", MoneyError::TooLarge),
            ("90000000000000001", MoneyError::TooLarge),
            ("92233720368547758.08", MoneyError::TooLarge),
            ("123456789012345678901234567890", MoneyError::TooLarge),
            ("123456789012345678901234567890.001", MoneyError::TooLarge),
            ("1e17", MoneyError::TooLarge),
            ("1e99999999999999999999", MoneyError::TooLarge),
        ] {
            assert_eq!(read(written), Err(error), "{written}");
        }
    }

    #[test]
    fn text_that_is_no_number_is_no_money() {
        for text in [
            "", "-", ".", "e5", "1e", "1e+", "1.2.3", "0x10", "NaN", "1 ",
        ] {
            assert_eq!(
                text.parse::<Money>(),
                Err(MoneyError::NotANumber),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_sum_stays_within_the_bound() {
        let money = |text: &str| text.parse::<Money>().unwrap();
        assert_eq!(
            money("0.3").checked_add(money("9.95")),
            Some(money("10.25"))
        );
        assert_eq!(money("9e16").checked_add(Money::ZERO), Some(Money::MAX));
        assert_eq!(money("9e16").checked_add(money("0.01")), None);
    }

    #[test]
    fn no_more_can_be_taken_than_there_is() {
        let money = |text: &str| text.parse::<Money>().unwrap();
        assert_eq!(
            money("10.25").checked_sub(money("0.3")),
            Some(money("9.95"))
        );
        assert_eq!(
            money("10.25").checked_sub(money("10.25")),
            Some(Money::ZERO)
        );
        assert_eq!(money("10.25").checked_sub(money("10.26")), None);
        assert_eq!(
            money("9e16").checked_sub(money("0.01")),
            Some(money("89999999999999999.99"))
        );
    }
}
