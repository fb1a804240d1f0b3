//! The schemas of a description, as the `components/schemas` of a document.
//!
//! Each schema is a text of its own, with references into itself (`#`, `#/$defs/…`). In a document
//! they are together: each gets a name, from its title, and references are rewritten. The names
//! follow from the description alone, so two documents of one description are equal. Must not know:
//! the kind of document.

use std::collections::HashMap;

use saga_contract::json::pointer_token;
use serde_json::{Map, Value};

/// The place of the schemas in a document.
const PLACE: &str = "#/components/schemas/";

/// Keywords with data as their value, which can't hold references.
const DATA: &[&str] = &["const", "default", "enum", "example", "examples"];

/// Keywords with schemas under names that the author chose.
const BY_NAME: &[&str] = &[
    "$defs",
    "definitions",
    "dependentSchemas",
    "patternProperties",
    "properties",
];

/// Keywords that hold definitions.
const DEFINITIONS: &[&str] = &["$defs", "definitions"];

/// Collects the schemas of a document.
#[derive(Debug, Default)]
pub(super) struct DocumentSchemas {
    named: Map<String, Value>,
    /// The schemas added so far, unchanged, each with its reference.
    known: HashMap<String, Value>,
    /// The last number given to names that occur more than once.
    numbers: HashMap<String, u64>,
}

impl DocumentSchemas {
    /// Adds a schema of the host's own under this name.
    pub(super) fn own(&mut self, name: &str, schema: Value) -> Value {
        self.named.insert(name.to_owned(), schema);
        reference(name)
    }

    /// Adds a schema of the description. `place` is its place there (`place-order request`).
    /// Returns the reference to it.
    pub(super) fn add(&mut self, text: &str, place: &str) -> Value {
        if let Some(known) = self.known.get(text) {
            return known.clone();
        }
        // A description with unreadable schemas is refused earlier.
        let referred = match saga_contract::json::parse(text) {
            Ok(Value::Object(members)) if !members.is_empty() => self.hoist(members, place),
            Ok(Value::Bool(false)) => serde_json::json!({"not": {}}),
            _ => Value::Object(Map::new()),
        };
        self.known.insert(text.to_owned(), referred.clone());
        referred
    }

    /// The schemas by name.
    pub(super) fn finish(self) -> Value {
        Value::Object(self.named)
    }

    /// Names a schema and its definitions, and rewrites the references between them.
    fn hoist(&mut self, mut root: Map<String, Value>, place: &str) -> Value {
        for keyword in ["$schema", "$id"] {
            root.remove(keyword);
        }
        let title = root.get("title").and_then(Value::as_str);
        let name = self.free_name(title.unwrap_or(place), place);
        self.named.insert(name.clone(), Value::Null);
        let mut moved = vec![("#".to_owned(), name.clone())];
        let mut definitions = Vec::new();
        for keyword in DEFINITIONS {
            let Some(Value::Object(members)) = root.remove(*keyword) else {
                continue;
            };
            for (key, schema) in members {
                let own = self.free_name(&key, &name);
                self.named.insert(own.clone(), Value::Null);
                let pointer = pointer_token(&key);
                moved.push((format!("#/{keyword}/{pointer}"), own.clone()));
                definitions.push((own, schema));
            }
        }
        let mut root = Value::Object(root);
        rewrite(&mut root, &moved);
        self.named.insert(name.clone(), root);
        for (own, mut schema) in definitions {
            rewrite(&mut schema, &moved);
            self.named.insert(own, schema);
        }
        reference(&name)
    }

    /// An unused name: the wanted one, else with its place, else with a number too.
    fn free_name(&mut self, wanted: &str, place: &str) -> String {
        let wanted = component_name(wanted);
        if !self.named.contains_key(&wanted) {
            return wanted;
        }
        let placed = format!("{wanted}.{}", component_name(place));
        let number = self.numbers.entry(placed.clone()).or_default();
        // Ends, since there are finitely many names; continues from the last number, since there
        // may be many.
        loop {
            *number += 1;
            let name = match number {
                1 => placed.clone(),
                _ => format!("{placed}.{number}"),
            };
            if !self.named.contains_key(&name) {
                return name;
            }
        }
    }
}

/// The reference to the schema of this name.
pub(super) fn reference(name: &str) -> Value {
    serde_json::json!({"$ref": format!("{PLACE}{name}")})
}

/// A text as the key of a component: only letters, digits, `.`, `-` and `_`.
pub(super) fn component_name(text: &str) -> String {
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let name: String = text
        .chars()
        .map(|c| if legal(c) { c } else { '-' })
        .collect();
    if name.is_empty() { "-".into() } else { name }
}

