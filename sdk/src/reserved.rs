//! Member names with a special meaning to serde_json.
//!
//! With `arbitrary_precision` serde_json represents a number as an object with one member of a
//! private name, and takes every object that begins with this name for a number; with `raw_value`
//! another name makes it parse JSON text inside a string. An author's types are read with
//! serde_json, so rules would decide on other values than were checked. The types can't tell the
//! difference, so such names are neither read nor written.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_path_to_error::{Path, Track};

/// Prefix of these names.
const PREFIX: &str = "$serde_json::private::";

/// Looks for a member with such a name in a JSON text. Ignores all other errors in the text.
///
/// # Errors
/// Names the member and, with `place`, where it is.
pub(crate) fn check(text: &str, place: impl Fn(&Path) -> String) -> Result<(), String> {
    // Fast path for nearly every text: the search for one character is almost free.
    let has_it = text.contains('$') && text.contains(PREFIX);
    let may_spell_it = text.contains('\\') && text.contains("\\u00");
    if !has_it && !may_spell_it {
        return Ok(());
    }
    let mut found = None;
    let mut track = Track::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    let walk = NameWalk {
        text,
        found: &mut found,
    };
    let walked = walk.deserialize(serde_path_to_error::Deserializer::new(
        &mut reader,
        &mut track,
    ));
    match (found, walked) {
        (Some(name), _) => {
            let place = place(&track.path());
            Err(format!(
                "the member name `{name}` is reserved by serde_json{place}"
            ))
        }
        // JSON, but not examined to its end.
        (None, Err(error)) if error.is_data() => Err(error.to_string()),
        (None, _) => Ok(()),
    }
}

/// Goes through a value until such a name is found.
struct NameWalk<'t, 'f> {
    text: &'t str,
    found: &'f mut Option<String>,
}

/// Examines a member's name; returns true if the text has one there at all. If it has not, the
/// value is a number.
struct ReservedName<'t, 'f>(NameWalk<'t, 'f>);

impl NameWalk<'_, '_> {
    fn again(&mut self) -> NameWalk<'_, '_> {
        NameWalk {
            text: self.text,
            found: self.found,
        }
    }
}

impl ReservedName<'_, '_> {
    fn look<E: serde::de::Error>(self, name: &str) -> Result<bool, E> {
        if name.starts_with(PREFIX) {
            *self.0.found = Some(name.to_owned());
            return Err(E::custom("reserved"));
        }
        Ok(true)
    }
}

impl<'de> DeserializeSeed<'de> for NameWalk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NameWalk<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<(), A::Error> {
        while sequence.next_element_seed(self.again())?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(is_member) = map.next_key_seed(ReservedName(self.again()))? {
            if is_member {
                map.next_value_seed(self.again())?;
            } else {
                map.next_value::<serde::de::IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for ReservedName<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for ReservedName<'_, '_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    /// The name by which serde_json marks a number lies in serde_json, that of a member in the text.
    fn visit_borrowed_str<E: serde::de::Error>(self, name: &'de str) -> Result<bool, E> {
        let text = self.0.text.as_bytes().as_ptr_range();
        if text.contains(&name.as_ptr()) {
            self.look(name)
        } else {
            Ok(false)
        }
    }

    /// A name that was written with escapes.
    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<bool, E> {
        self.look(name)
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        reason = "a test fails by panicking"
    )]

    use super::*;

    fn found(text: &str) -> Result<(), String> {
        check(text, |path| format!(", in {path}"))
    }

    #[test]
    fn such_a_name_is_found_wherever_and_however_it_is_written() {
        for name in [
            "$serde_json::private::Number",
            "$serde_json::private::RawValue",
            "\\u0024serde_json::private::Number",
            "$serde\\u005fjson::private::Numbe\\u0072",
        ] {
            for text in [
                format!(r#"{{"{name}":"1"}}"#),
                format!(r#"{{"a":1.50,"b":[null,true,"x",{{"c":-2,"{name}":{{}}}}]}}"#),
                format!(r#"[1e9,{{"{name}":1}}"#),
            ] {
                let reason = found(&text).expect_err(&text);
                assert!(
                    reason.starts_with("the member name `$serde_json::private::"),
                    "{reason}"
                );
            }
        }
        let reason = found(r#"{"a":[{"b":{"$serde_json::private::Number":"1"}}]}"#);
        assert_eq!(
            reason.unwrap_err(),
            "the member name `$serde_json::private::Number` is reserved by serde_json, in a[0].b.$serde_json::private::Number"
        );
    }

    #[test]
    fn numbers_and_texts_of_this_kind_are_no_such_names() {
        for text in [
            r#"{"a":"$serde_json::private::Number","b":[1,-2.5e9,{"c":12345678901234567890123}]}"#,
            r#"{"serde_json::private::Number":1,"$serde_json::private:":"\u0024serde_json::private::Number"}"#,
            r#"["$serde_json::private::Number",1]"#,
            r#""\u0000""#,
            "17",
            r#"{"$serde_json::private"#,
        ] {
            assert_eq!(found(text), Ok(()), "{text}");
        }
    }
}
