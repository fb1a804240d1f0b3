//! Checks that the effort of validating a value against a schema has a reasonable bound.
//!
//! A validator that remembers its results for each part of a value checks each part against each
//! schema once. Two constructs defeat that: schemas that refer to more and more schemas of the same
//! value, and `unevaluatedProperties` or `unevaluatedItems` in a schema that contains itself, which
//! checks everything inside again on each level. A third defeats the validator itself, which
//! recurses from schema to schema on its thread's stack: endless chains of schemas.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::places::{self, INNER, KEPT, Keywords, REFERENCES, SAME};

/// Schemas by which a single value may be checked.
const MOST: u64 = 1_000;

/// Nesting of the schemas by which a single value may be checked. Values are nested up to 128
/// levels, and a validator takes up to 600 bytes of stack for each.
const DEPTH: usize = 32;

/// Schemas of a document that are examined, and steps from one to another.
const STEPS: usize = 50_000;

/// Keywords that give a schema a name.
const NAMES: [&str; 2] = ["$anchor", "$dynamicAnchor"];

/// Checks that a validator terminates on these schemas.
///
/// # Errors
/// If it would not, or if that can't be determined.
pub fn check(document: &Value) -> Result<(), String> {
    let mut look = Look::new(document)?;
    for place in look.places.clone() {
        look.measure(&place)?;
    }
    Ok(())
}

/// The reason why the effort has no bound; None if it has one.
#[must_use]
pub fn unbounded(document: &Value) -> Option<String> {
    let mut look = match Look::new(document) {
        Ok(look) => look,
        Err(reason) => return Some(reason),
    };
    let places = look.places.clone();
    places.iter().find_map(|place| look.at(place))
}

struct Look<'s> {
    document: &'s Value,
    /// The places of all schemas that the document leads to.
    places: BTreeSet<String>,
    /// The places of named schemas, by name.
    names: BTreeMap<String, String>,
    /// The number of schemas by which a value is checked, and their nesting, by the place of the
    /// first one.
    measured: BTreeMap<String, (u64, usize)>,
    /// Schemas that are being measured.
    open: BTreeSet<String>,
    steps: usize,
}

impl<'s> Look<'s> {
    fn new(document: &'s Value) -> Result<Self, String> {
        let mut look = Self {
            document,
            places: BTreeSet::new(),
            names: BTreeMap::new(),
            measured: BTreeMap::new(),
            open: BTreeSet::new(),
            steps: 0,
        };
        // A name may be defined after its first use, so names are collected first.
        for is_second in [false, true] {
            let (mut open, mut seen) = (vec![String::new()], BTreeSet::new());
            while let Some(place) = open.pop() {
                if !seen.insert(place.clone()) {
                    continue;
                }
                if seen.len() > STEPS {
                    return Err(format!("has more than {STEPS} parts"));
                }
                look.name(&place);
                open.extend(look.parts(&place, &SAME));
                open.extend(look.inner(&place));
                open.extend(look.parts(&place, &KEPT));
                if is_second {
                    open.extend(look.targets(&place)?);
                }
            }
            look.places = seen;
        }
        Ok(look)
    }

    fn name(&mut self, place: &str) {
        let Some(schema) = self.schema(place) else {
            return;
        };
        let text = |name: &str| schema.get(name).and_then(Value::as_str);
        let names = NAMES
            .iter()
            .filter_map(|name| Some(format!("#{}", text(name)?)));
        let id = text("$id").map(str::to_owned);
        for name in names.chain(id) {
            self.names.insert(name, place.to_owned());
        }
    }

    fn at(&mut self, place: &str) -> Option<String> {
        match self.measure(place) {
            Err(reason) => return Some(reason),
            Ok((count, _)) if count > MOST => {
                return Some(format!(
                    "{} looks at each value by more than {MOST} others",
                    shown(place)
                ));
            }
            Ok(_) => {}
        }
        let keyword = ["unevaluatedProperties", "unevaluatedItems"];
        let schema = self.schema(place)?;
        let keyword = keyword.iter().find(|name| schema.contains_key(**name))?;
        self.contains_itself(place)
            .then(|| format!("{} has `{keyword}` and contains itself", shown(place)))
    }

