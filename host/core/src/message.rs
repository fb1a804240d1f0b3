//! One message for one aggregate: the mirror of `record message` in `wit/participant.wit`, and the
//! [`Envelope`] in which the host carries it.

use serde::{Deserialize, Serialize};

/// How a message came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// A client asked.
    Command,
    /// A record arrived.
    Event,
    /// A timer is due.
    Timer,
}

/// One message, as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Identity.
    pub id: String,
    /// Who made it.
    pub source: String,
    /// How it came to be.
    pub origin: Origin,
    /// Command name, event type or timer name.
    pub name: String,
    /// Key of the aggregate.
    pub key: String,
    /// When the turn takes place, in milliseconds since the Unix epoch.
    pub time: u64,
    /// Id shared by all messages of a saga.
    pub correlation: String,
    /// Path parameters, in the path's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
    /// JSON text; `null` where there is none. Kept as text so that no digit is lost.
    pub body: String,
}

/// A message with what the host must remember of where it came from. The rules see only `message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// What the rules see.
    pub message: Message,
    /// When the message was made, in milliseconds since the Unix epoch: the same at every delivery,
    /// unlike `message.time`.
    pub made_at: u64,
    /// W3C trace context that it came with.
    pub traceparent: Option<String>,
}
