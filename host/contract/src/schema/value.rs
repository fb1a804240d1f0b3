//! Checks one value against a schema, and describes the values of a schema in a few words.

use serde_json::Value;

use super::node::{Node, Types, either, is_equal};
use super::scalars::{lower, upper};

/// Nesting of the schemas that are examined.
const DEPTH: usize = 16;

/// Schemas that are examined for one value.
const LOOKS: usize = 1_000;

/// Most values of a list that are named.
const TOLD: usize = 8;

/// Most characters of a value that are shown.
const CHARACTERS: usize = 40;

/// The result of checking a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TakenValues {
    Yes,
    No,
    Unclear,
}

/// Checks a value against a schema.
pub(super) fn takes(node: Node<'_>, value: &Value) -> TakenValues {
    let mut looks = Looks::default();
    takes_at(node, value, &mut looks)
}

/// Effort spent on examining schemas.
struct Looks {
    depth: usize,
    left: usize,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            depth: 0,
            left: LOOKS,
        }
    }
}

impl Looks {
    /// Examines one more schema, unless the bound is reached.
    fn deeper<T>(&mut self, look: impl FnOnce(&mut Self) -> T, otherwise: T) -> T {
        if self.depth >= DEPTH || self.left == 0 {
            return otherwise;
        }
        self.left -= 1;
        self.depth += 1;
        let seen = look(self);
        self.depth -= 1;
        seen
    }
}

fn takes_at(node: Node<'_>, value: &Value, looks: &mut Looks) -> TakenValues {
    looks.deeper(|looks| takes_here(node, value, looks), TakenValues::Unclear)
}

fn takes_here(node: Node<'_>, value: &Value, looks: &mut Looks) -> TakenValues {
    if node.is_nothing() {
        return TakenValues::No;
    }
    let Some(keywords) = node.keywords() else {
        return TakenValues::Yes;
    };
    let is_of_type = Types::declared(keywords).is_none_or(|types| types.has(Types::of(value)));
    let is_listed = keywords.get("enum").and_then(Value::as_array);
    let is_listed = is_listed.is_none_or(|listed| listed.iter().any(|one| is_equal(one, value)));
    let is_it = (keywords.get("const")).is_none_or(|constant| is_equal(constant, value));
    if !is_of_type || !is_listed || !is_it {
        return TakenValues::No;
    }
    let mut taken = follows_rules(node, value, looks);
    if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
        let target = node.target(reference);
        taken = all([
            taken,
            target.map_or(TakenValues::Unclear, |target| {
                takes_at(target, value, looks)
            }),
        ]);
    }
    let of_all = node.listed("allOf").into_iter().flatten();
    taken = of_all.fold(taken, |taken, one| {
        all([taken, takes_at(one, value, looks)])
    });
    for alternatives in ["anyOf", "oneOf"]
        .iter()
        .filter_map(|name| node.listed(name))
    {
        let any = alternatives.map(|one| takes_at(one, value, looks));
        taken = all([taken, any.fold(TakenValues::No, either_of)]);
    }
    match keywords.get("not") {
        None => taken,
        Some(not) => match takes_at(node.with(not), value, looks) {
            TakenValues::Yes => TakenValues::No,
            TakenValues::No => taken,
            TakenValues::Unclear => all([taken, TakenValues::Unclear]),
        },
    }
}

fn all<const N: usize>(taken: [TakenValues; N]) -> TakenValues {
    if taken.contains(&TakenValues::No) {
        TakenValues::No
    } else if taken.contains(&TakenValues::Unclear) {
        TakenValues::Unclear
    } else {
        TakenValues::Yes
    }
}

fn either_of(one: TakenValues, other: TakenValues) -> TakenValues {
    match (one, other) {
        (TakenValues::Yes, _) | (_, TakenValues::Yes) => TakenValues::Yes,
        (TakenValues::Unclear, _) | (_, TakenValues::Unclear) => TakenValues::Unclear,
        _ => TakenValues::No,
    }
}

