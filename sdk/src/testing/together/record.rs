//! [`Record`]: an event on its way, [`DeadLetter`]: a message that could not be decided.

use serde_json::Value;

use crate::bindings::saga::participant::types::Description;
use crate::codec;
use crate::testing::{Limits, key_pointer};

/// An event on its topic.
#[derive(Clone, Debug)]
pub(super) struct Record {
    pub(super) id: String,
    pub(super) source: String,
    pub(super) event_type: String,
    pub(super) topic: String,
    pub(super) key: String,
    pub(super) version: u32,
    pub(super) body: String,
    pub(super) correlation: String,
    pub(super) causation: Option<String>,
    /// Its place in the order in which records were published.
    pub(super) number: u64,
}

/// A message that a participant could not decide. A host keeps it, and the later messages of its
/// aggregate wait behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// Name of the participant.
    pub participant: String,
    /// Type of the event, or name of the timer.
    pub name: String,
    /// Key of the aggregate; none if the event has none.
    pub key: Option<String>,
    /// JSON text of the message.
    pub body: String,
    /// Why it could not be decided.
    pub reason: String,
}

/// Finds the key of the aggregate, as a host does.
///
/// # Errors
/// Why the host makes a dead letter of the record.
pub(super) fn key_of(
    record: &Record,
    description: &Description,
    limits: &Limits,
) -> Result<String, String> {
    let mut subscriptions = description.subscriptions.iter();
    let subscription = subscriptions
        .find(|one| one.event_type == record.event_type && one.topic == record.topic)
        .ok_or("it is not subscribed to")?;
    let pointer = key_pointer(subscription, record.version).ok_or_else(|| {
        format!(
            "it is version {} of the event, which the rules don't read",
            record.version
        )
    })?;
    key_at(&record.body, pointer, limits)
}

/// The string or whole number at this pointer.
///
/// # Errors
/// Why it is no key.
pub(super) fn key_at(body: &str, pointer: &str, limits: &Limits) -> Result<String, String> {
    let body: Value = codec::decode(body)?;
    let key = match body.pointer(pointer) {
        Some(Value::String(key)) => key.clone(),
        // Zero has one key.
        Some(Value::Number(key)) if key.as_str() == "-0" => "0".to_owned(),
        Some(Value::Number(key)) if key.is_i64() || key.is_u64() => key.to_string(),
        Some(_) => {
            return Err(format!(
                "the key at {pointer} is no string and no whole number"
            ));
        }
        None => return Err(format!("it has no key at {pointer}")),
    };
    match key.len() {
        0 => Err(format!("the key at {pointer} is empty")),
        bytes if bytes > limits.key_bytes => Err(format!("the key at {pointer} has {bytes} bytes")),
        _ => Ok(key),
    }
}
