//! Whether the effort of checking a value against a schema has a bound that is worth the name.
//!
//! A validator that remembers what it has checked of which part of a value looks at each part with each schema once. Two things
//! defeat that: schemas that stand for ever more schemas of the same value, and `unevaluatedProperties` or `unevaluatedItems` in
//! a schema that contains itself, for which everything inside is looked at again on each level.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Schemas by which one and the same value may be looked at.
const MOST: u64 = 1_000;

/// Schemas of a document that are looked at, and steps from one to another.
const STEPS: usize = 50_000;

/// Keywords whose schemas are about the value itself.
const SAME_ONE: [&str; 4] = ["else", "if", "not", "then"];
const SAME_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const SAME_MAPS: [&str; 1] = ["dependentSchemas"];

/// Keywords whose schemas are about what is in the value.
const INNER_ONE: [&str; 6] = [
    "additionalProperties",
    "contains",
    "items",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];
const INNER_LISTS: [&str; 1] = ["prefixItems"];
const INNER_MAPS: [&str; 2] = ["patternProperties", "properties"];

/// Says why the effort has no bound; none where it has one.
#[must_use]
pub fn unbounded(document: &Value) -> Option<String> {
    let mut look = Look {
        document,
        counts: BTreeMap::new(),
        open: BTreeSet::new(),
        steps: 0,
    };
    let mut places = look.all().into_iter();
    let found = places.find_map(|place| look.at(&place));
    match found {
        None if look.steps >= STEPS => {
            Some("the schema has too many parts to be looked through".into())
        }
        found => found,
    }
}

struct Look<'s> {
    document: &'s Value,
    /// By how many schemas a value is looked at, by the place of the first one.
    counts: BTreeMap<String, u64>,
    /// Those that are being counted.
    open: BTreeSet<String>,
    steps: usize,
}

impl<'s> Look<'s> {
    /// The places of all schemas that the document leads to.
    fn all(&self) -> BTreeSet<String> {
        let (mut open, mut seen) = (vec![String::new()], BTreeSet::new());
        while let Some(place) = open.pop() {
            if seen.len() < STEPS && seen.insert(place.clone()) {
                open.extend(self.same(&place));
                open.extend(self.inner(&place));
            }
        }
        seen
    }

    fn at(&mut self, place: &str) -> Option<String> {
        let shown = |place: &str| match place {
            "" => "the whole schema".to_owned(),
            place => format!("the schema at `{place}`"),
        };
        match self.count(place) {
            None => {
                return Some(format!(
                    "{} refers to itself for the same value",
                    shown(place)
                ));
            }
            Some(count) if count > MOST => {
                return Some(format!(
                    "{} looks at each value by more than {MOST} others",
                    shown(place)
                ));
            }
            Some(_) => {}
        }
        let keyword = ["unevaluatedProperties", "unevaluatedItems"];
        let schema = self.schema(place)?;
        let keyword = keyword.iter().find(|name| schema.contains_key(**name))?;
        self.contains_itself(place)
            .then(|| format!("{} has `{keyword}` and contains itself", shown(place)))
    }

    /// By how many schemas a value is looked at that this one looks at; none where it comes by itself again.
    fn count(&mut self, place: &str) -> Option<u64> {
        if let Some(count) = self.counts.get(place) {
            return Some(*count);
        }
        self.steps += 1;
        if self.steps >= STEPS {
            return Some(1);
        }
        if !self.open.insert(place.to_owned()) {
            return None;
        }
        let mut count = 1_u64;
        for other in self.same(place) {
            count = count.saturating_add(self.count(&other)?);
        }
        self.open.remove(place);
        self.counts.insert(place.to_owned(), count);
        Some(count)
    }

