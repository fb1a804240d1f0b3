//! JSON numbers by value, in all their digits, whatever their notation.

/// A number as its significant digits times a power of ten.
#[derive(Debug, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Parses a JSON number; `None` if its exponent overflows. Zero has none.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let (is_negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let significant = all.trim_end_matches('0');
        let zeros = i64::try_from(all.len() - significant.len()).ok()?;
        let shift = i64::try_from(fraction.len()).ok()?;
        let digits = significant.trim_start_matches('0').to_owned();
        if digits.is_empty() {
            return Some(Self {
                is_negative: false,
                digits,
                exponent: 0,
            });
        }
        let exponent: i64 = exponent.parse().ok()?;
        Some(Self {
            is_negative,
            digits,
            exponent: exponent.checked_add(zeros)?.checked_sub(shift)?,
        })
    }

    /// The number in the notation of integers, if it is one that fits into 64 bits.
    #[must_use]
    pub fn integer(&self) -> Option<String> {
        let scale = 10_i128.checked_pow(u32::try_from(self.exponent).ok()?)?;
        let digits = if self.digits.is_empty() {
            "0"
        } else {
            &self.digits
        };
        let size = digits.parse::<i128>().ok()?.checked_mul(scale)?;
        let value = if self.is_negative { -size } else { size };
        let fits = i64::try_from(value).is_ok() || u64::try_from(value).is_ok();
        fits.then(|| value.to_string())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn an_integer_is_one_in_any_notation() {
        for (text, integer) in [
            ("1.0", Some("1")),
            ("-1.50e1", Some("-15")),
            ("1e2", Some("100")),
            ("0e99999", Some("0")),
            ("-0.0", Some("0")),
            ("-0", Some("0")),
            ("-0e5", Some("0")),
            ("-0.000E-99999999999999999999", Some("0")),
            ("18446744073709551615.0", Some("18446744073709551615")),
            ("18446744073709551616.0", None),
            ("-9223372036854775808.00", Some("-9223372036854775808")),
            ("1.5", None),
            ("1e-1", None),
            ("1e400", None),
        ] {
            let found = Decimal::of(text).unwrap().integer();
            assert_eq!(found.as_deref(), integer, "{text}");
        }
        assert_eq!(Decimal::of("1e99999999999999999999"), None);
    }
}
