//! JSON pointers (RFC 6901) into the values that a schema allows.
//!
//! As everywhere in this folder, a member that a schema does not name is absent, unless its
//! `additionalProperties` allow it; a schema that names no members at all leaves them open. In
//! unclear cases the member counts as present.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::{Map, Value};

use super::node::{BRANCHES, Branch, Node, Types, spread};
use crate::near;
use crate::reason::shorten;

/// Parts of a pointer. serde_json reads values with a nesting of up to 128 levels.
const PARTS: usize = 128;

/// Members that are named in a report of a missing one.
const NAMED: usize = 8;

/// Members that are searched for the nearest names.
const COMPARED: usize = 256;

/// Keywords that may add members beyond the schema's `properties`.
const CONDITIONAL: [&str; 7] = [
    "$dynamicRef",
    "$recursiveRef",
    "dependencies",
    "dependentSchemas",
    "else",
    "patternProperties",
    "then",
];

/// The reason why a pointer leads to nothing that a schema allows. `Display` continues a sentence
/// that begins with the pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Nowhere {
    /// The schema names members, but not this one.
    NoMember { name: String, others: Vec<String> },
    /// The containing value has no members or elements, or has no such element.
    NoPlace { within: String, types: Types },
    /// The pointer has more parts than a value can have levels.
    TooDeep,
}

/// True if a text is a pointer to a part of a value. The pointer `""`, to the value itself, is
/// excluded.
pub(crate) fn is_pointer(text: &str) -> bool {
    let mut escapes = text.split('~').skip(1);
    text.starts_with('/') && escapes.all(|rest| rest.starts_with(['0', '1']))
}

/// The types that a schema allows at a pointer, or, at `""`, of the whole value.
///
/// # Errors
/// If it allows nothing there.
pub(crate) fn types_at(schema: &Value, pointer: &str) -> Result<Types, Nowhere> {
    let Some(branches) = branches_at(schema, pointer)? else {
        return Ok(Types::ALL);
    };
    let types = branches.iter().map(types_of);
    Ok(types.fold(Types::NONE, Types::or))
}

/// The alternatives of a schema at a pointer; None if there are too many.
///
/// # Errors
/// If it allows nothing there.
pub(super) fn branches_at<'s>(
    schema: &'s Value,
    pointer: &str,
) -> Result<Option<Vec<Branch<'s>>>, Nowhere> {
    let parts = || pointer.split('/').skip(1);
    if parts().count() > PARTS {
        return Err(Nowhere::TooDeep);
    }
    let mut places = vec![vec![Node::whole(schema)]];
    let mut within = String::new();
    for part in parts() {
        let Some(branches) = branches(&places) else {
            return Ok(None);
        };
        let name = part.replace("~1", "/").replace("~0", "~");
        let found = branches.iter().filter_map(|branch| inner(branch, &name));
        places = found.take(BRANCHES + 1).collect();
        if places.is_empty() {
            return Err(nowhere(&branches, name, within));
        }
        within = format!("{within}/{part}");
    }
    Ok(branches(&places))
}

/// The alternatives of all places; None if there are too many.
fn branches<'s>(places: &[Vec<Node<'s>>]) -> Option<Vec<Branch<'s>>> {
    let mut branches = Vec::new();
    for place in places {
        let spread = spread(place);
        branches.extend(spread.branches);
        if !spread.is_whole || branches.len() > BRANCHES {
            return None;
        }
    }
    Some(branches)
}

pub(super) fn types_of(branch: &Branch<'_>) -> Types {
    let types = branch.types();
    let Some(values) = branch.values() else {
        return types;
    };
    let listed = values.into_iter().map(Types::of);
    types.and(listed.fold(Types::NONE, Types::or))
}

/// The schemas of a value's member or element of this name.
fn inner<'s>(branch: &Branch<'s>, name: &str) -> Option<Vec<Node<'s>>> {
    let types = types_of(branch);
    let member = || types.has(Types::OBJECT).then(|| member(branch, name))?;
    let element = || types.has(Types::ARRAY).then(|| element(branch, name))?;
    member().or_else(element)
}

