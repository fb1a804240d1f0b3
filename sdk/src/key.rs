//! [`Key`]: the types that the keys of aggregates can have.

use crate::bindings::saga::participant::types as wit;
use std::any::type_name;
use std::fmt::Display;
use std::str::FromStr;

/// A type of keys: `String`, `u64` for numbers that the host gives, or any type that is read from text
/// and written as the same text. `"007"` is no key of type `u64`, which is written `7`.
///
/// The error of [`FromStr`] says what is wrong with a text that is no key. A client that sends such a key is
/// told it.
pub trait Key: FromStr<Err: Display> + Display + 'static {}

impl<K: FromStr<Err: Display> + Display + 'static> Key for K {}

/// Reads a key. A message with another one is malformed.
pub(crate) fn read<K: Key>(text: &str) -> Result<K, wit::Disposition> {
    let why = match text.parse::<K>() {
        Ok(key) if is_written_as(&key, text) => return Ok(key),
        Ok(key) => format!("it is written {:?}", key.to_string()),
        Err(error) => error.to_string(),
    };
    let name = type_name::<K>();
    let name = name.rsplit("::").next().unwrap_or(name);
    // The host bounds the text, and escapes what does not print.
    let reason = format!("the key {text:?} is no {name}: {why}");
    Err(wit::Disposition::Malformed(reason))
}

/// True if the key is written as this text. Compares without storing the text.
fn is_written_as(key: &impl Display, text: &str) -> bool {
    use std::fmt::Write as _;

    struct Rest<'t>(&'t str);

    impl std::fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> std::fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(std::fmt::Error)?;
            Ok(())
        }
    }

    let mut rest = Rest(text);
    write!(rest, "{key}").is_ok() && rest.0.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_as_it_is_written() {
        assert_eq!(read::<u64>("7"), Ok(7));
        assert_eq!(read::<i64>("-7"), Ok(-7));
        assert_eq!(read::<String>("a b"), Ok("a b".to_owned()));
        for (text, why) in [
            ("007", r#"it is written "7""#),
            ("+7", r#"it is written "7""#),
            ("7 ", "invalid digit found in string"),
            ("", "cannot parse integer from empty string"),
            ("x", "invalid digit found in string"),
            (
                "18446744073709551616",
                "number too large to fit in target type",
            ),
        ] {
            let reason = format!("the key {text:?} is no u64: {why}");
            let refused = Err(wit::Disposition::Malformed(reason));
            assert_eq!(read::<u64>(text), refused, "{text}");
        }
    }
}