    fn contains_itself(&mut self, place: &str) -> bool {
        let (mut open, mut seen) = (vec![place.to_owned()], BTreeSet::new());
        while let Some(at) = open.pop() {
            self.steps += 1;
            if self.steps >= STEPS {
                return false;
            }
            for next in self.same(&at).into_iter().chain(self.inner(&at)) {
                if next == place {
                    return true;
                }
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
        }
        false
    }

    fn schema(&self, place: &str) -> Option<&'s Map<String, Value>> {
        self.document.pointer(place)?.as_object()
    }

    /// The schemas that look at the same value.
    fn same(&self, place: &str) -> Vec<String> {
        let mut places = self.parts(place, &SAME_ONE, &SAME_LISTS, &SAME_MAPS);
        let reference = self.schema(place).and_then(|schema| schema.get("$ref"));
        let pointer = reference
            .and_then(Value::as_str)
            .and_then(|text| text.strip_prefix('#'));
        places.extend(
            pointer
                .filter(|text| !text.contains('%'))
                .map(str::to_owned),
        );
        places
    }

    /// The schemas that look at what is in it.
    fn inner(&self, place: &str) -> Vec<String> {
        self.parts(place, &INNER_ONE, &INNER_LISTS, &INNER_MAPS)
    }

    fn parts(&self, place: &str, one: &[&str], lists: &[&str], maps: &[&str]) -> Vec<String> {
        let Some(schema) = self.schema(place) else {
            return Vec::new();
        };
        let mut parts = Vec::new();
        for name in one {
            if schema.get(*name).is_some_and(Value::is_object) {
                parts.push(format!("{place}/{name}"));
            }
        }
        for name in lists {
            let listed = schema
                .get(*name)
                .and_then(Value::as_array)
                .map_or(0, Vec::len);
            parts.extend((0..listed).map(|number| format!("{place}/{name}/{number}")));
        }
        for name in maps {
            let members = schema.get(*name).and_then(Value::as_object);
            let names = members.into_iter().flat_map(Map::keys);
            let escaped = |name: &String| name.replace('~', "~0").replace('/', "~1");
            parts.extend(names.map(|member| format!("{place}/{name}/{}", escaped(member))));
        }
        parts
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use serde_json::json;

    fn levels(number: usize) -> Value {
        let mut defs = Map::new();
        for level in 0..number {
            let next = json!({"$ref": format!("#/$defs/level{}", level + 1)});
            defs.insert(format!("level{level}"), json!({"allOf": [next, next]}));
        }
        defs.insert(format!("level{number}"), json!({"type": "integer"}));
        json!({"$ref": "#/$defs/level0", "$defs": defs})
    }

    #[test]
    fn ordinary_schemas_and_trees_have_a_bound() {
        let tree = json!({"$ref": "#/$defs/t", "$defs": {"t": {"oneOf": [
            {"properties": {"child": {"$ref": "#/$defs/t"}}},
            {"properties": {"child": {"$ref": "#/$defs/t"}}, "additionalProperties": false},
        ]}}});
        for schema in [json!(true), json!({"type": "object"}), tree, levels(4)] {
            assert_eq!(unbounded(&schema), None, "{schema}");
        }
    }

    #[test]
    fn what_has_none_is_named_with_its_place() {
        let itself = json!({"properties": {"a": {"$ref": "#/$defs/t"}}, "$defs": {"t": {"anyOf": [{"$ref": "#/$defs/t"}]}}});
        let again = json!({"$ref": "#/$defs/t", "$defs": {"t": {
            "anyOf": [{"properties": {"c": {"$ref": "#/$defs/t"}}}],
            "unevaluatedProperties": false,
        }}});
        for (schema, says) in [
            (levels(30), "looks at each value by more than 1000 others"),
            (itself, "`/$defs/t` refers to itself for the same value"),
            (
                again,
                "the schema at `/$defs/t` has `unevaluatedProperties` and contains itself",
            ),
        ] {
            let said = unbounded(&schema).unwrap();
            assert!(said.contains(says), "{said}");
        }
    }
}
