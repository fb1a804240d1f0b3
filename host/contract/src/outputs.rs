//! The values that rules put out, and their declared schemas and refusals.
//!
//! Must not know: how a schema is checked, which is the part of `values`.

use std::fmt;

use serde::de::IgnoredAny;

use crate::description::{Description, RefusalKind};

/// A value that rules put out, by its place in the description.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output<'n> {
    /// The state that a decision leaves.
    State,
    /// The body of an event of this type.
    Event(&'n str),
    /// The body of a timer of this name.
    Timer(&'n str),
    /// The reply to the command of this name.
    Reply(&'n str),
}

impl fmt::Display for Output<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::State => formatter.write_str("state"),
            Self::Event(name) => write!(formatter, "event `{name}`"),
            Self::Timer(name) => write!(formatter, "timer `{name}`"),
            Self::Reply(name) => write!(formatter, "reply to command `{name}`"),
        }
    }
}

/// The beginning of the reason if an output is JSON of another shape; the places follow.
pub const MISMATCH: &str = "does not match its schema: ";

/// The schemas that a description declares for outputs.
pub trait OutputSchemas: Send + Sync {
    /// Checks that an output is JSON and matches its schema.
    ///
    /// # Errors
    /// The mismatch, in words that follow the name of the output: the JSON pointer of each place,
    /// and what was expected there.
    fn check(&self, output: Output<'_>, text: &str) -> Result<(), String>;
}

/// Checks that an output is JSON.
///
/// # Errors
/// The mistake and its place, in words that follow the name of the output.
pub fn check_json(text: &str) -> Result<(), String> {
    serde_json::from_str::<IgnoredAny>(text)
        .map(drop)
        .map_err(|error| format!("is not JSON: {error}"))
}

/// Checks that a command declares a refusal of this kind and code.
///
/// # Errors
/// A sentence that names both.
pub fn check_refusal(
    description: &Description,
    command: &str,
    (kind, code): (RefusalKind, &str),
) -> Result<(), String> {
    if description.has_open_refusals {
        return Ok(());
    }
    let declared = description.command(command).is_none_or(|command| {
        let mut refusals = command.refusals.iter();
        refusals.any(|one| one.kind == kind && one.code == code)
    });
    if declared {
        return Ok(());
    }
    Err(format!(
        "command `{command}` refuses with `{code}` ({}), which it does not declare",
        kind.word()
    ))
}
