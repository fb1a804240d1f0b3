//! Finds the problems of a description before it is served.
//!
//! The host refuses a component because of them, and the SDK's test kit a contract. Descriptions
//! are checked nowhere else, except for the checks of a schema that only the host's validator can
//! do (a keyword's value, a pattern).
//!
//! # Layout
//!
//! - this file: [`problems`]; the participant's own name, versions and base path; the validity of
//!   schemas
//! - `commands`: commands, their paths, keys and refusals
//! - `events`: subscriptions, publications and timers
//! - `listings`: listings and their filters
//! - `settings`: the settings of the rules
//! - `callers`: headers, claims and permissions
//!
//! Members that refer to each other are checked together: a pointer with the schema of the value
//! that it points into, a listing with the command that shows its items, a create with its read.

mod callers;
mod commands;
mod events;
mod listings;
mod settings;

use serde_json::Value;

use crate::description::{Description, is_base_path, reserved};
use crate::json;
use crate::schema::pointer::{is_pointer, types_at};
use crate::schema::{Types, effort};

/// A problem of a description.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct DescriptionProblem {
    /// The part, for example `command register`.
    pub place: String,
    /// The error and the remedy.
    pub reason: String,
}

/// Finds all problems of a description. It can be served if there are none.
#[must_use]
pub fn problems(description: &Description) -> Vec<DescriptionProblem> {
    let mut found = Problems::default();
    participant(description, &mut found);
    commands::check(description, &mut found);
    events::check(description, &mut found);
    schemas(description, &mut found);
    listings::check(description, &mut found);
    settings::check(description, &mut found);
    callers::check(description, &mut found);
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
        for older in &subscription.older {
            let place = format!(
                "subscription {} version {}",
                subscription.event_type, older.version
            );
            schema(place, &older.schema);
        }
    }
    for publication in &description.publications {
        let place = format!("publication {}", publication.event_type);
        schema(place, &publication.schema);
    }
    for timer in &description.timers {
        schema(format!("timer {}", timer.name), &timer.schema);
    }
    // The host checks clients' requests by these schemas.
    for command in &description.commands {
        if let Some(Err(reason)) = command.request.as_deref().map(checking) {
            found.add(format!("command {} request", command.name), reason);
        }
    }
}

/// A parsed schema, if the text is one.
fn parsed(text: &str) -> Result<Value, String> {
    match json::parse(text) {
        Ok(schema) if schema.is_object() || schema.is_boolean() => Ok(schema),
        Ok(_) => Err("schema is JSON but not a JSON Schema (an object or a boolean)".into()),
        Err(reason) => Err(format!("schema {reason}")),
    }
}

/// A parsed schema for values from outside, whose validation must have bounded effort.
fn checking(text: &str) -> Result<Value, String> {
    let schema = parsed(text)?;
    let bounded = effort::check(&schema);
    bounded.map_err(|reason| format!("schema can't be checked by: {reason}"))?;
    Ok(schema)
}

/// Checks that the key of an aggregate is at this pointer in the values of a schema.
fn key(pointer: &str, schema: &str, place: &str, found: &mut Problems) {
    if !is_pointer(pointer) {
        let reason = format!("key `{pointer}` is not a JSON pointer such as `/order/id`");
        return found.add(place, reason);
    }
    // Invalid schemas are reported elsewhere.
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

/// Checks that this path is not reserved by the host.
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
