//! The settings of the rules: their schema and the default ones.

use serde_json::Value;

use super::{Problems, checking};
use crate::description::Description;
use crate::json;
use crate::schema::refuses;

pub(super) fn check(description: &Description, found: &mut Problems) {
    let Some(settings) = &description.settings else {
        return;
    };
    let schema = match checking(&settings.schema) {
        Ok(schema) => schema,
        Err(reason) => return found.add("settings", reason),
    };
    let default = match json::parse(&settings.default) {
        Ok(Value::Object(default)) => default,
        Ok(_) => return found.add("settings", "default: is not an object"),
        Err(reason) => return found.add("settings", format!("default: {reason}")),
    };
    for name in default.keys().filter(|name| !is_name(name)) {
        let reason = format!(
            "`{name}` is not a name: use 1 to 64 letters, digits, `_` and `-`, and a letter first"
        );
        found.add("settings", reason);
    }
    // Without a default value, a setting could neither be named nor left out.
    let declared = schema.get("properties").and_then(Value::as_object);
    let without = declared.into_iter().flatten();
    for (name, property) in without {
        match default.get(name) {
            None => found.add("settings", format!("`{name}` has no default value")),
            Some(value) if refuses(property, value) => {
                let reason = format!("`{name}`: its schema does not accept the default, {value}");
                found.add("settings", reason);
            }
            Some(_) => {}
        }
    }
    if refuses(&schema, &Value::Object(default)) {
        found.add(
            "settings",
            "the schema does not accept the default settings",
        );
    }
}

/// True if a text can be the name of a setting, in a file and on a command line.
fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    text.len() <= 64
        && text.bytes().all(is_plain)
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
}
