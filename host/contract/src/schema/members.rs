//! Objects and arrays: required and allowed members, items, and their schemas.

use std::collections::BTreeSet;

use serde_json::Value;

use super::node::{Branch, Node, Types};
use super::scalars::lengths;
use super::walk::Walk;
use super::{By, What};
use crate::json;

/// Positions of an array that are compared one by one.
const POSITIONS: usize = 64;

/// A member that a writer may write.
enum SchemaMember<'s> {
    /// It is never present.
    Never,
    /// No schema names it.
    Unnamed,
    /// All of these schemas apply to it.
    Held(Vec<Node<'s>>),
}

/// Compares objects.
pub(super) fn objects<'s>(walk: &mut Walk, reader: Node<'s>, branch: &Branch<'s>, at: &str) {
    let required = required(branch);
    let declared = names(branch);
    for name in strings(reader.schema.get("required")) {
        if required.contains(name) {
            continue;
        }
        let pointer = below(at, name);
        let is_open = is_open(branch);
        match member(branch, name) {
            SchemaMember::Unnamed if !is_open => walk.breaks(&pointer, What::Missing),
            SchemaMember::Never => walk.breaks(&pointer, What::Missing),
            SchemaMember::Unnamed | SchemaMember::Held(_) => {
                walk.breaks(&pointer, What::MayBeMissing)
            }
        }
    }
    let properties = reader.schema.get("properties").and_then(Value::as_object);
    for (name, schema) in properties.into_iter().flatten() {
        let schema = reader.with(schema);
        let pointer = below(at, name);
        match member(branch, name) {
            SchemaMember::Never => {}
            SchemaMember::Held(written) => walk.compare(schema, &written, &pointer),
            SchemaMember::Unnamed if required.contains(name.as_str()) => {
                walk.compare(schema, &[Node::anything()], &pointer);
            }
            SchemaMember::Unnamed if is_open(branch) && !schema.is_anything() => {
                walk.unclear(&pointer, "a member that the schema does not name");
            }
            SchemaMember::Unnamed => {}
        }
    }
    patterns(walk, reader, branch, at);
    others(walk, reader, branch, &declared, at);
    counts(walk, reader, branch, (&required, &declared), at);
}

/// Compares members that the reader does not name.
fn others<'s>(
    walk: &mut Walk,
    reader: Node<'s>,
    branch: &Branch<'s>,
    declared: &BTreeSet<&str>,
    at: &str,
) {
    let Some(additional) = reader.schema.get("additionalProperties") else {
        return;
    };
    let additional = reader.with(additional);
    if additional.is_anything() {
        return;
    }
    if let Some(reads) = reader.schema.get("patternProperties") {
        // Names are not matched against a pattern.
        let is_same = pattern(reads).is_some_and(|(of, _)| alike(branch, of).is_some());
        let is_closed = branch.said("additionalProperties");
        let mut is_closed = is_closed.filter(|(_, schema)| **schema == Value::Bool(false));
        if !(is_same && declared.is_empty() && is_closed.next().is_some()) {
            walk.unlike(reader, branch, "patternProperties", at);
        }
        return;
    }
    let properties = reader.schema.get("properties").and_then(Value::as_object);
    let is_named = |name: &str| properties.is_some_and(|named| named.contains_key(name));
    let refuses = additional.is_nothing();
    for name in declared.iter().filter(|name| !is_named(name)) {
        let pointer = below(at, name);
        match member(branch, name) {
            SchemaMember::Held(_) if refuses => {
                walk.differs(&pointer, By::Rule, "there".into(), "no such member".into());
            }
            SchemaMember::Held(written) => walk.compare(additional, &written, &pointer),
            SchemaMember::Never | SchemaMember::Unnamed => {}
        }
    }
    let open: Vec<_> = (branch.said("additionalProperties"))
        .map(|(part, schema)| part.with(schema))
        .collect();
    if branch.said("patternProperties").next().is_some() {
        walk.unlike(reader, branch, "additionalProperties", at);
    } else if !open.is_empty() && !open.iter().any(|schema| schema.is_nothing()) {
        if refuses {
            let read = "none but those that it names";
            walk.differs(at, By::Rule, "of any members".into(), read.into());
        } else {
            walk.compare(additional, &open, &below(at, "*"));
        }
    }
}

/// Compares members that the reader names by a pattern, as in maps with numbers as keys.
fn patterns<'s>(walk: &mut Walk, reader: Node<'s>, branch: &Branch<'s>, at: &str) {
    let Some(reads) = reader.schema.get("patternProperties") else {
        return;
    };
    let alike = pattern(reads).and_then(|(of, read)| Some((read, alike(branch, of)?)));
    match alike {
        Some((read, written)) => walk.compare(reader.with(read), &written, &below(at, "*")),
        None => walk.unlike(reader, branch, "patternProperties", at),
    }
}

/// The pattern, if there is just one, and the schema of its members.
fn pattern(patterns: &Value) -> Option<(&str, &Value)> {
    let mut patterns = patterns.as_object()?.iter();
    let (of, schema) = patterns.next()?;
    patterns.next().is_none().then_some((of, schema))
}

/// The schemas of the written members, if all of them are named by this pattern; None if they are
/// named otherwise, or not at all.
fn alike<'s>(branch: &Branch<'s>, of: &str) -> Option<Vec<Node<'s>>> {
    let said = branch.said("patternProperties");
    let written: Option<Vec<_>> = said
        .map(|(part, patterns)| {
            let (written_of, schema) = pattern(patterns)?;
            (written_of == of).then(|| part.with(schema))
        })
        .collect();
    written.filter(|written| !written.is_empty())
}

