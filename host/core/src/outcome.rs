//! The answer of the rules: the mirror of `record outcome` and `variant disposition` in
//! `wit/participant.wit`.

use serde::{Deserialize, Serialize};

use saga_contract::description::RefusalKind;

/// The change of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateChange {
    /// Unchanged.
    Unchanged,
    /// Replaced by this JSON text.
    Put(String),
    /// Removed.
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
    /// Set it, or reset it.
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
    /// JSON text of the timer's message.
    pub body: String,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// Done; JSON text.
    Done(String),
    /// Accepted, but the saga has yet to decide; JSON text.
    Pending(String),
    /// Refused.
    Refused(Refusal),
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Kind.
    pub kind: RefusalKind,
    /// Stable word for programs.
    pub code: String,
    /// One sentence for people.
    pub detail: String,
    /// JSON pointer into the request's body.
    pub pointer: Option<String>,
}

/// The decision of the rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The change of the state.
    pub state: StateChange,
    /// Events to publish, in order.
    pub events: Vec<Event>,
    /// Timers to set or cancel, in order.
    pub timers: Vec<TimerChange>,
    /// The answer to a command.
    pub reply: Option<Reply>,
}

/// The reason why the rules did not decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// The message can never be decided.
    Malformed(String),
    /// The rules ask for a later attempt.
    RetryLater(String),
}
