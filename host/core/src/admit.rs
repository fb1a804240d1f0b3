//! Admission: turns a record, command or timer into a message for one aggregate, or into the reason
//! why it can't be one.
//!
//! Time and ids are inputs. Pure: the same record and description always give the same
//! [`Admission`]. Duplicates are not detected here but by the inbox, in the turn's transaction.

use serde_json::Value;

use crate::commit::StoredTimer;
use crate::identity::{self, Identity};
use crate::limits::TurnLimits;
use crate::message::{Caller, Envelope, Message, Origin};
use crate::record::{Record, header};
use saga_contract::description::{Description, Subscription};
use saga_contract::json;
use saga_contract::reason::shorten;
use saga_contract::schema::write_integers;

/// The result of admitting a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Offered to the rules.
    Offer(Box<Envelope>),
    /// Passed over: the participant does not subscribe to this event type.
    Skip,
    /// A dead letter, with the reason.
    Malformed(String),
}

/// Admits a record to the participant. `topic` is the participant's name for the topic; `now` is
/// the time of the turn in milliseconds since the Unix epoch.
#[must_use]
pub fn record(
    record: &Record,
    topic: &str,
    description: &Description,
    limits: &TurnLimits,
    now: u64,
) -> Admission {
    let event_type = given(record.attributes.event_type.as_deref());
    let Some(subscription) = description.subscription(topic, event_type) else {
        return match event_type {
            Some(_) => Admission::Skip,
            None => Admission::Malformed(format!(
                "names no event type (header {}), and {} takes no untyped records from {topic}",
                header::TYPE,
                description.name
            )),
        };
    };
    let metadata = named(&description.metadata, &record.attributes.extra);
    let admitted = check_attributes(record, &metadata, limits)
        .and_then(|()| body_and_key(record, subscription, limits));
    match admitted {
        Ok(admitted) => {
            let envelope = envelope(record, subscription, admitted, metadata, now);
            Admission::Offer(Box::new(envelope))
        }
        Err(reason) => Admission::Malformed(reason),
    }
}

/// PostgreSQL has no text with this character.
const UNSTORABLE: char = '\0';

/// A client's request to an aggregate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Name of the command.
    pub command: String,
    /// Key of the aggregate.
    pub key: String,
    /// Path parameters, in the order of the path.
    pub parameters: Vec<(String, String)>,
    /// JSON text of the body; `null` if there is none.
    pub body: String,
    /// Who asks, if that is known.
    pub caller: Option<Caller>,
    /// The headers that the description names.
    pub metadata: Vec<(String, String)>,
    /// The saga that the client named; `None` for that of the aggregate, or for a new one.
    pub correlation: Option<String>,
    /// W3C trace context of the request.
    pub traceparent: Option<String>,
}

/// Admits a command, or a read, to the participant of this name, and returns its message. `now` is
/// the time of the turn in milliseconds since the Unix epoch, `id` the id of the message, and
/// `trace` the trace context if the request had none.
#[must_use]
pub fn command(
    participant: &str,
    asked: Asked,
    now: u64,
    id: String,
    trace: impl FnOnce() -> Option<String>,
) -> Envelope {
    Envelope {
        message: Message {
            source: format!("{}/commands", identity::source_of(participant)),
            origin: Origin::Command,
            name: asked.command,
            key: asked.key,
            time: now,
            // The id stands for no saga: the worker replaces it by that of the aggregate.
            correlation: asked.correlation.unwrap_or_else(|| id.clone()),
            causation: None,
            caller: asked.caller,
            metadata: asked.metadata,
            version: 1,
            parameters: asked.parameters,
            body: asked.body,
            id,
        },
        made_at: now,
        traceparent: asked.traceparent.or_else(trace),
    }
}

/// Admits a timer of the participant of this name, and returns its message. `now` is the time of
/// the turn in milliseconds since the Unix epoch.
#[must_use]
pub fn timer(participant: &str, timer: &StoredTimer, now: u64) -> Envelope {
    let source = format!("{}/timers/{}", identity::source_of(participant), timer.name);
    // Aggregates may set the same timer on one message; the key makes their ids differ.
    let cause = Identity {
        source: source.clone(),
        id: format!("{}/{}", timer.key, timer.set_by),
    };
    Envelope {
        message: Message {
            id: identity::event_id(participant, &cause, timer.due, 0),
            source,
            origin: Origin::Timer,
            name: timer.name.clone(),
            key: timer.key.clone(),
            time: now,
            correlation: timer.correlation.clone(),
            causation: Some(timer.set_by.clone()),
            caller: None,
            metadata: Vec::new(),
            version: 1,
            parameters: Vec::new(),
            body: timer.body.clone(),
        },
        made_at: timer.due,
        traceparent: timer.traceparent.clone(),
    }
}

/// The headers of these names, in the order of the names. Of a repeated header, the last.
#[must_use]
pub fn named(names: &[String], headers: &[(String, String)]) -> Vec<(String, String)> {
    let value = |name: &String| {
        let mut headers = headers.iter().rev();
        headers.find(|(other, _)| other.eq_ignore_ascii_case(name))
    };
    let found = |name: &String| Some((name.clone(), value(name)?.1.clone()));
    names.iter().filter_map(found).collect()
}

/// What a record says to an aggregate.
struct Admitted {
    version: u32,
    body: String,
    key: String,
}