fn counts<'s>(
    walk: &mut Walk,
    reader: Node<'s>,
    branch: &Branch<'s>,
    (required, declared): (&BTreeSet<&str>, &BTreeSet<&str>),
    at: &str,
) {
    let said = |keyword| reader.schema.get(keyword).and_then(Value::as_u64);
    let least = said("minProperties").is_none_or(|least| required.len() as u64 >= least);
    let most =
        said("maxProperties").is_none_or(|most| !is_open(branch) && declared.len() as u64 <= most);
    if !least || !most {
        let keywords = ("minProperties", "maxProperties", "members");
        lengths(walk, reader, branch, keywords, at);
    }
}

/// Compares arrays.
pub(super) fn arrays<'s>(walk: &mut Walk, reader: Node<'s>, branch: &Branch<'s>, at: &str) {
    lengths(walk, reader, branch, ("minItems", "maxItems", "items"), at);
    let is_set = |value: &Value| *value == Value::Bool(true);
    let most = (branch
        .said("maxItems")
        .filter_map(|(_, most)| most.as_u64()))
    .min();
    if reader.schema.get("uniqueItems").is_some_and(is_set)
        && !branch.said("uniqueItems").any(|(_, value)| is_set(value))
        && most.is_none_or(|most| most > 1)
    {
        let read = "items that differ";
        walk.differs(at, By::Rule, "of equal items".into(), read.into());
    }
    let positions = (branch.parts.iter().chain([&reader]))
        .map(|part| positions(*part).map_or(0, Vec::len))
        .max();
    let positions = positions.unwrap_or_default().min(POSITIONS);
    let is_within = |position: usize| most.is_none_or(|most| (position as u64) < most);
    for position in (0..positions).filter(|position| is_within(*position)) {
        if let Some(read) = item(reader, position) {
            let written = items(branch, position);
            walk.compare(read, &written, &below(at, &position.to_string()));
        }
    }
    if is_within(positions)
        && let Some(read) = item(reader, usize::MAX)
    {
        walk.compare(read, &items(branch, usize::MAX), &below(at, "*"));
    }
}

/// The schemas of the first items, which older drafts list in `items`.
fn positions(node: Node<'_>) -> Option<&Vec<Value>> {
    let listed = |keyword| node.schema.get(keyword).and_then(Value::as_array);
    listed("prefixItems").or_else(|| listed("items"))
}

/// The schema of the item at a position, if there is one.
fn item(node: Node<'_>, position: usize) -> Option<Node<'_>> {
    let at = positions(node).and_then(|listed| listed.get(position));
    let rest = match node.schema.get("items") {
        Some(Value::Array(_)) => node.schema.get("additionalItems"),
        items => items,
    };
    at.or(rest).map(|schema| node.with(schema))
}

fn items<'s>(branch: &Branch<'s>, position: usize) -> Vec<Node<'s>> {
    let parts = branch.parts.iter();
    let held: Vec<_> = parts.filter_map(|part| item(*part, position)).collect();
    if held.is_empty() {
        vec![Node::anything()]
    } else {
        held
    }
}

/// The written member of this name.
fn member<'s>(branch: &Branch<'s>, name: &str) -> SchemaMember<'s> {
    let mut held = Vec::new();
    let mut is_named = false;
    for part in &branch.parts {
        let own = part.schema.get("properties").and_then(|all| all.get(name));
        let has_patterns = part.schema.get("patternProperties").is_some();
        match (own, part.schema.get("additionalProperties")) {
            (Some(schema), _) => {
                is_named = true;
                held.push(part.with(schema));
            }
            (None, Some(Value::Bool(false))) if !has_patterns => return SchemaMember::Never,
            (None, Some(schema)) if schema.is_object() && !has_patterns => {
                is_named = true;
                held.push(part.with(schema));
            }
            _ => {}
        }
    }
    if held.iter().any(|schema| schema.is_nothing()) {
        SchemaMember::Never
    } else if is_named {
        SchemaMember::Held(held)
    } else {
        SchemaMember::Unnamed
    }
}

/// The named members that may be present.
fn names<'s>(branch: &Branch<'s>) -> BTreeSet<&'s str> {
    let all = branch
        .said("properties")
        .filter_map(|(_, all)| all.as_object());
    let names = all.flat_map(|all| all.keys().map(String::as_str));
    names
        .filter(|name| !matches!(member(branch, name), SchemaMember::Never))
        .collect()
}

fn required<'s>(branch: &Branch<'s>) -> BTreeSet<&'s str> {
    let lists = branch.said("required");
    lists.flat_map(|(_, list)| strings(Some(list))).collect()
}

/// True if members that no schema names may be written, according to the schemas themselves.
fn is_open(branch: &Branch<'_>) -> bool {
    let additional: Vec<_> = branch.said("additionalProperties").collect();
    let is_closed = additional
        .iter()
        .any(|(_, schema)| **schema == Value::Bool(false));
    let has_patterns = branch.said("patternProperties").next().is_some();
    let says_nothing = branch.parts.is_empty() || branch.types() == Types::ALL;
    has_patterns || says_nothing || (!additional.is_empty() && !is_closed)
}

fn strings(value: Option<&Value>) -> impl Iterator<Item = &str> {
    let listed = value.and_then(Value::as_array).into_iter().flatten();
    listed.filter_map(Value::as_str)
}

/// The pointer to a member or an item.
fn below(at: &str, name: &str) -> String {
    format!("{at}/{}", json::pointer_token(name))
}
