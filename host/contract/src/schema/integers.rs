//! Integers in the notation of integers.
//!
//! To JSON Schema `1.0` and `-0` are integers; to most libraries that read JSON into types they are
//! none. So rules are offered `1` and `0`.

use serde_json::{Number, Value};

use super::Types;
use super::pointer::types_at;
use crate::json;
use crate::number::Decimal;

/// Brings every number that the schema says is an integer into the notation of integers, and returns
/// true if that changed the value. `schema` is the text of a JSON Schema. An integer beyond 64 bits
/// stays as it is.
pub fn write_integers(value: &mut Value, schema: &str) -> bool {
    // Almost all bodies end here, and cost nothing but the walk.
    if !is_any_written_otherwise(value) {
        return false;
    }
    let Ok(schema) = json::parse(schema) else {
        return false;
    };
    let mut places = Vec::new();
    find(value, &mut String::new(), &mut places);
    let mut is_changed = false;
    for (pointer, integer) in places {
        if types_at(&schema, &pointer).is_ok_and(Types::is_integer)
            && let Some(place) = value.pointer_mut(&pointer)
        {
            *place = Value::Number(integer);
            is_changed = true;
        }
    }
    is_changed
}

/// An integer that is written in another notation, in that of integers.
fn integer(number: &Number) -> Option<Number> {
    let text = number.as_str();
    if !text.contains(['.', 'e', 'E']) && text != "-0" {
        return None;
    }
    Decimal::of(text)?.integer()?.parse().ok()
}

/// Recurses as deep as JSON is read, as [`find`] does.
fn is_any_written_otherwise(value: &Value) -> bool {
    match value {
        Value::Number(number) => integer(number).is_some(),
        Value::Array(values) => values.iter().any(is_any_written_otherwise),
        Value::Object(members) => members.values().any(is_any_written_otherwise),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// The integers that are written in another notation, with their pointers.
fn find(value: &Value, pointer: &mut String, found: &mut Vec<(String, Number)>) {
    let length = pointer.len();
    match value {
        Value::Number(number) => {
            let integer = integer(number);
            found.extend(integer.map(|integer| (pointer.clone(), integer)));
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&index.to_string());
                find(value, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                pointer.push('/');
                pointer.push_str(&json::pointer_token(name));
                find(value, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    const SCHEMA: &str = r##"{
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "price": {"type": "number"},
            "counts": {"type": "array", "items": {"$ref": "#/$defs/count"}},
            "a/b": {"type": ["integer", "null"]},
            "open": true
        },
        "$defs": {"count": {"type": "integer", "minimum": 0}}
    }"##;

    fn rewritten(text: &str) -> Option<String> {
        let mut value = json::parse(text).unwrap();
        write_integers(&mut value, SCHEMA).then(|| value.to_string())
    }

    #[test]
    fn what_the_schema_calls_an_integer_is_written_as_one() {
        let text = r#"{"id":1.0,"price":300.00,"counts":[2,3e2],"a/b":-4.0,"open":5.0}"#;
        let found = json::parse(&rewritten(text).unwrap()).unwrap();
        let wanted = r#"{"id":1,"price":300.00,"counts":[2,300],"a/b":-4,"open":5.0}"#;
        assert_eq!(found, json::parse(wanted).unwrap());
    }

    #[test]
    fn zero_has_no_sign() {
        for zero in ["-0", "-0.0", "-0e5", "-0.00E-7", "0e99999999999999999999"] {
            let found = rewritten(&format!(r#"{{"id":{zero},"counts":[{zero}]}}"#)).unwrap();
            let found = json::parse(&found).unwrap();
            assert_eq!(
                found,
                json::parse(r#"{"id":0,"counts":[0]}"#).unwrap(),
                "{zero}"
            );
            assert_eq!(rewritten(&format!(r#"{{"price":{zero}}}"#)), None, "{zero}");
        }
    }

    #[test]
    fn a_whole_body_may_be_an_integer() {
        let mut value = json::parse("7.0").unwrap();
        assert!(write_integers(&mut value, r#"{"type":"integer"}"#));
        assert_eq!(value, json::parse("7").unwrap());
    }

    #[test]
    fn other_bodies_stay_as_they_are() {
        for text in [
            r#"{"id":1,"price":1.50}"#,
            r#"{"price":300.00}"#,
            r#"{"id":1.5}"#,
            r#"{"id":1e30}"#,
            r#"{"id":7,"note":"1.0 e"}"#,
            "7.0",
        ] {
            assert_eq!(rewritten(text), None, "{text}");
        }
    }
}