/// Checks the keywords that bound a value of its type.
fn follows_rules(node: Node<'_>, value: &Value, looks: &mut Looks) -> TakenValues {
    let Some(keywords) = node.keywords() else {
        return TakenValues::Yes;
    };
    let has = |names: &[&str]| names.iter().any(|name| keywords.contains_key(*name));
    let unless = |is_unclear: bool| {
        if is_unclear {
            TakenValues::Unclear
        } else {
            TakenValues::Yes
        }
    };
    if has(&["if"]) {
        return TakenValues::Unclear;
    }
    let within = |count: usize, least: &str, most: &str| {
        let bound = |name| keywords.get(name).and_then(Value::as_u64);
        bound(least).is_none_or(|least| count as u64 >= least)
            && bound(most).is_none_or(|most| count as u64 <= most)
    };
    match value {
        Value::Number(number) => {
            let is_above = lower(keywords).is_none_or(|bound| bound.is_below(number));
            let is_below = upper(keywords).is_none_or(|bound| bound.is_above(number));
            match is_above && is_below {
                true => unless(has(&["multipleOf"])),
                false => TakenValues::No,
            }
        }
        Value::String(text) => match within(text.chars().count(), "minLength", "maxLength") {
            true => unless(has(&["pattern", "format"])),
            false => TakenValues::No,
        },
        Value::Array(values) => match within(values.len(), "minItems", "maxItems") {
            true => unless(has(&["items", "prefixItems", "uniqueItems", "contains"])),
            false => TakenValues::No,
        },
        Value::Object(members) => {
            let required = keywords.get("required").and_then(Value::as_array);
            let mut required = required.into_iter().flatten().filter_map(Value::as_str);
            if !required.all(|name| members.contains_key(name))
                || !within(members.len(), "minProperties", "maxProperties")
            {
                return TakenValues::No;
            }
            let properties = keywords.get("properties").and_then(Value::as_object);
            let of_properties = members
                .iter()
                .filter_map(|(name, value)| Some((properties?.get(name)?, value)));
            let taken = of_properties.fold(TakenValues::Yes, |taken, (schema, value)| {
                all([taken, takes_at(node.with(schema), value, looks)])
            });
            let others = ["additionalProperties", "patternProperties", "propertyNames"];
            all([taken, unless(has(&others))])
        }
        Value::Null | Value::Bool(_) => TakenValues::Yes,
    }
}

/// Describes the values of a schema: the values themselves if they are listed, otherwise the types.
pub(super) fn told(node: Node<'_>) -> String {
    let mut listed = Vec::new();
    if lists(node, &mut listed, &mut Looks::default()) {
        return told_values(&listed);
    }
    let types = types(node);
    if types == Types::ALL {
        "other values".into()
    } else {
        types.told()
    }
}

/// A superset of the types that a schema accepts.
pub(super) fn types(node: Node<'_>) -> Types {
    types_at(node, &mut Looks::default())
}

/// Names some of these values.
pub(super) fn told_values(values: &[&Value]) -> String {
    let more = values.len().saturating_sub(TOLD);
    let mut names: Vec<String> = values
        .iter()
        .take(TOLD)
        .map(|value| told_value(value))
        .collect();
    if more > 0 {
        names.push(format!("{more} more"));
    }
    either(&names)
}

fn told_value(value: &Value) -> String {
    let text = value.to_string();
    let mut short: String = text.chars().take(CHARACTERS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("`{short}`")
}

/// Collects the values of a schema; true if it lists all of them.
fn lists<'s>(node: Node<'s>, listed: &mut Vec<&'s Value>, looks: &mut Looks) -> bool {
    looks.deeper(|looks| lists_here(node, listed, looks), false)
}

fn lists_here<'s>(node: Node<'s>, listed: &mut Vec<&'s Value>, looks: &mut Looks) -> bool {
    let Some(keywords) = node.keywords() else {
        return node.is_nothing();
    };
    if let Some(constant) = keywords.get("const") {
        listed.push(constant);
        return true;
    }
    if let Some(values) = keywords.get("enum").and_then(Value::as_array) {
        listed.extend(values);
        return true;
    }
    if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
        let target = node.target(reference);
        return target.is_some_and(|target| lists(target, listed, looks));
    }
    let mut alternatives = ["oneOf", "anyOf"]
        .into_iter()
        .filter_map(|name| node.listed(name));
    let alternatives = alternatives.next();
    alternatives.is_some_and(|mut all| all.all(|one| lists(one, listed, looks)))
}

fn types_at(node: Node<'_>, looks: &mut Looks) -> Types {
    looks.deeper(|looks| types_here(node, looks), Types::ALL)
}

fn types_here(node: Node<'_>, looks: &mut Looks) -> Types {
    let Some(keywords) = node.keywords() else {
        return if node.is_nothing() {
            Types::NONE
        } else {
            Types::ALL
        };
    };
    let mut found = Types::declared(keywords).unwrap_or(Types::ALL);
    if let Some(constant) = keywords.get("const") {
        found = found.and(Types::of(constant));
    }
    if let Some(values) = keywords.get("enum").and_then(Value::as_array) {
        let listed = values.iter().map(Types::of);
        found = found.and(listed.fold(Types::NONE, Types::or));
    }
    if let Some(reference) = keywords.get("$ref").and_then(Value::as_str) {
        let target = node.target(reference);
        found = found.and(target.map_or(Types::ALL, |target| types_at(target, looks)));
    }
    let of_all = node.listed("allOf").into_iter().flatten();
    found = of_all.fold(found, |so_far, one| so_far.and(types_at(one, looks)));
    for alternatives in ["anyOf", "oneOf"]
        .iter()
        .filter_map(|name| node.listed(name))
    {
        let any = alternatives.map(|one| types_at(one, looks));
        found = found.and(any.fold(Types::NONE, Types::or));
    }
    found
}
