//! Recognizes values that can't be read: the wrappings and encodings that other programs give to
//! JSON.
//!
//! Only for the reason of a dead letter. Nothing is unwrapped, since the rules would then decide on
//! a guess.

use serde_json::{Map, Value};

use saga_contract::json;

/// Bytes of a schema registry's prefix: a zero byte and the id of the schema.
const REGISTRY: usize = 5;

/// Characters that are searched for zero bytes.
const LOOKED_AT: usize = 64;

/// The likely format of the value, and the remedy for its writer; None if no known format matches.
#[must_use]
pub fn looks_like(value: &[u8]) -> Option<String> {
    if let Some(rest) = value.strip_prefix(b"\xef\xbb\xbf") {
        let what = "it begins with a byte order mark (BOM): write UTF-8 without one";
        return Some(match looks_like(rest) {
            Some(also) => format!("{what}; after that, {also}"),
            None => what.into(),
        });
    }
    if let Some(what) = encoding(value) {
        return Some(format!("it looks like {what}: write JSON in UTF-8"));
    }
    if let [0, a, b, c, d, ..] = value
        && value.len() > REGISTRY
    {
        let schema = u32::from_be_bytes([*a, *b, *c, *d]);
        return Some(format!(
            "it begins as a schema registry's serializer writes (a zero byte, and schema {schema}; Avro, Protobuf or JSON Schema \
             follows): write the JSON itself, by a serializer of texts or bytes"
        ));
    }
    let json = json::parse(std::str::from_utf8(value).ok()?).ok()?;
    envelope(&json).map(str::to_owned)
}

fn encoding(value: &[u8]) -> Option<&'static str> {
    let begins = |bytes: &[u8]| value.starts_with(bytes);
    if begins(b"\xff\xfe\0\0") || begins(b"\0\0\xfe\xff") {
        return Some("UTF-32");
    }
    if begins(b"\xff\xfe") || begins(b"\xfe\xff") || has_zero_at_every_other(value) {
        return Some("UTF-16");
    }
    if begins(b"\x1f\x8b") {
        return Some(
            "gzip, compressed by its writer and not by Kafka's client (`compression.type`)",
        );
    }
    if begins(b"\x28\xb5\x2f\xfd") {
        return Some(
            "zstd, compressed by its writer and not by Kafka's client (`compression.type`)",
        );
    }
    if begins(b"\xac\xed\0\x05") {
        return Some("a serialized Java object");
    }
    if begins(b"Obj\x01") {
        return Some("an Avro file");
    }
    None
}

/// ASCII text in UTF-16 has a zero in every pair of bytes, always on the same side.
fn has_zero_at_every_other(value: &[u8]) -> bool {
    let pairs = value.chunks_exact(2).take(LOOKED_AT);
    let is_on = |side: usize| {
        pairs.clone().all(|pair| {
            pair.get(side) == Some(&0) && pair.get(1 - side).is_some_and(|byte| *byte != 0)
        })
    };
    value.len() >= 4 && (is_on(0) || is_on(1))
}

/// The name of an envelope format that holds the event in one of its members.
fn envelope(json: &Value) -> Option<&'static str> {
    let object = match json {
        Value::Object(object) => object,
        Value::String(text) => {
            let inner = json::parse(text).ok()?;
            return inner.is_object().then_some(
                "it is a JSON string that holds JSON, so it was serialized twice: write the object itself",
            );
        }
        _ => return None,
    };
    let has = |name: &str| object.contains_key(name);
    if has("specversion") && has("type") && has("source") {
        return Some(
            "it looks like a CloudEvent in structured mode: send it in binary mode, its attributes as headers `ce_*` and its `data` as \
             the value",
        );
    }
    let payload = object.get("payload").and_then(Value::as_object);
    if has("schema") && has("payload") {
        return Some(match payload.is_some_and(is_change) {
            true => DEBEZIUM,
            false => {
                "it looks like Kafka Connect's JSON with its schema: set `value.converter.schemas.enable=false` at the connector"
            }
        });
    }
    is_change(object).then_some(DEBEZIUM)
}

const DEBEZIUM: &str = "it looks like a change of Debezium, whose row is in `before` and `after`: publish events and not rows, by its outbox \
     event router, or at least unwrap them (`ExtractNewRecordState`)";

fn is_change(object: &Map<String, Value>) -> bool {
    let has = |name: &str| object.contains_key(name);
    has("op") && (has("after") || has("before"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf_16(text: &str, is_little: bool) -> Vec<u8> {
        let units = text.encode_utf16();
        let bytes = |unit: u16| match is_little {
            true => unit.to_le_bytes(),
            false => unit.to_be_bytes(),
        };
        units.flat_map(bytes).collect()
    }

    #[test]
    fn foreign_formats_are_recognised() {
        let json = r#"{"id":1,"state":"PENDING"}"#;
        let with = |prefix: &[u8]| [prefix, json.as_bytes()].concat();
        let connect = format!(r#"{{"schema":null,"payload":{json}}}"#);
        let change = format!(r#"{{"before":null,"after":{json},"op":"c","ts_ms":1}}"#);
        let wrapped = format!(r#"{{"schema":null,"payload":{change}}}"#);
        let cloud =
            format!(r#"{{"specversion":"1.0","id":"x","source":"/s","type":"t","data":{json}}}"#);
        let twice = serde_json::to_vec(json).unwrap_or_default();
        let rows: Vec<(Vec<u8>, &str)> = vec![
            (with(b"\xef\xbb\xbf"), "byte order mark (BOM)"),
            (
                with(b"\xef\xbb\xbf\0\0\0\0\x07"),
                "after that, it begins as a schema registry",
            ),
            (
                [b"\xff\xfe".to_vec(), utf_16(json, true)].concat(),
                "UTF-16",
            ),
            (utf_16(json, true), "UTF-16"),
            (utf_16(json, false), "UTF-16"),
            (with(b"\0\0\0\x01\x02"), "schema 258"),
            (with(b"\x1f\x8b\x08"), "gzip"),
            (with(b"\x28\xb5\x2f\xfd"), "zstd"),
            (with(b"\xac\xed\0\x05"), "Java object"),
            (connect.into(), "schemas.enable=false"),
            (change.into(), "Debezium"),
            (wrapped.into(), "Debezium"),
            (cloud.into(), "CloudEvent in structured mode"),
            (twice, "serialized twice"),
        ];
        for (value, expected) in rows {
            let found = looks_like(&value).unwrap_or_default();
            assert!(
                found.contains(expected),
                "{expected}: {found:?} of {value:?}"
            );
        }
    }

    #[test]
    fn ordinary_invalid_values_get_no_hint() {
        for value in [
            "",
            "{",
            "no JSON",
            "[1]",
            "\"text\"",
            r#"{"id":1}"#,
            r#"{"payload":{"id":1}}"#,
            r#"{"type":"t","source":"s"}"#,
            "\0\0\0\0",
            "ab",
        ] {
            assert_eq!(looks_like(value.as_bytes()), None, "{value:?}");
        }
    }
}