fn member<'s>(branch: &Branch<'s>, name: &str) -> Option<Vec<Node<'s>>> {
    let named = branch.said("properties");
    let named: Vec<_> = named
        .filter_map(|(part, members)| Some(part.with(members.get(name)?)))
        .collect();
    if !named.is_empty() {
        return Some(named);
    }
    let has = |keyword: &&str| {
        branch
            .parts
            .iter()
            .any(|part| part.schema.get(*keyword).is_some())
    };
    if CONDITIONAL.iter().any(has) {
        return Some(vec![Node::anything()]);
    }
    let others = |keyword| branch.said(keyword).map(|(part, schema)| part.with(schema));
    let others: Vec<_> = others("additionalProperties")
        .chain(others("unevaluatedProperties"))
        .collect();
    match others.is_empty() {
        true if names(branch).is_empty() => Some(vec![Node::anything()]),
        true => None,
        false if others.iter().any(|schema| schema.is_nothing()) => None,
        false => Some(others),
    }
}

fn element<'s>(branch: &Branch<'s>, name: &str) -> Option<Vec<Node<'s>>> {
    let is_place = name == "0" || !name.starts_with(['0', '+']);
    let place: usize = name.parse().ok().filter(|_| is_place)?;
    let of = |keyword| branch.said(keyword);
    let listed = of("prefixItems").chain(of("items"));
    let listed: Vec<_> = listed
        .filter_map(|(part, schemas)| Some(part.with(schemas.get(place)?)))
        .collect();
    let others = of("items").chain(of("additionalItems"));
    let others = others.filter(|(_, schema)| !schema.is_array());
    let elements: Vec<_> = match listed.is_empty() {
        true => others.map(|(part, schema)| part.with(schema)).collect(),
        false => listed,
    };
    match elements.iter().any(|schema| schema.is_nothing()) {
        true => None,
        false if elements.is_empty() => Some(vec![Node::anything()]),
        false => Some(elements),
    }
}

fn names<'s>(branch: &Branch<'s>) -> BTreeSet<&'s str> {
    let members = branch.said("properties");
    let members = members.filter_map(|(_, members)| members.as_object());
    members.flat_map(Map::keys).map(String::as_str).collect()
}

