//! What the rules answered: the mirror of `record outcome` and `variant disposition` in
//! `wit/participant.wit`.

use serde::{Deserialize, Serialize};

use saga_contract::description::RefusalKind;

/// What becomes of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateChange {
    /// Stays.
    Unchanged,
    /// Becomes this JSON text.
    Put(String),
    /// Goes.
    Remove,
}

/// An event to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Event type, one of the declared publications.
    pub event_type: String,
    /// Record key.
    pub key: String,
    /// JSON text.
    pub body: String,
}

/// A timer to set or to cancel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TimerChange {
    /// Set it, or set it anew.
    Set(Timer),
    /// Cancel the timer of this name.
    Cancel(String),
}

/// A timer to set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Name, one of the declared timers.
    pub name: String,
    /// When it is due, in milliseconds since the Unix epoch.
    pub due: u64,
    /// JSON text of the message that comes then.
    pub body: String,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Done; JSON text.
    Done(String),
    /// Taken, the saga has yet to decide; JSON text.
    Pending(String),
    /// The business says no.
    Refused(Refusal),
}

/// A business no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Which kind.
    pub kind: RefusalKind,
    /// Stable word for programs.
    pub code: String,
    /// One sentence for people.
    pub detail: String,
    /// JSON pointer into the request's body.
    pub pointer: Option<String>,
}

/// What the rules decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What becomes of the state.
    pub state: StateChange,
    /// Events to publish, in order.
    pub events: Vec<Event>,
    /// Timers to set or cancel, in order.
    pub timers: Vec<TimerChange>,
    /// The answer to a command.
    pub reply: Option<Reply>,
}

/// Why the rules did not decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// The message can never be decided.
    Malformed(String),
    /// Not now.
    RetryLater(String),
}
