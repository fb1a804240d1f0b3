//! What is wrong with a description, before anything is served by it.
//!
//! The host refuses a component by it, and the SDK's test kit a contract: nothing of a description is checked anywhere else, but
//! for what only the host's validator can tell of a schema (a keyword's value, a pattern).
//!
//! # Layout
//!
//! - this file: [`problems`]; the participant's own name, versions and base path; that schemas are schemas
//! - `commands`: commands, their paths, keys and refusals
//! - `events`: subscriptions, publications and timers
//! - `listings`: listings and their filters
//!
//! Members that refer to each other are checked together: a pointer with the schema of the value that it points into, a listing
//! with the command that shows its items, what a command makes with the read of it.

mod commands;
mod events;
mod listings;

use serde_json::Value;

use crate::description::{Description, is_base_path, reserved};
use crate::json;
use crate::schema::pointer::{is_pointer, types_at};
use crate::schema::{Types, effort};

/// Something wrong with a description: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct DescriptionProblem {
    /// Which part, for example `command register`.
    pub place: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// Finds everything that is wrong with a description. Empty means that it can be served.
#[must_use]
pub fn problems(description: &Description) -> Vec<DescriptionProblem> {
    let mut found = Problems::default();
    participant(description, &mut found);
    commands::check(description, &mut found);
    events::check(description, &mut found);
    schemas(description, &mut found);
    listings::check(description, &mut found);
    found.0
}

#[derive(Default)]
struct Problems(Vec<DescriptionProblem>);

impl Problems {
    fn add(&mut self, place: impl Into<String>, reason: impl Into<String>) {
        self.0.push(DescriptionProblem {
            place: place.into(),
            reason: reason.into(),
        });
    }
}

fn participant(description: &Description, found: &mut Problems) {
    if !is_name(&description.name) {
        found.add(
            "name",
            format!(
                "`{}` is not a name: use 1 to 64 lower-case letters, digits and `-`",
                description.name
            ),
        );
    }
    if description.version.is_empty() {
        found.add("version", "is empty: give the version of the rules");
    }
    let state = &description.state;
    if state.version == 0 {
        found.add("state", "version 0: versions count from 1");
    }
    if state.oldest_readable == 0 || state.oldest_readable > state.version {
        found.add(
            "state",
            format!(
                "oldest readable version {} is not between 1 and the current version {}",
                state.oldest_readable, state.version
            ),
        );
    }
    let base = &description.endpoint.base_path;
    if !is_base_path(base) {
        found.add(
            "endpoint",
            format!("base path `{base}`: must be empty or look like `/a/b`"),
        );
    }
}

fn is_name(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(is_plain)
}

fn schemas(description: &Description, found: &mut Problems) {
    let mut schema = |place: String, text: &str| {
        if let Err(reason) = parsed(text) {
            found.add(place, reason);
        }
    };
    schema("state".into(), &description.state.schema);
    for command in &description.commands {
        schema(format!("command {} reply", command.name), &command.reply);
    }
    for subscription in &description.subscriptions {
        let place = format!("subscription {}", subscription.event_type);
        schema(place, &subscription.schema);
    }
    for publication in &description.publications {
        let place = format!("publication {}", publication.event_type);
        schema(place, &publication.schema);
    }
    for timer in &description.timers {
        schema(format!("timer {}", timer.name), &timer.schema);
    }
    // By these the host checks what clients send.
    for command in &description.commands {
        if let Some(Err(reason)) = command.request.as_deref().map(checking) {
            found.add(format!("command {} request", command.name), reason);
        }
    }
}

/// A schema, where it is one.
fn parsed(text: &str) -> Result<Value, String> {
    match json::parse(text) {
        Ok(schema) if schema.is_object() || schema.is_boolean() => Ok(schema),
        Ok(_) => Err("schema is JSON but not a JSON Schema (an object or a boolean)".into()),
        Err(reason) => Err(format!("schema {reason}")),
    }
}

/// A schema by which values of strangers are checked: the effort has to have a bound.
fn checking(text: &str) -> Result<Value, String> {
    let schema = parsed(text)?;
    let bounded = effort::check(&schema);
    bounded.map_err(|reason| format!("schema can't be checked by: {reason}"))?;
    Ok(schema)
}

/// Checks that the key of an aggregate can be found at this pointer in the values of a schema.
fn key(pointer: &str, schema: &str, place: &str, found: &mut Problems) {
    if !is_pointer(pointer) {
        let reason = format!("key `{pointer}` is not a JSON pointer such as `/order/id`");
        return found.add(place, reason);
    }
    // What is no schema is told of elsewhere.
    let Ok(schema) = parsed(schema) else {
        return;
    };
    let keys = Types::STRING.or(Types::INTEGER);
    match types_at(&schema, pointer) {
        Err(nowhere) => found.add(place, format!("key `{pointer}` {nowhere}")),
        Ok(types) if !types.has(keys) => {
            let reason = format!(
                "key `{pointer}` is {} by the schema, and must be a string or a whole number",
                types.told()
            );
            found.add(place, reason);
        }
        Ok(_) => {}
    }
}

/// Checks that the host serves nothing of its own at this path.
fn free(path: &str, place: &str, found: &mut Problems) {
    if let Some(reserved) = reserved(path) {
        let reason = format!(
            "path `{path}` is the host's own: nothing may be served at or below `{reserved}`; take another path"
        );
        found.add(place, reason);
    }
}

#[cfg(test)]
mod tests;
