//! One message for one aggregate: the mirror of `record message` in `wit/participant.wit`, and the
//! [`Envelope`] in which the host carries it.

use serde::{Deserialize, Serialize};

/// The origin of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A client's request.
    Command,
    /// A record.
    Event,
    /// A timer that is due.
    Timer,
}

/// One message, as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Id, unique within the source.
    pub id: String,
    /// The producer.
    pub source: String,
    /// Command name, event type or timer name.
    pub origin: Origin,
    /// Command name, event type or timer name.
    pub name: String,
    /// Key of the aggregate.
    pub key: String,
    /// Time of the turn, in milliseconds since the Unix epoch.
    pub time: u64,
    /// Id shared by all messages of a saga.
    pub correlation: String,
    /// Id of the message whose decision made this one; `None` for a command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<String>,
    /// Path parameters, in the order of the path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
    /// JSON text; `null` if there is none. Kept as text so that numbers keep all their digits.
    pub body: String,
}

/// A message with what the host remembers of its origin. The rules see only `message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The message, as the rules see it.
    pub message: Message,
    /// When the message was made, in milliseconds since the Unix epoch. The same at every delivery,
    /// unlike `message.time`.
    pub made_at: u64,
    /// W3C trace context that it came with.
    pub traceparent: Option<String>,
}
