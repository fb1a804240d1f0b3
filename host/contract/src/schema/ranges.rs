//! Numbers that don't fit into the format that a schema names.
//!
//! Validators take a format such as `uint64` for an annotation, but a reader into types refuses what
//! does not fit.

use serde_json::{Number, Value};

use super::node::Types;
use super::pointer::{branches_at, types_of};
use super::scalars::range;
use crate::json;
use crate::number::Decimal;
use crate::reason::shorten;

/// Most numbers that are reported.
const PLACES: usize = 16;

/// The numbers of a value that are out of range, as JSON pointers (empty for the value itself), each
/// with the reason: those beyond a 64-bit float, and those beyond the format that the schema names at
/// their place. `schema` is the text of a JSON Schema.
#[must_use]
pub fn out_of_range(value: &Value, schema: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if let Ok(schema) = json::parse(schema) {
        find(value, &schema, &mut String::new(), &mut found);
    }
    found
}

/// Recurses as deep as JSON is read.
fn find(value: &Value, schema: &Value, pointer: &mut String, found: &mut Vec<(String, String)>) {
    let length = pointer.len();
    if found.len() >= PLACES {
        return;
    }
    match value {
        Value::Number(number) => {
            let reason = reason(number, schema, pointer);
            found.extend(reason.map(|reason| (pointer.clone(), reason)));
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&index.to_string());
                find(value, schema, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                pointer.push('/');
                pointer.push_str(&json::pointer_token(name));
                find(value, schema, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn reason(number: &Number, schema: &Value, pointer: &str) -> Option<String> {
    // In the range of every format.
    if number.as_u64().is_some_and(|number| number < 128) {
        return None;
    }
    let text = number.as_str();
    let out = |allowed: String| Some(shorten(format!("{text} is out of range: {allowed}")));
    let size = text.parse::<f64>().unwrap_or(f64::INFINITY).abs();
    if !size.is_finite() {
        return out(float(f64::MAX));
    }
    let branches = branches_at(schema, pointer).ok()??;
    let mut allowed = None;
    for branch in &branches {
        if types_of(branch).and(Types::NUMBER) == Types::NONE {
            continue;
        }
        let mut formats = branch
            .said("format")
            .filter_map(|(_, value)| value.as_str());
        match formats.find_map(|format| exceeded(text, size, format)) {
            // One alternative takes it.
            None => return None,
            reason => allowed = allowed.or(reason),
        }
    }
    allowed.and_then(out)
}

/// The range of the format, if the number is beyond it.
fn exceeded(text: &str, size: f64, format: &str) -> Option<String> {
    if format == "float" {
        return (size > f64::from(f32::MAX)).then(|| float(f32::MAX.into()));
    }
    let (least, most) = range(match format {
        // The size of a pointer, in a component.
        "int" => "int32",
        "uint" => "uint32",
        other => other,
    })?;
    let written = match text.contains(['.', 'e', 'E']) {
        true => Decimal::of(text).and_then(|number| number.integer()),
        false => None,
    };
    let is_within = match written.as_deref().unwrap_or(text).parse::<i128>() {
        Ok(number) => (least..=most).contains(&number),
        // A fraction is the matter of the type; a larger whole number is beyond every format.
        Err(_) => size < 1e18,
    };
    (!is_within).then(|| format!("give a whole number from {least} to {most}"))
}

fn float(most: f64) -> String {
    format!("give a number from -{most:e} to {most:e}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(schema: &Value, text: &str) -> Vec<(String, String)> {
        let value = json::parse(text).expect("JSON");
        out_of_range(&value, &schema.to_string())
    }

    fn of(format: &str) -> Value {
        let kind = if matches!(format, "float" | "double") {
            "number"
        } else {
            "integer"
        };
        json!({"type": kind, "format": format})
    }

    #[test]
    fn what_a_format_takes_is_within_its_range() {
        for (format, text) in [
            ("uint64", "18446744073709551615"),
            ("uint64", "18446744073709551615.0"),
            ("int64", "-9223372036854775808"),
            ("uint8", "255"),
            ("uint8", "2.55e2"),
            ("int8", "-128"),
            ("uint", "4294967295"),
            ("double", "1.7976931348623157e308"),
            ("float", "3.4e38"),
            ("uint128", "18446744073709551616"),
            ("money", "1e300"),
        ] {
            assert_eq!(found(&of(format), text), [], "{format} {text}");
        }
    }

    #[test]
    fn what_a_format_does_not_take_is_out_of_range() {
        for (format, text, allowed) in [
            (
                "uint64",
                "18446744073709551616",
                "from 0 to 18446744073709551615",
            ),
            ("uint64", "1e+30", "from 0 to 18446744073709551615"),
            ("uint64", "-1", "from 0 to"),
            ("int64", "9223372036854775808.0", "to 9223372036854775807"),
            ("uint8", "256", "from 0 to 255"),
            ("int8", "-129", "from -128 to 127"),
            ("uint", "4294967296", "from 0 to 4294967295"),
            ("double", "1e+400", "from -1.7976931348623157e308 to"),
            ("float", "1e+39", "e38"),
            ("float", "-1e+400", "e308"),
        ] {
            let found = found(&of(format), text);
            let [(pointer, reason)] = &found[..] else {
                panic!("{format} {text}: {found:?}");
            };
            assert_eq!(pointer, "");
            assert!(
                reason.starts_with(&format!("{text} is out of range: "))
                    && reason.contains(allowed),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_number_beyond_a_float_is_out_of_range_whatever_its_schema() {
        for schema in [json!(true), json!({"type": "number"}), json!({})] {
            assert_eq!(
                found(&schema, "[1, {\"a/b\": -1e400}]").len(),
                1,
                "{schema}"
            );
        }
        let many = format!("[{}]", ["1e400"; 40].join(","));
        assert_eq!(found(&json!(true), &many).len(), PLACES);
    }

    #[test]
    fn the_place_is_named_and_an_alternative_may_take_it() {
        let schema = json!({"type": "object", "properties": {
            "small": {"$ref": "#/$defs/small"},
            "list": {"type": "array", "items": {"type": ["integer", "null"], "format": "int32"}},
            "either": {"anyOf": [{"$ref": "#/$defs/small"}, {"type": "integer", "format": "uint64"}]},
        }, "$defs": {"small": {"type": "integer", "format": "uint8", "minimum": 0}}});
        let text = r#"{"small": 300, "list": [7, 3000000000, null], "either": 300}"#;
        let found = found(&schema, text);
        let places: Vec<_> = found.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(places, ["/list/1", "/small"]);
    }
}
