//! JSON in and out, generic over the author's serde types.
//!
//! Owns decoding with an error that names the place, encoding, and [`fault`], the only way in which
//! the SDK ends a turn. Must not know: messages, contracts, decisions.
//!
//! serde_json is built with `arbitrary_precision`, so that a `serde_json::Number` in an author's
//! type keeps its digits. The price, which serde_json documents: such a number can't be read
//! inside `#[serde(flatten)]`, untagged or internally tagged types; use plain structs and
//! externally tagged enums in states and bodies. And some member names are reserved: see
//! [`reserved`](crate::reserved).

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};
use serde_path_to_error::{Path, Segment};

use crate::reserved;

/// Reads `text`. The error says what was wrong and, as a JSON pointer, where.
///
/// `1.0`, `1e2` and `-0` are integers to JSON Schema, and so they are here.
pub(crate) fn decode<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    reserved::check(text, place)?;
    serde_json::from_str(text).or_else(|error| match with_integers(text) {
        Some(value) => serde_path_to_error::deserialize(value)
            .map_err(|located| at(located.path(), located.inner())),
        None => Err(locate::<T>(text, &error)),
    })
}

/// Writes `value` as JSON text. A value that JSON can't express (a map whose keys are no strings)
/// is a mistake in the rules, so it is a fault; so is one that could not be read again.
#[track_caller]
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, what: &str) -> String {
    let text = serde_json::to_string(value).map_err(|error| error.to_string());
    let checked = text.and_then(|text| reserved::check(&text, place).map(|()| text));
    match checked {
        Ok(text) => text,
        Err(reason) => fault(&format!("{what} can't be written as JSON: {reason}")),
    }
}

/// Ends the turn as a fault: the component traps, and neither state nor outbox changes. For
/// mistakes of the rules or of the host, never for the content of a message. In a test, the panic
/// names the author's line if all callers up to there track theirs.
#[allow(
    clippy::panic,
    reason = "a trap is the only way to tell the host that the turn failed and nobody is refused"
)]
#[cold]
#[track_caller]
pub(crate) fn fault(what: &str) -> ! {
    panic!("{what}")
}

/// The value with every whole number written as serde expects integers; `None` if nothing changes.
#[cold]
fn with_integers(text: &str) -> Option<Value> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    write_integers(&mut value).then_some(value)
}

/// True if a number was rewritten. Recurses as deep as serde_json parses, which is bounded.
fn write_integers(value: &mut Value) -> bool {
    // Not a lazy `or`: every member must be visited.
    let each = |any, value| any | write_integers(value);
    match value {
        Value::Number(number) => integer(number.as_str())
            .map(|integer| *number = integer)
            .is_some(),
        Value::Array(values) => values.iter_mut().fold(false, each),
        Value::Object(members) => members.values_mut().fold(false, each),
        _ => false,
    }
}

/// The integer value of a JSON number that is written otherwise (with a fraction, an exponent, or as
/// `-0`), if it is one and fits into 64 bits.
fn integer(text: &str) -> Option<Number> {
    if !text.contains(['.', 'e', 'E']) && text != "-0" {
        return None;
    }
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let significant = digits.trim_end_matches('0');
    if matches!(significant, "" | "-") {
        return Some(0.into());
    }
    let zeros = i32::try_from(digits.len() - significant.len()).ok()?;
    let shift = exponent.parse::<i32>().ok()?.checked_add(zeros)?;
    let shift = shift.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let scale = 10_i128.checked_pow(u32::try_from(shift).ok()?)?;
    let integer = significant.parse::<i128>().ok()?.checked_mul(scale)?;
    let signed = i64::try_from(integer).map(Number::from);
    signed
        .or_else(|_| u64::try_from(integer).map(Number::from))
        .ok()
}

/// Parses again, slowly, to find the place. Only for invalid bodies.
#[cold]
fn locate<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> String {
    let mut reader = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(located) => at(located.path(), error),
        Ok(_) => error.to_string(),
    }
}

fn at(path: &Path, error: &serde_json::Error) -> String {
    format!("{error}{}", place(path))
}

/// A suffix for the error; empty for the whole text.
fn place(path: &Path) -> String {
    match pointer(path) {
        pointer if pointer.is_empty() => pointer,
        pointer => format!(", in {pointer}"),
    }
}

fn pointer(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read through Debug and serde")]
    struct Outer {
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "only read through Debug and serde")]
    struct Inner {
        number: i64,
    }

    #[test]
    fn error_names_the_place() {
        let error = decode::<Outer>(r#"{"list":[{"number":1},{"number":"x"}]}"#).unwrap_err();
        assert!(error.contains("invalid type: string \"x\""), "{error}");
        assert!(error.ends_with("in /list/1/number"), "{error}");
    }

    #[test]
    fn text_after_the_value_is_an_error() {
        let error = decode::<i64>("1 2").unwrap_err();
        assert!(error.contains("trailing characters"), "{error}");
    }

    #[test]
    fn a_whole_number_is_an_integer_however_it_is_written() {
        for (text, number) in [
            ("1.0", 1),
            ("-61479.000", -61_479),
            ("1.5e1", 15),
            ("120e-1", 12),
            ("-0.0", 0),
            ("-0", 0),
            ("-0e5", 0),
            ("-0e99999999999999999999", 0),
            ("0e99", 0),
            ("9223372036854775807.0", i64::MAX),
            ("-9.223372036854775808E+18", i64::MIN),
        ] {
            assert_eq!(decode::<i64>(text), Ok(number), "{text}");
            let text = format!(r#"{{"list":[{{"number":{text}}}]}}"#);
            assert_eq!(decode::<Outer>(&text).unwrap().list[0].number, number);
        }
        assert_eq!(decode::<u64>("18446744073709551615.0"), Ok(u64::MAX));
        assert_eq!(decode::<u64>("-0"), Ok(0));
        for text in [
            "1.5",
            "15e-1",
            "9223372036854775808.0",
            "1e999999999",
            "1e-999999999",
            "1e99999999999999",
        ] {
            decode::<i64>(text).unwrap_err();
        }
        let error = decode::<Outer>(r#"{"list":[{"number":1.0},{"number":1.5}]}"#).unwrap_err();
        assert!(error.ends_with("in /list/1/number"), "{error}");
    }

    #[test]
    fn an_object_is_never_read_as_a_number_or_as_another_value() {
        for name in [
            "$serde_json::private::Number",
            "$serde_json::private::RawValue",
        ] {
            let reason = format!("the member name `{name}` is reserved by serde_json, in");
            let text = format!(r#"{{"{name}":"300"}}"#);
            let refused = Err(format!("{reason} /{name}"));
            assert_eq!(decode::<Number>(&text).map(|_| ()), refused);
            assert_eq!(decode::<Value>(&text).map(|_| ()), refused);
            let text = format!(r#"{{"list":[{{"number":1.0,"other":{text}}}]}}"#);
            let refused = Err(format!("{reason} /list/0/other/{name}"));
            assert_eq!(decode::<Outer>(&text).map(|_| ()), refused);
        }
    }

    #[test]
    #[should_panic(expected = "the state can't be written as JSON: the member name")]
    fn what_could_not_be_read_again_is_not_written() {
        encode(
            &std::collections::BTreeMap::from([("$serde_json::private::Number", "300")]),
            "the state",
        );
    }

    #[test]
    fn a_number_keeps_its_digits() {
        let text = "123456789012345678901234567890.0100";
        let number: serde_json::Number = decode(text).unwrap();
        assert_eq!(encode(&number, "a number"), text);
    }
}
