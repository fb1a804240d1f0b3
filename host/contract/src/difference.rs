//! Differences between two JSON values, and members that one of them is missing.

use std::collections::BTreeSet;

use crate::json::pointer_token;
use crate::number::Decimal;
use serde_json::{Number, Value};

/// A JSON pointer at which two values differ, with both values there.
pub type Differing<'v> = (String, Option<&'v Value>, Option<&'v Value>);

/// The differences between two values, at most `most`. Numbers are compared by exact value: `1.50`
/// equals `15e-1`.
#[must_use]
pub fn differences<'v>(
    one: Option<&'v Value>,
    other: Option<&'v Value>,
    most: usize,
) -> Vec<Differing<'v>> {
    let mut found = Vec::new();
    compare(&mut String::new(), one, other, &mut |differing| {
        if found.len() < most {
            found.push(differing);
        }
    });
    found
}

/// The pointers of object members, other than `null`, that only the first value has.
#[must_use]
pub fn missing(one: &Value, other: &Value) -> Vec<String> {
    let mut places = Vec::new();
    compare(&mut String::new(), Some(one), Some(other), &mut |(
        pointer,
        one,
        other,
    )| {
        if one.is_some_and(|one| !one.is_null()) && other.is_none() {
            places.push(pointer);
        }
    });
    places
}

/// A pointer with `*` in place of array indexes: `/items/*/price`.
#[must_use]
pub fn of_any_item(value: &Value, pointer: &str) -> String {
    let mut place = String::new();
    let mut at = Some(value);
    for name in pointer.split('/').skip(1) {
        let is_item = matches!(at, Some(Value::Array(_)));
        place.push('/');
        place.push_str(if is_item { "*" } else { name });
        at = at.and_then(|value| value.pointer(&format!("/{name}")));
    }
    place
}

/// Recurses as deep as serde_json parses, which is bounded.
fn compare<'v>(
    pointer: &mut String,
    one: Option<&'v Value>,
    other: Option<&'v Value>,
    found: &mut impl FnMut(Differing<'v>),
) {
    let length = pointer.len();
    match (one, other) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            let names: BTreeSet<_> = one.keys().chain(other.keys()).collect();
            for name in names {
                pointer.push('/');
                pointer.push_str(&pointer_token(name));
                compare(pointer, one.get(name), other.get(name), found);
                pointer.truncate(length);
            }
        }
        (Some(Value::Array(one)), Some(Value::Array(other))) => {
            for place in 0..one.len().max(other.len()) {
                pointer.push_str(&format!("/{place}"));
                compare(pointer, one.get(place), other.get(place), found);
                pointer.truncate(length);
            }
        }
        (Some(Value::Number(one)), Some(Value::Number(other))) if is_same(one, other) => {}
        (one, other) if one == other => {}
        (one, other) => found((pointer.clone(), one, other)),
    }
}

fn is_same(one: &Number, other: &Number) -> bool {
    one == other || {
        let (one, other) = (
            Decimal::of(&one.to_string()),
            Decimal::of(&other.to_string()),
        );
        one.is_some() && one == other
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use serde_json::json;

    fn value(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn numbers_are_compared_by_value_and_in_all_their_digits() {
        for (one, other) in [
            ("1.50", "1.5"),
            ("15e-1", "1.5"),
            ("100", "1E+2"),
            ("0", "-0.0"),
            ("12345678901234567890.10", "12345678901234567890.1"),
        ] {
            assert_eq!(
                differences(Some(&value(one)), Some(&value(other)), 9),
                [],
                "{one} {other}"
            );
        }
        for (one, other) in [
            ("1.5", "1.51"),
            ("1", "-1"),
            ("10", "1"),
            ("12345678901234567890.1", "12345678901234567890.2"),
            ("1e99999999999999999999", "1"),
        ] {
            assert_eq!(
                differences(Some(&value(one)), Some(&value(other)), 9).len(),
                1,
                "{one} {other}"
            );
        }
    }

    #[test]
    fn a_place_in_any_item_is_one_place() {
        let value = json!({"list": [{"1": [2]}, {"a/b": 1}], "0": {"1": true}});
        for (pointer, place) in [
            ("/list/0/1/0", "/list/*/1/*"),
            ("/list/1/a~1b", "/list/*/a~1b"),
            ("/list/7", "/list/*"),
            ("/0/1", "/0/1"),
            ("", ""),
        ] {
            assert_eq!(of_any_item(&value, pointer), place);
        }
    }

    #[test]
    fn every_place_that_differs_is_named() {
        let one = json!({"same": [1, {"a": null}], "a/b~": 1, "list": [1, 2], "gone": true});
        let other = json!({"same": [1, {"a": null}], "a/b~": 2, "list": [1, 2, 3], "new": null});
        let found = differences(Some(&one), Some(&other), 9);
        let pointers: Vec<_> = found.iter().map(|(pointer, ..)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/a~1b~0", "/gone", "/list/2", "/new"]);
        assert_eq!(differences(Some(&one), Some(&other), 2).len(), 2);
        assert_eq!(missing(&one, &other), ["/gone"]);
        assert_eq!(missing(&other, &one), ["/list/2"], "a null is nothing");
    }
}
