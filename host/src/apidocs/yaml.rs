//! A JSON document as YAML.

use std::borrow::Cow;

use saphyr::{Scalar, ScalarStyle, Yaml, YamlEmitter};
use serde_json::Value;

/// The document as YAML; the JSON text where it can't be written as such, which is YAML too.
pub(super) fn text(document: &Value) -> String {
    let mut text = String::new();
    match YamlEmitter::new(&mut text).dump(&node(document)) {
        Ok(()) => text + "\n",
        Err(_) => document.to_string(),
    }
}

fn node(value: &Value) -> Yaml<'_> {
    let string = |text| Yaml::Value(Scalar::String(Cow::Borrowed(text)));
    match value {
        Value::Null => Yaml::Value(Scalar::Null),
        Value::Bool(value) => Yaml::Value(Scalar::Boolean(*value)),
        // Every digit as it was written: a JSON number is one of YAML.
        Value::Number(number) => {
            let digits = Cow::Borrowed(number.as_str());
            Yaml::Representation(digits, ScalarStyle::Plain, None)
        }
        Value::String(text) => string(text),
        Value::Array(values) => Yaml::Sequence(values.iter().map(node).collect()),
        Value::Object(members) => Yaml::Mapping(
            (members.iter())
                .map(|(name, value)| (string(name), node(value)))
                .collect(),
        ),
    }
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may stop at the first surprise"
)]
mod tests {
    use super::*;
    use saphyr::LoadableYamlNode as _;
    use serde_json::json;

    /// The document as it is read again.
    fn read(node: &Yaml<'_>) -> Value {
        match node {
            Yaml::Value(Scalar::Null) => Value::Null,
            Yaml::Value(Scalar::Boolean(value)) => json!(value),
            Yaml::Value(Scalar::Integer(value)) => json!(value),
            Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
            Yaml::Value(Scalar::String(text)) => json!(text),
            Yaml::Sequence(nodes) => nodes.iter().map(read).collect(),
            Yaml::Mapping(members) => members
                .iter()
                .map(|(name, value)| (name.as_str().unwrap().to_owned(), read(value)))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn texts_that_look_like_something_else_stay_texts_and_numbers_numbers() {
        let document = json!({
            "openapi": "3.1.0",
            "200": {"no": "no", "empty": "", "list": [], "object": {}, "null": null, "yes": true},
            "numbers": [1, 10.25, -3, 9_223_372_036_854_775_807_i64, [[1], {"a": [2]}]],
            "texts": [
                "1.0", "1", "0x10", "1e3", "true", "no", "null", "~", "a: b", "# c", "- d", "&e", "*f", "!g", "%h", "@i", "`j`",
                "two\n\nlines", "a line\n", " blank ", "it's \"quoted\"", "\tü", "[k]", "{l}", "2001-01-01", "?", "-", "",
            ],
            "on": {"a: b": 1, "- c": 2, "": 3},
        });
        let written = text(&document);
        let nodes = Yaml::load_from_str(&written).unwrap();
        assert_eq!(
            nodes.iter().map(read).collect::<Vec<_>>(),
            [document],
            "{written}"
        );
    }
}