fn nowhere(branches: &[Branch<'_>], name: String, within: String) -> Nowhere {
    let others: BTreeSet<_> = branches.iter().flat_map(names).collect();
    if !others.is_empty() {
        let mut others: Vec<_> = others.into_iter().take(COMPARED).collect();
        others.sort_by_key(|other| near::distance(other, &name));
        let others = others.into_iter().take(NAMED).map(str::to_owned).collect();
        return Nowhere::NoMember { name, others };
    }
    let types = branches.iter().map(types_of);
    let types = types.fold(Types::NONE, Types::or);
    Nowhere::NoPlace { within, types }
}

impl fmt::Display for Nowhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMember { name, others } => {
                let others: Vec<_> = others.iter().map(|name| format!("`{name}`")).collect();
                let others = shorten(others.join(", "));
                let name = shorten(name.clone());
                write!(
                    f,
                    "leads nowhere: the schema names no `{name}` there, but {others}"
                )
            }
            Self::NoPlace { types, .. } if types.is_empty() => {
                f.write_str("leads nowhere: the schema allows no value there")
            }
            Self::NoPlace { within, types } if within.is_empty() => {
                write!(f, "leads nowhere: the value is {}", types.told())
            }
            Self::NoPlace { within, types } => {
                let within = shorten(within.clone());
                write!(f, "leads nowhere: `{within}` is {}", types.told())
            }
            Self::TooDeep => write!(f, "has more than {PARTS} parts"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(schema: &Value, pointer: &str) -> Result<String, String> {
        let types = types_at(schema, pointer);
        types
            .map(Types::told)
            .map_err(|nowhere| nowhere.to_string())
    }

    #[test]
    fn a_pointer_has_the_form_of_the_standard_and_is_not_to_the_whole() {
        for pointer in ["/a", "/", "/a~1b/~0", "/a/0"] {
            assert!(is_pointer(pointer), "{pointer}");
        }
        for other in ["", "a", "a/b", "/a~2b", "/a~", "#/a"] {
            assert!(!is_pointer(other), "{other}");
        }
    }

    #[test]
    fn what_a_schema_has_at_a_pointer_is_found_wherever_it_is_said() {
        let string = json!({"type": "string"});
        let inner = json!({"type": "object", "properties": {"id": string}});
        let two = json!({"properties": {"a": {"type": "integer"}}});
        let rows = [
            (string.clone(), "", "a string"),
            (json!({"properties": {"a": string}}), "/a", "a string"),
            (
                json!({"properties": {"a/b~c": string}}),
                "/a~1b~0c",
                "a string",
            ),
            (json!({"properties": {"a": inner}}), "/a/id", "a string"),
            (
                json!({"properties": {"a": {"anyOf": [inner, {"type": "null"}]}}}),
                "/a/id",
                "a string",
            ),
            (
                json!({"properties": {"a": {"type": ["string", "null"]}}}),
                "/a",
                "a string or null",
            ),
            (
                json!({"properties": {"a": {"type": "number"}}}),
                "/a",
                "a number",
            ),
            (
                json!({"properties": {"a": {"const": "x"}}}),
                "/a",
                "a string",
            ),
            (
                json!({"properties": {"a": {"enum": ["x", 1]}}}),
                "/a",
                "a string or an integer",
            ),
            (
                json!({"oneOf": [{"properties": {"b": string}}, two]}),
                "/a",
                "an integer",
            ),
            (
                json!({"properties": {"b": string}, "allOf": [two]}),
                "/a",
                "an integer",
            ),
            (
                json!({"$ref": "#/$defs/x", "$defs": {"x": two}}),
                "/a",
                "an integer",
            ),
            (json!({"additionalProperties": string}), "/a", "a string"),
            (
                json!({"properties": {"b": string}, "additionalProperties": true}),
                "/a",
                "anything",
            ),
            (
                json!({"properties": {"b": string}, "patternProperties": {"a": two}}),
                "/a",
                "anything",
            ),
            (json!({"items": inner}), "/3/id", "a string"),
            (
                json!({"prefixItems": [string], "items": two}),
                "/0",
                "a string",
            ),
            (
                json!({"prefixItems": [string], "items": two}),
                "/1/a",
                "an integer",
            ),
            (json!({"items": [string]}), "/0", "a string"),
            (json!({"properties": {"a": true}}), "/a/b/c", "anything"),
            (json!({"type": "object"}), "/a", "anything"),
            (json!({}), "/a/0/b", "anything"),
            (json!(true), "/a", "anything"),
        ];
        for (schema, pointer, types) in rows {
            assert_eq!(
                at(&schema, pointer).as_deref(),
                Ok(types),
                "{pointer} in {schema}"
            );
        }
    }

    #[test]
    fn a_pointer_that_leads_nowhere_is_told_with_what_there_is() {
        let order = json!({"type": "object", "properties": {
            "total": {"type": "integer"},
            "customerId": {"type": "string"},
        }});
        let rows = [
            (
                order.clone(),
                "/customerID2",
                "the schema names no `customerID2` there, but `customerId`, `total`",
            ),
            (
                json!({"properties": {"order": order}}),
                "/order/customer",
                "names no `customer` there, but `customerId`",
            ),
            (order.clone(), "/", "names no `` there"),
            (order, "/total/id", "`/total` is an integer"),
            (json!({"type": "string"}), "/a", "the value is a string"),
            (json!({"items": {}}), "/a", "the value is an array"),
            (json!({"items": {}}), "/01", "the value is an array"),
            (
                json!({"prefixItems": [{}], "items": false}),
                "/1",
                "the value is an array",
            ),
            (
                json!({"properties": {"b": {}}, "additionalProperties": false}),
                "/a",
                "names no `a`",
            ),
            (json!(false), "/a", "the schema allows no value"),
        ];
        for (schema, pointer, said) in rows {
            let nowhere = at(&schema, pointer).unwrap_err();
            assert!(nowhere.contains(said), "{pointer} in {schema}: {nowhere}");
        }
    }

    #[test]
    fn a_pointer_costs_a_bounded_effort_whatever_the_schema() {
        let deep = "/a".repeat(100_000);
        assert_eq!(types_at(&json!({}), &deep), Err(Nowhere::TooDeep));
        let itself = json!({"$ref": "#"});
        assert_eq!(at(&itself, "/a").as_deref(), Ok("anything"));
        let two = json!({"properties": {"a": {"$ref": "#"}}});
        let many = json!({"anyOf": vec![two; 60]});
        assert_eq!(at(&many, &"/a".repeat(PARTS)).as_deref(), Ok("anything"));
        let names: Map<_, _> = (0..1_000)
            .map(|n| (format!("{n}{}", "x".repeat(1_000)), json!(1)))
            .collect();
        let said = at(&json!({"properties": names}), "/a").unwrap_err();
        assert!(said.len() < 1_200, "{}", said.len());
    }
}
