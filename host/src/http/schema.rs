//! Bodies checked against the description's schemas before a turn is spent.

use jsonschema::Validator;
use serde_json::Value;

use super::problem::Place;
use crate::printable::escaped;
use saga_core::json;
use saga_core::rules::shorten;

/// Places that are named in one answer at most.
const PLACES: usize = 16;

/// A schema, ready to check bodies.
pub struct Schema(Validator);

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// Says what is wrong with the schema.
    pub fn compile(text: &str) -> Result<Self, String> {
        let value = json::parse(text)?;
        jsonschema::draft202012::new(&value)
            .map(Self)
            .map_err(|error| format!("is not a JSON Schema: {error}"))
    }

    /// Checks a body; gives the places that are wrong.
    ///
    /// # Errors
    /// The places, never none.
    pub fn check(&self, body: &Value) -> Result<(), Vec<Place>> {
        if self.0.is_valid(body) {
            return Ok(());
        }
        let place = |error: jsonschema::ValidationError<'_>| Place {
            pointer: error.instance_path().to_string(),
            // The validator quotes the value, which may be as large as the body.
            detail: escaped(&shorten(error.to_string())).into_owned(),
        };
        Err(self.0.iter_errors(body).take(PLACES).map(place).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;

    #[test]
    fn every_wrong_place_is_named() {
        let schema = Schema::compile(
            r#"{"type":"object","required":["a","b"],"properties":{"a":{"type":"string"},"b":{"type":"number"}}}"#,
        )
        .unwrap();
        let places = schema.check(&serde_json::json!({"a": 1})).unwrap_err();
        let pointers: Vec<_> = places.iter().map(|place| place.pointer.as_str()).collect();
        assert_eq!(places.len(), 2, "{places:?}");
        assert!(
            pointers.contains(&"/a") && pointers.contains(&""),
            "{places:?}"
        );
    }

    #[test]
    fn numbers_are_compared_in_all_their_digits() {
        let schema = Schema::compile(r#"{"type":"number","maximum":1000000000000}"#).unwrap();
        let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        schema.check(&parse("1000000000000")).unwrap();
        schema
            .check(&parse("1000000000000.0000000000000000000001"))
            .unwrap_err();
        schema
            .check(&parse("123456789012345678901234567890"))
            .unwrap_err();
    }

    #[test]
    fn a_huge_value_is_not_quoted_whole() {
        let schema = Schema::compile(r#"{"type":"number"}"#).unwrap();
        let places = schema
            .check(&Value::String("ü".repeat(100_000)))
            .unwrap_err();
        assert!(places.iter().all(|place| place.detail.len() < 1_100));
    }
}