    /// The number of schemas by which a value is checked, this one included, and their nesting.
    fn measure(&mut self, place: &str) -> Result<(u64, usize), String> {
        if let Some(measured) = self.measured.get(place) {
            return Ok(*measured);
        }
        if !self.open.insert(place.to_owned()) {
            return Err(format!(
                "{} refers to itself for the same value",
                shown(place)
            ));
        }
        let too_deep = || {
            format!(
                "{} looks at a value through more than {DEPTH} others",
                shown(place)
            )
        };
        if self.open.len() > DEPTH {
            return Err(too_deep());
        }
        let (mut count, mut depth) = (1_u64, 0_usize);
        for other in self.same(place)? {
            let (more, deeper) = self.measure(&other)?;
            count = count.saturating_add(more);
            depth = depth.max(deeper);
        }
        let depth = depth.saturating_add(1);
        if depth > DEPTH {
            return Err(too_deep());
        }
        self.open.remove(place);
        self.measured.insert(place.to_owned(), (count, depth));
        Ok((count, depth))
    }

    /// True if a schema contains itself, or if there is too much to search.
    fn contains_itself(&mut self, place: &str) -> bool {
        let (mut open, mut seen) = (vec![place.to_owned()], BTreeSet::new());
        while let Some(at) = open.pop() {
            self.steps += 1;
            if self.steps >= STEPS {
                return true;
            }
            let same = self.same(&at).unwrap_or_default();
            for next in same.into_iter().chain(self.inner(&at)) {
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

    /// The schemas that apply to the same value.
    fn same(&self, place: &str) -> Result<Vec<String>, String> {
        let mut places = self.parts(place, &SAME);
        places.extend(self.targets(place)?);
        Ok(places)
    }

    /// The targets of its references.
    fn targets(&self, place: &str) -> Result<Vec<String>, String> {
        let Some(schema) = self.schema(place) else {
            return Ok(Vec::new());
        };
        let references = REFERENCES
            .iter()
            .filter_map(|name| schema.get(*name)?.as_str());
        let target = |reference: &str| {
            let unknown = || {
                format!(
                    "{} refers to `{reference}`, which is not in it",
                    shown(place)
                )
            };
            match self.names.get(reference) {
                Some(place) => Ok(place.clone()),
                None => {
                    let pointer = places::pointer(reference);
                    let is_there = |pointer: &String| self.document.pointer(pointer).is_some();
                    pointer.filter(is_there).ok_or_else(unknown)
                }
            }
        };
        references.map(target).collect()
    }

    /// The schemas that apply to parts of the value.
    fn inner(&self, place: &str) -> Vec<String> {
        self.parts(place, &INNER)
    }

    fn parts(&self, place: &str, keywords: &Keywords) -> Vec<String> {
        self.schema(place)
            .map_or_else(Vec::new, |schema| keywords.parts(schema, place))
    }
}

fn shown(place: &str) -> String {
    match place {
        "" => "the whole schema".to_owned(),
        place => format!("the schema at `{place}`"),
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
            assert_eq!(check(&schema), Ok(()), "{schema}");
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
            (levels(14), "looks at each value by more than 1000 others"),
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

    #[test]
    fn schemas_that_a_validator_would_follow_without_end_are_refused() {
        let itself = json!({"$defs": {"t": {"anyOf": [{"$ref": "#/$defs/t"}]}}});
        let named = json!({"$anchor": "me", "allOf": [{"$ref": "#me"}]});
        for (schema, says) in [
            (levels(40), "through more than 32 others"),
            (itself, "refers to itself for the same value"),
            (named, "refers to itself for the same value"),
            (
                json!({"$ref": "#/$defs/none"}),
                "refers to `#/$defs/none`, which is not in it",
            ),
            (json!({"$ref": "other.json"}), "which is not in it"),
        ] {
            let said = check(&schema).unwrap_err();
            assert!(said.contains(says), "{said}");
        }
        let encoded = json!({"$ref": "#/$defs/a%20b", "$defs": {"a b": {"type": "string"}}});
        assert_eq!(check(&encoded), Ok(()));
        let by_id = json!({"$ref": "urn:x", "$defs": {"x": {"$id": "urn:x", "type": "string"}}});
        assert_eq!(check(&by_id), Ok(()));
    }
}
