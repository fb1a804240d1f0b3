//! The schemas of the outputs of rules, compiled once per component.

use std::collections::HashMap;

use serde_json::Value;

use super::{BodyError, Schema, SchemaError};
use crate::description::Description;
use crate::json;
use crate::outputs::{MISMATCH, Output, OutputSchemas, check_json};

/// Most invalid places of an output in an error.
const PLACES: usize = 3;

/// The schemas of a participant's outputs. An output whose schema can't be compiled is only checked
/// to be JSON.
pub struct DeclaredOutputs {
    state: Expected,
    events: HashMap<String, Expected>,
    timers: HashMap<String, Expected>,
    replies: HashMap<String, Expected>,
}

/// The expected form of an output.
enum Expected {
    /// Any JSON.
    Json,
    /// JSON of this schema.
    Schema(Box<Schema>),
}

impl DeclaredOutputs {
    /// Compiles the schemas of a description.
    #[must_use]
    pub fn of(description: &Description) -> Self {
        let publications = description.publications.iter();
        let timers = description.timers.iter();
        let commands = description.commands.iter();
        Self {
            state: Expected::of(&description.state.schema),
            events: by_name(publications.map(|one| (&one.event_type, &one.schema))),
            timers: by_name(timers.map(|one| (&one.name, &one.schema))),
            replies: by_name(commands.map(|one| (&one.name, &one.reply))),
        }
    }

    fn expected(&self, output: Output<'_>) -> &Expected {
        let found = match output {
            Output::State => return &self.state,
            Output::Event(name) => self.events.get(name),
            Output::Timer(name) => self.timers.get(name),
            Output::Reply(name) => self.replies.get(name),
        };
        found.unwrap_or(&Expected::Json)
    }
}

fn by_name<'d>(
    schemas: impl Iterator<Item = (&'d String, &'d String)>,
) -> HashMap<String, Expected> {
    schemas
        .map(|(name, schema)| (name.clone(), Expected::of(schema)))
        .collect()
}

impl Expected {
    fn of(text: &str) -> Self {
        match json::parse(text) {
            Ok(Value::Bool(true)) => Self::Json,
            Ok(Value::Object(members)) if members.is_empty() => Self::Json,
            _ => Schema::compile(text).map_or(Self::Json, |schema| Self::Schema(Box::new(schema))),
        }
    }
}

impl OutputSchemas for DeclaredOutputs {
    fn check(&self, output: Output<'_>, text: &str) -> Result<(), String> {
        let schema = match self.expected(output) {
            Expected::Json => return check_json(text),
            Expected::Schema(schema) => schema,
        };
        let value = json::parse(text)?;
        match schema.check(&value, text.len()) {
            // The rules are not to blame for a bug of the validator.
            Ok(()) | Err(SchemaError::Broke) => Ok(()),
            Err(SchemaError::Places(places)) => {
                let places: Vec<_> = (places.iter().take(PLACES))
                    .map(BodyError::to_string)
                    .collect();
                let places = places.join("; ");
                Err(format!("{MISMATCH}{places}"))
            }
        }
    }
}

#[cfg(test)]
#[path = "outputs_tests.rs"]
mod tests;
