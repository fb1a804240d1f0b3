//! The keywords that contain schemas, and the paths to these.

use serde_json::{Map, Value};

use crate::json;

/// Keywords by which a schema refers to another.
pub const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// Keywords that contain schemas.
#[derive(Debug, Clone, Copy)]
pub struct Keywords {
    /// Keywords whose value is a schema.
    one: &'static [&'static str],
    /// Keywords whose value is a list of schemas.
    lists: &'static [&'static str],
    /// Keywords whose value has a schema in each member.
    maps: &'static [&'static str],
}

/// Keywords whose schemas apply to the value itself.
pub const SAME: Keywords = Keywords {
    one: &["else", "if", "not", "then"],
    lists: &["allOf", "anyOf", "oneOf"],
    maps: &["dependencies", "dependentSchemas"],
};

/// Keywords whose schemas apply to parts of the value.
pub const INNER: Keywords = Keywords {
    one: &[
        "additionalItems",
        "additionalProperties",
        "contains",
        "items",
        "propertyNames",
        "unevaluatedItems",
        "unevaluatedProperties",
    ],
    lists: &["items", "prefixItems"],
    maps: &["patternProperties", "properties"],
};

/// Keywords whose schemas are only referred to.
pub const KEPT: Keywords = Keywords {
    one: &[],
    lists: &[],
    maps: &["$defs", "definitions"],
};

impl Keywords {
    /// The JSON pointers of the schemas that the schema at `place` contains under these keywords.
    #[must_use]
    pub fn parts(&self, schema: &Map<String, Value>, place: &str) -> Vec<String> {
        let mut parts = Vec::new();
        for name in self.one {
            if schema.get(*name).is_some_and(Value::is_object) {
                parts.push(format!("{place}/{name}"));
            }
        }
        for name in self.lists {
            let listed = schema.get(*name).and_then(Value::as_array);
            let places = 0..listed.map_or(0, Vec::len);
            parts.extend(places.map(|number| format!("{place}/{name}/{number}")));
        }
        for name in self.maps {
            let members = schema.get(*name).and_then(Value::as_object);
            let names = members.into_iter().flat_map(Map::keys);
            let token = json::pointer_token;
            parts.extend(names.map(|member| format!("{place}/{name}/{}", token(member))));
        }
        parts
    }
}

/// The JSON pointer of a reference within the document (`#/…`); None for other references.
#[must_use]
pub fn pointer(reference: &str) -> Option<String> {
    let fragment = reference.strip_prefix('#')?;
    // Percent-decoding.
    let mut parts = fragment.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}