/// Rewrites the references in a schema to the new places. The depth is bounded by that of parsing.
fn rewrite(schema: &mut Value, moved: &[(String, String)]) {
    match schema {
        Value::Object(members) => {
            for (keyword, value) in members {
                match value {
                    Value::String(target) if keyword == "$ref" || keyword == "$dynamicRef" => {
                        if let Some(to) = new_target(target, moved) {
                            *target = to;
                        }
                    }
                    Value::Object(named) if BY_NAME.contains(&keyword.as_str()) => {
                        named.values_mut().for_each(|schema| rewrite(schema, moved));
                    }
                    _ if DATA.contains(&keyword.as_str()) => {}
                    other => rewrite(other, moved),
                }
            }
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(|schema| rewrite(schema, moved)),
        _ => {}
    }
}

/// The new reference for this one; `None` if it leads elsewhere. The longest matching place counts.
fn new_target(target: &str, moved: &[(String, String)]) -> Option<String> {
    let holds = |from: &str| {
        let rest = target.strip_prefix(from)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    };
    let found = moved
        .iter()
        .filter_map(|(from, name)| Some((from.len(), name, holds(from)?)));
    let (_, name, rest) = found.max_by_key(|(length, ..)| *length)?;
    Some(format!("{PLACE}{name}{rest}"))
}

#[cfg(test)]
#[allow(clippy::restriction, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use serde_json::json;

    fn add(schemas: &mut DocumentSchemas, schema: &Value, place: &str) -> Value {
        schemas.add(&schema.to_string(), place)
    }

    #[test]
    fn a_schema_is_named_after_its_title_or_its_place() {
        let mut schemas = DocumentSchemas::default();
        let titled = json!({"title": "Place Order", "type": "object"});
        assert_eq!(
            add(&mut schemas, &titled, "x request"),
            json!({"$ref": "#/components/schemas/Place-Order"})
        );
        assert_eq!(
            add(&mut schemas, &json!({"type": "string"}), "x reply"),
            json!({"$ref": "#/components/schemas/x-reply"})
        );
        assert_eq!(add(&mut schemas, &json!(true), "y"), json!({}));
        assert_eq!(add(&mut schemas, &json!({}), "y"), json!({}));
        assert_eq!(add(&mut schemas, &json!(false), "y"), json!({"not": {}}));
        assert_eq!(
            schemas.finish(),
            json!({"Place-Order": titled, "x-reply": {"type": "string"}})
        );
    }

    #[test]
    fn equal_schemas_are_shared_and_different_ones_have_different_names() {
        let mut schemas = DocumentSchemas::default();
        schemas.own("Problem", json!({"type": "object"}));
        let one = json!({"title": "Problem", "type": "string"});
        let other = json!({"title": "Problem", "type": "number"});
        let names: Vec<_> = [(&one, "a"), (&other, "a"), (&one, "b"), (&other, "c")]
            .map(|(schema, place)| add(&mut schemas, schema, place)["$ref"].to_string())
            .into_iter()
            .map(|name| name.replace("#/components/schemas/", ""))
            .collect();
        assert_eq!(
            names,
            [
                "\"Problem.a\"",
                "\"Problem.a.2\"",
                "\"Problem.a\"",
                "\"Problem.a.2\""
            ]
        );
        assert_eq!(schemas.finish()["Problem"], json!({"type": "object"}));
    }

    #[test]
    fn references_lead_to_where_things_were_moved() {
        let mut schemas = DocumentSchemas::default();
        schemas.own("Leaf", json!({}));
        let tree = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Tree",
            "properties": {
                "self": {"$ref": "#"},
                "leaf": {"$ref": "#/$defs/Leaf"},
                "part": {"$ref": "#/$defs/Leaf/properties/of"},
                "beside": {"$ref": "#/properties/leaf"},
                "examples": {"items": {"$ref": "#/$defs/a~1b"}},
                "other": {"$ref": "other.json#/$defs/Leaf"},
            },
            "examples": [{"$ref": "#"}],
            "$defs": {
                "Leaf": {"properties": {"of": {"anyOf": [{"$ref": "#"}, {"$ref": "#/$defs/Leaf"}]}}},
                "a/b": {"const": {"$ref": "#"}},
            },
        });
        add(&mut schemas, &tree, "x");
        let place = "#/components/schemas";
        assert_eq!(
            schemas.finish(),
            json!({
                "Leaf": {},
                "Tree": {
                    "title": "Tree",
                    "properties": {
                        "self": {"$ref": format!("{place}/Tree")},
                        "leaf": {"$ref": format!("{place}/Leaf.Tree")},
                        "part": {"$ref": format!("{place}/Leaf.Tree/properties/of")},
                        "beside": {"$ref": format!("{place}/Tree/properties/leaf")},
                        "examples": {"items": {"$ref": format!("{place}/a-b")}},
                        "other": {"$ref": "other.json#/$defs/Leaf"},
                    },
                    "examples": [{"$ref": "#"}],
                },
                "Leaf.Tree": {"properties": {"of": {"anyOf": [
                    {"$ref": format!("{place}/Tree")}, {"$ref": format!("{place}/Leaf.Tree")},
                ]}}},
                "a-b": {"const": {"$ref": "#"}},
            })
        );
    }
}