/// The version of an event's body.
fn version(record: &Record) -> Result<u32, String> {
    let mut headers = record.attributes.extra.iter().rev();
    match headers.find(|(name, _)| name == header::DATA_VERSION) {
        None => Ok(1),
        Some((name, text)) => (text.parse().ok().filter(|version| *version > 0)).ok_or_else(|| {
            shorten(format!(
                "header {name} is {text:?}, not the version of the event: a whole number from 1"
            ))
        }),
    }
}

fn body_and_key(
    record: &Record,
    subscription: &Subscription,
    limits: &TurnLimits,
) -> Result<Admitted, String> {
    let version = version(record)?;
    let Some((pointer, schema)) = subscription.shape(version) else {
        let read: Vec<_> = (subscription.versions().iter())
            .map(u32::to_string)
            .collect();
        return Err(format!(
            "is version {version} of the event {}, and the rules read {}: apply rules that read it, then redrive",
            subscription.event_type,
            read.join(", ")
        ));
    };
    let value = match &record.value {
        None => return Err("has no value (a tombstone)".into()),
        Some(value) if value.is_empty() => return Err("has an empty value".into()),
        Some(value) => value,
    };
    if value.len() > limits.record_bytes {
        return Err(format!(
            "value of {} bytes is over the limit of {}",
            value.len(),
            limits.record_bytes
        ));
    }
    let text =
        std::str::from_utf8(value).map_err(|error| format!("value is not UTF-8: {error}"))?;
    let mut json = json::parse(text).map_err(|reason| format!("value {reason}"))?;
    let is_rewritten = write_integers(&mut json, schema);
    Ok(Admitted {
        version,
        key: key_at(&json, pointer, limits)?,
        body: if is_rewritten {
            json.to_string()
        } else {
            text.to_owned()
        },
    })
}

fn envelope(
    record: &Record,
    subscription: &Subscription,
    Admitted { version, body, key }: Admitted,
    metadata: Vec<(String, String)>,
    now: u64,
) -> Envelope {
    let attributes = &record.attributes;
    let identity = match (
        given(attributes.id.as_deref()),
        given(attributes.source.as_deref()),
    ) {
        (Some(id), Some(source)) => Identity {
            id: id.to_owned(),
            source: source.to_owned(),
        },
        // Without a source, ids from different topics could collide.
        (Some(id), None) => Identity {
            id: id.to_owned(),
            source: format!("/topics/{}", record.position.topic),
        },
        (None, _) => identity::of_position(&record.position),
    };
    let correlation = given(attributes.correlation.as_deref())
        .unwrap_or(&identity.id)
        .to_owned();
    Envelope {
        message: Message {
            id: identity.id,
            source: identity.source,
            origin: Origin::Event,
            name: subscription.event_type.clone(),
            key,
            time: now,
            correlation,
            causation: given(attributes.causation.as_deref()).map(str::to_owned),
            caller: None,
            metadata,
            version,
            parameters: Vec::new(),
            body,
        },
        made_at: record.timestamp,
        traceparent: attributes.traceparent.clone(),
    }
}

fn check_attributes(
    record: &Record,
    metadata: &[(String, String)],
    limits: &TurnLimits,
) -> Result<(), String> {
    let attributes = &record.attributes;
    let stored = [
        (header::ID, &attributes.id),
        (header::SOURCE, &attributes.source),
        (header::CORRELATION, &attributes.correlation),
        (header::TRACEPARENT, &attributes.traceparent),
    ];
    for (name, value) in &stored {
        if value.as_ref().is_some_and(|text| text.contains(UNSTORABLE)) {
            return Err(format!(
                "header {name} has the character U+0000, which not every store takes"
            ));
        }
    }
    let stored = (stored.into_iter())
        .map(|(name, value)| (name, value.as_ref().map_or(0, String::len)))
        .chain((metadata.iter()).map(|(name, value)| (&**name, value.len())));
    for (name, bytes) in stored {
        if bytes > limits.attribute_bytes {
            return Err(format!(
                "header {name} of {bytes} bytes is over the limit of {}",
                limits.attribute_bytes
            ));
        }
    }
    Ok(())
}

/// An attribute; None if it is empty. CloudEvents attributes are never empty, and an empty id would
/// give all records that carry it the same identity.
fn given(attribute: Option<&str>) -> Option<&str> {
    attribute.filter(|text| !text.is_empty())
}

/// The key of an aggregate: the string or whole number at `pointer`.
///
/// # Errors
/// Describes the value that is there instead.
pub fn key_at(body: &Value, pointer: &str, limits: &TurnLimits) -> Result<String, String> {
    let key = match body.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        // Zero has one key.
        Some(Value::Number(number)) if number.as_str() == "-0" => "0".to_owned(),
        Some(Value::Number(number)) if is_whole(&number.to_string()) => number.to_string(),
        Some(other) => {
            return Err(format!(
                "key at {pointer} is {}, not a string or a whole number",
                kind_of(other)
            ));
        }
        None => return Err(format!("has no key at {pointer}")),
    };
    check_key(&key, limits).map_err(|reason| format!("key at {pointer} {reason}"))?;
    Ok(key)
}

/// Checks that a text can be a key.
///
/// # Errors
/// The reason why it can't.
pub fn check_key(key: &str, limits: &TurnLimits) -> Result<(), String> {
    if key.is_empty() {
        return Err("is empty".into());
    }
    if key.len() > limits.key_bytes {
        return Err(format!(
            "is {} bytes long, over the limit of {}",
            key.len(),
            limits.key_bytes
        ));
    }
    if key.contains(UNSTORABLE) {
        return Err("has the character U+0000, which not every store takes".into());
    }
    Ok(())
}

fn is_whole(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number with a fraction or an exponent",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
#[path = "admit_tests.rs"]
mod tests;
