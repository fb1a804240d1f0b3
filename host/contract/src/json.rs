//! Reading JSON: the only way in which text from outside becomes a [`Value`] in this host.
//!
//! The meaning of a value must not depend on the library that reads it. serde_json, which keeps all
//! digits of a number, represents numbers beyond 64 bits as an object with one member of a private
//! name, and then mistakes any object that begins with this name for a number. Of two members with
//! the same name it keeps the last, while other readers keep the first. A check by one reader is
//! therefore worthless for a value that another one reads. Here
//!
//! - member names are data, whatever they are;
//! - two members of the same name in an object are refused (RFC 8259 leaves their meaning open);
//! - numbers keep their digits, and strings are Unicode: half of a surrogate pair is refused.
//!
//! Must not know: the use of a value.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::error::Category;
use serde_json::map::Entry;
use serde_json::{Map, Value};

use crate::reason::shorten;

/// Most levels of arrays and objects within each other: serde_json's own bound.
const DEEPEST: usize = 127;

/// How serde_json's error of that bound begins.
const TOO_DEEP: &str = "recursion limit exceeded";

/// Reads a text that is one JSON value.
///
/// # Errors
/// The error and its place in the text, in words that follow the name of the text (`the body`,
/// `value`).
pub fn parse(text: &str) -> Result<Value, String> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = JsonReading(text).deserialize(&mut deserializer);
    let value = value.and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| match error.classify() {
        // Names come from outside, and may be long.
        Category::Data => shorten(error.to_string()),
        // The reader has no other word for it.
        _ if error.to_string().starts_with(TOO_DEEP) => {
            let (line, column) = (error.line(), error.column());
            format!("is nested deeper than {DEEPEST} levels, at line {line} column {column}")
        }
        _ => format!("is not JSON: {error}"),
    })
}

/// Reads a value from this text.
#[derive(Clone, Copy)]
struct JsonReading<'t>(&'t str);

/// The first name of an object from serde_json.
enum MemberName {
    /// The text has no name there: it is a number.
    Number,
    Member(String),
}

/// Reads a member's name from this text.
struct NameIn<'t>(&'t str);

impl<'de> DeserializeSeed<'de> for JsonReading<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonReading<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    /// Whole numbers of 64 bits come as they are, all others by their digits, as objects.
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element_seed(self)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key_seed(NameIn(self.0))? {
            let name = match name {
                MemberName::Member(name) => name,
                MemberName::Number => {
                    let digits: String = map.next_value()?;
                    return digits.parse().map(Value::Number).map_err(A::Error::custom);
                }
            };
            match members.entry(name) {
                Entry::Vacant(slot) => slot.insert(map.next_value_seed(self)?),
                Entry::Occupied(first) => {
                    return Err(A::Error::custom(format_args!(
                        "has two members named `{}`",
                        first.key()
                    )));
                }
            };
        }
        Ok(Value::Object(members))
    }
}

impl<'de> DeserializeSeed<'de> for NameIn<'_> {
    type Value = MemberName;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<MemberName, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameIn<'_> {
    type Value = MemberName;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    /// A name without escapes is borrowed from the text. The name by which serde_json marks a
    /// number is borrowed too, but from serde_json: the address tells the two apart, which the
    /// characters can't.
    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<MemberName, E> {
        if self.0.as_bytes().as_ptr_range().contains(&name.as_ptr()) {
            Ok(MemberName::Member(name.to_owned()))
        } else {
            Ok(MemberName::Number)
        }
    }

    /// A name with escapes.
    fn visit_str<E>(self, name: &str) -> Result<MemberName, E> {
        Ok(MemberName::Member(name.to_owned()))
    }
}

/// A member's name as it stands in a JSON pointer.
#[must_use]
pub fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    const NUMBER: &str = "$serde_json::private::Number";
    const RAW: &str = "$serde_json::private::RawValue";

    #[test]
    fn every_member_name_is_data() {
        for name in [NUMBER, RAW, "$__toml_private_datetime", "", "a", "ü"] {
            for value in [r#""300""#, r#""{}""#, r#""x""#, "300", "{}", "null"] {
                let in_escapes: String = name
                    .encode_utf16()
                    .map(|unit| format!("\\u{unit:04x}"))
                    .collect();
                for spelling in [name.to_owned(), in_escapes] {
                    let text = format!(r#"{{"{spelling}":{value}}}"#);
                    let expected =
                        Map::from_iter([(name.to_owned(), serde_json::from_str(value).unwrap())]);
                    assert_eq!(parse(&text), Ok(Value::Object(expected.clone())), "{text}");
                    let nested = format!(r#"[[{{"b":1,"a":{text}}}]]"#);
                    let read = parse(&nested).unwrap();
                    assert_eq!(read.pointer("/0/0/a"), Some(&Value::Object(expected)));
                }
            }
        }
    }

    #[test]
    fn what_is_written_again_is_what_was_read() {
        for text in [
            "null",
            "true",
            "[]",
            "{}",
            "-0",
            "1e+400",
            "123456789012345678901234567890.0100",
            r#"[1,[2.50,"x"],{"a":{"b":[null,false]}}]"#,
            r#""$serde_json::private::Number""#,
            r#"{"$serde_json::private::Number":"300","$serde_json::private::RawValue":"[]"}"#,
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_serde_json_reads_is_read_alike_where_no_name_has_a_meaning() {
        for text in [
            r#"{"b":[1,2.0,-3e9,{"c":"\u00fc\n\ud83d\ude00"}],"a":null}"#,
            " 1 ",
            "1 2",
            "",
            "{",
            "[1,]",
            r#"{"a":1,}"#,
            r#"{"a"}"#,
            r#"{1:1}"#,
            "01",
            "NaN",
            r#""\ud800""#,
            r#"{"\udc00":1}"#,
            "\"\u{0}\"",
            &"[".repeat(127),
            &format!("{}{}", "[".repeat(127), "]".repeat(127)),
        ] {
            let known = serde_json::from_str::<Value>(text);
            assert_eq!(
                parse(text),
                known.map_err(|error| format!("is not JSON: {error}")),
                "{text}"
            );
        }
    }

    #[test]
    fn a_text_that_is_nested_too_deep_is_refused_for_that() {
        for (deep, column) in [("[".repeat(128), 128), (r#"{"a":"#.repeat(2_000), 636)] {
            let refused = parse(&deep).unwrap_err();
            let told = format!("is nested deeper than 127 levels, at line 1 column {column}");
            assert_eq!(refused, told);
        }
    }

    #[test]
    fn two_members_of_one_name_are_refused_by_name_and_place() {
        for (text, reason) in [
            (
                r#"{"amount":1,"amount":2}"#,
                "has two members named `amount` at line 1 column 20",
            ),
            (
                r#"{"a":[{"b":1,"\u0062":1}]}"#,
                "has two members named `b` at line 1 column 21",
            ),
            (
                r#"{"":1,"":1}"#,
                "has two members named `` at line 1 column 8",
            ),
        ] {
            assert_eq!(parse(text), Err(reason.to_owned()), "{text}");
        }
        parse(r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}"#).unwrap();
        let long = "n".repeat(1_000_000);
        let reason = parse(&format!(r#"{{"{long}":1,"{long}":1}}"#)).unwrap_err();
        assert!(reason.len() < 2_000, "{}", reason.len());
    }
}
