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

impl Origin {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Event => "event",
            Self::Timer => "timer",
        }
    }

    /// The origin of this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        let all = [Self::Command, Self::Event, Self::Timer];
        all.into_iter().find(|origin| origin.word() == word)
    }
}

/// Who sent a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// Name of the caller.
    pub subject: String,
    /// JSON text of the claims that the description names: an object.
    pub claims: String,
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
    /// Who sent a command, if the host authenticates callers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caller: Option<Caller>,
    /// Headers that the description names: name and value, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub metadata: Vec<(String, String)>,
    /// Version of an event's body; 1 for commands and timers.
    #[serde(default = "first_version", skip_serializing_if = "is_first_version")]
    pub version: u32,
    /// Path parameters, in the order of the path.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<(String, String)>,
    /// JSON text; `null` if there is none. Kept as text so that numbers keep all their digits.
    pub body: String,
}

fn first_version() -> u32 {
    1
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_first_version(version: &u32) -> bool {
    *version == first_version()
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
