//! The values that rules put out, and their declared schemas.
//!
//! Must not know: how a schema is checked, which is the host's part.

use std::fmt;

use saga_contract::description::{Description, RefusalKind};
use serde::de::IgnoredAny;

use crate::outcome::Refusal;
use crate::rules::{Fault, FaultKind};

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

/// Checks that an output is JSON, and that it matches its schema if there are schemas.
///
/// # Errors
/// A [`Fault`] that names the output and the mismatch.
pub(crate) fn check(
    schemas: Option<&dyn OutputSchemas>,
    output: Output<'_>,
    text: &str,
) -> Result<(), Fault> {
    let checked = match schemas {
        Some(schemas) => schemas.check(output, text),
        None => check_json(text),
    };
    checked.map_err(|mismatch| Fault::new(FaultKind::BadOutput, format!("{output} {mismatch}")))
}

/// Checks that a command declares a refusal.
///
/// # Errors
/// A [`Fault`] that names both.
pub(crate) fn check_refusal(
    description: &Description,
    command: &str,
    refusal: &Refusal,
) -> Result<(), Fault> {
    if description.has_open_refusals {
        return Ok(());
    }
    let declared = description.command(command).is_none_or(|command| {
        let mut refusals = command.refusals.iter();
        refusals.any(|one| one.kind == refusal.kind && one.code == refusal.code)
    });
    if declared {
        return Ok(());
    }
    let kind = match refusal.kind {
        RefusalKind::Invalid => "invalid",
        RefusalKind::NotFound => "not-found",
        RefusalKind::Conflict => "conflict",
        RefusalKind::Forbidden => "forbidden",
    };
    let detail = format!(
        "command `{command}` refuses with `{}` ({kind}), which it does not declare",
        refusal.code
    );
    Err(Fault::new(FaultKind::BadOutput, detail))
}
