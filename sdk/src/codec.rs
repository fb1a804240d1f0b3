//! JSON in and out, generic over the author's serde types.
//!
//! Owns decoding with an error that names the place, encoding, and [`fault`], the one way in which
//! the SDK gives a turn up. Knows nothing of messages, contracts or decisions.
//!
//! serde_json is built with `arbitrary_precision`, so that a `serde_json::Number` in an author's
//! type keeps its digits. The price, which serde_json documents: such a number can't be read
//! inside `#[serde(flatten)]`, untagged or internally tagged types; use plain structs and
//! externally tagged enums in states and bodies.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

/// Reads `text`. The error says what was wrong and, as a JSON pointer, where.
pub(crate) fn decode<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|error| locate::<T>(text, &error))
}

/// Writes `value` as JSON text. A value that JSON can't express (a map whose keys are no strings)
/// is a mistake in the rules, so it is a fault.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, what: &str) -> String {
    match serde_json::to_string(value) {
        Ok(text) => text,
        Err(error) => fault(&format!("{what} can't be written as JSON: {error}")),
    }
}

/// Gives the turn up: the component traps, the host counts a fault and neither state nor outbox
/// changes. For mistakes of the rules or of the host, never for what a message says.
#[allow(
    clippy::panic,
    reason = "a trap is the only way to tell the host that the turn failed and nobody is refused"
)]
#[cold]
pub(crate) fn fault(what: &str) -> ! {
    panic!("{what}")
}

/// Reads once more, slowly, to find the place. Only bad bodies pay for it.
#[cold]
fn locate<T: DeserializeOwned>(text: &str, error: &serde_json::Error) -> String {
    let mut reader = serde_json::Deserializer::from_str(text);
    match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(located) => match pointer(located.path()) {
            pointer if pointer.is_empty() => error.to_string(),
            pointer => format!("{error}, in {pointer}"),
        },
        Ok(_) => error.to_string(),
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
    fn a_number_keeps_its_digits() {
        let text = "123456789012345678901234567890.0100";
        let number: serde_json::Number = decode(text).unwrap();
        assert_eq!(encode(&number, "a number"), text);
    }
}
