//! The values by which lists find aggregates, computed from their states.

use saga_contract::listing::FilterValue;
use saga_core::hex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Longest value that is stored as it is. The index has a bound on the size of its rows, and only
/// equality matters.
const LONGEST: usize = 200;

/// The value of a state in the list of a pointer. None if the state has none there that a filter
/// can ask for.
pub(super) fn value_at(state: &Value, pointer: &str) -> Option<String> {
    match state.pointer(pointer)? {
        Value::String(text) => Some(bounded(format!("s{text}"))),
        Value::Bool(is_so) => Some(boolean(*is_so)),
        Value::Number(number) => Some(bounded(format!("n{}", plain(&number.to_string())))),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The value that a filter asks for.
pub(super) fn wanted(value: &FilterValue) -> String {
    match value {
        FilterValue::Text(text) => bounded(format!("s{text}")),
        FilterValue::Integer(number) => format!("n{number}"),
        FilterValue::Boolean(is_so) => boolean(*is_so),
    }
}

fn boolean(is_so: bool) -> String {
    format!("b{is_so}")
}

/// A number that is integer in value, as an integer: `1.0` is found by `1`.
fn plain(number: &str) -> &str {
    match number.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        _ => number,
    }
}

/// PostgreSQL has no text with U+0000.
fn bounded(value: String) -> String {
    if value.len() <= LONGEST && !value.contains('\0') {
        return value;
    }
    format!("h{}", hex(Sha256::digest(value.as_bytes()).iter()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn a_filter_finds_the_values_that_are_equal_to_its_own() {
        let long = "x".repeat(3_000);
        let text = format!(
            r#"{{"a":"x","n":9007199254740993,"z":1.0,"b":true,"l":"{long}","o":{{}},"u":"\u0000"}}"#
        );
        let state: Value = serde_json::from_str(&text).unwrap();
        for (pointer, value) in [
            ("/a", FilterValue::Text("x".into())),
            ("/n", FilterValue::Integer(9_007_199_254_740_993)),
            ("/z", FilterValue::Integer(1)),
            ("/b", FilterValue::Boolean(true)),
            ("/l", FilterValue::Text(long)),
            ("/u", FilterValue::Text("\0".into())),
        ] {
            let found = value_at(&state, pointer).unwrap();
            assert_eq!(found, wanted(&value), "{pointer}");
            assert!(found.len() <= LONGEST && !found.contains('\0'));
        }
        assert_ne!(
            wanted(&FilterValue::Text("1".into())),
            wanted(&FilterValue::Integer(1))
        );
        assert_eq!(value_at(&state, "/o"), None);
        assert_eq!(value_at(&state, "/missing"), None);
    }
}
